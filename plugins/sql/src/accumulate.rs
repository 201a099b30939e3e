//! Accumulators: what a window knows of its groups, as arrays indexed by group number.
//!
//! An array exists once there was a value of its kind. All results are independent of the order of
//! the points, floats up to rounding: sums carry their rounding error along.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::error::Failures;
use crate::eval::{compare::float_order, fits};
use crate::plan::{AggregateCall, AggregateFunction};
use crate::vector::{Bits, Cell, Data, Kind, Vector};

/// The accumulators of one window.
#[derive(Debug, Clone, Default)]
pub struct Accumulators {
    /// Points by group; a group without points is not in the window.
    rows: Vec<u64>,
    /// Groups that took points since they were emitted; empty if nobody asks.
    dirty: Vec<bool>,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    /// `count(*)` is the number of points.
    Rows,
    Count(Vec<u64>),
    Sum {
        mean: bool,
        sum: Sum,
    },
    Extreme(Extreme),
    Spread(Extreme, Extreme),
    Ends(Ends),
    Moments {
        function: AggregateFunction,
        moments: Vec<Moments>,
    },
}

/// A sum: floats with their lost low bits, integers in 128 bits.
#[derive(Debug, Clone, Default)]
struct Sum {
    floats: Vec<[f64; 2]>,
    ints: Vec<i128>,
    counts: Vec<u64>,
    unsigned: bool,
}

#[derive(Debug, Clone)]
struct Extreme {
    greatest: bool,
    floats: Vec<f64>,
    ints: Vec<i128>,
    /// What the integers are: numbers, times, lengths of time.
    kind: Kind,
    unsigned: bool,
    texts: Vec<Option<Box<str>>>,
}

#[derive(Debug, Clone)]
struct Ends {
    last: bool,
    values: Vec<(i64, Held)>,
}

/// A value of any kind, kept.
#[derive(Debug, Clone, PartialEq)]
enum Held {
    None,
    Bool(bool),
    Float(f64),
    Int(i64),
    UInt(u64),
    Text(Box<str>),
    Time(i64),
    Interval(i64),
}

/// Count, mean and sum of squared distances from it, kept up to date value by value.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

/// Makes an array `len` long. Large ones grow by a quarter: doubling would waste half of the memory
/// of a million groups.
fn grow<T: Clone>(list: &mut Vec<T>, len: usize, value: T) {
    if list.len() < len {
        if list.capacity() < len {
            let more = (len - list.len()).max(list.len() / 4).max(16);
            list.reserve_exact(more);
        }
        list.resize(len, value);
    }
}

fn retain<T>(list: &mut Vec<T>, keep: &[bool]) {
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        keep.get(at - 1).copied().unwrap_or(false)
    });
    list.shrink_to(list.len() + list.len() / 4);
}

impl Accumulators {
    /// Accumulators of these aggregates, without groups.
    pub fn new(calls: &[AggregateCall]) -> Self {
        let parts = calls.iter().map(Part::new).collect();
        Accumulators { parts, ..Accumulators::default() }
    }

