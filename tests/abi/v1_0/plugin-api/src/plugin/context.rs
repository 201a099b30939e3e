//! What a call is told.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::abi::host::RawContext;

/// The clock, the time there is, and whether the call should give up.
pub struct Context<'a> {
    now_ns: i64,
    deadline: Option<Instant>,
    cancel: Option<&'a AtomicU32>,
    _call: PhantomData<&'a ()>,
}

impl<'a> Context<'a> {
    /// A context of a call that began now: the time by the agent's clock, and how long it may take.
    pub fn new(now_ns: i64, timeout: Option<Duration>, cancel: Option<&'a AtomicU32>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Context { now_ns, deadline, cancel, _call: PhantomData }
    }

    pub(crate) fn to_raw(&self) -> RawContext {
        RawContext {
            size: size_of::<RawContext>() as u32,
            flags: 0,
            now_ns: self.now_ns,
            timeout_ns: self
                .remaining()
                .map_or(u64::MAX, |left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX)),
            cancel: self.cancel.map_or(std::ptr::null(), std::ptr::from_ref),
        }
    }

    /// The time by the agent's clock when the call began: nanoseconds since the Unix epoch.
    #[inline]
    pub fn now(&self) -> i64 {
        self.now_ns
    }

    /// How long the call may still take; `None` if there is no bound.
    pub fn remaining(&self) -> Option<Duration> {
        Some(self.deadline?.saturating_duration_since(Instant::now()))
    }

    /// Whether the call should give up: the agent stops, or the deadline is past.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed) != 0)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}
