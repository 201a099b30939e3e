//! Points that come: those of the second source are kept by key, those of the first wait.

use std::collections::VecDeque;

use headwater_plugin_api::batch::hash::bytes_hash;
use headwater_plugin_api::batch::layout::{Row, kind};
use headwater_plugin_api::batch::{Batch, PointRef, SeriesRef, Value};
use headwater_plugin_api::window::{Feed, Groups};

use super::rows::numbers;
use super::*;
use crate::ast::Scope;
use crate::eval;
use crate::key;
use crate::plan::{Action, Node, Side};
use crate::points::{OneSeries, Place};
use crate::vector::Vector;

/// There is no room for another key.
const NO_ROOM: u32 = u32::MAX - 3;

impl Held {
    pub fn new(join: &Join, settings: &Settings) -> Self {
        let (low, high) = join.bounds;
        let linger = high.saturating_sub(low).saturating_add(settings.delay);
        Held {
            plan: Arc::new(join.clone()),
            late: settings.late,
            max_rows: settings.max_rows,
            flush: settings.flush,
            closed: false,
            linger: linger.saturating_add(settings.idle),
            sides: [0, 1].map(|side| Rows::new(output::carried(join, side).len())),
            live: Queue::default(),
            fed: Queue::default(),
            ready: VecDeque::new(),
            partners: Queue::default(),
            table: Groups::new(settings.max_groups),
            keys: Vec::new(),
            handles: Handles::default(),
            weight: 0,
            renumbered: [false; 2],
            made_room: false,
            catches_up: false,
            now: i64::MIN,
        }
    }

    pub fn byte_size(&self) -> usize {
        let queues = [&self.live, &self.fed, &self.partners];
        self.sides.iter().map(Rows::byte_size).sum::<usize>()
            + queues.into_iter().map(Queue::byte_size).sum::<usize>()
            + self.ready.capacity() * size_of::<Entry>()
            + self.table.byte_size()
            + self.keys.capacity() * size_of::<Key>()
            + self.keys.iter().map(Key::byte_size).sum::<usize>()
            + self.handles.byte_size()
    }

    /// A batch begins.
    pub fn begin(&mut self, now: i64) {
        self.now = now;
        self.made_room = false;
        if self.table.len() > 1024 && self.table.len() > self.sides[1].len() * 2 {
            self.forget_keys(false);
        }
    }

    /// The end of the time that a point waits for: all of its partners lie before.
    #[inline]
    pub fn deadline(&self, time: i64) -> i64 {
        time.saturating_add(self.plan.bounds.1.max(0)).saturating_add(1)
    }

    /// The end of the time after which no point needs a partner.
    #[inline]
    pub fn given_up(&self, time: i64) -> i64 {
        self.deadline(time.saturating_sub(self.plan.bounds.0))
    }

