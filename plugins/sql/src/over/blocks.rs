//! Sketches over a frame. They cannot be subtracted, and one for each row would take too much memory:
//! so rows stand in blocks. The front is a stack of sketches, each from a block on; the rows of the
//! block that is leaving are added one by one for each result, which are [`BLOCK`] at most.

use headwater_plugin_api::window::codec::{Read, Reader};

use super::history::View;
use crate::accumulate::held::Held;
use crate::accumulate::one::One;
use crate::error::Failures;
use crate::plan::AggregateFunction;

/// Rows of a block.
const BLOCK: u64 = 64;

pub struct Blocks {
    /// The sketches from each block on, the first block's last.
    front: Vec<One>,
    /// The number of the row at which the front begins; those before it are leaving.
    edge: u64,
    back: One,
}

impl Blocks {
    pub fn new(function: AggregateFunction) -> Blocks {
        Blocks { front: Vec::new(), edge: 0, back: One::new(function) }
    }

    pub fn byte_size(&self) -> usize {
        self.front.iter().map(One::byte_size).sum::<usize>() + self.back.byte_size()
    }

    pub fn push(&mut self, value: &Held, time: i64, failures: &mut Failures) {
        self.back.add(&[value], &|_| time, failures);
    }

    /// The view's first row leaves.
    pub fn evict(&mut self, view: &View<'_>) {
        if view.start < self.edge {
            return;
        }
        if self.front.pop().is_some() {
            self.edge = view.start + BLOCK;
            return;
        }
        let rows = view.end - view.start;
        let (blocks, rest) = (rows / BLOCK, rows % BLOCK);
        if blocks == 0 {
            self.back = self.back.fresh();
            self.edge = view.end;
            return;
        }
        self.back = self.of(view, view.end - rest, view.end);
        // The first block is leaving: its rows are added one by one from now on.
        for block in (1..blocks).rev() {
            let from = view.start + block * BLOCK;
            let mut sum = self.of(view, from, from + BLOCK);
            self.front.last().iter().for_each(|later| sum.merge(later));
            self.front.push(sum);
        }
        self.edge = view.start + BLOCK;
    }

    fn of(&self, view: &View<'_>, from: u64, to: u64) -> One {
        let mut one = self.back.fresh();
        let values: Vec<&Held> = (from..to).map(|row| view.get(row)).collect();
        one.add(&values, &|at| view.time(from + at as u64), &mut Failures::default());
        one
    }

    pub fn result(
        &self,
        function: AggregateFunction,
        view: &View<'_>,
        failures: &mut Failures,
    ) -> Held {
        let leaving = view.start..self.edge.min(view.end);
        if leaving.is_empty() && self.front.is_empty() {
            return self.back.finish(function, failures);
        }
        let mut total = self.of(view, leaving.start, leaving.end.max(leaving.start));
        self.front.last().iter().for_each(|front| total.merge(front));
        total.merge(&self.back);
        total.finish(function, failures)
    }

    /// Writes a frame that no row leaves.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.back.write(out);
    }

    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        self.back.read(from)
    }
}
