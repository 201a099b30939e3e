//! An expression as both sides write it.

use crate::table::Kind;

/// How tightly an expression holds together, as in PostgreSQL's table of operators.
pub mod tight {
    pub const ANY: u8 = 0;
    pub const OR: u8 = 1;
    pub const AND: u8 = 2;
    pub const NOT: u8 = 3;
    pub const IS: u8 = 4;
    pub const COMPARE: u8 = 5;
    pub const LIKE: u8 = 6;
    pub const OTHER: u8 = 7;
    pub const ADD: u8 = 8;
    pub const MUL: u8 = 9;
    pub const POW: u8 = 10;
    pub const SIGN: u8 = 11;
    pub const CAST: u8 = 12;
    pub const ATOM: u8 = 13;
}

/// A text with how tightly it holds together.
#[derive(Debug, Clone)]
pub struct Written {
    pub text: String,
    pub tight: u8,
}

impl Written {
    pub fn atom(text: impl Into<String>) -> Written {
        Written { text: text.into(), tight: tight::ATOM }
    }

    /// In brackets if it must hold together more tightly than it does.
    pub fn held(&self, tight: u8) -> String {
        if self.tight < tight { format!("({})", self.text) } else { self.text.clone() }
    }
}

/// An expression.
#[derive(Debug, Clone)]
pub struct Node {
    pub kind: Kind,
    pub ours: Written,
    pub theirs: Written,
    /// What it is made of, all of which are expressions of their own.
    pub parts: Vec<Node>,
    /// The last bits of a float may differ; then nothing is made of it.
    pub rough: bool,
}

impl Node {
    pub fn leaf(kind: Kind, ours: Written, theirs: Written) -> Node {
        Node { kind, ours, theirs, parts: Vec::new(), rough: false }
    }

    /// Every expression in it, itself first.
    pub fn all(&self) -> Vec<&Node> {
        let mut all = vec![self];
        let mut at = 0;
        while let Some(node) = all.get(at) {
            all.extend(&node.parts);
            at += 1;
        }
        all
    }

    /// In brackets on both sides.
    pub fn bracketed(mut self) -> Node {
        for side in [&mut self.ours, &mut self.theirs] {
            *side = Written::atom(format!("({})", side.text));
        }
        self
    }
}

/// Puts texts into the places `{0}`, `{1}` and so on of a template.
pub fn fill(template: &str, texts: &[String]) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let number = rest.as_bytes()[at + 1];
        out.push_str(&rest[..at]);
        out.push_str(&texts[usize::from(number - b'0')]);
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    out
}
