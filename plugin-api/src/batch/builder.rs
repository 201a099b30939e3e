//! The builder: fills the tables of a batch, point by point or, for parsers, table by table.

use std::collections::HashMap;

use super::Batch;
use super::hash::bytes_hash;
use super::layout::{Field, Row, Shape, Symbol, kind, text_payload};
use super::limits::{Limits, Refused};
use super::series::{SeriesRef, SeriesStore};
use super::view::{PointRef, Value};
use crate::abi::memory::Buffer;

/// Builds batches, one after the other, and reuses what it learned about their size.
pub struct BatchBuilder {
    store: SeriesStore,
    limits: Limits,
    symbols: HashMap<u64, u32>,
    shapes: HashMap<u64, u32>,
    epoch: u64,
    non_finite: u64,
    /// Lengths of the last batches' tables, so that the next one is allocated once.
    last: [usize; 8],
    point: Draft,
}

/// The scratch of the point under construction.
#[derive(Default)]
struct Draft {
    /// Name, then tag and field texts.
    text: String,
    name: (usize, usize),
    tags: Vec<[usize; 4]>,
    fields: Vec<(usize, usize, u8, u64)>,
    metric_kind: u8,
}

/// What to return to when a point is given up.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    arena: usize,
    values: usize,
    rows: usize,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new(Limits::DEFAULT)
    }
}

impl BatchBuilder {
    /// A builder of batches within `limits`.
    pub fn new(limits: Limits) -> Self {
        BatchBuilder {
            store: SeriesStore::new(),
            limits,
            symbols: HashMap::new(),
            shapes: HashMap::new(),
            epoch: 1,
            non_finite: 0,
            last: [0; 8],
            point: Draft::default(),
        }
    }

    /// The bounds it works within.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Rows so far.
    #[inline]
    pub fn len(&self) -> usize {
        self.store.set.rows.len()
    }

