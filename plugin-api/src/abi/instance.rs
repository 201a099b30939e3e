//! The agent's way to a plugin: instances whose functions are called safely.
//!
//! The `unsafe` blocks rest on the loader's promise that a function table came from a library whose
//! layout was checked, and on this: an instance is dropped once, and `&mut self` keeps calls from
//! overlapping, but for what [`shared`](super::shared) says.

use super::envelope::RawBatch;
use super::host::{RawChunk, RawInstance, RawIntake, RawSettlement, RawSink};
use super::module::*;
use super::owned::{OwnedBytes, RawOwnedBytes};
use super::{Address, Bytes, Taker, report};
use crate::batch::Batch;
use crate::plugin::{Context, Control, Error, Settlement};

/// What every kind of instance has.
pub struct Instance {
    data: Address,
    lifecycle: LifecycleFunctionsRef,
}

// SAFETY: plugins are `Send`; the interface says that calls may come from any thread.
unsafe impl Send for Instance {}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: see the module.
        unsafe { self.lifecycle.drop()(self.data) }
    }
}

impl Instance {
    /// Makes an instance.
    ///
    /// # Errors
    /// The plugin's, most often a bad configuration.
    pub fn make(
        descriptor: DescriptorRef,
        config: &str,
        host: super::host::RawHost,
    ) -> Result<Instance, Error> {
        let mut data: Address = std::ptr::null_mut();
        report::call(|report| {
            // SAFETY: see the module.
            unsafe {
                descriptor.make()(Bytes::new(config.as_bytes()), host, &raw mut data, report.cast())
            }
        })?;
        if data.is_null() {
            return Err(Error::fatal("the plugin made no instance and did not say why"));
        }
        Ok(Instance { data, lifecycle: descriptor.lifecycle() })
    }

    /// See [`Plugin::init`](crate::plugin::Plugin::init).
    pub fn init(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        self.plain(self.lifecycle.init(), cx)
    }

    /// See [`Plugin::connect`](crate::plugin::Plugin::connect).
    pub fn connect(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        self.plain(self.lifecycle.connect(), cx)
    }

    /// See [`Plugin::pause`](crate::plugin::Plugin::pause).
    pub fn pause(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        self.plain(self.lifecycle.pause(), cx)
    }

    /// See [`Plugin::stop`](crate::plugin::Plugin::stop).
    pub fn stop(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        self.plain(self.lifecycle.stop(), cx)
    }

    fn plain(
        &mut self,
        function: unsafe extern "C" fn(Address, Address, Address) -> u32,
        cx: &Context<'_>,
    ) -> Result<(), Error> {
        let mut context = cx.to_raw();
        // SAFETY: see the module.
        report::call(|report| unsafe {
            function(self.data, (&raw mut context).cast(), report.cast())
        })
    }

    /// See [`Plugin::snapshot`](crate::plugin::Plugin::snapshot).
    pub fn snapshot(&mut self, cx: &Context<'_>) -> Result<Option<Vec<u8>>, Error> {
        let mut context = cx.to_raw();
        let mut state: Vec<u8> = Vec::new();
        // SAFETY: see the module.
        report::call(|report| unsafe {
            self.lifecycle.snapshot()(
                self.data,
                (&raw mut context).cast(),
                Taker::into(&mut state),
                report.cast(),
            )
        })?;
        Ok((!state.is_empty()).then_some(state))
    }

    /// See [`Plugin::restore`](crate::plugin::Plugin::restore).
    pub fn restore(&mut self, cx: &Context<'_>, state: &[u8]) -> Result<(), Error> {
        let mut context = cx.to_raw();
        // SAFETY: see the module.
        report::call(|report| unsafe {
            self.lifecycle.restore()(
                self.data,
                (&raw mut context).cast(),
                Bytes::new(state),
                report.cast(),
            )
        })
    }
}

/// A text about a plugin, see [`describe`](super::module::describe).
pub fn describe(descriptor: DescriptorRef, what: u32) -> String {
    let mut text: Vec<u8> = Vec::new();
    // SAFETY: see the module.
    unsafe { descriptor.describe()(what, Taker::into(&mut text)) };
    String::from_utf8_lossy(&text).into_owned()
}

