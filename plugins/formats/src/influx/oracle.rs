//! The `influxdb-line-protocol` crate as an oracle, line by line, and the table of deviations.

use headwater_plugin_api::batch::{Batch, Value};
use headwater_plugin_api::testkit;
use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};

use super::InfluxParser;
use super::lines::line_end;
use crate::testing::Random;

/// A point: measurement, tags sorted, fields in order, time.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    name: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, String)>,
    time: i64,
}

const DEFAULT_TIME: i64 = -7;

/// What a line makes.
#[derive(Debug, Clone, PartialEq)]
enum Outcome {
    Nothing,
    Point(Point),
    Refused,
    /// More than one point, or points and errors.
    Several,
}

fn of_crate(line: &str) -> Outcome {
    let mut results = parse_lines(line);
    let outcome = match results.next() {
        None => Outcome::Nothing,
        Some(Err(_)) => Outcome::Refused,
        Some(Ok(parsed)) => Outcome::Point(crate_point(&parsed)),
    };
    if results.next().is_some() { Outcome::Several } else { outcome }
}

fn crate_point(parsed: &ParsedLine<'_>) -> Point {
    let mut tags: Vec<(String, String)> = Vec::new();
    for (key, value) in parsed.series.tag_set.iter().flatten() {
        tags.push((key.to_string(), value.to_string()));
    }
    tags.sort();
    let value = |value: &FieldValue<'_>| match value {
        FieldValue::F64(value) => format!("{:x}", value.to_bits()),
        FieldValue::I64(value) => format!("{value}i"),
        FieldValue::U64(value) => format!("{value}u"),
        FieldValue::Boolean(value) => value.to_string(),
        FieldValue::String(value) => format!("{:?}", value.as_str()),
    };
    Point {
        name: parsed.series.measurement.to_string(),
        tags,
        fields: parsed.field_set.iter().map(|(key, v)| (key.to_string(), value(v))).collect(),
        time: parsed.timestamp.unwrap_or(DEFAULT_TIME),
    }
}

fn points(batches: &[Batch]) -> Vec<Point> {
    let value = |value: Value<'_>| match value {
        Value::F64(value) => format!("{:x}", value.to_bits()),
        Value::I64(value) => format!("{value}i"),
        Value::U64(value) => format!("{value}u"),
        Value::Bool(value) => value.to_string(),
        Value::Text(value) => format!("{value:?}"),
        Value::Unknown { .. } => "?".into(),
    };
    let mut all = Vec::new();
    for point in batches.iter().flat_map(Batch::points) {
        all.push(Point {
            name: point.series().name().to_owned(),
            tags: point.series().tags().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            fields: point.fields().map(|(key, v)| (key.to_owned(), value(v))).collect(),
            time: point.time(),
        });
    }
    all
}

fn of_ours(line: &str) -> Outcome {
    let mut parser = testkit::parser::<InfluxParser>("").unwrap();
    let (found, result) = parser.parse(line.as_bytes(), DEFAULT_TIME);
    result.unwrap();
    let mut points = points(&found.batches);
    match (points.len(), found.bad.len()) {
        (0, 0) => Outcome::Nothing,
        (1, 0) => Outcome::Point(points.remove(0)),
        (0, 1) => Outcome::Refused,
        _ => Outcome::Several,
    }
}

/// A difference that is meant: a line that shows it, and how to know others.
struct Deviation {
    name: &'static str,
    line: &'static str,
    ours: Kind,
    theirs: Kind,
    applies: fn(&str) -> bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    Point,
    Refused,
    Several,
}

fn kind(outcome: &Outcome) -> Kind {
    match outcome {
        Outcome::Nothing => Kind::Nothing,
        Outcome::Point(_) => Kind::Point,
        Outcome::Refused => Kind::Refused,
        Outcome::Several => Kind::Several,
    }
}

/// The part before the first space that is not escaped, and the rest.
fn parts(line: &str) -> (&str, &str) {
    let line = line.trim_start_matches([' ', '\t']);
    let bytes = line.as_bytes();
    let end = (0..bytes.len()).find(|&at| bytes[at] == b' ' && (at == 0 || bytes[at - 1] != b'\\'));
    line.split_at(end.unwrap_or(line.len()))
}

