//! The agent's side of what it hands out: traits in safe Rust, behind the function tables.
//!
//! Every function catches panics, so that none crosses into a plugin. The `unsafe` blocks rest on
//! the interface's promises: plugins pass back the data they were given, keep a sink no longer than
//! its call, count clones, and pass arguments that live for the call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use abi_stable::prefix_type::PrefixTypeTrait;

use super::envelope::RawBatch;
use super::host::*;
use super::instance::{PADDING, SerializerInstance};
use super::tables::Malformed;
use super::{Address, Bytes, Taker, report, status};
use crate::batch::Batch;
use crate::plugin::{Context, Error, ErrorKind, Framing, Level, Outcome, Read};

/// Bytes that an input pushed.
pub struct PushedBytes<'a> {
    /// How they make texts.
    pub framing: Framing,
    /// The bytes, without padding.
    pub data: &'a [u8],
    /// Tags for all points.
    pub tags: Vec<(String, String)>,
    /// The token for settlements, if they are wanted.
    pub token: Option<u64>,
    /// The source's number, 0 if the input has but one.
    pub origin: u64,
}

/// What takes a plugin's products during a call, or for a service input at any time.
pub trait SinkTarget {
    /// Whether batches of this plugin must be checked.
    fn checks(&self) -> bool {
        false
    }

    /// Takes a batch. With a timeout it may wait for room; `None` asks for an answer at once.
    ///
    /// # Errors
    /// The batch, if there is no room.
    fn push(&mut self, batch: Batch, timeout: Option<Duration>) -> Result<(), Batch>;

    /// Hears that a batch was malformed and not taken.
    fn malformed(&mut self, _malformed: Malformed) {}

    /// Takes bytes for the parser.
    ///
    /// # Errors
    /// Would-block, or the parser's.
    fn push_bytes(&mut self, _bytes: PushedBytes<'_>) -> Result<(), Error> {
        Err(Error::failed("bytes cannot be pushed here"))
    }

    /// Hears of a refused record: offset and length in the chunk, where the error stands.
    fn bad(&mut self, _offset: usize, _len: usize, _at: usize, _message: &str) {}

    /// Hears how many lines a chunk had.
    fn lines(&mut self, _lines: u64) {}
}

struct SinkData<'a>(&'a mut dyn SinkTarget);

/// Runs a call with a sink.
pub fn with_sink<T>(target: &mut dyn SinkTarget, call: impl FnOnce(RawSink) -> T) -> T {
    let mut data = SinkData(target);
    call(RawSink { functions: sink_functions(), data: (&raw mut data).cast() })
}

fn sink_functions() -> SinkFunctionsRef {
    static TABLE: std::sync::OnceLock<SinkFunctionsRef> = std::sync::OnceLock::new();
    *TABLE.get_or_init(|| {
        SinkFunctions {
            try_push: sink_try_push,
            push: sink_push,
            push_bytes: sink_push_bytes,
            bad: sink_bad,
            lines: sink_lines,
        }
        .leak_into_prefix()
    })
}

fn guarded(run: impl FnOnce() -> u32) -> u32 {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(status::FAILED)
}

