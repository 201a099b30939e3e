//! What aggregators over fields share: windows of cells, a cell for each field of each series.
//!
//! Which cells a row belongs to is worked out once for each series and shape; per row and field
//! there is one look into an array.

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::layout::{Row, kind};
use headwater_plugin_api::batch::{Batch, BatchBuilder, SeriesStore, Value};
use headwater_plugin_api::config::Duration;
use headwater_plugin_api::plugin::{Context, Control, Counter, Error, Gauge, Host, Sink};
use headwater_plugin_api::window::{
    Closing, Feed, Grid, Groups, Place, Policy, Ready, SeriesCache, Windows,
};

/// What an aggregator keeps of the values of a cell, as arrays indexed by cell.
pub trait Stats: Send + 'static {
    /// Makes room for cells below `cells`.
    fn grow(&mut self, cells: usize);
    /// Adds a value to a cell below that.
    fn add(&mut self, cell: usize, time: i64, value: f64);
    /// Whether a cell has values.
    fn has(&self, cell: usize) -> bool;
    /// Keeps the marked cells, which are numbered anew in their order.
    fn retain(&mut self, keep: &[bool]);
    /// Tells suffix and value of each result of a cell.
    fn results<'v>(&self, cell: usize, result: &mut dyn FnMut(&'static str, Value<'v>));
}

/// How many cells are held. A value of a cell for which there is no room is counted and dropped.
pub const MAX_CELLS: u32 = 1_000_000;
/// Below this many cells the tables are not tidied up.
const TIDY_MIN: usize = 1024;
/// Shapes that are remembered beyond those of one batch.
const MAX_SHAPES: usize = 256;
/// A source that catches up and is silent so long holds no window open.
const IDLE: i64 = 5_000_000_000;
/// How long a source that is not finite may hold a window open.
const HOLD: i64 = 600_000_000_000;
/// Points from further ahead of the clock are refused and counted.
const MAX_FUTURE: i64 = 60_000_000_000;

/// A cell that is not known, or for which there is no room.
const UNKNOWN: u32 = u32::MAX;

/// A shape's fields that are numbers.
struct Shape {
    /// All fields, as the shape has them: what this is good for.
    all: Vec<(String, u8, u32)>,
    /// Key, kind and slot.
    numbers: Vec<(String, u8, u32)>,
    /// Where the cells of a series begin in `cells`.
    starts: Vec<u32>,
    /// As many for each series as there are numbers.
    cells: Vec<u32>,
}

/// Windows of cells.
pub struct Cells<S> {
    windows: Windows<S>,
    make: Box<dyn Fn() -> S + Send>,
    series: SeriesStore,
    /// Numbers in `series`.
    known: SeriesCache<u32>,
    /// Keyed by the series' number and the field's key.
    cells: Groups,
    shapes: Vec<Shape>,
    by_shape: Vec<usize>,
    builder: BatchBuilder,
    /// Made by windows that closed, waiting for the next tick.
    ready: Vec<Batch>,
    early: u64,
    late_points: Counter,
    future_points: Counter,
    dropped_values: Counter,
    early_windows: Counter,
    open_windows: Gauge,
    held_cells: Gauge,
}

impl<S: Stats> Cells<S> {
    /// No window yet.
    ///
    /// # Errors
    /// The period is nothing.
    pub fn new(
        host: &Host,
        period: Duration,
        delay: Duration,
        grace: Duration,
        make: impl Fn() -> S + Send + 'static,
    ) -> Result<Self, Error> {
        if period.nanos() <= 0 {
            return Err(Error::config("period", "the period must be longer than 0s"));
        }
        let policy = Policy {
            grid: Grid::new(period.nanos(), 0),
            delay: delay.nanos(),
            idle: IDLE,
            hold: HOLD,
            max_future: MAX_FUTURE,
            grace: grace.nanos(),
        };
        Ok(Cells {
            windows: Windows::new(policy),
            make: Box::new(make),
            series: SeriesStore::new(),
            known: SeriesCache::default(),
            cells: Groups::new(MAX_CELLS),
            shapes: Vec::new(),
            by_shape: Vec::new(),
            builder: BatchBuilder::default(),
            ready: Vec::new(),
            early: 0,
            late_points: host.counter("points_late"),
            future_points: host.counter("points_future"),
            dropped_values: host.counter("values_overflow"),
            early_windows: host.counter("windows_early"),
            open_windows: host.gauge("windows_open"),
            held_cells: host.gauge("groups"),
        })
    }

