//! The agent's log. Each line is one write, so that lines of several threads never mix.
//!
//! A logger is handed on as an `Arc`, and whoever has something to tell owns a [`Log`], which knows
//! its source and level: a message below the level costs one comparison.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use headwater_plugin_api::plugin::Level;

use super::log_file::{LineSink, LogFile, Rotation, StandardError};
use super::log_line::{Format, Line, Source, push_line};
use super::repeats::{Repeated, Repeats};
use super::zone::Zone;

/// What `[agent]` and the command line say about the log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Lines of lesser weight are not written, unless a plugin has a level of its own.
    pub level: Level,
    pub format: Format,
    /// `None` for standard error.
    pub file: Option<PathBuf>,
    pub rotation: Rotation,
    pub zone: Zone,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            level: Level::Information,
            format: Format::Text,
            file: None,
            rotation: Rotation::default(),
            zone: Zone::utc(),
        }
    }
}

/// Tells the time: nanoseconds since the Unix epoch.
pub type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Box::new(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    })
}

/// Writes the log.
pub struct Logger {
    level: Level,
    format: Format,
    zone: Zone,
    clock: Clock,
    state: Mutex<State>,
    /// Lines that the log file did not take; the first one is explained.
    failed_writes: AtomicU64,
}

struct State {
    sink: Box<dyn LineSink>,
    repeats: Repeats,
    line: String,
    ended: Vec<Repeated>,
}

impl Logger {
    /// Opens the log.
    ///
    /// # Errors
    /// The file cannot be opened: a sentence with its name.
    pub fn open(options: LogOptions, clock: Clock) -> Result<Arc<Logger>, String> {
        let sink: Box<dyn LineSink> = match &options.file {
            None => Box::new(StandardError),
            Some(path) => {
                Box::new(LogFile::open(path, options.rotation, clock()).map_err(|error| {
                    format!("the log file {} cannot be opened: {error}", path.display())
                })?)
            }
        };
        Ok(Logger::with_sink(options, clock, sink))
    }

    /// A log that goes to standard error.
    pub fn to_standard_error(level: Level) -> Arc<Logger> {
        let options = LogOptions { level, ..LogOptions::default() };
        Logger::with_sink(options, system_clock(), Box::new(StandardError))
    }

    /// A log that goes where the caller says.
    pub fn with_sink(options: LogOptions, clock: Clock, sink: Box<dyn LineSink>) -> Arc<Logger> {
        let state =
            State { sink, repeats: Repeats::default(), line: String::new(), ended: Vec::new() };
        Arc::new(Logger {
            level: options.level,
            format: options.format,
            zone: options.zone,
            clock,
            state: Mutex::new(state),
            failed_writes: AtomicU64::new(0),
        })
    }

    /// The handle of a plugin: category (`inputs`), name, alias or "", and its own `log_level`.
    pub fn log_of(
        self: &Arc<Self>,
        category: &str,
        plugin: &str,
        alias: &str,
        level: Option<Level>,
    ) -> Log {
        let (category, plugin, alias) = (category.to_owned(), plugin.to_owned(), alias.to_owned());
        let source = Arc::new(Source { category, plugin, alias });
        Log { logger: self.clone(), source, level: level.unwrap_or(self.level), errors: None }
    }

    /// The handle of the agent itself.
    pub fn agent(self: &Arc<Self>) -> Log {
        let source = Arc::new(Source::agent());
        Log { logger: self.clone(), source, level: self.level, errors: None }
    }

    /// Tells the counts of repeated lines whose time is over. To be called every few seconds.
    pub fn tick(&self) {
        let now_ns = (self.clock)();
        let mut state = self.lock();
        let State { repeats, ended, .. } = &mut *state;
        repeats.end_due(now_ns, ended);
        self.write_ended(&mut state, now_ns);
    }

    /// Tells the counts of all repeated lines. To be called before the process ends.
    pub fn flush(&self) {
        let now_ns = (self.clock)();
        let mut state = self.lock();
        let State { repeats, ended, .. } = &mut *state;
        repeats.end_all(ended);
        self.write_ended(&mut state, now_ns);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, source: &Arc<Source>, level: Level, message: &str, collapse: bool) {
        let now_ns = (self.clock)();
        let mut state = self.lock();
        if collapse {
            let State { repeats, ended, .. } = &mut *state;
            let shown = repeats.admit(now_ns, source, level, message, ended);
            self.write_ended(&mut state, now_ns);
            if !shown {
                return;
            }
        }
        self.write_line(&mut state, &Line { time_ns: now_ns, level, source, message, repeated: 0 });
    }