/// The target of a call.
///
/// # Safety
/// `data` is what `with_sink` made, and its call still runs.
unsafe fn target<'a>(data: Address) -> &'a mut dyn SinkTarget {
    // SAFETY: the caller vouches.
    unsafe { &mut *(*data.cast::<SinkData<'a>>()).0 }
}

fn take_batch(data: Address, batch: Address, timeout: Option<Duration>) -> u32 {
    guarded(|| {
        // SAFETY: see the module.
        let (target, raw) = unsafe { (target(data), &mut *batch.cast::<RawBatch>()) };
        // SAFETY: the plugin gives the batch away.
        match unsafe { raw.take(target.checks()) } {
            Err(malformed) => {
                target.malformed(malformed);
                status::REFUSED
            }
            Ok(batch) => match target.push(batch, timeout) {
                Ok(()) => status::OK,
                Err(batch) => {
                    *raw = RawBatch::new(batch);
                    status::WOULD_BLOCK
                }
            },
        }
    })
}

unsafe extern "C" fn sink_try_push(data: Address, batch: Address) -> u32 {
    take_batch(data, batch, None)
}

unsafe extern "C" fn sink_push(data: Address, batch: Address, timeout_ns: u64) -> u32 {
    take_batch(data, batch, Some(Duration::from_nanos(timeout_ns)))
}

unsafe extern "C" fn sink_push_bytes(data: Address, chunk: Address, framing: u32) -> u32 {
    guarded(|| {
        // SAFETY: see the module.
        let (target, chunk) = unsafe { (target(data), &*chunk.cast::<RawChunk>()) };
        // SAFETY: the bytes and tags live for the call.
        let (bytes, tags) = unsafe {
            (
                Bytes { data: chunk.data, len: chunk.len as usize }.as_slice(),
                split_tags(chunk.tags.as_slice()),
            )
        };
        let Some(framing) = framing_of(framing) else { return status::FAILED };
        let token = (chunk.flags & chunk_flag::TOKEN != 0).then_some(chunk.token);
        let pushed = PushedBytes { framing, data: bytes, tags, token, origin: chunk.origin };
        match target.push_bytes(pushed) {
            Ok(()) => status::OK,
            Err(error) if *error.kind() == ErrorKind::WouldBlock => status::WOULD_BLOCK,
            Err(_) => status::FAILED,
        }
    })
}

unsafe extern "C" fn sink_bad(data: Address, offset: u64, len: u64, at: u64, message: Bytes) {
    guarded(|| {
        // SAFETY: see the module.
        let (target, message) = unsafe { (target(data), message.to_text()) };
        target.bad(offset as usize, len as usize, at as usize, &message);
        status::OK
    });
}

unsafe extern "C" fn sink_lines(data: Address, lines: u64) {
    guarded(|| {
        // SAFETY: see the module.
        unsafe { target(data) }.lines(lines);
        status::OK
    });
}

fn framing_of(code: u32) -> Option<Framing> {
    match code {
        framing::LINES => Some(Framing::Lines),
        framing::WHOLE => Some(Framing::Whole),
        framing::MESSAGES => Some(Framing::Messages),
        _ => None,
    }
}

/// Tags that crossed as `key\0value\0...`.
fn split_tags(joined: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(joined);
    let mut parts = text.split_terminator('\0');
    let mut tags = Vec::new();
    while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
        tags.push((key.to_owned(), value.to_owned()));
    }
    tags
}

/// The agent's services for one instance.
pub trait HostServices: Send + Sync + 'static {
    /// Writes a log line.
    fn log(&self, level: Level, message: &str);
    /// The agent's clock.
    fn now(&self) -> i64;
    /// The cell of a self-metric; `gauge` for one that goes down too.
    fn counter(&self, name: &str, gauge: bool) -> &'static AtomicU64;
    /// Stored state.
    fn load_state(&self, key: &str) -> Option<Vec<u8>>;
    /// Stores state durably.
    fn save_state(&self, key: &str, state: &[u8]) -> Result<(), Error>;
    /// Whether stored state outlives the process.
    fn keeps_state(&self) -> bool {
        false
    }
    /// Resolves a secret.
    fn secret(&self, reference: &str) -> Result<String, Error>;
    /// Makes a serializer.
    fn serializer(&self, name: &str, config: &str) -> Result<SerializerInstance, Error>;
    /// All self-metrics.
    fn self_metrics(&self) -> Option<Batch>;
}

type SharedHost = Arc<dyn HostServices>;

/// One clone of a host handle.
pub fn host(services: SharedHost) -> RawHost {
    static TABLE: std::sync::OnceLock<HostFunctionsRef> = std::sync::OnceLock::new();
    let functions = *TABLE.get_or_init(|| {
        HostFunctions {
            log: host_log,
            now: host_now,
            counter: host_counter,
            load_state: host_load_state,
            save_state: host_save_state,
            secret: host_secret,
            serializer: host_serializer,
            parser: host_parser,
            self_metrics: host_self_metrics,
            retain: host_retain,
            release: host_release,
            keeps_state: host_keeps_state,
        }
        .leak_into_prefix()
    });
    RawHost { functions, data: shared_into_raw(services) }
}

/// A counted box with room for a fat pointer.
fn shared_into_raw<T: ?Sized>(shared: Arc<T>) -> Address {
    Arc::into_raw(Arc::new(shared)).cast_mut().cast()
}

