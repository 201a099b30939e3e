//! The `sql` processor, driven on a clock that is the event time of what is read.
//!
//! For the processor the files are a stream that comes as it once came: its clock stands where the
//! slowest file stands, so that a window closes when all files are past it, and `now()` is the time
//! that a statement would have seen then.

use std::sync::Arc;
use std::time::Duration;

use headwater_plugin_api::abi::instance::ProcessorInstance;
use headwater_plugin_api::abi::serve::{self, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::config::TableSchema;
use headwater_plugin_api::plugin::{Context, Control, Error, ErrorKind, Level};

use super::complaint;
use super::host::CommandHost;
use super::plan::{self, Statement};
use super::request::SqlOptions;
use super::settings;
use crate::loader::{PluginKind, Registry};

/// The processor's name.
const NAME: &str = "sql";

/// The processor and what it has made.
pub struct Engine {
    instance: ProcessorInstance,
    made: Made,
}

/// Takes what the processor pushes.
struct Made {
    batches: Vec<Batch>,
    checks: bool,
    malformed: Option<Malformed>,
}

impl SinkTarget for Made {
    fn checks(&self) -> bool {
        self.checks
    }

    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.batches.push(batch);
        Ok(())
    }

    fn malformed(&mut self, malformed: Malformed) {
        self.malformed.get_or_insert(malformed);
    }
}

impl Engine {
    /// Loads the processor and lets it read the statements: it, and their plan.
    ///
    /// # Errors
    /// What is to be told: of a statement's error with the place.
    pub fn new(
        registry: &Registry,
        host: &Arc<CommandHost>,
        query: &str,
        options: &SqlOptions,
    ) -> Result<(Engine, Vec<Statement>), String> {
        let loaded = registry.processor(NAME).map_err(|error| error.to_string())?;
        let schema = registry.schema(PluginKind::Processor, NAME).map_err(|e| e.to_string())?;
        let config = settings::config(&TableSchema::from_text(&schema)?, query, options)?;
        let services = Arc::clone(host) as Arc<dyn serve::HostServices>;
        let made = ProcessorInstance::make(&loaded.plugin, &config, serve::host(services));
        let mut instance = made.map_err(|error| told(query, &error))?;
        instance.base.init(&Context::new(0, None, None)).map_err(|error| error.to_string())?;
        let messages = host.take_messages();
        let plan = messages
            .iter()
            .filter(|(level, _)| *level == Level::Information)
            .find_map(|(_, message)| plan::read(message))
            .ok_or(
                "the sql plugin did not tell its plan; use the one that belongs to this agent",
            )?;
        let made = Made { batches: Vec::new(), checks: !loaded.trusted, malformed: None };
        Ok((Engine { instance, made }, plan))
    }

    /// Gives it points.
    ///
    /// # Errors
    /// The processor's.
    pub fn process(&mut self, now: i64, batch: Batch) -> Result<(), Error> {
        let Engine { instance, made } = self;
        let cx = Context::new(now, None, None);
        let result = serve::with_sink(made, |sink| instance.process(&cx, batch, sink));
        self.checked(result)
    }

    /// Lets it do what is due. Whether more is: large windows are emitted a part at a time.
    ///
    /// # Errors
    /// The processor's.
    pub fn tick(&mut self, now: i64) -> Result<bool, Error> {
        let Engine { instance, made } = self;
        let cx = Context::new(now, None, None);
        let next = serve::with_sink(made, |sink| instance.tick(&cx, sink));
        let more = matches!(next, Ok(Some(next)) if next <= now);
        self.checked(next.map(|_| ()))?;
        Ok(more)
    }

    /// Tells it of something in order with the points.
    ///
    /// # Errors
    /// The processor's.
    pub fn control(&mut self, now: i64, message: Control) -> Result<(), Error> {
        let Engine { instance, made } = self;
        let cx = Context::new(now, None, None);
        let result = serve::with_sink(made, |sink| instance.control(&cx, message, sink));
        self.checked(result)
    }

    fn checked(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        match self.made.malformed.take() {
            Some(malformed) => Err(Error::failed(format!("it pushed a {malformed}"))),
            None => result,
        }
    }

    /// What it has made since the last time, the rows of earlier statements first.
    pub fn take(&mut self) -> std::vec::Drain<'_, Batch> {
        self.made.batches.sort_by_key(Batch::sequence);
        self.made.batches.drain(..)
    }
}

/// The constructor's error.
fn told(query: &str, error: &Error) -> String {
    match error.kind() {
        ErrorKind::BadConfig { key: Some(key), .. } if key == "query" => {
            complaint::with_caret(query, error.message())
        }
        ErrorKind::BadConfig { key: Some(key), .. } => match key.strip_prefix("tables.") {
            Some(table) => format!("--table {table}: {}", error.message()),
            None => format!("--option {key}: {}", error.message()),
        },
        _ => error.to_string(),
    }
}
