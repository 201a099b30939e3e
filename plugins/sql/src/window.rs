//! The windowed half of a statement: points into groups and windows, windows into rows.

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::{Batch, PointRef};
use headwater_plugin_api::plugin::Delivery;
use headwater_plugin_api::window::{
    Closing, Feed, Grid, Groups, Place, Policy, Ready, SeriesCache, Span, Windows,
};

use crate::accumulate::Accumulators;
use crate::emit::{Base, Column, Emitter};
use crate::eval::{self, Context, Frame};
use crate::key;
use crate::names::{Names, sort_by_key};
use crate::plan::{Aggregate, Plan};
use crate::points::{OneSeries, Points};
use crate::statement::{Counts, Late, NO_GROUP, SeriesInfo, Settings};
use crate::vector::Vector;

/// How many times `max_groups` all open windows together may hold.
const STATE_FACTOR: usize = 8;
/// Below this many groups the table is not tidied up.
const TIDY_MIN: usize = 1024;
/// Rows that are emitted at a time.
const EMIT_ROWS: usize = 4096;
/// Rows that one call emits of a window, so that buffers can drain before the next one goes on.
const CALL_ROWS: usize = EMIT_ROWS;

/// The windows and groups of a statement.
pub struct WindowState {
    pub windows: Windows<Accumulators>,
    groups: Groups,
    /// Accumulators of closed windows, for new ones.
    free: Vec<Accumulators>,
    /// A window that is closed and whose rows are still to come.
    emission: Option<Emission>,
    name: String,
    origin: u64,
    late: Late,
    stamp_end: bool,
    max_groups: u32,
    flush: bool,
    /// Room was made for the batch at hand; what does not fit now is dropped.
    tidied: bool,
    /// A window was closed since the table was tidied up: it may hold groups of the past.
    stale: bool,
    early: u64,
    /// How long after its end the last window was emitted, nanoseconds.
    pub lag: i64,
    row_groups: Vec<u32>,
    slots: Vec<u32>,
    key: Vec<u8>,
    names: Names,
}

/// What a batch is worked on with.
pub struct Work<'w> {
    pub plan: &'w Plan,
    pub aggregate: &'w Aggregate,
    pub batch: &'w Batch,
    pub feed: &'w Feed,
    pub series: &'w mut SeriesCache<SeriesInfo>,
    pub emitter: &'w mut Emitter,
    pub counts: &'w mut Counts,
    pub cx: &'w mut Context,
    pub out: &'w mut Vec<Batch>,
}

/// There is no window: the point is refused.
const NO_WINDOW: u32 = u32::MAX;

impl WindowState {
    pub fn new(aggregate: &Aggregate, settings: &Settings, name: String, origin: u64) -> Self {
        let policy = Policy {
            grid: Grid::new(aggregate.size, aggregate.offset),
            delay: settings.delay,
            idle: settings.idle,
            hold: settings.hold,
            max_future: settings.max_future,
            grace: if settings.late == Late::Update { settings.grace } else { 0 },
        };
        WindowState {
            windows: Windows::new(policy),
            groups: Groups::new(settings.max_groups),
            free: Vec::new(),
            emission: None,
            name,
            origin,
            late: settings.late,
            stamp_end: settings.stamp_end,
            max_groups: settings.max_groups,
            flush: settings.flush,
            tidied: false,
            stale: false,
            early: 0,
            lag: 0,
            row_groups: Vec::new(),
            slots: Vec::new(),
            key: Vec::new(),
            names: Names::new(aggregate),
        }
    }

    /// The source of the results.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// Whether rows of a closed window are still to come: the next [`close`](Self::close) goes on.
    pub fn is_emitting(&self) -> bool {
        self.emission.is_some()
    }

    /// Number of windows that are open or whose rows are still to come.
    pub fn open_count(&self) -> usize {
        self.windows.len() + usize::from(self.emission.is_some())
    }

