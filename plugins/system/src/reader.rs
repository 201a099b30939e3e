//! Reads files of /proc and /sys into one buffer that is kept, and takes their bytes apart.

use std::fmt::{Display, Write};

use headwater_plugin_api::plugin::Error;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// A file of more bytes is refused. /proc/stat of a thousand processors has 2 MiB.
pub const FILE_BYTES_MAX: usize = 16 << 20;

const FIRST_BYTES: usize = 4096;

/// A buffer for files.
#[derive(Default)]
pub struct Reader {
    path: String,
    buffer: Vec<u8>,
    len: usize,
}

/// The content of a file together with its name, for errors.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The file.
    pub path: &'a str,
    /// What stands in it.
    pub data: &'a [u8],
}

/// How much one read of a file brings.
#[derive(Clone, Copy, PartialEq)]
enum Pieces {
    /// All, if the buffer has room: attributes in /sys, and those files of /proc that the kernel
    /// makes in one go. The read that would tell the end is saved.
    One,
    /// Some records.
    Many,
}

impl Reader {
    /// A file that the kernel hands out in one piece. `parts` are joined with slashes.
    ///
    /// # Errors
    /// With the name of the file.
    pub fn piece(&mut self, parts: &[&str]) -> Result<Text<'_>, Error> {
        self.read(parts, Pieces::One)
    }

    /// A file that the kernel hands out record by record.
    ///
    /// # Errors
    /// With the name of the file.
    pub fn records(&mut self, parts: &[&str]) -> Result<Text<'_>, Error> {
        self.read(parts, Pieces::Many)
    }

    /// As [`piece`](Self::piece); `None` if there is no such file or it cannot be read.
    pub fn piece_if_readable(&mut self, parts: &[&str]) -> Option<Text<'_>> {
        self.join(parts);
        self.fill(Pieces::One).ok()?;
        Some(self.last())
    }

    /// As [`piece`](Self::piece); `None` if there is no such file, process or device.
    ///
    /// # Errors
    /// With the name of the file.
    pub fn piece_if_there(&mut self, parts: &[&str]) -> Result<Option<Text<'_>>, Error> {
        self.join(parts);
        match self.fill(Pieces::One) {
            Ok(()) => Ok(Some(self.last())),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::SRCH | Errno::NODEV | Errno::NXIO) => {
                Ok(None)
            }
            Err(errno) => Err(self.error(errno)),
        }
    }

    /// What was read last, once more.
    pub fn last(&self) -> Text<'_> {
        Text { path: &self.path, data: &self.buffer[..self.len] }
    }

    fn read(&mut self, parts: &[&str], pieces: Pieces) -> Result<Text<'_>, Error> {
        self.join(parts);
        match self.fill(pieces) {
            Ok(()) => Ok(self.last()),
            Err(errno) => Err(self.error(errno)),
        }
    }

    fn error(&self, errno: Errno) -> Error {
        if errno == Errno::FBIG {
            return Error::failed(format!("{}: has more than {FILE_BYTES_MAX} bytes", self.path));
        }
        Error::failed(format!("{}: {}", self.path, std::io::Error::from(errno)))
    }

    fn join(&mut self, parts: &[&str]) {
        self.path.clear();
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                self.path.push('/');
            }
            self.path.push_str(part);
        }
    }

    fn fill(&mut self, pieces: Pieces) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(self.path.as_str(), flags, Mode::empty())?;
        self.len = 0;
        loop {
            if self.len == self.buffer.len() {
                if self.len >= FILE_BYTES_MAX {
                    self.len = 0;
                    return Err(Errno::FBIG);
                }
                self.buffer.resize((self.len * 2).max(FIRST_BYTES), 0);
            }
            let room = self.buffer.len() - self.len;
            match rustix::io::read(&file, &mut self.buffer[self.len..]) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    self.len += n;
                    if n < room && pieces == Pieces::One {
                        return Ok(());
                    }
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl<'a> Text<'a> {
    /// The lines, without their ends. An empty rest behind the last line end is none.
    pub fn lines(&self) -> Lines<'a> {
        Lines { rest: self.data }
    }

    /// The content without white space around it.
    pub fn trimmed(&self) -> &'a [u8] {
        self.data.trim_ascii()
    }

    /// An error about a value: `what` names it, such as `user of cpu0`.
    pub fn bad(&self, what: impl Display, value: &[u8]) -> String {
        format!("{}: {what} is {}, which is not a number", self.path, quote(value))
    }

    /// An error about a line or the whole.
    pub fn wrong(&self, what: impl Display) -> String {
        format!("{}: {what}", self.path)
    }
}

/// See [`Text::lines`].
#[derive(Clone)]
pub struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(line)
    }
}

/// What went wrong in one gather, while the rest went on.
#[derive(Default)]
pub struct Faults {
    text: String,
    count: usize,
}

/// So many sentences stand in the error of one gather; the rest is counted.
const SENTENCES_MAX: usize = 4;

