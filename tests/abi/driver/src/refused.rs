//! Libraries that must be refused with words, beside one that is loaded.

use std::sync::Arc;

use headwater_plugin_api::abi::instance::{InputInstance, ProcessorInstance};
use headwater_plugin_api::abi::open::interface_version;
use headwater_plugin_api::plugin::ErrorKind;
use headwater_plugin_api::testkit::{Collected, TestHost, context};
use headwater_plugin_api::{abi::serve, abi::tables::Malformed, batch::Batch, plugin::Error};

use crate::PANICS;
use crate::host::raw;
use crate::loader::{InputKind, Registry};

pub fn check(registry: &Registry) {
    let warnings = registry.warnings();
    let has = |words: &str| {
        assert!(warnings.iter().any(|warning| warning.contains(words)), "{words}: {warnings:#?}");
    };
    has(
        "libabi_text.so: it is not a shared library of 64-bit Linux: it begins with \"This is a text, \"",
    );
    has("libabi_epoch.so also brings input `abi_bad`, processor `abi_bad`; those of ");
    let faults = registry.faults();
    let epoch = faults.iter().find(|fault| fault.library.ends_with("libabi_epoch.so")).unwrap();
    let words = format!(
        "it was built for plugin interface 2.0.0, this agent speaks {}, and the first numbers must \
         be the same: get a build of it for interface 1.x",
        interface_version()
    );
    assert_eq!(epoch.error.to_string(), words);
    let layout = faults.iter().find(|fault| fault.library.ends_with("libabi_layout.so")).unwrap();
    let line = layout.error.to_string();
    assert!(line.contains("but its tables are laid out differently"), "{line}");
    assert!(!line.contains('\n'));
    let detail = layout.error.detail().unwrap();
    assert!(detail.contains("capabilities") && detail.lines().count() > 5, "{detail}");
    wrong_calls(registry);
}

/// Batches of strangers are checked.
#[derive(Default)]
struct Checking {
    inner: Collected,
    refused: Vec<Malformed>,
}

impl serve::SinkTarget for Checking {
    fn checks(&self) -> bool {
        true
    }
    fn push(&mut self, batch: Batch, timeout: Option<std::time::Duration>) -> Result<(), Batch> {
        self.inner.push(batch, timeout)
    }
    fn malformed(&mut self, malformed: Malformed) {
        self.refused.push(malformed);
    }
}

fn gather(instance: &mut InputInstance) -> (Checking, Result<(), Error>) {
    let mut target = Checking::default();
    let result = serve::with_sink(&mut target, |sink| instance.gather(&context(5), sink));
    (target, result)
}

fn wrong_calls(registry: &Registry) {
    let found = registry.input("abi_bad").unwrap();
    assert!(!found.trusted);
    let InputKind::Gathered(plugin) = found.plugin else { panic!("it is gathered") };
    let host = Arc::new(TestHost::default());
    let make = |config: &str| InputInstance::make(&plugin, config, raw(&host, registry)).unwrap();

    let mut input = make("fault = \"panic\"\nfrom = 2\nto = 2");
    let (seen, result) = gather(&mut input);
    result.unwrap();
    assert_eq!(seen.inner.points(), ["bad,plugin=input n=1i 5"]);
    assert_eq!(*gather(&mut input).1.unwrap_err().kind(), ErrorKind::Panicked);
    assert!(PANICS.lock().unwrap().remove(0).starts_with("a bad plugin panics in call 2 at "));

    let mut input = make("fault = \"malformed\"\nto = 1");
    let (seen, result) = gather(&mut input);
    result.unwrap();
    assert!(seen.inner.batches.is_empty());
    assert_eq!(seen.refused, [Malformed("row 0 names series 268435455".into())]);
    let (seen, _) = gather(&mut input);
    assert_eq!(seen.inner.points(), ["bad,plugin=input n=2i 5"]);

    let plugin = registry.processor("abi_bad").unwrap().plugin;
    let config = "fault = \"malformed\"";
    let mut stage = ProcessorInstance::make(&plugin, config, raw(&host, registry)).unwrap();
    let mut target = Checking::default();
    let good = seen.inner.batches.into_iter().next().unwrap();
    serve::with_sink(&mut target, |sink| stage.process(&context(5), good, sink)).unwrap();
    assert_eq!(target.refused.len(), 1);
}
