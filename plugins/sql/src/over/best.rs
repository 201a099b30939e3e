//! The least, greatest, first or last value of a frame: a queue of the rows that may still win. A row
//! that enters drives out those before it that are no better, for they leave first; the winner stands
//! in front.

use std::cmp::Ordering;
use std::collections::VecDeque;

use headwater_plugin_api::window::codec::{Broken, Read, Reader, put, put_time};

use super::history::View;
use super::slide::int;
use crate::accumulate::held::Held;
use crate::error::Failures;
use crate::vector::Cell;

/// What is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Least,
    Greatest,
    /// By time; of equal times the greatest value.
    First,
    Last,
}

pub struct Best {
    order: Order,
    /// Rows leave: winners stand in the queue, by number.
    bounded: bool,
    queue: VecDeque<u64>,
    /// The winner of a frame that no row leaves, with its time.
    winner: (i64, Held),
    /// What else is in the frame.
    numbers: u64,
    floats: u64,
    unsigned: u64,
    texts: u64,
}

impl Best {
    pub fn new(order: Order, bounded: bool) -> Best {
        Best {
            order,
            bounded,
            queue: VecDeque::new(),
            winner: (0, Held::None),
            numbers: 0,
            floats: 0,
            unsigned: 0,
            texts: 0,
        }
    }

    pub fn byte_size(&self) -> usize {
        self.queue.capacity() * 8 + self.winner.1.heap()
    }

    fn by_value(&self) -> bool {
        matches!(self.order, Order::Least | Order::Greatest)
    }

    /// Whether a value counts.
    fn counts(&self, value: &Held) -> bool {
        match value {
            Held::None => false,
            Held::Bool(_) => !self.by_value(),
            _ => true,
        }
    }

    /// Counts what enters (1) or leaves (-1).
    fn note(&mut self, value: &Held, by: i64) {
        let add = |count: &mut u64| *count = count.saturating_add_signed(by);
        match value {
            Held::Text(_) => add(&mut self.texts),
            Held::Float(_) => {
                add(&mut self.numbers);
                add(&mut self.floats);
            }
            Held::UInt(_) => {
                add(&mut self.numbers);
                add(&mut self.unsigned);
            }
            _ => add(&mut self.numbers),
        }
    }

    /// Whether a later row with this value makes an earlier one with the other superfluous.
    fn beats(&self, (time, value): (i64, &Held), (other_time, other): (i64, &Held)) -> bool {
        let by_value = match (value, other) {
            // Numbers count before texts.
            (Held::Text(_), Held::Text(_)) => value.order(other.cell()),
            (Held::Text(_), _) if self.by_value() => return false,
            (_, Held::Text(_)) if self.by_value() => return true,
            _ => value.order(other.cell()),
        };
        match self.order {
            Order::Least => by_value.is_le(),
            Order::Greatest => by_value.is_ge(),
            Order::First => match time.cmp(&other_time) {
                Ordering::Less => true,
                Ordering::Equal => by_value.is_ge(),
                Ordering::Greater => false,
            },
            Order::Last => match time.cmp(&other_time) {
                Ordering::Greater => true,
                Ordering::Equal => by_value.is_ge(),
                Ordering::Less => false,
            },
        }
    }

    pub fn push(&mut self, value: &Held, time: i64, view: &View<'_>, failures: &mut Failures) {
        if !self.counts(value) {
            failures.kinds += u64::from(*value != Held::None);
            return;
        }
        self.note(value, 1);
        if !self.bounded {
            let (old_time, old) = &self.winner;
            if *old == Held::None || self.beats((time, value), (*old_time, old)) {
                self.winner = (time, value.clone());
            }
            return;
        }
        while let Some(last) = self.queue.back()
            && self.beats((time, value), (view.time(*last), view.get(*last)))
        {
            self.queue.pop_back();
        }
        self.queue.push_back(view.end.saturating_sub(1));
    }

    pub fn evict(&mut self, value: &Held, view: &View<'_>) {
        if !self.counts(value) {
            return;
        }
        self.note(value, -1);
        while self.queue.front().is_some_and(|first| *first <= view.start) {
            self.queue.pop_front();
        }
    }

    pub fn result(&self, view: &View<'_>, failures: &mut Failures) -> Held {
        let winner = match (self.bounded, self.queue.front()) {
            (false, _) => &self.winner.1,
            (true, Some(row)) => view.get(*row),
            (true, None) => return Held::None,
        };
        if !self.by_value() {
            return winner.clone();
        }
        if self.numbers > 0 && self.texts > 0 {
            failures.kinds += 1;
        }
        match winner {
            Held::Int(_) | Held::UInt(_) if self.floats > 0 => Held::Float(int(winner) as f64),
            Held::Int(_) => Held::of(Cell::Int(int(winner), self.unsigned > 0)),
            other => other.clone(),
        }
    }

    /// Writes a frame that no row leaves.
    pub fn write(&self, out: &mut Vec<u8>) {
        [self.numbers, self.floats, self.unsigned, self.texts].iter().for_each(|n| put(out, *n));
        put_time(out, self.winner.0);
        self.winner.1.write(out);
    }

    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        for count in [&mut self.numbers, &mut self.floats, &mut self.unsigned, &mut self.texts] {
            *count = from.number()?;
        }
        self.winner = (from.time()?, Held::read(from)?);
        let some = self.numbers > 0 || self.texts > 0;
        if some != (self.winner.1 != Held::None) { Err(Broken) } else { Ok(()) }
    }
}
