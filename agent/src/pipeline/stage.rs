//! Processors and aggregators as the pipeline runs them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_plugin_api::abi::instance::{AggregatorInstance, ProcessorInstance};
use headwater_plugin_api::abi::serve::{self, SinkTarget};
use headwater_plugin_api::abi::shared::SharedProcessor;
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Context, Control, Error, ErrorKind};
use tokio::sync::Notify;

use crate::observe::{Counter, Log};

use super::modify::Shaping;
use super::shared::SharedSlot;
use super::slot::{CallError, Slot, back_off};

/// The counters of a processor or aggregator.
pub struct StageCounters {
    /// Failed calls.
    pub errors: Counter,
    /// Points that a failed call cost.
    pub dropped: Counter,
    /// Points that went past, by the selectors.
    pub filtered: Counter,
    /// Points that came out of windows.
    pub pushed: Counter,
    /// Time of the ticks, in nanoseconds.
    pub push_time_ns: Counter,
}

/// Makes an instance that is ready to work.
pub type Maker<I> = Box<dyn Fn() -> Result<I, Error> + Send + Sync>;

/// How a processor's instances are kept.
pub enum Instances {
    /// One for each worker: what it does to a batch depends on that batch alone.
    EachWorker(Maker<ProcessorInstance>),
    /// One, whose calls wait for each other.
    One(Slot<ProcessorInstance>),
    /// One that workers give batches to at the same time. Batches of one source overtake each other
    /// on their way to it: it is told how far each has come before anything else.
    Shared(SharedSlot<SharedProcessor>, Reached),
}

impl Instances {
    /// Whether workers go through the stage side by side.
    pub fn is_side_by_side(&self) -> bool {
        matches!(self, Instances::EachWorker(_) | Instances::Shared(..))
    }

    /// Whether the stage is told of time and sources.
    pub fn has_state(&self) -> bool {
        matches!(self, Instances::One(_) | Instances::Shared(..))
    }

    /// Gives up on the calls that run.
    pub fn declare_stuck(&self) {
        match self {
            Instances::EachWorker(_) => {}
            Instances::One(slot) => slot.declare_stuck(),
            Instances::Shared(slot, _) => slot.declare_stuck(),
        }
    }
}

/// How far sources have come whose batches overtake each other: what is to be told to the instance.
///
/// A replay may be so quick that the stage wants to hear of it before its timer would: it then ticks
/// after every so many batches, fewer as long as its ticks ask to be called again at once.
pub struct Reached {
    times: Mutex<HashMap<u64, i64>>,
    /// Batches since the last tick.
    batches: AtomicU32,
    /// After how many it is to tick.
    every: AtomicU32,
}

impl Default for Reached {
    fn default() -> Self {
        Reached { times: Mutex::default(), batches: AtomicU32::new(0), every: AtomicU32::new(1) }
    }
}

impl Reached {
    /// How many batches may pass before a tick.
    const BATCHES: u32 = 1024;

    /// The turn of a source's batch with points up to this time has come. Whether the stage is to
    /// tick now.
    pub fn note(&self, origin: u64, time_ns: i64) -> bool {
        let mut all = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let time = all.entry(origin).or_insert(time_ns);
        *time = time_ns.max(*time);
        drop(all);
        let batches = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
        batches >= self.every.load(Ordering::Relaxed)
    }

    /// A tick is over; whether it asked for more of them.
    pub fn ticked(&self, more: bool) {
        let batches = self.batches.swap(0, Ordering::Relaxed);
        let every = self.every.load(Ordering::Relaxed);
        if more {
            self.every.store((batches / 4).max(1), Ordering::Relaxed);
        } else if batches >= every {
            self.every.store((every * 2).min(Self::BATCHES), Ordering::Relaxed);
        }
    }

    /// Tells it all to an instance.
    ///
    /// # Errors
    /// The plugin's.
    pub fn tell(
        &self,
        instance: &mut SharedProcessor,
        cx: &Context<'_>,
        sink: &mut Collect,
    ) -> Result<(), Error> {
        let all = std::mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_iter().try_for_each(|(origin, time_ns)| {
            let message = Control::Reached { origin, time_ns };
            serve::with_sink(sink, |sink| instance.control(cx, message, sink))
        })
    }
}

/// When a stage with a clock wants to be called.
#[derive(Default)]
pub struct Timer {
    /// Nanoseconds since the epoch; `i64::MAX` for never.
    next_ns: AtomicI64,
    /// Whether data came since the last tick.
    fed: AtomicBool,
    changed: Notify,
}

