//! Which sessions were emitted, in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::window::codec::{Broken, Read, Reader, put, put_time};

/// The last sessions that were emitted, by the hash of their group.
#[derive(Debug)]
pub(super) struct Memory {
    /// Start and last point, in the order of the last points, which is that of the starts as well: one
    /// that lies within another is as long as it has to be for that.
    spans: HashMap<u64, VecDeque<(i64, i64)>, BuildHasherDefault<Same>>,
    /// Their groups in the order of their emission.
    order: VecDeque<u64>,
    max: usize,
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Memory {
    pub fn new(max: usize) -> Self {
        Memory { spans: HashMap::default(), order: VecDeque::new(), max: max.max(1) }
    }

    /// Remembers a session. When there are too many, the group of which one was emitted first forgets
    /// its earliest.
    pub fn insert(&mut self, hash: u64, start: i64, last: i64) {
        let spans = self.spans.entry(hash).or_default();
        let at = match spans.back() {
            Some((_, before)) if *before >= last => spans.partition_point(|span| span.1 < last),
            _ => spans.len(),
        };
        let start = spans.get(at).map_or(start, |later| start.min(later.0));
        spans.insert(at, (start, last));
        for earlier in spans.range_mut(..at).rev().take_while(|earlier| earlier.0 > start) {
            earlier.0 = start;
        }
        self.order.push_back(hash);
        self.forget(self.max);
    }

    fn forget(&mut self, most: usize) {
        while self.order.len() > most
            && let Some(hash) = self.order.pop_front()
        {
            if let Some(spans) = self.spans.get_mut(&hash) {
                spans.pop_front();
                if spans.is_empty() {
                    self.spans.remove(&hash);
                }
            }
        }
    }

    /// Whether a point of that time would have belonged to a session that was emitted.
    pub fn reaches(&self, hash: u64, time: i64, gap: i64) -> bool {
        let Some(spans) = self.spans.get(&hash) else { return false };
        let from = time.saturating_sub(gap);
        // What comes now is mostly later than all that was emitted.
        if spans.back().is_none_or(|span| span.1 < from) {
            return false;
        }
        let at = spans.partition_point(|span| span.1 < from);
        spans.get(at).is_some_and(|span| span.0.saturating_sub(gap) <= time)
    }

    /// Writes the sessions, in the order in which they are forgotten.
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.order.len() as u64);
        let mut next: HashMap<u64, usize, BuildHasherDefault<Same>> = HashMap::default();
        for hash in &self.order {
            let at = next.entry(*hash).or_default();
            let span = self.spans.get(hash).and_then(|spans| spans.get(*at));
            let (start, last) = span.copied().unwrap_or_default();
            *at += 1;
            out.extend_from_slice(&hash.to_le_bytes());
            put_time(out, start);
            put_time(out, last);
        }
    }

    /// Reads sessions where there are none.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        for _ in 0..from.count(24)? {
            let (hash, start, last) = (from.word()?, from.time()?, from.time()?);
            if start > last {
                return Err(Broken);
            }
            self.insert(hash, start, last);
        }
        Ok(())
    }

    /// Gives back memory, but for the last sessions.
    pub fn shrink(&mut self, most: usize) {
        self.forget(most);
        self.order.shrink_to(most);
        self.spans.shrink_to(most);
    }

    /// Bytes of memory held, about.
    pub fn byte_size(&self) -> usize {
        self.spans.capacity() * 41 + self.spans.len() * 80 + self.order.capacity() * 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_within_the_gap_was_emitted() {
        let mut memory = Memory::new(9);
        memory.insert(7, 300, 300);
        memory.insert(7, 100, 200);
        memory.insert(8, 0, 1000);
        for (time, reached) in [
            (89, false),
            (90, true),
            (150, true),
            (210, true),
            (211, false),
            (290, true),
            (311, false),
        ] {
            assert_eq!(memory.reaches(7, time, 10), reached, "{time}");
        }
        assert!(!memory.reaches(9, 150, 10));
    }

    #[test]
    fn sessions_within_others_hide_none() {
        // A session that was emitted as one of few points may later lie within a longer one.
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let mut memory = Memory::new(9);
            let spans = [(100, 200), (150, 150), (120, 160)];
            order.iter().for_each(|at| memory.insert(7, spans[*at].0, spans[*at].1));
            memory.insert(7, 400, 400);
            for time in 0..500 {
                let reached = (90..=210).contains(&time) || (390..=410).contains(&time);
                assert_eq!(memory.reaches(7, time, 10), reached, "{order:?} {time}");
            }
        }
    }

    #[test]
    fn the_first_are_forgotten() {
        let mut memory = Memory::new(2);
        for start in [0, 100, 200] {
            memory.insert(1, start, start + 5);
        }
        assert!(!memory.reaches(1, 0, 1) && memory.reaches(1, 100, 1) && memory.reaches(1, 200, 1));
        memory.shrink(1);
        assert!(!memory.reaches(1, 100, 1) && memory.reaches(1, 200, 1));
    }
}
