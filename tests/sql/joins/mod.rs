//! ASOF joins and joins within a bound of time, against DuckDB: random statements over random points of two
//! sources, which come in random batches, out of order within `delay`.

mod statement;

use crate::aggregates::duckdb::{self, DuckDb};
use crate::engine::{Engine, Made, batch};
use crate::random::Random;
use crate::table::{Column, Kind, Row, Table};
use crate::value::Value;
use statement::Statement;

/// Statements over two tables.
const OF_TABLES: usize = 10;
const SECOND: i64 = 1_000_000_000;
/// Noon of some day, nanoseconds.
const START: i64 = 1_700_049_600 * SECOND;
/// How late points come at most; the option `delay` is a little more.
const LATENESS: i64 = 5 * SECOND;

const COLUMNS: &[Column] = &[
    Column::tag("h"),
    Column::field("i", Kind::Int),
    Column::field("f", Kind::Float),
    Column::field("s", Kind::Text),
    Column::field("o", Kind::Bool),
    Column::field("n", Kind::Int),
];

#[test]
fn joins_find_the_partners_that_duckdb_finds() {
    let settings = crate::settings(200);
    let mut random = Random::new(settings.seed ^ 0x6a6f_696e);
    let mut duckdb = DuckDb::start();
    let mut findings = Vec::new();
    let mut rows = 0;
    for done in 0..settings.statements {
        if done % OF_TABLES != 0 {
            continue;
        }
        let count = *random.pick(&[5, 30, 100, 300]);
        let a = table(format!("a{}", done / OF_TABLES), count, &mut random);
        let b = table(format!("b{}", done / OF_TABLES), 1 + random.below(300), &mut random);
        for table in [&a, &b] {
            duckdb.load(table, &table.rows.iter().collect::<Vec<_>>());
        }
        for _ in done..settings.statements.min(done + OF_TABLES) {
            let statement = Statement::random(&mut random);
            let seed = random.next();
            match compare(&mut duckdb, &a, &b, &statement, seed) {
                Ok(compared) => rows += compared,
                Err(_) if findings.len() < 4 => {
                    findings.push(smallest(&mut duckdb, &a, &b, &statement, seed));
                }
                Err(error) => findings.push(error),
            }
        }
    }
    println!("{} statements, {rows} rows compared", settings.statements);
    crate::report(settings, &findings);
    assert!(settings.statements < 200 || rows > 5_000, "only {rows} rows were compared");
}

/// Points of few keys, some at the time of another source's, none at the time of another one of theirs: of
/// two latest partners either would do.
fn table(name: String, count: usize, random: &mut Random) -> Table {
    let missing = *random.pick(&[0, 10, 40]);
    let mut times: Vec<i64> =
        (0..count).map(|_| START + random.within(0, 600) * SECOND / 10).collect();
    times.sort_unstable();
    times.dedup();
    let mut rows = Vec::new();
    for (at, time) in times.into_iter().enumerate() {
        let value = |column: &Column, random: &mut Random| match column.name {
            "n" => Value::Int(at as i128),
            _ if random.chance(missing) => Value::Null,
            "h" => Value::Text((*random.pick(&["x", "y", "abc"])).to_owned()),
            "i" => Value::Int(random.within(0, 3).into()),
            "f" => Value::Float(random.within(0, 6) as f64 / 2.0),
            "s" => Value::Text((*random.pick(&["x", "Abc", "abc", "a b"])).to_owned()),
            _ => Value::Bool(random.chance(50)),
        };
        let values = COLUMNS.iter().map(|column| value(column, random)).collect();
        rows.push(Row { time, values });
    }
    Table { name, columns: COLUMNS, rows }
}

/// Runs a statement on both sides: how many rows there were, or what differs.
fn compare(
    duckdb: &mut DuckDb,
    a: &Table,
    b: &Table,
    statement: &Statement,
    seed: u64,
) -> Result<usize, String> {
    let nulls = |table: &Table| table.rows.iter().any(|row| row.values.iter().any(Value::is_null));
    let ours = statement.ours(&a.name, &b.name);
    let theirs = statement.theirs(&a.name, &b.name, nulls(a) || nulls(b));
    let tell = |what: String| format!("{ours}\n  DuckDB: {theirs}\n  {what}");
    let wanted = duckdb.rows(&theirs).map_err(|error| tell(format!("DuckDB refuses: {error}")))?;
    let made = run(a, b, statement, &ours, &mut Random::new(seed)).map_err(tell)?;
    let width = statement.items.len() + 1;
    let shown = |time: i64, values: &mut dyn Iterator<Item = Value>| {
        let values: Vec<String> = values.map(|value| value.to_string()).collect();
        format!("{time}: {}", values.join(", "))
    };
    let mut made: Vec<String> = made
        .iter()
        .map(|row| shown(row.time, &mut (0..width).map(|at| row.get(&format!("c{at}")))))
        .collect();
    let mut wanted: Vec<String> = wanted
        .iter()
        .map(|row| shown(row[0].as_i64().unwrap(), &mut row[1..].iter().map(duckdb::value)))
        .collect();
    made.sort();
    wanted.sort();
    if made == wanted {
        return Ok(wanted.len());
    }
    let without = |list: &[String], other: &[String]| {
        let mut rest = other.to_vec();
        let lonely = list.iter().find(|row| match rest.iter().position(|own| own == *row) {
            Some(at) => {
                rest.swap_remove(at);
                false
            }
            None => true,
        });
        lonely.cloned().unwrap_or_default()
    };
    let (own, other) = (without(&made, &wanted), without(&wanted, &made));
    let counts = format!("{} rows, DuckDB's {}", made.len(), wanted.len());
    Err(tell(format!("{counts}; only ours: {own}; only DuckDB's: {other}")))
}

