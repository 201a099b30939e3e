//! Where lines end, and where text may be cut: line ends within quoted strings do not count.
//!
//! A line end belongs to a quoted string only if a closing quote follows within [`QUOTED_MAX`] bytes
//! of the opening one and is itself followed by a comma, a space or a line end. Otherwise the line
//! ends there and is bad, so that a forgotten quote costs its own line and not those behind it.

use memchr::{memchr, memchr2, memchr3, memrchr};

use crate::number::read::byte;

/// Bytes that a quoted string with line ends in it may have.
pub const QUOTED_MAX: usize = 64 << 10;

/// What a quoted string turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoted {
    /// It is closed by the quote at this place.
    Closed(usize),
    /// It is not closed: the line ends at this place.
    Open(usize),
    /// The text ends before that can be told.
    Unknown,
}

/// Follows the string whose opening quote stands at `open`; `last` if nothing follows the text.
pub fn quoted(text: &[u8], open: usize, last: bool) -> Quoted {
    let mut at = open + 1;
    let mut line_end = None;
    loop {
        let found = match line_end {
            None => memchr3(b'"', b'\\', b'\n', &text[at.min(text.len())..]),
            Some(_) => memchr2(b'"', b'\\', &text[at.min(text.len())..]),
        };
        let Some(found) = found.map(|found| at + found) else {
            return match line_end {
                Some(end) if last || text.len() - open > QUOTED_MAX => Quoted::Open(end),
                _ if last => Quoted::Open(text.len()),
                _ => Quoted::Unknown,
            };
        };
        if let Some(end) = line_end
            && found - open > QUOTED_MAX
        {
            return Quoted::Open(end);
        }
        match text[found] {
            b'"' => {
                let Some(end) = line_end else { return Quoted::Closed(found) };
                return match text.get(found + 1) {
                    Some(b',' | b' ' | b'\n') => Quoted::Closed(found),
                    Some(b'\r') => match text.get(found + 2) {
                        Some(b'\n') => Quoted::Closed(found),
                        None if !last => Quoted::Unknown,
                        _ => Quoted::Open(end),
                    },
                    None if !last => Quoted::Unknown,
                    None => Quoted::Closed(found),
                    Some(_) => Quoted::Open(end),
                };
            }
            b'\n' => {
                line_end = Some(found);
                at = found + 1;
            }
            // Only quotes and backslashes are escaped in strings.
            _ => at = found + 1 + matches!(byte(text, found + 1), b'"' | b'\\') as usize,
        }
    }
}

/// The end of the line that begins at `start`: the place of its line end, or the end of the text.
/// `None` if that cannot be told before more is read.
pub fn line_end(text: &[u8], start: usize, last: bool) -> Option<usize> {
    let open_end = |at: usize| match memchr(b'\n', &text[at.min(text.len())..]) {
        Some(found) => Some(at + found),
        None => last.then_some(text.len()),
    };
    let mut at = start;
    while matches!(byte(text, at), b' ' | b'\t') {
        at += 1;
    }
    if byte(text, at) == b'#' {
        return open_end(at);
    }
    // The series has no quoted strings.
    loop {
        let Some(found) = memchr2(b' ', b'\n', &text[at.min(text.len())..]) else {
            return last.then_some(text.len());
        };
        at += found;
        if text[at] == b'\n' {
            return Some(at);
        }
        if at == start || text[at - 1] != b'\\' {
            break;
        }
        at += 1;
    }
    let fields = at;
    loop {
        let Some(found) = memchr2(b'"', b'\n', &text[at.min(text.len())..]) else {
            return last.then_some(text.len());
        };
        at += found;
        if text[at] == b'\n' {
            return Some(at);
        }
        if !opens_value(text, fields, at) {
            at += 1;
            continue;
        }
        match quoted(text, at, last) {
            Quoted::Closed(end) => at = end + 1,
            Quoted::Open(end) => return Some(end),
            Quoted::Unknown => return None,
        }
    }
}

/// Whether the quote at `at` opens a string: it stands behind an equals sign that is not escaped.
fn opens_value(text: &[u8], fields: usize, at: usize) -> bool {
    match text[fields..at] {
        [.., b'\\', b'='] => false,
        [.., b'='] => true,
        _ => false,
    }
}

