//! Parser `json`: objects whose numbers are fields, with nested keys joined by underscores.

use headwater_plugin_api::batch::Limits;
use headwater_plugin_api::config::{GlobSet, Size};
use headwater_plugin_api::plugin::{
    Capabilities, Context, Error, Host, ParseSink, Parser, Plugin,
};

use super::boundary::{cut, resume};
use super::query::{Query, skip};
use super::record::{Records, Stop};
use super::roles::Roles;
use super::scan::{Bad, Why, literal, skip_blanks};
use crate::number::read::byte;
use crate::time::{TimeFormat, Zone};

headwater_plugin_api::config! {
    /// JSON objects, alone, one after the other or in arrays. Numbers become fields of type float; the
    /// keys of what is nested are joined by underscores, items of arrays by their index.
    pub struct JsonParserConfig {
        /// The measurement name; the agent sets it to the input's name.
        pub metric_name: String = "json".into(),
        /// Path to the object or array of objects in each text, such as `data.items`: keys, indices
        /// and one `#` for all items, with dots between them.
        pub json_query: String = String::new(),
        /// Keys of tags, as globs. Numbers and booleans become text.
        pub tag_keys: GlobSet = GlobSet::default(),
        /// Keys of texts and booleans that become fields, as globs; others are left out.
        pub json_string_fields: GlobSet = GlobSet::default(),
        /// Key of the text that is the measurement name.
        pub json_name_key: String = String::new(),
        /// Key of the time; needs json_time_format.
        pub json_time_key: String = String::new(),
        /// How the time is written: "unix", "unix_ms", "unix_us", "unix_ns", or in Go's notation,
        /// such as "2006-01-02T15:04:05Z07:00".
        pub json_time_format: String = String::new(),
        /// Zone of times that name none: "UTC", "Local", or a name such as "Europe/Berlin".
        pub json_timezone: String = String::new(),
        /// Whether a bad object refuses the array it stands in, and not itself alone.
        pub json_strict: bool = false,
        /// Longest record in bytes; a longer one is refused.
        pub max_line_bytes: Size = Size::bytes(Limits::MAX_LINE_BYTES as u64),
    }
}

/// Zero bytes that stand behind a text for the scanner's looks ahead.
const PADDING: usize = 32;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The parser.
pub struct JsonParser {
    records: Records,
    query: Option<Query>,
    strict: bool,
    /// A text that ends without a line end.
    tail: Vec<u8>,
    found: Vec<usize>,
    count: u64,
}

impl Plugin for JsonParser {
    type Config = JsonParserConfig;
    const NAME: &'static str = "json";
    const SUMMARY: &'static str = "Parses JSON objects into points.";
    const CAPABILITIES: Capabilities = Capabilities::STATELESS;

    fn new(config: Self::Config, _host: Host) -> Result<Self, Error> {
        Self::with(config, Limits::DEFAULT)
    }
}

impl JsonParser {
    fn with(config: JsonParserConfig, limits: Limits) -> Result<Self, Error> {
        let query = match config.json_query.as_str() {
            "" => None,
            path => Some(Query::new(path).map_err(|why| Error::config("json_query", why))?),
        };
        let zone =
            Zone::new(&config.json_timezone).map_err(|why| Error::config("json_timezone", why))?;
        let time_format = match (config.json_time_key.as_str(), config.json_time_format.as_str()) {
            ("", _) => None,
            (_, "") => {
                return Err(Error::config(
                    "json_time_key",
                    "json_time_key needs json_time_format; write for instance json_time_format = \
                     \"unix\"",
                ));
            }
            (_, format) => Some(
                TimeFormat::new(format, zone)
                    .map_err(|why| Error::config("json_time_format", why))?,
            ),
        };
        let max = config.max_line_bytes.as_usize();
        if max == 0 || max > Limits::MAX_LINE_BYTES * 4 {
            return Err(Error::config(
                "max_line_bytes",
                format!("{max} bytes; write a size from 1 byte to 16 MiB"),
            ));
        }
        let name = if config.metric_name.is_empty() { "json".into() } else { config.metric_name };
        let roles = Roles {
            tags: config.tag_keys,
            strings: config.json_string_fields,
            name_key: config.json_name_key,
            time_key: config.json_time_key,
        };
        Ok(JsonParser {
            records: Records::new(roles, time_format, name, max, limits),
            query,
            strict: config.json_strict,
            tail: Vec::new(),
            found: Vec::new(),
            count: 0,
        })
    }
}

/// A text that ends in a line end and stands in the chunk at `base`, and what is told of it.
struct Call<'a, 'b, 'c> {
    text: &'a [u8],
    end: usize,
    base: usize,
    default_time: i64,
    now_ns: i64,
    out: &'b mut ParseSink<'c>,
}

impl JsonParser {
    /// Reads all values of a text.
    fn values(&mut self, call: &mut Call<'_, '_, '_>) {
        let mut at = 0;
        // Behind a bad record the ends of what it stood in may follow.
        let mut resumed = false;
        loop {
            at = skip_blanks(call.text, at);
            if at >= call.end {
                return;
            }
            if resumed && matches!(call.text[at], b',' | b']' | b'}') {
                at += 1;
                continue;
            }
            match self.value(call, at) {
                Ok(end) => at = end,
                Err(bad) => {
                    let end = resume(call.text, bad.at.max(at), call.end);
                    self.bad(call, at, end, bad);
                    at = end;
                    resumed = true;
                }
            }
        }
    }

