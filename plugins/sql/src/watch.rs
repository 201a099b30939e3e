//! Names of columns that no point ever had: reported once, with the nearest known ones.

use std::collections::BTreeSet;

use headwater_plugin_api::batch::SeriesRef;
use headwater_plugin_api::config::nearest;

use crate::plan::{Column, Plan};

/// Which columns of a statement were met.
pub struct Watch {
    missing: Vec<Column>,
    known: BTreeSet<String>,
    /// When the first point of interest came.
    since: Option<i64>,
    done: bool,
}

impl Watch {
    /// How many names are remembered to suggest.
    const MAX_NAMES: usize = 256;
    /// How long a name may be missing before it is reported.
    const PATIENCE_NS: i64 = 30_000_000_000;

    pub fn new(plan: &Plan) -> Self {
        let mut missing = plan.columns.clone();
        // What the query does not write is nobody's mistake.
        missing.retain(|column| column.area.line > 0);
        missing.retain(|column| {
            plan.table.iter().flat_map(|table| &table.columns).all(|of| of.name != column.name)
        });
        let done = missing.is_empty() || plan.reads.is_hidden();
        missing.sort_by_key(|column| (column.area.line, column.area.column));
        Watch { missing, known: BTreeSet::new(), since: None, done }
    }

    /// Takes note of a name of a field or tag.
    pub fn met(&mut self, name: &str) {
        if self.done {
            return;
        }
        self.missing.retain(|column| column.name != name);
        if self.known.len() < Self::MAX_NAMES && !self.known.contains(name) {
            self.known.insert(name.to_owned());
        }
    }

    /// Takes note of a series that the statement reads.
    pub fn series(&mut self, series: &SeriesRef<'_>, now: i64) {
        if !self.done {
            self.since.get_or_insert(now);
            series.tags().for_each(|(key, _)| self.met(key));
        }
    }

    /// Takes note of what another one met.
    pub fn absorb(&mut self, other: &Watch) {
        if self.done || other.since.is_none() {
            return;
        }
        self.since = [self.since, other.since].into_iter().flatten().min();
        self.missing.retain(|column| other.missing.contains(column));
        for name in &other.known {
            if self.known.len() < Self::MAX_NAMES && !self.known.contains(name) {
                self.known.insert(name.clone());
            }
        }
    }

    /// What is to be reported: nothing before there was time for all names to come, and nothing
    /// twice.
    pub fn report(&mut self, now: i64, at_once: bool) -> Vec<String> {
        let Some(since) = self.since else { return Vec::new() };
        if self.done || !at_once && now.saturating_sub(since) < Self::PATIENCE_NS {
            return Vec::new();
        }
        self.done = true;
        let sentence = |column: &Column| {
            let name = &column.name;
            let place = format!("line {}, column {}", column.area.line, column.area.column);
            let hint = match nearest(name, &self.known) {
                Some(near) => format!("; did you mean `{near}`?"),
                None if self.known.is_empty() => String::new(),
                None => {
                    let names: Vec<&str> = self.known.iter().take(12).map(String::as_str).collect();
                    format!("; known are {}", names.join(", "))
                }
            };
            format!("query, {place}: no point so far has a field or tag `{name}`{hint}")
        };
        let reports = self.missing.iter().map(sentence).collect();
        self.known.clear();
        reports
    }
}