/// Borrows what `shared_into_raw` gave.
///
/// # Safety
/// `data` is a live clone of it, of the same type.
unsafe fn shared<'a, T: ?Sized>(data: Address) -> &'a Arc<T> {
    // SAFETY: the caller vouches.
    unsafe { &*data.cast::<Arc<T>>() }
}

/// One clone more.
///
/// # Safety
/// As for `shared`.
unsafe fn shared_retain<T: ?Sized>(data: Address) {
    // SAFETY: the caller vouches.
    unsafe { Arc::increment_strong_count(data.cast::<Arc<T>>()) }
}

/// One clone less.
///
/// # Safety
/// As for `shared`; the clone is not used again.
unsafe fn shared_release<T: ?Sized>(data: Address) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller vouches.
        unsafe { Arc::decrement_strong_count(data.cast::<Arc<T>>()) }
    }));
}

unsafe extern "C" fn host_log(data: Address, level: u32, message: Bytes) {
    guarded(|| {
        let level = match level {
            1 => Level::Error,
            2 => Level::Warning,
            3 => Level::Information,
            _ => Level::Debug,
        };
        // SAFETY: see the module.
        unsafe { shared::<dyn HostServices>(data).log(level, &message.to_text()) };
        status::OK
    });
}

unsafe extern "C" fn host_now(data: Address) -> i64 {
    // SAFETY: see the module.
    let run = || unsafe { shared::<dyn HostServices>(data).now() };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(0)
}

