//! What must not matter: how points are split into batches, in which order they come within `delay`, from
//! which sources, live or replayed. A random statement gives the same rows either way.
//!
//! What a statement is told is a list of [`Step`]s; a [`Runner`] runs them. Whatever else must not matter,
//! such as a stop and a restart from a checkpoint between two steps, or several workers, is one more runner
//! in [`runners`].

use std::collections::{BTreeMap, BTreeSet};

use headwater_plugin_api::plugin::Control;

use crate::aggregates::data::{self, SPAN, START};
use crate::aggregates::statement::Statement;
use crate::aggregates::{calls, lonely, row_key, shrink};
use crate::engine::{Engine, Made, batch};
use crate::random::Random;
use crate::table::{Row, Table};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;
/// Statements over one table.
const OF_TABLE: usize = 20;
/// How far points of live sources are behind at most; the option `delay` is as much.
const DELAY: i64 = 6 * SECOND;
/// With `late = "update"`, how much further behind they may be.
const GRACE: i64 = 20 * SECOND;

/// What a statement is told. Times are nanoseconds since the epoch.
#[derive(Debug, Clone)]
pub enum Step<'r> {
    /// A batch.
    Feed { now: i64, origin: u64, rows: Vec<&'r Row> },
    /// A message.
    Control { now: i64, message: Control },
    /// The clock goes on to here; in between the statement is called when it asks for it.
    Clock { now: i64 },
}

/// Runs a statement from its start to its stop, which is the last step.
pub trait Runner {
    /// A word for reports.
    fn name(&self) -> String;
    /// What a statement makes of these steps, all sent rows in their order; `random` decides what the runner
    /// is free to decide.
    fn run(
        &self,
        options: &str,
        query: &str,
        table: &Table,
        steps: &[Step<'_>],
        random: &mut Random,
    ) -> Result<Vec<Made>, String>;
}

/// One processor, from the first step to the last.
pub struct Plain;

impl Runner for Plain {
    fn name(&self) -> String {
        "plain".into()
    }

    fn run(
        &self,
        options: &str,
        query: &str,
        table: &Table,
        steps: &[Step<'_>],
        _random: &mut Random,
    ) -> Result<Vec<Made>, String> {
        let mut engine = Engine::new(options, query)?;
        for step in steps {
            run_step(&mut engine, table, step);
        }
        for name in ["points_late", "points_future", "points_no_window", "points_overflow"] {
            let count = engine.metric(name);
            if count > 0 {
                return Err(format!("{name} is {count}, expected none"));
            }
        }
        Ok(engine.made)
    }
}

/// Tells an engine a step.
pub fn run_step(engine: &mut Engine, table: &Table, step: &Step<'_>) {
    match step {
        Step::Feed { now, origin, rows } => {
            let mut batch = batch(table, rows.iter().copied());
            batch.set_origin(*origin);
            engine.feed(*now, batch);
        }
        Step::Control { now, message } => engine.control(*now, *message),
        Step::Clock { now } => engine.advance(*now),
    }
}

/// All that is to give the same rows as [`Plain`].
fn runners() -> Vec<Box<dyn Runner>> {
    vec![Box::new(Plain), Box::new(crate::workers::Workers(3))]
}

/// How points come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All in one batch, before the clock has reached the first.
    Whole,
    /// In their order, in any pieces.
    Pieces,
    /// In any order, in any pieces, from any sources.
    Shuffled,
    /// When they come about, behind by up to `delay`, from several live sources.
    Live,
    /// Hours later, from several files, each in its order, whose batches come in any order.
    Replayed,
    /// As live ones, behind by up to `delay` and `grace`.
    Late,
}

impl Way {
    /// The ways that must not matter to a statement.
    fn all(statement: &Statement) -> Vec<Way> {
        if statement.window.heeds_order() {
            return vec![Way::Pieces];
        }
        let mut all = vec![Way::Pieces, Way::Shuffled, Way::Live, Way::Replayed];
        // A row that was sent stays sent: a correction must be of the same series and time, and there must
        // be one.
        let is_told = statement.keys.iter().all(|(_, shown)| *shown);
        if is_told && statement.window.starts_are_fixed() && !statement.has_having() {
            all.push(Way::Late);
        }
        all
    }

    fn options(self) -> String {
        let late = match self {
            Way::Late => format!("late = 'update'\ngrace = '{}s'\n", GRACE / SECOND),
            _ => String::new(),
        };
        format!("delay = '{}s'\nidle = '10m'\nmax_future = '1000h'\n{late}", DELAY / SECOND)
    }

