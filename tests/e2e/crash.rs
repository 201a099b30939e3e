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
  CREATE STREAM f AS SELECT host, count(*) AS n, forecast(seq, '1s') AS soon,
    (histogram(seq % 7, ARRAY[1, 4]) ->> '4')::BIGINT AS middle,
    (topk(seq % 5, 2) -> 0 ->> 'value')::BIGINT AS often, (topk(seq % 5, 2) -> 1 ->> 'count')::BIGINT AS second
    FROM m GROUP BY time('500ms'), host;
  CREATE STREAM c AS SELECT host, count(*) AS n, increase(total) AS up, rate(total) AS rate, delta(total) AS delta
    FROM m GROUP BY time('500ms'), host;
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

/// A point that was sent. Its counter begins at 0 again now and then.
#[derive(Clone, Copy)]
struct Point {
    time: i64,
    host: u64,
    seq: u64,
    total: u64,
    /// The time and the counter of the point before it.
    before: Option<(i64, u64)>,
}

/// The rows of all windows by series and time: their fields.
type Rows = BTreeMap<(String, i64), BTreeMap<&'static str, f64>>;

/// What was ever sent.
#[derive(Default)]
struct Sent {
    lines: Vec<String>,
    points: Vec<Point>,
    last: [Option<(i64, u64)>; 3],
}

impl Sent {
    fn next(&mut self, random: &mut Random) {
        let seq = self.lines.len() as u64 + 1;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let time = i64::try_from(since.as_nanos()).unwrap();
        let host = random.below(3);
        let before = self.last[host as usize];
        let total = match before {
            Some((_, last)) if random.below(50) > 0 => last + random.below(1000),
            _ => random.below(10),
        };
        self.last[host as usize] = Some((time, total));
        self.lines.push(format!("m,host=h{host} seq={seq}i,total={total}i {time}\n"));
        self.points.push(Point { time, host, seq, total, before });
    }

    /// What must come of it. Windows are worked out from all points at once.
    fn rows(&self) -> Rows {
        let mut windows: BTreeMap<(String, i64), Vec<Point>> = BTreeMap::new();
        for point in &self.points {
            let start = point.time - point.time % HALF;
            let mut add = |series: String, start: i64| {
                windows.entry((series, start)).or_default().push(*point);
            };
            for stream in ["s", "c", "f"] {
                add(format!("{stream},host=h{}", point.host), start);
            }
            (0..3).for_each(|back| add("h".to_owned(), start - back * HALF));
        }
        let fields = |(key, points): ((String, i64), Vec<Point>)| {
            let mut fields = BTreeMap::from([("n", points.len() as f64)]);
            match key.0.as_bytes()[0] {
                b'c' => counters(&points, &mut fields),
                b'f' => trend(&points, &mut fields),
                _ => {
                    fields.insert("sum", points.iter().map(|point| point.seq as f64).sum());
                }
            }
            (key, fields)
        };
        windows.into_iter().map(fields).collect()
    }

    /// The rows of a file, the last one of each series and time.
    fn found(text: &str) -> Rows {
        let mut rows = Rows::new();
        for line in text.lines() {
            let mut parts = line.split(' ');
            let (Some(series), Some(fields), Some(time), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let number = |name: &'static str| {
                let own =
                    |field: &str| field.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
                let value = fields.split(',').find_map(own)?;
                Some((name, value.strip_suffix('i').unwrap_or(&value).parse().ok()?))
            };
            if let Ok(time) = time.parse() {
                let fields = FIELDS.iter().filter_map(|name| number(name)).collect();
                rows.insert((series.to_owned(), time), fields);
            }
        }
        // It has one row.
        rows.retain(|(series, _), _| series != "reached");
        rows
    }