    /// Number of groups that are known.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Bytes of memory held.
    pub fn byte_size(&mut self) -> usize {
        let open: usize = self.windows.contents().map(|content| content.byte_size()).sum();
        let emission = self.emission.as_ref().map_or(0, Emission::byte_size);
        let free: usize = self.free.iter().map(Accumulators::byte_size).sum();
        let scratch = (self.row_groups.capacity() + self.slots.capacity()) * 4;
        let names = self.names.byte_size() + self.key.capacity();
        open + emission
            + free
            + self.windows.byte_size()
            + self.groups.byte_size()
            + scratch
            + names
    }

    /// Gives back the memory that no open window needs; whether groups were forgotten.
    pub fn release(&mut self) -> bool {
        self.row_groups = Vec::new();
        self.slots = Vec::new();
        self.free = Vec::new();
        let is_empty = self.windows.is_empty() && self.emission.is_none();
        if is_empty {
            self.key = Vec::new();
            self.names.forget();
            self.groups.release();
            self.stale = false;
        }
        is_empty
    }

    /// The earliest time that a row which is still to come may have, late ones aside.
    pub fn watermark(&self) -> i64 {
        let start = self.windows.low_watermark();
        let start = self.emission.as_ref().map_or(start, |emission| start.min(emission.span.start));
        if self.stamp_end { start.saturating_add(self.windows.policy().grid.size()) } else { start }
    }

    /// Adds points of one shape.
    pub fn add<'a>(
        &mut self,
        work: &mut Work<'_>,
        rows: &'a [u32],
        keys_by_series: bool,
        points: &dyn Fn(&'a [u32]) -> Points<'a>,
    ) where
        Self: 'a,
    {
        self.tidied = false;
        let mut rest = rows;
        while !rest.is_empty() {
            let done = if keys_by_series {
                self.group_by_series(work, rest)
            } else {
                self.group_by_point(work, &points(rest))
            };
            let (now, later) = rest.split_at(done);
            self.place(work, now, points);
            rest = later;
            if !rest.is_empty() {
                self.make_room(work);
            }
        }
    }

    /// Adds points of one shape whose groups are known.
    pub fn add_grouped<'a>(
        &mut self,
        work: &mut Work<'_>,
        rows: &'a [u32],
        groups: &mut Vec<u32>,
        points: &dyn Fn(&'a [u32]) -> Points<'a>,
    ) where
        Self: 'a,
    {
        std::mem::swap(&mut self.row_groups, groups);
        self.place(work, rows, points);
    }

    /// Groups of rows that their series decide, up to the first for which there is no room.
    fn group_by_series(&mut self, work: &mut Work<'_>, rows: &[u32]) -> usize {
        let table = work.batch.tables().rows();
        self.row_groups.clear();
        for (done, at) in rows.iter().enumerate() {
            let index = table[*at as usize].series;
            let group = match work.series.value(index) {
                Some(info) if info.group != NO_GROUP => info.group,
                _ => {
                    let frame =
                        OneSeries { series: work.batch.series(index), columns: &work.plan.columns };
                    self.key.clear();
                    for node in &work.aggregate.keys {
                        let value = eval::eval(node, &frame, work.cx);
                        key::write(&mut self.key, value.cell(0));
                    }
                    match self.groups.intern(bytes_hash(&self.key), &self.key) {
                        Some(group) => {
                            if let Some(info) = work.series.value_mut(index) {
                                info.group = group;
                            }
                            group
                        }
                        None if self.can_make_room() => return done,
                        None => NO_GROUP,
                    }
                }
            };
            self.row_groups.push(group);
        }
        rows.len()
    }

    /// Groups of rows that each point decides.
    fn group_by_point(&mut self, work: &mut Work<'_>, points: &Points<'_>) -> usize {
        let keys: Vec<Vector<'_>> =
            work.aggregate.keys.iter().map(|node| evaluate(node, points, work.cx)).collect();
        self.row_groups.clear();
        let (mut last_key, mut last_group) = (Vec::new(), NO_GROUP);
        for row in 0..points.len() {
            self.key.clear();
            for column in &keys {
                key::write(&mut self.key, column.cell(row));
            }
            // Neighbours often belong together.
            if last_group == NO_GROUP || self.key != last_key {
                last_group = match self.groups.intern(bytes_hash(&self.key), &self.key) {
                    Some(group) => group,
                    None if self.can_make_room() => return row,
                    None => NO_GROUP,
                };
                last_key.clone_from(&self.key);
            }
            self.row_groups.push(last_group);
        }
        points.len()
    }