    /// Forgets all groups and keeps the memory.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.dirty.clear();
        for part in &mut self.parts {
            match part {
                Part::Rows => {}
                Part::Count(counts) => counts.clear(),
                Part::Sum { sum, .. } => {
                    sum.floats.clear();
                    sum.ints.clear();
                    sum.counts.clear();
                }
                Part::Extreme(extreme) => extreme.clear(),
                Part::Spread(least, greatest) => {
                    least.clear();
                    greatest.clear();
                }
                Part::Ends(ends) => ends.values.clear(),
                Part::Moments { moments, .. } => moments.clear(),
            }
        }
    }

    /// How many group numbers there is room for.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Makes room for groups below `groups`.
    pub fn grow(&mut self, groups: usize) {
        grow(&mut self.rows, groups, 0);
    }

    /// Bytes of memory held, without long texts.
    pub fn byte_size(&self) -> usize {
        let parts = self.parts.iter().map(|part| match part {
            Part::Rows => 0,
            Part::Count(counts) => counts.capacity() * 8,
            Part::Sum { sum, .. } => {
                sum.floats.capacity() * 16 + sum.ints.capacity() * 16 + sum.counts.capacity() * 8
            }
            Part::Extreme(extreme) => extreme.byte_size(),
            Part::Spread(least, greatest) => least.byte_size() + greatest.byte_size(),
            Part::Ends(ends) => ends.values.capacity() * size_of::<(i64, Held)>(),
            Part::Moments { moments, .. } => moments.capacity() * size_of::<Moments>(),
        });
        self.rows.capacity() * 8 + self.dirty.capacity() + parts.sum::<usize>()
    }

    /// Counts points of groups. The groups lie below [`len`](Self::len).
    pub fn add_rows(&mut self, groups: &[u32]) {
        for &group in groups {
            self.rows[group as usize] += 1;
        }
    }

    /// Notes that groups changed after they were emitted.
    pub fn mark(&mut self, groups: &[u32]) {
        grow(&mut self.dirty, self.rows.len(), false);
        for &group in groups {
            self.dirty[group as usize] = true;
        }
    }

    /// The groups that have points; with `changed` those that changed since they were emitted.
    pub fn groups(&self, changed: bool) -> Vec<u32> {
        let has = |group: &usize| match changed {
            true => self.dirty.get(*group).copied().unwrap_or(false),
            false => self.rows[*group] > 0,
        };
        (0..self.rows.len()).filter(has).map(|group| group as u32).collect()
    }

    /// Notes that all groups were emitted.
    pub fn unmark(&mut self) {
        self.dirty.fill(false);
    }

    /// Marks the groups that have points.
    pub fn used(&self, used: &mut [bool]) {
        for (used, rows) in used.iter_mut().zip(&self.rows) {
            *used |= *rows > 0;
        }
    }

    /// Keeps the marked groups, which are numbered anew in their order.
    pub fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.rows, keep);
        retain(&mut self.dirty, keep);
        for part in &mut self.parts {
            match part {
                Part::Rows => {}
                Part::Count(counts) => retain(counts, keep),
                Part::Sum { sum, .. } => {
                    retain(&mut sum.floats, keep);
                    retain(&mut sum.ints, keep);
                    retain(&mut sum.counts, keep);
                }
                Part::Extreme(extreme) => extreme.retain(keep),
                Part::Spread(least, greatest) => {
                    least.retain(keep);
                    greatest.retain(keep);
                }
                Part::Ends(ends) => retain(&mut ends.values, keep),
                Part::Moments { moments, .. } => retain(moments, keep),
            }
        }
    }

    /// Adds values: `values` row by row to `groups`, with the points' times.
    pub fn add(
        &mut self,
        aggregate: usize,
        values: &Vector<'_>,
        groups: &[u32],
        times: impl Fn(usize) -> i64,
        failures: &mut Failures,
    ) {
        let len = self.rows.len();
        if values.is_null() {
            return;
        }
        match &mut self.parts[aggregate] {
            Part::Rows => {}
            Part::Count(counts) => {
                grow(counts, len, 0);
                each(values, groups, |_, group| counts[group] += 1);
            }
            Part::Sum { sum, .. } => sum.add(values, groups, len, failures),
            Part::Extreme(extreme) => extreme.add(values, groups, len, failures),
            Part::Spread(least, greatest) => {
                if matches!(values.data, Data::Text(_)) {
                    failures.kinds += count(values, groups.len());
                    return;
                }
                least.add(values, groups, len, failures);
                greatest.add(values, groups, len, &mut Failures::default());
            }
            Part::Ends(ends) => ends.add(values, groups, len, times),
            Part::Moments { moments, .. } => {
                grow(moments, len, Moments::default());
                match &values.data {
                    Data::Float(list) => {
                        each(values, groups, |at, group| moments[group].add(list[at]))
                    }
                    Data::Int { values: list, .. } => {
                        each(values, groups, |at, group| moments[group].add(list[at] as f64));
                    }
                    _ => failures.kinds += count(values, groups.len()),
                }
            }
        }
    }

    /// The results of an aggregate for these groups.
    pub fn finish(&self, aggregate: usize, groups: &[u32], failures: &mut Failures) -> Vector<'_> {
        match &self.parts[aggregate] {
            Part::Rows => counts(&self.rows, groups),
            Part::Count(list) => counts(list, groups),
            Part::Sum { mean, sum } => sum.finish(*mean, groups, failures),
            Part::Extreme(extreme) => extreme.finish(groups),
            Part::Spread(least, greatest) => spread(least, greatest, groups, failures),
            Part::Ends(ends) => ends.finish(groups),
            Part::Moments { function, moments } => numbers(groups, failures, |group| {
                moments.get(group).and_then(|m| m.finish(*function))
            }),
        }
    }
}

