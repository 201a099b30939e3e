//! The series that a parser has met, known by the bytes with which their lines begin.
//!
//! Bounded: when it is full, all is forgotten. What is learned of a series here: what the batch
//! under construction calls it, which series came after it, and which fields its last line had.

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::{BatchBuilder, Limits, Refused, SeriesStore};

use crate::slots::Slots;

/// Series that are remembered.
const SERIES_MAX: usize = 65_536;
/// Bytes of all series that are remembered.
const BYTES_MAX: usize = 8 << 20;

#[derive(Clone, Copy)]
struct Entry {
    /// The line's beginning, up to and with the space before the fields.
    raw: u32,
    raw_len: u32,
    /// The entry of the line that came next.
    next: u32,
    /// The plan of its last line's fields.
    plan: u32,
    /// The batch that knows the series, and what it calls it.
    epoch: u64,
    index: u32,
    /// What the store calls the series.
    series: u32,
}

/// The warm table.
#[derive(Default)]
pub struct Warm {
    entries: Vec<Entry>,
    hashes: Vec<u64>,
    raw: Vec<u8>,
    slots: Slots,
    store: SeriesStore,
    /// By series of the store: the batch that knows it, and what it calls it. Two beginnings may
    /// name one series.
    known: Vec<(u64, u32)>,
    last: u32,
}

impl Warm {
    /// Forgets all and keeps the memory. The batch under construction must be finished first: it
    /// would get the same series twice.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.hashes.clear();
        self.raw.clear();
        self.slots.clear();
        self.store.clear();
        self.known.clear();
        self.last = 0;
    }

    /// The entry that came after the last line's, and where the fields begin, if the line at
    /// `start` begins as that one did.
    #[inline(always)]
    pub fn predict(&mut self, text: &[u8], start: usize) -> Option<(u32, usize)> {
        let next = self.entries.get(self.last as usize)?.next;
        let entry = self.entries.get(next as usize)?;
        let (from, len) = (entry.raw as usize, entry.raw_len as usize);
        let raw = self.raw.get(from..from + len)?;
        if text.get(start..start + len)? != raw {
            return None;
        }
        self.last = next;
        Some((next, start + len))
    }

    /// The entry of lines that begin with `raw`.
    #[inline]
    pub fn find(&mut self, raw: &[u8]) -> Option<u32> {
        let found = self.slots.find(bytes_hash(raw), |index| {
            let entry = &self.entries[index as usize];
            &self.raw[entry.raw as usize..(entry.raw + entry.raw_len) as usize] == raw
        })?;
        self.follow(found);
        Some(found)
    }

    fn follow(&mut self, entry: u32) {
        if let Some(last) = self.entries.get_mut(self.last as usize) {
            last.next = entry;
        }
        self.last = entry;
    }

    /// Whether another series may find no room.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= SERIES_MAX || self.byte_size() >= BYTES_MAX
    }

    fn byte_size(&self) -> usize {
        // What is in use: the memory behind it is kept when all is forgotten.
        self.raw.len() * 3 + self.entries.len() * (size_of::<Entry>() + 144)
    }

    /// Remembers a beginning that was checked and not found.
    ///
    /// # Errors
    /// The store's.
    pub fn add(
        &mut self,
        raw: &[u8],
        name: &str,
        sorted_tags: &[(&str, &str)],
        limits: &Limits,
    ) -> Result<u32, Refused> {
        let series = self.store.intern(name, sorted_tags, limits)?;
        if series as usize == self.known.len() {
            self.known.push((0, 0));
        }
        let hash = bytes_hash(raw);
        let index = self.entries.len() as u32;
        self.entries.push(Entry {
            raw: self.raw.len() as u32,
            raw_len: raw.len() as u32,
            next: 0,
            // A new series most often has the fields of the one before.
            plan: self.entries.get(self.last as usize).map_or(0, |last| last.plan),
            epoch: 0,
            index: 0,
            series,
        });
        self.raw.extend_from_slice(raw);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.slots.insert(hash, index, |index| hashes[index as usize]);
        self.follow(index);
        Ok(index)
    }

    /// The plan of the entry's last line.
    #[inline(always)]
    pub fn plan(&self, entry: u32) -> u32 {
        match self.entries.get(entry as usize) {
            Some(entry) => entry.plan,
            None => 0,
        }
    }

    /// Sets the plan of the entry's last line.
    #[inline]
    pub fn set_plan(&mut self, entry: u32, plan: u32) {
        if let Some(entry) = self.entries.get_mut(entry as usize) {
            entry.plan = plan;
        }
    }

    /// What the batch under construction calls the series.
    #[inline(always)]
    pub fn series(&mut self, entry: u32, builder: &mut BatchBuilder) -> u32 {
        match self.entries.get(entry as usize) {
            Some(known) if known.epoch == builder.epoch() => known.index,
            _ => self.enter(entry, builder),
        }
    }

    #[inline(never)]
    fn enter(&mut self, entry: u32, builder: &mut BatchBuilder) -> u32 {
        let entry = &mut self.entries[entry as usize];
        let known = &mut self.known[entry.series as usize];
        if known.0 != builder.epoch() {
            let series = self.store.get(entry.series);
            *known = (builder.epoch(), builder.append_series(&series, Some(entry.series)));
        }
        (entry.epoch, entry.index) = *known;
        entry.index
    }
}
