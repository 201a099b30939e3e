//! The flat tables of a batch: what each element looks like in memory, in the serial form and in C.
//!
//! Every element is little-endian, of fixed width and free of pointers, its padding named and
//! zeroed. A struct that stands here never changes; a batch grows by new sections.

/// Names one table of a batch.
pub mod section {
    /// Text, UTF-8, one byte an element.
    pub const ARENA: u32 = 1;
    /// [`Symbol`](super::Symbol): text that tables name by index.
    pub const SYMBOLS: u32 = 2;
    /// [`Series`](super::Series).
    pub const SERIES: u32 = 3;
    /// [`Tag`](super::Tag), sorted by key bytes within a series.
    pub const TAGS: u32 = 4;
    /// [`Shape`](super::Shape).
    pub const SHAPES: u32 = 5;
    /// [`Field`](super::Field), in the order of the source.
    pub const FIELDS: u32 = 6;
    /// [`Row`](super::Row).
    pub const ROWS: u32 = 7;
    /// Payloads of 8 bytes, read by the kind of their field.
    pub const VALUES: u32 = 8;
    /// Words of 64 bits, bit `i` set if row `i` is alive.
    pub const SELECTION: u32 = 9;

    /// Flag of a section: a reader that does not know it must refuse the batch.
    pub const MUST_UNDERSTAND: u32 = 1;
}

/// Text in the arena of its own table set: offset and length in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Symbol {
    /// First byte.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

/// A measurement name with its tags and metadata.
///
/// Its text is one block in the arena: the canonical key (`name,tag=value,...`, tags sorted by key
/// bytes, escaped as in line protocol) and, if anything in it is escaped, the bare texts behind it.
/// A block is therefore copied whole, and line protocol is written by one copy of the key.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Series {
    /// XXH3, see [`series_hash`](super::hash::series_hash).
    pub hash: u64,
    /// First byte of the block in the arena.
    pub text: u32,
    /// Bytes of the block.
    pub text_len: u32,
    /// Bytes of the canonical key, with which the block begins.
    pub key_len: u32,
    /// The bare measurement name, relative to the block.
    pub name: u32,
    /// Bytes of the bare measurement name.
    pub name_len: u32,
    /// First tag in the tag table.
    pub tags: u32,
    /// Number of tags.
    pub tag_count: u32,
    /// What the producer of this batch calls the series in its own tables, plus one; 0 if it has
    /// no name for it. A consumer may use it to find its own state and must compare the hash.
    pub hint: u32,
    /// Metadata: a [`metric_kind`] code. Not part of the identity.
    pub kind: u8,
    /// Reserved, 0.
    pub flags: u8,
    /// Reserved, 0.
    pub reserved: [u8; 6],
}

/// Codes of [`Series::kind`]; an unknown code is carried, never interpreted.
pub mod metric_kind {
    /// Nothing is known.
    pub const UNTYPED: u8 = 0;
    /// A sum that only grows.
    pub const COUNTER: u8 = 1;
    /// A value that goes up and down.
    pub const GAUGE: u8 = 2;
    /// Buckets.
    pub const HISTOGRAM: u8 = 3;
    /// Quantiles.
    pub const SUMMARY: u8 = 4;
}

/// One tag; offsets are relative to the block of its series.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tag {
    /// First byte of the key.
    pub key: u32,
    /// Bytes of the key.
    pub key_len: u32,
    /// First byte of the value.
    pub value: u32,
    /// Bytes of the value.
    pub value_len: u32,
}

/// A distinct list of fields.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// First field in the field table.
    pub fields: u32,
    /// Number of fields.
    pub field_count: u32,
    /// How many payloads a row of this shape owns in the value table; more than the fields where
    /// an overlay has left some out.
    pub slots: u32,
    /// Reserved, 0.
    pub flags: u32,
}

/// One field of a shape.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Field {
    /// Its key, in the symbol table of the same table set.
    pub key: u32,
    /// Where its payload stands, counted from the row's first.
    pub slot: u32,
    /// A [`kind`] code.
    pub kind: u8,
    /// Reserved, 0.
    pub flags: u8,
    /// Reserved, 0.
    pub reserved: [u8; 2],
}

/// Codes of [`Field::kind`]: how a payload of 8 bytes is read. An unknown kind is carried, never
/// interpreted.
pub mod kind {
    /// IEEE 754 double, finite.
    pub const F64: u8 = 1;
    /// Signed integer.
    pub const I64: u8 = 2;
    /// Unsigned integer.
    pub const U64: u8 = 3;
    /// 0 or 1.
    pub const BOOL: u8 = 4;
    /// Text in the arena: offset in the low half, length in the high half.
    pub const TEXT: u8 = 5;
    /// Reserved: bytes in the arena, as `TEXT` without UTF-8.
    pub const BYTES: u8 = 6;
    /// Reserved: JSON in the arena, as `TEXT`.
    pub const JSON: u8 = 7;
}

/// One point.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// Nanoseconds since the Unix epoch.
    pub time: i64,
    /// Index into the series table.
    pub series: u32,
    /// Index into the shape table.
    pub shape: u32,
    /// Index of the first payload in the value table.
    pub values: u32,
    /// Reserved, 0.
    pub flags: u32,
}

/// Packs a text's place in the arena into a payload.
#[inline]
pub const fn text_payload(offset: u32, len: u32) -> u64 {
    offset as u64 | (len as u64) << 32
}

/// The place of a text payload in the arena: offset and length.
#[inline]
pub const fn text_place(payload: u64) -> (usize, usize) {
    ((payload & 0xffff_ffff) as usize, (payload >> 32) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{align_of, offset_of, size_of};

    /// The layout that strangers have compiled against: a change here breaks them.
    #[test]
    fn layout_is_frozen() {
        assert_eq!((size_of::<Symbol>(), align_of::<Symbol>()), (8, 4));
        assert_eq!((size_of::<Series>(), align_of::<Series>()), (48, 8));
        assert_eq!(
            [
                offset_of!(Series, hash),
                offset_of!(Series, text),
                offset_of!(Series, text_len),
                offset_of!(Series, key_len),
                offset_of!(Series, name),
                offset_of!(Series, name_len),
                offset_of!(Series, tags),
                offset_of!(Series, tag_count),
                offset_of!(Series, hint),
                offset_of!(Series, kind),
                offset_of!(Series, flags),
            ],
            [0, 8, 12, 16, 20, 24, 28, 32, 36, 40, 41]
        );
        assert_eq!((size_of::<Tag>(), align_of::<Tag>()), (16, 4));
        assert_eq!((size_of::<Shape>(), align_of::<Shape>()), (16, 4));
        assert_eq!((size_of::<Field>(), align_of::<Field>()), (12, 4));
        assert_eq!(
            [offset_of!(Field, key), offset_of!(Field, slot), offset_of!(Field, kind)],
            [0, 4, 8]
        );
        assert_eq!((size_of::<Row>(), align_of::<Row>()), (24, 8));
        assert_eq!(
            [
                offset_of!(Row, time),
                offset_of!(Row, series),
                offset_of!(Row, shape),
                offset_of!(Row, values),
                offset_of!(Row, flags),
            ],
            [0, 8, 12, 16, 20]
        );
    }
}
