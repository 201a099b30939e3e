//! One path that is followed, and how.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::lock;
use crate::encoding::Encoding;
use crate::tail::ledger::{self, Identity, Ledger};
use crate::tail::multiline::Assembler;

/// Where to begin with a file that is there when the agent starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// Whether a saved position counts.
    pub saved: bool,
    /// Whether it is the end otherwise.
    pub end: bool,
}

impl Default for Beginning {
    fn default() -> Self {
        Beginning { saved: true, end: true }
    }
}

/// How files are read.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where to begin.
    pub beginning: Beginning,
    /// How characters are written.
    pub encoding: Encoding,
    /// Whether escape sequences are taken out.
    pub strips_ansi: bool,
    /// Puts events of several lines together.
    pub assembler: Option<Assembler>,
    /// When such an event is over.
    pub event_timeout: Duration,
    /// Lines of a path that may be undelivered; 0 for any number.
    pub max_lines: usize,
    /// The tag that takes the path; empty for none.
    pub path_tag: String,
    /// Whether files are looked at and no changes waited for.
    pub polls: bool,
}

/// One path that is followed.
pub struct Trail {
    /// The path.
    pub path: PathBuf,
    /// Whether nothing will be added to the file that is read: it is deleted, or another one under its
    /// name has been written to.
    pub superseded: AtomicBool,
    /// Whether something may have changed since the file was read last.
    pub woken: AtomicBool,
    /// Whether it waits for lines to be delivered.
    pub throttled: AtomicBool,
    /// Whether an event that waits is over.
    pub flush_due: AtomicBool,
    pub(super) source: AtomicU64,
    pub(super) position: AtomicU64,
    /// The tick at which an event began to wait, 0 for none.
    pub(super) waiting_since: AtomicU32,
    ledger: Mutex<Ledger>,
    /// The file that is read; `None` once none is.
    current: Mutex<Option<Arc<File>>>,
}

impl Trail {
    /// A path of which nothing is read yet.
    pub(super) fn new(path: PathBuf) -> Trail {
        Trail {
            path,
            superseded: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            throttled: AtomicBool::new(false),
            flush_due: AtomicBool::new(false),
            source: AtomicU64::new(0),
            position: AtomicU64::new(0),
            waiting_since: AtomicU32::new(0),
            ledger: Mutex::default(),
            current: Mutex::default(),
        }
    }

    /// What of it is outstanding.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Tells how far it was read.
    pub fn set_position(&self, position: u64) {
        self.position.store(position, Ordering::Relaxed);
    }

    /// The file that is read, with what identifies it.
    pub(super) fn current(&self) -> Option<(Arc<File>, Identity)> {
        let file = lock(&self.current).clone()?;
        let identity = ledger::identity(&file).ok()?;
        Some((file, identity))
    }

    /// Another file is read now, or none.
    pub(super) fn set_current(&self, file: Option<Arc<File>>) {
        *lock(&self.current) = file;
    }
}
