//! Figures of one case against another of the same run.

use crate::case::Group;
use crate::cases::{
    EIGHT_ONE, EIGHT_TWO, FILE_ONE, FILE_TWO, PARSE_ONLY, TCP_ONE, TCP_TWO, TO_NULL,
};
use crate::figure::{Bar, Figure, Limit, Spread};
use crate::outcome::Outcome;
use crate::statements;

struct Pair {
    name: &'static str,
    group: Group,
    one: &'static str,
    other: &'static str,
    how: How,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum How {
    /// Points per second of wall time, one by the other.
    Speedup,
    /// Points per CPU-second, one by the other.
    CpuTimes,
    /// Nanoseconds of CPU time a point, one less the other.
    Nanos,
}

const PAIRS: &[Pair] = &[
    Pair {
        name: "line protocol out (to /dev/null, less parse only)",
        group: Group::Core,
        one: TO_NULL,
        other: PARSE_ONLY,
        how: How::Nanos,
        // 9 M points/s a core.
        limit: Limit::AtMost(111.1),
    },
    Pair {
        name: "hopping against tumbling",
        group: Group::Sql,
        one: statements::TUMBLING,
        other: statements::HOPPING,
        how: How::CpuTimes,
        limit: Limit::AtMost(2.0),
    },
    Pair {
        name: "WHERE on tags against none",
        group: Group::Sql,
        one: statements::WITH_WHERE,
        other: statements::TUMBLING,
        how: How::Nanos,
        limit: Limit::AtMost(1.0),
    },
    Pair {
        name: "two workers against one: preloaded file",
        group: Group::Scale,
        one: FILE_TWO,
        other: FILE_ONE,
        how: How::Speedup,
        limit: Limit::AtLeast(1.8),
    },
    Pair {
        name: "two workers against one: one connection",
        group: Group::Scale,
        one: TCP_TWO,
        other: TCP_ONE,
        how: How::Speedup,
        limit: Limit::AtLeast(1.5),
    },
    Pair {
        name: "two workers against one: eight connections",
        group: Group::Scale,
        one: EIGHT_TWO,
        other: EIGHT_ONE,
        how: How::Speedup,
        limit: Limit::AtLeast(1.5),
    },
];

/// The pairs of which both were measured.
pub fn pairs(outcomes: &[Outcome]) -> Vec<Outcome> {
    let find = |name: &str, figure: Figure| {
        outcomes.iter().find(|outcome| outcome.name == name)?.figures.get(&figure).copied()
    };
    let compared = PAIRS.iter().filter_map(|pair| {
        let (figure, spread) = match pair.how {
            How::Speedup => {
                let one = find(pair.one, Figure::PointsPerSecond)?;
                let other = find(pair.other, Figure::PointsPerSecond)?;
                (Figure::Speedup, ratio(&one, &other))
            }
            How::CpuTimes => {
                let one = find(pair.one, Figure::PointsPerCpuSecond)?;
                let other = find(pair.other, Figure::PointsPerCpuSecond)?;
                (Figure::Speedup, ratio(&one, &other))
            }
            How::Nanos => {
                let one = nanos(&find(pair.one, Figure::PointsPerCpuSecond)?);
                let other = nanos(&find(pair.other, Figure::PointsPerCpuSecond)?);
                (Figure::NanosPerPoint, difference(&one, &other))
            }
        };
        let mut outcome = Outcome::new(pair.name, pair.group);
        outcome.set(figure, spread);
        outcome.bars.push(Bar { figure, limit: pair.limit });
        outcome.checked = "from the rows above".into();
        Some(outcome)
    });
    compared.collect()
}

fn nanos(rate: &Spread) -> Spread {
    Spread { median: 1e9 / rate.median, low: 1e9 / rate.high, high: 1e9 / rate.low }
}

/// One by the other, as far apart as the runs of both allow.
pub fn ratio(one: &Spread, other: &Spread) -> Spread {
    Spread {
        median: one.median / other.median,
        low: one.low / other.high,
        high: one.high / other.low,
    }
}

fn difference(one: &Spread, other: &Spread) -> Spread {
    Spread {
        median: one.median - other.median,
        low: one.low - other.high,
        high: one.high - other.low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::cases;

    #[test]
    fn every_pair_names_cases() {
        for pair in PAIRS {
            for name in [pair.one, pair.other] {
                assert!(cases().any(|case| case.name == name), "{name}");
            }
        }
    }

    #[test]
    fn pairs_are_made_of_what_was_measured() {
        let outcome = |name: &str, figure, median: f64| {
            let mut outcome = Outcome::new(name, Group::Scale);
            outcome.set(figure, Spread { median, low: median * 0.9, high: median * 1.1 });
            outcome
        };
        let one = outcome(TCP_ONE, Figure::PointsPerSecond, 2e6);
        let two = outcome(TCP_TWO, Figure::PointsPerSecond, 3e6);
        assert!(pairs(std::slice::from_ref(&one)).is_empty());
        let made = pairs(&[one, two]);
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].median(Figure::Speedup), Some(1.5));
        let parse = outcome(PARSE_ONLY, Figure::PointsPerCpuSecond, 10e6);
        let null = outcome(TO_NULL, Figure::PointsPerCpuSecond, 8e6);
        let made = pairs(&[parse, null]);
        assert!((made[0].median(Figure::NanosPerPoint).unwrap() - 25.0).abs() < 1e-9);
    }
}
