//! The time axis cut into windows of one size.

/// A half-open stretch of time, in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first nanosecond.
    pub start: i64,
    /// The first nanosecond behind it.
    pub end: i64,
}

/// Windows of `size`, aligned to the epoch plus `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    size: i64,
    /// In `0..size`.
    offset: i64,
}

impl Grid {
    /// A grid of windows of `size` nanoseconds; a size below one counts as one.
    pub fn new(size: i64, offset: i64) -> Self {
        let size = size.max(1);
        Grid { size, offset: offset.rem_euclid(size) }
    }

    /// Nanoseconds of a window.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// The number of the window that holds `time`.
    #[inline]
    pub fn index(&self, time: i64) -> i64 {
        (i128::from(time) - i128::from(self.offset)).div_euclid(i128::from(self.size)) as i64
    }

    /// The window of that number. At the ends of representable time it is cut off there.
    pub fn span(&self, index: i64) -> Span {
        let start = i128::from(index) * i128::from(self.size) + i128::from(self.offset);
        Span { start: clamp(start), end: clamp(start + i128::from(self.size)) }
    }
}

pub(super) fn clamp(time: i128) -> i64 {
    time.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_half_open_and_aligned() {
        let grid = Grid::new(10, 0);
        for (time, index) in [(0, 0), (9, 0), (10, 1), (-1, -1), (-10, -1), (-11, -2)] {
            assert_eq!(grid.index(time), index, "{time}");
        }
        assert_eq!(grid.span(-1), Span { start: -10, end: 0 });
        let shifted = Grid::new(10, 13);
        assert_eq!(shifted.index(2), -1);
        assert_eq!(shifted.index(3), 0);
        assert_eq!(shifted.span(0), Span { start: 3, end: 13 });
        assert_eq!(Grid::new(10, -7), shifted);
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for size in [1, 7, i64::MAX] {
            let grid = Grid::new(size, size - 1);
            for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
                let span = grid.span(grid.index(time));
                assert!(span.start <= time && (time < span.end || span.end == i64::MAX));
            }
        }
    }
}
