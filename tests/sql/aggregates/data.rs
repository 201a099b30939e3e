//! Points of several series, some at the same time, with missing values.

use crate::random::Random;
use crate::table::{Column, Kind, Row, Table};
use crate::value::Value;

pub const COLUMNS: &[Column] = &[
    Column::tag("host"),
    Column::tag("region"),
    Column::field("i", Kind::Int),
    Column::field("n", Kind::Int),
    Column::field("big", Kind::Int),
    Column::unsigned("u"),
    Column::field("f", Kind::Float),
    Column::field("v", Kind::Float),
    Column::field("s", Kind::Text),
    Column::field("b", Kind::Bool),
];

/// Noon of some day, seconds.
pub const START: i64 = 1_700_049_600;
/// How long the points go on, seconds.
pub const SPAN: i64 = 180;

fn value(column: &Column, random: &mut Random) -> Value {
    let int = |value: i64| Value::Int(value.into());
    let text = |text: &&str| Value::Text((*text).to_owned());
    match column.name {
        "host" => text(random.pick(&["a", "b", "c d", "ä"])),
        "region" => text(random.pick(&["eu", "us"])),
        "i" => int(random.within(-1000, 1000)),
        "n" => int(random.within(0, 5)),
        "big" => int(*random.pick(&[i64::MAX, i64::MIN, 0, 1 << 60, -(1 << 61), 7])),
        "u" => Value::Int((*random.pick(&[u64::MAX, 0, 1, 1 << 63, 42])).into()),
        "f" if random.chance(4) => Value::Float(*random.pick(&[0.0, -0.0, 1e-9, 1e6])),
        "f" => Value::Float(random.within(-10_000, 10_000) as f64 / 100.0),
        "v" => Value::Float(random.within(1, 4_000) as f64 / 8.0),
        "s" => text(random.pick(&["", "x", "abc", "Abc", "日本", "a b"])),
        _ => Value::Bool(random.chance(50)),
    }
}

/// A table of so many rows, in the order of their times.
pub fn table(name: String, rows: usize, random: &mut Random) -> Table {
    let missing = *random.pick(&[0, 10, 40, 90]);
    let mut rows: Vec<Row> = (0..rows)
        .map(|_| {
            // Some at the same time as others.
            let tenths = random.within(0, SPAN * 10);
            let rest = if random.chance(60) { 0 } else { random.within(0, 99_999_999) };
            let time = START * 1_000_000_000 + tenths * 100_000_000 + rest;
            let values = COLUMNS.iter().map(|column| {
                let absent = match column.name {
                    "host" => 2,
                    "region" => 30,
                    _ => missing,
                };
                if random.chance(absent) { Value::Null } else { value(column, random) }
            });
            Row { time, values: values.collect() }
        })
        .collect();
    for row in &mut rows {
        // A point has a field at least.
        if row.values[2..].iter().all(Value::is_null) {
            row.values[3] = Value::Int(0);
        }
    }
    rows.sort_by_key(|row| row.time);
    Table { name, columns: COLUMNS, rows }
}
