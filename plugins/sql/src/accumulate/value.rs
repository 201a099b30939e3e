//! Values as they are told apart: a number is the same whether it came as an integer or as a float.

use headwater_plugin_api::batch::hash::bytes_hash;

use super::kernel::each;
use crate::vector::{Cell, Data, Vector};

/// What a value is, beside its 8 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    Bool = 0,
    Int = 1,
    /// An integer beyond the signed ones.
    UInt = 2,
    /// A float that is no integer of 64 bits.
    Float = 3,
    Time = 4,
    Interval = 5,
    /// The bytes say where it stands.
    Text = 6,
}

impl Tag {
    pub fn of(byte: u8) -> Option<Tag> {
        const ALL: [Tag; 7] =
            [Tag::Bool, Tag::Int, Tag::UInt, Tag::Float, Tag::Time, Tag::Interval, Tag::Text];
        ALL.get(usize::from(byte)).copied()
    }

    /// The value of these bytes, texts aside.
    pub fn cell(self, bytes: u64) -> Cell<'static> {
        match self {
            Tag::Bool => Cell::Bool(bytes != 0),
            Tag::Int => Cell::Int((bytes as i64).into(), false),
            Tag::UInt => Cell::Int(bytes.into(), true),
            Tag::Float => Cell::Float(f64::from_bits(bytes)),
            Tag::Time => Cell::Time(bytes as i64),
            Tag::Interval => Cell::Interval(bytes as i64),
            Tag::Text => Cell::Null,
        }
    }
}

/// A value that can be told from others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Key<'a> {
    Plain(Tag, u64),
    Text(&'a str),
}

impl Key<'_> {
    /// The same in every run, version and machine, since states carry it.
    #[inline]
    pub fn hash(self) -> u64 {
        match self {
            // Texts are told from numbers by the mixing alone.
            Key::Text(text) => bytes_hash(text.as_bytes()),
            Key::Plain(tag, bytes) => {
                mix(bytes.wrapping_add((tag as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            }
        }
    }
}

/// Spreads 64 bits over 64 bits, one to one (Steele, Lea and Flood's SplitMix64).
#[inline]
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[inline]
fn int(value: i128) -> Key<'static> {
    match i64::try_from(value) {
        Ok(value) => Key::Plain(Tag::Int, value as u64),
        Err(_) => Key::Plain(Tag::UInt, value as u64),
    }
}

#[inline]
fn float(value: f64) -> Key<'static> {
    let whole = value as i64;
    if whole as f64 == value && whole != i64::MAX {
        return Key::Plain(Tag::Int, whole as u64);
    }
    // 2^63 and above, as far as unsigned integers go.
    if value.fract() == 0.0 && (9.2e18..18_446_744_073_709_551_616.0).contains(&value) {
        return Key::Plain(Tag::UInt, value as u64);
    }
    Key::Plain(Tag::Float, value.to_bits())
}

/// Calls `f` with group and value of each row that is not NULL.
#[inline]
pub fn each_key(values: &Vector<'_>, groups: &[u32], mut f: impl FnMut(usize, Key<'_>)) {
    match &values.data {
        Data::Null => {}
        Data::Float(list) => each(values, groups, |at, group| f(group, float(list[at]))),
        Data::Int { values: list, .. } => {
            each(values, groups, |at, group| f(group, int(list[at])));
        }
        Data::Text(list) => each(values, groups, |at, group| f(group, Key::Text(&list[at]))),
        Data::Bool(bits) => {
            each(values, groups, |at, group| {
                f(group, Key::Plain(Tag::Bool, bits.get(at).into()));
            });
        }
        Data::Time(list) => each(values, groups, |at, group| {
            f(group, Key::Plain(Tag::Time, list[at] as u64));
        }),
        Data::Interval(list) => each(values, groups, |at, group| {
            f(group, Key::Plain(Tag::Interval, list[at] as u64));
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_of_one_value_are_one() {
        let two_63 = 9_223_372_036_854_775_808.0;
        for (as_float, as_int) in [
            (0.0, 0),
            (-0.0, 0),
            (5.0, 5),
            (-7.0, -7),
            (-two_63, i64::MIN.into()),
            (two_63, 1_i128 << 63),
            (1.8e19, 18_000_000_000_000_000_000),
        ] {
            assert_eq!(float(as_float), int(as_int), "{as_float}");
        }
        assert_ne!(float(0.5), int(0));
        for value in [1.5, -1e300, 18_446_744_073_709_551_616.0, -1e19] {
            let Key::Plain(tag, bytes) = float(value) else { panic!() };
            assert_eq!(tag.cell(bytes), Cell::Float(value));
        }
        for value in [i128::from(u64::MAX), i64::MAX.into(), i64::MIN.into()] {
            let Key::Plain(tag, bytes) = int(value) else { panic!() };
            assert!(matches!(tag.cell(bytes), Cell::Int(read, _) if read == value));
        }
    }

    #[test]
    fn hashes_are_frozen() {
        assert_eq!(int(1).hash(), Key::Plain(Tag::Int, 1).hash());
        assert_ne!(int(1).hash(), Key::Plain(Tag::Bool, 1).hash());
        // SplitMix64's published first output for the seed 0 is the mix of its increment.
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
        assert_eq!(Key::Text("").hash(), 0x2d06_8005_38d3_94c2);
    }
}
