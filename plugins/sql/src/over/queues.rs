//! Which runs have points that wait, by the earliest time of each: those that go by the clock, and
//! those that wait for a catching-up source; and which runs have nothing to wait for and end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::partitions::Partition;
use super::run::Run;
use crate::statement::NO_GROUP;

/// Time, partition, stamp of the run.
pub type Entry = (i64, u32, u32);

#[derive(Default)]
pub struct Queues {
    live: BinaryHeap<Reverse<Entry>>,
    fed: BinaryHeap<Reverse<Entry>>,
    /// Runs by when a later point does not see them any more.
    pub ending: BinaryHeap<Reverse<Entry>>,
}

impl Queues {
    /// Takes note of the earliest point of a run that waits.
    pub fn enter(&mut self, partition: u32, run: &mut Run) {
        if run.pending.is_empty() || run.queued == Some(run.first) {
            return;
        }
        run.queued = Some(run.first);
        let entry = Reverse((run.first.0, partition, run.stamp));
        if run.first.1 { self.fed.push(entry) } else { self.live.push(entry) }
    }

    /// Takes note that a run made its last row, which further ones see for a while.
    pub fn end(&mut self, partition: u32, run: &mut Run, reach: Option<i64>) {
        if let (Some(reach), Some(last), false) = (reach, run.last, run.ending)
            && run.pending.is_empty()
        {
            run.ending = true;
            self.ending.push(Reverse((last.saturating_add(reach), partition, run.stamp)));
        }
    }

    /// The earliest entry of each queue; what no longer holds is dropped.
    pub fn tops(&mut self, partitions: &mut [Partition]) -> (Option<Entry>, Option<Entry>) {
        let mut top = |heap: &mut BinaryHeap<Reverse<Entry>>, fed: bool| {
            while let Some(Reverse((time, partition, stamp))) = heap.peek().copied() {
                let run = partitions.get_mut(partition as usize).and_then(|p| p.run(stamp));
                if run.is_some_and(|run| run.queued == Some((time, fed))) {
                    return Some((time, partition, stamp));
                }
                heap.pop();
            }
            None
        };
        (top(&mut self.live, false), top(&mut self.fed, true))
    }

    /// Takes the earliest entry whose time has come: for those that go by the clock, and for the others.
    pub fn pop(&mut self, live: i64, fed: i64, partitions: &mut [Partition]) -> Option<Entry> {
        let (by_clock, by_source) = self.tops(partitions);
        let by_clock = by_clock.filter(|entry| entry.0 <= live);
        let by_source = by_source.filter(|entry| entry.0 <= fed);
        match (by_clock, by_source) {
            (None, None) => None,
            (Some(a), b) if b.is_none_or(|b| a <= b) => self.live.pop().map(|Reverse(entry)| entry),
            _ => self.fed.pop().map(|Reverse(entry)| entry),
        }
    }

    /// The runs that wait for a catching-up source.
    pub fn fed(&self) -> Vec<Entry> {
        self.fed.iter().map(|Reverse(entry)| *entry).collect()
    }

    /// Partitions were numbered anew.
    pub fn renumber(&mut self, numbers: &[u32]) {
        for heap in [&mut self.live, &mut self.fed, &mut self.ending] {
            let renumbered = heap.drain().filter_map(|Reverse((time, partition, stamp))| {
                let number = numbers.get(partition as usize).copied().unwrap_or(NO_GROUP);
                (number != NO_GROUP).then_some(Reverse((time, number, stamp)))
            });
            *heap = renumbered.collect::<Vec<_>>().into();
        }
    }

    /// Gives memory back.
    pub fn shrink(&mut self) {
        for heap in [&mut self.live, &mut self.fed, &mut self.ending] {
            heap.shrink_to_fit();
        }
    }

    pub fn byte_size(&self) -> usize {
        let heaps = [&self.live, &self.fed, &self.ending];
        heaps.iter().map(|heap| heap.capacity() * size_of::<Reverse<Entry>>()).sum()
    }
}
