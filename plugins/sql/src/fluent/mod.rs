//! Fluent Bit's statements: what their clauses and functions mean in ours.

pub mod snapshot;
pub mod streams;

use crate::ast::{
    Call, CompareOp, Expr, ExprKind, Item, Literal, Name, Scope, Snapshot, Statement,
};
use crate::bind::names;
use crate::duration;
use crate::error::{Area, Result, SqlError};
use crate::plan::{Action, Plan};

/// The tag of points that holds what Fluent Bit calls a record's tag.
pub const TAG: &str = "tag";

/// The window of statements with aggregates that name none.
const DEFAULT_WINDOW: &str = "1s";

/// A window. Times are nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub size: i64,
    pub advance: Option<i64>,
    pub area: Area,
}

/// What stands in a statement beside SELECT, WHERE and GROUP BY.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Clauses {
    pub name: Option<Name>,
    /// `WITH (tag = 't')`
    pub tag: Option<Name>,
    /// `TAG:'pattern'`
    pub pattern: Option<Name>,
    pub window: Option<Window>,
    pub snapshot: Option<Snapshot>,
}

/// Most seconds of a snapshot, some 292 years.
const MAX_SECONDS: i64 = i64::MAX / 1_000_000_000;

impl Clauses {
    /// `seconds = '5'`; whether that is a length of time.
    pub fn set_seconds(&mut self, text: &str) -> bool {
        let seconds = text.trim().parse::<i64>().ok().filter(|s| (1..=MAX_SECONDS).contains(s));
        match (&mut self.snapshot, seconds) {
            (Some(Snapshot::Keep { length, .. }), Some(seconds)) => {
                *length = Some(seconds * 1_000_000_000);
                true
            }
            _ => false,
        }
    }
}

/// Gives a statement the meaning that its clauses and functions have.
pub fn finish(statement: &mut Statement, clauses: Clauses) -> Result<()> {
    let Clauses { name, tag, pattern, window, snapshot } = clauses;
    statement.stream = name;
    statement.tag = tag;
    each(statement, &mut rewrite)?;
    if let Some(pattern) = pattern {
        statement.otherwise = Some(name_of(&pattern.text));
        let condition = matches_tag(&pattern);
        statement.filter = Some(match statement.filter.take() {
            None => condition,
            Some(filter) => {
                let area = condition.area.to(filter.area);
                Expr { kind: ExprKind::And(vec![condition, filter]), area }
            }
        });
    }
    if let Some(snapshot) = snapshot {
        whole_points(statement, &snapshot, window)?;
        statement.snapshot = Some(snapshot);
        return Ok(());
    }
    if let Some(window) = window {
        statement.group_by.insert(0, window_of(&window));
    } else if is_aggregate(statement) {
        let area = statement.area;
        let length = literal(Literal::Text(DEFAULT_WINDOW.to_owned()), area);
        statement.group_by.insert(0, call("time", vec![length], area));
    }
    Ok(())
}

/// Refuses what a snapshot cannot have: it holds points as they are, and not all of them.
fn whole_points(statement: &Statement, snapshot: &Snapshot, window: Option<Window>) -> Result<()> {
    let wrong = |area: Area, what: &str| Err(SqlError::new(area, what));
    let item = statement.items.iter().find_map(|item| match item {
        Item::Expr { expr, .. } => Some(expr.area),
        Item::StarOf(source) => Some(source.area),
        Item::Star(_) => None,
    });
    if let Some(area) = item {
        return wrong(area, "a snapshot holds points as they are; expected SELECT *");
    }
    let groups = statement.group_by.first().or(statement.having.as_ref()).map(|expr| expr.area);
    if let Some(area) = window.map(|window| window.area).or(groups) {
        return wrong(
            area,
            "a snapshot has no groups and windows; expected SELECT * FROM ... WHERE ...",
        );
    }
    if let Some(join) = &statement.join {
        return wrong(join.area, "a snapshot has one source");
    }
    if let (Snapshot::Keep { limit: None, length: None }, Some(name)) =
        (snapshot, &statement.stream)
    {
        return wrong(
            name.area,
            "a snapshot without a bound would grow for ever; write WITH (seconds = '60') before AS, or LIMIT 1000 at the end",
        );
    }
    Ok(())
}

