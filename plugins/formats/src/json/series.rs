//! The series that a parser of JSON has met, known by the bytes of the values that make them.

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::{BatchBuilder, Limits, Refused, SeriesStore};

use super::scan::{Class, unescape};
use super::template::SeriesKeys;
use crate::slots::Slots;

/// Series that are remembered; when there are more, all are forgotten.
const SERIES_MAX: usize = 65_536;
/// Bytes of all series that are remembered.
const BYTES_MAX: usize = 8 << 20;

#[derive(Clone, Copy)]
struct Entry {
    raw: (u32, u32),
    series: u32,
    index: u32,
    epoch: u64,
    hash: u64,
}

/// The warm table. A series is written as: what its values mean (4 bytes), then for each value a
/// byte for what it is, which no value can hold, and its bytes.
#[derive(Default)]
pub struct WarmSeries {
    entries: Vec<Entry>,
    raw: Vec<u8>,
    slots: Slots,
    store: SeriesStore,
    known: Vec<(u64, u32)>,
    text: String,
}

/// Bytes of a copy of fixed size.
const BLOCK: usize = 16;

/// Appends a value that makes a series.
#[inline(always)]
pub fn push_value(raw: &mut Vec<u8>, class: Class, text: &[u8], from: usize, to: usize) {
    raw.push(class as u8 + 1);
    let len = to - from;
    let end = raw.len() + len;
    match text.get(from..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        Some(block) if len <= BLOCK => raw.extend_from_slice(block),
        _ => raw.extend_from_slice(text.get(from..to).unwrap_or_default()),
    }
    raw.truncate(end);
}

impl WarmSeries {
    /// Forgets all and keeps the memory. The batch under construction must be finished first: it
    /// would get the same series twice.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.raw.clear();
        self.slots.clear();
        self.store.clear();
        self.known.clear();
    }

    /// Whether another series may find no room.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= SERIES_MAX
            || self.raw.len() * 4 + self.entries.len() * 192 >= BYTES_MAX
    }

    /// What the batch under construction calls the series, if it is known.
    #[inline]
    pub fn find(&mut self, raw: &[u8], builder: &mut BatchBuilder) -> Option<u32> {
        let found = self.slots.find(bytes_hash(raw), |index| {
            let (from, to) = self.entries[index as usize].raw;
            &self.raw[from as usize..to as usize] == raw
        })?;
        let entry = &self.entries[found as usize];
        if entry.epoch == builder.epoch() {
            return Some(entry.index);
        }
        Some(self.append(found, builder))
    }

    #[inline(never)]
    fn append(&mut self, entry: u32, builder: &mut BatchBuilder) -> u32 {
        let entry = &mut self.entries[entry as usize];
        let known = &mut self.known[entry.series as usize];
        if known.0 != builder.epoch() {
            let series = self.store.get(entry.series);
            *known = (builder.epoch(), builder.append_series(&series, Some(entry.series)));
        }
        (entry.epoch, entry.index) = *known;
        entry.index
    }

    /// Makes a series that was not found.
    pub fn add(
        &mut self,
        raw: &[u8],
        keys: &SeriesKeys,
        default_name: &str,
        limits: &Limits,
        builder: &mut BatchBuilder,
    ) -> Result<u32, Refused> {
        self.text.clear();
        let mut name = None;
        let mut tags: Vec<(&str, usize, usize)> = Vec::with_capacity(keys.values.len());
        let mut rest = raw.get(4..).unwrap_or_default();
        for (tag, is_name) in &keys.values {
            let Some((&class, behind)) = rest.split_first() else { break };
            let end = behind.iter().position(|&byte| byte < b' ').unwrap_or(behind.len());
            let start = self.text.len();
            push_text(&mut self.text, class, &behind[..end]);
            if *is_name && self.text.len() > start {
                name = Some((start, self.text.len()));
            }
            if let Some(tag) = tag {
                tags.push((tag, start, self.text.len()));
            }
            rest = &behind[end..];
        }
        let text = self.text.as_str();
        tags.sort_by_key(|tag| tag.0);
        let tags: Vec<(&str, &str)> =
            tags.into_iter().map(|(key, from, to)| (key, &text[from..to])).collect();
        let name = name.map_or(default_name, |(from, to)| &text[from..to]);
        let series = self.store.intern(name, &tags, limits)?;
        if series as usize == self.known.len() {
            self.known.push((0, 0));
        }
        let hash = bytes_hash(raw);
        let index = self.entries.len() as u32;
        let start = self.raw.len() as u32;
        self.raw.extend_from_slice(raw);
        let place = (start, self.raw.len() as u32);
        self.entries.push(Entry { raw: place, series, index: 0, epoch: 0, hash });
        let entries = &self.entries;
        self.slots.insert(hash, index, |index| entries[index as usize].hash);
        Ok(self.append(index, builder))
    }
}

/// Appends a value as a tag shows it: numbers as short as they can be, without an exponent.
fn push_text(out: &mut String, class: u8, raw: &[u8]) {
    let text = str::from_utf8(raw).unwrap_or_default();
    if class == Class::Number as u8 + 1
        && let Ok(number) = text.parse::<f64>()
    {
        out.push_str(&number.to_string());
    } else {
        unescape(out, raw);
    }
}
