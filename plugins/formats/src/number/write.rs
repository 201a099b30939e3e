//! Writes text by blocks of a fixed size, of which the right part is kept: each number, and each
//! piece that stands before one, is a store or two.

/// Three digits for each number below 1000, the first one lowest, and above them how many bits the
/// number takes without zeros before it.
const WHOLE: [u32; 1000] = {
    let mut all = [0; 1000];
    let mut at = 0;
    while at < 1000 {
        let bits = if at < 10 {
            8
        } else if at < 100 {
            16
        } else {
            24
        };
        all[at] = three_digits(at as u32) >> (24 - bits) | bits << 24;
        at += 1;
    }
    all
};

/// Three digits for each number of thousandths, and above them how many bits the point and the digits
/// take without the zeros at their end; none for no thousandths.
const FRACTION: [u32; 1000] = {
    let mut all = [0; 1000];
    let mut at = 0;
    while at < 1000 {
        let bits = match at {
            0 => 0,
            _ if at % 100 == 0 => 16,
            _ if at % 10 == 0 => 24,
            _ => 32,
        };
        all[at] = three_digits(at as u32) | bits << 24;
        at += 1;
    }
    all
};

const fn three_digits(value: u32) -> u32 {
    0x30_3030 + value / 100 + ((value / 10 % 10) << 8) + ((value % 10) << 16)
}

const DIGITS: u32 = 0xff_ffff;

/// Three digits with zeros before them.
#[inline(always)]
fn padded(value: u64) -> u64 {
    u64::from(FRACTION[(value % 1_000) as usize] & DIGITS)
}

/// Bytes that are staged before they are appended.
const STAGE: usize = 1 << 13;
/// Bytes that any number takes while it is written.
const NUMBER: usize = 40;
/// Bytes of the blocks in which short texts are copied.
pub const BLOCK: usize = 16;
/// What a piece, a number and a byte behind it take while they are written.
const ROOM: usize = BLOCK + NUMBER + 8;
/// Longer texts are not staged.
const LONG: usize = 1 << 10;

/// Where text is staged. It is made once and used again.
pub type Stage = Box<[u8; STAGE + ROOM]>;

/// A new stage.
pub fn stage() -> Stage {
    Box::new([0; STAGE + ROOM])
}

/// Text under construction. Pieces, numbers and single bytes want [`Writer::reserve`] called before
/// them: once for a piece, a number and two bytes.
pub struct Writer {
    out: Vec<u8>,
    stage: Stage,
    at: usize,
}

#[cold]
#[inline(never)]
fn appended(mut out: Vec<u8>, staged: &[u8], text: &[u8]) -> Vec<u8> {
    out.reserve(staged.len() + text.len());
    out.extend_from_slice(staged);
    out.extend_from_slice(text);
    out
}

impl Writer {
    /// Goes on behind a text.
    pub fn new(out: Vec<u8>, stage: Stage) -> Writer {
        Writer { out, stage, at: 0 }
    }

    /// All that was written, and the stage.
    pub fn finish(mut self) -> (Vec<u8>, Stage) {
        self.flush(b"");
        (self.out, self.stage)
    }

    #[inline(always)]
    fn flush(&mut self, text: &[u8]) {
        let staged = self.stage.get(..self.at).unwrap_or_default();
        self.out = appended(std::mem::take(&mut self.out), staged, text);
        self.at = 0;
    }

