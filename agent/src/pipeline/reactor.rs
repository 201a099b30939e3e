//! The workers: threads that wait for sources together and take each from its bytes to the outputs.
//!
//! All idle workers wait on one epoll with one-shot registrations: the kernel wakes one of them for
//! each source that has something. It reads, arms the source again, so that another worker can read
//! on, and works on what it has. There is no queue and no hand-over between threads.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_plugin_api::abi::serve::{self, Watched};
use rustix::event::{EventfdFlags, epoll};

use super::core::{Core, Worker};
use super::source::{Next, SourceState};

/// The event that wakes workers for sources without a descriptor.
const WAKE: u64 = 0;
/// A worker without work for so long forgets what it remembers of series, and so does one that had
/// less than [`RARE`] chunks within [`RARE_WITHIN`].
const REST_AFTER: Duration = Duration::from_secs(10);
const RARE: u32 = 600;
const RARE_WITHIN: Duration = Duration::from_secs(60);
/// Sources and watches that may be open at once.
pub const MAX_ENTRIES: usize = 65_536;

enum Entry {
    Source(Arc<SourceState>),
    Watch(Arc<WatchState>),
}

struct WatchState {
    descriptor: RawFd,
    watched: Mutex<Option<Watched>>,
}

/// When a worker rests.
struct Rest {
    /// Chunks since it last did, or since it last had many.
    chunks: u32,
    since: Instant,
}

impl Rest {
    fn new() -> Self {
        Rest { chunks: 0, since: Instant::now() }
    }

    /// Counts a chunk. Whether there were few for long.
    fn is_due(&mut self) -> bool {
        self.chunks = self.chunks.saturating_add(1);
        if self.since.elapsed() < RARE_WITHIN {
            return false;
        }
        let is_rare = self.chunks < RARE;
        *self = Rest { chunks: 1, since: Instant::now() };
        is_rare
    }
}

/// What the workers share.
pub struct Reactor {
    epoll: OwnedFd,
    wake: OwnedFd,
    entries: Mutex<HashMap<u64, Entry>>,
    ready: Mutex<VecDeque<u64>>,
    numbers: AtomicU64,
    /// Workers that are at work, not waiting.
    busy: AtomicUsize,
    idle: Condvar,
    idle_lock: Mutex<()>,
    paused: AtomicBool,
    stopped: AtomicBool,
    workers: AtomicUsize,
}

