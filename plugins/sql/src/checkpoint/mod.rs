//! Checkpoints: what the statements know, kept by the agent's store so that it outlives a crash.
//!
//! A checkpoint holds the open windows of all statements and the rows that outputs have not settled
//! yet. It is written into memory between two calls and stored by a thread of its own, in the place of
//! the one before. Once it is durable, the delivery handles of all points that came before it settle
//! as delivered: from then on the checkpoint answers for them. Nothing else settles them, neither rows
//! that are delivered: what came after the checkpoint that an agent goes on from must come again.
//!
//! - `state`: the form of a checkpoint.
//! - `thread`: who stores it.

mod state;
mod thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Counter, Delivery, Gauge, Host, Outcome};

use crate::statement::Statement;
pub use state::{Found, read, write};
use thread::Keeper;

/// The key in the store, and that of the state of another query.
const KEY: &str = "checkpoint";
const ASIDE: &str = "checkpoint.aside";
/// How much the rows may take that outputs have not settled: beyond it no checkpoint is made, and the
/// last one stands.
const MAX_ROWS: usize = 64 << 20;
/// How many batches wait for a checkpoint.
const MAX_HELD: usize = 1 << 20;

/// Rows that outputs have not settled, as far as it is known.
pub struct Sent {
    rows: Batch,
    settled: Arc<AtomicBool>,
}

impl Sent {
    /// Follows rows that are about to be sent on.
    pub fn new(rows: &mut Batch) -> Sent {
        let copy = rows.clone();
        let (handle, settled) = Delivery::tracked();
        rows.set_delivery(Some(handle));
        Sent { rows: copy, settled }
    }
}

/// The checkpoints of a query.
pub struct Checkpoint {
    every: i64,
    /// When the next one is due; `None` before the first call.
    next: Option<i64>,
    /// Tells the query from others.
    query: u64,
    host: Host,
    keeper: Keeper,
    sent: Vec<Sent>,
    /// The handles of points since the last one.
    held: Vec<Delivery>,
    /// Something happened since the last one.
    changed: bool,
    /// That rows are in the way was told.
    told: bool,
    /// Bytes of the last one.
    size: usize,
    counters: Counters,
}

struct Counters {
    taken: Counter,
    skipped: Counter,
    bytes: Gauge,
    encode_ns: Gauge,
}

impl Checkpoint {
    /// Checkpoints every so many nanoseconds, of the query with that hash.
    pub fn new(every: i64, query: u64, host: &Host) -> Self {
        Checkpoint {
            every,
            next: None,
            query,
            host: host.clone(),
            keeper: Keeper::new(host),
            sent: Vec::new(),
            held: Vec::new(),
            changed: false,
            told: false,
            size: 0,
            counters: Counters {
                taken: host.counter("checkpoints"),
                skipped: host.counter("checkpoints_skipped"),
                bytes: host.gauge("checkpoint_bytes"),
                encode_ns: host.gauge("checkpoint_encode_ns"),
            },
        }
    }

