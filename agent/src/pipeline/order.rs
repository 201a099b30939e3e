//! Puts a source's chunks back into order after workers have worked on them side by side.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Work that was done out of order waits here for its turn. Whoever finds its turn come goes on
/// with it, and with what waited behind it, without holding the lock.
pub struct Order<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    next: u64,
    draining: bool,
    generation: u64,
    parked: BTreeMap<u64, T>,
    /// Somebody waits until the turn has moved on.
    waits: bool,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Order {
            state: Mutex::new(State {
                next: 0,
                draining: false,
                generation: 0,
                parked: BTreeMap::new(),
                waits: false,
            }),
        }
    }
}

impl<T> Order<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands in the work of number `sequence` and goes on, in order, with all whose turn has come,
    /// unless another thread does so already. `wake` is called when the turn has moved on and
    /// somebody waits for that, see [`is_ahead`](Self::is_ahead).
    pub fn complete(&self, sequence: u64, work: T, mut go_on: impl FnMut(T), wake: impl Fn()) {
        let mut state = self.lock();
        if sequence < state.next {
            // It was given up meanwhile.
            return;
        }
        state.parked.insert(sequence, work);
        if state.draining {
            return;
        }
        let generation = state.generation;
        loop {
            let next = state.next;
            let Some(work) = state.parked.remove(&next) else {
                state.draining = false;
                return;
            };
            state.draining = true;
            state.next += 1;
            let waits = std::mem::take(&mut state.waits);
            drop(state);
            if waits {
                wake();
            }
            go_on(work);
            state = self.lock();
            if state.generation != generation {
                // This thread was stuck in `go_on` and somebody else took over.
                return;
            }
        }
    }

    /// Whether a number is so many or more ahead of the one whose turn it is. If so, whoever moves
    /// the turn on next wakes the caller: both happen under one lock, so that no wake is missed.
    pub fn is_ahead(&self, sequence: u64, by: u64) -> bool {
        let mut state = self.lock();
        let ahead = sequence.saturating_sub(state.next) >= by;
        state.waits |= ahead;
        ahead
    }

    /// Gives up the work of number `sequence`, whose thread does not come back: it is passed over.
    /// If that thread was going on with it, another may.
    pub fn abandon(&self, sequence: u64, go_on: impl FnMut(T), wake: impl Fn())
    where
        T: Default,
    {
        let mut state = self.lock();
        if sequence < state.next {
            if sequence + 1 == state.next && state.draining {
                state.generation += 1;
                state.draining = false;
            }
            let next = state.next;
            let waiting = state.parked.remove(&next);
            drop(state);
            if let Some(work) = waiting {
                self.complete(next, work, go_on, wake);
            }
            return;
        }
        drop(state);
        self.complete(sequence, T::default(), go_on, wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn work_goes_on_in_order() {
        let order = Order::default();
        let mut done = vec![];
        for sequence in [2, 0, 1, 4, 3] {
            order.complete(sequence, sequence, |n: u64| done.push(n), || ());
        }
        assert_eq!(done, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn abandoned_work_is_passed_over() {
        let order = Order::default();
        let mut done = vec![];
        order.complete(1, 11, |n: u64| done.push(n), || ());
        order.abandon(0, |n| done.push(n), || ());
        assert_eq!(done, [0, 11]);
        order.complete(0, 10, |n| done.push(n), || ());
        assert_eq!(done, [0, 11]);
    }

    #[test]
    fn a_thread_stuck_while_going_on_is_replaced() {
        let order = Order::default();
        let mut done = vec![];
        order.complete(
            0,
            10,
            |_: u64| {
                // Stuck here; others come and go.
                order.complete(1, 11, |_| unreachable!("the stuck thread holds the turn"), || ());
                order.abandon(0, |n| done.push(n), || ());
            },
            || (),
        );
        order.complete(2, 12, |n| done.push(n), || ());
        assert_eq!(done, [11, 12]);
    }

    #[test]
    fn who_is_too_far_ahead_is_woken_once_the_turn_moves_on() {
        let order = Order::default();
        let woken = Cell::new(0);
        let complete = |number: u64| {
            order.complete(number, number, |_| (), || woken.set(woken.get() + 1));
        };
        complete(1);
        complete(2);
        assert!(!order.is_ahead(2, 3));
        assert!(order.is_ahead(3, 3));
        assert_eq!(woken.get(), 0, "the first is still missing");
        complete(0);
        assert_eq!(woken.get(), 1);
        assert!(!order.is_ahead(5, 3), "what was done before is seen at once");
        // Nobody waits.
        complete(3);
        assert_eq!(woken.get(), 1);
        // One that is given up moves the turn on as well.
        assert!(order.is_ahead(7, 3));
        order.abandon(4, |_| (), || woken.set(woken.get() + 1));
        assert_eq!(woken.get(), 2);
    }

    #[test]
    fn no_wake_is_missed_between_threads() {
        const COUNT: u64 = 20_000;
        let order = Order::default();
        let (wake, woken) = mpsc::channel();
        let (numbers, work) = mpsc::channel();
        std::thread::scope(|scope| {
            let order = &order;
            scope.spawn(move || {
                for number in work {
                    order.complete(number, number, |_| (), || _ = wake.send(()));
                }
            });
            for number in 0..COUNT {
                while order.is_ahead(number, 1) {
                    woken.recv_timeout(Duration::from_secs(60)).unwrap();
                }
                numbers.send(number).unwrap();
            }
            drop(numbers);
        });
    }
}
