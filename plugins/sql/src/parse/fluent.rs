//! Fluent Bit's statements, told by their sources `STREAM:name` and `TAG:'pattern'`: their words are
//! bent into ours, each with its place, and what has no words in ours is taken off.

use super::*;
use crate::fluent::{Clauses, Window};

/// The functions whose columns Fluent Bit names in capitals.
const NAMED: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "timeseries_forecast",
    "now",
    "unix_timestamp",
    "record_tag",
    "record_time",
];
const STREAM: &str = "expected the name of a stream or measurement, such as FROM STREAM:cpu; one with other \
     characters stands in double quotes: FROM STREAM:\"my-app\"; patterns stand in FROM TAG:'app.*'";
const QUOTES: &str =
    "a name with other characters than letters, digits, `_` and `.` stands in double quotes";
const TAG: &str = "expected a quoted pattern, such as FROM TAG:'app.*'";
const WINDOWS: &str = "the forms that work are WINDOW TUMBLING (5 SECOND) and \
     WINDOW HOPPING (10 SECOND, ADVANCE BY 2 SECOND)";
const RECORD: &str = "the record's functions are @record.contains(key) and @record.time(); a key with an @ \
     stands in double quotes";

/// A word of the statement, which may stand for several that were written.
#[derive(Clone)]
struct Piece {
    token: TokenWithSpan,
    /// How a key was written that is one name now: `map['a']['b']`.
    written: Option<String>,
}

impl Piece {
    fn area(&self) -> Area {
        area(self.token.span)
    }

    fn is(&self, text: &str) -> bool {
        word(&self.token, text).is_some()
    }

    fn has(&self, token: &Token) -> bool {
        self.token.token == *token
    }

    /// As it was written.
    fn text(&self) -> String {
        self.written.clone().unwrap_or_else(|| self.token.token.to_string())
    }
}

/// Whether the statement is one of Fluent Bit's.
pub fn is_one(tokens: &[&TokenWithSpan]) -> bool {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|t| word(t, text).is_some());
    let snapshot = is(1, "snapshot") && (is(0, "create") || is(0, "flush"));
    snapshot
        || tokens.windows(3).any(|three| {
            word(three[0], "from").is_some()
                && (word(three[1], "stream").is_some() || word(three[1], "tag").is_some())
                && three[2].token == Token::Colon
        })
}

/// The statement in our words, from SELECT on, and what is taken off.
pub fn read(tokens: &[&TokenWithSpan]) -> Result<(Vec<TokenWithSpan>, Clauses)> {
    let pieces = merge(tokens)?;
    let mut clauses = Clauses::default();
    let mut at = head(&pieces, &mut clauses)?;
    let end = pieces[pieces.len() - 1].area();
    let Some(select) = pieces.get(at) else { return err(end, "expected SELECT behind AS") };
    if !select.is("select") {
        return err(
            select.area(),
            "expected SELECT, CREATE STREAM, CREATE SNAPSHOT or FLUSH SNAPSHOT",
        );
    }
    let mut out = vec![select.token.clone()];
    at += 1;
    let from = outside(&pieces, at).find(|at| pieces[*at].is("from"));
    let Some(from) = from else {
        return err(end, "expected FROM STREAM:name or FROM TAG:'pattern'");
    };
    items(&pieces[at..from], &mut out);
    out.push(pieces[from].token.clone());
    at = source(&pieces, from + 1, &mut clauses, &mut out)?;
    let rest = &pieces[at..];
    let mut at = 0;
    let tops: Vec<usize> = outside(rest, 0).collect();
    while let Some(piece) = rest.get(at) {
        let top = tops.binary_search(&at).is_ok();
        let next = |text: &str| rest.get(at + 1).is_some_and(|piece| piece.is(text));
        if top && piece.is("window") && (next("tumbling") || next("hopping")) {
            if clauses.window.is_some() {
                return err(piece.area(), "there is a second window; expected one");
            }
            at = window(rest, at, end, &mut clauses)?;
        } else if top
            && piece.is("window")
            && rest.get(at + 2).is_some_and(|piece| piece.has(&Token::LParen))
        {
            return err(rest[at + 1].area(), format!("there is no such window; {WINDOWS}"));
        } else if top && piece.is("join") {
            return err(
                piece.area(),
                "such a statement has one source; write CREATE STREAM name AS SELECT ..., and join that in a statement with FROM name JOIN",
            );
        } else if top && piece.is("limit") {
            at = limit(rest, at, end, &mut clauses)?;
        } else {
            out.push(piece.token.clone());
            at += 1;
        }
    }
    Ok((out, clauses))
}

/// The places from `from` on that no bracket encloses.
fn outside(pieces: &[Piece], from: usize) -> impl Iterator<Item = usize> {
    let mut depth = 0_usize;
    (from..pieces.len()).filter(move |at| {
        match pieces[*at].token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    })
}

