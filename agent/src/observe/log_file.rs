//! Where log lines go: standard error, or a file that is rotated by age and size.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::time::date_text;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// After a rotation that failed, the next attempt waits so long.
const RETRY_NS: i64 = 60 * NANOS_PER_SECOND;

/// When a file is put aside and a new one begun, and how many are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Age of the file; zero for never.
    pub interval: Duration,
    /// Size of the file in bytes; zero for any.
    pub max_size: u64,
    /// Archives that are kept; below zero for all.
    pub max_archives: i64,
}

impl Default for Rotation {
    fn default() -> Self {
        Rotation { interval: Duration::ZERO, max_size: 0, max_archives: 5 }
    }
}

/// Takes whole lines.
pub trait LineSink: Send {
    /// Writes one line, line end included, in one call to the system. An error says that the line
    /// was not written, a sentence that it was and that something else went wrong.
    fn write_line(&mut self, line: &[u8], now_ns: i64) -> io::Result<Option<String>>;
}

/// Standard error, which is not buffered.
pub struct StandardError;

impl LineSink for StandardError {
    fn write_line(&mut self, line: &[u8], _now_ns: i64) -> io::Result<Option<String>> {
        io::stderr().lock().write_all(line).map(|()| None)
    }
}

/// A file that grows at its end.
pub struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    begin_ns: i64,
    not_before_ns: i64,
}

impl LogFile {
    /// Opens or creates the file and the folders it lies in.
    pub fn open(path: &Path, rotation: Rotation, now_ns: i64) -> io::Result<LogFile> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        let (file, size, begin_ns) = open_end(path, now_ns)?;
        let path = path.to_owned();
        Ok(LogFile { path, rotation, file, size, begin_ns, not_before_ns: i64::MIN })
    }

    fn is_due(&self, now_ns: i64) -> bool {
        let interval = i64::try_from(self.rotation.interval.as_nanos()).unwrap_or(i64::MAX);
        let old = interval > 0 && now_ns.saturating_sub(self.begin_ns) >= interval;
        let large = self.rotation.max_size > 0 && self.size >= self.rotation.max_size;
        self.size > 0 && (old || large) && now_ns >= self.not_before_ns
    }

    fn rotate(&mut self, now_ns: i64) -> io::Result<()> {
        self.not_before_ns = now_ns.saturating_add(RETRY_NS);
        let names = ArchiveNames::of(&self.path);
        let seconds = now_ns.div_euclid(NANOS_PER_SECOND);
        let latest = names.list()?.into_iter().rfind(|found| found.0 == seconds);
        let number = latest.map_or(0, |(_, number, _)| number + 1);
        let archive = names.folder.join(names.name(seconds, number));
        fs::rename(&self.path, archive)?;
        (self.file, self.size, self.begin_ns) = open_end(&self.path, now_ns)?;
        self.not_before_ns = i64::MIN;
        names.remove_oldest(self.rotation.max_archives)
    }
}

impl LineSink for LogFile {
    fn write_line(&mut self, line: &[u8], now_ns: i64) -> io::Result<Option<String>> {
        let rotated = if self.is_due(now_ns) { self.rotate(now_ns) } else { Ok(()) };
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        let complaint = |error| format!("{} cannot be rotated: {error}", self.path.display());
        Ok(rotated.err().map(complaint))
    }
}

/// The file, its size, and when it was begun as far as the system tells: when it was last written to.
fn open_end(path: &Path, now_ns: i64) -> io::Result<(File, u64, i64)> {
    let file = OpenOptions::new().append(true).create(true).open(path)?;
    let metadata = file.metadata()?;
    let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written_ns = written.and_then(|since| i64::try_from(since.as_nanos()).ok());
    let begin_ns = match metadata.len() {
        0 => now_ns,
        _ => written_ns.unwrap_or(now_ns).min(now_ns),
    };
    Ok((file, metadata.len(), begin_ns))
}

/// The names of a file's archives: `stem.2026-11-21-1795251600.ext`.
struct ArchiveNames {
    folder: PathBuf,
    stem: String,
    extension: String,
}

impl ArchiveNames {
    fn of(path: &Path) -> ArchiveNames {
        let text = |part: Option<&OsStr>| {
            part.map_or_else(String::new, |part| part.to_string_lossy().into_owned())
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let extension = text(path.extension());
        let extension = if extension.is_empty() { extension } else { format!(".{extension}") };
        ArchiveNames { folder, stem: text(path.file_stem()), extension }
    }

    /// `n` tells archives of one second apart.
    fn name(&self, seconds: i64, n: u32) -> String {
        let ArchiveNames { stem, extension, .. } = self;
        let date = date_text(seconds);
        match n {
            0 => format!("{stem}.{date}-{seconds}{extension}"),
            _ => format!("{stem}.{date}-{seconds}-{n}{extension}"),
        }
    }

    /// Seconds and number of an archive, if it is one of this file's.
    fn parse(&self, name: &str) -> Option<(i64, u32)> {
        let middle = name.strip_prefix(&self.stem)?.strip_prefix('.')?;
        let middle = middle.strip_suffix(&self.extension)?;
        let (date, rest) = middle.split_at_checked(10)?;
        let (seconds, n) = match rest.strip_prefix('-')?.split_once('-') {
            Some((seconds, n)) => (seconds, n.parse().ok().filter(|n| *n < u32::MAX)?),
            None => (rest.strip_prefix('-')?, 0),
        };
        let seconds: i64 = seconds.parse().ok()?;
        (date_text(seconds) == date).then_some((seconds, n))
    }

    /// The archives with their seconds and numbers, oldest first.
    fn list(&self) -> io::Result<Vec<(i64, u32, OsString)>> {
        let mut archives = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if let Some((seconds, number)) = self.parse(&name.to_string_lossy()) {
                archives.push((seconds, number, name));
            }
        }
        archives.sort();
        Ok(archives)
    }

