//! Input `internal`: what the agent counts of itself, under Telegraf's names.
//!
//! The agent hands over one point for each instance of a plugin, told apart by the tag `_id`. This
//! input sums those of equal type and alias up, and adds the memory of the process. Of Telegraf's
//! `internal_memstats` only `sys_bytes` has a meaning without Go's collector: allocations and the
//! heap are the allocator's own affair here. What the kernel tells of the process stands beside it
//! under names that Telegraf does not use.

use headwater_plugin_api::batch::{Batch, SeriesRef, Value};
use headwater_plugin_api::config;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin};

use crate::reader::{Faults, Reader, unsigned, words};
use crate::roots::Roots;

config! {
    /// Gathers what the agent counts of itself.
    pub struct InternalConfig {
        /// Adds `internal_memstats` with the memory of the process: `sys_bytes` (asked of the
        /// system: data, heap and stacks), `resident_bytes`, `resident_max_bytes`, and
        /// `anonymous_bytes`, the resident ones that no file backs.
        pub collect_memstats: bool = true,
        /// `true` is refused: it tells of Go's runtime, and there is none here.
        pub collect_gostats: bool = false,
        /// Points for each instance of a plugin, with the tag `_id`, instead of sums over instances
        /// of equal type and alias.
        pub per_instance: bool = false,
    }
}

/// The tag that tells instances apart.
const INSTANCE: &str = "_id";

/// Fields that are means: over instances they are means again, of those that did anything.
const MEAN_SUFFIX: &str = "_time_ns";

/// Lines of /proc/self/status with their fields.
const MEMORY: [(&[u8], &str); 4] = [
    (b"VmData:", "sys_bytes"),
    (b"VmRSS:", "resident_bytes"),
    (b"VmHWM:", "resident_max_bytes"),
    (b"RssAnon:", "anonymous_bytes"),
];

/// The input.
pub struct Internal {
    config: InternalConfig,
    roots: Roots,
    host: Host,
    reader: Reader,
}

impl Plugin for Internal {
    type Config = InternalConfig;
    const NAME: &'static str = "internal";
    const SUMMARY: &'static str = "What the agent counts of itself";

    fn new(config: InternalConfig, host: Host) -> Result<Self, Error> {
        if config.collect_gostats {
            return Err(Error::config(
                "collect_gostats",
                "there is no Go runtime whose statistics could be collected; remove the line",
            ));
        }
        Ok(Internal { config, roots: Roots::from_env(), host, reader: Reader::default() })
    }
}

impl Input for Internal {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        match self.host.self_metrics() {
            Err(error) => faults.add(error),
            Ok(mut batch) if self.config.per_instance => {
                batch.edit_rows(|rows| rows.iter_mut().for_each(|row| row.time = cx.now()));
                out.push(batch);
            }
            Ok(batch) => {
                for sum in sums(&batch) {
                    let mut point = out.point(sum.series.name()).tags(common_tags(&sum.series));
                    for field in &sum.fields {
                        point = point.field(field.key, field.value());
                    }
                    faults.refused(point.finish(cx.now()));
                }
            }
        }
        if self.config.collect_memstats {
            self.memory(cx, out, &mut faults);
        }
        faults.result()
    }
}

impl Internal {
    fn memory(&mut self, cx: &Context<'_>, out: &mut Gather<'_>, faults: &mut Faults) {
        let text = match self.reader.piece(&[&self.roots.own_proc, "self/status"]) {
            Ok(text) => text,
            Err(error) => return faults.add(error),
        };
        let mut point = out.point("internal_memstats");
        for (name, field) in MEMORY {
            let Some(line) = text.lines().find_map(|line| line.strip_prefix(name)) else {
                continue;
            };
            let word = words(line).next().unwrap_or_default();
            let bytes = unsigned(word).and_then(|kib| i64::try_from(kib.checked_mul(1024)?).ok());
            match bytes {
                Some(bytes) => point = point.field(field, bytes),
                None => faults.add(text.bad(field, word)),
            }
        }
        faults.refused(point.finish(cx.now()));
    }
}

