//! InfluxDB 1.6: what arrives, and where.

use headwater_http::influxdb::InfluxDb as Plugin;
use headwater_plugin_api::batch::Batch;
use headwater_tests::points::Value;
use headwater_tests::servers::influxdb::{InfluxDb, Options};
use headwater_tests::wait;

use crate::driver::{Driver, batch, contents, run, same};

const DAY: i64 = 86_400_000_000_000;

/// One point of each difficulty.
fn difficult() -> Batch {
    batch(|builder| {
        let mut time = 1_700_000_000_000_000_001;
        let mut next = || {
            time += 7;
            time
        };
        for value in [0.0, -0.0, 1.5, -2.25, 1e300, 5e-324, f64::MAX, 0.1, 123_456_789.123_456_7] {
            builder.point("float").field("v", value).finish(next()).unwrap();
        }
        for value in [0, 1, -1, i64::MAX, i64::MIN] {
            builder.point("integer").field("v", value).finish(next()).unwrap();
        }
        for value in [true, false] {
            builder.point("boolean").field("v", value).finish(next()).unwrap();
        }
        for value in [
            "",
            "plain",
            "two words",
            "comma,equals=x",
            "quote\"quote",
            "back\\slash",
            "end\\",
            "\\\"",
            "line\nbreak",
            "tab\there",
            "ünïcödé \u{1f600}",
            "'single'",
            "# no comment",
        ] {
            builder.point("text").field("v", value).finish(next()).unwrap();
        }
        for name in ["two words", "comma,name", "equals=name", "ünï", "quote\"d", "a\\b", "select"]
        {
            let point = builder.point(name).tag("tag key", "tag value").tag("k,e=y", "v,a=l ue");
            let point = point.tag("ü", "ö").tag("quote\"", "\"q\"").tag("back", "a\\b");
            let point = point.field("field key", 1_i64).field("f,i=e", 2.5).field("q\"f", "x");
            point.finish(next()).unwrap();
        }
        // Times before 1970, and far away, but within InfluxDB's range.
        for time in [-1, -DAY * 365 * 100, DAY * 365 * 200] {
            builder.point("time").field("v", time).finish(time).unwrap();
        }
    })
}

#[test]
fn every_kind_of_point_comes_back_as_it_was() {
    let db = InfluxDb::start(Options::default());
    for encoding in ["gzip", "identity"] {
        let config = format!(
            "urls = ['{}']\ndatabase = '{encoding}'\ncontent_encoding = '{encoding}'",
            db.url()
        );
        let mut output = Driver::new::<Plugin>(&config);
        let batches = [difficult(), run(1000, 1_600_000_000)];
        output.write(&batches).unwrap();
        same(&contents(&batches), &db.points(encoding, ""));
        assert!(output.log().is_empty(), "{:?}", output.log());
        // The same points again are the same points.
        output.write(&batches).unwrap();
        assert_eq!(db.points(encoding, "").len(), batches.iter().map(Batch::len).sum::<usize>());
    }
}

#[test]
fn unsigned_integers_are_signed_and_capped() {
    let db = InfluxDb::start(Options::default());
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']", db.url()));
    let points = batch(|builder| {
        for (time, value) in [(1, 7_u64), (2, u64::MAX), (3, i64::MAX as u64)] {
            builder.point("m").field("v", value).finish(time).unwrap();
        }
    });
    output.write(&[points]).unwrap();
    let found: Vec<_> = db.points("telegraf", "").iter().map(|p| p.fields["v"].clone()).collect();
    assert_eq!(found, [Value::I64(7), Value::I64(i64::MAX), Value::I64(i64::MAX)]);
}

#[test]
fn without_timestamps_the_server_sets_them() {
    let db = InfluxDb::start(Options::default());
    let config = format!("urls = ['{}']\ninflux_omit_timestamp = true", db.url());
    Driver::new::<Plugin>(&config).write(&[run(1, 1_600_000_000)]).unwrap();
    let points = db.points("telegraf", "");
    assert_eq!(points.len(), 1);
    assert!(points[0].time.unwrap() > 1_700_000_000_000_000_000);
}

