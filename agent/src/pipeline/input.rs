//! One input, and what happens to points that it brings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_plugin_api::abi::instance::ParserInstance;
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;

use crate::delivery::Settlements;
use crate::observe::{Counter, GatherMetrics, Log, ParserMetrics};

use super::core::Core;
use super::modify::Shaping;
use super::source::SourceState;
use super::stage::Maker;

/// How many refused records are shown one by one within [`SHOWN_WINDOW_NS`], if not all are.
const SHOWN_BAD: u64 = 20;
const SHOWN_WINDOW_NS: i64 = 10_000_000_000;

/// One input.
pub struct Input {
    /// Its place among the inputs.
    pub index: usize,
    /// Its number among all that is watched.
    pub number: usize,
    /// The log in its name.
    pub log: Log,
    /// Its options' effect on points.
    pub shaping: Shaping,
    /// Times are rounded to this; 0 or 1 for not at all.
    pub precision_ns: i64,
    /// Whether its batches are checked.
    pub checks: bool,
    /// How its parser is made, if it brings bytes.
    pub parser: Option<Maker<ParserInstance>>,
    /// Whether the parser's texts may be cut between records.
    pub splittable: bool,
    /// The longest record.
    pub max_line_bytes: usize,
    /// How many refused records of a chunk are kept for showing.
    pub bad_lines_shown: usize,
    /// The parser's counters, over all inputs.
    pub parser_counters: Option<ParserMetrics>,
    /// Its counters.
    pub counters: GatherMetrics,
    /// Datagrams that the kernel dropped.
    pub datagrams_dropped: Counter,
    /// What became of its data, on the way back.
    pub settlements: Arc<Settlements>,
    /// Sources whose chunk's thread was given up.
    pub given_up: Mutex<Vec<(Arc<SourceState>, u64)>>,
    /// Refused records shown, and since when.
    pub shown: Mutex<Shown>,
}

/// The limit on shown records.
#[derive(Default)]
pub struct Shown {
    since_ns: i64,
    count: u64,
    /// Records that were not shown, by source.
    unseen: BTreeMap<String, u64>,
}

impl Input {
    /// Whether one more refused record may be shown.
    pub fn may_show_bad(&self, core: &Core) -> bool {
        if self.bad_lines_shown == usize::MAX {
            return true;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let now = core.clock.now_ns();
        if now.saturating_sub(shown.since_ns) > SHOWN_WINDOW_NS {
            shown.since_ns = now;
            shown.count = 0;
        }
        shown.count += 1;
        shown.count <= SHOWN_BAD
    }

    /// Notes records that were not shown.
    pub fn bad_unseen(&self, count: u64, source: &str) {
        if count == 0 {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.unseen.len() < 64 || shown.unseen.contains_key(source) {
            *shown.unseen.entry(source.to_owned()).or_default() += count;
        } else {
            *shown.unseen.entry("other sources".to_owned()).or_default() += count;
        }
    }

    /// Tells, from time to time, of records that were not shown.
    pub fn tell_unseen(&self) {
        let unseen = {
            let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut shown.unseen)
        };
        for (source, count) in unseen {
            let name = if source.is_empty() { "pushed bytes" } else { &source };
            self.log.error(format_args!(
                "{name}: {count} more records were refused; show_bad_lines = \"all\" in [agent] \
                 shows each"
            ));
        }
    }

    /// Counts datagrams that were dropped.
    pub fn lost(&self, count: u64, source: &str) {
        self.datagrams_dropped.add(count);
        self.log.warn(format_args!("{source}: datagrams were dropped before they could be read"));
    }

    /// A chunk's thread was given up: the chunk is to be passed over.
    pub fn abandoned(&self, source: Arc<SourceState>, sequence: u64) {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner).push((source, sequence));
    }

    /// Counts what a parser did with a text.
    pub fn parsed(&self, batches: &[Batch], failed: bool, took: Duration) {
        let Some(counters) = &self.parser_counters else { return };
        counters.metrics_parsed.add(batches.iter().map(|batch| batch.len() as u64).sum());
        counters.parse_time_ns.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        if failed {
            counters.errors.add(1);
        }
    }

    /// A batch of this input was malformed.
    pub fn malformed(&self, malformed: &Malformed) {
        self.counters.errors.add(1);
        self.log.error(format_args!("it pushed a {malformed}; its points are lost"));
    }
}
