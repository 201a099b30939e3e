//! One file or standard input: read in chunks that end where records end.

use std::fs::File;
use std::io::{self, IsTerminal, Read, StdinLock};
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_plugin_api::abi::instance::{PADDING, ParserInstance};
use headwater_plugin_api::batch::Batch;
use rustix::event::{PollFd, PollFlags, Timespec};

use super::pace::{POINTS, Pace};
use super::slices::{Slice, Slices};

/// Bytes that one read asks for.
const READ_BYTES: usize = 256 << 10;
/// Bytes that one record may have: what the parsers take at most.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// How often a pause in what is read is used to see whether the user wants to stop.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// Bytes of blanks that are read to find out what a file is.
const HEAD_BYTES_MAX: usize = 64 << 10;

enum Reader {
    File(File),
    Standard(StdinLock<'static>),
}

/// What is being read.
pub struct Source {
    /// For messages.
    pub name: String,
    /// Its number among the engine's sources.
    pub origin: u64,
    /// Which of the parsers reads it.
    pub parser: usize,
    /// How far its points have come.
    pub pace: Pace,
    /// Points that were read and are still to be worked on.
    pub slices: Slices,
    /// Bytes, for regular files.
    pub size: Option<u64>,
    /// Bytes that were read.
    pub read: u64,
    /// Lines before the next chunk.
    pub lines: u64,
    /// All of it was read.
    pub ended: bool,
    reader: Reader,
    /// What was read and not parsed.
    carry: Vec<u8>,
    /// It was read just now, and may hold whole records.
    fresh: bool,
    /// The reader has no more.
    drained: bool,
    /// The rest of a record that was too long is being passed over.
    skipping: bool,
}

/// A chunk, at the beginning of the buffer.
pub struct Piece {
    pub len: usize,
    pub last: bool,
    /// The record at its end was too long and is passed over.
    pub too_long: bool,
}

impl Source {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &str, origin: u64) -> io::Result<Source> {
        let (name, reader, about) = if path == "-" {
            let input = io::stdin().lock();
            let about = rustix::fs::fstat(&input)?;
            ("standard input".to_owned(), Reader::Standard(input), about)
        } else {
            let file = File::open(path)?;
            let about = rustix::fs::fstat(&file)?;
            (path.to_owned(), Reader::File(file), about)
        };
        let kind = rustix::fs::FileType::from_raw_mode(about.st_mode);
        if kind == rustix::fs::FileType::Directory {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let regular = kind == rustix::fs::FileType::RegularFile;
        Ok(Source {
            name,
            origin,
            parser: 0,
            pace: Pace::default(),
            slices: Slices::default(),
            size: regular.then(|| u64::try_from(about.st_size).unwrap_or(0)),
            read: 0,
            lines: 0,
            ended: false,
            reader,
            carry: Vec::new(),
            fresh: false,
            drained: false,
            skipping: false,
        })
    }

    /// Whether a person types it.
    pub fn is_terminal(&self) -> bool {
        matches!(&self.reader, Reader::Standard(input) if input.is_terminal())
    }

    /// Whether more is to be read before its next points are worked on: those behind them tell how far
    /// it has come. A pipe is not waited for.
    pub fn is_wanting(&self) -> bool {
        let enough = if self.size.is_some() { POINTS * 2 } else { 1 };
        !self.ended && self.slices.points() < enough
    }

    /// Whether there is nothing more to work on.
    pub fn is_done(&self) -> bool {
        self.ended && self.slices.points() == 0
    }

    /// Adds points that were read.
    pub fn add(&mut self, batch: Batch, step_ns: Option<i64>) {
        self.slices.add(batch, step_ns);
        self.look_ahead();
    }

    /// Points that are to come tell how far it has come, if they are enough.
    fn look_ahead(&mut self) {
        if let Some(first) = self.slices.earliest()
            && (self.ended || self.slices.points() >= POINTS)
        {
            self.pace.ahead(first);
        }
    }

    /// The next points, of which it takes note.
    pub fn take(&mut self) -> Option<Slice> {
        let slice = self.slices.take()?;
        self.pace.see(slice.first, slice.last, slice.batch.len());
        self.look_ahead();
        Some(slice)
    }

