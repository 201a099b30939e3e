//! The agent's self-metrics: cells that whoever counts keeps, and their reading as a batch.
//!
//! A cell lives as long as the process, so that counting is one addition without a lock. Whoever
//! asks for a cell of the same identity (measurement, tags, field) counts on together with those
//! before: instances of equal type and alias are summed. Gauges are summed when they are read, each
//! instance sets one of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_plugin_api::batch::{Batch, BatchBuilder};

/// Series of self-metrics.
pub const SERIES_MAX: usize = 4096;

/// Fields of a series.
pub const FIELDS_MAX: usize = 256;

/// Gauges of one identity at a time.
pub const GAUGES_MAX: usize = 1024;

/// Bytes of a measurement, tag or field name, and of a tag's value.
pub const NAME_BYTES_MAX: usize = 1024;

/// The measurement of the agent's own numbers.
pub(super) const AGENT_MEASUREMENT: &str = "internal_agent";

/// Takes what is counted under a name for which there is no room.
static NOWHERE: AtomicU64 = AtomicU64::new(0);

/// A number that only grows. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Counter {
    cell: &'static AtomicU64,
    /// The sum over all instances, if there is one.
    total: Option<&'static AtomicU64>,
}

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.cell.fetch_add(n, Ordering::Relaxed);
        if let Some(total) = self.total {
            total.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.cell.load(Ordering::Relaxed)
    }

    /// The number itself.
    pub fn cell(&self) -> &'static AtomicU64 {
        self.cell
    }

    pub(super) fn with_total(mut self, total: Counter) -> Counter {
        self.total = Some(total.cell);
        self
    }
}

/// A number that goes up and down. It counts until it is dropped.
#[derive(Debug)]
pub struct Gauge(&'static GaugeSlot);

#[derive(Debug)]
struct GaugeSlot {
    /// An i64.
    value: AtomicU64,
    taken: AtomicBool,
}

impl Gauge {
    /// Sets it.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.value.store(value as u64, Ordering::Relaxed);
    }

    /// The number itself, an i64.
    pub fn cell(&self) -> &'static AtomicU64 {
        &self.0.value
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.set(0);
        self.0.taken.store(false, Ordering::Release);
    }
}

/// The mean duration since the last reading.
#[derive(Debug, Clone, Copy)]
pub struct MeanTime(&'static Mutex<Times>);

#[derive(Debug, Default)]
struct Times {
    sum_ns: u64,
    count: u64,
    last_mean_ns: u64,
}

impl MeanTime {
    /// Adds one duration.
    pub fn add(&self, took: Duration) {
        let mut times = locked(self.0);
        times.sum_ns =
            times.sum_ns.saturating_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        times.count += 1;
    }

    /// Reads the mean and begins anew. Without durations since the last reading it stays.
    fn read_ns(&self) -> u64 {
        let mut times = locked(self.0);
        if let Some(mean) = times.sum_ns.checked_div(times.count) {
            *times = Times { last_mean_ns: mean, ..Times::default() };
        }
        times.last_mean_ns
    }
}

/// All self-metrics.
pub struct Metrics {
    version: String,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    series: Vec<Series>,
    by_key: HashMap<String, usize>,
    refused: u64,
}

struct Series {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Cells)>,
}

