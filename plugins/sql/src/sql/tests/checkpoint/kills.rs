//! Any crash at any moment: with the points that were not acknowledged sent again, each window's last
//! row is that of a run without crashes.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use super::*;

/// What a source holds until it hears that it was delivered.
struct Sent {
    second: i64,
    lines: Vec<String>,
    told: Arc<Mutex<Vec<Outcome>>>,
}

impl Sent {
    fn is_acknowledged(&self) -> bool {
        is(&self.told, &[Outcome::Delivered])
    }
}

/// A source, the stage, and an output that takes its time.
struct World {
    host: Arc<TestHost>,
    config: String,
    stage: Stage,
    sent: VecDeque<Sent>,
    /// Rows that the output has not taken.
    waiting: VecDeque<Batch>,
    /// The last row of each series and time.
    rows: BTreeMap<String, String>,
    random: Random,
    now: i64,
    crashes: usize,
}

impl World {
    fn new(options: &str, query: &str, seed: u64) -> World {
        let host = host();
        let config = format!("checkpoint = '2s'\n{options}");
        let stage = stage_on(&host, &config, query);
        World {
            host,
            config,
            stage,
            sent: VecDeque::new(),
            waiting: VecDeque::new(),
            rows: BTreeMap::new(),
            random: Random(seed),
            now: 0,
            crashes: 0,
        }
    }

    fn send(&mut self, second: i64, lines: Vec<String>) {
        self.now = self.now.max(second);
        let text: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut batch = batch(&text);
        let (delivery, told) = testkit::delivery();
        batch.set_origin(1);
        batch.set_delivery(delivery);
        let (got, result) = self.stage.sql.process((T + self.now) * S, batch);
        result.unwrap();
        self.waiting.extend(got.batches);
        self.sent.push_back(Sent { second, lines, told });
    }

    fn tick(&mut self) {
        let broken = self.random.below(5) == 0;
        self.host.refuses_state.store(broken, Ordering::Relaxed);
        let before = self.stage.metric("checkpoints");
        let saves = self.host.saves.load(Ordering::Acquire);
        let (got, result) = self.stage.sql.tick((T + self.now) * S);
        result.unwrap();
        self.waiting.extend(got.batches);
        if self.stage.metric("checkpoints") > before {
            until(|| self.host.saves.load(Ordering::Acquire) > saves);
        }
        let take = self.random.below(self.waiting.len() as u64 + 1);
        (0..take).for_each(|_| self.deliver());
    }

    /// The output takes a batch.
    fn deliver(&mut self) {
        let Some(mut batch) = self.waiting.pop_front() else { return };
        for row in batch.points().map(line) {
            let (series, rest) = row.split_once(' ').unwrap();
            let (fields, time) = rest.rsplit_once(' ').unwrap();
            self.rows.insert(format!("{series} {time}"), fields.to_owned());
        }
        batch.take_delivery().into_iter().for_each(|delivery| delivery.settle(Outcome::Delivered));
    }

    fn crash(&mut self, query: &str) {
        self.crashes += 1;
        self.host.refuses_state.store(true, Ordering::Relaxed);
        // A disk that fails stands in for the checkpoint that the crash cuts off.
        let fresh = Arc::new(TestHost::default());
        let dead = std::mem::replace(&mut self.stage, stage_on(&fresh, "", query));
        drop(dead);
        self.waiting.clear();
        self.host.refuses_state.store(false, Ordering::Relaxed);
        self.stage = stage_on(&self.host, &self.config, query);
        // Long enough for what comes again to be behind.
        self.now += 2 + self.random.below(30) as i64;
        let again: Vec<Sent> = self.sent.drain(..).filter(|sent| !sent.is_acknowledged()).collect();
        for sent in again {
            self.send(sent.second, sent.lines);
            if self.random.below(3) == 0 {
                self.tick();
            }
        }
    }
}

