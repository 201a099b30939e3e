//! The agent as a process: started with a configuration, watched through /proc, stopped by signal.

use std::cell::Cell;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::paths::{self, Folder};
use crate::wait;

/// An agent about to be started.
pub struct Setup {
    command: Command,
    folder: Folder,
}

impl Setup {
    /// The agent of [`paths::agent`] in a folder of its own. `@` in the text stands for that folder.
    pub fn new(config: &str) -> Setup {
        Setup::of(paths::agent(), config)
    }

    /// A certain agent.
    pub fn of(program: &Path, config: &str) -> Setup {
        let folder = Folder::new();
        let text = config.replace('@', &folder.path().display().to_string());
        let config = folder.write("headwater.toml", text);
        let mut setup = Setup::bare(program, folder);
        setup.command.arg("--config").arg(config);
        setup
    }

    /// The agent without any argument.
    pub fn bare(program: &Path, folder: Folder) -> Setup {
        let mut command = Command::new(program);
        command.current_dir(folder.path());
        for name in ["HEADWATER_CONFIG_PATH", "HEADWATER_PLUGIN_DIRECTORIES"] {
            command.env_remove(name);
        }
        Setup { command, folder }
    }

    /// Runs it under another program, such as valgrind.
    #[must_use]
    pub fn under(mut self, program: &str, arguments: &[String]) -> Setup {
        let mut command = Command::new(program);
        command.args(arguments).arg(self.command.get_program()).args(self.command.get_args());
        command.current_dir(self.folder.path());
        for (key, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        self.command = command;
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Setup {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<std::ffi::OsStr>) -> Setup {
        self.command.env(key, value);
        self
    }

    /// Its folder, for files that must be there before it starts.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it cannot.
    pub fn start(mut self) -> Agent {
        let open = |name: &str| {
            let path = self.folder.join(name);
            File::create(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        self.command.stdin(Stdio::null()).stdout(open("stdout")).stderr(open("stderr"));
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.command.get_program().display()));
        Agent { child, folder: Arc::new(self.folder), status: None, peak: Cell::new(0) }
    }

    /// Starts it with a pipe for what it prints.
    ///
    /// # Panics
    /// If it cannot.
    pub fn start_piped(mut self) -> (Agent, ChildStdout) {
        let log = self.folder.join("stderr");
        let log = File::create(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.command.get_program().display()));
        let Some(stdout) = child.stdout.take() else { panic!("the pipe is missing") };
        (Agent { child, folder: Arc::new(self.folder), status: None, peak: Cell::new(0) }, stdout)
    }

    /// Starts it and waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn run(self) -> Ended {
        let mut agent = self.start();
        agent.wait();
        agent.into_ended()
    }
}

/// A running agent. Dropping it kills it.
pub struct Agent {
    child: Child,
    folder: Arc<Folder>,
    status: Option<(ExitStatus, Usage)>,
    /// The peak when it was last looked at: it is gone with the process.
    peak: Cell<u64>,
}

/// What a process used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// The most memory that was resident.
    pub peak_bytes: u64,
}

/// An agent that has ended.
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it used.
    pub usage: Usage,
    /// What it printed.
    pub stdout: String,
    /// Its log.
    pub log: String,
    /// Its folder.
    pub folder: Arc<Folder>,
}

/// Ticks of /proc in a second, fixed by Linux's interface.
const TICKS: u64 = 100;

impl Agent {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Reads a file of its folder; empty if there is none yet.
    pub fn read(&self, name: &str) -> String {
        let data = std::fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&data).into_owned()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.read("stderr")
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// Waits until a file of its folder has at least so many lines, and gives its text.
    ///
    /// # Panics
    /// If it has not in time, or the agent ended.
    pub fn lines(&mut self, name: &str, count: usize) -> String {
        self.until(&format!("{count} lines in {name}"), |agent| {
            let text = agent.read(name);
            (text.bytes().filter(|byte| *byte == b'\n').count() >= count).then_some(text)
        })
    }

