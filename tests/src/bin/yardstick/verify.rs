//! Holds what came out against what went in: counts, and sums over all values.

use std::collections::HashMap;

use headwater_tests::digest::{Digest, digest, digest_with, hash_of, parts};
use headwater_tests::points::{self, Point};

use crate::case::{Check, LINES_PER_DATAGRAM};
use crate::counters::Counters;
use crate::made::Made;

/// What an output must hold.
pub enum Expected {
    /// Nothing; the agent counts the points.
    Nothing,
    /// What it holds cannot be read; the agent counts the points as written.
    Unreadable,
    /// These lines in any order.
    Lines(Digest),
    /// Some of these lines, by their hashes, in order.
    Some(Vec<u64>),
    /// These groups.
    Groups(Names, Groups),
    /// Rows whose field `n` adds up to this.
    Counts(u64),
    /// So many rows.
    Rows(u64),
}

/// The fields of a group's point.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    count: &'static str,
    mean: &'static str,
    low: &'static str,
    high: &'static str,
}

const WINDOW: Names = Names { count: "n", mean: "mean", low: "low", high: "high" };

const STATISTICS: Names = Names {
    count: "usage_user_count",
    mean: "usage_user_mean",
    low: "usage_user_min",
    high: "usage_user_max",
};

/// Aggregates by time and host or series. The time is `None` if the load has none: then all windows
/// of a group are taken together.
type Groups = HashMap<(Option<i64>, String), Group>;

/// Aggregates of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    n: u64,
    sum: f64,
    low: f64,
    high: f64,
}

const EMPTY: Group = Group { n: 0, sum: 0.0, low: f64::INFINITY, high: f64::NEG_INFINITY };

const WINDOW_NS: i64 = 10_000_000_000;

/// What a load should become.
pub fn expected(check: Check, made: &Made) -> Result<Expected, String> {
    Ok(match check {
        Check::Dropped => Expected::Nothing,
        Check::Counted => Expected::Unreadable,
        Check::Lines => Expected::Lines(digest(&made.read()?)),
        Check::Edited => Expected::Lines(digest_edited(&made.read()?)),
        Check::Windows => Expected::Groups(WINDOW, windows(&made.read()?, made.is_json())),
        Check::Counts(times) => Expected::Counts(made.points() * times),
        Check::Rows => Expected::Rows(made.points()),
        Check::Joined => Expected::Rows(made.points() - made.load.series.min(made.points())),
        Check::Statistics => Expected::Groups(STATISTICS, statistics(&made.read()?)),
        Check::Datagrams => {
            let text = made.read()?;
            let lines = std::str::from_utf8(&text).unwrap_or_default().lines();
            let mut hashes: Vec<u64> = lines.filter_map(hash_of).collect();
            hashes.sort_unstable();
            Expected::Some(hashes)
        }
        Check::Good => {
            let (mut lines, mut line) = (made.load.lines(), String::new());
            let mut digest = Digest::default();
            while lines.next_into(&mut line) {
                if !lines.is_broken() {
                    digest.add(line.trim_end());
                }
                line.clear();
            }
            Expected::Lines(digest)
        }
    })
}

/// Whether the agent's counters say that all is in. `datagrams` were sent, with so many single lines
/// after them.
pub fn is_complete(
    check: Check,
    made: &Made,
    counters: &Counters,
    datagrams: u64,
    afters: u64,
) -> bool {
    let good = made.points() - made.broken;
    match check {
        Check::Counted => counters.written == good,
        Check::Datagrams => {
            let received = counters.gathered.saturating_sub(afters) / LINES_PER_DATAGRAM;
            counters.written + counters.pushed_out == counters.gathered
                && received + counters.dropped == datagrams
        }
        _ => counters.gathered == good && counters.refused == made.broken,
    }
}

/// The lines as the stages `rename`, `regex` and `tagdrop` should leave them.
fn digest_edited(text: &[u8]) -> Digest {
    digest_with(text, |key| {
        let tags = key.strip_prefix("cpu,")?;
        (!tags.contains("region=ap-south-1"))
            .then(|| format!("processor,{}", tags.replace("host=server", "host=s")))
    })
}

fn value_of<'a>(fields: &'a str, key: &str) -> Option<&'a str> {
    fields.split(',').find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

/// Aggregates by what `part` makes of a line: time, group, value.
fn groups<'a>(
    text: &'a [u8],
    part: impl Fn(&'a str) -> Option<(Option<i64>, &'a str, f64)>,
) -> Groups {
    let mut groups = Groups::new();
    for line in std::str::from_utf8(text).unwrap_or_default().lines() {
        let Some((time, name, value)) = part(line) else { continue };
        let group = groups.entry((time, name.to_owned())).or_insert(EMPTY);
        group.n += 1;
        group.sum += value;
        group.low = group.low.min(value);
        group.high = group.high.max(value);
    }
    groups
}

