//! The way of a batch: through the processors, past the aggregators, to the outputs. All of it runs
//! on the thread that brought the batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_plugin_api::abi::instance::{ParserInstance, ProcessorInstance, SerializerInstance};
use headwater_plugin_api::abi::{pool, serve};
use headwater_plugin_api::batch::{Batch, SeriesMap};
use headwater_plugin_api::plugin::{Context, Control, Delivery, Outcome};

use crate::observe::{Counter, Log, SerializerMetrics};

use super::budget::Budget;
use super::calls::{CallSlot, Calls};
use super::clock::Clock;
use super::modify;
use super::output::{Item, Output, OutputHost};
use super::slot::CallError;
use super::stage::{AggregatorStage, Collect, Instances, Maker, Own, ProcessorStage};

/// The stages that all points go through, and what they share.
pub struct Core {
    /// The clock.
    pub clock: Clock,
    /// What waits, in bytes.
    pub budget: Budget,
    /// Watches calls into plugins.
    pub calls: Calls,
    /// In their order.
    pub processors: Vec<ProcessorStage>,
    /// Through how many of the first processors workers go side by side.
    pub side_by_side: usize,
    /// Side by side; each sees every point.
    pub aggregators: Vec<AggregatorStage>,
    /// The processors that aggregates go through: all or none.
    pub processors_after: bool,
    /// Whether points go through processors before aggregators and outputs.
    pub processors_before: bool,
    /// Each gets every point.
    pub outputs: Vec<Arc<Output>>,
    /// How each output's points become bytes, if it wants them so.
    pub serializers: Vec<Option<Rendering>>,
    /// Wakes sources that waited for room.
    pub gate_opened: Box<dyn Fn() + Send + Sync>,
    /// Says that a source may go on.
    pub wake_source: Box<dyn Fn(u64) + Send + Sync>,
    /// How long a call may take before its thread is replaced.
    pub call_timeout: Duration,
    /// Threads that read and work side by side.
    pub workers: usize,
}

/// How an output's points become bytes.
pub struct Rendering {
    /// Makes its serializer.
    pub make: Maker<SerializerInstance>,
    /// The serializer's counters, over all outputs.
    pub counters: SerializerMetrics,
}

/// What one thread works with: its own instances of all that is stateless, what it remembers of
/// series, and its buffers.
pub struct Worker {
    /// The watchdog's view of this thread.
    pub call: Arc<CallSlot>,
    /// Parsers by input.
    pub parsers: Vec<Own<ParserInstance>>,
    processors: Vec<Own<ProcessorInstance>>,
    serializers: Vec<Own<SerializerInstance>>,
    /// What the inputs' options do to each series, by input.
    pub input_maps: Vec<SeriesMap>,
    split_maps: Vec<SeriesMap>,
    shape_maps: Vec<SeriesMap>,
    aggregator_maps: Vec<SeriesMap>,
    emitted_maps: Vec<SeriesMap>,
    output_maps: Vec<SeriesMap>,
    /// Where bytes are read to.
    pub buffer: Vec<u8>,
    /// Where messages end in the buffer.
    pub messages: Vec<u32>,
    /// Scratch for joined messages.
    pub scratch: Vec<u8>,
}

impl Worker {
    /// Bytes of what it remembers of series.
    pub fn remembered(&self) -> usize {
        let maps = [
            &self.input_maps,
            &self.split_maps,
            &self.shape_maps,
            &self.aggregator_maps,
            &self.emitted_maps,
            &self.output_maps,
        ];
        maps.iter().flat_map(|maps| maps.iter()).map(SeriesMap::byte_size).sum()
    }

    /// Gives back what a long text needed.
    pub fn forget_buffers(&mut self) {
        if self.scratch.capacity() > 128 << 10 {
            self.scratch = Vec::new();
        }
    }
}

/// What is ready for the part of the way that keeps a source's order.
pub struct Ready {
    work: Rest,
    /// What the stages that were passed are to be told when it has its turn.
    passed: Vec<Passed>,
}

