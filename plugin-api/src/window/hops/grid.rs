//! The time axis cut into panes, so that overlapping windows are made of whole panes.

use std::ops::Range;

use crate::window::grid::{Span, clamp};

/// Windows of `size` that begin every `slide`, aligned to the epoch.
///
/// Panes are cut where windows begin and where they end: one pane for each slide where the size is a
/// multiple of it, else two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HopGrid {
    slide: i64,
    size: i64,
    /// Where windows end within a slide; 0 where they end with it.
    cut: i64,
    /// Panes of a slide.
    per_slide: i64,
    /// Panes of a window.
    panes: i64,
}

impl HopGrid {
    /// A grid of windows of `size` nanoseconds every `slide`; a slide below one counts as one, a size
    /// below the slide as the slide.
    pub fn new(slide: i64, size: i64) -> Self {
        let slide = slide.max(1);
        let size = size.max(slide);
        let cut = size % slide;
        let per_slide = if cut == 0 { 1 } else { 2 };
        let panes = (size / slide).saturating_mul(per_slide).saturating_add(per_slide - 1);
        HopGrid { slide, size, cut, per_slide, panes }
    }

    /// Nanoseconds of a window.
    pub fn size(&self) -> i64 {
        self.size
    }

    /// Nanoseconds between the beginnings of two windows.
    pub fn slide(&self) -> i64 {
        self.slide
    }

    /// Panes of a window.
    pub fn panes_per_window(&self) -> usize {
        usize::try_from(self.panes).unwrap_or(usize::MAX)
    }

    /// Windows that hold one pane, at most.
    pub fn overlap(&self) -> usize {
        let overlap = self.panes.saturating_add(self.per_slide - 1) / self.per_slide;
        usize::try_from(overlap).unwrap_or(usize::MAX)
    }

    /// The number of the pane that holds `time`.
    #[inline]
    pub fn pane(&self, time: i64) -> i64 {
        let slide = time.div_euclid(self.slide);
        if self.cut == 0 {
            return slide;
        }
        slide * 2 + i64::from(time.rem_euclid(self.slide) >= self.cut)
    }

    /// The time of a pane.
    pub fn pane_span(&self, pane: i64) -> Span {
        let (slide, part) = (pane.div_euclid(self.per_slide), pane.rem_euclid(self.per_slide));
        let start = i128::from(slide) * i128::from(self.slide);
        let cut = start + i128::from(self.cut);
        let end = start + i128::from(self.slide);
        let (start, end) = match (self.cut, part) {
            (0, _) => (start, end),
            (_, 0) => (start, cut),
            _ => (cut, end),
        };
        Span { start: clamp(start), end: clamp(end) }
    }

    /// The windows that hold a pane.
    #[inline]
    pub fn windows(&self, pane: i64) -> Range<i64> {
        let last = pane.div_euclid(self.per_slide);
        let before = i128::from(pane) - i128::from(self.panes);
        let first = clamp(before.div_euclid(i128::from(self.per_slide)) + 1);
        first..last.saturating_add(1)
    }

    /// The panes of a window.
    pub fn panes(&self, window: i64) -> Range<i64> {
        let first = window.saturating_mul(self.per_slide);
        first..first.saturating_add(self.panes)
    }

    /// The time of a window. At the ends of representable time it is cut off there.
    pub fn span(&self, window: i64) -> Span {
        let start = i128::from(window) * i128::from(self.slide);
        Span { start: clamp(start), end: clamp(start + i128::from(self.size)) }
    }

    /// The first window that ends behind `time`.
    pub fn first_open(&self, time: i64) -> i64 {
        self.windows(self.pane(time)).start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_make_up_windows_and_windows_hold_panes() {
        for (slide, size, panes, overlap) in [
            (10, 60, 6, 6),
            (10, 10, 1, 1),
            (4, 10, 5, 3),
            (9, 10, 3, 2),
            (1, 7, 7, 7),
            (3, 8, 5, 3),
        ] {
            let grid = HopGrid::new(slide, size);
            assert_eq!((grid.panes_per_window(), grid.overlap()), (panes, overlap), "{grid:?}");
            for time in -50..50 {
                let pane = grid.pane(time);
                let of_pane = grid.pane_span(pane);
                assert!(of_pane.start <= time && time < of_pane.end, "{grid:?} {time} {of_pane:?}");
                let windows = grid.windows(pane);
                assert!(windows.clone().count() <= overlap);
                for window in -60..60 {
                    let span = grid.span(window);
                    let holds = span.start <= time && time < span.end;
                    assert_eq!(windows.contains(&window), holds, "{grid:?} {time} {window}");
                    assert_eq!(grid.panes(window).contains(&pane), holds, "{grid:?} {time}");
                }
                assert_eq!(grid.first_open(time), windows.start);
            }
        }
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for (slide, size) in [(1, 1), (2, 3), (7, 60), (i64::MAX - 1, i64::MAX), (1, i64::MAX)] {
            let grid = HopGrid::new(slide, size);
            for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
                let span = grid.pane_span(grid.pane(time));
                assert!(span.start <= time && (time < span.end || span.end == i64::MAX));
                let windows = grid.windows(grid.pane(time));
                // The very last nanosecond may have none; it lies in the future for ever.
                assert!(windows.start < windows.end || time == i64::MAX);
                grid.panes(windows.start);
                grid.span(windows.start);
            }
        }
    }
}
