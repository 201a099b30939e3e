//! The root module of a library and the function tables of each kind of plugin.

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::package_version_strings;
use abi_stable::sabi_types::VersionStrings;

use super::host::{RawHost, RawIntake, RawSink};
use super::{Address, Bytes, Taker};

/// What a plugin promises; bits that the agent does not know are ignored.
pub mod capability {
    /// It understands [`control::SHARE`](super::control::SHARE).
    pub const CONCURRENT: u64 = 1;
    /// What it does to a batch depends on that batch alone: the agent may make one instance for each
    /// worker.
    pub const STATELESS: u64 = 2;
    /// A parser whose texts may be cut where its `cut` says.
    pub const SPLITTABLE: u64 = 4;
    /// An input that ends by itself.
    pub const FINITE: u64 = 8;
    /// An output whose `write` is as quick as a local write: the agent calls it on the worker that
    /// made the batch.
    pub const DIRECT: u64 = 16;
    /// An output that takes serialized bytes: `data_format` in its table chooses the serializer.
    pub const SERIALIZED: u64 = 32;
    /// An input that makes bytes: `data_format` in its table chooses the parser.
    pub const PARSED: u64 = 64;
    /// An input whose points compare with the gather before: a single gather (`--once`) is preceded by
    /// one that nobody sees.
    pub const DIFFERENTIAL: u64 = 128;
}

/// Kinds of plugins.
pub mod plugin_kind {
    /// Gathered at intervals.
    pub const INPUT: u32 = 1;
    /// Runs by itself once started.
    pub const SERVICE_INPUT: u32 = 2;
    /// Bytes to batches.
    pub const PARSER: u32 = 3;
    /// Batches to bytes.
    pub const SERIALIZER: u32 = 4;
    /// Batches to batches, with a timer.
    pub const PROCESSOR: u32 = 5;
    /// Batches to windows to batches.
    pub const AGGREGATOR: u32 = 6;
    /// Batches to elsewhere.
    pub const OUTPUT: u32 = 7;
}

/// What [`Descriptor::describe`] is asked for.
pub mod describe {
    /// The schema of the options, as TOML.
    pub const SCHEMA: u32 = 1;
    /// A sample configuration.
    pub const SAMPLE: u32 = 2;
}

/// What stands in a library about one plugin. Texts live for ever.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = DescriptorRef)))]
#[sabi(missing_field(option))]
pub struct Descriptor {
    /// A [`plugin_kind`].
    pub kind: u32,
    /// [`capability`] bits.
    pub capabilities: u64,
    /// The name in the configuration.
    pub name: Bytes,
    /// The plugin's version.
    pub version: Bytes,
    /// One sentence.
    pub summary: Bytes,
    /// Hands a text about the plugin to the taker, or nothing if it has none of that kind.
    pub describe: unsafe extern "C" fn(what: u32, taker: Taker),
    /// Makes an instance from its table, as TOML, and one clone of the host, which it owns. On `OK`
    /// the instance stands in `*out`; else the `*mut RawReport` tells why.
    pub make: unsafe extern "C" fn(
        config: Bytes,
        host: RawHost,
        out: *mut Address,
        report: Address,
    ) -> u32,
    /// The functions that every kind has.
    #[sabi(last_prefix_field)]
    pub lifecycle: LifecycleFunctionsRef,
}

/// Functions that every kind has. `context` is a `*const RawContext`, `report` a `*mut RawReport`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = LifecycleFunctionsRef)))]
#[sabi(missing_field(option))]
pub struct LifecycleFunctions {
    /// Frees the instance.
    pub drop: unsafe extern "C" fn(instance: Address),
    /// Checks what the configuration alone cannot tell. No I/O.
    pub init: unsafe extern "C" fn(instance: Address, context: Address, report: Address) -> u32,
    /// Opens connections. Repeated by the agent until it works.
    pub connect: unsafe extern "C" fn(instance: Address, context: Address, report: Address) -> u32,
    /// Takes nothing more in; settlements go on.
    pub pause: unsafe extern "C" fn(instance: Address, context: Address, report: Address) -> u32,
    /// Ends its work by the context's deadline.
    pub stop: unsafe extern "C" fn(instance: Address, context: Address, report: Address) -> u32,
    /// Hands its state to the taker, or nothing if it has none.
    pub snapshot: unsafe extern "C" fn(
        instance: Address,
        context: Address,
        taker: Taker,
        report: Address,
    ) -> u32,
    /// Takes a state back, before any work.
    #[sabi(last_prefix_field)]
    pub restore: unsafe extern "C" fn(
        instance: Address,
        context: Address,
        state: Bytes,
        report: Address,
    ) -> u32,
}

