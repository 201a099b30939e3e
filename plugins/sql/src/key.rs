//! Group keys as bytes: equal keys have equal bytes, and bytes sort as the values do.
//!
//! Each value is a byte for its kind and the value in an order-preserving form; NULL sorts last.

use std::borrow::Cow;

use crate::vector::{Bits, Cell, Data, Kind, Vector};

const BOOL: u8 = 0x10;
const INT: u8 = 0x20;
const FLOAT: u8 = 0x30;
const TEXT: u8 = 0x40;
const TIME: u8 = 0x50;
const INTERVAL: u8 = 0x60;
const NULL: u8 = 0xf0;

/// Longest text of a key; longer ones are cut off there.
pub const MAX_TEXT: usize = 65_535;

/// Appends a value. Whether it is whole, and no text that was cut off.
#[must_use]
pub fn write(out: &mut Vec<u8>, cell: Cell<'_>) -> bool {
    match cell {
        Cell::Null => out.push(NULL),
        Cell::Bool(value) => out.extend([BOOL, u8::from(value)]),
        Cell::Int(value, _) => {
            out.push(INT);
            // Both 64-bit types lie in 65 bits.
            let shifted = (value - i128::from(i64::MIN)) as u128;
            out.extend_from_slice(&shifted.to_be_bytes()[7..]);
        }
        Cell::Float(value) => {
            out.push(FLOAT);
            let bits = (value + 0.0).to_bits();
            let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
            out.extend_from_slice(&ordered.to_be_bytes());
        }
        Cell::Text(text) => {
            out.push(TEXT);
            return write_text(out, text);
        }
        Cell::Time(nanos) => nanos_key(out, TIME, nanos),
        Cell::Interval(nanos) => nanos_key(out, INTERVAL, nanos),
    }
    true
}

/// The integer that equals a float, if one of the 64-bit types holds it.
#[inline]
pub fn whole(value: f64) -> Option<i128> {
    let is_whole = (-9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0).contains(&value)
        && value.trunc() == value;
    is_whole.then_some(value as i128)
}

/// Appends a value of a key that is looked for: equal values have equal bytes, 1 and 1.0 too, and texts
/// are never cut off. Whether it is one: NULL equals nothing.
pub fn write_equal(out: &mut Vec<u8>, cell: Cell<'_>) -> bool {
    match cell {
        Cell::Null => false,
        Cell::Float(value) => {
            write(out, whole(value).map_or(cell, |whole| Cell::Int(whole, false)))
        }
        Cell::Text(text) if text.len() > MAX_TEXT => {
            let _ = write(out, cell);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
            true
        }
        cell => write(out, cell),
    }
}

fn nanos_key(out: &mut Vec<u8>, kind: u8, nanos: i64) {
    out.push(kind);
    out.extend_from_slice(&((nanos as u64) ^ 1 << 63).to_be_bytes());
}

/// Ends in 0; the bytes 0 and 1 are written as two.
fn write_text(out: &mut Vec<u8>, text: &str) -> bool {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let bytes = &text.as_bytes()[..end];
    if bytes.iter().all(|byte| *byte > 1) {
        out.extend_from_slice(bytes);
    } else {
        for &byte in bytes {
            match byte {
                0 | 1 => out.extend([1, byte + 1]),
                byte => out.push(byte),
            }
        }
    }
    out.push(0);
    end == text.len()
}

/// A value that was read from a key.
#[derive(Debug, Clone, PartialEq)]
enum Held {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Time(i64),
    Interval(i64),
}

fn read(key: &mut &[u8]) -> Held {
    let Some((&kind, rest)) = key.split_first() else { return Held::Null };
    *key = rest;
    let mut take = |n: usize| {
        let (taken, rest) = key.split_at(n.min(key.len()));
        *key = rest;
        let mut bytes = [0; 16];
        bytes[16 - taken.len()..].copy_from_slice(taken);
        u128::from_be_bytes(bytes)
    };
    match kind {
        BOOL => Held::Bool(take(1) != 0),
        INT => Held::Int(take(9) as i128 + i128::from(i64::MIN)),
        FLOAT => {
            let ordered = take(8) as u64;
            let bits = if ordered >> 63 == 1 { ordered ^ 1 << 63 } else { !ordered };
            Held::Float(f64::from_bits(bits))
        }
        TIME => Held::Time((take(8) as u64 ^ 1 << 63) as i64),
        INTERVAL => Held::Interval((take(8) as u64 ^ 1 << 63) as i64),
        TEXT => {
            let end = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
            let (text, rest) = key.split_at(end);
            *key = rest.get(1..).unwrap_or_default();
            let mut bytes = Vec::with_capacity(text.len());
            let mut escaped = false;
            for &byte in text {
                match byte {
                    1 if !escaped => escaped = true,
                    byte => {
                        bytes.push(if escaped { byte - 1 } else { byte });
                        escaped = false;
                    }
                }
            }
            Held::Text(String::from_utf8(bytes).unwrap_or_default())
        }
        _ => Held::Null,
    }
}

