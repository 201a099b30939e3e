//! Seeded load: the same options and seed make the same bytes.

use std::fmt::Write as _;
use std::io::{self, Write};

/// A small generator of random numbers (xorshift), enough for data that no shortcut fits.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.bits() >> 20) % bound.max(1)
    }
}

/// How the timestamps of the load go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// Each a step after the one before.
    Ordered,
    /// Each within a hundred steps around its place.
    Shuffled,
    /// None.
    Absent,
}

/// What the lines look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Line protocol.
    Lines,
    /// JSON objects, one a line.
    Json,
}

/// What to make. The default is the line of the design's section 8.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the random numbers begin.
    pub seed: u64,
    /// Lines.
    pub points: u64,
    /// Distinct series; one more tag `id` tells them apart beyond `hosts` times `cpus`.
    pub series: u64,
    /// Values of the tag `host`.
    pub hosts: u64,
    /// Tags: `cpu`, `dc`, `host`, `region`, then `tag4` and so on.
    pub tags: usize,
    /// Fields: four percentages and the integer `ctx`, then `field5` and so on.
    pub fields: usize,
    /// The kinds of the fields from the sixth on, in turn: `f`, `i`, `u`, `b`, `t`.
    pub kinds: String,
    /// Digits behind the point; 17 makes doubles of full length.
    pub digits: usize,
    /// Bytes of text fields.
    pub text: usize,
    /// How the times go.
    pub times: Times,
    /// The first time.
    pub start_ns: i64,
    /// From one line to the next.
    pub step_ns: i64,
    /// Line protocol or JSON.
    pub form: Form,
    /// Each line leaves some of its fields out, so that shapes vary by line.
    pub sparse: bool,
    /// Lines of a thousand that every parser refuses. Only for line protocol.
    pub broken_per_mille: u64,
}

impl Default for Load {
    fn default() -> Self {
        Load {
            seed: 42,
            points: 2_000_000,
            series: 800,
            hosts: 100,
            tags: 4,
            fields: 5,
            kinds: "fi".into(),
            digits: 2,
            text: 32,
            times: Times::Ordered,
            start_ns: 1_700_000_000_000_000_000,
            step_ns: 1_000_000,
            form: Form::Lines,
            sparse: false,
            broken_per_mille: 0,
        }
    }
}

/// Ways to break a line: each makes of a good line one that every parser refuses.
const BREAKS: [fn(&str) -> String; 4] = [
    |line| line.replacen(" usage_user=", " usage_user=x", 1),
    |line| line.replacen("cpu=", "=", 1),
    |line| line.replacen(" usage_user=", " usage_user==", 1),
    |line| format!("{line}soon"),
];

const REGIONS: [&str; 4] = ["eu-west-1", "us-east-1", "us-west-2", "ap-south-1"];
const CPUS: u64 = 8;
const PERCENTAGES: [&str; 4] = ["usage_user", "usage_system", "usage_idle", "usage_iowait"];

impl Load {
    /// The same load with other points.
    #[must_use]
    pub fn with_points(&self, points: u64) -> Load {
        Load { points, ..self.clone() }
    }

    /// Writes all lines.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, mut to: impl Write) -> io::Result<u64> {
        let mut lines = self.lines();
        let mut chunk = String::with_capacity(1 << 18);
        let mut bytes = 0;
        while lines.next_into(&mut chunk) {
            if chunk.len() >= (1 << 18) - (1 << 12) {
                bytes += chunk.len() as u64;
                to.write_all(chunk.as_bytes())?;
                chunk.clear();
            }
        }
        bytes += chunk.len() as u64;
        to.write_all(chunk.as_bytes())?;
        Ok(bytes)
    }

    /// All lines in memory.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.points as usize * 160);
        // Writing to memory does not fail.
        let _ = self.write(&mut text);
        text
    }

    /// The lines one by one.
    pub fn lines(&self) -> Lines<'_> {
        Lines {
            load: self,
            random: Random::new(self.seed),
            breaker: Random::new(!self.seed),
            next: 0,
            broken: false,
        }
    }
}

