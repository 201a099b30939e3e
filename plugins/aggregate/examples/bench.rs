//! What the aggregators cost, in nanoseconds per point:
//! `cargo run --release -p headwater-aggregate --example bench [points]`.
//!
//! 800 series of 4 tags and 5 fields in batches of 1,600 points, a millisecond apart, as a parser
//! that knows its series makes them. What is emitted at the end of windows is included.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use headwater_aggregate::basicstats::BasicStats;
use headwater_aggregate::minmax::MinMax;
use headwater_plugin_api::batch::layout::kind;
use headwater_plugin_api::batch::{Batch, BatchBuilder, Limits, SeriesStore};
use headwater_plugin_api::plugin::Aggregator;
use headwater_plugin_api::testkit;

const MS: i64 = 1_000_000;
const START: i64 = 1_700_000_000_000 * MS;
const ROWS: usize = 1600;

struct Load {
    store: SeriesStore,
    builder: BatchBuilder,
    /// The shapes that alternate from row to row.
    shapes: Vec<Vec<(&'static str, u8)>>,
    at: usize,
}

impl Load {
    fn new(series: usize, shapes: Vec<Vec<(&'static str, u8)>>) -> Self {
        let mut store = SeriesStore::new();
        for number in 0..series {
            let (cpu, host) = (format!("cpu{}", number % 8), format!("server{:07}", number / 8));
            let tags = [("cpu", &*cpu), ("dc", "dc0"), ("host", &*host), ("region", "eu-west-1")];
            store.intern("cpu", &tags, &Limits::DEFAULT).unwrap();
        }
        Load { store, builder: BatchBuilder::default(), shapes, at: 0 }
    }

    fn batch(&mut self) -> Batch {
        let builder = &mut self.builder;
        builder.reserve_as_before();
        let shapes: Vec<u32> =
            self.shapes.iter().map(|fields| builder.shape(fields.iter().copied())).collect();
        let count = self.store.len();
        let mut known = vec![u32::MAX; count];
        for _ in 0..ROWS {
            let number = self.at % count;
            if known[number] == u32::MAX {
                let series = self.store.get(number as u32);
                known[number] = builder.append_series(&series, Some(number as u32));
            }
            let first = builder.values().len() as u32;
            // By rounds of all series, so that a series alternates too.
            let shape = (self.at / count + self.at) % shapes.len();
            for (field, (_, kind)) in self.shapes[shape].iter().enumerate() {
                let value = (self.at * 7919 + field * 31) % 10_000;
                let float = value as f64 / 100.0;
                builder.values().push(if *kind == kind::F64 { float.to_bits() } else { value as u64 });
            }
            builder.push_row(START + self.at as i64 * MS, known[number], shapes[shape], first);
            self.at += 1;
        }
        let mut batch = builder.finish().unwrap();
        batch.set_origin(1);
        batch
    }
}

fn run<A: Aggregator>(what: &str, config: &str, mut load: Load, points: usize) {
    let mut driven = testkit::aggregator::<A>(config).unwrap();
    let (mut spent, mut rows) = (0, 0);
    while load.at < points {
        let mut now = START + load.at as i64 * MS;
        let made: Vec<Batch> = (0..64).map(|_| load.batch()).collect();
        let begin = Instant::now();
        for batch in made {
            now += ROWS as i64 * MS;
            driven.apply(now, &batch).unwrap();
            drop(batch);
        }
        rows += driven.tick(now).0.batches.iter().map(Batch::len).sum::<usize>();
        spent += begin.elapsed().as_nanos();
    }
    let (fields, bytes) = (driven.host.metric("fields"), driven.host.metric("state_bytes"));
    println!(
        "{what:34} {:6.1} ns/point {rows:8} rows {fields:8} fields {:4} bytes/field",
        spent as f64 / load.at as f64,
        bytes.checked_div(fields).unwrap_or(0),
    );
}

fn main() {
    let points = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(4_000_000);
    let floats = ["usage_user", "usage_system", "usage_idle", "usage_iowait"];
    let five = || {
        let mut fields: Vec<_> = floats.into_iter().map(|name| (name, kind::F64)).collect();
        fields.push(("ctx", kind::I64));
        fields
    };
    let one = || vec![(floats[0], kind::F64)];
    let cpu = |series| Load::new(series, vec![five()]);
    let all = "stats = ['count', 'min', 'max', 'mean', 's2', 'stdev', 'sum', 'first', 'last', 'diff',
        'rate', 'non_negative_diff', 'non_negative_rate', 'percent_change', 'interval']";
    let four = "stats = ['count', 'min', 'max', 'mean']";
    run::<MinMax>("minmax, 5 fields", "", cpu(800), points);
    run::<BasicStats>("4 statistics, 1 field", four, Load::new(800, vec![one()]), points);
    run::<BasicStats>("4 statistics, 5 fields", four, cpu(800), points);
    run::<BasicStats>("the default 6, 5 fields", "", cpu(800), points);
    run::<BasicStats>("all 15, 5 fields", all, cpu(800), points);
    run::<BasicStats>("the default 6, 2 shapes in turn", "", Load::new(800, vec![five(), one()]), points);
    run::<BasicStats>("the default 6, windows of 1 s", "period = '1s'", cpu(800), points);
    run::<BasicStats>("the default 6, 100,000 series", "period = '1h'", cpu(100_000), points);
}
