//! Where texts of JSON may be cut, and where reading goes on behind a bad record.
//!
//! A line end between the end of an object or array and the beginning of another one lies between
//! two values that are not within anything: within something a comma would stand there, and strings
//! hold no line ends. So most cuts are found by looking at few bytes at the end of a text.

use memchr::{memchr, memrchr};

use super::scan::skip_blanks;
use crate::number::read::byte;

/// How many bytes of `text` are whole values; all of it if nothing follows. The text begins outside
/// of all values.
pub fn cut(text: &[u8], last: bool) -> usize {
    if last {
        return text.len();
    }
    let Some(end) = memrchr(b'\n', text) else { return 0 };
    // One value a line: the last line alone tells.
    let start = memrchr(b'\n', &text[..end]).map_or(0, |at| at + 1);
    if begins(text, start) && ends_before(text, start) && is_balanced(&text[start..end]) {
        return end + 1;
    }
    // Behind the last line end a value may have begun.
    let mut at = end;
    loop {
        if begins(text, at + 1) && ends_before(text, at) {
            return at + 1;
        }
        match memrchr(b'\n', &text[..at]) {
            Some(before) => at = before,
            None => break,
        }
    }
    whole_values(text)
}

/// Whether an object or array begins at `at`, blanks passed over.
fn begins(text: &[u8], at: usize) -> bool {
    matches!(byte(text, skip_blanks(text, at)), b'{' | b'[')
}

/// Whether nothing but the end of an object or array and blanks stand before `at`.
fn ends_before(text: &[u8], at: usize) -> bool {
    let before = text[..at].trim_ascii_end();
    before.is_empty() || before.ends_with(b"}") || before.ends_with(b"]")
}

/// Whether all that is opened is closed, and something is.
fn is_balanced(line: &[u8]) -> bool {
    let mut last = None;
    scan(line, |at, depth| {
        if depth == 0 {
            last = Some(at);
        }
    });
    last.is_some_and(|at| line[at + 1..].trim_ascii().is_empty())
}

/// The place behind the last line end that lies outside of all values.
fn whole_values(text: &[u8]) -> usize {
    let mut depth = 0;
    let mut closed = None;
    let mut cut = 0;
    scan(text, |at, now| {
        // Line ends between the value before and this brace count if nothing was open.
        if let (0, Some(from)) = (depth, closed)
            && let Some(end) = memrchr(b'\n', &text[from..at])
        {
            cut = from + end + 1;
        }
        depth = now;
        closed = (now == 0).then_some(at + 1);
    });
    if depth == 0
        && let Some(from) = closed
        && let Some(end) = memrchr(b'\n', &text[from..])
    {
        cut = from + end + 1;
    }
    cut
}

/// Calls `brace` with the place of each brace and bracket outside of strings and the depth behind
/// it.
fn scan(text: &[u8], mut brace: impl FnMut(usize, usize)) {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => {
                at += 1;
                // A line end ends a string that was not closed.
                while at < text.len() && !matches!(text[at], b'"' | b'\n') {
                    at += 1 + (text[at] == b'\\' && byte(text, at + 1) != b'\n') as usize;
                }
            }
            b'{' | b'[' => {
                depth += 1;
                brace(at, depth);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                brace(at, depth);
            }
            _ => {}
        }
        at += 1;
    }
}

/// The place from `at` to `end` behind a line end at which an object or array begins, in the first
/// column; else `end`. The bad record begins before `at`.
pub fn resume(text: &[u8], at: usize, end: usize) -> usize {
    // What was not expected may be the next record.
    let mut at = at.min(end).saturating_sub(1);
    while let Some(found) = memchr(b'\n', &text[at..end]) {
        at += found + 1;
        if at < end && matches!(text[at], b'{' | b'[') {
            return at;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_stand_between_values() {
        for (text, expected) in [
            ("", 0),
            ("{\"a\":1}", 0),
            ("{\"a\":1}\n", 8),
            ("{\"a\":1}\n{\"a\":", 8),
            ("{\"a\":1}\n{\"a\":2}\n", 16),
            ("{\"a\":1}\r\n{\"a\":2}\r\n  ", 18),
            ("[{\"a\":1},\n{\"a\":2}\n", 0),
            ("[{\"a\":1},\n{\"a\":2}\n]\n", 20),
            ("[\n{\"a\":1},\n{\"a\":2}\n]\n{", 21),
            ("{\n \"a\": {\n  \"b\": 1\n }\n", 0),
            ("{\n \"a\": {\n  \"b\": 1\n }\n}\n", 24),
            ("{\n \"a\": {\n  \"b\": 1\n }\n}\n{\n", 24),
            ("{\"a\":\"}\\\"{\"}\n{\"b\":\"\n", 13),
            ("{\"a\":[\n{\"b\":1}\n", 0),
            ("{\"a\":\n{\"b\":1}\n", 0),
        ] {
            assert_eq!(cut(text.as_bytes(), false), expected, "{text:?}");
            assert_eq!(cut(text.as_bytes(), true), text.len());
        }
    }

    #[test]
    fn reading_goes_on_in_the_first_column() {
        let text = b"{\"a\":x}\n  {\n{\"b\":1}\n";
        assert_eq!(resume(text, 1, text.len()), 12);
        assert_eq!(resume(text, 12, text.len()), 12);
        assert_eq!(resume(text, 13, text.len()), text.len());
        assert_eq!(resume(text, 1, 9), 9);
    }
}
