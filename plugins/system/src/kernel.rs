//! Input `kernel`: counters of the kernel from /proc/stat, its entropy, and on demand merged pages
//! (/sys/kernel/mm/ksm) and pressure (/proc/pressure).
//!
//! Two differences to Telegraf: `HOST_PROC` is honoured, and what cannot be read costs its own
//! field and not the whole point.

use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin};
use headwater_plugin_api::{choice, config};

use crate::reader::{Faults, Reader, decimal, quote, signed, unsigned, words};
use crate::roots::Roots;

choice! {
    /// What to gather besides.
    pub enum Extra {
        /// Pages that the kernel has merged: fields `ksm_*`.
        Ksm = "ksm",
        /// Pressure stall information: points `pressure`.
        Psi = "psi",
    }
}

config! {
    /// Gathers counters of the kernel.
    pub struct KernelConfig {
        /// What to gather besides.
        pub collect: Vec<Extra> = Vec::new(),
    }
}

/// Lines of /proc/stat and the fields of their first number.
const LINES: [(&[u8], &str); 4] = [
    (b"intr", "interrupts"),
    (b"ctxt", "context_switches"),
    (b"processes", "processes_forked"),
    (b"btime", "boot_time"),
];

/// Files of /sys/kernel/mm/ksm with their fields, and whether kernels before 6.1 lack them.
const KSM: [(&str, &str, bool); 15] = [
    ("full_scans", "ksm_full_scans", false),
    ("max_page_sharing", "ksm_max_page_sharing", false),
    ("merge_across_nodes", "ksm_merge_across_nodes", false),
    ("pages_shared", "ksm_pages_shared", false),
    ("pages_sharing", "ksm_pages_sharing", false),
    ("pages_to_scan", "ksm_pages_to_scan", false),
    ("pages_unshared", "ksm_pages_unshared", false),
    ("pages_volatile", "ksm_pages_volatile", false),
    ("run", "ksm_run", false),
    ("sleep_millisecs", "ksm_sleep_millisecs", false),
    ("stable_node_chains", "ksm_stable_node_chains", false),
    ("stable_node_chains_prune_millisecs", "ksm_stable_node_chains_prune_millisecs", false),
    ("stable_node_dups", "ksm_stable_node_dups", false),
    ("use_zero_pages", "ksm_use_zero_pages", false),
    ("general_profit", "ksm_general_profit", true),
];

/// The input.
pub struct Kernel {
    ksm: bool,
    psi: bool,
    roots: Roots,
    reader: Reader,
}

impl Plugin for Kernel {
    type Config = KernelConfig;
    const NAME: &'static str = "kernel";
    const SUMMARY: &'static str = "Interrupts, context switches, forks, entropy, pressure";

    fn new(config: KernelConfig, _host: Host) -> Result<Self, Error> {
        Ok(Kernel {
            ksm: config.collect.contains(&Extra::Ksm),
            psi: config.collect.contains(&Extra::Psi),
            roots: Roots::from_env(),
            reader: Reader::default(),
        })
    }
}

impl Input for Kernel {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        let mut point = out.point("kernel").metric_kind(metric_kind::COUNTER);
        match self.reader.piece(&[&self.roots.proc, "stat"]) {
            Err(error) => faults.add(error),
            Ok(text) => {
                for line in text.lines() {
                    let mut words = words(line);
                    let name = words.next();
                    let Some((_, field)) = LINES.iter().find(|(line, _)| Some(*line) == name)
                    else {
                        continue;
                    };
                    let word = words.next().unwrap_or_default();
                    match signed(word) {
                        Some(number) => point = point.field(field, number),
                        None => faults.add(text.bad(field, word)),
                    }
                }
            }
        }
        let entropy = [self.roots.proc.as_str(), "sys/kernel/random/entropy_avail"];
        match number(&mut self.reader, &entropy) {
            Ok(Some(number)) => point = point.field("entropy_avail", number),
            Ok(None) => faults.add(format_args!("{} does not exist", entropy.join("/"))),
            Err(error) => faults.add(error),
        }
        if self.ksm {
            for (file, field, newer) in KSM {
                match number(&mut self.reader, &[&self.roots.sys, "kernel/mm/ksm", file]) {
                    Ok(Some(number)) => point = point.field(field, number),
                    Ok(None) if newer => {}
                    Ok(None) => {
                        faults.add(format_args!(
                            "{}/kernel/mm/ksm/{file} does not exist: this kernel merges no pages; \
                             take \"ksm\" out of `collect`",
                            self.roots.sys
                        ));
                        break;
                    }
                    Err(error) => faults.add(error),
                }
            }
        }
        faults.refused(point.finish(cx.now()));
        if self.psi {
            for resource in ["cpu", "io", "memory"] {
                if !self.pressure(cx, out, &mut faults, resource) {
                    break;
                }
            }
        }
        faults.result()
    }
}

