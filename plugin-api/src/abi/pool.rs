//! The agent's memory for batches: blocks by size class, kept for reuse, counted.
//!
//! A batch needs about nine blocks and gives them back when its last owner goes. Each thread keeps
//! a few blocks of each class for itself, so that the steady state takes no lock and calls no
//! allocator; what a thread has too much of goes back to the heap.

use std::alloc::Layout;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::memory::{ALIGN, MemoryFunctions};

/// Smallest block: 256 bytes.
const MIN_SHIFT: u32 = 8;
/// Classes are powers of two and the middles between them, up to 1 MiB; larger blocks are not kept.
const CLASSES: usize = 26;
/// Blocks of one class that a thread keeps.
const KEPT: usize = 8;
/// Bytes that a thread keeps over all classes.
const KEPT_BYTES: usize = 1 << 20;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Bytes of batch memory handed out and not yet given back.
pub fn bytes_in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

/// The functions for libraries.
pub static FUNCTIONS: MemoryFunctions = MemoryFunctions { allocate, free };

/// The class whose blocks hold `bytes`, and their size.
fn class_of(bytes: usize) -> Option<(usize, usize)> {
    let bytes = bytes.max(1 << MIN_SHIFT);
    let shift = usize::BITS - 1 - (bytes - 1).leading_zeros();
    let half = (1 << shift) + (1 << (shift - 1));
    let (class, size) = if bytes <= 1 << MIN_SHIFT {
        (0, 1 << MIN_SHIFT)
    } else if bytes <= half {
        ((shift - MIN_SHIFT) as usize * 2 + 1, half)
    } else {
        ((shift - MIN_SHIFT) as usize * 2 + 2, 2 << shift)
    };
    (class < CLASSES).then_some((class, size))
}

#[derive(Default)]
struct Kept {
    blocks: [Vec<usize>; CLASSES],
    bytes: usize,
}

impl Drop for Kept {
    fn drop(&mut self) {
        for (class, blocks) in self.blocks.iter_mut().enumerate() {
            for block in blocks.drain(..) {
                release(block as *mut u8, class_size(class));
            }
        }
    }
}

fn class_size(class: usize) -> usize {
    match class {
        0 => 1 << MIN_SHIFT,
        odd if odd % 2 == 1 => 3 << (MIN_SHIFT as usize + odd / 2 - 1),
        even => 1 << (MIN_SHIFT as usize + even / 2),
    }
}

thread_local! {
    static KEPT_HERE: RefCell<Kept> = RefCell::default();
}

extern "C" fn allocate(bytes: usize, capacity: *mut usize) -> *mut u8 {
    let (class, size) = match class_of(bytes) {
        Some((class, size)) => (Some(class), size),
        None => match bytes.checked_next_multiple_of(4096) {
            Some(size) => (None, size),
            None => return std::ptr::null_mut(),
        },
    };
    // SAFETY: `capacity` is the caller's variable.
    unsafe { *capacity = size };
    IN_USE.fetch_add(size, Ordering::Relaxed);
    let kept = class.and_then(|class| {
        KEPT_HERE
            .try_with(|kept| {
                let mut kept = kept.try_borrow_mut().ok()?;
                let block = kept.blocks[class].pop()?;
                kept.bytes -= size;
                Some(block)
            })
            .ok()
            .flatten()
    });
    match kept {
        Some(block) => block as *mut u8,
        None => match Layout::from_size_align(size, ALIGN) {
            // SAFETY: the size is not zero.
            Ok(layout) => unsafe { std::alloc::alloc(layout) },
            Err(_) => std::ptr::null_mut(),
        },
    }
}

extern "C" fn free(block: *mut u8, capacity: usize) {
    IN_USE.fetch_sub(capacity, Ordering::Relaxed);
    if let Some((class, size)) = class_of(capacity)
        && size == capacity
    {
        let kept = KEPT_HERE.try_with(|kept| {
            let Ok(mut kept) = kept.try_borrow_mut() else { return false };
            if kept.blocks[class].len() >= KEPT || kept.bytes + size > KEPT_BYTES {
                return false;
            }
            kept.bytes += size;
            kept.blocks[class].push(block as usize);
            true
        });
        if kept == Ok(true) {
            return;
        }
    }
    release(block, capacity);
}

fn release(block: *mut u8, size: usize) {
    // SAFETY: `allocate` made the block with this size and alignment.
    unsafe { std::alloc::dealloc(block, Layout::from_size_align_unchecked(size, ALIGN)) }
}

/// Gives back the blocks that this thread keeps.
pub fn forget() {
    forget_above(0);
}

/// Gives back the blocks that this thread keeps if they are more than so many bytes: for threads
/// that come and go.
pub fn forget_above(bytes: usize) {
    let _ = KEPT_HERE.try_with(|kept| {
        if kept.borrow().bytes > bytes {
            kept.take();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_promise_and_grow() {
        let mut last = 0;
        for bytes in 1..300_000 {
            let Some((class, size)) = class_of(bytes) else { continue };
            assert!(size >= bytes, "{bytes}");
            assert_eq!(class_size(class), size, "{bytes}");
            assert!(size >= last);
            assert_eq!(class_of(size), Some((class, size)));
            last = size;
        }
        assert_eq!(class_of(64 << 20), None);
    }

    #[test]
    fn blocks_are_reused_on_their_thread() {
        let mut capacity = 0;
        let first = allocate(5000, &mut capacity);
        free(first, capacity);
        let again = allocate(5000, &mut capacity);
        assert_eq!(first, again);
        free(again, capacity);
    }
}
