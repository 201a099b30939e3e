//! Rows that were made, on their way out: by time, those of one time by the keys of their partitions.

use headwater_plugin_api::batch::PointRef;
use headwater_plugin_api::window::Groups;

use super::Making;
use super::batches::Batches;
use super::layout::Layout;
use crate::accumulate::held::{Held, column};
use crate::emit::{Base, Column};
use crate::eval::{self, Frame};
use crate::vector::{Data, Vector};

/// A row without its values.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub time: i64,
    pub partition: u32,
    pub batch: u32,
    pub copy: u32,
}

/// Rows that were made.
#[derive(Default)]
pub struct Ready {
    pub rows: Vec<Row>,
    /// What each takes from its point, then its results.
    pub cells: Vec<Held>,
    order: Vec<u32>,
    /// How many went out.
    at: usize,
}

impl Ready {
    pub fn is_empty(&self) -> bool {
        self.rows.len() == self.at
    }

    pub fn len(&self) -> usize {
        self.rows.len() - self.at
    }

    pub fn byte_size(&self) -> usize {
        let heap: usize = self.cells.iter().map(Held::heap).sum();
        self.rows.capacity() * size_of::<Row>()
            + self.cells.capacity() * size_of::<Held>()
            + self.order.capacity() * 4
            + heap
    }

    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Ready::default();
        }
    }

    /// The rows that are still to come, in their order.
    pub fn waiting(&self) -> impl Iterator<Item = &Row> {
        self.order[self.at..].iter().map(|at| &self.rows[*at as usize])
    }

    /// The values of those rows.
    pub fn values(&self, width: usize) -> impl Iterator<Item = &[Held]> {
        self.order[self.at..].iter().map(move |at| &self.cells[*at as usize * width..][..width])
    }

    /// The earliest time of those rows.
    pub fn first(&self) -> Option<i64> {
        self.order.get(self.at).map(|at| self.rows[*at as usize].time)
    }

    /// Puts the rows into the order in which they go out.
    pub fn sort(&mut self, groups: &Groups) {
        let known = self.order.len() as u32;
        self.order.extend(known..self.rows.len() as u32);
        let rows = &self.rows;
        self.order[self.at..].sort_by(|a, b| {
            let (a, b) = (&rows[*a as usize], &rows[*b as usize]);
            a.time.cmp(&b.time).then_with(|| match a.partition == b.partition {
                true => std::cmp::Ordering::Equal,
                false => groups.key(a.partition).cmp(groups.key(b.partition)),
            })
        });
    }

    /// Partitions were numbered anew.
    pub fn renumber(&mut self, numbers: &[u32]) {
        for row in &mut self.rows {
            row.partition = numbers.get(row.partition as usize).copied().unwrap_or_default();
        }
    }

    /// Sends up to `room` rows out; the time of the last.
    pub fn go_on(
        &mut self,
        room: &mut usize,
        layout: &Layout,
        name: &str,
        origin: u64,
        batches: &mut Batches,
        making: &mut Making<'_>,
    ) -> Option<i64> {
        let count = self.len().min(*room);
        if count == 0 {
            return None;
        }
        let from = making.out.len();
        let chunk = &self.order[self.at..self.at + count];
        let mut start = 0;
        while start < count {
            let len = self.alike(&chunk[start..], layout.row_width());
            self.write(&chunk[start..start + len], layout, name, batches, making);
            start += len;
        }
        making.emitter.finish(making.out);
        let rows = chunk.iter().map(|at| &self.rows[*at as usize]);
        batches.settle(rows, &mut making.out[from..], origin);
        let last = self.rows[chunk[count - 1] as usize].time;
        self.at += count;
        *room -= count;
        if self.is_empty() {
            (self.at, self.order) = (0, Vec::new());
            self.rows.clear();
            self.cells.clear();
        }
        Some(last)
    }

    /// How many of the first rows have values of the same kinds: what other rows hold must not show.
    fn alike(&self, chunk: &[u32], width: usize) -> usize {
        let mut tags = vec![0; width];
        for (count, at) in chunk.iter().enumerate() {
            let cells = &self.cells[*at as usize * width..][..width];
            let fits = |(tag, held): (&u8, &Held)| {
                let other = held.tag();
                *tag == 0 || other == 0 || *tag == other
            };
            if !tags.iter().zip(cells).all(fits) {
                return count;
            }
            for (tag, held) in tags.iter_mut().zip(cells) {
                *tag = (*tag).max(held.tag());
            }
        }
        chunk.len()
    }

    fn write(
        &self,
        chunk: &[u32],
        layout: &Layout,
        statement: &str,
        batches: &Batches,
        making: &mut Making<'_>,
    ) {
        let frame = Chunk { ready: self, rows: chunk, layout };
        let Making { over, emitter, cx, out, .. } = making;
        let columns: Vec<Column<'_, '_>> = over
            .outputs
            .iter()
            .map(|output| Column { output, values: eval::eval(&output.node, &frame, cx) })
            .collect();
        let mut writer = emitter.rows(&columns);
        let width = layout.row_width();
        let mut derived = String::new();
        for (place, at) in chunk.iter().enumerate() {
            let row = &self.rows[*at as usize];
            let name = match over.measurement {
                None => statement,
                Some(number) => {
                    if let Held::Text(text) = &self.cells[*at as usize * width + number] {
                        derived.clear();
                        derived.push_str(text);
                        derived.push_str("_sql");
                    }
                    derived.as_str()
                }
            };
            let copy = if over.star { batches.copy(row.batch, row.copy) } else { None };
            let star = copy.map(|(batch, row)| PointRef::new(batch, row));
            writer.row(Base { name, time: row.time, star }, place, out);
        }
    }
}

/// Some rows as a frame.
struct Chunk<'a> {
    ready: &'a Ready,
    rows: &'a [u32],
    layout: &'a Layout,
}

impl<'a> Chunk<'a> {
    fn column(&self, place: usize) -> Vector<'a> {
        let (ready, width) = (self.ready, self.layout.row_width());
        column(self.rows.iter().map(move |at| &ready.cells[*at as usize * width + place]))
    }
}

impl<'a> Frame<'a> for Chunk<'a> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn time(&self) -> Vector<'a> {
        let time = |at: &u32| self.ready.rows[*at as usize].time;
        Vector::new(Data::Time(self.rows.iter().map(time).collect()))
    }

    fn carried(&self, number: usize) -> Vector<'a> {
        self.column(number)
    }

    fn over(&self, number: usize) -> Vector<'a> {
        self.column(self.layout.carried + number)
    }
}