    fn can_make_room(&self) -> bool {
        !self.tidied && (self.stale || self.flush)
    }

    /// Makes room for further groups: by forgetting those of closed windows, and if the options say
    /// so by emitting the open windows early.
    fn make_room(&mut self, work: &mut Work<'_>) {
        self.finish_late(work);
        self.emit_rest(work.aggregate, work.emitter, work.cx, work.out);
        self.tidy(None);
        if self.groups.is_full() && self.flush {
            while let Some(ready) = self.windows.ready(Closing::All) {
                self.emit(work.aggregate, ready, work.emitter, work.cx, work.out);
                let content = if ready.correction {
                    self.windows.done(ready.slot)
                } else {
                    self.windows.restart(ready.slot)
                };
                self.recycle(content);
            }
            self.tidy(None);
        }
        // When flushing makes no room, such as for windows that take late points, groups are dropped.
        self.tidied = !self.flush || self.groups.is_full();
        work.series.values_mut().iter_mut().for_each(|info| info.group = NO_GROUP);
    }

    /// Forgets the groups that are in no window.
    fn tidy(&mut self, also: Option<&Accumulators>) {
        let mut used = vec![false; self.groups.len()];
        self.windows.contents().for_each(|content| content.used(&mut used));
        if let Some(content) = also {
            content.used(&mut used);
        }
        self.stale = false;
        self.names.forget();
        self.groups.retain(&used);
        self.windows.contents().for_each(|content| content.retain(&used));
        self.free = Vec::new();
    }

    /// Puts grouped rows into their windows.
    fn place<'a>(
        &mut self,
        work: &mut Work<'_>,
        rows: &'a [u32],
        points: &dyn Fn(&'a [u32]) -> Points<'a>,
    ) where
        Self: 'a,
    {
        if rows.is_empty() {
            return;
        }
        let (first, last) = work.batch.time_range();
        let (windows, free) = (&mut self.windows, &mut self.free);
        let open =
            |_: Span| free.pop().unwrap_or_else(|| Accumulators::new(&work.aggregate.aggregates));
        let complete = !self.row_groups.contains(&NO_GROUP);
        if complete && let Some(slot) = windows.place_all(work.feed, first, last, open) {
            let groups = std::mem::take(&mut self.row_groups);
            self.accumulate(work, slot, &groups, &points(rows));
            self.row_groups = groups;
            return;
        }
        let groups = std::mem::take(&mut self.row_groups);
        let mut slots = std::mem::take(&mut self.slots);
        let mut from = 0;
        while from < rows.len() {
            slots.clear();
            self.assign(work, &rows[from..], &groups[from..], &mut slots);
            let (rows, groups) = (&rows[from..], &groups[from..]);
            let mut start = 0;
            while start < slots.len() {
                let slot = slots[start];
                let len = slots[start..].iter().take_while(|other| **other == slot).count();
                let run = start..start + len;
                if slot != NO_WINDOW {
                    self.accumulate(work, slot, &groups[run.clone()], &points(&rows[run]));
                }
                start += len;
            }
            from += slots.len();
            if !groups[slots.len()..].is_empty() && !self.close_forced(work) {
                work.counts.windows += groups[slots.len()..].len() as u64;
                break;
            }
        }
        (self.slots, self.row_groups) = (slots, groups);
        self.finish_late(work);
    }

    /// Ends the batch of late points that are passed on as they are: they settle what they came
    /// with, not what a window's rows do.
    fn finish_late(&self, work: &mut Work<'_>) {
        if self.late == Late::Pass {
            let from = work.out.len();
            work.emitter.finish(work.out);
            for made in &mut work.out[from..] {
                made.set_origin(work.batch.origin());
                made.set_delivery(work.batch.delivery().cloned());
            }
        }
    }

