//! The command line: one file for each command, and the tables that parsing and help come from.

mod check;
mod command;
mod create;
mod flags;
mod help;
pub mod notify;
mod pidfile;
mod plugins;
mod quickstart;
mod run;
pub mod schemas;
mod setup;
mod version;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{Environment, ProcessEnvironment};

pub use version::VERSION;

use command::Command;

/// The exit status of a command line that cannot be understood.
const USAGE: u8 = 2;

/// Does what the process's arguments ask for.
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let (mut out, mut err) = (io::stdout(), io::stderr());
    dispatch(arguments, &ProcessEnvironment, &mut out, &mut err)
}

fn dispatch(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    match command::parse(arguments) {
        Ok(Command::Run(options)) => run::run(&options, environment, err),
        Ok(Command::Quickstart(options)) => quickstart::run(&options, environment, err),
        Ok(Command::Check(options)) => check::run(&options, environment, out, err),
        Ok(Command::Create(options)) => create::run(&options, out, err),
        Ok(Command::Plugins(options, kind)) => plugins::run(&options, kind, environment, out, err),
        Ok(Command::Version) => version::run(out),
        Ok(Command::Help(command)) => {
            print(out, format_args!("{}", help::text(command)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            print(err, format_args!("headwater: {error}\n"));
            ExitCode::from(USAGE)
        }
    }
}

/// Writes for a person. Whoever closed the terminal or the pipe does not want to read on.
fn print(to: &mut dyn Write, words: fmt::Arguments<'_>) {
    let _ = to.write_fmt(words).and_then(|()| to.flush());
}
