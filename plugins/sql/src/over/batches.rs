//! The batches whose points wait: what their rows settle, and copies of points for `*`.

use headwater_plugin_api::batch::layout::Row as BatchRow;
use headwater_plugin_api::batch::{Batch, PointRef};
use headwater_plugin_api::plugin::Delivery;

use super::ready::Row;
use crate::emit::{Base, Emitter};

/// A batch some of whose points wait.
#[derive(Default)]
struct Source {
    delivery: Option<Delivery>,
    /// How many of its points wait.
    left: usize,
    /// Copies of its points, one after the other.
    copies: Vec<Batch>,
    copied: u32,
    /// The emission that touched it last.
    touched: u64,
}

#[derive(Default)]
pub struct Batches {
    list: Vec<Source>,
    free: Vec<u32>,
    /// The batch at hand, once a point of it waits.
    current: Option<u32>,
    emissions: u64,
    copier: Emitter,
}

impl Batches {
    /// The number of the batch at hand. Its rows settle what it came with.
    pub fn current(&mut self, delivery: Option<&Delivery>) -> u32 {
        if let Some(current) = self.current {
            return current;
        }
        let current = self.free.pop().unwrap_or_else(|| {
            self.list.push(Source::default());
            self.list.len() as u32 - 1
        });
        self.list[current as usize].delivery = delivery.cloned();
        self.current = Some(current);
        current
    }

    /// Another batch comes.
    pub fn next(&mut self) {
        if let Some(current) = self.current.take() {
            self.give_up(current);
        }
    }

    /// So many more points of the batch wait.
    pub fn hold(&mut self, number: u32, points: usize) {
        self.list[number as usize].left += points;
    }

    /// Copies points; the place of each copy.
    pub fn keep<'p>(
        &mut self,
        number: u32,
        points: impl Iterator<Item = PointRef<'p>>,
    ) -> Vec<u32> {
        let source = &mut self.list[number as usize];
        let mut places = Vec::new();
        let mut rows = self.copier.rows(&[]);
        for point in points {
            let base = Base { name: point.series().name(), time: point.time(), star: Some(point) };
            let copied = rows.row(base, 0, &mut source.copies);
            places.push(if copied { source.copied } else { u32::MAX });
            source.copied += u32::from(copied);
        }
        self.copier.finish(&mut source.copies);
        places
    }

    /// A copy of a point.
    pub fn copy(&self, number: u32, copy: u32) -> Option<(&Batch, &BatchRow)> {
        let mut at = copy as usize;
        for batch in &self.list.get(number as usize)?.copies {
            let rows = batch.tables().rows();
            match rows.get(at) {
                Some(row) => return Some((batch, row)),
                None => at -= rows.len(),
            }
        }
        None
    }

    /// Gives the batches of rows what their points came with.
    pub fn settle<'r>(
        &mut self,
        rows: impl Iterator<Item = &'r Row>,
        made: &mut [Batch],
        origin: u64,
    ) {
        self.emissions += 1;
        let mut touched = Vec::new();
        for row in rows {
            let Some(source) = self.list.get_mut(row.batch as usize) else { continue };
            source.left = source.left.saturating_sub(1);
            if source.touched != self.emissions {
                source.touched = self.emissions;
                touched.push(row.batch);
            }
        }
        let mut deliveries = Vec::new();
        for number in touched {
            let source = &mut self.list[number as usize];
            deliveries.extend(match source.left {
                0 if self.current != Some(number) => source.delivery.take(),
                _ => source.delivery.clone(),
            });
            self.give_up(number);
        }
        let mut delivery = Delivery::join(deliveries);
        let count = made.len();
        for (at, batch) in made.iter_mut().enumerate() {
            batch.set_origin(origin);
            let last = at + 1 == count;
            batch.set_delivery(if last { delivery.take() } else { delivery.clone() });
        }
    }

    /// Forgets a batch none of whose points waits.
    fn give_up(&mut self, number: u32) {
        let source = &mut self.list[number as usize];
        if source.left == 0 && self.current != Some(number) {
            *source = Source::default();
            self.free.push(number);
        }
    }

    pub fn byte_size(&self) -> usize {
        let copies = self.list.iter().flat_map(|source| &source.copies).map(Batch::byte_size);
        self.list.capacity() * size_of::<Source>()
            + self.free.capacity() * 4
            + copies.sum::<usize>()
    }

    /// Gives memory back once nothing waits.
    pub fn release(&mut self) {
        self.next();
        if self.free.len() == self.list.len() {
            *self = Batches { emissions: self.emissions, ..Batches::default() };
        }
    }
}
