//! Windows of which several threads collect each a part: a part has groups of its own, and is merged
//! into the whole before anything is emitted.

use headwater_plugin_api::window::Groups;

use super::grouping::TIDY_MIN;
use super::{Parted, Results, Shared, WindowState};
use crate::accumulate::Accumulators;
use crate::statement::NO_GROUP;

/// How many windows a part holds before it is merged.
const PART_WINDOWS: usize = 256;
/// How often the groups of a part are looked through for those that are gone, nanoseconds.
const TIDY_NS: i64 = 60_000_000_000;

/// From the groups of a part to those of the whole.
#[derive(Default)]
pub struct Mapping {
    /// [`NO_GROUP`] where it is not known.
    numbers: Vec<u32>,
    /// How often both were numbered anew when that was right.
    generations: (u64, u64),
    /// The groups that were met since the last look.
    recent: Vec<bool>,
    looked: Option<i64>,
}

impl Mapping {
    pub fn byte_size(&self) -> usize {
        self.numbers.capacity() * 4 + self.recent.capacity()
    }

    fn fit(&mut self, generations: (u64, u64), groups: usize) {
        if self.generations != generations {
            if self.generations.1 != generations.1 {
                self.recent.clear();
            }
            self.numbers.clear();
            self.generations = generations;
        }
        self.numbers.resize(groups, NO_GROUP);
        self.recent.resize(groups, false);
    }

    /// Whether most groups were not met for some time: then those that were.
    fn stale(&mut self, now: i64) -> Option<Vec<bool>> {
        let looked = *self.looked.get_or_insert(now);
        if now.saturating_sub(looked) < TIDY_NS && now >= looked {
            return None;
        }
        self.looked = Some(now);
        let recent = std::mem::take(&mut self.recent);
        let met = recent.iter().filter(|met| **met).count();
        (recent.len() > TIDY_MIN && met * 2 < recent.len()).then_some(recent)
    }
}

/// Whose groups were numbered anew.
#[derive(Default, Clone, Copy)]
pub struct Renumbered {
    pub own: bool,
    pub theirs: bool,
}

impl WindowState {
    /// Whether a part may take points of these times before it is merged.
    pub fn part_has_room(&mut self, first: i64, last: i64) -> bool {
        match self.form.parted() {
            Some(Parted::Tumbling(form)) => form.windows.has_room(first, last, PART_WINDOWS),
            Some(Parted::Hop(form)) => form.panes.has_room(first, last, PART_WINDOWS),
            None => false,
        }
    }

    /// Takes over which windows were emitted.
    pub fn follow(&mut self, whole: &mut WindowState) {
        match (self.form.parted(), whole.form.parted()) {
            (Some(Parted::Tumbling(own)), Some(Parted::Tumbling(whole))) => {
                own.windows.follow(&whole.windows);
            }
            (Some(Parted::Hop(own)), Some(Parted::Hop(whole))) => own.panes.follow(&whole.panes),
            _ => {}
        }
    }

    /// Takes over what a part has collected. Rows that a window still has to give may be made, for
    /// room.
    pub fn absorb(
        &mut self,
        part: &mut WindowState,
        mapping: &mut Mapping,
        results: &mut Results<'_>,
    ) -> Renumbered {
        let now = results.cx.now;
        let mut renumbered = Renumbered::default();
        self.form.sources().adopt(part.form.sources());
        if part.form.open_count() > 0 {
            let groups = &mut part.shared.groups;
            // Once room was made there is no more to be had.
            let mut overflow = 0;
            for is_last in [false, true] {
                let generations = (self.shared.groups.generation, groups.generation);
                mapping.fit(generations, groups.table.len());
                overflow = match part.form.parted() {
                    Some(Parted::Tumbling(theirs)) => {
                        self.shared.number(&groups.table, theirs.windows.contents(), mapping)
                    }
                    Some(Parted::Hop(theirs)) => {
                        self.shared.number(&groups.table, theirs.panes.contents(), mapping)
                    }
                    None => 0,
                };
                if overflow == 0 || is_last || !self.shared.groups.stale {
                    break;
                }
                renumbered.own = true;
                self.form.make_room(&mut self.shared, results, false);
            }
            results.counts.overflow += overflow;
            groups.stale = true;
        }
        let aggregates = &results.aggregate.aggregates;
        let open = || Accumulators::new(aggregates);
        let late = &mut results.counts.late;
        let mut used = Vec::new();
        let merge = |own: Option<&mut Accumulators>, content: Accumulators| {
            match own {
                Some(own) => own.merge(&content, Some(&mapping.numbers)),
                None => {
                    let groups = content.groups(false);
                    *late += groups.iter().map(|group| content.points_of(*group)).sum::<u64>();
                }
            }
            used.push(content);
        };
        match (self.form.parted(), part.form.parted()) {
            (Some(Parted::Tumbling(own)), Some(Parted::Tumbling(theirs))) => {
                own.windows.absorb(&mut theirs.windows, open, merge);
                theirs.spare.keep(used);
            }
            (Some(Parted::Hop(own)), Some(Parted::Hop(theirs))) => {
                own.panes.absorb(&mut theirs.panes, open, merge);
                theirs.spare.keep(used);
            }
            _ => {}
        }
        if let Some(recent) = mapping.stale(now) {
            part.shared.writer.forget_groups();
            part.shared.groups.retain(&recent);
            renumbered.theirs = true;
        }
        renumbered
    }

    /// After all parts were merged: lets windows close when there are too many.
    pub fn bound_parts(&mut self) {
        match self.form.parted() {
            Some(Parted::Tumbling(form)) => form.windows.bound(),
            Some(Parted::Hop(form)) => form.panes.bound(),
            None => {}
        }
    }
}

impl Shared {
    /// Finds or makes numbers of the groups that windows of a part hold; the points of those for
    /// which there is no room.
    fn number<'a>(
        &mut self,
        theirs: &Groups,
        windows: impl Iterator<Item = &'a mut Accumulators>,
        mapping: &mut Mapping,
    ) -> u64 {
        let mut overflow = 0;
        for content in windows {
            for group in content.groups(false) {
                let at = group as usize;
                mapping.recent[at] = true;
                if mapping.numbers[at] == NO_GROUP {
                    match self.groups.table.intern(theirs.hash(group), theirs.key(group)) {
                        Some(number) => mapping.numbers[at] = number,
                        None => overflow += content.points_of(group),
                    }
                }
            }
        }
        overflow
    }
}
