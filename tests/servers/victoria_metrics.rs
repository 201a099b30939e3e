//! VictoriaMetrics 1.79 takes both protocols.

use std::collections::BTreeMap;

use headwater_http::influxdb::InfluxDb as Plugin;
use headwater_http::influxdb_v2::InfluxDbV2 as PluginV2;
use headwater_plugin_api::batch::{Batch, Value};
use headwater_tests::servers::victoria_metrics::{Sample, VictoriaMetrics};
use headwater_tests::wait;

use crate::driver::{Driver, run};

/// What VictoriaMetrics makes of points: a sample for each number, `measurement_field` its name.
fn samples(batches: &[Batch], database: Option<&str>) -> Vec<Sample> {
    let mut samples = Vec::new();
    for point in batches.iter().flat_map(Batch::points) {
        let series = point.series();
        let mut labels: BTreeMap<String, String> =
            series.tags().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if let Some(database) = database {
            labels.insert("db".into(), database.into());
        }
        for (key, value) in point.fields() {
            let value = match value {
                Value::Bool(v) => f64::from(u8::from(v)),
                other => other.as_f64().unwrap(),
            };
            let name = format!("{}_{key}", series.name());
            samples.push((name, labels.clone(), point.time() / 1_000_000, value));
        }
    }
    samples.sort_by(|a, b| (&a.0, &a.1, a.2).cmp(&(&b.0, &b.1, b.2)));
    samples
}

fn arrives(db: &VictoriaMetrics, expected: &[Sample]) {
    let mut found = Vec::new();
    wait::poll(wait::PATIENCE, || {
        found = db.samples();
        (found.len() >= expected.len()).then_some(())
    });
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn by_the_older_protocol() {
    let db = VictoriaMetrics::start();
    let batches = [run(1000, 1_600_000_000), run(500, 1_650_000_000)];
    let mut output = Driver::new::<Plugin>(&format!("urls = ['{}']\ndatabase = 'own'", db.url()));
    output.write(&batches).unwrap();
    assert!(output.log().is_empty(), "{:?}", output.log());
    arrives(&db, &samples(&batches, Some("own")));
}

#[test]
fn by_the_newer_protocol() {
    let db = VictoriaMetrics::start();
    let batches = [run(1000, 1_600_000_000), run(500, 1_650_000_000)];
    let config = format!(
        "urls = ['{}']\norganization = 'o'\nbucket = 'b'\ntoken = 'any'\nconcurrent_writes = 4",
        db.url()
    );
    Driver::new::<PluginV2>(&config).write(&batches).unwrap();
    arrives(&db, &samples(&batches, None));
}
