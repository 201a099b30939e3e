//! The yardstick: one table of what the release agent does with a load, as a whole process, beside
//! the `influxdb-line-protocol` crate's bare parse of the same bytes.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod instructions;
mod options;
mod parse;
mod rows;
mod run;
mod verify;

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use headwater_tests::load::Load;
use headwater_tests::paths;
use options::Options;
use rows::{BAR_BYTES, ROWS, Row};
use run::Taken;

fn main() -> ExitCode {
    let options = match options::read() {
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

/// A row with what its runs took.
struct Measured {
    row: &'static Row,
    runs: Vec<Taken>,
    checked: String,
    instructions: Option<f64>,
    bytes_per_point: f64,
}

fn measure(options: &Options) -> Result<(), String> {
    if cfg!(debug_assertions) {
        return Err(
            "the yardstick measures release builds: run it with `cargo run --release`".into()
        );
    }
    let program: PathBuf = match &options.agent {
        Some(agent) => agent.canonicalize().map_err(|e| format!("{}: {e}", agent.display()))?,
        None => paths::agent().to_path_buf(),
    };
    let say = |text: &str| {
        if !options.plain {
            eprintln!("{text}");
        }
    };
    say("making the load, and parsing it alone");
    let lines = options.load.text();
    let parsed = parse::measure(&lines)?;
    let wanted = |row: &&Row| {
        options.only.is_empty() || options.only.iter().any(|word| row.name.contains(word.as_str()))
    };
    let mut measured: Vec<Measured> = Vec::new();
    for json in [false, true] {
        let rows: Vec<&Row> = ROWS.iter().filter(wanted).filter(|row| row.json == json).collect();
        if rows.is_empty() {
            continue;
        }
        let made = json.then(|| rows[0].load(&options.load).text());
        let text = made.as_deref().unwrap_or(&lines);
        measured.extend(measure_rows(options, &program, &rows, text, &say)?);
    }
    print(options, &parsed, &measured);
    Ok(())
}

/// Runs each row in turns, so that a busy minute of the machine does not fall on one of them.
fn measure_rows(
    options: &Options,
    program: &Path,
    rows: &[&'static Row],
    text: &[u8],
    say: &dyn Fn(&str),
) -> Result<Vec<Measured>, String> {
    let points = options.load.points;
    let expected: Vec<_> = rows.iter().map(|row| row.expected(text)).collect();
    let mut measured: Vec<Measured> = rows
        .iter()
        .map(|row| Measured {
            row,
            runs: Vec::new(),
            checked: String::new(),
            instructions: None,
            bytes_per_point: text.len() as f64 / points as f64,
        })
        .collect();
    for number in 1..=options.runs {
        for (measured, expected) in measured.iter_mut().zip(&expected) {
            say(&format!("run {number} of {}: {}", options.runs, measured.row.name));
            let (taken, _, checked) = run::run(
                program,
                measured.row,
                options.workers,
                text,
                Some(expected),
                points,
                None,
            )?;
            measured.runs.push(taken);
            measured.checked = checked;
        }
    }
    if options.callgrind {
        for measured in &mut measured {
            say(&format!("counting instructions: {}", measured.row.name));
            measured.instructions = Some(instructions::per_point(
                program,
                measured.row,
                options.workers,
                &options.load,
            )?);
        }
    }
    Ok(measured)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn millions(value: f64) -> String {
    format!("{:.2} M", value / 1e6)
}

fn verdict(value: f64, bar: f64) -> &'static str {
    if value >= bar {
        "met"
    } else if value >= bar / 2.0 {
        "above half"
    } else {
        "BELOW HALF"
    }
}

fn print(options: &Options, parsed: &parse::Parsed, measured: &[Measured]) {
    let load = &options.load;
    println!(
        "{} points, {} series, {} tags, {} fields, {:.0} bytes a line; median of {} runs\n",
        load.points, load.series, load.tags, load.fields, parsed.bytes_per_point, options.runs
    );
    println!(
        "{:<46} {:>9} {:>9} {:>7} {:>8} {:>9} {:>7}  {:<28} checked",
        "", "points/s", "points", "MB", "instr.", "peak", "times", "bar here (section 8, half)"
    );
    println!(
        "{:<46} {:>9} {:>9} {:>7} {:>8} {:>9} {:>7}",
        "", "wall", "per CPU-s", "per s", "a point", "MiB", "crate"
    );
    let mb = |rate: f64, bytes: f64| format!("{:.0}", rate * bytes / 1e6);
    println!(
        "{:<46} {:>9} {:>9} {:>7} {:>8} {:>9} {:>7}",
        "crate influxdb-line-protocol, bare parse",
        millions(parsed.theirs),
        millions(parsed.theirs),
        mb(parsed.theirs, parsed.bytes_per_point),
        "",
        "",
        "1.0"
    );
    let ratio = parsed.ours / parsed.theirs;
    println!(
        "{:<46} {:>9} {:>9} {:>7} {:>8} {:>9} {:>7.1}  {:<28} points of both",
        "line protocol -> batch, one core, in process",
        millions(parsed.ours),
        millions(parsed.ours),
        mb(parsed.ours, parsed.bytes_per_point),
        "",
        "",
        ratio,
        format!("15 x, 7.5 x: {}", verdict(ratio, 15.0)),
    );
    for row in measured {
        print_row(load.points as f64, parsed.theirs, row);
    }
    println!(
        "\nThe bars are multiples of the crate's speed, so that they hold on this machine too. \
         Resident memory: {} MiB; `!` is above it, `!!` above twice as much.",
        BAR_BYTES >> 20
    );
}

fn print_row(points: f64, crate_rate: f64, measured: &Measured) {
    let of = |pick: &dyn Fn(&Taken) -> f64| median(measured.runs.iter().map(pick).collect());
    let wall = points / of(&|taken| taken.wall.as_secs_f64());
    let cpu = points / of(&|taken| taken.cpu.as_secs_f64().max(0.01));
    let peak = of(&|taken| taken.peak_bytes as f64);
    let bar = measured.row.bar_ratio.map_or(String::new(), |bar| {
        let here = bar * crate_rate;
        format!("{} ({}): {}", millions(here), measured.row.bar, verdict(cpu, here))
    });
    println!(
        "{:<46} {:>9} {:>9} {:>7} {:>8} {:>9} {:>7.1}  {:<28} {}",
        measured.row.name,
        millions(wall),
        millions(cpu),
        format!("{:.0}", wall * measured.bytes_per_point / 1e6),
        measured.instructions.map_or(String::new(), |count| format!("{count:.0}")),
        format!(
            "{:.1}{}",
            peak / f64::from(1 << 20),
            match peak / BAR_BYTES as f64 {
                over if over > 2.0 => "!!",
                over if over > 1.0 => "!",
                _ => "",
            }
        ),
        cpu / crate_rate,
        bar,
        measured.checked
    );
}
