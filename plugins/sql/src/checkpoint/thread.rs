//! The thread that stores checkpoints: a disk that takes its time holds up no points.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use headwater_plugin_api::plugin::{Counter, Delivery, Gauge, Host, Outcome};

use super::KEY;

/// Bytes of stack: it calls the store and nothing else.
const STACK: usize = 256 << 10;

/// A checkpoint, and the handles of the points that it answers for.
struct Job {
    bytes: Vec<u8>,
    handles: Vec<Delivery>,
}

/// What both sides see.
struct Shared {
    busy: AtomicBool,
    /// Handles of points whose checkpoint could not be stored: a later one answers for them.
    failed: Mutex<Option<Delivery>>,
    host: Host,
    errors: Counter,
    store_ns: Gauge,
}

impl Shared {
    fn take_failed(&self) -> Option<Delivery> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, handles: Vec<Delivery>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Delivery::join(handles);
    }

    fn store(&self, job: Job) {
        let start = std::time::Instant::now();
        let stored = self.host.save_state(KEY, &job.bytes);
        self.store_ns.set(i64::try_from(start.elapsed().as_nanos()).unwrap_or(i64::MAX));
        let mut handles = job.handles;
        handles.extend(self.take_failed());
        match stored {
            Ok(()) => handles.into_iter().for_each(|handle| handle.settle(Outcome::Delivered)),
            Err(error) => {
                self.errors.add(1);
                self.host
                    .warn(&format!("a checkpoint cannot be stored, the last one stands: {error}"));
                self.keep(handles);
            }
        }
    }
}

/// Stores checkpoints, one after the other.
pub struct Keeper {
    shared: Arc<Shared>,
    thread: Option<(SyncSender<Job>, JoinHandle<()>)>,
}

impl Keeper {
    pub fn new(host: &Host) -> Self {
        let shared = Shared {
            busy: AtomicBool::new(false),
            failed: Mutex::new(None),
            host: host.clone(),
            errors: host.counter("checkpoint_errors"),
            store_ns: host.gauge("checkpoint_store_ns"),
        };
        Keeper { shared: Arc::new(shared), thread: None }
    }

    /// Whether the last one is not stored yet.
    pub fn is_busy(&self) -> bool {
        self.shared.busy.load(Ordering::Acquire)
    }

    /// Whether points wait for a checkpoint that can be stored.
    pub fn has_failed(&self) -> bool {
        self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The handles of points whose checkpoint could not be stored.
    pub fn take_failed(&self) -> Option<Delivery> {
        self.shared.take_failed()
    }

    /// Stores a checkpoint; the one before is stored.
    pub fn store(&mut self, bytes: Vec<u8>, handles: Vec<Delivery>) {
        let mut job = Job { bytes, handles };
        self.shared.busy.store(true, Ordering::Release);
        if self.thread.is_none() {
            self.thread = start(&self.shared);
        }
        if let Some((jobs, _)) = &self.thread {
            match jobs.send(job) {
                Ok(()) => return,
                Err(refused) => job = refused.0,
            }
        }
        // There is no thread to be had: better slowly than not at all.
        self.shared.store(job);
        self.shared.busy.store(false, Ordering::Release);
    }

    /// Waits until all is stored.
    pub fn finish(&mut self) {
        if let Some((jobs, thread)) = self.thread.take() {
            drop(jobs);
            // A thread that panicked has told so, and holds no handle any more.
            let _ = thread.join();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.finish();
        if let Some(handle) = self.shared.take_failed() {
            handle.settle(Outcome::Aborted);
        }
    }
}

fn start(shared: &Arc<Shared>) -> Option<(SyncSender<Job>, JoinHandle<()>)> {
    let (sender, jobs): (_, Receiver<Job>) = sync_channel(1);
    let own = Arc::clone(shared);
    let builder = Builder::new().name("sql-checkpoint".to_owned()).stack_size(STACK);
    let thread = builder.spawn(move || {
        for job in jobs {
            own.store(job);
            own.busy.store(false, Ordering::Release);
        }
    });
    match thread {
        Ok(thread) => Some((sender, thread)),
        Err(error) => {
            shared.host.warn(&format!("there is no thread to store checkpoints: {error}"));
            None
        }
    }
}
