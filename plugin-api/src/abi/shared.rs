//! A processor that agreed to be called by several threads at the same time.

use std::time::Duration;

use super::host::RawSink;
use super::instance::{Instance, ProcessorInstance};
use super::module::control;
use super::serve::{self, SinkTarget};
use super::{report, status};
use crate::abi::tables::Malformed;
use crate::batch::Batch;
use crate::plugin::{Context, Control, Error};

/// An instance of a processor whose [`process`](Self::process) may overlap itself.
pub struct SharedProcessor(ProcessorInstance);

// SAFETY: a shared reference gives `process` alone, and the plugin agreed that this may overlap
// itself; everything else takes the instance exclusively.
unsafe impl Sync for SharedProcessor {}

struct Nowhere;

impl SinkTarget for Nowhere {
    fn checks(&self) -> bool {
        true
    }
    fn push(&mut self, _batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        Ok(())
    }
    fn malformed(&mut self, _malformed: Malformed) {}
}

impl ProcessorInstance {
    /// Asks an instance that has seen nothing whether several threads may call it; gives it back if
    /// not. See [`ConcurrentProcessor`](crate::plugin::ConcurrentProcessor).
    ///
    /// # Errors
    /// The instance, which is called by one at a time.
    pub fn share(mut self, cx: &Context<'_>) -> Result<SharedProcessor, Box<ProcessorInstance>> {
        let mut code = status::FAILED;
        let _ = serve::with_sink(&mut Nowhere, |sink| {
            report::call(|report| {
                code = self.message(cx, (control::SHARE, 0, 0), sink, report);
                code
            })
        });
        if code == status::AGREED { Ok(SharedProcessor(self)) } else { Err(Box::new(self)) }
    }
}

impl SharedProcessor {
    /// What every kind has.
    pub fn base(&mut self) -> &mut Instance {
        &mut self.0.base
    }

    /// See [`ConcurrentProcessor::process_shared`](crate::plugin::ConcurrentProcessor::process_shared).
    ///
    /// # Errors
    /// The plugin's.
    pub fn process(&self, cx: &Context<'_>, batch: Batch, sink: RawSink) -> Result<(), Error> {
        self.0.call_process(cx, batch, sink)
    }

    /// See [`Processor::tick`](crate::plugin::Processor::tick).
    ///
    /// # Errors
    /// The plugin's.
    pub fn tick(&mut self, cx: &Context<'_>, sink: RawSink) -> Result<Option<i64>, Error> {
        self.0.tick(cx, sink)
    }

    /// See [`Processor::control`](crate::plugin::Processor::control).
    ///
    /// # Errors
    /// The plugin's.
    pub fn control(
        &mut self,
        cx: &Context<'_>,
        message: Control,
        sink: RawSink,
    ) -> Result<(), Error> {
        self.0.control(cx, message, sink)
    }
}