/// Makes line after line.
pub struct Lines<'a> {
    load: &'a Load,
    random: Random,
    /// Apart from the other, so that breaking lines does not change those that stay good.
    breaker: Random,
    next: u64,
    broken: bool,
}

impl Lines<'_> {
    /// Appends the next line with its end. False after the last.
    pub fn next_into(&mut self, out: &mut String) -> bool {
        if self.next >= self.load.points {
            return false;
        }
        let start = out.len();
        match self.load.form {
            Form::Lines => self.line(out),
            Form::Json => self.json(out),
        }
        self.broken =
            self.load.broken_per_mille > 0 && self.breaker.below(1000) < self.load.broken_per_mille;
        if self.broken {
            let way = self.breaker.below(BREAKS.len() as u64) as usize;
            let line = BREAKS[way](&out[start..]);
            out.truncate(start);
            out.push_str(&line);
        }
        out.push('\n');
        self.next += 1;
        true
    }

    /// Whether the last line was a broken one.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    fn place(&self) -> (u64, u64, u64) {
        let series = self.next % self.load.series.max(1);
        let hosts = self.load.hosts.max(1);
        (series, series / CPUS % hosts, series % CPUS)
    }

    fn line(&mut self, out: &mut String) {
        let (series, host, cpu) = self.place();
        out.push_str("cpu");
        for tag in 0..self.load.tags {
            let _ = match tag {
                0 => write!(out, ",cpu=cpu{cpu}"),
                1 => write!(out, ",dc=dc{}", host % 3),
                2 => write!(out, ",host=server{host:04}"),
                3 => write!(out, ",region={}", REGIONS[(host % 4) as usize]),
                _ => write!(out, ",tag{tag}=value{}", (host + tag as u64) % 10),
            };
        }
        if self.load.series > self.load.hosts * CPUS {
            let _ = write!(out, ",zid={:08x}", series / (self.load.hosts * CPUS).max(1));
        }
        for field in 0..self.load.fields {
            if field > 0 && self.load.sparse && self.random.below(4) == 0 {
                continue;
            }
            out.push(if field == 0 { ' ' } else { ',' });
            self.field(field, out);
        }
        let step = self.load.step_ns;
        let time = self.load.start_ns + self.next as i64 * step;
        let _ = match self.load.times {
            Times::Ordered => write!(out, " {time}"),
            Times::Shuffled => {
                write!(out, " {}", time + (self.random.below(201) as i64 - 100) * step)
            }
            Times::Absent => Ok(()),
        };
    }

    fn field(&mut self, field: usize, out: &mut String) {
        let digits = self.load.digits;
        if let Some(key) = PERCENTAGES.get(field) {
            // The third has one digit more, as in the design's line.
            let (scale, digits) = match field {
                1 => (10.0, digits),
                3 => (20.0, if digits == 2 { 3 } else { digits }),
                _ => (1.0, digits),
            };
            let value = self.fraction() * 100.0 / scale;
            let _ = write!(out, "{key}={value:.digits$}");
            return;
        }
        if field == 4 {
            let _ = write!(out, "ctx={}i", self.random.below(1_000_000));
            return;
        }
        let kinds = self.load.kinds.as_bytes();
        let kind = kinds.get((field - 5) % kinds.len().max(1)).copied().unwrap_or(b'f');
        let _ = write!(out, "field{field}=");
        let _ = match kind {
            b'i' => write!(out, "{}i", self.random.bits() as i64 >> 20),
            b'u' => write!(out, "{}u", self.random.bits() >> 20),
            b'b' => write!(out, "{}", self.random.below(2) == 1),
            b't' => {
                out.push('"');
                for _ in 0..self.load.text {
                    out.push(char::from(b'a' + self.random.below(26) as u8));
                }
                out.push('"');
                Ok(())
            }
            _ => {
                let value = self.fraction() * 100.0;
                write!(out, "{value:.digits$}")
            }
        };
    }

    fn json(&mut self, out: &mut String) {
        let (_, host, cpu) = self.place();
        let (user, system) = (self.fraction() * 100.0, self.fraction() * 10.0);
        let bytes = self.random.below(100_000);
        let _ = write!(
            out,
            "{{\"host\":\"h{host}\",\"cpu\":\"cpu{cpu}\",\"usage_user\":{user:.2},\"usage_system\":\
             {system:.2},\"bytes\":{bytes}}}"
        );
    }

    fn fraction(&mut self) -> f64 {
        (self.random.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_designs_line() {
        let load = Load { points: 10_000, ..Load::default() };
        let text = load.text();
        let mean = text.len() as f64 / 10_000.0;
        assert!((mean - 157.0).abs() < 3.0, "{mean} bytes a line");
        let text = String::from_utf8(text).unwrap();
        let points = crate::points::parse(&text);
        assert_eq!(points.len(), 10_000);
        let series: std::collections::HashSet<_> =
            points.iter().map(|point| format!("{:?}", point.tags)).collect();
        assert_eq!(series.len(), 800);
        assert!(points.iter().all(|point| point.tags.len() == 4 && point.fields.len() == 5));
        assert!(
            points.windows(2).all(|two| two[1].time.unwrap() - two[0].time.unwrap() == 1_000_000)
        );
    }

    #[test]
    fn options_change_what_they_name() {
        let load = Load {
            points: 500,
            series: 500,
            hosts: 10,
            tags: 6,
            fields: 10,
            kinds: "fiubt".into(),
            digits: 17,
            times: Times::Shuffled,
            ..Load::default()
        };
        let points = crate::points::parse(&String::from_utf8(load.text()).unwrap());
        let series: std::collections::HashSet<_> =
            points.iter().map(|point| format!("{:?}", point.tags)).collect();
        assert_eq!((points.len(), series.len()), (500, 500));
        assert!(points.iter().all(|point| point.tags.len() == 7 && point.fields.len() == 10));
        assert!(points.windows(2).any(|two| two[1].time < two[0].time));
    }

    #[test]
    fn a_seed_makes_the_same_bytes() {
        let load = Load { points: 100, ..Load::default() };
        assert_eq!(load.text(), load.text());
        assert_ne!(load.text(), Load { seed: 43, ..load }.text());
    }

    #[test]
    fn broken_lines_are_refused_and_the_others_stay_as_they_are() {
        let good = Load { points: 2000, ..Load::default() };
        let load = Load { broken_per_mille: 50, ..good.clone() };
        let (mut whole, mut lines) = (good.lines(), load.lines());
        let mut broken = 0;
        let (mut one, mut other) = (String::new(), String::new());
        while lines.next_into(&mut other) {
            assert!(whole.next_into(&mut one));
            let parsed = influxdb_line_protocol::parse_lines(other.trim_end()).next();
            assert_eq!(parsed.is_some_and(|line| line.is_err()), lines.is_broken(), "{other}");
            assert_eq!(one != other, lines.is_broken(), "{other}");
            broken += u64::from(lines.is_broken());
            one.clear();
            other.clear();
        }
        assert!((60..140).contains(&broken), "{broken} of 2000");
    }

    #[test]
    fn sparse_lines_differ_in_their_fields() {
        let load = Load { points: 200, sparse: true, ..Load::default() };
        let points = crate::points::parse(&String::from_utf8(load.text()).unwrap());
        let shapes: std::collections::HashSet<String> =
            points.iter().map(|point| format!("{:?}", point.fields.keys())).collect();
        assert!(shapes.len() > 8, "{} shapes", shapes.len());
    }

    #[test]
    fn json_is_json() {
        let load = Load { points: 100, form: Form::Json, ..Load::default() };
        let text = String::from_utf8(load.text()).unwrap();
        assert_eq!(text.lines().count(), 100);
        for line in text.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).unwrap().is_object());
        }
    }
}
