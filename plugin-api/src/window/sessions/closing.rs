//! Which sessions are due, and what becomes of them.
//!
//! A session stands in the queue of those that may be over with the end it had when it was looked at:
//! points only move the end, and the queue hears of it when the old one has come. So a point costs
//! nothing there, and a lasting session one look in each gap.

use std::cmp::Reverse;

use super::{ClosedSession, Entry, Session, Sessions};
use crate::plugin::Delivery;
use crate::window::grid::Span;
use crate::window::windows::{Closing, Policy};

impl Sessions {
    /// Lets an eighth of the sessions close, the oldest. They are not remembered as emitted: what
    /// comes for them later begins anew.
    pub fn force_oldest(&mut self) {
        let is_open = |session: &&Session| session.life.emitted.is_none() && !session.life.forced;
        let open = self.list.iter().flatten().filter(is_open);
        let mut ends: Vec<i64> = open.map(|session| session.last).collect();
        if ends.is_empty() {
            return;
        }
        let at = ends.len() / 8;
        let limit = *ends.select_nth_unstable(at).1;
        let mut left = at + 1;
        for (id, session) in self.list.iter_mut().enumerate() {
            let Some(session) = session else { continue };
            let is_open = session.life.emitted.is_none() && !session.life.forced;
            if left > 0 && is_open && session.last <= limit {
                left -= 1;
                session.life.forced = true;
                self.early += 1;
                self.forced.push((id as u32, session.stamp));
            }
        }
    }

    /// A session that a queue tells of, if it is still the same and open.
    fn queued(&self, entry: Entry) -> Option<(u32, &Session)> {
        let Reverse((last, id, stamp)) = entry;
        let session = self.get(id)?;
        let same = session.stamp == stamp && session.queued == last;
        (same && session.life.emitted.is_none()).then_some((id, session))
    }

    /// When a session's time is over: a point at its very end still belongs to it.
    fn end(&self, last: i64) -> i64 {
        last.saturating_add(self.gap).saturating_add(1)
    }

    /// Takes the sessions that are due, at most `most`; `hash` tells the hash of a group.
    pub fn take_due(
        &mut self,
        closing: Closing,
        most: usize,
        hash: &dyn Fn(u32) -> u64,
    ) -> Vec<ClosedSession> {
        let mut due: Vec<u32> = Vec::new();
        if closing == Closing::All {
            let has_more = |session: &Session| {
                session.life.emitted.is_none() || session.life.corrected.is_some()
            };
            let ids = 0..self.list.len() as u32;
            due.extend(ids.filter(|id| self.get(*id).is_some_and(has_more)));
            return self.close(&due, hash);
        }
        for (id, stamp) in std::mem::take(&mut self.forced) {
            if self.get(id).is_some_and(|session| session.stamp == stamp && session.life.forced) {
                due.push(id);
            }
        }
        let mut closed = self.close(&due, hash);
        if closing == Closing::Due {
            for find in [Self::find_ended, Self::find_released, Self::find_corrected] {
                let mut due = Vec::new();
                find(self, most.saturating_sub(closed.len()), &mut due);
                closed.extend(self.close(&due, hash));
            }
        }
        closed
    }

    /// Sessions whose end is past and that no source holds.
    fn find_ended(&mut self, most: usize, due: &mut Vec<u32>) {
        while due.len() < most
            && let Some(&entry) = self.queue.peek()
            && self.end(entry.0.0).saturating_add(self.policy.delay) <= self.now
        {
            self.queue.pop();
            let Some((id, session)) = self.queued(entry) else { continue };
            let (last, stamp, end) = (session.last, session.stamp, self.end(session.last));
            let is_due = self.sources.closes_at(end, session.life.fed, None) <= self.now;
            let now = self.now;
            let Some(session) = self.get_mut(id) else { continue };
            if session.queued < last {
                session.queued = last;
                self.queue.push(Reverse((last, id, stamp)));
            } else if is_due {
                due.push(id);
            } else {
                session.life.held = Some(now);
                self.waiting.push(Reverse((last, id, stamp)));
                self.held.push_back((now, id, stamp));
            }
        }
    }

