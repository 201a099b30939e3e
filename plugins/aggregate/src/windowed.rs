//! The aggregator that `basicstats` and `minmax` are: points into windows by their time, windows
//! into points.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::batch::layout::{Row, kind};
use headwater_plugin_api::config::Duration;
use headwater_plugin_api::plugin::{Context, Control, Counter, Error, Gauge, Host, Sink};
use headwater_plugin_api::window::{Closing, Feed, Grid, Place, Policy, SeriesCache, Windows};

use crate::accumulate::{Accumulators, Values};
use crate::catalog::{Catalog, Full, NO_CELL, NONE};
use crate::emit::Emitter;
use crate::stats::Stats;

headwater_plugin_api::config! {
    /// How windows open and close, and what they may hold.
    pub struct WindowConfig {
        /// The length of a window. Windows are aligned to the epoch; a point belongs to the window
        /// that holds its time, and a result carries the time of its window's end.
        pub period: Duration = Duration::from_secs(30),
        /// How long after its end a window is closed, for points that are still under way.
        pub delay: Duration = Duration::from_millis(100),
        /// How long after its emission a window still takes late points; the series that got any are
        /// emitted again, with the same time. Later points are dropped and counted.
        pub grace: Duration = Duration::ZERO,
        /// A source that is catching up and silent so long no longer holds windows open.
        pub idle: Duration = Duration::from_secs(5),
        /// How long sources that catch up may hold a window open; finite ones may for ever.
        pub hold: Duration = Duration::from_secs(600),
        /// Points from further ahead of the clock are refused and counted.
        pub max_future: Duration = Duration::from_secs(60),
        /// How many series are told apart; points of further ones are dropped and counted.
        pub max_groups: u32 = 100_000,
        /// How many fields all series together may have; values of further ones are dropped and
        /// counted. All open windows together hold eight times as many, then the oldest closes early.
        pub max_fields: u32 = 1_000_000,
    }
}

/// How many times `max_fields` all open windows together may hold.
const STATE_FACTOR: usize = 8;
/// Below this many cells the catalog is not tidied up.
const TIDY_MIN: usize = 4096;
/// With more windows than this, those that are due are closed while points come, not at the tick.
const OPEN_MAX: usize = 16;
/// Bytes of results that may wait for the tick.
const PENDING_BYTES_MAX: usize = 32 << 20;
/// Values that are gathered before they are added: they stay in the nearest cache.
const CHUNK: usize = 1024;

/// A column of a shape that holds numbers.
#[derive(Debug, Clone, Copy)]
struct Column {
    slot: u32,
    kind: u8,
}

/// What is known of a shape of the batch at hand.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Its columns; `NONE` if they were not looked at yet.
    columns: u32,
    count: u32,
    /// Its layout in the catalog; `NONE` if it has not been looked up.
    layout: u32,
}

const UNKNOWN: Shape = Shape { columns: NONE, count: 0, layout: NONE };

struct Metrics {
    late: Counter,
    future: Counter,
    overflow: Counter,
    no_window: Counter,
    no_number: Counter,
    values_overflow: Counter,
    early: Counter,
    emitted: Counter,
    empty: Counter,
    refused: Counter,
    not_finite: Counter,
    windows: Gauge,
    groups: Gauge,
    fields: Gauge,
    bytes: Gauge,
    lag: Gauge,
}

impl Metrics {
    fn new(host: &Host) -> Self {
        Metrics {
            late: host.counter("points_late"),
            future: host.counter("points_future"),
            overflow: host.counter("points_overflow"),
            no_window: host.counter("points_no_window"),
            no_number: host.counter("points_no_number"),
            values_overflow: host.counter("values_overflow"),
            early: host.counter("windows_early"),
            emitted: host.counter("rows_emitted"),
            empty: host.counter("rows_empty"),
            refused: host.counter("rows_refused"),
            not_finite: host.counter("results_not_finite"),
            windows: host.gauge("windows_open"),
            groups: host.gauge("groups"),
            fields: host.gauge("fields"),
            bytes: host.gauge("state_bytes"),
            lag: host.gauge("emission_lag_ns"),
        }
    }
}

