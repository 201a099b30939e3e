//! A table from group keys to dense numbers: open addressing over 64-bit hashes, keys stored once.

use super::codec::{Broken, Read, Reader, put};
use crate::batch::hash::bytes_hash;

/// Groups, numbered from 0 in the order they came.
///
/// A group costs its key, 12 bytes, and 5 to 11 bytes of look-up.
#[derive(Debug, Clone)]
pub struct Groups {
    hashes: Vec<u64>,
    /// Where each key ends in `keys`.
    ends: Vec<u32>,
    keys: Vec<u8>,
    /// Number plus one, 0 for free; a power of two long or empty.
    slots: Vec<u32>,
    max: u32,
}

impl Groups {
    /// A table of at most `max` groups.
    pub fn new(max: u32) -> Self {
        let max = max.min(u32::MAX - 1);
        Groups { hashes: Vec::new(), ends: Vec::new(), keys: Vec::new(), slots: Vec::new(), max }
    }

    /// Number of groups.
    #[inline]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whether no further group fits.
    pub fn is_full(&self) -> bool {
        self.hashes.len() >= self.max as usize
    }

    /// How many groups there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.hashes.capacity()
    }

    /// Changes how many groups fit.
    pub fn set_max(&mut self, max: u32) {
        self.max = max.min(u32::MAX - 1);
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        self.hashes.capacity() * 8
            + self.ends.capacity() * 4
            + self.keys.capacity()
            + self.slots.capacity() * 4
    }

    /// Forgets all groups and keeps the memory.
    pub fn clear(&mut self) {
        self.hashes.clear();
        self.ends.clear();
        self.keys.clear();
        self.slots.fill(0);
    }

    /// Forgets all groups and gives the memory back.
    pub fn release(&mut self) {
        *self = Groups::new(self.max);
    }

    /// The key of a group; empty if there is no such group.
    #[inline]
    pub fn key(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&e| e);
        let end = self.ends.get(id).copied().unwrap_or(start);
        self.keys.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The hash of a group's key.
    pub fn hash(&self, id: u32) -> u64 {
        self.hashes.get(id as usize).copied().unwrap_or_default()
    }

    /// Whether the group has that hash and key.
    #[inline]
    pub fn is(&self, id: u32, hash: u64, key: &[u8]) -> bool {
        self.hashes.get(id as usize) == Some(&hash) && self.key(id) == key
    }

    /// Finds a group.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let id = self.slots[slot].checked_sub(1)?;
            if self.is(id, hash, key) {
                return Some(id);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The number of the group with that key, which is entered if it is new. `None` if the table is
    /// full.
    #[inline]
    pub fn intern(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        match self.find(hash, key) {
            Some(id) => Some(id),
            None => self.insert(hash, key),
        }
    }

    fn insert(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        let end = u32::try_from(self.keys.len() + key.len()).ok()?;
        if self.is_full() {
            return None;
        }
        if (self.len() + 1) * 4 > self.slots.len() * 3 {
            self.rehash((self.slots.len() * 2).max(64));
        }
        reserve(&mut self.hashes, 1);
        reserve(&mut self.ends, 1);
        reserve(&mut self.keys, key.len());
        let id = self.len() as u32;
        self.hashes.push(hash);
        self.ends.push(end);
        self.keys.extend_from_slice(key);
        self.enter(id, hash);
        Some(id)
    }

    fn enter(&mut self, id: u32, hash: u64) {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = id + 1;
    }

    #[cold]
    fn rehash(&mut self, size: usize) {
        self.slots.clear();
        self.slots.resize(size, 0);
        for id in 0..self.hashes.len() {
            self.enter(id as u32, self.hashes[id]);
        }
    }

    /// Writes the keys, in the order of their numbers.
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.len() as u64);
        let mut start = 0;
        for end in &self.ends {
            put(out, u64::from(end - start));
            start = *end;
        }
        out.extend_from_slice(&self.keys);
    }

    /// Reads keys where there are none. There may be more of them than new ones would find room for.
    ///
    /// # Errors
    /// A key stands there twice, or it is no such state.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        let count = from.count(1)?;
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            lengths.push(usize::try_from(from.number()?).map_err(|_| Broken)?);
        }
        let max = std::mem::replace(&mut self.max, u32::MAX - 1);
        for (id, length) in lengths.into_iter().enumerate() {
            let key = from.bytes(length)?;
            if self.intern(bytes_hash(key), key) != Some(id as u32) {
                return Err(Broken);
            }
        }
        self.max = max;
        Ok(())
    }

    /// Keeps the groups whose number is marked, in their order, and numbers them anew.
    pub fn retain(&mut self, keep: &[bool]) {
        let kept = |id: usize| keep.get(id).copied().unwrap_or(false);
        let (mut start, mut written, mut count) = (0, 0, 0);
        for id in 0..self.len() {
            let end = self.ends[id] as usize;
            if kept(id) {
                self.keys.copy_within(start..end, written);
                written += end - start;
                self.ends[count] = written as u32;
                self.hashes[count] = self.hashes[id];
                count += 1;
            }
            start = end;
        }
        self.hashes.truncate(count);
        self.ends.truncate(count);
        self.keys.truncate(written);
        self.hashes.shrink_to(count + count / 4);
        self.ends.shrink_to(count + count / 4);
        self.keys.shrink_to(written + written / 4);
        let mut size = 64;
        while count * 4 > size * 3 {
            size *= 2;
        }
        self.slots = Vec::new();
        self.rehash(size);
    }
}

