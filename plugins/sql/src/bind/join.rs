//! Binds joins: ON and WHERE are taken apart into keys, bounds in time, conditions on one side and the
//! rest; what both sides give is named `a.host`.

use super::expr::{Binder, Scope as Reach};
use super::kinds::choice;
use super::source::{called, unknown};
use super::{Options, bounds, err, names, reads};
use crate::ast::{self, CompareOp, Expr, ExprKind, Item, Literal, Name, Scope, Source, Statement};
use crate::canonical;
use crate::error::{Area, Result};
use crate::plan::*;
use bounds::Bounds;

const POINT: Reach = Reach::Point { clause: "ON" };

/// A join whose columns are not yet known.
pub struct Joined {
    sources: [Source; 2],
    names: [String; 2],
    binders: [Binder; 2],
    filters: [Vec<Node>; 2],
    keys: [Vec<Node>; 2],
    asof: bool,
    keeps_left: bool,
    bounds: (i64, i64),
    /// Columns of joined rows that the statement names.
    hidden: Vec<Hidden>,
    told: Vec<(&'static str, String)>,
}

/// A column of joined rows.
struct Hidden {
    name: String,
    side: usize,
    /// What it is in its source.
    of: Of,
    /// What a person calls it.
    short: String,
    area: Area,
}

#[derive(PartialEq)]
enum Of {
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
    fn side(&self, area: Area, source: &str) -> Result<usize> {
        match self.names.iter().position(|name| name == source) {
            Some(side) => Ok(side),
            None => unknown(area, source, &[&self.sources[0], &self.sources[1]]),
        }
    }

