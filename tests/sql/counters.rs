//! Counters across windows, against DuckDB: random counters of several series, some of which are reset, in
//! windows side by side and in windows that overlap.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::aggregates::calls::equal;
use crate::aggregates::data::{SPAN, START};
use crate::aggregates::duckdb::{self, DuckDb};
use crate::engine::{Engine, batch};
use crate::random::Random;
use crate::table::{Column, Kind, Row, Table};
use crate::value::Value;

const SECOND: i64 = 1_000_000_000;
const COLUMNS: &[Column] = &[
    Column::tag("host"),
    Column::tag("cpu"),
    Column::field("v", Kind::Int),
    Column::field("f", Kind::Float),
    Column::field("w", Kind::Int),
];

/// Points in the order of their times.
fn table(number: usize, random: &mut Random) -> Table {
    let missing = *random.pick(&[0, 20, 60]);
    let pace = *random.pick(&[1, 4, 30]);
    let mut rows = Vec::new();
    for (host, cpu) in [("a", "0"), ("a", "1"), ("b", "0"), ("c", "0")] {
        let (mut time, mut value) = (START * SECOND, random.within(0, 1_000));
        loop {
            time += random.within(1, pace * SECOND);
            if time >= (START + SPAN) * SECOND {
                break;
            }
            value = match random.below(10) {
                0 => random.within(0, 5),
                1 => value,
                _ => value + random.within(0, 1 << 40),
            };
            let text = |text: &str| Value::Text(text.to_owned());
            let float = Value::Float(value as f64 / 8.0);
            let known = |value: Value, random: &mut Random| {
                if random.chance(missing) { Value::Null } else { value }
            };
            let values = vec![
                text(host),
                text(cpu),
                known(Value::Int(value.into()), random),
                known(float, random),
                Value::Int(1),
            ];
            rows.push(Row { time, values });
        }
    }
    rows.sort_by_key(|row| row.time);
    Table { name: format!("counters{number}"), columns: COLUMNS, rows }
}

/// The windows' rows by start and host: increase, rate and delta.
type Rows = BTreeMap<(i64, String), Vec<Value>>;

fn ours(table: &Table, query: &str, random: &mut Random) -> Rows {
    let mut engine = Engine::new("delay = '1s'\nmax_future = '1000h'", query).unwrap();
    let live = random.chance(50);
    let mut rows: Vec<&Row> = table.rows.iter().collect();
    if !live {
        random.shuffle(&mut rows);
    }
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*random.pick(&[1, 10, 100])).min(rest.len()));
        let clock = if live { now.last().unwrap().time } else { START * SECOND };
        engine.feed(clock, batch(table, now.iter().copied()));
        if live {
            engine.tick(clock);
        }
        rest = later;
    }
    engine.stop((START + SPAN + 3600) * SECOND);
    assert_eq!(engine.metric("points_late"), 0);
    let columns = ["up", "rate", "delta"];
    let row = |made: &crate::engine::Made| {
        let host = made.get("host").to_string();
        ((made.time, host), columns.map(|column| made.get(column)).to_vec())
    };
    engine.made.iter().map(row).collect()
}

fn theirs(duckdb: &mut DuckDb, query: &str) -> Rows {
    let row = |row: Vec<Json>| {
        let host = duckdb::value(&row[1]).to_string();
        ((row[0].as_i64().unwrap(), host), row[2..].iter().map(duckdb::value).collect())
    };
    duckdb.rows(query).unwrap().into_iter().map(row).collect()
}

#[test]
fn counters_rise_as_duckdb_says() {
    let settings = crate::settings(60);
    let mut random = Random::new(settings.seed);
    let mut duckdb = DuckDb::start();
    let (mut findings, mut compared) = (Vec::new(), 0);
    for number in 0..settings.statements.div_ceil(4) {
        let table = table(number, &mut random);
        duckdb.load(&table, &table.rows.iter().collect::<Vec<_>>());
        for (window, slide, panes) in
            [("time('10s')", 10, "[0]"), ("hop('5s', '15s')", 5, "[0, 1, 2]")]
        {
            for column in ["v", "f"] {
                let query = format!(
                    "SELECT host, increase({column}) AS up, rate({column}) AS rate, delta({column}) AS delta,
                     count(*) AS n FROM {} GROUP BY {window}, host",
                    table.name
                );
                let slide = slide * SECOND;
                let kind = if column == "v" { "BIGINT" } else { "DOUBLE" };
                let wanted = format!(
                    "WITH points AS (SELECT unnest({panes}) AS back, * FROM (
                       SELECT time, host, cpu, {column} AS x, lag(x) OVER s AS px, lag(time) OVER s AS ptime
                       FROM {} WHERE {column} IS NOT NULL
                       WINDOW s AS (PARTITION BY host, cpu ORDER BY time))),
                     series AS (SELECT (time // {slide} - back) * {slide} AS w, host, cpu,
                       sum(CASE WHEN x < px THEN x ELSE x - px END) AS up, sum(x - px) AS delta,
                       max(time) - min(coalesce(ptime, time)) AS length
                       FROM points GROUP BY w, host, cpu),
                     all_windows AS (SELECT DISTINCT (time // {slide} - back) * {slide} AS w, host
                       FROM (SELECT unnest({panes}) AS back, * FROM {}))
                     SELECT w, host, sum(up)::{kind}, sum(up / (length / 1e9)) FILTER (WHERE length > 0),
                       sum(delta)::{kind} FROM all_windows LEFT JOIN series USING (w, host) GROUP BY w, host",
                    table.name, table.name
                );
                let ours = ours(&table, &query, &mut random);
                let theirs = theirs(&mut duckdb, &wanted);
                compared += theirs.len();
                if ours.keys().ne(theirs.keys()) {
                    findings.push(format!(
                        "{query}: {} rows, DuckDB's {}",
                        ours.len(),
                        theirs.len()
                    ));
                    continue;
                }
                let differs = ours.iter().zip(&theirs).find(|((_, ours), (_, theirs))| {
                    ours.iter().zip(*theirs).any(|(ours, theirs)| !equal(ours, theirs))
                });
                if let Some(((key, ours), (_, theirs))) = differs {
                    findings.push(format!("{query}: {key:?} is {ours:?}, DuckDB's {theirs:?}"));
                }
            }
        }
    }
    println!("{compared} rows compared");
    assert!(compared > 0);
    crate::report(settings, &findings);
}
