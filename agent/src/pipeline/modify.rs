//! Selectors and modifiers over a batch: decided once for each series and each shape.

use headwater_plugin_api::batch::{
    Batch, FieldEdit, SeriesDraft, SeriesEdit, SeriesMap, SeriesRef,
};

use crate::config::{Modifiers, Naming, Selectors};

/// When names change, relative to the modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesWhen {
    /// Before them: inputs.
    First,
    /// After them: outputs.
    Last,
}

/// What a plugin's common options do to points that enter or leave it.
#[derive(Debug, Clone)]
pub struct Shaping {
    /// Which points pass.
    pub selectors: Selectors,
    /// Which fields and tags stay.
    pub modifiers: Modifiers,
    /// The new measurement name.
    pub naming: Naming,
    /// The plugin's own tags: never over a point's.
    pub tags: Vec<(String, String)>,
    /// Tags of the whole agent: never over a point's or the plugin's.
    pub global_tags: Vec<(String, String)>,
    /// Whether the plugin's tags stay, whatever the modifiers say.
    pub keep_local_tags: bool,
    /// Whether the global tags stay, whatever the modifiers say.
    pub keep_global_tags: bool,
    /// When names change.
    pub names: NamesWhen,
}

impl Default for Shaping {
    fn default() -> Self {
        Shaping {
            selectors: Selectors::default(),
            modifiers: Modifiers::default(),
            naming: Naming::default(),
            tags: Vec::new(),
            global_tags: Vec::new(),
            keep_local_tags: false,
            keep_global_tags: false,
            names: NamesWhen::First,
        }
    }
}

impl Shaping {
    fn looks_at_series(&self) -> bool {
        !self.selectors.is_empty()
            || self.modifiers.changes_tags()
            || !self.naming.is_empty()
            || !self.tags.is_empty()
            || !self.global_tags.is_empty()
    }

    /// Applies all of it. `source_tags` are those of the connection or file. `map` remembers the
    /// outcome for each series and must see one shaping and one set of source tags alone.
    pub fn apply(&self, map: &mut SeriesMap, batch: &mut Batch, source_tags: &[(String, String)]) {
        if self.looks_at_series() || !source_tags.is_empty() {
            // A series that the edit makes impossible (such as an empty name) is dropped there.
            let _ = map.apply(batch, |series, draft| self.edit(series, draft, source_tags));
        }
        if self.modifiers.changes_fields() && !batch.is_empty() {
            batch.edit_fields(|key, _| {
                if self.modifiers.keeps_field(key) { FieldEdit::Keep } else { FieldEdit::Drop }
            });
        }
    }

    fn edit(
        &self,
        series: &SeriesRef<'_>,
        draft: &mut SeriesDraft,
        source_tags: &[(String, String)],
    ) -> SeriesEdit {
        if !self.selectors.is_empty() && !self.selectors.select(series.name(), series.tags()) {
            return SeriesEdit::Drop;
        }
        let mut changed = false;
        if self.names == NamesWhen::First {
            changed |= self.rename(draft);
        }
        for (key, value) in source_tags.iter().chain(&self.tags).chain(&self.global_tags) {
            if draft.tag(key).is_none() {
                draft.set_tag(key, value);
                changed = true;
            }
        }
        if self.modifiers.changes_tags() {
            let before = draft.tags().len();
            let is_local = |key: &str| self.tags.iter().any(|(k, _)| k == key);
            let is_global = |key: &str| self.global_tags.iter().any(|(k, _)| k == key);
            draft.retain_tags(|key, _| {
                self.modifiers.keeps_tag(key)
                    || (self.keep_local_tags && is_local(key))
                    || (self.keep_global_tags && is_global(key))
            });
            changed |= draft.tags().len() != before;
        }
        if self.names == NamesWhen::Last {
            changed |= self.rename(draft);
        }
        if changed { SeriesEdit::Replace } else { SeriesEdit::Keep }
    }

    fn rename(&self, draft: &mut SeriesDraft) -> bool {
        if self.naming.is_empty() {
            return false;
        }
        draft.name = self.naming.apply(&draft.name);
        true
    }
}

