//! Binds joins with tables: ON is taken apart into equalities between an expression of the point and a
//! column of the table; the table's columns are columns of the statement, called `hosts.dc`.

use std::sync::Arc;

use super::expr::{Binder, Scope as Reach};
use super::source::{bare, called, unknown};
use super::{Options, err, names, rows};
use crate::ast::{self, CompareOp, Expr, ExprKind, Item, Name, Scope, SourceKind, Statement};
use crate::canonical;
use crate::error::{Area, Result};
use crate::plan::*;
use crate::table::{MAX_KEY, TableSource};

const FORM: &str = "a [LEFT] JOIN hosts ON a.host = hosts.name";

/// A join with a table whose keys are not bound yet.
pub struct Tabled {
    source: Arc<TableSource>,
    names: [String; 2],
    keys: Vec<Expr>,
    key_columns: Vec<String>,
    columns: Vec<TableColumn>,
    keeps_left: bool,
    told: Vec<(&'static str, String)>,
}

/// The table that a name of a source stands for.
pub fn of<'o>(source: &ast::Source, options: &'o Options) -> Option<&'o Arc<TableSource>> {
    match &source.kind {
        SourceKind::Name(name) => options.tables.get(name),
        _ => None,
    }
}

/// A table that stands where points must come from.
pub fn refuse(source: &ast::Source, options: &Options) -> Result<()> {
    match (of(source, options), called(source)) {
        (Some(_), Some(name)) => err(
            source.area,
            format!(
                "`{name}` is a table, of which no points come; join it behind the points' source: cpu JOIN {name} ON cpu.host = {name}.host"
            ),
        ),
        _ => Ok(()),
    }
}

/// Takes a join with a table out of a statement.
pub fn desugar(
    statement: &mut Statement,
    join: &ast::Join,
    source: &Arc<TableSource>,
) -> Result<Tabled> {
    if join.asof.is_some() {
        return err(
            join.area,
            format!("the rows of a table have no time, so ASOF has no meaning; write {FORM}"),
        );
    }
    let left = statement.source.clone();
    let (Some(a), Some(b)) = (called(&left), called(&join.right)) else {
        return err(
            left.area,
            "a source of a join needs a name by which its columns are told apart; write measurements('a*') AS a, or * AS a",
        );
    };
    if a == b {
        return err(
            join.right.area,
            format!("both sources are called `{a}`; give one of them another name with AS"),
        );
    }
    let mut tabled = Tabled {
        source: Arc::clone(source),
        names: [a.to_owned(), b.to_owned()],
        keys: Vec::new(),
        key_columns: Vec::new(),
        columns: Vec::new(),
        keeps_left: join.keeps_left,
        told: Vec::new(),
    };
    let resolve = Resolve { left: &left, right: &join.right };
    for name in &join.using {
        let column = |source: &str| ExprKind::Qualified {
            source: source.to_owned(),
            scope: Scope::Any,
            name: name.text.clone(),
            quoted: true,
        };
        let side = |source| Box::new(Expr { kind: column(source), area: name.area });
        let (left, right) = (side(a), side(b));
        let kind = ExprKind::Compare { op: CompareOp::Eq, left, right };
        tabled.condition(Expr { kind, area: name.area }, &resolve, statement)?;
    }
    if let Some(on) = &join.on {
        names::refuse_clauses(on)?;
        if names::has_aggregate(on) {
            return err(on.area, "an aggregate cannot stand in ON");
        }
        let parts = match &on.kind {
            ExprKind::And(list) => list.clone(),
            _ => vec![on.clone()],
        };
        for part in parts {
            tabled.condition(part, &resolve, statement)?;
        }
    }
    if tabled.keys.is_empty() {
        let area = join.on.as_ref().map_or(join.area, |on| on.area);
        return err(
            area,
            format!("expected an equality with a column of the table: {a}.host = {b}.name"),
        );
    }
    if tabled.keys.len() > MAX_KEY {
        return err(join.area, format!("the key has more than {MAX_KEY} columns"));
    }
    tabled.stars(statement)?;
    rows::rename(statement, |expr| tabled.rename(expr, &resolve))?;
    Ok(tabled)
}

/// Tells the sources apart.
struct Resolve<'s> {
    left: &'s ast::Source,
    right: &'s ast::Source,
}

impl Resolve<'_> {
    /// Whether a prefix names the table.
    fn is_table(&self, area: Area, source: &str) -> Result<bool> {
        match () {
            () if called(self.right) == Some(source) => Ok(true),
            () if called(self.left) == Some(source) => Ok(false),
            () => unknown(area, source, &[self.left, self.right]),
        }
    }
}

impl Tabled {
    /// Whether an expression reads the point, and whether it reads the table.
    fn sides(&self, expr: &Expr, resolve: &Resolve<'_>) -> Result<[bool; 2]> {
        let (mut sides, mut result) = ([false; 2], Ok(()));
        names::visit(expr, &mut |expr| {
            let side = match &expr.kind {
                ExprKind::Qualified { source, .. } => resolve.is_table(expr.area, source),
                ExprKind::Column { scope: Scope::Any, name, .. } if name == "time" => Ok(false),
                ExprKind::Column { scope: Scope::Any, name, quoted: false }
                    if name == "current_timestamp" =>
                {
                    return;
                }
                ExprKind::Column { scope, name, .. } => bare(&self.names, expr.area, *scope, name),
                _ => return,
            };
            match side {
                Ok(side) => sides[usize::from(side)] = true,
                Err(error) if result.is_ok() => result = Err(error),
                Err(_) => {}
            }
        });
        result.map(|()| sides)
    }

