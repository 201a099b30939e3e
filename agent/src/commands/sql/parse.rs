//! Bytes into points, by the parsers' plugins, and what they refuse into complaints.

use std::sync::Arc;
use std::time::Duration;

use headwater_plugin_api::abi::instance::{Chunk, PADDING, ParserInstance};
use headwater_plugin_api::abi::serve::{self, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Context, Error};

use super::complaint::Refusals;
use super::host::CommandHost;
use super::request::Format;
use super::source::{Piece, Source};
use crate::loader::Registry;

/// One parser for each way that files are read. Parsers hold nothing from one chunk to the next but
/// what makes them quick.
#[derive(Default)]
pub struct Parsers(Vec<Parser>);

struct Parser {
    format: Format,
    config: String,
    instance: ParserInstance,
    checks: bool,
}

impl Parsers {
    /// The number of the parser of that format and configuration, made if there is none yet.
    ///
    /// # Errors
    /// There is no such plugin, or it refuses the configuration.
    pub fn find(
        &mut self,
        registry: &Registry,
        host: &Arc<CommandHost>,
        format: Format,
        config: String,
    ) -> Result<usize, Error> {
        let same = |parser: &Parser| parser.format == format && parser.config == config;
        if let Some(at) = self.0.iter().position(same) {
            return Ok(at);
        }
        let loaded =
            registry.parser(format.parser()).map_err(|error| Error::failed(error.to_string()))?;
        let services = Arc::clone(host) as Arc<dyn serve::HostServices>;
        let mut instance = ParserInstance::make(&loaded.plugin, &config, serve::host(services))?;
        instance.base.init(&Context::new(0, None, None))?;
        self.0.push(Parser { format, config, instance, checks: !loaded.trusted });
        Ok(self.0.len() - 1)
    }

    /// The parser of that number, for cutting.
    pub fn get(&self, number: usize) -> Option<&ParserInstance> {
        self.0.get(number).map(|parser| &parser.instance)
    }

    /// The points of a chunk at the beginning of the buffer. `now_ns` is the time of points that
    /// carry none.
    ///
    /// # Errors
    /// The parser gave the chunk up.
    pub fn parse(
        &mut self,
        source: &Source,
        buffer: &[u8],
        piece: &Piece,
        now_ns: i64,
        refusals: &mut Refusals,
    ) -> Result<Vec<Batch>, Error> {
        let Some(parser) = self.0.get_mut(source.parser) else { return Ok(Vec::new()) };
        let padded = &buffer[..piece.len + PADDING];
        let chunk =
            Chunk { padded, last: piece.last, default_time_ns: now_ns, origin: source.origin };
        let mut target = Taken {
            batches: Vec::new(),
            checks: parser.checks,
            malformed: None,
            text: &buffer[..piece.len],
            source,
            refusals,
        };
        let cx = Context::new(now_ns, None, None);
        let result = serve::with_sink(&mut target, |sink| parser.instance.parse(&cx, &chunk, sink));
        if let Some(malformed) = target.malformed {
            return Err(Error::failed(format!("the parser pushed a {malformed}")));
        }
        let mut batches = target.batches;
        for batch in &mut batches {
            batch.set_origin(source.origin);
        }
        result.map(|()| batches)
    }
}

/// Takes what a parser gives for one chunk.
struct Taken<'a> {
    batches: Vec<Batch>,
    checks: bool,
    malformed: Option<Malformed>,
    text: &'a [u8],
    source: &'a Source,
    refusals: &'a mut Refusals,
}

impl SinkTarget for Taken<'_> {
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

    fn bad(&mut self, offset: usize, len: usize, at: usize, message: &str) {
        let record = self.text.get(offset..).unwrap_or_default();
        let record = &record[..len.min(record.len())];
        let before = &self.text[..at.min(self.text.len())];
        let line = self.source.lines + memchr::memchr_iter(b'\n', before).count() as u64 + 1;
        let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1) + 1;
        self.refusals.add(&self.source.name, Some((line, column)), message, record);
    }
}
