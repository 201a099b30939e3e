//! Environment variables in configuration text.
//!
//! | written | stands for |
//! |---|---|
//! | `${VAR}`, `$VAR` | the value; the text itself if there is none, so that `${1}` of a regular expression stays |
//! | `${VAR:-x}`, `${VAR-x}` | the value, or `x` if it is unset (with the colon: or empty) |
//! | `${VAR:?x}`, `${VAR?x}` | the value, or the error `x` |
//! | `${VAR:+x}`, `${VAR+x}` | `x` if the variable is set (with the colon: and not empty), else nothing |
//! | `$$` | a dollar |
//!
//! `x` may hold variables again. Values are never looked into: what they hold is text.

use std::borrow::Cow;
use std::ops::Range;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till1, take_while};
use nom::character::complete::{char, satisfy};
use nom::combinator::{cut, map, opt, recognize, value};
use nom::multi::many0;
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use super::Environment;

/// What one string or file may grow to.
pub const EXPANDED_BYTES_MAX: usize = 16 << 20;

/// Longer than this is no variable with its default.
const VARIABLE_BYTES_MAX: usize = 64 << 10;

/// Variables nested deeper than this are left as they are.
const DEPTH_MAX: usize = 16;

/// What is wrong with a text, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableError {
    pub span: Range<usize>,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    Dollar,
    Variable(Variable<'a>),
}

#[derive(Debug, Clone, PartialEq)]
struct Variable<'a> {
    /// As it was written.
    source: &'a str,
    name: &'a str,
    rule: Option<Rule<'a>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule<'a> {
    action: Action,
    /// Whether an empty value counts as none.
    empty_too: bool,
    word: Vec<Piece<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    Default,
    Error,
    Alternative,
}

type Out<'a, T> = IResult<&'a str, T>;

fn name(input: &str) -> Out<'_, &str> {
    recognize((
        satisfy(|c| c.is_ascii_alphabetic() || c == '_'),
        take_while(|c: char| c.is_ascii_alphanumeric() || c == '_'),
    ))
    .parse(input)
}

fn operator(input: &str) -> Out<'_, (Action, bool)> {
    alt((
        value((Action::Default, true), tag(":-")),
        value((Action::Default, false), tag("-")),
        value((Action::Error, true), tag(":?")),
        value((Action::Error, false), tag("?")),
        value((Action::Alternative, true), tag(":+")),
        value((Action::Alternative, false), tag("+")),
    ))
    .parse(input)
}

/// A variable or an escaped dollar; the input begins with a dollar.
fn variable(depth: usize) -> impl Fn(&str) -> Out<'_, Piece<'_>> {
    move |input| {
        if depth > DEPTH_MAX {
            return Err(nom::Err::Failure(nom::error::Error::new(
                input,
                nom::error::ErrorKind::TooLarge,
            )));
        }
        if let Ok((rest, _)) = tag::<_, _, nom::error::Error<&str>>("$$").parse(input) {
            return Ok((rest, Piece::Dollar));
        }
        let braced = (
            preceded(tag("${"), name),
            // What begins so and does not end is given up as a whole: trying it again in another
            // way at each level would take a time that doubles with each.
            terminated(opt((operator, cut(word(depth)))), cut(char('}'))),
        );
        let plain = map(preceded(char('$'), name), |name| (name, None));
        let (rest, (name, rule)) = alt((braced, plain)).parse(input)?;
        let rule = rule.map(|((action, empty_too), word)| Rule { action, empty_too, word });
        let source = &input[..input.len() - rest.len()];
        Ok((rest, Piece::Variable(Variable { source, name, rule })))
    }
}

