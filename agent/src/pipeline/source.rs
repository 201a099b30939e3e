//! Sources of bytes: read by one worker at a time, parsed by all, put back into order.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use headwater_plugin_api::abi::instance::{Chunk, PADDING, ParserInstance};
use headwater_plugin_api::abi::serve::{self, OpenedSource, OpenedSpec, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::{Batch, SeriesMap};
use headwater_plugin_api::plugin::{Control, Error, Framing, Level, Outcome, Read};

use super::core::{Core, Ready, Worker};
use super::input::Input;
use super::modify;
use super::order::Order;
use super::slot::CallError;
use crate::delivery::HandleState;

/// Bytes of a chunk: what the one before left, and what one read asks for.
pub const READ_BYTES: usize = 256 << 10;
/// Messages that one read may give.
const READ_MESSAGES: usize = 1024;
/// How many chunks of one source, besides one for each worker, may be ahead of the slowest: more
/// would only wait in memory for a slow output.
const AHEAD: usize = 1;

/// A connection, file or socket that an input opened.
pub struct SourceState {
    /// Its number.
    pub id: u64,
    /// Whose it is.
    pub input: Arc<Input>,
    /// As the input opened it.
    pub spec: OpenedSpec,
    reader: Mutex<Reader>,
    order: Order<Done>,
    map: Mutex<SeriesMap>,
    /// Whether it is to be closed when it next comes up.
    closing: AtomicBool,
    /// Whether it was woken while a worker read it.
    again: AtomicBool,
    /// Lines before the chunk whose turn it is.
    lines: AtomicU64,
}

struct Reader {
    source: Option<OpenedSource>,
    /// The beginning of a line whose end was not read yet.
    carry: Vec<u8>,
    /// The stream position behind what was read, the carry not counted.
    position: u64,
    sequence: u64,
    /// Whether the rest of a line that was too long is being skipped.
    skipping: bool,
}

/// A refused record.
struct Bad {
    /// Newlines before it in its chunk.
    lines_before: u64,
    /// The stream position of the record.
    position: u64,
    /// Where the error stands, counted in bytes from the record's first.
    column: usize,
    message: String,
    excerpt: String,
}

/// A chunk that was worked on.
#[derive(Default)]
struct Done {
    ready: Option<Ready>,
    /// What the parser gave, if it refused anything.
    refused: Option<Parsed>,
    lines: u64,
    control: Option<Control>,
}

/// What a worker should do with a source after it has handled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait for its descriptor, or for a wake.
    Wait,
    /// It may have more at once.
    Again,
    /// It waits for the gate or for slower chunks; somebody wakes it.
    Held,
    /// It is over.
    Over,
}

/// What was read, ready to be worked on.
struct Piece {
    sequence: u64,
    /// Stream position of the first byte.
    position: u64,
    /// Bytes in the worker's buffer.
    len: usize,
    messages: usize,
    last: bool,
    token: u64,
    /// A line that was too long to read: its position.
    too_long: Option<u64>,
}

impl SourceState {
    /// A source as it was opened.
    pub fn new(id: u64, input: Arc<Input>, spec: OpenedSpec, source: OpenedSource) -> Self {
        let position = spec.start;
        SourceState {
            id,
            input,
            spec,
            reader: Mutex::new(Reader {
                source: Some(source),
                carry: Vec::new(),
                position,
                sequence: 0,
                skipping: false,
            }),
            order: Order::default(),
            map: Mutex::default(),
            closing: AtomicBool::new(false),
            again: AtomicBool::new(false),
            lines: AtomicU64::new(0),
        }
    }

    /// Ends it at its next turn.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Tells the stages that it begins.
    pub fn begin(self: &Arc<Self>, core: &Core, worker: &mut Worker) {
        let message = Control::Begin { origin: self.id, finite: self.spec.finite };
        let sequence = {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.sequence += 1;
            reader.sequence - 1
        };
        let done = Done { control: Some(message), ..Done::default() };
        self.finish(core, worker, sequence, done);
    }