unsafe extern "C" fn host_counter(data: Address, name: Bytes, kind: u32) -> Address {
    // SAFETY: see the module.
    let run = || unsafe {
        let cell = shared::<dyn HostServices>(data).counter(&name.to_text(), kind == 2);
        std::ptr::from_ref(cell).cast_mut().cast()
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(std::ptr::null_mut())
}

unsafe extern "C" fn host_load_state(data: Address, key: Bytes, taker: Taker) -> u32 {
    // SAFETY: see the module.
    guarded(|| unsafe {
        match shared::<dyn HostServices>(data).load_state(&key.to_text()) {
            Some(state) => {
                taker.put(&state);
                status::OK
            }
            None => status::END,
        }
    })
}

fn reported(report: Address, run: impl FnOnce() -> Result<(), Error>) -> u32 {
    guarded(|| match run() {
        Ok(()) => status::OK,
        // SAFETY: the report is the plugin's for this call.
        Err(error) => unsafe { report::fill(report.cast(), &error) },
    })
}

unsafe extern "C" fn host_save_state(
    data: Address,
    key: Bytes,
    state: Bytes,
    report: Address,
) -> u32 {
    // SAFETY: see the module.
    reported(report, || unsafe {
        shared::<dyn HostServices>(data).save_state(&key.to_text(), state.as_slice())
    })
}

unsafe extern "C" fn host_secret(
    data: Address,
    reference: Bytes,
    taker: Taker,
    report: Address,
) -> u32 {
    // SAFETY: see the module.
    reported(report, || unsafe {
        let secret = shared::<dyn HostServices>(data).secret(&reference.to_text())?;
        taker.put(secret.as_bytes());
        Ok(())
    })
}

unsafe extern "C" fn host_serializer(
    data: Address,
    name: Bytes,
    config: Bytes,
    out: Address,
    report: Address,
) -> u32 {
    // SAFETY: see the module.
    reported(report, || unsafe {
        let services = shared::<dyn HostServices>(data);
        let instance = services.serializer(&name.to_text(), &config.to_text())?;
        out.cast::<RawInstance>().write(instance.into_raw());
        Ok(())
    })
}

unsafe extern "C" fn host_parser(
    _data: Address,
    _name: Bytes,
    _config: Bytes,
    _out: Address,
    report: Address,
) -> u32 {
    reported(report, || {
        Err(Error::failed(
            "this agent parses what inputs push and hands out no parsers; push bytes instead",
        ))
    })
}

unsafe extern "C" fn host_self_metrics(data: Address, taker: Taker) -> u32 {
    // SAFETY: see the module.
    guarded(|| unsafe {
        match shared::<dyn HostServices>(data).self_metrics() {
            Some(batch) => {
                let mut serial = Vec::new();
                batch.serialize_into(&mut serial);
                taker.put(&serial);
                status::OK
            }
            None => status::FAILED,
        }
    })
}

unsafe extern "C" fn host_keeps_state(data: Address) -> u32 {
    // SAFETY: see the module.
    guarded(|| unsafe { u32::from(shared::<dyn HostServices>(data).keeps_state()) })
}

unsafe extern "C" fn host_retain(data: Address) {
    // SAFETY: see the module.
    unsafe { shared_retain::<dyn HostServices>(data) }
}

unsafe extern "C" fn host_release(data: Address) {
    // SAFETY: see the module.
    unsafe { shared_release::<dyn HostServices>(data) }
}

/// A source that a plugin opened, for the agent to read.
pub struct OpenedSource {
    functions: SourceFunctionsRef,
    data: Address,
}

// SAFETY: sources are `Send` by contract; `&mut self` keeps reads from overlapping.
unsafe impl Send for OpenedSource {}

impl Drop for OpenedSource {
    fn drop(&mut self) {
        // SAFETY: the source is dropped once.
        unsafe { self.functions.drop()(self.data) }
    }
}

/// What a read gave.
#[derive(Debug, Clone, Copy)]
pub struct ReadOutcome {
    /// What it found.
    pub read: Read,
    /// Bytes in the buffer.
    pub len: usize,
    /// Messages in the buffer.
    pub messages: usize,
    /// Datagrams lost in the kernel since the last read.
    pub lost: u32,
    /// The token of what was read.
    pub token: u64,
}

impl OpenedSource {
    /// Reads into the buffer; `messages` gets the end offset of each message.
    ///
    /// # Errors
    /// The source's: it must be dropped.
    pub fn read(
        &mut self,
        cx: &Context<'_>,
        buffer: &mut [u8],
        messages: &mut [u32],
    ) -> Result<ReadOutcome, Error> {
        let mut context = cx.to_raw();
        let mut raw = RawRead {
            size: size_of::<RawRead>() as u32,
            message_count: 0,
            len: 0,
            messages: messages.as_mut_ptr(),
            message_capacity: messages.len() as u32,
            lost: 0,
            token: 0,
        };
        let mut code = status::OK;
        let result = report::call(|report| {
            // SAFETY: see the module.
            code = unsafe {
                self.functions.read()(
                    self.data,
                    (&raw mut context).cast(),
                    buffer.as_mut_ptr(),
                    buffer.len() as u64,
                    (&raw mut raw).cast(),
                    report.cast(),
                )
            };
            code
        });
        let read = match code {
            status::OK => Read::Some,
            status::WOULD_BLOCK => Read::Blocked,
            status::END => Read::End,
            _ => return Err(result.err().unwrap_or_else(|| Error::failed("an unknown answer"))),
        };
        Ok(ReadOutcome {
            read,
            len: (raw.len as usize).min(buffer.len()),
            messages: (raw.message_count as usize).min(messages.len()),
            lost: raw.lost,
            token: raw.token,
        })
    }
}

/// A source as a plugin opened it.
pub struct OpenedSpec {
    /// A name for messages.
    pub name: String,
    /// How its bytes make texts.
    pub framing: Framing,
    /// What to wait on.
    pub descriptor: Option<i32>,
    /// The stream position of the first byte.
    pub start: u64,
    /// Tags for all its points.
    pub tags: Vec<(String, String)>,
    /// Whether it ends by itself.
    pub finite: bool,
    /// Whether the input wants settlements.
    pub acknowledged: bool,
    /// Whether what finds no room is dropped and counted.
    pub lossy: bool,
}

/// A descriptor that a plugin watches.
pub struct Watched(Watcher);

// SAFETY: what plugins watch with is `Send` by contract; `&mut self` keeps calls from overlapping.
unsafe impl Send for Watched {}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: it is dropped once.
        unsafe { (self.0.drop)(self.0.argument) }
    }
}

impl Watched {
    /// Tells that the descriptor is readable. False once it wants to hear no more.
    pub fn ready(&mut self, cx: &Context<'_>) -> bool {
        let mut context = cx.to_raw();
        // SAFETY: see the module.
        let code = unsafe { (self.0.ready)(self.0.argument, (&raw mut context).cast()) };
        matches!(code, status::OK | status::WOULD_BLOCK)
    }
}