/// What may stand behind an operator, up to the closing brace. Braces in it are balanced.
fn word(depth: usize) -> impl Fn(&str) -> Out<'_, Vec<Piece<'_>>> {
    move |input| {
        let text = map(take_till1(|c| matches!(c, '$' | '{' | '}')), Piece::Text);
        let lone_dollar = map(tag("$"), Piece::Text);
        let piece = alt((text, variable(depth + 1), lone_dollar));
        let group = |input| {
            let (rest, open) = tag("{").parse(input)?;
            if depth >= DEPTH_MAX {
                return Err(nom::Err::Failure(nom::error::Error::new(
                    rest,
                    nom::error::ErrorKind::TooLarge,
                )));
            }
            let (rest, mut pieces) = cut(word(depth + 1)).parse(rest)?;
            let (rest, close) = cut(tag("}")).parse(rest)?;
            pieces.insert(0, Piece::Text(open));
            pieces.push(Piece::Text(close));
            Ok((rest, pieces))
        };
        let (rest, pieces) = many0(alt((map(piece, |piece| vec![piece]), group))).parse(input)?;
        Ok((rest, pieces.into_iter().flatten().collect()))
    }
}

/// The variable at the beginning of `text`, and its length.
fn variable_at(text: &str) -> Option<(Piece<'_>, usize)> {
    let mut end = text.len().min(VARIABLE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let (rest, piece) = variable(0)(text).ok()?;
    Some((piece, text.len() - rest.len()))
}

fn push(piece: &Piece<'_>, environment: &dyn Environment, out: &mut String) -> Result<(), String> {
    match piece {
        Piece::Text(text) => out.push_str(text),
        Piece::Dollar => out.push('$'),
        Piece::Variable(variable) => push_variable(variable, environment, out)?,
    }
    if out.len() > EXPANDED_BYTES_MAX {
        return Err(format!(
            "with its variables the text is larger than {EXPANDED_BYTES_MAX} bytes"
        ));
    }
    Ok(())
}

fn push_variable(
    variable: &Variable<'_>,
    environment: &dyn Environment,
    out: &mut String,
) -> Result<(), String> {
    let value = environment.var(variable.name);
    let Some(rule) = &variable.rule else {
        out.push_str(value.as_deref().unwrap_or(variable.source));
        return Ok(());
    };
    let value = value.filter(|value| !(rule.empty_too && value.is_empty()));
    let push_word =
        |out: &mut String| rule.word.iter().try_for_each(|piece| push(piece, environment, out));
    match (rule.action, value) {
        (Action::Default, None) | (Action::Alternative, Some(_)) => push_word(out),
        (Action::Default | Action::Error, Some(value)) => {
            out.push_str(&value);
            Ok(())
        }
        (Action::Alternative, None) => Ok(()),
        (Action::Error, None) => {
            let mut message = String::new();
            push_word(&mut message)?;
            if message.is_empty() {
                message.push_str("it must be set");
            }
            Err(format!("the environment variable `{}` is missing: {message}", variable.name))
        }
    }
}

/// Replaces the variables in one string.
pub fn expand<'a>(
    text: &'a str,
    environment: &dyn Environment,
) -> Result<Cow<'a, str>, VariableError> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(next) = text[at..].find('$') {
        out.push_str(&text[at..at + next]);
        at += next;
        let (piece, length) = variable_at(&text[at..]).unwrap_or((Piece::Text("$"), 1));
        push(&piece, environment, &mut out)
            .map_err(|message| VariableError { span: at..at + length, message })?;
        at += length;
    }
    out.push_str(&text[at..]);
    Ok(Cow::Owned(out))
}

/// A text with its variables replaced, and where each part of it came from.
#[derive(Default)]
pub struct Expanded {
    pub text: String,
    parts: Vec<Part>,
}

struct Part {
    start: usize,
    original: usize,
    copied: bool,
}

impl Expanded {
    /// The byte of the original text that byte `offset` of this one comes from.
    pub fn original(&self, offset: usize) -> usize {
        let index = self.parts.partition_point(|part| part.start <= offset);
        match index.checked_sub(1).and_then(|index| self.parts.get(index)) {
            Some(part) if part.copied => part.original + (offset - part.start),
            Some(part) => part.original,
            None => offset,
        }
    }

