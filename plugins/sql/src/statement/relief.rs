//! What a statement does when there is too much memory in use.

use super::*;

/// How a statement makes do with less memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relief {
    /// It gives back what it only keeps to save time.
    Spare,
    /// It emits all that is open as it is, and begins anew.
    Flush,
    /// It closes the oldest quarter of what is open early.
    Oldest,
    /// It closes all that is open early.
    All,
}

impl Statement {
    /// Whether new groups, partitions, keys and sessions are refused.
    pub fn set_closed(&mut self, closed: bool) {
        self.window.iter_mut().for_each(|window| window.set_closed(closed));
        self.join.iter_mut().for_each(|join| join.set_closed(closed));
    }

    /// Makes do with less memory; adds the rows that this makes.
    pub fn relieve(&mut self, now: i64, relief: Relief, out: &mut Vec<Batch>) {
        let plan = Arc::clone(&self.plan);
        let mut cx = Context::new(now);
        if let Some(join) = &mut self.join {
            join.relieve(now, relief, &mut self.counts, out);
        }
        if let Some(snapshot) = &mut self.snapshot {
            snapshot.relieve(now, relief, out);
        }
        let (emitter, counts) = (&mut self.emitter, &mut self.counts);
        match (&mut self.window, &plan.action) {
            (Some(Stateful::Window(window)), Action::Aggregate(aggregate)) => {
                let mut results = Results { aggregate, emitter, counts, cx: &mut cx, out };
                window.relieve(&mut results, now, relief);
            }
            (Some(Stateful::Over(state)), Action::Over(over)) => {
                let mut making = Making { over, emitter, counts, cx: &mut cx, out };
                state.relieve(&mut making, relief);
            }
            _ => {}
        }
        self.series.release();
        self.counts.failures.add(&cx.failures);
    }

    /// Bytes of memory held, added up now.
    pub fn measure(&mut self) -> usize {
        if let Some(Stateful::Over(over)) = &mut self.window {
            over.measure_anew();
        }
        self.byte_size()
    }
}
