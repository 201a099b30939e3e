//! Each file of `configs/recipes` as it is, on the data of the page that describes it: what comes out
//! is what stands there.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::load::Random;
use headwater_tests::paths::{self, Folder};
use headwater_tests::points::{self, Point};

use crate::{read_to_end, send, sql};

const PAGE: &str = include_str!("../../configs/recipes/README.md");

/// A recipe: its section of the page, and the folder that its agents keep their state in.
struct Recipe {
    file: &'static str,
    state: Folder,
    section: &'static str,
    variables: Vec<(&'static str, String)>,
}

/// The recipe of a file, whose statement is the one of the page.
fn recipe(file: &'static str) -> Recipe {
    let link = format!("]({file})");
    let mut sections = PAGE.split("\n## ").skip(1).filter(|section| section.contains(&link));
    let section = sections.next().unwrap_or_else(|| panic!("the page has no {file}"));
    assert!(sections.next().is_none(), "the page has {file} twice");
    let recipe = Recipe { file, state: Folder::new(), section, variables: Vec::new() };
    let text = std::fs::read_to_string(recipe.path()).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let query = table["processors"]["sql"][0]["query"].as_str().unwrap();
    let title = if section.contains(&format!("```sql {file}")) {
        format!("sql {file}")
    } else {
        "sql".to_owned()
    };
    assert_eq!(layout(query), layout(recipe.block(&title)), "{file} and the page differ");
    recipe
}

/// A statement without the margin that it has in a file.
fn layout(query: &str) -> Vec<String> {
    let lines: Vec<&str> = query.trim_matches('\n').trim_end().lines().collect();
    let margin = lines.iter().filter(|line| !line.trim().is_empty());
    let margin = margin.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    lines.iter().map(|line| line.get(margin..).unwrap_or("").to_owned()).collect()
}

impl Recipe {
    fn path(&self) -> PathBuf {
        paths::root().join("configs/recipes").join(self.file)
    }

    /// A fenced block of the section, by what stands behind its fence.
    fn block(&self, title: &str) -> &'static str {
        let mut blocks = self.section.split("\n```").skip(1).step_by(2);
        let found = blocks.find_map(|block| block.strip_prefix(title)?.strip_prefix('\n'));
        found.unwrap_or_else(|| panic!("the section of {} has no block {title}", self.file))
    }

    /// The points that are sent, as lines.
    fn points(&self, title: &str) -> String {
        format!("{}\n", self.block(title))
    }

    /// The rows that are to come.
    fn rows(&self, title: &str) -> Vec<Point> {
        let rows = points::parse(self.block(title));
        assert!(rows.iter().all(|row| row.time.is_some()));
        rows
    }

    /// Sets a variable for its agents.
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Recipe {
        self.variables.push((name, value.into()));
        self
    }

    fn start(&self) -> Agent {
        self.start_file(&self.path())
    }

    /// Starts it with less patience: sources that are to come back after a restart are not waited for,
    /// and corrections and rows come at once.
    fn start_hurried(&self) -> Agent {
        let text = std::fs::read_to_string(self.path()).unwrap();
        let lines = text.lines().map(|line| match line.trim_start() {
            "checkpoint = \"5s\"" => "checkpoint = \"5s\"\nidle = \"50ms\"\n".to_owned(),
            "flush_interval = \"1s\"" => "flush_interval = \"50ms\"\n".to_owned(),
            other if other.starts_with("idle = ") => String::new(),
            other if other.starts_with("delay = ") => "delay = \"50ms\"\n".to_owned(),
            _ => format!("{line}\n"),
        });
        self.start_file(&self.state.write("hurried.toml", lines.collect::<String>()))
    }

    fn start_file(&self, path: &Path) -> Agent {
        let mut setup = Setup::bare(paths::agent(), Folder::new())
            .args(["--config", path.to_str().unwrap()])
            .env("LISTEN", "tcp://127.0.0.1:0")
            .env("RESULTS", "")
            .env("STATE_DIRECTORY", self.state.path());
        for (name, value) in &self.variables {
            setup = setup.env(name, value);
        }
        setup.start()
    }

    /// Sends the points of the page and compares all that comes out.
    fn check(&self) {
        let mut agent = self.start();
        send(agent.tcp(), self.points("points").as_bytes());
        let expected = self.rows("rows");
        arrive(&mut agent, expected.len());
        same(&expected, &finish(agent));
    }

