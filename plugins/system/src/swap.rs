//! Input `swap`: swap space from sysinfo(2), and what went in and out from /proc/vmstat.

use headwater_plugin_api::config;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin};

use crate::reader::{Faults, Reader, unsigned};
use crate::roots::Roots;

config! {
    /// Gathers the use of swap space.
    pub struct SwapConfig {}
}

/// Telegraf's unit for pages that were swapped, whatever the size of a page.
const PAGE_BYTES: u64 = 4096;

/// The input.
pub struct Swap {
    roots: Roots,
    reader: Reader,
}

impl Plugin for Swap {
    type Config = SwapConfig;
    const NAME: &'static str = "swap";
    const SUMMARY: &'static str = "The use of swap space";

    fn new(_config: SwapConfig, _host: Host) -> Result<Self, Error> {
        Ok(Swap { roots: Roots::from_env(), reader: Reader::default() })
    }
}

impl Input for Swap {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        let info = (self.roots.calls.sysinfo)();
        let used = info.swap_total.saturating_sub(info.swap_free);
        let percent = match info.swap_total {
            0 => 0.0,
            total => used as f64 / total as f64 * 100.0,
        };
        let point = out
            .point("swap")
            .field("total", info.swap_total)
            .field("used", used)
            .field("free", info.swap_free)
            .field("used_percent", percent);
        faults.refused(point.finish(cx.now()));

        let text = self.reader.records(&[&self.roots.proc, "vmstat"])?;
        let mut point = out.point("swap");
        // A kernel without swap has no such lines.
        let mut numbers = [&b"0"[..]; 2];
        for line in text.lines().filter_map(|line| line.strip_prefix(b"pswp")) {
            match (line.strip_prefix(b"in "), line.strip_prefix(b"out ")) {
                (Some(number), _) => numbers[0] = number,
                (_, Some(number)) => numbers[1] = number,
                _ => {}
            }
        }
        for ((line, field), number) in [("pswpin", "in"), ("pswpout", "out")].iter().zip(numbers) {
            match unsigned(number).and_then(|pages| pages.checked_mul(PAGE_BYTES)) {
                Some(bytes) => point = point.field(field, bytes),
                None => faults.add(text.bad(line, number)),
            }
        }
        faults.refused(point.finish(cx.now()));
        faults.result()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};
    use crate::roots::{Calls, SystemInfo};

    const SPACE: &str =
        "swap total=4294967296u,used=1073741824u,free=3221225472u,used_percent=25 1";

    #[test]
    fn space_and_traffic() {
        let tree = Tree::case("swap/busy");
        expect(&mut tree.input::<Swap>(""), 1, &[SPACE, "swap in=5054464u,out=40960u 1"]);
    }

    #[test]
    fn a_kernel_without_swap() {
        let mut tree = Tree::of(&[("proc/vmstat", "nr_free_pages 1\n")]);
        let none = || SystemInfo { uptime_s: 1, swap_total: 0, swap_free: 0 };
        tree.roots.calls = Calls { sysinfo: none, ..tree.roots.calls };
        let space = "swap total=0u,used=0u,free=0u,used_percent=0 1";
        expect(&mut tree.input::<Swap>(""), 1, &[space, "swap in=0u,out=0u 1"]);
    }

    #[test]
    fn what_is_malformed_or_missing_costs_itself_alone() {
        let tree = Tree::of(&[("proc/vmstat", "pswpin -1\npswpout 2\n")]);
        let mut input = tree.input::<Swap>("");
        let error = "{}/proc/vmstat: pswpin is \"-1\", which is not a number";
        expect_fault(&tree, &mut input, 1, &[SPACE, "swap out=8192u 1"], error);
        tree.remove("proc/vmstat");
        let error = "{}/proc/vmstat: No such file or directory (os error 2)";
        expect_fault(&tree, &mut input, 1, &[SPACE], error);
    }

    #[test]
    fn there_are_no_options() {
        let error = Tree::of(&[]).try_input::<Swap>("collect = true").err().unwrap();
        assert!(error.message().contains("unknown key `collect`"), "{}", error.message());
    }
}
