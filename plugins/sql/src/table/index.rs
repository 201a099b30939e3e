//! Finds the rows of a table by their keys.
//!
//! An open-addressing table of slots that hold a part of the key's hash and the row; the keys
//! themselves stay in the columns, so that a row costs 14 bytes whatever its key is: four slots of seven
//! are taken. Keys are looked up by the chunk: first all hashes, then the slot of each, then the rows. What one pass
//! reads does not depend on what it read before, so that the memory's answers are waited for together.

use headwater_plugin_api::batch::hash::bytes_hash;

use super::data::{Column, NO_ROW, Values};
use crate::key;
use crate::vector::{Data, Vector};

/// Keys that are looked up together.
const CHUNK: usize = 256;
/// The hash of what is no key: NULL equals nothing.
const NO_KEY: u64 = 0;
/// A slot without a row.
const EMPTY: u64 = 0;

/// Rows by key.
#[derive(Debug)]
pub struct Index {
    /// The columns of the key.
    columns: Vec<usize>,
    /// Those that are compared as texts though they are none, a bit for each.
    as_text: u64,
    /// The lower half of the hash above the row, which counts from 1.
    slots: Vec<u64>,
}

impl Index {
    /// The index of the first rows of columns, and the first two rows that have the same key.
    pub fn make(all: &[Column], columns: &[usize], as_text: u64, rows: usize) -> Made {
        let slots = vec![EMPTY; (rows * 7).div_ceil(4) + 1];
        let mut index = Index { columns: columns.to_vec(), as_text, slots };
        let (mut twice, mut hashes) = (None, [NO_KEY; CHUNK]);
        for from in (0..rows).step_by(CHUNK) {
            let hashes = &mut hashes[..CHUNK.min(rows - from)];
            hashes.fill(1);
            for (number, column) in columns.iter().enumerate() {
                all[*column].hash(index.is_text(number), from, hashes);
            }
            for (at, hash) in hashes.iter().enumerate().filter(|(_, hash)| **hash != NO_KEY) {
                let row = from + at;
                if let Err(first) = index.insert(all, *hash, row) {
                    twice = twice.or(Some([first, row]));
                }
            }
        }
        Made { index, twice }
    }

    /// Whether it is the index of that key.
    pub fn is_of(&self, columns: &[usize], as_text: u64) -> bool {
        self.columns == columns && self.as_text == as_text
    }

    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    pub fn as_text(&self) -> u64 {
        self.as_text
    }

    pub fn byte_size(&self) -> usize {
        self.slots.capacity() * 8
    }

    /// What a slot holds of the hash of an integer.
    #[cfg(test)]
    pub fn tag_of(value: i64) -> u32 {
        let mut hash = 1;
        take(&mut hash, Some(int_hash(value.into())));
        hash as u32
    }

    fn is_text(&self, number: usize) -> bool {
        self.as_text >> number & 1 == 1
    }