/// Makes one name of each key: `a.b`, and `map['a']['b']`, which is the field `map_a_b`.
fn merge(tokens: &[&TokenWithSpan]) -> Result<Vec<Piece>> {
    let mut out: Vec<Piece> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let mut piece = Piece { token: (*token).clone(), written: None };
        at += 1;
        match &token.token {
            Token::AtSign => at = record(tokens, at, &mut piece)?,
            Token::Word(first) if first.quote_style.is_none() => {
                let mut name = first.value.clone();
                while let Some(next) = tokens.get(at)
                    && next.span.start == piece.token.span.end
                    && matches!(next.token, Token::Word(_) | Token::Number(..) | Token::Period)
                {
                    let text = next.token.to_string();
                    if !text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.') {
                        break;
                    }
                    name.push_str(&text);
                    piece.token.span.end = next.span.end;
                    at += 1;
                }
                let plain = name == first.value;
                let mut written = name.clone();
                while tokens.get(at).is_some_and(|next| next.token == Token::LBracket)
                    && !first.value.eq_ignore_ascii_case("array")
                {
                    let (Some(key), Some(close)) = (tokens.get(at + 1), tokens.get(at + 2)) else {
                        return err(area(tokens[at].span), "expected a key, as in map['a']['b']");
                    };
                    let (Token::SingleQuotedString(key), Token::RBracket) =
                        (&key.token, &close.token)
                    else {
                        return err(area(key.span), "expected a quoted key, as in map['a']['b']");
                    };
                    name.push('_');
                    name.push_str(key);
                    written.push_str(&format!("['{key}']"));
                    piece.token.span.end = close.span.end;
                    at += 3;
                }
                if !plain || written.len() > first.value.len() {
                    piece.token.token = quoted(name);
                    piece.written = Some(written);
                }
            }
            _ => {}
        }
        out.push(piece);
    }
    Ok(out)
}

/// `@record.contains` and `@record.time` become one name each.
fn record(tokens: &[&TokenWithSpan], at: usize, piece: &mut Piece) -> Result<usize> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|t| word(t, text).is_some());
    let period = tokens.get(at + 1).is_some_and(|token| token.token == Token::Period);
    let function = tokens.get(at + 2);
    let known = ["contains", "time"].into_iter().find(|name| is(at + 2, name));
    match (known, function) {
        (Some(known), Some(function)) if is(at, "record") && period => {
            piece.token.token = quoted(format!("@record.{known}"));
            piece.token.span.end = function.span.end;
            Ok(at + 3)
        }
        (None, Some(function)) if is(at, "record") && period => err(area(function.span), RECORD),
        _ => err(piece.area(), RECORD),
    }
}

fn quoted(name: String) -> Token {
    Token::Word(Word { value: name, quote_style: Some('"'), keyword: Keyword::NoKeyword })
}

/// What stands before SELECT.
fn head(pieces: &[Piece], clauses: &mut Clauses) -> Result<usize> {
    let at = |index: usize| pieces[index.min(pieces.len() - 1)].area();
    let is = |index: usize, text: &str| pieces.get(index).is_some_and(|piece| piece.is(text));
    if is(0, "select") {
        return Ok(0);
    }
    let (create, flush) = (is(0, "create"), is(0, "flush"));
    let kind = match () {
        () if create && is(1, "stream") => "STREAM",
        () if (create || flush) && is(1, "snapshot") => "SNAPSHOT",
        () if create => return err(at(1), "expected STREAM or SNAPSHOT behind CREATE"),
        () => {
            return err(at(0), "expected SELECT, CREATE STREAM, CREATE SNAPSHOT or FLUSH SNAPSHOT");
        }
    };
    if kind == "SNAPSHOT" {
        let keep = Snapshot::Keep { limit: None, length: None };
        clauses.snapshot = Some(if create { keep } else { Snapshot::Flush });
    }
    let name = match pieces.get(2).map(|piece| &piece.token.token) {
        Some(Token::Word(word)) => word.value.clone(),
        Some(Token::SingleQuotedString(text)) => text.clone(),
        _ => return err(at(2), format!("expected the name behind {kind}")),
    };
    if name.is_empty() {
        return err(at(2), "the name is empty");
    }
    clauses.name = Some(Name { text: name, area: at(2) });
    if let Some(rest) = touching(pieces, 2).filter(|_| !pieces[3].has(&Token::LParen)) {
        return err(at(2).to(rest), QUOTES);
    }
    let mut next = 3;
    if is(3, "with") && flush {
        return err(
            at(3),
            "the properties of a snapshot stand where it is created; expected AS SELECT *",
        );
    }
    if is(3, "with") {
        next = properties(pieces, 4, clauses)?;
    }
    if !is(next, "as") {
        return err(
            at(next),
            format!(
                "expected [WITH (...)] AS SELECT behind the name of the {}",
                kind.to_lowercase()
            ),
        );
    }
    Ok(next + 1)
}

