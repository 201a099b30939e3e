//! Parser `influx`: line protocol.

use headwater_plugin_api::batch::{BatchBuilder, Limits};
use headwater_plugin_api::config::{Duration, Size};
use headwater_plugin_api::plugin::{
    Capabilities, Context, Error, Host, ParseSink, Parser, Plugin,
};
use memchr::memrchr;

use super::lines::{cut, line_end};
use super::scan::{Scanner, Stop, Text};

headwater_plugin_api::choice! {
    /// Which of Telegraf's two parsers to be; both are this one.
    pub enum ParserType {
        /// The usual word.
        Internal = "internal",
        /// As well.
        Upstream = "upstream",
    }
}

headwater_plugin_api::config! {
    /// InfluxDB line protocol: `measurement,tag=value field=value time`.
    pub struct InfluxParserConfig {
        /// Which of Telegraf's two parsers to be: "internal" or "upstream". One parser does the work
        /// of both.
        pub influx_parser_type: ParserType = ParserType::Internal,
        /// Unit of the times in the text: "1ns", "1us", "1ms" or "1s".
        pub influx_timestamp_precision: Duration = Duration::from_nanos(1),
        /// Longest line in bytes; a longer one is refused.
        pub max_line_bytes: Size = Size::bytes(Limits::MAX_LINE_BYTES as u64),
    }
}

/// Zero bytes that stand behind a text for the scanner's looks ahead.
const PADDING: usize = 32;

/// The parser.
pub struct InfluxParser {
    scanner: Scanner,
    /// The last line of a text that ends without a line end.
    tail: Vec<u8>,
}

impl Plugin for InfluxParser {
    type Config = InfluxParserConfig;
    const NAME: &'static str = "influx";
    const SUMMARY: &'static str = "Parses InfluxDB line protocol.";
    const CAPABILITIES: Capabilities = Capabilities::STATELESS.and(Capabilities::SPLITTABLE);

    fn new(config: Self::Config, _host: Host) -> Result<Self, Error> {
        let unit_ns = config.influx_timestamp_precision.nanos();
        if !matches!(unit_ns, 1 | 1_000 | 1_000_000 | 1_000_000_000) {
            return Err(Error::config(
                "influx_timestamp_precision",
                format!(
                    "times in units of {unit_ns} ns are not known; write \"1ns\", \"1us\", \"1ms\" or \
                     \"1s\""
                ),
            ));
        }
        let max = config.max_line_bytes.as_usize();
        if max == 0 || max > Limits::MAX_LINE_BYTES * 4 {
            return Err(Error::config(
                "max_line_bytes",
                format!("{max} bytes; write a size from 1 byte to 16 MiB"),
            ));
        }
        Ok(Self::with(unit_ns, max, Limits::DEFAULT))
    }
}

impl InfluxParser {
    fn with(unit_ns: i64, line_bytes_max: usize, limits: Limits) -> Self {
        InfluxParser {
            scanner: Scanner::new(unit_ns, line_bytes_max, limits),
            tail: Vec::new(),
        }
    }

    /// Reads the lines of a text that ends in a line end and stands at `base` of the chunk.
    fn lines(
        &mut self,
        text: Text<'_>,
        base: usize,
        default_time: i64,
        out: &mut ParseSink<'_>,
    ) -> u64 {
        let scanner = &mut self.scanner;
        let mut at = 0;
        let mut lines = 0;
        let mut force = false;
        let mut check_at = 0;
        while at < text.end {
            if at >= check_at {
                if scanner.builder.is_full() {
                    flush(scanner, out);
                }
                check_at = at + room(&scanner.builder);
            }
            let mark = scanner.builder.mark();
            match scanner.line(text, at, default_time, force) {
                Ok(next) => {
                    at = next;
                    lines += 1;
                }
                Err(Stop::Skip(next)) => at = next,
                Err(Stop::Full) => {
                    scanner.builder.roll_back(&mark);
                    flush(scanner, out);
                    scanner.forget();
                    force = true;
                    continue;
                }
                Err(Stop::Bad(bad)) => {
                    scanner.builder.roll_back(&mark);
                    let whole = text.padded.get(..text.end).unwrap_or_default();
                    let end = line_end(whole, at, true).unwrap_or(text.end);
                    let message = bad.message(&whole[..end]);
                    let end_of_text = end - (whole[at..end].ends_with(b"\r") as usize);
                    out.bad(base + at, end_of_text - at, base + bad.at, &message);
                    at = end + 1;
                    lines += 1;
                }
            }
            force = false;
        }
        lines
    }
}

/// Bytes of text after which the batch may be full. The shortest line has 6 bytes, and the points of
/// a text fill at most 16 times its bytes.
fn room(builder: &BatchBuilder) -> usize {
    let limits = builder.limits();
    let rows = (limits.rows as usize).saturating_sub(builder.len());
    let bytes = (limits.batch_bytes as usize).saturating_sub(builder.byte_size());
    (rows * 6).min(bytes / 16)
}

fn flush(scanner: &mut Scanner, out: &mut ParseSink<'_>) {
    if let Some(batch) = scanner.builder.finish() {
        out.push(batch);
    }
    scanner.builder.reserve_as_before();
}

impl Parser for InfluxParser {
    fn cut(&self, data: &[u8], last: bool) -> usize {
        cut(data, last)
    }

    fn parse(
        &mut self,
        _cx: &Context<'_>,
        data: &[u8],
        out: &mut ParseSink<'_>,
    ) -> Result<(), Error> {
        self.scanner.builder.reserve_as_before();
        let default_time = out.default_time();
        let mut lines = 0;
        // The scanner wants a line end behind each line: a last one without is copied.
        let mut whole = data.len();
        if !data.is_empty() && !data.ends_with(b"\n") {
            whole = memrchr(b'\n', data).map_or(0, |at| at + 1);
            if whole > 0 && data.contains(&b'"') {
                whole = cut(data, false);
            }
        }
        if whole > 0 {
            let padded = out.padded();
            lines += self.lines(Text { padded, end: whole }, 0, default_time, out);
        }
        if whole < data.len() {
            let mut tail = std::mem::take(&mut self.tail);
            tail.clear();
            tail.extend_from_slice(&data[whole..]);
            tail.push(b'\n');
            let end = tail.len();
            tail.resize(end + PADDING, 0);
            lines += self.lines(Text { padded: &tail, end }, whole, default_time, out);
            self.tail = tail;
        }
        if let Some(batch) = self.scanner.builder.finish() {
            out.push(batch);
        }
        out.lines(lines);
        Ok(())
    }
}
