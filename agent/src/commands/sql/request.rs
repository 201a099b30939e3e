//! What is asked of `headwater sql`: its flags, as typed.

use std::ffi::OsString;
use std::path::PathBuf;

use headwater_plugin_api::config::{nearest, push_key, quote};

/// What the flags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlOptions {
    /// How the input is written; guessed if nothing is said.
    pub input: Option<Format>,
    pub output: Option<Output>,
    /// For JSON: keys of tags, as globs.
    pub tags: Vec<String>,
    /// For JSON: the key of the time, and how it is written.
    pub time: Option<TimeKey>,
    /// For JSON: the measurement.
    pub name: Option<String>,
    pub query_file: Option<PathBuf>,
    /// Rows of all statements are printed, not of the last one alone.
    pub all: bool,
    pub explain: bool,
    /// Options of the processor.
    pub options: Vec<(String, String)>,
}

/// How points are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Influx,
    Json,
}

impl Format {
    /// The name of the parser.
    pub fn parser(self) -> &'static str {
        match self {
            Format::Influx => "influx",
            Format::Json => "json",
        }
    }
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Table,
    Influx,
    Json,
    Csv,
}

/// The key of the time in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeKey {
    pub key: String,
    /// In the parser's words; guessed if nothing is said.
    pub format: Option<String>,
}

/// How RFC 3339 stands in the parser's words. Fractions of a second are read too.
pub const RFC3339: &str = "2006-01-02T15:04:05Z07:00";

impl SqlOptions {
    /// # Errors
    /// There is no such format.
    pub fn set_input(&mut self, word: &str) -> Result<(), String> {
        let formats = [("influx", Format::Influx), ("json", Format::Json)];
        self.input = Some(one_of(word, &formats)?);
        Ok(())
    }

    /// # Errors
    /// There is no such form.
    pub fn set_output(&mut self, word: &str) -> Result<(), String> {
        let forms = [
            ("table", Output::Table),
            ("influx", Output::Influx),
            ("json", Output::Json),
            ("csv", Output::Csv),
        ];
        self.output = Some(one_of(word, &forms)?);
        Ok(())
    }

    pub fn add_tags(&mut self, list: &str) {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        self.tags.extend(names.map(ToOwned::to_owned));
    }

    /// # Errors
    /// There is no key.
    pub fn set_time(&mut self, text: &str) -> Result<(), String> {
        let (key, format) = match text.split_once(':') {
            Some((key, format)) => (key, Some(format)),
            None => (text, None),
        };
        if key.is_empty() || format == Some("") {
            return Err("expected KEY or KEY:FORMAT, such as ts:ms".into());
        }
        let format = format.map(|format| match format {
            "s" => "unix".to_owned(),
            "ms" | "us" | "ns" => format!("unix_{format}"),
            "rfc3339" => RFC3339.to_owned(),
            other => other.to_owned(),
        });
        self.time = Some(TimeKey { key: key.to_owned(), format });
        Ok(())
    }

    /// # Errors
    /// It is no pair.
    pub fn add_option(&mut self, text: &str) -> Result<(), String> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                self.options.push((key.trim().to_owned(), value.trim().to_owned()));
                Ok(())
            }
            _ => Err(format!("expected KEY=VALUE, such as delay=10s, not {text:?}")),
        }
    }

    /// The options of the parser of a format, as TOML. `time_format` is what was guessed if nothing
    /// is said.
    pub fn parser_config(&self, format: Format, time_format: &str) -> String {
        // The most that the parsers take: a whole file may be one array.
        let mut out = String::from("max_line_bytes = \"16MiB\"\n");
        let mut add = |key: &str, value: &str| {
            push_key(&mut out, key);
            out.push_str(" = ");
            out.push_str(value);
            out.push('\n');
        };
        if format == Format::Json {
            // Whoever asks for a column by its name wants it, whatever its kind.
            add("json_string_fields", "[\"*\"]");
            if let Some(name) = &self.name {
                add("metric_name", &quote(name));
            }
            if !self.tags.is_empty() {
                let tags: Vec<String> = self.tags.iter().map(|tag| quote(tag)).collect();
                add("tag_keys", &format!("[{}]", tags.join(", ")));
            }
            if let Some(time) = &self.time {
                add("json_time_key", &quote(&time.key));
                add("json_time_format", &quote(time.format.as_deref().unwrap_or(time_format)));
            }
        }
        out
    }
}

