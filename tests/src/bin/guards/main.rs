//! Guards against slow changes: instructions and allocations a point of parsers, stages, serializers
//! and a batch's whole way, counted by callgrind and held against the record in `tests/guards.toml`.
//! No time is measured, so that a busy machine changes nothing.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod count;
mod loads;
mod record;
mod work;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use headwater_plugin_api::abi::{memory, pool};
use lexopt::prelude::*;

use record::{Cost, Record, Verdict};
use work::{GUARDS, Guard};

const USAGE: &str = "\
Counts instructions and allocations a point under callgrind and holds them against tests/guards.toml.

tests/guards [options]        check; fails if a point has become dearer
tests/guards --record         record what it costs now
tests/guards list             the guards' names
tests/guards run NAME ROUNDS  only do the work, for a profiler

  --only WORD   guards whose name holds the word; may repeat
  --jobs N      runs side by side (2)
  --keep DIR    leave callgrind's files there, for callgrind_annotate
";

/// The record.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guards.toml");

#[derive(Default)]
struct Options {
    words: Vec<String>,
    only: Vec<String>,
    record: bool,
    jobs: usize,
    keep: Option<PathBuf>,
    help: bool,
}

fn options() -> Result<Options, lexopt::Error> {
    let mut options = Options { jobs: 2, ..Options::default() };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("only") => options.only.push(parser.value()?.string()?),
            Long("jobs") => options.jobs = parser.value()?.parse()?,
            Long("keep") => options.keep = Some(parser.value()?.into()),
            Long("record") => options.record = true,
            Long("help") | Short('h') => options.help = true,
            Value(word) => options.words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        _ if options.help => {
            println!("{USAGE}");
            Ok(true)
        }
        [] => check(&options),
        ["list"] => {
            GUARDS.iter().for_each(|guard| println!("{}", guard.name));
            Ok(true)
        }
        ["run", name, rounds] => run(name, rounds, None),
        ["run", name, rounds, text] => run(name, rounds, Some(Path::new(text))),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Does the work of one guard; the text may have been made before.
fn run(name: &str, rounds: &str, text: Option<&Path>) -> Result<bool, String> {
    let guard = GUARDS.iter().find(|guard| guard.name == name);
    let guard =
        guard.ok_or_else(|| format!("there is no guard {name}; `guards list` names all"))?;
    let rounds: usize = rounds.parse().map_err(|error| format!("{rounds}: {error}"))?;
    let text = match text {
        Some(path) => {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => guard.text.make(),
    };
    // Batches lie in the agent's memory.
    memory::set_host_memory(&pool::FUNCTIONS);
    let done = guard.run(text, rounds)?;
    println!("{} points, {} out", done.points, done.out);
    Ok(true)
}

fn check(options: &Options) -> Result<bool, String> {
    if cfg!(debug_assertions) {
        return Err("the guards count what is built with optimisation: run `tests/guards`".into());
    }
    let chosen = |guard: &&Guard| {
        options.only.is_empty() || options.only.iter().any(|word| guard.name.contains(&**word))
    };
    let guards: Vec<&Guard> = GUARDS.iter().filter(chosen).collect();
    let folder = Folder::of(options.keep.clone())?;
    let costs = count::costs(&guards, options.jobs, &folder.path)?;
    let mut record = match std::fs::read_to_string(FILE) {
        Ok(text) => Record::read(&text).map_err(|error| format!("{FILE}: {error}"))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Record::default(),
        Err(error) => return Err(format!("{FILE}: {error}")),
    };
    let measured: Vec<(&str, Cost)> =
        guards.iter().map(|guard| guard.name).zip(costs.iter().copied()).collect();
    table(&record, &measured);
    if options.record {
        record.guards.extend(measured.iter().map(|(name, cost)| ((*name).to_owned(), *cost)));
        record.guards.retain(|name, _| GUARDS.iter().any(|guard| guard.name == name));
        record.recorded_with = tools();
        std::fs::write(FILE, record.write()).map_err(|error| format!("{FILE}: {error}"))?;
        println!("\nrecorded in {FILE}");
        return Ok(true);
    }
    Ok(verdict(&record, &measured))
}

fn table(record: &Record, measured: &[(&str, Cost)]) {
    println!(
        "{:<30} {:>12} {:>10} {:>8} {:>12} {:>10}",
        "a point", "instructions", "recorded", "change", "allocations", "recorded"
    );
    for (name, cost) in measured {
        let (recorded, change, allocations) = match record.guards.get(*name) {
            Some(recorded) => (
                format!("{:.1}", recorded.instructions),
                format!("{:+.1} %", record::change_percent(*recorded, *cost)),
                format!("{:.5}", recorded.allocations),
            ),
            None => ("-".into(), String::new(), "-".into()),
        };
        println!(
            "{name:<30} {:>12.1} {recorded:>10} {change:>8} {:>12.5} {allocations:>10}",
            cost.instructions, cost.allocations
        );
    }
}

/// Says what changed; whether all is well.
fn verdict(record: &Record, measured: &[(&str, Cost)]) -> bool {
    let (mut failed, mut cheaper) = (0, 0);
    println!();
    for (name, cost) in measured {
        match record.judge(name, *cost) {
            Verdict::Kept => {}
            Verdict::Cheaper(words) => {
                cheaper += 1;
                println!("cheaper: {name}: {words}");
            }
            Verdict::Failed(words) => {
                failed += 1;
                println!("FAILED: {name}: {words}");
            }
        }
    }
    if failed > 0 {
        println!(
            "A point has become dearer. To see where: `tests/guards --only NAME --keep DIR` before and after, \
             and callgrind_annotate. If it is worth it: `tests/guards --record`, and say why in the commit."
        );
        let tools = tools();
        if tools != record.recorded_with {
            println!("The record was made with {}; this is {tools}.", record.recorded_with);
        }
    } else if cheaper > 0 {
        println!("Keep it so: `tests/guards --record`.");
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {} passed; {failed} failed;", measured.len() - failed);
    failed == 0
}

/// The compiler, valgrind, and the C library, whose copying counts. The processor does not: valgrind
/// shows programs the same one on every machine that has AVX2.
fn tools() -> String {
    let version = |(program, argument): (&str, &str)| {
        let output = Command::new(program).arg(argument).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let asked =
        [("rustc", "--version"), ("valgrind", "--version"), ("getconf", "GNU_LIBC_VERSION")];
    asked.into_iter().filter_map(version).collect::<Vec<_>>().join(", ")
}

/// A folder for texts and counts, gone at the end unless it was named.
struct Folder {
    path: PathBuf,
    named: bool,
}

impl Folder {
    fn of(named: Option<PathBuf>) -> Result<Folder, String> {
        let path = named.clone().unwrap_or_else(|| {
            std::env::temp_dir().join(format!("headwater-guards-{}", std::process::id()))
        });
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder { path, named: named.is_some() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.named {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
