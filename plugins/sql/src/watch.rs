//! Names of columns that no point ever had, and of measurements that never came: reported once, with the
//! nearest known ones.

use std::collections::BTreeSet;

use headwater_plugin_api::batch::SeriesRef;
use headwater_plugin_api::config::nearest;

use crate::plan::{Column, Plan, Reads, ResultName};

/// Which columns of a statement were met.
pub struct Watch {
    missing: Vec<Column>,
    known: BTreeSet<String>,
    /// When the first point of interest came.
    since: Option<i64>,
    done: bool,
    /// What is read, unless it may come from elsewhere than from outside.
    reads: Option<Reads>,
    /// Measurements that came instead.
    others: BTreeSet<String>,
}

impl Watch {
    /// How many names are remembered to suggest.
    const MAX_NAMES: usize = 256;
    /// How many measurements are.
    const MAX_OTHERS: usize = 64;
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
        let is_named = matches!(plan.reads, Reads::Name(_) | Reads::Globs(_));
        let reads = Some(plan.reads.clone()).filter(|reads| is_named && !reads.is_hidden());
        Watch { missing, known: BTreeSet::new(), since: None, done, reads, others: BTreeSet::new() }
    }

    /// Tells of the rows of an earlier statement, of which there may be none.
    pub fn expect(&mut self, rows: &ResultName) {
        let makes = |reads: &mut Reads| match rows {
            ResultName::Fixed(name) => reads.matches(name),
            ResultName::Derived => true,
        };
        self.reads.take_if(makes);
    }

    /// Takes note of a measurement that the statement does not read.
    pub fn other(&mut self, measurement: &str) {
        let wants = self.since.is_none() && self.reads.is_some();
        if wants && self.others.len() < Self::MAX_OTHERS && !self.others.contains(measurement) {
            self.others.insert(measurement.to_owned());
        }
    }

    /// What is to be said at the end of a statement to which nothing came that it reads, though points
    /// came.
    pub fn unread(&mut self) -> Option<String> {
        let others = std::mem::take(&mut self.others);
        let reads = self.reads.take().filter(|_| self.since.is_none() && !others.is_empty())?;
        let (what, near) = match &reads {
            Reads::Name(name) => {
                (format!("is of the measurement `{name}`"), nearest(name, &others))
            }
            _ => ("is of a measurement that the patterns match".to_owned(), None),
        };
        Some(match near {
            Some(near) => format!("no point {what}; did you mean `{near}`?"),
            None => {
                let names: Vec<&str> = others.iter().take(12).map(String::as_str).collect();
                let more = if others.len() > names.len() { ", and others" } else { "" };
                format!("no point {what}; there were those of {}{more}", names.join(", "))
            }
        })
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
        self.since.get_or_insert(now);
        if !self.done {
            series.tags().for_each(|(key, _)| self.met(key));
        }
    }

    /// Takes note of what another one met.
    pub fn absorb(&mut self, other: &Watch) {
        other.others.iter().for_each(|name| self.other(name));
        self.since = [self.since, other.since].into_iter().flatten().min();
        if self.done || other.since.is_none() {
            return;
        }
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
                _ if is_quoted(column) => {
                    "; what stands in double quotes is a name, texts stand in single ones"
                        .to_owned()
                }
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

/// Whether it is written as texts are where all quotes mean the same: quoted, and without a source.
fn is_quoted(column: &Column) -> bool {
    let written = column.area.end_column.saturating_sub(column.area.column) as usize;
    column.quoted && written == column.name.chars().count() + 2
}