/// A statement or a file with one, and the files to read.
#[derive(Debug)]
pub struct Request {
    pub query: Query,
    /// `-` is standard input.
    pub files: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Query {
    Text(String),
    File(PathBuf),
}

impl Request {
    /// What the words behind the command and the flags ask for.
    ///
    /// # Errors
    /// A sentence with what is missing or too much.
    pub fn new(options: &SqlOptions, words: Vec<String>) -> Result<Request, String> {
        let mut words = words.into_iter();
        let query = match &options.query_file {
            Some(path) => Query::File(path.clone()),
            None => Query::Text(words.next().ok_or(
                "expected a statement: headwater sql \"SELECT ...\" [FILE...], or --query-file FILE",
            )?),
        };
        let mut files: Vec<String> = words.collect();
        if files.iter().filter(|file| *file == "-").count() > 1 {
            return Err("standard input (`-`) can be read once".into());
        }
        if files.is_empty() {
            files.push("-".to_owned());
        }
        let json_alone = [
            ("tags", !options.tags.is_empty()),
            ("time", options.time.is_some()),
            ("name", options.name.is_some()),
        ];
        if options.input == Some(Format::Influx)
            && let Some((flag, _)) = json_alone.iter().find(|(_, given)| *given)
        {
            return Err(format!("--{flag} means nothing to --input influx; it is for JSON"));
        }
        Ok(Request { query, files })
    }
}

/// The text of an argument.
///
/// # Errors
/// It is not UTF-8.
pub fn text(value: OsString) -> Result<String, String> {
    value.into_string().map_err(|value| format!("{value:?} is not UTF-8"))
}

fn one_of<T: Copy>(word: &str, all: &[(&str, T)]) -> Result<T, String> {
    let names = || all.iter().map(|(name, _)| *name);
    match all.iter().find(|(name, _)| *name == word) {
        Some((_, found)) => Ok(*found),
        None => Err(match nearest(word, names()) {
            Some(near) => format!("there is no {word:?}; did you mean {near}?"),
            None => {
                format!("there is no {word:?}; write {}", names().collect::<Vec<_>>().join(", "))
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let read = |text: &str| {
            let mut options = SqlOptions::default();
            options.set_time(text).map(|()| options.time.unwrap())
        };
        let key = |key: &str, format: Option<&str>| {
            Ok(TimeKey { key: key.into(), format: format.map(Into::into) })
        };
        assert_eq!(read("ts"), key("ts", None));
        assert_eq!(read("ts:ms"), key("ts", Some("unix_ms")));
        assert_eq!(read("ts:s"), key("ts", Some("unix")));
        assert_eq!(read("ts:unix_ns"), key("ts", Some("unix_ns")));
        assert_eq!(read("ts:rfc3339"), key("ts", Some(RFC3339)));
        assert_eq!(read("ts:15:04:05"), key("ts", Some("15:04:05")));
        assert!(read(":ms").unwrap_err().contains("such as ts:ms"));
        assert!(read("ts:").is_err());
    }

    #[test]
    fn what_the_json_parser_is_told() {
        let mut options = SqlOptions { name: Some("m".into()), ..SqlOptions::default() };
        options.add_tags("a, b,,c\"");
        options.set_time("ts").unwrap();
        assert_eq!(
            options.parser_config(Format::Json, "unix"),
            "max_line_bytes = \"16MiB\"\njson_string_fields = [\"*\"]\nmetric_name = \"m\"\n\
             tag_keys = [\"a\", \"b\", \"c\\\"\"]\njson_time_key = \"ts\"\n\
             json_time_format = \"unix\"\n"
        );
        assert_eq!(options.parser_config(Format::Influx, ""), "max_line_bytes = \"16MiB\"\n");
    }

    #[test]
    fn words_behind_the_command() {
        let read = |options: &SqlOptions, words: &[&str]| {
            Request::new(options, words.iter().map(|word| (*word).to_owned()).collect())
        };
        let plain = SqlOptions::default();
        let request = read(&plain, &["SELECT 1", "a", "-"]).unwrap();
        assert_eq!(request.query, Query::Text("SELECT 1".into()));
        assert_eq!(request.files, ["a", "-"]);
        assert_eq!(read(&plain, &["SELECT 1"]).unwrap().files, ["-"]);
        assert!(read(&plain, &[]).unwrap_err().starts_with("expected a statement"));
        assert!(read(&plain, &["q", "-", "-"]).unwrap_err().contains("once"));
        let filed = SqlOptions { query_file: Some("q.sql".into()), ..SqlOptions::default() };
        let request = read(&filed, &["a"]).unwrap();
        assert_eq!(request.query, Query::File("q.sql".into()));
        assert_eq!(request.files, ["a"]);
        let mixed = SqlOptions {
            input: Some(Format::Influx),
            tags: vec!["a".into()],
            ..SqlOptions::default()
        };
        assert!(read(&mixed, &["q"]).unwrap_err().contains("--tags means nothing"));
    }

    #[test]
    fn words_that_are_none() {
        let mut options = SqlOptions::default();
        assert_eq!(
            options.set_output("jsn").unwrap_err(),
            "there is no \"jsn\"; did you mean json?"
        );
        assert_eq!(
            options.set_input("parquet").unwrap_err(),
            "there is no \"parquet\"; write influx, json"
        );
        assert!(options.add_option("delay").unwrap_err().contains("expected KEY=VALUE"));
        assert!(options.add_option("=1").is_err());
        options.add_option("delay = 1s=").unwrap();
        assert_eq!(options.options, [("delay".to_owned(), "1s=".to_owned())]);
    }
}
