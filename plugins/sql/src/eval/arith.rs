//! Arithmetic. Integers are worked on in 128 bits; what fits neither 64-bit type becomes NULL and is
//! counted, as do division by zero and floats that are not finite.

use super::{Context, both};
use crate::ast::ArithOp;
use crate::vector::{Bits, Data, Vector};

/// Whether an integer fits one of the 64-bit types.
#[inline]
pub fn fits(value: i128) -> bool {
    value >= i128::from(i64::MIN) && value <= i128::from(u64::MAX)
}

/// Why a row has no result.
#[derive(Clone, Copy)]
pub enum Fault {
    Overflow,
    Zero,
    Domain,
}

/// Applies `f` to each pair of values where both are valid.
pub fn zip<A: Copy, B: Copy, R: Default>(
    (a, a_const): (&[A], bool),
    (b, b_const): (&[B], bool),
    valid: Option<Bits>,
    n: usize,
    cx: &mut Context,
    f: impl Fn(A, B) -> Result<R, Fault>,
) -> (Vec<R>, Option<Bits>) {
    let mut out = Vec::with_capacity(n);
    let mut failed: Option<Bits> = None;
    let (a_step, b_step) = (usize::from(!a_const), usize::from(!b_const));
    for row in 0..n {
        if valid.as_ref().is_some_and(|valid| !valid.get(row)) {
            out.push(R::default());
            continue;
        }
        match f(a[row * a_step], b[row * b_step]) {
            Ok(value) => out.push(value),
            Err(fault) => {
                out.push(R::default());
                failed
                    .get_or_insert_with(|| valid.clone().unwrap_or_else(|| Bits::new(n, true)))
                    .clear(row);
                if cx.counts(row) {
                    match fault {
                        Fault::Overflow => cx.failures.overflow += 1,
                        Fault::Zero => cx.failures.zero += 1,
                        Fault::Domain => cx.failures.domain += 1,
                    }
                }
            }
        }
    }
    (out, failed.or(valid))
}

/// As [`zip`] for one operand.
pub fn map<A: Copy, R: Default>(
    a: (&[A], bool),
    valid: Option<Bits>,
    n: usize,
    cx: &mut Context,
    f: impl Fn(A) -> Result<R, Fault>,
) -> (Vec<R>, Option<Bits>) {
    zip(a, (&[()], true), valid, n, cx, |a, ()| f(a))
}

/// NULL for all rows, because the kinds do not go together.
pub fn mismatch<'a>(valid: Option<Bits>, n: usize, cx: &mut Context) -> Vector<'a> {
    cx.failures.kinds += cx.count(valid.as_ref(), n);
    Vector::null()
}

/// The values as floats, if they are numbers.
pub fn floats<'v>(data: &'v Data<'_>) -> Option<std::borrow::Cow<'v, [f64]>> {
    match data {
        Data::Float(values) => Some(values.as_slice().into()),
        Data::Int { values, .. } => {
            Some(values.iter().map(|v| *v as f64).collect::<Vec<_>>().into())
        }
        _ => None,
    }
}

pub fn negate<'a>(a: Vector<'a>, n: usize, cx: &mut Context) -> Vector<'a> {
    let valid = a.validity(n);
    let (data, valid) = match &a.data {
        Data::Null => return a,
        Data::Float(values) => {
            let (values, valid) = map((values, a.constant), valid, n, cx, |v| Ok(-v));
            (Data::Float(values), valid)
        }
        Data::Int { values, .. } => {
            let (values, valid) = map((values, a.constant), valid, n, cx, |v| integer(Some(-v)));
            (Data::Int { values, unsigned: false }, valid)
        }
        Data::Interval(values) => {
            let (values, valid) =
                map((values, a.constant), valid, n, cx, |v| v.checked_neg().ok_or(Fault::Overflow));
            (Data::Interval(values), valid)
        }
        _ => return mismatch(valid, n, cx),
    };
    Vector::with(data, valid)
}

fn integer(value: Option<i128>) -> Result<i128, Fault> {
    value.filter(|value| fits(*value)).ok_or(Fault::Overflow)
}

fn float(value: f64) -> Result<f64, Fault> {
    if value.is_finite() { Ok(value) } else { Err(Fault::Overflow) }
}