    /// Adds the live points of a batch.
    pub fn apply(&mut self, cx: &Context<'_>, batch: &Batch) {
        let feed = self.windows.observe(cx.now(), batch);
        let series = &mut self.series;
        self.known.prepare(batch, |of| series.intern_ref(of));
        self.prepare_shapes(batch);
        let (mut late, mut future, mut dropped) = (0, 0, 0);
        for (_, row) in batch.rows() {
            let place = match self.place(&feed, row) {
                Place::Full => {
                    self.windows.hold_delivery(batch);
                    self.close(Closing::Forced, false);
                    self.place(&feed, row)
                }
                place => place,
            };
            match place {
                Place::Open(slot) => dropped += self.add(batch, row, slot),
                Place::Late => late += 1,
                Place::Future => future += 1,
                Place::Full => dropped += 1,
            }
        }
        self.windows.hold_delivery(batch);
        self.late_points.add(late);
        self.future_points.add(future);
        self.dropped_values.add(dropped);
        // A replay fills windows faster than ticks come.
        self.close(Closing::Due, true);
    }

    fn place(&mut self, feed: &Feed, row: &Row) -> Place {
        self.windows.place(feed, row.time, |_| (self.make)())
    }

    fn prepare_shapes(&mut self, batch: &Batch) {
        if self.shapes.len() > MAX_SHAPES {
            self.shapes.clear();
        }
        self.by_shape.clear();
        for index in 0..batch.shape_count() as u32 {
            let shape = batch.shape(index);
            let known = self.shapes.iter().position(|known| {
                known.all.len() == shape.len()
                    && known.all.iter().zip(shape.fields()).all(|(own, (key, kind, slot))| {
                        own.1 == kind && own.2 as usize == slot && own.0 == key
                    })
            });
            let at = known.unwrap_or_else(|| {
                let all: Vec<(String, u8, u32)> = shape
                    .fields()
                    .map(|(key, kind, slot)| (key.to_owned(), kind, slot as u32))
                    .collect();
                let is_number = |kind| matches!(kind, kind::F64 | kind::I64 | kind::U64);
                let numbers = all.iter().filter(|field| is_number(field.1)).cloned().collect();
                self.shapes.push(Shape { all, numbers, starts: Vec::new(), cells: Vec::new() });
                self.shapes.len() - 1
            });
            self.by_shape.push(at);
        }
    }

    /// Adds a row to a window; how many values there was no room for.
    #[inline]
    fn add(&mut self, batch: &Batch, row: &Row, slot: u32) -> u64 {
        let shape = self.by_shape.get(row.shape as usize).and_then(|at| self.shapes.get_mut(*at));
        let (Some(shape), Some(&series)) = (shape, self.known.value(row.series)) else { return 0 };
        let start = match shape.starts.get(series as usize) {
            Some(&start) if start != UNKNOWN => start,
            _ => meet(shape, series, &mut self.cells),
        };
        let Some(stats) = self.windows.content(slot) else { return 0 };
        stats.grow(self.cells.len());
        let payloads = batch.payloads(row);
        let cells = &shape.cells[start as usize..];
        let mut dropped = 0;
        for ((_, field_kind, at), cell) in shape.numbers.iter().zip(cells) {
            let payload = payloads.get(*at as usize).copied().unwrap_or_default();
            let value = match *field_kind {
                kind::F64 => f64::from_bits(payload),
                kind::I64 => payload as i64 as f64,
                _ => payload as f64,
            };
            match *cell {
                UNKNOWN => dropped += 1,
                cell => stats.add(cell as usize, row.time, value),
            }
        }
        dropped
    }

    /// Closes windows; their points wait for the next tick. In the middle of a batch nothing may be
    /// tidied up, since its series and shapes are numbered already.
    fn close(&mut self, closing: Closing, tidy: bool) {
        while let Some(ready) = self.windows.ready(closing) {
            self.emit(ready);
            let closed = self.windows.done(ready.slot);
            if let Some(stats) = closed.filter(|_| tidy) {
                self.tidy(&stats);
            }
        }
        while self.windows.expire().is_some() {}
        let early = self.windows.closed_early();
        self.early_windows.add(early - self.early);
        self.early = early;
    }

