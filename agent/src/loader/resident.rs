//! What of the code stays in memory once the agent has started.
#![allow(unsafe_code)]

use std::fs;
use std::ops::Range;

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
    fn code_runs_on() {
        release_code();
        assert_eq!("7".repeat(3).parse::<u32>(), Ok(777));
    }
}
