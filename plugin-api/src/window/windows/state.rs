//! The state of open windows, as a checkpoint keeps it.

use super::{Slot, Windows};
use crate::window::codec::{Read, Reader, put, put_time};
use crate::window::life::Life;

impl<W> Windows<W> {
    /// Writes the windows, and which were emitted; `content` writes what a window holds. Sources and
    /// delivery handles are no part of it.
    pub fn write(&self, out: &mut Vec<u8>, mut content: impl FnMut(&W, &mut Vec<u8>)) {
        self.emitted.write(out);
        put(out, self.slots.len() as u64);
        for (_, slot) in self.slots.in_order() {
            put_time(out, slot.index);
            slot.life.write(out);
            content(&slot.content, out);
        }
    }

    /// Reads what [`write`](Self::write) wrote, where there is no window. The windows wait for sources
    /// that come back after a restart.
    ///
    /// # Errors
    /// It is no such state.
    pub fn read(
        &mut self,
        now: i64,
        from: &mut Reader<'_>,
        mut content: impl FnMut(&mut Reader<'_>) -> Read<W>,
    ) -> Read<()> {
        self.set_now(now);
        self.sources.resume(now);
        self.emitted.read(from)?;
        let count = from.count(10)?;
        for _ in 0..count {
            let index = from.time()?;
            self.slots.check_next(index)?;
            let life = Life::read(now, from)?;
            let slot = Slot {
                index,
                span: self.policy.grid.span(index),
                life,
                batch: 0,
                deliveries: Vec::new(),
                content: content(from)?,
            };
            self.slots.insert(index, slot);
        }
        // More may have been allowed when they were written.
        let forced = self.slots.iter().filter(|slot| slot.life.forced).count();
        for _ in self.max..count - forced.min(count) {
            self.force_oldest();
        }
        self.set_now(now);
        Ok(())
    }
}
