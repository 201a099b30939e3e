//! A table in memory: its columns, and indexes that find rows by keys.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::index::{Index, Made};
use crate::vector::{Bits, Data, Vector};

/// Most columns of a key.
pub const MAX_KEY: usize = 32;
/// No row has that key.
pub const NO_ROW: u32 = u32::MAX;

/// Texts one behind the other.
#[derive(Debug, Default)]
pub struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    /// Most bytes of the texts of a column.
    pub const MAX: usize = u32::MAX as usize;

    /// Room for so many rows with so many bytes in all.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        Texts { text: String::with_capacity(bytes), ends: Vec::with_capacity(rows) }
    }

    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }

    pub fn get(&self, row: usize) -> &str {
        &self.text[self.start(row)..self.ends[row] as usize]
    }

    fn start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |last| self.ends[last] as usize)
    }

    /// The texts of rows, empty where there is no row. All places are read before the first text, so that
    /// the memory's answers are waited for together.
    fn gather(&self, rows: &[u32]) -> impl Iterator<Item = &str> {
        let place = |row: &u32| match *row as usize {
            row if row >= self.ends.len() => 0..0,
            row => self.start(row)..self.ends[row] as usize,
        };
        let places: Vec<Range<usize>> = rows.iter().map(place).collect();
        places.into_iter().map(|place| &self.text[place])
    }

    /// Reads where the texts of rows stand, and something of each.
    pub fn touch(&self, rows: impl Iterator<Item = usize>) -> i64 {
        let bytes = self.text.as_bytes();
        let first = |row| bytes.get(self.start(row)).copied().unwrap_or_default();
        rows.fold(0, |sum, row| sum ^ i64::from(first(row)) ^ i64::from(self.ends[row]))
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn byte_size(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * 4
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
    /// As they stand in the file; of columns that are no text only where keys need them.
    pub texts: Texts,
    /// Which values are there; all without it.
    pub valid: Option<Bits>,
}

impl Column {
    pub fn is_null(&self, row: usize) -> bool {
        self.valid.as_ref().is_some_and(|valid| !valid.get(row))
    }

    fn byte_size(&self) -> usize {
        let values = match &self.values {
            Values::Text => 0,
            Values::Int(list) => list.capacity() * 8,
            Values::Wide(list) => list.capacity() * 16,
            Values::Float(list) => list.capacity() * 8,
            Values::Bool(list) => list.capacity(),
        };
        values + self.texts.byte_size() + self.valid.as_ref().map_or(0, |_| self.texts.len() / 8)
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
    /// Made when they are needed first, for all threads.
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

    pub fn is_text(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|column| matches!(column.values, Values::Text))
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

    /// Which of the columns of a key are compared as texts though they are none, if all values that
    /// are looked up are texts.
    pub fn all_text(&self, columns: &[usize]) -> u64 {
        let mask = |(at, column): (usize, &usize)| u64::from(!self.is_text(*column)) << at;
        columns.iter().enumerate().map(mask).sum()
    }

    /// The index of a key, which has at most [`MAX_KEY`] columns: made now if it is not there.
    ///
    /// # Errors
    /// Two rows that have the same texts as their key. Of numbers that are equal but written in several
    /// ways the first counts.
    pub fn index(&self, columns: &[usize], as_text: u64) -> Result<Arc<Index>, [usize; 2]> {
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = indexes.iter().find(|index| index.is_of(columns, as_text)) {
            return Ok(Arc::clone(index));
        }
        let Made { index, twice } = Index::make(&self.columns, columns, as_text, self.rows);
        if let Some(rows) = twice
            && as_text == self.all_text(columns)
        {
            return Err(rows);
        }
        let index = Arc::new(index);
        indexes.push(Arc::clone(&index));
        Ok(index)
    }

    /// The keys of indexes that were made: their columns and which of them are compared as texts.
    pub fn indexed_names(&self) -> Vec<(Vec<String>, u64)> {
        let indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |column: &usize| self.columns[*column].name.clone();
        let names = |index: &Arc<Index>| index.columns().iter().map(name).collect();
        indexes.iter().map(|index| (names(index), index.as_text())).collect()
    }

    /// A value of a key's column as it stands in the file.
    pub fn text(&self, column: usize, row: usize) -> &str {
        self.columns.get(column).map_or("", |column| column.texts.get(row))
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        let indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        let indexes = indexes.iter().map(|index| index.byte_size());
        indexes.sum::<usize>() + self.columns.iter().map(Column::byte_size).sum::<usize>()
    }
}
