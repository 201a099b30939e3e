//! Delivery handles: how a source learns what became of its points.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::abi::host::RawDelivery;

/// What became of points, from best to worst. Over the clones of a handle the worst one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Outcome {
    /// Stored or sent for good.
    Delivered = 0,
    /// Left out because the configuration says so: a filter, or a stage that keeps nothing.
    Dropped = 1,
    /// Written to the dead-letter file.
    DeadLettered = 2,
    /// Lost: a full memory buffer, a point that no batch can hold.
    Lost = 3,
    /// Given up: a panic, a stuck call, the end of the time to stop.
    Aborted = 4,
}

impl Outcome {
    /// The outcome of this code; codes of later versions read as the worst known.
    pub fn from_code(code: u32) -> Outcome {
        match code {
            0 => Outcome::Delivered,
            1 => Outcome::Dropped,
            2 => Outcome::DeadLettered,
            3 => Outcome::Lost,
            _ => Outcome::Aborted,
        }
    }
}

/// One clone of a delivery handle. It settles exactly once: by [`settle`](Self::settle), or as
/// [`Outcome::Dropped`] when it is dropped. The source is told when the last clone has settled.
#[derive(Debug)]
pub struct Delivery {
    raw: RawDelivery,
}

impl Delivery {
    /// Wraps a handle that came through the interface.
    pub(crate) fn from_raw(raw: RawDelivery) -> Option<Delivery> {
        raw.is_some().then_some(Delivery { raw })
    }

    /// Gives the handle away.
    pub(crate) fn into_raw(self) -> RawDelivery {
        let raw = self.raw;
        std::mem::forget(self);
        raw
    }

    /// One handle for several: when it settles, all of them settle with its outcome. `None` for
    /// none.
    pub fn join(mut parts: Vec<Delivery>) -> Option<Delivery> {
        match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ => Delivery::from_raw(crate::abi::join::join(parts)),
        }
    }

    /// A handle of nobody's, and a flag that is set once its last clone has settled: for a stage that
    /// must know whether what it emitted is still under way.
    pub fn tracked() -> (Delivery, Arc<AtomicBool>) {
        let settled = Arc::new(AtomicBool::new(false));
        (Delivery { raw: crate::abi::join::tracked(Arc::clone(&settled)) }, settled)
    }

    /// Settles this clone.
    pub fn settle(self, outcome: Outcome) {
        self.into_raw().settle(outcome as u32);
    }
}

impl Clone for Delivery {
    fn clone(&self) -> Self {
        self.raw.retain();
        Delivery { raw: self.raw }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.raw.settle(Outcome::Dropped as u32);
    }
}
