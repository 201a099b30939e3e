//! Binds joins: ON and WHERE are taken apart into keys, bounds in time, conditions on one side and the
//! rest; what both sides give is named `a.host`.

use headwater_plugin_api::config::nearest;

use super::expr::{Binder, Scope as Reach};
use super::kinds::choice;
use super::source::{bare, called, unknown};
use super::{Options, bounds, err, names};
use crate::ast::{
    self, CompareOp, Expr, ExprKind, Literal, Name, Scope, Source, SourceKind, Statement,
};
use crate::canonical;
use crate::error::{Area, Result};
use crate::plan::*;
use bounds::Bounds;

const POINT: Reach = Reach::Point { clause: "ON" };

/// A join whose columns are not yet known.
pub struct Joined {
    pub(super) sources: [Source; 2],
    pub(super) names: [String; 2],
    pub(super) binders: [Binder; 2],
    pub(super) filters: [Vec<Node>; 2],
    pub(super) keys: [Vec<Node>; 2],
    pub(super) asof: bool,
    pub(super) keeps_left: bool,
    pub(super) bounds: (i64, i64),
    /// Columns of joined rows that the statement names.
    pub(super) hidden: Vec<Hidden>,
    pub(super) told: Vec<(&'static str, String)>,
}

/// A column of joined rows.
pub struct Hidden {
    pub name: String,
    pub side: usize,
    /// What it is in its source.
    pub of: Of,
    /// What a person calls it.
    pub short: String,
    pub area: Area,
}

/// What a column of joined rows is in its source.
#[derive(PartialEq)]
pub enum Of {
    Time,
    Measurement,
    Column(Scope, String),
}

/// Takes a join out of a statement, which reads the joined rows from then on.
pub fn desugar(statement: &mut Statement, join: &ast::Join, options: &Options) -> Result<Joined> {
    let sources = [statement.source.clone(), join.right.clone()];
    let mut joined = Joined::new(sources, join)?;
    let mut found = Bounds::default();
    if let Some(condition) = &join.asof {
        joined.matching(condition, &mut found)?;
    }
    let mut residual = Vec::new();
    let mut conjuncts = Vec::new();
    for name in &join.using {
        conjuncts.push(joined.using(name));
    }
    if let Some(on) = &join.on {
        names::refuse_clauses(on)?;
        if names::has_aggregate(on) {
            return err(on.area, "an aggregate cannot stand in ON");
        }
        flatten(on, &mut conjuncts);
    }
    let matched = found.clone();
    for part in conjuncts {
        joined.condition(part, &mut found, &mut residual)?;
    }
    joined.bounds = joined.bounded(join, &matched, &found, options)?;
    joined.told.insert(0, ("bounds", joined.bounds_text()));
    joined.push_down(statement, residual)?;
    joined.rename(statement)?;
    Ok(joined)
}

/// The parts of a condition that must all hold.
fn flatten(expr: &Expr, out: &mut Vec<Expr>) {
    match &expr.kind {
        ExprKind::And(list) => list.iter().for_each(|part| flatten(part, out)),
        ExprKind::Between { expr: value, low, high, negated: false } => {
            let compare = |op, right: &Expr| Expr {
                kind: ExprKind::Compare { op, left: value.clone(), right: Box::new(right.clone()) },
                area: expr.area,
            };
            let both = [compare(CompareOp::Ge, low), compare(CompareOp::Le, high)];
            // Only bounds are better taken apart.
            match both.iter().all(mentions_time) {
                true => out.extend(both),
                false => out.push(expr.clone()),
            }
        }
        _ => out.push(expr.clone()),
    }
}

fn mentions_time(expr: &Expr) -> bool {
    names::reads(expr, "time")
}

impl Joined {
    fn new(sources: [Source; 2], join: &ast::Join) -> Result<Joined> {
        let mut names = [String::new(), String::new()];
        for (name, source) in names.iter_mut().zip(&sources) {
            match called(source) {
                Some(found) => *name = found.to_owned(),
                None => {
                    return err(
                        source.area,
                        "a source of a join needs a name by which its columns are told apart; write measurements('a*') AS a",
                    );
                }
            }
        }
        if names[0] == names[1] {
            return err(
                sources[1].area,
                format!(
                    "both sources are called `{0}`; give them names, such as {0} AS a JOIN {0} AS b",
                    names[0]
                ),
            );
        }
        Ok(Joined {
            sources,
            names,
            binders: [Binder::default(), Binder::default()],
            filters: [Vec::new(), Vec::new()],
            keys: [Vec::new(), Vec::new()],
            asof: join.asof.is_some(),
            keeps_left: join.keeps_left,
            bounds: (0, 0),
            hidden: Vec::new(),
            told: Vec::new(),
        })
    }

    /// Which source a prefix names.
    pub(super) fn side(&self, area: Area, source: &str) -> Result<usize> {
        match self.names.iter().position(|name| name == source) {
            Some(side) => Ok(side),
            None => unknown(area, source, &[&self.sources[0], &self.sources[1]]),
        }
    }