    fn steps<'r>(self, rows: &[&'r Row], random: &mut Random) -> Vec<Step<'r>> {
        let start = START * SECOND;
        let at_start = |(origin, rows)| Step::Feed { now: start, origin, rows };
        let mut steps: Vec<Step<'r>> = match self {
            Way::Whole => vec![at_start((1, rows.to_vec()))],
            Way::Pieces => pieces(rows, random).into_iter().map(at_start).collect(),
            Way::Shuffled => {
                let mut rows = rows.to_vec();
                random.shuffle(&mut rows);
                pieces(&rows, random).into_iter().map(at_start).collect()
            }
            Way::Live => live(rows, DELAY, random),
            Way::Late => live(rows, DELAY + GRACE, random),
            Way::Replayed => replayed(rows, random),
        };
        let now = (START + SPAN) * SECOND + 6 * HOUR;
        if self != Way::Replayed && random.chance(50) {
            steps.push(Step::Clock { now });
        }
        steps.push(Step::Control { now, message: Control::Stop });
        steps
    }
}

/// Cuts rows into batches of several sources.
fn pieces<'r>(rows: &[&'r Row], random: &mut Random) -> Vec<(u64, Vec<&'r Row>)> {
    let most = *random.pick(&[1, 10, 100, 1_000]);
    let mut pieces = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let (now, later) = rest.split_at((1 + random.below(most)).min(rest.len()));
        pieces.push((1 + random.below(4) as u64, now.to_vec()));
        rest = later;
    }
    pieces
}

/// Each row comes some time behind its own.
fn live<'r>(rows: &[&'r Row], behind: i64, random: &mut Random) -> Vec<Step<'r>> {
    let mut arrivals: Vec<(i64, &Row)> =
        rows.iter().map(|row| (row.time + random.within(0, behind - SECOND), *row)).collect();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut steps = Vec::new();
    let mut rest = arrivals.as_slice();
    while let Some((first, _)) = rest.first() {
        // All of a batch comes when its last point does.
        let end = first + *random.pick(&[0, SECOND / 10, SECOND]);
        let count = rest.iter().take_while(|(at, _)| *at <= end).count();
        let (part, later) = rest.split_at(count);
        let now = part.last().map_or(end, |(at, _)| *at);
        if random.chance(70) {
            steps.push(Step::Clock { now });
        }
        for (origin, rows) in apart(part.iter().map(|(_, row)| *row), random) {
            steps.push(Step::Feed { now, origin, rows });
        }
        rest = later;
    }
    steps
}

/// Deals rows out to sources.
fn apart<'r>(
    rows: impl Iterator<Item = &'r Row>,
    random: &mut Random,
) -> BTreeMap<u64, Vec<&'r Row>> {
    let sources = 1 + random.below(4);
    let mut parts: BTreeMap<u64, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        parts.entry(1 + random.below(sources) as u64).or_default().push(row);
    }
    parts
}

/// Files that are read at once, hours later.
fn replayed<'r>(rows: &[&'r Row], random: &mut Random) -> Vec<Step<'r>> {
    let mut now = START * SECOND + 5 * HOUR;
    let files = apart(rows.iter().copied(), random);
    let begin = |origin: &u64| Control::Begin { origin: *origin, finite: true };
    let mut steps: Vec<Step<'r>> =
        files.keys().map(|origin| Step::Control { now, message: begin(origin) }).collect();
    let most = *random.pick(&[1, 10, 100]);
    let mut rests: Vec<(u64, std::collections::VecDeque<&Row>)> =
        files.into_iter().map(|(origin, rows)| (origin, rows.into())).collect();
    while !rests.is_empty() {
        let at = random.below(rests.len());
        let (origin, rest) = &mut rests[at];
        let origin = *origin;
        let part: Vec<&Row> = rest.drain(..(1 + random.below(most)).min(rest.len())).collect();
        let is_over = rest.is_empty();
        steps.push(Step::Feed { now, origin, rows: part });
        if is_over {
            steps.push(Step::Control { now, message: Control::End { origin } });
            rests.swap_remove(at);
        }
        if random.chance(30) {
            now += random.within(0, SECOND / 10);
            steps.push(Step::Clock { now });
        }
    }
    steps
}

