//! The form of a checkpoint:
//!
//! ```text
//! "HWSQL" and a byte for the version
//! u64     hash of the query
//! ..      the state of each statement
//! ..      rows that are to be sent again: their number, and of each batch the length and serial form
//! ```
//!
//! The store adds a checksum of all of it.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::window::codec::{Broken, Read, Reader, put};

use crate::statement::Statement;

const MAGIC: &[u8; 5] = b"HWSQL";
/// Another form gets another number.
const VERSION: u8 = 1;

/// What a checkpoint holds.
#[derive(Debug)]
pub enum Found {
    /// The statements have their state; these rows are to be sent again.
    State(Vec<Batch>),
    /// It is of another query, or none.
    Other,
    /// The statements are spoilt.
    Broken,
}

/// Writes the state of statements and the rows that have not settled.
pub fn write<'a>(
    out: &mut Vec<u8>,
    query: u64,
    statements: &[Statement],
    rows: impl ExactSizeIterator<Item = &'a Batch>,
) {
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&query.to_le_bytes());
    statements.iter().for_each(|statement| statement.write(out));
    put(out, rows.len() as u64);
    let mut serial = Vec::new();
    for batch in rows {
        serial.clear();
        batch.serialize_into(&mut serial);
        put(out, batch.origin());
        put(out, serial.len() as u64);
        out.extend_from_slice(&serial);
    }
}

/// The query that a checkpoint is of, if it is one of this version.
pub fn query(bytes: &[u8]) -> Option<u64> {
    head(&mut Reader::new(bytes)).ok()
}

fn head(from: &mut Reader<'_>) -> Read<u64> {
    if from.bytes(MAGIC.len())? != MAGIC || from.byte()? != VERSION {
        return Err(Broken);
    }
    from.word()
}

/// Reads a checkpoint into statements that have seen nothing.
pub fn read(bytes: &[u8], query: u64, now: i64, statements: &mut [Statement]) -> Found {
    let mut from = Reader::new(bytes);
    if head(&mut from) != Ok(query) {
        return Found::Other;
    }
    read_rest(now, statements, &mut from).map_or(Found::Broken, Found::State)
}

fn read_rest(now: i64, statements: &mut [Statement], from: &mut Reader<'_>) -> Read<Vec<Batch>> {
    for statement in statements {
        statement.read(now, from)?;
    }
    let mut rows = Vec::new();
    for _ in 0..from.count(2)? {
        let origin = from.number()?;
        let length = from.count(1)?;
        let mut batch = Batch::deserialize(from.bytes(length)?).map_err(|_| Broken)?;
        batch.set_origin(origin);
        rows.push(batch);
    }
    from.end()?;
    Ok(rows)
}
