//! What a join knows of a key: the points that may become partners, in the order of their times, and
//! which points have been answered.

use super::rows::Rows;

/// One key.
#[derive(Debug, Default)]
pub struct Key {
    /// Time and row, sorted from `start` on unless `dirty`.
    rows: Vec<(i64, u32)>,
    start: usize,
    dirty: bool,
    /// How many points wait for partners.
    pub waiting: u32,
    /// The times of the points that were answered.
    pub answered: Spans,
    /// The times of partners that a catching-up source gave, from the first to the last.
    pub fed: Option<(i64, i64)>,
    /// The clock when it last took a point.
    pub touched: i64,
}

impl Key {
    /// Adds a partner.
    #[inline]
    pub fn push(&mut self, time: i64, row: u32) {
        self.dirty |= self.rows.last().is_some_and(|(last, _)| *last >= time);
        self.rows.push((time, row));
    }

    /// Whether it has no partners.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == self.start
    }

    pub fn byte_size(&self) -> usize {
        self.rows.capacity() * 16 + self.answered.0.capacity() * 16
    }

    /// The partners by time, those of one time by what they hold.
    #[inline]
    pub fn sorted(&mut self, rows: &Rows) -> &[(i64, u32)] {
        if self.dirty {
            let order =
                |x: &(i64, u32), y: &(i64, u32)| x.0.cmp(&y.0).then_with(|| rows.compare(x.1, y.1));
            self.rows[self.start..].sort_by(order);
            self.dirty = false;
        }
        &self.rows[self.start..]
    }

    /// Where the partners from one time to another stand, both included.
    #[inline]
    pub fn range(&mut self, rows: &Rows, from: i64, to: i64) -> std::ops::Range<usize> {
        let sorted = self.sorted(rows);
        // Most points come after all partners but the last ones.
        let end = match sorted.last() {
            Some((last, _)) if *last <= to => sorted.len(),
            _ => sorted.partition_point(|(time, _)| *time <= to),
        };
        let start = sorted[..end].partition_point(|(time, _)| *time < from);
        self.start + start..self.start + end
    }

    /// The last partner from one time to another.
    #[inline]
    pub fn last(&mut self, rows: &Rows, from: i64, to: i64) -> Option<(i64, u32)> {
        let sorted = self.sorted(rows);
        let end = match sorted.last() {
            Some((last, _)) if *last <= to => sorted.len(),
            _ => sorted.partition_point(|(time, _)| *time <= to),
        };
        sorted[..end].last().copied().filter(|(time, _)| *time >= from)
    }

    /// A partner, by its place in [`range`](Self::range).
    #[inline]
    pub fn at(&self, place: usize) -> (i64, u32) {
        self.rows[place]
    }

    /// The time of the first partner after this time.
    pub fn next(&mut self, rows: &Rows, time: i64) -> Option<i64> {
        let sorted = self.sorted(rows);
        sorted.get(sorted.partition_point(|(own, _)| *own <= time)).map(|(time, _)| *time)
    }

    /// Takes a partner out.
    pub fn remove(&mut self, rows: &Rows, time: i64, row: u32) {
        let sorted = self.sorted(rows);
        let first = sorted.partition_point(|(own, _)| *own < time);
        let Some(place) = sorted[first..].iter().position(|(_, own)| *own == row) else { return };
        let place = self.start + first + place;
        if place == self.start {
            self.start += 1;
            if self.start >= 32 && self.start * 2 > self.rows.len() {
                self.rows.drain(..self.start);
                self.start = 0;
            }
        } else {
            self.rows.remove(place);
        }
        if self.is_empty() {
            self.rows.clear();
            self.start = 0;
            self.fed = None;
            if self.rows.capacity() > 64 {
                self.rows = Vec::new();
            }
        }
    }

    /// A catching-up source gave a partner.
    pub fn feed(&mut self, time: i64) {
        let (first, last) = self.fed.unwrap_or((time, time));
        self.fed = Some((first.min(time), last.max(time)));
    }
}

/// Stretches of time, ascending; the gaps between them are longer than some length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(pub Vec<(i64, i64)>);

impl Spans {
    /// How many are remembered: what lies between the two oldest counts as part of them then.
    pub const MAX: usize = 4;

    /// Adds a time.
    #[inline]
    pub fn insert(&mut self, time: i64, gap: i64) {
        if let Some(last) = self.0.last_mut()
            && time >= last.0
            && time <= last.1.saturating_add(gap)
        {
            last.1 = last.1.max(time);
            return;
        }
        self.insert_slowly(time, gap);
    }

    fn insert_slowly(&mut self, time: i64, gap: i64) {
        let at = self.0.partition_point(|span| span.0 <= time);
        self.0.insert(at, (time, time));
        let mut merged: Vec<(i64, i64)> = Vec::with_capacity(self.0.len());
        for span in &self.0 {
            match merged.last_mut() {
                Some(last) if span.0 <= last.1.saturating_add(gap) => last.1 = last.1.max(span.1),
                _ => merged.push(*span),
            }
        }
        if merged.len() > Self::MAX {
            merged[1].0 = merged[0].0;
            merged.remove(0);
        }
        self.0 = merged;
    }

    /// Whether a time from one to another, both included, is part of them.
    #[inline]
    pub fn touch(&self, from: i64, to: i64) -> bool {
        match self.0.last() {
            Some(last) if last.1 >= from => self.0.iter().any(|s| s.0 <= to && s.1 >= from),
            _ => false,
        }
    }
}