    fn remove_oldest(&self, max_archives: i64) -> io::Result<()> {
        let Ok(keep) = usize::try_from(max_archives) else { return Ok(()) };
        let archives = self.list()?;
        let surplus = archives.len().saturating_sub(keep);
        for (_, _, name) in &archives[..surplus] {
            fs::remove_file(self.folder.join(name))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::Folder;

    const START: i64 = 1_795_251_600 * NANOS_PER_SECOND;

    #[test]
    fn appends_to_what_is_there() {
        let folder = Folder::new("log-append");
        let path = folder.path().join("deep/er/agent.log");
        for line in ["one\n", "two\n"] {
            let mut log = LogFile::open(&path, Rotation::default(), START).unwrap();
            log.write_line(line.as_bytes(), START).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn rotates_by_size_and_keeps_the_latest_archives() {
        let folder = Folder::new("log-size");
        let path = folder.path().join("agent.log");
        fs::write(folder.path().join("agent.other.log"), "not ours").unwrap();
        let rotation = Rotation { max_size: 8, max_archives: 2, ..Rotation::default() };
        let mut log = LogFile::open(&path, rotation, START).unwrap();
        for n in 0..10 {
            // Two lines fill a file; two files are put aside in one second.
            let now = START + n / 4 * NANOS_PER_SECOND;
            log.write_line(format!("n={n}\n").as_bytes(), now).unwrap();
        }
        assert_eq!(
            folder.files(),
            [
                ("agent.2026-11-21-1795251601-1.log", "n=4\nn=5\n"),
                ("agent.2026-11-21-1795251602.log", "n=6\nn=7\n"),
                ("agent.log", "n=8\nn=9\n"),
                ("agent.other.log", "not ours"),
            ]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn archives_of_one_second_are_told_apart() {
        let folder = Folder::new("log-second");
        let path = folder.path().join("log");
        let rotation = Rotation { max_size: 1, max_archives: -1, ..Rotation::default() };
        let mut log = LogFile::open(&path, rotation, START).unwrap();
        for n in 0..4 {
            log.write_line(format!("{n}\n").as_bytes(), START).unwrap();
        }
        let names: Vec<String> = folder.files().into_iter().map(|file| file.0).collect();
        assert_eq!(
            names,
            [
                "log",
                "log.2026-11-21-1795251600",
                "log.2026-11-21-1795251600-1",
                "log.2026-11-21-1795251600-2"
            ]
        );
    }

    #[test]
    fn rotates_by_age() {
        let folder = Folder::new("log-age");
        let path = folder.path().join("agent.log");
        let rotation = Rotation { interval: Duration::from_secs(60), ..Rotation::default() };
        let mut log = LogFile::open(&path, rotation, START).unwrap();
        log.write_line(b"a\n", START).unwrap();
        log.write_line(b"b\n", START + 59 * NANOS_PER_SECOND).unwrap();
        assert_eq!(folder.files().len(), 1);
        log.write_line(b"c\n", START + 60 * NANOS_PER_SECOND).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "c\n");
        assert_eq!(folder.files().len(), 2);
    }

    #[test]
    fn without_archives_nothing_is_kept() {
        let folder = Folder::new("log-none");
        let path = folder.path().join("agent.log");
        let rotation = Rotation { max_size: 1, max_archives: 0, ..Rotation::default() };
        let mut log = LogFile::open(&path, rotation, START).unwrap();
        log.write_line(b"a\n", START).unwrap();
        log.write_line(b"b\n", START).unwrap();
        assert_eq!(folder.files(), [("agent.log".to_owned(), "b\n".to_owned())]);
    }

    #[test]
    fn a_failed_rotation_is_told_and_loses_nothing() {
        let folder = Folder::new("log-fail");
        let path = folder.path().join("agent.log");
        let rotation = Rotation { max_size: 1, ..Rotation::default() };
        let mut log = LogFile::open(&path, rotation, START).unwrap();
        log.write_line(b"a\n", START).unwrap();
        let moved = folder.path().join("moved");
        fs::rename(&path, &moved).unwrap();
        let complaint = log.write_line(b"b\n", START).unwrap().unwrap();
        assert!(complaint.contains("cannot be rotated"), "{complaint}");
        log.write_line(b"c\n", START + NANOS_PER_SECOND).unwrap();
        assert_eq!(fs::read_to_string(&moved).unwrap(), "a\nb\nc\n");
    }

    #[test]
    fn names_of_archives() {
        let names = ArchiveNames::of(Path::new("/var/log/agent.log"));
        assert_eq!(names.parse("agent.2026-11-21-1795251600.log"), Some((1_795_251_600, 0)));
        assert_eq!(names.parse("agent.2026-11-21-1795251600-3.log"), Some((1_795_251_600, 3)));
        for other in [
            "agent.log",
            "agent.2026-11-22-1795251600.log",
            "agent.2026-11-21-x.log",
            "agent.2026-11-21-1795251600.log.gz",
            "other.2026-11-21-1795251600.log",
            "agent.",
            "agent.2026-11-21.log",
        ] {
            assert_eq!(names.parse(other), None, "{other}");
        }
    }
}
