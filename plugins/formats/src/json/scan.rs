//! The pieces of JSON: blanks, strings, numbers and words, each checked to the letter of RFC 8259.
//!
//! Whatever stands behind the text must not be readable as a part of it: a text is followed by a
//! line end, and strings cannot hold one.

use crate::number::read::{byte, number, short_decimal, short_digits, word};

/// Why a text is not JSON, or not the JSON that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Something else was expected.
    Expected(&'static str),
    /// A character below a space in a string.
    Control,
    /// A backslash with something that is no escape behind it.
    Escape,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// A number that a double does not hold.
    Range,
    /// Objects and arrays within each other beyond the bound.
    Depth,
    /// More values in a record than the bound.
    Values,
    /// More fields in a point than the bound.
    Fields,
    /// What should be an object is something else.
    NotAnObject,
    /// The record is longer than it may be.
    TooLong,
    /// There is no value under the key of the time.
    NoTime,
    /// The time cannot be read.
    Time(headwater_plugin_api::time::NotATime),
    /// The series is refused.
    Refused(headwater_plugin_api::batch::Refused),
    /// The query leads to something else than objects.
    Query,
}

/// A text that is refused: where the error stands and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// The place in the text.
    pub at: usize,
    /// Why.
    pub why: Why,
}

pub fn bad<T>(at: usize, why: Why) -> Result<T, Bad> {
    Err(Bad { at, why })
}

/// The place of the next byte from `at` that is no blank.
#[inline(always)]
pub fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(byte(text, at), b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    at
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = ONES << 7;

/// Reads the string whose opening quote stands at `open`: the place of its closing quote, and whether
/// it has escapes.
#[inline(always)]
pub fn string(text: &[u8], open: usize) -> Result<(usize, bool), Bad> {
    let mut at = open + 1;
    let mut not_ascii = 0;
    loop {
        let eight = word(text, at);
        let quotes = equal(eight, b'"');
        let stops = quotes | equal(eight, b'\\') | control(eight);
        let Some(stops) = std::num::NonZeroU64::new(stops) else {
            not_ascii |= eight & HIGH;
            at += 8;
            continue;
        };
        let bits = stops.trailing_zeros();
        let before = (1_u64 << (bits & 0x38)) - 1;
        not_ascii |= eight & HIGH & before;
        if quotes >> bits & 1 == 0 {
            return odd_string(text, open, at + (bits / 8) as usize);
        }
        let close = at + (bits / 8) as usize;
        if not_ascii != 0 {
            check_utf8(text, open + 1, close)?;
        }
        return Ok((close, false));
    }
}

/// The high bit of each byte that is `byte`.
#[inline(always)]
fn equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ (ONES * byte as u64);
    !(((differs & !HIGH) + !HIGH) | differs) & HIGH
}

/// The high bit of each byte below a space.
#[inline(always)]
fn control(word: u64) -> u64 {
    !(((word & !HIGH) + (ONES * 0x60)) | word) & HIGH
}

/// Goes on at a backslash or a control character.
#[inline(never)]
fn odd_string(text: &[u8], open: usize, stop: usize) -> Result<(usize, bool), Bad> {
    let mut at = stop;
    loop {
        match byte(text, at) {
            b'"' => {
                check_utf8(text, open + 1, at)?;
                return Ok((at, true));
            }
            b'\\' => match byte(text, at + 1) {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at += 2,
                b'u' if hex(text, at + 2).is_some() => at += 6,
                _ => return bad(at, Why::Escape),
            },
            b'\n' | b'\r' if at >= text.len() || byte(text, at) == b'\n' => {
                return bad(at, Why::Expected("a double quote at the string's end"));
            }
            0..0x20 => return bad(at, Why::Control),
            _ => at += 1,
        }
    }
}

fn check_utf8(text: &[u8], start: usize, end: usize) -> Result<(), Bad> {
    match std::str::from_utf8(text.get(start..end).unwrap_or_default()) {
        Ok(_) => Ok(()),
        Err(error) => bad(start + error.valid_up_to(), Why::NotUtf8),
    }
}