/// How many of the first keys hold values of the same kinds; NULL is of any kind.
pub fn alike<'k>(keys: impl Iterator<Item = &'k [u8]>, count: usize) -> usize {
    let mut kinds = vec![NULL; count];
    let mut alike = 0;
    for mut key in keys {
        for kind in &mut kinds {
            let own = key.first().copied().unwrap_or(NULL);
            let len = match own {
                BOOL => 2,
                INT => 10,
                FLOAT | TIME | INTERVAL => 9,
                TEXT => key.iter().position(|byte| *byte == 0).map_or(key.len(), |end| end + 1),
                _ => 1,
            };
            key = key.get(len..).unwrap_or_default();
            match (own, *kind) {
                (NULL, _) => {}
                (own, NULL) => *kind = own,
                (own, kind) if own == kind => {}
                _ => return alike,
            }
        }
        alike += 1;
    }
    alike
}

/// The columns of some keys, each of `count` values.
pub fn columns<'a, 'k>(
    keys: impl ExactSizeIterator<Item = &'k [u8]>,
    count: usize,
) -> Vec<Vector<'a>> {
    let rows = keys.len();
    let mut columns: Vec<Vec<Held>> = (0..count).map(|_| Vec::with_capacity(rows)).collect();
    for mut key in keys {
        for column in &mut columns {
            column.push(read(&mut key));
        }
    }
    columns.into_iter().map(vector).collect()
}

/// Values of one kind stay what they are; others become text.
fn vector<'a>(column: Vec<Held>) -> Vector<'a> {
    let n = column.len();
    let kind = |held: &Held| match held {
        Held::Null => Kind::Null,
        Held::Bool(_) => Kind::Bool,
        Held::Int(_) => Kind::Int,
        Held::Float(_) => Kind::Float,
        Held::Text(_) => Kind::Text,
        Held::Time(_) => Kind::Time,
        Held::Interval(_) => Kind::Interval,
    };
    let valid = Bits::of(n, |row| column[row] != Held::Null);
    let mut common = Kind::Null;
    for held in column.iter().filter(|held| **held != Held::Null) {
        common = match common {
            Kind::Null => kind(held),
            same if same == kind(held) => same,
            _ => Kind::Text,
        };
    }
    macro_rules! gather {
        ($variant:ident) => {
            Data::$variant(
                column
                    .iter()
                    .map(|held| if let Held::$variant(v) = held { *v } else { Default::default() })
                    .collect(),
            )
        };
    }
    let data = match common {
        Kind::Null | Kind::Any => return Vector::null(),
        Kind::Bool => Data::Bool(Bits::of(n, |row| column[row] == Held::Bool(true))),
        Kind::Int => Data::Int {
            values: column
                .iter()
                .map(|held| if let Held::Int(v) = held { *v } else { 0 })
                .collect(),
            unsigned: false,
        },
        Kind::Float => gather!(Float),
        Kind::Time => gather!(Time),
        Kind::Interval => gather!(Interval),
        Kind::Text => Data::Text(
            column
                .into_iter()
                .map(|held| {
                    Cow::Owned(match held {
                        Held::Null => String::new(),
                        Held::Text(text) => text,
                        Held::Bool(v) => v.to_string(),
                        Held::Int(v) => v.to_string(),
                        Held::Float(v) => crate::vector::float_text(v),
                        Held::Time(v) => crate::time::text(v),
                        Held::Interval(v) => crate::duration::text(v),
                    })
                })
                .collect(),
        ),
    };
    Vector::with(data, (valid.count() < n).then_some(valid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(cells: &[Cell<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(cells.iter().all(|cell| write(&mut out, *cell)));
        out
    }

    #[test]
    fn keys_sort_as_their_values() {
        let ascending = [
            vec![Cell::Int(i64::MIN.into(), false)],
            vec![Cell::Int(-1, false)],
            vec![Cell::Int(0, false)],
            vec![Cell::Int(u64::MAX.into(), true)],
            vec![Cell::Float(-1e300)],
            vec![Cell::Float(-1.5)],
            vec![Cell::Float(0.0)],
            vec![Cell::Float(2.0)],
            vec![Cell::Text(""), Cell::Text("z")],
            vec![Cell::Text("\0")],
            vec![Cell::Text("\u{1}")],
            vec![Cell::Text("a"), Cell::Text("z")],
            vec![Cell::Text("a\0"), Cell::Text("a")],
            vec![Cell::Text("ab"), Cell::Text("a")],
            vec![Cell::Text("b"), Cell::Null],
            vec![Cell::Time(-5)],
            vec![Cell::Time(5)],
            vec![Cell::Null],
        ];
        let keys: Vec<_> = ascending.iter().map(|cells| key(cells)).collect();
        assert!(keys.is_sorted());
        assert_eq!(key(&[Cell::Float(-0.0)]), key(&[Cell::Float(0.0)]));
    }

    #[test]
    fn values_come_back() {
        let cells = [
            Cell::Text("a\0b\u{1}c"),
            Cell::Int(-7, false),
            Cell::Float(-2.5),
            Cell::Bool(true),
            Cell::Null,
            Cell::Time(-3),
            Cell::Interval(9),
        ];
        let key = key(&cells);
        let columns = columns([key.as_slice()].into_iter(), cells.len());
        for (column, cell) in columns.iter().zip(cells) {
            assert_eq!(column.cell(0), cell);
        }
    }

    #[test]
    fn mixed_kinds_become_text() {
        let keys = [key(&[Cell::Int(5, false)]), key(&[Cell::Text("x")]), key(&[Cell::Null])];
        let columns = columns(keys.iter().map(Vec::as_slice), 1);
        assert_eq!(columns[0].cell(0), Cell::Text("5"));
        assert_eq!(columns[0].cell(1), Cell::Text("x"));
        assert_eq!(columns[0].cell(2), Cell::Null);
    }
}
