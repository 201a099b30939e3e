//! CSV into points: a header, RFC 4180's quotes, and columns whose kind their first cells show.
//!
//! The kind is a column's, not a cell's: 7 / 2 is 3 for integers and 3.5 for floats, and a column in
//! which both stand is one of floats throughout. It is read off the first chunk that has cells of that
//! column (a quarter of a megabyte, some thousands of records).

mod header;
mod points;

use std::borrow::Cow;

use headwater_plugin_api::batch::{Batch, Refused};
use headwater_plugin_api::csv::{self, Broken, Cell, Kind, Kinds, Record, Records};
use headwater_plugin_api::time::TimeFormat;

use header::{Column, Role};
use points::Points;

pub use header::Wishes;

/// Reads the chunks of one file.
pub struct Csv {
    measurement: String,
    delimiter: u8,
    wishes: Wishes,
    /// None before the header was read.
    columns: Vec<Column>,
    time_format: Option<TimeFormat>,
    /// The header stands at the beginning of the next chunk.
    at_start: bool,
    /// The columns that are tags.
    tags: Vec<usize>,
    /// Those whose kind nothing has shown.
    unknown: Vec<usize>,
    points: Points,
    cells: Vec<Cell>,
}

/// Who is told of records that are left out, and of what is odd.
pub trait Listener {
    /// Offset and length of a record in the chunk, the place of the fault, and what is wrong.
    fn refused(&mut self, record: (usize, usize), at: usize, message: &str);
    fn remark(&mut self, at: usize, message: &str);
}

impl Csv {
    /// For a file that is read from its start.
    pub fn new(measurement: String, delimiter: u8, wishes: Wishes) -> Csv {
        Csv {
            measurement,
            delimiter,
            wishes,
            columns: Vec::new(),
            time_format: None,
            at_start: true,
            tags: Vec::new(),
            unknown: Vec::new(),
            points: Points::default(),
            cells: Vec::new(),
        }
    }

    /// How much of the data is whole records.
    pub fn cut(&self, data: &[u8], last: bool) -> usize {
        let start = if self.at_start { csv::start(data) } else { 0 };
        match csv::whole(&data[start..], self.delimiter, last) {
            // What comes before the header is no record.
            0 if !last => 0,
            whole => start + whole,
        }
    }

    /// Another file, or the same one anew, follows.
    pub fn restart(&mut self) {
        self.at_start = true;
    }

    /// Whether the first bytes have the header and a record.
    pub fn can_look(&self, head: &[u8]) -> bool {
        let two = header::first_two(&head[csv::start(head)..], self.delimiter);
        two.is_some_and(|(_, second)| !second.is_empty())
    }

    /// Looks at the first bytes, which come again as the first chunk: whether the header was there.
    ///
    /// # Errors
    /// The header cannot be used, or the first time is none.
    pub fn look(&mut self, head: &[u8]) -> Result<bool, String> {
        let Some((first, second)) = header::first_two(&head[csv::start(head)..], self.delimiter)
        else {
            return Ok(false);
        };
        self.header(first)?;
        let mut records = Records::new(second, self.delimiter, true, &mut self.cells);
        if let Some(Ok(record)) = records.next()
            && record.cells.len() == self.columns.len()
            && let Some(at) = self.columns.iter().position(|column| column.role == Role::Time)
        {
            let cell = record.cells[at].text(record.text);
            if !cell.trim_ascii().is_empty() {
                self.time_format = Some(header::time_format(&self.wishes, cell.trim_ascii())?);
            }
        }
        Ok(true)
    }

    /// Whether there may be a column of that name: there is, or the header has not come.
    pub fn may_have(&self, name: &str) -> bool {
        self.columns.is_empty() || self.columns.iter().any(|column| column.name == name)
    }

    fn header(&mut self, record: &[u8]) -> Result<(), String> {
        let refused = |what: &str| format!("the header cannot be read: {what}");
        let text = std::str::from_utf8(record).map_err(|_| refused("it is not UTF-8"))?;
        if let Some(Err(broken)) = csv::record(record, self.delimiter, true, &mut self.cells) {
            return Err(refused(broken.what));
        }
        let before = std::mem::take(&mut self.columns);
        self.columns = header::columns(text, &self.cells, &self.wishes)?;
        // What a column of that name was, it stays.
        for column in &mut self.columns {
            if let Some(known) = before.iter().find(|known| known.name == column.name) {
                column.role = known.role;
            }
        }
        let columns = self.columns.iter().enumerate();
        let is_tag = |(at, column): (usize, &Column)| (column.role == Role::Tag).then_some(at);
        self.tags = columns.filter_map(is_tag).collect();
        self.find_unknown();
        self.points.restart();
        Ok(())
    }

    /// The points of a chunk of whole records.
    ///
    /// # Errors
    /// The header cannot be used.
    pub fn parse(
        &mut self,
        chunk: &[u8],
        now_ns: i64,
        listener: &mut dyn Listener,
    ) -> Result<Vec<Batch>, String> {
        let mut from = 0;
        if self.at_start {
            from = csv::start(chunk);
            if from == chunk.len() {
                return Ok(Vec::new());
            }
            let read = csv::record(&chunk[from..], self.delimiter, true, &mut self.cells);
            let end = read.map_or(0, |read| read.unwrap_or_else(|broken| broken.end));
            self.header(&chunk[from..from + end])?;
            from += end;
            self.at_start = false;
        }
        let mut batches = Vec::new();
        let mut cells = std::mem::take(&mut self.cells);
        let mut records = Records::new(&chunk[from..], self.delimiter, true, &mut cells);
        let mut looked = self.unknown.is_empty();
        while let Some(read) = records.next() {
            let fault = match read {
                Ok(record) => {
                    let start = from + record.at;
                    // A column that is empty throughout costs no look at each chunk.
                    if !looked && self.shows_more(&record) {
                        self.kinds(&chunk[start..]);
                        looked = true;
                    }
                    self.point(&record, now_ns, &mut |at, what| listener.remark(start + at, what))
                        .map_err(|fault| (start, record.text.len(), start + fault.at, fault.what))
                }
                Err(Broken { start, end, at, what }) => {
                    Err((from + start, end - start, from + at, Cow::Borrowed(what)))
                }
            };
            if let Err((start, len, at, what)) = fault {
                listener.refused((start, len), at, &what);
            }
            if self.points.is_full() {
                batches.extend(self.points.batch());
            }
        }
        self.cells = cells;
        batches.extend(self.points.batch());
        Ok(batches)
    }

