//! Evaluates bound expressions over the rows of a frame, one kernel for each node: the kinds of
//! the operands are looked at once, then a loop runs over all rows.

pub mod arith;
pub mod cast;
pub mod compare;
pub mod functions;
pub mod like;
mod text;

use std::borrow::Cow;

use crate::error::Failures;
use crate::plan::{Const, Node};
use crate::vector::{Bits, Data, Kind, Vector};
pub use arith::fits;

/// The rows that expressions are evaluated over: points of one shape, groups of a window, or series.
pub trait Frame<'a> {
    /// Number of rows.
    fn len(&self) -> usize;
    /// A column of the statement.
    fn column(&self, _number: usize) -> Vector<'a> {
        Vector::null()
    }
    /// The points' times.
    fn time(&self) -> Vector<'a> {
        Vector::null()
    }
    /// The points' measurements.
    fn measurement(&self) -> Vector<'a> {
        Vector::null()
    }
    /// A group key.
    fn key(&self, _number: usize) -> Vector<'a> {
        Vector::null()
    }
    /// An aggregate's results.
    fn aggregate(&self, _number: usize) -> Vector<'a> {
        Vector::null()
    }
    /// What a row takes from its point.
    fn carried(&self, _number: usize) -> Vector<'a> {
        Vector::null()
    }
    /// A window function's results.
    fn over(&self, _number: usize) -> Vector<'a> {
        Vector::null()
    }
    /// The start of the window, or its end.
    fn window(&self, _end: bool) -> Vector<'a> {
        Vector::null()
    }
}

/// What an evaluation knows beside its rows, and what it counts.
#[derive(Debug, Default)]
pub struct Context {
    /// The clock, nanoseconds since the epoch.
    pub now: i64,
    /// What failed; only rows that count (see `active`) are counted.
    pub failures: Failures,
    /// The rows whose value is asked for: of a CASE, the branch that was taken. All without it.
    active: Option<Bits>,
}

impl Context {
    pub fn new(now: i64) -> Self {
        Context { now, ..Context::default() }
    }

    /// Whether a failure in that row counts.
    #[inline]
    fn counts(&self, row: usize) -> bool {
        self.active.as_ref().is_none_or(|active| active.get(row))
    }

    /// How many of `n` rows count.
    fn count(&self, valid: Option<&Bits>, n: usize) -> u64 {
        let bits = match (&self.active, valid) {
            (None, None) => return n as u64,
            (Some(a), Some(b)) => a.and(b),
            (Some(a), None) | (None, Some(a)) => a.clone(),
        };
        bits.count() as u64
    }
}

/// Where both are valid; `None` for everywhere.
pub(crate) fn both(a: &Option<Bits>, b: &Option<Bits>) -> Option<Bits> {
    match (a, b) {
        (None, None) => None,
        (Some(bits), None) | (None, Some(bits)) => Some(bits.clone()),
        (Some(a), Some(b)) => Some(a.and(b)),
    }
}

/// Evaluates an expression for all rows of a frame.
pub fn eval<'a>(node: &'a Node, frame: &dyn Frame<'a>, cx: &mut Context) -> Vector<'a> {
    let n = frame.len();
    match node {
        Node::Const(value) => constant(value),
        Node::Column(number) => frame.column(*number),
        Node::Time => frame.time(),
        Node::Measurement => frame.measurement(),
        Node::Key(number) => frame.key(*number),
        Node::Aggregate(number) => frame.aggregate(*number),
        Node::Carried(number) => frame.carried(*number),
        Node::Over(number) => frame.over(*number),
        Node::WindowStart => frame.window(false),
        Node::WindowEnd => frame.window(true),
        Node::Moment(a) => {
            let a = eval(a, frame, cx);
            match a.data {
                Data::Int { values, .. } => {
                    let times = values.iter().map(|v| i64::try_from(*v).unwrap_or(i64::MAX));
                    Vector { data: Data::Time(times.collect()), ..a }
                }
                _ => Vector::null(),
            }
        }
        Node::Negate(a) => {
            let a = eval(a, frame, cx);
            arith::negate(a, n, cx)
        }
        Node::Not(a) => {
            let a = compare::truth(eval(a, frame, cx), n, cx);
            match a.data {
                Data::Bool(bits) => Vector { data: Data::Bool(bits.not()), ..a },
                _ => Vector::null(),
            }
        }
        Node::And(list) => logic(list, frame, cx, true),
        Node::Or(list) => logic(list, frame, cx, false),
        Node::Compare(op, a, b) => {
            let (a, b) = (eval(a, frame, cx), eval(b, frame, cx));
            compare::compare(*op, &a, &b, n, cx)
        }
        Node::Arith(op, a, b) => {
            let (a, b) = (eval(a, frame, cx), eval(b, frame, cx));
            arith::arith(*op, a, b, n, cx)
        }
        Node::Concat(a, b) => {
            let (a, b) = (eval(a, frame, cx), eval(b, frame, cx));
            text::concat(&a, &b, n, cx)
        }
        Node::IsNull(a, negated) => {
            let a = eval(a, frame, cx);
            let valid = a.validity(n).unwrap_or_else(|| Bits::new(n, true));
            Vector::new(Data::Bool(if *negated { valid } else { valid.not() }))
        }
        Node::IsBool(a, value, negated) => {
            let a = compare::truth(eval(a, frame, cx), n, cx);
            let is = match (&a.data, *value) {
                (Data::Bool(_), true) => a.trues(n),
                (Data::Bool(_), false) => {
                    let valid = a.validity(n).unwrap_or_else(|| Bits::new(n, true));
                    valid.and_not(&a.trues(n))
                }
                _ => Bits::new(n, false),
            };
            Vector::new(Data::Bool(if *negated { is.not() } else { is }))
        }
        Node::Distinct(a, b, negated) => {
            let (a, b) = (eval(a, frame, cx), eval(b, frame, cx));
            compare::distinct(&a, &b, *negated, n, cx)
        }
        Node::In(a, list, negated) => {
            let a = eval(a, frame, cx);
            let list: Vec<_> = list.iter().map(|node| eval(node, frame, cx)).collect();
            compare::is_in(&a, &list, *negated, n, cx)
        }
        Node::Between { value, low, high, negated } => {
            let value = eval(value, frame, cx);
            let (low, high) = (eval(low, frame, cx), eval(high, frame, cx));
            compare::between(&value, &low, &high, *negated, n, cx)
        }
        Node::Like { value, pattern, negated } => {
            let value = eval(value, frame, cx);
            text::test(&value, n, cx, |text| pattern.matches(text) != *negated)
        }
        Node::Matches { value, pattern, negated } => {
            let value = eval(value, frame, cx);
            text::test(&value, n, cx, |text| pattern.is_match(text) != *negated)
        }
        Node::Case { whens, otherwise } => case(whens, otherwise.as_deref(), frame, cx),
        Node::Cast(a, to) => {
            let a = eval(a, frame, cx);
            cast::cast(a, *to, n, cx)
        }
        Node::Call(function, args) => functions::call(*function, args, frame, cx),
        Node::Replace { value, pattern, with, all } => {
            let (value, with) = (eval(value, frame, cx), eval(with, frame, cx));
            text::regexp_replace(&value, pattern, &with, *all, n, cx)
        }
        Node::Extract { value, pattern, group } => {
            let value = eval(value, frame, cx);
            text::regexp_extract(value, pattern, *group, n, cx)
        }
    }
}

