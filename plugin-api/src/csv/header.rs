//! The header: where it begins, what separates cells, and what the columns are called.

use std::collections::HashMap;

use super::scan::Cell;

/// What some programs put at the beginning of UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// What separates cells; of those that a header has equally often, the first.
const DELIMITERS: &[u8] = b",;\t|";

/// Bytes before the header: a byte order mark, and empty lines.
pub fn start(data: &[u8]) -> usize {
    let mut rest = data.strip_prefix(MARK).unwrap_or(data);
    while let Some(behind) = rest.strip_prefix(b"\n").or(rest.strip_prefix(b"\r\n")) {
        rest = behind;
    }
    data.len() - rest.len()
}

/// The byte that separates cells, by the header: a comma, a semicolon, a tab or a bar, whichever it has most of outside
/// quotes. None if it has none of them, as in a file of one column.
pub fn delimiter(header: &[u8]) -> Option<u8> {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in header {
        quoted ^= *byte == b'"';
        if *byte == b'\n' && !quoted {
            break;
        }
        if let Some(at) = DELIMITERS.iter().position(|known| known == byte)
            && !quoted
        {
            counts[at] += 1;
        }
    }
    let most = counts.iter().max().filter(|count| **count > 0)?;
    counts.iter().position(|count| count == most).map(|at| DELIMITERS[at])
}

/// What the columns are called, by the record that is the header. Blanks around a name that is not quoted are no part of
/// it.
///
/// # Errors
/// A column has no name, or that of another.
pub fn names(record: &str, cells: &[Cell]) -> Result<Vec<String>, String> {
    let mut names = Vec::with_capacity(cells.len());
    let mut known = HashMap::with_capacity(cells.len());
    for (at, cell) in cells.iter().enumerate() {
        let text = cell.text(record);
        let name = if cell.quoted { text.as_ref() } else { text.trim_ascii() };
        if name.is_empty() {
            return Err(format!("column {} has no name in the header", at + 1));
        }
        if let Some(same) = known.insert(name.to_owned(), at) {
            return Err(format!("columns {} and {} are both called {name:?}", same + 1, at + 1));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

/// What is said of a record with another number of cells than the header has.
pub fn wrong_count(there: usize, wanted: usize) -> String {
    let plural = if there == 1 { "cell" } else { "cells" };
    format!("{there} {plural}, and the header names {wanted}")
}
