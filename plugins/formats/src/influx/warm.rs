//! The series that a parser has met, known by the bytes with which their lines begin.
//!
//! Bounded: when it is full, all is forgotten. What is learned of a series here: what the batch
//! under construction calls it, which series came after it, and which fields its last line had.

use std::hash::{BuildHasher, RandomState};

use headwater_plugin_api::batch::layout::{Series, Tag};
use headwater_plugin_api::batch::{BatchBuilder, Limits, Refused, SeriesRef, SeriesStore};

use super::plain::Plain;
use crate::slots::Sieve;

/// Series that are remembered.
const SERIES_MAX: usize = 65_536;
/// Bytes of all series that are remembered.
const BYTES_MAX: usize = 8 << 20;
/// Bytes behind a text that a look at it may reach.
const PADDING: usize = 32;

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
    /// Where the series stands.
    series: u32,
}

/// The warm table.
pub struct Warm {
    entries: Vec<Entry>,
    hashes: Vec<u64>,
    raw: Vec<u8>,
    slots: Sieve,
    /// Series whose beginning is their canonical key, with texts in `raw`.
    plain: Vec<Series>,
    tags: Vec<Tag>,
    /// The entries of those.
    plain_entries: Vec<u32>,
    /// Series whose canonical key has escapes: no plain beginning names them.
    escaped: SeriesStore,
    /// By escaped series: the batch that knows it, and what it calls it.
    escaped_known: Vec<(u64, u32)>,
    /// For canonical keys of beginnings that are not.
    scratch: SeriesStore,
    key: Vec<u8>,
    /// The entry that the line being read has made, and whose parts are at hand.
    fresh: u32,
    again: Box<Plain>,
    last: u32,
    seed: u64,
}

/// Set in [`Entry::series`] for an index into the escaped series.
const ESCAPED: u32 = 1 << 31;
/// A plain series of which nothing but its beginning is kept so far: most series that come once come
/// never again.
const UNPLACED: u32 = u32::MAX;
/// No entry.
const NONE: u32 = u32::MAX;

impl Default for Warm {
    fn default() -> Self {
        Warm {
            entries: Vec::new(),
            hashes: Vec::new(),
            raw: Vec::new(),
            slots: Sieve::default(),
            plain: Vec::new(),
            tags: Vec::new(),
            plain_entries: Vec::new(),
            escaped: SeriesStore::new(),
            escaped_known: Vec::new(),
            scratch: SeriesStore::new(),
            key: Vec::new(),
            fresh: NONE,
            again: Box::default(),
            last: 0,
            // Lines cannot be made to collide by whoever sends them.
            seed: RandomState::new().hash_one(0_u8) | 1,
        }
    }
}

