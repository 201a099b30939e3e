//! Rows in the order of their times. Most come in order, which costs next to nothing.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// A row that is held. Their order is that of their times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub time: i64,
    /// The clock when it came.
    pub came: i64,
    pub row: u32,
    /// The number of its key, or [`NO_GROUP`](crate::statement::NO_GROUP).
    pub group: u32,
}

/// Rows by time.
#[derive(Debug, Default)]
pub struct Queue {
    sorted: VecDeque<Entry>,
    others: BinaryHeap<Reverse<Entry>>,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty() && self.others.is_empty()
    }

    pub fn len(&self) -> usize {
        self.sorted.len() + self.others.len()
    }

    pub fn byte_size(&self) -> usize {
        (self.sorted.capacity() + self.others.capacity()) * size_of::<Entry>()
    }

    #[inline]
    pub fn push(&mut self, entry: Entry) {
        match self.sorted.back() {
            Some(last) if last.time > entry.time => self.others.push(Reverse(entry)),
            _ => self.sorted.push_back(entry),
        }
    }

    /// The earliest.
    #[inline]
    pub fn first(&self) -> Option<&Entry> {
        match (self.sorted.front(), self.others.peek()) {
            (Some(a), Some(Reverse(b))) => Some(if b.time < a.time { b } else { a }),
            (a, b) => a.or(b.map(|Reverse(entry)| entry)),
        }
    }

    /// Takes the earliest.
    #[inline]
    pub fn pop(&mut self) -> Option<Entry> {
        let from_others = match (self.sorted.front(), self.others.peek()) {
            (Some(a), Some(Reverse(b))) => b.time < a.time,
            (a, _) => a.is_none(),
        };
        if from_others {
            self.others.pop().map(|Reverse(entry)| entry)
        } else {
            self.sorted.pop_front()
        }
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.sorted.iter().chain(self.others.iter().map(|Reverse(entry)| entry))
    }

    /// Changes the groups' numbers.
    pub fn renumber(&mut self, number: impl Fn(u32) -> u32) {
        self.sorted.iter_mut().for_each(|entry| entry.group = number(entry.group));
        // Their order is that of the times.
        let others = std::mem::take(&mut self.others).into_vec();
        let renumbered = others.into_iter().map(|Reverse(mut entry)| {
            entry.group = number(entry.group);
            Reverse(entry)
        });
        self.others = renumbered.collect();
    }

    /// Gives back memory that it has no use for.
    pub fn shrink(&mut self) {
        self.sorted.shrink_to(self.sorted.len() * 2);
        self.others.shrink_to(self.others.len() * 2);
    }
}