/// `(tag = 't', …)`
fn properties(pieces: &[Piece], mut at: usize, clauses: &mut Clauses) -> Result<usize> {
    let last = pieces[pieces.len() - 1].area();
    let here = |at: usize| pieces.get(at).map_or(last, Piece::area);
    let has = |at: usize, token: &Token| pieces.get(at).is_some_and(|piece| piece.has(token));
    const EXPECTED: &str = "expected WITH (tag = 'name'), and for snapshots seconds = '60'";
    if !has(at, &Token::LParen) {
        return err(here(at), EXPECTED);
    }
    loop {
        at += 1;
        let (Some(name), true, Some(value)) =
            (pieces.get(at), has(at + 1, &Token::Eq), pieces.get(at + 2))
        else {
            return err(here(at), EXPECTED);
        };
        match &value.token.token {
            Token::SingleQuotedString(text) if name.is("tag") => {
                if text.is_empty() {
                    return err(value.area(), "the tag is empty");
                }
                if clauses.tag.is_some() {
                    return err(name.area(), "`tag` stands here twice");
                }
                clauses.tag = Some(Name { text: text.clone(), area: value.area() });
            }
            Token::SingleQuotedString(text) | Token::Number(text, _)
                if name.is("seconds") && clauses.snapshot.is_some() =>
            {
                if !clauses.set_seconds(text) {
                    return err(value.area(), "expected a whole number of seconds above 0");
                }
            }
            _ if name.is("tag") => return err(value.area(), EXPECTED),
            _ => {
                return err(
                    name.area(),
                    format!("there is no property `{}`; {EXPECTED}", name.text()),
                );
            }
        }
        at += 3;
        if has(at, &Token::RParen) {
            return Ok(at + 1);
        }
        if !has(at, &Token::Comma) {
            return err(here(at), "expected `,` or `)`");
        }
    }
}

/// The SELECT list; columns without AS are called as Fluent Bit calls them.
fn items(pieces: &[Piece], out: &mut Vec<TokenWithSpan>) {
    let mut commas: Vec<usize> =
        outside(pieces, 0).filter(|at| pieces[*at].has(&Token::Comma)).collect();
    commas.push(pieces.len());
    let mut from = 0;
    for to in commas {
        let item = &pieces[from..to];
        out.extend(item.iter().map(|piece| piece.token.clone()));
        if let (Some(name), Some(last)) = (column(item), item.last()) {
            let span = Span { start: item[0].token.span.start, end: last.token.span.end };
            let keyword = Word { value: "AS".into(), quote_style: None, keyword: Keyword::AS };
            out.push(TokenWithSpan::new(Token::Word(keyword), span));
            out.push(TokenWithSpan::new(quoted(name), span));
        }
        out.extend(pieces.get(to).map(|comma| comma.token.clone()));
        from = to + 1;
    }
}

/// What Fluent Bit calls a column, if that is another name than ours.
fn column(item: &[Piece]) -> Option<String> {
    let [first, rest @ ..] = item else { return None };
    let [open, arguments @ .., close] = rest else { return first.written.clone() };
    let name = NAMED.iter().find(|name| first.is(name))?;
    if !open.has(&Token::LParen) || !close.has(&Token::RParen) {
        return None;
    }
    let is_key = |piece: &Piece| matches!(piece.token.token, Token::Word(_) | Token::Mul);
    let argument = match arguments {
        [] => String::new(),
        [key] if is_key(key) => key.text(),
        // The time ahead is no part of the name.
        [key, comma, _] if is_key(key) && comma.has(&Token::Comma) => key.text(),
        _ => return None,
    };
    Some(format!("{}({argument})", name.to_uppercase()))
}

/// `STREAM:name`, `TAG:'pattern'`
fn source(
    pieces: &[Piece],
    at: usize,
    clauses: &mut Clauses,
    out: &mut Vec<TokenWithSpan>,
) -> Result<usize> {
    let last = pieces[pieces.len() - 1].area();
    let here = |at: usize| pieces.get(at).map_or(last, Piece::area);
    let is = |text: &str| pieces.get(at).is_some_and(|piece| piece.is(text));
    let colon = pieces.get(at + 1).is_some_and(|piece| piece.has(&Token::Colon));
    let (stream, tag) = (is("stream") && colon, is("tag") && colon);
    if !stream && !tag {
        return err(here(at), "expected FROM STREAM:name or FROM TAG:'pattern'");
    }
    let source = pieces.get(at + 2);
    let whole = here(at).to(here(at + 2));
    match source.map(|source| (&source.token.token, source)) {
        Some((Token::Word(word), source)) if stream && !word.value.is_empty() => {
            out.push(TokenWithSpan::new(quoted(word.value.clone()), source.token.span));
        }
        Some((Token::SingleQuotedString(pattern), source)) if tag && !pattern.is_empty() => {
            clauses.pattern = Some(Name { text: pattern.clone(), area: source.area() });
            out.push(TokenWithSpan::new(Token::Mul, source.token.span));
        }
        _ => return err(whole, if stream { STREAM } else { TAG }),
    }
    // `STREAM:my-app` and `STREAM:app.*`: what touches the name was meant to be of it.
    if let Some(rest) = touching(pieces, at + 2).filter(|_| stream) {
        return err(whole.to(rest), STREAM);
    }
    Ok(at + 3)
}

