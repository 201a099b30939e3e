//! Snapshots: the newest points of a source, given out when a point of another one asks for them.

use std::borrow::Cow;
use std::collections::VecDeque;

use headwater_plugin_api::batch::{Batch, PointRef};
use headwater_plugin_api::window::SeriesNumbers;
use headwater_plugin_api::window::codec::{Broken, Read, Reader, put};

use crate::emit::{Base, Column, Emitter};
use crate::plan::{Action, Plan, Reads, ResultName, Role, Snapshot};
use crate::statement::{Counts, Relief, Settings, Statement};
use crate::vector::{Data, Vector};

/// Most points of a batch that is held, and the bytes that small ones may make together: batches are
/// given up as a whole.
const CHUNK: usize = 4096;
const CHUNK_BYTES: usize = 64 << 10;

/// Puts a statement that flushes a snapshot to the one that keeps it: both are one unit, which stands
/// where the last of them does.
pub fn link(units: &mut Vec<(u64, Plan)>, number: u64, mut flush: Plan) {
    let is_it = |(_, unit): &(u64, Plan)| {
        matches!(unit.action, Action::Snapshot(_)) && unit.name == flush.name
    };
    let Some(at) = units.iter().position(is_it) else { return };
    let (_, mut unit) = units.remove(at);
    if let Action::Snapshot(snapshot) = &mut unit.action {
        flush.action = snapshot.keeps.action.clone();
        unit.reads = Reads::Sides(Box::new([unit.reads, flush.reads.clone()]));
        snapshot.flushes.push(flush);
    }
    units.push((number, unit));
}

/// Points that are held.
struct Held {
    points: Batch,
    /// The latest time among them.
    newest: i64,
}

impl Held {
    fn new(points: Batch) -> Held {
        let newest = points.points().map(|point| point.time()).max().unwrap_or(i64::MIN);
        Held { points, newest }
    }
}

/// A snapshot at work.
pub struct SnapshotState {
    plan: Snapshot,
    keeps: Statement,
    flushes: Vec<Statement>,
    max_rows: u64,
    max_future: i64,
    /// In the order in which they came.
    held: VecDeque<Held>,
    /// How many points.
    count: u64,
    /// The latest time among them.
    newest: i64,
    /// What it counted beside its statements.
    counts: Counts,
    keeping: Emitter,
    sending: Emitter,
    /// Rows of the batch at hand that are kept, and those that flush.
    rows: Vec<u32>,
    triggers: Vec<u32>,
}

impl SnapshotState {
    pub fn new(plan: &Snapshot, settings: &Settings, origin: u64) -> Self {
        let statement = |plan: &Plan| Statement::new(plan.clone(), settings, origin);
        SnapshotState {
            keeps: statement(&plan.keeps),
            flushes: plan.flushes.iter().map(statement).collect(),
            plan: plan.clone(),
            max_rows: settings.max_rows,
            max_future: settings.max_future,
            held: VecDeque::new(),
            count: 0,
            newest: i64::MIN,
            counts: Counts::default(),
            keeping: Emitter::default(),
            sending: Emitter::default(),
            rows: Vec::new(),
            triggers: Vec::new(),
        }
    }

    /// Takes a batch; whether it took any point. Points are kept and flushed one after the other, as
    /// they stand there.
    pub fn apply(
        &mut self,
        now: i64,
        batch: &Batch,
        mut numbers: Option<&mut SeriesNumbers>,
        out: &mut Vec<Batch>,
    ) -> bool {
        let (mut rows, mut triggers) =
            (std::mem::take(&mut self.rows), std::mem::take(&mut self.triggers));
        rows.clear();
        triggers.clear();
        let mut took = self.keeps.select_each(now, batch, numbers.as_deref_mut(), |selected| {
            rows.extend_from_slice(selected.points.rows);
        });
        for flush in &mut self.flushes {
            took |= flush.select_each(now, batch, numbers.as_deref_mut(), |selected| {
                triggers.extend_from_slice(selected.points.rows);
            });
        }
        rows.sort_unstable();
        triggers.sort_unstable();
        let before = out.len();
        let mut from = 0;
        for trigger in &triggers {
            let to = from + rows[from..].partition_point(|row| row <= trigger);
            self.keep(now, batch, &rows[from..to]);
            from = to;
            self.flush(out);
        }
        self.keep(now, batch, &rows[from..]);
        self.trim();
        self.sending.finish(out);
        for made in &mut out[before..] {
            made.set_origin(batch.origin());
            made.set_delivery(batch.delivery().cloned());
        }
        (self.rows, self.triggers) = (rows, triggers);
        took
    }

