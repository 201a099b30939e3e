//! The index against a model: a look at each row, comparing keys as bytes.

use std::borrow::Cow;

use super::data::{Column, NO_ROW, Table, Texts, Values};
use super::index::Index;
use crate::key;
use crate::vector::{Bits, Cell, Data, Vector};

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ z >> 31) * n as u128) >> 64) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

const INTS: [i128; 10] = [
    0,
    1,
    -1,
    255,
    1 << 53,
    (1 << 53) + 1,
    i64::MIN as i128,
    i64::MAX as i128,
    i64::MAX as i128 + 1,
    u64::MAX as i128,
];
const FLOATS: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    255.0,
    9_007_199_254_740_992.0,
    -9_223_372_036_854_775_808.0,
    9_223_372_036_854_775_808.0,
    18_446_744_073_709_551_616.0,
    1e300,
    f64::MIN_POSITIVE,
];
const TEXTS: [&str; 12] =
    ["", "0", "1", "-1", "1.0", "01", "true", "255", "0.5", "1e300", "a\0b", "Ä"];

fn text(random: &mut Random) -> String {
    match random.below(8) {
        0 => "x".repeat(key::MAX_TEXT + random.below(3)),
        1..4 => format!("host{}", random.below(50)),
        _ => random.of(&TEXTS).to_owned(),
    }
}

fn int(random: &mut Random) -> i128 {
    if random.below(3) == 0 { random.below(60) as i128 } else { random.of(&INTS) }
}

fn float(random: &mut Random) -> f64 {
    if random.below(3) == 0 { random.below(60) as f64 / 4.0 } else { random.of(&FLOATS) }
}

/// A column as a file may give it, with its cells.
fn column(random: &mut Random, rows: usize) -> (Column, Vec<Cell<'static>>, Vec<String>) {
    let is_there: Vec<bool> = (0..rows).map(|_| random.below(8) > 0).collect();
    let (mut cells, mut written, mut texts) = (Vec::new(), Vec::new(), Texts::default());
    let kind = random.below(4);
    let (mut ints, mut floats, mut bools) = (Values::Int(Vec::new()), Vec::new(), Vec::new());
    for is_there in &is_there {
        let (cell, as_text) = match kind {
            0 => {
                let value = int(random);
                ints = ints.with_integer(value);
                (Cell::Int(value, false), value.to_string())
            }
            1 => {
                let value = float(random);
                floats.push(value);
                (Cell::Float(value), format!("{value:?}"))
            }
            2 => {
                let value = random.below(2) == 1;
                bools.push(value);
                (Cell::Bool(value), value.to_string())
            }
            _ => (Cell::Text(""), text(random)),
        };
        let as_text = if *is_there { as_text } else { String::new() };
        texts.push(&as_text);
        written.push(as_text);
        cells.push(if *is_there { cell } else { Cell::Null });
    }
    let values = match kind {
        0 => ints,
        1 => Values::Float(floats),
        2 => Values::Bool(bools),
        _ => Values::Text,
    };
    let valid = is_there.contains(&false).then(|| Bits::of(rows, |row| is_there[row]));
    (Column { name: String::new(), values, texts, valid }, cells, written)
}

/// Values that points are looked up by.
fn keys(random: &mut Random, count: usize) -> Vector<'static> {
    let constant = random.below(6) == 0;
    let n = if constant { 1 } else { count };
    let kind = random.below(9);
    let mut each = |make: &mut dyn FnMut(&mut Random)| (0..n).for_each(|_| make(random));
    let data = match kind {
        0 => Data::Null,
        1 => {
            let mut values = Vec::new();
            each(&mut |random| values.push(int(random)));
            Data::Int { values, unsigned: false }
        }
        2 => {
            let mut values = Vec::new();
            each(&mut |random| {
                values.push(if random.below(20) == 0 { f64::NAN } else { float(random) });
            });
            Data::Float(values)
        }
        3 => {
            let mut values = Vec::new();
            each(&mut |random| values.push(random.below(2) == 1));
            Data::Bool(Bits::of(n, |at| values[at]))
        }
        4 => Data::Time(vec![1; n]),
        _ => {
            let mut values = Vec::new();
            each(&mut |random| values.push(Cow::Owned(text(random))));
            Data::Text(values)
        }
    };
    let mut there = Vec::new();
    each(&mut |random| there.push(random.below(10) > 0));
    let valid = there.contains(&false).then(|| Bits::of(n, |at| there[at]));
    Vector { data, valid, constant }
}

