//! The source of one path: reads the file from its position, and the files that follow it there.
//!
//! A file is read by position and cut behind its last line end: what stands behind that is read again
//! with its end. So there is nothing to carry over, and the position is exact.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use headwater_plugin_api::plugin::{Context, Error, Read, ReadBuffer, Source};

use super::ledger::Mark;
use super::lines::{Ready, Slow};
use super::shared::{Shared, Trail};

/// How far back a chunk is cut so that no quoted string is cut in two.
const QUOTED_MAX: usize = 64 * 1024;

/// Reads one path.
pub struct Follower {
    shared: Arc<Shared>,
    trail: Arc<Trail>,
    file: Arc<File>,
    /// The next byte to read.
    position: u64,
    /// Files to read behind this one, with where to begin.
    queue: VecDeque<(Arc<File>, u64)>,
    /// Whether a line that is too long is being passed over.
    skipping: bool,
    /// Whether the end was found since it is known that nothing will be added.
    at_end: bool,
    /// Whether reading failed, which ends the source.
    failed: bool,
    /// For all that is not handed on as it stands in the file.
    slow: Option<Slow>,
    ready: VecDeque<Ready>,
}

enum Step {
    /// Something is in the buffer.
    Gave,
    /// There is nothing now.
    Wait,
    /// Look again.
    Again,
    /// There will be nothing more.
    Over,
}

impl Follower {
    /// Reads the files in turn, each from its position.
    pub fn new(
        shared: Arc<Shared>,
        trail: Arc<Trail>,
        first: (Arc<File>, u64),
        queue: VecDeque<(Arc<File>, u64)>,
    ) -> Follower {
        let slow = Slow::new(&shared.options);
        let mut follower = Follower {
            shared,
            trail,
            file: Arc::clone(&first.0),
            position: 0,
            queue,
            skipping: false,
            at_end: false,
            failed: false,
            slow,
            ready: VecDeque::new(),
        };
        follower.begin(first.0, first.1);
        follower
    }

    fn begin(&mut self, file: Arc<File>, position: u64) {
        self.trail.ledger().begin(Arc::clone(&file), position);
        self.trail.set_position(position);
        self.file = file;
        self.position = position;
        self.skipping = false;
        self.at_end = false;
        if let Some(slow) = &mut self.slow {
            slow.begin(position);
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.position += bytes as u64;
        self.trail.set_position(self.position);
    }

    fn step(&mut self, buffer: &mut ReadBuffer<'_>) -> Result<Step, Error> {
        let Some(room) = self.room() else {
            self.trail.throttled.store(true, Ordering::SeqCst);
            // It may have settled in between.
            return Ok(if self.room().is_some() { Step::Again } else { Step::Wait });
        };
        self.trail.throttled.store(false, Ordering::SeqCst);
        if self.slow.is_some() {
            self.slow_step(buffer, room)
        } else {
            self.fast_step(buffer, room)
        }
    }

    /// How many more lines may be undelivered; `None` if there are too many.
    fn room(&self) -> Option<usize> {
        match self.shared.options.max_lines {
            0 => Some(usize::MAX),
            max => max.checked_sub(self.trail.ledger().lines()).filter(|room| *room > 0),
        }
    }

    /// Lines as they stand in the file, straight into the agent's buffer.
    fn fast_step(&mut self, buffer: &mut ReadBuffer<'_>, room: usize) -> Result<Step, Error> {
        self.trail.woken.store(false, Ordering::SeqCst);
        let space = buffer.free();
        let read = self.read_into(space)?;
        let data = &space[..read];
        if self.skipping {
            match memchr::memchr(b'\n', data) {
                Some(at) => {
                    self.skipping = false;
                    self.advance(at + 1);
                }
                None if read > 0 => self.advance(read),
                None => return self.end(0, buffer),
            }
            return Ok(Step::Again);
        }
        let (cut, lines) = cut(data, room);
        if cut == 0 {
            if read < space.len() {
                return self.end(read, buffer);
            }
            self.shared.too_long(&self.trail, self.position, read);
            self.skipping = true;
            self.advance(read);
            return Ok(Step::Again);
        }
        buffer.advance(cut);
        self.give(buffer, cut, lines)
    }

    /// Ends a message at what was put into the buffer last.
    fn give(
        &mut self,
        buffer: &mut ReadBuffer<'_>,
        bytes: usize,
        lines: usize,
    ) -> Result<Step, Error> {
        if !buffer.end_message() {
            return Err(Error::failed("the agent has no room for messages"));
        }
        self.advance(bytes);
        buffer.set_token(self.trail.ledger().add(self.position, lines));
        Ok(Step::Gave)
    }

    fn read_into(&self, space: &mut [u8]) -> Result<usize, Error> {
        loop {
            match self.file.read_at(space, self.position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let path = self.trail.path.display();
                    return Err(Error::failed(format!("{path} cannot be read: {error}")));
                }
                Ok(read) => return Ok(read),
            }
        }
    }

