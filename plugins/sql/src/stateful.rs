//! What a statement remembers between batches: windows, or points that wait for their rows.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::Control;
use headwater_plugin_api::window::{Feed, Sources};

use crate::over::OverState;
use crate::window::WindowState;

/// The memory of a statement.
pub enum Stateful {
    Window(Box<WindowState>),
    Over(Box<OverState>),
}

macro_rules! either {
    ($either:expr, $inner:ident => $does:expr) => {
        match $either {
            Stateful::Window($inner) => $does,
            Stateful::Over($inner) => $does,
        }
    };
}

impl Stateful {
    /// The source of the results.
    pub fn origin(&self) -> u64 {
        either!(self, inner => inner.origin())
    }

    /// The sources that feed it.
    pub fn sources(&mut self) -> &mut Sources {
        either!(self, inner => inner.sources())
    }

    /// Takes note of a batch.
    pub fn observe(&mut self, now: i64, batch: &Batch) -> Feed {
        either!(self, inner => inner.observe(now, batch))
    }

    /// Takes note of a message.
    pub fn control(&mut self, now: i64, control: Control) {
        either!(self, inner => inner.control(now, control));
    }

    /// Lets what took points of the batch at hand hold its delivery handle.
    pub fn hold_delivery(&mut self, batch: &Batch) {
        match self {
            Stateful::Window(window) => window.hold_delivery(batch),
            Stateful::Over(over) => over.hold_delivery(),
        }
    }

    /// Whether rows are still to come that are due.
    pub fn is_emitting(&self) -> bool {
        either!(self, inner => inner.is_emitting())
    }

    /// Number of windows that are open, or of points that wait for their rows.
    pub fn open_count(&self) -> usize {
        either!(self, inner => inner.open_count())
    }

    /// Number of groups or partitions that are known.
    pub fn group_count(&self) -> usize {
        either!(self, inner => inner.group_count())
    }

    /// How long after its end or time the last row was emitted, nanoseconds.
    pub fn lag(&self) -> i64 {
        either!(self, inner => inner.lag())
    }

    /// When to look again, if no point or message comes; `None` for never.
    pub fn next_due(&mut self, now: i64) -> Option<i64> {
        either!(self, inner => inner.next_due(now))
    }

    /// The earliest time that a row which is still to come may have, late ones aside.
    pub fn watermark(&mut self) -> i64 {
        either!(self, inner => inner.watermark())
    }

    /// Bytes of memory held.
    pub fn byte_size(&mut self) -> usize {
        either!(self, inner => inner.byte_size())
    }

    /// Whether new groups or partitions are taken.
    pub fn set_closed(&mut self, closed: bool) {
        either!(self, inner => inner.set_closed(closed));
    }

    /// Gives memory back; whether groups were forgotten.
    pub fn release(&mut self) -> bool {
        either!(self, inner => inner.release())
    }
}
