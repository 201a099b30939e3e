use std::borrow::Cow;

use super::*;
use crate::plan::{Limits, Separator, Share};

mod merging;
mod sizes;
mod sketches;
mod states;

use crate::vector::{Bits, Cell, Data};

/// Reads what was written, all of it.
fn read(calls: &[AggregateCall], bytes: &[u8]) -> Option<Accumulators> {
    let mut from = Reader::new(bytes);
    let made = Accumulators::read(calls, &mut from).ok()?;
    from.end().ok().map(|()| made)
}

fn run(
    function: AggregateFunction,
    groups: &[u32],
    values: Vector<'_>,
    times: &[i64],
) -> Vec<String> {
    let mut accumulators = Accumulators::new(&[AggregateCall::new(function, Some(0))]);
    accumulators.grow(2);
    accumulators.add_rows(groups);
    let mut failures = Failures::default();
    accumulators.add(0, &values, groups, &|row| times[row], &mut failures);
    let result = accumulators.finish(0, &[0, 1], &mut failures);
    (0..2).map(|row| result.cell(row).text().map_or("NULL".into(), Cow::into_owned)).collect()
}

fn floats(values: &[f64]) -> Vector<'static> {
    Vector::new(Data::Float(values.to_vec()))
}

fn ints(values: &[i128]) -> Vector<'static> {
    Vector::new(Data::Int { values: values.to_vec(), unsigned: false })
}

#[test]
fn numbers_by_group() {
    use AggregateFunction as A;
    let check = |function, expected: [&str; 2]| {
        let values = floats(&[1.0, 2.0, 3.0, 6.0]);
        assert_eq!(run(function, &[0, 0, 1, 0], values, &[1, 2, 3, 4]), expected, "{function:?}");
    };
    check(A::Count, ["3", "1"]);
    check(A::Sum, ["9", "3"]);
    check(A::Avg, ["3", "3"]);
    check(A::Min, ["1", "3"]);
    check(A::Max, ["6", "3"]);
    check(A::Spread, ["5", "0"]);
    check(A::First, ["1", "3"]);
    check(A::Last, ["6", "3"]);
    check(A::Variance, ["7", "NULL"]);
    check(A::VariancePop, ["4.666666666666667", "0"]);
}

#[test]
fn values_by_how_often_they_are_there() {
    use AggregateFunction as A;
    let check = |function, expected: [&str; 2]| {
        let values = floats(&[1.0, 2.5, 3.0, 1.0, 2.5, 7.0]);
        let times = [6, 5, 4, 3, 2, 1];
        assert_eq!(run(function, &[0, 0, 1, 0, 0, 0], values, &times), expected, "{function:?}");
    };
    check(A::Mode, ["1", "3"]);
    let one = "[{\"value\":3,\"count\":1}]";
    check(A::TopK(2), ["[{\"value\":1,\"count\":2},{\"value\":2.5,\"count\":2}]", one]);
    check(
        A::TopK(9),
        ["[{\"value\":1,\"count\":2},{\"value\":2.5,\"count\":2},{\"value\":7,\"count\":1}]", one],
    );
    check(A::ExactQuantile(Share::HALF), ["2.5", "3"]);
    check(A::StringAgg(Separator::new("-").unwrap()), ["7-2.5-1-2.5-1", "3"]);
    let limits = Limits::new(&[1.0, 2.5]).unwrap();
    check(
        A::Histogram(limits),
        ["{\"1\":2,\"2.5\":2,\"+Inf\":1}", "{\"1\":0,\"2.5\":0,\"+Inf\":1}"],
    );
    assert_eq!(run(A::Mode, &[0], Vector::null(), &[0]), ["NULL", "NULL"]);
    assert_eq!(run(A::Histogram(limits), &[], floats(&[]), &[]), ["NULL", "NULL"]);
}

#[test]
fn limits_rise_and_separators_are_short() {
    for wrong in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[0.0; 21], &[f64::INFINITY]] {
        assert_eq!(Limits::new(wrong), None, "{wrong:?}");
    }
    let rising: Vec<f64> = (0..20).map(f64::from).collect();
    assert_eq!(Limits::new(&rising).unwrap().iter().collect::<Vec<_>>(), rising);
    assert_eq!(Separator::new("sixteen bytes ok").unwrap().text(), "sixteen bytes ok");
    assert_eq!(Separator::new("seventeen bytes!!"), None);
}

#[test]
fn integers_stay_integers_and_overflow_is_null() {
    use AggregateFunction as A;
    let max = i128::from(i64::MAX);
    assert_eq!(run(A::Sum, &[0, 0], ints(&[max, 1]), &[0, 0])[0], "9223372036854775808");
    assert_eq!(run(A::Sum, &[0, 0, 0], ints(&[max, max, max]), &[0; 3])[0], "NULL");
    assert_eq!(run(A::Avg, &[0, 0], ints(&[1, 2]), &[0, 0])[0], "1.5");
    assert_eq!(run(A::Min, &[0, 0], ints(&[-1, u64::MAX.into()]), &[0, 0])[0], "-1");
}

#[test]
fn nulls_are_skipped() {
    use AggregateFunction as A;
    let some = || Vector::with(Data::Float(vec![9.0, 4.0]), Some(Bits::of(2, |i| i == 1)));
    for (function, expected) in [(A::Count, "1"), (A::Avg, "4"), (A::Max, "4"), (A::First, "4")] {
        assert_eq!(
            run(function, &[0, 0], some(), &[0, 1]),
            [expected, if function == A::Count { "0" } else { "NULL" }]
        );
    }
}

#[test]
fn equal_times_resolve_to_the_greatest_value() {
    use AggregateFunction as A;
    for function in [A::First, A::Last] {
        assert_eq!(run(function, &[0, 0, 0], floats(&[2.0, 7.0, 5.0]), &[3, 3, 3])[0], "7");
    }
    assert_eq!(run(A::First, &[0, 0], floats(&[2.0, 7.0]), &[5, 3])[0], "7");
    assert_eq!(run(A::Last, &[0, 0], floats(&[2.0, 7.0]), &[5, 3])[0], "2");
}

#[test]
fn sums_do_not_depend_on_order() {
    use AggregateFunction as A;
    let values = [1e16, 1.0, -1e16, 1.0, 0.5];
    let expected = run(A::Sum, &[0; 5], floats(&values), &[0; 5]);
    assert_eq!(expected[0], "2.5");
    let mut other = values;
    other.reverse();
    assert_eq!(run(A::Sum, &[0; 5], floats(&other), &[0; 5]), expected);
}

#[test]
fn groups_keep_their_values_when_others_go() {
    let calls = [AggregateFunction::Sum, AggregateFunction::Max, AggregateFunction::Last]
        .map(|function| AggregateCall::new(function, Some(0)));
    let mut accumulators = Accumulators::new(&calls);
    accumulators.grow(4);
    let groups = [0, 1, 2, 3];
    accumulators.add_rows(&groups);
    for aggregate in 0..3 {
        let values = floats(&[10.0, 11.0, 12.0, 13.0]);
        accumulators.add(aggregate, &values, &groups, &|_| 0, &mut Failures::default());
    }
    accumulators.retain(&[false, true, false, true]);
    assert_eq!(accumulators.groups(false), [0, 1]);
    for aggregate in 0..3 {
        let result = accumulators.finish(aggregate, &[0, 1], &mut Failures::default());
        assert_eq!((result.cell(0), result.cell(1)), (Cell::Float(11.0), Cell::Float(13.0)));
    }
}
