//! A plugin as its author writes it: one struct, one trait for its kind, one table of options.
//!
//! The agent calls, in this order: `new` (the options are parsed), [`Plugin::init`] (no I/O),
//! [`Plugin::connect`] (repeated with back-off until it works), the work of the kind,
//! [`Plugin::pause`], [`Plugin::stop`]. It owns retry, back-off, batching, timeouts and
//! concurrency: a plugin makes one attempt and tells what came of it. A call that panics costs the
//! instance: the agent drops it and makes another, with back-off.

mod concurrent;
mod context;
mod delivery;
mod error;
mod family;
mod host;
mod intake;
mod sink;

pub use concurrent::{ConcurrentProcessor, Shared};
pub use context::Context;
pub use delivery::{Delivery, Outcome};
pub use error::{Error, ErrorKind};
pub use family::{Family, Manifest, manifest_bytes, manifest_len};
#[doc(hidden)]
pub use family::{Lists, root as family_root};
pub use host::{Counter, Gauge, Host, Level, OwnedSerializer};
pub use intake::{Framing, Intake, Read, ReadBuffer, Settlement, Source, SourceSpec};
pub use sink::{Gather, ParseSink, Sink};

use crate::abi::module::capability;
use crate::batch::Batch;
use crate::config::Config;

/// What a plugin promises the agent: an "or" of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// See [`capability::CONCURRENT`]; set for who has [`Processor::SHARED`].
    pub const CONCURRENT: Self = Self(capability::CONCURRENT);
    /// See [`capability::STATELESS`].
    pub const STATELESS: Self = Self(capability::STATELESS);
    /// See [`capability::SPLITTABLE`].
    pub const SPLITTABLE: Self = Self(capability::SPLITTABLE);
    /// See [`capability::FINITE`].
    pub const FINITE: Self = Self(capability::FINITE);
    /// See [`capability::DIRECT`].
    pub const DIRECT: Self = Self(capability::DIRECT);
    /// See [`capability::SERIALIZED`].
    pub const SERIALIZED: Self = Self(capability::SERIALIZED);
    /// See [`capability::PARSED`].
    pub const PARSED: Self = Self(capability::PARSED);
    /// See [`capability::DIFFERENTIAL`].
    pub const DIFFERENTIAL: Self = Self(capability::DIFFERENTIAL);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is promised.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What every kind has.
