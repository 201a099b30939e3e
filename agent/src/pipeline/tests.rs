//! Whole pipelines over plugins that are linked into the test: what becomes of points and of
//! delivery handles when stages filter, split, merge, panic, refuse or fail.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::time::Duration;

use headwater_plugin_api::batch::{Batch, BatchBuilder};
use headwater_plugin_api::plugin::{
    Capabilities, ConcurrentProcessor, Context, Control, Delivery, Error, Family as _, Framing,
    Host, Intake, Outcome, Output, ParseSink, Parser, Plugin, Processor, ServiceInput, Settlement,
    Shared, Sink,
};
use headwater_plugin_api::testkit::line;

use super::{Mode, RunRequest, run};
use crate::commands::schemas::RegistrySchemas;
use crate::config::{self, Environment, LoadOptions};
use crate::loader::{Registry, Welcome};
use crate::observe::testing::{Folder, MemorySink};
use crate::observe::{LogOptions, Logger, Metrics, log};
use crate::state::Store;

/// What the plugins of one test saw, found by the name in their options.
#[derive(Default, Clone)]
struct Seen {
    settlements: Vec<Settlement>,
    written: Vec<String>,
    writes: u64,
    /// What a processor was told, and how many of its calls overlapped.
    told: Vec<String>,
    overlap: u64,
}

static SEEN: LazyLock<Mutex<BTreeMap<String, Seen>>> = LazyLock::new(Mutex::default);

fn with_seen<R>(test: &str, run: impl FnOnce(&mut Seen) -> R) -> R {
    run(SEEN.lock().unwrap().entry(test.to_owned()).or_default())
}

headwater_plugin_api::config! {
    /// Pushes numbered messages that it wants to hear of.
    struct CounterConfig {
        /// The test.
        test: String = String::new(),
        /// Messages.
        messages: u64 = 10,
        /// Points in each.
        points: u64 = 4,
        /// Threads that push them.
        threads: u64 = 1,
    }
}

struct CounterInput(CounterConfig);

impl Plugin for CounterInput {
    type Config = CounterConfig;
    const NAME: &'static str = "counter";
    const SUMMARY: &'static str = "Counts.";
    const CAPABILITIES: Capabilities = Capabilities::PARSED;

    fn new(config: CounterConfig, _host: Host) -> Result<Self, Error> {
        Ok(CounterInput(config))
    }
}

impl ServiceInput for CounterInput {
    fn start(&mut self, _cx: &Context<'_>, intake: Intake) -> Result<(), Error> {
        let (messages, points, threads) = (self.0.messages, self.0.points, self.0.threads);
        let push = |thread: u64| {
            for message in (thread..messages).step_by(threads as usize) {
                let text: String =
                    (0..points).map(|i| format!("{}\n", message * 1000 + i)).collect();
                intake.push_bytes(Framing::Messages, text.as_bytes(), &[], Some(message), 0)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|n| scope.spawn(move || push(n))).collect();
            let own = push(0);
            others.into_iter().fold(own, |all, other| all.and(other.join().unwrap()))
        })
    }

    fn settled(&mut self, _cx: &Context<'_>, settlements: &[Settlement]) {
        with_seen(&self.0.test, |seen| seen.settlements.extend(settlements));
    }
}

headwater_plugin_api::config! {
    /// No options.
    struct NoConfig {}
}

/// Parses a number on each line.
struct NumberParser(BatchBuilder);

impl Plugin for NumberParser {
    type Config = NoConfig;
    const NAME: &'static str = "numbers";
    const SUMMARY: &'static str = "Parses numbers.";
    const CAPABILITIES: Capabilities = Capabilities::STATELESS.and(Capabilities::SPLITTABLE);

    fn new(_config: NoConfig, _host: Host) -> Result<Self, Error> {
        Ok(NumberParser(BatchBuilder::default()))
    }
}

