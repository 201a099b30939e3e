//! Feeds records to the processor and looks at what it makes.

use std::collections::BTreeMap;

use headwater_plugin_api::abi::instance::ProcessorInstance;
use headwater_plugin_api::batch::{Batch, BatchBuilder, PointRef, Value as Field};
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::testkit::{self, Driven};
use headwater_sql::sql::Sql;
use serde_json::{Map, Value, json};

use crate::answers::{self, Times};
use crate::case::{Case, Record};

const SECOND: i64 = 1_000_000_000;
/// Midnight of some day: all windows begin there.
const START: i64 = 1_750_032_000 * SECOND;
/// The measurement whose points make snapshots go.
const TRIGGER: &str = "trigger";

/// A row of the results.
struct Made {
    time: i64,
    keys: BTreeMap<String, Value>,
}

/// Runs a case; what is wrong with the outcome.
pub fn run(case: &Case) -> Result<(), String> {
    let config = |query: &str| format!("drop_original = true\nquery = '''\n{query}\n'''");
    let answer = answers::of(&case.name);
    let expected = answer.as_ref().map_or(&case.expected, |answer| &answer.expected);
    if expected["outcome"] == "rejected" {
        return match testkit::processor::<Sql>(&config(&case.query)) {
            Ok(_) => Err("it was accepted".to_owned()),
            Err(error) => placed(&error.to_string()),
        };
    }
    let query = match (&case.before, case.kind.as_str()) {
        (Some(before), _) => format!("{}\n{}", kept(case, before), flushed(&case.query)),
        (None, _) => case.query.clone(),
    };
    let made = testkit::processor::<Sql>(&config(&query));
    let mut sql = made.map_err(|error| format!("refused: {error}"))?;
    let times = answer.as_ref().map_or(Times::Arrival, |answer| answer.times);
    let mut rows = match case.kind.as_str() {
        "snapshot" => snapshot(&mut sql, case),
        _ => feed(&mut sql, case, times),
    };
    if let Some(start) = answer.as_ref().and_then(|answer| answer.window) {
        rows.retain(|row| row.time == START + start * SECOND);
    }
    compare(&rows, expected)
}

/// An error has a place in the statement.
fn placed(error: &str) -> Result<(), String> {
    if error.contains("line ") && error.contains("column ") {
        return Ok(());
    }
    Err(format!("the error names no place: {error}"))
}

/// The measurement that a statement reads.
fn source(query: &str) -> &str {
    let rest = query.split_once("STREAM:").map_or("FLB", |(_, rest)| rest);
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
    rest[..end.unwrap_or(rest.len())].trim_end_matches('.')
}

fn batch(name: &str, tag: &str, records: &[Record], time: impl Fn(usize) -> i64) -> Batch {
    let mut builder = BatchBuilder::default();
    for (number, record) in records.iter().enumerate() {
        let mut fields = Vec::new();
        flatten("", record, &mut fields);
        let mut point = builder.point(name).tag("tag", tag);
        for (key, value) in &fields {
            point = match value {
                Value::String(text) => point.field(key, text.as_str()),
                Value::Bool(on) => point.field(key, *on),
                Value::Number(n) => match n.as_i64() {
                    Some(int) => point.field(key, int),
                    None => point.field(key, n.as_f64().unwrap()),
                },
                _ => point,
            };
        }
        point.finish(time(number)).unwrap();
    }
    let mut batch = builder.finish().unwrap();
    batch.set_origin(1);
    batch
}

/// Keys of maps in maps, as the JSON parser names them.
fn flatten(prefix: &str, map: &Map<String, Value>, out: &mut Vec<(String, Value)>) {
    for (key, value) in map {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}_{key}") };
        match value {
            Value::Object(map) => flatten(&key, map, out),
            Value::Null => {}
            value => out.push((key, value.clone())),
        }
    }
}

fn take(batches: &[Batch], rows: &mut Vec<Made>) {
    let points = batches.iter().flat_map(Batch::points);
    rows.extend(points.map(|point| Made { time: point.time(), keys: keys(&point) }));
}

fn keys(point: &PointRef<'_>) -> BTreeMap<String, Value> {
    let value = |value: Field<'_>| match value {
        Field::F64(v) => json!(v),
        Field::I64(v) => json!(v),
        Field::U64(v) => json!(v),
        Field::Bool(v) => json!(v),
        Field::Text(v) => json!(v),
        Field::Unknown { kind, .. } => panic!("a field of the unknown kind {kind}"),
    };
    let tags = point.series().tags().map(|(key, text)| (key.to_owned(), json!(text)));
    tags.chain(point.fields().map(|(key, v)| (key.to_owned(), value(v)))).collect()
}

type Stage = Driven<ProcessorInstance>;

