//! OVER against a plain model, over random points, frames, batches and orders; and with the state
//! written and read in the middle.

use std::collections::BTreeMap;

use headwater_plugin_api::window::codec::Reader;

use super::*;
use crate::bind::{self, Options};
use crate::stateful::Stateful;
use crate::statement::{Late, Settings, Statement};

const DELAY: i64 = 5;
/// What a function finds in a frame.
type Model = fn(&Frame<'_>) -> Option<f64>;
/// Each function, with what the plain model makes of a frame.
const FUNCTIONS: &[(&str, Model)] = &[
    ("count(*)", |f| Some(f.rows.len() as f64)),
    ("count(x)", |f| Some(f.values().len() as f64)),
    ("sum(x)", |f| f.some().map(|v| v.iter().sum())),
    ("avg(x)", |f| f.some().map(|v| v.iter().sum::<f64>() / v.len() as f64)),
    ("min(x)", |f| f.values().into_iter().min_by(f64::total_cmp)),
    ("max(x)", |f| f.values().into_iter().max_by(f64::total_cmp)),
    ("spread(x)", |f| {
        let least = f.values().into_iter().min_by(f64::total_cmp)?;
        Some(f.values().into_iter().max_by(f64::total_cmp)? - least)
    }),
    ("first(x)", |f| f.end(|time| -time)),
    ("last(x)", |f| f.end(|time| time)),
    ("var_pop(x)", |f| {
        let values = f.some()?;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some(values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64)
    }),
    ("approx_distinct(x)", |f| {
        let mut values = f.values();
        values.sort_by(f64::total_cmp);
        values.dedup();
        Some(values.len() as f64)
    }),
    ("median(x)", |f| {
        let mut values = f.some()?;
        values.sort_by(f64::total_cmp);
        let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
        Some((values[low] + values[high]) / 2.0)
    }),
    ("first_value(x)", |f| f.rows.first()?.x),
    ("last_value(x)", |f| f.rows.last()?.x),
    ("sum(x) FILTER (WHERE id % 2 = 0)", |f| {
        let even = f.rows.iter().filter(|p| p.id % 2 == 0).filter_map(|p| p.x);
        even.clone().next().map(|_| even.sum())
    }),
];

/// A point at a second since `T`.
#[derive(Debug, Clone)]
struct Point {
    id: i64,
    second: i64,
    host: u64,
    x: Option<f64>,
    /// Written as an integer.
    int: bool,
}

/// The rows of a frame, in their order.
struct Frame<'p> {
    rows: Vec<&'p Point>,
}

impl Frame<'_> {
    fn values(&self) -> Vec<f64> {
        self.rows.iter().filter_map(|point| point.x).collect()
    }

    fn some(&self) -> Option<Vec<f64>> {
        Some(self.values()).filter(|values| !values.is_empty())
    }

    /// The greatest value of the time for which `key` is the greatest.
    fn end(&self, key: fn(i64) -> i64) -> Option<f64> {
        let valued = || self.rows.iter().filter(|point| point.x.is_some());
        let best = valued().map(|point| key(point.second)).max()?;
        let ends = valued().filter(|point| key(point.second) == best);
        ends.filter_map(|point| point.x).max_by(f64::total_cmp)
    }
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    Range(Option<i64>),
    Rows(Option<usize>),
}

impl Bound {
    fn random(random: &mut Random) -> (Bound, String) {
        let n = [0, 1, 3, 10, 100][random.below(5) as usize];
        match random.below(4) {
            0 => (Bound::Range(None), String::new()),
            1 => (Bound::Range(Some(n)), format!("RANGE INTERVAL '{n}s' PRECEDING")),
            2 => (Bound::Rows(None), "ROWS UNBOUNDED PRECEDING".into()),
            _ => {
                let text = format!("ROWS BETWEEN {n} PRECEDING AND CURRENT ROW");
                (Bound::Rows(Some(n as usize)), text)
            }
        }
    }

