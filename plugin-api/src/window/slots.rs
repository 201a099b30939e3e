//! What belongs to a number on the time axis, in slots: it stays where it is as long as it is there.

use std::collections::BTreeMap;
use std::ops::Range;

use super::codec::{Broken, Read};

pub(super) struct Slots<T> {
    list: Vec<Option<T>>,
    /// Slots by number.
    order: BTreeMap<i64, u32>,
}

impl<T> Slots<T> {
    pub fn new() -> Self {
        Slots { list: Vec::new(), order: BTreeMap::new() }
    }

    pub fn len(&self) -> usize {
        self.order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Bytes of memory held, without what stands behind pointers.
    pub fn byte_size(&self) -> usize {
        self.list.capacity() * size_of::<Option<T>>()
    }

    /// The slot of a number.
    pub fn find(&self, number: i64) -> Option<u32> {
        self.order.get(&number).copied()
    }

    #[inline]
    pub fn get(&self, slot: u32) -> Option<&T> {
        self.list.get(slot as usize)?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.list.get_mut(slot as usize)?.as_mut()
    }

    /// All of them, the first slot first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.list.iter().flatten()
    }

    /// As [`iter`](Self::iter), to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.list.iter_mut().flatten()
    }

    /// All of them with their slots, the least number first.
    pub fn in_order(&self) -> impl Iterator<Item = (u32, &T)> {
        self.order.values().filter_map(|&slot| Some((slot, self.get(slot)?)))
    }

    /// Those of these numbers in their order.
    pub fn range(&self, numbers: Range<i64>) -> impl Iterator<Item = &T> {
        self.order.range(numbers).filter_map(|(_, &slot)| self.get(slot))
    }

    /// Calls `f` with those of these numbers in their order.
    pub fn each_mut(&mut self, numbers: Range<i64>, mut f: impl FnMut(&mut T)) {
        for (_, &slot) in self.order.range(numbers) {
            if let Some(Some(entry)) = self.list.get_mut(slot as usize) {
                f(entry);
            }
        }
    }

    /// Puts something in a free slot, under a number that has none.
    pub fn insert(&mut self, number: i64, entry: T) -> u32 {
        let is_full = self.order.len() == self.list.len();
        let free = if is_full { None } else { self.list.iter().position(Option::is_none) };
        let slot = free.unwrap_or(self.list.len());
        match self.list.get_mut(slot) {
            Some(place) => *place = Some(entry),
            None => self.list.push(Some(entry)),
        }
        self.order.insert(number, slot as u32);
        slot as u32
    }

    /// A number that is read must be above all before it, which all are there.
    pub fn check_next(&self, number: i64) -> Read<()> {
        match self.order.last_key_value() {
            Some((last, _)) if *last >= number => Err(Broken),
            _ => Ok(()),
        }
    }

    /// Takes what has a number.
    pub fn remove(&mut self, number: i64) -> Option<T> {
        let slot = self.order.remove(&number)?;
        self.list.get_mut(slot as usize)?.take()
    }

    /// Takes all of them, the first slot first.
    pub fn drain(&mut self) -> impl Iterator<Item = T> {
        self.order.clear();
        self.list.drain(..).flatten()
    }

    /// If nothing is left, gives more than so many slots back.
    pub fn shrink(&mut self, kept: usize) {
        if self.order.is_empty() && self.list.len() > kept {
            self.list = Vec::new();
        }
    }
}
