//! What an agent and a plugin of different minor versions make of each other: the fixture of 1.1 in
//! an agent with and without its additions, and in an agent that has them the fixture of 1.0.

use std::sync::Arc;

use headwater_plugin_api::abi::instance::{InputInstance, ProcessorInstance};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::abi::{module::capability, serve};
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Context, Level};
use headwater_plugin_api::testkit::{Collected, Driven, TestHost, lines};

use crate::host::raw;
use crate::loader::{InputKind, Registry};

/// The section and the bit that 1.1 added, which an agent of 1.0 has no names for.
const NOTES: u32 = 0x1000;
const NOTING: u64 = 1 << 60;

pub fn new(registry: &Registry) {
    let InputKind::Gathered(plugin) = registry.input("grown_source").unwrap().plugin else {
        panic!("it is gathered");
    };
    let capabilities = plugin.descriptor.capabilities();
    assert_eq!(capabilities, capability::FINITE | NOTING);
    let host = Arc::new(TestHost::default());
    let make = |config: &str| InputInstance::make(&plugin, config, raw(&host, registry)).unwrap();

    let (batch, refused) = gather(&mut make(""));
    assert_eq!(refused, []);
    let batch = batch.unwrap();
    let expected = match cfg!(feature = "v1_1") {
        true => "grown,host=driver trace=77u 5",
        false => "grown,host=unknown trace=0u 5",
    };
    assert_eq!(lines([&batch]), [expected]);
    assert_eq!(note(&batch), Some(&b"written by 1.1"[..]), "an unknown section is carried");
    let mut edited = batch.clone();
    edited.edit_rows(|rows| rows[0].time = 6);
    assert_eq!(note(&edited), Some(&b"written by 1.1"[..]), "through edits too");

    let (batch_that_must, refused) = gather(&mut make("must = true"));
    match cfg!(feature = "v1_1") {
        true => assert!(batch_that_must.is_some() && refused.is_empty()),
        false => {
            assert!(batch_that_must.is_none());
            let words = "section 4097 must be understood and is not known here";
            assert_eq!(refused, [Malformed(words.into())]);
        }
    }
    stage(registry, batch);
    #[cfg(feature = "v1_1")]
    with::new(registry);
}

/// The sink of an agent that checks what it is given.
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

fn gather(instance: &mut InputInstance) -> (Option<Batch>, Vec<Malformed>) {
    let mut target = Checking::default();
    let context = Context::new(5, None, None);
    #[cfg(feature = "v1_1")]
    let context = context.with_trace(77);
    serve::with_sink(&mut target, |sink| instance.gather(&context, sink)).unwrap();
    (target.inner.batches.pop(), target.refused)
}

fn note(batch: &Batch) -> Option<&[u8]> {
    let entry = batch.tables().sections().iter().find(|entry| entry.id == NOTES)?;
    Some(batch.tables().section_bytes(entry))
}

/// A processor of 1.1 reads the note, and without `flush` gives back what it holds by `tick`.
fn stage(registry: &Registry, batch: Batch) {
    let plugin = registry.processor("grown_stage").unwrap().plugin;
    let host = Arc::new(TestHost::default());
    let instance = ProcessorInstance::make(&plugin, "", raw(&host, registry)).unwrap();
    let mut stage = Driven { instance, host };
    stage.process(5, batch).1.unwrap();
    let read = (Level::Information, "written by 1.1".to_owned());
    assert_eq!(*stage.host.logs.lock().unwrap(), [read]);
    let (held, next) = stage.tick(6);
    assert_eq!((held.batches.len(), next.unwrap()), (1, None));
    assert_eq!(note(&held.batches[0]), Some(&b"written by 1.1"[..]));
}

/// In an agent of 1.1, the fixture of 1.0 lacks what came later and is none the worse.
pub fn old(registry: &Registry) {
    #[cfg(feature = "v1_1")]
    with::old(registry);
    #[cfg(not(feature = "v1_1"))]
    let _ = registry;
}

#[cfg(feature = "v1_1")]
mod with {
    use super::*;
    use crate::old_data::batch;
    use crate::old_stages::stage;

    pub fn new(registry: &Registry) {
        let plugin = registry.processor("grown_stage").unwrap().plugin;
        let license = plugin.descriptor.license().unwrap();
        assert_eq!(unsafe { license.to_text() }, "MIT");
        let host = Arc::new(TestHost::default());
        let mut stage = ProcessorInstance::make(&plugin, "", raw(&host, registry)).unwrap();
        let mut target = Checking::default();
        let context = Context::new(5, None, None);
        let given = some_batch();
        serve::with_sink(&mut target, |sink| stage.process(&context, given, sink)).unwrap();
        assert!(target.inner.batches.is_empty());
        let flushed = serve::with_sink(&mut target, |sink| stage.flush(&context, sink));
        flushed.expect("1.1 has it").unwrap();
        assert_eq!(target.inner.batches.len(), 1);
    }

    fn some_batch() -> Batch {
        let mut builder = headwater_plugin_api::batch::BatchBuilder::default();
        builder.point("m").field("a", 1.0).finish(1).unwrap();
        builder.finish().unwrap()
    }

    pub fn old(registry: &Registry) {
        let plugin = registry.processor("abi_stage").unwrap().plugin;
        assert!(plugin.descriptor.license().is_none());
        for mode in ["pass", "filter", "edit", "split"] {
            let mut stage = stage(registry, mode);
            let mut given = batch(registry, 4);
            given.note("for 1.0 to carry", false);
            let (collected, result) = stage.process(0, given);
            result.unwrap();
            let all: Vec<_> = collected.batches.iter().map(Batch::read_note).collect();
            assert!(all.iter().all(|note| *note == Some("for 1.0 to carry")), "{mode}: {all:?}");
            let mut target = Checking::default();
            let context = Context::new(5, None, None);
            let flushed =
                serve::with_sink(&mut target, |sink| stage.instance.flush(&context, sink));
            assert!(flushed.is_none());
        }
        refuses_what_it_must_understand(registry);
    }

    /// The 1.0 side says so and releases nothing that is not its own.
    fn refuses_what_it_must_understand(registry: &Registry) {
        let mut given = batch(registry, 2);
        given.note("for all to heed", true);
        let (collected, result) = stage(registry, "pass").process(0, given.clone());
        let error = result.unwrap_err().to_string();
        assert!(error.contains("section 4097 must be understood"), "{error}");
        assert!(collected.batches.is_empty());

        let plugin = registry.serializer("abi_text").unwrap().plugin;
        let host = Arc::new(TestHost::default());
        let made = headwater_plugin_api::abi::instance::SerializerInstance::make(
            &plugin,
            "",
            raw(&host, registry),
        );
        let mut out = Vec::new();
        let context = Context::new(5, None, None);
        let error = made.unwrap().serialize(&context, &given, &mut out).unwrap_err().to_string();
        assert!(error.contains("section 4097 must be understood") && out.is_empty(), "{error}");
        assert_eq!(given.points().count(), 2, "the lender's batch is whole");
    }
}
