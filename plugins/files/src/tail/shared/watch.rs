//! How changes of files become known: the kernel tells of them, and a timer looks.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use headwater_plugin_api::plugin::Error;
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::{Files, Shared, Trail, Watched, lock, set_timer, ticks};

/// How often files are looked at if nobody tells of changes.
pub const POLL: Duration = Duration::from_millis(250);

/// How often paths are looked for, whoever tells of changes: not every file system does.
pub const RESCAN: Duration = Duration::from_secs(10);

/// Ticks in the time after which an event of several lines is over.
const WAIT_TICKS: u32 = 4;

impl Shared {
    /// True if it was not watched before.
    pub(super) fn watch_folder(&self, files: &mut Files, folder: &Path) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        if files.folders.contains(folder) {
            return false;
        }
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(inotify, folder, flags) {
            Ok(watch) => {
                files.watches.insert(watch, Watched::Folder(folder.to_owned()));
                files.folders.insert(folder.to_owned());
                true
            }
            Err(error) => {
                self.no_watch(folder, error);
                false
            }
        }
    }

    pub(super) fn watch_file(&self, files: &mut Files, path: &Path) {
        let Some(inotify) = &self.inotify else { return };
        let flags = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE_SELF
            | WatchFlags::DELETE_SELF;
        match inotify::add_watch(inotify, path, flags) {
            Ok(watch) => {
                files.watches.insert(watch, Watched::File(path.to_owned()));
            }
            Err(error) => self.no_watch(path, error),
        }
    }

    /// Goes over to looking at files when no more can be watched.
    fn no_watch(&self, path: &Path, error: Errno) {
        let gone = matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::ACCESS);
        if !gone && !self.blind.swap(true, Ordering::Relaxed) {
            self.host.warn(&format!(
                "{} cannot be watched: {error}; files are looked at every {POLL:?} instead. Raise \
                 fs.inotify.max_user_watches, or set watch_method = \"poll\"",
                path.display()
            ));
            set_timer(&self.timer, POLL);
        }
    }

    /// Takes note of changes.
    ///
    /// # Errors
    /// The queue of changes is of no use any more.
    pub fn changes(self: &Arc<Self>) -> Result<(), Error> {
        let Some(inotify) = &self.inotify else { return Ok(()) };
        let mut space = [MaybeUninit::uninit(); 16 * 1024];
        let mut reader = inotify::Reader::new(inotify, &mut space);
        let mut files = lock(&self.files);
        let mut paths = BTreeSet::new();
        let mut rescan = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    return Err(Error::failed(format!("files cannot be watched: {error}")));
                }
            };
            let what = event.events();
            if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                rescan = true;
                continue;
            }
            let gone = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF;
            match files.watches.get(&event.wd()) {
                None => {}
                Some(Watched::File(path)) => {
                    paths.insert(path.clone());
                    if what.contains(ReadFlags::IGNORED) {
                        files.watches.remove(&event.wd());
                    }
                }
                Some(Watched::Folder(folder)) if what.intersects(gone) => {
                    let folder = folder.clone();
                    files.folders.remove(&folder);
                    if what.contains(ReadFlags::IGNORED) {
                        files.watches.remove(&event.wd());
                    }
                }
                Some(Watched::Folder(_)) if what.contains(ReadFlags::ISDIR) => rescan = true,
                Some(Watched::Folder(folder)) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    let path = match folder == Path::new(".") {
                        true => name.map(PathBuf::from),
                        false => name.map(|name| folder.join(name)),
                    };
                    paths.extend(
                        path.filter(|path| {
                            self.patterns.iter().any(|pattern| pattern.matches(path))
                        }),
                    );
                }
            }
        }
        if rescan {
            self.rescan(&mut files);
        }
        for path in paths {
            self.examine(&mut files, &path);
        }
        Ok(())
    }

    /// Looks at what changes were not told of, and saves positions.
    pub fn tick(self: &Arc<Self>) {
        let passed = ticks(&self.timer);
        let ticks = self.ticks.fetch_add(passed, Ordering::Relaxed).wrapping_add(passed);
        let blind = self.blind.load(Ordering::Relaxed);
        let each = (RESCAN.as_millis() / POLL.as_millis()) as u32;
        let mut files = lock(&self.files);
        if !blind || passed >= each || ticks % each < passed {
            self.rescan(&mut files);
            self.save_all(&files);
        } else {
            let paths: Vec<PathBuf> = files.trails.keys().cloned().collect();
            for path in paths {
                self.examine(&mut files, &path);
            }
            for pattern in &self.patterns {
                if let Some(path) = pattern.as_plain()
                    && !files.trails.contains_key(path)
                {
                    self.examine(&mut files, path);
                }
            }
        }
    }

    /// Tells whether an event of a path waits for what follows, and whether that is new.
    pub fn set_waiting(&self, trail: &Trail, waits: bool, fresh: bool) {
        if !waits {
            trail.waiting_since.store(0, Ordering::Relaxed);
            return;
        }
        let tick = self.wait_tick.load(Ordering::Relaxed).max(1);
        if fresh || trail.waiting_since.load(Ordering::Relaxed) == 0 {
            trail.waiting_since.store(tick, Ordering::Relaxed);
        }
        if !self.wait_armed.swap(true, Ordering::SeqCst) {
            let period = self.options.event_timeout / WAIT_TICKS;
            set_timer(&self.wait_timer, period.max(Duration::from_millis(1)));
        }
    }

    /// Ends events that have waited for too long.
    pub fn wait_tick(&self) {
        let passed = ticks(&self.wait_timer);
        let now = self.wait_tick.fetch_add(passed, Ordering::Relaxed).wrapping_add(passed);
        let files = lock(&self.files);
        let mut waits = false;
        for trail in files.trails.values() {
            let since = trail.waiting_since.load(Ordering::Relaxed);
            if since == 0 {
                continue;
            }
            waits = true;
            if now.wrapping_sub(since) > WAIT_TICKS {
                trail.flush_due.store(true, Ordering::SeqCst);
                self.wake(trail);
            }
        }
        if !waits {
            set_timer(&self.wait_timer, Duration::ZERO);
            self.wait_armed.store(false, Ordering::SeqCst);
        }
    }
}