/// The groups that a window of 10 s by host makes.
fn windows(text: &[u8], json: bool) -> Groups {
    groups(text, if json { json_parts } else { line_parts })
}

/// The groups of 10 s by series, at the end of each.
fn statistics(text: &[u8]) -> Groups {
    groups(text, |line| {
        let (start, _, value) = line_parts(line)?;
        Some((start.map(|start| start + WINDOW_NS), parts(line)?.0, value))
    })
}

fn line_parts(line: &str) -> Option<(Option<i64>, &str, f64)> {
    let (key, fields, time) = parts(line)?;
    let host = value_of(key, "host").unwrap_or_default();
    let user = value_of(fields, "usage_user")?.parse().ok()?;
    let window =
        time.and_then(|time| time.parse::<i64>().ok()).map(|t| t - t.rem_euclid(WINDOW_NS));
    Some((window, host, user))
}

fn json_parts(line: &str) -> Option<(Option<i64>, &str, f64)> {
    let text = |key: &str| {
        let (_, rest) = line.split_once(key)?;
        Some(rest.split([',', '}']).next()?.trim_matches('"'))
    };
    Some((None, text("\"host\":")?, text("\"usage_user\":")?.parse().ok()?))
}

/// Holds an output against what was expected.
pub fn check(expected: &Expected, output: &[u8]) -> Result<String, String> {
    match expected {
        Expected::Unreadable => Ok("the agent's count".into()),
        Expected::Nothing if output.is_empty() => Ok("no line, the agent's count".into()),
        Expected::Nothing => Err(format!("expected nothing, found {} bytes", output.len())),
        Expected::Lines(expected) => {
            let found = digest(output);
            if found == *expected {
                return Ok(format!("{} lines, their sum", found.lines));
            }
            Err(format!("expected {expected:?}, found {found:?}"))
        }
        Expected::Rows(count) => {
            let found = output.iter().filter(|byte| **byte == b'\n').count() as u64;
            match found == *count {
                true => Ok(format!("{count} rows")),
                false => Err(format!("expected {count} rows, found {found}")),
            }
        }
        Expected::Counts(count) => {
            let text = std::str::from_utf8(output).map_err(|error| error.to_string())?;
            let fields = text.lines().filter_map(|line| Some(parts(line)?.1));
            let n = fields
                .filter_map(|fields| value_of(fields, "n")?.strip_suffix('i')?.parse::<u64>().ok());
            let found: u64 = n.sum();
            match found == *count {
                true => Ok(format!("{count} points in all rows")),
                false => Err(format!("expected {count} points in all rows, found {found}")),
            }
        }
        Expected::Some(hashes) => check_some(hashes, output),
        Expected::Groups(names, expected) => check_groups(names, expected, output),
    }
}

fn check_some(hashes: &[u64], output: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(output).map_err(|error| error.to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with("after "));
    let mut found: Vec<u64> = lines.filter_map(hash_of).collect();
    found.sort_unstable();
    let mut sent = hashes.iter();
    for hash in &found {
        if !sent.any(|sent| sent == hash) {
            return Err("a line came out that was not sent, or more often than it was".into());
        }
    }
    Ok(format!("{} of {} lines, each; counted drops", found.len(), hashes.len()))
}

/// Name and tags as line protocol writes them, for names without escapes.
fn series_of(point: &Point) -> String {
    let mut key = point.name.clone();
    for (tag, value) in &point.tags {
        key.push_str(&format!(",{tag}={value}"));
    }
    key
}