    /// Whether there is no row yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.store.set.rows.is_empty()
    }

    /// Bytes of the tables so far, the small ones not counted.
    #[inline]
    pub fn byte_size(&self) -> usize {
        let set = &self.store.set;
        set.arena.len() + set.values.len() * 8 + set.rows.len() * 24 + set.series.len() * 48
    }

    /// Whether the batch must be finished before another point.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len() >= self.limits.rows as usize
            || self.byte_size() >= self.limits.batch_bytes as usize
    }

    /// Fields left out so far because their number was NaN or infinite, over all batches.
    pub fn non_finite(&self) -> u64 {
        self.non_finite
    }

    /// A number that changes with each batch: what was learned of indices in an earlier one is void.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Ends the batch. `None` if it has no rows.
    pub fn finish(&mut self) -> Option<Batch> {
        if self.is_empty() {
            self.clear();
            return None;
        }
        let set = std::mem::take(&mut self.store.set);
        let lengths = [
            set.arena.len(),
            set.symbols.len(),
            set.series.len(),
            set.tags.len(),
            set.shapes.len(),
            set.fields.len(),
            set.rows.len(),
            set.values.len(),
        ];
        // Batches of one source differ by a little: what the larger one had is room for both, and
        // spares the copy of a table that grows by a few elements.
        for (last, len) in self.last.iter_mut().zip(lengths) {
            *last = if len < *last - *last / 8 { len } else { len.max(*last) };
        }
        self.next_epoch();
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for row in set.rows.iter() {
            min = min.min(row.time);
            max = max.max(row.time);
        }
        Some(Batch::new(set.freeze(), (min, max)))
    }

    fn next_epoch(&mut self) {
        self.store.forget_lookup();
        self.symbols.clear();
        self.shapes.clear();
        self.epoch += 1;
    }

    /// Gives up the batch.
    pub fn clear(&mut self) {
        let set = &mut self.store.set;
        set.arena.clear();
        set.symbols.clear();
        set.series.clear();
        set.tags.clear();
        set.shapes.clear();
        set.fields.clear();
        set.rows.clear();
        set.values.clear();
        self.next_epoch();
    }

    /// Makes room as the last batch had it. Worth a call before a parser's loop.
    pub fn reserve_as_before(&mut self) {
        let set = &mut self.store.set;
        set.arena.reserve(self.last[0]);
        set.symbols.reserve(self.last[1]);
        set.series.reserve(self.last[2]);
        set.tags.reserve(self.last[3]);
        set.shapes.reserve(self.last[4]);
        set.fields.reserve(self.last[5]);
        set.rows.reserve(self.last[6]);
        set.values.reserve(self.last[7]);
    }

    /// Begins a point. Nothing is added before [`PointBuilder::finish`].
    pub fn point(&mut self, name: &str) -> PointBuilder<'_> {
        let draft = &mut self.point;
        draft.text.clear();
        draft.tags.clear();
        draft.fields.clear();
        draft.text.push_str(name);
        draft.name = (0, name.len());
        draft.metric_kind = 0;
        PointBuilder { builder: self }
    }

    /// Copies a point of another batch.
    pub fn copy_point(&mut self, point: &PointRef<'_>) -> Result<(), Refused> {
        if self.is_full() {
            return Err(Refused::Full);
        }
        let series = self.store.intern_ref(&point.series());
        let mark = self.mark();
        let mut fields = std::mem::take(&mut self.point.fields);
        fields.clear();
        let mut key_bytes = std::mem::take(&mut self.point.text);
        key_bytes.clear();
        for (key, value) in point.fields() {
            let start = key_bytes.len();
            key_bytes.push_str(key);
            let payload = match value {
                // Reserved kinds whose payload is a place in the arena: what stands there comes along.
                Value::Unknown { kind: kind::BYTES | kind::JSON, payload } => {
                    self.push_bytes(point.bytes_at(payload))
                }
                value => self.payload(&value),
            };
            self.store.set.values.push(payload);
            fields.push((start, key_bytes.len(), value.kind(), 0));
        }
        let shape = self.shape(fields.iter().map(|f| (&key_bytes[f.0..f.1], f.2)));
        self.point.fields = fields;
        self.point.text = key_bytes;
        self.push_row(point.time(), series, shape, mark.values as u32);
        Ok(())
    }

    fn payload(&mut self, value: &Value<'_>) -> u64 {
        match *value {
            Value::F64(v) => v.to_bits(),
            Value::I64(v) => v as u64,
            Value::U64(v) => v,
            Value::Bool(v) => v as u64,
            Value::Text(v) => self.push_text(v),
            Value::Unknown { payload, .. } => payload,
        }
    }

    // What follows is for parsers, which know their series and shapes from one batch to the next.

    /// The index of a series, which is stored if it is new in this batch.
    /// Errors and leavings-out are those of [`SeriesStore::intern`].
    pub fn series(&mut self, name: &str, sorted_tags: &[(&str, &str)]) -> Result<u32, Refused> {
        self.store.intern(name, sorted_tags, &self.limits)
    }

    /// Appends a series by copying its block. `hint` is what the caller calls it.
    #[inline]
    pub fn append_series(&mut self, series: &SeriesRef<'_>, hint: Option<u32>) -> u32 {
        self.store.append(series, hint)
    }

    /// Sets the metadata of a series.
    pub fn set_series_kind(&mut self, index: u32, metric_kind: u8) {
        self.store.set_kind(index, metric_kind);
    }

    /// Appends text to the arena and a symbol for it.
    #[inline]
    pub fn push_symbol(&mut self, text: &str) -> u32 {
        let set = &mut self.store.set;
        let index = set.symbols.len() as u32;
        set.symbols.push(Symbol { offset: set.arena.len() as u32, len: text.len() as u32 });
        set.arena.extend_from_slice(text.as_bytes());
        index
    }

    /// Appends a shape whose fields own the payloads 0, 1, 2, ... of a row.
    #[inline]
    pub fn push_shape(&mut self, fields: impl IntoIterator<Item = (u32, u8)>) -> u32 {
        let set = &mut self.store.set;
        let first = set.fields.len();
        for (slot, (key, kind)) in fields.into_iter().enumerate() {
            set.fields.push(Field { key, slot: slot as u32, kind, ..Field::default() });
        }
        let index = set.shapes.len() as u32;
        let count = (set.fields.len() - first) as u32;
        set.shapes.push(Shape { fields: first as u32, field_count: count, slots: count, flags: 0 });
        index
    }

    /// The index of a shape, which is stored if it is new in this batch.
    pub fn shape<'a>(&mut self, fields: impl Iterator<Item = (&'a str, u8)> + Clone) -> u32 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (key, kind) in fields.clone() {
            hash = (hash ^ bytes_hash(key.as_bytes()) ^ kind as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29);
        }
        if let Some(&index) = self.shapes.get(&hash)
            && self.is_shape(index, fields.clone())
        {
            return index;
        }
        let mut keys = Vec::new();
        for (key, kind) in fields {
            keys.push((self.symbol(key), kind));
        }
        let index = self.push_shape(keys);
        self.shapes.insert(hash, index);
        index
    }

    fn is_shape<'a>(&self, index: u32, mut fields: impl Iterator<Item = (&'a str, u8)>) -> bool {
        let set = &self.store.set;
        let shape = set.shapes[index as usize];
        let own = &set.fields[shape.fields as usize..][..shape.field_count as usize];
        own.iter().all(|field| fields.next() == Some((self.symbol_text(field.key), field.kind)))
            && fields.next().is_none()
    }

    fn symbol_text(&self, index: u32) -> &str {
        let symbol = self.store.set.symbols[index as usize];
        let start = symbol.offset as usize;
        crate::abi::tables::utf8(&self.store.set.arena[start..start + symbol.len as usize])
    }

    /// The index of a symbol, which is stored if it is new in this batch.
    pub fn symbol(&mut self, text: &str) -> u32 {
        let hash = bytes_hash(text.as_bytes());
        match self.symbols.get(&hash) {
            Some(&index) if self.symbol_text(index) == text => index,
            _ => {
                let index = self.push_symbol(text);
                self.symbols.insert(hash, index);
                index
            }
        }
    }

    /// Appends text to the arena and gives its payload.
    #[inline]
    pub fn push_text(&mut self, text: &str) -> u64 {
        self.push_bytes(text.as_bytes())
    }

    #[inline]
    fn push_bytes(&mut self, bytes: &[u8]) -> u64 {
        let arena = &mut self.store.set.arena;
        let payload = text_payload(arena.len() as u32, bytes.len() as u32);
        arena.extend_from_slice(bytes);
        payload
    }

    /// The arena, for a parser that writes text in pieces. What is appended must be UTF-8.
    #[inline]
    pub fn values(&mut self) -> &mut Buffer<u64> {
        &mut self.store.set.values
    }

    /// Appends a row whose payloads begin at `values` of the value table.
    #[inline]
    pub fn push_row(&mut self, time: i64, series: u32, shape: u32, values: u32) {
        self.store.set.rows.push(Row { time, series, shape, values, flags: 0 });
    }

    /// Remembers where a point begins.
    #[inline]
    pub fn mark(&self) -> Mark {
        let set = &self.store.set;
        Mark { arena: set.arena.len(), values: set.values.len(), rows: set.rows.len() }
    }

    /// Takes back the rows, payloads and, if no series or symbol was added meanwhile, text since
    /// `mark`.
    pub fn roll_back(&mut self, mark: &Mark) {
        let set = &mut self.store.set;
        set.rows.truncate(mark.rows);
        set.values.truncate(mark.values);
        let series_end = set.series.last().map_or(0, |s| (s.text + s.text_len) as usize);
        let symbol_end = set.symbols.last().map_or(0, |s| (s.offset + s.len) as usize);
        if series_end <= mark.arena && symbol_end <= mark.arena {
            set.arena.truncate(mark.arena);
        }
    }
}

