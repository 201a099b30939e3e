//! What is asked of `headwater sql`: its flags, as typed.

use std::ffi::OsString;
use std::path::PathBuf;

use headwater_plugin_api::config::{GlobSet, nearest, push_key, quote};
use headwater_plugin_api::csv::{KINDS, Kind};

use super::csv::Wishes;

/// What the flags say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SqlOptions {
    /// How the input is written; guessed if nothing is said.
    pub input: Option<Format>,
    pub output: Option<Output>,
    /// For JSON and CSV: keys of tags, as globs.
    pub tags: Vec<String>,
    /// For JSON and CSV: the key of the time, and how it is written.
    pub time: Option<TimeKey>,
    /// For JSON and CSV: the measurement of files that are not named otherwise.
    pub name: Option<String>,
    /// For CSV: kinds of columns.
    pub types: Vec<(String, Kind)>,
    /// What is appended to the files is read too.
    pub follow: bool,
    pub query_file: Option<PathBuf>,
    /// Rows of all statements are printed, not of the last one alone.
    pub all: bool,
    pub explain: bool,
    /// Options of the processor.
    pub options: Vec<(String, String)>,
    /// Tables that points are joined to.
    pub tables: Vec<TableOption>,
}

/// An option of a table, as `NAME=FILE` or `NAME.KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOption {
    pub table: String,
    pub key: String,
    pub value: String,
}

/// How points are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Influx,
    Json,
    Csv,
}

const FORMATS: &[(&str, Format)] =
    &[("influx", Format::Influx), ("json", Format::Json), ("csv", Format::Csv)];

impl Format {
    /// Its name, which is that of the parser, and of the measurement of JSON and CSV.
    pub fn name(self) -> &'static str {
        FORMATS.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
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
        self.input = Some(one_of(word, FORMATS)?);
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
    /// It is no list of pairs, or there is no such kind.
    pub fn add_types(&mut self, list: &str) -> Result<(), String> {
        for pair in list.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, kind) = pair
                .rsplit_once('=')
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| format!("expected COLUMN=KIND, such as code=text, not {pair:?}"))?;
            self.types.push((name.to_owned(), one_of(kind, KINDS)?));
        }
        Ok(())
    }

    /// What is said of the columns of CSV.
    ///
    /// # Errors
    /// A glob cannot be read.
    pub fn wishes(&self) -> Result<Wishes, String> {
        let tags = GlobSet::new(&self.tags).map_err(|error| format!("--tags: {error}"))?;
        Ok(Wishes { tags, time: self.time.clone(), types: self.types.clone() })
    }

    /// The flags given that say what keys of JSON and CSV mean.
    pub fn of_keys(&self) -> Vec<&'static str> {
        let given = [
            ("--name", self.name.is_some()),
            ("--tags", !self.tags.is_empty()),
            ("--time", self.time.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(flag, _)| flag).collect()
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

    /// # Errors
    /// It is no pair, or it is there already.
    pub fn add_table(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() && !value.is_empty() => {
                (name.trim(), value)
            }
            _ => return Err(format!("expected NAME=FILE, such as hosts=hosts.csv, not {text:?}")),
        };
        let (table, key) = match name.split_once('.') {
            None => (name, "file"),
            Some((table, key)) if !table.is_empty() => (table, key),
            Some(_) => return Err(format!("expected NAME.KEY=VALUE, not {text:?}")),
        };
        if self.tables.iter().any(|known| known.table == table && known.key == key) {
            return Err(format!("{name} is given twice"));
        }
        let own = |text: &str| text.to_owned();
        self.tables.push(TableOption { table: own(table), key: own(key), value: own(value) });
        Ok(())
    }

    /// The options of the parser of a format, as TOML. `name` is the measurement of JSON, `time_format`
    /// what was guessed if nothing is said.
    pub fn parser_config(&self, format: Format, name: Option<&str>, time_format: &str) -> String {
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
            if let Some(name) = name {
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
    pub files: Vec<Input>,
}

/// A file, as `PATH` or `NAME=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// `-` is standard input.
    pub path: String,
    /// The measurement of all its points.
    pub name: Option<String>,
}