    /// Bytes written.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.out.len() + self.at
    }

    /// What was written from `start` on, which is taken back.
    pub fn take_from(&mut self, start: usize) -> Vec<u8> {
        self.flush(b"");
        self.out.split_off(start.min(self.out.len()))
    }

    /// Takes back what was written from `len` on.
    #[inline(always)]
    pub fn truncate(&mut self, len: usize) {
        match len.checked_sub(self.out.len()) {
            Some(staged) => self.at = self.at.min(staged),
            None => {
                self.out.truncate(len);
                self.at = 0;
            }
        }
    }

    /// Changes a byte that was written.
    #[inline(always)]
    pub fn set(&mut self, at: usize, byte: u8) {
        let place = match at.checked_sub(self.out.len()) {
            Some(staged) => self.stage.get_mut(staged),
            None => self.out.get_mut(at),
        };
        if let Some(place) = place {
            *place = byte;
        }
    }

    /// Makes room for a piece, a number and two bytes.
    #[inline(always)]
    pub fn reserve(&mut self) {
        if self.at >= STAGE {
            self.flush(b"");
        }
    }

    /// Writes the first `len` bytes of a block.
    #[inline(always)]
    fn block<const N: usize>(&mut self, block: [u8; N], len: usize) {
        const { assert!(N <= BLOCK) }
        // Room for ROOM bytes was made below STAGE, of which at most as many were used.
        let at = self.at.min(STAGE + ROOM - N);
        debug_assert!(at == self.at && len <= N);
        if let Some(place) = self.stage.get_mut(at..at + N) {
            place.copy_from_slice(&block);
        }
        self.at += len;
    }

    /// Writes the first `len` bytes of `text`, which should reach a block further.
    #[inline(always)]
    pub fn short(&mut self, text: &[u8], len: usize) {
        match text.first_chunk::<BLOCK>() {
            Some(block) if len <= BLOCK => self.block(*block, len),
            _ => self.text_and_room(text.get(..len).unwrap_or_default()),
        }
    }

    #[inline(never)]
    fn text_and_room(&mut self, text: &[u8]) {
        self.text(text);
        self.reserve();
    }

    /// Writes a text. Needs no room made before.
    #[inline(always)]
    pub fn text(&mut self, text: &[u8]) {
        if text.len() > LONG || text.len() + self.at > STAGE {
            return self.flush(text);
        }
        if let Some(place) = self.stage.get_mut(self.at..self.at + text.len()) {
            place.copy_from_slice(text);
        }
        self.at += text.len();
    }

    /// Writes a byte.
    #[inline(always)]
    pub fn push(&mut self, byte: u8) {
        self.block([byte], 1);
    }

    /// Writes an unsigned integer.
    #[inline(always)]
    pub fn unsigned(&mut self, value: u64) {
        if value >= 1_000_000 {
            return self.long_unsigned(value);
        }
        let (high, low) = (value / 1_000, value % 1_000);
        if high == 0 {
            let whole = WHOLE[low as usize];
            return self.block((whole & DIGITS).to_le_bytes(), (whole >> 27) as usize);
        }
        let whole = WHOLE[high as usize];
        let bits = whole >> 24;
        let block = u64::from(whole & DIGITS) | padded(low) << bits;
        self.block(block.to_le_bytes(), bits as usize / 8 + 3);
    }

    #[inline(never)]
    fn long_unsigned(&mut self, value: u64) {
        let (first, rest) = (value / 1_000_000, value % 1_000_000);
        self.unsigned(first);
        self.six_digits(rest);
    }

    #[inline(always)]
    fn six_digits(&mut self, value: u64) {
        let block = padded(value / 1_000) | padded(value) << 24;
        self.block(block.to_le_bytes(), 6);
    }

    /// Writes a signed integer.
    #[inline(always)]
    pub fn signed(&mut self, value: i64) {
        if value < 0 {
            self.push(b'-');
        }
        self.unsigned(value.unsigned_abs());
    }

    /// Writes a finite double so that it reads back as the same bits; whole numbers without a point.
    #[inline(always)]
    pub fn double(&mut self, value: f64) {
        // Added to a smaller number, it leaves the nearest integer in the low bits.
        const INTEGERS: f64 = (1_u64 << 52) as f64;
        const MASK: u64 = (1 << 52) - 1;
        let magnitude = value.abs();
        // Below this bound the scaled number and its neighbours are integers that a double holds, so
        // that the quotient is the double which is nearest to the decimal.
        if magnitude < 4e9 {
            let thousands = magnitude * 1e3 + INTEGERS;
            if (thousands - INTEGERS) / 1e3 == magnitude {
                if value.is_sign_negative() {
                    self.push(b'-');
                }
                return self.thousands(thousands.to_bits() & MASK);
            }
        }
        self.long_double(value);
    }

    /// Writes a number of thousandths.
    #[inline(always)]
    fn thousands(&mut self, scaled: u64) {
        let (mut whole, fraction) = (scaled / 1_000, FRACTION[(scaled % 1_000) as usize]);
        if whole >= 1_000 {
            self.unsigned(whole / 1_000);
            self.block((padded(whole) as u32).to_le_bytes(), 3);
            let behind = u64::from(b'.') | u64::from(fraction & DIGITS) << 8;
            return self.block(behind.to_le_bytes(), (fraction >> 27) as usize);
        }
        whole = u64::from(WHOLE[whole as usize]);
        let (before, bits) = (whole & u64::from(DIGITS), whole >> 24);
        let behind = u64::from(b'.') | u64::from(fraction & DIGITS) << 8;
        let block = before | behind << bits;
        self.block(block.to_le_bytes(), (bits as usize + (fraction >> 24) as usize) / 8);
    }

    #[inline(never)]
    fn long_double(&mut self, value: f64) {
        let magnitude = value.abs();
        let millions = (magnitude * 1e6 + 0.5) as u64;
        if magnitude < 4e9 && millions as f64 / 1e6 == magnitude {
            if value.is_sign_negative() {
                self.push(b'-');
            }
            self.unsigned(millions / 1_000_000);
            let (high, low) = (millions / 1_000 % 1_000, FRACTION[(millions % 1_000) as usize]);
            // Thousandths did not do, so there are digits behind the third place.
            let block = u64::from(b'.') | (padded(high) | u64::from(low & DIGITS) << 24) << 8;
            return self.block(block.to_le_bytes(), 3 + (low >> 27) as usize);
        }
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format(value);
        let text = text.strip_suffix(".0").unwrap_or(text).as_bytes();
        // At most 24 bytes.
        let mut both = [0; 2 * BLOCK];
        if let Some(place) = both.get_mut(..text.len()) {
            place.copy_from_slice(text);
        }
        let (blocks, _) = both.as_chunks::<BLOCK>();
        self.block(blocks[0], text.len().min(BLOCK));
        if text.len() > BLOCK {
            self.block(blocks[1], text.len() - BLOCK);
        }
    }
}

