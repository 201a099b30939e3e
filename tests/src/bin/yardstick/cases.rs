//! The table of cases, and the bars of the design's section 8.

use headwater_tests::load::{Form, Load};

use crate::case::{Case, Check, Feed, Group, Shape, Target};
use crate::figure::{Bar, Figure, Limit};
use crate::statements;

pub static DESIGN: Shape =
    Shape { name: "the design's line", change: Load::clone, parse_bar: Some(15.0) };
pub static JSON: Shape = Shape {
    name: "JSON",
    change: |load| Load { form: Form::Json, ..load.clone() },
    parse_bar: None,
};
static ONE_SERIES: Shape =
    Shape { name: "1 series", change: |load| Load { series: 1, ..load.clone() }, parse_bar: None };
static MANY_SERIES: Shape = Shape {
    name: "10,000 series",
    change: |load| Load { series: 10_000, ..load.clone() },
    parse_bar: None,
};
static MILLION_SERIES: Shape = Shape {
    name: "1,000,000 series",
    change: |load| Load { series: 1_000_000, ..load.clone() },
    parse_bar: None,
};
static OWN_SERIES: Shape = Shape {
    name: "every point its own series",
    change: |load| Load { series: load.points, ..load.clone() },
    parse_bar: Some(7.0),
};
static ONE_FIELD: Shape =
    Shape { name: "1 field", change: |load| Load { fields: 1, ..load.clone() }, parse_bar: None };
static HUNDRED_FIELDS: Shape = Shape {
    name: "100 fields",
    change: |load| Load { fields: 100, points: (load.points / 10).max(1), ..load.clone() },
    parse_bar: None,
};
static LONG_TEXT: Shape = Shape {
    name: "text of 1,000 bytes",
    change: |load| Load {
        fields: 6,
        kinds: "t".into(),
        text: 1000,
        points: (load.points / 4).max(1),
        ..load.clone()
    },
    parse_bar: None,
};
static LONG_FLOATS: Shape = Shape {
    name: "17-digit floats",
    change: |load| Load { digits: 17, ..load.clone() },
    parse_bar: Some(7.0),
};
static SPARSE: Shape = Shape {
    name: "fields that vary by line",
    change: |load| Load { sparse: true, ..load.clone() },
    parse_bar: Some(7.0),
};
static BROKEN: Shape = Shape {
    name: "1 % broken lines",
    change: |load| Load { broken_per_mille: 10, ..load.clone() },
    parse_bar: None,
};

const WINDOW: &str = r#"
[[processors.sql]]
query = '''
CREATE STREAM by_host AS
SELECT host, count(*) AS n, avg(usage_user) AS mean, min(usage_user) AS low, max(usage_user) AS high
FROM *
GROUP BY time('10s'), host
'''
drop_original = true
"#;

/// The options of that stage alone.
pub fn window_options() -> String {
    WINDOW.replace("[[processors.sql]]", "")
}

const EDIT: &str = r#"
[[processors.rename]]
order = 1
[[processors.rename.replace]]
measurement = "cpu"
dest = "processor"

[[processors.regex]]
order = 2
[[processors.regex.tags]]
key = "host"
pattern = "^server(\\d+)$"
replacement = "s${1}"
"#;

const STATISTICS: &str = r#"
[[aggregators.basicstats]]
period = "10s"
drop_original = true
stats = ["count", "mean", "min", "max"]
"#;

const JSON_OPTIONS: &str = "data_format = \"json\"\njson_strict = true\n\
                            tag_keys = [\"host\", \"cpu\"]\njson_name_key = \"\"\n";

const LINES_OPTIONS: &str = "data_format = \"influx\"\n";

const MEMORY: Bar = Bar { figure: Figure::PeakBytes, limit: Limit::AtMost(12.0 * 1_048_576.0) };

const fn crate_times(times: f64) -> Bar {
    Bar { figure: Figure::PointsPerCpuSecond, limit: Limit::CrateTimes(times) }
}

/// What most cases are: one connection to a file, all lines arrive.
pub const PLAIN: Case = Case {
    name: "",
    about: "",
    group: Group::Core,
    shape: &DESIGN,
    feed: Feed::Tcp { connections: 1 },
    target: Target::File,
    agent_options: "",
    stages: "",
    input_options: LINES_OPTIONS,
    output_options: "",
    check: Check::Lines,
    workers: None,
    bars: &[],
    counted: true,
};

const fn shaped(shape: &'static Shape, about: &'static str) -> Case {
    Case { name: shape.name, about, group: Group::Shape, shape, ..PLAIN }
}

const fn scaled(name: &'static str, feed: Feed, workers: usize) -> Case {
    Case {
        name,
        about: "wall time is what counts here",
        group: Group::Scale,
        feed,
        workers: Some(workers),
        counted: false,
        ..PLAIN
    }
}

pub const PARSE_ONLY: &str = "parse only";
pub const TO_FILE: &str = "socket -> file";
pub const TO_NULL: &str = "socket -> /dev/null";
pub const TO_WINDOW: &str = "SQL window";

