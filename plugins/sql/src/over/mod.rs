//! OVER: each point becomes a row that knows of the points before it.
//!
//! A point waits in its partition, sorted by time, until the closing rule of windows releases it: a point
//! is a window that ends at its time. Its row is made then, of all points in its frame that are known.
//! So the order of arrival within `delay` does not matter, and a point is late if a row was made that
//! should have known of it.
//!
//! - `layout`: what the functions of a statement have in common.
//! - `partitions`, `run`, `history`: where points wait, and what rows look back at.
//! - `slide`, `stacks`, `best`, `blocks`: what is computed over frames.
//! - `queues`: whose turn it is.
//! - `ready`, `batches`: rows on their way out, and what they settle.
//! - `state`: how all of it is written and read.

mod batches;
mod best;
mod blocks;
mod history;
mod layout;
mod partitions;
mod queues;
mod ready;
mod run;
mod slide;
mod stacks;
mod state;

use headwater_plugin_api::batch::{Batch, PointRef};
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::window::{Closing, Feed, Sources};

use crate::accumulate::held::Held;
use crate::emit::Emitter;
use crate::eval::{self, Context};
use crate::plan::{Over, Plan};
use crate::points::Points;
use crate::series::SeriesValues;
use crate::statement::{Counts, Late, NO_GROUP, Relief, SeriesInfo, Settings};
use crate::vector::Vector;
use batches::Batches;
use layout::Layout;
use partitions::Partitions;
use queues::Queues;
use ready::Ready;
use run::Pending;

/// Rows that one call emits, so that buffers can drain before the next one goes on.
const CALL_ROWS: usize = 4096;
/// Below this many partitions the table is not tidied up.
const TIDY_MIN: usize = 1024;
/// How often points that are held up are looked at, once some were held as long as they may be.
const LOOK_NS: i64 = 1_000_000_000;
/// Shortest and longest time until rows are looked for, with points that may come meanwhile.
const NEXT_NS: std::ops::RangeInclusive<i64> = 50_000_000..=1_000_000_000;
/// How often the memory of many partitions is added up.
const SIZE_NS: i64 = 10_000_000_000;

/// What rows are made with.
pub struct Making<'w> {
    pub over: &'w Over,
    pub emitter: &'w mut Emitter,
    pub counts: &'w mut Counts,
    pub cx: &'w mut Context,
    pub out: &'w mut Vec<Batch>,
}

/// What a batch is worked on with.
pub struct Feeding<'w> {
    pub plan: &'w Plan,
    pub batch: &'w Batch,
    pub feed: &'w Feed,
    pub series: &'w mut SeriesValues<SeriesInfo>,
}

/// The points of a statement with window functions.
pub struct OverState {
    layout: Layout,
    name: String,
    origin: u64,
    late: Late,
    delay: i64,
    hold: i64,
    max_rows: usize,
    sources: Sources,
    partitions: Partitions,
    queues: Queues,
    ready: Ready,
    batches: Batches,
    stamps: u32,
    /// Batches that came.
    batch: u64,
    now: i64,
    /// Points that wait.
    waiting: usize,
    /// Rows that frames look back at.
    kept: usize,
    /// When points may have been held up as long as they may be.
    look: i64,
    /// There were more rows than one call emits.
    more: bool,
    lag: i64,
    /// The memory held, and when it was added up.
    size: (usize, i64),
}

impl OverState {
    pub fn new(over: &Over, settings: &Settings, name: String, origin: u64) -> Self {
        let Settings { delay, idle, hold, max_future, .. } = *settings;
        OverState {
            layout: Layout::new(over),
            name,
            origin,
            late: settings.late,
            delay,
            hold,
            max_rows: usize::try_from(settings.max_rows).unwrap_or(usize::MAX),
            sources: Sources::new(delay, idle, hold, max_future),
            partitions: Partitions::new(settings.max_groups, settings.flush),
            queues: Queues::default(),
            ready: Ready::default(),
            batches: Batches::default(),
            stamps: 0,
            batch: 0,
            now: i64::MIN,
            waiting: 0,
            kept: 0,
            look: i64::MAX,
            more: false,
            lag: 0,
            size: (0, i64::MIN),
        }
    }