fn constant(value: &Const) -> Vector<'_> {
    Vector::constant(match value {
        Const::Null => Data::Null,
        Const::Bool(value) => Data::Bool(Bits::new(1, *value)),
        Const::Int(value) => Data::Int { values: vec![*value], unsigned: false },
        Const::Float(value) => Data::Float(vec![*value]),
        Const::Text(text) => Data::Text(vec![Cow::Borrowed(text.as_str())]),
        Const::Time(nanos) => Data::Time(vec![*nanos]),
        Const::Interval(nanos) => Data::Interval(vec![*nanos]),
    })
}

/// AND and OR with NULL as the unknown: a false operand decides an AND, a true one an OR.
fn logic<'a>(list: &'a [Node], frame: &dyn Frame<'a>, cx: &mut Context, and: bool) -> Vector<'a> {
    let n = frame.len();
    // What is certainly true so far, and certainly false.
    let (mut yes, mut no) = (Bits::new(n, and), Bits::new(n, !and));
    let outer = cx.active.clone();
    for node in list {
        let a = compare::truth(eval(node, frame, cx), n, cx);
        let valid = a.validity(n).unwrap_or_else(|| Bits::new(n, true));
        let is = a.trues(n);
        let is_not = valid.and_not(&is);
        if and {
            (yes, no) = (yes.and(&is), no.or(&is_not));
        } else {
            (yes, no) = (yes.or(&is), no.and(&is_not));
        }
        // What is decided needs no further operands: their failures do not count.
        let open = if and { no.not() } else { yes.not() };
        cx.active = Some(match &outer {
            Some(active) => active.and(&open),
            None => open,
        });
    }
    cx.active = outer;
    let known = yes.or(&no);
    let valid = (known.count() < n).then_some(known);
    Vector::with(Data::Bool(yes), valid)
}

fn case<'a>(
    whens: &'a [(Node, Node)],
    otherwise: Option<&'a Node>,
    frame: &dyn Frame<'a>,
    cx: &mut Context,
) -> Vector<'a> {
    let n = frame.len();
    let outer = cx.active.clone();
    let mut open = outer.clone().unwrap_or_else(|| Bits::new(n, true));
    let mut all_open = Bits::new(n, true);
    let mut branches: Vec<(Bits, Vector<'a>)> = Vec::with_capacity(whens.len() + 1);
    for (when, then) in whens {
        cx.active = Some(open.clone());
        let taken = compare::truth(eval(when, frame, cx), n, cx).trues(n).and(&all_open);
        cx.active = Some(open.and(&taken));
        branches.push((taken.clone(), eval(then, frame, cx)));
        open = open.and_not(&taken);
        all_open = all_open.and_not(&taken);
    }
    if let Some(node) = otherwise {
        cx.active = Some(open);
        branches.push((all_open, eval(node, frame, cx)));
    }
    cx.active = outer;
    if let [(taken, value)] = branches.as_mut_slice()
        && (!value.constant || value.kind() == Kind::Bool)
    {
        // One branch is its value where it was taken, as for FILTER: nothing is copied.
        let valid = both(&value.validity(n), &Some(std::mem::take(taken)));
        let data = match std::mem::replace(&mut value.data, Data::Null) {
            Data::Bool(bits) if value.constant => Data::Bool(Bits::new(n, bits.get(0))),
            data => data,
        };
        return Vector::with(data, valid.filter(|valid| valid.count() < n));
    }
    compare::select(&branches, n, cx)
}

#[cfg(test)]
pub(crate) mod tests;
