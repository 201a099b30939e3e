//! Sessions: windows of a group that last until it is silent.
//!
//! Points at most the gap apart belong together. A session that must close early, for want of room,
//! is not remembered as emitted: what comes for it later begins a session of its own.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::window::codec::{Read, Reader};
use headwater_plugin_api::window::{
    ClosedSession, Closing, Feed, Grid, SessionPlace, Sessions, Sources,
};

use super::grouping::TIDY_MIN;
use super::slots::{Closed, NO_SLOT, Slots, numbers};
use super::tumbling::{STATE_FACTOR, policy};
use super::{CALL_ROWS, Form, MakePoints, Results, Shared, Work, hand_on};
use crate::accumulate::Accumulators;
use crate::plan::Aggregate;
use crate::statement::{Late, NO_GROUP, Settings};

/// Sessions by group.
pub struct Session {
    sessions: Sessions,
    /// How many may be open.
    max: usize,
    gap: i64,
    slots: Slots,
    /// The last call had no room for all rows.
    more: bool,
    early: u64,
    /// Sessions that were closed since groups were counted.
    closed: usize,
    aggregate: Aggregate,
}

impl Session {
    pub fn new(gap: i64, settings: &Settings, aggregate: &Aggregate) -> Self {
        let groups = settings.max_groups as usize;
        let max = groups.saturating_mul(STATE_FACTOR).max(TIDY_MIN);
        let policy = policy(Grid::new(gap, 0), settings);
        Session {
            sessions: Sessions::new(policy, gap, max, groups),
            max,
            gap,
            slots: Slots::new(aggregate),
            more: false,
            early: 0,
            closed: 0,
            aggregate: aggregate.clone(),
        }
    }

    /// Finds the slots of rows, up to the first for which there is no room.
    fn assign(
        &mut self,
        shared: &Shared,
        work: &mut Work<'_>,
        rows: &[u32],
        groups: &[u32],
        slots: &mut Vec<u32>,
    ) {
        let table = work.batch.tables().rows();
        for (at, &group) in rows.iter().zip(groups) {
            if group == NO_GROUP {
                work.results.counts.overflow += 1;
                slots.push(NO_SLOT);
                continue;
            }
            let row = &table[*at as usize];
            let hash = || shared.groups.table.hash(group);
            slots.push(match self.sessions.place(work.feed, group, hash, row.time) {
                SessionPlace::Open(slot) => slot,
                SessionPlace::Late => {
                    work.results.counts.late += 1;
                    if shared.late == Late::Pass {
                        shared.writer.late(work, row);
                    }
                    NO_SLOT
                }
                SessionPlace::Future => {
                    work.results.counts.future += 1;
                    NO_SLOT
                }
                SessionPlace::Full if shared.groups.closed => {
                    work.results.counts.overflow += 1;
                    NO_SLOT
                }
                SessionPlace::Full => return,
            });
        }
    }

    /// Makes the rows of sessions that were closed.
    fn emit(&mut self, shared: &mut Shared, results: &mut Results<'_>, list: Vec<ClosedSession>) {
        if list.is_empty() {
            return;
        }
        self.closed += list.len();
        let closed = |session: ClosedSession| Closed {
            group: session.group,
            slot: session.slot,
            more: session.more,
            span: session.span,
            delivery: session.delivery,
        };
        let mut closed: Vec<Closed> = list.into_iter().map(closed).collect();
        let table = &shared.groups.table;
        closed.sort_unstable_by(|a, b| {
            let by_key = || table.key(a.group).cmp(table.key(b.group));
            a.span.end.cmp(&b.span.end).then_with(by_key).then(a.span.start.cmp(&b.span.start))
        });
        self.slots.emit(shared, results, &mut closed);
        self.compact();
    }

    /// Gives up slots when most of them are no longer needed.
    fn compact(&mut self) {
        if self.sessions.is_empty() {
            self.sessions.begin_anew();
            self.slots.content.clear();
        } else if let Some(map) = self.sessions.compact() {
            self.slots.renumber(&self.aggregate, &map);
        }
    }

    /// Forgets the groups that have no session.
    fn tidy(&mut self, shared: &mut Shared) {
        let mut used = vec![false; shared.groups.table.len()];
        self.sessions.used(&mut used);
        shared.writer.forget_groups();
        shared.groups.retain(&used);
        self.sessions.renumber(&numbers(&used));
        self.closed = 0;
    }

    fn take(&mut self, shared: &Shared, closing: Closing, most: usize) -> Vec<ClosedSession> {
        let table = &shared.groups.table;
        self.sessions.take_due(closing, most, &|group| table.hash(group))
    }
}

