//! Records one behind the other.

use super::scan::{self, Broken, Cell};

/// The records of some data. Empty lines are none.
#[derive(Debug)]
pub struct Records<'d, 'c> {
    data: &'d [u8],
    /// The data, if all of it is UTF-8: then no record is looked at for that.
    text: Option<&'d str>,
    delimiter: u8,
    last: bool,
    /// There is a quote somewhere.
    quotes: bool,
    from: usize,
    cells: &'c mut Vec<Cell>,
}

/// A record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'d, 'r> {
    /// Where it begins in the data.
    pub at: usize,
    /// With its line end.
    pub text: &'d str,
    /// Their places count from the beginning of the text.
    pub cells: &'r [Cell],
}

impl<'d> Record<'d, '_> {
    /// The text of a cell as it stands there; that of a cell with doubled quotes is [`Cell::text`].
    #[inline]
    pub fn raw(&self, cell: &Cell) -> &'d str {
        self.text.get(cell.start..cell.end).unwrap_or_default()
    }
}

impl<'d, 'c> Records<'d, 'c> {
    /// The records of data that begins with one. If it is the `last` there is, its last record may be without a line
    /// end; else a record at its end that is not whole is left. `cells` is room that is used again for each record.
    pub fn new(data: &'d [u8], delimiter: u8, last: bool, cells: &'c mut Vec<Cell>) -> Self {
        let text = match std::str::from_utf8(data) {
            Ok(text) => Some(text),
            // A character at the end that is not whole is in a record that is not.
            Err(error) if !last && error.error_len().is_none() => {
                std::str::from_utf8(&data[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        let quotes = memchr::memchr(b'"', data).is_some();
        Records { data, text, delimiter, last, quotes, from: 0, cells }
    }

    /// How much of the data was read.
    pub fn position(&self) -> usize {
        self.from
    }

    /// The next record, or what is wrong with it: the places of [`Broken`] count from the beginning of the data. What
    /// comes after it is what follows the record, or the line on which a broken one begins.
    #[allow(clippy::should_implement_trait)] // Each record lends the cells.
    pub fn next(&mut self) -> Option<Result<Record<'d, '_>, Broken>> {
        loop {
            let at = self.from;
            if at >= self.data.len() {
                return None;
            }
            let rest = &self.data[at..];
            let read = match self.quotes {
                false => Ok(scan::unquoted(rest, self.delimiter, self.last, self.cells)?),
                true => scan::record(rest, self.delimiter, self.last, self.cells)?,
            };
            let end = match read {
                Ok(end) => at + end.max(1),
                Err(Broken { start, end, at: place, what }) => {
                    self.from = at + end.max(1);
                    let (start, end) = (at + start, self.from);
                    return Some(Err(Broken { start, end, at: at + place, what }));
                }
            };
            self.from = end;
            if let [only] = self.cells.as_slice()
                && only.start == only.end
                && !only.quoted
            {
                continue;
            }
            let text = match self.text {
                Some(text) => text.get(at..end).unwrap_or_default(),
                None => match std::str::from_utf8(&self.data[at..end]) {
                    Ok(text) => text,
                    Err(error) => {
                        let place = at + error.valid_up_to();
                        return Some(Err(Broken { start: at, end, at: place, what: NOT_UTF8 }));
                    }
                },
            };
            return Some(Ok(Record { at, text, cells: self.cells }));
        }
    }
}

const NOT_UTF8: &str = "it is not UTF-8; save the file as UTF-8";
