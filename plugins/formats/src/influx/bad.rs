//! Why a line is refused, in words.

use headwater_plugin_api::batch::Refused;

/// Why a line is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing stands before the tags or fields.
    NoName,
    /// The line ends behind the series.
    NoFields,
    /// A comma with nothing behind it.
    NoTagKey,
    /// A tag key without an equals sign.
    NoTagEquals,
    /// An equals sign with nothing behind it.
    NoTagValue,
    /// An equals sign within a tag value.
    EqualsInTag,
    /// An equals sign with nothing before it.
    NoFieldKey,
    /// A field key without an equals sign.
    NoFieldEquals,
    /// An equals sign with nothing behind it.
    NoValue,
    /// What stands there is no value.
    NotAValue,
    /// An integer that 64 bits do not hold.
    IntegerRange,
    /// An unsigned integer that 64 bits do not hold, or a negative one.
    UnsignedRange,
    /// A number that a double does not hold.
    FloatRange,
    /// A quoted string that is not closed.
    OpenString,
    /// Something else than a comma, a space or the line's end behind a value.
    BehindValue,
    /// A time that is no whole number.
    NotATime,
    /// A time that 64 bits of nanoseconds do not hold.
    TimeRange,
    /// Something behind the time.
    BehindTime,
    /// A tab, line end or zero byte in a name.
    Control,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// The line is longer than it may be.
    TooLong {
        /// Its bytes.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// More fields than a point may have.
    TooManyFields {
        /// The bound.
        max: usize,
    },
    /// A field key that is too long.
    KeyTooLong {
        /// The bound.
        max: usize,
    },
    /// The batch refuses it.
    Refused(Refused),
}

/// A line that is refused: where the error stands and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// The place in the text.
    pub at: usize,
    /// Why.
    pub why: Why,
}

/// Characters of the input that a message quotes.
const QUOTED_CHARS: usize = 48;

impl Bad {
    /// The sentence; `line` is the text up to the line's end.
    pub fn message(&self, line: &[u8]) -> String {
        let rest = line.get(self.at..).unwrap_or_default();
        let word = |stops: &[u8]| {
            let end = rest.iter().position(|byte| stops.contains(byte)).unwrap_or(rest.len());
            let text = String::from_utf8_lossy(&rest[..end.min(QUOTED_CHARS * 4)]);
            let cut: String = text.chars().take(QUOTED_CHARS).collect();
            let dots = if cut.len() < text.len() || end > QUOTED_CHARS * 4 { "..." } else { "" };
            format!("{cut:?}{dots}")
        };
        let value = || word(b", \r\n");
        match self.why {
            Why::NoName => "the measurement name is missing; write one before the first comma or \
                            space"
                .into(),
            Why::NoFields => "there are no fields; write at least one `key=value` behind a space".into(),
            Why::NoTagKey => {
                format!("the tag key is missing at {}; write `key=value` behind a comma", value())
            }
            Why::NoTagEquals => format!(
                "the tag {} has no value; write `key=value`, and `\\ ` for a space in it",
                value()
            ),
            Why::NoTagValue => {
                "the tag has no value; give it one, or leave the tag out".into()
            }
            Why::EqualsInTag => {
                format!("an equals sign in a tag value at {}; write `\\=` for it", value())
            }
            Why::NoFieldKey => {
                format!("the field key is missing at {}; write `key=value`", value())
            }
            Why::NoFieldEquals => format!(
                "the field {} has no value; write `key=value`, and `\\ ` for a space in its key",
                value()
            ),
            Why::NoValue => "the field has no value; give it one, or leave the field out".into(),
            Why::NotAValue => format!(
                "{} is no value; write a finite number, an integer with `i` or `u`, a boolean, or \
                 text in double quotes",
                value()
            ),
            Why::IntegerRange => format!(
                "{} does not fit a signed integer of 64 bits; write it as a float without `i`",
                value()
            ),
            Why::UnsignedRange => format!(
                "{} does not fit an unsigned integer of 64 bits; write it as a float without `u`",
                value()
            ),
            Why::FloatRange => format!(
                "{} is larger than a double can hold (1.8e308); write a smaller number",
                value()
            ),
            Why::OpenString => format!(
                "the string {} is not closed; write a double quote at its end, and `\\\"` for one \
                 in it",
                word(b"\n")
            ),
            Why::BehindValue => format!(
                "{} stands behind a value; write a comma before the next field or a space before \
                 the time",
                value()
            ),
            Why::NotATime => {
                format!("{} is no time; write a whole number, or leave it out", word(b"\r\n"))
            }
            Why::TimeRange => format!(
                "the time {} is out of range; 64 bits of nanoseconds hold the years 1677 to 2262: \
                 see influx_timestamp_precision",
                value()
            ),
            Why::BehindTime => format!("{} stands behind the time; remove it", word(b"\r\n")),
            Why::Control => {
                "a tab, line end or zero byte in a name or tag; write a space behind the series, and \
                 escape or remove the byte"
                    .into()
            }
            Why::NotUtf8 => "the text is not UTF-8; convert it where it is made".into(),
            Why::TooLong { len, max } => {
                format!("the line of {len} bytes is over the limit of {max}; see max_line_bytes")
            }
            Why::TooManyFields { max } => {
                format!("there are more than {max} fields; split them over several lines")
            }
            Why::KeyTooLong { max } => {
                format!("the field key {} is over the limit of {max} bytes; shorten it", word(b"="))
            }
            Why::Refused(refused) => format!("{refused}; shorten it"),
        }
    }
}