    /// Sends points, waits for their rows, and sends those that come late.
    fn check_corrections(&self, points: &str, late: &str) {
        let (mut expected, corrected) = (self.rows("rows"), self.rows("rows late"));
        let mut agent = self.start_hurried();
        send(agent.tcp(), points.as_bytes());
        same(&expected, &arrive(&mut agent, expected.len()));
        send(agent.tcp(), late.as_bytes());
        expected.extend(corrected);
        arrive(&mut agent, expected.len());
        same(&expected, &finish(agent));
    }
}

/// The rows of the page's data; those of the machine that the test runs on are younger.
fn rows(text: &str) -> Vec<Point> {
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let mut rows = points::parse(whole);
    rows.retain(|row| row.time.is_some_and(|time| time < 1_765_000_000_000_000_000));
    rows
}

/// Waits for so many rows.
fn arrive(agent: &mut Agent, count: usize) -> Vec<Point> {
    agent.until(&format!("{count} rows"), |agent| {
        let rows = rows(&agent.stdout());
        (rows.len() >= count).then_some(rows)
    })
}

/// Stops it, and gives all that came.
fn finish(agent: Agent) -> Vec<Point> {
    let ended = agent.stop();
    for level in [" W! ", " E! "] {
        assert_eq!(ended.log_lines(level), [""; 0]);
    }
    rows(&ended.stdout)
}

#[track_caller]
fn same(expected: &[Point], found: &[Point]) {
    if let Err(difference) = points::compare(expected, found) {
        panic!("{difference}");
    }
}

#[test]
fn a_threshold_alerts_with_hysteresis() {
    recipe("threshold-alert.toml").check();
}

#[test]
fn alerts_are_those_of_a_state_machine() {
    let recipe = recipe("threshold-alert.toml");
    let mut random = Random::new(7);
    let (mut points, mut expected, mut raised) = (String::new(), String::new(), [false; 3]);
    for at in 0..3000_u64 {
        let (host, used) = (random.below(3), random.below(101));
        let time = 1_764_000_000_000_000_000 + at * 1_000_000_000;
        writeln!(points, "cpu,cpu=cpu-total,host=h{host} usage_idle={} {time}", 100 - used)
            .unwrap();
        let state = match raised[host as usize] {
            false if used >= 90 => "raised",
            true if used <= 70 => "cleared",
            _ => continue,
        };
        raised[host as usize] = state == "raised";
        writeln!(expected, "alerts,host=h{host} state=\"{state}\",used={used} {time}").unwrap();
    }
    let expected = points::parse(&expected);
    assert!(expected.len() > 100, "{}", expected.len());
    let mut agent = recipe.start();
    send(agent.tcp(), points.as_bytes());
    arrive(&mut agent, expected.len());
    same(&expected, &finish(agent));
}

#[test]
fn an_alert_outlives_restarts() {
    let recipe = recipe("threshold-alert.toml");
    let expected = recipe.rows("rows");
    let (mut chunk, mut found) = (String::new(), Vec::new());
    // An agent up to each alert: the next one knows the states of all hosts.
    for line in recipe.points("points").lines() {
        chunk.push_str(line);
        chunk.push('\n');
        let point = points::parse(line).remove(0);
        let alerts = |row: &Point| row.time == point.time && row.tag("host") == point.tag("host");
        if expected.iter().any(alerts) {
            let mut agent = recipe.start_hurried();
            send(agent.tcp(), chunk.as_bytes());
            arrive(&mut agent, 1);
            found.extend(finish(agent));
            chunk.clear();
        }
    }
    assert_eq!(chunk, "", "the last point changes a state");
    same(&expected, &found);
}

#[test]
fn load_is_joined_with_cores() {
    recipe("load-per-core.toml").check();
}

#[test]
fn percentiles_of_services() {
    recipe("p95-per-service.toml").check();
}

#[test]
fn silence_is_told_and_its_end() {
    let recipe = recipe("dead-mans-switch.toml");
    let expected = recipe.rows("rows");
    let mut agent = recipe.start();
    let mut stream = TcpStream::connect(agent.tcp()).unwrap();
    stream.write_all(recipe.points("points").as_bytes()).unwrap();
    // The other host goes on, and its connection stands.
    same(&expected[..1], &arrive(&mut agent, 1)[..1]);
    stream.shutdown(Shutdown::Write).unwrap();
    read_to_end(stream);
    arrive(&mut agent, expected.len());
    same(&expected, &finish(agent));
}