impl Parser for NumberParser {
    fn parse(
        &mut self,
        _cx: &Context<'_>,
        data: &[u8],
        out: &mut ParseSink<'_>,
    ) -> Result<(), Error> {
        let mut offset = 0;
        for text in data.split_inclusive(|byte| *byte == b'\n') {
            let words = String::from_utf8_lossy(text);
            match words.trim().parse::<i64>() {
                Ok(n) => {
                    let parity = if n % 2 == 0 { "even" } else { "odd" };
                    self.0.point("n").tag("parity", parity).field("n", n).finish(n)?;
                }
                Err(_) => out.bad(offset, text.len(), offset, "not a number"),
            }
            offset += text.len();
            out.lines(1);
        }
        if let Some(batch) = self.0.finish() {
            out.push(batch);
        }
        Ok(())
    }
}

headwater_plugin_api::config! {
    /// Does one thing to batches.
    struct DoConfig {
        /// pass, halve, drop, split, rebuild, panic (on a multiple of three), fail, hold
        what: String = "pass".into(),
    }
}

struct Do {
    what: String,
    held: Vec<Batch>,
}

impl Plugin for Do {
    type Config = DoConfig;
    const NAME: &'static str = "do";
    const SUMMARY: &'static str = "Does one thing.";

    fn new(config: DoConfig, _host: Host) -> Result<Self, Error> {
        Ok(Do { what: config.what, held: Vec::new() })
    }
}

impl Processor for Do {
    fn process(
        &mut self,
        _cx: &Context<'_>,
        mut batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        match self.what.as_str() {
            "halve" => {
                batch.retain(|_, row| row.time % 2 == 0);
                out.push(batch);
            }
            "drop" => drop(batch),
            "split" => {
                let mut other = batch.clone();
                batch.retain(|_, row| row.time % 2 == 0);
                other.retain(|_, row| row.time % 2 == 1);
                out.push(batch);
                out.push(other);
            }
            "rebuild" => {
                let mut builder = BatchBuilder::default();
                for point in batch.points() {
                    builder.copy_point(&point)?;
                }
                let mut new = builder.finish().ok_or_else(|| Error::failed("nothing"))?;
                new.set_delivery(batch.take_delivery());
                out.push(new);
            }
            "panic" => {
                assert!(batch.time_range().0 / 1000 % 3 != 0, "a multiple of three");
                out.push(batch);
            }
            "fail" => return Err(Error::failed("it never works")),
            "hold" => self.held.push(batch),
            _ => out.push(batch),
        }
        Ok(())
    }

    fn control(
        &mut self,
        _cx: &Context<'_>,
        control: Control,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if control == Control::Stop && !self.held.is_empty() {
            // One batch out of many, which carries the fate of all.
            let mut builder = BatchBuilder::default();
            let mut deliveries = Vec::new();
            for mut batch in self.held.drain(..) {
                for point in batch.points() {
                    builder.copy_point(&point)?;
                }
                deliveries.extend(batch.take_delivery());
            }
            if let Some(mut merged) = builder.finish() {
                merged.set_delivery(Delivery::join(deliveries));
                out.push(merged);
            }
        }
        Ok(())
    }
}

headwater_plugin_api::config! {
    /// Sees which of its calls overlap.
    struct MeetConfig {
        /// The test.
        test: String = String::new(),
        /// Whether several threads may call it.
        agrees: bool = true,
        /// Panics on the message of this number.
        panics: i64 = -1,
    }
}

/// Which calls are in a [`Meet`].
#[derive(Default)]
struct Inside {
    processing: u64,
    most: u64,
    alone: bool,
}

struct Meet {
    config: MeetConfig,
    inside: Mutex<Inside>,
    met: Condvar,
}

impl Meet {
    /// An exclusive call.
    fn alone(&self, what: String) {
        {
            let mut inside = self.inside.lock().unwrap();
            assert!(inside.processing == 0 && !std::mem::replace(&mut inside.alone, true));
        }
        std::thread::yield_now();
        let mut inside = self.inside.lock().unwrap();
        assert_eq!(inside.processing, 0);
        inside.alone = false;
        with_seen(&self.config.test, |seen| {
            seen.told.push(what);
            seen.overlap = seen.overlap.max(inside.most);
        });
    }
}

impl Plugin for Meet {
    type Config = MeetConfig;
    const NAME: &'static str = "meet";
    const SUMMARY: &'static str = "Sees which calls overlap.";

    fn new(config: MeetConfig, _host: Host) -> Result<Self, Error> {
        Ok(Meet { config, inside: Mutex::default(), met: Condvar::new() })
    }
}

