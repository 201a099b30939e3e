//! Counters: what they went up by, whether or not they were reset in between.
//!
//! A group may hold several series, each a counter of its own. Its points are kept, for one that comes
//! late may stand between any two; the value from before the window is one of them.

use std::cmp::Ordering;

use super::codec::{Broken, Read, Reader, put_float, put_int, put_time};
use super::held::{self, Held};
use super::kernel::{To, count};
use super::lists::{Kept, Lists, by_lists};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::eval::fits;
use crate::plan::AggregateFunction;
use crate::vector::{Cell, Vector};

/// A counter's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    Int(i64),
    UInt(u64),
    Float(f64),
}

impl Number {
    fn of(cell: Cell<'_>) -> Option<Number> {
        Some(match cell {
            Cell::Int(value, unsigned) => match (i64::try_from(value), unsigned && value >= 0) {
                (Ok(value), false) => Number::Int(value),
                _ => Number::UInt(value as u64),
            },
            Cell::Float(value) => Number::Float(value),
            _ => return None,
        })
    }

    fn int(self) -> Option<i128> {
        match self {
            Number::Int(value) => Some(value.into()),
            Number::UInt(value) => Some(value.into()),
            Number::Float(_) => None,
        }
    }

    fn float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::UInt(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    fn order(self, other: Number) -> Ordering {
        match (self.int(), other.int()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => self.float().total_cmp(&other.float()),
        }
    }

    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Number::Int(value) => {
                out.push(0);
                put_int(out, value.into());
            }
            Number::UInt(value) => {
                out.push(1);
                put_int(out, value.into());
            }
            Number::Float(value) => {
                out.push(2);
                put_float(out, value);
            }
        }
    }

    pub fn read(from: &mut Reader<'_>) -> Read<Number> {
        Ok(match from.byte()? {
            0 => Number::Int(i64::try_from(from.int()?).map_err(|_| Broken)?),
            1 => Number::UInt(u64::try_from(from.int()?).map_err(|_| Broken)?),
            2 => Number::Float(from.finite()?),
            _ => return Err(Broken),
        })
    }
}

/// A counter's value at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Tells its series from others.
    pub series: u64,
    pub time: i64,
    pub value: Number,
}

impl Kept for Sample {
    fn heap(&self) -> usize {
        0
    }

    fn order(&self, other: &Sample) -> Ordering {
        let place = |sample: &Sample| (sample.series, sample.time);
        place(self).cmp(&place(other)).then_with(|| self.value.order(other.value))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.series.to_le_bytes());
        put_time(out, self.time);
        self.value.write(out);
    }

    fn read(from: &mut Reader<'_>) -> Read<Sample> {
        Ok(Sample { series: from.word()?, time: from.time()?, value: Number::read(from)? })
    }
}

/// A sum of integers and floats.
#[derive(Default)]
struct Total {
    ints: i128,
    floats: f64,
    unsigned: bool,
    /// Some number was a float.
    is_float: bool,
}

impl Total {
    /// Adds a value less an earlier one.
    fn add(&mut self, value: Number, less: Number) {
        match (value.int(), less.int()) {
            (Some(a), Some(b)) => self.ints = self.ints.saturating_add(a - b),
            _ => {
                self.floats += value.float() - less.float();
                self.is_float = true;
            }
        }
        self.unsigned |= matches!(value, Number::UInt(_));
    }

    fn float(&self) -> f64 {
        self.ints as f64 + self.floats
    }

    fn held(&self, failures: &mut Failures) -> Held {
        let cell = match self.is_float {
            true => Cell::Float(self.float()),
            false => Cell::Int(self.ints, self.unsigned),
        };
        let in_range = match cell {
            Cell::Float(value) => value.is_finite(),
            _ => fits(self.ints),
        };
        failures.overflow += u64::from(!in_range);
        if in_range { Held::of(cell) } else { Held::None }
    }
}

/// The counters of each group. All three functions of one input share it.
pub struct Counter {
    lists: Lists<Sample>,
}

impl Counter {
    /// `most` bounds the bytes that are held.
    pub fn new(most: usize) -> Self {
        Counter { lists: Lists::new(most) }
    }

    /// The first and last value of each series of a group.
    pub fn ends(&self, group: u32) -> Vec<(Sample, Sample)> {
        let list = self.samples(group as usize);
        let series = list.chunk_by(|a, b| a.series == b.series);
        series.filter_map(|list| Some((*list.first()?, *list.last()?))).collect()
    }

    /// Adds a value of a group that there is.
    pub fn push(&mut self, group: u32, sample: Sample) {
        self.lists.push(group as usize, sample);
    }