    /// Finds the windows of rows, up to the first for which there is no room.
    fn assign(&mut self, work: &mut Work<'_>, rows: &[u32], groups: &[u32], slots: &mut Vec<u32>) {
        let (windows, free) = (&mut self.windows, &mut self.free);
        let mut open =
            |_: Span| free.pop().unwrap_or_else(|| Accumulators::new(&work.aggregate.aggregates));
        let table = work.batch.tables().rows();
        for (at, group) in rows.iter().zip(groups) {
            if *group == NO_GROUP {
                work.counts.overflow += 1;
                slots.push(NO_WINDOW);
                continue;
            }
            let row = &table[*at as usize];
            slots.push(match windows.place(work.feed, row.time, &mut open) {
                Place::Open(slot) => slot,
                Place::Late => {
                    work.counts.late += 1;
                    if self.late == Late::Pass {
                        let name = format!("{}_late", self.name);
                        work.emitter.copy(&name, &PointRef::new(work.batch, row), work.out);
                    }
                    NO_WINDOW
                }
                Place::Future => {
                    work.counts.future += 1;
                    NO_WINDOW
                }
                Place::Full => return,
            });
        }
    }

    /// Emits the windows that must close early, in the middle of a batch; whether there were any.
    fn close_forced(&mut self, work: &mut Work<'_>) -> bool {
        self.windows.hold_delivery(work.batch);
        self.finish_late(work);
        self.emit_rest(work.aggregate, work.emitter, work.cx, work.out);
        let mut any = false;
        while let Some(ready) = self.windows.ready(Closing::Forced) {
            any = true;
            self.emit(work.aggregate, ready, work.emitter, work.cx, work.out);
            let content = self.windows.done(ready.slot);
            self.recycle(content);
        }
        any
    }

    /// Adds rows of one window to its accumulators.
    fn accumulate(&mut self, work: &mut Work<'_>, slot: u32, groups: &[u32], points: &Points<'_>) {
        let updates = self.windows.policy().grace > 0;
        let known = self.groups.len();
        let Some(content) = self.windows.content(slot) else { return };
        content.grow(known);
        content.add_rows(groups);
        if updates {
            content.mark(groups);
        }
        let table = points.batch.tables().rows();
        for (number, node) in work.aggregate.inputs.iter().enumerate() {
            let values = evaluate(node, points, work.cx);
            for (aggregate, call) in work.aggregate.aggregates.iter().enumerate() {
                if call.input == Some(number) {
                    let time = |row: usize| table[points.rows[row] as usize].time;
                    content.add(aggregate, &values, groups, &time, &mut work.cx.failures);
                }
            }
        }
    }

    /// Emits the windows that are due; whether groups were numbered anew.
    pub fn close(
        &mut self,
        aggregate: &Aggregate,
        closing: Closing,
        emitter: &mut Emitter,
        counts: &mut Counts,
        cx: &mut Context,
        out: &mut Vec<Batch>,
    ) -> bool {
        self.bound();
        let mut changed = false;
        let mut room = if closing == Closing::Due { CALL_ROWS } else { usize::MAX };
        loop {
            if let Some(mut emission) = self.emission.take() {
                if self.emit_some(aggregate, &mut emission, &mut room, emitter, cx, out) {
                    changed |= self.forget(Some(emission.content));
                } else {
                    self.emission = Some(emission);
                    break;
                }
            }
            let Some(ready) = self.windows.ready(closing) else { break };
            if ready.correction || self.windows.policy().grace > 0 {
                self.emit(aggregate, ready, emitter, cx, out);
                let content = self.windows.done(ready.slot);
                changed |= self.forget(content);
            } else {
                self.emission = self.begin(ready, cx);
                if self.emission.is_none() {
                    break;
                }
            }
        }
        while let Some(content) = self.windows.expire() {
            changed |= self.forget(Some(content));
        }
        let early = self.windows.closed_early();
        counts.early += early.saturating_sub(self.early);
        self.early = early;
        changed
    }