/// The rows of a statement over these points, or why there are none.
fn run(
    a: &Table,
    b: &Table,
    statement: &Statement,
    query: &str,
    random: &mut Random,
) -> Result<Vec<Made>, String> {
    let mut engine =
        Engine::new("delay = '6s'\nmax_future = '1000h'\nhold = '1000h'\nidle = '1000h'", query)?;
    let of = |table| move |row| (row, table);
    let all = a.rows.iter().map(of(a)).chain(b.rows.iter().map(of(b)));
    let mut arrivals: Vec<(i64, &Row, &Table)> = all
        .map(|(row, table): (&Row, &Table)| (row.time + random.within(0, LATENESS), row, table))
        .collect();
    arrivals.sort_by_key(|(at, ..)| *at);
    // The clock is that of the points, or hours later.
    let behind = if random.chance(30) { 10_000 * SECOND } else { 0 };
    let mut clock = START;
    let mut rest = arrivals.as_slice();
    while !rest.is_empty() {
        // A batch is of one table, and comes when its first point does.
        let most = *random.pick(&[1, 5, 30]);
        let (first, _, table) = rest[0];
        let same = rest.iter().take_while(|(.., of)| std::ptr::eq(*of, table)).count();
        let (now, later) = rest.split_at(same.min(most));
        clock = first + behind;
        engine.feed(clock, batch(table, now.iter().map(|(_, row, _)| *row)));
        if random.chance(30) {
            engine.tick(clock);
        }
        rest = later;
    }
    let end = clock + statement.reach() + 3600 * SECOND;
    if random.chance(50) {
        engine.tick(end);
    }
    engine.stop(end);
    for name in
        ["points_late", "points_future", "points_overflow", "failures_kinds", "rows_refused"]
    {
        let count = engine.metric(name);
        if count > 0 {
            return Err(format!("{name} is {count}, expected none; {behind} behind the clock"));
        }
    }
    Ok(engine.made)
}

/// Makes a failing statement smaller, then its points fewer, and tells what is left.
fn smallest(duckdb: &mut DuckDb, a: &Table, b: &Table, statement: &Statement, seed: u64) -> String {
    let small = |table: &Table| Table { name: format!("{}_small", table.name), ..table.clone() };
    let mut tables = [small(a), small(b)];
    let mut statement = statement.clone();
    let mut last = String::new();
    let mut tries = 0;
    let mut fails = |tables: &[Table; 2], statement: &Statement| {
        for table in tables {
            duckdb.load(table, &table.rows.iter().collect::<Vec<_>>());
        }
        tries += 1;
        match compare(duckdb, &tables[0], &tables[1], statement, seed) {
            Err(error) if tries < 100 => {
                last = error;
                true
            }
            _ => false,
        }
    };
    if !fails(&tables, &statement) {
        return format!("{statement:?} fails with seed {seed} over all points alone");
    }
    while let Some(less) = statement.smaller().into_iter().find(|less| fails(&tables, less)) {
        statement = less;
    }
    for side in 0..2 {
        let mut chunk = tables[side].rows.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < tables[side].rows.len() && tables[side].rows.len() > 1 {
                let mut fewer = tables.clone();
                let end = (at + chunk).min(fewer[side].rows.len());
                fewer[side].rows.drain(at..end);
                if !fewer[side].rows.is_empty() && fails(&fewer, &statement) {
                    tables = fewer;
                } else {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
    }
    let shown = |table: &Table| -> String {
        let rows: Vec<String> = table.rows.iter().take(12).map(|row| table.show(row)).collect();
        format!("{}:\n    {}", table.name, rows.join("\n    "))
    };
    format!("{last}\n  {}\n  {}", shown(&tables[0]), shown(&tables[1]))
}