    /// Reads once and works on what came. `rearm` is called between the two, so that another worker
    /// can read on meanwhile.
    pub fn handle(
        self: &Arc<Self>,
        core: &Core,
        worker: &mut Worker,
        rearm: &dyn Fn(Next),
    ) -> Next {
        let mut reader = match self.reader.try_lock() {
            Ok(reader) => reader,
            Err(_) => {
                // Another worker reads. It looks at this once it is done; if it is by now, read.
                self.again.store(true, Ordering::Release);
                fence(Ordering::SeqCst);
                match self.reader.try_lock() {
                    Ok(reader) => reader,
                    Err(_) => return Next::Held,
                }
            }
        };
        self.again.store(false, Ordering::Release);
        if reader.source.is_none() {
            return Next::Over;
        }
        let waits = !self.spec.lossy;
        if waits && core.budget.is_closed() && core.budget.wait_for_room(self.id)
            || self.order.is_ahead(reader.sequence, (AHEAD + core.workers) as u64)
        {
            // The wake may have come already, to a worker that found the reader taken.
            drop(reader);
            if self.was_missed() {
                rearm(Next::Again);
                return Next::Again;
            }
            return Next::Held;
        }
        let closing = self.closing.load(Ordering::Acquire);
        let (piece, next) = self.read(core, worker, &mut reader, closing);
        if next == Next::Over {
            reader.source = None;
        }
        drop(reader);
        let next = if self.was_missed() && next == Next::Wait { Next::Again } else { next };
        rearm(next);
        if let Some(piece) = piece {
            self.work(core, worker, &piece);
        } else if next == Next::Over {
            self.over(core, worker);
        }
        next
    }

