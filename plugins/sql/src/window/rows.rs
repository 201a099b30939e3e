//! Windows of so many points of a group, in the order of their arrival. Time closes none of them: the
//! rows of incomplete ones come at the stop.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Control, Delivery};
use headwater_plugin_api::window::codec::{Broken, Read, Reader, put, put_time};
use headwater_plugin_api::window::{Closing, Feed, Sources, Span};

use super::grouping::TIDY_MIN;
use super::slots::{Closed, NO_SLOT, Slots, numbers};
use super::{Form, MakePoints, Results, Shared, Work};
use crate::accumulate::Accumulators;
use crate::plan::Aggregate;
use crate::statement::{NO_GROUP, Settings};

/// How many delivery handles all windows hold; all of them close early when there are more.
const MAX_DELIVERIES: usize = 1 << 20;

/// Windows of so many points.
pub struct Rows {
    count: u64,
    sources: Sources,
    hold: i64,
    delay: i64,
    slots: Slots,
    /// Slots that were given out since they were numbered.
    next: u32,
    /// The window that is open, by group.
    open: Vec<Option<Open>>,
    windows: usize,
    /// Windows that are complete.
    done: Vec<Done>,
    /// Groups that took points of the batch at hand.
    touched: Vec<u32>,
    batch: u64,
    now: i64,
    deliveries: usize,
    aggregate: Aggregate,
}

struct Open {
    slot: u32,
    count: u64,
    /// From the earliest point to the latest.
    span: Span,
    batch: u64,
    /// The clock when the last point came.
    fed: i64,
    deliveries: Vec<Delivery>,
}

impl Open {
    fn write(&self, out: &mut Vec<u8>) {
        put(out, u64::from(self.slot));
        put(out, self.count);
        put_time(out, self.span.start);
        put_time(out, self.span.end);
    }

    fn read(now: i64, from: &mut Reader<'_>) -> Read<Open> {
        let slot = u32::try_from(from.number()?).map_err(|_| Broken)?;
        let count = from.number()?;
        let span = Span { start: from.time()?, end: from.time()? };
        if span.start > span.end {
            return Err(Broken);
        }
        Ok(Open { slot, count, span, batch: 0, fed: now, deliveries: Vec::new() })
    }
}

struct Done {
    group: u32,
    open: Open,
}

impl Rows {
    pub fn new(count: u64, settings: &Settings, aggregate: &Aggregate) -> Self {
        let Settings { delay, idle, hold, max_future, .. } = *settings;
        Rows {
            count: count.max(1),
            sources: Sources::new(delay, idle, hold, max_future),
            hold,
            delay,
            slots: Slots::new(aggregate),
            next: 0,
            open: Vec::new(),
            windows: 0,
            done: Vec::new(),
            touched: Vec::new(),
            batch: 0,
            now: i64::MIN,
            deliveries: 0,
            aggregate: aggregate.clone(),
        }
    }

    /// The slot of a point.
    fn slot(&mut self, group: u32, time: i64) -> u32 {
        if self.open.len() <= group as usize {
            self.open.resize_with(group as usize + 1, || None);
        }
        let entry = &mut self.open[group as usize];
        let open = entry.get_or_insert_with(|| {
            self.next += 1;
            self.windows += 1;
            let span = Span { start: time, end: time };
            let slot = self.next - 1;
            Open { slot, count: 0, span, batch: 0, fed: 0, deliveries: Vec::new() }
        });
        open.count += 1;
        open.span.start = open.span.start.min(time);
        open.span.end = open.span.end.max(time);
        if open.batch != self.batch {
            (open.batch, open.fed) = (self.batch, self.now);
            self.touched.push(group);
        }
        let slot = open.slot;
        if open.count >= self.count {
            self.windows -= 1;
            self.done.extend(entry.take().map(|open| Done { group, open }));
        }
        slot
    }

