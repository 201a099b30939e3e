//! `headwater sql`: the statements of the `sql` processor over files or standard input.
//!
//! Parsers, processor and serializer are the agent's plugins, driven here by one thread: there is no
//! second engine whose answers could differ. CSV alone is read here, for no plugin reads it. Rows stream; what is held is a chunk of each file, the
//! open windows, and the first rows of a table.

mod complaint;
mod csv;
mod engine;
mod explain;
mod guess;
mod host;
mod interrupt;
mod pace;
mod packing;
mod parse;
mod plan;
mod print;
mod progress;
mod raw;
mod remarks;
mod rename;
mod request;
mod rows;
mod run;
mod settings;
mod slices;
mod source;
mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use super::flags::Options;
use super::{print, setup};
use crate::loader::Registry;
use crate::observe::log::system_clock;

use engine::Engine;
use host::CommandHost;
use print::Printer;
use request::{Output, Query};
use run::{Run, Stop};

pub use request::{Request, SqlOptions, text};

/// The longest file with a statement, which is far longer than a statement may be.
const QUERY_BYTES_MAX: u64 = 1 << 20;

/// The exit status of a run that left something of its input out: refused lines, or points that came
/// too late for their windows.
const LEFT_OUT: u8 = 3;

/// Runs the statements.
pub fn run(
    options: &Options,
    request: &Request,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let registry = setup::registry_with(&options.plugin_directories, &[]);
    for warning in registry.warnings() {
        print(err, format_args!("warning: {warning}\n"));
    }
    match start(&options.sql, request, &registry, out, err) {
        Ok(code) => code,
        // Whoever closed the pipe does not want to read on.
        Err(Stop::Closed) => ExitCode::SUCCESS,
        Err(Stop::Failed(error)) => {
            print(err, format_args!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn start(
    options: &SqlOptions,
    request: &Request,
    registry: &Registry,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitCode, Stop> {
    let query = match &request.query {
        Query::Text(text) => text.clone(),
        Query::File(path) => read_query(path)?,
    };
    let now_ns = system_clock()();
    let host = Arc::new(CommandHost::new(now_ns));
    let (engine, statements) = Engine::new(registry, &host, &query, options)?;
    if options.explain {
        print(out, format_args!("{}", explain::text(&statements)));
        return Ok(ExitCode::SUCCESS);
    }
    let output = options.output.unwrap_or_else(|| match io::stdout().is_terminal() {
        true => Output::Table,
        false => Output::Influx,
    });
    let printer = Printer::new(output, &statements, options.all, registry, &host)
        .map_err(|error| error.to_string())?;
    let mut run = Run::new(engine, printer, host, now_ns, out, err);
    run.step_ns = statements.iter().filter_map(|statement| statement.step_ns).min();
    run.wall = options.follow.then(system_clock);
    run.open(options, &request.files, registry)?;
    run.read()?;
    run.end()
}

fn read_query(path: &std::path::Path) -> Result<String, Stop> {
    let told = |why: &dyn std::fmt::Display| format!("--query-file {}: {why}", path.display());
    let about = std::fs::metadata(path).map_err(|error| told(&error))?;
    if about.len() > QUERY_BYTES_MAX {
        return Err(told(&format!("it has more than {QUERY_BYTES_MAX} bytes")).into());
    }
    Ok(std::fs::read_to_string(path).map_err(|error| told(&error))?)
}
