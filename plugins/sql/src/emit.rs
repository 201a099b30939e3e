//! Results as points: columns of values become tags and fields of new batches.

use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::batch::{Batch, BatchBuilder, PointRef, Refused, SeriesRef, Value};

use crate::plan::{Output, Role};
use crate::vector::{Cell, Data, Vector};

/// What became of rows that are no points.
#[derive(Debug, Clone, Copy, Default)]
pub struct Emitted {
    pub rows: u64,
    /// Rows without a field.
    pub empty: u64,
    /// Rows that no batch can hold, such as those with a tag beyond the limit.
    pub refused: u64,
}

/// Builds batches of results.
#[derive(Default)]
pub struct Emitter {
    builder: BatchBuilder,
    fields: Vec<(String, u8)>,
    pub counts: Emitted,
}

/// A column of the result with its values.
pub struct Column<'p, 'v> {
    pub output: &'p Output,
    pub values: Vector<'v>,
}

/// What a row starts with.
#[derive(Clone, Copy)]
pub struct Base<'b> {
    pub name: &'b str,
    pub time: i64,
    /// The point whose tags and fields the row takes over.
    pub star: Option<PointRef<'b>>,
}

impl Emitter {
    /// Adds one row.
    pub fn row(&mut self, base: Base<'_>, columns: &[Column<'_, '_>], row: usize, out: &mut Vec<Batch>) {
        if self.builder.is_full() {
            self.finish(out);
        }
        match self.try_row(base, columns, row) {
            Ok(true) => self.counts.rows += 1,
            Ok(false) => self.counts.empty += 1,
            Err(_) => self.counts.refused += 1,
        }
    }

    fn try_row(&mut self, base: Base<'_>, columns: &[Column<'_, '_>], row: usize) -> Result<bool, Refused> {
        let mut time = base.time;
        let mut texts: Vec<(&str, std::borrow::Cow<'_, str>)> = Vec::new();
        if let Some(point) = &base.star {
            texts.extend(point.series().tags().map(|(key, value)| (key, value.into())));
        }
        let is_tag = |column: &Column<'_, '_>| match column.output.role {
            Role::Tag => true,
            Role::Key | Role::HiddenKey => matches!(column.values.data, Data::Text(_)),
            Role::Field | Role::Time => false,
        };
        for column in columns.iter().filter(|column| is_tag(column)) {
            let name = column.output.name.as_str();
            texts.retain(|(key, _)| *key != name);
            if let Some(text) = column.values.cell(row).text() {
                texts.push((name, text));
            }
        }
        let mark = self.builder.mark();
        let first = self.builder.values().len() as u32;
        self.fields.clear();
        if let Some(point) = &base.star {
            for (key, value) in point.fields() {
                if !columns.iter().any(|column| column.output.name == key && column.output.role == Role::Field) {
                    let payload = self.payload(value);
                    self.builder.values().push(payload);
                    self.fields.push((key.to_owned(), value.kind()));
                }
            }
        }
        for column in columns {
            let value = match (column.output.role, column.values.cell(row)) {
                (Role::Time, cell) => {
                    if let Cell::Time(nanos) = cell {
                        time = nanos;
                    }
                    continue;
                }
                (Role::Tag | Role::HiddenKey, _) => continue,
                (Role::Key, Cell::Text(_)) => continue,
                (_, Cell::Null) => continue,
                (_, cell) => value(cell),
            };
            let payload = self.payload(value);
            self.builder.values().push(payload);
            self.fields.push((column.output.name.clone(), value.kind()));
        }
        if self.fields.is_empty() {
            self.builder.roll_back(&mark);
            return Ok(false);
        }
        texts.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let tags: Vec<(&str, &str)> = texts.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        let series = match self.builder.series(base.name, &tags) {
            Ok(series) => series,
            Err(refused) => {
                self.builder.roll_back(&mark);
                return Err(refused);
            }
        };
        let shape = self.builder.shape(self.fields.iter().map(|(key, kind)| (key.as_str(), *kind)));
        self.builder.push_row(time, series, shape, first);
        Ok(true)
    }

    fn payload(&mut self, value: Value<'_>) -> u64 {
        match value {
            Value::F64(v) => v.to_bits(),
            Value::I64(v) => v as u64,
            Value::U64(v) => v,
            Value::Bool(v) => u64::from(v),
            Value::Text(text) => self.builder.push_text(text),
            Value::Unknown { payload, .. } => payload,
        }
    }

    /// Copies a point under another name.
    pub fn copy(&mut self, name: &str, point: &PointRef<'_>, out: &mut Vec<Batch>) {
        self.row(Base { name, time: point.time(), star: Some(*point) }, &[], 0, out);
    }

    /// Ends the batch at hand.
    pub fn finish(&mut self, out: &mut Vec<Batch>) {
        out.extend(self.builder.finish());
    }
}

fn value(cell: Cell<'_>) -> Value<'_> {
    match cell {
        Cell::Null => Value::Unknown { kind: kind::TEXT, payload: 0 },
        Cell::Bool(value) => Value::Bool(value),
        Cell::Float(value) => Value::F64(value),
        Cell::Int(value, unsigned) => match (i64::try_from(value), unsigned && value >= 0) {
            (Ok(value), false) => Value::I64(value),
            _ => Value::U64(value as u64),
        },
        Cell::Text(text) => Value::Text(text),
        Cell::Time(nanos) | Cell::Interval(nanos) => Value::I64(nanos),
    }
}

/// The name of a point's result when there is none of its own.
pub fn derived_name(series: SeriesRef<'_>) -> String {
    format!("{}_sql", series.name())
}
