//! Reads the files side by side, gives their points to the engine and its rows to the printer.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_plugin_api::plugin::{Control, Error, Level};

use super::LEFT_OUT;
use super::csv::Csv;
use super::engine::Engine;
use super::guess::{self, Guess};
use super::host::CommandHost;
use super::interrupt;
use super::pace::Clock;
use super::parse::{Complaints, Parsers};
use super::print::Printer;
use super::progress::Progress;
use super::raw::{self, Change};
use super::remarks;
use super::rename::Rename;
use super::request::{Format, Input, SqlOptions};
use super::source::Source;
use crate::loader::Registry;
use crate::observe::log;

/// How often files that are followed are looked at, and windows closed.
const LOOK: Duration = Duration::from_millis(100);

/// Why a run ends before its end.
#[derive(Debug)]
pub enum Stop {
    /// Nobody reads what it writes.
    Closed,
    /// What is to be told.
    Failed(String),
}

impl From<String> for Stop {
    fn from(error: String) -> Stop {
        Stop::Failed(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(format!("the sql plugin: {error}"))
    }
}

/// A run over some files.
pub struct Run<'a> {
    engine: Engine,
    printer: Printer,
    host: Arc<CommandHost>,
    /// The time of points that carry none.
    default_time_ns: i64,
    /// The shortest time from one window of the statements to the next.
    pub step_ns: Option<i64>,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    parsers: Parsers,
    sources: Vec<Source>,
    /// What the files were taken for, by name.
    guesses: Vec<(String, Guess)>,
    /// All files are line protocol and hold something.
    only_lines: bool,
    clock: Clock,
    complaints: Complaints,
    /// The clock on the wall, if files are followed: then windows close by it.
    pub wall: Option<log::Clock>,
    progress: Option<Progress>,
    buffer: Vec<u8>,
    stop: Arc<AtomicBool>,
    failed: bool,
}

