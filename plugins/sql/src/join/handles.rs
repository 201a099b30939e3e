//! The delivery handles of the batches whose points are held: each is given up with its last row.

use headwater_plugin_api::plugin::Delivery;

use super::rows::NONE;

/// Handles with how many rows need each.
#[derive(Default)]
pub struct Handles {
    list: Vec<Option<(Delivery, u32)>>,
    free: Vec<u32>,
}

impl Handles {
    /// Enters the handle of a batch; [`NONE`] if it has none.
    pub fn enter(&mut self, delivery: Option<&Delivery>) -> u32 {
        let Some(delivery) = delivery else { return NONE };
        let entry = Some((delivery.clone(), 0));
        match self.free.pop() {
            Some(at) => {
                self.list[at as usize] = entry;
                at
            }
            None => {
                self.list.push(entry);
                self.list.len() as u32 - 1
            }
        }
    }

    /// A row needs it.
    #[inline]
    pub fn hold(&mut self, handle: u32) {
        if let Some(Some((_, count))) = self.list.get_mut(handle as usize) {
            *count += 1;
        }
    }

    /// A row needs it no longer.
    #[inline]
    pub fn give_up(&mut self, handle: u32) {
        if let Some(Some((_, count))) = self.list.get_mut(handle as usize) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.drop_unused(handle);
            }
        }
    }

    /// Gives a handle up that no row needs.
    pub fn drop_unused(&mut self, handle: u32) {
        if let Some(entry) = self.list.get_mut(handle as usize)
            && entry.as_ref().is_some_and(|(_, count)| *count == 0)
        {
            *entry = None;
            self.free.push(handle);
        }
    }

    /// One handle for all of these.
    pub fn joined(&self, handles: &mut Vec<u32>) -> Option<Delivery> {
        handles.sort_unstable();
        handles.dedup();
        let of = |at: &u32| Some(self.list.get(*at as usize)?.as_ref()?.0.clone());
        let parts = handles.iter().filter_map(of).collect();
        handles.clear();
        Delivery::join(parts)
    }

    pub fn byte_size(&self) -> usize {
        self.list.capacity() * size_of::<Option<(Delivery, u32)>>() + self.free.capacity() * 4
    }

    /// Gives the memory back if there is no handle.
    pub fn release(&mut self) {
        if self.free.len() == self.list.len() {
            *self = Handles::default();
        }
    }
}
