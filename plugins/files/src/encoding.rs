//! Text of other encodings as UTF-8, piece by piece.

headwater_plugin_api::choice! {
    /// How characters are written in a file.
    pub enum Encoding {
        /// The bytes are handed on as they are.
        None = "",
        /// Bytes that are no UTF-8 become U+FFFD; a byte order mark in front is left out.
        Utf8 = "utf-8",
        /// UTF-16, the low byte first.
        Utf16le = "utf-16le",
        /// UTF-16, the high byte first.
        Utf16be = "utf-16be",
    }
}

// The macro that makes the type takes no derive.
#[allow(clippy::derivable_impls)]
impl Default for Encoding {
    fn default() -> Self {
        Encoding::None
    }
}

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
const MARK: char = '\u{feff}';

/// Turns bytes of an encoding into UTF-8, in pieces that may end anywhere.
#[derive(Debug, Clone)]
pub struct Decoder {
    encoding: Encoding,
    at_start: bool,
    /// The bytes of a character that is not complete.
    carry: [u8; 4],
    carried: usize,
}

impl Decoder {
    /// For a text from its first byte.
    pub fn new(encoding: Encoding) -> Decoder {
        Decoder { encoding, at_start: true, carry: [0; 4], carried: 0 }
    }

    /// For a text from its middle, where a byte order mark is none.
    pub fn resumed(encoding: Encoding) -> Decoder {
        Decoder { at_start: false, ..Decoder::new(encoding) }
    }

    /// Whether bytes go through as they are.
    pub fn is_identity(&self) -> bool {
        self.encoding == Encoding::None
    }

    /// Appends what `input` adds to the text.
    pub fn decode(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        if self.encoding == Encoding::None {
            out.extend_from_slice(input);
            return;
        }
        // A character that began in the piece before: byte by byte until it is through.
        while self.carried > 0 && !input.is_empty() {
            self.carry[self.carried] = input[0];
            self.carried += 1;
            input = &input[1..];
            let carry = self.carry;
            let carried = self.carried;
            let used = self.complete(&carry[..carried], out);
            self.carry.copy_within(used..carried, 0);
            self.carried -= used;
        }
        if self.carried == 0 {
            let used = self.complete(input, out);
            let rest = &input[used..];
            self.carry[..rest.len()].copy_from_slice(rest);
            self.carried = rest.len();
        }
    }

    /// Appends what an incomplete character at the end of the text stands for.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.carried) > 0 {
            out.extend_from_slice(REPLACEMENT);
        }
    }

    /// Appends the complete characters and tells how many bytes they had: all but three at most.
    fn complete(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        match self.encoding {
            Encoding::None => {
                out.extend_from_slice(input);
                input.len()
            }
            Encoding::Utf8 => self.utf8(input, out),
            Encoding::Utf16le => self.utf16(input, out, u16::from_le_bytes),
            Encoding::Utf16be => self.utf16(input, out, u16::from_be_bytes),
        }
    }

    fn utf8(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        loop {
            let (valid, error) = match std::str::from_utf8(&input[used..]) {
                Ok(text) => (text, None),
                Err(error) => {
                    let valid = &input[used..used + error.valid_up_to()];
                    (std::str::from_utf8(valid).unwrap_or_default(), Some(error))
                }
            };
            used += valid.len();
            let text = match self.at_start {
                true => valid.strip_prefix(MARK).unwrap_or(valid),
                false => valid,
            };
            self.at_start &= valid.is_empty();
            out.extend_from_slice(text.as_bytes());
            match error.map(|error| error.error_len()) {
                // The end of the input, which may be in the middle of a character.
                None | Some(None) => return used,
                Some(Some(bad)) => {
                    self.at_start = false;
                    out.extend_from_slice(REPLACEMENT);
                    used += bad;
                }
            }
        }
    }

    fn utf16(&mut self, input: &[u8], out: &mut Vec<u8>, unit: fn([u8; 2]) -> u16) -> usize {
        let mut used = 0;
        let unit_at =
            |at: usize| input.get(at..at + 2).and_then(|pair| pair.try_into().ok()).map(unit);
        while let Some(first) = unit_at(used) {
            let (character, bytes) = match first {
                0xd800..=0xdbff => match unit_at(used + 2) {
                    None => return used,
                    Some(second @ 0xdc00..=0xdfff) => {
                        let high = (u32::from(first) - 0xd800) << 10;
                        (char::from_u32(0x10000 + high + (u32::from(second) - 0xdc00)), 4)
                    }
                    // Half a pair stands for nothing, what follows for itself.
                    Some(_) => (None, 2),
                },
                _ => (char::from_u32(u32::from(first)), 2),
            };
            used += bytes;
            if !std::mem::take(&mut self.at_start) || character != Some(MARK) {
                let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text, in pieces of every size, which must not matter.
    fn decode(encoding: Encoding, input: &[u8]) -> String {
        let in_pieces = |size: usize| {
            let mut decoder = Decoder::new(encoding);
            let mut out = Vec::new();
            for piece in input.chunks(size) {
                decoder.decode(piece, &mut out);
            }
            decoder.finish(&mut out);
            out
        };
        let whole = in_pieces(input.len().max(1));
        for size in 1..=5 {
            assert_eq!(in_pieces(size), whole, "pieces of {size}");
        }
        String::from_utf8(whole).unwrap()
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn utf8_is_mended() {
        for (input, expected) in [
            (&b"plain\n"[..], "plain\n"),
            ("\u{feff}größe €😀".as_bytes(), "größe €😀"),
            ("a\u{feff}b".as_bytes(), "a\u{feff}b"),
            (b"a\xffb\xc3", "a\u{fffd}b\u{fffd}"),
            (b"\xf0\x9f\x98", "\u{fffd}"),
            (b"\xe2\x82x", "\u{fffd}x"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xff\xef\xbb\xbf", "\u{fffd}\u{feff}"),
            (b"", ""),
        ] {
            assert_eq!(decode(Encoding::Utf8, input), expected, "{input:?}");
            assert_eq!(
                expected.trim_start_matches(MARK),
                String::from_utf8_lossy(input).trim_start_matches(MARK)
            );
        }
    }

    #[test]
    fn utf16_is_read_in_both_orders() {
        for text in ["", "plain\n", "größe €😀", "a\u{feff}b"] {
            assert_eq!(decode(Encoding::Utf16le, &utf16(text, u16::to_le_bytes)), text);
            assert_eq!(decode(Encoding::Utf16be, &utf16(text, u16::to_be_bytes)), text);
            let marked = format!("\u{feff}{text}");
            assert_eq!(decode(Encoding::Utf16le, &utf16(&marked, u16::to_le_bytes)), text);
        }
        assert_eq!(decode(Encoding::Utf16be, b"\xd8\x3d\0a"), "\u{fffd}a", "half a pair");
        assert_eq!(decode(Encoding::Utf16be, b"\xde\0\0a"), "\u{fffd}a", "the other half");
        assert_eq!(decode(Encoding::Utf16le, b"a\0b"), "a\u{fffd}", "half a character");
    }

    #[test]
    fn other_bytes_go_through() {
        let mut out = Vec::new();
        Decoder::new(Encoding::None).decode(b"\xff\0", &mut out);
        assert_eq!(out, b"\xff\0");
        let mut resumed = Decoder::resumed(Encoding::Utf8);
        resumed.decode("\u{feff}".as_bytes(), &mut out);
        assert_eq!(&out[2..], "\u{feff}".as_bytes());
    }
}
