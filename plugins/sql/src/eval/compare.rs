//! Comparisons, and what chooses between values.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::arith::{floats, mismatch};
use super::cast::coerce;
use super::{Context, both};
use crate::ast::CompareOp;
use crate::vector::{Bits, Cell, Data, Kind, Vector};

fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::Ne => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
    }
}

/// A loop over all rows in which the operator is not looked at again.
fn test<A, B>(
    op: CompareOp,
    (a, a_const): (&[A], bool),
    (b, b_const): (&[B], bool),
    n: usize,
    compare: impl Fn(&A, &B) -> Ordering,
) -> Bits {
    let (i, j) = (usize::from(!a_const), usize::from(!b_const));
    let order = |row: usize| compare(&a[row * i], &b[row * j]);
    match op {
        CompareOp::Eq => Bits::of(n, |row| order(row).is_eq()),
        CompareOp::Ne => Bits::of(n, |row| order(row).is_ne()),
        CompareOp::Lt => Bits::of(n, |row| order(row).is_lt()),
        CompareOp::Le => Bits::of(n, |row| order(row).is_le()),
        CompareOp::Gt => Bits::of(n, |row| order(row).is_gt()),
        CompareOp::Ge => Bits::of(n, |row| order(row).is_ge()),
    }
}

/// Floats are finite; minus zero equals zero.
#[inline]
pub fn float_order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// Makes a literal text what the other operand is, as SQL does: `time > '2024-05-01'`.
fn align<'v, 'a>(
    a: &'v Vector<'a>,
    b: &'v Vector<'a>,
    cx: &mut Context,
) -> (Cow<'v, Vector<'a>>, Cow<'v, Vector<'a>>) {
    let is_text = |v: &Vector<'_>| v.kind() == Kind::Text;
    if is_text(a) && a.constant && !is_text(b) {
        return (Cow::Owned(coerce(a, b.kind(), cx)), Cow::Borrowed(b));
    }
    if is_text(b) && b.constant && !is_text(a) {
        return (Cow::Borrowed(a), Cow::Owned(coerce(b, a.kind(), cx)));
    }
    (Cow::Borrowed(a), Cow::Borrowed(b))
}

pub fn compare<'a>(
    op: CompareOp,
    a: &Vector<'a>,
    b: &Vector<'a>,
    n: usize,
    cx: &mut Context,
) -> Vector<'a> {
    // A text has nothing to become beside a NULL.
    if a.is_null() || b.is_null() {
        return Vector::null();
    }
    let (a, b) = align(a, b, cx);
    if a.is_null() || b.is_null() {
        return Vector::null();
    }
    let valid = both(&a.validity(n), &b.validity(n));
    let (ac, bc) = (a.constant, b.constant);
    let bits = match (&a.data, &b.data) {
        (Data::Float(x), Data::Float(y)) => {
            test(op, (x, ac), (y, bc), n, |x, y| float_order(*x, *y))
        }
        (Data::Int { values: x, .. }, Data::Int { values: y, .. }) => {
            test(op, (x, ac), (y, bc), n, |x, y| x.cmp(y))
        }
        (Data::Text(x), Data::Text(y)) => {
            test(op, (x, ac), (y, bc), n, |x, y| x.as_bytes().cmp(y.as_bytes()))
        }
        (Data::Time(x), Data::Time(y)) | (Data::Interval(x), Data::Interval(y)) => {
            test(op, (x, ac), (y, bc), n, |x, y| x.cmp(y))
        }
        (Data::Bool(x), Data::Bool(y)) => Bits::of(n, |row| {
            holds(op, x.get(if ac { 0 } else { row }).cmp(&y.get(if bc { 0 } else { row })))
        }),
        (x, y) => match (floats(x), floats(y)) {
            (Some(x), Some(y)) => test(op, (&x, ac), (&y, bc), n, |x, y| float_order(*x, *y)),
            _ => return mismatch(valid, n, cx),
        },
    };
    Vector::with(Data::Bool(bits), valid)
}

/// A value as a truth value: Booleans, and texts that say one.
pub fn truth<'a>(a: Vector<'a>, n: usize, cx: &mut Context) -> Vector<'a> {
    match a.kind() {
        Kind::Bool if a.constant => {
            let valid = a.validity(n);
            Vector::with(Data::Bool(a.trues(n)), valid)
        }
        Kind::Bool | Kind::Null => a,
        _ => {
            let valid = a.validity(n);
            mismatch(valid, n, cx)
        }
    }
}

/// IS DISTINCT FROM: NULL is a value like any other.
pub fn distinct<'a>(
    a: &Vector<'a>,
    b: &Vector<'a>,
    negated: bool,
    n: usize,
    cx: &mut Context,
) -> Vector<'a> {
    let full = || Bits::new(n, true);
    let (va, vb) = (a.validity(n).unwrap_or_else(full), b.validity(n).unwrap_or_else(full));
    let equal = compare(CompareOp::Eq, a, b, n, cx).trues(n);
    let same = equal.or(&va.or(&vb).not());
    Vector::new(Data::Bool(if negated { same } else { same.not() }))
}