/// Calls `f` with the place of each value that is not NULL, and its group.
#[inline]
fn each(values: &Vector<'_>, groups: &[u32], mut f: impl FnMut(usize, usize)) {
    match (&values.valid, values.constant) {
        (None, false) => groups.iter().enumerate().for_each(|(row, group)| f(row, *group as usize)),
        (None, true) => groups.iter().for_each(|group| f(0, *group as usize)),
        (Some(valid), _) => {
            for (row, group) in groups.iter().enumerate() {
                let at = values.place(row);
                if valid.get(at) {
                    f(at, *group as usize);
                }
            }
        }
    }
}

fn count(values: &Vector<'_>, n: usize) -> u64 {
    values.validity(n).map_or(n, |valid| valid.count()) as u64
}

fn counts<'a>(list: &[u64], groups: &[u32]) -> Vector<'a> {
    let value = |group: &u32| i128::from(list.get(*group as usize).copied().unwrap_or(0));
    Vector::new(Data::Int { values: groups.iter().map(value).collect(), unsigned: false })
}

/// Floats, NULL where there is none or it is not finite, which is counted.
fn numbers<'a>(
    groups: &[u32],
    failures: &mut Failures,
    f: impl Fn(usize) -> Option<f64>,
) -> Vector<'a> {
    let mut values = Vec::with_capacity(groups.len());
    let mut valid = Bits::new(groups.len(), true);
    for (row, group) in groups.iter().enumerate() {
        let value = f(*group as usize);
        failures.overflow += u64::from(value.is_some_and(|value| !value.is_finite()));
        let value = value.filter(|value| value.is_finite());
        if value.is_none() {
            valid.clear(row);
        }
        values.push(value.unwrap_or_default());
    }
    let all = valid.count() == groups.len();
    Vector::with(Data::Float(values), (!all).then_some(valid))
}

/// Integers, NULL where there is none or it does not fit, which is counted.
fn integers<'a>(
    groups: &[u32],
    unsigned: bool,
    failures: &mut Failures,
    f: impl Fn(usize) -> Option<i128>,
) -> Vector<'a> {
    let mut values = Vec::with_capacity(groups.len());
    let mut valid = Bits::new(groups.len(), true);
    for (row, group) in groups.iter().enumerate() {
        let value = f(*group as usize);
        failures.overflow += u64::from(value.is_some_and(|value| !fits(value)));
        let value = value.filter(|value| fits(*value));
        if value.is_none() {
            valid.clear(row);
        }
        values.push(value.unwrap_or_default());
    }
    let all = valid.count() == groups.len();
    Vector::with(Data::Int { values, unsigned }, (!all).then_some(valid))
}

impl Part {
    fn new(call: &AggregateCall) -> Part {
        use AggregateFunction as A;
        match call.function {
            A::Count if call.input.is_none() => Part::Rows,
            A::Count => Part::Count(Vec::new()),
            A::Sum => Part::Sum { mean: false, sum: Sum::default() },
            A::Avg => Part::Sum { mean: true, sum: Sum::default() },
            A::Min => Part::Extreme(Extreme::new(false)),
            A::Max => Part::Extreme(Extreme::new(true)),
            A::Spread => Part::Spread(Extreme::new(false), Extreme::new(true)),
            A::First => Part::Ends(Ends { last: false, values: Vec::new() }),
            A::Last => Part::Ends(Ends { last: true, values: Vec::new() }),
            function @ (A::Stddev | A::StddevPop | A::Variance | A::VariancePop) => {
                Part::Moments { function, moments: Vec::new() }
            }
        }
    }
}