macro_rules! instance {
    ($(#[$doc:meta])* $name:ident, $plugin:ident, $functions:ident) => {
        $(#[$doc])*
        pub struct $name {
            /// What every kind has.
            pub base: Instance,
            functions: $functions,
        }

        impl $name {
            /// Makes an instance.
            ///
            /// # Errors
            /// The plugin's, most often a bad configuration.
            pub fn make(
                plugin: &$plugin,
                config: &str,
                host: super::host::RawHost,
            ) -> Result<Self, Error> {
                let base = Instance::make(plugin.descriptor, config, host)?;
                Ok(Self { base, functions: plugin.functions })
            }
        }
    };
}

instance!(
    /// An instance of a gathered input.
    InputInstance, InputPlugin, InputFunctionsRef);
instance!(
    /// An instance of a service input.
    ServiceInstance, ServicePlugin, ServiceFunctionsRef);
instance!(
    /// An instance of a parser.
    ParserInstance, ParserPlugin, ParserFunctionsRef);
instance!(
    /// An instance of a serializer.
    SerializerInstance, SerializerPlugin, SerializerFunctionsRef);
instance!(
    /// An instance of a processor.
    ProcessorInstance, ProcessorPlugin, ProcessorFunctionsRef);
instance!(
    /// An instance of an aggregator.
    AggregatorInstance, AggregatorPlugin, AggregatorFunctionsRef);
instance!(
    /// An instance of an output.
    OutputInstance, OutputPlugin, OutputFunctionsRef);

impl InputInstance {
    /// See [`Input::gather`](crate::plugin::Input::gather).
    pub fn gather(&mut self, cx: &Context<'_>, sink: RawSink) -> Result<(), Error> {
        let mut context = cx.to_raw();
        // SAFETY: see the module.
        report::call(|report| unsafe {
            self.functions.gather()(self.base.data, (&raw mut context).cast(), sink, report.cast())
        })
    }
}

impl ServiceInstance {
    /// See [`ServiceInput::start`](crate::plugin::ServiceInput::start).
    pub fn start(&mut self, cx: &Context<'_>, intake: RawIntake) -> Result<(), Error> {
        let mut context = cx.to_raw();
        // SAFETY: see the module.
        report::call(|report| unsafe {
            self.functions.start()(self.base.data, (&raw mut context).cast(), intake, report.cast())
        })
    }

    /// See [`ServiceInput::settled`](crate::plugin::ServiceInput::settled).
    pub fn settled(&mut self, cx: &Context<'_>, settlements: &[Settlement]) -> u32 {
        let mut context = cx.to_raw();
        let raw: Vec<RawSettlement> = settlements
            .iter()
            .map(|s| RawSettlement {
                source: s.source,
                token: s.token,
                outcome: s.outcome as u32,
                flags: 0,
            })
            .collect();
        // SAFETY: see the module.
        unsafe {
            self.functions.settled()(
                self.base.data,
                (&raw mut context).cast(),
                raw.as_ptr().cast_mut().cast(),
                raw.len() as u64,
            )
        }
    }
}

/// A chunk for a parser: bytes with 32 readable ones behind them.
pub struct Chunk<'a> {
    /// The bytes and the 32 behind them.
    pub padded: &'a [u8],
    /// Whether nothing follows.
    pub last: bool,
    /// The time of points that carry none: nanoseconds since the epoch.
    pub default_time_ns: i64,
    /// The source's number.
    pub origin: u64,
}

/// Bytes behind a chunk that must be readable.
pub const PADDING: usize = 32;

impl ParserInstance {
    /// See [`Parser::cut`](crate::plugin::Parser::cut).
    pub fn cut(&self, data: &[u8], last: bool) -> usize {
        // SAFETY: see the module.
        let n = unsafe { self.functions.cut()(self.base.data, Bytes::new(data), u32::from(last)) };
        (n as usize).min(data.len())
    }

    /// See [`Parser::parse`](crate::plugin::Parser::parse).
    ///
    /// # Panics
    /// If the chunk lacks its padding.
    pub fn parse(
        &mut self,
        cx: &Context<'_>,
        chunk: &Chunk<'_>,
        sink: RawSink,
    ) -> Result<(), Error> {
        assert!(chunk.padded.len() >= PADDING, "a chunk needs its padding");
        let mut context = cx.to_raw();
        let mut raw = RawChunk {
            size: size_of::<RawChunk>() as u32,
            flags: if chunk.last { super::host::chunk_flag::FINAL } else { 0 },
            data: chunk.padded.as_ptr(),
            len: (chunk.padded.len() - PADDING) as u64,
            default_time_ns: chunk.default_time_ns,
            origin: chunk.origin,
            token: 0,
            tags: Bytes::new(&[]),
        };
        // SAFETY: see the module.
        report::call(|report| unsafe {
            self.functions.parse()(
                self.base.data,
                (&raw mut context).cast(),
                (&raw mut raw).cast(),
                sink,
                report.cast(),
            )
        })
    }
}

/// Lends a batch for a call.
fn lend<T>(batch: &Batch, call: impl FnOnce(Address) -> T) -> T {
    let mut raw = RawBatch::new(batch.clone());
    let result = call((&raw mut raw).cast());
    // SAFETY: this side made the envelope; a borrower does not take it.
    if let Ok(mut lent) = unsafe { raw.take(false) } {
        drop_delivery(&mut lent);
    }
    result
}

/// Lends batches for a call.
fn lend_all<T>(batches: &[Batch], call: impl FnOnce(Address, u64) -> T) -> T {
    let mut raw: Vec<RawBatch> = batches.iter().map(|batch| RawBatch::new(batch.clone())).collect();
    let result = call(raw.as_mut_ptr().cast(), raw.len() as u64);
    for batch in &mut raw {
        // SAFETY: as in `lend`.
        drop(unsafe { batch.take(false) });
    }
    result
}

impl SerializerInstance {
    pub(crate) unsafe fn from_raw(raw: RawInstance) -> Self {
        // SAFETY: the caller vouches that the table is one of serializers.
        let functions =
            unsafe { std::mem::transmute::<Address, SerializerFunctionsRef>(raw.functions) };
        SerializerInstance {
            base: Instance { data: raw.instance, lifecycle: raw.lifecycle },
            functions,
        }
    }

    /// Gives the instance away, for a plugin that asked for it.
    pub fn into_raw(self) -> RawInstance {
        let this = std::mem::ManuallyDrop::new(self);
        RawInstance {
            size: size_of::<RawInstance>() as u64,
            instance: this.base.data,
            lifecycle: this.base.lifecycle,
            // SAFETY: a table reference is one pointer.
            functions: unsafe {
                std::mem::transmute::<SerializerFunctionsRef, Address>(this.functions)
            },
        }
    }

    /// See [`Serializer::serialize`](crate::plugin::Serializer::serialize). The bytes are the
    /// library's own, without a copy.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize_owned(
        &mut self,
        cx: &Context<'_>,
        batch: &Batch,
    ) -> Result<OwnedBytes, Error> {
        let mut context = cx.to_raw();
        let mut out = RawOwnedBytes::empty();
        let result = lend(batch, |batch| {
            // SAFETY: see the module.
            report::call(|report| unsafe {
                self.functions.serialize()(
                    self.base.data,
                    (&raw mut context).cast(),
                    batch,
                    (&raw mut out).cast(),
                    report.cast(),
                )
            })
        });
        // SAFETY: the callee gave them away, or left them empty.
        let bytes = unsafe { OwnedBytes::from_raw(out) };
        result.map(|()| bytes)
    }

    /// As [`serialize_owned`](Self::serialize_owned), appended to `out`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize(
        &mut self,
        cx: &Context<'_>,
        batch: &Batch,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        out.extend_from_slice(&self.serialize_owned(cx, batch)?);
        Ok(())
    }
}