    /// Takes points of a side.
    pub fn take(
        &mut self,
        side: usize,
        selected: Selected<'_, '_>,
        feed: &Feed,
        handle: u32,
        out: &mut Vec<Batch>,
    ) {
        let Selected { points, keys_by_series, series, emitter, counts, cx } = selected;
        let (batch, join) = (points.batch, Arc::clone(&self.plan));
        let plan = &join.sides[side];
        let Action::Side(action) = &plan.action else { return };
        let keys: Vec<Vector<'_>> = match keys_by_series {
            true => Vec::new(),
            false => action.keys.iter().map(|node| eval::eval(node, &points, cx)).collect(),
        };
        let fields = Fields::new(action, &points);
        let kinds = self.sides[side].kind_list(&fields.kinds);
        let table = batch.tables().rows();
        let mut scratch = Vec::new();
        let mut passed = false;
        for (place, at) in points.rows.iter().enumerate() {
            let row = &table[*at as usize];
            if row.time > feed.limit {
                counts.future += 1;
                continue;
            }
            let known = series.value(row.series).map_or(NO_GROUP, |info| info.group);
            let group = if keys_by_series && known != NO_GROUP {
                known
            } else {
                scratch.clear();
                let has_key = if keys_by_series {
                    let frame =
                        OneSeries { series: batch.series(row.series), columns: &plan.columns };
                    let nodes = action.keys.iter();
                    let cells: Vec<Vector<'_>> =
                        nodes.map(|node: &Node| eval::eval(node, &frame, cx)).collect();
                    cells.iter().all(|cell| key::write_equal(&mut scratch, cell.cell(0)))
                } else {
                    keys.iter().all(|column| key::write_equal(&mut scratch, column.cell(place)))
                };
                let group = if has_key { self.group(&scratch) } else { NO_KEY };
                if std::mem::take(&mut self.renumbered[side]) {
                    let infos = series.each_mut();
                    infos.for_each(|info| info.group = NO_GROUP);
                }
                if keys_by_series
                    && group != NO_ROOM
                    && let Some(info) = series.value_mut(row.series)
                {
                    info.group = group;
                }
                group
            };
            if group == NO_ROOM {
                counts.overflow += 1;
                continue;
            }
            let is_partner = side == 1;
            if group == NO_KEY && (is_partner || !self.plan.keeps_left) {
                continue;
            }
            let mut late = false;
            if is_partner {
                late = self.is_missed(group, row.time);
                if late {
                    counts.late += 1;
                    if self.late == Late::Pass {
                        let name = format!("{}_late", self.plan.stream);
                        emitter.copy(&name, &PointRef::new(batch, row), out);
                        passed = true;
                    }
                }
            }
            self.make_room(counts);
            let info = series.value(row.series);
            let tags = match info.map_or(NO_GROUP, |info| info.carried) {
                NO_GROUP => {
                    let tags = self.tag_set(side, action, plan, batch.series(row.series));
                    if let Some(info) = series.value_mut(row.series) {
                        info.carried = tags;
                    }
                    tags
                }
                known => known,
            };
            // What was passed on is settled by that.
            let handle = if late && self.late == Late::Pass { rows::NONE } else { handle };
            self.handles.hold(handle);
            let held = self.sides[side].push(tags, kinds, handle);
            fields.copy(batch, row, &mut self.sides[side], held);
            self.enter(side, Entry { time: row.time, came: self.now, row: held, group }, feed);
        }
        if passed {
            let from = out.len();
            emitter.finish(out);
            for made in &mut out[from..] {
                made.set_origin(batch.origin());
                made.set_delivery(batch.delivery().cloned());
            }
        }
    }

    /// Adds a row that was stored.
    pub fn enter(&mut self, side: usize, entry: Entry, feed: &Feed) {
        self.weight += self.sides[side].weight(entry.row);
        if let Some(key) = self.keys.get_mut(entry.group as usize) {
            key.touched = self.now;
            match side {
                0 => key.waiting += 1,
                _ => {
                    key.push(entry.time, entry.row);
                    if feed.catching_up {
                        key.feed(entry.time);
                    }
                }
            }
        }
        match (side, feed.catching_up) {
            (0, false) => self.live.push(entry),
            (0, true) => {
                self.catches_up = true;
                self.fed.push(entry);
            }
            _ => self.partners.push(entry),
        }
    }

    /// Whether a point that would have had this partner was answered without it.
    fn is_missed(&mut self, group: u32, time: i64) -> bool {
        let Some(key) = self.keys.get_mut(group as usize) else { return false };
        let (low, high) = self.plan.bounds;
        let (from, mut to) = (time.saturating_sub(high), time.saturating_sub(low));
        if !key.answered.touch(from, to) {
            return false;
        }
        if self.plan.asof
            && let Some(next) = key.next(&self.sides[1], time)
        {
            // The partner behind it is the latest from then on.
            to = to.min(next.saturating_sub(high).saturating_sub(1));
        }
        from <= to && key.answered.touch(from, to)
    }

    /// The number of a key.
    fn group(&mut self, key: &[u8]) -> u32 {
        let hash = bytes_hash(key);
        if self.closed {
            return self.table.find(hash, key).unwrap_or(NO_ROOM);
        }
        let mut found = self.table.intern(hash, key);
        if found.is_none() && !self.made_room {
            self.made_room = true;
            self.forget_keys(true);
            if self.table.is_full() && self.flush {
                self.release_all();
            }
            found = self.table.intern(hash, key);
        }
        let Some(group) = found else { return NO_ROOM };
        if self.keys.len() <= group as usize {
            self.keys.resize_with(group as usize + 1, Key::default);
        }
        group
    }

    /// Forgets the keys that have no points; with `all` those too that had some lately.
    pub fn forget_keys(&mut self, all: bool) {
        let (now, linger) = (self.now, self.linger);
        let needed = |key: &Key| {
            key.waiting > 0 || !key.is_empty() || !all && now.saturating_sub(key.touched) < linger
        };
        let used: Vec<bool> = self.keys.iter().map(needed).collect();
        if used.iter().all(|used| *used) {
            return;
        }
        self.table.retain(&used);
        if self.table.is_empty() {
            self.table.release();
        }
        let mut kept = used.iter();
        self.keys.retain(|_| kept.next().is_some_and(|used| *used));
        self.keys.shrink_to(self.keys.len() * 2);
        let numbers = numbers(&used);
        let number = |group: u32| numbers.get(group as usize).copied().unwrap_or(group);
        for queue in [&mut self.live, &mut self.fed, &mut self.partners] {
            queue.renumber(number);
        }
        self.ready.iter_mut().for_each(|entry| entry.group = number(entry.group));
        self.renumbered = [true; 2];
    }

    /// The tags of a series that joined rows take over.
    fn tag_set(
        &mut self,
        side: usize,
        action: &Side,
        plan: &crate::plan::Plan,
        of: SeriesRef<'_>,
    ) -> u32 {
        let mut bytes = Vec::new();
        for carried in &action.carried {
            let tag = match carried.column.map(|number| &plan.columns[number]) {
                None => Some(of.name()),
                Some(column) if column.scope == Scope::Field => None,
                Some(column) => of.tag(&column.name),
            };
            output::put_tag(&mut bytes, tag);
        }
        self.sides[side].tag_set(&bytes)
    }

    /// Answers or gives up the oldest until so much weight is held.
    pub fn shed(&mut self, weight: u64, counts: &mut Counts) {
        let max_rows = std::mem::replace(&mut self.max_rows, weight + 1);
        self.make_room(counts);
        self.max_rows = max_rows;
    }

    /// Makes room for a row: the oldest point is answered early, or given up if it is a partner.
    fn make_room(&mut self, counts: &mut Counts) {
        while self.weight >= self.max_rows {
            let first = |queue: &Queue| queue.first().map_or(i64::MAX, |entry| entry.time);
            let (live, fed) = (first(&self.live), first(&self.fed));
            let partner = first(&self.partners);
            if !self.partners.is_empty() && partner < live.min(fed) {
                counts.overflow += 1;
                self.give_up_first();
                continue;
            }
            let queue = if live <= fed { &mut self.live } else { &mut self.fed };
            let Some(entry) = queue.pop() else { return };
            counts.early += 1;
            self.weight = self.weight.saturating_sub(self.sides[0].weight(entry.row));
            self.ready.push_back(entry);
        }
    }

    /// Lets all points be answered next.
    pub fn release_all(&mut self) {
        for queue in [&mut self.live, &mut self.fed] {
            while let Some(entry) = queue.pop() {
                self.weight = self.weight.saturating_sub(self.sides[0].weight(entry.row));
                self.ready.push_back(entry);
            }
        }
    }

    /// Forgets the earliest partner.
    pub fn give_up_first(&mut self) {
        let Some(entry) = self.partners.pop() else { return };
        if let Some(key) = self.keys.get_mut(entry.group as usize) {
            key.remove(&self.sides[1], entry.time, entry.row);
        }
        self.weight = self.weight.saturating_sub(self.sides[1].weight(entry.row));
        let handle = self.sides[1].handle(entry.row);
        self.sides[1].free(entry.row);
        self.handles.give_up(handle);
    }
}

