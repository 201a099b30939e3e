//! The groups of a statement: from points to numbers.

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::window::Groups;

use super::{Work, evaluate};
use crate::eval;
use crate::key;
use crate::points::{OneSeries, Points};
use crate::statement::{NO_GROUP, Settings};
use crate::vector::Vector;

/// Below this many groups the table is not tidied up.
pub const TIDY_MIN: usize = 1024;

/// The table of groups.
pub struct Grouping {
    pub table: Groups,
    /// The groups of the rows at hand, [`NO_GROUP`] for those that have no room.
    pub of_rows: Vec<u32>,
    /// All of the rows at hand have groups.
    pub complete: bool,
    pub max: u32,
    /// A window was closed since the table was tidied up: it may hold groups of the past.
    pub stale: bool,
    flush: bool,
    /// There is no memory for new groups.
    pub closed: bool,
    /// Room was made for the batch at hand; what does not fit now is dropped.
    tidied: bool,
    key: Vec<u8>,
    /// Counts how often groups were numbered anew.
    pub generation: u64,
}

impl Grouping {
    pub fn new(settings: &Settings) -> Self {
        Grouping {
            table: Groups::new(settings.max_groups),
            of_rows: Vec::new(),
            complete: false,
            max: settings.max_groups,
            stale: false,
            flush: settings.flush,
            closed: false,
            tidied: false,
            key: Vec::new(),
            generation: 0,
        }
    }

    pub fn byte_size(&self) -> usize {
        self.table.byte_size() + self.of_rows.capacity() * 4 + self.key.capacity()
    }

    pub fn release_scratch(&mut self) {
        self.of_rows = Vec::new();
    }

    /// Forgets all groups and gives the memory back.
    pub fn release(&mut self) {
        self.key = Vec::new();
        self.table.release();
        self.generation += 1;
        self.stale = false;
    }

    /// The points of a shape begin.
    pub fn begin(&mut self) {
        self.tidied = false;
    }

    /// Groups of rows that their series decide, up to the first for which there is no room.
    pub fn by_series(&mut self, work: &mut Work<'_>, rows: &[u32]) -> usize {
        let table = work.batch.tables().rows();
        let mut groups = std::mem::take(&mut self.of_rows);
        groups.clear();
        groups.reserve(rows.len());
        self.complete = true;
        for at in rows {
            let index = table[*at as usize].series;
            groups.push(match work.series.value(index) {
                Some(info) if info.group != NO_GROUP => info.group,
                _ => match self.of_series(work, index) {
                    Some(group) => group,
                    None if self.can_make_room() => break,
                    None => {
                        self.complete = false;
                        NO_GROUP
                    }
                },
            });
        }
        self.of_rows = groups;
        self.of_rows.len()
    }

    /// The group of a series that is not known yet; `None` if there is no room.
    #[cold]
    fn of_series(&mut self, work: &mut Work<'_>, index: u32) -> Option<u32> {
        let frame = OneSeries { series: work.batch.series(index), columns: &work.plan.columns };
        self.key.clear();
        for node in &work.results.aggregate.keys {
            let value = eval::eval(node, &frame, work.results.cx);
            let is_whole = key::write(&mut self.key, value.cell(0));
            work.results.cx.failures.size += u64::from(!is_whole);
        }
        let group = self.intern()?;
        if let Some(info) = work.series.value_mut(index) {
            info.group = group;
        }
        Some(group)
    }

    /// Groups of rows that each point decides.
    pub fn by_point(&mut self, work: &mut Work<'_>, points: &Points<'_>) -> usize {
        let nodes = work.results.aggregate.keys.iter();
        let keys: Vec<Vector<'_>> =
            nodes.map(|node| evaluate(node, points, work.results.cx)).collect();
        self.of_rows.clear();
        self.complete = true;
        let (mut last_key, mut last_group) = (Vec::new(), NO_GROUP);
        for row in 0..points.rows.len() {
            self.key.clear();
            for column in &keys {
                let is_whole = key::write(&mut self.key, column.cell(row));
                work.results.cx.failures.size += u64::from(!is_whole);
            }
            // Neighbours often belong together.
            if last_group == NO_GROUP || self.key != last_key {
                last_group = match self.intern() {
                    Some(group) => group,
                    None if self.can_make_room() => return row,
                    None => NO_GROUP,
                };
                last_key.clone_from(&self.key);
                self.complete &= last_group != NO_GROUP;
            }
            self.of_rows.push(last_group);
        }
        points.rows.len()
    }

    /// The group of the key at hand; `None` if there is no room.
    fn intern(&mut self) -> Option<u32> {
        let hash = bytes_hash(&self.key);
        if self.closed {
            return self.table.find(hash, &self.key);
        }
        self.table.intern(hash, &self.key)
    }

    fn can_make_room(&self) -> bool {
        !self.tidied && !self.closed && (self.stale || self.flush)
    }

    /// Whether open windows must be emitted to make room.
    pub fn must_flush(&self) -> bool {
        self.flush && self.table.is_full()
    }

    /// All was done to make room. When flushing made none, groups are dropped.
    pub fn made_room(&mut self) {
        self.tidied = !self.flush || self.table.is_full();
    }

    /// Keeps the marked groups and numbers them anew.
    pub fn retain(&mut self, used: &[bool]) {
        self.stale = false;
        self.table.retain(used);
        self.generation += 1;
    }
}
