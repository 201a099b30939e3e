//! Forecasts, histograms and the most frequent values of thousands of small groups, against DuckDB: groups of
//! one point, of points that are all at one time or a nanosecond apart, of NULLs, of numbers at the end of
//! what fits, of a fall from very large to small ones.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::aggregates::calls::{self, Item};
use crate::aggregates::data::START;
use crate::aggregates::duckdb::DuckDb;
use crate::aggregates::scalar::same;
use crate::engine::{Engine, Made, batch};
use crate::random::Random;
use crate::table::{Column, Kind, Row, Table};
use crate::value::Value;

const SECOND: i64 = 1_000_000_000;
const COLUMNS: &[Column] = &[
    Column::tag("g"),
    Column::field("id", Kind::Int),
    Column::field("v", Kind::Float),
    Column::field("i", Kind::Int),
    Column::field("s", Kind::Text),
];
/// How a group's points may be.
const SHAPES: usize = 10;

/// The points of a group: times since the start and numbers.
fn shape(random: &mut Random, shape: usize) -> Vec<(i64, f64, i64)> {
    let count = 2 + random.below(30) as i64;
    let mut times: Vec<i64> = (0..count).map(|_| random.within(0, 180 * SECOND)).collect();
    times.sort_unstable();
    let small = |random: &mut Random| random.within(-4_000, 4_000);
    let point = |at: usize, time: i64, random: &mut Random| {
        let number = small(random);
        let (v, i) = (number as f64 / 8.0, number);
        match shape {
            // A line, and one number throughout.
            0 => (time, time as f64 / 1e9 * 0.75 - 20.0, time / SECOND * -3),
            1 => (time, 42.125, -7),
            2 => (times[0], v, i),
            3 => (times[0] + at as i64 % 2, v, i),
            4 => (time, 1e15 + v, i64::MAX - i.abs()),
            5 => (time, v * 1e280, i64::MIN + i.abs()),
            6 if at * 2 < times.len() => (time, 1e15 + v, 1 << 60),
            // So few numbers that several are there equally often.
            7 => (time, (number % 3) as f64, number % 3),
            _ => (time, v, i),
        }
    };
    let mut points: Vec<_> =
        times.iter().enumerate().map(|(at, time)| point(at, *time, random)).collect();
    if shape == 8 {
        points.truncate(1);
    }
    points
}

fn table(name: &str, groups: usize, random: &mut Random) -> Table {
    let mut rows = Vec::new();
    for group in 0..groups {
        let missing = *random.pick(&[0, 0, 30, 100]);
        let of = random.below(SHAPES);
        for (time, v, i) in shape(random, of) {
            let known = |value: Value, random: &mut Random| {
                if random.chance(missing) { Value::Null } else { value }
            };
            let text = *random.pick(&["", "a", "b", "\"q\"", "日本"]);
            let values = vec![
                Value::Text(format!("g{group:05}")),
                Value::Null,
                known(Value::Float(v), random),
                known(Value::Int(i.into()), random),
                known(Value::Text(text.to_owned()), random),
            ];
            rows.push(Row { time: START * SECOND + time, values });
        }
    }
    rows.sort_by_key(|row| row.time);
    for (id, row) in rows.iter_mut().enumerate() {
        row.values[1] = Value::Int(id as i128);
    }
    Table { name: name.to_owned(), columns: COLUMNS, rows }
}

/// The rows of a statement by a column.
fn run(table: &Table, rows: &[&Row], query: &str, by: &str, random: &mut Random) -> Vec<Made> {
    let mut engine = Engine::new("delay = '1s'\nmax_future = '1000h'", query).unwrap();
    let mut rest = rows;
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*random.pick(&[1, 50, 1_000])).min(rest.len()));
        engine.feed(START * SECOND, batch(table, now.iter().copied()));
        rest = later;
    }
    engine.stop((START + 7200) * SECOND);
    for name in ["points_late", "points_future", "rows_refused", "groups_refused"] {
        assert_eq!(engine.metric(name), 0, "{name}");
    }
    engine.made.sort_by_key(|row| row.get(by).to_string());
    engine.made
}

/// What differs, and how many rows there were.
fn compare(made: &[Made], wanted: &[Vec<Json>], by: &str, items: &[Item]) -> (Vec<String>, usize) {
    let own = |row: &Made| (row.get(by).to_string(), row.clone());
    let made: BTreeMap<String, Made> = made.iter().map(own).collect();
    let mut findings = Vec::new();
    if made.len() != wanted.len() {
        findings.push(format!("{} rows, DuckDB's {}", made.len(), wanted.len()));
    }
    for row in wanted {
        let key = crate::aggregates::duckdb::value(&row[0]).to_string();
        let Some(made) = made.get(&key) else {
            findings.push(format!("{key} is missing"));
            continue;
        };
        let mut rest = &row[1..];
        for (at, item) in items.iter().enumerate() {
            let (theirs, later) = rest.split_at(item.theirs.len());
            rest = later;
            let ours = made.get(&format!("a{at}"));
            if !item.check.holds(&ours, theirs) {
                let theirs: Vec<String> = theirs.iter().map(Json::to_string).collect();
                let what = &item.ours;
                findings.push(format!("{what}\n  {key}: {ours}, DuckDB's {}", theirs.join(", ")));
            }
        }
    }
    (findings, wanted.len())
}