impl Timer {
    /// Notes that data came; a sleeping timer hears of it.
    pub fn feed(&self) {
        if !self.fed.swap(true, Ordering::AcqRel) {
            self.changed.notify_one();
        }
    }

    /// Notes what a tick answered.
    pub fn ticked(&self, next_ns: Option<i64>) {
        self.next_ns.store(next_ns.unwrap_or(i64::MAX), Ordering::Release);
    }

    /// Whether the last tick asked for another one.
    pub fn is_set(&self) -> bool {
        !matches!(self.next_ns.load(Ordering::Acquire), 0 | i64::MAX)
    }

    /// A tick begins.
    pub fn begin(&self) {
        self.fed.store(false, Ordering::Release);
    }

    /// When to tick next: what the stage said, or within `soon_ns` if data came since.
    pub fn next(&self, now_ns: i64, soon_ns: i64) -> i64 {
        let next = self.next_ns.load(Ordering::Acquire);
        if self.fed.load(Ordering::Acquire) {
            next.min(now_ns.saturating_add(soon_ns))
        } else {
            next
        }
    }

    /// Waits until data comes after a tick.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// One processor.
pub struct ProcessorStage {
    /// The log in its name.
    pub log: Log,
    /// Its number among all stages that are watched.
    pub number: usize,
    /// Whether its batches are checked.
    pub checks: bool,
    /// Its selectors and modifiers.
    pub shaping: Shaping,
    /// Its counters.
    pub counters: StageCounters,
    /// Its instances.
    pub instances: Instances,
    /// When it wants to tick.
    pub timer: Timer,
}

/// One aggregator.
pub struct AggregatorStage {
    /// The log in its name.
    pub log: Log,
    /// Its number among all stages that are watched.
    pub number: usize,
    /// Whether its batches are checked.
    pub checks: bool,
    /// What it takes; its tags and names are for what it emits.
    pub selectors: Shaping,
    /// What happens to what it emits.
    pub emitted: Shaping,
    /// Whether points that were aggregated go no further.
    pub drop_original: bool,
    /// Its counters.
    pub counters: StageCounters,
    /// Its instance.
    pub instance: Slot<AggregatorInstance>,
    /// When it wants to tick.
    pub timer: Timer,
}

/// A worker's own instance of a stateless stage, parser or serializer.
pub struct Own<I> {
    instance: Option<I>,
    failures: u32,
    not_before: Option<Instant>,
}

impl<I> Default for Own<I> {
    fn default() -> Self {
        Own { instance: None, failures: 0, not_before: None }
    }
}

impl<I> Own<I> {
    /// The instance, made if there is none.
    ///
    /// # Errors
    /// It waits for its restart, or cannot be made.
    pub fn get(&mut self, make: &dyn Fn() -> Result<I, Error>) -> Result<&mut I, CallError> {
        if self.instance.is_none() {
            if self.not_before.is_some_and(|not_before| Instant::now() < not_before) {
                return Err(CallError::Unavailable("it restarts after a panic".into()));
            }
            match make() {
                Ok(instance) => self.instance = Some(instance),
                Err(error) => {
                    self.failed();
                    return Err(CallError::Unavailable(error.to_string()));
                }
            }
        }
        match &mut self.instance {
            Some(instance) => Ok(instance),
            None => Err(CallError::Unavailable("it could not be made".into())),
        }
    }

    fn failed(&mut self) {
        self.not_before = Some(Instant::now() + back_off(self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    /// Calls the instance; a panic costs it.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call<R>(
        &mut self,
        make: &dyn Fn() -> Result<I, Error>,
        run: impl FnOnce(&mut I) -> Result<R, Error>,
    ) -> Result<R, CallError> {
        match run(self.get(make)?) {
            Ok(result) => {
                self.failures = 0;
                Ok(result)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Panicked) => {
                self.instance = None;
                self.failed();
                Err(CallError::Panicked(error.to_string()))
            }
            Err(error) => Err(CallError::Plugin(error)),
        }
    }
}

/// Takes what a stage pushes.
pub struct Collect {
    /// What was pushed.
    pub batches: Vec<Batch>,
    /// Whether batches are checked.
    pub checks: bool,
    /// What was wrong with a batch that was not taken.
    pub malformed: Option<Malformed>,
}

impl SinkTarget for Collect {
    fn checks(&self) -> bool {
        self.checks
    }

    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.batches.push(batch);
        Ok(())
    }

    fn malformed(&mut self, malformed: Malformed) {
        self.malformed.get_or_insert(malformed);
    }
}
