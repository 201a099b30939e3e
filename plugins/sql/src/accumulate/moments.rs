//! Variance and standard deviation.

use super::kernel::{count, each_value, grow, numbers, retain};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Data, Vector};

/// One of the four: of a sample or a population, squared or not.
pub struct Moments {
    function: AggregateFunction,
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
}

impl Moments {
    pub fn new(function: AggregateFunction) -> Self {
        Moments { function, cells: Vec::new() }
    }
}

impl Accumulator for Moments {
    fn clear(&mut self) {
        self.cells.clear();
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

    fn finish(&self, groups: &[u32], failures: &mut Failures) -> Vector<'_> {
        use AggregateFunction::{Stddev, StddevPop, VariancePop};
        let population = matches!(self.function, StddevPop | VariancePop);
        let root = matches!(self.function, Stddev | StddevPop);
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
}
