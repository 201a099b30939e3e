//! Tables that points are joined to: small files, read again when they change.
//!
//! - `data`: a table in memory. `index`: its rows by key. `read`: from a file to it, by
//!   `csv` and `json`.
//! - `source`: the file, and the table that was read last.
//! - `lookup`: a statement's way from its points to rows.

mod csv;
mod data;
mod index;
mod json;
mod lookup;
#[cfg(test)]
mod model;
mod read;
mod source;

pub use data::MAX_KEY;
pub use lookup::{Lookup, Matched};
pub use source::{News, TableOptions, TableSource};
