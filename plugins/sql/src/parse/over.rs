//! OVER: windows of window functions, and the WINDOW clause.

use sqlparser::ast as sp;
use sqlparser::tokenizer::TokenWithSpan;

use super::{Area, Result, area, err, expr, literal, or, word};
use crate::ast::{Expr, ExprKind, Frame, Literal, Name, Over, Scope};
use crate::duration;

/// The frames that work.
pub const FRAMES: &str = "the frames that work are ROWS n PRECEDING and RANGE INTERVAL '5m' PRECEDING, \
     with n or the length UNBOUNDED for all before";
/// Most rows that a frame counts back.
const MAX_ROWS: i128 = 1_000_000_000;

/// Whether a token may end a frame.
pub fn ends_a_frame(token: &TokenWithSpan) -> bool {
    ["row", "preceding", "following"].iter().any(|last| word(token, last).is_some())
}

/// A window of the WINDOW clause.
pub fn named(window: sp::NamedWindowDefinition, whole: Area) -> Result<(Name, Over)> {
    let sp::NamedWindowDefinition(ident, window) = window;
    let name = Name { area: or(area(ident.span), whole), text: ident.value };
    match window {
        sp::NamedWindowExpr::WindowSpec(spec) => {
            let over = spec_of(spec, name.area, 0)?;
            Ok((name, over))
        }
        sp::NamedWindowExpr::NamedWindow(_) => {
            err(name.area, format!("expected WINDOW {} AS (PARTITION BY ...)", name.text))
        }
    }
}

/// What stands behind OVER; `at` is the call.
pub fn read(over: sp::WindowType, at: Area, depth: usize) -> Result<Over> {
    match over {
        sp::WindowType::WindowSpec(spec) => spec_of(spec, at, depth),
        sp::WindowType::NamedWindow(ident) => {
            let window = Name { area: or(area(ident.span), at), text: ident.value };
            Ok(Over { window: Some(window), partition_by: Vec::new(), frame: None, area: at })
        }
    }
}

fn spec_of(spec: sp::WindowSpec, at: Area, depth: usize) -> Result<Over> {
    let sp::WindowSpec { window_name, partition_by, order_by, window_frame } = spec;
    if let Some(name) = window_name {
        return err(
            or(area(name.span), at),
            "a window cannot go on from another one; write PARTITION BY, ORDER BY time and the frame in full",
        );
    }
    let keys = partition_by.into_iter().map(|e| expr(e, at, depth + 1)).collect::<Result<_>>()?;
    order(order_by, at, depth)?;
    let frame = window_frame.map(|frame| frame_of(frame, at)).transpose()?;
    Ok(Over { window: None, partition_by: keys, frame, area: at })
}

/// Points are in the order of their time, whether or not that is written.
fn order(order_by: Vec<sp::OrderByExpr>, at: Area, depth: usize) -> Result<()> {
    const ORDER: &str = "points go by their time; the form that works is ORDER BY time";
    for (place, order) in order_by.into_iter().enumerate() {
        let sp::OrderByExpr { expr: by, options, with_fill } = order;
        let by = expr(by, at, depth + 1)?;
        let ascends = matches!(options.sort, None | Some(sp::OrderBySort::Asc));
        let plain = ascends && options.nulls_first.is_none() && with_fill.is_none();
        if place > 0 || !plain || !is_time(&by) {
            return err(by.area, ORDER);
        }
    }
    Ok(())
}

fn is_time(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Column { scope: Scope::Any, name, .. } if name == "time")
}

fn frame_of(frame: sp::WindowFrame, at: Area) -> Result<Frame> {
    use sp::WindowFrameBound::{CurrentRow, Following, Preceding};
    let sp::WindowFrame { units, start_bound, end_bound } = frame;
    match end_bound {
        None | Some(CurrentRow) => {}
        Some(Following(_)) => {
            return err(
                at,
                format!("FOLLOWING is not supported: a row does not wait for later ones; {FRAMES}"),
            );
        }
        Some(Preceding(_)) => {
            return err(at, format!("a frame ends at the CURRENT ROW; {FRAMES}"));
        }
    }
    let bound = match start_bound {
        CurrentRow => None,
        Preceding(None) => {
            return match units {
                sp::WindowFrameUnits::Rows => Ok(Frame::Rows(None)),
                sp::WindowFrameUnits::Range => Ok(Frame::Range(None)),
                sp::WindowFrameUnits::Groups => groups(at),
            };
        }
        Preceding(Some(bound)) => Some(*bound),
        Following(_) => {
            return err(
                at,
                format!("FOLLOWING is not supported: a row does not wait for later ones; {FRAMES}"),
            );
        }
    };
    match units {
        sp::WindowFrameUnits::Rows => rows(bound, at),
        sp::WindowFrameUnits::Range => range(bound, at),
        sp::WindowFrameUnits::Groups => groups(at),
    }
}

fn groups(at: Area) -> Result<Frame> {
    err(at, format!("GROUPS is not supported; {FRAMES}"))
}

fn rows(bound: Option<sp::Expr>, at: Area) -> Result<Frame> {
    let Some(bound) = bound else { return Ok(Frame::Rows(Some(0))) };
    if let sp::Expr::Value(value) = bound
        && let Ok(Literal::Int(count)) = literal(value.value, at)
        && (0..=MAX_ROWS).contains(&count)
    {
        return Ok(Frame::Rows(Some(count as u64)));
    }
    err(at, format!("expected ROWS and a number from 0 to {MAX_ROWS} before PRECEDING; {FRAMES}"))
}

fn range(bound: Option<sp::Expr>, at: Area) -> Result<Frame> {
    let Some(bound) = bound else { return Ok(Frame::Range(Some(0))) };
    let nanos = match expr(bound, at, 0)?.kind {
        ExprKind::Literal(Literal::Interval(nanos)) => Some(nanos),
        ExprKind::Literal(Literal::Text(text)) => duration::parse(&text),
        _ => None,
    };
    match nanos.filter(|nanos| *nanos >= 0) {
        Some(nanos) => Ok(Frame::Range(Some(nanos))),
        None => err(at, format!("expected RANGE and a length of time before PRECEDING; {FRAMES}")),
    }
}
