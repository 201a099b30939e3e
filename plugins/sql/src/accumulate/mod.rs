//! Accumulators: what a window knows of its groups, as arrays indexed by group number.
//!
//! An array exists once there was a value of its kind. All results are independent of the order of
//! the points, floats up to rounding: sums carry their rounding error along.

mod ends;
mod extreme;
mod kernel;
mod moments;
mod sum;

use crate::error::Failures;
use crate::plan::{AggregateCall, AggregateFunction};
use crate::vector::Vector;
use ends::Ends;
use extreme::{Extreme, Spread};
use kernel::{counts, grow, retain};
use moments::Moments;
use sum::{Count, Sum};

/// One aggregate over all groups of a window.
pub trait Accumulator: Send {
    /// Forgets all groups and keeps the memory.
    fn clear(&mut self);
    /// Bytes of memory held, without long texts.
    fn byte_size(&self) -> usize;
    /// Keeps the marked groups, which are numbered anew in their order.
    fn retain(&mut self, keep: &[bool]);
    /// Adds values that are not all NULL.
    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures);
    /// The results for these groups.
    fn finish(&self, groups: &[u32], failures: &mut Failures) -> Vector<'_>;
}

/// Where values belong.
pub struct Input<'a> {
    /// The group of each row.
    pub groups: &'a [u32],
    /// All groups lie below this.
    pub len: usize,
    /// The time of a row's point.
    pub time: &'a dyn Fn(usize) -> i64,
}

/// The accumulators of one window.
#[derive(Default)]
pub struct Accumulators {
    /// Points by group; a group without points is not in the window.
    rows: Vec<u64>,
    /// Groups that took points since they were emitted; empty if nobody asks.
    dirty: Vec<bool>,
    /// By aggregate; none for `count(*)`, which is the number of points.
    parts: Vec<Option<Box<dyn Accumulator>>>,
}

impl Accumulators {
    /// Accumulators of these aggregates, without groups.
    pub fn new(calls: &[AggregateCall]) -> Self {
        Accumulators { parts: calls.iter().map(make).collect(), ..Accumulators::default() }
    }

    /// Forgets all groups and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.dirty.clear();
        self.parts.iter_mut().flatten().for_each(|part| part.clear());
    }

    /// How many group numbers there is room for.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Makes room for groups below `groups`.
    pub fn grow(&mut self, groups: usize) {
        grow(&mut self.rows, groups, 0);
    }

    /// Bytes of memory held, without long texts.
    pub fn byte_size(&self) -> usize {
        let parts = self.parts.iter().flatten().map(|part| part.byte_size());
        self.rows.capacity() * 8 + self.dirty.capacity() + parts.sum::<usize>()
    }

    /// Counts points of groups. The groups lie below [`len`](Self::len).
    pub fn add_rows(&mut self, groups: &[u32]) {
        for &group in groups {
            self.rows[group as usize] += 1;
        }
    }

    /// Notes that groups changed after they were emitted.
    pub fn mark(&mut self, groups: &[u32]) {
        grow(&mut self.dirty, self.rows.len(), false);
        for &group in groups {
            self.dirty[group as usize] = true;
        }
    }

    /// The groups that have points; with `changed` those that changed since they were emitted.
    pub fn groups(&self, changed: bool) -> Vec<u32> {
        let has = |group: &usize| match changed {
            true => self.dirty.get(*group).copied().unwrap_or(false),
            false => self.rows[*group] > 0,
        };
        (0..self.rows.len()).filter(has).map(|group| group as u32).collect()
    }

    /// Notes that all groups were emitted.
    pub fn unmark(&mut self) {
        self.dirty.fill(false);
    }

    /// Marks the groups that have points.
    pub fn used(&self, used: &mut [bool]) {
        for (used, rows) in used.iter_mut().zip(&self.rows) {
            *used |= *rows > 0;
        }
    }

    /// Keeps the marked groups, which are numbered anew in their order.
    pub fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.rows, keep);
        retain(&mut self.dirty, keep);
        self.parts.iter_mut().flatten().for_each(|part| part.retain(keep));
    }

    /// Adds values, row by row to `groups`, which lie below [`len`](Self::len); `time` tells the time
    /// of a row's point.
    pub fn add(
        &mut self,
        aggregate: usize,
        values: &Vector<'_>,
        groups: &[u32],
        time: &dyn Fn(usize) -> i64,
        failures: &mut Failures,
    ) {
        let input = Input { groups, len: self.rows.len(), time };
        if let Some(Some(part)) = self.parts.get_mut(aggregate)
            && !values.is_null()
        {
            part.add(values, &input, failures);
        }
    }

    /// The results of an aggregate for these groups.
    pub fn finish(&self, aggregate: usize, groups: &[u32], failures: &mut Failures) -> Vector<'_> {
        match self.parts.get(aggregate) {
            Some(Some(part)) => part.finish(groups, failures),
            _ => counts(&self.rows, groups),
        }
    }
}

fn make(call: &AggregateCall) -> Option<Box<dyn Accumulator>> {
    use AggregateFunction as A;
    Some(match call.function {
        A::Count if call.input.is_none() => return None,
        A::Count => Box::new(Count::default()),
        A::Sum => Box::new(Sum::new(false)),
        A::Avg => Box::new(Sum::new(true)),
        A::Min => Box::new(Extreme::new(false)),
        A::Max => Box::new(Extreme::new(true)),
        A::Spread => Box::new(Spread::new()),
        A::First => Box::new(Ends::new(false)),
        A::Last => Box::new(Ends::new(true)),
        function @ (A::Stddev | A::StddevPop | A::Variance | A::VariancePop) => {
            Box::new(Moments::new(function))
        }
    })
}

#[cfg(test)]
mod tests;
