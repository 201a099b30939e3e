//! The batch: points in flat tables that every plugin reads in place.
//!
//! [`BatchBuilder`] fills the tables; once built they are immutable and shared by count. A
//! [`Batch`] is one owner's view of them: which rows are alive, which names, tags and field keys
//! stand in for the built ones, and where the points came from. Filters, renames and routing
//! change the view alone.
//!
//! Decided once, for every producer: a number that is NaN or infinite cannot be a field (it is left
//! out and counted); a tag whose key or value is empty is left out; an empty measurement name or
//! field key, and a point without fields, are refused; of repeated tags or fields in a point the
//! last counts; text is UTF-8; integers above `i64::MAX` are unsigned.

mod builder;
pub mod hash;
pub mod layout;
mod limits;
mod map;
mod serial;
mod series;
pub mod validate;
mod view;

pub use builder::{BatchBuilder, Mark, PointBuilder};
pub use limits::{Limits, Refused};
pub use map::{FieldEdit, SeriesEdit, SeriesMap};
pub use serial::SerialError;
pub use series::{SeriesDraft, SeriesRef, SeriesStore, escape_into};
pub use view::{PointRef, ShapeRef, Value};

use crate::abi::memory::Buffer;
use crate::abi::tables::{TableSet, Tables};
use crate::plugin::Delivery;
use layout::{Row, Series, Shape};

/// Points on their way: shared tables, and what this owner sees of them.
///
/// Dropping a batch gives up its points; a delivery handle in it is then settled as dropped by
/// configuration.
#[derive(Debug)]
pub struct Batch {
    pub(crate) tables: Tables,
    /// Stands in for the series table: arena, tags and series, of the same indices.
    pub(crate) series: Option<Tables>,
    /// Stands in for the shape table: arena, symbols, fields and shapes, of the same indices.
    pub(crate) shapes: Option<Tables>,
    /// Which rows are alive; all of them without it.
    pub(crate) selection: Option<Tables>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) live: u32,
    pub(crate) origin: u64,
    pub(crate) sequence: u64,
    pub(crate) time_min: i64,
    pub(crate) time_max: i64,
}

impl Clone for Batch {
    /// Another owner of the same points, with a delivery handle of its own.
    fn clone(&self) -> Self {
        Batch {
            tables: self.tables.clone(),
            series: self.series.clone(),
            shapes: self.shapes.clone(),
            selection: self.selection.clone(),
            delivery: self.delivery.clone(),
            ..*self
        }
    }
}

impl Batch {
    pub(crate) fn new(tables: Tables, (time_min, time_max): (i64, i64)) -> Self {
        let live = tables.rows().len() as u32;
        Batch {
            tables,
            series: None,
            shapes: None,
            selection: None,
            delivery: None,
            live,
            origin: 0,
            sequence: 0,
            time_min,
            time_max,
        }
    }

    /// Live points.
    #[inline]
    pub fn len(&self) -> usize {
        self.live as usize
    }

    /// Whether no point is alive.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The tables as they were built. Series and shapes may be stood in for: read those through
    /// [`series_table`](Self::series_table) and [`shape_table`](Self::shape_table).
    #[inline]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The table set whose arena, tags and series count.
    #[inline]
    pub fn series_table(&self) -> &Tables {
        self.series.as_ref().unwrap_or(&self.tables)
    }

    /// The table set whose arena, symbols, fields and shapes count.
    #[inline]
    pub fn shape_table(&self) -> &Tables {
        self.shapes.as_ref().unwrap_or(&self.tables)
    }

