//! Runs a case with the agent and compares what came.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::paths::Folder;
use headwater_tests::points::{self, Point};
use headwater_tests::wait;

use crate::case::{self, Case};

/// What every case needs besides its own configuration: an output whose kinds can be told apart.
const FRAME: &str = "[agent]\nomit_hostname = true\n\
    [[outputs.file]]\nfiles = [\"@/points\"]\ndata_format = \"influx\"\ninflux_uint_support = true\n";

/// An agent of the case's configuration, with an output to the file `points`.
fn setup(case: &Case, agent: &Path, frame: &str) -> Setup {
    let setup = Setup::of(agent, frame);
    let config = setup.folder().write("case.conf", case.mapped());
    // The case's file comes last: what it says of the agent counts.
    setup.args(["--config", &config.display().to_string()])
}

/// Why the agent refuses the configuration on purpose: an option that it documents as refused.
pub fn refused(case: &Case, agent: &Path) -> Option<String> {
    let folder = Folder::new();
    let text = if case.kind == case::Kind::Serializer {
        crate::serializer::config(case, &folder)
    } else {
        case.mapped()
    };
    let config = folder.write("case.toml", text);
    let mut command = Command::new(agent);
    command.args(["config", "check", "--config"]).arg(&config);
    let output = command.output().unwrap_or_else(|error| panic!("the agent: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = errors.lines().find(|line| line.contains("is refused"))?;
    let words = line.split_once("is refused").map_or(line, |(before, _)| before);
    let key = words.split('`').rev().nth(1).unwrap_or("an option");
    Some(format!("{}: `{key}` is refused", case.subject()))
}

/// A whole pipeline, once.
pub fn pipeline(case: &Case, agent: &Path) -> Result<(), String> {
    let ended = setup(case, agent, FRAME).args(["--once"]).run();
    let expected = Case::points(&case.folder, "expected.out").unwrap_or_default();
    compare(&expected, &ended.read("points"), false, &ended.log)?;
    errors(&case.folder, &ended.log)
}

/// Messages for a listener, then its end.
pub fn sequence(case: &Case, agent: &Path) -> Result<(), String> {
    let mut agent = setup(case, agent, FRAME).start();
    send(case, &mut agent)?;
    let ended = agent.stop();
    let expected = Case::points(&case.folder, "expected.out").unwrap_or_default();
    compare(&expected, &ended.read("points"), false, &ended.log)?;
    errors(&case.folder, &ended.log)
}

fn send(case: &Case, agent: &mut Agent) -> Result<(), String> {
    let text = std::fs::read_to_string(case.folder.join("sequence.json"))
        .map_err(|error| format!("sequence.json: {error}"))?;
    let steps: Vec<serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| format!("sequence.json: {error}"))?;
    let mut stream = TcpStream::connect(agent.tcp()).map_err(|error| error.to_string())?;
    for step in &steps {
        if let Some(wait) = step["wait"].as_str() {
            // A silence is what this step of the case sends.
            let milliseconds = wait.strip_suffix("ms").and_then(|n| n.parse::<u64>().ok());
            let seconds = wait.strip_suffix('s').and_then(|n| n.parse::<u64>().ok());
            let wait = milliseconds.or(seconds.map(|s| s * 1000)).ok_or("a wait of no length")?;
            std::thread::sleep(Duration::from_millis(wait));
        } else if let Some(file) = step["file"].as_str() {
            let data = std::fs::read(case.folder.join(file)).map_err(|error| error.to_string())?;
            stream.write_all(&data).map_err(|error| format!("{file}: {error}"))?;
        } else if let Some(message) = step["message"].as_str() {
            stream.write_all(message.as_bytes()).map_err(|error| error.to_string())?;
        } else {
            return Err(format!("a step that this runner does not know: {step}"));
        }
    }
    // The agent closes its side when it has read all. It may have closed it before.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(wait::PATIENCE));
    let _ = stream.read(&mut [0]);
    Ok(())
}

/// One gather for each tree of /proc. The files of a tree are pipes: a gather reads what is written
/// into them then, and the next one waits for the next tree.
pub fn proc(case: &Case, agent: &Path) -> Result<(), String> {
    let frame =
        FRAME.replace("[agent]\n", "[agent]\ninterval = \"200ms\"\nflush_interval = \"50ms\"\n");
    let setup = setup(case, agent, &frame);
    let proc = setup.folder().join("proc");
    std::fs::create_dir_all(&proc).map_err(|error| error.to_string())?;
    let trees = case::proc_trees(&case.folder);
    for name in files(&trees[0]) {
        make_pipe(&proc.join(name))?;
    }
    let mut agent = setup.env("HOST_PROC", &proc).start();
    let mut expected = Vec::new();
    let mut has_errors = false;
    for tree in &trees {
        for name in files(tree) {
            let data = std::fs::read(tree.join(&name)).map_err(|error| error.to_string())?;
            write_pipe(&mut agent, &proc.join(&name), &data);
        }
        expected.extend(Case::points(tree, "expected.out").unwrap_or_default());
        has_errors |= tree.join("expected.err").is_file();
    }
    let mut log = agent.lines("points", expected.len());
    if has_errors {
        log = agent.until("an error in the log", |agent| {
            let log = agent.log();
            log.contains(" E! ").then_some(log)
        });
    }
    let text = agent.read("points");
    drop(agent);
    compare(&expected, &text, true, &log)
}

/// The files of a tree that are input.
fn files(tree: &Path) -> Vec<String> {
    let read = std::fs::read_dir(tree).unwrap_or_else(|e| panic!("{}: {e}", tree.display()));
    read.flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("expected."))
        .collect()
}

