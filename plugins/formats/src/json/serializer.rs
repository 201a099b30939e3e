//! Serializer `json`: an object for each point, with `fields`, `name`, `tags` and `timestamp`.

use headwater_plugin_api::batch::layout::{Row, kind, text_place};
use headwater_plugin_api::batch::{Batch, SeriesRef};
use headwater_plugin_api::config::{Duration, GlobFilter, GlobSet};
use headwater_plugin_api::plugin::{Context, Error, Host, Plugin, Serializer};

use super::query::skip;
use super::scan::skip_blanks;
use crate::number::write::{Stage, Writer, stage};
use headwater_plugin_api::time::Layout;

headwater_plugin_api::config! {
    /// JSON: `{"fields":{...},"name":"...","tags":{...},"timestamp":...}` for each point.
    pub struct JsonSerializerConfig {
        /// Unit of the time: a power of ten of nanoseconds, others are rounded down to one.
        pub json_timestamp_units: Duration = Duration::from_secs(1),
        /// The time as text in Go's notation, in UTC, such as "2006-01-02T15:04:05Z07:00"; empty for a
        /// number.
        pub json_timestamp_format: String = String::new(),
        /// Keys of texts that hold JSON and are written as such, as globs.
        pub json_nested_fields_include: GlobSet = GlobSet::default(),
        /// Keys that are written as text all the same, as globs.
        pub json_nested_fields_exclude: GlobSet = GlobSet::default(),
        /// Whether to write one object `{"metrics":[...]}` for all points of a batch: an
        /// output's use_batch_format.
        #[alias("use_batch_format")]
        pub json_batch: bool = false,
    }
    refused {
        "json_transformation" = "JSONata is not supported; shape the points with processors, such as sql",
    }
}

/// The serializer.
pub struct JsonSerializer {
    unit_ns: i64,
    layout: Option<Layout>,
    nested: Option<GlobFilter>,
    batch: bool,
    /// By shape of the batch: its pieces' range.
    shapes: Vec<(u32, u32)>,
    pieces: Vec<Piece>,
    /// By series of the batch: its text's range, empty until it is met.
    series: Vec<(u32, u32)>,
    text: Vec<u8>,
    scratch: Vec<u8>,
    /// `None` while it is in use.
    stage: Option<Stage>,
}

/// What stands before a field's value: `"key":`, with a comma before it.
#[derive(Clone, Copy)]
struct Piece {
    text: (u32, u32),
    slot: u32,
    kind: u8,
    nested: bool,
}

impl Plugin for JsonSerializer {
    type Config = JsonSerializerConfig;
    const NAME: &'static str = "json";
    const SUMMARY: &'static str = "Writes points as JSON objects.";

    fn new(config: Self::Config, _host: Host) -> Result<Self, Error> {
        let layout = match config.json_timestamp_format.as_str() {
            "" => None,
            layout => Some(
                Layout::new(layout).map_err(|why| Error::config("json_timestamp_format", why))?,
            ),
        };
        let wanted = config.json_timestamp_units.nanos();
        let mut unit_ns = 1;
        while unit_ns <= wanted / 10 {
            unit_ns *= 10;
        }
        if wanted == 0 {
            unit_ns = 1_000_000_000;
        }
        let nested =
            GlobFilter::of(config.json_nested_fields_include, config.json_nested_fields_exclude);
        Ok(JsonSerializer {
            unit_ns,
            layout,
            nested: (!nested.is_empty()).then_some(nested),
            batch: config.json_batch,
            shapes: Vec::new(),
            pieces: Vec::new(),
            series: Vec::new(),
            text: Vec::new(),
            scratch: Vec::new(),
            stage: Some(stage()),
        })
    }
}

impl Serializer for JsonSerializer {
    fn serialize(
        &mut self,
        _cx: &Context<'_>,
        batch: &Batch,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.prepare(batch);
        let stage = self.stage.take().unwrap_or_else(stage);
        let mut writer = Writer::new(std::mem::take(out), stage);
        if self.batch {
            writer.text(b"{\"metrics\":[");
        }
        let mut first = true;
        for (_, row) in batch.rows() {
            self.point(batch, row, self.batch && !first, &mut writer);
            first = false;
        }
        if self.batch {
            writer.text(b"]}\n");
        }
        let (text, stage) = writer.finish();
        *out = text;
        self.stage = Some(stage);
        Ok(())
    }
}