/// The texts between commas that are not within strings.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut last = ' ';
    for c in parts(line).1.chars() {
        let escaped = last == '\\';
        last = if escaped && c == '\\' { ' ' } else { c };
        match c {
            '"' if !escaped => quoted = !quoted,
            ',' | ' ' if !quoted && !escaped => {
                fields.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(field) = fields.last_mut() {
            field.push(c);
        }
    }
    fields
}

const DEVIATIONS: [Deviation; 16] = [
    Deviation {
        name: "a carriage return belongs to the line end",
        line: "cpu a=1 5\r",
        ours: Kind::Point,
        theirs: Kind::Refused,
        applies: |line| line.trim_end_matches(' ').ends_with('\r'),
    },
    Deviation {
        name: "spaces may follow the fields without a time",
        line: "cpu a=1 ",
        ours: Kind::Point,
        theirs: Kind::Refused,
        applies: |line| line.ends_with(' '),
    },
    Deviation {
        name: "a number may begin with its point",
        line: "cpu a=.5",
        ours: Kind::Point,
        theirs: Kind::Refused,
        applies: |line| line.contains("=.") || line.contains("=-."),
    },
    Deviation {
        name: "a number may end with its point",
        line: "cpu a=5.",
        ours: Kind::Point,
        theirs: Kind::Refused,
        applies: |line| {
            let dots = [".,", ". ", ".e", ".E", ".\n"];
            line.ends_with('.') || dots.iter().any(|dot| line.contains(dot))
        },
    },
    Deviation {
        name: "a number that is too large is refused",
        line: "cpu a=1e400",
        ours: Kind::Refused,
        theirs: Kind::Point,
        applies: |line| {
            fields(line)
                .iter()
                .filter_map(|field| field.rsplit_once('='))
                .any(|(_, value)| value.parse::<f64>().is_ok_and(f64::is_infinite))
        },
    },
    Deviation {
        name: "of repeated tags the last counts",
        line: "cpu,host=a,host=b a=1",
        ours: Kind::Point,
        theirs: Kind::Point,
        applies: |line| {
            let mut keys: Vec<&str> =
                parts(line).0.split(',').filter_map(|tag| Some(tag.split_once('=')?.0)).collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            keys.len() < count
        },
    },
    Deviation {
        name: "of repeated fields the last counts",
        line: "cpu a=1,b=2,a=3",
        ours: Kind::Point,
        theirs: Kind::Point,
        applies: |line| {
            let fields = fields(line);
            let mut keys: Vec<&str> =
                fields.iter().filter_map(|field| Some(field.split_once('=')?.0)).collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            keys.len() < count
        },
    },
    Deviation {
        name: "a backslash before a backslash stands for itself outside of strings",
        line: "cpu,path=C:\\\\dir a=1",
        ours: Kind::Point,
        theirs: Kind::Point,
        applies: |line| line.contains("\\\\"),
    },
    Deviation {
        name: "a comma in a tag key is escaped",
        line: "cpu,a,b=c d=1",
        ours: Kind::Refused,
        theirs: Kind::Point,
        applies: |line| parts(line).0.split(',').skip(1).any(|tag| !tag.contains('=')),
    },
    Deviation {
        name: "a comma in a field key is escaped",
        line: "cpu a=1,b,c=2",
        ours: Kind::Refused,
        theirs: Kind::Point,
        applies: |line| {
            let fields = fields(line);
            fields.iter().any(|field| !field.contains('='))
        },
    },
    Deviation {
        name: "an equals sign in a tag value is escaped",
        line: "cpu,a=b=c d=1",
        ours: Kind::Refused,
        theirs: Kind::Point,
        applies: |line| parts(line).0.split(',').skip(1).any(|tag| tag.matches('=').count() > 1),
    },
    Deviation {
        name: "a zero byte is in no name, tag or key",
        line: "cpu,a=\0 d=1",
        ours: Kind::Refused,
        theirs: Kind::Point,
        applies: |line| line.contains('\0'),
    },
    Deviation {
        name: "a tab is in no name, tag or key, and a backslash does not change that",
        line: "cpu,a=\\\tb d=1",
        ours: Kind::Refused,
        theirs: Kind::Point,
        applies: |line| line.contains("\\\t"),
    },
    Deviation {
        name: "a line ends though a backslash stands before its end",
        line: "cpu a=1\\\nmem b=2",
        ours: Kind::Several,
        theirs: Kind::Refused,
        applies: |line| line.contains("\\\n"),
    },
    Deviation {
        name: "a string that is not closed ends with its line",
        line: "cpu a=\"x\nmem b=2",
        ours: Kind::Several,
        theirs: Kind::Refused,
        applies: |line| line.contains('\n'),
    },
    Deviation {
        name: "a quote in a comment means nothing",
        line: "# a=\"\nmem b=2\ncpu c=3",
        ours: Kind::Several,
        theirs: Kind::Refused,
        applies: |line| line.starts_with('#'),
    },
];

#[test]
fn deviations_are_as_the_table_says() {
    for deviation in &DEVIATIONS {
        let (ours, theirs) = (of_ours(deviation.line), of_crate(deviation.line));
        assert_ne!(ours, theirs, "{}", deviation.name);
        assert_eq!(kind(&ours), deviation.ours, "{}: {ours:?}", deviation.name);
        assert_eq!(kind(&theirs), deviation.theirs, "{}: {theirs:?}", deviation.name);
        assert!((deviation.applies)(deviation.line), "{}", deviation.name);
    }
}

/// A line that is valid, most often.
fn line(random: &mut Random) -> String {
    let names =
        ["cpu", "my\\ cpu", "m\\,x", "größe", "a=b", "x\\y", "\"q\"", "_", "cpu.load", "#x"];
    let tag_values = ["a", "b\\ c", "d\\=e", "f\\,g", "é", "1", "\"v\"", "w\\z", "true", "\\ "];
    let keys = ["usage", "u\\ v", "w\\=x", "y\\,z", "f1", "ключ", "\"k\"", "a\\b", "value", "x\"y"];
    let mut line = String::new();
    if random.below(12) == 0 {
        line.push_str(random.pick(&[" ", "\t", "  "]));
    }
    line.push_str(random.pick(&names));
    for at in 0..random.below(4) {
        let key = random.pick(&keys);
        line.push_str(&format!(",{key}{at}={}", random.pick(&tag_values)));
    }
    line.push_str(random.pick(&[" ", " ", " ", "  "]));
    for at in 0..=random.below(4) {
        if at > 0 {
            line.push(',');
        }
        let key = random.pick(&keys);
        line.push_str(&format!("{key}{at}={}", value(random)));
    }
    match random.below(6) {
        0 => {}
        1 => line.push_str(" 5"),
        2 => line.push_str(&format!("  {} ", random.next() as i64)),
        3 => line.push_str(&format!(" {}", random.next())),
        _ => line.push_str(&format!(" {}", 1_700_000_000_000_000_000 + random.below(1 << 30))),
    }
    line
}

fn value(random: &mut Random) -> String {
    match random.below(12) {
        0 => format!("{}i", random.next() as i64 >> random.below(64)),
        1 => format!("{}u", random.next() >> random.below(64)),
        2 => random
            .pick(&["t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"])
            .to_owned(),
        3 => "\"plain text\"".into(),
        4 => "\"a \\\"b\\\" \\\\ \\n, = ü\"".into(),
        5 => "\"two\nlines, a=1\"".into(),
        6 => f64::from_bits(random.next() & !(1 << 62)).to_string(),
        7 => format!("{:e}", f64::from_bits(random.next() & !(1 << 62))),
        8 => format!("{}", random.next() as i64 >> random.below(64)),
        9 => "\"\"".into(),
        10 => format!("-{}.{:03}", random.below(100), random.below(1000)),
        _ => format!("{}.{:02}", random.below(1000), random.below(100)),
    }
}

/// Changes a line so that it may be invalid.
fn mutate(random: &mut Random, line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    let odd = [
        ',', '=', ' ', '"', '\\', '\n', '\t', '\r', '#', 'i', 'u', '-', '.', 'e', '0', '9', 't',
        'ü', '\0', '+', '\u{c}', 'N', 'E',
    ];
    for _ in 0..=random.below(3) {
        let at = random.below(chars.len() + 1);
        match random.below(4) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 if at < chars.len() => chars[at] = odd[random.below(odd.len())],
            2 => {
                let from = random.below(chars.len() + 1).min(at);
                chars.drain(from..at.min(from + 8));
            }
            _ => chars.insert(at, odd[random.below(odd.len())]),
        }
    }
    chars.into_iter().collect()
}