impl Processor for Meet {
    const SHARED: Option<Shared<Self>> = Some(Shared::new());

    fn process(
        &mut self,
        _cx: &Context<'_>,
        batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        self.alone("process".to_owned());
        out.push(batch);
        Ok(())
    }

    fn tick(&mut self, cx: &Context<'_>, _out: &mut Sink<'_>) -> Result<Option<i64>, Error> {
        self.alone("tick".to_owned());
        Ok(Some(cx.now() + 1_000_000))
    }

    fn control(
        &mut self,
        _cx: &Context<'_>,
        control: Control,
        _out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        self.alone(match control {
            Control::Reached { time_ns, .. } => format!("reached {time_ns}"),
            other => format!("{other:?}"),
        });
        Ok(())
    }
}

impl ConcurrentProcessor for Meet {
    fn agree(&mut self, _cx: &Context<'_>) -> bool {
        self.config.agrees
    }

    fn process_shared(
        &self,
        _cx: &Context<'_>,
        batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let mut inside = self.inside.lock().unwrap();
        assert!(!inside.alone);
        inside.processing += 1;
        inside.most = inside.most.max(inside.processing);
        self.met.notify_all();
        // Until two have met, each waits for another; not for ever, since a tick that waits lets
        // nobody else in.
        if inside.most < 2 {
            inside = self.met.wait_timeout(inside, Duration::from_millis(10)).unwrap().0;
        }
        inside.processing -= 1;
        drop(inside);
        assert!(batch.time_range().0 / 1000 != self.config.panics, "it was to panic");
        out.push(batch);
        Ok(())
    }
}

headwater_plugin_api::config! {
    /// Keeps what it is given.
    struct KeepConfig {
        /// The test.
        test: String = String::new(),
        /// So many of the first writes fail.
        failures: u64 = 0,
        /// Whether everything is refused.
        refuse: bool = false,
        /// So many of the first writes panic.
        panics: u64 = 0,
    }
}

struct Keep(KeepConfig);

impl Plugin for Keep {
    type Config = KeepConfig;
    const NAME: &'static str = "keep";
    const SUMMARY: &'static str = "Keeps.";

    fn new(config: KeepConfig, _host: Host) -> Result<Self, Error> {
        Ok(Keep(config))
    }
}

impl Output for Keep {
    fn write(&mut self, _cx: &Context<'_>, batches: &[Batch]) -> Result<(), Error> {
        let write = with_seen(&self.0.test, |seen| {
            seen.writes += 1;
            seen.writes
        });
        if self.0.refuse {
            return Err(Error::refused("it takes nothing"));
        }
        assert!(write > self.0.panics, "it panics at first");
        if write <= self.0.failures {
            return Err(Error::failed("it fails at first"));
        }
        let lines: Vec<String> =
            batches.iter().flat_map(|batch| batch.points().map(|p| line(&p))).collect();
        with_seen(&self.0.test, |seen| seen.written.extend(lines));
        Ok(())
    }
}

headwater_plugin_api::family! {
    name: "test",
    services: [CounterInput],
    parsers: [NumberParser],
    processors: [Do, Meet],
    outputs: [Keep],
}

struct NoEnvironment;

