//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use headwater_tests::load::{Form, Load, Times};
use lexopt::prelude::*;

use crate::case::Group;

pub const USAGE: &str = "\
Measures the release agent as a whole process: one table, each row's output held against its input.

tests/yardstick [options]

Without options: the groups core, shape, scale and idle, three runs of each row, in some minutes.

What is measured
  --list              say what there is, and end
  --only WORD         rows whose name holds the word; may repeat. Pairs such as two workers against
                      one need both of their rows
  --group WORD        core, shape, scale, idle, soak or all; may repeat
  --all               all groups, with --callgrind and --detail
  --runs N            runs of each row, taken in turns; the median counts (3)
  --workers N         the agent's worker threads (0: one for each CPU)
  --agent FILE        another agent than this build's; its libraries lie beside it
  --static FILE       the agent with its families inside (cargo build --release -p headwater
                      --features static): instructions of dynamic against static
  --callgrind         count instructions and allocations per point too, with valgrind, on smaller
                      loads: the difference of two, so that the start is left out
  --detail            read and write calls, copies and context switches too. Calls of recv are not
                      among them: the kernel does not count these as reads
  --idle-seconds N    how long the agent is watched at rest (60)
  --soak-seconds N    how long a million series come (10; the real one: 600)

What is said
  --save FILE         write all figures as JSON
  --against FILE      below each row, how it changed against a saved run; an asterisk where the
                      runs of both do not overlap
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
  --sparse            each line leaves some fields out
  --broken N          lines of a thousand that are broken; for --write
  --times WORD        ordered, shuffled or absent
  --start NS          the first time
  --step NS           from one line to the next (1000000)
  --json              JSON instead of line protocol; for --write
  --write WHERE       only write the load: to a file, `-`, or tcp://address:port

How figures are made: `points per CPU-s` counts the agent's own user and system time from its start to
its end. `wall` goes from the first byte to the agent's end, which is told to stop when it has read
all; to the last line for files; to the last read where its own counters tell the rest. `times
reference` is points per CPU-second against the influxdb-line-protocol crate's bare parse of the same
bytes (serde_json to a value tree for JSON), measured in turns with the rows. Bars are those of the
design's section 8; those in points per CPU-second hold as multiples of the crate. +- is how far the
runs lie from the median at most.
";

#[derive(Debug)]
pub struct Options {
    pub load: Load,
    pub only: Vec<String>,
    pub groups: Vec<Group>,
    pub runs: usize,
    pub workers: usize,
    pub agent: Option<PathBuf>,
    pub static_agent: Option<PathBuf>,
    pub callgrind: bool,
    pub detail: bool,
    pub plain: bool,
    pub list: bool,
    pub idle: Duration,
    pub soak: Duration,
    pub save: Option<PathBuf>,
    pub against: Option<PathBuf>,
    pub write: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            load: Load::default(),
            only: Vec::new(),
            groups: Vec::new(),
            runs: 3,
            workers: 0,
            agent: None,
            static_agent: None,
            callgrind: false,
            detail: false,
            plain: false,
            list: false,
            idle: Duration::from_secs(60),
            soak: Duration::from_secs(10),
            save: None,
            against: None,
            write: None,
        }
    }
}

impl Options {
    /// Whether a row is asked for. A word finds its row in every group.
    pub fn wants(&self, group: Group, name: &str) -> bool {
        let groups = self.groups.is_empty() && (!self.only.is_empty() || group != Group::Soak);
        (groups || self.groups.contains(&group))
            && (self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str())))
    }
}

