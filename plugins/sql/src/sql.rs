//! Processor `sql`: stream SQL over the points that pass.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::config::{Duration, Size};
use headwater_plugin_api::plugin::{
    Context, Control, Counter, Error, Gauge, Host, Outcome, Plugin, Processor, Sink,
};
use headwater_plugin_api::window::Closing;

use crate::bind::{self, Options};
use crate::explain;
use crate::parse;
use crate::plan::{Action, Over, Plan, ResultName};
use crate::statement::{Late, Settings, Statement};

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
        /// Whether the points that are read do not flow on.
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
        /// What is done when there are more groups.
        pub overflow: Overflow = Overflow::Drop,
        /// How many points a statement with OVER lets wait for their rows, and how many rows it keeps for
        /// others to look back at. Then the oldest rows are emitted early, and the oldest that are looked
        /// back at given up, which `points_forgotten` counts.
        pub max_rows: u64 = 1_000_000,
        /// Memory for the values of each aggregate with DISTINCT in each window. When it is full, the
        /// groups with the most values are given up: their results are NULL and counted as
        /// `failures_room`.
        pub distinct_bytes: Size = Size::mib(64),
        /// Empty: at an orderly stop the open windows are emitted.
        pub checkpoint: String = String::new(),
        /// Logs the plan, as JSON, when it starts; the batches of rows then carry the number of their
        /// statement as their sequence.
        pub explain: bool = false,
    }
    refused {
        "tables" = "joins are not supported yet; remove the tables",
    }
}

/// How long a query without windows waits for points before it looks whether memory is to be given
/// back, nanoseconds.
const REST_NS: i64 = 10_000_000_000;

/// The processor.
pub struct Sql {
    statements: Vec<Statement>,
    drop_original: bool,
    /// Rows carry the number of their statement.
    numbered: bool,
    /// Longest time between two looks at the clock, nanoseconds; none without windows.
    pace: Option<i64>,
    host: Host,
    metrics: Metrics,
}

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
    groups: Gauge,
    bytes: Gauge,
    lag: Gauge,
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
            groups: host.gauge("groups"),
            bytes: host.gauge("state_bytes"),
            lag: host.gauge("emission_lag_ns"),
        }
    }
}