    /// The first bytes, which stay to be parsed: enough to see what it is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn head(&mut self, stop: &AtomicBool) -> io::Result<&[u8]> {
        let mut buffer = vec![0; READ_BYTES];
        self.fresh = true;
        while !self.drained
            && self.carry.len() < HEAD_BYTES_MAX
            && self.carry.trim_ascii().is_empty()
        {
            let read = self.fill(&mut buffer, stop)?;
            self.carry.extend_from_slice(&buffer[..read]);
        }
        Ok(&self.carry)
    }

    /// Reads once; nothing at the end, or if the user wants to stop.
    fn fill(&mut self, room: &mut [u8], stop: &AtomicBool) -> io::Result<usize> {
        loop {
            if stop.load(Ordering::Relaxed) {
                self.drained = true;
                self.carry.clear();
                return Ok(0);
            }
            if self.size.is_none() && !self.is_readable()? {
                continue;
            }
            let read = match &mut self.reader {
                Reader::File(file) => file.read(room),
                Reader::Standard(input) => input.read(room),
            };
            match read {
                Ok(0) => {
                    self.drained = true;
                    return Ok(0);
                }
                Ok(read) => {
                    self.read += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.drained = true;
                    return Err(error);
                }
            }
        }
    }

    /// Waits a moment for something to read.
    fn is_readable(&self) -> io::Result<bool> {
        let poll = match &self.reader {
            Reader::File(file) => PollFd::new(file, PollFlags::IN),
            Reader::Standard(input) => PollFd::new(input, PollFlags::IN),
        };
        match rustix::event::poll(&mut [poll], Some(&LOOK)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The next chunk, at the beginning of the buffer with room for the parser's looks ahead behind
    /// it; none if more must be read first, or at the end.
    ///
    /// # Errors
    /// It cannot be read; it ends here then.
    pub fn next(
        &mut self,
        buffer: &mut Vec<u8>,
        parser: &ParserInstance,
        stop: &AtomicBool,
    ) -> io::Result<Option<Piece>> {
        let carried = self.carry.len();
        let wanted = carried + READ_BYTES.max(carried);
        if buffer.len() < wanted + PADDING {
            buffer.resize(wanted + PADDING, 0);
        }
        buffer[..carried].copy_from_slice(&self.carry);
        let read = match std::mem::take(&mut self.fresh) {
            true => Ok(0),
            false => self.fill(&mut buffer[carried..wanted], stop),
        };
        self.ended = read.is_err();
        let read = read?;
        if stop.load(Ordering::Relaxed) {
            self.ended = true;
            return Ok(None);
        }
        let mut len = carried + read;
        if self.skipping {
            let end = memchr::memchr(b'\n', &buffer[..len]);
            let start = end.map_or(len, |at| at + 1);
            self.lines += u64::from(end.is_some());
            self.skipping = end.is_none();
            buffer.copy_within(start..len, 0);
            len -= start;
        }
        let last = self.drained;
        let end = parser.cut(&buffer[..len], last);
        self.carry.clear();
        self.ended = last;
        if end == 0 && len > RECORD_BYTES_MAX {
            self.skipping = !last;
            self.lines += memchr::memchr_iter(b'\n', &buffer[..len]).count() as u64;
            return Ok(Some(Piece { len: 0, last, too_long: true }));
        }
        self.carry.extend_from_slice(&buffer[end..len]);
        Ok((end > 0).then_some(Piece { len: end, last, too_long: false }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::Folder;

    #[test]
    fn what_cannot_be_read() {
        let folder = Folder::new("sql-source");
        let open = |path: &std::path::Path| Source::open(&path.display().to_string(), 1);
        let kind = |path: &std::path::Path| open(path).err().map(|error| error.kind());
        assert_eq!(kind(&folder.path().join("missing")), Some(io::ErrorKind::NotFound));
        assert_eq!(kind(folder.path()), Some(io::ErrorKind::IsADirectory));
    }

    #[test]
    fn the_head_is_not_lost() {
        let folder = Folder::new("sql-head");
        let path = folder.path().join("x");
        std::fs::write(&path, format!("{}cpu v=1", " ".repeat(300_000))).unwrap();
        let mut source = Source::open(&path.display().to_string(), 1).unwrap();
        let stop = AtomicBool::new(false);
        assert!(source.head(&stop).unwrap().len() >= HEAD_BYTES_MAX);
        assert_eq!(source.size, Some(300_007));
        stop.store(true, Ordering::Relaxed);
        let mut empty = Source::open(&path.display().to_string(), 1).unwrap();
        assert_eq!(empty.head(&stop).unwrap(), b"");
    }
}
