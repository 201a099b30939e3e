//! Runs that were saved, to hold another against them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::figure::{Figure, Spread};
use crate::outcome::Outcome;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// What was measured, in words.
    pub title: String,
    /// Figures by the names of cases and their own.
    pub cases: BTreeMap<String, BTreeMap<String, Spread>>,
}

impl Saved {
    pub fn of(title: &str, outcomes: &[Outcome]) -> Saved {
        let figures = |outcome: &Outcome| {
            outcome.figures.iter().map(|(figure, spread)| (figure.key().into(), *spread)).collect()
        };
        Saved {
            title: title.into(),
            cases: outcomes
                .iter()
                .map(|outcome| (outcome.name.clone(), figures(outcome)))
                .collect(),
        }
    }

    pub fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }

    pub fn read(path: &Path) -> Result<Saved, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("--against {}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| {
            format!("--against {}: {error}; name a file that --save wrote", path.display())
        })
    }

    /// A figure of a case, if the run has it.
    pub fn figure(&self, case: &str, figure: Figure) -> Option<&Spread> {
        self.cases.get(case)?.get(figure.key())
    }
}

/// How a figure changed, in percent; an asterisk if the two runs' spreads do not touch.
pub fn change(before: &Spread, after: &Spread) -> String {
    if before.median == 0.0 {
        return if after.median == 0.0 { "=".into() } else { "new".into() };
    }
    let percent = (after.median - before.median) / before.median.abs() * 100.0;
    let apart = after.low > before.high || after.high < before.low;
    format!("{percent:+.1} %{}", if apart { "*" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Group;

    fn outcome() -> Outcome {
        let mut outcome = Outcome::new("socket -> file", Group::Core);
        outcome.set(Figure::PointsPerSecond, Spread { median: 2e6, low: 1.9e6, high: 2.1e6 });
        outcome.set(Figure::PeakBytes, Spread::exact(8e6));
        outcome
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let saved = Saved::of("2000 points", &[outcome()]);
        let path = std::env::temp_dir().join(format!("yardstick-{}.json", std::process::id()));
        saved.write(&path).unwrap();
        let read = Saved::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read, saved);
        assert_eq!(read.figure("socket -> file", Figure::PeakBytes).unwrap(), &Spread::exact(8e6));
        assert_eq!(read.figure("socket -> file", Figure::CpuShare), None);
        assert_eq!(read.figure("other", Figure::PeakBytes), None);
        assert!(Saved::read(&path).unwrap_err().contains("--against"));
    }

    #[test]
    fn changes_are_percents_and_marked_beyond_the_spread() {
        let before = Spread { median: 100.0, low: 95.0, high: 105.0 };
        let near = Spread { median: 104.0, low: 102.0, high: 110.0 };
        let far = Spread { median: 80.0, low: 78.0, high: 90.0 };
        assert_eq!(change(&before, &near), "+4.0 %");
        assert_eq!(change(&before, &far), "-20.0 %*");
        assert_eq!(change(&Spread::exact(0.0), &Spread::exact(0.0)), "=");
        assert_eq!(change(&Spread::exact(0.0), &Spread::exact(1.0)), "new");
    }
}
