//! Finds the rows of a table by their keys.
//!
//! An open-addressing table of slots that hold a part of the key's hash and the row; the keys
//! themselves stay in the columns, so that a row costs 14 bytes whatever its key is: four slots of seven
//! are taken. Keys are looked up by the chunk: first all hashes, then the slot of each, then the rows. What one pass
//! reads does not depend on what it read before, so that the memory's answers are waited for together.
//!
//! One index serves numbers and texts: a column of numbers is hashed by its numbers, and a text that is
//! looked up there by the number that it says; only then are the texts compared. Rows of the same number
//! written in several ways stand one behind the other, so that a number finds the first of them.

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
    /// The lower half of the hash above the row, which counts from 1.
    slots: Vec<u64>,
}

impl Index {
    /// The index of the first rows of columns.
    ///
    /// # Errors
    /// The first two rows that have the same texts as their key.
    pub fn make(all: &[Column], columns: &[usize], rows: usize) -> Result<Index, [usize; 2]> {
        let slots = vec![EMPTY; (rows * 7).div_ceil(4) + 1];
        let mut index = Index { columns: columns.to_vec(), slots };
        let mut hashes = [NO_KEY; CHUNK];
        for from in (0..rows).step_by(CHUNK) {
            let hashes = &mut hashes[..CHUNK.min(rows - from)];
            hashes.fill(1);
            for column in columns {
                all[*column].hash(from, hashes);
            }
            for (at, hash) in hashes.iter().enumerate().filter(|(_, hash)| **hash != NO_KEY) {
                index.insert(all, *hash, from + at)?;
            }
        }
        Ok(index)
    }

