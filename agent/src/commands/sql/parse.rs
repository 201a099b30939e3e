//! Bytes into points, by the parsers' plugins, and what they refuse into complaints.

use std::sync::Arc;
use std::time::Duration;

use headwater_plugin_api::abi::instance::{Chunk, PADDING, ParserInstance};
use headwater_plugin_api::abi::serve::{self, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::csv::Kind;
use headwater_plugin_api::plugin::{Context, Error};

use super::complaint::Refusals;
use super::csv::{Csv, Listener};
use super::host::CommandHost;
use super::source::{Piece, Source};
use crate::loader::Registry;

/// What some editors write before UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// One parser for each way that files are read, and one for each file of CSV. Those of plugins hold
/// nothing from one chunk to the next but what makes them quick.
#[derive(Default)]
pub struct Parsers(Vec<Parser>);

enum Parser {
    Plugin(Plugin),
    Csv(Box<Csv>),
}

struct Plugin {
    name: &'static str,
    config: String,
    instance: ParserInstance,
    checks: bool,
}

impl Parsers {
    /// The number of the parser's plugin of that name and configuration, made if there is none yet.
    ///
    /// # Errors
    /// There is no such plugin, or it refuses the configuration.
    pub fn find(
        &mut self,
        registry: &Registry,
        host: &Arc<CommandHost>,
        name: &'static str,
        config: String,
    ) -> Result<usize, Error> {
        let same = |parser: &Parser| match parser {
            Parser::Plugin(plugin) => plugin.name == name && plugin.config == config,
            Parser::Csv(_) => false,
        };
        if let Some(at) = self.0.iter().position(same) {
            return Ok(at);
        }
        let loaded = registry.parser(name).map_err(|error| Error::failed(error.to_string()))?;
        let services = Arc::clone(host) as Arc<dyn serve::HostServices>;
        let mut instance = ParserInstance::make(&loaded.plugin, &config, serve::host(services))?;
        instance.base.init(&Context::new(0, None, None))?;
        self.0.push(Parser::Plugin(Plugin { name, config, instance, checks: !loaded.trusted }));
        Ok(self.0.len() - 1)
    }

    /// Adds a file of CSV: the number of its parser.
    pub fn add(&mut self, csv: Csv) -> usize {
        self.0.push(Parser::Csv(Box::new(csv)));
        self.0.len() - 1
    }

    /// Complaints about columns whose kind was given, but that no file of CSV has.
    pub fn missing(&self, types: &[(String, Kind)]) -> Vec<String> {
        let may_have = |name: &str| {
            self.0.iter().any(|parser| matches!(parser, Parser::Csv(csv) if csv.may_have(name)))
        };
        let missing = types.iter().filter(|(name, _)| !may_have(name));
        missing
            .map(|(name, _)| format!("--types {name}: no file of CSV has such a column"))
            .collect()
    }

    /// How much of the data the parser of that number can read.
    pub fn cut(&self, number: usize, data: &[u8], last: bool) -> usize {
        match self.0.get(number) {
            Some(Parser::Plugin(plugin)) => plugin.instance.cut(data, last),
            Some(Parser::Csv(csv)) => csv.cut(data, last),
            None => 0,
        }
    }

    /// What that parser reads begins anew.
    pub fn restart(&mut self, number: usize) {
        if let Some(Parser::Csv(csv)) = self.0.get_mut(number) {
            csv.restart();
        }
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
        complaints: &mut Complaints,
    ) -> Result<Vec<Batch>, Error> {
        let Some(parser) = self.0.get_mut(source.parser) else { return Ok(Vec::new()) };
        // An editor's mark of the encoding is no part of the first name.
        let is_marked = |text: &[u8]| source.lines == 0 && text.starts_with(MARK);
        let skipped = match parser {
            Parser::Plugin(_) if is_marked(&buffer[..piece.len]) => MARK.len(),
            _ => 0,
        };
        let (buffer, len) = (&buffer[skipped..], piece.len - skipped);
        let mut place = Place { text: &buffer[..len], source, complaints };
        let mut batches = match parser {
            Parser::Csv(csv) => csv.parse(place.text, now_ns, &mut place).map_err(Error::failed)?,
            Parser::Plugin(plugin) => plugin.parse(buffer, (len, piece.last), now_ns, place)?,
        };
        for batch in &mut batches {
            batch.set_origin(source.origin);
        }
        Ok(batches)
    }
}

impl Plugin {
    fn parse(
        &mut self,
        buffer: &[u8],
        (len, last): (usize, bool),
        now_ns: i64,
        place: Place<'_>,
    ) -> Result<Vec<Batch>, Error> {
        let padded = &buffer[..len + PADDING];
        let origin = place.source.origin;
        let chunk = Chunk { padded, last, default_time_ns: now_ns, origin };
        let mut target = Taken { batches: Vec::new(), checks: self.checks, malformed: None, place };
        let cx = Context::new(now_ns, None, None);
        let result = serve::with_sink(&mut target, |sink| self.instance.parse(&cx, &chunk, sink));
        if let Some(malformed) = target.malformed {
            return Err(Error::failed(format!("the parser pushed a {malformed}")));
        }
        let batches = target.batches;
        result.map(|()| batches)
    }
}

/// Whom a parser tells of what stands in its chunk.
struct Place<'a> {
    text: &'a [u8],
    source: &'a Source,
    complaints: &'a mut Complaints,
}

impl Place<'_> {
    /// Line and column, in bytes, of an offset.
    fn of(&self, at: usize) -> (u64, usize) {
        let before = &self.text[..at.min(self.text.len())];
        let line = self.source.lines + memchr::memchr_iter(b'\n', before).count() as u64 + 1;
        (line, before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1) + 1)
    }
}

impl Listener for Place<'_> {
    fn refused(&mut self, (from, len): (usize, usize), at: usize, message: &str) {
        let record = self.text.get(from..).unwrap_or_default();
        let record = &record[..len.min(record.len())];
        let place = self.of(at);
        self.complaints.refusals.add(&self.source.name, Some(place), message, record);
    }

    fn remark(&mut self, at: usize, message: &str) {
        let (line, column) = self.of(at);
        let remark = format!("warning: {}:{line}:{column}: {message}", self.source.name);
        self.complaints.remarks.push(remark);
    }
}

/// Takes what a parser gives for one chunk.
struct Taken<'a> {
    batches: Vec<Batch>,
    checks: bool,
    malformed: Option<Malformed>,
    place: Place<'a>,
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
        self.place.refused((offset, len), at, message);
    }
}

/// What is to be told of the input.
#[derive(Default)]
pub struct Complaints {
    pub refusals: Refusals,
    /// Remarks on what was read all the same.
    pub remarks: Vec<String>,
}
