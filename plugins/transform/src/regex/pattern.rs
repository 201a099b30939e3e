//! Patterns as Telegraf's users write them, which is Go's dialect, for the `regex` crate.
//!
//! Both are RE2's family and run in linear time. What differs is rewritten before compiling: `\d`,
//! `\w`, `\s` and `\b` mean ASCII; `{` that begins no repetition is a brace; inside a class `[`,
//! `&&`, `--` and `~~` are plain characters; `\Q...\E` quotes; `\<` and `\>` are themselves.

use std::fmt;

use headwater_plugin_api::config::{ConfigValue, Kind, quote};
use regex::{Regex, RegexBuilder};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Bytes of a compiled pattern, the crate's own bound written down.
const COMPILED_BYTES_MAX: usize = 10 << 20;

/// A compiled regular expression.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, String> {
        let regex = RegexBuilder::new(&translate(text))
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| explain(text, &error))?;
        Ok(Pattern { text: text.to_owned(), regex })
    }

    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// The names of all groups, if there is one and each has a name.
    pub fn named_groups(&self) -> Option<Vec<String>> {
        let names: Option<Vec<String>> =
            self.regex.capture_names().skip(1).map(|name| name.map(str::to_owned)).collect();
        names.filter(|names| !names.is_empty())
    }
}

fn explain(text: &str, error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("the pattern `{text}` needs more than {limit} bytes; repeat less in it")
        }
        other => {
            let shown = other.to_string();
            let reason = shown.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("`{text}` is not a regular expression: {reason}")
        }
    }
}

/// Go's dialect as the crate's.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = escape(rest, &mut out),
            '[' => rest = class(rest, &mut out),
            '{' if !is_repetition(rest) => out.push_str(r"\{"),
            other => out.push(other),
        }
    }
    out
}

/// What stands behind a backslash outside a class.
fn escape<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let Some(c) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    let behind = &rest[c.len_utf8()..];
    match c {
        'Q' => {
            let (quoted, behind) = behind.split_once(r"\E").unwrap_or((behind, ""));
            out.push_str(&regex::escape(quoted));
            return behind;
        }
        'b' => out.push_str(r"(?-u:\b)"),
        'B' => out.push_str(r"(?-u:\B)"),
        '<' | '>' => out.push(c),
        'p' | 'P' | 'x' if behind.starts_with('{') => {
            let len = behind.find('}').map_or(behind.len(), |end| end + 1);
            out.push('\\');
            out.push(c);
            out.push_str(&behind[..len]);
            return &behind[len..];
        }
        _ => match perl_class(c) {
            Some((negated, ranges)) => {
                out.push_str(if negated { "[^" } else { "[" });
                out.push_str(ranges);
                out.push(']');
            }
            None => {
                out.push('\\');
                out.push(c);
            }
        },
    }
    behind
}

/// A class, without its opening bracket, up to and with the closing one.
fn class<'a>(mut rest: &'a str, out: &mut String) -> &'a str {
    out.push('[');
    if let Some(behind) = rest.strip_prefix('^') {
        out.push('^');
        rest = behind;
    }
    if let Some(behind) = rest.strip_prefix(']') {
        out.push_str(r"\]");
        rest = behind;
    }
    let mut last = ' ';
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            ']' => {
                out.push(']');
                return rest;
            }
            '[' => match posix_class(rest) {
                Some(len) => {
                    out.push('[');
                    out.push_str(&rest[..len]);
                    rest = &rest[len..];
                }
                None => out.push_str(r"\["),
            },
            '\\' => {
                let Some(c) = rest.chars().next() else {
                    out.push('\\');
                    return rest;
                };
                rest = &rest[c.len_utf8()..];
                match perl_class(c) {
                    Some((true, ranges)) => {
                        out.push_str("[^");
                        out.push_str(ranges);
                        out.push(']');
                    }
                    Some((false, ranges)) => out.push_str(ranges),
                    None if matches!(c, '<' | '>') => out.push(c),
                    None => {
                        out.push('\\');
                        out.push(c);
                    }
                }
                last = ' ';
                continue;
            }
            '&' | '~' | '-' if c == last => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
        last = c;
    }
    rest
}

