//! Rows: how groups of a window become points.

use headwater_plugin_api::batch::layout::Row;
use headwater_plugin_api::batch::{Batch, PointRef};
use headwater_plugin_api::plugin::Delivery;
use headwater_plugin_api::window::codec::{Broken, Read, Reader, put, put_time};
use headwater_plugin_api::window::{Groups, Span};

use super::{Results, Shared, Work};
use crate::accumulate::Accumulators;
use crate::emit::{Base, Column};
use crate::eval::{self, Frame};
use crate::key;
use crate::names::{Names, sort_by_key};
use crate::plan::Aggregate;
use crate::statement::Late;
use crate::vector::{Data, Vector};

/// Rows that are made at a time.
const EMIT_ROWS: usize = 4096;

/// Makes rows.
pub struct Writer {
    name: String,
    origin: u64,
    stamp_end: bool,
    names: Names,
}

/// Rows that are to be made.
pub struct RowSet<'s> {
    pub content: &'s Accumulators,
    /// Where the results of each row stand in `content`.
    pub slots: &'s [u32],
    pub groups: &'s [u32],
    pub spans: Spans<'s>,
}

/// The windows of rows.
#[derive(Clone, Copy)]
pub enum Spans<'s> {
    /// One for all.
    One(Span),
    /// One for each.
    Each(&'s [Span]),
}

impl Spans<'_> {
    #[inline]
    fn at(&self, row: usize) -> Option<Span> {
        match self {
            Spans::One(span) => Some(*span),
            Spans::Each(spans) => spans.get(row).copied(),
        }
    }

    fn part(&self, from: usize, len: usize) -> Self {
        match self {
            Spans::One(span) => Spans::One(*span),
            Spans::Each(spans) => Spans::Each(spans.get(from..from + len).unwrap_or_default()),
        }
    }
}

impl Writer {
    pub fn new(aggregate: &Aggregate, name: String, origin: u64, stamp_end: bool) -> Self {
        Writer { name, origin, stamp_end, names: Names::new(aggregate) }
    }

    /// The source of the results.
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// Whether a row's time is its window's end.
    pub fn stamps_end(&self) -> bool {
        self.stamp_end
    }

    pub fn byte_size(&self) -> usize {
        self.names.byte_size()
    }

    /// Groups were numbered anew.
    pub fn forget_groups(&mut self) {
        self.names.forget();
    }

    /// Makes rows, of which the last batch is not ended.
    pub fn rows(&mut self, table: &Groups, set: &RowSet<'_>, results: &mut Results<'_>) {
        let Results { aggregate, emitter, cx, out, .. } = results;
        let names = &mut self.names;
        let mut from = 0;
        while from < set.groups.len() {
            let rest = &set.groups[from..];
            let mut groups = &rest[..rest.len().min(EMIT_ROWS)];
            let known = !names.needs_keys && groups.iter().all(|g| names.get(*g).is_some());
            if !known {
                // A key is a tag if it is text: what others are must not show.
                let keys = groups.iter().map(|group| table.key(*group));
                groups = &groups[..key::alike(keys, aggregate.keys.len()).max(1)];
            }
            let slots = &set.slots[from..from + groups.len()];
            let spans = set.spans.part(from, groups.len());
            from += groups.len();
            let decoded = if known { &[] } else { groups };
            let keys = decoded.iter().map(|group| table.key(*group));
            let frame = RowFrame {
                keys: key::columns(keys, aggregate.keys.len()),
                results: (0..aggregate.aggregates.len())
                    .map(|number| set.content.finish(number, slots, &mut cx.failures))
                    .collect(),
                spans,
                len: groups.len(),
            };
            let keep = aggregate
                .having
                .as_ref()
                .map(|having| eval::eval(having, &frame, cx).trues(groups.len()));
            let columns: Vec<Column<'_, '_>> = aggregate
                .outputs
                .iter()
                .map(|output| Column { output, values: eval::eval(&output.node, &frame, cx) })
                .collect();
            let mut writer = emitter.rows(&columns);
            for (row, group) in groups.iter().enumerate() {
                if keep.as_ref().is_some_and(|keep| !keep.get(row)) {
                    continue;
                }
                let Some(span) = spans.at(row) else { continue };
                let time = if self.stamp_end { span.end } else { span.start };
                if names.get(*group).is_none() {
                    names.learn(*group, &self.name, &writer, row);
                }
                match names.get(*group) {
                    Some(series) => writer.row_of(&series, time, row, out),
                    None => {
                        writer.row(Base { name: &self.name, time, star: None }, row, out);
                    }
                }
            }
        }
    }

    /// Gives the rows from `from` on what the window's points came with, which they settle. Without
    /// rows it is dropped.
    pub fn settle(
        &self,
        from: usize,
        delivery: &mut Option<Delivery>,
        done: bool,
        out: &mut [Batch],
    ) {
        let made = out.len() - from;
        for (at, batch) in out[from..].iter_mut().enumerate() {
            batch.set_origin(self.origin);
            let last = done && at + 1 == made;
            batch.set_delivery(if last { delivery.take() } else { delivery.clone() });
        }
        if done {
            *delivery = None;
        }
    }

    /// Sends a late point on as it is.
    pub fn late(&self, work: &mut Work<'_>, row: &Row) {
        let name = format!("{}_late", self.name);
        let point = PointRef::new(work.batch, row);
        work.results.emitter.copy(&name, &point, work.results.out);
    }

    /// Ends the batch of late points that are passed on as they are: they settle what they came
    /// with, not what a window's rows do.
    pub fn finish_late(&self, late: Late, work: &mut Work<'_>) {
        if late == Late::Pass {
            let from = work.results.out.len();
            work.results.emitter.finish(work.results.out);
            for made in &mut work.results.out[from..] {
                made.set_origin(work.batch.origin());
                made.set_delivery(work.batch.delivery().cloned());
            }
        }
    }
}