    /// The sides whose columns an expression reads.
    pub(super) fn sides(&self, expr: &Expr) -> Result<[bool; 2]> {
        let mut sides = [false; 2];
        let mut result = Ok(());
        names::visit(expr, &mut |expr| {
            let found = match &expr.kind {
                ExprKind::Qualified { source, .. } => self.side(expr.area, source).map(Some),
                ExprKind::Column { scope, name, quoted } => match (scope, name.as_str()) {
                    (Scope::Any, "time") => Ok(Some(0)),
                    (Scope::Any, "current_timestamp") if !quoted => Ok(None),
                    _ => bare(&self.names, expr.area, *scope, name),
                },
                _ => return,
            };
            match found {
                Ok(side) => side.into_iter().for_each(|side| sides[side] = true),
                Err(error) if result.is_ok() => result = Err(error),
                Err(_) => {}
            }
        });
        result.map(|()| sides)
    }

    fn using(&self, name: &Name) -> Expr {
        let side = |source: &String| {
            let kind = ExprKind::Qualified {
                source: source.clone(),
                scope: Scope::Any,
                name: name.text.clone(),
                quoted: true,
            };
            Box::new(Expr { kind, area: name.area })
        };
        let (left, right) = (side(&self.names[0]), side(&self.names[1]));
        Expr { kind: ExprKind::Compare { op: CompareOp::Eq, left, right }, area: name.area }
    }

    /// MATCH_CONDITION: a bound from above.
    fn matching(&self, condition: &Expr, found: &mut Bounds) -> Result<()> {
        self.sides(condition)?;
        let [a, b] = &self.names;
        let wrong = format!(
            "expected that the partner is no later: MATCH_CONDITION ({a}.time >= {b}.time), or with >"
        );
        let before = found.take(condition, &self.names)?;
        if !before || found.low.is_some() || found.high.is_none() {
            return err(condition.area, wrong);
        }
        Ok(())
    }

    /// A part of ON.
    fn condition(
        &mut self,
        part: Expr,
        found: &mut Bounds,
        residual: &mut Vec<Expr>,
    ) -> Result<()> {
        let sides = self.sides(&part)?;
        if sides == [true, true] && found.take(&part, &self.names)? {
            return Ok(());
        }
        match sides {
            [true, true] => {}
            [true, false] if self.keeps_left => {
                // A point for which it does not hold has no partner, as one whose key is NULL.
                let node = self.one_side(0, &part, true)?;
                let yes = || Node::Const(Const::Bool(true));
                self.keys[0].push(Node::Case { whens: vec![(node, yes())], otherwise: None });
                self.keys[1].push(yes());
                self.told.push(("partners only if", canonical::text(&part)));
                return Ok(());
            }
            [side, _] => {
                let side = usize::from(!side);
                let node = self.one_side(side, &part, true)?;
                self.filters[side].push(node);
                self.told.push((pushed(side), canonical::text(&part)));
                return Ok(());
            }
        }
        if let ExprKind::Compare { op: CompareOp::Eq, left, right } = &part.kind {
            let (l, r) = (self.sides(left)?, self.sides(right)?);
            let pair = match (l, r) {
                ([true, false], [false, true]) => Some((left, right)),
                ([false, true], [true, false]) => Some((right, left)),
                _ => None,
            };
            if let Some((a, b)) = pair {
                return self.key(a, b, &part);
            }
        }
        if self.asof || self.keeps_left {
            let what = if self.asof { "an ASOF JOIN" } else { "a LEFT JOIN" };
            return err(
                part.area,
                format!(
                    "in {what} a condition on both sources is an equality or a bound in time, for it decides who is a partner; a JOIN without LEFT takes others, and WHERE takes them for its rows"
                ),
            );
        }
        self.told.push(("rows", canonical::text(&part)));
        residual.push(part);
        Ok(())
    }

    /// An equality between the sides.
    fn key(&mut self, a: &Expr, b: &Expr, part: &Expr) -> Result<()> {
        let nodes = [self.one_side(0, a, false)?, self.one_side(1, b, false)?];
        let kinds = [0, 1].map(|side| self.binders[side].kind(&nodes[side]));
        if choice(kinds[0], kinds[1]).is_none() {
            return err(
                part.area,
                format!(
                    "{} cannot be compared with {}; cast one of them",
                    kinds[0].name(),
                    kinds[1].name()
                ),
            );
        }
        let [first, second] = nodes;
        self.keys[0].push(first);
        self.keys[1].push(second);
        self.told.push(("key", canonical::text(part)));
        Ok(())
    }

    /// Binds what only one side has to do with.
    fn one_side(&mut self, side: usize, expr: &Expr, condition: bool) -> Result<Node> {
        let mut plain = expr.clone();
        names::try_visit_mut(&mut plain, &mut |expr| {
            if let ExprKind::Qualified { scope, name, quoted, .. } = &expr.kind {
                let (scope, name, quoted) = (*scope, name.clone(), *quoted);
                expr.kind = ExprKind::Column { scope, name, quoted };
            }
            Ok(())
        })?;
        let binder = &mut self.binders[side];
        if condition { binder.condition(&plain, POINT) } else { binder.bind(&plain, POINT) }
    }

