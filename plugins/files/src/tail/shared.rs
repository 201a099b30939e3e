//! What the plugin, its watches and its sources share: the paths that are followed, and how changes
//! reach them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use headwater_plugin_api::plugin::{
    Counter, Error, Framing, Gauge, Host, Intake, Settlement, SourceSpec,
};
use rustix::fs::inotify::{self, CreateFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::follow::Follower;
use super::ledger::{self, Identity, Mark};
use crate::encoding::Encoding;
use crate::paths::Pattern;
pub use trail::{Beginning, Options, Trail};
use watch::{POLL, RESCAN};

mod trail;
mod watch;

/// Paths followed at the same time; each holds a descriptor.
const PATHS_MAX: usize = 8192;

/// Files of the past that are known again under other names.
const FINISHED_MAX: usize = 1024;

enum Watched {
    Folder(PathBuf),
    File(PathBuf),
}

/// The paths that are followed. Locked before any trail's own locks.
#[derive(Default)]
struct Files {
    trails: BTreeMap<PathBuf, Arc<Trail>>,
    sources: HashMap<u64, Arc<Trail>>,
    watches: HashMap<i32, Watched>,
    folders: BTreeSet<PathBuf>,
    /// The files that are read, or will be: none is read under two names.
    reading: HashSet<Identity>,
    /// Other names of those, to be looked at when they are finished.
    later: BTreeSet<PathBuf>,
    finished: VecDeque<Mark>,
    /// Paths that could not be opened, so that it is said once.
    unreadable: BTreeSet<PathBuf>,
    started: bool,
    full: bool,
}

/// See the module.
pub struct Shared {
    /// The agent's services.
    pub host: Host,
    /// How files are read.
    pub options: Options,
    intake: Intake,
    patterns: Vec<Pattern>,
    inotify: Option<OwnedFd>,
    /// Whether files must be looked at because watches could not be set.
    blind: AtomicBool,
    timer: OwnedFd,
    ticks: AtomicU32,
    wait_timer: OwnedFd,
    wait_tick: AtomicU32,
    wait_armed: AtomicBool,
    files: Mutex<Files>,
    followed: Gauge,
    too_long: Counter,
    save_failed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn timer() -> Result<OwnedFd, Error> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    timerfd_create(TimerfdClockId::Monotonic, flags)
        .map_err(|error| Error::not_connected(format!("cannot make a timer: {error}")))
}

fn set_timer(timer: &OwnedFd, period: Duration) {
    let Ok(time) = Timespec::try_from(period) else { return };
    let spec = Itimerspec { it_interval: time, it_value: time };
    let _ = timerfd_settime(timer, TimerfdTimerFlags::empty(), &spec);
}

/// Ticks of a timer since it was asked last.
fn ticks(timer: &OwnedFd) -> u32 {
    let mut count = [0; 8];
    match rustix::io::read(timer, &mut count) {
        Ok(8) => u32::try_from(u64::from_ne_bytes(count)).unwrap_or(u32::MAX),
        _ => 0,
    }
}

impl Shared {
    /// Nothing is followed yet.
    ///
    /// # Errors
    /// The system has no timer or queue of changes to give.
    pub fn new(
        host: Host,
        options: Options,
        patterns: Vec<Pattern>,
        intake: Intake,
    ) -> Result<Arc<Shared>, Error> {
        let inotify = match options.polls {
            true => None,
            false => Some(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(
                |error| {
                    Error::not_connected(format!(
                        "files cannot be watched: {error}; raise fs.inotify.max_user_instances, \
                         or set watch_method = \"poll\""
                    ))
                },
            )?),
        };
        let shared = Shared {
            followed: host.gauge("files"),
            too_long: host.counter("lines_too_long"),
            host,
            intake,
            patterns,
            blind: AtomicBool::new(inotify.is_none()),
            inotify,
            timer: timer()?,
            ticks: AtomicU32::new(0),
            wait_timer: timer()?,
            wait_tick: AtomicU32::new(1),
            wait_armed: AtomicBool::new(false),
            files: Mutex::default(),
            save_failed: AtomicBool::new(false),
            options,
        };
        set_timer(&shared.timer, if shared.options.polls { POLL } else { RESCAN });
        Ok(Arc::new(shared))
    }

    /// The queue of changes, if there is one.
    pub fn inotify(&self) -> Option<&OwnedFd> {
        self.inotify.as_ref()
    }

    /// The timer for [`Shared::tick`].
    pub fn timer(&self) -> &OwnedFd {
        &self.timer
    }

    /// The timer for [`Shared::wait_tick`].
    pub fn wait_timer(&self) -> &OwnedFd {
        &self.wait_timer
    }

    /// Follows what there is. What comes later is new, and read from its start.
    pub fn begin(self: &Arc<Self>) {
        let mut files = lock(&self.files);
        self.rescan(&mut files);
        files.started = true;
    }

    fn rescan(self: &Arc<Self>, files: &mut Files) {
        let mut found = BTreeSet::new();
        // A folder is watched before it is searched for good, so that nothing comes in between.
        for _ in 0..3 {
            let mut folders = BTreeSet::new();
            for pattern in &self.patterns {
                if let Err(error) = pattern.find(&mut found, &mut folders) {
                    self.host.error(error.message());
                }
                if pattern.as_plain().is_some() {
                    folders.insert(pattern.folder());
                }
            }
            let mut news = false;
            for folder in folders {
                news |= self.watch_folder(files, &folder);
            }
            if !news {
                break;
            }
        }
        for path in files.trails.keys() {
            found.insert(path.clone());
        }
        let mut found: Vec<PathBuf> = found.into_iter().collect();
        if !files.started && self.options.beginning.saved {
            // Those with a saved position first: what they were renamed to may match as well.
            found.sort_by_cached_key(|path| self.host.load_state(&key(path)).is_none());
        }
        for path in found {
            self.examine(files, &path);
        }
        self.forget(files);
    }

    /// Drops what is over and delivered.
    fn forget(&self, files: &mut Files) {
        let over = |trail: &Trail| trail.current().is_none() && trail.ledger().lines() == 0;
        let dead: Vec<PathBuf> = files
            .trails
            .iter()
            .filter(|(_, trail)| over(trail) && !trail.ledger().is_outstanding())
            .map(|(path, _)| path.clone())
            .collect();
        for path in dead {
            if let Some(trail) = files.trails.remove(&path) {
                self.save_trail(&trail);
                files.sources.retain(|_, other| !Arc::ptr_eq(other, &trail));
            }
        }
        self.count(files);
    }

    fn count(&self, files: &Files) {
        let count = files.trails.values().filter(|trail| trail.current().is_some()).count();
        self.followed.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Looks at what stands under a path now.
    fn examine(self: &Arc<Self>, files: &mut Files, path: &Path) {
        let metadata = path.metadata();
        let trail = files.trails.get(path).cloned();
        let current = trail.as_ref().and_then(|trail| trail.current());
        match (trail, current, metadata) {
            (Some(trail), Some((_, identity)), Ok(metadata)) => {
                if identity != of(&metadata) {
                    // An empty file may wait for its writer to let go of the old one.
                    match metadata.len() {
                        0 => self.watch_file(files, path),
                        _ => trail.superseded.store(true, Ordering::SeqCst),
                    }
                    self.wake(&trail);
                } else if metadata.len() != trail.position.load(Ordering::Relaxed) {
                    self.wake(&trail);
                }
            }
            (Some(trail), Some((file, _)), Err(error)) if error.kind() == ErrorKind::NotFound => {
                if file.metadata().is_ok_and(|metadata| metadata.nlink() == 0) {
                    trail.superseded.store(true, Ordering::SeqCst);
                }
                self.wake(&trail);
            }
            (trail, None, Ok(metadata)) if metadata.is_file() => {
                self.follow(files, path, trail, &metadata);
            }
            _ => {}
        }
    }

    fn wake(&self, trail: &Trail) {
        trail.woken.store(true, Ordering::SeqCst);
        match trail.source.load(Ordering::SeqCst) {
            0 => {}
            source => self.intake.wake(source),
        }
    }

    /// Begins to follow a path.
    fn follow(
        self: &Arc<Self>,
        files: &mut Files,
        path: &Path,
        old: Option<Arc<Trail>>,
        metadata: &Metadata,
    ) {
        // Under another name the file is read already: it was renamed, or is linked twice.
        if files.reading.contains(&of(metadata)) {
            if files.later.len() < PATHS_MAX {
                files.later.insert(path.to_owned());
            }
            return;
        }
        if files.trails.len() >= PATHS_MAX {
            if !std::mem::replace(&mut files.full, true) {
                self.host.error(&format!(
                    "{} and others are not followed: there are {PATHS_MAX} files already; write \
                     narrower patterns",
                    path.display()
                ));
            }
            return;
        }
        self.watch_file(files, path);
        let file = match super::open(path) {
            Ok(file) => Arc::new(file),
            Err(error) => {
                if files.unreadable.len() < PATHS_MAX && files.unreadable.insert(path.to_owned()) {
                    let path = path.display();
                    self.host.error(&format!("{path} cannot be read: {error}"));
                }
                return;
            }
        };
        files.unreadable.remove(path);
        let mut queue = self.where_to_begin(files, path, old.is_some(), file);
        let identities: Vec<Identity> =
            queue.iter().filter_map(|(file, _)| ledger::identity(file).ok()).collect();
        let Some(first) = queue.pop_front() else { return };
        let trail = old.unwrap_or_else(|| Arc::new(Trail::new(path.to_owned())));
        trail.superseded.store(false, Ordering::SeqCst);
        let last = queue.back().unwrap_or(&first);
        trail.set_current(Some(Arc::clone(&last.0)));
        let name = path.to_string_lossy();
        let tags = [(self.options.path_tag.as_str(), &*name)];
        let spec = SourceSpec {
            name: &name,
            framing: Framing::Messages,
            descriptor: None,
            start: first.1,
            tags: if self.options.path_tag.is_empty() { &[] } else { &tags },
            finite: false,
            acknowledged: true,
            lossy: false,
        };
        let follower = Follower::new(Arc::clone(self), Arc::clone(&trail), first, queue);
        match self.intake.open(&spec, follower) {
            Some(source) => {
                trail.source.store(source, Ordering::SeqCst);
                files.sources.insert(source, Arc::clone(&trail));
                files.reading.extend(identities);
                files.trails.insert(path.to_owned(), trail);
                self.count(files);
            }
            // The agent says so; the next search tries again.
            None => trail.set_current(None),
        }
    }

    /// The files to read, in turn, with where to begin in each.
    fn where_to_begin(
        &self,
        files: &mut Files,
        path: &Path,
        again: bool,
        file: Arc<File>,
    ) -> VecDeque<(Arc<File>, u64)> {
        let fits = |mark: &Mark| mark.fits(&file);
        if let Some(at) = files.finished.iter().rposition(fits)
            && let Some(mark) = files.finished.remove(at)
        {
            return VecDeque::from([(file, mark.position)]);
        }
        let beginning = self.options.beginning;
        let saved = match beginning.saved && !again {
            true => self.host.load_state(&key(path)),
            false => None,
        };
        if let Some(marks) = saved.as_deref().and_then(ledger::parse_state) {
            let current = ledger::identity(&file).ok();
            let mut queue = VecDeque::new();
            let mut last = None;
            for (file, position) in ledger::locate(path, &marks) {
                let identity = ledger::identity(&file).ok();
                if identity.is_some_and(|identity| !files.reading.contains(&identity)) {
                    queue.push_back((Arc::new(file), position));
                    last = identity;
                }
            }
            if current != last {
                queue.push_back((file, 0));
            }
            return queue;
        }
        let start = match beginning.end && !files.started && !again {
            true => file.metadata().map_or(0, |metadata| metadata.len()),
            false => 0,
        };
        // A character of two bytes is not begun in its middle.
        let start = match self.options.encoding {
            Encoding::Utf16le | Encoding::Utf16be => start & !1,
            _ => start,
        };
        VecDeque::from([(file, start)])
    }

    /// The file that has taken the place of the one that was read to its end; `None` if there is none.
    pub fn follow_up(
        self: &Arc<Self>,
        trail: &Trail,
        done: Option<Mark>,
    ) -> Option<(Arc<File>, u64)> {
        let mut files = lock(&self.files);
        trail.superseded.store(false, Ordering::SeqCst);
        let before = done.as_ref().map(|mark| mark.identity);
        remember(&mut files, done);
        let next = super::open(&trail.path).ok().map(Arc::new);
        let identity = next.as_ref().and_then(|file| ledger::identity(file).ok());
        // What is read under another name is read there to its end.
        let free = identity != before && identity.is_some_and(|it| files.reading.insert(it));
        let next = next.filter(|_| free);
        trail.set_current(next.clone());
        if next.is_some() {
            self.watch_file(&mut files, &trail.path);
        } else {
            trail.source.store(0, Ordering::SeqCst);
        }
        self.look_later(&mut files);
        Some((next?, 0))
    }

    /// A file was read to its end and another one of its path follows.
    pub fn finished(self: &Arc<Self>, done: Option<Mark>) {
        let mut files = lock(&self.files);
        remember(&mut files, done);
        self.look_later(&mut files);
    }

    fn look_later(self: &Arc<Self>, files: &mut Files) {
        for path in std::mem::take(&mut files.later) {
            self.examine(files, &path);
        }
    }

    /// A file could not be read on. When paths are looked at next, it is tried again from there.
    pub fn failed(&self, trail: &Trail, mark: Option<Mark>) {
        let mut files = lock(&self.files);
        if let Some((_, identity)) = trail.current() {
            files.reading.remove(&identity);
        }
        remember(&mut files, mark);
        trail.set_current(None);
        trail.source.store(0, Ordering::SeqCst);
        trail.waiting_since.store(0, Ordering::Relaxed);
    }

    /// A line was passed over.
    pub fn too_long(&self, trail: &Trail, position: u64, bytes: usize) {
        self.too_long.add(1);
        let path = trail.path.display();
        self.host.warn(&format!(
            "{path}, byte {position}: a line of {bytes} bytes or more is passed over; the longest \
             may have {}",
            super::lines::LINE_MAX
        ));
    }

    /// Takes note of what became of parts.
    pub fn settled(&self, settlements: &[Settlement]) {
        let files = lock(&self.files);
        for settlement in settlements {
            let Some(trail) = files.sources.get(&settlement.source) else { continue };
            let lines = {
                let mut ledger = trail.ledger();
                ledger.settle(settlement.token, settlement.outcome);
                ledger.lines()
            };
            if lines < self.options.max_lines && trail.throttled.swap(false, Ordering::SeqCst) {
                self.wake(trail);
            }
        }
    }

    /// Saves the positions that have changed.
    pub fn save(&self) {
        self.save_all(&lock(&self.files));
    }

    fn save_all(&self, files: &Files) {
        for trail in files.trails.values() {
            self.save_trail(trail);
        }
    }

    /// Saves the position in a path, if it has changed.
    pub fn save_trail(&self, trail: &Trail) {
        let Some(state) = trail.ledger().state() else { return };
        match self.host.save_state(&key(&trail.path), &state) {
            Ok(()) => self.save_failed.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.save_failed.swap(true, Ordering::Relaxed) {
                    let path = trail.path.display();
                    self.host.error(&format!("the position in {path} cannot be saved: {error}"));
                }
            }
        }
    }

    /// Ends all sources; what they have read settles still.
    pub fn close(&self) {
        let sources: Vec<u64> = lock(&self.files).sources.keys().copied().collect();
        for source in sources {
            self.intake.close(source);
        }
    }
}

fn of(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn remember(files: &mut Files, done: Option<Mark>) {
    if let Some(done) = done {
        files.reading.remove(&done.identity);
        files.finished.push_back(done);
    }
    if files.finished.len() > FINISHED_MAX {
        files.finished.pop_front();
    }
}

/// The key of a path's state.
fn key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
