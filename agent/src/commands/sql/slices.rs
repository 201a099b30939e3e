//! Batches that wait for their turn, cut where they span many windows.
//!
//! A chunk of a sparse file may span thousands of windows, and those of two files side by side would
//! be open at once. Cut into slices of a few windows each, files go on in small steps.

use std::collections::VecDeque;

use headwater_plugin_api::batch::Batch;

use super::pace::POINTS;

/// Windows that a slice spans; those of fewer points span more.
const STEPS: i64 = 64;

/// Points in the order of their file.
pub struct Slice {
    pub batch: Batch,
    pub first: i64,
    pub last: i64,
}

/// The slices of one file that are still to be worked on.
#[derive(Default)]
pub struct Slices {
    list: VecDeque<Slice>,
    points: usize,
}

impl Slices {
    /// Adds a batch. `step_ns` is the time from one window to the next, if there is one.
    pub fn add(&mut self, batch: Batch, step_ns: Option<i64>) {
        if batch.is_empty() {
            return;
        }
        self.points += batch.len();
        let (first, last) = batch.time_range();
        let span = step_ns.map(|step| step.saturating_mul(STEPS));
        let wide = span.is_some_and(|span| last.saturating_sub(first) > span);
        if !wide || batch.len() < POINTS * 2 {
            self.list.push_back(Slice { batch, first, last });
            return;
        }
        for (from, to, first, last) in cuts(&batch, span.unwrap_or(i64::MAX)) {
            let mut slice = batch.clone();
            slice.retain_indexed(|index, _| (from..to).contains(&index));
            self.list.push_back(Slice { batch: slice, first, last });
        }
    }

    /// Takes the next one.
    pub fn take(&mut self) -> Option<Slice> {
        let slice = self.list.pop_front()?;
        self.points -= slice.batch.len();
        Some(slice)
    }

    /// The earliest time of the next one.
    pub fn next(&self) -> Option<i64> {
        self.list.front().map(|slice| slice.first)
    }

    /// The earliest time of all.
    pub fn earliest(&self) -> Option<i64> {
        self.list.iter().map(|slice| slice.first).min()
    }

    pub fn points(&self) -> usize {
        self.points
    }
}

/// First row, row behind the last, earliest and latest time of each slice.
fn cuts(batch: &Batch, span: i64) -> Vec<(usize, usize, i64, i64)> {
    let mut out: Vec<(usize, usize, i64, i64)> = Vec::new();
    let mut left = batch.len();
    let mut count = 0;
    for (index, row) in batch.rows() {
        let time = row.time;
        let full = |first: i64, last: i64| {
            last.max(time).saturating_sub(first.min(time)) > span && count >= POINTS
        };
        match out.last_mut() {
            // The last slice is not left with few points, for those tell no time.
            Some((_, to, first, last)) if !full(*first, *last) || left < POINTS => {
                (*to, *first, *last) = (index + 1, time.min(*first), time.max(*last));
                count += 1;
            }
            _ => {
                out.push((index, index + 1, time, time));
                count = 1;
            }
        }
        left -= 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;

    fn batch(times: impl Iterator<Item = i64>) -> Batch {
        let mut builder = BatchBuilder::default();
        for time in times {
            builder.point("m").field("v", time).finish(time).unwrap();
        }
        builder.finish().unwrap()
    }

    fn slices(batch: Batch, step: Option<i64>) -> Vec<(usize, i64, i64)> {
        let mut slices = Slices::default();
        slices.add(batch, step);
        let mut out = Vec::new();
        while let Some(slice) = slices.take() {
            assert_eq!(slice.batch.rows().count(), slice.batch.len());
            out.push((slice.batch.len(), slice.first, slice.last));
        }
        assert_eq!(slices.points(), 0);
        out
    }

    #[test]
    fn what_spans_few_windows_stays_whole() {
        assert_eq!(slices(batch(0..1000), None), [(1000, 0, 999)]);
        assert_eq!(slices(batch(0..1000), Some(100)), [(1000, 0, 999)]);
        assert_eq!(slices(batch((0..100).map(|n| n * 50)), Some(1)), [(100, 0, 4950)]);
    }

    #[test]
    fn what_spans_many_is_cut() {
        assert_eq!(
            slices(batch(0..400), Some(2)),
            [(129, 0, 128), (129, 129, 257), (142, 258, 399)]
        );
        let sparse = batch((0..200).map(|n| n * 50));
        assert_eq!(slices(sparse, Some(1)), [(64, 0, 3150), (64, 3200, 6350), (72, 6400, 9950)]);
    }

    #[test]
    fn a_point_from_afar_is_not_left_alone() {
        let times = (0..300).map(|n| if n == 150 { 1_000_000 } else { n });
        let cut = slices(batch(times), Some(1));
        assert!(cut.iter().all(|(points, ..)| *points >= POINTS), "{cut:?}");
        assert!(cut.iter().any(|(_, first, last)| *last == 1_000_000 && *first < 300), "{cut:?}");
        assert_eq!(cut.iter().map(|(points, ..)| points).sum::<usize>(), 300);
    }
}
