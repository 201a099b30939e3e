//! What is measured: figures with their units, their spread over several runs, and the bars that
//! the design sets for them.

use serde::{Deserialize, Serialize};

macro_rules! figures {
    ($($variant:ident $key:literal $title:literal $unit:ident),* $(,)?) => {
        /// A figure of a case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Figure { $($variant),* }

        impl Figure {
            #[cfg(test)]
            const ALL: &[Figure] = &[$(Figure::$variant),*];

            /// Its name in saved runs.
            pub fn key(self) -> &'static str {
                match self { $(Figure::$variant => $key),* }
            }

            /// Its name for people.
            pub fn title(self) -> &'static str {
                match self { $(Figure::$variant => $title),* }
            }

            fn unit(self) -> Unit {
                match self { $(Figure::$variant => Unit::$unit),* }
            }
        }
    };
}

enum Unit {
    Count,
    Decimals,
    Millions,
    Mib,
    Megabytes,
    Percent,
    Times,
    Milliseconds,
    Nanoseconds,
}

figures! {
    PointsPerSecond "points_per_second" "points/s wall" Millions,
    PointsPerCpuSecond "points_per_cpu_second" "points per CPU-s" Millions,
    BytesPerSecond "bytes_per_second" "MB/s" Megabytes,
    InstructionsPerPoint "instructions_per_point" "instructions a point" Count,
    AllocationsPerPoint "allocations_per_point" "allocations a point" Decimals,
    PeakBytes "peak_bytes" "peak resident" Mib,
    ReferenceRatio "reference_ratio" "times reference" Times,
    CallsPerMegabyte "calls_per_megabyte" "read and write calls a MB" Count,
    ReadPerByte "read_per_byte" "bytes read a byte" Decimals,
    WrittenPerByte "written_per_byte" "bytes written a byte" Decimals,
    SwitchesPerMegabyte "switches_per_megabyte" "context switches a MB" Decimals,
    PointsDropped "points_dropped_share" "points dropped and counted" Percent,
    ResidentBytes "resident_bytes" "resident" Mib,
    AnonymousBytes "anonymous_bytes" "of it anonymous" Mib,
    CpuShare "cpu_share" "share of a core" Percent,
    Threads "threads" "threads" Count,
    WakeupsPerSecond "wakeups_per_second" "wake-ups a second" Decimals,
    FirstMetric "first_metric_ms" "start to first metric" Milliseconds,
    ProgramBytes "program_bytes" "agent, stripped" Mib,
    FamiliesBytes "families_bytes" "families, stripped" Mib,
    TotalBytes "total_bytes" "together" Mib,
    StartBytes "start_bytes" "resident at the start" Mib,
    AfterBytes "after_bytes" "resident after silence" Mib,
    AfterRatio "after_ratio" "after, of the start" Times,
    SilenceSeconds "silence_ms" "silence until then" Milliseconds,
    Speedup "speedup" "ratio" Times,
    GroupBytes "group_bytes" "resident bytes a group" Count,
    CheckpointBytes "checkpoint_bytes" "a checkpoint" Mib,
    EncodeTime "encode_ms" "the stream stands still for it" Milliseconds,
    StoreTime "store_ms" "until it is on the disk" Milliseconds,
    NanosPerPoint "nanos_per_point" "CPU time a point" Nanoseconds,
}

impl Figure {
    /// A value as it stands in the table.
    pub fn show(self, value: f64) -> String {
        let mib = value / f64::from(1 << 20);
        match self.unit() {
            Unit::Count => format!("{value:.0}"),
            Unit::Decimals if value.abs() >= 10.0 => format!("{value:.1}"),
            Unit::Decimals => format!("{value:.3}"),
            Unit::Millions => format!("{:.2} M", value / 1e6),
            Unit::Mib => format!("{mib:.1} MiB"),
            Unit::Megabytes => format!("{:.0}", value / 1e6),
            Unit::Percent => format!("{:.3} %", value * 100.0),
            Unit::Times => format!("{value:.2}"),
            Unit::Milliseconds => format!("{value:.2} ms"),
            Unit::Nanoseconds => format!("{value:.1} ns"),
        }
    }
}

