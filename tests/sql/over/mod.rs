//! Sliding windows through OVER, against DuckDB: random statements over random points, which come in
//! random batches, out of order within `delay`. DuckDB has the points in the order of their arrival.

mod calls;
mod statement;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::aggregates::data::{self, START};
use crate::aggregates::duckdb::DuckDb;
use crate::engine::{Engine, Made, batch};
use crate::random::Random;
use crate::table::{Column, Kind, Row, Table};
use crate::value::Value;
use statement::Statement;

const SECOND: i64 = 1_000_000_000;
/// How late points come at most; the option `delay` is a little more.
const LATENESS: i64 = 5 * SECOND;
/// Statements over one table.
const OF_TABLE: usize = 20;

/// The columns of the aggregates' points, and the number of each point.
const COLUMNS: &[Column] = &[
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
    Column::field("id", Kind::Int),
];

#[test]
fn frames_hold_what_duckdb_finds_in_them() {
    let settings = crate::settings(200);
    let mut random = Random::new(settings.seed);
    let mut duckdb = DuckDb::start();
    let mut findings = Vec::new();
    let mut rows = 0;
    for done in (0..settings.statements).step_by(OF_TABLE) {
        let (table, arrivals) = table(done / OF_TABLE, &mut random);
        duckdb.load(&table, &table.rows.iter().collect::<Vec<_>>());
        for _ in done..settings.statements.min(done + OF_TABLE) {
            let statement = Statement::random(&mut random);
            let seed = random.next();
            match compare(&mut duckdb, &table, &arrivals, &statement, seed) {
                Ok(compared) => rows += compared,
                Err(_) if findings.len() < 20 => {
                    findings.push(smallest(&mut duckdb, &table, &arrivals, &statement, seed));
                }
                Err(error) => findings.push(error),
            }
        }
    }
    a_difference_is_found(&mut duckdb, &mut random);
    println!("{} statements, {rows} rows compared", settings.statements);
    crate::report(settings, &findings);
}

/// Points in the order in which they come, and when.
fn table(number: usize, random: &mut Random) -> (Table, Vec<i64>) {
    let count = *random.pick(&[1, 5, 60, 300, 1_000]);
    let mut table = data::table(format!("o{number}"), count, random);
    let late = |row: Row, random: &mut Random| (row.time + random.within(0, LATENESS), row);
    let mut rows: Vec<(i64, Row)> = table.rows.drain(..).map(|row| late(row, random)).collect();
    rows.sort_by_key(|(at, _)| *at);
    let arrivals = rows.iter().map(|(at, _)| *at).collect();
    table.columns = COLUMNS;
    table.rows = rows.into_iter().map(|(_, row)| row).collect();
    for (id, row) in table.rows.iter_mut().enumerate() {
        row.values.push(Value::Int(id as i128));
    }
    (table, arrivals)
}

/// What differs is told.
fn a_difference_is_found(duckdb: &mut DuckDb, random: &mut Random) {
    let (table, arrivals) = table(1_000_000, random);
    duckdb.load(&table, &table.rows.iter().collect::<Vec<_>>());
    let mut statement = Statement::random(random);
    statement.filter = None;
    statement.items[0] = calls::Item::same("count(*)", "count(*) + 1", statement.window(""));
    let found = compare(duckdb, &table, &arrivals, &statement, 1).unwrap_err();
    assert!(found.contains("is 1, DuckDB's 2"), "{found}");
}

