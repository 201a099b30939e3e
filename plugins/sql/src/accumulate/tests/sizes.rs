//! What groups cost, and that it is told.

use super::merging::{COLUMNS, Dice, Value, calls, feed, rows, whole};
use super::*;

/// Bytes a group of so many groups with so many floats each.
fn bytes(functions: &[AggregateFunction], groups: u32, values: u32) -> usize {
    let calls: Vec<AggregateCall> =
        functions.iter().map(|function| AggregateCall::new(*function, Some(0))).collect();
    let mut made = Accumulators::new(&calls);
    let mut dice = Dice(3);
    for _ in 0..values {
        let list: Vec<_> =
            (0..groups).map(|group| (group, 0, Value::Float(dice.share() * 100.0))).collect();
        feed(&mut made, calls.len(), &list, groups as usize);
    }
    made.byte_size() / groups as usize
}

#[test]
fn many_groups_stay_small() {
    use AggregateFunction as A;
    let check = |functions: &[A], values, most| {
        let size = bytes(functions, 20_000, values);
        assert!(size <= most, "{functions:?} of {values}: {size} bytes");
    };
    let quantile = |share| A::Quantile(Share::new(share).unwrap());
    // Each also counts its points, in 8 bytes.
    check(&[A::Count], 1, 16);
    check(&[A::Avg], 1, 32);
    check(&[A::Avg, A::Sum], 1, 32);
    check(&[A::Avg, A::Max], 1, 40);
    check(&[A::Last], 1, 40);
    check(&[A::Stddev, A::VariancePop], 1, 32);
    check(&[quantile(0.5), quantile(0.9), quantile(0.99)], 1, 80);
    check(&[A::Quantile(Share::HALF)], 10, 176);
    check(&[A::Quantile(Share::HALF)], 64, 560);
    check(&[A::ApproxDistinct], 1, 88);
    check(&[A::ApproxDistinct], 12, 184);
}

#[test]
fn a_sketch_is_a_few_kilobytes() {
    let size = bytes(&[AggregateFunction::Quantile(Share::HALF)], 100, 3000);
    assert!((1000..3000).contains(&size), "{size}");
    let size = bytes(&[AggregateFunction::ApproxDistinct], 10, 3000);
    assert!((16_384..16_500).contains(&size), "{size}");
}

/// Bytes are counted along the way: what all groups hold must be what is left once others are gone.
#[test]
fn bytes_come_and_go() {
    for column in COLUMNS {
        let calls = calls();
        let list = rows(column, 3000, 10, &mut Dice(9));
        let mut made = whole(&calls, &list, 10);
        let before = made.byte_size();
        made.retain(&[true; 10]);
        assert!(made.byte_size() <= before && made.byte_size() * 2 > before, "{column:?}");
        let mut copy = Accumulators::new(&calls);
        copy.merge(&made, None);
        copy.retain(&[true; 10]);
        let (own, other) = (made.byte_size() as f64, copy.byte_size() as f64);
        assert!((own / other - 1.0).abs() < 0.3, "{column:?}: {own} and {other}");
        made.retain(&[]);
        assert!(made.byte_size() < 300, "{column:?}: {}", made.byte_size());
        feed(&mut copy, calls.len(), &list, 10);
        copy.clear();
        copy.retain(&[]);
        assert!(copy.byte_size() < 300, "{column:?}: {}", copy.byte_size());
    }
}

#[test]
fn values_that_are_kept_are_bounded() {
    use AggregateFunction as A;
    let separator = Separator::new(",").unwrap();
    let kept =
        [A::Mode, A::TopK(3), A::ExactQuantile(Share::HALF), A::StringAgg(separator), A::Rate];
    for function in kept {
        let mut call = AggregateCall::new(function, Some(0));
        call.room = 64 << 10;
        let mut made = Accumulators::new(&[call]);
        let mut dice = Dice(5);
        // The second group has few values.
        for round in 0..200 {
            let value = |dice: &mut Dice| Value::Float(dice.share());
            let mut list: Vec<_> = (0..100).map(|at| (0, at, value(&mut dice))).collect();
            list.extend((round < 3).then(|| (1, round, value(&mut dice))));
            feed(&mut made, 1, &list, 2);
            assert!(made.byte_size() < 160 << 10, "{function:?}: {}", made.byte_size());
        }
        let mut failures = Failures::default();
        let result = made.finish(0, &[0, 1], &mut failures);
        assert_eq!(failures.room, 1, "{function:?}");
        assert!(!result.is_valid(0) && result.is_valid(1), "{function:?}");
        let mut bytes = Vec::new();
        made.write(&mut bytes);
        let read = read(&[call], &bytes).unwrap();
        assert!(!read.finish(0, &[0], &mut failures).is_valid(0), "{function:?}");
    }
}

#[test]
fn distinct_values_are_bounded() {
    use AggregateFunction as A;
    let call = |function| AggregateCall {
        distinct: Some(64 << 10),
        ..AggregateCall::new(function, Some(0))
    };
    let calls = [call(A::Count), call(A::Sum)];
    let mut made = Accumulators::new(&calls);
    assert_eq!(made.parts.len(), 1);
    for round in 0..50_i128 {
        // One group has ever new values, the others a few.
        let list: Vec<_> = (0..2000)
            .map(|n| match n % 4 {
                0 => (1 + (n / 4 % 20) as u32, 0, Value::Int(n / 80 % 5)),
                _ => (0, 0, Value::Int(round * 2000 + n)),
            })
            .collect();
        feed(&mut made, calls.len(), &list, 21);
        assert!(made.byte_size() < 100 << 10, "{}", made.byte_size());
    }
    let mut failures = Failures::default();
    let counts = made.finish(0, &[0, 1, 20], &mut failures);
    let cells = [Cell::Null, Cell::Int(5, false), Cell::Int(5, false)];
    assert_eq!([0, 1, 2].map(|row| counts.cell(row)), cells);
    assert_eq!(failures.room, 1);
    let sums = made.finish(1, &[0, 1], &mut failures);
    assert_eq!([0, 1].map(|row| sums.cell(row)), [Cell::Null, Cell::Int(10, false)]);
    // It stays so when it is written and merged.
    let mut bytes = Vec::new();
    made.write(&mut bytes);
    let mut read = read(&calls, &bytes).unwrap();
    let mut other = Accumulators::new(&calls);
    feed(&mut other, calls.len(), &[(0, 0, Value::Int(1)), (1, 0, Value::Int(77))], 21);
    other.merge(&read, None);
    read.merge(&other, None);
    for merged in [&read, &other] {
        let counts = merged.finish(0, &[0, 1], &mut Failures::default());
        assert_eq!([0, 1].map(|row| counts.cell(row)), [Cell::Null, Cell::Int(6, false)]);
    }
}

#[test]
fn long_texts_are_bounded_too() {
    let call = AggregateCall {
        distinct: Some(1 << 20),
        ..AggregateCall::new(AggregateFunction::Count, Some(0))
    };
    let mut made = Accumulators::new(&[call]);
    for round in 0..100 {
        let text = format!("{round}{}", "x".repeat(100_000));
        feed(&mut made, 1, &[(round % 2, 0, Value::Text(text))], 2);
        assert!(made.byte_size() < 3 << 20, "{}", made.byte_size());
    }
    let mut failures = Failures::default();
    let counts = made.finish(0, &[0, 1], &mut failures);
    assert!(counts.cell(0) == Cell::Null || counts.cell(1) == Cell::Null);
    assert!(failures.room > 0);
}