    /// A part of ON.
    fn condition(
        &mut self,
        part: Expr,
        resolve: &Resolve<'_>,
        statement: &mut Statement,
    ) -> Result<()> {
        let sides = self.sides(&part, resolve)?;
        if let ExprKind::Compare { op: CompareOp::Eq, left, right } = &part.kind {
            let (l, r) = (self.sides(left, resolve)?, self.sides(right, resolve)?);
            let pair = match (l, r) {
                ([true, false], [false, true]) => Some((left, right)),
                ([false, true], [true, false]) => Some((right, left)),
                _ => None,
            };
            if let Some((point, column)) = pair {
                let ExprKind::Qualified { name, scope, .. } = &column.kind else {
                    return err(
                        column.area,
                        "expected a column of the table by itself: its rows are found by what stands in the file",
                    );
                };
                self.plain(column.area, *scope)?;
                self.key_columns.push(name.clone());
                let mut key = (**point).clone();
                names::try_visit_mut(&mut key, &mut |expr| self.rename_one(expr, resolve))?;
                self.keys.push(key);
                self.told.push(("key", canonical::text(&part)));
                return Ok(());
            }
        }
        if self.keeps_left {
            return err(
                part.area,
                if sides[1] {
                    "in a LEFT JOIN with a table a condition of ON is an equality with one of its columns; write CASE WHEN for the columns that such rows shall not give"
                } else {
                    "in a LEFT JOIN with a table a condition of ON is an equality with one of its columns; WHERE takes conditions on the point"
                },
            );
        }
        // Without LEFT it makes no difference where it stands.
        self.told.push(("rows", canonical::text(&part)));
        let area = part.area;
        statement.filter = Some(match statement.filter.take() {
            None => part,
            Some(filter) => Expr { kind: ExprKind::And(vec![filter, part]), area },
        });
        Ok(())
    }

    /// Columns of a table are no tags or fields.
    fn plain(&self, area: Area, scope: Scope) -> Result<()> {
        match scope {
            Scope::Any => Ok(()),
            Scope::Tag | Scope::Field => err(
                area,
                format!("the columns of a table are no tags or fields; write {}.x", self.names[1]),
            ),
        }
    }

    /// `a.*` stands for what the point has.
    fn stars(&self, statement: &mut Statement) -> Result<()> {
        let [a, b] = &self.names;
        for item in &mut statement.items {
            match item {
                Item::Star(area) => {
                    return err(
                        *area,
                        format!(
                            "`*` would be all columns of two sources; write {a}.* for all that the point has, and {b}.x for columns of the table"
                        ),
                    );
                }
                Item::StarOf(name) if name.text == *a => *item = Item::Star(name.area),
                Item::StarOf(name) => {
                    return err(
                        name.area,
                        format!("expected {a}.*; the columns of a table are named: {b}.x, {b}.y"),
                    );
                }
                Item::Expr { .. } => {}
            }
        }
        Ok(())
    }

    fn rename(&mut self, expr: &mut Expr, resolve: &Resolve<'_>) -> Result<()> {
        self.sides(expr, resolve)?;
        names::try_visit_mut(expr, &mut |expr| self.rename_one(expr, resolve))
    }

    fn rename_one(&mut self, expr: &mut Expr, resolve: &Resolve<'_>) -> Result<()> {
        let ExprKind::Qualified { source, scope, name, quoted } = &expr.kind else { return Ok(()) };
        let (scope, name, mut quoted) = (*scope, name.clone(), *quoted);
        let name = match resolve.is_table(expr.area, source)? {
            false => name,
            true => {
                self.plain(expr.area, scope)?;
                quoted = true;
                self.column(name)
            }
        };
        expr.kind = ExprKind::Column { scope, name, quoted };
        Ok(())
    }

    /// What a column of the table is called in the statement. No field's name begins so.
    fn column(&mut self, of: String) -> String {
        let name = format!("\0{}.{of}", self.names[1]);
        if self.columns.iter().all(|known| known.of != of) {
            self.columns.push(TableColumn { name: name.clone(), of });
        }
        name
    }

    /// Binds the keys: what must be equal.
    pub fn bind_keys(&self, binder: &mut Binder) -> Result<Vec<Node>> {
        let keys = self.keys.iter();
        keys.map(|key| binder.bind(key, Reach::Point { clause: "ON" })).collect()
    }

    /// Puts the join into the plan.
    pub fn finish(self, plan: &mut Plan, keys: Vec<Node>) {
        let pairs = self.columns.iter().map(|column| (column.name.as_str(), column.of.as_str()));
        rows::shorten(plan, &pairs.collect::<Vec<_>>());
        if let Action::Aggregate(aggregate) = &mut plan.action {
            for output in &mut aggregate.outputs {
                output.name.retain(|letter| letter != '\0');
            }
        }
        let columns = self.columns.iter().map(|column| column.of.as_str());
        self.source.need(columns, &self.key_columns);
        plan.table = Some(TableJoin {
            source: self.source,
            keys,
            key_columns: self.key_columns,
            columns: self.columns,
            keeps_left: self.keeps_left,
            told: self.told,
        });
    }
}

/// Refuses `a.*` of statements that have one source of points, unless it is that one's name.
pub fn plain_stars(statement: &mut Statement) -> Result<()> {
    let source = statement.source.clone();
    for item in &mut statement.items {
        if let Item::StarOf(Name { text, area }) = item {
            if called(&source) != Some(text) {
                return unknown(*area, text, &[&source]);
            }
            *item = Item::Star(*area);
        }
    }
    Ok(())
}
