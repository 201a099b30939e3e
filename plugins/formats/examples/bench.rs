//! Measures the formats on one core: bytes and points per second, and line protocol against the
//! `influxdb-line-protocol` crate on the same text.
//!
//! `cargo run --release -p headwater-formats --example bench [part of a name [alone]]`: `alone`
//! leaves the crate out, for profilers.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::unwrap_used)]

use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use headwater_formats::influx::{InfluxParser, InfluxSerializer};
use headwater_formats::json::{JsonParser, JsonSerializer};
use headwater_plugin_api::abi::instance::{Chunk, PADDING, ParserInstance};
use headwater_plugin_api::abi::memory::{ALIGN, MemoryFunctions, set_host_memory};
use headwater_plugin_api::abi::serve::{self, PushedBytes, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::Error;
use headwater_plugin_api::testkit;

const CHUNK: usize = 256 << 10;
const LINES: usize = 200_000;
const ROUNDS: usize = 15;

/// Counts what comes, and keeps the batches if asked.
#[derive(Default)]
struct Count {
    points: usize,
    bad: usize,
    keep: bool,
    batches: Vec<Batch>,
}

impl SinkTarget for Count {
    fn checks(&self) -> bool {
        false
    }
    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.points += batch.len();
        if self.keep {
            self.batches.push(batch);
        }
        Ok(())
    }
    fn push_bytes(&mut self, _bytes: PushedBytes<'_>) -> Result<(), Error> {
        Ok(())
    }
    fn bad(&mut self, _offset: usize, _len: usize, _at: usize, message: &str) {
        if self.bad == 0 {
            println!("  bad: {message}");
        }
        self.bad += 1;
    }
    fn lines(&mut self, _lines: u64) {}
    fn malformed(&mut self, malformed: Malformed) {
        panic!("{malformed}");
    }
}

/// Memory of batches as an agent hands it out: what was given back is used again.
static MEMORY: MemoryFunctions = MemoryFunctions { allocate, free };

thread_local! {
    static FREE: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line {
    _bytes: [u8; ALIGN],
}

extern "C" fn allocate(bytes: usize, capacity: *mut usize) -> *mut u8 {
    let lines = bytes.div_ceil(ALIGN).next_power_of_two();
    let size = lines * ALIGN;
    let block = FREE.with_borrow_mut(|free| {
        let at = free.iter().rposition(|block| block.1 == size)?;
        Some(free.swap_remove(at).0)
    });
    let block = block.unwrap_or_else(|| {
        Box::leak(vec![Line { _bytes: [0; ALIGN] }; lines].into_boxed_slice()).as_mut_ptr() as usize
    });
    #[allow(unsafe_code)]
    // SAFETY: the caller passes a pointer to a variable of its own.
    unsafe {
        *capacity = size;
    }
    block as *mut u8
}

extern "C" fn free(block: *mut u8, capacity: usize) {
    FREE.with_borrow_mut(|free| free.push((block as usize, capacity)));
}

fn parse(parser: &mut ParserInstance, padded: &[u8], sink: &mut Count) {
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
        serve::with_sink(sink, |raw| parser.parse(&testkit::context(0), &chunk, raw)).unwrap();
        start += cut;
    }
}

/// The shortest time of each of two, taken in turns so that a busy machine slows both.
fn best(mut one: impl FnMut(), mut other: impl FnMut()) -> (Duration, Duration) {
    let time = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    one();
    let mut shortest = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        shortest.0 = shortest.0.min(time(&mut one)).min(time(&mut one)).min(time(&mut one));
        shortest.1 = shortest.1.min(time(&mut other));
    }
    shortest
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 20) % bound
    }
    fn percent(&mut self) -> f64 {
        self.below(10_000) as f64 / 100.0
    }
}

const REGIONS: [&str; 4] = ["eu-west-1", "us-east-1", "us-west-2", "ap-south-1"];

fn series(i: usize) -> String {
    let (host, cpu) = (i / 8 % 100, i % 8);
    format!("cpu,cpu=cpu{cpu},dc=dc{},host=server{host:04},region={}", host % 3, REGIONS[host % 4])
}

fn time(i: usize) -> u64 {
    1_700_000_000_000_000_000 + i as u64 * 1_000_000
}

