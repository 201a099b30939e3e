//! Processor `sql`: stream SQL over the points that pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::config::{Duration, Size};
use headwater_plugin_api::plugin::{Context, Control, Counter, Error, Gauge, Host, Sink};
use headwater_plugin_api::window::{Closing, SeriesNumbers};

use crate::bind::{self, Options};
use crate::checkpoint::{Checkpoint, Resumed};
use crate::explain;
use crate::parse;
use crate::plan::{Action, Node, Over, Plan, ResultName, Role};
use crate::statement::{Late, Settings, Statement};
use crate::table::{News, TableOptions, TableSource};
use bytes::Bytes;
use original::Original;

headwater_plugin_api::choice! {
    /// What is done with points for windows that were emitted.
    pub enum LatePolicy {
        /// They are dropped and counted.
        Drop = "drop",
        /// They are sent on as they are, under the result's name with `_late` behind it.
        Pass = "pass",
        /// They are added until `grace` is over, and the corrected row is sent again.
        Update = "update",
    }
}

headwater_plugin_api::choice! {
    /// Which end of a window is the time of its results.
    pub enum Stamp {
        /// The start.
        Start = "start",
        /// The end.
        End = "end",
    }
}

headwater_plugin_api::choice! {
    /// What is done when there are more groups than allowed.
    pub enum Overflow {
        /// Points of new groups are dropped and counted.
        Drop = "drop",
        /// Open windows are emitted as they are and begin anew; a group that comes again gives a
        /// second row of the same time.
        Flush = "flush",
    }
}

headwater_plugin_api::config! {
    /// Runs SQL statements over the points that pass; results flow on as points of their own.
    pub struct SqlConfig {
        /// One or more statements, separated by `;`. A later one may read a stream that an earlier
        /// one created: `CREATE STREAM cpu_1m AS SELECT host, avg(usage_idle) AS idle FROM cpu GROUP
        /// BY time('1m'), host`.
        pub query: String = String::new(),
        /// Instead of `query`: a file of Fluent Bit's, `streams.conf`, whose sections `[STREAM_TASK]` have a
        /// `Name` and behind `Exec` a statement. It is read when the processor starts.
        pub streams_file: String = String::new(),
        /// Whether the points that a statement reads do not flow on. Others do.
        pub drop_original: bool = false,
        /// The measurement of results of statements without CREATE STREAM; empty for the source's name
        /// with `_sql` behind it.
        pub name: String = String::new(),
        /// Selected columns that become tags, besides grouped text.
        pub tags: Vec<String> = Vec::new(),
        /// How long after a window's end it is closed, for points that are still under way.
        pub delay: Duration = Duration::from_secs(1),
        /// What is done with points for windows that were emitted.
        pub late: LatePolicy = LatePolicy::Drop,
        /// With `late = "update"`: how long after the emission late points are still taken.
        pub grace: Duration = Duration::ZERO,
        /// A source that is catching up and silent so long no longer holds windows open.
        pub idle: Duration = Duration::from_secs(5),
        /// How long sources that catch up may hold a window open; finite ones may for ever.
        pub hold: Duration = Duration::from_secs(600),
        /// Points from further ahead of the clock are refused and counted.
        pub max_future: Duration = Duration::from_secs(60),
        /// Which end of a window is the time of its results.
        pub stamp: Stamp = Stamp::Start,
        /// How many groups a statement holds; all its open windows together hold eight times as many,
        /// then the oldest closes early.
        pub max_groups: u32 = 100_000,
        /// How many windows of a statement are open; when one more opens, the oldest closes early
        /// (`windows_early`), and points of a batch that opens twice as many may find no room
        /// (`points_no_window`). For hop() at least four times as many as overlap; session() and rows()
        /// have windows by group, which `max_groups` bounds. At most 65536.
        pub max_windows: u32 = 1024,
        /// Memory for all that the statements of this processor hold: groups, their aggregates, open
        /// windows, the points of joins and OVER, caches (`state_bytes`). Beyond it `overflow` acts:
        /// points of new groups, partitions, keys and sessions are refused (`points_overflow`) until
        /// it is less again, or all that is open is emitted (`windows_early`). Should it still grow
        /// by a quarter, the oldest windows close early, and the oldest points of joins and OVER are
        /// answered or given up, until it is less. It is looked at between batches.
        pub max_state: Size = Size::mib(256),
        /// What is done when there are more groups, or more memory.
        pub overflow: Overflow = Overflow::Drop,
        /// How many points a join holds, or a statement with OVER lets wait for their rows, and how many
        /// rows that keeps for others to look back at; a point with long texts counts as several. When
        /// there are more, the oldest are answered and emitted early (`windows_early`), or given up
        /// (`points_overflow`), and the oldest that are looked back at too (`points_forgotten`).
        pub max_rows: u64 = 1_000_000,
        /// How much earlier the partner of an ASOF JOIN may be, unless its ON says so.
        pub max_age: Duration = Duration::from_secs(300),
        /// Memory for the values of each aggregate with DISTINCT in each window, and of each that keeps
        /// values: exact_quantile, mode, topk, string_agg. When it is full, the
        /// groups with the most values are given up: their results are NULL and counted as
        /// `failures_room`.
        pub distinct_bytes: Size = Size::mib(64),
        /// How often the open windows are written to the agent's state folder, so that they go on
        /// after a crash or a stop; their points count as delivered from then on. Empty for never,
        /// as without a state folder: at an orderly stop the open windows are emitted then.
        pub checkpoint: String = "5s".to_owned(),
        /// Tables that statements join to points, `a JOIN hosts ON a.host = hosts.name`: CSV or JSON
        /// files, by the names that they have in the statements.
        pub tables: BTreeMap<String, TableOptions> = BTreeMap::new(),
        /// Logs the plan, as JSON, when it starts; the batches of rows then carry the number of their
        /// statement as their sequence.
        pub explain: bool = false,
    }
}

