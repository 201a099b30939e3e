//! JSON, record by record against `serde_json`.

use std::collections::BTreeMap;
use std::fmt;

use headwater_formats::json::JsonParser;
use headwater_plugin_api::abi::module::ParserPlugin;
use headwater_plugin_api::abi::shim;
use headwater_plugin_api::batch::Value;
use headwater_plugin_api::testkit::Collected;

use super::{parse, shown};

/// All kinds of values become fields.
const CONFIG: &str = "json_string_fields = [\"*\"]\n";

/// JSON with its keys in order; of equal ones the last counts.
enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> serde::Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value as f64))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number(value as f64))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<Json, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Json::Array(all))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut entries: A,
            ) -> Result<Json, A::Error> {
                let mut all: Vec<(String, Json)> = Vec::new();
                while let Some((key, value)) = entries.next_entry::<String, Json>()? {
                    all.retain(|(known, _)| *known != key);
                    all.push((key, value));
                }
                Ok(Json::Object(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The fields of a point, the last of equal keys.
type Fields = BTreeMap<String, String>;

fn flatten(key: &str, value: &Json, fields: &mut Fields) {
    let join = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}_{part}") };
    match value {
        Json::Null => {}
        Json::Bool(value) => drop(fields.insert(key.to_owned(), value.to_string())),
        Json::Number(value) => {
            drop(fields.insert(key.to_owned(), format!("{:x}", value.to_bits())))
        }
        Json::Text(value) => drop(fields.insert(key.to_owned(), format!("{value:?}"))),
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&join(&index.to_string()), item, fields);
            }
        }
        Json::Object(entries) => {
            for (part, entry) in entries {
                flatten(&join(part), entry, fields);
            }
        }
    }
}

/// Whether a key is empty somewhere: line protocol and the batch have no empty keys.
fn has_empty_key(value: &Json) -> bool {
    match value {
        Json::Object(entries) => entries.iter().any(|(k, v)| k.is_empty() || has_empty_key(v)),
        Json::Array(items) => items.iter().any(has_empty_key),
        _ => false,
    }
}

/// The points of a text that is JSON values one behind the other: objects, arrays of objects, null.
/// None if it is not, or if what it means is decided elsewhere.
fn expected(text: &[u8]) -> Option<Vec<Fields>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut points = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Json>() {
        match value.ok()? {
            Json::Null => {}
            Json::Array(items) => {
                for item in items {
                    points.push(point(&item)?);
                }
            }
            value => points.push(point(&value)?),
        }
    }
    points.retain(|fields: &Fields| !fields.is_empty());
    Some(points)
}

fn point(value: &Json) -> Option<Fields> {
    if !matches!(value, Json::Object(_)) || has_empty_key(value) {
        return None;
    }
    let mut fields = Fields::new();
    flatten("", value, &mut fields);
    Some(fields)
}

/// Whether the text is JSON as far as syntax goes: then nothing in it may be refused for its syntax.
fn is_json(text: &[u8]) -> bool {
    let text = std::str::from_utf8(text);
    text.is_ok_and(|text| {
        serde_json::Deserializer::from_str(text).into_iter::<Json>().all(|value| value.is_ok())
    })
}

/// Nesting that `serde_json` follows.
const DEPTH_MAX: usize = 100;

/// What is taken although `serde_json` refuses it.
pub struct Deviation {
    /// What differs and why.
    pub about: &'static str,
    /// A text that shows it.
    pub example: &'static str,
    /// Whether a text holds such a thing.
    pub applies: fn(&[u8]) -> bool,
}

