//! The processor as the agent drives it, on a virtual clock.

use super::*;
use headwater_plugin_api::batch::{BatchBuilder, PointRef};
use headwater_plugin_api::plugin::{Level, Outcome};
use headwater_plugin_api::testkit::{self, Driven};
use std::sync::{Arc, Mutex};

mod aggregates;
mod bounds;
mod checkpoint;
mod closing;
mod counters;
mod fluent;
mod hop;
mod join;
mod join_random;
mod kinds;
mod memory;
mod naive;
mod over;
mod over_naive;
mod parallel;
mod reference;
mod rows;
mod session;
mod sketches;
mod table;

const S: i64 = 1_000_000_000;
/// Noon of some day, in seconds.
const T: i64 = 1_700_000_000 - 1_700_000_000 % 86_400 + 43_200;

/// Drives a processor in seconds since `T` and keeps what it makes, as lines with times in seconds.
struct Stage {
    sql: Driven<headwater_plugin_api::abi::instance::ProcessorInstance>,
    made: Vec<String>,
}

fn stage(options: &str, query: &str) -> Stage {
    // With `explain` rows alone come out.
    let config = format!("drop_original = true\nexplain = true\n{options}\nquery = '''{query}'''");
    match testkit::processor::<Sql>(&config) {
        Ok(sql) => Stage { sql, made: Vec::new() },
        Err(error) => panic!("{error}"),
    }
}

fn refused(config: &str) -> Error {
    match testkit::processor::<Sql>(config) {
        Ok(_) => panic!("accepted: {config}"),
        Err(error) => error,
    }
}

