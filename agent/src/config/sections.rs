//! Which tables a file has, and which plugins stand in them.

use std::collections::BTreeMap;

use toml::de::{DeArray, DeTable, DeValue};

use super::LoadOptions;
use super::agent::{AgentTables, nearest_section};
use super::diagnostics::{Diagnostics, did_you_mean};
use super::document::{Document, Key, Value, by_position};
use super::plan::PluginKind;
use super::split::{Found, Known};

/// The tables that a file may have at its top.
pub const NAMES: &[&str] =
    &["agent", "global_tags", "inputs", "processors", "aggregators", "outputs", "secretstores"];

/// More plugins than this are refused.
pub const PLUGINS_MAX: usize = 10_000;

/// What the documents of a configuration hold, apart from what the filters leave out.
#[derive(Default)]
pub struct Sections<'t, 'a> {
    pub agent: AgentTables<'a>,
    pub global_tags: BTreeMap<String, String>,
    pub inputs: Vec<Found<'t, 'a>>,
    pub processors: Vec<Found<'t, 'a>>,
    pub aggregators: Vec<Found<'t, 'a>>,
    pub outputs: Vec<Found<'t, 'a>>,
    /// How many plugins there are, those that are too many among them.
    plugins: usize,
}

impl<'t, 'a> Sections<'t, 'a> {
    /// Adds what stands in one file.
    pub fn add(
        &mut self,
        document: &'t Document<'a>,
        options: &LoadOptions,
        known: &Known<'_>,
        diagnostics: &mut Diagnostics,
    ) {
        let mut reader = Reader { document, options, diagnostics, plugins: &mut self.plugins };
        for (key, value) in by_position(&document.root) {
            let name = key.get_ref().as_ref();
            let (section, kind) = match name {
                "agent" => ("agent", None),
                "global_tags" | "tags" => ("global_tags", None),
                "inputs" | "plugins" => ("inputs", Some(PluginKind::Input)),
                "processors" => ("processors", Some(PluginKind::Processor)),
                "aggregators" => ("aggregators", Some(PluginKind::Aggregator)),
                "outputs" => ("outputs", Some(PluginKind::Output)),
                "secretstores" => ("secretstores", None),
                _ => {
                    if reader.wanted("inputs") {
                        reader.bare_input(key, value, known, &mut self.inputs);
                    }
                    continue;
                }
            };
            if !reader.wanted(section) {
                continue;
            }
            let Some(table) = reader.table(key, value) else { continue };
            match kind {
                Some(kind) => {
                    let list = match kind {
                        PluginKind::Input => &mut self.inputs,
                        PluginKind::Processor => &mut self.processors,
                        PluginKind::Aggregator => &mut self.aggregators,
                        _ => &mut self.outputs,
                    };
                    reader.plugins(kind, name, table, list);
                }
                None if section == "agent" => {
                    let start = key.span().start;
                    self.agent.add(table, start, document.file, reader.diagnostics);
                }
                None if section == "global_tags" => reader.tags(table, &mut self.global_tags),
                None => reader.secret_stores(key, table),
            }
        }
    }
}

struct Reader<'r, 't, 'a> {
    document: &'t Document<'a>,
    options: &'r LoadOptions,
    diagnostics: &'r mut Diagnostics,
    plugins: &'r mut usize,
}

fn is_table_list(items: &DeArray<'_>) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get_ref().is_table())
}

