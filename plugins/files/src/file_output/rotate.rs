//! A file that is set aside when it is old or large.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use headwater_plugin_api::plugin::{Context, Host};

const SECOND_NS: i64 = 1_000_000_000;

/// When a file is set aside, and how many of those are kept.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// After so long.
    pub interval: Option<Duration>,
    /// With so many bytes.
    pub max_size: Option<u64>,
    /// So many are kept; `None` for all.
    pub archives: Option<usize>,
}

/// A file to append to.
pub struct RotatedFile {
    path: PathBuf,
    rotation: Rotation,
    open: Option<Open>,
    /// Whether setting aside failed last time, so that it is said once.
    complained: bool,
}

struct Open {
    file: File,
    identity: (u64, u64),
    /// When its time began, by the agent's clock.
    since_ns: i64,
}

impl RotatedFile {
    /// A file that is not open yet.
    pub fn new(path: &Path, rotation: Rotation) -> RotatedFile {
        RotatedFile { path: path.to_owned(), rotation, open: None, complained: false }
    }

    /// Opens the file, and makes it if it is missing.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn open(&mut self, now_ns: i64) -> Result<(), String> {
        if self.open.is_some() {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o644);
        let file = options.open(&self.path).map_err(|error| self.failure(&error))?;
        let metadata = file.metadata().map_err(|error| self.failure(&error))?;
        // What stood in it before counts from when it was written last.
        let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|since| i64::try_from(since.as_nanos()).ok());
        let since_ns = match modified {
            Some(modified) if metadata.len() > 0 => modified,
            _ => now_ns,
        };
        let identity = (metadata.dev(), metadata.ino());
        self.open = Some(Open { file, identity, since_ns });
        Ok(())
    }

    /// Closes the file.
    pub fn close(&mut self) {
        self.open = None;
    }

    fn failure(&self, error: &std::io::Error) -> String {
        let remedy = match error.kind() {
            ErrorKind::NotFound => "; make its folder first",
            ErrorKind::PermissionDenied => "; let the agent's user write there",
            ErrorKind::StorageFull => "; make room on its file system",
            _ => "",
        };
        format!("cannot write to {}: {error}{remedy}", self.path.display())
    }

    /// Appends the bytes, counting what is done; after that the file may be set aside. If not all of
    /// them could be written, what was written is taken back, if it can be.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn write(
        &mut self,
        cx: &Context<'_>,
        bytes: &[u8],
        written: &mut usize,
        host: &Host,
    ) -> Result<(), String> {
        self.follow_path();
        self.open(cx.now())?;
        let Some(open) = &self.open else { return Ok(()) };
        let before = *written;
        if let Err(error) = super::put(cx, open.file.as_fd(), bytes, written) {
            let done = (*written - before) as u64;
            if done > 0 && take_back(&open.file, done) {
                *written = before;
            }
            return Err(self.failure(&error));
        }
        if self.is_due(cx.now()) {
            self.set_aside(cx.now(), host);
        }
        Ok(())
    }

    /// Lets go of a file that was renamed or deleted, as programs that rotate files do.
    fn follow_path(&mut self) {
        let Some(open) = &self.open else { return };
        let there = std::fs::metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        let moved = match there {
            Ok(identity) => identity != open.identity,
            Err(error) => error.kind() == ErrorKind::NotFound,
        };
        if moved {
            self.open = None;
        }
    }

    fn is_due(&self, now_ns: i64) -> bool {
        let Some(open) = &self.open else { return false };
        let Ok(metadata) = open.file.metadata() else { return false };
        if !metadata.is_file() || metadata.len() == 0 {
            return false;
        }
        let age = u64::try_from(now_ns.saturating_sub(open.since_ns)).unwrap_or(0);
        self.rotation.max_size.is_some_and(|max| metadata.len() >= max)
            || self.rotation.interval.is_some_and(|max| u128::from(age) >= max.as_nanos())
    }

    /// Renames the file and deletes the oldest ones. What was written is safe whatever fails here.
    fn set_aside(&mut self, now_ns: i64, host: &Host) {
        let result = self.archive(now_ns);
        match result {
            Ok(()) => {
                self.open = None;
                self.complained = false;
            }
            Err(error) if !std::mem::replace(&mut self.complained, true) => {
                host.warn(&format!("{} cannot be rotated: {error}", self.path.display()));
            }
            Err(_) => {}
        }
    }

    fn archive(&self, now_ns: i64) -> std::io::Result<()> {
        let mut archives = self.archives()?;
        archives.sort_unstable();
        // Two within a second must neither overwrite each other nor change places.
        let newest = archives.last().map_or(i64::MIN, |(seconds, _)| *seconds);
        let seconds = now_ns.div_euclid(SECOND_NS).max(newest.saturating_add(1));
        let target = self.archive_path(seconds);
        if std::fs::symlink_metadata(&target).is_ok() {
            return Err(std::io::Error::other(format!("{} is in the way", target.display())));
        }
        std::fs::rename(&self.path, &target)?;
        archives.push((seconds, target));
        let Some(keep) = self.rotation.archives else { return Ok(()) };
        let surplus = archives.len().saturating_sub(keep);
        for (_, path) in archives.into_iter().take(surplus) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }

    /// `metrics.out` becomes `metrics.2026-01-31-1769817600.out`; the day is UTC's.
    fn archive_path(&self, seconds: i64) -> PathBuf {
        let (stem, extension) = self.name_parts();
        let (year, month, day) = date(seconds.div_euclid(86_400));
        let name = format!("{stem}.{year:04}-{month:02}-{day:02}-{seconds}{extension}");
        self.path.with_file_name(name)
    }

    fn name_parts(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.unwrap_or_default().to_string_lossy().into_owned()
        };
        let extension = match self.path.extension() {
            None => String::new(),
            extension => format!(".{}", text(extension)),
        };
        (text(self.path.file_stem()), extension)
    }

    /// The files that were set aside, with when.
    fn archives(&self) -> std::io::Result<Vec<(i64, PathBuf)>> {
        let (stem, extension) = self.name_parts();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut archives = Vec::new();
        for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let entry = entry?;
            let name = entry.file_name();
            let seconds = name.to_str().and_then(|name| {
                let rest = name.strip_prefix(&stem)?.strip_prefix('.')?;
                let rest = rest.strip_suffix(&extension)?;
                let (date, seconds) = rest.split_at_checked(11)?;
                let is_date = date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
                is_date.then(|| seconds.parse::<i64>().ok()).flatten()
            });
            archives.extend(seconds.map(|seconds| (seconds, entry.path())));
        }
        Ok(archives)
    }
}