/// What was counted in the batch at hand.
#[derive(Default)]
struct Counts {
    late: u64,
    future: u64,
    overflow: u64,
    no_window: u64,
    no_number: u64,
    values_overflow: u64,
}

/// Windows of statistics.
pub struct Windowed {
    name: &'static str,
    stats: Stats,
    needs_times: bool,
    windows: Windows<Accumulators>,
    catalog: Catalog,
    /// Accumulators of closed windows, for new ones.
    free: Vec<Accumulators>,
    /// The group of each series.
    series: SeriesCache<u32>,
    shapes: Vec<Shape>,
    columns: Vec<Column>,
    /// By series of the batch at hand: the shape of its last row, and the places of its cells.
    resolved: Vec<(u32, u32)>,
    values: Values,
    /// Values in `values` that are no finite numbers.
    not_finite: usize,
    /// The window that `values` belong to.
    slot: u32,
    emitter: Emitter,
    pending: Vec<Batch>,
    pending_bytes: usize,
    counts: Counts,
    early: u64,
    lag: i64,
    /// Longest time between two ticks.
    pace: i64,
    max_held: usize,
    /// A window was closed since the catalog was tidied up: it may hold cells of the past.
    stale: bool,
    /// The catalog was tidied up for the batch at hand.
    tidied: bool,
    /// Some values have no cell, for want of room.
    overflowed: bool,
    /// That there is no room was logged: once is enough, the rest is counted.
    told: bool,
    host: Host,
    metrics: Metrics,
}

impl Windowed {
    /// An aggregator of no point.
    ///
    /// # Errors
    /// An option that cannot be honoured.
    pub fn new(
        name: &'static str,
        stats: Stats,
        config: &WindowConfig,
        host: Host,
    ) -> Result<Self, Error> {
        if config.period.nanos() == 0 {
            return Err(Error::config("period", "a window must be longer than 0s, such as \"30s\""));
        }
        for (key, max) in [("max_groups", config.max_groups), ("max_fields", config.max_fields)] {
            if max == 0 {
                return Err(Error::config(key, "with room for none nothing could be aggregated"));
            }
        }
        let policy = Policy {
            grid: Grid::new(config.period.nanos(), 0),
            delay: config.delay.nanos(),
            idle: config.idle.nanos(),
            hold: config.hold.nanos(),
            max_future: config.max_future.nanos(),
            grace: config.grace.nanos(),
        };
        let metrics = Metrics::new(&host);
        Ok(Windowed {
            name,
            stats,
            needs_times: Accumulators::needs_times(stats),
            windows: Windows::new(policy),
            catalog: Catalog::new(config.max_groups, config.max_fields),
            free: Vec::new(),
            series: SeriesCache::default(),
            shapes: Vec::new(),
            columns: Vec::new(),
            resolved: Vec::new(),
            values: Values::default(),
            not_finite: 0,
            slot: NONE,
            emitter: Emitter::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            counts: Counts::default(),
            early: 0,
            lag: 0,
            pace: policy.idle.max(1_000_000_000),
            max_held: (config.max_fields as usize).saturating_mul(STATE_FACTOR),
            stale: false,
            tidied: false,
            overflowed: false,
            told: false,
            host,
            metrics,
        })
    }

