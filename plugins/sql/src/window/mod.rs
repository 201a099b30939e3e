//! The windowed half of a statement: points into groups and windows, windows into rows.
//!
//! What all windows share is in [`Shared`]: the table of groups and how rows are made. A [`Form`] is a
//! form of window: it decides where a point belongs and when rows are due.
//!
//! - `placing`: points into the windows of a time axis, in the middle of a batch as well.
//! - `tumbling`: windows side by side.
//! - `hop`: windows that overlap; a point is added to its pane once.
//! - `session`: windows that last until a group is silent.
//! - `rows`: so many points of a group.
//! - `memory`: the last values of counters, across windows.
//! - `merging`: windows that several threads collected.
//! - `grouping`, `emission`, `slots`, `spare`: the tables of groups, rows that are made, accumulators
//!   that are counted by window instead of by group, and those that are kept for new windows.

mod emission;
mod grouping;
mod hop;
mod memory;
mod merging;
mod placing;
mod rows;
mod session;
mod slots;
mod spare;
mod tumbling;

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::window::codec::{Read, Reader};
use headwater_plugin_api::window::{Closing, Feed, Sources};

use crate::accumulate::Accumulators;
use crate::emit::Emitter;
use crate::eval::{self, Context};
use crate::plan::{Aggregate, Node, Plan, Window};
use crate::points::Points;
use crate::series::SeriesValues;
use crate::statement::{Counts, Late, Relief, SeriesInfo, Settings};
use crate::vector::Vector;
use emission::Writer;
use grouping::Grouping;
use memory::Memory;
pub use merging::Mapping;

/// Rows that one call emits, so that buffers can drain before the next one goes on.
const CALL_ROWS: usize = 4096;

/// What rows are made with.
pub struct Results<'w> {
    pub aggregate: &'w Aggregate,
    pub emitter: &'w mut Emitter,
    pub counts: &'w mut Counts,
    pub cx: &'w mut Context,
    pub out: &'w mut Vec<Batch>,
}

/// What a batch is worked on with.
pub struct Work<'w> {
    pub plan: &'w Plan,
    pub batch: &'w Batch,
    pub feed: &'w Feed,
    pub series: &'w mut SeriesValues<SeriesInfo>,
    pub results: Results<'w>,
}

/// Makes frames of the rows of a batch.
pub type MakePoints<'f, 'a> = &'f dyn Fn(&'a [u32]) -> Points<'a>;

/// What all forms of windows share.
struct Shared {
    groups: Grouping,
    writer: Writer,
    memory: Memory,
    late: Late,
    /// How long after its end the last window was emitted, nanoseconds.
    lag: i64,
}

impl Shared {
    /// Lets counters of a window's groups go on from the windows before, and remembers where they are.
    fn through_windows(&mut self, content: &mut Accumulators, groups: &[u32]) {
        self.memory.before(content, groups, &self.groups.table);
        self.memory.after(content, groups, &self.groups.table);
    }

    /// Takes note of a window that is overtaken by a later one, whose counters go on from its last values:
    /// its own go on from what was before it, whenever it closes.
    fn overtaken(&mut self, content: &mut Accumulators) {
        if self.memory.is_used() {
            let groups = content.groups(false);
            self.through_windows(content, &groups);
        }
    }
}

/// A form of window.
trait Form: Send {
    /// Takes note of a batch, before its points are placed.
    fn observe(&mut self, now: i64, batch: &Batch) -> Feed;
    /// Takes note of a message. What it closes is emitted by [`close`](Self::close).
    fn control(&mut self, now: i64, control: Control);
    /// The sources.
    fn sources(&mut self) -> &mut Sources;
    /// Takes note of the end of a batch: its points' windows hold its delivery handle.
    fn hold_delivery(&mut self, batch: &Batch);
    /// Puts rows into their windows; [`Shared::groups`] knows their groups.
    fn place<'a>(
        &mut self,
        shared: &mut Shared,
        work: &mut Work<'_>,
        rows: &'a [u32],
        points: MakePoints<'_, 'a>,
    );
    /// Makes room for further groups: by forgetting those of closed windows, and with `flush` by
    /// emitting the open windows early.
    fn make_room(&mut self, shared: &mut Shared, results: &mut Results<'_>, flush: bool);
    /// Gives back what no open window needs, groups as well.
    fn reclaim(&mut self, shared: &mut Shared, results: &mut Results<'_>) {
        self.make_room(shared, results, false);
    }
    /// Lets the oldest windows close early, a quarter of them or all.
    fn shed(&mut self, shared: &mut Shared, results: &mut Results<'_>, all: bool);
    /// Emits the windows that are due; whether groups were numbered anew.
    fn close(
        &mut self,
        shared: &mut Shared,
        results: &mut Results<'_>,
        now: i64,
        closing: Closing,
    ) -> bool;
    /// Whether rows are still to come that are due: the next [`close`](Self::close) goes on.
    fn is_emitting(&self) -> bool;
    /// Number of windows that are open or whose rows are still to come.
    fn open_count(&self) -> usize;
    /// When to look again, if no point or message comes; `None` for never.
    fn next_due(&self, now: i64) -> Option<i64>;
    /// The earliest time that a row which is still to come may have, late ones aside.
    fn watermark(&self, stamp_end: bool) -> i64;
    /// Itself, if several threads may collect its windows.
    fn parted(&mut self) -> Option<Parted<'_>> {
        None
    }
    /// Bytes of memory held.
    fn byte_size(&mut self) -> usize;
    /// Gives back the memory that no open window needs; whether no window is open.
    fn release(&mut self) -> bool;
    /// Writes all that a checkpoint keeps.
    fn write(&self, out: &mut Vec<u8>);
    /// Reads what was written, where there is no window; `groups` is how many groups there are.
    fn read(
        &mut self,
        aggregate: &Aggregate,
        now: i64,
        groups: usize,
        from: &mut Reader<'_>,
    ) -> Read<()>;
}

