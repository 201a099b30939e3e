//! Reads a table from JSON.

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::data::{Column, Table, Texts, Values};
use super::read::too_many;
use crate::vector::Bits;

/// The kinds of a column's values: a bit for each that was met.
mod met {
    pub const INT: u8 = 1;
    pub const FLOAT: u8 = 2;
    pub const BOOL: u8 = 4;
    pub const TEXT: u8 = 8;
}

/// A column under construction.
#[derive(Default)]
struct Building {
    name: String,
    texts: Texts,
    is_there: Vec<bool>,
    met: u8,
}

impl Building {
    fn named(name: &str) -> Self {
        Building { name: name.to_owned(), ..Building::default() }
    }

    fn push(&mut self, value: Option<(&str, u8)>) {
        let (text, kind) = value.unwrap_or_default();
        self.met |= kind;
        self.texts.push(text);
        self.is_there.push(value.is_some());
    }

    fn finish(self, is_key: bool) -> Column {
        let Building { name, texts, is_there, met } = self;
        let rows = 0..texts.len();
        let values = match met {
            met::INT => rows.fold(Values::Int(Vec::new()), |values, row| {
                values.with_integer(texts.get(row).parse().unwrap_or(0))
            }),
            met::FLOAT | 3 => {
                Values::Float(rows.map(|row| texts.get(row).parse().unwrap_or(0.0)).collect())
            }
            met::BOOL => Values::Bool(rows.map(|row| texts.get(row) == "true").collect()),
            _ => Values::Text,
        };
        let valid = is_there.contains(&false);
        let valid = valid.then(|| Bits::of(is_there.len(), |row| is_there[row]));
        let mut column = Column { name, values, texts, valid };
        column.pack(is_key);
        column
    }
}

/// Reads a table; `keys` are the columns whose texts are needed.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn read(bytes: &[u8], keys: &[&str]) -> Result<Table, String> {
    let Objects { columns, rows } = objects(bytes)?;
    let finish = |column: Building| {
        let is_key = keys.contains(&column.name.as_str());
        column.finish(is_key)
    };
    Ok(Table::new(columns.into_iter().map(finish).collect(), rows))
}

/// Rows of objects, as columns.
#[derive(Default)]
struct Objects {
    columns: Vec<Building>,
    rows: usize,
}

impl Objects {
    fn push(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        too_many(self.rows)?;
        let row = self.rows + 1;
        for name in object.keys() {
            if !self.columns.iter().any(|column| column.name == *name) {
                let mut column = Building::named(name);
                (0..self.rows).for_each(|_| column.push(None));
                self.columns.push(column);
            }
        }
        for column in &mut self.columns {
            let printed;
            let value = match object.get(&column.name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some((text.as_str(), met::TEXT)),
                Some(Value::Bool(true)) => Some(("true", met::BOOL)),
                Some(Value::Bool(false)) => Some(("false", met::BOOL)),
                Some(Value::Number(number)) => {
                    printed = number.to_string();
                    let kind =
                        if number.is_i64() || number.is_u64() { met::INT } else { met::FLOAT };
                    Some((printed.as_str(), kind))
                }
                Some(Value::Array(_) | Value::Object(_)) => {
                    return Err(format!(
                        "row {row}: `{}` is an array or an object; expected text, a number, true, false or null",
                        column.name
                    ));
                }
            };
            let kinds = column.met | value.map_or(0, |(_, kind)| kind);
            if !matches!(kinds, 0..=4 | met::TEXT) {
                return Err(format!(
                    "row {row}: `{}` is of another kind than in the rows before it",
                    column.name
                ));
            }
            column.push(value);
        }
        self.rows += 1;
        Ok(())
    }
}

/// Takes the objects of an array one by one.
struct Each<'o>(&'o mut Objects);

impl<'de> DeserializeSeed<'de> for Each<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Each<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(object) = list.next_element::<Map<String, Value>>()? {
            self.0.push(&object).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

fn objects(bytes: &[u8]) -> Result<Objects, String> {
    let mut objects = Objects::default();
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut from = serde_json::Deserializer::from_slice(bytes);
    if first == Some(&b'[') {
        let read = Each(&mut objects).deserialize(&mut from).and_then(|()| from.end());
        read.map_err(|error| error.to_string())?;
    } else {
        for object in from.into_iter::<Map<String, Value>>() {
            objects.push(&object.map_err(|error| error.to_string())?)?;
        }
    }
    Ok(objects)
}
