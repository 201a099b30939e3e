//! What an operator knows of each series, worked out once and found again by the producer's hint.

use super::groups::{Groups, reserve};
use crate::batch::{Batch, SeriesRef};

/// A bounded table from series to dense numbers, for several that keep values of their own by them.
///
/// It holds at most [`SeriesNumbers::MAX`] series, or those of one batch if they are more, and forgets
/// all of them when others come: the [`epoch`](Self::epoch) is another one then.
pub struct SeriesNumbers {
    series: Groups,
    /// Number in `series` plus one, by the hint as it stands in the table of series: 0 is none.
    by_hint: Vec<u32>,
    /// Number in `series` by the index in the batch at hand.
    numbers: Vec<u32>,
    epoch: u64,
}

impl Default for SeriesNumbers {
    fn default() -> Self {
        SeriesNumbers {
            series: Groups::new(u32::MAX),
            by_hint: Vec::new(),
            numbers: Vec::new(),
            epoch: 0,
        }
    }
}

impl SeriesNumbers {
    /// How many series are remembered.
    pub const MAX: usize = 1 << 14;
    /// Bytes of series beyond which they are forgotten, however few they are.
    pub const MAX_BYTES: usize = 1 << 24;

    /// Number of series that are remembered: all numbers lie below.
    #[inline]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Another one after numbers became void.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Forgets all series. The memory is kept, but for what one large batch needed.
    pub fn clear(&mut self) {
        if self.series.capacity() > Self::MAX + Self::MAX / 2
            || self.series.byte_size() > Self::MAX_BYTES
        {
            return self.release();
        }
        self.series.clear();
        self.by_hint.clear();
        self.numbers.clear();
        self.epoch += 1;
    }

    /// Forgets all series and gives the memory back.
    pub fn release(&mut self) {
        *self = SeriesNumbers { epoch: self.epoch + 1, ..SeriesNumbers::default() };
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        self.series.byte_size() + (self.by_hint.capacity() + self.numbers.capacity()) * 4
    }

