//! What aggregates are told beside their input: shares, limits, lengths of time. All of it is constant.

use super::err;
use super::expr::{Binder, Scope};
use crate::ast::{ARRAY, Call, Expr, ExprKind};
use crate::duration;
use crate::error::{Area, Result};
use crate::plan::*;

use AggregateFunction as A;

/// Most values that `topk` gives.
const TOP: u16 = 1000;

/// How an aggregate is called.
pub fn usage(name: &str) -> String {
    match name {
        "quantile" => "quantile(x, p), such as quantile(x, 0.95)".to_owned(),
        "exact_quantile" => "exact_quantile(x, p), such as exact_quantile(x, 0.95)".to_owned(),
        "count" => "count(x) or count(*)".to_owned(),
        "forecast" => "forecast(x, length), such as forecast(x, '1h')".to_owned(),
        "histogram" => "histogram(x, ARRAY[limits]), such as histogram(x, ARRAY[1, 5])".to_owned(),
        "topk" => "topk(x, n), such as topk(x, 10)".to_owned(),
        "string_agg" => "string_agg(x, separator), such as string_agg(x, ', ')".to_owned(),
        _ => format!("{name}(x)"),
    }
}

/// Whether an aggregate keeps every value: then it has neither states nor frames.
pub fn keeps_all(function: AggregateFunction) -> bool {
    matches!(
        function,
        A::Mode
            | A::TopK(_)
            | A::ExactQuantile(_)
            | A::StringAgg(_)
            | A::Increase
            | A::Rate
            | A::Delta
    )
}

impl Binder {
    /// The function with what its further arguments tell; `None` if there are too many or too few.
    pub fn parameter(
        &mut self,
        name: &str,
        function: AggregateFunction,
        arguments: &[Expr],
        usage: &str,
    ) -> Result<Option<AggregateFunction>> {
        let function = match (name, arguments) {
            ("quantile", [share]) => A::Quantile(self.share(share, usage)?),
            ("exact_quantile", [share]) => A::ExactQuantile(self.share(share, usage)?),
            ("forecast", [ahead]) => A::Forecast(self.length(ahead, usage)?),
            ("histogram", [limits]) => A::Histogram(self.limits(limits, usage)?),
            ("topk", [count]) => A::TopK(self.top(count, usage)?),
            ("string_agg", [separator]) => A::StringAgg(self.separator(separator, usage)?),
            (
                "quantile" | "exact_quantile" | "forecast" | "histogram" | "topk" | "string_agg",
                _,
            ) => return Ok(None),
            (_, []) => function,
            _ => return Ok(None),
        };
        Ok(Some(function))
    }

    fn constant(&mut self, expr: &Expr) -> Result<Option<Const>> {
        match self.bind(expr, Scope::Point { clause: "an aggregate's argument" })? {
            Node::Const(value) => Ok(Some(value)),
            Node::Negate(inner) => Ok(match *inner {
                Node::Const(Const::Int(value)) => Some(Const::Int(-value)),
                Node::Const(Const::Float(value)) => Some(Const::Float(-value)),
                Node::Const(Const::Interval(value)) => value.checked_neg().map(Const::Interval),
                _ => None,
            }),
            _ => Ok(None),
        }
    }

    /// A length of time in nanoseconds; a bare number counts seconds.
    fn length(&mut self, expr: &Expr, usage: &str) -> Result<i64> {
        let nanos = |seconds: f64| {
            let nanos = (seconds * 1e9).round();
            (nanos.abs() < 9.2e18).then_some(nanos as i64)
        };
        let length = match self.constant(expr)? {
            Some(Const::Interval(length)) => Some(length),
            Some(Const::Text(text)) => duration::parse(&text),
            Some(Const::Int(seconds)) => nanos(seconds as f64),
            Some(Const::Float(seconds)) => nanos(seconds),
            _ => None,
        };
        told(length, expr.area, "a constant length of time, such as '1h', or seconds", usage)
    }

    fn limits(&mut self, expr: &Expr, usage: &str) -> Result<Limits> {
        let expected = format!("a list of 1 to {} constant numbers that rise", Limits::MOST);
        let ExprKind::Call(Call { name, args, .. }) = &expr.kind else {
            return told(None, expr.area, &expected, usage);
        };
        if name != ARRAY {
            return told(None, expr.area, &expected, usage);
        }
        let mut limits = Vec::with_capacity(args.len());
        for arg in args {
            limits.push(match self.constant(arg)? {
                Some(Const::Int(value)) => value as f64,
                Some(Const::Float(value)) => value,
                _ => return told(None, arg.area, "a constant number", usage),
            });
        }
        told(Limits::new(&limits), expr.area, &expected, usage)
    }

    fn top(&mut self, expr: &Expr, usage: &str) -> Result<u16> {
        let count = match self.constant(expr)? {
            Some(Const::Int(count)) => u16::try_from(count).ok(),
            _ => None,
        };
        let count = count.filter(|count| (1..=TOP).contains(count));
        told(count, expr.area, &format!("a constant from 1 to {TOP}"), usage)
    }

    fn separator(&mut self, expr: &Expr, usage: &str) -> Result<Separator> {
        let separator = match self.constant(expr)? {
            Some(Const::Text(text)) => Separator::new(&text),
            _ => None,
        };
        let expected = format!("a constant text of at most {} bytes", Separator::MOST);
        told(separator, expr.area, &expected, usage)
    }
}

/// What was told, or that it is none.
fn told<T>(value: Option<T>, area: Area, expected: &str, usage: &str) -> Result<T> {
    match value {
        Some(value) => Ok(value),
        None => err(area, format!("this is not {expected}; {usage}")),
    }
}
