//! Windows that several threads collected, each its own part.

use super::{Slot, Windows};
use crate::window::life::Life;

impl<W> Windows<W> {
    /// Whether as many windows as there are from `first` to `last` have room beside those that are
    /// open, `most` in all.
    pub fn has_room(&self, first: i64, last: i64, most: usize) -> bool {
        let grid = &self.policy.grid;
        let more = grid.index(last).saturating_sub(grid.index(first)).saturating_add(1);
        usize::try_from(more).is_ok_and(|more| self.slots.len().saturating_add(more) <= most)
    }

    /// From now on the windows count as emitted that are so there.
    pub fn follow(&mut self, leader: &Windows<W>) {
        if self.emitted != leader.emitted {
            self.emitted.clone_from(&leader.emitted);
        }
        self.hot.1 = 0;
    }

    /// Takes the open windows of another part of the same stream over, which has emitted none and
    /// follows this one. `merge` adds what another one holds to an own window, which `open` makes; it
    /// is told of no own one if that was emitted. [`bound`](Self::bound) must follow.
    pub fn absorb(
        &mut self,
        other: &mut Windows<W>,
        mut open: impl FnMut() -> W,
        mut merge: impl FnMut(Option<&mut W>, W),
    ) {
        other.hot.1 = 0;
        for mut part in other.slots.drain() {
            let known = self.slots.find(part.index);
            if known.is_none() && self.emitted.contains(part.index) {
                merge(None, part.content);
                continue;
            }
            let at = known.unwrap_or_else(|| self.enter(part.index, open()));
            let Some(slot) = self.slots.get_mut(at) else { continue };
            slot.life.fed |= part.life.fed;
            slot.deliveries.append(&mut part.deliveries);
            merge(Some(&mut slot.content), part.content);
            if slot.deliveries.len() >= Self::MAX_DELIVERIES {
                self.force(at);
            }
        }
    }

    /// Lets the oldest windows close when there are too many.
    pub fn bound(&mut self) {
        let forced = self.slots.iter().filter(|slot| slot.life.forced).count();
        for _ in self.max..self.slots.len().saturating_sub(forced) {
            self.force_oldest();
        }
    }

    pub(super) fn enter(&mut self, index: i64, content: W) -> u32 {
        let (span, life) = (self.policy.grid.span(index), Life::default());
        let slot = Slot { index, span, life, batch: 0, deliveries: Vec::new(), content };
        self.slots.insert(index, slot)
    }
}
