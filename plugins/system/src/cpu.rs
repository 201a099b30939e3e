//! Input `cpu`: where the processors' time goes, from /proc/stat.
//!
//! The arithmetic is Telegraf's, in its order and in doubles, so that every digit is the same. A
//! processor whose times went back costs its own point, where Telegraf gives up all that follow.

use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::config;
use headwater_plugin_api::plugin::{Capabilities, Context, Error, Gather, Host, Input, Plugin};

use crate::reader::{Faults, Reader, Text, unsigned, words};
use crate::roots::Roots;

config! {
    /// Gathers where the processors' time goes.
    pub struct CpuConfig {
        /// Points for each processor.
        pub percpu: bool = true,
        /// Points for all processors together, with the tag `cpu=cpu-total`.
        pub totalcpu: bool = true,
        /// Points with the seconds since the start of the system, `time_*`.
        pub collect_cpu_time: bool = false,
        /// Adds `usage_active` and `time_active`, the sum of all states but idle.
        pub report_active: bool = false,
        /// Adds the tags `core_id` and `physical_id` from /sys/devices/system/cpu.
        pub core_tags: bool = false,
    }
}

/// The columns of /proc/stat.
const STATES: [&str; 10] =
    ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];
const USER: usize = 0;
const NICE: usize = 1;
const SYSTEM: usize = 2;
const IDLE: usize = 3;
const IOWAIT: usize = 4;
const IRQ: usize = 5;
const SOFTIRQ: usize = 6;
const STEAL: usize = 7;
const GUEST: usize = 8;
const GUEST_NICE: usize = 9;

/// Fields by column, in the order of the points.
const FIELDS: [(usize, &str, &str); 10] = [
    (USER, "time_user", "usage_user"),
    (SYSTEM, "time_system", "usage_system"),
    (IDLE, "time_idle", "usage_idle"),
    (NICE, "time_nice", "usage_nice"),
    (IOWAIT, "time_iowait", "usage_iowait"),
    (IRQ, "time_irq", "usage_irq"),
    (SOFTIRQ, "time_softirq", "usage_softirq"),
    (STEAL, "time_steal", "usage_steal"),
    (GUEST, "time_guest", "usage_guest"),
    (GUEST_NICE, "time_guest_nice", "usage_guest_nice"),
];

/// Ticks per second in files of /proc: USER_HZ, which no kernel of this century lets one change.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is known of a processor at one gather.
#[derive(Default)]
struct Processor {
    name: String,
    seconds: [f64; 10],
}

impl Processor {
    fn total(&self) -> f64 {
        let s = &self.seconds;
        s[USER] + s[SYSTEM] + s[NICE] + s[IOWAIT] + s[IRQ] + s[SOFTIRQ] + s[STEAL] + s[IDLE]
    }

    fn active(&self) -> f64 {
        self.total() - self.seconds[IDLE]
    }
}

/// The processors of one gather in the order of the file, whose memory is used again.
#[derive(Default)]
struct Snapshot {
    processors: Vec<Processor>,
    len: usize,
}

impl Snapshot {
    fn add(&mut self, name: &str, seconds: [f64; 10]) {
        if self.len == self.processors.len() {
            self.processors.push(Processor::default());
        }
        let processor = &mut self.processors[self.len];
        processor.name.clear();
        processor.name.push_str(name);
        processor.seconds = seconds;
        self.len += 1;
    }

    fn all(&self) -> &[Processor] {
        &self.processors[..self.len]
    }

    /// The processor of this name, most often in its old place.
    fn find(&self, name: &str, place: usize) -> Option<&Processor> {
        let all = self.all();
        all.get(place).filter(|p| p.name == name).or_else(|| all.iter().find(|p| p.name == name))
    }
}

/// Where a processor sits; read once, as it does not move.
struct Topology {
    name: String,
    core: String,
    package: String,
}

/// The input.
pub struct Cpu {
    config: CpuConfig,
    roots: Roots,
    reader: Reader,
    topology_reader: Reader,
    now: Snapshot,
    last: Snapshot,
    topology: Vec<Topology>,
}

impl Plugin for Cpu {
    type Config = CpuConfig;
    const NAME: &'static str = "cpu";
    const SUMMARY: &'static str = "Where the processors' time goes, in percent and in seconds";
    const CAPABILITIES: Capabilities = Capabilities::DIFFERENTIAL;

