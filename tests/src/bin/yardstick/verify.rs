//! Holds what came out against what went in: counts, and sums over all values.

use std::collections::HashMap;

use headwater_tests::digest::{Digest, digest, digest_with, parts};
use headwater_tests::points;

/// What an output must hold.
pub enum Expected {
    /// Nothing can be looked at.
    Nothing,
    /// The line that followed the load, alone.
    End,
    /// These lines in any order.
    Lines(Digest),
    /// These groups by window and host. `None` for the window if the load has no times: then the
    /// windows of a host are taken together.
    Groups(HashMap<(Option<i64>, String), Group>),
}

/// Aggregates of a group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    n: u64,
    sum: f64,
    low: f64,
    high: f64,
}

const WINDOW_NS: i64 = 10_000_000_000;

/// The lines as the stages `rename`, `regex` and `tagdrop` should leave them.
pub fn digest_edited(text: &[u8]) -> Digest {
    digest_with(text, |key| {
        let tags = key.strip_prefix("cpu,")?;
        (!tags.contains("region=ap-south-1"))
            .then(|| format!("processor,{}", tags.replace("host=server", "host=s")))
    })
}

fn value_of<'a>(fields: &'a str, key: &str) -> Option<&'a str> {
    fields.split(',').find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
}

/// The groups that a window of 10 s by host makes.
pub fn windows(text: &[u8], json: bool) -> Expected {
    let mut groups = HashMap::new();
    for line in std::str::from_utf8(text).unwrap_or_default().lines() {
        let Some((window, host, user)) = (if json { json_parts(line) } else { line_parts(line) })
        else {
            continue;
        };
        let group = groups.entry((window, host.to_owned())).or_insert(Group {
            n: 0,
            sum: 0.0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
        });
        group.n += 1;
        group.sum += user;
        group.low = group.low.min(user);
        group.high = group.high.max(user);
    }
    Expected::Groups(groups)
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
        let (_, rest) = line.split_once(&format!("\"{key}\":"))?;
        Some(rest.split([',', '}']).next()?.trim_matches('"'))
    };
    Some((None, text("host")?, text("usage_user")?.parse().ok()?))
}

/// The sum of the counts in an output of windows.
pub fn counted(output: &str) -> u64 {
    let whole = output.rfind('\n').map_or("", |end| &output[..end]);
    whole
        .lines()
        .filter_map(|line| value_of(parts(line)?.1, "n")?.trim_end_matches(['i', 'u']).parse().ok())
        .fold(0u64, |sum, n: u64| sum.saturating_add(n))
}

/// Holds an output against what was expected.
pub fn check(expected: &Expected, output: &[u8]) -> Result<String, String> {
    match expected {
        Expected::Nothing => Ok("not readable".into()),
        Expected::End => {
            let text = String::from_utf8_lossy(output);
            if text.starts_with("end ") && text.lines().count() == 1 {
                return Ok("1 line, the last".into());
            }
            Err(format!("expected one line `end`, found {:?}", &text[..text.len().min(200)]))
        }
        Expected::Lines(expected) => {
            let found = digest(output);
            if found == *expected {
                return Ok(format!("{} lines and their sum", found.lines));
            }
            Err(format!("expected {expected:?}, found {found:?}"))
        }
        Expected::Groups(expected) => check_groups(expected, output),
    }
}

fn check_groups(
    expected: &HashMap<(Option<i64>, String), Group>,
    output: &[u8],
) -> Result<String, String> {
    let text = std::str::from_utf8(output).map_err(|error| error.to_string())?;
    let timeless = expected.keys().all(|(window, _)| window.is_none());
    let mut found: HashMap<(Option<i64>, String), Group> = HashMap::new();
    for point in points::parse(text) {
        let n = point.number("n");
        let (mean, low, high) = (point.number("mean"), point.number("low"), point.number("high"));
        let window = if timeless { None } else { point.time };
        let group = found.entry((window, point.tag("host").to_owned())).or_insert(Group {
            n: 0,
            sum: 0.0,
            low,
            high,
        });
        group.n += n as u64;
        group.sum += mean * n;
        group.low = group.low.min(low);
        group.high = group.high.max(high);
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

    #[test]
    fn a_digest_sees_values_and_not_their_writing_or_order() {
        let other = b"cpu,host=server2,region=ap-south-1 usage_user=3.0,ctx=8i 20000000001\n\
            cpu,host=server1,region=x usage_user=1.5,ctx=7i 10000000001\n\
            cpu,host=server1,region=x usage_user=2.5,ctx=8i 10000000002\n";
        assert_eq!(digest(TEXT), digest(other));
        let changed = String::from_utf8_lossy(other).replace("7i", "8i");
        assert_ne!(digest(TEXT), digest(changed.as_bytes()));
        let edited = b"processor,host=s1,region=x usage_user=1.5,ctx=7i 10000000001\n\
            processor,host=s1,region=x usage_user=2.5,ctx=8i 10000000002\n";
        assert_eq!(digest_edited(TEXT), digest(edited));
    }

    #[test]
    fn groups_are_held_against_each_other() {
        let expected = windows(TEXT, false);
        let good = b"w,host=server1 n=2i,mean=2,low=1.5,high=2.5 10000000000\n\
            w,host=server2 n=1i,mean=3,low=3,high=3 20000000000\n";
        assert!(check(&expected, good).is_ok());
        assert_eq!(counted(std::str::from_utf8(good).unwrap()), 3);
        for (from, to) in
            [("n=2i", "n=3i"), ("mean=2", "mean=2.1"), ("low=3", "low=2"), ("2 n", "3 n")]
        {
            let bad = String::from_utf8_lossy(good).replace(from, to);
            assert!(check(&expected, bad.as_bytes()).is_err(), "{from} -> {to}");
        }
    }
}
