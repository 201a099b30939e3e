//! What is kept value by value, for aggregates that cannot do with less. All groups' values together are
//! bounded in bytes: when the bound is reached, the groups with the most are given up until a quarter of
//! the room is free; their results are NULL, and they take no more values.

use std::cmp::{Ordering, Reverse};

use super::codec::{Broken, Read, Reader, put};
use super::kernel::{To, grow_with, heap_bytes, retain};
use crate::error::Failures;

/// A value that is kept.
pub trait Kept: Clone + Send {
    /// Bytes that it takes on the heap.
    fn heap(&self) -> usize;
    /// The order in which values are written and read.
    fn order(&self, other: &Self) -> Ordering;
    /// Writes it: a byte at least.
    fn write(&self, out: &mut Vec<u8>);
    fn read(from: &mut Reader<'_>) -> Read<Self>;
}

/// The values of each group.
pub struct Lists<T> {
    groups: Vec<Group<T>>,
    /// Bytes behind the groups.
    heap: usize,
    /// Bytes that may be there.
    most: usize,
}

#[derive(Clone)]
struct Group<T> {
    list: Vec<T>,
    /// Bytes that its values take on the heap.
    heap: usize,
    /// There was no room for its values.
    full: bool,
}

impl<T> Group<T> {
    const EMPTY: Group<T> = Group { list: Vec::new(), heap: 0, full: false };

    fn bytes(&self) -> usize {
        heap_bytes(self.list.capacity() * size_of::<T>()) + self.heap
    }
}

impl<T: Kept> Lists<T> {
    pub fn new(most: usize) -> Self {
        Lists { groups: Vec::new(), heap: 0, most }
    }

    pub fn clear(&mut self) {
        self.groups.clear();
        self.heap = 0;
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    pub fn byte_size(&self) -> usize {
        self.groups.capacity() * size_of::<Group<T>>() + self.heap
    }

    pub fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.groups, keep);
        self.heap = self.groups.iter().map(Group::bytes).sum();
    }

    /// Makes room for groups below `len`.
    pub fn fit(&mut self, len: usize) {
        grow_with(&mut self.groups, len, || Group::EMPTY);
    }

    /// Keeps a value of a group that there is.
    #[inline]
    pub fn push(&mut self, group: usize, value: T) {
        let Some(own) = self.groups.get_mut(group).filter(|own| !own.full) else { return };
        let heap = value.heap();
        own.heap += heap;
        self.heap += heap;
        if own.list.len() == own.list.capacity() {
            self.heap -= heap_bytes(own.list.capacity() * size_of::<T>());
            own.list.reserve_exact((own.list.len() / 2).max(4));
            self.heap += heap_bytes(own.list.capacity() * size_of::<T>());
        }
        own.list.push(value);
        if self.heap > self.most {
            self.give_up();
        }
    }

    #[cold]
    fn give_up(&mut self) {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_key(|group| Reverse(self.groups[*group].bytes()));
        for group in order {
            if self.heap <= self.most / 4 * 3 {
                break;
            }
            self.heap -= self.groups[group].bytes();
            self.groups[group] = Group { full: true, ..Group::EMPTY };
        }
    }

    /// The values of a group as they came; none if it has none or was given up.
    pub fn get(&self, group: usize) -> Option<&[T]> {
        self.groups.get(group).map(|own| own.list.as_slice()).filter(|list| !list.is_empty())
    }

    /// The values of a group in their order.
    pub fn sorted(&self, group: usize) -> Vec<T> {
        let mut list = self.get(group).unwrap_or_default().to_vec();
        list.sort_by(Kept::order);
        list
    }

    /// Counts those of these groups that were given up.
    pub fn count_full(&self, groups: &[u32], failures: &mut Failures) {
        let full = |group: &&u32| self.groups.get(**group as usize).is_some_and(|own| own.full);
        failures.room += groups.iter().filter(full).count() as u64;
    }

    pub fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        self.fit(len);
        for (group, from) in other.groups.iter().enumerate() {
            let Some(own) = to.group(group).filter(|own| *own < self.groups.len()) else {
                continue;
            };
            if from.full {
                self.heap -= self.groups[own].bytes();
                self.groups[own] = Group { full: true, ..Group::EMPTY };
            }
            from.list.iter().for_each(|value| self.push(own, value.clone()));
        }
    }

    /// Twice the number of values, plus one if there was no room for them, and the values.
    pub fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let list = self.sorted(group);
        let full = self.groups.get(group).is_some_and(|own| own.full);
        put(out, (list.len() as u64) << 1 | u64::from(full));
        list.iter().for_each(|value| value.write(out));
    }

    /// Reads a group that has no values.
    pub fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let count = from.number()?;
        let own = self.groups.get_mut(group).ok_or(Broken)?;
        own.full = count & 1 == 1;
        if own.full && count > 1 || count >> 1 > from.left() as u64 {
            return Err(Broken);
        }
        let mut last: Option<T> = None;
        for _ in 0..count >> 1 {
            let value = T::read(from)?;
            if last.is_some_and(|last| last.order(&value).is_gt()) {
                return Err(Broken);
            }
            last = Some(value.clone());
            self.push(group, value);
        }
        Ok(())
    }
}

/// The methods of an [`Accumulator`](super::Accumulator) that its `lists` answer.
macro_rules! by_lists {
    () => {
        fn clear(&mut self) {
            self.lists.clear();
        }

        fn len(&self) -> usize {
            self.lists.len()
        }

        fn byte_size(&self) -> usize {
            self.lists.byte_size()
        }

        fn retain(&mut self, keep: &[bool]) {
            self.lists.retain(keep);
        }

        fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
            self.lists.merge(&other.lists, len, to);
        }

        fn write_group(&self, group: usize, out: &mut Vec<u8>) {
            self.lists.write_group(group, out);
        }

        fn read_head(&mut self, len: usize, _from: &mut Reader<'_>) -> Read<()> {
            self.lists.fit(len);
            Ok(())
        }

        fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
            self.lists.read_group(group, from)
        }
    };
}
pub(super) use by_lists;