impl<'t, 'a> Reader<'_, 't, 'a> {
    fn error(&mut self, offset: usize, message: String, help: Option<String>) {
        self.diagnostics.error(self.document.file, offset, message, help);
    }

    fn wanted(&self, section: &str) -> bool {
        self.options
            .section_filter
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == section))
    }

    fn table(&mut self, key: &Key<'_>, value: &'t Value<'a>) -> Option<&'t DeTable<'a>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                let name = key.get_ref();
                let help = format!("write [{name}], or [[{name}.x]] for a plugin x");
                self.error(key.span().start, format!("`{name}` must be a table"), Some(help));
                None
            }
        }
    }

    /// `[cpu]` is an input, as it was in the first days, if there is one of that name.
    fn bare_input(
        &mut self,
        key: &'t Key<'a>,
        value: &'t Value<'a>,
        known: &Known<'_>,
        inputs: &mut Vec<Found<'t, 'a>>,
    ) {
        let name = key.get_ref().as_ref();
        let is_input = || known.names(PluginKind::Input).iter().any(|input| input == name);
        match value.get_ref() {
            DeValue::Table(table) if is_input() => {
                self.push(PluginKind::Input, key, table, value.span().start, inputs);
            }
            value if value.is_table() || value.as_array().is_some_and(is_table_list) => {
                let help = if is_input() {
                    Some(format!("write [[inputs.{name}]]"))
                } else {
                    nearest_section(name).map(did_you_mean)
                };
                self.error(key.span().start, format!("unknown section `{name}`"), help);
            }
            _ => {
                let message = format!("the key `{name}` stands outside of any section");
                self.error(
                    key.span().start,
                    message,
                    Some("move it below its section's header".into()),
                );
            }
        }
    }

    fn plugins(
        &mut self,
        kind: PluginKind,
        section: &str,
        table: &'t DeTable<'a>,
        list: &mut Vec<Found<'t, 'a>>,
    ) {
        // All instances in the order of the text, whatever their names.
        let mut found: Vec<(usize, &'t Key<'a>, &'t DeTable<'a>)> = Vec::new();
        for (key, value) in table {
            let name = key.get_ref();
            let header = format!("[[{section}.{name}]]");
            match value.get_ref() {
                DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
                    for item in items.iter() {
                        if let DeValue::Table(table) = item.get_ref() {
                            found.push((item.span().start, key, table));
                        }
                    }
                }
                DeValue::Table(table) if matches!(kind, PluginKind::Input | PluginKind::Output) => {
                    found.push((value.span().start, key, table));
                }
                DeValue::Table(_) => {
                    let message = format!("a single table is not accepted for {section}");
                    self.error(value.span().start, message, Some(format!("write {header}")));
                }
                _ => {
                    let message = format!("`{name}` must be a plugin's table");
                    self.error(key.span().start, message, Some(format!("write {header}")));
                }
            }
        }
        found.sort_by_key(|(start, ..)| *start);
        for (start, key, table) in found {
            self.push(kind, key, table, start, list);
        }
    }

    fn push(
        &mut self,
        kind: PluginKind,
        key: &'t Key<'a>,
        table: &'t DeTable<'a>,
        start: usize,
        list: &mut Vec<Found<'t, 'a>>,
    ) {
        let name = key.get_ref().as_ref();
        let filter = match kind {
            PluginKind::Input => &self.options.input_filter,
            PluginKind::Processor => &self.options.processor_filter,
            PluginKind::Aggregator => &self.options.aggregator_filter,
            _ => &self.options.output_filter,
        };
        if !filter.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name)) {
            return;
        }
        *self.plugins += 1;
        if *self.plugins <= PLUGINS_MAX {
            list.push(Found { document: self.document, name, table, start });
        } else if *self.plugins == PLUGINS_MAX + 1 {
            self.error(start, format!("there are more than {PLUGINS_MAX} plugins"), None);
        }
    }

    fn tags(&mut self, table: &'t DeTable<'a>, tags: &mut BTreeMap<String, String>) {
        for (key, value) in by_position(table) {
            let name = key.get_ref();
            match value.get_ref() {
                _ if name.is_empty() => {
                    self.error(key.span().start, "a tag must have a name".into(), None);
                }
                DeValue::String(text) => {
                    tags.insert(name.to_string(), text.to_string());
                }
                _ => {
                    let message = format!("the tag `{name}` takes a string");
                    self.error(value.span().start, message, Some("put the value in quotes".into()));
                }
            }
        }
    }

    fn secret_stores(&mut self, key: &Key<'_>, table: &DeTable<'_>) {
        let message = || "secret stores are not supported yet".to_owned();
        let help =
            || Some("give secrets by environment variables, such as \"${TOKEN}\"".to_owned());
        if table.is_empty() {
            self.error(key.span().start, message(), help());
        }
        for (key, _) in by_position(table) {
            self.error(key.span().start, message(), help());
        }
    }
}
