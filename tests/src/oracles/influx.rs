//! Line protocol, line by line against the `influxdb-line-protocol` crate.
//!
//! Where lines end is told by a second, plain reading of the rule in the design: a newline belongs to
//! a quoted string only if a closing quote follows within 64 KiB and is followed by comma, space or
//! newline. Where the two parsers differ about a line stands in [`DEVIATIONS`].

use std::collections::BTreeMap;

use headwater_formats::influx::InfluxParser;
use headwater_plugin_api::abi::module::ParserPlugin;
use headwater_plugin_api::abi::shim;
use headwater_plugin_api::batch::{PointRef, Value};
use headwater_plugin_api::testkit::Collected;
use influxdb_line_protocol::FieldValue;

use super::{DEFAULT_TIME, parse, shown};

/// What both made of one line.
pub struct Case<'a> {
    line: &'a str,
    ours: Option<&'a Plain>,
    /// Why the line was refused.
    why: &'a str,
    theirs: &'a Result<Option<Plain>, String>,
}

impl Case<'_> {
    /// Refused with a sentence of this beginning, while the crate makes a point of it that `shows` why.
    fn refused(&self, why: &str, shows: impl Fn(&Plain) -> bool) -> bool {
        self.why.contains(why) && matches!(self.theirs, Ok(Some(theirs)) if shows(theirs))
    }

    /// Taken, and refused by the crate unless the line is rewritten.
    fn taken_as(&self, line: &str) -> bool {
        self.theirs.is_err()
            && line != self.line
            && self
                .ours
                .is_some_and(|ours| theirs(line).is_ok_and(|theirs| theirs.as_ref() == Some(ours)))
    }
}

/// A difference from the crate that was decided on.
pub struct Deviation {
    /// What differs and why.
    pub about: &'static str,
    /// A line that shows it.
    pub example: &'static str,
    /// Whether a line is such a case.
    pub applies: fn(&Case<'_>) -> bool,
}

/// Where the scanner and the crate differ about a single line.
pub const DEVIATIONS: &[Deviation] = &[
    Deviation {
        about: "blanks and a carriage return at the end of a line mean nothing",
        example: "m f=1 1 \r",
        applies: |case| case.taken_as(trimmed(case.line)),
    },
    Deviation {
        about: "a double may begin with its point or end in it, as InfluxDB takes it",
        example: "m f=1.",
        applies: |case| {
            case.taken_as(&with_digits(case.line))
                || case.taken_as(&with_digits(trimmed(case.line)))
        },
    },
    Deviation {
        about: "two backslashes in names and keys are two, as in InfluxDB: only commas, spaces and equals \
                signs are escaped there",
        example: "a\\\\b f=1",
        applies: |case| match (case.ours, case.theirs) {
            (Some(ours), Ok(Some(theirs))) => ours.with_single_backslashes() == *theirs,
            (Some(ours), Err(_)) => {
                let line = trimmed(case.line);
                let ours = Some(ours.with_single_backslashes());
                [line, &with_digits(line)].iter().any(|line| theirs(line).as_ref() == Ok(&ours))
            }
            _ => false,
        },
    },
    Deviation {
        about: "a backslash before a comma, space or equals sign escapes it even behind another backslash, \
                as in InfluxDB",
        example: "a\\\\,k=v f=1",
        applies: |case| ["\\\\,", "\\\\ ", "\\\\="].iter().any(|part| case.line.contains(part)),
    },
    Deviation {
        about: "a quote in a name, tag or key opens no string, so that a line end in a string behind it is found",
        example: " m=n \"=\"x\ny\"",
        applies: |case| {
            case.line.contains('\n')
                && case.ours.is_some_and(|ours| ours.has_quote_outside_of_values())
        },
    },
    Deviation {
        about: "a comma in a tag key must be escaped, and the key cannot be empty",
        example: "m,,k=v f=1",
        applies: |case| {
            case.refused("the tag", |theirs| theirs.tags.keys().any(|key| key.contains(',')))
        },
    },
    Deviation {
        about: "an equals sign in a tag value must be escaped, as InfluxDB wants it",
        example: "m,k=a=b f=1",
        applies: |case| {
            case.refused("an equals sign in a tag value", |_| true)
                || case.refused("the tag has no value", |_| case.line.contains("=="))
        },
    },
    Deviation {
        about: "a comma behind a field announces another one",
        example: "m f=1,",
        applies: |case| case.refused("the field key is missing", |_| true),
    },
    Deviation {
        about: "a comma in a field key must be escaped",
        example: "m f,g=1",
        applies: |case| {
            case.refused("the field", |theirs| theirs.fields.keys().any(|key| key.contains(',')))
        },
    },
    Deviation {
        about: "a double beyond the largest one is refused and not infinite",
        example: "m f=1e400",
        applies: |case| {
            let infinite =
                |value: &String| value == "7ff0000000000000" || value == "fff0000000000000";
            case.refused("is larger than a double", |theirs| theirs.fields.values().any(infinite))
        },
    },
    Deviation {
        about: "tabs and zero bytes in names and keys are refused: they come of missing escapes",
        example: "m,a\0b=c f=1",
        applies: |case| {
            case.refused("a tab, line end or zero byte", |_| case.line.contains(['\t', '\0']))
        },
    },
    Deviation {
        about: "a carriage return before the fields ends the line",
        example: "m \r=1",
        applies: |case| case.refused("there are no fields", |_| case.line.contains(" \r")),
    },
];

fn trimmed(line: &str) -> &str {
    line.trim_end_matches([' ', '\r'])
}

/// The line with a zero before each double that begins with its point, and behind each that ends in it.
fn with_digits(line: &str) -> String {
    let bytes = line.as_bytes();
    let mut out = String::with_capacity(line.len() + 8);
    let (mut number, mut digits) = (false, false);
    // In a string up to here.
    let mut text = 0;
    for (at, char) in line.char_indices() {
        if char == '"' && number && at > 0 && bytes[at - 1] == b'=' && at >= text {
            text = close(bytes, at).unwrap_or(at);
        }
        if at < text {
            out.push(char);
            continue;
        }
        if char == '.' && number && !digits && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            out.push('0');
        }
        out.push(char);
        match char {
            '=' => (number, digits) = (true, false),
            '-' | '+' if number && bytes[at - 1] == b'=' => {}
            '0'..='9' if number => digits = true,
            '.' if number && digits => {
                if !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                    out.push('0');
                }
                number = false;
            }
            _ => number = false,
        }
    }
    out
}

