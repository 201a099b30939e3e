//! kill -9: from its last checkpoint, and with the points since then sent again, the agent makes the
//! rows that an undisturbed one would have made.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::testkit::{self, TestHost};
use headwater_sql::sql::Sql;
use headwater_tests::agent::{Agent, Setup};
use headwater_tests::load::Random;
use headwater_tests::paths::Folder;
use rustix::process::Signal;

/// The second statement tells how far a checkpoint has come: points come in the order of their numbers.
const QUERY: &str = "CREATE STREAM s AS
    SELECT host, count(*) AS n, sum(seq) AS sum, max(seq) AS most, quantile(seq, 0.5) AS mid
    FROM m GROUP BY time('500ms'), host;
  CREATE STREAM h AS SELECT count(*) AS n, sum(seq) AS sum FROM m GROUP BY hop('500ms', '1500ms');
  CREATE STREAM reached AS SELECT max(seq) AS seq FROM m GROUP BY rows(1000000000)";
const OPTIONS: &str = "checkpoint = '100ms'\ndelay = '300ms'\nidle = '2s'\ndrop_original = true";

const HALF: i64 = 500_000_000;

fn setup(shared: &Folder) -> Setup {
    Setup::new(&format!(
        "[agent]\nomit_hostname = true\nflush_interval = \"20ms\"\nstatefile = \"{folder}/state\"\n\
         [[inputs.socket_listener]]\nservice_address = \"tcp://127.0.0.1:0\"\n\
         [[processors.sql]]\n{OPTIONS}\nquery = '''{QUERY}'''\n\
         [[outputs.file]]\nfiles = [\"{folder}/out\"]\n",
        folder = shared.path().display()
    ))
}

/// The number of the last point in the checkpoint.
fn reached(shared: &Folder) -> u64 {
    let Some(bytes) = state_file(&shared.join("state")) else { return 0 };
    // Magic, version, length of the key and of the value, checksum; then both.
    let key = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let host = Arc::new(TestHost::default());
    host.keeps_state.store(true, Ordering::Relaxed);
    host.state.lock().unwrap().insert("checkpoint".into(), bytes[28 + key..].to_vec());
    let config = format!("{OPTIONS}\nquery = '''{QUERY}'''");
    let mut sql = testkit::processor_on::<Sql>(&host, &config).unwrap();
    // Where nothing can be stored, a stop emits what is open.
    host.refuses_state.store(true, Ordering::Relaxed);
    let (got, result) = sql.control(0, Control::Stop);
    result.unwrap();
    let lines = testkit::lines(&got.batches);
    let row = lines.iter().find_map(|line| line.strip_prefix("reached seq="));
    row.map_or(0, |row| row.split_once('i').unwrap().0.parse().unwrap())
}

fn state_file(folder: &Path) -> Option<Vec<u8>> {
    let files = std::fs::read_dir(folder).ok()?.map(|entry| entry.unwrap().path());
    let is_checkpoint =
        |path: &std::path::PathBuf| path.to_string_lossy().ends_with("checkpoint.state");
    files.filter(is_checkpoint).map(|path| std::fs::read(path).unwrap()).next()
}

/// What was ever sent, and what must come of it: by series and time, count and sum.
#[derive(Default)]
struct Sent {
    lines: Vec<String>,
    windows: BTreeMap<(String, i64), (u64, u64)>,
}

impl Sent {
    fn next(&mut self, random: &mut Random) {
        let seq = self.lines.len() as u64 + 1;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let time = i64::try_from(since.as_nanos()).unwrap();
        let host = random.below(3);
        self.lines.push(format!("m,host=h{host} seq={seq}i {time}\n"));
        let start = time - time % HALF;
        let mut add = |series: String, start: i64| {
            let window = self.windows.entry((series, start)).or_default();
            *window = (window.0 + 1, window.1 + seq);
        };
        add(format!("s,host=h{host}"), start);
        (0..3).for_each(|back| add("h".to_owned(), start - back * HALF));
    }

    /// The rows of a file, the last one of each series and time.
    fn found(text: &str) -> BTreeMap<(String, i64), (u64, u64)> {
        let mut rows = BTreeMap::new();
        for line in text.lines() {
            let mut parts = line.split(' ');
            let (Some(series), Some(fields), Some(time), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let number = |name: &str| {
                let mut fields = fields.split(',').filter_map(|field| field.strip_prefix(name));
                fields.next().and_then(|value| value.strip_suffix('i')?.parse::<u64>().ok())
            };
            if let (Some(n), Some(sum), Ok(time)) = (number("n="), number("sum="), time.parse()) {
                rows.insert((series.to_owned(), time), (n, sum));
            }
        }
        rows
    }
}

/// Sends what the checkpoint does not hold, and new points for some time.
fn feed(agent: &mut Agent, sent: &mut Sent, from: u64, lasting: Duration, random: &mut Random) {
    let mut stream = TcpStream::connect(agent.tcp()).unwrap();
    let again: String = sent.lines[from as usize..].concat();
    stream.write_all(again.as_bytes()).unwrap();
    let start = Instant::now();
    while start.elapsed() < lasting {
        let before = sent.lines.len();
        (0..=random.below(20)).for_each(|_| sent.next(random));
        stream.write_all(sent.lines[before..].concat().as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(200 + random.below(3000)));
    }
}

#[test]
fn a_killed_agent_goes_on_from_its_checkpoint() {
    let long = std::env::var_os("HEADWATER_LONG").is_some();
    let kills = if long { 100 } else { 8 };
    let shared = Folder::new();
    let mut random = Random::new(9);
    let mut sent = Sent::default();
    let mut resumed = 0;
    for _ in 0..kills {
        let from = reached(&shared);
        resumed += u64::from(from > 0);
        let mut agent = setup(&shared).start();
        // Mostly within the time that windows wait for their sources, sometimes beyond it.
        let most = if random.below(4) == 0 { 4000 } else { 500 };
        let lasting = Duration::from_millis(20 + random.below(most));
        feed(&mut agent, &mut sent, from, lasting, &mut random);
        agent.signal(Signal::KILL);
        agent.wait();
    }
    assert!(resumed > kills / 2, "{resumed} starts from a checkpoint");
    let from = reached(&shared);
    let mut agent = setup(&shared).start();
    feed(&mut agent, &mut sent, from, Duration::from_millis(100), &mut random);
    let out = || std::fs::read_to_string(shared.join("out")).unwrap_or_default();
    // Hopping windows that begin before the first point are among them.
    agent.until("the rows of all windows", |_| (Sent::found(&out()) == sent.windows).then_some(()));
    println!(
        "{kills} kills, {resumed} starts from a checkpoint, {} points, {} windows",
        sent.lines.len(),
        sent.windows.len()
    );
    let ended = agent.stop();
    assert!(!ended.log.contains("late"), "{}", ended.log);
}

#[test]
fn a_stopped_agent_goes_on_with_its_windows() {
    let shared = Folder::new();
    let mut random = Random::new(5);
    let mut sent = Sent::default();
    for round in 0..3 {
        let mut agent = setup(&shared).start();
        let from = sent.lines.len() as u64;
        feed(&mut agent, &mut sent, from, Duration::from_millis(300), &mut random);
        if round < 2 {
            let ended = agent.stop();
            assert!(ended.status.success(), "{}", ended.log);
            assert_eq!(reached(&shared), sent.lines.len() as u64);
        } else {
            let out = || std::fs::read_to_string(shared.join("out")).unwrap_or_default();
            agent.until("the rows of all windows", |_| {
                (Sent::found(&out()) == sent.windows).then_some(())
            });
            agent.stop();
        }
    }
}
