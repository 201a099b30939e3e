//! Work that depends on name and tags alone, done once for each series: selection, renames, added
//! tags, regular expressions on tags; and the same for field keys, once for each shape.

use std::collections::HashMap;

use super::Batch;
use super::layout::{Field, Shape, Symbol};
use super::limits::{Limits, Refused};
use super::series::{SeriesDraft, SeriesRef, SeriesStore};
use crate::abi::memory::Buffer;
use crate::abi::tables::TableSet;
use crate::window::Groups;

/// What becomes of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesEdit {
    /// It stays as it is.
    Keep,
    /// Its points leave the batch.
    Drop,
    /// The draft, which holds a copy of it to begin with, takes its place.
    Replace,
}

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldEdit {
    /// It stays as it is.
    Keep,
    /// It leaves its points; a point without fields leaves the batch.
    Drop,
    /// It gets this key. Of two fields with one key the later one counts.
    Rename(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    Drop,
    /// Index in the store of results.
    Replace(u32),
}

/// Edits series and remembers the outcome, so that each series is looked at once in its life and
/// not once in each batch. It holds at most [`SeriesMap::MAX_SERIES`] series and forgets all of
/// them when one more comes.
pub struct SeriesMap {
    /// Canonical keys: equal ones are of equal series.
    seen: Groups,
    verdicts: Vec<Verdict>,
    results: SeriesStore,
    /// Index in `seen` by the producer's hint, plus one.
    by_hint: Vec<u32>,
    draft: SeriesDraft,
    limits: Limits,
    plan: Vec<Verdict>,
    /// Of the last table of replacements, so that the next one is allocated once.
    sizes: [usize; 3],
}

impl Default for SeriesMap {
    fn default() -> Self {
        SeriesMap {
            seen: Groups::new(u32::MAX),
            verdicts: Vec::new(),
            results: SeriesStore::default(),
            by_hint: Vec::new(),
            draft: SeriesDraft::default(),
            limits: Limits::default(),
            plan: Vec::new(),
            sizes: [0; 3],
        }
    }
}

impl SeriesMap {
    /// How many series are remembered.
    pub const MAX_SERIES: usize = 1 << 16;

    /// A map that remembers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all outcomes: to be called when what `edit` does changes.
    pub fn clear(&mut self) {
        self.seen.clear();
        self.results.clear();
        self.verdicts.clear();
        self.by_hint.clear();
    }

    /// Bytes of memory held.
    pub fn byte_size(&self) -> usize {
        self.seen.byte_size() + self.results.byte_size() + self.by_hint.capacity() * 4
    }

    /// Applies `edit` to each series of the batch and removes the points of dropped ones. `edit`
    /// must depend on the series alone.
    ///
    /// # Errors
    /// A replacement that a batch cannot hold (such as an empty name): those points are dropped too,
    /// the rest is edited, and the first such refusal is told.
    pub fn apply(
        &mut self,
        batch: &mut Batch,
        mut edit: impl FnMut(&SeriesRef<'_>, &mut SeriesDraft) -> SeriesEdit,
    ) -> Result<(), Refused> {
        let mut refused = None;
        let mut plan = std::mem::take(&mut self.plan);
        plan.clear();
        let (mut drops, mut replaces) = (false, false);
        let count = batch.series_count();
        if self.seen.len() + count > Self::MAX_SERIES {
            self.clear();
        }
        for index in 0..count as u32 {
            let series = batch.series(index);
            let verdict = match self.known(&series) {
                Some(at) => self.verdicts[at as usize],
                None => self.judge(&series, &mut edit, &mut refused),
            };
            drops |= verdict == Verdict::Drop;
            replaces |= matches!(verdict, Verdict::Replace(_));
            plan.push(verdict);
        }
        if replaces {
            let mut store = SeriesStore::new();
            store.reserve_as(&self.sizes);
            for (index, verdict) in plan.iter().enumerate() {
                let series = batch.series(index as u32);
                match verdict {
                    Verdict::Replace(at) => {
                        let replacement = self.results.get(*at);
                        store.append(&replacement, series.hint());
                    }
                    _ => {
                        store.append(&series, series.hint());
                    }
                }
            }
            self.sizes = store.sizes();
            batch.series = Some(store.set.freeze());
        }
        if drops {
            batch.retain(|_, row| {
                plan.get(row.series as usize).is_some_and(|verdict| *verdict != Verdict::Drop)
            });
        }
        self.plan = plan;
        refused.map_or(Ok(()), Err)
    }

    fn known(&self, series: &SeriesRef<'_>) -> Option<u32> {
        if let Some(hint) = series.hint()
            && let Some(at) = self.by_hint.get(hint as usize).and_then(|at| at.checked_sub(1))
            && self.seen.is(at, series.hash(), series.key().as_bytes())
        {
            return Some(at);
        }
        self.seen.find(series.hash(), series.key().as_bytes())
    }

    fn judge(
        &mut self,
        series: &SeriesRef<'_>,
        edit: &mut impl FnMut(&SeriesRef<'_>, &mut SeriesDraft) -> SeriesEdit,
        refused: &mut Option<Refused>,
    ) -> Verdict {
        self.draft.assign(series);
        let verdict = match edit(series, &mut self.draft) {
            SeriesEdit::Keep => Verdict::Keep,
            SeriesEdit::Drop => Verdict::Drop,
            SeriesEdit::Replace => match self.draft.intern_into(&mut self.results, &self.limits) {
                Ok(at) => Verdict::Replace(at),
                Err(reason) => {
                    refused.get_or_insert(reason);
                    Verdict::Drop
                }
            },
        };
        // The keys have 4 GiB, which so few series do not fill.
        let key = series.key().as_bytes();
        let Some(at) = self.seen.intern(series.hash(), key) else { return verdict };
        self.verdicts.truncate(at as usize);
        self.verdicts.push(verdict);
        if let Some(hint) = series.hint()
            && (hint as usize) < Self::MAX_SERIES
        {
            if self.by_hint.len() <= hint as usize {
                self.by_hint.resize(hint as usize + 1, 0);
            }
            self.by_hint[hint as usize] = at + 1;
        }
        verdict
    }
}

impl Batch {
    /// Applies `edit` to each field of each shape: key and kind in, what becomes of it out.
    pub fn edit_fields(&mut self, mut edit: impl FnMut(&str, u8) -> FieldEdit) {
        let mut set = TableSet::default();
        let mut changed = false;
        let mut emptied = false;
        let mut symbols: HashMap<String, u32> = HashMap::new();
        let mut intern = |arena: &mut Buffer<u8>, table: &mut Buffer<Symbol>, text: &str| {
            if let Some(&index) = symbols.get(text) {
                return index;
            }
            let index = table.len() as u32;
            table.push(Symbol { offset: arena.len() as u32, len: text.len() as u32 });
            arena.extend_from_slice(text.as_bytes());
            symbols.insert(text.to_owned(), index);
            index
        };
        for index in 0..self.shape_count() as u32 {
            let shape = self.shape(index);
            let first = set.fields.len();
            for (key, kind, slot) in shape.fields() {
                let key = match edit(key, kind) {
                    FieldEdit::Keep => std::borrow::Cow::Borrowed(key),
                    FieldEdit::Drop => {
                        changed = true;
                        continue;
                    }
                    FieldEdit::Rename(new) if new.is_empty() || new == key => key.into(),
                    FieldEdit::Rename(new) => {
                        changed = true;
                        new.into()
                    }
                };
                let key = intern(&mut set.arena, &mut set.symbols, &key);
                let field = Field { key, slot: slot as u32, kind, ..Field::default() };
                match set.fields[first..].iter().position(|field| field.key == key) {
                    Some(at) => set.fields[first + at] = field,
                    None => set.fields.push(field),
                }
            }
            let field_count = (set.fields.len() - first) as u32;
            emptied |= field_count == 0;
            set.shapes.push(Shape {
                fields: first as u32,
                field_count,
                slots: shape.slots() as u32,
                flags: 0,
            });
        }
        if !changed {
            return;
        }
        self.shapes = Some(set.freeze());
        if emptied {
            self.retain(|batch, row| !batch.shape(row.shape).is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Value};

    fn batch() -> Batch {
        let mut builder = BatchBuilder::default();
        for i in 0..9 {
            let host = format!("h{}", i % 3);
            let point = builder.point("m").tag("host", &host).field("a", i as f64).field("b", i);
            point.finish(i).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn series_are_edited_once() {
        let mut map = SeriesMap::new();
        let mut calls = 0;
        for _ in 0..3 {
            let mut batch = batch();
            map.apply(&mut batch, |series, draft| {
                calls += 1;
                match series.tag("host") {
                    Some("h0") => SeriesEdit::Drop,
                    Some("h1") => {
                        draft.name = "renamed".into();
                        draft.set_tag("dc", "x");
                        SeriesEdit::Replace
                    }
                    _ => SeriesEdit::Keep,
                }
            })
            .unwrap();
            let keys: Vec<String> =
                batch.points().map(|p| p.series().key().to_owned()).take(2).collect();
            assert_eq!(keys, ["renamed,dc=x,host=h1", "m,host=h2"]);
            assert_eq!(batch.len(), 6);
        }
        assert_eq!(calls, 3);
    }

    #[test]
    fn an_impossible_replacement_drops_its_points_and_is_told() {
        let mut batch = batch();
        let result = SeriesMap::new().apply(&mut batch, |series, draft| {
            if series.tag("host") == Some("h0") {
                draft.name.clear();
                return SeriesEdit::Replace;
            }
            SeriesEdit::Keep
        });
        assert_eq!(result, Err(Refused::EmptyName));
        assert_eq!(batch.len(), 6);
    }

    #[test]
    fn fields_are_dropped_and_renamed_without_touching_values() {
        let mut batch = batch();
        let values = batch.tables().values().as_ptr();
        batch.edit_fields(|key, _| match key {
            "a" => FieldEdit::Drop,
            _ => FieldEdit::Rename("c".into()),
        });
        assert_eq!(batch.tables().values().as_ptr(), values);
        let point = batch.points().nth(4).unwrap();
        assert_eq!(point.fields().collect::<Vec<_>>(), [("c", Value::I64(4))]);
        batch.edit_fields(|_, _| FieldEdit::Drop);
        assert!(batch.is_empty());
    }

    #[test]
    fn a_field_renamed_onto_another_takes_its_place() {
        let mut batch = batch();
        batch.edit_fields(|key, _| match key {
            "b" => FieldEdit::Rename("a".into()),
            _ => FieldEdit::Keep,
        });
        let point = batch.points().nth(2).unwrap();
        assert_eq!(point.fields().collect::<Vec<_>>(), [("a", Value::I64(2))]);
    }
}
