//! Windows side by side: each point belongs to one.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::window::codec::{Read, Reader};
use headwater_plugin_api::window::{
    Closing, Feed, Grid, Place, Policy, Ready, Sources, Span, Windows,
};

use super::emission::{self, Emission, Unfinished};
use super::grouping::TIDY_MIN;
use super::placing::{self, Axis, Placed};
use super::spare::Spare;
use super::{CALL_ROWS, Form, MakePoints, Parted, Results, Shared, Work, hand_on};
use crate::accumulate::Accumulators;
use crate::plan::Aggregate;
use crate::statement::{Late, Settings};

/// How many times `max_groups` all open windows together may hold.
pub const STATE_FACTOR: usize = 8;

/// Tumbling windows.
pub struct Tumbling {
    pub(super) windows: Windows<Accumulators>,
    pub(super) spare: Spare,
    unfinished: Unfinished,
    early: u64,
    slots: Vec<u32>,
}

/// How windows open and close.
pub fn policy(grid: Grid, settings: &Settings) -> Policy {
    Policy {
        grid,
        delay: settings.delay,
        idle: settings.idle,
        hold: settings.hold,
        max_future: settings.max_future,
        grace: if settings.late == Late::Update { settings.grace } else { 0 },
    }
}

/// Forgets the groups that none of these hold.
pub fn tidy(shared: &mut Shared, mut held: Vec<&mut Accumulators>) -> Vec<bool> {
    let mut used = vec![false; shared.groups.table.len()];
    held.iter().for_each(|content| content.used(&mut used));
    shared.writer.forget_groups();
    shared.groups.retain(&used);
    held.iter_mut().for_each(|content| content.retain(&used));
    used
}

/// Whether most groups are in none of these.
pub fn is_untidy(shared: &Shared, held: &[&mut Accumulators]) -> bool {
    if shared.groups.table.len() <= TIDY_MIN {
        return false;
    }
    let mut used = vec![false; shared.groups.table.len()];
    held.iter().for_each(|content| content.used(&mut used));
    used.iter().filter(|used| **used).count() * 2 < used.len()
}

impl Tumbling {
    pub fn new(size: i64, offset: i64, settings: &Settings) -> Self {
        let mut windows = Windows::new(policy(Grid::new(size, offset), settings));
        windows.set_max(settings.max_windows as usize);
        let (spare, unfinished) = (Spare::new(1), Unfinished::default());
        Tumbling { windows, spare, unfinished, early: 0, slots: Vec::new() }
    }

    /// Lets the oldest windows close when all of them hold too much.
    fn bound(&mut self, max_groups: u32) {
        let limit = (max_groups as usize).saturating_mul(STATE_FACTOR).max(TIDY_MIN);
        let mut held: Vec<usize> = self.windows.contents().map(|content| content.len()).collect();
        held.sort_unstable();
        let mut total: usize = held.iter().sum();
        while total > limit && self.windows.force_oldest() {
            total -= held.pop().unwrap_or(total);
        }
    }

    /// Gives up a closed window's accumulators, and groups when most of them are gone.
    fn forget(&mut self, shared: &mut Shared, content: Option<Accumulators>) -> bool {
        let Some(mut content) = content else { return false };
        shared.groups.stale = true;
        // Its own groups count as used: they mostly come again.
        let mut held: Vec<&mut Accumulators> = self.windows.contents().collect();
        held.push(&mut content);
        if is_untidy(shared, &held) {
            tidy(shared, held);
            self.spare.release();
            return true;
        }
        self.spare.keep([content]);
        false
    }

    /// Closes a window whose rows are to come.
    fn begin(&mut self, shared: &mut Shared, ready: Ready, now: i64) -> Option<Emission> {
        shared.lag = now.saturating_sub(ready.span.end).max(0);
        self.windows.each_overtaken(ready.slot, |content| shared.overtaken(content));
        let delivery = self.windows.take_delivery(ready.slot);
        let mut content = self.windows.done(ready.slot)?;
        shared.groups.stale = true;
        let groups = content.groups(false);
        shared.through_windows(&mut content, &groups);
        Some(Emission::new(ready.span, content, groups, &shared.groups.table, delivery))
    }

    /// Makes all rows that are still to come.
    fn emit_rest(&mut self, shared: &mut Shared, results: &mut Results<'_>) {
        self.spare.keep(self.unfinished.finish(shared, results));
    }

    /// Makes all rows of a window that stays.
    fn emit(&mut self, shared: &mut Shared, ready: Ready, results: &mut Results<'_>) {
        if !ready.correction {
            shared.lag = results.cx.now.saturating_sub(ready.span.end).max(0);
            self.windows.each_overtaken(ready.slot, |content| shared.overtaken(content));
        }
        let delivery = self.windows.take_delivery(ready.slot);
        let Some(place) = self.windows.content(ready.slot) else { return };
        let mut content = std::mem::take(place);
        let groups = content.groups(ready.correction);
        shared.through_windows(&mut content, &groups);
        let table = &shared.groups.table;
        let emission = Emission::new(ready.span, content, groups, table, delivery);
        let content = emission.finish(shared, results);
        if let Some(place) = self.windows.content(ready.slot) {
            *place = content;
            place.unmark();
        }
    }
}

impl Axis for Tumbling {
    fn place_all(&mut self, work: &Work<'_>, first: i64, last: i64) -> Option<u32> {
        let open = |_: Span| self.spare.take(work.results.aggregate);
        self.windows.place_all(work.feed, first, last, open)
    }

