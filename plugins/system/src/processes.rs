//! Input `processes`: how many processes are in which state, from /proc/<pid>/stat.
//!
//! It is the one input whose cost grows with the host: the kernel walks the threads of each process
//! to fill its file. The files are opened below a descriptor of /proc, with a path of a few bytes.

use std::io::Write;

use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::config;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::reader::{Faults, quote, signed, words};
use crate::roots::Roots;

config! {
    /// Counts processes by state.
    pub struct ProcessesConfig {
        /// For ps on other systems: on Linux nothing is run, and `true` brings a warning and no more.
        pub use_sudo: bool = false,
    }
    refused {
        "force_ps" = "nothing is run: states are read from /proc; remove it",
        "force_proc" = "states are always read from /proc; remove it",
    }
}

/// Fields in the order of the point; those with letters count the processes in these states.
const FIELDS: [(&str, &[u8]); 9] = [
    ("blocked", b"D"),
    ("zombies", b"Z"),
    ("stopped", b"Tt"),
    ("running", b"R"),
    ("sleeping", b"S"),
    ("idle", b"I"),
    ("dead", b"X"),
    ("paging", b"W"),
    ("unknown", b""),
];

/// The number of threads among the words behind the name, the state being the first.
const THREADS: usize = 17;

/// A line of /proc/<pid>/stat is far shorter, whatever the name.
const LINE_BYTES: usize = 4096;
const FOLDER_BYTES: usize = 16 << 10;

/// The input.
pub struct Processes {
    config: ProcessesConfig,
    roots: Roots,
    host: Host,
    folder: Vec<u8>,
    line: Vec<u8>,
}

#[derive(Default)]
struct Counts {
    by_field: [i64; FIELDS.len()],
    total: i64,
    threads: i64,
    parked: bool,
}

impl Plugin for Processes {
    type Config = ProcessesConfig;
    const NAME: &'static str = "processes";
    const SUMMARY: &'static str = "How many processes are in which state";

    fn new(config: ProcessesConfig, host: Host) -> Result<Self, Error> {
        Ok(Processes {
            config,
            roots: Roots::from_env(),
            host,
            folder: Vec::with_capacity(FOLDER_BYTES),
            line: vec![0; LINE_BYTES],
        })
    }

    fn init(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        if self.config.use_sudo {
            self.host.warn("use_sudo has no effect: no ps is run on Linux; remove the line");
        }
        Ok(())
    }
}

impl Input for Processes {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        let root = self.roots.proc.as_str();
        let failed =
            |errno: Errno| Error::failed(format!("{root}: {}", std::io::Error::from(errno)));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc: OwnedFd = rustix::fs::open(root, flags, Mode::empty()).map_err(failed)?;
        let mut counts = Counts::default();
        let mut entries = RawDir::new(&proc, self.folder.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if !name.first().is_some_and(u8::is_ascii_digit) {
                continue;
            }
            let mut path = [0; 64];
            let mut end = &mut path[..];
            let written = end.write_all(name).and_then(|()| end.write_all(b"/stat"));
            let len = 64 - end.len();
            if written.is_err() {
                continue;
            }
            match read(proc.as_fd(), &path[..len], &mut self.line) {
                Ok(len) => {
                    if let Err(sentence) = counts.add(&self.line[..len]) {
                        let file = String::from_utf8_lossy(&path[..name.len() + 5]);
                        faults.add(format_args!("{root}/{file}: {sentence}"));
                    }
                }
                // The process has ended meanwhile.
                Err(Errno::NOENT | Errno::SRCH | Errno::NOTDIR) => {}
                Err(errno) => {
                    let file = String::from_utf8_lossy(&path[..name.len() + 5]);
                    faults.add(format_args!("{root}/{file}: {}", std::io::Error::from(errno)));
                }
            }
        }
        let mut point = out.point("processes").metric_kind(metric_kind::GAUGE);
        for ((field, _), count) in FIELDS.iter().zip(counts.by_field) {
            point = point.field(field, count);
        }
        point = point.field("total", counts.total).field("total_threads", counts.threads);
        if counts.parked {
            // Telegraf's count, which never passes 1.
            point = point.field("parked", 1_i64);
        }
        faults.refused(point.finish(cx.now()));
        faults.result()
    }
}