/// Median, least and greatest of several runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    /// `None` without a value.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            0 => f64::midpoint(values[middle - 1], values[middle]),
            _ => values[middle],
        };
        Some(Spread { median, low, high })
    }

    /// Of a figure that one run tells for good.
    pub fn exact(value: f64) -> Spread {
        Spread { median: value, low: value, high: value }
    }

    /// How far the runs lie from the median at most, in percent of it.
    pub fn percent(&self) -> f64 {
        let far = (self.high - self.median).max(self.median - self.low);
        if self.median == 0.0 { 0.0 } else { far / self.median.abs() * 100.0 }
    }
}

/// A bar of the design's section 8.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    pub figure: Figure,
    pub limit: Limit,
}

/// Where a bar lies.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
    /// So many times the points per CPU-second of the `influxdb-line-protocol` crate on the design's
    /// line, so that a bar from another machine holds on this one.
    CrateTimes(f64),
}

/// How a figure stands to its bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Met,
    AboveHalf,
    BelowHalf,
}

impl Verdict {
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::AboveHalf => "above half",
            Verdict::BelowHalf => "BELOW HALF",
        }
    }
}

impl Bar {
    /// The bar on this machine; `None` if the crate was not measured.
    pub fn here(&self, crate_rate: Option<f64>) -> Option<f64> {
        match self.limit {
            Limit::AtLeast(bar) | Limit::AtMost(bar) => Some(bar),
            Limit::CrateTimes(times) => Some(times * crate_rate?),
        }
    }

    /// Where a value stands. A greatest value is half kept if it is no more than twice too large.
    pub fn judge(&self, value: f64, crate_rate: Option<f64>) -> Option<Verdict> {
        let bar = self.here(crate_rate)?;
        let share = match self.limit {
            Limit::AtMost(_) => bar / value.max(f64::MIN_POSITIVE),
            Limit::AtLeast(_) | Limit::CrateTimes(_) => value / bar,
        };
        Some(match share {
            share if share >= 1.0 => Verdict::Met,
            share if share >= 0.5 => Verdict::AboveHalf,
            _ => Verdict::BelowHalf,
        })
    }

    /// Figure, bar and verdict in words.
    pub fn say(&self, value: f64, crate_rate: Option<f64>) -> String {
        let (Some(here), Some(verdict)) = (self.here(crate_rate), self.judge(value, crate_rate))
        else {
            return String::new();
        };
        let sign = if matches!(self.limit, Limit::AtMost(_)) { "<=" } else { ">=" };
        let of = match self.limit {
            Limit::CrateTimes(times) => format!(" ({times} x crate)"),
            _ => String::new(),
        };
        format!("{sign} {}{of}: {}", self.figure.show(here), verdict.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_tell_middle_and_ends() {
        assert_eq!(Spread::of(Vec::new()), None);
        assert_eq!(Spread::of(vec![3.0]), Some(Spread::exact(3.0)));
        let spread = Spread::of(vec![5.0, 4.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { median: 4.0, low: 3.0, high: 5.0 });
        assert_eq!(spread.percent(), 25.0);
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
    }

    #[test]
    fn bars_are_met_half_or_less() {
        let verdict = |limit, value| {
            Bar { figure: Figure::Speedup, limit }.judge(value, Some(100.0)).unwrap()
        };
        for (limit, met, half, below) in [
            (Limit::AtLeast(4.0), 4.0, 2.0, 1.9),
            (Limit::AtMost(4.0), 4.0, 8.0, 8.1),
            (Limit::CrateTimes(0.04), 4.0, 2.0, 1.9),
        ] {
            assert_eq!(verdict(limit, met), Verdict::Met, "{limit:?}");
            assert_eq!(verdict(limit, half), Verdict::AboveHalf, "{limit:?}");
            assert_eq!(verdict(limit, below), Verdict::BelowHalf, "{limit:?}");
        }
        let unknown = Bar { figure: Figure::Speedup, limit: Limit::CrateTimes(4.0) };
        assert_eq!(unknown.judge(1.0, None), None);
    }

    #[test]
    fn no_two_figures_have_a_name_in_common() {
        for name in [Figure::key, Figure::title] {
            let names: std::collections::HashSet<&str> =
                Figure::ALL.iter().map(|figure| name(*figure)).collect();
            assert_eq!(names.len(), Figure::ALL.len());
        }
    }
}
