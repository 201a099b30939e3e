//! A table in memory: its columns, and indexes that find rows by keys.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_plugin_api::batch::hash::bytes_hash;

use super::index::{Index, plain_int};
use crate::vector::{Bits, Data, Vector};

/// Most columns of a key.
pub const MAX_KEY: usize = 32;
/// No row has that key.
pub const NO_ROW: u32 = u32::MAX;

/// Texts one behind the other. Where few are different each stands there once, and rows have its number.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    ends: Vec<u32>,
    /// What each row has; without them each row has its own text.
    codes: Option<Vec<u16>>,
}

impl Texts {
    /// Most bytes of the texts of a column.
    pub const MAX: usize = u32::MAX as usize;

    /// Room for so many rows with so many bytes in all.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Texts { text: String::with_capacity(bytes), ends: Vec::with_capacity(rows), codes: None }
    }

    /// Adds a row.
    pub fn push(&mut self, text: &str) {
        debug_assert!(self.codes.is_none(), "they are packed");
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }

    pub fn get(&self, row: usize) -> &str {
        &self.text[self.place(self.number(row))]
    }

    /// Keeps equal texts once if that makes it smaller.
    pub fn pack(&mut self) {
        const NUMBERS: usize = u16::MAX as usize + 1;
        let most = NUMBERS.min(self.ends.len() / 2);
        // Of each text its number, which counts from 1, at or behind the place that its hash says.
        let mut slots = vec![0_u32; (most * 2).next_power_of_two()];
        let mut packed = Texts::default();
        let mut codes = Vec::with_capacity(self.ends.len());
        for row in 0..self.ends.len() {
            let text = self.get(row);
            let mut place = bytes_hash(text.as_bytes()) as usize;
            let number = loop {
                place &= slots.len() - 1;
                match slots[place] as usize {
                    0 if packed.ends.len() == most => return,
                    0 => {
                        packed.push(text);
                        slots[place] = packed.ends.len() as u32;
                        break packed.ends.len();
                    }
                    number if packed.get(number - 1) == text => break number,
                    _ => place += 1,
                }
            };
            codes.push((number - 1) as u16);
        }
        packed.codes = Some(codes);
        packed.text.shrink_to_fit();
        packed.ends.shrink_to_fit();
        if packed.byte_size() < self.byte_size() {
            *self = packed;
        }
    }

    /// The number of a row's text.
    #[inline]
    fn number(&self, row: usize) -> usize {
        self.codes.as_ref().map_or(row, |codes| usize::from(codes[row]))
    }

    #[inline]
    fn start(&self, number: usize) -> usize {
        number.checked_sub(1).map_or(0, |last| self.ends[last] as usize)
    }

    #[inline]
    fn place(&self, number: usize) -> Range<usize> {
        self.start(number)..self.ends[number] as usize
    }

    /// The texts of rows, empty where there is no row. All places are read before the first text, so that
    /// the memory's answers are waited for together.
    fn gather(&self, rows: &[u32]) -> impl Iterator<Item = &str> {
        let len = self.len();
        let place = |row: &u32| match *row as usize {
            row if row >= len => 0..0,
            row => self.place(self.number(row)),
        };
        let places: Vec<Range<usize>> = rows.iter().map(place).collect();
        places.into_iter().map(|place| &self.text[place])
    }

    /// Reads where the texts of rows stand, and something of each.
    pub fn touch(&self, rows: impl Iterator<Item = usize>) -> i64 {
        let bytes = self.text.as_bytes();
        let first = |number| bytes.get(self.start(number)).copied().unwrap_or_default();
        let read = |row| {
            let number = self.number(row);
            i64::from(first(number)) ^ i64::from(self.ends[number])
        };
        rows.fold(0, |sum, row| sum ^ read(row))
    }

    pub fn len(&self) -> usize {
        self.codes.as_ref().map_or(self.ends.len(), Vec::len)
    }

    pub fn byte_size(&self) -> usize {
        let codes = self.codes.as_ref().map_or(0, |codes| codes.capacity() * 2);
        self.text.capacity() + self.ends.capacity() * 4 + codes
    }
}

/// The values of a column.
#[derive(Debug)]
pub enum Values {
    Text,
    Int(Vec<i64>),
    /// Integers of which some are above those of 64 bits with a sign.
    Wide(Vec<i128>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
}

impl Values {
    /// Integers with one more. One that needs more than 64 bits with a sign makes all of them wide.
    #[inline]
    pub fn with_integer(mut self, value: i128) -> Values {
        match (&mut self, i64::try_from(value)) {
            (Values::Int(list), Ok(value)) => list.push(value),
            (Values::Int(list), Err(_)) => {
                let list = list.iter().map(|value| i128::from(*value)).chain([value]);
                return Values::Wide(list.collect());
            }
            (Values::Wide(list), _) => list.push(value),
            _ => {}
        }
        self
    }
}

/// A column of a table.
#[derive(Debug)]
pub struct Column {
    pub name: String,
    pub values: Values,
    /// As they stand in the file; of columns that are no text only where keys need them: not if they are
    /// integers all of which are written as integers are printed.
    pub texts: Texts,
    /// Which values are there; all without it.
    pub valid: Option<Bits>,
}

impl Column {
    pub fn is_null(&self, row: usize) -> bool {
        self.valid.as_ref().is_some_and(|valid| !valid.get(row))
    }