    /// Lets the oldest windows close when all of them hold too much.
    fn bound(&mut self) {
        let limit = (self.max_groups as usize).saturating_mul(STATE_FACTOR).max(TIDY_MIN);
        let mut held: Vec<usize> = self.windows.contents().map(|content| content.len()).collect();
        held.sort_unstable();
        let mut total: usize = held.iter().sum();
        while total > limit && self.windows.force_oldest() {
            total -= held.pop().unwrap_or(total);
        }
    }

    /// Gives up a closed window's accumulators, and groups when most of them are gone.
    fn forget(&mut self, content: Option<Accumulators>) -> bool {
        let Some(content) = content else { return false };
        self.stale = true;
        let mut tidied = false;
        if self.groups.len() > TIDY_MIN {
            let mut used = vec![false; self.groups.len()];
            content.used(&mut used);
            self.windows.contents().for_each(|content| content.used(&mut used));
            if used.iter().filter(|used| **used).count() * 2 < used.len() {
                self.tidy(Some(&content));
                tidied = true;
            }
        }
        if !tidied {
            self.recycle(Some(content));
        }
        tidied
    }

    fn recycle(&mut self, content: Option<Accumulators>) {
        if let Some(mut content) = content
            && self.free.is_empty()
        {
            content.clear();
            self.free.push(content);
        }
    }

    /// Closes a window whose rows are to come.
    fn begin(&mut self, ready: Ready, cx: &Context) -> Option<Emission> {
        self.lag = cx.now.saturating_sub(ready.span.end).max(0);
        let delivery = self.windows.take_delivery(ready.slot);
        let content = self.windows.done(ready.slot)?;
        self.stale = true;
        let mut groups = content.groups(false);
        sort_by_key(&mut groups, &self.groups);
        Some(Emission { span: ready.span, content, groups, at: 0, delivery })
    }

    /// Makes up to `room` of the rows that are still to come; whether these were all.
    fn emit_some(
        &mut self,
        aggregate: &Aggregate,
        emission: &mut Emission,
        room: &mut usize,
        emitter: &mut Emitter,
        cx: &mut Context,
        out: &mut Vec<Batch>,
    ) -> bool {
        let from = out.len();
        let rest = &emission.groups[emission.at..];
        let now = &rest[..rest.len().min(*room)];
        self.rows(aggregate, emission.span, &emission.content, now, emitter, cx, out);
        emission.at += now.len();
        *room -= now.len();
        let done = emission.at == emission.groups.len();
        self.settle(from, &mut emission.delivery, done, out);
        done
    }

    /// Makes all rows that are still to come.
    fn emit_rest(
        &mut self,
        aggregate: &Aggregate,
        emitter: &mut Emitter,
        cx: &mut Context,
        out: &mut Vec<Batch>,
    ) {
        if let Some(mut emission) = self.emission.take() {
            let mut room = usize::MAX;
            self.emit_some(aggregate, &mut emission, &mut room, emitter, cx, out);
            self.recycle(Some(emission.content));
        }
    }

    /// Makes rows of a window, in the order of their keys.
    fn emit(
        &mut self,
        aggregate: &Aggregate,
        ready: Ready,
        emitter: &mut Emitter,
        cx: &mut Context,
        out: &mut Vec<Batch>,
    ) {
        let from = out.len();
        if !ready.correction {
            self.lag = cx.now.saturating_sub(ready.span.end).max(0);
        }
        if let Some(content) = self.windows.content(ready.slot) {
            let content = std::mem::replace(content, Accumulators::new(&[]));
            let mut groups = content.groups(ready.correction);
            sort_by_key(&mut groups, &self.groups);
            self.rows(aggregate, ready.span, &content, &groups, emitter, cx, out);
            if let Some(place) = self.windows.content(ready.slot) {
                *place = content;
                place.unmark();
            }
        }
        let mut delivery = self.windows.take_delivery(ready.slot);
        self.settle(from, &mut delivery, true, out);
    }

