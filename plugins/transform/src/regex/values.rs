//! Conversions of text fields.
//!
//! As long as conversions only replace values, the payloads are edited in place. One that makes
//! fields (`result_key`, named groups) changes shapes: the batch is then built anew, row by row.

use headwater_plugin_api::batch::layout::{Row, kind};
use headwater_plugin_api::batch::{Batch, BatchBuilder, Limits, Value};
use headwater_plugin_api::config::Glob;
use headwater_plugin_api::plugin::Outcome;

use super::Effect;
use super::pattern::Pattern;
use super::template::TooLong;
use crate::edit::Faults;

/// A result longer than a point may be is not taken.
const VALUE_BYTES_MAX: usize = Limits::DEFAULT.point_bytes as usize;

/// One table of `fields`.
pub struct FieldConversion {
    pub key: Glob,
    pub pattern: Pattern,
    pub effect: Effect,
}

impl FieldConversion {
    fn makes_fields(&self) -> bool {
        match &self.effect {
            Effect::Replace { target, .. } => target.is_some(),
            Effect::Groups(_) => true,
        }
    }

    /// Whether some text field of the batch has a key that matches.
    fn concerns(&self, batch: &Batch) -> bool {
        (0..batch.shape_count() as u32).any(|index| {
            batch.shape(index).fields().any(|(key, k, _)| k == kind::TEXT && self.key.matches(key))
        })
    }
}

/// Applies all conversions and hands the batch on.
pub fn convert(
    conversions: &[FieldConversion],
    builder: &mut BatchBuilder,
    mut batch: Batch,
    faults: &Faults,
    mut out: impl FnMut(Batch),
) {
    if conversions.iter().any(|one| one.makes_fields() && one.concerns(&batch)) {
        rebuild(conversions, builder, batch, faults, out);
        return;
    }
    for conversion in conversions {
        if let Effect::Replace { template, target: None, .. } = &conversion.effect {
            let mut too_long = 0;
            let edits = collect(&batch, &conversion.key, |text| {
                let regex = conversion.pattern.regex();
                template.replace_all(regex, text, VALUE_BYTES_MAX).unwrap_or_else(|TooLong| {
                    too_long += 1;
                    None
                })
            });
            too_long += put(&mut batch, edits);
            report(faults, too_long);
        }
    }
    out(batch);
}

fn report(faults: &Faults, too_long: usize) {
    faults.add(too_long, || {
        format!("{too_long} values stay as they are, replacing would make them too long")
    });
}

/// The values that `replace` changes: place in the value table, new text.
fn collect(
    batch: &Batch,
    key: &Glob,
    mut replace: impl FnMut(&str) -> Option<String>,
) -> Vec<(usize, String)> {
    let columns: Vec<Vec<usize>> = (0..batch.shape_count() as u32)
        .map(|index| {
            let fields = batch.shape(index).fields();
            let hit = fields.filter(|(own, k, _)| *k == kind::TEXT && key.matches(own));
            hit.map(|(.., slot)| slot).collect()
        })
        .collect();
    let mut edits = Vec::new();
    if columns.iter().all(Vec::is_empty) {
        return edits;
    }
    let arena = batch.tables().arena();
    for (_, row) in batch.rows() {
        for &slot in columns.get(row.shape as usize).into_iter().flatten() {
            let Some(&payload) = batch.payloads(row).get(slot) else { continue };
            if let Value::Text(text) = Value::read(arena, kind::TEXT, payload)
                && let Some(new) = replace(text)
            {
                edits.push((row.values as usize + slot, new));
            }
        }
    }
    edits
}

/// Writes new texts; returns how many found no room.
fn put(batch: &mut Batch, edits: Vec<(usize, String)>) -> usize {
    let mut homeless = 0;
    if !edits.is_empty() {
        batch.edit_values(|_, values, arena| {
            for (place, text) in &edits {
                match (values.get_mut(*place), arena.push(text)) {
                    (Some(value), Some(payload)) => *value = payload,
                    _ => homeless += 1,
                }
            }
        });
    }
    homeless
}

/// A field of the row under construction.
struct Cell<'a> {
    key: &'a str,
    value: CellValue<'a>,
}

enum CellValue<'a> {
    Read(Value<'a>),
    Made(String),
}

impl CellValue<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            CellValue::Read(Value::Text(text)) => Some(text),
            CellValue::Read(_) => None,
            CellValue::Made(text) => Some(text),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            CellValue::Read(value) => value.kind(),
            CellValue::Made(_) => kind::TEXT,
        }
    }
}

/// The fields of one row.
#[derive(Default)]
struct RowDraft<'a> {
    cells: Vec<Cell<'a>>,
    /// Results that were not taken, over all rows.
    too_long: usize,
}

