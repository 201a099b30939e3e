//! Writes a plugin's part of a table as TOML text of its own, and finds the way back from a byte of
//! that text to the file.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use headwater_plugin_api::config::{ConfigError, push_key, push_string};
use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Place, Severity};
use super::document::{Value, by_position};
use super::source::SourceFile;

/// What a plugin gets to read. It may hold secrets: `Debug` does not show it.
#[derive(Clone)]
pub struct PluginText {
    pub text: String,
    file: Arc<SourceFile>,
    /// Where the plugin's table begins.
    start: usize,
    parts: Vec<Part>,
}

/// A key or value of the text, and where it stands in the file.
#[derive(Debug, Clone)]
struct Part {
    emitted: Range<usize>,
    original: usize,
    /// Whether the text of the file was copied, byte by byte.
    copied: bool,
}

impl fmt::Debug for PluginText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginText({} bytes of {})", self.text.len(), self.place(None))
    }
}

impl PluginText {
    /// Where in the files bytes of the text come from; without any, or with such as lie nowhere,
    /// the plugin's table.
    pub fn place(&self, span: Option<&Range<usize>>) -> Place {
        self.file.place(self.offset(span))
    }

    /// Where the value of a key stands, by its dotted name; if it is not set, the plugin's table.
    pub fn place_of(&self, key: &str) -> Place {
        self.place(ConfigError::at(&self.text, key, "").span.as_ref())
    }

    /// What the plugin's own code found wrong: at the bytes it blames, else at the key.
    pub fn diagnose(
        &self,
        message: String,
        span: Option<&Range<usize>>,
        key: Option<&str>,
    ) -> Diagnostic {
        let place = match (span, key) {
            (None, Some(key)) => self.place_of(key),
            (span, _) => self.place(span),
        };
        Diagnostic { severity: Severity::Error, place: Some(place), message, help: None }
    }

    fn offset(&self, span: Option<&Range<usize>>) -> usize {
        let Some(span) = span else { return self.start };
        let holding = self
            .parts
            .iter()
            .filter(|part| part.emitted.start <= span.start && span.end <= part.emitted.end)
            .min_by_key(|part| part.emitted.len());
        match holding {
            Some(part) if part.copied => part.original + (span.start - part.emitted.start),
            Some(part) => part.original,
            None => self.start,
        }
    }
}

/// Writes the entries of `table`, one on a line. Text that no variable has changed is copied as it
/// stands, so that a place inside of a string, such as in a SQL statement, has its place in the
/// file.
pub fn emit(
    table: &DeTable<'_>,
    file: &Arc<SourceFile>,
    start: usize,
    changed: &HashSet<usize>,
) -> PluginText {
    let mut writer = Writer { out: String::new(), parts: Vec::new(), source: file.text(), changed };
    for (key, value) in by_position(table) {
        writer.key(key.get_ref(), key.span().start);
        writer.value(value);
        writer.out.push('\n');
    }
    PluginText { text: writer.out, file: file.clone(), start, parts: writer.parts }
}

struct Writer<'a> {
    out: String,
    parts: Vec<Part>,
    source: &'a str,
    changed: &'a HashSet<usize>,
}

impl Writer<'_> {
    fn part(&mut self, from: usize, original: usize, copied: bool) {
        self.parts.push(Part { emitted: from..self.out.len(), original, copied });
    }

    fn key(&mut self, key: &str, original: usize) {
        let from = self.out.len();
        push_key(&mut self.out, key);
        self.part(from, original, false);
        self.out.push_str(" = ");
    }

    fn value(&mut self, value: &Value<'_>) {
        let from = self.out.len();
        let span = value.span();
        let mut copied = false;
        match value.get_ref() {
            DeValue::String(text) if self.changed.contains(&span.start) => {
                push_string(&mut self.out, text);
            }
            DeValue::Array(items) => {
                self.out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.out.push_str(", ");
                    }
                    self.value(item);
                }
                self.out.push(']');
            }
            DeValue::Table(table) => {
                self.out.push('{');
                for (index, (key, value)) in by_position(table).into_iter().enumerate() {
                    self.out.push_str(if index > 0 { ", " } else { " " });
                    self.key(key.get_ref(), key.span().start);
                    self.value(value);
                }
                self.out.push_str(" }");
            }
            _ => {
                self.out.push_str(&self.source[span.clone()]);
                copied = true;
            }
        }
        self.part(from, span.start, copied);
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostics::Diagnostics;
    use super::super::document;
    use super::super::testing::Vars;
    use super::*;

    fn emitted(text: &str) -> PluginText {
        let file = Arc::new(SourceFile::new("f.toml", 0, text.into()));
        let mut diagnostics = Diagnostics::default();
        let mut document = document::parse(&file, &mut diagnostics).unwrap();
        document.expand_strings(true, &Vars(&[("A", "one\n\"two\"")]), &mut diagnostics);
        assert!(!diagnostics.has_errors());
        emit(&document.root, &file, 0, &document.changed)
    }

    #[test]
    fn means_the_same() {
        for text in [
            "",
            "z = 1\na = true\n'b c' = 0x1F\n",
            "i = 0b11\nj = 1_000\nk = +5\nf = 1e6\ng = -inf\nh = nan\nm = 1_0.5",
            "t = 1979-05-27T07:32:00Z\nu = 07:32:00",
            "s = '''\nraw \\ text\n'''\nq = \"\"\"\\\n   folded\"\"\"\nw = 'x'",
            "a = [1, [2, 'x'], { y = { z = [] } },]\ne = {}\nl = []",
            "[one]\nx = 1\n[[two]]\nx = 1\n[two.sub]\ny = 2\n[[two]]\n[[two.list]]\nz = 'ü'",
            "a.b.c = 1\na.b.d = 2\n\"\" = 3",
        ] {
            let again = emitted(text).text;
            let (left, right) = (again.parse::<toml::Table>(), text.parse::<toml::Table>());
            // NaN is not equal to itself, but it is written the same way.
            assert_eq!(
                format!("{:?}", left.unwrap()),
                format!("{:?}", right.unwrap()),
                "{text}\n{again}"
            );
        }
    }

    #[test]
    fn variables_are_values() {
        let plugin = emitted("a = '$A'\nb = ['''x $A''']");
        let table: toml::Table = plugin.text.parse().unwrap();
        assert_eq!(table["a"].as_str(), Some("one\n\"two\""));
        assert_eq!(table["b"][0].as_str(), Some("x one\n\"two\""));
    }

    #[test]
    fn the_way_back() {
        let text = "[[rule]]\n  pattern = '(a'\n\n[[rule]]\n  x = { y = [1,\n 2] }\n  query = '''\nSELECT\n  nope'''\n  e = '$A'\n";
        let plugin = emitted(text);
        let check = |needle: &str, line: usize, column: usize| {
            let at = plugin.text.find(needle).unwrap();
            let place = plugin.place(Some(&(at..at + needle.len())));
            assert_eq!((place.line, place.column), (line, column), "{needle}");
        };
        check("pattern", 2, 3);
        check("'(a'", 2, 13);
        check("a'", 2, 15);
        check("y", 5, 9);
        check("2]", 5, 13);
        check("2", 6, 2);
        check("nope", 9, 3);
        check("two", 10, 7);
        assert_eq!(plugin.place(None).to_string(), "f.toml:1:1");
        assert_eq!(plugin.place_of("rule.1.query").to_string(), "f.toml:7:11");
        assert_eq!(plugin.place_of("nothing").to_string(), "f.toml:1:1");
        assert_eq!(plugin.place(Some(&(9_000..9_001))).line, 1);
    }
}
