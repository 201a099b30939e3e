//! Which windows are due, and what becomes of them and of their panes.

use super::{HopReady, Hops, Pane, Window};
use crate::window::life::Life;
use crate::window::windows::Closing;

impl<W> Hops<W> {
    /// Lets a window close at the next opportunity, whoever may still feed it.
    pub(super) fn force(&mut self, number: i64) -> bool {
        let Some(window) = self.windows.get_mut(&number) else { return false };
        if window.life.forced {
            return false;
        }
        window.life.forced = true;
        self.forced += 1;
        self.early += u64::from(window.life.emitted.is_none());
        true
    }

    /// Lets the oldest window close that need not yet; whether there was one.
    pub fn force_oldest(&mut self) -> bool {
        let oldest = self.windows.iter().find(|(_, window)| !window.life.forced);
        oldest.map(|(number, _)| *number).is_some_and(|number| self.force(number))
    }

    /// Lets all windows close that hold the oldest pane of which that is not asked yet; the pane's
    /// content.
    pub fn force_oldest_pane(&mut self) -> Option<&W> {
        let is_held = |pane: &Pane<W>| {
            let mut windows = self.windows.range(self.grid.windows(pane.index));
            windows.any(|(_, window)| !window.life.forced)
        };
        let (at, pane) = self.slots.in_order().find(|(_, pane)| is_held(pane))?;
        let index = pane.index;
        let numbers: Vec<i64> =
            self.windows.range(self.grid.windows(index)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.force(number);
        }
        self.slots.get(at).map(|pane| &pane.content)
    }

    /// The next window to emit, oldest first; [`done`](Self::done) must follow.
    pub fn ready(&self, closing: Closing) -> Option<HopReady> {
        let ready = |number: i64, span, window: &Window| HopReady {
            window: number,
            span,
            correction: window.life.emitted.is_some(),
        };
        for (&number, window) in &self.windows {
            let (life, span) = (&window.life, self.grid.span(number));
            if life.is_due(closing, span.end, &self.sources, self.policy.grace, self.now) {
                return Some(ready(number, span, window));
            }
            // Windows end in their order.
            let later = span.end.saturating_add(self.policy.delay) > self.now;
            if self.forced == 0 && (closing == Closing::Forced || closing == Closing::Due && later)
            {
                return None;
            }
        }
        None
    }

    /// Calls `f` with the panes before a window's, in their order: those of windows that it overtakes,
    /// and of emitted ones that may be corrected.
    pub fn each_before(&mut self, number: i64, mut f: impl FnMut(&mut W)) {
        let first = self.grid.panes(number).start;
        self.slots.each_mut(i64::MIN..first, |pane| f(&mut pane.content));
    }

    /// Ends the emission of a window: it is remembered as emitted and forgotten, unless it takes late
    /// points for some time. Panes that no window needs any more are to be had from
    /// [`take_freed`](Self::take_freed).
    pub fn done(&mut self, number: i64) {
        let (now, keeps) = (self.now, self.policy.grace > 0);
        let Some(window) = self.windows.get_mut(&number) else { return };
        self.emitted.insert(number);
        self.hot.1 = 0;
        window.life.corrected = None;
        window.changed.clear();
        let was_open = window.life.emitted.is_none();
        let stays = keeps && !window.life.forced;
        if stays {
            window.life.emitted.get_or_insert(now);
        } else {
            self.forced -= usize::from(window.life.forced);
            self.windows.remove(&number);
        }
        self.leave(number, was_open, !stays);
    }

    /// Takes note for the panes of a window that it is emitted, or needs them no longer.
    fn leave(&mut self, number: i64, emitted: bool, gone: bool) {
        let mut unused = Vec::new();
        self.slots.each_mut(self.grid.panes(number), |pane| {
            pane.open -= u32::from(emitted && pane.open > 0);
            pane.kept -= u32::from(gone && pane.kept > 0);
            // Its windows are to be looked at anew.
            pane.batch = 0;
            if pane.kept == 0 {
                unused.push(pane.index);
            }
        });
        for index in unused {
            self.freed.extend(self.slots.remove(index).map(|pane| pane.content));
        }
        self.slots.shrink(0);
    }

    /// What a pane held that no window needs any more.
    pub fn take_freed(&mut self) -> Option<W> {
        self.freed.pop()
    }

    /// Ends the emission of a window and forgets it: later points open it anew. For a stage that
    /// emits early because it is full.
    pub fn restart(&mut self, number: i64) {
        let Some(window) = self.windows.remove(&number) else { return };
        self.forced -= usize::from(window.life.forced);
        self.hot.1 = 0;
        let was_open = window.life.emitted.is_none();
        self.early += u64::from(was_open);
        self.leave(number, was_open, true);
    }

    /// Gives up windows that take late points no longer, or all that were emitted.
    pub fn expire(&mut self, all: bool) {
        let (now, grace) = (self.now, self.policy.grace);
        if grace == 0 {
            return;
        }
        let over = |life: &Life| life.is_over(now, grace) || all && life.emitted.is_some();
        let windows = self.windows.iter().filter(|(_, window)| over(&window.life));
        for number in windows.map(|(number, _)| *number).collect::<Vec<i64>>() {
            self.restart(number);
        }
    }

    /// When to look again, if no point or message comes: never before a millisecond is over.
    pub fn next_due(&self) -> Option<i64> {
        let soon = self.now.saturating_add(1_000_000);
        let later = self.now.saturating_add(1_000_000_000);
        let grace = self.policy.grace;
        let next = self.windows.iter().filter_map(|(number, window)| {
            window.life.look_at(self.grid.span(*number).end, &self.sources, grace, later)
        });
        next.min().map(|due| due.max(soon))
    }

    /// The earliest start among windows that may still be emitted for the first time, as far as the
    /// open windows and the clock tell: what a statement that reads this one's rows may count on.
    pub fn low_watermark(&self) -> i64 {
        let clock = self.grid.first_open(self.now.saturating_sub(self.policy.delay));
        let open = self.windows.iter().find(|(_, window)| window.life.emitted.is_none());
        let first = open.map_or(clock, |(number, _)| clock.min(*number));
        self.grid.span(first).start
    }
}
