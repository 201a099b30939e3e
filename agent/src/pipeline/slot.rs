//! A slot holds one instance of a plugin: it serialises calls, restarts the instance after a panic
//! with back-off, and replaces it when a call never returns.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_plugin_api::plugin::{Error, ErrorKind};

/// The longest wait before another instance is made.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// How often a stuck instance is replaced before the plugin is given up.
pub const REPLACEMENTS: u32 = 3;

/// Why a call was not made, or gave nothing.
#[derive(Debug)]
pub enum CallError {
    /// The plugin answered with an error.
    Plugin(Error),
    /// The call panicked; the instance is gone.
    Panicked(String),
    /// There is no instance: it waits for its restart, or was given up. The reason.
    Unavailable(String),
    /// The call was declared stuck before it returned; its result does not count.
    TooLate,
}

/// Wait times that double from 100 ms to 30 s.
pub fn back_off(failures: u32) -> Duration {
    Duration::from_millis(100).saturating_mul(1 << failures.min(16)).min(LONGEST_BACK_OFF)
}

struct State<I> {
    instance: Option<I>,
    busy: bool,
    generation: u64,
    failures: u32,
    not_before: Option<Instant>,
    replacements: u32,
    given_up: Option<String>,
}

type Make<I> = Box<dyn Fn() -> Result<I, Error> + Send + Sync>;

/// One instance and how to make another.
pub struct Slot<I> {
    make: Make<I>,
    state: Mutex<State<I>>,
    free: Condvar,
}

impl<I: Send> Slot<I> {
    /// A slot whose first instance was made already.
    pub fn new(first: Option<I>, make: Make<I>) -> Self {
        Slot {
            make,
            state: Mutex::new(State {
                instance: first,
                busy: false,
                generation: 0,
                failures: 0,
                not_before: None,
                replacements: 0,
                given_up: None,
            }),
            free: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the instance; calls on one slot wait for each other.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call<R>(&self, run: impl FnOnce(&mut I) -> Result<R, Error>) -> Result<R, CallError> {
        let mut state = self.lock();
        while state.busy {
            state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(reason) = &state.given_up {
            return Err(CallError::Unavailable(reason.clone()));
        }
        let mut instance = state.instance.take();
        if instance.is_none()
            && let Some(not_before) = state.not_before
            && Instant::now() < not_before
        {
            return Err(CallError::Unavailable("it restarts after a panic".into()));
        }
        state.busy = true;
        let generation = state.generation;
        drop(state);
        if instance.is_none() {
            match (self.make)() {
                Ok(made) => instance = Some(made),
                Err(error) => {
                    self.give_back(generation, None, true);
                    return Err(CallError::Unavailable(error.to_string()));
                }
            }
        }
        let Some(mut instance) = instance else { unreachable!("it was made above") };
        let result = run(&mut instance);
        let panicked = matches!(&result, Err(error) if matches!(error.kind(), ErrorKind::Panicked));
        let kept = if panicked {
            drop(instance);
            None
        } else {
            Some(instance)
        };
        if !self.give_back(generation, kept, panicked) {
            return Err(CallError::TooLate);
        }
        result.map_err(|error| match error.kind() {
            ErrorKind::Panicked => CallError::Panicked(error.to_string()),
            _ => CallError::Plugin(error),
        })
    }

    /// Puts the instance back. False if the call was declared stuck meanwhile.
    fn give_back(&self, generation: u64, instance: Option<I>, failed: bool) -> bool {
        let mut state = self.lock();
        if state.generation != generation {
            drop(state);
            drop(instance);
            return false;
        }
        state.instance = instance;
        state.busy = false;
        if failed {
            state.not_before = Some(Instant::now() + back_off(state.failures));
            state.failures += 1;
        } else {
            state.failures = 0;
            state.not_before = None;
        }
        drop(state);
        self.free.notify_one();
        true
    }

    /// Gives up on the call that runs: its instance will be dropped when it returns, another is made
    /// at the next call. After a few such calls the plugin is given up.
    pub fn declare_stuck(&self) {
        let mut state = self.lock();
        if !state.busy {
            return;
        }
        state.generation += 1;
        state.busy = false;
        state.instance = None;
        state.replacements += 1;
        if state.replacements > REPLACEMENTS {
            state.given_up =
                Some(format!("{REPLACEMENTS} replacements of it never returned from a call"));
        }
        drop(state);
        self.free.notify_all();
    }

    /// Whether the plugin was given up.
    pub fn is_given_up(&self) -> bool {
        self.lock().given_up.is_some()
    }

    /// Takes the instance out for good, if no call runs.
    pub fn take(&self) -> Option<I> {
        let mut state = self.lock();
        state.given_up = Some("the agent stops".into());
        state.instance.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn slot() -> (Arc<AtomicU32>, Slot<u32>) {
        let made = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&made);
        let slot = Slot::new(None, Box::new(move || Ok(count.fetch_add(1, Ordering::Relaxed))));
        (made, slot)
    }

    #[test]
    fn an_instance_serves_call_after_call() {
        let (made, slot) = slot();
        for _ in 0..3 {
            assert_eq!(slot.call(|instance| Ok(*instance)).unwrap(), 0);
        }
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_panic_costs_the_instance_and_a_pause() {
        let (made, slot) = slot();
        let panicked = slot.call::<()>(|_| Err(Error::new(ErrorKind::Panicked, "boom")));
        assert!(matches!(panicked, Err(CallError::Panicked(text)) if text == "boom"));
        assert!(matches!(slot.call(|_| Ok(())), Err(CallError::Unavailable(_))));
        slot.lock().not_before = None;
        assert_eq!(slot.call(|instance| Ok(*instance)).unwrap(), 1);
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_stuck_call_is_replaced_and_its_late_result_does_not_count() {
        let (_, slot) = slot();
        for round in 0..REPLACEMENTS {
            let late = slot.call(|_| {
                slot.declare_stuck();
                Ok(slot.call(|instance| Ok(*instance)).unwrap())
            });
            assert!(matches!(late, Err(CallError::TooLate)), "{round}");
        }
        let _ = slot.call(|_| {
            slot.declare_stuck();
            Ok(())
        });
        assert!(slot.is_given_up());
    }

    #[test]
    fn waits_double_and_end() {
        assert_eq!(back_off(0), Duration::from_millis(100));
        assert_eq!(back_off(3), Duration::from_millis(800));
        assert_eq!(back_off(40), LONGEST_BACK_OFF);
    }
}
