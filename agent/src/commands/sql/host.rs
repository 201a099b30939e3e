//! The services that plugins have in this command: a log that is kept, and counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use headwater_plugin_api::abi::instance::SerializerInstance;
use headwater_plugin_api::abi::serve::HostServices;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Error, Level};

/// Messages that are kept until somebody takes them.
const MESSAGES_MAX: usize = 100;

/// The services.
pub struct CommandHost {
    now_ns: i64,
    messages: Mutex<Vec<(Level, String)>>,
    counters: Mutex<Vec<(String, &'static AtomicU64)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CommandHost {
    /// Services of a run that began at that time, nanoseconds since the epoch.
    pub fn new(now_ns: i64) -> CommandHost {
        CommandHost { now_ns, messages: Mutex::default(), counters: Mutex::default() }
    }

    /// What plugins have said since the last time.
    pub fn take_messages(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut *lock(&self.messages))
    }

    /// The counters that are not zero.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let counters = lock(&self.counters);
        let counts =
            counters.iter().map(|(name, cell)| (name.clone(), cell.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl HostServices for CommandHost {
    fn log(&self, level: Level, message: &str) {
        let mut messages = lock(&self.messages);
        if messages.len() < MESSAGES_MAX {
            messages.push((level, message.to_owned()));
        }
    }

    fn now(&self) -> i64 {
        self.now_ns
    }

    fn counter(&self, name: &str, gauge: bool) -> &'static AtomicU64 {
        let new = || -> &'static AtomicU64 { Box::leak(Box::new(AtomicU64::new(0))) };
        if gauge {
            return new();
        }
        let mut counters = lock(&self.counters);
        match counters.iter().find(|(known, _)| known == name) {
            Some((_, cell)) => cell,
            None => {
                let cell = new();
                counters.push((name.to_owned(), cell));
                cell
            }
        }
    }

    fn load_state(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }

    fn save_state(&self, _key: &str, _state: &[u8]) -> Result<(), Error> {
        Err(Error::failed("nothing is kept from one run of this command to the next"))
    }

    fn secret(&self, reference: &str) -> Result<String, Error> {
        Err(Error::failed(format!("there is no secret store for {reference}")))
    }

    fn serializer(&self, name: &str, _config: &str) -> Result<SerializerInstance, Error> {
        Err(Error::failed(format!("there is no serializer {name} in this command")))
    }

    fn self_metrics(&self) -> Option<Batch> {
        None
    }
}
