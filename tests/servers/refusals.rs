//! What InfluxDB refuses for good: those points are named, all others are written.

use headwater_http::influxdb::InfluxDb as Plugin;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::ErrorKind;
use headwater_tests::points::Point;
use headwater_tests::servers::influxdb::{InfluxDb, Options};

use crate::driver::{Driver, batch, contents, refused_rows, run, same};

/// All points but those that were refused.
fn rest(batches: &[Batch], refused: &[(u32, u32)]) -> Vec<Point> {
    let mut points = Vec::new();
    for (at, batch) in batches.iter().enumerate() {
        let all = contents(std::slice::from_ref(batch));
        for (point, (row, _)) in all.into_iter().zip(batch.rows()) {
            if !refused.contains(&(at as u32, row as u32)) {
                points.push(point);
            }
        }
    }
    points
}

#[test]
fn fields_of_another_type() {
    let db = InfluxDb::start(Options::default());
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']", db.url()));
    let before = batch(|builder| {
        builder.point("m").field("v", 1.5).field("w", 1_i64).finish(0).unwrap();
    });
    output.write(std::slice::from_ref(&before)).unwrap();
    let points = batch(|builder| {
        for i in 1..1000 {
            let point = builder.point("m").tag("i", &(i % 7).to_string());
            match i {
                100 | 500..600 => point.field("v", "text").field("x", i),
                700 => point.field("w", true),
                _ => point.field("v", 2.5),
            }
            .finish(i)
            .unwrap();
        }
    });
    let batches = [run(200, 0), points];
    let (rows, message) = refused_rows(output.write(&batches));
    let expected: Vec<(u32, u32)> = std::iter::once(99)
        .chain(499..599)
        .chain(std::iter::once(699))
        .map(|row| (1, row))
        .collect();
    assert_eq!(rows, expected);
    assert!(message.contains("field type conflict"), "{message}");
    let mut written = rest(&batches, &rows);
    written.extend(contents(&[before]));
    same(&written, &db.points("telegraf", ""));
}

#[test]
fn a_key_that_is_too_long() {
    let db = InfluxDb::start(Options::default());
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']", db.url()));
    let half = "x".repeat(40_000);
    let points = batch(|builder| {
        for i in 0..300 {
            let point = builder.point("m").tag("host", "a");
            let point = if i == 123 { point.tag("b", &half).tag("c", &half) } else { point };
            point.field("v", i).field("t", "with 'quotes': and \"more\"").finish(i).unwrap();
        }
    });
    let batches = [points];
    let (rows, message) = refused_rows(output.write(&batches));
    assert_eq!(rows, [(0, 123)]);
    assert!(message.contains("max key length"), "{message}");
    assert!(message.len() < 1000);
    same(&rest(&batches, &rows), &db.points("telegraf", ""));
}

#[test]
fn points_that_are_too_old() {
    let db = InfluxDb::start(Options::default());
    db.query(
        "",
        "CREATE DATABASE \"short\" WITH DURATION 1d REPLICATION 1 SHARD DURATION 1h NAME \"day\"",
    );
    let config =
        format!("urls = ['{}']\ndatabase = 'short'\nskip_database_creation = true", db.url());
    let mut output = Driver::new::<Plugin>(&config);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_nanos()).unwrap();
    let points = batch(|builder| {
        for i in 0..400 {
            let age = if (60..90).contains(&i) || i == 301 { 86_400_000_000_000 * 30 } else { 0 };
            builder.point("m").field("v", i).finish(now - age + i).unwrap();
        }
    });
    let batches = [points];
    let (rows, message) = refused_rows(output.write(&batches));
    let expected: Vec<(u32, u32)> =
        (60..90).chain(std::iter::once(301)).map(|row| (0, row)).collect();
    assert_eq!(rows, expected);
    assert!(message.contains("retention policy"), "{message}");
    same(&rest(&batches, &rows), &db.points("short", ""));
}

#[test]
fn all_points_refused() {
    let db = InfluxDb::start(Options::default());
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']", db.url()));
    output.write(&[run(10, 0)]).unwrap();
    let other = batch(|builder| {
        for i in 0..10 {
            builder.point("run").field("v", "text").finish(i).unwrap();
        }
    });
    let error = output.write(&[other]).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Refused);
    assert_eq!(db.points("telegraf", "").len(), 10);
}

/// Text that packs badly.
fn noise(len: usize, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(len + 16);
    while text.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:016x}"));
    }
    text.truncate(len);
    text
}

#[test]
fn requests_that_are_too_large_are_cut_down_to_one_point() {
    // The server measures what is sent, packed or not.
    for encoding in ["gzip", "identity"] {
        let db = InfluxDb::start(Options { max_body_size: Some(10_000), ..Options::default() });
        let config = format!("urls = ['{}']\ncontent_encoding = '{encoding}'", db.url());
        let mut output = Driver::new::<Plugin>(&config);
        let points = batch(|builder| {
            for i in 0..1000 {
                let len = if i == 777 { 50_000 } else { 100 };
                let text = noise(len, i);
                let point = builder.point("m").tag("i", &(i % 5).to_string());
                point.field("t", text.as_str()).finish(i as i64).unwrap();
            }
        });
        let batches = [run(100, 5), points];
        let (rows, message) = refused_rows(output.write(&batches));
        assert_eq!(rows, [(1, 777)], "{encoding}");
        assert!(message.starts_with("413"), "{message}");
        same(&rest(&batches, &rows), &db.points("telegraf", ""));
    }
}

#[test]
fn an_answer_that_comes_before_the_request_is_sent_is_read() {
    let db = InfluxDb::start(Options { max_body_size: Some(1_000_000), ..Options::default() });
    let config = format!("urls = ['{}']\ncontent_encoding = 'identity'", db.url());
    let mut output = Driver::new::<Plugin>(&config);
    let text = noise(400_000, 1);
    let points = batch(|builder| {
        for i in 0..30 {
            builder.point("m").field("t", text.as_str()).finish(i).unwrap();
        }
    });
    let batches = [points];
    output.write(&batches).unwrap();
    same(&contents(&batches), &db.points("telegraf", ""));
}

#[test]
fn a_destination_that_a_tag_names_wrongly_costs_its_points_alone() {
    let db = InfluxDb::start(Options::default());
    let config = format!(
        "urls = ['{}']\ndatabase_tag = 'db'\nretention_policy_tag = 'rp'\nskip_database_creation = true",
        db.url()
    );
    db.query("", "CREATE DATABASE \"telegraf\"");
    let mut output = Driver::new::<Plugin>(&config);
    let points = batch(|builder| {
        for i in 0..30 {
            let point = builder.point("m").field("v", i);
            match i % 10 {
                3 => point.tag("db", "absent"),
                7 => point.tag("rp", "absent"),
                _ => point,
            }
            .finish(i)
            .unwrap();
        }
    });
    let batches = [points];
    let (rows, message) = refused_rows(output.write(&batches));
    assert_eq!(rows, [3, 7, 13, 17, 23, 27].map(|row| (0, row)));
    assert!(message.contains("not found"), "{message}");
    same(&rest(&batches, &rows), &db.points("telegraf", ""));
}
