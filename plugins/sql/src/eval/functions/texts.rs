//! Functions over text.

use std::borrow::Cow;

use super::Function;
use crate::eval::arith::mismatch;
use crate::eval::cast::MAX_TEXT;
use crate::eval::{Context, both, text};
use crate::vector::{Bits, Cell, Data, Kind, Vector};

/// Functions over text, row by row.
pub fn call<'a>(function: Function, args: &[Vector<'a>], n: usize, cx: &mut Context) -> Vector<'a> {
    use Function as F;
    let valid = args.iter().fold(None, |valid, arg| both(&valid, &arg.validity(n)));
    let Data::Text(values) = &args[0].data else { return mismatch(valid, n, cx) };
    let is_text = |at: usize| args.get(at).is_none_or(|arg| arg.kind() == Kind::Text);
    let is_int = |at: usize| args.get(at).is_none_or(|arg| arg.kind() == Kind::Int);
    let fits = match function {
        F::Lower | F::Upper | F::Length | F::OctetLength | F::Reverse => true,
        F::Trim | F::LTrim | F::RTrim | F::StartsWith | F::EndsWith | F::Contains | F::StrPos => {
            is_text(1)
        }
        F::Replace => is_text(1) && is_text(2),
        F::SplitPart => is_text(1) && is_int(2),
        F::Substr => is_int(1) && is_int(2),
        F::Left | F::Right | F::Repeat => is_int(1),
        F::LPad | F::RPad => is_int(1) && is_text(2),
        _ => false,
    };
    if !fits {
        return mismatch(valid, n, cx);
    }
    let value = |row: usize| -> &Cow<'a, str> { &values[args[0].place(row)] };
    let text_at = |at: usize, row: usize| match args.get(at).map(|arg| (&arg.data, arg.place(row)))
    {
        Some((Data::Text(values), place)) => Some(values[place].as_ref()),
        _ => None,
    };
    let int_at = |at: usize, row: usize| match args.get(at).map(|arg| arg.cell(row)) {
        Some(Cell::Int(value, _)) => Some(value),
        _ => None,
    };
    let or_none = |at: usize, row: usize| text_at(at, row).unwrap_or_default();
    let owned = |text: String| Some(Cow::Owned(text));
    let made = match function {
        F::StartsWith | F::EndsWith | F::Contains => {
            let bits = Bits::of(n, |row| {
                let (text, part) = (value(row), or_none(1, row));
                match function {
                    F::StartsWith => text.starts_with(part),
                    F::EndsWith => text.ends_with(part),
                    _ => text.contains(part),
                }
            });
            Vector::with(Data::Bool(bits), valid.clone())
        }
        F::Length | F::OctetLength | F::StrPos => {
            let count = |row: usize| {
                let text = value(row);
                match function {
                    F::Length => text.chars().count(),
                    F::OctetLength => text.len(),
                    _ => text.find(or_none(1, row)).map_or(0, |at| text[..at].chars().count() + 1),
                }
            };
            let values = (0..n).map(|row| count(row) as i128).collect();
            Vector::with(Data::Int { values, unsigned: false }, valid.clone())
        }
        _ => text::build(valid.clone(), n, cx, |row| {
            let text = value(row);
            match function {
                F::Lower => owned(text::lower(text)),
                F::Upper => owned(text::upper(text)),
                F::Reverse => owned(text.chars().rev().collect()),
                F::Replace => {
                    let from = or_none(1, row);
                    if from.is_empty() {
                        return Some(text.clone());
                    }
                    owned(text.replace(from, or_none(2, row)))
                }
                F::Trim | F::LTrim | F::RTrim => {
                    let chars: Vec<char> = text_at(1, row).unwrap_or(" ").chars().collect();
                    let cut = match function {
                        F::LTrim => text.trim_start_matches(chars.as_slice()),
                        F::RTrim => text.trim_end_matches(chars.as_slice()),
                        _ => text.trim_matches(chars.as_slice()),
                    };
                    owned(cut.to_owned())
                }
                F::Substr => {
                    let start = int_at(1, row)?;
                    let end = match int_at(2, row) {
                        Some(length) if length < 0 => return None,
                        Some(length) => start.saturating_add(length),
                        None => i128::MAX,
                    };
                    let skip = start.max(1) - 1;
                    let take = end.saturating_sub(start.max(1)).max(0);
                    owned(text.chars().skip(size(skip)).take(size(take)).collect())
                }
                F::Left | F::Right => {
                    let count = int_at(1, row)?;
                    let all = text.chars().count() as i128;
                    let count = if count < 0 { (all + count).max(0) } else { count.min(all) };
                    let skip = if function == F::Right { all - count } else { 0 };
                    owned(text.chars().skip(size(skip)).take(size(count)).collect())
                }
                F::SplitPart => {
                    let (by, part) = (or_none(1, row), int_at(2, row).filter(|at| *at != 0)?);
                    let parts: Vec<&str> =
                        if by.is_empty() { vec![text] } else { text.split(by).collect() };
                    let at = if part < 0 { parts.len() as i128 + part } else { part - 1 };
                    let found = usize::try_from(at).ok().and_then(|at| parts.get(at));
                    owned(found.copied().unwrap_or_default().to_owned())
                }
                F::Repeat => {
                    let times = size(int_at(1, row)?);
                    // One more than allowed is refused behind this.
                    let most = MAX_TEXT / text.len().max(1) + 1;
                    owned(text.repeat(times.min(most)))
                }
                F::LPad | F::RPad => {
                    let length = size(int_at(1, row)?).min(MAX_TEXT + 1);
                    let fill: Vec<char> = text_at(2, row).unwrap_or(" ").chars().collect();
                    let have = text.chars().count();
                    if have >= length || fill.is_empty() {
                        return owned(text.chars().take(length).collect());
                    }
                    let padding = fill.iter().cycle().take(length - have);
                    owned(match function {
                        F::LPad => padding.copied().chain(text.chars()).collect(),
                        _ => text.chars().chain(padding.copied()).collect(),
                    })
                }
                _ => None,
            }
        }),
    };
    count_refused(function, &made, valid.as_ref(), n, cx);
    made
}

/// A negative length and the part before the first are no text: NULL, and counted.
fn count_refused(
    function: Function,
    made: &Vector<'_>,
    valid: Option<&Bits>,
    n: usize,
    cx: &mut Context,
) {
    if matches!(function, Function::Substr | Function::SplitPart) {
        let given = |row: &usize| valid.is_none_or(|valid| valid.get(*row));
        let lost = (0..n).filter(given).filter(|row| !made.is_valid(*row) && cx.counts(*row));
        cx.failures.domain += lost.count() as u64;
    }
}

fn size(count: i128) -> usize {
    usize::try_from(count.max(0)).unwrap_or(usize::MAX)
}
