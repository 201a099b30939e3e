//! From the tree of a statement to its plan: resolves names and functions, splits what is computed
//! per point from what is computed per group, and refuses what cannot be honoured.

mod aggregate;
mod bounds;
mod calls;
mod expr;
mod join;
mod kinds;
pub mod names;
mod over;
mod parameters;
mod rows;
mod source;
mod table;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_plugin_api::config::GlobSet;

use crate::ast::{Expr, ExprKind, Item, Literal, Name, Scope, Source, SourceKind, Statement};
use crate::canonical;
use crate::error::{Area, Result, SqlError};
use crate::plan::*;
use crate::table::TableSource;
use crate::vector::Kind;
use expr::{Binder, Scope as Reach};

/// What the options say about results.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The name of statements without CREATE STREAM; empty for none.
    pub name: String,
    /// Columns that become tags.
    pub tags: Vec<String>,
    /// Bytes that the values of an aggregate with DISTINCT may take in a window.
    pub distinct_bytes: usize,
    /// How old the partner of an ASOF JOIN may be, nanoseconds, unless ON says so.
    pub max_age: i64,
    /// The tables that may be joined, by name.
    pub tables: BTreeMap<String, Arc<TableSource>>,
}

fn err<T>(area: Area, message: impl Into<String>) -> Result<T> {
    Err(SqlError::new(area, message))
}

/// Binds a statement.
pub fn bind(statement: &Statement, options: &Options) -> Result<Plan> {
    let source::Desugared { statement, join, table } = source::desugar(statement, options)?;
    let statement = &statement;
    let reads = reads(&statement.source)?;
    let items = statement.items.iter().filter_map(|item| match item {
        Item::Expr { expr, .. } => Some(expr),
        Item::Star(_) | Item::StarOf(_) => None,
    });
    let clauses = statement.filter.iter().chain(&statement.group_by).chain(&statement.having);
    items.chain(clauses).try_for_each(names::refuse_clauses)?;
    let mut binder = Binder {
        distinct_bytes: options.distinct_bytes,
        windows: statement.windows.clone(),
        ..Binder::default()
    };
    binder.moments = join.as_ref().map_or_else(Vec::new, |join| join.moments());
    let filters = match &statement.filter {
        None => Vec::new(),
        Some(filter) => conjuncts(&mut binder, filter)?,
    };
    let is_aggregate = !statement.group_by.is_empty()
        || statement
            .items
            .iter()
            .any(|item| matches!(item, Item::Expr { expr, .. } if names::has_aggregate(expr)));
    let derived = statement.stream.is_none()
        && options.name.is_empty()
        && !matches!(statement.source.kind, SourceKind::Name(_));
    if let Some(snapshot) = &statement.snapshot {
        return Ok(snapshot_of(statement, snapshot, reads, binder.columns, filters));
    }
    let mut action = if over::is_over(statement) {
        Action::Over(binder.over_statement(statement, options, derived)?)
    } else if is_aggregate {
        over::unused(statement)?;
        Action::Aggregate(aggregate(&mut binder, statement, options)?)
    } else {
        over::unused(statement)?;
        project(&mut binder, statement, options)?
    };
    if let Some(tag) = &statement.tag {
        tagged(&mut action, tag)?;
    }
    let name = match (&statement.stream, &statement.source.kind) {
        (Some(Name { text, .. }), _) => ResultName::Fixed(text.clone()),
        (None, _) if !options.name.is_empty() => ResultName::Fixed(options.name.clone()),
        (None, SourceKind::Name(name)) => ResultName::Fixed(format!("{name}_sql")),
        (None, _) if is_aggregate => match &statement.otherwise {
            Some(name) => ResultName::Fixed(name.clone()),
            None => {
                return err(
                    statement.source.area,
                    "several measurements become one here, which needs a name; write CREATE STREAM name AS SELECT ... or set `name`",
                );
            }
        },
        (None, _) => ResultName::Derived,
    };
    let keys = table.as_ref().map(|table| table.bind_keys(&mut binder)).transpose()?;
    let columns = binder.columns;
    let mut plan = Plan { reads, name, columns, filters, action, join: None, table: None };
    if let Some(join) = join {
        join.finish(&mut plan)?;
    }
    if let (Some(table), Some(keys)) = (table, keys) {
        table.finish(&mut plan, keys);
    }
    Ok(plan)
}