impl JsonSerializer {
    fn prepare(&mut self, batch: &Batch) {
        self.shapes.clear();
        self.pieces.clear();
        self.text.clear();
        self.series.clear();
        self.series.resize(batch.series_count(), (0, 0));
        for index in 0..batch.shape_count() {
            let first = self.pieces.len();
            let mut fields: Vec<_> = batch.shape(index as u32).fields().collect();
            fields.sort_by(|a, b| a.0.cmp(b.0));
            for (key, kind, slot) in fields {
                if !(kind::F64..=kind::TEXT).contains(&kind) {
                    continue;
                }
                let start = self.text.len() as u32;
                self.text.push(b',');
                put_text(&mut self.text, key.as_bytes());
                self.text.push(b':');
                let nested = kind == kind::TEXT
                    && self.nested.as_ref().is_some_and(|nested| nested.passes(key));
                let text = (start, self.text.len() as u32);
                self.pieces.push(Piece { text, slot: slot as u32, kind, nested });
            }
            self.shapes.push((first as u32, self.pieces.len() as u32));
        }
    }

    /// What is written of a series: its name and tags.
    fn series(&mut self, batch: &Batch, index: u32) -> (u32, u32) {
        let known = self.series.get(index as usize).copied().unwrap_or_default();
        if known != (0, 0) {
            return known;
        }
        let start = self.text.len() as u32;
        put_series(&mut self.text, &batch.series(index));
        let place = (start, self.text.len() as u32);
        if let Some(series) = self.series.get_mut(index as usize) {
            *series = place;
        }
        place
    }

    /// Writes a point, behind a comma or before a line end.
    fn point(&mut self, batch: &Batch, row: &Row, comma: bool, out: &mut Writer) {
        let series = self.series(batch, row.series);
        let payloads = batch.payloads(row);
        let arena = batch.tables().arena();
        out.text(if comma { b",{\"fields\":{" } else { b"{\"fields\":{" });
        let fields = out.len();
        let (first, end) = self.shapes.get(row.shape as usize).copied().unwrap_or_default();
        for at in first..end {
            let Some(&piece) = self.pieces.get(at as usize) else { break };
            let payload = payloads.get(piece.slot as usize).copied().unwrap_or_default();
            if piece.kind == kind::F64 && !f64::from_bits(payload).is_finite() {
                continue;
            }
            // No comma stands before the first.
            let skipped = (out.len() == fields) as usize;
            let text = piece.text.0 as usize + skipped..piece.text.1 as usize;
            out.text(self.text.get(text).unwrap_or_default());
            out.reserve();
            match piece.kind {
                kind::F64 => out.double(f64::from_bits(payload)),
                kind::I64 => out.signed(payload as i64),
                kind::U64 => out.unsigned(payload),
                kind::BOOL => out.text(if payload != 0 { b"true" } else { b"false" }),
                _ => {
                    let (offset, len) = text_place(payload);
                    let text = arena.get(offset..offset + len).unwrap_or_default();
                    self.scratch.clear();
                    if !piece.nested || !put_nested(&mut self.scratch, text) {
                        self.scratch.clear();
                        put_text(&mut self.scratch, text);
                    }
                    out.text(&self.scratch);
                }
            }
        }
        let series = series.0 as usize..series.1 as usize;
        out.text(self.text.get(series).unwrap_or_default());
        out.reserve();
        match &self.layout {
            None => out.signed(row.time / self.unit_ns),
            Some(layout) => {
                let mut text = String::new();
                layout.write(&mut text, row.time);
                self.scratch.clear();
                put_text(&mut self.scratch, text.as_bytes());
                out.text(&self.scratch);
            }
        }
        out.text(if self.batch { b"}" } else { b"}\n" });
    }
}

/// Appends text that is JSON as it is, without blanks. False if it is not.
fn put_nested(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let mut padded = text.to_vec();
    // What the checks look for behind the text.
    padded.extend_from_slice(&[b'\n'; 33]);
    let start = skip_blanks(&padded, 0);
    let Ok(end) = skip(&padded, start) else { return false };
    if end > text.len() || skip_blanks(&padded, end) < text.len() {
        return false;
    }
    let mut in_string = false;
    let mut escaped = false;
    for &byte in &padded[start..end] {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
    true
}

fn put_series(out: &mut Vec<u8>, series: &SeriesRef<'_>) {
    out.extend_from_slice(b"},\"name\":");
    put_text(out, series.name().as_bytes());
    out.extend_from_slice(b",\"tags\":{");
    for (at, (key, value)) in series.tags().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put_text(out, key.as_bytes());
        out.push(b':');
        put_text(out, value.as_bytes());
    }
    out.extend_from_slice(b"},\"timestamp\":");
}