fn check_groups(names: &Names, expected: &Groups, output: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(output).map_err(|error| error.to_string())?;
    let timeless = expected.keys().all(|(window, _)| window.is_none());
    let by_series = names.count == STATISTICS.count;
    let mut found = Groups::new();
    for point in points::parse(text) {
        let n = point.number(names.count);
        let counts = point.fields.iter().filter(|(key, _)| key.ends_with("_count"));
        if counts.into_iter().any(|(_, count)| count.as_f64() != Some(n)) {
            return Err(format!("fields of a period differ in their counts: {point:?}"));
        }
        let name = if by_series { series_of(&point) } else { point.tag("host").to_owned() };
        let time = if timeless { None } else { point.time };
        let group = found.entry((time, name)).or_insert(EMPTY);
        group.n += n as u64;
        group.sum += point.number(names.mean) * n;
        group.low = group.low.min(point.number(names.low));
        group.high = group.high.max(point.number(names.high));
    }
    if found.len() != expected.len() {
        return Err(format!("expected {} groups, found {}", expected.len(), found.len()));
    }
    for (key, group) in expected {
        let Some(other) = found.get(key) else {
            return Err(format!("the group {key:?} is missing"));
        };
        let near = (group.sum - other.sum).abs() <= 1e-9 * group.sum.abs().max(1.0);
        if !near || (group.n, group.low, group.high) != (other.n, other.low, other.high) {
            return Err(format!("the group {key:?}: expected {group:?}, found {other:?}"));
        }
    }
    Ok(format!("{} groups, each value", expected.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"cpu,host=server1,region=x usage_user=1.50,ctx=7i 10000000001\n\
        cpu,host=server1,region=x usage_user=2.5,ctx=8i 10000000002\n\
        cpu,host=server2,region=ap-south-1 usage_user=3,ctx=8i 20000000001\n";

    fn refuses_each(expected: &Expected, good: &[u8], changes: &[(&str, &str)]) {
        assert_eq!(check(expected, good).map(|_| ()), Ok(()));
        for (from, to) in changes {
            let bad = String::from_utf8_lossy(good).replacen(from, to, 1);
            assert_ne!(bad.as_bytes(), good, "{from}");
            assert!(check(expected, bad.as_bytes()).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn edited_lines_are_held_against_each_other() {
        let edited = b"processor,host=s1,region=x usage_user=1.5,ctx=7i 10000000001\n\
            processor,host=s1,region=x usage_user=2.5,ctx=8i 10000000002\n";
        refuses_each(
            &Expected::Lines(digest_edited(TEXT)),
            edited,
            &[("processor", "cpu"), ("host=s1", "host=server1"), ("7i", "8i"), ("002\n", "003\n")],
        );
    }

    #[test]
    fn windows_are_held_against_each_other() {
        let good = b"w,host=server1 n=2i,mean=2,low=1.5,high=2.5 10000000000\n\
            w,host=server2 n=1i,mean=3,low=3,high=3 20000000000\n";
        refuses_each(
            &Expected::Groups(WINDOW, windows(TEXT, false)),
            good,
            &[("n=2i", "n=3i"), ("mean=2", "mean=2.1"), ("low=3", "low=2"), ("2 n", "3 n")],
        );
    }

    #[test]
    fn statistics_are_held_against_each_other() {
        let good = b"cpu,host=server1,region=x usage_user_count=2i,usage_user_mean=2,\
            usage_user_min=1.5,usage_user_max=2.5,ctx_count=2i 20000000000\n\
            cpu,host=server2,region=ap-south-1 usage_user_count=1i,usage_user_mean=3,\
            usage_user_min=3,usage_user_max=3,ctx_count=1i 30000000000\n";
        refuses_each(
            &Expected::Groups(STATISTICS, statistics(TEXT)),
            good,
            &[
                ("ctx_count=2i", "ctx_count=1i"),
                ("mean=2", "mean=2.1"),
                ("region=x", "region=y"),
                ("30000000000", "40000000000"),
            ],
        );
    }

    #[test]
    fn datagrams_may_be_missing_but_not_wrong() {
        let text = std::str::from_utf8(TEXT).unwrap();
        let mut hashes: Vec<u64> = text.lines().filter_map(hash_of).collect();
        hashes.sort_unstable();
        let expected = Expected::Some(hashes);
        let one = text.lines().next().unwrap();
        assert!(check(&expected, format!("{one}\nafter n=1i 1\n").as_bytes()).is_ok());
        assert!(check(&expected, format!("{one}\n{one}\n").as_bytes()).is_err());
        assert!(check(&expected, one.replace("7i", "9i").as_bytes()).is_err());
    }

    #[test]
    fn json_is_grouped_without_times() {
        let text =
            b"{\"host\":\"h1\",\"usage_user\":1.5,\"x\":1}\n{\"host\":\"h1\",\"usage_user\":2.5}\n";
        let good = b"w,host=h1 n=1i,mean=1.5,low=1.5,high=1.5 1\nw,host=h1 n=1i,mean=2.5,low=2.5,high=2.5 2\n";
        refuses_each(
            &Expected::Groups(WINDOW, windows(text, true)),
            good,
            &[("n=1i", "n=2i"), ("mean=1.5", "mean=1.6"), ("host=h1", "host=h2")],
        );
        assert!(check(&Expected::Nothing, b"x\n").is_err());
    }
}
