//! Accumulators: what a window knows of its groups, as arrays indexed by group number.
//!
//! An array exists once there was a value of its kind. All results are independent of the order of
//! the points, floats up to rounding: sums carry their rounding error along. Calls that can be read
//! from one accumulator share it: sum and avg of one input, all its quantiles, all its deviations.

mod approx;
pub mod codec;
pub mod counter;
mod distinct;
mod ends;
mod exact;
mod extreme;
pub mod held;
mod histogram;
mod joined;
mod kernel;
mod line;
mod lists;
mod moments;
pub mod numbers;
pub mod one;
mod part;
mod quantiles;
mod ranked;
mod registers;
mod sketch;
mod state;
mod sum;
mod value;

use std::borrow::Cow;

use crate::error::Failures;
use crate::plan::{AggregateCall, AggregateFunction};
use crate::statement::NO_GROUP;
use crate::vector::{Data, Vector};
use codec::{Broken, Read, Reader, put};
use counter::Counter;
use kernel::{To, count, counts, each, grow, retain};
use part::{Family, Part};

/// One aggregate over all groups of a window.
trait Accumulator: Send {
    /// Forgets all groups and keeps the memory.
    fn clear(&mut self);
    /// How many groups there is room for.
    fn len(&self) -> usize;
    /// Bytes of memory held.
    fn byte_size(&self) -> usize;
    /// Keeps the marked groups, which are numbered anew in their order.
    fn retain(&mut self, keep: &[bool]);
    /// Adds values that are not all NULL.
    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures);
    /// The results of a function for these groups.
    fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_>;
    /// Whether results of these groups, or of others here, are of several kinds.
    fn is_mixed(&self, _groups: &[u32]) -> bool {
        false
    }
    /// Adds what another one collected, all of whose groups lie below `len` here.
    fn merge(&mut self, other: &Self, len: usize, to: To<'_>);
    /// Writes what all groups have in common; with `alone` for that group only.
    fn write_head(&self, _alone: Option<usize>, _out: &mut Vec<u8>) {}
    /// Writes one group: a byte at least.
    fn write_group(&self, group: usize, out: &mut Vec<u8>);
    /// Reads what all groups have in common and makes room for groups below `len`.
    fn read_head(&mut self, len: usize, from: &mut Reader<'_>) -> Read<()>;
    /// Reads one group, which has no values.
    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()>;

    /// Writes all groups.
    fn write(&self, out: &mut Vec<u8>) {
        put(out, self.len() as u64);
        self.write_head(None, out);
        (0..self.len()).for_each(|group| self.write_group(group, out));
    }

    /// Reads all groups, at most `most`, where there are none.
    fn read(&mut self, most: usize, from: &mut Reader<'_>) -> Read<()> {
        let len = from.count(1)?;
        if len > most {
            return Err(Broken);
        }
        self.read_head(len, from)?;
        (0..len).try_for_each(|group| self.read_group(group, from))
    }
}

/// Where values belong.
struct Input<'a> {
    /// The group of each row.
    groups: &'a [u32],
    /// All groups lie below this.
    len: usize,
    /// The time of a row's point.
    time: &'a dyn Fn(usize) -> i64,
    /// Tells the series of a row's point from others.
    series: &'a dyn Fn(usize) -> u64,
}

/// What the results of a call are read from.
#[derive(Clone, Copy)]
struct Source {
    call: AggregateCall,
    /// The accumulator; none for `count(*)`, which is the number of points.
    part: Option<usize>,
    /// The values of its input come by way of this call; others share what it collects.
    owns: bool,
}

/// The accumulators of one window.
#[derive(Default)]
pub struct Accumulators {
    /// Points by group; a group without points is not in the window.
    rows: Vec<u64>,
    /// Groups that took points since they were emitted; empty if nobody asks.
    dirty: Vec<bool>,
    /// By aggregate.
    sources: Vec<Source>,
    parts: Vec<Part>,
}

