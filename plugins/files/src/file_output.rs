//! Writes to files and to the terminal.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use headwater_plugin_api::config::{self, Size};
use headwater_plugin_api::plugin::{Capabilities, Context, Error, Host, Output, Plugin};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use rotate::{RotatedFile, Rotation};

mod rotate;

headwater_plugin_api::choice! {
    /// How what is written is packed.
    pub enum Algorithm {
        /// Not at all.
        None = "",
        /// The same.
        Identity = "identity",
        /// The same.
        Plain = "none",
        /// One gzip member for each write; together they are one file for gunzip.
        Gzip = "gzip",
        /// One zlib stream for each write.
        Zlib = "zlib",
        /// Refused.
        Zstd = "zstd",
    }
}

headwater_plugin_api::config! {
    /// Writes to files and to the terminal, in any data format.
    pub struct FileOutputConfig {
        /// Where to write: paths, "stdout", "stderr". A file is made if it is missing, also while the
        /// agent runs; its folder is not.
        pub files: Vec<String> = vec!["stdout".into()],
        /// Whether a data format may make one text of many points. Either way a batch is written at
        /// once, so that formats of lines, such as influx, come out the same.
        pub use_batch_format: bool = false,
        /// After so long a file is set aside and a new one begun. 0: never.
        pub rotation_interval: config::Duration = config::Duration::ZERO,
        /// With so many bytes a file is set aside and a new one begun. 0: never.
        pub rotation_max_size: Size = Size::bytes(0),
        /// How many files that were set aside are kept; the oldest are deleted. -1: all.
        pub rotation_max_archives: i64 = 5,
        /// How what is written is packed: "gzip", "zlib", or "" for not at all.
        pub compression_algorithm: Algorithm = Algorithm::None,
        /// 1 (fast) to 9 (small); 0 and -1 leave the choice to the algorithm.
        pub compression_level: i32 = 0,
    }
}

/// The plugin.
pub struct FileOutput {
    config: FileOutputConfig,
    host: Host,
    targets: Vec<Target>,
    packed: Vec<u8>,
    /// What a failed write was of, so that its repetition goes on where it stopped.
    unfinished: Option<u64>,
}

/// One place to write to, and how far the write that failed came there.
struct Target {
    place: Place,
    written: usize,
}

enum Place {
    Stdout(std::io::Stdout),
    Stderr(std::io::Stderr),
    File(Box<RotatedFile>),
}

impl Plugin for FileOutput {
    type Config = FileOutputConfig;
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "Writes points to files and to the terminal.";
    const CAPABILITIES: Capabilities = Capabilities::DIRECT.and(Capabilities::SERIALIZED);

    fn new(config: FileOutputConfig, host: Host) -> Result<Self, Error> {
        if config.compression_algorithm == Algorithm::Zstd {
            return Err(Error::config(
                "compression_algorithm",
                "zstd needs a library that the agent does without; write \"gzip\"",
            ));
        }
        if !(-1..=9).contains(&config.compression_level) {
            return Err(Error::config(
                "compression_level",
                format!("{} is no level; there are 1 to 9, and 0", config.compression_level),
            ));
        }
        if config.rotation_max_archives < -1 {
            return Err(Error::config(
                "rotation_max_archives",
                format!("{} archives cannot be kept; -1 keeps all", config.rotation_max_archives),
            ));
        }
        let rotation = Rotation {
            interval: (!config.rotation_interval.is_zero())
                .then_some(config.rotation_interval.get()),
            max_size: (config.rotation_max_size.get() > 0)
                .then_some(config.rotation_max_size.get()),
            archives: usize::try_from(config.rotation_max_archives).ok(),
        };
        let names = match config.files.is_empty() {
            true => &["stdout".to_owned()][..],
            false => &config.files,
        };
        let mut targets: Vec<Target> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if name.is_empty() || names[..at].contains(name) {
                return Err(Error::config(
                    "files",
                    format!("\"{name}\" is empty or named twice; remove it"),
                ));
            }
            let place = match name.as_str() {
                "stdout" => Place::Stdout(std::io::stdout()),
                "stderr" => Place::Stderr(std::io::stderr()),
                path => Place::File(Box::new(RotatedFile::new(Path::new(path), rotation.clone()))),
            };
            targets.push(Target { place, written: 0 });
        }
        Ok(FileOutput { config, host, targets, packed: Vec::new(), unfinished: None })
    }

    fn connect(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        for target in &mut self.targets {
            if let Place::File(file) = &mut target.place {
                file.open(cx.now()).map_err(Error::not_connected)?;
            }
        }
        Ok(())
    }

    fn stop(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        for target in &mut self.targets {
            if let Place::File(file) = &mut target.place {
                file.close();
            }
        }
        Ok(())
    }
}