    /// Waits until the log holds some words.
    ///
    /// # Panics
    /// If it does not in time, or the agent ended.
    pub fn logged(&mut self, words: &str) -> String {
        self.until(&format!("{words:?} in the log"), |agent| {
            let log = agent.log();
            log.contains(words).then_some(log)
        })
    }

    /// Waits for something about the running agent.
    ///
    /// # Panics
    /// If it does not come in time, or the agent ended.
    pub fn until<T>(&mut self, what: &str, mut ask: impl FnMut(&Agent) -> Option<T>) -> T {
        let answer = wait::poll(wait::PATIENCE, || {
            let ended = self.has_ended();
            match ask(self) {
                Some(answer) => Some(Ok(answer)),
                None if ended => Some(Err("the agent ended")),
                None => None,
            }
        });
        match answer {
            Some(Ok(answer)) => answer,
            Some(Err(why)) => panic!("{what}: {why}. Its log:\n{}", self.log()),
            None => panic!("{what}: not within {:?}. The log:\n{}", wait::PATIENCE, self.log()),
        }
    }

    /// Waits until it listens, and gives the TCP address. With several, the lowest port.
    ///
    /// # Panics
    /// If it does not listen in time.
    pub fn tcp(&mut self) -> SocketAddr {
        self.until("a listening TCP socket", |agent| agent.sockets("tcp", "0A").first().copied())
    }

    /// Waits until it has a UDP socket, and gives its address.
    ///
    /// # Panics
    /// If it has none in time.
    pub fn udp(&mut self) -> SocketAddr {
        self.until("a UDP socket", |agent| agent.sockets("udp", "07").first().copied())
    }

    /// Waits until the kernel holds no datagram for a UDP socket that was not read.
    ///
    /// # Panics
    /// If there are some for too long.
    pub fn udp_is_read(&mut self, address: SocketAddr) {
        let local = format!(":{:04X}", address.port());
        self.until("a read UDP socket", |_| {
            let table = std::fs::read_to_string("/proc/net/udp").ok()?;
            let mut sockets = table.lines().map(|line| line.split_whitespace());
            let mut queue = sockets.find_map(|mut words| {
                words.nth(1).filter(|word| word.ends_with(&local))?;
                words.nth(2)
            });
            let (_, unread) = queue.take()?.split_once(':')?;
            (u64::from_str_radix(unread, 16) == Ok(0)).then_some(())
        });
    }

