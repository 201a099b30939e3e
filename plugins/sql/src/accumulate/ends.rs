//! First and last values, by time.

use std::cmp::Ordering;

use super::codec::{Broken, Read, Reader, put_float, put_int, put_text, put_time};
use super::kernel::{To, grow, heap_bytes, retain};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::eval::compare::float_order;
use crate::plan::AggregateFunction;
use crate::vector::{Bits, Cell, Data, Kind, Vector};

/// The first or last value.
pub struct Ends {
    last: bool,
    values: Vec<(i64, Held)>,
    /// Bytes of the texts.
    heap: usize,
}

/// A value of any kind, kept.
#[derive(Debug, Clone, PartialEq)]
enum Held {
    None,
    Bool(bool),
    Float(f64),
    Int(i64),
    UInt(u64),
    Text(Box<str>),
    Time(i64),
    Interval(i64),
}

impl Ends {
    pub fn new(last: bool) -> Self {
        Ends { last, values: Vec::new(), heap: 0 }
    }

    /// Takes a value if its time says so.
    #[inline]
    fn offer(&mut self, group: usize, time: i64, cell: Cell<'_>) {
        let Some((old_time, old)) = self.values.get_mut(group) else { return };
        let order = match (&old, self.last) {
            (Held::None, _) => Ordering::Greater,
            (_, true) => time.cmp(old_time),
            (_, false) => (*old_time).cmp(&time),
        };
        // At equal times the greatest value counts.
        if order.is_gt() || order.is_eq() && old.order(cell).is_lt() {
            self.heap -= old.heap();
            *old_time = time;
            *old = Held::of(cell);
            self.heap += old.heap();
        }
    }
}

impl Accumulator for Ends {
    fn clear(&mut self) {
        self.values.clear();
        self.heap = 0;
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn byte_size(&self) -> usize {
        self.values.capacity() * size_of::<(i64, Held)>() + self.heap
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.values, keep);
        self.heap = self.values.iter().map(|(_, held)| held.heap()).sum();
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, _failures: &mut Failures) {
        grow(&mut self.values, input.len, (0, Held::None));
        for (row, group) in input.groups.iter().enumerate() {
            let cell = values.cell(row);
            if cell == Cell::Null {
                continue;
            }
            self.offer(*group as usize, (input.time)(row), cell);
        }
    }

    fn finish(
        &self,
        _function: AggregateFunction,
        groups: &[u32],
        _failures: &mut Failures,
    ) -> Vector<'_> {
        let held =
            |group: &u32| self.values.get(*group as usize).map_or(&Held::None, |(_, held)| held);
        let n = groups.len();
        let mut kind = Kind::Null;
        for group in groups {
            kind = match (kind, held(group).kind()) {
                (kind, Kind::Null) => kind,
                (Kind::Null, other) => other,
                (a, b) if a == b => a,
                (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
                _ => Kind::Text,
            };
        }
        let valid = Bits::of(n, |row| *held(&groups[row]) != Held::None);
        macro_rules! gather {
            ($cell:ident($value:ident) => $map:expr, $default:expr) => {
                groups
                    .iter()
                    .map(|group| match held(group).cell() {
                        Cell::$cell($value, ..) => $map,
                        _ => $default,
                    })
                    .collect()
            };
        }
        let data = match kind {
            Kind::Null | Kind::Any => return Vector::null(),
            Kind::Bool => Data::Bool(Bits::of(n, |row| *held(&groups[row]) == Held::Bool(true))),
            Kind::Int => Data::Int {
                values: gather!(Int(value) => value, 0),
                unsigned: groups.iter().any(|group| matches!(held(group), Held::UInt(_))),
            },
            Kind::Float => Data::Float(
                groups
                    .iter()
                    .map(|group| match held(group).cell() {
                        Cell::Float(value) => value,
                        Cell::Int(value, _) => value as f64,
                        _ => 0.0,
                    })
                    .collect(),
            ),
            Kind::Time => Data::Time(gather!(Time(value) => value, 0)),
            Kind::Interval => Data::Interval(gather!(Interval(value) => value, 0)),
            Kind::Text => Data::Text(
                groups.iter().map(|g| held(g).cell().text().unwrap_or_default()).collect(),
            ),
        };
        Vector::with(data, (valid.count() < n).then_some(valid))
    }

    fn is_mixed(&self, groups: &[u32]) -> bool {
        let held = groups.iter().filter_map(|group| self.values.get(*group as usize));
        let kind = |held: &Held| (held.kind(), matches!(held, Held::UInt(_)));
        let mut kinds = held.map(|(_, held)| kind(held)).filter(|(kind, _)| *kind != Kind::Null);
        kinds.next().is_some_and(|first| kinds.any(|kind| kind != first))
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        grow(&mut self.values, len, (0, Held::None));
        for (group, (time, held)) in other.values.iter().enumerate() {
            if let (Some(group), false) = (to.group(group), *held == Held::None) {
                self.offer(group, *time, held.cell());
            }
        }
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let none = (0, Held::None);
        let (time, held) = self.values.get(group).unwrap_or(&none);
        held.write(out);
        if *held != Held::None {
            put_time(out, *time);
        }
    }

    fn read_head(&mut self, len: usize, _from: &mut Reader<'_>) -> Read<()> {
        grow(&mut self.values, len, (0, Held::None));
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let held = Held::read(from)?;
        if held != Held::None {
            self.heap += held.heap();
            *self.values.get_mut(group).ok_or(Broken)? = (from.time()?, held);
        }
        Ok(())
    }
}

impl Held {
    fn heap(&self) -> usize {
        if let Held::Text(text) = self { heap_bytes(text.len()) } else { 0 }
    }

    /// A byte for the kind, then the value.
    fn write(&self, out: &mut Vec<u8>) {
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

    fn read(from: &mut Reader<'_>) -> Read<Held> {
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

    fn of(cell: Cell<'_>) -> Held {
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

    fn cell(&self) -> Cell<'_> {
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

    fn kind(&self) -> Kind {
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
    fn order(&self, cell: Cell<'_>) -> Ordering {
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
}