impl Accumulators {
    /// Accumulators of these aggregates, without groups.
    pub fn new(calls: &[AggregateCall]) -> Self {
        let mut made = Accumulators::default();
        for call in calls {
            let same = |source: &&Source| {
                let other = &source.call;
                source.part.is_some()
                    && (other.input, other.merges) == (call.input, call.merges)
                    && Family::is_shared(other, call)
            };
            let known = made.sources.iter().find(same).and_then(|source| source.part);
            let part = known.or_else(|| {
                call.input?;
                made.parts.push(Part::new(call));
                Some(made.parts.len() - 1)
            });
            made.sources.push(Source { call: *call, part, owns: known.is_none() });
        }
        made
    }

    /// Forgets all groups and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.dirty.clear();
        self.parts.iter_mut().for_each(Part::clear);
    }

    /// How many group numbers there is room for.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Makes room for groups below `groups`.
    pub fn grow(&mut self, groups: usize) {
        grow(&mut self.rows, groups, 0);
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        let parts: usize = self.parts.iter().map(Part::byte_size).sum();
        self.rows.capacity() * 8 + self.dirty.capacity() + parts
    }

    /// Whether results of these groups may be other than they would be alone: what
    /// [`finish`](Self::finish) gives is of one kind.
    pub fn is_mixed(&self, groups: &[u32]) -> bool {
        self.parts.iter().any(|part| part.is_mixed(groups))
    }

    /// Counts points of groups. The groups lie below [`len`](Self::len).
    pub fn add_rows(&mut self, groups: &[u32]) {
        for &group in groups {
            let rows = &mut self.rows[group as usize];
            *rows = rows.wrapping_add(1);
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

    /// The points of a group.
    pub fn points_of(&self, group: u32) -> u64 {
        self.rows.get(group as usize).copied().unwrap_or(0)
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
        self.parts.iter_mut().for_each(|part| part.retain(keep));
    }

    /// Adds values, row by row to `groups`, which lie below [`len`](Self::len); `time` tells the time
    /// of a row's point. All points are of one series.
    #[cfg(test)]
    pub fn add(
        &mut self,
        aggregate: usize,
        values: &Vector<'_>,
        groups: &[u32],
        time: &dyn Fn(usize) -> i64,
        failures: &mut Failures,
    ) {
        self.add_of_series(aggregate, values, groups, (time, &|_| 0), failures);
    }

    /// Adds values, row by row to `groups`, which lie below [`len`](Self::len). The functions tell the
    /// time of a row's point, and a number for its series.
    pub fn add_of_series(
        &mut self,
        aggregate: usize,
        values: &Vector<'_>,
        groups: &[u32],
        (time, series): (&dyn Fn(usize) -> i64, &dyn Fn(usize) -> u64),
        failures: &mut Failures,
    ) {
        let Some(source) = self.sources.get(aggregate).filter(|source| source.owns) else { return };
        let Some(part) = source.part.and_then(|part| self.parts.get_mut(part)) else { return };
        if values.is_null() {
            return;
        }
        let len = self.rows.len();
        if source.call.merges {
            merge_states(part, &source.call, values, groups, len, failures);
        } else {
            part.add(values, &Input { groups, len, time, series }, failures);
        }
    }

    /// The results of an aggregate for these groups.
    pub fn finish(&self, aggregate: usize, groups: &[u32], failures: &mut Failures) -> Vector<'_> {
        let Some(source) = self.sources.get(aggregate) else { return Vector::null() };
        let part = source.part.and_then(|part| self.parts.get(part));
        match part {
            Some(part) if source.call.partial => states(groups, |group, bytes| {
                state::write(Family::of_call(&source.call), part, group, bytes)
            }),
            Some(part) => part.finish(source.call.function, groups, failures),
            None if source.call.partial => states(groups, |group, bytes| {
                state::write_count(self.rows.get(group).copied().unwrap_or(0), bytes)
            }),
            None => counts(&self.rows, groups),
        }
    }

    /// The counters, each with a number that is the same for all windows of the statement.
    pub fn counters(&mut self) -> impl Iterator<Item = (u32, &mut Counter)> {
        self.parts.iter_mut().enumerate().filter_map(|(number, part)| match part {
            Part::Counter(counter) => Some((number as u32, counter)),
            _ => None,
        })
    }

    /// Adds what another window of the same aggregates collected. `map` tells the own number of each
    /// of its groups, or [`NO_GROUP`] for those that are left out; without it the numbers are the
    /// same.
    pub fn merge(&mut self, other: &Accumulators, map: Option<&[u32]>) {
        let to = To(map);
        let len = match map {
            None => other.rows.len(),
            Some(map) => {
                let known = map.iter().filter(|group| **group != NO_GROUP);
                known.max().map_or(0, |most| *most as usize + 1)
            }
        };
        self.grow(len);
        let len = self.rows.len();
        kernel::merge(&mut self.rows, &other.rows, to, |own, more| {
            *own = own.saturating_add(*more)
        });
        if !other.dirty.is_empty() {
            grow(&mut self.dirty, len, false);
            kernel::merge(&mut self.dirty, &other.dirty, to, |own, dirty| *own |= dirty);
        }
        self.parts.iter_mut().zip(&other.parts).for_each(|(own, other)| own.merge(other, len, to));
    }

    /// Appends all that [`read`](Self::read) needs.
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.rows.len() as u64);
        self.rows.iter().for_each(|rows| put(out, *rows));
        put(out, self.dirty.len() as u64);
        out.extend(self.dirty.iter().map(|dirty| u8::from(*dirty)));
        for (part, family) in self.parts.iter().zip(self.families()) {
            out.push(family as u8);
            part.write(out);
        }
    }

    /// The family of each accumulator.
    fn families(&self) -> Vec<Family> {
        let own = self.sources.iter().filter(|source| source.part.is_some() && source.owns);
        own.map(|source| Family::of_call(&source.call)).collect()
    }

    /// Reads what accumulators of the same aggregates wrote.
    pub fn read(calls: &[AggregateCall], from: &mut Reader<'_>) -> Read<Accumulators> {
        let mut made = Accumulators::new(calls);
        made.read_all(from).map(|()| made)
    }

    fn read_all(&mut self, from: &mut Reader<'_>) -> Read<()> {
        let groups = from.count(1)?;
        self.rows.reserve_exact(groups);
        for _ in 0..groups {
            self.rows.push(from.number()?);
        }
        let dirty = from.count(1)?;
        if dirty > groups {
            return Err(Broken);
        }
        for _ in 0..dirty {
            self.dirty.push(from.flags(1)? != 0);
        }
        let families = self.families();
        for (part, family) in self.parts.iter_mut().zip(families) {
            if from.byte()? != family as u8 {
                return Err(Broken);
            }
            part.read(groups, from)?;
        }
        Ok(())
    }
}

/// The states of groups as text.
fn states<'a>(groups: &[u32], state: impl Fn(usize, &mut Vec<u8>) -> String) -> Vector<'a> {
    let mut bytes = Vec::new();
    let texts = groups.iter().map(|group| Cow::Owned(state(*group as usize, &mut bytes)));
    Vector::new(Data::Text(texts.collect()))
}

/// Adds states that stand in texts. What is none is passed over and counted.
fn merge_states(
    part: &mut Part,
    call: &AggregateCall,
    values: &Vector<'_>,
    groups: &[u32],
    len: usize,
    failures: &mut Failures,
) {
    let Data::Text(texts) = &values.data else {
        failures.state += count(values, groups.len());
        return;
    };
    each(values, groups, |at, group| match state::read(call, &texts[at]) {
        Ok(other) => part.merge(&other, len, To(Some(&[group as u32]))),
        Err(Broken) => failures.state += 1,
    });
}

#[cfg(test)]
mod tests;
