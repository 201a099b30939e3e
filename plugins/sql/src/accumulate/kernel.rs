//! Loops that accumulators share, and how their arrays grow and shrink.

use super::codec::{Broken, Read, Reader, put};
use crate::error::Failures;
use crate::eval::fits;
use crate::statement::NO_GROUP;
use crate::vector::{Bits, Data, Vector};

/// Makes an array `len` long. Large ones grow by a quarter: doubling would waste half of the memory
/// of a million groups.
pub fn grow<T: Clone>(list: &mut Vec<T>, len: usize, value: T) {
    if list.len() < len {
        if list.capacity() < len {
            let more = (len - list.len()).max(list.len() / 4).max(16);
            list.reserve_exact(more);
        }
        list.resize(len, value);
    }
}

/// As [`grow`], with values that are made one by one.
pub fn grow_with<T>(list: &mut Vec<T>, len: usize, value: impl FnMut() -> T) {
    if list.len() < len {
        if list.capacity() < len {
            let more = (len - list.len()).max(list.len() / 4).max(16);
            list.reserve_exact(more);
        }
        list.resize_with(len, value);
    }
}

/// What so many bytes on the heap cost, with what the allocator needs.
pub fn heap_bytes(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// Under which number a group of another window is known here.
#[derive(Clone, Copy)]
pub struct To<'a>(pub Option<&'a [u32]>);

impl To<'_> {
    /// The own number of the other's group; `None` if it is to be left out.
    #[inline]
    pub fn group(self, other: usize) -> Option<usize> {
        match self.0 {
            None => Some(other),
            Some(map) => map.get(other).map(|group| *group as usize),
        }
    }

    /// Whether any of the other's groups that are to be merged has a value.
    pub fn any<T>(self, other: &[T], has: impl Fn(&T) -> bool) -> bool {
        match self.0 {
            None => !other.is_empty(),
            Some(map) => other.iter().zip(map).any(|(cell, to)| *to != NO_GROUP && has(cell)),
        }
    }
}

/// Calls `f` with the own element and the other's, for each group of the other.
#[inline]
pub fn merge<T>(own: &mut [T], other: &[T], to: To<'_>, mut f: impl FnMut(&mut T, &T)) {
    match to.0 {
        None => own.iter_mut().zip(other).for_each(|(own, other)| f(own, other)),
        Some(map) => {
            for (other, group) in other.iter().zip(map) {
                if let Some(own) = own.get_mut(*group as usize) {
                    f(own, other);
                }
            }
        }
    }
}

/// Keeps the marked elements.
pub fn retain<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        keep.get(at - 1).copied().unwrap_or(false)
    });
    list.shrink_to(list.len() + list.len() / 4);
}

/// Groups of which something is true: nothing is held as long as there are none.
#[derive(Debug, Default)]
pub struct Marks {
    /// The last one is not 0.
    words: Vec<u64>,
}

impl Marks {
    /// Whether it is true of any.
    pub fn any(&self) -> bool {
        !self.words.is_empty()
    }

    pub fn get(&self, group: usize) -> bool {
        self.words.get(group / 64).is_some_and(|word| word >> (group % 64) & 1 == 1)
    }

    pub fn set(&mut self, group: usize) {
        if self.words.len() <= group / 64 {
            grow(&mut self.words, group / 64 + 1, 0);
        }
        self.words[group / 64] |= 1 << (group % 64);
    }

    /// Marks the groups of values that are not NULL.
    pub fn add(&mut self, values: &Vector<'_>, groups: &[u32]) {
        each(values, groups, |_, group| self.set(group));
    }

    pub fn clear(&mut self) {
        self.words.clear();
    }

    pub fn byte_size(&self) -> usize {
        self.words.capacity() * 8
    }

    pub fn retain(&mut self, keep: &[bool]) {
        let old = std::mem::take(self);
        let kept = keep.iter().enumerate().filter(|(_, kept)| **kept);
        for (new, (group, _)) in kept.enumerate() {
            if old.get(group) {
                self.set(new);
            }
        }
    }

    /// Adds what is true of another's groups.
    pub fn merge(&mut self, other: &Marks, to: To<'_>) {
        for group in (0..other.words.len() * 64).filter(|group| other.get(*group)) {
            if let Some(own) = to.group(group).filter(|own| *own != NO_GROUP as usize) {
                self.set(own);
            }
        }
    }

    /// Two bits that tell how the marks are written, of all groups or of one alone.
    pub fn form(&self, alone: Option<usize>) -> u8 {
        match alone {
            Some(group) => u8::from(self.get(group)) * EVERY,
            None => u8::from(self.any()) * EACH,
        }
    }

