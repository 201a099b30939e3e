//! A value of any kind, kept.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::codec::{Broken, Read, Reader, put_float, put_int, put_text, put_time};
use super::kernel::heap_bytes;
use crate::eval::compare::float_order;
use crate::vector::{Bits, Cell, Data, Kind, Vector};

/// A value of any kind, kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Held {
    #[default]
    None,
    Bool(bool),
    Float(f64),
    Int(i64),
    UInt(u64),
    Text(Box<str>),
    Time(i64),
    Interval(i64),
}

impl Held {
    pub fn heap(&self) -> usize {
        if let Held::Text(text) = self { heap_bytes(text.len()) } else { 0 }
    }

    /// A byte for the kind, then the value.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Held::None => out.push(0),
            Held::Bool(value) => out.extend([1, u8::from(*value)]),
            Held::Float(value) => {
                out.push(2);
                put_float(out, *value);
            }
            Held::Int(value) => {
                out.push(3);
                put_int(out, (*value).into());
            }
            Held::UInt(value) => {
                out.push(4);
                put_int(out, (*value).into());
            }
            Held::Text(text) => {
                out.push(5);
                put_text(out, text);
            }
            Held::Time(nanos) => {
                out.push(6);
                put_time(out, *nanos);
            }
            Held::Interval(nanos) => {
                out.push(7);
                put_time(out, *nanos);
            }
        }
    }

    pub fn read(from: &mut Reader<'_>) -> Read<Held> {
        Ok(match from.byte()? {
            0 => Held::None,
            1 => Held::Bool(from.flags(1)? != 0),
            2 => Held::Float(from.finite()?),
            3 => Held::Int(i64::try_from(from.int()?).map_err(|_| Broken)?),
            4 => Held::UInt(u64::try_from(from.int()?).map_err(|_| Broken)?),
            5 => Held::Text(from.text()?.into()),
            6 => Held::Time(from.time()?),
            7 => Held::Interval(from.time()?),
            _ => return Err(Broken),
        })
    }

    pub fn of(cell: Cell<'_>) -> Held {
        match cell {
            Cell::Null => Held::None,
            Cell::Bool(value) => Held::Bool(value),
            Cell::Float(value) => Held::Float(value),
            Cell::Int(value, unsigned) => match (i64::try_from(value), unsigned) {
                (Ok(value), false) => Held::Int(value),
                (Ok(value), true) if value < 0 => Held::Int(value),
                _ => Held::UInt(value as u64),
            },
            Cell::Text(text) => Held::Text(text.into()),
            Cell::Time(nanos) => Held::Time(nanos),
            Cell::Interval(nanos) => Held::Interval(nanos),
        }
    }

    pub fn cell(&self) -> Cell<'_> {
        match self {
            Held::None => Cell::Null,
            Held::Bool(value) => Cell::Bool(*value),
            Held::Float(value) => Cell::Float(*value),
            Held::Int(value) => Cell::Int((*value).into(), false),
            Held::UInt(value) => Cell::Int((*value).into(), true),
            Held::Text(text) => Cell::Text(text),
            Held::Time(nanos) => Cell::Time(*nanos),
            Held::Interval(nanos) => Cell::Interval(*nanos),
        }
    }

    pub fn kind(&self) -> Kind {
        match self {
            Held::None => Kind::Null,
            Held::Bool(_) => Kind::Bool,
            Held::Float(_) => Kind::Float,
            Held::Int(_) | Held::UInt(_) => Kind::Int,
            Held::Text(_) => Kind::Text,
            Held::Time(_) => Kind::Time,
            Held::Interval(_) => Kind::Interval,
        }
    }

    /// How it compares with a value; kinds that do not compare have an order of their own.
    pub fn order(&self, cell: Cell<'_>) -> Ordering {
        let rank = |cell: &Cell<'_>| match cell {
            Cell::Null => 0,
            Cell::Bool(_) => 1,
            Cell::Int(..) | Cell::Float(_) => 2,
            Cell::Interval(_) => 3,
            Cell::Time(_) => 4,
            Cell::Text(_) => 5,
        };
        let own = self.cell();
        match (own, cell) {
            (Cell::Bool(a), Cell::Bool(b)) => a.cmp(&b),
            (Cell::Int(a, _), Cell::Int(b, _)) => a.cmp(&b),
            (Cell::Float(a), Cell::Float(b)) => float_order(a, b),
            (Cell::Int(a, _), Cell::Float(b)) => float_order(a as f64, b),
            (Cell::Float(a), Cell::Int(b, _)) => float_order(a, b as f64),
            (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
            (Cell::Time(a), Cell::Time(b)) | (Cell::Interval(a), Cell::Interval(b)) => a.cmp(&b),
            (a, b) => rank(&a).cmp(&rank(&b)),
        }
    }

    /// Tells kinds apart that go out as different ones; 0 for NULL.
    pub fn tag(&self) -> u8 {
        match self {
            Held::None => 0,
            Held::Bool(_) => 1,
            Held::Float(_) => 2,
            Held::Int(_) => 3,
            Held::UInt(_) => 4,
            Held::Text(_) => 5,
            Held::Time(_) => 6,
            Held::Interval(_) => 7,
        }
    }
}

