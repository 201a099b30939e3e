//! The whole way: lines into the agent's listener, points out of real databases.

use std::io::Write as _;
use std::net::TcpStream;

use headwater_tests::agent::Setup;
use headwater_tests::load::Load;
use headwater_tests::points;
use headwater_tests::servers::influxdb::{InfluxDb, Options};
use headwater_tests::servers::victoria_metrics::VictoriaMetrics;
use headwater_tests::wait;

use crate::driver::same;

const POINTS: u64 = 20_000;

#[test]
fn what_is_sent_to_the_agent_is_in_the_databases() {
    // Building it takes its time: the servers need not wait for that.
    headwater_tests::paths::agent();
    let influx = InfluxDb::start(Options::default());
    let victoria = VictoriaMetrics::start();
    let text = Load { points: POINTS, ..Load::default() }.text();
    let expected = points::parse(std::str::from_utf8(text.as_ref()).unwrap());
    let config = format!(
        "[agent]\nomit_hostname = true\nflush_interval = \"100ms\"\n\
         [[inputs.socket_listener]]\nservice_address = \"tcp://127.0.0.1:0\"\n\
         [[processors.rename]]\nreplace = [{{ tag = \"dc\", dest = \"datacenter\" }}]\n\
         [[outputs.influxdb]]\nurls = [\"{}\"]\n\
         [[outputs.influxdb_v2]]\nurls = [\"{}\"]\nbucket = \"b\"\n",
        influx.url(),
        victoria.url()
    );
    let mut agent = Setup::new(&config).start();
    TcpStream::connect(agent.tcp()).unwrap().write_all(text.as_ref()).unwrap();
    let count = || {
        let result = influx.query("telegraf", "SELECT COUNT(ctx) FROM cpu");
        result["series"][0]["values"][0][1].as_u64().unwrap_or(0)
    };
    agent.until("all points in InfluxDB", |_| (count() >= POINTS).then_some(()));
    agent.stop();
    let mut renamed = expected;
    for point in &mut renamed {
        let value = point.tags.remove("dc").expect("each point has a dc");
        point.tags.insert("datacenter".into(), value);
    }
    same_sorted(&mut renamed, influx.points("telegraf", ""));

    let mut samples: Vec<(String, i64, f64)> = Vec::new();
    for point in &renamed {
        for key in point.fields.keys() {
            let tags: Vec<String> = point.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let name = format!("{}_{key},{}", point.name, tags.join(","));
            samples.push((name, point.time.unwrap() / 1_000_000, point.number(key)));
        }
    }
    samples.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut found = Vec::new();
    wait::poll(wait::PATIENCE, || {
        found = victoria.samples();
        (found.len() >= samples.len()).then_some(())
    });
    let mut found: Vec<(String, i64, f64)> = found
        .into_iter()
        .map(|(name, labels, time, value)| {
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            (format!("{name},{}", labels.join(",")), time, value)
        })
        .collect();
    found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    assert_eq!(found.len(), samples.len());
    for (found, expected) in found.iter().zip(&samples) {
        assert_eq!(found, expected);
    }
}

/// Compares in one order, since so many points are too many to look for each among all.
fn same_sorted(expected: &mut [points::Point], mut found: Vec<points::Point>) {
    assert_eq!(expected.len(), found.len());
    let order = |a: &points::Point, b: &points::Point| {
        (a.time, &a.name, &a.tags).cmp(&(b.time, &b.name, &b.tags))
    };
    expected.sort_by(order);
    found.sort_by(order);
    for (expected, found) in expected.iter().zip(&found) {
        same(std::slice::from_ref(expected), std::slice::from_ref(found));
    }
}
