//! Inputs that run by themselves: their start with retries, their way in, their settlements.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_plugin_api::abi::instance::ServiceInstance;
use headwater_plugin_api::abi::pool;
use headwater_plugin_api::abi::serve::{
    self, IntakeServices, OpenedSource, OpenedSpec, PushedBytes, Watched,
};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Context, Error};
use tokio::sync::Notify;

use super::calls::CallSlot;
use super::core::{Core, Worker};
use super::input::Input;
use super::polled::Pushed;
use super::reactor::Reactor;
use super::slot::{CallError, Slot, back_off};
use super::source::SourceState;
use super::stage::Timer;

/// Bytes of batch memory that such a thread keeps for its next call.
const POOLED: usize = 128 << 10;

/// Workers that threads of no worker's own borrow: gathers, pushes and ticks.
pub struct Spare {
    core: Arc<Core>,
    inputs: usize,
    free: Mutex<Vec<Worker>>,
    at_work: Mutex<AtWork>,
    /// Told when one is done.
    done: Condvar,
}

#[derive(Default)]
struct AtWork {
    calls: Vec<Arc<CallSlot>>,
    closed: bool,
}

impl Spare {
    /// No worker yet; they are made when needed.
    pub fn new(core: &Arc<Core>, inputs: usize) -> Arc<Spare> {
        Arc::new(Spare {
            core: Arc::clone(core),
            inputs,
            free: Mutex::default(),
            at_work: Mutex::default(),
            done: Condvar::new(),
        })
    }

    /// Runs with a worker. A worker whose thread was given up is not used again.
    pub fn with<R>(&self, run: impl FnOnce(&mut Worker) -> R) -> R {
        let worker = self.worker();
        self.at_work().calls.push(Arc::clone(&worker.call));
        self.run(worker, run)
    }

    /// The same, unless [`close`](Self::close) was called: then nothing is run.
    pub fn unless_closed<R>(&self, run: impl FnOnce(&mut Worker) -> R) -> Option<R> {
        let worker = self.worker();
        {
            let mut at_work = self.at_work();
            if at_work.closed {
                return None;
            }
            at_work.calls.push(Arc::clone(&worker.call));
        }
        Some(self.run(worker, run))
    }

    /// Lets nothing new begin, and waits until all that runs is done, or given up, or the time is
    /// over.
    pub fn close(&self, deadline: Instant) {
        let mut at_work = self.at_work();
        at_work.closed = true;
        loop {
            at_work.calls.retain(|call| !call.is_abandoned());
            let left = deadline.saturating_duration_since(Instant::now());
            if at_work.calls.is_empty() || left.is_zero() {
                return;
            }
            let nap = left.min(Duration::from_millis(50));
            let waited = self.done.wait_timeout(at_work, nap);
            at_work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Drops the workers that nobody uses and that remember much.
    pub fn forget(&self) {
        const MUCH: usize = 256 << 10;
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.retain(|worker| worker.remembered() < MUCH);
    }

    fn at_work(&self) -> MutexGuard<'_, AtWork> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) -> Worker {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| self.core.worker(self.inputs))
    }

    /// Runs with a worker that is counted. The threads that come here are many and mostly idle:
    /// they keep little.
    fn run<R>(&self, mut worker: Worker, run: impl FnOnce(&mut Worker) -> R) -> R {
        let result = run(&mut worker);
        self.at_work().calls.retain(|call| !Arc::ptr_eq(call, &worker.call));
        self.done.notify_all();
        if !worker.call.is_abandoned() {
            worker.forget_buffers();
            pool::forget_above(POOLED);
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < 4 {
                free.push(worker);
            }
        }
        result
    }
}

/// A service input's way into the agent.
pub struct IntakeOf {
    /// The stages.
    pub core: Arc<Core>,
    /// The workers.
    pub reactor: Arc<Reactor>,
    /// Workers for pushes.
    pub spare: Arc<Spare>,
    /// Whose it is.
    pub input: Arc<Input>,
    /// The number of what it pushes itself.
    pub origin: u64,
    /// Whether nothing more may come in.
    pub paused: AtomicBool,
}

impl IntakeServices for IntakeOf {
    fn open(&self, spec: OpenedSpec, source: OpenedSource) -> Option<u64> {
        if self.paused.load(Ordering::Acquire) {
            return None;
        }
        let id = self.reactor.number();
        let state = Arc::new(SourceState::new(id, Arc::clone(&self.input), spec, source));
        self.spare.with(|worker| state.begin(&self.core, worker));
        if !self.reactor.add_source(state) {
            self.input.log.warn(format_args!(
                "a source was refused: {} are open, or it cannot be waited for",
                self.reactor.sources()
            ));
            return None;
        }
        Some(id)
    }

