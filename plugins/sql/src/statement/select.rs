//! Which points a statement takes: by series, by shape, by what each point decides.

use super::*;

impl Statement {
    /// Hands the points that it reads and that pass its filters to `take`, those of a shape at a
    /// time. Whether there were any. `numbers` as in [`apply_numbered`](Self::apply_numbered).
    pub fn select_each(
        &mut self,
        now: i64,
        batch: &Batch,
        numbers: Option<&mut SeriesNumbers>,
        take: impl FnMut(Selected<'_, '_>),
    ) -> bool {
        let Some(numbers) = numbers else { return self.select_all(now, batch, take) };
        self.series.lend(numbers);
        let took = self.select_all(now, batch, take);
        self.series.give_back(numbers);
        took
    }

    fn select_all(
        &mut self,
        now: i64,
        batch: &Batch,
        mut take: impl FnMut(Selected<'_, '_>),
    ) -> bool {
        if !batch.is_empty() {
            self.fed = Some(now);
        }
        let plan = Arc::clone(&self.plan);
        if batch.is_empty() || !self.prepare(&plan, now, batch) {
            return false;
        }
        let mut took = false;
        let mut cx = Context::new(now);
        self.sort(batch);
        for run in 0..self.runs.len() {
            let shape = self.select_run(&plan, batch, run, &mut cx);
            let Some(shape) = shape.and_then(|shape| self.shapes.get(shape)) else { continue };
            let (rows, columns, places) = (&self.rows[..], &plan.columns, &shape.columns);
            took = true;
            take(Selected {
                points: Points { batch, rows, columns, places, table: None },
                keys_by_series: shape.keys_by_series,
                series: &mut self.series,
                emitter: &mut self.emitter,
                counts: &mut self.counts,
                cx: &mut cx,
            });
        }
        if took {
            self.took = Some(now);
        }
        self.counts.failures.add(&cx.failures);
        took
    }

    /// Looks up the series and shapes of a batch; whether any series is read.
    #[inline(never)]
    pub(super) fn prepare(&mut self, plan: &Plan, now: i64, batch: &Batch) -> bool {
        if let (Some(lookup), Some(join)) = (&mut self.lookup, &plan.table)
            && lookup.refresh(join)
        {
            self.series.each_mut().for_each(|info| info.row = 0);
        }
        let (watch, failures) = (&mut self.watch, &mut self.counts.failures);
        let (mixed, common) = (&mut self.mixed_tags, &mut self.common_tags);
        let reads_all = &mut self.reads_all;
        self.series.prepare(batch, |series| {
            let info = series_info(plan, series, now, failures);
            *reads_all &= info.reads;
            if info.reads {
                watch.series(series, now);
                *mixed |= *common.get_or_insert(info.tags) != info.tags;
            } else {
                watch.other(series.name());
            }
            info
        });
        let count = batch.series_count() as u32;
        let any = (0..count).any(|index| self.series.value(index).is_some_and(|info| info.reads));
        if any {
            self.shapes.prepare(plan, batch, |key| self.watch.met(key));
        }
        any
    }

