//! What the agent hands to plugins: delivery handles, sinks, sources, services.

use abi_stable::StableAbi;

use super::memory::MemoryFunctions;
use super::{Address, Bytes, Taker};

/// A delivery handle as it crosses.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct RawDelivery {
    /// Functions; null for no handle.
    pub functions: *const DeliveryFunctions,
    /// Their first argument.
    pub data: *mut u8,
}

/// The functions of a delivery handle.
#[repr(C)]
#[derive(Debug)]
pub struct DeliveryFunctions {
    /// Bytes of this struct.
    pub size: u64,
    /// Makes one clone more.
    pub retain: unsafe extern "C" fn(data: *mut u8),
    /// Settles one clone with the code of an [`Outcome`](crate::plugin::Outcome).
    pub settle: unsafe extern "C" fn(data: *mut u8, outcome: u32),
}

// SAFETY: a handle is counted atomically by contract.
unsafe impl Send for RawDelivery {}
// SAFETY: as above.
unsafe impl Sync for RawDelivery {}

impl RawDelivery {
    /// No handle.
    pub const NONE: RawDelivery =
        RawDelivery { functions: std::ptr::null(), data: std::ptr::null_mut() };

    /// Whether there is a handle.
    pub fn is_some(&self) -> bool {
        !self.functions.is_null()
    }

    pub(crate) fn retain(&self) {
        if self.is_some() {
            // SAFETY: a handle that is not null is live until its clones have settled, and `self`
            // is one of them.
            unsafe { ((*self.functions).retain)(self.data) }
        }
    }

    pub(crate) fn settle(&self, outcome: u32) {
        if self.is_some() {
            // SAFETY: as above; callers settle a clone once.
            unsafe { ((*self.functions).settle)(self.data, outcome) }
        }
    }
}

/// What every call is told. It lives as long as the call.
#[repr(C)]
pub struct RawContext {
    /// Bytes of this struct.
    pub size: u32,
    /// Reserved, 0.
    pub flags: u32,
    /// The agent's clock: nanoseconds since the Unix epoch.
    pub now_ns: i64,
    /// Nanoseconds from the beginning of the call by which it should be done; `u64::MAX` for none.
    pub timeout_ns: u64,
    /// Not zero once the call should give up; null if it never will.
    pub cancel: *const std::sync::atomic::AtomicU32,
}

/// What a parser is given. It lives as long as the call.
#[repr(C)]
pub struct RawChunk {
    /// Bytes of this struct.
    pub size: u32,
    /// [`chunk_flag`].
    pub flags: u32,
    /// The bytes; 32 readable ones stand behind them.
    pub data: *const u8,
    /// Bytes.
    pub len: u64,
    /// The time of points that carry none: nanoseconds since the epoch.
    pub default_time_ns: i64,
    /// The source's number.
    pub origin: u64,
    /// With bytes that a plugin pushes: its token for settlements, told when `TOKEN` is set.
    pub token: u64,
    /// With bytes that a plugin pushes: tags for the points, as `key\0value\0key\0value\0`.
    pub tags: Bytes,
}

/// Flags of [`RawChunk`].
pub mod chunk_flag {
    /// Nothing follows: a last line without a line end is complete.
    pub const FINAL: u32 = 1;
    /// The source wants settlements, by `token`.
    pub const TOKEN: u32 = 2;
}

/// Where plugins put what they make. One table for all kinds; what a call does not offer answers
/// `FAILED`.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = SinkFunctionsRef)))]
#[sabi(missing_field(option))]
pub struct SinkFunctions {
    /// Takes a `*mut RawBatch` over; `WOULD_BLOCK` leaves it with the caller.
    pub try_push: unsafe extern "C" fn(data: Address, batch: Address) -> u32,
    /// As `try_push`, but waits for room, at most so many nanoseconds.
    pub push: unsafe extern "C" fn(data: Address, batch: Address, timeout_ns: u64) -> u32,
    /// Takes bytes, a `*const RawChunk`, to be parsed. `framing` as in [`RawSourceSpec`].
    pub push_bytes: unsafe extern "C" fn(data: Address, chunk: Address, framing: u32) -> u32,
    /// From a parser: a piece of the chunk was refused. Offset and length in the chunk, the offset of
    /// the error itself, a sentence.
    pub bad: unsafe extern "C" fn(data: Address, offset: u64, len: u64, at: u64, message: Bytes),
    /// From a parser: how many lines it read, bad ones too.
    #[sabi(last_prefix_field)]
    pub lines: unsafe extern "C" fn(data: Address, lines: u64),
}

