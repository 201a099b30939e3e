//! The bytes of a file or of standard input as they are there.
//!
//! Reads give way to Ctrl-C. A file that is followed is looked at by its name too: one that was renamed
//! and made anew is read to its end and the new one from its start, one that was cut off from its start.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec};

/// How often a pause in what is read is used to see whether the user wants to stop, and how often files
/// that are followed are looked at.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Bytes that show what a file is.
const MAGIC_BYTES: usize = 6;

/// What became of a file that is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    CutOff,
    Replaced,
}

/// How long reads wait for something to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Forever,
    AMoment,
    Never,
}

/// What is read.
pub struct Raw {
    input: File,
    /// Bytes, for regular files.
    pub size: Option<u64>,
    /// Bytes that were read.
    pub read: u64,
    /// The first bytes, which were looked at and come again.
    head: Vec<u8>,
    /// It is followed, by its name if it has one.
    follows: bool,
    path: Option<PathBuf>,
    /// Where the next read begins.
    position: u64,
    /// The file that has taken its place.
    next: Option<File>,
    wait: Wait,
    stop: Arc<AtomicBool>,
}

impl Raw {
    /// Opens a file, or standard input.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: Option<&Path>, follows: bool, stop: &Arc<AtomicBool>) -> io::Result<Raw> {
        let input = match path {
            Some(path) => File::open(path)?,
            // Without the buffer that the library has: what stands in there cannot be waited for.
            None => File::from(io::stdin().as_fd().try_clone_to_owned()?),
        };
        let about = rustix::fs::fstat(&input)?;
        let kind = rustix::fs::FileType::from_raw_mode(about.st_mode);
        if kind == rustix::fs::FileType::Directory {
            return Err(ErrorKind::IsADirectory.into());
        }
        let regular = kind == rustix::fs::FileType::RegularFile;
        Ok(Raw {
            input,
            size: regular.then(|| u64::try_from(about.st_size).unwrap_or(0)),
            read: 0,
            head: Vec::new(),
            follows,
            path: path.filter(|_| regular).map(Path::to_owned),
            position: 0,
            next: None,
            wait: Wait::Forever,
            stop: Arc::clone(stop),
        })
    }

    pub fn is_terminal(&self) -> bool {
        self.input.is_terminal()
    }

    /// Whether there may be more behind its end.
    pub fn grows(&self) -> bool {
        self.follows && self.size.is_some()
    }

    /// Reads wait for a moment only, until it has been opened.
    pub fn hurry(&mut self) {
        self.wait = Wait::AMoment;
    }

    /// Reads wait as long as it takes, or not at all if it is followed.
    pub fn opened(&mut self) {
        self.wait = if self.follows { Wait::Never } else { Wait::Forever };
    }

    /// The first bytes, until they decide; they are read again.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn peek(&mut self, is_undecided: impl Fn(&[u8]) -> bool) -> io::Result<&[u8]> {
        let mut head = Vec::new();
        while head.len() < MAGIC_BYTES && is_undecided(&head) {
            let mut room = [0; MAGIC_BYTES];
            let read = self.read(&mut room[..MAGIC_BYTES - head.len()])?;
            if read == 0 {
                break;
            }
            head.extend_from_slice(&room[..read]);
        }
        self.head = head;
        Ok(&self.head)
    }

    /// What became of the file, all of which was read: nothing, or it is to be read from the start.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn change(&mut self) -> io::Result<Option<Change>> {
        if let Some(next) = self.next.take() {
            // It was seen before the last read, which found nothing more in the old one.
            self.input = next;
            self.position = 0;
            return Ok(Some(Change::Replaced));
        }
        let about = self.input.metadata()?;
        if about.len() < self.position {
            self.input.rewind()?;
            self.position = 0;
            return Ok(Some(Change::CutOff));
        }
        let is_other = |there: &Metadata| {
            there.is_file() && (there.dev(), there.ino()) != (about.dev(), about.ino())
        };
        // Between the old one and the new one there may be none for a moment.
        if let Some(path) = &self.path
            && std::fs::metadata(path).is_ok_and(|there| is_other(&there))
            && let Ok(next) = File::open(path)
            && next.metadata().is_ok_and(|there| is_other(&there))
        {
            self.next = Some(next);
        }
        Ok(None)
    }

    /// What may be waited for: nothing of a regular file.
    fn poll(&self) -> Option<PollFd<'_>> {
        if self.size.is_some() {
            return None;
        }
        Some(PollFd::new(&self.input, PollFlags::IN))
    }

    fn is_readable(&self) -> io::Result<bool> {
        let Some(poll) = self.poll() else { return Ok(true) };
        let wait = if self.wait == Wait::Never { &AT_ONCE } else { &LOOK };
        match rustix::event::poll(&mut [poll], Some(wait)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Read for Raw {
    /// Nothing at the end, or if the user wants to stop.
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            let len = self.head.len().min(room.len());
            room[..len].copy_from_slice(&self.head[..len]);
            self.head.drain(..len);
            // What the first read would have given, were it not for the look.
            let wait = std::mem::replace(&mut self.wait, Wait::Never);
            let more = if len < room.len() { self.read(&mut room[len..]) } else { Ok(0) };
            self.wait = wait;
            return Ok(len + more.unwrap_or(0));
        }
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(0);
            }
            if !self.is_readable()? {
                match self.wait {
                    Wait::Forever => continue,
                    _ => return Err(ErrorKind::WouldBlock.into()),
                }
            }
            match self.input.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(read) => {
                    self.read += read as u64;
                    self.position += read as u64;
                    return Ok(read);
                }
                error => return error,
            }
        }
    }
}

