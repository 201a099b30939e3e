//! The memory budget: what waits for outputs is counted by bytes, and inputs that can wait do so
//! before the process grows past its limit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts bytes that wait and closes the gate for sources that can wait.
///
/// The gate closes when the bytes reach the limit or an output's buffer is full, and opens again at
/// three quarters, so that sources do not flicker.
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    /// Outputs whose buffer is full.
    full: AtomicU64,
    closed: AtomicBool,
    waiting: Mutex<Vec<u64>>,
    opened: Condvar,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: u64) -> Self {
        Budget {
            limit,
            used: AtomicU64::new(0),
            full: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
            opened: Condvar::new(),
        }
    }

    /// Bytes that wait now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that may wait.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Counts bytes that begin to wait.
    pub fn add(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if used >= self.limit {
            self.closed.store(true, Ordering::Release);
        }
    }

    /// Counts bytes that wait no more. True if the gate opened: the caller wakes
    /// [`waiting`](Self::take_waiting) sources.
    pub fn remove(&self, bytes: u64) -> bool {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        self.try_open()
    }

    /// An output's buffer is full.
    pub fn output_full(&self) {
        self.full.fetch_add(1, Ordering::AcqRel);
        self.closed.store(true, Ordering::Release);
    }

    /// An output's buffer has room again. True if the gate opened.
    pub fn output_free(&self) -> bool {
        self.full.fetch_sub(1, Ordering::AcqRel);
        self.try_open()
    }

    fn try_open(&self) -> bool {
        if !self.closed.load(Ordering::Acquire)
            || self.full.load(Ordering::Acquire) > 0
            || self.used() > self.limit / 4 * 3
        {
            return false;
        }
        let _waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(false, Ordering::Release);
        self.opened.notify_all();
        true
    }

    /// Whether sources that can wait should.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Notes a source that waits for the gate. False if the gate is open: it need not wait.
    pub fn wait_for_room(&self, source: u64) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_closed() {
            return false;
        }
        if !waiting.contains(&source) {
            waiting.push(source);
        }
        true
    }

    /// The sources that waited, to be woken now that the gate is open.
    pub fn take_waiting(&self) -> Vec<u64> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Blocks until the gate is open, at most so long. Whether it is open.
    pub fn block(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while self.is_closed() {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            if left.is_zero() {
                return false;
            }
            waiting =
                self.opened.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_closes_at_the_limit_and_opens_at_three_quarters() {
        let budget = Budget::new(100);
        budget.add(99);
        assert!(!budget.is_closed());
        budget.add(1);
        assert!(budget.is_closed());
        assert!(budget.wait_for_room(7));
        assert!(!budget.remove(20));
        assert!(budget.remove(5));
        assert_eq!(budget.take_waiting(), [7]);
        assert!(!budget.wait_for_room(8));
    }

    #[test]
    fn a_full_output_closes_it_too() {
        let budget = Budget::new(100);
        budget.output_full();
        assert!(budget.is_closed());
        assert!(!budget.block(Duration::ZERO));
        assert!(budget.output_free());
        assert!(budget.block(Duration::ZERO));
    }
}