    /// Whether a column without a kind has a cell here that is not blank.
    fn shows_more(&self, record: &Record<'_, '_>) -> bool {
        let is_there = |cell: &Cell| !record.raw(cell).trim_ascii().is_empty();
        self.unknown.iter().any(|at| record.cells.get(*at).is_some_and(is_there))
    }

    /// Takes the kinds of columns that have none yet from the cells of a chunk, or of the rest of one.
    fn kinds(&mut self, chunk: &[u8]) {
        let unknown = std::mem::take(&mut self.unknown);
        let mut kinds = vec![Kinds::default(); unknown.len()];
        let mut records = Records::new(chunk, self.delimiter, true, &mut self.cells);
        while let Some(read) = records.next() {
            if let Ok(record) = read
                && record.cells.len() == self.columns.len()
            {
                for (at, known) in unknown.iter().zip(&mut kinds) {
                    known.see(record.raw(&record.cells[*at]));
                }
            }
        }
        for (at, found) in unknown.into_iter().zip(kinds) {
            self.columns[at].role = Role::Field { kind: found.kind(), given: false };
        }
        self.find_unknown();
    }

    fn find_unknown(&mut self) {
        self.unknown = self.columns.iter().enumerate().filter_map(is_unknown).collect();
    }

    /// Adds the point of a record.
    fn point(
        &mut self,
        record: &Record<'_, '_>,
        now_ns: i64,
        remark: &mut dyn FnMut(usize, &str),
    ) -> Result<(), Fault> {
        let Record { text, cells, .. } = *record;
        if cells.len() != self.columns.len() {
            let (there, wanted) = (cells.len(), self.columns.len());
            let at = cells.get(wanted).or(cells.last()).map_or(0, |cell| cell.start);
            return Err(Fault::new(at, csv::wrong_count(there, wanted)));
        }
        let mut time_ns = now_ns;
        self.points.begin();
        for (at, (column, cell)) in self.columns.iter_mut().zip(cells).enumerate() {
            let doubled;
            let text = match cell.doubled {
                true => {
                    doubled = cell.text(text);
                    doubled.as_ref()
                }
                false => record.raw(cell),
            };
            match &mut column.role {
                Role::Time => {
                    time_ns = time(&mut self.time_format, &self.wishes, text, now_ns)
                        .map_err(|what| Fault::new(cell.start, what))?;
                }
                Role::Tag => self.points.tag(text),
                Role::Field { kind, given } => {
                    let known = kind.unwrap_or(Kind::Text);
                    let value = match known.read(text, cell.quoted) {
                        Ok(value) => value,
                        // Nothing is lost, and whoever divides should know.
                        Err(_) if known == Kind::Integer && !*given && is_float(text) => {
                            *kind = Some(Kind::Float);
                            let name = &column.name;
                            let what = format!(
                                "{name} had integers alone so far, and is read as float from here \
                                 on; --types {name}=float reads all of it so"
                            );
                            remark(cell.start, &what);
                            Kind::Float
                                .read(text, cell.quoted)
                                .map_err(|_| misfit(cell, &column.name, known))?
                        }
                        Err(_) => return Err(misfit(cell, &column.name, known)),
                    };
                    if let Some(value) = value {
                        self.points.field(at, value);
                    }
                }
            }
        }
        if !self.points.has_fields() {
            return match cells.iter().all(|cell| cell.start == cell.end) {
                true => Ok(()),
                false => Err(Fault::new(0, Refused::NoFields.to_string())),
            };
        }
        let name = |at: usize| self.columns[at].name.as_str();
        let added = self.points.finish(&self.measurement, &self.tags, name, time_ns);
        added.map_err(|refused| Fault::new(0, refused.to_string()))
    }
}

/// Why a record is left out.
struct Fault {
    at: usize,
    what: Cow<'static, str>,
}

impl Fault {
    fn new(at: usize, what: impl Into<Cow<'static, str>>) -> Fault {
        Fault { at, what: what.into() }
    }
}

fn is_unknown((at, column): (usize, &Column)) -> Option<usize> {
    matches!(column.role, Role::Field { kind: None, .. }).then_some(at)
}

fn is_float(text: &str) -> bool {
    Kind::of(text) == Some(Kind::Float)
}

fn misfit(cell: &Cell, name: &str, kind: Kind) -> Fault {
    let kind = kind.name();
    let what = format!(
        "{name} is a column of kind {kind}, and this is none; --types {name}=text takes it"
    );
    Fault::new(cell.start, what)
}

fn time(
    format: &mut Option<TimeFormat>,
    wishes: &Wishes,
    text: &str,
    now_ns: i64,
) -> Result<i64, String> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err("the time is empty".into());
    }
    let format = match format {
        Some(format) => format,
        None => format.insert(header::time_format(wishes, text)?),
    };
    format.read(text, true, now_ns).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
