//! Binds aggregates: FILTER and DISTINCT, the share of a quantile, states that are emitted and merged.

use super::err;
use super::expr::{Binder, Scope};
use super::names::{aggregate_function, has_aggregate, has_over, is_aggregate, unknown};
use super::parameters::{keeps_all, usage};
use crate::ast::{Call, Expr, ExprKind, Scope as ColumnScope};
use crate::canonical;
use crate::error::{Area, Result};
use crate::plan::*;
use crate::vector::Kind;

use AggregateFunction as A;

const PARTIAL: &str = "expected partial(f(x)), such as partial(avg(x))";
const MERGE: &str =
    "expected merge(f, column), such as merge(avg, idle) or merge(quantile, idle, 0.95)";

impl Binder {
    /// Binds a call of an aggregate, `partial` and `merge` among them.
    pub fn aggregate(&mut self, call: &Call, area: Area, scope: Scope) -> Result<Node> {
        if let Scope::Point { clause } = scope {
            let hint =
                if clause == "WHERE" { "; conditions on aggregates stand in HAVING" } else { "" };
            return err(area, format!("an aggregate cannot stand in {clause}{hint}"));
        }
        if let Scope::Row { .. } = scope {
            return err(area, super::over::BESIDE);
        }
        let wanted = match call.name.as_str() {
            "partial" => self.partial(call, area)?,
            "merge" => self.merge(call, area)?,
            _ => self.plain(call, area)?,
        };
        let number = match self.aggregates.iter().position(|known| *known == wanted) {
            Some(number) => number,
            None => {
                self.aggregates.push(wanted);
                self.aggregates.len() - 1
            }
        };
        Ok(Node::Aggregate(number))
    }

    /// `f(x)`, `count(*)`, `quantile(x, p)`, with DISTINCT and FILTER.
    pub fn plain(&mut self, call: &Call, area: Area) -> Result<AggregateCall> {
        let Some(function) = aggregate_function(&call.name) else {
            return unknown(&call.name, area);
        };
        let name = call.name.as_str();
        let usage = format!("expected {}", usage(name));
        let (function, arg) = match (call.star, call.args.as_slice()) {
            (true, []) if function == A::Count => {
                if let Some(at) = call.distinct {
                    return err(at, "expected count(DISTINCT x)");
                }
                let input = match &call.filter {
                    None => None,
                    Some(filter) => Some(self.input(None, Some(filter))?),
                };
                return Ok(AggregateCall::new(A::Count, input));
            }
            (false, [arg, parameters @ ..]) => {
                match self.parameter(name, function, parameters, &usage)? {
                    Some(function) => (function, arg),
                    None => return err(area, usage),
                }
            }
            _ => return err(area, usage),
        };
        let number = self.input(Some(arg), call.filter.as_deref())?;
        let kind = self.kind(&self.inputs[number]);
        let numbers = matches!(
            function,
            A::Sum
                | A::Avg
                | A::Stddev
                | A::StddevPop
                | A::Variance
                | A::VariancePop
                | A::Quantile(_)
                | A::ExactQuantile(_)
                | A::Forecast(_)
                | A::Histogram(_)
                | A::Increase
                | A::Rate
                | A::Delta
        );
        let spans = function == A::Spread && matches!(kind, Kind::Time | Kind::Interval);
        if (numbers || function == A::Spread) && !kind.may_be_number() && !spans {
            return err(arg.area, format!("this is {}; expected a number", kind.name()));
        }
        if matches!(function, A::Min | A::Max) && kind == Kind::Bool {
            return err(arg.area, "this is a Boolean; expected a number, text or a time");
        }
        let mut wanted = AggregateCall::new(function, Some(number));
        wanted.room = self.distinct_bytes;
        if let Some(at) = call.distinct
            && (keeps_all(function) || matches!(function, A::Forecast(_) | A::Histogram(_)))
        {
            return err(at, format!("DISTINCT cannot stand in {name}; {usage}"));
        }
        // Each of the others is the same over all values as over each once.
        if call.distinct.is_some() && (numbers || function == A::Count) {
            wanted.distinct = Some(self.distinct_bytes);
        }
        Ok(wanted)
    }

