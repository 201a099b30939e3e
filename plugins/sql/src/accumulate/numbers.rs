//! What is known of the numbers of one group or frame.

use super::codec::{Read, Reader, put_float};
use crate::plan::AggregateFunction;

/// A count and sum of floats, with their lost low bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct FloatSum {
    sum: f64,
    /// What was rounded off.
    lost: f64,
    pub count: u64,
}

impl FloatSum {
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.plus(value);
        self.count = self.count.wrapping_add(1);
    }

    /// Knuth's sum of two numbers with what its rounding takes away.
    #[inline]
    fn plus(&mut self, value: f64) {
        let total = self.sum + value;
        let back = total - self.sum;
        self.lost += (self.sum - (total - back)) + (value - back);
        self.sum = total;
    }

    pub fn merge(&mut self, other: &FloatSum) {
        self.plus(other.sum);
        self.lost += other.lost;
        self.count = self.count.saturating_add(other.count);
    }

    pub fn value(&self) -> f64 {
        // Out of range the lost bits are no number.
        self.sum + if self.lost.is_finite() { self.lost } else { 0.0 }
    }

    /// Writes all but the count.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_float(out, self.sum);
        put_float(out, self.lost);
    }

    /// Reads what that many floats wrote.
    pub fn read(count: u64, from: &mut Reader<'_>) -> Read<FloatSum> {
        Ok(FloatSum { sum: from.float()?, lost: from.float()?, count })
    }
}

/// Count, mean and sum of squared distances from it, kept up to date value by value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deviation {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Deviation {
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        let from = value - self.mean;
        self.mean += from / self.count;
        self.squares += from * (value - self.mean);
    }

    /// Adds what was collected elsewhere (after Chan, Golub and LeVeque).
    pub fn merge(&mut self, other: &Deviation) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *other;
            return;
        }
        let count = self.count + other.count;
        let (apart, share) = (other.mean - self.mean, other.count / count);
        self.squares += other.squares + apart * apart * self.count * share;
        self.mean += apart * share;
        self.count = count;
    }

    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// The variance or standard deviation; none of too few values.
    pub fn result(&self, function: AggregateFunction) -> Option<f64> {
        use AggregateFunction::{Stddev, StddevPop, VariancePop};
        let population = matches!(function, StddevPop | VariancePop);
        let divisor = if population { self.count } else { self.count - 1.0 };
        if divisor <= 0.0 {
            return None;
        }
        let variance = self.squares / divisor;
        Some(if matches!(function, Stddev | StddevPop) { variance.sqrt() } else { variance })
    }

    /// Writes all but the count.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_float(out, self.mean);
        put_float(out, self.squares);
    }

    /// Reads what that many values wrote. Out of range their squares are any float.
    pub fn read(count: u64, from: &mut Reader<'_>) -> Read<Deviation> {
        Ok(Deviation { count: count as f64, mean: from.float()?, squares: from.float()? })
    }
}
