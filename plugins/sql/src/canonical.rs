//! Expressions as text, the same for all spellings of one: what columns without AS are called, and
//! how a SELECT list finds its group keys.

use std::fmt::Write;

use crate::ast::{ARRAY, ArithOp, CastTo, CompareOp, Expr, ExprKind, Frame, Literal, Over, Scope};
use crate::{duration, time, vector};

/// The expression as text.
pub fn text(expr: &Expr) -> String {
    let mut out = String::new();
    write(&mut out, expr, false);
    out
}

fn write(out: &mut String, expr: &Expr, nested: bool) {
    let compound = matches!(
        expr.kind,
        ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Not(_)
            | ExprKind::Compare { .. }
            | ExprKind::Arith { .. }
            | ExprKind::Concat { .. }
            | ExprKind::IsNull { .. }
            | ExprKind::IsBool { .. }
            | ExprKind::Distinct { .. }
            | ExprKind::In { .. }
            | ExprKind::Between { .. }
            | ExprKind::Like { .. }
            | ExprKind::Matches { .. }
    );
    if nested && compound {
        out.push('(');
    }
    body(out, expr);
    if nested && compound {
        out.push(')');
    }
}

fn list(out: &mut String, exprs: &[Expr], between: &str, nested: bool) {
    for (at, expr) in exprs.iter().enumerate() {
        if at > 0 {
            out.push_str(between);
        }
        write(out, expr, nested);
    }
}

fn pair(out: &mut String, left: &Expr, word: &str, right: &Expr) {
    write(out, left, true);
    out.push(' ');
    out.push_str(word);
    out.push(' ');
    write(out, right, true);
}

fn body(out: &mut String, expr: &Expr) {
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match &expr.kind {
        ExprKind::Literal(literal) => literal_text(out, literal),
        ExprKind::Column { scope, name, .. } => column(out, *scope, name),
        ExprKind::Qualified { source, scope, name, .. } => {
            out.push_str(source);
            out.push('.');
            column(out, *scope, name);
        }
        ExprKind::Negate(e) => {
            out.push('-');
            write(out, e, true);
        }
        ExprKind::Not(e) => {
            out.push_str("NOT ");
            write(out, e, true);
        }
        ExprKind::And(exprs) => list(out, exprs, " AND ", true),
        ExprKind::Or(exprs) => list(out, exprs, " OR ", true),
        ExprKind::Compare { op, left, right } => {
            let word = match op {
                CompareOp::Eq => "=",
                CompareOp::Ne => "<>",
                CompareOp::Lt => "<",
                CompareOp::Le => "<=",
                CompareOp::Gt => ">",
                CompareOp::Ge => ">=",
            };
            pair(out, left, word, right);
        }
        ExprKind::Arith { op, left, right } => {
            let word = match op {
                ArithOp::Add => "+",
                ArithOp::Sub => "-",
                ArithOp::Mul => "*",
                ArithOp::Div => "/",
                ArithOp::Mod => "%",
            };
            pair(out, left, word, right);
        }
        ExprKind::Concat { left, right } => pair(out, left, "||", right),
        ExprKind::IsNull { expr, negated } => {
            write(out, expr, true);
            let _ = write!(out, " IS {}NULL", not(*negated));
        }
        ExprKind::IsBool { expr, value, negated } => {
            write(out, expr, true);
            let _ = write!(out, " IS {}{}", not(*negated), if *value { "TRUE" } else { "FALSE" });
        }
        ExprKind::Distinct { left, right, negated } => {
            let word = if *negated { "IS NOT DISTINCT FROM" } else { "IS DISTINCT FROM" };
            pair(out, left, word, right);
        }
        ExprKind::In { expr, list: items, negated } => {
            write(out, expr, true);
            let _ = write!(out, " {}IN (", not(*negated));
            list(out, items, ", ", false);
            out.push(')');
        }
        ExprKind::Between { expr, low, high, negated } => {
            write(out, expr, true);
            let _ = write!(out, " {}BETWEEN ", not(*negated));
            pair(out, low, "AND", high);
        }
        ExprKind::Like { expr, pattern, negated, fold, escape } => {
            let word = if *fold { "ILIKE" } else { "LIKE" };
            pair(out, expr, &format!("{}{word}", not(*negated)), pattern);
            if *escape != Some('\\') {
                let _ = write!(out, " ESCAPE '{}'", escape.map(String::from).unwrap_or_default());
            }
        }
        ExprKind::Matches { expr, pattern, negated, fold } => {
            let word = match (*negated, *fold) {
                (false, false) => "~",
                (true, false) => "!~",
                (false, true) => "~*",
                (true, true) => "!~*",
            };
            pair(out, expr, word, pattern);
        }
        ExprKind::Case { operand, whens, otherwise } => {
            out.push_str("CASE");
            if let Some(operand) = operand {
                out.push(' ');
                write(out, operand, true);
            }
            for (when, then) in whens {
                out.push_str(" WHEN ");
                write(out, when, false);
                out.push_str(" THEN ");
                write(out, then, false);
            }
            if let Some(otherwise) = otherwise {
                out.push_str(" ELSE ");
                write(out, otherwise, false);
            }
            out.push_str(" END");
        }
        ExprKind::Cast { expr, to } => {
            let word = match to {
                CastTo::Int => "bigint",
                CastTo::UInt => "bigint unsigned",
                CastTo::Float => "double",
                CastTo::Text => "text",
                CastTo::Bool => "boolean",
                CastTo::Time => "timestamp",
                CastTo::Interval => "interval",
            };
            out.push_str("cast(");
            write(out, expr, false);
            let _ = write!(out, " AS {word})");
        }
        ExprKind::Call(call) if call.name == ARRAY => {
            out.push_str("ARRAY[");
            list(out, &call.args, ", ", false);
            out.push(']');
        }
        ExprKind::Call(call) if call.name.starts_with("->") => {
            if let [left, right] = call.args.as_slice() {
                pair(out, left, &call.name, right);
            }
        }
        ExprKind::Call(call) => {
            out.push_str(&call.name);
            out.push('(');
            if call.distinct.is_some() {
                out.push_str("DISTINCT ");
            }
            if call.star {
                out.push('*');
            }
            list(out, &call.args, ", ", false);
            out.push(')');
            if let Some(filter) = &call.filter {
                out.push_str(" FILTER (WHERE ");
                write(out, filter, false);
                out.push(')');
            }
            if let Some(window) = &call.over {
                over(out, window);
            }
        }
    }
}

