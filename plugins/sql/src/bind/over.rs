//! Binds window functions: what they are computed over, their frames, what rows take from points.

use super::err;
use super::expr::{Binder, Scope};
use super::names::{WINDOW_FUNCTIONS, aggregate_function, has_aggregate, has_over, unknown};
use super::{Options, column_name, push};
use crate::ast::{Call, Expr, ExprKind, Frame, Item, Literal, Name, Over as Window, Statement};
use crate::canonical;
use crate::error::{Area, Result};
use crate::plan::*;
use crate::vector::Kind;

pub const NESTED: &str = "a window function cannot stand inside another; write CREATE STREAM name AS SELECT ... OVER (...); and read it in the next statement";
pub const BESIDE: &str = "an aggregate without OVER cannot stand beside window functions; write OVER (PARTITION BY host ORDER BY time) behind it, or compute it in a statement of its own";
/// Most rows that `lag` goes back.
const MAX_LAG: i128 = 1_000_000_000;

/// Whether a statement has window functions, wherever they stand.
pub fn is_over(statement: &Statement) -> bool {
    let item = |item: &Item| matches!(item, Item::Expr { expr, .. } if has_over(expr));
    statement.items.iter().any(item)
        || statement.filter.iter().chain(&statement.having).any(has_over)
        || statement.group_by.iter().any(has_over)
}

/// The place of the first window function.
fn place(expr: &Expr) -> Area {
    let mut at = None;
    super::names::visit(expr, &mut |expr| {
        if matches!(&expr.kind, ExprKind::Call(call) if call.over.is_some()) {
            at = at.or(Some(expr.area));
        }
    });
    at.unwrap_or(expr.area)
}

/// Refuses window functions outside of SELECT, and what cannot stand beside them.
fn refuse(statement: &Statement) -> Result<()> {
    let clauses = [("WHERE", &statement.filter), ("HAVING", &statement.having)];
    for (clause, expr) in clauses {
        if let Some(expr) = expr.as_ref().filter(|expr| has_over(expr)) {
            return outside(place(expr), clause);
        }
    }
    if let Some(expr) = statement.group_by.iter().find(|expr| has_over(expr)) {
        return outside(place(expr), "GROUP BY");
    }
    if let Some(key) = statement.group_by.first() {
        return err(
            key.area,
            "GROUP BY cannot stand beside OVER; write CREATE STREAM name AS SELECT ... with one of them, and the other in the next statement",
        );
    }
    unused(statement)?;
    if let Some(having) = &statement.having {
        return err(having.area, "HAVING needs GROUP BY; conditions on points stand in WHERE");
    }
    Ok(())
}

/// No clause is ignored: each window of the WINDOW clause is used.
pub fn unused(statement: &Statement) -> Result<()> {
    let mut used: Vec<&str> = Vec::new();
    for item in &statement.items {
        let Item::Expr { expr, .. } = item else { continue };
        super::names::visit(expr, &mut |expr| {
            let ExprKind::Call(call) = &expr.kind else { return };
            let window = call.over.as_ref().and_then(|over| over.window.as_ref());
            used.extend(statement.windows.iter().filter_map(|(name, _)| {
                window.filter(|window| window.text == name.text).map(|_| name.text.as_str())
            }));
        });
    }
    for (at, (name, _)) in statement.windows.iter().enumerate() {
        if !used.contains(&name.text.as_str()) {
            return err(
                name.area,
                format!("no function uses this window; write OVER {} behind one", name.text),
            );
        }
        if statement.windows[..at].iter().any(|(earlier, _)| earlier.text == name.text) {
            return err(name.area, format!("there is a second window {}", name.text));
        }
    }
    Ok(())
}

fn outside<T>(at: Area, clause: &str) -> Result<T> {
    err(
        at,
        format!(
            "a window function cannot stand in {clause}; write CREATE STREAM name AS SELECT ... OVER (...) AS x ...; and the condition on x in the next statement"
        ),
    )
}

