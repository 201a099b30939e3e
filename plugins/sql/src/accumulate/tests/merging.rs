//! Windows in pieces: merged, written, read again.

use super::*;

/// Numbers without pattern, the same in every run (Marsaglia's xorshift).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    /// Between nothing and one.
    pub fn share(&mut self) -> f64 {
        self.roll(1 << 40) as f64 / (1_u64 << 40) as f64
    }
}

pub fn functions() -> Vec<AggregateFunction> {
    use AggregateFunction as A;
    let share = |value| A::Quantile(Share::new(value).unwrap());
    vec![
        A::Count,
        A::Sum,
        A::Avg,
        A::Min,
        A::Max,
        A::First,
        A::Last,
        A::Stddev,
        A::VariancePop,
        A::Spread,
        A::AnyValue,
        share(0.0),
        share(0.5),
        share(0.99),
        A::ApproxDistinct,
        A::Forecast(7),
        A::Histogram(Limits::new(&[-10.0, 0.0, 0.5, 100.0]).unwrap()),
        A::Mode,
        A::TopK(3),
        A::ExactQuantile(Share::new(0.9).unwrap()),
        A::StringAgg(Separator::new(", ").unwrap()),
        A::Increase,
        A::Rate,
        A::Delta,
    ]
}

/// Each function plainly, and those for which it makes a difference over distinct values.
pub fn calls() -> Vec<AggregateCall> {
    use AggregateFunction as A;
    let plain = functions().into_iter().map(|function| AggregateCall::new(function, Some(0)));
    let distinct = [A::Count, A::Sum, A::Avg, A::Stddev, A::Quantile(Share::HALF)];
    let distinct = distinct.map(|function| AggregateCall {
        distinct: Some(1 << 20),
        ..AggregateCall::new(function, Some(0))
    });
    let mut calls: Vec<AggregateCall> = plain.chain(distinct).collect();
    calls.push(AggregateCall::new(A::Count, None));
    calls
}

/// The kinds of values that a column has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Column {
    Floats,
    Ints,
    Unsigned,
    Mixed,
    Texts,
    Bools,
    Times,
}

pub const COLUMNS: [Column; 7] = [
    Column::Floats,
    Column::Ints,
    Column::Unsigned,
    Column::Mixed,
    Column::Texts,
    Column::Bools,
    Column::Times,
];

/// A row: its group, time and value.
pub type Row = (u32, i64, Value);

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Float(f64),
    Int(i128),
    Text(String),
    Bool(bool),
    Time(i64),
}

pub fn rows(column: Column, count: u64, groups: u64, dice: &mut Dice) -> Vec<Row> {
    let value = |dice: &mut Dice| match column {
        _ if dice.roll(9) == 0 => Value::Null,
        Column::Mixed if dice.roll(2) == 0 => Value::Int(i128::from(dice.roll(40)) - 20),
        Column::Floats | Column::Mixed => {
            let size = 10_f64.powi(dice.roll(7) as i32 - 3);
            let value = (dice.share() - 0.3) * size;
            Value::Float(if dice.roll(12) == 0 { 0.0 } else { value })
        }
        Column::Ints => Value::Int(i128::from(dice.roll(1000)) - 500),
        Column::Unsigned => Value::Int(i128::from(u64::MAX - dice.roll(50))),
        Column::Texts => Value::Text(format!("t{}", dice.roll(60))),
        Column::Bools => Value::Bool(dice.roll(2) == 0),
        Column::Times => Value::Time(dice.roll(1 << 40) as i64),
    };
    (0..count).map(|_| (dice.roll(groups) as u32, dice.roll(20) as i64, value(dice))).collect()
}

