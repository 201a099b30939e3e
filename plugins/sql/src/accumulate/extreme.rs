//! Least and greatest values, of numbers, times and texts.

use std::borrow::Cow;

use super::codec::{Broken, Read, Reader, put_float, put_int, put_kind, put_text, read_kind};
use super::kernel::{
    Marks, To, count, each, each_value, grow, heap_bytes, integers, merge, numbers, retain,
};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::eval::fits;
use crate::plan::AggregateFunction;
use crate::vector::{Bits, Data, Kind, Vector};

/// The least or the greatest value.
pub struct Extreme {
    greatest: bool,
    floats: Vec<f64>,
    ints: Vec<i128>,
    /// What the integers are: numbers, times, lengths of time.
    kind: Kind,
    /// Groups with unsigned integers.
    unsigned: Marks,
    texts: Vec<Option<Box<str>>>,
    /// Bytes of the texts.
    heap: usize,
}

impl Extreme {
    pub fn new(greatest: bool) -> Self {
        Extreme {
            greatest,
            floats: Vec::new(),
            ints: Vec::new(),
            kind: Kind::Int,
            unsigned: Marks::default(),
            texts: Vec::new(),
            heap: 0,
        }
    }

    /// What no float is: stands for "none".
    fn no_float(&self) -> f64 {
        if self.greatest { f64::NEG_INFINITY } else { f64::INFINITY }
    }

    /// What no integer is, for none has more than 65 bits.
    fn no_int(&self) -> i128 {
        if self.greatest { i128::MIN } else { i128::MAX }
    }

    /// Takes a text if it is better than what there is.
    fn add_text(&mut self, group: usize, text: &str) {
        let old = &mut self.texts[group];
        let better = match old.as_deref() {
            None => true,
            Some(old) if self.greatest => text > old,
            Some(old) => text < old,
        };
        if better {
            self.heap -= old.as_deref().map_or(0, |old| heap_bytes(old.len()));
            self.heap += heap_bytes(text.len());
            *old = Some(text.into());
        }
    }

    fn add_ints<T: Copy>(
        &mut self,
        values: &Vector<'_>,
        list: &[T],
        input: &Input<'_>,
        int: impl Fn(T) -> i128,
    ) {
        let none = self.no_int();
        grow(&mut self.ints, input.len, none);
        let (ints, greatest) = (self.ints.as_mut_slice(), self.greatest);
        each_value(values, list, input.groups, |group, value| {
            let (new, old) = (int(value), &mut ints[group]);
            if (greatest && new > *old) || (!greatest && new < *old) {
                *old = new;
            }
        });
    }

    fn float(&self, group: usize) -> Option<f64> {
        self.floats.get(group).copied().filter(|value| value.is_finite())
    }

    fn int(&self, group: usize) -> Option<i128> {
        self.ints.get(group).copied().filter(|value| fits(*value))
    }

    /// The extreme of both kinds of numbers as a float.
    fn number(&self, group: usize) -> Option<f64> {
        let int = self.int(group).map(|value| value as f64);
        match (self.float(group), int) {
            (Some(a), Some(b)) => Some(if self.greatest { a.max(b) } else { a.min(b) }),
            (a, b) => a.or(b),
        }
    }
}

impl Accumulator for Extreme {
    fn clear(&mut self) {
        self.floats.clear();
        self.ints.clear();
        self.texts.clear();
        self.unsigned.clear();
        (self.heap, self.kind) = (0, Kind::Int);
    }

    fn len(&self) -> usize {
        self.floats.len().max(self.ints.len()).max(self.texts.len())
    }