#[test]
fn how_points_come_does_not_matter() {
    let settings = crate::settings_shared(150, 5);
    let mut random = Random::new(settings.seed ^ 0x4d45_5441);
    let mut findings = Vec::new();
    let (mut rows, mut runs) = (0, 0);
    let runners = runners();
    let mut table = data::table("m".into(), 1, &mut random);
    for done in 0..settings.statements {
        if done % OF_TABLE == 0 {
            let count = *random.pick(&[5, 100, 500, 1_500]);
            table = data::table("m".into(), count + 1, &mut random);
        }
        let statement = Statement::random(&mut random);
        let all: Vec<&Row> = table.rows.iter().collect();
        for way in Way::all(&statement) {
            for runner in &runners {
                let seed = random.next();
                let run = |rows: &[&Row], statement: &Statement| {
                    compare(runner.as_ref(), way, &table, rows, statement, seed)
                };
                match run(&all, &statement) {
                    Ok(compared) => (rows, runs) = (rows + compared, runs + 1),
                    Err(error) if findings.len() >= 10 => findings.push(error),
                    Err(_) => {
                        let fails =
                            |rows: &[&Row], statement: &Statement| run(rows, statement).err();
                        findings.push(shrink::smallest(&table, &statement, seed, fails));
                    }
                }
            }
        }
    }
    println!("{} statements, {runs} ways, {rows} rows compared", settings.statements);
    crate::report(settings, &findings);
}

/// A difference is told: of a point that is left out, and of a value that is another.
#[test]
fn a_difference_is_found() {
    let mut random = Random::new(3);
    let table = data::table("m".into(), 60, &mut random);
    let all: Vec<&Row> = table.rows.iter().collect();
    let mut found = 0;
    for _ in 0..20 {
        let statement = Statement::random(&mut random);
        if statement.has_having() || statement.filter.is_some() {
            continue;
        }
        let (query, options) = (statement.ours(&table.name), Way::Whole.options());
        let made = |rows: &[&Row]| {
            let steps = Way::Whole.steps(rows, &mut Random::new(1));
            Plain.run(&options, &query, &table, &steps, &mut Random::new(1)).unwrap()
        };
        let (whole, less) = (made(&all), made(&all[1..]));
        assert!(difference(&statement, &whole, &whole).is_none());
        assert!(difference(&statement, &less, &whole).is_some(), "{query}");
        found += 1;
    }
    assert!(found > 3);
}

/// Runs a statement in the plainest way and in another: how many rows there were, or what differs.
fn compare(
    runner: &dyn Runner,
    way: Way,
    table: &Table,
    rows: &[&Row],
    statement: &Statement,
    seed: u64,
) -> Result<usize, String> {
    let query = statement.ours(&table.name);
    let tell = |what: String| format!("{query}\n  {way:?}, {}: {what}", runner.name());
    let run = |runner: &dyn Runner, way: Way| {
        let mut random = Random::new(seed);
        let steps = way.steps(rows, &mut random);
        runner.run(&way.options(), &query, table, &steps, &mut random)
    };
    let wanted = run(&Plain, Way::Whole).map_err(tell)?;
    let made = run(runner, way).map_err(tell)?;
    let keys: BTreeSet<String> = wanted.iter().map(|row| row_key(statement, row)).collect();
    if way == Way::Late && keys.len() < wanted.len() {
        // There are no empty tags: groups of an empty text and of none are of one series.
        return Ok(0);
    }
    match difference(statement, &last(statement, made, way), &wanted) {
        None => Ok(wanted.len()),
        Some(what) => Err(tell(what)),
    }
}

/// With corrections the last row of a series and time is the one that counts.
fn last(statement: &Statement, made: Vec<Made>, way: Way) -> Vec<Made> {
    if way != Way::Late {
        return made;
    }
    let own = |row: Made| (row_key(statement, &row), row);
    made.into_iter().map(own).collect::<BTreeMap<String, Made>>().into_values().collect()
}

/// What differs between two lists of rows, whose order does not count.
fn difference(statement: &Statement, made: &[Made], wanted: &[Made]) -> Option<String> {
    let mut groups: BTreeMap<String, (Vec<&Made>, Vec<&Made>)> = BTreeMap::new();
    for row in made {
        groups.entry(row_key(statement, row)).or_default().0.push(row);
    }
    for row in wanted {
        groups.entry(row_key(statement, row)).or_default().1.push(row);
    }
    let wrong = |made: &Made, wanted: &Made| {
        (0..statement.items.len()).find_map(|at| {
            let (a, b) = (made.get(&format!("a{at}")), wanted.get(&format!("a{at}")));
            let differs = !calls::equal(&a, &b);
            differs.then(|| format!("{} is {a}, {b} in one batch", statement.items[at].ours))
        })
    };
    for (key, (made, wanted)) in &groups {
        if made.len() != wanted.len() {
            return Some(format!("{key}: rows: {}, {} in one batch", made.len(), wanted.len()));
        }
        let fits: Vec<Vec<bool>> = wanted
            .iter()
            .map(|wanted| made.iter().map(|made| wrong(made, wanted).is_none()).collect())
            .collect();
        if let Some(row) = lonely(&fits) {
            let first = made.iter().find_map(|made| wrong(made, wanted[row]));
            return Some(format!("{key}: {}", first.unwrap_or_default()));
        }
    }
    None
}
