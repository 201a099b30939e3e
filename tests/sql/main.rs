//! Random statements against databases that are not ours: PostgreSQL for expressions and NULL, DuckDB for
//! windows, aggregates and joins.
//!
//! `HEADWATER_SQL_SEED` gives other statements, `HEADWATER_SQL_STATEMENTS` says how many each part runs; the
//! one that runs each statement in a dozen ways takes a fifth of them.
//! What fails is printed with the seed and in the smallest form that still fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]

mod aggregates;
mod counters;
mod engine;
mod expressions;
mod groups;
mod joins;
mod metamorphic;
mod over;
mod random;
mod table;
mod value;
mod workers;

/// What the environment asks for.
#[derive(Debug, Clone, Copy)]
struct Settings {
    seed: u64,
    statements: usize,
    /// What the environment has to say for so many.
    asked: usize,
}

/// Reads the environment; without it, some statements.
fn settings(statements: usize) -> Settings {
    settings_shared(statements, 1)
}

/// As [`settings`], for a part that takes but a share of the statements that the environment asks for.
fn settings_shared(statements: usize, share: usize) -> Settings {
    let read = |name: &str| {
        let text = std::env::var(name).ok()?;
        let number = text.parse::<u64>();
        Some(number.unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let asked = read("HEADWATER_SQL_STATEMENTS").map_or(statements * share, |n| n as usize);
    let seed = read("HEADWATER_SQL_SEED").unwrap_or(1);
    Settings { seed, statements: asked.div_ceil(share), asked }
}

/// Ends a test that found differences.
fn report(settings: Settings, findings: &[String]) {
    if findings.is_empty() {
        return;
    }
    // The same part often is to blame for many.
    let mut kept: Vec<&String> = findings.iter().collect();
    let mut seen = std::collections::BTreeSet::new();
    kept.retain(|finding| seen.insert(finding.lines().next()));
    let shown = kept.into_iter().take(40).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    panic!(
        "{} differences; they come again with HEADWATER_SQL_SEED={} HEADWATER_SQL_STATEMENTS={}\n\n{shown}\n",
        findings.len(),
        settings.seed,
        settings.asked
    );
}
