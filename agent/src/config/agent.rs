//! The `[agent]` table.

use std::path::PathBuf;

use headwater_plugin_api::config::Config as _;
use headwater_plugin_api::config::{ConfigError, Duration, Size, TableSchema, check, nearest};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostics::Diagnostics;
use super::source::SourceFile;

headwater_plugin_api::choice! {
    /// How log lines are written.
    pub enum LogFormat {
        /// A line of words.
        Text = "text",
        /// A line of JSON.
        Structured = "structured",
    }
}

headwater_plugin_api::choice! {
    /// Where points wait for an output.
    pub enum BufferStrategy {
        Memory = "memory",
        DiskWriteThrough = "disk_write_through",
        Disk = "disk",
    }
}

headwater_plugin_api::choice! {
    /// How many of the records that a parser refuses are shown in the log.
    pub enum ShowBadLines {
        /// The first few of each input, and how many more there were.
        Some = "some",
        /// Each one.
        All = "all",
    }
}

headwater_plugin_api::config! {
    /// Settings of the agent itself, and defaults for its plugins. Keys ignore case and
    /// underscores.
    pub struct AgentConfig {
        /// How often inputs are gathered.
        pub interval: Duration = Duration::from_secs(10),
        /// Gather at multiples of the interval: every 10s means at :00, :10, :20. The first gather
        /// waits for one.
        pub round_interval: bool = true,
        /// Each gather waits a random time up to this, so that not all read the same thing at once.
        pub collection_jitter: Duration = Duration::ZERO,
        /// Each gather waits this long, before jitter.
        pub collection_offset: Duration = Duration::ZERO,
        /// The most points that an output is given at once.
        pub metric_batch_size: usize = 1000,
        /// The most points that wait for an output; above it the oldest are dropped and counted.
        pub metric_buffer_limit: usize = 10_000,
        /// How often outputs write what waits for them.
        pub flush_interval: Duration = Duration::from_secs(10),
        /// Each flush waits a random time up to this.
        pub flush_jitter: Duration = Duration::ZERO,
        /// Timestamps of polled inputs are rounded to multiples of this; 0 for 1s, 1ms, 1us or 1ns,
        /// the largest that is not above the input's interval.
        pub precision: Duration = Duration::ZERO,
        /// The value of the tag `host`; empty for the host's name.
        pub hostname: String = String::new(),
        /// Leave the tag `host` out.
        pub omit_hostname: bool = false,
        /// Log what only a developer wants to know.
        pub debug: bool = false,
        /// Log errors only.
        pub quiet: bool = false,
        /// The file for the log; empty for standard error.
        pub logfile: String = String::new(),
        /// How log lines are written.
        pub logformat: LogFormat = LogFormat::Text,
        /// The key of the message in structured log lines.
        pub structured_log_message_key: String = "msg".into(),
        /// The time zone of log lines: UTC (or empty), "local", or a name such as "Europe/Berlin".
        pub log_with_timezone: String = String::new(),
        /// Start a new log file at this age; only 0 is accepted, see `logfile`.
        pub logfile_rotation_interval: Duration = Duration::ZERO,
        /// Start a new log file at this size; only 0 is accepted, see `logfile`.
        pub logfile_rotation_max_size: Size = Size::bytes(0),
        /// How many old log files stay. No effect without rotation.
        pub logfile_rotation_max_archives: i64 = 5,
        /// The file in which plugins keep their state across restarts; empty for none.
        pub statefile: String = String::new(),
        /// Tags that an input's own `tags` set stay, whatever its `taginclude` and `tagexclude`
        /// say.
        pub always_include_local_tags: bool = false,
        /// Global tags stay, whatever an input's `taginclude` and `tagexclude` say.
        pub always_include_global_tags: bool = false,
        /// Points that aggregators make go to the outputs without passing the processors again.
        pub skip_processors_after_aggregators: bool = true,
        /// Points reach the aggregators without passing the processors first.
        pub skip_processors_before_aggregators: bool = false,
        /// Where points wait for an output. Only `memory` is accepted.
        pub buffer_strategy: BufferStrategy = BufferStrategy::Memory,
        /// The folder of buffers on disk. No effect with `buffer_strategy = "memory"`.
        pub buffer_directory: String = String::new(),
        /// Sync buffers on disk after each write. No effect with `buffer_strategy = "memory"`.
        pub buffer_disk_sync: bool = true,
        /// How often a configuration from a URL is tried again. No effect: configuration is not
        /// read from URLs.
        pub config_url_retry_attempts: i64 = 3,
        /// How many threads parse, transform and serialize; 0 for one for each CPU.
        pub workers: usize = 0,
        /// How much memory the points inside of the agent may take together. At the limit, inputs
        /// wait.
        pub memory_limit: Size = Size::mib(64),
        /// How long a clean stop may take. An output that is writing when the stop begins has the
        /// time that requests have by default (5s), and as long again for what is left.
        pub stop_timeout: Duration = Duration::from_secs(10),
        /// How long a call into a plugin may take. Then its instance is given up and replaced, so that a
        /// plugin that hangs does not hang the agent.
        pub call_timeout: Duration = Duration::from_secs(60),
        /// Folders to look for plugins in, before those that are built in.
        pub plugin_directories: Vec<PathBuf> = Vec::new(),
        /// The longest line that parsers of lines accept.
        pub max_line_bytes: Size = Size::mib(4),
        /// How many of the records that parsers refuse are shown in the log, each with its place: "some"
        /// or "all". All are counted.
        pub show_bad_lines: ShowBadLines = ShowBadLines::Some,
    }
    refused {
        "logtarget" = "the log goes to `logfile`, or to standard error",
        "utc" = "times are always in UTC; remove it",
        "flush_buffer_when_full" = "a full batch is always written at once; remove it",
        "snmp_translator" = "there is no SNMP input; remove it",
    }
}

