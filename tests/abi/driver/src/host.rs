//! What the driver hands to plugins: memory that counts its blocks, a host that has a serializer and
//! a secret.

use std::alloc::{Layout, alloc, dealloc};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use headwater_plugin_api::abi::host::RawHost;
use headwater_plugin_api::abi::instance::SerializerInstance;
use headwater_plugin_api::abi::memory::{ALIGN, MemoryFunctions};
use headwater_plugin_api::abi::serve::{self, HostServices};
use headwater_plugin_api::batch::{Batch, BatchBuilder};
use headwater_plugin_api::plugin::{Error, Level};
use headwater_plugin_api::testkit::TestHost;

use crate::loader::Registry;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static FREED: AtomicUsize = AtomicUsize::new(0);

/// The memory of batches.
pub static MEMORY: MemoryFunctions = MemoryFunctions { allocate, free };

extern "C" fn allocate(bytes: usize, capacity: *mut usize) -> *mut u8 {
    ALLOCATED.fetch_add(1, Ordering::Relaxed);
    let bytes = bytes.next_multiple_of(ALIGN).max(ALIGN);
    let layout = Layout::from_size_align(bytes, ALIGN).unwrap();
    unsafe {
        *capacity = bytes;
        alloc(layout)
    }
}

extern "C" fn free(block: *mut u8, capacity: usize) {
    FREED.fetch_add(1, Ordering::Relaxed);
    unsafe { dealloc(block, Layout::from_size_align(capacity, ALIGN).unwrap()) }
}

/// Blocks handed out and taken back.
pub fn blocks() -> (usize, usize) {
    (ALLOCATED.load(Ordering::Relaxed), FREED.load(Ordering::Relaxed))
}

/// The test kit's host, and what that lacks.
pub struct DriverHost<'a> {
    pub inner: Arc<TestHost>,
    pub registry: &'a Registry,
}

impl HostServices for DriverHost<'static> {
    fn log(&self, level: Level, message: &str) {
        self.inner.log(level, message);
    }
    fn now(&self) -> i64 {
        1234
    }
    fn counter(&self, name: &str, gauge: bool) -> &'static AtomicU64 {
        self.inner.counter(name, gauge)
    }
    fn load_state(&self, key: &str) -> Option<Vec<u8>> {
        self.inner.load_state(key)
    }
    fn save_state(&self, key: &str, state: &[u8]) -> Result<(), Error> {
        self.inner.save_state(key, state)
    }
    fn secret(&self, reference: &str) -> Result<String, Error> {
        match reference {
            "@{store:key}" => Ok("opened".to_owned()),
            _ => Err(Error::failed(format!("there is no secret {reference}"))),
        }
    }
    fn serializer(&self, name: &str, config: &str) -> Result<SerializerInstance, Error> {
        let found = self.registry.serializer(name).map_err(|e| Error::failed(e.to_string()))?;
        SerializerInstance::make(&found.plugin, config, raw(&self.inner, self.registry))
    }
    fn keeps_state(&self) -> bool {
        self.inner.keeps_state()
    }
    fn self_metrics(&self) -> Option<Batch> {
        let mut builder = BatchBuilder::default();
        builder.point("internal").field("n", 1_i64).finish(1).ok()?;
        builder.finish()
    }
    #[cfg(feature = "v1_1")]
    fn host_name(&self) -> Option<String> {
        Some("driver".to_owned())
    }
}

/// One clone of a host.
pub fn raw(inner: &Arc<TestHost>, registry: &Registry) -> RawHost {
    // The registry stays until the process ends, and hosts with it.
    let registry: &'static Registry = unsafe { &*std::ptr::from_ref(registry) };
    serve::host(Arc::new(DriverHost { inner: Arc::clone(inner), registry }))
}
