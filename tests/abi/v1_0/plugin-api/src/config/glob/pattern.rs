//! The grammar of globs.

use std::cell::Cell;

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::{anychar, char, none_of};
use nom::combinator::{map, opt, value};
use nom::multi::{many0, many1_count};
use nom::sequence::{preceded, separated_pair};
use nom::{IResult, Parser};

/// Longer patterns are refused.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Braces nested deeper than this are refused.
const DEPTH_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Char(char),
    /// One character that is no separator.
    One,
    Star {
        /// Whether it matches separators too.
        crosses: bool,
    },
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Either(Vec<Vec<Node>>),
}

type Out<'a, T> = IResult<&'a str, T>;

fn escaped(input: &str) -> Out<'_, char> {
    preceded(char('\\'), anychar).parse(input)
}

fn star(input: &str) -> Out<'_, Node> {
    map(many1_count(char('*')), |count| Node::Star { crosses: count > 1 }).parse(input)
}

fn class(input: &str) -> Out<'_, Node> {
    let letter = || alt((escaped, none_of("\\]")));
    let range = map(separated_pair(letter(), char('-'), letter()), |(from, to)| (from, to));
    let single = map(letter(), |c| (c, c));
    let (rest, _) = char('[').parse(input)?;
    let (rest, negated) = map(opt(char('!')), |mark| mark.is_some()).parse(rest)?;
    let (rest, ranges) = many0(alt((range, single))).parse(rest)?;
    let (rest, _) = char(']').parse(rest)?;
    Ok((rest, Node::Class { negated, ranges }))
}

/// Where a parser gave up for good, as what is left of the input, and why.
struct Failure<'a> {
    at: Cell<Option<(&'a str, &'static str)>>,
}

impl<'a> Failure<'a> {
    /// The first reason is kept: what follows from it says nothing new.
    fn set(&self, rest: &'a str, reason: &'static str) -> nom::Err<nom::error::Error<&'a str>> {
        if self.at.get().is_none() {
            self.at.set(Some((rest, reason)));
        }
        nom::Err::Failure(nom::error::Error::new(rest, nom::error::ErrorKind::Fail))
    }

    fn nodes(&self, input: &'a str, depth: usize) -> Out<'a, Vec<Node>> {
        let mut nodes = Vec::new();
        let mut rest = input;
        while let Some(first) = rest.chars().next() {
            let (after, node) = match first {
                ',' | '}' if depth > 0 => break,
                '{' => self.either(rest, depth + 1)?,
                '[' => {
                    let (after, node) =
                        class(rest).map_err(|_: nom::Err<nom::error::Error<_>>| {
                            self.set(rest, "the set `[` is not closed")
                        })?;
                    match &node {
                        Node::Class { ranges, .. } if ranges.is_empty() => {
                            return Err(self.set(
                                rest,
                                "the set is empty; a literal bracket is written `\\[`",
                            ));
                        }
                        Node::Class { ranges, .. } if ranges.iter().any(|(from, to)| from > to) => {
                            return Err(self.set(rest, "a range of the set runs backwards"));
                        }
                        _ => (after, node),
                    }
                }
                '\\' => map(escaped, Node::Char).parse(rest).map_err(
                    |_: nom::Err<nom::error::Error<_>>| self.set(rest, "nothing follows the `\\`"),
                )?,
                _ => {
                    alt((star, value(Node::One, tag("?")), map(anychar, Node::Char))).parse(rest)?
                }
            };
            nodes.push(node);
            rest = after;
        }
        Ok((rest, nodes))
    }

    fn either(&self, input: &'a str, depth: usize) -> Out<'a, Node> {
        if depth > DEPTH_MAX {
            return Err(self.set(input, "braces are nested more than 16 deep"));
        }
        let mut branches = Vec::new();
        let mut rest = &input[1..];
        loop {
            let (after, branch) = self.nodes(rest, depth)?;
            branches.push(branch);
            match after.as_bytes().first() {
                Some(b',') => rest = &after[1..],
                Some(_) => return Ok((&after[1..], Node::Either(branches))),
                None => return Err(self.set(input, "the brace `{` is not closed")),
            }
        }
    }
}

pub fn parse(pattern: &str) -> Result<Vec<Node>, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "the pattern has {} bytes, the limit is {PATTERN_BYTES_MAX}",
            pattern.len()
        ));
    }
    let failure = Failure { at: Cell::new(None) };
    match failure.nodes(pattern, 0) {
        Ok((_, nodes)) => Ok(nodes),
        Err(_) => {
            let (rest, reason) = failure.at.get().unwrap_or((pattern, "it cannot be read"));
            let place = pattern[..pattern.len() - rest.len()].chars().count() + 1;
            Err(format!("\"{pattern}\" is not a pattern: {reason} (character {place})"))
        }
    }
}
