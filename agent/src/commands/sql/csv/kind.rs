//! What the cells of a column are.

use headwater_plugin_api::batch::Value;

/// The kind of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 64 bits, signed, or unsigned where that is not enough.
    Integer,
    Float,
    Boolean,
    Text,
}

/// The kinds with their names.
pub const KINDS: &[(&str, Kind)] = &[
    ("integer", Kind::Integer),
    ("float", Kind::Float),
    ("boolean", Kind::Boolean),
    ("text", Kind::Text),
];

impl Kind {
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The kind that a cell seems to be of. Numbers are written as in JSON (and `.5` and `5.`), so
    /// that 007 and +49 stay text. None for one that fits all: not a number.
    pub fn of(text: &str) -> Option<Kind> {
        let text = text.trim_ascii();
        if is_nan(text) {
            return None;
        }
        Some(match number(text) {
            Some(false) if integer(text).is_some() => Kind::Integer,
            Some(_) => Kind::Float,
            None if boolean(text).is_some() => Kind::Boolean,
            None => Kind::Text,
        })
    }

    /// The kind of a column with cells of both kinds.
    pub fn with(self, other: Kind) -> Kind {
        match (self, other) {
            (one, other) if one == other => one,
            (Kind::Integer, Kind::Float) | (Kind::Float, Kind::Integer) => Kind::Float,
            _ => Kind::Text,
        }
    }

    /// A cell as a value of this kind: nothing for a blank one or one that is not a number in a column
    /// of numbers.
    ///
    /// # Errors
    /// It is none.
    pub fn read(self, text: &str, quoted: bool) -> Result<Option<Value<'_>>, NoSuchValue> {
        if self == Kind::Text {
            return Ok((quoted || !text.is_empty()).then_some(Value::Text(text)));
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        let value = match self {
            Kind::Integer => integer(text).filter(|_| number(text).is_some()),
            Kind::Float => number(text).and_then(|_| text.parse().ok()).map(Value::F64),
            _ => boolean(text).map(Value::Bool),
        };
        match value {
            Some(value) => Ok(Some(value)),
            None if self != Kind::Boolean && is_nan(text) => Ok(None),
            None => Err(NoSuchValue),
        }
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

fn integer(text: &str) -> Option<Value<'static>> {
    let signed = text.parse().map(Value::I64);
    signed.or_else(|_| text.parse().map(Value::U64)).ok()
}

/// Whether a number has a point or an exponent; none if it is no number.
fn number(text: &str) -> Option<bool> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let text = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(text);
    if whole > 1 && text.starts_with('0') {
        return None;
    }
    let mut rest = &text[whole..];
    let mut places = 0;
    let mut is_float = false;
    if let Some(behind) = rest.strip_prefix('.') {
        places = digits(behind);
        rest = &behind[places..];
        is_float = true;
    }
    if whole + places == 0 {
        return None;
    }
    if let Some(behind) = rest.strip_prefix(['e', 'E']) {
        let behind = behind.strip_prefix(['+', '-']).unwrap_or(behind);
        let exponent = digits(behind);
        return (exponent > 0 && exponent == behind.len()).then_some(true);
    }
    rest.is_empty().then_some(is_float)
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
            ("18446744073709551616", Some(Kind::Float)),
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
            ("", Some(Kind::Text)),
        ] {
            assert_eq!(Kind::of(text), expected, "{text}");
        }
    }

    #[test]
    fn kinds_together() {
        assert_eq!(Kind::Integer.with(Kind::Float), Kind::Float);
        assert_eq!(Kind::Integer.with(Kind::Integer), Kind::Integer);
        assert_eq!(Kind::Boolean.with(Kind::Integer), Kind::Text);
    }

    #[test]
    fn values() {
        let some = |value| Ok(Some(value));
        assert_eq!(Kind::Integer.read("9223372036854775808", false), some(Value::U64(1 << 63)));
        assert_eq!(Kind::Integer.read(" -3", false), some(Value::I64(-3)));
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
