//! Points as rows of a statement's columns.

use headwater_plugin_api::batch::layout::Row;
use headwater_plugin_api::batch::{Batch, Value};

use super::plan::{Column, Role, Statement};

/// What stands in one column of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(&'a str),
    /// Nanoseconds since the epoch.
    Time(i64),
}

/// How many columns a statement with `*` may have, and how many names without one are remembered.
const LEARNED_MAX: usize = 1024;
const MISSED_MAX: usize = 8;

/// How the rows of a statement are read from points.
#[derive(Debug)]
pub struct Shape {
    columns: Vec<Column>,
    /// How many of the columns at the beginning are those of `*`.
    learned: usize,
    star: bool,
    /// Columns of `*` are no longer added.
    fixed: bool,
    /// Names that came when the columns were fixed.
    pub missed: Vec<String>,
}

/// Kind and slot of the field of each column.
type Fields = Vec<Option<(u8, usize)>>;

/// Where the columns stand in the shapes of one batch.
#[derive(Debug, Default)]
pub struct Places(Vec<Option<Fields>>);

impl Shape {
    pub fn new(statement: &Statement) -> Shape {
        let mut columns = statement.columns.clone();
        let mut learned = 0;
        if statement.star && !columns.iter().any(|column| column.role == Role::Time) {
            columns.insert(0, Column { name: "time".into(), role: Role::Time, time: true });
            learned = 1;
        }
        Shape { columns, learned, star: statement.star, fixed: false, missed: Vec::new() }
    }

    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    pub fn is_star(&self) -> bool {
        self.star
    }

    /// Adds no more columns: the header was printed.
    pub fn fix(&mut self) {
        self.fixed = true;
    }

    /// Takes note of the tags and fields of a batch, for `*`.
    pub fn learn(&mut self, batch: &Batch) {
        if !self.star {
            return;
        }
        for series in 0..batch.series_count() as u32 {
            batch.series(series).tags().for_each(|(key, _)| self.met(key));
        }
        for shape in 0..batch.shape_count() as u32 {
            batch.shape(shape).fields().for_each(|(key, ..)| self.met(key));
        }
    }

    fn met(&mut self, name: &str) {
        if self.columns.iter().any(|column| column.name == name && column.role != Role::Time) {
            return;
        }
        if self.fixed || self.learned >= LEARNED_MAX {
            if self.missed.len() < MISSED_MAX && !self.missed.iter().any(|known| known == name) {
                self.missed.push(name.to_owned());
            }
            return;
        }
        // As a bare name in a statement: the field if there is one, else the tag.
        let column = Column { name: name.to_owned(), role: Role::Field, time: false };
        self.columns.insert(self.learned, column);
        self.learned += 1;
    }

    /// The cells of a row, one for each column.
    pub fn cells<'a>(
        &self,
        batch: &'a Batch,
        row: &'a Row,
        places: &mut Places,
        out: &mut Vec<Cell<'a>>,
    ) {
        out.clear();
        let places = places.of(self, batch, row.shape);
        let arena = batch.tables().arena();
        let payloads = batch.payloads(row);
        for (at, column) in self.columns.iter().enumerate() {
            let tag = || batch.series(row.series).tag(&column.name).map(Cell::Text);
            let field = || {
                let (kind, slot) = places.get(at).copied().flatten()?;
                let value = Value::read(arena, kind, payloads.get(slot).copied()?);
                Some(cell(value, column.time))
            };
            let found = match column.role {
                Role::Time => Some(Cell::Time(row.time)),
                Role::Tag => tag(),
                Role::Key => tag().or_else(field),
                Role::Field if at < self.learned => field().or_else(tag),
                Role::Field => field(),
            };
            out.push(found.unwrap_or(Cell::Null));
        }
    }
}

impl Places {
    fn of(&mut self, rows: &Shape, batch: &Batch, shape: u32) -> &[Option<(u8, usize)>] {
        let at = shape as usize;
        if self.0.len() <= at {
            self.0.resize_with(at + 1, || None);
        }
        self.0[at].get_or_insert_with(|| {
            let shape = batch.shape(shape);
            rows.columns.iter().map(|column| shape.field(&column.name)).collect()
        })
    }
}

fn cell(value: Value<'_>, time: bool) -> Cell<'_> {
    match value {
        Value::F64(value) => Cell::Float(value),
        Value::I64(value) if time => Cell::Time(value),
        Value::I64(value) => Cell::Int(value),
        Value::U64(value) => Cell::UInt(value),
        Value::Bool(value) => Cell::Bool(value),
        Value::Text(text) => Cell::Text(text),
        Value::Unknown { .. } => Cell::Null,
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;

    pub fn column(name: &str, role: Role, time: bool) -> Column {
        Column { name: name.into(), role, time }
    }

    pub fn statement(star: bool, columns: Vec<Column>) -> Statement {
        Statement { name: Some("r".into()), star, columns, ..Statement::default() }
    }

    /// Two rows: one with all there is, one with a single field.
    pub fn batch() -> Batch {
        let mut builder = BatchBuilder::default();
        builder
            .point("r")
            .tag("host", "a,\"b\"")
            .field("f", 0.1)
            .field("i", i64::MIN)
            .field("u", u64::MAX)
            .field("ok", true)
            .field("text", "x\ny")
            .field("end", 1_700_000_000_000_000_000_i64)
            .finish(1_700_000_000_500_000_000)
            .unwrap();
        builder.point("r").tag("zone", "z").field("f", 1e300).finish(5).unwrap();
        builder.finish().unwrap()
    }

    fn all<'a>(shape: &Shape, batch: &'a Batch) -> Vec<Vec<Cell<'a>>> {
        let mut places = Places::default();
        let mut cells = Vec::new();
        batch
            .rows()
            .map(|(_, row)| {
                shape.cells(batch, row, &mut places, &mut cells);
                cells.clone()
            })
            .collect()
    }

    #[test]
    fn columns_come_from_where_their_roles_say() {
        let shape = Shape::new(&statement(
            false,
            vec![
                column("time", Role::Time, true),
                column("host", Role::Key, false),
                column("f", Role::Key, false),
                column("end", Role::Field, true),
                column("host", Role::Field, false),
            ],
        ));
        let batch = batch();
        assert_eq!(
            all(&shape, &batch),
            [
                [
                    Cell::Time(1_700_000_000_500_000_000),
                    Cell::Text("a,\"b\""),
                    Cell::Float(0.1),
                    Cell::Time(1_700_000_000_000_000_000),
                    Cell::Null
                ],
                [Cell::Time(5), Cell::Null, Cell::Float(1e300), Cell::Null, Cell::Null],
            ]
        );
    }

    #[test]
    fn a_star_learns_its_columns_until_they_are_fixed() {
        let mut shape = Shape::new(&statement(true, vec![column("f", Role::Field, false)]));
        let batch = batch();
        shape.learn(&batch);
        let names = |shape: &Shape| {
            shape.columns().iter().map(|column| column.name.clone()).collect::<Vec<_>>()
        };
        let expected = ["time", "host", "zone", "i", "u", "ok", "text", "end", "f"];
        assert_eq!(names(&shape), expected);
        assert_eq!(all(&shape, &batch)[1][2], Cell::Text("z"));
        shape.fix();
        let mut builder = BatchBuilder::default();
        builder.point("r").field("new", 1.0).finish(1).unwrap();
        shape.learn(&builder.finish().unwrap());
        assert_eq!(names(&shape), expected);
        assert_eq!(shape.missed, ["new"]);
    }
}
