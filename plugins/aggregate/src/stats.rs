//! The statistics that can be asked for, and what each of them needs to be remembered.

use headwater_plugin_api::batch::layout::kind;

headwater_plugin_api::choice! {
    /// One statistic of a field. Its word, with `_` in front, is the suffix of the result's field.
    pub enum Stat {
        /// Number of values.
        Count = "count",
        /// The least value.
        Min = "min",
        /// The greatest value.
        Max = "max",
        /// The arithmetic mean.
        Mean = "mean",
        /// The variance of a sample: the squares are divided by the number of values less one.
        S2 = "s2",
        /// The standard deviation, the root of `s2`.
        Stdev = "stdev",
        /// The sum.
        Sum = "sum",
        /// The earliest value.
        First = "first",
        /// The latest value.
        Last = "last",
        /// The latest value less the earliest.
        Diff = "diff",
        /// `diff` per second; 0 if all values have one time.
        Rate = "rate",
        /// `diff`, unless it is negative.
        NonNegativeDiff = "non_negative_diff",
        /// `rate`, unless `diff` is negative.
        NonNegativeRate = "non_negative_rate",
        /// `diff` in percent of the earliest value.
        PercentChange = "percent_change",
        /// Nanoseconds from the earliest value to the latest.
        Interval = "interval",
    }
}

impl Stat {
    /// All of them, in the order in which their results stand in a point.
    pub const ALL: [Stat; 15] = [
        Stat::Count,
        Stat::Min,
        Stat::Max,
        Stat::Mean,
        Stat::S2,
        Stat::Stdev,
        Stat::Sum,
        Stat::First,
        Stat::Last,
        Stat::Diff,
        Stat::Rate,
        Stat::NonNegativeDiff,
        Stat::NonNegativeRate,
        Stat::PercentChange,
        Stat::Interval,
    ];

    /// The kind of its result.
    pub const fn kind(self) -> u8 {
        match self {
            Stat::Interval => kind::I64,
            _ => kind::F64,
        }
    }
}

/// A set of statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats(u16);

impl Stats {
    /// The set of those in the list.
    pub const fn of(list: &[Stat]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < list.len() {
            set |= 1 << list[at] as u16;
            at += 1;
        }
        Stats(set)
    }

    /// Whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it holds this one.
    pub const fn has(self, stat: Stat) -> bool {
        self.0 & 1 << stat as u16 != 0
    }

    /// Whether it holds one of these.
    pub const fn any(self, others: Stats) -> bool {
        self.0 & others.0 != 0
    }

    /// As bits, one for each place in [`Stat::ALL`].
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set with these bits.
    pub const fn from_bits(bits: u16) -> Self {
        Stats(bits)
    }

    /// Adds one.
    pub fn insert(&mut self, stat: Stat) {
        self.0 |= 1 << stat as u16;
    }

    /// Those it holds, in the order of [`Stat::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Stat> {
        Stat::ALL.into_iter().filter(move |stat| self.has(*stat))
    }
}