    /// The series at `index`; an index outside reads as an empty series.
    #[inline]
    pub fn series(&self, index: u32) -> SeriesRef<'_> {
        const NONE: &Series = &Series {
            hash: 0,
            text: 0,
            text_len: 0,
            key_len: 0,
            name: 0,
            name_len: 0,
            tags: 0,
            tag_count: 0,
            hint: 0,
            kind: 0,
            flags: 0,
            reserved: [0; 6],
        };
        let tables = self.series_table();
        let series = tables.series().get(index as usize).unwrap_or(NONE);
        SeriesRef::new(tables.arena(), tables.tags(), series)
    }

    /// Number of series in the table; not each need have a live point.
    #[inline]
    pub fn series_count(&self) -> usize {
        self.tables.series().len()
    }

    /// The shape at `index`; an index outside reads as an empty shape.
    #[inline]
    pub fn shape(&self, index: u32) -> ShapeRef<'_> {
        const NONE: &Shape = &Shape { fields: 0, field_count: 0, slots: 0, flags: 0 };
        let tables = self.shape_table();
        ShapeRef::new(tables, tables.shapes().get(index as usize).unwrap_or(NONE))
    }

    /// Number of shapes in the table.
    #[inline]
    pub fn shape_count(&self) -> usize {
        self.tables.shapes().len()
    }

    /// The payloads of a row, from its first to the end of the value table.
    #[inline]
    pub fn payloads(&self, row: &Row) -> &[u64] {
        self.tables.values().get(row.values as usize..).unwrap_or_default()
    }

    /// The words of the selection, bit `i` for row `i`; without it all rows are alive.
    #[inline]
    pub fn selection(&self) -> Option<&[u64]> {
        self.selection.as_ref().map(Tables::selection)
    }

    /// The live rows with their indices.
    #[inline]
    pub fn rows(&self) -> impl Iterator<Item = (usize, &Row)> {
        let selection = self.selection();
        self.tables.rows().iter().enumerate().filter(move |(index, _)| match selection {
            None => true,
            Some(words) => words.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1),
        })
    }

    /// The live points.
    pub fn points(&self) -> impl Iterator<Item = PointRef<'_>> {
        self.rows().map(|(_, row)| PointRef::new(self, row))
    }

    /// Earliest and latest time among the points when they were built, in nanoseconds.
    #[inline]
    pub fn time_range(&self) -> (i64, i64) {
        (self.time_min, self.time_max)
    }

    /// The source: an input, a connection, a file. 0 if unknown.
    #[inline]
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// Names the source.
    pub fn set_origin(&mut self, origin: u64) {
        self.origin = origin;
    }

    /// The place in the source's order.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Sets the place in the source's order.
    pub fn set_sequence(&mut self, sequence: u64) {
        self.sequence = sequence;
    }

    /// Bytes of the tables that this batch holds on to.
    pub fn byte_size(&self) -> usize {
        let overlays = [&self.series, &self.shapes, &self.selection];
        self.tables.byte_size()
            + overlays.iter().filter_map(|t| t.as_ref()).map(Tables::byte_size).sum::<usize>()
    }

    /// The delivery handle, if the source wants to know what becomes of its points.
    pub fn delivery(&self) -> Option<&Delivery> {
        self.delivery.as_ref()
    }

    /// Takes the delivery handle out.
    pub fn take_delivery(&mut self) -> Option<Delivery> {
        self.delivery.take()
    }

    /// Puts a delivery handle in. One that is there already is settled as dropped.
    pub fn set_delivery(&mut self, delivery: Option<Delivery>) {
        self.delivery = delivery;
    }

    /// Keeps the live rows for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&Batch, &Row) -> bool) {
        let (words, live) = self.choose(|batch, _, row| keep(batch, row));
        self.select(words, live);
    }

    /// As [`retain`](Self::retain), with each row's index.
    pub fn retain_indexed(&mut self, mut keep: impl FnMut(usize, &Row) -> bool) {
        let (words, live) = self.choose(|_, index, row| keep(index, row));
        self.select(words, live);
    }

    fn choose(&self, mut keep: impl FnMut(&Batch, usize, &Row) -> bool) -> (Buffer<u64>, u32) {
        let mut words: Buffer<u64> = Buffer::new();
        words.resize(self.tables.rows().len().div_ceil(64));
        let mut live = 0;
        for (index, row) in self.rows() {
            if keep(self, index, row) {
                words[index / 64] |= 1 << (index % 64);
                live += 1;
            }
        }
        (words, live)
    }

    fn select(&mut self, words: Buffer<u64>, live: u32) {
        if live == self.live {
            return;
        }
        self.live = live;
        self.selection = Some(TableSet { selection: words, ..TableSet::default() }.freeze());
    }

    /// The rows, for changing their times. The table is copied if it is shared.
    pub fn edit_rows(&mut self, edit: impl FnOnce(&mut [Row])) {
        let set = self.make_mut(|set, shared| {
            if set.rows.is_empty() {
                set.rows.extend_from_slice(shared.rows());
            }
            edit(&mut set.rows);
        });
        self.tables = set;
        let times = self.tables.rows().iter().map(|row| row.time);
        let (min, max) = times.fold((i64::MAX, i64::MIN), |(a, b), t| (a.min(t), b.max(t)));
        (self.time_min, self.time_max) = (min, max);
    }

    /// The payloads, for changing them in place. The table is copied if it is shared. A payload's
    /// kind cannot change, and text must be put with [`TextArena::push`].
    pub fn edit_values(&mut self, edit: impl FnOnce(&[Row], &mut [u64], &mut TextArena)) {
        self.tables = self.make_mut(|set, shared| {
            if set.values.is_empty() {
                set.values.extend_from_slice(shared.values());
            }
            let shared_rows = shared.rows();
            let base = if set.arena.is_empty() { shared.arena() } else { &[] };
            let mut arena = TextArena { base: base.len(), added: Vec::new() };
            if base.is_empty() {
                arena.base = set.arena.len();
            }
            let rows: &[Row] = if set.rows.is_empty() { shared_rows } else { &set.rows };
            edit(rows, &mut set.values, &mut arena);
            if !arena.added.is_empty() {
                set.arena.extend_from_slice(base);
                set.arena.extend_from_slice(&arena.added);
            }
        });
    }

    /// Runs `edit` over buffers that are this batch's alone: the tables themselves if nobody shares
    /// them, else an empty set that shares all tables which `edit` leaves empty.
    fn make_mut(&mut self, edit: impl FnOnce(&mut TableSet, &Tables)) -> Tables {
        let placeholder = TableSet::default().freeze();
        let tables = std::mem::replace(&mut self.tables, placeholder.clone());
        match tables.thaw() {
            Ok(mut set) => {
                edit(&mut set, &placeholder);
                set.freeze()
            }
            Err(shared) => {
                let mut set = TableSet { shared: Some(shared.clone()), ..TableSet::default() };
                edit(&mut set, &shared);
                set.freeze()
            }
        }
    }
}

