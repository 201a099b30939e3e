//! Lines that are not handed on as they stand in the file: of another encoding, with escape
//! sequences, or parts of an event of several lines.

use std::collections::VecDeque;

use super::multiline::{Assembler, Event};
use super::shared::Options;
use crate::encoding::{Decoder, Encoding};

/// The longest line.
pub const LINE_MAX: usize = 256 * 1024;

/// What is read at first.
const SPACE: usize = 64 * 1024;

/// Text that is ready to be handed on.
pub type Ready = Event;

/// Turns bytes of a file into texts.
pub struct Slow {
    encoding: Encoding,
    decoder: Decoder,
    strips_ansi: bool,
    assembler: Option<Assembler>,
    raw: Vec<u8>,
    line: Vec<u8>,
    skipping: bool,
    too_long: Option<usize>,
}

impl Slow {
    /// `None` if lines may be handed on as they are.
    pub fn new(options: &Options) -> Option<Slow> {
        let plain = options.encoding == Encoding::None
            && !options.strips_ansi
            && options.assembler.is_none();
        (!plain).then(|| Slow {
            encoding: options.encoding,
            decoder: Decoder::new(options.encoding),
            strips_ansi: options.strips_ansi,
            assembler: options.assembler.clone(),
            raw: vec![0; SPACE],
            line: Vec::new(),
            skipping: false,
            too_long: None,
        })
    }

    /// Another file begins, or the same again.
    pub fn begin(&mut self, position: u64) {
        self.decoder = match position {
            0 => Decoder::new(self.encoding),
            _ => Decoder::resumed(self.encoding),
        };
        self.skipping = false;
        if let Some(assembler) = &mut self.assembler {
            assembler.reset();
        }
    }

    /// Where to read to.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.raw
    }

    /// Whether the beginning of an event waits for what follows.
    pub fn is_waiting(&self) -> bool {
        self.assembler.as_ref().is_some_and(Assembler::is_waiting)
    }

    /// The bytes of a line that was too long, once.
    pub fn take_too_long(&mut self) -> Option<usize> {
        self.too_long.take()
    }

    /// Takes the complete lines of the bytes that were read at `position` and tells how many bytes
    /// they had.
    pub fn take_lines(&mut self, read: usize, position: u64, ready: &mut VecDeque<Ready>) -> usize {
        let raw = std::mem::take(&mut self.raw);
        let mut start = 0;
        let mut chunk = Event::default();
        while let Some(end) = self.line_end(&raw[start..read]) {
            let line = &raw[start..start + end];
            start += end;
            if !std::mem::take(&mut self.skipping) {
                self.take_line(line, position + start as u64, &mut chunk, ready);
            }
        }
        ready.extend((chunk.lines > 0).then_some(chunk));
        let full = read == raw.len() && start == 0;
        self.raw = raw;
        if full {
            if self.raw.len() < LINE_MAX {
                self.raw.resize(LINE_MAX, 0);
            } else {
                // Passed over to the next line end.
                self.too_long = (!std::mem::replace(&mut self.skipping, true)).then_some(read);
                start = read;
            }
        }
        start
    }

    /// Takes the last line of a file, which has no end.
    pub fn take_rest(&mut self, rest: usize, position: u64, ready: &mut VecDeque<Ready>) {
        if rest == 0 || std::mem::take(&mut self.skipping) {
            return;
        }
        let raw = std::mem::take(&mut self.raw);
        let mut chunk = Event::default();
        self.take_line(&raw[..rest], position + rest as u64, &mut chunk, ready);
        ready.extend((chunk.lines > 0).then_some(chunk));
        self.raw = raw;
    }

    /// Hands on an event as far as it has come.
    pub fn flush(&mut self, ready: &mut VecDeque<Ready>) {
        ready.extend(self.assembler.as_mut().and_then(Assembler::flush));
    }

    /// One line with its end, which may be missing. Without events, lines gather in `chunk`.
    fn take_line(&mut self, raw: &[u8], end: u64, chunk: &mut Event, ready: &mut VecDeque<Ready>) {
        self.line.clear();
        self.decoder.decode(raw, &mut self.line);
        // A line ends a character, whatever its bytes are.
        self.decoder.finish(&mut self.line);
        if self.strips_ansi {
            strip_ansi(&mut self.line);
        }
        match &mut self.assembler {
            Some(assembler) => {
                let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
                assembler.push(line, end, |event| ready.push_back(event));
            }
            None => {
                chunk.text.extend_from_slice(&self.line);
                chunk.lines += 1;
                chunk.end = end;
                if chunk.text.len() >= SPACE {
                    ready.push_back(std::mem::take(chunk));
                }
            }
        }
    }

    /// How many bytes the first line has with its end.
    fn line_end(&self, data: &[u8]) -> Option<usize> {
        let pair = match self.encoding {
            Encoding::Utf16le => [b'\n', 0],
            Encoding::Utf16be => [0, b'\n'],
            _ => return memchr::memchr(b'\n', data).map(|at| at + 1),
        };
        data.chunks_exact(2).position(|unit| unit == pair).map(|at| 2 * at + 2)
    }
}

