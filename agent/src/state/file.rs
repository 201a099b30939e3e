//! One file of the store: a header, the key, the value.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `HWSTATE` and a zero |
//! | 4 | version, 1 |
//! | 4 | length of the key |
//! | 8 | length of the value |
//! | 4 | CRC-32 of all that stands above, the key and the value |
//!
//! Numbers are little-endian. The key is there because a file's name may not hold all of it.

use std::fmt;

use super::crc32::crc32;

pub const HEADER_BYTES: usize = 28;

const MAGIC: &[u8; 8] = b"HWSTATE\0";
const VERSION: u32 = 1;
const SUMMED_BYTES: usize = HEADER_BYTES - 4;

/// Why a file gives no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    NotState,
    Version(u32),
    /// Bytes there are, and bytes there should be.
    Length(u64, u64),
    Checksum,
    /// It is whole, and belongs to a key of the same name and hash.
    OtherKey,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NotState => f.write_str("it does not begin as a state file"),
            Fault::Version(version) => {
                write!(f, "it is of version {version}, this agent knows {VERSION}")
            }
            Fault::Length(found, expected) => {
                write!(f, "it has {found} bytes of {expected}")
            }
            Fault::Checksum => f.write_str("its checksum is wrong"),
            Fault::OtherKey => f.write_str("it belongs to another key"),
        }
    }
}

/// What stands before key and value.
pub fn header(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((key.len() as u32).to_le_bytes());
    out.extend((value.len() as u64).to_le_bytes());
    out.extend(crc32(&[&out, key.as_bytes(), value]).to_le_bytes());
    out
}

/// The value in a file's bytes.
pub fn decode<'a>(bytes: &'a [u8], key: &str) -> Result<&'a [u8], Fault> {
    let Some((head, body)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(Fault::Length(bytes.len() as u64, HEADER_BYTES as u64));
    };
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if !head.starts_with(MAGIC) {
        return Err(Fault::NotState);
    }
    let key_len = u64::from(number(12));
    let value_len = u64::from(number(16)) | u64::from(number(20)) << 32;
    let expected = key_len.saturating_add(value_len);
    let version = number(8);
    // Lengths and checksum stand at the same place in every version; a damaged version is no version.
    let whole = body.len() as u64 == expected;
    let summed = crc32(&[&head[..SUMMED_BYTES], body]) == number(SUMMED_BYTES);
    match () {
        () if !whole => {
            Err(Fault::Length(bytes.len() as u64, expected.saturating_add(HEADER_BYTES as u64)))
        }
        () if !summed => Err(Fault::Checksum),
        () if version != VERSION => Err(Fault::Version(version)),
        () => {
            let (own_key, value) = body.split_at(key_len as usize);
            if own_key == key.as_bytes() { Ok(value) } else { Err(Fault::OtherKey) }
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The same file as a later version would write it.
    pub fn with_version(bytes: &[u8], version: u32) -> Vec<u8> {
        let mut out = bytes.to_vec();
        out[8..12].copy_from_slice(&version.to_le_bytes());
        let sum = crc32(&[&out[..SUMMED_BYTES], &out[HEADER_BYTES..]]);
        out[SUMMED_BYTES..HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
        out
    }

    fn bytes(key: &str, value: &[u8]) -> Vec<u8> {
        [&header(key, value), key.as_bytes(), value].concat()
    }

    #[test]
    fn the_form_is_frozen() {
        assert_eq!(
            bytes("k", b"v"),
            b"HWSTATE\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\xb9\x90\x20\xdakv"
        );
    }

    #[test]
    fn reads_what_was_written() {
        assert_eq!(decode(&bytes("key", b"value"), "key"), Ok(&b"value"[..]));
        assert_eq!(decode(&bytes("", b""), ""), Ok(&b""[..]));
    }

    #[test]
    fn tells_what_is_wrong() {
        let whole = bytes("key", b"value");
        assert_eq!(decode(&whole, "other"), Err(Fault::OtherKey));
        assert_eq!(decode(b"", "key"), Err(Fault::Length(0, 28)));
        assert_eq!(decode(&whole[..35], "key"), Err(Fault::Length(35, 36)));
        assert_eq!(decode(&[0; 36], "key"), Err(Fault::NotState));
        assert_eq!(decode(&with_version(&whole, 9), "key"), Err(Fault::Version(9)));
        let mut endless = whole.clone();
        endless[12..24].fill(0xff);
        assert!(matches!(decode(&endless, "key"), Err(Fault::Length(36, _))));
    }
}
