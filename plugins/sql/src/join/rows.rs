//! The points that a join holds of one source, in flat tables: a row is a number, its fields stand
//! side by side, its tags are stored once for all rows that have the same.

use std::cmp::Ordering;

use headwater_plugin_api::batch::Value;
use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::window::Groups;

/// No row.
pub const NONE: u32 = u32::MAX;
/// Bytes of text, tags and keys that count as one more row.
const ROW_BYTES: usize = 256;

/// What a row consists of besides its fields.
#[derive(Debug, Clone, Copy, Default)]
struct Meta {
    tags: u32,
    kinds: u32,
    handle: u32,
    weight: u32,
}

/// Rows of one source.
pub struct Rows {
    /// Fields that a row has room for.
    width: usize,
    metas: Vec<Meta>,
    values: Vec<u64>,
    free: Vec<u32>,
    texts: Vec<Box<str>>,
    free_texts: Vec<u32>,
    text_bytes: usize,
    /// The distinct sets of tags, and the distinct lists of the fields' kinds.
    tags: Groups,
    kinds: Groups,
    /// Sets were numbered anew: what was learned of their numbers is void.
    renumbered: bool,
}

impl Rows {
    pub fn new(width: usize) -> Self {
        Rows {
            width,
            metas: Vec::new(),
            values: Vec::new(),
            free: Vec::new(),
            texts: Vec::new(),
            free_texts: Vec::new(),
            text_bytes: 0,
            tags: Groups::new(u32::MAX),
            kinds: Groups::new(u32::MAX),
            renumbered: false,
        }
    }

    /// Number of rows that are held.
    pub fn len(&self) -> usize {
        self.metas.len() - self.free.len()
    }

    pub fn byte_size(&self) -> usize {
        self.metas.capacity() * size_of::<Meta>()
            + self.values.capacity() * 8
            + (self.free.capacity() + self.free_texts.capacity()) * 4
            + self.texts.capacity() * size_of::<Box<str>>()
            + self.text_bytes
            + self.tags.byte_size()
            + self.kinds.byte_size()
    }

    /// The number of a set of tags.
    pub fn tag_set(&mut self, tags: &[u8]) -> u32 {
        self.tags.intern(bytes_hash(tags), tags).unwrap_or(0)
    }

    /// The number of a list of kinds, one for each field; 0 for a missing one.
    pub fn kind_list(&mut self, kinds: &[u8]) -> u32 {
        self.kinds.intern(bytes_hash(kinds), kinds).unwrap_or(0)
    }

    /// A row, whose fields are filled by [`set`](Self::set).
    pub fn push(&mut self, tags: u32, kinds: u32, handle: u32) -> u32 {
        let weight = (1 + self.tags.key(tags).len() / ROW_BYTES) as u32;
        let meta = Meta { tags, kinds, handle, weight };
        match self.free.pop() {
            Some(row) => {
                self.metas[row as usize] = meta;
                row
            }
            None => {
                // Doubling would waste up to half of the memory.
                if self.metas.len() == self.metas.capacity() {
                    let more = (self.metas.len() / 4).max(64);
                    self.metas.reserve_exact(more);
                    self.values.reserve_exact(more * self.width);
                }
                self.metas.push(meta);
                self.values.resize(self.metas.len() * self.width, 0);
                self.metas.len() as u32 - 1
            }
        }
    }

    /// Sets a field, of the kind that the row's list has for it.
    pub fn set(&mut self, row: u32, field: usize, value: Value<'_>) {
        let payload = match value {
            Value::F64(v) => v.to_bits(),
            Value::I64(v) => v as u64,
            Value::U64(v) => v,
            Value::Bool(v) => u64::from(v),
            Value::Text(text) => self.push_text(row, text),
            Value::Unknown { payload, .. } => payload,
        };
        self.values[row as usize * self.width + field] = payload;
    }

    /// Sets a field that is no text.
    #[inline]
    pub fn set_payload(&mut self, row: u32, field: usize, payload: u64) {
        self.values[row as usize * self.width + field] = payload;
    }

    fn push_text(&mut self, row: u32, text: &str) -> u64 {
        self.text_bytes += text.len();
        self.metas[row as usize].weight += (text.len() / ROW_BYTES) as u32;
        let place = match self.free_texts.pop() {
            Some(place) => {
                self.texts[place as usize] = text.into();
                place
            }
            None => {
                self.texts.push(text.into());
                self.texts.len() as u32 - 1
            }
        };
        u64::from(place)
    }

    /// How many rows it counts as.
    pub fn weight(&self, row: u32) -> u64 {
        u64::from(self.metas[row as usize].weight)
    }

    pub fn handle(&self, row: u32) -> u32 {
        self.metas[row as usize].handle
    }

