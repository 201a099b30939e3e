//! JSON, in and out.

mod boundary;
mod events;
#[cfg(test)]
mod oracle;
mod parser;
mod query;
mod record;
mod roles;
mod scan;
mod serializer;
mod series;
mod template;

pub use parser::JsonParser;
pub use serializer::JsonSerializer;
