//! The life of the agent: start, work, stop in order.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use headwater_plugin_api::plugin::Control;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, Semaphore};

use super::build::{Builder, Built, Source};
use super::calls::CallSlot;
use super::clock::{Clock, duration_ns};
use super::core::Core;
use super::host::Services;
use super::output::Flushed;
use super::polled::Polled;
use super::reactor::Reactor;
use super::service::{IntakeOf, Service, Spare, tick_loop};
use super::slot::CallError;
use super::test_output;
use crate::config::{Diagnostic, Plan, StartupError};
use crate::loader::Registry;
use crate::loader::resident;
use crate::observe::{Log, Logger, Metrics};
use crate::state::Store;

/// How long to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until a signal.
    Run,
    /// Everything once; service inputs for so long.
    Once(Duration),
    /// As once, but points are printed and no output is connected.
    Test(Duration),
}

/// What to run.
pub struct RunRequest {
    /// The checked configuration.
    pub plan: Plan,
    /// The plugins that can be had.
    pub registry: Arc<Registry>,
    /// The log.
    pub logger: Arc<Logger>,
    /// The self-metrics.
    pub metrics: Arc<Metrics>,
    /// The state store.
    pub store: Arc<Store>,
    /// How long.
    pub mode: Mode,
    /// Called once everything has started.
    pub on_ready: Box<dyn FnOnce() + Send>,
    /// Called when the stop begins.
    pub on_stopping: Box<dyn FnOnce() + Send>,
}

/// Makes everything that a plan names and tells what is wrong with it.
pub fn check(
    plan: &Plan,
    registry: Arc<Registry>,
    logger: &Arc<Logger>,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
) -> Vec<Diagnostic> {
    let services = Arc::new(Services::new(registry, metrics, store, false));
    let mut builder =
        Builder { plan, services: &services, logger, only_output: None, diagnostics: Vec::new() };
    builder.build();
    builder.diagnostics
}

