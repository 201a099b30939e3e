//! States of single groups as text, as `partial(f(x))` emits and `merge(f, column)` reads them.
//!
//! A state is a byte for the version, one for the family of the aggregate, what that family wrote, and
//! the CRC-32 of all of it, in the alphabet of URLs (RFC 4648, base64url) without padding. It is the
//! same on every machine.

use super::codec::{Broken, Read, Reader};
use super::part::{Family, Part};
use crate::plan::AggregateCall;

/// What the states of this form begin with; another form gets another byte.
const VERSION: u8 = 0xa1;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Longest text that is read: above what any family writes, texts aside.
const MAX_TEXT: usize = 8 << 20;

/// By character: its six bits, or 255.
const SIX_BITS: [u8; 256] = {
    let mut table = [255; 256];
    let mut at = 0;
    while at < 64 {
        table[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    table
};

/// By the lowest byte: what the division leaves.
const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ 0xedb8_8320 } else { rest >> 1 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
};

fn crc32(bytes: &[u8]) -> u32 {
    let step = |rest: u32, byte: &u8| CRC[((rest ^ u32::from(*byte)) & 255) as usize] ^ rest >> 8;
    !bytes.iter().fold(u32::MAX, step)
}

/// The state of a group as text. `bytes` is cleared and used.
pub fn write(family: Family, part: &Part, group: usize, bytes: &mut Vec<u8>) -> String {
    bytes.clear();
    bytes.extend([VERSION, family as u8]);
    part.write_one(group, bytes);
    sealed(bytes)
}

/// The state of a count.
pub fn write_count(count: u64, bytes: &mut Vec<u8>) -> String {
    bytes.clear();
    bytes.extend([VERSION, Family::Count as u8]);
    super::codec::put(bytes, count);
    sealed(bytes)
}

/// Bytes with their sum, as text.
pub fn sealed(bytes: &mut Vec<u8>) -> String {
    let sum = crc32(bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    encode(bytes)
}

/// Reads a state of what that call is read from.
pub fn read(call: &AggregateCall, text: &str) -> Read<Part> {
    let bytes = decode(text)?;
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or(Broken)?;
    if crc32(body) != u32::from_le_bytes(*sum) {
        return Err(Broken);
    }
    let mut from = Reader::new(body);
    if from.byte()? != VERSION || from.byte()? != Family::of_call(call) as u8 {
        return Err(Broken);
    }
    let mut part = Part::new(call);
    part.read_one(&mut from)?;
    Ok(part)
}

fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..=chunk.len() as u32 {
            out.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
    out
}

pub fn decode(text: &str) -> Read<Vec<u8>> {
    if text.len() > MAX_TEXT {
        return Err(Broken);
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for (place, character) in chunk.iter().enumerate() {
            let six = SIX_BITS[usize::from(*character)];
            if six == 255 {
                return Err(Broken);
            }
            bits |= u32::from(six) << (18 - 6 * place);
        }
        let bytes = bits.to_be_bytes();
        let count = match chunk.len() {
            4 => 3,
            3 if bytes[3] == 0 => 2,
            2 if bytes[2] == 0 && bytes[3] == 0 => 1,
            _ => return Err(Broken),
        };
        out.extend_from_slice(&bytes[1..=count]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff], "-_8"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Ok(bytes));
        }
        for wrong in ["Z", "Zh", "Zm9", "Zg==", "Zm9v\n", "Zm+v", "\u{e4}\u{e4}"] {
            assert_eq!(decode(wrong), Err(Broken), "{wrong}");
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