    /// The source of the results.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    pub fn sources(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// Takes note of the clock.
    fn set_now(&mut self, now: i64) {
        if self.sources.set_now(now) {
            // What came "later" counts as having come now.
            let runs = self.partitions.list.iter_mut().flat_map(|partition| &mut partition.runs);
            runs.flat_map(|run| &mut run.pending).for_each(|p| p.since = p.since.min(now));
            self.look = self.look.min(now);
            self.size.1 = i64::MIN;
        }
        self.now = now;
    }

    /// Takes note of a batch, before its points are added.
    pub fn observe(&mut self, now: i64, batch: &Batch) -> Feed {
        self.set_now(now);
        self.batches.next();
        self.batch += 1;
        self.sources.observe(now, batch)
    }

    /// Takes note of a message. What it releases is emitted by [`close`](Self::close).
    pub fn control(&mut self, now: i64, control: Control) {
        self.set_now(now);
        self.sources.control(now, control);
    }

    /// The batch at hand ends: its points' rows settle it.
    pub fn hold_delivery(&mut self) {
        self.batches.next();
    }

    /// Whether rows are still to come that are due: the next [`close`](Self::close) goes on.
    pub fn is_emitting(&self) -> bool {
        self.more
    }

    /// Number of points that wait for their rows.
    pub fn open_count(&self) -> usize {
        self.waiting + self.ready.len()
    }

    /// Number of partitions that are known.
    pub fn group_count(&self) -> usize {
        self.partitions.table.len()
    }

    /// How long after its time the last row was emitted, nanoseconds.
    pub fn lag(&self) -> i64 {
        self.lag
    }

    /// When to look again, if no point or message comes.
    pub fn next_due(&mut self, now: i64) -> Option<i64> {
        // A point that comes meanwhile may be due at once.
        let soon = (self.delay / 4).clamp(*NEXT_NS.start(), *NEXT_NS.end());
        let mut next = now.saturating_add(soon).min(self.look);
        let (live, fed) = self.queues.tops(&mut self.partitions.list);
        if let Some((time, ..)) = live {
            next = next.min(time.saturating_add(self.delay));
        }
        if let Some((time, ..)) = fed {
            next = next.min(self.sources.closes_at(time, true, Some(now)));
        }
        Some(next.max(now.saturating_add(1_000_000)))
    }

    /// The earliest time that a row which is still to come may have, late ones aside.
    pub fn watermark(&mut self) -> i64 {
        let (live, fed) = self.queues.tops(&mut self.partitions.list);
        let first = [live, fed].into_iter().flatten().map(|entry| entry.0).min();
        let ready = self.ready.first();
        let times = [first, ready, Some(self.now.saturating_sub(self.delay))];
        times.into_iter().flatten().min().unwrap_or(i64::MIN)
    }

    /// Lets the next look at the memory held be a fresh one.
    pub fn measure_anew(&mut self) {
        self.size.1 = i64::MIN;
    }

    /// Bytes of memory held.
    pub fn byte_size(&mut self) -> usize {
        let age = self.now.saturating_sub(self.size.1);
        if self.partitions.list.len() <= TIDY_MIN || age >= SIZE_NS || self.size.1 == i64::MIN {
            self.size = (self.partitions.byte_size(), self.now);
        }
        self.size.0 + self.queues.byte_size() + self.ready.byte_size() + self.batches.byte_size()
    }