    fn write_ended(&self, state: &mut State, now_ns: i64) {
        for ended in std::mem::take(&mut state.ended) {
            let Repeated { source, level, message, count } = &ended;
            let line = Line { time_ns: now_ns, level: *level, source, message, repeated: *count };
            self.write_line(state, &line);
        }
    }

    fn write_line(&self, state: &mut State, line: &Line<'_>) {
        state.line.clear();
        push_line(&mut state.line, &self.format, &self.zone, line);
        let written = state.sink.write_line(state.line.as_bytes(), line.time_ns);
        let complaint = match written {
            Ok(None) => return,
            Ok(Some(complaint)) => complaint,
            Err(error) => {
                // Standard error takes what the file did not; there is nowhere to go after it.
                let _ = StandardError.write_line(state.line.as_bytes(), line.time_ns);
                if self.failed_writes.fetch_add(1, Ordering::Relaxed) > 0 {
                    return;
                }
                format!("the log file cannot be written: {error}; the log goes to standard error")
            }
        };
        state.line.clear();
        let told = Line {
            level: Level::Warning,
            source: &Source::agent(),
            message: &complaint,
            repeated: 0,
            ..*line
        };
        push_line(&mut state.line, &self.format, &self.zone, &told);
        let _ = StandardError.write_line(state.line.as_bytes(), line.time_ns);
    }
}

/// The log as one source sees it. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Log {
    logger: Arc<Logger>,
    source: Arc<Source>,
    level: Level,
    errors: Option<&'static AtomicU64>,
}

impl Log {
    /// The same, counting its errors in a self-metric.
    #[must_use]
    pub fn counting_errors(mut self, errors: &'static AtomicU64) -> Log {
        self.errors = Some(errors);
        self
    }

    /// The logger behind it.
    pub fn logger(&self) -> &Arc<Logger> {
        &self.logger
    }

    /// `inputs.cpu::alias`
    pub fn name(&self) -> String {
        self.source.name()
    }