    fn keep(&mut self, now: i64, batch: &Batch, rows: &[u32]) {
        let Some(last) = now.checked_add(self.max_future) else { return };
        let table = batch.tables().rows();
        let tag = self.plan.tag.as_ref().map(|output| Column {
            output,
            values: match &output.node {
                crate::plan::Node::Const(crate::plan::Const::Text(text)) => {
                    Vector::constant(Data::Text(vec![Cow::Borrowed(text.as_str())]))
                }
                _ => Vector::null(),
            },
        });
        let tag: Vec<Column<'_, '_>> = tag.into_iter().collect();
        let mut made = Vec::new();
        for rows in rows.chunks(CHUNK) {
            let mut writer = self.keeping.rows(&tag);
            for at in rows {
                let row = &table[*at as usize];
                if row.time > last {
                    self.counts.future += 1;
                    continue;
                }
                let star = Some(PointRef::new(batch, row));
                writer.row(Base { name: &self.plan.name, time: row.time, star }, 0, &mut made);
            }
            self.keeping.finish(&mut made);
        }
        let counts = std::mem::take(&mut self.keeping.counts);
        self.counts.emitted.refused += counts.refused;
        for points in made {
            self.push(points);
        }
    }

    fn push(&mut self, points: Batch) {
        let new = Held::new(points);
        self.count += new.points.len() as u64;
        self.newest = self.newest.max(new.newest);
        self.held.push_back(new);
        // Small batches become larger ones, each point a few times at most.
        while let [.., a, b] = &self.held.make_contiguous()[..]
            && a.points.len() + b.points.len() <= CHUNK
            && a.points.len() <= b.points.len() * 2
            && a.points.byte_size() + b.points.byte_size() <= CHUNK_BYTES
        {
            let mut made = Vec::new();
            for point in a.points.points().chain(b.points.points()) {
                self.keeping.copy(&self.plan.name, &point, &mut made);
            }
            self.keeping.finish(&mut made);
            self.keeping.counts = Default::default();
            self.held.truncate(self.held.len() - 2);
            let whole = made.len() == 1;
            self.held.extend(made.into_iter().map(Held::new));
            if !whole {
                break;
            }
        }
    }

    /// Gives out what is held, once.
    fn flush(&mut self, out: &mut Vec<Batch>) {
        let Snapshot { limit, length, name, .. } = &self.plan;
        let since = length.map_or(i64::MIN, |length| self.newest.saturating_sub(length));
        let held = &self.held;
        let points = || {
            let all = held.iter().flat_map(|held| held.points.points());
            all.filter(|point| point.time() >= since)
        };
        let surplus = match limit {
            None => 0,
            Some(limit) => {
                let count = match length {
                    None => self.count,
                    Some(_) => points().count() as u64,
                };
                count.saturating_sub(*limit)
            }
        };
        for point in points().skip(usize::try_from(surplus).unwrap_or(usize::MAX)) {
            self.sending.copy(name, &point, out);
        }
        self.held.clear();
        (self.count, self.newest) = (0, i64::MIN);
    }

