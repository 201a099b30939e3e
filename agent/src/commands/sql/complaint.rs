//! Errors as they are told: a statement's with a caret under the place, and refused lines.

/// How many refused lines are told one by one.
const TOLD: u64 = 10;
/// Characters of a statement's line that are shown.
const SHOWN: usize = 100;
/// Bytes of a refused line that are shown.
const EXCERPT: usize = 120;

/// Lines that a parser refused.
#[derive(Debug, Default)]
pub struct Refusals {
    pub count: u64,
    /// What is still to be told.
    pub told: Vec<String>,
    /// The first files that they stood in.
    pub files: Vec<String>,
}

impl Refusals {
    /// One more, at a line and a column in bytes.
    pub fn add(&mut self, file: &str, place: Option<(u64, usize)>, message: &str, record: &[u8]) {
        self.count += 1;
        if self.count > TOLD {
            return;
        }
        if !self.files.iter().any(|known| known == file) {
            self.files.push(file.to_owned());
        }
        let place = place.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        self.told.push(format!("{file}{place}: {message}{}", excerpt(record)));
    }

    /// What is to be said at the end.
    pub fn summary(&self) -> Option<String> {
        match self.count {
            0 => None,
            1 => Some("1 line was refused".to_owned()),
            n if n <= TOLD => Some(format!("{n} lines were refused")),
            n => Some(format!("{n} lines were refused, of which the first {TOLD} are shown")),
        }
    }
}

fn excerpt(record: &[u8]) -> String {
    let cut = &record[..record.len().min(EXCERPT)];
    let text = String::from_utf8_lossy(cut);
    let text: String =
        text.trim_end().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    match (text.is_empty(), record.len() > EXCERPT) {
        (true, _) => String::new(),
        (false, true) => format!(": {text}..."),
        (false, false) => format!(": {text}"),
    }
}

/// A statement's error, which begins with `line 1, column 8`, perhaps followed by ``, at `text` ``:
/// the sentence, and below it the line with carets under the place.
pub fn with_caret(query: &str, sentence: &str) -> String {
    match caret(query, sentence) {
        Some(caret) => format!("{sentence}\n{caret}"),
        None => sentence.to_owned(),
    }
}

fn caret(query: &str, sentence: &str) -> Option<String> {
    let (line, rest) = sentence.strip_prefix("line ")?.split_once(", column ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let (column, rest) = rest.split_at(digits);
    let text: Vec<char> =
        query.lines().nth(line.parse::<usize>().ok()?.checked_sub(1)?)?.chars().collect();
    let at = column.parse::<usize>().ok()?.checked_sub(1)?.min(text.len());
    let quoted = rest.strip_prefix(", at `").and_then(|rest| rest.split_once("`: "));
    let wanted = quoted.map_or(1, |(quoted, _)| quoted.chars().count()).max(1);
    // A long line is shown around the place.
    let from = if text.len() > SHOWN { at.saturating_sub(SHOWN / 2) } else { 0 };
    let to = text.len().min(from + SHOWN);
    let carets = wanted.min(to.saturating_sub(at).max(1));
    let (head, tail) =
        (if from > 0 { "..." } else { "" }, if to < text.len() { "..." } else { "" });
    let shown: String = text[from..to].iter().collect();
    let pad: String = text[from..at].iter().map(|c| if *c == '\t' { '\t' } else { ' ' }).collect();
    let blank = " ".repeat(head.len());
    Some(format!("  {head}{shown}{tail}\n  {blank}{pad}{}", "^".repeat(carets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carets_stand_under_the_place() {
        let query = "SELECT a,\n\tb + c\nFROM m";
        assert_eq!(
            with_caret(query, "line 2, column 2, at `b + c`: no"),
            "line 2, column 2, at `b + c`: no\n  \tb + c\n  \t^^^^^"
        );
        assert_eq!(
            with_caret(query, "line 3, column 7: end"),
            "line 3, column 7: end\n  FROM m\n        ^"
        );
        assert_eq!(
            with_caret(query, "line 1, column 8, at `a, b + c FROM m`: no").lines().last(),
            Some("         ^^")
        );
        for sentence in ["no place", "line 9, column 1: no", "line x, column 1: no"] {
            assert_eq!(with_caret(query, sentence), sentence);
        }
    }

    #[test]
    fn long_lines_are_shown_around_the_place() {
        let query = format!("SELECT {}bad{}", "x, ".repeat(100), ", y".repeat(100));
        let told = with_caret(&query, "line 1, column 308, at `bad`: no");
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[1].starts_with("  ...") && lines[1].ends_with("..."), "{told}");
        assert_eq!(lines[1].find("bad"), lines[2].find("^^^"), "{told}");
        assert!(lines[1].len() < 120, "{told}");
    }

    #[test]
    fn the_first_lines_are_told_and_all_are_counted() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.summary(), None);
        refusals.add("f", Some((3, 5)), "no value", b"cpu v=\x07\n");
        assert_eq!(refusals.told, ["f:3:5: no value: cpu v=\u{fffd}"]);
        assert_eq!(refusals.summary().unwrap(), "1 line was refused");
        (0..20).for_each(|_| refusals.add("f", None, "no", &[b'x'; 500]));
        assert_eq!(refusals.told.len(), 10);
        assert_eq!(refusals.told[9], format!("f: no: {}...", "x".repeat(120)));
        assert_eq!(
            refusals.summary().unwrap(),
            "21 lines were refused, of which the first 10 are shown"
        );
    }
}