/// Whether a class is negated, and its ranges.
fn perl_class(c: char) -> Option<(bool, &'static str)> {
    let ranges = match c.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\f\r ",
        _ => return None,
    };
    Some((c.is_ascii_uppercase(), ranges))
}

/// The length of `:alpha:]` and the like.
fn posix_class(rest: &str) -> Option<usize> {
    let name = rest.strip_prefix(':')?;
    let end = name.find(":]")?;
    let inner = name[..end].strip_prefix('^').unwrap_or(&name[..end]);
    inner.bytes().all(|b| b.is_ascii_lowercase()).then_some(end + 3)
}

/// Whether `{` is followed by `n}`, `n,}` or `n,m}`.
fn is_repetition(rest: &str) -> bool {
    let Some((counts, _)) = rest.split_once('}') else { return false };
    let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

struct PatternVisitor;

impl Visitor<'_> for PatternVisitor {
    type Value = Pattern;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a regular expression")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Pattern, E> {
        Pattern::new(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(PatternVisitor)
    }
}

impl ConfigValue for Pattern {
    fn kind() -> Kind {
        Kind::String
    }

    fn to_text(&self) -> Option<String> {
        Some(quote(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_matches() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            let compiled = Pattern::new(pattern).unwrap();
            for text in yes {
                assert!(compiled.regex().is_match(text), "{pattern} should match {text:?}");
            }
            for text in no {
                assert!(!compiled.regex().is_match(text), "{pattern} should not match {text:?}");
            }
        };
        check(r"^(\d)\d\d$", &["200"], &["٢٠٠", "20", "2000", "200\n"]);
        check(r"^\w+$", &["az_09"], &["é", "a b"]);
        check(r"^[\w.]+$", &["a.b"], &["é"]);
        check(r"^[^\W_]+$", &["a9"], &["a_", "é"]);
        check(r"^\s$", &[" ", "\t", "\n", "\u{c}", "\r"], &["\u{a0}", "\u{b}"]);
        check(r"^\S$", &["\u{a0}", "é"], &[" "]);
        check(r"\bcat\b", &["a cat.", "écaté cat"], &["concat"]);
        check(r#"^{"id":\d{2,3}}$"#, &[r#"{"id":12}"#], &[r#"{"id":1}"#]);
        check("a{,2}", &["a{,2}"], &["aa"]);
        check("x{", &["x{"], &["x"]);
        check("^[[a]+$", &["[a["], &["b"]);
        check("^[a&&b]+$", &["a&b"], &["c"]);
        check("^[+--]+$", &["+,-"], &["."]);
        check("^[]a]+$", &["]a"], &["b"]);
        check("^[^]a]+$", &["b"], &["]"]);
        check("^[[:digit:][:^space:]]+$", &["1x"], &[" "]);
        check(r"^\Qa.b[\E+$", &["a.b[", "a.b[["], &["axb["]);
        check(r"^\<b\>$", &["<b>"], &["b"]);
        check(r"^\p{Greek}\pL$", &["αβ"], &["ab", "α1"]);
        check(r"^\x{e9}\x41$", &["éA"], &["e"]);
        check("(?i)^straße$", &["STRAßE"], &["STRASSE"]);
        check("^.$", &["é"], &["\n", "ab"]);
        check("(?s)^.$", &["\n"], &[]);
        check("", &["", "x"], &[]);
    }

    #[test]
    fn refusals_quote_the_pattern() {
        let check = |pattern: &str, part: &str| {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.contains(pattern) && error.contains(part), "{error}");
        };
        check("(a", "unclosed group");
        check("[a", "unclosed character class");
        check("a(?=b)", "look-around");
        check("\\", "incomplete escape sequence");
        check("[\\", "incomplete escape sequence");
        check(r"\p{", "");
        check(r"\p{Klingon}", "Unicode property not found");
    }
}
