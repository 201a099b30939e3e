//! What a statement knows of each series, by numbers that all statements share which read the same
//! batch.

use headwater_plugin_api::batch::{Batch, SeriesRef};
use headwater_plugin_api::window::SeriesNumbers;

/// Values by the numbers of one table.
struct Values<T> {
    list: Vec<T>,
    /// Which of them were made; the others stand for series that did not come since.
    made: Vec<bool>,
    filled: usize,
    /// The table's.
    epoch: u64,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Values { list: Vec::new(), made: Vec::new(), filled: 0, epoch: 0 }
    }
}

impl<T: Default> Values<T> {
    fn byte_size(&self) -> usize {
        self.list.capacity() * size_of::<T>() + self.made.capacity()
    }

    /// Values for all numbers below `len`; those that have none yet get one.
    #[inline]
    fn fill(
        &mut self,
        (epoch, len): (u64, usize),
        numbers: &[u32],
        batch: &Batch,
        make: impl FnMut(&SeriesRef<'_>) -> T,
    ) {
        if self.epoch != epoch || self.filled != len {
            self.make((epoch, len), numbers, batch, make);
        }
    }

    #[cold]
    fn make(
        &mut self,
        (epoch, len): (u64, usize),
        numbers: &[u32],
        batch: &Batch,
        mut make: impl FnMut(&SeriesRef<'_>) -> T,
    ) {
        if self.epoch != epoch {
            if self.list.capacity() > SeriesNumbers::MAX + SeriesNumbers::MAX / 2 {
                (self.list, self.made) = (Vec::new(), Vec::new());
            }
            self.list.clear();
            self.made.clear();
            (self.filled, self.epoch) = (0, epoch);
        }
        if self.list.len() < len {
            let more = len - self.list.len();
            if self.list.capacity() < len {
                let more = more.max(self.list.len() / 4).max(16);
                self.list.reserve_exact(more);
                self.made.reserve_exact(more);
            }
            self.list.resize_with(len, T::default);
            self.made.resize(len, false);
        }
        for (index, number) in numbers.iter().enumerate() {
            let number = *number as usize;
            if !std::mem::replace(&mut self.made[number], true) {
                self.list[number] = make(&batch.series(index as u32));
                self.filled += 1;
            }
        }
    }
}

/// What a statement knows of each series.
///
/// Batches that all statements read come with numbers; those of other statements' rows get numbers of
/// the statement's own.
pub struct SeriesValues<T> {
    own: SeriesNumbers,
    /// Values of series of the batch at hand, and of the other kind of batches.
    values: Values<T>,
    others: Values<T>,
    /// The numbers of the batch at hand, by the index in its table.
    numbers: Vec<u32>,
    /// `values` goes by shared numbers.
    shared: bool,
    /// Epoch and length of the shared table, while the batch at hand is one that came with numbers.
    lent: Option<(u64, usize)>,
}

impl<T> Default for SeriesValues<T> {
    fn default() -> Self {
        SeriesValues {
            own: SeriesNumbers::default(),
            values: Values::default(),
            others: Values::default(),
            numbers: Vec::new(),
            shared: false,
            lent: None,
        }
    }
}

impl<T: Default> SeriesValues<T> {
    /// The batch at hand comes with numbers; [`give_back`](Self::give_back) must follow.
    pub fn lend(&mut self, from: &mut SeriesNumbers) {
        self.lent = Some((from.epoch(), from.len()));
        std::mem::swap(&mut self.numbers, from.numbers_mut());
    }

    /// Gives the numbers back.
    pub fn give_back(&mut self, to: &mut SeriesNumbers) {
        self.lent = None;
        std::mem::swap(&mut self.numbers, to.numbers_mut());
    }

    /// Looks up all series of a batch; `make` works out the value of one that is new.
    pub fn prepare(&mut self, batch: &Batch, make: impl FnMut(&SeriesRef<'_>) -> T) {
        if self.shared != self.lent.is_some() {
            std::mem::swap(&mut self.values, &mut self.others);
            self.shared = self.lent.is_some();
        }
        let known = self.lent.unwrap_or_else(|| {
            std::mem::swap(&mut self.numbers, self.own.numbers_mut());
            self.own.prepare(batch, |_| {});
            std::mem::swap(&mut self.numbers, self.own.numbers_mut());
            (self.own.epoch(), self.own.len())
        });
        self.values.fill(known, &self.numbers, batch, make);
    }

    /// Forgets everything and gives the memory back.
    pub fn release(&mut self) {
        self.own.release();
        (self.values, self.others) = (Values::default(), Values::default());
        // Numbers that are lent belong to somebody else.
        if self.lent.is_none() {
            self.numbers = Vec::new();
        }
    }

    /// Bytes of memory held, without what the values own.
    pub fn byte_size(&self) -> usize {
        let values = self.values.byte_size() + self.others.byte_size();
        self.own.byte_size() + values + self.numbers.capacity() * 4
    }

    /// The values of all series of the batch at hand, in the order of its table.
    pub fn batch_values(&self) -> impl Iterator<Item = Option<&T>> {
        self.numbers.iter().map(|number| self.values.list.get(*number as usize))
    }

    /// The value of a series of the batch at hand, by its index there.
    #[inline]
    pub fn value(&self, index: u32) -> Option<&T> {
        let number = *self.numbers.get(index as usize)?;
        self.values.list.get(number as usize)
    }

    /// As [`value`](Self::value), to be changed.
    #[inline]
    pub fn value_mut(&mut self, index: u32) -> Option<&mut T> {
        let number = *self.numbers.get(index as usize)?;
        self.values.list.get_mut(number as usize)
    }

    /// All values that are remembered, to be changed.
    pub fn each_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.list.iter_mut().chain(&mut self.others.list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;

    fn batch(hosts: std::ops::Range<usize>) -> Batch {
        let mut builder = BatchBuilder::default();
        for host in hosts {
            let host = host.to_string();
            builder.point("m").tag("host", &host).field("f", 1.0).finish(0).unwrap();
        }
        builder.finish().unwrap()
    }

    /// Looks a batch up; how many values were made.
    fn look(
        values: &mut SeriesValues<String>,
        shared: Option<&mut SeriesNumbers>,
        hosts: std::ops::Range<usize>,
    ) -> usize {
        let (batch, mut made) = (batch(hosts), 0);
        let mut lender = shared;
        if let Some(shared) = &mut lender {
            shared.prepare(&batch, |_| {});
            values.lend(shared);
        }
        values.prepare(&batch, |series| {
            made += 1;
            series.tag("host").unwrap().to_owned()
        });
        for row in batch.points() {
            let host = values.value(row.row().series).unwrap();
            assert_eq!(Some(host.as_str()), row.series().tag("host"));
        }
        if let Some(shared) = &mut lender {
            values.give_back(shared);
        }
        made
    }

    #[test]
    fn a_value_is_made_once_whoever_numbers_the_series() {
        let mut shared = SeriesNumbers::default();
        let (mut a, mut b) = (SeriesValues::default(), SeriesValues::default());
        assert_eq!(look(&mut a, Some(&mut shared), 0..10), 10);
        assert_eq!(look(&mut a, None, 5..15), 10);
        assert_eq!(look(&mut a, Some(&mut shared), 5..15), 5);
        assert_eq!(look(&mut a, None, 0..15), 5);
        // One that comes later meets what is numbered already.
        assert_eq!(look(&mut b, Some(&mut shared), 12..13), 1);
        assert_eq!(look(&mut b, Some(&mut shared), 0..15), 14);
        b.each_mut().for_each(|value| assert!(value.parse::<usize>().is_ok()));
        assert_eq!(a.each_mut().count(), 30);
        a.release();
        assert_eq!(a.byte_size(), 0);
        assert_eq!(look(&mut a, Some(&mut shared), 3..4), 1);
    }

    #[test]
    fn numbers_that_became_void_are_not_believed() {
        let mut shared = SeriesNumbers::default();
        let mut values = SeriesValues::default();
        for start in (0..60_000).step_by(1000) {
            look(&mut values, Some(&mut shared), start..start + 1000);
            look(&mut values, None, start..start + 1000);
        }
        assert!(values.byte_size() < 8 << 20, "{}", values.byte_size());
        shared.release();
        assert_eq!(look(&mut values, Some(&mut shared), 7..9), 2);
    }
}