pub fn is_in<'a>(
    a: &Vector<'a>,
    list: &[Vector<'a>],
    negated: bool,
    n: usize,
    cx: &mut Context,
) -> Vector<'a> {
    let (mut yes, mut unknown) = (Bits::new(n, false), Bits::new(n, false));
    for item in list {
        let equal = compare(CompareOp::Eq, a, item, n, cx);
        yes = yes.or(&equal.trues(n));
        if let Some(valid) = equal.validity(n) {
            unknown = unknown.or(&valid.not());
        }
    }
    let known = unknown.and_not(&yes).not();
    let valid = (known.count() < n).then_some(known);
    Vector::with(Data::Bool(if negated { yes.not() } else { yes }), valid)
}

pub fn between<'a>(
    value: &Vector<'a>,
    low: &Vector<'a>,
    high: &Vector<'a>,
    negated: bool,
    n: usize,
    cx: &mut Context,
) -> Vector<'a> {
    let full = || Bits::new(n, true);
    let above = compare(CompareOp::Ge, value, low, n, cx);
    let below = compare(CompareOp::Le, value, high, n, cx);
    let (a, b) = (above.trues(n), below.trues(n));
    let (va, vb) = (above.validity(n).unwrap_or_else(full), below.validity(n).unwrap_or_else(full));
    let yes = a.and(&b);
    let no = va.and_not(&a).or(&vb.and_not(&b));
    let known = yes.or(&no);
    let valid = (known.count() < n).then_some(known);
    Vector::with(Data::Bool(if negated { yes.not() } else { yes }), valid)
}

/// The kind that values of both kinds can be turned into without a cast.
pub fn common(a: Kind, b: Kind) -> Option<Kind> {
    match (a, b) {
        (a, b) if a == b => Some(a),
        (Kind::Null, other) | (other, Kind::Null) => Some(other),
        (Kind::Any, other) | (other, Kind::Any) => Some(other),
        (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Some(Kind::Float),
        _ => None,
    }
}

/// Puts together a column from branches: for each row the value of the branch that claims it, NULL
/// if none does. Literal texts become what the others are.
pub fn select<'a>(branches: &[(Bits, Vector<'a>)], n: usize, cx: &mut Context) -> Vector<'a> {
    let mut kind = Kind::Null;
    let literal = |v: &Vector<'_>| v.constant && v.kind() == Kind::Text;
    for pass in [false, true] {
        for (rows, branch) in branches.iter().filter(|(_, branch)| literal(branch) == pass) {
            match common(kind, branch.kind()) {
                Some(both) => kind = both,
                None if pass => {}
                None => {
                    let _ = rows;
                    return mismatch(None, n, cx);
                }
            }
        }
    }
    let coerced: Vec<(&Bits, Cow<'_, Vector<'a>>)> = branches
        .iter()
        .map(|(rows, branch)| match branch.kind() == kind || branch.is_null() {
            true => (rows, Cow::Borrowed(branch)),
            false => (rows, Cow::Owned(coerce(branch, kind, cx))),
        })
        .collect();
    let chosen =
        |row: usize| coerced.iter().find(|(rows, _)| rows.get(row)).map(|(_, v)| v.as_ref());
    let valid = Bits::of(n, |row| chosen(row).is_some_and(|v| v.is_valid(row)));
    let unsigned = coerced.iter().any(|(_, v)| matches!(v.data, Data::Int { unsigned: true, .. }));
    macro_rules! gather {
        ($variant:ident, $default:expr, $clone:expr) => {
            Data::$variant(
                (0..n)
                    .map(|row| match chosen(row).map(|v| (&v.data, v.place(row))) {
                        Some((Data::$variant(values), at)) => $clone(&values[at]),
                        _ => $default,
                    })
                    .collect(),
            )
        };
    }
    let data = match kind {
        Kind::Null | Kind::Any => return Vector::null(),
        Kind::Bool => Data::Bool(Bits::of(n, |row| {
            chosen(row).is_some_and(|v| matches!(v.cell(row), Cell::Bool(true)))
        })),
        Kind::Int => Data::Int {
            values: (0..n)
                .map(|row| match chosen(row).map(|v| v.cell(row)) {
                    Some(Cell::Int(value, _)) => value,
                    _ => 0,
                })
                .collect(),
            unsigned,
        },
        Kind::Float => gather!(Float, 0.0, |v: &f64| *v),
        Kind::Text => gather!(Text, Cow::Borrowed(""), |v: &Cow<'a, str>| v.clone()),
        Kind::Time => gather!(Time, 0, |v: &i64| *v),
        Kind::Interval => gather!(Interval, 0, |v: &i64| *v),
    };
    let valid = (valid.count() < n).then_some(valid);
    Vector::with(data, valid)
}