/// Appends text as a JSON string.
fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
        out.extend_from_slice(&rest[..at]);
        out.push(b'\\');
        match rest[at] {
            byte @ (b'"' | b'\\') => out.push(byte),
            b'\n' => out.push(b'n'),
            b'\r' => out.push(b'r'),
            b'\t' => out.push(b't'),
            0x08 => out.push(b'b'),
            0x0c => out.push(b'f'),
            byte => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"u00");
                out.push(HEX[(byte >> 4) as usize]);
                out.push(HEX[(byte & 15) as usize]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::testkit;

    fn write(config: &str, batch: &Batch) -> String {
        let mut driven = testkit::serializer::<JsonSerializer>(config).unwrap();
        String::from_utf8(driven.serialize(batch).unwrap()).unwrap()
    }

    fn sample() -> Batch {
        let mut builder = BatchBuilder::default();
        builder
            .point("cpu")
            .tag("host", "a \"b\"")
            .field("z", 63.5)
            .field("a", -5_i64)
            .field("big", u64::MAX)
            .field("on", true)
            .field("text", "line\nü\u{1}")
            .finish(1_700_000_000_123_456_789)
            .unwrap();
        builder.point("mem").field("free", 42.0).finish(-1_500_000_000).unwrap();
        builder.finish().unwrap()
    }

    #[test]
    fn an_object_for_each_point() {
        let first = concat!(
            r#"{"fields":{"a":-5,"big":18446744073709551615,"on":true,"text":"line\nü\u0001","z":63.5},"#,
            r#""name":"cpu","tags":{"host":"a \"b\""},"timestamp":"#
        );
        let second = r#"{"fields":{"free":42},"name":"mem","tags":{},"timestamp":"#;
        for (config, times) in [
            ("", ["1700000000", "-1"]),
            ("json_timestamp_units = '1ms'", ["1700000000123", "-1500"]),
            ("json_timestamp_units = '50us'", ["170000000012345", "-150000"]),
            ("json_timestamp_units = '1ns'", ["1700000000123456789", "-1500000000"]),
            (
                "json_timestamp_format = '2006-01-02T15:04:05.000Z07:00'",
                ["\"2023-11-14T22:13:20.123Z\"", "\"1969-12-31T23:59:58.500Z\""],
            ),
        ] {
            let expected = format!("{first}{}}}\n{second}{}}}\n", times[0], times[1]);
            assert_eq!(write(config, &sample()), expected, "{config}");
        }
        let expected = format!("{{\"metrics\":[{first}1700000000}},{second}-1}}]}}\n");
        assert_eq!(write("json_batch = true", &sample()), expected);
        for line in write("", &sample()).lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }

    #[test]
    fn nested_json_is_written_as_such() {
        let mut builder = BatchBuilder::default();
        builder
            .point("m")
            .field("in", "{ \"a b\" : [1, 2.50 , \"x \\\" y\"] }")
            .field("not", "{\"a\":}")
            .field("out", "[1]")
            .field("empty", "")
            .finish(0)
            .unwrap();
        let batch = builder.finish().unwrap();
        let config = "json_nested_fields_include = ['*']\njson_nested_fields_exclude = ['out']";
        assert_eq!(
            write(config, &batch),
            "{\"fields\":{\"empty\":\"\",\"in\":{\"a b\":[1,2.50,\"x \\\" y\"]},\"not\":\"{\\\"a\\\":}\",\
             \"out\":\"[1]\"},\"name\":\"m\",\"tags\":{},\"timestamp\":0}\n"
        );
    }

    #[test]
    fn jsonata_is_refused() {
        let Err(error) = testkit::serializer::<JsonSerializer>("json_transformation = '$x'") else {
            panic!("accepted")
        };
        assert!(error.message().contains("JSONata"), "{error}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut random = crate::testing::Random::new(10);
        let mut builder = BatchBuilder::default();
        for time in 0..2_000 {
            let mut text = String::new();
            for _ in 0..random.below(6) {
                let code = random.next() >> (43 + random.below(20));
                text.extend(char::from_u32(code as u32));
            }
            let float = f64::from_bits(random.next());
            let float = if float.is_finite() { float } else { -0.0 };
            let point = builder.point("m").tag("t", &format!("x{text}y"));
            let point = point.field("text", text.as_str()).field("float", float);
            point.finish(time * 1_000_000_000).unwrap();
        }
        let batch = builder.finish().unwrap();
        let out = write("", &batch);
        for (line, point) in out.lines().zip(batch.points()) {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                value["fields"]["text"].as_str(),
                match point.field("text") {
                    Some(headwater_plugin_api::batch::Value::Text(text)) => Some(text),
                    _ => None,
                }
            );
            let float = point.field("float").and_then(|value| value.as_f64());
            assert_eq!(value["fields"]["float"].as_f64(), float, "{line}");
            assert_eq!(value["tags"]["t"].as_str(), point.series().tag("t"));
        }
    }
}
