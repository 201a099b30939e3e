//! A batch as it crosses: the envelope with pointers to its table sets.

use std::mem::ManuallyDrop;

use super::host::RawDelivery;
use super::tables::{Malformed, RawTables, Tables};
use crate::batch::{Batch, validate};
use crate::plugin::Delivery;

/// One owner's view of a batch. Whoever takes it over sets `tables` to null.
///
/// Its size never changes, for envelopes stand in arrays and are written back into their callers'
/// memory: what a later version adds takes the place of a reserved word, where 0 means what was
/// meant before.
#[repr(C)]
#[derive(Debug)]
pub struct RawBatch {
    /// Bytes of this struct.
    pub size: u32,
    /// Number of live rows.
    pub live: u32,
    /// The tables as built.
    pub tables: *const RawTables,
    /// Stands in for arena, tags and series; null if nothing does.
    pub series: *const RawTables,
    /// Stands in for arena, symbols, fields and shapes; null if nothing does.
    pub shapes: *const RawTables,
    /// Which rows are alive; null if all are.
    pub selection: *const RawTables,
    /// The delivery handle, empty if there is none.
    pub delivery: RawDelivery,
    /// The source, 0 if unknown.
    pub origin: u64,
    /// The place in the source's order.
    pub sequence: u64,
    /// Earliest time, nanoseconds since the epoch.
    pub time_min: i64,
    /// Latest time, nanoseconds since the epoch.
    pub time_max: i64,
    /// Reserved, 0.
    pub reserved: [u64; 4],
}

/// A batch that stays its caller's. A clone of it is an owner of its own.
#[repr(transparent)]
pub(crate) struct Lent(ManuallyDrop<Batch>);

impl std::ops::Deref for Lent {
    type Target = Batch;
    fn deref(&self) -> &Batch {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // SAFETY: it is taken once, here.
        let mut batch = unsafe { ManuallyDrop::take(&mut self.0) };
        // The handle is the caller's to settle; of the tables, `borrow` made one owner more.
        batch.take_delivery().map(Delivery::into_raw);
    }
}

impl RawBatch {
    /// Gives a batch away.
    pub fn new(mut batch: Batch) -> RawBatch {
        let delivery = batch.take_delivery().map_or(RawDelivery::NONE, Delivery::into_raw);
        let raw = |tables: Option<Tables>| tables.map_or(std::ptr::null(), Tables::into_raw);
        RawBatch {
            size: size_of::<RawBatch>() as u32,
            live: batch.live,
            tables: batch.tables.into_raw(),
            series: raw(batch.series),
            shapes: raw(batch.shapes),
            selection: raw(batch.selection),
            delivery,
            origin: batch.origin,
            sequence: batch.sequence,
            time_min: batch.time_min,
            time_max: batch.time_max,
            reserved: [0; 4],
        }
    }

    /// Looks at a batch that stays the caller's.
    ///
    /// # Safety
    /// As for [`take`](Self::take), and `self` outlives what this gives.
    ///
    /// # Errors
    /// What is wrong with it; nothing of it is released.
    pub(crate) unsafe fn borrow(&self) -> Result<Lent, Malformed> {
        for raw in [self.tables, self.series, self.shapes, self.selection] {
            // SAFETY: the caller vouches: null or a live set.
            if let Some(head) = unsafe { raw.as_ref() } {
                // SAFETY: as above.
                unsafe { (head.retain)(raw) };
            }
        }
        let mut copy = RawBatch { delivery: RawDelivery::NONE, ..*self };
        // SAFETY: the copy is one owner of each set, made just now.
        let mut batch = unsafe { copy.take(false) }?;
        batch.delivery = Delivery::from_raw(RawDelivery { ..self.delivery });
        Ok(Lent(ManuallyDrop::new(batch)))
    }

    /// Whether the batch was taken over.
    pub fn is_taken(&self) -> bool {
        self.tables.is_null()
    }