/// Refuses statements of snapshots that do not go together with those before.
pub fn check(statement: &Statement, plan: &Plan, before: &[Plan], max_rows: u64) -> Result<()> {
    let Some(name) = &statement.stream else { return Ok(()) };
    let known = before
        .iter()
        .any(|plan| matches!(&plan.action, Action::Snapshot(of) if of.name == name.text));
    let what = match &plan.action {
        Action::Flush if !known => format!(
            "there is no snapshot `{}` yet; write CREATE SNAPSHOT {} ... before",
            name.text, name.text
        ),
        Action::Snapshot(_) if known => format!("there is a snapshot `{}` already", name.text),
        Action::Snapshot(snapshot) if snapshot.limit.is_some_and(|limit| limit > max_rows) => {
            format!(
                "its LIMIT is beyond `max_rows`, {max_rows}; write a smaller one, or raise that"
            )
        }
        _ => return Ok(()),
    };
    Err(SqlError::new(name.area, what))
}

fn is_aggregate(statement: &Statement) -> bool {
    let aggregates =
        |item: &Item| matches!(item, Item::Expr { expr, .. } if names::has_aggregate(expr));
    !statement.group_by.is_empty() || statement.items.iter().any(aggregates)
}

/// Calls `f` for all expressions of a statement.
fn each(statement: &mut Statement, f: &mut impl FnMut(&mut Expr) -> Result<()>) -> Result<()> {
    let items = statement.items.iter_mut().filter_map(|item| match item {
        Item::Expr { expr, .. } => Some(expr),
        Item::Star(_) | Item::StarOf(_) => None,
    });
    let clauses = statement.filter.iter_mut().chain(&mut statement.group_by);
    let mut all = items.chain(clauses).chain(&mut statement.having);
    all.try_for_each(|expr| names::try_visit_mut(expr, f))
}

/// `SELECT`'s window as a function of GROUP BY.
fn window_of(window: &Window) -> Expr {
    let Window { size, advance, area } = *window;
    let length = |nanos: i64| literal(Literal::Text(duration::text(nanos)), area);
    match advance {
        Some(advance) => call("hop", vec![length(advance), length(size)], area),
        None => call("time", vec![length(size)], area),
    }
}

/// What a record's tag is: the tag `tag`, or the measurement of points without one.
fn record_tag(area: Area) -> Expr {
    // It stands nowhere in the query, so nobody is told that no point has it.
    let kind = ExprKind::Column { scope: Scope::Tag, name: TAG.to_owned(), quoted: true };
    let tag = Expr { kind, area: Area::default() };
    let measurement = column("measurement", area);
    call("coalesce", vec![tag, measurement], area)
}

/// What the rows of a pattern without a name are called: by what stands in it beside wildcards.
fn name_of(pattern: &str) -> String {
    let is_separator = |c: char| matches!(c, '.' | '-' | '_' | '/') || c.is_whitespace();
    let parts = pattern.split('*').map(|part| part.trim_matches(is_separator));
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "tag_sql".to_owned() } else { format!("{}_sql", parts.join(".")) }
}

/// Whether the record's tag matches: `*` stands for any text.
fn matches_tag(pattern: &Name) -> Expr {
    let area = pattern.area;
    let tag = Box::new(record_tag(area));
    let kind = if pattern.text.contains('*') {
        let mut like = String::with_capacity(pattern.text.len());
        for c in pattern.text.chars() {
            match c {
                '*' => like.push('%'),
                '%' | '_' | '\\' => like.extend(['\\', c]),
                c => like.push(c),
            }
        }
        let pattern = Box::new(literal(Literal::Text(like), area));
        ExprKind::Like { expr: tag, pattern, escape: Some('\\'), negated: false, fold: false }
    } else {
        let right = Box::new(literal(Literal::Text(pattern.text.clone()), area));
        ExprKind::Compare { op: CompareOp::Eq, left: tag, right }
    };
    Expr { kind, area }
}

