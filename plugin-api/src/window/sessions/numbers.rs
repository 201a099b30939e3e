//! The numbers of groups and of slots, which are made anew when most of them are no longer needed.

use super::{NONE, Sessions};

impl Sessions {
    /// How many slots were given out since they were numbered.
    pub fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Marks the groups that have sessions.
    pub fn used(&self, used: &mut [bool]) {
        for session in self.list.iter().flatten() {
            if let Some(used) = used.get_mut(session.group as usize) {
                *used = true;
            }
        }
    }

    /// Takes note of groups' new numbers; those without sessions need none.
    pub fn renumber(&mut self, numbers: &[u32]) {
        self.by_time.clear();
        let mut groups = Vec::new();
        for (of_group, number) in self.groups.iter().zip(numbers) {
            if *number != NONE {
                groups.push(*of_group);
            }
        }
        self.groups = groups;
        for (id, session) in self.list.iter_mut().enumerate() {
            let Some(session) = session else { continue };
            if let Some(number) = numbers.get(session.group as usize) {
                session.group = *number;
            }
            if session.ordered {
                self.by_time.insert((session.group, session.start), id as u32);
            }
        }
    }

    /// Numbers the slots anew when most of them are no longer needed. By old slot: the new one, or
    /// `u32::MAX`; slots of sessions that became one have the same.
    pub fn compact(&mut self) -> Option<Vec<u32>> {
        if self.slots <= Self::COMPACT_MIN || (self.slots as usize) < self.len * 2 {
            return None;
        }
        self.compact_all()
    }

    /// As [`compact`](Self::compact), if there is any slot that is no longer needed.
    pub fn compact_all(&mut self) -> Option<Vec<u32>> {
        if self.slots as usize <= self.len {
            return None;
        }
        let mut map = vec![NONE; self.slots as usize];
        let mut next = 0;
        for session in self.list.iter_mut().flatten() {
            for old in session.more.drain(..).chain([session.slot]) {
                if let Some(new) = map.get_mut(old as usize) {
                    *new = next;
                }
            }
            session.slot = next;
            next += 1;
        }
        self.slots = next;
        Some(map)
    }
}
