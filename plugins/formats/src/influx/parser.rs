//! Parser `influx`: line protocol.

use headwater_plugin_api::batch::{BatchBuilder, Limits};
use headwater_plugin_api::config::{Duration, Size};
use headwater_plugin_api::plugin::{Capabilities, Context, Error, Host, ParseSink, Parser, Plugin};
use memchr::memrchr;

use super::lines::{cut, line_end};
use super::scan::{Scanner, Stop, Text};

headwater_plugin_api::choice! {
    /// Which of Telegraf's two parsers to be; both are this one.
    pub enum ParserType {
        /// The usual word.
        Internal = "internal",
        /// As well.
        Upstream = "upstream",
    }
}

headwater_plugin_api::config! {
    /// InfluxDB line protocol: `measurement,tag=value field=value time`.
    pub struct InfluxParserConfig {
        /// Which of Telegraf's two parsers to be: "internal" or "upstream". One parser does the work
        /// of both.
        pub influx_parser_type: ParserType = ParserType::Internal,
        /// Unit of the times in the text: "1ns", "1us", "1ms" or "1s".
        pub influx_timestamp_precision: Duration = Duration::from_nanos(1),
        /// Longest line in bytes; a longer one is refused.
        pub max_line_bytes: Size = Size::bytes(Limits::MAX_LINE_BYTES as u64),
    }
}

/// Zero bytes that stand behind a text for the scanner's looks ahead.
const PADDING: usize = 32;

/// The parser.
pub struct InfluxParser {
    scanner: Scanner,
    /// The last line of a text that ends without a line end.
    tail: Vec<u8>,
}

impl Plugin for InfluxParser {
    type Config = InfluxParserConfig;
    const NAME: &'static str = "influx";
    const SUMMARY: &'static str = "Parses InfluxDB line protocol.";
    const CAPABILITIES: Capabilities = Capabilities::STATELESS.and(Capabilities::SPLITTABLE);

    fn new(config: Self::Config, _host: Host) -> Result<Self, Error> {
        let unit_ns = config.influx_timestamp_precision.nanos();
        if !matches!(unit_ns, 1 | 1_000 | 1_000_000 | 1_000_000_000) {
            return Err(Error::config(
                "influx_timestamp_precision",
                format!(
                    "times in units of {unit_ns} ns are not known; write \"1ns\", \"1us\", \"1ms\" or \
                     \"1s\""
                ),
            ));
        }
        let max = config.max_line_bytes.as_usize();
        if max == 0 || max > Limits::MAX_LINE_BYTES * 4 {
            return Err(Error::config(
                "max_line_bytes",
                format!("{max} bytes; write a size from 1 byte to 16 MiB"),
            ));
        }
        Ok(Self::with(unit_ns, max, Limits::DEFAULT))
    }
}

impl InfluxParser {
    fn with(unit_ns: i64, line_bytes_max: usize, limits: Limits) -> Self {
        InfluxParser { scanner: Scanner::new(unit_ns, line_bytes_max, limits), tail: Vec::new() }
    }

    /// Reads the lines of a text that ends in a line end and stands at `base` of the chunk.
    fn lines(
        &mut self,
        text: Text<'_>,
        base: usize,
        default_time: i64,
        out: &mut ParseSink<'_>,
    ) -> u64 {
        let scanner = &mut self.scanner;
        let mut at = 0;
        let mut lines = 0;
        let mut force = false;
        let mut check_at = 0;
        while at < text.end {
            if at >= check_at {
                if scanner.builder.is_full() {
                    flush(scanner, out);
                }
                check_at = at + room(&scanner.builder);
            }
            let mark = scanner.builder.mark();
            match scanner.line(text, at, default_time, force) {
                Ok(next) => {
                    at = next;
                    lines += 1;
                }
                Err(Stop::Skip(next)) => at = next,
                Err(Stop::Full) => {
                    scanner.builder.roll_back(&mark);
                    flush(scanner, out);
                    scanner.forget();
                    force = true;
                    continue;
                }
                Err(Stop::Bad(bad)) => {
                    scanner.builder.roll_back(&mark);
                    let whole = text.padded.get(..text.end).unwrap_or_default();
                    let end = line_end(whole, at, true).unwrap_or(text.end);
                    let message = bad.message(&whole[..end]);
                    let end_of_text = end - (whole[at..end].ends_with(b"\r") as usize);
                    out.bad(base + at, end_of_text - at, base + bad.at, &message);
                    at = end + 1;
                    lines += 1;
                }
            }
            force = false;
        }
        lines
    }
}

