//! What is computed over a frame as it slides: a row enters at its end, others leave at its start.
//!
//! Whatever the length of the frame, a row costs a constant number of steps on average. Counts and sums
//! of integers are subtracted again, which is exact. Floats and moments stand in two stacks (see
//! [`stacks`](super::stacks)), the least, greatest, first and last values in a queue of those that may
//! still win (see [`best`](super::best)), sketches in blocks (see [`blocks`](super::blocks)). A frame
//! without a start keeps no values.

use headwater_plugin_api::window::codec::{Broken, Read, Reader, put, put_int};

use super::best::{Best, Order};
use super::blocks::Blocks;
use super::history::View;
use super::stacks::Stacks;
use crate::accumulate::held::Held;
use crate::accumulate::numbers::{Deviation, FloatSum};
use crate::error::Failures;
use crate::eval::fits;
use crate::plan::AggregateFunction;
use crate::vector::Cell;

/// What several functions over one frame and input are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Count,
    Sum,
    Best(Order),
    Spread,
    Moments,
    /// Sketches: quantiles, numbers of different values; lines and histograms.
    Blocks(AggregateFunction),
    /// The value of the first row, for a frame without a start.
    Opening,
}

impl Family {
    pub fn of(function: AggregateFunction) -> Family {
        use AggregateFunction as A;
        match function {
            A::Count => Family::Count,
            A::Sum | A::Avg => Family::Sum,
            A::Min => Family::Best(Order::Least),
            A::Max => Family::Best(Order::Greatest),
            A::First | A::AnyValue => Family::Best(Order::First),
            A::Last => Family::Best(Order::Last),
            A::Spread => Family::Spread,
            A::Stddev | A::StddevPop | A::Variance | A::VariancePop => Family::Moments,
            // All quantiles share one.
            A::Quantile(_) => Family::Blocks(A::Quantile(crate::plan::Share::HALF)),
            A::Forecast(_) => Family::Blocks(A::Forecast(0)),
            // Those that keep every value do not stand here.
            A::ApproxDistinct
            | A::Histogram(_)
            | A::Mode
            | A::TopK(_)
            | A::ExactQuantile(_)
            | A::StringAgg(_)
            | A::Increase
            | A::Rate
            | A::Delta => Family::Blocks(function),
        }
    }
}

/// What is known of a frame.
pub enum Slide {
    Count(u64),
    Sum(Sum),
    Best(Best),
    Spread(Box<[Best; 2]>),
    Moments(Stacks<Deviation>),
    Blocks(Box<Blocks>),
    Opening(Option<Held>),
}

/// Integers exactly, floats in stacks.
#[derive(Default)]
pub struct Sum {
    sum: i128,
    ints: u64,
    /// Integers that came as unsigned ones.
    unsigned: u64,
    floats: u64,
    stacks: Stacks<FloatSum>,
}

impl Slide {
    /// An empty frame; `bounded` if rows leave it.
    pub fn new(family: Family, bounded: bool) -> Slide {
        match family {
            Family::Count => Slide::Count(0),
            Family::Sum => Slide::Sum(Sum::default()),
            Family::Best(order) => Slide::Best(Best::new(order, bounded)),
            Family::Spread => Slide::Spread(Box::new([
                Best::new(Order::Least, bounded),
                Best::new(Order::Greatest, bounded),
            ])),
            Family::Moments => Slide::Moments(Stacks::default()),
            Family::Blocks(function) => Slide::Blocks(Box::new(Blocks::new(function))),
            Family::Opening => Slide::Opening(None),
        }
    }

    /// Bytes on the heap.
    pub fn byte_size(&self) -> usize {
        match self {
            Slide::Count(_) | Slide::Opening(_) => 0,
            Slide::Sum(sum) => sum.stacks.byte_size(),
            Slide::Best(best) => best.byte_size(),
            Slide::Spread(both) => {
                2 * size_of::<Best>() + both[0].byte_size() + both[1].byte_size()
            }
            Slide::Moments(stacks) => stacks.byte_size(),
            Slide::Blocks(blocks) => size_of::<Blocks>() + blocks.byte_size(),
        }
    }

