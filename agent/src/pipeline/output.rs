//! One output: its buffer in memory, its writes, their retries.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_plugin_api::abi::instance::OutputInstance;
use headwater_plugin_api::abi::owned::OwnedBytes;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Context, Delivery, Error, ErrorKind, Outcome};
use tokio::sync::Notify;

use crate::observe::{Log, WriteMetrics};

use super::budget::Budget;
use super::modify::Shaping;
use super::slot::{CallError, Slot, back_off};

/// What waits for an output.
pub enum Payload {
    /// Points.
    Batch(Box<Batch>),
    /// Points as the output's serializer wrote them.
    Bytes(Arc<OwnedBytes>),
    /// Several small ones.
    Joined(Arc<Vec<u8>>),
}

/// A part of the buffer.
pub struct Item {
    payload: Payload,
    points: u64,
    bytes: u64,
    deliveries: Vec<Delivery>,
    /// Writes of it that panicked.
    panics: u32,
}

impl Item {
    /// Points for an output that takes batches.
    pub fn batch(mut batch: Batch) -> Item {
        let deliveries = batch.take_delivery().into_iter().collect();
        Item {
            points: batch.len() as u64,
            bytes: batch.byte_size() as u64,
            payload: Payload::Batch(Box::new(batch)),
            deliveries,
            panics: 0,
        }
    }

    /// Serialized points.
    pub fn bytes(bytes: OwnedBytes, points: u64, delivery: Option<Delivery>) -> Item {
        Item {
            points,
            bytes: bytes.len() as u64,
            payload: Payload::Bytes(Arc::new(bytes)),
            deliveries: delivery.into_iter().collect(),
            panics: 0,
        }
    }

    /// Another owner of what is in flight.
    fn share(&self) -> Payload {
        match &self.payload {
            Payload::Batch(batch) => Payload::Batch(batch.clone()),
            Payload::Bytes(bytes) => Payload::Bytes(Arc::clone(bytes)),
            Payload::Joined(bytes) => Payload::Joined(Arc::clone(bytes)),
        }
    }

    fn settle(self, outcome: Outcome) {
        for delivery in self.deliveries {
            delivery.settle(outcome);
        }
    }
}

/// How an output is to be run.
pub struct OutputSettings {
    /// Most points in a write.
    pub batch_size: u64,
    /// Most points in the buffer.
    pub buffer_limit: u64,
    /// How often the buffer is written.
    pub flush_interval: Duration,
    /// At most so much later, at random.
    pub flush_jitter: Duration,
    /// Whether writes happen on the thread that brings the points.
    pub direct: bool,
    /// How long a write may take.
    pub timeout: Duration,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    points: u64,
    bytes: u64,
    /// Whether this output counts as full in the budget.
    full: bool,
    /// The number of the write that runs, 0 for none.
    writer: u64,
    last_writer: u64,
    /// What that write holds. It still counts in the budget.
    inflight: VecDeque<Item>,
    /// Failed writes in a row.
    failures: u32,
    not_before: Option<Instant>,
    connected: bool,
    last_error: String,
    /// Whether nothing will be written any more.
    closed: bool,
}

/// One output.
pub struct Output {
    /// How it is run.
    pub settings: OutputSettings,
    /// Its selectors, modifiers and names.
    pub shaping: Shaping,
    /// Its counters.
    pub counters: WriteMetrics,
    /// The log in its name.
    pub log: Log,
    slot: Slot<OutputInstance>,
    queue: Mutex<Queue>,
    wake: Notify,
    /// Told when a write has ended.
    written: Condvar,
    /// Points that fell out of the full buffer and were not told of yet.
    pushed_out: AtomicU64,
    closing: AtomicBool,
    left_out: AtomicBool,
}

/// What a flush did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// The buffer is empty, or holds less than asked for.
    Done,
    /// A write failed; try again then.
    Retry(Instant),
    /// Another thread writes; its end wakes the output.
    Busy,
}