/// Adds rows, those of one kind at a time as points of one shape come.
pub fn feed(made: &mut Accumulators, calls: usize, rows: &[Row], groups: usize) {
    made.grow(groups);
    let numbers: Vec<u32> = rows.iter().map(|row| row.0).collect();
    made.add_rows(&numbers);
    let same = |a: &Row, b: &Row| {
        std::mem::discriminant(&a.2) == std::mem::discriminant(&b.2) || b.2 == Value::Null
    };
    for chunk in rows.chunk_by(same) {
        let numbers: Vec<u32> = chunk.iter().map(|row| row.0).collect();
        let valid = Bits::of(chunk.len(), |row| chunk[row].2 != Value::Null);
        macro_rules! gather {
            ($kind:ident, $none:expr) => {
                chunk
                    .iter()
                    .map(|row| match &row.2 {
                        Value::$kind(value) => value.clone(),
                        _ => $none,
                    })
                    .collect()
            };
        }
        let data = match &chunk[0].2 {
            Value::Null => Data::Null,
            Value::Float(_) => Data::Float(gather!(Float, 0.0)),
            Value::Int(first) => {
                Data::Int { values: gather!(Int, 0), unsigned: *first > i64::MAX.into() }
            }
            Value::Text(_) => {
                let texts: Vec<String> = gather!(Text, String::new());
                Data::Text(texts.into_iter().map(Cow::Owned).collect())
            }
            Value::Bool(_) => {
                Data::Bool(Bits::of(chunk.len(), |row| chunk[row].2 == Value::Bool(true)))
            }
            Value::Time(_) => Data::Time(gather!(Time, 0)),
        };
        let values = Vector::with(data, (valid.count() < chunk.len()).then_some(valid));
        for aggregate in 0..calls {
            let time = |row: usize| chunk[row].1;
            made.add(aggregate, &values, &numbers, &time, &mut Failures::default());
        }
    }
}

pub fn whole(calls: &[AggregateCall], rows: &[Row], groups: usize) -> Accumulators {
    let mut made = Accumulators::new(calls);
    feed(&mut made, calls.len(), rows, groups);
    made
}

/// All results are the same, floats up to rounding.
pub fn same(a: &Accumulators, b: &Accumulators, calls: &[AggregateCall], groups: &[u32], of: &str) {
    for (number, call) in calls.iter().enumerate() {
        let exact =
            call.distinct.is_none() && matches!(call.function, AggregateFunction::Quantile(_));
        let mut failures = [Failures::default(); 2];
        let (x, y) = (
            a.finish(number, groups, &mut failures[0]),
            b.finish(number, groups, &mut failures[1]),
        );
        assert_eq!(failures[0], failures[1], "{of}, {call:?}");
        for row in 0..groups.len() {
            match (x.cell(row), y.cell(row)) {
                (Cell::Float(x), Cell::Float(y)) if !exact => {
                    let size = x.abs().max(y.abs()).max(1.0);
                    assert!((x - y).abs() <= 1e-9 * size, "{of}, {call:?}, {row}: {x} and {y}");
                }
                (x, y) => assert_eq!(x, y, "{of}, {call:?}, {row}"),
            }
        }
    }
}

#[test]
fn pieces_merged_in_any_way_are_the_whole() {
    let calls = calls();
    for seed in 1..40_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let column = COLUMNS[dice.roll(7) as usize];
        let groups = [1, 3, 50][dice.roll(3) as usize];
        let mut list = rows(column, 1 + dice.roll(4000), groups, &mut dice);
        let expected = whole(&calls, &list, groups as usize);
        for at in (1..list.len()).rev() {
            list.swap(at, dice.roll(at as u64 + 1) as usize);
        }
        // Groups of the pieces have numbers of their own.
        let map: Vec<u32> = (0..groups as u32).map(|group| groups as u32 - 1 - group).collect();
        let mut merged = Accumulators::new(&calls);
        let mut mapped = Accumulators::new(&calls);
        let size = 1 + dice.roll(list.len() as u64) as usize;
        for piece in list.chunks(size) {
            let mut part = whole(&calls, piece, groups as usize);
            part.mark(&[0]);
            merged.merge(&part, None);
            mapped.merge(&part, Some(&map));
        }
        let of = format!("seed {seed}, {column:?}");
        let numbers: Vec<u32> = (0..groups as u32).collect();
        assert_eq!(merged.groups(false), expected.groups(false), "{of}");
        assert_eq!(merged.groups(true), [0], "{of}");
        same(&expected, &merged, &calls, &numbers, &of);
        // The mapped one has each group under its other number.
        let mut back = Accumulators::new(&calls);
        back.merge(&mapped, Some(&map));
        same(&expected, &back, &calls, &numbers, &of);
    }
}

#[test]
fn groups_without_a_number_are_left_out() {
    let calls = calls();
    let list = rows(Column::Mixed, 300, 3, &mut Dice(2));
    let all = whole(&calls, &list, 3);
    let mut some = Accumulators::new(&calls);
    some.merge(&all, Some(&[1, NO_GROUP, 0]));
    assert_eq!(some.len(), 2);
    let kept: Vec<Row> = list.into_iter().filter(|row| row.0 != 1).collect();
    let kept: Vec<Row> = kept.into_iter().map(|row| (1 - row.0 / 2, row.1, row.2)).collect();
    same(&whole(&calls, &kept, 2), &some, &calls, &[0, 1], "");
}

