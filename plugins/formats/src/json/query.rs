//! The paths of `json_query`, a part of GJSON's: keys, indices and `#` for all items of an array,
//! with dots between them.

use super::events::value;
use super::scan::{Bad, Why, bad, skip_blanks, string, unescape};
use crate::number::read::byte;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A key, or an index if it is a number and meets an array.
    Key(String),
    /// A key with wildcards `*` and `?`.
    Pattern(String),
    /// All items.
    All,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    steps: Vec<Step>,
}

impl Query {
    /// Reads a path.
    ///
    /// # Errors
    /// The notation that is not supported.
    pub fn new(path: &str) -> Result<Query, String> {
        let refused = |what: &str| {
            Err(format!(
                "\"{path}\": {what} not supported here; write keys, indices and one # with dots \
                 between them, and a backslash before a dot within a key"
            ))
        };
        let mut steps = Vec::new();
        let mut key = String::new();
        let mut pattern = false;
        let mut chars = path.chars().peekable();
        loop {
            match chars.next() {
                Some('\\') => match chars.next() {
                    Some(escaped) => {
                        if pattern {
                            key.push('\\');
                        }
                        key.push(escaped);
                    }
                    None => return refused("a backslash at the end is"),
                },
                Some('|') => return refused("the pipe `|` is"),
                Some('@') if key.is_empty() => return refused("modifiers such as `@reverse` are"),
                Some('{' | '[') if key.is_empty() => return refused("multipaths are"),
                Some('!') if key.is_empty() => return refused("literals are"),
                Some('#') if key.is_empty() && chars.peek() == Some(&'(') => {
                    return refused("queries `#(...)` are");
                }
                Some(wildcard @ ('*' | '?')) => {
                    if !pattern {
                        // What was literal so far must stay so.
                        key = key.replace('\\', "\\\\").replace('*', "\\*").replace('?', "\\?");
                        pattern = true;
                    }
                    key.push(wildcard);
                }
                Some(other) if other != '.' => key.push(other),
                end => {
                    let step = match key.as_str() {
                        "#" => Step::All,
                        "" => return refused("an empty step is"),
                        _ if pattern => Step::Pattern(std::mem::take(&mut key)),
                        _ => Step::Key(std::mem::take(&mut key)),
                    };
                    key.clear();
                    pattern = false;
                    steps.push(step);
                    if end.is_none() {
                        break;
                    }
                }
            }
        }
        if steps.iter().filter(|step| **step == Step::All).count() > 1 {
            return refused("more than one `#` is");
        }
        if steps.last() == Some(&Step::All) {
            return refused("a `#` at the end, which counts the items, is");
        }
        Ok(Query { steps })
    }

    /// Follows the path into the value at `start`, which is checked whole: the places of the values
    /// it leads to, and the value's end.
    pub fn follow(&self, text: &[u8], start: usize, found: &mut Vec<usize>) -> Result<usize, Bad> {
        found.clear();
        let end = skip(text, start)?;
        step_into(text, start, &self.steps, found)?;
        Ok(end)
    }
}

/// Follows `steps` into the value at `at`, which was checked.
fn step_into(text: &[u8], at: usize, steps: &[Step], found: &mut Vec<usize>) -> Result<(), Bad> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(at);
        return Ok(());
    };
    let open = byte(text, at);
    if !matches!(open, b'{' | b'[') {
        return Ok(());
    }
    let mut key = String::new();
    let mut index = 0_usize;
    let mut at = skip_blanks(text, at + 1);
    while !matches!(byte(text, at), b'}' | b']') {
        let matches = if open == b'{' {
            let (close, _) = string(text, at)?;
            key.clear();
            unescape(&mut key, text.get(at + 1..close).unwrap_or_default());
            at = skip_blanks(text, skip_blanks(text, close + 1) + 1);
            match step {
                Step::Key(wanted) => *wanted == key,
                Step::Pattern(pattern) => wildcard(pattern.as_bytes(), key.as_bytes()),
                Step::All => false,
            }
        } else {
            match step {
                Step::All => true,
                Step::Key(wanted) => wanted.parse() == Ok(index),
                Step::Pattern(_) => false,
            }
        };
        if matches {
            step_into(text, at, rest, found)?;
            if *step != Step::All {
                return Ok(());
            }
        }
        index += 1;
        at = skip_blanks(text, skip(text, at)?);
        if byte(text, at) == b',' {
            at = skip_blanks(text, at + 1);
        }
    }
    Ok(())
}