/// A point in a form that compares: tags and fields by key, the last of equal ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Plain {
    name: String,
    tags: BTreeMap<String, String>,
    fields: BTreeMap<String, String>,
    time: i64,
}

impl Plain {
    fn has_quote_outside_of_values(&self) -> bool {
        let tags = self.tags.iter().flat_map(|(key, value)| [key, value]);
        let mut texts = tags.chain(self.fields.keys()).chain([&self.name]);
        texts.any(|text| text.contains('"'))
    }

    fn with_single_backslashes(&self) -> Plain {
        let single = |text: &String| text.replace("\\\\", "\\");
        Plain {
            name: single(&self.name),
            tags: self.tags.iter().map(|(k, v)| (single(k), single(v))).collect(),
            fields: self.fields.iter().map(|(k, v)| (single(k), v.clone())).collect(),
            time: self.time,
        }
    }
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
            b'\\' if matches!(text.get(at + 1), Some(b',' | b' ' | b'=')) => at += 2,
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
    !before.ends_with(b"\\")
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
                let behind = matches!(
                    &text[at + 1..],
                    [] | [b',' | b' ' | b'\n', ..] | [b'\r', b'\n', ..] | [b'\r']
                );
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

/// What a new parser makes of a text.
fn parsed(text: &[u8]) -> Collected {
    thread_local! {
        static PLUGIN: ParserPlugin = shim::parser::<InfluxParser>("0.0.0");
    }
    PLUGIN.with(|plugin| parse(plugin, "", text))
}

/// Holds a text against its lines one by one, and each line against the crate.
///
/// # Panics
/// On a difference that is not in [`DEVIATIONS`].
pub fn check(text: &[u8]) {
    let whole = parsed(text);
    let mut points = Vec::new();
    let mut bad = 0;
    for line in lines(text) {
        let alone = parsed(&[line, b"\n"].concat());
        let found: Vec<Plain> =
            alone.batches.iter().flat_map(|batch| batch.points().map(|p| ours(&p))).collect();
        assert!(found.len() + alone.bad.len() <= 1, "several records in {}", shown(line));
        compare(line, found.first(), alone.bad.first().map(|bad| &*bad.message));
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

fn compare(line: &[u8], ours: Option<&Plain>, why: Option<&str>) {
    let Ok(text) = std::str::from_utf8(line) else {
        assert!(ours.is_none(), "a line that is not UTF-8 made a point: {}", shown(line));
        return;
    };
    let theirs = theirs(text);
    if same(ours, why, &theirs) {
        return;
    }
    let case = Case { line: text, ours, why: why.unwrap_or_default(), theirs: &theirs };
    if !DEVIATIONS.iter().any(|deviation| (deviation.applies)(&case)) {
        panic!("{}\n  ours: {ours:?} {why:?}\n theirs: {theirs:?}", shown(line));
    }
}

fn same(ours: Option<&Plain>, why: Option<&str>, theirs: &Result<Option<Plain>, String>) -> bool {
    match (ours, theirs) {
        (Some(ours), Ok(Some(theirs))) => ours == theirs,
        (None, Ok(None)) => why.is_none(),
        (None, Err(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Random;

    const TEXT: &[&str] = &[
        "cpu", "host", "a", "é", "a\\ b", "a\\,b", "a\\=b", "\\", "a\\", "a\\\\", "\\\\a", "\\a",
        "=", "a=b", "", "\"", "a\"b", "\t", "\0", "#", "#a", "'", "1", "\r", "a\\\tb", "\u{7f}",
        "\u{feff}", "a\\\"b",
    ];
    const VALUES: &[&str] = &[
        "1",
        "-1",
        "+1",
        "0",
        "-0",
        "00",
        "01",
        "1.",
        ".5",
        "-.5",
        "1.5",
        "1e3",
        "1E3",
        "1e+3",
        "1e-3",
        "1e",
        "e3",
        "1e400",
        "-1e400",
        "1e-400",
        "5e-324",
        "0.1234567890123456789",
        "123456789012345678901234567890",
        "1i",
        "-1i",
        "+1i",
        "01i",
        "1.5i",
        "9223372036854775807i",
        "9223372036854775808i",
        "-9223372036854775808i",
        "-9223372036854775809i",
        "i",
        "1u",
        "-1u",
        "18446744073709551615u",
        "18446744073709551616u",
        "u",
        "t",
        "T",
        "true",
        "True",
        "TRUE",
        "f",
        "F",
        "false",
        "False",
        "FALSE",
        "tRUE",
        "truex",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "\"\"",
        "\"x\"",
        "\"x y\"",
        "\"x,y=z\"",
        "\"x\\\"y\"",
        "\"x\\\\\"",
        "\"x\\\\\\\"y\"",
        "\"x\\ny\"",
        "\"x\ny\"",
        "\"x",
        "x\"",
        "\"x\"y",
        "\"é\"",
        "\"\t\"",
        "\"\0\"",
        "",
        "0x10",
        "1_000",
        "--1",
        "1-",
        "1..2",
    ];
    const TIMES: &[&str] = &[
        "",
        "",
        "",
        " ",
        "  ",
        " 1",
        " -1",
        " +1",
        " 01",
        " 0",
        " 1700000000000000000",
        " 9223372036854775807",
        " 9223372036854775808",
        " -9223372036854775808",
        " -9223372036854775809",
        "  1",
        " 1 ",
        " 1  ",
        "\r",
        " 1\r",
        " 1.5",
        " 1e3",
        " 1i",
        " x",
        " 1 2",
        "\t1",
        " 1\t",
        ",",
        ", 1",
        " -",
        " \r",
    ];

    /// A line from parts that parsers stumble over.
    fn line(random: &mut Random) -> String {
        let mut pick = |from: &[&'static str]| from[random.below(from.len() as u64) as usize];
        let mut line = String::new();
        let plain = |text: &'static str, other: &'static str| {
            if text.len().is_multiple_of(2) { other } else { text }
        };
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
            let line = deviation.example;
            let alone = parsed(&[line.as_bytes(), b"\n"].concat());
            let found: Vec<Plain> =
                alone.batches.iter().flat_map(|batch| batch.points().map(|p| ours(&p))).collect();
            let why = alone.bad.first().map(|bad| &*bad.message);
            let theirs = theirs(line);
            assert!(!same(found.first(), why, &theirs), "no difference: {}", deviation.about);
            let why = why.unwrap_or_default();
            let case = Case { line, ours: found.first(), why, theirs: &theirs };
            let applying = DEVIATIONS.iter().filter(|deviation| (deviation.applies)(&case));
            let applying: Vec<&str> = applying.map(|deviation| deviation.about).collect();
            assert!(applying.contains(&deviation.about), "{line:?} is {applying:?}");
        }
    }

    #[test]
    fn deviations_come_together() {
        for line in ["m a\\\\b=\"r=.8\" ", "m a\\\\b=.8 \r", "m a\\\\b=\"r=.8\",c=1. "] {
            check(line.as_bytes());
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