    /// Lines that must be decoded, cleaned or put together first.
    fn slow_step(&mut self, buffer: &mut ReadBuffer<'_>, room: usize) -> Result<Step, Error> {
        let Some(mut slow) = self.slow.take() else { return Ok(Step::Over) };
        let result = self.slow_read(&mut slow, buffer, room);
        self.slow = Some(slow);
        result
    }

    fn slow_read(
        &mut self,
        slow: &mut Slow,
        buffer: &mut ReadBuffer<'_>,
        room: usize,
    ) -> Result<Step, Error> {
        if self.ready.is_empty() {
            self.trail.woken.store(false, Ordering::SeqCst);
            let space = slow.space().len();
            let read = self.read_into(slow.space())?;
            let used = slow.take_lines(read, self.position, &mut self.ready);
            if slow.space().len() > space {
                return Ok(Step::Again);
            }
            if let Some(bytes) = slow.take_too_long() {
                self.shared.too_long(&self.trail, self.position, bytes);
            }
            self.advance(used);
            if used == 0 {
                let due = self.trail.flush_due.swap(false, Ordering::SeqCst);
                if due {
                    slow.flush(&mut self.ready);
                }
            }
            self.shared.set_waiting(&self.trail, slow.is_waiting(), used > 0);
            if used == 0 && self.ready.is_empty() {
                return self.slow_end(slow, read, buffer);
            }
            if self.ready.is_empty() {
                return Ok(Step::Again);
            }
        }
        self.put_ready(buffer, room)
    }

    /// Puts events into the buffer, as many as fit.
    fn put_ready(&mut self, buffer: &mut ReadBuffer<'_>, room: usize) -> Result<Step, Error> {
        let (mut lines, mut end) = (0, None);
        while let Some(ready) = self.ready.front() {
            if buffer.free_messages() == 0 || (lines > 0 && lines + ready.lines > room) {
                break;
            }
            let filled = buffer.filled();
            let Some(space) = buffer.free().get_mut(..ready.text.len()) else {
                if filled > 0 {
                    break;
                }
                let bytes = ready.text.len();
                self.shared.too_long(&self.trail, ready.end.saturating_sub(bytes as u64), bytes);
                self.ready.pop_front();
                continue;
            };
            space.copy_from_slice(&ready.text);
            buffer.advance(ready.text.len());
            buffer.end_message();
            lines += ready.lines;
            end = Some(ready.end);
            self.ready.pop_front();
        }
        let Some(end) = end else { return Ok(Step::Again) };
        buffer.set_token(self.trail.ledger().add(end, lines));
        Ok(Step::Gave)
    }

    /// Nothing complete is left; `rest` bytes stand behind the last line end, in the buffer's free
    /// part.
    fn end(&mut self, rest: usize, buffer: &mut ReadBuffer<'_>) -> Result<Step, Error> {
        match self.what_now()? {
            Some(step) => Ok(step),
            // The last line of a file that nothing will be added to is complete.
            None if rest > 0 => {
                buffer.advance(rest);
                self.give(buffer, rest, 1)
            }
            None => self.switch(),
        }
    }

    fn slow_end(
        &mut self,
        slow: &mut Slow,
        rest: usize,
        buffer: &mut ReadBuffer<'_>,
    ) -> Result<Step, Error> {
        match self.what_now()? {
            Some(step) => Ok(step),
            None => {
                slow.take_rest(rest, self.position, &mut self.ready);
                self.advance(rest);
                slow.flush(&mut self.ready);
                self.shared.set_waiting(&self.trail, false, false);
                match self.ready.is_empty() {
                    false => self.put_ready(buffer, usize::MAX),
                    true => {
                        let step = self.switch();
                        slow.begin(self.position);
                        step
                    }
                }
            }
        }
    }