/// A statement that keeps a snapshot, or gives it out.
fn snapshot_of(
    statement: &Statement,
    snapshot: &crate::ast::Snapshot,
    reads: Reads,
    columns: Vec<Column>,
    filters: Vec<Node>,
) -> Plan {
    let text = statement.stream.as_ref().map_or_else(String::new, |name| name.text.clone());
    let name = ResultName::Fixed(text.clone());
    let action = Action::Side(Side { keys: Vec::new(), carried: Vec::new() });
    let mut plan = Plan { reads, name, columns, filters, action, join: None, table: None };
    match snapshot {
        crate::ast::Snapshot::Flush => plan.action = Action::Flush,
        crate::ast::Snapshot::Keep { limit, length } => {
            let tag = statement.tag.as_ref().map(crate::fluent::snapshot::tag);
            let (limit, length) = (*limit, *length);
            let keeps = plan.clone();
            let kept = Snapshot { name: text, keeps, flushes: Vec::new(), limit, length, tag };
            plan.action = Action::Snapshot(Box::new(kept));
            (plan.columns, plan.filters) = (Vec::new(), Vec::new());
        }
    }
    plan
}

/// Gives all rows a tag.
fn tagged(action: &mut Action, tag: &Name) -> Result<()> {
    let outputs = match action {
        Action::Project { outputs, .. } | Action::Over(Over { outputs, .. }) => outputs,
        Action::Aggregate(aggregate) => &mut aggregate.outputs,
        Action::Join(_) | Action::Side(_) | Action::Snapshot(_) | Action::Flush => return Ok(()),
    };
    let name = crate::fluent::TAG;
    if outputs.iter().any(|output| output.name == name && output.role != Role::HiddenKey) {
        return err(
            tag.area,
            format!("a column is called `{name}` too; give that another name with AS"),
        );
    }
    outputs.retain(|output| output.name != name);
    let node = Node::Const(Const::Text(tag.text.clone()));
    outputs.push(Output { name: name.to_owned(), node, role: Role::Tag });
    Ok(())
}

/// What a source stands for.
fn reads(source: &Source) -> Result<Reads> {
    Ok(match &source.kind {
        SourceKind::Name(name) => Reads::Name(name.clone()),
        SourceKind::All => Reads::All,
        SourceKind::Globs(globs) => Reads::Globs(
            GlobSet::new(globs).map_err(|e| SqlError::new(source.area, e.to_string()))?,
        ),
    })
}

/// The parts of a WHERE clause that must all hold.
fn conjuncts(binder: &mut Binder, filter: &Expr) -> Result<Vec<Node>> {
    let list = match &filter.kind {
        ExprKind::And(list) => list.as_slice(),
        _ => std::slice::from_ref(filter),
    };
    let mut out = Vec::new();
    for part in list {
        match &part.kind {
            ExprKind::And(_) => out.extend(conjuncts(binder, part)?),
            _ => out.push(binder.condition(part, Reach::Point { clause: "WHERE" })?),
        }
    }
    Ok(out)
}

/// A statement without window and aggregates.
fn project(binder: &mut Binder, statement: &Statement, options: &Options) -> Result<Action> {
    if let Some(having) = &statement.having {
        return err(having.area, "HAVING needs GROUP BY; conditions on points stand in WHERE");
    }
    let (mut star, mut outputs) = (false, Vec::new());
    for item in &statement.items {
        match item {
            Item::Star(area) if star => return err(*area, "`*` stands here twice"),
            Item::Star(_) | Item::StarOf(_) => star = true,
            Item::Expr { expr, alias } => {
                let node =
                    binder.bind(expr, Reach::Point { clause: "a statement without GROUP BY" })?;
                let (name, area) = column_name(expr, alias.as_ref())?;
                let kind = binder.kind(&node);
                push(&mut outputs, name, node, Role::Field, kind, area, options)?;
            }
        }
    }
    Ok(Action::Project { star, outputs })
}

/// What a column of the result is called.
fn column_name(expr: &Expr, alias: Option<&Name>) -> Result<(String, Area)> {
    match (alias, &expr.kind) {
        (Some(alias), _) if alias.text.is_empty() => err(alias.area, "the column's name is empty"),
        (Some(alias), _) => Ok((alias.text.clone(), alias.area)),
        (None, ExprKind::Column { name, .. }) => Ok((name.clone(), expr.area)),
        (None, _) => Ok((canonical::text(expr), expr.area)),
    }
}

