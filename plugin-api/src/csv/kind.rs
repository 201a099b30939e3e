//! What the cells of a column are.

use crate::batch::Value;

/// The kind of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 64 bits, signed, or unsigned where that is not enough.
    Integer,
    /// Finite doubles.
    Float,
    /// `true` and `false`, also with a capital or in capitals.
    Boolean,
    /// As it stands in the file, blanks too.
    Text,
}

/// The kinds with the words that users write for them.
pub const KINDS: &[(&str, Kind)] = &[
    ("integer", Kind::Integer),
    ("float", Kind::Float),
    ("boolean", Kind::Boolean),
    ("text", Kind::Text),
];

impl Kind {
    /// The word that users write for it.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The kind that a cell by itself seems to be of. None for one that fits all: a blank one, or not a number.
    pub fn of(text: &str) -> Option<Kind> {
        let mut kinds = Kinds::default();
        kinds.see(text);
        kinds.kind()
    }

    /// A cell as a value of this kind: nothing for a blank one, or one that is not a number in a column of numbers.
    ///
    /// # Errors
    /// It is none.
    #[inline]
    pub fn read(self, text: &str, quoted: bool) -> Result<Option<Value<'_>>, NoSuchValue> {
        if self == Kind::Text {
            return Ok((quoted || !text.is_empty()).then_some(Value::Text(text)));
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let value = match self {
            Kind::Integer => integer(text),
            Kind::Float => float(text).map(Value::F64),
            _ => boolean(text).map(Value::Bool),
        };
        match value {
            Some(value) => Ok(Some(value)),
            None if self != Kind::Boolean && is_nan(text) => Ok(None),
            None => Err(NoSuchValue),
        }
    }
}

/// The kinds that the cells of a column are of, each by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u8);

const INTEGER: u8 = 1;
/// A whole number of more than 64 bits.
const LONG: u8 = 2;
const FLOAT: u8 = 4;
const BOOLEAN: u8 = 8;
const TEXT: u8 = 16;
const NAN: u8 = 32;

impl Kinds {
    /// Takes note of a cell. Numbers are written as in JSON (and `.5` and `5.`), so that 007 and +49 are text.
    #[inline]
    pub fn see(&mut self, text: &str) {
        if !self.is_text() {
            self.0 |= class(text.trim_ascii());
        }
    }

    /// Whether it is text whatever follows.
    #[inline]
    pub fn is_text(self) -> bool {
        self.0 & TEXT != 0 || (self.0 & BOOLEAN != 0 && self.0 != BOOLEAN)
    }

    /// The kind of the column: what all cells are, float for integers and floats, else text. None if all were blank or
    /// not numbers.
    ///
    /// Whole numbers of which some need more than 64 bits are text too: as floats they would lose digits, by which
    /// things with such numbers are told apart. Among floats they are how some programs write large ones.
    pub fn kind(self) -> Option<Kind> {
        const NUMBERS: u8 = INTEGER | LONG | FLOAT | NAN;
        match self.0 {
            0 | NAN => None,
            BOOLEAN => Some(Kind::Boolean),
            met if met & !NAN == INTEGER => Some(Kind::Integer),
            met if met & FLOAT != 0 && met & !NUMBERS == 0 => Some(Kind::Float),
            _ => Some(Kind::Text),
        }
    }
}

/// What a cell without blanks around it is.
#[inline]
fn class(text: &str) -> u8 {
    match text.as_bytes().first() {
        None => 0,
        Some(b'0'..=b'9' | b'-' | b'.') => match Number::scan(text.as_bytes()) {
            Some(number) if number.is_real => match number.real(text) {
                Some(_) => FLOAT,
                None => TEXT,
            },
            Some(number) if number.whole(text).is_some() => INTEGER,
            Some(_) => LONG,
            None => TEXT,
        },
        Some(b'n' | b'N') if is_nan(text) => NAN,
        Some(b't' | b'T' | b'f' | b'F') if boolean(text).is_some() => BOOLEAN,
        Some(_) => TEXT,
    }
}

