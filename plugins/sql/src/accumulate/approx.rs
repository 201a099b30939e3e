//! Distinct values, approximately: their hashes while they are few, registers behind that.

use super::codec::{Broken, Read, Reader, put};
use super::kernel::{To, grow_with, heap_bytes, integers, retain};
use super::registers::{self, Registers};
use super::value::each_key;
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::AggregateFunction;
use crate::vector::Vector;

/// Slots of the largest table of hashes; three quarters of them are used, and half as much memory as
/// the registers take.
const SLOTS: usize = registers::COUNT / 16;
/// How many hashes are kept.
const FEW: usize = SLOTS / 4 * 3;
/// What is written as the count of those in registers.
const MANY: usize = FEW + 1;

/// The values of each group.
#[derive(Default)]
pub struct Approx {
    groups: Vec<Group>,
    /// Bytes behind the groups.
    heap: usize,
}

enum Group {
    /// A table of hashes, 0 for a free slot, with how many there are.
    Few(Vec<u64>, u16),
    Many(Registers),
}

impl Group {
    const EMPTY: Group = Group::Few(Vec::new(), 0);

    fn heap(&self) -> usize {
        match self {
            Group::Few(slots, _) => heap_bytes(slots.capacity() * 8),
            Group::Many(_) => heap_bytes(registers::COUNT),
        }
    }

    #[inline]
    fn add(&mut self, hash: u64, heap: &mut usize) {
        match self {
            Group::Many(registers) => registers.add(hash),
            Group::Few(slots, count) => {
                // One hash in 2^64 counts as another one.
                let hash = hash.max(1);
                if !slots.is_empty() {
                    let slot = find(slots, hash);
                    if slots[slot] == hash {
                        return;
                    }
                    if (usize::from(*count) + 1) * 4 <= slots.len() * 3 {
                        slots[slot] = hash;
                        *count += 1;
                        return;
                    }
                }
                self.add_and_grow(hash, heap);
            }
        }
    }

    #[cold]
    fn add_and_grow(&mut self, hash: u64, heap: &mut usize) {
        *heap -= self.heap();
        match self {
            Group::Few(slots, count) if slots.len() < SLOTS => {
                let mut larger = vec![0; (slots.len() * 2).max(4)];
                for hash in slots.iter().filter(|hash| **hash != 0).chain([&hash]) {
                    let slot = find(&larger, *hash);
                    larger[slot] = *hash;
                }
                *slots = larger;
                *count += 1;
            }
            _ => self.in_registers(|registers| registers.add(hash)),
        }
        *heap += self.heap();
    }

    /// Does something with the group's registers, which it becomes if it has none.
    fn in_registers(&mut self, change: impl FnOnce(&mut Registers)) {
        if let Group::Few(slots, _) = self {
            let mut registers = Registers::new();
            slots.iter().filter(|hash| **hash != 0).for_each(|hash| registers.add(*hash));
            *self = Group::Many(registers);
        }
        if let Group::Many(registers) = self {
            change(registers);
        }
    }

    fn merge(&mut self, other: &Group, heap: &mut usize) {
        match other {
            Group::Few(slots, _) => {
                slots.iter().filter(|hash| **hash != 0).for_each(|hash| self.add(*hash, heap));
            }
            Group::Many(registers) => {
                *heap -= self.heap();
                self.in_registers(|own| own.merge(registers));
                *heap += self.heap();
            }
        }
    }
}

/// The slot that holds a hash, or where it belongs. Tables are never full.
#[inline]
fn find(slots: &[u64], hash: u64) -> usize {
    let mask = slots.len() - 1;
    let mut slot = hash as usize & mask;
    while slots[slot] != 0 && slots[slot] != hash {
        slot = (slot + 1) & mask;
    }
    slot
}

impl Accumulator for Approx {
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

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, _failures: &mut Failures) {
        grow_with(&mut self.groups, input.len, || Group::EMPTY);
        let (list, heap) = (self.groups.as_mut_slice(), &mut self.heap);
        each_key(values, input.groups, |group, key| list[group].add(key.hash(), heap));
    }

    fn finish(
        &self,
        _function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        integers(groups, false, failures, |group| {
            Some(match self.groups.get(group) {
                None => 0,
                Some(Group::Few(_, count)) => i128::from(*count),
                Some(Group::Many(registers)) => registers.estimate().round() as i128,
            })
        })
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        grow_with(&mut self.groups, len, || Group::EMPTY);
        for (group, from) in other.groups.iter().enumerate() {
            if let Some(own) = to.group(group).and_then(|to| self.groups.get_mut(to)) {
                own.merge(from, &mut self.heap);
            }
        }
    }

    /// How many hashes there are and the hashes upwards, or one more than that and the registers.
    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        match self.groups.get(group) {
            None => put(out, 0),
            Some(Group::Few(slots, count)) => {
                let mut sorted: Vec<u64> =
                    slots.iter().copied().filter(|hash| *hash != 0).collect();
                sorted.sort_unstable();
                put(out, u64::from(*count));
                sorted.iter().for_each(|hash| out.extend_from_slice(&hash.to_le_bytes()));
            }
            Some(Group::Many(registers)) => {
                put(out, MANY as u64);
                registers.write(out);
            }
        }
    }

    fn read_head(&mut self, len: usize, _from: &mut Reader<'_>) -> Read<()> {
        grow_with(&mut self.groups, len, || Group::EMPTY);
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let mut read = Group::EMPTY;
        let mut heap = 0;
        match from.number()? as usize {
            count @ 0..=FEW => {
                let mut last = 0;
                for _ in 0..count {
                    let hash = from.word()?;
                    if hash <= last {
                        return Err(Broken);
                    }
                    last = hash;
                    read.add(hash, &mut heap);
                }
            }
            MANY => {
                read = Group::Many(Registers::read(from)?);
                heap = read.heap();
            }
            _ => return Err(Broken),
        }
        *self.groups.get_mut(group).ok_or(Broken)? = read;
        self.heap += heap;
        Ok(())
    }
}
