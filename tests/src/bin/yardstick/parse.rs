//! Line protocol to batch on one core, in this process, against the crate on the same bytes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use headwater_formats::influx::InfluxParser;
use headwater_plugin_api::abi::instance::{Chunk, PADDING, ParserInstance};
use headwater_plugin_api::abi::serve::{self, PushedBytes, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::Error;
use headwater_plugin_api::testkit;

/// As large as the agent's reads.
const CHUNK: usize = 256 << 10;

/// The part of the load that is parsed, so that the slow one does not take the day.
const BYTES_MAX: usize = 64 << 20;

/// The fastest of so many rounds counts: on a shared machine only the quiet ones tell.
const ROUNDS: usize = 5;

/// Points per second of each.
pub struct Parsed {
    pub ours: f64,
    pub theirs: f64,
    pub bytes_per_point: f64,
}

#[derive(Default)]
struct Count {
    points: u64,
    bad: u64,
}

impl SinkTarget for Count {
    fn checks(&self) -> bool {
        false
    }
    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.points += black_box(&batch).len() as u64;
        Ok(())
    }
    fn push_bytes(&mut self, _bytes: PushedBytes<'_>) -> Result<(), Error> {
        Ok(())
    }
    fn bad(&mut self, _offset: usize, _len: usize, _at: usize, _message: &str) {
        self.bad += 1;
    }
    fn lines(&mut self, _lines: u64) {}
    fn malformed(&mut self, _malformed: Malformed) {
        self.bad += 1;
    }
}

fn ours(parser: &mut ParserInstance, padded: &[u8]) -> Result<Count, String> {
    let mut count = Count::default();
    let end = padded.len() - PADDING;
    let mut start = 0;
    while start < end {
        let limit = (start + CHUNK).min(end);
        let cut = parser.cut(&padded[start..limit], limit == end);
        let chunk = Chunk {
            padded: &padded[start..start + cut + PADDING],
            last: start + cut == end,
            default_time_ns: 0,
            origin: 1,
        };
        serve::with_sink(&mut count, |sink| parser.parse(&testkit::context(0), &chunk, sink))
            .map_err(|error| error.to_string())?;
        start += cut;
    }
    Ok(count)
}

fn theirs(text: &str) -> Result<u64, String> {
    let mut points = 0;
    for line in influxdb_line_protocol::parse_lines(text) {
        black_box(line.map_err(|error| error.to_string())?);
        points += 1;
    }
    Ok(points)
}

/// Measures both in turns.
pub fn measure(text: &[u8]) -> Result<Parsed, String> {
    let end = text[..text.len().min(BYTES_MAX)].iter().rposition(|b| *b == b'\n');
    let text = &text[..end.map_or(0, |end| end + 1)];
    let as_text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let mut padded = text.to_vec();
    padded.resize(text.len() + PADDING, 0);
    let mut driven = testkit::parser::<InfluxParser>("").map_err(|error| error.to_string())?;
    let (mut best, mut best_theirs) = (Duration::MAX, Duration::MAX);
    let mut points = 0;
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        points = theirs(as_text)?;
        best_theirs = best_theirs.min(begin.elapsed());
        for _ in 0..3 {
            let begin = Instant::now();
            let count = ours(&mut driven.instance, &padded)?;
            best = best.min(begin.elapsed());
            if (count.points, count.bad) != (points, 0) {
                return Err(format!(
                    "the parser made {} points and refused {} lines; the crate made {points}",
                    count.points, count.bad
                ));
            }
        }
    }
    Ok(Parsed {
        ours: points as f64 / best.as_secs_f64(),
        theirs: points as f64 / best_theirs.as_secs_f64(),
        bytes_per_point: text.len() as f64 / points.max(1) as f64,
    })
}
