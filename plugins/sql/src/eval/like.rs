//! LIKE patterns: `%` for any characters, `_` for one.

use super::text::{lower, small};

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Like {
    parts: Vec<Part>,
    fold: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Char(char),
    One,
    Many,
}

/// Whether a pattern ends in an escape character that escapes nothing.
pub fn ends_in_escape(pattern: &str, escape: Option<char>) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape && chars.next().is_none() {
            return true;
        }
    }
    false
}

impl Like {
    /// Compiles a pattern; `fold` if letter case does not matter.
    pub fn new(pattern: &str, escape: Option<char>, fold: bool) -> Self {
        let mut parts = Vec::new();
        let folded = |c: char| Part::Char(if fold { small(c) } else { c });
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            match c {
                c if Some(c) == escape => parts.extend(chars.next().map(folded)),
                '%' if parts.last() == Some(&Part::Many) => {}
                '%' => parts.push(Part::Many),
                '_' => parts.push(Part::One),
                c => parts.push(folded(c)),
            }
        }
        Like { parts, fold }
    }

    /// Whether all of `text` matches. Time is bounded by the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        if self.fold { self.run(&lower(text)) } else { self.run(text) }
    }

    fn run(&self, text: &str) -> bool {
        let mut rest = text.chars();
        let mut at = 0;
        // Where to go on when a guess at how much `%` takes was wrong.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            match (self.parts.get(at), rest.next()) {
                (Some(Part::Many), _) => {
                    rest = before;
                    retry = Some((at, rest.clone()));
                    at += 1;
                }
                (Some(Part::Char(want)), Some(c)) if *want == c => at += 1,
                (Some(Part::One), Some(_)) => at += 1,
                (None, None) => return true,
                _ => {
                    let Some((many, mut from)) = retry.take() else { return false };
                    if from.next().is_none() {
                        return false;
                    }
                    rest = from.clone();
                    retry = Some((many, from));
                    at = many + 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(
                Like::new(pattern, Some('\\'), false).matches(text),
                expected,
                "{pattern} {text}"
            );
        };
        for text in ["", "a", "abc"] {
            check("%", text, true);
            check("%%", text, true);
        }
        check("", "", true);
        check("", "a", false);
        check("_", "ä", true);
        check("_", "", false);
        check("a%c", "abbbc", true);
        check("a%c", "abbbcd", false);
        check("%b%b%", "abab", true);
        check("%b_", "abxbbx", true);
        check("100\\%", "100%", true);
        check("100\\%", "1000", false);
        check("%aab", "aaaab", true);
        assert!(Like::new("CPU%", Some('\\'), true).matches("cpu-Total"));
        assert!(!Like::new("CPU%", Some('\\'), false).matches("cpu-Total"));
        assert!(Like::new("a!%", Some('!'), false).matches("a%"));
        // Letter by letter: no letter becomes two, none depends on where it stands.
        assert!(Like::new("_x", None, true).matches("İx"));
        assert!(Like::new("%σ", None, true).matches("ΟΔΟΣ"));
        assert!(Like::new("a\\%", None, false).matches("a\\b"));
    }

    #[test]
    fn an_escape_character_at_the_end_escapes_nothing() {
        for (pattern, expected) in [
            ("\\", true),
            ("a\\", true),
            ("\\\\", false),
            ("\\\\\\", true),
            ("", false),
            ("\\%", false),
        ] {
            assert_eq!(ends_in_escape(pattern, Some('\\')), expected, "{pattern}");
        }
        assert!(ends_in_escape("a!", Some('!')) && !ends_in_escape("a\\", None));
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = "%a".repeat(2000) + "b";
        assert!(!Like::new(&pattern, None, false).matches(&"a".repeat(20_000)));
    }
}
