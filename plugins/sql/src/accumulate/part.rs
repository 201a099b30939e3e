//! The accumulators behind one face, and which calls share one.

use super::approx::Approx;
use super::codec::{Broken, Read, Reader};
use super::counter::Counter;
use super::distinct::Distinct;
use super::ends::Ends;
use super::exact::Exact;
use super::extreme::{Extreme, Spread};
use super::histogram::Histogram;
use super::joined::Joined;
use super::kernel::To;
use super::line::Lines;
use super::moments::Moments;
use super::quantiles::Quantiles;
use super::sum::{Count, Sum};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::plan::{AggregateCall, AggregateFunction};
use crate::vector::Vector;

/// What is accumulated: several functions may be read from one. The numbers stand in states that are
/// written and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    Count = 1,
    Sum = 2,
    Min = 3,
    Max = 4,
    Spread = 5,
    First = 6,
    Last = 7,
    Moments = 8,
    Quantiles = 9,
    Approx = 10,
    Distinct = 11,
    Line = 12,
    Histogram = 13,
    Ranked = 14,
    Exact = 15,
    Joined = 16,
    Counter = 17,
}

impl Family {
    /// What a function is read from.
    pub fn of(function: AggregateFunction) -> Family {
        use AggregateFunction as A;
        match function {
            A::Count => Family::Count,
            A::Sum | A::Avg => Family::Sum,
            A::Min => Family::Min,
            A::Max => Family::Max,
            A::Spread => Family::Spread,
            // Any value will do: the first does not depend on the points' order.
            A::First | A::AnyValue => Family::First,
            A::Last => Family::Last,
            A::Stddev | A::StddevPop | A::Variance | A::VariancePop => Family::Moments,
            A::Quantile(_) => Family::Quantiles,
            A::ApproxDistinct => Family::Approx,
            A::Forecast(_) => Family::Line,
            A::Histogram(_) => Family::Histogram,
            A::Mode | A::TopK(_) => Family::Ranked,
            A::ExactQuantile(_) => Family::Exact,
            A::StringAgg(_) => Family::Joined,
            A::Increase | A::Rate | A::Delta => Family::Counter,
        }
    }

    /// What a call is read from.
    pub fn of_call(call: &AggregateCall) -> Family {
        if call.distinct.is_some() { Family::Distinct } else { Family::of(call.function) }
    }

    /// Whether both calls are read from the same over one input.
    pub fn is_shared(a: &AggregateCall, b: &AggregateCall) -> bool {
        let limits = |call: &AggregateCall| match call.function {
            AggregateFunction::Histogram(limits) => Some(limits),
            _ => None,
        };
        Family::of_call(a) == Family::of_call(b) && limits(a) == limits(b)
    }
}

/// An accumulator of any family.
pub enum Part {
    Count(Count),
    Sum(Sum),
    Extreme(Extreme),
    Spread(Spread),
    Ends(Ends),
    Moments(Moments),
    Quantiles(Quantiles),
    Approx(Approx),
    Distinct(Distinct),
    Line(Lines),
    Histogram(Box<Histogram>),
    Exact(Exact),
    Joined(Joined),
    Counter(Counter),
}

macro_rules! each_family {
    ($part:expr, $inner:ident => $does:expr) => {
        match $part {
            Part::Count($inner) => $does,
            Part::Sum($inner) => $does,
            Part::Extreme($inner) => $does,
            Part::Spread($inner) => $does,
            Part::Ends($inner) => $does,
            Part::Moments($inner) => $does,
            Part::Quantiles($inner) => $does,
            Part::Approx($inner) => $does,
            Part::Distinct($inner) => $does,
            Part::Line($inner) => $does,
            Part::Histogram($inner) => $does,
            Part::Exact($inner) => $does,
            Part::Joined($inner) => $does,
            Part::Counter($inner) => $does,
        }
    };
}

