//! The agent's services for one instance of a plugin.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

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
    /// The clock.
    pub clock: Clock,
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
    ) -> Arc<dyn HostServices> {
        Arc::new(PluginHost {
            services: Arc::clone(services),
            log: log.clone(),
            own: services.metrics.of_instance(kind, plugin, alias),
            state_prefix: format!("{}/", log.name()),
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
        let host = PluginHost::create(&self.services, &self.log, "serializer", name, "");
        let mut instance = SerializerInstance::make(&loaded.plugin, config, serve::host(host))?;
        instance.base.init(&Context::new(self.now(), None, None))?;
        Ok(instance)
    }

    fn self_metrics(&self) -> Option<Batch> {
        self.services.metrics.snapshot(self.now())
    }
}
