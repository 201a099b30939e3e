//! One run of the agent over a load.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::wait;
use rustix::process::Signal;

use crate::case::{Case, Check, Feed, LINES_PER_DATAGRAM, Target};
use crate::counters::Counters;
use crate::feed::{self, PATIENCE};
use crate::figure::Figure;
use crate::made::Made;
use crate::verify::{self, Expected};
use headwater_tests::callgrind::{self, Counts};

/// What is to be run.
pub struct Job<'a> {
    pub program: &'a Path,
    pub case: &'a Case,
    pub workers: usize,
    pub made: &'a Made,
    pub expected: &'a Expected,
}

/// What a run gave.
pub struct Ran {
    pub figures: Vec<(Figure, f64)>,
    pub checked: String,
}

/// What was used until the stop, as /proc tells of a running process.
struct Used {
    cpu: Duration,
    ticks: Duration,
    calls: u64,
    read: u64,
    written: u64,
    switches: u64,
}

impl Used {
    fn of(agent: &Agent) -> Used {
        let io = |line| agent.io(line).unwrap_or(0);
        Used {
            cpu: agent.threads_cpu(),
            ticks: agent.cpu(),
            calls: io("syscr") + io("syscw"),
            read: io("rchar"),
            written: io("wchar"),
            switches: agent.switches(),
        }
    }
}

