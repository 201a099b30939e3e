//! Reading a batch point by point. Kernels that care for speed read the tables instead.

use super::Batch;
use super::layout::{Field, Row, Shape, kind, text_place};
use super::series::SeriesRef;
use crate::abi::tables::{Tables, utf8};

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A finite double.
    F64(f64),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A boolean.
    Bool(bool),
    /// Text.
    Text(&'a str),
    /// A kind that this version does not know: to be carried.
    Unknown {
        /// The kind's code.
        kind: u8,
        /// The payload as it stands.
        payload: u64,
    },
}

impl<'a> Value<'a> {
    /// The kind's code, see [`kind`].
    pub fn kind(&self) -> u8 {
        match self {
            Value::F64(_) => kind::F64,
            Value::I64(_) => kind::I64,
            Value::U64(_) => kind::U64,
            Value::Bool(_) => kind::BOOL,
            Value::Text(_) => kind::TEXT,
            Value::Unknown { kind, .. } => *kind,
        }
    }

    /// Reads a payload of the given kind; `arena` is that of the batch's own tables.
    #[inline]
    pub fn read(arena: &'a [u8], field_kind: u8, payload: u64) -> Self {
        match field_kind {
            kind::F64 => Value::F64(f64::from_bits(payload)),
            kind::I64 => Value::I64(payload as i64),
            kind::U64 => Value::U64(payload),
            kind::BOOL => Value::Bool(payload != 0),
            kind::TEXT => {
                let (offset, len) = text_place(payload);
                Value::Text(utf8(arena.get(offset..offset + len).unwrap_or_default()))
            }
            kind => Value::Unknown { kind, payload },
        }
    }

    /// The number as a double, for numbers.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Value::F64(v) => Some(v),
            Value::I64(v) => Some(v as f64),
            Value::U64(v) => Some(v as f64),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident as $as:ty),* $(,)?) => {
        $(impl From<$type> for Value<'_> {
            fn from(value: $type) -> Self {
                Value::$variant(value as $as)
            }
        })*
    };
}

from!(f64 => F64 as f64, f32 => F64 as f64, i64 => I64 as i64, i32 => I64 as i64,
      u64 => U64 as u64, u32 => U64 as u64, usize => U64 as u64, bool => Bool as bool);

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(value: &'a String) -> Self {
        Value::Text(value)
    }
}

/// A shape as a reader sees it.
#[derive(Clone, Copy)]
pub struct ShapeRef<'a> {
    tables: &'a Tables,
    fields: &'a [Field],
    slots: u32,
}

impl<'a> ShapeRef<'a> {
    /// The shape at its place in a table set. Places outside the tables read as empty.
    pub fn new(tables: &'a Tables, shape: &Shape) -> Self {
        let first = shape.fields as usize;
        let fields = tables.fields().get(first..first + shape.field_count as usize);
        ShapeRef { tables, fields: fields.unwrap_or_default(), slots: shape.slots }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// How many payloads a row of this shape owns.
    pub fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Key, kind and slot of each field.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a str, u8, usize)> + use<'a> {
        let tables = self.tables;
        self.fields.iter().map(move |field| {
            let symbol = tables.symbols().get(field.key as usize).copied().unwrap_or_default();
            let key = tables.text(symbol.offset as usize, symbol.len as usize);
            (key, field.kind, field.slot as usize)
        })
    }

    /// Kind and slot of the field with this key.
    pub fn field(&self, key: &str) -> Option<(u8, usize)> {
        self.fields().find(|(k, ..)| *k == key).map(|(_, kind, slot)| (kind, slot))
    }
}

/// A point as a reader sees it.
#[derive(Clone, Copy)]
pub struct PointRef<'a> {
    batch: &'a Batch,
    row: &'a Row,
}

impl<'a> PointRef<'a> {
    /// The point of a row of that batch.
    pub fn new(batch: &'a Batch, row: &'a Row) -> Self {
        PointRef { batch, row }
    }

    /// Nanoseconds since the epoch.
    pub fn time(&self) -> i64 {
        self.row.time
    }

    /// The row itself.
    pub fn row(&self) -> &'a Row {
        self.row
    }

    /// Its series.
    pub fn series(&self) -> SeriesRef<'a> {
        self.batch.series(self.row.series)
    }

    /// Its fields, in the order of the source.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&'a str, Value<'a>)> + use<'a> {
        let arena = self.batch.tables().arena();
        let payloads = self.batch.payloads(self.row);
        self.batch.shape(self.row.shape).fields().map(move |(key, kind, slot)| {
            (key, Value::read(arena, kind, payloads.get(slot).copied().unwrap_or_default()))
        })
    }

    /// The bytes that a payload of kind text, bytes or JSON names.
    pub(super) fn bytes_at(&self, payload: u64) -> &'a [u8] {
        let (offset, len) = text_place(payload);
        self.batch.tables().arena().get(offset..offset + len).unwrap_or_default()
    }

    /// The value of a field.
    pub fn field(&self, key: &str) -> Option<Value<'a>> {
        self.fields().find(|(k, _)| *k == key).map(|(_, value)| value)
    }
}

impl std::fmt::Debug for PointRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.series().key())?;
        f.debug_map().entries(self.fields()).finish()?;
        write!(f, " {}", self.time())
    }
}