/// A column without its source.
pub fn column(out: &mut String, scope: Scope, name: &str) {
    match scope {
        Scope::Any => out.push_str(name),
        Scope::Tag | Scope::Field => {
            let word = if scope == Scope::Tag { "tag" } else { "field" };
            let _ = write!(out, "{word}('{}')", name.replace('\'', "''"));
        }
    }
}

/// The window of a window function. The order is always that of time and does not show.
fn over(out: &mut String, window: &Over) {
    if let Some(name) = &window.window {
        let _ = write!(out, " OVER {}", name.text);
        return;
    }
    out.push_str(" OVER (");
    if !window.partition_by.is_empty() {
        out.push_str("PARTITION BY ");
        list(out, &window.partition_by, ", ", false);
    }
    let between = if window.partition_by.is_empty() { "" } else { " " };
    let _ = match window.frame {
        None | Some(Frame::Range(None)) => Ok(()),
        Some(frame) => write!(out, "{between}{}", frame_text(frame)),
    };
    out.push(')');
}

/// A frame as text.
pub fn frame_text(frame: Frame) -> String {
    match frame {
        Frame::Range(None) => "RANGE UNBOUNDED PRECEDING".to_owned(),
        Frame::Range(Some(nanos)) => {
            format!("RANGE INTERVAL '{}' PRECEDING", duration::text(nanos))
        }
        Frame::Rows(None) => "ROWS UNBOUNDED PRECEDING".to_owned(),
        Frame::Rows(Some(rows)) => format!("ROWS {rows} PRECEDING"),
    }
}

fn literal_text(out: &mut String, literal: &Literal) {
    match literal {
        Literal::Null => out.push_str("NULL"),
        Literal::Bool(value) => out.push_str(if *value { "TRUE" } else { "FALSE" }),
        Literal::Int(value) => out.push_str(&value.to_string()),
        Literal::Float(value) => out.push_str(&vector::float_text(*value)),
        Literal::Text(text) => {
            let _ = write!(out, "'{}'", text.replace('\'', "''"));
        }
        Literal::Interval(nanos) => {
            let _ = write!(out, "INTERVAL '{}'", duration::text(*nanos));
        }
        Literal::Time(nanos) => {
            let _ = write!(out, "TIMESTAMP '{}'", time::text(*nanos));
        }
    }
}
