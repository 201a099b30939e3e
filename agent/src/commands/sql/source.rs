//! One file or standard input: read in chunks that end where records end.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_plugin_api::abi::instance::PADDING;
use headwater_plugin_api::batch::Batch;

use super::pace::{POINTS, Pace};
use super::packing::{self, Unpacker};
use super::raw::{Change, Raw};
use super::rename::Rename;
use super::slices::{Slice, Slices};

/// Bytes that one read asks for.
const READ_BYTES: usize = 256 << 10;
/// Bytes that one record may have: what the parsers take at most.
const RECORD_BYTES_MAX: usize = 16 << 20;
/// Bytes of blanks that are read to find out what a file is.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// What is being read.
pub struct Source {
    /// For messages.
    pub name: String,
    /// Its number among the engine's sources.
    pub origin: u64,
    /// Which of the parsers reads it.
    pub parser: usize,
    /// The measurement that its points are given, if the parser does not do it.
    pub rename: Option<Rename>,
    /// How far its points have come.
    pub pace: Pace,
    /// Points that were read and are still to be worked on.
    pub slices: Slices,
    /// Bytes, for regular files that are read to their end. Compressed ones are counted as they are.
    pub size: Option<u64>,
    /// Lines before the next chunk.
    pub lines: u64,
    /// All of it was read.
    pub ended: bool,
    /// It is followed, and there was nothing more when it was last looked at.
    pub dry: bool,
    reader: Unpacker<Raw>,
    stop: Arc<AtomicBool>,
    /// What was read and not parsed.
    carry: Vec<u8>,
    /// It was read just now, and may hold whole records.
    fresh: bool,
    /// The reader has no more.
    drained: bool,
    /// The rest of a record that was too long is being passed over.
    skipping: bool,
    /// Another file follows, or the same from its start.
    change: Option<Change>,
    /// What went wrong while the first bytes were looked at.
    failed: Option<io::Error>,
}

/// A chunk, at the beginning of the buffer.
pub struct Piece {
    pub len: usize,
    pub last: bool,
    /// The record at its end was too long and is passed over.
    pub too_long: bool,
    /// What comes then is another file, or the same from its start.
    pub change: Option<Change>,
}

impl Source {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be opened, or is compressed in a way that is not read.
    pub fn open(
        path: &str,
        origin: u64,
        follows: bool,
        stop: &Arc<AtomicBool>,
    ) -> Result<Source, String> {
        let path_of_file = (path != "-").then(|| Path::new(path));
        let mut raw = Raw::open(path_of_file, follows, stop).map_err(|error| error.to_string())?;
        let size = raw.size;
        let name = path_of_file.map_or("standard input", |_| path).to_owned();
        if raw.is_terminal() {
            return Ok(Source::new(name, origin, None, Unpacker::new(raw, None), stop));
        }
        let magic = raw.peek(packing::is_undecided).map_err(|error| error.to_string())?;
        let packing = packing::of(path, magic)?;
        if follows && packing.is_some() {
            return Err(
                "it is compressed, so that nothing can be appended; --follow is for files \
                        that grow"
                    .into(),
            );
        }
        let size = if follows { None } else { size };
        Ok(Source::new(name, origin, size, Unpacker::new(raw, packing), stop))
    }

    fn new(
        name: String,
        origin: u64,
        size: Option<u64>,
        reader: Unpacker<Raw>,
        stop: &Arc<AtomicBool>,
    ) -> Source {
        Source {
            name,
            origin,
            parser: 0,
            rename: None,
            pace: Pace::default(),
            slices: Slices::default(),
            size,
            lines: 0,
            ended: false,
            dry: false,
            reader,
            stop: Arc::clone(stop),
            carry: Vec::new(),
            fresh: false,
            drained: false,
            skipping: false,
            change: None,
            failed: None,
        }
    }

    /// Whether a person types it.
    pub fn is_terminal(&self) -> bool {
        self.reader.get_ref().is_terminal()
    }

    /// Bytes that were read, of a compressed file those that it has on the disk.
    pub fn read(&self) -> u64 {
        self.reader.get_ref().read
    }

    /// What it reads from.
    pub fn raw(&self) -> &Raw {
        self.reader.get_ref()
    }

    /// Whether more is to be read before its next points are worked on: those behind them tell how far
    /// it has come. A pipe is not waited for.
    pub fn is_wanting(&self) -> bool {
        let enough = if self.size.is_some() { POINTS * 2 } else { 1 };
        !self.ended && !self.dry && self.slices.points() < enough
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
    pub fn head(&mut self) -> io::Result<&[u8]> {
        self.head_until(HEAD_BYTES_MAX, |head| !head.trim_ascii().is_empty())
    }

    /// The first bytes, as many as are enough, or all there are now; of a pipe also what comes without
    /// a pause, so that the first record is not all that shows what columns are.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn head_of(&mut self, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<&[u8]> {
        self.head_until(RECORD_BYTES_MAX, is_enough)?;
        if let Some(raw) = self.reader.plain_mut().filter(|raw| raw.size.is_none()) {
            raw.hurry();
            self.head_until(HEAD_BYTES_MAX, |_| false)?;
        }
        Ok(&self.carry)
    }