/// Bytes of text after which the batch may be full. The shortest line has 6 bytes, and the points of
/// a text fill at most 16 times its bytes.
fn room(builder: &BatchBuilder) -> usize {
    let limits = builder.limits();
    let rows = (limits.rows as usize).saturating_sub(builder.len());
    let bytes = (limits.batch_bytes as usize).saturating_sub(builder.byte_size());
    (rows * 6).min(bytes / 16)
}

fn flush(scanner: &mut Scanner, out: &mut ParseSink<'_>) {
    if let Some(batch) = scanner.builder.finish() {
        out.push(batch);
    }
    scanner.builder.reserve_as_before();
}

impl Parser for InfluxParser {
    fn cut(&self, data: &[u8], last: bool) -> usize {
        cut(data, last)
    }

    fn parse(
        &mut self,
        _cx: &Context<'_>,
        data: &[u8],
        out: &mut ParseSink<'_>,
    ) -> Result<(), Error> {
        self.scanner.builder.reserve_as_before();
        let default_time = out.default_time();
        let mut lines = 0;
        // The scanner wants a line end behind each line: a last one without is copied.
        let mut whole = data.len();
        if !data.is_empty() && !data.ends_with(b"\n") {
            whole = memrchr(b'\n', data).map_or(0, |at| at + 1);
            if whole > 0 && data.contains(&b'"') {
                whole = cut(data, false);
            }
        }
        if whole > 0 {
            let padded = out.padded();
            lines += self.lines(Text { padded, end: whole }, 0, default_time, out);
        }
        if whole < data.len() {
            let mut tail = std::mem::take(&mut self.tail);
            tail.clear();
            tail.extend_from_slice(&data[whole..]);
            tail.push(b'\n');
            let end = tail.len();
            tail.resize(end + PADDING, 0);
            lines += self.lines(Text { padded: &tail, end }, whole, default_time, out);
            self.tail = tail;
        }
        if let Some(batch) = self.scanner.builder.finish() {
            out.push(batch);
        }
        out.lines(lines);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::testkit::{self, Collected};

    fn parse(config: &str, text: &str) -> Collected {
        let mut driven = testkit::parser::<InfluxParser>(config).unwrap();
        let (found, result) = driven.parse(text.as_bytes(), 42);
        result.unwrap();
        found
    }

    #[test]
    fn good_lines() {
        for (text, expected) in [
            ("cpu a=1.5 7", "cpu a=1.5 7"),
            ("cpu a=1.5", "cpu a=1.5 42"),
            ("cpu a=1.5\r\n", "cpu a=1.5 42"),
            ("cpu a=1.5 7 \r\n", "cpu a=1.5 7"),
            (" \tcpu   a=1.5   -7   ", "cpu a=1.5 -7"),
            ("cpu,b=2,a=1 f=1i,g=2u,h=-3i", "cpu,a=1,b=2 f=1i,g=2u,h=-3i 42"),
            ("m a=t,b=T,c=true,d=True,e=TRUE", "m a=true,b=true,c=true,d=true,e=true 42"),
            ("m a=f,b=F,c=false,d=False,e=FALSE", "m a=false,b=false,c=false,d=false,e=false 42"),
            (
                "m a=1,b=-1,c=1e3,d=1E-2,e=.5,f=5.,g=-.5e+1",
                "m a=1,b=-1,c=1000,d=0.01,e=0.5,f=5,g=-5 42",
            ),
            (
                "m a=9223372036854775807i,b=-9223372036854775808i",
                "m a=9223372036854775807i,b=-9223372036854775808i 42",
            ),
            ("m a=18446744073709551615u,b=0u", "m a=18446744073709551615u,b=0u 42"),
            ("m a=\"\",b=\"x y,z=1\"", "m a=\"\",b=\"x y,z=1\" 42"),
            ("m a=\"say \\\"hi\\\" C:\\\\x \\n\"", "m a=\"say \\\"hi\\\" C:\\\\x \\\\n\" 42"),
            ("m a=\"two\nlines\" 5", "m a=\"two\\nlines\" 5"),
            (
                "my\\ m\\,x=y,t\\ 1\\,\\==a\\ b\\,c\\=d f\\ 1\\,\\==1i",
                "my\\ m\\,x=y,t\\ 1\\,\\==a\\ b\\,c\\=d f 1,==1i 42",
            ),
            ("m,t=1,t=2 f=1i,g=2i,f=\"x\"", "m,t=2 f=\"x\",g=2i 42"),
            ("größe,ä=ö ü=\"ß\"", "größe,ä=ö ü=\"ß\" 42"),
            ("a=b c=1i", "a=b c=1i 42"),
            ("\"m\",t=\"x\" f=1i", "\"m\",t=\"x\" f=1i 42"),
            ("m f=1i 9223372036854775807", "m f=1i 9223372036854775807"),
            ("m f=1i 0000000000000000001", "m f=1i 1"),
            ("# a comment \"\nm f=1i", "m f=1i 42"),
            ("\n\r\n  \n  # x\nm f=1i\n\n", "m f=1i 42"),
        ] {
            let found = parse("", text);
            assert_eq!(found.bad, [], "{text:?}");
            assert_eq!(found.points(), [expected], "{text:?}");
            assert_eq!(found.lines, 1, "{text:?}");
        }
        for text in ["", "\n", "# only a comment", "   "] {
            let found = parse("", text);
            assert_eq!((found.points().len(), found.bad.len(), found.lines), (0, 0, 0), "{text:?}");
        }
    }

    #[test]
    fn bad_lines_and_where_they_are_wrong() {
        for (text, at, words) in [
            (",a=b f=1", 0, "the measurement name is missing"),
            ("cpu", 3, "there are no fields"),
            ("cpu,a=b", 7, "there are no fields"),
            ("cpu ", 4, "there are no fields"),
            ("cpu  \r", 5, "there are no fields"),
            ("cpu, f=1", 4, "the tag key is missing at \"\""),
            ("cpu,=b f=1", 4, "the tag key is missing at \"=b\""),
            ("cpu,a f=1", 4, "the tag \"a\" has no value"),
            ("cpu,a,b=c f=1", 4, "the tag \"a\" has no value"),
            ("cpu,a= f=1", 6, "the tag has no value"),
            ("cpu,a=b=c f=1", 7, "an equals sign in a tag value at \"=c\""),
            ("cpu =1", 4, "the field key is missing at \"=1\""),
            ("cpu f", 4, "the field \"f\" has no value"),
            ("cpu f g=1", 4, "the field \"f\" has no value"),
            ("cpu a=1,", 8, "the field key is missing"),
            ("cpu a=1,,b=2", 8, "the field key is missing"),
            ("cpu f=", 6, "the field has no value"),
            ("cpu f=,g=1", 6, "the field has no value"),
            ("cpu f= 5", 6, "the field has no value"),
            ("cpu f=abc", 6, "\"abc\" is no value; write a finite number"),
            ("cpu f=NaN", 6, "\"NaN\" is no value"),
            ("cpu f=-inf", 6, "\"-inf\" is no value"),
            ("cpu f=+1", 6, "\"+1\" is no value"),
            ("cpu f=-", 6, "\"-\" is no value"),
            ("cpu f=.", 6, "\".\" is no value"),
            ("cpu f=1e", 6, "\"1e\" is no value"),
            ("cpu f=tru", 6, "\"tru\" is no value"),
            ("cpu f=tx", 6, "\"tx\" is no value"),
            ("cpu f=9223372036854775808i", 6, "does not fit a signed integer of 64 bits"),
            ("cpu f=-9223372036854775809i", 6, "does not fit a signed integer"),
            ("cpu f=18446744073709551616u", 6, "does not fit an unsigned integer"),
            ("cpu f=-1u", 6, "does not fit an unsigned integer"),
            ("cpu f=1e400", 6, "is larger than a double can hold"),
            ("cpu f=1.5i", 9, "\"i\" stands behind a value"),
            ("cpu f=1x,g=2", 7, "\"x\" stands behind a value"),
            ("cpu f=\"a\"b", 9, "\"b\" stands behind a value"),
            ("cpu f=\"a", 6, "the string \"\\\"a\" is not closed"),
            ("cpu f=1 x", 8, "\"x\" is no time"),
            ("cpu f=1 1.5", 8, "\"1.5\" is no time"),
            ("cpu f=1 9223372036854775808", 8, "is out of range"),
            ("cpu f=1 99999999999999999999", 8, "is out of range"),
            ("cpu f=1 5 6", 10, "\"6\" stands behind the time"),
            ("cpu f=1 5\r5", 8, "is no time"),
            ("c\tpu f=1", 1, "a tab, line end or zero byte"),
            ("cpu,a=\0 f=1", 6, "a tab, line end or zero byte"),
            ("cpu f\tg=1", 5, "a tab, line end or zero byte"),
        ] {
            // Alone, and behind a line that teaches the parser, before one that must not suffer.
            for (before, behind) in [("", ""), ("cpu f=1\n", "\nnext f=1i 1\n")] {
                let found = parse("", &format!("{before}{text}{behind}"));
                assert_eq!(found.bad.len(), 1, "{text:?} {:?}", found.bad);
                let bad = &found.bad[0];
                assert_eq!(bad.at, before.len() + at, "{text:?}: {}", bad.message);
                assert!(bad.message.contains(words), "{text:?}: {}", bad.message);
                let end = text.trim_end_matches('\r').len();
                assert_eq!((bad.offset, bad.len), (before.len(), end), "{text:?}");
                assert_eq!(found.points().len(), (before.len() + behind.len()).min(2), "{text:?}");
            }
        }
        let long = "x".repeat(1000);
        let found = parse("", &format!("cpu f={long}"));
        assert!(found.bad[0].message.len() < 250, "{}", found.bad[0].message);
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_where_it_stands() {
        let mut driven = testkit::parser::<InfluxParser>("").unwrap();
        for (text, at) in [
            (&b"c\xffpu f=1"[..], 1),
            (b"cpu,a=\xc3 f=1", 6),
            (b"cpu f\xff=1", 5),
            (b"cpu f=\"a\xe4\"", 8),
        ] {
            let (found, _) = driven.parse(text, 0);
            assert_eq!(found.bad.len(), 1);
            assert_eq!(found.bad[0].at, at);
            assert!(found.bad[0].message.contains("not UTF-8"));
        }
    }

    #[test]
    fn times_in_other_units() {
        for (unit, time, expected) in [
            ("1ns", "17", "17"),
            ("1us", "1700000000000001", "1700000000000001000"),
            ("1ms", "1700000000001", "1700000000001000000"),
            ("1s", "1700000001", "1700000001000000000"),
        ] {
            let config = format!("influx_timestamp_precision = '{unit}'");
            let found = parse(&config, &format!("m f=1i {time}"));
            assert_eq!(found.points(), [format!("m f=1i {expected}")]);
        }
        let found = parse("influx_timestamp_precision = '1s'", "m f=1i 9223372037");
        assert!(found.bad[0].message.contains("influx_timestamp_precision"));
        assert!(testkit::parser::<InfluxParser>("influx_timestamp_precision = '10ms'").is_err());
        assert!(testkit::parser::<InfluxParser>("influx_parser_type = 'upstream'").is_ok());
        assert!(testkit::parser::<InfluxParser>("influx_parser_type = 'other'").is_err());
    }

    #[test]
    fn long_lines_are_refused() {
        let config = "max_line_bytes = 20";
        let found = parse(
            config,
            "m f=1i 1\nm f=\"aaaaaaaaaaaaaaa\" 1\nm,tag=aaaaaaaaaaaaaaaaa f=1\nm f=1i 2",
        );
        assert_eq!(found.points().len(), 2);
        assert_eq!(found.bad.len(), 2);
        assert!(found.bad[0].message.contains("over the limit of 20; see max_line_bytes"));
        let found = parse(config, "m f=123456789.5 1234");
        assert_eq!((found.points().len(), found.bad.len()), (1, 0), "20 bytes");
        assert!(testkit::parser::<InfluxParser>("max_line_bytes = 0").is_err());
    }

    /// Feeds a parser of small batches through its table of functions, which `testkit` cannot make.
    fn parse_small(limits: Limits, text: &str) -> (Vec<usize>, usize) {
        let mut scanner = Scanner::new(1, 1 << 20, limits);
        let mut padded = text.as_bytes().to_vec();
        padded.resize(text.len() + PADDING, 0);
        let (mut sizes, mut bad, mut at) = (Vec::new(), 0, 0);
        while at < text.len() {
            if scanner.builder.is_full() {
                sizes.extend(scanner.builder.finish().map(|batch| batch.len()));
            }
            match scanner.line(Text { padded: &padded, end: text.len() }, at, 0, false) {
                Ok(next) | Err(Stop::Skip(next)) => at = next,
                Err(Stop::Full) => panic!(),
                Err(Stop::Bad(_)) => {
                    bad += 1;
                    at = line_end(text.as_bytes(), at, true).unwrap() + 1;
                }
            }
        }
        sizes.extend(scanner.builder.finish().map(|batch| batch.len()));
        (sizes, bad)
    }

    #[test]
    fn bounds_are_kept() {
        let limits = Limits { rows: 3, fields: 2, name_bytes: 4, tags: 2, ..Limits::DEFAULT };
        let mut text = String::new();
        for time in 0..7 {
            text.push_str(&format!("m,t={time} f=1 {time}\n"));
        }
        assert_eq!(parse_small(limits, &text), (vec![3, 3, 1], 0));
        for bad in [
            "m a=1,b=2,c=3\n",
            "longer f=1\n",
            "m,longer=1 f=1\n",
            "m longer=1\n",
            "m,a=1,b=1,c=1 f=1\n",
        ] {
            assert_eq!(parse_small(limits, bad), (vec![], 1), "{bad}");
        }
        let limits = Limits { batch_bytes: 4_000, ..Limits::DEFAULT };
        let (sizes, _) = parse_small(limits, &"m f=1\n".repeat(1_000));
        assert!(sizes.iter().all(|&size| size <= 126), "{sizes:?}");
    }

    #[test]
    fn a_batch_never_outgrows_its_rows() {
        let text = "m f=1\n".repeat(70_000);
        let found = parse("", &text);
        let sizes: Vec<usize> = found.batches.iter().map(|batch| batch.len()).collect();
        assert_eq!(sizes, [65_536, 4_464]);
    }

    #[test]
    fn what_was_learned_is_forgotten_when_there_is_too_much() {
        let mut text = String::new();
        for i in 0..150_000 {
            text.push_str(&format!("m,id={i} f=1i {i}\n"));
        }
        for i in 0..40_000 {
            text.push_str(&format!("m f{i}=1i {i}\n"));
        }
        let found = parse("", &text);
        assert_eq!(found.bad, []);
        let mut points = 0;
        for batch in &found.batches {
            points += batch.len();
            let mut keys: Vec<&str> =
                (0..batch.series_count()).map(|at| batch.series(at as u32).key()).collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), count, "a series stands twice in a batch");
        }
        assert_eq!(points, 190_000);
        assert_eq!(found.points().last().unwrap(), "m f39999=1i 39999");
    }

