//! The sources of a stream: which are live, which catch up, and how long those may hold a window.

use std::collections::HashMap;

use crate::batch::Batch;
use crate::plugin::Control;

/// One source.
#[derive(Debug, Clone)]
struct Source {
    origin: u64,
    /// The latest time among its points.
    event_time: i64,
    /// Where batches overtake each other: the latest time that was met at all.
    latest: i64,
    /// Something was learned since it was last adopted.
    news: bool,
    /// When it last gave a sign of life.
    seen: i64,
    /// Its latest points came within `delay` of their event time.
    live: bool,
    /// It ends by itself: windows wait for it without the bound of `hold`.
    finite: bool,
    /// Its progress is told and its points come in order: neither `delay`, `idle` nor `hold` apply.
    exact: bool,
}

/// What a batch brings along to the windows.
#[derive(Debug, Clone, Copy)]
pub struct Feed {
    /// Its source is catching up.
    pub catching_up: bool,
    /// Points later than this are refused.
    pub limit: i64,
}

/// How far the sources have come: which points of a stage that has no windows, but waits for others
/// up to some time, are due.
#[derive(Debug, Clone, Copy)]
pub struct Reached {
    now: i64,
    delay: i64,
    hold: i64,
    /// The latest end that is due if no catching-up source has a part in it, if one has, and if it
    /// has been held for too long.
    live: i64,
    fed: i64,
    overdue: i64,
}

impl Reached {
    /// Whether what ends at `end` is due. `fed` if a catching-up source has a part in it, which came
    /// at `since`.
    #[inline]
    pub fn is_due(&self, end: i64, fed: bool, since: i64) -> bool {
        if !fed {
            return end <= self.live;
        }
        let held = since.max(end.saturating_add(self.delay));
        end <= self.fed || end <= self.overdue && held.saturating_add(self.hold) <= self.now
    }

    /// How far the sources that catch up have come, if any is waited for.
    pub fn catching_up(&self) -> Option<i64> {
        (self.fed < self.live).then_some(self.fed)
    }
}

/// The sources of a stream.
///
/// It remembers at most [`Sources::MAX`] of them; the one that was silent longest is forgotten then,
/// and is met anew when it comes again.
#[derive(Debug, Clone)]
pub struct Sources {
    list: Vec<Source>,
    place: HashMap<u64, usize>,
    delay: i64,
    idle: i64,
    hold: i64,
    max_future: i64,
    /// The clock when it was last looked at.
    now: i64,
    /// When the agent came back after a restart: who fed a window until then may come back too.
    resumed: Option<i64>,
    /// Batches of one source overtake each other.
    overtake: bool,
}

impl Sources {
    /// How many sources are remembered.
    pub const MAX: usize = 4096;

    /// No source yet. Times are nanoseconds.
    pub fn new(delay: i64, idle: i64, hold: i64, max_future: i64) -> Self {
        Sources {
            list: Vec::new(),
            place: HashMap::new(),
            delay,
            idle,
            hold,
            max_future,
            now: i64::MIN,
            resumed: None,
            overtake: false,
        }
    }

    /// From now on batches of one source overtake each other, and do not tell how far it has come:
    /// [`Control::Reached`] does.
    pub fn let_overtake(&mut self) {
        self.overtake = true;
    }

    /// How long after its end a window is closed.
    pub fn delay(&self) -> i64 {
        self.delay
    }

    /// Takes note of the clock. After it stepped back, what was seen "later" counts as seen now.
    pub fn set_now(&mut self, now: i64) -> bool {
        let stepped_back = now < self.now;
        if stepped_back {
            for source in &mut self.list {
                source.seen = source.seen.min(now);
            }
            self.resumed = self.resumed.map(|at| at.min(now));
        }
        self.now = now;
        stepped_back
    }

    /// Takes note of a restart: windows of before wait `idle` for sources that are yet to come back.
    pub fn resume(&mut self, now: i64) {
        self.resumed = Some(now);
    }

    /// Whether sources of before the restart may be yet to come back.
    fn is_resuming(&self) -> bool {
        self.resumed.is_some_and(|resumed| self.now < resumed.saturating_add(self.idle))
    }

    /// Takes note of a batch, whether or not its points are of interest.
    pub fn observe(&mut self, now: i64, batch: &Batch) -> Feed {
        self.set_now(now);
        let limit = now.saturating_add(self.max_future);
        let (_, mut latest) = batch.time_range();
        if latest > limit {
            // One point from far ahead must not count as progress.
            latest = batch
                .rows()
                .map(|(_, row)| row.time)
                .filter(|&t| t <= limit)
                .max()
                .unwrap_or(i64::MIN);
        }
        let (delay, now, overtake) = (self.delay, self.now, self.overtake);
        let source = self.source(batch.origin());
        if latest > i64::MIN && !source.exact {
            if overtake {
                source.latest = source.latest.max(latest);
            } else {
                source.event_time = source.event_time.max(latest);
            }
            source.live = now.saturating_sub(latest) <= delay;
        }
        source.seen = now;
        source.news = true;
        Feed { catching_up: !source.live, limit }
    }

