//! Tables from hashes to indices, by open addressing: the look-ups of the stores of this family.

/// The bits of a slot that hold the index plus one.
const INDEX: u32 = (1 << 20) - 1;

/// The bits of a slot that hold a part of the hash, one that does not choose the slot.
#[inline(always)]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32 & !INDEX
}

/// Indices by the hash of what they stand for. The caller compares what it finds.
#[derive(Default)]
pub struct Slots {
    /// Bits of the hash and the index plus one; 0 for free. A power of two long, or empty. It is small
    /// so that it stays in the processor's cache.
    slots: Vec<u32>,
    filled: usize,
}

impl Slots {
    /// The index whose hash is `hash` and for which `equal` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut equal: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        loop {
            let slot = *self.slots.get(at)?;
            let index = (slot & INDEX).checked_sub(1)?;
            if slot & !INDEX == tag(hash) && equal(index) {
                return Some(index);
            }
            at = (at + 1) & mask;
        }
    }

    /// Enters an index that was not found, below [`INDEX`]. `hash_of` tells the hash of an index
    /// entered before.
    #[inline]
    pub fn insert(&mut self, hash: u64, index: u32, hash_of: impl Fn(u32) -> u64) {
        debug_assert!(index < INDEX);
        if (self.filled + 1) * 4 > self.slots.len() * 3 {
            let size = (self.slots.len() * 2).max(64);
            let old = std::mem::replace(&mut self.slots, vec![0; size]);
            for slot in old.into_iter().filter(|&slot| slot != 0) {
                let index = (slot & INDEX) - 1;
                self.put(hash_of(index), index);
            }
        }
        self.filled += 1;
        self.put(hash, index);
    }

    fn put(&mut self, hash: u64, index: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = tag(hash) | (index + 1);
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.slots.fill(0);
        self.filled = 0;
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;
/// Slots that are looked at at once.
const GROUP: usize = 8;

/// A table for many indices of which most are looked for in vain. A byte of the hash of each stands
/// apart from the indices: these bytes stay in the processor's cache when the indices do not, and
/// nearly always eight of them tell that there is nothing.
#[derive(Default)]
pub struct Sieve {
    /// Seven bits of the hash below a set one, 0 for free. A power of two long, with the first group
    /// once more behind it; or empty.
    bytes: Vec<u8>,
    indices: Vec<u32>,
    filled: usize,
}

impl Sieve {
    #[inline(always)]
    fn group(&self, at: usize) -> Option<u64> {
        self.bytes.get(at..)?.first_chunk().map(|group| u64::from_le_bytes(*group))
    }

    /// The index whose hash is `hash` and for which `equal` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut equal: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.indices.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        // What is here at all mostly stands at its first place.
        if *self.bytes.get(at)? == byte_of(hash)
            && let Some(index) = self.indices.get(at).copied()
            && equal(index)
        {
            return Some(index);
        }
        loop {
            let group = self.group(at)?;
            let free = !group & HIGH;
            // What is found behind a byte that is equal may not be: it is compared.
            let differs = group ^ (ONES * u64::from(byte_of(hash)));
            let mut found = differs.wrapping_sub(ONES) & !differs & HIGH & free.wrapping_sub(1);
            while found != 0 {
                let slot = at + found.trailing_zeros() as usize / 8;
                let index = *self.indices.get(slot & mask)?;
                if equal(index) {
                    return Some(index);
                }
                found &= found - 1;
            }
            if free != 0 {
                return None;
            }
            at = (at + GROUP) & mask;
        }
    }

    /// Enters an index that was not found. `hash_of` tells the hash of an index entered before.
    #[inline]
    pub fn insert(&mut self, hash: u64, index: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.filled + 1) * 2 > self.indices.len() {
            self.grow(hash_of);
        }
        self.filled += 1;
        self.put(hash, index);
    }

    #[cold]
    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let size = (self.indices.len() * 2).max(64);
        let bytes = std::mem::replace(&mut self.bytes, vec![0; size + GROUP]);
        let indices = std::mem::replace(&mut self.indices, vec![0; size]);
        for (_, index) in bytes.into_iter().zip(indices).filter(|(byte, _)| *byte != 0) {
            self.put(hash_of(index), index);
        }
    }

    #[inline]
    fn put(&mut self, hash: u64, index: u32) {
        let mask = self.indices.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        while let Some(group) = self.group(at) {
            let free = !group & HIGH;
            if free != 0 {
                at = (at + free.trailing_zeros() as usize / 8) & mask;
                break;
            }
            at = (at + GROUP) & mask;
        }
        if let (Some(byte), Some(slot)) = (self.bytes.get_mut(at), self.indices.get_mut(at)) {
            *byte = byte_of(hash);
            *slot = index;
        }
        if at < GROUP
            && let Some(again) = self.bytes.get_mut(mask + 1 + at)
        {
            *again = byte_of(hash);
        }
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.fill(0);
        self.filled = 0;
    }
}

/// Bits of the hash that do not choose the slot.
#[inline(always)]
fn byte_of(hash: u64) -> u8 {
    (hash >> 56) as u8 | 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_entered_is_found() {
        let mut slots = Slots::default();
        let hash = |index: u32| u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for index in 0..10_000 {
            assert_eq!(slots.find(hash(index), |found| found == index), None);
            slots.insert(hash(index), index, hash);
        }
        for index in 0..10_000 {
            assert_eq!(slots.find(hash(index), |found| found == index), Some(index));
        }
        slots.clear();
        assert_eq!(slots.find(hash(7), |_| true), None);
    }

    #[test]
    fn a_sieve_finds_what_was_entered_and_nothing_else() {
        // Hashes that spread, that crowd in a few places, and that all begin in the last one.
        for spread in [0x9e37_79b9_7f4a_7c15, 0x0900_0000_0000_0400, 0] {
            let hash = |index: u32| (!u64::from(index)).wrapping_mul(spread).wrapping_sub(1);
            let count = if spread == 0 { 300 } else { 5_000 };
            let mut sieve = Sieve::default();
            for index in 0..count {
                assert_eq!(sieve.find(hash(index), |found| found == index), None);
                sieve.insert(hash(index), index, hash);
            }
            for index in 0..count {
                assert_eq!(sieve.find(hash(index), |found| found == index), Some(index));
                assert_eq!(sieve.find(hash(index), |found| found == index + count), None);
            }
            sieve.clear();
            assert_eq!(sieve.find(hash(7), |_| true), None);
        }
    }
}