    #[inline]
    fn place(&mut self, work: &Work<'_>, time: i64) -> Placed {
        let open = |_: Span| self.spare.take(work.results.aggregate);
        match self.windows.place(work.feed, time, open) {
            Place::Open(slot) => Placed::In(slot),
            Place::Late => Placed::TooLate,
            Place::Future => Placed::Future,
            Place::Full => Placed::Full,
        }
    }

    fn content(&mut self, slot: u32) -> Option<&mut Accumulators> {
        self.windows.content(slot)
    }

    fn mark(&mut self, slot: u32, groups: &[u32]) {
        if let Some(content) = self.windows.content(slot) {
            let known = groups.iter().max().map_or(0, |most| *most as usize + 1);
            content.grow(known);
            content.mark(groups);
        }
    }

    fn marks_all(&self) -> bool {
        self.windows.policy().grace > 0
    }

    fn close_forced(&mut self, shared: &mut Shared, results: &mut Results<'_>) -> bool {
        self.emit_rest(shared, results);
        let mut any = false;
        while let Some(ready) = self.windows.ready(Closing::Forced) {
            any = true;
            self.emit(shared, ready, results);
            let content = self.windows.done(ready.slot);
            self.spare.keep(content);
        }
        any
    }

    fn scratch(&mut self) -> &mut Vec<u32> {
        &mut self.slots
    }
}

impl Form for Tumbling {
    hand_on!(windows);

    fn place<'a>(
        &mut self,
        shared: &mut Shared,
        work: &mut Work<'_>,
        rows: &'a [u32],
        points: MakePoints<'_, 'a>,
    ) {
        placing::place(self, shared, work, rows, points);
    }

    fn make_room(&mut self, shared: &mut Shared, results: &mut Results<'_>, flush: bool) {
        self.emit_rest(shared, results);
        while flush && let Some(ready) = self.windows.ready(Closing::All) {
            self.emit(shared, ready, results);
            let content = if ready.correction {
                self.windows.done(ready.slot)
            } else {
                self.windows.restart(ready.slot)
            };
            self.spare.keep(content);
        }
        tidy(shared, self.windows.contents().collect());
        self.spare.release();
    }

    fn shed(&mut self, shared: &mut Shared, results: &mut Results<'_>, all: bool) {
        let count = if all { self.windows.len() } else { self.windows.len().div_ceil(4) };
        for _ in 0..count {
            self.windows.force_oldest();
        }
        self.close_forced(shared, results);
        while self.windows.expire().is_some() {}
    }

    fn close(
        &mut self,
        shared: &mut Shared,
        results: &mut Results<'_>,
        now: i64,
        closing: Closing,
    ) -> bool {
        self.windows.set_now(now);
        self.bound(shared.groups.max);
        let mut changed = false;
        let mut room = if closing == Closing::Due { CALL_ROWS } else { usize::MAX };
        loop {
            let content = self.unfinished.go_on(&mut room, shared, results);
            changed |= self.forget(shared, content);
            if self.unfinished.is_some() {
                break;
            }
            let Some(ready) = self.windows.ready(closing) else { break };
            if ready.correction || self.windows.policy().grace > 0 {
                self.emit(shared, ready, results);
                let content = self.windows.done(ready.slot);
                changed |= self.forget(shared, content);
            } else {
                let Some(emission) = self.begin(shared, ready, now) else { break };
                self.unfinished.begin(emission);
            }
        }
        while let Some(content) = self.windows.expire() {
            changed |= self.forget(shared, Some(content));
        }
        results.count_early(self.windows.closed_early(), &mut self.early);
        changed
    }

    fn is_emitting(&self) -> bool {
        self.unfinished.is_some()
    }

    fn open_count(&self) -> usize {
        self.windows.len() + usize::from(self.unfinished.is_some())
    }

    fn next_due(&self, now: i64) -> Option<i64> {
        // A window that is opened from now on closes no earlier than the one that holds the present.
        let policy = self.windows.policy();
        let end = policy.grid.span(policy.grid.index(now)).end.saturating_add(policy.delay);
        Some(self.windows.next_due().map_or(end, |due| due.min(end)))
    }

    fn watermark(&self, stamp_end: bool) -> i64 {
        let start = self.unfinished.earliest(self.windows.low_watermark());
        if stamp_end { start.saturating_add(self.windows.policy().grid.size()) } else { start }
    }

    fn parted(&mut self) -> Option<Parted<'_>> {
        Some(Parted::Tumbling(self))
    }

    fn byte_size(&mut self) -> usize {
        let open: usize = self.windows.contents().map(|content| content.byte_size()).sum();
        let kept = self.unfinished.byte_size() + self.spare.byte_size();
        open + kept + self.windows.byte_size() + self.slots.capacity() * 4
    }

    fn release(&mut self) -> bool {
        self.slots = Vec::new();
        self.spare.release();
        self.windows.is_empty() && !self.unfinished.is_some()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.windows.write(out, Accumulators::write);
        self.unfinished.write(out);
    }

    fn read(
        &mut self,
        aggregate: &Aggregate,
        now: i64,
        groups: usize,
        from: &mut Reader<'_>,
    ) -> Read<()> {
        self.windows.read(now, from, |from| emission::read_content(aggregate, groups, from))?;
        self.unfinished = Unfinished::read(aggregate, groups, from)?;
        Ok(())
    }
}
