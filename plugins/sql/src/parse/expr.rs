//! Expressions: from the SQL parser's tree to ours.

use super::*;

/// An expression. `around` is where it stands if the parser did not tell its own place.
pub fn expr(e: sp::Expr, around: Area, depth: usize) -> Result<Expr> {
    let at = or(area(e.span()), around);
    if depth > MAX_DEPTH {
        return err(at, "the expression nests too deeply");
    }
    let sub = |e: sp::Expr| expr(e, at, depth + 1);
    let boxed = |e: Box<sp::Expr>| sub(*e).map(Box::new);
    let kind = match e {
        sp::Expr::Nested(inner) => return sub(*inner),
        sp::Expr::Identifier(ident) => ExprKind::Column {
            scope: Scope::Any,
            quoted: ident.quote_style.is_some(),
            name: ident.value,
        },
        sp::Expr::CompoundIdentifier(parts) => source::qualified(parts, at)?,
        sp::Expr::Value(value) => ExprKind::Literal(literal(value.value, at)?),
        sp::Expr::TypedString(typed) => {
            let Some(text) = typed.value.into_string() else {
                return err(at, "expected a quoted text");
            };
            match cast_to(&typed.data_type) {
                Some(CastTo::Time) => match time::parse(&text) {
                    Some(time) => ExprKind::Literal(Literal::Time(time)),
                    None => return err(at, "expected a time such as '2024-05-01T12:00:00Z'"),
                },
                _ => return err(at, "expected TIMESTAMP, or a function's name before `(`"),
            }
        }
        sp::Expr::Interval(interval) => interval_literal(interval, at)?,
        sp::Expr::IsNull(e) => ExprKind::IsNull { expr: boxed(e)?, negated: false },
        sp::Expr::IsNotNull(e) => ExprKind::IsNull { expr: boxed(e)?, negated: true },
        sp::Expr::IsUnknown(e) => ExprKind::IsNull { expr: boxed(e)?, negated: false },
        sp::Expr::IsNotUnknown(e) => ExprKind::IsNull { expr: boxed(e)?, negated: true },
        sp::Expr::IsTrue(e) => ExprKind::IsBool { expr: boxed(e)?, value: true, negated: false },
        sp::Expr::IsNotTrue(e) => ExprKind::IsBool { expr: boxed(e)?, value: true, negated: true },
        sp::Expr::IsFalse(e) => ExprKind::IsBool { expr: boxed(e)?, value: false, negated: false },
        sp::Expr::IsNotFalse(e) => {
            ExprKind::IsBool { expr: boxed(e)?, value: false, negated: true }
        }
        sp::Expr::IsDistinctFrom(left, right) => {
            ExprKind::Distinct { left: boxed(left)?, right: boxed(right)?, negated: false }
        }
        sp::Expr::IsNotDistinctFrom(left, right) => {
            ExprKind::Distinct { left: boxed(left)?, right: boxed(right)?, negated: true }
        }
        sp::Expr::InList { expr: e, list, negated } => {
            let list = list.into_iter().map(sub).collect::<Result<_>>()?;
            ExprKind::In { expr: boxed(e)?, list, negated }
        }
        sp::Expr::Between { expr: e, negated, low, high } => {
            ExprKind::Between { expr: boxed(e)?, low: boxed(low)?, high: boxed(high)?, negated }
        }
        sp::Expr::Like { negated, any: false, expr: e, pattern, escape_char } => ExprKind::Like {
            escape: escape(escape_char, at)?,
            expr: boxed(e)?,
            pattern: boxed(pattern)?,
            negated,
            fold: false,
        },
        sp::Expr::ILike { negated, any: false, expr: e, pattern, escape_char } => ExprKind::Like {
            escape: escape(escape_char, at)?,
            expr: boxed(e)?,
            pattern: boxed(pattern)?,
            negated,
            fold: true,
        },
        sp::Expr::BinaryOp { .. } => return binary(e, at, depth),
        sp::Expr::UnaryOp { op, expr: e } => match op {
            UnaryOperator::Not => ExprKind::Not(boxed(e)?),
            UnaryOperator::Minus => ExprKind::Negate(boxed(e)?),
            UnaryOperator::Plus => return sub(*e),
            other => return err(at, format!("the operator {other} is not supported")),
        },
        sp::Expr::Cast { kind, expr: e, data_type, format } => {
            use sp::CastKind::{Cast, DoubleColon, TryCast};
            if let Some((name, _)) = data_type.to_string().split_once('(')
                && cast_to(&data_type).is_some()
            {
                return err(
                    at,
                    format!(
                        "cannot cast to {data_type}: casts cut nothing off; write {name}, and left(text, count), round(number, digits) or date_trunc(unit, time) around it"
                    ),
                );
            }
            let Some(to) = cast_to(&data_type) else {
                return err(
                    at,
                    format!(
                        "cannot cast to {data_type}; expected BIGINT, DOUBLE, TEXT, BOOLEAN, TIMESTAMP or INTERVAL"
                    ),
                );
            };
            if format.is_some() || !matches!(kind, Cast | DoubleColon | TryCast) {
                return err(at, "expected CAST(x AS type) or x::type");
            }
            ExprKind::Cast { expr: boxed(e)?, to }
        }
        sp::Expr::Case { operand, conditions, else_result, .. } => {
            let whens = conditions
                .into_iter()
                .map(|when| Ok((sub(when.condition)?, sub(when.result)?)))
                .collect::<Result<_>>()?;
            ExprKind::Case {
                operand: operand.map(boxed).transpose()?,
                whens,
                otherwise: else_result.map(boxed).transpose()?,
            }
        }
        sp::Expr::Function(function) => return call(function, at, depth),
        sp::Expr::Extract { field, expr: e, .. } => {
            let unit = text_arg(field.to_string().trim_matches('\'').to_lowercase(), at);
            match *e {
                sp::Expr::AtTimeZone { timestamp, time_zone } => {
                    known("extract", vec![unit, sub(*timestamp)?, sub(*time_zone)?])
                }
                e => known("extract", vec![unit, sub(e)?]),
            }
        }
        sp::Expr::Ceil { expr: e, field } => rounding("ceil", sub(*e)?, field, at)?,
        sp::Expr::Floor { expr: e, field } => rounding("floor", sub(*e)?, field, at)?,
        sp::Expr::Position { expr: e, r#in } => known("strpos", vec![sub(*r#in)?, sub(*e)?]),
        sp::Expr::Substring { expr: e, substring_from, substring_for, .. } => {
            let mut args = vec![sub(*e)?];
            match (substring_from, substring_for) {
                (Some(from), Some(length)) => args.extend([sub(*from)?, sub(*length)?]),
                (Some(from), None) => args.push(sub(*from)?),
                (None, Some(length)) => args.extend([int_arg(1, at), sub(*length)?]),
                (None, None) => {}
            }
            known("substr", args)
        }
        sp::Expr::Trim { trim_where, trim_what, expr: e, trim_characters } => {
            use sp::TrimWhereField::{Both, Leading, Trailing};
            let name = match trim_where {
                None | Some(Both) => "trim",
                Some(Leading) => "ltrim",
                Some(Trailing) => "rtrim",
            };
            let mut args = vec![sub(*e)?];
            args.extend(trim_what.map(|e| sub(*e)).transpose()?);
            for e in trim_characters.unwrap_or_default() {
                args.push(sub(e)?);
            }
            known(name, args)
        }
        sp::Expr::Array(sp::Array { elem, .. }) => {
            known(ARRAY, elem.into_iter().map(sub).collect::<Result<_>>()?)
        }
        sp::Expr::InSubquery { .. } | sp::Expr::Subquery(_) | sp::Expr::Exists { .. } => {
            return err(
                at,
                "a subquery is not supported; write CREATE STREAM name AS SELECT ...; and read it in the next statement",
            );
        }
        sp::Expr::AtTimeZone { .. } => {
            return err(
                at,
                "AT TIME ZONE stands in extract(hour FROM time AT TIME ZONE 'Europe/Berlin'); the other forms that work are date_trunc('day', time, 'Europe/Berlin') and date_bin('1d', time, TIMESTAMP '1970-01-01', 'Europe/Berlin')",
            );
        }
        other => {
            return err(
                at,
                format!("`{}` is not supported here; expected an expression", short(&other)),
            );
        }
    };
    Ok(Expr { kind, area: at })
}

fn short(e: &sp::Expr) -> String {
    let text = e.to_string();
    if text.chars().count() > 40 { text.chars().take(37).collect::<String>() + "..." } else { text }
}

fn known(name: &str, args: Vec<Expr>) -> ExprKind {
    ExprKind::Call(plain(name.to_owned(), args))
}

fn plain(name: String, args: Vec<Expr>) -> Call {
    Call { name, args, star: false, distinct: None, filter: None, over: None, clause: None }
}

fn text_arg(text: String, area: Area) -> Expr {
    Expr { kind: ExprKind::Literal(Literal::Text(text)), area }
}

fn int_arg(value: i128, area: Area) -> Expr {
    Expr { kind: ExprKind::Literal(Literal::Int(value)), area }
}

fn rounding(name: &str, e: Expr, field: sp::CeilFloorKind, at: Area) -> Result<ExprKind> {
    match field {
        sp::CeilFloorKind::DateTimeField(sp::DateTimeField::NoDateTime) => Ok(known(name, vec![e])),
        _ => err(at, format!("expected {name}(x)")),
    }
}

/// A binary operator; chains of them are as long as they like and do not recurse to the left.
fn binary(e: sp::Expr, at: Area, depth: usize) -> Result<Expr> {
    let mut tail = Vec::new();
    let mut left = e;
    while let sp::Expr::BinaryOp { left: l, op, right } = left {
        tail.push((op, *right));
        left = *l;
    }
    // Chains other than of AND and OR nest in our tree.
    let nested = tail.iter().filter(|t| !matches!(t.0, BinaryOperator::And | BinaryOperator::Or));
    if depth + nested.count() > MAX_DEPTH {
        return err(at, format!("the expression has more than {MAX_DEPTH} operators in a row"));
    }
    let mut left = expr(left, at, depth + 1)?;
    for (op, right) in tail.into_iter().rev() {
        let right = expr(right, at, depth + 1)?;
        let area = left.area.to(right.area);
        left = Expr { kind: operator(op, left, right, area)?, area };
    }
    Ok(left)
}

fn operator(op: BinaryOperator, left: Expr, right: Expr, at: Area) -> Result<ExprKind> {
    use BinaryOperator as B;
    let compare =
        |op, left, right| ExprKind::Compare { op, left: Box::new(left), right: Box::new(right) };
    let arith =
        |op, left, right| ExprKind::Arith { op, left: Box::new(left), right: Box::new(right) };
    let matches = |left, right, negated, fold| ExprKind::Matches {
        expr: Box::new(left),
        pattern: Box::new(right),
        negated,
        fold,
    };
    Ok(match op {
        B::And => match left.kind {
            ExprKind::And(mut list) => {
                list.push(right);
                ExprKind::And(list)
            }
            _ => ExprKind::And(vec![left, right]),
        },
        B::Or => match left.kind {
            ExprKind::Or(mut list) => {
                list.push(right);
                ExprKind::Or(list)
            }
            _ => ExprKind::Or(vec![left, right]),
        },
        B::Eq => compare(CompareOp::Eq, left, right),
        B::NotEq => compare(CompareOp::Ne, left, right),
        B::Lt => compare(CompareOp::Lt, left, right),
        B::LtEq => compare(CompareOp::Le, left, right),
        B::Gt => compare(CompareOp::Gt, left, right),
        B::GtEq => compare(CompareOp::Ge, left, right),
        B::Plus => arith(ArithOp::Add, left, right),
        B::Minus => arith(ArithOp::Sub, left, right),
        B::Multiply => arith(ArithOp::Mul, left, right),
        B::Divide => arith(ArithOp::Div, left, right),
        B::Modulo => arith(ArithOp::Mod, left, right),
        B::StringConcat => ExprKind::Concat { left: Box::new(left), right: Box::new(right) },
        B::PGRegexMatch => matches(left, right, false, false),
        B::PGRegexIMatch => matches(left, right, false, true),
        B::PGRegexNotMatch => matches(left, right, true, false),
        B::PGRegexNotIMatch => matches(left, right, true, true),
        B::PGExp | B::BitwiseXor => known("pow", vec![left, right]),
        B::Arrow => known("->", vec![left, right]),
        B::LongArrow => known("->>", vec![left, right]),
        B::PGOverlap => return err(at, "the operator && is not supported; write AND"),
        other => return err(at, format!("the operator {other} is not supported")),
    })
}

fn call(function: sp::Function, at: Area, depth: usize) -> Result<Expr> {
    let sp::Function {
        name,
        uses_odbc_syntax,
        parameters,
        args,
        within_group,
        filter,
        null_treatment,
        over,
    } = function;
    let (source, Name { text: written, .. }) = source::function_name(&name, at)?;
    let name = written.to_lowercase();
    if uses_odbc_syntax || parameters != FunctionArguments::None {
        return err(at, "expected name(arguments)");
    }
    if args == FunctionArguments::None && !name.starts_with("current_t") {
        // Words that the parser takes for functions without brackets, such as `user`.
        let kind = ExprKind::Column { scope: Scope::Any, name: written, quoted: false };
        return Ok(Expr { kind, area: at });
    }
    let mut call = plain(name, Vec::new());
    if let Some(filter) = filter {
        call.filter = Some(Box::new(expr(*filter, at, depth + 1)?));
    }
    if null_treatment.is_some() || !within_group.is_empty() {
        call.clause = Some(("this form of the call", at));
    }
    if let Some(over) = over {
        call.over = Some(Box::new(over::read(over, at, depth)?));
    }
    match args {
        FunctionArguments::None => {}
        FunctionArguments::Subquery(_) => return err(at, "a subquery is not supported"),
        FunctionArguments::List(list) => {
            if list.duplicate_treatment == Some(sp::DuplicateTreatment::Distinct) {
                call.distinct = Some(at);
            }
            if !list.clauses.is_empty() {
                call.clause = Some(("a clause among the arguments", at));
            }
            for arg in list.args {
                match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(e)) => {
                        call.args.push(expr(e, at, depth + 1)?);
                    }
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => call.star = true,
                    other => return err(or(area(other.span()), at), "expected an expression"),
                }
            }
        }
    }
    if (call.name == "tag" || call.name == "field")
        && call.clause.is_none()
        && call.over.is_none()
        && call.filter.is_none()
        && call.distinct.is_none()
    {
        let scope = if call.name == "tag" { Scope::Tag } else { Scope::Field };
        let [Expr { kind: ExprKind::Literal(Literal::Text(name)), .. }] = call.args.as_slice()
        else {
            return err(at, format!("expected {}('name')", call.name));
        };
        let (name, quoted) = (name.clone(), true);
        let kind = match source {
            None => ExprKind::Column { scope, name, quoted },
            Some(source) => ExprKind::Qualified { source, scope, name, quoted },
        };
        return Ok(Expr { kind, area: at });
    }
    Ok(Expr { kind: ExprKind::Call(call), area: at })
}