    fn frame<'p>(self, all: &[&'p Point], at: usize) -> Frame<'p> {
        let time = all[at].second;
        let near = |point: &&&Point| match self {
            Bound::Range(None) => point.second <= time,
            Bound::Range(Some(back)) => (time - back..=time).contains(&point.second),
            Bound::Rows(_) => true,
        };
        let rows = match self {
            Bound::Range(_) => all,
            Bound::Rows(None) => &all[..=at],
            Bound::Rows(Some(back)) => &all[at.saturating_sub(back)..=at],
        };
        Frame { rows: rows.iter().filter(near).copied().collect() }
    }
}

/// A statement at work, without a processor around it.
struct Direct {
    query: String,
    statement: Statement,
    made: Vec<String>,
}

fn settings() -> Settings {
    Settings {
        delay: DELAY * S,
        idle: 5 * S,
        hold: 600 * S,
        max_future: 60 * S,
        grace: 0,
        late: Late::Drop,
        stamp_end: false,
        max_groups: 1000,
        max_windows: 1024,
        flush: false,
        max_rows: 100_000,
    }
}

impl Direct {
    fn new(query: &str) -> Direct {
        let statement = &parse::parse(query).unwrap()[0];
        let plan = bind::bind(statement, &Options::default()).unwrap();
        let statement = Statement::new(plan, &settings(), 7);
        Direct { query: query.to_owned(), statement, made: Vec::new() }
    }

    fn take(&mut self, out: &[Batch]) {
        self.made.extend(out.iter().flat_map(Batch::points).map(line));
    }

    fn feed(&mut self, now: i64, lines: &[String]) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (mut batch, mut out) = (batch(&lines), Vec::new());
        batch.set_origin(1);
        self.statement.apply((T + now) * S, &batch, &mut out);
        self.statement.close((T + now) * S, Closing::Due, &mut out);
        self.take(&out);
    }

    fn close(&mut self, now: i64, closing: Closing) {
        let mut out = Vec::new();
        self.statement.close((T + now) * S, closing, &mut out);
        self.take(&out);
    }

    fn written(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.statement.window_mut() {
            Some(Stateful::Over(state)) => state.write(&mut bytes),
            _ => unreachable!(),
        }
        bytes
    }

    /// Goes on as another one that read what this one wrote.
    fn restart(&mut self) {
        let bytes = self.written();
        let mut other = Direct::new(&self.query);
        other.read(&bytes).unwrap();
        assert_eq!(other.written().len(), bytes.len());
        other.made = std::mem::take(&mut self.made);
        *self = other;
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), headwater_plugin_api::window::codec::Broken> {
        let mut from = Reader::new(bytes);
        match self.statement.window_mut() {
            Some(Stateful::Over(state)) => state.read(&mut from)?,
            _ => unreachable!(),
        }
        from.end()
    }
}

fn points(random: &mut Random) -> Vec<Point> {
    let count = [1, 20, 100, 400][random.below(4) as usize];
    let (pace, kinds) = (1 + random.below(6), random.below(3));
    let mut second = 0;
    let point = |id: i64| {
        if random.below(pace) == 0 {
            second += 1 + if random.below(20) == 0 { random.below(30) as i64 } else { 0 };
        }
        let int = match kinds {
            0 => true,
            1 => false,
            _ => random.below(2) == 0,
        };
        let x = random.below(200) as f64 - 100.0;
        let x = (random.below(6) > 0).then_some(if int { x } else { x / 4.0 });
        Point { id, second, host: random.below(3), x, int }
    };
    (0..count).map(point).collect()
}

fn text(point: &Point) -> String {
    let x = match (point.x, point.int) {
        (None, _) => String::new(),
        (Some(x), true) => format!(",x={}i", x as i64),
        (Some(x), false) => format!(",x={x}"),
    };
    format!("m,host=h{} id={}i{x} {}", point.host, point.id, point.second)
}

/// The columns of a line, by name.
fn columns(line: &str) -> BTreeMap<&str, f64> {
    let fields = line.split(' ').nth(1).unwrap();
    let number = |text: &str| text.trim_end_matches('i').parse().unwrap();
    fields.split(',').map(|f| f.split_once('=').unwrap()).map(|(k, v)| (k, number(v))).collect()
}

