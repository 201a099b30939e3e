//! Memory of batches: the host allocates, accounts and recycles it, whoever builds the batch.
//!
//! A library that was not loaded by an agent (unit tests, tools) uses its own heap.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Alignment of every block.
pub const ALIGN: usize = 64;

/// The host's memory functions for batches. Part of the frozen interface.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MemoryFunctions {
    /// Returns at least `bytes` bytes at 64-byte alignment and writes the true capacity through the
    /// second pointer; null if there is none.
    pub allocate: extern "C" fn(bytes: usize, capacity: *mut usize) -> *mut u8,
    /// Takes back a block with the capacity that `allocate` told.
    pub free: extern "C" fn(block: *mut u8, capacity: usize),
}

static HOST: AtomicPtr<MemoryFunctions> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the functions that blocks of this library come from henceforth; blocks already handed out
/// go back to where they came from.
pub fn set_host_memory(functions: &'static MemoryFunctions) {
    HOST.store(functions as *const _ as *mut _, Ordering::Release);
}

fn functions() -> &'static MemoryFunctions {
    let host = HOST.load(Ordering::Acquire);
    if host.is_null() {
        return &OWN;
    }
    // SAFETY: only `set_host_memory` stores here, and it takes a `&'static`.
    unsafe { &*host }
}

static OWN: MemoryFunctions = MemoryFunctions { allocate: own_allocate, free: own_free };

extern "C" fn own_allocate(bytes: usize, capacity: *mut usize) -> *mut u8 {
    let bytes = bytes.next_multiple_of(ALIGN).max(ALIGN);
    let Ok(layout) = Layout::from_size_align(bytes, ALIGN) else { return std::ptr::null_mut() };
    // SAFETY: the layout's size is not zero; `capacity` points to the caller's variable.
    unsafe {
        *capacity = bytes;
        std::alloc::alloc(layout)
    }
}

extern "C" fn own_free(block: *mut u8, capacity: usize) {
    // SAFETY: `own_allocate` made the block with this very layout.
    unsafe { std::alloc::dealloc(block, Layout::from_size_align_unchecked(capacity, ALIGN)) }
}

/// Elements that any bytes make a valid value of and that hold no pointer.
///
/// # Safety
/// Only for `repr(C)` types without padding or with named padding, valid for every bit pattern.
pub unsafe trait Plain: Copy + Default + 'static {}

// SAFETY: integers, and `repr(C)` structs of integers whose padding is named.
unsafe impl Plain for u8 {}
unsafe impl Plain for u32 {}
unsafe impl Plain for u64 {}
unsafe impl Plain for crate::batch::layout::Symbol {}
unsafe impl Plain for crate::batch::layout::Series {}
unsafe impl Plain for crate::batch::layout::Tag {}
unsafe impl Plain for crate::batch::layout::Shape {}
unsafe impl Plain for crate::batch::layout::Field {}
unsafe impl Plain for crate::batch::layout::Row {}

/// A growing array in host memory.
pub struct Buffer<T: Plain> {
    data: NonNull<T>,
    len: usize,
    /// In elements.
    capacity: usize,
    /// In bytes, as the allocator told.
    block: usize,
    free: extern "C" fn(*mut u8, usize),
    _owns: PhantomData<T>,
}

// SAFETY: a buffer owns its block alone; elements are plain data.
unsafe impl<T: Plain> Send for Buffer<T> {}
// SAFETY: shared references only read.
unsafe impl<T: Plain> Sync for Buffer<T> {}

impl<T: Plain> Buffer<T> {
    /// An empty buffer without memory.
    pub const fn new() -> Self {
        Buffer {
            data: NonNull::dangling(),
            len: 0,
            capacity: 0,
            block: 0,
            free: own_free,
            _owns: PhantomData,
        }
    }

    /// Makes room for `more` further elements.
    #[inline]
    pub fn reserve(&mut self, more: usize) {
        if self.capacity - self.len < more {
            self.grow(more);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) {
        let Some(wanted) = self
            .len
            .checked_add(more)
            .map(|n| n.max(self.capacity.saturating_mul(2)).max(64))
            .and_then(|n| n.checked_mul(size_of::<T>()))
        else {
            std::alloc::handle_alloc_error(Layout::new::<T>());
        };
        let functions = functions();
        let mut block = 0;
        let data = (functions.allocate)(wanted, &mut block);
        let Some(data) = NonNull::new(data.cast::<T>()) else {
            std::alloc::handle_alloc_error(Layout::new::<T>());
        };
        // SAFETY: the new block holds at least `wanted` bytes, hence the `len` elements that stand
        // in the old one; the two are distinct.
        unsafe { std::ptr::copy_nonoverlapping(self.data.as_ptr(), data.as_ptr(), self.len) };
        self.release();
        self.data = data;
        self.block = block;
        self.capacity = block / size_of::<T>();
        self.free = functions.free;
    }

    fn release(&mut self) {
        if self.block != 0 {
            (self.free)(self.data.as_ptr().cast(), self.block);
            self.block = 0;
        }
    }

    /// Appends one element.
    #[inline]
    pub fn push(&mut self, value: T) {
        if self.len == self.capacity {
            self.grow(1);
        }
        // SAFETY: there is room for one more.
        unsafe { self.data.as_ptr().add(self.len).write(value) };
        self.len += 1;
    }

    /// Appends all of `values`.
    #[inline]
    pub fn extend_from_slice(&mut self, values: &[T]) {
        self.reserve(values.len());
        // SAFETY: there is room for `values`, which cannot lie in memory that `self` owns mutably.
        unsafe {
            std::ptr::copy_nonoverlapping(
                values.as_ptr(),
                self.data.as_ptr().add(self.len),
                values.len(),
            );
        }
        self.len += values.len();
    }

    /// Makes the length `len`; new elements are zero.
    pub fn resize(&mut self, len: usize) {
        if len > self.len {
            self.reserve(len - self.len);
            // SAFETY: the capacity holds `len`; zero bytes are a valid plain element.
            unsafe {
                std::ptr::write_bytes(self.data.as_ptr().add(self.len), 0, len - self.len);
            }
        }
        self.len = len;
    }

    /// Drops the elements from `len` on.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Drops all elements and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Bytes of memory held.
    #[inline]
    pub fn block_bytes(&self) -> usize {
        self.block
    }
}

impl<T: Plain> Default for Buffer<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Plain> Drop for Buffer<T> {
    fn drop(&mut self) {
        self.release();
    }
}

impl<T: Plain> std::ops::Deref for Buffer<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements are initialised.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.len) }
    }
}

impl<T: Plain> std::ops::DerefMut for Buffer<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.len) }
    }
}

impl<T: Plain + std::fmt::Debug> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

/// The bytes of plain elements.
pub fn as_bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: plain elements have no padding that is not named, so all their bytes are initialised.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_grows_shrinks_and_keeps_its_elements() {
        let mut buffer = Buffer::<u32>::new();
        assert!(buffer.is_empty());
        for i in 0..1000 {
            buffer.push(i);
        }
        buffer.extend_from_slice(&[1, 2, 3]);
        assert_eq!(buffer.len(), 1003);
        assert!(buffer[..1000].iter().copied().eq(0..1000));
        buffer.truncate(2);
        buffer.resize(4);
        assert_eq!(&buffer[..], &[0, 1, 0, 0]);
        assert_eq!(buffer.as_ptr() as usize % ALIGN, 0);
        buffer.clear();
        assert!(buffer.is_empty());
    }
}
