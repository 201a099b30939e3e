//! A run: the points of a partition that follow each other in time. Those that wait for their rows are
//! sorted; of those whose rows were made, frames and history know.
//!
//! A partition mostly has one run. Points that are too old for it, and that no row of it should have
//! known of, are a run of their own.

use std::collections::VecDeque;

use super::history::{History, View};
use super::layout::{Call, Layout, Read};
use super::ready::{Ready, Row};
use super::slide::{Slide, int};
use crate::accumulate::held::Held;
use crate::ast::Frame;
use crate::error::Failures;

/// How far from the end a point is still put into its place at once; beyond that all are sorted when
/// rows are made.
const NEAR: usize = 32;
/// What stands for the value of a row where all count.
const ROW: Held = Held::Bool(true);

/// A point that waits for its row.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    pub time: i64,
    /// Its number in the order of arrival, whatever its shape.
    pub arrival: u64,
    /// The clock when it came.
    pub since: i64,
    /// Its batch, and the place of its copy there.
    pub batch: u32,
    pub copy: u32,
    /// Its source is catching up.
    pub fed: bool,
}

pub struct Run {
    /// Tells it from others of the partition.
    pub stamp: u32,
    /// In the order of time and arrival, if `sorted`.
    pub pending: VecDeque<Pending>,
    /// The values of each.
    cells: VecDeque<Held>,
    /// Bytes of their texts.
    heap: usize,
    sorted: bool,
    /// The earliest time that waits, and whether that point's source is catching up.
    pub first: (i64, bool),
    /// The latest time that waits, and whether that point's source is catching up.
    pub latest: (i64, bool),
    /// What its entry in the queue says.
    pub queued: Option<(i64, bool)>,
    /// The time of the last row that was made.
    pub last: Option<i64>,
    /// Its point's source was catching up.
    pub last_fed: bool,
    /// The clock when it was made.
    pub made: i64,
    /// There is an entry for it in the queue of those that end.
    pub ending: bool,
    /// How many rows were made.
    pub rows: u64,
    pub history: History,
    /// The number of the first row of each frame.
    pub starts: Vec<u64>,
    pub slides: Vec<Slide>,
}

impl Run {
    pub fn new(layout: &Layout, stamp: u32) -> Run {
        Run {
            stamp,
            pending: VecDeque::new(),
            cells: VecDeque::new(),
            heap: 0,
            sorted: true,
            first: (i64::MAX, false),
            latest: (i64::MIN, false),
            queued: None,
            last: None,
            last_fed: false,
            made: i64::MIN,
            ending: false,
            rows: 0,
            history: History::default(),
            starts: vec![0; layout.frames.len()],
            slides: layout.fresh(),
        }
    }

    /// Bytes on the heap.
    pub fn byte_size(&self) -> usize {
        self.pending.capacity() * size_of::<Pending>()
            + self.cells.capacity() * size_of::<Held>()
            + self.heap
            + self.history.byte_size()
            + self.starts.capacity() * 8
            + self.slides.capacity() * size_of::<Slide>()
            + self.slides.iter().map(Slide::byte_size).sum::<usize>()
    }

    /// Gives back memory that nothing needs.
    pub fn shrink(&mut self) {
        self.pending.shrink_to_fit();
        self.cells.shrink_to_fit();
        self.history.shrink();
    }

    /// Where it begins, as far as further points are concerned.
    pub fn start(&self) -> i64 {
        self.last.unwrap_or(self.first.0)
    }

    /// The latest time that it knows of.
    pub fn end(&self) -> i64 {
        self.latest.0.max(self.last.unwrap_or(i64::MIN))
    }

    /// A point that waits for its row from now on, with its `width` values.
    pub fn add(&mut self, width: usize, point: Pending, values: impl Iterator<Item = Held>) {
        let heap = &mut self.heap;
        let values = values.inspect(|held| *heap += held.heap());
        let reach = if self.sorted { NEAR + 1 } else { 0 };
        let last = self.pending.iter().rev().take(reach);
        let place = (point.time, point.arrival);
        let later = last.take_while(|other| (other.time, other.arrival) > place).count();
        if later == 0 || later > NEAR {
            self.sorted &= later == 0;
            self.pending.push_back(point);
            self.cells.extend(values);
        } else {
            let at = self.pending.len() - later;
            self.pending.insert(at, point);
            values
                .enumerate()
                .for_each(|(place, held)| self.cells.insert(at * width + place, held));
        }
        if point.time < self.first.0 {
            self.first = (point.time, point.fed);
        }
        if point.time >= self.latest.0 {
            self.latest = (point.time, point.fed);
        }
    }

    /// Takes over the points of a run that has made no row.
    pub fn absorb(&mut self, other: Run) {
        self.sorted = false;
        self.pending.extend(other.pending);
        self.cells.extend(other.cells);
        self.heap += other.heap;
        if other.first.0 < self.first.0 {
            self.first = other.first;
        }
        if other.latest.0 >= self.latest.0 {
            self.latest = other.latest;
        }
    }