    /// Makes the rows of complete windows, in the order in which they became so.
    fn emit(&mut self, shared: &mut Shared, results: &mut Results<'_>) {
        let closed = |done: Done| {
            let Done { group, open: Open { slot, span, deliveries, .. } } = done;
            self.deliveries = self.deliveries.saturating_sub(deliveries.len());
            Closed { group, slot, more: Vec::new(), span, delivery: Delivery::join(deliveries) }
        };
        let mut closed: Vec<Closed> = self.done.drain(..).map(closed).collect();
        let slots = closed.iter().map(|window| (window.slot, window.group));
        shared.memory.through(&mut self.slots.content, slots, &shared.groups.table);
        self.slots.emit(shared, results, &mut closed);
        if self.windows == 0 {
            self.slots.content.clear();
            self.next = 0;
        } else if self.next as usize > TIDY_MIN && self.next as usize > self.windows * 2 {
            self.compact();
        }
    }

    /// Gives up the slots of windows that were emitted.
    fn compact(&mut self) {
        let mut map = vec![NO_GROUP; self.next as usize];
        for (slot, open) in self.open.iter_mut().flatten().enumerate() {
            map[open.slot as usize] = slot as u32;
            open.slot = slot as u32;
        }
        self.next = self.windows as u32;
        self.slots.renumber(&self.aggregate, &map);
    }

    /// Lets all windows end as they are, in the order of their groups' keys.
    fn end_all(&mut self, shared: &Shared) -> usize {
        let mut groups: Vec<u32> = (0..self.open.len() as u32).collect();
        groups.retain(|group| self.open[*group as usize].is_some());
        crate::names::sort_by_key(&mut groups, &shared.groups.table);
        for &group in &groups {
            let open = self.open[group as usize].take();
            self.done.extend(open.map(|open| Done { group, open }));
        }
        self.windows = 0;
        groups.len()
    }

    /// Forgets the groups that have no window.
    fn tidy(&mut self, shared: &mut Shared) {
        let mut used = vec![false; shared.groups.table.len()];
        for (used, open) in used.iter_mut().zip(&self.open) {
            *used = open.is_some();
        }
        self.done.iter().for_each(|done| used[done.group as usize] = true);
        shared.writer.forget_groups();
        shared.groups.retain(&used);
        let numbers = numbers(&used);
        self.done.iter_mut().for_each(|done| done.group = numbers[done.group as usize]);
        let mut kept = used.iter();
        self.open.retain(|_| kept.next().is_some_and(|used| *used));
        self.touched.clear();
    }
}

impl Form for Rows {
    fn observe(&mut self, now: i64, batch: &Batch) -> Feed {
        self.now = now;
        self.batch += 1;
        self.touched.clear();
        self.sources.observe(now, batch)
    }

    fn control(&mut self, now: i64, control: Control) {
        self.now = now;
        self.sources.control(now, control);
    }

    fn sources(&mut self) -> &mut Sources {
        &mut self.sources
    }

    fn hold_delivery(&mut self, batch: &Batch) {
        let Some(delivery) = batch.delivery() else { return };
        let mut hold = |open: &mut Open| {
            if open.batch == self.batch {
                open.deliveries.push(delivery.clone());
                self.deliveries += 1;
                // Not twice, should the batch go on.
                open.batch = 0;
            }
        };
        self.done.iter_mut().for_each(|done| hold(&mut done.open));
        for group in self.touched.drain(..) {
            self.open.get_mut(group as usize).and_then(Option::as_mut).map(&mut hold);
        }
    }

