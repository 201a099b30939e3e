//! Windows that overlap: a point is added once, to its pane, and a window is made of its panes when
//! it is emitted.

mod closing;
mod grid;
mod merging;
mod state;

use std::collections::BTreeMap;

use super::grid::Span;
use super::life::Life;
use super::ranges::Ranges;
use super::slots::Slots;
use super::sources::{Feed, Sources};
use super::windows::Policy;
use crate::batch::Batch;
use crate::plugin::{Control, Delivery};
pub use grid::HopGrid;

/// Where a point belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HopPlace {
    /// Into the pane in this slot.
    Open(u32),
    /// Into the pane in this slot, although it comes too late for some of the windows: `missed` if
    /// these never hear of it, else all of them take it and are emitted again. What changed is told
    /// by [`Hops::mark`].
    Late {
        /// The pane.
        slot: u32,
        /// Some window was emitted and takes it no longer.
        missed: bool,
    },
    /// All its windows were emitted.
    TooLate,
    /// Further ahead of the clock than is allowed.
    Future,
    /// There is no room before the windows that [`Closing::Forced`](super::Closing::Forced) tells are closed.
    Full,
}

/// A window that is to be emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HopReady {
    /// Its number.
    pub window: i64,
    /// Its time.
    pub span: Span,
    /// It was emitted before and has taken late points since.
    pub correction: bool,
}

struct Pane<W> {
    index: i64,
    /// Windows that hold it and were not emitted.
    open: u32,
    /// Windows that hold it and are open or still take late points.
    kept: u32,
    /// The batch that fed it last, and what its points are told since then.
    batch: u64,
    late: Option<bool>,
    deliveries: Vec<Delivery>,
    content: W,
}

#[derive(Default)]
struct Window {
    life: Life,
    /// Groups that changed since it was emitted.
    changed: Vec<u32>,
}

/// The panes of a stream, and the windows that are open over them.
///
/// A point that comes too late for some of its windows counts in the others. When more than
/// [`Hops::MAX`] windows, or [`set_max`](Hops::set_max), are open, and more than four times as many as
/// overlap, the oldest must close early; twice as many are never open, not even within one batch.
pub struct Hops<W> {
    policy: Policy,
    max: usize,
    grid: HopGrid,
    sources: Sources,
    emitted: Ranges,
    windows: BTreeMap<i64, Window>,
    /// Panes by their number.
    slots: Slots<Pane<W>>,
    /// What panes held that no window needs any more.
    freed: Vec<W>,
    /// The pane of the point before: start, length, where its points belong.
    hot: (i64, u64, HopPlace),
    batch: u64,
    now: i64,
    early: u64,
    /// Open windows that must close.
    forced: usize,
}

impl<W> Hops<W> {
    /// How many windows may be open, unless that is changed or they overlap so much.
    pub const MAX: usize = 1024;
    /// How many delivery handles a pane holds; the windows of one that needs more must close early.
    pub const MAX_DELIVERIES: usize = 1 << 20;

    /// No window yet. Of the policy's grid nothing is heeded.
    pub fn new(policy: Policy, grid: HopGrid) -> Self {
        let Policy { delay, idle, hold, max_future, .. } = policy;
        Hops {
            policy,
            max: Self::MAX,
            grid,
            sources: Sources::new(delay, idle, hold, max_future),
            emitted: Ranges::default(),
            windows: BTreeMap::new(),
            slots: Slots::new(),
            freed: Vec::new(),
            hot: (0, 0, HopPlace::Full),
            batch: 0,
            now: i64::MIN,
            early: 0,
            forced: 0,
        }
    }

    /// Changes how many windows may be open; never fewer than four times as many as overlap.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// How windows open and close.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The windows.
    pub fn grid(&self) -> &HopGrid {
        &self.grid
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

    /// Bytes of memory held, without what the panes hold.
    pub fn byte_size(&self) -> usize {
        let held = self.slots.iter().map(|pane| pane.deliveries.capacity());
        let changed = self.windows.values().map(|window| window.changed.capacity());
        self.slots.byte_size()
            + held.sum::<usize>() * size_of::<Delivery>()
            + self.windows.len() * size_of::<(i64, Window)>()
            + changed.sum::<usize>() * 4
    }

    /// Number of windows that are open or still take late points.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    fn max(&self) -> usize {
        self.grid.overlap().saturating_mul(4).max(self.max)
    }

