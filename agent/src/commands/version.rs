//! `headwater version`.

use std::io::Write;
use std::process::ExitCode;

use super::print;

/// The agent's version: the tag of its self-metrics too.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

pub fn run(out: &mut dyn Write) -> ExitCode {
    print(out, format_args!("headwater {VERSION}\n"));
    ExitCode::SUCCESS
}