impl Faults {
    /// Notes one.
    pub fn add(&mut self, sentence: impl Display) {
        self.count += 1;
        if self.count <= SENTENCES_MAX {
            if self.count > 1 {
                self.text.push_str("; ");
            }
            let _ = write!(self.text, "{sentence}");
        }
    }

    /// Notes that a point was refused, unless for want of fields: a gather with nothing to say of
    /// something says nothing.
    pub fn refused(&mut self, result: Result<(), headwater_plugin_api::batch::Refused>) {
        match result {
            Ok(()) | Err(headwater_plugin_api::batch::Refused::NoFields) => {}
            Err(refused) => self.add(refused),
        }
    }

    /// Whether there was none so far.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The gather's result.
    ///
    /// # Errors
    /// One for all that was noted.
    pub fn result(mut self) -> Result<(), Error> {
        if self.count == 0 {
            return Ok(());
        }
        if self.count > SENTENCES_MAX {
            let _ = write!(self.text, "; and {} more", self.count - SENTENCES_MAX);
        }
        Err(Error::failed(self.text))
    }
}

/// The words of a line, separated by blanks and control characters.
pub fn words(line: &[u8]) -> Words<'_> {
    Words { rest: line }
}

/// See [`words`]. By hand, as most instructions of this family are spent here.
#[derive(Clone)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|byte| *byte > b' ')?;
        let rest = &self.rest[start..];
        let end = rest.iter().position(|byte| *byte <= b' ').unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        Some(word)
    }
}

/// A whole number of decimal digits.
pub fn unsigned(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A whole number with or without a minus.
pub fn signed(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        Some(digits) => 0_i64.checked_sub_unsigned(unsigned(digits)?),
        None => i64::try_from(unsigned(text)?).ok(),
    }
}

/// A decimal number.
pub fn decimal(text: &[u8]) -> Option<f64> {
    if !text.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-')) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Bytes for an error: quoted, and cut if they are many.
pub fn quote(bytes: &[u8]) -> String {
    const SHOWN_CHARS: usize = 40;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN_CHARS)]);
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < bytes.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::Tree;

    #[test]
    fn files_of_any_length_are_read_whole() {
        let long = "0123456789\n".repeat(5_000);
        let tree = Tree::of(&[
            ("proc/long", &long),
            ("proc/empty", ""),
            ("proc/exact", &"x".repeat(4096)),
        ]);
        let root = tree.path("proc");
        let mut reader = Reader::default();
        for pieces in [Pieces::One, Pieces::Many] {
            for (name, len) in [("long", 55_000), ("empty", 0), ("exact", 4096)] {
                assert_eq!(reader.read(&[&root, name], pieces).unwrap().data.len(), len, "{name}");
            }
        }
        assert_eq!(reader.piece(&[&root, "long"]).unwrap().lines().count(), 5_000);
        assert_eq!(reader.piece(&[&root, "empty"]).unwrap().lines().count(), 0);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let tree = Tree::of(&[("proc/file", "x")]);
        let root = tree.path("proc");
        let mut reader = Reader::default();
        let error = reader.piece(&[&root, "none"]).err().unwrap();
        assert_eq!(error.message(), format!("{root}/none: No such file or directory (os error 2)"));
        assert!(reader.piece_if_there(&[&root, "none"]).unwrap().is_none());
        assert!(reader.piece_if_there(&[&root, "file", "below"]).unwrap().is_none());
        assert!(reader.piece_if_there(&[&root]).is_err());
        assert!(reader.piece_if_readable(&[&root]).is_none());
    }

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("1a", None),
            ("+1", None),
        ] {
            assert_eq!(unsigned(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(signed(b"9223372036854775808"), None);
        assert_eq!(signed(b"-"), None);
        assert_eq!(decimal(b"0.25"), Some(0.25));
        assert_eq!(decimal(b"nan"), None);
        assert_eq!(decimal(b"1-2"), None);
    }

    #[test]
    fn lines_have_words() {
        for (line, expected) in [
            ("a b", vec!["a", "b"]),
            ("  a\t\n b\r", vec!["a", "b"]),
            ("", vec![]),
            (" ", vec![]),
            ("ä", vec!["ä"]),
        ] {
            let found: Vec<&[u8]> = words(line.as_bytes()).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(found, expected, "{line:?}");
        }
    }

    #[test]
    fn a_gather_tells_of_a_few_faults_and_counts_the_rest() {
        let mut faults = Faults::default();
        (0..6).for_each(|n| faults.add(n));
        assert_eq!(faults.result().unwrap_err().message(), "0; 1; 2; 3; and 2 more");
        assert!(Faults::default().result().is_ok());
    }

    #[test]
    fn values_are_quoted_and_cut() {
        assert_eq!(quote(b"a\"\xff"), "\"a\\\"\u{fffd}\"");
        assert_eq!(quote(&[b'x'; 500]).chars().count(), 43);
    }
}
