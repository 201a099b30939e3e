//! FROM: sources with their aliases, joins, and columns that name their source.

use super::*;

const EXPECTED: &str = "expected a measurement, measurements('a', 'b*') or *";
const FORM: &str =
    "a [LEFT] JOIN b ON a.id = b.id AND b.time BETWEEN a.time AND a.time + INTERVAL '5s'";
const ASOF_FORM: &str =
    "a ASOF [LEFT] JOIN b MATCH_CONDITION (a.time >= b.time) ON a.host = b.host";

/// The source, and the second one if there is a join.
pub fn read(from: Vec<sp::TableWithJoins>, whole: Area) -> Result<(Source, Option<Join>)> {
    let mut from = from.into_iter();
    let Some(first) = from.next() else { return err(whole, "expected FROM and a measurement") };
    if let Some(second) = from.next() {
        return err(
            or(area(second.span()), whole),
            format!(
                "a second source behind a comma has no bound in time; the forms that work are {FORM} and {ASOF_FORM}, or measurements('a', 'b*') for the points of both"
            ),
        );
    }
    let left = one(first.relation, whole)?;
    let mut joins = first.joins.into_iter();
    let Some(join) = joins.next() else { return Ok((left, None)) };
    if let Some(third) = joins.next() {
        return err(
            or(area(third.relation.span()), whole),
            "a third source is not supported; write CREATE STREAM name AS SELECT ... for the join of two, and join that in the next statement",
        );
    }
    let join = joined(join, whole)?;
    Ok((left, Some(join)))
}

fn joined(join: sp::Join, whole: Area) -> Result<Join> {
    use sp::JoinOperator as Op;
    let at = or(area(join.relation.span()), whole);
    let no = |what: &str, instead: &str| {
        err(at, format!("{what} is not supported; the form that works is {instead}"))
    };
    if join.global {
        return no("GLOBAL", FORM);
    }
    let (constraint, keeps_left, asof) = match join.join_operator {
        Op::Join(constraint) | Op::Inner(constraint) => (constraint, false, None),
        Op::Left(constraint) | Op::LeftOuter(constraint) => (constraint, true, None),
        Op::AsOf { match_condition, constraint } => (constraint, false, Some(match_condition)),
        Op::Right(_) | Op::RightOuter(_) => {
            return no(
                "RIGHT JOIN",
                "the sources the other way round with LEFT JOIN: b LEFT JOIN a ON ...",
            );
        }
        Op::FullOuter(_) => {
            return no("FULL JOIN", "two statements with LEFT JOIN that create the same stream");
        }
        Op::CrossJoin(_) => return no("CROSS JOIN, which has no bound in time,", FORM),
        Op::Semi(_) | Op::LeftSemi(_) | Op::RightSemi(_) => return no("SEMI JOIN", FORM),
        Op::Anti(_) | Op::LeftAnti(_) | Op::RightAnti(_) => {
            return no("ANTI JOIN", "a LEFT JOIN b ON ... WHERE b.time IS NULL");
        }
        _ => return no("this join", FORM),
    };
    let right = one(join.relation, whole)?;
    let (on, using) = match constraint {
        sp::JoinConstraint::On(on) => (Some(expr(on, at, 0)?), Vec::new()),
        sp::JoinConstraint::Using(names) => {
            let names = names.iter().map(|name| single_name(name, at));
            (None, names.collect::<Result<_>>()?)
        }
        sp::JoinConstraint::Natural => {
            return no("NATURAL, which columns of open streams cannot tell,", FORM);
        }
        sp::JoinConstraint::None => (None, Vec::new()),
    };
    let asof = asof.map(|condition| expr(condition, at, 0)).transpose()?;
    Ok(Join { right, keeps_left, asof, on, using, area: at })
}

fn one(factor: TableFactor, whole: Area) -> Result<Source> {
    let at = or(area(factor.span()), whole);
    let TableFactor::Table {
        name,
        alias,
        args,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
    } = factor
    else {
        return err(at, format!("a subquery is not supported; {EXPECTED}"));
    };
    let alias = match alias {
        None => None,
        Some(alias) if alias.columns.is_empty() && !alias.name.value.is_empty() => {
            Some(Name { area: or(area(alias.name.span), at), text: alias.name.value })
        }
        Some(alias) => {
            return err(or(area(alias.name.span), at), "expected one name as the source's alias");
        }
    };
    let plain = with_hints.is_empty()
        && version.is_none()
        && !with_ordinality
        && partitions.is_empty()
        && json_path.is_none()
        && sample.is_none()
        && index_hints.is_empty();
    if !plain {
        return err(at, EXPECTED);
    }
    let name = single_name(&name, at)?;
    let kind = match args {
        None if name.text == EVERYTHING => SourceKind::All,
        None if name.text.is_empty() => return err(at, EXPECTED),
        None => SourceKind::Name(name.text),
        Some(args) if name.text.eq_ignore_ascii_case("measurements") => globs(args, at)?,
        Some(_) => return err(at, EXPECTED),
    };
    Ok(Source { kind, alias, area: at })
}

fn globs(args: sp::TableFunctionArgs, at: Area) -> Result<SourceKind> {
    let mut globs = Vec::new();
    for arg in args.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(sp::Expr::Value(value))) => {
                match value.value {
                    Value::SingleQuotedString(text) => globs.push(text),
                    _ => {
                        return err(area(value.span), "expected a quoted glob, such as 'disk*'");
                    }
                }
            }
            other => {
                return err(or(area(other.span()), at), "expected a quoted glob, such as 'disk*'");
            }
        }
    }
    if globs.is_empty() || args.settings.is_some() {
        return err(at, "expected globs, such as measurements('cpu', 'disk*')");
    }
    Ok(SourceKind::Globs(globs))
}

pub fn single_name(name: &ObjectName, at: Area) -> Result<Name> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => {
            Ok(Name { text: ident.value.clone(), area: or(area(ident.span), at) })
        }
        _ => err(at, "expected one name; a name with dots stands in double quotes"),
    }
}

/// The name of a function, and the source before it in `cpu.tag('host')`.
pub fn function_name(name: &ObjectName, at: Area) -> Result<(Option<String>, Name)> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(source), ObjectNamePart::Identifier(ident)]
            if ident.value.eq_ignore_ascii_case("tag")
                || ident.value.eq_ignore_ascii_case("field") =>
        {
            let name = Name { text: ident.value.clone(), area: or(area(ident.span), at) };
            Ok((Some(source.value.clone()), name))
        }
        _ => Ok((None, single_name(name, at)?)),
    }
}

/// `cpu.host`
pub fn qualified(parts: Vec<sp::Ident>, at: Area) -> Result<ExprKind> {
    let quoted = |ident: &sp::Ident| ident.quote_style.is_some();
    match <[sp::Ident; 2]>::try_from(parts) {
        Ok([source, column]) => Ok(ExprKind::Qualified {
            source: source.value.clone(),
            scope: Scope::Any,
            quoted: quoted(&column),
            name: column.value,
        }),
        Err(_) => err(
            at,
            "expected a source and a column, such as cpu.host; a name with dots stands in double quotes",
        ),
    }
}

/// Whether `ASOF LEFT JOIN` begins here: the parser knows no LEFT behind ASOF. How many words it has
/// between ASOF and JOIN.
pub fn asof_left(tokens: &[&TokenWithSpan]) -> usize {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|t| word(t, text).is_some());
    match is(0, "asof") && is(1, "left") {
        true if is(2, "join") => 1,
        true if is(2, "outer") && is(3, "join") => 2,
        _ => 0,
    }
}