/// All files, as often as the case says, then the end of all windows.
fn feed(sql: &mut Stage, case: &Case, times: Times) -> Vec<Made> {
    let mut rows = Vec::new();
    // Several files come a second apart, one file that comes again 0.8 s.
    let (step, first) = match case.files.len() {
        1 => (SECOND * 4 / 5, START),
        _ => (SECOND, START + SECOND / 2),
    };
    let batches = (0..case.times).flat_map(|_| &case.files);
    for (number, records) in batches.enumerate() {
        let now = first + number as i64 * step;
        let time = |record: usize| match times {
            Times::Arrival => now,
            Times::Counted => START + (record as i64 + 1) * SECOND,
        };
        let points = batch(source(&case.query), &case.tag, records, time);
        let (made, result) = sql.process(now.max(time(records.len())), points);
        result.unwrap();
        take(&made.batches, &mut rows);
    }
    end(sql, &mut rows);
    rows
}

fn end(sql: &mut Stage, rows: &mut Vec<Made>) {
    let (made, result) = sql.control(START + 3600 * SECOND, Control::Stop);
    result.unwrap();
    take(&made.batches, rows);
}

/// The statement that keeps records, with the bound that the case is about.
fn kept(case: &Case, before: &str) -> String {
    if case.name.ends_with("_time") {
        let (head, select) = before.split_once(" WITH (tag='t')").unwrap();
        let select = select.replace(" LIMIT 5", "");
        return format!("{head} WITH (tag='t', seconds='5'){select}");
    }
    before.to_owned()
}

/// The statement that gives them out, on a source of its own.
fn flushed(query: &str) -> String {
    query.replace("STREAM:FLB", &format!("STREAM:{TRIGGER}"))
}

/// The first five files, two seconds apart, then the fifth once more for the statement that flushes.
fn snapshot(sql: &mut Stage, case: &Case) -> Vec<Made> {
    let mut rows = Vec::new();
    let at = |file: usize| START + file as i64 * 2 * SECOND;
    for (number, records) in case.files[..5].iter().enumerate() {
        let points = batch("FLB", &case.tag, records, |_| at(number));
        let (made, result) = sql.process(at(number), points);
        result.unwrap();
        take(&made.batches, &mut rows);
    }
    // What was given out is given out once.
    for _ in 0..2 {
        if case.before.is_some() {
            let points = batch(TRIGGER, &case.tag, &case.files[4], |_| at(4));
            let (made, result) = sql.process(at(4), points);
            result.unwrap();
            take(&made.batches, &mut rows);
        }
    }
    end(sql, &mut rows);
    rows
}

fn compare(rows: &[Made], expected: &Value) -> Result<(), String> {
    let shown: Vec<String> = rows.iter().map(|row| json!(row.keys).to_string()).collect();
    let wrong = |what: String| Err(format!("{what}; the rows are\n{}", shown.join("\n")));
    if let Some(count) = expected["rows"].as_u64()
        && rows.len() as u64 != count
    {
        return wrong(format!("{} rows, expected {count}", rows.len()));
    }
    if let Some(count) = expected["total_keys_over_all_rows"].as_u64() {
        let found: usize = rows.iter().map(|row| row.keys.len()).sum();
        if found as u64 != count {
            return wrong(format!("{found} keys in all rows, expected {count}"));
        }
    }
    if let Some(ids) = expected["ids"].as_array() {
        let found: Vec<&Value> = rows.iter().filter_map(|row| row.keys.get("id")).collect();
        if found != ids.iter().collect::<Vec<_>>() {
            return wrong(format!("the ids are {found:?}, expected {ids:?}"));
        }
    }
    let tolerance = expected["tolerance"].as_f64().unwrap_or(1e-9);
    let first = expected["first_row"].as_object().map(|row| vec![json!(row)]);
    let values = first.or_else(|| expected["values"].as_array().cloned()).unwrap_or_default();
    for (row, wanted) in rows.iter().zip(&values) {
        for (key, value) in wanted.as_object().unwrap() {
            let Some(found) = row.keys.get(key) else {
                return wrong(format!("a row has no {key}"));
            };
            if !same(found, value, tolerance) {
                return wrong(format!("{key} is {found}, expected {value}"));
            }
        }
    }
    for (key, kind) in expected["types"].as_object().into_iter().flatten() {
        let is_int =
            |row: &Made| row.keys.get(key).is_some_and(|value| value.is_i64() || value.is_u64());
        if rows.iter().any(|row| is_int(row) != (kind == "int")) {
            return wrong(format!("{key} is no {kind}"));
        }
    }
    Ok(())
}

fn same(found: &Value, wanted: &Value, tolerance: f64) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        (Some(found), Some(wanted)) => (found - wanted).abs() <= tolerance,
        _ => found == wanted,
    }
}
