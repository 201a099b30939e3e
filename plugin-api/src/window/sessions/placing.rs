//! Which session of its group a point belongs to: one that it reaches, one made of two that it brings
//! together, or a new one.

use std::cmp::Reverse;

use super::{NONE, OfGroup, Session, SessionPlace, Sessions};
use crate::window::groups::reserve;
use crate::window::life::Life;
use crate::window::sources::Feed;

impl Sessions {
    pub(super) fn find(
        &mut self,
        feed: &Feed,
        group: u32,
        hash: impl FnOnce() -> u64,
        time: i64,
    ) -> SessionPlace {
        if time > feed.limit {
            return SessionPlace::Future;
        }
        let beside = self.neighbours(group, time);
        let (before, after) = beside;
        let gap = self.gap;
        let near = |id: &u32| {
            self.get(*id).is_some_and(|session| {
                time.saturating_sub(session.last) <= gap
                    && session.start.saturating_sub(time) <= gap
            })
        };
        let (before, after) = (before.filter(near), after.filter(near));
        let takes = |id: &u32| {
            self.get(*id).is_some_and(|session| session.life.takes(self.now, self.policy.grace))
        };
        let is_late = before.is_some() || after.is_some();
        let id = match (before.filter(takes), after.filter(takes)) {
            (Some(before), Some(after)) => {
                self.join(before, after);
                before
            }
            (Some(id), None) | (None, Some(id)) => id,
            (None, None) if is_late || self.memory.reaches(hash(), time, gap) => {
                return SessionPlace::Late;
            }
            (None, None) if self.len >= self.max => return SessionPlace::Full,
            (None, None) => self.open(group, time, beside),
        };
        self.extend(id, feed, time)
    }

    /// The group's last session that begins no later than `time`, and its first one after that.
    fn neighbours(&self, group: u32, time: i64) -> (Option<u32>, Option<u32>) {
        let OfGroup { recent, count } = self.of_group(group);
        if count <= 1 {
            let only = self.get(recent);
            return match only {
                Some(only) if only.start <= time => (Some(recent), None),
                Some(_) => (None, Some(recent)),
                None => (None, None),
            };
        }
        // What comes now mostly follows on the group's last session.
        let is_last = |session: &Session| session.until == i64::MAX && session.start <= time;
        if self.get(recent).is_some_and(is_last) {
            return (Some(recent), None);
        }
        let before = self.by_time.range((group, i64::MIN)..=(group, time)).next_back();
        let after = time
            .checked_add(1)
            .and_then(|next| self.by_time.range((group, next)..=(group, i64::MAX)).next());
        (before.map(|(_, id)| *id), after.map(|(_, id)| *id))
    }

    fn of_group(&self, group: u32) -> OfGroup {
        self.groups.get(group as usize).copied().unwrap_or(OfGroup::NONE)
    }

    /// Adds a point to a session that it reaches and that takes it.
    fn extend(&mut self, id: u32, feed: &Feed, time: i64) -> SessionPlace {
        let (now, batch) = (self.now, self.batch);
        let Some(session) = self.get_mut(id) else { return SessionPlace::Late };
        let (group, slot, stamp, start) =
            (session.group, session.slot, session.stamp, session.start);
        session.last = session.last.max(time);
        session.start = start.min(time);
        session.life.fed |= feed.catching_up;
        let is_new = session.batch != batch;
        session.batch = batch;
        let ordered = session.ordered;
        let corrects = session.life.emitted.is_some() && session.life.corrected.is_none();
        if corrects {
            session.life.corrected = Some(now);
            self.corrected.push((id, stamp));
        }
        if is_new {
            self.touched.push(id);
        }
        if time < start && ordered {
            self.by_time.remove(&(group, start));
            self.by_time.insert((group, time), id);
            self.bound_before(group, time, time.saturating_sub(self.gap).saturating_sub(1));
        }
        if let Some(of_group) = self.groups.get_mut(group as usize) {
            of_group.recent = id;
        }
        SessionPlace::Open(slot)
    }

