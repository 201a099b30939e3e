//! Literals, patterns, and the values of columns: few different ones, so that they meet, and the edges.

use super::node::tight::SIGN;
use super::node::{Node, Written};
use crate::random::Random;
use crate::table::{Kind, quoted};

const INTS: [i128; 14] = [
    0,
    1,
    -1,
    2,
    3,
    -7,
    10,
    255,
    1_000_000_007,
    4_294_967_296,
    9_007_199_254_740_993,
    9_223_372_036_854_775_807,
    -9_223_372_036_854_775_808,
    18_446_744_073_709_551_615,
];
const FLOATS: [f64; 20] = [
    0.0,
    -0.0,
    0.5,
    1.5,
    -2.5,
    2.5,
    1.0,
    3.0,
    -3.0,
    0.1,
    1.005,
    2.675,
    1e-7,
    123_456.789,
    1e15,
    -1e19,
    9_007_199_254_740_993.0,
    1e300,
    -1.797_693_134_862_315_7e308,
    5e-324,
];
const TEXTS: [&str; 24] = [
    "", "a", "b", "ab", "AB", "aab", "abc", "a%b", "a_b", "a\\b", "100%", " a ", "ä", "Ä", "äb",
    "日本", "x😀y", "ß", "ΟΔΟΣ", "İx", "it's", "a,b,,c", "xx", "b b",
];
const READABLE: [&str; 26] = [
    "0",
    "1",
    "-5",
    " 42 ",
    "+7",
    "1.5",
    "1e3",
    "-0",
    "abc",
    "t",
    "true",
    "FALSE",
    "yes",
    "off",
    "tr",
    "ye",
    "9223372036854775808",
    "2024-02-29",
    "2024-02-30",
    "2024-02-29T12:34:56.25Z",
    "1e999",
    "inf",
    "NaN",
    ".5",
    "2023-12-31 23:59:59+01:30",
    "0x10",
];
const TIMES: [&str; 8] = [
    "2024-02-29T12:34:56.25Z",
    "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "2024-12-30T00:00:00Z",
    "2000-01-01",
    "1965-03-04 05:06:07.000008",
    "2038-01-19T03:14:08+02:00",
    "2024-05-01T12:00:00Z",
];
const SPANS: [&str; 8] = [
    "10 seconds",
    "1 hour",
    "1 day",
    "7 minutes",
    "250 milliseconds",
    "3 microseconds",
    "2 weeks",
    "400 days",
];

pub fn int_value(random: &mut Random) -> i128 {
    match random.below(3) {
        0 => random.within(-20, 20).into(),
        _ => *random.pick(&INTS),
    }
}

pub fn float_value(random: &mut Random) -> f64 {
    match random.below(4) {
        0 => random.within(-50, 50) as f64 / 2.0,
        1 => random.within(-100_000, 100_000) as f64 / 1000.0,
        _ => *random.pick(&FLOATS),
    }
}

pub fn text_value(random: &mut Random) -> String {
    if random.chance(60) {
        return (*random.pick(&TEXTS)).to_owned();
    }
    let chars = ['a', 'b', 'A', 'B', '%', '_', ' ', 'ä', 'Ä', 'x', '1', '😀', '\\'];
    (0..random.below(7)).map(|_| *random.pick(&chars)).collect()
}

/// A text that says a number, a truth value, a time, or nothing.
pub fn readable_value(random: &mut Random) -> String {
    (*random.pick(&READABLE)).to_owned()
}

/// One to three characters.
pub fn piece(random: &mut Random) -> String {
    (*random.pick(&["a", "b", " ", "ab", "ä", ",", "%", "x", "aA", "1", "b a"])).to_owned()
}

pub fn text(value: &str) -> Node {
    let written = Written::atom(quoted(value));
    Node::leaf(Kind::Text, written.clone(), written)
}

pub fn int(value: i128) -> Node {
    let tight = if value < 0 { SIGN } else { u8::MAX };
    let ours = Written { text: value.to_string(), tight };
    Node::leaf(Kind::Int, ours, Written::atom(format!("'{value}'::numeric")))
}

