//! How the states of windows and of what they hold are written: whole numbers as 7 bits a byte,
//! floats as 8 bytes, least significant first whatever the machine. Reading refuses what no writer
//! writes.

/// What is read is no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// What is read, unless it is broken.
pub type Read<T> = Result<T, Broken>;

/// Appends a whole number.
#[inline]
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends an integer of either sign.
pub fn put_int(out: &mut Vec<u8>, value: i128) {
    let folded = ((value << 1) ^ (value >> 127)) as u128;
    let length = 16 - folded.leading_zeros() as usize / 8;
    out.push(length as u8);
    out.extend_from_slice(&folded.to_le_bytes()[..length]);
}

/// Appends a float of any value.
pub fn put_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_le_bytes());
}

/// Appends nanoseconds.
pub fn put_time(out: &mut Vec<u8>, nanos: i64) {
    out.extend_from_slice(&nanos.to_le_bytes());
}

/// Appends a text with its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// What is left to read.
pub struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    /// All of these bytes.
    pub fn new(bytes: &'b [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    pub fn end(&self) -> Read<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Broken) }
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Read<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Broken)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        self.bytes(N)?.try_into().map_err(|_| Broken)
    }

    /// One byte.
    pub fn byte(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A byte of which only the bits of `mask` may be set.
    pub fn flags(&mut self, mask: u8) -> Read<u8> {
        Some(self.byte()?).filter(|flags| flags & !mask == 0).ok_or(Broken)
    }

    /// A whole number in its shortest form.
    #[inline]
    pub fn number(&mut self) -> Read<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Broken);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return if byte == 0 && shift > 0 { Err(Broken) } else { Ok(value) };
            }
        }
        Err(Broken)
    }

    /// How many things follow, each of at least `bytes` bytes.
    pub fn count(&mut self, bytes: usize) -> Read<usize> {
        let count = usize::try_from(self.number()?).map_err(|_| Broken)?;
        if count > self.left() / bytes.max(1) { Err(Broken) } else { Ok(count) }
    }

    /// An integer of either sign.
    pub fn int(&mut self) -> Read<i128> {
        let length = usize::from(self.byte()?);
        let mut bytes = [0; 16];
        bytes.get_mut(..length).ok_or(Broken)?.copy_from_slice(self.bytes(length)?);
        if length > 0 && bytes[length - 1] == 0 {
            return Err(Broken);
        }
        let folded = u128::from_le_bytes(bytes);
        Ok((folded >> 1) as i128 ^ -((folded & 1) as i128))
    }

    /// A float of any value.
    pub fn float(&mut self) -> Read<f64> {
        Ok(f64::from_bits(u64::from_le_bytes(self.array()?)))
    }

    /// A float that is a number.
    pub fn finite(&mut self) -> Read<f64> {
        Some(self.float()?).filter(|value| value.is_finite()).ok_or(Broken)
    }

    /// Nanoseconds.
    pub fn time(&mut self) -> Read<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Eight bytes as a number.
    pub fn word(&mut self) -> Read<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A text with its length.
    pub fn text(&mut self) -> Read<&'b str> {
        let length = self.count(1)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            let mut from = Reader::new(&out);
            assert_eq!((from.number(), from.end()), (Ok(value), Ok(())));
        }
        for value in [0, 1, -1, 255, -256, i64::MIN.into(), i128::MAX, i128::MIN] {
            let mut out = Vec::new();
            put_int(&mut out, value);
            let mut from = Reader::new(&out);
            assert_eq!((from.int(), from.end()), (Ok(value), Ok(())));
        }
    }

    #[test]
    fn what_no_writer_writes_is_refused() {
        for bytes in [&[][..], &[0x80], &[0x80, 0], &[0xff; 9], &[0xff; 11]] {
            assert_eq!(Reader::new(bytes).number(), Err(Broken), "{bytes:?}");
        }
        let eleven = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(Reader::new(&eleven).number(), Err(Broken));
        for bytes in [&[17_u8][..], &[2, 1, 0], &[3, 1]] {
            assert_eq!(Reader::new(bytes).int(), Err(Broken), "{bytes:?}");
        }
        assert_eq!(Reader::new(&[200, 1, b'a']).text(), Err(Broken));
        assert_eq!(Reader::new(&[1, 0xff]).text(), Err(Broken));
        assert_eq!(Reader::new(&[5, 0, 0, 0, 0]).count(1), Err(Broken));
    }
}
