//! Windows that overlap. A point is added once, to its pane; a window's rows are made of the sums of
//! its panes when it closes.
//!
//! A point that comes too late for some of its windows still counts in the others, and is counted as
//! late once; with `late = "pass"` it is sent on as well.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Control, Delivery};
use headwater_plugin_api::window::codec::{Read, Reader};
use headwater_plugin_api::window::{
    Closing, Feed, Grid, HopGrid, HopPlace, HopReady, Hops, Sources,
};

use super::emission::{self, Emission, Unfinished};
use super::grouping::TIDY_MIN;
use super::placing::{self, Axis, Placed};
use super::slots::numbers;
use super::spare::Spare;
use super::tumbling::{STATE_FACTOR, is_untidy, policy, tidy};
use super::{CALL_ROWS, Form, MakePoints, Parted, Results, Shared, Work, hand_on};
use crate::accumulate::Accumulators;
use crate::plan::Aggregate;
use crate::statement::{NO_GROUP, Settings};

/// Accumulators that are kept for new panes and windows.
const SPARE: usize = 2;

/// A pane is given up: its counters' last values stay.
fn remember(shared: &mut Shared, content: &mut Accumulators) {
    if shared.memory.is_used() {
        let groups = content.groups(false);
        shared.memory.after(content, &groups, &shared.groups.table);
    }
}

/// Hopping windows.
pub struct Hop {
    pub(super) panes: Hops<Accumulators>,
    pub(super) spare: Spare,
    unfinished: Unfinished,
    early: u64,
    /// Panes were given up since the table of groups was looked at.
    freed: bool,
    slots: Vec<u32>,
}

impl Hop {
    pub fn new(slide: i64, size: i64, settings: &Settings) -> Self {
        let policy = policy(Grid::new(slide, 0), settings);
        let mut panes = Hops::new(policy, HopGrid::new(slide, size));
        panes.set_max(settings.max_windows as usize);
        Hop {
            panes,
            spare: Spare::new(SPARE),
            unfinished: Unfinished::default(),
            early: 0,
            freed: false,
            slots: Vec::new(),
        }
    }

    /// Lets the oldest windows close when all panes hold too much: a window has as many as it has
    /// panes, and what tumbling windows may hold comes on top.
    fn bound(&mut self, max_groups: u32) {
        let factor = self.panes.grid().panes_per_window().saturating_add(STATE_FACTOR - 1);
        let limit = (max_groups as usize).saturating_mul(factor).max(TIDY_MIN);
        let mut total: usize = self.panes.contents().map(|content| content.len()).sum();
        while total > limit
            && let Some(content) = self.panes.force_oldest_pane()
        {
            total = total.saturating_sub(content.len());
        }
    }

    /// What the panes of a window hold together.
    fn merged(&mut self, ready: &HopReady, aggregate: &Aggregate) -> Accumulators {
        let mut content = self.spare.take(aggregate);
        self.panes.panes(ready.window).for_each(|pane| content.merge(pane, None));
        content
    }

    /// The rows of a window that is due; it is done unless it is to begin anew.
    fn begin(
        &mut self,
        shared: &mut Shared,
        ready: &HopReady,
        aggregate: &Aggregate,
        now: i64,
        restart: bool,
    ) -> Emission {
        if !ready.correction {
            shared.lag = now.saturating_sub(ready.span.end).max(0);
            self.panes.each_before(ready.window, |pane| shared.overtaken(pane));
        }
        let mut content = self.merged(ready, aggregate);
        let groups = match ready.correction {
            true => self.panes.take_changed(ready.window),
            false => content.groups(false),
        };
        shared.memory.before(&mut content, &groups, &shared.groups.table);
        let delivery: Option<Delivery> = self.panes.take_delivery(ready.window);
        if restart && !ready.correction {
            self.panes.restart(ready.window);
        } else {
            self.panes.done(ready.window);
        }
        self.recycle_panes(shared);
        Emission::new(ready.span, content, groups, &shared.groups.table, delivery)
    }

    fn recycle_panes(&mut self, shared: &mut Shared) {
        while let Some(mut content) = self.panes.take_freed() {
            shared.groups.stale = true;
            remember(shared, &mut content);
            self.freed = true;
            self.spare.keep([content]);
        }
    }

    /// Makes all rows of a window.
    fn emit(
        &mut self,
        shared: &mut Shared,
        ready: &HopReady,
        results: &mut Results<'_>,
        restart: bool,
    ) {
        let now = results.cx.now;
        let emission = self.begin(shared, ready, results.aggregate, now, restart);
        self.spare.keep([emission.finish(shared, results)]);
    }

    /// Makes all rows that are still to come.
    fn emit_rest(&mut self, shared: &mut Shared, results: &mut Results<'_>) {
        self.spare.keep(self.unfinished.finish(shared, results));
    }

    /// Forgets groups that are in no pane.
    fn tidy(&mut self, shared: &mut Shared) {
        let used = tidy(shared, self.panes.contents().collect());
        let numbers = numbers(&used);
        let number = |group: &u32| numbers.get(*group as usize).copied().unwrap_or(NO_GROUP);
        for changed in self.panes.changed() {
            changed.iter_mut().for_each(|group| *group = number(group));
            changed.retain(|group| *group != NO_GROUP);
        }
        self.spare.release();
    }

