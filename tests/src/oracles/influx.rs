//! Line protocol, line by line against the `influxdb-line-protocol` crate.
//!
//! Where lines end is told by a second, plain reading of the rule in the design: a newline belongs to
//! a quoted string only if a closing quote follows within 64 KiB and is followed by comma, space or
//! newline. Where the two parsers differ about a line stands in [`DEVIATIONS`].

use std::collections::BTreeMap;

use headwater_formats::influx::InfluxParser;
use headwater_plugin_api::batch::{PointRef, Value};
use influxdb_line_protocol::FieldValue;

use super::{DEFAULT_TIME, parse, shown};

/// A difference from the crate that was decided on.
pub struct Deviation {
    /// What differs and why.
    pub about: &'static str,
    /// A line that shows it.
    pub example: &'static str,
    /// Whether a line is such a case. `ours` and `theirs`: whether each takes it.
    pub applies: fn(line: &[u8], ours: bool, theirs: bool) -> bool,
}

/// Where the scanner and the crate differ about a single line.
pub const DEVIATIONS: &[Deviation] = &[];

/// A point in a form that compares: tags and fields by key, the last of equal ones.
#[derive(Debug, Clone, PartialEq)]
struct Plain {
    name: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, String>,
    time: i64,
}

fn ours(point: &PointRef<'_>) -> Plain {
    let series = point.series();
    let value = |value: Value<'_>| match value {
        Value::F64(v) => format!("{:x}", v.to_bits()),
        Value::I64(v) => format!("{v}i"),
        Value::U64(v) => format!("{v}u"),
        Value::Bool(v) => v.to_string(),
        Value::Text(v) => format!("{v:?}"),
        Value::Unknown { kind, .. } => panic!("a field of kind {kind}"),
    };
    Plain {
        name: series.name().to_owned(),
        tags: series.tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        fields: point.fields().map(|(k, v)| (k.to_owned(), value(v))).collect(),
        time: point.time(),
    }
}

/// What the crate makes of one line.
fn theirs(line: &str) -> Result<Option<Plain>, String> {
    let mut lines = influxdb_line_protocol::parse_lines(line);
    let Some(first) = lines.next() else { return Ok(None) };
    let parsed = first.map_err(|error| error.to_string())?;
    if lines.next().is_some() {
        return Err("it takes it for several lines".into());
    }
    let value = |value: &FieldValue<'_>| match value {
        FieldValue::F64(v) => format!("{:x}", v.to_bits()),
        FieldValue::I64(v) => format!("{v}i"),
        FieldValue::U64(v) => format!("{v}u"),
        FieldValue::Boolean(v) => v.to_string(),
        FieldValue::String(v) => format!("{:?}", v.as_str()),
    };
    let tags = parsed.series.tag_set.iter().flatten();
    Ok(Some(Plain {
        name: parsed.series.measurement.to_string(),
        tags: tags.map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        fields: parsed.field_set.iter().map(|(k, v)| (k.to_string(), value(v))).collect(),
        time: parsed.timestamp.unwrap_or(DEFAULT_TIME),
    }))
}

/// Bytes that a quoted string with line ends in it may have.
const QUOTED_MAX: usize = 64 << 10;

/// Where the line that begins at `start` ends: the place of its newline, or the end of the text.
pub fn line_end(text: &[u8], start: usize) -> usize {
    let newline = |from: usize| {
        text[from..].iter().position(|b| *b == b'\n').map_or(text.len(), |at| from + at)
    };
    let blanks = text[start..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let mut at = start + blanks;
    if text.get(at) == Some(&b'#') {
        return newline(at);
    }
    // The series: up to the first space that is not escaped.
    while at < text.len() && text[at] != b' ' {
        match text[at] {
            b'\n' => return at,
            b'\\' if text.get(at + 1).is_some_and(|b| *b != b'\n') => at += 2,
            _ => at += 1,
        }
    }
    let fields = at;
    while at < text.len() {
        match text[at] {
            b'\n' => return at,
            b'"' if opens(text, fields, at) => match close(text, at) {
                Some(end) => at = end + 1,
                None => return newline(at),
            },
            _ => at += 1,
        }
    }
    text.len()
}

/// Whether a quote opens a string: an equals sign that is not escaped stands before it.
fn opens(text: &[u8], fields: usize, quote: usize) -> bool {
    if quote == fields || text[quote - 1] != b'=' {
        return false;
    }
    let before = &text[fields..quote - 1];
    before.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0
}

/// The closing quote of the string that opens at `open`, if the string is one.
fn close(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    let mut has_newline = false;
    while at < text.len() {
        match text[at] {
            b'"' => {
                if !has_newline {
                    return Some(at);
                }
                let behind = match &text[at + 1..] {
                    [] | [b',' | b' ' | b'\n', ..] | [b'\r', b'\n', ..] => true,
                    [b'\r'] => true,
                    _ => false,
                };
                return (behind && at - open <= QUOTED_MAX).then_some(at);
            }
            b'\\' if matches!(text.get(at + 1), Some(b'"' | b'\\')) => at += 2,
            byte => {
                has_newline |= byte == b'\n';
                at += 1;
            }
        }
    }
    None
}

/// The lines of a text, without their ends.
pub fn lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let end = line_end(text, start);
        lines.push(&text[start..end]);
        start = end + 1;
    }
    lines
}