    /// Takes the batch over.
    ///
    /// # Safety
    /// `self` came through the interface: its pointers are null or own live table sets, its handle
    /// is empty or live. Unless `check` is set, its producer vouches for what the tables say.
    ///
    /// # Errors
    /// What is wrong with it; its parts are released and its handle settles as dropped.
    pub unsafe fn take(&mut self, check: bool) -> Result<Batch, Malformed> {
        let delivery = Delivery::from_raw(std::mem::replace(&mut self.delivery, RawDelivery::NONE));
        // SAFETY: the caller vouches for the pointers; each is taken once.
        let (tables, series, shapes, selection) = unsafe {
            (
                Tables::from_raw(std::mem::replace(&mut self.tables, std::ptr::null())),
                optional(&mut self.series),
                optional(&mut self.shapes),
                optional(&mut self.selection),
            )
        };
        if (self.size as usize) < size_of::<RawBatch>() {
            return Err(Malformed(format!("an envelope of {} bytes", self.size)));
        }
        let batch = Batch {
            tables: tables?,
            series: series?,
            shapes: shapes?,
            selection: selection?,
            delivery,
            live: self.live,
            origin: self.origin,
            sequence: self.sequence,
            time_min: self.time_min,
            time_max: self.time_max,
        };
        if check {
            validate::batch(&batch)?;
        }
        Ok(batch)
    }
}

unsafe fn optional(place: &mut *const RawTables) -> Result<Option<Tables>, Malformed> {
    let raw = std::mem::replace(place, std::ptr::null());
    if raw.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for the pointer.
    unsafe { Tables::from_raw(raw) }.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    #[test]
    fn layout_is_frozen() {
        assert_eq!(size_of::<RawBatch>(), 120);
        assert_eq!(
            [
                offset_of!(RawBatch, size),
                offset_of!(RawBatch, live),
                offset_of!(RawBatch, tables),
                offset_of!(RawBatch, series),
                offset_of!(RawBatch, shapes),
                offset_of!(RawBatch, selection),
                offset_of!(RawBatch, delivery),
                offset_of!(RawBatch, origin),
                offset_of!(RawBatch, sequence),
                offset_of!(RawBatch, time_min),
                offset_of!(RawBatch, time_max),
                offset_of!(RawBatch, reserved),
            ],
            [0, 4, 8, 16, 24, 32, 40, 56, 64, 72, 80, 88]
        );
        assert_eq!(size_of::<RawTables>(), 40);
    }

    #[derive(Default)]
    struct Settled(std::sync::Mutex<Vec<crate::plugin::Outcome>>);

    impl crate::abi::serve::Settle for Settled {
        fn retained(&self) {}
        fn settled(&self, outcome: crate::plugin::Outcome) {
            self.0.lock().unwrap().push(outcome);
        }
    }

    fn tables(carried_flags: u32) -> Tables {
        let carried = vec![(77, carried_flags, 8, crate::abi::tables::carry(&[1; 8]), 1)];
        crate::abi::tables::TableSet { carried, ..Default::default() }.freeze()
    }

    #[test]
    fn a_lent_batch_stays_its_callers() {
        let settled = std::sync::Arc::new(Settled::default());
        let mut batch = Batch::new(tables(0), (0, 0));
        batch.set_delivery(Some(crate::abi::serve::delivery(settled.clone())));
        let mut raw = RawBatch::new(batch);
        // SAFETY: the envelope was made just now.
        let clone = unsafe { raw.borrow() }.unwrap().clone();
        assert!(settled.0.lock().unwrap().is_empty());
        // SAFETY: as above.
        let back = unsafe { raw.take(true) }.unwrap();
        assert!(back.tables.clone().thaw().is_err(), "the clone is an owner too");
        drop(clone);
        assert!(settled.0.lock().unwrap().len() == 1 && back.tables.thaw().is_ok());
    }

    #[test]
    fn a_lent_batch_that_cannot_be_read_stays_its_callers() {
        let kept = tables(crate::batch::layout::section::MUST_UNDERSTAND);
        let raw = RawBatch::new(Batch::new(kept.clone(), (0, 0)));
        // SAFETY: the envelope was made just now.
        let error = unsafe { raw.borrow() }.err().unwrap().to_string();
        assert!(error.contains("section 77 must be understood"), "{error}");
        // SAFETY: the envelope's own share.
        unsafe { ((*raw.tables).release)(raw.tables) };
        assert!(kept.thaw().is_ok(), "one owner is left");
    }
}
