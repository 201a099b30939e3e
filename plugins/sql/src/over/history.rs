//! The rows that frames look back at.

use std::collections::VecDeque;

use headwater_plugin_api::window::codec::{Broken, Read, Reader, put, put_time};

use crate::accumulate::held::Held;

/// What stands for a value where all rows count.
const ROW: Held = Held::Bool(true);

/// The last rows of a run, in flat arrays. Rows are numbered from the run's first.
#[derive(Default)]
pub struct History {
    /// The number of the first row that is kept.
    pub base: u64,
    pub times: VecDeque<i64>,
    /// The kept inputs of each row, one row behind the other.
    pub values: VecDeque<Held>,
    /// Bytes of texts.
    pub heap: usize,
}

/// A frame's rows, of one input.
pub struct View<'h> {
    pub history: &'h History,
    pub stride: usize,
    /// Where the input stands in a row; none if it is not kept.
    pub column: Option<usize>,
    /// The number of the first row and of the one behind the last.
    pub start: u64,
    pub end: u64,
}

impl View<'_> {
    /// The value of a row.
    pub fn get(&self, row: u64) -> &Held {
        let Some(column) = self.column else { return &ROW };
        let at = row.saturating_sub(self.history.base) as usize * self.stride + column;
        self.history.values.get(at).unwrap_or(&Held::None)
    }

    pub fn time(&self, row: u64) -> i64 {
        let at = row.saturating_sub(self.history.base) as usize;
        self.history.times.get(at).copied().unwrap_or_default()
    }

    pub fn first(&self) -> &Held {
        self.get(self.start)
    }
}

impl History {
    pub fn push(&mut self, value: Held) {
        self.heap += value.heap();
        self.values.push_back(value);
    }

    /// Gives up rows below that number.
    pub fn trim(&mut self, start: u64, stride: usize) {
        let gone = (start.saturating_sub(self.base) as usize).min(self.times.len());
        if gone == 0 {
            return;
        }
        self.times.drain(..gone);
        let heap: usize = self.values.drain(..gone * stride).map(|held| held.heap()).sum();
        self.heap -= heap;
        self.base += gone as u64;
        if self.times.capacity() > 64 && self.times.len() * 4 < self.times.capacity() {
            self.times.shrink_to(self.times.len() * 2);
            self.values.shrink_to(self.values.len() * 2);
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.times.len() as u64);
        self.times.iter().for_each(|time| put_time(out, *time));
        self.values.iter().for_each(|held| held.write(out));
    }

    /// Reads the last of so many rows.
    pub fn read(&mut self, stride: usize, rows: u64, from: &mut Reader<'_>) -> Read<()> {
        let count = from.count(8 + stride)?;
        self.base = rows.checked_sub(count as u64).ok_or(Broken)?;
        for _ in 0..count {
            let time = from.time()?;
            if self.times.back().is_some_and(|last| *last > time) {
                return Err(Broken);
            }
            self.times.push_back(time);
        }
        for _ in 0..count * stride {
            self.push(Held::read(from)?);
        }
        Ok(())
    }

    /// Gives back memory that nothing needs.
    pub fn shrink(&mut self) {
        self.times.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    pub fn byte_size(&self) -> usize {
        self.times.capacity() * 8 + self.values.capacity() * size_of::<Held>() + self.heap
    }
}