fn push(
    outputs: &mut Vec<Output>,
    name: String,
    node: Node,
    mut role: Role,
    kind: Kind,
    area: Area,
    options: &Options,
) -> Result<()> {
    if outputs.iter().any(|output| output.name == name) {
        return err(
            area,
            format!("two columns are called `{name}`; give one of them another name with AS"),
        );
    }
    if name == "time" {
        if !matches!(kind, Kind::Any | Kind::Time) {
            return err(
                area,
                format!(
                    "`time` is the time of the result and cannot be {}; choose another name",
                    kind.name()
                ),
            );
        }
        role = Role::Time;
    } else if options.tags.contains(&name) {
        role = Role::Tag;
    }
    outputs.push(Output { name, node, role });
    Ok(())
}

/// A statement with a window.
fn aggregate(binder: &mut Binder, statement: &Statement, options: &Options) -> Result<Aggregate> {
    let mut window = None;
    for expr in &statement.group_by {
        let expr = named(expr, statement)?;
        match window::read(expr)? {
            Some(_) if window.is_some() => {
                return err(expr.area, "there is a second window; expected one");
            }
            Some(found) => {
                binder.window = Some(canonical::text(expr));
                window = Some(found);
            }
            None => {
                if names::has_aggregate(expr) {
                    return err(expr.area, "an aggregate cannot be a group key");
                }
                let text = canonical::text(expr);
                if binder.keys.contains(&text) {
                    continue;
                }
                let node = binder.bind(expr, Reach::Point { clause: "GROUP BY" })?;
                binder.keys.push(text);
                binder.key_nodes.push(node);
            }
        }
    }
    let Some(window) = window else {
        return err(
            statement.area,
            "aggregates of a stream need a window, for a stream has no end; write GROUP BY time('10s')",
        );
    };
    let mut outputs = Vec::new();
    for item in &statement.items {
        let Item::Expr { expr, alias } = item else {
            let Item::Star(area) = item else { continue };
            return err(*area, "`*` cannot be grouped; name columns of GROUP BY and aggregates");
        };
        let node = binder.bind(expr, Reach::Group { clause: "SELECT" })?;
        let (name, area) = column_name(expr, alias.as_ref())?;
        let role = if matches!(node, Node::Key(_)) { Role::Key } else { Role::Field };
        let kind = binder.kind(&node);
        push(&mut outputs, name, node, role, kind, area, options)?;
    }
    for (at, key) in binder.keys.iter().enumerate() {
        let shown = outputs.iter().any(|output| matches!(output.node, Node::Key(k) if k == at));
        let name = match &binder.key_nodes[at] {
            Node::Column(column) => binder.columns[*column].name.clone(),
            _ => key.clone(),
        };
        if !shown && !outputs.iter().any(|output| output.name == name) && name != "time" {
            outputs.push(Output { name, node: Node::Key(at), role: Role::HiddenKey });
        }
    }
    let having = match &statement.having {
        None => None,
        Some(having) => Some(binder.condition(having, Reach::Group { clause: "HAVING" })?),
    };
    Ok(Aggregate {
        window,
        keys: std::mem::take(&mut binder.key_nodes),
        inputs: std::mem::take(&mut binder.inputs),
        aggregates: std::mem::take(&mut binder.aggregates),
        having,
        outputs,
    })
}

/// What an entry of GROUP BY stands for: a place in the SELECT list, a name given there, or itself.
fn named<'a>(expr: &'a Expr, statement: &'a Statement) -> Result<&'a Expr> {
    let items = &statement.items;
    if let ExprKind::Literal(Literal::Int(place)) = &expr.kind {
        let at = usize::try_from(*place).ok().and_then(|place| place.checked_sub(1));
        return match at.and_then(|at| items.get(at)) {
            Some(Item::Expr { expr, .. }) => Ok(expr),
            _ => err(expr.area, format!("expected the place of a column, 1 to {}", items.len())),
        };
    }
    let ExprKind::Column { scope: Scope::Any, name, .. } = &expr.kind else { return Ok(expr) };
    for item in items {
        if let Item::Expr { expr: meant, alias: Some(alias) } = item
            && alias.text == *name
            && !names::has_aggregate(meant)
            && !names::reads(meant, name)
        {
            return Ok(meant);
        }
    }
    Ok(expr)
}

#[cfg(test)]
mod tests;
