//! The command line.

use std::path::PathBuf;

use headwater_tests::load::{Load, Times};
use lexopt::prelude::*;

pub const USAGE: &str = "\
Measures the release agent as a whole process, beside the influxdb-line-protocol crate.

cargo run --release -p headwater-tests --bin yardstick -- [options]

What is measured
  --only WORD         rows whose name holds the word; may repeat
  --runs N            runs of each row, taken in turns; the median counts (3)
  --workers N         the agent's worker threads (0: one for each CPU)
  --agent FILE        another agent than this build's
  --callgrind         count instructions per point too, with valgrind, on a smaller load
  --plain             say nothing but the table

The load (the design's line of 157 bytes unless told otherwise)
  --points N          lines (2000000)
  --seed N            where the random numbers begin (42)
  --series N          distinct series (800); beyond 8 times hosts a tag `zid` is added
  --hosts N           hosts (100)
  --tags N            tags (4)
  --fields N          fields (5)
  --kinds LETTERS     kinds of the fields from the sixth on: f, i, u, b, t (fi)
  --digits N          digits behind the point (2); 17 for doubles of full length
  --text N            bytes of text fields (32)
  --times WORD        ordered, shuffled or absent
  --start NS          the first time
  --step NS           from one line to the next (1000000)
  --write WHERE       only write the load: to a file, `-`, or tcp://address:port
";

#[derive(Debug, Default)]
pub struct Options {
    pub load: Load,
    pub only: Vec<String>,
    pub runs: usize,
    pub workers: usize,
    pub agent: Option<PathBuf>,
    pub callgrind: bool,
    pub plain: bool,
    pub write: Option<String>,
}

/// Reads the command line; `None` if it asked for help.
pub fn read() -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options { runs: 3, ..Options::default() };
    let load = &mut options.load;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("only") => options.only.push(parser.value()?.string()?),
            Long("runs") => options.runs = parser.value()?.parse::<usize>()?.max(1),
            Long("workers") => options.workers = parser.value()?.parse()?,
            Long("agent") => options.agent = Some(parser.value()?.into()),
            Long("callgrind") => options.callgrind = true,
            Long("plain") => options.plain = true,
            Long("points") => load.points = parser.value()?.parse()?,
            Long("seed") => load.seed = parser.value()?.parse()?,
            Long("series") => load.series = parser.value()?.parse()?,
            Long("hosts") => load.hosts = parser.value()?.parse()?,
            Long("tags") => load.tags = parser.value()?.parse()?,
            Long("fields") => load.fields = parser.value()?.parse()?,
            Long("kinds") => load.kinds = parser.value()?.string()?,
            Long("digits") => load.digits = parser.value()?.parse()?,
            Long("text") => load.text = parser.value()?.parse()?,
            Long("times") => {
                load.times = match parser.value()?.string()?.as_str() {
                    "ordered" => Times::Ordered,
                    "shuffled" => Times::Shuffled,
                    "absent" => Times::Absent,
                    other => {
                        return Err(
                            format!("--times {other}: write ordered, shuffled or absent").into()
                        );
                    }
                }
            }
            Long("start") => load.start_ns = parser.value()?.parse()?,
            Long("step") => load.step_ns = parser.value()?.parse()?,
            Long("write") => options.write = Some(parser.value()?.string()?),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    if options.load.fields == 0 || options.load.points == 0 {
        return Err("a load needs at least one point and one field".into());
    }
    Ok(Some(options))
}
