//! The agent when little happens: memory, CPU share and wake-ups; the time to the first metric; the
//! size of the program.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::paths::Folder;
use headwater_tests::points;
use rustix::process::Signal;

use crate::case::Group;
use crate::figure::{Bar, Figure, Limit, Spread};
use crate::outcome::Outcome;

/// An agent with inputs that are gathered.
pub struct Rest {
    pub name: &'static str,
    pub about: &'static str,
    pub interval: Duration,
    /// The inputs; one that comes again gets an alias.
    inputs: &'static [&'static str],
    bars: &'static [Bar],
}

const MIB: f64 = 1_048_576.0;

const SYSTEM: &[&str] =
    &["cpu", "mem", "swap", "disk", "diskio", "net", "system", "processes", "kernel", "internal"];

const SIXTEEN: &[&str] = &[
    "cpu",
    "mem",
    "swap",
    "disk",
    "diskio",
    "net",
    "system",
    "processes",
    "kernel",
    "internal",
    "cpu",
    "mem",
    "swap",
    "diskio",
    "net",
    "system",
];

/// What is measured at rest.
pub const RESTS: &[Rest] = &[
    Rest {
        name: "idle, all system inputs every 10 s",
        about: "resident memory, CPU share, threads and wake-ups over --idle-seconds",
        interval: Duration::from_secs(10),
        inputs: SYSTEM,
        bars: &[
            Bar { figure: Figure::ResidentBytes, limit: Limit::AtMost(8.0 * MIB) },
            Bar { figure: Figure::CpuShare, limit: Limit::AtMost(0.0003) },
        ],
    },
    Rest {
        name: "16 inputs every second",
        about: "the same with sixteen inputs, some of a kind twice",
        interval: Duration::from_secs(1),
        inputs: SIXTEEN,
        bars: &[],
    },
];

pub const START: &str = "start to first metric";
pub const START_ABOUT: &str = "from the start of the process to the first byte of its output; \
                               inputs.mem every 1 ms to a pipe, 20 starts";
pub const SIZE: &str = "program size";
pub const SIZE_ABOUT: &str = "the agent and the libraries of all families, stripped";

const STARTS: usize = 20;

/// What an agent used until a moment.
struct Used {
    at: Instant,
    cpu: Duration,
    switches: u64,
}

fn used(agent: &Agent) -> Used {
    Used { at: Instant::now(), cpu: agent.threads_cpu(), switches: agent.switches() }
}

impl Rest {
    fn config(&self) -> String {
        let interval = self.interval.as_millis();
        let mut config = format!(
            "[agent]\nomit_hostname = true\ninterval = \"{interval}ms\"\n\
             [[outputs.file]]\nfiles = [\"@/out\"]\n"
        );
        for (index, name) in self.inputs.iter().enumerate() {
            config.push_str(&format!("[[inputs.{name}]]\nalias = \"number{index}\"\n"));
        }
        config
    }

    /// Waits for the first gather, then measures for so long.
    pub fn measure(&self, program: &Path, time: Duration) -> Result<Outcome, String> {
        let mut agent = Setup::of(program, &self.config()).start();
        agent.lines("out", 1);
        // What starting cost is over when the first gather is written and a moment has passed.
        std::thread::sleep(Duration::from_secs(1));
        let before = used(&agent);
        std::thread::sleep(time);
        let after = used(&agent);
        let (resident, anonymous) = (agent.memory("VmRSS"), agent.memory("RssAnon"));
        let (threads, peak) = (agent.threads(), agent.peak());
        agent.signal(Signal::TERM);
        let (status, _) = agent.wait();
        if !status.success() {
            return Err(format!("{}: {status}\n{}", self.name, agent.log()));
        }
        let seconds = (after.at - before.at).as_secs_f64();
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        let mut outcome = Outcome::new(self.name, Group::Idle);
        for (figure, value) in [
            (Figure::ResidentBytes, resident.unwrap_or(0) as f64),
            (Figure::AnonymousBytes, anonymous.unwrap_or(0) as f64),
            (Figure::PeakBytes, peak as f64),
            (Figure::CpuShare, cpu / seconds),
            (Figure::Threads, threads as f64),
            (Figure::WakeupsPerSecond, (after.switches - before.switches) as f64 / seconds),
        ] {
            outcome.set(figure, Spread::exact(value));
        }
        outcome.bars = self.bars.to_vec();
        let gathers = (seconds / self.interval.as_secs_f64()).floor().max(1.0) as usize;
        outcome.checked = self
            .check(&agent.read("out"), gathers)
            .map_err(|error| format!("{}: {error}\n{}", self.name, agent.log()))?;
        Ok(outcome)
    }

