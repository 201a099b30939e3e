//! Names of functions, and what is asked of an expression before it is bound.

use headwater_plugin_api::config::nearest;

use super::err;
use crate::ast::{Call, Expr, ExprKind};
use crate::error::{Area, Result};
use crate::eval::functions;
use crate::plan::{AggregateFunction, Limits, Separator, Share};

/// The aggregates by name; what their arguments tell stands open.
pub const AGGREGATES: &[(&str, AggregateFunction)] = &[
    ("count", AggregateFunction::Count),
    ("sum", AggregateFunction::Sum),
    ("avg", AggregateFunction::Avg),
    ("mean", AggregateFunction::Avg),
    ("min", AggregateFunction::Min),
    ("max", AggregateFunction::Max),
    ("first", AggregateFunction::First),
    ("last", AggregateFunction::Last),
    ("stddev", AggregateFunction::Stddev),
    ("stddev_samp", AggregateFunction::Stddev),
    ("stddev_pop", AggregateFunction::StddevPop),
    ("variance", AggregateFunction::Variance),
    ("var_samp", AggregateFunction::Variance),
    ("var_pop", AggregateFunction::VariancePop),
    ("spread", AggregateFunction::Spread),
    ("any_value", AggregateFunction::AnyValue),
    ("quantile", AggregateFunction::Quantile(Share::HALF)),
    ("median", AggregateFunction::Quantile(Share::HALF)),
    ("approx_distinct", AggregateFunction::ApproxDistinct),
    ("forecast", AggregateFunction::Forecast(0)),
    ("histogram", AggregateFunction::Histogram(Limits::NONE)),
    ("mode", AggregateFunction::Mode),
    ("topk", AggregateFunction::TopK(0)),
    ("exact_quantile", AggregateFunction::ExactQuantile(Share::HALF)),
    ("string_agg", AggregateFunction::StringAgg(Separator::NONE)),
    ("increase", AggregateFunction::Increase),
    ("rate", AggregateFunction::Rate),
    ("delta", AggregateFunction::Delta),
];

