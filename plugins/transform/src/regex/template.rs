//! Replacements: text with references to groups, read once.
//!
//! `$1`, `${1}`, `$name` and `${name}` stand for groups, `$$` for a dollar. A name is as long as
//! letters, digits and underscores go: `$1xx` is a group named `1xx`. A group that there is not, or
//! that took no part in the match, is empty; a dollar in front of anything else is a dollar.

use regex::Regex;

/// A replacement in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(usize),
}

impl Template {
    pub fn new(text: &str, regex: &Regex) -> Self {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('$') {
                plain.push('$');
                rest = behind;
                continue;
            }
            let Some((name, behind)) = reference(rest) else {
                plain.push('$');
                continue;
            };
            rest = behind;
            if let Some(group) = group_index(name, regex) {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Group(group));
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Template { parts }
    }

    /// Replaces all matches in `text`. `None` if nothing matches.
    ///
    /// # Errors
    /// The result would be longer than `limit` bytes.
    pub fn replace_all(
        &self,
        regex: &Regex,
        text: &str,
        limit: usize,
    ) -> Result<Option<String>, TooLong> {
        let mut out = Output { text, made: None, copied: 0, limit };
        if self.parts.iter().any(|part| matches!(part, Part::Group(group) if *group > 0)) {
            for captures in regex.captures_iter(text) {
                let Some(whole) = captures.get(0) else { continue };
                out.replace(whole.start(), whole.end(), &self.parts, |group| {
                    captures.get(group).map_or("", |group| group.as_str())
                })?;
            }
        } else {
            // Nobody asks where groups stand: they need not be found.
            for whole in regex.find_iter(text) {
                out.replace(whole.start(), whole.end(), &self.parts, |_| whole.as_str())?;
            }
        }
        out.finish()
    }
}

/// A text whose matches are replaced one after the other.
struct Output<'t> {
    text: &'t str,
    made: Option<String>,
    /// How far the text is copied or replaced.
    copied: usize,
    limit: usize,
}

impl<'t> Output<'t> {
    fn replace(
        &mut self,
        start: usize,
        end: usize,
        parts: &[Part],
        group: impl Fn(usize) -> &'t str,
    ) -> Result<(), TooLong> {
        let made = self.made.get_or_insert_with(|| String::with_capacity(self.text.len()));
        made.push_str(&self.text[self.copied..start]);
        for part in parts {
            made.push_str(match part {
                Part::Text(text) => text,
                Part::Group(index) => group(*index),
            });
            if made.len() > self.limit {
                return Err(TooLong);
            }
        }
        self.copied = end;
        Ok(())
    }

    fn finish(self) -> Result<Option<String>, TooLong> {
        let Some(mut made) = self.made else { return Ok(None) };
        made.push_str(&self.text[self.copied..]);
        if made.len() > self.limit { Err(TooLong) } else { Ok(Some(made)) }
    }
}

/// The result of a replacement is over its bound.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

/// The name behind a dollar, and what follows.
fn reference(text: &str) -> Option<(&str, &str)> {
    let (inner, braced) = match text.strip_prefix('{') {
        Some(inner) => (inner, true),
        None => (text, false),
    };
    let end = inner.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, behind) = inner.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced { Some((name, behind.strip_prefix('}')?)) } else { Some((name, behind)) }
}

fn group_index(name: &str, regex: &Regex) -> Option<usize> {
    let is_number =
        name.bytes().all(|b| b.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if is_number {
        return name.parse().ok().filter(|index| *index < regex.captures_len());
    }
    regex.capture_names().position(|own| own == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(pattern: &str, replacement: &str, text: &str) -> Option<String> {
        let regex = Regex::new(pattern).unwrap();
        Template::new(replacement, &regex).replace_all(&regex, text, 1000).unwrap()
    }

    #[test]
    fn groups_by_number_and_name() {
        let check = |replacement: &str, expected: &str| {
            let pattern = r"(?P<y>\d{4})-(\d\d)(x)?";
            assert_eq!(
                replaced(pattern, replacement, "on 2024-05!").as_deref(),
                Some(expected),
                "{replacement}"
            );
        };
        check("$1", "on 2024!");
        check("${2}/${1}", "on 05/2024!");
        check("$0", "on 2024-05!");
        check("${y}th", "on 2024th!");
        check("$yth", "on !");
        check("${1}xx", "on 2024xx!");
        check("$1xx", "on !");
        check("$3|$4|$01|$999999999999999999999", "on |||!");
        check("$$1 $", "on $1 $!");
        check("${1 $. ${} ${a b}", "on ${1 $. ${} ${a b}!");
        check("$1-$2", "on 2024-05!");
        check("", "on !");
        check("ünï", "on ünï!");
    }

    #[test]
    fn all_matches_are_replaced() {
        assert_eq!(replaced("a+", "-", "baaacad").as_deref(), Some("b-c-d"));
        assert_eq!(replaced("a*", "-", "baaac").as_deref(), Some("-b-c-"));
        assert_eq!(replaced("", "-", "é").as_deref(), Some("-é-"));
        assert_eq!(replaced("x", "-", "abc"), None);
        assert_eq!(replaced("a+", "[$0]", "baaacad").as_deref(), Some("b[aaa]c[a]d"));
        assert_eq!(replaced("(a)(b)?", "$2$1", "abac").as_deref(), Some("baac"));
    }

    #[test]
    fn growth_is_bounded() {
        let regex = Regex::new("").unwrap();
        let template = Template::new("0123456789", &regex);
        assert_eq!(template.replace_all(&regex, &"x".repeat(10), 100), Err(TooLong));
        assert!(template.replace_all(&regex, "x", 21).unwrap().is_some());
        assert_eq!(template.replace_all(&regex, "x", 20), Err(TooLong));
    }
}
