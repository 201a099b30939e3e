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
fn class(text: &str) -> u8 {
    match number(text) {
        Some(Number::Whole) if integer(text).is_some() => INTEGER,
        Some(Number::Whole) => LONG,
        Some(Number::Real) if float(text).is_some() => FLOAT,
        Some(Number::Real) => TEXT,
        None if text.is_empty() => 0,
        None if is_nan(text) => NAN,
        None if boolean(text).is_some() => BOOLEAN,
        None => TEXT,
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
    if number(text) != Some(Number::Whole) {
        return None;
    }
    // Digits that surely fit.
    if text.len() <= 18 {
        let (digits, minus) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        let value = digits.bytes().fold(0_i64, |value, digit| value * 10 + i64::from(digit & 0x0f));
        return Some(Value::I64(if minus { -value } else { value }));
    }
    let signed = text.parse().map(Value::I64);
    signed.or_else(|_| text.parse().map(Value::U64)).ok()
}

/// What is finite: the text 12e456 is no number.
#[inline]
fn float(text: &str) -> Option<f64> {
    number(text)?;
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Whole,
    /// With a point or an exponent.
    Real,
}

/// How a number is written; none if it is no number.
#[inline]
fn number(text: &str) -> Option<Number> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.as_bytes();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole > 1 && text.starts_with(b"0") {
        return None;
    }
    if whole == text.len() {
        return (whole > 0).then_some(Number::Whole);
    }
    real(&text[whole..], whole)
}

/// What follows the digits before a point or an exponent.
fn real(mut rest: &[u8], whole: usize) -> Option<Number> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut places = 0;
    if let Some(behind) = rest.strip_prefix(b".") {
        places = digits(behind);
        rest = &behind[places..];
    }
    if whole + places == 0 {
        return None;
    }
    if let Some(behind) = rest.strip_prefix(b"e").or(rest.strip_prefix(b"E")) {
        let behind = behind.strip_prefix(b"+").or(behind.strip_prefix(b"-")).unwrap_or(behind);
        let exponent = digits(behind);
        return (exponent > 0 && exponent == behind.len()).then_some(Number::Real);
    }
    rest.is_empty().then_some(Number::Real)
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
