//! What a configuration means, checked: all that the pipeline needs to know of it.

use std::collections::BTreeMap;
use std::fmt;

use headwater_plugin_api::config::Duration;

use super::agent::{AgentConfig, derived_precision};
use super::common::{LogLevel, StartupError, TimeSource};
use super::emit::PluginText;
use super::selectors::{Modifiers, Selectors};

/// What kinds of plugins there are, as the configuration tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    Input,
    Processor,
    Aggregator,
    Output,
    Parser,
    Serializer,
}

impl PluginKind {
    /// The kinds that have tables of their own.
    pub const WITH_TABLES: [PluginKind; 4] =
        [PluginKind::Input, PluginKind::Processor, PluginKind::Aggregator, PluginKind::Output];

    /// The table that plugins of this kind stand in; parsers and serializers, by `data_format`, in
    /// others'.
    pub fn section(self) -> &'static str {
        match self {
            PluginKind::Input => "inputs",
            PluginKind::Processor => "processors",
            PluginKind::Aggregator => "aggregators",
            PluginKind::Output => "outputs",
            PluginKind::Parser => "parsers",
            PluginKind::Serializer => "serializers",
        }
    }

    /// One of them.
    pub fn noun(self) -> &'static str {
        match self {
            PluginKind::Input => "input",
            PluginKind::Processor => "processor",
            PluginKind::Aggregator => "aggregator",
            PluginKind::Output => "output",
            PluginKind::Parser => "parser",
            PluginKind::Serializer => "serializer",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.noun())
    }
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub agent: AgentConfig,
    pub global_tags: BTreeMap<String, String>,
    /// In the order of the files, as aggregators and outputs.
    pub inputs: Vec<Plugin<InputOptions>>,
    /// In the order in which they run.
    pub processors: Vec<Plugin<ProcessorOptions>>,
    pub aggregators: Vec<Plugin<AggregatorOptions>>,
    pub outputs: Vec<Plugin<OutputOptions>>,
}

/// One instance of a plugin.
#[derive(Debug, Clone)]
pub struct Plugin<O> {
    pub kind: PluginKind,
    pub name: String,
    pub common: Common,
    pub options: O,
    /// What the plugin reads.
    pub config: PluginText,
    /// The parser of an input or processor, the serializer of an output.
    pub format: Option<Format>,
}

/// A parser or serializer, and its part of the table.
#[derive(Debug, Clone)]
pub struct Format {
    pub name: String,
    pub config: PluginText,
}

/// What every kind has.
#[derive(Debug, Clone)]
pub struct Common {
    pub alias: Option<String>,
    /// None: as the agent.
    pub log_level: Option<LogLevel>,
    pub startup_error: StartupError,
    pub selectors: Selectors,
    pub modifiers: Modifiers,
}

/// A new name for measurements. The override comes first, prefix and suffix go around it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naming {
    pub name: Option<String>,
    pub prefix: String,
    pub suffix: String,
}

impl Naming {
    /// Whether names stay as they are.
    pub fn is_empty(&self) -> bool {
        self.name.is_none() && self.prefix.is_empty() && self.suffix.is_empty()
    }

    /// The new name of a measurement.
    pub fn apply(&self, name: &str) -> String {
        [&self.prefix, self.name.as_deref().unwrap_or(name), &self.suffix].concat()
    }
}

#[derive(Debug, Clone)]
pub struct InputOptions {
    pub naming: Naming,
    pub tags: BTreeMap<String, String>,
    pub interval: Duration,
    /// Only if the input itself sets it.
    pub precision: Option<Duration>,
    pub time_source: TimeSource,
    pub collection_jitter: Duration,
    pub collection_offset: Duration,
}

impl InputOptions {
    /// What timestamps of a polled input are rounded to.
    pub fn polled_precision(&self, agent: &AgentConfig) -> Duration {
        match self.precision {
            Some(precision) => precision,
            None if agent.precision.is_zero() => derived_precision(self.interval),
            None => agent.precision,
        }
    }
}

#[derive(Debug, Clone)]
pub struct ProcessorOptions {
    pub order: i64,
}

#[derive(Debug, Clone)]
pub struct AggregatorOptions {
    pub naming: Naming,
    pub tags: BTreeMap<String, String>,
    pub drop_original: bool,
}

#[derive(Debug, Clone)]
pub struct OutputOptions {
    pub naming: Naming,
    pub flush_interval: Duration,
    pub flush_jitter: Duration,
    pub metric_batch_size: usize,
    pub metric_buffer_limit: usize,
}
