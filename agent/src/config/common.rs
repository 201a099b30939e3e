//! The options that every plugin of a kind takes, whatever it does itself.

use std::collections::BTreeMap;
use std::fmt;

use headwater_plugin_api::config::{Config, ConfigValue, Duration, Kind as ValueKind, quote};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::agent::AgentConfig;
use super::plan::{
    AggregatorOptions, Common, InputOptions, Naming, OutputOptions, ProcessorOptions,
};
use super::selectors::{SelectorError, SelectorTable};

/// Which of an instance's log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error,
    Warning,
    Information,
    Debug,
    Trace,
}

const LOG_LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warning),
    ("info", LogLevel::Information),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

struct LogLevelVisitor;

impl Visitor<'_> for LogLevelVisitor {
    type Value = LogLevel;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"error\", \"warn\", \"info\", \"debug\" or \"trace\"")
    }

    /// In any case of letters, as Telegraf reads it.
    fn visit_str<E: Error>(self, text: &str) -> Result<LogLevel, E> {
        match LOG_LEVELS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            Some((_, level)) => Ok(*level),
            None => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(LogLevelVisitor)
    }
}

impl ConfigValue for LogLevel {
    fn kind() -> ValueKind {
        ValueKind::String
    }

    fn to_text(&self) -> Option<String> {
        LOG_LEVELS.iter().find(|(_, level)| level == self).map(|(word, _)| quote(word))
    }
}

headwater_plugin_api::choice! {
    /// What a plugin that cannot start does to the agent.
    pub enum StartupError {
        /// The agent does not start.
        Error = "error",
        /// The plugin is started again and again until it works.
        Retry = "retry",
        /// The plugin is left out.
        Ignore = "ignore",
        /// The plugin is left out if it fails its probe or its start.
        Probe = "probe",
    }
}

headwater_plugin_api::choice! {
    /// Where the time of a gathered point comes from.
    pub enum TimeSource {
        /// The point's own time.
        Metric = "metric",
        CollectionStart = "collection_start",
        CollectionEnd = "collection_end",
    }
}

const NO_WIRING: &str =
    "wiring plugins to sources is not supported yet; select points with namepass or tagpass";

headwater_plugin_api::config! {
    /// What every plugin takes.
    pub struct EveryTable {
        /// A name for this instance, in logs, counters and on disk.
        pub alias: String = String::new(),
        /// Which log lines of this instance are written: error, warn, info, debug or trace. Unset:
        /// as the agent.
        pub log_level: Option<LogLevel> = None,
        /// What happens if it cannot start.
        pub startup_error_behavior: StartupError = StartupError::Error,
        #[flatten]
        pub selectors: SelectorTable = SelectorTable::default(),
    }
}

headwater_plugin_api::config! {
    /// Changes of the measurement's name.
    pub struct NamingTable {
        /// The name instead of the measurement's own.
        pub name_override: String = String::new(),
        /// Stands before the name.
        pub name_prefix: String = String::new(),
        /// Stands behind the name.
        pub name_suffix: String = String::new(),
    }
}

headwater_plugin_api::config! {
    /// What every input takes.
    pub struct InputTable {
        #[flatten]
        pub every: EveryTable = EveryTable::default(),
        #[flatten]
        pub naming: NamingTable = NamingTable::default(),
        /// Tags for all of its points that do not have them.
        pub tags: BTreeMap<String, String> = BTreeMap::new(),
        /// How often it is gathered; 0 or unset: as the agent says.
        pub interval: Duration = Duration::ZERO,
        /// What its timestamps are rounded to; 0 or unset: as the agent says, and not at all for
        /// service inputs.
        pub precision: Duration = Duration::ZERO,
        /// Where the time of its points comes from.
        pub time_source: TimeSource = TimeSource::Metric,
        /// Each gather waits a random time up to this; unset: as the agent says.
        pub collection_jitter: Option<Duration> = None,
        /// Each gather waits this long; unset: as the agent says.
        pub collection_offset: Option<Duration> = None,
    }
}

headwater_plugin_api::config! {
    /// What every processor takes.
    pub struct ProcessorTable {
        #[flatten]
        pub every: EveryTable = EveryTable::default(),
        /// Processors run in ascending order of this, and equal ones in the order of the files.
        pub order: i64 = 0,
    }
    refused {
        "inputs" = NO_WIRING,
    }
}