    /// A row enters, which is the view's last.
    pub fn push(&mut self, value: &Held, time: i64, view: &View<'_>, failures: &mut Failures) {
        match self {
            Slide::Count(count) => *count += u64::from(*value != Held::None),
            Slide::Sum(sum) => sum.push(value, failures),
            Slide::Best(best) => best.push(value, time, view, failures),
            Slide::Spread(both) => {
                if let Held::Text(_) = value {
                    failures.kinds += 1;
                    return;
                }
                both[0].push(value, time, view, failures);
                both[1].push(value, time, view, &mut Failures::default());
            }
            Slide::Moments(stacks) => match number(value) {
                Some(_) => stacks.push(value),
                None => failures.kinds += u64::from(*value != Held::None),
            },
            Slide::Blocks(blocks) => blocks.push(value, time, failures),
            Slide::Opening(first) => {
                first.get_or_insert_with(|| value.clone());
            }
        }
    }

    /// The view's first row leaves.
    pub fn evict(&mut self, view: &View<'_>) {
        let value = view.first();
        match self {
            Slide::Count(count) => *count -= u64::from(*value != Held::None).min(*count),
            Slide::Sum(sum) => sum.evict(value, view),
            Slide::Best(best) => best.evict(value, view),
            Slide::Spread(both) => {
                if !matches!(value, Held::Text(_)) {
                    both.iter_mut().for_each(|best| best.evict(value, view));
                }
            }
            Slide::Moments(stacks) => stacks.evict(view),
            Slide::Blocks(blocks) => blocks.evict(view),
            Slide::Opening(_) => {}
        }
    }

    /// The result over the view's rows.
    pub fn result(
        &self,
        function: AggregateFunction,
        view: &View<'_>,
        failures: &mut Failures,
    ) -> Held {
        match self {
            Slide::Count(count) => Held::Int(i64::try_from(*count).unwrap_or(i64::MAX)),
            Slide::Sum(sum) => sum.result(function == AggregateFunction::Avg, failures),
            Slide::Best(best) => best.result(view, failures),
            Slide::Spread(both) => {
                let least = both[0].result(view, failures);
                spread(&least, &both[1].result(view, &mut Failures::default()), failures)
            }
            Slide::Moments(stacks) => match stacks.total().result(function) {
                Some(value) => float(value, failures),
                None => Held::None,
            },
            Slide::Blocks(blocks) => blocks.result(function, view, failures),
            Slide::Opening(first) => first.clone().unwrap_or_default(),
        }
    }

    /// Writes a frame without a start; others are made again from their rows.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Slide::Count(count) => put(out, *count),
            Slide::Sum(sum) => {
                put_int(out, sum.sum);
                [sum.ints, sum.unsigned, sum.floats].iter().for_each(|n| put(out, *n));
                sum.stacks.total().write(out);
            }
            Slide::Best(best) => best.write(out),
            Slide::Spread(both) => both.iter().for_each(|best| best.write(out)),
            Slide::Moments(stacks) => {
                let total = stacks.total();
                put(out, total.count());
                total.write(out);
            }
            Slide::Blocks(blocks) => blocks.write(out),
            Slide::Opening(first) => {
                out.push(u8::from(first.is_some()));
                first.iter().for_each(|held| held.write(out));
            }
        }
    }

    /// Reads what such a frame wrote.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        match self {
            Slide::Count(count) => *count = from.number()?,
            Slide::Sum(sum) => {
                sum.sum = from.int()?;
                for count in [&mut sum.ints, &mut sum.unsigned, &mut sum.floats] {
                    *count = from.number()?;
                }
                if sum.unsigned > sum.ints {
                    return Err(Broken);
                }
                sum.stacks.back = FloatSum::read(sum.floats, from)?;
            }
            Slide::Best(best) => best.read(from)?,
            Slide::Spread(both) => both.iter_mut().try_for_each(|best| best.read(from))?,
            Slide::Moments(stacks) => stacks.back = Deviation::read(from.number()?, from)?,
            Slide::Blocks(blocks) => blocks.read(from)?,
            Slide::Opening(first) => {
                *first = match from.flags(1)? {
                    0 => None,
                    _ => Some(Held::read(from)?),
                };
            }
        }
        Ok(())
    }
}