    /// The bounds, or why there are none.
    fn bounded(
        &self,
        join: &ast::Join,
        matched: &Bounds,
        found: &Bounds,
        options: &Options,
    ) -> Result<(i64, i64)> {
        let [a, b] = &self.names;
        let area = join.on.as_ref().map_or(join.area, |on| on.area);
        let (low, high) = match (found.low, found.high) {
            (Some(low), Some(high)) => (low, high),
            (None, Some(high)) if matched.high.is_some() => {
                (options.max_age.saturating_neg(), high)
            }
            (low, _) => {
                let missing = match low {
                    None if found.high.is_none() => "no bound in time",
                    None => "no bound for earlier partners",
                    Some(_) => "no bound for later partners",
                };
                // A table whose name is wrong looks like a stream.
                let table = match &join.right.kind {
                    SourceKind::Name(name) if low.is_none() && found.high.is_none() => {
                        match nearest(name, options.tables.keys()) {
                            Some(near) => format!("; or did you mean the table `{near}`?"),
                            None => format!(
                                "; if `{name}` is a table, [processors.sql.tables.{name}] or --table {name}=FILE names its file"
                            ),
                        }
                    }
                    _ => String::new(),
                };
                return err(
                    area,
                    format!(
                        "the join has {missing}, and streams have no end: all points would be kept for ever; add AND {b}.time BETWEEN {a}.time AND {a}.time + INTERVAL '5s'{table}"
                    ),
                );
            }
        };
        if low > high {
            return err(area, "no point can lie within these bounds: the lower is above the upper");
        }
        Ok((low, high))
    }

    fn bounds_text(&self) -> String {
        let [a, b] = &self.names;
        let at = |nanos: i64| match nanos {
            0 => format!("{a}.time"),
            later if later > 0 => format!("{a}.time + {}", crate::duration::text(later)),
            earlier => {
                format!("{a}.time - {}", crate::duration::text(earlier.saturating_neg()))
            }
        };
        format!("{b}.time from {} to {}", at(self.bounds.0), at(self.bounds.1))
    }

    /// Conditions of WHERE that one side decides are looked at before the join, where that changes
    /// nothing.
    fn push_down(&mut self, statement: &mut Statement, residual: Vec<Expr>) -> Result<()> {
        let mut kept = residual;
        let mut parts = Vec::new();
        if let Some(filter) = statement.filter.take() {
            names::refuse_clauses(&filter)?;
            match &filter.kind {
                ExprKind::And(list) => parts.extend(list.iter().cloned()),
                _ => parts.push(filter),
            }
        }
        for part in parts {
            let movable = match self.sides(&part)? {
                [true, false] => Some(0),
                [false, true] if !self.asof && !self.keeps_left => Some(1),
                _ => None,
            };
            match movable.filter(|_| !names::has_aggregate(&part) && !reads_clock(&part)) {
                Some(side) => {
                    let node = self.one_side(side, &part, true)?;
                    self.filters[side].push(node);
                    self.told.push((pushed(side), canonical::text(&part)));
                }
                None => {
                    self.told.push(("rows", canonical::text(&part)));
                    kept.push(part);
                }
            }
        }
        let area = statement.area;
        statement.filter = match kept.len() {
            0 | 1 => kept.pop(),
            _ => Some(Expr { kind: ExprKind::And(kept), area }),
        };
        Ok(())
    }
}

fn pushed(side: usize) -> &'static str {
    if side == 0 { "first source only where" } else { "second source only where" }
}

/// Whether the clock has a part in it: it must be read when the row is made.
fn reads_clock(expr: &Expr) -> bool {
    let mut found = false;
    names::visit(expr, &mut |expr| {
        found |= match &expr.kind {
            ExprKind::Call(call) => call.name == "now" || call.name == "current_timestamp",
            ExprKind::Column { name, .. } => name == "current_timestamp",
            _ => false,
        };
    });
    found
}

/// The time of a source, or a length of time.
pub fn term(expr: &Expr, names: &[String; 2]) -> Option<bounds::Linear> {
    let zero = bounds::Linear::default();
    match &expr.kind {
        ExprKind::Literal(Literal::Interval(nanos)) => {
            Some(bounds::Linear { nanos: i128::from(*nanos), ..zero })
        }
        ExprKind::Column { scope: Scope::Any, name, .. } if name == "time" => {
            Some(bounds::Linear { times: [1, 0], ..zero })
        }
        ExprKind::Qualified { source, scope: Scope::Any, name, .. } if name == "time" => {
            let side = names.iter().position(|known| known == source)?;
            let mut times = [0, 0];
            times[side] = 1;
            Some(bounds::Linear { times, ..zero })
        }
        _ => None,
    }
}
