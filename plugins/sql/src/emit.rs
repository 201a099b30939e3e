//! Results as points: columns of values become tags and fields of new batches.

use std::borrow::Cow;

use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::batch::{Batch, BatchBuilder, Mark, PointRef, Refused, SeriesRef, Value};

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

impl Emitted {
    /// Adds other counts.
    pub fn add(&mut self, other: &Emitted) {
        self.rows += other.rows;
        self.empty += other.empty;
        self.refused += other.refused;
    }
}

/// Builds batches of results.
#[derive(Default)]
pub struct Emitter {
    builder: BatchBuilder,
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
    /// Begins rows of these columns.
    pub fn rows<'c, 'p, 'v>(&'c mut self, columns: &'c [Column<'p, 'v>]) -> Rows<'c, 'p, 'v> {
        let is_tag = |column: &&Column<'_, '_>| match column.output.role {
            Role::Tag => true,
            Role::Key | Role::HiddenKey => matches!(column.values.data, Data::Text(_)),
            Role::Field | Role::Time => false,
        };
        let is_field = |column: &&Column<'_, '_>| {
            !is_tag(column) && matches!(column.output.role, Role::Field | Role::Key)
        };
        let mut tags: Vec<_> = columns.iter().filter(is_tag).collect();
        tags.sort_unstable_by(|a, b| a.output.name.cmp(&b.output.name));
        let fields = columns.iter().filter(is_field).collect();
        let time = columns.iter().find(|column| column.output.role == Role::Time);
        Rows { emitter: self, tags, fields, time, kinds: Vec::new(), last: Vec::new(), shape: None }
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
        self.rows(&[]).row(Base { name, time: point.time(), star: Some(*point) }, 0, out);
    }

    /// Gives back what helps to build the next batch.
    pub fn release(&mut self) {
        if self.builder.is_empty() {
            self.builder = BatchBuilder::default();
        }
    }

    /// Ends the batch at hand.
    pub fn finish(&mut self, out: &mut Vec<Batch>) {
        out.extend(self.builder.finish());
    }
}

/// Rows on their way into a batch.
pub struct Rows<'c, 'p, 'v> {
    emitter: &'c mut Emitter,
    /// Sorted by name.
    tags: Vec<&'c Column<'p, 'v>>,
    fields: Vec<&'c Column<'p, 'v>>,
    time: Option<&'c Column<'p, 'v>>,
    /// Kinds of the fields of the row at hand, 0 for NULL, and of the row before.
    kinds: Vec<u8>,
    last: Vec<u8>,
    /// The shape of the row before, with the batch it is good for.
    shape: Option<(u64, u32)>,
}