fn float(value: f64) -> Node {
    let tight = if value.is_sign_negative() { SIGN } else { u8::MAX };
    let ours = Written { text: format!("{value:?}"), tight };
    Node::leaf(Kind::Float, ours, Written::atom(format!("'{value:?}'::float8")))
}

pub fn literal(random: &mut Random, kind: Kind) -> Node {
    match kind {
        Kind::Int => int(int_value(random)),
        Kind::Float => float(float_value(random)),
        Kind::Text if random.chance(15) => text(&readable_value(random)),
        Kind::Text => text(&text_value(random)),
        Kind::Bool => {
            let word = Written::atom(*random.pick(&["TRUE", "FALSE", "true", "false"]));
            Node::leaf(kind, word.clone(), word)
        }
        Kind::Time => {
            let time = *random.pick(&TIMES);
            let ours = Written::atom(format!("TIMESTAMP '{time}'"));
            Node::leaf(kind, ours, Written::atom(format!("'{time}'::timestamptz")))
        }
        Kind::Span => {
            let span = *random.pick(&SPANS);
            let ours = Written::atom(format!("INTERVAL '{span}'"));
            Node::leaf(kind, ours, Written::atom(format!("'{span}'::interval")))
        }
    }
}

/// A text in quotes that stands for a value of a kind.
pub fn in_quotes(random: &mut Random, kind: Kind) -> Option<Node> {
    let value = match kind {
        Kind::Int => int_value(random).to_string(),
        Kind::Float => format!("{:?}", float_value(random)),
        Kind::Bool => (*random.pick(&["true", "f", "on", "0"])).to_owned(),
        Kind::Time => (*random.pick(&TIMES)).to_owned(),
        Kind::Span => (*random.pick(&SPANS)).to_owned(),
        Kind::Text => return None,
    };
    let mut node = text(&value);
    node.theirs = Written::atom(format!("'{value}'::{}", super::generate::type_of(kind)));
    Some(node)
}

fn one(random: &mut Random, list: &[&'static str]) -> &'static str {
    list[random.below(list.len())]
}

/// A LIKE pattern with its ESCAPE, none for the usual one. It does not end in the escape character.
pub fn like(random: &mut Random) -> (String, Option<&'static str>) {
    let escape = *random.pick(&[None, None, None, Some("!"), Some(""), Some("ä")]);
    let sign = escape.unwrap_or("\\");
    let pieces = ["a", "b", "%", "%", "_", "ä", "x", "B", "\\", "é", "Ο", "ß"];
    let mut pattern = String::new();
    for _ in 0..random.below(6) {
        if random.chance(15) {
            pattern.push_str(sign);
            pattern.push_str(one(random, &["%", "_", "a", "\\", "ä"]));
            continue;
        }
        let piece = *random.pick(&pieces);
        if piece != sign {
            pattern.push_str(piece);
        }
    }
    while !sign.is_empty() && pattern.ends_with(sign) {
        pattern.pop();
    }
    (pattern, escape)
}

/// A regular expression that both sides read alike.
pub fn regex(random: &mut Random, with_case: bool) -> String {
    let atoms =
        ["a", "b", ".", "[ab]", "[^a]", "\\d", "x", "%", "_", "[0-9a-c]", "\\\\", "\\s", "A"];
    let groups = ["(ab|b)", "(a|b)", "ä", "日", "[äÄ]"];
    let mut pattern = String::new();
    if random.chance(25) {
        pattern.push('^');
    }
    for _ in 0..1 + random.below(4) {
        if with_case && random.chance(12) {
            pattern.push_str(one(random, &groups));
        } else {
            pattern.push_str(one(random, &atoms));
        }
        if random.chance(30) {
            pattern.push_str(one(random, &["*", "+", "?", "{1,2}"]));
        }
    }
    if random.chance(25) {
        pattern.push('$');
    }
    pattern
}
