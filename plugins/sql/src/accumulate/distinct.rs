//! Distinct values, exactly: one table of all groups' values, bounded in bytes.
//!
//! A table for each group would cost a million groups their headers and half-empty slots. When the
//! bound is reached, the groups with the most values are given up until a quarter of the room is free;
//! their results are NULL, and they take no more values.

use std::cell::OnceCell;

use super::codec::{Broken, Read, Reader, put, put_text};
use super::kernel::{To, grow, integers, retain};
use super::part::Part;
use super::value::{Key, Tag, each_key};
use super::{Accumulator, Input, ranked};
use crate::error::Failures;
use crate::plan::{AggregateCall, AggregateFunction};
use crate::vector::{Cell, Data, Vector};

/// The values of each group.
pub struct Distinct {
    entries: Vec<Entry>,
    /// How often each value was there, if that is asked for.
    counts: Option<Vec<u64>>,
    /// Numbers of entries plus one, 0 for free; a power of two long or empty.
    slots: Vec<u32>,
    /// The texts of entries, one behind another.
    texts: Vec<u8>,
    groups: Vec<Group>,
    /// Some number came as a float.
    floats: bool,
    /// Bytes of memory that may be held.
    most: usize,
    /// Entries in the order of their groups, once somebody asked.
    by_group: OnceCell<Vec<u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    group: u32,
    /// Bytes of a text, with the value's tag above them.
    form: u32,
    /// The value, or where its text begins.
    bytes: u64,
}

impl Entry {
    fn tag(&self) -> Tag {
        Tag::of((self.form >> LENGTH_BITS) as u8).unwrap_or(Tag::Bool)
    }

    fn length(&self) -> usize {
        (self.form & MAX_TEXT) as usize
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    count: u32,
    /// There was no room for its values.
    full: bool,
}

/// Bytes of an entry with its slots.
const ENTRY: usize = size_of::<Entry>() + 8;
const LENGTH_BITS: u32 = 28;
/// Bytes of the longest text; no point holds a longer one.
const MAX_TEXT: u32 = (1 << LENGTH_BITS) - 1;

impl Distinct {
    /// `most` bounds the bytes that are held; with `counting` values are told with how often each was
    /// there.
    pub fn new(most: usize, counting: bool) -> Self {
        Distinct {
            entries: Vec::new(),
            counts: counting.then(Vec::new),
            slots: Vec::new(),
            texts: Vec::new(),
            groups: Vec::new(),
            floats: false,
            most,
            by_group: OnceCell::new(),
        }
    }

    fn key(&self, entry: &Entry) -> Key<'_> {
        match entry.tag() {
            Tag::Text => {
                let from = entry.bytes as usize;
                let text = self.texts.get(from..from + entry.length()).unwrap_or_default();
                Key::Text(std::str::from_utf8(text).unwrap_or_default())
            }
            tag => Key::Plain(tag, entry.bytes),
        }
    }