/// Shortest time between two checkpoints, nanoseconds.
const MIN_CHECKPOINT_NS: i64 = 100_000_000;

/// Most windows that may be open: they are gone through one by one.
const MAX_WINDOWS: u32 = 1 << 16;

/// Least memory that statements may be bound to.
const MIN_STATE: usize = 1 << 20;

/// How long a query without windows waits for points before it looks whether memory is to be given
/// back, nanoseconds.
const REST_NS: i64 = 10_000_000_000;

/// What the sources of results have in common.
const OWN_ORIGIN: u64 = 1 << 63;

/// A query at work, in one place.
pub struct Engine {
    statements: Vec<Statement>,
    blueprint: Blueprint,
    /// Which statement of the query each belongs to.
    numbers: Vec<u64>,
    original: Original,
    /// Rows carry the number of their statement.
    numbered: bool,
    /// Longest time between two looks at the clock, nanoseconds; none without windows.
    pace: Option<i64>,
    /// Rows that were made out of turn, for the next call that has its turn.
    waiting: Vec<Batch>,
    /// Memory that parts of it hold.
    part_bytes: usize,
    checkpoint: Option<Checkpoint>,
    /// Rows of the last checkpoint that are to be sent again.
    resent: Vec<Batch>,
    bytes: Bytes,
    /// The series of the batches that all statements read.
    series: SeriesNumbers,
    tables: Tables,
    host: Host,
    metrics: Metrics,
}

/// Tables by their names.
type Tables = BTreeMap<String, Arc<TableSource>>;

struct Metrics {
    late: Counter,
    future: Counter,
    overflow: Counter,
    no_window: Counter,
    early: Counter,
    forgotten: Counter,
    emitted: Counter,
    empty: Counter,
    refused: Counter,
    failures: [Counter; 8],
    windows: Gauge,
    held: Gauge,
    groups: Gauge,
    bytes: Gauge,
    lag: Gauge,
    tables_read: Counter,
    tables_bad: Counter,
    table_rows: Gauge,
    table_bytes: Gauge,
}

impl Metrics {
    fn new(host: &Host) -> Self {
        Metrics {
            late: host.counter("points_late"),
            future: host.counter("points_future"),
            overflow: host.counter("points_overflow"),
            no_window: host.counter("points_no_window"),
            early: host.counter("windows_early"),
            forgotten: host.counter("points_forgotten"),
            emitted: host.counter("rows_emitted"),
            empty: host.counter("rows_empty"),
            refused: host.counter("rows_refused"),
            failures: [
                host.counter("failures_overflow"),
                host.counter("failures_division_by_zero"),
                host.counter("failures_kinds"),
                host.counter("failures_cast"),
                host.counter("failures_domain"),
                host.counter("failures_size"),
                host.counter("failures_state"),
                host.counter("failures_room"),
            ],
            windows: host.gauge("windows_open"),
            held: host.gauge("points_held"),
            groups: host.gauge("groups"),
            bytes: host.gauge("state_bytes"),
            lag: host.gauge("emission_lag_ns"),
            tables_read: host.counter("tables_read"),
            tables_bad: host.counter("tables_bad"),
            table_rows: host.gauge("table_rows"),
            table_bytes: host.gauge("table_bytes"),
        }
    }
}

