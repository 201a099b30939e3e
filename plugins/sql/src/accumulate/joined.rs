//! All values of a group as one text.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::codec::{Read, Reader, put_text, put_time};
use super::kernel::{To, heap_bytes};
use super::lists::{Kept, Lists, by_lists};
use super::{Accumulator, Input};
use crate::error::Failures;
use crate::eval::cast::MAX_TEXT;
use crate::plan::AggregateFunction;
use crate::vector::{Bits, Data, Vector};

/// A text with its time.
#[derive(Clone)]
struct Piece {
    time: i64,
    text: Box<str>,
}

impl Kept for Piece {
    fn heap(&self) -> usize {
        heap_bytes(self.text.len())
    }

    fn order(&self, other: &Piece) -> Ordering {
        self.time.cmp(&other.time).then_with(|| self.text.cmp(&other.text))
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_time(out, self.time);
        put_text(out, &self.text);
    }

    fn read(from: &mut Reader<'_>) -> Read<Piece> {
        Ok(Piece { time: from.time()?, text: from.text()?.into() })
    }
}

/// The texts of each group.
pub struct Joined {
    lists: Lists<Piece>,
}

impl Joined {
    /// `most` bounds the bytes that are held.
    pub fn new(most: usize) -> Self {
        Joined { lists: Lists::new(most) }
    }

    /// The texts of a group, those of one time in alphabetical order; none if they are too long.
    fn text(&self, group: usize, separator: &str, failures: &mut Failures) -> Option<String> {
        let pieces = self.lists.get(group)?;
        let between = separator.len() * (pieces.len() - 1);
        let length = pieces.iter().map(|piece| piece.text.len()).sum::<usize>() + between;
        if length > MAX_TEXT {
            failures.size += 1;
            return None;
        }
        let mut out = String::with_capacity(length);
        for (at, piece) in self.lists.sorted(group).iter().enumerate() {
            out.push_str(if at > 0 { separator } else { "" });
            out.push_str(&piece.text);
        }
        Some(out)
    }
}

impl Accumulator for Joined {
    by_lists!();

    fn add(&mut self, values: &Vector<'_>, input: &Input<'_>, _failures: &mut Failures) {
        self.lists.fit(input.len);
        for (row, group) in input.groups.iter().enumerate() {
            if let Some(text) = values.cell(row).text() {
                let piece = Piece { time: (input.time)(row), text: text.into() };
                self.lists.push(*group as usize, piece);
            }
        }
    }

    fn finish(
        &self,
        function: AggregateFunction,
        groups: &[u32],
        failures: &mut Failures,
    ) -> Vector<'_> {
        let AggregateFunction::StringAgg(separator) = function else { return Vector::null() };
        self.lists.count_full(groups, failures);
        let text = |group: &u32| self.text(*group as usize, separator.text(), failures);
        let texts: Vec<Option<String>> = groups.iter().map(text).collect();
        let valid = Bits::of(texts.len(), |row| texts[row].is_some());
        let texts = texts.into_iter().map(|text| Cow::Owned(text.unwrap_or_default()));
        Vector::with(Data::Text(texts.collect()), Some(valid))
    }
}