pub fn arith<'a>(
    op: ArithOp,
    a: Vector<'a>,
    b: Vector<'a>,
    n: usize,
    cx: &mut Context,
) -> Vector<'a> {
    if a.is_null() || b.is_null() {
        return Vector::null();
    }
    let valid = both(&a.validity(n), &b.validity(n));
    let (ac, bc) = (a.constant, b.constant);
    use ArithOp::{Add, Div, Mod, Mul, Sub};
    let (data, valid) = match (&a.data, &b.data, op) {
        (Data::Int { values: x, unsigned: xu }, Data::Int { values: y, unsigned: yu }, _) => {
            let (values, valid) =
                zip((x, ac), (y, bc), valid, n, cx, |x: i128, y: i128| match op {
                    Add => integer(x.checked_add(y)),
                    Sub => integer(x.checked_sub(y)),
                    Mul => integer(x.checked_mul(y)),
                    Div | Mod if y == 0 => Err(Fault::Zero),
                    Div => integer(Some(x / y)),
                    Mod => Ok(x % y),
                });
            (Data::Int { values, unsigned: *xu || *yu }, valid)
        }
        (Data::Time(x), Data::Interval(y), Add | Sub) => {
            let (values, valid) =
                zip((x, ac), (y, bc), valid, n, cx, |x: i64, y: i64| span(op, x, y));
            (Data::Time(values), valid)
        }
        (Data::Interval(x), Data::Time(y), Add) => {
            let (values, valid) =
                zip((x, ac), (y, bc), valid, n, cx, |x: i64, y: i64| span(op, x, y));
            (Data::Time(values), valid)
        }
        (Data::Time(x), Data::Time(y), Sub) | (Data::Interval(x), Data::Interval(y), Add | Sub) => {
            let (values, valid) =
                zip((x, ac), (y, bc), valid, n, cx, |x: i64, y: i64| span(op, x, y));
            (Data::Interval(values), valid)
        }
        (Data::Interval(x), Data::Int { values: y, .. }, Mul | Div) => {
            let (values, valid) = zip((x, ac), (y, bc), valid, n, cx, |x: i64, y: i128| match op {
                Div if y == 0 => Err(Fault::Zero),
                Div => whole(Some(shared(x.into(), y))),
                _ => whole(y.checked_mul(x.into())),
            });
            (Data::Interval(values), valid)
        }
        (Data::Int { values: x, .. }, Data::Interval(y), Mul) => {
            let (values, valid) = zip((x, ac), (y, bc), valid, n, cx, |x: i128, y: i64| {
                whole(x.checked_mul(y.into()))
            });
            (Data::Interval(values), valid)
        }
        (Data::Interval(x), y, Mul | Div) if floats(y).is_some() => {
            let y = floats(y).unwrap_or_default();
            let (values, valid) = zip((x, ac), (&y, bc), valid, n, cx, |x: i64, y: f64| match op {
                Div if y == 0.0 => Err(Fault::Zero),
                Div => nanos(x as f64 / y),
                _ => nanos(x as f64 * y),
            });
            (Data::Interval(values), valid)
        }
        (x, Data::Interval(y), Mul) if floats(x).is_some() => {
            let x = floats(x).unwrap_or_default();
            let (values, valid) =
                zip((&x, ac), (y, bc), valid, n, cx, |x: f64, y: i64| nanos(x * y as f64));
            (Data::Interval(values), valid)
        }
        (x, y, _) => {
            let (Some(x), Some(y)) = (floats(x), floats(y)) else { return mismatch(valid, n, cx) };
            let (values, valid) =
                zip((&x, ac), (&y, bc), valid, n, cx, |x: f64, y: f64| match op {
                    Add => float(x + y),
                    Sub => float(x - y),
                    Mul => float(x * y),
                    Div | Mod if y == 0.0 => Err(Fault::Zero),
                    Div => float(x / y),
                    Mod => float(x % y),
                });
            (Data::Float(values), valid)
        }
    };
    Vector::with(data, valid)
}

fn span(op: ArithOp, x: i64, y: i64) -> Result<i64, Fault> {
    if op == ArithOp::Sub { x.checked_sub(y) } else { x.checked_add(y) }.ok_or(Fault::Overflow)
}

fn whole(value: Option<i128>) -> Result<i64, Fault> {
    value.and_then(|value| i64::try_from(value).ok()).ok_or(Fault::Overflow)
}

/// A quotient, rounded to the nearest integer, a half to the even one. Both fit 65 bits.
fn shared(x: i128, y: i128) -> i128 {
    let (down, rest) = (x.div_euclid(y), x.rem_euclid(y));
    // Towards larger quotients, which for a negative divisor are the lesser ones of the division.
    let up = if y > 0 { down + 1 } else { down - 1 };
    match (rest * 2).cmp(&y.abs()) {
        std::cmp::Ordering::Less => down,
        std::cmp::Ordering::Greater => up,
        std::cmp::Ordering::Equal => down + down.rem_euclid(2) * (up - down),
    }
}

fn nanos(value: f64) -> Result<i64, Fault> {
    let value = value.round_ties_even();
    // 2^63 itself does not fit.
    if (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&value) {
        Ok(value as i64)
    } else {
        Err(Fault::Overflow)
    }
}