    /// What to do at the end of the file; `None` if nothing will be added to it.
    fn what_now(&mut self) -> Result<Option<Step>, Error> {
        let path = self.trail.path.display();
        let failed = |error| Error::failed(format!("{path} cannot be read: {error}"));
        let length = self.file.metadata().map_err(failed)?.len();
        if length < self.position {
            self.shared
                .host
                .info(&format!("{path} was cut off to {length} bytes; it is read from its start"));
            let file = Arc::clone(&self.file);
            self.begin(file, 0);
            return Ok(Some(Step::Again));
        }
        let followed = !self.queue.is_empty() || self.trail.superseded.load(Ordering::SeqCst);
        if !followed {
            let woken = self.trail.woken.load(Ordering::SeqCst);
            return Ok(Some(if woken { Step::Again } else { Step::Wait }));
        }
        // What was written before others followed may have come since the last read.
        if !std::mem::replace(&mut self.at_end, true) {
            return Ok(Some(Step::Again));
        }
        Ok(None)
    }

    /// Goes on with the next file of the path.
    fn switch(&mut self) -> Result<Step, Error> {
        let done = Mark::of(&self.file, self.position).ok();
        let next = match self.queue.pop_front() {
            Some((file, position)) => {
                self.shared.finished(done);
                Some((file, position))
            }
            None => self.shared.follow_up(&self.trail, done),
        };
        match next {
            None => Ok(Step::Over),
            Some((file, position)) => {
                self.begin(file, position);
                // Without it, a file that is followed and renamed again could not be found after a
                // crash.
                self.shared.save_trail(&self.trail);
                Ok(Step::Again)
            }
        }
    }
}

impl Source for Follower {
    fn read(&mut self, cx: &Context<'_>, buffer: &mut ReadBuffer<'_>) -> Result<Read, Error> {
        loop {
            let step = self.step(buffer);
            self.failed = step.is_err();
            match step? {
                Step::Gave => return Ok(Read::Some),
                Step::Wait => return Ok(Read::Blocked),
                Step::Over => return Ok(Read::End),
                Step::Again if cx.is_cancelled() => return Ok(Read::Some),
                Step::Again => {}
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Only then: a source that the agent has no room for is dropped while the paths are locked.
        if self.failed {
            self.shared.failed(&self.trail, Mark::of(&self.file, self.position).ok());
        }
    }
}

/// Where to cut lines off, behind at most `room` of them, and how many those are (not counted if there
/// is room for any number).
fn cut(data: &[u8], room: usize) -> (usize, usize) {
    if room < usize::MAX {
        let (mut end, mut lines) = (0, 0);
        for at in memchr::memchr_iter(b'\n', data).take(room) {
            (end, lines) = (at + 1, lines + 1);
        }
        return (end, lines);
    }
    let Some(last) = memchr::memrchr(b'\n', data) else { return (0, 0) };
    // A line end between quotes may belong to a string. If cutting a little earlier leaves no quote
    // open, that is better; with quotes that mean nothing it does no harm.
    if memchr::memchr_iter(b'"', &data[..last]).count() % 2 == 1 {
        let from = last.saturating_sub(QUOTED_MAX);
        let mut open = true;
        let mut before = last;
        for at in memchr::memrchr2_iter(b'"', b'\n', &data[from..last]) {
            let at = from + at;
            match data[at] {
                b'"' => open = !open,
                _ if !open => {
                    before = at;
                    break;
                }
                _ => {}
            }
        }
        return (before + 1, 0);
    }
    (last + 1, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_with_a_line() {
        let any = usize::MAX;
        for (data, room, expected) in [
            (&b""[..], any, 0),
            (b"abc", any, 0),
            (b"a\nb", any, 2),
            (b"a\nb\n", any, 4),
            (b"a\nb\nc\n", 2, 4),
            (b"a\nb", 2, 2),
            // The string goes on behind the last line end.
            (b"a=\"x\"\nb=\"y\nz", any, 6),
            (b"a\nb=\"x\ny\nz", any, 2),
            (b"a=\"x\ny\"\n", any, 8),
            // An odd quote and nothing better.
            (b"5\" tube\nb\n", any, 10),
        ] {
            assert_eq!(cut(data, room).0, expected, "{:?}", data.escape_ascii().to_string());
        }
        assert_eq!(cut(b"a\nb\nc\n", 2).1, 2);
    }
}