    /// Whether another worker wanted to read since the reader was taken. It is to be free again: either
    /// that worker sees so, or this one sees that it came.
    fn was_missed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.again.swap(false, Ordering::AcqRel)
    }

    fn over(self: &Arc<Self>, core: &Core, worker: &mut Worker) {
        let sequence = {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.sequence += 1;
            reader.sequence - 1
        };
        let done = Done { control: Some(Control::End { origin: self.id }), ..Done::default() };
        self.finish(core, worker, sequence, done);
    }

    fn read(
        &self,
        core: &Core,
        worker: &mut Worker,
        reader: &mut Reader,
        closing: bool,
    ) -> (Option<Piece>, Next) {
        let carried = reader.carry.len();
        let wanted = READ_BYTES.max(2 * carried);
        if worker.buffer.len() < wanted + PADDING {
            worker.buffer.resize(wanted + PADDING, 0);
        }
        worker.buffer[..carried].copy_from_slice(&reader.carry);
        if worker.messages.len() < READ_MESSAGES && self.spec.framing == Framing::Messages {
            worker.messages.resize(READ_MESSAGES, 0);
        }
        let (mut len, mut messages, mut token) = (carried, 0, 0);
        let mut last = closing;
        let mut next = Next::Again;
        if !closing && let Some(source) = &mut reader.source {
            let cx = core.context();
            let room = &mut worker.buffer[carried..wanted];
            let outcome = core.calls.watch(&worker.call, self.input.number, || {
                source.read(&cx, room, &mut worker.messages)
            });
            match outcome {
                Ok(read) => {
                    len += read.len;
                    messages = read.messages;
                    token = read.token;
                    self.input.counters.bytes_read.add(read.len as u64);
                    if read.lost > 0 {
                        self.input.lost(u64::from(read.lost), &self.spec.name);
                    }
                    match read.read {
                        Read::Some => {}
                        Read::Blocked => next = Next::Wait,
                        Read::End => last = true,
                    }
                    if self.spec.descriptor.is_some() && next == Next::Again {
                        next = Next::Wait;
                    }
                }
                Err(error) => {
                    self.input.log.warn(format_args!("{}: {error}", self.spec.name));
                    last = true;
                }
            }
        }
        if last {
            next = Next::Over;
        }
        if self.spec.framing == Framing::Messages {
            if messages == 0 {
                return (None, next);
            }
            let piece = Piece {
                sequence: reader.sequence,
                position: reader.position,
                len,
                messages,
                last,
                token,
                too_long: None,
            };
            reader.sequence += 1;
            reader.position += len as u64;
            return (Some(piece), next);
        }
        (self.cut(worker, reader, len, last), next)
    }

    /// Cuts what was read at the end of a record and carries the rest.
    fn cut(
        &self,
        worker: &mut Worker,
        reader: &mut Reader,
        len: usize,
        last: bool,
    ) -> Option<Piece> {
        let mut too_long = None;
        let mut start = 0;
        if reader.skipping {
            match memchr::memchr(b'\n', &worker.buffer[..len]) {
                Some(at) => {
                    reader.skipping = false;
                    start = at + 1;
                }
                None => start = len,
            }
        }
        if start > 0 {
            worker.buffer.copy_within(start..len, 0);
            reader.position += start as u64;
        }
        let len = len - start;
        let make = &self.input.parser;
        let mut end = match make {
            _ if last => len,
            Some(make) => {
                let data = &worker.buffer[..len];
                match worker.parsers[self.input.index].get(make) {
                    Ok(parser) => parser.cut(data, false),
                    Err(_) => memchr::memrchr(b'\n', data).map_or(0, |at| at + 1),
                }
            }
            None => len,
        };
        if end == 0 && len - end > self.input.max_line_bytes {
            // No record ends here and more than the largest one was read.
            too_long = Some(reader.position);
            reader.position += len as u64;
            reader.skipping = !last;
            reader.carry.clear();
            end = 0;
        } else {
            reader.carry.clear();
            reader.carry.extend_from_slice(&worker.buffer[end..len]);
            if reader.carry.capacity() > READ_BYTES && reader.carry.len() < READ_BYTES / 4 {
                reader.carry.shrink_to(READ_BYTES / 4);
            }
        }
        if end == 0 && too_long.is_none() {
            return None;
        }
        let piece = Piece {
            sequence: reader.sequence,
            position: reader.position,
            len: end,
            messages: 0,
            last,
            token: 0,
            too_long,
        };
        reader.sequence += 1;
        reader.position += end as u64;
        Some(piece)
    }

    fn work(self: &Arc<Self>, core: &Core, worker: &mut Worker, piece: &Piece) {
        let acknowledged = self.spec.acknowledged;
        let token = match self.spec.framing {
            Framing::Messages => piece.token,
            _ => piece.position + piece.len as u64,
        };
        let handle =
            acknowledged.then(|| HandleState::create(self.id, token, &self.input.settlements));
        let (delivery, state) = handle.unzip();
        worker.call.begin(Box::new(GivenUp {
            source: Arc::clone(self),
            sequence: piece.sequence,
            handle: state,
        }));
        let mut target = Parsed::new(piece.position, &self.input);
        target.counts_lines = self.spec.framing != Framing::Messages;
        let begin = Instant::now();
        let result = self.parse(core, worker, piece, &mut target);
        self.input.parsed(&target.batches, result.is_err(), begin.elapsed());
        let mut batches = std::mem::take(&mut target.batches);
        let mut outcome = Outcome::Delivered;
        if let Some(malformed) = &target.malformed {
            self.input.log.error(format_args!("the parser pushed a {malformed}"));
            outcome = Outcome::Lost;
        }
        if let Err(error) = result {
            self.input.counters.errors.add(1);
            let (name, position) = (&self.spec.name, piece.position);
            self.input.log.error(format_args!("{name}, byte {position}: {}", say(&error)));
            outcome = match error {
                CallError::Plugin(_) => Outcome::Lost,
                _ => Outcome::Aborted,
            };
        }
        if target.bad_count > 0 {
            outcome = outcome.max(Outcome::Dropped);
        }
        let mut points = 0;
        for batch in &mut batches {
            batch.set_origin(self.id);
            batch.set_sequence(piece.sequence);
            batch.set_delivery(delivery.clone());
            points += batch.len() as u64;
            self.shape(worker, batch);
        }
        self.input.counters.metrics_gathered.add(points);
        batches.retain(|batch| !batch.is_empty());
        if let Some(position) = piece.too_long {
            target.bad_count += 1;
            let limit = self.input.max_line_bytes;
            target.bad.push(Bad {
                lines_before: 0,
                position,
                column: 0,
                message: format!(
                    "the line is longer than {limit} bytes; max_line_bytes in [agent] sets the limit"
                ),
                excerpt: String::new(),
            });
        }
        let ready = (!batches.is_empty()).then(|| core.side_by_side(worker, batches));
        if worker.call.is_abandoned() {
            return;
        }
        let control = piece.last.then_some(Control::End { origin: self.id });
        let lines = target.lines;
        let refused = (target.bad_count > 0).then_some(target);
        let done = Done { ready, refused, lines, control };
        super::core::settle(delivery, outcome);
        self.finish(core, worker, piece.sequence, done);
        worker.call.end();
    }

    fn shape(&self, worker: &mut Worker, batch: &mut Batch) {
        let input = &self.input;
        if self.spec.tags.is_empty() {
            input.shaping.apply(&mut worker.input_maps[input.index], batch, &[]);
        } else {
            let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
            input.shaping.apply(&mut map, batch, &self.spec.tags);
        }
        modify::round_times(batch, input.precision_ns);
    }

    fn parse(
        &self,
        core: &Core,
        worker: &mut Worker,
        piece: &Piece,
        target: &mut Parsed,
    ) -> Result<(), CallError> {
        let Some(make) = &self.input.parser else {
            return Err(CallError::Unavailable(
                "it reads bytes but has no parser; set data_format".into(),
            ));
        };
        let now = core.clock.now_ns();
        let cx = core.context();
        let call = Arc::clone(&worker.call);
        let number = self.input.number;
        let buffer = std::mem::take(&mut worker.buffer);
        let mut scratch = std::mem::take(&mut worker.scratch);
        let messages = std::mem::take(&mut worker.messages);
        let one = |parser: &mut ParserInstance,
                   padded: &[u8],
                   position: u64,
                   target: &mut Parsed|
         -> Result<(), Error> {
            target.position = position;
            let last = piece.last || piece.messages > 0;
            let chunk = Chunk { padded, last, default_time_ns: now, origin: self.id };
            core.calls.watch(&call, number, || {
                let mut borrowed = Excerpted { target, data: padded };
                serve::with_sink(&mut borrowed, |sink| parser.parse(&cx, &chunk, sink))
            })
        };
        let result = worker.parsers[self.input.index].call(make, |parser| {
            // A single message lies in the buffer as a stream's chunk does.
            let alone = piece.messages == 1 && messages[0] as usize == piece.len;
            if piece.messages == 0 || alone {
                return match piece.len {
                    0 => Ok(()),
                    len => one(parser, &buffer[..len + PADDING], piece.position, target),
                };
            }
            let mut start = 0;
            let mut result = Ok(());
            // Datagrams of a format whose records end at newlines are parsed together.
            let joins = self.input.splittable;
            scratch.clear();
            for &end in &messages[..piece.messages] {
                let end = (end as usize).clamp(start, piece.len);
                let message = &buffer[start..end];
                if joins && memchr::memchr(b'"', message).is_none() {
                    scratch.extend_from_slice(message);
                    if message.last() != Some(&b'\n') {
                        scratch.push(b'\n');
                    }
                } else {
                    let mut alone = message.to_vec();
                    serve::pad(&mut alone);
                    let parsed = one(parser, &alone, piece.position + start as u64, target);
                    result = result.and(parsed);
                }
                start = end;
            }
            if !scratch.is_empty() {
                serve::pad(&mut scratch);
                result = result.and(one(parser, &scratch, piece.position, target));
            }
            result
        });
        worker.buffer = buffer;
        worker.scratch = scratch;
        worker.messages = messages;
        result
    }

    fn finish(self: &Arc<Self>, core: &Core, worker: &mut Worker, sequence: u64, done: Done) {
        let wake = || (core.wake_source)(self.id);
        self.order.complete(sequence, done, |done| self.go_on(core, worker, done), wake);
    }

    /// The part that keeps the order.
    fn go_on(self: &Arc<Self>, core: &Core, worker: &mut Worker, done: Done) {
        let before = self.lines.fetch_add(done.lines, Ordering::Relaxed);
        if let Some(parsed) = &done.refused {
            tell_bad(core, &self.input, &self.spec.name, before, parsed);
        }
        if let Some(ready) = done.ready {
            core.in_order(worker, ready, !self.spec.lossy);
        }
        if let Some(control) = done.control {
            core.control(worker, control);
        }
    }
}