/// Values of any kinds as a column: integers beside floats become floats, what does not go together
/// texts.
pub fn gathered<'a>(values: Vec<Held>) -> Vector<'a> {
    let mut kind = Kind::Null;
    for held in &values {
        kind = match (kind, held.kind()) {
            (kind, Kind::Null) => kind,
            (Kind::Null, other) => other,
            (a, b) if a == b => a,
            (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
            _ => Kind::Text,
        };
    }
    let n = values.len();
    let valid = Bits::of(n, |row| values[row] != Held::None);
    macro_rules! gather {
        ($($cell:ident($value:ident) => $map:expr),*; $default:expr) => {
            values.iter().map(|held| match held.cell() {
                $(Cell::$cell($value, ..) => $map,)*
                _ => $default,
            }).collect()
        };
    }
    let data = match kind {
        Kind::Null | Kind::Any => return Vector::null(),
        Kind::Bool => Data::Bool(Bits::of(n, |row| values[row] == Held::Bool(true))),
        Kind::Int => Data::Int {
            values: gather!(Int(value) => value; 0),
            unsigned: values.iter().any(|held| matches!(held, Held::UInt(_))),
        },
        Kind::Float => Data::Float(gather!(Float(value) => value, Int(value) => value as f64; 0.0)),
        Kind::Time => Data::Time(gather!(Time(value) => value; 0)),
        Kind::Interval => Data::Interval(gather!(Interval(value) => value; 0)),
        Kind::Text => {
            let text =
                |held: &Held| Cow::Owned(held.cell().text().unwrap_or_default().into_owned());
            Data::Text(values.iter().map(text).collect())
        }
    };
    Vector::with(data, (valid.count() < n).then_some(valid))
}

/// Values of one kind as a column; those of another kind are NULL.
pub fn column<'a>(values: impl ExactSizeIterator<Item = &'a Held> + Clone) -> Vector<'a> {
    let n = values.len();
    let Some(first) = values.clone().find(|held| **held != Held::None) else {
        return Vector::null();
    };
    let unsigned = matches!(first, Held::UInt(_));
    let kind = first.kind();
    let mut rest = values.clone();
    let valid = Bits::of(n, |_| rest.next().is_some_and(|held| held.kind() == kind));
    macro_rules! gather {
        ($cell:ident($value:ident) => $map:expr, $default:expr) => {
            values
                .map(|held| match held.cell() {
                    Cell::$cell($value, ..) => $map,
                    _ => $default,
                })
                .collect()
        };
    }
    let data = match kind {
        Kind::Null | Kind::Any => return Vector::null(),
        Kind::Bool => {
            let mut values = values;
            Data::Bool(Bits::of(n, |_| values.next().is_some_and(|v| *v == Held::Bool(true))))
        }
        Kind::Int => Data::Int { values: gather!(Int(value) => value, 0), unsigned },
        Kind::Float => Data::Float(gather!(Float(value) => value, 0.0)),
        Kind::Time => Data::Time(gather!(Time(value) => value, 0)),
        Kind::Interval => Data::Interval(gather!(Interval(value) => value, 0)),
        Kind::Text => Data::Text(gather!(Text(value) => Cow::Borrowed(value), Cow::Borrowed(""))),
    };
    Vector::with(data, (valid.count() < n).then_some(valid))
}
