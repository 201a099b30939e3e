//! The types an option can have: how each reads from TOML, shows its default, and names itself in
//! the schema.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeOwned, MapAccess};

use super::schema::TableSchema;
use super::text;

/// What kind of value a key takes.
///
/// It crosses to the agent as words: `list of string`, `table of integer`, `list of table`. A kind
/// that an older agent does not know reads as [`Kind::Any`], so that new kinds can be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Integer,
    Float,
    String,
    /// A string out of a fixed list, see [`FieldSchema::choices`](super::FieldSchema::choices).
    Choice,
    Duration,
    Size,
    Secret,
    /// A table with keys of its own, see [`FieldSchema::table`](super::FieldSchema::table).
    Table,
    List(Box<Kind>),
    /// A table with arbitrary keys, and values of one kind.
    Map(Box<Kind>),
    /// Whatever TOML can say.
    Any,
}

/// Deeper kinds are read as [`Kind::Any`].
const KIND_DEPTH_MAX: usize = 8;

impl Kind {
    /// The kind at the bottom of lists and maps.
    pub fn innermost(&self) -> &Kind {
        match self {
            Kind::List(inner) | Kind::Map(inner) => inner.innermost(),
            kind => kind,
        }
    }

    fn read(words: &str, depth: usize) -> Kind {
        if depth > KIND_DEPTH_MAX {
            return Kind::Any;
        }
        let inner = |words| Box::new(Kind::read(words, depth + 1));
        if let Some(words) = words.strip_prefix("list of ") {
            return Kind::List(inner(words));
        }
        if let Some(words) = words.strip_prefix("table of ") {
            return Kind::Map(inner(words));
        }
        match words {
            "bool" => Kind::Bool,
            "integer" => Kind::Integer,
            "float" => Kind::Float,
            "string" => Kind::String,
            "choice" => Kind::Choice,
            "duration" => Kind::Duration,
            "size" => Kind::Size,
            "secret" => Kind::Secret,
            "table" => Kind::Table,
            _ => Kind::Any,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Kind::Bool => "bool",
            Kind::Integer => "integer",
            Kind::Float => "float",
            Kind::String => "string",
            Kind::Choice => "choice",
            Kind::Duration => "duration",
            Kind::Size => "size",
            Kind::Secret => "secret",
            Kind::Table => "table",
            Kind::Any => "any",
            Kind::List(inner) => return write!(f, "list of {inner}"),
            Kind::Map(inner) => return write!(f, "table of {inner}"),
        };
        f.write_str(word)
    }
}

impl FromStr for Kind {
    type Err = std::convert::Infallible;

    fn from_str(words: &str) -> Result<Self, Self::Err> {
        Ok(Kind::read(words, 0))
    }
}

/// A type that an option can have. [`config!`](crate::config!) and [`choice!`](crate::choice!)
/// implement it for what they define.
pub trait ConfigValue: DeserializeOwned {
    fn kind() -> Kind;

    /// The keys of the table at the bottom of [`ConfigValue::kind`], if there is one.
    fn table() -> Option<TableSchema> {
        None
    }

    /// The words a [`Kind::Choice`] takes.
    fn choices() -> &'static [&'static str] {
        &[]
    }

    /// The value as TOML on one line; `None` if it is unset or not to be shown.
    fn to_text(&self) -> Option<String>;

    /// Reads the value of `key` into this table, if `key` is one of its own: what `#[flatten]`
    /// needs.
    #[doc(hidden)]
    fn read_flat<'de, A: MapAccess<'de>>(
        &mut self,
        _key: &str,
        _map: &mut A,
    ) -> Result<bool, A::Error> {
        Ok(false)
    }
}

