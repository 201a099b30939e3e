//! TOML text to a tree whose keys and values know where they stand.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Environment;
use super::diagnostics::Diagnostics;
use super::source::SourceFile;
use super::variables;

pub type Key<'a> = Spanned<DeString<'a>>;
pub type Value<'a> = Spanned<DeValue<'a>>;

/// After a syntax error the parser goes on; more of them than this in one file are not shown.
const SYNTAX_ERRORS_MAX: usize = 20;

/// One file, parsed.
pub struct Document<'a> {
    pub file: &'a Arc<SourceFile>,
    pub root: DeTable<'a>,
    /// Where the strings begin that variables have changed: what stands in the file is not their
    /// value.
    pub changed: HashSet<usize>,
}

/// Parses a file. All its syntax errors are reported, one for each line; with any, the rest of the
/// file says nothing reliable.
pub fn parse<'a>(file: &'a Arc<SourceFile>, diagnostics: &mut Diagnostics) -> Option<Document<'a>> {
    let (root, errors) = DeTable::parse_recoverable(file.text());
    let mut lines = HashSet::new();
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        if lines.insert(file.place(offset).line) && lines.len() <= SYNTAX_ERRORS_MAX {
            diagnostics.error(file, offset, format!("not TOML: {}", error.message()), None);
        }
    }
    errors.is_empty().then(|| Document { file, root: root.into_inner(), changed: HashSet::new() })
}

impl Document<'_> {
    /// Replaces variables inside string values, and refuses references to secret stores there.
    pub fn expand_strings(
        &mut self,
        strict: bool,
        environment: &dyn Environment,
        diagnostics: &mut Diagnostics,
    ) {
        let file = self.file;
        let changed = &mut self.changed;
        each_string(&mut self.root, &mut |start, end, text| {
            if strict {
                match variables::expand(text, environment) {
                    Ok(new) if new != *text => {
                        let new = new.into_owned();
                        changed.insert(start);
                        *text = Cow::Owned(new);
                    }
                    Ok(_) => {}
                    Err(error) => {
                        // Where the variable stands in the file, unless it is written with escapes.
                        let raw = &file.text()[start..end];
                        let within = raw.find(&text[error.span]).unwrap_or(0);
                        diagnostics.error(file, start + within, error.message, None);
                    }
                }
            }
            if let Some(reference) = secret_reference(text) {
                let message =
                    format!("`{reference}` refers to a secret store, and Headwater has none yet");
                let help = "give the secret by an environment variable, such as \"${TOKEN}\"";
                diagnostics.error(file, start, message, Some(help.into()));
            }
        });
    }
}

fn each_string<'a>(
    table: &mut DeTable<'a>,
    visit: &mut impl FnMut(usize, usize, &mut Cow<'a, str>),
) {
    for (_, value) in table.iter_mut() {
        each_string_in(value, visit);
    }
}

fn each_string_in<'a>(
    value: &mut Value<'a>,
    visit: &mut impl FnMut(usize, usize, &mut Cow<'a, str>),
) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) => visit(span.start, span.end, text),
        DeValue::Array(items) => items.iter_mut().for_each(|item| each_string_in(item, visit)),
        DeValue::Table(table) => each_string(table, visit),
        _ => {}
    }
}

/// The first `@{store:key}` of a text.
fn secret_reference(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(at) = rest.find("@{") {
        rest = &rest[at..];
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let inner = &rest[2..];
        if let Some(end) = inner.find('}')
            && let Some((store, key)) = inner[..end].split_once(':')
            && !store.is_empty()
            && !key.is_empty()
            && store.chars().all(word)
            && key.chars().all(word)
        {
            return Some(&rest[..end + 3]);
        }
        rest = inner;
    }
    None
}

/// A table's entries in the order of the text; the tree itself is sorted by name.
pub fn by_position<'t, 'a>(table: &'t DeTable<'a>) -> Vec<(&'t Key<'a>, &'t Value<'a>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

#[cfg(test)]
mod tests {
    use super::super::testing::Vars;
    use super::*;

    fn diagnose(text: &str) -> Vec<String> {
        let file = Arc::new(SourceFile::new("f", 0, text.into()));
        let mut diagnostics = Diagnostics::default();
        if let Some(mut document) = parse(&file, &mut diagnostics) {
            document.expand_strings(true, &Vars(&[("A", "one")]), &mut diagnostics);
        }
        diagnostics.finish().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn telegrafs_dialect() {
        assert_eq!(diagnose("\u{feff}a = { b = 1, c = 2, }\n"), [""; 0]);
        assert_eq!(diagnose("a = { b = 1,\n  c = 2\n}\r\n"), [""; 0]);
    }

    #[test]
    fn all_syntax_errors_of_a_file() {
        let said = diagnose("a = \nb = 1\nc = [1, 2\n\n[x\ny = 1");
        assert!(said[0].starts_with("f:1:"), "{said:?}");
        assert!(said.len() >= 2, "{said:?}");
        assert!(said.iter().all(|line| line.contains("error: not TOML: ")), "{said:?}");
        let said = diagnose("a = 1\n\na = 2");
        assert!(said[0].starts_with("f:3:1: error: not TOML: duplicate key"), "{said:?}");
    }

    #[test]
    fn strings_are_expanded_in_place() {
        let text = "a = '$A'\nb = [\"${A}\", 'x', { c = '''\n$A''' }]";
        let file = Arc::new(SourceFile::new("f", 0, text.into()));
        let mut diagnostics = Diagnostics::default();
        let mut document = parse(&file, &mut diagnostics).unwrap();
        document.expand_strings(true, &Vars(&[("A", "one")]), &mut diagnostics);
        assert_eq!(document.root["a"].get_ref().as_str(), Some("one"));
        assert_eq!(document.changed.len(), 3);
        assert_eq!(
            diagnose("x = 1\na = \"é ${NONE:?no}\""),
            ["f:2:8: error: the environment variable `NONE` is missing: no"]
        );
    }

    #[test]
    fn secret_stores_are_refused() {
        let said = diagnose("a = [\"Token @{vault:influx-token}\"]");
        assert!(
            said[0].starts_with("f:1:6: error: `@{vault:influx-token}` refers to a secret store"),
            "{said:?}"
        );
        for text in ["a@{b}", "@{:x}", "@{a:b c}", "@{", "x@{a:}", "@{@{a"] {
            assert_eq!(secret_reference(text), None, "{text}");
        }
        assert_eq!(secret_reference("@{ @{a:b}"), Some("@{a:b}"));
    }
}
