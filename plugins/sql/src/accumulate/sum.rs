//! Counts, sums and means.

use super::codec::{Broken, Read, Reader, put, put_int};
use super::kernel::{
    Marks, To, count, counts, each, each_value, grow, integers, merge, numbers, retain,
};
use super::numbers::FloatSum;
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Data, Vector};

/// How many values are not NULL.
#[derive(Default)]
pub struct Count {
    counts: Vec<u64>,
}

impl Accumulator for Count {
    fn clear(&mut self) {
        self.counts.clear();
    }

    fn len(&self) -> usize {
        self.counts.len()
    }

    fn byte_size(&self) -> usize {
        self.counts.capacity() * 8
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.counts, keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, _failures: &mut Failures) {
        grow(&mut self.counts, input.len, 0);
        each(values, input.groups, |_, group| {
            self.counts[group] = self.counts[group].wrapping_add(1);
        });
    }

    fn finish(
        &self,
        _function: AggregateFunction,
        groups: &[u32],
        _failures: &mut Failures,
    ) -> Vector<'_> {
        counts(&self.counts, groups)
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        grow(&mut self.counts, len, 0);
        merge(&mut self.counts, &other.counts, to, |own, more| *own = own.saturating_add(*more));
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        put(out, self.counts.get(group).copied().unwrap_or(0));
    }

    fn read_head(&mut self, len: usize, _from: &mut Reader<'_>) -> Read<()> {
        grow(&mut self.counts, len, 0);
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        *self.counts.get_mut(group).ok_or(Broken)? = from.number()?;
        Ok(())
    }
}

/// A count and sum: floats with their lost low bits, integers in 128 bits. Sums and means share it.
#[derive(Default)]
pub struct Sum {
    floats: Vec<FloatSum>,
    ints: Vec<Int>,
    /// Groups with unsigned integers.
    unsigned: Marks,
}

#[derive(Clone, Copy, Default)]
struct Int {
    sum: i128,
    count: u64,
}

impl Accumulator for Sum {
    fn clear(&mut self) {
        self.floats.clear();
        self.ints.clear();
        self.unsigned.clear();
    }

    fn len(&self) -> usize {
        self.floats.len().max(self.ints.len())
    }

    fn byte_size(&self) -> usize {
        let ints = self.ints.capacity() * size_of::<Int>() + self.unsigned.byte_size();
        self.floats.capacity() * size_of::<FloatSum>() + ints
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.floats, keep);
        retain(&mut self.ints, keep);
        self.unsigned.retain(keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        match &values.data {
            Data::Float(list) => {
                grow(&mut self.floats, input.len, FloatSum::default());
                let floats = self.floats.as_mut_slice();
                each_value(values, list, input.groups, |group, value| floats[group].add(value));
            }
            Data::Int { values: list, unsigned } => {
                if *unsigned {
                    self.unsigned.add(values, input.groups);
                }
                grow(&mut self.ints, input.len, Int::default());
                let ints = self.ints.as_mut_slice();
                each_value(values, list, input.groups, |group, value| {
                    let cell = &mut ints[group];
                    // 2^63 values of 64 bits fit.
                    cell.sum = cell.sum.saturating_add(value);
                    cell.count = cell.count.wrapping_add(1);
                });
            }
            _ => failures.kinds += count(values, input.groups.len()),
        }
    }

    fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        let mean = function == AggregateFunction::Avg;
        let int = |group: usize| self.ints.get(group).copied().unwrap_or_default();
        if !mean && self.floats.is_empty() {
            return integers(groups, self.unsigned.any(), failures, |group| {
                let int = int(group);
                (int.count > 0).then_some(int.sum)
            });
        }
        numbers(groups, failures, |group| {
            let float = self.floats.get(group).copied().unwrap_or_default();
            let int = int(group);
            let count = float.count.saturating_add(int.count);
            if count == 0 {
                return None;
            }
            let total = float.value() + int.sum as f64;
            Some(if mean { total / count as f64 } else { total })
        })
    }

    fn is_mixed(&self, groups: &[u32]) -> bool {
        let is_signed = |group: &u32| {
            let int = self.ints.get(*group as usize);
            int.is_some_and(|int| int.count > 0) && !self.unsigned.get(*group as usize)
        };
        !self.floats.is_empty() && !self.ints.is_empty()
            || self.unsigned.any() && groups.iter().any(is_signed)
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        self.unsigned.merge(&other.unsigned, to);
        if to.any(&other.floats, |float| float.count > 0) {
            grow(&mut self.floats, len, FloatSum::default());
            merge(&mut self.floats, &other.floats, to, FloatSum::merge);
        }
        if to.any(&other.ints, |int| int.count > 0) {
            grow(&mut self.ints, len, Int::default());
            merge(&mut self.ints, &other.ints, to, |own, other| {
                own.sum = own.sum.saturating_add(other.sum);
                own.count = own.count.saturating_add(other.count);
            });
        }
    }

    /// Which numbers there are.
    fn write_head(&self, alone: Option<usize>, out: &mut Vec<u8>) {
        let (floats, ints) = (!self.floats.is_empty(), !self.ints.is_empty());
        out.push(u8::from(floats) | u8::from(ints) << 1 | self.unsigned.form(alone) << 2);
        self.unsigned.write(alone, out);
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let float = self.floats.get(group).copied().unwrap_or_default();
        let int = self.ints.get(group).copied().unwrap_or_default();
        put(out, float.count);
        put(out, int.count);
        if float.count > 0 {
            float.write(out);
        }
        if int.count > 0 {
            put_int(out, int.sum);
        }
    }

    fn read_head(&mut self, len: usize, from: &mut Reader<'_>) -> Read<()> {
        let flags = from.flags(15)?;
        self.unsigned.read(flags >> 2, len, from)?;
        if flags & 1 != 0 {
            grow(&mut self.floats, len, FloatSum::default());
        }
        if flags & 2 != 0 {
            grow(&mut self.ints, len, Int::default());
        }
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let (floats, ints) = (from.number()?, from.number()?);
        if floats > 0 {
            *self.floats.get_mut(group).ok_or(Broken)? = FloatSum::read(floats, from)?;
        }
        if ints > 0 {
            let cell = self.ints.get_mut(group).ok_or(Broken)?;
            *cell = Int { sum: from.int()?, count: ints };
        }
        Ok(())
    }
}
