//! Points on their way in: into their partitions, within what may be held.

use headwater_plugin_api::batch::PointRef;

use super::partitions::Partition;
use super::run::Pending;
use super::{CALL_ROWS, Feeding, Making, OverState};
use crate::accumulate::held::Held;
use crate::eval;
use crate::points::Points;
use crate::statement::{Late, NO_GROUP, Relief};
use crate::vector::Vector;

impl OverState {
    /// Adds points of one shape. `known` holds their partitions, if all are known.
    pub fn add(
        &mut self,
        work: &mut Feeding<'_>,
        making: &mut Making<'_>,
        points: &Points<'_>,
        keys_by_series: bool,
        known: &mut Vec<u32>,
    ) {
        if !known.is_empty() {
            std::mem::swap(&mut self.partitions.of_rows, known);
            self.place(work, making, points);
            return self.bound(making);
        }
        let live = self.now.saturating_sub(self.delay);
        let ending = self.queues.ending.peek();
        self.partitions.begin(ending.is_some_and(|entry| entry.0.0 <= live));
        let mut rest = points.rows;
        while !rest.is_empty() {
            let (keys, partitions) = (&making.over.keys, &mut self.partitions);
            let done = if keys_by_series {
                partitions.by_series(work, keys, rest, making.cx)
            } else {
                partitions.by_point(keys, &Points { rows: rest, ..*points }, making.cx)
            };
            let (now, later) = rest.split_at(done);
            self.place(work, making, &Points { rows: now, ..*points });
            rest = later;
            if !rest.is_empty() {
                self.make_room(work, making);
            }
        }
        self.bound(making);
    }

    /// Lets points wait whose partitions are known.
    fn place(&mut self, work: &Feeding<'_>, making: &mut Making<'_>, points: &Points<'_>) {
        let groups = std::mem::take(&mut self.partitions.of_rows);
        let table = work.batch.tables().rows();
        let mut rows = Vec::with_capacity(points.rows.len());
        let mut partitions = Vec::with_capacity(points.rows.len());
        let (from, late_name) = (making.out.len(), format!("{}_late", self.name));
        for (at, group) in points.rows.iter().zip(&groups) {
            let row = &table[*at as usize];
            let partition = self.partitions.list.get(*group as usize);
            let Some(partition) = partition.filter(|_| *group != NO_GROUP) else {
                making.counts.overflow += 1;
                continue;
            };
            if row.time > work.feed.limit {
                making.counts.future += 1;
            } else if partition.covered.contains(row.time) {
                making.counts.late += 1;
                if self.late == Late::Pass {
                    let point = PointRef::new(work.batch, row);
                    let derived = match self.name.is_empty() {
                        true => format!("{}_late", crate::emit::derived_name(point.series())),
                        false => late_name.clone(),
                    };
                    making.emitter.copy(&derived, &point, making.out);
                }
            } else {
                rows.push(*at);
                partitions.push(*group);
            }
        }
        self.partitions.of_rows = groups;
        if self.late == Late::Pass {
            making.emitter.finish(making.out);
            for made in &mut making.out[from..] {
                made.set_origin(work.batch.origin());
                made.set_delivery(work.batch.delivery().cloned());
            }
        }
        if rows.is_empty() {
            return;
        }
        let points = Points { rows: &rows, ..*points };
        let nodes = making.over.inputs.iter().chain(&making.over.carried);
        let values: Vec<Vector<'_>> =
            nodes.map(|node| eval::eval(node, &points, making.cx)).collect();
        let batch = self.batches.current(work.batch.delivery());
        self.batches.hold(batch, rows.len());
        let copies = match making.over.star {
            true => {
                let all = rows.iter().map(|at| PointRef::new(work.batch, &table[*at as usize]));
                self.batches.keep(batch, all)
            }
            false => Vec::new(),
        };
        for (at, (row, partition)) in rows.iter().zip(&partitions).enumerate() {
            let point = Pending {
                time: table[*row as usize].time,
                arrival: self.batch << 32 | u64::from(*row),
                since: self.now,
                batch,
                copy: copies.get(at).copied().unwrap_or(u32::MAX),
                fed: work.feed.catching_up,
            };
            self.wait(*partition, point, values.iter().map(|column| Held::of(column.cell(at))));
        }
    }