#[test]
fn silence_is_told_by_the_clock_while_others_send() {
    let recipe = recipe("dead-mans-switch.toml");
    let mut agent = recipe.start();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let beat =
        |host: &str, ago: u64| format!("system,host={host} uptime=1i {}000000000", now - ago);
    // One is silent for longer than 30 s and the delay of 15 s, the other one is not.
    let mut lines: Vec<String> = (0..10).map(|at| beat("lost", 50 + at * 10)).collect();
    lines.extend((0..15).map(|at| beat("here", at * 10)));
    lines.sort_by_key(|line| line.rsplit(' ').next().map(ToOwned::to_owned));
    let mut stream = TcpStream::connect(agent.tcp()).unwrap();
    stream.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let expected = format!("deadman,host=lost state=\"silent\" {}000000000\n", now - 50);
    agent.until("a row", |agent| agent.stdout().ends_with('\n').then_some(()));
    let ended = agent.stop();
    assert_eq!(ended.stdout, expected);
}

#[test]
fn ten_talkers_and_no_more() {
    recipe("top-talkers.toml").check();
}

#[test]
fn ten_of_thousands_that_are_much_alike() {
    let recipe = recipe("top-talkers.toml");
    let mut random = Random::new(3);
    let talkers: Vec<u64> = (0..4000).map(|_| random.below(200)).collect();
    let mut points = String::new();
    for (at, bytes) in talkers.iter().enumerate() {
        writeln!(points, "flow,src=s{at:04} bytes={bytes} 1764000000000000000").unwrap();
    }
    let mut order: Vec<usize> = (0..talkers.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(talkers[*at]), *at));
    let mut agent = recipe.start();
    send(agent.tcp(), points.as_bytes());
    arrive(&mut agent, 10);
    let mut found = finish(agent);
    found.sort_by_key(|row| row.number("rank") as u64);
    let found: Vec<(String, f64)> =
        found.iter().map(|row| (row.tag("src").to_owned(), row.number("bytes"))).collect();
    let expected = order.iter().take(10).map(|at| (format!("s{at:04}"), talkers[*at] as f64));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[test]
fn readings_are_thinned_out() {
    recipe("downsampling.toml").check();
}

#[test]
fn late_readings_correct_what_was_sent() {
    let recipe = recipe("downsampling.toml");
    recipe.check_corrections(&recipe.points("points"), &recipe.points("points late"));
}

#[test]
fn counters_become_rates() {
    recipe("counter-rates.toml").check();
}

#[test]
fn requests_complete_or_time_out() {
    recipe("request-response.toml").check();
}

#[test]
fn hosts_are_looked_up() {
    let table = paths::root().join("configs/recipes/hosts.csv");
    let recipe = recipe("enrichment.toml").with("HOSTS", table.to_str().unwrap());
    assert_eq!(std::fs::read_to_string(table).unwrap(), recipe.points("csv"));
    recipe.check();
}

/// What edges send to the centre, each of its points: one state.
fn edges(points: &[String]) -> Vec<String> {
    let recipes: Vec<Recipe> = (1..=points.len())
        .map(|at| recipe("percentiles-edge.toml").with("EDGE", format!("edge-{at}")))
        .collect();
    let mut agents: Vec<Agent> = recipes.iter().map(Recipe::start).collect();
    for (agent, points) in agents.iter_mut().zip(points) {
        send(agent.tcp(), points.as_bytes());
    }
    let state = |mut agent: Agent| {
        arrive(&mut agent, 1);
        let ended = agent.stop();
        assert_eq!(points::parse(&ended.stdout).len(), 1);
        ended.stdout
    };
    agents.into_iter().map(state).collect()
}

#[test]
fn edges_have_percentiles_in_common() {
    let centre = recipe("percentiles-centre.toml");
    let points = ["points edge-1", "points edge-2", "points edge-3"];
    let states = edges(&points.map(|title| centre.points(title)));
    let expected = centre.rows("rows");
    let mut agent = centre.start();
    send(agent.tcp(), states[..2].concat().as_bytes());
    arrive(&mut agent, expected.len());
    same(&expected, &finish(agent));
    // One that was cut off meanwhile.
    let centre = recipe("percentiles-centre.toml");
    centre.check_corrections(&states[..2].concat(), &states[2]);
}

