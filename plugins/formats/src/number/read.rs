//! Reads numbers out of bytes.
//!
//! Short decimals are exact by integers: a mantissa below 2^53 and a power of ten up to 22 are both
//! doubles, so one division rounds correctly. All others go to the standard library, each alone.
//! Places outside the bytes read as zeros, so nothing here can panic.

use std::num::NonZeroU64;

use super::POWERS;
use super::exact::nearest;

/// Eight bytes from `at`, the first one lowest; zero if they are not all there.
#[inline(always)]
pub fn word(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..at.wrapping_add(8)).and_then(<[u8]>::first_chunk) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => 0,
    }
}

/// Sixteen bytes from `at`, the first one lowest; zero if they are not all there.
#[inline(always)]
pub fn double_word(bytes: &[u8], at: usize) -> u128 {
    match bytes.get(at..at.wrapping_add(16)).and_then(<[u8]>::first_chunk) {
        Some(sixteen) => u128::from_le_bytes(*sixteen),
        None => 0,
    }
}

/// The byte at `at`; zero if there is none.
#[inline(always)]
pub fn byte(bytes: &[u8], at: usize) -> u8 {
    match bytes.get(at) {
        Some(&byte) => byte,
        None => 0,
    }
}

const ZEROS: u64 = 0x3030_3030_3030_3030;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte that is not a digit; `digits` is the word exclusive-or'ed with `ZEROS`.
#[inline(always)]
fn not_digits(digits: u64) -> u64 {
    (((digits & !HIGH) + 0x7676_7676_7676_7676) | digits) & HIGH
}

/// The number that eight bytes of 0 to 9 write, the first one lowest.
#[inline(always)]
fn join_eight(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(2561) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(6_553_601) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(42_949_672_960_001) >> 32
}

/// Reads a decimal with a point, of at most seven characters and without a sign, such as `63.94`,
/// `5.` or `.5`: the double and where it ends. What follows is for the caller to judge.
#[inline(always)]
pub fn short_decimal(bytes: &[u8], at: usize) -> Option<(f64, usize)> {
    let digits = word(bytes, at) ^ ZEROS;
    let stops = NonZeroU64::new(not_digits(digits))?;
    let behind = NonZeroU64::new(stops.get() & (stops.get() - 1))?;
    // In bits: the whole digits, and all up to the second byte that is not a digit.
    let whole = u64::from(stops.trailing_zeros() - 7);
    let end = u64::from(behind.trailing_zeros() - 7);
    // The first byte that is not a digit: its high bit, from which all masks come without a shift by
    // a variable.
    let stop = stops.get() & stops.get().wrapping_neg();
    let byte_mask = (stop << 1).wrapping_sub(stop >> 7);
    let point = (stop >> 2) - (stop >> 6);
    const { assert!((0x80 >> 2) - (0x80 >> 6) == (b'.' ^ b'0') as u64) }
    if digits & byte_mask != point || end < 16 {
        return None;
    }
    let low = (stop >> 7) - 1;
    let joined = (digits & low) | ((digits >> 8) & !low);
    let mantissa = join_eight(joined << ((72 - end) & 63));
    let number = mantissa as i64 as f64 / POWERS[(((end - whole - 8) / 8) & 7) as usize];
    Some((number, at + (end / 8) as usize))
}

/// Reads one to seven digits: their number and where they end.
#[inline(always)]
pub fn short_digits(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let digits = word(bytes, at) ^ ZEROS;
    let end = u64::from(NonZeroU64::new(not_digits(digits))?.trailing_zeros() - 7);
    if end == 0 {
        return None;
    }
    Some((join_eight(digits << ((64 - end) & 63)), at + (end / 8) as usize))
}

/// Reads a run of digits that fits 64 bits: its number and where it ends; `None` if there is no
/// digit or the number is too large.
#[inline]
pub fn digits(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    let mut end = at;
    loop {
        let eight = word(bytes, end) ^ ZEROS;
        let stops = not_digits(eight);
        if stops == 0 {
            value = value.checked_mul(100_000_000)?.checked_add(join_eight(eight))?;
            end += 8;
            continue;
        }
        let bits = (stops.trailing_zeros() & 0x78) as u64;
        if bits > 0 {
            let count = (bits / 8) as usize;
            let last = join_eight(eight << ((64 - bits) & 63));
            value = value.checked_mul(TENS[count & 7])?.checked_add(last)?;
            end += count;
        }
        return (end > at).then_some((value, end));
    }
}

