//! What a join holds, written and read in the middle of a run.

use headwater_plugin_api::batch::BatchBuilder;
use headwater_plugin_api::testkit;
use headwater_plugin_api::window::codec::Reader;

use super::*;
use crate::bind::{Options, bind};
use crate::parse;

const S: i64 = 1_000_000_000;

fn settings() -> Settings {
    Settings {
        delay: 2 * S,
        idle: 5 * S,
        hold: 600 * S,
        max_future: 60 * S,
        grace: 0,
        late: Late::Drop,
        stamp_end: false,
        max_groups: 100,
        max_windows: 1024,
        flush: false,
        max_rows: 1000,
    }
}

fn state(query: &str) -> JoinState {
    let statements = parse::parse(query).unwrap();
    let options = Options { max_age: 300 * S, ..Options::default() };
    let plan = bind(&statements[0], &options).unwrap().join.unwrap();
    let crate::plan::Action::Join(join) = &plan.action else { panic!("no join") };
    JoinState::new(join, &plan.name, &settings(), 1 << 63)
}

const QUERIES: [&str; 3] = [
    "SELECT a.v, a.t, b.w, b.time AS s FROM a LEFT JOIN b ON a.k = b.k AND b.time BETWEEN a.time - INTERVAL '3s' AND a.time + INTERVAL '4s'",
    "SELECT a.v, b.k AS k, b.t FROM a ASOF LEFT JOIN b MATCH_CONDITION (a.time >= b.time) ON a.k = b.k",
    "SELECT a.v, b.u, b.o FROM a JOIN b ON b.time BETWEEN a.time AND a.time + INTERVAL '2s'",
];

fn batch(second: i64, random: &mut u64) -> Batch {
    let mut below = |n: u64| {
        *random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) % n
    };
    let mut builder = BatchBuilder::default();
    for _ in 0..1 + below(12) {
        let is_a = below(2) == 0;
        let (key, text) = (format!("k{}", below(3)), format!("é{}", below(1000)));
        let mut point = builder.point(if is_a { "a" } else { "b" });
        if below(8) > 0 {
            point = point.tag("k", &key);
        }
        if below(3) > 0 {
            point = point.field("t", text.as_str());
        }
        point = match below(4) {
            0 => point.field("u", below(9)).field("o", below(2) == 0),
            _ => point.field("w", below(1000) as f64 / 8.0),
        };
        let time = second * S - below(1900) as i64 * 1_000_000;
        point.field("v", below(1000) as i64).finish(time).unwrap();
    }
    let mut batch = builder.finish().unwrap();
    batch.set_origin(1);
    batch
}

fn lines(batches: &[Batch]) -> Vec<String> {
    testkit::lines(batches)
}

/// Rows of one time and key stay in one order, whatever happened before.
#[test]
fn a_run_goes_on_where_it_was_written() {
    for (number, query) in QUERIES.into_iter().enumerate() {
        for seed in 0..40 {
            let (mut whole, mut parts) = (state(query), state(query));
            let (mut expected, mut made) = (Vec::new(), Vec::new());
            let mut random = seed * 3 + number as u64;
            for second in 0..30 {
                let batch = batch(1000 + second, &mut random);
                let now = (1000 + second) * S;
                for (join, out) in [(&mut whole, &mut expected), (&mut parts, &mut made)] {
                    join.apply(now, &batch, None, out);
                    join.close(now, Closing::Due, out);
                }
                if random >> 40 & 3 == 0 {
                    let mut bytes = Vec::new();
                    parts.write(&mut bytes);
                    let mut fresh = state(query);
                    let mut from = Reader::new(&bytes);
                    fresh.read(&mut from).unwrap();
                    from.end().unwrap();
                    let mut again = Vec::new();
                    fresh.write(&mut again);
                    assert_eq!(again, bytes, "{query}");
                    // What is known of the sources is not the join's.
                    fresh.sources = parts.sources.clone();
                    parts = fresh;
                }
            }
            for (join, out) in [(&mut whole, &mut expected), (&mut parts, &mut made)] {
                join.close(1040 * S, Closing::All, out);
                assert_eq!(join.held_count(), 0);
                assert_eq!(join.held.weight, 0);
            }
            assert_eq!(lines(&made), lines(&expected), "{query}, seed {seed}");
            assert!(lines(&made).len() > 20);
        }
    }
}

#[test]
fn what_is_no_state_is_refused() {
    let mut random = 7;
    let mut join = state(QUERIES[0]);
    for second in 0..5 {
        join.apply((1000 + second) * S, &batch(1000 + second, &mut random), None, &mut Vec::new());
    }
    let mut bytes = Vec::new();
    join.write(&mut bytes);
    for length in 0..bytes.len() {
        assert!(state(QUERIES[0]).read(&mut Reader::new(&bytes[..length])).is_err(), "{length}");
    }
    // Nothing panics, and what is taken is what is written again.
    for at in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[at] ^= change;
            let mut fresh = state(QUERIES[0]);
            let mut from = Reader::new(&other);
            if fresh.read(&mut from).is_ok() && from.left() == 0 {
                fresh.close(2000 * S, Closing::All, &mut Vec::new());
                assert_eq!(fresh.held_count(), 0);
            }
        }
    }
}

#[test]
fn spans_merge_within_the_gap_and_are_few() {
    let mut spans = keys::Spans::default();
    for time in [10, 12, 15, 40, 41, 100] {
        spans.insert(time, 5);
    }
    assert_eq!(spans.0, [(10, 15), (40, 41), (100, 100)]);
    spans.insert(20, 5);
    spans.insert(36, 5);
    assert_eq!(spans.0, [(10, 20), (36, 41), (100, 100)]);
    assert!(spans.touch(0, 10) && spans.touch(41, 90) && !spans.touch(21, 35));
    assert!(!spans.touch(101, i64::MAX));
    [200, 300].into_iter().for_each(|time| spans.insert(time, 5));
    assert_eq!(spans.0, [(10, 41), (100, 100), (200, 200), (300, 300)]);
}

#[test]
fn a_queue_gives_the_earliest_whatever_the_order() {
    let mut queue = Queue::default();
    let times = [5, 9, 3, 9, 7, 12, 1, 1, 30, 2];
    for (row, time) in times.into_iter().enumerate() {
        queue.push(Entry { time, came: 0, row: row as u32, group: 0 });
    }
    let mut out = Vec::new();
    while let Some(first) = queue.first().copied() {
        assert_eq!(queue.pop(), Some(first));
        out.push(first.time);
    }
    assert_eq!(out, [1, 1, 2, 3, 5, 7, 9, 9, 12, 30]);
}
