//! The bound of the memory that the statements hold together.
//!
//! It is looked at between batches, every so many of them and whenever much came in. Beyond the bound
//! either new groups are refused or what is open is emitted; what those that are known take beyond a
//! quarter more lets the oldest windows close early, whatever the policy.

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::window::SeriesNumbers;

use super::Engine;
use crate::statement::{Relief, Statement};

/// The memory is added up after so many batches, if they brought this share of what is held.
const BATCHES: u32 = 16;
/// The share of memory held, or of the bound, that must have come in.
const SHARE: usize = 64;
/// How often memory that is only kept to save time is given back while there is too much.
const SPARE_NS: i64 = 1_000_000_000;
/// How many times the oldest quarter of a statement's windows is closed, before all are.
const ROUNDS: usize = 12;

/// What is known of the memory held.
#[derive(Debug)]
pub(super) struct Bytes {
    max: usize,
    /// Open windows are emitted when it is too much, instead of refusing new groups.
    flush: bool,
    /// When it was added up last.
    used: usize,
    /// What came since then.
    batches: u32,
    came: usize,
    /// New groups are refused.
    closed: bool,
    /// When memory was given back last that only saves time, and how much was left.
    spared: (i64, usize),
}

impl Bytes {
    pub fn new(max: usize, flush: bool) -> Self {
        Bytes { max, flush, used: 0, batches: 0, came: 0, closed: false, spared: (i64::MIN, 0) }
    }

    /// Takes note of a batch; whether the memory is to be added up.
    pub fn take(&mut self, batch: &Batch) -> bool {
        self.batches += 1;
        self.came = self.came.saturating_add(batch.byte_size());
        self.came >= self.max / SHARE
            || self.batches >= BATCHES && self.came >= self.used.min(self.max) / SHARE
    }

    /// Takes note of what parts took.
    pub fn add(&mut self, came: usize) {
        self.came = self.came.saturating_add(came);
    }

    /// Bytes that may come into a part before it is merged.
    pub fn part(&self) -> usize {
        (self.max / 4).max(1 << 20)
    }

    /// Whether new groups are refused.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the memory is to be added up although no more batches came: it may be much.
    pub fn is_near(&self) -> bool {
        self.closed || self.used.saturating_add(self.came.saturating_mul(16)) > self.max / 2
    }

    /// Beyond this the oldest windows close early.
    fn hard(&self) -> usize {
        self.max.saturating_add(self.max / 4)
    }
}

/// Gives back what only saves time to statements that no points come for, and what they share. Whether
/// there is anything left to give back.
pub(super) fn rest(statements: &mut [Statement], series: &mut SeriesNumbers, now: i64) -> bool {
    let took = statements.iter().any(Statement::took_any);
    let mut holds = false;
    for statement in &mut *statements {
        holds |= statement.rest(now);
    }
    // Points that no statement wants are no reason to remember those that came before.
    let rests = took && !statements.iter().any(|statement| statement.takes(now));
    if rests || !statements.iter().any(Statement::is_fed) {
        series.release();
    }
    holds
}

impl Engine {
    /// Adds up what all statements hold.
    fn measure(&mut self) {
        let statements = self.statements.iter_mut().map(|statement| statement.measure());
        self.bytes.used = statements.sum::<usize>() + self.series.byte_size();
    }

    /// Keeps the memory of all statements within its bound.
    pub(super) fn bound_bytes(&mut self, now: i64, out: &mut Vec<Batch>) {
        (self.bytes.batches, self.bytes.came) = (0, 0);
        self.measure();
        let (max, hard) = (self.bytes.max, self.bytes.hard());
        if self.bytes.used > max {
            let (spared, left) = self.bytes.spared;
            let long_ago = now < spared || now.saturating_sub(spared) >= SPARE_NS;
            if self.bytes.used > hard || long_ago || self.bytes.used - max / 16 > left {
                self.series.release();
                for at in 0..self.statements.len() {
                    self.relieve(now, at, Relief::Spare, out);
                }
                self.measure();
                self.bytes.spared = (now, self.bytes.used);
            }
            if self.bytes.flush {
                self.relieve_until(now, max, &[Relief::Flush], out);
            }
            if self.bytes.used > hard {
                self.relieve_until(now, max, &[Relief::Oldest; ROUNDS], out);
                self.relieve_until(now, max, &[Relief::All], out);
            }
        }
        let closed = !self.bytes.flush && self.bytes.used > max;
        if closed != self.bytes.closed {
            self.bytes.closed = closed;
            self.statements.iter_mut().for_each(|statement| statement.set_closed(closed));
        }
    }

    /// Relieves the statement that holds most, one after the other, until they hold no more than that.
    fn relieve_until(&mut self, now: i64, most: usize, reliefs: &[Relief], out: &mut Vec<Batch>) {
        let mut done = vec![0; self.statements.len()];
        while self.bytes.used > most {
            let statements = self.statements.iter_mut().enumerate();
            let left = statements.filter(|(at, _)| done[*at] < reliefs.len());
            let sizes = left.map(|(at, statement)| (statement.measure(), at));
            let Some((_, at)) = sizes.max() else { return };
            self.relieve(now, at, reliefs[done[at]], out);
            done[at] += 1;
            self.measure();
        }
    }

    fn relieve(&mut self, now: i64, at: usize, relief: Relief, out: &mut Vec<Batch>) {
        let mut made = Vec::new();
        self.statements[at].relieve(now, relief, &mut made);
        self.pass_on(now, at, made, out);
    }
}