    /// Takes note of a message.
    pub fn control(&mut self, now: i64, control: Control) {
        self.set_now(now);
        match control {
            Control::Begin { origin, finite } => {
                let source = self.source(origin);
                source.finite = finite;
                source.seen = now;
            }
            Control::End { origin: 0 } => {
                let others = self.list.iter().filter(|source| !source.exact);
                for origin in others.map(|source| source.origin).collect::<Vec<_>>() {
                    self.forget(origin);
                }
            }
            Control::End { origin } => self.forget(origin),
            Control::Progress { origin, time_ns } => {
                let delay = self.delay;
                let source = self.source(origin);
                // What is told exactly may go back, when old points open windows again.
                source.event_time =
                    if source.exact { time_ns } else { source.event_time.max(time_ns) };
                source.live = !source.exact && now.saturating_sub(time_ns) <= delay;
                source.seen = now;
            }
            Control::Idle { origin } => {
                for source in &mut self.list {
                    if source.origin == origin || origin == 0 {
                        source.seen = i64::MIN;
                    }
                }
            }
            Control::Reached { origin, time_ns } => self.reach(origin, time_ns),
            Control::Flush | Control::Barrier(_) | Control::Stop => {}
        }
    }

    /// All points of a source up to that time have come.
    fn reach(&mut self, origin: u64, time_ns: i64) {
        if let Some(source) = self.place.get(&origin).and_then(|&at| self.list.get_mut(at))
            && !source.exact
        {
            source.event_time = source.event_time.max(time_ns.min(source.latest));
        }
    }

    /// Takes over what others learned of sources since they were last asked.
    pub fn adopt(&mut self, others: &mut Sources) {
        for other in &mut others.list {
            if !std::mem::take(&mut other.news) || other.exact {
                continue;
            }
            let source = self.source(other.origin);
            if !source.exact {
                source.latest = source.latest.max(other.latest);
            }
            if source.seen <= other.seen {
                (source.seen, source.live) = (other.seen, other.live && !source.exact);
            }
        }
    }

    /// Declares a source whose progress is always told and whose points come in order: a stream that
    /// another statement makes.
    pub fn set_exact(&mut self, origin: u64) {
        let source = self.source(origin);
        source.exact = true;
        source.live = false;
    }

    /// Whether a source was declared so.
    pub fn is_exact(&self, origin: u64) -> bool {
        self.place.get(&origin).is_some_and(|&at| self.list[at].exact)
    }

    fn source(&mut self, origin: u64) -> &mut Source {
        let at = match self.place.get(&origin) {
            Some(&at) => at,
            None => self.enter(origin),
        };
        &mut self.list[at]
    }

    #[cold]
    fn enter(&mut self, origin: u64) -> usize {
        if self.list.len() >= Self::MAX {
            let oldest = self.list.iter().filter(|s| !s.exact).min_by_key(|s| s.seen);
            if let Some(origin) = oldest.map(|source| source.origin) {
                self.forget(origin);
            }
        }
        let at = self.list.len();
        self.list.push(Source {
            origin,
            event_time: i64::MIN,
            latest: i64::MIN,
            news: false,
            seen: self.now,
            live: false,
            finite: false,
            exact: false,
        });
        self.place.insert(origin, at);
        at
    }

    fn forget(&mut self, origin: u64) {
        if let Some(at) = self.place.remove(&origin) {
            self.list.swap_remove(at);
            if let Some(moved) = self.list.get(at) {
                self.place.insert(moved.origin, at);
            }
        }
    }

    /// When a window that ends at `end` closes for want of other events: a time that is past means
    /// now, `i64::MAX` that only a source's progress or end closes it. `fed` if a catching-up source
    /// has fed it, `held` since when it is held.
    pub fn closes_at(&self, end: i64, fed: bool, held: Option<i64>) -> i64 {
        let ready = end.saturating_add(self.delay);
        if !fed {
            return ready;
        }
        let held_until = held.unwrap_or(ready.max(self.now)).saturating_add(self.hold);
        let resumed = self.resumed.map_or(ready, |resumed| resumed.saturating_add(self.idle));
        let mut at = ready.max(resumed);
        for source in &self.list {
            let reached = if source.exact { end } else { ready };
            if source.live || source.event_time >= reached {
                continue;
            }
            let mut until =
                if source.exact { i64::MAX } else { source.seen.saturating_add(self.idle) };
            if !source.finite && !source.exact {
                until = until.min(held_until);
            }
            at = at.max(until);
        }
        at
    }