/// Mantissas below have room for so many digits more.
const ROOM: [u64; 8] = [
    u64::MAX,
    10_u64.pow(18),
    10_u64.pow(17),
    10_u64.pow(16),
    10_u64.pow(15),
    10_u64.pow(14),
    10_u64.pow(13),
    10_u64.pow(12),
];
const TENS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Reads times of 19 digits, as nanoseconds of our days have. Times that follow each other most
/// often begin with the same eight digits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    first: u64,
    value: u64,
}

impl Times {
    /// The number of the 19 digits at `at`, if exactly so many stand there.
    #[inline(always)]
    pub fn nineteen_digits(&mut self, bytes: &[u8], at: usize) -> Option<u64> {
        let first = word(bytes, at) ^ ZEROS;
        let second = word(bytes, at + 8) ^ ZEROS;
        let third = word(bytes, at + 16) ^ ZEROS;
        let stops = NonZeroU64::new(not_digits(third))?;
        if not_digits(second) != 0 || stops.trailing_zeros() != 31 {
            return None;
        }
        if first != self.first {
            if not_digits(first) != 0 {
                return None;
            }
            *self = Times { first, value: join_eight(first) * 100_000_000_000 };
        }
        // Three digits at the end of eight, behind five zeros.
        Some(self.value + join_eight(second) * 1_000 + join_eight(third << 40))
    }
}

/// What a number looks like, before its value is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// First byte, the sign's if there is one.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// Whether a minus stands before it.
    pub negative: bool,
    /// The first digits without leading zeros, at most 19.
    mantissa: u64,
    /// The power of ten of the mantissa.
    exponent: i64,
    /// Whether digits were left out of the mantissa.
    truncated: bool,
    /// Whether it has a point.
    pub point: bool,
    /// Whether it has an exponent.
    pub scientific: bool,
    /// Digits before the point.
    pub whole_digits: usize,
    /// Digits behind the point.
    pub places: usize,
}

impl Number {
    /// Whether there are only digits, and perhaps a minus.
    pub fn is_integer(&self) -> bool {
        !self.point && !self.scientific
    }

    /// The double it writes, which may be infinite.
    #[inline]
    pub fn to_f64(self, bytes: &[u8]) -> f64 {
        let magnitude = if self.mantissa < 1 << 53 && !self.truncated {
            let mantissa = self.mantissa as f64;
            match self.exponent {
                0 => mantissa,
                -22..=-1 => mantissa / POWERS[-self.exponent as usize],
                1..=22 => mantissa * POWERS[self.exponent as usize],
                _ => return self.by_the_book(bytes),
            }
        } else {
            let nearest = if self.truncated { None } else { nearest(self.mantissa, self.exponent) };
            match nearest {
                Some(bits) => f64::from_bits(bits),
                None => return self.by_the_book(bytes),
            }
        };
        if self.negative { -magnitude } else { magnitude }
    }

    #[cold]
    #[inline(never)]
    fn by_the_book(self, bytes: &[u8]) -> f64 {
        let text = bytes.get(self.start..self.end).unwrap_or_default();
        let text = std::str::from_utf8(text).unwrap_or_default();
        text.parse().unwrap_or(f64::NAN)
    }

    /// The integer it writes, if it is one and fits.
    pub fn to_i64(self, bytes: &[u8]) -> Option<i64> {
        let magnitude = self.to_u64(bytes)?;
        if self.negative {
            0_i64.checked_sub_unsigned(magnitude)
        } else {
            magnitude.try_into().ok()
        }
    }

    /// The integer without its sign, if it is one and fits.
    pub fn to_u64(self, bytes: &[u8]) -> Option<u64> {
        if !self.is_integer() {
            return None;
        }
        let (value, _) = digits(bytes, self.start + self.negative as usize)?;
        Some(value)
    }
}