/// Each group's points as if its first came at the start. DuckDB works out lines in floats, which lose
/// what is a nanosecond apart far from their origin; where a line stands in time makes no difference to it.
fn shifted(rows: &[&Row]) -> Vec<Row> {
    let mut first = BTreeMap::new();
    let shift = |row: &&Row| {
        let first = *first.entry(row.values[0].to_string()).or_insert(row.time);
        Row { time: row.time - first + START * SECOND, values: row.values.clone() }
    };
    rows.iter().map(shift).collect()
}

fn lists(items: &[Item]) -> (String, String) {
    let ours = items.iter().enumerate().map(|(at, item)| format!("{} AS a{at}", item.ours));
    let theirs = items.iter().flat_map(|item| item.theirs.iter().cloned());
    (ours.collect::<Vec<_>>().join(", "), theirs.collect::<Vec<_>>().join(", "))
}

#[test]
fn small_groups_hold_what_duckdb_finds_in_them() {
    let settings = crate::settings(400);
    let mut random = Random::new(settings.seed);
    let mut duckdb = DuckDb::start();
    let (mut findings, mut compared) = (Vec::new(), 0);
    let mut left = settings.statements * 4;
    while left > 0 {
        let groups = left.min(3_000);
        left -= groups;
        let table = table(&format!("groups{left}"), groups, &mut random);
        let mut rows: Vec<&Row> = table.rows.iter().collect();
        let shifted = shifted(&rows);
        duckdb.load(&table, &shifted.iter().collect::<Vec<_>>());
        over(&mut duckdb, &table, &rows, &mut random, &mut findings, &mut compared);
        random.shuffle(&mut rows);
        let (v, i, s) = (same(Kind::Float, "v"), same(Kind::Int, "i"), same(Kind::Text, "s"));
        let items = [
            calls::line(&v, ("'10s'", 10), "", ""),
            calls::line(&i, ("INTERVAL '1 minute'", 60), "", ""),
            calls::line(&v, ("0", 0), " FILTER (WHERE i > 0)", ""),
            calls::counts(&v, &["-1e15", "0", "2.5", "1e15"], ""),
            calls::counts(&i, &["-7", "0", "100"], " FILTER (WHERE v > 0)"),
            calls::most(&v, 3, ""),
            calls::most(&i, 1, ""),
            calls::most(&s, 10, ""),
        ];
        let (ours, theirs) = lists(&items);
        let query =
            format!("SELECT g, {ours}, count(*) AS n FROM {} GROUP BY time('1h'), g", table.name);
        let made = run(&table, &rows, &query, "g", &mut random);
        let query = format!("SELECT g, {theirs} FROM {} GROUP BY g", table.name);
        let (found, rows) = compare(&made, &duckdb.rows(&query).unwrap(), "g", &items);
        findings.extend(found);
        compared += rows;
    }
    println!("{compared} rows compared");
    assert!(compared > settings.statements * 50);
    crate::report(settings, &findings);
}

/// The line through the points of a frame that moves on with each point.
fn over(
    duckdb: &mut DuckDb,
    table: &Table,
    rows: &[&Row],
    random: &mut Random,
    findings: &mut Vec<String>,
    compared: &mut usize,
) {
    for (ours, theirs) in [
        ("ORDER BY time ROWS 5 PRECEDING", "ORDER BY time, rowid ROWS 5 PRECEDING"),
        ("ORDER BY time RANGE '30s' PRECEDING", "ORDER BY time RANGE 30000000000 PRECEDING"),
    ] {
        let (v, i) = (same(Kind::Float, "v"), same(Kind::Int, "i"));
        let mut items = [
            calls::line(&v, ("'10s'", 10), "", " OVER {}"),
            calls::line(&i, ("60", 60), " FILTER (WHERE v > 0)", " OVER {}"),
        ];
        for item in &mut items {
            item.ours = item.ours.replace("{}", &format!("(PARTITION BY g {ours})"));
            for text in &mut item.theirs {
                *text = text.replace("{}", &format!("(PARTITION BY g {theirs})"));
            }
        }
        let (ours, theirs) = lists(&items);
        let query = format!("SELECT id, {ours} FROM {}", table.name);
        let made = run(table, rows, &query, "id", random);
        let query = format!("SELECT id, {theirs} FROM {}", table.name);
        let (found, rows) = compare(&made, &duckdb.rows(&query).unwrap(), "id", &items);
        findings.extend(found);
        *compared += rows;
    }
}
