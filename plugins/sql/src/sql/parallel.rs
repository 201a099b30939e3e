//! The processor: a query at work, and the parts that threads collect of it at the same time.
//!
//! Where the agent has several workers and what the query makes of a point does not depend on the
//! points before it, each worker adds its batches to a part: statements of its own whose windows
//! never close. Before anything is emitted or stored the parts are merged into the whole. What is out
//! of the ordinary, such as a batch over very many windows, goes into the whole at once, while all
//! parts rest.
//!
//! Locks are taken in this order: the engine, then the parts by their numbers. A thread that works on
//! a part takes no other lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{
    ConcurrentProcessor, Context, Control, Delivery, Error, Host, Outcome, Plugin, Processor,
    Shared, Sink,
};
use headwater_plugin_api::window::{Closing, SeriesNumbers};

use super::original::Original;
use super::{Engine, OWN_ORIGIN, SqlConfig, is_chained};
use crate::checkpoint::Sent;
use crate::statement::Statement;
use crate::window::Mapping;

/// How many parts there may be.
const MAX_PARTS: usize = 16;
/// So many windows that parts opened since they were merged are many: more should not come together.
const MANY_WINDOWS: usize = 128;
/// Bytes of rows that wait for a call that has its turn; beyond it they do not.
const MAX_WAITING: usize = 64 << 20;

/// The processor.
pub struct Sql {
    engine: Mutex<Engine>,
    /// None before it agreed to be called by several threads.
    parts: Box<[Mutex<Option<Part>>]>,
    /// What the last checkpoint holds was taken up.
    resumed: AtomicBool,
    /// How far sources have come, to be taken up once the parts are merged.
    reached: Vec<Control>,
}

/// What one thread at a time collects.
struct Part {
    statements: Vec<Statement>,
    mappings: Vec<Mapping>,
    /// The series of the batches that all statements read.
    series: SeriesNumbers,
    /// Bytes of the batches that came since it was merged, and how many may.
    came: usize,
    most: usize,
    original: Original,
    max_future: i64,
    /// Which statement of the query each belongs to, if rows are to tell.
    numbers: Option<Vec<u64>>,
    /// Whether handles and rows are for checkpoints.
    keeps: bool,
    held: Vec<(Option<Delivery>, bool)>,
    sent: Vec<Sent>,
}

impl Plugin for Sql {
    type Config = SqlConfig;
    const NAME: &'static str = "sql";
    const SUMMARY: &'static str = "Runs stream SQL over the points that pass";

    fn new(config: SqlConfig, host: Host) -> Result<Self, Error> {
        let engine = Mutex::new(Engine::new(config, host)?);
        Ok(Sql {
            engine,
            parts: Box::default(),
            resumed: AtomicBool::new(false),
            reached: Vec::new(),
        })
    }

    fn stop(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        own(&mut self.engine)?.stop();
        Ok(())
    }
}

impl Processor for Sql {
    const SHARED: Option<Shared<Self>> = Some(Shared::new());

    fn process(&mut self, cx: &Context<'_>, batch: Batch, out: &mut Sink<'_>) -> Result<(), Error> {
        own(&mut self.engine)?.process(cx, batch, out);
        Ok(())
    }

    fn tick(&mut self, cx: &Context<'_>, out: &mut Sink<'_>) -> Result<Option<i64>, Error> {
        let now = cx.now();
        if self.parts.is_empty() {
            return Ok(own(&mut self.engine)?.tick(now, out));
        }
        let reached = std::mem::take(&mut self.reached);
        let (engine, mut parts) = self.alone()?;
        engine.resume(now);
        let opened = engine.merge(now, &mut parts);
        engine.reach(now, reached);
        let (mut holds, mut bytes) = (false, 0);
        for part in parts.iter_mut().filter_map(|part| part.as_mut()) {
            holds |= super::bytes::rest(&mut part.statements, &mut part.series, now);
            bytes += part.byte_size();
        }
        engine.part_bytes = bytes;
        let mut next = engine.tick(now, out);
        if holds {
            engine.follow(&mut parts);
        } else {
            parts.into_iter().for_each(|part| *part = None);
        }
        if opened > MANY_WINDOWS {
            next = Some(now);
        }
        Ok(next)
    }

