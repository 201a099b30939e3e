//! Two stacks that are one queue: what enters is added to the sum of the back; when the front is empty,
//! it is made of all rows at once, each with the sum from it on. Each row is added twice at most, and
//! nothing is ever subtracted.

use super::history::View;
use super::slide::number;
use crate::accumulate::held::Held;
use crate::accumulate::numbers::{Deviation, FloatSum};

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

impl Fold for FloatSum {
    #[inline]
    fn add(&mut self, value: &Held) {
        if let Held::Float(value) = value {
            self.add(*value);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Fold for Deviation {
    #[inline]
    fn add(&mut self, value: &Held) {
        if let Some(value) = number(value) {
            self.add(value);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }
}