    /// The addresses of its IPv4 sockets in a state, found by inode.
    fn sockets(&self, table: &str, state: &str) -> Vec<SocketAddr> {
        let mut inodes = Vec::new();
        let Ok(entries) = std::fs::read_dir(format!("/proc/{}/fd", self.pid())) else {
            return Vec::new();
        };
        for entry in entries.flatten() {
            let Ok(target) = std::fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy().into_owned();
            if let Some(inode) =
                target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'))
            {
                inodes.push(inode.to_owned());
            }
        }
        let table = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        let mut found = Vec::new();
        for line in table.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(is), Some(inode)) = (words.get(1), words.get(3), words.get(9))
            else {
                continue;
            };
            if *is == state && inodes.iter().any(|known| known == inode) {
                let Some((_, port)) = local.split_once(':') else { continue };
                if let Ok(port) = u16::from_str_radix(port, 16) {
                    found.push(SocketAddr::from(([127, 0, 0, 1], port)));
                }
            }
        }
        found.sort();
        found
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none()
            && let Some(pid) = Pid::from_raw(self.pid() as i32)
        {
            self.peak();
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Its user and system time so far.
    pub fn cpu(&self) -> Duration {
        self.stat().map_or(Duration::ZERO, |(_, cpu)| cpu)
    }

    /// The time that its running threads have used, in nanoseconds: finer than [`Agent::cpu`], but
    /// without threads that have ended.
    pub fn threads_cpu(&self) -> Duration {
        let tasks = self.of_each_task("schedstat");
        let used = tasks.iter().filter_map(|text| text.split(' ').next()?.parse::<u64>().ok());
        Duration::from_nanos(used.sum())
    }

    /// Its threads.
    pub fn threads(&self) -> usize {
        self.of_each_task("comm").len()
    }

    /// Whether one of its threads has that name.
    pub fn has_thread(&self, name: &str) -> bool {
        self.of_each_task("comm").iter().any(|other| other.trim_end() == name)
    }

    /// How often its running threads were switched away from, by themselves or not.
    pub fn switches(&self) -> u64 {
        let tasks = self.of_each_task("status");
        let counts = tasks.iter().flat_map(|text| text.lines()).filter_map(|line| {
            let (name, count) = line.split_once(':')?;
            name.ends_with("voluntary_ctxt_switches").then(|| count.trim().parse::<u64>().ok())?
        });
        counts.sum()
    }

    /// A line of /proc/pid/io, such as `syscr` or `wchar`.
    pub fn io(&self, line: &str) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.pid())).ok()?;
        text.lines()
            .find_map(|other| other.strip_prefix(line)?.strip_prefix(": "))
            .and_then(|count| count.trim().parse().ok())
    }

    /// A file of each thread's folder in /proc.
    fn of_each_task(&self, file: &str) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        let paths = tasks.into_iter().flatten().flatten().map(|task| task.path().join(file));
        paths.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
    }

    /// The state letter and the time used, as /proc tells; also of a process that has ended and was
    /// not waited for.
    fn stat(&self) -> Option<(char, Duration)> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        let (_, rest) = text.rsplit_once(") ")?;
        let words: Vec<&str> = rest.split(' ').collect();
        let ticks = words.get(11)?.parse::<u64>().ok()? + words.get(12)?.parse::<u64>().ok()?;
        Some((words.first()?.chars().next()?, Duration::from_millis(ticks * 1000 / TICKS)))
    }

    /// A line of /proc/pid/status in bytes, such as `VmHWM` or `VmRSS`.
    pub fn memory(&self, line: &str) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// The most memory that was resident so far.
    pub fn peak(&self) -> u64 {
        let peak = self.memory("VmHWM").unwrap_or(0).max(self.peak.get());
        self.peak.set(peak);
        peak
    }

    fn has_ended(&mut self) -> bool {
        if self.status.is_some() {
            return true;
        }
        self.peak();
        // The figures are read before the process is waited for: then they are gone.
        let (state, cpu) = self.stat().unwrap_or(('X', Duration::ZERO));
        if !matches!(state, 'Z' | 'X') {
            return false;
        }
        let status = self.child.wait().unwrap_or_else(|error| panic!("wait: {error}"));
        self.status = Some((status, Usage { cpu, peak_bytes: self.peak.get() }));
        true
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn wait(&mut self) -> (ExitStatus, Usage) {
        self.wait_for(wait::PATIENCE)
    }

    /// Waits until it ends, at most so long.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn wait_for(&mut self, patience: Duration) -> (ExitStatus, Usage) {
        let ended = wait::poll(patience, || self.has_ended().then_some(()));
        match (ended, self.status) {
            (Some(()), Some(ended)) => ended,
            _ => panic!("the agent did not end within {patience:?}. Its log:\n{}", self.log()),
        }
    }

    /// Stops it by SIGTERM.
    ///
    /// # Panics
    /// If it does not stop in time, or not cleanly.
    pub fn stop(mut self) -> Ended {
        self.signal(Signal::TERM);
        let (status, _) = self.wait();
        assert!(status.success(), "the agent stopped with {status}. Its log:\n{}", self.log());
        self.into_ended()
    }

    /// What is left of it, after it ended.
    ///
    /// # Panics
    /// If it has not.
    pub fn into_ended(mut self) -> Ended {
        let (status, usage) = self.wait();
        let (stdout, log) = (self.stdout(), self.log());
        Ended { status, usage, stdout, log, folder: Arc::clone(&self.folder) }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Ended {
    /// Reads a file of its folder; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        let data = std::fs::read(self.folder.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&data).into_owned()
    }

    /// The log lines of a level: `E!`, `W!`, `I!`.
    pub fn log_lines(&self, level: &str) -> Vec<&str> {
        self.log.lines().filter(|line| line.contains(level)).collect()
    }
}
