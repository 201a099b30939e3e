//! A statement of which several threads run each a part.

use std::sync::Arc;

use headwater_plugin_api::batch::Batch;

use super::{Counts, NO_GROUP, Statement};
use crate::eval::Context;
use crate::plan::{Action, Window};
use crate::stateful::Stateful;
use crate::window::{Mapping, Results};

impl Statement {
    /// Whether several threads may run it: what it does to a point must not depend on those before.
    pub fn can_part(&self) -> bool {
        match &self.plan.action {
            Action::Project { .. } => !self.plan.reads.is_hidden(),
            Action::Aggregate(aggregate) => {
                matches!(aggregate.window, Window::Tumbling { .. } | Window::Hop { .. })
            }
            Action::Join(_) | Action::Side(_) | Action::Over(_) => false,
            Action::Snapshot(_) | Action::Flush => false,
        }
    }

    /// Whether a part may take a batch before it is merged.
    pub fn part_has_room(&mut self, first: i64, last: i64) -> bool {
        match &mut self.window {
            Some(Stateful::Window(window)) => window.part_has_room(first, last),
            _ => true,
        }
    }

    /// Takes over which windows were emitted.
    pub fn follow(&mut self, whole: &mut Statement) {
        if let (Some(Stateful::Window(own)), Some(Stateful::Window(whole))) =
            (&mut self.window, &mut whole.window)
        {
            own.follow(whole);
        }
    }

    /// Takes over what a part collected, counted and met.
    pub fn absorb(
        &mut self,
        part: &mut Statement,
        mapping: &mut Mapping,
        now: i64,
        out: &mut Vec<Batch>,
    ) {
        let counts = part.take_counts();
        self.emitter.counts.add(&counts.emitted);
        self.counts.add(&counts);
        self.watch.absorb(&part.watch);
        self.fed = self.fed.max(part.fed);
        self.took = self.took.max(part.took);
        let plan = Arc::clone(&self.plan);
        let (
            Some(Stateful::Window(own)),
            Some(Stateful::Window(theirs)),
            Action::Aggregate(aggregate),
        ) = (&mut self.window, &mut part.window, &plan.action)
        else {
            return;
        };
        let mut cx = Context::new(now);
        let (emitter, counts) = (&mut self.emitter, &mut self.counts);
        let mut results = Results { aggregate, emitter, counts, cx: &mut cx, out };
        let renumbered = own.absorb(theirs, mapping, &mut results);
        self.counts.failures.add(&cx.failures);
        let forget = |statement: &mut Statement| {
            statement.series.each_mut().for_each(|info| info.group = NO_GROUP);
        };
        if renumbered.own {
            forget(self);
        }
        if renumbered.theirs {
            forget(part);
        }
    }

    /// After all parts were merged: lets windows close when there are too many.
    pub fn bound_parts(&mut self) {
        if let Some(Stateful::Window(window)) = &mut self.window {
            window.bound_parts();
        }
    }
}

impl Counts {
    /// Adds all but what was emitted.
    pub fn add(&mut self, other: &Counts) {
        self.late += other.late;
        self.future += other.future;
        self.overflow += other.overflow;
        self.windows += other.windows;
        self.early += other.early;
        self.forgotten += other.forgotten;
        self.failures.add(&other.failures);
    }
}
