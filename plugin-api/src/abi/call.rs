//! The plugin's way to the agent: safe calls of the functions it was handed.
//!
//! Every `unsafe` block here rests on one fact: the function tables and their first arguments came
//! from the agent, which keeps them alive as the interface says (sinks for the call, hosts and
//! intakes as long as a clone exists), and the arguments are valid for the length of the call.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::envelope::RawBatch;
use super::host::{
    RawChunk, RawHost, RawInstance, RawIntake, RawRead, RawSink, RawSourceSpec, SourceFunctions,
    SourceFunctionsRef, Watcher, chunk_flag, source_flag,
};
use super::{Address, Bytes, Taker, report, shim, status};
use crate::batch::Batch;
use crate::plugin::{Context, Error, Framing, Read, ReadBuffer, Source, SourceSpec};

pub use super::instance::SerializerInstance;

fn bytes(text: &str) -> Bytes {
    Bytes::new(text.as_bytes())
}

/// Pushes a batch into a sink that takes everything.
pub fn push(sink: &RawSink, batch: Batch) -> u32 {
    let mut raw = RawBatch::new(batch);
    // SAFETY: see the module.
    let code = unsafe { sink.functions.push()(sink.data, (&raw mut raw).cast(), u64::MAX) };
    give_back(&mut raw);
    code
}

/// Takes back what the sink left.
fn give_back(raw: &mut RawBatch) -> Option<Batch> {
    if raw.is_taken() {
        return None;
    }
    // SAFETY: this side made the envelope and nobody took it.
    unsafe { raw.take(false) }.ok()
}

/// Pushes a batch if there is room.
pub fn try_push(sink: &RawSink, batch: Batch) -> Result<(), Batch> {
    let mut raw = RawBatch::new(batch);
    // SAFETY: see the module.
    unsafe { sink.functions.try_push()(sink.data, (&raw mut raw).cast()) };
    give_back(&mut raw).map_or(Ok(()), Err)
}

/// Pushes a batch and waits for room.
pub fn push_wait(sink: &RawSink, batch: Batch, timeout: Duration) -> Result<(), Batch> {
    let mut raw = RawBatch::new(batch);
    let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: see the module.
    unsafe { sink.functions.push()(sink.data, (&raw mut raw).cast(), timeout) };
    give_back(&mut raw).map_or(Ok(()), Err)
}

/// Tags as they cross.
pub fn join_tags(tags: &[(&str, &str)]) -> Vec<u8> {
    let mut joined = Vec::new();
    for (key, value) in tags.iter().filter(|(k, v)| !k.contains('\0') && !v.contains('\0')) {
        for text in [key, value] {
            joined.extend_from_slice(text.as_bytes());
            joined.push(0);
        }
    }
    joined
}

/// Hands bytes to the agent's parser.
pub fn push_bytes(
    sink: &RawSink,
    framing: Framing,
    data: &[u8],
    tags: &[(&str, &str)],
    token: Option<u64>,
    origin: u64,
) -> Result<(), Error> {
    let tags = join_tags(tags);
    let mut chunk = RawChunk {
        size: size_of::<RawChunk>() as u32,
        flags: chunk_flag::FINAL | if token.is_some() { chunk_flag::TOKEN } else { 0 },
        data: data.as_ptr(),
        len: data.len() as u64,
        default_time_ns: 0,
        origin,
        token: token.unwrap_or(0),
        tags: Bytes::new(&tags),
    };
    // SAFETY: see the module.
    let code =
        unsafe { sink.functions.push_bytes()(sink.data, (&raw mut chunk).cast(), framing.code()) };
    match code {
        status::OK => Ok(()),
        status::WOULD_BLOCK => Err(Error::would_block()),
        _ => Err(Error::failed("the bytes could not be parsed; the agent's log says why")),
    }
}

/// Tells of a refused record.
pub fn bad(sink: &RawSink, offset: usize, len: usize, at: usize, message: &str) {
    // SAFETY: see the module.
    unsafe {
        sink.functions.bad()(sink.data, offset as u64, len as u64, at as u64, bytes(message));
    }
}

/// Tells how many lines were read.
pub fn lines(sink: &RawSink, lines: u64) {
    // SAFETY: see the module.
    unsafe { sink.functions.lines()(sink.data, lines) }
}

/// A chunk with the 32 bytes behind it.
pub fn padded(chunk: &RawChunk) -> &[u8] {
    // SAFETY: whoever makes a chunk for a parser vouches for 32 readable bytes behind it.
    unsafe { std::slice::from_raw_parts(chunk.data, chunk.len as usize + 32) }
}