    /// The slot of a group's value, or where it belongs.
    fn find(&self, group: u32, key: Key<'_>) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash(group, key) as usize & mask;
        while let Some(number) = self.slots[slot].checked_sub(1) {
            let entry = &self.entries[number as usize];
            if entry.group == group && self.key(entry) == key {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn insert(&mut self, group: u32, key: Key<'_>, times: u64) {
        if self.groups[group as usize].full {
            return;
        }
        if !self.slots.is_empty()
            && let Some(number) = self.slots[self.find(group, key)].checked_sub(1)
        {
            if let Some(counts) = &mut self.counts {
                let count = &mut counts[number as usize];
                *count = count.saturating_add(times);
            }
            return;
        }
        let text = if let Key::Text(text) = key { text.len() } else { 0 };
        if text > MAX_TEXT as usize {
            self.groups[group as usize].full = true;
            return self.compact();
        }
        if self.needed(1, text) > self.most {
            self.give_up(group, text);
            if self.groups[group as usize].full {
                return;
            }
        }
        if (self.entries.len() + 1) * 4 > self.slots.len() * 3 {
            self.rehash(self.entries.len() + 1);
        }
        let slot = self.find(group, key);
        let entry = match key {
            Key::Plain(tag, bytes) => Entry { group, form: (tag as u32) << LENGTH_BITS, bytes },
            Key::Text(text) => {
                let bytes = self.texts.len() as u64;
                reserve(&mut self.texts, text.len());
                self.texts.extend_from_slice(text.as_bytes());
                let form = (Tag::Text as u32) << LENGTH_BITS | text.len() as u32;
                Entry { group, form, bytes }
            }
        };
        reserve(&mut self.entries, 1);
        self.entries.push(entry);
        if let Some(counts) = &mut self.counts {
            reserve(counts, 1);
            counts.push(times);
        }
        self.slots[slot] = self.entries.len() as u32;
        self.groups[group as usize].count += 1;
    }

    /// Bytes that so many further values and bytes of text make of it.
    fn needed(&self, entries: usize, text: usize) -> usize {
        (self.entries.len() + entries) * self.entry_bytes() + self.texts.len() + text
    }

    fn entry_bytes(&self) -> usize {
        ENTRY + if self.counts.is_some() { 8 } else { 0 }
    }

    /// Makes a quarter of the room free: the largest groups go, `group` among them if that does not
    /// do.
    #[cold]
    fn give_up(&mut self, group: u32, text: usize) {
        let mut bytes = vec![0_usize; self.groups.len()];
        for entry in &self.entries {
            bytes[entry.group as usize] += self.entry_bytes() + entry.length();
        }
        bytes[group as usize] += self.entry_bytes() + text;
        let mut order: Vec<u32> = (0..self.groups.len() as u32).collect();
        order.sort_by_key(|group| std::cmp::Reverse(bytes[*group as usize]));
        let goal = self.most / 4 * 3;
        let mut total = self.needed(1, text);
        for group in order {
            if total <= goal {
                break;
            }
            total -= bytes[group as usize];
            self.groups[group as usize].full = true;
        }
        self.compact();
    }

    /// Drops the entries of groups that are full.
    fn compact(&mut self) {
        self.groups.iter_mut().filter(|group| group.full).for_each(|group| group.count = 0);
        let groups = &self.groups;
        let keep: Vec<bool> =
            self.entries.iter().map(|entry| !groups[entry.group as usize].full).collect();
        self.keep_entries(&keep);
        self.entries.shrink_to(self.entries.len() * 5 / 4);
        let old = std::mem::take(&mut self.texts);
        for entry in self.entries.iter_mut().filter(|entry| entry.tag() == Tag::Text) {
            let from = entry.bytes as usize;
            entry.bytes = self.texts.len() as u64;
            let text = old.get(from..from + entry.length()).unwrap_or_default();
            reserve(&mut self.texts, text.len());
            self.texts.extend_from_slice(text);
        }
        self.rehash(self.entries.len());
    }

    fn keep_entries(&mut self, keep: &[bool]) {
        retain(&mut self.entries, keep);
        self.counts.iter_mut().for_each(|counts| retain(counts, keep));
    }

    fn rehash(&mut self, entries: usize) {
        let mut size = 16;
        while entries * 4 > size * 3 {
            size *= 2;
        }
        self.slots = vec![0; size];
        for number in 0..self.entries.len() {
            let entry = self.entries[number];
            let mask = size - 1;
            let mut slot = hash(entry.group, self.key(&entry)) as usize & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = number as u32 + 1;
        }
    }

    fn by_group(&self) -> &[u32] {
        self.by_group.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.entries.len() as u32).collect();
            order.sort_unstable_by_key(|number| (self.entries[*number as usize].group, *number));
            order
        })
    }

    /// The values of a group with how often each was there.
    pub fn counted(&self, group: u32) -> impl Iterator<Item = (Key<'_>, u64)> {
        let numbers = self.numbers_of(group);
        numbers.map(|number| {
            let count = self.counts.as_ref().and_then(|counts| counts.get(number as usize));
            (self.key(&self.entries[number as usize]), count.copied().unwrap_or(1))
        })
    }

