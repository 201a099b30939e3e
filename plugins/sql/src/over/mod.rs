//! OVER: each point becomes a row that knows of the points before it.
//!
//! A point waits in its partition, sorted by time, until the closing rule of windows releases it: a point
//! is a window that ends at its time. Its row is made then, of all points in its frame that are known.
//! So the order of arrival within `delay` does not matter, and a point is late if a row was made that
//! should have known of it.
//!
//! - `adding`, `closing`: points in, rows out.
//! - `layout`: what the functions of a statement have in common.
//! - `partitions`, `run`, `history`: where points wait, and what rows look back at.
//! - `slide`, `stacks`, `best`, `blocks`: what is computed over frames.
//! - `queues`: whose turn it is.
//! - `ready`, `batches`: rows on their way out, and what they settle.
//! - `state`: how all of it is written and read.

mod adding;
mod batches;
mod best;
mod blocks;
mod closing;
mod history;
mod layout;
mod partitions;
mod queues;
mod ready;
mod run;
mod slide;
mod stacks;
mod state;

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::window::{Feed, Sources};

use crate::emit::Emitter;
use crate::eval::Context;
use crate::plan::{Over, Plan};
use crate::series::SeriesValues;
use crate::statement::{Counts, Late, NO_GROUP, SeriesInfo, Settings};
use batches::Batches;
use layout::Layout;
use partitions::Partitions;
use queues::Queues;
use ready::Ready;

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
        // Otherwise they would be numbered anew.
        let empty = self.partitions.list.iter().all(|partition| partition.runs.is_empty());
        if empty && self.ready.is_empty() {
            self.tidy();
        }
        self.waiting == 0 && (self.layout.reach.is_none() || self.partitions.list.is_empty())
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
