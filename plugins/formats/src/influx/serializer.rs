//! Serializer `influx`: line protocol.
//!
//! A point is one copy of its series' canonical key, for each field one copy of a piece that was
//! prepared for the shape (`,key=`) and the value, and the time.

use headwater_plugin_api::abi::memory::Buffer;
use headwater_plugin_api::batch::layout::{Row, kind, text_place};
use headwater_plugin_api::batch::{Batch, escape_into};
use headwater_plugin_api::config::Size;
use headwater_plugin_api::plugin::{Context, Counter, Error, Host, Plugin, Serializer};
use memchr::memchr2;

use crate::number::write::{BLOCK, Stage, Times, Writer, stage};

headwater_plugin_api::config! {
    /// InfluxDB line protocol: `measurement,tag=value field=value time`.
    pub struct InfluxSerializerConfig {
        /// Longest line in bytes, with its line end; the fields of a longer point are split over
        /// several lines, and a field that alone is too long is left out and counted. 0 for no limit.
        pub influx_max_line_bytes: Size = Size::bytes(0),
        /// Whether to sort the fields by key.
        pub influx_sort_fields: bool = false,
        /// Whether to write unsigned integers with `u`, which InfluxDB 1 does not know; otherwise they
        /// are written as signed ones, at most 9223372036854775807.
        pub influx_uint_support: bool = false,
        /// Whether to leave out the time, so that the receiver sets it.
        pub influx_omit_timestamp: bool = false,
    }
}

/// The serializer.
pub struct InfluxSerializer {
    line_bytes_max: usize,
    sort_fields: bool,
    uint_support: bool,
    omit_timestamp: bool,
    /// By shape of the batch: its pieces' range.
    shapes: Vec<(u32, u32)>,
    pieces: Vec<Piece>,
    texts: Buffer<u8>,
    times: Times,
    /// `None` while it is in use.
    stage: Option<Stage>,
    /// What the last batch's lines took on average, in bytes.
    line_bytes: usize,
    fields_dropped: Counter,
    points_dropped: Counter,
}

/// What stands before a value: ` key=` or `,key=`.
#[derive(Clone, Copy)]
struct Piece {
    text: u32,
    len: u32,
    slot: u32,
    kind: u8,
}

impl Plugin for InfluxSerializer {
    type Config = InfluxSerializerConfig;
    const NAME: &'static str = "influx";
    const SUMMARY: &'static str = "Writes InfluxDB line protocol.";

    fn new(config: Self::Config, host: Host) -> Result<Self, Error> {
        Ok(InfluxSerializer {
            line_bytes_max: config.influx_max_line_bytes.as_usize(),
            sort_fields: config.influx_sort_fields,
            uint_support: config.influx_uint_support,
            omit_timestamp: config.influx_omit_timestamp,
            shapes: Vec::new(),
            pieces: Vec::new(),
            texts: Buffer::new(),
            times: Times::default(),
            stage: Some(stage()),
            line_bytes: 0,
            fields_dropped: host.counter("fields_dropped"),
            points_dropped: host.counter("points_dropped"),
        })
    }
}

impl Serializer for InfluxSerializer {
    fn serialize(
        &mut self,
        _cx: &Context<'_>,
        batch: &Batch,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.prepare(batch);
        // Doubling would end with up to twice the memory that is needed.
        let before = out.len();
        out.reserve_exact(batch.len() * (self.line_bytes + self.line_bytes / 16));
        let stage = self.stage.take().unwrap_or_else(stage);
        let mut writer = Writer::new(std::mem::take(out), stage);
        if self.line_bytes_max > 0 {
            batch.rows().for_each(|(_, row)| self.bounded_line(batch, row, &mut writer));
        } else if batch.selection().is_none() {
            for row in batch.tables().rows() {
                self.line(batch, row, &mut writer);
            }
        } else {
            for (_, row) in batch.rows() {
                self.line(batch, row, &mut writer);
            }
        }
        let (text, stage) = writer.finish();
        self.line_bytes = (text.len() - before) / batch.len().max(1);
        *out = text;
        self.stage = Some(stage);
        Ok(())
    }
}

impl InfluxSerializer {
    /// Makes the pieces of all shapes.
    fn prepare(&mut self, batch: &Batch) {
        self.shapes.clear();
        self.pieces.clear();
        self.texts.clear();
        for index in 0..batch.shape_count() {
            let first = self.pieces.len();
            let mut fields: Vec<_> = batch.shape(index as u32).fields().collect();
            if self.sort_fields {
                fields.sort_by(|a, b| a.0.cmp(b.0));
            }
            for (key, kind, slot) in fields {
                // Line protocol cannot carry a backslash at the end of a key.
                let key = key.trim_end_matches('\\');
                if key.is_empty() || !(kind::F64..=kind::TEXT).contains(&kind) {
                    continue;
                }
                let text = self.texts.len();
                self.texts.push(if self.pieces.len() == first { b' ' } else { b',' });
                escape_into(&mut self.texts, key, false);
                self.texts.push(b'=');
                let len = self.texts.len() - text;
                let piece = Piece { text: text as u32, len: len as u32, slot: slot as u32, kind };
                self.pieces.push(piece);
            }
            self.shapes.push((first as u32, self.pieces.len() as u32));
        }
        self.texts.extend_from_slice(&[0; BLOCK]);
    }