/// A cell does not fit its column.
#[derive(Debug, PartialEq, Eq)]
pub struct NoSuchValue;

fn is_nan(text: &str) -> bool {
    matches!(text, "NaN" | "nan")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[inline]
fn integer(text: &str) -> Option<Value<'static>> {
    Number::scan(text.as_bytes()).filter(|number| !number.is_real)?.whole(text)
}

/// What is finite: the text 12e456 is no number.
#[inline]
fn float(text: &str) -> Option<f64> {
    Number::scan(text.as_bytes())?.real(text)
}

/// A number as it is written.
#[derive(Debug, Clone, Copy)]
struct Number {
    is_negative: bool,
    /// It has a point or an exponent.
    is_real: bool,
    has_exponent: bool,
    /// All digits before an exponent; what they are as one number, if they are few enough.
    digits: usize,
    value: u64,
    /// How many of them stand behind the point.
    places: usize,
}

impl Number {
    /// Digits that fit 64 bits with a sign, whatever they are.
    const DIGITS: usize = 18;
    /// Digits of which doubles hold each whole number.
    const EXACT_DIGITS: usize = 15;

    /// Reads how it is written; none if it is no number.
    #[inline]
    fn scan(text: &[u8]) -> Option<Number> {
        let bytes = text.strip_prefix(b"-").unwrap_or(text);
        let mut value = 0_u64;
        let mut digits = |bytes: &[u8]| {
            let mut count = 0;
            for byte in bytes {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    break;
                }
                value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
                count += 1;
            }
            count
        };
        let whole = digits(bytes);
        if whole > 1 && bytes[0] == b'0' {
            return None;
        }
        let (mut places, mut rest) = (0, &bytes[whole..]);
        let is_real = !rest.is_empty();
        if let [b'.', behind @ ..] = rest {
            places = digits(behind);
            rest = &behind[places..];
        }
        if whole + places == 0 {
            return None;
        }
        let has_exponent = !rest.is_empty();
        if has_exponent && !is_exponent(rest) {
            return None;
        }
        let is_negative = bytes.len() < text.len();
        Some(Number { is_negative, is_real, has_exponent, digits: whole + places, value, places })
    }

    /// What it is as an integer, if it is one of 64 bits.
    #[inline]
    fn whole(self, text: &str) -> Option<Value<'static>> {
        if self.digits > Self::DIGITS {
            let signed = text.parse().map(Value::I64);
            return signed.or_else(|_| text.parse().map(Value::U64)).ok();
        }
        let value = self.value as i64;
        Some(Value::I64(if self.is_negative { -value } else { value }))
    }

    /// What it is as a double, if that is finite.
    #[inline]
    fn real(self, text: &str) -> Option<f64> {
        if self.has_exponent || self.digits > Self::EXACT_DIGITS {
            return text.parse().ok().filter(|value: &f64| value.is_finite());
        }
        // Both are exact, so that their quotient is the double next to the number.
        let value = self.value as f64 / POWERS[self.places];
        Some(if self.is_negative { -value } else { value })
    }
}