/// Where [`Batch::edit_values`] puts new text.
#[derive(Debug)]
pub struct TextArena {
    base: usize,
    added: Vec<u8>,
}

impl TextArena {
    /// Appends text and gives its payload; `None` if the arena would pass 4 GiB.
    pub fn push(&mut self, text: &str) -> Option<u64> {
        let offset = u32::try_from(self.base + self.added.len()).ok()?;
        let len = u32::try_from(text.len()).ok()?;
        offset.checked_add(len)?;
        self.added.extend_from_slice(text.as_bytes());
        Some(layout::text_payload(offset, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(n: i64) -> Batch {
        let mut builder = BatchBuilder::default();
        for i in 0..n {
            let host = format!("h{}", i % 3);
            let point = builder.point("m").tag("host", &host).field("i", i).field("t", "text");
            point.finish(i).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn retain_changes_the_view_alone() {
        let all = batch(200);
        let mut some = all.clone();
        some.retain(|_, row| row.time % 2 == 0);
        some.retain(|_, row| row.time % 3 == 0);
        assert_eq!(some.len(), 34);
        assert!(some.points().all(|p| p.time() % 6 == 0));
        assert_eq!(all.len(), 200);
        assert_eq!(all.points().count(), 200);
    }

    #[test]
    fn edits_copy_what_is_shared_and_only_that() {
        let all = batch(10);
        let mut other = all.clone();
        other.edit_rows(|rows| rows.iter_mut().for_each(|row| row.time += 100));
        assert_eq!(all.time_range(), (0, 9));
        assert_eq!(other.time_range(), (100, 109));
        assert_eq!(other.tables().values().as_ptr(), all.tables().values().as_ptr());
        assert_ne!(other.tables().rows().as_ptr(), all.tables().rows().as_ptr());
        drop(all);
        assert_eq!(other.points().next().unwrap().field("t"), Some(Value::Text("text")));
    }

    #[test]
    fn edits_in_place_when_alone() {
        let mut all = batch(10);
        let before = all.tables().rows().as_ptr();
        all.edit_rows(|rows| rows[0].time = 5);
        assert_eq!(all.tables().rows().as_ptr(), before);
        all.edit_values(|_, values, arena| values[1] = arena.push("new").unwrap());
        assert_eq!(all.tables().rows().as_ptr(), before);
        assert_eq!(all.points().next().unwrap().field("t"), Some(Value::Text("new")));
    }

    #[test]
    fn values_of_a_shared_batch_are_copied_before_they_change() {
        let all = batch(4);
        let mut other = all.clone();
        other.edit_values(|rows, values, arena| {
            for row in rows {
                values[row.values as usize] = 7;
                values[row.values as usize + 1] = arena.push("seven").unwrap();
            }
        });
        assert!(other.points().all(|p| p.field("i") == Some(Value::I64(7))));
        assert!(other.points().all(|p| p.field("t") == Some(Value::Text("seven"))));
        assert!(all.points().all(|p| p.field("t") == Some(Value::Text("text"))));
    }
}