impl<'a> RowDraft<'a> {
    fn read(&mut self, batch: &'a Batch, row: &Row) {
        self.cells.clear();
        let arena = batch.tables().arena();
        let payloads = batch.payloads(row);
        self.cells.extend(batch.shape(row.shape).fields().map(|(key, kind, slot)| {
            let payload = payloads.get(slot).copied().unwrap_or_default();
            Cell { key, value: CellValue::Read(Value::read(arena, kind, payload)) }
        }));
    }

    fn apply(&mut self, conversion: &'a FieldConversion) {
        let regex = conversion.pattern.regex();
        // Fields that are made on the way are not looked at by this conversion.
        for at in 0..self.cells.len() {
            let cell = &self.cells[at];
            let Some(text) = cell.value.text().filter(|_| conversion.key.matches(cell.key)) else {
                continue;
            };
            match &conversion.effect {
                Effect::Replace { template, target, .. } => {
                    match template.replace_all(regex, text, VALUE_BYTES_MAX) {
                        Ok(None) => {}
                        Ok(Some(new)) => {
                            let key = target.as_deref().unwrap_or(cell.key);
                            self.set(key, new);
                        }
                        Err(TooLong) => self.too_long += 1,
                    }
                }
                Effect::Groups(names) => {
                    let Some(captures) = regex.captures(text) else { continue };
                    let found: Vec<(&str, String)> = std::iter::zip(names, captures.iter().skip(1))
                        .filter_map(|(name, group)| Some((name.as_str(), group?.as_str())))
                        .filter(|(_, text)| !text.is_empty())
                        .map(|(name, text)| (name, text.to_owned()))
                        .collect();
                    for (name, text) in found {
                        self.set(name, text);
                    }
                }
            }
        }
    }

    fn set(&mut self, key: &'a str, text: String) {
        let size = |cell: &Cell<'_>| {
            if cell.key == key { 0 } else { cell.value.text().map_or(0, str::len) }
        };
        if self.cells.iter().map(size).sum::<usize>() + text.len() > VALUE_BYTES_MAX {
            self.too_long += 1;
            return;
        }
        match self.cells.iter_mut().find(|cell| cell.key == key) {
            Some(cell) => cell.value = CellValue::Made(text),
            None => self.cells.push(Cell { key, value: CellValue::Made(text) }),
        }
    }

    fn write(&self, builder: &mut BatchBuilder, time: i64, series: u32) {
        let first = builder.values().len() as u32;
        for cell in &self.cells {
            let payload = match &cell.value {
                CellValue::Made(text) => builder.push_text(text),
                CellValue::Read(value) => match *value {
                    Value::F64(v) => v.to_bits(),
                    Value::I64(v) => v as u64,
                    Value::U64(v) => v,
                    Value::Bool(v) => u64::from(v),
                    Value::Text(text) => builder.push_text(text),
                    Value::Unknown { payload, .. } => payload,
                },
            };
            builder.values().push(payload);
        }
        let shape = builder.shape(self.cells.iter().map(|cell| (cell.key, cell.value.kind())));
        builder.push_row(time, series, shape, first);
    }
}

fn rebuild(
    conversions: &[FieldConversion],
    builder: &mut BatchBuilder,
    mut batch: Batch,
    faults: &Faults,
    mut out: impl FnMut(Batch),
) {
    let delivery = batch.take_delivery();
    let mut hand_on = |builder: &mut BatchBuilder| {
        if let Some(mut made) = builder.finish() {
            made.set_origin(batch.origin());
            made.set_sequence(batch.sequence());
            made.set_delivery(delivery.clone());
            out(made);
        }
    };
    let mut draft = RowDraft::default();
    // Index of a series in the batch under construction, plus one.
    let mut series: Vec<u32> = vec![0; batch.series_count()];
    builder.clear();
    builder.reserve_as_before();
    for (_, row) in batch.rows() {
        if builder.is_full() {
            hand_on(builder);
            series.fill(0);
        }
        draft.read(&batch, row);
        for conversion in conversions {
            draft.apply(conversion);
        }
        let Some(known) = series.get_mut(row.series as usize) else { continue };
        if *known == 0 {
            let own = batch.series(row.series);
            *known = builder.append_series(&own, own.hint()) + 1;
        }
        draft.write(builder, row.time, *known - 1);
    }
    hand_on(builder);
    if let Some(delivery) = delivery {
        // Each part handed on owns a clone; this one stands for nothing any more.
        delivery.settle(Outcome::Delivered);
    }
    report(faults, draft.too_long);
}
