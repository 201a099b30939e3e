//! From text to our tree. The only file that knows the SQL parser's crate.
//!
//! Before the parser sees them, tokens are bent where our dialect goes beyond it: `CREATE STREAM x
//! AS`, `FROM *`, and lengths of time such as `10s` without quotes.

mod fluent;
mod over;

use sqlparser::ast::{
    self as sp, BinaryOperator, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    ObjectName, ObjectNamePart, SelectItem, SetExpr, Spanned, TableFactor, UnaryOperator, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Word};

use crate::ast::*;
use crate::duration;
use crate::error::{Area, Result, SqlError};
use crate::time;

mod source;

/// Bytes of a query.
pub const MAX_QUERY: usize = 64 << 10;
/// Statements of a query.
pub const MAX_STATEMENTS: usize = 64;
/// Tokens of a statement; chains of operators are as deep as they are long.
const MAX_TOKENS: usize = 8_000;
/// How deep expressions nest, chains of AND and OR aside.
const MAX_DEPTH: usize = 128;
/// Stands for the star of `FROM *`, which the parser takes for a name.
const EVERYTHING: &str = "\u{0}*";

/// Bytes of stack for the parser, whose trees are as deep as a chain of operators is long.
const STACK: usize = 64 << 20;

/// Reads all statements of a query.
pub fn parse(query: &str) -> Result<Vec<Statement>> {
    let start = Area { line: 1, column: 1, end_line: 1, end_column: 1 };
    let refused = |message: &str| Err(SqlError::new(start, message));
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("sql-parser".to_owned()).stack_size(STACK);
        match thread.spawn_scoped(scope, || statements(query)) {
            Ok(parser) => parser.join().unwrap_or_else(|_| refused("the query cannot be read")),
            Err(error) => refused(&format!("there is no thread for the parser: {error}")),
        }
    })
}

fn statements(query: &str) -> Result<Vec<Statement>> {
    if query.len() > MAX_QUERY {
        let message = format!("the query has {} bytes, the limit is {MAX_QUERY}", query.len());
        return Err(SqlError::new(
            Area { line: 1, column: 1, end_line: 1, end_column: 1 },
            message,
        ));
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, query)
        .tokenize_with_location()
        .map_err(|error| SqlError::new(point(error.location), error.message))?;
    let mut statements = Vec::new();
    for tokens in tokens.split(|token| token.token == Token::SemiColon) {
        let tokens: Vec<&TokenWithSpan> = tokens.iter().filter(|token| !is_blank(token)).collect();
        let Some(first) = tokens.first() else { continue };
        if statements.len() == MAX_STATEMENTS {
            let message = format!("there are more than {MAX_STATEMENTS} statements");
            return Err(SqlError::new(area(first.span), message));
        }
        statements.push(statement(&dialect, &tokens, query)?);
    }
    if statements.is_empty() {
        let start = Area { line: 1, column: 1, end_line: 1, end_column: 1 };
        return Err(SqlError::new(
            start,
            "there is no statement; expected SELECT or CREATE STREAM",
        ));
    }
    Ok(statements)
}

/// A query as its words alone: how it is laid out makes no other query.
pub fn words(query: &str) -> String {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, query).tokenize().unwrap_or_default();
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_) | Token::EOF));
    words.map(Token::to_string).collect::<Vec<_>>().join(" ")
}

fn is_blank(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_) | Token::EOF)
}

fn point(at: Location) -> Area {
    area(Span { start: at, end: at })
}

fn area(span: Span) -> Area {
    Area {
        line: span.start.line as u32,
        column: span.start.column as u32,
        end_line: span.end.line as u32,
        end_column: span.end.column as u32,
    }
}

fn err<T>(at: Area, message: impl Into<String>) -> Result<T> {
    Err(SqlError::new(at, message))
}

fn word<'a>(token: &'a TokenWithSpan, text: &str) -> Option<&'a Word> {
    match &token.token {
        Token::Word(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text) =>
        {
            Some(word)
        }
        _ => None,
    }
}

