//! The points that expressions are evaluated over: few shapes with many rows, and edges in every column.

use super::literals;
use crate::random::Random;
use crate::table::{Column, Kind, Row, Table};
use crate::value::Value;

pub const COLUMNS: &[Column] = &[
    Column::field("id", Kind::Int),
    Column::field("i", Kind::Int),
    Column::field("j", Kind::Int),
    Column::unsigned("u"),
    Column::field("f", Kind::Float),
    Column::field("h", Kind::Float),
    Column::field("s", Kind::Text),
    Column::field("t", Kind::Text),
    Column::tag("g"),
    Column::field("a", Kind::Bool),
    Column::field("b", Kind::Bool),
];

/// Microseconds from 1966 to 2033: what PostgreSQL's times are exact to.
fn time(random: &mut Random) -> i64 {
    let micros = match random.below(4) {
        0 => random.within(-4, 4) * 86_400_000_000,
        1 => 1_709_210_096_250_000,
        2 => random.within(-100_000, 2_000_000) * 1_000_000_000,
        _ => random.within(-100_000_000_000_000, 2_000_000_000_000_000),
    };
    micros * 1_000
}

fn value(column: &Column, random: &mut Random) -> Value {
    match column.name {
        "j" => Value::Int(random.within(-8, 12).into()),
        "h" => Value::Float(random.within(-40, 40) as f64 / 4.0),
        "t" => Value::Text(literals::readable_value(random)),
        "g" => loop {
            // Line protocol has no empty tags, and none that end in a backslash.
            let text = literals::text_value(random);
            if !text.is_empty() && !text.ends_with('\\') {
                break Value::Text(text);
            }
        },
        "u" => {
            let edge = *random.pick(&[0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, 17]);
            Value::Int(edge.into())
        }
        _ => match column.kind {
            Kind::Int => loop {
                let value = literals::int_value(random);
                if i64::try_from(value).is_ok() {
                    break Value::Int(value);
                }
            },
            Kind::Float => Value::Float(literals::float_value(random)),
            Kind::Bool => Value::Bool(random.chance(50)),
            _ => Value::Text(literals::text_value(random)),
        },
    }
}

/// A table of so many rows; each column is missing in some of its shapes.
pub fn table(name: String, rows: usize, random: &mut Random) -> Table {
    let shapes: Vec<u64> = (0..10)
        .map(|at| if at < 3 { u64::MAX } else { random.next() | random.next() | 1 })
        .collect();
    let rows = (0..rows)
        .map(|id| {
            let shape = *random.pick(&shapes);
            let values = COLUMNS.iter().enumerate().map(|(at, column)| match column.name {
                "id" => Value::Int(id as i128),
                _ if shape >> at & 1 == 0 => Value::Null,
                _ => value(column, random),
            });
            let values = values.collect();
            Row { time: time(random), values }
        })
        .collect();
    Table { name, columns: COLUMNS, rows }
}