pub fn literal(value: Value, at: Area) -> Result<Literal> {
    Ok(match value {
        Value::Null => Literal::Null,
        Value::Boolean(value) => Literal::Bool(value),
        Value::Number(text, _) => number(&text, at)?,
        Value::SingleQuotedString(text)
        | Value::EscapedStringLiteral(text)
        | Value::UnicodeStringLiteral(text) => Literal::Text(text),
        Value::DollarQuotedString(text) => Literal::Text(text.value),
        other => return err(at, format!("{other} is not a literal that is known here")),
    })
}

fn number(text: &str, at: Area) -> Result<Literal> {
    let text = text.replace('_', "");
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return match text.parse::<u64>() {
            Ok(value) => Ok(Literal::Int(value.into())),
            Err(_) => err(at, "the integer does not fit 64 bits; write it with a point as a float"),
        };
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Literal::Float(value)),
        _ => err(at, "the number does not fit a 64-bit float"),
    }
}

fn interval_literal(interval: sp::Interval, at: Area) -> Result<ExprKind> {
    const EXPECTED: &str = "expected INTERVAL and a length of time, such as INTERVAL '10 seconds'";
    let plain = interval.leading_precision.is_none()
        && interval.last_field.is_none()
        && interval.fractional_seconds_precision.is_none();
    let sp::Expr::Value(value) = *interval.value else { return err(at, EXPECTED) };
    let text = match value.value {
        Value::Number(text, _) | Value::SingleQuotedString(text) if plain => text,
        _ => return err(at, EXPECTED),
    };
    let text = match interval.leading_field {
        Some(field) => format!("{text} {field}"),
        None => text,
    };
    match duration::parse(&text) {
        Some(nanos) => Ok(ExprKind::Literal(Literal::Interval(nanos))),
        None => err(at, format!("{EXPECTED}; months and years have no fixed length")),
    }
}

