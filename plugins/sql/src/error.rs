//! What is wrong with a statement, and where it stands.

use std::fmt;

/// A stretch of the query: 1-based lines and columns in characters, the end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Area {
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
}

impl Area {
    /// The area from the beginning of one to the end of another.
    pub fn to(self, end: Area) -> Area {
        Area { end_line: end.end_line, end_column: end.end_column, ..self }
    }

    /// The text that stands there, on one line and shortened if it is long.
    pub fn text(&self, query: &str) -> String {
        let mut text = String::new();
        for (at, line) in query.lines().enumerate() {
            let number = at as u32 + 1;
            if number < self.line || number > self.end_line {
                continue;
            }
            let from = if number == self.line { self.column.saturating_sub(1) } else { 0 };
            let to =
                if number == self.end_line { self.end_column.saturating_sub(1) } else { u32::MAX };
            let part: String =
                line.chars().skip(from as usize).take(to.saturating_sub(from) as usize).collect();
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(part.trim());
        }
        // The parser ends a call before its bracket.
        let open = text.matches('(').count().saturating_sub(text.matches(')').count());
        if open > 0
            && let Some(line) = query.lines().nth(self.end_line.saturating_sub(1) as usize)
        {
            let rest = line.chars().skip(self.end_column.saturating_sub(1) as usize);
            text.extend(rest.take_while(|c| *c == ')').take(open));
        }
        if text.chars().count() > 60 {
            text = text.chars().take(57).collect::<String>() + "...";
        }
        text
    }
}

/// A statement that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub area: Area,
    pub message: String,
}

impl SqlError {
    pub fn new(area: Area, message: impl Into<String>) -> Self {
        SqlError { area, message: message.into() }
    }

    /// The sentence with the place and the text that stands there.
    pub fn sentence(&self, query: &str) -> String {
        let text = self.area.text(query);
        let place = format!("line {}, column {}", self.area.line, self.area.column);
        if text.is_empty() {
            return format!("{place}: {}", self.message);
        }
        format!("{place}, at `{text}`: {}", self.message)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.area.line, self.area.column, self.message)
    }
}

impl std::error::Error for SqlError {}

/// The outcome of a step of the front end.
pub type Result<T> = std::result::Result<T, SqlError>;

/// Counts of what failed while points were worked on; each failure made its value NULL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// An integer that fits neither 64-bit type.
    pub overflow: u64,
    /// Division or modulo by zero.
    pub zero: u64,
    /// Operands of kinds that do not go together.
    pub kinds: u64,
    /// Text that is no number, time or the like.
    pub cast: u64,
    /// A function outside its domain, such as the root of a negative number; infinite floats.
    pub domain: u64,
    /// Text longer than is allowed.
    pub size: u64,
    /// What was to be merged is no state of that aggregate.
    pub state: u64,
    /// A group with more distinct values than there was room for.
    pub room: u64,
}

impl Failures {
    /// Adds other counts.
    pub fn add(&mut self, other: &Failures) {
        self.overflow += other.overflow;
        self.zero += other.zero;
        self.kinds += other.kinds;
        self.cast += other.cast;
        self.domain += other.domain;
        self.size += other.size;
        self.state += other.state;
        self.room += other.room;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_quote_what_stands_there() {
        let query = "SELECT a,\n  b + c\nFROM m";
        let area = Area { line: 2, column: 3, end_line: 2, end_column: 8 };
        let error = SqlError::new(area, "no");
        assert_eq!(error.sentence(query), "line 2, column 3, at `b + c`: no");
        let area = Area { line: 1, column: 8, end_line: 2, end_column: 4 };
        assert_eq!(area.text(query), "a, b");
        let call = Area { line: 1, column: 8, end_line: 1, end_column: 11 };
        assert_eq!(call.text("SELECT f(a) FROM m"), "f(a)");
        let end = Area { line: 9, column: 1, end_line: 9, end_column: 1 };
        assert_eq!(SqlError::new(end, "no").sentence(query), "line 9, column 1: no");
    }
}
