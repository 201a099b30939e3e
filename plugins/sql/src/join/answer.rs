//! Points that are due: each becomes a row with every partner, or without one.

use std::cmp::Ordering;

use headwater_plugin_api::window::Reached;

use super::output::Part;
use super::*;

/// Points that one call answers, so that buffers can drain before the next one goes on.
const CALL_POINTS: usize = 4096;
/// Rows that one call makes, the last point's aside.
const CALL_ROWS: usize = 16_384;

/// The rows of a batch under construction.
struct Making<'m> {
    output: &'m mut Output,
    origin: u64,
    out: &'m mut Vec<Batch>,
    /// The delivery handles of its points.
    handles: Vec<u32>,
    /// Handles of points that were answered.
    done: Vec<u32>,
    rows: usize,
}

impl Held {
    /// Answers the points that are due, all of them without `reached`, and gives up the partners that
    /// nobody needs.
    pub fn answer_due(
        &mut self,
        reached: Option<&Reached>,
        output: &mut Output,
        origin: u64,
        out: &mut Vec<Batch>,
    ) {
        let mut making =
            Making { output, origin, out, handles: Vec::new(), done: Vec::new(), rows: 0 };
        loop {
            self.collect(reached);
            self.sort_ready();
            while let Some(entry) = self.ready.pop_front() {
                self.answer(entry, &mut making);
                if reached.is_some() && making.rows >= CALL_ROWS {
                    break;
                }
            }
            if reached.is_some() || self.live.is_empty() && self.fed.is_empty() {
                break;
            }
        }
        self.flush(&mut making);
        if self.ready.is_empty() {
            self.give_up_due(reached);
        }
    }

    /// Moves points that are due to those that are answered next, in the order of their times.
    fn collect(&mut self, reached: Option<&Reached>) {
        let (low, high) = self.plan.bounds;
        let mut last = i64::MIN;
        loop {
            let live = self.live.first().copied();
            let live = live.filter(|first| {
                reached.is_none_or(|reached| {
                    reached.is_due(self.deadline(first.time), false, first.came)
                })
            });
            let fed = self.fed.first().copied();
            let fed = fed.filter(|first| {
                reached.is_none_or(|reached| {
                    reached.is_due(self.deadline(first.time), true, first.came)
                })
            });
            let entry = match (live, fed) {
                (None, None) => return,
                (Some(live), Some(fed)) if fed.time < live.time => fed,
                (Some(live), _) => live,
                (None, Some(fed)) => fed,
            };
            // Points of one time are answered together: their order is not that of their coming.
            if self.ready.len() >= CALL_POINTS && entry.time != last && reached.is_some() {
                return;
            }
            last = entry.time;
            if fed != Some(entry) {
                self.live.pop();
                let (from, to) = (entry.time.saturating_add(low), entry.time.saturating_add(high));
                let key = self.keys.get(entry.group as usize);
                let is_fed = key.and_then(|key| key.fed).is_some_and(|f| f.0 <= to && f.1 >= from);
                if let (true, Some(reached)) = (is_fed, reached)
                    && !reached.is_due(self.deadline(entry.time), true, entry.came)
                {
                    // A source that catches up has given partners for it, and may give more.
                    self.fed.push(entry);
                    continue;
                }
            } else {
                self.fed.pop();
            }
            self.weight = self.weight.saturating_sub(self.sides[0].weight(entry.row));
            self.ready.push_back(entry);
        }
    }

    /// By time, then by key, then by what they hold.
    fn sort_ready(&mut self) {
        let (table, rows) = (&self.table, &self.sides[0]);
        let keys = |a: &Entry, b: &Entry| match a.group == b.group {
            true => Ordering::Equal,
            false => table.key(a.group).cmp(table.key(b.group)),
        };
        self.ready.make_contiguous().sort_by(|a, b| {
            let by_key = || keys(a, b).then_with(|| rows.compare(a.row, b.row));
            a.time.cmp(&b.time).then_with(by_key)
        });
    }

    fn answer(&mut self, entry: Entry, making: &mut Making<'_>) {
        let (low, high) = self.plan.bounds;
        let (from, to) = (entry.time.saturating_add(low), entry.time.saturating_add(high));
        let mut found = false;
        let (asof, now) = (self.plan.asof, self.now);
        if (entry.group as usize) < self.keys.len() {
            let group = entry.group as usize;
            if asof {
                let last = self.keys[group].last(&self.sides[1], from, to);
                if let Some(partner) = last {
                    self.row(entry, Some(partner), making);
                    found = true;
                }
            } else {
                for place in self.keys[group].range(&self.sides[1], from, to) {
                    let partner = self.keys[group].at(place);
                    self.row(entry, Some(partner), making);
                    found = true;
                }
            }
            let key = &mut self.keys[group];
            key.waiting = key.waiting.saturating_sub(1);
            key.touched = now;
            key.answered.insert(entry.time, high.saturating_sub(low));
        }
        if !found && self.plan.keeps_left {
            self.row(entry, None, making);
        }
        making.done.push(self.sides[0].handle(entry.row));
        self.sides[0].free(entry.row);
    }

    fn row(&mut self, entry: Entry, partner: Option<(i64, u32)>, making: &mut Making<'_>) {
        if making.output.is_full() {
            self.flush(making);
        }
        let note = |list: &mut Vec<u32>, handle: u32| {
            if handle != rows::NONE && list.last() != Some(&handle) {
                list.push(handle);
            }
        };
        note(&mut making.handles, self.sides[0].handle(entry.row));
        let a = Part { rows: &self.sides[0], row: entry.row, time: entry.time };
        let b = partner.map(|(time, row)| {
            note(&mut making.handles, self.sides[1].handle(row));
            Part { rows: &self.sides[1], row, time }
        });
        making.output.row(&self.plan, a, b);
        making.rows += 1;
    }

    /// Ends the batch at hand, which settles what its points came with.
    fn flush(&mut self, making: &mut Making<'_>) {
        let delivery = self.handles.joined(&mut making.handles);
        if let Some(mut batch) = making.output.finish() {
            batch.set_origin(making.origin);
            batch.set_delivery(delivery);
            making.out.push(batch);
        }
        making.done.drain(..).for_each(|handle| self.handles.give_up(handle));
    }

    /// Gives up the partners that no point needs any more.
    fn give_up_due(&mut self, reached: Option<&Reached>) {
        let first = |queue: &Queue| queue.first().map_or(i64::MAX, |entry| entry.time);
        let waiting = first(&self.live).min(first(&self.fed));
        let (low, _) = self.plan.bounds;
        while let Some(partner) = self.partners.first() {
            let needed = partner.time.saturating_sub(low) >= waiting;
            let over = reached.is_none_or(|reached| {
                reached.is_due(self.given_up(partner.time), true, partner.came)
            });
            if needed || !over {
                return;
            }
            self.give_up_first();
        }
    }
}
