//! Kernels over text.

use std::borrow::Cow;

use regex::Regex;

use super::arith::mismatch;
use super::cast::MAX_TEXT;
use super::{Context, both};
use crate::vector::{Bits, Data, Kind, Vector};

/// Small letters, each of one letter, as PostgreSQL has it: the text keeps its length.
pub fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().map(small).collect()
}

/// The small letter of one letter.
pub fn small(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Capital letters, each of one letter; those that would become several (`ß`) stay.
pub fn upper(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    let capital = |c: char| {
        let mut letters = c.to_uppercase();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => letter,
            _ => c,
        }
    };
    text.chars().map(capital).collect()
}

/// Asks something of each text.
pub fn test<'a>(
    a: &Vector<'a>,
    n: usize,
    cx: &mut Context,
    f: impl Fn(&str) -> bool,
) -> Vector<'a> {
    let valid = a.validity(n);
    match &a.data {
        Data::Null => Vector::null(),
        Data::Text(values) => {
            let mut last: (Option<&str>, bool) = (None, false);
            let bits = Bits::of(n, |row| {
                let text = values[a.place(row)].as_ref();
                // Neighbours are often equal: tags of one series, states that do not change.
                if last.0 != Some(text) {
                    last = (Some(text), f(text));
                }
                last.1
            });
            Vector::with(Data::Bool(bits), valid)
        }
        _ => mismatch(valid, n, cx),
    }
}

/// Makes a text of each row; `None` for NULL. Texts beyond the limit become NULL and are counted.
pub fn build<'a>(
    valid: Option<Bits>,
    n: usize,
    cx: &mut Context,
    f: impl Fn(usize) -> Option<Cow<'a, str>>,
) -> Vector<'a> {
    let mut valid = valid.unwrap_or_else(|| Bits::new(n, true));
    let mut out = Vec::with_capacity(n);
    for row in 0..n {
        let text = if valid.get(row) { f(row) } else { None };
        let text = text.filter(|text| {
            let fits = text.len() <= MAX_TEXT;
            if !fits && cx.counts(row) {
                cx.failures.size += 1;
            }
            fits
        });
        if text.is_none() && valid.get(row) {
            valid.clear(row);
        }
        out.push(text.unwrap_or_default());
    }
    let valid = (valid.count() < n).then_some(valid);
    Vector::with(Data::Text(out), valid)
}

/// `||`: NULL if either is; at least one must be text.
pub fn concat<'a>(a: &Vector<'a>, b: &Vector<'a>, n: usize, cx: &mut Context) -> Vector<'a> {
    if a.is_null() || b.is_null() {
        return Vector::null();
    }
    let valid = both(&a.validity(n), &b.validity(n));
    if a.kind() != Kind::Text && b.kind() != Kind::Text {
        return mismatch(valid, n, cx);
    }
    build(valid, n, cx, |row| {
        let (a, b) = (a.cell(row).text()?, b.cell(row).text()?);
        Some(Cow::Owned(format!("{a}{b}")))
    })
}

pub fn regexp_replace<'a>(
    value: &Vector<'a>,
    pattern: &Regex,
    with: &Vector<'a>,
    all: bool,
    n: usize,
    cx: &mut Context,
) -> Vector<'a> {
    if value.is_null() || with.is_null() {
        return Vector::null();
    }
    let valid = both(&value.validity(n), &with.validity(n));
    let (Data::Text(values), Data::Text(texts)) = (&value.data, &with.data) else {
        return mismatch(valid, n, cx);
    };
    build(valid, n, cx, |row| {
        let text = &values[value.place(row)];
        let limit = if all { 0 } else { 1 };
        let template = template(&texts[with.place(row)]);
        match pattern.replacen(text, limit, template.as_str()) {
            Cow::Borrowed(_) => Some(text.clone()),
            Cow::Owned(new) => Some(Cow::Owned(new)),
        }
    })
}

/// SQL's replacement text (`\1`, `\&`) as the crate's (`${1}`, `${0}`).
fn template(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some(digit) if digit.is_ascii_digit() => out.push_str(&format!("${{{digit}}}")),
                Some('&') => out.push_str("${0}"),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

pub fn regexp_extract<'a>(
    value: Vector<'a>,
    pattern: &Regex,
    group: usize,
    n: usize,
    cx: &mut Context,
) -> Vector<'a> {
    let valid = value.validity(n);
    let Data::Text(values) = &value.data else {
        return if value.is_null() { value } else { mismatch(valid, n, cx) };
    };
    build(valid, n, cx, |row| {
        let text = &values[value.place(row)];
        let found = pattern.captures(text)?.get(group)?;
        Some(match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[found.range()]),
            Cow::Owned(_) => Cow::Owned(found.as_str().to_owned()),
        })
    })
}
