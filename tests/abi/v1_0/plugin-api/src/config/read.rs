//! What the code that the macros generate calls.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::Config;
use super::nearest::nearest;
use super::schema::{FieldSchema, RefusedKey, TableSchema};
use super::value::ConfigValue;

/// `type` for the identifier `r#type`.
pub fn key_name(identifier: &'static str) -> &'static str {
    identifier.strip_prefix("r#").unwrap_or(identifier)
}

pub fn is_key(key: &str, identifier: &'static str, aliases: &[&str]) -> bool {
    key == key_name(identifier) || aliases.contains(&key)
}

/// Collects a table's schema, key by key.
pub struct SchemaBuilder {
    schema: TableSchema,
}

impl SchemaBuilder {
    pub fn new(doc: &[&str]) -> Self {
        Self { schema: TableSchema { doc: paragraph(doc), ..TableSchema::default() } }
    }

    pub fn field<T: ConfigValue>(
        &mut self,
        identifier: &'static str,
        doc: &[&str],
        aliases: &[&str],
        flatten: bool,
        default: &T,
    ) {
        let table = T::table();
        if flatten {
            if let Some(table) = table {
                self.schema.fields.extend(table.fields);
                self.schema.refused.extend(table.refused);
            }
            return;
        }
        self.schema.fields.push(FieldSchema {
            key: key_name(identifier).to_owned(),
            default: default.to_text(),
            kind: T::kind(),
            doc: paragraph(doc),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            choices: T::choices().iter().map(|word| (*word).to_owned()).collect(),
            table,
        });
    }

    pub fn refuse(&mut self, key: &str, reason: &str) {
        self.schema.refused.push(RefusedKey { key: key.to_owned(), reason: reason.to_owned() });
    }

    pub fn finish(self) -> TableSchema {
        self.schema
    }
}

/// Documentation lines without the blank that `///` leaves before each.
fn paragraph(doc: &[&str]) -> String {
    let lines: Vec<&str> =
        doc.iter().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    lines.join("\n")
}

/// Reads a table key by key into the default.
pub fn read_table<'de, C: Config, D: Deserializer<'de>>(deserializer: D) -> Result<C, D::Error> {
    struct Table<C>(C);

    impl<'de, C: Config> Visitor<'de> for Table<C> {
        type Value = C;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<C, A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                if !self.0.read_key(&key, &mut map)? {
                    map.next_value_seed(Unknown::<C>(&key, std::marker::PhantomData))?;
                }
            }
            Ok(self.0)
        }
    }

    deserializer.deserialize_map(Table(C::default()))
}

/// Fails in the place of the value, so that the error has a place at all.
struct Unknown<'a, C>(&'a str, std::marker::PhantomData<C>);

impl<'de, C: Config> DeserializeSeed<'de> for Unknown<'_, C> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        let schema = C::schema();
        let (message, near) = unknown_key(self.0, &schema);
        Err(D::Error::custom(match near {
            Some(near) => format!("{message}; did you mean `{near}`?"),
            None => message,
        }))
    }
}

/// What to say of a key that the schema does not have, and which key was probably meant.
pub fn unknown_key<'a>(key: &str, schema: &'a TableSchema) -> (String, Option<&'a str>) {
    if let Some(reason) = schema.refusal(key) {
        return (format!("`{key}` is refused: {reason}"), None);
    }
    let near = nearest(key, schema.names());
    let empty = schema.fields.is_empty();
    let why = if empty { "; this table has no keys of its own" } else { "" };
    (format!("unknown key `{key}`{why}"), near)
}

/// Reads one of a few words.
pub fn read_choice<'de, T: Copy, D: Deserializer<'de>>(
    deserializer: D,
    words: &[(&'static str, T)],
) -> Result<T, D::Error> {
    struct Choice<'a, T>(&'a [(&'static str, T)]);

    impl<T: Copy> Visitor<'_> for Choice<'_, T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one of")?;
            for (index, (word, _)) in self.0.iter().enumerate() {
                write!(f, "{} \"{word}\"", if index == 0 { "" } else { "," })?;
            }
            Ok(())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            match self.0.iter().find(|(word, _)| *word == text) {
                Some((_, value)) => Ok(*value),
                None => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
            }
        }
    }

    deserializer.deserialize_any(Choice(words))
}
