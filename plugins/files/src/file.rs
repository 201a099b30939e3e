//! Reads whole files at each interval.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use headwater_plugin_api::config::Size;
use headwater_plugin_api::plugin::{
    Capabilities, Context, Error, Framing, Gather, Host, Input, Plugin,
};
use rustix::fs::OFlags;

use crate::encoding::{Decoder, Encoding};
use crate::paths::{self, Pattern};

headwater_plugin_api::config! {
    /// Reads whole files at each interval, in any data format.
    pub struct FileConfig {
        /// Paths and patterns: "*" and "?" stay within a folder, "**" goes through folders. A pattern
        /// without a file is an error of the gather.
        pub files: Vec<String> = Vec::new(),
        /// How characters are written: "utf-8" (wrong bytes become U+FFFD), "utf-16le", "utf-16be", or
        /// "" to take the bytes as they are.
        pub character_encoding: Encoding = Encoding::None,
        /// The tag that takes the file's name. Empty: none.
        pub file_tag: String = String::new(),
        /// The tag that takes the file's whole path. Empty: none.
        pub file_path_tag: String = String::new(),
        /// The largest file to read; a larger one is an error of the gather.
        pub max_file_bytes: Size = Size::mib(64),
    }
}

/// Memory kept between gathers.
const KEEP: usize = 1 << 20;

/// The plugin.
pub struct File {
    config: FileConfig,
    patterns: Vec<Pattern>,
    raw: Vec<u8>,
    text: Vec<u8>,
}

impl Plugin for File {
    type Config = FileConfig;
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "Reads whole files at each interval, in any data format.";
    const CAPABILITIES: Capabilities = Capabilities::PARSED;

    fn new(config: FileConfig, _host: Host) -> Result<Self, Error> {
        let patterns = paths::patterns("files", &config.files)?;
        Ok(File { config, patterns, raw: Vec::new(), text: Vec::new() })
    }
}

impl Input for File {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut errors = Vec::new();
        let mut files = BTreeSet::new();
        for pattern in &self.patterns {
            let before = files.len();
            if let Err(error) = pattern.find(&mut files, &mut BTreeSet::new()) {
                errors.push(error.message().to_owned());
            } else if files.len() == before && !files.iter().any(|file| pattern.matches(file)) {
                errors.push(match pattern.as_plain() {
                    Some(path) if path.is_dir() => {
                        format!("{} is a folder; write {}/*", path.display(), path.display())
                    }
                    Some(path) => format!("there is no file {}", path.display()),
                    None => format!("no file matches \"{}\"", pattern.as_str()),
                });
            }
        }
        for path in &files {
            if cx.is_cancelled() {
                errors.push("the time to gather is over before all files were read".to_owned());
                break;
            }
            if let Err(error) = self.read(path, out) {
                errors.push(error);
            }
        }
        self.raw.clear();
        self.text.clear();
        self.raw.shrink_to(KEEP);
        self.text.shrink_to(KEEP);
        match errors.len() {
            0 => Ok(()),
            1 => Err(Error::failed(errors.remove(0))),
            n => Err(Error::failed(format!("{} (and {} other errors)", errors[0], n - 1))),
        }
    }
}

