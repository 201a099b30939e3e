//! Quantiles of all numbers, which are kept one by one.

use std::cmp::Ordering;

use super::codec::{Read, Reader, put_float};
use super::kernel::{To, count, each_value, numbers};
use super::lists::{Kept, Lists, by_lists};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Data, Vector};

impl Kept for f64 {
    fn heap(&self) -> usize {
        0
    }

    fn order(&self, other: &f64) -> Ordering {
        self.total_cmp(other)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_float(out, *self);
    }

    fn read(from: &mut Reader<'_>) -> Read<f64> {
        from.finite()
    }
}

/// The number below which that share of a list lies, between two of them if need be.
pub fn interpolated(mut list: Vec<f64>, share: f64) -> Option<f64> {
    list.sort_unstable_by(f64::total_cmp);
    let rank = share * list.len().checked_sub(1)? as f64;
    let low = *list.get(rank.floor() as usize)?;
    let high = *list.get(rank.ceil() as usize)?;
    Some(low + (high - low) * rank.fract())
}

/// The numbers of each group. All exact quantiles of one input share it.
pub struct Exact {
    lists: Lists<f64>,
}

impl Exact {
    /// `most` bounds the bytes that are held.
    pub fn new(most: usize) -> Self {
        Exact { lists: Lists::new(most) }
    }
}

impl Accumulator for Exact {
    by_lists!();

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        self.lists.fit(input.len);
        let lists = &mut self.lists;
        match &values.data {
            // A negative zero is a zero.
            Data::Float(list) => each_value(values, list, input.groups, |group, value| {
                lists.push(group, value + 0.0);
            }),
            Data::Int { values: list, .. } => {
                each_value(values, list, input.groups, |group, value| {
                    lists.push(group, value as f64);
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
        let AggregateFunction::ExactQuantile(share) = function else { return Vector::null() };
        self.lists.count_full(groups, failures);
        numbers(groups, failures, |group| {
            interpolated(self.lists.get(group)?.to_vec(), share.get())
        })
    }
}
