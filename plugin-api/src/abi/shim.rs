//! From a plugin's traits to the function tables of its kind.
//!
//! An instance is a box of [`Boxed`]. Every function turns addresses into references, runs the
//! plugin inside `catch_unwind` and turns its result into a status. The `unsafe` blocks rest on the
//! interface's promises: `instance` is what `make` gave and calls on it do not overlap, but for `process`
//! of a processor that agreed to that; `context`,
//! `report`, sinks and data live for the call.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use abi_stable::prefix_type::PrefixTypeTrait;

use super::envelope::{Lent, RawBatch};
use super::host::{RawChunk, RawContext, RawHost, RawIntake, RawSettlement, RawSink};
use super::module::*;
use super::{Address, Bytes, Taker, owned, report, status};
use crate::batch::BatchBuilder;
use crate::config;
use crate::plugin::{
    Aggregator, Context, Control, Error, ErrorKind, Gather, Host, Input, Intake, Output, ParseSink,
    Parser, Plugin, Processor, Serializer, ServiceInput, Settlement, Sink,
};

/// An instance with what its kind reuses from call to call.
struct Boxed<P> {
    plugin: P,
    builder: BatchBuilder,
    /// Calls of `process` may overlap: it was asked and agreed.
    agreed: bool,
}

/// The context of a call.
///
/// # Safety
/// `context` is null or points to a live `RawContext`.
pub unsafe fn context<'a>(context: Address) -> Context<'a> {
    // SAFETY: the caller vouches.
    match unsafe { context.cast::<RawContext>().as_ref() } {
        None => Context::new(0, None, None),
        Some(raw) => {
            let timeout =
                (raw.timeout_ns != u64::MAX).then(|| Duration::from_nanos(raw.timeout_ns));
            // SAFETY: the agent keeps the flag alive for the call.
            Context::new(raw.now_ns, timeout, unsafe { raw.cancel.as_ref() })
        }
    }
}

/// Runs a plugin's code; a panic becomes a status.
fn guarded(report: Address, run: impl FnOnce() -> Result<(), Error>) -> u32 {
    let error = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => return status::OK,
        Ok(Err(error)) => error,
        Err(panic) => Error::new(ErrorKind::Panicked, panic_message(&*panic)),
    };
    // SAFETY: the report is the caller's for this call.
    unsafe { report::fill(report.cast(), &error) }
}

/// What a panic said.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Borrows the instance of a call.
///
/// # Safety
/// `instance` is what `make` of the same plugin gave, and no other call on it runs.
unsafe fn boxed<'a, P>(instance: Address) -> &'a mut Boxed<P> {
    // SAFETY: the caller vouches.
    unsafe { &mut *instance.cast::<Boxed<P>>() }
}

unsafe extern "C" fn drop_instance<P: Plugin>(instance: Address) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: `make` made the box; the agent drops it once.
        drop(unsafe { Box::from_raw(instance.cast::<Boxed<P>>()) });
        owned::forget();
    }));
}

macro_rules! lifecycle_call {
    ($name:ident) => {
        unsafe extern "C" fn $name<P: Plugin>(
            instance: Address,
            context: Address,
            report: Address,
        ) -> u32 {
            // SAFETY: see the module.
            guarded(report, || unsafe {
                boxed::<P>(instance).plugin.$name(&self::context(context))
            })
        }
    };
}

lifecycle_call!(init);
lifecycle_call!(connect);
lifecycle_call!(pause);
lifecycle_call!(stop);

unsafe extern "C" fn snapshot<P: Plugin>(
    instance: Address,
    context: Address,
    taker: Taker,
    report: Address,
) -> u32 {
    // SAFETY: see the module.
    guarded(report, || unsafe {
        if let Some(state) = boxed::<P>(instance).plugin.snapshot(&self::context(context))? {
            taker.put(&state);
        }
        Ok(())
    })
}

unsafe extern "C" fn restore<P: Plugin>(
    instance: Address,
    context: Address,
    state: Bytes,
    report: Address,
) -> u32 {
    // SAFETY: see the module.
    guarded(report, || unsafe {
        boxed::<P>(instance).plugin.restore(&self::context(context), state.as_slice())
    })
}

unsafe extern "C" fn make<P: Plugin>(
    config: Bytes,
    host: RawHost,
    out: *mut Address,
    report: Address,
) -> u32 {
    let host = Host { raw: Some(host) };
    guarded(report, || {
        // SAFETY: see the module.
        let text = unsafe { config.to_text() };
        let config = config::parse::<P::Config>(&text).map_err(|error| {
            let message = match &error.suggestion {
                Some(near) => format!("{}; did you mean `{near}`?", error.message),
                None => error.message.clone(),
            };
            Error::new(ErrorKind::BadConfig { key: error.key, span: error.span }, message)
        })?;
        let plugin = P::new(config, host)?;
        let boxed = Boxed { plugin, builder: BatchBuilder::default(), agreed: false };
        // SAFETY: `out` is the caller's place for the instance.
        unsafe { *out = Box::into_raw(Box::new(boxed)).cast() };
        Ok(())
    })
}