macro_rules! kind {
    (
        $(#[$doc:meta])*
        $plugin:ident, $plugin_functions:ident, $functions:ident, $functions_ref:ident,
        { $($body:tt)* }
    ) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(StableAbi)]
        #[sabi(kind(Prefix(prefix_ref = $functions_ref)))]
        #[sabi(missing_field(option))]
        pub struct $functions {
            $($body)*
        }

        /// One plugin of this kind.
        #[repr(C)]
        #[derive(Clone, Copy, StableAbi)]
        pub struct $plugin {
            /// What it is.
            pub descriptor: DescriptorRef,
            /// What it does.
            pub functions: $functions_ref,
        }

        /// A list of plugins of this kind, which lives for ever.
        #[repr(C)]
        #[derive(Clone, Copy, StableAbi)]
        pub struct $plugin_functions {
            /// The first.
            pub data: *const $plugin,
            /// How many.
            pub len: usize,
        }

        // SAFETY: it points to leaked, immutable descriptors.
        unsafe impl Send for $plugin_functions {}
        // SAFETY: as above.
        unsafe impl Sync for $plugin_functions {}

        impl $plugin_functions {
            /// A list that lives for ever.
            pub fn leak(plugins: Vec<$plugin>) -> Self {
                let plugins: &'static [$plugin] = plugins.leak();
                Self { data: plugins.as_ptr(), len: plugins.len() }
            }

            /// The plugins.
            ///
            /// # Safety
            /// The list came from a root module whose layout was checked.
            pub unsafe fn as_slice(&self) -> &'static [$plugin] {
                if self.len == 0 {
                    return &[];
                }
                // SAFETY: the library vouches for its list, which is never freed.
                unsafe { std::slice::from_raw_parts(self.data, self.len) }
            }
        }
    };
}

kind!(
    /// Functions of inputs that are gathered.
    InputPlugin, InputPlugins, InputFunctions, InputFunctionsRef, {
        /// Pushes what there is now.
        #[sabi(last_prefix_field)]
        pub gather: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            sink: RawSink,
            report: Address,
        ) -> u32,
    }
);

kind!(
    /// Functions of inputs that run by themselves.
    ServicePlugin, ServicePlugins, ServiceFunctions, ServiceFunctionsRef, {
        /// Begins; the instance owns the clone of the intake.
        pub start: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            intake: RawIntake,
            report: Address,
        ) -> u32,
        /// Tells what became of what it pushed: an array of `RawSettlement`. Called on a thread of
        /// its own, never overlapping itself, also while paused.
        #[sabi(last_prefix_field)]
        pub settled: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            settlements: Address,
            count: u64,
        ) -> u32,
    }
);

kind!(
    /// Functions of parsers.
    ParserPlugin, ParserPlugins, ParserFunctions, ParserFunctionsRef, {
        /// Where a text may be cut: how many of its bytes make whole records. `last` is not 0 if
        /// nothing follows. 0 if more must be read first.
        pub cut: unsafe extern "C" fn(instance: Address, data: Bytes, last: u32) -> u64,
        /// Parses a `*const RawChunk` into the sink. Bad records are told to the sink and cost
        /// themselves alone; a status other than `OK` gives the whole chunk up.
        #[sabi(last_prefix_field)]
        pub parse: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            chunk: Address,
            sink: RawSink,
            report: Address,
        ) -> u32,
    }
);

kind!(
    /// Functions of serializers.
    SerializerPlugin, SerializerPlugins, SerializerFunctions, SerializerFunctionsRef, {
        /// Makes the bytes of a batch, a `*const RawBatch` that stays the caller's, and gives them
        /// away through a `*mut `[`RawOwnedBytes`](super::owned::RawOwnedBytes).
        #[sabi(last_prefix_field)]
        pub serialize: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            batch: Address,
            out: Address,
            report: Address,
        ) -> u32,
    }
);