/// Parses and binds a query.
fn plans(config: &SqlConfig, tables: &Tables) -> Result<Vec<Plan>, Error> {
    let query = &config.query;
    let wrong = |error: crate::error::SqlError| match config.streams_file.as_str() {
        "" => Error::config("query", error.sentence(query)),
        path => Error::config("streams_file", format!("{path}, {}", error.sentence(query))),
    };
    let options = Options {
        name: config.name.clone(),
        tags: config.tags.clone(),
        distinct_bytes: config.distinct_bytes.as_usize(),
        max_age: config.max_age.nanos(),
        tables: tables.clone(),
    };
    let statements = parse::parse(query).map_err(wrong)?;
    let mut plans: Vec<Plan> = Vec::with_capacity(statements.len());
    for statement in &statements {
        let plan = bind::bind(statement, &options).map_err(wrong)?;
        crate::fluent::check(statement, &plan, &plans, config.max_rows).map_err(wrong)?;
        if config.late == LatePolicy::Update && plan.join.is_some() {
            return Err(Error::config(
                "late",
                "a join cannot take back the rows that it made before a late point came, so late = \"update\" cannot be honoured; use \"drop\" or \"pass\"",
            ));
        }
        if config.late == LatePolicy::Update
            && plans.iter().any(|earlier| is_chained(earlier, &plan))
        {
            return Err(Error::config(
                "late",
                "with late = \"update\" a row may come twice, which a statement that reads the stream would count twice; use \"drop\" or \"pass\"",
            ));
        }
        if config.late == LatePolicy::Update && matches!(plan.action, Action::Over(_)) {
            return Err(Error::config(
                "late",
                "with late = \"update\" a late point would change the rows of all points whose frames hold it, so OVER cannot have it; use \"drop\" or \"pass\"",
            ));
        }
        plans.push(plan);
    }
    for tag in &config.tags {
        let has = |plan: &Plan| match &plan.action {
            Action::Project { outputs, .. } | Action::Over(Over { outputs, .. }) => {
                outputs.iter().any(|output| output.name == *tag)
            }
            Action::Aggregate(aggregate) => {
                aggregate.outputs.iter().any(|output| output.name == *tag)
            }
            Action::Join(_) | Action::Side(_) | Action::Snapshot(_) | Action::Flush => false,
        };
        if !plans.iter().any(has) {
            return Err(Error::config(
                "tags",
                format!(
                    "no statement selects a column `{tag}`; remove it, or name a column so with AS"
                ),
            ));
        }
    }
    Ok(plans)
}

/// The tables, which are not read yet.
fn tables(config: &SqlConfig) -> Result<Tables, Error> {
    let tables = config.tables.iter().map(|(name, options)| {
        let source = TableSource::new(name, options);
        let source = source.map_err(|(key, sentence)| Error::config(&key, sentence))?;
        Ok((name.clone(), Arc::new(source)))
    });
    tables.collect()
}

/// Reads the tables.
fn load(tables: &Tables) -> Result<(), Error> {
    for (name, source) in tables {
        if !source.is_needed() {
            return Err(Error::config(
                &format!("tables.{name}"),
                format!(
                    "no statement joins `{name}`; write JOIN {name} ON ..., or remove the table"
                ),
            ));
        }
        let key = format!("tables.{name}.file");
        source.load().map_err(|error| Error::config(&key, error))?;
    }
    Ok(())
}

/// How often checkpoints are made, in nanoseconds.
fn checkpoint_every(text: &str) -> Result<Option<i64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |what: String| Error::config("checkpoint", what);
    let every: Duration =
        text.parse().map_err(|error| wrong(format!("{error}; \"\" is for no checkpoints")))?;
    if every.nanos() < MIN_CHECKPOINT_NS {
        return Err(wrong(format!(
            "{text:?} is too short; expected 100ms or more, or \"\" for no checkpoints"
        )));
    }
    Ok(Some(every.nanos()))
}