    /// Sessions that sources held so far.
    fn find_released(&mut self, most: usize, due: &mut Vec<u32>) {
        // Who may feed one may feed those that end later as well.
        while due.len() < most
            && let Some(&entry) = self.waiting.peek()
            && let Some(id) = self.released(entry)
        {
            self.waiting.pop();
            due.extend(id);
        }
        while let Some(&(held, id, stamp)) = self.held.front()
            && held.saturating_add(self.policy.hold) <= self.now
        {
            self.held.pop_front();
            let session = self.get(id).filter(|session| session.stamp == stamp);
            if let Some(session) = session.filter(|session| session.life.held == Some(held)) {
                self.overdue.push(Reverse((session.queued, id, stamp)));
            }
        }
        // A finite source holds them without that bound.
        while due.len() < most
            && let Some(&entry) = self.overdue.peek()
            && let Some(id) = self.released(entry)
        {
            self.overdue.pop();
            due.extend(id.filter(|id| !due.contains(id)));
        }
    }

    /// Lets sessions that were held and have grown be held anew from when they may be over.
    pub(super) fn look_at_grown(&mut self, ids: &[u32]) {
        if self.waiting.is_empty() && self.overdue.is_empty() {
            return;
        }
        for &id in ids {
            let Some(session) = self.get_mut(id) else { continue };
            let (last, stamp) = (session.last, session.stamp);
            if session.life.held.is_some() && session.queued < last {
                (session.queued, session.life.held) = (last, None);
                self.queue.push(Reverse((last, id, stamp)));
            }
        }
    }

    /// Whether an entry of those that are held has nothing more to wait for; with the session that is
    /// due then. One that grew goes back to those that may be over.
    fn released(&mut self, entry: Entry) -> Option<Option<u32>> {
        let Some((id, session)) = self.queued(entry) else { return Some(None) };
        let (last, held) = (session.last, session.life.held);
        if last > entry.0.0 {
            self.look_at_grown(&[id]);
            return Some(None);
        }
        let at = self.sources.closes_at(self.end(last), true, held);
        (at <= self.now).then_some(Some(id))
    }

    /// Sessions that were emitted and are to be corrected.
    fn find_corrected(&mut self, most: usize, due: &mut Vec<u32>) {
        let list = std::mem::take(&mut self.corrected);
        for (id, stamp) in list {
            let Some(session) = self.get(id).filter(|session| session.stamp == stamp) else {
                continue;
            };
            if session.life.emitted.is_none() || session.life.corrected.is_none() {
                continue;
            }
            let end = self.end(session.last);
            let at = session.life.due_at(end, &self.sources, self.policy.grace);
            if due.len() < most && at.is_some_and(|at| at <= self.now) {
                due.push(id);
            } else {
                self.corrected.push((id, stamp));
            }
        }
    }

    /// Ends sessions; those that take late points stay.
    fn close(&mut self, due: &[u32], hash: &dyn Fn(u32) -> u64) -> Vec<ClosedSession> {
        let (now, grace, gap) = (self.now, self.policy.grace, self.gap);
        let mut closed = Vec::with_capacity(due.len());
        for &id in due {
            let Some(session) = self.get_mut(id) else { continue };
            let stays = grace > 0 && !session.life.forced;
            let deliveries = std::mem::take(&mut session.deliveries);
            let correction = session.life.emitted.is_some();
            closed.push(ClosedSession {
                group: session.group,
                slot: session.slot,
                more: session.more.clone(),
                span: Span { start: session.start, end: session.last.saturating_add(gap) },
                correction,
                delivery: None,
            });
            session.life.corrected = None;
            session.life.emitted.get_or_insert(now);
            let (stamp, forced) = (session.stamp, session.life.forced);
            self.deliveries = self.deliveries.saturating_sub(deliveries.len());
            if let Some(last) = closed.last_mut() {
                last.delivery = Delivery::join(deliveries);
            }
            if stays && !correction {
                self.kept.push_back((id, stamp));
            } else if !stays
                && let Some(session) = self.take(id)
                && !forced
            {
                self.memory.insert(hash(session.group), session.start, session.last);
            }
        }
        closed
    }

