//! The state of open windows, as a checkpoint keeps it.

use super::{Slot, Windows};
use crate::window::codec::{Broken, Read, Reader, put, put_time};
use crate::window::life::Life;

impl<W> Windows<W> {
    /// Writes the windows, and which were emitted; `content` writes what a window holds. Sources and
    /// delivery handles are no part of it.
    pub fn write(&self, out: &mut Vec<u8>, mut content: impl FnMut(&W, &mut Vec<u8>)) {
        self.emitted.write(out);
        put(out, self.order.len() as u64);
        for at in self.order.values() {
            let Some(slot) = self.slots.get(*at as usize).and_then(Option::as_ref) else {
                continue;
            };
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
        for at in 0..count {
            let index = from.time()?;
            if self.order.last_key_value().is_some_and(|(last, _)| *last >= index) {
                return Err(Broken);
            }
            let life = Life::read(now, from)?;
            let slot = Slot {
                index,
                span: self.policy.grid.span(index),
                life,
                batch: 0,
                deliveries: Vec::new(),
                content: content(from)?,
            };
            self.slots.push(Some(slot));
            self.order.insert(index, at as u32);
        }
        // More may have been allowed when they were written.
        let forced = self.slots.iter().flatten().filter(|slot| slot.life.forced).count();
        for _ in self.max..count - forced.min(count) {
            self.force_oldest();
        }
        self.set_now(now);
        Ok(())
    }
}