/// Parses and binds a query.
fn plans(config: &SqlConfig) -> Result<Vec<Plan>, Error> {
    let query = &config.query;
    let wrong = |error: crate::error::SqlError| Error::config("query", error.sentence(query));
    let options = Options {
        name: config.name.clone(),
        tags: config.tags.clone(),
        distinct_bytes: config.distinct_bytes.as_usize(),
    };
    let statements = parse::parse(query).map_err(wrong)?;
    let mut plans: Vec<Plan> = Vec::with_capacity(statements.len());
    for statement in &statements {
        let plan = bind::bind(statement, &options).map_err(wrong)?;
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

/// Whether a statement reads the windows' rows of an earlier one.
fn is_chained(earlier: &Plan, later: &Plan) -> bool {
    match (&earlier.name, &earlier.action) {
        (ResultName::Fixed(name), Action::Aggregate(_) | Action::Over(_)) => {
            later.reads.matches(name)
        }
        _ => false,
    }
}

impl Plugin for Sql {
    type Config = SqlConfig;
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "Runs stream SQL over the points that pass";

    fn new(config: SqlConfig, host: Host) -> Result<Self, Error> {
        if config.query.trim().is_empty() {
            return Err(Error::config(
                "query",
                "there is no query; expected one or more SQL statements",
            ));
        }
        if !config.checkpoint.is_empty() {
            return Err(Error::config(
                "checkpoint",
                format!(
                    "checkpoints are not supported yet, so {:?} cannot be honoured; set it to \"\", then open windows are emitted at an orderly stop",
                    config.checkpoint
                ),
            ));
        }
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
        if config.max_rows == 0 {
            return Err(Error::config("max_rows", "there must be room for one point"));
        }
        let plans = plans(&config)?;
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
            max_rows: usize::try_from(config.max_rows).unwrap_or(usize::MAX),
        };
        // The results of each statement are a source of their own.
        let seed = bytes_hash(config.query.as_bytes()) & !0xff | 1 << 63;
        let chains: Vec<Vec<u64>> = plans
            .iter()
            .enumerate()
            .map(|(at, plan)| {
                let earlier = plans[..at].iter().enumerate();
                earlier.filter(|(_, e)| is_chained(e, plan)).map(|(i, _)| seed + i as u64).collect()
            })
            .collect();
        let pace = plans
            .iter()
            .any(|plan| !matches!(plan.action, Action::Project { .. }))
            .then(|| settings.idle.max(1_000_000_000));
        let mut statements: Vec<Statement> = plans
            .into_iter()
            .enumerate()
            .map(|(at, plan)| Statement::new(plan, &settings, seed + at as u64))
            .collect();
        for (statement, chain) in statements.iter_mut().zip(chains) {
            if let Some(window) = statement.window_mut() {
                chain.into_iter().for_each(|origin| window.sources().set_exact(origin));
            }
        }
        let metrics = Metrics::new(&host);
        let (drop_original, numbered) = (config.drop_original, config.explain);
        Ok(Sql { statements, drop_original, numbered, pace, host, metrics })
    }
}

impl Processor for Sql {
    fn process(
        &mut self,
        cx: &Context<'_>,
        mut batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let mut made = Vec::new();
        let took = self.run(cx.now(), 0, &batch, &mut made);
        self.close(cx.now(), Closing::Due, &mut made);
        if !self.drop_original {
            out.push(batch);
        } else if let Some(delivery) = batch.take_delivery().filter(|_| took) {
            // What becomes of the results is what becomes of the points.
            delivery.settle(Outcome::Delivered);
        }
        self.end(cx.now(), made, false, out);
        Ok(())
    }

    fn tick(&mut self, cx: &Context<'_>, out: &mut Sink<'_>) -> Result<Option<i64>, Error> {
        let now = cx.now();
        let mut made = Vec::new();
        self.close(now, Closing::Due, &mut made);
        self.end(now, made, false, out);
        let mut holds = false;
        for statement in &mut self.statements {
            holds |= statement.rest(now);
        }
        self.gauges();
        let Some(pace) = self.pace else {
            return Ok(holds.then(|| now.saturating_add(REST_NS)));
        };
        let windows = self.statements.iter_mut().filter_map(Statement::window_mut);
        let next =
            windows.filter_map(
                |window| {
                    if window.is_emitting() { Some(now) } else { window.next_due(now) }
                },
            );
        Ok(Some(next.min().unwrap_or(i64::MAX).min(now.saturating_add(pace))))
    }

    fn control(
        &mut self,
        cx: &Context<'_>,
        control: Control,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let now = cx.now();
        self.statements.iter_mut().for_each(|statement| statement.control(now, control));
        let closing = if control == Control::Stop { Closing::All } else { Closing::Due };
        let mut made = Vec::new();
        self.close(now, closing, &mut made);
        self.end(now, made, control == Control::Stop, out);
        Ok(())
    }
}

impl Sql {
    /// Gives a batch to the statements from `first` on that read it, and what they make of it to
    /// those behind them. Whether any took a point.
    fn run(&mut self, now: i64, first: usize, batch: &Batch, out: &mut Vec<Batch>) -> bool {
        let mut took = false;
        for at in first..self.statements.len() {
            if first > 0 && !self.reads(at, batch) {
                continue;
            }
            let mut made = Vec::new();
            took |= self.statements[at].apply(now, batch, &mut made);
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
            self.run(now, from + 1, &batch, out);
            if self.numbered {
                batch.set_sequence(from as u64);
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
            let Some(window) = earlier.last_mut().and_then(Statement::window_mut) else { continue };
            let origin = window.origin();
            let mut progress = None;
            for later in later {
                if later.window_mut().is_some_and(|w| w.sources().is_exact(origin)) {
                    let time_ns = *progress.get_or_insert_with(|| window.watermark());
                    later.control(now, Control::Progress { origin, time_ns });
                }
            }
        }
    }

    /// Hands on what was made, and tells what was counted.
    fn end(&mut self, now: i64, made: Vec<Batch>, at_once: bool, out: &mut Sink<'_>) {
        made.into_iter().for_each(|batch| out.push(batch));
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

    fn gauges(&mut self) {
        let (mut windows, mut groups, mut bytes, mut lag) = (0, 0, 0, 0);
        for statement in &mut self.statements {
            bytes += statement.byte_size();
            let Some(window) = statement.window() else { continue };
            windows += window.open_count();
            groups += window.group_count();
            lag = lag.max(window.lag());
        }
        self.metrics.windows.set(windows as i64);
        self.metrics.groups.set(groups as i64);
        self.metrics.bytes.set(bytes as i64);
        self.metrics.lag.set(lag);
    }
}

#[cfg(test)]
mod tests;
