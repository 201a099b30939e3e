//! How the state is written and read: partitions with their late times, runs with what waits and what
//! is looked back at, rows on their way out. What frames with a start know is made again from their rows.
//! Of batches only the copies of points that wait are written, for their sources send again what was not
//! settled.

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::{Batch, BatchBuilder, PointRef, Value};
use headwater_plugin_api::window::codec::{
    Broken, Read, Reader, put, put_float, put_int, put_text, put_time,
};

use super::OverState;
use super::partitions::RANGES;
use super::ready::Row;
use super::run::{Pending, Run};
use crate::accumulate::held::Held;

/// There is no copy of the point.
const NO_COPY: u32 = u32::MAX;

impl OverState {
    /// Appends all that [`read`](Self::read) needs.
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, self.partitions.list.len() as u64);
        for (number, partition) in self.partitions.list.iter().enumerate() {
            let key = self.partitions.table.key(number as u32);
            put(out, key.len() as u64);
            out.extend_from_slice(key);
            put(out, partition.covered.iter().count() as u64);
            for (first, last) in partition.covered.iter() {
                put_time(out, first);
                put_time(out, last);
            }
            put(out, partition.runs.len() as u64);
            partition.runs.iter().for_each(|run| self.write_run(run, out));
        }
        put(out, self.ready.len() as u64);
        let width = self.layout.row_width();
        for (row, values) in self.ready.waiting().zip(self.ready.values(width)) {
            put_time(out, row.time);
            put(out, row.partition.into());
            self.write_copy(row.batch, row.copy, out);
            values.iter().for_each(|held| held.write(out));
        }
    }

    fn write_run(&self, run: &Run, out: &mut Vec<u8>) {
        put(out, run.rows);
        let flags = u8::from(run.last.is_some()) | u8::from(run.last_fed) << 1;
        out.push(flags);
        put_time(out, run.last.unwrap_or_default());
        put_time(out, run.made);
        run.history.write(out);
        for frame in (0..self.layout.frames.len()).filter(|frame| self.layout.is_bounded(*frame)) {
            put(out, run.starts[frame]);
        }
        for (slid, slide) in self.layout.slides.iter().zip(&run.slides) {
            if !self.layout.is_bounded(slid.frame) {
                slide.write(out);
            }
        }
        put(out, run.pending.len() as u64);
        for (point, values) in run.in_order(self.layout.width()) {
            put_time(out, point.time);
            put_time(out, point.since);
            out.push(u8::from(point.fed));
            self.write_copy(point.batch, point.copy, out);
            values.for_each(|held| held.write(out));
        }
    }

    fn write_copy(&self, batch: u32, copy: u32, out: &mut Vec<u8>) {
        let copy = self.batches.copy(batch, copy).filter(|_| copy != NO_COPY);
        out.push(u8::from(copy.is_some()));
        let Some((batch, row)) = copy else { return };
        let point = PointRef::new(batch, row);
        put_text(out, point.series().name());
        put(out, point.series().tags().count() as u64);
        for (key, value) in point.series().tags() {
            put_text(out, key);
            put_text(out, value);
        }
        put(out, point.fields().len() as u64);
        for (key, value) in point.fields() {
            put_text(out, key);
            match value {
                Value::F64(value) => {
                    out.push(0);
                    put_float(out, value);
                }
                Value::I64(value) => {
                    out.push(1);
                    put_int(out, value.into());
                }
                Value::U64(value) => {
                    out.push(2);
                    put_int(out, value.into());
                }
                Value::Bool(value) => out.extend([3, u8::from(value)]),
                Value::Text(text) => {
                    out.push(4);
                    put_text(out, text);
                }
                Value::Unknown { .. } => out.push(5),
            }
        }
    }

    /// Reads what a statement of the same plan wrote, into one that has seen nothing.
    pub fn read(&mut self, from: &mut Reader<'_>) -> Read<()> {
        let mut copies = Copies::default();
        for number in 0..from.count(3)? {
            let length = from.count(1)?;
            let key = from.bytes(length)?;
            let known = self.partitions.table.len();
            let interned = self.partitions.table.intern(bytes_hash(key), key);
            if known != number || interned != Some(number as u32) {
                return Err(Broken);
            }
            let mut partition = super::partitions::Partition::new(None);
            let ranges = from.count(16)?;
            if ranges > RANGES {
                return Err(Broken);
            }
            let mut before = None;
            for _ in 0..ranges {
                let (first, last) = (from.time()?, from.time()?);
                if first > last || before.is_some_and(|before| first <= before) {
                    return Err(Broken);
                }
                before = Some(last);
                partition.covered.insert_range(first, last);
            }
            for _ in 0..from.count(20)? {
                let mut run = self.read_run(from, &mut copies)?;
                let sorted = partition.runs.last().is_none_or(|last| last.start() <= run.start());
                let alone = self.layout.reach.is_some() || partition.runs.is_empty();
                if !sorted || !alone {
                    return Err(Broken);
                }
                self.waiting += run.pending.len();
                self.kept += run.history.times.len();
                for point in run.pending.iter().filter(|point| point.fed) {
                    let held = point.since.max(point.time.saturating_add(self.delay));
                    self.look = self.look.min(held.saturating_add(self.hold));
                }
                self.queues.enter(number as u32, &mut run);
                self.queues.end(number as u32, &mut run, self.layout.reach);
                partition.runs.push(run);
            }
            self.partitions.emptied += usize::from(partition.runs.is_empty());
            self.partitions.list.push(partition);
        }
        let width = self.layout.row_width();
        for _ in 0..from.count(10 + width)? {
            let time = from.time()?;
            let partition = u32::try_from(from.number()?).map_err(|_| Broken)?;
            if partition as usize >= self.partitions.list.len() {
                return Err(Broken);
            }
            let copy = copies.read(from)?;
            self.ready.rows.push(Row { time, partition, batch: 0, copy });
            for _ in 0..width {
                self.ready.cells.push(Held::read(from)?);
            }
        }
        self.ready.sort(&self.partitions.table);
        let points = self.waiting + self.ready.len();
        if points > 0 {
            let batch = self.batches.current(None);
            self.batches.hold(batch, points);
            let copies = copies.finish();
            let all = copies.iter().flat_map(Batch::points);
            self.batches.keep(batch, all);
            self.batches.next();
        }
        Ok(())
    }

    fn read_run(&mut self, from: &mut Reader<'_>, copies: &mut Copies) -> Read<Run> {
        self.stamps = self.stamps.wrapping_add(1);
        let layout = &self.layout;
        let mut run = Run::new(layout, self.stamps);
        run.rows = from.number()?;
        let flags = from.flags(3)?;
        let last = from.time()?;
        run.last = (flags & 1 != 0).then_some(last);
        // Further points may come from sources that come back after a restart.
        run.last_fed = true;
        run.made = from.time()?;
        run.history.read(layout.kept.len(), run.rows, from)?;
        if !layout.looks_back && !run.history.times.is_empty() {
            return Err(Broken);
        }
        for frame in (0..layout.frames.len()).filter(|frame| layout.is_bounded(*frame)) {
            let start = from.number()?;
            if start > run.rows || start < run.history.base.min(run.rows) {
                return Err(Broken);
            }
            run.starts[frame] = start;
        }
        for (slid, slide) in layout.slides.iter().zip(&mut run.slides) {
            if !layout.is_bounded(slid.frame) {
                slide.read(from)?;
            }
        }
        run.refill(layout);
        let width = layout.width();
        for arrival in 0..from.count(18 + width)? as u64 {
            let (time, since) = (from.time()?, from.time()?);
            from.flags(1)?;
            let copy = copies.read(from)?;
            // Points before it may still come from sources that come back after a restart.
            let point = Pending { time, arrival, since, batch: 0, copy, fed: true };
            let mut values = Vec::with_capacity(width);
            for _ in 0..width {
                values.push(Held::read(from)?);
            }
            if run.last.is_some_and(|last| time <= last) {
                return Err(Broken);
            }
            run.add(width, point, values.into_iter());
        }
        Ok(run)
    }
}