    fn control(
        &mut self,
        cx: &Context<'_>,
        control: Control,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let now = cx.now();
        if matches!(control, Control::Reached { .. }) {
            self.reached.push(control);
            return Ok(());
        }
        let reached = std::mem::take(&mut self.reached);
        let (engine, mut parts) = self.alone()?;
        if !parts.is_empty() {
            engine.resume(now);
            engine.merge(now, &mut parts);
            engine.reach(now, reached);
            for part in parts.iter_mut().filter_map(|part| part.as_mut()) {
                part.statements.iter_mut().for_each(|statement| statement.control(now, control));
            }
        }
        engine.control(now, control, out);
        engine.follow(&mut parts);
        Ok(())
    }
}

impl ConcurrentProcessor for Sql {
    fn agree(&mut self, _cx: &Context<'_>) -> bool {
        let Ok(engine) = own(&mut self.engine) else { return false };
        if !engine.can_part() {
            return false;
        }
        engine.blueprint.overtake = true;
        engine.statements = engine.blueprint.statements();
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        self.parts = (0..count.clamp(2, MAX_PARTS)).map(|_| Mutex::default()).collect();
        true
    }

    fn process_shared(
        &self,
        cx: &Context<'_>,
        batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        let now = cx.now();
        if !self.resumed.load(Ordering::Acquire) {
            lock(&self.engine)?.resume(now);
            self.resumed.store(true, Ordering::Release);
        }
        if let Some(part) = &mut *self.free_part()?
            && part.has_room(now, &batch)
        {
            part.process(now, batch, out);
            return Ok(());
        }
        // The part is free again: the engine comes first in the order of locks.
        self.process_alone(now, batch, out)
    }
}

impl Sql {
    /// All of it, for a call that overlaps no other.
    fn alone(&mut self) -> Result<(&mut Engine, Vec<&mut Option<Part>>), Error> {
        let engine = own(&mut self.engine)?;
        let parts = self.parts.iter_mut().map(own).collect::<Result<_, _>>()?;
        Ok((engine, parts))
    }

    /// A part that nobody works on: the first, so that there are no more than threads.
    fn free_part(&self) -> Result<MutexGuard<'_, Option<Part>>, Error> {
        for part in &self.parts {
            match part.try_lock() {
                Ok(part) => return Ok(part),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => return Err(broken()),
            }
        }
        self.parts.first().map_or_else(|| Err(broken()), lock)
    }

    /// Takes a batch into the whole while all parts rest, and makes parts that are missing. Rows of
    /// windows wait for a call that has its turn.
    fn process_alone(&self, now: i64, batch: Batch, out: &mut Sink<'_>) -> Result<(), Error> {
        let mut engine = lock(&self.engine)?;
        let mut guards: Vec<_> = self.parts.iter().map(lock).collect::<Result<_, _>>()?;
        let mut parts: Vec<&mut Option<Part>> =
            guards.iter_mut().map(|guard| &mut **guard).collect();
        engine.merge(now, &mut parts);
        let mut made = Vec::new();
        let took = engine.run(now, 0, &batch, &mut made);
        engine.close(now, Closing::Due, &mut made);
        if engine.bytes.take(&batch) {
            engine.bound_bytes(now, &mut made);
        }
        if let Some(part) = parts.iter_mut().find(|part| part.is_none()) {
            **part = Some(Part::new(&engine));
        }
        engine.follow(&mut parts);
        drop(guards);
        engine.original.pass(&engine.statements, took, batch, out);
        let mut waiting = std::mem::take(&mut engine.waiting);
        let (windows, made) = made.into_iter().partition(|batch| batch.origin() & OWN_ORIGIN != 0);
        waiting.extend::<Vec<Batch>>(windows);
        if waiting.iter().map(Batch::byte_size).sum::<usize>() > MAX_WAITING {
            waiting.drain(..).for_each(|rows| engine.send(rows, out));
        }
        engine.end(now, made, false, out);
        engine.waiting = waiting;
        Ok(())
    }
}

fn broken() -> Error {
    Error::failed("a call before this one panicked")
}

fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Error> {
    mutex.lock().map_err(|_| broken())
}

fn own<T>(mutex: &mut Mutex<T>) -> Result<&mut T, Error> {
    mutex.get_mut().map_err(|_| broken())
}

impl Drop for Part {
    fn drop(&mut self) {
        let handles = self.held.drain(..).filter_map(|(delivery, _)| delivery);
        handles.for_each(|delivery| delivery.settle(Outcome::Aborted));
    }
}

