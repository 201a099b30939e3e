//! What sketches promise, through statements: quantiles within 1 %, distinct counts within 2 %, and merged
//! states that are the state of the whole.

use super::*;
use headwater_plugin_api::batch::Value;

/// How far a quantile may be off, of its value.
const QUANTILE: f64 = 0.01;
/// How far a count of distinct values may be off.
const DISTINCT: f64 = 0.02;

fn share(random: &mut Random) -> f64 {
    (random.below(1 << 40) as f64 + 0.5) / (1_u64 << 40) as f64
}

/// Numbers of several distributions.
fn draw(kind: &str, random: &mut Random) -> f64 {
    let u = share(random);
    match kind {
        "even" => u * 100.0,
        "exponential" => -u.ln() * 1e-3,
        "pareto" => u.powf(-1.5),
        "wide" => 10_f64.powf(u * 16.0 - 8.0),
        "negative" => -10_f64.powf(u * 6.0),
        "latencies" if u < 0.99 => 0.001 + share(random) * 0.01,
        "latencies" => 5.0 + share(random) * 60.0,
        _ => (u * 1000.0).floor() + 1.0,
    }
}

/// Points `x` of a series, all in one second.
fn points(numbers: &[f64]) -> Vec<Batch> {
    let mut builder = BatchBuilder::default();
    let mut batches = Vec::new();
    for part in numbers.chunks(10_000) {
        for x in part {
            builder.point("m").field("x", *x).finish(T * S).unwrap();
        }
        batches.push(builder.finish().unwrap());
    }
    batches
}

fn float(batches: &[Batch], name: &str) -> f64 {
    let point = batches.iter().flat_map(|batch| batch.points()).last().unwrap();
    match point.field(name) {
        Some(Value::F64(value)) => value,
        Some(Value::I64(value)) => value as f64,
        other => panic!("{name} is {other:?}"),
    }
}

/// `quantile(x, p)` is within 1 % of the quantile of all values, for any form of window.
#[test]
fn quantiles_are_within_one_percent() {
    const SHARES: [f64; 8] = [0.0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0];
    let columns: Vec<String> = SHARES.iter().map(|p| format!("quantile(x, {p}) AS q{p}")).collect();
    let columns = columns.join(", ").replace("q0.", "q");
    for kind in ["even", "exponential", "pareto", "wide", "negative", "latencies", "counts"] {
        for (form, count) in [
            ("time('10s')", 20_000),
            ("hop('5s', '10s')", 3_000),
            ("session('10s')", 3_000),
            ("rows(3000)", 3_000),
            ("time('10s')", 65),
        ] {
            let mut random = Random(count as u64 + 9);
            let mut numbers: Vec<f64> = (0..count).map(|_| draw(kind, &mut random)).collect();
            let mut s = stage("", &format!("SELECT {columns} FROM m GROUP BY {form}"));
            let mut made = Vec::new();
            for batch in points(&numbers) {
                made.extend(s.sql.process(T * S, batch).0.batches);
            }
            made.extend(s.sql.control(T * S, Control::Stop).0.batches);
            numbers.sort_unstable_by(f64::total_cmp);
            for p in SHARES {
                let rank = p * (numbers.len() - 1) as f64;
                let (low, high) = (numbers[rank.floor() as usize], numbers[rank.ceil() as usize]);
                let truth = low + (high - low) * rank.fract();
                let got = float(&made, &format!("q{p}").replace("q0.", "q"));
                let error = ((got - truth) / truth).abs();
                // Between two values far apart any value lies within 1 % of one that encloses it.
                let encloses =
                    got >= low - low.abs() * QUANTILE && got <= high + high.abs() * QUANTILE;
                let far = high - low > truth.abs() * QUANTILE;
                assert!(
                    error <= QUANTILE || far && encloses,
                    "{kind} {form} {p}: {got}, not {truth}"
                );
            }
        }
    }
}

