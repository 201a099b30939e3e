//! Watches calls into plugins, so that one that never returns is noticed and worked around.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What one thread is doing.
#[derive(Default)]
pub struct CallSlot {
    /// The stage that is called, plus one; 0 for none.
    stage: AtomicUsize,
    since: AtomicU64,
    abandoned: AtomicBool,
    worker: AtomicBool,
    job: Mutex<Option<Box<dyn Abandon>>>,
}

/// What must happen if a thread does not come back from a call.
pub trait Abandon: Send {
    /// Settles what the thread held, and lets others go on.
    fn abandon(self: Box<Self>);
}

impl CallSlot {
    /// Whether this thread was given up: it must touch nothing shared any more.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Says that the thread is a worker's: it must be replaced if it does not come back.
    pub fn is_of_worker(&self) {
        self.worker.store(true, Ordering::Relaxed);
    }

    /// Sets what is to be done if the thread does not come back.
    pub fn begin(&self, job: Box<dyn Abandon>) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
    }

    /// The job is done. False if it was given up meanwhile.
    pub fn end(&self) -> bool {
        self.job.lock().unwrap_or_else(PoisonError::into_inner).take();
        !self.is_abandoned()
    }
}

/// A call that has taken too long.
pub struct Stuck {
    /// The stage that was called.
    pub stage: usize,
    /// Since when, in seconds.
    pub seconds: u64,
    /// Whether the thread is a worker's.
    pub worker: bool,
}

/// All threads that call plugins.
pub struct Calls {
    slots: Mutex<Vec<Weak<CallSlot>>>,
    /// Seconds since the start, moved on by the watchdog: calls need no clock of their own.
    seconds: AtomicU64,
    limit_s: u64,
    step_s: u64,
}

impl Calls {
    /// Calls may take so many seconds.
    pub fn new(limit_s: u64) -> Self {
        // An idle agent is to be woken seldom, so a long limit is kept less exactly.
        let step_s = (limit_s / 12).clamp(1, 5);
        Calls { slots: Mutex::default(), seconds: AtomicU64::new(1), limit_s, step_s }
    }

    /// How many seconds apart the ticks are to be.
    pub fn step_s(&self) -> u64 {
        self.step_s
    }

    /// A slot for a thread.
    pub fn slot(&self) -> Arc<CallSlot> {
        let slot = Arc::new(CallSlot::default());
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    /// Runs a call of a stage.
    #[inline]
    pub fn watch<R>(&self, slot: &CallSlot, stage: usize, run: impl FnOnce() -> R) -> R {
        let (outer, outer_since) =
            (slot.stage.load(Ordering::Relaxed), slot.since.load(Ordering::Relaxed));
        slot.since.store(self.seconds.load(Ordering::Relaxed), Ordering::Relaxed);
        slot.stage.store(stage + 1, Ordering::Release);
        let result = run();
        slot.stage.store(outer, Ordering::Release);
        slot.since.store(outer_since, Ordering::Relaxed);
        result
    }

    /// Moves the clock on by a step and finds calls that take too long; their threads are given up,
    /// their jobs abandoned.
    pub fn tick(&self) -> Vec<Stuck> {
        let now = self.seconds.fetch_add(self.step_s, Ordering::Relaxed) + self.step_s;
        let slots: Vec<Arc<CallSlot>> = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.iter().filter_map(Weak::upgrade).collect()
        };
        let mut stuck = Vec::new();
        for slot in slots {
            let stage = slot.stage.load(Ordering::Acquire);
            let seconds = now.saturating_sub(slot.since.load(Ordering::Relaxed));
            // It began up to a step after the tick that it remembers.
            if stage == 0 || seconds < self.limit_s + self.step_s || slot.is_abandoned() {
                continue;
            }
            slot.abandoned.store(true, Ordering::Release);
            let job = slot.job.lock().unwrap_or_else(PoisonError::into_inner).take();
            let worker = slot.worker.load(Ordering::Relaxed);
            stuck.push((Stuck { stage: stage - 1, seconds, worker }, job));
        }
        stuck
            .into_iter()
            .map(|(stuck, job)| {
                if let Some(job) = job {
                    job.abandon();
                }
                stuck
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told(Arc<AtomicBool>);

    impl Abandon for Told {
        fn abandon(self: Box<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[test]
    fn a_call_over_its_time_is_given_up_once() {
        let calls = Calls::new(2);
        let slot = calls.slot();
        let told = Arc::new(AtomicBool::new(false));
        slot.begin(Box::new(Told(Arc::clone(&told))));
        calls.watch(&slot, 4, || {
            assert!(calls.tick().is_empty());
            assert!(calls.tick().is_empty());
            let stuck = calls.tick();
            assert_eq!(stuck.len(), 1);
            assert_eq!(stuck[0].stage, 4);
            assert!(calls.tick().is_empty());
        });
        assert!(told.load(Ordering::Acquire));
        assert!(!slot.end());
    }

    #[test]
    fn a_long_limit_is_kept_to_some_seconds() {
        let calls = Calls::new(60);
        assert_eq!(calls.step_s(), 5);
        let slot = calls.slot();
        calls.watch(&slot, 4, || {
            // Twelve steps may be no more than 55 s of the call.
            assert!((0..12).all(|_| calls.tick().is_empty()));
            assert_eq!(calls.tick().len(), 1);
        });
    }

    #[test]
    fn quick_calls_are_left_alone() {
        let calls = Calls::new(2);
        let slot = calls.slot();
        for _ in 0..10 {
            calls.watch(&slot, 0, || assert!(calls.tick().is_empty()));
        }
        assert!(slot.end());
    }
}
