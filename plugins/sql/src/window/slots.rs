//! Accumulators that are counted by window instead of by group: each window has a slot.

use headwater_plugin_api::plugin::Delivery;
use headwater_plugin_api::window::Span;

use super::emission::{RowSet, Spans};
use super::{MakePoints, Results, Shared, Work, accumulate};
use crate::accumulate::Accumulators;
use crate::plan::Aggregate;
use crate::statement::NO_GROUP;

/// There is no slot: the point is refused.
pub const NO_SLOT: u32 = u32::MAX;

/// A window that is closed.
pub struct Closed {
    pub group: u32,
    /// Where its points were added.
    pub slot: u32,
    /// Further slots of points of it.
    pub more: Vec<u32>,
    pub span: Span,
    pub delivery: Option<Delivery>,
}

/// The accumulators of windows.
pub struct Slots {
    pub content: Accumulators,
    list: Vec<u32>,
}

impl Slots {
    pub fn new(aggregate: &Aggregate) -> Self {
        Slots { content: Accumulators::new(&aggregate.aggregates), list: Vec::new() }
    }

    pub fn byte_size(&self) -> usize {
        self.content.byte_size() + self.list.capacity() * 4
    }

    /// Adds rows to the slots of a list, which lie below `len`; there are as many rows at least.
    pub fn add<'a>(
        &mut self,
        len: usize,
        list: &[u32],
        work: &mut Work<'_>,
        rows: &'a [u32],
        points: MakePoints<'_, 'a>,
    ) {
        self.content.grow(len);
        let mut start = 0;
        for run in list.split(|slot| *slot == NO_SLOT) {
            if !run.is_empty() {
                let rows = &rows[start..start + run.len()];
                accumulate(&mut self.content, &mut work.results, run, &points(rows));
            }
            start += run.len() + 1;
        }
    }

    /// A list to write the slots of rows into.
    pub fn take_list(&mut self) -> Vec<u32> {
        let mut list = std::mem::take(&mut self.list);
        list.clear();
        list
    }

    /// Gives the list back.
    pub fn put_list(&mut self, list: Vec<u32>) {
        self.list = list;
    }

    /// Forgets all windows and gives the memory back.
    pub fn release(&mut self, aggregate: &Aggregate) {
        *self = Slots::new(aggregate);
    }

    /// Moves what the slots hold to other slots; several may become one.
    pub fn renumber(&mut self, aggregate: &Aggregate, map: &[u32]) {
        let mut content = Accumulators::new(&aggregate.aggregates);
        content.merge(&self.content, Some(map));
        self.content = content;
    }

    /// Makes a row of each window, in their order.
    pub fn emit(&self, shared: &mut Shared, results: &mut Results<'_>, closed: &mut [Closed]) {
        let Some(last) = closed.last() else { return };
        shared.lag = results.cx.now.saturating_sub(last.span.end).max(0);
        shared.groups.stale = true;
        let from = results.out.len();
        let several = closed.iter().any(|window| !window.more.is_empty());
        let slots: Vec<u32> = closed.iter().map(|window| window.slot).collect();
        if several || self.content.is_mixed(&slots) {
            let mut map = vec![NO_GROUP; self.content.len()];
            for (row, window) in closed.iter().enumerate() {
                for slot in window.more.iter().chain([&window.slot]) {
                    if let Some(place) = map.get_mut(*slot as usize) {
                        *place = row as u32;
                    }
                }
            }
            let gathered = part_of(&self.content, results, closed.len(), &map);
            apart(gathered, shared, results, closed);
        } else {
            rows(&self.content, &slots, shared, results, closed);
        }
        results.emitter.finish(results.out);
        let deliveries = closed.iter_mut().filter_map(|window| window.delivery.take()).collect();
        let mut delivery = Delivery::join(deliveries);
        shared.writer.settle(from, &mut delivery, true, results.out);
    }
}

/// Makes rows of windows whose results stand in `content` in their order, those of different kinds
/// apart: what other windows hold must not show in them.
fn apart(content: Accumulators, shared: &mut Shared, results: &mut Results<'_>, closed: &[Closed]) {
    let slots: Vec<u32> = (0..closed.len() as u32).collect();
    if closed.len() < 2 || !content.is_mixed(&slots) {
        return rows(&content, &slots, shared, results, closed);
    }
    let (first, second) = closed.split_at(closed.len() / 2);
    for (half, from) in [(first, 0), (second, first.len() as u32)] {
        let place = |slot: &u32| match slot.checked_sub(from) {
            Some(row) if (row as usize) < half.len() => row,
            _ => NO_GROUP,
        };
        let map: Vec<u32> = slots.iter().map(place).collect();
        let part = part_of(&content, results, half.len(), &map);
        apart(part, shared, results, half);
    }
}

fn part_of(content: &Accumulators, results: &Results<'_>, len: usize, map: &[u32]) -> Accumulators {
    let mut part = Accumulators::new(&results.aggregate.aggregates);
    part.grow(len);
    part.merge(content, Some(map));
    part
}

fn rows(
    content: &Accumulators,
    slots: &[u32],
    shared: &mut Shared,
    results: &mut Results<'_>,
    closed: &[Closed],
) {
    let groups: Vec<u32> = closed.iter().map(|window| window.group).collect();
    let spans: Vec<Span> = closed.iter().map(|window| window.span).collect();
    let set = RowSet { content, slots, groups: &groups, spans: Spans::Each(&spans) };
    shared.writer.rows(&shared.groups.table, &set, results);
}

/// The new numbers of groups that were kept.
pub fn numbers(used: &[bool]) -> Vec<u32> {
    let mut next = 0;
    let number = |used: &bool| {
        next += u32::from(*used);
        if *used { next - 1 } else { NO_GROUP }
    };
    used.iter().map(number).collect()
}
