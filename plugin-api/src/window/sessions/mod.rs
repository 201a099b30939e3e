//! Windows that last until a group is silent.

mod closing;
mod memory;
mod numbers;
mod state;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::grid::Span;
use super::groups::reserve;
use super::life::Life;
use super::sources::{Feed, Sources};
use super::windows::Policy;
use crate::batch::Batch;
use crate::plugin::{Control, Delivery};
use memory::Memory;

/// Where a point belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionPlace {
    /// Into the session in this slot.
    Open(u32),
    /// Into a session that was emitted.
    Late,
    /// Further ahead of the clock than is allowed.
    Future,
    /// There is no room before those that [`Closing::Forced`](super::Closing::Forced) tells are closed.
    Full,
}

/// A session that is to be emitted.
#[derive(Debug)]
pub struct ClosedSession {
    /// Its group.
    pub group: u32,
    /// Where its points were added.
    pub slot: u32,
    /// Further slots: those of sessions that became part of it.
    pub more: Vec<u32>,
    /// From its first point to the gap behind its last.
    pub span: Span,
    /// It was emitted before and has taken late points since.
    pub correction: bool,
    /// What its points came with.
    pub delivery: Option<Delivery>,
}

struct Session {
    group: u32,
    slot: u32,
    more: Vec<u32>,
    /// The time of the first point and of the last.
    start: i64,
    last: i64,
    /// Later points reach the group's next session.
    until: i64,
    /// `last` as it stands in the queue that it waits in.
    queued: i64,
    life: Life,
    /// The batch that fed it last.
    batch: u64,
    /// Tells it from others that had its number.
    stamp: u32,
    /// It stands in `by_time`.
    ordered: bool,
    deliveries: Vec<Delivery>,
}

/// The sessions of a group.
#[derive(Clone, Copy)]
struct OfGroup {
    /// The one that took its last point.
    recent: u32,
    count: u32,
}

impl OfGroup {
    const NONE: OfGroup = OfGroup { recent: NONE, count: 0 };
}

/// An entry of a queue: time, number of the session, its stamp.
type Entry = Reverse<(i64, u32, u32)>;

/// No session.
const NONE: u32 = u32::MAX;

/// The sessions of a stream, by group.
///
/// A point belongs to a session of its group if it lies at most `gap` from one of the session's
/// points; sessions that a point brings together become one. A point that reaches an open session
/// belongs to it, even if it reaches one that was emitted as well. What sessions hold is the
/// caller's, at *slots*: numbers from 0 on, given out once until [`compact`](Self::compact) numbers
/// them anew.
pub struct Sessions {
    policy: Policy,
    gap: i64,
    max: usize,
    sources: Sources,
    list: Vec<Option<Session>>,
    /// Numbers that are free in `list`.
    vacant: Vec<u32>,
    len: usize,
    groups: Vec<OfGroup>,
    /// By group and start: sessions of groups that have, or had, several.
    by_time: BTreeMap<(u32, i64), u32>,
    /// Open sessions by when they were to end when they were last looked at.
    queue: BinaryHeap<Entry>,
    /// Those that are past their end and held by sources, by their end and by since when.
    waiting: BinaryHeap<Entry>,
    held: VecDeque<(i64, u32, u32)>,
    /// Those that have been held for `hold` and wait for finite sources alone, by their end.
    overdue: BinaryHeap<Entry>,
    forced: Vec<(u32, u32)>,
    /// Sessions that were emitted and took late points since.
    corrected: Vec<(u32, u32)>,
    /// Sessions that take late points, in the order of their emission.
    kept: VecDeque<(u32, u32)>,
    memory: Memory,
    /// Sessions that took points of the batch at hand.
    touched: Vec<u32>,
    slots: u32,
    stamps: u32,
    batch: u64,
    now: i64,
    early: u64,
    deliveries: usize,
}

impl Sessions {
    /// How many delivery handles all sessions hold; the oldest must close early when there are more.
    pub const MAX_DELIVERIES: usize = 1 << 20;
    /// How many emitted sessions are remembered in silence.
    const MEMORY_KEPT: usize = 1024;
    /// Below this many slots they are not numbered anew.
    const COMPACT_MIN: u32 = 1024;

    /// No session yet. At most `max` may be open, and `memory` are remembered after their emission. Of
    /// the policy's grid nothing is heeded.
    pub fn new(policy: Policy, gap: i64, max: usize, memory: usize) -> Self {
        let Policy { delay, idle, hold, max_future, .. } = policy;
        Sessions {
            policy,
            gap: gap.max(1),
            max: max.max(1),
            sources: Sources::new(delay, idle, hold, max_future),
            list: Vec::new(),
            vacant: Vec::new(),
            len: 0,
            groups: Vec::new(),
            by_time: BTreeMap::new(),
            queue: BinaryHeap::new(),
            waiting: BinaryHeap::new(),
            held: VecDeque::new(),
            overdue: BinaryHeap::new(),
            forced: Vec::new(),
            corrected: Vec::new(),
            kept: VecDeque::new(),
            memory: Memory::new(memory),
            touched: Vec::new(),
            slots: 0,
            stamps: 0,
            batch: 0,
            now: i64::MIN,
            early: 0,
            deliveries: 0,
        }
    }

