//! Parser `json`: objects whose numbers are fields, with nested keys joined by underscores.

use headwater_plugin_api::batch::Limits;
use headwater_plugin_api::config::{GlobSet, Size};
use headwater_plugin_api::plugin::{Capabilities, Context, Error, Host, ParseSink, Parser, Plugin};

use super::boundary::{cut, resume};
use super::query::{Query, skip};
use super::record::{Records, Stop};
use super::roles::Roles;
use super::scan::{Bad, Why, literal, skip_blanks};
use crate::number::read::byte;
use headwater_plugin_api::time::{TimeFormat, Zone};

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
                    let end = resume(call.text, bad.at.max(at + 1), call.end);
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
        let at = call.base + bad.at.min(start + record.len());
        call.out.bad(call.base + start, record.len(), at, &message);
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

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::testkit::{self, Collected};

    fn parse(config: &str, text: &str) -> Collected {
        let mut driven = testkit::parser::<JsonParser>(config).unwrap();
        let (found, result) = driven.parse(text.as_bytes(), 42);
        result.unwrap();
        found
    }

    fn check(config: &str, text: &str, expected: &[&str]) {
        let found = parse(config, text);
        assert_eq!(found.bad, [], "{text}");
        assert_eq!(found.points(), expected, "{text}");
    }

    #[test]
    fn numbers_are_fields_and_nesting_is_flattened() {
        for (text, expected) in [
            ("{\"a\":1,\"b\":-2.5e1,\"c\":12345678901}", "json a=1,b=-25,c=12345678901 42"),
            (
                "{\"a\":{\"b\":{\"c\":1}},\"d\":[1,[2,3],{\"e\":4}]}",
                "json a_b_c=1,d_0=1,d_1_0=2,d_1_1=3,d_2_e=4 42",
            ),
            ("{\"s\":\"x\",\"t\":true,\"n\":null,\"a\":1}", "json a=1 42"),
            (" \t\r\n{ \"a\" : 1 , \"b\" : { } , \"c\" : [ ] , \"d\" : 2 }\n\n", "json a=1,d=2 42"),
            ("{\n  \"a\": {\n    \"b\": 1\n  }\n}\n", "json a_b=1 42"),
            ("\u{feff}{\"a\":1}", "json a=1 42"),
            ("{\"\\u00e4\\\"\":1,\"gr\u{f6}\u{df}e\":2}", "json \u{e4}\"=1,gr\u{f6}\u{df}e=2 42"),
            ("{\"\":1,\"a\":2,\"b\":{\"\":3}}", "json a=2,b_=3 42"),
            // The last of repeated keys counts.
            ("{\"a\":1,\"b\":2,\"a\":3}", "json b=2,a=3 42"),
            ("{\"a\":{\"x\":1,\"y\":2},\"a\":{\"x\":3}}", "json a_x=3 42"),
            ("{\"a\":1,\"a\":null,\"b\":1}", "json b=1 42"),
            ("{\"a\":{\"b\":1},\"a_b\":2}", "json a_b=2 42"),
        ] {
            check("", text, &[expected]);
        }
        for text in ["", "\n", "null", "{}", "[]", "{\"a\":\"x\"}", "{\"a\":{},\"b\":[]}"] {
            check("", text, &[]);
        }
    }

    #[test]
    fn records_in_any_arrangement() {
        let expected = ["json a=1 42", "json a=2 42", "json b=3 42"];
        for text in [
            "{\"a\":1}\n{\"a\":2}\n{\"b\":3}\n",
            "{\"a\":1}{\"a\":2} {\"b\":3}",
            "[{\"a\":1},{\"a\":2},{\"b\":3}]",
            "[\n {\"a\":1},\n {\"a\":2}\n]\n{\n\"b\":\n3\n}\n",
            "[{\"a\":1}]\nnull\n[]\n[{\"a\":2},{\"b\":3}]",
        ] {
            check("", text, &expected);
        }
    }

    #[test]
    fn options_say_what_a_value_is() {
        let record = r#"{"host":"h 1","cpu":{"name":"c0","id":7,"hot":true},"n":1.5,"s":"x\ty","on":false,"name":"disk","time":1700000000.25}"#;
        for (config, expected) in [
            (
                "tag_keys = ['host', 'cpu_*']",
                "json,cpu_hot=true,cpu_id=7,cpu_name=c0,host=h\\ 1 n=1.5,time=1700000000.25 42",
            ),
            (
                "json_string_fields = ['s', 'on', 'cpu_n*']",
                "json cpu_name=\"c0\",cpu_id=7,n=1.5,s=\"x\\ty\",on=false,time=1700000000.25 42",
            ),
            (
                "metric_name = 'file'\ntag_keys = ['cpu_id', 'n']",
                "file,cpu_id=7,n=1.5 time=1700000000.25 42",
            ),
            ("json_name_key = 'name'", "disk cpu_id=7,n=1.5,time=1700000000.25 42"),
            (
                "json_name_key = 'name'\ntag_keys = ['name']",
                "disk,name=disk cpu_id=7,n=1.5,time=1700000000.25 42",
            ),
            ("json_name_key = 'n'", "json cpu_id=7,n=1.5,time=1700000000.25 42"),
            (
                "json_time_key = 'time'\njson_time_format = 'unix'",
                "json cpu_id=7,n=1.5 1700000000250000000",
            ),
            (
                "json_time_key = 'time'\njson_time_format = 'unix_ms'",
                "json cpu_id=7,n=1.5 1700000000250000",
            ),
        ] {
            check(config, record, &[expected]);
        }
        // A tag is the same series however its number is written, and empty ones are left out.
        let found = parse(
            "tag_keys = ['t']",
            "{\"t\":1.0,\"a\":1}\n{\"t\":1,\"a\":2}\n{\"t\":\"1\",\"a\":3}\n{\"t\":1e21,\"a\":4}\n{\"t\":\"\",\"a\":5}",
        );
        let points = [
            "json,t=1 a=1 42",
            "json,t=1 a=2 42",
            "json,t=1 a=3 42",
            "json,t=1000000000000000000000 a=4 42",
            "json a=5 42",
        ];
        assert_eq!(found.points(), points);
        assert_eq!(found.batches[0].series_count(), 3);
    }

    #[test]
    fn times_by_layout_and_zone() {
        let config =
            "json_time_key = 't'\njson_time_format = '2006-01-02 15:04:05'\njson_timezone = 'UTC'";
        check(config, "{\"t\":\"2023-11-14 22:13:20\",\"a\":1}", &["json a=1 1700000000000000000"]);
        for (text, words) in [
            ("{\"a\":1}", "json_time_key"),
            ("{\"a\":1,\"t\":null}", "json_time_key"),
            ("{\"a\":1,\"t\":5}", "the time is no text"),
            ("{\"a\":1,\"t\":\"2023-11-14\"}", "does not follow its layout"),
            ("{\"a\":1,\"t\":\"2023-11-34 00:00:00\"}", "out of its range"),
        ] {
            let found = parse(config, text);
            assert_eq!(found.points().len(), 0);
            assert!(found.bad[0].message.contains(words), "{}", found.bad[0].message);
        }
        for config in [
            "json_time_key = 't'",
            "json_time_key = 't'\njson_time_format = 'never'",
            "json_timezone = 'Nowhere/Land'",
            "json_query = 'a|b'",
            "tag_keys = ['[a']",
        ] {
            assert!(testkit::parser::<JsonParser>(config).is_err(), "{config}");
        }
    }

    #[test]
    fn queries_lead_to_records() {
        let text = r#"{"meta":{"a":9},"data":{"items":[{"a":1},{"a":2}],"one":{"a":3},"n":5,"none":null}}"#;
        check("json_query = 'data.items'", text, &["json a=1 42", "json a=2 42"]);
        check("json_query = 'data.one'", text, &["json a=3 42"]);
        check("json_query = 'data.items.1'", text, &["json a=2 42"]);
        check("json_query = 'data.missing'", text, &[]);
        check("json_query = 'data.none'", text, &[]);
        check(
            "json_query = 'data.#.x'",
            r#"{"data":[{"x":{"a":1}},{"x":[{"a":2}]}]}"#,
            &["json a=1 42", "json a=2 42"],
        );
        let found = parse("json_query = 'data.n'", text);
        assert!(found.bad[0].message.contains("json_query must lead to"));
        let found = parse("json_query = 'data'", "{\"data\":{\"a\":1},\"b\":}");
        assert_eq!((found.points().len(), found.bad.len()), (0, 1));
    }

    #[test]
    fn bad_records_cost_themselves() {
        for (text, at, words) in [
            ("{\"a\":1", 6, "expected a comma or a closing brace"),
            ("{\"a\" 1}", 5, "expected a colon"),
            ("{a:1}", 1, "expected a key in double quotes"),
            ("{\"a\":1,}", 7, "expected a key in double quotes"),
            ("{\"a\":}", 5, "expected a value"),
            ("{\"a\":tru}", 5, "expected a value"),
            ("{\"a\":01}", 5, "without a zero in front"),
            ("{\"a\":1.}", 7, "expected a digit behind the point"),
            ("{\"a\":1e400}", 5, "larger than a double"),
            ("{\"a\":\"x", 7, "expected a double quote"),
            ("{\"a\":\"x\\q\"}", 7, "a backslash"),
            ("{\"a\":[1,2}", 9, "expected a comma or a closing bracket"),
            ("5", 0, "a record must be an object"),
            ("\"text\"", 0, "a record must be an object"),
            ("{\"a\":1} x", 8, "a record must be an object"),
        ] {
            for (before, behind) in [("", ""), ("{\"a\":1}\n{\"a\":1}\n", "\n{\"a\":1}\n")] {
                let found = parse("", &format!("{before}{text}{behind}"));
                assert_eq!(found.bad.len(), 1, "{text} {:?}", found.bad);
                let bad = &found.bad[0];
                assert_eq!(bad.at, before.len() + at, "{text}: {}", bad.message);
                assert!(bad.message.contains(words), "{text}: {}", bad.message);
                let good = text.ends_with(" x") as usize;
                assert_eq!(
                    found.points().len(),
                    good + if before.is_empty() { 0 } else { 3 },
                    "{text}"
                );
            }
        }
        let found = parse("", "[\n{\"a\":1},\n{\"a\":x},\n{\"a\":2}\n]\n{\"a\":3}\n");
        assert_eq!(found.points(), ["json a=1 42", "json a=2 42", "json a=3 42"]);
        assert_eq!(found.bad.len(), 1);
        let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
        assert!(parse("", &deep).bad[0].message.contains("more than 128 deep"));
    }

    #[test]
    fn a_bad_item_costs_itself_or_its_array() {
        let text = "[{\"t\":1,\"a\":1},{\"a\":2},5,{\"t\":3,\"a\":3}]\n{\"t\":4,\"a\":4}";
        let config = "json_time_key = 't'\njson_time_format = 'unix_ns'";
        let found = parse(config, text);
        assert_eq!(found.points(), ["json a=1 1", "json a=3 3", "json a=4 4"]);
        assert_eq!(found.bad.len(), 2);
        let found = parse(&format!("{config}\njson_strict = true"), text);
        assert_eq!(found.points(), ["json a=4 4"]);
        assert_eq!(found.bad.len(), 1);
    }

    #[test]
    fn many_templates_and_series_are_forgotten_in_time() {
        let mut text = String::new();
        for i in 0..20_000 {
            text.push_str(&format!("{{\"t\":\"v{i}\",\"f{i}\":{i}}}\n"));
        }
        let found = parse("tag_keys = ['t']", &text);
        assert_eq!(found.bad, []);
        assert_eq!(found.points().len(), 20_000);
        for batch in &found.batches {
            assert_eq!(batch.series_count(), batch.len());
            assert_eq!(batch.shape_count(), batch.len());
        }
    }
}