    /// Adds the live points of a batch.
    pub fn apply(&mut self, cx: &Context<'_>, batch: &Batch) {
        let feed = self.windows.observe(cx.now(), batch);
        if batch.is_empty() || self.stats.is_empty() {
            return;
        }
        self.prepare(batch);
        // Most batches lie in one window; that is looked up when the first number comes.
        let mut whole: Option<Option<u32>> = None;
        let arena = batch.tables().values();
        for (_, row) in batch.rows() {
            let shape = self.shape(batch, row.shape);
            if shape.count == 0 {
                self.counts.no_number += 1;
                continue;
            }
            let slot = match whole {
                Some(Some(slot)) => Some(slot),
                Some(None) => self.place(&feed, row.time),
                None => {
                    let (first, last) = batch.time_range();
                    let open = opener(&mut self.free, self.stats, self.windows.policy().grace);
                    let slot = self.windows.place_all(&feed, first, last, open);
                    whole = Some(slot);
                    if slot.is_some() { slot } else { self.place(&feed, row.time) }
                }
            };
            let Some(slot) = slot else { continue };
            if slot != self.slot || self.values.cells.len() >= CHUNK {
                self.flush();
                self.slot = slot;
            }
            let places = match self.resolved.get(row.series as usize) {
                Some((shape, places)) if *shape == row.shape => *places,
                _ => match self.resolve(batch, row) {
                    Some(places) => places,
                    None => {
                        self.counts.overflow += 1;
                        continue;
                    }
                },
            };
            let payloads = arena.get(row.values as usize..).unwrap_or_default();
            self.gather(shape, places, payloads, row.time);
        }
        self.flush();
        self.slot = NONE;
        self.windows.hold_delivery(batch);
        if self.windows.len() > OPEN_MAX && self.pending_bytes < PENDING_BYTES_MAX {
            self.close(cx.now(), Closing::Due);
        }
        self.count();
    }

    /// Emits what is due and tells when to be called again.
    pub fn tick(&mut self, cx: &Context<'_>, out: &mut Sink<'_>) -> i64 {
        let now = cx.now();
        self.windows.set_now(now);
        self.emit(now, Closing::Due, out);
        self.gauges();
        // A window that is opened from now on closes no earlier than the one that holds the present.
        let policy = self.windows.policy();
        let present = policy.grid.span(policy.grid.index(now)).end.saturating_add(policy.delay);
        let due = self.windows.next_due().map_or(present, |due| due.min(present));
        due.min(now.saturating_add(self.pace))
    }

    /// Takes note of a message; the last one emits all windows.
    pub fn control(&mut self, cx: &Context<'_>, control: Control, out: &mut Sink<'_>) {
        self.windows.control(cx.now(), control);
        let closing = if control == Control::Stop { Closing::All } else { Closing::Due };
        self.emit(cx.now(), closing, out);
    }

    fn emit(&mut self, now: i64, closing: Closing, out: &mut Sink<'_>) {
        self.close(now, closing);
        self.pending_bytes = 0;
        self.pending.drain(..).for_each(|batch| out.push(batch));
        self.count();
    }

    fn prepare(&mut self, batch: &Batch) {
        self.tidied = false;
        self.series.prepare(batch, |_| NONE);
        if self.catalog.has_stale_layouts() {
            self.catalog.forget_layouts();
        }
        self.columns.clear();
        self.shapes.clear();
        self.shapes.resize(batch.shape_count(), UNKNOWN);
        self.resolved.clear();
        self.resolved.resize(batch.series_count(), (NONE, 0));
    }

    /// The columns of a shape, looked at once for each batch.
    #[inline]
    fn shape(&mut self, batch: &Batch, index: u32) -> Shape {
        match self.shapes.get(index as usize) {
            Some(shape) if shape.columns != NONE => *shape,
            _ => self.read_shape(batch, index),
        }
    }

    #[cold]
    fn read_shape(&mut self, batch: &Batch, index: u32) -> Shape {
        let columns = self.columns.len() as u32;
        let numbers = batch.shape(index).fields().filter(is_number);
        self.columns.extend(numbers.map(|(_, kind, slot)| Column { slot: slot as u32, kind }));
        let count = self.columns.len() as u32 - columns;
        let shape = Shape { columns, count, layout: NONE };
        if let Some(known) = self.shapes.get_mut(index as usize) {
            *known = shape;
        }
        shape
    }

    /// The window of a point; points that have none are counted.
    fn place(&mut self, feed: &Feed, time: i64) -> Option<u32> {
        let open = opener(&mut self.free, self.stats, self.windows.policy().grace);
        let count = match self.windows.place(feed, time, open) {
            Place::Open(slot) => return Some(slot),
            Place::Late => &mut self.counts.late,
            Place::Future => &mut self.counts.future,
            Place::Full => &mut self.counts.no_window,
        };
        *count += 1;
        None
    }

