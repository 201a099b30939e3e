//! What is wrong with a configuration, said all at once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use headwater_plugin_api::config::ConfigError;

use super::source::SourceFile;

/// More than this are counted and not kept.
pub const DIAGNOSTICS_MAX: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but something in it has no effect.
    Warning,
}

/// A position in a file, for people: both counts begin at 1, and a column is one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// None for what lies in no file: a file that cannot be read, a wrong option of the command
    /// line.
    pub place: Option<Place>,
    pub message: String,
    /// What to do about it, if that can be said.
    pub help: Option<String>,
}

impl Diagnostic {
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// `file:line:column: error: message`, and the help on a line of its own.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let word = if self.is_error() { "error" } else { "warning" };
        write!(f, "{word}: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Collects diagnostics while files are read, and hands them out in the order of the files.
#[derive(Default)]
pub struct Diagnostics {
    found: Vec<((usize, usize), Diagnostic)>,
    dropped: usize,
    errors: usize,
}

impl Diagnostics {
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors there are so far.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Whether what follows is only counted, so that nobody need find words for it.
    pub fn is_full(&self) -> bool {
        self.found.len() == DIAGNOSTICS_MAX
    }

    /// An error that lies in no file.
    pub fn error_nowhere(&mut self, message: impl Into<String>, help: Option<String>) {
        self.push((0, 0), Severity::Error, None, message.into(), help);
    }

    pub fn warning_nowhere(&mut self, message: impl Into<String>) {
        self.push((0, 0), Severity::Warning, None, message.into(), None);
    }

    /// An error at a byte of a file's text.
    pub fn error(
        &mut self,
        file: &SourceFile,
        offset: usize,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.at(Severity::Error, file, offset, message.into(), help);
    }

    pub fn warning(
        &mut self,
        file: &SourceFile,
        offset: usize,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.at(Severity::Warning, file, offset, message.into(), help);
    }

    /// What a check against a schema found; without a place of its own it lies at `fallback`.
    pub fn config_error(&mut self, file: &SourceFile, error: ConfigError, fallback: usize) {
        let offset = error.span.map_or(fallback, |span| span.start);
        let help = error.suggestion.map(|near| did_you_mean(&near));
        self.at(Severity::Error, file, offset, error.message, help);
    }

    /// What serde found.
    pub fn toml_error(
        &mut self,
        file: &SourceFile,
        error: &toml::de::Error,
        fallback: Range<usize>,
    ) {
        let offset = error.span().unwrap_or(fallback).start;
        self.at(Severity::Error, file, offset, error.message().to_owned(), None);
    }

    fn at(
        &mut self,
        severity: Severity,
        file: &SourceFile,
        offset: usize,
        message: String,
        help: Option<String>,
    ) {
        let place = (!self.is_full()).then(|| file.place(offset));
        self.push((file.order() + 1, offset), severity, place, message, help);
    }

    fn push(
        &mut self,
        order: (usize, usize),
        severity: Severity,
        place: Option<Place>,
        message: String,
        help: Option<String>,
    ) {
        self.errors += usize::from(severity == Severity::Error);
        if self.is_full() {
            self.dropped += 1;
            return;
        }
        self.found.push((order, Diagnostic { severity, place, message, help }));
    }

    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(order, _)| *order);
        let mut list: Vec<Diagnostic> =
            self.found.into_iter().map(|(_, diagnostic)| diagnostic).collect();
        if self.dropped > 0 {
            let severity = if self.errors > 0 { Severity::Error } else { Severity::Warning };
            let message = format!("{} more of them are not shown", self.dropped);
            list.push(Diagnostic { severity, place: None, message, help: None });
        }
        list
    }
}

pub fn did_you_mean(near: &str) -> String {
    format!("did you mean `{near}`?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rendered_for_terminals_and_editors() {
        let file = SourceFile::new("a.toml", 0, "x = 1\n  y = 2\n".into());
        let mut diagnostics = Diagnostics::default();
        diagnostics.warning(&file, 8, "the key `y`", Some("did you mean `z`?".into()));
        diagnostics.error(&file, 0, "the key `x`", None);
        diagnostics.error_nowhere("no file", None);
        assert!(diagnostics.has_errors());
        let lines: Vec<String> = diagnostics.finish().iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "error: no file",
                "a.toml:1:1: error: the key `x`",
                "a.toml:2:3: warning: the key `y`\n  help: did you mean `z`?"
            ]
        );
    }

    #[test]
    fn bounded() {
        let mut diagnostics = Diagnostics::default();
        for _ in 0..DIAGNOSTICS_MAX + 7 {
            diagnostics.error_nowhere("again", None);
        }
        let list = diagnostics.finish();
        assert_eq!(list.len(), DIAGNOSTICS_MAX + 1);
        assert_eq!(list.last().unwrap().to_string(), "error: 7 more of them are not shown");
    }
}