/// Reads a number: an optional minus, digits with an optional point anywhere among them, and an
/// optional exponent. `None` if there is no digit, or none behind the `e`; the place is told where
/// a digit was missed.
#[inline]
pub fn number(bytes: &[u8], start: usize) -> Result<Number, usize> {
    let negative = byte(bytes, start) == b'-';
    let mut number = Number {
        start,
        end: start,
        negative,
        mantissa: 0,
        exponent: 0,
        truncated: false,
        point: false,
        scientific: false,
        whole_digits: 0,
        places: 0,
    };
    let mut at = start + negative as usize;
    at = number.take_digits(bytes, at);
    number.whole_digits = at - start - negative as usize;
    if byte(bytes, at) == b'.' {
        number.point = true;
        let before = number.exponent;
        let behind = number.take_digits(bytes, at + 1);
        number.places = behind - at - 1;
        // Digits that were left out raised the exponent already.
        let left_out = number.exponent - before;
        number.exponent = before - (number.places as i64 - left_out);
        at = behind;
    }
    if number.whole_digits + number.places == 0 {
        return Err(at);
    }
    if byte(bytes, at) | 0x20 == b'e' {
        number.scientific = true;
        at += 1;
        let minus = byte(bytes, at) == b'-';
        at += (minus || byte(bytes, at) == b'+') as usize;
        let first = at;
        let mut exponent = 0_i64;
        while byte(bytes, at).is_ascii_digit() {
            exponent = (exponent * 10 + (byte(bytes, at) - b'0') as i64).min(1 << 40);
            at += 1;
        }
        if at == first {
            return Err(at);
        }
        number.exponent += if minus { -exponent } else { exponent };
    }
    number.end = at;
    Ok(number)
}