/// The only number of a file; `None` if there is no such file.
fn number(reader: &mut Reader, parts: &[&str]) -> Result<Option<i64>, Error> {
    let Some(text) = reader.piece_if_there(parts)? else { return Ok(None) };
    let digits = text.trimmed();
    match signed(digits) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::failed(text.bad("its content", digits))),
    }
}

impl Kernel {
    /// Whether the kernel measures it.
    fn pressure(
        &mut self,
        cx: &Context<'_>,
        out: &mut Gather<'_>,
        faults: &mut Faults,
        resource: &str,
    ) -> bool {
        let text = match self.reader.piece_if_there(&[&self.roots.proc, "pressure", resource]) {
            Ok(Some(text)) => text,
            Ok(None) => {
                faults.add(format_args!(
                    "{}/pressure/{resource} does not exist: this kernel does not measure pressure; \
                     take \"psi\" out of `collect`",
                    self.roots.proc
                ));
                return false;
            }
            Err(error) => {
                faults.add(error);
                return true;
            }
        };
        for line in text.lines() {
            let mut words = words(line);
            let kind = match words.next() {
                Some(b"some") => "some",
                // The kernel writes zeros there: no processor is waited for by all at once.
                Some(b"full") if resource == "cpu" => continue,
                Some(b"full") => "full",
                _ => {
                    faults.add(text.wrong(format_args!("neither some nor full: {}", quote(line))));
                    continue;
                }
            };
            let value = |key: &str| {
                let found = words
                    .clone()
                    .find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="));
                found.unwrap_or_default()
            };
            let tags = [("resource", resource), ("type", kind)];
            match unsigned(value("total")) {
                Some(total) => {
                    let point = out.point("pressure").tags(tags).field("total", total);
                    faults.refused(point.finish(cx.now()));
                }
                None => faults.add(text.bad(format_args!("total of {kind}"), value("total"))),
            }
            let mut point = out.point("pressure").tags(tags);
            for key in ["avg10", "avg60", "avg300"] {
                match decimal(value(key)) {
                    Some(average) => point = point.field(key, average),
                    None => faults.add(text.bad(format_args!("{key} of {kind}"), value(key))),
                }
            }
            faults.refused(point.finish(cx.now()));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    const BASIC: &str = "kernel interrupts=363310i,context_switches=546942i,boot_time=1795252076i,processes_forked=15196i,entropy_avail=256i";

    #[test]
    fn counters() {
        let tree = Tree::case("kernel/server");
        expect(&mut tree.input::<Kernel>(""), 1, &[&format!("{BASIC} 1")]);
    }

    #[test]
    fn merged_pages_and_pressure() {
        let tree = Tree::case("kernel/server");
        expect(
            &mut tree.input::<Kernel>("collect = ['psi', 'ksm']"),
            1,
            &[
                &format!(
                    "{BASIC},ksm_full_scans=12i,ksm_max_page_sharing=256i,ksm_merge_across_nodes=1i,ksm_pages_shared=40i,ksm_pages_sharing=400i,ksm_pages_to_scan=100i,ksm_pages_unshared=7i,ksm_pages_volatile=3i,ksm_run=1i,ksm_sleep_millisecs=20i,ksm_stable_node_chains=0i,ksm_stable_node_chains_prune_millisecs=2000i,ksm_stable_node_dups=0i,ksm_use_zero_pages=0i,ksm_general_profit=-1024i 1"
                ),
                "pressure,resource=cpu,type=some total=13841679u 1",
                "pressure,resource=cpu,type=some avg10=8.79,avg60=2.59,avg300=0.78 1",
                "pressure,resource=io,type=some total=6468579u 1",
                "pressure,resource=io,type=some avg10=3.9,avg60=1.03,avg300=0.36 1",
                "pressure,resource=io,type=full total=6279420u 1",
                "pressure,resource=io,type=full avg10=3.9,avg60=1.03,avg300=0.36 1",
                "pressure,resource=memory,type=some total=0u 1",
                "pressure,resource=memory,type=some avg10=0,avg60=0,avg300=0 1",
                "pressure,resource=memory,type=full total=0u 1",
                "pressure,resource=memory,type=full avg10=0,avg60=0,avg300=0 1",
            ],
        );
    }

    #[test]
    fn what_is_malformed_or_missing_costs_itself_alone() {
        let tree = Tree::of(&[("proc/stat", "intr 5 6\nctxt x\nbtime\nprocesses 7\n")]);
        expect_fault(
            &tree,
            &mut tree.input::<Kernel>(""),
            1,
            &["kernel interrupts=5i,processes_forked=7i 1"],
            "{}/proc/stat: context_switches is \"x\", which is not a number; {}/proc/stat: boot_time is \"\", which is not a number; {}/proc/sys/kernel/random/entropy_avail does not exist",
        );
        tree.write("proc/stat", "");
        tree.write("proc/sys/kernel/random/entropy_avail", "many\n");
        let error = "{}/proc/sys/kernel/random/entropy_avail: its content is \"many\", which is not a number";
        expect_fault(&tree, &mut tree.input::<Kernel>(""), 1, &[], error);
    }

    #[test]
    fn kernels_without_these() {
        let tree =
            Tree::of(&[("proc/stat", "intr 5\n"), ("proc/sys/kernel/random/entropy_avail", "3")]);
        let (collected, result) = tree.input::<Kernel>("collect = ['ksm', 'psi']").gather(1);
        assert_eq!(collected.points(), ["kernel interrupts=5i,entropy_avail=3i 1"]);
        let error = result.unwrap_err();
        assert_eq!(error.message().matches(" does not exist: ").count(), 2, "{}", error.message());
        assert!(error.message().contains("ksm/full_scans"), "{}", error.message());
        assert!(error.message().contains("pressure/cpu"), "{}", error.message());
    }

    #[test]
    fn malformed_pressure() {
        let tree = Tree::of(&[
            ("proc/stat", "intr 5\n"),
            ("proc/sys/kernel/random/entropy_avail", "3"),
            ("proc/pressure/cpu", "most avg10=1\n"),
            ("proc/pressure/io", "some avg10=1.5 avg60=x avg300=2.00 total=9\n"),
            ("proc/pressure/memory", "full avg10=1.5 avg60=1.00 avg300=2.00\n"),
        ]);
        expect_fault(
            &tree,
            &mut tree.input::<Kernel>("collect = ['psi']"),
            1,
            &[
                "kernel interrupts=5i,entropy_avail=3i 1",
                "pressure,resource=io,type=some total=9u 1",
                "pressure,resource=io,type=some avg10=1.5,avg300=2 1",
                "pressure,resource=memory,type=full avg10=1.5,avg60=1,avg300=2 1",
            ],
            "{}/proc/pressure/cpu: neither some nor full: \"most avg10=1\"; {}/proc/pressure/io: avg60 of some is \"x\", which is not a number; {}/proc/pressure/memory: total of full is \"\", which is not a number",
        );
    }
}