/// The descriptor of a source or watch, for waiting on it; `None` for a number that is none.
///
/// The plugin promises that it stays open as long as its source or watch lives, and the agent does
/// not use it longer.
pub fn borrow_descriptor(descriptor: i32) -> Option<std::os::fd::BorrowedFd<'static>> {
    if descriptor < 0 {
        return None;
    }
    // SAFETY: see above. A descriptor that was closed all the same makes calls on it fail, or wait
    // for another file: no memory is reached through it.
    Some(unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) })
}

/// What a service input is handed.
pub trait IntakeServices: Send + Sync + 'static {
    /// Opens a source; `None` if there is no room for more.
    fn open(&self, spec: OpenedSpec, source: OpenedSource) -> Option<u64>;
    /// Watches a descriptor.
    fn watch(&self, descriptor: i32, watched: Watched) -> Option<u64>;
    /// A source may have something to read.
    fn wake(&self, source: u64);
    /// Ends a source or a watch.
    fn close(&self, source: u64);
    /// Whether batches must be checked.
    fn checks(&self) -> bool;
    /// Takes a batch. With a timeout it may wait for room; `None` asks for an answer at once.
    ///
    /// # Errors
    /// The batch, if there is no room.
    fn push(&self, batch: Batch, timeout: Option<Duration>) -> Result<(), Batch>;
    /// Hears that a batch was malformed and not taken.
    fn malformed(&self, malformed: Malformed);
    /// Takes bytes for the parser.
    ///
    /// # Errors
    /// Would-block, or the parser's.
    fn push_bytes(&self, bytes: PushedBytes<'_>) -> Result<(), Error>;
}

type SharedIntake = Arc<dyn IntakeServices>;

/// One clone of an intake.
pub fn intake(services: SharedIntake) -> RawIntake {
    static TABLE: std::sync::OnceLock<IntakeFunctionsRef> = std::sync::OnceLock::new();
    let functions = *TABLE.get_or_init(|| {
        IntakeFunctions {
            open: intake_open,
            wake: intake_wake,
            close: intake_close,
            watch: intake_watch,
            retain: intake_retain,
            release: intake_release,
            sink: intake_sink,
        }
        .leak_into_prefix()
    });
    RawIntake { functions, data: shared_into_raw(services) }
}

unsafe extern "C" fn intake_open(data: Address, spec: Address) -> u64 {
    let run = || {
        // SAFETY: see the module.
        let raw = unsafe { &*spec.cast::<RawSourceSpec>() };
        let source = OpenedSource { functions: raw.functions, data: raw.data };
        let framing = framing_of(raw.framing)?;
        // SAFETY: texts live for the call.
        let (name, tags) =
            unsafe { (raw.name.to_text().into_owned(), split_tags(raw.tags.as_slice())) };
        let has = |flag| raw.flags & flag != 0;
        let spec = OpenedSpec {
            name,
            framing,
            descriptor: (raw.descriptor >= 0).then_some(raw.descriptor),
            start: raw.start,
            tags,
            finite: has(source_flag::FINITE),
            acknowledged: has(source_flag::ACKNOWLEDGED),
            lossy: has(source_flag::LOSSY),
        };
        // SAFETY: see the module.
        unsafe { shared::<dyn IntakeServices>(data) }.open(spec, source)
    };
    catch_unwind(AssertUnwindSafe(run)).ok().flatten().unwrap_or(0)
}

unsafe extern "C" fn intake_wake(data: Address, source: u64) {
    guarded(|| {
        // SAFETY: see the module.
        unsafe { shared::<dyn IntakeServices>(data) }.wake(source);
        status::OK
    });
}

unsafe extern "C" fn intake_close(data: Address, source: u64) {
    guarded(|| {
        // SAFETY: see the module.
        unsafe { shared::<dyn IntakeServices>(data) }.close(source);
        status::OK
    });
}

unsafe extern "C" fn intake_watch(data: Address, descriptor: i32, watcher: Watcher) -> u64 {
    let watched = Watched(watcher);
    // SAFETY: see the module.
    let run = || unsafe { shared::<dyn IntakeServices>(data) }.watch(descriptor, watched);
    catch_unwind(AssertUnwindSafe(run)).ok().flatten().unwrap_or(0)
}

unsafe extern "C" fn intake_retain(data: Address) {
    // SAFETY: see the module.
    unsafe { shared_retain::<dyn IntakeServices>(data) }
}