/// Whether a statement reads the windows' rows of an earlier one.
fn is_chained(earlier: &Plan, later: &Plan) -> bool {
    match (&earlier.name, &earlier.action) {
        (ResultName::Fixed(name), Action::Aggregate(_) | Action::Over(_)) => {
            later.reads.matches(name)
        }
        _ => false,
    }
}

/// The statements in the order in which they run, each behind its join, with what they are called in
/// the query.
fn units(plans: Vec<Plan>) -> Vec<(u64, Plan)> {
    let mut units = Vec::with_capacity(plans.len());
    for (number, mut plan) in plans.into_iter().enumerate() {
        if let Action::Flush = plan.action {
            crate::fluent::snapshot::link(&mut units, number as u64, plan);
            continue;
        }
        units.extend(plan.join.take().map(|join| (number as u64, *join)));
        units.push((number as u64, plan));
    }
    units
}

/// The sources of each statement whose progress is told: windows and joins before it. What a
/// projection makes of their rows is theirs, as long as it leaves the time as it is.
fn chains(units: &[(u64, Plan)], seed: u64) -> Vec<Vec<u64>> {
    let mut reads: Vec<Vec<u64>> = Vec::with_capacity(units.len());
    let mut makes: Vec<Vec<u64>> = Vec::with_capacity(units.len());
    for (at, (_, plan)) in units.iter().enumerate() {
        let mut from = Vec::new();
        for (earlier, (_, unit)) in units[..at].iter().enumerate() {
            let ResultName::Fixed(name) = &unit.name else { continue };
            let hidden = matches!(unit.action, Action::Join(_));
            if plan.reads.matches(name) && (!hidden || plan.reads.is_hidden() && earlier + 1 == at)
            {
                from.extend(
                    makes[earlier]
                        .iter()
                        .copied()
                        .filter(|origin| !from.contains(origin))
                        .collect::<Vec<_>>(),
                );
            }
        }
        makes.push(match &plan.action {
            Action::Project { outputs, .. }
                if outputs
                    .iter()
                    .any(|o| o.role == Role::Time && !matches!(o.node, Node::Time)) =>
            {
                Vec::new()
            }
            Action::Project { .. } => from.clone(),
            Action::Snapshot(_) | Action::Flush => Vec::new(),
            _ => vec![seed + at as u64],
        });
        reads.push(from);
    }
    reads
}