impl Rows<'_, '_, '_> {
    /// Adds one row, unless it is no point.
    pub fn row(&mut self, base: Base<'_>, row: usize, out: &mut Vec<Batch>) -> bool {
        if self.emitter.builder.is_full() {
            self.emitter.finish(out);
        }
        let done = match &base.star {
            None => self.plain(base, row),
            Some(point) => self.with_star(base, point, row),
        };
        let counts = &mut self.emitter.counts;
        match done {
            Ok(true) => counts.rows += 1,
            Ok(false) => counts.empty += 1,
            Err(_) => counts.refused += 1,
        }
        matches!(done, Ok(true))
    }

    fn time(&self, otherwise: i64, row: usize) -> i64 {
        match self.time.map(|column| column.values.cell(row)) {
            Some(Cell::Time(nanos)) => nanos,
            _ => otherwise,
        }
    }

    /// Adds one row whose series is known.
    pub fn row_of(&mut self, series: &SeriesRef<'_>, time: i64, row: usize, out: &mut Vec<Batch>) {
        if self.emitter.builder.is_full() {
            self.emitter.finish(out);
        }
        let time = self.time(time, row);
        let mark = self.emitter.builder.mark();
        let first = self.emitter.builder.values().len() as u32;
        if !self.push_fields(row, &mark) {
            self.emitter.counts.empty += 1;
            return;
        }
        let shape = self.shape();
        let series = self.emitter.builder.append_series(series, None);
        self.emitter.builder.push_row(time, series, shape, first);
        self.emitter.counts.rows += 1;
    }

    /// Whether some group key is a field, since it is no text.
    pub fn has_key_fields(&self) -> bool {
        let is_key = |column: &&Column<'_, '_>| column.output.role == Role::Key;
        self.fields.iter().any(|column| is_key(column) && !column.values.is_null())
    }

    /// The tags of a row, sorted by name.
    pub fn tags(&self, row: usize) -> Vec<(&str, Cow<'_, str>)> {
        texts(&self.tags, row)
    }

    /// Pushes the fields of a row; whether there are any.
    fn push_fields(&mut self, row: usize, mark: &Mark) -> bool {
        self.kinds.clear();
        let mut any = false;
        for column in &self.fields {
            let cell = column.values.cell(row);
            if cell == Cell::Null {
                self.kinds.push(0);
                continue;
            }
            let value = value(cell);
            let payload = self.emitter.payload(value);
            self.emitter.builder.values().push(payload);
            self.kinds.push(value.kind());
            any = true;
        }
        if !any {
            self.emitter.builder.roll_back(mark);
        }
        any
    }

    fn plain(&mut self, base: Base<'_>, row: usize) -> Result<bool, Refused> {
        let time = self.time(base.time, row);
        let mark = self.emitter.builder.mark();
        let first = self.emitter.builder.values().len() as u32;
        if !self.push_fields(row, &mark) {
            return Ok(false);
        }
        let texts = texts(&self.tags, row);
        let series = self.series(base.name, &texts, &mark)?;
        let shape = self.shape();
        self.emitter.builder.push_row(time, series, shape, first);
        Ok(true)
    }

    fn series(
        &mut self,
        name: &str,
        texts: &[(&str, Cow<'_, str>)],
        mark: &Mark,
    ) -> Result<u32, Refused> {
        let tags: Vec<(&str, &str)> =
            texts.iter().map(|(key, value)| (*key, value.as_ref())).collect();
        let builder = &mut self.emitter.builder;
        let series = builder.series(name, &tags);
        if series.is_err() {
            builder.roll_back(mark);
        }
        series
    }

    /// The shape of the fields at hand; rows of a result mostly have the same.
    fn shape(&mut self) -> u32 {
        let epoch = self.emitter.builder.epoch();
        if let Some((of, shape)) = self.shape
            && of == epoch
            && self.kinds == self.last
        {
            return shape;
        }
        let present = self.fields.iter().zip(&self.kinds).filter(|(_, kind)| **kind != 0);
        let shape = self
            .emitter
            .builder
            .shape(present.map(|(column, kind)| (column.output.name.as_str(), *kind)));
        self.last.clone_from(&self.kinds);
        self.shape = Some((epoch, shape));
        shape
    }

    /// A row that takes over a point's tags and fields.
    fn with_star(
        &mut self,
        base: Base<'_>,
        point: &PointRef<'_>,
        row: usize,
    ) -> Result<bool, Refused> {
        let time = self.time(base.time, row);
        let mark = self.emitter.builder.mark();
        let first = self.emitter.builder.values().len() as u32;
        let mut names: Vec<(&str, u8)> = Vec::new();
        for (key, value) in point.fields() {
            if !self.fields.iter().any(|column| column.output.name == key) {
                let payload = self.emitter.payload(value);
                self.emitter.builder.values().push(payload);
                names.push((key, value.kind()));
            }
        }
        for column in &self.fields {
            let cell = column.values.cell(row);
            if cell != Cell::Null {
                let value = value(cell);
                let payload = self.emitter.payload(value);
                self.emitter.builder.values().push(payload);
                names.push((column.output.name.as_str(), value.kind()));
            }
        }
        if names.is_empty() {
            self.emitter.builder.roll_back(&mark);
            return Ok(false);
        }
        let mut texts: Vec<(&str, Cow<'_, str>)> =
            point.series().tags().map(|(key, value)| (key, Cow::Borrowed(value))).collect();
        for column in &self.tags {
            let name = column.output.name.as_str();
            texts.retain(|(key, _)| *key != name);
            texts.extend(column.values.cell(row).text().map(|text| (name, text)));
        }
        texts.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let series = self.series(base.name, &texts, &mark)?;
        let shape = self.emitter.builder.shape(names.iter().copied());
        self.emitter.builder.push_row(time, series, shape, first);
        Ok(true)
    }
}

fn texts<'c>(tags: &[&'c Column<'_, '_>], row: usize) -> Vec<(&'c str, Cow<'c, str>)> {
    let text = |column: &&'c Column<'_, '_>| {
        Some((column.output.name.as_str(), column.values.cell(row).text()?))
    };
    tags.iter().filter_map(text).collect()
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