    fn head_until(
        &mut self,
        bytes_max: usize,
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> io::Result<&[u8]> {
        let mut buffer = vec![0; READ_BYTES];
        self.fresh = true;
        while !self.drained
            && !self.dry
            && self.failed.is_none()
            && self.carry.len() < bytes_max
            && !is_enough(&self.carry)
        {
            match self.fill(&mut buffer) {
                Ok(read) => self.carry.extend_from_slice(&buffer[..read]),
                Err(error) if self.carry.is_empty() => return Err(error),
                // What was read is worked on first.
                Err(error) => {
                    self.drained = false;
                    self.failed = Some(error);
                }
            }
        }
        Ok(&self.carry)
    }

    /// It has been opened: a file that is followed is no longer waited for.
    pub fn opened(&mut self) {
        self.dry = false;
        if let Some(raw) = self.reader.plain_mut() {
            raw.opened();
        }
    }

    /// Reads once; nothing at the end, if the user wants to stop, or if there is nothing yet of a file
    /// that is followed.
    fn fill(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.failed.take() {
            self.drained = true;
            return Err(error);
        }
        let read = self.reader.read(room);
        if self.stop.load(Ordering::Relaxed) {
            self.drained = true;
            self.carry.clear();
            return Ok(0);
        }
        match read {
            Ok(0) => {
                match self.reader.plain_mut().filter(|raw| raw.grows()) {
                    Some(raw) => match raw.change()? {
                        Some(change) => self.change = Some(change),
                        None => self.dry = true,
                    },
                    None => self.drained = true,
                }
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.dry = true;
                Ok(0)
            }
            Err(error) => {
                self.drained = true;
                Err(error)
            }
            read => read,
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
        cut: impl Fn(&[u8], bool) -> usize,
    ) -> io::Result<Option<Piece>> {
        let carried = self.carry.len();
        let wanted = carried + READ_BYTES.max(carried);
        if buffer.len() < wanted + PADDING {
            buffer.resize(wanted + PADDING, 0);
        }
        buffer[..carried].copy_from_slice(&self.carry);
        let read = match std::mem::take(&mut self.fresh) {
            true => Ok(0),
            false => self.fill(&mut buffer[carried..wanted]),
        };
        self.ended = read.is_err();
        let read = read?;
        if self.stop.load(Ordering::Relaxed) {
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
        let change = self.change.take();
        let last = self.drained || change.is_some();
        let end = cut(&buffer[..len], last);
        self.carry.clear();
        self.ended = self.drained;
        if change.is_some() {
            self.skipping = false;
        }
        if end == 0 && len > RECORD_BYTES_MAX {
            self.skipping = !last;
            self.lines += memchr::memchr_iter(b'\n', &buffer[..len]).count() as u64;
            return Ok(Some(Piece { len: 0, last, too_long: true, change }));
        }
        self.carry.extend_from_slice(&buffer[end..len]);
        let is_some = end > 0 || change.is_some();
        Ok(is_some.then_some(Piece { len: end, last, too_long: false, change }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::Folder;

    fn open(path: &Path, stop: &Arc<AtomicBool>) -> Result<Source, String> {
        Source::open(&path.display().to_string(), 1, false, stop)
    }

    #[test]
    fn what_cannot_be_read() {
        let folder = Folder::new("sql-source");
        let stop = Arc::default();
        let error = |path: &Path| open(path, &stop).err().unwrap();
        assert!(error(&folder.path().join("missing")).starts_with("No such file"));
        assert_eq!(error(folder.path()), "is a directory");
    }

    #[test]
    fn the_head_is_not_lost() {
        let folder = Folder::new("sql-head");
        let path = folder.path().join("x");
        std::fs::write(&path, format!("{}cpu v=1", " ".repeat(300_000))).unwrap();
        let stop = Arc::default();
        let mut source = open(&path, &stop).unwrap();
        assert!(source.head().unwrap().len() >= HEAD_BYTES_MAX);
        assert_eq!(source.size, Some(300_007));
        assert_eq!(source.head_of(|head| head.ends_with(b"v=1")).unwrap().len(), 300_007);
        let mut empty = open(&path, &stop).unwrap();
        stop.store(true, Ordering::Relaxed);
        assert_eq!(empty.head().unwrap(), b"");
    }
}