impl Sum {
    fn add(&mut self, values: &Vector<'_>, groups: &[u32], len: usize, failures: &mut Failures) {
        match &values.data {
            Data::Float(list) => {
                grow(&mut self.floats, len, [0.0; 2]);
                grow(&mut self.counts, len, 0);
                let (floats, counts) = (&mut self.floats, &mut self.counts);
                each(values, groups, |at, group| {
                    // Knuth's sum of two: the second number collects what the first one rounds off.
                    let [sum, lost] = floats[group];
                    let value = list[at];
                    let total = sum + value;
                    let back = total - sum;
                    floats[group] = [total, lost + ((sum - (total - back)) + (value - back))];
                    counts[group] += 1;
                });
            }
            Data::Int { values: list, unsigned } => {
                self.unsigned |= unsigned;
                grow(&mut self.ints, len, 0);
                grow(&mut self.counts, len, 0);
                let (ints, counts) = (&mut self.ints, &mut self.counts);
                each(values, groups, |at, group| {
                    // 2^63 values of 64 bits fit.
                    ints[group] = ints[group].saturating_add(list[at]);
                    counts[group] += 1;
                });
            }
            _ => failures.kinds += count(values, groups.len()),
        }
    }

    fn finish(&self, mean: bool, groups: &[u32], failures: &mut Failures) -> Vector<'_> {
        let count = |group: usize| self.counts.get(group).copied().filter(|count| *count > 0);
        if !mean && self.floats.is_empty() {
            return integers(groups, self.unsigned, failures, |group| {
                count(group)?;
                self.ints.get(group).copied()
            });
        }
        numbers(groups, failures, |group| {
            let count = count(group)? as f64;
            let [sum, lost] = self.floats.get(group).copied().unwrap_or_default();
            let ints = self.ints.get(group).copied().unwrap_or_default();
            // Out of range the lost bits are no number.
            let lost = if lost.is_finite() { lost } else { 0.0 };
            let total = sum + lost + ints as f64;
            Some(if mean { total / count } else { total })
        })
    }
}

impl Extreme {
    fn new(greatest: bool) -> Self {
        Extreme {
            greatest,
            floats: Vec::new(),
            ints: Vec::new(),
            kind: Kind::Int,
            unsigned: false,
            texts: Vec::new(),
        }
    }

    fn clear(&mut self) {
        self.floats.clear();
        self.ints.clear();
        self.texts.clear();
    }

    fn retain(&mut self, keep: &[bool]) {
        retain(&mut self.floats, keep);
        retain(&mut self.ints, keep);
        retain(&mut self.texts, keep);
    }

    fn byte_size(&self) -> usize {
        self.floats.capacity() * 8 + self.ints.capacity() * 16 + self.texts.capacity() * 16
    }

    /// Stands for "none": no value of a batch is infinite.
    fn no_float(&self) -> f64 {
        if self.greatest { f64::NEG_INFINITY } else { f64::INFINITY }
    }

    /// Stands for "none": no value has more than 64 bits.
    fn no_int(&self) -> i128 {
        if self.greatest { i128::MIN } else { i128::MAX }
    }