    /// A point waits from now on.
    fn wait(&mut self, number: u32, point: Pending, values: impl Iterator<Item = Held>) {
        let Some(partition) = self.partitions.list.get_mut(number as usize) else { return };
        let at = partition.place(&self.layout, point.time, point.fed, &mut self.stamps);
        let run = &mut partition.runs[at];
        run.add(self.layout.width(), point, values);
        self.queues.enter(number, run);
        self.waiting += 1;
        if point.fed {
            let held = point.since.max(point.time.saturating_add(self.delay));
            self.look = self.look.min(held.saturating_add(self.hold));
        }
    }

    /// Makes room for further partitions: by forgetting those that hold nothing, and by emitting what
    /// waits if that is wished.
    fn make_room(&mut self, work: &mut Feeding<'_>, making: &mut Making<'_>) {
        self.end(self.now.saturating_sub(self.delay));
        if self.partitions.emptied > 0 {
            self.tidy();
        }
        if self.partitions.must_flush() {
            self.flush(making);
        }
        self.partitions.made_room();
        work.series.each_mut().for_each(|info| info.group = NO_GROUP);
    }

    /// Emits what waits, and begins all partitions anew.
    fn flush(&mut self, making: &mut Making<'_>) {
        making.counts.early += self.waiting as u64;
        while self.fill(i64::MAX, i64::MAX, CALL_ROWS, making) {
            self.emit_all(making);
        }
        self.emit_all(making);
        self.partitions.clear();
        self.queues = super::queues::Queues::default();
        self.kept = 0;
    }

    /// Whether new partitions are taken.
    pub fn set_closed(&mut self, closed: bool) {
        self.partitions.closed = closed;
    }

    /// Makes do with less memory. Partitions are numbered anew.
    pub fn relieve(&mut self, making: &mut Making<'_>, relief: Relief) {
        match relief {
            Relief::Spare => {}
            Relief::Flush => self.flush(making),
            Relief::Oldest => {
                let most = self.waiting.max(self.kept) / 4 * 3;
                let max_rows = std::mem::replace(&mut self.max_rows, most);
                self.bound(making);
                self.max_rows = max_rows;
            }
            Relief::All => {
                // A partition that only its sums are known of counts as one.
                let has = |partition: &&Partition| !partition.runs.is_empty();
                let partitions = self.partitions.list.iter().filter(has).count();
                making.counts.forgotten += self.kept.max(partitions) as u64;
                self.flush(making);
                self.partitions.forget_late();
            }
        }
        self.end(self.now.saturating_sub(self.delay));
        self.tidy();
        self.partitions.shrink();
        self.release();
    }

    /// Keeps what waits and what is looked back at within their bounds.
    fn bound(&mut self, making: &mut Making<'_>) {
        if self.waiting > self.max_rows {
            while self.waiting > self.max_rows {
                let before = self.waiting;
                let most = (self.waiting - self.max_rows).min(CALL_ROWS);
                self.fill(i64::MAX, i64::MAX, self.ready.len() + most, making);
                making.counts.early += (before - self.waiting) as u64;
                self.emit_all(making);
                if self.waiting == before {
                    break;
                }
            }
        }
        if self.kept > self.max_rows {
            self.forget(making);
        }
    }

    /// Gives up the oldest rows that frames look back at, a sixteenth of what may be kept at least.
    fn forget(&mut self, making: &mut Making<'_>) {
        let runs = self.partitions.list.iter().flat_map(|partition| &partition.runs);
        let mut times: Vec<i64> = runs.flat_map(|run| &run.history.times).copied().collect();
        let excess = (times.len() - self.max_rows.min(times.len()) + self.max_rows / 16).max(1);
        let last = excess.min(times.len()) - 1;
        let (_, until, _) = times.select_nth_unstable(last);
        let until = *until;
        for run in self.partitions.list.iter_mut().flat_map(|partition| &mut partition.runs) {
            let gone = run.forget(&self.layout, until);
            self.kept -= gone;
            making.counts.forgotten += gone as u64;
        }
    }
}
