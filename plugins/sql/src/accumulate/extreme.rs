//! Least and greatest values, of numbers, times and texts.

use std::borrow::Cow;

use super::kernel::{count, each, each_value, grow, integers, numbers, retain};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::eval::fits;
use crate::vector::{Bits, Data, Kind, Vector};

/// The least or the greatest value.
pub struct Extreme {
    greatest: bool,
    floats: Vec<f64>,
    ints: Vec<i128>,
    /// What the integers are: numbers, times, lengths of time.
    kind: Kind,
    unsigned: bool,
    texts: Vec<Option<Box<str>>>,
}

impl Extreme {
    pub fn new(greatest: bool) -> Self {
        Extreme {
            greatest,
            floats: Vec::new(),
            ints: Vec::new(),
            kind: Kind::Int,
            unsigned: false,
            texts: Vec::new(),
        }
    }

    fn add_ints<T: Copy>(
        &mut self,
        values: &Vector<'_>,
        list: &[T],
        input: &Input<'_>,
        int: impl Fn(T) -> i128,
    ) {
        // No value has more than 65 bits: these stand for "none".
        let none = if self.greatest { i128::MIN } else { i128::MAX };
        grow(&mut self.ints, input.len, none);
        let (ints, greatest) = (self.ints.as_mut_slice(), self.greatest);
        each_value(values, list, input.groups, |group, value| {
            let (new, old) = (int(value), &mut ints[group]);
            if (greatest && new > *old) || (!greatest && new < *old) {
                *old = new;
            }
        });
    }

    fn float(&self, group: usize) -> Option<f64> {
        self.floats.get(group).copied().filter(|value| value.is_finite())
    }

    fn int(&self, group: usize) -> Option<i128> {
        self.ints.get(group).copied().filter(|value| fits(*value))
    }

    /// The extreme of both kinds of numbers as a float.
    fn number(&self, group: usize) -> Option<f64> {
        let int = self.int(group).map(|value| value as f64);
        match (self.float(group), int) {
            (Some(a), Some(b)) => Some(if self.greatest { a.max(b) } else { a.min(b) }),
            (a, b) => a.or(b),
        }
    }
}

impl Accumulator for Extreme {
    fn clear(&mut self) {
        self.floats.clear();
        self.ints.clear();
        self.texts.clear();
    }

    fn byte_size(&self) -> usize {
        self.floats.capacity() * 8 + self.ints.capacity() * 16 + self.texts.capacity() * 16
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.floats, keep);
        retain(&mut self.ints, keep);
        retain(&mut self.texts, keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        let greatest = self.greatest;
        match &values.data {
            Data::Float(list) => {
                // No value is infinite: this stands for "none".
                let none = if greatest { f64::NEG_INFINITY } else { f64::INFINITY };
                grow(&mut self.floats, input.len, none);
                let floats = self.floats.as_mut_slice();
                if greatest {
                    each_value(values, list, input.groups, |group, value| {
                        let old = &mut floats[group];
                        *old = if value > *old { value } else { *old };
                    });
                } else {
                    each_value(values, list, input.groups, |group, value| {
                        let old = &mut floats[group];
                        *old = if value < *old { value } else { *old };
                    });
                }
            }
            Data::Int { values: list, unsigned } => {
                self.unsigned |= unsigned;
                self.add_ints(values, list, input, |value| value);
            }
            Data::Time(list) => {
                self.kind = Kind::Time;
                self.add_ints(values, list, input, i128::from);
            }
            Data::Interval(list) => {
                self.kind = Kind::Interval;
                self.add_ints(values, list, input, i128::from);
            }
            Data::Text(list) => {
                grow(&mut self.texts, input.len, None);
                let texts = &mut self.texts;
                each(values, input.groups, |at, group| {
                    let text = list[at].as_ref();
                    let better = match texts[group].as_deref() {
                        None => true,
                        Some(old) if greatest => text > old,
                        Some(old) => text < old,
                    };
                    if better {
                        texts[group] = Some(text.into());
                    }
                });
            }
            Data::Bool(_) | Data::Null => failures.kinds += count(values, input.groups.len()),
        }
    }

    fn finish(&self, groups: &[u32], _failures: &mut Failures) -> Vector<'_> {
        let none = &mut Failures::default();
        if !self.floats.is_empty() {
            return numbers(groups, none, |group| self.number(group));
        }
        if !self.ints.is_empty() {
            let vector = integers(groups, self.unsigned, none, |group| self.int(group));
            let Data::Int { values, .. } = &vector.data else { return vector };
            let nanos = || values.iter().map(|value| *value as i64).collect();
            return match self.kind {
                Kind::Time => Vector::with(Data::Time(nanos()), vector.valid),
                Kind::Interval => Vector::with(Data::Interval(nanos()), vector.valid),
                _ => vector,
            };
        }
        let text = |group: &u32| self.texts.get(*group as usize).and_then(|text| text.as_deref());
        let valid = Bits::of(groups.len(), |row| text(&groups[row]).is_some());
        let values =
            groups.iter().map(|group| Cow::Borrowed(text(group).unwrap_or_default())).collect();
        Vector::with(Data::Text(values), Some(valid))
    }
}

/// The greatest value less the least.
pub struct Spread {
    least: Extreme,
    greatest: Extreme,
}

impl Spread {
    pub fn new() -> Self {
        Spread { least: Extreme::new(false), greatest: Extreme::new(true) }
    }
}

impl Accumulator for Spread {
    fn clear(&mut self) {
        self.least.clear();
        self.greatest.clear();
    }

    fn byte_size(&self) -> usize {
        self.least.byte_size() + self.greatest.byte_size()
    }

    fn retain(&mut self, keep: &[bool]) {
        self.least.retain(keep);
        self.greatest.retain(keep);
    }

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, failures: &mut Failures) {
        if matches!(values.data, Data::Text(_)) {
            failures.kinds += count(values, input.groups.len());
            return;
        }
        self.least.add(values, input, failures);
        self.greatest.add(values, input, &mut Failures::default());
    }

    fn finish(&self, groups: &[u32], failures: &mut Failures) -> Vector<'_> {
        let (least, greatest) = (&self.least, &self.greatest);
        if !least.floats.is_empty() {
            return numbers(groups, failures, |group| {
                Some(greatest.number(group)? - least.number(group)?)
            });
        }
        let spans = integers(groups, least.unsigned, failures, |group| {
            Some(greatest.int(group)? - least.int(group)?)
        });
        match &spans.data {
            Data::Int { values, .. } if least.kind != Kind::Int => {
                let nanos = values.iter().map(|v| i64::try_from(*v).unwrap_or(i64::MAX)).collect();
                Vector::with(Data::Interval(nanos), spans.valid)
            }
            _ => spans,
        }
    }
}