impl<'a> Run<'a> {
    pub fn new(
        engine: Engine,
        printer: Printer,
        host: Arc<CommandHost>,
        default_time_ns: i64,
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
    ) -> Run<'a> {
        Run {
            engine,
            printer,
            host,
            default_time_ns,
            step_ns: None,
            out,
            err,
            parsers: Parsers::default(),
            sources: Vec::new(),
            guesses: Vec::new(),
            only_lines: true,
            clock: Clock::default(),
            complaints: Complaints::default(),
            wall: None,
            progress: None,
            buffer: Vec::new(),
            stop: interrupt::flag(),
            failed: false,
        }
    }

    /// Opens all files, finds out what they are, and tells the engine of them.
    ///
    /// # Errors
    /// Any cannot be opened; all that cannot are told.
    pub fn open(
        &mut self,
        options: &SqlOptions,
        files: &[Input],
        registry: &Registry,
    ) -> Result<(), Stop> {
        let mut wrong = Vec::new();
        for (at, file) in files.iter().enumerate() {
            match self.open_one(options, file, at as u64 + 1, registry) {
                Ok(source) => self.sources.push(source),
                Err(why) => wrong.push(format!("{}: {why}", file.path)),
            }
        }
        if wrong.is_empty() {
            wrong.extend(self.parsers.missing(&options.types));
        }
        if !wrong.is_empty() {
            return Err(Stop::Failed(wrong.join("\nerror: ")));
        }
        let unused = options.of_keys();
        if self.only_lines && !unused.is_empty() {
            self.tell(&format!(
                "warning: {}: line protocol says itself what its measurements, tags and times are; \
                 NAME=FILE gives its points another measurement",
                unused.join(", ")
            ));
        }
        let now = self.wall.as_ref().map_or(self.default_time_ns.min(0), |wall| wall());
        for source in &mut self.sources {
            source.opened();
            let begin = Control::Begin { origin: source.origin, finite: self.wall.is_none() };
            self.engine.control(now, begin)?;
        }
        let total: Option<u64> = self.sources.iter().map(|source| source.size).sum();
        if io::stderr().is_terminal() {
            self.progress = total.and_then(Progress::new);
        }
        Ok(())
    }

    fn open_one(
        &mut self,
        options: &SqlOptions,
        file: &Input,
        origin: u64,
        registry: &Registry,
    ) -> Result<Source, String> {
        let follows = self.wall.is_some();
        let mut source = Source::open(&file.path, origin, follows, &self.stop)?;
        if source.is_terminal() {
            self.tell("reading points from the terminal; Ctrl-D ends them");
        }
        let head = source.head().map_err(|error| error.to_string())?;
        let guessed = guess::format(&file.path, head);
        if follows && options.input.is_none() && guessed.by_bytes && head.trim_ascii().is_empty() {
            return Err("it is empty, so that nothing shows how it is written; say --input".into());
        }
        let format = options.input.unwrap_or(guessed.format);
        if options.input.is_none() {
            self.guesses.push((source.name.clone(), guessed));
        }
        let is_empty = source.head().map_err(|error| error.to_string())?.is_empty();
        self.only_lines &= format == Format::Influx && !is_empty;
        let name = file.name.as_ref().or(options.name.as_ref());
        if format == Format::Csv {
            let delimiter = guess::delimiter(&file.path, source.head().map_err(|e| e.to_string())?);
            let measurement = name.map_or(format.name(), String::as_str).to_owned();
            let mut csv = Csv::new(measurement, delimiter, options.wishes()?);
            let head = source.head_of(|head| csv.can_look(head)).map_err(|e| e.to_string())?;
            csv.look(head)?;
            source.parser = self.parsers.add(csv);
            return Ok(source);
        }
        let head = source.head().map_err(|error| error.to_string())?;
        let time_format = match &options.time {
            Some(time) if format == Format::Json && time.format.is_none() && !head.is_empty() => {
                guess::time_format(head, &time.key)?
            }
            _ => "unix".to_owned(),
        };
        if format == Format::Influx {
            source.rename = file.name.clone().map(Rename::new);
        }
        let config = options.parser_config(format, name.map(String::as_str), &time_format);
        source.parser = self
            .parsers
            .find(registry, &self.host, format.name(), config)
            .map_err(|error| error.to_string())?;
        Ok(source)
    }

    /// Reads all there is, and what is appended if the files are followed.
    ///
    /// # Errors
    /// Rows cannot be made or written.
    pub fn read(&mut self) -> Result<(), Stop> {
        if self.wall.is_some() { self.follow() } else { self.read_all() }
    }

    /// Reads to the end of all files, always going on with the one that is furthest behind in event
    /// time.
    ///
    /// # Errors
    /// Rows cannot be made or written.
    fn read_all(&mut self) -> Result<(), Stop> {
        while self.go_on()? {}
        Ok(())
    }

    /// Reads until all files have ended, which those that can grow do not, or until the user wants to
    /// stop.
    fn follow(&mut self) -> Result<(), Stop> {
        let mut looked = Instant::now();
        while !self.stop.load(Ordering::Relaxed) && !self.sources.iter().all(Source::is_done) {
            let went_on = self.go_on()?;
            if went_on && looked.elapsed() < LOOK {
                continue;
            }
            looked = Instant::now();
            let now = self.now().unwrap_or(0);
            self.due(now)?;
            self.printer.flush();
            self.write()?;
            self.tell_plugins();
            if !went_on {
                raw::wait(self.sources.iter().filter(|source| !source.ended).map(Source::raw));
            }
            self.sources.iter_mut().for_each(|source| source.dry = false);
        }
        // What was read before the end.
        self.read_all()
    }

    /// Reads a chunk, or works on the earliest points; false if there is nothing to do.
    fn go_on(&mut self) -> Result<bool, Stop> {
        if let Some(at) = self.sources.iter().position(Source::is_wanting) {
            self.step(at)?;
            return Ok(true);
        }
        let full = self.sources.iter().enumerate().filter(|(_, source)| source.slices.points() > 0);
        let Some((at, _)) = full.min_by_key(|(_, source)| source.slices.next()) else {
            return Ok(false);
        };
        self.work(at)?;
        Ok(true)
    }

    /// The next points of a file.
    fn work(&mut self, at: usize) -> Result<(), Stop> {
        // The clock goes on when they have been taken in.
        let before = self.now();
        let Some(slice) = self.sources[at].take() else { return Ok(()) };
        self.engine.process(before.unwrap_or(slice.first), slice.batch)?;
        let now = self.now().unwrap_or(slice.first);
        self.due(now)?;
        self.ended(at)?;
        if self.sources[at].size.is_none() {
            // Whoever waits for the rows of a pipe need not wait for a screenful.
            self.printer.flush();
        }
        self.write()?;
        self.tell_plugins();
        Ok(())
    }

    /// Tells the engine if a file has no more.
    fn ended(&mut self, at: usize) -> Result<(), Stop> {
        if self.sources[at].is_done() {
            let now = self.now().unwrap_or(0);
            self.engine.control(now, Control::End { origin: self.sources[at].origin })?;
        }
        Ok(())
    }

    /// One chunk of a file.
    fn step(&mut self, at: usize) -> Result<(), Stop> {
        let source = &mut self.sources[at];
        let (parsers, number) = (&self.parsers, source.parser);
        let cut = |data: &[u8], last: bool| parsers.cut(number, data, last);
        let piece = match source.next(&mut self.buffer, cut) {
            Ok(piece) => piece,
            Err(error) => {
                let told = format!("error: {}: {error}", source.name);
                self.failed = true;
                self.tell(&told);
                None
            }
        };
        let source = &self.sources[at];
        if let Some(piece) = piece {
            if piece.too_long {
                let message = "the record is longer than 16 MiB, the limit";
                self.complaints.refusals.add(
                    &source.name,
                    Some((source.lines + 1, 1)),
                    message,
                    b"",
                );
            }
            let now = self.wall.as_ref().map_or(self.default_time_ns, |wall| wall());
            let parsed = match piece.len {
                0 => Ok(Vec::new()),
                _ => self.parsers.parse(source, &self.buffer, &piece, now, &mut self.complaints),
            };
            let lines = memchr::memchr_iter(b'\n', &self.buffer[..piece.len]).count();
            let batches = match parsed {
                Ok(batches) => batches,
                Err(error) => {
                    let told = format!("error: {}, a chunk is lost: {error}", source.name);
                    self.failed = true;
                    self.tell(&told);
                    Vec::new()
                }
            };
            self.sources[at].lines += lines as u64;
            let told = std::mem::take(&mut self.complaints.refusals.told);
            for told in std::mem::take(&mut self.complaints.remarks).into_iter().chain(told) {
                self.tell(&told);
            }
            for mut batch in batches {
                if let Some(rename) = &mut self.sources[at].rename {
                    rename.apply(&mut batch)?;
                }
                self.sources[at].add(batch, self.step_ns);
            }
            if let Some(change) = piece.change {
                self.change(at, change);
            }
        }
        self.ended(at)?;
        if let Some(progress) = &mut self.progress {
            progress.draw(self.err, self.sources.iter().map(Source::read).sum());
        }
        Ok(())
    }

    /// A file that is followed goes on from its start.
    fn change(&mut self, at: usize, change: Change) {
        let source = &mut self.sources[at];
        source.lines = 0;
        self.parsers.restart(source.parser);
        let what = match change {
            Change::CutOff => "was cut off",
            Change::Replaced => "was replaced",
        };
        let told = format!("{} {what}; it is read from its start", source.name);
        self.tell(&told);
    }

    fn now(&mut self) -> Option<i64> {
        if let Some(wall) = &self.wall {
            return self.clock.end(Some(wall()));
        }
        let open = self.sources.iter().filter(|source| !source.is_done());
        self.clock.set(open.map(|source| source.pace.time()))
    }

    /// Lets the engine do all that is due by a time.
    fn due(&mut self, now: i64) -> Result<(), Stop> {
        self.print()?;
        while self.engine.tick(now)? {
            self.print()?;
            self.write()?;
        }
        self.print()
    }

    fn print(&mut self) -> Result<(), Stop> {
        for batch in self.engine.take() {
            self.printer.take(batch)?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Stop> {
        if self.printer.out.is_empty() {
            return Ok(());
        }
        if let Some(progress) = &mut self.progress {
            progress.clear(self.err);
        }
        let written = self.out.write_all(&self.printer.out).and_then(|()| self.out.flush());
        self.printer.out.clear();
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::Closed,
            _ => Stop::Failed(format!("rows cannot be written: {error}")),
        })
    }

    fn tell(&mut self, what: &str) {
        if let Some(progress) = &mut self.progress {
            progress.clear(self.err);
        }
        super::print(self.err, format_args!("{what}\n"));
    }

    /// Tells what plugins have warned of.
    fn tell_plugins(&mut self) {
        for (level, message) in self.host.take_messages() {
            match level {
                Level::Error => self.tell(&format!("error: {message}")),
                Level::Warning => self.tell(&format!("warning: {message}")),
                Level::Information => self.tell(&message),
                Level::Debug => {}
            }
        }
    }

    /// Closes the windows that are open, and says what there is to say.
    ///
    /// # Errors
    /// Rows cannot be made or written.
    pub fn end(&mut self) -> Result<ExitCode, Stop> {
        let latest = self.sources.iter().filter_map(|source| source.pace.latest()).max();
        let now = match &self.wall {
            Some(wall) => self.clock.end(Some(wall())),
            None => self.clock.end(latest),
        };
        let now = now.unwrap_or(0);
        self.due(now)?;
        self.engine.control(now, Control::Stop)?;
        self.print()?;
        self.printer.end();
        self.write()?;
        if let Some(progress) = &mut self.progress {
            progress.clear(self.err);
        }
        self.tell_plugins();
        let left_out = self.remark();
        // Nothing else ends a run that follows files.
        if self.wall.is_none() && self.stop.load(Ordering::Relaxed) {
            let read: u64 = self.sources.iter().map(Source::read).sum();
            self.tell(&format!("interrupted: these are the rows of the first {read} bytes"));
            return Ok(ExitCode::from(interrupt::INTERRUPTED));
        }
        Ok(match (self.failed, left_out) {
            (true, _) => ExitCode::FAILURE,
            (false, true) => ExitCode::from(LEFT_OUT),
            (false, false) => ExitCode::SUCCESS,
        })
    }

    /// Tells what was left out or is odd; whether something of the input was left out.
    fn remark(&mut self) -> bool {
        let mut left_out = false;
        if let Some(summary) = self.complaints.refusals.summary() {
            left_out = true;
            self.tell(&format!("warning: {summary}"));
            let refused = std::mem::take(&mut self.complaints.refusals.files);
            for (name, guess) in std::mem::take(&mut self.guesses) {
                if refused.contains(&name) {
                    let (what, by) = (guess.format.name(), guess.by());
                    self.tell(&format!(
                        "{name} was read as {what}, by {by}; --input says what it is"
                    ));
                }
            }
        }
        for remark in remarks::of(&self.host.counts()) {
            left_out |= remark.left_out;
            self.tell(&format!("warning: {}", remark.text));
        }
        let missed = self.printer.missed().join(", ");
        if !missed.is_empty() {
            self.tell(&format!(
                "warning: columns that first came below the header are not shown: {missed}; name \
                 them in SELECT, or use --output json"
            ));
        }
        left_out
    }
}