/// The number of four hexadecimal digits.
fn hex(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, &digit| Some(value * 16 + char::from(digit).to_digit(16)?))
}

/// Appends the text of a string that [`string`] has checked, from behind its opening quote to
/// before its closing one, without escapes. Half a surrogate pair becomes U+FFFD.
pub fn unescape(out: &mut String, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.push_str(str::from_utf8(&rest[..at]).unwrap_or_default());
        let escape = byte(rest, at + 1);
        let mut len = 2;
        out.push(match escape {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = hex(rest, at + 2).unwrap_or_default();
                len = 6;
                let low = match rest.get(at + 6..at + 8) {
                    Some(b"\\u") if (0xd800..0xdc00).contains(&unit) => hex(rest, at + 8),
                    _ => None,
                };
                match low {
                    Some(low @ 0xdc00..0xe000) => {
                        len = 12;
                        let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                        char::from_u32(code).unwrap_or('\u{fffd}')
                    }
                    _ => char::from_u32(unit).unwrap_or('\u{fffd}'),
                }
            }
            other => char::from(other),
        });
        rest = rest.get(at + len..).unwrap_or_default();
    }
    out.push_str(str::from_utf8(rest).unwrap_or_default());
}

/// Reads a number: its value and its end.
#[inline(always)]
pub fn double(text: &[u8], at: usize) -> Result<(f64, usize), Bad> {
    // A zero at the front may be one too many.
    if byte(text, at).wrapping_sub(b'1') < 9 || byte(text, at + 1) == b'.' {
        if let Some((value, end)) = short_decimal(text, at)
            && byte(text, at) != b'.'
            && byte(text, end - 1) != b'.'
            && byte(text, end) | 0x20 != b'e'
        {
            return Ok((value, end));
        }
        if let Some((value, end)) = short_digits(text, at)
            && !matches!(byte(text, end), b'.' | b'e' | b'E')
        {
            return Ok((value as f64, end));
        }
    }
    any_double(text, at)
}

#[inline(never)]
fn any_double(text: &[u8], at: usize) -> Result<(f64, usize), Bad> {
    let number = match number(text, at) {
        Ok(number) => number,
        Err(place) => return bad(place, Why::Expected("a digit")),
    };
    let first = at + number.negative as usize;
    if number.whole_digits == 0 {
        return bad(first, Why::Expected("a digit before the point"));
    }
    if number.whole_digits > 1 && byte(text, first) == b'0' {
        return bad(first, Why::Expected("a number without a zero in front"));
    }
    if number.point && number.places == 0 {
        return bad(first + number.whole_digits + 1, Why::Expected("a digit behind the point"));
    }
    let value = number.to_f64(text);
    if !value.is_finite() {
        return bad(at, Why::Range);
    }
    Ok((value, number.end))
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Number,
    Text,
    True,
    False,
    Null,
}

/// Reads the word `true`, `false` or `null`: what it is and its end.
pub fn literal(text: &[u8], at: usize) -> Option<(Class, usize)> {
    let begins = |word: &[u8]| text.get(at..).is_some_and(|rest| rest.starts_with(word));
    match byte(text, at) {
        b't' if begins(b"true") => Some((Class::True, at + 4)),
        b'f' if begins(b"false") => Some((Class::False, at + 5)),
        b'n' if begins(b"null") => Some((Class::Null, at + 4)),
        _ => None,
    }
}

