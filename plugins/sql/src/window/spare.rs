//! Accumulators of windows that are gone, kept for new ones.

use crate::accumulate::Accumulators;
use crate::plan::Aggregate;

pub struct Spare {
    list: Vec<Accumulators>,
    /// How many are kept.
    most: usize,
}

impl Spare {
    pub fn new(most: usize) -> Self {
        Spare { list: Vec::new(), most }
    }

    /// One of them without groups, or a new one.
    pub fn take(&mut self, aggregate: &Aggregate) -> Accumulators {
        self.list.pop().unwrap_or_else(|| Accumulators::new(&aggregate.aggregates))
    }

    /// Keeps those for which there is room.
    pub fn keep(&mut self, contents: impl IntoIterator<Item = Accumulators>) {
        for mut content in contents {
            if self.list.len() < self.most {
                content.clear();
                self.list.push(content);
            }
        }
    }

    /// Gives their memory back.
    pub fn release(&mut self) {
        self.list = Vec::new();
    }

    pub fn byte_size(&self) -> usize {
        self.list.iter().map(Accumulators::byte_size).sum()
    }
}
