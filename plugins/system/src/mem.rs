//! Input `mem`: main memory, from /proc/meminfo.

use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::config;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin};

use crate::reader::{Faults, Reader, Text, unsigned, words};
use crate::roots::Roots;

config! {
    /// Gathers the use of main memory.
    pub struct MemConfig {
        /// Adds `active_file`, `inactive_file`, `active_anon`, `inactive_anon`, `unevictable` and
        /// `percpu`.
        pub collect_extended: bool = false,
    }
}

const KIB: u64 = 1024;

/// Lines of /proc/meminfo, their fields in the order of the point, and the unit of their numbers.
const LINES: [(&str, &str, u64); 37] = [
    ("MemTotal", "total", KIB),
    ("MemAvailable", "available", KIB),
    ("Active", "active", KIB),
    ("Buffers", "buffered", KIB),
    ("Cached", "cached", KIB),
    ("CommitLimit", "commit_limit", KIB),
    ("Committed_AS", "committed_as", KIB),
    ("Dirty", "dirty", KIB),
    ("MemFree", "free", KIB),
    ("HighFree", "high_free", KIB),
    ("HighTotal", "high_total", KIB),
    ("HugePages_Free", "huge_pages_free", 1),
    ("Hugepagesize", "huge_page_size", KIB),
    ("HugePages_Total", "huge_pages_total", 1),
    ("Inactive", "inactive", KIB),
    ("LowFree", "low_free", KIB),
    ("LowTotal", "low_total", KIB),
    ("Mapped", "mapped", KIB),
    ("PageTables", "page_tables", KIB),
    ("Shmem", "shared", KIB),
    ("Slab", "slab", KIB),
    ("SReclaimable", "sreclaimable", KIB),
    ("SUnreclaim", "sunreclaim", KIB),
    ("SwapCached", "swap_cached", KIB),
    ("SwapFree", "swap_free", KIB),
    ("SwapTotal", "swap_total", KIB),
    ("VmallocChunk", "vmalloc_chunk", KIB),
    ("VmallocTotal", "vmalloc_total", KIB),
    ("VmallocUsed", "vmalloc_used", KIB),
    ("Writeback", "write_back", KIB),
    ("WritebackTmp", "write_back_tmp", KIB),
    ("Active(file)", "active_file", KIB),
    ("Inactive(file)", "inactive_file", KIB),
    ("Active(anon)", "active_anon", KIB),
    ("Inactive(anon)", "inactive_anon", KIB),
    ("Unevictable", "unevictable", KIB),
    ("Percpu", "percpu", KIB),
];
const TOTAL: usize = 0;
const AVAILABLE: usize = 1;
const CACHED: usize = 4;
const FREE: usize = 8;
const RECLAIMABLE: usize = 21;
/// The fields from here on are extended ones.
const EXTENDED: usize = 31;

/// A line's number.
#[derive(Clone, Copy, PartialEq)]
enum Number {
    Missing,
    /// It could not be read: the field is left out.
    Bad,
    Is(u64),
}

impl Number {
    /// A missing line is 0, as on kernels without that feature.
    fn value(self) -> Option<u64> {
        match self {
            Number::Missing => Some(0),
            Number::Bad => None,
            Number::Is(number) => Some(number),
        }
    }
}

/// The input.
pub struct Mem {
    config: MemConfig,
    roots: Roots,
    reader: Reader,
}

impl Plugin for Mem {
    type Config = MemConfig;
    const NAME: &'static str = "mem";
    const SUMMARY: &'static str = "The use of main memory";

    fn new(config: MemConfig, _host: Host) -> Result<Self, Error> {
        Ok(Mem { config, roots: Roots::from_env(), reader: Reader::default() })
    }
}

impl Input for Mem {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        let text = self.reader.piece(&[&self.roots.proc, "meminfo"])?;
        let mut numbers = parse(&text, &mut faults);
        if numbers[TOTAL] == Number::Missing {
            return Err(Error::failed(text.wrong("has no line `MemTotal`")));
        }
        let cached = match (numbers[CACHED].value(), numbers[RECLAIMABLE].value()) {
            (Some(cached), Some(reclaimable)) => Number::Is(cached.saturating_add(reclaimable)),
            _ => Number::Bad,
        };
        numbers[CACHED] = cached;
        if numbers[AVAILABLE] == Number::Missing {
            // Kernels before 3.14: what is free or could be given back.
            numbers[AVAILABLE] = match (numbers[FREE].value(), cached.value()) {
                (Some(free), Some(cached)) => Number::Is(free.saturating_add(cached)),
                _ => Number::Bad,
            };
        }
        let mut point = out.point("mem").metric_kind(metric_kind::GAUGE);
        let (total, available) = (numbers[TOTAL].value(), numbers[AVAILABLE].value());
        if let Some(total) = total {
            point = point.field("total", total);
        }
        if let Some(available) = available {
            point = point.field("available", available);
        }
        if let (Some(total), Some(available)) = (total, available) {
            let used = total.saturating_sub(available);
            let percent = |part: u64| 100.0 * part as f64 / total as f64;
            point = point
                .field("used", used)
                .field("used_percent", percent(used))
                .field("available_percent", percent(available));
        }
        let end = if self.config.collect_extended { LINES.len() } else { EXTENDED };
        for at in AVAILABLE + 1..end {
            if let Some(number) = numbers[at].value() {
                point = point.field(LINES[at].1, number);
            }
        }
        faults.refused(point.finish(cx.now()));
        faults.result()
    }
}

