//! What a window remembers: arrays indexed by cell, a cell being one field of one series.

use crate::catalog::NO_CELL;
use crate::stats::{Stat, Stats};

/// Those that need the earliest value and its time.
const FIRST: Stats = Stats::of(&[
    Stat::First,
    Stat::Diff,
    Stat::Rate,
    Stat::NonNegativeDiff,
    Stat::NonNegativeRate,
    Stat::PercentChange,
    Stat::Interval,
]);
/// Those that need the latest value and its time.
const LAST: Stats = Stats::of(&[
    Stat::Last,
    Stat::Diff,
    Stat::Rate,
    Stat::NonNegativeDiff,
    Stat::NonNegativeRate,
    Stat::PercentChange,
    Stat::Interval,
]);
const SPREAD: Stats = Stats::of(&[Stat::S2, Stat::Stdev]);

/// Values on their way into the arrays, in the order in which they came.
#[derive(Debug, Default)]
pub struct Values {
    /// The cell of each.
    pub cells: Vec<u32>,
    /// The number.
    pub values: Vec<f64>,
    /// Its time; only filled if the accumulators need it.
    pub times: Vec<i64>,
}

impl Values {
    /// Forgets them and keeps the memory.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.values.clear();
        self.times.clear();
    }
}

/// The accumulators of a window. Only the arrays that its statistics need are filled.
#[derive(Debug)]
pub struct Accumulators {
    stats: Stats,
    /// Whether changes are marked, for windows that are emitted again.
    marks: bool,
    count: Vec<f64>,
    min: Vec<f64>,
    max: Vec<f64>,
    mean: Vec<f64>,
    /// Sum of squared distances from the mean, updated by Welford's method.
    m2: Vec<f64>,
    sum: Vec<f64>,
    /// What rounding has cost `sum` so far (Neumaier's method).
    lost: Vec<f64>,
    first_time: Vec<i64>,
    first: Vec<f64>,
    last_time: Vec<i64>,
    last: Vec<f64>,
    changed: Vec<bool>,
    len: usize,
}

/// Runs a body over all arrays that are filled, each with its initial value.
macro_rules! each_array {
    ($self:ident, |$array:ident, $initial:ident| $body:expr) => {{
        let stats = $self.stats;
        macro_rules! one {
            ($needed:expr, $name:ident, $value:expr) => {
                if $needed {
                    let ($array, $initial) = (&mut $self.$name, $value);
                    $body;
                }
            };
        }
        one!(true, count, 0.0);
        one!(stats.has(Stat::Min), min, f64::INFINITY);
        one!(stats.has(Stat::Max), max, f64::NEG_INFINITY);
        one!(stats.has(Stat::Mean) || stats.any(SPREAD), mean, 0.0);
        one!(stats.any(SPREAD), m2, 0.0);
        one!(stats.has(Stat::Sum), sum, 0.0);
        one!(stats.has(Stat::Sum), lost, 0.0);
        one!(stats.any(FIRST), first_time, i64::MAX);
        one!(stats.any(FIRST), first, f64::NAN);
        one!(stats.any(LAST), last_time, i64::MIN);
        one!(stats.any(LAST), last, f64::NAN);
        one!($self.marks, changed, false);
    }};
}

impl Accumulators {
    /// Whether these statistics depend on the times of values.
    pub fn needs_times(stats: Stats) -> bool {
        stats.any(FIRST) || stats.any(LAST)
    }

    /// Accumulators of no cell. `marks` if the window may be emitted more than once.
    pub fn new(stats: Stats, marks: bool) -> Self {
        Accumulators {
            stats,
            marks,
            count: Vec::new(),
            min: Vec::new(),
            max: Vec::new(),
            mean: Vec::new(),
            m2: Vec::new(),
            sum: Vec::new(),
            lost: Vec::new(),
            first_time: Vec::new(),
            first: Vec::new(),
            last_time: Vec::new(),
            last: Vec::new(),
            changed: Vec::new(),
            len: 0,
        }
    }

