//! What is measured: configurations, and the bars of the design's section 8.

use headwater_tests::digest::digest;
use headwater_tests::load::{Form, Load};

use crate::verify::{self, Expected};

/// How a run knows that all is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The file's last line is the load's last.
    LastLine,
    /// The counts in the file add up.
    Counts,
    /// A line of measurement `end`, sent after the load, stands in the file.
    End,
    /// The connection was read to its end; what is in flight then is written at the stop.
    Closed,
}

/// One row of the table.
pub struct Row {
    pub name: &'static str,
    /// What stands between the socket and the output.
    pub stages: &'static str,
    /// The output's file; empty for `/dev/null`.
    pub to_file: bool,
    /// Which points the input lets pass.
    pub namepass: Option<&'static str>,
    pub json: bool,
    pub done: Done,
    /// The bar in points per CPU-second, as a multiple of the crate's bare parse.
    pub bar_ratio: Option<f64>,
    /// The bar as the design writes it, for the machine it was measured on.
    pub bar: &'static str,
}

/// The most memory that may be resident, by section 8.
pub const BAR_BYTES: u64 = 12 << 20;

/// What the crate did where the absolute bars were measured.
const CRATE_THERE: f64 = 0.725e6;

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

const EDIT: &str = r#"
[[processors.rename]]
[[processors.rename.replace]]
measurement = "cpu"
dest = "processor"

[[processors.regex]]
[[processors.regex.tags]]
key = "host"
pattern = "^server(\\d+)$"
replacement = "s${1}"
"#;

pub const ROWS: &[Row] = &[
    Row {
        name: "parse only (points dropped behind the parser)",
        stages: "",
        to_file: true,
        namepass: Some("end"),
        json: false,
        done: Done::End,
        bar_ratio: None,
        bar: "",
    },
    Row {
        name: "socket -> file",
        stages: "",
        to_file: true,
        namepass: None,
        json: false,
        done: Done::LastLine,
        bar_ratio: Some(3.0e6 / CRATE_THERE),
        bar: "3.0 M",
    },
    Row {
        name: "socket -> /dev/null",
        stages: "",
        to_file: false,
        namepass: None,
        json: false,
        done: Done::Closed,
        bar_ratio: Some(3.0e6 / CRATE_THERE),
        bar: "3.0 M",
    },
    Row {
        name: "rename, regex on a tag, tagdrop -> file",
        stages: EDIT,
        to_file: true,
        namepass: None,
        json: false,
        done: Done::Closed,
        bar_ratio: Some(3.0e6 / CRATE_THERE),
        bar: "3.0 M",
    },
    Row {
        name: "SQL window, 4 aggregates, 10 s, by host",
        stages: WINDOW,
        to_file: true,
        namepass: None,
        json: false,
        done: Done::Counts,
        bar_ratio: Some(5.5e6 / CRATE_THERE),
        bar: "5.5 M",
    },
    Row {
        name: "JSON -> SQL window by host",
        stages: WINDOW,
        to_file: true,
        namepass: None,
        json: true,
        done: Done::Closed,
        bar_ratio: Some(7.0e6 / CRATE_THERE),
        bar: "7.0 M",
    },
];

impl Row {
    /// The configuration; `@` stands for the folder.
    pub fn config(&self, workers: usize) -> String {
        let format = if self.json {
            "data_format = \"json\"\njson_strict = true\ntag_keys = [\"host\", \"cpu\"]\n\
             json_name_key = \"\"\n"
        } else {
            "data_format = \"influx\"\n"
        };
        let namepass =
            self.namepass.map(|name| format!("namepass = [\"{name}\"]\n")).unwrap_or_default();
        let tagdrop = if self.stages == EDIT {
            "[outputs.file.tagdrop]\nregion = [\"ap-south-1\"]\n"
        } else {
            ""
        };
        let file = if self.to_file { "@/out" } else { "/dev/null" };
        format!(
            "[agent]\nomit_hostname = true\nworkers = {workers}\nflush_interval = \"100ms\"\n\n\
             [[inputs.socket_listener]]\nservice_address = \"tcp://127.0.0.1:0\"\n{format}{namepass}\
             {}\n[[outputs.file]]\nfiles = [\"{file}\"]\ndata_format = \"influx\"\n{tagdrop}",
            self.stages
        )
    }

    /// The load of this row.
    pub fn load(&self, load: &Load) -> Load {
        Load { form: if self.json { Form::Json } else { Form::Lines }, ..load.clone() }
    }

    /// What the output must hold.
    pub fn expected(&self, text: &[u8]) -> Expected {
        if self.done == Done::End {
            Expected::End
        } else if !self.to_file {
            Expected::Nothing
        } else if self.stages == WINDOW {
            verify::windows(text, self.json)
        } else if self.stages == EDIT {
            Expected::Lines(verify::digest_edited(text))
        } else {
            Expected::Lines(digest(text))
        }
    }
}
