//! Windows in GROUP BY: their forms, and which of them run.

use super::err;
use crate::ast::{Call, Expr, ExprKind, Literal, Scope};
use crate::duration;
use crate::error::Result;

/// Size and offset, nanoseconds, if the expression is a window.
pub fn read(expr: &Expr) -> Result<Option<(i64, i64)>> {
    let ExprKind::Call(call) = &expr.kind else { return Ok(None) };
    match call.name.as_str() {
        "time" | "tumble" => tumbling(call, expr, false).map(Some),
        "date_bin" | "time_bucket" if call.args.get(1).is_some_and(is_time) => {
            tumbling(call, expr, true).map(Some)
        }
        "hop" | "session" | "rows" => err(
            expr.area,
            format!(
                "the window {} is not supported yet; the form that works is time('10s' [, offset])",
                call.name
            ),
        ),
        _ => Ok(None),
    }
}

fn is_time(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Column { scope: Scope::Any, name, .. } if name == "time")
}

fn tumbling(call: &Call, expr: &Expr, over_time: bool) -> Result<(i64, i64)> {
    let usage = if over_time {
        format!("expected {}('10s', time [, offset])", call.name)
    } else {
        format!("expected {}('10s' [, offset])", call.name)
    };
    if call.star || call.distinct.is_some() || call.filter.is_some() || call.clause.is_some() {
        return err(expr.area, usage);
    }
    let mut args: Vec<&Expr> = call.args.iter().collect();
    if over_time {
        args.remove(1);
    }
    let (size, offset) = match args.as_slice() {
        [size] => (length(size, &usage)?, 0),
        [size, offset] => (length(size, &usage)?, length(offset, &usage)?),
        _ => return err(expr.area, usage),
    };
    if size <= 0 {
        return err(args[0].area, "a window must be longer than nothing");
    }
    Ok((size, offset))
}

/// A literal length of time; for the offset a moment as well.
fn length(expr: &Expr, usage: &str) -> Result<i64> {
    let nanos = match &expr.kind {
        ExprKind::Literal(Literal::Interval(nanos) | Literal::Time(nanos)) => Some(*nanos),
        ExprKind::Literal(Literal::Text(text)) => {
            duration::parse(text).or_else(|| crate::time::parse(text))
        }
        ExprKind::Negate(inner) => length(inner, usage)?.checked_neg(),
        _ => None,
    };
    match nanos {
        Some(nanos) => Ok(nanos),
        None => err(expr.area, format!("this is no length of time; {usage}")),
    }
}