/// Counts refused records and shows them. `source` is the name that messages begin with, `before` the
/// lines before the text.
pub fn tell_bad(core: &Core, input: &Input, source: &str, before: u64, parsed: &Parsed) {
    if parsed.bad_count == 0 {
        return;
    }
    input.counters.lines_refused.add(parsed.bad_count);
    let mut unseen = parsed.bad_count - parsed.bad.len() as u64;
    let name = if source.is_empty() { String::new() } else { format!("{source}: ") };
    for bad in &parsed.bad {
        if !input.may_show_bad(core) {
            unseen += 1;
            continue;
        }
        let line = match parsed.counts_lines {
            true => format!("line {}, ", before + bad.lines_before + 1),
            false => String::new(),
        };
        let (position, column) = (bad.position, bad.column + 1);
        let (message, excerpt) = (&bad.message, &bad.excerpt);
        input.log.log_each(
            Level::Error,
            format_args!("{name}{line}byte {position}, column {column}: {message}{excerpt}"),
        );
    }
    input.bad_unseen(unseen, source);
}

/// What happens if the thread that works on a chunk does not come back.
struct GivenUp {
    source: Arc<SourceState>,
    sequence: u64,
    handle: Option<Arc<HandleState>>,
}

impl super::calls::Abandon for GivenUp {
    fn abandon(self: Box<Self>) {
        if let Some(handle) = &self.handle {
            handle.force(Outcome::Aborted);
        }
        self.source.input.abandoned(Arc::clone(&self.source), self.sequence);
    }
}

