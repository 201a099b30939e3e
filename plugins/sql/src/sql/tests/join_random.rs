//! Joins of random points, against what they should give, worked out the plain way.

use super::*;

/// A point of a source.
#[derive(Debug, Clone)]
struct Point {
    is_partner: bool,
    /// Milliseconds since `T`.
    time: i64,
    key: Option<u64>,
    value: i64,
}

impl Point {
    fn line(&self) -> String {
        let side = if self.is_partner { "b" } else { "a" };
        let key = self.key.map_or_else(String::new, |key| format!(",k=k{key}"));
        format!("{side}{key} v={}i {}", self.value, self.time)
    }
}

/// A join.
#[derive(Debug, Clone)]
struct Case {
    asof: bool,
    keeps_left: bool,
    /// Milliseconds.
    low: i64,
    high: i64,
    /// Whether the bounds themselves are left out.
    strict: (bool, bool),
    seed: u64,
}

impl Case {
    fn random(seed: u64) -> Case {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let asof = random.below(2) == 0;
        let high = if asof { 0 } else { random.below(7000) as i64 - 2000 };
        let low = high - 500 - random.below(6000) as i64;
        let strict = (random.below(2) == 0, random.below(2) == 0);
        let keeps_left = random.below(2) == 0;
        Case { asof, keeps_left, low, high, strict, seed: random.below(u64::MAX) }
    }

    fn query(&self) -> String {
        let bound = |strict: bool, strictly: &str, time: i64| {
            let sign = if time < 0 { '-' } else { '+' };
            let equal = if strict { "" } else { "=" };
            format!("b.time {strictly}{equal} a.time {sign} INTERVAL '{}ms'", time.abs())
        };
        let (low, high) =
            (bound(self.strict.0, ">", self.low), bound(self.strict.1, "<", self.high));
        let left = if self.keeps_left { "LEFT " } else { "" };
        let columns = "SELECT a.k, a.v AS v, b.v AS w";
        if self.asof {
            let matches = if self.strict.1 { "a.time > b.time" } else { "a.time >= b.time" };
            return format!(
                "CREATE STREAM j AS {columns} FROM a ASOF {left}JOIN b MATCH_CONDITION ({matches}) ON a.k = b.k AND {low}"
            );
        }
        format!(
            "CREATE STREAM j AS {columns} FROM a {left}JOIN b ON b.k = a.k AND {low} AND {high}"
        )
    }

    fn fits(&self, a: &Point, b: &Point) -> bool {
        let apart = b.time - a.time;
        let low = if self.strict.0 { apart > self.low } else { apart >= self.low };
        let high = if self.strict.1 { apart < self.high } else { apart <= self.high };
        low && high && a.key.is_some() && a.key == b.key
    }

    fn expected(&self, points: &[Point]) -> Vec<String> {
        let mut of_a: Vec<&Point> = points.iter().filter(|point| !point.is_partner).collect();
        of_a.sort_by_key(|a| (a.time, a.key, a.value));
        let mut out = Vec::new();
        for a in of_a {
            let mut partners: Vec<&Point> =
                points.iter().filter(|b| b.is_partner && self.fits(a, b)).collect();
            partners.sort_by_key(|b| (b.time, b.value));
            if self.asof {
                partners = partners.last().copied().into_iter().collect();
            }
            let key = a.key.map_or_else(String::new, |key| format!(",k=k{key}"));
            let row = |w: String| format!("j{key} v={}i{w} {}", a.value, a.time);
            out.extend(partners.iter().map(|b| row(format!(",w={}i", b.value))));
            if partners.is_empty() && self.keeps_left {
                out.push(row(String::new()));
            }
        }
        out
    }
}

fn points(seed: u64) -> Vec<Point> {
    let mut random = Random(seed | 1);
    let (count, keys) = (20 + random.below(150), 1 + random.below(4));
    // Some sources are rare, many points share their time.
    let share = 1 + random.below(5);
    (0..count)
        .map(|_| Point {
            is_partner: random.below(6) < share,
            time: random.below(200) as i64 * 100,
            key: (random.below(12) > 0).then(|| random.below(keys)),
            value: random.below(1000) as i64,
        })
        .collect()
}

const MS: i64 = 1_000_000;

fn batch_of(points: &[Point], origin: u64) -> Batch {
    let mut builder = BatchBuilder::default();
    for point in points {
        let mut new = builder.point(if point.is_partner { "b" } else { "a" });
        let key = point.key.map(|key| format!("k{key}"));
        if let Some(key) = &key {
            new = new.tag("k", key);
        }
        new.field("v", point.value).finish(T * S + point.time * MS).unwrap();
    }
    let mut batch = builder.finish().unwrap();
    batch.set_origin(origin);
    batch
}

/// Points as they come, each less than two seconds late, in batches of random sizes; with `replay` an
/// hour later, from a source that lags behind the clock.
fn run(case: &Case, points: &[Point], seed: u64, replay: bool) -> Vec<String> {
    let mut random = Random(seed | 1);
    let mut s = stage("delay = '2s'\ntags = ['k']\nmax_future = '1h'", &case.query());
    let mut points: Vec<(i64, Point)> =
        points.iter().map(|p| (p.time + random.below(1900) as i64, p.clone())).collect();
    points.sort_by_key(|(at, _)| *at);
    let behind = if replay { 3_600_000 } else { 0 };
    let mut made = Vec::new();
    let mut take = |batches: &[Batch]| {
        for point in batches.iter().flat_map(Batch::points) {
            let line = testkit::line(&point);
            let (rest, time) = line.rsplit_once(' ').unwrap();
            let nanos: i64 = time.parse().unwrap();
            made.push(format!("{rest} {}", (nanos - T * S) / MS));
        }
    };
    let mut rest = points.as_slice();
    let mut now = T * S;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(rest.len().min(1 + random.below(40) as usize));
        // All come when the first does: no point of the batch is late then.
        now = T * S + (part[0].0 + behind) * MS;
        let part: Vec<Point> = part.iter().map(|(_, point)| point.clone()).collect();
        let (got, result) = s.sql.process(now, batch_of(&part, 1));
        result.unwrap();
        take(&got.batches);
        if random.below(2) == 0 {
            take(&s.sql.tick(now).0.batches);
        }
        rest = later;
    }
    if random.below(2) == 0 {
        take(&s.sql.tick(now + 3600 * S).0.batches);
    }
    take(&s.sql.control(now + 3600 * S, Control::Stop).0.batches);
    assert_eq!((s.metric("points_late"), s.metric("points_overflow")), (0, 0));
    made
}

#[test]
fn random_joins_give_what_they_should_in_any_batches_and_order() {
    let mut rows = 0;
    for seed in 1..400 {
        let case = Case::random(seed);
        let points = points(case.seed);
        let expected = case.expected(&points);
        rows += expected.len();
        for (run_seed, replay) in [(seed, false), (seed + 1000, false), (seed + 2000, true)] {
            let made = run(&case, &points, run_seed, replay);
            assert_eq!(
                made,
                expected,
                "seed {seed}, {replay}, {case:?}\n{}\n{:#?}",
                case.query(),
                points.iter().map(Point::line).collect::<Vec<_>>()
            );
        }
    }
    assert!(rows > 20_000, "{rows}");
}