fn fields(random: &mut Random) -> String {
    format!(
        "usage_user={:.2},usage_system={:.2},usage_idle={:.2},usage_iowait={:.3},ctx={}i",
        random.percent(),
        random.percent() / 10.0,
        random.percent(),
        random.percent() / 20.0,
        random.below(1_000_000)
    )
}

fn loads() -> Vec<(&'static str, String)> {
    let mut random = Random(42);
    let mut loads = Vec::new();
    let mut load = |name, line: &mut dyn FnMut(usize, &mut Random) -> String| {
        let mut text = String::new();
        for i in 0..LINES {
            text.push_str(&line(i, &mut random));
            text.push('\n');
        }
        loads.push((name, text));
    };
    load("typical", &mut |i, r| format!("{} {} {}", series(i), fields(r), time(i)));
    load("new series each line", &mut |i, r| {
        let series = series(i).replace(",region", &format!(",id={i:08x},region"));
        format!("{series} {} {}", fields(r), time(i))
    });
    load("new series, tags not sorted", &mut |i, r| {
        format!("{},id={i:08x} {} {}", series(i), fields(r), time(i))
    });
    load("17-digit floats", &mut |i, r| {
        let float = |r: &mut Random| format!("{:.17}", r.next() as f64 / u64::MAX as f64);
        let (a, b, c, d) = (float(r), float(r), float(r), float(r));
        format!(
            "{} usage_user={a},usage_system={b},usage_idle={c},usage_iowait={d},ctx={}i {}",
            series(i),
            r.below(1_000_000),
            time(i)
        )
    });
    load("shapes that vary by line", &mut |i, r| {
        let names = [
            "usage_user",
            "usage_system",
            "usage_idle",
            "usage_iowait",
            "usage_nice",
            "usage_irq",
            "usage_steal",
            "usage_guest",
        ];
        let mut line = series(i);
        let pick = r.below(255) + 1;
        let mut comma = ' ';
        for (at, name) in names.iter().enumerate() {
            if pick >> at & 1 == 1 {
                let value = if r.below(8) == 0 {
                    format!("{}i", r.below(1000))
                } else {
                    format!("{:.2}", r.percent())
                };
                line.push_str(&format!("{comma}{name}={value}"));
                comma = ',';
            }
        }
        format!("{line} {}", time(i))
    });
    load("text fields", &mut |i, r| {
        format!(
            "syslog,host=server{:04},severity=info message=\"connection {} from 10.0.{}.{} closed\",\
             code={}i,took={:.2} {}",
            i % 100,
            r.below(100_000),
            r.below(256),
            r.below(256),
            r.below(600),
            r.percent(),
            time(i)
        )
    });
    load("random order of series", &mut |i, r| {
        format!("{} {} {}", series(r.below(800) as usize), fields(r), time(i))
    });
    loads
}

fn report(name: &str, bytes: usize, points: usize, took: Duration, other: Option<Duration>) {
    let ns = took.as_nanos() as f64 / points as f64;
    let rate = bytes as f64 / took.as_secs_f64() / 1e6;
    let ratio = other.map_or(String::new(), |other| {
        let crate_ns = other.as_nanos() as f64 / points as f64;
        format!("  crate {crate_ns:7.1} ns  ratio {:5.1}", crate_ns / ns)
    });
    println!("{name:34} {rate:7.0} MB/s {ns:7.1} ns/point{ratio}");
}

fn line_protocol(wanted: &str, alone: bool) {
    for (name, text) in loads() {
        let name = format!("influx parser, {name}");
        if !name.contains(wanted) {
            continue;
        }
        let mut padded = text.clone().into_bytes();
        padded.resize(text.len() + PADDING, 0);
        let mut driven = testkit::parser::<InfluxParser>("").unwrap();
        let mut count = Count::default();
        parse(&mut driven.instance, &padded, &mut count);
        assert_eq!((count.points, count.bad), (LINES, 0));
        let mut ours = || parse(&mut driven.instance, &padded, &mut Count::default());
        if alone {
            let (took, _) = best(&mut ours, || ());
            report(&name, text.len(), LINES, took, None);
            continue;
        }
        let (took, other) = best(&mut ours, || {
            for line in influxdb_line_protocol::parse_lines(&text) {
                black_box(line.unwrap());
            }
        });
        report(&name, text.len(), LINES, took, Some(other));
    }
}

