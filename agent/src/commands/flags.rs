//! The table of flags: what each is called, what it says of itself, and what it does to the options.
//! Help and parsing come from it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use headwater_plugin_api::config::Duration;

use super::sql::{SqlOptions, text};
use crate::config::LoadOptions;

/// What the flags say.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub load: LoadOptions,
    pub plugin_directories: Vec<PathBuf>,
    pub test: bool,
    pub test_wait: Option<Duration>,
    pub once: bool,
    pub debug: bool,
    pub quiet: bool,
    pub pidfile: Option<PathBuf>,
    pub sql: SqlOptions,
}

/// One flag.
pub struct Flag {
    /// Without dashes.
    pub name: &'static str,
    /// What its value is called; none for a switch.
    pub value: Option<&'static str>,
    pub doc: &'static str,
    /// Takes the value, which is empty for a switch.
    pub set: fn(&mut Options, OsString) -> Result<(), String>,
}

/// The flags of all commands. Each command names those that it takes.
pub const FLAGS: &[Flag] = &[
    Flag {
        name: "config",
        value: Some("PATH"),
        doc: "Read this file, or the *.toml and *.conf of this folder. May be repeated. Without it \
              and --config-directory: $HEADWATER_CONFIG_PATH, else ~/.headwater/headwater.toml, \
              else /etc/headwater/headwater.toml and /etc/headwater/headwater.d.",
        set: |options, value| {
            options.load.files.push(path(value)?);
            Ok(())
        },
    },
    Flag {
        name: "config-directory",
        value: Some("PATH"),
        doc: "Read all *.toml and *.conf of this folder and the folders in it. May be repeated.",
        set: |options, value| {
            options.load.directories.push(path(value)?);
            Ok(())
        },
    },
    Flag {
        name: "plugin-directory",
        value: Some("PATH"),
        doc: "Look for plugins here first. May be repeated. Then follow \
              $HEADWATER_PLUGIN_DIRECTORIES, plugin_directories in [agent], the program's own \
              folder if plugins stand there, and /usr/lib/headwater/plugins.",
        set: |options, value| {
            options.plugin_directories.push(path(value)?);
            Ok(())
        },
    },
    Flag {
        name: "test",
        value: None,
        doc: "Gather once and print the points, after processors and aggregators, as `> ` and line \
              protocol. Outputs are not connected.",
        set: |options, _| {
            options.test = true;
            Ok(())
        },
    },
    Flag {
        name: "test-wait",
        value: Some("DURATION"),
        doc: "With --test or --once, let service inputs run this long. Alone it means --test. A \
              plain number is seconds.",
        set: |options, value| {
            options.test_wait = Some(Duration::from_str(&text(value)?)?);
            Ok(())
        },
    },
    Flag {
        name: "once",
        value: None,
        doc: "Gather once, write once, and end. The exit status is 1 if a gather failed or a point \
              was not written.",
        set: |options, _| {
            options.once = true;
            Ok(())
        },
    },
    Flag {
        name: "debug",
        value: None,
        doc: "Log what helps to find a fault.",
        set: |options, _| {
            options.debug = true;
            Ok(())
        },
    },
    Flag {
        name: "quiet",
        value: None,
        doc: "Log errors only.",
        set: |options, _| {
            options.quiet = true;
            Ok(())
        },
    },
    Flag {
        name: "input-filter",
        value: Some("NAMES"),
        doc: "Use these inputs only, separated by `:`.",
        set: |options, value| add_names(&mut options.load.input_filter, value),
    },
    Flag {
        name: "processor-filter",
        value: Some("NAMES"),
        doc: "Use these processors only, separated by `:`.",
        set: |options, value| add_names(&mut options.load.processor_filter, value),
    },
    Flag {
        name: "aggregator-filter",
        value: Some("NAMES"),
        doc: "Use these aggregators only, separated by `:`.",
        set: |options, value| add_names(&mut options.load.aggregator_filter, value),
    },
    Flag {
        name: "output-filter",
        value: Some("NAMES"),
        doc: "Use these outputs only, separated by `:`.",
        set: |options, value| add_names(&mut options.load.output_filter, value),
    },
    Flag {
        name: "section-filter",
        value: Some("NAMES"),
        doc: "Use these sections only, separated by `:`: agent, global_tags, inputs, processors, \
              aggregators, outputs.",
        set: |options, value| add_names(&mut options.load.section_filter, value),
    },
    Flag {
        name: "pidfile",
        value: Some("PATH"),
        doc: "Write the number of the process to this file, and remove it at the end.",
        set: |options, value| {
            options.pidfile = Some(path(value)?);
            Ok(())
        },
    },
    Flag {
        name: "strict-env-handling",
        value: None,
        doc: "Replace variables such as ${NAME} inside of string values only. The default.",
        set: |options, _| {
            options.load.non_strict_env = false;
            Ok(())
        },
    },
    Flag {
        name: "non-strict-env-handling",
        value: None,
        doc: "Replace variables in the whole text of the files before it is read, so that they can \
              be numbers or tables.",
        set: |options, _| {
            options.load.non_strict_env = true;
            Ok(())
        },
    },
    Flag {
        name: "input",
        value: Some("FORMAT"),
        doc: "How the input is written: influx (line protocol), json or csv. Without it each file's \
              name tells (.influx, .lp, .json, .jsonl, .ndjson, .csv, .tsv), else its first bytes. \
              gzip and zstd are unpacked whatever the name.",
        set: |options, value| options.sql.set_input(&text(value)?),
    },
    Flag {
        name: "output",
        value: Some("FORM"),
        doc: "How rows are printed: table, influx, json (one object a line) or csv. Without it: a \
              table on a terminal, influx elsewhere. Times are nanoseconds since 1970, in tables \
              RFC 3339.",
        set: |options, value| options.sql.set_output(&text(value)?),
    },
    Flag {
        name: "all",
        value: None,
        doc: "Print the rows of all statements, not of the last one alone.",
        set: |options, _| {
            options.sql.all = true;
            Ok(())
        },
    },
    Flag {
        name: "explain",
        value: None,
        doc: "Print what is worked out for each series, each point and each window, and end.",
        set: |options, _| {
            options.sql.explain = true;
            Ok(())
        },
    },
    Flag {
        name: "query-file",
        value: Some("PATH"),
        doc: "Read the statements from this file; all arguments are input then.",
        set: |options, value| {
            options.sql.query_file = Some(path(value)?);
            Ok(())
        },
    },
    Flag {
        name: "name",
        value: Some("MEASUREMENT"),
        doc: "For JSON and CSV: the measurement, as FROM names it, of files without one of their own. \
              Without it: json, csv.",
        set: |options, value| {
            options.sql.name = Some(text(value)?);
            Ok(())
        },
    },
    Flag {
        name: "tags",
        value: Some("KEYS"),
        doc: "For JSON and CSV: keys of tags, as globs, separated by commas. Nested keys are joined by \
              `_`. May be repeated.",
        set: |options, value| {
            options.sql.add_tags(&text(value)?);
            Ok(())
        },
    },
    Flag {
        name: "time",
        value: Some("KEY[:FORMAT]"),
        doc: "For JSON and CSV: the key of the time. FORMAT is s, ms, us, ns, rfc3339, or a layout in \
              Go's notation; without it the first record tells. Without --time a column of CSV that is \
              called time is it, else all points have the time at which the command began.",
        set: |options, value| options.sql.set_time(&text(value)?),
    },
    Flag {
        name: "types",
        value: Some("COLUMN=KIND"),
        doc: "For CSV: kinds of columns, integer, float, boolean or text, separated by commas. May be \
              repeated. Without it the first cells of a column show its kind: integers, floats, true and \
              false, else text, as are 007 and numbers of more than 64 bits.",
        set: |options, value| options.sql.add_types(&text(value)?),
    },
    Flag {
        name: "follow",
        value: None,
        doc: "Go on reading what is appended to the files, also when they are cut off or replaced. \
              Windows close by the clock then, as in the agent. Ctrl-C ends it in order: the windows \
              that are open are printed.",
        set: |options, _| {
            options.sql.follow = true;
            Ok(())
        },
    },
    Flag {
        name: "table",
        value: Some("NAME=FILE"),
        doc: "A table that points are joined to, a CSV or JSON file: --table hosts=hosts.csv, and in the \
              statement `FROM cpu JOIN hosts ON cpu.host = hosts.name`. May be repeated. \
              --table NAME.format=json, --table 'NAME.separator=;' and --table NAME.max_size=1GiB set \
              options of a table.",
        set: |options, value| options.sql.add_table(&text(value)?),
    },
    Flag {
        name: "option",
        value: Some("KEY=VALUE"),
        doc: "Set an option of the sql processor, such as delay=10s. May be repeated. `headwater \
              config create --processor-filter sql` lists them.",
        set: |options, value| options.sql.add_option(&text(value)?),
    },
];

