//! What aggregators over fields share: windows of cells, a cell for each field of each series.
//!
//! Which cells a row belongs to is worked out once for each series and shape; per row and field
//! there is one look into an array.

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::layout::{Row, kind};
use headwater_plugin_api::batch::{Batch, BatchBuilder, SeriesStore};
use headwater_plugin_api::config::Duration;
use headwater_plugin_api::plugin::{Context, Control, Counter, Error, Gauge, Host, Sink};
use headwater_plugin_api::window::{
    Closing, Feed, Grid, Groups, Place, Policy, Ready, SeriesCache, Windows,
};

use crate::points::{Order, Results, Writer};

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
    /// Tells the results of a cell.
    fn results(&self, cell: usize, results: &mut Results);
    /// The suffix of the results of that number.
    fn suffix(number: u8) -> &'static str;
    /// Bytes of memory held.
    fn byte_size(&self) -> usize;
}

/// Keeps the marked elements and gives back what most of the memory is no longer needed for.
pub fn retain<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        keep.get(at - 1).copied().unwrap_or(false)
    });
    list.shrink_to(list.len() + list.len() / 4);
}

/// How many cells are held. A value of a cell for which there is no room is counted and dropped.
pub const MAX_CELLS: u32 = 1_000_000;
/// Below this many cells the tables are not tidied up.
const TIDY_MIN: usize = 1024;
/// How many series may be known that have no cell, such as those whose points all come too late.
const MAX_BARE: usize = 1 << 16;
/// Shapes that are remembered beyond those of one batch.
const MAX_SHAPES: usize = 256;
/// What all of them together may remember of series.
const MAX_PLACES: usize = 1 << 23;
/// A source that catches up and is silent so long holds no window open.
const IDLE: i64 = 5_000_000_000;
/// After so long without points what only saves time is given back, and without windows everything.
const QUIET: i64 = 20_000_000_000;
/// How long a source that is not finite may hold a window open.
const HOLD: i64 = 600_000_000_000;
/// Points from further ahead of the clock are refused and counted.
const MAX_FUTURE: i64 = 60_000_000_000;

/// A cell that is not known, or for which there is no room.
const UNKNOWN: u32 = u32::MAX;

/// A field that is a number.
#[derive(Clone, Copy)]
struct Number {
    slot: u32,
    kind: u8,
}