/// One statement: `CREATE STREAM` is taken off, the rest goes to the parser.
fn statement(
    dialect: &PostgreSqlDialect,
    tokens: &[&TokenWithSpan],
    query: &str,
) -> Result<Statement> {
    let whole = area(tokens[0].span).to(area(tokens[tokens.len() - 1].span));
    if tokens.len() > MAX_TOKENS {
        return err(whole, format!("the statement has more than {MAX_TOKENS} words"));
    }
    if fluent::is_one(tokens) {
        let (tokens, clauses) = fluent::read(tokens)?;
        let tokens: Vec<&TokenWithSpan> = tokens.iter().collect();
        let mut statement = body(dialect, &tokens, query, whole)?;
        crate::fluent::finish(&mut statement, clauses)?;
        return Ok(statement);
    }
    let (stream, words) = create(tokens)?;
    let Some(first) = words.first() else { return err(whole, "expected SELECT behind AS") };
    if word(first, "select").is_none() {
        return err(area(first.span), "expected SELECT or CREATE STREAM");
    }
    let mut statement = body(dialect, words, query, whole)?;
    statement.stream = stream;
    if let Some(join) = &mut statement.join {
        join.keeps_left |= (0..words.len()).any(|at| source::asof_left(&words[at..]) > 0);
    }
    Ok(statement)
}

/// What begins with SELECT.
fn body(
    dialect: &PostgreSqlDialect,
    words: &[&TokenWithSpan],
    query: &str,
    whole: Area,
) -> Result<Statement> {
    let bent = bend(words)?;
    let mut parser = Parser::new(dialect).with_recursion_limit(64).with_tokens_with_locations(bent);
    let parsed = parser.parse_query().map_err(|error| parser_error(error, query, whole))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return err(area(rest.span), "expected the end of the statement or `;`");
    }
    query_body(*parsed, whole)
}

/// `CREATE STREAM name AS` and what follows.
fn create<'a>(tokens: &'a [&'a TokenWithSpan]) -> Result<(Option<Name>, &'a [&'a TokenWithSpan])> {
    if word(tokens[0], "create").is_none() {
        return Ok((None, tokens));
    }
    let at = |index: usize| area(tokens[index.min(tokens.len() - 1)].span);
    let is = |index: usize, text: &str| tokens.get(index).is_some_and(|t| word(t, text).is_some());
    if !is(1, "stream") {
        return err(at(1), "expected STREAM behind CREATE: nothing else can be created here");
    }
    let name = match tokens.get(2).map(|token| &token.token) {
        Some(Token::Word(word)) => Name { text: word.value.clone(), area: at(2) },
        Some(Token::SingleQuotedString(text)) => Name { text: text.clone(), area: at(2) },
        _ => return err(at(2), "expected the stream's name behind CREATE STREAM"),
    };
    if name.text.is_empty() {
        return err(at(2), "the stream's name is empty");
    }
    if is(3, "with") {
        return err(at(3), "WITH (...) is not supported; expected AS SELECT");
    }
    if !is(3, "as") {
        return err(at(3), "expected AS SELECT behind the stream's name");
    }
    Ok((Some(name), &tokens[4..]))
}

/// Bends tokens into what the parser knows.
fn bend(tokens: &[&TokenWithSpan]) -> Result<Vec<TokenWithSpan>> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at];
        let next = tokens.get(at + 1);
        let after_from = out.last().is_some_and(|last| word(last, "from").is_some());
        match (&token.token, next.map(|next| &next.token)) {
            // `10s`: a number and a unit without a gap.
            (Token::Number(number, false), Some(Token::Word(unit)))
                if next.is_some_and(|next| next.span.start == token.span.end)
                    && unit.quote_style.is_none()
                    && is_unit(&unit.value) =>
            {
                let mut text = format!("{number}{}", unit.value);
                let mut end = tokens[at + 1].span.end;
                at += 2;
                // `1h30m` reads as `1`, `h30m`; what is no length of time is reported where it is used.
                while let Some(more) = tokens.get(at)
                    && more.span.start == end
                    && let Token::Number(digits, false) = &more.token
                {
                    text.push_str(digits);
                    end = more.span.end;
                    at += 1;
                }
                let span = Span { start: token.span.start, end };
                out.push(TokenWithSpan::new(Token::SingleQuotedString(text), span));
                continue;
            }
            (Token::Mul, _) if after_from => {
                let word = Word {
                    value: EVERYTHING.to_owned(),
                    quote_style: Some('"'),
                    keyword: Keyword::NoKeyword,
                };
                out.push(TokenWithSpan::new(Token::Word(word), token.span));
            }
            (Token::Word(_), _)
                if word(token, "exclude").is_some()
                    && out.last().is_some_and(over::ends_a_frame) =>
            {
                let message = format!("EXCLUDE is not supported; {}", over::FRAMES);
                return err(area(token.span), message);
            }
            (Token::Word(_), Some(Token::Colon)) if after_from => {
                let at = area(token.span);
                return err(
                    at,
                    "expected a measurement's name; of sources with a colon, FROM STREAM:name and FROM TAG:'pattern' work",
                );
            }
            _ => out.push(token.clone()),
        }
        at += 1 + source::asof_left(&tokens[at..]);
    }
    Ok(out)
}