/// A lent copy must not settle the caller's handle.
fn drop_delivery(batch: &mut Batch) {
    if let Some(delivery) = batch.take_delivery() {
        delivery.settle(crate::plugin::Outcome::Delivered);
    }
}

fn control_code(message: Control) -> (u32, u64, i64) {
    match message {
        Control::Begin { origin, finite } => (control::BEGIN, origin, i64::from(finite)),
        Control::End { origin } => (control::END, origin, 0),
        Control::Progress { origin, time_ns } => (control::PROGRESS, origin, time_ns),
        Control::Reached { origin, time_ns } => (control::REACHED, origin, time_ns),
        Control::Idle { origin } => (control::IDLE, origin, 0),
        Control::Flush => (control::FLUSH, 0, 0),
        Control::Barrier(number) => (control::BARRIER, 0, number),
        Control::Stop => (control::STOP, 0, 0),
    }
}

macro_rules! stage {
    ($name:ident) => {
        impl $name {
            /// Does what is due by the clock; when it wants to be called again.
            pub fn tick(&mut self, cx: &Context<'_>, sink: RawSink) -> Result<Option<i64>, Error> {
                let mut context = cx.to_raw();
                let mut next = i64::MAX;
                // SAFETY: see the module.
                report::call(|report| unsafe {
                    self.functions.tick()(
                        self.base.data,
                        (&raw mut context).cast(),
                        sink,
                        &raw mut next,
                        report.cast(),
                    )
                })?;
                Ok((next != i64::MAX).then_some(next))
            }

            /// Tells it of something in order with the data.
            pub fn control(
                &mut self,
                cx: &Context<'_>,
                message: Control,
                sink: RawSink,
            ) -> Result<(), Error> {
                let mut context = cx.to_raw();
                let (what, origin, value) = control_code(message);
                // SAFETY: see the module.
                report::call(|report| unsafe {
                    self.functions.control()(
                        self.base.data,
                        (&raw mut context).cast(),
                        what,
                        origin,
                        value,
                        sink,
                        report.cast(),
                    )
                })
            }
        }
    };
}