/// Writes times in nanoseconds. Those that follow each other most often share their second, whose
/// digits are kept.
pub struct Times {
    /// The kept second in nanoseconds.
    second_ns: i64,
    digits: [u8; 16],
    len: usize,
}

const SECOND: u64 = 1_000_000_000;

impl Default for Times {
    fn default() -> Self {
        let mut digits = [0; 16];
        digits[0] = b'1';
        Times { second_ns: SECOND as i64, digits, len: 1 }
    }
}

impl Times {
    /// Writes a time.
    #[inline(always)]
    pub fn write(&mut self, to: &mut Writer, time_ns: i64) {
        let mut rest = time_ns.wrapping_sub(self.second_ns) as u64;
        if rest >= SECOND {
            if time_ns < SECOND as i64 {
                return to.signed(time_ns);
            }
            self.keep(time_ns as u64 / SECOND);
            rest = time_ns as u64 % SECOND;
        }
        to.block(self.digits, self.len);
        to.block((padded(rest / 1_000_000) as u32).to_le_bytes(), 3);
        to.six_digits(rest % 1_000_000);
    }

    #[cold]
    #[inline(never)]
    fn keep(&mut self, second: u64) {
        let text = second.to_string();
        self.second_ns = (second * SECOND) as i64;
        // At most ten digits.
        self.len = text.len().min(self.digits.len());
        self.digits[..self.len].copy_from_slice(&text.as_bytes()[..self.len]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn text(write: impl FnOnce(&mut Writer)) -> String {
        let mut out = Writer::new(b">".to_vec(), stage());
        out.reserve();
        write(&mut out);
        String::from_utf8(out.finish().0).unwrap().split_off(1)
    }

    #[test]
    fn a_writer_stages_and_takes_back() {
        let mut out = Writer::new(b"begin ".to_vec(), stage());
        let long = "x".repeat(LONG + 1);
        let mut expected = "Begin ".to_owned();
        for round in 0..5_000_u64 {
            out.reserve();
            let before = out.len();
            out.text(b"wrong");
            out.truncate(before);
            out.short(b"ab=...............", 3);
            out.unsigned(round);
            out.push(b',');
            out.short(b"0123456789abcdefghijklmnopqrstuvwxyz", 18);
            out.double(-2.5);
            expected.push_str(&format!("ab={round},0123456789abcdefgh-2.5"));
            if round % 7 == 0 {
                out.text(long.as_bytes());
                expected.push_str(&long);
            }
            if round % 100 == 0 {
                let at = out.len();
                out.text(b"taken");
                assert_eq!(out.take_from(at), b"taken");
                let at = out.len();
                out.text(long.as_bytes());
                out.truncate(at);
            }
        }
        out.set(0, b'B');
        assert_eq!(out.len(), expected.len());
        assert!(String::from_utf8(out.finish().0).unwrap() == expected);
    }

    #[test]
    fn integers_of_all_lengths() {
        let mut random = Random::new(2);
        for shift in 0..64 {
            for value in [random.next() >> shift, u64::MAX >> shift, 1 << shift] {
                assert_eq!(text(|out| out.unsigned(value)), value.to_string());
                let value = value as i64;
                assert_eq!(text(|out| out.signed(value)), value.to_string());
            }
        }
        assert_eq!(text(|out| out.unsigned(0)), "0");
        assert_eq!(text(|out| out.signed(i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn times_one_after_the_other() {
        let mut times = Times::default();
        let mut random = Random::new(7);
        let mut time = 0_i64;
        for round in 0..50_000 {
            time = match round % 100 {
                0 => random.next() as i64 >> random.below(64),
                _ => time.wrapping_add(random.below(300_000_000) as i64),
            };
            assert_eq!(text(|out| times.write(out, time)), time.to_string());
        }
    }

    #[test]
    fn doubles_are_short() {
        for (value, expected) in [
            (63.94, "63.94"),
            (42.0, "42"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (-1.5, "-1.5"),
            (1.116, "1.116"),
            (0.000001, "0.000001"),
            (1234.5678, "1234.5678"),
            (100.0, "100"),
            (0.05, "0.05"),
            (1e21, "1e+21"),
            (2f64.powi(53), "9007199254740992"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(text(|out| out.double(value)), expected);
        }
    }

    #[test]
    fn doubles_read_back_bit_by_bit() {
        let mut random = Random::new(3);
        let check = |value: f64| {
            if value.is_finite() {
                let text = text(|out| out.double(value));
                let back: f64 = text.parse().unwrap();
                assert_eq!(back.to_bits(), value.to_bits(), "{value:e} as {text}");
            }
        };
        for _ in 0..50_000 {
            check(f64::from_bits(random.next()));
            let scale = [1.0, 10.0, 100.0, 1e3, 1e4, 1e6, 1e7][random.below(7)];
            let decimal = (random.next() >> random.below(60)) as f64 / scale;
            for value in [decimal, -decimal] {
                check(value);
                check(f64::from_bits(value.to_bits().wrapping_add(1)));
                check(f64::from_bits(value.to_bits().wrapping_sub(1)));
            }
        }
        for near in [4e9, 3_999_999_999.999_999, 4e9 - 0.0005, 999_999.999_999_5] {
            check(near);
            check(f64::from_bits(near.to_bits() - 1));
        }
    }
}