    /// What is due now, by the rule of [`closes_at`](Self::closes_at).
    pub fn reached(&self) -> Reached {
        let (now, delay, hold) = (self.now, self.delay, self.hold);
        let live = now.saturating_sub(delay);
        let (fed, overdue) = (self.progress(now, true, 0), self.progress(now, false, 0));
        Reached { now, delay, hold, live, fed, overdue }
    }

    /// The least progress of the streams that other statements make; none without such.
    pub fn exact_progress(&self) -> Option<i64> {
        self.list.iter().filter(|source| source.exact).map(|source| source.event_time).min()
    }

    /// The latest time of which all points have come, as far as the clock and the catching-up sources
    /// tell. If not `patient`, those that windows wait for no longer than `hold` do not count.
    pub fn reached_by(&self, now: i64, patient: bool) -> i64 {
        // Further points of the very time that an exact source has reached may come.
        self.progress(now, patient, 1)
    }

    /// The latest time up to which nothing is waited for; if not `patient`, without those that are
    /// waited for no longer than `hold`. Exact sources count as so far behind of what they told.
    fn progress(&self, now: i64, patient: bool, behind: i64) -> i64 {
        if patient && self.is_resuming() {
            return i64::MIN;
        }
        let mut reached = now.saturating_sub(self.delay);
        for source in self.list.iter().filter(|source| !source.live) {
            if source.exact {
                reached = reached.min(source.event_time.saturating_sub(behind));
            } else if now < source.seen.saturating_add(self.idle) && (patient || source.finite) {
                reached = reached.min(source.event_time.saturating_sub(self.delay));
            }
        }
        reached
    }

    /// Number of sources that are remembered.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;

    const S: i64 = 1_000_000_000;

    fn batch(origin: u64, time: i64) -> Batch {
        let mut builder = BatchBuilder::default();
        builder.point("m").field("f", 1.0).finish(time).unwrap();
        let mut batch = builder.finish().unwrap();
        batch.set_origin(origin);
        batch
    }

    /// What is due by the summary is what is due by the rule, end by end.
    #[test]
    fn what_was_reached_is_what_closes() {
        let mut sources = Sources::new(2 * S, 5 * S, 20 * S, 60 * S);
        sources.set_exact(9);
        let mut random = 1_u64;
        let mut below = |n: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        for second in 1000..1200 {
            let now = second * S;
            match below(5) {
                0 => {
                    sources.observe(now, &batch(1, second * S));
                }
                1 => {
                    sources.observe(now, &batch(2, (second - 30 + below(20) as i64) * S));
                }
                2 => sources.control(now, Control::Begin { origin: 3, finite: below(2) == 0 }),
                3 => {
                    sources.observe(now, &batch(3, (second - 90 + below(40) as i64) * S));
                }
                _ => {
                    let time_ns = (second - below(9) as i64) * S;
                    sources.control(now, Control::Progress { origin: 9, time_ns });
                }
            }
            sources.set_now(now);
            let reached = sources.reached();
            for end in (second - 130..second + 3).map(|second| second * S) {
                let since = (second - below(40) as i64) * S;
                let held = since.max(end + 2 * S);
                assert_eq!(
                    reached.is_due(end, false, since),
                    sources.closes_at(end, false, None) <= now
                );
                let due = sources.closes_at(end, true, Some(held)) <= now;
                assert_eq!(reached.is_due(end, true, since), due, "{second} {end} {since}");
            }
        }
    }

    /// Delay 10, idle 1000, hold 5000, at most 50 ahead.
    fn sources() -> Sources {
        let mut sources = Sources::new(10, 1000, 5000, 50);
        sources.let_overtake();
        sources
    }

    #[test]
    fn what_overtook_does_not_close_windows() {
        let mut sources = sources();
        assert!(sources.observe(100_000, &batch(1, 500)).catching_up);
        assert_eq!(sources.closes_at(300, true, None), 101_000, "only its silence closes it");
        sources.control(100_000, Control::Reached { origin: 1, time_ns: 310 });
        assert_eq!(sources.closes_at(300, true, None), 310);
        assert_eq!(sources.closes_at(400, true, None), 101_000);
    }

    #[test]
    fn points_from_far_ahead_are_no_progress() {
        let mut sources = sources();
        sources.observe(1000, &batch(1, 500));
        sources.observe(1000, &batch(1, i64::MAX));
        sources.control(1000, Control::Reached { origin: 1, time_ns: i64::MAX });
        assert_eq!(sources.closes_at(490, true, None), 500);
        assert_eq!(sources.closes_at(491, true, None), 2000);
    }

    #[test]
    fn what_others_learned_is_taken_over_once() {
        let (mut own, mut other) = (sources(), sources());
        other.observe(1000, &batch(1, 500));
        own.adopt(&mut other);
        own.control(1000, Control::Reached { origin: 1, time_ns: 400 });
        assert_eq!(own.closes_at(390, true, None), 400);
        own.control(1000, Control::End { origin: 1 });
        own.adopt(&mut other);
        assert!(own.is_empty(), "it was learned before the end");
    }
}
