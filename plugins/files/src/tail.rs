//! Follows files as they are written, through rotation, truncation and restarts.
//!
//! Positions count what was delivered, not what was read: after a restart nothing is missing, and at
//! most what was on its way comes twice. A file that was renamed meanwhile is found in its folder and
//! read to its end first. Only if a path was rotated twice while the agent was away, nothing tells
//! which of the files in between was its.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_plugin_api::plugin::{
    Capabilities, Context, Error, Framing, Host, Intake, Plugin, Read, ReadBuffer, ServiceInput,
    Settlement, Source, SourceSpec,
};
use rustix::fs::OFlags;

use crate::encoding::Encoding;
use crate::paths::{self, Pattern};
use multiline::MultilineConfig;
use shared::{Beginning, Options, Shared};

mod follow;
mod ledger;
mod lines;
mod multiline;
mod shared;

/// How often positions are saved at most, in nanoseconds.
const SAVE_NS: i64 = 1_000_000_000;

headwater_plugin_api::choice! {
    /// Where reading begins.
    pub enum Offset {
        /// At the start, whatever was saved.
        Beginning = "beginning",
        /// At the end, whatever was saved.
        End = "end",
        /// Where it was saved, else at the start.
        SavedOrBeginning = "saved-or-beginning",
        /// Where it was saved, else at the end.
        SavedOrEnd = "saved-or-end",
    }
}

headwater_plugin_api::choice! {
    /// How changes are noticed.
    pub enum WatchMethod {
        /// The kernel tells of them.
        Inotify = "inotify",
        /// Files are looked at four times a second.
        Poll = "poll",
    }
}

headwater_plugin_api::choice! {
    /// What is done to lines first.
    pub enum Filter {
        /// Takes escape sequences for colors out.
        AnsiColor = "ansi_color",
    }
}

headwater_plugin_api::config! {
    /// Follows files as they are written, in any data format.
    pub struct TailConfig {
        /// Paths and patterns: "*" and "?" stay within a folder, "**" goes through folders.
        pub files: Vec<String> = Vec::new(),
        /// Where reading begins in files that are there at the start: "beginning", "end",
        /// "saved-or-beginning" or "saved-or-end". Files that come later are read from their start.
        pub initial_read_offset: Offset = Offset::SavedOrEnd,
        /// Whether the files are named pipes. They are read as they are.
        pub pipe: bool = false,
        /// How changes are noticed: "inotify" or "poll".
        pub watch_method: WatchMethod = WatchMethod::Inotify,
        /// Lines of a file that may have been read and not delivered; then reading waits. 0: as many
        /// as the outputs' buffers and the agent's memory_limit take.
        pub max_undelivered_lines: usize = 0,
        /// How characters are written: "utf-8" (wrong bytes become U+FFFD), "utf-16le", "utf-16be", or
        /// "" to take the bytes as they are.
        pub character_encoding: Encoding = Encoding::None,
        /// The tag that takes the path. Empty: none.
        pub path_tag: String = "path".into(),
        /// What is done to lines first: "ansi_color" takes escape sequences out.
        pub filters: Vec<Filter> = Vec::new(),
        /// Puts several lines together to one event.
        pub multiline: MultilineConfig = MultilineConfig::default(),
    }
    refused {
        "from_beginning" = "write initial_read_offset = \"saved-or-beginning\" for true, and leave it \
                            out for false",
    }
}

/// The plugin.
pub struct Tail {
    config: TailConfig,
    patterns: Vec<Pattern>,
    host: Host,
    options: Options,
    running: Option<Running>,
    saved_ns: i64,
}

struct Running {
    intake: Intake,
    /// `None` for pipes.
    shared: Option<Arc<Shared>>,
    watches: Vec<u64>,
}

/// Opens a file for reading; a pipe without a writer does not hold it up.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

impl Plugin for Tail {
    type Config = TailConfig;
    const NAME: &'static str = "tail";
    const SUMMARY: &'static str = "Follows files as they are written, in any data format.";
    const CAPABILITIES: Capabilities = Capabilities::PARSED;

    fn new(config: TailConfig, host: Host) -> Result<Self, Error> {
        let patterns = paths::patterns("files", &config.files)?;
        let assembler = config.multiline.assembler()?;
        if config.pipe {
            let plain = [
                (config.character_encoding != Encoding::None, "character_encoding"),
                (!config.filters.is_empty(), "filters"),
                (assembler.is_some(), "multiline"),
            ];
            if let Some((_, key)) = plain.into_iter().find(|(set, _)| *set) {
                return Err(Error::config(
                    key,
                    format!("pipes are read as they are; remove {key}, or let their writer do it"),
                ));
            }
            if let Some(pattern) = patterns.iter().find(|pattern| pattern.as_plain().is_none()) {
                return Err(Error::config(
                    "files",
                    format!(
                        "pipes are named one by one, and \"{}\" is a pattern",
                        pattern.as_str()
                    ),
                ));
            }
        }
        let beginning = match config.initial_read_offset {
            Offset::Beginning => Beginning { saved: false, end: false },
            Offset::End => Beginning { saved: false, end: true },
            Offset::SavedOrBeginning => Beginning { saved: true, end: false },
            Offset::SavedOrEnd => Beginning { saved: true, end: true },
        };
        let event_timeout = match config.multiline.timeout.is_zero() {
            true => MultilineConfig::default().timeout,
            false => config.multiline.timeout,
        };
        let options = Options {
            beginning,
            encoding: config.character_encoding,
            strips_ansi: config.filters.contains(&Filter::AnsiColor),
            assembler,
            event_timeout: event_timeout.get(),
            max_lines: config.max_undelivered_lines,
            path_tag: config.path_tag.clone(),
            polls: config.watch_method == WatchMethod::Poll,
        };
        Ok(Tail { config, patterns, host, options, running: None, saved_ns: 0 })
    }