    fn pieces(&self, row: &Row) -> &[Piece] {
        let Some(&(first, end)) = self.shapes.get(row.shape as usize) else { return &[] };
        self.pieces.get(first as usize..end as usize).unwrap_or_default()
    }

    #[inline(always)]
    fn line(&mut self, batch: &Batch, row: &Row, out: &mut Writer) {
        let start = out.len();
        out.text(batch.series(row.series).key().as_bytes());
        let fields = out.len();
        let payloads = batch.payloads(row);
        let arena = batch.tables().arena();
        for piece in self.pieces(row) {
            let payload = payloads.get(piece.slot as usize).copied().unwrap_or_default();
            self.put_field(out, piece, payload, arena);
        }
        if out.len() == fields {
            out.truncate(start);
            self.points_dropped.add(1);
            return;
        }
        // The first field may have been left out.
        out.set(fields, b' ');
        self.put_end(out, row);
    }

    /// Writes a point on as many lines as it needs.
    #[inline(never)]
    fn bounded_line(&mut self, batch: &Batch, row: &Row, out: &mut Writer) {
        let before = out.len();
        self.put_end(out, row);
        let end = out.take_from(before);
        let key = batch.series(row.series);
        let key = key.key().as_bytes();
        let payloads = batch.payloads(row);
        let arena = batch.tables().arena();
        // Bytes of the line under construction.
        let mut len = 0;
        let mut wrote = false;
        for piece in self.pieces(row) {
            let before = out.len();
            let payload = payloads.get(piece.slot as usize).copied().unwrap_or_default();
            self.put_field(out, piece, payload, arena);
            let field = out.len() - before;
            if field == 0 {
                continue;
            }
            if key.len() + field + end.len() > self.line_bytes_max {
                out.truncate(before);
                self.fields_dropped.add(1);
                continue;
            }
            wrote = true;
            if len > 0 && len + field + end.len() <= self.line_bytes_max {
                out.set(before, b',');
                len += field;
                continue;
            }
            let field = out.take_from(before);
            if len > 0 {
                out.text(&end);
            }
            out.text(key);
            let at = out.len();
            out.text(&field);
            out.set(at, b' ');
            len = key.len() + field.len();
        }
        if wrote {
            out.text(&end);
        } else {
            self.points_dropped.add(1);
        }
    }

    /// Writes the time and the line's end.
    #[inline(always)]
    fn put_end(&mut self, out: &mut Writer, row: &Row) {
        out.reserve();
        if !self.omit_timestamp {
            out.push(b' ');
            self.times.write(out, row.time);
        }
        out.push(b'\n');
    }

    /// Writes a field, or nothing if its value cannot be written.
    #[inline(always)]
    fn put_field(&self, out: &mut Writer, piece: &Piece, payload: u64, arena: &[u8]) {
        if piece.kind == kind::F64 && !f64::from_bits(payload).is_finite() {
            return;
        }
        out.reserve();
        out.short(self.texts.get(piece.text as usize..).unwrap_or_default(), piece.len as usize);
        match piece.kind {
            kind::F64 => out.double(f64::from_bits(payload)),
            kind::I64 => {
                out.signed(payload as i64);
                out.push(b'i');
            }
            kind::U64 if self.uint_support => {
                out.unsigned(payload);
                out.push(b'u');
            }
            kind::U64 => {
                out.unsigned(payload.min(i64::MAX as u64));
                out.push(b'i');
            }
            kind::BOOL => out.text(if payload != 0 { b"true" } else { b"false" }),
            _ => {
                let (offset, len) = text_place(payload);
                put_text(out, arena.get(offset..offset + len).unwrap_or_default());
            }
        }
    }
}

