//! A service input driven without an agent: its intake keeps what the plugin opens, and the test says
//! when a source is read or a descriptor is ready.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Driven, TestHost, context, driven};
use crate::abi::instance::ServiceInstance;
use crate::abi::serve::{self, IntakeServices, OpenedSource, OpenedSpec, PushedBytes, Watched};
use crate::abi::shim;
use crate::abi::tables::Malformed;
use crate::batch::Batch;
use crate::plugin::{Error, Framing, Read, ServiceInput, Settlement};

driven!(service, ServiceInput, ServiceInstance, service);

/// Bytes that a plugin pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// How they make texts.
    pub framing: Framing,
    /// The bytes.
    pub data: Vec<u8>,
    /// Tags for all points.
    pub tags: Vec<(String, String)>,
    /// The token for settlements.
    pub token: Option<u64>,
    /// The source's number.
    pub origin: u64,
}

/// What one read of a source gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadStep {
    /// What it found.
    pub read: Read,
    /// All bytes.
    pub bytes: Vec<u8>,
    /// The bytes of each message that was ended.
    pub messages: Vec<Vec<u8>>,
    /// Datagrams that the kernel dropped.
    pub lost: u32,
    /// The token.
    pub token: u64,
}

enum Entry {
    Source { spec: Arc<OpenedSpec>, source: Option<OpenedSource> },
    Watch { descriptor: i32, watched: Option<Watched> },
}

#[derive(Default)]
struct State {
    last: u64,
    entries: BTreeMap<u64, Entry>,
    woken: Vec<u64>,
    closed: Vec<u64>,
    batches: Vec<Batch>,
    pushed: Vec<Pushed>,
    full: bool,
    no_sources: bool,
}

/// An intake that keeps what it is given.
#[derive(Default)]
pub struct TestIntake {
    state: Mutex<State>,
}

impl TestIntake {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether pushes find no room from now on.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Whether sources find no room from now on.
    pub fn refuse_sources(&self, refuse: bool) {
        self.state().no_sources = refuse;
    }

    /// The open sources with their specifications, in the order they were opened.
    pub fn sources(&self) -> Vec<(u64, Arc<OpenedSpec>)> {
        let state = self.state();
        let sources = state.entries.iter().filter_map(|(number, entry)| match entry {
            Entry::Source { spec, .. } => Some((*number, Arc::clone(spec))),
            Entry::Watch { .. } => None,
        });
        sources.collect()
    }

    /// The watches with their descriptors.
    pub fn watches(&self) -> Vec<(u64, i32)> {
        let state = self.state();
        let watches = state.entries.iter().filter_map(|(number, entry)| match entry {
            Entry::Watch { descriptor, .. } => Some((*number, *descriptor)),
            Entry::Source { .. } => None,
        });
        watches.collect()
    }

    /// The sources woken since the last call.
    pub fn take_woken(&self) -> Vec<u64> {
        std::mem::take(&mut self.state().woken)
    }

    /// The sources and watches that the plugin closed since the last call.
    pub fn take_closed(&self) -> Vec<u64> {
        std::mem::take(&mut self.state().closed)
    }

    /// The bytes pushed since the last call.
    pub fn take_pushed(&self) -> Vec<Pushed> {
        std::mem::take(&mut self.state().pushed)
    }

    /// The batches pushed since the last call.
    pub fn take_batches(&self) -> Vec<Batch> {
        std::mem::take(&mut self.state().batches)
    }

