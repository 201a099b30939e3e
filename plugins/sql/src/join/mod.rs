//! Joins of two sources within a bound of time.
//!
//! A join is the first half of its statement: it holds the points of both sources and makes joined
//! rows, which the other half reads as it would read any stream. A point of the first source is
//! answered once all partners that may come in time have come: when the time up to which its partners
//! may lie is past by the rule by which windows close. All of its rows come out then, in the order of
//! the points' times, so that windows behind know how far the join has come. Pairs that are emitted as
//! soon as both are there would come sooner, but windows behind would have to wait all the same.
//!
//! - `rows`: the points that are held, in flat tables.
//! - `queue`: points in the order of their times.
//! - `keys`: the partners of each key.
//! - `handles`: the delivery handles of the points' batches.
//! - `intake`: from batches to what is held. `answer`: from there to joined rows.
//! - `output`: joined rows as points.
//! - `state`: what is held as bytes.

mod answer;
mod handles;
mod intake;
mod keys;
mod output;
mod queue;
mod rows;
mod state;

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::batch::layout::Row;
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::window::{Closing, Groups, SeriesNumbers, Sources};

use crate::emit::Emitter;
use crate::eval::Context;
use crate::plan::{Join, ResultName};
use crate::points::Points;
use crate::series::SeriesValues;
use crate::statement::{Counts, Late, NO_GROUP, Relief, SeriesInfo, Settings, Statement};
use handles::Handles;
use keys::Key;
use output::Output;
use queue::{Entry, Queue};
use rows::Rows;

/// The key is NULL: it has no partner.
const NO_KEY: u32 = u32::MAX - 2;

/// Points of one shape that a side reads.
pub struct Selected<'s, 'a> {
    pub points: Points<'a>,
    pub keys_by_series: bool,
    pub series: &'s mut SeriesValues<SeriesInfo>,
    pub emitter: &'s mut Emitter,
    pub counts: &'s mut Counts,
    pub cx: &'s mut Context,
}

/// Brings rows, which stand by shape, into the order of what they were made of.
pub fn restore_order(made: &mut [Batch], order: &[u32]) {
    if order.is_sorted() {
        return;
    }
    let mut rest = order;
    for batch in made {
        let (own, later) = rest.split_at(batch.len().min(rest.len()));
        rest = later;
        batch.edit_rows(|rows| {
            let mut sorted: Vec<(u32, Row)> = own.iter().copied().zip(rows.to_vec()).collect();
            sorted.sort_by_key(|(of, _)| *of);
            rows.iter_mut().zip(sorted).for_each(|(row, (_, own))| *row = own);
        });
    }
}

/// A join at work.
pub struct JoinState {
    sides: [Statement; 2],
    sources: Sources,
    held: Held,
    output: Output,
    origin: u64,
}

/// What is held.
struct Held {
    plan: Arc<Join>,
    late: Late,
    max_rows: u64,
    flush: bool,
    /// There is no memory for new keys.
    closed: bool,
    /// How long a key without points is remembered.
    linger: i64,
    sides: [Rows; 2],
    /// Points of the first source that wait: those that only the clock holds, and those that wait for
    /// sources that catch up.
    live: Queue,
    fed: Queue,
    /// Those that are due and to be answered next.
    ready: VecDeque<Entry>,
    /// Points of the second source.
    partners: Queue,
    table: Groups,
    keys: Vec<Key>,
    handles: Handles,
    /// How many rows it counts as.
    weight: u64,
    /// Groups were numbered anew: the sides' series must hear of it.
    renumbered: [bool; 2],
    /// Room was made for the batch at hand.
    made_room: bool,
    /// A source that catches up gives points of the first source.
    catches_up: bool,
    now: i64,
}