    /// Forgets what no flush would give out, and what there is no room for.
    fn trim(&mut self) {
        while let Some(first) = self.held.front() {
            let len = first.points.len() as u64;
            let rest = self.count - len;
            let old = self
                .plan
                .length
                .is_some_and(|length| first.newest < self.newest.saturating_sub(length));
            let surplus =
                self.plan.length.is_none() && self.plan.limit.is_some_and(|limit| rest >= limit);
            if !old && !surplus {
                if self.count <= self.max_rows {
                    break;
                }
                self.counts.forgotten += len;
            }
            self.held.pop_front();
            self.count = rest;
        }
    }

    /// Points that are held.
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn byte_size(&mut self) -> usize {
        let held: usize = self.held.iter().map(|held| held.points.byte_size()).sum();
        let statements = std::iter::once(&mut self.keeps).chain(&mut self.flushes);
        let statements: usize = statements.map(Statement::byte_size).sum();
        held + statements + (self.rows.capacity() + self.triggers.capacity()) * 4
    }

    /// Makes do with less memory: the oldest points are given up.
    pub fn relieve(&mut self, now: i64, relief: Relief, out: &mut Vec<Batch>) {
        let left = match relief {
            Relief::Spare => self.count,
            Relief::Flush | Relief::Oldest => self.count / 4 * 3,
            Relief::All => 0,
        };
        while self.count > left
            && let Some(first) = self.held.pop_front()
        {
            self.count -= first.points.len() as u64;
            self.counts.forgotten += first.points.len() as u64;
        }
        self.keeping.release();
        self.sending.release();
        for statement in std::iter::once(&mut self.keeps).chain(&mut self.flushes) {
            statement.relieve(now, Relief::Spare, out);
        }
    }

    pub fn take_counts(&mut self, counts: &mut Counts) {
        let mut own = std::mem::take(&mut self.counts);
        own.emitted.add(&std::mem::take(&mut self.sending.counts));
        counts.add(&own);
        counts.emitted.add(&own.emitted);
        for statement in std::iter::once(&mut self.keeps).chain(&mut self.flushes) {
            counts.add(&statement.take_counts());
        }
    }

    pub fn report(&mut self, now: i64, at_once: bool) -> Vec<String> {
        let statements = std::iter::once(&mut self.keeps).chain(&mut self.flushes);
        statements.flat_map(|statement| statement.report(now, at_once)).collect()
    }

    /// Tells of the rows of an earlier statement.
    pub fn expect(&mut self, rows: &ResultName) {
        let statements = std::iter::once(&mut self.keeps).chain(&mut self.flushes);
        statements.for_each(|statement| statement.expect(rows));
    }

    /// Measurements of which no point came.
    pub fn unread(&mut self) -> Vec<String> {
        let statements = std::iter::once(&mut self.keeps).chain(&mut self.flushes);
        statements.flat_map(Statement::unread).collect()
    }

    /// Gives back after a while without points what only saves time.
    pub fn rest(&mut self, now: i64) -> bool {
        let statements = std::iter::once(&mut self.keeps).chain(&mut self.flushes);
        statements.fold(false, |any, statement| statement.rest(now) | any)
    }

    /// Appends what is held.
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.held.len() as u64);
        let mut serial = Vec::new();
        for held in &self.held {
            serial.clear();
            held.points.serialize_into(&mut serial);
            put(out, serial.len() as u64);
            out.extend_from_slice(&serial);
        }
    }

    /// Takes up what was written. It must be fresh and of the same plan.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        for _ in 0..from.count(2)? {
            let length = from.count(1)?;
            let points = Batch::deserialize(from.bytes(length)?).map_err(|_| Broken)?;
            if points.is_empty() {
                return Err(Broken);
            }
            self.count += points.len() as u64;
            let held = Held::new(points);
            self.newest = self.newest.max(held.newest);
            self.held.push_back(held);
        }
        Ok(())
    }
}

/// The tag that all points of a snapshot get.
pub fn tag(name: &crate::ast::Name) -> crate::plan::Output {
    crate::plan::Output {
        name: super::TAG.to_owned(),
        node: crate::plan::Node::Const(crate::plan::Const::Text(name.text.clone())),
        role: Role::Tag,
    }
}