unsafe extern "C" fn describe<P: Plugin, const KIND: u32>(what: u32, taker: Taker) {
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let section = match KIND {
            plugin_kind::INPUT | plugin_kind::SERVICE_INPUT => "inputs",
            plugin_kind::PARSER => "parsers",
            plugin_kind::SERIALIZER => "serializers",
            plugin_kind::PROCESSOR => "processors",
            plugin_kind::AGGREGATOR => "aggregators",
            _ => "outputs",
        };
        let text = match what {
            super::module::describe::SCHEMA => config::schema_text::<P::Config>(),
            super::module::describe::SAMPLE => config::sample_text::<P::Config>(section, P::NAME),
            _ => return,
        };
        // SAFETY: see the module.
        unsafe { taker.put(text.as_bytes()) }
    }));
}

fn descriptor<P: Plugin, const KIND: u32>(version: &'static str) -> DescriptorRef {
    describing::<P, KIND>(version, P::CAPABILITIES.0)
}

fn describing<P: Plugin, const KIND: u32>(
    version: &'static str,
    capabilities: u64,
) -> DescriptorRef {
    Descriptor {
        kind: KIND,
        capabilities,
        name: Bytes::new(P::NAME.as_bytes()),
        version: Bytes::new(version.as_bytes()),
        summary: Bytes::new(P::SUMMARY.as_bytes()),
        describe: describe::<P, KIND>,
        make: make::<P>,
        lifecycle: LifecycleFunctions {
            drop: drop_instance::<P>,
            init: init::<P>,
            connect: connect::<P>,
            pause: pause::<P>,
            stop: stop::<P>,
            snapshot: snapshot::<P>,
            restore: restore::<P>,
        }
        .leak_into_prefix(),
    }
    .leak_into_prefix()
}

/// The table of a gathered input.
pub fn input<P: Input>(version: &'static str) -> InputPlugin {
    unsafe extern "C" fn gather<P: Input>(
        instance: Address,
        context: Address,
        sink: RawSink,
        report: Address,
    ) -> u32 {
        guarded(report, || {
            // SAFETY: see the module.
            let boxed = unsafe { boxed::<P>(instance) };
            boxed.builder.clear();
            let mut gather = Gather { builder: &mut boxed.builder, raw: sink };
            // SAFETY: see the module.
            let result = boxed.plugin.gather(&unsafe { self::context(context) }, &mut gather);
            // What was gathered before an error counts.
            gather.flush();
            result
        })
    }
    InputPlugin {
        descriptor: descriptor::<P, { plugin_kind::INPUT }>(version),
        functions: InputFunctions { gather: gather::<P> }.leak_into_prefix(),
    }
}

/// The table of a service input.
pub fn service<P: ServiceInput>(version: &'static str) -> ServicePlugin {
    unsafe extern "C" fn start<P: ServiceInput>(
        instance: Address,
        context: Address,
        intake: RawIntake,
        report: Address,
    ) -> u32 {
        let intake = Intake { raw: intake };
        // SAFETY: see the module.
        guarded(report, || unsafe {
            boxed::<P>(instance).plugin.start(&self::context(context), intake)
        })
    }
    unsafe extern "C" fn settled<P: ServiceInput>(
        instance: Address,
        context: Address,
        settlements: Address,
        count: u64,
    ) -> u32 {
        guarded(std::ptr::null_mut(), || {
            // SAFETY: the agent passes an array of `count` settlements.
            let raw = unsafe {
                std::slice::from_raw_parts(settlements.cast::<RawSettlement>(), count as usize)
            };
            let settlements: Vec<Settlement> = raw.iter().copied().map(Settlement::from).collect();
            // SAFETY: see the module.
            unsafe {
                boxed::<P>(instance).plugin.settled(&self::context(context), &settlements);
            }
            Ok(())
        })
    }
    ServicePlugin {
        descriptor: descriptor::<P, { plugin_kind::SERVICE_INPUT }>(version),
        functions: ServiceFunctions { start: start::<P>, settled: settled::<P> }.leak_into_prefix(),
    }
}