/// Functions that are known by name and do not run.
const NOT_YET: &[&str] = &["rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "nth_value"];

/// Functions that need OVER, with the form that works.
pub const WINDOW_FUNCTIONS: &[(&str, &str)] = &[
    ("lag", "lag(x [, n [, default]]) OVER (PARTITION BY host ORDER BY time)"),
    ("row_number", "row_number() OVER (PARTITION BY host ORDER BY time)"),
    ("first_value", "first_value(x) OVER (PARTITION BY host ORDER BY time)"),
    ("last_value", "last_value(x) OVER (PARTITION BY host ORDER BY time)"),
];

/// What is read from the states of other aggregates, or emits them.
const OF_STATES: &[&str] = &["partial", "merge"];

/// The function of that name; what functions such as `quantile` ask for is told by their arguments.
pub fn aggregate_function(name: &str) -> Option<AggregateFunction> {
    AGGREGATES.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// Calls `f` for the expression and all below it.
pub fn visit(expr: &Expr, f: &mut impl FnMut(&Expr)) {
    f(expr);
    let mut each = |list: &[&Expr]| list.iter().for_each(|expr| visit(expr, f));
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Column { .. } | ExprKind::Qualified { .. } => {}
        ExprKind::Negate(a)
        | ExprKind::Not(a)
        | ExprKind::IsNull { expr: a, .. }
        | ExprKind::IsBool { expr: a, .. }
        | ExprKind::Cast { expr: a, .. } => each(&[a]),
        ExprKind::And(list) | ExprKind::Or(list) => each(&list.iter().collect::<Vec<_>>()),
        ExprKind::Compare { left: a, right: b, .. }
        | ExprKind::Arith { left: a, right: b, .. }
        | ExprKind::Concat { left: a, right: b }
        | ExprKind::Distinct { left: a, right: b, .. }
        | ExprKind::Like { expr: a, pattern: b, .. }
        | ExprKind::Matches { expr: a, pattern: b, .. } => each(&[a, b]),
        ExprKind::Between { expr: a, low: b, high: c, .. } => each(&[a, b, c]),
        ExprKind::In { expr: a, list, .. } => {
            each(&[a]);
            each(&list.iter().collect::<Vec<_>>());
        }
        ExprKind::Case { operand, whens, otherwise } => {
            operand.iter().for_each(|a| each(&[a]));
            whens.iter().for_each(|(a, b)| each(&[a, b]));
            otherwise.iter().for_each(|a| each(&[a]));
        }
        ExprKind::Call(call) => {
            let keys = call.over.iter().flat_map(|over| &over.partition_by);
            each(&call.args.iter().chain(call.filter.as_deref()).chain(keys).collect::<Vec<_>>());
        }
    }
}

/// As [`visit`], to change what there is; children come after their parents. Ends at the first error.
pub fn try_visit_mut(expr: &mut Expr, f: &mut impl FnMut(&mut Expr) -> Result<()>) -> Result<()> {
    f(expr)?;
    let mut each =
        |list: Vec<&mut Expr>| list.into_iter().try_for_each(|expr| try_visit_mut(expr, f));
    match &mut expr.kind {
        ExprKind::Literal(_) | ExprKind::Column { .. } | ExprKind::Qualified { .. } => Ok(()),
        ExprKind::Negate(a)
        | ExprKind::Not(a)
        | ExprKind::IsNull { expr: a, .. }
        | ExprKind::IsBool { expr: a, .. }
        | ExprKind::Cast { expr: a, .. } => each(vec![a]),
        ExprKind::And(list) | ExprKind::Or(list) => each(list.iter_mut().collect()),
        ExprKind::Compare { left: a, right: b, .. }
        | ExprKind::Arith { left: a, right: b, .. }
        | ExprKind::Concat { left: a, right: b }
        | ExprKind::Distinct { left: a, right: b, .. }
        | ExprKind::Like { expr: a, pattern: b, .. }
        | ExprKind::Matches { expr: a, pattern: b, .. } => each(vec![a, b]),
        ExprKind::Between { expr: a, low: b, high: c, .. } => each(vec![a, b, c]),
        ExprKind::In { expr: a, list, .. } => {
            each(std::iter::once(&mut **a).chain(list.iter_mut()).collect())
        }
        ExprKind::Case { operand, whens, otherwise } => {
            let mut all: Vec<&mut Expr> = operand.iter_mut().map(|a| &mut **a).collect();
            for (when, then) in whens {
                all.extend([when, then]);
            }
            all.extend(otherwise.iter_mut().map(|a| &mut **a));
            each(all)
        }
        ExprKind::Call(call) => {
            let Call { args, filter, over, .. } = call;
            let keys = over.iter_mut().flat_map(|over| &mut over.partition_by);
            each(args.iter_mut().chain(filter.as_deref_mut()).chain(keys).collect())
        }
    }
}

/// Whether a function of that name makes one value of many.
pub fn is_aggregate(name: &str) -> bool {
    aggregate_function(name).is_some() || OF_STATES.contains(&name)
}

/// Whether there is an aggregate in the expression.
pub fn has_aggregate(expr: &Expr) -> bool {
    let mut found = false;
    visit(expr, &mut |expr| {
        let ExprKind::Call(call) = &expr.kind else { return };
        found |= is_aggregate(&call.name) && call.over.is_none();
    });
    found
}

/// Whether there is a window function in the expression.
pub fn has_over(expr: &Expr) -> bool {
    let mut found = false;
    visit(expr, &mut |expr| {
        found |= matches!(&expr.kind, ExprKind::Call(call) if call.over.is_some());
    });
    found
}

/// Refuses clauses of calls that are not honoured, before anything else is said about the statement.
pub fn refuse_clauses(expr: &Expr) -> Result<()> {
    let mut found = Ok(());
    visit(expr, &mut |expr| {
        if let (ExprKind::Call(Call { clause: Some((clause, at)), .. }), true) =
            (&expr.kind, found.is_ok())
        {
            found = err(*at, format!("{clause} is not supported yet; expected name(arguments)"));
        }
    });
    found
}

/// Whether the expression reads a column of that name.
pub fn reads(expr: &Expr, wanted: &str) -> bool {
    let mut found = false;
    visit(expr, &mut |expr| {
        found |= matches!(
            &expr.kind,
            ExprKind::Column { name, .. } | ExprKind::Qualified { name, .. } if name == wanted
        );
    });
    found
}

/// Refuses a name that is no function.
pub fn unknown<T>(name: &str, area: Area) -> Result<T> {
    if let Some((_, form)) = WINDOW_FUNCTIONS.iter().find(|(known, _)| *known == name) {
        return err(area, format!("{name} needs a window; write {form}"));
    }
    if name == "lead" {
        return err(
            area,
            "lead would wait for points that are still to come; the form that works is lag(x) OVER (PARTITION BY host ORDER BY time)",
        );
    }
    if NOT_YET.contains(&name) {
        return err(area, format!("{name} is not supported yet"));
    }
    let mut names: Vec<&str> = functions::CATALOGUE
        .iter()
        .filter(|s| !s.is_operator())
        .flat_map(|s| s.names.iter().copied())
        .collect();
    names.extend(AGGREGATES.iter().map(|(name, _)| *name));
    names.extend(OF_STATES);
    names.extend(WINDOW_FUNCTIONS.iter().map(|(name, _)| *name));
    names.extend(["window_start", "window_end", "regexp_replace", "regexp_extract", "time"]);
    match nearest(name, names) {
        Some(near) => err(area, format!("there is no function {name}; did you mean {near}?")),
        None => err(area, format!("there is no function {name}")),
    }
}