impl Engine {
    pub fn new(mut config: SqlConfig, host: Host) -> Result<Self, Error> {
        if !config.streams_file.is_empty() {
            let wrong = |what: String| Error::config("streams_file", what);
            if !config.query.trim().is_empty() {
                return Err(wrong(
                    "the statements stand in the file or in `query`, not in both; remove one"
                        .to_owned(),
                ));
            }
            config.query = crate::fluent::streams::read(&config.streams_file).map_err(wrong)?;
        }
        if config.query.trim().is_empty() {
            return Err(Error::config(
                "query",
                "there is no query; expected one or more SQL statements",
            ));
        }
        let every = checkpoint_every(&config.checkpoint)?;
        let grace = config.grace.nanos();
        match (config.late, grace > 0) {
            (LatePolicy::Update, false) => {
                return Err(Error::config(
                    "grace",
                    "late = \"update\" needs a grace longer than 0s",
                ));
            }
            (LatePolicy::Drop | LatePolicy::Pass, true) => {
                return Err(Error::config(
                    "grace",
                    "grace acts with late = \"update\" alone; set that, or remove grace",
                ));
            }
            _ => {}
        }
        if config.max_groups == 0 {
            return Err(Error::config("max_groups", "there must be room for one group"));
        }
        if config.max_windows == 0 || config.max_windows > MAX_WINDOWS {
            return Err(Error::config(
                "max_windows",
                format!("{} is out of range; expected 1 to {MAX_WINDOWS}", config.max_windows),
            ));
        }
        if config.max_state.as_usize() < MIN_STATE {
            return Err(Error::config(
                "max_state",
                "there must be room for one batch's groups; expected 1MiB or more",
            ));
        }
        if config.distinct_bytes.as_usize() == 0 {
            return Err(Error::config(
                "distinct_bytes",
                "without memory each aggregate with DISTINCT would be NULL; set a size such as \"64MiB\", or use approx_distinct, which needs little",
            ));
        }
        if config.max_rows == 0 {
            return Err(Error::config("max_rows", "there must be room for one point"));
        }
        if config.max_age.nanos() == 0 {
            return Err(Error::config(
                "max_age",
                "a partner must be allowed some age, such as \"5m\"",
            ));
        }
        let tables = tables(&config)?;
        let plans = plans(&config, &tables)?;
        load(&tables)?;
        if config.explain {
            host.info(&explain::json(&config.query, &plans));
        }
        let settings = Settings {
            delay: config.delay.nanos(),
            idle: config.idle.nanos(),
            hold: config.hold.nanos(),
            max_future: config.max_future.nanos(),
            grace,
            late: match config.late {
                LatePolicy::Drop => Late::Drop,
                LatePolicy::Pass => Late::Pass,
                LatePolicy::Update => Late::Update,
            },
            stamp_end: config.stamp == Stamp::End,
            max_groups: config.max_groups,
            flush: config.overflow == Overflow::Flush,
            max_windows: config.max_windows,
            max_rows: config.max_rows,
        };
        // The results of each statement are a source of their own.
        let seed = bytes_hash(config.query.as_bytes()) & !0xff | OWN_ORIGIN;
        let units = units(plans);
        let waits = |plan: &Plan| !matches!(plan.action, Action::Project { .. });
        let pace =
            units.iter().any(|(_, plan)| waits(plan)).then(|| settings.idle.max(1_000_000_000));
        let checkpoint = every.filter(|_| pace.is_some() && host.keeps_state());
        let query = bytes_hash(parse::words(&config.query).as_bytes());
        let checkpoint = checkpoint.map(|every| Checkpoint::new(every, query, &host));
        let numbers = units.iter().map(|(number, _)| *number).collect();
        let blueprint = Blueprint { units, settings, seed, overtake: false };
        let statements = blueprint.statements();
        let metrics = Metrics::new(&host);
        let bytes = Bytes::new(config.max_state.as_usize(), blueprint.settings.flush);
        let numbered = config.explain;
        let original = match config.drop_original {
            // Rows alone are looked at.
            true if numbered => Original::None,
            true => Original::Unread,
            false => Original::All,
        };
        Ok(Engine {
            statements,
            blueprint,
            numbers,
            original,
            numbered,
            pace,
            waiting: Vec::new(),
            part_bytes: 0,
            checkpoint,
            resent: Vec::new(),
            bytes,
            series: SeriesNumbers::default(),
            tables,
            host,
            metrics,
        })
    }

    /// The very end.
    pub fn stop(&mut self) {
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.end(&self.statements);
        }
    }
}

/// What statements are made of.
struct Blueprint {
    units: Vec<(u64, Plan)>,
    settings: Settings,
    seed: u64,
    /// Batches of one source overtake each other.
    overtake: bool,
}

impl Blueprint {
    /// Statements that have seen nothing.
    fn statements(&self) -> Vec<Statement> {
        let Blueprint { units, settings, seed, overtake } = self;
        let made = units.iter().zip(chains(units, *seed)).enumerate();
        made.map(|(at, ((_, plan), chain))| {
            let mut statement = Statement::new(plan.clone(), settings, seed + at as u64);
            units[..at].iter().for_each(|(_, earlier)| statement.expect(&earlier.name));
            if let Some(sources) = statement.sources() {
                chain.into_iter().for_each(|origin| sources.set_exact(origin));
                if *overtake {
                    sources.let_overtake();
                }
            }
            statement
        })
        .collect()
    }
}

impl Engine {
    /// Takes a batch.
    pub fn process(&mut self, cx: &Context<'_>, batch: Batch, out: &mut Sink<'_>) {
        self.resume(cx.now());
        let mut made = Vec::new();
        let took = self.run(cx.now(), 0, &batch, &mut made);
        self.close(cx.now(), Closing::Due, &mut made);
        if self.bytes.take(&batch) {
            self.bound_bytes(cx.now(), &mut made);
        }
        self.original.pass(&self.statements, took, batch, out);
        self.end(cx.now(), made, false, out);
    }

