//! What the statements cost, per point and per batch: `cargo run --release -p headwater-sql --example
//! bench [points [name]]`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::batch::{Batch, BatchBuilder, Limits, SeriesStore};
use headwater_plugin_api::testkit;
use headwater_sql::sql::Sql;

const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000 * MS;

/// Points of `series` series in turn, a millisecond apart, as a parser that knows its series makes
/// them.
struct Load {
    store: SeriesStore,
    at: usize,
    builder: BatchBuilder,
}

impl Load {
    fn new(hosts: usize, cpus: usize) -> Self {
        let mut store = SeriesStore::new();
        for host in 0..hosts {
            for cpu in 0..cpus {
                let (host, cpu) = (format!("server{host:07}"), format!("cpu{cpu}"));
                let tags = [
                    ("cpu", cpu.as_str()),
                    ("dc", "dc0"),
                    ("host", &host),
                    ("region", "eu-west-1"),
                ];
                store.intern("cpu", &tags, &Limits::DEFAULT).unwrap();
            }
        }
        Load { store, at: 0, builder: BatchBuilder::default() }
    }

    fn batch(&mut self, rows: usize) -> Batch {
        let builder = &mut self.builder;
        builder.reserve_as_before();
        let floats = ["usage_user", "usage_system", "usage_idle", "usage_iowait"];
        let mut fields: Vec<(u32, u8)> =
            floats.iter().map(|name| (builder.push_symbol(name), kind::F64)).collect();
        fields.push((builder.push_symbol("ctx"), kind::I64));
        let shape = builder.push_shape(fields);
        let count = self.store.len();
        let mut known = vec![u32::MAX; count];
        for _ in 0..rows {
            let number = self.at % count;
            if known[number] == u32::MAX {
                known[number] =
                    builder.append_series(&self.store.get(number as u32), Some(number as u32));
            }
            let first = builder.values().len() as u32;
            for field in 0..4 {
                let value = ((self.at * 7919 + field * 31) % 10_000) as f64 / 100.0;
                builder.values().push(value.to_bits());
            }
            builder.values().push(self.at as u64);
            builder.push_row(START + self.at as i64 * MS, known[number], shape, first);
            self.at += 1;
        }
        let mut batch = builder.finish().unwrap();
        batch.set_origin(1);
        batch
    }
}

/// Nanoseconds that this thread was on a CPU: other processes do not count.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn run(name: &str, query: &str, hosts: usize, cpus: usize, points: usize) {
    run_with("", name, query, hosts, cpus, points);
}

fn run_with(options: &str, name: &str, query: &str, hosts: usize, cpus: usize, points: usize) {
    if std::env::args().nth(2).is_some_and(|wanted| wanted != name) {
        return;
    }
    let took = take(options, query, hosts, cpus, points);
    println!(
        "{name:24} {:6.1} ns/point {:8.0} ns/batch {:8} groups {:4} bytes/group {:8} rows",
        took.point_ns,
        took.point_ns * ROWS as f64,
        took.groups,
        took.bytes.checked_div(took.groups).unwrap_or(0),
        took.rows,
    );
}

/// Rows of a batch.
const ROWS: usize = 1600;

struct Took {
    point_ns: f64,
    groups: u64,
    bytes: u64,
    rows: usize,
}

fn take(options: &str, query: &str, hosts: usize, cpus: usize, points: usize) -> Took {
    let mut load = Load::new(hosts, cpus);
    let config =
        format!("drop_original = true\nmax_groups = 2000000\n{options}\nquery = '''{query}'''");
    let mut sql = testkit::processor::<Sql>(&config).unwrap();
    let (mut spent, mut rows) = (0, 0);
    while load.at < points {
        let made: Vec<Batch> = (0..4).map(|_| load.batch(ROWS)).collect();
        let now = START + load.at as i64 * MS;
        let begin = cpu_ns();
        for batch in made {
            rows += sql.process(now, batch).0.batches.iter().map(Batch::len).sum::<usize>();
        }
        spent += cpu_ns() - begin;
    }
    sql.tick(START + load.at as i64 * MS).1.unwrap();
    let (groups, bytes) = (sql.host.metric("groups"), sql.host.metric("state_bytes"));
    Took { point_ns: spent as f64 / load.at as f64, groups, bytes, rows }
}

