//! The columns of joined rows: what a statement names of both sources, and the plans of the sides that
//! give it.

use super::expr::Binder;
use super::join::{Hidden, Joined, Of};
use super::{err, names, reads};
use crate::ast::{Expr, ExprKind, Item, Name, Scope, Source, Statement};
use crate::canonical;
use crate::error::{Area, Result};
use crate::plan::*;

/// Calls `one` for what a statement computes. Its columns are called as before.
pub fn rename(
    statement: &mut Statement,
    mut one: impl FnMut(&mut Expr) -> Result<()>,
) -> Result<()> {
    let mut given: Vec<String> = Vec::new();
    for item in &mut statement.items {
        let Item::Expr { expr, alias } = item else { continue };
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
        one(expr)?;
    }
    for expr in &mut statement.group_by {
        let is_given = matches!(
            &expr.kind,
            ExprKind::Column { scope: Scope::Any, name, .. } if given.contains(name)
        );
        if !is_given {
            one(expr)?;
        }
    }
    let keys = statement.windows.iter_mut().flat_map(|(_, over)| &mut over.partition_by);
    statement.filter.iter_mut().chain(&mut statement.having).chain(keys).try_for_each(one)
}

/// Group keys that are not selected are called as columns are, where that tells them apart: of each
/// pair the first is what they are called.
pub fn shorten(plan: &mut Plan, pairs: &[(&str, &str)]) {
    let Action::Aggregate(aggregate) = &mut plan.action else { return };
    let outputs = &mut aggregate.outputs;
    for at in 0..outputs.len() {
        let found = pairs.iter().find(|(name, _)| *name == outputs[at].name);
        if let (Role::HiddenKey, Some((_, short))) = (outputs[at].role, found)
            && *short != "time"
            && outputs.iter().all(|output| output.name != *short)
        {
            outputs[at].name = (*short).to_owned();
        }
    }
}

impl Joined {
    /// Gives the columns of the statement the names that they have in joined rows.
    pub(super) fn rename(&mut self, statement: &mut Statement) -> Result<()> {
        for item in &statement.items {
            if let Item::Star(area) | Item::StarOf(Name { area, .. }) = item {
                let [a, b] = &self.names;
                return err(
                    *area,
                    format!(
                        "the columns of a join are named, for both sources may have them: write {a}.x, {b}.y AS z"
                    ),
                );
            }
        }
        rename(statement, |expr| self.rename_one(expr))
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
        let pairs = self.hidden.iter().map(|hidden| (hidden.name.as_str(), hidden.short.as_str()));
        shorten(plan, &pairs.collect::<Vec<_>>());
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
                    Some(self.binders[hidden.side].column_number(*scope, of, false, hidden.area))
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
                table: None,
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
            table: None,
        }));
        Ok(())
    }
}

/// A part of a name, in quotes if it could be taken for something else.
fn part(name: &str) -> String {
    match name.contains(['.', '"', '(', '\'']) {
        true => format!("\"{}\"", name.replace('"', "\"\"")),
        false => name.to_owned(),
    }
}
