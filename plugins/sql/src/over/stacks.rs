//! Two stacks that are one queue: what enters is added to the sum of the back; when the front is empty,
//! it is made of all rows at once, each with the sum from it on. Each row is added twice at most, and
//! nothing is ever subtracted.

use headwater_plugin_api::window::codec::{Broken, Read, Reader, put, put_float};

use super::history::View;
use super::slide::number;
use crate::accumulate::held::Held;
use crate::plan::AggregateFunction;

/// A sum of a kind.
pub trait Fold: Clone + Default {
    fn add(&mut self, value: &Held);
    fn merge(&mut self, other: &Self);
    /// Nothing was added.
    fn is_empty(&self) -> bool;
}

#[derive(Default)]
pub struct Stacks<T> {
    /// The sums from each row on, the first row's last.
    front: Vec<T>,
    pub back: T,
}

impl<T: Fold> Stacks<T> {
    #[inline]
    pub fn push(&mut self, value: &Held) {
        self.back.add(value);
    }

    /// The view's first row leaves.
    pub fn evict(&mut self, view: &View<'_>) {
        if self.front.is_empty() {
            if self.back.is_empty() {
                return;
            }
            let mut sum = T::default();
            for row in (view.start..view.end).rev() {
                sum.add(view.get(row));
                self.front.push(sum.clone());
            }
            self.back = T::default();
        }
        self.front.pop();
        if self.front.is_empty() && self.front.capacity() > 1024 {
            self.front = Vec::new();
        }
    }

    pub fn total(&self) -> T {
        let mut total = self.front.last().cloned().unwrap_or_default();
        total.merge(&self.back);
        total
    }

    /// Nothing that counts is left.
    pub fn clear(&mut self) {
        self.front.clear();
        self.back = T::default();
    }

    pub fn byte_size(&self) -> usize {
        self.front.capacity() * size_of::<T>()
    }
}

/// A sum of floats with what was rounded off.
#[derive(Debug, Clone, Copy, Default)]
pub struct Exact {
    sum: f64,
    lost: f64,
    any: bool,
}

impl Exact {
    /// Knuth's sum of two numbers with what its rounding takes away.
    #[inline]
    fn plus(&mut self, value: f64) {
        let total = self.sum + value;
        let back = total - self.sum;
        self.lost += (self.sum - (total - back)) + (value - back);
        self.sum = total;
    }

    pub fn value(&self) -> f64 {
        // Out of range the lost bits are no number.
        self.sum + if self.lost.is_finite() { self.lost } else { 0.0 }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put_float(out, self.sum);
        put_float(out, self.lost);
    }

    pub fn read(from: &mut Reader<'_>) -> Read<Exact> {
        Ok(Exact { sum: from.float()?, lost: from.float()?, any: true })
    }
}

impl Fold for Exact {
    fn add(&mut self, value: &Held) {
        if let Held::Float(value) = value {
            self.plus(*value);
            self.any = true;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.plus(other.sum);
        self.lost += other.lost;
        self.any |= other.any;
    }

    fn is_empty(&self) -> bool {
        !self.any
    }
}

/// Count, mean and sum of squared distances from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
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

    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.count as u64);
        put_float(out, self.mean);
        put_float(out, self.squares);
    }

    pub fn read(from: &mut Reader<'_>) -> Read<Moments> {
        let count = from.number()? as f64;
        let read = Moments { count, mean: from.float()?, squares: from.float()? };
        if read.squares < 0.0 { Err(Broken) } else { Ok(read) }
    }
}

impl Fold for Moments {
    fn add(&mut self, value: &Held) {
        let Some(value) = number(value) else { return };
        self.count += 1.0;
        let from = value - self.mean;
        self.mean += from / self.count;
        self.squares += from * (value - self.mean);
    }

    /// After Chan, Golub and LeVeque.
    fn merge(&mut self, other: &Self) {
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

    fn is_empty(&self) -> bool {
        self.count == 0.0
    }
}