enum Cells {
    Counter(&'static AtomicU64),
    Gauges(Vec<&'static GaugeSlot>),
    Mean(&'static Mutex<Times>),
}

impl Metrics {
    /// No metrics yet. `version` is the tag that all of them carry.
    pub fn new(version: &str) -> Metrics {
        Metrics { version: version.to_owned(), registry: Mutex::default() }
    }

    /// The counter of this identity. Tags without a value do not count.
    pub fn counter(&self, measurement: &str, tags: &[(&str, &str)], field: &str) -> Counter {
        let mut registry = locked(&self.registry);
        let make = || Cells::Counter(Box::leak(Box::default()));
        let cell = match registry.field(measurement, tags, field, make) {
            Some(&mut Cells::Counter(cell)) => cell,
            _ => registry.refuse(),
        };
        Counter { cell, total: None }
    }

    /// A gauge of this identity, the caller's own.
    pub fn gauge(&self, measurement: &str, tags: &[(&str, &str)], field: &str) -> Gauge {
        let mut registry = locked(&self.registry);
        let make = || Cells::Gauges(Vec::new());
        if let Some(Cells::Gauges(slots)) = registry.field(measurement, tags, field, make) {
            if let Some(free) = slots.iter().find(|s| !s.taken.swap(true, Ordering::Acquire)) {
                return Gauge(free);
            }
            if slots.len() < GAUGES_MAX {
                slots.push(new_slot());
                return Gauge(slots[slots.len() - 1]);
            }
        }
        registry.refuse();
        Gauge(new_unread_slot())
    }

    /// The mean of this identity.
    pub fn mean_time(&self, measurement: &str, tags: &[(&str, &str)], field: &str) -> MeanTime {
        let mut registry = locked(&self.registry);
        let make = || Cells::Mean(Box::leak(Box::default()));
        match registry.field(measurement, tags, field, make) {
            Some(&mut Cells::Mean(times)) => MeanTime(times),
            _ => {
                registry.refuse();
                static NOWHERE: Mutex<Times> =
                    Mutex::new(Times { sum_ns: 0, count: 0, last_mean_ns: 0 });
                MeanTime(&NOWHERE)
            }
        }
    }

    /// Room for the counters that one instance of a plugin asks for by name: measurement
    /// `internal_<plugin>`, told apart by kind (`input`) and alias, which may be "".
    pub fn of_instance(self: &Arc<Self>, kind: &str, plugin: &str, alias: &str) -> InstanceMetrics {
        InstanceMetrics {
            metrics: self.clone(),
            measurement: format!("internal_{plugin}"),
            kind: kind.to_owned(),
            alias: alias.to_owned(),
            gauges: Mutex::default(),
        }
    }

    /// Reads everything: one point for each measurement and set of tags. The means begin anew.
    pub fn snapshot(&self, now_ns: i64) -> Option<Batch> {
        let registry = locked(&self.registry);
        let mut builder = BatchBuilder::default();
        for series in &registry.series {
            let tags = series.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let mut point = builder.point(&series.measurement).tags(tags);
            point = point.tag("version", &self.version);
            for (name, cells) in &series.fields {
                point = point.field(name, cells.read());
            }
            if registry.refused > 0 && series.measurement == AGENT_MEASUREMENT {
                point = point.field("self_metrics_refused", to_i64(registry.refused));
            }
            // All is within the builder's bounds: names and counts have narrower ones here.
            let _ = point.finish(now_ns);
        }
        builder.finish()
    }
}

/// The numbers that one instance of a plugin asks for by name. Its gauges end with it.
pub struct InstanceMetrics {
    metrics: Arc<Metrics>,
    measurement: String,
    kind: String,
    alias: String,
    gauges: Mutex<HashMap<String, Gauge>>,
}

impl InstanceMetrics {
    /// The cell of a counter, or of a gauge (an i64): the same for the same name.
    pub fn cell(&self, name: &str, gauge: bool) -> &'static AtomicU64 {
        let tags = [("kind", self.kind.as_str()), ("alias", self.alias.as_str())];
        if !gauge {
            return self.metrics.counter(&self.measurement, &tags, name).cell();
        }
        let mut gauges = locked(&self.gauges);
        if let Some(gauge) = gauges.get(name) {
            return gauge.cell();
        }
        let gauge = self.metrics.gauge(&self.measurement, &tags, name);
        let cell = gauge.cell();
        if gauges.len() < FIELDS_MAX {
            gauges.insert(name.to_owned(), gauge);
        }
        cell
    }
}

impl Registry {
    fn field(
        &mut self,
        measurement: &str,
        tags: &[(&str, &str)],
        field: &str,
        make: impl FnOnce() -> Cells,
    ) -> Option<&mut Cells> {
        let texts = tags.iter().flat_map(|(key, value)| [*key, *value]);
        let mut texts = texts.chain([measurement, field]);
        if measurement.is_empty() || field.is_empty() || texts.any(|t| t.len() > NAME_BYTES_MAX) {
            return None;
        }
        let tags = || tags.iter().filter(|(_, value)| !value.is_empty());
        let mut key = format!("{}\0{measurement}", measurement.len());
        for (name, value) in tags() {
            key.push_str(&format!("\0{}\0{name}\0{}\0{value}", name.len(), value.len()));
        }
        let index = match self.by_key.get(&key) {
            Some(&index) => index,
            None if self.series.len() >= SERIES_MAX => return None,
            None => {
                self.series.push(Series {
                    measurement: measurement.to_owned(),
                    tags: tags().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
                    fields: Vec::new(),
                });
                self.by_key.insert(key, self.series.len() - 1);
                self.series.len() - 1
            }
        };
        let fields = &mut self.series[index].fields;
        let at = match fields.iter().position(|(name, _)| name == field) {
            Some(at) => at,
            None if fields.len() >= FIELDS_MAX => return None,
            None => {
                fields.push((field.to_owned(), make()));
                fields.len() - 1
            }
        };
        Some(&mut fields[at].1)
    }

    fn refuse(&mut self) -> &'static AtomicU64 {
        self.refused += 1;
        &NOWHERE
    }
}

impl Cells {
    fn read(&self) -> i64 {
        match self {
            Cells::Counter(cell) => to_i64(cell.load(Ordering::Relaxed)),
            Cells::Gauges(slots) => slots
                .iter()
                .map(|slot| slot.value.load(Ordering::Relaxed) as i64)
                .fold(0, i64::saturating_add),
            Cells::Mean(times) => to_i64(MeanTime(times).read_ns()),
        }
    }
}

fn new_slot() -> &'static GaugeSlot {
    Box::leak(Box::new(GaugeSlot { value: AtomicU64::new(0), taken: AtomicBool::new(true) }))
}

