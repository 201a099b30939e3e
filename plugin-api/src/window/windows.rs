//! The open windows of a stream: which window a point falls into, and which windows are due.

use super::grid::{Grid, Span};
use super::life::Life;
use super::ranges::Ranges;
use super::slots::Slots;
use super::sources::{Feed, Sources};
use crate::batch::Batch;
use crate::plugin::{Control, Delivery};

/// How windows open and close. Times are nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The windows.
    pub grid: Grid,
    /// How long after its end a window is closed.
    pub delay: i64,
    /// A catching-up source that is silent so long holds no window open.
    pub idle: i64,
    /// How long a source that is not finite may hold a window open.
    pub hold: i64,
    /// Points from further ahead of the clock are refused.
    pub max_future: i64,
    /// How long after its emission a window takes late points and is emitted again; 0 for never.
    pub grace: i64,
}

/// Where a point belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Into the window in this slot.
    Open(u32),
    /// Into a window that was emitted.
    Late,
    /// Further ahead of the clock than is allowed.
    Future,
    /// Into a window for which there is no room before those that [`Closing::Forced`] tells are
    /// closed.
    Full,
}

/// What is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Windows that the closing rule closes.
    Due,
    /// Only those that must close early, for want of room. In the middle of a batch this is right and
    /// the closing rule is not: points that are still to come count as seen by then.
    Forced,
    /// All of them: the end, or a table that is full.
    All,
}

/// A window that is to be emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Its slot.
    pub slot: u32,
    /// Its time.
    pub span: Span,
    /// It was emitted before and has taken late points since.
    pub correction: bool,
}

struct Slot<W> {
    index: i64,
    span: Span,
    life: Life,
    /// The batch that fed it last, see `Windows::batch`.
    batch: u64,
    deliveries: Vec<Delivery>,
    content: W,
}

/// The open windows of a stream.
///
/// When more than [`Windows::MAX`], or [`set_max`](Windows::set_max), are open, the oldest must close
/// early; twice as many are never open, not even within one batch.
pub struct Windows<W> {
    policy: Policy,
    max: usize,
    sources: Sources,
    emitted: Ranges,
    /// By the number of their window.
    slots: Slots<Slot<W>>,
    /// The window of the point before: start, length, slot.
    hot: (i64, u64, u32),
    /// Counts the batches.
    batch: u64,
    now: i64,
    early: u64,
}

impl<W> Windows<W> {
    /// How many windows may be open, unless that is changed.
    pub const MAX: usize = 1024;
    /// How many delivery handles a window holds; a window that needs more must close early.
    pub const MAX_DELIVERIES: usize = 1 << 20;

    /// How many slots are kept when no window is open.
    const KEPT: usize = 64;

    /// No window yet.
    pub fn new(policy: Policy) -> Self {
        let Policy { delay, idle, hold, max_future, .. } = policy;
        Windows {
            policy,
            max: Self::MAX,
            sources: Sources::new(delay, idle, hold, max_future),
            emitted: Ranges::default(),
            slots: Slots::new(),
            hot: (0, 0, 0),
            batch: 0,
            now: i64::MIN,
            early: 0,
        }
    }

    /// Changes how many windows may be open; at least one.
    pub fn set_max(&mut self, max: usize) {
        self.max = max.max(1);
    }

