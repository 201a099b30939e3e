//! First and last values, by time.

use std::cmp::Ordering;

use super::codec::{Broken, Read, Reader, put_time};
use super::held::Held;
use super::kernel::{To, grow, retain};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Bits, Cell, Data, Kind, Vector};

/// The first or last value.
pub struct Ends {
    last: bool,
    values: Vec<(i64, Held)>,
    /// Bytes of the texts.
    heap: usize,
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