/// Opens a source.
pub fn open(intake: &RawIntake, spec: &SourceSpec<'_>, source: Box<dyn Source>) -> Option<u64> {
    let tags = join_tags(spec.tags);
    let mut flags = 0;
    for (set, flag) in [
        (spec.finite, source_flag::FINITE),
        (spec.acknowledged, source_flag::ACKNOWLEDGED),
        (spec.lossy, source_flag::LOSSY),
    ] {
        flags |= if set { flag } else { 0 };
    }
    let mut raw = RawSourceSpec {
        size: size_of::<RawSourceSpec>() as u32,
        framing: spec.framing.code(),
        flags,
        descriptor: spec.descriptor.unwrap_or(-1),
        start: spec.start,
        name: bytes(spec.name),
        tags: Bytes::new(&tags),
        functions: source_functions(),
        data: Box::into_raw(Box::new(source)).cast(),
    };
    // SAFETY: see the module; the agent owns `data` from here on.
    let number = unsafe { intake.functions.open()(intake.data, (&raw mut raw).cast()) };
    (number != 0).then_some(number)
}

fn source_functions() -> SourceFunctionsRef {
    static TABLE: std::sync::OnceLock<SourceFunctionsRef> = std::sync::OnceLock::new();
    *TABLE.get_or_init(|| {
        use abi_stable::prefix_type::PrefixTypeTrait;
        SourceFunctions { read: source_read, drop: source_drop }.leak_into_prefix()
    })
}

unsafe extern "C" fn source_read(
    data: Address,
    context: Address,
    buffer: Address,
    capacity: u64,
    read: Address,
    report: Address,
) -> u32 {
    let call = || -> Result<Read, Error> {
        // SAFETY: the agent passes the data of `open`, its context, a buffer of `capacity` bytes
        // that it set to zero once, and its `RawRead`, all for this call alone.
        let (source, context, raw, buffer) = unsafe {
            (
                &mut *data.cast::<Box<dyn Source>>(),
                shim::context(context),
                &mut *read.cast::<RawRead>(),
                std::slice::from_raw_parts_mut(buffer, capacity as usize),
            )
        };
        let messages = match raw.message_capacity {
            0 => &mut [][..],
            // SAFETY: the agent vouches for the room.
            n => unsafe { std::slice::from_raw_parts_mut(raw.messages, n as usize) },
        };
        let mut room =
            ReadBuffer { data: buffer, filled: 0, messages, message_count: 0, lost: 0, token: 0 };
        let result = source.read(&context, &mut room);
        raw.len = room.filled as u64;
        raw.message_count = room.message_count as u32;
        raw.lost = room.lost;
        raw.token = room.token;
        result
    };
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(Read::Some)) => status::OK,
        Ok(Ok(Read::Blocked)) => status::WOULD_BLOCK,
        Ok(Ok(Read::End)) => status::END,
        // SAFETY: `report` is the agent's for this call.
        Ok(Err(error)) => unsafe { report::fill(report.cast(), &error) },
        Err(_) => status::PANICKED,
    }
}

unsafe extern "C" fn source_drop(data: Address) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `open` made the box; the agent drops it once.
        drop(unsafe { Box::from_raw(data.cast::<Box<dyn Source>>()) });
    }));
}

type Ready = Box<dyn FnMut(&Context<'_>) -> Result<(), Error> + Send>;

/// Watches a descriptor.
pub fn watch(intake: &RawIntake, descriptor: i32, ready: Ready) -> Option<u64> {
    unsafe extern "C" fn call(argument: Address, context: Address) -> u32 {
        // SAFETY: the agent passes what `watch` gave it, never overlapping, and its context.
        let run = || unsafe { (*argument.cast::<Ready>())(&shim::context(context)) };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => status::OK,
            // SAFETY: a null report is allowed.
            Ok(Err(error)) => unsafe { report::fill(std::ptr::null_mut(), &error) },
            Err(_) => status::PANICKED,
        }
    }
    unsafe extern "C" fn free(argument: Address) {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: `watch` made the box; the agent drops it once.
            drop(unsafe { Box::from_raw(argument.cast::<Ready>()) });
        }));
    }
    let argument = Box::into_raw(Box::new(ready)).cast();
    let watcher = Watcher { argument, ready: call, drop: free };
    // SAFETY: see the module.
    let number = unsafe { intake.functions.watch()(intake.data, descriptor, watcher) };
    (number != 0).then_some(number)
}

/// Wakes a source.
pub fn wake(intake: &RawIntake, source: u64) {
    // SAFETY: see the module.
    unsafe { intake.functions.wake()(intake.data, source) }
}