    /// Whether the text of each value is how it is printed, and not kept.
    pub fn is_plain(&self) -> bool {
        self.texts.len() == 0
    }

    /// Gives back texts that say no more than the values do, and keeps equal ones once. `is_key`: whether
    /// points' texts are compared with them.
    pub fn pack(&mut self, is_key: bool) {
        let says_more = match &self.values {
            Values::Text => true,
            Values::Int(list) => {
                let is_plain = |row: usize| plain_int(self.texts.get(row)) == Some(list[row]);
                is_key && (0..list.len()).any(|row| !self.is_null(row) && !is_plain(row))
            }
            Values::Wide(_) | Values::Float(_) | Values::Bool(_) => is_key,
        };
        if says_more {
            self.texts.pack();
        } else {
            self.texts = Texts::default();
        }
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Text => self.texts.len(),
            Values::Int(list) => list.len(),
            Values::Wide(list) => list.len(),
            Values::Float(list) => list.len(),
            Values::Bool(list) => list.len(),
        }
    }

    fn byte_size(&self) -> usize {
        let values = match &self.values {
            Values::Text => 0,
            Values::Int(list) => list.capacity() * 8,
            Values::Wide(list) => list.capacity() * 16,
            Values::Float(list) => list.capacity() * 8,
            Values::Bool(list) => list.capacity(),
        };
        values + self.texts.byte_size() + self.valid.as_ref().map_or(0, |_| self.len() / 8)
    }

    /// The values of rows; NULL where there is none.
    fn gather(&self, rows: &[u32]) -> Vector<'_> {
        let is_there = |row: u32| row != NO_ROW && !self.is_null(row as usize);
        let valid = (self.valid.is_some() || rows.contains(&NO_ROW))
            .then(|| Bits::of(rows.len(), |at| is_there(rows[at])));
        if valid.as_ref().is_some_and(|valid| valid.count() == 0) {
            return Vector::null();
        }
        let place = |row: &u32| if *row == NO_ROW { None } else { Some(*row as usize) };
        let data = match &self.values {
            Values::Text => Data::Text(self.texts.gather(rows).map(Cow::Borrowed).collect()),
            Values::Int(list) => Data::Int {
                values: rows
                    .iter()
                    .map(|row| place(row).map_or(0, |row| i128::from(list[row])))
                    .collect(),
                unsigned: false,
            },
            Values::Wide(list) => Data::Int {
                values: rows.iter().map(|row| place(row).map_or(0, |row| list[row])).collect(),
                unsigned: false,
            },
            Values::Float(list) => Data::Float(
                rows.iter().map(|row| place(row).map_or(0.0, |row| list[row])).collect(),
            ),
            Values::Bool(list) => {
                Data::Bool(Bits::of(rows.len(), |at| place(&rows[at]).is_some_and(|row| list[row])))
            }
        };
        Vector::with(data, valid)
    }
}

/// A table. Its rows do not change.
#[derive(Debug, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: usize,
    /// For all threads.
    indexes: Mutex<Vec<Arc<Index>>>,
}

impl Table {
    pub fn new(columns: Vec<Column>, rows: usize) -> Self {
        Table { columns, rows, indexes: Mutex::default() }
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The place of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Looks up the first `count` keys in an index of this table: `found` hears their places and their rows.
    pub fn find(
        &self,
        index: &Index,
        keys: &[Vector<'_>],
        count: usize,
        found: impl FnMut(usize, u32),
    ) {
        index.find(&self.columns, keys, count, found);
    }

    /// The values of a column in rows; NULL where there is no row.
    pub fn gather(&self, column: usize, rows: &[u32]) -> Vector<'_> {
        self.columns.get(column).map_or_else(Vector::null, |column| column.gather(rows))
    }

    /// The index of a key, which has at most [`MAX_KEY`] columns: made now if it is not there.
    ///
    /// # Errors
    /// Two rows that have the same texts as their key. Of numbers that are equal but written in several
    /// ways the first counts.
    pub fn index(&self, columns: &[usize]) -> Result<Arc<Index>, [usize; 2]> {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = indexes.iter().find(|index| index.columns() == columns) {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(Index::make(&self.columns, columns, self.rows)?);
        indexes.push(Arc::clone(&index));
        Ok(index)
    }

    /// A value of a key's column as it stands in the file.
    pub fn text(&self, column: usize, row: usize) -> Cow<'_, str> {
        match self.columns.get(column) {
            None => Cow::Borrowed(""),
            Some(column) if column.is_null(row) => Cow::Borrowed(""),
            Some(Column { values: Values::Int(list), texts, .. }) if texts.len() == 0 => {
                Cow::Owned(list[row].to_string())
            }
            Some(column) => Cow::Borrowed(column.texts.get(row)),
        }
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        let indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let indexes = indexes.iter().map(|index| index.byte_size());
        indexes.sum::<usize>() + self.columns.iter().map(Column::byte_size).sum::<usize>()
    }
}