    fn watch(&self, descriptor: i32, watched: Watched) -> Option<u64> {
        self.reactor.add_watch(descriptor, watched)
    }

    fn wake(&self, source: u64) {
        self.reactor.make_ready(source);
    }

    fn close(&self, source: u64) {
        self.reactor.close(source);
    }

    fn checks(&self) -> bool {
        self.input.checks
    }

    fn push(&self, batch: Batch, timeout: Option<Duration>) -> Result<(), Batch> {
        if self.paused.load(Ordering::Acquire) {
            return Err(batch);
        }
        if self.core.budget.is_closed()
            && !timeout.is_some_and(|timeout| self.core.budget.block(timeout))
        {
            return Err(batch);
        }
        let mut batch = Some(batch);
        self.spare.unless_closed(|worker| {
            if let Some(batch) = batch.take() {
                Pushed::new(&self.core, worker, &self.input, self.origin, true).batch(batch);
            }
        });
        batch.map_or(Ok(()), Err)
    }

    fn malformed(&self, malformed: Malformed) {
        self.input.malformed(&malformed);
    }

    fn push_bytes(&self, bytes: PushedBytes<'_>) -> Result<(), Error> {
        if self.paused.load(Ordering::Acquire) || self.core.budget.is_closed() {
            return Err(Error::would_block());
        }
        let pushed = self.spare.unless_closed(|worker| {
            Pushed::new(&self.core, worker, &self.input, self.origin, true).bytes(&bytes)
        });
        pushed.unwrap_or_else(|| Err(Error::would_block()))
    }
}

/// A service input and its instance.
pub struct Service {
    /// The input.
    pub input: Arc<Input>,
    /// Its instance. It is made once: what it opened lives on in the agent.
    pub slot: Slot<ServiceInstance>,
    /// Its way in.
    pub intake: Arc<IntakeOf>,
}

impl Service {
    /// Connects and starts, once.
    ///
    /// # Errors
    /// The plugin's.
    pub fn start(&self) -> Result<(), CallError> {
        let cx = self.intake.core.context();
        self.slot.call(|instance| {
            instance.base.connect(&cx)?;
            let intake = serve::intake(Arc::clone(&self.intake) as Arc<dyn IntakeServices>);
            instance.start(&cx, intake)
        })
    }

    /// How long to wait before the start is tried again.
    pub fn pause_before(&self, failures: u32) -> Duration {
        back_off(failures.saturating_add(3))
    }

    /// Hands settlements to the input. They are taken when its turn has come: taken before, they would
    /// be lost with a stop that comes first.
    pub fn settle(&self) {
        let cx = self.intake.core.context();
        let _ = self.slot.call(|instance| {
            let settlements = self.input.settlements.take();
            if !settlements.is_empty() {
                instance.settled(&cx, &settlements);
            }
            Ok(())
        });
    }

    /// Takes nothing more in.
    pub fn pause(&self) {
        let cx = self.intake.core.context();
        if let Err(error) = self.slot.call(|instance| instance.base.pause(&cx)) {
            super::core::tell(&self.input.log, &error, 0);
        }
        self.intake.paused.store(true, Ordering::Release);
    }

    /// Ends it.
    pub fn stop(&self, timeout: Duration) {
        if let Some(mut instance) = self.slot.take() {
            let now = self.intake.core.clock.now_ns();
            let cx = Context::new(now, Some(timeout), None);
            if let Err(error) = instance.base.stop(&cx) {
                self.input.log.error(format_args!("it did not stop well: {error}"));
            }
        }
    }
}

/// Sleeps until a stage wants to tick, and ticks. A tick that is given up on does not hold the next.
pub async fn tick_loop(
    core: Arc<Core>,
    given_up: Arc<Notify>,
    timer: impl Fn(&Core) -> &Timer + Send + 'static,
    tick: impl Fn() + Send + Sync + 'static,
) {
    /// After data came, the stage is asked within this time when it wants to tick.
    const SOON_NS: i64 = 100_000_000;
    let tick = Arc::new(tick);
    loop {
        let now = core.clock.now_ns();
        let next = timer(&core).next(now, SOON_NS);
        if next == i64::MAX {
            timer(&core).changed().await;
            continue;
        }
        tokio::select! {
            () = core.clock.sleep_until(next) => {}
            () = timer(&core).changed() => continue,
        }
        let tick = Arc::clone(&tick);
        let call = tokio::task::spawn_blocking(move || tick());
        tokio::select! {
            _ = call => {}
            () = given_up.notified() => {}
        }
    }
}