    fn pause(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        if let Some(running) = &mut self.running {
            for watch in running.watches.drain(..) {
                running.intake.close(watch);
            }
            if let Some(shared) = &running.shared {
                shared.close();
            }
        }
        Ok(())
    }

    fn stop(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        self.pause(cx)?;
        if let Some(Running { shared: Some(shared), .. }) = self.running.take() {
            shared.save();
        }
        Ok(())
    }
}

impl ServiceInput for Tail {
    fn start(&mut self, _cx: &Context<'_>, intake: Intake) -> Result<(), Error> {
        let mut running = Running { intake: intake.clone(), shared: None, watches: Vec::new() };
        if self.config.pipe {
            self.open_pipes(&intake, &mut running)?;
            self.running = Some(running);
            return Ok(());
        }
        let shared =
            Shared::new(self.host.clone(), self.options.clone(), self.patterns.clone(), intake)?;
        let (changes, ticks, waits) =
            (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
        if let Some(inotify) = shared.inotify() {
            running.watch(inotify.as_raw_fd(), move |_| changes.changes())?;
        }
        running.watch(shared.timer().as_raw_fd(), move |_| {
            ticks.tick();
            Ok(())
        })?;
        running.watch(shared.wait_timer().as_raw_fd(), move |_| {
            waits.wait_tick();
            Ok(())
        })?;
        shared.begin();
        running.shared = Some(shared);
        self.running = Some(running);
        Ok(())
    }

    fn settled(&mut self, cx: &Context<'_>, settlements: &[Settlement]) {
        let Some(Running { shared: Some(shared), .. }) = &self.running else { return };
        shared.settled(settlements);
        if cx.now().saturating_sub(self.saved_ns) >= SAVE_NS {
            self.saved_ns = cx.now();
            shared.save();
        }
    }
}

impl Running {
    fn watch(
        &mut self,
        descriptor: i32,
        ready: impl FnMut(&Context<'_>) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let number = self.intake.watch(descriptor, ready);
        let number =
            number.ok_or_else(|| Error::not_connected("the agent has no room for a watch"))?;
        self.watches.push(number);
        Ok(())
    }
}

impl Tail {
    fn open_pipes(&self, intake: &Intake, running: &mut Running) -> Result<(), Error> {
        for path in self.patterns.iter().filter_map(Pattern::as_plain) {
            let pipe = Pipe::open(path)?;
            let name = path.to_string_lossy();
            let tags = [(self.config.path_tag.as_str(), &*name)];
            let spec = SourceSpec {
                name: &name,
                framing: Framing::Lines,
                descriptor: Some(pipe.file.as_raw_fd()),
                start: 0,
                tags: if self.config.path_tag.is_empty() { &[] } else { &tags },
                finite: false,
                acknowledged: false,
                lossy: false,
            };
            let source = intake.open(&spec, pipe);
            running.watches.extend(source);
        }
        Ok(())
    }
}

/// The source of a named pipe.
struct Pipe {
    file: File,
    path: PathBuf,
}

impl Pipe {
    fn open(path: &Path) -> Result<Pipe, Error> {
        use std::os::unix::fs::FileTypeExt;
        let failed = |error: &dyn std::fmt::Display| {
            Error::not_connected(format!("{} cannot be read: {error}", path.display()))
        };
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        // Open for writing too, the pipe does not end when a writer leaves.
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).write(true).custom_flags(flags).open(path);
        let file = file.map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        match metadata.file_type().is_fifo() {
            true => Ok(Pipe { file, path: path.to_owned() }),
            false => Err(failed(&"it is no pipe; remove pipe = true")),
        }
    }
}

impl Source for Pipe {
    fn read(&mut self, _cx: &Context<'_>, buffer: &mut ReadBuffer<'_>) -> Result<Read, Error> {
        loop {
            let result = io::Read::read(&mut self.file, buffer.free());
            match result {
                Ok(0) => return Ok(Read::End),
                Ok(read) => {
                    buffer.advance(read);
                    return Ok(Read::Some);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Read::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let path = self.path.display();
                    return Err(Error::failed(format!("{path} cannot be read: {error}")));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