pub trait Plugin: Sized + Send + 'static {
    /// The options, made with [`config!`](crate::config!).
    type Config: Config;
    /// The name in the configuration.
    const NAME: &'static str;
    /// One sentence.
    const SUMMARY: &'static str;
    /// What it promises.
    const CAPABILITIES: Capabilities = Capabilities::NONE;

    /// Makes an instance. No I/O.
    ///
    /// # Errors
    /// [`Error::config`] with the key that is to blame.
    fn new(config: Self::Config, host: Host) -> Result<Self, Error>;

    /// Checks what the options alone cannot tell. No I/O.
    fn init(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Opens connections. The agent repeats it, with back-off.
    fn connect(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Takes nothing more in; settlements go on.
    fn pause(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Ends by the context's deadline.
    fn stop(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        Ok(())
    }

    /// Its state, if it has one that should outlive a restart.
    fn snapshot(&mut self, _cx: &Context<'_>) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// Takes a state back, before any work.
    fn restore(&mut self, _cx: &Context<'_>, _state: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

/// An input that is asked at intervals.
pub trait Input: Plugin {
    /// Pushes what there is now.
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error>;
}

/// An input that runs by itself.
pub trait ServiceInput: Plugin {
    /// Begins, after `connect`. Sources of bytes are opened on the intake; the agent waits, reads and
    /// parses on its own threads. Clones of the intake may go to threads of the plugin's own.
    fn start(&mut self, cx: &Context<'_>, intake: Intake) -> Result<(), Error>;

    /// What became of what it pushed or read, in no order. Also while paused.
    fn settled(&mut self, _cx: &Context<'_>, _settlements: &[Settlement]) {}
}

/// Turns bytes into points. One instance for each worker.
pub trait Parser: Plugin {
    /// How many of `data` make whole records: where the text may be cut. `last` if nothing follows.
    /// 0 if more must be read first.
    fn cut(&self, data: &[u8], last: bool) -> usize {
        if last {
            return data.len();
        }
        memchr::memrchr(b'\n', data).map_or(0, |at| at + 1)
    }

    /// Parses one chunk. 32 readable bytes of no meaning stand behind `data` (see
    /// [`ParseSink::padded`]). Bad records are told to [`ParseSink::bad`] and cost themselves
    /// alone; an error gives the whole chunk up.
    fn parse(
        &mut self,
        cx: &Context<'_>,
        data: &[u8],
        out: &mut ParseSink<'_>,
    ) -> Result<(), Error>;
}

/// Turns points into bytes. One instance for each worker.
pub trait Serializer: Plugin {
    /// Appends the live points of a batch.
    fn serialize(
        &mut self,
        cx: &Context<'_>,
        batch: &Batch,
        out: &mut Vec<u8>,
    ) -> Result<(), Error>;
}

/// Turns batches into batches.
pub trait Processor: Plugin {
    /// How several threads call it at the same time; see [`ConcurrentProcessor`].
    const SHARED: Option<Shared<Self>> = None;

    /// Takes a batch and pushes what comes of it. A batch that is dropped here settles as dropped by
    /// configuration.
    fn process(&mut self, cx: &Context<'_>, batch: Batch, out: &mut Sink<'_>) -> Result<(), Error>;

    /// Does what is due by `cx.now()` and tells when it wants to be called again.
    fn tick(&mut self, _cx: &Context<'_>, _out: &mut Sink<'_>) -> Result<Option<i64>, Error> {
        Ok(None)
    }

    /// A message that travels in order with the data.
    fn control(
        &mut self,
        _cx: &Context<'_>,
        _control: Control,
        _out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// Turns points into points for each window of time.
pub trait Aggregator: Plugin {
    /// Adds the live points of a batch.
    fn apply(&mut self, cx: &Context<'_>, batch: &Batch) -> Result<(), Error>;

    /// Emits what is due by `cx.now()` and tells when it wants to be called again.
    fn tick(&mut self, cx: &Context<'_>, out: &mut Sink<'_>) -> Result<Option<i64>, Error>;

    /// A message that travels in order with the data.
    fn control(
        &mut self,
        _cx: &Context<'_>,
        _control: Control,
        _out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// Takes points elsewhere.
pub trait Output: Plugin {
    /// Makes one attempt to write.
    ///
    /// # Errors
    /// What the agent does next stands at each [`ErrorKind`].
    fn write(&mut self, _cx: &Context<'_>, _batches: &[Batch]) -> Result<(), Error> {
        Err(Error::fatal("this output takes serialized bytes alone"))
    }

    /// With [`Capabilities::SERIALIZED`]: makes one attempt to write what the serializer made.
    fn write_bytes(&mut self, _cx: &Context<'_>, _bytes: &[u8]) -> Result<(), Error> {
        Err(Error::fatal("this output takes batches alone"))
    }
}

/// What travels in order with the data, besides the data. The number is the source's, 0 for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// A source begins; `finite` if it ends by itself.
    Begin {
        /// The source.
        origin: u64,
        /// Whether it is a file or the like.
        finite: bool,
    },
    /// The source will send nothing more.
    End {
        /// The source.
        origin: u64,
    },
    /// The source's event time has come this far without data.
    Progress {
        /// The source.
        origin: u64,
        /// Nanoseconds since the epoch.
        time_ns: i64,
    },
    /// To a processor whose calls overlap: all batches of the source up to this event time have been
    /// processed.
    Reached {
        /// The source.
        origin: u64,
        /// Nanoseconds since the epoch.
        time_ns: i64,
    },
    /// The source has been silent.
    Idle {
        /// The source.
        origin: u64,
    },
    /// Emit what is complete.
    Flush,
    /// A checkpoint of this number stands here.
    Barrier(i64),
    /// The last call: emit what is open.
    Stop,
}