macro_rules! integers {
    ($($ty:ty)*) => {$(
        impl ConfigValue for $ty {
            fn kind() -> Kind {
                Kind::Integer
            }

            fn to_text(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

macro_rules! floats {
    ($($ty:ty)*) => {$(
        impl ConfigValue for $ty {
            fn kind() -> Kind {
                Kind::Float
            }

            fn to_text(&self) -> Option<String> {
                // By way of the shortest text: 0.1f32 shows as 0.1.
                let mut out = String::new();
                text::push_float(&mut out, self.to_string().parse().unwrap_or(f64::from(*self)));
                Some(out)
            }
        }
    )*};
}

floats!(f32 f64);

impl ConfigValue for bool {
    fn kind() -> Kind {
        Kind::Bool
    }

    fn to_text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl ConfigValue for String {
    fn kind() -> Kind {
        Kind::String
    }

    fn to_text(&self) -> Option<String> {
        Some(text::quote(self))
    }
}

impl ConfigValue for char {
    fn kind() -> Kind {
        Kind::String
    }

    fn to_text(&self) -> Option<String> {
        Some(text::quote(self.encode_utf8(&mut [0; 4])))
    }
}

impl ConfigValue for std::path::PathBuf {
    fn kind() -> Kind {
        Kind::String
    }

    fn to_text(&self) -> Option<String> {
        Some(text::quote(&self.to_string_lossy()))
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    fn kind() -> Kind {
        T::kind()
    }

    fn table() -> Option<TableSchema> {
        T::table()
    }

    fn choices() -> &'static [&'static str] {
        T::choices()
    }

    fn to_text(&self) -> Option<String> {
        self.as_ref().and_then(T::to_text)
    }
}

impl<T: ConfigValue> ConfigValue for Vec<T> {
    fn kind() -> Kind {
        Kind::List(Box::new(T::kind()))
    }

    fn table() -> Option<TableSchema> {
        T::table()
    }

    fn choices() -> &'static [&'static str] {
        T::choices()
    }

    fn to_text(&self) -> Option<String> {
        let items: Option<Vec<String>> = self.iter().map(T::to_text).collect();
        Some(format!("[{}]", items?.join(", ")))
    }
}

impl<T: ConfigValue> ConfigValue for BTreeMap<String, T> {
    fn kind() -> Kind {
        Kind::Map(Box::new(T::kind()))
    }

    fn table() -> Option<TableSchema> {
        T::table()
    }

    fn choices() -> &'static [&'static str] {
        T::choices()
    }

    fn to_text(&self) -> Option<String> {
        inline_table(self.iter().map(|(key, value)| (key.as_str(), value.to_text())))
    }
}

impl ConfigValue for toml::Value {
    fn kind() -> Kind {
        Kind::Any
    }

    fn to_text(&self) -> Option<String> {
        Some(match self {
            toml::Value::String(value) => text::quote(value),
            toml::Value::Integer(value) => value.to_string(),
            toml::Value::Float(value) => value.to_text()?,
            toml::Value::Boolean(value) => value.to_string(),
            toml::Value::Datetime(value) => value.to_string(),
            toml::Value::Array(values) => return values.to_text(),
            toml::Value::Table(table) => {
                return inline_table(
                    table.iter().map(|(key, value)| (key.as_str(), value.to_text())),
                );
            }
        })
    }
}

/// `{ a = 1, b = "x" }`; keys without a text are left out.
#[doc(hidden)]
pub fn inline_table<'a>(
    entries: impl Iterator<Item = (&'a str, Option<String>)>,
) -> Option<String> {
    let mut out = String::new();
    for (key, value) in entries {
        let Some(value) = value else { continue };
        out.push_str(if out.is_empty() { "{ " } else { ", " });
        text::push_key(&mut out, key);
        out.push_str(" = ");
        out.push_str(&value);
    }
    out.push_str(if out.is_empty() { "{}" } else { " }" });
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back() {
        for kind in [
            Kind::Bool,
            Kind::List(Box::new(Kind::Table)),
            Kind::Map(Box::new(Kind::List(Box::new(Kind::String)))),
            Kind::Any,
            Kind::Secret,
        ] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("colour".parse(), Ok(Kind::Any));
        assert_eq!("list of colour".parse(), Ok(Kind::List(Box::new(Kind::Any))));
        let deep = "list of ".repeat(100_000);
        assert_eq!(deep.parse::<Kind>().unwrap().innermost(), &Kind::Any);
    }

    #[test]
    fn defaults_as_toml() {
        assert_eq!(true.to_text().unwrap(), "true");
        assert_eq!(u64::MAX.to_text().unwrap(), "18446744073709551615");
        assert_eq!(0.1f32.to_text().unwrap(), "0.1");
        assert_eq!(95.0f64.to_text().unwrap(), "95.0");
        assert_eq!(None::<String>.to_text(), None);
        assert_eq!(vec!["a".to_string(), "\"".into()].to_text().unwrap(), "[\"a\", \"\\\"\"]");
        assert_eq!(Vec::<u8>::new().to_text().unwrap(), "[]");
        let map = BTreeMap::from([("a b".to_string(), 1), ("c".into(), 2)]);
        assert_eq!(map.to_text().unwrap(), "{ \"a b\" = 1, c = 2 }");
        assert_eq!(BTreeMap::<String, bool>::new().to_text().unwrap(), "{}");
        let any: toml::Value =
            "v = [1, {a = 'x'}, 2020-01-01, 1.5]".parse::<toml::Table>().unwrap()["v"].clone();
        assert_eq!(any.to_text().unwrap(), "[1, { a = \"x\" }, 2020-01-01, 1.5]");
    }
}
