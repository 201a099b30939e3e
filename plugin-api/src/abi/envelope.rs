//! A batch as it crosses: the envelope with pointers to its table sets.

use super::host::RawDelivery;
use super::tables::{Malformed, RawTables, Tables};
use crate::batch::{Batch, validate};
use crate::plugin::Delivery;

/// One owner's view of a batch. Whoever takes it over sets `tables` to null.
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
        }
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
        assert_eq!(size_of::<RawBatch>(), 88);
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
            ],
            [0, 4, 8, 16, 24, 32, 40, 56, 64, 72, 80]
        );
        assert_eq!(size_of::<RawTables>(), 40);
    }
}
