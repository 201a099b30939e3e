//! Conditions: three-valued logic, comparisons, patterns.

use super::generate::Generator;
use super::literals;
use super::node::Node;
use super::node::tight::{AND, ANY, COMPARE, IS, LIKE, NOT, OR, OTHER};
use crate::table::Kind;

const COMPARABLE: [Kind; 6] =
    [Kind::Int, Kind::Float, Kind::Text, Kind::Bool, Kind::Time, Kind::Span];

impl Generator<'_> {
    /// A condition.
    pub fn logic(&mut self, depth: usize) -> Node {
        match self.random.below(20) {
            0..=2 => self.chain("AND", AND, depth),
            3..=5 => self.chain("OR", OR, depth),
            6 => {
                let part = (self.any(Kind::Bool, depth), NOT);
                self.both(NOT, "NOT {0}", vec![part])
            }
            7..=9 => self.is(depth),
            10..=12 => self.comparison(depth),
            13 => self.distinct(depth),
            14..=15 => self.is_in(depth),
            16 => self.between(depth),
            17..=18 => self.like(depth),
            _ => self.matches(depth),
        }
    }

    fn both(&mut self, tight: u8, template: &str, parts: Vec<(Node, u8)>) -> Node {
        self.compose(Kind::Bool, tight, (template, template), parts)
    }

    fn not(&mut self) -> &'static str {
        if self.random.chance(50) { "" } else { "NOT " }
    }

    fn kind(&mut self) -> Kind {
        *self.random.pick(&COMPARABLE)
    }

    fn chain(&mut self, word: &str, tight: u8, depth: usize) -> Node {
        let parts: Vec<_> =
            (0..2 + self.random.below(3)).map(|_| (self.any(Kind::Bool, depth), tight)).collect();
        let places: Vec<String> = (0..parts.len()).map(|at| format!("{{{at}}}")).collect();
        self.both(tight, &places.join(&format!(" {word} ")), parts)
    }

    fn is(&mut self, depth: usize) -> Node {
        let not = self.not();
        if self.random.chance(50) {
            let kind = self.kind();
            let part = (self.any(kind, depth), COMPARE);
            return self.both(IS, &format!("{{0}} IS {not}NULL"), vec![part]);
        }
        let value = *self.random.pick(&["TRUE", "FALSE", "UNKNOWN"]);
        let part = (self.any(Kind::Bool, depth), COMPARE);
        self.both(IS, &format!("{{0}} IS {not}{value}"), vec![part])
    }

    fn comparison(&mut self, depth: usize) -> Node {
        let op = *self.random.pick(&["=", "<>", "!=", "<", "<=", ">", ">="]);
        let kind = self.kind();
        let left = (self.any(kind, depth), LIKE);
        let template = format!("{{0}} {op} {{1}}");
        if self.random.chance(15)
            && let Some(text) = literals::in_quotes(self.random, kind)
        {
            // A literal text is what the other operand is.
            return self.both(COMPARE, &template, vec![left, (text, LIKE)]);
        }
        let right = (self.any(kind, depth), LIKE);
        self.both(COMPARE, &template, vec![left, right])
    }

    fn distinct(&mut self, depth: usize) -> Node {
        let (kind, not) = (self.kind(), self.not());
        let parts = vec![(self.any(kind, depth), LIKE), (self.any(kind, depth), LIKE)];
        self.both(IS, &format!("{{0}} IS {not}DISTINCT FROM {{1}}"), parts)
    }

    fn is_in(&mut self, depth: usize) -> Node {
        let (kind, not) = (self.kind(), self.not());
        let mut parts = vec![(self.any(kind, depth), OTHER)];
        let count = 1 + self.random.below(4);
        for _ in 0..count {
            let depth = if self.random.chance(60) { 0 } else { depth };
            parts.push((self.any(kind, depth), ANY));
        }
        let places: Vec<String> = (1..=count).map(|at| format!("{{{at}}}")).collect();
        self.both(LIKE, &format!("{{0}} {not}IN ({})", places.join(", ")), parts)
    }

    fn between(&mut self, depth: usize) -> Node {
        let (kind, not) = (self.kind(), self.not());
        let parts = (0..3).map(|_| (self.any(kind, depth), OTHER)).collect();
        self.both(LIKE, &format!("{{0}} {not}BETWEEN {{1}} AND {{2}}"), parts)
    }

    fn like(&mut self, depth: usize) -> Node {
        let not = self.not();
        let like = *self.random.pick(&["LIKE", "ILIKE"]);
        let (pattern, escape) = literals::like(self.random);
        let escape = escape.map_or_else(String::new, |escape| format!(" ESCAPE '{escape}'"));
        let text = (self.any(Kind::Text, depth), OTHER);
        let pattern = (literals::text(&pattern), ANY);
        self.both(LIKE, &format!("{{0}} {not}{like} {{1}}{escape}"), vec![text, pattern])
    }

    fn matches(&mut self, depth: usize) -> Node {
        let op = *self.random.pick(&["~", "!~", "~*", "!~*"]);
        let pattern = literals::regex(self.random, !op.ends_with('*'));
        let text = (self.any(Kind::Text, depth), OTHER);
        let pattern = (literals::text(&pattern), ANY);
        let mut node = self.both(OTHER, &format!("{{0}} {op} {{1}}"), vec![text, pattern]);
        // As loosely as a comparison, unlike in PostgreSQL: beside one it needs brackets.
        node.ours.tight = COMPARE;
        node
    }
}