/// Splits a batch by selectors: what they take, and what goes past.
pub fn split(
    selectors: &Selectors,
    map: &mut SeriesMap,
    batch: Batch,
) -> (Option<Batch>, Option<Batch>) {
    if selectors.is_empty() {
        return (Some(batch), None);
    }
    let mut taken = batch.clone();
    let _ = map.apply(&mut taken, |series, _| {
        if selectors.select(series.name(), series.tags()) {
            SeriesEdit::Keep
        } else {
            SeriesEdit::Drop
        }
    });
    if taken.len() == batch.len() {
        return (Some(taken), None);
    }
    if taken.is_empty() {
        return (None, Some(batch));
    }
    let mut past = batch;
    let chosen: Vec<bool> = {
        let mut chosen = vec![false; past.tables().rows().len()];
        for (index, _) in taken.rows() {
            chosen[index] = true;
        }
        chosen
    };
    past.retain_indexed(|index, _| !chosen[index]);
    (Some(taken), Some(past))
}

/// Rounds times to a grid from the year 1, half up, as Telegraf does.
pub fn round_times(batch: &mut Batch, precision_ns: i64) {
    if precision_ns <= 1 {
        return;
    }
    // From the year 1 to the epoch, in nanoseconds, modulo the grid.
    let offset = (62_135_596_800_i128 * 1_000_000_000 % i128::from(precision_ns)) as i64;
    let on_grid =
        |time: i64| (i128::from(time) + i128::from(offset)) % i128::from(precision_ns) == 0;
    let (min, max) = batch.time_range();
    if min == max && on_grid(min) {
        return;
    }
    batch.edit_rows(|rows| {
        for row in rows {
            row.time = round_time(row.time, precision_ns);
        }
    });
}

/// Rounds one time, see [`round_times`].
pub fn round_time(time: i64, precision_ns: i64) -> i64 {
    if precision_ns <= 1 {
        return time;
    }
    let since_year_1 = i128::from(time) + 62_135_596_800 * 1_000_000_000;
    let grid = i128::from(precision_ns);
    let down = since_year_1.rem_euclid(grid);
    let rounded = if down * 2 >= grid { since_year_1 - down + grid } else { since_year_1 - down };
    i64::try_from(rounded - 62_135_596_800 * 1_000_000_000).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::testkit::lines;

    fn batch() -> Batch {
        let mut builder = BatchBuilder::default();
        for i in 0..4_i64 {
            let cpu = format!("cpu{}", i % 2);
            let point = builder.point(if i < 2 { "cpu" } else { "mem" }).tag("cpu", &cpu);
            point.field("a", i).field("b", 1.0).finish(i).unwrap();
        }
        builder.finish().unwrap()
    }

    #[test]
    fn inputs_rename_then_tag_then_modify() {
        let shaping = Shaping {
            naming: Naming { prefix: "x_".into(), ..Naming::default() },
            tags: vec![("cpu".into(), "own".into()), ("dc".into(), "a".into())],
            global_tags: vec![("dc".into(), "b".into()), ("host".into(), "h".into())],
            ..Shaping::default()
        };
        let mut batch = batch();
        shaping.apply(&mut SeriesMap::new(), &mut batch, &[]);
        assert_eq!(lines([&batch])[0], "x_cpu,cpu=cpu0,dc=a,host=h a=0i,b=1 0");
    }

    #[test]
    fn splitting_keeps_every_point_once() {
        let table: crate::config::SelectorTable =
            headwater_plugin_api::config::parse("namepass = ['cpu']").unwrap();
        let (selectors, _) = table.compile().unwrap();
        let (taken, past) = split(&selectors, &mut SeriesMap::new(), batch());
        assert_eq!(lines(&taken).len(), 2);
        assert_eq!(lines(&past).len(), 2);
        assert!(lines(&past).iter().all(|line| line.starts_with("mem")));
    }

    #[test]
    fn times_round_half_up() {
        let second = 1_000_000_000;
        assert_eq!(round_time(1_499_999_999, second), second);
        assert_eq!(round_time(1_500_000_000, second), 2 * second);
        assert_eq!(round_time(-1_500_000_000, second), -second);
        assert_eq!(round_time(123, 1), 123);
    }
}
