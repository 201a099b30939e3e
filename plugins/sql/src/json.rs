//! JSON that functions write.

use std::fmt::Write as _;

use crate::vector::Cell;

/// Appends a value; what JSON has no form for is a text.
pub fn push(out: &mut String, cell: Cell<'_>) {
    match (cell, cell.text()) {
        (Cell::Bool(_) | Cell::Int(..) | Cell::Float(_), Some(plain)) => out.push_str(&plain),
        (_, Some(text)) => push_text(out, &text),
        (_, None) => out.push_str("null"),
    }
}

/// Appends a text in its quotes.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let mut out = String::new();
        push_text(&mut out, "a\"b\\c\n\u{1}\u{e4}");
        assert_eq!(out, "\"a\\\"b\\\\c\\n\\u0001\u{e4}\"");
        for (cell, text) in [
            (Cell::Null, "null"),
            (Cell::Bool(true), "true"),
            (Cell::Int(-7, false), "-7"),
            (Cell::Float(1e20), "1e20"),
            (Cell::Text("x"), "\"x\""),
            (Cell::Interval(1_000_000_000), "\"1s\""),
        ] {
            let mut out = String::new();
            push(&mut out, cell);
            assert_eq!(out, text);
        }
    }
}