/// Methods of a [`Form`] that its windows answer, which stand in that field.
macro_rules! hand_on {
    ($windows:ident) => {
        fn observe(&mut self, now: i64, batch: &Batch) -> Feed {
            self.$windows.observe(now, batch)
        }

        fn control(&mut self, now: i64, control: Control) {
            self.$windows.control(now, control);
        }

        fn sources(&mut self) -> &mut Sources {
            self.$windows.sources_mut()
        }

        fn hold_delivery(&mut self, batch: &Batch) {
            self.$windows.hold_delivery(batch);
        }
    };
}
use hand_on;

/// Forms of windows of which several threads collect each a part.
enum Parted<'f> {
    Tumbling(&'f mut tumbling::Tumbling),
    Hop(&'f mut hop::Hop),
}

/// The windows and groups of a statement.
pub struct WindowState {
    form: Box<dyn Form>,
    shared: Shared,
}

impl WindowState {
    pub fn new(aggregate: &Aggregate, settings: &Settings, name: String, origin: u64) -> Self {
        let form: Box<dyn Form> = match aggregate.window {
            Window::Tumbling { size, offset } => {
                Box::new(tumbling::Tumbling::new(size, offset, settings))
            }
            Window::Hop { slide, size } => Box::new(hop::Hop::new(slide, size, settings)),
            Window::Session { gap } => Box::new(session::Session::new(gap, settings, aggregate)),
            Window::Rows { count } => Box::new(rows::Rows::new(count, settings, aggregate)),
        };
        let writer = Writer::new(aggregate, name, origin, settings.stamp_end);
        let groups = Grouping::new(settings);
        let memory = Memory::new(aggregate, settings.max_groups);
        WindowState { form, shared: Shared { groups, writer, memory, late: settings.late, lag: 0 } }
    }

    /// The source of the results.
    pub fn origin(&self) -> u64 {
        self.shared.writer.origin()
    }

    /// The sources that feed it.
    pub fn sources(&mut self) -> &mut Sources {
        self.form.sources()
    }

    /// Takes note of a batch.
    pub fn observe(&mut self, now: i64, batch: &Batch) -> Feed {
        self.form.observe(now, batch)
    }

    /// Takes note of a message. What it closes is emitted by [`close`](Self::close).
    pub fn control(&mut self, now: i64, control: Control) {
        self.form.control(now, control);
    }

    /// Lets the windows that took points of the batch at hand hold its delivery handle.
    pub fn hold_delivery(&mut self, batch: &Batch) {
        self.form.hold_delivery(batch);
    }

    /// Whether rows are still to come that are due: the next [`close`](Self::close) goes on.
    pub fn is_emitting(&self) -> bool {
        self.form.is_emitting()
    }

    /// Number of windows that are open or whose rows are still to come.
    pub fn open_count(&self) -> usize {
        self.form.open_count()
    }

    /// Number of groups that are known.
    pub fn group_count(&self) -> usize {
        self.shared.groups.table.len()
    }

    /// How long after its end the last window was emitted, nanoseconds.
    pub fn lag(&self) -> i64 {
        self.shared.lag
    }

    /// When to look again, if no point or message comes; `None` for never.
    pub fn next_due(&self, now: i64) -> Option<i64> {
        self.form.next_due(now)
    }

    /// The earliest time that a row which is still to come may have, late ones aside.
    pub fn watermark(&self) -> i64 {
        self.form.watermark(self.shared.writer.stamps_end())
    }

    /// Bytes of memory held.
    pub fn byte_size(&mut self) -> usize {
        let Shared { groups, writer, memory, .. } = &self.shared;
        let shared = groups.byte_size() + writer.byte_size() + memory.byte_size();
        self.form.byte_size() + shared
    }

    /// Gives back the memory that no open window needs; whether groups were forgotten.
    pub fn release(&mut self) -> bool {
        self.shared.groups.release_scratch();
        let is_empty = self.form.release();
        if is_empty {
            self.shared.groups.release();
            self.shared.writer.forget_groups();
        }
        is_empty
    }

    /// Whether new groups are taken.
    pub fn set_closed(&mut self, closed: bool) {
        self.shared.groups.closed = closed;
    }

    /// Makes do with less memory. Groups are numbered anew.
    pub fn relieve(&mut self, results: &mut Results<'_>, now: i64, relief: Relief) {
        match relief {
            Relief::Spare => {}
            Relief::Flush => self.form.make_room(&mut self.shared, results, true),
            Relief::Oldest => self.form.shed(&mut self.shared, results, false),
            Relief::All => self.form.shed(&mut self.shared, results, true),
        }
        if matches!(relief, Relief::Oldest | Relief::All) {
            self.shared.memory.relieve(relief == Relief::All);
        }
        self.form.reclaim(&mut self.shared, results);
        self.release();
        // What closed early is counted there.
        self.form.close(&mut self.shared, results, now, Closing::Forced);
    }

    /// Writes all that a checkpoint keeps.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.shared.groups.table.write(out);
        self.form.write(out);
        self.shared.memory.write(out);
    }

    /// Reads what was written, where there is no window. `aggregate` is the same as then.
    pub fn read(&mut self, aggregate: &Aggregate, now: i64, from: &mut Reader<'_>) -> Read<()> {
        let groups = &mut self.shared.groups;
        groups.table.read(from)?;
        groups.stale = true;
        self.form.read(aggregate, now, groups.table.len(), from)?;
        self.shared.memory.read(from)
    }

    /// Adds points of one shape.
    pub fn add<'a>(
        &mut self,
        work: &mut Work<'_>,
        rows: &'a [u32],
        keys_by_series: bool,
        points: MakePoints<'_, 'a>,
    ) {
        self.shared.groups.begin();
        let mut rest = rows;
        while !rest.is_empty() {
            let done = if keys_by_series {
                self.shared.groups.by_series(work, rest)
            } else {
                self.shared.groups.by_point(work, &points(rest))
            };
            let (now, later) = rest.split_at(done);
            self.form.place(&mut self.shared, work, now, points);
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
        points: MakePoints<'_, 'a>,
    ) {
        std::mem::swap(&mut self.shared.groups.of_rows, groups);
        self.shared.groups.complete = true;
        self.form.place(&mut self.shared, work, rows, points);
    }

    fn make_room(&mut self, work: &mut Work<'_>) {
        self.shared.writer.finish_late(self.shared.late, work);
        self.form.make_room(&mut self.shared, &mut work.results, false);
        if self.shared.groups.must_flush() {
            // What is emitted now settles what the batch's points so far came with.
            self.form.hold_delivery(work.batch);
            self.form.make_room(&mut self.shared, &mut work.results, true);
        }
        self.shared.groups.made_room();
        work.forget_groups();
    }

    /// Emits the windows that are due; whether groups were numbered anew.
    pub fn close(&mut self, results: &mut Results<'_>, now: i64, closing: Closing) -> bool {
        let changed = self.form.close(&mut self.shared, results, now, closing);
        results.counts.forgotten += self.shared.memory.take_forgotten();
        changed
    }
}