/// Powers of ten, exactly.
const POWERS: [f64; Number::EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// An `e`, perhaps a sign, and digits.
fn is_exponent(text: &[u8]) -> bool {
    let [b'e' | b'E', rest @ ..] = text else { return false };
    let digits = match rest {
        [b'+' | b'-', digits @ ..] => digits,
        digits => digits,
    };
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cells_seem_to_be() {
        for (text, expected) in [
            ("0", Some(Kind::Integer)),
            ("-17", Some(Kind::Integer)),
            (" 17 ", Some(Kind::Integer)),
            ("18446744073709551615", Some(Kind::Integer)),
            ("18446744073709551616", Some(Kind::Text)),
            ("1.5", Some(Kind::Float)),
            (".5", Some(Kind::Float)),
            ("5.", Some(Kind::Float)),
            ("-1e-9", Some(Kind::Float)),
            ("1E+300", Some(Kind::Float)),
            ("true", Some(Kind::Boolean)),
            ("FALSE", Some(Kind::Boolean)),
            ("NaN", None),
            ("007", Some(Kind::Text)),
            ("+49", Some(Kind::Text)),
            ("1e", Some(Kind::Text)),
            ("1.2.3", Some(Kind::Text)),
            ("-", Some(Kind::Text)),
            (".", Some(Kind::Text)),
            ("0x10", Some(Kind::Text)),
            ("inf", Some(Kind::Text)),
            ("yes", Some(Kind::Text)),
            ("1e999", Some(Kind::Text)),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(Kind::of(text), expected, "{text}");
        }
    }

    #[test]
    fn kinds_together() {
        for (cells, expected) in [
            ("", None),
            ("nan", None),
            ("1 2", Some(Kind::Integer)),
            ("1 NaN", Some(Kind::Integer)),
            ("1 2.5", Some(Kind::Float)),
            ("1 18446744073709551616", Some(Kind::Text)),
            ("1 18446744073709551616 .5", Some(Kind::Float)),
            ("1 x", Some(Kind::Text)),
            ("true False", Some(Kind::Boolean)),
            ("true 1", Some(Kind::Text)),
            ("true NaN", Some(Kind::Text)),
            ("NaN x", Some(Kind::Text)),
            ("1 true", Some(Kind::Text)),
            ("007 1", Some(Kind::Text)),
        ] {
            let mut kinds = Kinds::default();
            cells.split(' ').for_each(|cell| kinds.see(cell));
            assert_eq!(kinds.kind(), expected, "{cells}");
        }
    }

    #[test]
    fn values() {
        let some = |value| Ok(Some(value));
        assert_eq!(Kind::Integer.read("9223372036854775808", false), some(Value::U64(1 << 63)));
        assert_eq!(Kind::Integer.read(" -3", false), some(Value::I64(-3)));
        for value in [0, 7, 999_999_999_999_999_999, i64::MAX, i64::MIN, -99_999_999_999_999_999] {
            assert_eq!(Kind::Integer.read(&value.to_string(), false), some(Value::I64(value)));
        }
        assert_eq!(Kind::Integer.read("18446744073709551616", false), Err(NoSuchValue));
        assert_eq!(Kind::Float.read("1e999", false), Err(NoSuchValue));
        let mut state = 3_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (digits, places) = (state >> 40, state as usize % 12);
            let text = format!(
                "{}{}.{:0places$}",
                if state & 1 << 30 == 0 { "" } else { "-" },
                digits >> 14,
                digits & 7
            );
            let expected: f64 = text.parse().unwrap();
            let Ok(Some(Value::F64(read))) = Kind::Float.read(&text, false) else {
                panic!("{text}")
            };
            assert_eq!(read.to_bits(), expected.to_bits(), "{text}");
        }
        for text in
            ["-0", "-0.0", "0.1", "123456789012345", "1234567890.12345", "0.000000000000001"]
        {
            let Ok(Some(Value::F64(read))) = Kind::Float.read(text, false) else {
                panic!("{text}")
            };
            assert_eq!(read.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
        }
        assert_eq!(Kind::Integer.read("+3", false), Err(NoSuchValue));
        assert_eq!(Kind::Integer.read("1.5", false), Err(NoSuchValue));
        assert_eq!(Kind::Float.read("7", false), some(Value::F64(7.0)));
        assert_eq!(Kind::Float.read("nan", false), Ok(None));
        assert_eq!(Kind::Float.read("n/a", false), Err(NoSuchValue));
        assert_eq!(Kind::Boolean.read("True", true), some(Value::Bool(true)));
        assert_eq!(Kind::Boolean.read("NaN", false), Err(NoSuchValue));
        assert_eq!(Kind::Text.read(" x", false), some(Value::Text(" x")));
        for kind in [Kind::Integer, Kind::Float, Kind::Boolean, Kind::Text] {
            assert_eq!(kind.read("", false), Ok(None));
        }
        assert_eq!(Kind::Float.read("", true), Ok(None));
        assert_eq!(Kind::Text.read("", true), some(Value::Text("")));
    }
}