/// Which fields of a shape go into a row.
struct Fields {
    kinds: Vec<u8>,
    /// Where each stands in a row, where in a point, and its kind.
    places: Vec<(usize, usize, u8)>,
}

impl Fields {
    fn new(side: &Side, points: &Points<'_>) -> Self {
        let mut fields = Fields { kinds: vec![0; side.carried.len()], places: Vec::new() };
        for (number, carried) in side.carried.iter().enumerate() {
            let place = carried.column.and_then(|column| points.places.get(column));
            if let Some(Place::Field { slot, kind: field_kind }) = place
                && matches!(
                    *field_kind,
                    kind::F64 | kind::I64 | kind::U64 | kind::BOOL | kind::TEXT
                )
            {
                fields.kinds[number] = *field_kind;
                fields.places.push((number, *slot as usize, *field_kind));
            }
        }
        fields
    }

    /// Copies the fields of a point.
    #[inline]
    fn copy(&self, batch: &Batch, row: &Row, rows: &mut Rows, held: u32) {
        let values = batch.tables().values();
        for (number, slot, field_kind) in &self.places {
            let payload = values[row.values as usize + slot];
            match *field_kind {
                kind::TEXT => {
                    let value = Value::read(batch.tables().arena(), kind::TEXT, payload);
                    rows.set(held, *number, value);
                }
                _ => rows.set_payload(held, *number, payload),
            }
        }
    }
}