/// Writes text in double quotes.
#[inline]
fn put_text(out: &mut Writer, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        out.text(&rest[..at]);
        out.reserve();
        out.push(b'\\');
        out.push(rest[at]);
        rest = &rest[at + 1..];
    }
    out.text(rest);
    out.reserve();
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::{BatchBuilder, Value};
    use headwater_plugin_api::testkit;

    fn write(config: &str, batch: &Batch) -> String {
        let mut driven = testkit::serializer::<InfluxSerializer>(config).unwrap();
        String::from_utf8(driven.serialize(batch).unwrap()).unwrap()
    }

    fn sample() -> Batch {
        let mut builder = BatchBuilder::default();
        builder
            .point("my cpu")
            .tag("host", "a b")
            .field("z", 63.94)
            .field("a=", -5_i64)
            .field("big", u64::MAX)
            .field("on", true)
            .field("text", "say \"hi\" \\ there")
            .finish(1_700_000_000_000_000_001)
            .unwrap();
        builder.finish().unwrap()
    }

    #[test]
    fn each_kind_in_line_protocol() {
        assert_eq!(
            write("", &sample()),
            "my\\ cpu,host=a\\ b z=63.94,a\\==-5i,big=9223372036854775807i,on=true,\
             text=\"say \\\"hi\\\" \\\\ there\" 1700000000000000001\n"
        );
        assert_eq!(
            write(
                "influx_sort_fields = true\ninflux_uint_support = true\ninflux_omit_timestamp = true",
                &sample()
            ),
            "my\\ cpu,host=a\\ b a\\==-5i,big=18446744073709551615u,on=true,\
             text=\"say \\\"hi\\\" \\\\ there\",z=63.94\n"
        );
    }

    #[test]
    fn long_points_are_split() {
        let mut builder = BatchBuilder::default();
        builder
            .point("m")
            .field("a", 1_i64)
            .field("b", 2_i64)
            .field("text", "much too long for a line")
            .field("c", 3_i64)
            .finish(5)
            .unwrap();
        builder.point("m").field("text", "much too long for a line").finish(6).unwrap();
        let batch = builder.finish().unwrap();
        let mut driven =
            testkit::serializer::<InfluxSerializer>("influx_max_line_bytes = 13").unwrap();
        let text = String::from_utf8(driven.serialize(&batch).unwrap()).unwrap();
        assert_eq!(text, "m a=1i,b=2i 5\n".replace(",b=2i 5\n", " 5\nm b=2i 5\nm c=3i 5\n"));
        assert!(text.lines().all(|line| line.len() < 13));
        assert_eq!(driven.host.metric("fields_dropped"), 2);
        assert_eq!(driven.host.metric("points_dropped"), 1);
        let batch = sample();
        assert_eq!(write("influx_max_line_bytes = 1000", &batch), write("", &batch));
    }

    #[test]
    fn numbers_that_are_not_finite_are_left_out() {
        let mut builder = BatchBuilder::default();
        for time in 0..3 {
            builder.point("m").field("a", 1.5).field("b", 2.5).finish(time).unwrap();
        }
        let mut batch = builder.finish().unwrap();
        batch.edit_values(|_, values, _| {
            values[0] = f64::NAN.to_bits();
            values[3] = f64::INFINITY.to_bits();
            values[4] = f64::NAN.to_bits();
            values[5] = f64::NEG_INFINITY.to_bits();
        });
        assert_eq!(write("", &batch), "m b=2.5 0\nm a=1.5 1\n");
    }

    #[test]
    fn only_live_rows_are_written() {
        let mut builder = BatchBuilder::default();
        for time in -2..3 {
            builder.point("m").field("a", time).finish(time).unwrap();
        }
        let mut batch = builder.finish().unwrap();
        batch.retain(|_, row| row.time % 2 == 0);
        assert_eq!(write("", &batch), "m a=-2i -2\nm a=0i 0\nm a=2i 2\n");
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut random = crate::testing::Random::new(6);
        let words = ["a", "ü", " ", ",", "=", "\"", "\\", "b c", "\\\\", "x\\", "t,=", "0"];
        let mut builder = BatchBuilder::default();
        for time in 0..5_000 {
            let mut text = || {
                let mut text = String::from("k");
                for _ in 0..random.below(5) {
                    text.push_str(random.pick(&words));
                }
                text.push('e');
                text
            };
            let (name, key, value, field, string) = (text(), text(), text(), text(), text());
            let float = f64::from_bits(random.next());
            let float = if float.is_finite() { float } else { 0.1 };
            builder
                .point(&name)
                .tag(&key, &value)
                .field(&field, string.as_str())
                .field("float", float)
                .field("int", random.next() as i64)
                .field("uint", random.next())
                .field("bool", random.below(2) == 0)
                .finish(time)
                .unwrap();
        }
        let batch = builder.finish().unwrap();
        let text = write("influx_uint_support = true", &batch);
        let mut parser = testkit::parser::<crate::influx::InfluxParser>("").unwrap();
        let (back, result) = parser.parse(text.as_bytes(), 0);
        result.unwrap();
        assert_eq!(back.bad.first(), None);
        for (read, written) in back.points().iter().zip(testkit::lines([&batch])) {
            assert_eq!(*read, written);
        }
        assert_eq!(back.points().len(), batch.len());
        let floats = |batch: &Batch| -> Vec<u64> {
            let bits = batch.points().map(|point| match point.field("float") {
                Some(Value::F64(value)) => value.to_bits(),
                _ => 0,
            });
            bits.collect()
        };
        let read: Vec<u64> = back.batches.iter().flat_map(floats).collect();
        assert_eq!(read, floats(&batch));
    }
}