    /// Tells the session before a moment how far its points may reach.
    fn bound_before(&mut self, group: u32, start: i64, until: i64) {
        if self.by_time.is_empty() {
            return;
        }
        let before = self.by_time.range((group, i64::MIN)..(group, start)).next_back();
        if let Some(id) = before.map(|(_, id)| *id)
            && let Some(session) = self.get_mut(id)
        {
            session.until = until;
        }
    }

    /// Opens a session for a point that reaches none.
    fn open(&mut self, group: u32, time: i64, beside: (Option<u32>, Option<u32>)) -> u32 {
        let after = beside.1.and_then(|id| self.get(id));
        let reach = |start: i64| start.saturating_sub(self.gap).saturating_sub(1);
        let until = after.map_or(i64::MAX, |after| reach(after.start));
        self.stamps = self.stamps.wrapping_add(1);
        let session = Session {
            group,
            slot: self.slots,
            more: Vec::new(),
            start: time,
            last: time,
            until,
            queued: time,
            life: Life::default(),
            batch: 0,
            stamp: self.stamps,
            ordered: false,
            deliveries: Vec::new(),
        };
        self.slots += 1;
        let before = reach(time);
        let id = self.vacant.pop().unwrap_or_else(|| {
            // Few are not worth more room than they need.
            if self.list.len() >= 256 {
                reserve(&mut self.list, 1);
            }
            self.list.push(None);
            (self.list.len() - 1) as u32
        });
        self.list[id as usize] = Some(session);
        self.len += 1;
        if self.groups.len() <= group as usize {
            self.groups.resize(group as usize + 1, OfGroup::NONE);
        }
        let of_group = &mut self.groups[group as usize];
        of_group.count += 1;
        if of_group.count == 1 {
            of_group.recent = id;
        } else {
            let only = of_group.recent;
            self.order(only);
            self.order(id);
            if let Some(session) = beside.0.and_then(|id| self.get_mut(id)) {
                session.until = before;
            }
        }
        self.queue.push(Reverse((time, id, self.stamps)));
        id
    }

    /// Lets a session be found by its time, now that its group has several.
    fn order(&mut self, id: u32) {
        if let Some(session) = self.list.get_mut(id as usize).and_then(Option::as_mut)
            && !session.ordered
        {
            session.ordered = true;
            self.by_time.insert((session.group, session.start), id);
        }
    }

    /// Makes one of two neighbours, which a point brings together.
    fn join(&mut self, first: u32, second: u32) {
        let Some(other) = self.take(second) else { return };
        let Some(session) = self.list.get_mut(first as usize).and_then(Option::as_mut) else {
            return;
        };
        session.last = session.last.max(other.last);
        session.until = other.until;
        session.more.push(other.slot);
        session.more.extend(other.more);
        session.deliveries.extend(other.deliveries);
        let (life, of_other) = (&mut session.life, &other.life);
        life.fed |= of_other.fed;
        life.forced |= of_other.forced;
        life.held = None;
        match (life.emitted, of_other.emitted) {
            (Some(own), Some(others)) => life.emitted = Some(own.min(others)),
            (None, None) => {}
            // With the open one it is open: its row comes at its end, and replaces the first one's.
            _ => (life.emitted, life.corrected) = (None, None),
        }
        if life.emitted.is_none() {
            session.queued = session.last;
            self.queue.push(Reverse((session.last, first, session.stamp)));
        }
    }

    /// Takes a session out.
    pub(super) fn take(&mut self, id: u32) -> Option<Session> {
        let session = self.list.get_mut(id as usize)?.take()?;
        self.vacant.push(id);
        self.len -= 1;
        if session.ordered {
            self.by_time.remove(&(session.group, session.start));
            self.bound_before(session.group, session.start, session.until);
        }
        if let Some(of_group) = self.groups.get_mut(session.group as usize) {
            of_group.count = of_group.count.saturating_sub(1);
            if of_group.recent == id {
                let range = (session.group, i64::MIN)..=(session.group, i64::MAX);
                let other = || self.by_time.range(range).next_back().map(|(_, id)| *id);
                of_group.recent = if session.ordered { other().unwrap_or(NONE) } else { NONE };
            }
        }
        Some(session)
    }
}
