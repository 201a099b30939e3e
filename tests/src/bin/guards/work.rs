//! What each guard does: the work of one stage, or of a batch's whole way, on one thread, from memory,
//! through the plugins' function tables as the agent's workers call them.

use std::hint::black_box;
use std::time::Duration;

use headwater_aggregate::basicstats::BasicStats;
use headwater_formats::influx::{InfluxParser, InfluxSerializer};
use headwater_formats::json::{JsonParser, JsonSerializer};
use headwater_plugin_api::abi::instance::{
    AggregatorInstance, Chunk, PADDING, ParserInstance, ProcessorInstance, SerializerInstance,
};
use headwater_plugin_api::abi::serve::{self, SinkTarget};
use headwater_plugin_api::abi::tables::Malformed;
use headwater_plugin_api::batch::{Batch, SeriesEdit, SeriesMap};
use headwater_plugin_api::config::GlobSet;
use headwater_plugin_api::plugin::{Control, Error, Processor};
use headwater_plugin_api::testkit::{self, Driven, context};
use headwater_sql::sql::Sql;
use headwater_transform::regex::Regex;
use headwater_transform::rename::Rename;

use crate::loads::{self, Text};

/// As large as the agent's reads.
const CHUNK: usize = 256 << 10;
/// The number of the one source.
const ORIGIN: u64 = 1;
/// The time of the first line, and of lines that carry none.
const START_NS: i64 = 1_700_000_000_000_000_000;

/// What a round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Points that went in.
    pub points: u64,
    /// Points, or bytes, that came out.
    pub out: u64,
}

type Round = Box<dyn FnMut(usize) -> Result<Done, Error>>;

/// Work that is guarded.
pub struct Guard {
    /// Its name in the record.
    pub name: &'static str,
    /// What it reads.
    pub text: Text,
    /// Points, or bytes, that a round must give for so many lines; 0: some.
    out: fn(u64) -> u64,
    make: fn(Source) -> Result<Round, Error>,
}

impl Guard {
    /// Makes all that the work needs and does so many rounds of it.
    ///
    /// # Errors
    /// A plugin's, or the result is not what the text should give.
    pub fn run(&self, text: Vec<u8>, rounds: usize) -> Result<Done, String> {
        let fail = |error: Error| format!("{}: {error}", self.name);
        let source = Source::new(self.text, text);
        if rounds > source.rounds.len() {
            return Err(format!("{}: there are {} rounds", self.name, source.rounds.len()));
        }
        let mut work = (self.make)(source).map_err(fail)?;
        let mut all = Done::default();
        for round in 0..rounds {
            let done = work(round).map_err(fail)?;
            let expected = (self.out)(done.points);
            if done.points != self.text.lines() as u64
                || done.out == 0
                || (expected > 0 && done.out != expected)
            {
                return Err(format!("{}: round {round} gave {done:?}", self.name));
            }
            all.points += done.points;
            all.out += done.out;
        }
        // What was made for rounds that were not run is no part of the work.
        std::mem::forget(work);
        Ok(all)
    }
}

fn same(points: u64) -> u64 {
    points
}

fn some(_: u64) -> u64 {
    0
}

/// A quarter of the hosts stand in the region that is left out.
fn three_quarters(points: u64) -> u64 {
    points / 4 * 3
}

macro_rules! guards {
    ($($name:literal: $text:ident, $out:expr, $make:expr;)*) => {
        /// All guards.
        pub const GUARDS: &[Guard] = &[
            $(Guard { name: $name, text: Text::$text, out: $out, make: $make }),*
        ];
    };
}