    /// Does what is due by the clock; when to call it again.
    pub fn tick(&mut self, now: i64, out: &mut Sink<'_>) -> Option<i64> {
        self.resume(now);
        self.look(now);
        let mut made = Vec::new();
        self.close(now, Closing::Due, &mut made);
        if self.bytes.is_near() {
            self.bound_bytes(now, &mut made);
        }
        self.end(now, made, false, out);
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.tick(now, &mut self.statements);
        }
        let holds = bytes::rest(&mut self.statements, &mut self.series, now);
        self.gauges();
        let look = self.next_look(now);
        let Some(pace) = self.pace else {
            return look.or(holds.then(|| now.saturating_add(REST_NS)));
        };
        let next = self.statements.iter_mut().filter_map(|statement| statement.next_due(now));
        let checkpoint = self.checkpoint.as_ref().and_then(Checkpoint::next);
        let next = next.chain(checkpoint).chain(look).min().unwrap_or(i64::MAX);
        Some(next.min(now.saturating_add(pace)))
    }

    /// Looks whether the files of tables changed.
    fn look(&mut self, now: i64) {
        for source in self.tables.values() {
            match source.look(now) {
                None => continue,
                Some(News::Changed(sentence)) => {
                    self.metrics.tables_read.add(1);
                    self.host.info(&sentence);
                }
                Some(News::Bad(sentence)) => {
                    self.metrics.tables_bad.add(1);
                    self.host.warn(&sentence);
                }
            }
        }
    }

    /// When to look at the files again, if there are any.
    fn next_look(&self, now: i64) -> Option<i64> {
        let wait = |source: &Arc<TableSource>| {
            if source.is_reading() { TableSource::LOOK_NS / 10 } else { TableSource::LOOK_NS }
        };
        self.tables.values().map(wait).min().map(|wait| now.saturating_add(wait))
    }

    /// Takes a message.
    pub fn control(&mut self, now: i64, control: Control, out: &mut Sink<'_>) {
        self.resume(now);
        self.statements.iter_mut().for_each(|statement| statement.control(now, control));
        let mut made = Vec::new();
        self.close(now, Closing::Due, &mut made);
        let stops = control == Control::Stop;
        self.end(now, made, stops, out);
        if stops {
            self.stop_statements(now, out);
        }
    }

    /// Takes up what the last checkpoint holds, before anything else.
    fn resume(&mut self, now: i64) {
        let Some(checkpoint) = &mut self.checkpoint else { return };
        match checkpoint.resume(now, &mut self.statements) {
            Resumed::Nothing => {}
            Resumed::Rows(rows) => self.resent = rows,
            Resumed::Spoilt => self.statements = self.blueprint.statements(),
        }
    }

    /// At an orderly stop: open windows go on from the checkpoint after the next start, or are emitted.
    fn stop_statements(&mut self, now: i64, out: &mut Sink<'_>) {
        let unread: BTreeSet<String> =
            self.statements.iter_mut().flat_map(Statement::unread).collect();
        unread.iter().for_each(|sentence| self.host.info(sentence));
        if let Some(checkpoint) = &mut self.checkpoint
            && checkpoint.stop(&mut self.statements)
        {
            return;
        }
        let mut made = Vec::new();
        self.close(now, Closing::All, &mut made);
        self.end(now, made, true, out);
    }

    /// Gives a batch to the statements from `first` on that read it, and what they make of it to
    /// those behind them. Whether any took a point.
    fn run(&mut self, now: i64, first: usize, batch: &Batch, out: &mut Vec<Batch>) -> bool {
        let mut took = false;
        if first == 0 {
            self.series.prepare(batch, |_| {});
        }
        for at in first..self.statements.len() {
            let is_hidden = self.statements[at].plan().reads.is_hidden();
            if first > 0 && !self.reads(at, batch) || is_hidden {
                continue;
            }
            let mut made = Vec::new();
            let waits = self.statements[at].holds();
            let (statement, series) = (&mut self.statements[at], &mut self.series);
            // The series of other statements' rows are the business of those who read them.
            let mut apply = |batch: &Batch| match first {
                0 => statement.apply_numbered(now, batch, series, &mut made),
                _ => statement.apply(now, batch, &mut made),
            };
            took |= match &mut self.checkpoint {
                Some(checkpoint) if waits => {
                    let mut bare = batch.clone();
                    let delivery = bare.take_delivery();
                    let took = apply(&bare);
                    checkpoint.hold(delivery, took);
                    took
                }
                _ => apply(batch),
            };
            self.pass_on(now, at, made, out);
        }
        took
    }

    /// Whether a statement reads a stream that another one made.
    fn reads(&self, at: usize, batch: &Batch) -> bool {
        let reads = &self.statements[at].plan().reads;
        (0..batch.series_count() as u32).any(|index| reads.matches(batch.series(index).name()))
    }

    fn pass_on(&mut self, now: i64, from: usize, made: Vec<Batch>, out: &mut Vec<Batch>) {
        for mut batch in made {
            if self.statements[from].join().is_some_and(|join| join.origin() == batch.origin()) {
                // Joined rows are the next statement's alone.
                let mut made = Vec::new();
                self.statements[from + 1].apply(now, &batch, &mut made);
                self.pass_on(now, from + 1, made, out);
                continue;
            }
            self.run(now, from + 1, &batch, out);
            if self.numbered {
                batch.set_sequence(self.numbers[from]);
            }
            out.push(batch);
        }
    }

    /// Emits windows, the first statements' first: later ones may read their rows.
    fn close(&mut self, now: i64, closing: Closing, out: &mut Vec<Batch>) {
        for at in 0..self.statements.len() {
            let mut made = Vec::new();
            self.statements[at].close(now, closing, &mut made);
            self.pass_on(now, at, made, out);
            let (earlier, later) = self.statements.split_at_mut(at + 1);
            let Some(made) = earlier.last_mut() else { continue };
            let Some(origin) = made.origin() else { continue };
            let mut progress = None;
            for later in later {
                if later.sources().is_some_and(|sources| sources.is_exact(origin)) {
                    let time_ns = *progress.get_or_insert_with(|| made.watermark());
                    later.control(now, Control::Progress { origin, time_ns });
                }
            }
        }
    }

    /// Hands on what was made, and tells what was counted.
    fn end(&mut self, now: i64, made: Vec<Batch>, at_once: bool, out: &mut Sink<'_>) {
        let resent = std::mem::take(&mut self.resent);
        let waiting = std::mem::take(&mut self.waiting);
        for batch in resent.into_iter().chain(waiting).chain(made) {
            self.send(batch, out);
        }
        let metrics = &self.metrics;
        for statement in &mut self.statements {
            let counts = statement.take_counts();
            let failures = &counts.failures;
            let add = |counter: &Counter, count: u64| {
                if count > 0 {
                    counter.add(count);
                }
            };
            add(&metrics.late, counts.late);
            add(&metrics.future, counts.future);
            add(&metrics.overflow, counts.overflow);
            add(&metrics.no_window, counts.windows);
            add(&metrics.early, counts.early);
            add(&metrics.forgotten, counts.forgotten);
            add(&metrics.emitted, counts.emitted.rows);
            add(&metrics.empty, counts.emitted.empty);
            add(&metrics.refused, counts.emitted.refused);
            let kinds = [
                failures.overflow,
                failures.zero,
                failures.kinds,
                failures.cast,
                failures.domain,
                failures.size,
                failures.state,
                failures.room,
            ];
            metrics.failures.iter().zip(kinds).for_each(|(counter, count)| add(counter, count));
            statement.report(now, at_once).iter().for_each(|report| self.host.warn(report));
        }
    }

    /// Hands a batch on.
    fn send(&mut self, mut batch: Batch, out: &mut Sink<'_>) {
        // What is made of points at once carries their handle, unless a checkpoint holds that.
        if let Some(checkpoint) = &mut self.checkpoint
            && (batch.origin() & OWN_ORIGIN != 0 || batch.delivery().is_none())
        {
            checkpoint.send(&mut batch);
        }
        out.push(batch);
    }

    fn gauges(&mut self) {
        let (mut windows, mut held, mut groups, mut lag) = (0, 0, 0, 0);
        let mut bytes = self.series.byte_size() + self.part_bytes;
        for statement in &mut self.statements {
            bytes += statement.byte_size();
            held += statement.snapshot_count() as usize;
            if let Some(join) = statement.join() {
                held += join.held_count();
                groups += join.group_count();
            }
            let Some(window) = statement.window() else { continue };
            windows += window.open_count();
            groups += window.group_count();
            lag = lag.max(window.lag());
        }
        let tables = self.tables.values().map(|source| source.table());
        let tables = tables.map(|table| (table.len(), table.byte_size()));
        let (rows, size) = tables.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        self.metrics.table_rows.set(rows as i64);
        self.metrics.table_bytes.set(size as i64);
        self.metrics.windows.set(windows as i64);
        self.metrics.held.set(held as i64);
        self.metrics.groups.set(groups as i64);
        self.metrics.bytes.set(bytes as i64);
        self.metrics.lag.set(lag);
    }
}

mod bytes;
mod original;
mod parallel;

pub use parallel::Sql;

#[cfg(test)]
mod tests;
