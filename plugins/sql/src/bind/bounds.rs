//! Bounds in time: comparisons that say how far a partner's time may lie from a point's.

use super::err;
use super::join::term;
use crate::ast::{ArithOp, CompareOp, Expr, ExprKind};
use crate::error::Result;

/// A sum of both sources' times and a length of time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Linear {
    /// How often each time counts.
    pub times: [i32; 2],
    pub nanos: i128,
}

impl Linear {
    fn plus(self, other: Linear, sign: i32) -> Linear {
        let time = |at: usize| self.times[at].saturating_add(other.times[at].saturating_mul(sign));
        let nanos = self.nanos.saturating_add(other.nanos.saturating_mul(i128::from(sign)));
        Linear { times: [time(0), time(1)], nanos }
    }
}

fn linear(expr: &Expr, names: &[String; 2]) -> Option<Linear> {
    match &expr.kind {
        ExprKind::Arith { op: ArithOp::Add, left, right } => {
            Some(linear(left, names)?.plus(linear(right, names)?, 1))
        }
        ExprKind::Arith { op: ArithOp::Sub, left, right } => {
            Some(linear(left, names)?.plus(linear(right, names)?, -1))
        }
        ExprKind::Negate(inner) => Some(Linear::default().plus(linear(inner, names)?, -1)),
        _ => term(expr, names),
    }
}

/// From where to where a partner's time less the point's own may lie, both included.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    pub low: Option<i64>,
    pub high: Option<i64>,
}

impl Bounds {
    /// Takes a comparison of both times; whether it is one.
    pub fn take(&mut self, expr: &Expr, names: &[String; 2]) -> Result<bool> {
        let ExprKind::Compare { op, left, right } = &expr.kind else { return Ok(false) };
        let (Some(left), Some(right)) = (linear(left, names), linear(right, names)) else {
            return Ok(false);
        };
        let all = left.plus(right, -1);
        // The partner's time less the point's, compared with a length of time.
        let (op, nanos) = match (all.times, op) {
            ([-1, 1], op) => (*op, -all.nanos),
            ([1, -1], CompareOp::Lt) => (CompareOp::Gt, all.nanos),
            ([1, -1], CompareOp::Le) => (CompareOp::Ge, all.nanos),
            ([1, -1], CompareOp::Gt) => (CompareOp::Lt, all.nanos),
            ([1, -1], CompareOp::Ge) => (CompareOp::Le, all.nanos),
            ([1, -1], op) => (*op, all.nanos),
            _ => return Ok(false),
        };
        let exactly = |nanos: i128| match i64::try_from(nanos) {
            Ok(nanos) => Ok(nanos),
            Err(_) => err(expr.area, "the bound does not fit 64 bits of nanoseconds"),
        };
        let (low, high) = match op {
            CompareOp::Lt => (None, Some(exactly(nanos - 1)?)),
            CompareOp::Le => (None, Some(exactly(nanos)?)),
            CompareOp::Gt => (Some(exactly(nanos + 1)?), None),
            CompareOp::Ge => (Some(exactly(nanos)?), None),
            CompareOp::Eq => (Some(exactly(nanos)?), Some(exactly(nanos)?)),
            CompareOp::Ne => return Ok(false),
        };
        // The tighter of two counts.
        self.low = low.max(self.low);
        self.high = match (self.high, high) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Ok(true)
    }
}