    pub fn columns(&self) -> &[usize] {
        &self.columns
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

    /// Puts a row in, unless one with its key is there: those two.
    fn insert(&mut self, all: &[Column], hash: u64, row: usize) -> Result<(), [usize; 2]> {
        let mut place = self.place(hash);
        loop {
            let slot = self.slots[place];
            if slot == EMPTY {
                self.slots[place] = hash << 32 | (row as u64 + 1);
                return Ok(());
            }
            let is_same =
                |known| self.columns.iter().all(|column| all[*column].is_same(known, row));
            if let Some(known) = Self::candidate(slot, hash).filter(|known| is_same(*known)) {
                return Err([known, row]);
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
            for (column, key) in self.columns.iter().zip(keys) {
                all[*column].hash_keys(key, from, hashes);
            }
            for (slot, hash) in slots.iter_mut().zip(&*hashes) {
                *slot = self.slots[self.place(*hash)];
            }
            let places = &mut places[..hashes.len()];
            for ((place, hash), slot) in places.iter_mut().zip(&*hashes).zip(&slots) {
                *place = self.seek(self.place(*hash), *slot, *hash);
            }
            for column in &self.columns {
                all[*column].touch(places.iter().map(|(_, row)| *row));
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
            let mut parts = self.columns.iter().zip(keys);
            if parts.all(|(column, key)| all[*column].equals(row as usize, key, at)) {
                break;
            }
            place = self.next(place);
            (place, row) = self.seek(place, self.slots[place], hash);
        }
        row
    }
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

#[inline]
fn each(key: &Vector<'_>, from: usize, hashes: &mut [u64], part: impl Fn(usize) -> Option<u64>) {
    let part = |at| if key.is_valid(at) { part(at) } else { None };
    if key.constant {
        let part = part(0);
        hashes.iter_mut().for_each(|hash| take(hash, part));
        return;
    }
    for (at, hash) in hashes.iter_mut().enumerate() {
        take(hash, part(from + at));
    }
}

/// The integer that a text is, written as integers are printed.
#[inline]
pub fn plain_int(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    match digits {
        [b'0'] if digits.len() == text.len() => Some(0),
        [b'1'..=b'9', ..] => text.parse().ok(),
        _ => None,
    }
}

fn bool_of(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") { Some(true) } else { is("false").then_some(false) }
}

impl Column {
    /// Takes in the values of rows from `from` on.
    fn hash(&self, from: usize, hashes: &mut [u64]) {
        for (at, hash) in hashes.iter_mut().enumerate() {
            let row = from + at;
            let part = match &self.values {
                _ if self.is_null(row) => None,
                Values::Text => Some(bytes_hash(self.texts.get(row).as_bytes())),
                Values::Int(list) => Some(int_hash(i128::from(list[row]))),
                Values::Wide(list) => Some(int_hash(list[row])),
                Values::Float(list) => Some(float_hash(list[row])),
                Values::Bool(list) => Some(bool_hash(list[row])),
            };
            take(hash, part);
        }
    }

    /// Takes in the values of a column of keys from `from` on.
    fn hash_keys(&self, key: &Vector<'_>, from: usize, hashes: &mut [u64]) {
        match (&key.data, &self.values) {
            (Data::Int { values, .. }, _) => {
                each(key, from, hashes, |at| Some(int_hash(values[at])));
            }
            (Data::Float(values), _) => {
                each(key, from, hashes, |at| Some(float_hash(values[at])));
            }
            (Data::Bool(bits), _) => each(key, from, hashes, |at| Some(bool_hash(bits.get(at)))),
            (Data::Text(values), Values::Text) => {
                each(key, from, hashes, |at| Some(bytes_hash(values[at].as_bytes())));
            }
            (Data::Text(values), Values::Int(_)) => each(key, from, hashes, |at| {
                values[at].parse().ok().map(|value: i64| int_hash(value.into()))
            }),
            (Data::Text(values), Values::Wide(_)) => {
                each(key, from, hashes, |at| values[at].parse().ok().map(int_hash));
            }
            (Data::Text(values), Values::Float(_)) => {
                each(key, from, hashes, |at| values[at].parse().ok().map(float_hash));
            }
            (Data::Text(values), Values::Bool(_)) => {
                each(key, from, hashes, |at| bool_of(&values[at]).map(bool_hash));
            }
            // No column of a table has such values.
            (Data::Null | Data::Time(_) | Data::Interval(_), _) => hashes.fill(NO_KEY),
        }
    }

    /// Brings the values of rows near, all at once.
    fn touch(&self, rows: impl Iterator<Item = u32>) {
        let rows = rows.filter(|row| *row != NO_ROW).map(|row| row as usize);
        let sum = match &self.values {
            Values::Text => self.texts.touch(rows),
            Values::Int(list) => rows.fold(0, |sum, row| sum ^ list[row]),
            Values::Wide(list) => rows.fold(0, |sum, row| sum ^ list[row] as i64),
            Values::Float(list) => rows.fold(0, |sum, row| sum ^ list[row].to_bits() as i64),
            Values::Bool(list) => rows.fold(0, |sum, row| sum ^ i64::from(list[row])),
        };
        std::hint::black_box(sum);
    }

    /// Whether two rows, which are not NULL, have the same text.
    fn is_same(&self, a: usize, b: usize) -> bool {
        match &self.values {
            Values::Int(list) if self.is_plain() => list[a] == list[b],
            _ => self.texts.get(a) == self.texts.get(b),
        }
    }

    /// Whether a row, which is not NULL, has the value of a key, which is not NULL either. A text is
    /// compared with what stands in the file, whatever that looks like.
    #[inline]
    fn equals(&self, row: usize, key: &Vector<'_>, at: usize) -> bool {
        let at = key.place(at);
        match (&self.values, &key.data) {
            (Values::Int(list), Data::Text(keys)) if self.is_plain() => {
                plain_int(&keys[at]) == Some(list[row])
            }
            (_, Data::Text(keys)) => self.texts.get(row) == keys[at],
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_as_they_are_printed() {
        for value in [0, 1, -1, 10, -10, i64::MAX, i64::MIN] {
            assert_eq!(plain_int(&value.to_string()), Some(value));
        }
        for text in ["", "-", "-0", "+1", "01", "-01", "1.0", " 1", "1 ", "9223372036854775808"] {
            assert_eq!(plain_int(text), None, "{text}");
        }
    }
}