const RENAME: &str = "[[replace]]\nmeasurement = 'cpu'\ndest = 'processor'\n";
const REGEX: &str = "[[tags]]\nkey = 'host'\npattern = '^server(\\d+)$'\nreplacement = 's${1}'\n";
const JSON: &str = "json_strict = true\ntag_keys = ['host', 'cpu']\n";
const TAGS_WINDOW: &str = "drop_original = true\nquery = '''
CREATE STREAM by_host AS
SELECT host, count(*) AS n, avg(usage_user) AS mean, min(usage_user) AS low, max(usage_user) AS high
FROM * WHERE host LIKE 'server%' AND region <> '' GROUP BY time('10s'), host'''";
const WINDOW: &str = "drop_original = true\nquery = '''
CREATE STREAM by_host AS
SELECT host, count(*) AS n, avg(usage_user) AS mean, min(usage_user) AS low, max(usage_user) AS high
FROM * GROUP BY time('10s'), host'''";
const POINTWISE: &str = "drop_original = true\nquery = '''
SELECT host, usage_user + usage_system AS busy, 100 - usage_idle AS used
FROM cpu WHERE usage_user > 50 AND cpu <> 'cpu0' '''";
const WHERE_WINDOW: &str = "drop_original = true\nquery = '''
SELECT host, avg(usage_user + usage_system) AS busy, max(100 - usage_idle) AS used
FROM cpu WHERE usage_user > 50 AND cpu <> 'cpu0' GROUP BY time('10s'), host'''";
const HOP: &str = "drop_original = true\nquery = '''
SELECT host, count(*) AS n, avg(usage_user) AS mean, max(usage_user) AS high
FROM cpu GROUP BY hop('2s', '10s'), host'''";
const SESSION: &str = "drop_original = true\nquery = '''
SELECT host, count(*) AS n, avg(usage_user) AS mean, max(usage_user) AS high
FROM cpu GROUP BY session('50ms'), host'''";
const OVER: &str = "drop_original = true\nquery = '''
SELECT host, cpu, usage_user - avg(usage_user) OVER (PARTITION BY host, cpu ROWS 9 PRECEDING) AS away
FROM cpu'''";
const ASOF: &str = "drop_original = true\nquery = '''
SELECT a.host, a.cpu, a.usage_user - b.usage_user AS more
FROM cpu a ASOF JOIN cpu b MATCH_CONDITION (a.time > b.time) ON a.host = b.host AND a.cpu = b.cpu'''";

/// So many statements over one stream.
fn statements(count: usize) -> String {
    let one = |number: usize| {
        format!(
            "CREATE STREAM s{number} AS SELECT host, count(*) AS n, avg(usage_user) AS mean
             FROM * GROUP BY time('10s'), host;"
        )
    };
    let all: String = (0..count).map(one).collect();
    format!("drop_original = true\nquery = '''{all}'''")
}

guards! {
    "parse_influx": Typical, same, |source| parse(source, testkit::parser::<InfluxParser>("")?);
    "parse_influx_new_series": NewSeries, same,
        |source| parse(source, testkit::parser::<InfluxParser>("")?);
    "parse_influx_long_floats": LongFloats, same,
        |source| parse(source, testkit::parser::<InfluxParser>("")?);
    "parse_influx_shapes": Shapes, same,
        |source| parse(source, testkit::parser::<InfluxParser>("")?);
    "parse_influx_100_fields": ManyFields, same,
        |source| parse(source, testkit::parser::<InfluxParser>("")?);
    "parse_influx_long_text": LongStrings, same,
        |source| parse(source, testkit::parser::<InfluxParser>("")?);
    "parse_json": Json, same, |source| parse(source, testkit::parser::<JsonParser>(JSON)?);
    "rename": Typical, same, |source| stage::<Rename>(source, RENAME);
    "regex_tag": Typical, same, |source| stage::<Regex>(source, REGEX);
    "tagdrop": Typical, three_quarters, select;
    "basicstats": Typical, some, aggregate;
    "sql_window": Typical, some, |source| stage::<Sql>(source, WINDOW);
    "sql_window_where": Typical, some, |source| stage::<Sql>(source, WHERE_WINDOW);
    "sql_window_where_tags": Typical, some, |source| stage::<Sql>(source, TAGS_WINDOW);
    "sql_1_statement": Typical, some, |source| stage::<Sql>(source, &statements(1));
    "sql_16_statements": Typical, some, |source| stage::<Sql>(source, &statements(16));
    "sql_hop": Typical, some, |source| stage::<Sql>(source, HOP);
    "sql_session": Typical, some, |source| stage::<Sql>(source, SESSION);
    "sql_over_rows": Typical, some, |source| stage::<Sql>(source, OVER);
    "sql_asof_join": Typical, some, |source| stage::<Sql>(source, ASOF);
    "sql_points_where": Typical, some, |source| stage::<Sql>(source, POINTWISE);
    "serialize_influx": Typical, some,
        |source| serialize(source, testkit::serializer::<InfluxSerializer>("")?);
    "serialize_influx_long_floats": LongFloats, some,
        |source| serialize(source, testkit::serializer::<InfluxSerializer>("")?);
    "serialize_json": Typical, some,
        |source| serialize(source, testkit::serializer::<JsonSerializer>("")?);
    "way_influx_to_influx": Typical, some, |source| way::<InfluxParser>(source, "", &Way::default());
    "way_edited": Typical, some, |source| way::<InfluxParser>(source, "", &EDITED);
    "way_window": Typical, some, |source| way::<InfluxParser>(source, "", &WINDOWED);
    "way_json_window": Json, some, |source| way::<JsonParser>(source, JSON, &WINDOWED);
}

/// The text, and the parts of it that belong to the rounds.
pub struct Source {
    padded: Vec<u8>,
    rounds: Vec<std::ops::Range<usize>>,
}

impl Source {
    fn new(kind: Text, mut text: Vec<u8>) -> Source {
        let rounds = loads::rounds(&text, kind.lines());
        text.resize(text.len() + PADDING, 0);
        Source { padded: text, rounds }
    }

    /// Parses one round in chunks as the agent reads them, and hands on what each chunk gave.
    fn parse(
        &self,
        parser: &mut ParserInstance,
        round: usize,
        mut each: impl FnMut(Vec<Batch>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let std::ops::Range { mut start, end } = self.rounds[round];
        while start < end {
            let limit = (start + CHUNK).min(end);
            let cut = parser.cut(&self.padded[start..limit], limit == end);
            // JSON carries no time: a record takes about as long as a line of the other text.
            let now = START_NS + start as i64 * 10_000;
            let chunk = Chunk {
                padded: &self.padded[start..start + cut + PADDING],
                last: false,
                default_time_ns: now,
                origin: ORIGIN,
            };
            let mut taken = Taken::default();
            serve::with_sink(&mut taken, |sink| parser.parse(&context(now), &chunk, sink))?;
            if taken.bad > 0 {
                return Err(Error::failed(format!("{} lines were refused", taken.bad)));
            }
            for batch in &mut taken.batches {
                batch.set_origin(ORIGIN);
            }
            each(taken.batches)?;
            start += cut;
        }
        Ok(())
    }

    /// The batches of all rounds.
    fn batches(&self) -> Result<Vec<Vec<Batch>>, Error> {
        let mut parser = testkit::parser::<InfluxParser>("")?;
        let mut rounds = Vec::new();
        for round in 0..self.rounds.len() {
            let mut batches = Vec::new();
            self.parse(&mut parser.instance, round, |parsed| {
                batches.extend(parsed);
                Ok(())
            })?;
            rounds.push(batches);
        }
        Ok(rounds)
    }
}

/// Takes what plugins push, unchecked, as the agent does from families of its own.
#[derive(Default)]
struct Taken {
    batches: Vec<Batch>,
    bad: u64,
}

impl Taken {
    fn points(&self) -> u64 {
        points(&self.batches)
    }
}

impl SinkTarget for Taken {
    fn push(&mut self, batch: Batch, _timeout: Option<Duration>) -> Result<(), Batch> {
        self.batches.push(black_box(batch));
        Ok(())
    }
    fn bad(&mut self, _offset: usize, _len: usize, _at: usize, _message: &str) {
        self.bad += 1;
    }
    fn malformed(&mut self, _malformed: Malformed) {
        self.bad += 1;
    }
}

fn points(batches: &[Batch]) -> u64 {
    batches.iter().map(|batch| batch.len() as u64).sum()
}

/// The clock of a live source: that of the newest point.
fn now(batch: &Batch) -> i64 {
    batch.time_range().1
}

fn parse(source: Source, mut parser: Driven<ParserInstance>) -> Result<Round, Error> {
    Ok(Box::new(move |round| {
        let mut out = 0;
        source.parse(&mut parser.instance, round, |batches| {
            out += points(&batches);
            Ok(())
        })?;
        Ok(Done { points: out, out })
    }))
}

fn stage<P: Processor>(source: Source, config: &str) -> Result<Round, Error> {
    let mut rounds = source.batches()?;
    let mut processor = processor::<P>(config)?;
    Ok(Box::new(move |round| {
        let mut done = Done::default();
        for batch in std::mem::take(&mut rounds[round]) {
            done.points += batch.len() as u64;
            done.out += points(&process(&mut processor, batch)?);
        }
        Ok(done)
    }))
}

/// A processor that was told that the source begins.
fn processor<P: Processor>(config: &str) -> Result<Driven<ProcessorInstance>, Error> {
    let mut driven = testkit::processor::<P>(config)?;
    driven.control(START_NS, Control::Begin { origin: ORIGIN, finite: false }).1?;
    Ok(driven)
}

/// Processes a batch and lets be done what is due by its time.
fn process(processor: &mut Driven<ProcessorInstance>, batch: Batch) -> Result<Vec<Batch>, Error> {
    let cx = context(now(&batch));
    let mut taken = Taken::default();
    serve::with_sink(&mut taken, |sink| processor.instance.process(&cx, batch, sink))?;
    serve::with_sink(&mut taken, |sink| processor.instance.tick(&cx, sink))?;
    Ok(taken.batches)
}

/// The selector `tagdrop` on an output.
struct TagDrop {
    map: SeriesMap,
    values: GlobSet,
}

impl TagDrop {
    fn new() -> Result<TagDrop, Error> {
        let values = GlobSet::new(&["ap-south-*"]).map_err(|e| Error::failed(e.to_string()))?;
        Ok(TagDrop { map: SeriesMap::new(), values })
    }

    fn apply(&mut self, batch: &mut Batch) {
        let _ = self.map.apply(batch, |series, _| {
            let found = |(key, value): (&str, &str)| key == "region" && self.values.matches(value);
            if series.tags().any(found) { SeriesEdit::Drop } else { SeriesEdit::Keep }
        });
    }
}

fn select(source: Source) -> Result<Round, Error> {
    let mut rounds = source.batches()?;
    let mut drop = TagDrop::new()?;
    Ok(Box::new(move |round| {
        let mut done = Done::default();
        for mut batch in std::mem::take(&mut rounds[round]) {
            done.points += batch.len() as u64;
            drop.apply(&mut batch);
            done.out += black_box(batch).len() as u64;
        }
        Ok(done)
    }))
}

fn aggregate(source: Source) -> Result<Round, Error> {
    let mut rounds = source.batches()?;
    let mut driven: Driven<AggregatorInstance> =
        testkit::aggregator::<BasicStats>("period = '10s'")?;
    Ok(Box::new(move |round| {
        let mut done = Done::default();
        for batch in std::mem::take(&mut rounds[round]) {
            let cx = context(now(&batch));
            done.points += batch.len() as u64;
            driven.instance.apply(&cx, &batch)?;
            let mut taken = Taken::default();
            serve::with_sink(&mut taken, |sink| driven.instance.tick(&cx, sink))?;
            done.out += taken.points();
        }
        Ok(done)
    }))
}

fn serialize(source: Source, mut driven: Driven<SerializerInstance>) -> Result<Round, Error> {
    let mut rounds = source.batches()?;
    Ok(Box::new(move |round| {
        let mut done = Done::default();
        for batch in std::mem::take(&mut rounds[round]) {
            done.points += batch.len() as u64;
            let bytes = driven.instance.serialize_owned(&context(0), &batch)?;
            done.out += black_box(&bytes).len() as u64;
        }
        Ok(done)
    }))
}

/// The stages between parser and serializer.
#[derive(Default)]
struct Way {
    edited: bool,
    windowed: bool,
}

const EDITED: Way = Way { edited: true, windowed: false };
const WINDOWED: Way = Way { edited: false, windowed: true };

/// From a chunk to the bytes for a file: parse, the input's tag, processors, the output's selector,
/// serialize.
fn way<P: headwater_plugin_api::plugin::Parser>(
    source: Source,
    config: &str,
    way: &Way,
) -> Result<Round, Error> {
    let mut parser = testkit::parser::<P>(config)?;
    let mut serializer = testkit::serializer::<InfluxSerializer>("")?;
    let mut processors = Vec::new();
    if way.edited {
        processors.push(processor::<Rename>(RENAME)?);
        processors.push(processor::<Regex>(REGEX)?);
    }
    if way.windowed {
        processors.push(processor::<Sql>(WINDOW)?);
    }
    let mut drop = way.edited.then(TagDrop::new).transpose()?;
    let mut tags = SeriesMap::new();
    Ok(Box::new(move |round| {
        let mut done = Done::default();
        source.parse(&mut parser.instance, round, |mut batches| {
            done.points += points(&batches);
            for batch in &mut batches {
                let _ = tags.apply(batch, |_, draft| {
                    draft.set_tag("agent", "edge1");
                    SeriesEdit::Replace
                });
            }
            for processor in &mut processors {
                let mut next = Vec::with_capacity(batches.len());
                for batch in batches {
                    next.extend(process(processor, batch)?);
                }
                batches = next;
            }
            for mut batch in batches {
                if let Some(drop) = &mut drop {
                    drop.apply(&mut batch);
                }
                let bytes = serializer.instance.serialize_owned(&context(0), &batch)?;
                done.out += black_box(&bytes).len() as u64;
            }
            Ok(())
        })?;
        Ok(done)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_does_its_work_and_the_same_each_time() {
        let mut names = std::collections::HashSet::new();
        for guard in GUARDS {
            assert!(names.insert(guard.name), "{} stands twice", guard.name);
            let text = guard.text.make();
            let done = guard.run(text.clone(), 1).unwrap();
            assert_eq!(done.points, guard.text.lines() as u64, "{}", guard.name);
            assert_eq!(done, guard.run(text, 1).unwrap(), "{}", guard.name);
        }
    }

    #[test]
    fn more_rounds_than_there_are_lines_for_are_refused() {
        let guard = &GUARDS[0];
        let error = guard.run(guard.text.make(), loads::ROUNDS + 1).unwrap_err();
        assert!(error.contains("there are 3 rounds"), "{error}");
    }
}
