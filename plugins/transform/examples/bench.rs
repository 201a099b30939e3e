//! What `rename` and `regex` cost, in nanoseconds per point:
//! `cargo run --release -p headwater-transform --example bench`.
//!
//! 800 series of 4 tags in batches of 1,600 points with 5 fields, as a parser makes them: the same
//! series in each batch, known by the parser's hints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use headwater_plugin_api::abi::serve::{self, PushedBytes, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::{Batch, BatchBuilder, Limits, SeriesStore};
use headwater_plugin_api::plugin::{Error, Processor};
use headwater_plugin_api::testkit;
use headwater_transform::regex::Regex;
use headwater_transform::rename::Rename;

const SERIES: usize = 800;
const POINTS: usize = 1600;
const ROUNDS: usize = 2000;

/// Takes batches as the agent does from its own plugins: unchecked.
struct Drain(usize);

impl SinkTarget for Drain {
    fn checks(&self) -> bool {
        false
    }
    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.0 += black_box(batch).len();
        Ok(())
    }
    fn push_bytes(&mut self, _bytes: PushedBytes<'_>) -> Result<(), Error> {
        Ok(())
    }
    fn bad(&mut self, _offset: usize, _len: usize, _at: usize, _message: &str) {}
    fn lines(&mut self, _lines: u64) {}
    fn malformed(&mut self, malformed: Malformed) {
        panic!("{malformed}");
    }
}

fn batch(text: bool) -> Batch {
    let mut known = SeriesStore::new();
    for i in 0..SERIES {
        let (cpu, host) = (format!("cpu{}", i % 8), format!("server{:04}", i / 8));
        let tags = [("cpu", &*cpu), ("dc", "dc0"), ("host", &*host), ("region", "eu-west-1")];
        known.intern("cpu", &tags, &Limits::DEFAULT).unwrap();
    }
    let mut builder = BatchBuilder::default();
    let series: Vec<u32> =
        (0..SERIES as u32).map(|at| builder.append_series(&known.get(at), Some(at))).collect();
    let fields = ["usage_user", "usage_system", "usage_idle", "usage_iowait", "request"];
    for at in 0..POINTS {
        let first = builder.values().len() as u32;
        for _ in 1..fields.len() {
            builder.values().push((at as f64 / 100.0).to_bits());
        }
        let last = if text { builder.push_text("/api/search/?category=plugins&q=x") } else { 7 };
        builder.values().push(last);
        let shape = builder.shape(fields.iter().map(|key| {
            (
                *key,
                match (*key, text) {
                    ("request", true) => 5,
                    ("request", false) => 2,
                    _ => 1,
                },
            )
        }));
        builder.push_row(at as i64, series[at % SERIES], shape, first);
    }
    builder.finish().unwrap()
}

fn measure<P: Processor>(what: &str, config: &str, text: bool) {
    let mut driven = testkit::processor::<P>(config).expect(what);
    let batch = batch(text);
    let mut drain = Drain(0);
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..ROUNDS / 5 {
            let batch = batch.clone();
            serve::with_sink(&mut drain, |sink| {
                driven.instance.process(&testkit::context(0), batch, sink)
            })
            .unwrap();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / (ROUNDS / 5 * POINTS) as f64);
    }
    println!("{what:50} {best:8.2}");
}

fn main() {
    println!("{:50} {:>8}", "stage", "ns/point");
    measure::<Rename>(
        "rename without effect on these points",
        "replace = [{ tag = 'x', dest = 'y' }]",
        false,
    );
    measure::<Rename>(
        "rename measurement, tag, field",
        "replace = [{ measurement = 'cpu', dest = 'processor' }, { tag = 'host', dest = 'server' },
           { field = 'usage_user', dest = 'user' }]",
        false,
    );
    measure::<Regex>(
        "regex on a tag",
        r"tags = [{ key = 'host', pattern = '^server0*(\d+)$', replacement = '${1}' }]",
        false,
    );
    measure::<Regex>(
        "regex on field keys",
        "field_rename = [{ pattern = '^usage_(.*)$', replacement = '${1}' }]",
        false,
    );
    measure::<Regex>(
        "regex on a text field, in place",
        r"fields = [{ key = 'request', pattern = '^/api(/[\w/]+)\S*', replacement = '${1}' }]",
        true,
    );
    measure::<Regex>(
        "regex on a text field, into another",
        r"fields = [{ key = 'request', pattern = '^/api(/[\w/]+)\S*', replacement = '${1}', result_key = 'path' }]",
        true,
    );
}