/// Runs a plan until it ends.
pub fn run(request: RunRequest) -> ExitCode {
    let log = request.logger.agent();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .enable_io()
        .max_blocking_threads(64)
        .thread_keep_alive(Duration::from_secs(30))
        .thread_name("call")
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(Running::life(request));
            // A plugin that never returns must not hold the end up.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            log.error(format_args!("the agent cannot start its runtime: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Gathers that run side by side as long as none takes longer than its turn.
const GATHERS: usize = 2;
const TURN: Duration = Duration::from_millis(20);

struct Running {
    core: Arc<Core>,
    reactor: Arc<Reactor>,
    spare: Arc<Spare>,
    polled: Vec<Arc<Polled>>,
    services: Vec<Arc<Service>>,
    /// Woken when a stage's call was given up, by the stage's number.
    given_up: Vec<Arc<Notify>>,
    inputs: usize,
    workers: usize,
    log: Log,
    failed_gathers: AtomicU64,
    /// Gathers that are due together take turns, so that quick ones need few threads.
    turns: Semaphore,
    told_nothing: AtomicBool,
    stopping: AtomicBool,
    stop_timeout: Duration,
    mode: Mode,
}

impl Running {
    async fn life(request: RunRequest) -> ExitCode {
        let log = request.logger.agent();
        let mut signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => {
                log.error(format_args!("the agent cannot listen for signals: {error}"));
                return ExitCode::FAILURE;
            }
        };
        let plan = request.plan;
        let test = matches!(request.mode, Mode::Test(_));
        if plan.inputs.is_empty() {
            log.error("there is no input; add an [[inputs.NAME]] table to the configuration");
            return ExitCode::FAILURE;
        }
        if plan.outputs.is_empty() && !test {
            log.error(
                "there is no output, so nothing would be kept; add an [[outputs.NAME]] table",
            );
            return ExitCode::FAILURE;
        }
        let is_run = request.mode == Mode::Run;
        let services = Services::new(request.registry, request.metrics, request.store, is_run);
        let services = Arc::new(services);
        let mut builder = Builder {
            plan: &plan,
            services: &services,
            logger: &request.logger,
            only_output: test.then(|| (test_output::plugin(), String::new())),
            diagnostics: Vec::new(),
        };
        let built = builder.build();
        for diagnostic in &builder.diagnostics {
            log.error(diagnostic);
        }
        let Some(built) = built else { return ExitCode::FAILURE };
        let Some(running) = Self::start(built, &plan, log, request.mode).await else {
            return ExitCode::FAILURE;
        };
        (request.on_ready)();
        running.work(&mut signals).await;
        (request.on_stopping)();
        running.stop(&mut signals).await
    }

    /// Connects outputs and starts everything.
    async fn start(built: Built, plan: &Plan, log: Log, mode: Mode) -> Option<Arc<Running>> {
        let Built { core, inputs, outputs, reactor } = built;
        let count = inputs.len();
        let spare = Spare::new(&core, count);
        let stages = core.processors.len() + core.aggregators.len() + core.outputs.len() + count;
        let workers = core.workers;
        let (mut polled, mut services, mut startups) = (Vec::new(), Vec::new(), Vec::new());
        for built in inputs {
            let origin = reactor.number();
            match built.source {
                Source::Gathered(slot, schedule, differential) => {
                    startups.push(built.startup);
                    let input = built.input;
                    polled.push(Arc::new(Polled { input, slot, schedule, origin, differential }));
                }
                Source::Service(slot) => {
                    let intake = Arc::new(IntakeOf {
                        core: Arc::clone(&core),
                        reactor: Arc::clone(&reactor),
                        spare: Arc::clone(&spare),
                        input: Arc::clone(&built.input),
                        origin,
                        paused: AtomicBool::new(false),
                    });
                    let service = Service { input: built.input, slot, intake };
                    services.push((Arc::new(service), built.startup));
                }
            }
        }
        let running = Arc::new(Running {
            core,
            reactor,
            spare,
            polled,
            services: services.iter().map(|(service, _)| Arc::clone(service)).collect(),
            given_up: (0..stages).map(|_| Arc::default()).collect(),
            inputs: count,
            workers,
            log,
            failed_gathers: AtomicU64::new(0),
            turns: Semaphore::new(GATHERS),
            told_nothing: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            stop_timeout: *plan.agent.stop_timeout,
            mode,
        });
        running.spawn_watchdog();
        for (index, start) in outputs.iter().enumerate() {
            if !running.connect_output(index, start.startup).await {
                return None;
            }
        }
        for index in 0..running.core.outputs.len() {
            running.spawn_flush(index);
        }
        running.spawn_ticks();
        if !services.is_empty() {
            running.reactor.spawn(&running.core, count, running.workers);
        }
        for (service, startup) in services {
            if !running.start_service(&service, startup).await {
                return None;
            }
        }
        for (polled, startup) in running.polled.iter().zip(startups) {
            if !running.connect_polled(polled, startup).await {
                return None;
            }
        }
        Some(running)
    }

    /// Runs something on a thread that may block. `None` if it was given up on.
    async fn blocking<R: Send + 'static>(
        &self,
        stage: usize,
        run: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        let call = tokio::task::spawn_blocking(run);
        tokio::select! {
            result = call => result.ok(),
            () = self.given_up[stage].notified() => None,
        }
    }

    fn output_stage(&self, index: usize) -> usize {
        self.core.processors.len() + self.core.aggregators.len() + index
    }

    /// Connects an output as its `startup_error_behavior` says. False if the agent must not start.
    async fn connect_output(self: &Arc<Self>, index: usize, startup: StartupError) -> bool {
        if matches!(self.mode, Mode::Test(_)) {
            return true;
        }
        let this = Arc::clone(self);
        let result = self
            .blocking(self.output_stage(index), move || {
                let slot = CallSlot::default();
                this.core.with_output(index, &slot, |output, host| output.connect_now(host))
            })
            .await;
        let output = &self.core.outputs[index];
        let error = match result {
            Some(Ok(())) => return true,
            Some(Err(error)) => error.to_string(),
            None => "its connect never returned".to_owned(),
        };
        output.counters.startup_errors.add(1);
        match startup {
            StartupError::Error => {
                output.log.error(format_args!("{error}; the agent does not start"));
                false
            }
            StartupError::Retry => {
                output.log.warn(format_args!("{error}; it is tried again"));
                true
            }
            StartupError::Ignore | StartupError::Probe => {
                output.log.warn(format_args!("{error}; it is left out"));
                output.leave_out();
                true
            }
        }
    }

    async fn start_service(
        self: &Arc<Self>,
        service: &Arc<Service>,
        startup: StartupError,
    ) -> bool {
        let this = Arc::clone(service);
        let number = service.input.number;
        let error = match self.blocking(number, move || this.start()).await {
            Some(Ok(())) => {
                self.spawn_settlements(service);
                return true;
            }
            Some(Err(error)) => text_of(&error),
            None => "its start never returned".to_owned(),
        };
        service.input.counters.startup_errors.add(1);
        let log = &service.input.log;
        match startup {
            StartupError::Error => {
                log.error(format_args!("{error}; the agent does not start"));
                false
            }
            StartupError::Ignore | StartupError::Probe => {
                log.warn(format_args!("{error}; it is left out"));
                true
            }
            StartupError::Retry => {
                log.warn(format_args!("{error}; it is tried again"));
                let (this, service) = (Arc::clone(self), Arc::clone(service));
                tokio::spawn(async move {
                    let mut failures = 0;
                    while !this.stopping.load(Ordering::Acquire) {
                        tokio::time::sleep(service.pause_before(failures)).await;
                        let again = Arc::clone(&service);
                        match this.blocking(service.input.number, move || again.start()).await {
                            Some(Ok(())) => {
                                service.input.log.info("it has started");
                                this.spawn_settlements(&service);
                                return;
                            }
                            Some(Err(error)) => {
                                service.input.log.warn(text_of(&error));
                            }
                            None => service.input.log.warn("its start never returned"),
                        }
                        failures += 1;
                    }
                });
                true
            }
        }
    }

    async fn connect_polled(self: &Arc<Self>, polled: &Arc<Polled>, startup: StartupError) -> bool {
        let this = Arc::clone(polled);
        let core = Arc::clone(&self.core);
        let connect = move || {
            let cx = core.context();
            this.slot.call(|instance| instance.base.connect(&cx))
        };
        let error = match self.blocking(polled.input.number, connect).await {
            Some(Ok(())) => {
                self.spawn_polled(polled);
                return true;
            }
            Some(Err(error)) => text_of(&error),
            None => "its connect never returned".to_owned(),
        };
        polled.input.counters.startup_errors.add(1);
        let log = &polled.input.log;
        match startup {
            StartupError::Error => {
                log.error(format_args!("{error}; the agent does not start"));
                false
            }
            StartupError::Ignore | StartupError::Probe => {
                log.warn(format_args!("{error}; it is left out"));
                true
            }
            StartupError::Retry => {
                log.warn(format_args!("{error}; it is tried again at each gather"));
                self.spawn_polled(polled);
                true
            }
        }
    }

    fn spawn_polled(self: &Arc<Self>, polled: &Arc<Polled>) {
        if self.mode != Mode::Run {
            return;
        }
        let (this, polled) = (Arc::clone(self), Arc::clone(polled));
        tokio::spawn(async move {
            let clock = this.core.clock;
            let schedule = polled.schedule;
            let mut random = Random::new(polled.origin);
            let mut due = match schedule.round {
                true => schedule.next_after(clock.now_ns()),
                false => clock.now_ns(),
            };
            loop {
                let wait =
                    duration_ns(schedule.offset) + random.below(duration_ns(schedule.jitter));
                clock.sleep_until(due.saturating_add(wait)).await;
                if this.stopping.load(Ordering::Acquire) {
                    return;
                }
                let gather = Arc::clone(&polled);
                let agent = Arc::clone(&this);
                // Slow ones hold up nobody for longer than this.
                let turn = tokio::time::timeout(TURN, this.turns.acquire()).await;
                let done = this
                    .blocking(polled.input.number, move || {
                        agent.spare.unless_closed(|worker| gather.gather(&agent.core, worker))
                    })
                    .await;
                drop(turn);
                match done {
                    Some(Some(true)) => {}
                    // The agent stops.
                    Some(None) => return,
                    Some(Some(false)) => {
                        this.failed_gathers.fetch_add(1, Ordering::Relaxed);
                    }
                    None => polled.input.counters.gather_timeouts.add(1),
                }
                let now = clock.now_ns();
                let next = schedule.next_after(due);
                if next.saturating_add(wait) < now {
                    let interval = duration_ns(schedule.interval).max(1);
                    let skipped = (now - next) / interval + 1;
                    polled.input.counters.gather_timeouts.add(skipped as u64);
                    polled.input.log.warn(format_args!(
                        "a gather took longer than its interval; {skipped} were skipped"
                    ));
                    due = schedule.next_after(now);
                } else {
                    due = next;
                }
            }
        });
    }

    fn spawn_settlements(self: &Arc<Self>, service: &Arc<Service>) {
        let (this, service) = (Arc::clone(self), Arc::clone(service));
        tokio::spawn(async move {
            loop {
                service.input.settlements.arrived().await;
                let settle = Arc::clone(&service);
                this.blocking(service.input.number, move || settle.settle()).await;
            }
        });
    }

    fn spawn_flush(self: &Arc<Self>, index: usize) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let output = Arc::clone(&this.core.outputs[index]);
            let mut random = Random::new(index as u64 + 1);
            let mut retry_at: Option<Instant> = None;
            loop {
                let settings = &output.settings;
                let jitter = random.below(duration_ns(settings.flush_jitter));
                let pause = settings.flush_interval + Duration::from_nanos(jitter as u64);
                let only_full = match retry_at.take() {
                    Some(at) => {
                        tokio::time::sleep_until(at.into()).await;
                        false
                    }
                    None => tokio::select! {
                        () = tokio::time::sleep(pause) => false,
                        () = output.woken() => true,
                    },
                };
                if output.waiting() == 0 {
                    continue;
                }
                let agent = Arc::clone(&this);
                let flushed = this
                    .blocking(this.output_stage(index), move || agent.flush(index, only_full))
                    .await;
                match flushed {
                    Some(Flushed::Retry(at)) => retry_at = Some(at),
                    Some(Flushed::Busy) => {
                        retry_at = Some(Instant::now() + Duration::from_millis(10));
                    }
                    Some(Flushed::Done) | None => {}
                }
            }
        });
    }

    /// What windows hold is safer there than in a full buffer, which pushes points out: before a tick
    /// there is to be room, though not for ever, since late windows are no use either.
    fn spawn_ticks(self: &Arc<Self>) {
        const ROOM_PATIENCE: Duration = Duration::from_secs(10);
        for index in 0..self.core.processors.len() {
            if !self.core.processors[index].instances.has_state() {
                continue;
            }
            let this = Arc::clone(self);
            tokio::spawn(tick_loop(
                Arc::clone(&self.core),
                Arc::clone(&self.given_up[index]),
                move |core| &core.processors[index].timer,
                move || {
                    this.core.budget.block(ROOM_PATIENCE);
                    this.spare.unless_closed(|worker| this.core.tick_processor(worker, index));
                },
            ));
        }
        for index in 0..self.core.aggregators.len() {
            let this = Arc::clone(self);
            tokio::spawn(tick_loop(
                Arc::clone(&self.core),
                Arc::clone(&self.given_up[self.core.processors.len() + index]),
                move |core| &core.aggregators[index].timer,
                move || {
                    this.core.budget.block(ROOM_PATIENCE);
                    this.spare.unless_closed(|worker| this.core.tick_aggregator(worker, index));
                },
            ));
        }
    }

    /// Looks every few seconds for calls that do not return, and every ten for what should be told.
    fn spawn_watchdog(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let step = this.core.calls.step_s();
            let mut since_told = 0;
            let mut kept = Kept::default();
            let mut heap = resident::Heap::default();
            loop {
                tokio::time::sleep(Duration::from_secs(step)).await;
                since_told += step;
                for stuck in this.core.calls.tick() {
                    this.replace(stuck.stage, stuck.seconds, stuck.worker);
                }
                if since_told >= 10 {
                    since_told = 0;
                    this.log.logger().tick();
                    for input in this.all_inputs() {
                        input.tell_unseen();
                    }
                    this.core.outputs.iter().for_each(|output| output.tell_pushed_out());
                    let flow = this.flow();
                    if kept.is_nothing(flow, this.has_windows()) {
                        this.tell_nothing_kept(flow);
                    }
                    this.spare.forget();
                    heap.release();
                }
            }
        });
    }

    fn all_inputs(&self) -> impl Iterator<Item = &Arc<super::input::Input>> {
        let polled = self.polled.iter().map(|polled| &polled.input);
        polled.chain(self.services.iter().map(|service| &service.input))
    }

    /// A call of a stage does not return: its instance is replaced, its thread too.
    fn replace(self: &Arc<Self>, stage: usize, seconds: u64, worker: bool) {
        let core = &self.core;
        let told = |log: &Log| {
            log.error(format_args!(
                "a call has not returned for {seconds} s; its instance is given up and replaced"
            ));
        };
        let (processors, aggregators) = (core.processors.len(), core.aggregators.len());
        if let Some(found) = core.processors.get(stage) {
            told(&found.log);
            found.instances.declare_stuck();
        } else if let Some(found) = core.aggregators.get(stage - processors) {
            told(&found.log);
            found.instance.declare_stuck();
        } else if let Some(found) = core.outputs.get(stage - processors - aggregators) {
            told(&found.log);
            found.declare_stuck();
        } else {
            for polled in &self.polled {
                if polled.input.number == stage {
                    told(&polled.input.log);
                    polled.input.counters.gather_timeouts.add(1);
                    polled.slot.declare_stuck();
                }
            }
            for service in &self.services {
                if service.input.number == stage {
                    told(&service.input.log);
                }
            }
        }
        if let Some(given_up) = self.given_up.get(stage) {
            given_up.notify_waiters();
        }
        if worker {
            if self.reactor.workers() < self.workers * 4 {
                self.reactor.replace_worker(core, self.inputs);
            } else {
                self.log.error("too many threads hang in plugins; no more are started");
            }
        }
        for input in self.all_inputs() {
            let chunks =
                std::mem::take(&mut *input.given_up.lock().unwrap_or_else(PoisonError::into_inner));
            for (source, sequence) in chunks {
                let this = Arc::clone(self);
                tokio::task::spawn_blocking(move || {
                    this.spare.with(|worker| source.pass_over(&this.core, worker, sequence));
                });
            }
        }
    }

    /// Works until it is time to stop.
    async fn work(self: &Arc<Self>, signals: &mut Signals) {
        self.spawn_other_signals(signals);
        let wait = match self.mode {
            Mode::Run => {
                // Runs when all that was started waits for the first time.
                tokio::spawn(async { resident::release_code() });
                let signal = signals.end().await;
                return self.log.info(format_args!("{signal}: the agent stops"));
            }
            Mode::Once(wait) | Mode::Test(wait) => wait,
        };
        let differential: Vec<_> = self.polled.iter().filter(|p| p.differential).collect();
        for polled in &differential {
            let (this, gather) = (Arc::clone(self), Arc::clone(polled));
            let unseen = move || this.spare.with(|worker| gather.gather_unseen(&this.core, worker));
            self.blocking(polled.input.number, unseen).await;
        }
        if !differential.is_empty() {
            // Long enough for differences to mean something.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        for polled in &self.polled {
            let (this, gather) = (Arc::clone(self), Arc::clone(polled));
            let done = self
                .blocking(polled.input.number, move || {
                    this.spare.with(|worker| gather.gather(&this.core, worker))
                })
                .await;
            if done != Some(true) {
                self.failed_gathers.fetch_add(1, Ordering::Relaxed);
            }
        }
        let deadline = Instant::now() + wait;
        while self.reactor.has_finite() && wait.is_zero() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::select! {
            () = tokio::time::sleep_until(deadline.into()) => {}
            _ = signals.end() => {}
        }
    }

    /// SIGUSR1 flushes. SIGHUP must not end the agent as it does by default.
    fn spawn_other_signals(self: &Arc<Self>, signals: &mut Signals) {
        let Some((mut flush, mut reload)) = signals.others.take() else { return };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = flush.recv() => {
                        for index in 0..this.core.outputs.len() {
                            let agent = Arc::clone(&this);
                            tokio::task::spawn_blocking(move || agent.flush(index, false));
                        }
                    }
                    _ = reload.recv() => this.log.warn(
                        "SIGHUP: the configuration is not read again while the agent runs; restart it",
                    ),
                }
            }
        });
    }

    /// Writes what waits for an output.
    fn flush(&self, index: usize, only_full: bool) -> Flushed {
        self.spare.with(|worker| {
            let call = Arc::clone(&worker.call);
            self.core.with_output(index, &call, |output, host| output.flush(only_full, host))
        })
    }

    /// Stops in order: inputs, stages, outputs, settlements, everything.
    async fn stop(self: &Arc<Self>, signals: &mut Signals) -> ExitCode {
        let deadline = Instant::now() + self.stop_timeout;
        self.stopping.store(true, Ordering::Release);
        let this = Arc::clone(self);
        let stopped = tokio::task::spawn_blocking(move || this.stop_blocking(deadline));
        let lost = tokio::select! {
            lost = stopped => lost.unwrap_or(u64::MAX),
            // The stop has a deadline of its own; a second signal ends it at once.
            signal = signals.end() => {
                self.log.error(format_args!("{signal} again: the agent ends at once"));
                return ExitCode::FAILURE;
            }
            () = tokio::time::sleep(self.stop_timeout * 2 + Duration::from_secs(5)) => {
                self.log.error("the agent did not stop in time; what is left is lost");
                u64::MAX
            }
        };
        self.log.logger().flush();
        let once = self.mode != Mode::Run;
        let rejected = self.core.outputs.iter().any(|o| o.counters.metrics_rejected.get() > 0);
        let failed = self.failed_gathers.load(Ordering::Relaxed) > 0;
        if lost > 0 || (once && (failed || rejected)) {
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }

    fn stop_blocking(self: &Arc<Self>, deadline: Instant) -> u64 {
        // 1. Inputs take nothing more in. What peers have handed over already is read.
        let reading = Instant::now() + (deadline - Instant::now()) / 3;
        // Peers whose connection the kernel has taken may have handed over everything already.
        self.reactor.drain(reading);
        for service in &self.services {
            service.pause();
        }
        let read = || -> u64 {
            self.services.iter().map(|service| service.input.counters.bytes_read.get()).sum()
        };
        let mut before = None;
        while before != Some(read()) && Instant::now() < reading {
            before = Some(read());
            self.reactor.drain(reading);
        }
        self.reactor.pause();
        self.reactor.wait_idle(reading);
        // Gathers and ticks that run bring what they have on its way.
        self.spare.close(reading);
        // 2. Stages give what they hold, each into the next.
        self.spare.with(|worker| {
            for index in 0..self.core.processors.len() {
                self.core.control_processor(worker, index, Control::Stop);
            }
            for index in 0..self.core.aggregators.len() {
                self.core.control_aggregator(worker, index, Control::Stop);
            }
        });
        // 3. Outputs write what waits.
        let mut lost = 0;
        let call = CallSlot::default();
        for index in 0..self.core.outputs.len() {
            lost += self.core.with_output(index, &call, |output, host| {
                let lost = output.close(deadline, host);
                if lost > 0 {
                    output.log.error(format_args!(
                        "{lost} points could not be written before the stop and are lost"
                    ));
                }
                lost
            });
        }
        let flow = self.flow();
        if flow.gathered > 0 && flow.kept == 0 && !matches!(self.mode, Mode::Test(_)) {
            self.tell_nothing_kept(flow);
        }
        // 4. Settlements reach the inputs, which then end.
        for service in &self.services {
            service.settle();
            let left = deadline.saturating_duration_since(Instant::now());
            service.stop(left.max(Duration::from_secs(1)));
        }
        self.core.stop_stages(deadline);
        self.reactor.stop();
        for input in self.all_inputs() {
            input.tell_unseen();
        }
        lost
    }
}