    /// Sorts the live rows by shape and set of tags, in their order; no list stands for all rows of
    /// one shape and set. Where the order of all counts, they are cut into runs instead.
    pub(super) fn sort(&mut self, batch: &Batch) {
        let shapes = batch.shape_count();
        self.tag_sets.clear();
        if !self.mixed_tags {
            self.tag_sets.extend(self.common_tags);
        }
        for index in 0..if self.mixed_tags { batch.series_count() as u32 } else { 0 } {
            if let Some(info) = self.series.value(index)
                && info.reads
                && self.tag_sets.last() != Some(&info.tags)
                && !self.tag_sets.contains(&info.tags)
            {
                self.tag_sets.push(info.tags);
            }
        }
        let sets = self.tag_sets.len().max(1);
        self.starts.clear();
        self.starts.resize(shapes * sets + 1, 0);
        self.order.clear();
        self.runs.clear();
        if shapes == 1 && sets == 1 && batch.selection().is_none() {
            self.runs.push((0, 0, batch.len() as u32));
            return;
        }
        let part = |row: &Row| {
            let tags =
                self.series.value(row.series).filter(|info| info.reads).map(|info| info.tags)?;
            let set = self.tag_sets.iter().position(|known| *known == tags)?;
            Some((row.shape as usize).min(shapes - 1) * sets + set)
        };
        if self.ordered {
            for (at, row) in batch.rows() {
                let Some(part) = part(row) else { continue };
                let end = self.order.len() as u32;
                match self.runs.last_mut().filter(|run| run.0 == part as u32) {
                    Some(run) => run.2 += 1,
                    None => self.runs.push((part as u32, end, end + 1)),
                }
                self.order.push(at as u32);
            }
            return;
        }
        for (_, row) in batch.rows() {
            if let Some(part) = part(row) {
                self.starts[part + 1] += 1;
            }
        }
        for at in 0..shapes * sets {
            self.starts[at + 1] += self.starts[at];
        }
        let mut next = self.starts.clone();
        self.order.resize(self.starts[shapes * sets] as usize, 0);
        for (at, row) in batch.rows() {
            if let Some(part) = part(row) {
                self.order[next[part] as usize] = at as u32;
                next[part] += 1;
            }
        }
        let bounds = self.starts.windows(2).zip(0..).map(|(pair, part)| (part, pair[0], pair[1]));
        self.runs.extend(bounds.filter(|(_, from, to)| from < to));
    }

    /// Selects the rows of a run that the statement reads; their shape if there are any.
    pub(super) fn select_run(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        run: usize,
        cx: &mut Context,
    ) -> Option<u32> {
        let (part, from, to) = self.runs[run];
        let shape = part / self.tag_sets.len().max(1) as u32;
        self.select(plan, batch, shape, from as usize..to as usize, cx).then_some(shape)
    }

    /// Selects the rows of a shape that the statement reads; whether there are any.
    #[inline(never)]
    fn select(
        &mut self,
        plan: &Plan,
        batch: &Batch,
        shape_index: u32,
        range: std::ops::Range<usize>,
        cx: &mut Context,
    ) -> bool {
        let Some(shape) = self.shapes.get(shape_index) else { return false };
        let mask = shape.series_filters;
        let table = batch.tables().rows();
        let all_rows =
            batch.shape_count() == 1 && self.tag_sets.len() <= 1 && batch.selection().is_none();
        let candidates = if all_rows { table.len() } else { range.len() };
        let order = self.order.get(range).unwrap_or_default();
        // What is to be done with the rows of each series: its group, or nothing.
        let verdict = |info: Option<&SeriesInfo>| match info {
            Some(info) if info.reads && info.filters & mask == mask => info.group,
            _ => SKIPPED,
        };
        self.verdicts.clear();
        if !all_rows && candidates < batch.series_count() {
            // A short run is not worth a table of all series.
            self.rows.clear();
            self.groups.clear();
            for &at in order {
                let group = verdict(self.series.value(table[at as usize].series));
                if group != SKIPPED {
                    self.rows.push(at);
                    self.groups.push(group);
                }
            }
            self.filter(plan, batch, shape_index, cx);
            return !self.rows.is_empty();
        }
        self.verdicts.extend(self.series.batch_values().map(verdict));
        if all_rows && !self.verdicts.contains(&SKIPPED) {
            let verdict = |row: &Row| self.verdicts.get(row.series as usize).copied();
            self.rows.clear();
            self.rows.extend(0..table.len() as u32);
            self.groups.clear();
            self.groups.extend(table.iter().map(|row| verdict(row).unwrap_or(NO_GROUP)));
            self.filter(plan, batch, shape_index, cx);
            return !self.rows.is_empty();
        }
        // Every candidate is written; those that fail are written over by the next one.
        self.rows.resize(candidates, 0);
        self.groups.resize(candidates, 0);
        let (verdicts, rows, groups) = (&self.verdicts, &mut self.rows, &mut self.groups);
        let mut count = 0;
        let mut take = |at: u32, row: &Row| {
            let group = verdicts.get(row.series as usize).copied().unwrap_or(SKIPPED);
            rows[count] = at;
            groups[count] = group;
            count += usize::from(group != SKIPPED);
        };
        if all_rows {
            table.iter().enumerate().for_each(|(at, row)| take(at as u32, row));
        } else {
            order.iter().for_each(|at| take(*at, &table[*at as usize]));
        }
        self.rows.truncate(count);
        self.groups.truncate(count);
        self.filter(plan, batch, shape_index, cx);
        !self.rows.is_empty()
    }

