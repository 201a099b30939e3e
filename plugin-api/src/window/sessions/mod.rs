//! Windows that last until a group is silent.

mod closing;
mod memory;
mod numbers;
mod placing;
mod state;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::grid::Span;
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

    /// Gives back memory when no session is open; of those that were emitted the last are remembered.
    pub fn release(&mut self) {
        self.begin_anew();
        if self.is_empty() {
            self.memory.shrink(Self::MEMORY_KEPT);
        }
    }

    /// Numbers sessions and slots from 0 when none is open. Those that were emitted stay known: that
    /// none is open for a moment is no silence.
    pub fn begin_anew(&mut self) {
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