    /// Makes a point of each series of a window, in the order of their keys.
    fn emit(&mut self, ready: Ready) {
        let first_batch = self.ready.len();
        let Some(stats) = self.windows.content(ready.slot) else { return };
        let mut cells: Vec<(u32, u32)> = (0..self.cells.len() as u32)
            .filter(|cell| stats.has(*cell as usize))
            .map(|cell| (series_of(self.cells.key(cell)), cell))
            .collect();
        let series = &self.series;
        cells.sort_unstable_by(|a, b| match a.0 == b.0 {
            true => a.1.cmp(&b.1),
            false => series.get(a.0).key().cmp(series.get(b.0).key()),
        });
        let mut name = String::new();
        for cells in cells.chunk_by(|a, b| a.0 == b.0) {
            let series = self.series.get(cells[0].0);
            let mut point = self.builder.point(series.name()).tags(series.tags());
            point = point.metric_kind(series.kind());
            for (_, cell) in cells {
                let key = std::str::from_utf8(&self.cells.key(*cell)[4..]).unwrap_or_default();
                let mut results = Vec::new();
                stats.results(*cell as usize, &mut |suffix, value| results.push((suffix, value)));
                for (suffix, value) in results {
                    name.clear();
                    name.push_str(key);
                    name.push('_');
                    name.push_str(suffix);
                    point = point.field(&name, value);
                }
            }
            // What a batch cannot hold, such as numbers that are all infinite, is left out.
            let _ = point.finish(ready.span.end);
            if self.builder.is_full() {
                self.ready.extend(self.builder.finish());
            }
        }
        self.ready.extend(self.builder.finish());
        let mut delivery = self.windows.take_delivery(ready.slot);
        let made = self.ready.len() - first_batch;
        for (at, batch) in self.ready[first_batch..].iter_mut().enumerate() {
            batch.set_delivery(if at + 1 == made { delivery.take() } else { delivery.clone() });
        }
    }

    /// Forgets cells that are in no window, when they are most of all.
    fn tidy(&mut self, closed: &S) {
        let count = self.cells.len();
        if count <= TIDY_MIN {
            return;
        }
        let mut keep: Vec<bool> = (0..count).map(|cell| closed.has(cell)).collect();
        for stats in self.windows.contents() {
            keep.iter_mut().enumerate().for_each(|(cell, keep)| *keep |= stats.has(cell));
        }
        if keep.iter().filter(|keep| **keep).count() * 2 >= count {
            return;
        }
        let (mut series, mut cells) = (SeriesStore::new(), Groups::new(MAX_CELLS));
        for cell in (0..count).filter(|cell| keep[*cell]) {
            let key = self.cells.key(cell as u32);
            let number = series.intern_ref(&self.series.get(series_of(key)));
            let key = cell_key(number, &key[4..]);
            cells.intern(bytes_hash(&key), &key);
        }
        (self.series, self.cells) = (series, cells);
        self.windows.contents().for_each(|stats| stats.retain(&keep));
        self.known.clear();
        self.shapes.clear();
    }

    /// Emits what is due and tells when to be called again.
    pub fn tick(&mut self, cx: &Context<'_>, out: &mut Sink<'_>) -> Option<i64> {
        let now = cx.now();
        self.windows.set_now(now);
        self.close(Closing::Due, true);
        self.push(out);
        let policy = self.windows.policy();
        // A window that is opened from now on closes no earlier than the one that holds the present.
        let end = policy.grid.span(policy.grid.index(now)).end.saturating_add(policy.delay);
        let due = self.windows.next_due().unwrap_or(i64::MAX);
        Some(end.min(due).min(now.saturating_add(IDLE)))
    }

    /// Takes a message.
    pub fn control(&mut self, cx: &Context<'_>, control: Control, out: &mut Sink<'_>) {
        self.windows.control(cx.now(), control);
        self.close(if control == Control::Stop { Closing::All } else { Closing::Due }, true);
        self.push(out);
    }

    fn push(&mut self, out: &mut Sink<'_>) {
        self.ready.drain(..).for_each(|batch| out.push(batch));
        self.open_windows.set(self.windows.len() as i64);
        self.held_cells.set(self.cells.len() as i64);
    }
}

fn cell_key(series: u32, field: &[u8]) -> Vec<u8> {
    let mut key = series.to_le_bytes().to_vec();
    key.extend_from_slice(field);
    key
}

fn series_of(key: &[u8]) -> u32 {
    key.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Looks up the cells of a series that is new to a shape.
#[cold]
fn meet(shape: &mut Shape, series: u32, cells: &mut Groups) -> u32 {
    let start = shape.cells.len() as u32;
    for (field, ..) in &shape.numbers {
        let key = cell_key(series, field.as_bytes());
        let cell = cells.intern(bytes_hash(&key), &key).unwrap_or(UNKNOWN);
        shape.cells.push(cell);
    }
    if shape.starts.len() <= series as usize {
        shape.starts.resize(series as usize + 1, UNKNOWN);
    }
    shape.starts[series as usize] = start;
    start
}