    /// Makes rows of groups.
    #[allow(clippy::too_many_arguments)]
    fn rows(
        &mut self,
        aggregate: &Aggregate,
        span: Span,
        content: &Accumulators,
        groups: &[u32],
        emitter: &mut Emitter,
        cx: &mut Context,
        out: &mut Vec<Batch>,
    ) {
        let time = if self.stamp_end { span.end } else { span.start };
        let base = Base { name: &self.name, time, star: None };
        for groups in groups.chunks(EMIT_ROWS) {
            let names = &mut self.names;
            let known = !names.needs_keys && groups.iter().all(|g| names.get(*g).is_some());
            let decoded = if known { &[] } else { groups };
            let keys = decoded.iter().map(|group| self.groups.key(*group));
            let frame = Rows {
                keys: key::columns(keys, aggregate.keys.len()),
                results: (0..aggregate.aggregates.len())
                    .map(|number| content.finish(number, groups, &mut cx.failures))
                    .collect(),
                span,
                len: groups.len(),
            };
            let keep = aggregate
                .having
                .as_ref()
                .map(|having| evaluate_rows(having, &frame, cx).trues(groups.len()));
            let columns: Vec<Column<'_, '_>> = aggregate
                .outputs
                .iter()
                .map(|output| Column { output, values: evaluate_rows(&output.node, &frame, cx) })
                .collect();
            let mut writer = emitter.rows(&columns);
            for (row, group) in groups.iter().enumerate() {
                if keep.as_ref().is_some_and(|keep| !keep.get(row)) {
                    continue;
                }
                if names.get(*group).is_none() {
                    names.learn(*group, &self.name, &writer, row);
                }
                match names.get(*group) {
                    Some(series) => writer.row_of(&series, time, row, out),
                    None => writer.row(base, row, out),
                }
            }
        }
        emitter.finish(out);
    }

    /// Gives the rows from `from` on what the window's points came with, which they settle. Without
    /// rows it is dropped.
    fn settle(&self, from: usize, delivery: &mut Option<Delivery>, done: bool, out: &mut [Batch]) {
        let made = out.len() - from;
        for (at, batch) in out[from..].iter_mut().enumerate() {
            batch.set_origin(self.origin);
            let last = done && at + 1 == made;
            batch.set_delivery(if last { delivery.take() } else { delivery.clone() });
        }
        if done {
            *delivery = None;
        }
    }
}

/// A window that is closed, with the groups whose rows are still to come.
struct Emission {
    span: Span,
    content: Accumulators,
    /// In the order of their keys.
    groups: Vec<u32>,
    /// How many were emitted.
    at: usize,
    delivery: Option<Delivery>,
}

impl Emission {
    fn byte_size(&self) -> usize {
        self.content.byte_size() + self.groups.capacity() * 4
    }
}

fn evaluate<'a>(node: &'a crate::plan::Node, points: &Points<'a>, cx: &mut Context) -> Vector<'a> {
    eval::eval(node, points, cx)
}

fn evaluate_rows<'a>(node: &'a crate::plan::Node, rows: &Rows<'a>, cx: &mut Context) -> Vector<'a> {
    eval::eval(node, rows, cx)
}

/// Groups of a window as a frame.
struct Rows<'a> {
    keys: Vec<Vector<'a>>,
    results: Vec<Vector<'a>>,
    span: Span,
    len: usize,
}

impl<'a> Frame<'a> for Rows<'a> {
    fn len(&self) -> usize {
        self.len
    }

    fn key(&self, number: usize) -> Vector<'a> {
        self.keys.get(number).cloned().unwrap_or_else(Vector::null)
    }

    fn aggregate(&self, number: usize) -> Vector<'a> {
        self.results.get(number).cloned().unwrap_or_else(Vector::null)
    }

    fn window(&self) -> Option<(i64, i64)> {
        Some((self.span.start, self.span.end))
    }
}