kind!(
    /// Functions of processors.
    ProcessorPlugin, ProcessorPlugins, ProcessorFunctions, ProcessorFunctionsRef, {
        /// Takes a `*mut RawBatch` over and pushes what comes of it.
        pub process: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            batch: Address,
            sink: RawSink,
            report: Address,
        ) -> u32,
        /// Does what is due by the clock and writes into `next_ns` when it wants to be called again:
        /// nanoseconds since the epoch, `i64::MAX` for never.
        pub tick: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            sink: RawSink,
            next_ns: *mut i64,
            report: Address,
        ) -> u32,
        /// A [`control`] message about a source, in order with its data.
        #[sabi(last_prefix_field)]
        pub control: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            what: u32,
            origin: u64,
            value: i64,
            sink: RawSink,
            report: Address,
        ) -> u32,
    }
);

kind!(
    /// Functions of aggregators.
    AggregatorPlugin, AggregatorPlugins, AggregatorFunctions, AggregatorFunctionsRef, {
        /// Adds a batch, a `*const RawBatch` that stays the caller's.
        pub apply: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            batch: Address,
            report: Address,
        ) -> u32,
        /// As [`ProcessorFunctions::tick`].
        pub tick: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            sink: RawSink,
            next_ns: *mut i64,
            report: Address,
        ) -> u32,
        /// As [`ProcessorFunctions::control`].
        #[sabi(last_prefix_field)]
        pub control: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            what: u32,
            origin: u64,
            value: i64,
            sink: RawSink,
            report: Address,
        ) -> u32,
    }
);

kind!(
    /// Functions of outputs.
    OutputPlugin, OutputPlugins, OutputFunctions, OutputFunctionsRef, {
        /// Makes one attempt to write an array of `RawBatch`, which stay the caller's.
        pub write: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            batches: Address,
            count: u64,
            report: Address,
        ) -> u32,
        /// With `SERIALIZED`: makes one attempt to write bytes.
        #[sabi(last_prefix_field)]
        pub write_bytes: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            bytes: Bytes,
            report: Address,
        ) -> u32,
    }
);

/// What travels in order with the data, besides the data.
pub mod control {
    /// The source will send nothing more.
    pub const END: u32 = 1;
    /// The source's event time has reached `value` without data.
    pub const PROGRESS: u32 = 2;
    /// The source has been silent.
    pub const IDLE: u32 = 3;
    /// Emit what is complete.
    pub const FLUSH: u32 = 4;
    /// A checkpoint of number `value` stands here.
    pub const BARRIER: u32 = 5;
    /// The last call before the end: emit what is open.
    pub const STOP: u32 = 6;
    /// A source begins; `value` 1 if it is finite.
    pub const BEGIN: u32 = 7;
    /// Before any batch, to a processor with `CONCURRENT`: whether calls of `process` may overlap from
    /// now on, and batches of one source overtake each other. `AGREED` means yes, anything else no.
    /// All other calls stay exclusive.
    pub const SHARE: u32 = 8;
    /// After `SHARE`: all batches of the source up to event time `value` have been processed.
    pub const REACHED: u32 = 9;
}

/// What a library exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(option))]
pub struct Root {
    /// The name of the family.
    pub family: Bytes,
    /// The version of the family.
    pub version: Bytes,
    /// The version of the interface it was built with, major in the high half.
    pub interface: u32,
    /// Told once, before any other call: a `*const RawSetup`.
    pub set_up: unsafe extern "C" fn(setup: Address),
    /// Its gathered inputs.
    pub inputs: unsafe extern "C" fn() -> InputPlugins,
    /// Its service inputs.
    pub services: unsafe extern "C" fn() -> ServicePlugins,
    /// Its parsers.
    pub parsers: unsafe extern "C" fn() -> ParserPlugins,
    /// Its serializers.
    pub serializers: unsafe extern "C" fn() -> SerializerPlugins,
    /// Its processors.
    pub processors: unsafe extern "C" fn() -> ProcessorPlugins,
    /// Its aggregators.
    pub aggregators: unsafe extern "C" fn() -> AggregatorPlugins,
    /// Its outputs.
    #[sabi(last_prefix_field)]
    pub outputs: unsafe extern "C" fn() -> OutputPlugins,
}

/// The version of the interface: 1.0.
pub const INTERFACE: u32 = 0x0001_0001;

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    const BASE_NAME: &'static str = "headwater_plugin";
    const NAME: &'static str = "headwater_plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}