stage!(ProcessorInstance);
stage!(AggregatorInstance);

impl ProcessorInstance {
    /// See [`Processor::process`](crate::plugin::Processor::process).
    pub fn process(&mut self, cx: &Context<'_>, batch: Batch, sink: RawSink) -> Result<(), Error> {
        self.call_process(cx, batch, sink)
    }

    /// Sends a message as its code and hands the status out.
    pub(super) fn message(
        &mut self,
        cx: &Context<'_>,
        (what, origin, value): (u32, u64, i64),
        sink: RawSink,
        report: *mut report::RawReport,
    ) -> u32 {
        let mut context = cx.to_raw();
        // SAFETY: see the module.
        unsafe {
            self.functions.control()(
                self.base.data,
                (&raw mut context).cast(),
                what,
                origin,
                value,
                sink,
                report.cast(),
            )
        }
    }

    /// Calls `process`; that calls do not overlap that must not is the caller's to see to.
    pub(super) fn call_process(
        &self,
        cx: &Context<'_>,
        batch: Batch,
        sink: RawSink,
    ) -> Result<(), Error> {
        let mut context = cx.to_raw();
        let mut raw = RawBatch::new(batch);
        // SAFETY: see the module.
        let result = report::call(|report| unsafe {
            self.functions.process()(
                self.base.data,
                (&raw mut context).cast(),
                (&raw mut raw).cast(),
                sink,
                report.cast(),
            )
        });
        if !raw.is_taken() {
            // SAFETY: this side made the envelope and nobody took it.
            drop(unsafe { raw.take(false) });
        }
        result
    }
}

impl AggregatorInstance {
    /// See [`Aggregator::apply`](crate::plugin::Aggregator::apply).
    pub fn apply(&mut self, cx: &Context<'_>, batch: &Batch) -> Result<(), Error> {
        let mut context = cx.to_raw();
        lend(batch, |batch| {
            // SAFETY: see the module.
            report::call(|report| unsafe {
                self.functions.apply()(
                    self.base.data,
                    (&raw mut context).cast(),
                    batch,
                    report.cast(),
                )
            })
        })
    }
}

impl OutputInstance {
    /// See [`Output::write`](crate::plugin::Output::write).
    pub fn write(&mut self, cx: &Context<'_>, batches: &[Batch]) -> Result<(), Error> {
        let mut context = cx.to_raw();
        let lent: Vec<Batch> = batches
            .iter()
            .map(|batch| {
                let mut lent = batch.clone();
                drop_delivery(&mut lent);
                lent
            })
            .collect();
        lend_all(&lent, |batches, count| {
            // SAFETY: see the module.
            report::call(|report| unsafe {
                self.functions.write()(
                    self.base.data,
                    (&raw mut context).cast(),
                    batches,
                    count,
                    report.cast(),
                )
            })
        })
    }

    /// See [`Output::write_bytes`](crate::plugin::Output::write_bytes).
    pub fn write_bytes(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Result<(), Error> {
        let mut context = cx.to_raw();
        // SAFETY: see the module.
        report::call(|report| unsafe {
            self.functions.write_bytes()(
                self.base.data,
                (&raw mut context).cast(),
                Bytes::new(bytes),
                report.cast(),
            )
        })
    }
}