/// Takes out escape sequences such as those for colors: ESC `[`, parameters, a letter.
fn strip_ansi(line: &mut Vec<u8>) {
    const ESCAPE: u8 = 0x1b;
    let Some(first) = memchr::memchr(ESCAPE, line) else { return };
    let (mut from, mut to) = (first, first);
    while from < line.len() {
        let rest = &line[from..];
        let length = match rest {
            [ESCAPE, b'[', parameters @ ..] => {
                let end = parameters.iter().position(|byte| !matches!(byte, 0x20..=0x3f));
                end.filter(|end| matches!(parameters[*end], 0x40..=0x7e)).map(|end| end + 3)
            }
            _ => None,
        };
        match length {
            Some(length) => from += length,
            None => {
                line[to] = line[from];
                from += 1;
                to += 1;
            }
        }
    }
    line.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_taken_out() {
        for (line, expected) in [
            ("plain\n", "plain\n"),
            ("\x1b[1;31mred\x1b[0m and \x1b[Kmore\n", "red and more\n"),
            ("\x1b[", "\x1b["),
            ("\x1b[31", "\x1b[31"),
            ("\x1bMx", "\x1bMx"),
            ("\x1b[0m", ""),
        ] {
            let mut bytes = line.as_bytes().to_vec();
            strip_ansi(&mut bytes);
            assert_eq!(bytes, expected.as_bytes(), "{line:?}");
        }
    }

    fn slow(encoding: Encoding) -> Slow {
        let options = Options { encoding, strips_ansi: true, ..Options::default() };
        Slow::new(&options).unwrap()
    }

    fn lines(slow: &mut Slow, data: &[u8]) -> (String, usize) {
        slow.space()[..data.len()].copy_from_slice(data);
        let mut ready = VecDeque::new();
        let used = slow.take_lines(data.len(), 0, &mut ready);
        let text = ready.into_iter().flat_map(|event| event.text).collect();
        (String::from_utf8(text).unwrap(), used)
    }

    #[test]
    fn utf16_lines_end_at_characters() {
        // The second character ends with a byte that looks like the first half of a line end.
        let text = "a\u{0a0a}\u{0a00}b\ncd\nrest";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let expected = ("a\u{0a0a}\u{0a00}b\ncd\n".to_owned(), 16);
        assert_eq!(lines(&mut slow(Encoding::Utf16le), &le), expected);
        assert_eq!(lines(&mut slow(Encoding::Utf16be), &be), expected);
    }

    #[test]
    fn lines_that_are_too_long_are_passed_over() {
        let mut slow = slow(Encoding::Utf8);
        let mut ready = VecDeque::new();
        slow.space().fill(b'x');
        assert_eq!(slow.take_lines(SPACE, 0, &mut ready), 0);
        assert_eq!(slow.space().len(), LINE_MAX, "more room is tried first");
        slow.space().fill(b'x');
        assert_eq!(slow.take_lines(LINE_MAX, 0, &mut ready), LINE_MAX);
        assert_eq!(slow.take_too_long(), Some(LINE_MAX));
        slow.space()[..8].copy_from_slice(b"end\nnew\n");
        assert_eq!(slow.take_lines(8, 0, &mut ready), 8);
        assert_eq!(slow.take_too_long(), None);
        assert_eq!(ready.pop_front().unwrap().text, b"new\n");
    }

    #[test]
    fn nothing_is_slow_without_need() {
        assert!(Slow::new(&Options::default()).is_none());
    }
}