/// One expression: functions of records, and texts where numbers are asked for.
fn rewrite(expr: &mut Expr) -> Result<()> {
    let area = expr.area;
    match &mut expr.kind {
        ExprKind::Compare { left, right, .. } => {
            numbers(left, &[right]);
            numbers(right, &[left]);
        }
        ExprKind::Between { expr: value, low, high, .. } => numbers(value, &[low, high]),
        ExprKind::In { expr: value, list, .. } => numbers(value, &list.iter().collect::<Vec<_>>()),
        ExprKind::Call(called) => {
            if let Some(kind) = function(called, area)? {
                expr.kind = kind;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A column that is compared with a number is read as one.
fn numbers(value: &mut Expr, others: &[&Expr]) {
    let is_number = |expr: &&Expr| match &expr.kind {
        ExprKind::Literal(literal) => matches!(literal, Literal::Int(_) | Literal::Float(_)),
        ExprKind::Negate(inner) => {
            matches!(&inner.kind, ExprKind::Literal(Literal::Int(_) | Literal::Float(_)))
        }
        _ => false,
    };
    if others.iter().all(is_number) {
        as_number(value);
    }
}

fn as_number(value: &mut Expr) {
    if matches!(&value.kind, ExprKind::Column { name, .. } if name != "time" && name != "measurement")
    {
        let area = value.area;
        let column = std::mem::replace(value, literal(Literal::Null, area));
        *value = call("number", vec![column], area);
    }
}

fn function(called: &mut Call, area: Area) -> Result<Option<ExprKind>> {
    let no_arguments = called.args.is_empty() && !called.star;
    let plain = |ok: bool, form: &str| match ok {
        true => Ok(()),
        false => Err(SqlError::new(area, format!("expected {form}"))),
    };
    let made = match called.name.as_str() {
        "sum" | "avg" | "min" | "max" => {
            called.args.iter_mut().for_each(as_number);
            return Ok(None);
        }
        "timeseries_forecast" => {
            let form = "TIMESERIES_FORECAST(key, seconds), such as TIMESERIES_FORECAST(usage, 60)";
            let [_, Expr { kind: ExprKind::Literal(Literal::Int(seconds)), area: at }] =
                called.args.as_slice()
            else {
                return plain(false, form).map(|()| None);
            };
            let nanos = i64::try_from(*seconds).ok().and_then(|s| s.checked_mul(1_000_000_000));
            let Some(nanos) = nanos else { return plain(false, form).map(|()| None) };
            called.args[1] = literal(Literal::Text(duration::text(nanos)), *at);
            called.args.iter_mut().take(1).for_each(as_number);
            called.name = "forecast".to_owned();
            return Ok(None);
        }
        "@record.contains" => {
            let [key] = called.args.as_mut_slice() else {
                return plain(false, "@record.contains(key)").map(|()| None);
            };
            plain(matches!(key.kind, ExprKind::Column { .. }), "@record.contains(key)")?;
            let key = std::mem::replace(key, literal(Literal::Null, area));
            ExprKind::IsNull { expr: Box::new(key), negated: true }
        }
        "@record.time" | "record_time" => {
            plain(no_arguments, "RECORD_TIME() or @record.time()")?;
            call("to_unixtime", vec![column("time", area)], area).kind
        }
        "record_tag" => {
            plain(no_arguments, "RECORD_TAG()")?;
            record_tag(area).kind
        }
        "unix_timestamp" if no_arguments => {
            let seconds =
                call("to_unixtime", vec![call("current_timestamp", Vec::new(), area)], area);
            let whole = call("floor", vec![seconds], area);
            ExprKind::Cast { expr: Box::new(whole), to: crate::ast::CastTo::Int }
        }
        "now" if no_arguments => return Ok(Some(clock(area))),
        _ => return Ok(None),
    };
    Ok(Some(made))
}

/// The clock as text: `2026-02-03 04:05:06`.
fn clock(area: Area) -> ExprKind {
    let text = |text: &str| literal(Literal::Text(text.to_owned()), area);
    let now = call("current_timestamp", Vec::new(), area);
    let second = call("date_trunc", vec![text("second"), now], area);
    let kind = ExprKind::Cast { expr: Box::new(second), to: crate::ast::CastTo::Text };
    let written = Expr { kind, area };
    let spaced = call("replace", vec![written, text("T"), text(" ")], area);
    call("replace", vec![spaced, text("Z"), text("")], area).kind
}

fn literal(literal: Literal, area: Area) -> Expr {
    Expr { kind: ExprKind::Literal(literal), area }
}

fn column(name: &str, area: Area) -> Expr {
    let kind = ExprKind::Column { scope: Scope::Any, name: name.to_owned(), quoted: false };
    Expr { kind, area }
}

fn call(name: &str, args: Vec<Expr>, area: Area) -> Expr {
    let call = Call {
        name: name.to_owned(),
        args,
        star: false,
        distinct: None,
        filter: None,
        over: None,
        clause: None,
    };
    Expr { kind: ExprKind::Call(call), area }
}

#[cfg(test)]
mod tests;
