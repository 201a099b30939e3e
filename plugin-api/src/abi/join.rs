//! Several delivery handles as one: for a stage whose points come of many batches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::host::{DeliveryFunctions, RawDelivery};
use crate::plugin::{Delivery, Outcome};

struct Joined {
    clones: AtomicUsize,
    worst: AtomicU32,
    parts: Vec<Delivery>,
    told: Option<Told>,
}

/// Who else hears of the outcome.
enum Told {
    List(Arc<Mutex<Vec<Outcome>>>),
    Flag(Arc<AtomicBool>),
}

static FUNCTIONS: DeliveryFunctions =
    DeliveryFunctions { size: size_of::<DeliveryFunctions>() as u64, retain, settle };

/// A handle whose clones' worst outcome settles all of `parts`.
pub(crate) fn join(parts: Vec<Delivery>) -> RawDelivery {
    let joined =
        Joined { clones: AtomicUsize::new(1), worst: AtomicU32::new(0), parts, told: None };
    leak(joined)
}

/// A handle of nobody's, whose settlement sets a flag.
pub(crate) fn tracked(settled: Arc<AtomicBool>) -> RawDelivery {
    let (clones, worst) = (AtomicUsize::new(1), AtomicU32::new(0));
    leak(Joined { clones, worst, parts: Vec::new(), told: Some(Told::Flag(settled)) })
}

/// A handle of nobody's, whose outcome is written into a list: for tests of stages.
pub(crate) fn watched(told: Arc<Mutex<Vec<Outcome>>>) -> RawDelivery {
    let (clones, worst) = (AtomicUsize::new(1), AtomicU32::new(0));
    leak(Joined { clones, worst, parts: Vec::new(), told: Some(Told::List(told)) })
}

fn leak(joined: Joined) -> RawDelivery {
    RawDelivery { functions: &FUNCTIONS, data: Box::into_raw(Box::new(joined)).cast() }
}

unsafe extern "C" fn retain(data: *mut u8) {
    // SAFETY: the caller holds a clone, so that what `join` leaked is alive.
    let joined = unsafe { &*data.cast::<Joined>() };
    joined.clones.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C" fn settle(data: *mut u8, outcome: u32) {
    // SAFETY: the caller gives its clone up only with this call.
    let joined = unsafe { &*data.cast::<Joined>() };
    joined.worst.fetch_max(outcome, Ordering::Relaxed);
    // Release what this clone wrote, acquire what all others wrote.
    if joined.clones.fetch_sub(1, Ordering::AcqRel) == 1 {
        // SAFETY: this was the last clone; nobody else can reach it.
        let joined = unsafe { Box::from_raw(data.cast::<Joined>()) };
        let worst = Outcome::from_code(joined.worst.load(Ordering::Relaxed));
        match &joined.told {
            Some(Told::List(told)) => {
                told.lock().unwrap_or_else(PoisonError::into_inner).push(worst);
            }
            Some(Told::Flag(settled)) => settled.store(true, Ordering::Release),
            None => {}
        }
        for part in joined.parts {
            // The handles are the agent's, behind shims that do not panic.
            let _ = catch_unwind(AssertUnwindSafe(|| part.settle(worst)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// Counts settlements by outcome, one byte each; clones are not counted.
    fn probe(cell: &'static AtomicU64) -> Delivery {
        unsafe extern "C" fn retain(_: *mut u8) {}
        unsafe extern "C" fn settle(data: *mut u8, outcome: u32) {
            // SAFETY: `probe` put a `&'static AtomicU64` there.
            let cell = unsafe { &*data.cast::<AtomicU64>() };
            cell.fetch_add(1 << (8 * outcome), Ordering::Relaxed);
        }
        static FUNCTIONS: DeliveryFunctions =
            DeliveryFunctions { size: size_of::<DeliveryFunctions>() as u64, retain, settle };
        let data = std::ptr::from_ref(cell).cast_mut().cast();
        Delivery::from_raw(RawDelivery { functions: &FUNCTIONS, data }).unwrap()
    }

    #[test]
    fn the_worst_outcome_of_the_clones_settles_every_part_once() {
        static CELL: AtomicU64 = AtomicU64::new(0);
        let joined = Delivery::join((0..3).map(|_| probe(&CELL)).collect()).unwrap();
        let clones = [joined.clone(), joined.clone()];
        joined.settle(Outcome::Delivered);
        for (clone, outcome) in clones.into_iter().zip([Outcome::Lost, Outcome::Delivered]) {
            assert_eq!(CELL.load(Ordering::Relaxed), 0);
            clone.settle(outcome);
        }
        assert_eq!(CELL.load(Ordering::Relaxed), 3 << (8 * Outcome::Lost as u32));
    }

    #[test]
    fn one_handle_is_itself_and_none_is_none() {
        static CELL: AtomicU64 = AtomicU64::new(0);
        assert!(Delivery::join(Vec::new()).is_none());
        Delivery::join(vec![probe(&CELL)]).unwrap().settle(Outcome::Delivered);
        assert_eq!(CELL.load(Ordering::Relaxed), 1);
    }
}
