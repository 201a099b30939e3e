//! Results as points: one for each series of a window.

use std::collections::HashMap;

use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::batch::{Batch, BatchBuilder, Refused};

use crate::accumulate::Accumulators;
use crate::catalog::Catalog;
use crate::stats::{Stat, Stats};

/// What became of results.
#[derive(Debug, Clone, Copy, Default)]
pub struct Emitted {
    /// Points.
    pub rows: u64,
    /// Series without a result, such as those with one value where only `s2` is asked for.
    pub empty: u64,
    /// Points that no batch can hold.
    pub refused: u64,
    /// Results left out because they are infinite or no number.
    pub not_finite: u64,
}

/// How a list of results stands in the batch at hand.
#[derive(Debug, Clone, Copy)]
enum Form {
    Shape(u32),
    /// Two of its fields have one name, or the names are too long: the builder must look at each
    /// point.
    Odd,
}

/// Builds batches of results.
#[derive(Default)]
pub struct Emitter {
    builder: BatchBuilder,
    payloads: Vec<u64>,
    /// Field and statistics of each cell of the point at hand.
    signature: Vec<(u32, u16)>,
    /// Those of the point before, whose shape the next one mostly has.
    before: Vec<(u32, u16)>,
    form: Option<Form>,
    forms: HashMap<Vec<(u32, u16)>, Form>,
    /// What was counted since the last look.
    pub counts: Emitted,
}

impl Emitter {
    /// Appends the points of a window, of all its series or of those that have changed.
    pub fn window(
        &mut self,
        catalog: &Catalog,
        content: &Accumulators,
        changed_only: bool,
        time: i64,
        out: &mut Vec<Batch>,
    ) {
        let max_fields = self.builder.limits().fields as usize;
        for group in 0..catalog.len() as u32 {
            if changed_only && !catalog.cells_of(group).any(|(cell, _)| content.is_changed(cell)) {
                continue;
            }
            let (mut is_used, mut is_empty) = (false, true);
            for (cell, field) in catalog.cells_of(group) {
                if !content.is_used(cell) {
                    continue;
                }
                is_used = true;
                if self.payloads.len() + Stat::ALL.len() > max_fields {
                    self.row(catalog, group, time, out);
                }
                let lost = &mut self.counts.not_finite;
                let stats = content.finish(cell, &mut self.payloads, lost);
                if !stats.is_empty() {
                    is_empty = false;
                    self.signature.push((field, stats.bits()));
                }
            }
            if !self.payloads.is_empty() {
                self.row(catalog, group, time, out);
            }
            self.counts.empty += u64::from(is_used && is_empty);
        }
        self.finish(out);
    }

    /// Ends the batch at hand.
    fn finish(&mut self, out: &mut Vec<Batch>) {
        out.extend(self.builder.finish());
        self.forms.clear();
        self.form = None;
    }

    fn row(&mut self, catalog: &Catalog, group: u32, time: i64, out: &mut Vec<Batch>) {
        if self.builder.is_full() {
            self.finish(out);
        }
        let form = match self.form {
            Some(form) if self.before == self.signature => form,
            _ => self.find_form(catalog),
        };
        let result = match form {
            Form::Shape(shape) => {
                let first = self.builder.values().len() as u32;
                self.builder.values().extend_from_slice(&self.payloads);
                let series = self.builder.append_series(&catalog.series(group), Some(group));
                self.builder.set_series_kind(series, metric_kind::UNTYPED);
                self.builder.push_row(time, series, shape, first);
                Ok(())
            }
            Form::Odd => self.odd_row(catalog, group, time),
        };
        match result {
            Ok(()) => self.counts.rows += 1,
            Err(_) => self.counts.refused += 1,
        }
        self.payloads.clear();
        self.signature.clear();
    }

    fn find_form(&mut self, catalog: &Catalog) -> Form {
        let form = match self.forms.get(&self.signature) {
            Some(form) => *form,
            None => {
                let form = self.make_form(catalog);
                self.forms.insert(self.signature.clone(), form);
                form
            }
        };
        self.before.clone_from(&self.signature);
        self.form = Some(form);
        form
    }

    fn make_form(&mut self, catalog: &Catalog) -> Form {
        let names = names(catalog, &self.signature);
        let limits = self.builder.limits();
        let mut seen: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
        seen.sort_unstable();
        let bytes: usize = seen.iter().map(|name| name.len()).sum();
        let is_odd = seen.windows(2).any(|pair| pair[0] == pair[1])
            || bytes > limits.point_bytes as usize
            || seen.iter().any(|name| name.len() > limits.name_bytes as usize);
        if is_odd {
            return Form::Odd;
        }
        let fields = names.iter().map(|(name, stat)| (name.as_str(), stat.kind()));
        Form::Shape(self.builder.shape(fields))
    }

    /// A point that the builder must check: of two fields with one name the later one counts.
    fn odd_row(&mut self, catalog: &Catalog, group: u32, time: i64) -> Result<(), Refused> {
        let names = names(catalog, &self.signature);
        let series = catalog.series(group);
        let mut point = self.builder.point(series.name()).tags(series.tags());
        for ((name, stat), payload) in names.iter().zip(&self.payloads) {
            point = match stat {
                Stat::Interval => point.field(name, *payload as i64),
                _ => point.field(name, f64::from_bits(*payload)),
            };
        }
        point.finish(time)
    }
}

/// Name and statistic of each result.
fn names(catalog: &Catalog, signature: &[(u32, u16)]) -> Vec<(String, Stat)> {
    let of = |(field, bits): &(u32, u16)| {
        let key = catalog.field_key(*field);
        let stats = Stats::from_bits(*bits).iter();
        stats.map(|stat| (format!("{key}_{}", stat.word()), stat)).collect::<Vec<_>>()
    };
    signature.iter().flat_map(of).collect()
}