/// `WINDOW TUMBLING (5 SECOND)`, `WINDOW HOPPING (10 SECOND, ADVANCE BY 2 SECOND)`; where it ends.
fn window(pieces: &[Piece], at: usize, end: Area, clauses: &mut Clauses) -> Result<usize> {
    let here = |at: usize| pieces.get(at).map_or(end, Piece::area);
    let is = |at: usize, text: &str| pieces.get(at).is_some_and(|piece| piece.is(text));
    let has = |at: usize, token: &Token| pieces.get(at).is_some_and(|piece| piece.has(token));
    let hopping = is(at + 1, "hopping");
    let mut next = at + 2;
    if !has(next, &Token::LParen) {
        return err(here(next), format!("expected `(`; {WINDOWS}"));
    }
    let size = length(pieces, next + 1, end)?;
    next += 3;
    let mut advance = None;
    if hopping {
        if !has(next, &Token::Comma) || !is(next + 1, "advance") || !is(next + 2, "by") {
            return err(here(next), format!("expected `, ADVANCE BY`; {WINDOWS}"));
        }
        let by = length(pieces, next + 3, end)?;
        if by > size {
            return err(
                here(next + 3).to(here(next + 4)),
                format!(
                    "the window advances by more than its length, so points between two windows would be in none; advance by {} or less",
                    duration::text(size)
                ),
            );
        }
        advance = Some(by);
        next += 5;
    }
    if !has(next, &Token::RParen) {
        return err(here(next), format!("expected `)`; {WINDOWS}"));
    }
    clauses.window = Some(Window { size, advance, area: here(at).to(here(next)) });
    Ok(next + 1)
}

/// What stands right behind a name without a blank.
fn touching(pieces: &[Piece], name: usize) -> Option<Area> {
    let next = pieces.get(name + 1)?;
    (next.token.span.start == pieces[name].token.span.end).then(|| next.area())
}

/// `5 SECOND` in nanoseconds.
fn length(pieces: &[Piece], at: usize, end: Area) -> Result<i64> {
    let here = |at: usize| pieces.get(at).map_or(end, Piece::area);
    let number = match pieces.get(at).map(|piece| &piece.token.token) {
        Some(Token::Number(text, _)) => text.parse::<i64>().ok().filter(|number| *number > 0),
        _ => None,
    };
    let Some(number) = number else {
        return err(here(at), format!("expected a whole number above 0; {WINDOWS}"));
    };
    let units = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)];
    let is = |name: &str| {
        pieces.get(at + 1).is_some_and(|piece| piece.is(name) || piece.is(&format!("{name}s")))
    };
    let Some((_, seconds)) = units.into_iter().find(|(name, _)| is(name)) else {
        return err(here(at + 1), format!("expected SECOND, MINUTE, HOUR or DAY; {WINDOWS}"));
    };
    match number.checked_mul(seconds * 1_000_000_000) {
        Some(nanos) => Ok(nanos),
        None => err(here(at), "this is longer than can be counted, some 292 years"),
    }
}

/// `LIMIT 5`, the points that a snapshot keeps; where it ends.
fn limit(pieces: &[Piece], at: usize, end: Area, clauses: &mut Clauses) -> Result<usize> {
    let Some(Snapshot::Keep { limit, .. }) = &mut clauses.snapshot else {
        return err(
            pieces[at].area(),
            "LIMIT is not supported: a stream has no end to count to; it bounds what CREATE SNAPSHOT keeps",
        );
    };
    let number = match pieces.get(at + 1).map(|piece| &piece.token.token) {
        Some(Token::Number(text, _)) => text.parse::<u64>().ok().filter(|number| *number > 0),
        _ => None,
    };
    if number.is_none() {
        let here = pieces.get(at + 1).map_or(end, Piece::area);
        return err(here, "expected LIMIT and a whole number above 0");
    }
    if limit.is_some() {
        return err(pieces[at].area(), "LIMIT stands here twice");
    }
    *limit = number;
    Ok(at + 2)
}