/// A sink as it crosses.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawSink {
    /// Functions.
    pub functions: SinkFunctionsRef,
    /// Their first argument.
    pub data: Address,
}

/// What a source of bytes is, when an input opens it.
#[repr(C)]
pub struct RawSourceSpec {
    /// Bytes of this struct.
    pub size: u32,
    /// [`framing`].
    pub framing: u32,
    /// [`source_flag`].
    pub flags: u32,
    /// A descriptor to wait on for readability; -1 if `read` never blocks or the input wakes it.
    pub descriptor: i32,
    /// The stream position of the first byte that `read` gives.
    pub start: u64,
    /// A name for messages, such as a path or a peer's address.
    pub name: Bytes,
    /// Tags for all its points, as `key\0value\0key\0value\0`.
    pub tags: Bytes,
    /// The functions of the source.
    pub functions: SourceFunctionsRef,
    /// Their first argument.
    pub data: Address,
}

/// How the bytes of a source make texts for the parser.
pub mod framing {
    /// A stream of lines; the agent cuts it where the parser allows.
    pub const LINES: u32 = 1;
    /// One text from the first byte to the end of the source.
    pub const WHOLE: u32 = 2;
    /// Each `read` tells where its messages end; each message is a text of its own.
    pub const MESSAGES: u32 = 3;
}

/// Flags of [`RawSourceSpec`].
pub mod source_flag {
    /// The source ends by itself (a file): windows wait for it.
    pub const FINITE: u32 = 1;
    /// The input wants settlements of this source.
    pub const ACKNOWLEDGED: u32 = 2;
    /// `push`-back is impossible (datagrams): what does not fit is dropped and counted.
    pub const LOSSY: u32 = 4;
}

/// What one `read` gave.
#[repr(C)]
pub struct RawRead {
    /// Bytes of this struct.
    pub size: u32,
    /// Number of messages (with `MESSAGES`), at most `message_capacity`.
    pub message_count: u32,
    /// Bytes read.
    pub len: u64,
    /// With `MESSAGES`: room for the end offset of each message in the buffer.
    pub messages: *mut u32,
    /// Entries that `messages` has room for.
    pub message_capacity: u32,
    /// Datagrams the kernel dropped since the last read, where it tells.
    pub lost: u32,
    /// With `ACKNOWLEDGED` and `MESSAGES`: the token of what was read. Streams are acknowledged by
    /// position.
    pub token: u64,
}

/// The functions of a source of bytes. Calls on one source never overlap.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = SourceFunctionsRef)))]
#[sabi(missing_field(option))]
pub struct SourceFunctions {
    /// Reads into the buffer and fills the `*mut RawRead`. `WOULD_BLOCK`: wait for the descriptor or
    /// a wake. `END`: the source is finished; `len` may still be more than 0. `FAILED`: it is
    /// closed, with the sentence in the `*mut RawReport`.
    pub read: unsafe extern "C" fn(
        data: Address,
        context: Address,
        buffer: Address,
        capacity: u64,
        read: Address,
        report: Address,
    ) -> u32,
    /// Frees the source.
    #[sabi(last_prefix_field)]
    pub drop: unsafe extern "C" fn(data: Address),
}

/// What a plugin does when a descriptor is readable.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct Watcher {
    /// First argument of the functions.
    pub argument: Address,
    /// Called each time, until it answers other than `OK` or `WOULD_BLOCK`.
    pub ready: unsafe extern "C" fn(argument: Address, context: Address) -> u32,
    /// Frees the argument.
    pub drop: unsafe extern "C" fn(argument: Address),
}

/// What a service input is given at its start, besides the sink.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = IntakeFunctionsRef)))]
#[sabi(missing_field(option))]
pub struct IntakeFunctions {
    /// Opens a source, a `*const RawSourceSpec`; gives its number, 0 if there is no room for more.
    /// The agent owns `data` of the spec in either case.
    pub open: unsafe extern "C" fn(data: Address, spec: Address) -> u64,
    /// Says that a source may have something to read.
    pub wake: unsafe extern "C" fn(data: Address, source: u64),
    /// Ends a source after what it has read is worked off.
    pub close: unsafe extern "C" fn(data: Address, source: u64),
    /// Waits for readability of a descriptor on the agent's threads and calls the watcher. Gives the watch's number, a source for
    /// `wake` and `close`.
    pub watch: unsafe extern "C" fn(data: Address, descriptor: i32, watcher: Watcher) -> u64,
    /// One clone more of the intake.
    pub retain: unsafe extern "C" fn(data: Address),
    /// Gives a clone back.
    pub release: unsafe extern "C" fn(data: Address),
    /// The sink for batches and bytes that the input makes itself. It lives as long as the intake.
    #[sabi(last_prefix_field)]
    pub sink: unsafe extern "C" fn(data: Address) -> RawSink,
}

