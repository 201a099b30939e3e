//! What came out of a case: its figures, and how they stand to the bars.

use std::collections::BTreeMap;

use crate::case::Group;
use crate::figure::{Bar, Figure, Spread};

/// A measured case.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub name: String,
    pub group: Group,
    pub figures: BTreeMap<Figure, Spread>,
    pub bars: Vec<Bar>,
    /// What of the output was held against what it should be.
    pub checked: String,
    /// Why it could not be measured, or what of the output was wrong.
    pub failed: Option<String>,
}

impl Outcome {
    pub fn new(name: impl Into<String>, group: Group) -> Outcome {
        Outcome {
            name: name.into(),
            group,
            figures: BTreeMap::new(),
            bars: Vec::new(),
            checked: String::new(),
            failed: None,
        }
    }

    /// What a measurement gave, or that it failed.
    pub fn or_failed(name: &str, group: Group, measured: Result<Outcome, String>) -> Outcome {
        measured
            .unwrap_or_else(|error| Outcome { failed: Some(error), ..Outcome::new(name, group) })
    }

    pub fn set(&mut self, figure: Figure, spread: Spread) {
        self.figures.insert(figure, spread);
    }

    /// Takes the figures of several runs together.
    pub fn set_runs(&mut self, runs: &[Vec<(Figure, f64)>]) {
        let mut values: BTreeMap<Figure, Vec<f64>> = BTreeMap::new();
        for (figure, value) in runs.iter().flatten() {
            values.entry(*figure).or_default().push(*value);
        }
        for (figure, values) in values {
            if let Some(spread) = Spread::of(values) {
                self.set(figure, spread);
            }
        }
    }

    pub fn median(&self, figure: Figure) -> Option<f64> {
        self.figures.get(&figure).map(|spread| spread.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_become_spreads() {
        let mut outcome = Outcome::new("a", Group::Core);
        outcome.set_runs(&[
            vec![(Figure::Threads, 3.0), (Figure::CpuShare, 0.5)],
            vec![(Figure::Threads, 5.0)],
            vec![(Figure::Threads, 4.0)],
        ]);
        let threads = Spread { median: 4.0, low: 3.0, high: 5.0 };
        assert_eq!(outcome.figures.get(&Figure::Threads), Some(&threads));
        assert_eq!(outcome.median(Figure::CpuShare), Some(0.5));
        assert_eq!(outcome.median(Figure::PeakBytes), None);
    }
}