    fn byte_size(&self) -> usize {
        let texts = self.texts.capacity() * 16 + self.heap;
        self.floats.capacity() * 8 + self.ints.capacity() * 16 + texts + self.unsigned.byte_size()
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.floats, keep);
        retain(&mut self.ints, keep);
        self.unsigned.retain(keep);
        retain(&mut self.texts, keep);
        self.heap = self.texts.iter().flatten().map(|text| heap_bytes(text.len())).sum();
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        let greatest = self.greatest;
        match &values.data {
            Data::Float(list) => {
                let none = self.no_float();
                grow(&mut self.floats, input.len, none);
                let floats = self.floats.as_mut_slice();
                if greatest {
                    each_value(values, list, input.groups, |group, value| {
                        let old = &mut floats[group];
                        *old = if value > *old { value } else { *old };
                    });
                } else {
                    each_value(values, list, input.groups, |group, value| {
                        let old = &mut floats[group];
                        *old = if value < *old { value } else { *old };
                    });
                }
            }
            Data::Int { values: list, unsigned } => {
                if *unsigned {
                    self.unsigned.add(values, input.groups);
                }
                self.add_ints(values, list, input, |value| value);
            }
            Data::Time(list) => {
                self.kind = Kind::Time;
                self.add_ints(values, list, input, i128::from);
            }
            Data::Interval(list) => {
                self.kind = Kind::Interval;
                self.add_ints(values, list, input, i128::from);
            }
            Data::Text(list) => {
                grow(&mut self.texts, input.len, None);
                each(values, input.groups, |at, group| self.add_text(group, &list[at]));
            }
            Data::Bool(_) | Data::Null => failures.kinds += count(values, input.groups.len()),
        }
    }

    fn finish(
        &self,
        _function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        let none = &mut Failures::default();
        let has_numbers = !self.floats.is_empty() || !self.ints.is_empty();
        if has_numbers && !self.texts.is_empty() {
            // A column is of one kind: numbers, if there are any.
            let is_text =
                |group: &&u32| self.texts.get(**group as usize).is_some_and(Option::is_some);
            failures.kinds += groups.iter().filter(is_text).count() as u64;
        }
        if !self.floats.is_empty() {
            return numbers(groups, none, |group| self.number(group));
        }
        if !self.ints.is_empty() {
            let vector = integers(groups, self.unsigned.any(), none, |group| self.int(group));
            let Data::Int { values, .. } = &vector.data else { return vector };
            let nanos = || values.iter().map(|value| *value as i64).collect();
            return match self.kind {
                Kind::Time => Vector::with(Data::Time(nanos()), vector.valid),
                Kind::Interval => Vector::with(Data::Interval(nanos()), vector.valid),
                _ => vector,
            };
        }
        let text = |group: &u32| self.texts.get(*group as usize).and_then(|text| text.as_deref());
        let valid = Bits::of(groups.len(), |row| text(&groups[row]).is_some());
        let values =
            groups.iter().map(|group| Cow::Borrowed(text(group).unwrap_or_default())).collect();
        Vector::with(Data::Text(values), Some(valid))
    }

    fn is_mixed(&self, groups: &[u32]) -> bool {
        let has = [!self.floats.is_empty(), !self.ints.is_empty(), !self.texts.is_empty()];
        let is_signed = |group: &u32| {
            self.int(*group as usize).is_some() && !self.unsigned.get(*group as usize)
        };
        has.iter().filter(|has| **has).count() > 1
            || self.unsigned.any() && groups.iter().any(is_signed)
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        let greatest = self.greatest;
        self.unsigned.merge(&other.unsigned, to);
        if other.kind != Kind::Int {
            self.kind = other.kind;
        }
        if to.any(&other.floats, |value| value.is_finite()) {
            let none = self.no_float();
            grow(&mut self.floats, len, none);
            merge(&mut self.floats, &other.floats, to, |own, other| {
                *own = if greatest { own.max(*other) } else { own.min(*other) };
            });
        }
        if to.any(&other.ints, |value| fits(*value)) {
            let none = self.no_int();
            grow(&mut self.ints, len, none);
            merge(&mut self.ints, &other.ints, to, |own, other| {
                *own = if greatest { (*own).max(*other) } else { (*own).min(*other) };
            });
        }
        if to.any(&other.texts, Option::is_some) {
            grow(&mut self.texts, len, None);
            for (group, text) in other.texts.iter().enumerate() {
                if let (Some(text), Some(group)) = (text, to.group(group))
                    && group < self.texts.len()
                {
                    self.add_text(group, text);
                }
            }
        }
    }

    /// Which values there are.
    fn write_head(&self, alone: Option<usize>, out: &mut Vec<u8>) {
        let lists = [!self.floats.is_empty(), !self.ints.is_empty(), !self.texts.is_empty()];
        let flags = lists.iter().enumerate().map(|(bit, on)| u8::from(*on) << bit).sum::<u8>();
        out.push(flags | self.unsigned.form(alone) << 3);
        put_kind(out, self.kind);
        self.unsigned.write(alone, out);
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let (float, int) = (self.float(group), self.int(group));
        let text = self.texts.get(group).and_then(|text| text.as_deref());
        let present = [float.is_some(), int.is_some(), text.is_some()];
        out.push(present.iter().enumerate().map(|(bit, on)| u8::from(*on) << bit).sum::<u8>());
        float.iter().for_each(|float| put_float(out, *float));
        int.iter().for_each(|int| put_int(out, *int));
        text.iter().for_each(|text| put_text(out, text));
    }

    fn read_head(&mut self, len: usize, from: &mut Reader<'_>) -> Read<()> {
        let flags = from.flags(31)?;
        self.kind = read_kind(from)?;
        self.unsigned.read(flags >> 3, len, from)?;
        if flags & 1 != 0 {
            let none = self.no_float();
            grow(&mut self.floats, len, none);
        }
        if flags & 2 != 0 {
            let none = self.no_int();
            grow(&mut self.ints, len, none);
        }
        if flags & 4 != 0 {
            grow(&mut self.texts, len, None);
        }
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let flags = from.flags(7)?;
        if flags & 1 != 0 {
            *self.floats.get_mut(group).ok_or(Broken)? = from.finite()?;
        }
        if flags & 2 != 0 {
            let int = Some(from.int()?).filter(|int| fits(*int)).ok_or(Broken)?;
            let is_nanos = self.kind != Kind::Int;
            if is_nanos && i64::try_from(int).is_err() {
                return Err(Broken);
            }
            *self.ints.get_mut(group).ok_or(Broken)? = int;
        }
        if flags & 4 != 0 {
            let text = from.text()?;
            *self.texts.get_mut(group).ok_or(Broken)? = Some(text.into());
            self.heap += heap_bytes(text.len());
        }
        Ok(())
    }
}

