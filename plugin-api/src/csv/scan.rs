//! Records and their cells after RFC 4180.
//!
//! Where a record is broken, the next one begins behind the line end that follows, so that a stray
//! quote costs a line and not the rest of the file.

use std::borrow::Cow;

/// Bytes that a quoted cell may have: a quote that is never closed ends nothing but its own line.
pub const CELL_BYTES_MAX: usize = 1 << 20;

/// Where the text of a cell stands, quotes around it not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The first byte of its text, from the beginning of its record.
    pub start: usize,
    /// Behind the last one.
    pub end: usize,
    /// There are quotes around it.
    pub quoted: bool,
    /// Quotes in it are doubled.
    pub doubled: bool,
}

impl Cell {
    /// Its text, out of that of its record.
    pub fn text<'a>(&self, record: &'a str) -> Cow<'a, str> {
        let text = record.get(self.start..self.end).unwrap_or_default();
        match self.doubled {
            true => Cow::Owned(text.replace("\"\"", "\"")),
            false => Cow::Borrowed(text),
        }
    }
}

/// A record that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where it begins.
    pub start: usize,
    /// Where the next record begins.
    pub end: usize,
    /// Where it is broken.
    pub at: usize,
    /// What is wrong, and what to do.
    pub what: &'static str,
}

/// Reads the record at the beginning: its cells, and where the next one begins. `None` if more must be
/// read first; with `last` there is no more.
pub fn record(
    data: &[u8],
    delimiter: u8,
    last: bool,
    cells: &mut Vec<Cell>,
) -> Option<Result<usize, Broken>> {
    match plain::<true>(data, delimiter, last, cells) {
        Plain::Record(next) => Some(Ok(next)),
        Plain::Unfinished => None,
        Plain::Quoted => {
            cells.clear();
            with_quotes(data, delimiter, last, cells)
        }
    }
}

/// Reads the record at the beginning of data without a single quote.
#[inline]
pub(super) fn unquoted(
    data: &[u8],
    delimiter: u8,
    last: bool,
    cells: &mut Vec<Cell>,
) -> Option<usize> {
    match plain::<false>(data, delimiter, last, cells) {
        Plain::Record(next) => Some(next),
        Plain::Unfinished | Plain::Quoted => None,
    }
}

/// What stands at the beginning.
enum Plain {
    /// A record without quotes, and where the next one begins.
    Record(usize),
    /// No whole line.
    Unfinished,
    /// A line with quotes.
    Quoted,
}

/// Reads a record without quotes, eight bytes at a time: its cells are short, and a search for the end of each would
/// take longer. Quotes are looked for if there may be some.
#[inline]
fn plain<const QUOTES: bool>(
    data: &[u8],
    delimiter: u8,
    last: bool,
    cells: &mut Vec<Cell>,
) -> Plain {
    cells.clear();
    let (delimiters, ends, quotes) = (each(delimiter), each(b'\n'), each(b'"'));
    let (mut at, mut start) = (0, 0);
    while let Some(word) = data.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let mut others = differs(word ^ delimiters) & differs(word ^ ends);
        if QUOTES {
            others &= differs(word ^ quotes);
        }
        let mut found = !others & each(0x80);
        while found != 0 {
            let place = at + found.trailing_zeros() as usize / 8;
            found &= found - 1;
            match data[place] {
                b'"' => return Plain::Quoted,
                b'\n' => {
                    let end = without_return(data, start, place);
                    cells.push(Cell { start, end, quoted: false, doubled: false });
                    return Plain::Record(place + 1);
                }
                _ => {
                    cells.push(Cell { start, end: place, quoted: false, doubled: false });
                    start = place + 1;
                }
            }
        }
        at += 8;
    }
    for place in at..data.len() {
        match data[place] {
            b'"' => return Plain::Quoted,
            b'\n' => {
                let end = without_return(data, start, place);
                cells.push(Cell { start, end, quoted: false, doubled: false });
                return Plain::Record(place + 1);
            }
            byte if byte == delimiter => {
                cells.push(Cell { start, end: place, quoted: false, doubled: false });
                start = place + 1;
            }
            _ => {}
        }
    }
    if !last {
        return Plain::Unfinished;
    }
    let end = without_return(data, start, data.len());
    cells.push(Cell { start, end, quoted: false, doubled: false });
    Plain::Record(data.len())
}

/// A word of eight times that byte.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The highest bit of each byte that is not zero; the others are arbitrary.
const fn differs(word: u64) -> u64 {
    ((word & each(0x7f)) + each(0x7f)) | word
}

/// How much of the data is whole records.
pub fn whole(data: &[u8], delimiter: u8, last: bool) -> usize {
    if last {
        return data.len();
    }
    if memchr::memchr(b'"', data).is_none() {
        return memchr::memrchr(b'\n', data).map_or(0, |at| at + 1);
    }
    let (mut end, mut cells) = (0, Vec::new());
    while let Some(read) = record(&data[end..], delimiter, false, &mut cells) {
        end += read.unwrap_or_else(|broken| broken.end);
    }
    end
}

