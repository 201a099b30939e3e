//! Counts, sums and means.

use super::kernel::{count, counts, each, each_value, grow, integers, numbers, retain};
use super::{Accumulator, Input};
use crate::error::Failures;
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

    fn byte_size(&self) -> usize {
        self.counts.capacity() * 8
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.counts, keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, _failures: &mut Failures) {
        grow(&mut self.counts, input.len, 0);
        each(values, input.groups, |_, group| self.counts[group] += 1);
    }

    fn finish(&self, groups: &[u32], _failures: &mut Failures) -> Vector<'_> {
        counts(&self.counts, groups)
    }
}

/// A sum, or a mean: floats with their lost low bits, integers in 128 bits.
pub struct Sum {
    mean: bool,
    floats: Vec<Float>,
    ints: Vec<Int>,
    unsigned: bool,
}

#[derive(Clone, Copy, Default)]
struct Float {
    sum: f64,
    /// What was rounded off.
    lost: f64,
    count: u64,
}

#[derive(Clone, Copy, Default)]
struct Int {
    sum: i128,
    count: u64,
}

impl Sum {
    /// A sum, or a mean.
    pub fn new(mean: bool) -> Self {
        Sum { mean, floats: Vec::new(), ints: Vec::new(), unsigned: false }
    }
}

impl Accumulator for Sum {
    fn clear(&mut self) {
        self.floats.clear();
        self.ints.clear();
    }

    fn byte_size(&self) -> usize {
        self.floats.capacity() * size_of::<Float>() + self.ints.capacity() * size_of::<Int>()
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.floats, keep);
        retain(&mut self.ints, keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        match &values.data {
            Data::Float(list) => {
                grow(&mut self.floats, input.len, Float::default());
                let floats = self.floats.as_mut_slice();
                each_value(values, list, input.groups, |group, value| {
                    let cell = &mut floats[group];
                    // Knuth's sum of two numbers with what its rounding takes away.
                    let total = cell.sum + value;
                    let back = total - cell.sum;
                    cell.lost += (cell.sum - (total - back)) + (value - back);
                    cell.sum = total;
                    cell.count += 1;
                });
            }
            Data::Int { values: list, unsigned } => {
                self.unsigned |= unsigned;
                grow(&mut self.ints, input.len, Int::default());
                let ints = self.ints.as_mut_slice();
                each_value(values, list, input.groups, |group, value| {
                    let cell = &mut ints[group];
                    // 2^63 values of 64 bits fit.
                    cell.sum = cell.sum.saturating_add(value);
                    cell.count += 1;
                });
            }
            _ => failures.kinds += count(values, input.groups.len()),
        }
    }

    fn finish(&self, groups: &[u32], failures: &mut Failures) -> Vector<'_> {
        let int = |group: usize| self.ints.get(group).copied().unwrap_or_default();
        if !self.mean && self.floats.is_empty() {
            return integers(groups, self.unsigned, failures, |group| {
                let int = int(group);
                (int.count > 0).then_some(int.sum)
            });
        }
        numbers(groups, failures, |group| {
            let float = self.floats.get(group).copied().unwrap_or_default();
            let int = int(group);
            let count = float.count + int.count;
            if count == 0 {
                return None;
            }
            // Out of range the lost bits are no number.
            let lost = if float.lost.is_finite() { float.lost } else { 0.0 };
            let total = float.sum + lost + int.sum as f64;
            Some(if self.mean { total / count as f64 } else { total })
        })
    }
}