impl JoinState {
    pub fn new(join: &Join, name: &ResultName, settings: &Settings, origin: u64) -> Self {
        let Settings { delay, idle, hold, max_future, .. } = *settings;
        let name = match name {
            ResultName::Fixed(name) => name.as_str(),
            ResultName::Derived => "",
        };
        let side = |at: usize| Statement::new(join.sides[at].clone(), settings, origin);
        JoinState {
            sides: [side(0), side(1)],
            sources: Sources::new(delay, idle, hold, max_future),
            held: Held::new(join, settings),
            output: Output::new(name),
            origin,
        }
    }

    /// The source of the rows.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    pub fn sources(&mut self) -> &mut Sources {
        &mut self.sources
    }

    pub fn control(&mut self, now: i64, control: Control) {
        self.sources.control(now, control);
    }

    /// Names that no point had.
    pub fn report(&mut self, now: i64, at_once: bool) -> Vec<String> {
        self.sides.iter_mut().flat_map(|side| side.report(now, at_once)).collect()
    }

    /// Tells of the rows of an earlier statement.
    pub fn expect(&mut self, rows: &ResultName) {
        self.sides.iter_mut().for_each(|side| side.expect(rows));
    }

    /// Measurements of which no point came.
    pub fn unread(&mut self) -> Vec<String> {
        self.sides.iter_mut().flat_map(Statement::unread).collect()
    }

    /// Adds what was counted.
    pub fn take_counts(&mut self, counts: &mut Counts) {
        for part in self.sides.iter_mut().map(Statement::take_counts) {
            counts.late += part.late;
            counts.future += part.future;
            counts.overflow += part.overflow;
            counts.early += part.early;
            counts.emitted.rows += part.emitted.rows;
            counts.emitted.refused += part.emitted.refused;
            counts.failures.add(&part.failures);
        }
        counts.emitted.refused += std::mem::take(&mut self.output.refused);
    }

    /// Number of points that are held.
    pub fn held_count(&self) -> usize {
        self.held.sides.iter().map(Rows::len).sum()
    }

    /// Number of keys that are known.
    pub fn group_count(&self) -> usize {
        self.held.table.len()
    }

    /// Whether points that are due are still to be answered.
    pub fn is_emitting(&self) -> bool {
        !self.held.ready.is_empty()
    }

    /// The earliest time that a row which is still to come may have, late ones aside.
    pub fn watermark(&self) -> i64 {
        let held = &self.held;
        let waiting = [&held.live, &held.fed].into_iter().filter_map(Queue::first);
        let first = waiting.chain(&held.ready).map(|entry| entry.time).min();
        let clock = held.now.saturating_sub(self.sources.delay());
        let clock = clock.min(self.sources.exact_progress().unwrap_or(i64::MAX));
        let clock = match self.sources.reached().catching_up() {
            Some(reached) if held.catches_up => clock.min(reached),
            _ => clock,
        };
        first.map_or(clock, |first| first.min(clock))
    }

    /// When to look again, if no point or message comes; `None` for never.
    pub fn next_due(&self, now: i64) -> Option<i64> {
        let held = &self.held;
        let delay = self.sources.delay();
        let (soon, later) = (now.saturating_add(1_000_000), now.saturating_add(1_000_000_000));
        let live = held.live.first().map(|first| held.deadline(first.time).saturating_add(delay));
        // What a source's progress releases is looked at again in a while.
        let slow = |end: i64, came: i64| {
            let ready = end.saturating_add(delay);
            let due = self.sources.closes_at(end, true, Some(came.max(ready)));
            due.min(ready.max(later))
        };
        let fed = held.fed.first().map(|first| slow(held.deadline(first.time), first.came));
        let given_up = held
            .partners
            .first()
            .map(|first| slow(held.given_up(first.time), first.came).max(later));
        live.into_iter().chain(fed).chain(given_up).min().map(|due| due.max(soon))
    }

    pub fn byte_size(&mut self) -> usize {
        let sides: usize = self.sides.iter_mut().map(Statement::byte_size).sum();
        sides + self.held.byte_size() + self.output.byte_size()
    }

    /// Gives back the memory that no held point needs; whether none is held.
    pub fn release(&mut self, now: i64) -> bool {
        self.sides.iter_mut().for_each(|side| {
            side.rest(now);
        });
        let held = &mut self.held;
        [&mut held.live, &mut held.fed, &mut held.partners].into_iter().for_each(Queue::shrink);
        held.sides.iter_mut().for_each(Rows::release);
        held.handles.release();
        held.ready.shrink_to(held.ready.len() * 2);
        held.now = now;
        held.forget_keys(false);
        self.forget_numbers();
        self.held.sides.iter().all(|rows| rows.len() == 0) && self.held.table.is_empty()
    }

    /// Whether new keys are taken.
    pub fn set_closed(&mut self, closed: bool) {
        self.held.closed = closed;
    }

    /// Makes do with less memory.
    pub fn relieve(&mut self, now: i64, relief: Relief, counts: &mut Counts, out: &mut Vec<Batch>) {
        let held = &mut self.held;
        held.now = now;
        match relief {
            Relief::Spare => {}
            Relief::Flush => {
                counts.early += (held.live.len() + held.fed.len()) as u64;
                held.release_all();
            }
            Relief::Oldest => held.shed(held.weight / 4 * 3, counts),
            Relief::All => held.shed(0, counts),
        }
        while !self.held.ready.is_empty() {
            self.close(now, Closing::Due, out);
        }
        for side in &mut self.sides {
            side.relieve(now, Relief::Spare, out);
        }
        self.held.sides.iter_mut().filter(|rows| rows.len() > 0).for_each(Rows::tidy);
        self.held.forget_keys(relief == Relief::All);
        self.release(now);
    }

    /// Lets all that remembers numbers of groups and of sets of tags hear that they changed.
    fn forget_numbers(&mut self) {
        for (at, side) in self.sides.iter_mut().enumerate() {
            let groups = std::mem::take(&mut self.held.renumbered[at]);
            let sets = self.held.sides[at].take_renumbered();
            if sets {
                self.output.forget();
            }
            if groups || sets {
                let infos = side.series_mut().each_mut();
                infos.for_each(|info| (info.group, info.carried) = (NO_GROUP, NO_GROUP));
            }
        }
    }

    /// Takes a batch. Points that come too late are passed on if the options say so.
    pub fn apply(
        &mut self,
        now: i64,
        batch: &Batch,
        mut numbers: Option<&mut SeriesNumbers>,
        out: &mut Vec<Batch>,
    ) -> bool {
        let feed = self.sources.observe(now, batch);
        if batch.is_empty() {
            return false;
        }
        for rows in self.held.sides.iter_mut().filter(|rows| rows.is_stale()) {
            rows.tidy();
        }
        self.held.begin(now);
        self.forget_numbers();
        let handle = self.held.handles.enter(batch.delivery());
        let held = &mut self.held;
        let mut took = false;
        for (at, side) in self.sides.iter_mut().enumerate() {
            if std::mem::take(&mut held.renumbered[at]) {
                let infos = side.series_mut().each_mut();
                infos.for_each(|info| info.group = NO_GROUP);
            }
            took |= side.select_each(now, batch, numbers.as_deref_mut(), |selected| {
                held.take(at, selected, &feed, handle, out);
            });
        }
        held.handles.drop_unused(handle);
        took
    }

    /// Answers the points that are due, or all of them.
    pub fn close(&mut self, now: i64, closing: Closing, out: &mut Vec<Batch>) {
        self.sources.set_now(now);
        let reached = match closing {
            Closing::All => None,
            _ => Some(self.sources.reached()),
        };
        self.held.now = now;
        self.held.catches_up &= self.sources.reached().catching_up().is_some();
        self.held.answer_due(reached.as_ref(), &mut self.output, self.origin, out);
    }
}

#[cfg(test)]
mod tests;
