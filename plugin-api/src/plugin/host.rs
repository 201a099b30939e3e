//! The agent's services, as a plugin uses them.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Context, Error};
use crate::abi::call;
use crate::abi::host::RawHost;
use crate::batch::Batch;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Something is lost or does not work.
    Error = 1,
    /// Something is not as it should be, and is dealt with.
    Warning = 2,
    /// A change of state.
    Information = 3,
    /// For those who look for a fault.
    Debug = 4,
}

/// The agent's services, bound to one instance's name. Cheap to clone, usable from any thread.
pub struct Host {
    pub(crate) raw: Option<RawHost>,
}

impl Host {
    /// Services of nobody: logs go nowhere, counters count, there is no state and no parser. For
    /// tests.
    pub fn detached() -> Host {
        Host { raw: None }
    }

    /// Writes a line to the agent's log. Normal operation is silent; what can be counted is a
    /// counter.
    pub fn log(&self, level: Level, message: &str) {
        if let Some(raw) = &self.raw {
            call::log(raw, level as u32, message);
        }
    }

    /// Logs an error.
    pub fn error(&self, message: &str) {
        self.log(Level::Error, message);
    }

    /// Logs a warning.
    pub fn warn(&self, message: &str) {
        self.log(Level::Warning, message);
    }

    /// Logs a change of state.
    pub fn info(&self, message: &str) {
        self.log(Level::Information, message);
    }

    /// Logs for those who look for a fault.
    pub fn debug(&self, message: &str) {
        self.log(Level::Debug, message);
    }

    /// Nanoseconds since the Unix epoch, by the agent's clock; the system's when detached.
    pub fn now(&self) -> i64 {
        match &self.raw {
            Some(raw) => call::now(raw),
            None => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)),
        }
    }

    /// The counter of this name among the plugin's self-metrics.
    pub fn counter(&self, name: &str) -> Counter {
        Counter(self.cell(name, 1))
    }

    /// The gauge of this name among the plugin's self-metrics.
    pub fn gauge(&self, name: &str) -> Gauge {
        Gauge(self.cell(name, 2))
    }

    fn cell(&self, name: &str, kind: u32) -> &'static AtomicU64 {
        self.raw
            .as_ref()
            .and_then(|raw| call::counter(raw, name, kind))
            .unwrap_or_else(|| Box::leak(Box::new(AtomicU64::new(0))))
    }

    /// The state stored under a key.
    pub fn load_state(&self, key: &str) -> Option<Vec<u8>> {
        call::load_state(self.raw.as_ref()?, key)
    }

    /// Stores state durably under a key.
    ///
    /// # Errors
    /// It could not be stored.
    pub fn save_state(&self, key: &str, state: &[u8]) -> Result<(), Error> {
        match &self.raw {
            Some(raw) => call::save_state(raw, key, state),
            None => Err(Error::failed("there is no state store")),
        }
    }

    /// Whether what [`save_state`](Self::save_state) stores outlives the process. Not so when
    /// detached, and with agents older than 1.1.
    pub fn keeps_state(&self) -> bool {
        self.raw.as_ref().is_some_and(call::keeps_state)
    }

    /// The secret behind a reference `@{store:key}`; other text is its own secret.
    ///
    /// # Errors
    /// There is no such store or key.
    pub fn secret(&self, reference: &str) -> Result<String, Error> {
        match &self.raw {
            Some(raw) if reference.starts_with("@{") => call::secret(raw, reference),
            _ => Ok(reference.to_owned()),
        }
    }

    /// A serializer by name, with a table of options of its own as TOML.
    ///
    /// # Errors
    /// There is none of that name, or its options are wrong.
    pub fn serializer(&self, name: &str, config: &str) -> Result<OwnedSerializer, Error> {
        match &self.raw {
            Some(raw) => call::serializer(raw, name, config),
            None => Err(Error::failed(format!("there is no serializer {name} without an agent"))),
        }
    }

    /// All self-metrics of the agent.
    ///
    /// # Errors
    /// The agent does not offer them.
    pub fn self_metrics(&self) -> Result<Batch, Error> {
        match &self.raw {
            Some(raw) => call::self_metrics(raw),
            None => Err(Error::failed("there are no self-metrics without an agent")),
        }
    }
}

impl Clone for Host {
    fn clone(&self) -> Self {
        if let Some(raw) = &self.raw {
            call::retain_host(raw);
        }
        Host { raw: self.raw }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(raw) = &self.raw {
            call::release_host(raw);
        }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

/// A number that only grows.
#[derive(Debug, Clone, Copy)]
pub struct Counter(&'static AtomicU64);

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Clone, Copy)]
pub struct Gauge(&'static AtomicU64);

impl Gauge {
    /// Sets it.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value as u64, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed) as i64
    }
}

/// A serializer that the agent made for a plugin.
pub struct OwnedSerializer {
    pub(crate) instance: call::SerializerInstance,
}

impl OwnedSerializer {
    /// Appends the live points of a batch.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize(
        &mut self,
        cx: &Context<'_>,
        batch: &Batch,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.instance.serialize(cx, batch, out)
    }
}
