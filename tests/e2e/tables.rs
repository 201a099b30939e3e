//! Tables that points are joined to, read again while points flow.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::wait;

use crate::send;

const JOINED: &str = r#"
[agent]
omit_hostname = true
flush_interval = "10ms"
metric_batch_size = 100
workers = 2

[[inputs.socket_listener]]
service_address = "tcp://127.0.0.1:0"

[[processors.sql]]
drop_original = true
query = "SELECT c.n, h.version FROM cpu c JOIN hosts h ON c.id = h.id"

[processors.sql.tables.hosts]
file = "@/hosts.csv"

[[outputs.file]]
files = ["@/out"]
"#;

fn table(rows: usize, version: usize) -> String {
    let rows = (0..rows).map(|id| format!("{id},host{id},{version}\n"));
    format!("id,name,version\n{}", rows.collect::<String>())
}

fn start(rows: usize) -> Agent {
    let setup = Setup::new(JOINED);
    setup.folder().write("hosts.csv", table(rows, 0));
    setup.start()
}

/// Puts another file in the place of the table, at once.
fn replace(agent: &Agent, make: impl FnOnce(&Path)) {
    let beside = agent.folder().join("hosts.next");
    make(&beside);
    fs::rename(&beside, agent.folder().join("hosts.csv")).unwrap();
}

/// Puts a pipe in the place of the table: its end for writing, once the agent reads.
fn pipe(agent: &mut Agent) -> File {
    replace(agent, |path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    });
    let path = agent.folder().join("hosts.csv");
    // Without a reader it cannot be opened so.
    let mut open = OpenOptions::new();
    let open = open.write(true);
    let open = std::os::unix::fs::OpenOptionsExt::custom_flags(open, 0o4000);
    agent.until("a reader of the pipe", |_| open.open(&path).ok())
}

/// What arrived: the number of each point, with the version of the table that it met.
fn arrived(text: &str) -> BTreeMap<u64, u64> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let field = |key: &str| {
            let (_, rest) = line.split_once(key)?;
            rest.split_once('i')?.0.parse::<u64>().ok()
        };
        let known = all.insert(field(" n=").unwrap(), field("version=").unwrap());
        assert_eq!(known, None, "{line} came twice");
    }
    all
}

fn points(numbers: std::ops::Range<u64>, rows: usize) -> String {
    let point = |n: u64| format!("cpu id={}i,n={n}i {n}\n", n * 7919 % rows as u64);
    numbers.map(point).collect()
}

#[test]
fn points_pass_while_a_table_is_read() {
    let mut agent = start(100);
    send(agent.tcp(), points(0..10, 100).as_bytes());
    agent.lines("out", 10);
    let mut pipe = pipe(&mut agent);
    pipe.write_all(b"id,name,version\n1,a").unwrap();
    send(agent.tcp(), points(10..20_010, 100).as_bytes());
    agent.lines("out", 20_010);
    // What comes behind the half row is the second half.
    let rest = table(100, 1);
    let rest = rest.split_once("\n1,").unwrap().1;
    pipe.write_all(format!("{rest}0,host0,1\n").as_bytes()).unwrap();
    drop(pipe);
    agent.logged("table `hosts` was read again: 100 rows");
    send(agent.tcp(), points(20_010..20_020, 100).as_bytes());
    agent.lines("out", 20_020);
    let found = arrived(&agent.stop().read("out"));
    assert!(found.keys().copied().eq(0..20_020));
    assert!(found.iter().all(|(n, version)| *version == u64::from(*n >= 20_010)));
}

#[test]
fn a_table_that_is_read_does_not_hold_up_the_end() {
    let mut agent = start(100);
    // It has read the table when it listens.
    let listens = agent.tcp();
    let _pipe = pipe(&mut agent);
    send(listens, points(0..10, 100).as_bytes());
    let ended = agent.stop();
    assert!(ended.status.success(), "{}", ended.log);
    assert_eq!(arrived(&ended.read("out")).len(), 10);
}

/// Rounds of points and how long each took to the file: those during which a table was read apart.
#[derive(Default)]
struct Rounds {
    quiet: Vec<Duration>,
    reading: Vec<Duration>,
}

impl Rounds {
    fn told(list: &mut [Duration]) -> String {
        list.sort_unstable();
        let at = |share: f64| list.get((list.len() as f64 * share) as usize).or(list.last());
        let ms = |share| at(share).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        format!(
            "{} rounds, {:.1} ms in the middle, {:.1} at 99 of 100, {:.1} at most",
            list.len(),
            ms(0.5),
            ms(0.99),
            ms(1.0)
        )
    }
}

/// Sends round for round: the next one when the last one is in the file.
#[test]
fn a_reload_under_load_loses_and_delays_nothing() {
    const ROUND: u64 = 100;
    let long = std::env::var_os("HEADWATER_LONG").is_some();
    let rows = if long { 1_000_000 } else { 20_000 };
    let mut agent = start(rows);
    let mut to = TcpStream::connect(agent.tcp()).unwrap();
    to.set_nodelay(true).unwrap();
    agent.until("the file", |agent| agent.folder().join("out").exists().then_some(()));
    let mut out = File::open(agent.folder().join("out")).unwrap();
    let (mut text, mut sent, mut lines) = (Vec::new(), 0, 0);
    let mut rounds = Rounds::default();
    let mut last = 0;
    for version in 0..=3 {
        // The next table is there before the rounds begin: making it takes the time of a core.
        let next = table(rows, version);
        replace(&agent, |path| fs::write(path, next).unwrap());
        let mut behind = 0;
        // Some more rounds when it is there: they are the quiet ones.
        while behind < 300 {
            // A thousand rounds a second at most.
            std::thread::sleep(Duration::from_millis(1));
            let began = Instant::now();
            let was_read = agent.has_thread("sql-table");
            to.write_all(points(sent..sent + ROUND, rows).as_bytes()).unwrap();
            sent += ROUND;
            let deadline = began + wait::PATIENCE;
            while lines < sent {
                let from = text.len();
                out.read_to_end(&mut text).unwrap();
                lines += text[from..].iter().filter(|byte| **byte == b'\n').count() as u64;
                assert!(Instant::now() < deadline, "{lines} of {sent}:\n{}", agent.log());
                std::thread::yield_now();
            }
            let is_read = was_read && agent.has_thread("sql-table");
            if is_read { &mut rounds.reading } else { &mut rounds.quiet }.push(began.elapsed());
            let end = String::from_utf8_lossy(&text[text.len().saturating_sub(40)..]);
            let found: usize = end
                .rsplit_once("version=")
                .and_then(|(_, rest)| rest.split_once('i')?.0.parse().ok())
                .unwrap();
            assert!(found >= last && found <= version, "{found} after {last}");
            last = found;
            behind += usize::from(found == version);
        }
    }
    drop(to);
    println!(
        "a table of {rows} rows, rounds of {ROUND} points, no table read: {}",
        Rounds::told(&mut rounds.quiet)
    );
    println!("while a table is read: {}", Rounds::told(&mut rounds.reading));
    if long {
        assert!(rounds.reading.len() >= 30, "{} rounds came through", rounds.reading.len());
    }
    let found = arrived(&agent.stop().read("out"));
    assert!(found.keys().copied().eq(0..sent));
}
