//! Text to a checked plan: which files there are, what variables stand for, what the tables mean,
//! and everything that is wrong with them, each with file, line and column.
//!
//! All files are read first, then the plugins: what a plugin takes from `[agent]` does not depend
//! on the order of files. Every error is found that can be found without the plugins' own code;
//! their schemas tell which keys there are.

mod agent;
mod common;
mod diagnostics;
mod document;
mod emit;
mod plan;
mod sections;
mod selectors;
mod source;
mod split;
mod variables;

use std::path::PathBuf;
use std::sync::Arc;

use headwater_plugin_api::config::nearest;

pub use agent::{AgentConfig, LogFormat, ShowBadLines};
pub use common::{LogLevel, StartupError, TimeSource};
pub use diagnostics::{Diagnostic, Severity};
pub use emit::PluginText;
pub use plan::{
    AggregatorOptions, Common, Format, InputOptions, Naming, OutputOptions, Plan, Plugin,
    PluginKind,
};
#[cfg(test)]
pub use selectors::SelectorTable;
pub use selectors::{Modifiers, Selectors};
pub use split::common_schema;

use common::{AggregatorTable, InputTable, OutputTable, ProcessorTable};
use diagnostics::{Diagnostics, did_you_mean};
use document::Document;
use sections::Sections;
use source::SourceFile;
use split::Known;

/// What the host gives to configuration.
pub trait Environment {
    /// An environment variable, if it is set.
    fn var(&self, name: &str) -> Option<String>;

    /// The user's home folder.
    fn home(&self) -> Option<PathBuf> {
        self.var("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }

    /// Where the host's settings are.
    fn system_folder(&self) -> PathBuf {
        PathBuf::from("/etc/headwater")
    }
}

/// The environment of this process. A variable that is not UTF-8 counts as unset.
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// What is known of a plugin before it runs.
pub struct PluginSchema {
    /// The schema of its options, as it crosses from its library.
    pub text: String,
    /// Whether `data_format` in its table names a parser or serializer.
    pub takes_format: bool,
    /// Whether it is an input that runs by itself, and is not gathered at intervals.
    pub service: bool,
}

/// What plugins there are.
pub trait Schemas {
    /// The schema of a plugin. The error says why there is none: not found, and where it was looked
    /// for, or not loadable. The nearest of the names is not for it to say.
    fn schema(&self, kind: PluginKind, name: &str) -> Result<PluginSchema, String>;

    /// All plugins of a kind, for suggestions.
    fn names(&self, kind: PluginKind) -> Vec<String>;
}

/// What the command line says of the configuration.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Texts that stand in no file, by the name that messages give them.
    pub texts: Vec<(String, String)>,
    /// Files, or folders whose `*.toml` and `*.conf` count (`--config`).
    pub files: Vec<PathBuf>,
    /// Folders, with all that is in them (`--config-directory`). Without these and files, the
    /// default places are tried.
    pub directories: Vec<PathBuf>,
    /// Replace variables in the whole text before it is parsed, not only inside of strings.
    pub non_strict_env: bool,
    /// Only these plugins, by name; none: all.
    pub input_filter: Option<Vec<String>>,
    pub processor_filter: Option<Vec<String>>,
    pub aggregator_filter: Option<Vec<String>>,
    pub output_filter: Option<Vec<String>>,
    /// Only these sections (`agent`, `global_tags`, `inputs`, ...).
    pub section_filter: Option<Vec<String>>,
}

/// What `[agent]` takes.
pub fn agent_schema() -> headwater_plugin_api::config::TableSchema {
    <AgentConfig as headwater_plugin_api::config::Config>::schema()
}

/// Reads the configuration. The plan is there if no diagnostic is an error.
pub fn load(
    options: &LoadOptions,
    environment: &dyn Environment,
    schemas: &dyn Schemas,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut diagnostics = Diagnostics::default();
    check_sections(options, &mut diagnostics);
    let files = source::read_all(options, environment, &mut diagnostics);
    load_sources(files, options, environment, schemas, diagnostics)
}

fn load_sources(
    files: Vec<SourceFile>,
    options: &LoadOptions,
    environment: &dyn Environment,
    schemas: &dyn Schemas,
    mut diagnostics: Diagnostics,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let files: Vec<_> = files.into_iter().map(Arc::new).collect();
    let mut documents: Vec<Document<'_>> =
        files.iter().filter_map(|file| document::parse(file, &mut diagnostics)).collect();
    for document in &mut documents {
        document.expand_strings(!options.non_strict_env, environment, &mut diagnostics);
    }

    let mut known = Known::new(schemas);
    let mut sections = Sections::default();
    for document in &documents {
        sections.add(document, options, &known, &mut diagnostics);
    }
    let agent = sections.agent.finish();
    let each = &mut diagnostics;
    let inputs = sections.inputs.into_iter().filter_map(|found| {
        split::plugin::<InputTable>(PluginKind::Input, found, &agent, &mut known, each)
    });
    let inputs = inputs.collect();
    let processors = sections.processors.into_iter().filter_map(|found| {
        split::plugin::<ProcessorTable>(PluginKind::Processor, found, &agent, &mut known, each)
    });
    let mut processors: Vec<_> = processors.collect();
    processors.sort_by_key(|processor| processor.options.order);
    let aggregators = sections.aggregators.into_iter().filter_map(|found| {
        split::plugin::<AggregatorTable>(PluginKind::Aggregator, found, &agent, &mut known, each)
    });
    let aggregators = aggregators.collect();
    let outputs = sections.outputs.into_iter().filter_map(|found| {
        split::plugin::<OutputTable>(PluginKind::Output, found, &agent, &mut known, each)
    });
    let outputs = outputs.collect();

    let global_tags = sections.global_tags;
    let plan = Plan { agent, global_tags, inputs, processors, aggregators, outputs };
    ((!diagnostics.has_errors()).then_some(plan), diagnostics.finish())
}

fn check_sections(options: &LoadOptions, diagnostics: &mut Diagnostics) {
    for name in options.section_filter.iter().flatten() {
        if !sections::NAMES.contains(&name.as_str()) {
            let message =
                format!("`{name}` is no section; the sections are {}", sections::NAMES.join(", "));
            let near = nearest(name, sections::NAMES.iter().copied()).map(did_you_mean);
            diagnostics.error_nowhere(message, near);
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
