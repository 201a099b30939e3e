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

/// A cell, and how it is written; nothing where it is NULL.
type Written = Option<(Cell<'static>, String)>;

/// The cells of a column as a file may give it.
fn cells(random: &mut Random, rows: usize) -> Vec<Written> {
    let kind = random.below(4);
    let cell = |random: &mut Random| match kind {
        0 => {
            let value = int(random);
            // Nothing but an integer that is printed otherwise keeps the texts of a column.
            let sign = if value == 0 && random.below(9) == 0 { "-" } else { "" };
            (Cell::Int(value, false), format!("{sign}{value}"))
        }
        1 => {
            let value = float(random);
            let places = if random.below(4) == 0 { "0" } else { "" };
            let text = format!("{value:?}");
            let is_long = text.contains(['e', 'E']);
            (Cell::Float(value), if is_long { text } else { text + places })
        }
        2 => {
            let value = random.below(2) == 1;
            let text = value.to_string();
            (Cell::Bool(value), if random.below(4) == 0 { text.to_uppercase() } else { text })
        }
        _ => (Cell::Text(""), text(random)),
    };
    (0..rows).map(|_| (random.below(8) > 0).then(|| cell(random))).collect()
}

/// A column of a table with such cells.
fn column(cells: &[Written]) -> Column {
    let mut texts = Texts::default();
    cells.iter().for_each(|cell| texts.push(cell.as_ref().map_or("", |(_, text)| text)));
    let values = |of: fn(&Cell<'_>) -> f64| {
        let value = |cell: &Written| cell.as_ref().map_or(0.0, |(cell, _)| of(cell));
        cells.iter().map(value).collect::<Vec<f64>>()
    };
    let int = |cell: &Written| match cell {
        Some((Cell::Int(value, _), _)) => *value,
        _ => 0,
    };
    let ints = || cells.iter().map(int).fold(Values::Int(Vec::new()), Values::with_integer);
    let float = |cell: &Cell<'_>| if let Cell::Float(value) = cell { *value } else { 0.0 };
    let is_true = |cell: &Cell<'_>| f64::from(u8::from(matches!(cell, Cell::Bool(true))));
    let values = match cells.iter().flatten().next() {
        Some((Cell::Int(..), _)) => ints(),
        Some((Cell::Float(_), _)) => Values::Float(values(float)),
        Some((Cell::Bool(_), _)) => {
            Values::Bool(values(is_true).into_iter().map(|is| is > 0.0).collect())
        }
        _ => Values::Text,
    };
    let has_null = cells.iter().any(Option::is_none);
    let valid = has_null.then(|| Bits::of(cells.len(), |row| cells[row].is_some()));
    let mut column = Column { name: String::new(), values, texts, valid };
    column.pack(true);
    column
}

/// Whether a key is in a row: a text is compared with what is written, a number with the number.
fn is_equal(key: Cell<'_>, cell: &Written) -> bool {
    let bytes = |cell| {
        let mut bytes = Vec::new();
        key::write_equal(&mut bytes, cell).then_some(bytes)
    };
    match (key, cell) {
        (_, None) => false,
        (Cell::Text(text), Some((_, written))) => text == written,
        (_, Some((Cell::Text(_), _))) => false,
        (key, Some((cell, _))) => bytes(key).is_some_and(|key| bytes(*cell) == Some(key)),
    }
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
    let (mut found, mut doubles, mut plain) = (0, 0, 0);
    for round in 0..1500 {
        let rows = random.of(&[0, 1, 2, 10, 70, 300]);
        let mut made: Vec<_> = (0..1 + random.below(3)).map(|_| cells(&mut random, rows)).collect();
        let columns: Vec<usize> = (0..made.len()).collect();
        let texts = |made: &[Vec<Written>], row: usize| -> Option<Vec<String>> {
            made.iter().map(|cells| Some(cells[row].as_ref()?.1.clone())).collect()
        };
        let keys_of: Vec<_> = (0..rows).map(|row| texts(&made, row)).collect();
        let first = |row: usize| keys_of.iter().position(|key| *key == keys_of[row]);
        let is_double = |row: usize| keys_of[row].is_some() && first(row) != Some(row);
        let twice = (0..rows).find(|row| is_double(*row));
        let all: Vec<Column> = made.iter().map(|cells| column(cells)).collect();
        let refused = Index::make(&all, &columns, rows).err();
        let expected = twice.map(|row| [first(row).unwrap(), row]);
        assert_eq!(refused, expected, "round {round}");
        doubles += usize::from(refused.is_some());
        for cells in &mut made {
            let mut row = 0;
            cells.retain(|_| {
                row += 1;
                !is_double(row - 1)
            });
        }
        let rows = made[0].len();
        let all: Vec<Column> = made.iter().map(|cells| column(cells)).collect();
        plain += all.iter().filter(|column| column.is_plain()).count();
        let index = Index::make(&all, &columns, rows).unwrap();
        let count = random.of(&[1, 5, 256, 300]);
        let wanted: Vec<Vector<'_>> = made.iter().map(|_| keys(&mut random, count)).collect();
        let mut at = 0;
        index.find(&all, &wanted, count, |place, row| {
            assert_eq!(place, at);
            at += 1;
            let is_row = |row: &usize| {
                let mut parts = wanted.iter().zip(&made);
                parts.all(|(key, cells)| is_equal(key.cell(place), &cells[*row]))
            };
            let expected = (0..rows).find(is_row).map_or(NO_ROW, |row| row as u32);
            assert_eq!(row, expected, "round {round}, key {place}");
            found += usize::from(row != NO_ROW);
        });
        assert_eq!(at, count);
    }
    assert!(found > 5000 && doubles > 200, "{found} keys had rows, {doubles} tables doubles");
    assert!(plain > 200, "{plain} columns of integers without texts");
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
            let index = Index::make(std::slice::from_ref(&column), &[0], len).unwrap();
            let mut found = Vec::new();
            index.find(&[column], &[vector(&[a, b])], 2, |_, row| found.push(row));
            assert_eq!(found, expected.to_vec(), "{a}, {b}");
        }
    }
}

#[test]
fn equal_texts_stand_there_once() {
    for (different, packs) in [(1, true), (7, true), (1000, true), (49_999, true), (50_001, false)]
    {
        let text = |row: usize| format!("text {}", row % different);
        let rows = 100_000;
        let (mut texts, mut plain) = (Texts::default(), Texts::default());
        for row in 0..rows {
            texts.push(&text(row));
            plain.push(&text(row));
        }
        texts.pack();
        assert_eq!(texts.len(), rows);
        assert!((0..rows).all(|row| texts.get(row) == text(row)), "{different}");
        assert_eq!(texts.byte_size() < plain.byte_size(), packs, "{different}");
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
        table.index(&[0]).unwrap();
        let size = table.byte_size() - before;
        assert!((14 * rows..14 * rows + 64).contains(&size), "{size} bytes");
    }
}
