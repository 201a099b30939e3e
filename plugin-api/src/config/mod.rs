//! Options of plugins: declared once, read from TOML, described to the agent.
//!
//! A plugin declares its table with [`config!`](crate::config!). From that come the struct, its
//! defaults, the schema that the agent checks files against ([`schema_text`]), and the sample
//! configuration ([`sample_text`]). [`parse`] is what the plugin's constructor calls.

mod check;
mod duration;
mod error;
mod filter;
mod glob;
mod macros;
mod nearest;
mod read;
mod sample;
mod schema;
mod secret;
mod size;
mod text;
mod value;

use serde::de::{DeserializeOwned, IntoDeserializer, MapAccess};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use check::check;
pub use duration::Duration;
pub use error::ConfigError;
pub use filter::{GlobFilter, GlobSet};
pub use glob::{Glob, GlobError};
pub use nearest::nearest;
pub use sample::sample;
pub use schema::{FieldSchema, RefusedKey, TableSchema};
pub use secret::Secret;
pub use size::Size;
pub use text::{push_float, push_key, push_string, quote};
pub use value::{ConfigValue, Kind};

#[doc(hidden)]
pub use read::{SchemaBuilder, is_key, key_name, read_choice, read_table, unknown_key};
#[doc(hidden)]
pub use serde;
#[doc(hidden)]
pub use value::inline_table;

/// A plugin's table of options. [`config!`](crate::config!) implements it.
pub trait Config: Default + DeserializeOwned + Send + 'static {
    /// The keys with their kinds, defaults and documentation, and the keys that are refused.
    fn schema() -> TableSchema;

    fn fields() -> Vec<FieldSchema> {
        Self::schema().fields
    }

    /// Reads the value of `key`, if this table has that key.
    #[doc(hidden)]
    fn read_key<'de, A: MapAccess<'de>>(
        &mut self,
        key: &str,
        map: &mut A,
    ) -> Result<bool, A::Error>;
}

/// The schema as the TOML text that a plugin hands to the agent.
pub fn schema_text<C: Config>() -> String {
    C::schema().to_text()
}

/// A commented sample of the table: `sample_text::<CpuConfig>("inputs", "cpu")`.
pub fn sample_text<C: Config>(kind: &str, name: &str) -> String {
    sample(&C::schema(), kind, name)
}

/// Reads a plugin's table. The first thing that is wrong with it, in the order of the text, is the
/// error.
pub fn parse<C: Config>(text: &str) -> Result<C, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| ConfigError::from_toml(text, &error))?;
    if let Some(error) = check(table.get_ref(), &C::schema()).into_iter().next() {
        return Err(error);
    }
    let value = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    C::deserialize(value.into_deserializer())
        .map_err(|error: toml::de::Error| ConfigError::from_toml(text, &error))
}

#[cfg(test)]
mod tests;
