//! How far sketches are from the truth.

use super::merging::{Dice, Row, Value, whole};
use super::*;

/// The quantile of all numbers, between neighbours in proportion.
fn exact(sorted: &[f64], share: f64) -> f64 {
    let rank = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    low + (high - low) * rank.fract()
}

/// Draws numbers of one distribution.
type Numbers<'a> = &'a dyn Fn(&mut Dice) -> f64;

#[test]
fn quantiles_are_within_one_percent() {
    let shares = [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0];
    let calls: Vec<AggregateCall> = shares
        .iter()
        .map(|share| AggregateFunction::Quantile(Share::new(*share).unwrap()))
        .map(|function| AggregateCall::new(function, Some(0)))
        .collect();
    assert_eq!(Accumulators::new(&calls).parts.len(), 1, "one sketch for all");
    let even = |dice: &mut Dice| dice.share() * 100.0;
    let exponential = |dice: &mut Dice| -(1.0 - dice.share()).ln() * 1e-3;
    let pareto = |dice: &mut Dice| (1.0 - dice.share()).powf(-1.5);
    let wide = |dice: &mut Dice| 10_f64.powf(dice.share() * 16.0 - 8.0);
    let negative = |dice: &mut Dice| -10_f64.powf(dice.share() * 6.0);
    let counts = |dice: &mut Dice| (dice.share() * 12.0).floor() + 1.0;
    let kinds: [(&str, Numbers<'_>); 6] = [
        ("even", &even),
        ("exponential", &exponential),
        ("pareto", &pareto),
        ("wide", &wide),
        ("negative", &negative),
        ("counts", &counts),
    ];
    for (name, number) in kinds {
        for count in [1, 2, 5, 63, 64, 65, 100, 1_000, 30_000] {
            let mut dice = Dice(count as u64 * 77 + 1);
            let mut sorted: Vec<f64> = (0..count).map(|_| number(&mut dice)).collect();
            let rows: Vec<Row> = sorted.iter().map(|v| (0, 0, Value::Float(*v))).collect();
            let made = whole(&calls, &rows, 1);
            sorted.sort_unstable_by(f64::total_cmp);
            for (at, share) in shares.iter().enumerate() {
                let result = made.finish(at, &[0], &mut Failures::default());
                let Cell::Float(result) = result.cell(0) else { panic!("{name} {count} {share}") };
                let truth = exact(&sorted, *share);
                let error = (result - truth).abs() / truth.abs();
                assert!(error <= 0.01, "{name}, {share} of {count}: {result}, not {truth}");
                assert!(count > 64 || error < 1e-12, "few are exact: {name}, {share} of {count}");
            }
        }
    }
}

#[test]
fn numbers_of_both_signs_and_zeros() {
    let call = |share| AggregateFunction::Quantile(Share::new(share).unwrap());
    let calls = [0.1, 0.5, 0.9].map(|share| AggregateCall::new(call(share), Some(0)));
    let rows: Vec<Row> = (-50..=50)
        .flat_map(|n| [n, n])
        .map(|n| (0, 0, if n % 2 == 0 { Value::Int(n) } else { Value::Float(n as f64) }))
        .chain((0..5).map(|_| (0, 0, Value::Float(-0.0))))
        .collect();
    let made = whole(&calls, &rows, 2);
    for (at, truth) in [-40.0, 0.0, 40.0].into_iter().enumerate() {
        let result = made.finish(at, &[0, 1], &mut Failures::default());
        let Cell::Float(value) = result.cell(0) else { panic!() };
        assert!((value - truth).abs() <= 0.01 * truth.abs(), "{value}");
        assert_eq!(result.cell(1), Cell::Null);
    }
}

#[test]
fn distinct_counts_are_exact_while_few_and_within_two_percent_behind_that() {
    let calls = [AggregateCall::new(AggregateFunction::ApproxDistinct, Some(0))];
    for (count, most) in [(0, 0.0), (1, 0.0), (3, 0.0), (700, 0.0), (1_000, 0.02), (90_000, 0.02)] {
        let kinds: [(&str, &dyn Fn(i64) -> Value); 4] = [
            ("integers", &|n| Value::Int(n.into())),
            ("floats", &|n| Value::Float(n as f64 / 7.0)),
            ("texts", &|n| Value::Text(format!("user-{n}"))),
            ("times", &|n| Value::Time(n * 1_000_000_000)),
        ];
        for (kind, value) in kinds {
            // Each comes twice.
            let rows: Vec<Row> = (0..count).chain(0..count).map(|n| (0, 0, value(n))).collect();
            let made = whole(&calls, &rows, 1);
            let result = made.finish(0, &[0], &mut Failures::default());
            let Cell::Int(result, false) = result.cell(0) else { panic!() };
            let error = (result as f64 - count as f64).abs() / (count as f64).max(1.0);
            assert!(error <= most, "{kind}: {result}, not {count}");
        }
    }
}

#[test]
fn integers_and_floats_of_one_value_count_once() {
    use AggregateFunction as A;
    let exact = AggregateCall { distinct: Some(1 << 20), ..AggregateCall::new(A::Count, Some(0)) };
    let calls = [AggregateCall::new(A::ApproxDistinct, Some(0)), exact];
    let values = [
        Value::Int(3),
        Value::Float(3.0),
        Value::Int(0),
        Value::Float(-0.0),
        Value::Bool(true),
        Value::Int(1),
        Value::Text("1".into()),
        Value::Float(0.5),
        Value::Null,
    ];
    let rows: Vec<Row> = values.into_iter().map(|value| (0, 0, value)).collect();
    let made = whole(&calls, &rows, 1);
    for number in 0..2 {
        let result = made.finish(number, &[0], &mut Failures::default());
        assert_eq!(result.cell(0), Cell::Int(6, false));
    }
}