/// Flags of Telegraf that are not taken: whether they have a value, and what to do instead.
pub const REFUSED: &[(&str, bool, &str)] = &[
    ("watch-config", true, "restart the agent after an edit"),
    ("watch-interval", true, "restart the agent after an edit"),
    ("config-url-watch-interval", true, "configuration is not read from URLs"),
    ("config-url-retry-attempts", true, "configuration is not read from URLs"),
    ("sample-config", false, "use `headwater config create`"),
    ("usage", true, "use `headwater config create --section-filter inputs --input-filter NAME`"),
    ("input-list", false, "use `headwater plugins inputs`"),
    ("output-list", false, "use `headwater plugins outputs`"),
    ("secretstore-filter", true, "there are no secret stores yet"),
    ("pprof-addr", true, "there is no profiler in the agent; use perf or heaptrack"),
    ("password", true, "there are no secret stores yet"),
    ("unprotected", false, "nothing is locked in memory; remove it"),
    ("old-env-behavior", false, "use --non-strict-env-handling"),
    ("deprecation-list", false, "nothing is deprecated yet"),
    ("print-plugin-config-source", false, "diagnostics always name file and line; remove it"),
    ("skip-config-migration", false, "nothing is migrated; remove it"),
];

/// The flag of this name.
pub fn flag(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

fn path(value: OsString) -> Result<PathBuf, String> {
    match value.is_empty() {
        true => Err("the path is empty".into()),
        false => Ok(PathBuf::from(value)),
    }
}

/// Adds `a:b`. Nothing between colons is nothing, so that an empty variable in a script filters
/// nothing.
fn add_names(names: &mut Option<Vec<String>>, value: OsString) -> Result<(), String> {
    let value = text(value)?;
    for name in value.split(':').map(str::trim).filter(|name| !name.is_empty()) {
        names.get_or_insert_default().push(name.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_documented() {
        let refused = REFUSED.iter().map(|(name, _, why)| (*name, *why));
        let mut names: Vec<(&str, &str)> =
            FLAGS.iter().map(|flag| (flag.name, flag.doc)).chain(refused).collect();
        assert!(names.iter().all(|(name, doc)| !name.starts_with('-') && !doc.is_empty()));
        names.sort_unstable();
        names.dedup_by_key(|entry| entry.0);
        assert_eq!(names.len(), FLAGS.len() + REFUSED.len());
    }

    #[test]
    fn lists_of_names() {
        let read = |values: &[&str]| {
            let mut names = None;
            for value in values {
                add_names(&mut names, value.into()).unwrap();
            }
            names
        };
        assert_eq!(read(&["cpu:mem", " disk "]).unwrap(), ["cpu", "mem", "disk"]);
        assert_eq!(read(&[":cpu::"]).unwrap(), ["cpu"]);
        assert_eq!(read(&["", ":"]), None);
    }
}