    /// Writes what [`form`](Self::form) leaves open.
    pub fn write(&self, alone: Option<usize>, out: &mut Vec<u8>) {
        if self.form(alone) == EACH {
            put(out, self.words.len() as u64);
            self.words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        }
    }

    /// Reads marks of that form of groups below `len` where there are none.
    pub fn read(&mut self, form: u8, len: usize, from: &mut Reader<'_>) -> Read<()> {
        match form {
            0 => return Ok(()),
            EVERY => {
                (0..len).for_each(|group| self.set(group));
                return Ok(());
            }
            EACH => {}
            _ => return Err(Broken),
        }
        for _ in 0..from.count(8)? {
            self.words.push(from.word()?);
        }
        let last = self.words.last().and_then(|word| word.checked_ilog2()).ok_or(Broken)?;
        let marked = (self.words.len() - 1) * 64 + last as usize;
        if marked < len { Ok(()) } else { Err(Broken) }
    }
}

/// All groups are marked. Of several together only an older form says so.
const EVERY: u8 = 1;
/// Which groups are marked is written out.
const EACH: u8 = 2;

/// Calls `f` with the place of each value that is not NULL, and its group.
#[inline]
pub fn each(values: &Vector<'_>, groups: &[u32], mut f: impl FnMut(usize, usize)) {
    match (&values.valid, values.constant) {
        (None, false) => groups.iter().enumerate().for_each(|(row, group)| f(row, *group as usize)),
        (None, true) => groups.iter().for_each(|group| f(0, *group as usize)),
        (Some(valid), _) => {
            for (row, group) in groups.iter().enumerate() {
                let at = values.place(row);
                if valid.get(at) {
                    f(at, *group as usize);
                }
            }
        }
    }
}

/// Calls `f` with the group and value of each row that is not NULL. `list` holds the values.
#[inline]
pub fn each_value<T: Copy>(
    values: &Vector<'_>,
    list: &[T],
    groups: &[u32],
    mut f: impl FnMut(usize, T),
) {
    if values.valid.is_none() && !values.constant {
        // No NULL and no look-up: the loop that most points take.
        groups.iter().zip(list).for_each(|(group, value)| f(*group as usize, *value));
    } else {
        each(values, groups, |at, group| f(group, list[at]));
    }
}

/// How many of `n` values are not NULL.
pub fn count(values: &Vector<'_>, n: usize) -> u64 {
    values.validity(n).map_or(n, |valid| valid.count()) as u64
}

/// Counts as integers.
pub fn counts<'a>(list: &[u64], groups: &[u32]) -> Vector<'a> {
    let value = |group: &u32| i128::from(list.get(*group as usize).copied().unwrap_or(0));
    Vector::new(Data::Int { values: groups.iter().map(value).collect(), unsigned: false })
}

/// Floats, NULL where there is none or it is not finite, which is counted.
pub fn numbers<'a>(
    groups: &[u32],
    failures: &mut Failures,
    f: impl Fn(usize) -> Option<f64>,
) -> Vector<'a> {
    let mut values = Vec::with_capacity(groups.len());
    let mut valid = Bits::new(groups.len(), true);
    for (row, group) in groups.iter().enumerate() {
        let value = f(*group as usize);
        failures.overflow += u64::from(value.is_some_and(|value| !value.is_finite()));
        let value = value.filter(|value| value.is_finite());
        if value.is_none() {
            valid.clear(row);
        }
        values.push(value.unwrap_or_default());
    }
    let all = valid.count() == groups.len();
    Vector::with(Data::Float(values), (!all).then_some(valid))
}

/// Integers, NULL where there is none or it does not fit, which is counted.
pub fn integers<'a>(
    groups: &[u32],
    unsigned: bool,
    failures: &mut Failures,
    f: impl Fn(usize) -> Option<i128>,
) -> Vector<'a> {
    let mut values = Vec::with_capacity(groups.len());
    let mut valid = Bits::new(groups.len(), true);
    for (row, group) in groups.iter().enumerate() {
        let value = f(*group as usize);
        failures.overflow += u64::from(value.is_some_and(|value| !fits(value)));
        let value = value.filter(|value| fits(*value));
        if value.is_none() {
            valid.clear(row);
        }
        values.push(value.unwrap_or_default());
    }
    let all = valid.count() == groups.len();
    Vector::with(Data::Int { values, unsigned }, (!all).then_some(valid))
}