    /// Forgets groups when most of them are in no pane.
    fn tidy_up(&mut self, shared: &mut Shared) -> bool {
        if !std::mem::take(&mut self.freed) {
            return false;
        }
        let untidy = is_untidy(shared, &self.panes.contents().collect::<Vec<_>>());
        if untidy {
            self.tidy(shared);
        }
        untidy
    }
}

impl Axis for Hop {
    fn place_all(&mut self, work: &Work<'_>, first: i64, last: i64) -> Option<u32> {
        let open = || self.spare.take(work.results.aggregate);
        self.panes.place_all(work.feed, first, last, open)
    }

    #[inline]
    fn place(&mut self, work: &Work<'_>, time: i64) -> Placed {
        let open = || self.spare.take(work.results.aggregate);
        match self.panes.place(work.feed, time, open) {
            HopPlace::Open(slot) => Placed::In(slot),
            HopPlace::Late { slot, missed } => Placed::Late { slot, missed },
            HopPlace::TooLate => Placed::TooLate,
            HopPlace::Future => Placed::Future,
            HopPlace::Full => Placed::Full,
        }
    }

    fn content(&mut self, slot: u32) -> Option<&mut Accumulators> {
        self.panes.content(slot)
    }

    fn mark(&mut self, slot: u32, groups: &[u32]) {
        self.panes.mark(slot, groups);
    }

    fn marks_all(&self) -> bool {
        false
    }

    fn close_forced(&mut self, shared: &mut Shared, results: &mut Results<'_>) -> bool {
        self.emit_rest(shared, results);
        let mut any = false;
        while let Some(ready) = self.panes.ready(Closing::Forced) {
            any = true;
            self.emit(shared, &ready, results, false);
        }
        any
    }

    fn scratch(&mut self) -> &mut Vec<u32> {
        &mut self.slots
    }
}

impl Form for Hop {
    hand_on!(panes);

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
        while flush && let Some(ready) = self.panes.ready(Closing::All) {
            self.emit(shared, &ready, results, true);
        }
        if flush {
            // What begins anew must not hold what was emitted: nothing of a pane may stay.
            self.panes.expire(true);
            self.recycle_panes(shared);
        }
        self.tidy(shared);
    }

    fn shed(&mut self, shared: &mut Shared, results: &mut Results<'_>, all: bool) {
        let count = if all { self.panes.len() } else { self.panes.len().div_ceil(4) };
        for _ in 0..count {
            self.panes.force_oldest();
        }
        self.close_forced(shared, results);
        self.panes.expire(false);
        self.recycle_panes(shared);
    }

    fn close(
        &mut self,
        shared: &mut Shared,
        results: &mut Results<'_>,
        now: i64,
        closing: Closing,
    ) -> bool {
        self.panes.set_now(now);
        self.bound(shared.groups.max);
        let mut room = if closing == Closing::Due { CALL_ROWS } else { usize::MAX };
        loop {
            self.spare.keep(self.unfinished.go_on(&mut room, shared, results));
            if self.unfinished.is_some() {
                break;
            }
            let Some(ready) = self.panes.ready(closing) else { break };
            let aggregate = results.aggregate;
            let emission = self.begin(shared, &ready, aggregate, now, false);
            self.unfinished.begin(emission);
        }
        let mut changed = false;
        if !self.unfinished.is_some() {
            self.panes.expire(false);
            self.recycle_panes(shared);
            changed = self.tidy_up(shared);
        }
        results.count_early(self.panes.closed_early(), &mut self.early);
        changed
    }

    fn is_emitting(&self) -> bool {
        self.unfinished.is_some()
    }

    fn open_count(&self) -> usize {
        self.panes.len() + usize::from(self.unfinished.is_some())
    }

    fn next_due(&self, now: i64) -> Option<i64> {
        // A window that is opened from now on closes no earlier than the first that holds the present.
        let (grid, delay) = (self.panes.grid(), self.panes.policy().delay);
        let end = grid.span(grid.first_open(now)).end.saturating_add(delay);
        Some(self.panes.next_due().map_or(end, |due| due.min(end)))
    }

    fn watermark(&self, stamp_end: bool) -> i64 {
        let start = self.unfinished.earliest(self.panes.low_watermark());
        if stamp_end { start.saturating_add(self.panes.grid().size()) } else { start }
    }

    fn parted(&mut self) -> Option<Parted<'_>> {
        Some(Parted::Hop(self))
    }

    fn byte_size(&mut self) -> usize {
        let open: usize = self.panes.contents().map(|content| content.byte_size()).sum();
        let kept = self.unfinished.byte_size() + self.spare.byte_size();
        open + kept + self.panes.byte_size() + self.slots.capacity() * 4
    }

    fn release(&mut self) -> bool {
        self.slots = Vec::new();
        self.spare.release();
        self.panes.is_empty() && !self.unfinished.is_some()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.panes.write(out, Accumulators::write);
        self.unfinished.write(out);
    }

    fn read(
        &mut self,
        aggregate: &Aggregate,
        now: i64,
        groups: usize,
        from: &mut Reader<'_>,
    ) -> Read<()> {
        let content = |from: &mut Reader<'_>| emission::read_content(aggregate, groups, from);
        self.panes.read(now, groups, from, content)?;
        self.unfinished = Unfinished::read(aggregate, groups, from)?;
        Ok(())
    }
}