#[test]
fn every_line_is_read_as_the_crate_reads_it() {
    let mut random = Random::new(12);
    let (mut agreed, mut points, mut refused) = (0, 0, 0);
    for round in 0..60_000 {
        let mut text = line(&mut random);
        if round % 3 > 0 {
            text = mutate(&mut random, &text);
        }
        let (ours, theirs) = (of_ours(&text), of_crate(&text));
        if ours == theirs {
            agreed += 1;
            points += matches!(ours, Outcome::Point(_)) as usize;
            refused += matches!(ours, Outcome::Refused) as usize;
            continue;
        }
        let meant = DEVIATIONS.iter().find(|deviation| (deviation.applies)(&text));
        assert!(meant.is_some(), "{text:?}\n ours: {ours:?}\ntheirs: {theirs:?}");
    }
    // Deviations stay exceptions, and both outcomes are met.
    assert!(agreed > 48_000 && points > 25_000 && refused > 8_000, "{agreed} {points} {refused}");
}

#[test]
fn lines_of_a_text_are_read_as_they_are_alone() {
    let mut random = Random::new(13);
    for _ in 0..400 {
        let mut text = String::new();
        for _ in 0..random.below(40) {
            let mut next = line(&mut random);
            if random.below(3) == 0 {
                next = mutate(&mut random, &next);
            }
            text.push_str(&next);
            text.push_str(random.pick(&["\n", "\n", "\r\n", "\n\n"]));
        }
        let mut parser = testkit::parser::<InfluxParser>("").unwrap();
        let (found, result) = parser.parse(text.as_bytes(), DEFAULT_TIME);
        result.unwrap();
        let (mut expected, mut bad) = (Vec::new(), Vec::new());
        let mut start = 0;
        while start < text.len() {
            let end = line_end(text.as_bytes(), start, true).unwrap();
            match of_ours(&text[start..end]) {
                Outcome::Nothing => {}
                Outcome::Point(point) => expected.push(point),
                Outcome::Refused => bad.push(start),
                Outcome::Several => panic!("{:?}", &text[start..end]),
            }
            start = end + 1;
        }
        assert_eq!(points(&found.batches), expected, "{text:?}");
        assert_eq!(found.bad.iter().map(|bad| bad.offset).collect::<Vec<_>>(), bad, "{text:?}");
        assert_eq!(found.lines as usize, expected.len() + bad.len());
    }
}