fn escape(value: Option<Box<sp::Expr>>, at: Area) -> Result<Option<char>> {
    let Some(value) = value else { return Ok(Some('\\')) };
    let sp::Expr::Value(value) = *value else {
        return err(at, "expected ESCAPE and one quoted character");
    };
    let text = value.into_string().unwrap_or_default();
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (escape, None) => Ok(escape),
        _ => err(at, "expected ESCAPE and one quoted character"),
    }
}

fn cast_to(data_type: &sp::DataType) -> Option<CastTo> {
    let text = data_type.to_string().to_lowercase();
    let name = text.split('(').next().unwrap_or_default().trim();
    Some(match name {
        "bigint" | "int" | "integer" | "int8" | "int64" | "int4" | "smallint" | "long" => {
            CastTo::Int
        }
        "bigint unsigned" | "int unsigned" | "integer unsigned" | "uint64" | "ubigint"
        | "uint8" | "unsigned" => CastTo::UInt,
        "double" | "double precision" | "float" | "float8" | "float64" | "real" | "numeric"
        | "decimal" => CastTo::Float,
        "text" | "varchar" | "string" | "character varying" | "char varying" => CastTo::Text,
        "bool" | "boolean" => CastTo::Bool,
        "timestamp"
        | "timestamptz"
        | "timestamp with time zone"
        | "timestamp without time zone" => CastTo::Time,
        "interval" => CastTo::Interval,
        _ => return None,
    })
}