fn read(proc: rustix::fd::BorrowedFd<'_>, path: &[u8], line: &mut [u8]) -> Result<usize, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(proc, path, flags, Mode::empty())?;
    loop {
        match rustix::io::read(&file, &mut *line) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

impl Counts {
    /// Adds the process of this line.
    fn add(&mut self, line: &[u8]) -> Result<(), String> {
        // A name may hold blanks and brackets.
        let Some(end) = memchr::memrchr(b')', line) else {
            return match line.is_empty() {
                true => Ok(()),
                false => Err(format!("no name in brackets in {}", quote(line))),
            };
        };
        let mut words = words(&line[end + 1..]);
        let Some(state) = words.next() else {
            return Err(format!("no state behind the name in {}", quote(line)));
        };
        self.total += 1;
        if state[0] == b'P' {
            self.parked = true;
        }
        if let Some(at) = FIELDS.iter().position(|(_, states)| states.contains(&state[0])) {
            self.by_field[at] += 1;
        }
        let threads = words.nth(THREADS - 1).unwrap_or_default();
        match signed(threads) {
            Some(threads) => self.threads = self.threads.saturating_add(threads),
            None => {
                return Err(format!("num_threads is {}, which is not a number", quote(threads)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    #[test]
    fn states_and_threads() {
        let tree = Tree::case("processes/server");
        expect(
            &mut tree.input::<Processes>(""),
            1,
            &[
                "processes blocked=1i,zombies=1i,stopped=2i,running=1i,sleeping=2i,idle=1i,dead=0i,paging=0i,unknown=0i,total=8i,total_threads=15i 1",
            ],
        );
    }

    #[test]
    fn states_of_few_kernels() {
        let line = |name: &str, state: char| {
            format!("1 ({name}) {state} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 3 0 0\n")
        };
        let tree = Tree::of(&[
            ("proc/10/stat", &line("a", 'P')),
            ("proc/11/stat", &line("b", 'P')),
            ("proc/12/stat", &line("c", 'X')),
            ("proc/13/stat", &line("d", 'W')),
            ("proc/14/stat", &line("e", 'K')),
            ("proc/15/statm", "1"),
            ("proc/16", "a file"),
            ("proc/self/stat", &line("f", 'R')),
        ]);
        expect(
            &mut tree.input::<Processes>("use_sudo = false"),
            1,
            &[
                "processes blocked=0i,zombies=0i,stopped=0i,running=0i,sleeping=0i,idle=0i,dead=1i,paging=1i,unknown=0i,total=5i,total_threads=15i,parked=1i 1",
            ],
        );
    }

    #[test]
    fn a_malformed_process_costs_itself_alone() {
        let tree = Tree::of(&[("proc/1/stat", "1 (a) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 two 0\n")]);
        let mut input = tree.input::<Processes>("");
        let point = |sleeping: i64| {
            format!(
                "processes blocked=0i,zombies=0i,stopped=0i,running=0i,sleeping={sleeping}i,idle=0i,dead=0i,paging=0i,unknown=0i,total={sleeping}i,total_threads=0i 1"
            )
        };
        let error = "{}/proc/1/stat: num_threads is \"two\", which is not a number";
        expect_fault(&tree, &mut input, 1, &[&point(1)], error);
        tree.write("proc/1/stat", "1 (a");
        let error = "{}/proc/1/stat: no name in brackets in \"1 (a\"";
        expect_fault(&tree, &mut input, 1, &[&point(0)], error);
        tree.write("proc/1/stat", "1 (a)");
        let error = "{}/proc/1/stat: no state behind the name in \"1 (a)\"";
        expect_fault(&tree, &mut input, 1, &[&point(0)], error);
    }

    #[test]
    fn many_processes_and_none() {
        let tree = Tree::of(&[("proc/uptime", "1 2")]);
        let mut input = tree.input::<Processes>("");
        let total = |input: &mut headwater_plugin_api::testkit::Driven<_>| {
            let (collected, result): (headwater_plugin_api::testkit::Collected, _) =
                headwater_plugin_api::testkit::Driven::gather(input, 1);
            result.unwrap();
            let line = collected.points().remove(0);
            line.split(",total=").nth(1).unwrap().split('i').next().unwrap().to_owned()
        };
        assert_eq!(total(&mut input), "0");
        for pid in 1..=2000 {
            tree.write(&format!("proc/{pid}/stat"), "1 (a) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1\n");
        }
        assert_eq!(total(&mut input), "2000");
    }

    #[test]
    fn options_of_elsewhere() {
        let tree = Tree::case("processes/server");
        let input = tree.input::<Processes>("use_sudo = true");
        assert_eq!(input.host.logs.lock().unwrap().len(), 1);
        let error = tree.try_input::<Processes>("force_ps = true").err().unwrap();
        assert!(error.message().contains("nothing is run"), "{}", error.message());
        let tree = Tree::of(&[]);
        let error = "{}/proc: No such file or directory (os error 2)";
        expect_fault(&tree, &mut tree.input::<Processes>(""), 1, &[], error);
    }
}