fn check(seed: u64) {
    let mut random = Random(seed * 7919 + 1);
    let mut calls: Vec<(usize, Bound)> = Vec::new();
    let mut items = vec!["id".to_owned(), "id + 0 * row_number() OVER w AS same".to_owned()];
    let by_host = random.below(3) > 0;
    let partition = if by_host { "PARTITION BY host" } else { "" };
    // Frames that time alone bounds are another way through.
    let ranges_only = random.below(3) == 0;
    if ranges_only {
        items.truncate(1);
    } else {
        items.push("row_number() OVER w AS n".into());
        items.push("lag(x) OVER w AS l".into());
        items.push("lag(x, 3, -1) OVER w AS ld".into());
    }
    for at in 0..1 + random.below(5) {
        let function = random.below(FUNCTIONS.len() as u64) as usize;
        let (mut bound, mut frame) = Bound::random(&mut random);
        if ranges_only {
            let back = [0, 2, 7, 40][random.below(4) as usize];
            (bound, frame) = (Bound::Range(Some(back)), format!("RANGE '{back}s' PRECEDING"));
        }
        let name = FUNCTIONS[function].0;
        items.push(format!("{name} OVER ({partition} ORDER BY time {frame}) AS c{at}"));
        calls.push((function, bound));
    }
    let window = if ranges_only { String::new() } else { format!(" WINDOW w AS ({partition})") };
    let query = format!("SELECT {} FROM m{window}", items.join(", "));
    let points = points(&mut random);
    // Moved by less than the delay.
    let mut arrivals: Vec<(i64, &Point)> =
        points.iter().map(|p| (p.second * 10 + random.below(45) as i64, p)).collect();
    arrivals.sort_by_key(|(at, point)| (*at, point.id));
    let behind = if random.below(4) == 0 { 3600 } else { 0 };
    let mut direct = Direct::new(&query);
    let mut rest = &arrivals[..];
    let mut now = 0;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(rest.len().min(1 + random.below(60) as usize));
        now = part.iter().map(|(at, _)| at / 10).max().unwrap().max(now);
        let lines: Vec<String> = part.iter().map(|(_, point)| text(point)).collect();
        direct.feed(now + behind, &lines);
        if random.below(3) == 0 {
            direct.close(now + behind, Closing::Due);
        }
        if behind == 0 && random.below(4) == 0 {
            direct.restart();
        }
        rest = later;
    }
    direct.close(now + behind, Closing::All);
    let counts = direct.statement.take_counts();
    assert_eq!((counts.late, counts.failures.kinds), (0, 0), "{seed}: {query}");

    let mut ordered: Vec<&Point> = arrivals.iter().map(|(_, point)| *point).collect();
    ordered.sort_by_key(|point| point.second);
    let mut partitions: BTreeMap<u64, Vec<&Point>> = BTreeMap::new();
    for point in &ordered {
        partitions.entry(if by_host { point.host } else { 0 }).or_default().push(point);
    }
    assert_eq!(direct.made.len(), points.len(), "{seed}: {query}");
    let made: BTreeMap<i64, BTreeMap<&str, f64>> =
        direct.made.iter().map(|line| columns(line)).map(|row| (row["id"] as i64, row)).collect();
    let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0),
        (a, b) => a == b,
    };
    for all in partitions.values() {
        for (at, point) in all.iter().enumerate() {
            let row = &made[&point.id];
            let expect = |name: &str, wanted: Option<f64>| {
                let got = row.get(name).copied();
                assert!(
                    near(got, wanted),
                    "{seed}: {query}\n{name} of {point:?}: {got:?}, not {wanted:?}"
                );
            };
            if !ranges_only {
                expect("n", Some(at as f64 + 1.0));
                expect("l", at.checked_sub(1).and_then(|at| all[at].x));
                expect("ld", at.checked_sub(3).map_or(Some(-1.0), |at| all[at].x));
            }
            for (number, (function, bound)) in calls.iter().enumerate() {
                let frame = bound.frame(all, at);
                let (name, model) = FUNCTIONS[*function];
                // Behind that a median is within 1 % of one of the values.
                if name == "median(x)" && frame.values().len() > 64 {
                    continue;
                }
                expect(&format!("c{number}"), model(&frame));
            }
        }
    }
}