    /// The first row of a file that is not right. Sums of many floats in another order round otherwise.
    fn wrong(&self, text: &str) -> Option<String> {
        let (found, wanted) = (Sent::found(text), self.rows());
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * a.abs().max(b.abs()).max(1.0);
        let same = |a: &BTreeMap<_, f64>, b: &BTreeMap<_, f64>| {
            a.keys().eq(b.keys()) && a.values().zip(b.values()).all(near)
        };
        let mut keys = wanted.keys().chain(found.keys());
        let wrong = keys.find(|key| match (found.get(key), wanted.get(key)) {
            (Some(found), Some(wanted)) => !same(found, wanted),
            _ => true,
        })?;
        Some(format!("{wrong:?}: {:?}, expected {:?}", found.get(wrong), wanted.get(wrong)))
    }

    /// Waits until the rows of all windows are there.
    fn wait(&self, agent: &mut Agent, out: &Path) {
        let start = Instant::now();
        agent.until("the rows of all windows", |_| {
            let wrong = self.wrong(&std::fs::read_to_string(out).unwrap_or_default());
            if let Some(wrong) = &wrong
                && start.elapsed() > Duration::from_secs(20)
            {
                println!("{wrong}");
                std::thread::sleep(Duration::from_secs(10));
            }
            wrong.is_none().then_some(())
        });
    }
}

const FIELDS: [&str; 9] = ["n", "sum", "up", "rate", "delta", "soon", "middle", "often", "second"];

/// What a counter went up by, from the point before the window on.
fn counters(points: &[Point], fields: &mut BTreeMap<&'static str, f64>) {
    let steps = points.iter().filter_map(|point| Some((point.total, point.before?.1)));
    let (first, last) = (points[0], points[points.len() - 1]);
    if steps.clone().next().is_none() {
        return;
    }
    let ups =
        steps.clone().map(|(total, before)| if total >= before { total - before } else { total });
    let up = ups.sum::<u64>() as f64;
    fields.insert("up", up);
    fields.insert("delta", steps.map(|(total, before)| total as f64 - before as f64).sum());
    let length = last.time - first.before.map_or(first.time, |(time, _)| time);
    if length > 0 {
        fields.insert("rate", up / (length as f64 / 1e9));
    }
}

/// The line through the numbers, counts of their rests, and the most frequent of those.
fn trend(points: &[Point], fields: &mut BTreeMap<&'static str, f64>) {
    let n = points.len() as f64;
    let (first, last) = (points[0].time, points[points.len() - 1].time);
    let line = points.iter().map(|point| ((point.time - first) as f64, point.seq as f64));
    let mean_time = line.clone().map(|(time, _)| time).sum::<f64>() / n;
    let mean = line.clone().map(|(_, seq)| seq).sum::<f64>() / n;
    if last > first {
        let spread = line.clone().map(|(time, _)| (time - mean_time).powi(2)).sum::<f64>();
        let common = line.map(|(time, seq)| (time - mean_time) * (seq - mean)).sum::<f64>();
        let ahead = (last - first) as f64 + 1e9 - mean_time;
        fields.insert("soon", mean + common / spread * ahead);
    }
    let middle = points.iter().filter(|point| (2..=4).contains(&(point.seq % 7))).count();
    fields.insert("middle", middle as f64);
    let count = |rest: u64| points.iter().filter(|point| point.seq % 5 == rest).count();
    let mut rests: Vec<(usize, u64)> = (0..5).map(|rest| (count(rest), rest)).collect();
    rests.retain(|(count, _)| *count > 0);
    rests.sort_by_key(|(count, rest)| (std::cmp::Reverse(*count), *rest));
    fields.insert("often", rests[0].1 as f64);
    if let Some((count, _)) = rests.get(1) {
        fields.insert("second", *count as f64);
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
    // Hopping windows that begin before the first point are among them.
    sent.wait(&mut agent, &shared.join("out"));
    println!(
        "{kills} kills, {resumed} starts from a checkpoint, {} points, {} windows",
        sent.lines.len(),
        sent.rows().len()
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
            sent.wait(&mut agent, &shared.join("out"));
            agent.stop();
        }
    }
}
