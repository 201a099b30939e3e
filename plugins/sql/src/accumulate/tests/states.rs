//! States as text: what `partial` emits and `merge` reads.

use super::merging::{COLUMNS, Column, Dice, Row, Value, functions, rows, same, whole};
use super::*;

fn states_of(calls: &[AggregateCall], rows: &[Row], groups: usize) -> Vec<Vec<String>> {
    let made = whole(calls, rows, groups);
    let numbers: Vec<u32> = (0..groups as u32).collect();
    (0..calls.len())
        .map(|number| {
            let texts = made.finish(number, &numbers, &mut Failures::default());
            (0..groups).map(|row| texts.cell(row).text().unwrap().into_owned()).collect()
        })
        .collect()
}

fn form(calls: &[AggregateFunction], merges: bool, partial: bool) -> Vec<AggregateCall> {
    let call =
        |function| AggregateCall { merges, partial, ..AggregateCall::new(function, Some(0)) };
    calls.iter().map(|function| call(*function)).collect()
}

/// Feeds each call with its own column of states.
fn merged(calls: &[AggregateCall], states: &[Vec<Vec<String>>]) -> (Accumulators, Failures) {
    let mut made = Accumulators::new(calls);
    let mut failures = Failures::default();
    for piece in states {
        let groups: Vec<u32> = (0..piece[0].len() as u32).collect();
        made.grow(groups.len());
        made.add_rows(&groups);
        for (number, texts) in piece.iter().enumerate() {
            let texts = texts.iter().map(|text| Cow::Borrowed(text.as_str())).collect();
            let values = Vector::new(Data::Text(texts));
            made.add(number, &values, &groups, &|_| 0, &mut failures);
        }
    }
    (made, failures)
}

/// One function of each family that has states, since those of one family share theirs.
fn families() -> Vec<AggregateFunction> {
    let mut kept: Vec<AggregateFunction> = Vec::new();
    let keeps_all = |function: &AggregateFunction| {
        use Family::{Counter, Exact, Joined, Ranked};
        matches!(Family::of(*function), Ranked | Exact | Joined | Counter)
    };
    for function in functions().into_iter().filter(|function| !keeps_all(function)) {
        if kept.iter().all(|known| Family::of(*known) != Family::of(function)) {
            kept.push(function);
        }
    }
    kept
}

#[test]
fn a_thousand_states_merged_are_the_whole() {
    let functions = families();
    let (plain, partial) = (form(&functions, false, false), form(&functions, false, true));
    let (merge, again) = (form(&functions, true, false), form(&functions, true, true));
    for column in COLUMNS {
        let mut dice = Dice(21);
        let list = rows(column, 6_000, 3, &mut dice);
        let pieces: Vec<_> = list.chunks(6).map(|piece| states_of(&partial, piece, 3)).collect();
        assert_eq!(pieces.len(), 1_000);
        let (all, failures) = merged(&merge, &pieces);
        assert_eq!(failures, Failures::default());
        let mut expected = whole(&plain, &list, 3);
        // The number of points is that of the states.
        expected.rows.clone_from(&all.rows);
        let of = format!("{column:?}");
        same(&expected, &all, &plain, &[0, 1, 2], &of);
        // By way of a layer between: states of merged states.
        let halves: Vec<Vec<Vec<String>>> = pieces
            .chunks(100)
            .map(|some| {
                let (made, _) = merged(&again, some);
                let texts = |number| {
                    let texts = made.finish(number, &[0, 1, 2], &mut Failures::default());
                    (0..3).map(|row| texts.cell(row).text().unwrap().into_owned()).collect()
                };
                (0..again.len()).map(texts).collect()
            })
            .collect();
        let (layered, failures) = merged(&merge, &halves);
        assert_eq!(failures, Failures::default());
        expected.rows.clone_from(&layered.rows);
        same(&expected, &layered, &plain, &[0, 1, 2], &of);
    }
}

#[test]
fn states_of_sketches_do_not_depend_on_the_order() {
    use AggregateFunction as A;
    let partial = form(&[A::Quantile(Share::HALF), A::ApproxDistinct, A::Max], false, true);
    for count in [10, 300, 5_000] {
        let mut list = rows(Column::Floats, count, 1, &mut Dice(4));
        let states = states_of(&partial, &list, 1);
        list.reverse();
        assert_eq!(states_of(&partial, &list, 1), states);
    }
}

