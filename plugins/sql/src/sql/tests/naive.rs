//! Random points in any order and any batches, and what their windows should give, worked out the
//! plain way.

use super::*;

/// A point at a second since `T`.
#[derive(Clone)]
pub struct Point {
    pub second: i64,
    pub host: u64,
    pub value: i64,
}

impl Point {
    pub fn line(&self) -> String {
        format!("m,host=h{} x={}i {}", self.host, self.value, self.second)
    }
}

/// The columns of [`row`].
pub const COLUMNS: &str = "host, count(*) AS n, sum(x) AS s, min(x) AS lo, max(x) AS hi, first(x) AS f, last(x) AS l, count(DISTINCT x) AS d";

/// The row of some points of a host.
pub fn row(points: &[&Point], stamp: i64) -> String {
    let values = || points.iter().map(|point| point.value);
    let end = |key: fn(&Point) -> i64| {
        let best = points.iter().map(|point| (key(point), point.value)).max();
        best.unwrap().1
    };
    let distinct: std::collections::BTreeSet<i64> = values().collect();
    format!(
        "s,host=h{} n={}i,s={}i,lo={}i,hi={}i,f={}i,l={}i,d={}i {stamp}",
        points[0].host,
        points.len(),
        values().sum::<i64>(),
        values().min().unwrap(),
        values().max().unwrap(),
        end(|point| -point.second),
        end(|point| point.second),
        distinct.len(),
    )
}

/// So many points of four hosts from `T` on, about `rate` in a second, with silences.
pub fn points(count: usize, rate: u64, seed: u64) -> Vec<Point> {
    let mut random = Random(seed);
    let mut second = 0;
    let mut out = Vec::new();
    for _ in 0..count {
        if random.below(rate) == 0 {
            second += 1 + if random.below(9) == 0 { random.below(25) as i64 } else { 0 };
        }
        let (host, value) = (random.below(4), random.below(50) as i64);
        out.push(Point { second, host, value });
    }
    out
}

/// Feeds points that are moved by less than four seconds, in batches of random sizes; with `replay`
/// from a source that is an hour behind.
pub fn run(s: &mut Stage, points: &[Point], seed: u64, replay: bool) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut points = points.to_vec();
    points.sort_by_cached_key(|point| point.second * 1000 + random.below(2500) as i64);
    let behind = if replay { 3600 } else { 0 };
    let (mut rest, mut now) = (&points[..], behind);
    while !rest.is_empty() {
        let (part, later) = rest.split_at(rest.len().min(1 + random.below(60) as usize));
        let lines: Vec<String> = part.iter().map(Point::line).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        now = part.iter().map(|point| point.second + behind).max().unwrap_or(0).max(now);
        s.feed(now, &lines);
        if random.below(2) == 0 {
            s.tick(now);
        }
        rest = later;
    }
    s.stop(now);
    assert_eq!((s.metric("points_late"), s.metric("points_overflow")), (0, 0));
    s.made.sort();
}
