//! Straight lines through values over time, by least squares.

use super::codec::{Broken, Read, Reader, put, put_float, put_time};
use super::kernel::{To, count, grow, merge, numbers, retain};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Data, Vector};

/// What a line is read from: counts, means and products of the distances from them. Times count from
/// one of their own, for a float cannot tell nanoseconds since the epoch apart.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    count: u64,
    origin: i64,
    latest: i64,
    mean_time: f64,
    mean: f64,
    time_squares: f64,
    products: f64,
}

/// A time less another one, in nanoseconds.
fn apart(later: i64, earlier: i64) -> f64 {
    (i128::from(later) - i128::from(earlier)) as f64
}

impl Line {
    #[inline]
    fn add(&mut self, time: i64, value: f64) {
        if self.count == 0 {
            (self.origin, self.latest) = (time, time);
        }
        self.count += 1;
        self.latest = self.latest.max(time);
        let count = self.count as f64;
        let time = apart(time, self.origin);
        let from = time - self.mean_time;
        self.mean_time += from / count;
        self.mean += (value - self.mean) / count;
        self.time_squares += from * (time - self.mean_time);
        self.products += from * (value - self.mean);
    }

    /// Adds what was collected elsewhere (after Chan, Golub and LeVeque).
    fn merge(&mut self, other: &Line) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let total = self.count.saturating_add(other.count);
        let share = other.count as f64 / total as f64;
        let times = apart(other.origin, self.origin) + other.mean_time - self.mean_time;
        let values = other.mean - self.mean;
        let weight = self.count as f64 * share;
        self.time_squares += other.time_squares + times * times * weight;
        self.products += other.products + times * values * weight;
        self.mean_time += times * share;
        self.mean += values * share;
        self.latest = self.latest.max(other.latest);
        self.count = total;
    }

    /// The line's value so many nanoseconds behind the latest time; none if all values have one time.
    fn forecast(&self, ahead: i64) -> Option<f64> {
        if self.count < 2 || self.time_squares <= 0.0 {
            return None;
        }
        let time = apart(self.latest, self.origin) + ahead as f64;
        Some(self.mean + self.products / self.time_squares * (time - self.mean_time))
    }
}

/// The line of each group.
#[derive(Default)]
pub struct Lines {
    cells: Vec<Line>,
}

impl Accumulator for Lines {
    fn clear(&mut self) {
        self.cells.clear();
    }

    fn len(&self) -> usize {
        self.cells.len()
    }

    fn byte_size(&self) -> usize {
        self.cells.capacity() * size_of::<Line>()
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.cells, keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        grow(&mut self.cells, input.len, Line::default());
        let cells = self.cells.as_mut_slice();
        let mut add = |value: &dyn Fn(usize) -> f64| {
            for (row, group) in input.groups.iter().enumerate() {
                if values.is_valid(row) {
                    cells[*group as usize].add((input.time)(row), value(values.place(row)));
                }
            }
        };
        match &values.data {
            Data::Float(list) => add(&|at| list[at]),
            Data::Int { values: list, .. } => add(&|at| list[at] as f64),
            _ => failures.kinds += count(values, input.groups.len()),
        }
    }

    fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        let AggregateFunction::Forecast(ahead) = function else { return Vector::null() };
        numbers(groups, failures, |group| self.cells.get(group)?.forecast(ahead))
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        grow(&mut self.cells, len, Line::default());
        merge(&mut self.cells, &other.cells, to, Line::merge);
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let line = self.cells.get(group).copied().unwrap_or_default();
        put(out, line.count);
        if line.count > 0 {
            put_time(out, line.origin);
            put_time(out, line.latest);
            for value in [line.mean_time, line.mean, line.time_squares, line.products] {
                put_float(out, value);
            }
        }
    }

    fn read_head(&mut self, len: usize, _from: &mut Reader<'_>) -> Read<()> {
        grow(&mut self.cells, len, Line::default());
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let count = from.number()?;
        if count == 0 {
            return Ok(());
        }
        let (origin, latest) = (from.time()?, from.time()?);
        if latest < origin && count == 1 {
            return Err(Broken);
        }
        // Out of range the products are any float.
        *self.cells.get_mut(group).ok_or(Broken)? = Line {
            count,
            origin,
            latest,
            mean_time: from.finite()?,
            mean: from.float()?,
            time_squares: from.float()?,
            products: from.float()?,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(i64, f64)]) -> Line {
        let mut line = Line::default();
        points.iter().for_each(|(time, value)| line.add(*time, *value));
        line
    }

    #[test]
    fn lines_go_on() {
        const DAY: i64 = 86_400_000_000_000;
        for start in [0, -5, 20_000 * DAY, i64::MAX - 40] {
            let made = line(&[(start, 1.0), (start + 10, 3.0), (start + 20, 5.0)]);
            assert_eq!(made.forecast(10), Some(7.0), "{start}");
            assert_eq!(made.forecast(-20), Some(1.0), "{start}");
        }
        assert_eq!(line(&[(5, 1.0)]).forecast(1), None);
        assert_eq!(line(&[(5, 1.0), (5, 2.0)]).forecast(1), None);
    }

    #[test]
    fn ends_of_time_are_no_trouble() {
        let made = line(&[(i64::MIN, 0.0), (i64::MAX, 1.0)]);
        assert!((made.forecast(i64::MAX).unwrap() - 1.5).abs() < 1e-9);
    }
}