/// A point under construction.
///
/// Of repeated tags or fields the last counts. A field whose number is NaN or infinite, a tag whose
/// key or value is empty, and a text field beyond nothing but the point's bound are treated as
/// [`BatchBuilder`] documents: the first two are left out, the last is refused.
#[must_use = "a point is added by `finish`"]
pub struct PointBuilder<'a> {
    builder: &'a mut BatchBuilder,
}

impl PointBuilder<'_> {
    fn text(&mut self, text: &str) -> (usize, usize) {
        let draft = &mut self.builder.point;
        let start = draft.text.len();
        draft.text.push_str(text);
        (start, draft.text.len())
    }

    /// Sets a tag.
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        let (key_start, key_end) = self.text(key);
        let (value_start, value_end) = self.text(value);
        let draft = &mut self.builder.point;
        let same = |t: &[usize; 4]| draft.text[t[0]..t[1]] == *key;
        let tag = [key_start, key_end, value_start, value_end];
        match draft.tags.iter().position(same) {
            Some(at) => draft.tags[at] = tag,
            None => draft.tags.push(tag),
        }
        self
    }

    /// Sets several tags.
    pub fn tags<'t>(self, tags: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        tags.into_iter().fold(self, |point, (key, value)| point.tag(key, value))
    }

    /// Sets the metadata, see [`metric_kind`](super::layout::metric_kind).
    pub fn metric_kind(self, metric_kind: u8) -> Self {
        self.builder.point.metric_kind = metric_kind;
        self
    }

    /// Sets a field.
    pub fn field<'v>(mut self, key: &str, value: impl Into<Value<'v>>) -> Self {
        let value = value.into();
        if let Value::F64(number) = value
            && !number.is_finite()
        {
            self.builder.non_finite += 1;
            return self;
        }
        let (start, end) = self.text(key);
        let payload = match value {
            Value::Text(text) => {
                let (from, to) = self.text(text);
                (from as u64) | (to as u64) << 32
            }
            other => self.builder.payload(&other),
        };
        let draft = &mut self.builder.point;
        let field = (start, end, value.kind(), payload);
        match draft.fields.iter().position(|f| draft.text[f.0..f.1] == *key) {
            Some(at) => draft.fields[at] = field,
            None => draft.fields.push(field),
        }
        self
    }

    /// Adds the point with its time in nanoseconds since the epoch.
    ///
    /// # Errors
    /// [`Refused`]: nothing was added; with [`Refused::Full`] the same point may be built again
    /// after [`BatchBuilder::finish`].
    pub fn finish(self, time_ns: i64) -> Result<(), Refused> {
        let mut draft = std::mem::take(&mut self.builder.point);
        let result = self.builder.add(&mut draft, time_ns);
        self.builder.point = draft;
        result
    }
}