/// What a gauge beyond the bound sets. All of them share it.
fn new_unread_slot() -> &'static GaugeSlot {
    static SLOT: GaugeSlot = GaugeSlot { value: AtomicU64::new(0), taken: AtomicBool::new(true) };
    &SLOT
}

fn to_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::testkit::lines;

    const NOW: i64 = 1_000;

    fn read(metrics: &Metrics) -> Vec<String> {
        metrics.snapshot(NOW).map_or_else(Vec::new, |batch| lines(&[batch]))
    }

    #[test]
    fn nothing_is_no_batch() {
        assert!(Metrics::new("1").snapshot(NOW).is_none());
    }

    #[test]
    fn equal_identities_are_one_counter() {
        let metrics = Metrics::new("1.2");
        let a = metrics.counter("m", &[("alias", "a"), ("none", "")], "n");
        let again = metrics.counter("m", &[("alias", "a")], "n");
        let other = metrics.counter("m", &[("alias", "b")], "n");
        a.add(2);
        again.add(3);
        other.add(1);
        assert_eq!(a.get(), 5);
        assert_eq!(
            read(&metrics),
            ["m,alias=a,version=1.2 n=5i 1000", "m,alias=b,version=1.2 n=1i 1000"]
        );
        assert_eq!(read(&metrics).len(), 2, "reading a counter changes nothing");
    }

    #[test]
    fn parts_of_identities_do_not_run_into_each_other() {
        let metrics = Metrics::new("1");
        metrics.counter("m", &[("a", "b\0c")], "n").add(1);
        metrics.counter("m", &[("a", "b"), ("c", "d")], "n").add(1);
        metrics.counter("m\0a", &[], "n").add(1);
        assert_eq!(read(&metrics).len(), 3);
    }

    #[test]
    fn gauges_are_summed_and_end_with_their_owner() {
        let metrics = Metrics::new("1");
        let a = metrics.gauge("m", &[], "size");
        let b = metrics.gauge("m", &[], "size");
        a.set(5);
        b.set(-2);
        assert_eq!(read(&metrics), ["m,version=1 size=3i 1000"]);
        drop(a);
        assert_eq!(read(&metrics), ["m,version=1 size=-2i 1000"]);
        let c = metrics.gauge("m", &[], "size");
        c.set(1);
        assert_eq!(read(&metrics), ["m,version=1 size=-1i 1000"]);
        drop((b, c));
        assert_eq!(read(&metrics), ["m,version=1 size=0i 1000"]);
    }

    #[test]
    fn means_begin_anew_at_each_reading() {
        let metrics = Metrics::new("1");
        let mean = metrics.mean_time("m", &[], "time_ns");
        assert_eq!(read(&metrics), ["m,version=1 time_ns=0i 1000"]);
        mean.add(Duration::from_nanos(10));
        metrics.mean_time("m", &[], "time_ns").add(Duration::from_nanos(31));
        assert_eq!(read(&metrics), ["m,version=1 time_ns=20i 1000"]);
        assert_eq!(read(&metrics), ["m,version=1 time_ns=20i 1000"]);
        mean.add(Duration::from_nanos(7));
        assert_eq!(read(&metrics), ["m,version=1 time_ns=7i 1000"]);
        mean.add(Duration::MAX);
        mean.add(Duration::MAX);
        assert_eq!(read(&metrics).len(), 1);
    }

    #[test]
    fn what_a_plugin_counts_is_its_own() {
        let metrics = Arc::new(Metrics::new("1"));
        let first = metrics.of_instance("input", "tail", "");
        let second = metrics.of_instance("input", "tail", "");
        let output = metrics.of_instance("output", "tail", "x");
        first.cell("lines", false).fetch_add(1, Ordering::Relaxed);
        second.cell("lines", false).fetch_add(2, Ordering::Relaxed);
        output.cell("lines", false).fetch_add(4, Ordering::Relaxed);
        first.cell("files", true).store(3, Ordering::Relaxed);
        first.cell("files", true).store(4, Ordering::Relaxed);
        second.cell("files", true).store(6, Ordering::Relaxed);
        assert_eq!(
            read(&metrics),
            [
                "internal_tail,kind=input,version=1 lines=3i,files=10i 1000",
                "internal_tail,alias=x,kind=output,version=1 lines=4i 1000",
            ]
        );
        drop(first);
        assert_eq!(read(&metrics)[0], "internal_tail,kind=input,version=1 lines=3i,files=6i 1000");
    }

    #[test]
    fn one_name_is_one_kind() {
        let metrics = Metrics::new("1");
        metrics.counter("m", &[], "n").add(1);
        metrics.gauge("m", &[], "n").set(100);
        metrics.mean_time("m", &[], "n").add(Duration::from_secs(1));
        assert_eq!(read(&metrics), ["m,version=1 n=1i 1000"]);
    }

    #[test]
    fn memory_is_bounded_and_overflow_is_told() {
        let metrics = Metrics::new("1");
        metrics.counter(AGENT_MEASUREMENT, &[], "n");
        for n in 0..SERIES_MAX + 10 {
            metrics.counter("m", &[("n", &n.to_string())], "n").add(1);
        }
        for n in 0..FIELDS_MAX + 10 {
            metrics.counter("m", &[("n", "0")], &n.to_string()).add(1);
        }
        let gauges: Vec<Gauge> =
            (0..GAUGES_MAX + 10).map(|_| metrics.gauge("m", &[("n", "1")], "gauge")).collect();
        gauges.iter().for_each(|gauge| gauge.set(1));
        metrics.counter("m", &[("n", "1")], &"x".repeat(NAME_BYTES_MAX + 1)).add(1);
        metrics.counter("", &[], "n").add(1);
        metrics.counter("m", &[("n", "1")], "").add(1);
        let lines = read(&metrics);
        assert_eq!(lines.len(), SERIES_MAX);
        // 11 series, 11 fields (series 0 had one before), 10 gauges, 3 names.
        assert_eq!(lines[0], "internal_agent,version=1 n=0i,self_metrics_refused=35i 1000");
        assert_eq!(lines[2], "m,n=1,version=1 n=1i,gauge=1024i 1000");
    }
}
