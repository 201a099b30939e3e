//! The state of sessions, as a checkpoint keeps it.

use std::cmp::Reverse;

use super::{NONE, OfGroup, Session, Sessions};
use crate::window::codec::{Broken, Read, Reader, put, put_time};
use crate::window::life::Life;

impl Sessions {
    /// Writes the sessions, and which were emitted. What they hold at the slots, sources and delivery
    /// handles are no part of it.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.memory.write(out);
        put(out, u64::from(self.slots));
        put(out, self.len as u64);
        for session in self.list.iter().flatten() {
            put(out, u64::from(session.group));
            put(out, u64::from(session.slot));
            put(out, session.more.len() as u64);
            session.more.iter().for_each(|slot| put(out, u64::from(*slot)));
            put_time(out, session.start);
            put_time(out, session.last);
            session.life.write(out);
        }
    }

    /// Reads what [`write`](Self::write) wrote, where there is no session. The sessions wait for
    /// sources that come back after a restart. `groups` is how many groups there are, `slots` how many
    /// slots the caller holds.
    ///
    /// # Errors
    /// It is no such state.
    pub fn read(
        &mut self,
        now: i64,
        groups: usize,
        slots: usize,
        from: &mut Reader<'_>,
    ) -> Read<()> {
        self.set_now(now);
        self.sources.resume(now);
        self.memory.read(from)?;
        self.slots = u32::try_from(from.number()?).map_err(|_| Broken)?;
        if self.slots as usize > slots {
            return Err(Broken);
        }
        let count = from.count(20)?;
        let mut taken = vec![false; self.slots as usize];
        for _ in 0..count {
            let session = self.read_session(now, groups, &mut taken, from)?;
            let (id, group) = (self.list.len() as u32, session.group as usize);
            if self.groups.len() <= group {
                self.groups.resize(group + 1, OfGroup::NONE);
            }
            self.groups[group].count += 1;
            let entry = (id, session.stamp);
            match session.life.emitted {
                None => self.queue.push(Reverse((session.last, id, session.stamp))),
                Some(_) => self.kept.push_back(entry),
            }
            if session.life.forced && session.life.emitted.is_none() {
                self.forced.push(entry);
            }
            if session.life.corrected.is_some() {
                self.corrected.push(entry);
            }
            self.list.push(Some(session));
        }
        self.len = count;
        let list = &self.list;
        let emitted = |entry: &(u32, u32)| {
            list.get(entry.0 as usize)?.as_ref().and_then(|session| session.life.emitted)
        };
        self.kept.make_contiguous().sort_by_key(emitted);
        self.link()
    }

    fn read_session(
        &mut self,
        now: i64,
        groups: usize,
        taken: &mut [bool],
        from: &mut Reader<'_>,
    ) -> Read<Session> {
        let group = u32::try_from(from.number()?).map_err(|_| Broken)?;
        let mut slot = |from: &mut Reader<'_>| {
            let slot = u32::try_from(from.number()?).map_err(|_| Broken)?;
            let is_taken = taken.get_mut(slot as usize).ok_or(Broken)?;
            if std::mem::replace(is_taken, true) { Err(Broken) } else { Ok(slot) }
        };
        let own = slot(from)?;
        let mut more = Vec::new();
        for _ in 0..from.count(1)? {
            more.push(slot(from)?);
        }
        let (start, last) = (from.time()?, from.time()?);
        if group as usize >= groups || start > last {
            return Err(Broken);
        }
        self.stamps += 1;
        Ok(Session {
            group,
            slot: own,
            more,
            start,
            last,
            until: i64::MAX,
            queued: last,
            life: Life::read(now, from)?,
            batch: 0,
            stamp: self.stamps,
            ordered: false,
            deliveries: Vec::new(),
        })
    }

    /// Finds the neighbours in each group.
    fn link(&mut self) -> Read<()> {
        let mut order: Vec<u32> = (0..self.list.len() as u32).collect();
        let place = |id: &u32| {
            let session = self.list.get(*id as usize)?.as_ref()?;
            Some((session.group, session.start))
        };
        order.sort_unstable_by_key(place);
        // From the last one on: each learns where the next one begins.
        let mut next: Option<(u32, i64)> = None;
        for id in order.into_iter().rev() {
            let Some(session) = self.list.get_mut(id as usize).and_then(Option::as_mut) else {
                continue;
            };
            let of_group = &mut self.groups[session.group as usize];
            if let Some((group, start)) = next.filter(|(group, _)| *group == session.group) {
                let reach = start.saturating_sub(self.gap).saturating_sub(1);
                if session.last > reach || self.by_time.contains_key(&(group, session.start)) {
                    return Err(Broken);
                }
                session.until = reach;
            }
            if of_group.count > 1 {
                session.ordered = true;
                self.by_time.insert((session.group, session.start), id);
            }
            if of_group.recent == NONE {
                of_group.recent = id;
            }
            next = Some((session.group, session.start));
        }
        Ok(())
    }
}
