//! The agent's services for one instance of a plugin.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_plugin_api::abi::instance::SerializerInstance;
use headwater_plugin_api::abi::serve::{self, HostServices};
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Context, Error, Level};

use super::clock::Clock;
use crate::loader::Registry;
use crate::observe::{InstanceMetrics, Log, Metrics};
use crate::state::{Loaded, Store};

/// What all hosts share.
pub struct Services {
    /// The plugins that can be had.
    pub registry: Arc<Registry>,
    /// All self-metrics.
    pub metrics: Arc<Metrics>,
    /// The state store.
    pub store: Arc<Store>,
    /// Whether what is stored is for the next run: not so in trials.
    pub keeps_state: bool,
    /// The clock.
    pub clock: Clock,
    /// How many plugins have the same kind and name.
    names: Mutex<HashMap<(&'static str, String), u32>>,
}

impl Services {
    /// Services of a run, whose state the next run finds, or of a trial.
    pub fn new(
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        store: Arc<Store>,
        is_run: bool,
    ) -> Self {
        let keeps_state = is_run && store.folder().is_some();
        let (clock, names) = (Clock::System, Mutex::default());
        Services { registry, metrics, store, keeps_state, clock, names }
    }

    /// What stands before the keys of one more plugin of that kind and name: no two have the same.
    pub fn state_prefix(&self, kind: &'static str, name: String) -> String {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let count = names.entry((kind, name.clone())).or_default();
        *count += 1;
        if *count == 1 { format!("{name}/") } else { format!("{name}#{count}/") }
    }
}

/// The host of one instance.
pub struct PluginHost {
    services: Arc<Services>,
    log: Log,
    own: InstanceMetrics,
    /// Put before the plugin's keys in the state store.
    state_prefix: String,
}

impl PluginHost {
    /// A host for the plugin of this kind (`input`), name and alias.
    pub fn create(
        services: &Arc<Services>,
        log: &Log,
        kind: &str,
        plugin: &str,
        alias: &str,
        state_prefix: &str,
    ) -> Arc<dyn HostServices> {
        Arc::new(PluginHost {
            services: Arc::clone(services),
            log: log.clone(),
            own: services.metrics.of_instance(kind, plugin, alias),
            state_prefix: state_prefix.to_owned(),
        })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.state_prefix)
    }
}

impl HostServices for PluginHost {
    fn log(&self, level: Level, message: &str) {
        self.log.log(level, message);
    }

    fn now(&self) -> i64 {
        self.services.clock.now_ns()
    }

    fn counter(&self, name: &str, gauge: bool) -> &'static AtomicU64 {
        self.own.cell(name, gauge)
    }

    fn load_state(&self, key: &str) -> Option<Vec<u8>> {
        match self.services.store.load(&self.key(key)) {
            Loaded::Found(state) => Some(state),
            Loaded::Absent => None,
            Loaded::Bad(what) => {
                self.log.error(what);
                None
            }
        }
    }

    fn save_state(&self, key: &str, state: &[u8]) -> Result<(), Error> {
        self.services.store.save(&self.key(key), state).map_err(Error::failed)
    }

    fn keeps_state(&self) -> bool {
        self.services.keeps_state
    }

    fn secret(&self, reference: &str) -> Result<String, Error> {
        Err(Error::failed(format!(
            "there is no secret store for {reference}; put the value into an environment variable"
        )))
    }

    fn serializer(&self, name: &str, config: &str) -> Result<SerializerInstance, Error> {
        let loaded = self
            .services
            .registry
            .serializer(name)
            .map_err(|error| Error::failed(error.to_string()))?;
        let host = PluginHost::create(
            &self.services,
            &self.log,
            "serializer",
            name,
            "",
            &self.state_prefix,
        );
        let mut instance = SerializerInstance::make(&loaded.plugin, config, serve::host(host))?;
        instance.base.init(&Context::new(self.now(), None, None))?;
        Ok(instance)
    }

    fn self_metrics(&self) -> Option<Batch> {
        self.services.metrics.snapshot(self.now())
    }
}