impl Binder {
    /// A statement with window functions. `derived` if each point's measurement names its row.
    pub fn over_statement(
        &mut self,
        statement: &Statement,
        options: &Options,
        derived: bool,
    ) -> Result<Over> {
        refuse(statement)?;
        let (mut star, mut outputs) = (false, Vec::new());
        for item in &statement.items {
            match item {
                Item::Star(area) if star => return err(*area, "`*` stands here twice"),
                Item::Star(_) | Item::StarOf(_) => star = true,
                Item::Expr { expr, alias } => {
                    let node = self.bind(expr, Scope::Row { leaf: false })?;
                    let (name, area) = column_name(expr, alias.as_ref())?;
                    let kind = self.kind(&node);
                    push(&mut outputs, name, node, Role::Field, kind, area, options)?;
                }
            }
        }
        let measurement = derived.then(|| self.carried_node("measurement", Node::Measurement));
        Ok(Over {
            keys: std::mem::take(&mut self.key_nodes),
            inputs: std::mem::take(&mut self.inputs),
            carried: std::mem::take(&mut self.carried),
            calls: std::mem::take(&mut self.over),
            star,
            measurement,
            outputs,
        })
    }

    /// What a row takes from its point; what is constant or the time it has anyway.
    pub fn carry(&mut self, expr: &Expr) -> Result<Node> {
        if has_aggregate(expr) {
            return err(expr.area, BESIDE);
        }
        let node = self.bind(expr, Scope::Point { clause: "a statement without GROUP BY" })?;
        if matches!(node, Node::Const(_) | Node::Time) {
            return Ok(node);
        }
        Ok(Node::Carried(self.carried_node(&canonical::text(expr), node)))
    }

    fn carried_node(&mut self, text: &str, node: Node) -> usize {
        if let Some(number) = self.carried_texts.iter().position(|known| known == text) {
            return number;
        }
        self.carried_texts.push(text.to_owned());
        self.carried.push(node);
        self.carried.len() - 1
    }

    /// A call with OVER.
    pub fn over(&mut self, call: &Call, area: Area, scope: Scope) -> Result<Node> {
        match scope {
            Scope::Row { .. } => {}
            Scope::Point { clause } | Scope::Group { clause } => return outside(area, clause),
        }
        let Some(window) = call.over.as_deref() else { return unknown(&call.name, area) };
        let frame = self.window(window)?;
        if let Some(at) = call.distinct {
            return err(
                at,
                "DISTINCT cannot stand inside OVER; the form that works is approx_distinct(x) OVER (...)",
            );
        }
        let wanted = self.window_function(call, area, frame)?;
        let number = match self.over.iter().position(|known| *known == wanted) {
            Some(number) => number,
            None => {
                self.over.push(wanted);
                self.over.len() - 1
            }
        };
        Ok(Node::Over(number))
    }

