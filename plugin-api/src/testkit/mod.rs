//! What tests of plugins need: sinks that keep what they get, points as lines, a host of nobody.

mod service;

pub use service::{Pushed, ReadStep, TestIntake, service};

use std::time::Duration;

use crate::abi::instance::{
    AggregatorInstance, Chunk, InputInstance, OutputInstance, PADDING, ParserInstance,
    ProcessorInstance, SerializerInstance,
};
use crate::abi::serve::{self, HostServices, PushedBytes, SinkTarget};
use crate::abi::shared::SharedProcessor;
use crate::abi::shim;
use crate::batch::{Batch, Value};
use crate::plugin::{
    Aggregator, Context, Control, Delivery, Error, Input, Level, Outcome, Output, Parser,
    Processor, Serializer,
};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

/// A context at a time, without bounds.
pub fn context(now_ns: i64) -> Context<'static> {
    Context::new(now_ns, None, None)
}

/// A point as one line: canonical key, fields with Rust's shortest floats, time. For comparing.
pub fn line(point: &crate::batch::PointRef<'_>) -> String {
    let mut line = point.series().key().to_owned();
    for (at, (key, value)) in point.fields().enumerate() {
        line.push(if at == 0 { ' ' } else { ',' });
        line.push_str(key);
        line.push('=');
        match value {
            Value::F64(v) => line.push_str(&v.to_string()),
            Value::I64(v) => line.push_str(&format!("{v}i")),
            Value::U64(v) => line.push_str(&format!("{v}u")),
            Value::Bool(v) => line.push_str(&v.to_string()),
            Value::Text(v) => line.push_str(&format!("{v:?}")),
            Value::Unknown { kind, payload } => line.push_str(&format!("?{kind}:{payload}")),
        }
    }
    line.push_str(&format!(" {}", point.time()));
    line
}

/// A delivery handle of nobody's, and the list into which its outcome is written once it has settled.
pub fn delivery() -> (Option<Delivery>, Arc<Mutex<Vec<Outcome>>>) {
    let told = Arc::default();
    (Delivery::from_raw(crate::abi::join::watched(Arc::clone(&told))), told)
}

/// All live points of batches as lines.
pub fn lines<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Vec<String> {
    batches.into_iter().flat_map(|batch| batch.points().map(|p| line(&p))).collect()
}

/// A record that a parser refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Where it begins in the chunk.
    pub offset: usize,
    /// Its bytes.
    pub len: usize,
    /// Where the error stands in the chunk.
    pub at: usize,
    /// The sentence.
    pub message: String,
}

/// Tags as pairs of key and value.
pub type Tags = Vec<(String, String)>;

/// Keeps what it gets.
#[derive(Default)]
pub struct Collected {
    /// Batches, in order.
    pub batches: Vec<Batch>,
    /// Bytes for the parser with their tags.
    pub bytes: Vec<(Vec<u8>, Tags)>,
    /// Refused records.
    pub bad: Vec<BadRecord>,
    /// Lines that parsers told of.
    pub lines: u64,
}

impl Collected {
    /// All points as lines, in order.
    pub fn points(&self) -> Vec<String> {
        lines(&self.batches)
    }
}

impl SinkTarget for Collected {
    fn checks(&self) -> bool {
        true
    }
    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.batches.push(batch);
        Ok(())
    }
    fn push_bytes(&mut self, bytes: PushedBytes<'_>) -> Result<(), Error> {
        self.bytes.push((bytes.data.to_vec(), bytes.tags));
        Ok(())
    }
    fn bad(&mut self, offset: usize, len: usize, at: usize, message: &str) {
        self.bad.push(BadRecord { offset, len, at, message: message.to_owned() });
    }
    fn lines(&mut self, lines: u64) {
        self.lines += lines;
    }
    fn malformed(&mut self, malformed: crate::abi::tables::Malformed) {
        panic!("{malformed}");
    }
}

/// A host that keeps logs and state in memory.
#[derive(Default)]
pub struct TestHost {
    /// Log lines with their levels.
    pub logs: Mutex<Vec<(Level, String)>>,
    /// Stored state.
    pub state: Mutex<std::collections::HashMap<String, Vec<u8>>>,
    /// What the clock says.
    pub now_ns: std::sync::atomic::AtomicI64,
    /// Whether it says that stored state outlives the process.
    pub keeps_state: AtomicBool,
    /// Whether the store is out of order.
    pub refuses_state: AtomicBool,
    /// How often state was to be stored.
    pub saves: AtomicU64,
    counters: Mutex<std::collections::HashMap<String, &'static AtomicU64>>,
}

