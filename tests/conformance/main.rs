//! Runs the cases of `../shared/conformance/telegraf` with the real agent, as many as the plugins
//! that exist can reach, and says of every other why not.
//!
//! `cargo test -p headwater-tests --test conformance [-- part of a name]`

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod case;
mod drive;
mod serializer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, ExitCode};

use case::Case;
use headwater_tests::paths;

/// So many cases are reached at least: a case that silently no longer is would look like success.
/// Raise it with every plugin that reaches more.
const REACHED_MIN: usize = 10;

enum Outcome {
    Passed,
    Failed(String),
    Unreachable(String),
}

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let Some(data) = paths::conformance() else {
        eprintln!("conformance: there is no folder ../shared/conformance beside the repository");
        println!("test result: ok. 0 passed; 0 failed; 1 ignored");
        return ExitCode::SUCCESS;
    };
    let agent = paths::agent();
    let plugins = plugins(agent);
    let cases = case::find(&data.join("telegraf"));
    let (mut reached, mut failed) = (0, Vec::new());
    let mut unreachable: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in &cases {
        if !words.is_empty() && !words.iter().any(|word| case.name.contains(word.as_str())) {
            continue;
        }
        match run(case, agent, &plugins) {
            Outcome::Passed => {
                reached += 1;
                println!("test {} ... ok", case.name);
            }
            Outcome::Failed(why) => {
                reached += 1;
                println!("test {} ... FAILED", case.name);
                failed.push((case.name.clone(), why));
            }
            Outcome::Unreachable(why) => {
                unreachable.entry(why).or_default().push(case.name.clone());
            }
        }
    }
    println!("\nnot reachable:");
    for (why, names) in &unreachable {
        println!("  {:>3}  {why}", names.len());
    }
    for (name, why) in &failed {
        println!("\n---- {name}\n{why}");
    }
    let count: usize = unreachable.values().map(Vec::len).sum();
    let passed = reached - failed.len();
    println!(
        "\n{} cases: {reached} reached, {passed} passed, {count} not reachable",
        reached + count
    );
    let too_few = words.is_empty() && reached < REACHED_MIN;
    if too_few {
        println!("fewer cases are reached than the {REACHED_MIN} that were reached before");
    }
    let verdict = if failed.is_empty() && !too_few { "ok" } else { "FAILED" };
    println!(
        "test result: {verdict}. {passed} passed; {} failed; 0 ignored",
        failed.len() + usize::from(too_few)
    );
    if verdict == "ok" { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the agent can load, as `inputs.cpu` or `parsers.json`.
fn plugins(agent: &Path) -> BTreeSet<String> {
    let output = Command::new(agent)
        .arg("plugins")
        .output()
        .unwrap_or_else(|error| panic!("the agent: {error}"));
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    let names: BTreeSet<String> = names.collect();
    assert!(names.contains("outputs.file"), "the agent lists no output `file`:\n{list}");
    names
}

fn run(case: &Case, agent: &Path, plugins: &BTreeSet<String>) -> Outcome {
    let needs = match case.needs() {
        Ok(needs) => needs,
        Err(error) => return Outcome::Failed(error),
    };
    let missing: Vec<String> = needs.difference(plugins).cloned().collect();
    if !missing.is_empty() {
        return Outcome::Unreachable(format!("there is no {}", missing.join(", no ")));
    }
    if let Some(refused) = drive::refused(case, agent) {
        return Outcome::Unreachable(refused);
    }
    // A failed assertion in a case is that case's failure, not the end of all.
    let result = std::panic::catch_unwind(|| match case.kind {
        case::Kind::Serializer => serializer::run(case, agent),
        case::Kind::Proc => drive::proc(case, agent),
        case::Kind::Sequence => drive::sequence(case, agent),
        case::Kind::Pipeline => drive::pipeline(case, agent),
    });
    match result {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(why)) => Outcome::Failed(why),
        Err(panic) => Outcome::Failed(match panic.downcast_ref::<String>() {
            Some(text) => text.clone(),
            None => panic.downcast_ref::<&str>().copied().unwrap_or("it panicked").to_owned(),
        }),
    }
}
