//! Reads a table from CSV, in two passes: the first shows what the columns are and how long, the second fills them.
//!
//! So there is nothing beside the table but a piece of the file, no cell is held twice, and no list has to grow.

use std::io::{ErrorKind, Read, Seek};

use headwater_plugin_api::batch::Value;
use headwater_plugin_api::csv::{self, Cell, Kind, Kinds, Record, Records};

use super::data::{Column, Table, Texts, Values};
use super::read::{fits, too_many};
use crate::vector::Bits;

/// Bytes that one read asks for.
const READ_BYTES: usize = 256 << 10;
/// Bytes that a record may have.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// A column as the first pass saw it.
struct Seen {
    name: String,
    kinds: Kinds,
    /// Bytes of its cells.
    bytes: usize,
}

/// A column under construction.
struct Building {
    name: String,
    kind: Kind,
    values: Values,
    texts: Texts,
    keeps_texts: bool,
    valid: Option<Bits>,
}

/// Reads a table; `keys` are the columns whose texts are needed.
///
/// # Errors
/// What is wrong with the file, and where: one record that is broken is enough.
pub fn read<R: Read + Seek>(
    file: &mut R,
    bytes_max: u64,
    separator: Option<u8>,
    keys: &[&str],
) -> Result<Table, String> {
    let (mut seen, mut rows) = (Vec::new(), 0);
    each_record(file, bytes_max, separator, |record| {
        if seen.is_empty() {
            let names = csv::names(record.text, record.cells)?.into_iter();
            seen = names.map(|name| Seen { name, kinds: Kinds::default(), bytes: 0 }).collect();
            return Ok(());
        }
        if record.cells.len() != seen.len() {
            return Err(wrong_count(record.cells.len(), seen.len()));
        }
        too_many(rows)?;
        rows += 1;
        for (column, cell) in seen.iter_mut().zip(record.cells) {
            column.bytes += cell.end - cell.start;
            column.kinds.see(record.raw(cell));
        }
        Ok(())
    })?;
    if seen.is_empty() {
        return Err("it is empty; expected a line with the names of the columns".to_owned());
    }
    let building = |seen: Seen| {
        let keeps_texts = keys.contains(&seen.name.as_str());
        Building::new(seen, rows, keeps_texts)
    };
    let mut columns: Vec<Building> = seen.into_iter().map(building).collect();
    file.rewind().map_err(|error| error.to_string())?;
    let (mut is_header, mut row) = (true, 0);
    each_record(file, bytes_max, separator, |record| {
        if std::mem::take(&mut is_header) {
            return Ok(());
        }
        if record.cells.len() != columns.len() || row >= rows {
            return Err(CHANGED.to_owned());
        }
        for (column, cell) in columns.iter_mut().zip(record.cells) {
            column.push(row, rows, record, cell)?;
        }
        row += 1;
        Ok(())
    })?;
    if row < rows {
        return Err(CHANGED.to_owned());
    }
    Ok(Table::new(columns.into_iter().map(Building::finish).collect(), rows))
}

const CHANGED: &str = "it changed while it was read; put a new file in its place with a rename";

fn wrong_count(there: usize, wanted: usize) -> String {
    let remedy = match there < wanted {
        true => "an empty cell has its separator too",
        false => "put quotes around a cell in which the separator stands",
    };
    format!("{}; {remedy}", csv::wrong_count(there, wanted))
}

impl Building {
    fn new(seen: Seen, rows: usize, keeps_texts: bool) -> Self {
        let kind = seen.kinds.kind().unwrap_or(Kind::Text);
        let values = match kind {
            Kind::Integer => Values::Int(Vec::with_capacity(rows)),
            Kind::Float => Values::Float(Vec::with_capacity(rows)),
            Kind::Boolean => Values::Bool(Vec::with_capacity(rows)),
            Kind::Text => Values::Text,
        };
        let texts = match kind == Kind::Text || keeps_texts {
            true => Texts::with_capacity(rows, seen.bytes),
            false => Texts::default(),
        };
        Building { name: seen.name, kind, values, texts, keeps_texts, valid: None }
    }

