//! What a service input works with: sources of bytes that the agent reads, and pushes of its own.

use std::os::fd::RawFd;

use super::{Context, Error, Outcome};
use crate::abi::call;
use crate::abi::host::{RawIntake, RawSettlement, framing};
use crate::batch::Batch;

/// How bytes make texts for the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A stream of lines; the agent cuts it where the parser allows.
    Lines,
    /// One text from the first byte to the end of the source.
    Whole,
    /// Each read tells where its messages end; each message is a text of its own.
    Messages,
}

impl Framing {
    pub(crate) fn code(self) -> u32 {
        match self {
            Framing::Lines => framing::LINES,
            Framing::Whole => framing::WHOLE,
            Framing::Messages => framing::MESSAGES,
        }
    }
}

/// A source of bytes: a connection, a socket, a file. The agent calls it on its own threads, never
/// overlapping.
pub trait Source: Send + 'static {
    /// Reads what there is. [`Read::Blocked`] waits for the descriptor, or for [`Intake::wake`].
    ///
    /// # Errors
    /// The source is closed and the sentence logged.
    fn read(&mut self, cx: &Context<'_>, buffer: &mut ReadBuffer<'_>) -> Result<Read, Error>;
}

/// What a read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The buffer was filled as told; there may be more.
    Some,
    /// There is nothing now. What was put into the buffer counts.
    Blocked,
    /// The source is finished. What was put into the buffer counts.
    End,
}

/// Where a source reads to.
pub struct ReadBuffer<'a> {
    pub(crate) data: &'a mut [u8],
    pub(crate) filled: usize,
    pub(crate) messages: &'a mut [u32],
    pub(crate) message_count: usize,
    pub(crate) lost: u32,
    pub(crate) token: u64,
}

impl ReadBuffer<'_> {
    /// The free part.
    pub fn free(&mut self) -> &mut [u8] {
        &mut self.data[self.filled..]
    }

    /// Says that so many bytes of the free part were filled.
    pub fn advance(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.data.len());
    }

    /// Bytes filled so far.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Messages that may still be ended in this read.
    pub fn free_messages(&self) -> usize {
        self.messages.len() - self.message_count
    }

    /// Ends a message at what is filled (framing [`Framing::Messages`]). False if there is no room.
    pub fn end_message(&mut self) -> bool {
        let Some(place) = self.messages.get_mut(self.message_count) else { return false };
        *place = self.filled as u32;
        self.message_count += 1;
        true
    }

    /// Counts datagrams that the kernel dropped.
    pub fn add_lost(&mut self, lost: u32) {
        self.lost = self.lost.saturating_add(lost);
    }

    /// Names what was read, for settlements (framing [`Framing::Messages`]).
    pub fn set_token(&mut self, token: u64) {
        self.token = token;
    }
}

/// A source when it is opened.
pub struct SourceSpec<'a> {
    /// A name for messages, such as a path or a peer's address.
    pub name: &'a str,
    /// How its bytes make texts.
    pub framing: Framing,
    /// What to wait on for readability; `None` if `read` never blocks or the input wakes it. It must
    /// stay open as long as the source.
    pub descriptor: Option<RawFd>,
    /// The stream position of the first byte, for settlements and messages.
    pub start: u64,
    /// Tags for all its points.
    pub tags: &'a [(&'a str, &'a str)],
    /// Whether it ends by itself (a file).
    pub finite: bool,
    /// Whether the input wants settlements of it.
    pub acknowledged: bool,
    /// Whether what finds no room is dropped and counted (datagrams).
    pub lossy: bool,
}

/// What became of a part of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// The source's number.
    pub source: u64,
    /// For streams the position behind the settled bytes, else the token.
    pub token: u64,
    /// What became of it.
    pub outcome: Outcome,
}

impl From<RawSettlement> for Settlement {
    fn from(raw: RawSettlement) -> Self {
        Settlement {
            source: raw.source,
            token: raw.token,
            outcome: Outcome::from_code(raw.outcome),
        }
    }
}

/// One clone of a service input's way into the agent. It may go to any thread.
pub struct Intake {
    pub(crate) raw: RawIntake,
}

impl Intake {
    /// Opens a source and gives its number; `None` if the agent has no room for more (it counts
    /// them), in which case the source was dropped.
    pub fn open(&self, spec: &SourceSpec<'_>, source: impl Source) -> Option<u64> {
        call::open(&self.raw, spec, Box::new(source))
    }

    /// Calls `ready` on the agent's threads each time the descriptor is readable (a listening
    /// socket, an inotify queue, a timer), until it answers an error other than would-block, and
    /// gives the watch's number. The descriptor must stay open until `ready` is dropped.
    pub fn watch(
        &self,
        descriptor: RawFd,
        ready: impl FnMut(&Context<'_>) -> Result<(), Error> + Send + 'static,
    ) -> Option<u64> {
        call::watch(&self.raw, descriptor, Box::new(ready))
    }

    /// Says that a source may have something to read.
    pub fn wake(&self, source: u64) {
        call::wake(&self.raw, source);
    }

    /// Ends a source, after what it has read is worked off, or a watch.
    pub fn close(&self, source: u64) {
        call::close(&self.raw, source);
    }

    /// Hands on a batch, if there is room now.
    ///
    /// # Errors
    /// The batch, if there is none.
    pub fn try_push(&self, batch: Batch) -> Result<(), Batch> {
        call::try_push(&call::intake_sink(&self.raw), batch)
    }

    /// Hands on a batch and waits for room, at most this long.
    ///
    /// # Errors
    /// The batch, if there was no room.
    pub fn push(&self, batch: Batch, timeout: std::time::Duration) -> Result<(), Batch> {
        call::push_wait(&call::intake_sink(&self.raw), batch, timeout)
    }

    /// Hands bytes to the parser; with a token, its settlement is told.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; else the parser's.
    pub fn push_bytes(
        &self,
        framing: Framing,
        data: &[u8],
        tags: &[(&str, &str)],
        token: Option<u64>,
        origin: u64,
    ) -> Result<(), Error> {
        call::push_bytes(&call::intake_sink(&self.raw), framing, data, tags, token, origin)
    }
}

impl Clone for Intake {
    fn clone(&self) -> Self {
        call::retain_intake(&self.raw);
        Intake { raw: self.raw }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        call::release_intake(&self.raw);
    }
}
