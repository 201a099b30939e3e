//! The one serial form of a batch: a head, a directory of sections, the sections.
//!
//! ```text
//! 0   "HWBATCH1"
//! 8   u32 layout version, u32 number of sections
//! 16  u64 bytes of the whole
//! 24  directory: per section u32 id, u32 flags, u32 element size, u32 0, u64 offset, u64 elements
//! ..  sections, each at a multiple of 8 bytes, padding zero
//! ```

use super::Batch;
use super::layout::section;
use super::validate;
use crate::abi::tables::{LAYOUT_VERSION, TableSet, carry, read_elements};

const MAGIC: &[u8; 8] = b"HWBATCH1";
const HEAD: usize = 24;
const ENTRY: usize = 32;

/// Why a serial form was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialError(pub String);

impl std::fmt::Display for SerialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a batch: {}", self.0)
    }
}

impl std::error::Error for SerialError {}

impl Batch {
    /// A batch of the live points alone, in which nothing stands in for anything. Unknown sections
    /// are lost only if points had to be left out or tables rebuilt.
    pub fn compact(&self) -> Batch {
        if self.series.is_none() && self.shapes.is_none() && self.selection.is_none() {
            return self.clone();
        }
        let mut builder = super::BatchBuilder::new(super::Limits {
            rows: u32::MAX,
            batch_bytes: u32::MAX,
            ..super::Limits::DEFAULT
        });
        for point in self.points() {
            // The limits above leave nothing to refuse: the point stood in a batch already.
            let _ = builder.copy_point(&point);
        }
        let mut compact = builder
            .finish()
            .unwrap_or_else(|| Batch::new(TableSet::default().freeze(), (i64::MAX, i64::MIN)));
        compact.origin = self.origin;
        compact.sequence = self.sequence;
        compact.delivery = self.delivery.clone();
        compact
    }

    /// Appends the serial form of the live points.
    pub fn serialize_into(&self, out: &mut Vec<u8>) {
        let compact = self.compact();
        let tables = compact.tables();
        let start = out.len();
        let sections = tables.sections();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&LAYOUT_VERSION.to_le_bytes());
        out.extend_from_slice(&(sections.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        let mut offset = HEAD + sections.len() * ENTRY;
        for entry in sections {
            for word in [entry.id, entry.flags, entry.element_size, 0] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            out.extend_from_slice(&(offset as u64).to_le_bytes());
            out.extend_from_slice(&entry.len.to_le_bytes());
            offset += tables.section_bytes(entry).len().next_multiple_of(8);
        }
        for entry in sections {
            let bytes = tables.section_bytes(entry);
            out.extend_from_slice(bytes);
            out.resize(out.len() + bytes.len().next_multiple_of(8) - bytes.len(), 0);
        }
        let total = (out.len() - start) as u64;
        out[start + 16..start + 24].copy_from_slice(&total.to_le_bytes());
    }

    /// Reads a serial form, which must fill `bytes` exactly, and checks all that it says.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn deserialize(bytes: &[u8]) -> Result<Batch, SerialError> {
        let fail = |what: String| Err(SerialError(what));
        let u32_at = |at: usize| -> Option<u32> {
            Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
        };
        let u64_at = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
        };
        if bytes.get(..8) != Some(MAGIC) {
            return fail("it does not begin with HWBATCH1".into());
        }
        let (Some(version), Some(count), Some(total)) = (u32_at(8), u32_at(12), u64_at(16)) else {
            return fail(format!("{} bytes are less than a head", bytes.len()));
        };
        if version >> 16 != LAYOUT_VERSION >> 16 {
            return fail(format!("layout version {}.{}", version >> 16, version & 0xffff));
        }
        if total != bytes.len() as u64 {
            return fail(format!("{} bytes where {total} were announced", bytes.len()));
        }
        if count > 1024 {
            return fail(format!("{count} sections"));
        }
        let mut set = TableSet::default();
        let mut seen = [false; section::SELECTION as usize + 1];
        for index in 0..count as usize {
            let at = HEAD + index * ENTRY;
            let (Some(id), Some(flags), Some(size), Some(offset), Some(len)) =
                (u32_at(at), u32_at(at + 4), u32_at(at + 8), u64_at(at + 16), u64_at(at + 24))
            else {
                return fail(format!("section {index} is cut off"));
            };
            let data = (len.checked_mul(size as u64))
                .and_then(|bytes| usize::try_from(bytes).ok())
                .zip(usize::try_from(offset).ok())
                .and_then(|(len, offset)| Some((offset, offset.checked_add(len)?)))
                .and_then(|(start, end)| bytes.get(start..end));
            let Some(data) = data else {
                return fail(format!("section {id} lies outside"));
            };
            if let Some(seen) = seen.get_mut(id as usize) {
                if std::mem::replace(seen, true) {
                    return fail(format!("section {id} stands twice"));
                }
                let expected = match id {
                    section::ARENA => 1,
                    section::SYMBOLS | section::VALUES | section::SELECTION => 8,
                    section::SERIES => 48,
                    section::TAGS | section::SHAPES => 16,
                    section::FIELDS => 12,
                    section::ROWS => 24,
                    _ => 0,
                };
                if size != expected {
                    return fail(format!("section {id} has elements of {size} bytes"));
                }
            }
            match id {
                section::ARENA => set.arena = read_elements(data),
                section::SYMBOLS => set.symbols = read_elements(data),
                section::SERIES => set.series = read_elements(data),
                section::TAGS => set.tags = read_elements(data),
                section::SHAPES => set.shapes = read_elements(data),
                section::FIELDS => set.fields = read_elements(data),
                section::ROWS => set.rows = read_elements(data),
                section::VALUES => set.values = read_elements(data),
                section::SELECTION => return fail("a selection in a serial form".into()),
                _ if flags & section::MUST_UNDERSTAND != 0 => {
                    return fail(format!("section {id} must be understood and is not known here"));
                }
                _ => set.carried.push((id, flags, size, carry(data), len)),
            }
        }
        let times = set.rows.iter().map(|row| row.time);
        let range = times.fold((i64::MAX, i64::MIN), |(a, b), t| (a.min(t), b.max(t)));
        let batch = Batch::new(set.freeze(), range);
        validate::batch(&batch).map_err(|malformed| SerialError(malformed.0))?;
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::tables::Tables;
    use crate::batch::BatchBuilder;