    /// Keeps the rows that pass what each point decides. Groups are given up where they are not
    /// known for all rows.
    fn filter(&mut self, plan: &Plan, batch: &Batch, shape: u32, cx: &mut Context) {
        let Some(shape) = self.shapes.get(shape) else { return };
        if !shape.keys_by_series || self.groups.contains(&NO_GROUP) {
            self.groups.clear();
        }
        let (columns, places) = (&plan.columns, &shape.columns);
        if let (Some(lookup), Some(join)) = (&mut self.lookup, &plan.table) {
            let points = Points { batch, rows: &self.rows, columns, places, table: None };
            lookup.find(join, shape.row_by_series, &points, &mut self.series, cx);
            if !join.keeps_left {
                if !self.groups.is_empty() {
                    let mut rows = self.rows.iter();
                    self.groups.retain(|_| rows.next().is_some_and(|at| lookup.is_found(*at)));
                }
                self.rows.retain(|at| lookup.is_found(*at));
            }
        }
        for number in &shape.point_filters {
            if self.rows.is_empty() {
                break;
            }
            let table = self.lookup.as_ref().map(|lookup| lookup.matched());
            let points = Points { batch, rows: &self.rows, columns, places, table };
            let rows = self.rows.len();
            let passes = eval::eval(&plan.filters[*number], &points, cx);
            // A field that is no truth value passes nothing, which is counted.
            let passes = eval::compare::truth(passes, rows, cx).trues(rows);
            let keep = |list: &mut Vec<u32>| {
                let mut row = 0;
                list.retain(|_| {
                    row += 1;
                    passes.get(row - 1)
                });
            };
            keep(&mut self.rows);
            keep(&mut self.groups);
        }
    }
}

/// Works out what the series alone decides.
fn series_info(
    plan: &Plan,
    series: &SeriesRef<'_>,
    now: i64,
    failures: &mut Failures,
) -> SeriesInfo {
    let reads = plan.reads.matches(series.name());
    let mut filters = 0;
    if reads {
        let mut cx = Context::new(now);
        let frame = OneSeries { series: *series, columns: &plan.columns };
        for (number, filter) in plan.filters.iter().take(SERIES_FILTERS).enumerate() {
            if !filter.needs_point() && holds(filter, &frame, &mut cx) {
                filters |= 1 << number;
            }
        }
        // Failures of columns that are fields are not failures: the point decides then.
        if plan.columns.is_empty() {
            failures.add(&cx.failures);
        }
    }
    let has = |column: &crate::plan::Column| series.tag(&column.name).is_some();
    let columns = plan.columns.iter().take(64).enumerate();
    let tags = columns.fold(0, |tags, (at, column)| tags | u64::from(has(column)) << at);
    SeriesInfo { reads, filters, group: NO_GROUP, tags, row: 0, carried: NO_GROUP }
}

fn holds<'a>(filter: &'a crate::plan::Node, frame: &OneSeries<'a>, cx: &mut Context) -> bool {
    eval::eval(filter, frame, cx).trues(1).get(0)
}
