//! Writes strings and keys as TOML, on one line whatever they hold.

use std::fmt::Write;

/// Appends `value` as a TOML basic string, quotes included.
pub fn push_string(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `value` as a TOML basic string, quotes included.
pub fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    push_string(&mut out, value);
    out
}

/// Appends `key` as a TOML key: bare if it may be, quoted otherwise.
pub fn push_key(out: &mut String, key: &str) {
    let bare =
        !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { out.push_str(key) } else { push_string(out, key) }
}

/// A float as TOML writes it: always with a point, an exponent, or one of TOML's words.
pub fn push_float(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("nan");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "inf" } else { "-inf" });
    } else {
        let _ = write!(out, "{value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back() {
        for text in
            ["", "a", "a\"b\\c", "line\nfeed\r\t", "\u{0}\u{1f}\u{7f}", "grüße ${X} 'x'", "\u{85}"]
        {
            let mut line = String::from("k = ");
            push_string(&mut line, text);
            assert!(!line.contains('\n'));
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table["k"].as_str(), Some(text));
        }
    }

    #[test]
    fn keys_come_back() {
        for key in ["a", "a-b_9", "", "a.b", "ä", "a b", "\"", "\n"] {
            let mut line = String::new();
            push_key(&mut line, key);
            line.push_str(" = 1");
            let table: toml::Table = line.parse().unwrap();
            assert!(table.contains_key(key), "{line}");
        }
    }

    #[test]
    fn floats_come_back() {
        for value in
            [0.0, -0.0, 1.0, 0.1, 1e300, 1e-300, -2.5, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY]
        {
            let mut line = String::from("k = ");
            push_float(&mut line, value);
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table["k"].as_float().map(f64::to_bits), Some(value.to_bits()), "{line}");
        }
    }
}
