//! Bytes that a library made and the agent owns, without a copy between them.

use std::cell::RefCell;
use std::mem::ManuallyDrop;

/// Bytes and how to give them back.
#[repr(C)]
pub struct RawOwnedBytes {
    /// Bytes of this struct.
    pub size: u64,
    /// First byte.
    pub data: *mut u8,
    /// Bytes.
    pub len: u64,
    /// Bytes that could be held.
    pub capacity: u64,
    /// Gives them back.
    pub free: unsafe extern "C" fn(data: *mut u8, len: u64, capacity: u64),
}

/// Bytes of some library.
pub struct OwnedBytes {
    raw: RawOwnedBytes,
}

// SAFETY: they are owned alone, and `free` may be called from any thread by contract.
unsafe impl Send for OwnedBytes {}
// SAFETY: shared references only read.
unsafe impl Sync for OwnedBytes {}

unsafe extern "C" fn free_nothing(_data: *mut u8, _len: u64, _capacity: u64) {}

impl RawOwnedBytes {
    /// Nothing, for a callee to fill.
    pub fn empty() -> Self {
        RawOwnedBytes {
            size: size_of::<RawOwnedBytes>() as u64,
            data: std::ptr::NonNull::dangling().as_ptr(),
            len: 0,
            capacity: 0,
            free: free_nothing,
        }
    }
}

impl OwnedBytes {
    /// Takes over what a callee filled in.
    ///
    /// # Safety
    /// The callee gave the bytes away and vouches for pointer, length and `free`.
    pub unsafe fn from_raw(raw: RawOwnedBytes) -> Self {
        OwnedBytes { raw }
    }
}

impl std::ops::Deref for OwnedBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `from_raw` was promised so.
        unsafe { std::slice::from_raw_parts(self.raw.data, self.raw.len as usize) }
    }
}

impl Drop for OwnedBytes {
    fn drop(&mut self) {
        // SAFETY: they are given back once.
        unsafe { (self.raw.free)(self.raw.data, self.raw.len, self.raw.capacity) }
    }
}

impl std::fmt::Debug for OwnedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// Buffers that a thread keeps for its next serialization, and the largest that is kept.
const KEPT: usize = 2;
const KEPT_BYTES: usize = 1 << 20;

/// Larger buffers go when less than a quarter of them was used so many times in a row: what a burst
/// needed is not held for ever.
const SMALL_BYTES: usize = 64 << 10;
const PATIENCE: u32 = 16;

#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    /// Large buffers that came back mostly unused, since one was filled.
    unused: u32,
}

impl Kept {
    fn keep(&mut self, mut bytes: Vec<u8>) {
        if bytes.capacity() == 0 || bytes.capacity() > KEPT_BYTES {
            return;
        }
        if bytes.capacity() > SMALL_BYTES {
            let is_used = bytes.len() >= bytes.capacity() / 4;
            self.unused = if is_used { 0 } else { self.unused + 1 };
            if self.unused >= PATIENCE {
                return;
            }
        }
        if self.buffers.len() < KEPT {
            bytes.clear();
            self.buffers.push(bytes);
        }
    }
}

thread_local! {
    static HERE: RefCell<Kept> = const { RefCell::new(Kept { buffers: Vec::new(), unused: 0 }) };
}

/// An empty buffer, with the memory of one that was given back on this thread if there is one.
pub(crate) fn buffer() -> Vec<u8> {
    HERE.try_with(|kept| kept.borrow_mut().buffers.pop()).ok().flatten().unwrap_or_default()
}

/// Gives a buffer away.
pub(crate) fn give(bytes: Vec<u8>, out: &mut RawOwnedBytes) {
    let mut bytes = ManuallyDrop::new(bytes);
    out.data = bytes.as_mut_ptr();
    out.len = bytes.len() as u64;
    out.capacity = bytes.capacity() as u64;
    out.free = take_back;
}

/// Keeps a buffer for later; its bytes are those that were needed.
pub(crate) fn keep(bytes: Vec<u8>) {
    let _ = HERE.try_with(|kept| kept.borrow_mut().keep(bytes));
}

/// Gives back what this thread keeps.
pub(crate) fn forget() {
    let _ = HERE.try_with(|kept| kept.take());
}

unsafe extern "C" fn take_back(data: *mut u8, len: u64, capacity: u64) {
    // SAFETY: `give` took the parts from a `Vec` of this library.
    keep(unsafe { Vec::from_raw_parts(data, len as usize, capacity as usize) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_and_comes_back() {
        let mut bytes = buffer();
        bytes.extend_from_slice(b"0123456789");
        let place = bytes.as_ptr();
        let mut raw = RawOwnedBytes::empty();
        give(bytes, &mut raw);
        // SAFETY: `give` filled it.
        let owned = unsafe { OwnedBytes::from_raw(raw) };
        assert_eq!(&owned[..], b"0123456789");
        drop(owned);
        let again = buffer();
        assert!(again.is_empty() && again.capacity() >= 10);
        assert_eq!(again.as_ptr(), place);
    }

    #[test]
    fn what_a_burst_needed_goes_when_little_of_it_is_used() {
        forget();
        let used = |len: usize| {
            let mut bytes = buffer();
            bytes.resize(len, 0);
            keep(bytes);
            HERE.with(|kept| kept.borrow().buffers.iter().map(Vec::capacity).sum::<usize>())
        };
        let large = used(400_000);
        assert!(large >= 400_000);
        for _ in 0..PATIENCE - 1 {
            assert_eq!(used(100), large);
        }
        // It is needed again, so all begins anew.
        assert_eq!(used(200_000), large);
        for _ in 0..PATIENCE - 1 {
            assert_eq!(used(100), large);
        }
        assert_eq!(used(100), 0);
        let small = used(SMALL_BYTES);
        for _ in 0..2 * PATIENCE {
            assert_eq!(used(100), small);
        }
        assert_eq!(used(KEPT_BYTES + 1), 0);
    }

    #[test]
    fn nothing_is_freed_where_nothing_was_given() {
        // SAFETY: nothing is owned.
        let owned = unsafe { OwnedBytes::from_raw(RawOwnedBytes::empty()) };
        assert!(owned.is_empty());
    }
}
