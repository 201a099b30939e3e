//! Maps by numbers that the engine itself gives out.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by such numbers. Nobody outside chooses them, so that they need no hash that resists choice.
pub type NumberMap<V> = HashMap<u64, V, BuildHasherDefault<Mixer>>;

/// Spreads the bits of one number.
#[derive(Debug, Default, Clone, Copy)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 << 8 | u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(number ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn pairs_of_small_numbers_are_spread() {
        let hash = |a: u64, b: u64| {
            let mut mixer = Mixer::default();
            mixer.write_u64(a << 32 | b);
            mixer.finish()
        };
        let all: Vec<u64> = (0..256).flat_map(|a| (0..256).map(move |b| hash(a, b))).collect();
        // Of 65,536 numbers in as many places, 0.63 are hit by chance.
        for shift in [0, 16, 48] {
            let places: HashSet<u64> = all.iter().map(|hash| hash >> shift & 0xffff).collect();
            assert!(places.len() > 40_000, "{} places at {shift}", places.len());
        }
    }
}