    /// `partial(f(x))`
    fn partial(&mut self, call: &Call, area: Area) -> Result<AggregateCall> {
        refuse(call, "the aggregate inside, as in partial(f(x) FILTER (WHERE condition))")?;
        let ([arg], false) = (call.args.as_slice(), call.star) else { return err(area, PARTIAL) };
        let at = &arg.area;
        let ExprKind::Call(inner) = &arg.kind else { return err(*at, PARTIAL) };
        if !is_aggregate(&inner.name) || inner.name == "partial" {
            return err(*at, PARTIAL);
        }
        let inner_call = match inner.name.as_str() {
            "merge" => self.merge(inner, *at)?,
            _ => self.plain(inner, *at)?,
        };
        if keeps_all(inner_call.function) {
            return err(*at, format!("the state of {} has no bound; {PARTIAL}", inner.name));
        }
        if inner_call.distinct.is_some() {
            return err(
                *at,
                "the state of an exact count of distinct values has no bound; the form that works is partial(approx_distinct(x))",
            );
        }
        Ok(AggregateCall { partial: true, ..inner_call })
    }

    /// `merge(f, column)`, `merge(quantile, column, p)`
    fn merge(&mut self, call: &Call, area: Area) -> Result<AggregateCall> {
        if let Some(at) = call.distinct {
            return err(at, format!("states are merged, whatever they hold; {MERGE}"));
        }
        let (Some(name), Some(column), false) = (call.args.first(), call.args.get(1), call.star)
        else {
            return err(area, MERGE);
        };
        let ExprKind::Column { scope: ColumnScope::Any, name: text, quoted: false } = &name.kind
        else {
            return err(name.area, MERGE);
        };
        let text = text.to_lowercase();
        let Some(function) = aggregate_function(&text) else {
            return err(name.area, format!("there is no aggregate `{text}`; {MERGE}"));
        };
        if keeps_all(function) {
            return err(name.area, format!("{text} has no states; {MERGE}"));
        }
        let Some(function) = self.parameter(&text, function, &call.args[2..], MERGE)? else {
            return err(area, MERGE);
        };
        let number = self.input(Some(column), call.filter.as_deref())?;
        let kind = self.kind(&self.inputs[number]);
        if !matches!(kind, Kind::Any | Kind::Null | Kind::Text) {
            return err(
                column.area,
                format!("this is {}; expected states, as partial(f(x)) emits them", kind.name()),
            );
        }
        Ok(AggregateCall { merges: true, ..AggregateCall::new(function, Some(number)) })
    }

    /// The share of a quantile, a constant.
    pub fn share(&mut self, expr: &Expr, usage: &str) -> Result<Share> {
        let node = self.bind(expr, Scope::Point { clause: "a quantile's share" })?;
        let share = match node {
            Node::Const(Const::Float(value)) => Share::new(value),
            Node::Const(Const::Int(value)) => Share::new(value as f64),
            _ => None,
        };
        match share {
            Some(share) => Ok(share),
            None => err(expr.area, format!("the share is a constant from 0 to 1; {usage}")),
        }
    }

    /// The number of an aggregate's input. With a filter it is NULL where that does not hold; without
    /// a value it is then true elsewhere.
    pub fn input(&mut self, arg: Option<&Expr>, filter: Option<&Expr>) -> Result<usize> {
        for expr in arg.into_iter().chain(filter) {
            if has_aggregate(expr) {
                return err(expr.area, "an aggregate cannot stand inside another");
            }
            if has_over(expr) {
                return err(expr.area, super::over::NESTED);
            }
        }
        let mut text = arg.map_or_else(|| "TRUE".to_owned(), canonical::text);
        if let Some(filter) = filter {
            text = format!("CASE WHEN {} THEN {text} END", canonical::text(filter));
        }
        if let Some(number) = self.input_texts.iter().position(|known| *known == text) {
            return Ok(number);
        }
        let mut node = match arg {
            None => Node::Const(Const::Bool(true)),
            Some(arg) => self.bind(arg, Scope::Point { clause: "an aggregate" })?,
        };
        if let Some(filter) = filter {
            let condition = self.condition(filter, Scope::Point { clause: "FILTER" })?;
            node = Node::Case { whens: vec![(condition, node)], otherwise: None };
        }
        self.input_texts.push(text);
        self.inputs.push(node);
        Ok(self.inputs.len() - 1)
    }
}

/// Refuses DISTINCT and FILTER where they belong to something else.
fn refuse(call: &Call, place: &str) -> Result<()> {
    let filter = call.filter.as_ref().map(|filter| ("FILTER", filter.area));
    match call.distinct.map(|at| ("DISTINCT", at)).or(filter) {
        Some((word, at)) => err(at, format!("{word} belongs to {place}")),
        None => Ok(()),
    }
}
