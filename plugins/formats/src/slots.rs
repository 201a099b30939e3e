//! A table from hashes to indices, by open addressing: the look-up of the stores of this family.

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
}