    /// Looks up all series of a batch; `new` hears of each that got a number, in their order. Whether
    /// all that was known before is void.
    pub fn prepare(&mut self, batch: &Batch, mut new: impl FnMut(&SeriesRef<'_>)) -> bool {
        let count = batch.series_count();
        let voids = self.series.len() + count > Self::MAX && self.series.len() > Self::MAX / 2
            || self.series.byte_size() > Self::MAX_BYTES;
        if voids {
            self.clear();
        }
        let tables = batch.series_table();
        let (entries, arena) = (tables.series(), tables.arena());
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        numbers.reserve(count);
        for (index, entry) in entries.iter().enumerate() {
            // The fast path looks at the entry itself: most series were met before.
            let start = entry.text as usize;
            let key = arena.get(start..start + entry.key_len as usize).unwrap_or_default();
            let hinted = self.by_hint.get(entry.hint as usize).copied().unwrap_or(0);
            numbers.push(match hinted.checked_sub(1) {
                Some(number) if self.series.is(number, entry.hash, key) => number,
                _ => self.resolve(&batch.series(index as u32), entry.hint, &mut new),
            });
        }
        self.numbers = numbers;
        voids
    }

    fn resolve(
        &mut self,
        series: &SeriesRef<'_>,
        hint: u32,
        new: &mut impl FnMut(&SeriesRef<'_>),
    ) -> u32 {
        let key = series.key().as_bytes();
        let number = match self.series.find(series.hash(), key) {
            Some(number) => number,
            None => {
                new(series);
                // The table has no bound of its own but 4 GiB of keys, which `prepare` rules out.
                self.series.intern(series.hash(), key).unwrap_or_default()
            }
        };
        let hint = hint as usize;
        if (1..Self::MAX * 4).contains(&hint) {
            if self.by_hint.len() <= hint {
                self.by_hint.resize(hint + 1, 0);
            }
            self.by_hint[hint] = number + 1;
        }
        number
    }

    /// The numbers of the series of the batch at hand, in the order of its table. Whoever takes the
    /// list to look at it gives it back.
    pub fn numbers_mut(&mut self) -> &mut Vec<u32> {
        &mut self.numbers
    }
}

/// A bounded table from series to a value of the operator's: a verdict, a group number.
///
/// It holds as many as [`SeriesNumbers`] and forgets all of them when others come: what is in it must
/// be derivable from the series.
pub struct SeriesCache<T> {
    table: SeriesNumbers,
    values: Vec<T>,
}

impl<T> Default for SeriesCache<T> {
    fn default() -> Self {
        SeriesCache { table: SeriesNumbers::default(), values: Vec::new() }
    }
}

impl<T> SeriesCache<T> {
    /// How many series are remembered.
    pub const MAX: usize = SeriesNumbers::MAX;

    /// Forgets everything: to be called when the values become void. The memory is kept, but for
    /// what one large batch needed.
    pub fn clear(&mut self) {
        self.table.clear();
        self.values.clear();
        self.shrink();
    }

    /// Forgets everything and gives the memory back: to be called when no more batches come.
    pub fn release(&mut self) {
        *self = SeriesCache::default();
    }

    /// Bytes of memory held, without what the values own.
    pub fn byte_size(&self) -> usize {
        self.table.byte_size() + self.values.capacity() * size_of::<T>()
    }

    /// Looks up all series of a batch; `make` works out the value of one that is new. From then on
    /// [`number`](Self::number) and [`value`](Self::value) speak of that batch.
    pub fn prepare(&mut self, batch: &Batch, mut make: impl FnMut(&SeriesRef<'_>) -> T) {
        let mut values = std::mem::take(&mut self.values);
        let known = values.len();
        let voids = self.table.prepare(batch, |series| {
            reserve(&mut values, 1);
            values.push(make(series));
        });
        self.values = values;
        if voids {
            self.values.drain(..known);
            self.shrink();
        }
    }

    /// Gives back what one large batch needed.
    fn shrink(&mut self) {
        if self.values.capacity() > Self::MAX + Self::MAX / 2 {
            self.values.shrink_to_fit();
        }
    }

    /// The cache's number for a series of the batch at hand.
    #[inline]
    pub fn number(&self, index: u32) -> Option<usize> {
        self.table.numbers.get(index as usize).map(|&number| number as usize)
    }

    /// The values of all series of the batch at hand, in the order of its table.
    pub fn batch_values(&self) -> impl Iterator<Item = Option<&T>> {
        self.table.numbers.iter().map(|number| self.values.get(*number as usize))
    }

    /// The value of a series of the batch at hand, by its index there.
    #[inline]
    pub fn value(&self, index: u32) -> Option<&T> {
        self.values.get(self.number(index)?)
    }

    /// As [`value`](Self::value), to be changed.
    #[inline]
    pub fn value_mut(&mut self, index: u32) -> Option<&mut T> {
        let number = self.number(index)?;
        self.values.get_mut(number)
    }

    /// All values that are remembered, to be changed.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;

    fn batch(hosts: std::ops::Range<usize>) -> Batch {
        let mut builder = BatchBuilder::default();
        for host in hosts {
            let host = host.to_string();
            builder.point("m").tag("host", &host).field("f", 1.0).finish(0).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn a_value_is_made_once() {
        let mut cache = SeriesCache::default();
        let mut made = 0;
        for batch in [batch(0..10), batch(5..15), batch(0..15)] {
            cache.prepare(&batch, |series| {
                made += 1;
                series.tag("host").unwrap().to_owned()
            });
            for row in batch.points() {
                let host = cache.value(row.row().series).unwrap();
                assert_eq!(Some(host.as_str()), row.series().tag("host"));
            }
        }
        assert_eq!(made, 15);
    }

    #[test]
    fn numbers_are_dense_until_the_epoch_ends() {
        let mut table = SeriesNumbers::default();
        let mut made = 0;
        assert!(!table.prepare(&batch(0..10), |_| made += 1));
        assert!(!table.prepare(&batch(5..15), |_| made += 1));
        assert_eq!((made, table.len(), table.epoch()), (15, 15, 0));
        assert_eq!(table.numbers_mut()[..], (5..15).collect::<Vec<u32>>());
        table.release();
        table.prepare(&batch(5..7), |_| made += 1);
        assert_eq!((table.len(), table.epoch()), (2, 1));
        assert_eq!(table.numbers_mut()[..], [0, 1]);
    }

    #[test]
    fn long_keys_are_bounded_in_bytes() {
        let mut table = SeriesNumbers::default();
        let mut builder = BatchBuilder::default();
        let long = "x".repeat(60_000);
        for host in 0..1000 {
            let host = format!("{host}{long}");
            builder.point("m").tag("host", &host).field("f", 1.0).finish(0).unwrap();
            table.prepare(&builder.finish().unwrap(), |_| {});
            assert!(table.byte_size() < SeriesNumbers::MAX_BYTES * 3 / 2, "{}", table.byte_size());
        }
        assert!(table.epoch() > 2);
    }

    #[test]
    fn it_is_bounded() {
        let mut cache = SeriesCache::default();
        for start in (0..100_000).step_by(1000) {
            cache.prepare(&batch(start..start + 1000), |_| 0_u8);
        }
        assert!(cache.values.len() <= SeriesCache::<u8>::MAX);
        assert!(cache.byte_size() < 4 << 20);
    }

    #[test]
    fn what_a_large_batch_needed_is_given_back() {
        let mut cache = SeriesCache::default();
        cache.prepare(&batch(0..60_000), |_| 0_u64);
        assert!(cache.byte_size() > 2 << 20);
        cache.prepare(&batch(0..10), |_| 0);
        assert!(cache.byte_size() < 4096, "{}", cache.byte_size());
        assert_eq!(cache.values_mut().len(), 10);
        cache.release();
        assert_eq!(cache.byte_size(), 0);
    }
}
