//! Binds expressions: names to columns, and what is constant to its value; finds operands that cannot go
//! together before there are points.

use super::calls::{literal_text, regex};
use super::err;
use super::kinds::choice;
use super::names::has_over;
use crate::ast::{CastTo, Expr, ExprKind, Literal, Name, Over, Scope as ColumnScope};
use crate::canonical;
use crate::error::{Area, Result};
use crate::eval::functions::Function;
use crate::eval::like::{Like, ends_in_escape};
use crate::eval::{self, Frame};
use crate::plan::*;
use crate::vector::{Data, Kind, Vector};

/// What an expression may refer to.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// Columns of the point.
    Point { clause: &'static str },
    /// Group keys, aggregates, the window.
    Group { clause: &'static str },
    /// What a row with window functions is made of; `leaf` where the point's own values are worked
    /// out only if they are asked for.
    Row { leaf: bool },
}

/// What is collected while a statement is bound.
#[derive(Default)]
pub struct Binder {
    pub columns: Vec<Column>,
    /// The window's expression as text.
    pub window: Option<String>,
    /// Group keys as text.
    pub keys: Vec<String>,
    pub key_nodes: Vec<Node>,
    /// Inputs of aggregates as text, with their filters.
    pub input_texts: Vec<String>,
    pub inputs: Vec<Node>,
    pub aggregates: Vec<AggregateCall>,
    /// Bytes that the distinct values of an aggregate may take in a window.
    pub distinct_bytes: usize,
    /// Columns that hold times as numbers.
    pub moments: Vec<String>,
    /// What a row with window functions takes from its point, as text too.
    pub carried_texts: Vec<String>,
    pub carried: Vec<Node>,
    pub over: Vec<OverCall>,
    /// PARTITION BY as text, once there was one.
    pub partition: Option<Vec<String>>,
    /// The windows of the WINDOW clause.
    pub windows: Vec<(Name, Over)>,
}

/// A frame of one row without columns, for what is constant.
struct Nothing;

impl<'a> Frame<'a> for Nothing {
    fn len(&self) -> usize {
        1
    }
}

impl Binder {
    /// Binds what must be a condition.
    pub fn condition(&mut self, expr: &Expr, scope: Scope) -> Result<Node> {
        let node = self.bind(expr, scope)?;
        self.expect(&node, expr.area, &[Kind::Bool], "a condition")?;
        Ok(node)
    }

    pub fn expect(&self, node: &Node, area: Area, kinds: &[Kind], what: &str) -> Result<()> {
        let kind = self.kind(node);
        if kinds.contains(&kind) || matches!(kind, Kind::Any | Kind::Null) {
            return Ok(());
        }
        err(area, format!("this is {}; expected {what}", kind.name()))
    }

    /// Binds an expression. What is constant is computed now.
    pub fn bind(&mut self, expr: &Expr, scope: Scope) -> Result<Node> {
        if let Scope::Group { .. } = scope {
            let text = canonical::text(expr);
            if self.window.as_ref() == Some(&text) {
                return Ok(Node::WindowStart);
            }
            if let Some(key) = self.keys.iter().position(|key| *key == text) {
                return Ok(Node::Key(key));
            }
        }
        if let Scope::Row { leaf } = scope
            && (!leaf || matches!(expr.kind, ExprKind::Column { .. }))
            && !has_over(expr)
        {
            return self.carry(expr);
        }
        let node = self.node(expr, scope)?;
        Ok(fold(node))
    }

    pub fn boxed(&mut self, expr: &Expr, scope: Scope) -> Result<Box<Node>> {
        self.bind(expr, scope).map(Box::new)
    }

    fn node(&mut self, expr: &Expr, scope: Scope) -> Result<Node> {
        let area = expr.area;
        Ok(match &expr.kind {
            ExprKind::Literal(literal) => Node::Const(constant(literal)),
            ExprKind::Column { scope: place, name, quoted } => {
                return self.column(*place, name, *quoted, area, scope);
            }
            ExprKind::Qualified { .. } => {
                return err(area, "the name of a source cannot stand here");
            }
            ExprKind::Negate(a) => {
                let node = self.boxed(a, scope)?;
                self.expect(&node, a.area, &[Kind::Int, Kind::Float, Kind::Interval], "a number")?;
                Node::Negate(node)
            }
            ExprKind::Not(a) => Node::Not(Box::new(self.condition(a, scope)?)),
            ExprKind::And(list) => Node::And(self.conditions(list, scope)?),
            ExprKind::Or(list) => Node::Or(self.conditions(list, scope)?),
            ExprKind::Compare { op, left, right } => {
                let (a, b) = (self.boxed(left, scope)?, self.boxed(right, scope)?);
                self.comparable(&a, &b, area)?;
                Node::Compare(*op, a, b)
            }
            ExprKind::Arith { op, left, right } => {
                let (a, b) = (self.boxed(left, scope)?, self.boxed(right, scope)?);
                let (a_kind, b_kind) = (self.kind(&a), self.kind(&b));
                let (a, b) = (number_of_text(a, b_kind), number_of_text(b, a_kind));
                let node = Node::Arith(*op, a, b);
                if let Node::Arith(_, a, b) = &node
                    && self.arith_kind(*op, self.kind(a), self.kind(b)).is_none()
                {
                    let (a, b) = (self.kind(a).name(), self.kind(b).name());
                    return err(
                        area,
                        format!("{a} and {b} do not go together here; expected numbers"),
                    );
                }
                node
            }
            ExprKind::Concat { left, right } => {
                Node::Concat(self.boxed(left, scope)?, self.boxed(right, scope)?)
            }
            ExprKind::IsNull { expr: a, negated } => Node::IsNull(self.boxed(a, scope)?, *negated),
            ExprKind::IsBool { expr: a, value, negated } => {
                Node::IsBool(Box::new(self.condition(a, scope)?), *value, *negated)
            }
            ExprKind::Distinct { left, right, negated } => {
                let (a, b) = (self.boxed(left, scope)?, self.boxed(right, scope)?);
                self.comparable(&a, &b, area)?;
                Node::Distinct(a, b, *negated)
            }
            ExprKind::In { expr: a, list, negated } => {
                let value = self.boxed(a, scope)?;
                let mut items = Vec::with_capacity(list.len());
                for item in list {
                    let node = self.bind(item, scope)?;
                    self.comparable(&value, &node, item.area)?;
                    items.push(node);
                }
                Node::In(value, items, *negated)
            }
            ExprKind::Between { expr: a, low, high, negated } => {
                let value = self.boxed(a, scope)?;
                let (low, high) = (self.boxed(low, scope)?, self.boxed(high, scope)?);
                self.comparable(&value, &low, area)?;
                self.comparable(&value, &high, area)?;
                Node::Between { value, low, high, negated: *negated }
            }
            ExprKind::Like { expr: a, pattern, escape, negated, fold } => {
                let value = self.boxed(a, scope)?;
                self.expect(&value, a.area, &[Kind::Text], "text")?;
                let text = literal_text(pattern, "a quoted pattern, such as 'web%'")?;
                if let Some(escape) = escape.filter(|_| ends_in_escape(text, *escape)) {
                    return err(
                        pattern.area,
                        format!(
                            "the pattern ends in its escape character; write `{escape}{escape}` for that character itself, or ESCAPE '' for none"
                        ),
                    );
                }
                let pattern = Box::new(Like::new(text, *escape, *fold));
                Node::Like { value, pattern, negated: *negated }
            }
            ExprKind::Matches { expr: a, pattern, negated, fold } => {
                let value = self.boxed(a, scope)?;
                self.expect(&value, a.area, &[Kind::Text], "text")?;
                Node::Matches { value, pattern: regex(pattern, *fold)?, negated: *negated }
            }
            ExprKind::Case { operand, whens, otherwise } => {
                return self.case(operand.as_deref(), whens, otherwise.as_deref(), area, scope);
            }
            ExprKind::Cast { expr: a, to } => {
                let value = self.boxed(a, scope)?;
                self.castable(&value, *to, area)?;
                Node::Cast(value, *to)
            }
            ExprKind::Call(call) => return self.call(call, area, scope),
        })
    }

    fn conditions(&mut self, list: &[Expr], scope: Scope) -> Result<Vec<Node>> {
        list.iter().map(|expr| self.condition(expr, scope)).collect()
    }

    fn column(
        &mut self,
        place: ColumnScope,
        name: &str,
        quoted: bool,
        area: Area,
        scope: Scope,
    ) -> Result<Node> {
        if let Scope::Group { clause } = scope {
            let hint =
                if name == "time" { "; the window's beginning is window_start()" } else { "" };
            return err(
                area,
                format!("a column in {clause} must stand in GROUP BY or inside an aggregate{hint}"),
            );
        }
        match (place, name) {
            (ColumnScope::Any, "time") => return Ok(Node::Time),
            (ColumnScope::Any, "measurement") => return Ok(Node::Measurement),
            (ColumnScope::Any, "current_timestamp") if !quoted => {
                return Ok(Node::Call(Function::Now, Vec::new()));
            }
            _ => {}
        }
        let number = Node::Column(self.column_number(place, name, quoted, area));
        let is_moment = self.moments.iter().any(|moment| moment == name);
        Ok(if is_moment { Node::Moment(Box::new(number)) } else { number })
    }

    /// The number of a column.
    pub fn column_number(
        &mut self,
        scope: ColumnScope,
        name: &str,
        quoted: bool,
        area: Area,
    ) -> usize {
        let same = |column: &Column| column.name == name && column.scope == scope;
        if let Some(number) = self.columns.iter().position(same) {
            return number;
        }
        self.columns.push(Column { name: name.to_owned(), scope, quoted, area });
        self.columns.len() - 1
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        whens: &[(Expr, Expr)],
        otherwise: Option<&Expr>,
        area: Area,
        scope: Scope,
    ) -> Result<Node> {
        let scope = match scope {
            Scope::Row { .. } => Scope::Row { leaf: true },
            other => other,
        };
        let mut kind = Kind::Null;
        let mut bound = Vec::with_capacity(whens.len());
        for (when, then) in whens {
            let when = match operand {
                None => self.condition(when, scope)?,
                Some(operand) => {
                    let (a, b) = (self.boxed(operand, scope)?, self.boxed(when, scope)?);
                    self.comparable(&a, &b, when.area)?;
                    Node::Compare(crate::ast::CompareOp::Eq, a, b)
                }
            };
            let node = self.bind(then, scope)?;
            kind = self.together(kind, &node, then.area)?;
            bound.push((when, node));
        }
        let otherwise = match otherwise {
            None => None,
            Some(expr) => {
                let node = self.bind(expr, scope)?;
                self.together(kind, &node, expr.area)?;
                Some(Box::new(node))
            }
        };
        if bound.is_empty() {
            return err(area, "expected CASE WHEN condition THEN value END");
        }
        Ok(Node::Case { whens: bound, otherwise })
    }

    /// The kind of a choice between what there was so far and another value.
    pub fn together(&self, kind: Kind, node: &Node, area: Area) -> Result<Kind> {
        let other = self.kind(node);
        match choice(kind, other) {
            Some(kind) => Ok(kind),
            None => err(
                area,
                format!(
                    "this is {}, another branch is {}; cast one of them",
                    other.name(),
                    kind.name()
                ),
            ),
        }
    }

    fn comparable(&self, a: &Node, b: &Node, area: Area) -> Result<()> {
        let (x, y) = (self.kind(a), self.kind(b));
        let literal = |node: &Node| matches!(node, Node::Const(Const::Text(_)));
        let fits = choice(x, y).is_some() || literal(a) || literal(b);
        if fits {
            Ok(())
        } else {
            err(
                area,
                format!("{} cannot be compared with {}; cast one of them", x.name(), y.name()),
            )
        }
    }

    fn castable(&self, node: &Node, to: CastTo, area: Area) -> Result<()> {
        use Kind::{Any, Bool, Float, Int, Interval, Null, Text, Time};
        let kind = self.kind(node);
        let fits = match to {
            CastTo::Text => true,
            CastTo::Int | CastTo::UInt => true,
            CastTo::Float => matches!(kind, Any | Null | Int | Float | Text),
            CastTo::Bool => matches!(kind, Any | Null | Bool | Int | Text),
            CastTo::Time => matches!(kind, Any | Null | Text | Time),
            CastTo::Interval => matches!(kind, Any | Null | Text | Interval),
        };
        let hint = if to == CastTo::Time {
            "; from_unixtime(seconds) makes a time of a number"
        } else {
            ""
        };
        if fits {
            Ok(())
        } else {
            err(area, format!("{} cannot be cast to that{hint}", kind.name()))
        }
    }
}

fn constant(literal: &Literal) -> Const {
    match literal {
        Literal::Null => Const::Null,
        Literal::Bool(value) => Const::Bool(*value),
        Literal::Int(value) => Const::Int(*value),
        Literal::Float(value) => Const::Float(*value),
        Literal::Text(text) => Const::Text(text.clone()),
        Literal::Interval(nanos) => Const::Interval(*nanos),
        Literal::Time(nanos) => Const::Time(*nanos),
    }
}

/// Computes what depends on nothing, unless that fails: then each point counts the failure.
fn fold(node: Node) -> Node {
    let mut constant = !matches!(node, Node::Const(_));
    node.visit(&mut |node| {
        constant &= !matches!(
            node,
            Node::Column(_)
                | Node::Time
                | Node::Measurement
                | Node::Key(_)
                | Node::Aggregate(_)
                | Node::Carried(_)
                | Node::Over(_)
                | Node::WindowStart
                | Node::WindowEnd
                | Node::Call(Function::Now, _)
        );
    });
    if !constant {
        return node;
    }
    let mut cx = eval::Context::new(0);
    let value = {
        let vector: Vector<'_> = eval::eval(&node, &Nothing, &mut cx);
        let valid = vector.is_valid(0);
        match vector.data {
            _ if !valid => Const::Null,
            Data::Null => Const::Null,
            Data::Bool(bits) => Const::Bool(bits.get(0)),
            Data::Int { values, unsigned: false } => Const::Int(values[0]),
            Data::Int { .. } => return node,
            Data::Float(values) => Const::Float(values[0]),
            Data::Text(mut texts) => Const::Text(texts.remove(0).into_owned()),
            Data::Time(values) => Const::Time(values[0]),
            Data::Interval(values) => Const::Interval(values[0]),
        }
    };
    if cx.failures == crate::error::Failures::default() { Node::Const(value) } else { node }
}

/// A literal text that says a number is one where it meets numbers.
fn number_of_text(node: Box<Node>, other: Kind) -> Box<Node> {
    let Node::Const(Const::Text(text)) = node.as_ref() else { return node };
    if !matches!(other, Kind::Any | Kind::Int | Kind::Float) {
        return node;
    }
    let text = text.trim();
    if let Some(value) = text.parse::<i128>().ok().filter(|value| eval::fits(*value)) {
        return Box::new(Node::Const(Const::Int(value)));
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Box::new(Node::Const(Const::Float(value))),
        _ => node,
    }
}