impl Part {
    fn new(engine: &Engine) -> Part {
        let statements = engine.blueprint.statements();
        Part {
            mappings: statements.iter().map(|_| Mapping::default()).collect(),
            statements,
            series: SeriesNumbers::default(),
            came: 0,
            most: engine.bytes.part(),
            original: engine.original,
            max_future: engine.blueprint.settings.max_future,
            numbers: engine.numbered.then(|| engine.numbers.clone()),
            keeps: engine.checkpoint.is_some(),
            held: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn has_room(&mut self, now: i64, batch: &Batch) -> bool {
        let (first, last) = batch.time_range();
        // What lies further ahead opens no window.
        let last = last.min(now.saturating_add(self.max_future)).max(first);
        self.came < self.most
            && self.statements.iter_mut().all(|statement| statement.part_has_room(first, last))
    }

    fn byte_size(&mut self) -> usize {
        let statements: usize = self.statements.iter_mut().map(Statement::byte_size).sum();
        let mappings: usize = self.mappings.iter().map(Mapping::byte_size).sum();
        statements
            + mappings
            + self.series.byte_size()
            + self.held.capacity() * size_of::<(Option<Delivery>, bool)>()
    }

    fn process(&mut self, now: i64, batch: Batch, out: &mut Sink<'_>) {
        self.came = self.came.saturating_add(batch.byte_size());
        let mut made = Vec::new();
        let took = self.run(now, 0, &batch, &mut made);
        self.original.pass(&self.statements, took, batch, out);
        for mut rows in made {
            if self.keeps && rows.delivery().is_none() {
                self.sent.push(Sent::new(&mut rows));
            }
            out.push(rows);
        }
    }

    /// As that of the whole.
    fn run(&mut self, now: i64, first: usize, batch: &Batch, out: &mut Vec<Batch>) -> bool {
        let mut took = false;
        if first == 0 {
            self.series.prepare(batch, |_| {});
        }
        for at in first..self.statements.len() {
            let (statement, series) = (&mut self.statements[at], &mut self.series);
            let reads = |index| statement.plan().reads.matches(batch.series(index).name());
            if first > 0 && !(0..batch.series_count() as u32).any(reads) {
                continue;
            }
            let mut made = Vec::new();
            let waits = self.keeps && statement.sources().is_some();
            let mut apply = |batch: &Batch| match first {
                0 => statement.apply_numbered(now, batch, series, &mut made),
                _ => statement.apply(now, batch, &mut made),
            };
            took |= if waits {
                let mut bare = batch.clone();
                let delivery = bare.take_delivery();
                let took = apply(&bare);
                self.held.push((delivery, took));
                took
            } else {
                apply(batch)
            };
            for mut rows in made {
                self.run(now, at + 1, &rows, out);
                if let Some(numbers) = &self.numbers {
                    rows.set_sequence(numbers[at]);
                }
                out.push(rows);
            }
        }
        took
    }
}

impl Engine {
    /// Whether threads may collect parts of it.
    fn can_part(&self) -> bool {
        let units = &self.blueprint.units;
        let chained = units.iter().enumerate().any(|(at, (_, plan))| {
            units[..at].iter().any(|(_, earlier)| is_chained(earlier, plan))
        });
        !chained
            && !self.blueprint.settings.flush
            && self.blueprint.settings.late != crate::statement::Late::Update
            && self.statements.iter().all(Statement::can_part)
    }

    /// Takes over what the parts have collected; how many windows they had.
    fn merge(&mut self, now: i64, parts: &mut [&mut Option<Part>]) -> usize {
        let (mut opened, mut made) = (0, Vec::new());
        for part in parts.iter_mut().filter_map(|part| part.as_mut()) {
            let statements = self.statements.iter_mut().zip(&mut part.statements);
            for ((whole, part), mapping) in statements.zip(&mut part.mappings) {
                opened += part.window().map_or(0, |window| window.open_count());
                whole.absorb(part, mapping, now, &mut made);
            }
            self.bytes.add(std::mem::take(&mut part.came));
            if let Some(checkpoint) = &mut self.checkpoint {
                part.held.drain(..).for_each(|(delivery, took)| checkpoint.hold(delivery, took));
                checkpoint.take_up(part.sent.drain(..));
            }
        }
        self.statements.iter_mut().for_each(Statement::bound_parts);
        self.waiting.extend(made);
        opened
    }

    /// Takes note of how far sources have come.
    fn reach(&mut self, now: i64, reached: Vec<Control>) {
        for statement in &mut self.statements {
            reached.iter().for_each(|message| statement.control(now, *message));
        }
    }

    /// Tells the parts which windows were emitted.
    fn follow(&mut self, parts: &mut [&mut Option<Part>]) {
        for part in parts.iter_mut().filter_map(|part| part.as_mut()) {
            for (part, whole) in part.statements.iter_mut().zip(&mut self.statements) {
                part.follow(whole);
                part.set_closed(self.bytes.is_closed());
            }
        }
    }
}
