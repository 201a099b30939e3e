//! The recorded costs, and how a new one is held against them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;

/// What a point costs.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Instructions a point.
    pub instructions: f64,
    /// Allocations a point.
    pub allocations: f64,
}

/// The file `tests/guards.toml`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Compiler and valgrind that it was made with.
    pub recorded_with: String,
    /// By how many percent instructions may differ.
    pub instructions_margin_percent: f64,
    /// By how much allocations a point may differ.
    pub allocations_margin: f64,
    /// By the guards' names.
    pub guards: BTreeMap<String, Cost>,
}

/// What is said about one guard.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Within the margins.
    Kept,
    /// Cheaper than the record allows for.
    Cheaper(String),
    /// Dearer, and by how much; or there is no record.
    Failed(String),
}

impl Default for Record {
    fn default() -> Self {
        Record {
            recorded_with: String::new(),
            instructions_margin_percent: 2.0,
            allocations_margin: 0.0005,
            guards: BTreeMap::new(),
        }
    }
}

impl Record {
    /// Reads the file's text.
    ///
    /// # Errors
    /// It is not such a file.
    pub fn read(text: &str) -> Result<Record, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The file's text.
    pub fn write(&self) -> String {
        let mut text = format!(
            "# What a point costs at most, counted by callgrind; `tests/guards` checks it, and\n\
             # `tests/guards --record` writes this file. A slower change fails; a faster one is recorded with it.\n\
             recorded_with = {:?}\n\
             instructions_margin_percent = {:?}\n\
             allocations_margin = {:?}\n\n[guards]\n",
            self.recorded_with, self.instructions_margin_percent, self.allocations_margin
        );
        let width = self.guards.keys().map(String::len).max().unwrap_or(0);
        for (name, cost) in &self.guards {
            let _ = writeln!(
                text,
                "{name:width$} = {{ instructions = {:.1}, allocations = {:.5} }}",
                cost.instructions, cost.allocations
            );
        }
        text
    }

    /// Holds a cost against the record.
    pub fn judge(&self, name: &str, cost: Cost) -> Verdict {
        let Some(recorded) = self.guards.get(name) else {
            return Verdict::Failed("it is not recorded".into());
        };
        let change = change_percent(*recorded, cost);
        let more = cost.allocations - recorded.allocations;
        let mut found = Vec::new();
        if change.abs() > self.instructions_margin_percent {
            found.push((
                change,
                format!(
                    "{:.1} instructions a point, recorded {:.1}: {change:+.1} %, allowed {:.1} %",
                    cost.instructions, recorded.instructions, self.instructions_margin_percent
                ),
            ));
        }
        if more.abs() > self.allocations_margin {
            found.push((
                more,
                format!(
                    "{:.5} allocations a point, recorded {:.5}: {more:+.5}, allowed {:.5}",
                    cost.allocations, recorded.allocations, self.allocations_margin
                ),
            ));
        }
        let told = |dearer: bool| {
            let found = found.iter().filter(|(by, _)| (*by > 0.0) == dearer);
            found.map(|(_, words)| words.as_str()).collect::<Vec<_>>().join("; ")
        };
        match (told(true), told(false)) {
            (dearer, _) if !dearer.is_empty() => Verdict::Failed(dearer),
            (_, cheaper) if !cheaper.is_empty() => Verdict::Cheaper(cheaper),
            _ => Verdict::Kept,
        }
    }
}

/// By how many percent the instructions changed.
pub fn change_percent(recorded: Cost, now: Cost) -> f64 {
    (now.instructions / recorded.instructions.max(0.1) - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(instructions: f64, allocations: f64) -> Cost {
        Cost { instructions, allocations }
    }

    fn record() -> Record {
        let guards = [("a".to_owned(), cost(1000.0, 0.01)), ("bc".to_owned(), cost(2.5, 0.0))];
        Record {
            recorded_with: "rustc 1".into(),
            instructions_margin_percent: 3.0,
            allocations_margin: 0.0005,
            guards: guards.into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Record::read(&record().write()).unwrap(), record());
        let error = Record::read("recorded_with = 1").unwrap_err();
        assert!(error.contains("recorded_with"), "{error}");
        let more = record().write().replace("allocations =", "alocations =");
        assert!(Record::read(&more).is_err());
    }

    #[test]
    fn dearer_fails_and_tells_by_how_much() {
        let record = record();
        assert_eq!(record.judge("a", cost(1029.0, 0.0104)), Verdict::Kept);
        let told = |cost| match record.judge("a", cost) {
            Verdict::Failed(words) => words,
            other => panic!("{other:?}"),
        };
        let words = told(cost(1031.0, 0.01));
        assert_eq!(words, "1031.0 instructions a point, recorded 1000.0: +3.1 %, allowed 3.0 %");
        let words = told(cost(900.0, 0.02));
        assert_eq!(
            words,
            "0.02000 allocations a point, recorded 0.01000: +0.01000, allowed 0.00050"
        );
        assert!(told(cost(2000.0, 1.0)).contains("; 1.00000 allocations"));
    }

    #[test]
    fn cheaper_is_told_and_what_has_no_record_fails() {
        let record = record();
        assert!(matches!(record.judge("a", cost(960.0, 0.01)), Verdict::Cheaper(_)));
        assert!(matches!(record.judge("a", cost(1000.0, 0.0)), Verdict::Cheaper(_)));
        assert!(matches!(record.judge("b", cost(1.0, 0.0)), Verdict::Failed(_)));
    }
}
