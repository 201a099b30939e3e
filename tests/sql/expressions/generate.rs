//! Makes typed random expressions.

use super::forms::{FORMS, Form, Slot};
use super::literals;
use super::node::tight::{self, ADD, ANY, ATOM};
use super::node::{Node, Written, fill};
use crate::random::Random;
use crate::table::{Column, Kind};

/// A part of an expression, and how tightly it must hold together at its place.
pub type Part = (Node, u8);

/// Makes expressions over columns.
pub struct Generator<'r> {
    pub random: &'r mut Random,
    pub columns: &'static [Column],
}

/// The type of a kind on the other side.
pub fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "numeric",
        Kind::Float => "float8",
        Kind::Text => "text",
        Kind::Bool => "boolean",
        Kind::Time => "timestamptz",
        Kind::Span => "interval",
    }
}

/// The other side writes the expression in brackets, with a cast.
fn cast(mut node: Node, to: &str) -> Node {
    node.theirs = Written::atom(format!("({})::{to}", node.theirs.text));
    node
}

impl Generator<'_> {
    /// An expression to be selected: of any kind, a choice between integers and floats among them.
    pub fn selected(&mut self, depth: usize) -> Node {
        match self.random.below(12) {
            0..=2 => self.any(Kind::Int, depth),
            3 => self.mixed(depth),
            4..=5 => self.float(depth),
            6..=7 => self.any(Kind::Text, depth),
            8..=9 => self.any(Kind::Bool, depth),
            10 => self.any(Kind::Time, depth),
            _ => self.any(Kind::Span, depth),
        }
    }

    /// An expression of a kind whose value is exact.
    pub fn any(&mut self, kind: Kind, depth: usize) -> Node {
        let mut node = if depth == 0 || self.random.chance(12) {
            self.leaf(kind)
        } else if kind == Kind::Bool && self.random.chance(75) {
            self.logic(depth - 1)
        } else if self.random.chance(22) {
            self.choice(kind, depth - 1)
        } else {
            self.call(kind, depth - 1)
        };
        if self.random.chance(8) {
            node = node.bracketed();
        }
        node
    }

    /// A float whose last bits may differ.
    fn float(&mut self, depth: usize) -> Node {
        let rough: Vec<&Form> = FORMS.iter().filter(|form| form.rough).collect();
        if !self.random.chance(10) {
            return self.any(Kind::Float, depth);
        }
        let form = *self.random.pick(&rough);
        self.form(form, depth.saturating_sub(1))
    }

    /// Puts parts into two templates that hold together as tightly.
    pub fn compose(
        &mut self,
        kind: Kind,
        tight: u8,
        templates: (&str, &str),
        parts: Vec<Part>,
    ) -> Node {
        let ours: Vec<String> = parts.iter().map(|(node, held)| node.ours.held(*held)).collect();
        let theirs: Vec<String> =
            parts.iter().map(|(node, held)| node.theirs.held(*held)).collect();
        Node {
            kind,
            ours: Written { text: fill(templates.0, &ours), tight },
            theirs: Written { text: fill(templates.1, &theirs), tight },
            parts: parts.into_iter().map(|(node, _)| node).collect(),
            rough: false,
        }
    }

    fn leaf(&mut self, kind: Kind) -> Node {
        let columns: Vec<&Column> = self
            .columns
            .iter()
            .filter(|column| column.kind == kind && column.name != "id")
            .collect();
        match self.random.below(100) {
            0..=3 => Node::leaf(
                kind,
                Written::atom("NULL"),
                Written::atom(format!("(NULL::{})", type_of(kind))),
            ),
            4..=59 if !columns.is_empty() => {
                let column = *self.random.pick(&columns);
                let ours = match self.random.below(10) {
                    0 => format!("\"{}\"", column.name),
                    1 if column.tag => format!("tag('{}')", column.name),
                    1 => format!("field('{}')", column.name),
                    _ => column.name.to_owned(),
                };
                Node::leaf(kind, Written::atom(ours), Written::atom(column.name))
            }
            4..=69 if kind == Kind::Time => {
                Node::leaf(kind, Written::atom("time"), Written::atom("\"time\""))
            }
            _ => literals::literal(self.random, kind),
        }
    }

    /// An operator or function with arguments of fixed kinds.
    fn call(&mut self, kind: Kind, depth: usize) -> Node {
        match kind {
            Kind::Text if self.random.chance(15) => return self.regular(depth),
            Kind::Time if self.random.chance(40) => return self.cut(depth),
            Kind::Float if self.random.chance(8) => return self.extract(depth),
            _ => {}
        }
        let forms: Vec<&Form> =
            FORMS.iter().filter(|form| form.kind == kind && !form.rough).collect();
        let form = *self.random.pick(&forms);
        self.form(form, depth)
    }

    fn form(&mut self, form: &Form, depth: usize) -> Node {
        let parts = form.slots.iter().map(|slot| self.slot(*slot, depth)).collect();
        let mut node = self.compose(form.kind, form.tight, (form.ours, form.theirs), parts);
        node.rough = form.rough;
        node
    }

    fn slot(&mut self, slot: Slot, depth: usize) -> Part {
        match slot {
            Slot::Of(kind, tight) => (self.any(kind, depth), tight),
            Slot::Number(tight) => (self.number(depth), tight),
            Slot::Small => (self.small(depth), ANY),
            Slot::Tiny => {
                let value = self.random.below(4).to_string();
                let node =
                    Node::leaf(Kind::Int, Written::atom(&value), Written::atom(value.clone()));
                (node, ANY)
            }
            Slot::Piece => (literals::text(&literals::piece(self.random)), ANY),
        }
    }

    /// A number, a float on the other side.
    fn number(&mut self, depth: usize) -> Node {
        if self.random.chance(60) {
            return self.any(Kind::Float, depth);
        }
        cast(self.any(Kind::Int, depth), "float8")
    }

    /// A small integer, `int4` on the other side.
    fn small(&mut self, depth: usize) -> Node {
        let node = match self.random.below(10) {
            0..=5 => literals::int(self.random.within(-4, 9).into()),
            6..=7 => Node::leaf(Kind::Int, Written::atom("j"), Written::atom("j")),
            _ => {
                let part = self.any(Kind::Int, depth.min(1));
                self.compose(Kind::Int, ATOM, ("mod({0}, 7)", "mod({0}, 7)"), vec![(part, ANY)])
            }
        };
        let mut node = cast(node, "int4");
        if node.ours.tight < ATOM {
            node.ours = Written::atom(format!("({})", node.ours.text));
        }
        node
    }

    /// What chooses between values of one kind.
    fn choice(&mut self, kind: Kind, depth: usize) -> Node {
        let value = |generator: &mut Self| (generator.any(kind, depth), ANY);
        let comparable = !matches!(kind, Kind::Bool);
        match self.random.below(8) {
            0..=2 => {
                let whens = 1 + self.random.below(3);
                let otherwise = self.random.chance(70);
                let mut parts = Vec::new();
                for _ in 0..whens {
                    parts.push((self.any(Kind::Bool, depth), ANY));
                    parts.push(value(self));
                }
                if otherwise {
                    parts.push(value(self));
                }
                let template = case_template("", whens, otherwise, 0);
                self.compose(kind, ATOM, (&template, &template), parts)
            }
            3 => {
                let other = *self.random.pick(&[Kind::Int, Kind::Text, Kind::Bool, Kind::Float]);
                let whens = 1 + self.random.below(3);
                let mut parts = vec![(self.any(other, depth), ATOM)];
                for _ in 0..whens {
                    parts.push((self.any(other, depth), ATOM));
                    parts.push(value(self));
                }
                parts.push(value(self));
                let template = case_template("{0} ", whens, true, 1);
                self.compose(kind, ATOM, (&template, &template), parts)
            }
            4 => {
                let parts = vec![value(self), value(self)];
                self.compose(kind, ATOM, ("NULLIF({0}, {1})", "nullif({0}, {1})"), parts)
            }
            5 if comparable => {
                let name = *self.random.pick(&["least", "greatest"]);
                let parts = (0..1 + self.random.below(3)).map(|_| value(self)).collect();
                self.list(kind, name, name, parts)
            }
            _ => {
                let ours = *self.random.pick(&["COALESCE", "coalesce", "ifnull"]);
                let parts = (0..1 + self.random.below(3)).map(|_| value(self)).collect();
                self.list(kind, ours, "coalesce", parts)
            }
        }
    }

    /// A choice between integers and floats. What kind it is depends on the fields that a point has:
    /// integers stay integers where there is no float. So nothing is made of it but a number.
    fn mixed(&mut self, depth: usize) -> Node {
        let depth = depth.saturating_sub(1);
        let parts: Vec<Part> = (0..2 + self.random.below(2))
            .map(|at| {
                let kind = if at % 2 == 0 { Kind::Int } else { Kind::Float };
                let node = self.any(kind, depth);
                (if kind == Kind::Int { cast(node, "float8") } else { node }, ANY)
            })
            .collect();
        let name = *self.random.pick(&["coalesce", "least", "greatest"]);
        self.list(Kind::Float, name, name, parts)
    }

    fn list(&mut self, kind: Kind, ours: &str, theirs: &str, parts: Vec<Part>) -> Node {
        let places: Vec<String> = (0..parts.len()).map(|at| format!("{{{at}}}")).collect();
        let template = |name: &str| format!("{name}({})", places.join(", "));
        self.compose(kind, ATOM, (&template(ours), &template(theirs)), parts)
    }

    /// Regular expressions that make text.
    fn regular(&mut self, depth: usize) -> Node {
        let text = vec![(self.any(Kind::Text, depth), ANY)];
        if self.random.chance(40) {
            let pattern = literals::regex(self.random, true);
            let ours = format!("regexp_extract({{0}}, '({pattern})', 1)");
            let theirs = format!("substring({{0}} from '({pattern})')");
            let pair = if pattern.contains('{') { None } else { Some((ours, theirs)) };
            if let Some((ours, theirs)) = pair {
                return self.compose(Kind::Text, ATOM, (&ours, &theirs), text);
            }
        }
        let pattern =
            *self.random.pick(&["a+", "[bB]", "(a)(b)", "^.", "[0-9]+", "b$", "(.)x", "ä|%"]);
        let with = *self.random.pick(&["", "<\\&>", "-", "$1", "\\1\\1", "é"]);
        let flags = *self.random.pick(&["", ", 'g'", ", 'gi'"]);
        let call = format!("regexp_replace({{0}}, '{pattern}', '{with}'{flags})");
        self.compose(Kind::Text, ATOM, (&call, &call), text)
    }

    /// Times cut down to a grid.
    fn cut(&mut self, depth: usize) -> Node {
        let time = vec![(self.any(Kind::Time, depth), ANY)];
        const UNITS: [&str; 10] = [
            "microsecond",
            "millisecond",
            "second",
            "minute",
            "hour",
            "day",
            "week",
            "month",
            "quarter",
            "year",
        ];
        if self.random.chance(50) {
            let unit = *self.random.pick(&UNITS);
            let ours = format!("date_trunc('{unit}', {{0}})");
            let theirs = format!("hw_time(date_trunc('{unit}', {{0}}, 'UTC'))");
            return self.compose(Kind::Time, ATOM, (&ours, &theirs), time);
        }
        let (ours, theirs) = *self.random.pick(&[
            ("10s", "10 seconds"),
            ("1h", "1 hour"),
            ("7m", "7 minutes"),
            ("250ms", "250 milliseconds"),
            ("1 day 2 hours", "26 hours"),
        ]);
        let origin =
            *self.random.pick(&["2024-01-01T00:00:03Z", "1970-01-01", "2031-07-05 12:00:00+02:00"]);
        let name = *self.random.pick(&["date_bin", "time_bucket"]);
        let bin = |origin: &str| {
            format!("hw_time(date_bin('{theirs}'::interval, {{0}}, '{origin}'::timestamptz))")
        };
        if self.random.chance(50) {
            let ours = format!("{name}('{ours}', {{0}})");
            return self.compose(Kind::Time, ATOM, (&ours, &bin("1970-01-01")), time);
        }
        let ours = format!("{name}(INTERVAL '{ours}', {{0}}, TIMESTAMP '{origin}')");
        self.compose(Kind::Time, ATOM, (&ours, &bin(origin)), time)
    }

    fn extract(&mut self, depth: usize) -> Node {
        const PARTS: [&str; 13] = [
            "epoch",
            "microseconds",
            "milliseconds",
            "second",
            "minute",
            "hour",
            "day",
            "month",
            "quarter",
            "year",
            "dow",
            "isodow",
            "doy",
        ];
        let part = *self.random.pick(&PARTS);
        let ours = match self.random.below(3) {
            0 => format!("extract({part} FROM {{0}})"),
            1 => format!("date_part('{part}', {{0}})"),
            _ => format!("EXTRACT({} FROM {{0}})", part.to_uppercase()),
        };
        let theirs = format!("extract({part} from {{0}})::float8");
        let time = (self.any(Kind::Time, depth), ADD);
        self.compose(Kind::Float, tight::ATOM, (&ours, &theirs), vec![time])
    }
}

fn case_template(operand: &str, whens: usize, otherwise: bool, first: usize) -> String {
    let mut template = format!("CASE {operand}");
    for when in 0..whens {
        let at = first + when * 2;
        template.push_str(&format!("WHEN {{{at}}} THEN {{{}}} ", at + 1));
    }
    if otherwise {
        template.push_str(&format!("ELSE {{{}}} ", first + whens * 2));
    }
    template + "END"
}
