//! Reads a table from CSV or JSON.

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::data::{Column, NO_ROW, Table, Texts, Values};
use crate::vector::Bits;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A line with the columns' names, then a line a row; the byte stands between cells.
    Csv(u8),
    /// An array of objects, or one object behind the other.
    Json,
}

/// The kinds of a column's values: a bit for each that was met.
mod met {
    pub const INT: u8 = 1;
    pub const FLOAT: u8 = 2;
    pub const BOOL: u8 = 4;
    pub const TEXT: u8 = 8;
}

/// A column under construction.
#[derive(Default)]
struct Building {
    name: String,
    texts: Texts,
    is_there: Vec<bool>,
    met: u8,
}

impl Building {
    fn named(name: &str) -> Self {
        Building { name: name.to_owned(), ..Building::default() }
    }

    fn push(&mut self, value: Option<(&str, u8)>) {
        let (text, kind) = value.unwrap_or_default();
        self.met |= kind;
        self.texts.push(text);
        self.is_there.push(value.is_some());
    }

    /// The column. Where kinds are mixed it is text.
    fn finish(self, is_key: bool) -> Column {
        let Building { name, texts, is_there, met } = self;
        let rows = 0..texts.len();
        let values = match met {
            met::INT => Values::Int(rows.map(|row| texts.get(row).parse().unwrap_or(0)).collect()),
            met::FLOAT | 3 => {
                Values::Float(rows.map(|row| texts.get(row).parse().unwrap_or(0.0)).collect())
            }
            met::BOOL => {
                Values::Bool(rows.map(|row| texts.get(row).eq_ignore_ascii_case("true")).collect())
            }
            _ => Values::Text,
        };
        let valid = is_there.contains(&false);
        let valid = valid.then(|| Bits::of(is_there.len(), |row| is_there[row]));
        let mut column = Column { name, values, texts, valid };
        column.pack(is_key);
        column
    }
}

/// What kind the text of a cell is of. Digits behind a zero are no number: they would not come back.
fn kind_of(text: &str) -> u8 {
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return met::BOOL;
    }
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let is_number = match digits {
        [b'0', second, ..] => !second.is_ascii_digit(),
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    };
    if !is_number {
        return met::TEXT;
    }
    let is_whole = digits.iter().all(u8::is_ascii_digit);
    match is_whole {
        true if text.parse::<i64>().is_ok() => met::INT,
        false if text.parse::<f64>().is_ok_and(f64::is_finite) => met::FLOAT,
        _ => met::TEXT,
    }
}

/// Reads a table; `keys` are the columns whose texts are needed.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn read(bytes: &[u8], format: Format, keys: &[&str]) -> Result<Table, String> {
    let (columns, rows) = match format {
        Format::Csv(separator) => csv(bytes, separator)?,
        Format::Json => json(bytes)?,
    };
    let finish = |column: Building| {
        let is_key = keys.contains(&column.name.as_str());
        column.finish(is_key)
    };
    Ok(Table::new(columns.into_iter().map(finish).collect(), rows))
}

fn too_many(rows: usize) -> Result<(), String> {
    const MAX: usize = NO_ROW as usize - 2;
    match rows < MAX {
        true => Ok(()),
        false => Err(format!("there are more than {MAX} rows")),
    }
}

fn csv(bytes: &[u8], separator: u8) -> Result<(Vec<Building>, usize), String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(bytes);
    let headers = reader.headers().map_err(|error| told(&error))?;
    let mut columns: Vec<Building> = Vec::with_capacity(headers.len());
    for (at, name) in headers.iter().enumerate() {
        let name = name.trim();
        if name.is_empty() {
            return Err(format!("line 1: column {} has no name", at + 1));
        }
        if columns.iter().any(|known| known.name == name) {
            return Err(format!("line 1: two columns are called `{name}`"));
        }
        columns.push(Building::named(name));
    }
    if columns.is_empty() {
        return Err("it is empty; expected a line with the names of the columns".to_owned());
    }
    let (mut record, mut rows) = (csv::StringRecord::new(), 0);
    while reader.read_record(&mut record).map_err(|error| told(&error))? {
        if record.len() != columns.len() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(format!(
                "line {line} has {} cells, expected {}, as many as line 1 has names",
                record.len(),
                columns.len()
            ));
        }
        too_many(rows)?;
        rows += 1;
        for (column, cell) in columns.iter_mut().zip(&record) {
            column.push((!cell.is_empty()).then(|| (cell, kind_of(cell))));
        }
    }
    Ok((columns, rows))
}

fn told(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            format!("line {line} is not UTF-8")
        }
        _ => error.to_string(),
    }
}

/// Rows of objects, as columns.
#[derive(Default)]
struct Objects {
    columns: Vec<Building>,
    rows: usize,
}