    /// Changes how many sessions may be open. With 0 no session begins; those that are open go on.
    pub fn set_max(&mut self, max: usize) {
        self.max = max;
    }

    /// How windows open and close.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The sources.
    pub fn sources_mut(&mut self) -> &mut Sources {
        &mut self.sources
    }

    /// Number of sessions that are open or still take late points.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sessions that had to close early, since the beginning.
    pub fn closed_early(&self) -> u64 {
        self.early
    }

    /// Bytes of memory held, without what the caller holds at the slots.
    pub fn byte_size(&self) -> usize {
        let entries = self.queue.capacity() + self.waiting.capacity() + self.held.capacity();
        let entries = entries + self.overdue.capacity();
        let lists = self.forced.capacity() + self.corrected.capacity() + self.kept.capacity();
        self.list.capacity() * size_of::<Option<Session>>()
            + (self.vacant.capacity() + self.touched.capacity()) * 4
            + self.groups.capacity() * size_of::<OfGroup>()
            + self.by_time.len() * 26
            + entries * size_of::<Entry>()
            + lists * 8
            + self.deliveries * size_of::<Delivery>()
            + self.memory.byte_size()
    }

    /// Gives back memory when no session is open.
    pub fn release(&mut self) {
        self.touched = Vec::new();
        if self.is_empty() {
            self.slots = 0;
            self.list = Vec::new();
            self.vacant = Vec::new();
            self.groups = Vec::new();
            self.queue = BinaryHeap::new();
            self.waiting = BinaryHeap::new();
            self.held = VecDeque::new();
            self.overdue = BinaryHeap::new();
            self.forced = Vec::new();
            self.corrected = Vec::new();
            self.kept = VecDeque::new();
            self.memory.shrink(Self::MEMORY_KEPT);
        }
    }

    /// Takes note of the clock.
    pub fn set_now(&mut self, now: i64) {
        if self.sources.set_now(now) {
            self.list.iter_mut().flatten().for_each(|session| session.life.step_back(now));
            self.held.iter_mut().for_each(|entry| entry.0 = entry.0.min(now));
        }
        self.now = now;
    }

    /// Takes note of a batch, before its points are placed, and of one without points of interest.
    pub fn observe(&mut self, now: i64, batch: &Batch) -> Feed {
        self.set_now(now);
        self.batch += 1;
        self.touched.clear();
        self.sources.observe(now, batch)
    }

    /// Takes note of a message.
    pub fn control(&mut self, now: i64, control: Control) {
        self.set_now(now);
        self.sources.control(now, control);
    }

    fn get(&self, id: u32) -> Option<&Session> {
        self.list.get(id as usize)?.as_ref()
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut Session> {
        self.list.get_mut(id as usize)?.as_mut()
    }

    /// The session of a point; `hash` is the hash of its group.
    #[inline]
    pub fn place(
        &mut self,
        feed: &Feed,
        group: u32,
        hash: impl FnOnce() -> u64,
        time: i64,
    ) -> SessionPlace {
        if let Some(of_group) = self.groups.get(group as usize)
            && let Some(Some(session)) = self.list.get_mut(of_group.recent as usize)
            && session.batch == self.batch
            && time >= session.start
            && time <= session.until.min(session.last.saturating_add(self.gap))
            && time <= feed.limit
        {
            session.last = session.last.max(time);
            return SessionPlace::Open(session.slot);
        }
        self.find(feed, group, hash, time)
    }

    fn find(
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
    fn take(&mut self, id: u32) -> Option<Session> {
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

    /// Lets all sessions that took points of the batch at hand hold its delivery handle: the source
    /// hears of them when the sessions' rows have settled.
    pub fn hold_delivery(&mut self, batch: &Batch) {
        let touched = std::mem::take(&mut self.touched);
        self.look_at_grown(&touched);
        if let Some(delivery) = batch.delivery() {
            for id in &touched {
                // What was emitted before was settled by its first row.
                if let Some(session) = self.list.get_mut(*id as usize).and_then(Option::as_mut)
                    && session.batch == self.batch
                    && session.life.emitted.is_none()
                {
                    session.deliveries.push(delivery.clone());
                    self.deliveries += 1;
                }
            }
            if self.deliveries > Self::MAX_DELIVERIES {
                self.force_oldest();
            }
        }
        self.touched = touched;
        self.touched.clear();
    }
}

#[cfg(test)]
mod tests;
