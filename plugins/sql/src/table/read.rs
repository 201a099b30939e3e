//! Reads a table from a file.

use std::io::{Read, Seek};

use super::data::{NO_ROW, Table};
use super::{csv, json};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A line with the columns' names, then a line a row; the byte stands between cells, which the first line shows if
    /// nothing is said.
    Csv(Option<u8>),
    /// An array of objects, or one object behind the other.
    Json,
}

/// Reads a table of so many bytes at most; `keys` are the columns whose texts are needed.
///
/// # Errors
/// What is wrong with the file, and where.
pub fn read(
    mut file: impl Read + Seek,
    bytes_max: u64,
    format: Format,
    keys: &[&str],
) -> Result<Table, String> {
    if let Format::Csv(separator) = format {
        return csv::read(&mut file, bytes_max, separator, keys);
    }
    let mut bytes = Vec::new();
    let most = bytes_max.saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    fits(bytes.len() as u64, bytes_max)?;
    json::read(&bytes, keys)
}

/// # Errors
/// There are more bytes than there may be.
pub fn fits(bytes: u64, bytes_max: u64) -> Result<(), String> {
    match bytes <= bytes_max {
        true => Ok(()),
        false => Err(format!("it has more than {bytes_max} bytes; if that is meant, set max_size")),
    }
}

/// # Errors
/// There are so many rows that there may be no further one.
pub fn too_many(rows: usize) -> Result<(), String> {
    const MAX: usize = NO_ROW as usize - 2;
    match rows < MAX {
        true => Ok(()),
        false => Err(format!("there are more than {MAX} rows")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::vector::Data;

    fn read(bytes: &[u8], format: Format, keys: &[&str]) -> Result<Table, String> {
        super::read(Cursor::new(bytes), 1 << 30, format, keys)
    }

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
        let table = read(text.as_bytes(), Format::Csv(Some(b',')), &[]).unwrap();
        assert_eq!(table.len(), 3);
        assert_eq!(shown(&table, "name"), "'a' 'b, c' NULL");
        assert_eq!(shown(&table, "n"), "1i -2i NULL");
        assert_eq!(shown(&table, "x"), "1.5 3 NULL");
        assert_eq!(shown(&table, "ok"), "true false NULL");
        assert_eq!(shown(&table, "id"), "'007' '010' NULL");
        assert_eq!(shown(&table, "mixed"), "'1' 'x' NULL");
        assert_eq!(shown(&table, "none"), "NULL NULL NULL");
    }

    /// What the other reader of CSV makes of them is told by the tests of `csv` in the plugins' interface; here is what
    /// keys are.
    #[test]
    fn keys_are_what_stands_in_the_file() {
        let text = "code;n;text;id\n007; 1; a;1.50\n\n08;\"2\"; \"\"b;2\n;;\"\";NaN\n1;3;x;18446744073709551615\n";
        let table = read(text.as_bytes(), Format::Csv(None), &["code", "n", "text", "id"]).unwrap();
        let texts = |name: &str| {
            let column = table.column(name).unwrap();
            (0..table.len()).map(|row| table.text(column, row)).collect::<Vec<_>>()
        };
        assert_eq!(texts("code"), ["007", "08", "", "1"]);
        assert_eq!(shown(&table, "code"), "'007' '08' NULL '1'");
        assert_eq!(texts("n"), ["1", "2", "", "3"]);
        assert_eq!(shown(&table, "n"), "1i 2i NULL 3i");
        assert_eq!(texts("text"), [" a", " \"\"b", "", "x"]);
        assert_eq!(shown(&table, "text"), "' a' ' \"\"b' '' 'x'");
        assert_eq!(texts("id"), ["1.50", "2", "", "18446744073709551615"]);
        assert_eq!(shown(&table, "id"), "1.5 2 NULL 18446744073709552000");
    }

    #[test]
    fn large_integers_stay_whole() {
        for (format, text) in [
            (Format::Csv(None), "n\n-1\n18446744073709551615\nNaN\n9223372036854775807\n"),
            (Format::Json, "{\"n\":-1}{\"n\":18446744073709551615}{}{\"n\":9223372036854775807}"),
        ] {
            let table = read(text.as_bytes(), format, &[]).unwrap();
            let expected = "-1i 18446744073709551615i NULL 9223372036854775807i";
            assert_eq!(shown(&table, "n"), expected);
        }
    }

    /// A file as it comes from a disk: in whatever pieces, a table is the same.
    #[test]
    fn pieces_do_not_matter() {
        struct Slow(Cursor<Vec<u8>>, usize);
        impl Read for Slow {
            fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
                let most = room.len().min(self.1);
                self.0.read(&mut room[..most])
            }
        }
        impl Seek for Slow {
            fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
                self.0.seek(to)
            }
        }
        let text = "\u{feff}\r\n\"a\n,,,\";\"b\"\r\n1;\"ä\r\n\"\"x\"\r\n\r\n2.5;ü\n;\"\"";
        for size in 1..text.len() {
            let file = Slow(Cursor::new(text.into()), size);
            let table = super::read(file, 1 << 30, Format::Csv(None), &[]).unwrap();
            assert_eq!(shown(&table, "a\n,,,"), "1 2.5 NULL", "{size}");
            assert_eq!(shown(&table, "b"), "'ä\r\n\"x' 'ü' ''", "{size}");
        }
        let file = Slow(Cursor::new(text.into()), 7);
        let error = super::read(file, text.len() as u64 - 1, Format::Csv(None), &[]).unwrap_err();
        assert!(error.contains("if that is meant, set max_size"), "{error}");
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
        let csv = |text: &str| read(text.as_bytes(), Format::Csv(Some(b';')), &[]).unwrap_err();
        assert!(csv("").contains("it is empty"), "{}", csv(""));
        assert_eq!(csv("a;a\n"), "line 1: columns 1 and 2 are both called \"a\"");
        assert_eq!(csv("a; \n"), "line 1: column 2 has no name in the header");
        assert_eq!(
            csv("a;b\n1;2\n\n1\n"),
            "line 4: 1 cell, and the header names 2; an empty cell has its separator too"
        );
        assert_eq!(
            csv("a;b\n\"1\n2\";3\n1;2;3\n"),
            "line 4: 3 cells, and the header names 2; put quotes around a cell in which the \
             separator stands"
        );
        assert_eq!(csv("a\n\"x\n"), "line 2: the quote that opens here is not closed");
        assert_eq!(
            csv("a\n\"x\" y\n"),
            "line 2: behind a closing quote, the cell goes on; write quotes within a cell twice"
        );
        let bytes = b"a\nx\n\xff\n";
        assert_eq!(
            read(bytes, Format::Csv(Some(b',')), &[]).unwrap_err(),
            "line 3: it is not UTF-8; save the file as UTF-8"
        );
        let json = |text: &str| read(text.as_bytes(), Format::Json, &[]).unwrap_err();
        assert!(json(r#"[{"a":1},{"a":[]}]"#).starts_with("row 2: `a` is an array or an object"));
        assert!(json(r#"[{"a":1},{"a":"x"}]"#).starts_with("row 2: `a` is of another kind"));
        assert!(json(r#"[{"a":1}"#).contains("line 1 column 8"), "{}", json(r#"[{"a":1}"#));
        assert!(json("[1]").contains("invalid type"), "{}", json("[1]"));
        assert!(json("{\"a\":1}\n{a").contains("line 2 column 2"), "{}", json("{\"a\":1}\n{a"));
    }
}