/// More threads than this are refused.
const WORKERS_MAX: usize = 1024;

/// A smaller budget could not hold one largest batch.
const MEMORY_MIN: Size = Size::mib(1);

/// What two ways to write a key have in common.
fn normal(key: &str) -> String {
    key.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

/// The `[agent]` tables of all files; of a key in several, the last counts.
#[derive(Default)]
pub struct AgentTables<'a> {
    merged: DeTable<'a>,
}

impl<'a> AgentTables<'a> {
    /// Adds one file's table, after checking it.
    pub fn add(
        &mut self,
        table: &DeTable<'a>,
        start: usize,
        file: &SourceFile,
        diagnostics: &mut Diagnostics,
    ) {
        let schema = AgentConfig::schema();
        let (canonical, mut errors) = canonical(table, &schema);
        let known = errors.is_empty();
        errors.extend(check(&canonical, &schema));
        let before = diagnostics.errors();
        for error in errors {
            diagnostics.config_error(file, error, start);
        }
        if let Some(config) =
            read(&canonical, start, file, diagnostics, before == diagnostics.errors())
        {
            for finding in findings(&config, &canonical) {
                finding.report(&canonical, start, file, diagnostics);
            }
        }
        if known {
            for (key, value) in canonical {
                self.merged.remove(key.get_ref().as_ref());
                self.merged.insert(key, value);
            }
        }
    }

    /// The settings. What was wrong has been reported, and its default stands.
    pub fn finish(self) -> AgentConfig {
        let value = Spanned::new(0..0, DeValue::Table(self.merged));
        AgentConfig::deserialize(value.into_deserializer()).unwrap_or_default()
    }
}

fn read(
    table: &DeTable<'_>,
    start: usize,
    file: &SourceFile,
    diagnostics: &mut Diagnostics,
    clean: bool,
) -> Option<AgentConfig> {
    if !clean {
        return None;
    }
    let value = Spanned::new(start..start, DeValue::Table(table.clone()));
    AgentConfig::deserialize(value.into_deserializer())
        .map_err(|error: toml::de::Error| diagnostics.toml_error(file, &error, start..start))
        .ok()
}

/// The table with every key as the schema writes it.
fn canonical<'a>(table: &DeTable<'a>, schema: &TableSchema) -> (DeTable<'a>, Vec<ConfigError>) {
    let mut out = DeTable::new();
    let mut errors = Vec::new();
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let word = normal(key.get_ref());
        let refused = schema.refused.iter().map(|refused| refused.key.as_str());
        let name = schema.names().chain(refused).find(|name| normal(name) == word);
        let name = name.unwrap_or(key.get_ref()).to_owned();
        let span = key.span();
        let clash = out.contains_key(name.as_str());
        if clash {
            errors.push(ConfigError {
                message: format!("`{}` sets `{name}` a second time", key.get_ref()),
                span: Some(span),
                key: Some(name),
                suggestion: None,
            });
            continue;
        }
        out.insert(Spanned::new(span, name.into()), value.clone());
    }
    (out, errors)
}