    #[inline]
    fn push(
        &mut self,
        row: usize,
        rows: usize,
        record: &Record<'_, '_>,
        cell: &Cell,
    ) -> Result<(), String> {
        let text = record.raw(cell);
        if self.kind == Kind::Text {
            if text.is_empty() && !cell.quoted {
                self.set_null(row, rows);
            }
            match cell.doubled {
                true => self.texts.push(&cell.text(record.text)),
                false => self.texts.push(text),
            }
            return Ok(());
        }
        if self.keeps_texts {
            self.texts.push(text.trim_ascii());
        }
        let value = self.kind.read(text, cell.quoted).map_err(|_| CHANGED)?;
        match (&mut self.values, value) {
            (Values::Int(list), Some(Value::I64(value))) => list.push(value),
            (Values::Float(list), Some(Value::F64(value))) => list.push(value),
            (Values::Bool(list), Some(Value::Bool(value))) => list.push(value),
            (_, value) => self.push_rare(row, rows, value),
        }
        Ok(())
    }

    /// NULL, or an integer of a column with large ones.
    fn push_rare(&mut self, row: usize, rows: usize, value: Option<Value<'_>>) {
        if value.is_none() {
            self.set_null(row, rows);
        }
        match &mut self.values {
            Values::Float(list) => list.push(0.0),
            Values::Bool(list) => list.push(false),
            integers => {
                let value = match value {
                    Some(Value::I64(value)) => value.into(),
                    Some(Value::U64(value)) => value.into(),
                    _ => 0,
                };
                *integers = std::mem::replace(integers, Values::Text).with_integer(value);
            }
        }
    }

    fn set_null(&mut self, row: usize, rows: usize) {
        self.valid.get_or_insert_with(|| Bits::new(rows, true)).clear(row);
    }

    fn finish(self) -> Column {
        let Building { name, values, texts, valid, keeps_texts: is_key, .. } = self;
        let mut column = Column { name, values, texts, valid };
        column.pack(is_key);
        column
    }
}

/// Reads all records, the header first.
///
/// # Errors
/// The file cannot be read, is too large or is broken, or `take` refuses a record: with the line.
fn each_record(
    file: &mut (impl Read + Seek),
    bytes_max: u64,
    separator: Option<u8>,
    mut take: impl FnMut(&Record<'_, '_>) -> Result<(), String>,
) -> Result<(), String> {
    let (mut buffer, mut cells) = (vec![0; READ_BYTES], Vec::new());
    let (mut len, mut total, mut is_last) = (0, 0, false);
    let mut delimiter = None;
    while !is_last {
        if len == buffer.len() {
            buffer.resize(len * 2, 0);
        }
        match file.read(&mut buffer[len..]) {
            Ok(read) => {
                is_last = read == 0;
                len += read;
                total += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.to_string()),
        }
        fits(total, bytes_max)?;
        let start = if delimiter.is_none() { csv::start(&buffer[..len]) } else { 0 };
        let data = &buffer[start..len];
        let between = delimiter.or(separator).or_else(|| csv::delimiter(data)).unwrap_or(b',');
        // What the header shows counts when all of it is there.
        if delimiter.is_none() && csv::record(data, between, is_last, &mut cells).is_some() {
            delimiter = Some(between);
        }
        let mut records = Records::new(data, between, is_last, &mut cells);
        while let Some(read) = records.next() {
            let taken = match &read {
                Ok(record) => take(record).map_err(|what| (record.at, what)),
                Err(broken) => Err((broken.at, broken.what.to_owned())),
            };
            if let Err((at, what)) = taken {
                let before = total - (len - start - at) as u64;
                return Err(format!("{}: {what}", line(file, before)));
            }
        }
        let done = start + records.position();
        buffer.copy_within(done..len, 0);
        len -= done;
        if len > RECORD_BYTES_MAX {
            let line = line(file, total - len as u64);
            return Err(format!(
                "{line}: it has no end within {RECORD_BYTES_MAX} bytes; is this CSV?"
            ));
        }
    }
    Ok(())
}

/// The line behind so many bytes of the file, which are read again for that: lines are counted for nobody else.
fn line(file: &mut (impl Read + Seek), before: u64) -> String {
    let mut buffer = vec![0; READ_BYTES];
    let (mut line, mut left) = (1, before);
    if file.rewind().is_err() {
        return "somewhere".to_owned();
    }
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match file.read(&mut buffer[..most]) {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                line += buffer[..read].iter().filter(|byte| **byte == b'\n').count();
                left -= read as u64;
            }
        }
    }
    format!("line {line}")
}
