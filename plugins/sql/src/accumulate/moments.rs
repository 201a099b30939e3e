//! Variance and standard deviation.

use super::codec::{Broken, Read, Reader, put, put_float};
use super::kernel::{To, count, each_value, grow, merge, numbers, retain};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Data, Vector};

/// What all four share: of a sample or a population, squared or not.
#[derive(Default)]
pub struct Moments {
    cells: Vec<Cell>,
}

/// Count, mean and sum of squared distances from it, kept up to date value by value.
#[derive(Clone, Copy, Default)]
struct Cell {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Cell {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let from = value - self.mean;
        self.mean += from / self.count;
        self.squares += from * (value - self.mean);
    }

    /// Adds what was collected elsewhere (after Chan, Golub and LeVeque).
    fn merge(&mut self, other: &Cell) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *other;
            return;
        }
        let count = self.count + other.count;
        let (apart, share) = (other.mean - self.mean, other.count / count);
        self.squares += other.squares + apart * apart * self.count * share;
        self.mean += apart * share;
        self.count = count;
    }
}

impl Accumulator for Moments {
    fn clear(&mut self) {
        self.cells.clear();
    }

    fn len(&self) -> usize {
        self.cells.len()
    }

    fn byte_size(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.cells, keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        grow(&mut self.cells, input.len, Cell::default());
        let (cells, groups) = (self.cells.as_mut_slice(), input.groups);
        match &values.data {
            Data::Float(list) => {
                each_value(values, list, groups, |group, value| cells[group].add(value));
            }
            Data::Int { values: list, .. } => {
                each_value(values, list, groups, |group, value| cells[group].add(value as f64));
            }
            _ => failures.kinds += count(values, groups.len()),
        }
    }

    fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        use AggregateFunction::{Stddev, StddevPop, VariancePop};
        let population = matches!(function, StddevPop | VariancePop);
        let root = matches!(function, Stddev | StddevPop);
        numbers(groups, failures, |group| {
            let cell = self.cells.get(group)?;
            let divisor = if population { cell.count } else { cell.count - 1.0 };
            if divisor <= 0.0 {
                return None;
            }
            let variance = cell.squares / divisor;
            Some(if root { variance.sqrt() } else { variance })
        })
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        grow(&mut self.cells, len, Cell::default());
        merge(&mut self.cells, &other.cells, to, Cell::merge);
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let cell = self.cells.get(group).copied().unwrap_or_default();
        put(out, cell.count as u64);
        if cell.count > 0.0 {
            put_float(out, cell.mean);
            put_float(out, cell.squares);
        }
    }

    fn read_head(&mut self, len: usize, _from: &mut Reader<'_>) -> Read<()> {
        grow(&mut self.cells, len, Cell::default());
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let count = from.number()?;
        if count > 0 {
            let cell = self.cells.get_mut(group).ok_or(Broken)?;
            *cell = Cell { count: count as f64, mean: from.float()?, squares: from.float()? };
        }
        Ok(())
    }
}
