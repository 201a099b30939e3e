//! What a window goes through between its first point and its last row.

use super::codec::{Broken, Read, Reader, put_time};
use super::sources::Sources;
use super::windows::Closing;

/// The state of a window of any form.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Life {
    /// Since when it would be closed if no source held it: by the clock, not by its end, so that a
    /// clock that steps forward does not use up `hold`.
    pub held: Option<i64>,
    /// A catching-up source has fed it.
    pub fed: bool,
    /// It must close, whoever may still feed it.
    pub forced: bool,
    /// When it was emitted, if it still takes late points.
    pub emitted: Option<i64>,
    /// When the first late point since the last emission came.
    pub corrected: Option<i64>,
}

impl Life {
    /// When a window that ends at `end` is to be emitted; `None` if nothing but a point brings that
    /// about.
    pub fn due_at(&self, end: i64, sources: &Sources, grace: i64) -> Option<i64> {
        if let Some(emitted) = self.emitted {
            let last = emitted.saturating_add(grace);
            let corrected = self.corrected?;
            return Some(corrected.saturating_add(sources.delay()).min(last).max(corrected));
        }
        if self.forced {
            return Some(i64::MIN);
        }
        Some(sources.closes_at(end, self.fed, self.held))
    }

    /// Whether a window that ends at `end` is to be emitted now.
    pub fn is_due(
        &self,
        closing: Closing,
        end: i64,
        sources: &Sources,
        grace: i64,
        now: i64,
    ) -> bool {
        let has_more = self.emitted.is_none() || self.corrected.is_some();
        match closing {
            Closing::All => has_more,
            Closing::Forced => self.forced && has_more,
            Closing::Due => self.due_at(end, sources, grace).is_some_and(|due| due <= now),
        }
    }

    /// When to look at it again if no point or message comes. What a source's progress closes is
    /// looked at again at `later`.
    pub fn look_at(&self, end: i64, sources: &Sources, grace: i64, later: i64) -> Option<i64> {
        let due = self.due_at(end, sources, grace);
        if let Some(emitted) = self.emitted {
            let expiry = emitted.saturating_add(grace).saturating_add(1);
            return Some(due.map_or(expiry, |due| due.min(expiry)));
        }
        let ready = end.saturating_add(sources.delay());
        due.map(|due| if self.fed { due.min(ready.max(later)) } else { due })
    }

    /// Whether it was emitted and takes late points no longer.
    pub fn is_over(&self, now: i64, grace: i64) -> bool {
        let past = |at: i64| self.forced || now.saturating_sub(at) > grace;
        self.corrected.is_none() && self.emitted.is_some_and(past)
    }

    /// Whether it takes a point that comes now.
    pub fn takes(&self, now: i64, grace: i64) -> bool {
        self.emitted.is_none_or(|at| now.saturating_sub(at) <= grace)
    }

    /// After the clock stepped back, what happened "later" counts as having happened now.
    pub fn step_back(&mut self, now: i64) {
        for at in [&mut self.held, &mut self.emitted, &mut self.corrected] {
            *at = at.map(|at| at.min(now));
        }
    }

    /// Writes what outlives a restart.
    pub fn write(&self, out: &mut Vec<u8>) {
        let flags = [self.fed, self.forced, self.emitted.is_some(), self.corrected.is_some()];
        out.push(flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
        self.emitted.iter().chain(&self.corrected).for_each(|at| put_time(out, *at));
    }

    /// Reads what was written. Who fed the window may come back, so that it waits for whoever is
    /// catching up.
    pub fn read(now: i64, from: &mut Reader<'_>) -> Read<Life> {
        let flags = from.flags(15)?;
        let mut time = |bit: u8| match flags & bit {
            0 => Ok(None),
            _ => from.time().map(|at| Some(at.min(now))),
        };
        let (emitted, corrected) = (time(4)?, time(8)?);
        if corrected.is_some() && emitted.is_none() {
            return Err(Broken);
        }
        let forced = flags & 2 != 0;
        Ok(Life { held: None, fed: true, forced, emitted, corrected })
    }
}