/// Feeds our side as a live source does.
fn run(
    table: &Table,
    arrivals: &[i64],
    query: &str,
    random: &mut Random,
) -> Result<Vec<Made>, String> {
    let mut engine = Engine::new("delay = '6s'\nmax_future = '1000h'", query)?;
    let at_once = random.chance(20);
    let mut from = 0;
    while from < table.rows.len() {
        let most = *random.pick(&[1, 10, 100, 1_000]);
        let to = (from + most).min(table.rows.len());
        let clock = if at_once { START * SECOND } else { arrivals[to - 1] };
        engine.feed(clock, batch(table, table.rows[from..to].iter()));
        if random.chance(30) {
            engine.tick(clock);
        }
        from = to;
    }
    let end = arrivals.last().copied().unwrap_or(START * SECOND) + 3600 * SECOND;
    if random.chance(50) {
        engine.tick(end);
    }
    engine.stop(end);
    for name in ["points_late", "points_future", "failures_kinds", "rows_refused", "windows_early"]
    {
        let count = engine.metric(name);
        if count > 0 {
            return Err(format!("{name} is {count}, expected none"));
        }
    }
    Ok(engine.made)
}

/// Runs a statement on both sides: how many rows there were, or what differs.
fn compare(
    duckdb: &mut DuckDb,
    table: &Table,
    arrivals: &[i64],
    statement: &Statement,
    seed: u64,
) -> Result<usize, String> {
    let (ours, theirs) = (statement.ours(&table.name), statement.theirs(&table.name));
    let tell = |what: String| format!("{ours}\n  DuckDB: {theirs}\n  {what}");
    let wanted = duckdb.rows(&theirs).map_err(|error| tell(format!("DuckDB refuses: {error}")))?;
    let made = run(table, arrivals, &ours, &mut Random::new(seed)).map_err(tell)?;
    let by_id: BTreeMap<String, &Made> =
        made.iter().map(|row| (row.get("id").to_string(), row)).collect();
    if by_id.len() != wanted.len() || made.len() != wanted.len() {
        let what = format!("rows: {} of {}, DuckDB's: {}", by_id.len(), made.len(), wanted.len());
        return Err(tell(what));
    }
    for row in &wanted {
        let id = row[0].to_string();
        let Some(made) = by_id.get(&id) else { return Err(tell(format!("no row of point {id}"))) };
        let mut rest = &row[1..];
        for (at, item) in statement.items.iter().enumerate() {
            let (theirs, later) = rest.split_at(item.width());
            rest = later;
            let ours = made.get(&format!("a{at}"));
            if !item.check.holds(&ours, theirs) {
                let theirs: Vec<String> = theirs.iter().map(Json::to_string).collect();
                let name = item.ours();
                return Err(tell(format!(
                    "point {id}: {name} is {ours}, DuckDB's {}",
                    theirs.join(", ")
                )));
            }
        }
    }
    if made.windows(2).any(|pair| pair[0].time > pair[1].time) && !arrivals.is_empty() {
        return Err(tell("the rows do not come by time".into()));
    }
    Ok(wanted.len())
}

/// The failing statement with as few columns and over as few points as still fail.
fn smallest(
    duckdb: &mut DuckDb,
    table: &Table,
    arrivals: &[i64],
    statement: &Statement,
    seed: u64,
) -> String {
    let mut statement = statement.clone();
    let (mut small, mut clock) =
        (Table { name: format!("{}_small", table.name), ..table.clone() }, arrivals.to_vec());
    let mut last = String::new();
    let mut fails = |table: &Table, arrivals: &[i64], statement: &Statement| {
        duckdb.load(table, &table.rows.iter().collect::<Vec<_>>());
        let error = compare(duckdb, table, arrivals, statement, seed).err();
        error.map(|error| last = error).is_some()
    };
    while let Some(less) = statement.smaller().into_iter().find(|less| fails(&small, &clock, less))
    {
        statement = less;
    }
    let mut chunk = small.rows.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < small.rows.len() {
            let (mut fewer, mut times) = (small.clone(), clock.clone());
            let end = (at + chunk).min(fewer.rows.len());
            fewer.rows.drain(at..end);
            times.drain(at..end);
            if !times.is_empty() && fails(&fewer, &times, &statement) {
                (small, clock) = (fewer, times);
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    fails(&small, &clock, &statement);
    let points: Vec<String> = small.rows.iter().take(12).map(|row| small.show(row)).collect();
    format!("{last}\n  {} points:\n    {}", small.rows.len(), points.join("\n    "))
}