impl Reactor {
    /// A reactor without workers.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn new() -> std::io::Result<Arc<Reactor>> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = rustix::event::eventfd(
            0,
            EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE,
        )?;
        epoll::add(&epoll, &wake, epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN)?;
        Ok(Arc::new(Reactor {
            epoll,
            wake,
            entries: Mutex::default(),
            ready: Mutex::default(),
            numbers: AtomicU64::new(1),
            busy: AtomicUsize::new(0),
            idle: Condvar::new(),
            idle_lock: Mutex::default(),
            paused: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            workers: AtomicUsize::new(0),
        }))
    }

    /// A number that no source or input of this process has.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a source that was opened under a number of [`number`](Self::number). False if there is no
    /// room.
    pub fn add_source(&self, source: Arc<SourceState>) -> bool {
        let id = source.id;
        let descriptor = source.spec.descriptor;
        {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            if entries.len() >= MAX_ENTRIES || self.stopped.load(Ordering::Acquire) {
                return false;
            }
            entries.insert(id, Entry::Source(source));
        }
        match descriptor {
            Some(descriptor) => {
                if !self.register(descriptor, id) {
                    self.remove(id);
                    return false;
                }
            }
            None => self.make_ready(id),
        }
        true
    }

    /// Adds a watch; `None` if there is no room.
    pub fn add_watch(&self, descriptor: RawFd, watched: Watched) -> Option<u64> {
        let id = self.number();
        let watch = Arc::new(WatchState { descriptor, watched: Mutex::new(Some(watched)) });
        {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            if entries.len() >= MAX_ENTRIES || self.stopped.load(Ordering::Acquire) {
                return None;
            }
            entries.insert(id, Entry::Watch(watch));
        }
        if !self.register(descriptor, id) {
            self.remove(id);
            return None;
        }
        Some(id)
    }

    fn register(&self, descriptor: RawFd, id: u64) -> bool {
        let Some(fd) = serve::borrow_descriptor(descriptor) else { return false };
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(id), flags).is_ok()
    }

    fn arm(&self, descriptor: RawFd, id: u64) {
        if let Some(fd) = serve::borrow_descriptor(descriptor) {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
            let _ = epoll::modify(&self.epoll, fd, epoll::EventData::new_u64(id), flags);
        }
    }

    fn remove(&self, id: u64) {
        let entry = self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        // The descriptor leaves the epoll when the source closes it.
        drop(entry);
    }

    /// Says that a source may have something to read.
    pub fn make_ready(&self, id: u64) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).push_back(id);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Ends a source after what it has read, or a watch.
    pub fn close(&self, id: u64) {
        let watch = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            match entries.get(&id) {
                Some(Entry::Source(source)) => {
                    source.close();
                    None
                }
                Some(Entry::Watch(_)) => entries.remove(&id),
                None => return,
            }
        };
        match watch {
            // A watch whose call runs, perhaps this very one, ends with that call.
            Some(Entry::Watch(watch)) => end_watch(&watch),
            _ => self.make_ready(id),
        }
    }

    /// Wakes sources.
    pub fn wake_all(&self, ids: Vec<u64>) {
        for id in ids {
            self.make_ready(id);
        }
    }

    /// Starts workers. Threads begin when there is a source to wait for.
    pub fn spawn(self: &Arc<Self>, core: &Arc<Core>, inputs: usize, count: usize) {
        for _ in 0..count {
            let number = self.workers.fetch_add(1, Ordering::Relaxed);
            let (reactor, core) = (Arc::clone(self), Arc::clone(core));
            let spawned =
                std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                    let mut worker = core.worker(inputs);
                    worker.call.is_of_worker();
                    reactor.run(&core, &mut worker);
                });
            if spawned.is_err() {
                self.workers.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// How many workers were ever started.
    pub fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    fn run(self: &Arc<Self>, core: &Core, worker: &mut Worker) {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }];
        let rest_after = rustix::event::Timespec::try_from(REST_AFTER).ok();
        let mut rest = Rest::new();
        while !self.stopped.load(Ordering::Acquire) && !worker.call.is_abandoned() {
            let timeout = rest_after.as_ref().filter(|_| rest.chunks > 0);
            let count = match epoll::wait(&self.epoll, &mut events, timeout) {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
            };
            if count == 0 {
                core.rest(worker);
                rest = Rest::new();
                continue;
            }
            if rest.is_due() {
                core.rest(worker);
            }
            self.busy.fetch_add(1, Ordering::AcqRel);
            let data = events[0].data;
            let id = match data.u64() {
                WAKE => self.take_ready(),
                id => Some(id),
            };
            if let Some(id) = id {
                self.handle(core, worker, id);
            }
            if worker.call.is_abandoned() {
                // A replacement took over the count.
                return;
            }
            self.busy.fetch_sub(1, Ordering::AcqRel);
            self.idle.notify_all();
        }
    }

    /// A worker's thread was given up: it does not count as busy any more.
    pub fn replace_worker(self: &Arc<Self>, core: &Arc<Core>, inputs: usize) {
        self.busy.fetch_sub(1, Ordering::AcqRel);
        self.idle.notify_all();
        self.spawn(core, inputs, 1);
    }

    fn take_ready(&self) -> Option<u64> {
        let mut one = [0; 8];
        rustix::io::read(&self.wake, &mut one).ok()?;
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn handle(self: &Arc<Self>, core: &Core, worker: &mut Worker, id: u64) {
        enum Found {
            Source(Arc<SourceState>),
            Watch(Arc<WatchState>),
        }
        let found = {
            let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            match entries.get(&id) {
                Some(Entry::Source(source)) => Found::Source(Arc::clone(source)),
                Some(Entry::Watch(watch)) => Found::Watch(Arc::clone(watch)),
                None => return,
            }
        };
        if self.paused.load(Ordering::Acquire) {
            return;
        }
        match found {
            Found::Watch(watch) => {
                let cx = core.context();
                let goes_on = {
                    let mut watched = watch.watched.lock().unwrap_or_else(PoisonError::into_inner);
                    watched.as_mut().is_some_and(|watched| watched.ready(&cx))
                };
                if goes_on {
                    self.arm(watch.descriptor, id);
                } else {
                    self.remove(id);
                }
            }
            Found::Source(source) => {
                let descriptor = source.spec.descriptor;
                source.handle(core, worker, &|next| match next {
                    Next::Wait => {
                        if let Some(descriptor) = descriptor {
                            self.arm(descriptor, id);
                        }
                    }
                    Next::Again => self.make_ready(id),
                    Next::Held => {}
                    Next::Over => self.remove(id),
                });
            }
        }
    }

    /// Reads what sources have now, so that what peers have handed over is not lost, until nothing
    /// came for a moment or the time is over.
    pub fn drain(&self, deadline: Instant) {
        let ids: Vec<u64> = {
            let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.keys().copied().collect()
        };
        self.wake_all(ids);
        self.wait_idle(deadline);
    }

    /// Waits until no worker is at work and nothing is ready.
    pub fn wait_idle(&self, deadline: Instant) -> bool {
        let mut guard = self.idle_lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let waiting = !self.ready.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
            if self.busy.load(Ordering::Acquire) == 0 && !waiting {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let nap = left.min(Duration::from_millis(5));
            guard = self.idle.wait_timeout(guard, nap).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether any source that ends by itself is still open.
    pub fn has_finite(&self) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().any(|entry| matches!(entry, Entry::Source(source) if source.spec.finite))
    }

    /// Whether any source is open.
    pub fn sources(&self) -> usize {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.values().filter(|entry| matches!(entry, Entry::Source(_))).count()
    }

    /// Reads nothing more.
    pub fn pause(&self) {
        self.paused.store(true, Ordering::Release);
    }

    /// Ends the workers and drops all sources and watches.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        for _ in 0..self.workers() {
            let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
        let entries = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *entries)
        };
        for entry in entries.into_values() {
            if let Entry::Watch(watch) = entry {
                end_watch(&watch);
            }
        }
    }
}

fn end_watch(watch: &WatchState) {
    if let Ok(mut watched) = watch.watched.try_lock() {
        watched.take();
    }
}
