//! Runs the cases of `../shared/conformance/fluent-bit` through the `sql` processor: Fluent Bit's
//! statements as they are, with SQL's answers.
//!
//! `cargo test -p headwater-tests --test fluent [-- part of a name]`

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod answers;
mod case;
mod drive;

use std::process::ExitCode;

use headwater_tests::paths;

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let Some(data) = paths::conformance() else {
        eprintln!("fluent: there is no folder ../shared/conformance beside the repository");
        println!("test result: ok. 0 passed; 0 failed; 1 ignored");
        return ExitCode::SUCCESS;
    };
    let cases = case::read(&data.join("fluent-bit"));
    let (mut passed, mut failed) = (0, Vec::new());
    for case in &cases {
        if !words.is_empty() && !words.iter().any(|word| case.name.contains(word.as_str())) {
            continue;
        }
        // A failed assertion in a case is that case's failure, not the end of all.
        let result = std::panic::catch_unwind(|| drive::run(case));
        let result = result.unwrap_or_else(|_| Err("it panicked".to_owned()));
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        let differs = answers::of(&case.name);
        let why =
            differs.map_or(String::new(), |answer| format!("   # SQL's answer: {}", answer.why));
        println!("test {}::{} ... {verdict}{why}", case.suite, case.name);
        match result {
            Ok(()) => passed += 1,
            Err(why) => failed.push((case, why)),
        }
    }
    for (case, why) in &failed {
        println!("\n---- {}\n{}\n{why}", case.name, case.query);
    }
    println!("\npassed {passed}, failed {}", failed.len());
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {} failed; 0 ignored", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