impl Form for Session {
    hand_on!(sessions);

    fn place<'a>(
        &mut self,
        shared: &mut Shared,
        work: &mut Work<'_>,
        rows: &'a [u32],
        points: MakePoints<'_, 'a>,
    ) {
        let groups = std::mem::take(&mut shared.groups.of_rows);
        self.sessions.set_max(if shared.groups.closed { 0 } else { self.max });
        let mut slots = self.slots.take_list();
        let mut from = 0;
        while from < rows.len() {
            slots.clear();
            self.assign(shared, work, &rows[from..], &groups[from..], &mut slots);
            self.slots.add(self.sessions.slots(), &slots, work, &rows[from..], points);
            from += slots.len();
            if from < rows.len() {
                self.sessions.hold_delivery(work.batch);
                shared.writer.finish_late(shared.late, work);
                self.sessions.force_oldest();
                let closed = self.take(shared, Closing::Forced, usize::MAX);
                if closed.is_empty() {
                    work.results.counts.windows += (rows.len() - from) as u64;
                    break;
                }
                self.emit(shared, &mut work.results, closed);
            }
        }
        self.slots.put_list(slots);
        shared.groups.of_rows = groups;
        shared.writer.finish_late(shared.late, work);
    }

    fn make_room(&mut self, shared: &mut Shared, results: &mut Results<'_>, flush: bool) {
        if flush {
            let table = &shared.groups.table;
            let closed = self.sessions.restart(&|group| table.hash(group));
            self.emit(shared, results, closed);
        }
        self.tidy(shared);
    }

    fn reclaim(&mut self, shared: &mut Shared, _results: &mut Results<'_>) {
        self.compact();
        if let Some(map) = self.sessions.compact_all() {
            self.slots.renumber(&self.aggregate, &map);
        }
        self.tidy(shared);
    }

    fn shed(&mut self, shared: &mut Shared, results: &mut Results<'_>, all: bool) {
        if all {
            return self.make_room(shared, results, true);
        }
        // An eighth each time.
        self.sessions.force_oldest();
        self.sessions.force_oldest();
        let closed = self.take(shared, Closing::Forced, usize::MAX);
        self.emit(shared, results, closed);
    }

    fn close(
        &mut self,
        shared: &mut Shared,
        results: &mut Results<'_>,
        now: i64,
        closing: Closing,
    ) -> bool {
        self.sessions.set_now(now);
        let most = if closing == Closing::Due { CALL_ROWS } else { usize::MAX };
        let closed = self.take(shared, closing, most);
        self.more = closed.len() >= most;
        self.emit(shared, results, closed);
        let table = &shared.groups.table;
        if self.sessions.expire(&|group| table.hash(group)) {
            shared.groups.stale = true;
            self.compact();
        }
        results.count_early(self.sessions.closed_early(), &mut self.early);
        let known = shared.groups.table.len();
        if known <= TIDY_MIN || self.closed * 2 < known {
            return false;
        }
        self.closed = 0;
        let mut used = vec![false; known];
        self.sessions.used(&mut used);
        let untidy = used.iter().filter(|used| **used).count() * 2 < known;
        if untidy {
            self.tidy(shared);
        }
        untidy
    }

    fn is_emitting(&self) -> bool {
        self.more
    }

    fn open_count(&self) -> usize {
        self.sessions.len()
    }

    fn next_due(&self, now: i64) -> Option<i64> {
        // A session that is opened from now on closes no earlier than one of the present.
        let end = now.saturating_add(self.gap).saturating_add(self.sessions.policy().delay);
        Some(self.sessions.next_due().map_or(end, |due| due.min(end)))
    }

    fn watermark(&self, stamp_end: bool) -> i64 {
        self.sessions.low_watermark(stamp_end)
    }

    fn byte_size(&mut self) -> usize {
        self.sessions.byte_size() + self.slots.byte_size()
    }

    fn release(&mut self) -> bool {
        self.sessions.release();
        if self.sessions.is_empty() {
            self.slots.release(&self.aggregate);
        }
        self.sessions.is_empty()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.slots.content.write(out);
        self.sessions.write(out);
    }

    fn read(
        &mut self,
        aggregate: &Aggregate,
        now: i64,
        groups: usize,
        from: &mut Reader<'_>,
    ) -> Read<()> {
        self.slots.content = Accumulators::read(&aggregate.aggregates, from)?;
        self.sessions.read(now, groups, self.slots.content.len(), from)
    }
}
