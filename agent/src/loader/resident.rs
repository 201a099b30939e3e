//! What stays in memory: code once the agent has started, and the heap after a burst.
#![allow(unsafe_code)]

use std::fs;
use std::ops::Range;

/// Settles how the allocator keeps memory: to be called before there are threads.
///
/// By itself it raises its thresholds with each large block that is given back, up to 32 MiB for
/// blocks in the heap and 64 MiB of free memory at the end of each thread's heap, which nothing gives
/// back to the system afterwards: after a burst an agent would hold on to tens of megabytes.
pub fn bound_heap() {
    const KEPT: i32 = 1 << 20;
    const CPUS_PER_HEAP: usize = 4;
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get());
    let heaps = cpus.div_ceil(CPUS_PER_HEAP).min(64) as i32;
    // Batches and buffers are used again, so allocations are too few to stand in each other's way.
    for (option, value) in
        [(libc::M_MMAP_THRESHOLD, KEPT), (libc::M_TRIM_THRESHOLD, KEPT), (libc::M_ARENA_MAX, heaps)]
    {
        // SAFETY: it takes two numbers and may be called while there is one thread.
        unsafe { libc::mallopt(option, value) };
    }
}

/// Lets go of the pages of all code. Most of what ran so far (reading the configuration, checking
/// libraries) does not run again; what does comes back from the page cache at its next call, in
/// some microseconds. Without this a third of an idle agent's memory is code that has done its work.
pub fn release_code() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for range in maps.lines().filter_map(code_of_file) {
        // SAFETY: the pages are a private mapping of a file that nobody has written to, for it was
        // never writable (relocations stand in mappings of their own): the next access reads the
        // same bytes from the file.
        unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(range.start),
                range.len(),
                libc::MADV_DONTNEED,
            );
        }
    }
}

/// The addresses of a line of `/proc/self/maps` if it is code of a file.
fn code_of_file(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    if words.next()? != "r-xp" || !words.nth(3)?.starts_with('/') {
        return None;
    }
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

/// Gives free heap back to the system now and then.
#[derive(Default)]
pub struct Heap {
    /// Free bytes after it last did so. They are no longer resident.
    free: usize,
}

impl Heap {
    /// So many bytes must have become free since the last time.
    const WORTHWHILE: usize = 4 << 20;

    /// Gives back what is free, if that is worthwhile, and code that only a burst needed.
    pub fn release(&mut self) {
        let free = free_bytes();
        self.free = self.free.min(free);
        if free - self.free >= Self::WORTHWHILE {
            // SAFETY: it takes a number and may be called at any time.
            unsafe { libc::malloc_trim(0) };
            self.free = free_bytes();
            release_code();
        }
    }
}

/// Bytes that the allocator holds and nobody uses.
fn free_bytes() -> usize {
    // SAFETY: it takes nothing and may be called at any time.
    unsafe { libc::mallinfo2() }.fordblks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_let_go() {
        let of = |line| code_of_file(line);
        assert_eq!(
            of("7f00-7f80 r-xp 00001000 fd:00 123   /usr/lib/headwater/plugins/a b.so"),
            Some(0x7f00..0x7f80)
        );
        for line in [
            "7f00-7f80 r--p 00001000 fd:00 123   /usr/lib/x.so",
            "7f00-7f80 rw-p 00001000 fd:00 123   /usr/lib/x.so",
            "7f00-7f80 rwxp 00001000 fd:00 123   /usr/lib/x.so",
            "7f00-7f80 r-xp 00000000 00:00 0     [vdso]",
            "7f00-7f80 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn free_heap_is_given_back() {
        let mut heap = Heap::default();
        heap.release();
        // Behind them one that stays, so that the heap's end does not fall by itself.
        let blocks: Vec<Vec<u8>> = (0..1_000).map(|_| vec![1; 20_000]).collect();
        let last = vec![1_u8; 20_000];
        heap.release();
        let before = resident_pages();
        drop(blocks);
        heap.release();
        assert!(resident_pages() + 3_000 < before, "{} of {before}", resident_pages());
        assert_eq!(last[1], 1);
    }

    fn resident_pages() -> usize {
        let text = fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn code_runs_on() {
        release_code();
        assert_eq!("7".repeat(3).parse::<u32>(), Ok(777));
    }
}
