//! How a stream of bytes is cut into messages.

use headwater_plugin_api::plugin::Error;

headwater_plugin_api::choice! {
    /// How a stream is cut into messages.
    pub enum Strategy {
        /// At line ends.
        Newline = "newline",
        /// At null bytes.
        Null = "null",
        /// At the bytes of `splitting_delimiter`.
        Delimiter = "delimiter",
        /// After `splitting_length` bytes.
        Fixed = "fixed length",
        /// After as many bytes as the message says in `splitting_length_field`.
        Variable = "variable length",
    }
}

headwater_plugin_api::choice! {
    /// The order of bytes in a number.
    pub enum Endianness {
        /// The most significant byte first.
        Big = "be",
        /// The least significant byte first.
        Little = "le",
    }
}

headwater_plugin_api::config! {
    /// Where a message says how long it is.
    #[derive(PartialEq)]
    pub struct LengthField {
        /// Bytes in front of the number.
        pub offset: usize = 0,
        /// Bytes of the number, 1 to 8.
        pub bytes: usize = 0,
        /// The order of its bytes: "be" or "le".
        pub endianness: Endianness = Endianness::Big,
        /// Bytes in front of the message that are not handed on, and that the number does not count.
        /// 0: the number counts the message from its first byte, and all of it is handed on.
        pub header_length: usize = 0,
    }
}

headwater_plugin_api::config! {
    pub struct SplitConfig {
        /// How a stream is cut into messages: "newline", "null", "delimiter", "fixed length" or
        /// "variable length". Datagrams are messages as they are.
        pub splitting_strategy: Strategy = Strategy::Newline,
        /// The bytes that end a message, in hexadecimal such as "0x0D0A", or as text if they are no
        /// hexadecimal number.
        pub splitting_delimiter: String = String::new(),
        /// The bytes of each message.
        pub splitting_length: usize = 0,
        /// Where a message says how long it is.
        pub splitting_length_field: LengthField = LengthField::default(),
    }
}

/// Cuts messages, other than lines, out of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Splitter {
    /// Behind each message stand these bytes.
    Delimiter(Vec<u8>),
    /// Each message has so many bytes.
    Fixed(usize),
    /// Each message says how long it is.
    Variable(LengthField),
}

/// What stands at the front of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    /// A message at this place; the next begins at `next`, which is above 0.
    Message { start: usize, end: usize, next: usize },
    /// The beginning of a message, which needs this many bytes at least.
    More(usize),
    /// A message that claims an impossible length.
    Bad(String),
}

impl SplitConfig {
    /// The splitter; `None` for lines.
    ///
    /// # Errors
    /// The option that is wrong.
    pub fn splitter(&self, message_max: usize) -> Result<Option<Splitter>, Error> {
        Ok(Some(match self.splitting_strategy {
            Strategy::Newline => return Ok(None),
            Strategy::Null => Splitter::Delimiter(vec![0]),
            Strategy::Delimiter => {
                let delimiter = delimiter(&self.splitting_delimiter);
                if delimiter.is_empty() {
                    return Err(Error::config(
                        "splitting_delimiter",
                        "the strategy \"delimiter\" needs the bytes that end a message, such as \
                         \"0x0D0A\"",
                    ));
                }
                Splitter::Delimiter(delimiter)
            }
            Strategy::Fixed => {
                let length = self.splitting_length;
                if length == 0 || length > message_max {
                    return Err(Error::config(
                        "splitting_length",
                        format!(
                            "the strategy \"fixed length\" needs a length of 1 to {message_max} \
                             bytes, and not {length}; a larger read_buffer_size raises the limit"
                        ),
                    ));
                }
                Splitter::Fixed(length)
            }
            Strategy::Variable => {
                let field = self.splitting_length_field.clone();
                if !(1..=8).contains(&field.bytes) {
                    return Err(Error::config(
                        "splitting_length_field.bytes",
                        format!(
                            "a length of {} bytes cannot be read; the number may have 1 to 8 bytes",
                            field.bytes
                        ),
                    ));
                }
                let head = field.offset.saturating_add(field.bytes).max(field.header_length);
                if head > message_max {
                    return Err(Error::config(
                        "splitting_length_field",
                        format!(
                            "the length stands {head} bytes into the message, which may have \
                             {message_max} bytes; a larger read_buffer_size raises the limit"
                        ),
                    ));
                }
                Splitter::Variable(field)
            }
        }))
    }
}

/// The bytes of a delimiter: pairs of hexadecimal digits, each with or without `0x` or `x` in front;
/// other text stands for itself.
fn delimiter(text: &str) -> Vec<u8> {
    let lower = text.to_ascii_lowercase();
    let digits: String = lower.replace("0x", "").chars().filter(|c| !"x \t".contains(*c)).collect();
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    });
    pairs.collect::<Option<Vec<u8>>>().unwrap_or_else(|| text.as_bytes().to_vec())
}

impl Splitter {
    /// Looks at the front of `data`; up to `searched` no delimiter was found before.
    pub fn cut(&self, data: &[u8], searched: usize) -> Cut {
        match self {
            Splitter::Delimiter(delimiter) => {
                // A delimiter may have begun in what was searched.
                let from = searched.min(data.len()).saturating_sub(delimiter.len() - 1);
                match memchr::memmem::find(&data[from..], delimiter) {
                    Some(at) => {
                        let end = from + at;
                        Cut::Message { start: 0, end, next: end + delimiter.len() }
                    }
                    None => Cut::More(data.len() + 1),
                }
            }
            Splitter::Fixed(length) => match data.len() >= *length {
                true => Cut::Message { start: 0, end: *length, next: *length },
                false => Cut::More(*length),
            },
            Splitter::Variable(field) => variable(field, data),
        }
    }