/// Reads the command line; `None` if it asked for help.
pub fn read(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options::default();
    let load = &mut options.load;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("list") => options.list = true,
            Long("only") => options.only.push(parser.value()?.string()?),
            Long("group") => {
                let word = parser.value()?.string()?;
                match Group::ALL.iter().find(|group| group.word() == word) {
                    Some(group) => options.groups.push(*group),
                    None if word == "all" => options.groups.extend_from_slice(Group::ALL),
                    None => {
                        return Err(format!(
                            "--group {word}: write core, shape, scale, idle, soak or all"
                        )
                        .into());
                    }
                }
            }
            Long("all") => {
                options.groups.extend_from_slice(Group::ALL);
                options.callgrind = true;
                options.detail = true;
            }
            Long("runs") => options.runs = parser.value()?.parse::<usize>()?.max(1),
            Long("workers") => options.workers = parser.value()?.parse()?,
            Long("agent") => options.agent = Some(parser.value()?.into()),
            Long("static") => options.static_agent = Some(parser.value()?.into()),
            Long("callgrind") => options.callgrind = true,
            Long("detail") => options.detail = true,
            Long("plain") => options.plain = true,
            Long("idle-seconds") => {
                options.idle = Duration::from_secs(parser.value()?.parse::<u64>()?.max(1));
            }
            Long("soak-seconds") => {
                options.soak = Duration::from_secs(parser.value()?.parse::<u64>()?.max(1));
            }
            Long("save") => options.save = Some(parser.value()?.into()),
            Long("against") => options.against = Some(parser.value()?.into()),
            Long("points") => load.points = parser.value()?.parse()?,
            Long("seed") => load.seed = parser.value()?.parse()?,
            Long("series") => load.series = parser.value()?.parse()?,
            Long("hosts") => load.hosts = parser.value()?.parse()?,
            Long("tags") => load.tags = parser.value()?.parse()?,
            Long("fields") => load.fields = parser.value()?.parse()?,
            Long("kinds") => load.kinds = parser.value()?.string()?,
            Long("digits") => load.digits = parser.value()?.parse()?,
            Long("text") => load.text = parser.value()?.parse()?,
            Long("sparse") => load.sparse = true,
            Long("broken") => load.broken_per_mille = parser.value()?.parse()?,
            Long("times") => load.times = times(&parser.value()?.string()?)?,
            Long("start") => load.start_ns = parser.value()?.parse()?,
            Long("step") => load.step_ns = parser.value()?.parse()?,
            Long("json") => load.form = Form::Json,
            Long("write") => options.write = Some(parser.value()?.string()?),
            Long("help") | Short('h') => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    check(&options)?;
    Ok(Some(options))
}

fn times(word: &str) -> Result<Times, lexopt::Error> {
    match word {
        "ordered" => Ok(Times::Ordered),
        "shuffled" => Ok(Times::Shuffled),
        "absent" => Ok(Times::Absent),
        other => Err(format!("--times {other}: write ordered, shuffled or absent").into()),
    }
}

/// Rows make their own of some of the load's options, and check what comes out by others.
fn check(options: &Options) -> Result<(), lexopt::Error> {
    let load = &options.load;
    if load.fields == 0 || load.points == 0 {
        return Err("a load needs at least one point and one field".into());
    }
    let only_written = load.form == Form::Json || load.broken_per_mille > 0;
    if options.write.is_none() && only_written {
        return Err("--json and --broken are for --write: rows that need them have them".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &[&str]) -> Result<Option<Options>, lexopt::Error> {
        read(lexopt::Parser::from_args(words))
    }

    #[test]
    fn groups_and_words_choose_rows() {
        let default = read_words(&[]).unwrap().unwrap();
        assert!(default.wants(Group::Core, "parse only"));
        assert!(!default.wants(Group::Soak, "a million"));
        let word = read_words(&["--only", "parse", "--only", "million"]).unwrap().unwrap();
        assert!(word.wants(Group::Core, "parse only") && word.wants(Group::Soak, "a million"));
        assert!(!word.wants(Group::Core, "socket"));
        let group = read_words(&["--group", "idle"]).unwrap().unwrap();
        assert!(group.wants(Group::Idle, "x") && !group.wants(Group::Core, "x"));
        let all = read_words(&["--all"]).unwrap().unwrap();
        assert!(all.callgrind && Group::ALL.iter().all(|group| all.wants(*group, "x")));
    }

    #[test]
    fn mistakes_are_told() {
        for words in [
            &["--group", "fast"][..],
            &["--points", "0"],
            &["--times", "never"],
            &["--json"],
            &["--what"],
        ] {
            assert!(read_words(words).is_err(), "{words:?}");
        }
        assert!(read_words(&["--json", "--write", "-"]).is_ok());
        assert!(read_words(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn every_option_stands_in_the_usage() {
        let source = include_str!("options.rs");
        let names = source.split("Long(\"").skip(1).filter_map(|rest| rest.split('"').next());
        for name in names.filter(|name| *name != "help" && !name.contains('\\')) {
            assert!(USAGE.contains(&format!("--{name}")), "--{name}");
        }
    }
}