impl Warm {
    /// Forgets all and keeps the memory. The batch under construction must be finished first: it
    /// would get the same series twice.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.hashes.clear();
        self.raw.clear();
        self.slots.clear();
        self.plain.clear();
        self.tags.clear();
        self.plain_entries.clear();
        self.escaped.clear();
        self.escaped_known.clear();
        self.last = 0;
        self.fresh = NONE;
    }

    /// Says that the parts of the last series are no longer at hand.
    #[inline]
    pub fn forget_parts(&mut self) {
        self.fresh = NONE;
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

    /// The hash under which a beginning is kept.
    #[inline]
    pub fn hash(&self, raw: &[u8]) -> u64 {
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        let half = |bytes: &[u8; 16], at: usize| match bytes[at..].first_chunk() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => 0,
        };
        let mut hash = self.seed ^ raw.len() as u64;
        let (blocks, rest) = raw.as_chunks::<16>();
        for block in blocks {
            hash = fold(half(block, 0) ^ hash, half(block, 8) ^ 0x9e37_79b9_7f4a_7c15);
        }
        let last = match raw.last_chunk::<16>() {
            Some(last) => *last,
            None => {
                let mut last = [0; 16];
                for (to, from) in last.iter_mut().zip(rest) {
                    *to = *from;
                }
                last
            }
        };
        hash = fold(half(&last, 0) ^ hash, half(&last, 8) ^ 0x9e37_79b9_7f4a_7c15);
        fold(hash ^ self.seed, 0xbf58_476d_1ce4_e5b9)
    }

    /// The entry of lines that begin with `raw`.
    #[inline]
    pub fn find(&mut self, hash: u64, raw: &[u8]) -> Option<u32> {
        let found = self.look_up(hash, raw)?;
        self.follow(found);
        Some(found)
    }

    #[inline]
    fn look_up(&self, hash: u64, raw: &[u8]) -> Option<u32> {
        self.slots.find(hash, |index| {
            let entry = &self.entries[index as usize];
            &self.raw[entry.raw as usize..(entry.raw + entry.raw_len) as usize] == raw
        })
    }

    #[inline]
    fn follow(&mut self, entry: u32) {
        if let Some(last) = self.entries.get_mut(self.last as usize) {
            last.next = entry;
        }
        self.last = entry;
    }

    /// Whether another series may find no room.
    #[inline]
    pub fn is_full(&self) -> bool {
        // What is in use: the memory behind it is kept when all is forgotten.
        let bytes = self.raw.len()
            + self.entries.len() * (size_of::<Entry>() + size_of::<u64>() * 3)
            + self.plain.len() * size_of::<Series>()
            + self.tags.len() * size_of::<Tag>()
            + self.escaped.byte_size();
        self.entries.len() >= SERIES_MAX || bytes >= BYTES_MAX
    }

    /// Remembers a plain series that was not found: `raw` is it with the space behind it.
    #[inline]
    pub fn add_plain(&mut self, hash: u64, raw: &[u8], plain: &mut Plain) -> u32 {
        let entry = if plain.is_canonical {
            self.fresh = self.enter(hash, raw, UNPLACED);
            self.fresh
        } else {
            let mut key = std::mem::take(&mut self.key);
            key.clear();
            plain.write_canonical(raw, &mut key);
            key.push(b' ');
            let place = self.canonical(&key, plain.series, plain.tags());
            self.key = key;
            self.enter(hash, raw, place)
        };
        self.follow(entry);
        entry
    }

    /// The place of a plain series by its canonical key with a space behind it.
    fn canonical(&mut self, key: &[u8], series: Series, tags: &[Tag]) -> u32 {
        let hash = self.hash(key);
        match self.look_up(hash, key) {
            Some(entry) => self.place(entry),
            None => {
                let entry = self.enter(hash, key, UNPLACED);
                self.put(entry, series, tags)
            }
        }
    }

    /// Where the series of a plain entry stands, which is found out now if it was not before.
    #[inline(never)]
    fn place(&mut self, entry: u32) -> u32 {
        let known = self.entries[entry as usize];
        if known.series != UNPLACED {
            return known.series;
        }
        let mut key = std::mem::take(&mut self.key);
        let mut again = std::mem::take(&mut self.again);
        key.clear();
        key.extend_from_slice(&self.raw[known.raw as usize..(known.raw + known.raw_len) as usize]);
        let end = key.len() - 1;
        key.resize(key.len() + PADDING, 0);
        // It was found when it was entered, by the same bytes.
        let found = again.space(&key, 0) == Some(end) && again.find(end);
        debug_assert!(found);
        let place = self.put(entry, again.series, again.tags());
        (self.key, self.again) = (key, again);
        place
    }

    /// Keeps the parts of a plain entry and gives their place.
    fn put(&mut self, entry: u32, series: Series, tags: &[Tag]) -> u32 {
        let place = self.plain.len() as u32;
        self.plain.push(Series {
            text: self.entries[entry as usize].raw,
            tags: self.tags.len() as u32,
            tag_count: tags.len() as u32,
            ..series
        });
        self.tags.extend_from_slice(tags);
        self.plain_entries.push(entry);
        self.entries[entry as usize].series = place;
        place
    }

    #[inline]
    fn enter(&mut self, hash: u64, raw: &[u8], series: u32) -> u32 {
        let index = self.entries.len() as u32;
        self.entries.push(Entry {
            raw: self.raw.len() as u32,
            raw_len: raw.len() as u32,
            next: NONE,
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
        index
    }

    /// Remembers a series that was not found and that does not stand in the text as its canonical
    /// key.
    ///
    /// # Errors
    /// The store's.
    pub fn add(
        &mut self,
        hash: u64,
        raw: &[u8],
        name: &str,
        sorted_tags: &[(&str, &str)],
        limits: &Limits,
    ) -> Result<u32, Refused> {
        self.scratch.clear();
        let at = self.scratch.intern(name, sorted_tags, limits)?;
        let series = self.scratch.get(at);
        let place = if series.key().contains('\\') {
            let index = self.escaped.intern_ref(&series);
            if index as usize == self.escaped_known.len() {
                self.escaped_known.push((0, 0));
            }
            index | ESCAPED
        } else {
            let mut key = series.key().as_bytes().to_vec();
            key.push(b' ');
            let (entry, tags) = parts(&series);
            let place = self.canonical(&key, entry, &tags);
            if key == raw {
                let entry = self.plain_entries[place as usize];
                self.follow(entry);
                return Ok(entry);
            }
            place
        };
        let entry = self.enter(hash, raw, place);
        self.follow(entry);
        Ok(entry)
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
    pub fn series(&mut self, entry: u32, plain: &Plain, builder: &mut BatchBuilder) -> u32 {
        match self.entries.get(entry as usize) {
            Some(known) if known.epoch == builder.epoch() => known.index,
            _ if self.fresh == entry => self.append_fresh(entry, plain, builder),
            _ => self.append(entry, builder),
        }
    }

    /// Appends the series of which the parts are at hand.
    #[inline]
    fn append_fresh(&mut self, entry: u32, plain: &Plain, builder: &mut BatchBuilder) -> u32 {
        let known = &mut self.entries[entry as usize];
        let text = self.raw.get(known.raw as usize..).unwrap_or_default();
        let series = SeriesRef::new(text, plain.tags(), &plain.series);
        known.index = builder.append_series(&series, Some(entry));
        known.epoch = builder.epoch();
        known.index
    }

    #[inline(never)]
    fn append(&mut self, entry: u32, builder: &mut BatchBuilder) -> u32 {
        let epoch = builder.epoch();
        let place = self.place(entry);
        let index = if place & ESCAPED == 0 {
            // The batch is told to the entry of the canonical key, which all others ask.
            let named = self.plain_entries[place as usize];
            let canonical = &mut self.entries[named as usize];
            if canonical.epoch != epoch {
                let series = SeriesRef::new(&self.raw, &self.tags, &self.plain[place as usize]);
                canonical.index = builder.append_series(&series, Some(named));
                canonical.epoch = epoch;
            }
            canonical.index
        } else {
            let known = &mut self.escaped_known[(place & !ESCAPED) as usize];
            if known.0 != epoch {
                let series = self.escaped.get(place & !ESCAPED);
                *known = (epoch, builder.append_series(&series, None));
            }
            known.1
        };
        let entry = &mut self.entries[entry as usize];
        entry.epoch = epoch;
        entry.index = index;
        index
    }
}

/// Entry and tags of a series without escapes, as if its key stood alone.
fn parts(series: &SeriesRef<'_>) -> (Series, Vec<Tag>) {
    let mut end = series.name().len() as u32;
    let tags = series.tags().map(|(key, value)| {
        let tag = Tag {
            key: end + 1,
            key_len: key.len() as u32,
            value: end + 2 + key.len() as u32,
            value_len: value.len() as u32,
        };
        end = tag.value + tag.value_len;
        tag
    });
    let tags: Vec<Tag> = tags.collect();
    let len = series.key().len() as u32;
    let entry = Series {
        hash: series.hash(),
        text_len: len,
        key_len: len,
        name_len: series.name().len() as u32,
        ..Series::default()
    };
    (entry, tags)
}