impl Input {
    /// What an argument says. A path with a slash before its first `=` is one: `./a=b`.
    ///
    /// # Errors
    /// There is no path.
    fn new(word: &str) -> Result<Input, String> {
        match word.split_once('=') {
            Some((name, path)) if !name.is_empty() && !name.contains('/') => {
                if path.is_empty() {
                    return Err(format!("expected NAME=FILE, such as a=x.csv, not {word:?}"));
                }
                Ok(Input { path: path.to_owned(), name: Some(name.to_owned()) })
            }
            _ => Ok(Input { path: word.to_owned(), name: None }),
        }
    }
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
        let mut files = words.map(|word| Input::new(&word)).collect::<Result<Vec<_>, _>>()?;
        if files.iter().filter(|file| file.path == "-").count() > 1 {
            return Err("standard input (`-`) can be read once".into());
        }
        if files.is_empty() {
            files.push(Input { path: "-".to_owned(), name: None });
        }
        let given = [
            ("tags", !options.tags.is_empty(), "JSON and CSV"),
            ("time", options.time.is_some(), "JSON and CSV"),
            ("name", options.name.is_some(), "JSON and CSV"),
            ("types", !options.types.is_empty(), "CSV"),
        ];
        if let Some(input) = options.input.filter(|input| *input != Format::Csv)
            && let Some((flag, _, what)) = given
                .iter()
                .find(|(_, given, what)| *given && (input == Format::Influx || *what == "CSV"))
        {
            let input = input.name();
            return Err(format!("--{flag} means nothing to --input {input}; it is for {what}"));
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
            options.parser_config(Format::Json, options.name.as_deref(), "unix"),
            "max_line_bytes = \"16MiB\"\njson_string_fields = [\"*\"]\nmetric_name = \"m\"\n\
             tag_keys = [\"a\", \"b\", \"c\\\"\"]\njson_time_key = \"ts\"\n\
             json_time_format = \"unix\"\n"
        );
        assert_eq!(options.parser_config(Format::Influx, None, ""), "max_line_bytes = \"16MiB\"\n");
    }

    #[test]
    fn words_behind_the_command() {
        let read = |options: &SqlOptions, words: &[&str]| {
            Request::new(options, words.iter().map(|word| (*word).to_owned()).collect())
        };
        let plain = SqlOptions::default();
        let file = |name: Option<&str>, path: &str| Input {
            path: path.to_owned(),
            name: name.map(ToOwned::to_owned),
        };
        let request = read(&plain, &["SELECT 1", "a", "-"]).unwrap();
        assert_eq!(request.query, Query::Text("SELECT 1".into()));
        assert_eq!(request.files, [file(None, "a"), file(None, "-")]);
        assert_eq!(read(&plain, &["SELECT 1"]).unwrap().files, [file(None, "-")]);
        let named = read(&plain, &["q", "a=x.csv", "b=-", "./c=d", "e=f=g", "=h"]).unwrap();
        assert_eq!(
            named.files,
            [
                file(Some("a"), "x.csv"),
                file(Some("b"), "-"),
                file(None, "./c=d"),
                file(Some("e"), "f=g"),
                file(None, "=h")
            ]
        );
        assert!(read(&plain, &["q", "a="]).unwrap_err().contains("expected NAME=FILE"));
        assert!(read(&plain, &["q", "-", "a=-"]).unwrap_err().contains("once"));
        assert!(read(&plain, &[]).unwrap_err().starts_with("expected a statement"));
        assert!(read(&plain, &["q", "-", "-"]).unwrap_err().contains("once"));
        let filed = SqlOptions { query_file: Some("q.sql".into()), ..SqlOptions::default() };
        let request = read(&filed, &["a"]).unwrap();
        assert_eq!(request.query, Query::File("q.sql".into()));
        assert_eq!(request.files, [file(None, "a")]);
        let mixed = SqlOptions {
            input: Some(Format::Influx),
            tags: vec!["a".into()],
            ..SqlOptions::default()
        };
        assert!(read(&mixed, &["q"]).unwrap_err().contains("--tags means nothing"));
        let mut typed = SqlOptions { input: Some(Format::Json), ..SqlOptions::default() };
        typed.add_types("a=float, b=c=text,").unwrap();
        assert_eq!(typed.types, [("a".into(), Kind::Float), ("b=c".into(), Kind::Text)]);
        assert!(read(&typed, &["q"]).unwrap_err().contains("it is for CSV"));
        assert!(typed.add_types("a").unwrap_err().contains("expected COLUMN=KIND"));
        assert!(typed.add_types("a=int").unwrap_err().contains("there is no \"int\""));
    }

    #[test]
    fn tables() {
        let mut options = SqlOptions::default();
        options.add_table("hosts=a=b.csv").unwrap();
        options.add_table("hosts.separator==").unwrap();
        let made: Vec<_> = options
            .tables
            .iter()
            .map(|table| (table.table.as_str(), table.key.as_str(), table.value.as_str()))
            .collect();
        assert_eq!(made, [("hosts", "file", "a=b.csv"), ("hosts", "separator", "=")]);
        let mut error = |text: &str| options.add_table(text).unwrap_err();
        for text in ["hosts.csv", "=a.csv", "hosts="] {
            assert!(error(text).starts_with("expected NAME=FILE"), "{text}");
        }
        assert_eq!(error("hosts=b.csv"), "hosts is given twice");
        assert_eq!(error("hosts.separator=;"), "hosts.separator is given twice");
        assert!(error(".y=z").starts_with("expected NAME.KEY=VALUE"));
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
            "there is no \"parquet\"; write influx, json, csv"
        );
        assert!(options.add_option("delay").unwrap_err().contains("expected KEY=VALUE"));
        assert!(options.add_option("=1").is_err());
        options.add_option("delay = 1s=").unwrap();
        assert_eq!(options.options, [("delay".to_owned(), "1s=".to_owned())]);
    }
}