    #[inline]
    fn place(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.slots.len() as u128) >> 64) as usize
    }

    /// The row in a slot that may hold the key with that hash.
    #[inline]
    fn candidate(slot: u64, hash: u64) -> Option<usize> {
        (slot >> 32 == hash & 0xffff_ffff).then(|| (slot as u32 - 1) as usize)
    }

    fn next(&self, place: usize) -> usize {
        if place + 1 == self.slots.len() { 0 } else { place + 1 }
    }

    /// Puts a row in, unless one with its key is there.
    fn insert(&mut self, all: &[Column], hash: u64, row: usize) -> Result<(), usize> {
        let mut place = self.place(hash);
        loop {
            let slot = self.slots[place];
            if slot == EMPTY {
                self.slots[place] = hash << 32 | (row as u64 + 1);
                return Ok(());
            }
            if let Some(known) = Self::candidate(slot, hash) {
                let mut columns = self.columns.iter().enumerate();
                let same = |(number, column): (usize, &usize)| {
                    all[*column].is_same(self.is_text(number), known, row)
                };
                if columns.all(same) {
                    return Err(known);
                }
            }
            place = self.next(place);
        }
    }

    /// Looks up the first `count` keys: `found` hears their places and rows in their order. `all` are the
    /// columns of the table.
    pub fn find(
        &self,
        all: &[Column],
        keys: &[Vector<'_>],
        count: usize,
        mut found: impl FnMut(usize, u32),
    ) {
        let (mut hashes, mut slots) = ([NO_KEY; CHUNK], [EMPTY; CHUNK]);
        let mut places = [(0, NO_ROW); CHUNK];
        for from in (0..count).step_by(CHUNK) {
            let hashes = &mut hashes[..CHUNK.min(count - from)];
            hashes.fill(1);
            for key in keys {
                hash_keys(key, from, hashes);
            }
            for (slot, hash) in slots.iter_mut().zip(&*hashes) {
                *slot = self.slots[self.place(*hash)];
            }
            let places = &mut places[..hashes.len()];
            for ((place, hash), slot) in places.iter_mut().zip(&*hashes).zip(&slots) {
                *place = self.seek(self.place(*hash), *slot, *hash);
            }
            for (number, column) in self.columns.iter().enumerate() {
                all[*column].touch(self.is_text(number), places.iter().map(|(_, row)| *row));
            }
            for (at, (place, hash)) in places.iter().zip(&*hashes).enumerate() {
                found(from + at, self.resolve(all, keys, from + at, *hash, *place));
            }
        }
    }

    /// The first slot from a place on whose row may have the key with that hash, and that row.
    #[inline]
    fn seek(&self, mut place: usize, mut slot: u64, hash: u64) -> (usize, u32) {
        if hash == NO_KEY {
            return (place, NO_ROW);
        }
        loop {
            if slot == EMPTY {
                return (place, NO_ROW);
            }
            if let Some(row) = Self::candidate(slot, hash) {
                return (place, row as u32);
            }
            place = self.next(place);
            slot = self.slots[place];
        }
    }

    /// The row of a key, of which [`Self::seek`] found the first that may be it.
    #[inline]
    fn resolve(
        &self,
        all: &[Column],
        keys: &[Vector<'_>],
        at: usize,
        hash: u64,
        (mut place, mut row): (usize, u32),
    ) -> u32 {
        while row != NO_ROW {
            let mut parts = self.columns.iter().zip(keys).enumerate();
            if parts.all(|(number, (column, key))| {
                all[*column].equals(self.is_text(number), row as usize, key, at)
            }) {
                break;
            }
            place = self.next(place);
            (place, row) = self.seek(place, self.slots[place], hash);
        }
        row
    }
}

/// An index, and what it met.
pub struct Made {
    pub index: Index,
    /// The first two rows that have the same key; of such rows the first counts.
    pub twice: Option<[usize; 2]>,
}

/// Takes the hash of a part of a key into that of the key.
#[inline]
fn take(hash: &mut u64, part: Option<u64>) {
    *hash = match part {
        Some(part) if *hash != NO_KEY => (hash.rotate_left(29) ^ part) | 1,
        _ => NO_KEY,
    };
}

#[inline]
fn mix(word: u64) -> u64 {
    let product = u128::from(word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product >> 64) as u64 ^ product as u64
}

/// Integers have at most 65 bits.
#[inline]
fn int_hash(value: i128) -> u64 {
    mix(value as u64 ^ ((value >> 64) as u64).rotate_left(32))
}

/// Equal numbers have equal hashes, 1 and 1.0 too.
#[inline]
fn float_hash(value: f64) -> u64 {
    match key::whole(value) {
        Some(whole) => int_hash(whole),
        None => mix(value.to_bits().rotate_left(17)),
    }
}

#[inline]
fn bool_hash(value: bool) -> u64 {
    mix(0x00b0_0100_0000_0000 | u64::from(value))
}

/// Takes in the values of a column of keys from `from` on.
fn hash_keys(key: &Vector<'_>, from: usize, hashes: &mut [u64]) {
    match &key.data {
        Data::Int { values, .. } => each(key, from, hashes, |at| int_hash(values[at])),
        Data::Float(values) => each(key, from, hashes, |at| float_hash(values[at])),
        Data::Text(values) => each(key, from, hashes, |at| bytes_hash(values[at].as_bytes())),
        Data::Bool(bits) => each(key, from, hashes, |at| bool_hash(bits.get(at))),
        // No column of a table has such values.
        Data::Null | Data::Time(_) | Data::Interval(_) => hashes.fill(NO_KEY),
    }
}

#[inline]
fn each(key: &Vector<'_>, from: usize, hashes: &mut [u64], part: impl Fn(usize) -> u64) {
    if key.constant {
        let part = key.is_valid(0).then(|| part(0));
        hashes.iter_mut().for_each(|hash| take(hash, part));
        return;
    }
    for (at, hash) in hashes.iter_mut().enumerate() {
        take(hash, key.is_valid(from + at).then(|| part(from + at)));
    }
}

impl Column {
    /// Takes in the values of rows from `from` on.
    fn hash(&self, as_text: bool, from: usize, hashes: &mut [u64]) {
        for (at, hash) in hashes.iter_mut().enumerate() {
            let row = from + at;
            let part = match &self.values {
                _ if self.is_null(row) => None,
                _ if as_text => Some(bytes_hash(self.texts.get(row).as_bytes())),
                Values::Text => Some(bytes_hash(self.texts.get(row).as_bytes())),
                Values::Int(list) => Some(int_hash(i128::from(list[row]))),
                Values::Wide(list) => Some(int_hash(list[row])),
                Values::Float(list) => Some(float_hash(list[row])),
                Values::Bool(list) => Some(bool_hash(list[row])),
            };
            take(hash, part);
        }
    }

    /// Brings the values of rows near, all at once.
    fn touch(&self, as_text: bool, rows: impl Iterator<Item = u32>) {
        let rows = rows.filter(|row| *row != NO_ROW).map(|row| row as usize);
        let sum = match &self.values {
            _ if as_text => self.texts.touch(rows),
            Values::Text => self.texts.touch(rows),
            Values::Int(list) => rows.fold(0, |sum, row| sum ^ list[row]),
            Values::Wide(list) => rows.fold(0, |sum, row| sum ^ list[row] as i64),
            Values::Float(list) => rows.fold(0, |sum, row| sum ^ list[row].to_bits() as i64),
            Values::Bool(list) => rows.fold(0, |sum, row| sum ^ i64::from(list[row])),
        };
        std::hint::black_box(sum);
    }

    /// Whether two rows have the same value, which is not NULL.
    fn is_same(&self, as_text: bool, a: usize, b: usize) -> bool {
        match &self.values {
            _ if as_text => self.texts.get(a) == self.texts.get(b),
            Values::Text => self.texts.get(a) == self.texts.get(b),
            Values::Int(list) => list[a] == list[b],
            Values::Wide(list) => list[a] == list[b],
            Values::Float(list) => list[a] == list[b],
            Values::Bool(list) => list[a] == list[b],
        }
    }

    /// Whether a row, which is not NULL, has the value of a key, which is not NULL either.
    #[inline]
    fn equals(&self, as_text: bool, row: usize, key: &Vector<'_>, at: usize) -> bool {
        let at = key.place(at);
        match (&self.values, &key.data) {
            (Values::Text, Data::Text(keys)) => self.texts.get(row) == keys[at],
            (_, Data::Text(keys)) => as_text && self.texts.get(row) == keys[at],
            (Values::Int(list), Data::Int { values, .. }) => i128::from(list[row]) == values[at],
            (Values::Int(list), Data::Float(values)) => {
                key::whole(values[at]) == Some(i128::from(list[row]))
            }
            (Values::Wide(list), Data::Int { values, .. }) => list[row] == values[at],
            (Values::Wide(list), Data::Float(values)) => key::whole(values[at]) == Some(list[row]),
            (Values::Float(list), Data::Int { values, .. }) => {
                key::whole(list[row]) == Some(values[at])
            }
            (Values::Float(list), Data::Float(values)) => list[row] == values[at],
            (Values::Bool(list), Data::Bool(bits)) => list[row] == bits.get(at),
            _ => false,
        }
    }
}
