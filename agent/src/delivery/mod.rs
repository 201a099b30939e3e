//! Delivery handles: each part of a source's data that it wants to hear of settles exactly once,
//! with the worst outcome over all clones of its handle.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headwater_plugin_api::abi::serve::{self, Settle};
use headwater_plugin_api::plugin::{Delivery, Outcome, Settlement};
use tokio::sync::Notify;

/// Settlements on their way back to one input.
#[derive(Default)]
pub struct Settlements {
    queue: Mutex<Vec<Settlement>>,
    arrived: Notify,
}

impl Settlements {
    fn push(&self, settlement: Settlement) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(settlement);
        self.arrived.notify_one();
    }

    /// Takes what has arrived.
    pub fn take(&self) -> Vec<Settlement> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until something has arrived.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

/// What stands behind the clones of one handle.
pub struct HandleState {
    clones: AtomicU32,
    worst: AtomicU32,
    told: AtomicBool,
    source: u64,
    token: u64,
    settlements: Arc<Settlements>,
}

impl HandleState {
    /// A handle with its first clone. The weak side can force it.
    pub fn create(
        source: u64,
        token: u64,
        settlements: &Arc<Settlements>,
    ) -> (Delivery, Arc<HandleState>) {
        let state = Arc::new(HandleState {
            clones: AtomicU32::new(1),
            worst: AtomicU32::new(Outcome::Delivered as u32),
            told: AtomicBool::new(false),
            source,
            token,
            settlements: Arc::clone(settlements),
        });
        (serve::delivery(Arc::clone(&state) as Arc<dyn Settle>), state)
    }

    /// Settles the handle now, whatever its clones do later: for a call that never returns.
    pub fn force(&self, outcome: Outcome) {
        if !self.told.swap(true, Ordering::AcqRel) {
            self.settlements.push(Settlement { source: self.source, token: self.token, outcome });
        }
    }
}

impl Settle for HandleState {
    fn retained(&self) {
        self.clones.fetch_add(1, Ordering::Relaxed);
    }

    fn settled(&self, outcome: Outcome) {
        self.worst.fetch_max(outcome as u32, Ordering::AcqRel);
        if self.clones.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.force(Outcome::from_code(self.worst.load(Ordering::Acquire)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_outcome_counts_and_is_told_once() {
        let settlements = Arc::new(Settlements::default());
        let (handle, _) = HandleState::create(3, 7, &settlements);
        let clones = [handle.clone(), handle.clone()];
        handle.settle(Outcome::Delivered);
        let [a, b] = clones;
        a.settle(Outcome::Lost);
        assert!(settlements.take().is_empty());
        drop(b);
        assert_eq!(
            settlements.take(),
            [Settlement { source: 3, token: 7, outcome: Outcome::Lost }]
        );
    }

    #[test]
    fn a_forced_handle_is_not_told_again() {
        let settlements = Arc::new(Settlements::default());
        let (handle, state) = HandleState::create(1, 1, &settlements);
        state.force(Outcome::Aborted);
        handle.settle(Outcome::Delivered);
        let told = settlements.take();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].outcome, Outcome::Aborted);
    }
}