    /// Reads a source once. It is dropped when it ends or fails, as the agent does.
    ///
    /// # Errors
    /// The source's.
    ///
    /// # Panics
    /// If there is no such source.
    pub fn read(&self, number: u64, capacity: usize, messages: usize) -> Result<ReadStep, Error> {
        let taken = match self.state().entries.get_mut(&number) {
            Some(Entry::Source { source, .. }) => source.take(),
            _ => None,
        };
        // The lock is not held: a source may wake or open others while it is read.
        let Some(mut source) = taken else { panic!("there is no source {number}") };
        let mut buffer = vec![0; capacity];
        let mut ends = vec![0; messages];
        let outcome = source.read(&context(0), &mut buffer, &mut ends);
        let goes_on = matches!(&outcome, Ok(outcome) if outcome.read != Read::End);
        let mut state = self.state();
        if goes_on && let Some(Entry::Source { source: place, .. }) = state.entries.get_mut(&number)
        {
            *place = Some(source);
        } else {
            state.entries.remove(&number);
            drop(state);
            drop(source);
        }
        let outcome = outcome?;
        buffer.truncate(outcome.len);
        let mut start = 0;
        let messages = ends[..outcome.messages].iter().map(|end| {
            let message = buffer[start..*end as usize].to_vec();
            start = *end as usize;
            message
        });
        let messages = messages.collect();
        Ok(ReadStep {
            read: outcome.read,
            bytes: buffer,
            messages,
            lost: outcome.lost,
            token: outcome.token,
        })
    }

    /// Tells a watch that its descriptor is ready. It is dropped when it wants to hear no more.
    ///
    /// # Panics
    /// If there is no such watch.
    pub fn ready(&self, number: u64) -> bool {
        let taken = match self.state().entries.get_mut(&number) {
            Some(Entry::Watch { watched, .. }) => watched.take(),
            _ => None,
        };
        let Some(mut watched) = taken else { panic!("there is no watch {number}") };
        let goes_on = watched.ready(&context(0));
        let mut state = self.state();
        if goes_on && let Some(Entry::Watch { watched: place, .. }) = state.entries.get_mut(&number)
        {
            *place = Some(watched);
        } else {
            state.entries.remove(&number);
            drop(state);
            drop(watched);
        }
        goes_on
    }
}

impl IntakeServices for TestIntake {
    fn open(&self, spec: OpenedSpec, source: OpenedSource) -> Option<u64> {
        let mut state = self.state();
        if state.no_sources {
            drop(state);
            drop(source);
            return None;
        }
        state.last += 1;
        let number = state.last;
        let entry = Entry::Source { spec: Arc::new(spec), source: Some(source) };
        state.entries.insert(number, entry);
        Some(number)
    }

    fn watch(&self, descriptor: i32, watched: Watched) -> Option<u64> {
        let mut state = self.state();
        state.last += 1;
        let number = state.last;
        state.entries.insert(number, Entry::Watch { descriptor, watched: Some(watched) });
        Some(number)
    }

    fn wake(&self, source: u64) {
        self.state().woken.push(source);
    }

    fn close(&self, source: u64) {
        let mut state = self.state();
        state.closed.push(source);
        let entry = state.entries.remove(&source);
        drop(state);
        drop(entry);
    }

    fn checks(&self) -> bool {
        true
    }

    fn push(&self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        let mut state = self.state();
        if state.full {
            return Err(batch);
        }
        state.batches.push(batch);
        Ok(())
    }

    fn malformed(&self, malformed: Malformed) {
        panic!("{malformed}");
    }

    fn push_bytes(&self, bytes: PushedBytes<'_>) -> Result<(), Error> {
        let mut state = self.state();
        if state.full {
            return Err(Error::would_block());
        }
        state.pushed.push(Pushed {
            framing: bytes.framing,
            data: bytes.data.to_vec(),
            tags: bytes.tags,
            token: bytes.token,
            origin: bytes.origin,
        });
        Ok(())
    }
}

impl Driven<ServiceInstance> {
    /// Connects and starts it with an intake.
    ///
    /// # Errors
    /// The plugin's.
    pub fn start(&mut self) -> Result<Arc<TestIntake>, Error> {
        let intake = Arc::new(TestIntake::default());
        self.instance.base.connect(&context(0))?;
        self.instance.start(&context(0), serve::intake(Arc::clone(&intake) as _))?;
        Ok(intake)
    }

    /// Tells it of settlements.
    pub fn settled(&mut self, settlements: &[Settlement]) {
        self.instance.settled(&context(0), settlements);
    }
}