impl Output {
    /// An output whose instance was made already.
    pub fn new(
        settings: OutputSettings,
        shaping: Shaping,
        counters: WriteMetrics,
        log: Log,
        slot: Slot<OutputInstance>,
        connected: bool,
    ) -> Self {
        Output {
            settings,
            shaping,
            counters,
            log,
            slot,
            queue: Mutex::new(Queue { connected, ..Queue::default() }),
            wake: Notify::new(),
            written: Condvar::new(),
            pushed_out: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            left_out: AtomicBool::new(false),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Points that wait.
    pub fn waiting(&self) -> u64 {
        self.queue().points
    }

    /// Waits until a full batch is there, or somebody wants a flush.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Asks for a flush.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Takes an item into the buffer; a direct output that has a full batch writes at once. `can_wait`
    /// tells that its source stops when the gate is closed: then nothing falls out here.
    pub fn accept(&self, item: Item, can_wait: bool, host: &OutputHost<'_>) {
        if self.left_out.load(Ordering::Relaxed) {
            self.counters.metrics_dropped.add(item.points);
            return item.settle(Outcome::Dropped);
        }
        self.counters.metrics_added.add(item.points);
        let mut queue = self.queue();
        if queue.closed {
            drop(queue);
            self.counters.metrics_dropped.add(item.points);
            self.log.error(format_args!(
                "{} points came too late to be written before the stop and are lost",
                item.points
            ));
            return item.settle(Outcome::Aborted);
        }
        if self.settings.direct
            && queue.items.is_empty()
            && queue.writer == 0
            && item.points >= self.settings.batch_size
            && queue.not_before.is_none()
            && queue.connected
        {
            host.budget.add(item.bytes);
            let writer = begin(&mut queue, VecDeque::from([item]));
            drop(queue);
            self.write(writer, host);
            // What others brought meanwhile.
            self.flush(true, host);
            return;
        }
        queue.points += item.points;
        queue.bytes += item.bytes;
        host.budget.add(item.bytes);
        append(&mut queue.items, item);
        if !can_wait
            && self.settings.direct
            && queue.points >= self.settings.batch_size
            && queue.not_before.is_none()
            && queue.connected
        {
            drop(queue);
            self.write_now(host);
            queue = self.queue();
        }
        let mut lost = Vec::new();
        let mut freed = 0;
        if !can_wait {
            while queue.items.len() > 1
                && (queue.points > self.settings.buffer_limit
                    || host.budget.used().saturating_sub(freed) > host.budget.limit())
            {
                let Some(oldest) = queue.items.pop_front() else { break };
                queue.points -= oldest.points;
                queue.bytes -= oldest.bytes;
                freed += oldest.bytes;
                lost.push(oldest);
            }
        }
        let became_full = !queue.full && queue.points >= self.settings.buffer_limit;
        if became_full {
            queue.full = true;
            host.budget.output_full();
        }
        self.counters.buffer_size.set(queue.points as i64);
        // A thread that writes to a quick output looks again for full batches when it is done.
        let is_seen_to = self.settings.direct && queue.writer != 0;
        let due = queue.points >= self.settings.batch_size && !is_seen_to;
        drop(queue);
        if freed > 0 && host.budget.remove(freed) {
            (host.gate_opened)();
        }
        for item in lost {
            self.counters.metrics_dropped.add(item.points);
            self.pushed_out.fetch_add(item.points, Ordering::Relaxed);
            item.settle(Outcome::Lost);
        }
        if due {
            self.wake();
        }
    }

    /// Writes full batches on this thread. If another one writes and the buffer is full, waits for its
    /// end: the output is quick, and nothing needs to fall out of the buffer.
    fn write_now(&self, host: &OutputHost<'_>) {
        const WRITE_MAX: Duration = Duration::from_secs(1);
        let deadline = Instant::now() + WRITE_MAX;
        while self.flush(true, host) == Flushed::Busy {
            let queue = self.queue();
            let left = deadline.saturating_duration_since(Instant::now());
            if queue.points <= self.settings.buffer_limit || left.is_zero() {
                return;
            }
            if queue.writer != 0 {
                let waited = self.written.wait_timeout(queue, left);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// Logs how many points fell out of the full buffer since it last did.
    pub fn tell_pushed_out(&self) {
        let count = self.pushed_out.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.log.warn(format_args!(
                "{count} points fell out of the full buffer before they could be written; \
                 metric_buffer_limit is {} points, memory_limit in [agent] bounds all buffers",
                self.settings.buffer_limit
            ));
        }
    }

    /// Writes what waits: all of it, or with `only_full` only full batches. One write after the other
    /// until one fails.
    pub fn flush(&self, only_full: bool, host: &OutputHost<'_>) -> Flushed {
        loop {
            let mut queue = self.queue();
            if queue.writer != 0 {
                return Flushed::Busy;
            }
            if queue.items.is_empty() || (only_full && queue.points < self.settings.batch_size) {
                return Flushed::Done;
            }
            if let Some(not_before) = queue.not_before
                && Instant::now() < not_before
                && !self.closing.load(Ordering::Relaxed)
            {
                return Flushed::Retry(not_before);
            }
            let items = self.take_batch(&mut queue);
            let writer = begin(&mut queue, items);
            drop(queue);
            if let Some(not_before) = self.write(writer, host) {
                return Flushed::Retry(not_before);
            }
        }
    }

    /// Makes one attempt with what is in flight and draws the consequences. Gives when to try again,
    /// if something was left.
    fn write(&self, writer: u64, host: &OutputHost<'_>) -> Option<Instant> {
        let (connected, payloads) = {
            let queue = self.queue();
            (queue.connected, queue.inflight.iter().map(Item::share).collect::<Vec<_>>())
        };
        let result = if connected { Ok(()) } else { self.connect(host) };
        let result = result.and_then(|()| self.attempt(&payloads, host));
        drop(payloads);
        let mut queue = self.queue();
        if queue.writer != writer {
            // The call was given up; its items went back into the buffer.
            return None;
        }
        let items = std::mem::take(&mut queue.inflight);
        drop(queue);
        let taken: u64 = items.iter().map(|item| item.bytes).sum();
        let left = self.after_write(result, items).err().unwrap_or_default();
        let kept: u64 = left.iter().map(|item| item.bytes).sum();
        // Only now is the write over: who closes the output waits until all of it is told or put back.
        let mut queue = self.queue();
        if queue.writer == writer {
            queue.writer = 0;
        }
        let again = if left.is_empty() {
            drop(queue);
            None
        } else if queue.closed {
            drop(queue);
            self.counters.metrics_dropped.add(left.iter().map(|item| item.points).sum());
            left.into_iter().for_each(|item| item.settle(Outcome::Aborted));
            None
        } else {
            put_back(&mut queue, left);
            let again = queue.not_before.unwrap_or_else(Instant::now);
            drop(queue);
            Some(again)
        };
        self.written.notify_all();
        self.free(taken.saturating_sub(kept), host);
        again
    }

    /// Takes the next write's items; their bytes stay counted in the budget.
    fn take_batch(&self, queue: &mut Queue) -> VecDeque<Item> {
        let mut items = VecDeque::new();
        let mut points = 0;
        while let Some(next) = queue.items.front() {
            if points > 0 && points + next.points > self.settings.batch_size {
                break;
            }
            let is_bytes = !matches!(next.payload, Payload::Batch(_));
            if is_bytes && points > 0 {
                break;
            }
            points += next.points;
            let Some(mut item) = queue.items.pop_front() else { break };
            queue.points -= item.points;
            queue.bytes -= item.bytes;
            if let Payload::Batch(batch) = &item.payload
                && item.points > self.settings.batch_size
            {
                let (head, tail) = divide(batch, self.settings.batch_size as usize);
                let rest = Item {
                    points: tail.len() as u64,
                    bytes: 0,
                    payload: Payload::Batch(Box::new(tail)),
                    deliveries: item.deliveries.clone(),
                    panics: item.panics,
                };
                queue.points += rest.points;
                queue.items.push_front(rest);
                item.points = head.len() as u64;
                item.payload = Payload::Batch(Box::new(head));
            }
            items.push_back(item);
            if is_bytes {
                // One piece of bytes a write: what failed can then be repeated alone.
                break;
            }
        }
        items
    }

    /// Connects before anything is written.
    ///
    /// # Errors
    /// The plugin's.
    pub fn connect_now(&self, host: &OutputHost<'_>) -> Result<(), Error> {
        self.connect(host).map_err(as_error)
    }

    /// Takes and writes nothing from here on.
    pub fn leave_out(&self) {
        self.left_out.store(true, Ordering::Relaxed);
    }

    fn connect(&self, host: &OutputHost<'_>) -> Result<(), CallError> {
        let cx = Context::new((host.now_ns)(), Some(self.settings.timeout), None);
        self.slot.call(|instance| (host.watch)(&mut || instance.base.connect(&cx)))?;
        self.queue().connected = true;
        Ok(())
    }

    fn attempt(&self, payloads: &[Payload], host: &OutputHost<'_>) -> Result<(), CallError> {
        let begin = Instant::now();
        let cx = Context::new((host.now_ns)(), Some(self.settings.timeout), None);
        let result =
            self.slot.call(|instance| (host.watch)(&mut || write(instance, &cx, payloads)));
        self.counters.write_time_ns.add(begin.elapsed());
        result
    }

    /// Draws the consequences of an attempt. `Err` gives back what must be written again.
    fn after_write(
        &self,
        result: Result<(), CallError>,
        mut items: VecDeque<Item>,
    ) -> Result<(), VecDeque<Item>> {
        let points: u64 = items.iter().map(|item| item.points).sum();
        let error = match result {
            Ok(()) => {
                self.succeeded();
                self.counters.metrics_written.add(points);
                items.into_iter().for_each(|item| item.settle(Outcome::Delivered));
                return Ok(());
            }
            Err(error) => error,
        };
        self.counters.write_errors.add(1);
        match error {
            CallError::Plugin(error) => match error.kind() {
                ErrorKind::Partial(rows) => {
                    let refused = (rows.len() as u64).min(points);
                    self.counters.metrics_rejected.add(refused);
                    self.counters.metrics_written.add(points - refused);
                    self.log.error(format_args!("{refused} of {points} points: {error}"));
                    for (index, item) in items.into_iter().enumerate() {
                        let hit = rows.iter().any(|row| row.0 as usize == index);
                        item.settle(if hit { Outcome::Lost } else { Outcome::Delivered });
                    }
                    self.queue().failures = 0;
                    Ok(())
                }
                ErrorKind::Refused => {
                    self.counters.metrics_rejected.add(points);
                    self.log.error(format_args!("{points} points were refused for good: {error}"));
                    items.into_iter().for_each(|item| item.settle(Outcome::Lost));
                    Ok(())
                }
                _ => {
                    self.failed(&error, points);
                    Err(items)
                }
            },
            CallError::Panicked(message) => {
                let error = Error::failed(format!("the plugin panicked: {message}"));
                self.queue().connected = false;
                self.failed(&error, points);
                items.iter_mut().for_each(|item| item.panics += 1);
                let (give_up, keep): (VecDeque<_>, VecDeque<_>) =
                    items.into_iter().partition(|item| item.panics >= 3);
                if !give_up.is_empty() {
                    let points: u64 = give_up.iter().map(|item| item.points).sum();
                    self.counters.metrics_rejected.add(points);
                    self.log.error(format_args!(
                        "{points} points made it panic three times and are given up"
                    ));
                    give_up.into_iter().for_each(|item| item.settle(Outcome::Aborted));
                }
                if keep.is_empty() { Ok(()) } else { Err(keep) }
            }
            CallError::TooLate | CallError::Unavailable(_) => {
                self.queue().connected = false;
                self.failed(&as_error(error), points);
                Err(items)
            }
        }
    }

    fn succeeded(&self) {
        let mut queue = self.queue();
        let had_failed = queue.failures > 0;
        queue.failures = 0;
        queue.not_before = None;
        queue.last_error.clear();
        drop(queue);
        if had_failed {
            self.log.info("writes succeed again");
        }
    }

    fn failed(&self, error: &Error, held: u64) -> Instant {
        let mut queue = self.queue();
        if matches!(error.kind(), ErrorKind::NotConnected) {
            queue.connected = false;
        }
        let pause = match error.kind() {
            ErrorKind::RetryAfter(after) => (*after).min(Duration::from_secs(600)),
            ErrorKind::Fatal => Duration::from_secs(600),
            _ => jittered(back_off(queue.failures), queue.points),
        };
        let not_before = Instant::now() + pause;
        queue.failures = queue.failures.saturating_add(1);
        queue.not_before = Some(not_before);
        let message = format!("{error}; {} points wait", queue.points + held);
        let new = queue.last_error != error.message();
        if new {
            queue.last_error = error.message().to_owned();
        }
        drop(queue);
        if new {
            self.log.error(message);
        }
        self.wake();
        not_before
    }

    fn free(&self, bytes: u64, host: &OutputHost<'_>) {
        let mut queue = self.queue();
        self.counters.buffer_size.set(queue.points as i64);
        let has_room = queue.full && queue.points <= self.settings.buffer_limit / 4 * 3;
        if has_room {
            queue.full = false;
        }
        drop(queue);
        let mut opened = host.budget.remove(bytes);
        if has_room {
            opened |= host.budget.output_free();
        }
        if opened {
            (host.gate_opened)();
        }
    }

    /// The last writes: back-off is ignored once, then until the deadline. What cannot be written is
    /// lost and counted; gives how many points.
    pub fn close(&self, deadline: Instant, host: &OutputHost<'_>) -> u64 {
        self.closing.store(true, Ordering::Relaxed);
        let mut pause = Duration::from_millis(20);
        loop {
            match self.flush(false, host) {
                Flushed::Done => break,
                Flushed::Retry(_) | Flushed::Busy => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() || self.slot.is_given_up() {
                        break;
                    }
                    std::thread::sleep(left.min(pause));
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
        let mut queue = self.queue();
        let mut items = std::mem::take(&mut queue.items);
        // A write that still hangs has lost its right to tell what became of its points.
        queue.writer = 0;
        items.extend(std::mem::take(&mut queue.inflight));
        let lost = items.iter().map(|item| item.points).sum();
        queue.points = 0;
        queue.closed = true;
        drop(queue);
        self.counters.metrics_dropped.add(lost);
        self.tell_pushed_out();
        items.into_iter().for_each(|item| item.settle(Outcome::Aborted));
        if let Some(mut instance) = self.slot.take() {
            let left = deadline.saturating_duration_since(Instant::now());
            let cx = Context::new((host.now_ns)(), Some(left.max(Duration::from_secs(1))), None);
            if let Err(error) = instance.base.stop(&cx) {
                self.log.error(format_args!("it did not stop well: {error}"));
            }
        }
        lost
    }

    /// The call that runs does not return: another instance is to be made.
    pub fn declare_stuck(&self) {
        self.slot.declare_stuck();
        let mut queue = self.queue();
        if queue.writer != 0 {
            queue.writer = 0;
            queue.connected = false;
            let items = std::mem::take(&mut queue.inflight);
            put_back(&mut queue, items);
        }
        drop(queue);
        self.wake();
    }
}

/// Runs a call while the watchdog looks on.
pub type Watch<'a> = &'a dyn Fn(&mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error>;

/// What an output needs of the agent for a write.
pub struct OutputHost<'a> {
    /// Counts what waits.
    pub budget: &'a Budget,
    /// The clock.
    pub now_ns: &'a dyn Fn() -> i64,
    /// Wakes sources that waited for room.
    pub gate_opened: &'a dyn Fn(),
    /// Runs a call under the watchdog's eye.
    pub watch: Watch<'a>,
}

fn write(
    instance: &mut OutputInstance,
    cx: &Context<'_>,
    payloads: &[Payload],
) -> Result<(), Error> {
    let mut batches = Vec::new();
    for payload in payloads {
        match payload {
            Payload::Batch(batch) => batches.push((**batch).clone()),
            Payload::Bytes(bytes) => instance.write_bytes(cx, bytes)?,
            Payload::Joined(bytes) => instance.write_bytes(cx, bytes)?,
        }
    }
    if batches.is_empty() { Ok(()) } else { instance.write(cx, &batches) }
}

/// Moves items into flight and gives the write's number.
fn begin(queue: &mut Queue, items: VecDeque<Item>) -> u64 {
    queue.inflight = items;
    queue.last_writer += 1;
    queue.writer = queue.last_writer;
    queue.writer
}

fn put_back(queue: &mut Queue, items: VecDeque<Item>) {
    for item in items.into_iter().rev() {
        queue.points += item.points;
        queue.bytes += item.bytes;
        queue.items.push_front(item);
    }
}

/// Pieces of bytes up to this size are joined, so that a write is one call.
const JOIN_BYTES: usize = 64 << 10;

fn append(items: &mut VecDeque<Item>, item: Item) {
    if let Payload::Bytes(new) = &item.payload
        && new.len() <= JOIN_BYTES
        && let Some(last) = items.back_mut()
        && last.bytes as usize + new.len() <= 4 * JOIN_BYTES
    {
        if let Payload::Bytes(bytes) = &last.payload
            && bytes.len() <= JOIN_BYTES
        {
            last.payload = Payload::Joined(Arc::new(bytes.to_vec()));
        }
        if let Payload::Joined(bytes) = &mut last.payload
            && let Some(bytes) = Arc::get_mut(bytes)
        {
            bytes.extend_from_slice(new);
            last.points += item.points;
            last.bytes += item.bytes;
            last.deliveries.extend(item.deliveries);
            return;
        }
    }
    items.push_back(item);
}

/// Splits a batch into its first `count` live points and the rest.
fn divide(batch: &Batch, count: usize) -> (Batch, Batch) {
    let mut head = batch.clone();
    let mut seen = 0;
    head.retain_indexed(|_, _| {
        seen += 1;
        seen <= count
    });
    let mut tail = batch.clone();
    let mut seen = 0;
    tail.retain_indexed(|_, _| {
        seen += 1;
        seen > count
    });
    (head, tail)
}

fn as_error(error: CallError) -> Error {
    match error {
        CallError::Plugin(error) => error,
        CallError::Panicked(message) => Error::failed(format!("the plugin panicked: {message}")),
        CallError::Unavailable(reason) => Error::failed(reason),
        CallError::TooLate => Error::failed("the call took too long and was given up"),
    }
}

/// Takes up to a quarter off, so that agents do not come back all at once.
fn jittered(pause: Duration, seed: u64) -> Duration {
    let mixed = (seed ^ u64::from(std::process::id())).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    pause.mul_f64(1.0 - mixed as f64 / 1024.0)
}
