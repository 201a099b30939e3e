//! The batch view: any bytes as a serial form are refused or harmless, whatever is done with them.

use headwater_plugin_api::batch::{Batch, BatchBuilder, FieldEdit, SeriesEdit, SeriesMap, Value};

/// A batch with something of each kind in it, serialized.
pub fn sample() -> Vec<u8> {
    let mut builder = BatchBuilder::default();
    for i in 0..6_i64 {
        let host = format!("h{}", i % 2);
        let mut point = builder.point(if i == 5 { "other" } else { "m e" }).tag("host", &host);
        if i % 3 == 0 {
            point = point.tag("rack", "é");
        }
        let mut point = point.field("i", i - 3).field("f", i as f64 / 4.0);
        if i != 2 {
            point = point.field("t", "text").field("on", i > 3).field("u", u64::MAX);
        }
        // The sample's points are within all limits.
        let _ = point.finish(i * 1000);
    }
    let mut bytes = Vec::new();
    if let Some(batch) = builder.finish() {
        batch.serialize_into(&mut bytes);
    }
    bytes
}

/// With a first byte of 0 the rest is the serial form; else it is a list of changes, three bytes each,
/// of the sample: so that what lies behind the first checks is reached at once.
///
/// # Panics
/// If something of an accepted batch cannot be read, or its round trip changes it.
pub fn check(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    if first == 0 {
        return read(rest);
    }
    let mut bytes = sample();
    for change in rest.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = bytes[at].wrapping_add(change[2]);
    }
    read(&bytes);
}

/// Does everything that can be done with a batch.
pub fn read(bytes: &[u8]) {
    let Ok(batch) = Batch::deserialize(bytes) else { return };
    let lines = touch(&batch);
    let mut again = Vec::new();
    batch.serialize_into(&mut again);
    match Batch::deserialize(&again) {
        Ok(back) => assert_eq!(touch(&back), lines, "the round trip"),
        Err(error) => panic!("its own serial form is refused: {error}"),
    }
    edit(&batch);
    assert_eq!(touch(&batch), lines, "edits of clones changed the batch");
}

/// Reads every point.
fn touch(batch: &Batch) -> Vec<String> {
    let mut lines = Vec::new();
    for point in batch.points() {
        let series = point.series();
        let mut line = series.name().to_owned();
        for (key, value) in series.tags() {
            line.push_str(&format!(",{key:?}={value:?}"));
            let _ = series.tag(key);
        }
        for (key, value) in point.fields() {
            // Bits, for a batch may hold what is equal to nothing.
            let value = match value {
                Value::F64(v) => format!("{:x}", v.to_bits()),
                other => format!("{other:?}"),
            };
            line.push_str(&format!(" {key:?}={value}"));
            let _ = point.field(key);
        }
        line.push_str(&format!(" {}", point.time()));
        lines.push(line);
    }
    lines
}

/// Changes clones in every way, and reads and serializes what comes of it.
fn edit(batch: &Batch) {
    let reread = |batch: &Batch| {
        let lines = touch(batch);
        let mut bytes = Vec::new();
        batch.serialize_into(&mut bytes);
        match Batch::deserialize(&bytes) {
            Ok(back) => assert_eq!(touch(&back).len(), lines.len()),
            Err(error) => panic!("an edited batch is refused: {error}"),
        }
    };
    let mut rows = batch.clone();
    rows.edit_rows(|rows| rows.iter_mut().for_each(|row| row.time = row.time.wrapping_add(1)));
    reread(&rows);
    let mut some = batch.clone();
    let mut index = 0;
    some.retain(|_, _| {
        index += 1;
        index % 2 == 0
    });
    reread(&some);
    let mut series = batch.clone();
    let _ = SeriesMap::new().apply(&mut series, |series, draft| match series.tag("host") {
        Some("h0") => SeriesEdit::Drop,
        Some(_) => {
            draft.name.push('2');
            draft.set_tag("dc", "x");
            SeriesEdit::Replace
        }
        None => SeriesEdit::Keep,
    });
    reread(&series);
    let mut fields = batch.clone();
    fields.edit_fields(|key, _| match key.len() % 3 {
        0 => FieldEdit::Drop,
        1 => FieldEdit::Rename("new".into()),
        _ => FieldEdit::Keep,
    });
    reread(&fields);
    let mut values = series;
    values.edit_values(|rows, values, arena| {
        let _ = arena.push("text");
        for row in rows {
            if let Some(value) = values.get_mut(row.values as usize) {
                *value = value.wrapping_add(0);
            }
        }
    });
    reread(&values);
    reread(&values.compact());
}

#[cfg(test)]
mod tests {
    use headwater_plugin_api::batch::layout;

    use super::*;
    use crate::load::Random;

    #[test]
    fn the_sample_is_accepted() {
        let batch = Batch::deserialize(&sample()).unwrap();
        assert_eq!(batch.len(), 6);
        read(&sample());
    }

    #[test]
    fn what_was_found() {
        // Text that became a reserved kind kept its place in an arena that it had left.
        let mut bytes = sample();
        for at in 0..bytes.len() {
            if bytes[at] == layout::kind::TEXT {
                for kind in [layout::kind::BYTES, layout::kind::JSON] {
                    bytes[at] = kind;
                    read(&bytes);
                }
                bytes[at] = layout::kind::TEXT;
            }
        }
    }

    #[test]
    fn every_byte_changed() {
        let bytes = sample();
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                read(&changed);
            }
            read(&bytes[..at]);
        }
    }

    #[test]
    fn random_changes() {
        let mut random = Random::new(5);
        for _ in 0..30_000 {
            let mut data = vec![1];
            for _ in 0..random.below(6) + 1 {
                data.extend_from_slice(&random.bits().to_le_bytes()[3..6]);
            }
            check(&data);
        }
    }
}