/// Counters of hosts that are gone, to be used again: they live as long as the process.
static CELLS: Mutex<Vec<&'static AtomicU64>> = Mutex::new(Vec::new());

impl Drop for TestHost {
    fn drop(&mut self) {
        // Plugins hold their host: nobody counts any more.
        let counters = self.counters.get_mut().unwrap_or_else(|e| e.into_inner());
        let mut cells = CELLS.lock().unwrap_or_else(|e| e.into_inner());
        for cell in counters.drain().map(|(_, cell)| cell) {
            cell.store(0, std::sync::atomic::Ordering::Relaxed);
            cells.push(cell);
        }
    }
}

impl TestHost {
    /// The value of a counter or gauge.
    pub fn metric(&self, name: &str) -> u64 {
        let counters = self.counters.lock().unwrap_or_else(|e| e.into_inner());
        counters.get(name).map_or(0, |cell| cell.load(std::sync::atomic::Ordering::Relaxed))
    }
}

impl HostServices for TestHost {
    fn log(&self, level: Level, message: &str) {
        self.logs.lock().unwrap_or_else(|e| e.into_inner()).push((level, message.to_owned()));
    }
    fn now(&self) -> i64 {
        self.now_ns.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn counter(&self, name: &str, _gauge: bool) -> &'static AtomicU64 {
        let mut counters = self.counters.lock().unwrap_or_else(|e| e.into_inner());
        counters.entry(name.to_owned()).or_insert_with(|| {
            let unused = CELLS.lock().unwrap_or_else(|e| e.into_inner()).pop();
            unused.unwrap_or_else(|| Box::leak(Box::new(AtomicU64::new(0))))
        })
    }
    fn load_state(&self, key: &str) -> Option<Vec<u8>> {
        self.state.lock().unwrap_or_else(|e| e.into_inner()).get(key).cloned()
    }
    fn save_state(&self, key: &str, state: &[u8]) -> Result<(), Error> {
        self.saves.fetch_add(1, std::sync::atomic::Ordering::Release);
        if self.refuses_state.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::failed("the test's store is out of order"));
        }
        let mut states = self.state.lock().unwrap_or_else(|e| e.into_inner());
        states.insert(key.to_owned(), state.to_vec());
        Ok(())
    }
    fn keeps_state(&self) -> bool {
        self.keeps_state.load(std::sync::atomic::Ordering::Relaxed)
    }
    fn secret(&self, reference: &str) -> Result<String, Error> {
        Err(Error::failed(format!("there is no secret {reference} in a test")))
    }
    fn serializer(&self, name: &str, _config: &str) -> Result<SerializerInstance, Error> {
        Err(Error::failed(format!("there is no serializer {name} in a test")))
    }
    fn self_metrics(&self) -> Option<Batch> {
        None
    }
}

/// A plugin driven through its function table, as the agent drives it.
pub struct Driven<I> {
    /// The instance.
    pub instance: I,
    /// Its host.
    pub host: Arc<TestHost>,
}

macro_rules! driven {
    ($make:ident, $trait:ident, $instance:ident, $shim:ident) => {
        /// Makes an instance from TOML, as the agent would.
        ///
        /// # Errors
        /// The plugin's.
        pub fn $make<P: $trait>(config: &str) -> Result<Driven<$instance>, Error> {
            let host = Arc::new(TestHost::default());
            let plugin = shim::$shim::<P>("0.0.0");
            let mut instance =
                $instance::make(&plugin, config, serve::host(Arc::clone(&host) as _))?;
            instance.base.init(&context(0))?;
            Ok(Driven { instance, host })
        }
    };
}

use driven;

/// As [`processor`], on a host that another instance had before: what that stored is found again.
///
/// # Errors
/// The plugin's.
pub fn processor_on<P: Processor>(
    host: &Arc<TestHost>,
    config: &str,
) -> Result<Driven<ProcessorInstance>, Error> {
    let plugin = shim::processor::<P>("0.0.0");
    let services = serve::host(Arc::clone(host) as _);
    let mut instance = ProcessorInstance::make(&plugin, config, services)?;
    instance.base.init(&context(0))?;
    Ok(Driven { instance, host: Arc::clone(host) })
}

