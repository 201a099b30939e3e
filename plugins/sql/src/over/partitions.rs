//! The partitions of a statement: from points to numbers, and what each holds.

use std::collections::{HashMap, VecDeque};

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::window::{Groups, Ranges};

use super::Feeding;
use super::layout::Layout;
use super::run::Run;
use crate::eval::{self, Context};
use crate::key;
use crate::plan::Node;
use crate::points::{OneSeries, Points};
use crate::statement::NO_GROUP;
use crate::vector::Vector;

/// How many ranges of times a partition remembers for which it takes no points.
pub const RANGES: usize = 16;
/// How many forgotten partitions' ranges are remembered.
const MEMORY: usize = 1 << 16;

/// A partition.
pub struct Partition {
    /// In the order of their times.
    pub runs: Vec<Run>,
    /// Times whose points are late: rows were made that should have known of them, or what their own
    /// rows would have looked back at is gone.
    pub covered: Ranges,
}

impl Partition {
    pub fn new(covered: Option<Ranges>) -> Partition {
        Partition { runs: Vec::new(), covered: covered.unwrap_or_else(|| Ranges::new(RANGES)) }
    }

    /// The run that takes a point, which is not late.
    pub fn place(&mut self, layout: &Layout, time: i64, fed: bool, stamps: &mut u32) -> usize {
        let runs = &mut self.runs;
        let mut fresh = || {
            *stamps = stamps.wrapping_add(1);
            Run::new(layout, *stamps)
        };
        let Some(reach) = layout.reach else {
            if runs.is_empty() {
                runs.push(fresh());
            }
            return 0;
        };
        let next = runs.partition_point(|run| run.start() <= time);
        let before = next.checked_sub(1).map(|at| &runs[at]);
        let follows = before.is_some_and(|run| time.saturating_sub(run.end()) <= reach);
        let precedes = runs
            .get(next)
            .is_some_and(|run| run.last.is_none() && run.first.0.saturating_sub(time) <= reach);
        match (follows, precedes) {
            (true, true) => {
                let later = runs.remove(next);
                runs[next - 1].absorb(later);
                next - 1
            }
            (true, false) => next - 1,
            (false, true) => next,
            (false, false) => {
                // Points that are held up by a catching-up source hold up no others.
                if before.is_some_and(|run| run.pending.is_empty() || run.latest.1 == fed) {
                    return next - 1;
                }
                runs.insert(next, fresh());
                next
            }
        }
    }

    /// A row was made of a run, the last one of which had the time `before`: what it should have known
    /// of is late from now on.
    pub fn cover(&mut self, reach: Option<i64>, before: Option<i64>, time: i64) {
        let Some(reach) = reach else {
            self.covered.insert_range(i64::MIN, time);
            return;
        };
        let from = time.saturating_sub(reach);
        match before {
            // Rows between them would look back at what is gone, or be looked back at.
            Some(before) if from <= before.saturating_add(reach) => {
                self.covered.insert_range(before, time);
            }
            Some(before) => {
                self.covered.insert_range(before, before.saturating_add(reach));
                self.covered.insert_range(from, time);
            }
            None => self.covered.insert_range(from, time),
        }
    }

    pub fn run(&mut self, stamp: u32) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.stamp == stamp)
    }
}

/// All partitions.
pub struct Partitions {
    pub table: Groups,
    pub list: Vec<Partition>,
    /// Of the rows at hand, [`NO_GROUP`] for those that have no room.
    pub of_rows: Vec<u32>,
    /// Partitions that lost their last run since the table was tidied up.
    pub emptied: usize,
    flush: bool,
    /// There is no memory for new partitions.
    pub closed: bool,
    /// There are partitions that may be forgotten.
    stale: bool,
    /// Room was made for the batch at hand; what does not fit now is dropped.
    tidied: bool,
    key: Vec<u8>,
    /// Late times of partitions that were forgotten, by the hash of their key.
    memory: HashMap<u64, Ranges>,
    /// Their hashes, as they were forgotten.
    forgotten: VecDeque<u64>,
}

impl Partitions {
    pub fn new(max: u32, flush: bool) -> Self {
        Partitions {
            table: Groups::new(max),
            list: Vec::new(),
            of_rows: Vec::new(),
            emptied: 0,
            flush,
            closed: false,
            stale: false,
            tidied: false,
            key: Vec::new(),
            memory: HashMap::new(),
            forgotten: VecDeque::new(),
        }
    }

    /// The points of a shape begin.
    pub fn begin(&mut self, stale: bool) {
        self.stale = stale || self.emptied > 0;
        self.tidied = false;
    }

    fn can_make_room(&self) -> bool {
        !self.tidied && !self.closed && (self.stale || self.flush)
    }

    /// Whether waiting points must be emitted to make room.
    pub fn must_flush(&self) -> bool {
        self.flush && self.table.is_full()
    }

