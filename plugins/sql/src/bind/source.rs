//! Columns that name their source: resolved before anything else is bound. A statement with a join
//! becomes one that reads the rows of the join, in which both sides' columns have names of their own.

use super::join::{self, Joined};
use super::table::{self, Tabled};
use super::{Options, err, names};
use crate::ast::{Expr, ExprKind, Item, Scope, Source, SourceKind, Statement};
use crate::canonical;
use crate::error::{Area, Result};

/// A statement without prefixes, the join whose rows it reads, and the table that is joined to its
/// points.
pub struct Desugared {
    pub statement: Statement,
    pub join: Option<Joined>,
    pub table: Option<Tabled>,
}

/// Resolves the prefixes of a statement.
pub fn desugar(statement: &Statement, options: &Options) -> Result<Desugared> {
    let mut statement = statement.clone();
    table::refuse(&statement.source, options)?;
    let (mut joined, mut tabled) = (None, None);
    match statement.join.take() {
        Some(join) => match table::of(&join.right, options) {
            Some(source) => tabled = Some(table::desugar(&mut statement, &join, source)?),
            None => joined = Some(join::desugar(&mut statement, &join, options)?),
        },
        None => {
            let source = statement.source.clone();
            table::plain_stars(&mut statement)?;
            each(&mut statement, &mut |expr| one(expr, &source))?;
        }
    }
    Ok(Desugared { statement, join: joined, table: tabled })
}

/// Calls `f` for all expressions of a statement.
fn each(statement: &mut Statement, f: &mut impl FnMut(&mut Expr) -> Result<()>) -> Result<()> {
    let items = statement.items.iter_mut().filter_map(|item| match item {
        Item::Expr { expr, .. } => Some(expr),
        Item::Star(_) | Item::StarOf(_) => None,
    });
    let clauses = statement.filter.iter_mut().chain(&mut statement.group_by);
    let keys = statement.windows.iter_mut().flat_map(|(_, over)| &mut over.partition_by);
    let mut all = items.chain(clauses).chain(&mut statement.having).chain(keys);
    all.try_for_each(|expr| names::try_visit_mut(expr, f))
}

/// What a source is called: its alias, else its measurement's name.
pub fn called(source: &Source) -> Option<&str> {
    match (&source.alias, &source.kind) {
        (Some(alias), _) => Some(&alias.text),
        (None, SourceKind::Name(name)) => Some(name),
        (None, _) => None,
    }
}

/// A name of a source that is none.
pub fn unknown<T>(area: Area, written: &str, sources: &[&Source]) -> Result<T> {
    for source in sources {
        if let (Some(alias), SourceKind::Name(name)) = (&source.alias, &source.kind)
            && name == written
        {
            return err(area, format!("`{written}` is called `{}` here", alias.text));
        }
    }
    let known: Vec<String> =
        sources.iter().filter_map(|source| Some(format!("`{}`", called(source)?))).collect();
    if known.is_empty() {
        return err(
            area,
            format!(
                "there is no source `{written}`; give the source that name with AS, or leave the prefix out"
            ),
        );
    }
    err(
        area,
        format!(
            "there is no source `{written}`, expected {}; a name with dots stands in double quotes",
            known.join(" or ")
        ),
    )
}

/// A name without its source, in a join.
pub fn bare<T>(names: &[String; 2], area: Area, scope: Scope, name: &str) -> Result<T> {
    let [a, b] = names;
    let mut column = String::new();
    canonical::column(&mut column, scope, name);
    err(
        area,
        format!("a join has two sources, so columns name theirs: {a}.{column} or {b}.{column}"),
    )
}

fn one(expr: &mut Expr, from: &Source) -> Result<()> {
    let ExprKind::Qualified { source, scope, name, quoted } = &expr.kind else { return Ok(()) };
    if called(from) != Some(source) {
        return unknown(expr.area, source, &[from]);
    }
    let (scope, name, quoted) = (*scope, name.clone(), *quoted);
    expr.kind = ExprKind::Column { scope, name, quoted };
    Ok(())
}