impl Number {
    /// Takes a run of digits into the mantissa and gives its end. Each digit that finds no room
    /// raises the exponent.
    #[inline]
    fn take_digits(&mut self, bytes: &[u8], mut at: usize) -> usize {
        loop {
            let eight = word(bytes, at) ^ ZEROS;
            let stops = not_digits(eight);
            if stops == 0 && self.mantissa < 100_000_000_000 {
                self.mantissa = self.mantissa * 100_000_000 + join_eight(eight);
                at += 8;
                continue;
            }
            let bits = (stops.trailing_zeros() & 0x78) as u64;
            let count = (bits / 8) as usize;
            if stops != 0 && self.mantissa < ROOM[count & 7] {
                if bits > 0 {
                    let last = join_eight(eight << ((64 - bits) & 63));
                    self.mantissa = self.mantissa * TENS[count & 7] + last;
                    at += count;
                }
                return at;
            }
            let digit = byte(bytes, at).wrapping_sub(b'0');
            if digit > 9 {
                return at;
            }
            if self.mantissa < 1_000_000_000_000_000_000 {
                self.mantissa = self.mantissa * 10 + digit as u64;
            } else {
                self.truncated |= digit != 0;
                self.exponent += 1;
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend_from_slice(&[b','; 32]);
        bytes
    }

    #[test]
    fn short_decimals_are_exact() {
        for text in
            ["63.94", "1.25", "0.1", "100.00", "27.50", "1.11600", "0.0", "1.", ".5", ".00001"]
        {
            let expected: f64 = text.parse().unwrap();
            let found = short_decimal(&padded(text), 0);
            assert_eq!(found, Some((expected, text.len())), "{text}");
        }
        for text in ["", "1", "-1.5", "-", ".", "-.", "1234567.8", "12x.5", "1e5", "x.5", ".."] {
            assert_eq!(short_decimal(&padded(text), 0), None, "{text}");
        }
        assert_eq!(short_decimal(b"1.5", 0), None, "nothing stands behind it");
    }

    #[test]
    fn digits_up_to_64_bits() {
        for text in ["0", "7", "1234567", "12345678", "123456789", "18446744073709551615", "0042"] {
            let expected: u64 = text.parse().unwrap();
            assert_eq!(digits(&padded(text), 0), Some((expected, text.len())), "{text}");
        }
        for text in ["", "x", "18446744073709551616", "99999999999999999999999999"] {
            assert_eq!(digits(&padded(text), 0), None, "{text}");
        }
        assert_eq!(short_digits(&padded("772247i"), 0), Some((772_247, 6)));
        assert_eq!(short_digits(&padded("i"), 0), None);
        assert_eq!(short_digits(&padded("12345678"), 0), None);
    }

    #[test]
    fn times_of_nineteen_digits() {
        let mut times = Times::default();
        for text in [
            "1700000000000000000",
            "1700000000000000123",
            "9223372036854775807",
            "0000000000000000000",
            "9999999999999999999",
        ] {
            for _ in 0..2 {
                let expected = text.parse().ok();
                assert_eq!(times.nineteen_digits(&padded(text), 0), expected, "{text}");
            }
        }
        for text in [
            "17000000000000000001",
            "170000000000000000",
            "1700000x00000000000",
            "17000000000x0000000",
            "170000000000000000x",
            "",
            "1",
        ] {
            assert_eq!(times.nineteen_digits(&padded(text), 0), None, "{text}");
        }
    }

    #[test]
    fn numbers_say_what_they_look_like() {
        let read = |text: &str| number(&padded(text), 0);
        let five = read("-5").unwrap();
        assert!(five.is_integer() && five.negative && five.end == 2);
        assert_eq!(five.to_i64(&padded("-5")), Some(-5));
        assert!(read(".5").unwrap().point);
        assert_eq!(read("5.").unwrap().end, 2);
        assert_eq!(read("5.e3").unwrap().to_f64(&padded("5.e3")), 5000.0);
        for (text, at) in [("", 0), ("-", 1), (".", 1), ("-.", 2), ("e5", 0), ("1e", 2), ("1e+", 3)]
        {
            assert_eq!(read(text), Err(at), "{text}");
        }
        let least = "-9223372036854775808";
        assert_eq!(read(least).unwrap().to_i64(&padded(least)), Some(i64::MIN));
        let more = "9223372036854775808";
        assert_eq!(read(more).unwrap().to_i64(&padded(more)), None);
        assert_eq!(read(more).unwrap().to_u64(&padded(more)), Some(1 << 63));
    }

    #[test]
    fn doubles_are_those_of_the_standard_library() {
        let mut random = Random::new(1);
        let mut texts: Vec<String> = [
            "0",
            "-0",
            "0.0",
            "-0.0",
            "1e400",
            "-1e400",
            "1e-400",
            "5e-324",
            "2.5e-324",
            "1e22",
            "1e23",
            "9007199254740993",
            "9007199254740992.5",
            "0.000000000000000000000000000001",
            "123456789012345678901234567890",
            "1234567890123456789.5",
            "00000000000000000000000001.5",
            "0.30000000000000004",
            "179769313486231580793728971405301e276",
            "1e99999999999999999999",
            "0e99999999999999999999",
            "1.7976931348623157e308",
            "12345678901234567890e-10",
        ]
        .map(str::to_owned)
        .to_vec();
        for _ in 0..20_000 {
            let bits = f64::from_bits(random.next());
            if bits.is_finite() {
                texts.push(format!("{bits}"));
                texts.push(format!("{bits:e}"));
            }
            let mut text = String::new();
            if random.below(3) == 0 {
                text.push('-');
            }
            for _ in 0..=random.below(24) {
                text.push((b'0' + random.below(10) as u8) as char);
            }
            if random.below(2) == 0 {
                text.push('.');
                for _ in 0..random.below(24) {
                    text.push((b'0' + random.below(10) as u8) as char);
                }
            }
            if random.below(3) == 0 {
                text.push_str(&format!("e{}", random.below(700) as i64 - 350));
            }
            texts.push(text);
        }
        for text in texts {
            let bytes = padded(&text);
            let number = number(&bytes, 0).unwrap();
            assert_eq!(number.end, text.len(), "{text}");
            let expected: f64 = text.parse().unwrap();
            assert_eq!(number.to_f64(&bytes).to_bits(), expected.to_bits(), "{text}");
            if let Some((short, end)) = short_decimal(&bytes, 0)
                && !number.scientific
            {
                assert_eq!((short.to_bits(), end), (expected.to_bits(), text.len()), "{text}");
            }
        }
    }
}