    /// Gives memory back that no point needs; whether all that can be forgotten is.
    pub fn release(&mut self) -> bool {
        self.ready.release();
        self.batches.release();
        self.queues.shrink();
        self.partitions.of_rows = Vec::new();
        self.size.1 = i64::MIN;
        if self.partitions.emptied == self.partitions.list.len() && self.ready.is_empty() {
            self.tidy();
        }
        self.waiting == 0 && (self.layout.reach.is_none() || self.partitions.list.is_empty())
    }

    /// Adds points of one shape. `known` holds their partitions, if all are known.
    pub fn add(
        &mut self,
        work: &mut Feeding<'_>,
        making: &mut Making<'_>,
        points: &Points<'_>,
        keys_by_series: bool,
        known: &mut Vec<u32>,
    ) {
        if !known.is_empty() {
            std::mem::swap(&mut self.partitions.of_rows, known);
            self.place(work, making, points);
            return self.bound(making);
        }
        let live = self.now.saturating_sub(self.delay);
        let ending = self.queues.ending.peek();
        self.partitions.begin(ending.is_some_and(|entry| entry.0.0 <= live));
        let mut rest = points.rows;
        while !rest.is_empty() {
            let (keys, partitions) = (&making.over.keys, &mut self.partitions);
            let done = if keys_by_series {
                partitions.by_series(work, keys, rest, making.cx)
            } else {
                partitions.by_point(keys, &Points { rows: rest, ..*points }, making.cx)
            };
            let (now, later) = rest.split_at(done);
            self.place(work, making, &Points { rows: now, ..*points });
            rest = later;
            if !rest.is_empty() {
                self.make_room(work, making);
            }
        }
        self.bound(making);
    }

    /// Lets points wait whose partitions are known.
    fn place(&mut self, work: &Feeding<'_>, making: &mut Making<'_>, points: &Points<'_>) {
        let groups = std::mem::take(&mut self.partitions.of_rows);
        let table = work.batch.tables().rows();
        let mut rows = Vec::with_capacity(points.rows.len());
        let mut partitions = Vec::with_capacity(points.rows.len());
        let (from, late_name) = (making.out.len(), format!("{}_late", self.name));
        for (at, group) in points.rows.iter().zip(&groups) {
            let row = &table[*at as usize];
            let partition = self.partitions.list.get(*group as usize);
            let Some(partition) = partition.filter(|_| *group != NO_GROUP) else {
                making.counts.overflow += 1;
                continue;
            };
            if row.time > work.feed.limit {
                making.counts.future += 1;
            } else if partition.covered.contains(row.time) {
                making.counts.late += 1;
                if self.late == Late::Pass {
                    let point = PointRef::new(work.batch, row);
                    let derived = match self.name.is_empty() {
                        true => format!("{}_late", crate::emit::derived_name(point.series())),
                        false => late_name.clone(),
                    };
                    making.emitter.copy(&derived, &point, making.out);
                }
            } else {
                rows.push(*at);
                partitions.push(*group);
            }
        }
        self.partitions.of_rows = groups;
        if self.late == Late::Pass {
            making.emitter.finish(making.out);
            for made in &mut making.out[from..] {
                made.set_origin(work.batch.origin());
                made.set_delivery(work.batch.delivery().cloned());
            }
        }
        if rows.is_empty() {
            return;
        }
        let points = Points { rows: &rows, ..*points };
        let nodes = making.over.inputs.iter().chain(&making.over.carried);
        let values: Vec<Vector<'_>> =
            nodes.map(|node| eval::eval(node, &points, making.cx)).collect();
        let batch = self.batches.current(work.batch.delivery());
        self.batches.hold(batch, rows.len());
        let copies = match making.over.star {
            true => {
                let all = rows.iter().map(|at| PointRef::new(work.batch, &table[*at as usize]));
                self.batches.keep(batch, all)
            }
            false => Vec::new(),
        };
        for (at, (row, partition)) in rows.iter().zip(&partitions).enumerate() {
            let point = Pending {
                time: table[*row as usize].time,
                arrival: self.batch << 32 | u64::from(*row),
                since: self.now,
                batch,
                copy: copies.get(at).copied().unwrap_or(u32::MAX),
                fed: work.feed.catching_up,
            };
            self.wait(*partition, point, values.iter().map(|column| Held::of(column.cell(at))));
        }
    }

