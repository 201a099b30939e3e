//! Which windows were emitted: a bounded, sorted list of ranges of window numbers.

use super::codec::{Broken, Read, Reader, put, put_time};

/// Ranges of window numbers, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    list: Vec<(i64, i64)>,
    max: usize,
}

impl Ranges {
    /// How many ranges are kept unless told otherwise: 16 KiB.
    pub const MAX: usize = 1024;

    /// Remembers at most `max` ranges. When there is one more, the two oldest become one: what lies
    /// between them counts as emitted from then on, for a window that comes twice does more harm
    /// than a late point.
    pub fn new(max: usize) -> Self {
        Ranges { list: Vec::new(), max: max.max(1) }
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.list.iter().copied()
    }

    /// Whether the window was emitted.
    pub fn contains(&self, index: i64) -> bool {
        let at = self.list.partition_point(|range| range.1 < index);
        self.list.get(at).is_some_and(|range| range.0 <= index)
    }

    /// Remembers a window.
    pub fn insert(&mut self, index: i64) {
        self.insert_range(index, index);
    }

    /// Remembers a range of windows.
    pub fn insert_range(&mut self, first: i64, last: i64) {
        let (mut first, mut last) = (first, last.max(first));
        // All ranges that touch the new one become part of it.
        let from = self.list.partition_point(|range| range.1 < first.saturating_sub(1));
        let to = self.list.partition_point(|range| range.0 <= last.saturating_add(1));
        for range in &self.list[from..to] {
            first = first.min(range.0);
            last = last.max(range.1);
        }
        self.list.splice(from..to, [(first, last)]);
        if self.list.len() > self.max {
            self.list[1].0 = self.list[0].0;
            self.list.remove(0);
        }
    }

    /// Writes the ranges.
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.list.len() as u64);
        for (first, last) in &self.list {
            put_time(out, *first);
            put_time(out, *last);
        }
    }

    /// Reads ranges where there are none.
    ///
    /// # Errors
    /// They are not ascending, or too many.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        let count = from.count(16)?;
        if count > self.max {
            return Err(Broken);
        }
        for _ in 0..count {
            let (first, last) = (from.time()?, from.time()?);
            let follows = self.list.last().is_none_or(|before| before.1 < first);
            if first > last || !follows {
                return Err(Broken);
            }
            self.list.push((first, last));
        }
        Ok(())
    }
}

impl Default for Ranges {
    fn default() -> Self {
        Ranges::new(Self::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(windows: &[i64], max: usize) -> Vec<(i64, i64)> {
        let mut ranges = Ranges::new(max);
        windows.iter().for_each(|&w| ranges.insert(w));
        ranges.iter().collect()
    }

    #[test]
    fn neighbours_become_one_range() {
        assert_eq!(of(&[1, 2, 3], 9), [(1, 3)]);
        assert_eq!(of(&[3, 1, 2], 9), [(1, 3)]);
        assert_eq!(of(&[1, 3, 5], 9), [(1, 1), (3, 3), (5, 5)]);
        assert_eq!(of(&[1, 5, 3, 4, 2, 2], 9), [(1, 5)]);
        assert_eq!(
            of(&[i64::MAX, i64::MIN, i64::MAX - 1], 9),
            [(i64::MIN, i64::MIN), (i64::MAX - 1, i64::MAX)]
        );
    }

    #[test]
    fn holds_what_was_inserted_and_nothing_else() {
        let mut ranges = Ranges::default();
        for w in [10, 12, 11, 20] {
            ranges.insert(w);
        }
        for w in 0..30 {
            assert_eq!(ranges.contains(w), matches!(w, 10..=12 | 20), "{w}");
        }
    }

    #[test]
    fn the_oldest_gap_is_given_up_when_there_are_too_many() {
        assert_eq!(of(&[1, 10, 20, 30], 3), [(1, 10), (20, 20), (30, 30)]);
        assert_eq!(of(&[30, 20, 10, 1], 3), [(1, 10), (20, 20), (30, 30)]);
    }
}