/// A shape's fields that are numbers.
struct Shape {
    /// All fields, as the shape has them: what this is good for.
    all: Vec<(String, u8, u32)>,
    numbers: Vec<Number>,
    /// Their numbers in the table of fields.
    fields: Vec<u32>,
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
    /// Keys of fields.
    fields: Groups,
    /// Keyed by the numbers of series and field.
    cells: Groups,
    shapes: Vec<Shape>,
    by_shape: Vec<usize>,
    /// Numbers in `series`, by series of the batch at hand.
    by_series: Vec<u32>,
    order: Order,
    writer: Writer,
    builder: BatchBuilder,
    /// Made by windows that closed, waiting for the next tick.
    ready: Vec<Batch>,
    /// When the last points came; `None` once the memory was given back.
    fed: Option<i64>,
    early: u64,
    late_points: Counter,
    future_points: Counter,
    dropped_values: Counter,
    early_windows: Counter,
    open_windows: Gauge,
    held_cells: Gauge,
    bytes: Gauge,
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
            fields: Groups::new(MAX_CELLS),
            cells: Groups::new(MAX_CELLS),
            shapes: Vec::new(),
            by_shape: Vec::new(),
            by_series: Vec::new(),
            order: Order::default(),
            writer: Writer::default(),
            builder: BatchBuilder::default(),
            ready: Vec::new(),
            fed: None,
            early: 0,
            late_points: host.counter("points_late"),
            future_points: host.counter("points_future"),
            dropped_values: host.counter("values_overflow"),
            early_windows: host.counter("windows_early"),
            open_windows: host.gauge("windows_open"),
            held_cells: host.gauge("groups"),
            bytes: host.gauge("state_bytes"),
        })
    }

    /// Bytes of memory held, without shapes' names and batches that wait.
    fn byte_size(&mut self) -> usize {
        let shapes = self.shapes.iter().map(|s| (s.starts.capacity() + s.cells.capacity()) * 4);
        let shapes: usize = shapes.sum();
        let windows: usize = self.windows.contents().map(|stats| stats.byte_size()).sum();
        shapes
            + windows
            + self.series.byte_size()
            + self.known.byte_size()
            + self.fields.byte_size()
            + self.cells.byte_size()
            + self.by_series.capacity() * 4
            + self.order.byte_size()
    }

    /// Adds the live points of a batch.
    pub fn apply(&mut self, cx: &Context<'_>, batch: &Batch) {
        let feed = self.windows.observe(cx.now(), batch);
        if !batch.is_empty() {
            self.fed = Some(cx.now());
            self.add_all(&feed, batch);
        }
        // A replay fills windows faster than ticks come.
        self.close(Closing::Due, true);
    }

    fn add_all(&mut self, feed: &Feed, batch: &Batch) {
        if self.series.len() > self.cells.len() + MAX_BARE {
            self.tidy(None);
        }
        let series = &mut self.series;
        self.known.prepare(batch, |of| series.intern_ref(of));
        self.by_series.clear();
        self.by_series
            .extend(self.known.batch_values().map(|number| number.copied().unwrap_or(UNKNOWN)));
        self.prepare_shapes(batch);
        let (mut late, mut future, mut dropped) = (0, 0, 0);
        let (first, last) = batch.time_range();
        if let Some(slot) = self.windows.place_all(feed, first, last, |_| (self.make)()) {
            dropped = self.add(batch, batch.rows().map(|(_, row)| row), slot);
        } else {
            for (_, row) in batch.rows() {
                let place = match self.place(feed, row) {
                    Place::Full => {
                        self.windows.hold_delivery(batch);
                        self.close(Closing::Forced, false);
                        self.place(feed, row)
                    }
                    place => place,
                };
                match place {
                    Place::Open(slot) => dropped += self.add(batch, std::iter::once(row), slot),
                    Place::Late => late += 1,
                    Place::Future => future += 1,
                    Place::Full => dropped += 1,
                }
            }
        }
        self.windows.hold_delivery(batch);
        self.late_points.add(late);
        self.future_points.add(future);
        self.dropped_values.add(dropped);
    }

    fn place(&mut self, feed: &Feed, row: &Row) -> Place {
        self.windows.place(feed, row.time, |_| (self.make)())
    }

    fn prepare_shapes(&mut self, batch: &Batch) {
        let places: usize = self.shapes.iter().map(|s| s.starts.len() + s.cells.len()).sum();
        if self.shapes.len() > MAX_SHAPES || places > MAX_PLACES {
            self.shapes = Vec::new();
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
                let numbers = || all.iter().filter(|field| is_number(field.1));
                let fields = numbers().map(|(key, ..)| {
                    let key = key.as_bytes();
                    self.fields.intern(bytes_hash(key), key).unwrap_or(UNKNOWN)
                });
                let fields = fields.collect();
                let numbers =
                    numbers().map(|(_, kind, slot)| Number { slot: *slot, kind: *kind }).collect();
                let (starts, cells) = (Vec::new(), Vec::new());
                self.shapes.push(Shape { all, numbers, fields, starts, cells });
                self.shapes.len() - 1
            });
            self.by_shape.push(at);
        }
    }

    /// Adds rows to a window; how many values there was no room for.
    #[inline]
    fn add<'b>(&mut self, batch: &'b Batch, rows: impl Iterator<Item = &'b Row>, slot: u32) -> u64 {
        let Some(stats) = self.windows.content(slot) else { return 0 };
        stats.grow(self.cells.len());
        let mut dropped = 0;
        for row in rows {
            let shape = self.by_shape.get(row.shape as usize);
            let shape = shape.and_then(|at| self.shapes.get_mut(*at));
            let series = self.by_series.get(row.series as usize);
            let series = series.filter(|series| **series != UNKNOWN);
            let (Some(shape), Some(&series)) = (shape, series) else { continue };
            let start = match shape.starts.get(series as usize) {
                Some(&start) if start != UNKNOWN => start,
                _ => {
                    let start = meet(shape, series, &mut self.cells);
                    stats.grow(self.cells.len());
                    start
                }
            };
            let payloads = batch.payloads(row);
            let cells = shape.cells.get(start as usize..).unwrap_or_default();
            for (number, cell) in shape.numbers.iter().zip(cells) {
                let payload = payloads.get(number.slot as usize).copied().unwrap_or_default();
                let value = match number.kind {
                    kind::F64 => f64::from_bits(payload),
                    kind::I64 => payload as i64 as f64,
                    _ => payload as f64,
                };
                match *cell {
                    UNKNOWN => dropped += 1,
                    cell => stats.add(cell as usize, row.time, value),
                }
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
                self.tidy(Some(&stats));
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
        self.order.update(&self.series, &self.cells);
        self.writer.begin();
        for (series, cells) in self.order.iter() {
            self.writer.results.clear();
            for (cell, field) in cells {
                if stats.has(*cell as usize) {
                    self.writer.results.of_field(*field);
                    stats.results(*cell as usize, &mut self.writer.results);
                }
            }
            let series = (series, self.series.get(series));
            let (builder, time) = (&mut self.builder, ready.span.end);
            self.writer.point(series, time, &self.fields, S::suffix, builder);
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

    /// Forgets cells that are in no window, and series without cells, when they are most of all.
    fn tidy(&mut self, closed: Option<&S>) {
        let count = self.cells.len();
        let is_bare = self.series.len() > count + MAX_BARE;
        if count <= TIDY_MIN && !is_bare {
            return;
        }
        let has = |cell| closed.is_some_and(|stats| stats.has(cell));
        let mut keep: Vec<bool> = (0..count).map(has).collect();
        for stats in self.windows.contents() {
            keep.iter_mut().enumerate().for_each(|(cell, keep)| *keep |= stats.has(cell));
        }
        if keep.iter().filter(|keep| **keep).count() * 2 >= count && !is_bare {
            return;
        }
        let mut series = SeriesStore::new();
        let (mut fields, mut cells) = (Groups::new(MAX_CELLS), Groups::new(MAX_CELLS));
        for cell in (0..count).filter(|cell| keep[*cell]) {
            let (of, field) = cell_of(self.cells.key(cell as u32));
            let number = series.intern_ref(&self.series.get(of));
            let field = fields.intern(self.fields.hash(field), self.fields.key(field));
            let key = cell_key(number, field.unwrap_or_default());
            cells.intern(bytes_hash(&key), &key);
        }
        (self.series, self.fields, self.cells) = (series, fields, cells);
        self.windows.contents().for_each(|stats| stats.retain(&keep));
        self.known = SeriesCache::default();
        self.shapes = Vec::new();
        self.order = Order::default();
        self.writer.forget();
    }

    /// Gives back what is not needed while nothing comes.
    fn rest(&mut self, now: i64) {
        // After the clock stepped back, what came "later" counts as having come now.
        self.fed = self.fed.map(|fed| fed.min(now));
        if self.fed.is_none_or(|fed| now.saturating_sub(fed) < QUIET) {
            return;
        }
        self.known = SeriesCache::default();
        self.shapes = Vec::new();
        self.by_series = Vec::new();
        if self.windows.is_empty() {
            self.series = SeriesStore::new();
            self.fields = Groups::new(MAX_CELLS);
            self.cells = Groups::new(MAX_CELLS);
            self.order = Order::default();
            self.writer = Writer::default();
            self.builder = BatchBuilder::default();
            self.fed = None;
        }
    }

    /// Emits what is due and tells when to be called again.
    pub fn tick(&mut self, cx: &Context<'_>, out: &mut Sink<'_>) -> Option<i64> {
        let now = cx.now();
        self.windows.set_now(now);
        self.close(Closing::Due, true);
        self.rest(now);
        self.push(out);
        let bytes = self.byte_size();
        self.bytes.set(bytes as i64);
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
        std::mem::take(&mut self.ready).into_iter().for_each(|batch| out.push(batch));
        self.open_windows.set(self.windows.len() as i64);
        self.held_cells.set(self.cells.len() as i64);
    }
}

fn cell_key(series: u32, field: u32) -> [u8; 8] {
    (u64::from(series) | u64::from(field) << 32).to_le_bytes()
}

/// The numbers of series and field of a cell, from its key.
pub fn cell_of(key: &[u8]) -> (u32, u32) {
    let key = key.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    (key as u32, (key >> 32) as u32)
}

/// Looks up the cells of a series that is new to a shape.
#[cold]
fn meet(shape: &mut Shape, series: u32, cells: &mut Groups) -> u32 {
    let start = shape.cells.len() as u32;
    for field in &shape.fields {
        let key = cell_key(series, *field);
        let known = (*field != UNKNOWN).then(|| cells.intern(bytes_hash(&key), &key)).flatten();
        shape.cells.push(known.unwrap_or(UNKNOWN));
    }
    if shape.starts.len() <= series as usize {
        shape.starts.resize(series as usize + 1, UNKNOWN);
    }
    shape.starts[series as usize] = start;
    start
}