    /// Takes note of the clock.
    pub fn set_now(&mut self, now: i64) {
        if self.sources.set_now(now) {
            self.windows.values_mut().for_each(|window| window.life.step_back(now));
        }
        self.now = now;
        // Windows end in their order.
        for (number, window) in &mut self.windows {
            if now < self.grid.span(*number).end.saturating_add(self.policy.delay) {
                break;
            }
            window.life.held.get_or_insert(now);
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

    /// The pane of a point; `open` makes what a new pane holds.
    #[inline]
    pub fn place(&mut self, feed: &Feed, time: i64, open: impl FnOnce() -> W) -> HopPlace {
        if (time.wrapping_sub(self.hot.0) as u64) < self.hot.1 {
            return self.hot.2;
        }
        self.find(feed, time, open)
    }

    /// The slot that all points from `first` to `last` belong to, if it is one and they come in time.
    #[inline]
    pub fn place_all(
        &mut self,
        feed: &Feed,
        first: i64,
        last: i64,
        open: impl FnOnce() -> W,
    ) -> Option<u32> {
        if last > feed.limit || self.grid.pane(first) != self.grid.pane(last) {
            return None;
        }
        match self.place(feed, first, open) {
            HopPlace::Open(slot) => Some(slot),
            _ => None,
        }
    }

    fn find(&mut self, feed: &Feed, time: i64, open: impl FnOnce() -> W) -> HopPlace {
        if time > feed.limit {
            return HopPlace::Future;
        }
        let index = self.grid.pane(time);
        let known = self.slots.find(index);
        let fresh = |pane: &Pane<W>| pane.batch == self.batch;
        let pane = known.and_then(|at| self.slots.get(at));
        // The windows of a pane were looked at when the batch's first point for it came.
        let (slot, late) = match (known, pane) {
            (Some(at), Some(pane)) if fresh(pane) => (at, pane.late),
            _ => match self.enter(feed, index, known, open) {
                Ok(entered) => entered,
                Err(refused) => return refused,
            },
        };
        let place = match late {
            None => HopPlace::Open(slot),
            Some(missed) => HopPlace::Late { slot, missed },
        };
        let span = self.grid.pane_span(index);
        let len = (span.end as u64).wrapping_sub(span.start as u64);
        // Points of one pane that are refused as future ones must not take the short way.
        let len = len.min((feed.limit as u64).wrapping_sub(span.start as u64).saturating_add(1));
        self.hot = (span.start, len, place);
        place
    }

    /// Lets a pane take points of the batch at hand: opens its windows and the pane itself.
    fn enter(
        &mut self,
        feed: &Feed,
        index: i64,
        known: Option<u32>,
        open: impl FnOnce() -> W,
    ) -> Result<(u32, Option<bool>), HopPlace> {
        let (mut missed, mut corrects, mut takes) = (false, false, false);
        let mut new = Vec::new();
        for number in self.grid.windows(index) {
            match self.windows.get(&number) {
                Some(window) if !window.life.takes(self.now, self.policy.grace) => missed = true,
                Some(window) => {
                    takes = true;
                    corrects |= window.life.emitted.is_some();
                }
                None if self.emitted.contains(number) => missed = true,
                None => new.push(number),
            }
        }
        if !takes && new.is_empty() {
            return Err(HopPlace::TooLate);
        }
        if !new.is_empty() && self.windows.len() + new.len() > self.max().saturating_mul(2) {
            return Err(HopPlace::Full);
        }
        for number in new {
            self.open(number);
        }
        for (_, window) in self.windows.range_mut(self.grid.windows(index)) {
            let life = &mut window.life;
            if !life.takes(self.now, self.policy.grace) {
                continue;
            }
            life.fed |= feed.catching_up;
            if life.emitted.is_some() {
                life.corrected.get_or_insert(self.now);
            }
        }
        let at = match known {
            Some(at) => at,
            None => self.open_pane(index, open()),
        };
        let late = (missed || corrects).then_some(missed);
        if let Some(pane) = self.slots.get_mut(at) {
            (pane.batch, pane.late) = (self.batch, late);
        }
        Ok((at, late))
    }

    fn open(&mut self, number: i64) {
        while self.windows.len() - self.forced >= self.max() && self.force_oldest() {}
        self.enter_window(number);
    }

    fn enter_window(&mut self, number: i64) {
        self.windows.insert(number, Window::default());
        self.slots.each_mut(self.grid.panes(number), |pane| {
            pane.open += 1;
            pane.kept += 1;
        });
    }

    fn open_pane(&mut self, index: i64, content: W) -> u32 {
        let of_pane = || self.windows.range(self.grid.windows(index));
        let pane = Pane {
            index,
            open: of_pane().filter(|(_, w)| w.life.emitted.is_none()).count() as u32,
            kept: of_pane().count() as u32,
            batch: 0,
            late: None,
            deliveries: Vec::new(),
            content,
        };
        self.slots.insert(index, pane)
    }

    /// Notes groups of points that came late for the windows of a pane that were emitted and still
    /// take them.
    pub fn mark(&mut self, slot: u32, groups: &[u32]) {
        let Some(pane) = self.slots.get(slot) else { return };
        for (_, window) in self.windows.range_mut(self.grid.windows(pane.index)) {
            if window.life.emitted.is_some() && window.life.takes(self.now, self.policy.grace) {
                let changed = &mut window.changed;
                changed.extend_from_slice(groups);
                if changed.len() == changed.capacity() {
                    changed.sort_unstable();
                    changed.dedup();
                }
            }
        }
    }

    /// What the pane in a slot holds.
    #[inline]
    pub fn content(&mut self, slot: u32) -> Option<&mut W> {
        Some(&mut self.slots.get_mut(slot)?.content)
    }

    /// What all panes hold, to be changed.
    pub fn contents(&mut self) -> impl Iterator<Item = &mut W> {
        self.slots.iter_mut().map(|pane| &mut pane.content)
    }

    /// What the panes of a window hold, the oldest first.
    pub fn panes(&self, window: i64) -> impl Iterator<Item = &W> {
        self.slots.range(self.grid.panes(window)).map(|pane| &pane.content)
    }

    /// The lists of groups that changed since windows were emitted, for whoever numbers them anew.
    pub fn changed(&mut self) -> impl Iterator<Item = &mut Vec<u32>> {
        self.windows.values_mut().map(|window| &mut window.changed)
    }

    /// Takes the groups of a window that changed since it was emitted, each once.
    pub fn take_changed(&mut self, window: i64) -> Vec<u32> {
        let window = self.windows.get_mut(&window);
        let mut changed = window.map(|w| std::mem::take(&mut w.changed)).unwrap_or_default();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Lets all panes that took points of the batch at hand hold its delivery handle: the source
    /// hears of them when the rows of all their windows have settled.
    pub fn hold_delivery(&mut self, batch: &Batch) {
        let Some(delivery) = batch.delivery() else { return };
        let mut full = None;
        for pane in self.slots.iter_mut() {
            // What was emitted before was settled by its first row.
            if pane.batch == self.batch && pane.open > 0 {
                pane.deliveries.push(delivery.clone());
                if pane.deliveries.len() >= Self::MAX_DELIVERIES {
                    full = Some(pane.index);
                }
            }
        }
        for number in full.map_or(0..0, |index| self.grid.windows(index)) {
            self.force(number);
        }
    }

    /// The delivery handles of a window's panes, as one. Panes that other windows are still to emit
    /// keep theirs.
    pub fn take_delivery(&mut self, window: i64) -> Option<Delivery> {
        if self.windows.get(&window).is_none_or(|window| window.life.emitted.is_some()) {
            return None;
        }
        let mut parts = Vec::new();
        self.slots.each_mut(self.grid.panes(window), |pane| {
            let joined = Delivery::join(std::mem::take(&mut pane.deliveries));
            if pane.open > 1 {
                pane.deliveries.extend(joined.clone());
            }
            parts.extend(joined);
        });
        Delivery::join(parts)
    }
}

#[cfg(test)]
mod tests;