    /// Whether a line of this weight would be written.
    #[inline]
    pub fn enabled(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Writes a line. If it repeats one of the last seconds, it is counted instead.
    pub fn log(&self, level: Level, message: impl Display) {
        self.tell(level, &message, true);
    }

    /// Writes a line whatever came before: for what must be told one by one.
    pub fn log_each(&self, level: Level, message: impl Display) {
        self.tell(level, &message, false);
    }

    pub fn error(&self, message: impl Display) {
        self.log(Level::Error, message);
    }

    pub fn warn(&self, message: impl Display) {
        self.log(Level::Warning, message);
    }

    pub fn info(&self, message: impl Display) {
        self.log(Level::Information, message);
    }

    pub fn debug(&self, message: impl Display) {
        self.log(Level::Debug, message);
    }

    fn tell(&self, level: Level, message: &dyn Display, collapse: bool) {
        if level == Level::Error
            && let Some(errors) = self.errors
        {
            errors.fetch_add(1, Ordering::Relaxed);
        }
        if self.enabled(level) {
            self.logger.write(&self.source, level, &message.to_string(), collapse);
        }
    }

    /// Tells of a panic, which may have come while this thread wrote a line: waiting for the log would
    /// then never end.
    pub fn panicked(&self, message: &str) {
        let logger = &self.logger;
        let line = Line {
            time_ns: (logger.clock)(),
            level: Level::Error,
            source: &self.source,
            message,
            repeated: 0,
        };
        match logger.state.try_lock() {
            Ok(mut state) => logger.write_line(&mut state, &line),
            Err(TryLockError::Poisoned(state)) => {
                logger.write_line(&mut state.into_inner(), &line);
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                push_line(&mut text, &logger.format, &logger.zone, &line);
                let _ = StandardError.write_line(text.as_bytes(), line.time_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::{Folder, MemorySink};
    use std::sync::atomic::AtomicI64;

    const START: i64 = 1_795_251_600_000_000_000;

    fn logger(level: Level) -> (Arc<Logger>, MemorySink, Arc<AtomicI64>) {
        let sink = MemorySink::default();
        let now = Arc::new(AtomicI64::new(START));
        let clock = now.clone();
        let options = LogOptions { level, ..LogOptions::default() };
        let clock = Box::new(move || clock.load(Ordering::Relaxed));
        (Logger::with_sink(options, clock, Box::new(sink.clone())), sink, now)
    }

    #[test]
    fn writes_what_the_level_allows() {
        let (logger, sink, _) = logger(Level::Information);
        let log = logger.log_of("inputs", "cpu", "", None);
        log.error("e");
        log.warn("w");
        log.info(format_args!("i{}", 1));
        log.debug("d");
        logger.log_of("outputs", "file", "x", Some(Level::Debug)).debug("own level");
        logger.log_of("outputs", "file", "x", Some(Level::Error)).warn("own level");
        logger.agent().info("agent");
        assert_eq!(
            sink.text(),
            "2026-11-21T09:00:00Z E! [inputs.cpu] e\n\
             2026-11-21T09:00:00Z W! [inputs.cpu] w\n\
             2026-11-21T09:00:00Z I! [inputs.cpu] i1\n\
             2026-11-21T09:00:00Z D! [outputs.file::x] own level\n\
             2026-11-21T09:00:00Z I! [agent] agent\n"
        );
    }

    #[test]
    fn what_is_filtered_is_not_even_formatted() {
        struct Loud;
        impl Display for Loud {
            fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                panic!("formatted")
            }
        }
        let (logger, sink, _) = logger(Level::Warning);
        logger.agent().info(Loud);
        assert_eq!(sink.text(), "");
    }

    #[test]
    fn repeats_are_counted_and_told() {
        let (logger, sink, now) = logger(Level::Information);
        let log = logger.agent();
        for _ in 0..100 {
            log.error("again");
        }
        log.log_each(Level::Error, "again");
        now.fetch_add(29_000_000_000, Ordering::Relaxed);
        logger.tick();
        assert_eq!(sink.lines(), 2);
        now.fetch_add(1_000_000_000, Ordering::Relaxed);
        logger.tick();
        assert!(
            sink.text().ends_with("09:00:30Z E! [agent] again ... repeated 99 times\n"),
            "{}",
            sink.text()
        );
        log.error("last");
        log.error("last");
        logger.flush();
        logger.flush();
        assert_eq!(sink.lines(), 5);
    }

    #[test]
    fn errors_are_counted_whether_shown_or_not() {
        let (logger, _, _) = logger(Level::Error);
        let errors: &'static AtomicU64 = Box::leak(Box::default());
        let log = logger.agent().counting_errors(errors);
        for _ in 0..7 {
            log.error("again");
        }
        log.warn("no error");
        assert_eq!(errors.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn lines_of_threads_do_not_mix() {
        let folder = Folder::new("log-threads");
        let path = folder.path().join("agent.log");
        let options = LogOptions { file: Some(path.clone()), ..LogOptions::default() };
        let logger = Logger::open(options, Box::new(|| START)).unwrap();
        let names = ["a", "b", "c", "d"];
        std::thread::scope(|scope| {
            for name in names {
                let log = logger.log_of("inputs", name, "", None);
                scope.spawn(move || {
                    for _ in 0..500 {
                        log.log_each(Level::Information, name.repeat(300));
                    }
                });
            }
        });
        let text = std::fs::read_to_string(&path).unwrap();
        for name in names {
            let line = format!("2026-11-21T09:00:00Z I! [inputs.{name}] {}", name.repeat(300));
            assert_eq!(text.lines().filter(|found| *found == line).count(), 500);
        }
        assert_eq!(text.lines().count(), 2000);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let folder = Folder::new("log-open");
        let options = LogOptions { file: Some(folder.path().to_owned()), ..LogOptions::default() };
        let error = Logger::open(options, system_clock()).err().unwrap();
        assert!(error.contains("cannot be opened") && error.contains("log-open"), "{error}");
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted() {
        struct Full;
        impl LineSink for Full {
            fn write_line(&mut self, _: &[u8], _: i64) -> std::io::Result<Option<String>> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
        }
        let logger = Logger::with_sink(LogOptions::default(), Box::new(|| START), Box::new(Full));
        logger.agent().error("a test of a full disk: one");
        logger.agent().error("a test of a full disk: two");
        assert_eq!(logger.failed_writes.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn panics_are_lines_even_while_a_line_is_written() {
        let (logger, sink, _) = logger(Level::Error);
        let log = logger.agent();
        log.panicked("panic in thread main: one");
        let held = logger.lock();
        log.panicked("a test: the log is busy");
        drop(held);
        assert_eq!(sink.text(), "2026-11-21T09:00:00Z E! [agent] panic in thread main: one\n");
    }
}