    fn sample() -> Batch {
        let mut builder = BatchBuilder::default();
        for i in 0..5_i64 {
            let point = builder.point("m e").tag("host", if i % 2 == 0 { "a" } else { "b" });
            let point = point.field("i", i).field("f", i as f64 / 2.0).field("t", "text");
            let point = if i == 3 { point.field("on", true) } else { point };
            point.finish(i * 1000).unwrap();
        }
        builder.finish().unwrap()
    }

    fn sections(tables: &Tables) -> impl Iterator<Item = (u32, u32, u32, &[u8])> {
        let entries = tables.sections().iter();
        entries.map(|e| (e.id, e.flags, e.element_size, tables.section_bytes(e)))
    }

    fn lines(batch: &Batch) -> Vec<String> {
        batch.points().map(|point| format!("{point:?}")).collect()
    }

    #[test]
    fn round_trip() {
        let batch = sample();
        let mut bytes = vec![];
        batch.serialize_into(&mut bytes);
        let back = Batch::deserialize(&bytes).unwrap();
        assert_eq!(lines(&back), lines(&batch));
        let mut again = vec![];
        back.serialize_into(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn only_what_is_alive_is_written() {
        let mut batch = sample();
        batch.retain(|_, row| row.time >= 2000);
        let mut bytes = vec![];
        batch.serialize_into(&mut bytes);
        assert_eq!(lines(&Batch::deserialize(&bytes).unwrap()), lines(&batch));
    }

    #[test]
    fn unknown_sections_are_carried_unless_they_must_be_understood() {
        let mut bytes = vec![];
        sample().serialize_into(&mut bytes);
        let with = |flags: u32| {
            let mut bytes = bytes.clone();
            let count = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
            let data_at = HEAD + count * ENTRY;
            let mut entry = vec![];
            for word in [77, flags, 4, 0] {
                entry.extend_from_slice(&u32::to_le_bytes(word));
            }
            entry.extend_from_slice(&((bytes.len() + ENTRY) as u64).to_le_bytes());
            entry.extend_from_slice(&2_u64.to_le_bytes());
            bytes.splice(data_at..data_at, entry);
            for at in 0..count {
                let place = HEAD + at * ENTRY + 16;
                let offset = u64::from_le_bytes(bytes[place..place + 8].try_into().unwrap());
                bytes[place..place + 8].copy_from_slice(&(offset + ENTRY as u64).to_le_bytes());
            }
            bytes.extend_from_slice(b"newthing");
            bytes[12..16].copy_from_slice(&(count as u32 + 1).to_le_bytes());
            let total = bytes.len() as u64;
            bytes[16..24].copy_from_slice(&total.to_le_bytes());
            bytes
        };
        let batch = Batch::deserialize(&with(0)).unwrap();
        let mut edited = batch.clone();
        edited.edit_rows(|rows| rows[0].time = 1);
        for batch in [batch, edited] {
            let carried = sections(batch.tables()).find(|s| s.0 == 77).unwrap();
            assert_eq!(carried, (77, 0, 4, &b"newthing"[..]));
            let mut again = vec![];
            batch.serialize_into(&mut again);
            assert!(Batch::deserialize(&again).is_ok());
        }
        let refused = Batch::deserialize(&with(1)).unwrap_err().to_string();
        assert!(refused.contains("section 77 must be understood"), "{refused}");
    }

    #[test]
    fn any_flipped_byte_is_refused_or_harmless() {
        let mut bytes = vec![];
        sample().serialize_into(&mut bytes);
        let (mut refused, mut read) = (0, 0);
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut broken = bytes.clone();
                broken[at] ^= flip;
                match Batch::deserialize(&broken) {
                    Err(_) => refused += 1,
                    Ok(batch) => {
                        // Reading everything must neither panic nor leave the tables.
                        lines(&batch);
                        let mut out = vec![];
                        batch.serialize_into(&mut out);
                        read += 1;
                    }
                }
            }
            assert!(Batch::deserialize(&bytes[..at]).is_err());
        }
        assert!(refused > 0 && read > 0, "{refused} refused, {read} read");
    }
}
