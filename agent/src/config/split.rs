//! Takes one plugin's table apart: what every plugin of its kind takes, what is its own, and what
//! belongs to its parser or serializer. Each part is checked against its schema; all that is wrong
//! is reported at once.

use std::collections::HashMap;
use std::rc::Rc;

use headwater_plugin_api::config::{Config, Kind, TableSchema, check, nearest};
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::agent::AgentConfig;
use super::common::{AggregatorTable, CommonTable, InputTable, OutputTable, ProcessorTable};
use super::diagnostics::{Diagnostics, did_you_mean};
use super::document::{Document, Key, Value, by_position};
use super::emit::emit;
use super::plan::{Format, Plugin, PluginKind};
use super::{PluginSchema, Schemas};

/// The parser or serializer where nothing else is said.
const DEFAULT_FORMAT: &str = "influx";

/// A plugin's table as it stands in a file.
#[derive(Clone, Copy)]
pub struct Found<'t, 'a> {
    pub document: &'t Document<'a>,
    pub name: &'t str,
    pub table: &'t DeTable<'a>,
    /// Where it begins.
    pub start: usize,
}

/// Schemas by kind and name, each read once.
pub struct Known<'s> {
    schemas: &'s dyn Schemas,
    /// What every plugin of a kind takes.
    common: Vec<(PluginKind, TableSchema)>,
    read: HashMap<(PluginKind, String), Result<Rc<Schema>, String>>,
}

struct Schema {
    table: TableSchema,
    takes_format: bool,
    service: bool,
}

impl<'s> Known<'s> {
    pub fn new(schemas: &'s dyn Schemas) -> Self {
        let common = PluginKind::WITH_TABLES.map(|kind| (kind, common_schema(kind)));
        Self { schemas, common: common.into(), read: HashMap::new() }
    }

    pub fn names(&self, kind: PluginKind) -> Vec<String> {
        self.schemas.names(kind)
    }

    fn get(&mut self, kind: PluginKind, name: &str) -> Result<Rc<Schema>, String> {
        let schemas = self.schemas;
        let read = || {
            let PluginSchema { text, takes_format, service } = schemas.schema(kind, name)?;
            let table = TableSchema::from_text(&text)
                .map_err(|error| format!("the {kind} `{name}` cannot be used: {error}"))?;
            Ok(Rc::new(Schema { table, takes_format, service }))
        };
        self.read.entry((kind, name.to_owned())).or_insert_with(read).clone()
    }
}

/// The plugin that a table describes, or none if anything is wrong with it.
pub fn plugin<T: CommonTable>(
    kind: PluginKind,
    found: Found<'_, '_>,
    agent: &AgentConfig,
    known: &mut Known<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Plugin<T::Options>> {
    let before = diagnostics.errors();
    let file = found.document.file;
    let schema = match known.get(kind, found.name) {
        Ok(schema) => Some(schema),
        Err(message) => {
            let near = nearest(found.name, &known.names(kind)).map(did_you_mean);
            diagnostics.error(file, found.start, message, near);
            None
        }
    };
    let format = match &schema {
        Some(schema) => format(kind, found, schema, known, diagnostics),
        None => FormatSchema::None,
    };
    let common_schema = T::schema();
    let parts = match &schema {
        Some(schema) => {
            let schemas = PartSchemas {
                common: &common_schema,
                kinds: &known.common,
                own: &schema.table,
                format: &format,
            };
            split(kind, found, &schemas, diagnostics)
        }
        // Of a plugin that is not there, only what every plugin of its kind takes can be checked.
        None => {
            let mut parts = Parts::default();
            for (key, value) in found.table {
                if common_schema.field(key.get_ref()).is_some() {
                    parts.common.insert(key.clone(), value.clone());
                }
            }
            parts
        }
    };
    let mut check_part = |table: &DeTable<'_>, schema: &TableSchema| {
        for error in check(table, schema) {
            diagnostics.config_error(file, error, found.start);
        }
    };
    check_part(&parts.common, &common_schema);
    if let Some(schema) = &schema {
        check_part(&parts.own, &schema.table);
    }
    if let FormatSchema::Known(_, schema) = &format {
        check_part(&parts.format, &schema.table);
    }
    if before != diagnostics.errors() {
        return None;
    }
    if schema.is_some_and(|schema| schema.service) {
        warn_of_collection(found, &parts.common, diagnostics);
    }

    let table: T = read(&parts.common, found, diagnostics)?;
    let common = match table.every().common() {
        Ok(common) => common,
        Err((key, error)) => {
            let offset = parts.common.get(key).map_or(found.start, |value| value.span().start);
            diagnostics.error(file, offset, format!("`{key}`: {error}"), None);
            return None;
        }
    };
    let emit = |part: &DeTable<'_>| emit(part, file, found.start, &found.document.changed);
    let format = match format {
        FormatSchema::Known(name, _) => Some(Format { name, config: emit(&parts.format) }),
        FormatSchema::None | FormatSchema::Missing => None,
    };
    Some(Plugin {
        kind,
        name: found.name.to_owned(),
        common,
        options: table.options(agent),
        config: emit(&parts.own),
        format,
    })
}