/// Notices that nothing of what comes in is kept.
#[derive(Default)]
struct Kept {
    gathered: u64,
    quiet: u32,
}

/// Points that came in, that reached an output, and that outputs left out.
#[derive(Clone, Copy)]
struct Flow {
    gathered: u64,
    kept: u64,
    filtered: u64,
}

impl Kept {
    /// Looks at which more points came, until that is told.
    const LOOKS: u32 = 3;
    /// The same where a stage waits for the clock: its windows may be longer than the looks are apart.
    const LOOKS_AT_WINDOWS: u32 = 60;

    /// Whether more points came, time and again, and none was kept.
    fn is_nothing(&mut self, flow: Flow, has_windows: bool) -> bool {
        if flow.kept > 0 || flow.gathered == self.gathered {
            return false;
        }
        self.gathered = flow.gathered;
        self.quiet += 1;
        self.quiet >= if has_windows { Self::LOOKS_AT_WINDOWS } else { Self::LOOKS }
    }
}

impl Running {
    fn flow(&self) -> Flow {
        let outputs = &self.core.outputs;
        Flow {
            gathered: self.all_inputs().map(|input| input.counters.metrics_gathered.get()).sum(),
            kept: outputs.iter().map(|output| output.counters.metrics_added.get()).sum(),
            filtered: outputs.iter().map(|output| output.counters.metrics_filtered.get()).sum(),
        }
    }

