//! Random points: rows of typed columns, in which a NULL is a missing field or tag.

use crate::value::Value;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Int,
    Float,
    Text,
    Bool,
    Time,
    Span,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    /// A tag, else a field.
    pub tag: bool,
    /// An unsigned field.
    pub unsigned: bool,
}

impl Column {
    pub const fn field(name: &'static str, kind: Kind) -> Column {
        Column { name, kind, tag: false, unsigned: false }
    }

    pub const fn unsigned(name: &'static str) -> Column {
        Column { name, kind: Kind::Int, tag: false, unsigned: true }
    }

    pub const fn tag(name: &'static str) -> Column {
        Column { name, kind: Kind::Text, tag: true, unsigned: false }
    }
}

/// A point.
#[derive(Debug, Clone)]
pub struct Row {
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// In the order of the columns.
    pub values: Vec<Value>,
}

/// Points of one measurement.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub columns: &'static [Column],
    pub rows: Vec<Row>,
}

impl Table {
    /// A row as a person reads it.
    pub fn show(&self, row: &Row) -> String {
        let mut text = format!("time={}", row.time);
        for (column, value) in self.columns.iter().zip(&row.values) {
            if !value.is_null() {
                text.push_str(&format!(" {}={value}", column.name));
            }
        }
        text
    }
}

/// Text in single quotes.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
