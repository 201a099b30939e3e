//! Points into windows of a time axis.

use super::{Form, MakePoints, Results, Shared, Work, accumulate};
use crate::accumulate::Accumulators;
use crate::statement::{Late, NO_GROUP};

/// There is no window: the point is refused.
const NO_WINDOW: u32 = u32::MAX;
/// The rest is a slot whose windows are to be told what changed.
const MARKED: u32 = 1 << 31;

/// Where a point belongs.
pub enum Placed {
    /// Into this slot.
    In(u32),
    /// Into this slot, some of whose windows take it as a late point.
    Late { slot: u32, missed: bool },
    /// Into windows that were emitted.
    TooLate,
    /// Further ahead of the clock than is allowed.
    Future,
    /// There is no room before some windows are closed.
    Full,
}

/// A time axis with windows.
pub(super) trait Axis: Form {
    /// The slot that all points from `first` to `last` belong to, if it is one.
    fn place_all(&mut self, work: &Work<'_>, first: i64, last: i64) -> Option<u32>;
    /// The slot of a point.
    fn place(&mut self, work: &Work<'_>, time: i64) -> Placed;
    /// What a slot holds.
    fn content(&mut self, slot: u32) -> Option<&mut Accumulators>;
    /// Notes groups that changed in a slot, some of whose windows take late points.
    fn mark(&mut self, slot: u32, groups: &[u32]);
    /// Whether each point is to be noted, not only late ones.
    fn marks_all(&self) -> bool;
    /// Emits the windows that must close early, in the middle of a batch; whether there were any.
    fn close_forced(&mut self, shared: &mut Shared, results: &mut Results<'_>) -> bool;
    /// A list to write slots into.
    fn scratch(&mut self) -> &mut Vec<u32>;
}

/// Puts grouped rows into their windows.
pub(super) fn place<'a, A: Axis>(
    axis: &mut A,
    shared: &mut Shared,
    work: &mut Work<'_>,
    rows: &'a [u32],
    points: MakePoints<'_, 'a>,
) {
    if rows.is_empty() {
        return;
    }
    let (first, last) = work.batch.time_range();
    let groups = std::mem::take(&mut shared.groups.of_rows);
    if shared.groups.complete
        && let Some(slot) = axis.place_all(work, first, last)
    {
        add(axis, shared, work, slot, &groups, rows, points);
        shared.groups.of_rows = groups;
        return;
    }
    let mut slots = std::mem::take(axis.scratch());
    let mut from = 0;
    while from < rows.len() {
        slots.clear();
        assign(axis, shared, work, &rows[from..], &groups[from..], &mut slots);
        let (rows, groups) = (&rows[from..], &groups[from..]);
        let mut start = 0;
        while start < slots.len() {
            let slot = slots[start];
            let len = slots[start..].iter().take_while(|other| **other == slot).count();
            let run = start..start + len;
            if slot != NO_WINDOW {
                add(axis, shared, work, slot, &groups[run.clone()], &rows[run], points);
            }
            start += len;
        }
        from += slots.len();
        if slots.len() < groups.len() {
            axis.hold_delivery(work.batch);
            shared.writer.finish_late(shared.late, work);
            if !axis.close_forced(shared, &mut work.results) {
                work.results.counts.windows += (groups.len() - slots.len()) as u64;
                break;
            }
        }
    }
    *axis.scratch() = slots;
    shared.groups.of_rows = groups;
    shared.writer.finish_late(shared.late, work);
}

/// Finds the slots of rows, up to the first for which there is no room.
fn assign<A: Axis>(
    axis: &mut A,
    shared: &Shared,
    work: &mut Work<'_>,
    rows: &[u32],
    groups: &[u32],
    slots: &mut Vec<u32>,
) {
    let table = work.batch.tables().rows();
    for (at, group) in rows.iter().zip(groups) {
        if *group == NO_GROUP {
            work.results.counts.overflow += 1;
            slots.push(NO_WINDOW);
            continue;
        }
        let row = &table[*at as usize];
        let (slot, late) = match Axis::place(axis, work, row.time) {
            Placed::In(slot) => (slot, false),
            Placed::Late { slot, missed } => (slot | MARKED, missed),
            Placed::TooLate => (NO_WINDOW, true),
            Placed::Future => {
                work.results.counts.future += 1;
                (NO_WINDOW, false)
            }
            Placed::Full => return,
        };
        slots.push(slot);
        if late {
            work.results.counts.late += 1;
            if shared.late == Late::Pass {
                shared.writer.late(work, row);
            }
        }
    }
}

/// Adds rows of one slot to its accumulators.
fn add<'a, A: Axis>(
    axis: &mut A,
    shared: &Shared,
    work: &mut Work<'_>,
    slot: u32,
    groups: &[u32],
    rows: &'a [u32],
    points: MakePoints<'_, 'a>,
) {
    let marked = slot & MARKED != 0;
    let slot = slot & !MARKED;
    let known = shared.groups.table.len();
    if marked || axis.marks_all() {
        axis.mark(slot, groups);
    }
    let Some(content) = axis.content(slot) else { return };
    content.grow(known);
    accumulate(content, &mut work.results, groups, &points(rows));
}