fn parse(text: &Text<'_>, faults: &mut Faults) -> [Number; LINES.len()] {
    let mut numbers = [Number::Missing; LINES.len()];
    for line in text.lines() {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, rest) = line.split_at(colon);
        let Some(at) = LINES.iter().position(|(line, ..)| line.as_bytes() == name) else {
            continue;
        };
        let (line, _, unit) = LINES[at];
        let word = words(&rest[1..]).next().unwrap_or_default();
        numbers[at] = match unsigned(word).and_then(|number| number.checked_mul(unit)) {
            Some(bytes) => Number::Is(bytes),
            None => {
                faults.add(text.bad(line, word));
                Number::Bad
            }
        };
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    #[test]
    fn a_server() {
        let tree = Tree::case("mem/server");
        let basic = "mem total=25276510208u,available=24744448000u,used=532062208u,used_percent=2.1049670370698665,available_percent=97.89503296293013,active=140124160u,buffered=7864320u,cached=842948608u,commit_limit=12638253056u,committed_as=76337152u,dirty=1396736u,free=24177016832u,high_free=0u,high_total=0u,huge_pages_free=3u,huge_page_size=2097152u,huge_pages_total=4u,inactive=593141760u,low_free=0u,low_total=0u,mapped=11091968u,page_tables=2174976u,shared=9068544u,slab=149090304u,sreclaimable=122281984u,sunreclaim=26808320u,swap_cached=0u,swap_free=1073741824u,swap_total=2147483648u,vmalloc_chunk=0u,vmalloc_total=35184372087808u,vmalloc_used=14659584u,write_back=4096u,write_back_tmp=0u";
        expect(&mut tree.input::<Mem>(""), 7, &[&format!("{basic} 7")]);
        let extended = format!(
            "{basic},active_file=138530816u,inactive_file=580927488u,active_anon=1593344u,inactive_anon=12214272u,unevictable=22298624u,percpu=704512u 7"
        );
        expect(&mut tree.input::<Mem>("collect_extended = true"), 7, &[&extended]);
    }

    #[test]
    fn missing_lines_are_zero_and_an_old_kernel_knows_what_is_available() {
        let tree = Tree::of(&[(
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemFree: 200 kB\nCached: 40 kB\nSReclaimable: 10 kB\n",
        )]);
        let (collected, result) = tree.input::<Mem>("").gather(1);
        result.unwrap();
        let point = &collected.points()[0];
        assert!(point.starts_with("mem total=1024000u,available=256000u,used=768000u,used_percent=75,available_percent=25,active=0u,"), "{point}");
        assert!(point.contains(",cached=51200u,commit_limit=0u,"), "{point}");
    }

    #[test]
    fn more_available_than_there_is() {
        let tree = Tree::of(&[("proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 200 kB\n")]);
        let (collected, _) = tree.input::<Mem>("").gather(1);
        assert!(collected.points()[0].contains(",used=0u,used_percent=0,available_percent=200,"));
    }

    #[test]
    fn a_bad_number_costs_its_fields_alone() {
        let tree = Tree::of(&[(
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemAvailable: lots kB\nCached: 40 kB\nSReclaimable: 18446744073709551615 kB\nDirty:\nnonsense\n",
        )]);
        let (collected, result) = tree.input::<Mem>("").gather(1);
        let point = &collected.points()[0];
        assert!(
            point.starts_with(
                "mem total=1024000u,active=0u,buffered=0u,commit_limit=0u,committed_as=0u,free=0u,"
            ),
            "{point}"
        );
        assert!(!point.contains("cached=51") && !point.contains("sreclaimable"), "{point}");
        let file = tree.path("proc/meminfo");
        assert_eq!(
            result.unwrap_err().message(),
            format!(
                "{file}: MemAvailable is \"lots\", which is not a number; {file}: SReclaimable is \"18446744073709551615\", which is not a number; {file}: Dirty is \"\", which is not a number"
            )
        );
    }

    #[test]
    fn an_empty_file_is_no_memory() {
        let tree = Tree::of(&[("proc/meminfo", "")]);
        expect_fault(
            &tree,
            &mut tree.input::<Mem>(""),
            1,
            &[],
            "{}/proc/meminfo: has no line `MemTotal`",
        );
    }

    #[test]
    fn no_memory_at_all_has_no_percentages() {
        let tree = Tree::of(&[("proc/meminfo", "MemTotal: 0 kB\nMemAvailable: 0 kB\n")]);
        let (collected, _) = tree.input::<Mem>("").gather(1);
        assert!(collected.points()[0].starts_with("mem total=0u,available=0u,used=0u,active=0u,"));
    }
}