    pub fn tags(&self, row: u32) -> u32 {
        self.metas[row as usize].tags
    }

    pub fn kinds(&self, row: u32) -> u32 {
        self.metas[row as usize].kinds
    }

    /// The tags of a set.
    pub fn tag_bytes(&self, tags: u32) -> &[u8] {
        self.tags.key(tags)
    }

    /// The kinds of a list.
    pub fn kind_bytes(&self, kinds: u32) -> &[u8] {
        self.kinds.key(kinds)
    }

    /// A field.
    #[inline]
    pub fn value(&self, row: u32, field: usize, field_kind: u8) -> Value<'_> {
        let payload = self.values[row as usize * self.width + field];
        match field_kind {
            kind::F64 => Value::F64(f64::from_bits(payload)),
            kind::I64 => Value::I64(payload as i64),
            kind::U64 => Value::U64(payload),
            kind::BOOL => Value::Bool(payload != 0),
            _ => Value::Text(self.texts.get(payload as usize).map_or("", |text| text)),
        }
    }

    /// Gives a row up.
    pub fn free(&mut self, row: u32) {
        if !self.texts.is_empty() {
            let kinds = self.kinds.key(self.metas[row as usize].kinds);
            for (field, _) in kinds.iter().enumerate().filter(|(_, k)| **k == kind::TEXT) {
                let place = self.values[row as usize * self.width + field] as u32;
                if let Some(text) = self.texts.get_mut(place as usize) {
                    self.text_bytes -= text.len();
                    *text = Box::default();
                    self.free_texts.push(place);
                }
            }
        }
        self.metas[row as usize].handle = NONE;
        self.free.push(row);
    }

    /// The order of two rows of one time: by their fields, then by their tags. It does not depend on
    /// the order in which they came.
    pub fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a_kinds, b_kinds) = (self.kinds(a), self.kinds(b));
        let kinds = self.kind_bytes(a_kinds);
        if a_kinds != b_kinds {
            let order = kinds.cmp(self.kind_bytes(b_kinds));
            if order.is_ne() {
                return order;
            }
        }
        for (field, kind) in kinds.iter().enumerate().filter(|(_, kind)| **kind != 0) {
            let order = match (self.value(a, field, *kind), self.value(b, field, *kind)) {
                (Value::F64(x), Value::F64(y)) => x.total_cmp(&y),
                (Value::I64(x), Value::I64(y)) => x.cmp(&y),
                (Value::U64(x), Value::U64(y)) => x.cmp(&y),
                (Value::Bool(x), Value::Bool(y)) => x.cmp(&y),
                (Value::Text(x), Value::Text(y)) => x.cmp(y),
                _ => Ordering::Equal,
            };
            if order.is_ne() {
                return order;
            }
        }
        if self.tags(a) == self.tags(b) {
            return Ordering::Equal;
        }
        self.tag_bytes(self.tags(a)).cmp(self.tag_bytes(self.tags(b)))
    }

    /// Whether there are far more sets of tags than rows.
    pub fn is_stale(&self) -> bool {
        self.tags.len() + self.kinds.len() > self.len() * 2 + 4096
    }

    /// Forgets the sets that no row has. Their numbers change.
    pub fn tidy(&mut self) {
        let mut live = vec![true; self.metas.len()];
        self.free.iter().for_each(|row| live[*row as usize] = false);
        let (mut tags, mut kinds) = (vec![false; self.tags.len()], vec![false; self.kinds.len()]);
        for (meta, _) in self.metas.iter().zip(&live).filter(|(_, live)| **live) {
            tags[meta.tags as usize] = true;
            kinds[meta.kinds as usize] = true;
        }
        self.tags.retain(&tags);
        self.kinds.retain(&kinds);
        let (tags, kinds) = (numbers(&tags), numbers(&kinds));
        for (meta, _) in self.metas.iter_mut().zip(&live).filter(|(_, live)| **live) {
            meta.tags = tags[meta.tags as usize];
            meta.kinds = kinds[meta.kinds as usize];
        }
        self.renumbered = true;
    }

    /// Whether sets were numbered anew since it was last asked.
    pub fn take_renumbered(&mut self) -> bool {
        std::mem::take(&mut self.renumbered)
    }

    /// Gives the memory back if there are no rows.
    pub fn release(&mut self) {
        if self.len() == 0 {
            *self = Rows { renumbered: true, ..Rows::new(self.width) };
        }
    }
}

/// The new numbers of what is kept.
pub fn numbers(kept: &[bool]) -> Vec<u32> {
    let mut next = 0;
    let number = |kept: &bool| {
        let number = if *kept { next } else { NONE };
        next += u32::from(*kept);
        number
    };
    kept.iter().map(number).collect()
}