enum Rest {
    /// Batches, before the first stage that needs them in their order.
    Batches(Vec<Batch>),
    /// What the outputs get, by their numbers: there is no such stage.
    Items(Vec<(usize, Item)>),
}

/// A batch of a source went to a stage to which others of the source may come before it.
struct Passed {
    stage: usize,
    origin: u64,
    latest_ns: i64,
}

impl Core {
    /// A worker's things, for so many inputs.
    pub fn worker(&self, inputs: usize) -> Worker {
        self.worker_with(self.calls.slot(), inputs)
    }

    /// Drops what a worker remembers and its instances, which only saves time while there is work,
    /// and the memory that its thread keeps.
    pub fn rest(&self, worker: &mut Worker) {
        *worker = self.worker_with(Arc::clone(&worker.call), worker.parsers.len());
        pool::forget();
    }

    fn worker_with(&self, call: Arc<CallSlot>, inputs: usize) -> Worker {
        fn many<T: Default>(count: usize) -> Vec<T> {
            std::iter::repeat_with(T::default).take(count).collect()
        }
        Worker {
            call,
            parsers: many(inputs),
            processors: many(self.processors.len()),
            serializers: many(self.outputs.len()),
            input_maps: many(inputs),
            split_maps: many(self.processors.len()),
            shape_maps: many(self.processors.len()),
            aggregator_maps: many(self.aggregators.len()),
            emitted_maps: many(self.aggregators.len()),
            output_maps: many(self.outputs.len()),
            buffer: Vec::new(),
            messages: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The part of the way that workers go side by side.
    pub fn side_by_side(&self, worker: &mut Worker, batches: Vec<Batch>) -> Ready {
        let mut passed = Vec::new();
        let (batches, done) = match self.processors_before {
            true => {
                let to = self.side_by_side;
                let batches = self.through(worker, batches, 0..to, &mut passed);
                (batches, to == self.processors.len())
            }
            false => (batches, true),
        };
        let work = match done && self.aggregators.is_empty() {
            true => Rest::Items(self.render(worker, batches)),
            false => Rest::Batches(batches),
        };
        Ready { work, passed }
    }

    /// The part of the way that keeps the order. `can_wait`: see [`Output::accept`].
    pub fn in_order(&self, worker: &mut Worker, ready: Ready, can_wait: bool) {
        self.tell_passed(worker, ready.passed);
        match ready.work {
            Rest::Items(items) => self.deliver(worker, items, can_wait),
            Rest::Batches(batches) => {
                let batches = if self.processors_before {
                    self.through_in_order(worker, batches, self.side_by_side)
                } else {
                    batches
                };
                self.past_aggregators(worker, batches, can_wait);
            }
        }
    }

    fn tell_passed(&self, worker: &mut Worker, passed: Vec<Passed>) {
        for Passed { stage, origin, latest_ns } in passed {
            if let Instances::Shared(_, reached) = &self.processors[stage].instances
                && reached.note(origin, latest_ns)
            {
                self.tick_processor(worker, stage);
            }
        }
    }

    fn through_in_order(
        &self,
        worker: &mut Worker,
        batches: Vec<Batch>,
        from: usize,
    ) -> Vec<Batch> {
        let mut passed = Vec::new();
        let batches = self.through(worker, batches, from..self.processors.len(), &mut passed);
        self.tell_passed(worker, passed);
        batches
    }

    /// Both parts.
    pub fn run(&self, worker: &mut Worker, batches: Vec<Batch>, can_wait: bool) {
        let ready = self.side_by_side(worker, batches);
        self.in_order(worker, ready, can_wait);
    }

    fn through(
        &self,
        worker: &mut Worker,
        mut batches: Vec<Batch>,
        stages: std::ops::Range<usize>,
        passed: &mut Vec<Passed>,
    ) -> Vec<Batch> {
        for index in stages {
            if batches.is_empty() {
                break;
            }
            let mut out = Vec::with_capacity(batches.len());
            for batch in batches {
                self.process(worker, index, batch, &mut out, passed);
            }
            batches = out;
        }
        batches
    }

    fn process(
        &self,
        worker: &mut Worker,
        index: usize,
        batch: Batch,
        out: &mut Vec<Batch>,
        passed: &mut Vec<Passed>,
    ) {
        let stage = &self.processors[index];
        let (taken, past) =
            modify::split(&stage.shaping.selectors, &mut worker.split_maps[index], batch);
        if let Some(past) = past {
            stage.counters.filtered.add(past.len() as u64);
            out.push(past);
        }
        let Some(mut batch) = taken else { return };
        if !stage.shaping.modifiers.is_empty() {
            // Selecting happened above; what is left are fields and tags.
            stage.shaping.apply(&mut worker.shape_maps[index], &mut batch, &[]);
            if batch.is_empty() {
                return;
            }
        }
        let origin = (batch.origin(), batch.sequence());
        let points = batch.len() as u64;
        let guard = batch.delivery().cloned();
        let cx = self.context();
        let mut collect =
            Collect { batches: std::mem::take(out), checks: stage.checks, malformed: None };
        let before = collect.batches.len();
        let call = &worker.call;
        let result = match &stage.instances {
            Instances::EachWorker(make) => worker.processors[index].call(make, |instance| {
                self.calls.watch(call, stage.number, || {
                    serve::with_sink(&mut collect, |sink| instance.process(&cx, batch, sink))
                })
            }),
            Instances::One(slot) => {
                let result = slot.call(|instance| {
                    self.calls.watch(call, stage.number, || {
                        serve::with_sink(&mut collect, |sink| instance.process(&cx, batch, sink))
                    })
                });
                stage.timer.feed();
                result
            }
            Instances::Shared(slot, _) => {
                let (origin, latest_ns) = (batch.origin(), batch.time_range().1);
                passed.push(Passed { stage: index, origin, latest_ns });
                let result = slot.call_shared(|instance| {
                    self.calls.watch(call, stage.number, || {
                        serve::with_sink(&mut collect, |sink| instance.process(&cx, batch, sink))
                    })
                });
                stage.timer.feed();
                result
            }
        };
        for batch in &mut collect.batches[before..] {
            if batch.origin() == 0 {
                batch.set_origin(origin.0);
                batch.set_sequence(origin.1);
            }
        }
        if let Some(malformed) = collect.malformed {
            stage.counters.errors.add(1);
            stage.log.error(format_args!("it pushed a {malformed}"));
        }
        *out = collect.batches;
        let outcome = match &result {
            Ok(()) => Outcome::Delivered,
            Err(CallError::Plugin(_)) => Outcome::Lost,
            Err(_) => Outcome::Aborted,
        };
        if let Err(error) = result {
            // What it pushed before it failed may be half of the batch: the handle tells, the
            // counter counts the whole.
            stage.counters.errors.add(1);
            stage.counters.dropped.add(points);
            tell(&stage.log, &error, points);
        }
        settle(guard, outcome);
    }

    fn past_aggregators(&self, worker: &mut Worker, batches: Vec<Batch>, can_wait: bool) {
        if self.aggregators.is_empty() {
            let items = self.render(worker, batches);
            return self.deliver(worker, items, can_wait);
        }
        let mut left = Vec::with_capacity(batches.len());
        for batch in batches {
            if let Some(batch) = self.aggregate(worker, batch) {
                left.push(batch);
            }
        }
        let items = self.render(worker, left);
        self.deliver(worker, items, can_wait);
    }

    /// Shows a batch to every aggregator; gives what goes on.
    fn aggregate(&self, worker: &mut Worker, mut batch: Batch) -> Option<Batch> {
        let mut taken: Option<Vec<bool>> = None;
        for index in 0..self.aggregators.len() {
            let Some(seen) = self.show(worker, index, &batch) else { continue };
            if self.aggregators[index].drop_original {
                let rows = batch.tables().rows().len();
                let taken = taken.get_or_insert_with(|| vec![false; rows]);
                seen.rows().for_each(|(row, _)| taken[row] = true);
            }
        }
        if let Some(taken) = taken {
            batch.retain_indexed(|row, _| !taken[row]);
            if batch.is_empty() {
                // Its points live on in windows, which hold clones of the handle if they care.
                settle(batch.take_delivery(), Outcome::Delivered);
                return None;
            }
        }
        Some(batch)
    }

    /// Shows a batch to one aggregator; gives what that took.
    fn show(&self, worker: &mut Worker, index: usize, batch: &Batch) -> Option<Batch> {
        let stage = &self.aggregators[index];
        let cx = self.context();
        let mut seen = batch.clone();
        stage.selectors.apply(&mut worker.aggregator_maps[index], &mut seen, &[]);
        let filtered = (batch.len() - seen.len()) as u64;
        stage.counters.filtered.add(filtered);
        let call = &worker.call;
        let result = match seen.is_empty() {
            true => Ok(()),
            false => stage.instance.call(|instance| {
                self.calls.watch(call, stage.number, || instance.apply(&cx, &seen))
            }),
        };
        stage.timer.feed();
        let guard = seen.take_delivery();
        match result {
            Ok(()) => {
                settle(guard, Outcome::Delivered);
                (!seen.is_empty()).then_some(seen)
            }
            Err(error) => {
                stage.counters.errors.add(1);
                stage.counters.dropped.add(seen.len() as u64);
                tell(&stage.log, &error, seen.len() as u64);
                settle(guard, Outcome::Lost);
                None
            }
        }
    }

    /// What each output gets of the batches.
    fn render(&self, worker: &mut Worker, batches: Vec<Batch>) -> Vec<(usize, Item)> {
        let mut items = Vec::with_capacity(batches.len() * self.outputs.len());
        let last = self.outputs.len().saturating_sub(1);
        for batch in batches {
            let mut whole = Some(batch);
            for (index, output) in self.outputs.iter().enumerate() {
                let taken = if index == last { whole.take() } else { whole.clone() };
                let Some(mut batch) = taken else { continue };
                let before = batch.len();
                output.shaping.apply(&mut worker.output_maps[index], &mut batch, &[]);
                if batch.len() < before {
                    let filtered = (before - batch.len()) as u64;
                    output.counters.metrics_filtered.add(filtered);
                }
                if batch.is_empty() {
                    continue;
                }
                if let Some(item) = self.item(worker, index, batch) {
                    items.push((index, item));
                }
            }
        }
        items
    }

    fn item(&self, worker: &mut Worker, index: usize, mut batch: Batch) -> Option<Item> {
        let Some(rendering) = &self.serializers[index] else { return Some(Item::batch(batch)) };
        let delivery = batch.take_delivery();
        let cx = self.context();
        let begin = Instant::now();
        let result = worker.serializers[index]
            .call(&rendering.make, |serializer| serializer.serialize_owned(&cx, &batch));
        let counters = &rendering.counters;
        counters.serialization_time_ns.add(nanoseconds(begin));
        match result {
            Ok(bytes) => {
                counters.metrics_serialized.add(batch.len() as u64);
                counters.bytes_serialized.add(bytes.len() as u64);
                Some(Item::bytes(bytes, batch.len() as u64, delivery))
            }
            Err(error) => {
                counters.errors.add(1);
                let output = &self.outputs[index];
                output.counters.metrics_rejected.add(batch.len() as u64);
                tell(&output.log, &error, batch.len() as u64);
                settle(delivery, Outcome::Lost);
                None
            }
        }
    }

    fn deliver(&self, worker: &Worker, items: Vec<(usize, Item)>, can_wait: bool) {
        for (index, item) in items {
            self.with_output(index, &worker.call, |output, host| {
                output.accept(item, can_wait, host);
            });
        }
    }

    /// Runs something on an output with all that it needs of the agent.
    pub fn with_output<R>(
        &self,
        index: usize,
        call: &CallSlot,
        run: impl FnOnce(&Output, &OutputHost<'_>) -> R,
    ) -> R {
        let output = &self.outputs[index];
        let number = self.processors.len() + self.aggregators.len() + index;
        let host = OutputHost {
            budget: &self.budget,
            now_ns: &|| self.clock.now_ns(),
            gate_opened: &*self.gate_opened,
            watch: &|run| self.calls.watch(call, number, run),
        };
        run(output, &host)
    }

    /// Lets a processor do what is due by the clock. What it pushes goes on from there.
    pub fn tick_processor(&self, worker: &mut Worker, index: usize) {
        let stage = &self.processors[index];
        let begin = Instant::now();
        let cx = self.context();
        let mut collect = Collect { batches: Vec::new(), checks: stage.checks, malformed: None };
        stage.timer.begin();
        let call = &worker.call;
        let result = match &stage.instances {
            Instances::EachWorker(_) => return,
            Instances::One(slot) => slot.call(|instance| {
                self.calls.watch(call, stage.number, || {
                    serve::with_sink(&mut collect, |sink| instance.tick(&cx, sink))
                })
            }),
            Instances::Shared(slot, reached) => slot.call(|instance| {
                self.calls.watch(call, stage.number, || {
                    reached.tell(instance, &cx, &mut collect)?;
                    serve::with_sink(&mut collect, |sink| instance.tick(&cx, sink))
                })
            }),
        };
        let next = self.ticked(&stage.log, &stage.counters.errors, result);
        if let Instances::Shared(_, reached) = &stage.instances {
            reached.ticked(next.is_some_and(|next| next <= cx.now()));
        }
        stage.timer.ticked(next);
        stage.counters.pushed.add(collect.batches.iter().map(|b| b.len() as u64).sum());
        self.after_processor(worker, index, collect.batches);
        stage.counters.push_time_ns.add(nanoseconds(begin));
    }

    /// Tells a processor of something in order with the data.
    pub fn control_processor(&self, worker: &mut Worker, index: usize, message: Control) {
        let stage = &self.processors[index];
        let cx = self.context();
        let mut collect = Collect { batches: Vec::new(), checks: stage.checks, malformed: None };
        let call = &worker.call;
        let result = match &stage.instances {
            Instances::EachWorker(_) => return,
            Instances::One(slot) => slot.call(|instance| {
                self.calls.watch(call, stage.number, || {
                    serve::with_sink(&mut collect, |sink| instance.control(&cx, message, sink))
                })
            }),
            Instances::Shared(slot, reached) => slot.call(|instance| {
                self.calls.watch(call, stage.number, || {
                    reached.tell(instance, &cx, &mut collect)?;
                    serve::with_sink(&mut collect, |sink| instance.control(&cx, message, sink))
                })
            }),
        };
        if let Err(error) = result {
            stage.counters.errors.add(1);
            tell(&stage.log, &error, 0);
        }
        stage.timer.feed();
        self.after_processor(worker, index, collect.batches);
    }

    /// Ends the stages, once outputs and inputs have ended: what became of their points is told.
    pub fn stop_stages(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Some(left.max(Duration::from_secs(1)));
        let call = CallSlot::default();
        for stage in &self.processors {
            let cx = Context::new(self.clock.now_ns(), left, None);
            let stop = || match &stage.instances {
                Instances::EachWorker(_) => Ok(()),
                Instances::One(slot) => slot.call(|instance| instance.base.stop(&cx)),
                Instances::Shared(slot, _) => slot.call(|instance| instance.base().stop(&cx)),
            };
            if let Err(error) = self.calls.watch(&call, stage.number, stop) {
                tell(&stage.log, &error, 0);
            }
        }
        for stage in &self.aggregators {
            let cx = Context::new(self.clock.now_ns(), left, None);
            let stop = || stage.instance.call(|instance| instance.base.stop(&cx));
            if let Err(error) = self.calls.watch(&call, stage.number, stop) {
                tell(&stage.log, &error, 0);
            }
        }
    }

    fn after_processor(&self, worker: &mut Worker, index: usize, batches: Vec<Batch>) {
        if batches.is_empty() {
            return;
        }
        let batches = self.through_in_order(worker, batches, index + 1);
        self.past_aggregators(worker, batches, false);
    }

    /// Lets an aggregator do what is due by the clock.
    pub fn tick_aggregator(&self, worker: &mut Worker, index: usize) {
        let stage = &self.aggregators[index];
        let begin = Instant::now();
        let cx = self.context();
        let mut collect = Collect { batches: Vec::new(), checks: stage.checks, malformed: None };
        stage.timer.begin();
        let call = &worker.call;
        let result = stage.instance.call(|instance| {
            self.calls.watch(call, stage.number, || {
                serve::with_sink(&mut collect, |sink| instance.tick(&cx, sink))
            })
        });
        stage.timer.ticked(self.ticked(&stage.log, &stage.counters.errors, result));
        self.after_aggregator(worker, index, collect.batches);
        stage.counters.push_time_ns.add(nanoseconds(begin));
    }

    /// Tells an aggregator of something in order with the data.
    pub fn control_aggregator(&self, worker: &mut Worker, index: usize, message: Control) {
        let stage = &self.aggregators[index];
        let cx = self.context();
        let mut collect = Collect { batches: Vec::new(), checks: stage.checks, malformed: None };
        let call = &worker.call;
        let result = stage.instance.call(|instance| {
            self.calls.watch(call, stage.number, || {
                serve::with_sink(&mut collect, |sink| instance.control(&cx, message, sink))
            })
        });
        if let Err(error) = result {
            stage.counters.errors.add(1);
            tell(&stage.log, &error, 0);
        }
        stage.timer.feed();
        self.after_aggregator(worker, index, collect.batches);
    }

    fn after_aggregator(&self, worker: &mut Worker, index: usize, mut batches: Vec<Batch>) {
        let stage = &self.aggregators[index];
        for batch in &mut batches {
            stage.counters.pushed.add(batch.len() as u64);
            stage.emitted.apply(&mut worker.emitted_maps[index], batch, &[]);
        }
        batches.retain(|batch| !batch.is_empty());
        if batches.is_empty() {
            return;
        }
        if self.processors_after {
            batches = self.through_in_order(worker, batches, 0);
        }
        let items = self.render(worker, batches);
        self.deliver(worker, items, false);
    }

    /// Tells all stages with a state of something about a source, in order with its data.
    pub fn control(&self, worker: &mut Worker, message: Control) {
        for index in 0..self.processors.len() {
            self.control_processor(worker, index, message);
        }
        for index in 0..self.aggregators.len() {
            self.control_aggregator(worker, index, message);
        }
    }

    fn ticked(
        &self,
        log: &Log,
        errors: &Counter,
        result: Result<Option<i64>, CallError>,
    ) -> Option<i64> {
        match result {
            Ok(next) => next,
            Err(error) => {
                errors.add(1);
                tell(log, &error, 0);
                Some(self.clock.now_ns().saturating_add(1_000_000_000))
            }
        }
    }

    /// The context of a call that begins now.
    pub fn context(&self) -> Context<'static> {
        Context::new(self.clock.now_ns(), Some(self.call_timeout), None)
    }
}

/// Logs a failed call.
pub fn tell(log: &Log, error: &CallError, points: u64) {
    let cost = match points {
        0 => String::new(),
        points => format!("; {points} points are lost"),
    };
    match error {
        CallError::Plugin(error) => log.error(format_args!("{error}{cost}")),
        CallError::Panicked(message) => {
            log.error(format_args!("it panicked and restarts: {message}{cost}"));
        }
        CallError::Unavailable(reason) => log.error(format_args!("{reason}{cost}")),
        CallError::TooLate => {
            log.error(format_args!("its call took too long and was given up{cost}"));
        }
    }
}

fn nanoseconds(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Settles a clone that the agent held.
pub fn settle(guard: Option<Delivery>, outcome: Outcome) {
    if let Some(guard) = guard {
        guard.settle(outcome);
    }
}
