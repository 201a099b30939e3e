//! `serde_json` as an oracle: what is JSON, and which numbers are in it.

use std::collections::BTreeMap;

use headwater_plugin_api::batch::Value as Field;
use headwater_plugin_api::testkit;
use serde_json::Value;

use super::JsonParser;
use crate::testing::Random;

const CONFIG: &str = "json_string_fields = ['*']";

fn flatten(path: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}_{key}") };
    match value {
        Value::Null => {}
        Value::Bool(value) => drop(out.insert(path.to_owned(), value.to_string())),
        Value::Number(value) => {
            let bits = value.as_f64().unwrap().to_bits();
            out.insert(path.to_owned(), format!("{bits:x}"));
        }
        Value::String(value) => drop(out.insert(path.to_owned(), format!("{value:?}"))),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                flatten(&join(&at.to_string()), item, out);
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                flatten(&join(key), value, out);
            }
        }
    }
}

/// The fields of the object that the oracle reads, if it is one.
fn expected(text: &str) -> Option<BTreeMap<String, String>> {
    let value: Value = serde_json::from_str(text).ok()?;
    value.is_object().then(|| {
        let mut fields = BTreeMap::new();
        flatten("", &value, &mut fields);
        fields.remove("");
        fields
    })
}

fn document(random: &mut Random, depth: usize, out: &mut String) {
    let keys = ["a", "b", "c", "d\\u00e4", "e\\\"", "f g", "größe", "long key of a field"];
    let blank = |random: &mut Random| *random.pick(&[&"", &"", &"", &" ", &"\n ", &"\t"]);
    match random.below(if depth == 0 { 1 } else { 10 }) {
        0 | 1 if depth < 4 => {
            out.push('{');
            let count = random.below(4);
            // Distinct keys: which of several is meant is a matter of its own tests.
            let first = random.below(keys.len());
            for at in 0..count {
                if at > 0 {
                    out.push(',');
                }
                let blank = blank(random);
                let key = keys[(first + at) % keys.len()];
                out.push_str(&format!("{blank}\"{key}{at}\"{blank}:{blank}"));
                document(random, depth + 1, out);
                out.push_str(blank);
            }
            out.push('}');
        }
        2 if depth < 4 => {
            out.push('[');
            for at in 0..random.below(4) {
                if at > 0 {
                    out.push(',');
                }
                document(random, depth + 1, out);
            }
            out.push(']');
        }
        3 => out.push_str("true"),
        4 => out.push_str("null"),
        5 => out.push_str("\"text \\\"\\\\\\/\\b\\f\\n\\r\\t\\u00fc\\ud83d\\ude00 ü\""),
        6 => {
            let value = f64::from_bits(random.next());
            out.push_str(&if value.is_finite() { format!("{value:e}") } else { "0".into() });
        }
        7 => out.push_str(&(random.next() as i64 >> random.below(64)).to_string()),
        8 => out.push_str(&format!("{}.{:02}", random.below(1000), random.below(100))),
        _ => {
            out.push_str(&format!("-{}.{}E-{}", random.below(9), random.next(), random.below(300)))
        }
    }
}

fn mutate(random: &mut Random, text: &str) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let odd = [
        '{', '}', '[', ']', ':', ',', '"', '\\', '0', '1', '-', '.', 'e', '+', ' ', '\n', 'n', 't',
        'u', 'ü', '\t', '\0', 'x',
    ];
    for _ in 0..=random.below(2) {
        let at = random.below(chars.len() + 1);
        match random.below(3) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 if at < chars.len() => chars[at] = odd[random.below(odd.len())],
            _ => chars.insert(at, odd[random.below(odd.len())]),
        }
    }
    chars.into_iter().collect()
}

/// Whether some key stands twice, plainly or after flattening, or a key is empty: matters of other
/// tests. The oracle's own map keeps the last.
fn is_ambiguous(text: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return false };
    fn count(value: &Value) -> (usize, bool) {
        match value {
            Value::Array(items) => {
                items.iter().map(count).fold((0, false), |a, b| (a.0 + b.0, a.1 | b.1))
            }
            Value::Object(members) => members.iter().fold((0, false), |all, (key, value)| {
                let (leaves, empty) = count(value);
                (all.0 + leaves, all.1 | empty | key.is_empty())
            }),
            Value::Null => (0, false),
            _ => (1, false),
        }
    }
    let (leaves, empty) = count(&value);
    let mut fields = BTreeMap::new();
    flatten("", &value, &mut fields);
    empty || fields.len() != leaves
}

#[test]
fn documents_are_read_as_the_oracle_reads_them() {
    let mut random = Random::new(15);
    let mut parser = testkit::parser::<JsonParser>(CONFIG).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..60_000 {
        let mut text = String::new();
        document(&mut random, 0, &mut text);
        if round % 2 == 0 {
            text = mutate(&mut random, &text);
        }
        // Twice: the long way, and by the template that came of it.
        for _ in 0..2 {
            let (found, result) = parser.parse(text.as_bytes(), 0);
            result.unwrap();
            let Some(expected) = expected(&text) else {
                // Several values in a row, nothing and null are no error here; half of a surrogate
                // pair is replaced, as Go does.
                let several =
                    serde_json::Deserializer::from_str(&text).into_iter::<Value>().all(|value| {
                        value.is_ok_and(|value| {
                            !value.is_number() && !value.is_string() && !value.is_boolean()
                        })
                    });
                let surrogate = text.contains("\\ud") || text.contains("\\uD");
                assert!(!found.bad.is_empty() || several || surrogate, "{text:?}");
                refused += 1;
                continue;
            };
            assert_eq!(found.bad, [], "{text:?}");
            if is_ambiguous(&text) {
                continue;
            }
            let mut fields = BTreeMap::new();
            for (key, value) in
                found.batches.iter().flat_map(|b| b.points()).flat_map(|p| p.fields())
            {
                let value = match value {
                    Field::F64(value) => format!("{:x}", value.to_bits()),
                    Field::Bool(value) => value.to_string(),
                    Field::Text(value) => format!("{value:?}"),
                    other => panic!("{other:?}"),
                };
                fields.insert(key.to_owned(), value);
            }
            assert_eq!(fields, expected, "{text:?}");
            accepted += 1;
        }
    }
    assert!(accepted > 60_000 && refused > 20_000, "{accepted} {refused}");
}