    /// The values of a group by series and time; at equal times the greatest counts.
    fn samples(&self, group: usize) -> Vec<Sample> {
        let mut list = self.lists.sorted(group);
        list.dedup_by(|later, earlier| {
            let same = (later.series, later.time) == (earlier.series, earlier.time);
            if same {
                *earlier = *later;
            }
            same
        });
        list
    }

    /// The sum over the series of a group that have two values at least.
    fn result(&self, function: AggregateFunction, group: usize, failures: &mut Failures) -> Held {
        let list = self.samples(group);
        let (mut total, mut rate, mut any) = (Total::default(), 0.0, false);
        for samples in list.chunk_by(|a, b| a.series == b.series) {
            let [first, .., last] = samples else { continue };
            any = true;
            let mut own = Total::default();
            for pair in samples.windows(2) {
                let (earlier, later) = (pair[0].value, pair[1].value);
                let is_reset = later.order(earlier).is_lt();
                match function {
                    // A counter that was reset began at nothing.
                    _ if is_reset && function != AggregateFunction::Delta => {
                        own.add(later, zero(later));
                    }
                    _ => own.add(later, earlier),
                }
            }
            let seconds = (i128::from(last.time) - i128::from(first.time)) as f64 / 1e9;
            rate += own.float() / seconds;
            total.ints = total.ints.saturating_add(own.ints);
            total.floats += own.floats;
            total.is_float |= own.is_float;
            total.unsigned |= own.unsigned;
        }
        if !any {
            return Held::None;
        }
        if function == AggregateFunction::Rate {
            total = Total { floats: rate, is_float: true, ..Total::default() };
        }
        total.held(failures)
    }
}

fn zero(like: Number) -> Number {
    match like {
        Number::Float(_) => Number::Float(0.0),
        _ => Number::Int(0),
    }
}

impl Accumulator for Counter {
    by_lists!();

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        self.lists.fit(input.len);
        if !values.kind().may_be_number() {
            failures.kinds += count(values, input.groups.len());
            return;
        }
        for (row, group) in input.groups.iter().enumerate() {
            if let Some(value) = Number::of(values.cell(row)) {
                let (time, series) = ((input.time)(row), (input.series)(row));
                self.lists.push(*group as usize, Sample { series, time, value });
            }
        }
    }

    fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        self.lists.count_full(groups, failures);
        let result = |group: &u32| self.result(function, *group as usize, failures);
        held::gathered(groups.iter().map(result).collect())
    }

    fn is_mixed(&self, groups: &[u32]) -> bool {
        let result = |group: &u32| {
            let function = AggregateFunction::Increase;
            self.result(function, *group as usize, &mut Failures::default()).tag()
        };
        let mut tags = groups.iter().map(result).filter(|tag| *tag != 0);
        tags.next().is_some_and(|first| tags.any(|tag| tag != first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(samples: &[(u64, i64, Number)]) -> Counter {
        let mut made = Counter::new(1 << 20);
        made.lists.fit(1);
        for (series, time, value) in samples {
            made.lists.push(0, Sample { series: *series, time: *time, value: *value });
        }
        made
    }

    #[test]
    fn resets_are_seen_whatever_the_order() {
        use AggregateFunction::{Delta, Increase, Rate};
        use Number::{Float, Int, UInt};
        const S: i64 = 1_000_000_000;
        let check = |samples: &[(u64, i64, Number)], wanted: [Held; 3]| {
            let mut list = samples.to_vec();
            for _ in 0..list.len() {
                list.rotate_left(1);
                let made = counter(&list);
                let got = [Increase, Rate, Delta]
                    .map(|function| made.result(function, 0, &mut Failures::default()));
                assert_eq!(got, wanted, "{list:?}");
            }
        };
        let none = || [Held::None, Held::None, Held::None];
        check(&[], none());
        check(&[(1, 0, Int(5))], none());
        check(&[(1, 0, Int(5)), (2, 0, Int(7))], none());
        check(
            &[(1, 0, Int(5)), (1, S, Int(9)), (1, 2 * S, Int(2)), (1, 4 * S, Int(4))],
            [Held::Int(8), Held::Float(2.0), Held::Int(-1)],
        );
        check(
            &[(1, 0, Float(0.5)), (1, S, Float(2.0)), (2, 0, Int(3)), (2, 2 * S, Int(7))],
            [Held::Float(5.5), Held::Float(3.5), Held::Float(5.5)],
        );
        let most = UInt(u64::MAX);
        check(
            &[(1, 0, Int(0)), (1, S, most)],
            [Held::UInt(u64::MAX), Held::Float(u64::MAX as f64), Held::UInt(u64::MAX)],
        );
        // At equal times the greatest value counts.
        check(
            &[(1, 0, Int(1)), (1, S, Int(4)), (1, S, Int(2))],
            [Held::Int(3), Held::Float(3.0), Held::Int(3)],
        );
    }
}
