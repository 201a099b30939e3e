//! Points as a frame of columns: which column is a field of a shape and which a tag, and what of a
//! statement can therefore be worked out once for each series.

use std::borrow::Cow;

use headwater_plugin_api::batch::layout::{Row, kind};
use headwater_plugin_api::batch::{Batch, SeriesRef, Value};

use crate::ast::Scope;
use crate::eval::Frame;
use crate::plan::{Action, Column, Node, Plan};
use crate::table::Matched;
use crate::vector::{Bits, Data, Vector};

/// Filters whose outcome is remembered for each series.
pub const SERIES_FILTERS: usize = 64;

/// Where a column stands in points of one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Field {
        slot: u32,
        kind: u8,
    },
    Tag,
    /// Of the table that is joined, by its number in [`TableJoin::columns`](crate::plan::TableJoin).
    Table(u32),
    /// `field('x')` where there is no such field.
    Nowhere,
}

/// How a statement reads points of one shape.
#[derive(Debug, Clone)]
pub struct ShapePlan {
    /// Key, kind and slot of each field: what this plan is good for.
    fields: Vec<(String, u8, u32)>,
    pub columns: Vec<Place>,
    /// The filters that the series decides, a bit for each.
    pub series_filters: u64,
    /// The filters that each point decides.
    pub point_filters: Vec<usize>,
    /// Whether the series decides the group.
    pub keys_by_series: bool,
    /// Whether the series decides the row of the table that is joined.
    pub row_by_series: bool,
}

impl ShapePlan {
    fn new(plan: &Plan, fields: Vec<(String, u8, u32)>) -> Self {
        let of_table = |column: &Column| {
            let mut columns = plan.table.iter().flat_map(|table| &table.columns);
            columns.position(|of| of.name == column.name)
        };
        let place = |column: &Column| {
            if let Some(number) = of_table(column) {
                return Place::Table(number as u32);
            }
            let field = fields.iter().find(|(key, ..)| *key == column.name);
            match (column.scope, field) {
                (Scope::Any | Scope::Field, Some((_, kind, slot))) => {
                    Place::Field { slot: *slot, kind: *kind }
                }
                (Scope::Field, None) => Place::Nowhere,
                (Scope::Any | Scope::Tag, _) => Place::Tag,
            }
        };
        let columns: Vec<Place> = plan.columns.iter().map(place).collect();
        let by_series = |node: &Node| {
            let mut by_series = !node.needs_point();
            node.visit(&mut |node| {
                if let Node::Column(number) = node {
                    let place = columns.get(*number);
                    by_series &= !matches!(place, Some(Place::Field { .. } | Place::Table(_)));
                }
            });
            by_series
        };
        let (mut series_filters, mut point_filters) = (0, Vec::new());
        for (number, filter) in plan.filters.iter().enumerate() {
            if number < SERIES_FILTERS && by_series(filter) {
                series_filters |= 1 << number;
            } else {
                point_filters.push(number);
            }
        }
        let keys_by_series = match &plan.action {
            Action::Aggregate(aggregate) => aggregate.keys.iter().all(by_series),
            Action::Side(side) => side.keys.iter().all(by_series),
            Action::Over(over) => over.keys.iter().all(by_series),
            Action::Project { .. } | Action::Join(_) | Action::Snapshot(_) | Action::Flush => true,
        };
        let row_by_series =
            plan.table.as_ref().is_some_and(|table| table.keys.iter().all(by_series));
        ShapePlan { fields, columns, series_filters, point_filters, keys_by_series, row_by_series }
    }
}

/// The plans of the shapes that were met; forgotten when there are too many.
#[derive(Debug, Default)]
pub struct ShapePlans {
    plans: Vec<ShapePlan>,
    /// By the index of the shape in the batch at hand.
    by_shape: Vec<usize>,
}

impl ShapePlans {
    /// How many shapes are remembered beyond those of one batch.
    const MAX: usize = 256;

    /// Looks up all shapes of a batch; `met` hears of each new one's field keys.
    pub fn prepare(&mut self, plan: &Plan, batch: &Batch, mut met: impl FnMut(&str)) {
        if self.plans.len() > Self::MAX {
            self.plans.clear();
        }
        let last = std::mem::take(&mut self.by_shape);
        for index in 0..batch.shape_count() as u32 {
            let shape = batch.shape(index);
            let same = |plan: &ShapePlan| {
                plan.fields.len() == shape.len()
                    && plan.fields.iter().zip(shape.fields()).all(|(own, (key, kind, slot))| {
                        own.1 == kind && own.2 as usize == slot && own.0 == key
                    })
            };
            // What stood at this index in the last batch is tried first.
            let guess = last
                .get(index as usize)
                .copied()
                .filter(|at| self.plans.get(*at).is_some_and(same));
            let at = guess.or_else(|| self.plans.iter().position(same)).unwrap_or_else(|| {
                let fields: Vec<_> = shape
                    .fields()
                    .map(|(key, kind, slot)| (key.to_owned(), kind, slot as u32))
                    .collect();
                fields.iter().for_each(|(key, ..)| met(key));
                self.plans.push(ShapePlan::new(plan, fields));
                self.plans.len() - 1
            });
            self.by_shape.push(at);
        }
    }