/// Waits a moment, or until one of those that are no files can be read.
pub fn wait<'a>(raws: impl Iterator<Item = &'a Raw>) {
    let mut polls: Vec<PollFd<'_>> = raws.filter_map(Raw::poll).collect();
    // One that has failed is told of by the next read.
    let _ = rustix::event::poll(&mut polls, Some(&LOOK));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::Folder;

    fn all(raw: &mut Raw) -> String {
        let (mut out, mut room) = (String::new(), [0; 64]);
        loop {
            match raw.read(&mut room).unwrap() {
                0 => return out,
                read => out.push_str(std::str::from_utf8(&room[..read]).unwrap()),
            }
        }
    }

    #[test]
    fn the_first_bytes_come_again() {
        let folder = Folder::new("sql-raw-peek");
        let path = folder.path().join("x");
        std::fs::write(&path, "abcdefgh").unwrap();
        let mut raw = Raw::open(Some(&path), false, &Arc::default()).unwrap();
        assert_eq!(raw.peek(|head| head.len() < 3).unwrap(), b"abcdef");
        let mut room = [0; 64];
        assert_eq!(raw.read(&mut room).unwrap(), 8, "all at once");
        assert_eq!(&room[..8], b"abcdefgh");
        assert_eq!((all(&mut raw).as_str(), raw.read), ("", 8));
    }

    #[test]
    fn a_file_that_is_followed() {
        let folder = Folder::new("sql-raw-follow");
        let path = folder.path().join("x");
        std::fs::write(&path, "one\n").unwrap();
        let mut raw = Raw::open(Some(&path), true, &Arc::default()).unwrap();
        assert_eq!((all(&mut raw).as_str(), raw.change().unwrap()), ("one\n", None));
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!((all(&mut raw).as_str(), raw.change().unwrap()), ("two\n", None));
        std::fs::write(&path, "3\n").unwrap();
        assert_eq!((all(&mut raw).as_str(), raw.change().unwrap()), ("", Some(Change::CutOff)));
        assert_eq!((all(&mut raw).as_str(), raw.change().unwrap()), ("3\n", None));
        // The old one is written to for as long as its writer has not opened the new one.
        let mut writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::fs::rename(&path, folder.path().join("x.1")).unwrap();
        assert_eq!(raw.change().unwrap(), None, "there is none yet");
        std::fs::write(&path, "5\n").unwrap();
        assert_eq!((all(&mut raw).as_str(), raw.change().unwrap()), ("", None));
        io::Write::write_all(&mut writer, b"4\n").unwrap();
        assert_eq!(all(&mut raw), "4\n");
        assert_eq!(raw.change().unwrap(), Some(Change::Replaced));
        assert_eq!((all(&mut raw).as_str(), raw.change().unwrap()), ("5\n", None));
    }
}