#[test]
fn states_of_other_aggregates_are_refused() {
    let list = rows(Column::Ints, 50, 2, &mut Dice(2));
    let calls = |function| [AggregateCall::new(function, Some(0))];
    for one in functions() {
        let mut bytes = Vec::new();
        whole(&calls(one), &list, 2).write(&mut bytes);
        for other in functions() {
            let read = read(&calls(other), &bytes);
            assert_eq!(read.is_some(), Family::of(one) == Family::of(other), "{one:?} {other:?}");
        }
    }
}

#[test]
fn what_is_written_comes_back() {
    let calls = calls();
    for column in COLUMNS {
        let mut dice = Dice(7);
        let list = rows(column, 3000, 20, &mut dice);
        let mut made = whole(&calls, &list, 25);
        made.mark(&[3, 5]);
        made.retain(&(0..25).map(|group| group != 2).collect::<Vec<_>>());
        let mut bytes = Vec::new();
        made.write(&mut bytes);
        let read = read(&calls, &bytes).unwrap();
        let numbers: Vec<u32> = (0..24).collect();
        same(&made, &read, &calls, &numbers, &format!("{column:?}"));
        assert_eq!(read.groups(true), [2, 4]);
        assert_eq!(read.groups(false), made.groups(false));
        let mut again = Vec::new();
        read.write(&mut again);
        assert!(again == bytes, "{column:?}");
        // And it takes further points.
        let more = rows(column, 500, 20, &mut dice);
        let (mut a, mut b) = (made, read);
        feed(&mut a, calls.len(), &more, 25);
        feed(&mut b, calls.len(), &more, 25);
        same(&a, &b, &calls, &numbers, &format!("{column:?}"));
    }
    let mut bytes = Vec::new();
    Accumulators::new(&calls).write(&mut bytes);
    assert_eq!(read(&calls, &bytes).unwrap().len(), 0);
}

/// Whether a group's values are unsigned is told of each group: when it comes back, alone as text, and
/// in another window.
#[test]
fn signs_come_back_by_group() {
    use AggregateFunction as A;
    let functions = [A::Sum, A::Min, A::Max, A::Spread, A::First, A::Last];
    let calls = functions.map(|function| AggregateCall::new(function, Some(0)));
    let partial = calls.map(|call| AggregateCall { partial: true, ..call });
    let fill = |calls: &[AggregateCall], list: &[(u32, i128, bool)], groups| {
        let mut made = Accumulators::new(calls);
        made.grow(groups);
        for (group, value, unsigned) in list {
            made.add_rows(&[*group]);
            let values = Vector::new(Data::Int { values: vec![*value], unsigned: *unsigned });
            for number in 0..calls.len() {
                made.add(number, &values, &[*group], &|_| 0, &mut Failures::default());
            }
        }
        made
    };
    let restart = |made: &Accumulators, calls: &[AggregateCall]| {
        let mut bytes = Vec::new();
        made.write(&mut bytes);
        let again = read(calls, &bytes).unwrap();
        let mut bytes_again = Vec::new();
        again.write(&mut bytes_again);
        assert!(bytes_again == bytes);
        again
    };
    // A group's results are its own where it stands alone.
    let result = |made: &Accumulators, group: usize| {
        let mut map = vec![NO_GROUP; made.len()];
        map[group] = 0;
        let mut alone = Accumulators::new(&calls);
        alone.merge(made, Some(&map));
        let cells = (0..calls.len()).map(|number| {
            format!("{:?}", alone.finish(number, &[0], &mut Failures::default()).cell(0))
        });
        cells.collect::<Vec<_>>()
    };
    // The first is signed, the last unsigned, the one before has no value.
    let list = [(0, 5, false), (1, 6, true), (1, 7, false), (130, 8, true)];
    let more = [(0, 1, false), (129, 2, false), (131, 3, false)];
    let mut plain = fill(&calls, &list, 131);
    let mut again = restart(&plain, &calls);
    assert!(again.is_mixed(&[0, 1]));
    plain.merge(&fill(&calls, &more, 132), None);
    again.merge(&fill(&calls, &more, 132), None);
    let kept = |made: &mut Accumulators| {
        made.retain(&(0..132).map(|group| group != 7).collect::<Vec<_>>());
    };
    kept(&mut plain);
    kept(&mut again);
    for group in [0, 1, 128, 129, 130] {
        assert_eq!(result(&again, group), result(&plain, group), "{group}");
    }
    assert_eq!(result(&again, 0)[0], "Int(6, false)");
    assert_eq!(result(&again, 1)[0], "Int(13, true)");
    assert_eq!(result(&again, 128)[0], "Int(2, false)");
    // Parts whose groups have other numbers.
    let mut mapped = Accumulators::new(&calls);
    mapped.merge(&restart(&fill(&calls, &list[..2], 2), &calls), Some(&[1, 0]));
    assert_eq!(result(&mapped, 1)[0], "Int(5, false)");
    assert_eq!(result(&mapped, 0)[0], "Int(6, true)");
    // A state as text is that of its group, whatever the others are.
    let (both, one) = (fill(&partial, &list[..2], 2), fill(&partial, &list[..1], 1));
    for made in [&both, &restart(&both, &partial)] {
        for number in 0..partial.len() {
            let text = |made: &Accumulators| {
                let texts = made.finish(number, &[0], &mut Failures::default());
                texts.cell(0).text().map(Cow::into_owned)
            };
            assert_eq!(text(made), text(&one), "{number}");
        }
    }
}

