//! A statement at work: points in, results out.

use std::sync::Arc;

use headwater_plugin_api::batch::layout::Row;
use headwater_plugin_api::batch::{Batch, PointRef, SeriesRef};
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::window::codec::{Read, Reader};
use headwater_plugin_api::window::{Closing, SeriesNumbers, Sources};

use crate::emit::{self, Base, Column, Emitted, Emitter};
use crate::error::Failures;
use crate::eval::{self, Context};
use crate::fluent::snapshot::SnapshotState;
use crate::join::{self, JoinState, Selected};
use crate::over::{Feeding, Making, OverState};
use crate::plan::{Action, Output, Plan, ResultName, Window};
use crate::points::{OneSeries, Points, SERIES_FILTERS, ShapePlans};
use crate::series::SeriesValues;
use crate::stateful::Stateful;
use crate::table::Lookup;
use crate::watch::Watch;
use crate::window::{Results, WindowState, Work};

mod merging;
mod relief;
mod select;

pub use relief::Relief;

/// What is done with late points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    Drop,
    Pass,
    Update,
}

/// The options that a statement heeds. Times are nanoseconds.
#[derive(Debug, Clone)]
pub struct Settings {
    pub delay: i64,
    pub idle: i64,
    pub hold: i64,
    pub max_future: i64,
    pub grace: i64,
    pub late: Late,
    /// A result's time is the window's end.
    pub stamp_end: bool,
    pub max_groups: u32,
    /// What happens when there are more: windows are emitted early, or new groups dropped.
    pub flush: bool,
    /// Windows that may be open.
    pub max_windows: u32,
    /// Points that a join holds, that wait for their rows with OVER, and rows that others look back at.
    pub max_rows: u64,
}

/// What a statement counted since it was last asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub late: u64,
    pub future: u64,
    /// Points of groups for which there was no room.
    pub overflow: u64,
    /// Points of windows for which there was no room.
    pub windows: u64,
    /// Windows that were emitted before their time.
    pub early: u64,
    /// Rows that were given up though frames held them.
    pub forgotten: u64,
    pub emitted: Emitted,
    pub failures: Failures,
}

/// What is known of a series.
#[derive(Default)]
pub struct SeriesInfo {
    /// The statement reads its measurement.
    pub reads: bool,
    /// The filters that hold when all columns are tags.
    pub filters: u64,
    /// Its group, or [`NO_GROUP`].
    pub group: u32,
    /// Which columns of the statement are tags of it, a bit for each of the first 64.
    pub tags: u64,
    /// The row of the table that is joined, as [`Lookup`] notes it.
    pub row: u32,
    /// The tags that joined rows take over, by the number of their set, or [`NO_GROUP`].
    pub carried: u32,
}

/// The group of a series is not known yet.
pub const NO_GROUP: u32 = u32::MAX;
/// How long no points come before memory is given back: longer than usual intervals.
const QUIET_NS: i64 = 20_000_000_000;
/// The rows of a series are not read.
const SKIPPED: u32 = u32::MAX - 1;

/// A statement at work.
pub struct Statement {
    plan: Arc<Plan>,
    series: SeriesValues<SeriesInfo>,
    shapes: ShapePlans,
    emitter: Emitter,
    watch: Watch,
    window: Option<Stateful>,
    join: Option<Box<JoinState>>,
    snapshot: Option<Box<SnapshotState>>,
    lookup: Option<Box<Lookup>>,
    counts: Counts,
    /// When the last points came; `None` once the memory was given back.
    fed: Option<i64>,
    /// As `fed`, for points that the statement took.
    took: Option<i64>,
    /// Rows of the shape at hand that pass.
    rows: Vec<u32>,
    /// Their groups, if all are known already; empty otherwise.
    groups: Vec<u32>,
    /// By series of the batch: its group, [`NO_GROUP`] or [`SKIPPED`].
    verdicts: Vec<u32>,
    /// Rows of the batch by shape and by which columns are tags.
    order: Vec<u32>,
    starts: Vec<u32>,
    /// Runs of `order` that are worked on at a time: their part, and from where to where.
    runs: Vec<(u32, u32, u32)>,
    /// The rows of all shapes must stay in their order.
    ordered: bool,
    /// The distinct sets of tags in the batch at hand.
    tag_sets: Vec<u64>,
    /// The set of tags of the first series, and whether any other had another one.
    common_tags: Option<u64>,
    mixed_tags: bool,
    /// Every series that came is read.
    reads_all: bool,
}