/// Grows large arrays by a quarter: doubling would waste up to half of the memory for a million
/// groups.
pub(super) fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 4).max(64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intern(groups: &mut Groups, key: &str) -> Option<u32> {
        groups.intern(bytes_hash(key.as_bytes()), key.as_bytes())
    }

    #[test]
    fn groups_are_numbered_as_they_come_and_found_again() {
        let mut groups = Groups::new(u32::MAX);
        for round in 0..2 {
            for i in 0..10_000 {
                assert_eq!(intern(&mut groups, &format!("host{i}")), Some(i), "{round}");
            }
        }
        assert_eq!(groups.len(), 10_000);
        assert_eq!(groups.key(1234), b"host1234");
        assert_eq!(groups.find(bytes_hash(b"none"), b"none"), None);
        assert_eq!(groups.key(10_000), b"");
    }

    #[test]
    fn equal_hashes_are_told_apart_by_their_keys() {
        let mut groups = Groups::new(9);
        assert_eq!(groups.intern(7, b"a"), Some(0));
        assert_eq!(groups.intern(7, b"b"), Some(1));
        assert_eq!(groups.intern(7, b""), Some(2));
        assert_eq!(groups.intern(7, b"a"), Some(0));
        assert_eq!(groups.find(7, b"b"), Some(1));
    }

    #[test]
    fn a_full_table_knows_its_groups_and_refuses_others() {
        let mut groups = Groups::new(2);
        assert_eq!(intern(&mut groups, "a"), Some(0));
        assert_eq!(intern(&mut groups, "b"), Some(1));
        assert_eq!(intern(&mut groups, "c"), None);
        assert_eq!(intern(&mut groups, "b"), Some(1));
    }

    #[test]
    fn retained_groups_are_numbered_anew() {
        let mut groups = Groups::new(u32::MAX);
        for i in 0..1000 {
            intern(&mut groups, &format!("key{i}"));
        }
        let keep: Vec<bool> = (0..1000).map(|i| i % 3 == 0).collect();
        groups.retain(&keep);
        assert_eq!(groups.len(), 334);
        for (at, i) in (0..1000).step_by(3).enumerate() {
            let key = format!("key{i}");
            assert_eq!(groups.find(bytes_hash(key.as_bytes()), key.as_bytes()), Some(at as u32));
            assert_eq!(groups.key(at as u32), key.as_bytes());
        }
        assert_eq!(intern(&mut groups, "key1"), Some(334));
    }

    #[test]
    fn a_million_groups_are_small() {
        let mut groups = Groups::new(u32::MAX);
        for i in 0..1_000_000_u64 {
            let key = i.to_le_bytes();
            groups.intern(bytes_hash(&key), &key);
        }
        let bytes = groups.byte_size() as f64 / 1e6;
        assert!(bytes < 40.0, "{bytes} bytes a group");
    }
}