/// How many bytes of `text` are whole lines: up to and with the last line end at which it may be
/// cut. All of it if nothing follows.
pub fn cut(text: &[u8], last: bool) -> usize {
    if last {
        return text.len();
    }
    let Some(end) = memrchr(b'\n', text) else { return 0 };
    // A string with line ends that reaches beyond `end` is opened near it.
    if memchr(b'"', &text[end.saturating_sub(QUOTED_MAX)..end]).is_none() {
        return end + 1;
    }
    // Lines before the first quote end where they seem to.
    let Some(quote) = memchr(b'"', &text[..end]) else { return end + 1 };
    let mut start = memrchr(b'\n', &text[..quote]).map_or(0, |at| at + 1);
    loop {
        // From here on a line without a quote is passed by one look for the next quote.
        let Some(quote) = memchr(b'"', &text[start..end]) else { return end + 1 };
        if let Some(at) = memrchr(b'\n', &text[start..start + quote]) {
            start += at + 1;
        }
        match line_end(text, start, false) {
            Some(line_end) if line_end < end => start = line_end + 1,
            Some(line_end) => return (line_end + 1).min(text.len()),
            None => return start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<&str> {
        let mut lines = Vec::new();
        let mut start = 0;
        while start < text.len() {
            let end = line_end(text.as_bytes(), start, true).unwrap();
            lines.push(&text[start..end]);
            start = end + 1;
        }
        lines
    }

    #[test]
    fn line_ends_in_closed_strings_do_not_end_lines() {
        for (text, expected) in [
            ("a b=1\nc d=2\n", &["a b=1", "c d=2"][..]),
            ("a b=\"x\ny\" 1\nc d=2", &["a b=\"x\ny\" 1", "c d=2"]),
            ("a b=\"x\ny\",c=\"\n\"\nd e=1", &["a b=\"x\ny\",c=\"\n\"", "d e=1"]),
            ("a b=\"x\n\"\r\nd e=1", &["a b=\"x\n\"\r", "d e=1"]),
            ("a b=\"x\\\"\n\"\nd e=1", &["a b=\"x\\\"\n\"", "d e=1"]),
            ("a b=\"x\\\n\"\nd e=1", &["a b=\"x\\\n\"", "d e=1"]),
            // Forgotten quotes.
            ("a b=\"x\nc d=2\n", &["a b=\"x", "c d=2"]),
            ("a b=\"x\nc d=\"y\"\n", &["a b=\"x", "c d=\"y\""]),
            // Quotes that open nothing.
            ("a,b=\"x c=1\nd e=\"y\"", &["a,b=\"x c=1", "d e=\"y\""]),
            ("a\"b c=1\nd e=2", &["a\"b c=1", "d e=2"]),
            ("a b\\=\"=1\nd e=2\" 3", &["a b\\=\"=1", "d e=2\" 3"]),
            ("# it's \"quoted\na b=1\n# \" \n", &["# it's \"quoted", "a b=1", "# \" "]),
            ("a\\\nb c=1", &["a\\", "b c=1"]),
            ("", &[]),
            ("\n\n", &["", ""]),
        ] {
            assert_eq!(lines(text), expected, "{text:?}");
        }
    }

    #[test]
    fn strings_with_line_ends_are_bounded() {
        let long = |n: usize| format!("a b=\"\n{}\" 1\nc d=1\n", "x".repeat(n));
        assert_eq!(lines(&long(QUOTED_MAX - 2)).len(), 2);
        assert_eq!(lines(&long(QUOTED_MAX - 1)).len(), 3);
        let plain = format!("a b=\"{}\" 1\nc d=1\n", "x".repeat(QUOTED_MAX * 2));
        assert_eq!(lines(&plain).len(), 2);
    }

    #[test]
    fn cuts_stand_at_line_ends() {
        for (text, expected) in [
            ("", 0),
            ("a b=1", 0),
            ("a b=1\nc", 6),
            ("a b=\"x\"\nc", 8),
            ("a b=\"x\ny", 0),
            ("n o=1\na b=\"x\ny", 6),
            ("a b=\"x\ny\"", 0),
            ("a b=\"x\ny\"\r", 0),
            ("a b=\"x\ny\"z", 7),
            ("a b=\"x\ny\",z", 0),
            ("a b=\"x\ny\"\n", 10),
            ("a b=\"x\ny\"\nn o=1\n# \"\n", 20),
        ] {
            assert_eq!(cut(text.as_bytes(), false), expected, "{text:?}");
            assert_eq!(cut(text.as_bytes(), true), text.len());
        }
    }

    #[test]
    fn a_cut_is_where_a_line_ends() {
        let pieces =
            ["a b=", "\"", "x", "\n", " 1", ",c=\"y\"", "\\", "#", "\r\n", "m,t=v f=1i\n", "=\""];
        let mut random = crate::testing::Random::new(4);
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..random.below(14) {
                text.push_str(pieces[random.below(pieces.len())]);
            }
            let bytes = text.as_bytes();
            let cut = cut(bytes, false);
            let mut start = 0;
            let mut ends = vec![0];
            while start < bytes.len()
                && let Some(end) = line_end(bytes, start, false)
            {
                start = end + 1;
                ends.push(start);
            }
            assert_eq!(Some(&cut), ends.last(), "{text:?}");
        }
    }
}