/// The sum of the points of equal type and alias.
struct Sum<'a> {
    series: SeriesRef<'a>,
    fields: Vec<FieldSum<'a>>,
}

struct FieldSum<'a> {
    key: &'a str,
    sum: Value<'a>,
    /// How many of the values were not 0.
    active: u64,
}

fn sums(batch: &Batch) -> Vec<Sum<'_>> {
    let mut sums: Vec<Sum<'_>> = Vec::new();
    for point in batch.points() {
        let series = point.series();
        let at = sums.iter().position(|sum| same_but_instance(&sum.series, &series));
        let at = at.unwrap_or_else(|| {
            sums.push(Sum { series, fields: Vec::new() });
            sums.len() - 1
        });
        for (key, value) in point.fields() {
            let fields = &mut sums[at].fields;
            match fields.iter_mut().find(|field| field.key == key) {
                Some(field) => field.add(value),
                None => fields.push(FieldSum { key, sum: value, active: is_active(&value) }),
            }
        }
    }
    sums
}

fn same_but_instance(one: &SeriesRef<'_>, other: &SeriesRef<'_>) -> bool {
    one.name() == other.name() && common_tags(one).eq(common_tags(other))
}

/// The tags of all instances of equal type and alias.
fn common_tags<'a>(series: &SeriesRef<'a>) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    series.tags().filter(|(key, _)| *key != INSTANCE)
}

fn is_active(value: &Value<'_>) -> u64 {
    u64::from(value.as_f64().is_some_and(|number| number != 0.0))
}

impl<'a> FieldSum<'a> {
    fn add(&mut self, value: Value<'a>) {
        self.active += is_active(&value);
        self.sum = match (self.sum, value) {
            (Value::I64(a), Value::I64(b)) => Value::I64(a.saturating_add(b)),
            (Value::U64(a), Value::U64(b)) => Value::U64(a.saturating_add(b)),
            (Value::F64(a), Value::F64(b)) => Value::F64(a + b),
            // Not a number, or of two kinds: the last counts.
            (_, value) => value,
        };
    }

    fn value(&self) -> Value<'a> {
        let count = self.active.max(1);
        match self.sum {
            sum if !self.key.ends_with(MEAN_SUFFIX) => sum,
            Value::I64(sum) => Value::I64(sum / i64::try_from(count).unwrap_or(i64::MAX)),
            Value::U64(sum) => Value::U64(sum / count),
            Value::F64(sum) => Value::F64(sum / count as f64),
            sum => sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use headwater_plugin_api::abi::instance::{InputInstance, SerializerInstance};
    use headwater_plugin_api::abi::serve::{self, HostServices};
    use headwater_plugin_api::abi::shim;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::plugin::Level;
    use headwater_plugin_api::testkit::{Driven, TestHost};

    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    /// An agent that counts.
    struct Agent(Arc<TestHost>, Option<Batch>);

    impl HostServices for Agent {
        fn log(&self, level: Level, message: &str) {
            self.0.log(level, message);
        }
        fn now(&self) -> i64 {
            self.0.now()
        }
        fn counter(&self, name: &str, gauge: bool) -> &'static AtomicU64 {
            self.0.counter(name, gauge)
        }
        fn load_state(&self, key: &str) -> Option<Vec<u8>> {
            self.0.load_state(key)
        }
        fn save_state(&self, key: &str, state: &[u8]) -> Result<(), Error> {
            self.0.save_state(key, state)
        }
        fn secret(&self, reference: &str) -> Result<String, Error> {
            self.0.secret(reference)
        }
        fn serializer(&self, name: &str, config: &str) -> Result<SerializerInstance, Error> {
            self.0.serializer(name, config)
        }
        fn self_metrics(&self) -> Option<Batch> {
            self.1.clone()
        }
    }