impl Objects {
    fn push(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        too_many(self.rows)?;
        let row = self.rows + 1;
        for name in object.keys() {
            if !self.columns.iter().any(|column| column.name == *name) {
                let mut column = Building::named(name);
                (0..self.rows).for_each(|_| column.push(None));
                self.columns.push(column);
            }
        }
        for column in &mut self.columns {
            let printed;
            let value = match object.get(&column.name) {
                None | Some(Value::Null) => None,
                Some(Value::String(text)) => Some((text.as_str(), met::TEXT)),
                Some(Value::Bool(true)) => Some(("true", met::BOOL)),
                Some(Value::Bool(false)) => Some(("false", met::BOOL)),
                Some(Value::Number(number)) => {
                    printed = number.to_string();
                    let kind = if number.is_i64() { met::INT } else { met::FLOAT };
                    Some((printed.as_str(), kind))
                }
                Some(Value::Array(_) | Value::Object(_)) => {
                    return Err(format!(
                        "row {row}: `{}` is an array or an object; expected text, a number, true, false or null",
                        column.name
                    ));
                }
            };
            let kinds = column.met | value.map_or(0, |(_, kind)| kind);
            if !matches!(kinds, 0..=4 | met::TEXT) {
                return Err(format!(
                    "row {row}: `{}` is of another kind than in the rows before it",
                    column.name
                ));
            }
            column.push(value);
        }
        self.rows += 1;
        Ok(())
    }
}

/// Takes the objects of an array one by one.
struct Each<'o>(&'o mut Objects);

impl<'de> DeserializeSeed<'de> for Each<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Each<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(object) = list.next_element::<Map<String, Value>>()? {
            self.0.push(&object).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

fn json(bytes: &[u8]) -> Result<(Vec<Building>, usize), String> {
    let mut objects = Objects::default();
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut from = serde_json::Deserializer::from_slice(bytes);
    if first == Some(&b'[') {
        let read = Each(&mut objects).deserialize(&mut from).and_then(|()| from.end());
        read.map_err(|error| error.to_string())?;
    } else {
        for object in from.into_iter::<Map<String, Value>>() {
            objects.push(&object.map_err(|error| error.to_string())?)?;
        }
    }
    Ok((objects.columns, objects.rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::Data;

    fn shown(table: &Table, column: &str) -> String {
        let rows: Vec<u32> = (0..table.len() as u32).collect();
        let vector = table.gather(table.column(column).unwrap(), &rows);
        let valid = vector.validity(rows.len());
        let is_there = |row: usize| valid.as_ref().is_none_or(|valid| valid.get(row));
        let text = |row: usize| match &vector.data {
            Data::Text(list) => format!("'{}'", list[row]),
            Data::Int { values, .. } => format!("{}i", values[row]),
            Data::Float(list) => format!("{}", list[row]),
            Data::Bool(bits) => format!("{}", bits.get(row)),
            _ => "NULL".to_owned(),
        };
        let shown = |row| if is_there(row) { text(row) } else { "NULL".to_owned() };
        (0..rows.len()).map(shown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn cells_of_csv_are_what_they_look_like() {
        let text = "\u{feff}name, n,x,ok,id,mixed,none\n\
                    a,1,1.5,true,007,1,\n\
                    \"b, c\",-2,3,FALSE,010,x,\r\n\
                    ,,,,,,\n";
        let table = read(text.as_bytes(), Format::Csv(b','), &[]).unwrap();
        assert_eq!(table.len(), 3);
        assert_eq!(shown(&table, "name"), "'a' 'b, c' NULL");
        assert_eq!(shown(&table, "n"), "1i -2i NULL");
        assert_eq!(shown(&table, "x"), "1.5 3 NULL");
        assert_eq!(shown(&table, "ok"), "true false NULL");
        assert_eq!(shown(&table, "id"), "'007' '010' NULL");
        assert_eq!(shown(&table, "mixed"), "'1' 'x' NULL");
        assert_eq!(shown(&table, "none"), "NULL NULL NULL");
    }

    #[test]
    fn objects_of_json_are_rows() {
        for text in [
            r#"[{"n":1,"t":"x"},{"n":2.5,"b":true},{"t":null}]"#,
            "{\"n\":1,\"t\":\"x\"}\n{\"n\":2.5,\"b\":true}\n{\"t\":null}\n",
        ] {
            let table = read(text.as_bytes(), Format::Json, &[]).unwrap();
            assert_eq!(shown(&table, "n"), "1 2.5 NULL");
            assert_eq!(shown(&table, "t"), "'x' NULL NULL");
            assert_eq!(shown(&table, "b"), "NULL true NULL");
        }
    }

    #[test]
    fn what_is_no_table_is_told_with_its_place() {
        let csv = |text: &str| read(text.as_bytes(), Format::Csv(b';'), &[]).unwrap_err();
        assert!(csv("").contains("it is empty"), "{}", csv(""));
        assert_eq!(csv("a;a\n"), "line 1: two columns are called `a`");
        assert_eq!(csv("a; \n"), "line 1: column 2 has no name");
        assert_eq!(
            csv("a;b\n1;2\n1\n"),
            "line 3 has 1 cells, expected 2, as many as line 1 has names"
        );
        let bytes = b"a\nx\n\xff\n";
        assert_eq!(read(bytes, Format::Csv(b','), &[]).unwrap_err(), "line 3 is not UTF-8");
        let json = |text: &str| read(text.as_bytes(), Format::Json, &[]).unwrap_err();
        assert!(json(r#"[{"a":1},{"a":[]}]"#).starts_with("row 2: `a` is an array or an object"));
        assert!(json(r#"[{"a":1},{"a":"x"}]"#).starts_with("row 2: `a` is of another kind"));
        assert!(json(r#"[{"a":1}"#).contains("line 1 column 8"), "{}", json(r#"[{"a":1}"#));
        assert!(json("[1]").contains("invalid type"), "{}", json("[1]"));
        assert!(json("{\"a\":1}\n{a").contains("line 2 column 2"), "{}", json("{\"a\":1}\n{a"));
    }
}