impl Results<'_> {
    /// Counts windows that closed early, of which `known` were counted before.
    fn count_early(&mut self, early: u64, known: &mut u64) {
        self.counts.early += early.saturating_sub(*known);
        *known = early;
    }
}

impl Work<'_> {
    /// Groups were numbered anew.
    fn forget_groups(&mut self) {
        let infos = self.series.each_mut();
        infos.for_each(|info| info.group = crate::statement::NO_GROUP);
    }
}

/// Adds rows to accumulators that have room for their groups.
fn accumulate(
    content: &mut Accumulators,
    results: &mut Results<'_>,
    groups: &[u32],
    points: &Points<'_>,
) {
    content.add_rows(groups);
    let table = points.batch.tables().rows();
    for (number, node) in results.aggregate.inputs.iter().enumerate() {
        let values = evaluate(node, points, results.cx);
        for (aggregate, call) in results.aggregate.aggregates.iter().enumerate() {
            if call.input == Some(number) {
                let time = |row: usize| table[points.rows[row] as usize].time;
                let series = |row: usize| {
                    points.batch.series(table[points.rows[row] as usize].series).hash()
                };
                let failures = &mut results.cx.failures;
                content.add_of_series(aggregate, &values, groups, (&time, &series), failures);
            }
        }
    }
}

fn evaluate<'a>(node: &'a Node, points: &Points<'a>, cx: &mut Context) -> Vector<'a> {
    eval::eval(node, points, cx)
}