/// Holds a text against its lines one by one, and each line against the crate.
///
/// # Panics
/// On a difference that is not in [`DEVIATIONS`].
pub fn check(text: &[u8]) {
    let whole = parse::<InfluxParser>("", text);
    let mut points = Vec::new();
    let mut bad = 0;
    for line in lines(text) {
        let alone = parse::<InfluxParser>("", &[line, b"\n"].concat());
        let found: Vec<Plain> =
            alone.batches.iter().flat_map(|batch| batch.points().map(|p| ours(&p))).collect();
        assert!(found.len() + alone.bad.len() <= 1, "several records in {}", shown(line));
        compare(line, found.first(), !alone.bad.is_empty());
        points.extend(found);
        bad += alone.bad.len();
    }
    let found: Vec<Plain> =
        whole.batches.iter().flat_map(|batch| batch.points().map(|p| ours(&p))).collect();
    assert_eq!(found, points, "the lines of {} one by one", shown(text));
    assert_eq!(whole.bad.len(), bad, "the bad lines of {} one by one", shown(text));
    for record in &whole.bad {
        let end = record.offset + record.len;
        assert!(end <= text.len(), "a bad line outside of {}", shown(text));
        let within = (record.offset..=end + 1).contains(&record.at);
        assert!(
            within,
            "an error at {} of a line at {}..{end} in {}",
            record.at,
            record.offset,
            shown(text)
        );
    }
}