/// A window that is closed, with the groups whose rows are still to come.
pub struct Emission {
    span: Span,
    content: Accumulators,
    /// In the order of their keys.
    groups: Vec<u32>,
    /// How many were emitted.
    at: usize,
    delivery: Option<Delivery>,
}

impl Emission {
    /// The rows of these groups.
    pub fn new(
        span: Span,
        content: Accumulators,
        mut groups: Vec<u32>,
        table: &Groups,
        delivery: Option<Delivery>,
    ) -> Self {
        sort_by_key(&mut groups, table);
        Emission { span, content, groups, at: 0, delivery }
    }

    fn byte_size(&self) -> usize {
        self.content.byte_size() + self.groups.capacity() * 4
    }

    /// Writes the window, and which rows are still to come.
    fn write(&self, out: &mut Vec<u8>) {
        put_time(out, self.span.start);
        put_time(out, self.span.end);
        self.content.write(out);
        let rest = self.groups.get(self.at..).unwrap_or_default();
        put(out, rest.len() as u64);
        rest.iter().for_each(|group| put(out, u64::from(*group)));
    }

    /// Reads what was written.
    fn read(aggregate: &Aggregate, groups: usize, from: &mut Reader<'_>) -> Read<Emission> {
        let span = Span { start: from.time()?, end: from.time()? };
        let content = read_content(aggregate, groups, from)?;
        let mut rest = Vec::new();
        for _ in 0..from.count(1)? {
            let group = u32::try_from(from.number()?).map_err(|_| Broken)?;
            if group as usize >= content.len() {
                return Err(Broken);
            }
            rest.push(group);
        }
        Ok(Emission { span, content, groups: rest, at: 0, delivery: None })
    }

    /// Makes all rows that are still to come; gives back what the window held.
    pub fn finish(mut self, shared: &mut Shared, results: &mut Results<'_>) -> Accumulators {
        let mut room = usize::MAX;
        self.go_on(&mut room, shared, results);
        self.content
    }

    /// Makes up to `room` of the rows that are still to come; whether these were all.
    fn go_on(&mut self, room: &mut usize, shared: &mut Shared, results: &mut Results<'_>) -> bool {
        let from = results.out.len();
        let rest = &self.groups[self.at..];
        let now = &rest[..rest.len().min(*room)];
        let spans = Spans::One(self.span);
        let set = RowSet { content: &self.content, slots: now, groups: now, spans };
        shared.writer.rows(&shared.groups.table, &set, results);
        results.emitter.finish(results.out);
        self.at += now.len();
        *room -= now.len();
        let done = self.at == self.groups.len();
        shared.writer.settle(from, &mut self.delivery, done, results.out);
        done
    }
}

/// The window whose rows are still to come, if there is one.
#[derive(Default)]
pub struct Unfinished(Option<Emission>);

impl Unfinished {
    pub fn begin(&mut self, emission: Emission) {
        self.0 = Some(emission);
    }

    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Makes up to `room` rows; gives back what the window held if these were all.
    pub fn go_on(
        &mut self,
        room: &mut usize,
        shared: &mut Shared,
        results: &mut Results<'_>,
    ) -> Option<Accumulators> {
        let mut emission = self.0.take()?;
        if emission.go_on(room, shared, results) {
            return Some(emission.content);
        }
        self.0 = Some(emission);
        None
    }

    /// Makes all rows; gives back what the window held.
    pub fn finish(
        &mut self,
        shared: &mut Shared,
        results: &mut Results<'_>,
    ) -> Option<Accumulators> {
        self.0.take().map(|emission| emission.finish(shared, results))
    }

    /// The earliest start, of this window and those from `start` on.
    pub fn earliest(&self, start: i64) -> i64 {
        self.0.as_ref().map_or(start, |emission| start.min(emission.span.start))
    }

    pub fn byte_size(&self) -> usize {
        self.0.as_ref().map_or(0, Emission::byte_size)
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        self.0.iter().for_each(|emission| emission.write(out));
    }

    pub fn read(aggregate: &Aggregate, groups: usize, from: &mut Reader<'_>) -> Read<Self> {
        Ok(Unfinished(match from.flags(1)? {
            0 => None,
            _ => Some(Emission::read(aggregate, groups, from)?),
        }))
    }
}

/// Reads accumulators that are indexed by group.
pub fn read_content(
    aggregate: &Aggregate,
    groups: usize,
    from: &mut Reader<'_>,
) -> Read<Accumulators> {
    let content = Accumulators::read(&aggregate.aggregates, from)?;
    if content.len() > groups { Err(Broken) } else { Ok(content) }
}

/// Groups of windows as a frame.
struct RowFrame<'a> {
    keys: Vec<Vector<'a>>,
    results: Vec<Vector<'a>>,
    spans: Spans<'a>,
    len: usize,
}

impl<'a> Frame<'a> for RowFrame<'a> {
    fn len(&self) -> usize {
        self.len
    }

    fn key(&self, number: usize) -> Vector<'a> {
        self.keys.get(number).cloned().unwrap_or_else(Vector::null)
    }

    fn aggregate(&self, number: usize) -> Vector<'a> {
        self.results.get(number).cloned().unwrap_or_else(Vector::null)
    }

    fn window(&self, end: bool) -> Vector<'a> {
        let time = |span: &Span| if end { span.end } else { span.start };
        match &self.spans {
            Spans::One(span) => Vector::constant(Data::Time(vec![time(span)])),
            Spans::Each(spans) => Vector::new(Data::Time(spans.iter().map(time).collect())),
        }
    }
}
