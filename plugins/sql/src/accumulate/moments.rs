//! Variance and standard deviation.

use super::codec::{Broken, Read, Reader, put};
use super::kernel::{To, count, each_value, grow, merge, numbers, retain};
use super::numbers::Deviation;
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Data, Vector};

/// What all four share: of a sample or a population, squared or not.
#[derive(Default)]
pub struct Moments {
    cells: Vec<Deviation>,
}

impl Accumulator for Moments {
    fn clear(&mut self) {
        self.cells.clear();
    }

    fn len(&self) -> usize {
        self.cells.len()
    }

    fn byte_size(&self) -> usize {
        self.cells.capacity() * size_of::<Deviation>()
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.cells, keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        grow(&mut self.cells, input.len, Deviation::default());
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
        numbers(groups, failures, |group| self.cells.get(group)?.result(function))
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        grow(&mut self.cells, len, Deviation::default());
        merge(&mut self.cells, &other.cells, to, Deviation::merge);
    }

    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let cell = self.cells.get(group).copied().unwrap_or_default();
        put(out, cell.count());
        if cell.count() > 0 {
            cell.write(out);
        }
    }

    fn read_head(&mut self, len: usize, _from: &mut Reader<'_>) -> Read<()> {
        grow(&mut self.cells, len, Deviation::default());
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let count = from.number()?;
        if count > 0 {
            *self.cells.get_mut(group).ok_or(Broken)? = Deviation::read(count, from)?;
        }
        Ok(())
    }
}
