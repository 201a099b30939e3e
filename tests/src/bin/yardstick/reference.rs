//! The reference work of a run: what a bare parse of the same bytes costs; and the agent's own parser
//! on one core, in this process.

use std::hint::black_box;
use std::time::Duration;

use headwater_formats::influx::InfluxParser;
use headwater_plugin_api::abi::instance::{Chunk, PADDING, ParserInstance};
use headwater_plugin_api::abi::serve::{self, PushedBytes, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::Error;
use headwater_plugin_api::testkit;

use crate::made::Made;
use crate::operator::{self, Batches};

/// As large as the agent's reads.
const CHUNK: usize = 256 << 10;

/// The part of a load that is parsed, so that the slow ones do not take the day.
const BYTES_MAX: usize = 32 << 20;

/// The part of a load that both parse.
pub struct Sample {
    padded: Vec<u8>,
    json: bool,
    /// Lines without a fault.
    good: u64,
    broken: u64,
}

impl Sample {
    pub fn of(made: &Made) -> Result<Sample, String> {
        let mut padded = made.read()?;
        let end = padded[..padded.len().min(BYTES_MAX)].iter().rposition(|b| *b == b'\n');
        let end = end.map_or(0, |end| end + 1);
        let lines = padded[..end].iter().filter(|b| **b == b'\n').count() as u64;
        padded.truncate(end);
        padded.shrink_to(end + PADDING);
        padded.resize(end + PADDING, 0);
        let mut sample = Sample { padded, json: made.is_json(), good: lines, broken: 0 };
        if made.broken > 0 {
            sample.good = sample.reference_pass()?.0;
            sample.broken = lines - sample.good;
        }
        Ok(sample)
    }

    fn text(&self) -> Result<&str, String> {
        let end = self.padded.len() - PADDING;
        std::str::from_utf8(&self.padded[..end]).map_err(|error| error.to_string())
    }

    fn reference_pass(&self) -> Result<(u64, u64), String> {
        let text = self.text()?;
        Ok(if self.json { values(text) } else { lines(text) })
    }

    /// Lines per CPU-second of the crate's bare parse, or of `serde_json` to a `Value` per line.
    pub fn reference_rate(&self) -> Result<f64, String> {
        let (counts, took) = timed(|| self.reference_pass());
        let (good, broken) = counts?;
        if (good, broken) != (self.good, self.broken) {
            return Err(format!("the reference read {good} lines and refused {broken}"));
        }
        Ok((good + broken) as f64 / took.as_secs_f64())
    }

    /// Nanoseconds a point of the window operator alone, begun anew.
    pub fn window_nanos(&self) -> Result<f64, String> {
        let mut driven = testkit::parser::<InfluxParser>("").map_err(|error| error.to_string())?;
        let batches: Batches = parse(&mut driven.instance, &self.padded)?;
        operator::nanos(&batches.0)
    }

    /// The same of the agent's parser, begun anew.
    pub fn parser_rate(&self) -> Result<f64, String> {
        let mut driven = testkit::parser::<InfluxParser>("").map_err(|error| error.to_string())?;
        let (count, took) = timed(|| parse(&mut driven.instance, &self.padded));
        let count: Count = count?;
        if (count.points, count.bad) != (self.good, self.broken) {
            return Err(format!(
                "the parser made {} points and refused {} lines of {} and {}",
                count.points, count.bad, self.good, self.broken
            ));
        }
        Ok((self.good + self.broken) as f64 / took.as_secs_f64())
    }
}

/// The CPU time of this thread that a call takes.
pub fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let used = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    let before: u64 = used();
    let result = call();
    (result, Duration::from_nanos(used().saturating_sub(before).max(1)))
}

/// How many lines were good, and how many were not.
fn lines(text: &str) -> (u64, u64) {
    let (mut good, mut broken) = (0, 0);
    for line in influxdb_line_protocol::parse_lines(text) {
        match black_box(line) {
            Ok(_) => good += 1,
            Err(_) => broken += 1,
        }
    }
    (good, broken)
}

fn values(text: &str) -> (u64, u64) {
    let (mut good, mut broken) = (0, 0);
    for line in text.lines() {
        match black_box(serde_json::from_str::<serde_json::Value>(line)) {
            Ok(_) => good += 1,
            Err(_) => broken += 1,
        }
    }
    (good, broken)
}

#[derive(Default)]
struct Count {
    points: u64,
    bad: u64,
}

impl SinkTarget for Count {
    fn checks(&self) -> bool {
        false
    }
    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.points += black_box(&batch).len() as u64;
        Ok(())
    }
    fn push_bytes(&mut self, _bytes: PushedBytes<'_>) -> Result<(), Error> {
        Ok(())
    }
    fn bad(&mut self, _offset: usize, _len: usize, _at: usize, _message: &str) {
        self.bad += 1;
    }
    fn lines(&mut self, _lines: u64) {}
    fn malformed(&mut self, _malformed: Malformed) {
        self.bad += 1;
    }
}

fn parse<T: SinkTarget + Default>(parser: &mut ParserInstance, padded: &[u8]) -> Result<T, String> {
    let mut count = T::default();
    let end = padded.len() - PADDING;
    let mut start = 0;
    while start < end {
        let limit = (start + CHUNK).min(end);
        let cut = parser.cut(&padded[start..limit], limit == end);
        let chunk = Chunk {
            padded: &padded[start..start + cut + PADDING],
            last: start + cut == end,
            default_time_ns: 0,
            origin: 1,
        };
        serve::with_sink(&mut count, |sink| parser.parse(&testkit::context(0), &chunk, sink))
            .map_err(|error| error.to_string())?;
        start += cut;
    }
    Ok(count)
}