    /// Whether a stage may hold points until a time that is to come.
    fn has_windows(&self) -> bool {
        let processors = self.core.processors.iter().map(|stage| &stage.timer);
        let aggregators = self.core.aggregators.iter().map(|stage| &stage.timer);
        processors.chain(aggregators).any(|timer| timer.is_set())
    }

    /// Says, once, that nothing is kept.
    fn tell_nothing_kept(&self, flow: Flow) {
        if !self.told_nothing.swap(true, Ordering::Relaxed) {
            self.log.warn(format_args!(
                "{} points came in and none reached an output ({} were left out by the outputs' \
                 selectors); check namepass, tagpass and the processors",
                flow.gathered, flow.filtered
            ));
        }
    }
}

fn text_of(error: &CallError) -> String {
    match error {
        CallError::Plugin(error) => error.to_string(),
        CallError::Panicked(message) => format!("it panicked: {message}"),
        CallError::Unavailable(reason) => reason.clone(),
        CallError::TooLate => "its call took too long".to_owned(),
    }
}

/// Listens for signals from the beginning, so that none ends the process unheard.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    others: Option<(Signal, Signal)>,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            others: Some((signal(SignalKind::user_defined1())?, signal(SignalKind::hangup())?)),
        })
    }

    /// Waits for one that ends the agent.
    async fn end(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Small random numbers for jitter.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        let now = Clock::System.now_ns() as u64;
        Random((now ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1)
    }

    /// A number from 0 to below `bound`; 0 if the bound is not positive.
    fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        if bound <= 0 { 0 } else { (self.0 >> 1) as i64 % bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_kept_is_noticed_at_the_third_look_with_new_points() {
        let flow = |gathered, kept| Flow { gathered, kept, filtered: 0 };
        let mut kept = Kept::default();
        let looks = [flow(0, 0), flow(5, 0), flow(5, 0), flow(9, 0)];
        assert!(looks.into_iter().all(|flow| !kept.is_nothing(flow, false)));
        assert!(kept.is_nothing(flow(12, 0), false));
        assert!(!kept.is_nothing(flow(13, 1), false));
    }

    #[test]
    fn windows_may_last_ten_minutes_before_nothing_is_told() {
        let mut kept = Kept::default();
        let mut look = |gathered| kept.is_nothing(Flow { gathered, kept: 0, filtered: 0 }, true);
        assert!((1..60).all(|gathered| !look(gathered)));
        assert!(look(60));
    }
}