/// Where nothing is collected, no point can have the time of a collection.
fn warn_of_collection(found: Found<'_, '_>, common: &DeTable<'_>, diagnostics: &mut Diagnostics) {
    if let Some(value) = common.get("time_source")
        && value.get_ref().as_str().is_some_and(|word| word != "metric")
    {
        let message = format!(
            "`time_source` has no effect on the input `{}`: it is not collected at intervals, and its points have their own time",
            found.name
        );
        let (file, offset) = (found.document.file, value.span().start);
        diagnostics.warning(file, offset, message, Some("remove it".into()));
    }
}

fn read<T: Config>(
    table: &DeTable<'_>,
    found: Found<'_, '_>,
    diagnostics: &mut Diagnostics,
) -> Option<T> {
    let span = found.start..found.start;
    let value = Spanned::new(span.clone(), DeValue::Table(table.clone()));
    T::deserialize(value.into_deserializer())
        .map_err(|error: toml::de::Error| diagnostics.toml_error(found.document.file, &error, span))
        .ok()
}

/// What is known of a plugin's parser or serializer.
enum FormatSchema {
    /// The plugin takes none.
    None,
    Known(String, Rc<Schema>),
    /// The plugin takes one, and it cannot be had; that was reported.
    Missing,
}

impl FormatSchema {
    fn table(&self) -> Option<&TableSchema> {
        match self {
            FormatSchema::Known(_, schema) => Some(&schema.table),
            FormatSchema::None | FormatSchema::Missing => None,
        }
    }
}

/// The parser or serializer of a plugin that takes one.
fn format(
    kind: PluginKind,
    found: Found<'_, '_>,
    schema: &Schema,
    known: &mut Known<'_>,
    diagnostics: &mut Diagnostics,
) -> FormatSchema {
    let own = schema.table.field("data_format");
    if !schema.takes_format && own.is_none() {
        return FormatSchema::None;
    }
    let file = found.document.file;
    let (name, offset) = match found.table.get("data_format") {
        Some(value) => match value.get_ref().as_str() {
            Some(name) => (name.to_owned(), value.span().start),
            None => {
                let message = "`data_format` takes the name of a format, as a string";
                diagnostics.error(file, value.span().start, message, None);
                return FormatSchema::Missing;
            }
        },
        None => {
            let default = own.and_then(|field| field.default.as_deref()).and_then(|text| {
                let table: toml::Table = format!("name = {text}").parse().ok()?;
                Some(table.get("name")?.as_str()?.to_owned())
            });
            let default = default.filter(|name| !name.is_empty());
            (default.unwrap_or_else(|| DEFAULT_FORMAT.to_owned()), found.start)
        }
    };
    let kind = if kind == PluginKind::Output { PluginKind::Serializer } else { PluginKind::Parser };
    match known.get(kind, &name) {
        Ok(schema) => FormatSchema::Known(name, schema),
        Err(message) => {
            let near = nearest(&name, &known.names(kind)).map(did_you_mean);
            diagnostics.error(file, offset, message, near);
            FormatSchema::Missing
        }
    }
}

struct PartSchemas<'s> {
    common: &'s TableSchema,
    /// The common parts of all kinds.
    kinds: &'s [(PluginKind, TableSchema)],
    own: &'s TableSchema,
    format: &'s FormatSchema,
}