impl File {
    fn read(&mut self, path: &Path, out: &mut Gather<'_>) -> Result<(), String> {
        let failed =
            |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", path.display());
        // A pipe must not keep the gather waiting for a writer.
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(|error| failed(&error))?;
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        if !metadata.is_file() {
            return Err(failed(&"it is no regular file"));
        }
        let max = self.config.max_file_bytes.get();
        self.raw.clear();
        // What the file says it has may be wrong: /proc says 0.
        let read = file.take(max.saturating_add(1)).read_to_end(&mut self.raw);
        read.map_err(|error| failed(&error))?;
        if self.raw.len() as u64 > max {
            return Err(failed(&format!(
                "it has more than the {max} bytes of max_file_bytes; raise that, or use the input \
                 tail"
            )));
        }
        let mut decoder = Decoder::new(self.config.character_encoding);
        let text = match decoder.is_identity() {
            true => &self.raw,
            false => {
                self.text.clear();
                decoder.decode(&self.raw, &mut self.text);
                decoder.finish(&mut self.text);
                &self.text
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let whole = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        let whole = whole.to_string_lossy();
        let tags = [(&*self.config.file_tag, &*name), (&*self.config.file_path_tag, &*whole)];
        let tags: Vec<(&str, &str)> = tags.into_iter().filter(|(key, _)| !key.is_empty()).collect();
        out.bytes(Framing::Whole, text, &tags).map_err(|error| failed(&error.message()))
    }
}

#[cfg(test)]
mod tests {
    use headwater_plugin_api::testkit;

    use super::*;
    use crate::paths::tests::Folder;

    /// The bytes with their tags, and the error.
    type Gathered = (Vec<(Vec<u8>, Vec<(String, String)>)>, Option<String>);

    fn gather(toml: &str) -> Gathered {
        let mut driven = testkit::input::<File>(toml).unwrap();
        let (collected, result) = driven.gather(0);
        (collected.bytes, result.err().map(|error| error.message().to_owned()))
    }

    #[test]
    fn files_are_read_whole_and_again() {
        let folder = Folder::new("file");
        let path = folder.write("a.out", "m a=1\nm a=2\n");
        let mut driven =
            testkit::input::<File>(&format!("files = ['{}']", path.display())).unwrap();
        for _ in 0..2 {
            let (collected, result) = driven.gather(0);
            result.unwrap();
            assert_eq!(collected.bytes, [(b"m a=1\nm a=2\n".to_vec(), vec![])]);
        }
    }

    #[test]
    fn tags_tell_the_file() {
        let folder = Folder::new("file-tags");
        folder.write("b.out", "b");
        folder.write("a.out", "a");
        let (bytes, error) = gather(&format!(
            "files = ['{}']\nfile_tag = 'name'\nfile_path_tag = 'path'",
            folder.path("*.out").display()
        ));
        assert_eq!(error, None);
        let tag = |key: &str, value: String| (key.to_owned(), value);
        let expected = ["a", "b"].map(|name| {
            let path = folder.path(&format!("{name}.out")).display().to_string();
            let tags = vec![tag("name", format!("{name}.out")), tag("path", path)];
            (name.as_bytes().to_vec(), tags)
        });
        assert_eq!(bytes, expected);
    }

    #[test]
    fn one_bad_file_does_not_cost_the_others() {
        let folder = Folder::new("file-bad");
        let good = folder.write("good", "m a=1");
        let large = folder.write("large", [b'x'; 101]);
        let (bytes, error) = gather(&format!(
            "files = ['{}', '{}', '{}', '{}']\nmax_file_bytes = 100",
            folder.path("none").display(),
            large.display(),
            folder.path("*.none").display(),
            good.display(),
        ));
        assert_eq!(bytes.len(), 1);
        let error = error.unwrap();
        assert!(error.contains("there is no file") && error.contains("2 other errors"), "{error}");

        let error = |file: &Path| {
            let toml = format!("files = ['{}']\nmax_file_bytes = 100", file.display());
            gather(&toml).1.unwrap_or_default()
        };
        assert!(error(&large).contains("max_file_bytes"), "{}", error(&large));
        assert!(error(&folder.path("*.none")).contains("no file matches"));
        assert!(error(&folder.0).contains("is a folder"));
        std::fs::write(&large, [b'x'; 100]).unwrap();
        assert_eq!(error(&large), "");
    }

    #[test]
    fn a_pipe_does_not_hold_the_gather_up() {
        let folder = Folder::new("file-pipe");
        let path = folder.path("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let (_, error) = gather(&format!("files = ['{}']", path.display()));
        assert!(error.unwrap().contains("no regular file"));
    }

    #[test]
    fn other_encodings_become_utf8() {
        let folder = Folder::new("file-encoding");
        let text: Vec<u8> = "\u{feff}m t=\"ä\"".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let path = folder.write("a", text);
        let (bytes, error) =
            gather(&format!("files = ['{}']\ncharacter_encoding = 'utf-16le'", path.display()));
        assert_eq!(error, None);
        assert_eq!(bytes[0].0, "m t=\"ä\"".as_bytes());
        assert!(testkit::input::<File>("files = ['a']\ncharacter_encoding = 'latin1'").is_err());
        assert!(testkit::input::<File>("").is_err());
    }
}