/// The table of a parser.
pub fn parser<P: Parser>(version: &'static str) -> ParserPlugin {
    unsafe extern "C" fn cut<P: Parser>(instance: Address, data: Bytes, last: u32) -> u64 {
        // SAFETY: see the module; `cut` needs no more than a shared reference.
        let run = || unsafe { boxed::<P>(instance).plugin.cut(data.as_slice(), last != 0) };
        catch_unwind(AssertUnwindSafe(run)).map_or(0, |n| n.min(data.len) as u64)
    }
    unsafe extern "C" fn parse<P: Parser>(
        instance: Address,
        context: Address,
        chunk: Address,
        sink: RawSink,
        report: Address,
    ) -> u32 {
        guarded(report, || {
            // SAFETY: see the module.
            let (boxed, chunk, context) = unsafe {
                (boxed::<P>(instance), &*chunk.cast::<RawChunk>(), self::context(context))
            };
            let data = &super::call::padded(chunk)[..chunk.len as usize];
            boxed.plugin.parse(&context, data, &mut ParseSink { chunk, raw: sink })
        })
    }
    ParserPlugin {
        descriptor: descriptor::<P, { plugin_kind::PARSER }>(version),
        functions: ParserFunctions { cut: cut::<P>, parse: parse::<P> }.leak_into_prefix(),
    }
}

/// The table of a serializer.
pub fn serializer<P: Serializer>(version: &'static str) -> SerializerPlugin {
    unsafe extern "C" fn serialize<P: Serializer>(
        instance: Address,
        context: Address,
        batch: Address,
        out: Address,
        report: Address,
    ) -> u32 {
        guarded(report, || {
            // SAFETY: see the module.
            let (boxed, context, out) = unsafe {
                (
                    boxed::<P>(instance),
                    self::context(context),
                    &mut *out.cast::<owned::RawOwnedBytes>(),
                )
            };
            let batch = borrowed(batch)?;
            let mut bytes = owned::buffer();
            match boxed.plugin.serialize(&context, &batch, &mut bytes) {
                Ok(()) => {
                    owned::give(bytes, out);
                    Ok(())
                }
                Err(error) => {
                    owned::keep(bytes);
                    Err(error)
                }
            }
        })
    }
    SerializerPlugin {
        descriptor: descriptor::<P, { plugin_kind::SERIALIZER }>(version),
        functions: SerializerFunctions { serialize: serialize::<P> }.leak_into_prefix(),
    }
}

fn borrowed(batch: Address) -> Result<Lent, Error> {
    // SAFETY: the agent passes its own envelope, which lives for the call, and vouches for it.
    unsafe { (*batch.cast::<RawBatch>()).borrow() }
        .map_err(|malformed| Error::failed(malformed.to_string()))
}

fn control_of(what: u32, origin: u64, value: i64) -> Option<Control> {
    Some(match what {
        control::BEGIN => Control::Begin { origin, finite: value != 0 },
        control::END => Control::End { origin },
        control::PROGRESS => Control::Progress { origin, time_ns: value },
        control::REACHED => Control::Reached { origin, time_ns: value },
        control::IDLE => Control::Idle { origin },
        control::FLUSH => Control::Flush,
        control::BARRIER => Control::Barrier(value),
        control::STOP => Control::Stop,
        _ => return None,
    })
}

macro_rules! stage_calls {
    ($trait:ident) => {
        unsafe extern "C" fn tick<P: $trait>(
            instance: Address,
            context: Address,
            sink: RawSink,
            next_ns: *mut i64,
            report: Address,
        ) -> u32 {
            guarded(report, || {
                let mut sink = Sink { raw: sink, _call: PhantomData };
                // SAFETY: see the module; `next_ns` is the caller's.
                unsafe {
                    let next =
                        boxed::<P>(instance).plugin.tick(&self::context(context), &mut sink)?;
                    *next_ns = next.unwrap_or(i64::MAX);
                }
                Ok(())
            })
        }

        unsafe extern "C" fn control<P: $trait>(
            instance: Address,
            context: Address,
            what: u32,
            origin: u64,
            value: i64,
            sink: RawSink,
            report: Address,
        ) -> u32 {
            guarded(report, || {
                let Some(message) = control_of(what, origin, value) else { return Ok(()) };
                let mut sink = Sink { raw: sink, _call: PhantomData };
                // SAFETY: see the module.
                unsafe {
                    boxed::<P>(instance).plugin.control(&self::context(context), message, &mut sink)
                }
            })
        }
    };
}