/// Closes a source.
pub fn close(intake: &RawIntake, source: u64) {
    // SAFETY: see the module.
    unsafe { intake.functions.close()(intake.data, source) }
}

/// The sink of an intake.
pub fn intake_sink(intake: &RawIntake) -> RawSink {
    // SAFETY: see the module.
    unsafe { intake.functions.sink()(intake.data) }
}

/// One clone more.
pub fn retain_intake(intake: &RawIntake) {
    // SAFETY: see the module.
    unsafe { intake.functions.retain()(intake.data) }
}

/// One clone less.
pub fn release_intake(intake: &RawIntake) {
    // SAFETY: see the module.
    unsafe { intake.functions.release()(intake.data) }
}

// SAFETY: an intake's functions may be called from any thread by contract.
unsafe impl Send for RawIntake {}
// SAFETY: as above.
unsafe impl Sync for RawIntake {}
// SAFETY: a sink that outlives a call (an intake's) may be used from any thread by contract; others
// do not leave their call.
unsafe impl Send for RawSink {}

/// Writes to the log.
pub fn log(host: &RawHost, level: u32, message: &str) {
    // SAFETY: see the module.
    unsafe { host.functions.log()(host.data, level, bytes(message)) }
}

/// The agent's clock.
pub fn now(host: &RawHost) -> i64 {
    // SAFETY: see the module.
    unsafe { host.functions.now()(host.data) }
}

/// A self-metric's cell.
pub fn counter(host: &RawHost, name: &str, kind: u32) -> Option<&'static AtomicU64> {
    // SAFETY: see the module; the agent's cells live for ever.
    unsafe { host.functions.counter()(host.data, bytes(name), kind).cast::<AtomicU64>().as_ref() }
}

/// Loads state.
pub fn load_state(host: &RawHost, key: &str) -> Option<Vec<u8>> {
    let mut state = Vec::new();
    // SAFETY: see the module.
    let code =
        unsafe { host.functions.load_state()(host.data, bytes(key), Taker::into(&mut state)) };
    (code == status::OK).then_some(state)
}

/// Saves state.
pub fn save_state(host: &RawHost, key: &str, state: &[u8]) -> Result<(), Error> {
    report::call(|report| {
        // SAFETY: see the module.
        unsafe {
            host.functions.save_state()(host.data, bytes(key), Bytes::new(state), report.cast())
        }
    })
}

/// Whether stored state outlives the process; an older agent does not say so.
pub fn keeps_state(host: &RawHost) -> bool {
    // SAFETY: see the module.
    host.functions.keeps_state().is_some_and(|ask| unsafe { ask(host.data) } == 1)
}

/// Resolves a secret.
pub fn secret(host: &RawHost, reference: &str) -> Result<String, Error> {
    let mut secret: Vec<u8> = Vec::new();
    report::call(|report| {
        // SAFETY: see the module.
        unsafe {
            host.functions.secret()(
                host.data,
                bytes(reference),
                Taker::into(&mut secret),
                report.cast(),
            )
        }
    })?;
    String::from_utf8(secret).map_err(|_| Error::failed("the secret is not UTF-8"))
}

/// Makes a serializer.
pub fn serializer(
    host: &RawHost,
    name: &str,
    config: &str,
) -> Result<crate::plugin::OwnedSerializer, Error> {
    let mut out = std::mem::MaybeUninit::<RawInstance>::zeroed();
    report::call(|report| {
        // SAFETY: see the module.
        unsafe {
            host.functions.serializer()(
                host.data,
                bytes(name),
                bytes(config),
                out.as_mut_ptr().cast(),
                report.cast(),
            )
        }
    })?;
    // SAFETY: on `OK` the agent has filled it with an instance of the serializer kind.
    let instance = unsafe { SerializerInstance::from_raw(out.assume_init()) };
    Ok(crate::plugin::OwnedSerializer { instance })
}

/// All self-metrics.
pub fn self_metrics(host: &RawHost) -> Result<Batch, Error> {
    let mut serial = Vec::new();
    // SAFETY: see the module.
    let code = unsafe { host.functions.self_metrics()(host.data, Taker::into(&mut serial)) };
    if code != status::OK {
        return Err(Error::failed("the agent gave no self-metrics"));
    }
    Batch::deserialize(&serial).map_err(|error| Error::failed(error.to_string()))
}

/// One clone more.
pub fn retain_host(host: &RawHost) {
    // SAFETY: see the module.
    unsafe { host.functions.retain()(host.data) }
}

/// One clone less.
pub fn release_host(host: &RawHost) {
    // SAFETY: see the module.
    unsafe { host.functions.release()(host.data) }
}