    fn input(tree: &Tree, config: &str, metrics: Option<Batch>) -> Driven<InputInstance> {
        let host = Arc::new(TestHost::default());
        let agent = Arc::new(Agent(Arc::clone(&host), metrics));
        let instance = tree.with_roots(|| {
            InputInstance::make(&shim::input::<Internal>("0.0.0"), config, serve::host(agent))
                .unwrap()
        });
        Driven { instance, host }
    }

    fn metrics() -> Option<Batch> {
        let mut builder = BatchBuilder::default();
        let point = builder.point("internal_agent").tag("version", "1.0");
        point.field("metrics_gathered", 5_i64).finish(1).unwrap();
        for (id, alias, gathered, time) in
            [("a", "", 1_i64, 10_i64), ("b", "", 2, 0), ("c", "", 4, 31), ("d", "other", 8, 7)]
        {
            builder
                .point("internal_gather")
                .tag("input", "cpu")
                .tag("alias", alias)
                .tag("version", "1.0")
                .tag("_id", id)
                .field("metrics_gathered", gathered)
                .field("gather_time_ns", time)
                .field("fill", gathered as f64 / 2.0)
                .field("state", "on")
                .field("bytes", gathered as u64)
                .finish(1)
                .unwrap();
        }
        builder.finish()
    }

    const STATUS: &str = "Name:\theadwater\nVmPeak:\t  9000 kB\nVmHWM:\t    4096 kB\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\nVmData:\t    8192 kB\n";
    const MEMSTATS: &str = "internal_memstats sys_bytes=8388608i,resident_bytes=2097152i,resident_max_bytes=4194304i,anonymous_bytes=1048576i 9";

    #[test]
    fn instances_are_summed() {
        let tree = Tree::of(&[("proc/self/status", STATUS)]);
        expect(
            &mut input(&tree, "", metrics()),
            9,
            &[
                "internal_agent,version=1.0 metrics_gathered=5i 9",
                "internal_gather,input=cpu,version=1.0 metrics_gathered=7i,gather_time_ns=20i,fill=3.5,state=\"on\",bytes=7u 9",
                "internal_gather,alias=other,input=cpu,version=1.0 metrics_gathered=8i,gather_time_ns=7i,fill=4,state=\"on\",bytes=8u 9",
                MEMSTATS,
            ],
        );
    }

    #[test]
    fn each_instance_for_itself() {
        let tree = Tree::of(&[]);
        let config = "per_instance = true\ncollect_memstats = false";
        let (collected, result) = input(&tree, config, metrics()).gather(9);
        result.unwrap();
        let points = collected.points();
        assert_eq!(points.len(), 5);
        assert_eq!(points[0], "internal_agent,version=1.0 metrics_gathered=5i 9");
        assert!(points[3].starts_with("internal_gather,_id=c,input=cpu,version=1.0 metrics_gathered=4i,gather_time_ns=31i,"), "{}", points[3]);
        assert!(points.iter().all(|point| point.ends_with(" 9")));
    }

    #[test]
    fn what_is_missing_costs_itself_alone() {
        let tree = Tree::of(&[("proc/self/status", "VmData:\t  8192 kB\nVmRSS:\t lots kB\n")]);
        expect_fault(
            &tree,
            &mut input(&tree, "", None),
            9,
            &["internal_memstats sys_bytes=8388608i 9"],
            "the agent gave no self-metrics; {}/proc/self/status: resident_bytes is \"lots\", which is not a number",
        );
        tree.remove("proc/self/status");
        let (collected, result) = input(&tree, "", metrics()).gather(9);
        assert_eq!(collected.points().len(), 3);
        assert!(result.unwrap_err().message().contains("No such file"));
        let (_, result) = input(&tree, "", None).gather(9);
        let error = result.unwrap_err();
        assert!(
            error.message().starts_with("the agent gave no self-metrics; "),
            "{}",
            error.message()
        );
    }

    #[test]
    fn there_is_no_go() {
        let tree = Tree::of(&[]);
        let error = tree.try_input::<Internal>("collect_gostats = true").err().unwrap();
        assert!(error.message().contains("no Go runtime"), "{}", error.message());
        assert!(tree.try_input::<Internal>("collect_gostats = false").is_ok());
    }
}