impl Part {
    /// An accumulator without groups.
    pub fn new(call: &AggregateCall) -> Part {
        match Family::of_call(call) {
            Family::Count => Part::Count(Count::default()),
            Family::Sum => Part::Sum(Sum::default()),
            Family::Min => Part::Extreme(Extreme::new(false)),
            Family::Max => Part::Extreme(Extreme::new(true)),
            Family::Spread => Part::Spread(Spread::new()),
            Family::First => Part::Ends(Ends::new(false)),
            Family::Last => Part::Ends(Ends::new(true)),
            Family::Moments => Part::Moments(Moments::default()),
            Family::Quantiles => Part::Quantiles(Quantiles::default()),
            Family::Approx => Part::Approx(Approx::default()),
            Family::Distinct => Part::Distinct(Distinct::new(call.distinct.unwrap_or(0), false)),
            Family::Line => Part::Line(Lines::default()),
            Family::Histogram => Part::Histogram(Box::new(Histogram::new(&call.function))),
            Family::Ranked => Part::Distinct(Distinct::new(call.room, true)),
            Family::Exact => Part::Exact(Exact::new(call.room)),
            Family::Joined => Part::Joined(Joined::new(call.room)),
            Family::Counter => Part::Counter(Counter::new(call.room)),
        }
    }

    pub fn clear(&mut self) {
        each_family!(self, inner => inner.clear());
    }

    pub fn byte_size(&self) -> usize {
        each_family!(self, inner => inner.byte_size())
    }

    pub fn is_mixed(&self, groups: &[u32]) -> bool {
        each_family!(self, inner => inner.is_mixed(groups))
    }

    pub fn retain(&mut self, keep: &[bool]) {
        each_family!(self, inner => inner.retain(keep));
    }

    pub fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        each_family!(self, inner => inner.add(values, input, failures));
    }

    pub fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        each_family!(self, inner => inner.finish(function, groups, failures))
    }

    /// Adds another one of the same family.
    pub fn merge(&mut self, other: &Part, len: usize, to: To<'_>) {
        match (self, other) {
            (Part::Count(own), Part::Count(other)) => own.merge(other, len, to),
            (Part::Sum(own), Part::Sum(other)) => own.merge(other, len, to),
            (Part::Extreme(own), Part::Extreme(other)) => own.merge(other, len, to),
            (Part::Spread(own), Part::Spread(other)) => own.merge(other, len, to),
            (Part::Ends(own), Part::Ends(other)) => own.merge(other, len, to),
            (Part::Moments(own), Part::Moments(other)) => own.merge(other, len, to),
            (Part::Quantiles(own), Part::Quantiles(other)) => own.merge(other, len, to),
            (Part::Approx(own), Part::Approx(other)) => own.merge(other, len, to),
            (Part::Distinct(own), Part::Distinct(other)) => own.merge(other, len, to),
            (Part::Line(own), Part::Line(other)) => own.merge(other, len, to),
            (Part::Histogram(own), Part::Histogram(other)) => own.merge(other, len, to),
            (Part::Exact(own), Part::Exact(other)) => own.merge(other, len, to),
            (Part::Joined(own), Part::Joined(other)) => own.merge(other, len, to),
            (Part::Counter(own), Part::Counter(other)) => own.merge(other, len, to),
            _ => debug_assert!(false, "accumulators of other aggregates cannot be merged"),
        }
    }

    /// Writes all groups.
    pub fn write(&self, out: &mut Vec<u8>) {
        each_family!(self, inner => inner.write(out));
    }

    /// Reads all groups, at most `most`, into an accumulator that has none.
    pub fn read(&mut self, most: usize, from: &mut Reader<'_>) -> Read<()> {
        each_family!(self, inner => inner.read(most, from))
    }

    /// Writes one group so that it can stand alone.
    pub fn write_one(&self, group: usize, out: &mut Vec<u8>) {
        each_family!(self, inner => {
            inner.write_head(Some(group), out);
            inner.write_group(group, out);
        });
    }

    /// Reads what stood alone as group 0 of an accumulator that has none.
    pub fn read_one(&mut self, from: &mut Reader<'_>) -> Read<()> {
        each_family!(self, inner => {
            inner.read_head(1, from)?;
            inner.read_group(0, from)
        })?;
        from.end().map_err(|_| Broken)
    }
}
