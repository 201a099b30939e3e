//! Joined rows as points: both sides' columns under their qualified names.

use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::batch::{Batch, BatchBuilder, Limits, SeriesStore, Value};
use headwater_plugin_api::window::codec::{Reader, put};

use super::rows::{NONE, Rows};
use crate::numbers::NumberMap;
use crate::plan::{Action, Carried, Join, Side};

/// A row of one side.
#[derive(Clone, Copy)]
pub struct Part<'r> {
    pub rows: &'r Rows,
    pub row: u32,
    pub time: i64,
}

/// Makes points of joined rows.
pub struct Output {
    name: String,
    builder: BatchBuilder,
    /// The series of the rows so far, by the numbers of both sides' sets of tags.
    store: SeriesStore,
    by_sets: NumberMap<u32>,
    /// Where a series stands in the batch at hand, with what tells batches apart.
    placed: Vec<(u64, u32)>,
    /// The shapes of the batch at hand, by the numbers of both sides' lists of kinds.
    shapes: NumberMap<u32>,
    epoch: u64,
    last_series: Option<(u64, u32)>,
    last_shape: Option<(u64, u32)>,
    pub refused: u64,
}

/// The columns that a side gives to joined rows.
pub fn carried(join: &Join, side: usize) -> &[Carried] {
    match &join.sides[side].action {
        Action::Side(Side { carried, .. }) => carried,
        _ => &[],
    }
}

/// Appends a tag of a set: a missing one is none.
pub fn put_tag(out: &mut Vec<u8>, tag: Option<&str>) {
    match tag {
        None => put(out, 0),
        Some(text) => {
            put(out, text.len() as u64 + 1);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The next tag of a set; none at the end and for what is no text.
pub fn next_tag<'b>(from: &mut Reader<'b>) -> Option<&'b str> {
    let length = usize::try_from(from.number().ok()?.checked_sub(1)?).ok()?;
    std::str::from_utf8(from.bytes(length).ok()?).ok()
}

impl Output {
    /// How many series are remembered.
    const MAX: usize = 1 << 16;

    pub fn new(name: &str) -> Self {
        Output {
            name: name.to_owned(),
            builder: BatchBuilder::default(),
            store: SeriesStore::new(),
            by_sets: NumberMap::default(),
            placed: Vec::new(),
            shapes: NumberMap::default(),
            epoch: 0,
            last_series: None,
            last_shape: None,
            refused: 0,
        }
    }

    pub fn byte_size(&self) -> usize {
        self.store.byte_size() + self.by_sets.capacity() * 16 + self.placed.capacity() * 16
    }

    /// Sets of tags were numbered anew.
    pub fn forget(&mut self) {
        self.store = SeriesStore::new();
        self.by_sets = NumberMap::default();
        self.placed = Vec::new();
        self.shapes.clear();
        (self.last_series, self.last_shape) = (None, None);
        if self.builder.is_empty() {
            self.builder = BatchBuilder::default();
        }
    }

    pub fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// Ends the batch at hand.
    pub fn finish(&mut self) -> Option<Batch> {
        self.builder.finish()
    }

    /// Adds a row.
    pub fn row(&mut self, join: &Join, a: Part<'_>, b: Option<Part<'_>>) {
        if self.epoch != self.builder.epoch() {
            self.epoch = self.builder.epoch();
            self.shapes.clear();
            (self.last_series, self.last_shape) = (None, None);
        }
        let sets = (a.rows.tags(a.row), b.map_or(NONE, |b| b.rows.tags(b.row)));
        let sets = u64::from(sets.0) << 32 | u64::from(sets.1);
        let series = match self.last_series {
            Some((of, series)) if of == sets => series,
            _ => match self.series(sets, join, a, b) {
                Some(series) => series,
                None => {
                    self.refused += 1;
                    return;
                }
            },
        };
        self.last_series = Some((sets, series));
        let kinds = (a.rows.kinds(a.row), b.map_or(NONE, |b| b.rows.kinds(b.row)));
        let kinds = u64::from(kinds.0) << 32 | u64::from(kinds.1);
        let first = self.builder.values().len() as u32;
        self.fields(a);
        if let Some(b) = b {
            if join.partner_time.is_some() {
                self.builder.values().push(b.time as u64);
            }
            self.fields(b);
        }
        let shape = match self.last_shape {
            Some((of, shape)) if of == kinds => shape,
            _ => self.shape(kinds, join, a, b),
        };
        self.last_shape = Some((kinds, shape));
        self.builder.push_row(a.time, series, shape, first);
    }

    fn fields(&mut self, part: Part<'_>) {
        let kinds = part.rows.kind_bytes(part.rows.kinds(part.row));
        for (field, kind) in kinds.iter().enumerate().filter(|(_, kind)| **kind != 0) {
            let payload = match part.rows.value(part.row, field, *kind) {
                Value::Text(text) => self.builder.push_text(text),
                Value::F64(v) => v.to_bits(),
                Value::I64(v) => v as u64,
                Value::U64(v) => v,
                Value::Bool(v) => u64::from(v),
                Value::Unknown { payload, .. } => payload,
            };
            self.builder.values().push(payload);
        }
    }

    #[cold]
    fn shape(&mut self, key: u64, join: &Join, a: Part<'_>, b: Option<Part<'_>>) -> u32 {
        if let Some(shape) = self.shapes.get(&key) {
            return *shape;
        }
        let fields_of = |side: usize, part: Part<'_>| {
            let kinds = part.rows.kind_bytes(part.rows.kinds(part.row)).to_vec();
            let named = carried(join, side).iter().zip(kinds).filter(|(_, kind)| *kind != 0);
            named.map(|(carried, kind)| (carried.name.as_str(), kind))
        };
        let mut fields: Vec<(&str, u8)> = fields_of(0, a).collect();
        if let Some(b) = b {
            fields.extend(join.partner_time.as_ref().map(|name| (name.as_str(), kind::I64)));
            fields.extend(fields_of(1, b));
        }
        let shape = self.builder.shape(fields.iter().copied());
        self.shapes.insert(key, shape);
        shape
    }

    #[cold]
    fn series(&mut self, sets: u64, join: &Join, a: Part<'_>, b: Option<Part<'_>>) -> Option<u32> {
        let number = match self.by_sets.get(&sets) {
            Some(number) => *number,
            None => {
                if self.by_sets.len() >= Self::MAX {
                    self.store = SeriesStore::new();
                    self.by_sets.clear();
                    self.placed.clear();
                }
                let mut tags: Vec<(&str, &str)> = Vec::new();
                let sides = [Some((0, a)), b.map(|b| (1, b))];
                for (side, part) in sides.into_iter().flatten() {
                    let bytes = part.rows.tag_bytes(part.rows.tags(part.row));
                    let mut from = Reader::new(bytes);
                    for carried in carried(join, side) {
                        let tag = next_tag(&mut from);
                        tags.extend(tag.map(|text| (carried.name.as_str(), text)));
                    }
                }
                tags.sort_unstable();
                let number = self.store.intern(&self.name, &tags, &Limits::DEFAULT).ok()?;
                self.by_sets.insert(sets, number);
                number
            }
        };
        if self.placed.len() <= number as usize {
            self.placed.resize(number as usize + 1, (0, 0));
        }
        let (epoch, series) = &mut self.placed[number as usize];
        if *epoch != self.epoch {
            *epoch = self.epoch;
            *series = self.builder.append_series(&self.store.get(number), Some(number));
        }
        Some(*series)
    }
}