/// Copies of points that are read.
#[derive(Default)]
struct Copies {
    builder: BatchBuilder,
    full: Vec<Batch>,
    count: u32,
}

impl Copies {
    /// The place of a copy.
    fn read(&mut self, from: &mut Reader<'_>) -> Read<u32> {
        if from.flags(1)? == 0 {
            return Ok(NO_COPY);
        }
        if self.builder.is_full() {
            self.full.extend(self.builder.finish());
        }
        let mut point = self.builder.point(from.text()?);
        for _ in 0..from.count(2)? {
            point = point.tag(from.text()?, from.text()?);
        }
        for _ in 0..from.count(2)? {
            let key = from.text()?;
            point = match from.byte()? {
                0 => point.field(key, from.finite()?),
                1 => point.field(key, i64::try_from(from.int()?).map_err(|_| Broken)?),
                2 => point.field(key, u64::try_from(from.int()?).map_err(|_| Broken)?),
                3 => point.field(key, from.flags(1)? != 0),
                4 => point.field(key, from.text()?),
                5 => point,
                _ => return Err(Broken),
            };
        }
        point.finish(0).map_err(|_| Broken)?;
        self.count += 1;
        Ok(self.count - 1)
    }

    fn finish(mut self) -> Vec<Batch> {
        self.full.extend(self.builder.finish());
        self.full
    }
}