fn serializers(wanted: &str) {
    for (name, text) in loads() {
        let label = format!("influx serializer, {name}");
        if !label.contains(wanted) {
            continue;
        }
        let mut padded = text.into_bytes();
        padded.resize(padded.len() + PADDING, 0);
        let mut parser = testkit::parser::<InfluxParser>("").unwrap();
        let mut kept = Count { keep: true, ..Count::default() };
        parse(&mut parser.instance, &padded, &mut kept);
        let mut driven = testkit::serializer::<InfluxSerializer>("").unwrap();
        let mut out = Vec::with_capacity(1 << 20);
        let mut bytes = 0;
        let write = || {
            bytes = 0;
            for batch in &kept.batches {
                out.clear();
                driven.instance.serialize(&testkit::context(0), batch, &mut out).unwrap();
                bytes += out.len();
            }
        };
        let (took, _) = best(write, || ());
        report(&label, bytes, LINES, took, None);
    }
}

fn json_loads() -> Vec<(&'static str, &'static str, String)> {
    let mut random = Random(43);
    let mut loads = Vec::new();
    let mut load = |name, config, record: &mut dyn FnMut(usize, &mut Random) -> String| {
        let mut text = String::new();
        for i in 0..LINES {
            text.push_str(&record(i, &mut random));
            text.push('\n');
        }
        loads.push((name, config, text));
    };
    let usual = |i: usize, r: &mut Random| {
        format!(
            "{{\"host\":\"h{}\",\"cpu\":\"cpu{}\",\"usage_user\":{:.2},\"usage_system\":{:.2},\"bytes\":{}}}",
            i / 8 % 100,
            i % 8,
            r.percent(),
            r.percent(),
            r.below(100_000)
        )
    };
    load("typical", "tag_keys = ['host', 'cpu']", &mut { usual });
    load(
        "time as text",
        "tag_keys = ['host', 'cpu']\njson_time_key = 'time'\njson_time_format = 'RFC3339'",
        &mut |i, r| {
            let second = i / 1000;
            let time =
                format!("2023-11-14T22:{:02}:{:02}.{:03}Z", second / 60, second % 60, i % 1000);
            usual(i, r).replace("{", &format!("{{\"time\":\"{time}\","))
        },
    );
    load("nested", "tag_keys = ['host', 'cpu_name']", &mut |i, r| {
        format!(
            "{{\"host\": \"h{}\", \"cpu\": {{\"name\": \"cpu{}\", \"usage\": {{\"user\": {:.2}, \"system\": \
             {:.2}}}, \"load\": [{:.2}, {:.2}]}}}}",
            i / 8 % 100,
            i % 8,
            r.percent(),
            r.percent(),
            r.percent(),
            r.percent()
        )
    });
    load("four shapes in random order", "tag_keys = ['host', 'cpu']", &mut |i, r| {
        let record = usual(i, r);
        match r.below(4) {
            0 => record,
            1 => record.replace("usage_user", "usage_idle"),
            2 => record.replace("bytes", "packets"),
            _ => record.replace("{", "{\"up\":true,"),
        }
    });
    loads
}

fn json(wanted: &str) {
    for (name, config, text) in json_loads() {
        let label = format!("json parser, {name}");
        if !label.contains(wanted) {
            continue;
        }
        let len = text.len();
        let mut padded = text.into_bytes();
        padded.resize(len + PADDING, 0);
        let mut driven = testkit::parser::<JsonParser>(config).unwrap();
        let mut count = Count { keep: true, ..Count::default() };
        parse(&mut driven.instance, &padded, &mut count);
        assert_eq!((count.points, count.bad), (LINES, 0));
        let ours = || parse(&mut driven.instance, &padded, &mut Count::default());
        let (took, _) = best(ours, || ());
        report(&label, len, LINES, took, None);
        let mut serializer = testkit::serializer::<JsonSerializer>("").unwrap();
        let mut out = Vec::with_capacity(1 << 20);
        let mut bytes = 0;
        let write = || {
            bytes = 0;
            for batch in &count.batches {
                out.clear();
                serializer.instance.serialize(&testkit::context(0), batch, &mut out).unwrap();
                bytes += out.len();
            }
        };
        let (took, _) = best(write, || ());
        report(&format!("json serializer, {name}"), bytes, LINES, took, None);
    }
}

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let alone = std::env::args().nth(2).is_some();
    set_host_memory(&MEMORY);
    line_protocol(&wanted, alone);
    serializers(&wanted);
    json(&wanted);
}