#[test]
fn it_finds_what_a_look_at_each_row_finds() {
    let mut random = Random(1);
    let (mut found, mut doubles) = (0, 0);
    for round in 0..1500 {
        let rows = random.of(&[0, 1, 2, 10, 70, 300]);
        let made: Vec<_> = (0..1 + random.below(3)).map(|_| column(&mut random, rows)).collect();
        let count = random.of(&[1, 5, 256, 300]);
        let wanted: Vec<Vector<'_>> = made.iter().map(|_| keys(&mut random, count)).collect();
        // As a lookup has it: texts are compared with texts.
        let is_text = |at: usize| matches!(wanted[at].data, Data::Text(_));
        let as_text = (0..made.len())
            .filter(|at| is_text(*at) && !matches!(made[*at].0.values, Values::Text))
            .fold(0, |mask, at| mask | 1 << at);
        let mut all = Vec::new();
        let mut bytes: Vec<Option<Vec<u8>>> = vec![Some(Vec::new()); rows];
        for (at, (column, cells, written)) in made.into_iter().enumerate() {
            for row in 0..rows {
                let cell = match cells[row] {
                    Cell::Null => Cell::Null,
                    _ if as_text >> at & 1 == 1 => Cell::Text(&written[row]),
                    Cell::Text(_) => Cell::Text(&written[row]),
                    cell => cell,
                };
                bytes[row] = bytes[row]
                    .take()
                    .and_then(|mut key| key::write_equal(&mut key, cell).then_some(key));
            }
            all.push(column);
        }
        let columns: Vec<usize> = (0..all.len()).collect();
        let made = Index::make(&all, &columns, as_text, rows);
        let row_of = |key: &Vec<u8>| bytes.iter().position(|known| known.as_ref() == Some(key));
        let twice = (0..rows).find_map(|row| {
            let first = row_of(bytes[row].as_ref()?)?;
            (first < row).then_some([first, row])
        });
        assert_eq!(made.twice, twice, "round {round}");
        doubles += usize::from(twice.is_some());
        let mut at = 0;
        made.index.find(&all, &wanted, count, |place, row| {
            assert_eq!(place, at);
            at += 1;
            let mut key = Vec::new();
            let is_key = wanted.iter().all(|part| key::write_equal(&mut key, part.cell(place)));
            let expected = if is_key { row_of(&key) } else { None };
            let expected = expected.map_or(NO_ROW, |row| row as u32);
            assert_eq!(row, expected, "round {round}, key {place}");
            found += usize::from(row != NO_ROW);
        });
        assert_eq!(at, count);
    }
    assert!(found > 5000 && doubles > 200, "{found} keys had rows, {doubles} tables doubles");
}

/// The lower halves of the hashes of some integers are equal.
#[test]
fn equal_hashes_are_no_equal_keys() {
    let mut seen = std::collections::HashMap::new();
    let mut pairs = Vec::new();
    for value in 0..600_000_i64 {
        if let Some(other) = seen.insert(Index::tag_of(value), value) {
            pairs.push([other, value]);
        }
    }
    assert!(pairs.len() > 20, "{} pairs", pairs.len());
    for [a, b] in pairs {
        let vector = |list: &[i64]| {
            let values = list.iter().map(|value| i128::from(*value)).collect();
            Vector::new(Data::Int { values, unsigned: false })
        };
        for (rows, expected) in
            [(vec![a], [0, NO_ROW]), (vec![b], [NO_ROW, 0]), (vec![b, a], [1, 0])]
        {
            let len = rows.len();
            let (values, texts) = (Values::Int(rows), Texts::default());
            let column = Column { name: String::new(), values, texts, valid: None };
            let made = Index::make(std::slice::from_ref(&column), &[0], 0, len);
            let mut found = Vec::new();
            made.index.find(&[column], &[vector(&[a, b])], 2, |_, row| found.push(row));
            assert_eq!((made.twice, found), (None, expected.to_vec()), "{a}, {b}");
        }
    }
}

#[test]
fn a_row_costs_fourteen_bytes_whatever_its_key_is() {
    let rows = 100_000;
    let column = |values| {
        let mut texts = Texts::default();
        (0..rows).for_each(|row| texts.push(&format!("some long name {row:020}")));
        Column { name: "k".to_owned(), values, texts, valid: None }
    };
    for values in [Values::Text, Values::Int((0..rows as i64).collect())] {
        let table = Table::new(vec![column(values)], rows);
        let before = table.byte_size();
        table.index(&[0], 0).unwrap();
        let size = table.byte_size() - before;
        assert!((14 * rows..14 * rows + 64).contains(&size), "{size} bytes");
    }
}