/// Points from lines such as `cpu,host=a user=1.5,n=3i,text="x" 12`, the time in seconds since `T`.
fn batch(lines: &[&str]) -> Batch {
    let mut builder = BatchBuilder::default();
    for line in lines {
        let mut parts = line.split(' ');
        let (key, fields, time) =
            (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let mut key = key.split(',');
        let mut point = builder.point(key.next().unwrap());
        for tag in key {
            let (name, value) = tag.split_once('=').unwrap();
            point = point.tag(name, value);
        }
        for field in fields.split(',') {
            let (name, value) = field.split_once('=').unwrap();
            point = if let Some(text) = value.strip_prefix('"') {
                point.field(name, text.trim_end_matches('"'))
            } else if let Some(int) = value.strip_suffix('i') {
                point.field(name, int.parse::<i64>().unwrap())
            } else if let Some(int) = value.strip_suffix('u') {
                point.field(name, int.parse::<u64>().unwrap())
            } else if let Ok(on) = value.parse::<bool>() {
                point.field(name, on)
            } else {
                point.field(name, value.parse::<f64>().unwrap())
            };
        }
        point.finish((T + time.parse::<i64>().unwrap()) * S).unwrap();
    }
    builder.finish().unwrap()
}

/// A point as a line, its time in seconds since `T`.
fn line(point: PointRef<'_>) -> String {
    let line = testkit::line(&point);
    let (rest, time) = line.rsplit_once(' ').unwrap();
    let nanos: i64 = time.parse().unwrap();
    format!("{rest} {}", (nanos - T * S) / S)
}

impl Stage {
    fn take(&mut self, batches: &[Batch]) -> Vec<String> {
        let lines: Vec<String> = batches.iter().flat_map(|b| b.points().map(line)).collect();
        self.made.extend(lines.iter().cloned());
        lines
    }

    fn feed_from(&mut self, now: i64, origin: u64, lines: &[&str]) -> Vec<String> {
        let mut batch = batch(lines);
        batch.set_origin(origin);
        let (got, result) = self.sql.process((T + now) * S, batch);
        result.unwrap();
        self.take(&got.batches)
    }

    fn feed(&mut self, now: i64, lines: &[&str]) -> Vec<String> {
        self.feed_from(now, 1, lines)
    }

    fn tick(&mut self, now: i64) -> Vec<String> {
        let (got, next) = self.sql.tick((T + now) * S);
        assert!(next.unwrap().is_none_or(|next| next > (T + now) * S));
        self.take(&got.batches)
    }

    fn control(&mut self, now: i64, message: Control) -> Vec<String> {
        let (got, result) = self.sql.control((T + now) * S, message);
        result.unwrap();
        self.take(&got.batches)
    }

    fn stop(&mut self, now: i64) -> Vec<String> {
        self.control(now, Control::Stop)
    }

    /// As `feed`; what became of the points is written into the list.
    fn feed_watched(&mut self, now: i64, lines: &[&str]) -> Arc<Mutex<Vec<Outcome>>> {
        let mut batch = batch(lines);
        let (delivery, told) = testkit::delivery();
        batch.set_origin(1);
        batch.set_delivery(delivery);
        let (got, result) = self.sql.process((T + now) * S, batch);
        result.unwrap();
        self.take(&got.batches);
        told
    }

    fn metric(&self, name: &str) -> u64 {
        self.sql.host.metric(name)
    }

    fn warnings(&self) -> Vec<String> {
        self.logged(Level::Warning)
    }

    fn logged(&self, wanted: Level) -> Vec<String> {
        let logs = self.sql.host.logs.lock().unwrap();
        let wanted = logs.iter().filter(|(level, _)| *level == wanted);
        wanted.map(|(_, text)| text.clone()).collect()
    }
}

#[test]
fn the_example_of_the_specification_runs() {
    let mut s = stage(
        "",
        "CREATE STREAM cpu_1m AS
         SELECT host, avg(usage_idle) AS idle, max(usage_user) AS most, count(*) AS n
         FROM cpu
         WHERE cpu = 'cpu-total'
         GROUP BY time('1m'), host
         HAVING avg(usage_idle) < 20;",
    );
    s.feed(
        50,
        &[
            "cpu,cpu=cpu-total,host=b usage_idle=10,usage_user=1 0",
            "cpu,cpu=cpu-total,host=b usage_idle=20,usage_user=3 59",
            "cpu,cpu=cpu0,host=b usage_idle=0,usage_user=99 30",
            "cpu,cpu=cpu-total,host=a usage_idle=5,usage_user=2 50",
            "cpu,cpu=cpu-total,host=idle usage_idle=95,usage_user=2 50",
            "mem,cpu=cpu-total,host=a usage_idle=5,usage_user=2 50",
        ],
    );
    assert_eq!(s.tick(60), [""; 0]);
    assert_eq!(
        s.tick(61),
        ["cpu_1m,host=a idle=5,most=2,n=1i 0", "cpu_1m,host=b idle=15,most=3,n=2i 0"]
    );
}

#[test]
fn originals_flow_on_unless_they_are_dropped() {
    let lines = ["m,host=a a=1 0", "other a=1 1", "m,host=b c=1 2", "n a=1 3", "third b=1 4"];
    for (drop, expected) in [(false, &lines[..]), (true, &[lines[1], lines[4]])] {
        let config = format!(
            "drop_original = {drop}\nquery = '''SELECT avg(a) FROM m WHERE a > 5 GROUP BY time('1s');
             SELECT sum(a) FROM n GROUP BY time('1s')'''"
        );
        let mut sql = testkit::processor::<Sql>(&config).unwrap();
        let (got, _) = sql.process(T * S, batch(&lines));
        assert_eq!(passed(&got), expected, "drop_original = {drop}");
    }
    for query in [
        "SELECT m.a AS x FROM m JOIN n ON m.host = n.host AND n.time = m.time",
        "CREATE SNAPSHOT s WITH (seconds=3600) AS SELECT * FROM STREAM:m;
         FLUSH SNAPSHOT s AS SELECT * FROM STREAM:n WHERE a > 5;",
    ] {
        let config = format!("drop_original = true\nquery = '''{query}'''");
        let mut sql = testkit::processor::<Sql>(&config).unwrap();
        sql.process(T * S, batch(&["m,host=a a=1 0", "n,host=a a=1 0"])).1.unwrap();
        let (got, _) = sql.process(T * S, batch(&lines));
        let mut got = passed(&got);
        got.retain(|line| lines.contains(&line.as_str()));
        assert_eq!(got, [lines[1], lines[4]], "{query}");
    }
}

fn passed(got: &testkit::Collected) -> Vec<String> {
    got.batches.iter().flat_map(|batch| batch.points().map(line)).collect()
}

#[test]
fn projection_and_filter() {
    let mut s = stage(
        "tags = ['host']",
        "SELECT host, a + 1 AS more, upper(t) FROM m WHERE a > 1 AND host LIKE 'w%'",
    );
    let got = s.feed(
        0,
        &[
            "m,host=web a=1i,t=\"x\" 0",
            "m,host=web a=2i,t=\"x\" 1",
            "m,host=db a=3i 2",
            "m,host=web a=4i 3",
            "n,host=web a=5i 4",
        ],
    );
    assert_eq!(got, ["m_sql,host=web more=3i,upper(t)=\"X\" 1", "m_sql,host=web more=5i 3"]);
}

#[test]
fn a_star_keeps_tags_and_fields() {
    let mut s = stage(
        "",
        "SELECT *, a * 2 AS a, b || '!' AS c FROM measurements('m*') WHERE b IS NOT NULL",
    );
    let got =
        s.feed(0, &["m1,host=x a=1i,b=\"y\" 7", "m2 a=1i 8", "m2 b=\"z\",d=true 9", "n b=\"z\" 9"]);
    assert_eq!(got, ["m1_sql,host=x b=\"y\",a=2i,c=\"y!\" 7", "m2_sql b=\"z\",d=true,c=\"z!\" 9"]);
}

#[test]
fn a_column_named_time_is_the_time_of_the_result() {
    let mut s = stage(
        "",
        "SELECT date_trunc('minute', time) AS time, a FROM m; CREATE STREAM w AS SELECT window_end() AS time, sum(a) AS a FROM m GROUP BY time('10s')",
    );
    assert_eq!(s.feed(65, &["m a=1 65"]), ["m_sql a=1 60"]);
    assert_eq!(s.stop(65), ["w a=1 70"]);
}

#[test]
fn stamps_names_and_tags() {
    let mut s = stage(
        "stamp = 'end'\nname = 'agg'\ntags = ['level']",
        "SELECT host, CASE WHEN max(a) > 5 THEN 'high' ELSE 'low' END AS level, sum(a) AS s FROM m GROUP BY time('10s'), host",
    );
    s.feed(0, &["m,host=x a=1 0", "m,host=y a=9 0"]);
    assert_eq!(s.stop(0), ["agg,host=x,level=low s=1 10", "agg,host=y,level=high s=9 10"]);
}

#[test]
fn keys_become_tags_if_they_are_text_and_fields_if_not() {
    let mut s = stage(
        "",
        "SELECT code, upper(host) AS h, count(*) AS n FROM m GROUP BY time('10s'), code, upper(host), region",
    );
    s.feed(
        0,
        &[
            "m,host=a,region=eu code=200i 0",
            "m,host=a,region=eu code=200i 1",
            "m,host=a,region=us code=500i 1",
            "m,host=a code=200i 1",
        ],
    );
    // A grouped tag that is not selected tells the rows apart all the same.
    assert_eq!(
        s.stop(1),
        [
            "m_sql,h=A,region=eu code=200i,n=2i 0",
            "m_sql,h=A code=200i,n=1i 0",
            "m_sql,h=A,region=us code=500i,n=1i 0",
        ]
    );
}

#[test]
fn a_field_and_a_tag_of_one_name_make_one_group() {
    let mut s = stage("", "SELECT host, sum(a) AS s FROM m GROUP BY time('10s'), host");
    s.feed(
        0,
        &["m,host=x a=1i 0", "m host=\"x\",a=2i 0", "m,host=y host=\"x\",a=4i 0", "m a=8i 0"],
    );
    assert_eq!(s.stop(0), ["m_sql,host=x s=7i 0", "m_sql s=8i 0"]);
    let mut s = stage(
        "",
        "SELECT tag('host') AS host, sum(a) AS s FROM m GROUP BY time('10s'), tag('host')",
    );
    s.feed(0, &["m,host=y host=\"x\",a=4i 0", "m host=\"x\",a=2i 0"]);
    assert_eq!(s.stop(0), ["m_sql,host=y s=4i 0", "m_sql s=2i 0"]);
}

#[test]
fn every_aggregate() {
    let mut s = stage(
        "",
        "SELECT count(*) AS n, count(x) AS nx, sum(x) AS s, avg(x) AS a, min(x) AS lo, max(x) AS hi, first(x) AS f, last(x) AS l, stddev(x) AS d, stddev_pop(x) AS dp, variance(x) AS v, spread(x) AS r, min(t) AS t, last(on) AS o, min(time) AS since FROM m GROUP BY time('10s')",
    );
    s.feed(4, &["m x=4i,t=\"b\" 3", "m x=2i,on=true 1", "m t=\"a\",on=false 2", "m x=9i 4"]);
    let since = (T + 1) * S;
    assert_eq!(
        s.stop(4),
        [format!(
            "m_sql n=4i,nx=3i,s=15i,a=5,lo=2i,hi=9i,f=2i,l=9i,d=3.605551275463989,dp=2.943920288775949,v=13,r=7i,t=\"a\",o=false,since={since}i 0"
        )]
    );
}

#[test]
fn null_groups_and_null_results() {
    let mut s =
        stage("", "SELECT host, avg(x) AS a, count(*) AS n FROM m GROUP BY time('10s'), host");
    s.feed(0, &["m,host=a y=1 0", "m y=1 0", "m x=3 0"]);
    assert_eq!(s.stop(0), ["m_sql,host=a n=1i 0", "m_sql a=3,n=2i 0"]);
    // A row without a field is no point.
    let mut s = stage("", "SELECT host, avg(x) AS a FROM m GROUP BY time('10s'), host");
    s.feed(0, &["m,host=a y=1 0"]);
    assert_eq!(s.stop(0), [""; 0]);
    assert_eq!(s.metric("rows_empty"), 1);
}

#[test]
fn integers_and_floats_of_one_name() {
    let mut s =
        stage("", "SELECT sum(x) AS s, max(x) AS m, avg(x) AS a FROM m GROUP BY time('10s')");
    s.feed(0, &["m x=1i 0", "m x=2.5 0", "m x=18446744073709551615u 0", "m x=\"text\" 0"]);
    assert_eq!(
        s.stop(0),
        ["m_sql s=18446744073709552000,m=18446744073709552000,a=6148914691236517000 0"]
    );
    assert_eq!(s.metric("failures_kinds"), 2);
    let mut s = stage("", "SELECT sum(x) AS s, 1 AS one, max(x) AS m FROM m GROUP BY time('10s')");
    s.feed(0, &["m x=18446744073709551615u 0", "m x=1u 0"]);
    assert_eq!(s.stop(0), ["m_sql one=1i,m=18446744073709551615u 0"]);
    assert_eq!(s.metric("failures_overflow"), 1);
}

#[test]
fn having_selects_rows() {
    let mut s = stage(
        "",
        "SELECT host, sum(a) AS s FROM m GROUP BY time('10s'), host HAVING count(*) > 1 AND host <> 'z'",
    );
    s.feed(
        0,
        &["m,host=x a=1 0", "m,host=y a=1 0", "m,host=y a=1 0", "m,host=z a=1 0", "m,host=z a=1 0"],
    );
    assert_eq!(s.stop(0), ["m_sql,host=y s=2 0"]);
}

#[test]
fn rows_come_in_the_order_of_their_keys() {
    let mut s = stage("", "SELECT host, n, count(*) AS c FROM m GROUP BY time('10s'), host, n");
    let lines: Vec<String> =
        (0..300).map(|i| format!("m,host=h{} n={}i 0", (i * 7) % 10, (i * 13) % 30 - 15)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    s.feed(0, &lines);
    let made = s.stop(0);
    let keys: Vec<(String, i64)> = made
        .iter()
        .map(|line| {
            let host = line.split(['=', ' ']).nth(1).unwrap().to_owned();
            let n = line.split("n=").nth(1).unwrap().split('i').next().unwrap().parse().unwrap();
            (host, n)
        })
        .collect();
    assert!(keys.len() == 30 && keys.is_sorted(), "{keys:?}");
}

#[test]
fn late_points_by_policy() {
    const QUERY: &str =
        "CREATE STREAM s AS SELECT sum(a) AS a FROM m WHERE a > 0 GROUP BY time('10s')";
    let mut s = stage("", QUERY);
    s.feed(9, &["m a=1 9"]);
    assert_eq!(s.tick(11), ["s a=1 0"]);
    assert_eq!(s.feed(12, &["m,x=y a=2,b=1i 8", "m a=-1 8", "m a=4 12"]), [""; 0]);
    assert_eq!((s.metric("points_late"), s.stop(12)), (1, vec!["s a=4 10".to_owned()]));

    let mut s = stage("late = 'pass'", QUERY);
    s.feed(9, &["m a=1 9"]);
    s.tick(11);
    assert_eq!(s.feed(12, &["m,x=y a=2,b=1i 8", "m a=4 12"]), ["s_late,x=y a=2,b=1i 8"]);
    assert_eq!(s.metric("points_late"), 1);

    let mut s = stage("late = 'update'\ngrace = '20s'", QUERY);
    s.feed(9, &["m a=1 9"]);
    assert_eq!(s.tick(11), ["s a=1 0"]);
    s.feed(12, &["m a=2 8", "m a=4 12"]);
    assert_eq!(s.tick(13), ["s a=3 0"], "the corrected row is sent again");
    assert_eq!(s.tick(21), ["s a=4 10"]);
    s.feed(32, &["m a=2 8", "m a=1 32"]);
    assert_eq!((s.metric("points_late"), s.stop(32)), (1, vec!["s a=1 30".to_owned()]));
}

#[test]
fn only_changed_groups_are_corrected() {
    let mut s = stage(
        "late = 'update'\ngrace = '1m'",
        "SELECT host, sum(a) AS a FROM m GROUP BY time('10s'), host",
    );
    s.feed(9, &["m,host=x a=1 9", "m,host=y a=1 9"]);
    assert_eq!(s.tick(11).len(), 2);
    s.feed(12, &["m,host=y a=1 9", "m,host=y a=1 12"]);
    assert_eq!(s.tick(13), ["m_sql,host=y a=2 0"]);
}

#[test]
fn future_points_are_refused_and_counted() {
    let mut s = stage("max_future = '5s'", "SELECT count(*) AS n FROM m GROUP BY time('10s')");
    s.feed(0, &["m a=1 0", "m a=1 5", "m a=1 6"]);
    assert_eq!((s.metric("points_future"), s.stop(0)), (1, vec!["m_sql n=2i 0".to_owned()]));
}

#[test]
fn historical_data_fills_its_windows_and_live_ones_do_not_wait() {
    let mut s = stage("", "SELECT count(*) AS n FROM m GROUP BY time('10s')");
    s.control(0, Control::Begin { origin: 2, finite: true });
    s.feed_from(5, 1, &["m a=1 5"]);
    assert_eq!(s.feed_from(5, 2, &["m a=1 -3600", "m a=1 -3595"]), [""; 0]);
    assert_eq!(s.feed_from(8, 2, &["m a=1 -3592", "m a=1 -3580"]), ["m_sql n=3i -3600"]);
    assert_eq!(s.tick(11), ["m_sql n=1i 0"]);
    assert_eq!(s.control(12, Control::End { origin: 2 }), ["m_sql n=1i -3580"]);
}

#[test]
fn a_chain_of_statements() {
    let mut s = stage(
        "",
        "CREATE STREAM hot AS SELECT host, a FROM m WHERE a > 10;
         CREATE STREAM fast AS SELECT host, max(a) AS a FROM hot GROUP BY time('10s'), host;
         CREATE STREAM slow AS SELECT count(*) AS n, sum(a) AS a FROM fast GROUP BY time('1m');",
    );
    for second in 0..60 {
        let lines = [format!("m,host=x a={second} {second}"), format!("m,host=y a=5 {second}")];
        s.feed(second, &[&lines[0], &lines[1]]);
        s.tick(second);
    }
    s.tick(60);
    assert!(!s.made.iter().any(|line| line.starts_with("slow")), "a row is still to come");
    let got = s.tick(61);
    assert_eq!(got, ["fast,host=x a=59 50", "slow n=5i,a=195 0"]);
    assert_eq!(s.made.iter().filter(|line| line.starts_with("hot")).count(), 49);
    assert_eq!(s.made.iter().filter(|line| line.starts_with("fast")).count(), 5);
}

#[test]
fn a_chain_over_historical_data() {
    let mut s = stage(
        "",
        "CREATE STREAM fast AS SELECT sum(a) AS a FROM m GROUP BY time('10s');
         CREATE STREAM slow AS SELECT count(*) AS n, sum(a) AS a FROM fast GROUP BY time('1m');",
    );
    s.tick(0);
    for second in -3600..-3400 {
        s.feed(0, &[&format!("m a=1 {second}")]);
    }
    s.stop(0);
    let slow: Vec<&String> = s.made.iter().filter(|line| line.starts_with("slow")).collect();
    assert_eq!(
        slow,
        [
            "slow n=6i,a=60 -3600",
            "slow n=6i,a=60 -3540",
            "slow n=6i,a=60 -3480",
            "slow n=2i,a=20 -3420"
        ]
    );
}

#[test]
fn groups_are_bounded() {
    const QUERY: &str = "SELECT host, count(*) AS n FROM m GROUP BY time('10s'), host";
    let mut s = stage("max_groups = 2", QUERY);
    s.feed(
        0,
        &["m,host=a a=1 0", "m,host=b a=1 0", "m,host=c a=1 0", "m,host=a a=1 0", "m,host=c a=1 1"],
    );
    assert_eq!(s.metric("points_overflow"), 2);
    assert_eq!(s.tick(11), ["m_sql,host=a n=2i 0", "m_sql,host=b n=1i 0"]);
    // The groups of closed windows make room for others.
    s.feed(12, &["m,host=c a=1 12", "m,host=d a=1 12", "m,host=e a=1 12"]);
    assert_eq!(s.tick(21), ["m_sql,host=c n=1i 10", "m_sql,host=d n=1i 10"]);
    assert_eq!(s.metric("points_overflow"), 3);

    let mut s = stage("max_groups = 2\noverflow = 'flush'", QUERY);
    let got = s.feed(0, &["m,host=a a=1 0", "m,host=b a=1 0", "m,host=c a=1 0", "m,host=a a=1 0"]);
    assert_eq!(got, ["m_sql,host=a n=1i 0", "m_sql,host=b n=1i 0"]);
    assert_eq!(s.tick(11), ["m_sql,host=a n=1i 0", "m_sql,host=c n=1i 0"]);
    assert_eq!((s.metric("points_overflow"), s.metric("windows_early")), (0, 1));
}

#[test]
fn groups_that_went_away_are_forgotten() {
    let mut s = stage("", "SELECT host, count(*) AS n FROM m GROUP BY time('10s'), host");
    for window in 0..20 {
        let lines: Vec<String> =
            (0..2000).map(|i| format!("m,host={window}-{i} a=1 {}", window * 10)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        s.feed(window * 10, &lines);
        s.tick(window * 10 + 9);
    }
    s.stop(200);
    assert_eq!(s.made.len(), 40_000);
    s.tick(300);
    assert!(s.metric("groups") <= 6000, "{}", s.metric("groups"));
    assert!(s.metric("state_bytes") < 2_000_000, "{}", s.metric("state_bytes"));
}

#[test]
fn more_windows_than_fit_lose_nothing() {
    let mut s = stage("", "SELECT count(*) AS n FROM m GROUP BY time('10s')");
    let lines: Vec<String> = (0..6000).map(|i| format!("m a=1 {}", i * 10 - 1_000_000)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    s.feed(0, &lines);
    s.stop(0);
    assert_eq!(s.made.len(), 6000);
    assert!(
        s.made.is_sorted_by_key(|line| line.rsplit(' ').next().unwrap().parse::<i64>().unwrap())
    );
    assert_eq!(s.metric("points_no_window"), 0);
}

#[test]
fn unknown_names_are_reported_once_with_the_nearest() {
    let mut s = stage(
        "",
        "SELECT avg(usage_idel) AS x, count(*) AS n FROM cpu WHERE hst = 'a' OR TRUE GROUP BY time('10s')",
    );
    for second in 0..100 {
        s.feed(second, &[&format!("cpu,host=a usage_idle=1 {second}")]);
    }
    let warnings = s.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("line 1, column 12") && warnings[0].contains("`usage_idel`"),
        "{warnings:?}"
    );
    assert!(
        warnings[0].contains("did you mean `usage_idle`?")
            && warnings[1].contains("did you mean `host`?")
    );
}

#[test]
fn a_condition_that_is_no_truth_value_is_counted() {
    let mut s = stage("", "SELECT a FROM m WHERE a");
    assert_eq!(s.feed(0, &["m a=1i 0", "m a=true 0", "m b=1i 0"]), ["m_sql a=true 0"]);
    assert_eq!(s.metric("failures_kinds"), 1);
}

#[test]
fn measurements_that_never_came_are_told_at_the_end() {
    let told = |query: &str, lines: &[&str]| {
        let mut s = stage("", query);
        if !lines.is_empty() {
            s.feed(0, lines);
        }
        s.stop(1);
        let informed = s.logged(Level::Information);
        Vec::from_iter(informed.into_iter().filter(|text| text.starts_with("no point")))
    };
    const LINES: &[&str] = &["cpu v=1i 0", "mem v=1i 0"];
    assert_eq!(
        told("SELECT v FROM cpux", LINES),
        ["no point is of the measurement `cpux`; did you mean `cpu`?"]
    );
    assert_eq!(
        told("SELECT v FROM swap", LINES),
        ["no point is of the measurement `swap`; there were those of cpu, mem"]
    );
    assert_eq!(
        told("SELECT v FROM measurements('disk*') AS d", LINES),
        ["no point is of a measurement that the patterns match; there were those of cpu, mem"]
    );
    let join = "SELECT a.v AS a, b.v AS b FROM cpu a JOIN mom b ON a.k = b.k \
                AND b.time BETWEEN a.time AND a.time + INTERVAL '1s'";
    assert_eq!(told(join, LINES), ["no point is of the measurement `mom`; did you mean `mem`?"]);
    let snapshot = "CREATE SNAPSHOT s AS SELECT * FROM STREAM:cpu LIMIT 1; \
                    FLUSH SNAPSHOT s AS SELECT * FROM STREAM:memo";
    assert_eq!(
        told(snapshot, LINES),
        ["no point is of the measurement `memo`; did you mean `mem`?"]
    );
    let chain = "CREATE STREAM few AS SELECT v FROM cpu WHERE v > 5; SELECT v FROM few";
    for (query, lines) in [
        ("SELECT v FROM cpu", LINES),
        ("SELECT v FROM cpux", &[]),
        ("SELECT v FROM *", LINES),
        (chain, LINES),
    ] {
        assert_eq!(told(query, lines), [""; 0], "{query}");
    }
}

#[test]
fn a_text_in_double_quotes_is_told_as_one() {
    let query = "SELECT host FROM cpu WHERE host = \"web\" OR hosst = 'web'";
    let mut s = stage("", query);
    s.feed(0, &["cpu,host=web v=1i 0"]);
    s.stop(1);
    let warnings = s.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let quoted = "no point so far has a field or tag `web`; what stands in double quotes is a name, texts stand in single ones";
    assert!(warnings[0].ends_with(quoted), "{warnings:?}");
    assert!(warnings[1].ends_with("did you mean `host`?"), "{warnings:?}");
}

#[test]
fn a_column_of_another_kind_is_counted_and_null() {
    let mut s = stage("", "SELECT a + 1 AS r, 1 AS one FROM m");
    assert_eq!(s.feed(0, &["m a=\"x\" 0", "m a=1 0"]), ["m_sql one=1i 0", "m_sql r=2,one=1i 0"]);
    assert_eq!(s.metric("failures_kinds"), 1);
}

#[test]
fn options_that_cannot_be_honoured_are_refused() {
    let check = |config: &str, key: &str, part: &str| {
        let error = refused(config);
        let blamed = format!("{:?}", error.kind());
        assert!(
            blamed.contains(&format!("{key:?}")) && error.message().contains(part),
            "{config}: {error:?}"
        );
    };
    const QUERY: &str = "query = 'SELECT avg(a) AS a FROM m GROUP BY time(10s)'\n";
    check("", "query", "there is no query");
    check("query = '''\nSELECT a\nFRM m'''", "query", "line 2, column 5, at `m`");
    check(&format!("{QUERY}late = 'update'"), "grace", "longer than 0s");
    check(&format!("{QUERY}grace = '5s'"), "grace", "alone");
    check(&format!("{QUERY}tags = ['b']"), "tags", "no statement selects a column `b`");
    check(&format!("{QUERY}max_groups = 0"), "max_groups", "room");
    check(&format!("{QUERY}distinct_bytes = 0"), "distinct_bytes", "set a size such as");
    check(&format!("{QUERY}late = 'now'"), "late", "drop");
    check(&format!("{QUERY}[tables.hosts]\nfile = 'x'"), "tables.hosts.format", "does not tell it");
    check(
        "late = 'update'\ngrace = '1m'\nquery = 'CREATE STREAM s AS SELECT sum(a) AS a FROM m GROUP BY time(10s); SELECT sum(a) FROM s GROUP BY time(1m)'",
        "late",
        "count twice",
    );
}

/// Numbers from a seed, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// Lines rounded to nine digits, sorted: how results are compared that may differ by rounding.
fn rounded(lines: &[String]) -> Vec<String> {
    let number = |part: &str| match part.parse::<f64>() {
        Ok(value) if part.contains('.') => format!("{value:.9e}"),
        _ => part.to_owned(),
    };
    let mut out: Vec<String> = lines
        .iter()
        .map(|line| line.split_inclusive(['=', ',', ' ']).map(number).collect::<Vec<_>>().join(""))
        .map(|line| line.split(['=', ',', ' ']).map(number).collect::<Vec<_>>().join("|"))
        .collect();
    out.sort();
    out
}

/// Any split into batches and any order within `delay` gives the same rows.
#[test]
fn results_depend_on_neither_batches_nor_order() {
    let queries = [
        "SELECT host, avg(x) AS a, sum(x) AS s, min(x) AS lo, max(x) AS hi, count(*) AS n, stddev(x) AS d FROM m GROUP BY time('10s'), host",
        "SELECT host, first(x) AS f, last(x) AS l, last(t) AS t, count(t) AS n FROM m WHERE x > -20 GROUP BY time('7s', '3s'), host",
        "SELECT t, upper(host) AS h, sum(n) AS s, spread(n) AS r, max(x + n) AS m FROM m WHERE host <> 'h1' AND (n > 3 OR x < 0) GROUP BY time('10s'), t, upper(host) HAVING count(*) > 1",
        "CREATE STREAM a AS SELECT host, sum(n) AS n FROM m GROUP BY time('5s'), host; CREATE STREAM b AS SELECT count(*) AS c, sum(n) AS n FROM a GROUP BY time('20s')",
        "SELECT host, x * 2 AS y, COALESCE(zone, n) AS z FROM m WHERE x BETWEEN -30 AND 30",
    ];
    for (number, query) in queries.iter().enumerate() {
        let mut expected: Option<Vec<String>> = None;
        for seed in 1..16_u64 {
            // The points are the same for each seed; what differs is their order and their batches.
            let mut fixed = Random(number as u64 + 77);
            let mut points: Vec<(i64, String)> = (0..600_i64)
                .map(|i| {
                    let (second, host) = (i / 5, fixed.below(4));
                    let x = fixed.below(10_000) as f64 / 100.0 - 50.0;
                    let n = fixed.below(10);
                    let mut line = format!("m,host=h{host}");
                    if fixed.below(3) == 0 {
                        line += ",zone=z1";
                    }
                    line += &match fixed.below(4) {
                        0 => format!(" x={x:?},n={n}i"),
                        1 => format!(" x={x:?},n={n}i,t=\"t{}\"", fixed.below(3)),
                        2 => format!(" n={n}i,t=\"t{}\"", fixed.below(3)),
                        _ => format!(" t=\"t{}\",x={x:?},n={n}u", fixed.below(3)),
                    };
                    (second, format!("{line} {second}"))
                })
                .collect();
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            // Points move by less than `delay`.
            points.sort_by_cached_key(|(second, _)| second * 1000 + random.below(2500) as i64);
            let mut s = stage("delay = '4s'\nlate = 'drop'", query);
            let mut rest = &points[..];
            let mut now = 0;
            while !rest.is_empty() {
                let (part, later) = rest.split_at(rest.len().min(1 + random.below(90) as usize));
                let lines: Vec<&str> = part.iter().map(|(_, line)| line.as_str()).collect();
                // The agent hears of a point within a second.
                now = part.iter().map(|(second, _)| *second).max().unwrap_or(0).max(now);
                s.feed(now, &lines);
                if random.below(2) == 0 {
                    s.tick(now);
                }
                rest = later;
            }
            s.stop(now);
            assert_eq!(s.metric("points_late"), 0, "{query}");
            let made = rounded(&s.made);
            assert!(made.len() > 10, "{query}: {made:?}");
            match &expected {
                None => expected = Some(made),
                Some(expected) => assert_eq!(&made, expected, "{query}, seed {seed}"),
            }
        }
    }
}
