//! Which values are there most often, from the counts of all.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::distinct::Distinct;
use super::held::{self, Held};
use super::value::Key;
use crate::json;
use crate::plan::AggregateFunction;
use crate::vector::{Bits, Cell, Data, Vector};

/// The values of a group with their counts, the most frequent first; of equally many the least.
fn ranked(from: &Distinct, group: u32) -> Vec<(Held, u64)> {
    let mut list: Vec<(Held, u64)> = from
        .counted(group)
        .map(|(key, count)| {
            let cell = match key {
                Key::Text(text) => Cell::Text(text),
                Key::Plain(tag, bytes) => tag.cell(bytes),
            };
            let cell = match cell {
                Cell::Int(value, _) if from.has_floats() => Cell::Float(value as f64),
                cell => cell,
            };
            (Held::of(cell), count)
        })
        .collect();
    let order = |a: &(Held, u64), b: &(Held, u64)| -> Ordering {
        b.1.cmp(&a.1).then_with(|| a.0.order(b.0.cell()))
    };
    list.sort_by(order);
    list
}

fn mode(from: &Distinct, group: u32) -> Held {
    ranked(from, group).into_iter().next().map_or(Held::None, |(held, _)| held)
}

/// Whether modes of these groups are of several kinds.
pub fn is_mixed(from: &Distinct, groups: &[u32]) -> bool {
    let mut tags = groups.iter().map(|group| mode(from, *group).tag()).filter(|tag| *tag != 0);
    tags.next().is_some_and(|first| tags.any(|tag| tag != first))
}

/// `[{"value":"a","count":3},{"value":"b","count":1}]`
fn text(list: &[(Held, u64)]) -> String {
    let mut out = String::from("[");
    for (at, (held, count)) in list.iter().enumerate() {
        out.push_str(if at > 0 { ",{\"value\":" } else { "{\"value\":" });
        json::push(&mut out, held.cell());
        out.push_str(",\"count\":");
        out.push_str(&count.to_string());
        out.push('}');
    }
    out.push(']');
    out
}

/// The results of a function that asks how often values are there.
pub fn finish<'a>(from: &Distinct, function: AggregateFunction, groups: &[u32]) -> Vector<'a> {
    let AggregateFunction::TopK(most) = function else {
        return held::gathered(groups.iter().map(|group| mode(from, *group)).collect());
    };
    let texts: Vec<Option<String>> = groups
        .iter()
        .map(|group| {
            let list = ranked(from, *group);
            let list = &list[..list.len().min(usize::from(most))];
            (!list.is_empty()).then(|| text(list))
        })
        .collect();
    let valid = Bits::of(texts.len(), |row| texts[row].is_some());
    let texts = texts.into_iter().map(|text| Cow::Owned(text.unwrap_or_default()));
    Vector::with(Data::Text(texts.collect()), Some(valid))
}
