//! What stays in memory: code once it has started something, and the heap after a burst.
#![allow(unsafe_code)]

use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// Lets go of the pages of all code and constants. Most of what ran so far (reading the
/// configuration, checking and relocating libraries) does not run again; what does comes back from the
/// page cache at its next call, in some microseconds. Without this a third of an idle agent's memory is
/// code that has done its work.
pub fn release_code() {
    let Ok(maps) = fs::read_to_string("/proc/self/smaps") else { return };
    for range in unchanged(&maps) {
        // SAFETY: the pages are a private mapping of a file that nobody can write to, and none of
        // them differs from the file (relocated constants do, and are left alone): the next access
        // reads the same bytes from the file.
        unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(range.start),
                range.len(),
                libc::MADV_DONTNEED,
            );
        }
    }
}

/// As [`release_code`] if there is 1 MiB more than after the last time: for each of many small steps.
pub fn release_grown_code() {
    const WORTHWHILE: usize = 1 << 20;
    static KEPT: AtomicUsize = AtomicUsize::new(0);
    if file_bytes() >= KEPT.load(Ordering::Relaxed) + WORTHWHILE {
        release_code();
        KEPT.store(file_bytes(), Ordering::Relaxed);
    }
}

/// Resident bytes of files: code and constants.
fn file_bytes() -> usize {
    // SAFETY: it takes a number and may be called at any time.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(2).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0).saturating_mul(page)
}

/// The addresses in `/proc/self/smaps` that hold code or constants just as they stand in files.
fn unchanged(maps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = None;
    for line in maps.lines() {
        match line.strip_prefix("Anonymous:") {
            Some(size) => found.extend(at.take().filter(|_| size.trim() == "0 kB")),
            // Other lines of numbers begin with a word and a colon.
            None if line.split(' ').next().is_some_and(|word| word.ends_with(':')) => {}
            None => at = read_only(line),
        }
    }
    found
}

/// The addresses of a mapping of a file that cannot be written to.
fn read_only(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let may = words.next()?;
    if !matches!(may, "r-xp" | "r--p") || !words.nth(3)?.starts_with('/') {
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
    /// Whether code was let go since the start or a burst: what only those needed.
    settled: bool,
}

impl Heap {
    /// So many bytes must have become free since the last time.
    const WORTHWHILE: usize = 512 << 10;
    /// So many are the end of a burst, whose code is let go as well.
    const BURST: usize = 4 << 20;

    /// Gives back what is free, if that is worthwhile, and code that only a burst needed.
    pub fn release(&mut self) {
        let free = free_bytes();
        self.free = self.free.min(free);
        let freed = free - self.free;
        if freed >= Self::WORTHWHILE {
            // SAFETY: it takes a number and may be called at any time.
            unsafe { libc::malloc_trim(0) };
            self.free = free_bytes();
        }
        let burst = freed >= Self::BURST;
        if burst || !self.settled {
            release_code();
        }
        // What the end of a burst needs goes with the next round.
        self.settled = !burst;
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
    fn only_what_stands_in_files_is_let_go() {
        let maps = |line: &str, anonymous: &str| {
            unchanged(&format!(
                "1-2 rw-p 0 0:0 0\nAnonymous: 0 kB\n{line}\nRss:  8 kB\nAnonymous:  {anonymous}\nVmFlags: rd ex\n"
            ))
        };
        let code = "7f00-7f80 r-xp 00001000 fd:00 123   /usr/lib/headwater/plugins/a b.so";
        let constants = "7f00-7f80 r--p 00001000 fd:00 123   /usr/lib/x.so";
        for line in [code, constants] {
            assert_eq!(maps(line, "0 kB"), std::slice::from_ref(&(0x7f00..0x7f80)));
            assert_eq!(maps(line, "4 kB"), [], "relocated");
        }
        for line in [
            "7f00-7f80 rw-p 00001000 fd:00 123   /usr/lib/x.so",
            "7f00-7f80 rwxp 00001000 fd:00 123   /usr/lib/x.so",
            "7f00-7f80 r--s 00001000 fd:00 123   /usr/lib/x.so",
            "7f00-7f80 r-xp 00000000 00:00 0     [vdso]",
            "7f00-7f80 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(maps(line, "0 kB"), [], "{line}");
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
        release_grown_code();
        assert_eq!("7".repeat(3).parse::<u32>(), Ok(777));
    }
}