    fn new(config: CpuConfig, _host: Host) -> Result<Self, Error> {
        Ok(Cpu {
            config,
            roots: Roots::from_env(),
            reader: Reader::default(),
            topology_reader: Reader::default(),
            now: Snapshot::default(),
            last: Snapshot::default(),
            topology: Vec::new(),
        })
    }
}

impl Input for Cpu {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        let text = self.reader.piece(&[&self.roots.proc, "stat"])?;
        self.now.len = 0;
        let mut any = false;
        for line in text.lines().take_while(|line| line.starts_with(b"cpu")) {
            any = true;
            match parse(&text, line) {
                Ok((name, seconds)) => self.now.add(name, seconds),
                Err(error) => faults.add(error),
            }
        }
        if !any {
            faults.add(text.wrong("does not begin with a line for `cpu`"));
        }
        if self.config.core_tags {
            self.locate();
        }
        for (total, wanted) in [(false, self.config.percpu), (true, self.config.totalcpu)] {
            if !wanted {
                continue;
            }
            for (place, processor) in self.now.all().iter().enumerate() {
                if (processor.name == "cpu-total") == total {
                    self.emit(cx, out, &mut faults, processor, place);
                }
            }
        }
        std::mem::swap(&mut self.now, &mut self.last);
        faults.result()
    }
}

/// Name and seconds by column. Columns that old kernels lack are 0.
fn parse<'a>(text: &Text<'_>, line: &'a [u8]) -> Result<(&'a str, [f64; 10]), String> {
    let mut words = words(line);
    let name = words.next().and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("cpu?");
    let mut seconds = [0.0; 10];
    let mut columns = 0;
    for (at, word) in words.take(STATES.len()).enumerate() {
        let ticks = unsigned(word)
            .ok_or_else(|| text.bad(format_args!("{} of {name}", STATES[at]), word))?;
        seconds[at] = ticks as f64 / TICKS_PER_SECOND;
        columns = at + 1;
    }
    if columns <= IDLE {
        return Err(text.wrong(format_args!("{name} has {columns} numbers, not 4 to 10")));
    }
    Ok((if name == "cpu" { "cpu-total" } else { name }, seconds))
}

impl Cpu {
    fn emit(
        &self,
        cx: &Context<'_>,
        out: &mut Gather<'_>,
        faults: &mut Faults,
        processor: &Processor,
        place: usize,
    ) {
        let tags = [("cpu", processor.name.as_str())];
        let place_tags = self.topology.iter().find(|t| t.name == processor.name);
        let place_tags = place_tags.map_or([("core_id", ""), ("physical_id", "")], |topology| {
            [("core_id", topology.core.as_str()), ("physical_id", topology.package.as_str())]
        });
        // The two kinds of points are one series, which has one metadata.
        let kind =
            if self.config.collect_cpu_time { metric_kind::UNTYPED } else { metric_kind::GAUGE };
        if self.config.collect_cpu_time {
            let mut point = out.point("cpu").tags(tags).tags(place_tags).metric_kind(kind);
            for (column, field, _) in FIELDS {
                point = point.field(field, processor.seconds[column]);
            }
            if self.config.report_active {
                point = point.field("time_active", processor.active());
            }
            faults.refused(point.finish(cx.now()));
        }
        let Some(last) = self.last.find(&processor.name, place) else { return };
        let total = processor.total() - last.total();
        if total < 0.0 {
            faults.add(format_args!(
                "the total time of {} went back from {} s to {} s; there is no usage of it now",
                processor.name,
                last.total(),
                processor.total()
            ));
            return;
        }
        if total == 0.0 {
            return;
        }
        let since = |column: usize| processor.seconds[column] - last.seconds[column];
        let mut point = out.point("cpu").tags(tags).tags(place_tags).metric_kind(kind);
        for (column, _, field) in FIELDS {
            let spent = match column {
                USER => since(USER) - since(GUEST),
                NICE => since(NICE) - since(GUEST_NICE),
                column => since(column),
            };
            point = point.field(field, 100.0 * spent / total);
        }
        if self.config.report_active {
            let active = processor.active() - last.active();
            point = point.field("usage_active", 100.0 * active / total);
        }
        faults.refused(point.finish(cx.now()));
    }