    /// How windows open and close.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The sources.
    pub fn sources_mut(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// Which windows were emitted, by their numbers on the grid.
    pub fn emitted_ranges(&self) -> &Ranges {
        &self.emitted
    }

    /// Windows that had to close early, since the beginning.
    pub fn closed_early(&self) -> u64 {
        self.early
    }

    /// Bytes of memory held, without what the windows hold.
    pub fn byte_size(&self) -> usize {
        let held = self.slots.iter().map(|slot| slot.deliveries.capacity());
        self.slots.byte_size() + held.sum::<usize>() * size_of::<Delivery>()
    }

    /// Number of windows that are open or still take late points.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Takes note of the clock.
    pub fn set_now(&mut self, now: i64) {
        if self.sources.set_now(now) {
            for slot in self.slots.iter_mut() {
                slot.life.step_back(now);
            }
        }
        self.now = now;
        for slot in self.slots.iter_mut() {
            if now >= slot.span.end.saturating_add(self.policy.delay) {
                slot.life.held.get_or_insert(now);
            }
        }
    }

    /// Takes note of a batch, before its points are placed, and of one without points of interest.
    pub fn observe(&mut self, now: i64, batch: &Batch) -> Feed {
        self.set_now(now);
        self.batch += 1;
        self.hot.1 = 0;
        self.sources.observe(now, batch)
    }

    /// Takes note of a message.
    pub fn control(&mut self, now: i64, control: Control) {
        self.set_now(now);
        self.sources.control(now, control);
    }

    /// The window of a point; `open` makes what a new window holds.
    #[inline]
    pub fn place(&mut self, feed: &Feed, time: i64, open: impl FnOnce(Span) -> W) -> Place {
        if (time.wrapping_sub(self.hot.0) as u64) < self.hot.1 {
            return Place::Open(self.hot.2);
        }
        self.find(feed, time, open)
    }

    /// The slot that all points from `first` to `last` belong to, if it is one.
    #[inline]
    pub fn place_all(
        &mut self,
        feed: &Feed,
        first: i64,
        last: i64,
        open: impl FnOnce(Span) -> W,
    ) -> Option<u32> {
        let grid = &self.policy.grid;
        if last > feed.limit || grid.index(first) != grid.index(last) {
            return None;
        }
        match self.place(feed, first, open) {
            Place::Open(slot) => Some(slot),
            Place::Late | Place::Future | Place::Full => None,
        }
    }

    fn find(&mut self, feed: &Feed, time: i64, open: impl FnOnce(Span) -> W) -> Place {
        if time > feed.limit {
            return Place::Future;
        }
        let index = self.policy.grid.index(time);
        let at = match self.slots.find(index) {
            Some(at) => at,
            None if self.emitted.contains(index) => return Place::Late,
            None if self.slots.len() >= self.max.saturating_mul(2) => return Place::Full,
            None => self.open(index, open),
        };
        let (now, batch) = (self.now, self.batch);
        let Some(slot) = self.slots.get_mut(at) else { return Place::Late };
        if slot.life.emitted.is_some() {
            if !slot.life.takes(now, self.policy.grace) {
                return Place::Late;
            }
            slot.life.corrected.get_or_insert(now);
        }
        slot.life.fed |= feed.catching_up;
        slot.batch = batch;
        let len = (slot.span.end as u64).wrapping_sub(slot.span.start as u64);
        // Points of one window that are refused as future ones must not take the short way.
        let len =
            len.min((feed.limit as u64).wrapping_sub(slot.span.start as u64).saturating_add(1));
        self.hot = (slot.span.start, len, at);
        Place::Open(at)
    }

    #[cold]
    fn open(&mut self, index: i64, open: impl FnOnce(Span) -> W) -> u32 {
        if self.slots.len() >= self.max {
            self.force_oldest();
        }
        let content = open(self.policy.grid.span(index));
        self.enter(index, content)
    }

    /// Lets a window close at the next opportunity, whoever may still feed it.
    pub fn force(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(slot)
            && !slot.life.forced
        {
            slot.life.forced = true;
            self.early += u64::from(slot.life.emitted.is_none());
        }
    }

    /// Lets the oldest window close that need not yet; whether there was one.
    pub fn force_oldest(&mut self) -> bool {
        let oldest = self.slots.in_order().find(|(_, slot)| !slot.life.forced);
        let Some((at, _)) = oldest else { return false };
        self.force(at);
        true
    }

    /// What the window in a slot holds.
    #[inline]
    pub fn content(&mut self, slot: u32) -> Option<&mut W> {
        Some(&mut self.slots.get_mut(slot)?.content)
    }

    /// The time of the window in a slot.
    pub fn span(&self, slot: u32) -> Option<Span> {
        Some(self.slots.get(slot)?.span)
    }

    /// What all windows hold, to be changed.
    pub fn contents(&mut self) -> impl Iterator<Item = &mut W> {
        self.slots.iter_mut().map(|slot| &mut slot.content)
    }

    /// Lets all windows that took points of the batch at hand hold its delivery handle: the source
    /// hears of them when the windows' rows have settled.
    pub fn hold_delivery(&mut self, batch: &Batch) {
        let Some(delivery) = batch.delivery() else { return };
        let mut full = None;
        for slot in self.slots.iter_mut() {
            // What was emitted before was settled by its first row.
            if slot.batch == self.batch && slot.life.emitted.is_none() {
                slot.deliveries.push(delivery.clone());
                if slot.deliveries.len() >= Self::MAX_DELIVERIES {
                    full = Some(slot.index);
                }
            }
        }
        if let Some(at) = full.and_then(|index| self.slots.find(index)) {
            self.force(at);
        }
    }

    /// The delivery handles of the window in a slot, as one.
    pub fn take_delivery(&mut self, slot: u32) -> Option<Delivery> {
        let slot = self.slots.get_mut(slot)?;
        Delivery::join(std::mem::take(&mut slot.deliveries))
    }

    /// The next window to emit, oldest first; [`done`](Self::done) must follow.
    pub fn ready(&self, closing: Closing) -> Option<Ready> {
        let (sources, grace, now) = (&self.sources, self.policy.grace, self.now);
        let is_due = |slot: &Slot<W>| slot.life.is_due(closing, slot.span.end, sources, grace, now);
        let (at, slot) = self.slots.in_order().find(|(_, slot)| is_due(slot))?;
        Some(Ready { slot: at, span: slot.span, correction: slot.life.emitted.is_some() })
    }

    /// Calls `f` with what the windows before one hold, in their order, that were not emitted: those
    /// that it overtakes.
    pub fn each_overtaken(&mut self, slot: u32, mut f: impl FnMut(&mut W)) {
        let Some(index) = self.slots.get(slot).map(|slot| slot.index) else { return };
        self.slots.each_mut(i64::MIN..index, |slot| {
            if slot.life.emitted.is_none() {
                f(&mut slot.content);
            }
        });
    }

    /// Ends the emission of a window: it is remembered as emitted and given back, unless it takes
    /// late points for some time.
    pub fn done(&mut self, slot: u32) -> Option<W> {
        let now = self.now;
        let keeps = self.policy.grace > 0;
        let window = self.slots.get_mut(slot)?;
        self.emitted.insert(window.index);
        window.life.corrected = None;
        self.hot.1 = 0;
        if keeps && !window.life.forced {
            window.life.emitted.get_or_insert(now);
            return None;
        }
        let index = window.index;
        self.remove(index)
    }

    fn remove(&mut self, index: i64) -> Option<W> {
        let window = self.slots.remove(index)?;
        self.slots.shrink(Self::KEPT);
        Some(window.content)
    }

    /// Ends the emission of a window and forgets it: later points open it anew. For a stage that
    /// emits early because it is full.
    pub fn restart(&mut self, slot: u32) -> Option<W> {
        let index = self.slots.get(slot)?.index;
        self.hot.1 = 0;
        self.early += 1;
        self.slots.remove(index).map(|window| window.content)
    }

    /// Gives back windows that take late points no longer.
    pub fn expire(&mut self) -> Option<W> {
        let (now, grace) = (self.now, self.policy.grace);
        let index = self.slots.iter().find(|slot| slot.life.is_over(now, grace))?.index;
        self.hot.1 = 0;
        self.remove(index)
    }

    /// When to look again, if no point or message comes: never before a millisecond is over.
    pub fn next_due(&self) -> Option<i64> {
        let soon = self.now.saturating_add(1_000_000);
        let later = self.now.saturating_add(1_000_000_000);
        let grace = self.policy.grace;
        let slots = self.slots.iter();
        let next =
            slots.filter_map(|slot| slot.life.look_at(slot.span.end, &self.sources, grace, later));
        next.min().map(|due| due.max(soon))
    }

    /// The earliest start among windows that may still be emitted for the first time, as far as the
    /// open windows and the clock tell: what a statement that reads this one's rows may count on.
    pub fn low_watermark(&self) -> i64 {
        let clock = self.policy.grid.index(self.now.saturating_sub(self.policy.delay));
        let open = self.slots.iter().filter(|slot| slot.life.emitted.is_none());
        let first = open.map(|slot| slot.index).min().map_or(clock, |index| index.min(clock));
        self.policy.grid.span(first).start
    }
}

mod merging;
mod state;
#[cfg(test)]
mod tests;