    /// Whether numbers go out as floats.
    pub fn has_floats(&self) -> bool {
        self.floats
    }

    /// The entries of a group.
    fn of_group(&self, group: u32) -> impl Iterator<Item = &Entry> {
        self.numbers_of(group).map(|number| &self.entries[number as usize])
    }

    fn numbers_of(&self, group: u32) -> impl Iterator<Item = u32> {
        let order = self.by_group();
        let from = order.partition_point(|number| self.entries[*number as usize].group < group);
        let count = self.groups.get(group as usize).map_or(0, |group| group.count as usize);
        order[from..].iter().take(count).copied()
    }

    fn is_full(&self, group: usize) -> bool {
        self.groups.get(group).is_some_and(|group| group.full)
    }

    /// The results of another aggregate over the distinct numbers of each group.
    fn over_numbers(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'static> {
        let (mut floats, mut float_rows) = (Vec::new(), Vec::new());
        let (mut ints, mut int_rows) = (Vec::new(), Vec::new());
        for (row, group) in groups.iter().enumerate() {
            for entry in self.of_group(*group) {
                match entry.tag().cell(entry.bytes) {
                    Cell::Int(value, _) if !self.floats => {
                        ints.push(value);
                        int_rows.push(row as u32);
                    }
                    Cell::Int(value, _) => {
                        floats.push(value as f64);
                        float_rows.push(row as u32);
                    }
                    Cell::Float(value) => {
                        floats.push(value);
                        float_rows.push(row as u32);
                    }
                    _ => failures.kinds += 1,
                }
            }
        }
        let mut part = Part::new(&AggregateCall::new(function, None));
        let len = groups.len();
        if !floats.is_empty() {
            let input = Input { groups: &float_rows, len, time: &|_| 0, series: &|_| 0 };
            part.add(&Vector::new(Data::Float(floats)), &input, failures);
        }
        if !ints.is_empty() {
            let input = Input { groups: &int_rows, len, time: &|_| 0, series: &|_| 0 };
            part.add(&Vector::new(Data::Int { values: ints, unsigned: false }), &input, failures);
        }
        let rows: Vec<u32> = (0..len as u32).collect();
        let result = part.finish(function, &rows, failures);
        let valid = result.validity(len);
        let data = match result.data {
            Data::Float(values) => Data::Float(values),
            Data::Int { values, unsigned } => Data::Int { values, unsigned },
            _ => return Vector::null(),
        };
        Vector::with(data, valid)
    }
}

/// Grows by a quarter.
fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 4).max(16));
    }
}

fn hash(group: u32, key: Key<'_>) -> u64 {
    let hash = key.hash();
    hash.wrapping_add(u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15)) ^ hash >> 32
}

impl Accumulator for Distinct {
    fn clear(&mut self) {
        self.entries.clear();
        self.counts.iter_mut().for_each(Vec::clear);
        self.slots.fill(0);
        self.texts.clear();
        self.groups.clear();
        self.floats = false;
        self.by_group.take();
    }

    fn len(&self) -> usize {
        self.groups.len()
    }

    fn byte_size(&self) -> usize {
        let order = self.by_group.get().map_or(0, |order| order.capacity() * 4);
        let counts = self.counts.as_ref().map_or(0, |counts| counts.capacity() * 8);
        self.entries.capacity() * size_of::<Entry>()
            + counts
            + self.slots.capacity() * 4
            + self.texts.capacity()
            + self.groups.capacity() * size_of::<Group>()
            + order
    }