    #[test]
    fn one_series_under_several_spellings_is_one() {
        let found = parse(
            "",
            "m,a=1,b=2 f=1i 1\nm,b=2,a=1 f=1i 2\nm,a=0,b=2,a=1 f=1i 3\nm,a=1,b=2 f=1i 4\n\
             m,a=x\\ y,b=2 f=1i 5\nm,b=2,a=x\\ y f=1i 6\n",
        );
        assert_eq!(found.batches[0].series_count(), 2);
        let mut driven = testkit::parser::<InfluxParser>("").unwrap();
        for text in ["m,b=2,a=1 f=1i 1\nm,a=1,b=2 f=1i 2\n", "m,a=1,b=2 f=1i 2\nm,b=2,a=1 f=1i 1\n"]
        {
            for _ in 0..2 {
                let (found, _) = driven.parse(text.as_bytes(), 0);
                assert_eq!(found.batches[0].series_count(), 1);
                assert!(found.points().iter().all(|point| point.starts_with("m,a=1,b=2 ")));
            }
        }
    }

    #[test]
    fn every_cut_gives_the_same_points() {
        let text =
            "cpu,host=a u=1.5,s=\"x\ny, \\\"z\" 1\n# \"\nmem f=\"open\nmem f=2i 2\r\nbad\nlast f=1";
        let whole = parse("", text);
        assert_eq!((whole.points().len(), whole.bad.len()), (3, 2));
        for at in 0..text.len() {
            let mut driven = testkit::parser::<InfluxParser>("").unwrap();
            let first = driven.instance.cut(&text.as_bytes()[..at], false);
            let (mut a, _) = driven.parse(&text.as_bytes()[..first], 42);
            let (b, _) = driven.parse(&text.as_bytes()[first..], 42);
            a.batches.extend(b.batches);
            assert_eq!(a.points(), whole.points(), "{at}");
            assert_eq!(a.bad.len() + b.bad.len(), whole.bad.len(), "{at}");
        }
    }
}