impl Statement {
    /// A statement that has seen nothing. `origin` names its results' source.
    pub fn new(plan: Plan, settings: &Settings, origin: u64) -> Self {
        let name = match &plan.name {
            ResultName::Fixed(name) => name.clone(),
            ResultName::Derived => String::new(),
        };
        let window = match &plan.action {
            Action::Aggregate(aggregate) => Some(Stateful::Window(Box::new(WindowState::new(
                aggregate, settings, name, origin,
            )))),
            Action::Over(over) => {
                Some(Stateful::Over(Box::new(OverState::new(over, settings, name, origin))))
            }
            Action::Project { .. } | Action::Join(_) | Action::Side(_) => None,
            Action::Snapshot(_) | Action::Flush => None,
        };
        let join = match &plan.action {
            Action::Join(join) => {
                Some(Box::new(JoinState::new(join, &plan.name, settings, origin)))
            }
            _ => None,
        };
        let snapshot = match &plan.action {
            Action::Snapshot(snapshot) => {
                Some(Box::new(SnapshotState::new(snapshot, settings, origin)))
            }
            _ => None,
        };
        let ordered =
            matches!(&plan.action, Action::Aggregate(a) if matches!(a.window, Window::Rows { .. }));
        Statement {
            watch: Watch::new(&plan),
            join,
            snapshot,
            lookup: plan.table.as_ref().map(|_| Box::default()),
            plan: Arc::new(plan),
            series: SeriesValues::default(),
            shapes: ShapePlans::default(),
            emitter: Emitter::default(),
            window,
            counts: Counts::default(),
            fed: None,
            took: None,
            rows: Vec::new(),
            groups: Vec::new(),
            verdicts: Vec::new(),
            order: Vec::new(),
            starts: Vec::new(),
            runs: Vec::new(),
            ordered,
            tag_sets: Vec::new(),
            common_tags: None,
            mixed_tags: false,
            reads_all: true,
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The windows, if the statement has some.
    pub fn window(&self) -> Option<&Stateful> {
        self.window.as_ref()
    }

    #[cfg(test)]
    pub fn window_mut(&mut self) -> Option<&mut Stateful> {
        self.window.as_mut()
    }

    /// The join, if the statement is one.
    pub fn join(&self) -> Option<&JoinState> {
        self.join.as_deref()
    }

    /// The points of a snapshot that are held.
    pub fn snapshot_count(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.count())
    }

    /// Whether it holds what it was given.
    pub fn holds(&mut self) -> bool {
        self.snapshot.is_some() || self.sources().is_some()
    }

    /// Whether it reads every point that was ever applied. A join's and a snapshot's points are not
    /// looked at here.
    pub fn reads_all(&self) -> bool {
        self.reads_all && self.join.is_none() && self.snapshot.is_none()
    }

    /// What it knows of its series, which becomes void when groups are numbered anew.
    pub fn series_mut(&mut self) -> &mut SeriesValues<SeriesInfo> {
        &mut self.series
    }

    /// The source of the rows that it makes when they are due.
    pub fn origin(&self) -> Option<u64> {
        let window = self.window.as_ref().map(Stateful::origin);
        window.or_else(|| self.join.as_ref().map(|join| join.origin()))
    }

    /// The earliest time that a row which is still to come may have, late ones aside.
    pub fn watermark(&mut self) -> i64 {
        let window = self.window.as_mut().map(Stateful::watermark);
        window.or_else(|| self.join.as_ref().map(|join| join.watermark())).unwrap_or(i64::MAX)
    }

    /// When to look again, if no point or message comes; `None` for never.
    pub fn next_due(&mut self, now: i64) -> Option<i64> {
        let (emitting, due) = match (&mut self.window, &self.join) {
            (Some(window), _) => (window.is_emitting(), window.next_due(now)),
            (None, Some(join)) => (join.is_emitting(), join.next_due(now)),
            (None, None) => return None,
        };
        if emitting { Some(now) } else { due }
    }

    /// The sources that feed it, if it waits for them.
    pub fn sources(&mut self) -> Option<&mut Sources> {
        match (&mut self.window, &mut self.join) {
            (Some(window), _) => Some(window.sources()),
            (None, Some(join)) => Some(join.sources()),
            (None, None) => None,
        }
    }

    /// Takes the counts.
    pub fn take_counts(&mut self) -> Counts {
        let mut counts = std::mem::take(&mut self.counts);
        counts.emitted = std::mem::take(&mut self.emitter.counts);
        if let Some(join) = &mut self.join {
            join.take_counts(&mut counts);
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.take_counts(&mut counts);
        }
        counts
    }

    /// Names that no point had, to be reported now.
    pub fn report(&mut self, now: i64, at_once: bool) -> Vec<String> {
        let mut reports = self.watch.report(now, at_once);
        if let Some(join) = &mut self.join {
            reports.extend(join.report(now, at_once));
        }
        if let Some(snapshot) = &mut self.snapshot {
            reports.extend(snapshot.report(now, at_once));
        }
        reports
    }

    /// Tells of the rows of an earlier statement.
    pub fn expect(&mut self, rows: &ResultName) {
        self.watch.expect(rows);
        if let Some(join) = &mut self.join {
            join.expect(rows);
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.expect(rows);
        }
    }

    /// Measurements of which no point came, to be told at the end.
    pub fn unread(&mut self) -> Vec<String> {
        match (&mut self.join, &mut self.snapshot) {
            (Some(join), _) => join.unread(),
            (_, Some(snapshot)) => snapshot.unread(),
            (None, None) => Vec::from_iter(self.watch.unread()),
        }
    }

    /// As [`apply`](Self::apply), for a batch whose series others look up as well: `numbers` was told
    /// of it.
    pub fn apply_numbered(
        &mut self,
        now: i64,
        batch: &Batch,
        numbers: &mut SeriesNumbers,
        out: &mut Vec<Batch>,
    ) -> bool {
        if let Some(join) = &mut self.join {
            let took = join.apply(now, batch, Some(numbers), out);
            return self.note(now, batch, took);
        }
        if let Some(snapshot) = &mut self.snapshot {
            let took = snapshot.apply(now, batch, Some(numbers), out);
            return self.note(now, batch, took);
        }
        self.series.lend(numbers);
        let took = self.apply(now, batch, out);
        self.series.give_back(numbers);
        took
    }

    /// Takes note of when a join's points came.
    fn note(&mut self, now: i64, batch: &Batch, took: bool) -> bool {
        if !batch.is_empty() {
            self.fed = Some(now);
        }
        if took {
            self.took = Some(now);
        }
        took
    }

    /// Takes a batch and adds what comes of it at once; windows are emitted by [`close`](Self::close).
    /// Whether it took any point.
    pub fn apply(&mut self, now: i64, batch: &Batch, out: &mut Vec<Batch>) -> bool {
        if let Some(join) = &mut self.join {
            let took = join.apply(now, batch, None, out);
            return self.note(now, batch, took);
        }
        if let Some(snapshot) = &mut self.snapshot {
            let took = snapshot.apply(now, batch, None, out);
            return self.note(now, batch, took);
        }
        if !batch.is_empty() {
            self.fed = Some(now);
        }
        let plan = Arc::clone(&self.plan);
        let feed = self.window.as_mut().map(|window| window.observe(now, batch));
        if batch.is_empty() || !self.prepare(&plan, now, batch) {
            return false;
        }
        let mut took = false;
        let mut cx = Context::new(now);
        // Joined rows come in the order of their times, and stay in it.
        let mut order = plan.reads.is_hidden().then(Vec::new);
        let before = out.len();
        self.sort(batch);
        for run in 0..self.runs.len() {
            let shape = self.select_run(&plan, batch, run, &mut cx);
            let Some(shape) = shape.and_then(|shape| self.shapes.get(shape)) else { continue };
            took = true;
            let table = self.lookup.as_ref().map(|lookup| lookup.matched());
            let (columns, places) = (&plan.columns, &shape.columns);
            let points = |rows| Points { batch, rows, columns, places, table };
            match (&plan.action, &mut self.window, &feed) {
                (Action::Aggregate(aggregate), Some(Stateful::Window(window)), Some(feed)) => {
                    let results = Results {
                        aggregate,
                        emitter: &mut self.emitter,
                        counts: &mut self.counts,
                        cx: &mut cx,
                        out,
                    };
                    let series = &mut self.series;
                    let mut work = Work { plan: &plan, batch, feed, series, results };
                    if !self.groups.is_empty() {
                        window.add_grouped(&mut work, &self.rows, &mut self.groups, &points);
                    } else {
                        window.add(&mut work, &self.rows, shape.keys_by_series, &points);
                    }
                }
                (Action::Over(over), Some(Stateful::Over(state)), Some(feed)) => {
                    let (emitter, counts) = (&mut self.emitter, &mut self.counts);
                    let mut making = Making { over, emitter, counts, cx: &mut cx, out };
                    let mut work = Feeding { plan: &plan, batch, feed, series: &mut self.series };
                    let (points, known) = (points(&self.rows), &mut self.groups);
                    state.add(&mut work, &mut making, &points, shape.keys_by_series, known);
                }
                (Action::Project { star, outputs }, ..) => {
                    project(
                        &plan,
                        *star,
                        outputs,
                        &points(&self.rows),
                        &mut self.emitter,
                        &mut cx,
                        &mut order,
                        out,
                    );
                }
                _ => {}
            }
        }
        if took {
            self.took = Some(now);
        }
        self.counts.failures.add(&cx.failures);
        if let Some(window) = &mut self.window {
            window.hold_delivery(batch);
        } else {
            self.emitter.finish(out);
            if let Some(order) = order {
                join::restore_order(&mut out[before..], &order);
            }
            for made in &mut out[before..] {
                made.set_origin(batch.origin());
                made.set_delivery(batch.delivery().cloned());
            }
        }
        took
    }

    /// Emits the windows that are due, or all of them.
    pub fn close(&mut self, now: i64, closing: Closing, out: &mut Vec<Batch>) {
        if let Some(join) = &mut self.join {
            join.close(now, closing, out);
        }
        let plan = Arc::clone(&self.plan);
        let mut cx = Context::new(now);
        let (emitter, counts) = (&mut self.emitter, &mut self.counts);
        let groups_changed = match (&mut self.window, &plan.action) {
            (Some(Stateful::Window(window)), Action::Aggregate(aggregate)) => {
                let mut results = Results { aggregate, emitter, counts, cx: &mut cx, out };
                window.close(&mut results, now, closing)
            }
            (Some(Stateful::Over(state)), Action::Over(over)) => {
                let mut making = Making { over, emitter, counts, cx: &mut cx, out };
                state.close(&mut making, now, closing)
            }
            _ => return,
        };
        if groups_changed {
            self.series.each_mut().for_each(|info| info.group = NO_GROUP);
        }
        self.counts.failures.add(&cx.failures);
    }

    /// After [`QUIET_NS`] without points what only saves time is given back, and what is known of
    /// groups once no window is open. Whether there is anything left to give back.
    pub fn rest(&mut self, now: i64) -> bool {
        // After the clock stepped back, what came "later" counts as having come now.
        self.fed = self.fed.map(|since| since.min(now));
        self.took = self.took.map(|since| since.min(now));
        let quiet = |since: i64| now.saturating_sub(since) >= QUIET_NS;
        // The points of others alone are no reason to remember what this statement's were.
        if self.fed.is_some_and(quiet) || self.took.is_some_and(quiet) {
            self.fed = self.fed.filter(|since| !quiet(*since));
            self.series.release();
            self.shapes = ShapePlans::default();
            self.emitter.release();
            self.lookup.iter_mut().for_each(|lookup| lookup.release());
            let lists = [&mut self.rows, &mut self.groups, &mut self.verdicts];
            lists.into_iter().for_each(|list| *list = Vec::new());
            let lists = [&mut self.order, &mut self.starts];
            lists.into_iter().for_each(|list| *list = Vec::new());
            (self.tag_sets, self.runs) = (Vec::new(), Vec::new());
        }
        let snapshot = self.snapshot.as_mut().is_some_and(|snapshot| snapshot.rest(now));
        if self.took.is_some_and(quiet) {
            let done = self.window.as_mut().is_none_or(Stateful::release);
            if done && self.join.as_mut().is_none_or(|join| join.release(now)) {
                self.took = None;
                self.series.each_mut().for_each(|info| info.group = NO_GROUP);
            }
        }
        snapshot || self.fed.is_some() || self.took.is_some()
    }

    /// Whether it has points that came lately: what is known of their series is of use.
    pub fn is_fed(&self) -> bool {
        self.fed.is_some()
    }

    /// Whether it took points lately.
    pub fn takes(&self, now: i64) -> bool {
        self.took.is_some_and(|since| now.saturating_sub(since) < QUIET_NS)
    }

    /// Whether it took points of which there is anything left to give back.
    pub fn took_any(&self) -> bool {
        self.took.is_some()
    }

    /// Bytes of memory held, small things aside.
    pub fn byte_size(&mut self) -> usize {
        let lists = [&self.rows, &self.groups, &self.verdicts, &self.order, &self.starts];
        let lists: usize = lists.iter().map(|list| list.capacity() * 4).sum();
        let window = self.window.as_mut().map_or(0, Stateful::byte_size);
        let join = self.join.as_mut().map_or(0, |join| join.byte_size());
        let lookup = self.lookup.as_ref().map_or(0, |lookup| lookup.byte_size());
        let snapshot = self.snapshot.as_mut().map_or(0, |snapshot| snapshot.byte_size());
        let states = window + join + lookup + snapshot;
        lists + self.runs.capacity() * 12 + states + self.series.byte_size()
    }

    /// Writes all that a checkpoint keeps.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.window {
            Some(Stateful::Window(window)) => window.write(out),
            Some(Stateful::Over(over)) => over.write(out),
            None => {}
        }
        self.join.iter().for_each(|join| join.write(out));
        self.snapshot.iter().for_each(|snapshot| snapshot.write(out));
    }

    /// Reads what the same statement wrote, when it has seen nothing.
    pub fn read(&mut self, now: i64, from: &mut Reader<'_>) -> Read<()> {
        match (&mut self.window, &self.plan.action) {
            (Some(Stateful::Window(window)), Action::Aggregate(aggregate)) => {
                window.read(aggregate, now, from)?;
            }
            (Some(Stateful::Over(state)), Action::Over(_)) => {
                state.read(from)?;
                state.sources().resume(now);
            }
            _ => {}
        }
        if self.window.is_some() {
            (self.fed, self.took) = (Some(now), Some(now));
        }
        if let Some(join) = &mut self.join {
            join.read(from)?;
            join.resume(now);
            (self.fed, self.took) = (Some(now), Some(now));
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.read(from)?;
        }
        Ok(())
    }

    /// Takes a message. What it closes is emitted by [`close`](Self::close).
    pub fn control(&mut self, now: i64, control: Control) {
        if let Some(window) = &mut self.window {
            window.control(now, control);
        }
        if let Some(join) = &mut self.join {
            join.control(now, control);
        }
    }
}