    /// Whether what the stream ends with, short of a complete message, is a message.
    pub fn takes_rest(&self) -> bool {
        !matches!(self, Splitter::Variable(_))
    }
}

fn variable(field: &LengthField, data: &[u8]) -> Cut {
    let head = field.offset + field.bytes;
    let Some(number) = data.get(field.offset..head) else {
        return Cut::More(head.max(field.header_length));
    };
    let digit = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    let length = match field.endianness {
        Endianness::Big => number.iter().fold(0, digit),
        Endianness::Little => number.iter().rev().fold(0, digit),
    };
    let end = usize::try_from(length).ok().and_then(|n| n.checked_add(field.header_length));
    match end {
        None | Some(0) => Cut::Bad(format!("a message claims a length of {length} bytes")),
        Some(end) if end <= data.len() => {
            Cut::Message { start: field.header_length, end, next: end }
        }
        Some(end) => Cut::More(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splitter(toml: &str) -> Result<Option<Splitter>, Error> {
        let config: SplitConfig = headwater_plugin_api::config::parse(toml).unwrap();
        config.splitter(1000)
    }

    #[test]
    fn delimiters_are_read() {
        for (text, expected) in [
            ("0x0D0A", &b"\r\n"[..]),
            ("x0d0a", b"\r\n"),
            ("0d0a", b"\r\n"),
            ("0x0d 0x0a", b"\r\n"),
            ("0x0d0x0a", b"\r\n"),
            ("\\r\\n", b"\\r\\n"),
            ("--end--", b"--end--"),
            ("abc", b"abc"),
            ("|", b"|"),
            ("", b""),
        ] {
            assert_eq!(delimiter(text), expected, "{text}");
        }
    }

    #[test]
    fn options_make_splitters() {
        assert_eq!(splitter(""), Ok(None));
        assert_eq!(splitter("splitting_strategy = 'null'"), Ok(Some(Splitter::Delimiter(vec![0]))));
        assert_eq!(
            splitter("splitting_strategy = 'fixed length'\nsplitting_length = 10"),
            Ok(Some(Splitter::Fixed(10)))
        );
        for (toml, words) in [
            ("splitting_strategy = 'delimiter'", "0x0D0A"),
            ("splitting_strategy = 'fixed length'", "and not 0"),
            ("splitting_strategy = 'fixed length'\nsplitting_length = 1001", "1000"),
            ("splitting_strategy = 'variable length'", "1 to 8"),
            (
                "splitting_strategy = 'variable length'\nsplitting_length_field = {bytes = 9}",
                "9 bytes",
            ),
            (
                "splitting_strategy = 'variable length'\n\
                 splitting_length_field = {bytes = 2, offset = 999}",
                "1001 bytes into",
            ),
        ] {
            let error = splitter(toml).unwrap_err();
            assert!(error.message().contains(words), "{toml}: {error:?}");
        }
    }

    /// All messages of a stream that is looked at after each byte, and the rest.
    fn cut_all(splitter: &Splitter, data: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let (mut messages, mut seen, mut searched) = (Vec::new(), Vec::new(), 0);
        for byte in data {
            seen.push(*byte);
            while let Cut::Message { start, end, next } = splitter.cut(&seen, searched) {
                messages.push(seen[start..end].to_vec());
                seen.drain(..next);
                searched = 0;
            }
            searched = seen.len();
        }
        (messages, seen)
    }

    #[test]
    fn streams_are_cut_wherever_reads_end() {
        let delimiter = Splitter::Delimiter(b"\r\n".to_vec());
        let (messages, rest) = cut_all(&delimiter, b"a\r\nb\rc\r\n\r\nrest");
        assert_eq!(messages, [&b"a"[..], b"b\rc", b""]);
        assert_eq!(rest, b"rest");

        let (messages, rest) = cut_all(&Splitter::Fixed(3), b"abcdefgh");
        assert_eq!(messages, [b"abc", b"def"]);
        assert_eq!(rest, b"gh");

        let field =
            LengthField { offset: 1, bytes: 2, endianness: Endianness::Big, header_length: 3 };
        let (messages, rest) =
            cut_all(&Splitter::Variable(field.clone()), b"!\0\x02ab?\0\0!\0\x01c!\0");
        assert_eq!(messages, [&b"ab"[..], b"", b"c"]);
        assert_eq!(rest, b"!\0");

        let little = LengthField { endianness: Endianness::Little, ..field };
        assert_eq!(cut_all(&Splitter::Variable(little), b"!\x02\0ab").0, [b"ab"]);

        // Without a header the number counts itself, and is handed on.
        let whole = LengthField { bytes: 1, ..LengthField::default() };
        assert_eq!(
            cut_all(&Splitter::Variable(whole), b"\x03ab\x02c").0,
            [&b"\x03ab"[..], b"\x02c"]
        );
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let field = LengthField { bytes: 8, header_length: 8, ..LengthField::default() };
        let splitter = Splitter::Variable(field);
        assert!(matches!(splitter.cut(&[0xff; 8], 0), Cut::Bad(_)));
        let whole = Splitter::Variable(LengthField { bytes: 1, ..LengthField::default() });
        assert!(matches!(whole.cut(&[0], 0), Cut::Bad(_)), "it would never advance");
    }
}
