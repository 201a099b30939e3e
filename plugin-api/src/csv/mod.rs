//! CSV: its records after RFC 4180, and what the cells of a column are.
//!
//! All of Headwater that reads CSV reads it so, and a parser of yours may. Nothing here knows of points.
//!
//! - [`start`], [`delimiter`] and [`names`] read the header: a byte order mark and empty lines before it are passed
//!   over, and it shows what stands between cells.
//! - [`Records`] are the records behind it. One that is broken costs the line it begins on, and the reader of it decides
//!   whether the others count.
//! - [`Kinds`] collects what the cells of a column are, and its [`Kind`] reads them: the kind is a column's, not a
//!   cell's, so that `7` among `7.5` is a float.
//!
//! For a stream that comes in pieces [`whole`] tells how much of a piece is whole records, and [`record`] reads one.
//!
//! ```
//! use headwater_plugin_api::batch::Value;
//! use headwater_plugin_api::csv::{self, Kinds, Records};
//!
//! let data = b"host;load\na;1\n\nb;2.5\n";
//! let delimiter = csv::delimiter(data).unwrap_or(b',');
//! let mut cells = Vec::new();
//! let mut records = Records::new(data, delimiter, true, &mut cells);
//! let header = records.next().unwrap().unwrap();
//! assert_eq!(csv::names(header.text, header.cells).unwrap(), ["host", "load"]);
//! let (mut kinds, mut loads) = (Kinds::default(), Vec::new());
//! while let Some(Ok(record)) = records.next() {
//!     let load = record.cells[1].text(record.text).into_owned();
//!     kinds.see(&load);
//!     loads.push(load);
//! }
//! let kind = kinds.kind().unwrap();
//! assert_eq!(kind.read(&loads[0], false), Ok(Some(Value::F64(1.0))));
//! ```

mod header;
mod kind;
mod records;
mod scan;
#[cfg(test)]
mod tests;

pub use header::{delimiter, names, start, wrong_count};
pub use kind::{KINDS, Kind, Kinds, NoSuchValue};
pub use records::{Record, Records};
pub use scan::{Broken, CELL_BYTES_MAX, Cell, record, whole};