/// The table of a processor.
pub fn processor<P: Processor>(version: &'static str) -> ProcessorPlugin {
    stage_calls!(Processor);
    unsafe extern "C" fn process<P: Processor>(
        instance: Address,
        context: Address,
        batch: Address,
        sink: RawSink,
        report: Address,
    ) -> u32 {
        guarded(report, || {
            // SAFETY: see the module; the agent gives the batch away and vouches for it.
            let (batch, context) =
                unsafe { ((*batch.cast::<RawBatch>()).take(false), self::context(context)) };
            let batch = batch.map_err(|malformed| Error::failed(malformed.to_string()))?;
            let mut sink = Sink { raw: sink, _call: PhantomData };
            let place = instance.cast::<Boxed<P>>();
            match P::SHARED {
                // SAFETY: the flag is written by `share` alone, which overlaps no call. The plugin is
                // borrowed as shared: calls that overlap do the same, all others are exclusive, and
                // that there is a `Shared` means that `P` is `Sync`.
                Some(shared) if unsafe { (*place).agreed } => {
                    (shared.process)(unsafe { &(*place).plugin }, &context, batch, &mut sink)
                }
                // SAFETY: see the module: calls of an instance that did not agree do not overlap.
                _ => unsafe { boxed::<P>(instance) }.plugin.process(&context, batch, &mut sink),
            }
        })
    }
    unsafe extern "C" fn control_or_share<P: Processor>(
        instance: Address,
        context: Address,
        what: u32,
        origin: u64,
        value: i64,
        sink: RawSink,
        report: Address,
    ) -> u32 {
        if what != control::SHARE {
            // SAFETY: the caller's promises are the same.
            return unsafe { control::<P>(instance, context, what, origin, value, sink, report) };
        }
        let mut agreed = false;
        let code = guarded(report, || {
            let Some(shared) = P::SHARED else { return Ok(()) };
            // SAFETY: see the module: this call overlaps no other.
            let (boxed, context) = unsafe { (boxed::<P>(instance), self::context(context)) };
            agreed = (shared.agree)(&mut boxed.plugin, &context);
            boxed.agreed = agreed;
            Ok(())
        });
        if code == status::OK && agreed { status::AGREED } else { code }
    }
    let mut capabilities = P::CAPABILITIES.0;
    if P::SHARED.is_some() {
        capabilities |= capability::CONCURRENT;
    }
    ProcessorPlugin {
        descriptor: describing::<P, { plugin_kind::PROCESSOR }>(version, capabilities),
        functions: ProcessorFunctions {
            process: process::<P>,
            tick: tick::<P>,
            control: control_or_share::<P>,
        }
        .leak_into_prefix(),
    }
}

/// The table of an aggregator.
pub fn aggregator<P: Aggregator>(version: &'static str) -> AggregatorPlugin {
    stage_calls!(Aggregator);
    unsafe extern "C" fn apply<P: Aggregator>(
        instance: Address,
        context: Address,
        batch: Address,
        report: Address,
    ) -> u32 {
        guarded(report, || {
            let batch = borrowed(batch)?;
            // SAFETY: see the module.
            unsafe { boxed::<P>(instance).plugin.apply(&self::context(context), &batch) }
        })
    }
    AggregatorPlugin {
        descriptor: descriptor::<P, { plugin_kind::AGGREGATOR }>(version),
        functions: AggregatorFunctions {
            apply: apply::<P>,
            tick: tick::<P>,
            control: control::<P>,
        }
        .leak_into_prefix(),
    }
}

/// The table of an output.
pub fn output<P: Output>(version: &'static str) -> OutputPlugin {
    unsafe extern "C" fn write<P: Output>(
        instance: Address,
        context: Address,
        batches: Address,
        count: u64,
        report: Address,
    ) -> u32 {
        guarded(report, || {
            let mut held = Vec::with_capacity(count as usize);
            for at in 0..count as usize {
                // SAFETY: the agent passes an array of `count` envelopes.
                let batch = unsafe { batches.cast::<RawBatch>().add(at) };
                held.push(borrowed(batch.cast())?);
            }
            // SAFETY: `Lent` and `ManuallyDrop` are transparent about a batch in memory: both hold
            // nothing else.
            let batches = unsafe {
                std::slice::from_raw_parts(held.as_ptr().cast::<crate::batch::Batch>(), held.len())
            };
            // SAFETY: see the module.
            unsafe { boxed::<P>(instance).plugin.write(&self::context(context), batches) }
        })
    }
    unsafe extern "C" fn write_bytes<P: Output>(
        instance: Address,
        context: Address,
        bytes: Bytes,
        report: Address,
    ) -> u32 {
        // SAFETY: see the module.
        guarded(report, || unsafe {
            boxed::<P>(instance).plugin.write_bytes(&self::context(context), bytes.as_slice())
        })
    }
    OutputPlugin {
        descriptor: descriptor::<P, { plugin_kind::OUTPUT }>(version),
        functions: OutputFunctions { write: write::<P>, write_bytes: write_bytes::<P> }
            .leak_into_prefix(),
    }
}