impl Output for FileOutput {
    fn write_bytes(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut packed = std::mem::take(&mut self.packed);
        let result = match self.pack(bytes, &mut packed) {
            Ok(true) => self.write_all(cx, &packed),
            Ok(false) => self.write_all(cx, bytes),
            Err(error) => Err(Error::failed(format!("points cannot be packed: {error}"))),
        };
        packed.clear();
        self.packed = packed;
        result
    }
}

impl FileOutput {
    /// Whether the bytes were packed into `out`.
    fn pack(&self, bytes: &[u8], out: &mut Vec<u8>) -> std::io::Result<bool> {
        use std::io::Write as _;
        let level = match u32::try_from(self.config.compression_level) {
            Ok(0) | Err(_) => Compression::default(),
            Ok(level) => Compression::new(level),
        };
        match self.config.compression_algorithm {
            Algorithm::Gzip => {
                let mut packer = GzEncoder::new(out, level);
                packer.write_all(bytes)?;
                packer.finish()?;
            }
            Algorithm::Zlib => {
                let mut packer = ZlibEncoder::new(out, level);
                packer.write_all(bytes)?;
                packer.finish()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Writes to every place. If that fails and the same bytes come again, they go only where they
    /// are missing.
    fn write_all(&mut self, cx: &Context<'_>, bytes: &[u8]) -> Result<(), Error> {
        if let Some(unfinished) = self.unfinished.take()
            && unfinished != fingerprint(bytes)
        {
            self.targets.iter_mut().for_each(|target| target.written = 0);
        }
        let mut failure = None;
        for target in &mut self.targets {
            let Some(rest) = bytes.get(target.written..).filter(|rest| !rest.is_empty()) else {
                continue;
            };
            let result = match &mut target.place {
                Place::Stdout(stdout) => put(cx, stdout.as_fd(), rest, &mut target.written)
                    .map_err(|error| format!("cannot write to stdout: {error}")),
                Place::Stderr(stderr) => put(cx, stderr.as_fd(), rest, &mut target.written)
                    .map_err(|error| format!("cannot write to stderr: {error}")),
                Place::File(file) => file.write(cx, rest, &mut target.written, &self.host),
            };
            if let Err(error) = result {
                failure.get_or_insert(error);
            }
        }
        match failure {
            None => {
                self.targets.iter_mut().for_each(|target| target.written = 0);
                Ok(())
            }
            Some(error) => {
                self.unfinished = Some(fingerprint(bytes));
                Err(Error::failed(error))
            }
        }
    }
}

/// Tells texts apart.
fn fingerprint(bytes: &[u8]) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes)
}

/// Writes all of the bytes, counting what is done, within the time there is.
fn put(
    cx: &Context<'_>,
    to: BorrowedFd<'_>,
    mut bytes: &[u8],
    written: &mut usize,
) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(0) => return Err(std::io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                *written += n;
            }
            Err(Errno::INTR) => {}
            // A terminal or pipe that somebody made non-blocking.
            Err(Errno::AGAIN) => wait_for_room(cx, to)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait_for_room(cx: &Context<'_>, to: BorrowedFd<'_>) -> std::io::Result<()> {
    const AT_MOST: Duration = Duration::from_secs(5);
    let patience = cx.remaining().unwrap_or(AT_MOST).min(AT_MOST);
    let timeout = Timespec::try_from(patience).map_err(std::io::Error::other)?;
    let ready =
        rustix::event::poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], Some(&timeout))?;
    match ready {
        0 => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "nobody reads the other end")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
