//! A case: a load, a way into the agent, stages, an output, and what must come out.

use headwater_tests::load::Load;

use crate::figure::Bar;

macro_rules! groups {
    ($($(#[doc = $doc:literal])* $variant:ident $word:literal $about:literal),* $(,)?) => {
        /// Cases that are measured together.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Group { $($variant),* }

        impl Group {
            pub const ALL: &[Group] = &[$(Group::$variant),*];

            pub fn word(self) -> &'static str {
                match self { $(Group::$variant => $word),* }
            }

            pub fn about(self) -> &'static str {
                match self { $(Group::$variant => $about),* }
            }
        }
    };
}

groups! {
    Core "core" "the agent's work: ways in, stages, ways out",
    Shape "shape" "the same work on other data",
    Sql "sql" "statements of stream SQL: what their parts cost",
    Scale "scale" "workers, connections, static against dynamic",
    Idle "idle" "memory, CPU share and wake-ups at rest; start; program size",
    Soak "soak" "a million series for a while, then silence",
}

/// What the lines look like, as a change of the load that the command line asks for.
#[derive(Debug)]
pub struct Shape {
    pub name: &'static str,
    pub change: fn(&Load) -> Load,
    /// The bar of the parser alone, as a multiple of the crate on the same bytes; shapes without one
    /// are not parsed in process.
    pub parse_bar: Option<f64>,
}

/// How the load comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// So many connections at the same time, each with its part of the load.
    Tcp {
        connections: usize,
    },
    Unix,
    /// Datagrams, as quick as they can be sent.
    Udp,
    /// A file that is there before the agent starts, in the page cache.
    File,
}

/// Where the points go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    File,
    /// `/dev/null`.
    Null,
}

/// How the output is held against the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// Every line is there once: their number, and a sum over series, values and times.
    Lines,
    /// The same, as rename, regex and tagdrop leave them.
    Edited,
    /// Every window and host: count, mean, least, greatest.
    Windows,
    /// The field `n` of all rows adds up to so many times the points.
    Counts(u64),
    /// There is a row for each point.
    Rows,
    /// There is a row for each point but the first of its series.
    Joined,
    /// Every period and series: the same by `basicstats`.
    Statistics,
    /// The output is empty and the agent counts every point.
    Dropped,
    /// The output cannot be read; the agent counts every point as written.
    Counted,
    /// Every line was sent, and lines and counted drops together are as many as were sent.
    Datagrams,
    /// The good lines are there once, and the agent counts every other as refused.
    Good,
}

/// One row of the table.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub group: Group,
    pub shape: &'static Shape,
    pub feed: Feed,
    pub target: Target,
    /// Further options of the agent.
    pub agent_options: &'static str,
    /// Processors and aggregators.
    pub stages: &'static str,
    /// Further options of the input.
    pub input_options: &'static str,
    /// Further options and tables of the output.
    pub output_options: &'static str,
    pub check: Check,
    /// Worker threads, if it is not for the command line to say.
    pub workers: Option<usize>,
    pub bars: &'static [Bar],
    /// Whether callgrind's figures mean something: the work per point does not depend on speed.
    pub counted: bool,
}

/// A datagram's lines: 1,256 bytes of the design's line, below an Ethernet frame.
pub const LINES_PER_DATAGRAM: u64 = 8;

/// The output whose counters tell what was written.
pub const MAIN_OUTPUT: &str = "main";

impl Case {
    /// Whether what is open at the stop comes after the next start.
    pub fn goes_on(&self) -> bool {
        self.agent_options.contains("statefile")
    }

    /// Whether the agent's own counters are needed to tell that all is in, and right.
    pub fn is_watched(&self) -> bool {
        matches!(self.check, Check::Dropped | Check::Counted | Check::Datagrams | Check::Good)
    }

    /// The configuration. `@` stands for the agent's folder; `load` is the file of the load.
    pub fn config(&self, workers: usize, watched: bool, load: &str) -> String {
        let source = match self.feed {
            Feed::Tcp { .. } => {
                "[[inputs.socket_listener]]\nservice_address = \"tcp://127.0.0.1:0\"".to_owned()
            }
            Feed::Unix => {
                "[[inputs.socket_listener]]\nservice_address = \"unix://@/socket\"".to_owned()
            }
            Feed::Udp => "[[inputs.socket_listener]]\nservice_address = \"udp://127.0.0.1:0\"\n\
                          read_buffer_size = \"4MiB\""
                .to_owned(),
            Feed::File => format!(
                "[[inputs.tail]]\nfiles = [\"{load}\"]\ninitial_read_offset = \"beginning\"\n\
                 path_tag = \"\""
            ),
        };
        let file = match self.target {
            Target::File => "@/out",
            Target::Null => "/dev/null",
        };
        let (watch, main_options) = if watched {
            (
                "[[inputs.internal]]\ninterval = \"100ms\"\n\n\
                 [[outputs.file]]\nfiles = [\"@/internal\"]\nnamepass = [\"internal_*\"]\n",
                "namedrop = [\"internal_*\"]\n",
            )
        } else {
            ("", "")
        };
        format!(
            "[agent]\nomit_hostname = true\nworkers = {workers}\nflush_interval = \"100ms\"\n{}\n\
             {source}\n{}\n{}\n{watch}\n\
             [[outputs.file]]\nalias = \"{MAIN_OUTPUT}\"\nfiles = [\"{file}\"]\n\
             data_format = \"influx\"\n{main_options}{}",
            self.agent_options, self.input_options, self.stages, self.output_options
        )
    }
}