#[test]
fn states_are_frozen() {
    use AggregateFunction as A;
    let functions = [A::Count, A::Avg, A::Max, A::Last, A::Stddev, A::Quantile(Share::HALF)];
    let rows = [(0, 7, Value::Float(1.5)), (0, 9, Value::Int(-2))];
    let states = states_of(&form(&functions, false, true), &rows, 1);
    let texts: Vec<&str> = states.iter().map(|of| of[0].as_str()).collect();
    assert_eq!(texts, FROZEN);
    // Those of an older version must go on to be read.
    let frozen: Vec<Vec<String>> = FROZEN.iter().map(|text| vec![(*text).to_owned()]).collect();
    let calls = form(&functions, true, false);
    let (made, failures) = merged(&calls, &[frozen]);
    assert_eq!(failures, Failures::default());
    let result = |number| {
        let result = made.finish(number, &[0], &mut Failures::default());
        result.cell(0).text().unwrap().into_owned()
    };
    assert_eq!([0, 1, 2, 3, 5].map(result), ["2", "-0.25", "1.5", "-2", "-0.25"]);
}

const FROZEN: [&str; 6] = [
    "oQECKL7u0A",
    "oQIDAQEAAAAAAAD4PwAAAAAAAAAAAQPeR2h-",
    "oQQDAAMAAAAAAAD4PwED4G8ZeQ",
    "oQcDAQMJAAAAAAAAALsyjOU",
    "oQgCAAAAAAAA0L8AAAAAAIAYQPSbLK8",
    "oQkCAAAAAAAAAMAAAAAAAAD4P5kqhE8",
];

#[test]
fn broken_states_are_null_and_counted() {
    let functions = families();
    let (partial, merge) = (form(&functions, false, true), form(&functions, true, false));
    for column in [Column::Floats, Column::Ints, Column::Texts] {
        let list = rows(column, 40, 1, &mut Dice(8));
        let states = states_of(&partial, &list, 1);
        let refused = |number: usize, text: String| {
            let mut columns = vec![Vec::new(); functions.len()];
            columns.iter_mut().for_each(|column| column.push(text.clone()));
            let mut made = Accumulators::new(&merge[number..=number]);
            made.grow(1);
            let values = Vector::new(Data::Text(vec![Cow::Borrowed(text.as_str())]));
            let mut failures = Failures::default();
            made.add(0, &values, &[0], &|_| 0, &mut failures);
            assert_eq!(failures, Failures { state: 1, ..Failures::default() }, "{text}");
        };
        for (number, texts) in states.iter().enumerate() {
            let text = &texts[0];
            for end in 0..text.len() {
                refused(number, text[..end].to_owned());
            }
            for at in 0..text.len() {
                for other in ["A", "z", "_", "=", " "] {
                    let mut bent = text.clone();
                    bent.replace_range(at..=at, other);
                    if bent != *text {
                        refused(number, bent);
                    }
                }
            }
            // Each family reads its own states alone.
            (0..functions.len()).filter(|of| *of != number).for_each(|of| {
                refused(of, text.clone());
            });
        }
    }
}

/// A sum can be made by anybody: what it covers is looked at as well.
#[test]
fn hostile_states_with_a_right_sum_are_refused_or_harmless() {
    let functions = families();
    let (partial, merge) = (form(&functions, false, true), form(&functions, true, false));
    let again = form(&functions, true, true);
    for column in COLUMNS {
        let list = rows(column, 90, 1, &mut Dice(6));
        for (number, texts) in states_of(&partial, &list, 1).iter().enumerate() {
            let bytes = state::decode(&texts[0]).unwrap();
            let body = &bytes[..bytes.len() - 4];
            let mut dice = Dice(31);
            for trial in 0..body.len() * 8 + 100 {
                let mut bent = body.to_vec();
                match bent.get_mut(trial / 8) {
                    Some(byte) => *byte ^= 1 << (trial % 8),
                    None => bent = (0..dice.roll(40)).map(|_| dice.roll(256) as u8).collect(),
                }
                let text = state::sealed(&mut bent);
                let calls = [merge[number], again[number]];
                let mut made = Accumulators::new(&calls);
                made.grow(2);
                made.add_rows(&[0, 1, 1]);
                let mut failures = Failures::default();
                let all = [text.as_str(), texts[0].as_str(), text.as_str()];
                let values = Vector::new(Data::Text(all.map(Cow::Borrowed).to_vec()));
                (0..2).for_each(|at| made.add(at, &values, &[0, 1, 1], &|_| 0, &mut failures));
                assert!(failures.state == 0 || failures.state == 2);
                for at in 0..2 {
                    let results = made.finish(at, &[0, 1], &mut failures);
                    (0..2).for_each(|row| drop(results.cell(row).text()));
                }
            }
        }
    }
}

#[test]
fn what_is_no_text_is_no_state() {
    let calls = form(&[AggregateFunction::Avg], true, false);
    let mut made = Accumulators::new(&calls);
    made.grow(1);
    let mut failures = Failures::default();
    made.add(0, &floats(&[1.0, 2.0]), &[0, 0], &|_| 0, &mut failures);
    assert_eq!(failures.state, 2);
    assert_eq!(made.finish(0, &[0], &mut failures).cell(0), Cell::Null);
}
