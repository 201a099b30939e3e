//! How many values lie up to each of some limits.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::codec::{Broken, Read, Reader, put, put_float};
use super::kernel::{To, count, each_value, grow};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Bits, Data, Vector, float_text};

/// The counts of each group: one for each limit, and one for what is above the last.
pub struct Histogram {
    limits: Vec<f64>,
    counts: Vec<u64>,
}

impl Histogram {
    pub fn new(function: &AggregateFunction) -> Self {
        let limits = match function {
            AggregateFunction::Histogram(limits) => limits.iter().collect(),
            _ => Vec::new(),
        };
        Histogram { limits, counts: Vec::new() }
    }

    fn width(&self) -> usize {
        self.limits.len() + 1
    }

    fn fit(&mut self, groups: usize) {
        let width = self.width();
        grow(&mut self.counts, groups * width, 0);
    }

    /// The counts of a group; none if it has no values.
    fn of(&self, group: usize) -> Option<&[u64]> {
        let width = self.width();
        let counts = self.counts.get(group * width..(group + 1) * width)?;
        counts.iter().any(|count| *count > 0).then_some(counts)
    }

    /// `{"1":2,"5":0,"+Inf":1}`: by limit, how many values lie above the one before and not above it.
    fn text(&self, counts: &[u64]) -> String {
        let mut out = String::from("{");
        for (limit, count) in self.limits.iter().zip(counts) {
            let _ = write!(out, "\"{}\":{count},", float_text(*limit));
        }
        let _ = write!(out, "\"+Inf\":{}}}", counts.last().unwrap_or(&0));
        out
    }
}

impl Accumulator for Histogram {
    fn clear(&mut self) {
        self.counts.clear();
    }

    fn len(&self) -> usize {
        self.counts.len() / self.width()
    }

    fn byte_size(&self) -> usize {
        size_of::<Histogram>() + (self.counts.capacity() + self.limits.capacity()) * 8
    }

    fn retain(&mut self, keep: &[bool]) {
        let width = self.width();
        let mut at = 0;
        self.counts.retain(|_| {
            at += 1;
            keep.get((at - 1) / width).copied().unwrap_or(false)
        });
        self.counts.shrink_to(self.counts.len() + self.counts.len() / 4);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        self.fit(input.len);
        let width = self.width();
        let Histogram { limits, counts } = self;
        let mut add = |group: usize, value: f64| {
            let bucket = limits.partition_point(|limit| *limit < value);
            counts[group * width + bucket] += 1;
        };
        match &values.data {
            Data::Float(list) => each_value(values, list, input.groups, add),
            Data::Int { values: list, .. } => {
                each_value(values, list, input.groups, |group, value| add(group, value as f64));
            }
            _ => failures.kinds += count(values, input.groups.len()),
        }
    }

    fn finish(
        &self,
        _function: AggregateFunction,
        groups: &[u32],
        _failures: &mut Failures,
    ) -> Vector<'_> {
        let of = |group: &u32| self.of(*group as usize);
        let valid = Bits::of(groups.len(), |row| of(&groups[row]).is_some());
        let text = |group: &u32| of(group).map_or_else(String::new, |counts| self.text(counts));
        let texts = groups.iter().map(|group| Cow::Owned(text(group))).collect();
        let all = valid.count() == groups.len();
        Vector::with(Data::Text(texts), (!all).then_some(valid))
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        self.fit(len);
        let width = self.width();
        for (group, counts) in other.counts.chunks(width).enumerate() {
            let Some(own) = to.group(group).filter(|own| *own < len) else { continue };
            let own = &mut self.counts[own * width..(own + 1) * width];
            own.iter_mut().zip(counts).for_each(|(own, more)| *own = own.saturating_add(*more));
        }
    }

    fn write_head(&self, _alone: Option<usize>, out: &mut Vec<u8>) {
        put(out, self.limits.len() as u64);
        self.limits.iter().for_each(|limit| put_float(out, *limit));
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let width = self.width();
        let none = vec![0; width];
        let counts = self.counts.get(group * width..(group + 1) * width).unwrap_or(&none);
        counts.iter().for_each(|count| put(out, *count));
    }

    /// Counts up to other limits cannot be added.
    fn read_head(&mut self, len: usize, from: &mut Reader<'_>) -> Read<()> {
        if from.count(8)? != self.limits.len() {
            return Err(Broken);
        }
        for limit in &self.limits {
            if from.float()?.to_bits() != limit.to_bits() {
                return Err(Broken);
            }
        }
        // A group takes a byte for each count at least.
        if len > 1 && len > from.left() / self.width() {
            return Err(Broken);
        }
        self.fit(len);
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let width = self.width();
        let counts = self.counts.get_mut(group * width..(group + 1) * width).ok_or(Broken)?;
        counts.iter_mut().try_for_each(|count| from.number().map(|read| *count = read))
    }
}