fn with_quotes(
    data: &[u8],
    delimiter: u8,
    last: bool,
    cells: &mut Vec<Cell>,
) -> Option<Result<usize, Broken>> {
    let mut at = 0;
    loop {
        if data.get(at) != Some(&b'"') {
            let rest = data.get(at..).unwrap_or_default();
            let end = match memchr::memchr2(delimiter, b'\n', rest) {
                Some(end) => at + end,
                None if last => data.len(),
                None => return None,
            };
            let ends = data.get(end) != Some(&delimiter);
            let text = if ends { without_return(data, at, end) } else { end };
            cells.push(Cell { start: at, end: text, quoted: false, doubled: false });
            at = end + 1;
            if ends {
                return Some(Ok(at.min(data.len())));
            }
            continue;
        }
        let (close, doubled) = match closing(data, at + 1, last)? {
            Ok(closing) => closing,
            Err(what) => return broken(data, at, at, last, what),
        };
        cells.push(Cell { start: at + 1, end: close, quoted: true, doubled });
        at = close + 1;
        match (data.get(at), data.get(at + 1)) {
            (Some(b'\n'), _) => return Some(Ok(at + 1)),
            (Some(b'\r'), Some(b'\n')) => return Some(Ok(at + 2)),
            (Some(b'\r'), None) if !last => return None,
            (None, _) | (Some(b'\r'), None) => return Some(Ok(data.len())),
            (Some(byte), _) if *byte == delimiter => at += 1,
            _ => {
                let what =
                    "behind a closing quote, the cell goes on; write quotes within a cell twice";
                return broken(data, at, at, last, what);
            }
        }
    }
}

/// Where the quote closes, and whether quotes are doubled before it.
fn closing(data: &[u8], start: usize, last: bool) -> Option<Result<(usize, bool), &'static str>> {
    let limit = data.len().min(start + CELL_BYTES_MAX + 1);
    let (mut from, mut doubled) = (start, false);
    while let Some(at) = memchr::memchr(b'"', data.get(from..limit).unwrap_or_default()) {
        let at = from + at;
        match data.get(at + 1) {
            Some(b'"') => (from, doubled) = (at + 2, true),
            None if !last => return None,
            _ => return Some(Ok((at, doubled))),
        }
    }
    match (limit < data.len(), last) {
        (true, _) => Some(Err("the quote that opens here is not closed within 1 MiB")),
        (false, true) => Some(Err("the quote that opens here is not closed")),
        (false, false) => None,
    }
}

fn broken(
    data: &[u8],
    from: usize,
    at: usize,
    last: bool,
    what: &'static str,
) -> Option<Result<usize, Broken>> {
    let end = match memchr::memchr(b'\n', &data[from..]) {
        Some(end) => from + end + 1,
        None if last => data.len(),
        None => return None,
    };
    Some(Err(Broken { start: 0, end, at, what }))
}

/// The end of a text that perhaps has the first half of a line end of two bytes.
fn without_return(data: &[u8], start: usize, end: usize) -> usize {
    if end > start && data[end - 1] == b'\r' { end - 1 } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &str, last: bool) -> Vec<Result<Vec<String>, (usize, &'static str)>> {
        let mut out = Vec::new();
        let (mut from, mut cells) = (0, Vec::new());
        while from < data.len() {
            let rest = &data[from..];
            let Some(read) = record(rest.as_bytes(), b',', last, &mut cells) else { break };
            match read {
                Ok(end) => {
                    out.push(Ok(cells.iter().map(|cell| cell.text(rest).into_owned()).collect()));
                    from += end;
                }
                Err(broken) => {
                    out.push(Err((from + broken.at, broken.what)));
                    from += broken.end;
                }
            }
        }
        out
    }

    fn good(data: &str) -> Vec<Vec<String>> {
        read(data, true).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn cells() {
        for (data, expected) in [
            ("a,b\n", vec![vec!["a", "b"]]),
            ("a,b\r\nc,\r\n", vec![vec!["a", "b"], vec!["c", ""]]),
            ("a,b", vec![vec!["a", "b"]]),
            ("a,", vec![vec!["a", ""]]),
            ("\n", vec![vec![""]]),
            ("\"a\",\"b,c\"\n", vec![vec!["a", "b,c"]]),
            ("\"a\nb\",\"c\"\"d\"\r\ne,f\n", vec![vec!["a\nb", "c\"d"], vec!["e", "f"]]),
            ("\"\",x,\"\"", vec![vec!["", "x", ""]]),
            ("x,\"y\",", vec![vec!["x", "y", ""]]),
            ("5\" tube,x\n", vec![vec!["5\" tube", "x"]]),
            ("\"a\"\r", vec![vec!["a"]]),
            ("ü,\"ö\"\n", vec![vec!["ü", "ö"]]),
        ] {
            assert_eq!(good(data), expected, "{data:?}");
        }
    }

    #[test]
    fn a_broken_record_costs_a_line() {
        let goes_on = "behind a closing quote, the cell goes on; write quotes within a cell twice";
        assert_eq!(
            read("a,\"b\"c\nd,e\n", true),
            [Err((5, goes_on)), Ok(vec!["d".to_owned(), "e".to_owned()])]
        );
        let open = read("a,\"b\nd,e\n", true);
        assert_eq!(open[0], Err((2, "the quote that opens here is not closed")));
        assert_eq!(open[1], Ok(vec!["d".to_owned(), "e".to_owned()]));
        let long = format!("a,\"b\n{}", "c,d\n".repeat(CELL_BYTES_MAX / 4 + 1));
        let read = read(&long, false);
        assert_eq!(read[0], Err((2, "the quote that opens here is not closed within 1 MiB")));
        assert_eq!(read.len(), CELL_BYTES_MAX / 4 + 2);
    }

    /// In whatever pieces the data comes, the records are the same.
    #[test]
    fn what_is_whole() {
        let data = "a,\"b\n\"\"x\"\"\",c\r\n1,2\n\"q\"\r\nlast,\"one\"\n";
        let all = good(data);
        for size in 0..=data.len() {
            let end = whole(&data.as_bytes()[..size], b',', false);
            let mut records = good(&data[..end]);
            records.extend(good(&data[end..]));
            assert_eq!(records, all, "{size}");
        }
        assert_eq!(whole(b"a,b\nc", b',', true), 5);
        assert_eq!(whole(b"a,b\nc", b',', false), 4);
    }
}