/// Points joined to a table of a million rows, against the same without it: in turn, and of several takes
/// the fastest, since others use the machine too.
fn tables(points: usize) {
    const ROWS: usize = 1_000_000;
    const TAKES: usize = 5;
    let file = std::env::temp_dir().join(format!("headwater-bench-{}.csv", std::process::id()));
    // `code` and `label` are found at places all over the table.
    let rows = (0..ROWS).map(|n| {
        let code = n * 7919 % ROWS;
        format!("server{n:07},dc{},{n},{code},k{code}\n", n % 7)
    });
    let rows = rows.collect::<String>();
    std::fs::write(&file, format!("name,place,id,code,label\n{rows}")).unwrap();
    let options = format!("tables.hosts.file = '{}'", file.display());
    let plain = "SELECT c.host, c.usage_user FROM cpu c";
    let text = format!("{plain} WHERE 'k' || c.ctx > ''");
    for (name, on, plain, hosts) in [
        ("table by tag", "c.host = h.name", plain, 100),
        ("table, new series each", "c.host = h.name", plain, 1_000_000),
        ("table by field", "c.ctx = h.id", plain, 100),
        ("table by field, scattered", "c.ctx = h.code", plain, 100),
        ("table by text, scattered", "'k' || c.ctx = h.label", &text, 100),
    ] {
        if std::env::args().nth(2).is_some_and(|wanted| wanted != name) {
            continue;
        }
        let cpus = 800 / hosts.min(800);
        // Each point has its row.
        let points = points.min(ROWS);
        let joined =
            format!("SELECT c.host, c.usage_user, h.place FROM cpu c JOIN hosts h ON {on}");
        let mut least = [f64::MAX; 2];
        for _ in 0..TAKES {
            for (least, (options, query)) in
                least.iter_mut().zip([("", plain), (options.as_str(), joined.as_str())])
            {
                *least = least.min(take(options, query, hosts, cpus.max(1), points).point_ns);
            }
        }
        let [without, with] = least;
        println!(
            "{name:26} {with:6.1} ns/point, {without:6.1} without: {:6.1} more",
            with - without
        );
    }
    std::fs::remove_file(&file).unwrap();
}