/// Requests of a minute, whose latencies no short list could hold.
fn requests(random: &mut Random, count: usize) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        let (ms, micros) = (random.below(2000) + 1, random.below(1000));
        let time = 1_764_000_000_000_000_000 + at as u64 * 10_000_000;
        writeln!(text, "http,service=shop ms={ms}.{micros:03} {time}").unwrap();
        text
    })
}

#[test]
fn the_centre_says_what_one_agent_with_all_points_would_say() {
    let mut random = Random::new(4);
    let all: Vec<String> = (0..3).map(|_| requests(&mut random, 900)).collect();
    let centre = recipe("percentiles-centre.toml");
    let mut agent = centre.start();
    let states = edges(&all).concat();
    assert!(states.lines().all(|state| state.len() < 1000), "{states}");
    send(agent.tcp(), states.as_bytes());
    let found = arrive(&mut agent, 1);
    same(&found, &finish(agent));
    let folder = Folder::new();
    folder.write("all.influx", all.concat());
    let query = "CREATE STREAM latency_1m AS SELECT service, quantile(ms, 0.5) AS p50, \
        quantile(ms, 0.95) AS p95, quantile(ms, 0.99) AS p99, count(*) AS requests, 3 AS edges \
        FROM http GROUP BY time('1m'), service";
    let direct = sql::rows(&folder, &[query, "all.influx", "--output", "influx"]);
    same(&points::parse(&direct), &found);
    assert_eq!(found[0].number("requests"), 2700.0);
}

#[test]
fn what_comes_twice_leaves_once() {
    let recipe = recipe("deduplication.toml");
    let (points, mut expected) = (recipe.points("points"), recipe.rows("rows"));
    let mut agent = recipe.start();
    send(agent.tcp(), points.as_bytes());
    arrive(&mut agent, expected.len());
    // All of it again, and one that is new; then the same to an agent that was started anew.
    let again = |agent: &mut Agent, time: &str, count: usize| {
        let new = format!("reading,host=gw-1,sensor=new value=1,quality=\"good\" {time}\n");
        send(agent.tcp(), (points.clone() + &new).as_bytes());
        arrive(agent, count);
        points::parse(&new.replace("reading,", "readings,"))
    };
    expected.extend(again(&mut agent, "1764000100000000000", expected.len() + 1));
    let mut found = finish(agent);
    let mut agent = recipe.start_hurried();
    expected.extend(again(&mut agent, "1764000200000000000", 1));
    found.extend(finish(agent));
    same(&expected, &found);
}

#[test]
fn thousands_of_copies_are_recognized_when_all_windows_are_closed() {
    let recipe = recipe("deduplication.toml");
    let points: String = (0..5000).fold(String::new(), |mut text, at| {
        let (sensor, time) = (at % 70, 1_764_000_000_000_000_000_i64 + at * 10_000_000);
        writeln!(text, "reading,host=gw,sensor={sensor} value={at},quality=\"good\" {time}")
            .unwrap();
        text
    });
    let mut agent = recipe.start();
    send(agent.tcp(), points.as_bytes());
    arrive(&mut agent, 5000);
    let new = "reading,host=gw,sensor=new value=1,quality=\"good\" 1764000200000000000\n";
    send(agent.tcp(), (points.clone() + new).as_bytes());
    arrive(&mut agent, 5001);
    let sent = (points + new).replace("reading,", "readings,");
    same(&points::parse(&sent), &finish(agent));
}

#[test]
fn personal_data_is_masked() {
    recipe("pii-masking.toml").with("PII_SALT", "pepper").check();
}

#[test]
fn masking_without_a_salt_is_refused() {
    let ended = recipe("pii-masking.toml").start().into_ended();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.log.contains("set PII_SALT to a secret"), "{}", ended.log);
}

#[test]
fn every_recipe_is_run_and_on_the_page() {
    let folder = paths::root().join("configs/recipes");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let (source, _) = include_str!("recipes.rs").rsplit_once("fn every_recipe_is_run").unwrap();
    for name in &names {
        let is_run = name == "README.md"
            || source.contains(&format!("\"{name}\"")) && PAGE.contains(&format!("]({name})"));
        assert!(is_run || name == "hosts.csv", "{name} wants a test that runs it, and a section");
    }
}
