//! How states are written: the forms of the SDK, and the kinds of integers.

pub use headwater_plugin_api::window::codec::*;

use crate::vector::Kind;

/// The kind of integers: numbers, times or lengths of time.
pub fn put_kind(out: &mut Vec<u8>, kind: Kind) {
    out.push(match kind {
        Kind::Time => 1,
        Kind::Interval => 2,
        _ => 0,
    });
}

pub fn read_kind(from: &mut Reader<'_>) -> Read<Kind> {
    match from.byte()? {
        0 => Ok(Kind::Int),
        1 => Ok(Kind::Time),
        2 => Ok(Kind::Interval),
        _ => Err(Broken),
    }
}