static WAYS: &[Case] = &[
    Case {
        name: PARSE_ONLY,
        about: "the input lets no point pass: socket, cutting, parsing, selectors",
        input_options: "data_format = \"influx\"\nnamepass = [\"nothing\"]\n",
        check: Check::Dropped,
        ..PLAIN
    },
    Case { name: TO_FILE, about: "passthrough", bars: &[crate_times(4.0), MEMORY], ..PLAIN },
    Case {
        name: TO_NULL,
        about: "passthrough without the file system's noise",
        target: Target::Null,
        check: Check::Counted,
        bars: &[crate_times(4.0), MEMORY],
        ..PLAIN
    },
    Case {
        name: "file -> file",
        about: "tail over a file that is there before the start",
        feed: Feed::File,
        ..PLAIN
    },
    Case { name: "unix socket -> file", about: "passthrough", feed: Feed::Unix, ..PLAIN },
    Case {
        name: "UDP -> file",
        about: "datagrams of eight lines, sent as quick as can be; points that arrived count",
        feed: Feed::Udp,
        check: Check::Datagrams,
        counted: false,
        ..PLAIN
    },
    Case {
        name: "rename, regex, tagdrop",
        about: "a measurement renamed, a tag rewritten by a pattern, a quarter left out -> file",
        stages: EDIT,
        output_options: "[outputs.file.tagdrop]\nregion = [\"ap-south-1\"]\n",
        check: Check::Edited,
        bars: &[crate_times(4.0), MEMORY],
        ..PLAIN
    },
    Case {
        name: "basicstats",
        about: "count, mean, min, max of five fields by series, each 10 s -> file",
        stages: STATISTICS,
        // Seconds of event time pass in milliseconds: many periods end between two writes.
        output_options: "metric_buffer_limit = 1000000\n",
        check: Check::Statistics,
        ..PLAIN
    },
    Case {
        name: TO_WINDOW,
        about: "count, avg, min, max of one field by host, each 10 s -> file",
        stages: WINDOW,
        check: Check::Windows,
        bars: &[crate_times(7.5), MEMORY],
        ..PLAIN
    },
    Case {
        name: "JSON -> SQL window",
        about: "the same over JSON lines; the bar of 7 M is 9.66 times the crate where it was set",
        shape: &JSON,
        stages: WINDOW,
        input_options: JSON_OPTIONS,
        check: Check::Windows,
        bars: &[
            crate_times(9.66),
            Bar { figure: Figure::InstructionsPerPoint, limit: Limit::AtMost(1500.0) },
            MEMORY,
        ],
        ..PLAIN
    },
    shaped(&ONE_SERIES, "socket -> file"),
    shaped(&MANY_SERIES, "socket -> file"),
    Case { counted: false, ..shaped(&MILLION_SERIES, "socket -> file") },
    shaped(&OWN_SERIES, "socket -> file; no key is seen twice"),
    shaped(&ONE_FIELD, "socket -> file"),
    shaped(&HUNDRED_FIELDS, "socket -> file; a tenth of the points"),
    shaped(&LONG_TEXT, "socket -> file; a quarter of the points"),
    shaped(&LONG_FLOATS, "socket -> file; doubles of full length"),
    shaped(&SPARSE, "socket -> file; each line leaves fields out"),
    Case { check: Check::Good, ..shaped(&BROKEN, "socket -> file; the bad ones are refused") },
    scaled(FILE_ONE, Feed::File, 1),
    scaled(FILE_TWO, Feed::File, 2),
    scaled(TCP_ONE, Feed::Tcp { connections: 1 }, 1),
    scaled(TCP_TWO, Feed::Tcp { connections: 1 }, 2),
    scaled(EIGHT_ONE, Feed::Tcp { connections: 8 }, 1),
    scaled(EIGHT_TWO, Feed::Tcp { connections: 8 }, 2),
];

/// All rows that a load makes.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    WAYS.iter().chain(statements::CASES)
}

pub const FILE_ONE: &str = "preloaded file, one worker";
pub const FILE_TWO: &str = "preloaded file, two workers";
pub const TCP_ONE: &str = "one connection, one worker";
pub const TCP_TWO: &str = "one connection, two workers";
pub const EIGHT_ONE: &str = "eight connections, one worker";
pub const EIGHT_TWO: &str = "eight connections, two workers";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_said() {
        let mut names: Vec<&str> = cases().map(|case| case.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(cases().all(|case| !case.name.is_empty() && !case.about.is_empty()));
    }

    #[test]
    fn shapes_change_what_they_say() {
        let load = Load { points: 100, ..Load::default() };
        let line = |shape: &Shape| {
            let text = String::from_utf8((shape.change)(&load).text()).unwrap();
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(line(&ONE_FIELD).split(' ').nth(1).unwrap().matches('=').count(), 1);
        assert_eq!(line(&HUNDRED_FIELDS).split(' ').nth(1).unwrap().matches('=').count(), 100);
        assert!(line(&LONG_TEXT).len() > 1100);
        assert!(line(&JSON).starts_with('{'));
        assert_eq!((OWN_SERIES.change)(&load).series, 100);
    }
}