    fn part(&mut self, original: usize, copied: bool) {
        self.parts.push(Part { start: self.text.len(), original, copied });
    }
}

/// Where a scan of TOML text stands.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Outside,
    Comment,
    Inside(&'static str),
}

/// Replaces the variables in a whole document, but not in its comments. Every error is reported,
/// and its variable left as it is.
pub fn expand_document(
    text: &str,
    environment: &dyn Environment,
) -> (Expanded, Vec<VariableError>) {
    let mut out = Expanded::default();
    let mut errors = Vec::new();
    let mut state = State::Outside;
    let mut at = 0;
    let mut copied_from = 0;
    out.part(0, true);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with('$')
            && state != State::Comment
            && let Some((piece, length)) = variable_at(rest)
        {
            out.text.push_str(&text[copied_from..at]);
            out.part(at, false);
            let before = out.text.len();
            if let Err(message) = push(&piece, environment, &mut out.text) {
                out.text.truncate(before);
                out.text.push_str(&rest[..length]);
                errors.push(VariableError { span: at..at + length, message });
                if out.text.len() > EXPANDED_BYTES_MAX {
                    return (Expanded::default(), errors);
                }
            }
            at += length;
            copied_from = at;
            out.part(at, true);
            continue;
        }
        let (next, length) = step(state, rest);
        state = next;
        at += length;
    }
    out.text.push_str(&text[copied_from..]);
    (out, errors)
}