    /// The places of the cells of a row's series and shape; `None` if the series finds no room.
    #[cold]
    fn resolve(&mut self, batch: &Batch, row: &Row) -> Option<u32> {
        let mut places = self.look_up(batch, row, true);
        if places.is_err() && self.stale && !self.tidied {
            self.flush();
            self.tidied = true;
            self.tidy(None);
            places = self.look_up(batch, row, true);
        }
        if places.is_err() {
            self.tell_full();
            places = self.look_up(batch, row, false);
        }
        let places = places.ok()?;
        if let Some(resolved) = self.resolved.get_mut(row.series as usize) {
            *resolved = (row.shape, places);
        }
        Some(places)
    }

    fn look_up(&mut self, batch: &Batch, row: &Row, strict: bool) -> Result<u32, Full> {
        let group = match self.series.value_mut(row.series) {
            Some(group) if *group != NONE => *group,
            Some(group) => {
                *group = self.catalog.group(&batch.series(row.series))?;
                *group
            }
            None => self.catalog.group(&batch.series(row.series))?,
        };
        let known = self.shapes.get(row.shape as usize).map_or(NONE, |shape| shape.layout);
        let layout = if known != NONE {
            known
        } else {
            let keys = batch.shape(row.shape).fields().filter(is_number).map(|(key, ..)| key);
            let layout = self.catalog.layout(keys, strict)?;
            if let Some(shape) = self.shapes.get_mut(row.shape as usize) {
                shape.layout = layout;
            }
            layout
        };
        self.catalog.places(group, layout, strict)
    }

    fn tell_full(&mut self) {
        self.overflowed = true;
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        self.host.warn(&format!(
            "{}: no room for another series or field beside {} series with {} fields; what comes of \
             others is dropped and counted. Raise `max_groups` and `max_fields`, or exclude tags of \
             many values with `tagexclude`",
            self.name,
            self.catalog.len(),
            self.catalog.cells() - 1
        ));
    }

    /// Puts the numbers of a row on their way to its cells.
    #[inline]
    fn gather(&mut self, shape: Shape, places: u32, payloads: &[u64], time: i64) {
        let count = shape.count as usize;
        let cells = self.catalog.cells_at(places, count);
        let columns =
            self.columns.get(shape.columns as usize..).and_then(|columns| columns.get(..count));
        for (cell, column) in cells.iter().zip(columns.unwrap_or_default()) {
            let payload = payloads.get(column.slot as usize).copied().unwrap_or_default();
            let (value, is_finite) = match column.kind {
                kind::F64 => {
                    let value = f64::from_bits(payload);
                    (value, value.is_finite())
                }
                kind::I64 => (payload as i64 as f64, true),
                _ => (payload as f64, true),
            };
            self.not_finite += usize::from(!is_finite);
            self.values.cells.push(if is_finite { *cell } else { NO_CELL });
            self.values.values.push(value);
        }
        if self.needs_times {
            self.values.times.resize(self.values.cells.len(), time);
        }
    }

    /// Adds the gathered values to their window.
    fn flush(&mut self) {
        if self.values.cells.is_empty() {
            return;
        }
        if let Some(content) = self.windows.content(self.slot) {
            content.grow(self.catalog.cells());
            content.add(&self.values);
        }
        if self.overflowed || self.not_finite > 0 {
            let without = self.values.cells.iter().filter(|cell| **cell == NO_CELL).count();
            self.counts.values_overflow += without.saturating_sub(self.not_finite) as u64;
        }
        self.not_finite = 0;
        self.values.clear();
    }

    /// Makes points of the windows that are to be closed.
    fn close(&mut self, now: i64, closing: Closing) {
        self.bound();
        while let Some(ready) = self.windows.ready(closing) {
            let from = self.pending.len();
            if let Some(content) = self.windows.content(ready.slot) {
                let (correction, time) = (ready.correction, ready.span.end);
                self.emitter.window(&self.catalog, content, correction, time, &mut self.pending);
                content.unmark();
            }
            if !ready.correction {
                self.lag = now.saturating_sub(ready.span.end).max(0);
            }
            // The points settle what the window's values came with; without points it is dropped.
            let mut delivery = self.windows.take_delivery(ready.slot);
            let made = self.pending.len();
            for at in from..made {
                let batch = &mut self.pending[at];
                self.pending_bytes += batch.byte_size();
                batch.set_delivery(if at + 1 == made { delivery.take() } else { delivery.clone() });
            }
            let content = self.windows.done(ready.slot);
            self.forget(content);
        }
        while let Some(content) = self.windows.expire() {
            self.forget(Some(content));
        }
    }

