//! Real servers as child processes: each in a folder of its own, on free ports of 127.0.0.1, waited
//! for until it answers, ended when it is dropped.

pub mod influxdb;
pub mod tls;
pub mod victoria_metrics;
pub mod web;

use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::paths::Folder;
use crate::wait;

/// A TCP port that nobody listened at a moment ago.
///
/// # Panics
/// If there is none.
pub fn tcp_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A UDP port that nobody used a moment ago.
///
/// # Panics
/// If there is none.
pub fn udp_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("its address").port()
}

/// Where a program of a Debian package is.
///
/// # Panics
/// If it is not installed; the message says how to.
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| {
            panic!("{name} is not installed: apt-get install -y --no-install-recommends {package}")
        })
}

/// A server's process.
pub struct Server {
    name: String,
    child: Child,
    folder: Folder,
}

impl Server {
    /// Starts a program with its output in the file `log` of the folder, and waits until `ready`.
    ///
    /// # Panics
    /// If it cannot be started, ends, or is not ready in time; the message holds its log.
    pub fn start(
        name: &str,
        mut command: Command,
        folder: Folder,
        mut ready: impl FnMut() -> bool,
    ) -> Server {
        let log = folder.join("log");
        let open = || {
            let mut options = std::fs::OpenOptions::new();
            options.create(true).append(true).open(&log).expect("a log file")
        };
        // A group of its own, so that what a terminal sends to the tests does not reach it first.
        command.process_group(0).stdin(Stdio::null()).stdout(open()).stderr(open());
        command.current_dir(folder.path());
        let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut server = Server { name: name.to_owned(), child, folder };
        let is_ready = wait::poll(wait::PATIENCE, || {
            if let Ok(Some(status)) = server.child.try_wait() {
                panic!("{name} ended with {status}. Its log:\n{}", server.log());
            }
            ready().then_some(())
        });
        assert!(is_ready.is_some(), "{name} is not ready. Its log:\n{}", server.log());
        server
    }

    /// What it printed.
    pub fn log(&self) -> String {
        let data = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&data).into_owned()
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a crash would, and gives its folder back for another start.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn kill(mut self) -> Folder {
        self.end();
        std::mem::replace(&mut self.folder, Folder::new())
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(4000);
            let shown = log.get(from..).unwrap_or(&log);
            eprintln!("the end of the log of {}:\n{shown}", self.name);
        }
    }
}