    /// The sides whose columns an expression reads.
    fn sides(&self, expr: &Expr) -> Result<[bool; 2]> {
        let mut sides = [false; 2];
        let mut result = Ok(());
        names::visit(expr, &mut |expr| {
            let found = match &expr.kind {
                ExprKind::Qualified { source, .. } => self.side(expr.area, source).map(Some),
                ExprKind::Column { scope, name, quoted } => match (scope, name.as_str()) {
                    (Scope::Any, "time") => Ok(Some(0)),
                    (Scope::Any, "current_timestamp") if !quoted => Ok(None),
                    _ => self.bare(expr.area, *scope, name),
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

    /// A name without its source.
    fn bare<T>(&self, area: Area, scope: Scope, name: &str) -> Result<T> {
        let [a, b] = &self.names;
        let mut column = String::new();
        canonical::column(&mut column, scope, name);
        err(
            area,
            format!("a join has two sources, so columns name theirs: {a}.{column} or {b}.{column}"),
        )
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
                return err(
                    area,
                    format!(
                        "the join has {missing}, and streams have no end: all points would be kept for ever; add AND {b}.time BETWEEN {a}.time AND {a}.time + INTERVAL '5s'"
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

    /// Gives the columns of the statement the names that they have in joined rows.
    fn rename(&mut self, statement: &mut Statement) -> Result<()> {
        let mut given: Vec<String> = Vec::new();
        for item in &mut statement.items {
            match item {
                Item::Star(area) => {
                    let [a, b] = &self.names;
                    return err(
                        *area,
                        format!(
                            "the columns of a join are named, for both sources may have them: write {a}.x, {b}.y AS z"
                        ),
                    );
                }
                Item::Expr { expr, alias } => {
                    match alias {
                        Some(alias) => given.push(alias.text.clone()),
                        None => {
                            let text = match &expr.kind {
                                ExprKind::Qualified { name, .. } => name.clone(),
                                _ => canonical::text(expr),
                            };
                            *alias = Some(Name { text, area: expr.area });
                        }
                    }
                    self.rename_one(expr)?;
                }
            }
        }
        for expr in &mut statement.group_by {
            let is_given = matches!(
                &expr.kind,
                ExprKind::Column { scope: Scope::Any, name, .. } if given.contains(name)
            );
            if !is_given {
                self.rename_one(expr)?;
            }
        }
        let rest = statement.filter.iter_mut().chain(&mut statement.having);
        rest.into_iter().try_for_each(|expr| self.rename_one(expr))
    }

    fn rename_one(&mut self, expr: &mut Expr) -> Result<()> {
        let mut skipped = Vec::new();
        names::try_visit_mut(expr, &mut |expr| {
            let area = expr.area;
            match &expr.kind {
                // The name of an aggregate, not of a column.
                ExprKind::Call(call) if call.name == "merge" => {
                    skipped.extend(call.args.first().map(|arg| arg.area));
                    Ok(())
                }
                ExprKind::Column { .. } if skipped.contains(&area) => Ok(()),
                ExprKind::Column { .. } => self.sides(expr).map(|_| ()),
                ExprKind::Qualified { source, scope, name, .. } => {
                    let side = self.side(area, source)?;
                    let (scope, name) = (*scope, name.clone());
                    expr.kind = self.hidden(side, scope, &name, area);
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    /// The column of joined rows that stands for one of a side.
    fn hidden(&mut self, side: usize, scope: Scope, name: &str, area: Area) -> ExprKind {
        let of = match (scope, name) {
            (Scope::Any, "time") if side == 0 => {
                let (scope, name) = (Scope::Any, "time".to_owned());
                return ExprKind::Column { scope, name, quoted: false };
            }
            (Scope::Any, "time") => Of::Time,
            (Scope::Any, "measurement") => Of::Measurement,
            _ => Of::Column(scope, name.to_owned()),
        };
        let scope = if of == Of::Measurement { Scope::Tag } else { scope };
        let known = self.hidden.iter().find(|hidden| hidden.side == side && hidden.of == of);
        let name = match known {
            Some(known) => known.name.clone(),
            None => {
                let mut hidden = format!("{}.", part(&self.names[side]));
                match &of {
                    Of::Column(scope, name) => {
                        canonical::column(&mut hidden, *scope, &part(name));
                    }
                    Of::Time | Of::Measurement => hidden.push_str(name),
                }
                let short = name.to_owned();
                self.hidden.push(Hidden { name: hidden.clone(), side, of, short, area });
                hidden
            }
        };
        ExprKind::Column { scope, name, quoted: true }
    }

    /// The names of columns that are times.
    pub fn moments(&self) -> Vec<String> {
        let times = self.hidden.iter().filter(|hidden| hidden.of == Of::Time);
        times.map(|hidden| hidden.name.clone()).collect()
    }

    /// Puts the join below the statement that reads its rows.
    pub fn finish(mut self, plan: &mut Plan) -> Result<()> {
        let ResultName::Fixed(stream) = plan.name.clone() else {
            return err(
                self.sources[0].area,
                "the rows of this join need a name; write CREATE STREAM name AS SELECT ... or set `name`",
            );
        };
        self.shorten(plan);
        let is_used =
            |hidden: &&Hidden| plan.columns.iter().any(|column| column.name == hidden.name);
        let mut carried: [Vec<Carried>; 2] = [Vec::new(), Vec::new()];
        let mut partner_time = None;
        for hidden in self.hidden.iter().filter(is_used) {
            let name = hidden.name.clone();
            let column = match &hidden.of {
                Of::Time => {
                    partner_time = Some(name);
                    continue;
                }
                Of::Measurement => None,
                Of::Column(scope, of) => {
                    Some(self.binders[hidden.side].column_number(*scope, of, hidden.area))
                }
            };
            carried[hidden.side].push(Carried { name, column });
        }
        let [carried_a, carried_b] = carried;
        let side = |source: &Source, binder: Binder, filters, keys, carried| -> Result<Plan> {
            Ok(Plan {
                reads: reads(source)?,
                name: plan.name.clone(),
                columns: binder.columns,
                filters,
                action: Action::Side(Side { keys, carried }),
                join: None,
            })
        };
        let [a, b] = self.binders;
        let [filters_a, filters_b] = self.filters;
        let [keys_a, keys_b] = self.keys;
        let sides = [
            side(&self.sources[0], a, filters_a, keys_a, carried_a)?,
            side(&self.sources[1], b, filters_b, keys_b, carried_b)?,
        ];
        let reads = Reads::Sides(Box::new([sides[0].reads.clone(), sides[1].reads.clone()]));
        let join = Join {
            sides,
            asof: self.asof,
            keeps_left: self.keeps_left,
            bounds: self.bounds,
            partner_time,
            stream,
            told: self.told,
        };
        plan.reads = Reads::Name(HIDDEN.to_owned());
        plan.join = Some(Box::new(Plan {
            reads,
            name: ResultName::Fixed(HIDDEN.to_owned()),
            columns: Vec::new(),
            filters: Vec::new(),
            action: Action::Join(Box::new(join)),
            join: None,
        }));
        Ok(())
    }

    /// Group keys that are not selected are called as columns are, where that tells them apart.
    fn shorten(&self, plan: &mut Plan) {
        let Action::Aggregate(aggregate) = &mut plan.action else { return };
        let outputs = &mut aggregate.outputs;
        for at in 0..outputs.len() {
            let found = self.hidden.iter().find(|hidden| hidden.name == outputs[at].name);
            if let (Role::HiddenKey, Some(hidden)) = (outputs[at].role, found)
                && hidden.short != "time"
                && outputs.iter().all(|output| output.name != hidden.short)
            {
                outputs[at].name.clone_from(&hidden.short);
            }
        }
    }
}

/// A part of a name, in quotes if it could be taken for something else.
fn part(name: &str) -> String {
    match name.contains(['.', '"', '(', '\'']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_owned(),
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