/// Where the scanner takes more than `serde_json`.
pub const DEVIATIONS: &[Deviation] = &[
    Deviation {
        about: "half of a surrogate pair reads as U+FFFD, as in Go",
        example: r#"{"a":"\ud83d"}"#,
        applies: |text| {
            let escapes = text.windows(4).filter(|four| four.starts_with(b"\\u"));
            let mut escapes = escapes.filter(|four| matches!(four[2], b'd' | b'D'));
            escapes.any(|four| matches!(four[3], b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F'))
        },
    },
    Deviation {
        about: "nothing need stand between two nulls",
        example: "nullnull",
        applies: |text| text.windows(8).any(|eight| eight == b"nullnull"),
    },
];

/// What a new parser makes of a text.
fn parsed(text: &[u8]) -> Collected {
    thread_local! {
        static PLUGIN: ParserPlugin = shim::parser::<JsonParser>("0.0.0");
    }
    PLUGIN.with(|plugin| parse(plugin, CONFIG, text))
}

/// Holds a text against `serde_json`.
///
/// # Panics
/// If both take it and make different points of it, or one takes what the other refuses.
pub fn check(text: &[u8]) {
    let deep = text.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() > DEPTH_MAX;
    let found = parsed(text);
    for record in &found.bad {
        let end = record.offset + record.len;
        assert!(end <= text.len(), "a bad record outside of {}", shown(text));
    }
    if deep {
        return;
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match expected(text) {
        Some(expected) => {
            assert!(found.bad.is_empty(), "{} is refused: {:?}", shown(text), found.bad);
            assert_eq!(points(&found), expected, "{}", shown(text));
        }
        None if is_json(text) => {}
        None if DEVIATIONS.iter().any(|deviation| (deviation.applies)(text)) => {}
        None => assert!(!found.bad.is_empty(), "nothing of {} is refused", shown(text)),
    }
}

fn points(found: &Collected) -> Vec<Fields> {
    let mut all = Vec::new();
    for point in found.batches.iter().flat_map(|batch| batch.points()) {
        let mut fields = Fields::new();
        for (key, value) in point.fields() {
            let value = match value {
                Value::F64(v) => format!("{:x}", v.to_bits()),
                Value::Bool(v) => v.to_string(),
                Value::Text(v) => format!("{v:?}"),
                other => panic!("a field of another kind: {other:?}"),
            };
            fields.insert(key.to_owned(), value);
        }
        all.push(fields);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Random;
    use crate::oracles::seeded;

    const PIECES: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\"a\"",
        b"\"b\":",
        b"\"",
        b"\\",
        b"1",
        b"-1.5",
        b"1e3",
        b"0",
        b"00",
        b"-",
        b".",
        b"null",
        b"true",
        b"false",
        b"\n",
        b" ",
        b"{\"a\":1}",
        b"{\"a\":{\"b\":[1,2]}}\n",
        b"[{\"a\":1},{\"b\":\"x\"}]",
        b"\\u00e9",
        b"\\ud83d\\ude00",
        b"\\n",
        b"\xc3\xa9",
        b"\xff",
        b"\t",
        b"\"\\u0000\"",
        b"1e999",
        b"{}",
        b"[]",
        b"\"a\":1,",
        b"\"c\":\"text\"",
        b"\r\n",
        b"E+2",
        b"nan",
        b"{\"a\":1,\"a\":2}",
        b"5e-324",
        b"//",
    ];

    #[test]
    fn texts_from_pieces() {
        seeded::run(2, 20_000, PIECES, 8, check);
    }

    const SCALARS: &[&str] = &[
        "0",
        "-0",
        "1",
        "-1.5",
        "1e3",
        "1E-3",
        "1e+3",
        "0.1234567890123456789",
        "18446744073709551616",
        "9007199254740993",
        "123456789012345678901234567890",
        "5e-324",
        "1e-400",
        "1e999",
        "-1e999",
        "true",
        "false",
        "null",
        "\"\"",
        "\"x\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"é\"",
        "\"\\u0000\"",
        "{}",
        "[]",
        "01",
        "+1",
        ".5",
        "1.",
        "nan",
        "tru",
        "\"\\x\"",
        "\"\t\"",
        "'x'",
        "1e",
        "--1",
        "\"\\u00g0\"",
    ];
    const KEYS: &[&str] =
        &["a", "b", "c", "a_b", "a_0", "é", "\\u0061", "\\\"", "x y", "", "0", "A"];

    fn pick<'a>(random: &mut Random, from: &[&'a str]) -> &'a str {
        from[random.below(from.len() as u64) as usize]
    }

    fn value(random: &mut Random, depth: u64, out: &mut String) {
        match random.below(if depth > 3 { 6 } else { 9 }) {
            6 => {
                out.push('[');
                for item in 0..random.below(4) {
                    out.push_str(if item > 0 { "," } else { "" });
                    value(random, depth + 1, out);
                }
                out.push(']');
            }
            7 | 8 => object(random, depth + 1, out),
            // Good scalars more often than the odd ones at the end.
            n => {
                let good = if n < 5 { 26 } else { SCALARS.len() };
                out.push_str(pick(random, &SCALARS[..good]));
            }
        }
    }

    fn object(random: &mut Random, depth: u64, out: &mut String) {
        out.push('{');
        for entry in 0..random.below(5) {
            out.push_str(if entry > 0 { pick(random, &[",", ",", ", ", ",\n"]) } else { "" });
            let key = pick(random, KEYS);
            out.push_str(&format!("\"{key}\"{}", pick(random, &[":", ":", ": ", " :"])));
            value(random, depth, out);
        }
        out.push('}');
    }

    #[test]
    fn records_from_parts() {
        let mut random = Random::new(3);
        for _ in 0..40_000 {
            let mut text = String::new();
            for _ in 0..random.below(4) + 1 {
                match random.below(6) {
                    0 => {
                        text.push('[');
                        for item in 0..random.below(3) {
                            text.push_str(if item > 0 { "," } else { "" });
                            object(&mut random, 0, &mut text);
                        }
                        text.push(']');
                    }
                    _ => object(&mut random, 0, &mut text),
                }
                text.push_str(pick(&mut random, &["\n", "\n", "\r\n", "", " "]));
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
            let text = deviation.example.as_bytes();
            assert!((deviation.applies)(text), "{}", deviation.about);
            assert!(!is_json(text), "no difference: {}", deviation.about);
            assert!(parsed(text).bad.is_empty(), "{}", deviation.about);
        }
    }

    #[test]
    fn whole_records() {
        for text in [
            r#"{"a":1,"b":{"c":2,"d":[3,{"e":"x"}]},"n":null,"t":true}"#,
            "{\"a\":1}\n{\"a\":2}\n\n{\"a\":3}",
            r#"[{"a":1},{"a":2.5}]"#,
            r#"{"a":0.1,"b":1e-7,"c":123456789012345678901234567890,"d":-0.0,"e":5e-324}"#,
            r#"{"é":"\u00e9\ud83d\ude00\\\"\/\b\f\n\r\t"}"#,
            r#"{"a":1,"a":2,"b_c":1,"b":{"c":2}}"#,
        ] {
            assert!(expected(text.as_bytes()).is_some(), "{text}");
            check(text.as_bytes());
        }
    }
}