/// Reads one token's worth of TOML: only what tells comments from the rest.
fn step(state: State, rest: &str) -> (State, usize) {
    let first = rest.chars().next().map_or(1, char::len_utf8);
    match state {
        State::Comment if rest.starts_with('\n') => (State::Outside, 1),
        State::Comment => (state, first),
        State::Outside => {
            for quote in ["\"\"\"", "'''", "\"", "'"] {
                if rest.starts_with(quote) {
                    return (State::Inside(quote), quote.len());
                }
            }
            (if rest.starts_with('#') { State::Comment } else { state }, first)
        }
        State::Inside(quote) => {
            if rest.starts_with(quote) {
                return (State::Outside, quote.len());
            }
            // A string on one line that does not end there is an error that the parser reports.
            if quote.len() == 1 && rest.starts_with('\n') {
                return (State::Outside, 1);
            }
            if quote.starts_with('"') && rest.starts_with('\\') {
                let escaped =
                    rest[1..].chars().next().filter(|c| *c != '$').map_or(0, char::len_utf8);
                return (state, 1 + escaped);
            }
            (state, first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Vars;
    use super::*;

    const VARS: Vars = Vars(&[("A", "one"), ("EMPTY", ""), ("_b2", "two"), ("DOLLAR", "$A")]);

    #[test]
    fn every_form() {
        let check = |text: &str, expected: &str| {
            assert_eq!(expand(text, &VARS).unwrap(), expected, "{text}");
        };
        check("", "");
        check("plain", "plain");
        check("$A", "one");
        check("${A}", "one");
        check("x${A}y$_b2.z", "xoneytwo.z");
        check("$Ab", "$Ab");
        check("$$A", "$A");
        check("$$$A", "$one");
        check("${NONE}", "${NONE}");
        check("$NONE", "$NONE");
        check("${1} $1 $ ${} ${A", "${1} $1 $ ${} ${A");
        check("^a$|b$", "^a$|b$");
        check("${A!x}", "${A!x}");
        check("$DOLLAR", "$A");
        check("${NONE:-x}", "x");
        check("${NONE-x}", "x");
        check("${EMPTY:-x}", "x");
        check("${EMPTY-x}", "");
        check("${A:-x}", "one");
        check("${NONE:-}", "");
        check("${NONE:-${A}}", "one");
        check("${NONE:-${NONE2:-${EMPTY:-deep}}}", "deep");
        check("${NONE:-a$A$$b}", "aone$b");
        check("${NONE:-{\"k\": \"$A\"}}", "{\"k\": \"one\"}");
        check("${NONE:-http://h:80/?q=1}", "http://h:80/?q=1");
        check("${NONE:-$}", "$");
        check("${NONE:-$1}", "$1");
        check("${A:+x}", "x");
        check("${EMPTY:+x}", "");
        check("${EMPTY+x}", "x");
        check("${NONE+x}", "");
        check("${A:?no}", "one");
        check("${EMPTY?no}", "");
        check("${NONE:-{}", "${NONE:-{}");
        check("grüße $A ß", "grüße one ß");
    }

    #[test]
    fn errors_have_a_place() {
        let check = |text: &str, blamed: &str, part: &str| {
            let error = expand(text, &VARS).unwrap_err();
            assert_eq!(&text[error.span.clone()], blamed);
            assert!(error.message.contains(part), "{}", error.message);
        };
        check(
            "a${NONE:?set it for $A}b",
            "${NONE:?set it for $A}",
            "`NONE` is missing: set it for one",
        );
        check("${EMPTY:?}", "${EMPTY:?}", "`EMPTY` is missing: it must be set");
        check("${NONE?x}", "${NONE?x}", "missing: x");
        check("${NONE:-${EMPTY:?inner}}", "${NONE:-${EMPTY:?inner}}", "`EMPTY` is missing: inner");
    }

    #[test]
    fn documents_keep_their_comments_and_places() {
        let text = "# ${NONE:?never}\na = $A # $A\nb = \"# $A\" # '$A\nc = '''\n# $A'''\nd = \"\\\"# $A\"\n${NONE?bad}";
        let (expanded, errors) = expand_document(text, &VARS);
        assert_eq!(
            expanded.text,
            "# ${NONE:?never}\na = one # $A\nb = \"# one\" # '$A\nc = '''\n# one'''\nd = \"\\\"# one\"\n${NONE?bad}"
        );
        assert_eq!(errors.len(), 1);
        assert_eq!(&text[errors[0].span.clone()], "${NONE?bad}");
        for word in ["a =", "b =", "c =", "d =", "# '$A"] {
            assert_eq!(
                expanded.original(expanded.text.find(word).unwrap()),
                text.find(word).unwrap(),
                "{word}"
            );
        }
        let one = expanded.text.find("one").unwrap();
        assert_eq!(expanded.original(one + 2), text.find("$A").unwrap());
    }

    #[test]
    fn values_are_bounded() {
        struct Big;
        impl Environment for Big {
            fn var(&self, _: &str) -> Option<String> {
                Some("x".repeat(1 << 20))
            }
        }
        let text = "$A".repeat(20);
        assert!(expand(&text, &Big).unwrap_err().message.contains("larger than"));
        let (_, errors) = expand_document(&text, &Big);
        assert!(!errors.is_empty());
    }

    #[test]
    fn any_text_is_read_in_bounded_time() {
        for text in [
            "${A:-".repeat(5000),
            "${A:-{".repeat(5000),
            "${A:-$".repeat(5000),
            "$".repeat(5001),
            "{".repeat(5000),
            format!("{}{}", "${N:-".repeat(17), "}".repeat(17)),
        ] {
            assert!(expand(&text, &VARS).is_ok());
            expand_document(&text, &VARS);
        }
        const PIECES: [&str; 14] =
            ["$", "{", "}", "A", ":-", "?", "+", "\"", "'", "#", "\n", "ä", "\\", "NONE"];
        let mut seed = 9u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..(seed >> 40) % 16 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                text.push_str(PIECES[(seed >> 33) as usize % PIECES.len()]);
            }
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let _ = expand(&text, &VARS);
            let (expanded, _) = expand_document(&text, &VARS);
            for offset in 0..=expanded.text.len() {
                assert!(expanded.original(offset) <= text.len());
            }
        }
    }
}
