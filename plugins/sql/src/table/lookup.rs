//! A statement's way from its points to the rows of a table.

use std::sync::Arc;

use super::data::{NO_ROW, Table};
use super::index::Index;
use crate::eval::{self, Context};
use crate::plan::{Column, TableJoin};
use crate::points::{OneSeries, Points};
use crate::series::SeriesValues;
use crate::statement::SeriesInfo;
use crate::vector::Vector;

/// What a series' [`SeriesInfo::row`] tells: nothing yet, that there is no row, or a row.
const UNKNOWN: u32 = 0;

fn noted(row: u32) -> u32 {
    if row == NO_ROW { 1 } else { row + 2 }
}

fn row_of(noted: u32) -> u32 {
    noted.checked_sub(2).unwrap_or(NO_ROW)
}

/// What a statement knows of a table.
#[derive(Debug, Default)]
pub struct Lookup {
    table: Arc<Table>,
    generation: u64,
    /// Where the columns that the statement reads stand there.
    columns: Vec<Option<usize>>,
    /// None where a column of the key is missing.
    index: Option<Arc<Index>>,
    /// Rows of the table, by row of the batch at hand; those that were not looked up say nothing.
    rows: Vec<u32>,
}

/// The rows that belong to points.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    lookup: &'a Lookup,
}

impl<'a> Matched<'a> {
    /// A column of the statement, for rows of the batch.
    pub fn column(&self, number: usize, rows: &[u32]) -> Vector<'a> {
        let Some(Some(column)) = self.lookup.columns.get(number) else { return Vector::null() };
        let found: Vec<u32> = rows.iter().map(|at| self.lookup.rows[*at as usize]).collect();
        self.lookup.table.gather(*column, &found)
    }
}

impl Lookup {
    /// Takes the table that was read last; whether it is another one.
    pub fn refresh(&mut self, join: &TableJoin) -> bool {
        let generation = join.source.generation();
        if generation == self.generation {
            return false;
        }
        self.generation = generation;
        self.table = join.source.table();
        let keys = join.key_columns.iter().map(|name| self.table.column(name));
        let keys: Option<Vec<usize>> = keys.collect();
        self.index = keys.and_then(|keys| self.table.index(&keys).ok());
        self.columns = join.columns.iter().map(|column| self.table.column(&column.of)).collect();
        true
    }

    /// The rows that were found.
    pub fn matched(&self) -> Matched<'_> {
        Matched { lookup: self }
    }

    /// Whether the table has a row for a row of the batch.
    #[inline]
    pub fn is_found(&self, at: u32) -> bool {
        self.rows[at as usize] != NO_ROW
    }

    /// Bytes of memory held, without the table, which others have too.
    pub fn byte_size(&self) -> usize {
        self.rows.capacity() * 4
    }

    /// Gives back what only saves time.
    pub fn release(&mut self) {
        self.rows = Vec::new();
    }

    /// Looks up points; `by_series` if their series decide their keys.
    pub fn find(
        &mut self,
        join: &TableJoin,
        by_series: bool,
        points: &Points<'_>,
        series: &mut SeriesValues<SeriesInfo>,
        cx: &mut Context,
    ) {
        let rows = points.batch.tables().rows();
        if self.rows.len() < rows.len() {
            self.rows.resize(rows.len(), NO_ROW);
        }
        if !by_series {
            return self.find_each(join, points, cx);
        }
        for at in points.rows {
            let index = rows[*at as usize].series;
            let noted = match series.value(index).map_or(UNKNOWN, |info| info.row) {
                UNKNOWN => self.find_series(join, points, index, series, cx),
                noted => noted,
            };
            self.rows[*at as usize] = row_of(noted);
        }
    }

    #[cold]
    fn find_series(
        &mut self,
        join: &TableJoin,
        points: &Points<'_>,
        index: u32,
        series: &mut SeriesValues<SeriesInfo>,
        cx: &mut Context,
    ) -> u32 {
        let columns: &[Column] = points.columns;
        let frame = OneSeries { series: points.batch.series(index), columns };
        let keys = join.keys.iter().map(|key| eval::eval(key, &frame, cx));
        let keys: Vec<Vector<'_>> = keys.collect();
        let mut row = NO_ROW;
        if let Some(index) = &self.index {
            self.table.find(index, &keys, 1, |_, found| row = found);
        }
        if let Some(info) = series.value_mut(index) {
            info.row = noted(row);
        }
        noted(row)
    }

    fn find_each(&mut self, join: &TableJoin, points: &Points<'_>, cx: &mut Context) {
        let keys = join.keys.iter().map(|key| eval::eval(key, points, cx));
        let keys: Vec<Vector<'_>> = keys.collect();
        match &self.index {
            Some(index) => self.table.find(index, &keys, points.rows.len(), |place, row| {
                self.rows[points.rows[place] as usize] = row;
            }),
            None => points.rows.iter().for_each(|at| self.rows[*at as usize] = NO_ROW),
        }
    }
}