    fn add(&mut self, values: &Vector<'_>, groups: &[u32], len: usize, failures: &mut Failures) {
        let greatest = self.greatest;
        match &values.data {
            Data::Float(list) => {
                let none = self.no_float();
                grow(&mut self.floats, len, none);
                let floats = &mut self.floats;
                if greatest {
                    each(values, groups, |at, group| {
                        if list[at] > floats[group] {
                            floats[group] = list[at];
                        }
                    });
                } else {
                    each(values, groups, |at, group| {
                        if list[at] < floats[group] {
                            floats[group] = list[at];
                        }
                    });
                }
            }
            Data::Int { values: list, unsigned } => {
                self.unsigned |= unsigned;
                self.add_ints(values, groups, len, |at| list[at]);
            }
            Data::Time(list) => {
                self.kind = Kind::Time;
                self.add_ints(values, groups, len, |at| list[at].into());
            }
            Data::Interval(list) => {
                self.kind = Kind::Interval;
                self.add_ints(values, groups, len, |at| list[at].into());
            }
            Data::Text(list) => {
                grow(&mut self.texts, len, None);
                let texts = &mut self.texts;
                each(values, groups, |at, group| {
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
            Data::Bool(_) | Data::Null => failures.kinds += count(values, groups.len()),
        }
    }

    fn add_ints(
        &mut self,
        values: &Vector<'_>,
        groups: &[u32],
        len: usize,
        int: impl Fn(usize) -> i128,
    ) {
        let none = self.no_int();
        grow(&mut self.ints, len, none);
        let (ints, greatest) = (&mut self.ints, self.greatest);
        each(values, groups, |at, group| {
            let (new, old) = (int(at), ints[group]);
            if (greatest && new > old) || (!greatest && new < old) {
                ints[group] = new;
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

    fn finish(&self, groups: &[u32]) -> Vector<'_> {
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

fn spread<'a>(
    least: &Extreme,
    greatest: &Extreme,
    groups: &[u32],
    failures: &mut Failures,
) -> Vector<'a> {
    if least.floats.is_empty() && least.kind == Kind::Int {
        return integers(groups, least.unsigned, failures, |group| {
            Some(greatest.int(group)? - least.int(group)?)
        });
    }
    if least.floats.is_empty() {
        let spans = integers(groups, false, failures, |group| {
            Some(greatest.int(group)? - least.int(group)?)
        });
        let Data::Int { values, .. } = &spans.data else { return Vector::null() };
        let nanos = values.iter().map(|value| i64::try_from(*value).unwrap_or(i64::MAX)).collect();
        return Vector::with(Data::Interval(nanos), spans.valid);
    }
    numbers(groups, failures, |group| Some(greatest.number(group)? - least.number(group)?))
}

impl Ends {
    fn add(
        &mut self,
        values: &Vector<'_>,
        groups: &[u32],
        len: usize,
        times: impl Fn(usize) -> i64,
    ) {
        grow(&mut self.values, len, (0, Held::None));
        for (row, group) in groups.iter().enumerate() {
            let cell = values.cell(row);
            if cell == Cell::Null {
                continue;
            }
            let time = times(row);
            let (old_time, old) = &mut self.values[*group as usize];
            let order = match (&old, self.last) {
                (Held::None, _) => Ordering::Greater,
                (_, true) => time.cmp(old_time),
                (_, false) => (*old_time).cmp(&time),
            };
            // At equal times the greatest value counts.
            if order.is_gt() || order.is_eq() && old.order(cell).is_lt() {
                *old_time = time;
                *old = Held::of(cell);
            }
        }
    }

    fn finish(&self, groups: &[u32]) -> Vector<'_> {
        let held =
            |group: &u32| self.values.get(*group as usize).map_or(&Held::None, |(_, held)| held);
        let n = groups.len();
        let mut kind = Kind::Null;
        for group in groups {
            kind = match (kind, held(group).kind()) {
                (kind, Kind::Null) => kind,
                (Kind::Null, other) => other,
                (a, b) if a == b => a,
                (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
                _ => Kind::Text,
            };
        }
        let valid = Bits::of(n, |row| *held(&groups[row]) != Held::None);
        macro_rules! gather {
            ($cell:ident($value:ident) => $map:expr, $default:expr) => {
                groups
                    .iter()
                    .map(|group| match held(group).cell() {
                        Cell::$cell($value, ..) => $map,
                        _ => $default,
                    })
                    .collect()
            };
        }
        let data = match kind {
            Kind::Null | Kind::Any => return Vector::null(),
            Kind::Bool => Data::Bool(Bits::of(n, |row| *held(&groups[row]) == Held::Bool(true))),
            Kind::Int => Data::Int {
                values: gather!(Int(value) => value, 0),
                unsigned: groups.iter().any(|group| matches!(held(group), Held::UInt(_))),
            },
            Kind::Float => Data::Float(
                groups
                    .iter()
                    .map(|group| match held(group).cell() {
                        Cell::Float(value) => value,
                        Cell::Int(value, _) => value as f64,
                        _ => 0.0,
                    })
                    .collect(),
            ),
            Kind::Time => Data::Time(gather!(Time(value) => value, 0)),
            Kind::Interval => Data::Interval(gather!(Interval(value) => value, 0)),
            Kind::Text => Data::Text(
                groups.iter().map(|g| held(g).cell().text().unwrap_or_default()).collect(),
            ),
        };
        Vector::with(data, (valid.count() < n).then_some(valid))
    }
}

impl Held {
    fn of(cell: Cell<'_>) -> Held {
        match cell {
            Cell::Null => Held::None,
            Cell::Bool(value) => Held::Bool(value),
            Cell::Float(value) => Held::Float(value),
            Cell::Int(value, unsigned) => match (i64::try_from(value), unsigned) {
                (Ok(value), false) => Held::Int(value),
                (Ok(value), true) if value < 0 => Held::Int(value),
                _ => Held::UInt(value as u64),
            },
            Cell::Text(text) => Held::Text(text.into()),
            Cell::Time(nanos) => Held::Time(nanos),
            Cell::Interval(nanos) => Held::Interval(nanos),
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Held::None => Cell::Null,
            Held::Bool(value) => Cell::Bool(*value),
            Held::Float(value) => Cell::Float(*value),
            Held::Int(value) => Cell::Int((*value).into(), false),
            Held::UInt(value) => Cell::Int((*value).into(), true),
            Held::Text(text) => Cell::Text(text),
            Held::Time(nanos) => Cell::Time(*nanos),
            Held::Interval(nanos) => Cell::Interval(*nanos),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Held::None => Kind::Null,
            Held::Bool(_) => Kind::Bool,
            Held::Float(_) => Kind::Float,
            Held::Int(_) | Held::UInt(_) => Kind::Int,
            Held::Text(_) => Kind::Text,
            Held::Time(_) => Kind::Time,
            Held::Interval(_) => Kind::Interval,
        }
    }

    /// How it compares with a value; kinds that do not compare have an order of their own.
    fn order(&self, cell: Cell<'_>) -> Ordering {
        let rank = |cell: &Cell<'_>| match cell {
            Cell::Null => 0,
            Cell::Bool(_) => 1,
            Cell::Int(..) | Cell::Float(_) => 2,
            Cell::Interval(_) => 3,
            Cell::Time(_) => 4,
            Cell::Text(_) => 5,
        };
        let own = self.cell();
        match (own, cell) {
            (Cell::Bool(a), Cell::Bool(b)) => a.cmp(&b),
            (Cell::Int(a, _), Cell::Int(b, _)) => a.cmp(&b),
            (Cell::Float(a), Cell::Float(b)) => float_order(a, b),
            (Cell::Int(a, _), Cell::Float(b)) => float_order(a as f64, b),
            (Cell::Float(a), Cell::Int(b, _)) => float_order(a, b as f64),
            (Cell::Text(a), Cell::Text(b)) => a.cmp(b),
            (Cell::Time(a), Cell::Time(b)) | (Cell::Interval(a), Cell::Interval(b)) => a.cmp(&b),
            (a, b) => rank(&a).cmp(&rank(&b)),
        }
    }
}

impl Moments {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let from = value - self.mean;
        self.mean += from / self.count;
        self.squares += from * (value - self.mean);
    }

    fn finish(&self, function: AggregateFunction) -> Option<f64> {
        use AggregateFunction::{Stddev, StddevPop, VariancePop};
        let population = matches!(function, StddevPop | VariancePop);
        let divisor = if population { self.count } else { self.count - 1.0 };
        if divisor <= 0.0 {
            return None;
        }
        let variance = self.squares / divisor;
        Some(if matches!(function, Stddev | StddevPop) { variance.sqrt() } else { variance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(
        function: AggregateFunction,
        groups: &[u32],
        values: Vector<'_>,
        times: &[i64],
    ) -> Vec<String> {
        let mut accumulators = Accumulators::new(&[AggregateCall { function, input: Some(0) }]);
        accumulators.grow(2);
        accumulators.add_rows(groups);
        let mut failures = Failures::default();
        accumulators.add(0, &values, groups, |row| times[row], &mut failures);
        let result = accumulators.finish(0, &[0, 1], &mut failures);
        (0..2).map(|row| result.cell(row).text().map_or("NULL".into(), Cow::into_owned)).collect()
    }

    fn floats(values: &[f64]) -> Vector<'static> {
        Vector::new(Data::Float(values.to_vec()))
    }

    fn ints(values: &[i128]) -> Vector<'static> {
        Vector::new(Data::Int { values: values.to_vec(), unsigned: false })
    }

    #[test]
    fn numbers_by_group() {
        use AggregateFunction as A;
        let check = |function, expected: [&str; 2]| {
            let values = floats(&[1.0, 2.0, 3.0, 6.0]);
            assert_eq!(
                run(function, &[0, 0, 1, 0], values, &[1, 2, 3, 4]),
                expected,
                "{function:?}"
            );
        };
        check(A::Count, ["3", "1"]);
        check(A::Sum, ["9", "3"]);
        check(A::Avg, ["3", "3"]);
        check(A::Min, ["1", "3"]);
        check(A::Max, ["6", "3"]);
        check(A::Spread, ["5", "0"]);
        check(A::First, ["1", "3"]);
        check(A::Last, ["6", "3"]);
        check(A::Variance, ["7", "NULL"]);
        check(A::VariancePop, ["4.666666666666667", "0"]);
    }

    #[test]
    fn integers_stay_integers_and_overflow_is_null() {
        use AggregateFunction as A;
        let max = i128::from(i64::MAX);
        assert_eq!(run(A::Sum, &[0, 0], ints(&[max, 1]), &[0, 0])[0], "9223372036854775808");
        assert_eq!(run(A::Sum, &[0, 0, 0], ints(&[max, max, max]), &[0; 3])[0], "NULL");
        assert_eq!(run(A::Avg, &[0, 0], ints(&[1, 2]), &[0, 0])[0], "1.5");
        assert_eq!(run(A::Min, &[0, 0], ints(&[-1, u64::MAX.into()]), &[0, 0])[0], "-1");
    }

    #[test]
    fn nulls_are_skipped() {
        use AggregateFunction as A;
        let some = || Vector::with(Data::Float(vec![9.0, 4.0]), Some(Bits::of(2, |i| i == 1)));
        for (function, expected) in [(A::Count, "1"), (A::Avg, "4"), (A::Max, "4"), (A::First, "4")]
        {
            assert_eq!(
                run(function, &[0, 0], some(), &[0, 1]),
                [expected, if function == A::Count { "0" } else { "NULL" }]
            );
        }
    }

    #[test]
    fn equal_times_resolve_to_the_greatest_value() {
        use AggregateFunction as A;
        for function in [A::First, A::Last] {
            assert_eq!(run(function, &[0, 0, 0], floats(&[2.0, 7.0, 5.0]), &[3, 3, 3])[0], "7");
        }
        assert_eq!(run(A::First, &[0, 0], floats(&[2.0, 7.0]), &[5, 3])[0], "7");
        assert_eq!(run(A::Last, &[0, 0], floats(&[2.0, 7.0]), &[5, 3])[0], "2");
    }

    #[test]
    fn sums_do_not_depend_on_order() {
        use AggregateFunction as A;
        let values = [1e16, 1.0, -1e16, 1.0, 0.5];
        let expected = run(A::Sum, &[0; 5], floats(&values), &[0; 5]);
        assert_eq!(expected[0], "2.5");
        let mut other = values;
        other.reverse();
        assert_eq!(run(A::Sum, &[0; 5], floats(&other), &[0; 5]), expected);
    }

    #[test]
    fn groups_keep_their_values_when_others_go() {
        let calls = [AggregateFunction::Sum, AggregateFunction::Max, AggregateFunction::Last]
            .map(|function| AggregateCall { function, input: Some(0) });
        let mut accumulators = Accumulators::new(&calls);
        accumulators.grow(4);
        let groups = [0, 1, 2, 3];
        accumulators.add_rows(&groups);
        for aggregate in 0..3 {
            let values = floats(&[10.0, 11.0, 12.0, 13.0]);
            accumulators.add(aggregate, &values, &groups, |_| 0, &mut Failures::default());
        }
        accumulators.retain(&[false, true, false, true]);
        assert_eq!(accumulators.groups(false), [0, 1]);
        for aggregate in 0..3 {
            let result = accumulators.finish(aggregate, &[0, 1], &mut Failures::default());
            assert_eq!((result.cell(0), result.cell(1)), (Cell::Float(11.0), Cell::Float(13.0)));
        }
    }
}