    fn window_function(&mut self, call: &Call, area: Area, frame: Frame) -> Result<OverCall> {
        let name = call.name.as_str();
        if aggregate_function(name).is_some() {
            let AggregateCall { function, input, .. } = self.plain(call, area)?;
            if super::parameters::keeps_all(function) {
                return err(
                    area,
                    format!(
                        "{name} cannot stand before OVER, for it keeps every value; the form that works is {} with GROUP BY time('10s')",
                        super::parameters::usage(name)
                    ),
                );
            }
            return Ok(OverCall { function: OverFunction::Aggregate(function), input, frame });
        }
        if matches!(name, "partial" | "merge") {
            return err(
                area,
                format!(
                    "{name} cannot stand before OVER, for a point would count in the states of many rows; the form that works is {name}(...) with GROUP BY time('10s')"
                ),
            );
        }
        let Some((_, form)) = WINDOW_FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            if crate::eval::functions::find(name).is_some() {
                return err(area, format!("{name} works on each point alone; remove OVER"));
            }
            return unknown(name, area);
        };
        if let Some(filter) = &call.filter {
            return err(
                filter.area,
                "FILTER belongs to an aggregate, such as count(*) FILTER (WHERE condition)",
            );
        }
        let function = match (name, call.args.len()) {
            _ if call.star => return err(area, format!("expected {form}")),
            ("row_number", 0) => {
                let function = OverFunction::RowNumber;
                return Ok(OverCall { function, input: None, frame: Frame::Rows(None) });
            }
            ("first_value", 1) => OverFunction::FirstValue,
            ("last_value", 1) => OverFunction::LastValue,
            ("lag", 1..=3) => return self.lag(call, form),
            _ => return err(area, format!("expected {form}")),
        };
        let input = self.input(call.args.first(), None)?;
        Ok(OverCall { function, input: Some(input), frame })
    }

    /// `lag(x [, n [, default]])`
    fn lag(&mut self, call: &Call, form: &str) -> Result<OverCall> {
        let back = match call.args.get(1).map(|expr| (&expr.kind, expr.area)) {
            None => 1,
            Some((ExprKind::Literal(Literal::Int(back)), _)) if (0..=MAX_LAG).contains(back) => {
                *back as u64
            }
            Some((_, at)) => {
                return err(at, format!("expected a number of rows, 0 to {MAX_LAG}, in {form}"));
            }
        };
        let input = self.input(call.args.first(), None)?;
        let default = match call.args.get(2) {
            None => None,
            Some(expr) if has_over(expr) => return err(expr.area, NESTED),
            Some(expr) => {
                let node = self.bind(expr, Scope::Point { clause: "lag" })?;
                let kind = self.kind(&self.inputs[input]);
                self.together(kind, &node, expr.area)?;
                Some(self.carried_node(&canonical::text(expr), node))
            }
        };
        let function = OverFunction::Lag { back, default };
        Ok(OverCall { function, input: Some(input), frame: Frame::Rows(Some(back)) })
    }

    /// The frame of a window, whose PARTITION BY is the statement's.
    fn window(&mut self, window: &Window) -> Result<Frame> {
        let named;
        let window = match &window.window {
            None => window,
            Some(name) => {
                named = self.named(name)?;
                &named
            }
        };
        let texts: Vec<String> = window.partition_by.iter().map(canonical::text).collect();
        match &self.partition {
            Some(known) if *known == texts => {}
            Some(known) => {
                let text = |list: &[String]| match list.is_empty() {
                    true => "no PARTITION BY".to_owned(),
                    false => format!("PARTITION BY {}", list.join(", ")),
                };
                return err(
                    window.area,
                    format!(
                        "this window has {}, another one {}; all windows of a statement have the same, so write two statements",
                        text(&texts),
                        text(known)
                    ),
                );
            }
            None => {
                for key in &window.partition_by {
                    if has_over(key) || has_aggregate(key) {
                        return err(
                            key.area,
                            "PARTITION BY takes expressions of the point, such as PARTITION BY host",
                        );
                    }
                    let node = self.bind(key, Scope::Point { clause: "PARTITION BY" })?;
                    self.key_nodes.push(node);
                }
                self.partition = Some(texts);
            }
        }
        Ok(window.frame.unwrap_or(Frame::Range(None)))
    }

    fn named(&self, name: &Name) -> Result<Window> {
        match self.windows.iter().find(|(known, _)| known.text == name.text) {
            Some((_, window)) => Ok(window.clone()),
            None => err(
                name.area,
                format!(
                    "there is no window {0}; write WINDOW {0} AS (PARTITION BY ...)",
                    name.text
                ),
            ),
        }
    }

    /// The kind of a window function's results.
    pub fn over_kind(&self, call: &OverCall) -> Kind {
        let input = call.input.and_then(|number| self.inputs.get(number));
        match call.function {
            OverFunction::Aggregate(function) => {
                self.aggregate_kind(&AggregateCall::new(function, call.input))
            }
            OverFunction::RowNumber => Kind::Int,
            OverFunction::Lag { .. } | OverFunction::FirstValue | OverFunction::LastValue => {
                input.map_or(Kind::Any, |node| self.kind(node))
            }
        }
    }
}