    fn place<'a>(
        &mut self,
        shared: &mut Shared,
        work: &mut Work<'_>,
        rows: &'a [u32],
        points: MakePoints<'_, 'a>,
    ) {
        let groups = std::mem::take(&mut shared.groups.of_rows);
        let mut slots = self.slots.take_list();
        let table = work.batch.tables().rows();
        for (at, &group) in rows.iter().zip(&groups) {
            let time = table[*at as usize].time;
            slots.push(if group == NO_GROUP {
                work.results.counts.overflow += 1;
                NO_SLOT
            } else if time > work.feed.limit {
                work.results.counts.future += 1;
                NO_SLOT
            } else {
                self.slot(group, time)
            });
        }
        self.slots.add(self.next as usize, &slots, work, rows, points);
        self.slots.put_list(slots);
        shared.groups.of_rows = groups;
        shared.groups.stale |= !self.done.is_empty();
    }

    fn make_room(&mut self, shared: &mut Shared, results: &mut Results<'_>, flush: bool) {
        if flush {
            results.counts.early += self.end_all(shared) as u64;
        }
        self.emit(shared, results);
        self.tidy(shared);
    }

    fn reclaim(&mut self, shared: &mut Shared, results: &mut Results<'_>) {
        self.make_room(shared, results, false);
        if self.next as usize > self.windows {
            self.compact();
        }
        self.open.shrink_to_fit();
    }

    fn shed(&mut self, shared: &mut Shared, results: &mut Results<'_>, _all: bool) {
        // Who comes first by time says little here.
        self.make_room(shared, results, true);
    }

    fn close(
        &mut self,
        shared: &mut Shared,
        results: &mut Results<'_>,
        now: i64,
        closing: Closing,
    ) -> bool {
        self.now = now;
        self.sources.set_now(now);
        if closing == Closing::All {
            self.end_all(shared);
        } else if self.deliveries > MAX_DELIVERIES {
            results.counts.early += self.end_all(shared) as u64;
        }
        if !self.done.is_empty() {
            self.emit(shared, results);
        }
        // Groups between two windows are kept as long as there is room: they mostly come again.
        false
    }

    fn is_emitting(&self) -> bool {
        !self.done.is_empty()
    }

    fn open_count(&self) -> usize {
        self.windows + self.done.len()
    }

    fn next_due(&self, _now: i64) -> Option<i64> {
        None
    }

    /// A group that is silent holds nobody for ever: what took no point for `hold` is not waited for.
    fn watermark(&self, stamp_end: bool) -> i64 {
        let recent = |open: &&Open| self.now.saturating_sub(open.fed) <= self.hold;
        let time = |open: &Open| if stamp_end { open.span.end } else { open.span.start };
        let first = self.open.iter().flatten().filter(recent).map(time).min();
        let clock = self.now.saturating_sub(self.delay);
        first.map_or(clock, |first| first.min(clock))
    }

    fn byte_size(&mut self) -> usize {
        self.slots.byte_size()
            + self.open.capacity() * size_of::<Option<Open>>()
            + self.done.capacity() * size_of::<Done>()
            + self.touched.capacity() * 4
            + self.deliveries * size_of::<Delivery>()
    }

    fn release(&mut self) -> bool {
        self.touched = Vec::new();
        self.done.shrink_to_fit();
        let is_empty = self.windows == 0 && self.done.is_empty();
        if is_empty {
            self.open = Vec::new();
            self.next = 0;
            self.slots.release(&self.aggregate);
        }
        is_empty
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.slots.content.write(out);
        put(out, u64::from(self.next));
        let open = self.open.iter().enumerate();
        let open = open.filter_map(|(group, open)| Some((group as u32, open.as_ref()?)));
        let done = self.done.iter().map(|done| (done.group, &done.open));
        for (count, list) in
            [(self.windows, open.collect::<Vec<_>>()), (self.done.len(), done.collect::<Vec<_>>())]
        {
            put(out, count as u64);
            for (group, open) in list {
                put(out, u64::from(group));
                open.write(out);
            }
        }
    }

    fn read(
        &mut self,
        aggregate: &Aggregate,
        now: i64,
        groups: usize,
        from: &mut Reader<'_>,
    ) -> Read<()> {
        self.now = now;
        self.sources.set_now(now);
        self.slots.content = Accumulators::read(&aggregate.aggregates, from)?;
        let slots = self.slots.content.len();
        self.next = u32::try_from(from.number()?).map_err(|_| Broken)?;
        let mut taken = vec![false; slots];
        if self.next as usize > slots {
            return Err(Broken);
        }
        for is_done in [false, true] {
            for _ in 0..from.count(18)? {
                let group = u32::try_from(from.number()?).map_err(|_| Broken)?;
                let open = Open::read(now, from)?;
                let is_taken = taken.get_mut(open.slot as usize).ok_or(Broken)?;
                if group as usize >= groups || std::mem::replace(is_taken, true) {
                    return Err(Broken);
                }
                if is_done {
                    self.done.push(Done { group, open });
                    continue;
                }
                if self.open.len() <= group as usize {
                    self.open.resize_with(group as usize + 1, || None);
                }
                if self.open[group as usize].replace(open).is_some() {
                    return Err(Broken);
                }
                self.windows += 1;
            }
        }
        Ok(())
    }
}