    /// Holds the delivery handle of a batch, if a statement took points of it.
    pub fn hold(&mut self, delivery: Option<Delivery>, took: bool) {
        self.changed |= took;
        let Some(delivery) = delivery else { return };
        if !took {
            return delivery.settle(Outcome::Delivered);
        }
        self.held.push(delivery);
        if self.held.len() >= MAX_HELD {
            self.host.warn(&format!(
                "{MAX_HELD} batches wait for a checkpoint that can be stored; their sources are told that they are lost"
            ));
            self.held.drain(..).for_each(|delivery| delivery.settle(Outcome::Lost));
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<i64> {
        self.next
    }

    /// Before anything else: gives statements that have seen nothing the state of the last checkpoint
    /// back, and tells the rows that are to be sent again. Whether the statements are spoilt and must
    /// be made anew.
    pub fn resume(&mut self, now: i64, statements: &mut [Statement]) -> Resumed {
        if self.next.is_some() {
            return Resumed::Nothing;
        }
        self.next = Some(now.saturating_add(self.every));
        let Some(bytes) = self.find() else { return Resumed::Nothing };
        self.size = bytes.len();
        match read(&bytes, self.query, now, statements) {
            Found::State(rows) => {
                let windows: usize =
                    statements.iter().filter_map(Statement::window).map(|w| w.open_count()).sum();
                self.host.info(&format!(
                    "goes on from its checkpoint of {} bytes: {windows} open windows, {} batches of rows to be sent again",
                    bytes.len(),
                    rows.len()
                ));
                Resumed::Rows(rows)
            }
            Found::Other | Found::Broken => {
                self.put_aside(&bytes, "is damaged, or of a later version");
                Resumed::Spoilt
            }
        }
    }

    /// The state of this query: under its key, or put aside while another one ran.
    fn find(&mut self) -> Option<Vec<u8>> {
        let bytes = self.host.load_state(KEY)?;
        if state::query(&bytes) == Some(self.query) {
            return Some(bytes);
        }
        let aside = self.host.load_state(ASIDE);
        self.put_aside(&bytes, "is of another query");
        aside.filter(|aside| state::query(aside) == Some(self.query))
    }

    fn put_aside(&self, bytes: &[u8], why: &str) {
        match self.host.save_state(ASIDE, bytes) {
            Ok(()) => self.host.warn(&format!(
                "the last checkpoint ({} bytes) {why}: it is put aside under `{ASIDE}` in the state folder, and windows begin anew; it is taken up again when its query comes back",
                bytes.len()
            )),
            Err(error) => self.host.warn(&format!(
                "the last checkpoint ({} bytes) {why}, and cannot be put aside: {error}",
                bytes.len()
            )),
        }
    }

    /// Notes rows that are sent on, so that checkpoints hold them until they have settled.
    pub fn send(&mut self, rows: &mut Batch) {
        self.take_up([Sent::new(rows)]);
    }

    /// As [`send`](Self::send), for rows that were sent meanwhile.
    pub fn take_up(&mut self, sent: impl IntoIterator<Item = Sent>) {
        let before = self.sent.len();
        self.sent.extend(sent);
        self.changed |= self.sent.len() > before;
    }

    /// Forgets rows that have settled.
    fn forget_settled(&mut self) {
        self.sent.retain(|sent| !sent.settled.load(Ordering::Acquire));
        if self.sent.is_empty() {
            self.sent = Vec::new();
        }
    }

    /// Makes a checkpoint if it is time and something happened.
    pub fn tick(&mut self, now: i64, statements: &mut [Statement]) {
        self.forget_settled();
        // A clock that stepped back must not put it off.
        let far = now.saturating_add(self.every);
        if self.next.is_some_and(|next| now < next && next <= far) {
            return;
        }
        self.next = Some(far);
        if !self.changed && !self.keeper.has_failed() {
            return;
        }
        if self.keeper.is_busy() {
            self.counters.skipped.add(1);
            return;
        }
        if self.is_blocked() {
            self.counters.skipped.add(1);
            if !std::mem::replace(&mut self.told, true) {
                self.host.warn(&format!(
                    "outputs hold more than {} MiB of rows that they have not sent: until they have, no new checkpoint is made and the last one stands",
                    MAX_ROWS >> 20
                ));
            }
            return;
        }
        self.told = false;
        self.changed = false;
        let bytes = self.encode(statements);
        let handles = std::mem::take(&mut self.held);
        self.counters.taken.add(1);
        self.keeper.store(bytes, handles);
    }

    fn is_blocked(&self) -> bool {
        self.sent.iter().map(|sent| sent.rows.byte_size()).sum::<usize>() > MAX_ROWS
    }

    fn encode(&mut self, statements: &[Statement]) -> Vec<u8> {
        let start = std::time::Instant::now();
        let mut bytes = Vec::with_capacity(self.size + self.size / 16 + 256);
        write(&mut bytes, self.query, statements, self.sent.iter().map(|sent| &sent.rows));
        self.size = bytes.len();
        self.counters.bytes.set(bytes.len() as i64);
        self.counters.encode_ns.set(i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX));
        bytes
    }

    /// The last checkpoint, at an orderly stop. Whether it is durable: else the open windows are to be
    /// emitted.
    pub fn stop(&mut self, statements: &mut [Statement]) -> bool {
        self.forget_settled();
        self.keeper.finish();
        let bytes = self.encode(statements);
        match self.host.save_state(KEY, &bytes) {
            Ok(()) => {
                self.counters.taken.add(1);
                self.changed = false;
                let handles = self.held.drain(..).chain(self.keeper.take_failed());
                handles.for_each(|handle| handle.settle(Outcome::Delivered));
                true
            }
            Err(error) => {
                self.host.warn(&format!(
                    "the last checkpoint cannot be stored, so that open windows are emitted as they are: {error}"
                ));
                false
            }
        }
    }

    /// The very end: rows that have settled since [`stop`](Self::stop) need not come again, nor
    /// windows that were emitted after all.
    pub fn end(&mut self, statements: &[Statement]) {
        let before = self.sent.len();
        self.forget_settled();
        if before == self.sent.len() && !self.changed {
            return;
        }
        let bytes = self.encode(statements);
        if let Err(error) = self.host.save_state(KEY, &bytes) {
            self.host.warn(&format!(
                "the last checkpoint still holds rows that were sent, which come twice therefore: {error}"
            ));
        }
        self.changed = false;
    }
}

/// What there was to resume.
pub enum Resumed {
    Nothing,
    /// Rows to be sent again.
    Rows(Vec<Batch>),
    /// The statements must be made anew.
    Spoilt,
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        self.held.drain(..).for_each(|delivery| delivery.settle(Outcome::Aborted));
    }
}
