//! The hash of a series: the same in every batch, thread, run and library.

use twox_hash::XxHash3_64;

/// Hashes a series from its canonical key when the key carries no escapes, else from the same
/// words: XXH3, seed 0, over the length-prefixed name and, in the order of the tag keys, the
/// length-prefixed keys and values. Lengths are 4 bytes, little-endian.
///
/// `scratch` is cleared and used for the words.
pub fn series_hash<'a>(
    scratch: &mut Vec<u8>,
    name: &[u8],
    tags: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> u64 {
    scratch.clear();
    word(scratch, name);
    for (key, value) in tags {
        word(scratch, key);
        word(scratch, value);
    }
    XxHash3_64::oneshot(scratch)
}

fn word(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

/// XXH3 with seed 0 over plain bytes, for tables that are keyed by text.
#[inline]
pub fn bytes_hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_frozen_and_tells_boundaries_apart() {
        let mut scratch = Vec::new();
        let none: [(&[u8], &[u8]); 0] = [];
        // XXH3 of the empty input with seed 0, from the algorithm's published vectors.
        assert_eq!(bytes_hash(b""), 0x2d06_8005_38d3_94c2);
        let a = series_hash(&mut scratch, b"cpu", none.into_iter());
        let b = series_hash(&mut scratch, b"cpu", [(&b"a"[..], &b"bc"[..])].into_iter());
        let c = series_hash(&mut scratch, b"cpu", [(&b"ab"[..], &b"c"[..])].into_iter());
        assert!(a != b && b != c && a != c);
        assert_eq!(b, bytes_hash(b"\x03\0\0\0cpu\x01\0\0\0a\x02\0\0\0bc"));
    }
}
