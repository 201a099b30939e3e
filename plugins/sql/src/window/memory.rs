//! The last values of counters, across windows: what a window's counters went up by counts from the value
//! before the window on.
//!
//! A value is known by its aggregate, by the hash of its group's key and by that of its series, since
//! groups are numbered anew. It is used if it is older than the window's first of that series, so a
//! window that comes out of its turn begins with its own first value.

use std::collections::BTreeMap;

use headwater_plugin_api::window::Groups;
use headwater_plugin_api::window::codec::{Broken, Read, Reader, put, put_time};

use super::tumbling::STATE_FACTOR;
use crate::accumulate::Accumulators;
use crate::accumulate::counter::{Number, Sample};
use crate::plan::Aggregate;

/// Bytes that a value takes, with its share of the tree.
const VALUE: usize = 64;
/// A value is written in so many bytes at least.
const WRITTEN: usize = 27;

/// Aggregate, group, series.
type Key = (u32, u64, u64);

/// What is remembered between windows.
pub struct Memory {
    values: BTreeMap<Key, (i64, Number)>,
    /// How many values may be there.
    most: usize,
    /// The statement has counters.
    used: bool,
    /// Values that were given up, until somebody asks.
    forgotten: u64,
}

impl Memory {
    pub fn new(aggregate: &Aggregate, max_groups: u32) -> Self {
        let used = Accumulators::new(&aggregate.aggregates).counters().next().is_some();
        let most = (max_groups as usize).saturating_mul(STATE_FACTOR).max(1);
        Memory { values: BTreeMap::new(), most, used, forgotten: 0 }
    }

    /// Whether anything is to be remembered.
    pub fn is_used(&self) -> bool {
        self.used
    }

    pub fn byte_size(&self) -> usize {
        self.values.len() * VALUE
    }

    /// How many values were given up since the last call.
    pub fn take_forgotten(&mut self) -> u64 {
        std::mem::take(&mut self.forgotten)
    }

    /// Lets counters of these groups go on from what is remembered.
    pub fn before(&self, content: &mut Accumulators, groups: &[u32], table: &Groups) {
        if self.used {
            groups.iter().for_each(|group| self.before_slot(content, *group, table.hash(*group)));
        }
    }

    /// Remembers the last values of these groups.
    pub fn after(&mut self, content: &mut Accumulators, groups: &[u32], table: &Groups) {
        if self.used {
            groups.iter().for_each(|group| self.after_slot(content, *group, table.hash(*group)));
        }
    }

    fn before_slot(&self, content: &mut Accumulators, slot: u32, group: u64) {
        for (number, counter) in content.counters() {
            for (first, _) in counter.ends(slot) {
                if let Some((time, value)) = self.values.get(&(number, group, first.series))
                    && *time < first.time
                {
                    let sample = Sample { series: first.series, time: *time, value: *value };
                    counter.push(slot, sample);
                }
            }
        }
    }

    fn after_slot(&mut self, content: &mut Accumulators, slot: u32, group: u64) {
        for (number, counter) in content.counters() {
            for (_, last) in counter.ends(slot) {
                let known = self.values.entry((number, group, last.series));
                let known = known.or_insert((last.time, last.value));
                if known.0 <= last.time {
                    *known = (last.time, last.value);
                }
            }
        }
        if self.values.len() > self.most {
            self.forget(self.values.len() - self.most / 8 * 7);
        }
    }

    /// As [`before`](Self::before) and [`after`](Self::after), for windows that have slots, one after the
    /// other: slots with their groups.
    pub fn through(
        &mut self,
        content: &mut Accumulators,
        slots: impl Iterator<Item = (u32, u32)>,
        table: &Groups,
    ) {
        if !self.used {
            return;
        }
        for (slot, group) in slots {
            self.before_slot(content, slot, table.hash(group));
            self.after_slot(content, slot, table.hash(group));
        }
    }

    /// Gives up the oldest values, so many at least.
    fn forget(&mut self, count: usize) {
        let mut times: Vec<i64> = self.values.values().map(|(time, _)| *time).collect();
        let Some(last) = count.min(times.len()).checked_sub(1) else { return };
        let (_, last, _) = times.select_nth_unstable(last);
        let (last, before) = (*last, self.values.len());
        self.values.retain(|_, (time, _)| *time > last);
        self.forgotten += (before - self.values.len()) as u64;
    }

    /// Makes do with less memory: gives up a quarter of the values, or all.
    pub fn relieve(&mut self, all: bool) {
        let count = self.values.len();
        self.forget(if all { count } else { count.div_ceil(4) });
    }

    /// Writes what is remembered: nothing if the statement has no counters.
    pub fn write(&self, out: &mut Vec<u8>) {
        if !self.used {
            return;
        }
        put(out, self.values.len() as u64);
        for ((number, group, series), (time, value)) in &self.values {
            put(out, u64::from(*number));
            out.extend_from_slice(&group.to_le_bytes());
            out.extend_from_slice(&series.to_le_bytes());
            put_time(out, *time);
            value.write(out);
        }
    }

    /// Reads what was written, where nothing is remembered.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        if !self.used {
            return Ok(());
        }
        for _ in 0..from.count(WRITTEN)? {
            let number = u32::try_from(from.number()?).map_err(|_| Broken)?;
            let key = (number, from.word()?, from.word()?);
            if self.values.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(Broken);
            }
            self.values.insert(key, (from.time()?, Number::read(from)?));
        }
        if self.values.len() > self.most {
            self.forget(self.values.len() - self.most);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(count: u64, most: usize) -> Memory {
        let values =
            (0..count).map(|at| ((0, at, 7), (at as i64, Number::Int(at as i64)))).collect();
        Memory { values, most, used: true, forgotten: 0 }
    }

    #[test]
    fn the_oldest_are_forgotten_and_counted() {
        let mut made = memory(100, 80);
        made.forget(30);
        assert_eq!((made.values.len(), made.take_forgotten(), made.take_forgotten()), (70, 30, 0));
        assert_eq!(made.values.values().map(|(time, _)| *time).min(), Some(30));
        made.relieve(false);
        assert_eq!((made.values.len(), made.take_forgotten()), (52, 18));
        made.relieve(true);
        assert_eq!((made.values.len(), made.take_forgotten()), (0, 52));
        made.relieve(true);
        assert_eq!(made.take_forgotten(), 0);
    }

    #[test]
    fn what_is_written_comes_back_and_all_else_is_refused() {
        let made = memory(20, 80);
        let mut bytes = Vec::new();
        made.write(&mut bytes);
        let mut read = memory(0, 80);
        read.read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(read.values, made.values);
        for end in 0..bytes.len() {
            assert!(memory(0, 80).read(&mut Reader::new(&bytes[..end])).is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 0x55;
            let _ = memory(0, 80).read(&mut Reader::new(&bent));
        }
        let mut few = memory(0, 15);
        few.read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!((few.values.len(), few.forgotten), (15, 5));
    }
}