impl Sum {
    fn push(&mut self, value: &Held, failures: &mut Failures) {
        match value {
            Held::Int(_) | Held::UInt(_) => {
                // 2^63 values of 64 bits fit.
                self.sum = self.sum.saturating_add(int(value));
                self.ints += 1;
                self.unsigned += u64::from(matches!(value, Held::UInt(_)));
            }
            Held::Float(_) => self.floats += 1,
            Held::None => {}
            _ => failures.kinds += 1,
        }
        // Rows without floats stand in the stacks as well while there are some: they leave in order.
        self.stacks.push(value);
    }

    fn evict(&mut self, value: &Held, view: &View<'_>) {
        match value {
            Held::Int(_) | Held::UInt(_) => {
                self.sum -= int(value);
                self.ints = self.ints.saturating_sub(1);
                let unsigned = u64::from(matches!(value, Held::UInt(_)));
                self.unsigned = self.unsigned.saturating_sub(unsigned);
            }
            _ => {}
        }
        if self.floats > 0 {
            self.stacks.evict(view);
        }
        if let Held::Float(_) = value {
            self.floats = self.floats.saturating_sub(1);
            if self.floats == 0 {
                self.stacks.clear();
            }
        }
    }

    fn result(&self, mean: bool, failures: &mut Failures) -> Held {
        let count = self.ints.saturating_add(self.floats);
        if count == 0 {
            return Held::None;
        }
        if !mean && self.floats == 0 {
            if !fits(self.sum) {
                failures.overflow += 1;
                return Held::None;
            }
            return Held::of(Cell::Int(self.sum, self.unsigned > 0));
        }
        let total = self.stacks.total().value() + self.sum as f64;
        float(if mean { total / count as f64 } else { total }, failures)
    }
}

/// A float; NULL and counted if it is none that can go out.
fn float(value: f64, failures: &mut Failures) -> Held {
    if value.is_finite() {
        return Held::Float(value);
    }
    failures.overflow += 1;
    Held::None
}

pub fn int(value: &Held) -> i128 {
    match value {
        Held::Int(value) => (*value).into(),
        Held::UInt(value) => (*value).into(),
        _ => 0,
    }
}

/// A number as a float.
pub fn number(value: &Held) -> Option<f64> {
    match value {
        Held::Float(value) => Some(*value),
        Held::Int(value) => Some(*value as f64),
        Held::UInt(value) => Some(*value as f64),
        _ => None,
    }
}

/// The greatest value less the least.
fn spread(least: &Held, greatest: &Held, failures: &mut Failures) -> Held {
    match (least, greatest) {
        (Held::Time(a), Held::Time(b)) | (Held::Interval(a), Held::Interval(b)) => {
            Held::Interval(b.saturating_sub(*a))
        }
        (Held::Int(_) | Held::UInt(_), Held::Int(_) | Held::UInt(_)) => {
            let spread = int(greatest) - int(least);
            let unsigned = matches!(least, Held::UInt(_)) || matches!(greatest, Held::UInt(_));
            if fits(spread) {
                return Held::of(Cell::Int(spread, unsigned));
            }
            failures.overflow += 1;
            Held::None
        }
        _ => match (number(least), number(greatest)) {
            (Some(a), Some(b)) => float(b - a, failures),
            _ => Held::None,
        },
    }
}
