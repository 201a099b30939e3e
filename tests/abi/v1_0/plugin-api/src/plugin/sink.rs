//! Where plugins put what they make.

use crate::abi::call;
use crate::abi::host::{RawChunk, RawSink};
use crate::batch::{Batch, BatchBuilder, PointBuilder};

use super::{Error, Framing};

/// Takes what a processor or aggregator makes.
pub struct Sink<'a> {
    pub(crate) raw: RawSink,
    pub(crate) _call: std::marker::PhantomData<&'a ()>,
}

impl Sink<'_> {
    /// Hands a batch on. An empty one is dropped.
    pub fn push(&mut self, batch: Batch) {
        if !batch.is_empty() {
            // In a stage the agent takes everything; bounds are its own.
            let _ = call::push(&self.raw, batch);
        }
    }
}

/// Takes what an input gathers: points, batches, or bytes for the parser.
pub struct Gather<'a> {
    pub(crate) builder: &'a mut BatchBuilder,
    pub(crate) raw: RawSink,
}

impl Gather<'_> {
    /// Begins a point.
    pub fn point(&mut self, name: &str) -> PointBuilder<'_> {
        if self.builder.is_full() {
            self.flush();
        }
        self.builder.point(name)
    }

    /// Hands on what was built so far.
    pub fn flush(&mut self) {
        if let Some(batch) = self.builder.finish() {
            let _ = call::push(&self.raw, batch);
        }
    }

    /// Hands on a batch, after the points built so far.
    pub fn push(&mut self, batch: Batch) {
        self.flush();
        let _ = call::push(&self.raw, batch);
    }

    /// Hands bytes to the parser that the input's `data_format` names. `tags` go to all their
    /// points.
    ///
    /// # Errors
    /// The parser's, for the whole text; bad records are counted and logged by the agent.
    pub fn bytes(
        &mut self,
        framing: Framing,
        data: &[u8],
        tags: &[(&str, &str)],
    ) -> Result<(), Error> {
        self.flush();
        call::push_bytes(&self.raw, framing, data, tags, None, 0)
    }
}

/// What a parser is told about its chunk, and takes what comes of it.
pub struct ParseSink<'a> {
    pub(crate) chunk: &'a RawChunk,
    pub(crate) raw: RawSink,
}

impl<'a> ParseSink<'a> {
    /// The time of points that carry none: nanoseconds since the epoch.
    #[inline]
    pub fn default_time(&self) -> i64 {
        self.chunk.default_time_ns
    }

    /// Whether nothing follows: a last line without a line end is complete.
    #[inline]
    pub fn is_final(&self) -> bool {
        self.chunk.flags & crate::abi::host::chunk_flag::FINAL != 0
    }

    /// The chunk together with the 32 bytes of no meaning behind it, for scanners that look ahead.
    #[inline]
    pub fn padded(&self) -> &'a [u8] {
        call::padded(self.chunk)
    }

    /// Hands on a batch.
    pub fn push(&mut self, batch: Batch) {
        let _ = call::push(&self.raw, batch);
    }

    /// Tells of a record that was refused: where it begins in the chunk, its bytes, where the error
    /// stands, and a sentence.
    pub fn bad(&mut self, offset: usize, len: usize, at: usize, message: &str) {
        call::bad(&self.raw, offset, len, at, message);
    }

    /// Tells how many lines the chunk had, bad ones too.
    pub fn lines(&mut self, lines: u64) {
        call::lines(&self.raw, lines);
    }
}

impl From<crate::batch::Refused> for Error {
    fn from(refused: crate::batch::Refused) -> Self {
        Error::failed(refused.to_string())
    }
}