    /// The plan of a shape of the batch at hand.
    pub fn get(&self, shape: u32) -> Option<&ShapePlan> {
        self.plans.get(*self.by_shape.get(shape as usize)?)
    }
}

/// Points of one shape, whose series have the same of the statement's columns as tags.
pub struct Points<'a> {
    pub batch: &'a Batch,
    /// Indices of rows.
    pub rows: &'a [u32],
    pub columns: &'a [Column],
    pub places: &'a [Place],
    /// The rows of the table that is joined, once they are known.
    pub table: Option<Matched<'a>>,
}

impl<'a> Points<'a> {
    #[inline]
    fn row(&self, at: u32) -> &'a Row {
        &self.batch.tables().rows()[at as usize]
    }

    fn field(&self, slot: u32, field_kind: u8) -> Vector<'a> {
        let table = self.batch.tables();
        let (rows, values) = (table.rows(), table.values());
        // Rows are listed in their order: as many as there are means all.
        if self.rows.len() == rows.len() {
            self.values(rows.iter(), values, slot, field_kind)
        } else {
            self.values(self.rows.iter().map(|at| &rows[*at as usize]), values, slot, field_kind)
        }
    }

    fn values<'r>(
        &self,
        rows: impl ExactSizeIterator<Item = &'r Row>,
        values: &[u64],
        slot: u32,
        field_kind: u8,
    ) -> Vector<'a> {
        let mut payloads = rows.map(|row| values[row.values as usize + slot as usize]);
        Vector::new(match field_kind {
            kind::F64 => Data::Float(payloads.map(f64::from_bits).collect()),
            kind::I64 => Data::Int {
                values: payloads.map(|v| i128::from(v as i64)).collect(),
                unsigned: false,
            },
            kind::U64 => Data::Int { values: payloads.map(i128::from).collect(), unsigned: true },
            kind::BOOL => {
                let n = payloads.len();
                Data::Bool(Bits::of(n, |_| payloads.next().is_some_and(|payload| payload != 0)))
            }
            kind::TEXT => {
                let arena = self.batch.tables().arena();
                let text = |payload| match Value::read(arena, kind::TEXT, payload) {
                    Value::Text(text) => Cow::Borrowed(text),
                    _ => Cow::Borrowed(""),
                };
                Data::Text(payloads.map(text).collect())
            }
            _ => return Vector::null(),
        })
    }

    /// A text of the series of each row. All rows of a frame have it, or none: what kind a value is
    /// of must not depend on the rows beside it.
    fn of_series(&self, text: impl Fn(SeriesRef<'a>) -> Option<&'a str>) -> Vector<'a> {
        // A batch has few series and many rows.
        let mut known: Vec<Option<&'a str>> = vec![None; self.batch.series_count()];
        let mut values = Vec::with_capacity(self.rows.len());
        for at in self.rows {
            let index = self.row(*at).series;
            let found = match known.get(index as usize) {
                Some(Some(text)) => Some(*text),
                _ => text(self.batch.series(index)),
            };
            let Some(found) = found else { return Vector::null() };
            if let Some(known) = known.get_mut(index as usize) {
                *known = Some(found);
            }
            values.push(Cow::Borrowed(found));
        }
        Vector::new(Data::Text(values))
    }
}

impl<'a> Frame<'a> for Points<'a> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn column(&self, number: usize) -> Vector<'a> {
        match self.places.get(number) {
            Some(Place::Field { slot, kind }) => self.field(*slot, *kind),
            Some(Place::Tag) => {
                let name = self.columns[number].name.as_str();
                self.of_series(|series| series.tag(name))
            }
            Some(Place::Table(number)) => match &self.table {
                Some(table) => table.column(*number as usize, self.rows),
                None => Vector::null(),
            },
            _ => Vector::null(),
        }
    }

    fn time(&self) -> Vector<'a> {
        Vector::new(Data::Time(self.rows.iter().map(|at| self.row(*at).time).collect()))
    }

    fn measurement(&self) -> Vector<'a> {
        self.of_series(|series| Some(series.name()))
    }
}

/// One series: tags alone.
pub struct OneSeries<'a> {
    pub series: SeriesRef<'a>,
    pub columns: &'a [Column],
}

impl<'a> Frame<'a> for OneSeries<'a> {
    fn len(&self) -> usize {
        1
    }

    fn column(&self, number: usize) -> Vector<'a> {
        let tag = match self.columns.get(number) {
            Some(Column { scope: Scope::Field, .. }) | None => None,
            Some(column) => self.series.tag(&column.name),
        };
        tag.map_or_else(Vector::null, |tag| Vector::constant(Data::Text(vec![Cow::Borrowed(tag)])))
    }

    fn measurement(&self) -> Vector<'a> {
        Vector::constant(Data::Text(vec![Cow::Borrowed(self.series.name())]))
    }
}