impl Bad {
    /// The sentence; `text` reaches to the record's end.
    pub fn message(&self, text: &[u8]) -> String {
        let found =
            match String::from_utf8_lossy(text.get(self.at..).unwrap_or_default()).chars().next() {
                Some(found) => format!("{found:?}"),
                None => "the end".to_owned(),
            };
        match self.why {
            Why::Expected(what) => format!("not JSON: expected {what}, found {found}"),
            Why::Control => format!("not JSON: {found} in a string; write it as an escape"),
            Why::Escape => {
                "not JSON: a backslash before something that is no escape; write `\\\\` for \
                            a backslash"
                    .into()
            }
            Why::NotUtf8 => "the text is not UTF-8; convert it where it is made".into(),
            Why::Range => {
                "the number is larger than a double can hold (1.8e308); write a smaller one".into()
            }
            Why::Depth => format!(
                "objects and arrays are more than {} deep in each other; flatten them",
                super::events::DEPTH_MAX
            ),
            Why::Values => {
                format!("the record has more than {} values; split it", super::events::VALUES_MAX)
            }
            Why::Fields => "the record has more fields than a point may have; split it".into(),
            Why::NotAnObject => {
                format!("a record must be an object, and this begins with {found}; wrap it in one")
            }
            Why::TooLong => "the record is over the limit; see max_line_bytes".into(),
            Why::NoTime => {
                "there is no value under the key that json_time_key names; add it, or correct the \
                 option"
                    .into()
            }
            Why::Time(why) => why.to_string(),
            Why::Refused(refused) => format!("{refused}; shorten it"),
            Why::Query => "json_query must lead to an object or an array of objects".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(b'\n');
        bytes.extend_from_slice(&[0; 32]);
        bytes
    }

    #[test]
    fn strings_and_their_escapes() {
        for (text, expected) in [
            ("\"\"", ""),
            ("\"host\"", "host"),
            ("\"longer than eight bytes\"", "longer than eight bytes"),
            ("\"grüße, 世界 and more\"", "grüße, 世界 and more"),
            (r#""a\"b\\c\/d\b\f\n\r\t""#, "a\"b\\c/d\u{8}\u{c}\n\r\t"),
            (r#""\u00e4\u4e16\ud83d\ude00""#, "ä世😀"),
            (r#""\ud83d x \ude00 \ud83d\u0041""#, "\u{fffd} x \u{fffd} \u{fffd}A"),
        ] {
            let bytes = padded(text);
            let (close, _) = string(&bytes, 0).unwrap();
            assert_eq!(close, text.len() - 1, "{text}");
            let mut out = String::new();
            unescape(&mut out, &bytes[1..close]);
            assert_eq!(out, expected);
        }
        for (text, at, why) in [
            ("\"abc", 4, Why::Expected("a double quote at the string's end")),
            ("\"a\tb\"", 2, Why::Control),
            ("\"a\\xb\"", 2, Why::Escape),
            ("\"a\\u12g4\"", 2, Why::Escape),
            ("\"longer than eight\\", 18, Why::Escape),
        ] {
            assert_eq!(string(&padded(text), 0), bad(at, why), "{text}");
        }
        let mut bytes = padded("\"abcdefgh\u{e4}\"");
        bytes[10] = b'x';
        assert_eq!(string(&bytes, 0), bad(9, Why::NotUtf8));
    }

    #[test]
    fn numbers_as_json_has_them() {
        for text in [
            "0",
            "-0",
            "12",
            "12.50",
            "0.5",
            "-0.5",
            "1e5",
            "1.5E+3",
            "12345678901234567890",
            "3.25",
            "12345",
            "0e1",
            "1234567.5",
            "100",
            "5e-324",
        ] {
            for behind in [",", "}", "\n", " "] {
                let bytes = padded(&format!("{text}{behind}"));
                let expected: f64 = text.parse().unwrap();
                let (value, end) = double(&bytes, 0).unwrap();
                assert_eq!((value.to_bits(), end), (expected.to_bits(), text.len()), "{text}");
            }
        }
        for text in
            ["01", "-01", ".5", "5.", "-", "+1", "1e", "1.e5", "00.5", "-.5", "1e400", "x", "00"]
        {
            assert!(double(&padded(&format!("{text},")), 0).is_err(), "{text}");
        }
    }
}
