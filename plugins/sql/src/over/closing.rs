//! Rows on their way out: of points whose time has come, and what no later row sees.

use headwater_plugin_api::window::Closing;

use super::{CALL_ROWS, LOOK_NS, Making, OverState, TIDY_MIN, queues};

impl OverState {
    /// Makes rows of points whose time has come until so many are ready; whether there were any.
    pub(super) fn fill(
        &mut self,
        live: i64,
        fed: i64,
        want: usize,
        making: &mut Making<'_>,
    ) -> bool {
        let before = self.ready.rows.len();
        while self.ready.len() < want {
            let list = &mut self.partitions.list;
            let Some((_, number, stamp)) = self.queues.pop(live, fed, list) else { break };
            let (a, b) = self.queues.tops(list);
            let next = [a, b].into_iter().flatten().map(|entry| entry.0).min();
            self.go_on(number, stamp, want, making, |(time, by_source)| {
                time <= if by_source { fed } else { live } && next.is_none_or(|next| time <= next)
            });
        }
        self.sort(before)
    }

    /// Makes rows of a run while `goes` says so of the next point.
    fn go_on(
        &mut self,
        number: u32,
        stamp: u32,
        want: usize,
        making: &mut Making<'_>,
        goes: impl Fn((i64, bool)) -> bool,
    ) {
        let Some(partition) = self.partitions.list.get_mut(number as usize) else { return };
        let Some(at) = partition.runs.iter().position(|run| run.stamp == stamp) else { return };
        let reach = self.layout.reach;
        loop {
            let run = &mut partition.runs[at];
            let (before, kept) = (run.last, run.history.times.len());
            let failures = &mut making.cx.failures;
            let made = run.release(&self.layout, number, &mut self.ready, self.now, failures);
            self.waiting -= made;
            self.kept = self.kept + run.history.times.len() - kept;
            let (last, next) = (run.last, run.first);
            let goes = made > 0 && !run.pending.is_empty() && goes(next);
            if let (Some(time), true) = (last, made > 0) {
                partition.cover(reach, before, time);
            }
            if !goes || self.ready.len() >= want {
                break;
            }
        }
        let run = &mut partition.runs[at];
        run.queued = None;
        self.queues.enter(number, run);
        self.queues.end(number, run, reach);
    }

    /// Sorts the rows that were made since there were so many; whether there were any.
    fn sort(&mut self, before: usize) -> bool {
        let any = self.ready.rows.len() > before;
        if any {
            self.ready.sort(&self.partitions.table);
        }
        any
    }

    /// Makes the rows of points that were held as long as they may be.
    fn look(&mut self, making: &mut Making<'_>) {
        if self.now < self.look {
            return;
        }
        let (before, width) = (self.ready.rows.len(), self.layout.width());
        let reached = self.sources.reached_by(self.now, false);
        let mut look = i64::MAX;
        for (time, number, stamp) in self.queues.fed() {
            let run = self.partitions.list.get_mut(number as usize).and_then(|p| p.run(stamp));
            let Some(run) = run.filter(|run| run.queued == Some((time, true))) else { continue };
            let mut until = None;
            for (point, _) in run.waiting(width) {
                let ready = point.since.max(point.time.saturating_add(self.delay));
                let end = ready.saturating_add(self.hold);
                if end <= self.now && point.time <= reached {
                    until = Some(point.time);
                } else {
                    look = look.min(end);
                }
            }
            if let Some(until) = until {
                self.go_on(number, stamp, usize::MAX, making, |(time, _)| time <= until);
            }
        }
        self.look = match look {
            i64::MAX => i64::MAX,
            look => look.max(self.now.saturating_add(LOOK_NS)),
        };
        self.sort(before);
    }

    /// Sends rows out that were made.
    pub(super) fn emit(&mut self, room: &mut usize, making: &mut Making<'_>) {
        let (name, origin) = (self.name.as_str(), self.origin);
        let batches = &mut self.batches;
        if let Some(last) = self.ready.go_on(room, &self.layout, name, origin, batches, making) {
            self.lag = self.now.saturating_sub(last).max(0);
        }
    }

    /// Sends all rows out that were made.
    pub(super) fn emit_all(&mut self, making: &mut Making<'_>) {
        let mut room = usize::MAX;
        self.emit(&mut room, making);
    }

    /// Emits the rows that are due; whether partitions were numbered anew.
    pub fn close(&mut self, making: &mut Making<'_>, now: i64, closing: Closing) -> bool {
        self.set_now(now);
        let all = closing != Closing::Due;
        let mut room = if all { usize::MAX } else { CALL_ROWS };
        let (live, fed) = match all {
            true => (i64::MAX, i64::MAX),
            false => (now.saturating_sub(self.delay), self.sources.reached_by(now, true)),
        };
        self.look(making);
        loop {
            self.emit(&mut room, making);
            if room == 0 || !self.fill(live, fed, room.min(CALL_ROWS), making) {
                break;
            }
        }
        let (a, b) = self.queues.tops(&mut self.partitions.list);
        let due = |entry: Option<queues::Entry>, until: i64| entry.is_some_and(|e| e.0 <= until);
        self.more = !self.ready.is_empty() || due(a, live) || due(b, fed);
        self.end(now.saturating_sub(self.delay));
        let known = self.partitions.list.len();
        let untidy = known > TIDY_MIN && self.partitions.emptied * 2 > known;
        if untidy {
            self.tidy();
        }
        untidy
    }

    /// Gives up the runs that no later point sees: a point that would is late from now on.
    pub(super) fn end(&mut self, live: i64) {
        let Some(reach) = self.layout.reach else { return };
        let mut reached = None;
        while let Some(&std::cmp::Reverse((time, number, stamp))) = self.queues.ending.peek()
            && time <= live
        {
            self.queues.ending.pop();
            let Some(partition) = self.partitions.list.get_mut(number as usize) else { continue };
            let Some(at) = partition.runs.iter().position(|run| run.stamp == stamp) else {
                continue;
            };
            let run = &mut partition.runs[at];
            let (Some(last), true) = (run.last, run.pending.is_empty()) else {
                run.ending = false;
                continue;
            };
            let end = last.saturating_add(reach);
            let (patient, impatient) = *reached.get_or_insert_with(|| {
                let reached = |patient| self.sources.reached_by(self.now, patient);
                (reached(true), reached(false))
            });
            let held = run.made.max(end.saturating_add(self.delay)).saturating_add(self.hold);
            let over = !run.last_fed || end <= patient || end <= impatient && held <= self.now;
            if end > time || !over {
                let later = end.max(live.saturating_add(LOOK_NS));
                self.queues.ending.push(std::cmp::Reverse((later, number, stamp)));
                if later <= live {
                    break;
                }
                continue;
            }
            self.kept -= run.history.times.len();
            partition.runs.remove(at);
            partition.covered.insert_range(last, end);
            self.partitions.emptied += usize::from(partition.runs.is_empty());
        }
    }
}