#[test]
fn frames_hold_what_a_plain_model_finds_in_them() {
    (0..600).for_each(check);
}

#[test]
fn medians_of_many_are_near() {
    let mut direct = Direct::new(
        "SELECT id, median(x) OVER (ROWS 499 PRECEDING) AS c, approx_distinct(x) OVER (ROWS 299 PRECEDING) AS d FROM m",
    );
    let mut random = Random(5);
    let all: Vec<Point> = (0..3000)
        .map(|id| {
            let x = Some(1.0 + random.below(1_000_000) as f64);
            Point { id, second: id / 10, host: 0, x, int: false }
        })
        .collect();
    for part in all.chunks(100) {
        direct.feed(part[0].second + 10, &part.iter().map(text).collect::<Vec<_>>());
    }
    direct.close(400, Closing::All);
    let all: Vec<&Point> = all.iter().collect();
    for line in &direct.made {
        let row = columns(line);
        let at = row["id"] as usize;
        let mut values = Bound::Rows(Some(499)).frame(&all, at).values();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        assert!(
            (low * 0.99 - 1e-9..=high * 1.01 + 1e-9).contains(&row["c"]),
            "{line} {low} {high}"
        );
        let distinct = (at + 1).min(300) as f64;
        assert!((row["d"] - distinct).abs() <= distinct * 0.03, "{line} {distinct}");
    }
    assert_eq!(direct.made.len(), 3000);
}

#[test]
fn copies_of_points_are_written_too() {
    let query = "CREATE STREAM o AS SELECT *, lag(x) OVER (PARTITION BY host) AS l, sum(x) OVER (PARTITION BY host RANGE '3s' PRECEDING) AS s FROM m";
    let made = |restarts: bool| {
        let mut direct = Direct::new(query);
        for second in 0..30 {
            let lines = [
                format!("m,host=a,rack=r{} x={second}i,t=\"{second}\" {second}", second % 3),
                format!("m,host=b x={second}.5,on=true,u=7u {second}"),
            ];
            direct.feed(second, &lines);
            if restarts {
                direct.restart();
            }
        }
        direct.close(60, Closing::All);
        direct.made
    };
    assert_eq!(made(true), made(false));
    assert_eq!(made(true).len(), 60);
    assert_eq!(made(true)[59], "o,host=b x=29.5,on=true,u=7u,l=28.5,s=112 29");
}

#[test]
fn broken_states_are_refused() {
    let query = "SELECT *, sum(x) OVER (PARTITION BY host ROWS 3 PRECEDING) AS s, median(x) OVER w AS d, max(x) OVER w AS l, count(x) OVER w AS n FROM m WINDOW w AS (PARTITION BY host)";
    let mut direct = Direct::new(query);
    let mut random = Random(9);
    for second in 0..20 {
        let lines: Vec<String> = (0..5)
            .map(|id| {
                let x = Some(random.below(100) as f64);
                text(&Point { id, second, host: random.below(3), x, int: random.below(2) == 0 })
            })
            .collect();
        direct.feed(second, &lines);
    }
    let bytes = direct.written();
    Direct::new(query).read(&bytes).unwrap();
    for length in 0..bytes.len() {
        assert!(Direct::new(query).read(&bytes[..length]).is_err(), "{length}");
    }
    for _ in 0..3000 {
        let mut other = bytes.clone();
        let at = random.below(other.len() as u64) as usize;
        other[at] ^= 1 << random.below(8);
        let mut reader = Direct::new(query);
        if reader.read(&other).is_ok() {
            // What is read can be worked with.
            reader.feed(25, &["m,host=h1 id=1i,x=3 24".to_owned()]);
            reader.close(60, Closing::All);
        }
    }
}
