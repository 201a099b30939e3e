//! Line protocol, in and out.

mod bad;
mod lines;
#[cfg(test)]
mod oracle;
mod parser;
mod plain;
mod scan;
mod serializer;
mod series;
mod shapes;
mod warm;

pub use parser::InfluxParser;
pub use serializer::InfluxSerializer;