/// A unit of time, or units and numbers that began with a number: `h30m`.
fn is_unit(word: &str) -> bool {
    duration::parse(&format!("1{word}")).is_some()
}

/// The parser's sentence without the place, which it writes behind it.
fn parser_error(error: ParserError, query: &str, whole: Area) -> SqlError {
    let message = match error {
        ParserError::RecursionLimitExceeded => {
            return SqlError::new(whole, "the statement nests too deeply");
        }
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let Some((sentence, place)) = message.rsplit_once(" at Line: ") else {
        // The end of the statement has no place of its own.
        let end = Area { line: whole.end_line, column: whole.end_column, ..whole };
        return SqlError::new(end, lower(&message));
    };
    let mut numbers = place.split(", Column: ").map(|number| number.trim().parse::<u32>());
    let (Some(Ok(line)), Some(Ok(column))) = (numbers.next(), numbers.next()) else {
        return SqlError::new(whole, lower(&message));
    };
    let end = query.lines().nth(line as usize - 1).map_or(column, |text| {
        let rest = text.chars().skip(column as usize - 1);
        let length = rest.take_while(|c| c.is_alphanumeric() || *c == '_').count().max(1);
        column + length as u32
    });
    SqlError::new(Area { line, column, end_line: line, end_column: end }, lower(sentence))
}

fn lower(sentence: &str) -> String {
    let sentence = sentence.replace("Expected: ", "expected ").replace("found: ", "found ");
    sentence.replace(", found EOF", ", found the end of the statement")
}

fn refuse<T>(present: bool, at: Area, what: &str, instead: &str) -> Result<Option<T>> {
    if present { err(at, format!("{what} is not supported; {instead}")) } else { Ok(None) }
}

/// The clauses of a query. Every part of the parser's tree is either used or refused.
fn query_body(query: sp::Query, whole: Area) -> Result<Statement> {
    let no = |present: bool, what: &str| -> Result<()> {
        refuse::<()>(
            present,
            whole,
            what,
            "a stream's statement is SELECT, FROM, WHERE, GROUP BY and HAVING",
        )
        .map(|_| ())
    };
    let sp::Query {
        with,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    if let Some(with) = &with {
        return err(
            area(with.span()),
            "WITH is not supported; write CREATE STREAM name AS SELECT ...; and read it in the next statement",
        );
    }
    if let Some(order) = &order_by {
        return err(
            area(order.span()),
            "ORDER BY is not supported: a stream has no end to sort; rows of a window come in the order of their group keys",
        );
    }
    no(limit_clause.is_some() || fetch.is_some(), "LIMIT")?;
    no(!locks.is_empty() || for_clause.is_some(), "FOR")?;
    no(settings.is_some() || format_clause.is_some(), "SETTINGS and FORMAT")?;
    no(!pipe_operators.is_empty(), "|>")?;
    let select = match *body {
        SetExpr::Select(select) => *select,
        SetExpr::SetOperation { left, .. } => {
            return err(
                area(left.span()),
                "UNION and the like are not supported; write several statements with `;` that create the same stream",
            );
        }
        _ => return err(whole, "expected SELECT"),
    };
    let sp::Select {
        select_token: _,
        optimizer_hints,
        distinct,
        select_modifiers,
        top,
        top_before_distinct: _,
        projection,
        exclude,
        into,
        from,
        lateral_views,
        prewhere,
        selection,
        connect_by,
        group_by,
        cluster_by,
        distribute_by,
        sort_by,
        having,
        named_window,
        qualify,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    no(distinct.is_some(), "SELECT DISTINCT")?;
    no(top.is_some() || exclude.is_some() || select_modifiers.is_some(), "TOP or EXCLUDE")?;
    no(into.is_some(), "INTO")?;
    no(!lateral_views.is_empty() || prewhere.is_some() || !connect_by.is_empty(), "this clause")?;
    no(!cluster_by.is_empty() || !distribute_by.is_empty() || !sort_by.is_empty(), "SORT BY")?;
    no(qualify.is_some(), "QUALIFY")?;
    no(value_table_mode.is_some() || !optimizer_hints.is_empty(), "this form of SELECT")?;
    let items = projection.into_iter().map(|i| item(i, whole)).collect::<Result<Vec<_>>>()?;
    if items.is_empty() {
        return err(whole, "expected columns behind SELECT");
    }
    let group_by = match group_by {
        GroupByExpr::All(_) => {
            return err(whole, "GROUP BY ALL is not supported; name the columns");
        }
        GroupByExpr::Expressions(list, modifiers) => {
            no(!modifiers.is_empty(), "WITH ROLLUP and the like")?;
            list.into_iter().map(|e| expr(e, whole, 0)).collect::<Result<Vec<_>>>()?
        }
    };
    let clause = |e: Option<sp::Expr>| e.map(|e| expr(e, whole, 0)).transpose();
    let (source, join) = source::read(from, whole)?;
    let windows = named_window.into_iter().map(|w| over::named(w, whole)).collect::<Result<_>>()?;
    Ok(Statement {
        stream: None,
        tag: None,
        snapshot: None,
        items,
        source,
        join,
        filter: clause(selection)?,
        group_by,
        having: clause(having)?,
        windows,
        area: whole,
    })
}

fn item(item: SelectItem, whole: Area) -> Result<Item> {
    match item {
        SelectItem::UnnamedExpr(e) => Ok(Item::Expr { expr: expr(e, whole, 0)?, alias: None }),
        SelectItem::ExprWithAlias { expr: e, alias } => {
            let alias = Name { area: area(alias.span), text: alias.value };
            Ok(Item::Expr { expr: expr(e, whole, 0)?, alias: Some(alias) })
        }
        SelectItem::Wildcard(options) => {
            let at = area(options.wildcard_token.0.span);
            let sp::WildcardAdditionalOptions {
                opt_ilike,
                opt_exclude,
                opt_except,
                opt_replace,
                opt_rename,
                ..
            } = &options;
            let plain = opt_ilike.is_none()
                && opt_exclude.is_none()
                && opt_except.is_none()
                && opt_replace.is_none()
                && opt_rename.is_none();
            if plain { Ok(Item::Star(at)) } else { err(at, "expected `*` alone") }
        }
        SelectItem::QualifiedWildcard(
            sp::SelectItemQualifiedWildcardKind::ObjectName(name),
            options,
        ) if options == sp::WildcardAdditionalOptions::default() => {
            Ok(Item::StarOf(source::single_name(&name, whole)?))
        }
        other => err(
            or(area(other.span()), whole),
            "expected an expression, with AS and a name if it needs one",
        ),
    }
}

/// The area, or the other one if the parser did not tell the first.
fn or(at: Area, fallback: Area) -> Area {
    if at.line == 0 { fallback } else { at }
}

/// An expression. `around` is where it stands if the parser did not tell its own place.
fn expr(e: sp::Expr, around: Area, depth: usize) -> Result<Expr> {
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

fn literal(value: Value, at: Area) -> Result<Literal> {
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
