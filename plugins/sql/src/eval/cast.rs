//! From one kind to another.

use std::borrow::Cow;

use super::Context;
use super::arith::{fits, mismatch};
use crate::ast::CastTo;
use crate::vector::{Bits, Cell, Data, Kind, Vector};
use crate::{duration, time};

/// Longest text that a function makes; longer ones become NULL and are counted.
pub const MAX_TEXT: usize = 1 << 20;

enum Outcome<T> {
    Value(T),
    /// The text says something else.
    Unreadable,
    /// It does not fit.
    Overflow,
    /// There is no such cast.
    Kinds,
}

/// `CAST(x AS type)`: what cannot be cast is NULL and counted.
pub fn cast<'a>(a: Vector<'a>, to: CastTo, n: usize, cx: &mut Context) -> Vector<'a> {
    let n = if a.constant { 1 } else { n };
    let constant = a.constant;
    let data = match to {
        CastTo::Text => match a.kind() {
            Kind::Text | Kind::Null => return a,
            _ => {
                let values = (0..n).map(|row| a.cell(row).text().map(Cow::into_owned));
                let values = values.map(|text| Cow::Owned(text.unwrap_or_default())).collect();
                return Vector { data: Data::Text(values), valid: a.valid.clone(), constant };
            }
        },
        _ if a.is_null() => return a,
        CastTo::Int => {
            let (values, valid) = each(&a, n, cx, |cell| int(cell, false));
            (Data::Int { values, unsigned: false }, valid)
        }
        CastTo::UInt => {
            let (values, valid) = each(&a, n, cx, |cell| int(cell, true));
            (Data::Int { values, unsigned: true }, valid)
        }
        CastTo::Float => {
            let (values, valid) = each(&a, n, cx, float);
            (Data::Float(values), valid)
        }
        CastTo::Bool => {
            let (values, valid) = each(&a, n, cx, boolean);
            (Data::Bool(Bits::of(n, |row| values[row])), valid)
        }
        CastTo::Time => {
            let (values, valid) = each(&a, n, cx, time_of);
            (Data::Time(values), valid)
        }
        CastTo::Interval => {
            let (values, valid) = each(&a, n, cx, interval);
            (Data::Interval(values), valid)
        }
    };
    Vector { data: data.0, valid: data.1, constant }
}

fn each<R: Default>(
    a: &Vector<'_>,
    n: usize,
    cx: &mut Context,
    f: impl Fn(Cell<'_>) -> Outcome<R>,
) -> (Vec<R>, Option<Bits>) {
    let mut valid = a.validity(n).unwrap_or_else(|| Bits::new(n, true));
    let mut out = Vec::with_capacity(n);
    for row in 0..n {
        let mut value = None;
        if valid.get(row) {
            let counts = u64::from(a.constant || cx.counts(row));
            match f(a.cell(row)) {
                Outcome::Value(v) => value = Some(v),
                Outcome::Unreadable => cx.failures.cast += counts,
                Outcome::Overflow => cx.failures.overflow += counts,
                Outcome::Kinds => cx.failures.kinds += counts,
            }
        }
        if value.is_none() && valid.get(row) {
            valid.clear(row);
        }
        out.push(value.unwrap_or_default());
    }
    let valid = (valid.count() < n).then_some(valid);
    (out, valid)
}

fn int(cell: Cell<'_>, unsigned: bool) -> Outcome<i128> {
    let value = match cell {
        Cell::Int(value, _) => value,
        Cell::Bool(value) => i128::from(value),
        Cell::Float(value) => value.round_ties_even() as i128,
        Cell::Text(text) => match text.trim().parse::<i128>() {
            Ok(value) => value,
            Err(_) => return Outcome::Unreadable,
        },
        Cell::Time(nanos) | Cell::Interval(nanos) => nanos.into(),
        Cell::Null => return Outcome::Kinds,
    };
    let fits = if unsigned { u64::try_from(value).is_ok() } else { i64::try_from(value).is_ok() };
    if fits { Outcome::Value(value) } else { Outcome::Overflow }
}

fn float(cell: Cell<'_>) -> Outcome<f64> {
    match cell {
        Cell::Float(value) => Outcome::Value(value),
        Cell::Int(value, _) => Outcome::Value(value as f64),
        Cell::Text(text) => match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() => Outcome::Value(value),
            _ => Outcome::Unreadable,
        },
        _ => Outcome::Kinds,
    }
}

fn boolean(cell: Cell<'_>) -> Outcome<bool> {
    match cell {
        Cell::Bool(value) => Outcome::Value(value),
        Cell::Int(value, _) => Outcome::Value(value != 0),
        // Beginnings of the words will do, as in PostgreSQL, if they are those of one word alone.
        Cell::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Outcome::Value(true),
            "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => {
                Outcome::Value(false)
            }
            _ => Outcome::Unreadable,
        },
        _ => Outcome::Kinds,
    }
}

fn time_of(cell: Cell<'_>) -> Outcome<i64> {
    match cell {
        Cell::Time(nanos) => Outcome::Value(nanos),
        Cell::Text(text) => time::parse(text).map_or(Outcome::Unreadable, Outcome::Value),
        _ => Outcome::Kinds,
    }
}

fn interval(cell: Cell<'_>) -> Outcome<i64> {
    match cell {
        Cell::Interval(nanos) => Outcome::Value(nanos),
        Cell::Text(text) => duration::parse(text).map_or(Outcome::Unreadable, Outcome::Value),
        _ => Outcome::Kinds,
    }
}

/// Turns a vector into another kind where SQL does so by itself: integers into floats, literal texts
/// into what they meet.
pub fn coerce<'a>(a: &Vector<'a>, kind: Kind, cx: &mut Context) -> Vector<'a> {
    let n = match &a.data {
        Data::Null => return a.clone(),
        Data::Int { values, .. } => values.len(),
        Data::Text(values) => values.len(),
        _ => 0,
    };
    match (&a.data, kind) {
        (Data::Int { values, .. }, Kind::Float) => Vector {
            data: Data::Float(values.iter().map(|v| *v as f64).collect()),
            valid: a.valid.clone(),
            constant: a.constant,
        },
        (Data::Text(values), Kind::Int) if a.constant => {
            // A number with a point meets integers as a float.
            let whole = values.iter().all(|text| text.trim().parse::<i128>().is_ok_and(fits));
            if whole {
                let values = values.iter().filter_map(|text| text.trim().parse().ok()).collect();
                return Vector::constant(Data::Int { values, unsigned: false });
            }
            cast(a.clone(), CastTo::Float, n, cx)
        }
        (Data::Text(_), Kind::Float) => cast(a.clone(), CastTo::Float, n, cx),
        (Data::Text(_), Kind::Bool) => cast(a.clone(), CastTo::Bool, n, cx),
        (Data::Text(_), Kind::Time) => cast(a.clone(), CastTo::Time, n, cx),
        (Data::Text(_), Kind::Interval) => cast(a.clone(), CastTo::Interval, n, cx),
        _ => mismatch(None, n, cx),
    }
}
