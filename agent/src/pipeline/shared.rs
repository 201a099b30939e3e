//! A slot whose instance several threads call at the same time. As with [`Slot`](super::slot::Slot)
//! a panic costs the instance, which is made anew with back-off, and one whose call never returns is
//! replaced.
//!
//! Calls are shared or exclusive. One that is to be exclusive waits for those that run and lets no
//! new one begin, so that a stream of shared calls cannot keep it out for ever.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use headwater_plugin_api::plugin::{Error, ErrorKind};

use super::slot::{CallError, REPLACEMENTS, back_off};

struct State<I> {
    instance: Option<Arc<I>>,
    /// Shared calls that run.
    shared: usize,
    /// An exclusive call runs, or an instance is made.
    exclusive: bool,
    /// Exclusive calls that wait.
    waiting: usize,
    /// Counts the replacements: what began before one does not count.
    generation: u64,
    failures: u32,
    not_before: Option<Instant>,
    given_up: Option<String>,
}

type Make<I> = Box<dyn Fn() -> Result<I, Error> + Send + Sync>;

/// One instance and how to make another.
pub struct SharedSlot<I> {
    make: Make<I>,
    state: Mutex<State<I>>,
    changed: Condvar,
}

impl<I: Send + Sync> SharedSlot<I> {
    /// A slot whose first instance was made already.
    pub fn new(first: Option<I>, make: Make<I>) -> Self {
        SharedSlot {
            make,
            state: Mutex::new(State {
                instance: first.map(Arc::new),
                shared: 0,
                exclusive: false,
                waiting: 0,
                generation: 0,
                failures: 0,
                not_before: None,
                given_up: None,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<I>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the instance while others may do the same.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call_shared<R>(&self, run: impl FnOnce(&I) -> Result<R, Error>) -> Result<R, CallError> {
        let mut state = self.lock();
        while state.exclusive || state.waiting > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.instance.is_none() {
            state.exclusive = true;
            let generation = state.generation;
            let (made, entered) = self.made(state);
            state = entered;
            if state.generation == generation {
                state.exclusive = false;
                self.changed.notify_all();
            }
            made?;
        }
        let Some(instance) = state.instance.clone() else { return Err(CallError::TooLate) };
        state.shared += 1;
        let generation = state.generation;
        drop(state);
        let result = run(&instance);
        let mut state = self.lock();
        if state.generation != generation {
            drop(state);
            return Err(CallError::TooLate);
        }
        let ended = Self::end(&mut state, Some(&instance), result);
        // Whoever comes next may want it alone: it is given back before that is told.
        let left = match &state.instance {
            Some(current) if Arc::ptr_eq(current, &instance) => {
                drop(instance);
                None
            }
            _ => Some(instance),
        };
        state.shared -= 1;
        drop(state);
        self.changed.notify_all();
        // The last one that has an instance which was given up ends it, outside of the lock.
        drop(left);
        ended
    }

    /// Calls the instance alone.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call<R>(&self, run: impl FnOnce(&mut I) -> Result<R, Error>) -> Result<R, CallError> {
        let mut state = self.lock();
        state.waiting += 1;
        while state.exclusive || state.shared > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        state.exclusive = true;
        let generation = state.generation;
        let (made, entered) = self.made(state);
        state = entered;
        let instance = match made {
            Ok(()) => state.instance.take(),
            Err(error) => {
                if state.generation == generation {
                    state.exclusive = false;
                }
                drop(state);
                self.changed.notify_all();
                return Err(error);
            }
        };
        drop(state);
        let Some(mut instance) = instance else { return Err(CallError::TooLate) };
        // No shared call of this generation runs: nobody else has it.
        let result = match Arc::get_mut(&mut instance) {
            Some(instance) => run(instance),
            None => Err(Error::failed("its instance is still called by others")),
        };
        let mut state = self.lock();
        if state.generation != generation {
            drop(state);
            return Err(CallError::TooLate);
        }
        state.instance = Some(instance);
        state.exclusive = false;
        let ended = Self::end(&mut state, None, result);
        drop(state);
        self.changed.notify_all();
        ended
    }

    /// Makes an instance if there is none; the caller has set `exclusive`. Whether there is one now,
    /// and no other took its place meanwhile.
    fn made<'s>(
        &'s self,
        state: MutexGuard<'s, State<I>>,
    ) -> (Result<(), CallError>, MutexGuard<'s, State<I>>) {
        if let Some(reason) = &state.given_up {
            let error = CallError::Unavailable(reason.clone());
            return (Err(error), state);
        }
        if state.instance.is_some() {
            return (Ok(()), state);
        }
        if state.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return (Err(CallError::Unavailable("it restarts after a panic".into())), state);
        }
        let generation = state.generation;
        drop(state);
        let made = (self.make)();
        let mut state = self.lock();
        if state.generation != generation {
            return (Err(CallError::TooLate), state);
        }
        match made {
            Ok(made) => {
                state.instance = Some(Arc::new(made));
                (Ok(()), state)
            }
            Err(error) => {
                Self::failed(&mut state);
                (Err(CallError::Unavailable(error.to_string())), state)
            }
        }
    }

    fn failed(state: &mut State<I>) {
        state.not_before = Some(Instant::now() + back_off(state.failures));
        state.failures += 1;
    }

    /// Takes note of what came of a call: a panic costs the instance, unless that is gone already.
    fn end<R>(
        state: &mut State<I>,
        of: Option<&Arc<I>>,
        result: Result<R, Error>,
    ) -> Result<R, CallError> {
        match result {
            Ok(result) => {
                state.failures = 0;
                state.not_before = None;
                Ok(result)
            }
            Err(error) if matches!(error.kind(), ErrorKind::Panicked) => {
                let current = state.instance.as_ref();
                if of.is_none_or(|of| current.is_some_and(|current| Arc::ptr_eq(current, of))) {
                    state.instance = None;
                    Self::failed(state);
                }
                Err(CallError::Panicked(error.to_string()))
            }
            Err(error) => Err(CallError::Plugin(error)),
        }
    }

    /// Gives up on the calls that run: the instance will be dropped when they return, another is
    /// made at the next call. After a few such calls the plugin is given up.
    pub fn declare_stuck(&self) {
        let mut state = self.lock();
        if state.shared == 0 && !state.exclusive {
            return;
        }
        state.generation += 1;
        (state.shared, state.exclusive) = (0, false);
        let instance = state.instance.take();
        if state.generation > u64::from(REPLACEMENTS) {
            state.given_up =
                Some(format!("{REPLACEMENTS} replacements of it never returned from a call"));
        }
        drop(state);
        self.changed.notify_all();
        drop(instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::sync::mpsc;

    fn slot() -> SharedSlot<u32> {
        let made = AtomicU32::new(0);
        SharedSlot::new(None, Box::new(move || Ok(made.fetch_add(1, Ordering::Relaxed))))
    }

    fn boom<R>() -> Result<R, Error> {
        Err(Error::new(ErrorKind::Panicked, "boom"))
    }

    #[test]
    fn shared_calls_overlap() {
        let slot = slot();
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let call = slot.call_shared(|instance| {
                        both.wait();
                        Ok(*instance)
                    });
                    assert_eq!(call.unwrap(), 0);
                });
            }
        });
    }

    #[test]
    fn an_exclusive_call_is_alone_and_gets_its_turn_under_a_stream_of_shared_ones() {
        let slot = slot();
        let (stop, running) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let call = slot.call_shared(|_| {
                            running.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            running.fetch_sub(1, Ordering::SeqCst);
                            Ok(())
                        });
                        call.unwrap();
                    }
                });
            }
            for round in 0..200 {
                let alone = slot.call(|instance| {
                    *instance = round;
                    Ok(running.load(Ordering::SeqCst))
                });
                assert_eq!(alone.unwrap(), 0);
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(slot.call_shared(|instance| Ok(*instance)).unwrap(), 199);
    }

    #[test]
    fn a_shared_call_that_panics_leaves_the_others_their_instance() {
        struct Told(mpsc::Sender<()>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let make = move || Ok(Told(tell.lock().unwrap().clone()));
        let slot = SharedSlot::new(None, Box::new(make));
        let other = slot.call_shared(|_| {
            let panicked = slot.call_shared(|_| boom::<()>());
            assert!(matches!(panicked, Err(CallError::Panicked(text)) if text == "boom"));
            assert!(told.try_recv().is_err(), "it is still called");
            assert!(matches!(slot.call_shared(|_| Ok(())), Err(CallError::Unavailable(_))));
            Ok(())
        });
        other.unwrap();
        told.recv().unwrap();
        slot.lock().not_before = None;
        slot.call(|_| Ok(())).unwrap();
    }

    #[test]
    fn an_exclusive_call_that_panics_costs_the_instance_and_a_pause() {
        let slot = slot();
        assert!(matches!(slot.call(|_| boom::<()>()), Err(CallError::Panicked(_))));
        assert!(matches!(slot.call(|_| Ok(())), Err(CallError::Unavailable(_))));
        slot.lock().not_before = None;
        assert_eq!(slot.call(|instance| Ok(*instance)).unwrap(), 1);
    }

    #[test]
    fn stuck_calls_are_replaced_and_their_late_results_do_not_count() {
        let slot = slot();
        for round in 0..REPLACEMENTS {
            let late = slot.call_shared(|_| {
                slot.declare_stuck();
                slot.call(|instance| Ok(*instance)).map_err(|_| Error::failed("none"))
            });
            assert!(matches!(late, Err(CallError::TooLate)), "{round}");
        }
        let late = slot.call(|_| {
            slot.declare_stuck();
            Ok(())
        });
        assert!(matches!(late, Err(CallError::TooLate)));
        assert!(matches!(slot.call_shared(|_| Ok(())), Err(CallError::Unavailable(_))));
        assert!(matches!(slot.call(|_| Ok(())), Err(CallError::Unavailable(_))));
    }
}