/// Something about a value that its kind does not show.
struct Finding {
    key: &'static str,
    error: bool,
    message: String,
    help: Option<&'static str>,
}

impl Finding {
    fn report(
        &self,
        table: &DeTable<'_>,
        start: usize,
        file: &SourceFile,
        diagnostics: &mut Diagnostics,
    ) {
        let offset = table.get(self.key).map_or(start, |value| value.span().start);
        let help = self.help.map(str::to_owned);
        if self.error {
            diagnostics.error(file, offset, self.message.clone(), help);
        } else {
            diagnostics.warning(file, offset, self.message.clone(), help);
        }
    }
}

/// What is out of bounds, not supported, or without effect.
fn findings(config: &AgentConfig, table: &DeTable<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut error = |condition: bool, key, message: String, help| {
        if condition {
            found.push(Finding { key, error: true, message, help });
        }
    };
    for (key, duration) in
        [("interval", config.interval), ("flush_interval", config.flush_interval)]
    {
        error(duration.is_zero(), key, format!("`{key}` must be more than 0"), None);
    }
    for (key, count) in [
        ("metric_batch_size", config.metric_batch_size),
        ("metric_buffer_limit", config.metric_buffer_limit),
    ] {
        error(count == 0, key, format!("`{key}` must be more than 0"), None);
    }
    let workers = config.workers;
    error(
        workers > WORKERS_MAX,
        "workers",
        format!("{workers} workers are more than the limit of {WORKERS_MAX}"),
        None,
    );
    let limit = config.memory_limit;
    error(
        limit < MEMORY_MIN,
        "memory_limit",
        format!("a `memory_limit` of {limit} is less than {MEMORY_MIN}"),
        None,
    );
    error(
        config.max_line_bytes.get() == 0,
        "max_line_bytes",
        "`max_line_bytes` must be more than 0".into(),
        None,
    );
    error(
        config.buffer_strategy != BufferStrategy::Memory,
        "buffer_strategy",
        format!("`buffer_strategy = \"{}\"` is not supported yet", config.buffer_strategy.word()),
        Some("remove it; points wait in memory, bounded by metric_buffer_limit"),
    );
    let zone = crate::observe::Zone::named(&config.log_with_timezone);
    error(zone.is_err(), "log_with_timezone", zone.err().unwrap_or_default(), None);
    let mut warning = |condition: bool, key, why: &str| {
        if condition {
            found.push(Finding {
                key,
                error: false,
                message: format!("`{key}` has no effect: {why}"),
                help: None,
            });
        }
    };
    let set = |key: &str| table.contains_key(key);
    warning(
        set("config_url_retry_attempts"),
        "config_url_retry_attempts",
        "configuration is not read from URLs",
    );
    warning(!config.buffer_directory.is_empty(), "buffer_directory", "points wait in memory");
    warning(set("buffer_disk_sync"), "buffer_disk_sync", "points wait in memory");
    found
}

/// What timestamps are rounded to if nothing is set: the largest of 1s, 1ms, 1us and 1ns that is
/// not above the interval.
pub fn derived_precision(interval: Duration) -> Duration {
    match interval.nanos() {
        1_000_000_000.. => Duration::from_secs(1),
        1_000_000.. => Duration::from_millis(1),
        1_000.. => Duration::from_micros(1),
        _ => Duration::from_nanos(1),
    }
}