/// `approx_distinct` is within 2 % of the exact count, whatever is counted.
#[test]
fn distinct_counts_are_within_two_percent() {
    for count in [10_u64, 1_000, 20_000, 150_000] {
        let query =
            "SELECT approx_distinct(i) AS i, approx_distinct(t) AS t, approx_distinct(f) AS f,
                     approx_distinct(i % 1000) AS few, count(*) AS n FROM m GROUP BY time('10s')";
        let mut s = stage("", query);
        let mut builder = BatchBuilder::default();
        for first in (0..count).step_by(10_000) {
            for n in first..count.min(first + 10_000) {
                let text = format!("user-{n}@example.org");
                let point = builder.point("m").field("i", n * 7).field("t", text.as_str());
                point.field("f", n as f64 * 0.37).finish(T * S).unwrap();
            }
            s.sql.process(T * S, builder.finish().unwrap()).1.unwrap();
        }
        let made = s.sql.control(T * S, Control::Stop).0.batches;
        for (name, truth) in [("i", count), ("t", count), ("f", count), ("few", count.min(1000))] {
            let got = float(&made, name);
            let error = (got - truth as f64).abs() / truth as f64;
            assert!(error <= DISTINCT, "{name} of {count}: {got}, not {truth}");
        }
    }
}

/// A thousand agents compute states, each of its own points; what one more merges of them is what a
/// single one computes of all points: the sketches to the digit, and all else.
#[test]
fn a_thousand_partials_are_the_whole() {
    const EDGES: usize = 1000;
    let functions = [
        ("quantile", "x", ", 0.99"),
        ("quantile", "x", ", 0.5"),
        ("median", "n", ""),
        ("approx_distinct", "user", ""),
        ("approx_distinct", "x", ""),
        ("avg", "x", ""),
        ("sum", "n", ""),
        ("stddev", "x", ""),
        ("min", "x", ""),
        ("last", "user", ""),
        ("spread", "n", ""),
    ];
    let list = |column: &dyn Fn(usize, &str, &str, &str) -> String| {
        let columns = functions.iter().enumerate();
        columns
            .map(|(at, (f, x, p))| format!("{} AS c{at}", column(at, f, x, p)))
            .collect::<Vec<_>>()
    };
    let whole = list(&|_, f, x, p| format!("{f}({x}{p})")).join(", ");
    let partial = list(&|_, f, x, p| format!("partial({f}({x}{p}))")).join(", ");
    let merge = list(&|at, f, _, p| format!("merge({f}, c{at}{p})")).join(", ");
    let query = |columns: &str, from: &str| {
        format!("CREATE STREAM states AS SELECT {columns} FROM {from} GROUP BY time('10s')")
    };
    let mut random = Random(4);
    let mut at_centre = stage("", &query(&merge, "states"));
    let mut alone = stage("", &query(&whole, "m"));
    for edge in 0..EDGES {
        // Some have many points, some few, one none.
        let count = [0, 1, 3, 40, 90][edge.min(4 + edge % 3) % 5];
        let lines: Vec<String> = (0..count)
            .map(|_| {
                let (x, user) = (draw("wide", &mut random), random.below(30_000));
                let n = random.below(5000) as i64 - 1000;
                format!("m x={x:?},user=\"u{user}\",n={n}i {}", random.below(10))
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        if lines.is_empty() {
            continue;
        }
        alone.feed(9, &lines);
        let mut at_edge = stage("", &query(&partial, "m"));
        at_edge.feed(9, &lines);
        let (states, result) = at_edge.sql.control((T + 9) * S, Control::Stop);
        result.unwrap();
        for mut batch in states.batches {
            batch.set_origin(edge as u64 + 1);
            at_centre.sql.process((T + 9) * S, batch).1.unwrap();
        }
    }
    let (merged, of_all) = (at_centre.stop(9), alone.stop(9));
    assert_eq!((merged.len(), of_all.len()), (1, 1));
    assert_eq!(at_centre.metric("failures_state"), 0);
    assert_eq!(rounded(&merged), rounded(&of_all));
    let first = |line: &str| line.split(",c5=").next().unwrap().to_owned();
    assert_eq!(first(&merged[0]), first(&of_all[0]), "sketches to the digit");
}