    fn retain(&mut self, keep: &[bool]) {
        self.by_group.take();
        let kept = |group: usize| keep.get(group).copied().unwrap_or(false);
        let keep_entries: Vec<bool> =
            self.entries.iter().map(|entry| kept(entry.group as usize)).collect();
        self.keep_entries(&keep_entries);
        let mut next = 0;
        let numbers: Vec<u32> = (0..self.groups.len())
            .map(|group| {
                let number = next;
                next += u32::from(kept(group));
                number
            })
            .collect();
        self.entries.iter_mut().for_each(|entry| entry.group = numbers[entry.group as usize]);
        retain(&mut self.groups, keep);
        self.compact();
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, _failures: &mut Failures) {
        self.by_group.take();
        grow(&mut self.groups, input.len, Group::default());
        self.floats |= matches!(values.data, Data::Float(_));
        each_key(values, input.groups, |group, key| self.insert(group as u32, key, 1));
    }

    fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        failures.room +=
            groups.iter().filter(|group| self.is_full(**group as usize)).count() as u64;
        if self.counts.is_some() {
            return ranked::finish(self, function, groups);
        }
        if function == AggregateFunction::Count {
            return integers(groups, false, failures, |group| {
                let own = self.groups.get(group).copied().unwrap_or_default();
                (!own.full).then_some(own.count.into())
            });
        }
        self.over_numbers(function, groups, failures)
    }

    fn is_mixed(&self, groups: &[u32]) -> bool {
        self.counts.is_some() && ranked::is_mixed(self, groups)
    }

    fn merge(&mut self, other: &Self, len: usize, to: To<'_>) {
        self.by_group.take();
        grow(&mut self.groups, len, Group::default());
        self.floats |= other.floats;
        let mut given_up = false;
        for (group, from) in other.groups.iter().enumerate() {
            if let Some(own) = to.group(group).and_then(|to| self.groups.get_mut(to)) {
                given_up |= from.full && !own.full;
                own.full |= from.full;
            }
        }
        if given_up {
            self.compact();
        }
        for (number, entry) in other.entries.iter().enumerate() {
            let times = other.counts.as_ref().map_or(1, |counts| counts[number]);
            let group = to.group(entry.group as usize).filter(|group| *group < self.groups.len());
            if let Some(group) = group {
                self.insert(group as u32, other.key(entry), times);
            }
        }
    }

    fn write_head(&self, _alone: Option<usize>, out: &mut Vec<u8>) {
        out.push(self.floats.into());
    }

    /// Twice the number of values, plus one if there was no room for them, and the values.
    fn write_group(&self, group: usize, out: &mut Vec<u8>) {
        let own = self.groups.get(group).copied().unwrap_or_default();
        put(out, u64::from(own.count) << 1 | u64::from(own.full));
        for number in self.numbers_of(group as u32) {
            let entry = &self.entries[number as usize];
            out.push(entry.tag() as u8);
            match self.key(entry) {
                Key::Text(text) => put_text(out, text),
                Key::Plain(_, bytes) => out.extend_from_slice(&bytes.to_le_bytes()),
            }
            if let Some(counts) = &self.counts {
                put(out, counts[number as usize]);
            }
        }
    }

    fn read_head(&mut self, len: usize, from: &mut Reader<'_>) -> Read<()> {
        self.floats = from.flags(1)? != 0;
        grow(&mut self.groups, len, Group::default());
        Ok(())
    }

    fn read_group(&mut self, group: usize, from: &mut Reader<'_>) -> Read<()> {
        let count = from.number()?;
        let own = self.groups.get_mut(group).ok_or(Broken)?;
        own.full = count & 1 == 1;
        if own.full && count > 1 {
            return Err(Broken);
        }
        for _ in 0..count >> 1 {
            let key = match Tag::of(from.byte()?).ok_or(Broken)? {
                Tag::Text => Key::Text(from.text()?),
                tag => Key::Plain(tag, from.word()?),
            };
            if let Key::Plain(Tag::Float, bytes) = key
                && !f64::from_bits(bytes).is_finite()
            {
                return Err(Broken);
            }
            let times = if self.counts.is_some() { from.number()? } else { 1 };
            if times == 0 {
                return Err(Broken);
            }
            self.insert(group as u32, key, times);
        }
        Ok(())
    }
}