    /// Gives up sessions that take late points no longer; whether there were any.
    pub fn expire(&mut self, hash: &dyn Fn(u32) -> u64) -> bool {
        let (now, grace) = (self.now, self.policy.grace);
        let mut any = false;
        while let Some(&(id, stamp)) = self.kept.front() {
            let session = self.get(id).filter(|session| session.stamp == stamp);
            if let Some(session) = session.filter(|session| session.life.emitted.is_some()) {
                if !session.life.is_over(now, grace) {
                    break;
                }
                if let Some(session) = self.take(id) {
                    self.memory.insert(hash(session.group), session.start, session.last);
                    any = true;
                }
            }
            self.kept.pop_front();
        }
        any
    }

    /// Forgets all sessions after they were emitted: later points begin anew. For a stage that emits
    /// early because it is full. Gives what is to be emitted.
    pub fn restart(&mut self, hash: &dyn Fn(u32) -> u64) -> Vec<ClosedSession> {
        let ids: Vec<u32> = (0..self.list.len() as u32).collect();
        let open = ids.iter().filter(|id| {
            self.get(**id).is_some_and(|s| s.life.emitted.is_none() || s.life.corrected.is_some())
        });
        let open: Vec<u32> = open.copied().collect();
        for id in &open {
            if let Some(session) = self.get_mut(*id)
                && session.life.emitted.is_none()
            {
                let early = u64::from(!session.life.forced);
                session.life.forced = true;
                self.early += early;
            }
        }
        let closed = self.close(&open, hash);
        for id in ids {
            if let Some(session) = self.take(id) {
                self.memory.insert(hash(session.group), session.start, session.last);
            }
        }
        closed
    }

    /// When to look again, if no point or message comes: never before a millisecond is over.
    pub fn next_due(&self) -> Option<i64> {
        let soon = self.now.saturating_add(1_000_000);
        let later = self.now.saturating_add(1_000_000_000);
        let Policy { delay, grace, hold, .. } = self.policy;
        let ended = self.queue.peek().map(|entry| self.end(entry.0.0).saturating_add(delay));
        // What a source's progress closes is looked at again each second, and when its silence does.
        let waiting = self.waiting.peek().map(|entry| {
            let held = self.get(entry.0.1).and_then(|session| session.life.held);
            self.sources.closes_at(self.end(entry.0.0), true, held).min(later)
        });
        let held = self.held.front().map(|(held, ..)| held.saturating_add(hold));
        let forced = (!self.forced.is_empty()).then_some(soon);
        let corrected = self.corrected.iter().filter_map(|(id, _)| {
            let session = self.get(*id)?;
            session.life.due_at(self.end(session.last), &self.sources, grace)
        });
        let kept = self.kept.front().and_then(|(id, _)| {
            let emitted = self.get(*id)?.life.emitted?;
            Some(emitted.saturating_add(grace).saturating_add(1))
        });
        let all = [ended, waiting, held, forced, corrected.min(), kept];
        all.into_iter().flatten().min().map(|due| due.max(soon))
    }

    /// The earliest start, or end, among sessions that may still be emitted for the first time, as far
    /// as the open ones and the clock tell: what a statement that reads this one's rows may count on.
    pub fn low_watermark(&self, of_ends: bool) -> i64 {
        let ahead = if of_ends { self.gap } else { 0 };
        let clock = self.now.saturating_sub(self.policy.delay);
        let open = self.list.iter().flatten().filter(|session| session.life.emitted.is_none());
        let time = |session: &Session| if of_ends { session.last } else { session.start };
        open.map(time).min().map_or(clock, |first| first.min(clock)).saturating_add(ahead)
    }
}