/// Of integers an older form says whether any were unsigned: then all that were there are.
#[test]
fn the_older_form_of_signs_is_read() {
    let calls = [AggregateFunction::Sum, AggregateFunction::Max]
        .map(|function| AggregateCall::new(function, Some(0)));
    let mut bytes = vec![2, 1, 1, 0];
    bytes.extend([Family::Sum as u8, 2, 6, 0, 1, 1, 10, 0, 1, 1, 12]);
    bytes.extend([Family::Max as u8, 2, 10, 0, 2, 1, 10, 2, 1, 12]);
    let made = read(&calls, &bytes).unwrap();
    for number in 0..2 {
        let result = made.finish(number, &[0, 1], &mut Failures::default());
        assert_eq!([result.cell(0), result.cell(1)], [Cell::Int(5, true), Cell::Int(6, true)]);
    }
}

/// Does everything with what was read that a stage does.
fn use_up(mut read: Accumulators, calls: &[AggregateCall]) {
    let groups: Vec<u32> = (0..read.len().min(64) as u32).collect();
    for number in 0..calls.len() {
        let results = read.finish(number, &groups, &mut Failures::default());
        (0..groups.len()).for_each(|row| drop(results.cell(row).text()));
    }
    let mut bytes = Vec::new();
    read.write(&mut bytes);
    let mut other = Accumulators::new(calls);
    other.merge(&read, None);
    feed(&mut other, calls.len(), &[(0, 0, Value::Float(1.5)), (0, 1, Value::Int(3))], 1);
    other.merge(&read, None);
    read.retain(&[true, false, true]);
    assert!(read.byte_size() < 1 << 20);
}

#[test]
fn broken_states_are_refused_or_harmless() {
    for call in calls() {
        for column in COLUMNS {
            let calls = [call];
            let mut dice = Dice(11);
            let list = rows(column, 90, 2, &mut dice);
            let mut bytes = Vec::new();
            whole(&calls, &list, 3).write(&mut bytes);
            for end in 0..bytes.len() {
                assert!(read(&calls, &bytes[..end]).is_none(), "{call:?} {end}");
            }
            let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
            assert!(read(&calls, &longer).is_none());
            for bit in 0..bytes.len() * 8 {
                let mut bent = bytes.clone();
                bent[bit / 8] ^= 1 << (bit % 8);
                if let Some(read) = read(&calls, &bent) {
                    use_up(read, &calls);
                }
            }
            for _ in 0..200 {
                let noise: Vec<u8> = (0..dice.roll(60)).map(|_| dice.roll(256) as u8).collect();
                if let Some(read) = read(&calls, &noise) {
                    use_up(read, &calls);
                }
            }
        }
    }
}

#[test]
fn large_states_that_are_bent_are_refused_or_harmless() {
    let calls = calls();
    let mut dice = Dice(5);
    let list: Vec<Row> = (0..3000).map(|n| (0, n, Value::Float(dice.share() * 1e3))).collect();
    let mut bytes = Vec::new();
    whole(&calls, &list, 1).write(&mut bytes);
    for _ in 0..400 {
        let mut bent = bytes.clone();
        bent[dice.roll(bytes.len() as u64) as usize] ^= 1 << dice.roll(8);
        if let Some(read) = read(&calls, &bent) {
            use_up(read, &calls);
        }
        let end = dice.roll(bytes.len() as u64) as usize;
        assert!(read(&calls, &bytes[..end]).is_none());
    }
}