    /// Lets the oldest windows close when all of them hold too much.
    fn bound(&mut self) {
        let limit = self.max_held.max(TIDY_MIN);
        let mut held: Vec<usize> = self.windows.contents().map(|content| content.len()).collect();
        let mut total: usize = held.iter().sum();
        if total <= limit {
            return;
        }
        held.sort_unstable();
        while total > limit && self.windows.force_oldest() {
            total = total.saturating_sub(held.pop().unwrap_or(total));
        }
    }

    /// Gives up a closed window's accumulators, and cells when most of them are of the past.
    fn forget(&mut self, content: Option<Accumulators>) {
        let Some(mut content) = content else { return };
        self.stale = true;
        if self.catalog.cells() > TIDY_MIN {
            let used = self.used(Some(&content));
            if used.iter().filter(|used| **used).count() * 2 < used.len() {
                self.tidy(Some(&content));
            }
        }
        if self.free.is_empty() {
            content.clear();
            self.free.push(content);
        }
    }

    fn used(&mut self, also: Option<&Accumulators>) -> Vec<bool> {
        let mut used = vec![false; self.catalog.cells()];
        self.windows.contents().for_each(|content| content.used(&mut used));
        if let Some(content) = also {
            content.used(&mut used);
        }
        used[NO_CELL as usize] = true;
        used
    }

    /// Forgets the cells that are in no window, and with them what was looked up for the batch at
    /// hand.
    fn tidy(&mut self, also: Option<&Accumulators>) {
        let used = self.used(also);
        self.catalog.retain(&used);
        self.windows.contents().for_each(|content| content.retain(&used));
        self.free.clear();
        self.series.values_mut().fill(NONE);
        self.shapes.iter_mut().for_each(|shape| shape.layout = NONE);
        self.resolved.fill((NONE, 0));
        self.stale = false;
        self.overflowed = false;
    }

    /// Tells what was counted.
    fn count(&mut self) {
        let counts = std::mem::take(&mut self.counts);
        let emitted = std::mem::take(&mut self.emitter.counts);
        let early = self.windows.closed_early();
        let metrics = &self.metrics;
        for (counter, count) in [
            (metrics.late, counts.late),
            (metrics.future, counts.future),
            (metrics.overflow, counts.overflow),
            (metrics.no_window, counts.no_window),
            (metrics.no_number, counts.no_number),
            (metrics.values_overflow, counts.values_overflow),
            (metrics.early, early.saturating_sub(self.early)),
            (metrics.emitted, emitted.rows),
            (metrics.empty, emitted.empty),
            (metrics.refused, emitted.refused),
            (metrics.not_finite, emitted.not_finite),
        ] {
            if count > 0 {
                counter.add(count);
            }
        }
        self.early = early;
    }

    fn gauges(&mut self) {
        let open: usize = self.windows.contents().map(Accumulators::byte_size).sum();
        let free: usize = self.free.iter_mut().map(Accumulators::byte_size).sum();
        let bytes = open + free + self.catalog.byte_size() + self.series.byte_size();
        self.metrics.windows.set(self.windows.len() as i64);
        self.metrics.groups.set(self.catalog.len() as i64);
        self.metrics.fields.set(self.catalog.cells() as i64 - 1);
        self.metrics.bytes.set(bytes as i64);
        self.metrics.lag.set(self.lag);
    }
}

/// Makes what a new window holds.
fn opener<S>(
    free: &mut Vec<Accumulators>,
    stats: Stats,
    grace: i64,
) -> impl FnOnce(S) -> Accumulators {
    move |_| free.pop().unwrap_or_else(|| Accumulators::new(stats, grace > 0))
}

fn is_number(field: &(&str, u8, usize)) -> bool {
    matches!(field.1, kind::F64 | kind::I64 | kind::U64)
}
