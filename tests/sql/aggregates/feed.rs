//! Feeds our side as a live source does, or all at once.

use super::data::{SPAN, START};
use super::statement::Statement;
use crate::engine::{Engine, Made, batch};
use crate::random::Random;
use crate::table::{Row, Table};

const SECOND: i64 = 1_000_000_000;
/// How late points come at most; the option `delay` is a little more.
const LATENESS: i64 = 5 * SECOND;

/// The rows of a statement over these points, or why there are none.
pub fn run(
    table: &Table,
    rows: &[&Row],
    statement: &Statement,
    query: &str,
    random: &mut Random,
) -> Result<Vec<Made>, String> {
    let mut engine = Engine::new("delay = '6s'\nmax_future = '1000h'", query)?;
    if statement.window.heeds_order() {
        at_once(&mut engine, table, rows, random);
    } else if random.chance(50) {
        let mut shuffled = rows.to_vec();
        random.shuffle(&mut shuffled);
        at_once(&mut engine, table, &shuffled, random);
    } else {
        live(&mut engine, table, rows, random);
    }
    // Long after the last window: those that are open now were not to be closed before.
    let end = (START + SPAN) * SECOND + statement.window.length() * 2;
    if random.chance(50) {
        engine.tick(end + 3600 * SECOND);
    }
    engine.stop(end + 3600 * SECOND);
    for name in
        ["points_late", "points_future", "points_no_window", "failures_kinds", "rows_refused"]
    {
        let count = engine.metric(name);
        if count > 0 {
            return Err(format!("{name} is {count}, expected none"));
        }
    }
    Ok(engine.made)
}

/// In their order, before the clock has reached the first.
fn at_once(engine: &mut Engine, table: &Table, rows: &[&Row], random: &mut Random) {
    let mut rest = rows;
    while !rest.is_empty() {
        let most = *random.pick(&[1, 10, 100, 1_000]);
        let (now, later) = rest.split_at(most.min(rest.len()));
        engine.feed(START * SECOND, batch(table, now.iter().copied()));
        rest = later;
    }
}

/// As they come, each some seconds late; windows close meanwhile.
fn live(engine: &mut Engine, table: &Table, rows: &[&Row], random: &mut Random) {
    let mut arrivals: Vec<(i64, &Row)> =
        rows.iter().map(|row| (row.time + random.within(0, LATENESS), *row)).collect();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut rest = arrivals.as_slice();
    while let Some((first, _)) = rest.first() {
        // All of a batch comes when its last point does.
        let end = first + *random.pick(&[0, SECOND / 10, SECOND]);
        let count = rest.iter().take_while(|(at, _)| *at <= end).count();
        let (now, later) = rest.split_at(count);
        let clock = now.last().map_or(end, |(at, _)| *at);
        engine.feed(clock, batch(table, now.iter().map(|(_, row)| *row)));
        if random.chance(30) {
            engine.tick(clock);
        }
        rest = later;
    }
}
