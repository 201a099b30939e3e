//! Aggregates and windows, against DuckDB: random statements over random points of several series, which
//! come in random batches, out of order within `delay`.
//!
//! `window.rs` is where a further form of window belongs: all else of a statement stays the same.

mod calls;
mod data;
pub mod duckdb;
mod feed;
mod scalar;
mod shrink;
mod statement;
mod window;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::engine::Made;
use crate::random::Random;
use crate::table::{Row, Table};
use crate::value::Value;
use duckdb::DuckDb;
use statement::Statement;

/// Statements over one table.
const OF_TABLE: usize = 40;

#[test]
fn windows_hold_what_duckdb_finds_in_them() {
    let settings = crate::settings(400);
    let mut random = Random::new(settings.seed);
    let mut duckdb = DuckDb::start();
    a_difference_is_found(&mut duckdb, &mut random);
    let mut findings = Vec::new();
    let mut rows = 0;
    for done in 0..settings.statements {
        if done % OF_TABLE != 0 {
            continue;
        }
        let count = *random.pick(&[0, 5, 100, 1_000, 4_000]);
        let table = data::table(format!("m{}", done / OF_TABLE), count + 1, &mut random);
        duckdb.load(&table, &table.rows.iter().collect::<Vec<_>>());
        for _ in done..settings.statements.min(done + OF_TABLE) {
            let statement = Statement::random(&mut random);
            let seed = random.next();
            let all: Vec<&Row> = table.rows.iter().collect();
            match compare(&mut duckdb, &table, &all, &statement, seed) {
                Ok(compared) => rows += compared,
                Err(_) if findings.len() < 20 => {
                    findings.push(shrink::smallest(&mut duckdb, &table, &statement, seed));
                }
                Err(error) => findings.push(error),
            }
        }
    }
    println!("{} statements, {rows} rows compared", settings.statements);
    crate::report(settings, &findings);
}

/// What differs is told, with one point and without what has nothing to do with it.
fn a_difference_is_found(duckdb: &mut DuckDb, random: &mut Random) {
    let table = data::table("proof".into(), 50, random);
    duckdb.load(&table, &table.rows.iter().collect::<Vec<_>>());
    let mut statement = Statement::random(random);
    statement.items[0].theirs = vec!["count(*) + 1".into()];
    let finding = shrink::smallest(duckdb, &table, &statement, 1);
    let told = "count(*) is 1, DuckDB's 2\n  1 points:";
    assert!(
        finding.starts_with("SELECT count(*) AS a0 FROM") && finding.contains(told),
        "{finding}"
    );
}

/// Runs a statement on both sides: how many rows there were, or what differs. The other side has the rows
/// as the table of that name.
fn compare(
    duckdb: &mut DuckDb,
    table: &Table,
    rows: &[&Row],
    statement: &Statement,
    seed: u64,
) -> Result<usize, String> {
    let (ours, theirs) = (statement.ours(&table.name), statement.theirs(&table.name));
    let tell = |what: String| format!("{ours}\n  DuckDB: {theirs}\n  {what}");
    let wanted = duckdb.rows(&theirs).map_err(|error| tell(format!("DuckDB refuses: {error}")))?;
    let made = feed::run(table, rows, statement, &ours, &mut Random::new(seed)).map_err(tell)?;
    let shown: Vec<usize> = (0..statement.keys.len()).filter(|at| statement.keys[*at].1).collect();
    let mut groups: BTreeMap<String, (Vec<&Made>, Vec<&[Json]>)> = BTreeMap::new();
    for row in &made {
        let keys = shown.iter().map(|at| row.get(&format!("k{at}")));
        groups.entry(key(row.time, keys)).or_default().0.push(row);
    }
    for row in &wanted {
        let keys = row[1..=shown.len()].iter().map(duckdb::value);
        let key = key(row[0].as_i64().unwrap(), keys);
        groups.entry(key).or_default().1.push(&row[1 + shown.len()..]);
    }
    for (key, (made, wanted)) in &groups {
        if made.len() != wanted.len() {
            let (ours, theirs) = (made.len(), wanted.len());
            return Err(tell(format!("{key}: rows: {ours}, DuckDB's: {theirs}")));
        }
        if let Some(what) = unpaired(statement, made, wanted) {
            return Err(tell(format!("{key}: {what}")));
        }
    }
    Ok(wanted.len())
}

/// Pairs the rows of groups that cannot be told apart, for a key need not be selected, each with one of the
/// other side that agrees; what differs if that cannot be done.
fn unpaired(statement: &Statement, made: &[&Made], wanted: &[&[Json]]) -> Option<String> {
    /// Finds a partner for a row of theirs, if need be by finding another one for its partner's.
    fn pair(row: usize, fits: &[Vec<bool>], of: &mut [Option<usize>], seen: &mut [bool]) -> bool {
        for at in 0..of.len() {
            if !fits[row][at] || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            if of[at].is_none_or(|other| pair(other, fits, of, seen)) {
                of[at] = Some(row);
                return true;
            }
        }
        false
    }
    let fits = |answers: &&[Json]| {
        made.iter().map(|made| wrong(statement, made, answers).is_none()).collect()
    };
    let fits: Vec<Vec<bool>> = wanted.iter().map(fits).collect();
    let mut of = vec![None; made.len()];
    let lonely =
        (0..wanted.len()).find(|row| !pair(*row, &fits, &mut of, &mut vec![false; made.len()]))?;
    let first = made.iter().find_map(|made| wrong(statement, made, wanted[lonely]));
    Some(first.unwrap_or_else(|| "rows that all fit others".to_owned()))
}

/// A window and its group. There are no empty tags, so an empty text is as NULL.
fn key(start: i64, keys: impl Iterator<Item = Value>) -> String {
    let keys = keys.map(|value| match value {
        Value::Text(text) if text.is_empty() => Value::Null.to_string(),
        Value::Float(value) => Value::Int(value as i128).to_string(),
        value => value.to_string(),
    });
    let keys: Vec<String> = keys.collect();
    format!("window {start}, group ({})", keys.join(", "))
}

/// The first column that does not hold.
fn wrong(statement: &Statement, made: &Made, answers: &[Json]) -> Option<String> {
    let mut rest = answers;
    for (at, item) in statement.items.iter().enumerate() {
        let (theirs, later) = rest.split_at(item.theirs.len());
        rest = later;
        let ours = made.get(&format!("a{at}"));
        if !item.check.holds(&ours, theirs) {
            let theirs: Vec<String> = theirs.iter().map(Json::to_string).collect();
            return Some(format!("{} is {ours}, DuckDB's {}", item.ours, theirs.join(", ")));
        }
    }
    None
}
