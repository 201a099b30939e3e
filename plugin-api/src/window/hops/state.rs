//! The state of panes and of the windows over them, as a checkpoint keeps it.

use super::{Hops, Pane, Window};
use crate::window::codec::{Broken, Read, Reader, put, put_time};
use crate::window::life::Life;

impl<W> Hops<W> {
    /// Writes panes and windows, and which were emitted; `content` writes what a pane holds. Sources
    /// and delivery handles are no part of it.
    pub fn write(&self, out: &mut Vec<u8>, mut content: impl FnMut(&W, &mut Vec<u8>)) {
        self.emitted.write(out);
        put(out, self.windows.len() as u64);
        for (number, window) in &self.windows {
            put_time(out, *number);
            window.life.write(out);
            put(out, window.changed.len() as u64);
            window.changed.iter().for_each(|group| put(out, u64::from(*group)));
        }
        put(out, self.order.len() as u64);
        for at in self.order.values() {
            let Some(pane) = self.slots.get(*at as usize).and_then(Option::as_ref) else {
                continue;
            };
            put_time(out, pane.index);
            content(&pane.content, out);
        }
    }

    /// Reads what [`write`](Self::write) wrote, where there is no window. The windows wait for sources
    /// that come back after a restart. `groups` is how many groups there are.
    ///
    /// # Errors
    /// It is no such state.
    pub fn read(
        &mut self,
        now: i64,
        groups: usize,
        from: &mut Reader<'_>,
        mut content: impl FnMut(&mut Reader<'_>) -> Read<W>,
    ) -> Read<()> {
        self.set_now(now);
        self.sources.resume(now);
        self.emitted.read(from)?;
        let count = from.count(10)?;
        for _ in 0..count {
            let number = from.time()?;
            if self.windows.last_key_value().is_some_and(|(last, _)| *last >= number) {
                return Err(Broken);
            }
            let life = Life::read(now, from)?;
            let mut changed = Vec::new();
            for _ in 0..from.count(1)? {
                let group = u32::try_from(from.number()?).map_err(|_| Broken)?;
                if group as usize >= groups {
                    return Err(Broken);
                }
                changed.push(group);
            }
            self.forced += usize::from(life.forced);
            self.windows.insert(number, Window { life, changed });
        }
        for at in 0..from.count(8)? {
            let index = from.time()?;
            let held = self.windows.range(self.grid.windows(index)).next().is_some();
            if !held || self.order.last_key_value().is_some_and(|(last, _)| *last >= index) {
                return Err(Broken);
            }
            let of_pane = || self.windows.range(self.grid.windows(index));
            let open = of_pane().filter(|(_, window)| window.life.emitted.is_none()).count() as u32;
            let kept = of_pane().count() as u32;
            let deliveries = Vec::new();
            let content = content(from)?;
            let pane = Pane { index, open, kept, batch: 0, late: None, deliveries, content };
            self.slots.push(Some(pane));
            self.order.insert(index, at as u32);
        }
        // More may have been allowed when they were written.
        while self.windows.len() - self.forced > self.max() && self.force_oldest() {}
        self.set_now(now);
        Ok(())
    }
}