fn run(
    options: &str,
    query: &str,
    points: &[naive::Point],
    seed: u64,
) -> (BTreeMap<String, String>, usize) {
    let mut world = World::new(options, query, seed);
    let crashes = world.random.below(8);
    let mut rest = points;
    while !rest.is_empty() {
        let size = 1 + world.random.below(25) as usize;
        let (part, later) = rest.split_at(rest.len().min(size));
        let second = part.iter().map(|point| point.second).max().unwrap();
        world.send(second, part.iter().map(naive::Point::line).collect());
        if world.random.below(3) > 0 {
            world.tick();
        }
        let batches = (points.len() / 13) as u64;
        if world.random.below(batches) < crashes {
            world.crash(query);
        }
        rest = later;
    }
    world.now += 4000;
    for _ in 0..50 {
        world.tick();
        world.now += 3;
    }
    while !world.waiting.is_empty() {
        world.deliver();
    }
    for counter in ["points_late", "points_overflow", "points_no_window", "windows_early"] {
        assert_eq!(world.stage.metric(counter), 0, "{counter}: {query}, seed {seed}");
    }
    (world.rows, world.crashes)
}

/// Seeds of each statement, and the least number of crashes over them.
fn survives(options: &str, query: &str, seeds: std::ops::Range<u64>, least: usize) {
    let mut crashes = 0;
    for seed in seeds {
        let points = naive::points(600, 20, seed);
        // Points come again up to so long after their time.
        let options = format!("idle = '90s'\nhold = '2h'\n{options}");
        let whole = run_whole(&options, query, &points);
        let (rows, of_run) = run(&options, query, &points, seed * 7919 + 13);
        crashes += of_run;
        assert_eq!(rows, whole, "{query}, seed {seed}, {of_run} crashes");
    }
    assert!(crashes >= least, "{crashes} crashes");
}

#[test]
fn no_crash_changes_a_windows_last_row() {
    let columns = naive::COLUMNS;
    for window in ["time('10s')", "hop('5s', '20s')", "session('7s')", "time('1m')"] {
        let grouped = format!("CREATE STREAM s AS SELECT {columns} FROM m GROUP BY {window}, host");
        survives("", &grouped, 1..30, 40);
        if !window.starts_with("session") {
            let chained = format!(
                "{grouped}; CREATE STREAM t AS SELECT host, sum(n) AS n, max(hi) AS hi FROM s GROUP BY time('1m'), host"
            );
            survives("", &chained, 30..40, 10);
        }
    }
}

#[test]
fn no_crash_changes_the_row_of_a_point() {
    for frame in ["RANGE INTERVAL '10s' PRECEDING", "RANGE UNBOUNDED PRECEDING"] {
        let query = format!(
            "CREATE STREAM s AS SELECT host, sum(x) OVER w AS s, max(x) OVER w AS m, count(*) OVER w AS n
             FROM m WINDOW w AS (PARTITION BY host ORDER BY time {frame})"
        );
        survives("delay = '1500ms'\ntags = ['host']", &query, 1..30, 40);
    }
}

#[test]
fn no_crash_changes_what_is_joined() {
    let on = "ON a.host = b.host";
    for join in [
        format!("m a JOIN m b {on} AND b.time BETWEEN a.time AND a.time + INTERVAL '5s'"),
        format!(
            "m a LEFT JOIN m b {on} AND b.x > 40 AND b.time BETWEEN a.time - INTERVAL '2s' AND a.time + INTERVAL '5s'"
        ),
        format!("m a ASOF LEFT JOIN m b MATCH_CONDITION (a.time > b.time) {on}"),
    ] {
        let query = format!(
            "CREATE STREAM s AS SELECT a.host, count(*) AS n, sum(a.x) AS a, sum(b.x) AS b FROM {join} GROUP BY time('10s'), a.host"
        );
        survives("", &query, 1..20, 25);
    }
}

/// The same without checkpoints and crashes.
fn run_whole(options: &str, query: &str, points: &[naive::Point]) -> BTreeMap<String, String> {
    let mut world = World::new(options, query, 1);
    world.stage = stage(&format!("checkpoint = ''\n{options}"), query);
    for point in points {
        world.send(point.second, vec![point.line()]);
    }
    let (got, _) = world.stage.sql.control((T + world.now) * S, Control::Stop);
    world.waiting.extend(got.batches);
    while !world.waiting.is_empty() {
        world.deliver();
    }
    world.rows
}
