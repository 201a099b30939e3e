//! The yardstick: one table of what the release agent does with loads, as a whole process, beside
//! the reference work of the same run.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod case;
mod cases;
mod compare;
mod counters;
mod feed;
mod figure;
mod live;
mod made;
mod operator;
mod options;
mod outcome;
mod reference;
mod report;
mod rest;
mod run;
mod saved;
mod soak;
mod statements;
mod verify;

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::process::ExitCode;

use bench::Bench;
use headwater_tests::load::Load;
use options::Options;
use report::Report;
use saved::Saved;

fn main() -> ExitCode {
    let options = match options::read(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let result = match &options.write {
        _ if options.list => {
            print!("{}", bench::list());
            Ok(())
        }
        Some(to) => write(&options.load, to).map_err(|error| format!("{to}: {error}")),
        None => measure(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write(load: &Load, to: &str) -> io::Result<()> {
    if to == "-" {
        load.write(io::stdout().lock())?;
    } else if let Some(address) = to.strip_prefix("tcp://") {
        load.write(TcpStream::connect(address)?)?;
    } else {
        load.write(File::create(to)?)?;
    }
    Ok(())
}

fn measure(options: &Options) -> Result<(), String> {
    if cfg!(debug_assertions) {
        return Err("the yardstick measures release builds: run tests/yardstick".into());
    }
    // A wrong file is told before the work, not after it.
    let against = options.against.as_deref().map(Saved::read).transpose()?;
    let load = &options.load;
    let title = format!(
        "{} points, {} series, {} tags, {} fields; median of {} runs, spread to the farthest",
        load.points, load.series, load.tags, load.fields, options.runs
    );
    let outcomes = Bench::new(options)?.measure()?;
    let report = Report {
        crate_rate: bench::crate_rate(&outcomes),
        against: against.as_ref(),
        detail: options.detail,
    };
    print!("{}", report.text(&title, &outcomes));
    if let Some(before) = &against {
        println!("\nagainst: {}", before.title);
    }
    if let Some(path) = &options.save {
        Saved::of(&title, &outcomes).write(path)?;
    }
    let failed: Vec<&str> = outcomes.iter().filter_map(|o| o.failed.as_deref()).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}