headwater_plugin_api::config! {
    /// What every aggregator takes.
    pub struct AggregatorTable {
        #[flatten]
        pub every: EveryTable = EveryTable::default(),
        #[flatten]
        pub naming: NamingTable = NamingTable::default(),
        /// Tags for all of its points.
        pub tags: BTreeMap<String, String> = BTreeMap::new(),
        /// The length of a window.
        pub period: Duration = Duration::from_secs(30),
        /// How long after its end a window waits for points that are late.
        pub delay: Duration = Duration::from_millis(100),
        /// How long after a window was emitted its late points are still taken; the corrected row is sent again.
        pub grace: Duration = Duration::ZERO,
        /// Points that were aggregated go no further themselves.
        pub drop_original: bool = false,
    }
    refused {
        "inputs" = NO_WIRING,
    }
}

headwater_plugin_api::config! {
    /// What every output takes.
    pub struct OutputTable {
        #[flatten]
        pub every: EveryTable = EveryTable::default(),
        #[flatten]
        pub naming: NamingTable = NamingTable::default(),
        /// How often it writes what waits for it; 0 or unset: as the agent says.
        pub flush_interval: Duration = Duration::ZERO,
        /// Each flush waits a random time up to this; unset: as the agent says.
        pub flush_jitter: Option<Duration> = None,
        /// The most points it is given at once; 0 or unset: as the agent says.
        pub metric_batch_size: usize = 0,
        /// The most points that wait for it; 0 or unset: as the agent says.
        pub metric_buffer_limit: usize = 0,
    }
    refused {
        "inputs" = NO_WIRING,
    }
}

/// One kind's table, and what becomes of it.
pub trait CommonTable: Config {
    type Options;

    fn every(&self) -> &EveryTable;

    /// The options with the agent's settings for what is unset.
    fn options(&self, agent: &AgentConfig) -> Self::Options;
}

impl EveryTable {
    pub fn common(&self) -> Result<Common, SelectorError> {
        let (selectors, modifiers) = self.selectors.compile()?;
        Ok(Common {
            alias: non_empty(&self.alias),
            log_level: self.log_level,
            startup_error: self.startup_error_behavior,
            selectors,
            modifiers,
        })
    }
}

impl NamingTable {
    fn naming(&self) -> Naming {
        Naming {
            name: non_empty(&self.name_override),
            prefix: self.name_prefix.clone(),
            suffix: self.name_suffix.clone(),
        }
    }
}

fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn or_default<T: Default + PartialEq>(value: T, default: T) -> T {
    if value == T::default() { default } else { value }
}

impl CommonTable for InputTable {
    type Options = InputOptions;

    fn every(&self) -> &EveryTable {
        &self.every
    }

    fn options(&self, agent: &AgentConfig) -> InputOptions {
        InputOptions {
            naming: self.naming.naming(),
            tags: self.tags.clone(),
            interval: or_default(self.interval, agent.interval),
            precision: (!self.precision.is_zero()).then_some(self.precision),
            time_source: self.time_source,
            collection_jitter: self.collection_jitter.unwrap_or(agent.collection_jitter),
            collection_offset: self.collection_offset.unwrap_or(agent.collection_offset),
        }
    }
}

impl CommonTable for ProcessorTable {
    type Options = ProcessorOptions;

    fn every(&self) -> &EveryTable {
        &self.every
    }

    fn options(&self, _: &AgentConfig) -> ProcessorOptions {
        ProcessorOptions { order: self.order }
    }
}

impl CommonTable for AggregatorTable {
    type Options = AggregatorOptions;

    fn every(&self) -> &EveryTable {
        &self.every
    }

    fn options(&self, _: &AgentConfig) -> AggregatorOptions {
        AggregatorOptions {
            naming: self.naming.naming(),
            tags: self.tags.clone(),
            drop_original: self.drop_original,
        }
    }
}

impl CommonTable for OutputTable {
    type Options = OutputOptions;

    fn every(&self) -> &EveryTable {
        &self.every
    }

    fn options(&self, agent: &AgentConfig) -> OutputOptions {
        OutputOptions {
            naming: self.naming.naming(),
            flush_interval: or_default(self.flush_interval, agent.flush_interval),
            flush_jitter: self.flush_jitter.unwrap_or(agent.flush_jitter),
            metric_batch_size: or_default(self.metric_batch_size, agent.metric_batch_size),
            metric_buffer_limit: or_default(self.metric_buffer_limit, agent.metric_buffer_limit),
        }
    }
}
