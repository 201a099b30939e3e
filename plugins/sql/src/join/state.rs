//! What a join holds as bytes: its keys, then the points of both sources in the order of their times.
//! Delivery handles are not part of it.

use headwater_plugin_api::batch::Value;
use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::window::Feed;
use headwater_plugin_api::window::codec::{Broken, Read, Reader, put, put_text, put_time};

use super::keys::Spans;
use super::*;
use crate::plan::Carried;

/// Bits of a row: a catching-up source gave it, its key is NULL.
const FED: u8 = 1;
const NULL_KEY: u8 = 2;

impl JoinState {
    /// Appends what is held.
    pub fn write(&self, out: &mut Vec<u8>) {
        let held = &self.held;
        put(out, held.keys.len() as u64);
        for (number, key) in held.keys.iter().enumerate() {
            let bytes = held.table.key(number as u32);
            put(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
            put_time(out, key.touched);
            put(out, key.answered.0.len() as u64);
            for (from, to) in &key.answered.0 {
                put_time(out, *from);
                put_time(out, *to);
            }
        }
        let mut waiting: Vec<(&Entry, bool)> = held.live.iter().map(|e| (e, false)).collect();
        waiting.extend(held.ready.iter().map(|entry| (entry, false)));
        waiting.extend(held.fed.iter().map(|entry| (entry, true)));
        held.write_rows(0, waiting, out);
        let fed = |entry: &Entry| {
            let key = held.keys.get(entry.group as usize).and_then(|key| key.fed);
            key.is_some_and(|(from, to)| (from..=to).contains(&entry.time))
        };
        held.write_rows(1, held.partners.iter().map(|e| (e, fed(e))).collect(), out);
    }

    /// Begins again after a restart: partners may still come from sources that come back.
    pub fn resume(&mut self, now: i64) {
        self.sources.resume(now);
        while let Some(entry) = self.held.live.pop() {
            self.held.fed.push(entry);
        }
    }

    /// Takes up what was written. It must be fresh and of the same plan.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        let held = &mut self.held;
        let count = from.count(10)?;
        for number in 0..count {
            let length = from.count(1)?;
            let bytes = from.bytes(length)?;
            let hash = headwater_plugin_api::batch::hash::bytes_hash(bytes);
            // Keys are distinct, and no more than there may be.
            let group = held.table.intern(hash, bytes).ok_or(Broken)?;
            if group as usize != number {
                return Err(Broken);
            }
            let mut key = Key::default();
            key.touched = from.time()?;
            let spans = from.count(16)?;
            for _ in 0..spans {
                key.answered.0.push((from.time()?, from.time()?));
            }
            let ascending = key.answered.0.iter().all(|span| span.0 <= span.1)
                && key.answered.0.windows(2).all(|two| two[0].1 < two[1].0);
            if spans > Spans::MAX || !ascending {
                return Err(Broken);
            }
            held.keys.push(key);
        }
        held.read_rows(0, from)?;
        held.read_rows(1, from)
    }
}

impl Held {
    /// Rows by time, those of one time by what they hold.
    fn write_rows(&self, side: usize, mut entries: Vec<(&Entry, bool)>, out: &mut Vec<u8>) {
        let rows = &self.sides[side];
        entries
            .sort_by(|(a, _), (b, _)| a.time.cmp(&b.time).then_with(|| rows.compare(a.row, b.row)));
        put(out, entries.len() as u64);
        for (entry, fed) in entries {
            let has_key = entry.group != NO_KEY;
            out.push(if fed { FED } else { 0 } | if has_key { 0 } else { NULL_KEY });
            put_time(out, entry.time);
            put_time(out, entry.came);
            if has_key {
                put(out, u64::from(entry.group));
            }
            let tags = rows.tag_bytes(rows.tags(entry.row));
            put(out, tags.len() as u64);
            out.extend_from_slice(tags);
            let kinds = rows.kind_bytes(rows.kinds(entry.row));
            out.extend_from_slice(kinds);
            for (field, kind) in kinds.iter().enumerate().filter(|(_, kind)| **kind != 0) {
                match rows.value(entry.row, field, *kind) {
                    Value::F64(v) => out.extend_from_slice(&v.to_bits().to_le_bytes()),
                    Value::I64(v) => put_time(out, v),
                    Value::U64(v) => out.extend_from_slice(&v.to_le_bytes()),
                    Value::Bool(v) => out.push(u8::from(v)),
                    Value::Text(text) => put_text(out, text),
                    Value::Unknown { .. } => {}
                }
            }
        }
    }

    fn read_rows(&mut self, side: usize, from: &mut Reader<'_>) -> Read<()> {
        let carried: Vec<Carried> = output::carried(&self.plan, side).to_vec();
        let count = from.count(18 + carried.len())?;
        let mut last = i64::MIN;
        for _ in 0..count {
            let flags = from.flags(FED | NULL_KEY)?;
            let (time, came) = (from.time()?, from.time()?);
            let group = match flags & NULL_KEY {
                0 => u32::try_from(from.number()?).map_err(|_| Broken)?,
                _ => NO_KEY,
            };
            let is_known = match group {
                NO_KEY => side == 0 && self.plan.keeps_left,
                group => (group as usize) < self.keys.len(),
            };
            if time < last || !is_known {
                return Err(Broken);
            }
            last = time;
            let length = from.count(1)?;
            let tags = from.bytes(length)?;
            check_tags(tags, carried.len())?;
            let kinds = from.bytes(carried.len())?;
            let known = |field_kind: &u8| {
                matches!(
                    *field_kind,
                    0 | kind::F64 | kind::I64 | kind::U64 | kind::BOOL | kind::TEXT
                )
            };
            if !kinds.iter().all(known) {
                return Err(Broken);
            }
            let rows = &mut self.sides[side];
            let (tags, list) = (rows.tag_set(tags), rows.kind_list(kinds));
            let row = rows.push(tags, list, rows::NONE);
            for (field, field_kind) in kinds.iter().enumerate().filter(|(_, kind)| **kind != 0) {
                let value = match *field_kind {
                    kind::F64 => Value::F64(from.finite()?),
                    kind::I64 => Value::I64(from.time()?),
                    kind::U64 => Value::U64(from.word()?),
                    kind::BOOL => Value::Bool(from.flags(1)? == 1),
                    _ => Value::Text(from.text()?),
                };
                rows.set(row, field, value);
            }
            let feed = Feed { catching_up: flags & FED != 0, limit: i64::MAX };
            let touched = self.keys.get(group as usize).map(|key| key.touched);
            self.enter(side, Entry { time, came, row, group }, &feed);
            if let (Some(key), Some(touched)) = (self.keys.get_mut(group as usize), touched) {
                key.touched = touched;
            }
        }
        Ok(())
    }
}

/// A set of tags has one for each column.
fn check_tags(bytes: &[u8], count: usize) -> Read<()> {
    let mut from = Reader::new(bytes);
    for _ in 0..count {
        if let Some(length) = from.number()?.checked_sub(1) {
            let length = usize::try_from(length).map_err(|_| Broken)?;
            std::str::from_utf8(from.bytes(length)?).map_err(|_| Broken)?;
        }
    }
    from.end()
}