#[test]
fn rows_that_are_not_alive_are_not_written() {
    let db = InfluxDb::start(Options::default());
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']", db.url()));
    let mut some = run(100, 0);
    some.retain(|_, row| row.time % 3_000_000_000 == 0);
    let mut none = run(100, 1000);
    none.retain(|_, _| false);
    let batches = [none, some];
    output.write(&batches).unwrap();
    assert_eq!(batches[1].len(), 34);
    same(&contents(&batches), &db.points("telegraf", ""));
}

#[test]
fn tags_name_database_and_retention_policy() {
    let db = InfluxDb::start(Options::default());
    for query in [
        "CREATE DATABASE \"one\"",
        "CREATE RETENTION POLICY \"long\" ON \"one\" DURATION INF REPLICATION 1",
    ] {
        db.query("", query);
    }
    let points = batch(|builder| {
        for (time, tags) in [
            (1, vec![("db", "one"), ("host", "a")]),
            (2, vec![("db", "one"), ("rp", "long")]),
            (3, vec![("db", "two \"quoted\" \\"), ("host", "a")]),
            (4, vec![("host", "b")]),
        ] {
            builder.point("m").tags(tags).field("v", 1.5).finish(time).unwrap();
        }
    });
    let config = format!(
        "urls = ['{}']\ndatabase = 'default'\ndatabase_tag = 'db'\nexclude_database_tag = true\n\
         retention_policy_tag = 'rp'\n",
        db.url()
    );
    let mut output = Driver::new::<Plugin>(&config);
    let batches = [points];
    output.write(&batches).unwrap();
    let expected = contents(&batches);
    let without = |at: usize| vec![expected[at].clone().without_tag("db")];
    same(&without(0), &db.points("one", ""));
    same(&without(1), &db.points("one", "long"));
    same(&without(2), &db.points("two \"quoted\" ", ""));
    same(&without(3), &db.points("default", ""));
}

#[test]
fn over_a_unix_socket() {
    let db = InfluxDb::start(Options::default());
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']", db.unix_url()));
    let batches = [run(500, 0)];
    output.write(&batches).unwrap();
    same(&contents(&batches), &db.points("telegraf", ""));
}

#[test]
fn over_udp() {
    let options = Options { udp_database: Some("udp".into()), ..Options::default() };
    let db = InfluxDb::start(options);
    let config = format!("urls = ['udp://127.0.0.1:{}']\nudp_payload = '512B'", db.udp_port);
    let mut output = Driver::new::<Plugin>(&config);
    let (long, half) = ("x".repeat(600), "y".repeat(300));
    let points = batch(|builder| {
        for i in 0..50 {
            let text = if i == 20 { long.as_str() } else { "with a \n line break" };
            let point = builder.point("m").tag("i", &i.to_string()).field("t", text);
            // Point 30 needs two datagrams.
            let point =
                if i == 30 { point.field("u", &half[..]).field("w", &half[..]) } else { point };
            point.finish(i).unwrap();
        }
    });
    let error = output.write(std::slice::from_ref(&points)).unwrap_err();
    let (rows, message) = crate::driver::refused_rows(Err(error));
    assert_eq!(rows, [(0, 20)]);
    assert!(message.contains("udp_payload"), "{message}");
    let mut expected = contents(&[points]);
    expected.remove(20);
    wait::holds("49 points over UDP", || db.points("udp", "").len() >= 49);
    same(&expected, &db.points("udp", ""));
}

#[test]
fn the_next_server_is_asked_when_one_does_not_answer() {
    let db = InfluxDb::start(Options::default());
    let dead = headwater_tests::servers::tcp_port();
    let config = format!("urls = ['http://127.0.0.1:{dead}', '{}']", db.url());
    let mut output = Driver::new::<Plugin>(&config);
    for first in 0..4 {
        output.write(&[run(10, first * 10)]).unwrap();
    }
    assert_eq!(db.points("telegraf", "").len(), 40);
    let log = output.log();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains(&format!("127.0.0.1:{dead}")) && log[0].contains("refused"), "{log:?}");
}