/// Takes the last bytes of a file back, if nobody has written behind them.
fn take_back(file: &File, bytes: u64) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    let Ok(end) = rustix::fs::tell(file) else { return false };
    let before = metadata.len().checked_sub(bytes);
    match before {
        Some(before) if metadata.is_file() && end == metadata.len() => file.set_len(before).is_ok(),
        _ => false,
    }
}

/// Year, month and day of a day since the epoch, in the calendar that repeats every 400 years.
fn date(day: i64) -> (i64, i64, i64) {
    // Counted from the 1st of March of year 0, so that leap days come last.
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        for (day, expected) in [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_484, (2026, 1, 31)),
            (47_541, (2100, 3, 1)),
            (47_540, (2100, 2, 28)),
        ] {
            assert_eq!(date(day), expected, "{day}");
        }
    }

    #[test]
    fn archives_are_named_after_the_file() {
        let rotation = Rotation { interval: None, max_size: None, archives: None };
        let name = |path: &str| {
            let file = RotatedFile::new(Path::new(path), rotation.clone());
            file.archive_path(1_769_817_600).display().to_string()
        };
        assert_eq!(name("/a/metrics.out"), "/a/metrics.2026-01-31-1769817600.out");
        assert_eq!(name("metrics"), "metrics.2026-01-31-1769817600");
        assert_eq!(name("/a/m.tar.gz"), "/a/m.tar.2026-01-31-1769817600.gz");
        assert_eq!(name("/a/.hidden"), "/a/.hidden.2026-01-31-1769817600");
    }
}
