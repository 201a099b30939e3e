//! What is wrong with a plugin's table, and where.

use std::fmt;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// One thing that is wrong with a configuration text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One sentence with the value and the remedy, without the suggestion; `Display` writes both.
    pub message: String,
    /// The bytes of the text that are to blame.
    pub span: Option<Range<usize>>,
    /// The key, with the tables it lies in: `tags.pattern`.
    pub key: Option<String>,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

impl ConfigError {
    /// An error without a place, for what only the whole of the configuration shows.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), span: None, key: None, suggestion: None }
    }

    /// An error of one key of `text`: the place is where the key's value stands. A dotted name
    /// reaches into tables (`tags.pattern`), a number into lists (`tags.0.pattern`); without the
    /// last parts, the place is what was found.
    pub fn at(text: &str, key: &str, message: impl Into<String>) -> Self {
        let span = DeTable::parse(text).ok().and_then(|table| span_of(table.get_ref(), key));
        Self { message: message.into(), span, key: Some(key.to_owned()), suggestion: None }
    }

    /// What serde or the TOML parser found, with the key whose value holds the place.
    pub(super) fn from_toml(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().filter(|span| span.start <= span.end && span.end <= text.len());
        let key = span.as_ref().and_then(|span| {
            let table = DeTable::parse(text).ok()?;
            let mut path = Vec::new();
            path_to(table.get_ref(), span, &mut path);
            (!path.is_empty()).then(|| path.join("."))
        });
        let message = match &key {
            Some(key) if !error.message().contains('`') => {
                format!("`{}`: {}", key.rsplit('.').next().unwrap_or(key), error.message())
            }
            _ => error.message().to_owned(),
        };
        Self { message, span, key, suggestion: None }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(near) => write!(f, "; did you mean `{near}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

fn span_of(table: &DeTable<'_>, path: &str) -> Option<Range<usize>> {
    let mut parts = path.split('.');
    let first = parts.next()?;
    let mut value = table.iter().find(|(key, _)| key.get_ref() == first)?.1;
    for part in parts {
        let inner = match value.get_ref() {
            DeValue::Table(table) => {
                table.iter().find(|(key, _)| key.get_ref() == part).map(|(_, value)| value)
            }
            DeValue::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        match inner {
            Some(inner) => value = inner,
            None => break,
        }
    }
    Some(value.span())
}

/// Collects the keys on the way to `span`, as far as tables and lists hold it.
fn path_to(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) {
    for (key, value) in table {
        let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
        let before = path.len();
        path.push(key.get_ref().to_string());
        let found = holds(key.span()) || holds(value.span());
        match value.get_ref() {
            DeValue::Table(table) => path_to(table, span, path),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(table) = item.get_ref() {
                        path_to(table, span, path);
                    }
                    if path.len() > before + 1 {
                        break;
                    }
                }
            }
            _ => {}
        }
        if found || path.len() > before + 1 {
            return;
        }
        path.truncate(before);
    }
}