impl Environment for NoEnvironment {
    fn var(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Runs a configuration once and gives what its plugins saw, what was logged and the exit code.
fn run_once(test: &str, input: &str, stages: &str, output: &str) -> (Seen, String, ExitCode) {
    run_within("20s", test, input, stages, output)
}

/// The same with another time to stop in.
fn run_within(
    stop_timeout: &str,
    test: &str,
    input: &str,
    stages: &str,
    output: &str,
) -> (Seen, String, ExitCode) {
    let folder = Folder::new(test);
    let file: PathBuf = folder.path().join("test.toml");
    let text = format!(
        "[agent]\nomit_hostname = true\nworkers = 3\nstop_timeout = '{stop_timeout}'\nmetric_batch_size = 4\n\
         [[inputs.counter]]\ntest = '{test}'\ndata_format = 'numbers'\n{input}\n\
         {stages}\n\
         [[outputs.keep]]\ntest = '{test}'\n{output}\n"
    );
    std::fs::write(&file, text).unwrap();
    let welcome = Welcome { memory: None, panic: |_| {} };
    let registry = Arc::new(Registry::new(Vec::new(), vec![Family::root()], welcome));
    let options = LoadOptions { files: vec![file], ..LoadOptions::default() };
    let (plan, diagnostics) = config::load(&options, &NoEnvironment, &RegistrySchemas(&registry));
    let sink = MemorySink::default();
    let logger =
        Logger::with_sink(LogOptions::default(), log::system_clock(), Box::new(sink.clone()));
    let code = run(RunRequest {
        plan: plan.unwrap_or_else(|| panic!("{diagnostics:?}")),
        registry,
        logger,
        metrics: Arc::new(Metrics::new("0")),
        store: Arc::new(Store::in_memory()),
        mode: Mode::Once(Duration::ZERO),
        on_ready: Box::new(|| {}),
        on_stopping: Box::new(|| {}),
    });
    (with_seen(test, |seen| seen.clone()), sink.text(), code)
}

fn times(seen: &Seen) -> Vec<i64> {
    let mut times: Vec<i64> =
        seen.written.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    times.sort_unstable();
    times
}

/// Each message of the source settled exactly once, with the outcome that the test expects for it.
fn settled(seen: &Seen, messages: u64, expected: impl Fn(u64) -> Outcome) {
    let mut tokens: Vec<(u64, Outcome)> =
        seen.settlements.iter().map(|s| (s.token, s.outcome)).collect();
    tokens.sort_unstable();
    let wanted: Vec<(u64, Outcome)> = (0..messages).map(|n| (n, expected(n))).collect();
    assert_eq!(tokens, wanted);
}

fn all() -> Vec<i64> {
    (0..10).flat_map(|m| (0..4).map(move |i| m * 1000 + i)).collect()
}

#[test]
fn every_point_arrives_once_and_settles_as_delivered() {
    let (seen, log, code) = run_once("plain", "", "", "");
    assert_eq!(times(&seen), all(), "{log}");
    settled(&seen, 10, |_| Outcome::Delivered);
    assert_eq!(code, ExitCode::SUCCESS);
}

#[test]
fn a_filter_that_keeps_some_delivers() {
    let (seen, ..) = run_once("halve", "", "[[processors.do]]\nwhat = 'halve'", "");
    assert_eq!(times(&seen).len(), 20);
    settled(&seen, 10, |_| Outcome::Delivered);
}

#[test]
fn a_stage_that_drops_all_settles_as_dropped() {
    let (seen, ..) = run_once("drop", "", "[[processors.do]]\nwhat = 'drop'", "");
    assert!(seen.written.is_empty());
    settled(&seen, 10, |_| Outcome::Dropped);
}

#[test]
fn selectors_of_outputs_drop() {
    let (seen, ..) = run_once("select", "", "", "namepass = ['other']");
    assert!(seen.written.is_empty());
    settled(&seen, 10, |_| Outcome::Dropped);
}

#[test]
fn parts_settle_as_one() {
    let (seen, ..) = run_once(
        "parts",
        "",
        "[[processors.do]]\nwhat = 'split'\n[[processors.do]]\nwhat = 'rebuild'\norder = 2",
        "",
    );
    assert_eq!(times(&seen), all());
    settled(&seen, 10, |_| Outcome::Delivered);
}

#[test]
fn what_goes_past_a_stage_settles_with_what_it_took() {
    let stage = "[[processors.do]]\nwhat = 'fail'\n[processors.do.tagpass]\nparity = ['odd']";
    let (seen, log, _) = run_once("past", "", stage, "");
    assert!(times(&seen).iter().all(|time| time % 2 == 0));
    assert_eq!(seen.written.len(), 20);
    settled(&seen, 10, |_| Outcome::Lost);
    assert!(log.contains("it never works"), "{log}");
}

#[test]
fn merged_batches_carry_every_handle_and_the_stop_emits_them() {
    let (seen, ..) = run_once("merge", "", "[[processors.do]]\nwhat = 'hold'", "");
    assert_eq!(times(&seen), all());
    settled(&seen, 10, |_| Outcome::Delivered);
}

#[test]
fn a_panic_costs_its_batch_and_the_instance_pauses() {
    let (seen, log, _) = run_once("panic", "", "[[processors.do]]\nwhat = 'panic'", "");
    assert!(log.contains("panicked"), "{log}");
    // The first message is a multiple of three; the stage then restarts with back-off, during which
    // what comes is aborted too. All messages settle, each once.
    assert_eq!(seen.settlements.len(), 10);
    let mut outcomes: Vec<Outcome> = seen.settlements.iter().map(|s| s.outcome).collect();
    outcomes.dedup();
    assert!(outcomes.contains(&Outcome::Aborted), "{outcomes:?}");
}

#[test]
fn failed_writes_are_repeated() {
    let (seen, log, code) = run_once("retry", "", "", "failures = 3");
    assert_eq!(times(&seen), all(), "{log}");
    settled(&seen, 10, |_| Outcome::Delivered);
    assert_eq!(code, ExitCode::SUCCESS);
}

#[test]
fn a_write_that_panics_is_repeated_on_another_instance() {
    let (seen, log, _) = run_once("panics", "", "", "panics = 2");
    assert_eq!(times(&seen), all(), "{log}");
    settled(&seen, 10, |_| Outcome::Delivered);
}

#[test]
fn what_an_output_refuses_for_good_is_lost_and_told() {
    let (seen, log, code) = run_once("refuse", "", "", "refuse = true");
    settled(&seen, 10, |_| Outcome::Lost);
    assert!(log.contains("refused for good"), "{log}");
    assert_eq!(code, ExitCode::FAILURE);
}

#[test]
fn what_cannot_be_written_by_the_end_is_aborted_and_told() {
    let input = "messages = 3";
    let (seen, log, code) = run_within("1s", "never", input, "", "failures = 1000000");
    settled(&seen, 3, |_| Outcome::Aborted);
    assert!(log.contains("could not be written before the stop"), "{log}");
    assert_eq!(code, ExitCode::FAILURE);
}

#[test]
fn two_outputs_settle_with_the_worse_of_two() {
    let second = "namepass = ['n']\n[[outputs.keep]]\ntest = 'two-b'\nrefuse = true";
    let (seen, ..) = run_once("two", "", "", second);
    assert_eq!(times(&seen), all());
    settled(&seen, 10, |_| Outcome::Lost);
}

#[test]
fn a_processor_that_agrees_is_called_by_several_threads_and_ticks_alone() {
    let stage = "[[processors.meet]]\ntest = 'meet'";
    let input = "messages = 400\nthreads = 2";
    let (seen, log, code) = run_once("meet", input, stage, "");
    let wanted: Vec<i64> = (0..400).flat_map(|m| (0..4).map(move |i| m * 1000 + i)).collect();
    assert_eq!(times(&seen), wanted, "{log}");
    settled(&seen, 400, |_| Outcome::Delivered);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(seen.overlap >= 2, "{}", seen.overlap);
    // It hears how far its source has come before it is told to stop.
    let reached = seen.told.iter().position(|told| told == "reached 399003");
    let stop = seen.told.iter().position(|told| told == "Stop");
    assert!(reached.is_some() && reached < stop, "{:?}", seen.told);
    assert!(!seen.told.iter().any(|told| told == "process"));
}

#[test]
fn a_processor_that_does_not_agree_is_called_by_one_at_a_time() {
    let stage = "[[processors.meet]]\ntest = 'apart'\nagrees = false";
    let (seen, log, _) = run_once("apart", "messages = 100\nthreads = 2", stage, "");
    assert_eq!(seen.written.len(), 400, "{log}");
    assert_eq!(seen.told.iter().filter(|told| *told == "process").count(), 100);
    assert!(!seen.told.iter().any(|told| told.starts_with("reached")));
}

#[test]
fn a_panic_in_one_of_several_calls_costs_the_instance_and_a_pause() {
    let stage = "[[processors.meet]]\ntest = 'meet-panic'\npanics = 3";
    let (seen, log, _) = run_once("meet-panic", "messages = 40\nthreads = 2", stage, "");
    assert!(log.contains("panicked"), "{log}");
    assert_eq!(seen.settlements.len(), 40);
    assert!(seen.settlements.iter().any(|s| s.outcome == Outcome::Aborted));
}