/// Makes a point of each point; `order` hears of which.
#[allow(clippy::too_many_arguments)]
fn project<'a>(
    plan: &'a Plan,
    star: bool,
    outputs: &'a [Output],
    points: &Points<'a>,
    emitter: &mut Emitter,
    cx: &mut Context,
    order: &mut Option<Vec<u32>>,
    out: &mut Vec<Batch>,
) {
    let columns: Vec<Column<'_, '_>> = outputs
        .iter()
        .map(|output| Column { output, values: eval::eval(&output.node, points, cx) })
        .collect();
    let table = points.batch.tables().rows();
    let mut writer = emitter.rows(&columns);
    let mut derived: Option<(u32, String)> = None;
    for (row, at) in points.rows.iter().enumerate() {
        let of = &table[*at as usize];
        let name = match &plan.name {
            ResultName::Fixed(name) => name.as_str(),
            ResultName::Derived => {
                if derived.as_ref().is_none_or(|(series, _)| *series != of.series) {
                    derived = Some((of.series, emit::derived_name(points.batch.series(of.series))));
                }
                derived.as_ref().map_or("", |(_, name)| name.as_str())
            }
        };
        let star = star.then(|| PointRef::new(points.batch, of));
        let written = writer.row(Base { name, time: of.time, star }, row, out);
        if let (true, Some(order)) = (written, &mut *order) {
            order.push(*at);
        }
    }
}