    /// Number of cells for which there is room.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory held.
    pub fn byte_size(&mut self) -> usize {
        let mut size = 0;
        each_array!(self, |array, initial| size += array.capacity() * size_of_val(&initial));
        size
    }

    /// Makes room for cells up to this number.
    pub fn grow(&mut self, len: usize) {
        if len > self.len {
            each_array!(self, |array, initial| array.resize(len, initial));
            self.len = len;
        }
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        each_array!(self, |array, _initial| array.clear());
        self.len = 0;
    }

    /// Keeps the cells that are marked, in their order.
    pub fn retain(&mut self, keep: &[bool]) {
        each_array!(self, |array, _initial| {
            let mut at = 0;
            array.retain(|_| {
                at += 1;
                keep.get(at - 1).copied().unwrap_or(false)
            });
            array.shrink_to_fit();
        });
        self.len = self.count.len();
    }

    /// Marks the cells that hold values.
    pub fn used(&self, used: &mut [bool]) {
        for (used, count) in used.iter_mut().zip(&self.count) {
            *used |= *count > 0.0;
        }
    }

    /// Whether the cell holds values.
    #[inline]
    pub fn is_used(&self, cell: u32) -> bool {
        self.count.get(cell as usize).is_some_and(|count| *count > 0.0)
    }

    /// Whether the cell took values since the window was emitted.
    pub fn is_changed(&self, cell: u32) -> bool {
        self.changed.get(cell as usize).copied().unwrap_or(false)
    }

    /// Notes that the window is emitted.
    pub fn unmark(&mut self) {
        self.changed.fill(false);
    }

    /// Adds values. Each statistic has its own pass: the numbers lie in the nearest cache, and each
    /// pass touches the arrays of one statistic alone.
    pub fn add(&mut self, values: &Values) {
        let stats = self.stats;
        let pairs = || values.cells.iter().map(|cell| *cell as usize).zip(values.values.iter());
        if stats.any(SPREAD) {
            let (count, mean, m2) = (&mut self.count[..], &mut self.mean[..], &mut self.m2[..]);
            let len = count.len().min(mean.len()).min(m2.len());
            let (count, mean, m2) = (&mut count[..len], &mut mean[..len], &mut m2[..len]);
            for (cell, value) in pairs() {
                if cell < len {
                    let number = count[cell] + 1.0;
                    let delta = value - mean[cell];
                    let moved = mean[cell] + delta / number;
                    count[cell] = number;
                    mean[cell] = moved;
                    m2[cell] += delta * (value - moved);
                }
            }
        } else if stats.has(Stat::Mean) {
            for (cell, value) in pairs() {
                if let (Some(count), Some(mean)) = (self.count.get_mut(cell), self.mean.get_mut(cell)) {
                    *count += 1.0;
                    *mean += (value - *mean) / *count;
                }
            }
        } else {
            for (cell, _) in pairs() {
                if let Some(count) = self.count.get_mut(cell) {
                    *count += 1.0;
                }
            }
        }
        if stats.has(Stat::Min) {
            for (cell, value) in pairs() {
                if let Some(min) = self.min.get_mut(cell) {
                    *min = if value < min { *value } else { *min };
                }
            }
        }
        if stats.has(Stat::Max) {
            for (cell, value) in pairs() {
                if let Some(max) = self.max.get_mut(cell) {
                    *max = if value > max { *value } else { *max };
                }
            }
        }
        if stats.has(Stat::Sum) {
            for (cell, value) in pairs() {
                if let (Some(sum), Some(lost)) = (self.sum.get_mut(cell), self.lost.get_mut(cell)) {
                    let total = *sum + value;
                    *lost += if sum.abs() >= value.abs() {
                        (*sum - total) + value
                    } else {
                        (value - total) + *sum
                    };
                    *sum = total;
                }
            }
        }
        self.add_ends(values);
        if self.marks {
            for cell in &values.cells {
                if let Some(changed) = self.changed.get_mut(*cell as usize) {
                    *changed = true;
                }
            }
        }
    }