impl BatchBuilder {
    fn add(&mut self, draft: &mut Draft, time_ns: i64) -> Result<(), Refused> {
        if self.is_full() {
            return Err(Refused::Full);
        }
        if draft.fields.is_empty() {
            return Err(Refused::NoFields);
        }
        let bound = |what, size: usize, limit: u32| {
            if size > limit as usize {
                return Err(Refused::TooLarge { what, size, limit: limit as usize });
            }
            Ok(())
        };
        bound("the point", draft.text.len(), self.limits.point_bytes)?;
        bound("the number of fields", draft.fields.len(), self.limits.fields)?;
        for field in &draft.fields {
            if field.0 == field.1 {
                return Err(Refused::EmptyFieldKey);
            }
            bound("field key", field.1 - field.0, self.limits.name_bytes)?;
        }
        let text = &draft.text;
        draft.tags.sort_unstable_by(|a, b| text[a[0]..a[1]].cmp(&text[b[0]..b[1]]));
        let tags: Vec<(&str, &str)> =
            draft.tags.iter().map(|t| (&text[t[0]..t[1]], &text[t[2]..t[3]])).collect();
        let series = self.store.intern(&text[draft.name.0..draft.name.1], &tags, &self.limits)?;
        if draft.metric_kind != 0 {
            self.store.set_kind(series, draft.metric_kind);
        }
        let first = self.store.set.values.len() as u32;
        for &(_, _, field_kind, payload) in &draft.fields {
            let payload = match field_kind {
                kind::TEXT => {
                    let (from, to) = ((payload & 0xffff_ffff) as usize, (payload >> 32) as usize);
                    self.push_text(&text[from..to])
                }
                _ => payload,
            };
            self.store.set.values.push(payload);
        }
        let shape = self.shape(draft.fields.iter().map(|f| (&text[f.0..f.1], f.2)));
        self.push_row(time_ns, series, shape, first);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_as_they_were_built() {
        let mut builder = BatchBuilder::default();
        builder
            .point("cpu")
            .tag("host", "a")
            .tag("cpu", "cpu0")
            .field("usage", 1.5)
            .field("n", 3_i64)
            .field("big", u64::MAX)
            .field("on", true)
            .field("text", "x y")
            .finish(7)
            .unwrap();
        let batch = builder.finish().unwrap();
        let point = batch.points().next().unwrap();
        assert_eq!(point.time(), 7);
        assert_eq!(point.series().key(), "cpu,cpu=cpu0,host=a");
        let fields: Vec<_> = point.fields().collect();
        assert_eq!(
            fields,
            [
                ("usage", Value::F64(1.5)),
                ("n", Value::I64(3)),
                ("big", Value::U64(u64::MAX)),
                ("on", Value::Bool(true)),
                ("text", Value::Text("x y")),
            ]
        );
        assert_eq!(batch.time_range(), (7, 7));
    }

    #[test]
    fn the_last_of_repeated_tags_and_fields_counts() {
        let mut builder = BatchBuilder::default();
        let point = builder.point("m").tag("t", "1").tag("t", "2");
        point.field("f", 1.0).field("f", "two").finish(0).unwrap();
        let batch = builder.finish().unwrap();
        let point = batch.points().next().unwrap();
        assert_eq!(point.series().key(), "m,t=2");
        assert_eq!(point.fields().collect::<Vec<_>>(), [("f", Value::Text("two"))]);
    }

    #[test]
    fn numbers_that_are_not_finite_are_left_out_and_counted() {
        let mut builder = BatchBuilder::default();
        let point = builder.point("m").field("nan", f64::NAN).field("ok", 1_i64);
        point.finish(0).unwrap();
        let only = builder.point("m").field("inf", f64::INFINITY).finish(0);
        assert_eq!(only, Err(Refused::NoFields));
        assert_eq!(builder.non_finite(), 2);
        let batch = builder.finish().unwrap();
        assert_eq!(batch.points().next().unwrap().fields().count(), 1);
    }

    #[test]
    fn refusals_leave_no_trace() {
        let mut builder = BatchBuilder::default();
        assert_eq!(builder.point("").field("a", 1.0).finish(0), Err(Refused::EmptyName));
        assert_eq!(builder.point("m").field("", 1.0).finish(0), Err(Refused::EmptyFieldKey));
        assert!(builder.finish().is_none());
    }

    #[test]
    fn a_full_batch_says_so() {
        let mut builder = BatchBuilder::new(Limits { rows: 2, ..Limits::DEFAULT });
        for time in 0..2 {
            builder.point("m").field("a", 1.0).finish(time).unwrap();
        }
        assert_eq!(builder.point("m").field("a", 1.0).finish(2), Err(Refused::Full));
        assert_eq!(builder.finish().unwrap().len(), 2);
        builder.point("m").field("a", 1.0).finish(2).unwrap();
    }

    #[test]
    fn rows_of_one_shape_share_it() {
        let mut builder = BatchBuilder::default();
        for i in 0..10 {
            let point = builder.point("m").field("a", 1.0);
            let point = if i % 2 == 0 { point.field("b", "x") } else { point };
            point.finish(i).unwrap();
        }
        let batch = builder.finish().unwrap();
        assert_eq!(batch.tables().shapes().len(), 2);
        assert_eq!(batch.tables().symbols().len(), 2);
        assert_eq!(batch.tables().series().len(), 1);
    }
}
