//! Quantiles: the numbers themselves while they are few, a sketch of them behind that.

use super::codec::{Broken, Read, Reader, put, put_float};
use super::kernel::{To, count, each_value, grow_with, heap_bytes, numbers, retain};
use super::sketch::Sketch;
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::{Data, Vector};

/// How many numbers a group keeps as they are: as large as a small sketch, and exact.
const FEW: usize = 64;
/// What is written as the count of those that are a sketch.
const MANY: usize = FEW + 1;

/// The numbers of each group. All quantiles of one input share it.
#[derive(Default)]
pub struct Quantiles {
    groups: Vec<Group>,
    /// Bytes behind the groups.
    heap: usize,
}

enum Group {
    Few(Vec<f64>),
    Many(Box<Sketch>),
}

impl Group {
    const EMPTY: Group = Group::Few(Vec::new());

    fn heap(&self) -> usize {
        match self {
            Group::Few(list) => heap_bytes(list.capacity() * 8),
            Group::Many(sketch) => heap_bytes(size_of::<Sketch>()) + sketch.heap(),
        }
    }

    #[inline]
    fn add(&mut self, value: f64, heap: &mut usize) {
        match self {
            Group::Few(list) if list.len() < list.capacity() => list.push(value),
            Group::Many(sketch) => {
                if !sketch.add_within(value) {
                    self.add_and_grow(value, heap);
                }
            }
            Group::Few(_) => self.add_and_grow(value, heap),
        }
    }

    #[cold]
    fn add_and_grow(&mut self, value: f64, heap: &mut usize) {
        *heap -= self.heap();
        match self {
            Group::Few(list) if list.len() < FEW => {
                // Room for 4, 8, 16 and so on.
                list.reserve_exact(list.len().max(4).min(FEW - list.len()));
                list.push(value);
            }
            _ => self.in_sketch(|sketch| sketch.add(value)),
        }
        *heap += self.heap();
    }

    /// Does something with the group's sketch, which it becomes if it was none.
    fn in_sketch(&mut self, change: impl FnOnce(&mut Sketch)) {
        if let Group::Few(list) = self {
            *self = Group::Many(Box::new(Sketch::of(list)));
        }
        if let Group::Many(sketch) = self {
            change(sketch);
        }
    }

    fn merge(&mut self, other: &Group, heap: &mut usize) {
        match other {
            Group::Few(list) => list.iter().for_each(|value| self.add(*value, heap)),
            Group::Many(sketch) => {
                *heap -= self.heap();
                match self {
                    Group::Few(list) if list.is_empty() => *self = Group::Many(sketch.clone()),
                    _ => self.in_sketch(|own| own.merge(sketch)),
                }
                *heap += self.heap();
            }
        }
    }

    fn quantile(&self, part: f64) -> Option<f64> {
        let list = match self {
            Group::Few(list) if list.is_empty() => return None,
            Group::Few(list) => list,
            Group::Many(sketch) => return Some(sketch.quantile(part)),
        };
        let mut sorted = list.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = part * (sorted.len() - 1) as f64;
        let low = *sorted.get(rank.floor() as usize)?;
        let high = *sorted.get(rank.ceil() as usize)?;
        Some(low + (high - low) * rank.fract())
    }
}

impl Accumulator for Quantiles {
    fn clear(&mut self) {
        self.groups.clear();
        self.heap = 0;
    }

    fn len(&self) -> usize {
        self.groups.len()
    }

    fn byte_size(&self) -> usize {
        self.groups.capacity() * size_of::<Group>() + self.heap
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.groups, keep);
        self.heap = self.groups.iter().map(Group::heap).sum();
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        grow_with(&mut self.groups, input.len, || Group::EMPTY);
        let (list, heap) = (self.groups.as_mut_slice(), &mut self.heap);
        match &values.data {
            // A negative zero is a zero.
            Data::Float(floats) => each_value(values, floats, input.groups, |group, value| {
                list[group].add(value + 0.0, heap);
            }),
            Data::Int { values: ints, .. } => {
                each_value(values, ints, input.groups, |group, value| {
                    list[group].add(value as f64, heap);
                });
            }
            _ => failures.kinds += count(values, input.groups.len()),
        }
    }

    fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        let AggregateFunction::Quantile(part) = function else { return Vector::null() };
        numbers(groups, failures, |group| self.groups.get(group)?.quantile(part.get()))
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        grow_with(&mut self.groups, len, || Group::EMPTY);
        for (group, from) in other.groups.iter().enumerate() {
            if let Some(own) = to.group(group).and_then(|to| self.groups.get_mut(to)) {
                own.merge(from, &mut self.heap);
            }
        }
    }

    /// How many numbers there are and the numbers upwards, or one more than that and the sketch.
    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        match self.groups.get(group) {
            None => put(out, 0),
            Some(Group::Few(list)) => {
                let mut sorted = list.clone();
                sorted.sort_unstable_by(f64::total_cmp);
                put(out, sorted.len() as u64);
                sorted.iter().for_each(|value| put_float(out, *value));
            }
            Some(Group::Many(sketch)) => {
                put(out, MANY as u64);
                sketch.write(out);
            }
        }
    }

    fn read_head(&mut self, len: usize, _from: &mut Reader<'_>) -> Read<()> {
        grow_with(&mut self.groups, len, || Group::EMPTY);
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let own = self.groups.get_mut(group).ok_or(Broken)?;
        let count = from.number()?;
        *own = match count as usize {
            count @ 0..=FEW => {
                let mut list = Vec::new();
                if count * 8 > from.left() {
                    return Err(Broken);
                }
                list.reserve_exact(count);
                for _ in 0..count {
                    list.push(from.finite()?);
                }
                Group::Few(list)
            }
            MANY => Group::Many(Box::new(Sketch::read(from)?)),
            _ => return Err(Broken),
        };
        self.heap += own.heap();
        Ok(())
    }
}