    /// Every kind of input has written as often as it should have.
    fn check(&self, output: &str, gathers: usize) -> Result<String, String> {
        let mut times = std::collections::HashMap::new();
        let points = points::parse(output);
        for point in &points {
            let kind = self.inputs.iter().find(|input| match **input {
                "internal" => point.name.starts_with("internal_"),
                "kernel" => point.name.starts_with("kernel"),
                input => point.name == input,
            });
            let Some(kind) = kind else { return Err(format!("nobody asked for {point:?}")) };
            times.entry(*kind).or_insert_with(std::collections::HashSet::new).insert(point.time);
        }
        for input in self.inputs {
            // A machine without swap or disks has no points of them.
            let least = if matches!(*input, "swap" | "diskio" | "disk") { 0 } else { gathers };
            let found = times.get(input).map_or(0, std::collections::HashSet::len);
            if found < least {
                return Err(format!("{input} was gathered {found} times, not {least}"));
            }
        }
        Ok(format!("{} points, {gathers} gathers of each", points.len()))
    }
}

/// Starts the agent again and again.
pub fn start(program: &Path) -> Result<Outcome, String> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let setup = Setup::of(
            program,
            // A gather waits for one interval, an output for a full batch.
            "[agent]\nomit_hostname = true\ninterval = \"1ms\"\nround_interval = false\n\
             metric_batch_size = 1\n[[inputs.mem]]\n[[outputs.file]]\nfiles = [\"stdout\"]\n",
        );
        let begin = Instant::now();
        let (mut agent, mut stdout) = setup.start_piped();
        let mut first = [0; 4096];
        let read = stdout.read(&mut first).map_err(|error| format!("{START}: {error}"))?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        agent.signal(Signal::TERM);
        // A full pipe would hold up its stop.
        let rest = stdout.read_to_end(&mut Vec::new());
        rest.map_err(|error| format!("{START}: {error}"))?;
        let (status, _) = agent.wait();
        if !first[..read].starts_with(b"mem ") || !status.success() {
            let text = String::from_utf8_lossy(&first[..read]).into_owned();
            return Err(format!("{START}: {text:?}, {status}\n{}", agent.log()));
        }
    }
    let mut outcome = Outcome::new(START, Group::Idle);
    if let Some(spread) = Spread::of(times) {
        outcome.set(Figure::FirstMetric, spread);
    }
    outcome.bars.push(Bar { figure: Figure::FirstMetric, limit: Limit::AtMost(8.0) });
    outcome.checked = format!("a point of mem, {STARTS} times");
    Ok(outcome)
}

/// The libraries beside a program.
fn families(program: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = program.parent().unwrap_or(Path::new("."));
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libheadwater_plugin_") && name.ends_with(".so")
    });
    found.sort();
    Ok(found)
}

/// Sizes of copies without symbols.
pub fn size(program: &Path) -> Result<Outcome, String> {
    let folder = Folder::new();
    let stripped = |path: &Path| -> Result<f64, String> {
        let copy = folder.join("stripped");
        let failed = |error| format!("{}: {error}", path.display());
        std::fs::copy(path, &copy).map_err(failed)?;
        let status = Command::new("strip").arg("--strip-unneeded").arg(&copy).status();
        let status = status.map_err(|error| format!("strip (of binutils): {error}"))?;
        if !status.success() {
            return Err(format!("strip {}: {status}", path.display()));
        }
        Ok(std::fs::metadata(&copy).map_err(failed)?.len() as f64)
    };
    let agent = stripped(program)?;
    let paths = families(program)?;
    let mut families = 0.0;
    for path in &paths {
        families += stripped(path)?;
    }
    let mut outcome = Outcome::new(SIZE, Group::Idle);
    outcome.set(Figure::ProgramBytes, Spread::exact(agent));
    outcome.set(Figure::FamiliesBytes, Spread::exact(families));
    outcome.set(Figure::TotalBytes, Spread::exact(agent + families));
    outcome.bars.push(Bar { figure: Figure::TotalBytes, limit: Limit::AtMost(25.0 * MIB) });
    outcome.checked = format!("{} libraries", paths.len());
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: Rest = Rest {
        name: "few",
        about: "",
        interval: Duration::from_secs(1),
        inputs: &["mem", "kernel", "internal", "swap"],
        bars: &[],
    };

    #[test]
    fn every_input_must_have_been_gathered() {
        let output = "mem free=1i 1\nkernel boot=1i 1\ninternal_agent x=1i 1\ninternal_write y=1i 1\n\
            mem free=1i 2\nkernel boot=1i 2\ninternal_agent x=1i 2\n";
        assert!(FEW.check(output, 2).unwrap().starts_with("7 points"));
        assert!(FEW.check(output, 3).unwrap_err().contains("2 times, not 3"));
        assert!(FEW.check(&output.replace("mem free=1i 2\n", ""), 2).is_err());
        assert!(FEW.check("cpu x=1i 1\n", 1).unwrap_err().contains("nobody asked"));
        assert!(FEW.config().contains("[[inputs.swap]]\nalias = \"number3\""));
    }

    #[test]
    fn there_are_sixteen() {
        assert_eq!(SIXTEEN.len(), 16);
    }
}