unsafe extern "C" fn intake_release(data: Address) {
    // SAFETY: see the module.
    unsafe { shared_release::<dyn IntakeServices>(data) }
}

unsafe extern "C" fn intake_sink(data: Address) -> RawSink {
    static TABLE: std::sync::OnceLock<SinkFunctionsRef> = std::sync::OnceLock::new();
    let functions = *TABLE.get_or_init(|| {
        SinkFunctions {
            try_push: service_try_push,
            push: service_push,
            push_bytes: service_push_bytes,
            bad: service_bad,
            lines: service_lines,
        }
        .leak_into_prefix()
    });
    RawSink { functions, data }
}

/// An intake as the target of its own sink.
struct IntakeTarget<'a>(&'a dyn IntakeServices);

impl SinkTarget for IntakeTarget<'_> {
    fn checks(&self) -> bool {
        self.0.checks()
    }
    fn push(&mut self, batch: Batch, timeout: Option<Duration>) -> Result<(), Batch> {
        self.0.push(batch, timeout)
    }
    fn malformed(&mut self, malformed: Malformed) {
        self.0.malformed(malformed);
    }
    fn push_bytes(&mut self, bytes: PushedBytes<'_>) -> Result<(), Error> {
        self.0.push_bytes(bytes)
    }
}

/// Runs a sink function over an intake.
///
/// # Safety
/// `data` is a live clone of an intake.
unsafe fn over_intake<T>(data: Address, run: impl FnOnce(Address) -> T) -> T {
    // SAFETY: the caller vouches.
    let services = unsafe { shared::<dyn IntakeServices>(data) };
    let mut target = IntakeTarget(&**services);
    let mut sink = SinkData(&mut target);
    run((&raw mut sink).cast())
}

unsafe extern "C" fn service_try_push(data: Address, batch: Address) -> u32 {
    // SAFETY: see the module.
    unsafe { over_intake(data, |sink| take_batch(sink, batch, None)) }
}

unsafe extern "C" fn service_push(data: Address, batch: Address, timeout_ns: u64) -> u32 {
    let timeout = Some(Duration::from_nanos(timeout_ns));
    // SAFETY: see the module.
    unsafe { over_intake(data, |sink| take_batch(sink, batch, timeout)) }
}

unsafe extern "C" fn service_push_bytes(data: Address, chunk: Address, framing: u32) -> u32 {
    // SAFETY: see the module.
    unsafe { over_intake(data, |sink| sink_push_bytes(sink, chunk, framing)) }
}

unsafe extern "C" fn service_bad(_: Address, _: u64, _: u64, _: u64, _: Bytes) {}

unsafe extern "C" fn service_lines(_: Address, _: u64) {}

/// What hears of settlements.
pub trait Settle: Send + Sync + 'static {
    /// One more clone.
    fn retained(&self);
    /// One clone has settled.
    fn settled(&self, outcome: Outcome);
}

static DELIVERY: DeliveryFunctions = DeliveryFunctions {
    size: size_of::<DeliveryFunctions>() as u64,
    retain: delivery_retain,
    settle: delivery_settle,
};

unsafe extern "C" fn delivery_retain(data: Address) {
    guarded(|| {
        // SAFETY: see the module.
        unsafe {
            shared::<dyn Settle>(data).retained();
            shared_retain::<dyn Settle>(data);
        }
        status::OK
    });
}

unsafe extern "C" fn delivery_settle(data: Address, outcome: u32) {
    guarded(|| {
        // SAFETY: see the module.
        unsafe {
            shared::<dyn Settle>(data).settled(Outcome::from_code(outcome));
            shared_release::<dyn Settle>(data);
        }
        status::OK
    });
}

/// The first clone of a delivery handle.
pub fn delivery(settle: Arc<dyn Settle>) -> crate::plugin::Delivery {
    let raw = RawDelivery { functions: &DELIVERY, data: shared_into_raw(settle) };
    match crate::plugin::Delivery::from_raw(raw) {
        Some(delivery) => delivery,
        None => unreachable!("the functions are a static"),
    }
}

/// Adds the padding that parsers rely on.
pub fn pad(data: &mut Vec<u8>) {
    data.resize(data.len() + PADDING, 0);
}