    /// The places of the points that wait, in the order of their time and arrival.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.pending.len()).collect();
        order.sort_by_key(|at| (self.pending[*at].time, self.pending[*at].arrival));
        order
    }

    /// Puts the points that wait in the order of their time; those of one time stay as they came.
    pub fn sort(&mut self, width: usize) {
        if self.sorted {
            return;
        }
        self.sorted = true;
        let order = self.order();
        let mut cells = std::mem::take(&mut self.cells);
        let cells = cells.make_contiguous();
        self.pending = order.iter().map(|at| self.pending[*at]).collect();
        let rows = order.iter().flat_map(|at| at * width..(at + 1) * width);
        self.cells = rows.map(|at| std::mem::take(&mut cells[at])).collect();
    }

    /// What waits, in the order of time and arrival.
    pub fn in_order(
        &self,
        width: usize,
    ) -> impl Iterator<Item = (&Pending, impl Iterator<Item = &Held>)> {
        let row = move |at: usize| self.cells.range(at * width..(at + 1) * width);
        self.order().into_iter().map(move |at| (&self.pending[at], row(at)))
    }

    /// Lets all rows that were read enter their frames again.
    pub fn refill(&mut self, layout: &Layout) {
        for (slid, slide) in layout.slides.iter().zip(&mut self.slides) {
            if !layout.is_bounded(slid.frame) {
                continue;
            }
            let start = self.starts[slid.frame];
            for row in start..self.rows {
                let view = View {
                    history: &self.history,
                    stride: layout.kept.len(),
                    column: slid.column,
                    start,
                    end: row + 1,
                };
                let (value, time) = (view.get(row).clone(), view.time(row));
                slide.push(&value, time, &view, &mut Failures::default());
            }
        }
    }

    /// What waits, once it is sorted: the points with their values.
    pub fn waiting(&mut self, width: usize) -> impl Iterator<Item = (&Pending, &[Held])> {
        self.sort(width);
        let cells = &*self.cells.make_contiguous();
        let row = move |at: usize| cells.get(at * width..(at + 1) * width).unwrap_or_default();
        self.pending.iter().enumerate().map(move |(at, point)| (point, row(at)))
    }

    /// Makes the rows of the earliest time that waits; how many.
    pub fn release(
        &mut self,
        layout: &Layout,
        partition: u32,
        ready: &mut Ready,
        now: i64,
        failures: &mut Failures,
    ) -> usize {
        let width = layout.width();
        self.sort(width);
        let Some(first) = self.pending.front() else { return 0 };
        let (time, fed) = (first.time, first.fed);
        let peers = self.pending.iter().take_while(|point| point.time == time).count();
        let mut cells: Vec<Held> = self.cells.drain(..peers * width).collect();
        self.heap -= cells.iter().map(Held::heap).sum::<usize>();
        if layout.looks_back {
            self.history.times.extend(std::iter::repeat_n(time, peers));
            for row in cells.chunks(width.max(1)).take(peers) {
                layout.kept.iter().for_each(|input| self.history.push(row[*input].clone()));
            }
        }
        // All of one time are in the frame of each, where the frame goes by time.
        let end = self.rows + peers as u64;
        for at in 0..peers {
            let values = &cells[at * width..(at + 1) * width];
            self.enter(layout, true, self.rows + at as u64, time, values, failures);
        }
        self.leave(layout, true, time, end);
        let last = &cells[(peers - 1) * width..];
        let mut common = Vec::with_capacity(layout.calls.len());
        for call in &layout.calls {
            common.push(match layout.has_peers(call.frame) {
                true => self.result(layout, call, end, last, failures),
                false => Held::None,
            });
        }
        for at in 0..peers {
            let (from, row) = (at * width, self.rows + at as u64);
            let values = &cells[from..from + width];
            self.enter(layout, false, row, time, values, failures);
            self.leave(layout, false, time, row + 1);
            let taken = ready.cells.len();
            ready.cells.resize(taken + layout.carried, Held::None);
            for (call, common) in layout.calls.iter().zip(&common) {
                ready.cells.push(match layout.has_peers(call.frame) {
                    true => common.clone(),
                    false => self.result(layout, call, row + 1, values, failures),
                });
            }
            let carried = &mut cells[from + layout.inputs..from + width];
            ready.cells[taken..taken + layout.carried].swap_with_slice(carried);
        }
        ready.rows.extend(self.pending.drain(..peers).map(|point| point.ready(partition)));
        self.rows = end;
        (self.last, self.last_fed, self.made) = (Some(time), fed, now);
        self.first = self.pending.front().map_or((i64::MAX, false), |next| (next.time, next.fed));
        self.trim(layout);
        if self.pending.is_empty() {
            self.latest = (i64::MIN, false);
        }
        if self.pending.capacity() > 64 && self.pending.len() * 4 < self.pending.capacity() {
            self.pending.shrink_to(self.pending.len() * 2);
            self.cells.shrink_to(self.cells.len() * 2);
        }
        peers
    }

    /// A row enters the frames that go by time, or those that do not.
    fn enter(
        &mut self,
        layout: &Layout,
        peers: bool,
        row: u64,
        time: i64,
        values: &[Held],
        failures: &mut Failures,
    ) {
        for (slid, slide) in layout.slides.iter().zip(&mut self.slides) {
            if layout.has_peers(slid.frame) == peers {
                let view = View {
                    history: &self.history,
                    stride: layout.kept.len(),
                    column: slid.column,
                    start: self.starts[slid.frame],
                    end: row + 1,
                };
                let value = slid.input.map_or(&ROW, |input| &values[input]);
                slide.push(value, time, &view, failures);
            }
        }
    }

    /// The rows before `end` that lie too far back leave the frames of a row of this time.
    fn leave(&mut self, layout: &Layout, peers: bool, time: i64, end: u64) {
        for (frame, form) in layout.frames.iter().enumerate() {
            if layout.has_peers(frame) != peers {
                continue;
            }
            let old = self.starts[frame];
            let new = match form {
                Frame::Range(None) | Frame::Rows(None) => continue,
                Frame::Rows(Some(back)) => end.saturating_sub(back.saturating_add(1)).max(old),
                Frame::Range(Some(back)) => {
                    let bound = time.saturating_sub(*back);
                    let from = old.saturating_sub(self.history.base) as usize;
                    let gone = self.history.times.iter().skip(from).take((end - old) as usize);
                    old + gone.take_while(|time| **time < bound).count() as u64
                }
            };
            self.advance(layout, frame, new, end);
        }
    }

    /// A frame begins with a later row.
    fn advance(&mut self, layout: &Layout, frame: usize, start: u64, end: u64) {
        for row in self.starts[frame]..start {
            for (slid, slide) in layout.slides.iter().zip(&mut self.slides) {
                if slid.frame == frame {
                    slide.evict(&View {
                        history: &self.history,
                        stride: layout.kept.len(),
                        column: slid.column,
                        start: row,
                        end,
                    });
                }
            }
        }
        self.starts[frame] = self.starts[frame].max(start);
    }

    /// Gives up the rows that no frame holds.
    fn trim(&mut self, layout: &Layout) {
        let bounded = (0..layout.frames.len()).filter(|frame| layout.is_bounded(*frame));
        if let Some(start) = bounded.map(|frame| self.starts[frame]).min() {
            self.history.trim(start, layout.kept.len());
        }
    }

    /// Gives up rows up to that time, though frames hold them; how many.
    pub fn forget(&mut self, layout: &Layout, until: i64) -> usize {
        let gone = self.history.times.partition_point(|time| *time <= until);
        let start = self.history.base + gone as u64;
        for frame in (0..layout.frames.len()).filter(|frame| layout.is_bounded(*frame)) {
            self.advance(layout, frame, start, self.rows);
        }
        self.history.trim(start, layout.kept.len());
        gone
    }

    /// The result of a function for the row before `end`, whose own values these are.
    fn result(
        &self,
        layout: &Layout,
        call: &Call,
        end: u64,
        values: &[Held],
        failures: &mut Failures,
    ) -> Held {
        let view = |column| View {
            history: &self.history,
            stride: layout.kept.len(),
            column,
            start: self.starts[call.frame],
            end,
        };
        match call.read {
            Read::Slide { slide, function } => {
                let column = layout.slides[slide].column;
                self.slides[slide].result(function, &view(column), failures)
            }
            Read::RowNumber => Held::Int(end as i64),
            Read::Last { input } => values[input].clone(),
            Read::First { column } => view(Some(column)).first().clone(),
            Read::Lag { back: 0, input, .. } => values[input].clone(),
            Read::Lag { back, column, .. } if end > self.history.base.saturating_add(back) => {
                view(Some(column)).get(end - 1 - back).clone()
            }
            Read::Lag { default: None, .. } => Held::None,
            Read::Lag { input, default: Some(default), .. } => {
                let default = &values[layout.inputs + default];
                match (default, &values[input]) {
                    // A column is of one kind.
                    (Held::Int(_) | Held::UInt(_), Held::Float(_)) => {
                        Held::Float(int(default) as f64)
                    }
                    (Held::Int(value), Held::UInt(_)) if *value >= 0 => Held::UInt(*value as u64),
                    _ => default.clone(),
                }
            }
        }
    }
}

impl Pending {
    fn ready(&self, partition: u32) -> Row {
        Row { time: self.time, partition, batch: self.batch, copy: self.copy }
    }
}