/// Whether a pattern with `*` and `?` matches; a backslash takes their meaning away.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // The last star, and how far it reaches.
    let mut star = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, from));
                at += 1;
                continue;
            }
            Some(b'?') => {
                at += 1;
                from += 1;
                continue;
            }
            Some(b'\\') if pattern.get(at + 1) == Some(&text[from]) => {
                at += 2;
                from += 1;
                continue;
            }
            Some(&byte) if byte == text[from] && byte != b'\\' => {
                at += 1;
                from += 1;
                continue;
            }
            _ => {}
        }
        let Some((behind, reach)) = star else { return false };
        star = Some((behind, reach + 1));
        at = behind;
        from = reach + 1;
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Checks the value at `start` and gives its end.
pub fn skip(text: &[u8], start: usize) -> Result<usize, Bad> {
    let mut open: Vec<u8> = Vec::new();
    let mut at = start;
    loop {
        match byte(text, at) {
            brace @ (b'{' | b'[') => {
                if open.len() == super::events::DEPTH_MAX {
                    return bad(at, Why::Depth);
                }
                let close = brace + 2;
                at = skip_blanks(text, at + 1);
                open.push(close);
                if byte(text, at) != close {
                    at = item(text, at, close)?;
                    continue;
                }
            }
            _ => {
                (_, at) = value(text, at)?;
                if open.is_empty() {
                    return Ok(at);
                }
                at = skip_blanks(text, at);
            }
        }
        while let Some(&close) = open.last() {
            if byte(text, at) == close {
                open.pop();
                at += 1;
                if open.is_empty() {
                    return Ok(at);
                }
                at = skip_blanks(text, at);
                continue;
            }
            if byte(text, at) != b',' {
                return bad(at, Why::Expected("a comma or a closing brace or bracket"));
            }
            at = item(text, skip_blanks(text, at + 1), close)?;
            break;
        }
    }
}

/// The place of the value of the item that begins at `at`.
fn item(text: &[u8], at: usize, close: u8) -> Result<usize, Bad> {
    if close == b']' {
        return Ok(at);
    }
    if byte(text, at) != b'"' {
        return bad(at, Why::Expected("a key in double quotes"));
    }
    let (end, _) = string(text, at)?;
    let colon = skip_blanks(text, end + 1);
    if byte(text, colon) != b':' {
        return bad(colon, Why::Expected("a colon behind the key"));
    }
    Ok(skip_blanks(text, colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(path: &str, text: &str) -> Vec<String> {
        let mut padded = text.as_bytes().to_vec();
        padded.extend_from_slice(&[b'\n'; 33]);
        let mut found = Vec::new();
        let end = Query::new(path).unwrap().follow(&padded, 0, &mut found).unwrap();
        assert_eq!(end, text.len());
        let value = |&at: &usize| text[at..skip(&padded, at).unwrap()].to_owned();
        found.iter().map(value).collect()
    }

    #[test]
    fn paths_lead_to_values() {
        let text = r#"{"a":{"b.c":[{"x":1},{"x":2,"y":{"z":3}}],"long key":[]},"":0,"q*":{"w":5},
            "n":[{"m":{"k":1}},{"no":1},{"m":{"k":2}}]}"#;
        for (path, expected) in [
            ("a.b\\.c", &[r#"[{"x":1},{"x":2,"y":{"z":3}}]"#][..]),
            ("a.b\\.c.1", &[r#"{"x":2,"y":{"z":3}}"#]),
            ("a.b\\.c.1.y", &[r#"{"z":3}"#]),
            ("a.b*.1.y", &[r#"{"z":3}"#]),
            ("a.long?key", &["[]"]),
            ("q\\*", &[r#"{"w":5}"#]),
            ("n.#.m", &[r#"{"k":1}"#, r#"{"k":2}"#]),
            ("n.3", &[]),
            ("missing.x", &[]),
            ("n.x", &[]),
        ] {
            assert_eq!(follow(path, text), expected, "{path}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for path in
            ["", "a..b", "a|b", "a.@reverse", "a.#(x==1)", "a.#", "a.#.b.#.c", "{a,b}", "a\\"]
        {
            assert!(Query::new(path).is_err(), "{path}");
        }
    }

    #[test]
    fn wildcards() {
        for (pattern, text, expected) in [
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("\\*x*", "*xyz", true),
            ("\\*x*", "axyz", false),
            ("*a*b*", "xxaxxbxx", true),
        ] {
            assert_eq!(wildcard(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