fn compare(line: &[u8], ours: Option<&Plain>, refused: bool) {
    let Ok(text) = std::str::from_utf8(line) else {
        assert!(ours.is_none(), "a line that is not UTF-8 made a point: {}", shown(line));
        return;
    };
    let theirs = theirs(text);
    let same = match (ours, &theirs) {
        (Some(ours), Ok(Some(theirs))) => ours == theirs,
        (None, Ok(None)) => !refused,
        (None, Err(_)) => true,
        _ => false,
    };
    let takes = matches!(theirs, Ok(Some(_)));
    if !same && !DEVIATIONS.iter().any(|d| (d.applies)(line, ours.is_some(), takes)) {
        panic!("{}\n  ours: {ours:?}\n theirs: {theirs:?}", shown(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Random;

    const TEXT: &[&str] = &[
        "cpu", "host", "a", "é", "a\\ b", "a\\,b", "a\\=b", "\\", "a\\", "a\\\\", "\\\\a", "\\a", "=", "a=b", "", "\"", "a\"b",
        "\t", "\0", "#", "#a", "'", "1", "\r", "a\\\tb", "\u{7f}", "\u{feff}", "a\\\"b",
    ];
    const VALUES: &[&str] = &[
        "1", "-1", "+1", "0", "-0", "00", "01", "1.", ".5", "-.5", "1.5", "1e3", "1E3", "1e+3", "1e-3", "1e", "e3",
        "1e400", "-1e400", "1e-400", "5e-324", "0.1234567890123456789", "123456789012345678901234567890", "1i",
        "-1i", "+1i", "01i", "1.5i", "9223372036854775807i", "9223372036854775808i", "-9223372036854775808i",
        "-9223372036854775809i", "i", "1u", "-1u", "18446744073709551615u", "18446744073709551616u", "u", "t", "T",
        "true", "True", "TRUE", "f", "F", "false", "False", "FALSE", "tRUE", "truex", "nan", "NaN", "inf", "-inf",
        "Infinity", "\"\"", "\"x\"", "\"x y\"", "\"x,y=z\"", "\"x\\\"y\"", "\"x\\\\\"", "\"x\\\\\\\"y\"", "\"x\\ny\"",
        "\"x\ny\"", "\"x", "x\"", "\"x\"y", "\"é\"", "\"\t\"", "\"\0\"", "", "0x10", "1_000", "--1", "1-", "1..2",
    ];
    const TIMES: &[&str] = &[
        "", "", "", " ", "  ", " 1", " -1", " +1", " 01", " 0", " 1700000000000000000", " 9223372036854775807",
        " 9223372036854775808", " -9223372036854775808", " -9223372036854775809", "  1", " 1 ", " 1  ", "\r", " 1\r",
        " 1.5", " 1e3", " 1i", " x", " 1 2", "\t1", " 1\t", ",", ", 1", " -", " \r",
    ];

    /// A line from parts that parsers stumble over.
    fn line(random: &mut Random) -> String {
        let mut pick = |from: &[&'static str]| from[random.below(from.len() as u64) as usize];
        let mut line = String::new();
        let plain = |text: &'static str, other: &'static str| if text.len() % 2 == 0 { other } else { text };
        if pick(TEXT) == "#" {
            line.push_str(pick(&[" ", "  ", "\t", "#", " #"]));
        }
        line.push_str(plain(pick(TEXT), "m"));
        for _ in 0..pick(&["", "", "a", "aa", "aaa"]).len() {
            line.push_str(pick(&[",", ",", ",", ",", ",,", ""]));
            line.push_str(plain(pick(TEXT), "k"));
            line.push_str(pick(&["=", "=", "=", "=", "=", "=", "==", ""]));
            line.push_str(plain(pick(TEXT), "v"));
        }
        line.push_str(pick(&[" ", " ", " ", " ", " ", " ", " ", "  ", "\t", ""]));
        for field in 0..pick(&["", "a", "a", "a", "aa", "aa", "aaa"]).len() {
            if field > 0 {
                line.push_str(pick(&[",", ",", ",", ",", ",", ",,", ", "]));
            }
            line.push_str(plain(pick(TEXT), ["f", "g", "h"][field]));
            line.push_str(pick(&["=", "=", "=", "=", "=", "=", "=", "==", ""]));
            line.push_str(pick(VALUES));
        }
        line.push_str(pick(TIMES));
        line
    }

    #[test]
    fn lines_from_parts() {
        let mut random = Random::new(1);
        for _ in 0..40_000 {
            let mut text = String::new();
            for _ in 0..random.below(3) + 1 {
                text.push_str(&line(&mut random));
                text.push_str(if random.below(8) == 0 { "\r\n" } else { "\n" });
            }
            let mut text = text.into_bytes();
            check(&text);
            let at = random.below(text.len() as u64) as usize;
            match random.below(3) {
                0 => text[at] = random.bits() as u8,
                1 => drop(text.remove(at)),
                _ => text.truncate(at),
            }
            check(&text);
        }
    }

    #[test]
    fn each_deviation_is_one() {
        for deviation in DEVIATIONS {
            let line = deviation.example.as_bytes();
            let alone = parse::<InfluxParser>("", &[line, b"\n"].concat());
            let found: Vec<Plain> =
                alone.batches.iter().flat_map(|batch| batch.points().map(|p| ours(&p))).collect();
            let theirs = theirs(deviation.example);
            let takes = matches!(theirs, Ok(Some(_)));
            let differs = match (found.first(), &theirs) {
                (Some(ours), Ok(Some(theirs))) => ours != theirs,
                (None, Ok(None)) => !alone.bad.is_empty(),
                (None, Err(_)) => false,
                _ => true,
            };
            assert!(differs, "no difference: {}", deviation.about);
            assert!((deviation.applies)(line, !found.is_empty(), takes), "{}", deviation.about);
        }
    }

    #[test]
    fn lines_end_by_the_rule() {
        for (text, count) in [
            ("a b=1\nc d=2\n", 2),
            ("a b=\"x\ny\" 1\nc d=2", 2),
            ("a b=\"x\nc d=2\n", 2),
            ("# it's \"quoted\na b=1\n# \" \n", 3),
            ("a\\\nb c=1", 2),
        ] {
            assert_eq!(lines(text.as_bytes()).len(), count, "{text:?}");
        }
    }
}