    /// A point waits from now on.
    fn wait(&mut self, number: u32, point: Pending, values: impl Iterator<Item = Held>) {
        let Some(partition) = self.partitions.list.get_mut(number as usize) else { return };
        let at = partition.place(&self.layout, point.time, point.fed, &mut self.stamps);
        let run = &mut partition.runs[at];
        run.add(self.layout.width(), point, values);
        self.queues.enter(number, run);
        self.waiting += 1;
        if point.fed {
            let held = point.since.max(point.time.saturating_add(self.delay));
            self.look = self.look.min(held.saturating_add(self.hold));
        }
    }

    /// Makes room for further partitions: by forgetting those that hold nothing, and by emitting what
    /// waits if that is wished.
    fn make_room(&mut self, work: &mut Feeding<'_>, making: &mut Making<'_>) {
        self.end(self.now.saturating_sub(self.delay));
        if self.partitions.emptied > 0 {
            self.tidy();
        }
        if self.partitions.must_flush() {
            self.flush(making);
        }
        self.partitions.made_room();
        work.series.each_mut().for_each(|info| info.group = NO_GROUP);
    }

    /// Emits what waits, and begins all partitions anew.
    fn flush(&mut self, making: &mut Making<'_>) {
        making.counts.early += self.waiting as u64;
        while self.fill(i64::MAX, i64::MAX, CALL_ROWS, making) {
            self.emit_all(making);
        }
        self.emit_all(making);
        self.partitions.clear();
        self.queues = Queues::default();
        self.kept = 0;
    }

    /// Whether new partitions are taken.
    pub fn set_closed(&mut self, closed: bool) {
        self.partitions.closed = closed;
    }

    /// Makes do with less memory. Partitions are numbered anew.
    pub fn relieve(&mut self, making: &mut Making<'_>, relief: Relief) {
        match relief {
            Relief::Spare => {}
            Relief::Flush => self.flush(making),
            Relief::Oldest => {
                let most = self.waiting.max(self.kept) / 4 * 3;
                let max_rows = std::mem::replace(&mut self.max_rows, most);
                self.bound(making);
                self.max_rows = max_rows;
            }
            Relief::All => {
                // A partition that only its sums are known of counts as one.
                let has = |partition: &&partitions::Partition| !partition.runs.is_empty();
                let partitions = self.partitions.list.iter().filter(has).count();
                making.counts.forgotten += self.kept.max(partitions) as u64;
                self.flush(making);
                self.partitions.forget_late();
            }
        }
        self.end(self.now.saturating_sub(self.delay));
        self.tidy();
        self.partitions.shrink();
        self.release();
    }

    /// Keeps what waits and what is looked back at within their bounds.
    fn bound(&mut self, making: &mut Making<'_>) {
        if self.waiting > self.max_rows {
            while self.waiting > self.max_rows {
                let before = self.waiting;
                let most = (self.waiting - self.max_rows).min(CALL_ROWS);
                self.fill(i64::MAX, i64::MAX, self.ready.len() + most, making);
                making.counts.early += (before - self.waiting) as u64;
                self.emit_all(making);
                if self.waiting == before {
                    break;
                }
            }
        }
        if self.kept > self.max_rows {
            self.forget(making);
        }
    }