/// The greatest value less the least.
pub struct Spread {
    least: Extreme,
    greatest: Extreme,
}

impl Spread {
    pub fn new() -> Self {
        Spread { least: Extreme::new(false), greatest: Extreme::new(true) }
    }
}

impl Accumulator for Spread {
    fn clear(&mut self) {
        self.least.clear();
        self.greatest.clear();
    }

    fn len(&self) -> usize {
        self.least.len()
    }

    fn byte_size(&self) -> usize {
        self.least.byte_size() + self.greatest.byte_size()
    }

    fn retain(&mut self, keep: &[bool]) {
        self.least.retain(keep);
        self.greatest.retain(keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        if matches!(values.data, Data::Text(_)) {
            failures.kinds += count(values, input.groups.len());
            return;
        }
        self.least.add(values, input, failures);
        self.greatest.add(values, input, &mut Failures::default());
    }

    fn finish(
        &self,
        _function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        let (least, greatest) = (&self.least, &self.greatest);
        if !least.floats.is_empty() {
            return numbers(groups, failures, |group| {
                Some(greatest.number(group)? - least.number(group)?)
            });
        }
        let spans = integers(groups, least.unsigned.any(), failures, |group| {
            Some(greatest.int(group)? - least.int(group)?)
        });
        match &spans.data {
            Data::Int { values, .. } if least.kind != Kind::Int => {
                let nanos = values.iter().map(|v| i64::try_from(*v).unwrap_or(i64::MAX)).collect();
                Vector::with(Data::Interval(nanos), spans.valid)
            }
            _ => spans,
        }
    }

    fn is_mixed(&self, groups: &[u32]) -> bool {
        self.least.is_mixed(groups)
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        self.least.merge(&other.least, len, to);
        self.greatest.merge(&other.greatest, len, to);
    }

    fn write_head(&self, alone: Option<usize>, out: &mut Vec<u8>) {
        self.least.write_head(alone, out);
        self.greatest.write_head(alone, out);
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        self.least.write_group(group, out);
        self.greatest.write_group(group, out);
    }

    fn read_head(&mut self, len: usize, from: &mut Reader<'_>) -> Read<()> {
        self.least.read_head(len, from)?;
        self.greatest.read_head(len, from)
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        self.least.read_group(group, from)?;
        self.greatest.read_group(group, from)
    }
}
