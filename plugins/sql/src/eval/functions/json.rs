//! `->` and `->>`: what stands in a text of JSON under a key or at a place.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Function;
use crate::eval::arith::mismatch;
use crate::eval::{Context, both, text};
use crate::vector::{Cell, Data, Vector};

/// What is asked for.
#[derive(Clone, Copy)]
enum Wanted<'k> {
    Key(&'k str),
    /// From 0; from -1 backwards.
    Place(i128),
}

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

/// A value that holds no others has nothing under any key.
macro_rules! nothing_in {
    ($($visit:ident: $kind:ty),*) => {
        $(fn $visit<E>(self, _: $kind) -> Result<Self::Value, E> {
            Ok(None)
        })*
    };
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    nothing_in!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    /// Of several of one key the last counts.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if matches!(self, Wanted::Key(wanted) if wanted == key) {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut list, mut at) = (Vec::new(), 0);
        let place = match self {
            Wanted::Key(_) => i128::MAX,
            Wanted::Place(place) => place,
        };
        while let Some(value) = seq.next_element::<&RawValue>()? {
            // From the end it is known which one it is when all are.
            if place < 0 || place == at {
                list.push(value);
            }
            at += 1;
        }
        if place >= 0 {
            return Ok(list.pop());
        }
        let back = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
        Ok(list.len().checked_sub(back).map(|place| list[place]))
    }
}

/// What stands there; an error if the text is no JSON.
fn find<'t>(text: &'t str, wanted: Wanted<'_>) -> serde_json::Result<Option<&'t str>> {
    let mut from = serde_json::Deserializer::from_str(text);
    let found = wanted.deserialize(&mut from)?;
    from.end()?;
    Ok(found.map(RawValue::get))
}

/// JSON as text: a text without its quotes, NULL for null.
fn plain(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).ok().map(Cow::Owned),
        _ if json == "null" => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

pub fn call<'a>(function: Function, args: &[Vector<'a>], n: usize, cx: &mut Context) -> Vector<'a> {
    let [from, wanted] = args else { return Vector::null() };
    let valid = both(&from.validity(n), &wanted.validity(n));
    let (Data::Text(texts), Data::Text(_) | Data::Int { .. }) = (&from.data, &wanted.data) else {
        return mismatch(valid, n, cx);
    };
    let broken = RefCell::new(Vec::new());
    let made = text::build(valid, n, cx, |row| {
        let wanted = match wanted.cell(row) {
            Cell::Text(key) => Wanted::Key(key),
            Cell::Int(place, _) => Wanted::Place(place),
            _ => return None,
        };
        let json = match find(&texts[from.place(row)], wanted) {
            Ok(found) => found?,
            Err(_) => {
                broken.borrow_mut().push(row);
                return None;
            }
        };
        let text = if function == Function::JsonText { plain(json)? } else { Cow::Borrowed(json) };
        Some(Cow::Owned(text.into_owned()))
    });
    cx.failures.cast +=
        broken.into_inner().into_iter().filter(|row| cx.counts(*row)).count() as u64;
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_walked() {
        const TEXT: &str = r#" {"a": {"b": [1, 2.50, "x\n\u00e4", null]}, "a b": true, "a": [ ]} "#;
        let get = |text: &str, wanted| find(text, wanted).unwrap().map(str::to_owned);
        assert_eq!(get(TEXT, Wanted::Key("a")).as_deref(), Some("[ ]"), "the last one counts");
        assert_eq!(get(TEXT, Wanted::Key("a b")).as_deref(), Some("true"));
        assert_eq!(get(TEXT, Wanted::Key("A")), None);
        assert_eq!(get(TEXT, Wanted::Place(0)), None);
        const LIST: &str = r#"[1, {"k": "v"}, "x\n\u00e4", null]"#;
        for (place, wanted) in [
            (0, Some("1")),
            (1, Some(r#"{"k": "v"}"#)),
            (3, Some("null")),
            (4, None),
            (-1, Some("null")),
            (-4, Some("1")),
            (-5, None),
            (i128::MIN, None),
            (i128::MAX, None),
        ] {
            assert_eq!(get(LIST, Wanted::Place(place)).as_deref(), wanted, "{place}");
        }
        assert_eq!(get(LIST, Wanted::Key("k")), None);
        for scalar in ["1", "-1.5", "\"k\"", "null", "true"] {
            assert_eq!(get(scalar, Wanted::Key("k")), None);
        }
        assert_eq!(plain("\"x\\n\\u00e4\"").as_deref(), Some("x\n\u{e4}"));
        assert_eq!(plain("null"), None);
        assert_eq!(plain("{}").as_deref(), Some("{}"));
    }

    #[test]
    fn what_is_no_json_is_an_error_whatever_its_depth() {
        let deep = "[".repeat(100_000);
        let closed = format!("{deep}{}", "]".repeat(100_000));
        for text in ["", "{", "[1,]", "{\"a\":}", "nul", "1 2", "{'a':1}", deep.as_str()] {
            assert!(find(text, Wanted::Key("a")).is_err(), "{}", &text[..text.len().min(9)]);
        }
        let _ = find(&closed, Wanted::Place(0));
    }
}