    /// Gives up the oldest rows that frames look back at, a sixteenth of what may be kept at least.
    fn forget(&mut self, making: &mut Making<'_>) {
        let runs = self.partitions.list.iter().flat_map(|partition| &partition.runs);
        let mut times: Vec<i64> = runs.flat_map(|run| &run.history.times).copied().collect();
        let excess = (times.len() - self.max_rows.min(times.len()) + self.max_rows / 16).max(1);
        let last = excess.min(times.len()) - 1;
        let (_, until, _) = times.select_nth_unstable(last);
        let until = *until;
        for run in self.partitions.list.iter_mut().flat_map(|partition| &mut partition.runs) {
            let gone = run.forget(&self.layout, until);
            self.kept -= gone;
            making.counts.forgotten += gone as u64;
        }
    }

    /// Makes rows of points whose time has come until so many are ready; whether there were any.
    fn fill(&mut self, live: i64, fed: i64, want: usize, making: &mut Making<'_>) -> bool {
        let before = self.ready.rows.len();
        while self.ready.len() < want {
            let list = &mut self.partitions.list;
            let Some((_, number, stamp)) = self.queues.pop(live, fed, list) else { break };
            let (a, b) = self.queues.tops(list);
            let next = [a, b].into_iter().flatten().map(|entry| entry.0).min();
            self.go_on(number, stamp, want, making, |(time, by_source)| {
                time <= if by_source { fed } else { live } && next.is_none_or(|next| time <= next)
            });
        }
        self.sort(before)
    }

    /// Makes rows of a run while `goes` says so of the next point.
    fn go_on(
        &mut self,
        number: u32,
        stamp: u32,
        want: usize,
        making: &mut Making<'_>,
        goes: impl Fn((i64, bool)) -> bool,
    ) {
        let Some(partition) = self.partitions.list.get_mut(number as usize) else { return };
        let Some(at) = partition.runs.iter().position(|run| run.stamp == stamp) else { return };
        let reach = self.layout.reach;
        loop {
            let run = &mut partition.runs[at];
            let (before, kept) = (run.last, run.history.times.len());
            let failures = &mut making.cx.failures;
            let made = run.release(&self.layout, number, &mut self.ready, self.now, failures);
            self.waiting -= made;
            self.kept = self.kept + run.history.times.len() - kept;
            let (last, next) = (run.last, run.first);
            let goes = made > 0 && !run.pending.is_empty() && goes(next);
            if let (Some(time), true) = (last, made > 0) {
                partition.cover(reach, before, time);
            }
            if !goes || self.ready.len() >= want {
                break;
            }
        }
        let run = &mut partition.runs[at];
        run.queued = None;
        self.queues.enter(number, run);
        self.queues.end(number, run, reach);
    }

    /// Sorts the rows that were made since there were so many; whether there were any.
    fn sort(&mut self, before: usize) -> bool {
        let any = self.ready.rows.len() > before;
        if any {
            self.ready.sort(&self.partitions.table);
        }
        any
    }

    /// Makes the rows of points that were held as long as they may be.
    fn look(&mut self, making: &mut Making<'_>) {
        if self.now < self.look {
            return;
        }
        let (before, width) = (self.ready.rows.len(), self.layout.width());
        let reached = self.sources.reached_by(self.now, false);
        let mut look = i64::MAX;
        for (time, number, stamp) in self.queues.fed() {
            let run = self.partitions.list.get_mut(number as usize).and_then(|p| p.run(stamp));
            let Some(run) = run.filter(|run| run.queued == Some((time, true))) else { continue };
            let mut until = None;
            for (point, _) in run.waiting(width) {
                let ready = point.since.max(point.time.saturating_add(self.delay));
                let end = ready.saturating_add(self.hold);
                if end <= self.now && point.time <= reached {
                    until = Some(point.time);
                } else {
                    look = look.min(end);
                }
            }
            if let Some(until) = until {
                self.go_on(number, stamp, usize::MAX, making, |(time, _)| time <= until);
            }
        }
        self.look = match look {
            i64::MAX => i64::MAX,
            look => look.max(self.now.saturating_add(LOOK_NS)),
        };
        self.sort(before);
    }