    /// The earliest and the latest value. Of values of one time the first that came is the earliest
    /// and the last that came the latest.
    fn add_ends(&mut self, values: &Values) {
        let timed = || values.cells.iter().zip(&values.values).zip(&values.times);
        if self.stats.any(FIRST) {
            for ((cell, value), time) in timed() {
                let cell = *cell as usize;
                if let (Some(first_time), Some(first)) =
                    (self.first_time.get_mut(cell), self.first.get_mut(cell))
                    && time < first_time
                {
                    (*first_time, *first) = (*time, *value);
                }
            }
        }
        if self.stats.any(LAST) {
            for ((cell, value), time) in timed() {
                let cell = *cell as usize;
                if let (Some(last_time), Some(last)) =
                    (self.last_time.get_mut(cell), self.last.get_mut(cell))
                    && time >= last_time
                {
                    (*last_time, *last) = (*time, *value);
                }
            }
        }
    }

    /// Appends the payloads of a cell's results and tells which statistics have one. A result that
    /// is not finite is left out and counted.
    pub fn finish(&self, cell: u32, payloads: &mut Vec<u64>, not_finite: &mut u64) -> Stats {
        let mut done = Stats::default();
        if cell == NO_CELL || !self.is_used(cell) {
            return done;
        }
        for stat in self.stats.iter() {
            if stat == Stat::Interval {
                if let Some(interval) = self.interval(cell as usize) {
                    payloads.push(interval as u64);
                    done.insert(stat);
                }
            } else if let Some(value) = self.result(cell as usize, stat) {
                if value.is_finite() {
                    payloads.push(value.to_bits());
                    done.insert(stat);
                } else {
                    *not_finite += 1;
                }
            }
        }
        done
    }

    /// The result of a statistic; `None` if the values are too few for it or it does not apply.
    fn result(&self, cell: usize, stat: Stat) -> Option<f64> {
        let count = *self.count.get(cell)?;
        let several = count > 1.0;
        let at = |array: &[f64]| array.get(cell).copied();
        let diff = || several.then_some(at(&self.last)? - at(&self.first)?);
        let s2 = || several.then_some(at(&self.m2)? / (count - 1.0));
        let rate = |diff: f64| {
            let seconds = self.interval(cell)? as f64 / 1e9;
            Some(if seconds == 0.0 { 0.0 } else { diff / seconds })
        };
        match stat {
            Stat::Count => Some(count),
            Stat::Min => at(&self.min),
            Stat::Max => at(&self.max),
            Stat::Mean => at(&self.mean),
            Stat::S2 => s2(),
            Stat::Stdev => Some(s2()?.sqrt()),
            Stat::Sum => {
                // Once the sum is infinite, its correction is no number.
                let (sum, lost) = (at(&self.sum)?, at(&self.lost)?);
                Some(if lost.is_finite() { sum + lost } else { sum })
            }
            Stat::First => at(&self.first),
            Stat::Last => at(&self.last),
            Stat::Diff => diff(),
            Stat::Rate => rate(diff()?),
            Stat::NonNegativeDiff => diff().filter(|diff| *diff >= 0.0),
            Stat::NonNegativeRate => rate(diff().filter(|diff| *diff >= 0.0)?),
            Stat::PercentChange => Some(diff()? / at(&self.first)? * 100.0),
            Stat::Interval => None,
        }
    }

    fn interval(&self, cell: usize) -> Option<i64> {
        let several = *self.count.get(cell)? > 1.0;
        let (first, last) = (*self.first_time.get(cell)?, *self.last_time.get(cell)?);
        several.then_some(last.saturating_sub(first))
    }
}
