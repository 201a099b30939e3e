//! The stable interface: what crosses between the agent and a library, in C terms.
//!
//! `abi_stable` supplies the root module, the function tables (prefix types, which grow at the end)
//! and the check of layouts; nothing else of it crosses. Data crosses as pointers to structs that
//! begin with their size. All `unsafe` code of the plugin's side stands here.
//!
//! How the interface grows, without ever breaking: functions at the end of a table (absent ones read
//! as `None`), fields at the end of a struct with a size, sections of a batch, capability bits and
//! codes. A struct or function that exists never changes.

pub mod call;
pub mod envelope;
pub mod export;
pub mod host;
pub mod instance;
pub(crate) mod join;
pub mod memory;
pub mod module;
pub mod open;
pub mod owned;
pub mod pool;
pub mod report;
pub mod serve;
pub mod shared;
pub mod shim;
pub mod tables;

/// An address whose meaning the function that takes it documents.
pub type Address = *mut u8;

/// Text or bytes: pointer and length. It lives as long as the call it is passed to, or for ever in
/// a descriptor.
#[repr(C)]
#[derive(Debug, Clone, Copy, abi_stable::StableAbi)]
pub struct Bytes {
    /// First byte; anything if `len` is 0.
    pub data: *const u8,
    /// Bytes.
    pub len: usize,
}

// SAFETY: it only carries an address; whoever reads it vouches for the memory.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

/// Where a callee puts bytes of any length: called once, or more often for pieces.
#[repr(C)]
#[derive(Clone, Copy, abi_stable::StableAbi)]
pub struct Taker {
    /// First argument of the function.
    pub argument: Address,
    /// Takes bytes that live for its call.
    pub take: unsafe extern "C" fn(argument: Address, bytes: Bytes),
}

impl Taker {
    /// A taker that appends to `bytes`, for as long as the call that it is passed to.
    pub fn into(bytes: &mut Vec<u8>) -> Taker {
        unsafe extern "C" fn append(argument: Address, bytes: Bytes) {
            // SAFETY: the argument is the `Vec<u8>` of `into`, borrowed for the call.
            unsafe { (*argument.cast::<Vec<u8>>()).extend_from_slice(bytes.as_slice()) }
        }
        Taker { argument: std::ptr::from_mut(bytes).cast(), take: append }
    }

    /// Hands bytes over.
    ///
    /// # Safety
    /// The call that this taker was passed to still runs.
    pub unsafe fn put(&self, bytes: &[u8]) {
        // SAFETY: the caller vouches.
        unsafe { (self.take)(self.argument, Bytes::new(bytes)) }
    }
}

impl Bytes {
    /// Wraps text or bytes for the length of a call.
    pub const fn new(bytes: &[u8]) -> Bytes {
        Bytes { data: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes.
    ///
    /// # Safety
    /// The memory is readable for `'a`.
    pub unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the caller vouches.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    /// The text; what is not UTF-8 is replaced.
    ///
    /// # Safety
    /// As for [`as_slice`](Self::as_slice).
    pub unsafe fn to_text<'a>(self) -> std::borrow::Cow<'a, str> {
        // SAFETY: the caller vouches.
        String::from_utf8_lossy(unsafe { self.as_slice() })
    }
}

/// What a call answers. Codes of later versions read as [`FAILED`](status::FAILED).
pub mod status {
    /// Done.
    pub const OK: u32 = 0;
    /// The configuration cannot be honoured; the report names key or span.
    pub const BAD_CONFIG: u32 = 1;
    /// There is no connection: connect again, then repeat.
    pub const NOT_CONNECTED: u32 = 2;
    /// Repeat after the time in the report.
    pub const RETRY_AFTER: u32 = 3;
    /// Some rows were refused for good, the rest is done; the report lists them.
    pub const PARTIAL: u32 = 4;
    /// All of it was refused for good: do not repeat.
    pub const REFUSED: u32 = 5;
    /// The source has ended; there will be no more.
    pub const END: u32 = 6;
    /// The instance cannot go on and must not be started again.
    pub const FATAL: u32 = 7;
    /// It did not work this time; it may be repeated.
    pub const FAILED: u32 = 8;
    /// The call panicked; the instance must be dropped.
    pub const PANICKED: u32 = 9;
    /// Not now: the queue is full, or the source has nothing to read.
    pub const WOULD_BLOCK: u32 = 10;
    /// Yes, to a question.
    pub const AGREED: u32 = 11;
}