impl SourceState {
    /// Passes over a chunk whose thread was given up.
    pub fn pass_over(self: &Arc<Self>, core: &Core, worker: &mut Worker, sequence: u64) {
        let wake = || (core.wake_source)(self.id);
        self.order.abandon(sequence, |done| self.go_on(core, worker, done), wake);
    }
}

fn say(error: &CallError) -> String {
    match error {
        CallError::Plugin(error) => error.to_string(),
        CallError::Panicked(message) => format!("the parser panicked and restarts: {message}"),
        CallError::Unavailable(reason) => format!("there is no parser: {reason}"),
        CallError::TooLate => "the parser took too long and was given up".to_owned(),
    }
}

/// What a parser gives for one text.
pub struct Parsed {
    /// Points.
    pub batches: Vec<Batch>,
    bad: Vec<Bad>,
    bad_count: u64,
    /// Lines, refused ones too.
    pub lines: u64,
    position: u64,
    /// What was wrong with a batch that was not taken.
    pub malformed: Option<Malformed>,
    counts_lines: bool,
    checks: bool,
    limit: usize,
}

impl Parsed {
    /// Nothing yet, of a text at this position of its stream.
    pub fn new(position: u64, input: &Input) -> Parsed {
        Parsed {
            batches: Vec::new(),
            bad: Vec::new(),
            bad_count: 0,
            lines: 0,
            position,
            malformed: None,
            counts_lines: true,
            checks: input.checks,
            limit: input.bad_lines_shown,
        }
    }
}

/// A target that can show what a refused record begins with.
pub struct Excerpted<'a> {
    /// Takes all of it.
    pub target: &'a mut Parsed,
    /// The text.
    pub data: &'a [u8],
}

impl SinkTarget for Excerpted<'_> {
    fn checks(&self) -> bool {
        self.target.checks
    }

    fn push(&mut self, batch: Batch, _timeout: Option<std::time::Duration>) -> Result<(), Batch> {
        self.target.batches.push(batch);
        Ok(())
    }

    fn malformed(&mut self, malformed: Malformed) {
        self.target.malformed.get_or_insert(malformed);
    }

    fn bad(&mut self, offset: usize, len: usize, at: usize, message: &str) {
        let target = &mut *self.target;
        target.bad_count += 1;
        if target.bad.len() >= target.limit {
            return;
        }
        let record = self.data.get(offset..).unwrap_or_default();
        let record = &record[..len.min(record.len())];
        target.bad.push(Bad {
            lines_before: target.lines
                + memchr::memchr_iter(b'\n', &self.data[..offset.min(self.data.len())]).count()
                    as u64,
            position: target.position + offset as u64,
            column: at.saturating_sub(offset),
            message: message.to_owned(),
            excerpt: excerpt(record),
        });
    }

    fn lines(&mut self, lines: u64) {
        self.target.lines += lines;
    }
}

/// The beginning of a record, fit for a log line.
fn excerpt(record: &[u8]) -> String {
    const SHOWN: usize = 120;
    let cut = &record[..record.len().min(SHOWN)];
    let text: String = String::from_utf8_lossy(cut)
        .trim_end()
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let more = if record.len() > SHOWN { "..." } else { "" };
    format!(": {text}{more}")
}
