//! What a file is, if nobody says: from its name, else from its first bytes.

use super::request::{Format, RFC3339};

/// What a file was taken for, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    pub format: Format,
    /// `its name` or `its first bytes`.
    pub by: &'static str,
}

/// Endings of names, without the dot.
const ENDINGS: &[(&str, Format)] = &[
    ("json", Format::Json),
    ("jsonl", Format::Json),
    ("ndjson", Format::Json),
    ("influx", Format::Influx),
    ("lp", Format::Influx),
];

/// How compressed files begin, and what unpacks them.
const PACKED: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "zcat"),
    (b"\x28\xb5\x2f\xfd", "zstdcat"),
    (b"\xfd7zXZ\0", "xzcat"),
    (b"BZh", "bzcat"),
];

/// What the file of that name is, which begins so.
///
/// # Errors
/// It is compressed.
pub fn format(name: &str, head: &[u8]) -> Result<Guess, String> {
    if let Some((_, tool)) = PACKED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(format!("it is compressed; unpack it: {tool} {name} | headwater sql ..."));
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    if let Some((_, format)) = ENDINGS.iter().find(|(known, _)| Some(*known) == ending.as_deref()) {
        return Ok(Guess { format: *format, by: "its name" });
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let format = match head.first() {
        Some(b'{' | b'[') => Format::Json,
        _ => Format::Influx,
    };
    Ok(Guess { format, by: "its first bytes" })
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
    let digits = value.strip_prefix('-').unwrap_or(value);
    let whole = digits.split_once('.').map_or(digits, |(whole, _)| whole);
    if !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit()) {
        // Seconds have ten digits from 2001 to 2286, and each unit three more.
        return Ok(match whole.len() {
            ..=11 => "unix",
            12..=14 => "unix_ms",
            15..=17 => "unix_us",
            _ => "unix_ns",
        }
        .to_owned());
    }
    let clock = value.get(10..11);
    if !is_text || !matches!(clock, Some("T" | " ")) || value.len() < 19 {
        return refused(&format!("{value:?} is no time of a known form"));
    }
    let behind = value[19..].trim_start_matches(['.', ',']);
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
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let check = |name: &str, head: &str, format: Format, by: &'static str| {
            let guess = super::format(name, head.as_bytes()).unwrap();
            assert_eq!(guess, Guess { format, by }, "{name} {head}");
        };
        check("a.json", "cpu v=1", Format::Json, "its name");
        check("/x.d/A.NDJSON", "", Format::Json, "its name");
        check("a.lp", "{}", Format::Influx, "its name");
        check("a.influx", "{}", Format::Influx, "its name");
        check("a.txt", " \n{\"a\":1}", Format::Json, "its first bytes");
        check("-", "\u{feff}[{\"a\":1}]", Format::Json, "its first bytes");
        check("-", "cpu v=1", Format::Influx, "its first bytes");
        check("log", "", Format::Influx, "its first bytes");
        let error = super::format("a.json.gz", b"\x1f\x8b\x08").unwrap_err();
        assert_eq!(error, "it is compressed; unpack it: zcat a.json.gz | headwater sql ...");
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
        let error = |text: &str| time_format(text.as_bytes(), "ts").unwrap_err();
        assert!(error("{\"v\":\"ts\"}").contains("no such key"));
        assert!(error("{\"ts\":\"soon\"}").contains("\"soon\" is no time of a known form"));
        assert!(error("{\"ts\":true}").contains("ts:rfc3339"));
        assert!(error("{\"ts\":\"äöü äöü äöü äöü\"}").contains("known form"));
    }
}
