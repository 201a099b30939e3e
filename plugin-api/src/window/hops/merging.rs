//! Panes that several threads collected, each its own part.

use super::Hops;

impl<W> Hops<W> {
    /// Whether as many windows as hold times from `first` to `last` have room beside those that are
    /// open, `most` in all or twice as many as overlap.
    pub fn has_room(&self, first: i64, last: i64, most: usize) -> bool {
        let from = self.grid.windows(self.grid.pane(first)).start;
        let to = self.grid.windows(self.grid.pane(last)).end;
        let most = most.max(self.grid.overlap().saturating_mul(2));
        let more = usize::try_from(to.saturating_sub(from));
        more.is_ok_and(|more| self.windows.len().saturating_add(more) <= most)
    }

    /// From now on the windows count as emitted that are so there.
    pub fn follow(&mut self, leader: &Hops<W>) {
        if self.emitted != leader.emitted {
            self.emitted.clone_from(&leader.emitted);
        }
        self.hot.1 = 0;
    }

    /// Takes the panes of another part of the same stream over, which has emitted no window and
    /// follows this one. `merge` adds what another one holds to an own pane, which `open` makes; it is
    /// told of no own one if all windows of the pane were emitted. [`bound`](Self::bound) must follow.
    pub fn absorb(
        &mut self,
        other: &mut Hops<W>,
        mut open: impl FnMut() -> W,
        mut merge: impl FnMut(Option<&mut W>, W),
    ) {
        (other.hot.1, other.forced) = (0, 0);
        for mut part in other.slots.drain() {
            let index = part.index;
            let mut is_open = false;
            for number in self.grid.windows(index) {
                if !self.windows.contains_key(&number) {
                    if self.emitted.contains(number) {
                        continue;
                    }
                    self.enter_window(number);
                }
                is_open = true;
            }
            if !is_open {
                merge(None, part.content);
                continue;
            }
            let known = self.slots.find(index);
            let at = known.unwrap_or_else(|| self.open_pane(index, open()));
            let Some(pane) = self.slots.get_mut(at) else { continue };
            pane.deliveries.append(&mut part.deliveries);
            merge(Some(&mut pane.content), part.content);
            if pane.deliveries.len() >= Self::MAX_DELIVERIES {
                for number in self.grid.windows(index) {
                    self.force(number);
                }
            }
        }
        for (number, part) in std::mem::take(&mut other.windows) {
            if let Some(window) = self.windows.get_mut(&number) {
                window.life.fed |= part.life.fed;
            }
        }
    }

    /// Lets the oldest windows close when there are too many.
    pub fn bound(&mut self) {
        while self.windows.len() - self.forced > self.max() && self.force_oldest() {}
    }
}
