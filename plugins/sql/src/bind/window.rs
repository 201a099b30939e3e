//! Windows in GROUP BY: their forms.

use super::err;
use crate::ast::{Call, Expr, ExprKind, Literal, Scope};
use crate::duration;
use crate::error::Result;
use crate::plan::Window;
use headwater_plugin_api::window::HopGrid;

/// Most panes that a hopping window is made of: what is merged for each of its rows.
const MAX_PANES: usize = 10_000;
/// Most points of a window of `rows(n)`.
const MAX_ROWS: i128 = 1_000_000_000;

const HOP: &str = "expected hop('10s', '1m'), the slide and the size";
const SESSION: &str = "expected session('30s'), the silence that ends one";
const ROWS: &str = "expected rows(100), the number of points";

/// The window, if the expression is one.
pub fn read(expr: &Expr) -> Result<Option<Window>> {
    let ExprKind::Call(call) = &expr.kind else { return Ok(None) };
    Ok(Some(match call.name.as_str() {
        "time" | "tumble" => tumbling(call, expr, false)?,
        "date_bin" | "time_bucket" if call.args.get(1).is_some_and(is_time) => {
            tumbling(call, expr, true)?
        }
        "hop" => hop(call, expr)?,
        "session" => session(call, expr)?,
        "rows" => rows(call, expr)?,
        _ => return Ok(None),
    }))
}

fn is_time(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Column { scope: Scope::Any, name, .. } if name == "time")
}

/// The arguments of a plain call.
fn arguments<'e>(call: &'e Call, expr: &Expr, usage: &str) -> Result<Vec<&'e Expr>> {
    if call.star || call.distinct.is_some() || call.filter.is_some() || call.clause.is_some() {
        return err(expr.area, usage);
    }
    Ok(call.args.iter().collect())
}

fn tumbling(call: &Call, expr: &Expr, over_time: bool) -> Result<Window> {
    let usage = if over_time {
        format!("expected {}('10s', time [, offset])", call.name)
    } else {
        format!("expected {}('10s' [, offset])", call.name)
    };
    let mut args = arguments(call, expr, &usage)?;
    if over_time {
        args.remove(1);
    }
    let (size, offset) = match args.as_slice() {
        [size] => (length(size, &usage)?, 0),
        [size, offset] => (length(size, &usage)?, moment(offset, &usage)?),
        _ => return err(expr.area, usage),
    };
    if size <= 0 {
        return err(args[0].area, "a window must be longer than nothing");
    }
    Ok(Window::Tumbling { size, offset })
}

fn hop(call: &Call, expr: &Expr) -> Result<Window> {
    let args = arguments(call, expr, HOP)?;
    let [first, second] = args.as_slice() else { return err(expr.area, HOP) };
    let (slide, size) = (length(first, HOP)?, length(second, HOP)?);
    if size <= 0 {
        return err(second.area, format!("a window must be longer than nothing; {HOP}"));
    }
    if slide <= 0 {
        return err(first.area, format!("a slide must be longer than nothing; {HOP}"));
    }
    let text = duration::text;
    if slide > size {
        let (slide, size) = (text(slide), text(size));
        return err(
            first.area,
            format!(
                "a slide of {slide} leaves out points between windows of {size}; the slide comes first, such as hop('{size}', '{slide}')"
            ),
        );
    }
    let panes = HopGrid::new(slide, size).panes_per_window();
    if panes > MAX_PANES {
        let least = text(size.div_euclid(MAX_PANES as i64 / 2).max(1));
        return err(
            expr.area,
            format!(
                "a window would be made of {panes} panes, at most {MAX_PANES} are possible; slide by {least} or more"
            ),
        );
    }
    // Windows that do not overlap cost less.
    Ok(if slide == size {
        Window::Tumbling { size, offset: 0 }
    } else {
        Window::Hop { slide, size }
    })
}

fn session(call: &Call, expr: &Expr) -> Result<Window> {
    let args = arguments(call, expr, SESSION)?;
    let [only] = args.as_slice() else { return err(expr.area, SESSION) };
    let gap = length(only, SESSION)?;
    if gap <= 0 {
        return err(only.area, format!("the silence must be longer than nothing; {SESSION}"));
    }
    Ok(Window::Session { gap })
}

fn rows(call: &Call, expr: &Expr) -> Result<Window> {
    let args = arguments(call, expr, ROWS)?;
    let [only] = args.as_slice() else { return err(expr.area, ROWS) };
    match &only.kind {
        ExprKind::Literal(Literal::Int(count)) if (1..=MAX_ROWS).contains(count) => {
            Ok(Window::Rows { count: *count as u64 })
        }
        _ => err(only.area, format!("this is no number from 1 to {MAX_ROWS}; {ROWS}")),
    }
}

/// A literal length of time.
fn length(expr: &Expr, usage: &str) -> Result<i64> {
    let nanos = match &expr.kind {
        ExprKind::Literal(Literal::Interval(nanos)) => Some(*nanos),
        ExprKind::Literal(Literal::Text(text)) => duration::parse(text),
        ExprKind::Negate(inner) => length(inner, usage)?.checked_neg(),
        _ => None,
    };
    match nanos {
        Some(nanos) => Ok(nanos),
        None => err(expr.area, format!("this is no length of time; {usage}")),
    }
}

/// A literal length of time, or a moment.
fn moment(expr: &Expr, usage: &str) -> Result<i64> {
    let nanos = match &expr.kind {
        ExprKind::Literal(Literal::Time(nanos)) => Some(*nanos),
        ExprKind::Literal(Literal::Text(text)) => crate::time::parse(text),
        ExprKind::Negate(inner) => moment(inner, usage)?.checked_neg(),
        _ => None,
    };
    nanos.map_or_else(|| length(expr, usage), Ok)
}