    /// All was done to make room.
    pub fn made_room(&mut self) {
        self.tidied = !self.flush || self.table.is_full();
    }

    /// The partition of the key at hand.
    fn intern(&mut self) -> Option<u32> {
        let hash = bytes_hash(&self.key);
        if self.closed {
            return self.table.find(hash, &self.key);
        }
        let number = self.table.intern(hash, &self.key)?;
        if self.list.len() <= number as usize {
            let covered = match self.memory.is_empty() {
                true => None,
                false => self.memory.remove(&hash),
            };
            self.list.push(Partition::new(covered));
        }
        Some(number)
    }

    /// Partitions of rows that their series decide, up to the first for which there is no room.
    pub fn by_series(
        &mut self,
        work: &mut Feeding<'_>,
        keys: &[Node],
        rows: &[u32],
        cx: &mut Context,
    ) -> usize {
        let table = work.batch.tables().rows();
        let mut groups = std::mem::take(&mut self.of_rows);
        groups.clear();
        for at in rows {
            let index = table[*at as usize].series;
            let known = work.series.value(index).map_or(NO_GROUP, |info| info.group);
            if known != NO_GROUP {
                groups.push(known);
                continue;
            }
            let frame = OneSeries { series: work.batch.series(index), columns: &work.plan.columns };
            self.key.clear();
            for node in keys {
                let value = eval::eval(node, &frame, cx);
                cx.failures.size += u64::from(!key::write(&mut self.key, value.cell(0)));
            }
            match self.intern() {
                Some(number) => {
                    if let Some(info) = work.series.value_mut(index) {
                        info.group = number;
                    }
                    groups.push(number);
                }
                None if self.can_make_room() => break,
                None => groups.push(NO_GROUP),
            }
        }
        self.of_rows = groups;
        self.of_rows.len()
    }

    /// Partitions of rows that each point decides.
    pub fn by_point(&mut self, keys: &[Node], points: &Points<'_>, cx: &mut Context) -> usize {
        let keys: Vec<Vector<'_>> = keys.iter().map(|node| eval::eval(node, points, cx)).collect();
        self.of_rows.clear();
        for row in 0..points.rows.len() {
            self.key.clear();
            for column in &keys {
                cx.failures.size += u64::from(!key::write(&mut self.key, column.cell(row)));
            }
            match self.intern() {
                Some(number) => self.of_rows.push(number),
                None if self.can_make_room() => return row,
                None => self.of_rows.push(NO_GROUP),
            }
        }
        points.rows.len()
    }

    /// Keeps the marked partitions and numbers them anew. Which times were late is remembered of the
    /// others.
    pub fn retain(&mut self, used: &[bool]) {
        self.emptied = 0;
        let mut number = 0;
        let table = &self.table;
        self.list.retain_mut(|partition| {
            let keep = used.get(number).copied().unwrap_or(false);
            if !keep {
                let hash = table.hash(number as u32);
                let covered = std::mem::replace(&mut partition.covered, Ranges::new(RANGES));
                if self.memory.insert(hash, covered).is_none() {
                    self.forgotten.push_back(hash);
                }
            }
            number += 1;
            keep
        });
        self.list.shrink_to(self.list.len() + self.list.len() / 4);
        self.table.retain(used);
        while self.forgotten.len() > MEMORY
            && let Some(hash) = self.forgotten.pop_front()
        {
            self.memory.remove(&hash);
        }
    }

    /// Gives back memory that nothing needs.
    pub fn shrink(&mut self) {
        self.of_rows = Vec::new();
        for partition in &mut self.list {
            partition.runs.iter_mut().for_each(Run::shrink);
            partition.runs.shrink_to_fit();
        }
        self.memory.shrink_to_fit();
        self.forgotten.shrink_to_fit();
    }

    /// Forgets which times were late for partitions that were forgotten.
    pub fn forget_late(&mut self) {
        self.memory = HashMap::new();
        self.forgotten = VecDeque::new();
    }

    /// Forgets all partitions and what was late for them.
    pub fn clear(&mut self) {
        self.list = Vec::new();
        self.table.release();
        self.emptied = 0;
    }

    pub fn byte_size(&self) -> usize {
        let of = |partition: &Partition| {
            let ranges = partition.covered.iter().count() * 16;
            let runs: usize = partition.runs.iter().map(Run::byte_size).sum();
            partition.runs.capacity() * size_of::<Run>() + runs + ranges
        };
        self.list.iter().map(of).sum::<usize>()
            + self.list.capacity() * size_of::<Partition>()
            + self.table.byte_size()
            + self.of_rows.capacity() * 4
            + self.key.capacity()
            + self.memory.capacity() * (size_of::<(u64, Ranges)>() + 32)
            + self.forgotten.capacity() * 8
    }
}
