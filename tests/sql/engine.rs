//! Our side: the processor in process, fed with batches of a table's rows.

use std::collections::BTreeMap;

use headwater_plugin_api::abi::instance::ProcessorInstance;
use headwater_plugin_api::batch::{Batch, BatchBuilder, PointRef, Value as Field};
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::testkit::{self, Collected, Driven};
use headwater_sql::sql::Sql;

use crate::table::{Row, Table};
use crate::value::Value;

/// A row that the engine made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    pub name: String,
    pub time: i64,
    pub tags: BTreeMap<String, String>,
    pub fields: BTreeMap<String, Value>,
}

impl Made {
    pub fn read(point: &PointRef<'_>) -> Made {
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let value = |value: Field<'_>| match value {
            Field::F64(v) => Value::Float(v),
            Field::I64(v) => Value::Int(v.into()),
            Field::U64(v) => Value::Int(v.into()),
            Field::Bool(v) => Value::Bool(v),
            Field::Text(v) => Value::Text(v.to_owned()),
            Field::Unknown { kind, .. } => panic!("a field of the unknown kind {kind}"),
        };
        Made {
            name: point.series().name().to_owned(),
            time: point.time(),
            tags: point.series().tags().map(own).collect(),
            fields: point.fields().map(|(key, v)| (key.to_owned(), value(v))).collect(),
        }
    }

    /// A field, or a tag, or NULL.
    pub fn get(&self, name: &str) -> Value {
        match (self.fields.get(name), self.tags.get(name)) {
            (Some(value), _) => value.clone(),
            (None, Some(text)) => Value::Text(text.clone()),
            (None, None) => Value::Null,
        }
    }
}

/// A processor with a query.
pub struct Engine {
    sql: Driven<ProcessorInstance>,
    /// When it asked to be called, and the clock.
    next: Option<i64>,
    now: i64,
    pub made: Vec<Made>,
}

impl Engine {
    /// Refused queries give the sentence.
    pub fn new(options: &str, query: &str) -> Result<Engine, String> {
        assert!(!query.contains("'''"), "{query}");
        // A new line first: what follows is taken as it is, even a quote.
        let config = format!("drop_original = true\n{options}\nquery = '''\n{query}\n'''");
        let sql = testkit::processor::<Sql>(&config).map_err(|error| error.to_string())?;
        Ok(Engine { sql, next: None, now: i64::MIN, made: Vec::new() })
    }

    fn take(&mut self, collected: &Collected) {
        let points = collected.batches.iter().flat_map(|batch| batch.points());
        self.made.extend(points.map(|point| Made::read(&point)));
    }

    pub fn feed(&mut self, now: i64, batch: Batch) {
        let (got, result) = self.sql.process(now, batch);
        result.unwrap();
        self.take(&got);
        self.told(now);
    }

    pub fn tick(&mut self, now: i64) {
        let (got, result) = self.sql.tick(now);
        result.unwrap();
        self.take(&got);
    }

    /// The clock goes on to a moment, and the processor is called when it asks for it.
    pub fn advance(&mut self, now: i64) {
        let mut at = self.next.unwrap_or(now).max(self.now);
        while at < now {
            let (got, next) = self.sql.tick(at);
            self.take(&got);
            let Some(next) = next.unwrap() else { break };
            at = next.max(at);
        }
        loop {
            let (got, next) = self.sql.tick(now);
            self.take(&got);
            (self.next, self.now) = (next.unwrap(), now);
            if self.next.is_none_or(|next| next > now) {
                return;
            }
        }
    }

    pub fn control(&mut self, now: i64, message: Control) {
        let (got, result) = self.sql.control(now, message);
        result.unwrap();
        self.take(&got);
        self.told(now);
    }

    /// After it was told something it is asked anew when to be called.
    fn told(&mut self, now: i64) {
        (self.next, self.now) = (Some(now), now);
    }

    pub fn stop(&mut self, now: i64) {
        self.control(now, Control::Stop);
    }

    pub fn metric(&self, name: &str) -> u64 {
        self.sql.host.metric(name)
    }
}

/// Rows as a batch of one source.
pub fn batch<'r>(table: &Table, rows: impl Iterator<Item = &'r Row>) -> Batch {
    let mut builder = BatchBuilder::default();
    for row in rows {
        let mut point = builder.point(&table.name);
        for (column, value) in table.columns.iter().zip(&row.values) {
            point = match value {
                Value::Null => point,
                Value::Text(text) if column.tag => point.tag(column.name, text),
                Value::Text(text) => point.field(column.name, text.as_str()),
                Value::Bool(value) => point.field(column.name, *value),
                Value::Float(value) => point.field(column.name, *value),
                Value::Int(value) if column.unsigned => {
                    point.field(column.name, u64::try_from(*value).unwrap())
                }
                Value::Int(value) => point.field(column.name, i64::try_from(*value).unwrap()),
            };
        }
        point.finish(row.time).unwrap();
    }
    let mut batch = builder.finish().unwrap();
    batch.set_origin(1);
    batch
}