/// An intake as it crosses: one clone.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawIntake {
    /// Functions.
    pub functions: IntakeFunctionsRef,
    /// Their first argument.
    pub data: Address,
}

/// What became of a chunk or batch of a source.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawSettlement {
    /// The source's number.
    pub source: u64,
    /// The token, or for streams the position behind the settled bytes.
    pub token: u64,
    /// The code of an [`Outcome`](crate::plugin::Outcome).
    pub outcome: u32,
    /// Reserved, 0.
    pub flags: u32,
}

/// The services of the agent.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostFunctionsRef)))]
#[sabi(missing_field(option))]
pub struct HostFunctions {
    /// Writes a line to the agent's log: level 1 error, 2 warning, 3 information, 4 debug.
    pub log: unsafe extern "C" fn(data: Address, level: u32, message: Bytes),
    /// Nanoseconds since the Unix epoch, by the agent's clock.
    pub now: unsafe extern "C" fn(data: Address) -> i64,
    /// The counter of this name among the plugin's self-metrics: a `*const AtomicU64` that lives for
    /// ever. Kind 1 counter, 2 gauge (an i64).
    pub counter: unsafe extern "C" fn(data: Address, name: Bytes, kind: u32) -> Address,
    /// Hands the state stored under the key to the taker, once; nothing if there is none.
    pub load_state: unsafe extern "C" fn(data: Address, key: Bytes, taker: Taker) -> u32,
    /// Stores state durably under the key.
    pub save_state:
        unsafe extern "C" fn(data: Address, key: Bytes, state: Bytes, report: Address) -> u32,
    /// Hands the secret of a reference (`@{store:key}`) to the taker.
    pub secret:
        unsafe extern "C" fn(data: Address, reference: Bytes, taker: Taker, report: Address) -> u32,
    /// Makes a serializer by name with a configuration of its own: fills a
    /// `*mut `[`RawInstance`]` with functions of the serializer kind.
    pub serializer: unsafe extern "C" fn(
        data: Address,
        name: Bytes,
        config: Bytes,
        out: Address,
        report: Address,
    ) -> u32,
    /// Makes a parser by name, as `serializer`.
    pub parser: unsafe extern "C" fn(
        data: Address,
        name: Bytes,
        config: Bytes,
        out: Address,
        report: Address,
    ) -> u32,
    /// Hands all self-metrics to the taker, one serial batch.
    pub self_metrics: unsafe extern "C" fn(data: Address, taker: Taker) -> u32,
    /// One clone more of the host handle.
    pub retain: unsafe extern "C" fn(data: Address),
    /// Gives a clone back.
    #[sabi(last_prefix_field)]
    pub release: unsafe extern "C" fn(data: Address),
    /// Since 1.1: 1 if stored state outlives the process, 0 if it does not.
    pub keeps_state: unsafe extern "C" fn(data: Address) -> u32,
}

/// The services as they cross: one clone, bound to one instance's name.
#[repr(C)]
#[derive(Clone, Copy, StableAbi)]
pub struct RawHost {
    /// Functions.
    pub functions: HostFunctionsRef,
    /// Their first argument.
    pub data: Address,
}

// SAFETY: the agent's services are safe to call from any thread by contract.
unsafe impl Send for RawHost {}
// SAFETY: as above.
unsafe impl Sync for RawHost {}

/// An instance made by a host service, written into a place of the plugin's. It never grows: what it
/// points to does.
#[repr(C)]
pub struct RawInstance {
    /// Bytes of this struct.
    pub size: u64,
    /// The instance.
    pub instance: Address,
    /// The functions every kind has.
    pub lifecycle: super::module::LifecycleFunctionsRef,
    /// The table of the kind: [`SerializerFunctionsRef`](super::module::SerializerFunctionsRef) or
    /// [`ParserFunctionsRef`](super::module::ParserFunctionsRef) as an address.
    pub functions: Address,
}

/// What a library is told once, when it is loaded.
#[repr(C)]
pub struct RawSetup {
    /// Bytes of this struct.
    pub size: u64,
    /// Memory for batches.
    pub memory: *const MemoryFunctions,
    /// Where panics go: message and place.
    pub panic: unsafe extern "C" fn(message: Bytes),
}