fn make_pipe(path: &Path) -> Result<(), String> {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from(0o600))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// The pipe's end for writing, if somebody reads.
fn open_pipe(path: &Path) -> Option<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    std::fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(path).ok()
}

/// Waits for a reader, and gives it the data and the end.
fn write_pipe(agent: &mut Agent, path: &Path, data: &[u8]) {
    let mut pipe = agent.until("a gather that reads", |_| open_pipe(path));
    let mut rest = data;
    agent.until("a gather that reads to the end", |_| {
        match pipe.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{}: {error}", path.display()),
        }
        // A reader that is still in `open` has nothing open yet: it is there when it has read.
        (rest.is_empty() && rustix::io::ioctl_fionread(&pipe) == Ok(0)).then_some(())
    });
    drop(pipe);
    // The reader must have seen the end before the next writer comes, or it would read on.
    let reader = agent.pid();
    agent.until("the gather's end", |_| (!has_open(reader, path)).then_some(()));
}

/// Whether a process has a file open.
fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to == path))
}

/// Times count unless the case gathers: then they are the clock's. A point without one is stamped
/// by the clock as well.
fn compare(expected: &[Point], found: &str, timeless: bool, log: &str) -> Result<(), String> {
    let found = points::parse(found);
    let some_timed = expected.iter().any(|point| point.time.is_some());
    let timeless = timeless || !some_timed;
    let strip = |points: &[Point]| -> Vec<Point> {
        let points = points.iter().cloned();
        if timeless { points.map(Point::without_time).collect() } else { points.collect() }
    };
    points::compare(&strip(expected), &strip(&found)).map_err(|text| format!("{text}log:\n{log}"))
}

/// Whether there were errors exactly if the case expects some.
fn errors(folder: &Path, log: &str) -> Result<(), String> {
    let expects = folder.join("expected.err").is_file();
    let told = log.lines().any(|line| line.contains(" E! ") || (expects && line.contains(" W! ")));
    if expects == told {
        return Ok(());
    }
    let what = if expects { "an error was expected and none told" } else { "an error was told" };
    Err(format!("{what}\nlog:\n{log}"))
}