    /// Sends rows out that were made.
    fn emit(&mut self, room: &mut usize, making: &mut Making<'_>) {
        let (name, origin) = (self.name.as_str(), self.origin);
        let batches = &mut self.batches;
        if let Some(last) = self.ready.go_on(room, &self.layout, name, origin, batches, making) {
            self.lag = self.now.saturating_sub(last).max(0);
        }
    }

    /// Sends all rows out that were made.
    fn emit_all(&mut self, making: &mut Making<'_>) {
        let mut room = usize::MAX;
        self.emit(&mut room, making);
    }

    /// Emits the rows that are due; whether partitions were numbered anew.
    pub fn close(&mut self, making: &mut Making<'_>, now: i64, closing: Closing) -> bool {
        self.set_now(now);
        let all = closing != Closing::Due;
        let mut room = if all { usize::MAX } else { CALL_ROWS };
        let (live, fed) = match all {
            true => (i64::MAX, i64::MAX),
            false => (now.saturating_sub(self.delay), self.sources.reached_by(now, true)),
        };
        self.look(making);
        loop {
            self.emit(&mut room, making);
            if room == 0 || !self.fill(live, fed, room.min(CALL_ROWS), making) {
                break;
            }
        }
        let (a, b) = self.queues.tops(&mut self.partitions.list);
        let due = |entry: Option<queues::Entry>, until: i64| entry.is_some_and(|e| e.0 <= until);
        self.more = !self.ready.is_empty() || due(a, live) || due(b, fed);
        self.end(now.saturating_sub(self.delay));
        let known = self.partitions.list.len();
        let untidy = known > TIDY_MIN && self.partitions.emptied * 2 > known;
        if untidy {
            self.tidy();
        }
        untidy
    }

    /// Gives up the runs that no later point sees: a point that would is late from now on.
    fn end(&mut self, live: i64) {
        let Some(reach) = self.layout.reach else { return };
        let mut reached = None;
        while let Some(&std::cmp::Reverse((time, number, stamp))) = self.queues.ending.peek()
            && time <= live
        {
            self.queues.ending.pop();
            let Some(partition) = self.partitions.list.get_mut(number as usize) else { continue };
            let Some(at) = partition.runs.iter().position(|run| run.stamp == stamp) else {
                continue;
            };
            let run = &mut partition.runs[at];
            let (Some(last), true) = (run.last, run.pending.is_empty()) else {
                run.ending = false;
                continue;
            };
            let end = last.saturating_add(reach);
            let (patient, impatient) = *reached.get_or_insert_with(|| {
                let reached = |patient| self.sources.reached_by(self.now, patient);
                (reached(true), reached(false))
            });
            let held = run.made.max(end.saturating_add(self.delay)).saturating_add(self.hold);
            let over = !run.last_fed || end <= patient || end <= impatient && held <= self.now;
            if end > time || !over {
                let later = end.max(live.saturating_add(LOOK_NS));
                self.queues.ending.push(std::cmp::Reverse((later, number, stamp)));
                if later <= live {
                    break;
                }
                continue;
            }
            self.kept -= run.history.times.len();
            partition.runs.remove(at);
            partition.covered.insert_range(last, end);
            self.partitions.emptied += usize::from(partition.runs.is_empty());
        }
    }

    /// Forgets the partitions that hold nothing.
    fn tidy(&mut self) {
        let list = self.partitions.list.iter();
        let mut used: Vec<bool> = list.map(|partition| !partition.runs.is_empty()).collect();
        for row in self.ready.waiting() {
            if let Some(used) = used.get_mut(row.partition as usize) {
                *used = true;
            }
        }
        let mut next = 0;
        let number = |used: &bool| {
            next += u32::from(*used);
            if *used { next - 1 } else { NO_GROUP }
        };
        let numbers: Vec<u32> = used.iter().map(number).collect();
        self.partitions.retain(&used);
        self.queues.renumber(&numbers);
        self.ready.renumber(&numbers);
    }
}