driven!(input, Input, InputInstance, input);
driven!(parser, Parser, ParserInstance, parser);
driven!(serializer, Serializer, SerializerInstance, serializer);
driven!(processor, Processor, ProcessorInstance, processor);
driven!(aggregator, Aggregator, AggregatorInstance, aggregator);
driven!(output, Output, OutputInstance, output);

impl Driven<InputInstance> {
    /// Gathers once.
    pub fn gather(&mut self, now_ns: i64) -> (Collected, Result<(), Error>) {
        let mut collected = Collected::default();
        let result =
            serve::with_sink(&mut collected, |sink| self.instance.gather(&context(now_ns), sink));
        (collected, result)
    }
}

impl Driven<ParserInstance> {
    /// Parses one whole text.
    pub fn parse(&mut self, text: &[u8], default_time_ns: i64) -> (Collected, Result<(), Error>) {
        let mut padded = text.to_vec();
        padded.resize(text.len() + PADDING, 0);
        let mut collected = Collected::default();
        let chunk = Chunk { padded: &padded, last: true, default_time_ns, origin: 1 };
        let result = serve::with_sink(&mut collected, |sink| {
            self.instance.parse(&context(default_time_ns), &chunk, sink)
        });
        (collected, result)
    }
}

impl Driven<SerializerInstance> {
    /// Serializes one batch.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize(&mut self, batch: &Batch) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        self.instance.serialize(&context(0), batch, &mut out)?;
        Ok(out)
    }
}

macro_rules! drive_stage {
    ($instance:ident) => {
        impl Driven<$instance> {
            /// Ticks once: what came, and when it wants to be called again.
            pub fn tick(&mut self, now_ns: i64) -> (Collected, Result<Option<i64>, Error>) {
                let mut collected = Collected::default();
                let result = serve::with_sink(&mut collected, |sink| {
                    self.instance.tick(&context(now_ns), sink)
                });
                (collected, result)
            }

            /// Tells it of something in order with the data.
            pub fn control(
                &mut self,
                now_ns: i64,
                message: Control,
            ) -> (Collected, Result<(), Error>) {
                let mut collected = Collected::default();
                let result = serve::with_sink(&mut collected, |sink| {
                    self.instance.control(&context(now_ns), message, sink)
                });
                (collected, result)
            }
        }
    };
}

drive_stage!(ProcessorInstance);
drive_stage!(SharedProcessor);
drive_stage!(AggregatorInstance);

impl Driven<ProcessorInstance> {
    /// Processes one batch.
    pub fn process(&mut self, now_ns: i64, batch: Batch) -> (Collected, Result<(), Error>) {
        let mut collected = Collected::default();
        let result = serve::with_sink(&mut collected, |sink| {
            self.instance.process(&context(now_ns), batch, sink)
        });
        (collected, result)
    }
}

impl Driven<ProcessorInstance> {
    /// Asks whether several threads may call it, as the agent does before any batch.
    ///
    /// # Errors
    /// It does not agree: it is as it was.
    pub fn share(self) -> Result<Driven<SharedProcessor>, Self> {
        let Driven { instance, host } = self;
        match instance.share(&context(0)) {
            Ok(instance) => Ok(Driven { instance, host }),
            Err(instance) => Err(Driven { instance: *instance, host }),
        }
    }
}

impl Driven<SharedProcessor> {
    /// Processes one batch; other threads may do the same.
    pub fn process(&self, now_ns: i64, batch: Batch) -> (Collected, Result<(), Error>) {
        let mut collected = Collected::default();
        let result = serve::with_sink(&mut collected, |sink| {
            self.instance.process(&context(now_ns), batch, sink)
        });
        (collected, result)
    }
}

impl Driven<AggregatorInstance> {
    /// Adds one batch.
    ///
    /// # Errors
    /// The aggregator's.
    pub fn apply(&mut self, now_ns: i64, batch: &Batch) -> Result<(), Error> {
        self.instance.apply(&context(now_ns), batch)
    }
}

impl Driven<OutputInstance> {
    /// Writes batches once.
    ///
    /// # Errors
    /// The output's.
    pub fn write(&mut self, batches: &[Batch]) -> Result<(), Error> {
        self.instance.write(&context(0), batches)
    }
}