    /// Reads core and package of processors that are new. What has none keeps empty tags, which are
    /// left out.
    fn locate(&mut self) {
        for processor in self.now.all() {
            if self.topology.iter().any(|t| t.name == processor.name) {
                continue;
            }
            let (sys, reader) = (&self.roots.sys, &mut self.topology_reader);
            let mut read = |file: &str| {
                let parts = [sys, "devices/system/cpu", &processor.name, "topology", file];
                let text = reader.piece_if_readable(&parts);
                let number = text.map(|text| text.trimmed()).filter(|id| unsigned(id).is_some());
                number.map(|id| String::from_utf8_lossy(id).into_owned()).unwrap_or_default()
            };
            let (core, package) = (read("core_id"), read("physical_package_id"));
            self.topology.push(Topology { name: processor.name.clone(), core, package });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    #[test]
    fn the_first_gather_has_no_usage() {
        let tree = Tree::case("cpu/plain");
        let mut input = tree.input::<Cpu>("");
        expect(&mut input, 1, &[]);
        tree.step(1);
        expect(
            &mut input,
            2,
            &[
                "cpu,cpu=cpu0 usage_user=30,usage_system=10,usage_idle=50,usage_nice=0,usage_iowait=5,usage_irq=0,usage_softirq=0,usage_steal=0,usage_guest=5,usage_guest_nice=0 2",
                "cpu,cpu=cpu1 usage_user=0,usage_system=0,usage_idle=100,usage_nice=0,usage_iowait=0,usage_irq=0,usage_softirq=0,usage_steal=0,usage_guest=0,usage_guest_nice=0 2",
                "cpu,cpu=cpu-total usage_user=15,usage_system=5,usage_idle=75,usage_nice=0,usage_iowait=2.5,usage_irq=0,usage_softirq=0,usage_steal=0,usage_guest=2.5,usage_guest_nice=0 2",
            ],
        );
        expect(&mut input, 3, &[]);
    }

    #[test]
    fn times_activity_and_places() {
        let tree = Tree::case("cpu/plain");
        let config = "percpu = true\ntotalcpu = false\ncollect_cpu_time = true\nreport_active = true\ncore_tags = true";
        let mut input = tree.input::<Cpu>(config);
        expect(
            &mut input,
            1,
            &[
                "cpu,core_id=0,cpu=cpu0,physical_id=0 time_user=60,time_system=10,time_idle=900,time_nice=1,time_iowait=2,time_irq=0,time_softirq=0.5,time_steal=0.25,time_guest=3,time_guest_nice=0,time_active=73.75 1",
                "cpu,core_id=2,cpu=cpu1,physical_id=0 time_user=40,time_system=10,time_idle=920,time_nice=0,time_iowait=0,time_irq=0,time_softirq=0,time_steal=0,time_guest=0,time_guest_nice=0,time_active=50 1",
            ],
        );
        tree.step(1);
        let (collected, result) = input.gather(2);
        result.unwrap();
        let points = collected.points();
        assert_eq!(points.len(), 4);
        assert!(
            points[1].ends_with(",usage_guest=5,usage_guest_nice=0,usage_active=50 2"),
            "{}",
            points[1]
        );
    }

    #[test]
    fn processors_come_and_go() {
        let tree = Tree::of(&[("proc/stat", "cpu 100 0 0 100\ncpu0 100 0 0 100\n")]);
        let mut input = tree.input::<Cpu>("totalcpu = false");
        expect(&mut input, 1, &[]);
        tree.write("proc/stat", "cpu 300 0 0 100\ncpu0 200 0 0 100\ncpu7 100 0 0 0\n");
        let usage = |cpu: &str, time: i64| {
            format!(
                "cpu,cpu={cpu} usage_user=100,usage_system=0,usage_idle=0,usage_nice=0,usage_iowait=0,usage_irq=0,usage_softirq=0,usage_steal=0,usage_guest=0,usage_guest_nice=0 {time}"
            )
        };
        expect(&mut input, 2, &[&usage("cpu0", 2)]);
        tree.write("proc/stat", "cpu 400 0 0 100\ncpu7 200 0 0 0\n");
        expect(&mut input, 3, &[&usage("cpu7", 3)]);
        // It was away for one gather: nothing to compare with.
        tree.write("proc/stat", "cpu 500 0 0 100\ncpu0 300 0 0 100\ncpu7 300 0 0 0\n");
        expect(&mut input, 4, &[&usage("cpu7", 4)]);
    }

    #[test]
    fn a_bad_line_costs_its_processor_alone() {
        let tree = Tree::of(&[("proc/stat", "cpu 100 0 0 100\ncpu0 50 0 0 50\ncpu1 50 0 0 50\n")]);
        let mut input = tree.input::<Cpu>("percpu = true\ntotalcpu = false");
        expect(&mut input, 1, &[]);
        tree.write("proc/stat", "cpu 300 0 0 100\ncpu0 10 0 4x 50\ncpu1 150 0 0 50\ncpu2 1 2\n");
        expect_fault(
            &tree,
            &mut input,
            2,
            &[
                "cpu,cpu=cpu1 usage_user=100,usage_system=0,usage_idle=0,usage_nice=0,usage_iowait=0,usage_irq=0,usage_softirq=0,usage_steal=0,usage_guest=0,usage_guest_nice=0 2",
            ],
            "{}/proc/stat: system of cpu0 is \"4x\", which is not a number; {}/proc/stat: cpu2 has 2 numbers, not 4 to 10",
        );
        tree.write("proc/stat", "intr 1\n");
        expect_fault(
            &tree,
            &mut input,
            3,
            &[],
            "{}/proc/stat: does not begin with a line for `cpu`",
        );
        tree.remove("proc/stat");
        expect_fault(
            &tree,
            &mut input,
            4,
            &[],
            "{}/proc/stat: No such file or directory (os error 2)",
        );
    }

    #[test]
    fn times_that_go_back_cost_one_gather_of_that_processor() {
        let tree = Tree::of(&[("proc/stat", "cpu 100 0 0 100\ncpu0 50 0 0 50\ncpu1 50 0 0 50\n")]);
        let mut input = tree.input::<Cpu>("percpu = true\ntotalcpu = false");
        expect(&mut input, 1, &[]);
        tree.write("proc/stat", "cpu 90 0 0 100\ncpu0 40 0 0 50\ncpu1 150 0 0 50\n");
        expect_fault(
            &tree,
            &mut input,
            2,
            &[
                "cpu,cpu=cpu1 usage_user=100,usage_system=0,usage_idle=0,usage_nice=0,usage_iowait=0,usage_irq=0,usage_softirq=0,usage_steal=0,usage_guest=0,usage_guest_nice=0 2",
            ],
            "the total time of cpu0 went back from 1 s to 0.9 s; there is no usage of it now",
        );
    }

    /// The cases of Telegraf's own suite: the folders proc, or proc0, proc1, ..., are gathered in
    /// order.
    #[test]
    fn telegrafs_cases() {
        let cases = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../shared/conformance/telegraf/inputs/cpu");
        let mut done = 0;
        let entries = std::fs::read_dir(&cases)
            .unwrap_or_else(|error| panic!("{}: {error}", cases.display()));
        for case in entries {
            let case = case.unwrap().path();
            let config: String = std::fs::read_to_string(case.join("telegraf.conf"))
                .unwrap()
                .lines()
                .filter(|line| !line.contains("[[inputs.cpu]]"))
                .collect::<Vec<_>>()
                .join("\n");
            let mut trees: Vec<_> = std::fs::read_dir(&case)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_dir())
                .collect();
            trees.sort();
            assert!(!trees.is_empty(), "{}", case.display());
            let tree = Tree::linking("proc", &trees[0]);
            let mut input = tree.input::<Cpu>(&config);
            for proc in trees {
                tree.relink("proc", &proc);
                let (collected, result) = input.gather(0);
                let expected =
                    std::fs::read_to_string(proc.join("expected.out")).unwrap_or_default();
                assert_eq!(
                    canonical(&collected.points().join("\n")),
                    canonical(&expected),
                    "{}",
                    proc.display()
                );
                assert_eq!(
                    result.is_err(),
                    proc.join("expected.err").exists(),
                    "{}",
                    proc.display()
                );
                done += 1;
            }
        }
        assert!(done >= 8, "only {done} gathers in {}", cases.display());
    }

    /// Lines without times, their fields sorted, sorted.
    fn canonical(text: &str) -> Vec<String> {
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| {
                let mut parts = line.split(' ');
                let (series, fields) = (parts.next().unwrap(), parts.next().unwrap());
                let mut fields: Vec<&str> = fields.split(',').collect();
                fields.sort_unstable();
                format!("{series} {}", fields.join(","))
            })
            .collect();
        lines.sort();
        lines
    }
}