impl Job<'_> {
    fn workers(&self) -> usize {
        self.case.workers.unwrap_or(self.workers)
    }

    fn setup(&self, watched: bool) -> Setup {
        let load = self.made.path.display().to_string();
        Setup::of(self.program, &self.case.config(self.workers(), watched, &load))
    }

    /// Measures by clock and /proc.
    pub fn measure(&self) -> Result<Ran, String> {
        let watched = self.case.is_watched();
        let begin = Instant::now();
        let mut agent = self.setup(watched).start();
        // A file is read from the start on; senders begin when there is somebody to send to.
        let mut fed = self.feed(&mut agent)?;
        let begin = fed.begin.unwrap_or(begin);
        let read = begin.elapsed();
        let counters = if watched { self.watch(&agent, &mut fed)? } else { Counters::default() };
        let used = Used::of(&agent);
        let (output, usage) = self.stop(&mut agent)?;
        // Without a mark of its own, all is done when the agent has ended.
        let wall = if watched || self.case.feed == Feed::File { read } else { begin.elapsed() };
        let checked = match self.case.goes_on() {
            true => self.go_on(&agent)?,
            false => self.check(&agent, &output)?,
        };
        if self.case.check == Check::Datagrams {
            self.check_count(&agent, &output, counters.written)?;
        }

        // Ticks are coarse: they tell the stop alone, and threads that had ended before it.
        let cpu = (used.cpu + usage.cpu.saturating_sub(used.ticks)).max(usage.cpu);
        let mut points = self.made.points() as f64;
        let mut figures = Vec::new();
        if self.case.check == Check::Datagrams {
            // Some were dropped by the kernel, some pushed out by newer ones: all are counted.
            let arrived = counters.written.saturating_sub(fed.afters) as f64;
            let sent = (fed.datagrams * LINES_PER_DATAGRAM) as f64;
            figures.push((Figure::PointsDropped, 1.0 - arrived / sent.max(1.0)));
            points = arrived;
        }
        let bytes = points * self.made.bytes_per_point();
        let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64().max(1e-4));
        figures.extend([
            (Figure::PointsPerSecond, points / wall),
            (Figure::PointsPerCpuSecond, points / cpu),
            (Figure::BytesPerSecond, bytes / wall),
            (Figure::PeakBytes, usage.peak_bytes as f64),
            (Figure::CallsPerMegabyte, used.calls as f64 / (bytes / 1e6)),
            (Figure::ReadPerByte, used.read as f64 / bytes),
            (Figure::WrittenPerByte, used.written as f64 / bytes),
            (Figure::SwitchesPerMegabyte, used.switches as f64 / (bytes / 1e6)),
        ]);
        Ok(Ran { figures, checked })
    }

    /// Counts by callgrind.
    pub fn count(&self) -> Result<Counts, String> {
        // What the agent counts of itself costs by time, which is fifty times slower here.
        let setup = self.setup(false);
        let file = setup.folder().join("callgrind.out");
        let mut agent =
            setup.under("valgrind", &callgrind::arguments(&file.display().to_string())).start();
        self.feed(&mut agent)?;
        let (output, _) = self.stop(&mut agent)?;
        match self.case.goes_on() {
            true => self.go_on(&agent)?,
            false => self.check(&agent, &output)?,
        };
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("{}: {error}\n{}", file.display(), agent.log()))?;
        callgrind::read(&text)
    }

    fn failed(&self, agent: &Agent, error: impl std::fmt::Display) -> String {
        format!("{}: {error}\n{}", self.case.name, agent.log())
    }

    fn feed(&self, agent: &mut Agent) -> Result<Fed, String> {
        let path = &self.made.path;
        let mut fed = Fed::default();
        let result = match self.case.feed {
            Feed::Tcp { connections } => {
                let to = agent.tcp();
                let text = self.made.read()?;
                fed.begin = Some(Instant::now());
                feed::tcp(to, &text, connections)
            }
            Feed::Unix => {
                let to = agent.folder().join("socket");
                // The file is there a moment before anybody listens.
                let stream = agent.until("a listening socket", |_| UnixStream::connect(&to).ok());
                fed.begin = Some(Instant::now());
                feed::unix(stream, path)
            }
            Feed::Udp => {
                let text = self.made.read()?;
                let to = agent.udp();
                fed.begin = Some(Instant::now());
                fed.udp = Some(to);
                feed::udp(to, &text).map(|sent| {
                    fed.datagrams = sent;
                    agent.udp_is_read(to);
                })
            }
            Feed::File => self.until_last_line(agent),
        };
        result.map_err(|error| self.failed(agent, error))?;
        Ok(fed)
    }

    /// The lines of one source stay in order: the last one ends the load.
    fn until_last_line(&self, agent: &Agent) -> io::Result<()> {
        let last = last_word(&self.made.path)?;
        let out = agent.folder().join("out");
        let done = || last_word(&out).is_ok_and(|word| word == last).then_some(());
        wait::poll(PATIENCE, done).ok_or_else(|| io::Error::other("the output is not complete"))
    }

    /// Waits until the agent's counters tell that all is in.
    fn watch(&self, agent: &Agent, fed: &mut Fed) -> Result<Counters, String> {
        let path = agent.folder().join("internal");
        let mut counters = Counters::default();
        if let Some(to) = fed.udp {
            // With the next datagram the kernel tells how many it dropped before; the queue is empty,
            // so that this one is not.
            feed::after(to).map_err(|error| self.failed(agent, error))?;
            fed.afters += 1;
        }
        let complete = wait::poll(wait::PATIENCE, || {
            counters = Counters::read(&std::fs::read_to_string(&path).unwrap_or_default());
            let (check, made) = (self.case.check, self.made);
            let afters = fed.afters;
            verify::is_complete(check, made, &counters, fed.datagrams, afters).then_some(())
        });
        match complete {
            Some(()) => Ok(counters),
            None => Err(self.failed(
                agent,
                format!(
                    "{} points in {} datagrams, {} of the lines broken; the agent counts \
                     {counters:?}",
                    self.made.points(),
                    fed.datagrams,
                    self.made.broken
                ),
            )),
        }
    }

    fn stop(&self, agent: &mut Agent) -> Result<(Vec<u8>, headwater_tests::agent::Usage), String> {
        agent.signal(Signal::TERM);
        let (status, usage) = agent.wait_for(PATIENCE);
        if !status.success() {
            return Err(self.failed(agent, status));
        }
        let out = agent.folder().join("out");
        let output = match self.case.target {
            Target::File => std::fs::read(&out).map_err(|error| self.failed(agent, error))?,
            Target::Null => Vec::new(),
        };
        Ok((output, usage))
    }

    /// Starts the agent once more, which emits what was open, until the output is right.
    fn go_on(&self, before: &Agent) -> Result<String, String> {
        let folder = before.folder().path();
        let mut agent = Command::new(self.program)
            .arg("--config")
            .arg(folder.join("headwater.toml"))
            .current_dir(folder)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| self.failed(before, error))?;
        let mut last = String::new();
        let checked = wait::poll(wait::PATIENCE, || {
            let output = std::fs::read(folder.join("out")).unwrap_or_default();
            verify::check(self.expected, &output).map_err(|error| last = error).ok()
        });
        let ended = agent.kill().and_then(|()| agent.wait());
        ended.map_err(|error| self.failed(before, error))?;
        checked.ok_or_else(|| self.failed(before, last))
    }

    /// The lines that stand in the output are those that the agent counts.
    fn check_count(&self, agent: &Agent, output: &[u8], count: u64) -> Result<(), String> {
        let lines = output.iter().filter(|byte| **byte == b'\n').count() as u64;
        if lines == count {
            return Ok(());
        }
        let counted = format!("the output has {lines} lines and the agent counts {count}");
        Err(self.failed(agent, counted))
    }

    fn check(&self, agent: &Agent, output: &[u8]) -> Result<String, String> {
        verify::check(self.expected, output).map_err(|error| self.failed(agent, error))
    }
}

/// How a load was fed.
#[derive(Debug, Default)]
struct Fed {
    begin: Option<Instant>,
    udp: Option<std::net::SocketAddr>,
    datagrams: u64,
    afters: u64,
}

/// The last word of a file that ends in a newline.
fn last_word(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(64)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(tail) = tail.strip_suffix(b"\n") else {
        return Err(io::Error::other("no whole line"));
    };
    Ok(tail.rsplit(|byte| matches!(byte, b' ' | b'\n')).next().unwrap_or_default().to_vec())
}
