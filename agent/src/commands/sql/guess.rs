//! What a file is, if nobody says: from its name, else from its first bytes.

use headwater_plugin_api::csv;

use super::packing;
use super::request::{Format, RFC3339};

/// A date in Go's notation.
const DATE: &str = "2006-01-02";

/// What a file was taken for, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    pub format: Format,
    /// By its first bytes, not by its name.
    pub by_bytes: bool,
}

impl Guess {
    /// `its name` or `its first bytes`.
    pub fn by(&self) -> &'static str {
        if self.by_bytes { "its first bytes" } else { "its name" }
    }
}

/// Endings of names, without the dot.
const ENDINGS: &[(&str, Format)] = &[
    ("json", Format::Json),
    ("jsonl", Format::Json),
    ("ndjson", Format::Json),
    ("influx", Format::Influx),
    ("lp", Format::Influx),
    ("csv", Format::Csv),
    ("tsv", Format::Csv),
];

/// What the file of that name is, which begins so.
pub fn format(name: &str, head: &[u8]) -> Guess {
    let ending = ending(packing::without_ending(name));
    if let Some((_, format)) = ENDINGS.iter().find(|(known, _)| Some(*known) == ending.as_deref()) {
        return Guess { format: *format, by_bytes: false };
    }
    let head = head[csv::start(head)..].trim_ascii_start();
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let format = match head.first() {
        Some(b'{' | b'[') => Format::Json,
        // Line protocol cannot do without one.
        _ if !line.contains(&b'=') && csv::delimiter(line).is_some() => Format::Csv,
        _ => Format::Influx,
    };
    Guess { format, by_bytes: true }
}

/// What separates the cells of a CSV file of that name, which begins so.
pub fn delimiter(name: &str, head: &[u8]) -> u8 {
    match ending(packing::without_ending(name)).as_deref() {
        Some("tsv") => b'\t',
        _ => csv::delimiter(&head[csv::start(head)..]).unwrap_or(b','),
    }
}

fn ending(name: &str) -> Option<String> {
    name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())
}

/// How the time under a key is written, in the words of the JSON parser, as far as the first value of
/// that key shows.
///
/// # Errors
/// There is none, or it is no time.
pub fn time_format(head: &[u8], key: &str) -> Result<String, String> {
    let head = String::from_utf8_lossy(head);
    let quoted = format!("\"{key}\"");
    let value = head.match_indices(&quoted).find_map(|(at, _)| {
        head[at + quoted.len()..].trim_start().strip_prefix(':').map(str::trim_start)
    });
    let refused = |what: &str| {
        Err(format!(
            "--time {key}: {what}; say how it is written, such as {key}:ms or {key}:rfc3339"
        ))
    };
    let Some(value) = value else {
        return refused("the first records have no such key at their top");
    };
    let is_text = value.starts_with('"');
    let value = value.strip_prefix('"').unwrap_or(value);
    let end = value.find(['"', ',', '}', '\n']).unwrap_or(value.len());
    let value = value[..end].trim();
    match time_form(value, is_text) {
        Some(form) => Ok(form),
        None => refused(&format!("{value:?} is no time of a known form")),
    }
}

/// How a time is written, in the words of the parsers: a number of seconds or parts of it, or a form of
/// RFC 3339, perhaps without a zone, or the date alone.
pub fn time_form(value: &str, is_text: bool) -> Option<String> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !whole.is_empty() && all_digits(whole) && all_digits(places) {
        // Seconds have ten digits from 2001 to 2286, and each unit three more.
        let unit = match whole.len() {
            ..=11 => "unix",
            12..=14 => "unix_ms",
            15..=17 => "unix_us",
            _ => "unix_ns",
        };
        return Some(unit.to_owned());
    }
    let is_date = |text: &str| {
        let bytes = text.as_bytes();
        bytes.len() == DATE.len()
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
    };
    if is_text && is_date(value) {
        return Some(DATE.to_owned());
    }
    let clock = value.get(10..11);
    if !is_text || !matches!(clock, Some("T" | " ")) || value.len() < 19 {
        return None;
    }
    let behind = value.get(19..)?.trim_start_matches(['.', ',']);
    let zone = behind.trim_start_matches(|c: char| c.is_ascii_digit());
    let mut layout = if zone.is_empty() {
        RFC3339[..19].to_owned()
    } else if zone == "Z" || zone.contains(':') {
        RFC3339.to_owned()
    } else {
        format!("{}Z0700", &RFC3339[..19])
    };
    if clock == Some(" ") {
        layout.replace_range(10..11, " ");
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check = |name: &str, head: &str, format: Format, by: &'static str| {
            let guess = super::format(name, head.as_bytes());
            assert_eq!((guess.format, guess.by()), (format, by), "{name} {head}");
        };
        check("a.json", "cpu v=1", Format::Json, "its name");
        check("/x.d/A.NDJSON", "", Format::Json, "its name");
        check("a.lp", "{}", Format::Influx, "its name");
        check("a.influx", "{}", Format::Influx, "its name");
        check("a.txt", " \n{\"a\":1}", Format::Json, "its first bytes");
        check("-", "\u{feff}[{\"a\":1}]", Format::Json, "its first bytes");
        check("-", "cpu v=1", Format::Influx, "its first bytes");
        check("log", "", Format::Influx, "its first bytes");
        check("a.csv", "{}", Format::Csv, "its name");
        check("a.TSV.zst", "", Format::Csv, "its name");
        check("a.json.gz", "", Format::Json, "its name");
        check("-", "\u{feff}time,host,v\n1,a=b,2\n", Format::Csv, "its first bytes");
        check("-", "a;b\n", Format::Csv, "its first bytes");
        check("-", "cpu,host=a v=1", Format::Influx, "its first bytes");
        check("-", "word\n", Format::Influx, "its first bytes");
    }

    #[test]
    fn delimiters() {
        assert_eq!(delimiter("a.tsv.gz", b"a,b"), b'\t');
        assert_eq!(delimiter("a.csv", b"a;b"), b';');
        assert_eq!(delimiter("-", b"a"), b',');
    }

    #[test]
    fn times() {
        let check = |value: &str, expected: &str| {
            let text = format!("{{\"other\":1,\"ts\" : {value} , \"v\":1}}");
            assert_eq!(time_format(text.as_bytes(), "ts").as_deref(), Ok(expected), "{value}");
        };
        check("1700000000", "unix");
        check("1700000000.25", "unix");
        check("1700000000000", "unix_ms");
        check("1700000000000000", "unix_us");
        check("1700000000000000000", "unix_ns");
        check("\"1700000000\"", "unix");
        check("\"2024-05-01T12:00:00Z\"", RFC3339);
        check("\"2024-05-01T12:00:00.123456+02:00\"", RFC3339);
        check("\"2024-05-01 12:00:00+0200\"", "2006-01-02 15:04:05Z0700");
        check("\"2024-05-01T12:00:00.5\"", "2006-01-02T15:04:05");
        check("\"2024-05-01 12:00:00\"", "2006-01-02 15:04:05");
        check("\"2024-05-01\"", "2006-01-02");
        let error = |text: &str| time_format(text.as_bytes(), "ts").unwrap_err();
        assert!(error("{\"v\":\"ts\"}").contains("no such key"));
        assert!(error("{\"ts\":\"soon\"}").contains("\"soon\" is no time of a known form"));
        assert!(error("{\"ts\":\"21.11.2026 09:00\"}").contains("known form"));
        assert!(error("{\"ts\":true}").contains("ts:rfc3339"));
        assert!(error("{\"ts\":\"äöü äöü äöü äöü\"}").contains("known form"));
    }
}
