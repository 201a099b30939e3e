//! Processors that several threads call at the same time.

use super::{Context, Error, Processor, Sink};
use crate::batch::Batch;

/// A processor whose [`process_shared`](Self::process_shared) several threads call at the same time.
/// All other calls stay exclusive: none of them overlaps any other.
///
/// It names itself in its [`Processor::SHARED`]: `const SHARED: Option<Shared<Self>> =
/// Some(Shared::new());`.
pub trait ConcurrentProcessor: Processor + Sync {
    /// Asked at most once, before any batch. If the answer is yes, batches come to
    /// [`process_shared`](Self::process_shared) instead of [`Processor::process`], and those of one
    /// source may overtake each other: how far a source has come without a gap is told by
    /// [`Control::Reached`](super::Control::Reached), before a tick and before any other message
    /// about sources. A tick that wants to be called again at once is called after fewer batches from
    /// then on. What is pushed goes on in the order of the batches that it was pushed for.
    fn agree(&mut self, cx: &Context<'_>) -> bool;

    /// As [`Processor::process`].
    ///
    /// # Errors
    /// As there. A call that panics costs the instance; others that run at the time end first.
    fn process_shared(
        &self,
        cx: &Context<'_>,
        batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error>;
}

type Process<P> = fn(&P, &Context<'_>, Batch, &mut Sink<'_>) -> Result<(), Error>;

/// How a processor is called by several threads. There is none for a type that is not `Sync`.
pub struct Shared<P> {
    pub(crate) agree: fn(&mut P, &Context<'_>) -> bool,
    pub(crate) process: Process<P>,
}

impl<P: ConcurrentProcessor> Shared<P> {
    /// By its trait.
    pub const fn new() -> Self {
        Shared { agree: P::agree, process: P::process_shared }
    }
}

impl<P: ConcurrentProcessor> Default for Shared<P> {
    fn default() -> Self {
        Self::new()
    }
}