#[derive(Default)]
struct Parts<'a> {
    common: DeTable<'a>,
    own: DeTable<'a>,
    format: DeTable<'a>,
}

/// Whether one value can serve both. A plugin whose `tags` is a list means other tags than the table that
/// inputs take.
fn same_shape(own: &Kind, common: &Kind) -> bool {
    let shape = |kind: &Kind| match kind {
        Kind::List(_) => 1,
        Kind::Map(_) | Kind::Table => 2,
        _ => 3,
    };
    shape(own) == shape(common)
}

/// Gives each key to every part that knows it; a key that none knows is reported.
fn split<'a>(
    kind: PluginKind,
    found: Found<'_, 'a>,
    schemas: &PartSchemas<'_>,
    diagnostics: &mut Diagnostics,
) -> Parts<'a> {
    let mut parts = Parts::default();
    let missing = matches!(schemas.format, FormatSchema::Missing);
    let knows = |schema: &TableSchema, name: &str| {
        schema.field(name).is_some() || schema.refusal(name).is_some()
    };
    for (key, value) in by_position(found.table) {
        let name = key.get_ref().as_ref();
        if missing && name == "data_format" {
            continue;
        }
        let mut taken = false;
        let mut give = |part: &mut DeTable<'a>, key: &Key<'a>, value: &Value<'a>| {
            part.insert(key.clone(), value.clone());
            taken = true;
        };
        let own = schemas.own.field(name);
        let common = schemas.common.field(name);
        if common.is_some_and(|common| own.is_none_or(|own| same_shape(&own.kind, &common.kind))) {
            give(&mut parts.common, key, value);
        }
        if knows(schemas.own, name) {
            give(&mut parts.own, key, value);
        }
        if let Some(format) = schemas.format.table() {
            if knows(format, name) {
                give(&mut parts.format, key, value);
            }
            taken |= name == "data_format";
        }
        if !taken {
            report_unknown(kind, found, key, schemas, diagnostics);
        }
    }
    parts
}

fn report_unknown(
    kind: PluginKind,
    found: Found<'_, '_>,
    key: &Key<'_>,
    schemas: &PartSchemas<'_>,
    diagnostics: &mut Diagnostics,
) {
    let file = found.document.file;
    let offset = key.span().start;
    let name = key.get_ref().as_ref();
    if let Some(reason) = schemas.common.refusal(name) {
        return diagnostics.error(file, offset, format!("`{name}` is refused: {reason}"), None);
    }
    let others = schemas.kinds.iter().filter(|(_, schema)| schema.field(name).is_some());
    let others: Vec<&str> = others.map(|(other, _)| other.section()).collect();
    if !others.is_empty() {
        let message = format!(
            "`{name}` is an option of {}; on {} {kind} it has no effect",
            others.join(" and "),
            article(kind),
        );
        return diagnostics.warning(file, offset, message, Some("remove it".into()));
    }
    // It may be a key of the format that cannot be had.
    if matches!(schemas.format, FormatSchema::Missing) {
        return;
    }
    if diagnostics.is_full() {
        return diagnostics.error(file, offset, String::new(), None);
    }
    // The plugin's own keys first: of equally near ones, the first is suggested.
    let format_names = schemas.format.table().into_iter().flat_map(TableSchema::names);
    let names: Vec<&str> =
        schemas.own.names().chain(format_names).chain(schemas.common.names()).collect();
    let help = nearest(name, names.iter().copied()).map(did_you_mean);
    let message = format!("unknown key `{name}` for the {kind} `{}`", found.name);
    diagnostics.error(file, offset, message, help);
}

fn article(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Input | PluginKind::Aggregator | PluginKind::Output => "an",
        _ => "a",
    }
}

/// What every plugin of a kind takes.
pub fn common_schema(kind: PluginKind) -> TableSchema {
    match kind {
        PluginKind::Input => InputTable::schema(),
        PluginKind::Processor => ProcessorTable::schema(),
        PluginKind::Aggregator => AggregatorTable::schema(),
        PluginKind::Output => OutputTable::schema(),
        PluginKind::Parser | PluginKind::Serializer => TableSchema::default(),
    }
}
