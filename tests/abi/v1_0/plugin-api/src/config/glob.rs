//! Telegraf's globs, compiled once.
//!
//! | pattern | matches |
//! |---|---|
//! | `*` | any characters, none too, but no separator |
//! | `**` | any characters, separators too |
//! | `?` | one character that is no separator |
//! | `[abc]`, `[a-z]`, `[!a-z]` | one character of the set, or outside it |
//! | `{cpu,mem*}` | one of the alternatives, which are patterns themselves |
//! | `\x` | the character `x` |
//!
//! Separators are none unless they are given; `*` and `**` are the same then. Letter case matters.
//! What most patterns are (a plain name, `x*`, `*x`, `*x*`, `x*y`) is compared as text. The rest
//! runs as a state machine whose time is bounded by the length of the text times that of the
//! pattern, whatever the pattern: no backtracking.

mod machine;
mod pattern;

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::text;
use super::value::{ConfigValue, Kind};
use machine::Machine;
use pattern::Node;

/// A compiled pattern.
#[derive(Clone)]
pub struct Glob {
    pattern: Box<str>,
    form: Form,
}

#[derive(Clone)]
enum Form {
    Everything,
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Around(Box<str>, Box<str>),
    Machine(Machine),
}

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobError {
    pub message: String,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for GlobError {}

impl Glob {
    /// A pattern without separators.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        Self::with_separators(pattern, "")
    }

    /// A pattern whose `*` and `?` do not cross the characters of `separators`.
    pub fn with_separators(pattern: &str, separators: &str) -> Result<Self, GlobError> {
        let nodes = pattern::parse(pattern).map_err(|message| GlobError { message })?;
        let form = Form::of(&nodes, separators);
        Ok(Self { pattern: pattern.into(), form })
    }

    pub fn matches(&self, text: &str) -> bool {
        match &self.form {
            Form::Everything => true,
            Form::Exact(all) => text == &**all,
            Form::Prefix(start) => text.starts_with(&**start),
            Form::Suffix(end) => text.ends_with(&**end),
            Form::Contains(part) => text.contains(&**part),
            Form::Around(start, end) => {
                text.len() >= start.len() + end.len()
                    && text.starts_with(&**start)
                    && text.ends_with(&**end)
            }
            Form::Machine(machine) => machine.matches(text),
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// The only text that matches, if there is just one.
    pub fn as_exact(&self) -> Option<&str> {
        match &self.form {
            Form::Exact(all) => Some(all),
            _ => None,
        }
    }
}

impl Form {
    fn of(nodes: &[Node], separators: &str) -> Self {
        // Literal runs become strings; a star that stops nowhere becomes a gap between them.
        enum Part {
            Text(String),
            Gap,
        }
        let mut parts: Vec<Part> = Vec::new();
        for node in nodes {
            match node {
                Node::Char(c) => match parts.last_mut() {
                    Some(Part::Text(text)) => text.push(*c),
                    _ => parts.push(Part::Text((*c).into())),
                },
                Node::Star { crosses } if *crosses || separators.is_empty() => {
                    if !matches!(parts.last(), Some(Part::Gap)) {
                        parts.push(Part::Gap);
                    }
                }
                _ => return Self::Machine(Machine::new(nodes, separators)),
            }
        }
        let text = |text: &str| text.to_owned().into_boxed_str();
        match parts.as_slice() {
            [] => Self::Exact("".into()),
            [Part::Gap] => Self::Everything,
            [Part::Text(all)] => Self::Exact(text(all)),
            [Part::Text(start), Part::Gap] => Self::Prefix(text(start)),
            [Part::Gap, Part::Text(end)] => Self::Suffix(text(end)),
            [Part::Gap, Part::Text(part), Part::Gap] => Self::Contains(text(part)),
            [Part::Text(start), Part::Gap, Part::Text(end)] => Self::Around(text(start), text(end)),
            _ => Self::Machine(Machine::new(nodes, separators)),
        }
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.pattern)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(pattern: &str) -> Result<Self, GlobError> {
        Self::new(pattern)
    }
}

struct GlobVisitor;

impl Visitor<'_> for GlobVisitor {
    type Value = Glob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a glob")
    }

    fn visit_str<E: Error>(self, pattern: &str) -> Result<Glob, E> {
        Glob::new(pattern).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(GlobVisitor)
    }
}

impl ConfigValue for Glob {
    fn kind() -> Kind {
        Kind::String
    }

    fn to_text(&self) -> Option<String> {
        Some(text::quote(&self.pattern))
    }
}

#[cfg(test)]
mod tests;
