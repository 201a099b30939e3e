//! What holds for any bytes: plain functions for fuzz targets, called by the tests with seeded
//! garbage. They panic where it does not hold.

use headwater_plugin_api::plugin::Parser;
use headwater_plugin_api::testkit::{self, Collected};

use crate::influx::{InfluxParser, InfluxSerializer};
use crate::json::{JsonParser, JsonSerializer};

fn parse<P: Parser>(config: &str, text: &[u8]) -> Collected {
    let (found, result) = match testkit::parser::<P>(config) {
        Ok(mut driven) => driven.parse(text, 1),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(result, Ok(()));
    for bad in &found.bad {
        assert!(bad.offset + bad.len <= text.len(), "{bad:?}");
        assert!((bad.offset..=text.len()).contains(&bad.at), "{bad:?}");
        assert!(!bad.message.is_empty());
    }
    let points: usize = found.batches.iter().map(|batch| batch.len()).sum();
    assert!(points + found.bad.len() <= found.lines as usize + found.bad.len());
    found
}

/// Points and bad records of a text that is cut into chunks of at most `size` bytes where the parser
/// allows it.
fn in_chunks<P: Parser>(config: &str, text: &[u8], size: usize) -> (Vec<String>, usize) {
    let Ok(mut driven) = testkit::parser::<P>(config) else { return Default::default() };
    let (mut points, mut bad) = (Vec::new(), 0);
    let (mut start, mut end) = (0, 0);
    while start < text.len() {
        end = (end.max(start) + size).min(text.len());
        let cut = driven.instance.cut(&text[start..end], end == text.len());
        if cut == 0 {
            continue;
        }
        let (found, _) = driven.parse(&text[start..start + cut], 1);
        points.extend(found.points());
        bad += found.bad.len();
        start += cut;
    }
    (points, bad)
}

/// Line protocol: no panic, the same points however the text is cut, and what is written reads back.
pub fn influx(text: &[u8]) {
    let found = parse::<InfluxParser>("", text);
    for size in [1, 7, 64] {
        let (points, bad) = in_chunks::<InfluxParser>("", text, size);
        assert_eq!((points, bad), (found.points(), found.bad.len()));
    }
    let Ok(mut serializer) = testkit::serializer::<InfluxSerializer>("influx_uint_support = true")
    else {
        panic!("no serializer")
    };
    for batch in &found.batches {
        let written = match serializer.serialize(batch) {
            Ok(written) => written,
            Err(error) => panic!("{error}"),
        };
        let back = parse::<InfluxParser>("", &written);
        // Control characters in names are written as two characters, which is what is read.
        if !text.iter().any(|byte| matches!(byte, b'\r' | 0x0c)) {
            assert_eq!(back.points(), testkit::lines([batch]));
            assert_eq!(back.bad, []);
        }
    }
}

/// JSON: no panic, and what is written is JSON.
pub fn json(text: &[u8]) {
    let config =
        "tag_keys = ['host', 't*']\njson_string_fields = ['s*', 'a_*']\njson_name_key = 'name'";
    let found = parse::<JsonParser>(config, text);
    let _ = in_chunks::<JsonParser>(config, text, 7);
    for query in ["a", "a.#.b", "data.0"] {
        parse::<JsonParser>(&format!("json_query = '{query}'\njson_strict = true"), text);
    }
    let Ok(mut serializer) =
        testkit::serializer::<JsonSerializer>("json_nested_fields_include = ['*']")
    else {
        panic!("no serializer")
    };
    for batch in &found.batches {
        let written = serializer.serialize(batch).unwrap_or_default();
        let back = parse::<JsonParser>("", &written);
        assert_eq!(back.bad, []);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn garbage() {
        let mut random = Random::new(14);
        let pieces: [&[u8]; 40] = [
            b"cpu",
            b",host=a",
            b" a=1",
            b",b=2i",
            b" 17",
            b"\n",
            b"\r\n",
            b"\"",
            b"=\"",
            b"\\",
            b"\\\"",
            b"#",
            b" ",
            b",",
            b"=",
            b"1700000000000000000\n",
            b"\xff",
            b"\xc3\xbc",
            b"\0",
            b"1e5",
            b"-.5",
            b"{",
            b"}",
            b"[",
            b"]",
            b":",
            b"{\"a\":1}",
            b"{\"a\":[{\"b\":",
            b"\"host\":",
            b"true",
            b"null",
            b"\"x\"",
            b"\t",
            b"\\u00e4",
            b"\\ud83d",
            b"99999999999999999999",
            b"u",
            b"t",
            b".5",
            b"{\"name\":\"n\",\"s\":\"t\"}\n",
        ];
        for _ in 0..4_000 {
            let mut text = Vec::new();
            for _ in 0..random.below(30) {
                match random.below(12) {
                    0 => text.push(random.next() as u8),
                    _ => text.extend_from_slice(pieces[random.below(pieces.len())]),
                }
            }
            influx(&text);
            json(&text);
        }
    }
}