fn main() {
    let points = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(4_000_000);
    tables(points.min(4_000_000));
    let four = "avg(usage_user), min(usage_user), max(usage_user), count(*)";
    let window = |select: &str, rest: &str| format!("SELECT {select} FROM cpu {rest}");
    run(
        "4 aggregates by host",
        &window(&format!("host, {four}"), "GROUP BY time('10s'), host"),
        100,
        8,
        points,
    );
    for (name, form) in [
        ("hop 10 s over 1 min", "hop('10s', '1m')"),
        ("hop 1 s over 1 min", "hop('1s', '1m')"),
        ("session of 1 s", "session('1s')"),
        ("sessions of 0.5 s", "session('500ms')"),
        ("rows of 100", "rows(100)"),
    ] {
        let (hosts, cpus) = if name.starts_with("sessions") { (1000, 1) } else { (100, 8) };
        let rest = format!("GROUP BY {form}, host");
        run(name, &window(&format!("host, {four}"), &rest), hosts, cpus, points);
    }
    // A series has ten points in 8 s.
    for (name, frame) in [
        ("over: all", "RANGE UNBOUNDED PRECEDING"),
        ("over: 10 rows", "ROWS 10 PRECEDING"),
        ("over: 1000 rows", "ROWS 1000 PRECEDING"),
        ("over: 1 s", "RANGE '1s' PRECEDING"),
        ("over: 1 min", "RANGE '1m' PRECEDING"),
    ] {
        let window = format!("OVER (PARTITION BY host {frame})");
        for (what, list) in [
            ("count", vec!["count(usage_user)"]),
            ("sum ints", vec!["sum(ctx)"]),
            ("avg", vec!["avg(usage_user)"]),
            ("max", vec!["max(usage_user)"]),
            ("first", vec!["first(usage_user)"]),
            ("stddev", vec!["stddev(usage_user)"]),
            ("median", vec!["median(usage_user)"]),
            ("4", four.split(", ").collect()),
        ] {
            let list: Vec<String> = list.iter().map(|call| format!("{call} {window}")).collect();
            let query = format!("SELECT host, {} FROM cpu", list.join(", "));
            run(&format!("{name}, {what}"), &query, 100, 8, points / 4);
        }
    }
    run(
        "over: lag",
        "SELECT *, lag(ctx) OVER (PARTITION BY host, cpu) AS l FROM cpu",
        100,
        8,
        points / 4,
    );
    run(
        "1 aggregate by host",
        &window("host, avg(usage_user)", "GROUP BY time('10s'), host"),
        100,
        8,
        points,
    );
    run("count(*)", &window("count(*)", "GROUP BY time('10s')"), 100, 8, points);
    run(
        "4 columns",
        &window(
            "host, avg(usage_user), min(usage_system), max(ctx), sum(usage_idle)",
            "GROUP BY time('10s'), host",
        ),
        100,
        8,
        points,
    );
    run(
        "where on a tag",
        &window(&format!("host, {four}"), "WHERE cpu = 'cpu0' GROUP BY time('10s'), host"),
        100,
        8,
        points,
    );
    run(
        "where on a field",
        &window(&format!("host, {four}"), "WHERE usage_user > 50 GROUP BY time('10s'), host"),
        100,
        8,
        points,
    );
    run(
        "expressions",
        &window(
            "host, avg(usage_user + usage_system), max(100 - usage_idle)",
            "GROUP BY time('10s'), host",
        ),
        100,
        8,
        points,
    );
    run(
        "stddev, first, last",
        &window(
            "host, stddev(usage_user), first(usage_user), last(usage_user)",
            "GROUP BY time('10s'), host",
        ),
        100,
        8,
        points,
    );
    run(
        "1 quantile",
        &window("host, quantile(usage_user, 0.95)", "GROUP BY time('10s'), host"),
        100,
        8,
        points,
    );
    run(
        "3 quantiles",
        &window(
            "host, median(usage_user), quantile(usage_user, 0.95), quantile(usage_user, 0.99)",
            "GROUP BY time('10s'), host",
        ),
        100,
        8,
        points,
    );
    run(
        "approx_distinct",
        &window("host, approx_distinct(ctx)", "GROUP BY time('10s'), host"),
        100,
        8,
        points,
    );
    run(
        "count(DISTINCT x)",
        &window("host, count(DISTINCT ctx)", "GROUP BY time('10s'), host"),
        100,
        8,
        points,
    );
    run(
        "aggregate with FILTER",
        &window(
            "host, avg(usage_user) FILTER (WHERE usage_idle > 50), count(*)",
            "GROUP BY time('10s'), host",
        ),
        100,
        8,
        points,
    );
    run("filter", "SELECT * FROM cpu WHERE usage_user > 99", 100, 8, points);
    run(
        "1 M groups",
        &window("host, avg(usage_user), max(usage_user)", "GROUP BY time('1d'), host"),
        1_000_000,
        1,
        points.min(4_000_000),
    );
    run(
        "1 M groups, quantile",
        &window("host, quantile(usage_user, 0.95)", "GROUP BY time('1d'), host"),
        1_000_000,
        1,
        points.min(4_000_000),
    );
}
