//! The state of panes and of the windows over them, as a checkpoint keeps it.

use super::{Hops, Window};
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
        put(out, self.slots.len() as u64);
        for (_, pane) in self.slots.in_order() {
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
        for _ in 0..from.count(8)? {
            let index = from.time()?;
            self.slots.check_next(index)?;
            if self.windows.range(self.grid.windows(index)).next().is_none() {
                return Err(Broken);
            }
            let content = content(from)?;
            self.open_pane(index, content);
        }
        // More may have been allowed when they were written.
        self.bound();
        self.set_now(now);
        Ok(())
    }
}
