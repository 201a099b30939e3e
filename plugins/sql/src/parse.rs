//! From text to our tree. The only module that knows the SQL parser's crate.
//!
//! Before the parser sees them, tokens are bent where our dialect goes beyond it: `CREATE STREAM x
//! AS`, `FROM *`, and lengths of time such as `10s` without quotes.

mod expr;
mod fluent;
mod over;
mod source;

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
use expr::{expr, literal};

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
    let area = Area { line, column, end_line: line, end_column: end };
    let written = || query.lines().nth(line as usize - 1).unwrap_or_default().chars();
    let word = || written().skip(column as usize - 1).take((end - column) as usize);
    let sentence = match () {
        () if sentence.starts_with("No infix parser") => {
            format!("there is no operator {}", word().collect::<String>())
        }
        () if word().eq("`".chars()) => {
            "names stand in double quotes, texts in single ones".to_owned()
        }
        () => lower(sentence),
    };
    SqlError::new(area, sentence)
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
    if limit_clause.is_some() || fetch.is_some() {
        let at = limit_clause.as_ref().map_or(whole, |limit| area(limit.span()));
        return err(
            at,
            "LIMIT is not supported: a stream has no end; topk(x, n) gives a window's largest values, WHERE \
             leaves points out, and `headwater sql … | head` ends after the first rows",
        );
    }
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
        otherwise: None,
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