/// The section of that name that is closest to `word`.
pub fn nearest_section(word: &str) -> Option<&'static str> {
    nearest(word, super::sections::NAMES)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::document;
    use super::*;

    fn load(texts: &[&str]) -> (AgentConfig, Vec<String>) {
        let files: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(order, text)| {
                Arc::new(SourceFile::new(&format!("f{order}"), order, (*text).into()))
            })
            .collect();
        let mut diagnostics = Diagnostics::default();
        let documents: Vec<_> =
            files.iter().map(|file| document::parse(file, &mut diagnostics).unwrap()).collect();
        let mut tables = AgentTables::default();
        for document in &documents {
            tables.add(&document.root, 0, document.file, &mut diagnostics);
        }
        let config = tables.finish();
        (config, diagnostics.finish().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults() {
        let (config, said) = load(&[""]);
        assert!(said.is_empty());
        assert_eq!(config.interval, Duration::from_secs(10));
        assert!(config.round_interval && config.skip_processors_after_aggregators);
        assert!(!config.skip_processors_before_aggregators);
        assert_eq!((config.metric_batch_size, config.metric_buffer_limit), (1000, 10_000));
        assert_eq!(config.memory_limit, Size::mib(64));
        assert_eq!(config.logformat, LogFormat::Text);
    }

    #[test]
    fn keys_ignore_case_and_underscores_and_later_ones_win() {
        let (config, said) = load(&[
            "Interval = '5s'\nmetricBatchSize = 7\nMETRIC_BUFFER_LIMIT = 8\nhostname = 'a'",
            "interval = 3\nplugin_directories = ['/x']\nlogformat = 'structured'\nprecision = ''",
        ]);
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(config.interval, Duration::from_secs(3));
        assert_eq!((config.metric_batch_size, config.metric_buffer_limit), (7, 8));
        assert_eq!(config.hostname, "a");
        assert_eq!(config.plugin_directories, [PathBuf::from("/x")]);
        assert_eq!(config.logformat, LogFormat::Structured);
    }

    #[test]
    fn errors_have_line_column_and_remedy() {
        let check = |text: &str, expected: &str| {
            let (_, said) = load(&["", text]);
            assert!(said.iter().any(|line| line.starts_with(expected)), "{text}: {said:#?}");
        };
        check(
            "\n  intervall = 1",
            "f1:2:3: error: unknown key `intervall`\n  help: did you mean `interval`?",
        );
        check("interval = true", "f1:1:12: error: `interval` takes a duration");
        check("interval = 0", "f1:1:12: error: `interval` must be more than 0");
        check("flush_interval = '0s'", "f1:1:18: error: `flush_interval` must be more than 0");
        check(
            "debug = 1\nquiet = 2",
            "f1:2:9: error: `quiet` takes true or false, not the integer 2",
        );
        check("metric_batch_size = -1", "f1:1:21: error: ");
        check("metric_batch_size = 0", "f1:1:21: error: `metric_batch_size` must be more than 0");
        check(
            "interval = 1\nInterval = 2",
            "f1:2:1: error: `Interval` sets `interval` a second time",
        );
        check("workers = 2000", "f1:1:11: error: 2000 workers are more");
        check(
            "memory_limit = '1KiB'",
            "f1:1:16: error: a `memory_limit` of 1KiB is less than 1MiB",
        );
        check("max_line_bytes = 0", "f1:1:18: error: `max_line_bytes` must be more than 0");
        check(
            "buffer_strategy = 'disk'",
            "f1:1:19: error: `buffer_strategy = \"disk\"` is not supported yet",
        );
        check("buffer_strategy = 'dsk'", "f1:1:19: error: `buffer_strategy` takes \"memory\",");
        check(
            "logtarget = 'x'",
            "f1:1:1: error: `logtarget` is refused: the log goes to `logfile`",
        );
        check("logformat = 'json'", "f1:1:13: error: `logformat` takes \"text\" or \"structured\"");
        check(
            "config_url_retry_attempts = 3",
            "f1:1:29: warning: `config_url_retry_attempts` has no effect",
        );
        check("buffer_directory = '/x'", "f1:1:20: warning: `buffer_directory` has no effect");
        check(
            "log_with_timezone = '../x'",
            "f1:1:21: error: \"../x\" is not a time zone; write \"UTC\"",
        );
    }

    #[test]
    fn what_asks_for_nothing_is_accepted() {
        let (_, said) = load(&[
            "buffer_strategy = 'memory'\nbuffer_directory = ''\nlogfile_rotation_interval = '1d'\nlogfile_rotation_max_size = '1MB'\nlog_with_timezone = 'UTC'",
        ]);
        assert!(said.is_empty(), "{said:?}");
    }

    #[test]
    fn precision_follows_the_interval() {
        let check = |interval, expected| assert_eq!(derived_precision(interval), expected);
        check(Duration::from_secs(10), Duration::from_secs(1));
        check(Duration::from_secs(1), Duration::from_secs(1));
        check(Duration::from_millis(999), Duration::from_millis(1));
        check(Duration::from_micros(999), Duration::from_micros(1));
        check(Duration::from_nanos(999), Duration::from_nanos(1));
    }
}
