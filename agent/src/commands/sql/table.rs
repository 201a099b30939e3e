//! Rows as a table for a person.

use std::fmt::Write;

use super::plan::Column;
use super::rows::Cell;
use crate::observe::Zone;
use crate::observe::time::{Precision, push_rfc3339};

/// Columns are not made wider than this for the sake of one text.
const WIDTH_MAX: usize = 60;

/// How wide the columns are, and which side their values stand on.
#[derive(Debug, Default)]
pub struct Widths(Vec<(usize, bool)>);

/// A cell as text. NULL is nothing.
pub fn text(cell: Cell<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = match cell {
        Cell::Null => Ok(()),
        Cell::Bool(value) => write!(out, "{value}"),
        Cell::Int(value) => write!(out, "{value}"),
        Cell::UInt(value) => write!(out, "{value}"),
        Cell::Float(value) => write!(out, "{value:?}"),
        Cell::Text(text) => {
            for c in text.chars() {
                match c.is_control() {
                    true => out.extend(c.escape_default()),
                    false => out.push(c),
                }
            }
            Ok(())
        }
        Cell::Time(nanos) => {
            push_rfc3339(&mut out, nanos, &Zone::utc(), Precision::Nanoseconds);
            Ok(())
        }
    };
    out
}

/// Whether a value stands on the right.
pub fn is_number(cell: &Cell<'_>) -> bool {
    matches!(cell, Cell::Int(_) | Cell::UInt(_) | Cell::Float(_))
}

impl Widths {
    /// For a header.
    pub fn new(columns: &[Column]) -> Widths {
        Widths(columns.iter().map(|column| (column.name.chars().count(), false)).collect())
    }

    /// Takes note of one row.
    pub fn see(&mut self, cells: &[Cell<'_>]) {
        for ((width, right), cell) in self.0.iter_mut().zip(cells) {
            *width = (*width).max(text(*cell).chars().count().min(WIDTH_MAX));
            *right |= is_number(cell);
        }
    }

    /// Writes a line. What is wider than its column pushes the rest of its line.
    pub fn line<T: AsRef<str>>(&self, out: &mut Vec<u8>, cells: impl Iterator<Item = T>) {
        let mut line = String::new();
        for (at, (cell, (width, right))) in cells.zip(&self.0).enumerate() {
            if at > 0 {
                line.push_str("  ");
            }
            let cell = cell.as_ref();
            let _ = match right {
                true => write!(line, "{cell:>width$}"),
                false => write!(line, "{cell:<width$}"),
            };
        }
        out.extend_from_slice(line.trim_end().as_bytes());
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        for (cell, expected) in [
            (Cell::Null, ""),
            (Cell::Bool(true), "true"),
            (Cell::Int(i64::MIN), "-9223372036854775808"),
            (Cell::UInt(u64::MAX), "18446744073709551615"),
            (Cell::Float(0.1), "0.1"),
            (Cell::Float(2.0), "2.0"),
            (Cell::Text("a\tb\u{7}ü"), "a\\tb\\u{7}ü"),
            (Cell::Time(1_700_000_000_500_000_000), "2023-11-14T22:13:20.5Z"),
        ] {
            assert_eq!(text(cell), expected);
        }
    }
}