    /// Reads the value at `at` and gives its end.
    #[inline]
    fn value(&mut self, call: &mut Call<'_, '_, '_>, at: usize) -> Result<usize, Bad> {
        if let Some(query) = &self.query {
            let mut found = std::mem::take(&mut self.found);
            let result = query.follow(call.text, at, &mut found);
            let result = result.and_then(|end| self.queried(call, at, end, &found));
            self.found = found;
            return result;
        }
        match byte(call.text, at) {
            b'{' => self.object(call, at),
            b'[' => self.array(call, at),
            b'n' if literal(call.text, at).is_some() => Ok(at + 4),
            _ => Err(Bad { at, why: Why::NotAnObject }),
        }
    }

    /// Reads what a query led to.
    fn queried(
        &mut self,
        call: &mut Call<'_, '_, '_>,
        start: usize,
        end: usize,
        found: &[usize],
    ) -> Result<usize, Bad> {
        if end > call.end {
            return Err(Bad { at: call.end, why: Why::Expected("the record's end") });
        }
        for &at in found {
            let result = match byte(call.text, at) {
                b'{' => self.object(call, at),
                b'[' => self.array(call, at),
                b'n' => Ok(at),
                _ => Err(Bad { at, why: Why::Query }),
            };
            if let Err(bad) = result {
                self.bad(call, start, end, bad);
            }
        }
        Ok(end)
    }

    fn array(&mut self, call: &mut Call<'_, '_, '_>, open: usize) -> Result<usize, Bad> {
        let mark = self.records.builder.mark();
        let count = self.count;
        let mut at = skip_blanks(call.text, open + 1);
        if byte(call.text, at) == b']' {
            return Ok(at + 1);
        }
        loop {
            let item = match byte(call.text, at) {
                b'{' => self.object(call, at),
                _ => Err(Bad { at, why: Why::NotAnObject }),
            };
            at = match item {
                Ok(end) => end,
                Err(bad) if self.strict => {
                    self.records.builder.roll_back(&mark);
                    self.count = count;
                    return Err(bad);
                }
                // What is JSON can be passed over.
                Err(bad) => match skip(call.text, at) {
                    Ok(end) if end <= call.end => {
                        self.bad(call, at, end, bad);
                        end
                    }
                    _ => return Err(bad),
                },
            };
            at = skip_blanks(call.text, at);
            match byte(call.text, at) {
                b']' if at < call.end => return Ok(at + 1),
                b',' if at < call.end => at = skip_blanks(call.text, at + 1),
                _ => {
                    return Err(Bad {
                        at: at.min(call.end),
                        why: Why::Expected("a comma or a closing bracket"),
                    });
                }
            }
        }
    }

    #[inline]
    fn object(&mut self, call: &mut Call<'_, '_, '_>, at: usize) -> Result<usize, Bad> {
        if self.records.builder.is_full() {
            self.flush(call);
        }
        loop {
            let result =
                self.records.record(call.text, at, call.end, call.default_time, call.now_ns);
            match result {
                Ok(end) => {
                    self.count += 1;
                    return Ok(end);
                }
                Err(Stop::Bad(bad)) => return Err(Bad { at: bad.at.min(call.end), ..bad }),
                Err(Stop::Full) => {
                    self.flush(call);
                    self.records.forget();
                }
            }
        }
    }

    #[cold]
    fn bad(&mut self, call: &mut Call<'_, '_, '_>, start: usize, end: usize, bad: Bad) {
        let record = call.text[start..end].trim_ascii_end();
        let message = bad.message(&call.text[..start + record.len()]);
        call.out.bad(call.base + start, record.len(), call.base + bad.at, &message);
        self.count += 1;
    }

    fn flush(&mut self, call: &mut Call<'_, '_, '_>) {
        if let Some(batch) = self.records.builder.finish() {
            call.out.push(batch);
        }
        self.records.builder.reserve_as_before();
    }
}

impl Parser for JsonParser {
    fn cut(&self, data: &[u8], last: bool) -> usize {
        cut(data, last)
    }

    fn parse(
        &mut self,
        cx: &Context<'_>,
        data: &[u8],
        out: &mut ParseSink<'_>,
    ) -> Result<(), Error> {
        self.records.builder.reserve_as_before();
        self.count = 0;
        let (default_time, now_ns) = (out.default_time(), cx.now());
        let mark = if data.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        if data.ends_with(b"\n") {
            let text = &out.padded()[mark..];
            let end = data.len() - mark;
            let mut call = Call { text, end, base: mark, default_time, now_ns, out };
            self.values(&mut call);
        } else if !data.is_empty() {
            // The scanner wants a line end behind the text.
            let mut tail = std::mem::take(&mut self.tail);
            tail.clear();
            tail.extend_from_slice(&data[mark..]);
            tail.push(b'\n');
            let end = tail.len();
            tail.resize(end + PADDING, 0);
            let mut call = Call { text: &tail, end, base: mark, default_time, now_ns, out };
            self.values(&mut call);
            self.tail = tail;
        }
        if let Some(batch) = self.records.builder.finish() {
            out.push(batch);
        }
        out.lines(self.count);
        Ok(())
    }
}
