//! Checks what a batch from elsewhere says, once, before anybody reads it: every index inside its
//! table, every text UTF-8. After it, readers can trust the tables.

use super::Batch;
use super::layout::{Series, kind, text_place};
use crate::abi::tables::{Malformed, Tables};

/// Checks a whole batch with what stands in for its parts.
///
/// # Errors
/// The first contradiction, with table, index and value.
pub fn batch(batch: &Batch) -> Result<(), Malformed> {
    let tables = batch.tables();
    series(batch.series_table(), tables.series().len())?;
    if batch.series.is_some() {
        series(tables, tables.series().len())?;
    }
    shapes(batch.shape_table(), tables.shapes().len())?;
    if batch.shapes.is_some() {
        shapes(tables, tables.shapes().len())?;
    }
    rows(batch)?;
    if let Some(words) = batch.selection() {
        if words.len() != tables.rows().len().div_ceil(64) {
            return fail(format!("a selection of {} words", words.len()));
        }
        let beyond = match tables.rows().len() % 64 {
            0 => 0,
            tail => words.last().map_or(0, |last| last >> tail),
        };
        let live: u32 = words.iter().map(|word| word.count_ones()).sum();
        if beyond != 0 || live != batch.live {
            return fail(format!("a selection of {live} rows, {} announced", batch.live));
        }
    } else if batch.live as usize != tables.rows().len() {
        return fail(format!("{} rows, {} announced", tables.rows().len(), batch.live));
    }
    Ok(())
}

fn fail<T>(what: String) -> Result<T, Malformed> {
    Err(Malformed(what))
}

fn range<'a, T>(
    table: &'a [T],
    start: u32,
    len: u32,
    what: &str,
    index: usize,
) -> Result<&'a [T], Malformed> {
    let start = start as usize;
    table.get(start..start + len as usize).ok_or_else(|| {
        Malformed(format!("{what} {index} names {len} elements at {start} of {}", table.len()))
    })
}

fn text(bytes: &[u8], start: u32, len: u32, what: &str, index: usize) -> Result<(), Malformed> {
    let text = range(bytes, start, len, what, index)?;
    if std::str::from_utf8(text).is_err() {
        return fail(format!("{what} {index} is not UTF-8"));
    }
    Ok(())
}

fn series(tables: &Tables, count: usize) -> Result<(), Malformed> {
    if tables.series().len() != count {
        return fail(format!("{} series stand in for {count}", tables.series().len()));
    }
    for (index, entry) in tables.series().iter().enumerate() {
        one_series(tables, entry, index)?;
    }
    Ok(())
}

fn one_series(tables: &Tables, entry: &Series, index: usize) -> Result<(), Malformed> {
    let block = range(tables.arena(), entry.text, entry.text_len, "series", index)?;
    text(block, 0, entry.key_len, "the key of series", index)?;
    text(block, entry.name, entry.name_len, "the name of series", index)?;
    if entry.name_len == 0 {
        return fail(format!("series {index} has no name"));
    }
    let mut last: Option<&[u8]> = None;
    for tag in range(tables.tags(), entry.tags, entry.tag_count, "series", index)? {
        text(block, tag.key, tag.key_len, "a tag key of series", index)?;
        text(block, tag.value, tag.value_len, "a tag value of series", index)?;
        let key = range(block, tag.key, tag.key_len, "series", index)?;
        if last.is_some_and(|last| last >= key) {
            return fail(format!("the tags of series {index} are not sorted and distinct"));
        }
        last = Some(key);
    }
    Ok(())
}

fn shapes(tables: &Tables, count: usize) -> Result<(), Malformed> {
    if tables.shapes().len() != count {
        return fail(format!("{} shapes stand in for {count}", tables.shapes().len()));
    }
    for (index, symbol) in tables.symbols().iter().enumerate() {
        text(tables.arena(), symbol.offset, symbol.len, "symbol", index)?;
    }
    for (index, shape) in tables.shapes().iter().enumerate() {
        for field in range(tables.fields(), shape.fields, shape.field_count, "shape", index)? {
            if field.key as usize >= tables.symbols().len() {
                return fail(format!("a field of shape {index} names symbol {}", field.key));
            }
            if field.slot >= shape.slots {
                return fail(format!(
                    "shape {index} has {} slots, not {}",
                    shape.slots, field.slot
                ));
            }
        }
    }
    Ok(())
}

fn rows(batch: &Batch) -> Result<(), Malformed> {
    let tables = batch.tables();
    for (index, row) in tables.rows().iter().enumerate() {
        if row.series as usize >= tables.series().len() {
            return fail(format!("row {index} names series {}", row.series));
        }
        let (Some(built), Some(seen)) = (
            tables.shapes().get(row.shape as usize),
            batch.shape_table().shapes().get(row.shape as usize),
        ) else {
            return fail(format!("row {index} names shape {}", row.shape));
        };
        let slots = built.slots.max(seen.slots);
        let payloads = range(tables.values(), row.values, slots, "row", index)?;
        for shape in [tables, batch.shape_table()] {
            let entry = &shape.shapes()[row.shape as usize];
            for field in range(shape.fields(), entry.fields, entry.field_count, "shape", index)? {
                let payload = payloads[field.slot as usize];
                match field.kind {
                    kind::TEXT | kind::JSON => {
                        let (start, len) = text_place(payload);
                        text(tables.arena(), start as u32, len as u32, "a text of row", index)?;
                    }
                    kind::BYTES => {
                        let (start, len) = text_place(payload);
                        range(tables.arena(), start as u32, len as u32, "bytes of row", index)?;
                    }
                    kind::F64 if !f64::from_bits(payload).is_finite() => {
                        return fail(format!("a number of row {index} is not finite"));
                    }
                    kind::BOOL if payload > 1 => {
                        return fail(format!("a boolean of row {index} is {payload}"));
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}
