//! Writes numbers as text, each by one copy of a fixed size of which the right part is kept.

/// Two digits for each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// Room for a number's text, filled from the middle to the left, and what a copy of fixed size may
/// read behind it.
const ROOM: usize = 48;
const END: usize = 24;

struct Text {
    bytes: [u8; ROOM],
    start: usize,
}

impl Text {
    #[inline(always)]
    fn new() -> Self {
        Text { bytes: [0; ROOM], start: END }
    }

    #[inline(always)]
    fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start & 31] = byte;
    }

    #[inline(always)]
    fn pair(&mut self, pair: u64) {
        let [tens, ones] = PAIRS[(pair % 100) as usize];
        self.push(ones);
        self.push(tens);
    }

    #[inline(always)]
    fn integer(&mut self, mut value: u64) {
        while value >= 100 {
            self.pair(value % 100);
            value /= 100;
        }
        if value >= 10 {
            self.pair(value);
        } else {
            self.push(b'0' + value as u8);
        }
    }

    /// Appends what was filled.
    #[inline(always)]
    fn append(&self, out: &mut Vec<u8>) {
        let len = END - self.start;
        let end = out.len() + len;
        if let Some(all) = self.bytes.get(self.start..).and_then(<[u8]>::first_chunk::<END>) {
            out.extend_from_slice(all);
        }
        out.truncate(end);
    }
}

/// Writes times in nanoseconds. Those that follow each other most often share their second, whose
/// digits are kept.
pub struct Times {
    second: u64,
    text: Text,
}

const SECOND: u64 = 1_000_000_000;

impl Default for Times {
    fn default() -> Self {
        let mut text = Text::new();
        text.push(b'1');
        Times { second: 1, text }
    }
}

impl Times {
    /// Appends a time.
    #[inline]
    pub fn write(&mut self, out: &mut Vec<u8>, time_ns: i64) {
        if time_ns < SECOND as i64 {
            return signed(out, time_ns);
        }
        let second = time_ns as u64 / SECOND;
        if second != self.second {
            self.second = second;
            self.text = Text::new();
            self.text.integer(second);
        }
        self.text.append(out);
        let rest = time_ns as u64 % SECOND;
        let (high, low) = (rest / 10_000, rest % 10_000);
        let mut text = Text::new();
        text.pair(low % 100);
        text.pair(low / 100);
        text.pair(high % 100);
        text.pair(high / 100 % 100);
        text.push(b'0' + (high / 10_000) as u8);
        text.append(out);
    }
}

/// Appends an unsigned integer.
#[inline]
pub fn unsigned(out: &mut Vec<u8>, value: u64) {
    let mut text = Text::new();
    text.integer(value);
    text.append(out);
}

/// Appends a signed integer.
#[inline]
pub fn signed(out: &mut Vec<u8>, value: i64) {
    let mut text = Text::new();
    text.integer(value.unsigned_abs());
    if value < 0 {
        text.push(b'-');
    }
    text.append(out);
}

/// Appends a finite double so that it reads back as the same bits; whole numbers without a point.
#[inline]
pub fn double(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    // Below this bound the scaled number and its neighbours are integers that a double holds, so
    // that the quotient is the double which is nearest to the decimal.
    if magnitude < 4e9 {
        let thousands = (magnitude * 1e3 + 0.5) as u64;
        if thousands as i64 as f64 / 1e3 == magnitude {
            return fixed(out, value.is_sign_negative(), thousands, 3);
        }
        let millions = (magnitude * 1e6 + 0.5) as u64;
        if millions as i64 as f64 / 1e6 == magnitude {
            return fixed(out, value.is_sign_negative(), millions, 6);
        }
    }
    shortest(out, value);
}

/// Appends `scaled` as a number with so many places, without the zeros at its end.
#[inline(always)]
fn fixed(out: &mut Vec<u8>, negative: bool, scaled: u64, places: u32) {
    let mut text = Text::new();
    let (whole, fraction) = if places == 3 {
        (scaled / 1_000, scaled % 1_000)
    } else {
        (scaled / 1_000_000, scaled % 1_000_000)
    };
    let mut zeros = 0;
    if fraction != 0 {
        if places == 6 {
            text.pair(fraction % 100);
            text.pair(fraction / 100 % 100);
            text.pair(fraction / 10_000);
        } else {
            text.pair(fraction % 100);
            text.push(b'0' + (fraction / 100) as u8);
        }
        let mut rest = fraction;
        while rest.is_multiple_of(10) {
            rest /= 10;
            zeros += 1;
        }
        text.push(b'.');
    }
    text.integer(whole);
    if negative {
        text.push(b'-');
    }
    text.append(out);
    out.truncate(out.len() - zeros);
}

#[cold]
#[inline(never)]
fn shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(value);
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b">".to_vec();
        write(&mut out);
        String::from_utf8(out).unwrap().split_off(1)
    }

    #[test]
    fn integers_of_all_lengths() {
        let mut random = Random::new(2);
        for shift in 0..64 {
            for value in [random.next() >> shift, u64::MAX >> shift, 1 << shift] {
                assert_eq!(text(|out| unsigned(out, value)), value.to_string());
                let value = value as i64;
                assert_eq!(text(|out| signed(out, value)), value.to_string());
            }
        }
        assert_eq!(text(|out| unsigned(out, 0)), "0");
        assert_eq!(text(|out| signed(out, i64::MIN)), "-9223372036854775808");
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
            assert_eq!(text(|out| double(out, value)), expected);
        }
    }

    #[test]
    fn doubles_read_back_bit_by_bit() {
        let mut random = Random::new(3);
        let check = |value: f64| {
            if value.is_finite() {
                let text = text(|out| double(out, value));
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
