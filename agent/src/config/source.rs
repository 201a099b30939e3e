//! Which files make up the configuration, and what they hold.

use std::collections::HashSet;
use std::fmt::Display;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostics::{Diagnostics, Place};
use super::variables::{self, Expanded};
use super::{Environment, LoadOptions};

/// What one reading of the configuration takes at most. What goes beyond is an error, never left out in silence.
struct Limits {
    /// The bytes of one file, and of all files together.
    file_bytes: u64,
    bytes: u64,
    files: usize,
    /// Files and folders of any name that stand in the searched folders.
    entries: usize,
    /// Folders within folders below `--config-directory`.
    depth: usize,
}

const LIMITS: Limits =
    Limits { file_bytes: 16 << 20, bytes: 64 << 20, files: 10_000, entries: 100_000, depth: 16 };

/// One file's text, with what is needed to say where in the file a byte of the parsed text lies. It may
/// hold secrets, and so has no `Debug`.
pub struct SourceFile {
    name: Arc<str>,
    order: usize,
    original: String,
    /// Without `--non-strict-env-handling`, what is parsed is the original.
    expanded: Option<Expanded>,
    line_starts: Vec<usize>,
}

impl SourceFile {
    pub fn new(name: &str, order: usize, original: String) -> Self {
        let original = match original.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => original,
        };
        let breaks = original.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), order, original, expanded: None, line_starts }
    }

    /// The file's place among all files.
    pub fn order(&self) -> usize {
        self.order
    }

    /// The text that is parsed, without a byte order mark.
    pub fn text(&self) -> &str {
        self.expanded.as_ref().map_or(&self.original, |expanded| &expanded.text)
    }

    /// Replaces variables in the text before it is parsed. If that fails, there is no text worth
    /// parsing.
    pub fn expand(&mut self, environment: &dyn Environment, diagnostics: &mut Diagnostics) -> bool {
        let (expanded, errors) = variables::expand_document(&self.original, environment);
        let clean = errors.is_empty();
        for error in errors {
            diagnostics.error(self, error.span.start, error.message, None);
        }
        self.expanded = Some(expanded);
        clean
    }

    /// Where byte `offset` of the parsed text stands in the file.
    pub fn place(&self, offset: usize) -> Place {
        let offset = self.expanded.as_ref().map_or(offset, |expanded| expanded.original(offset));
        let mut offset = offset.min(self.original.len());
        while !self.original.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_starts.partition_point(|&start| start <= offset);
        let start = self.line_starts[line - 1];
        let column = self.original[start..offset].chars().count() + 1;
        Place { file: self.name.clone(), line, column }
    }
}

/// Reads all files that the options name, or the default ones. A file that cannot be read is an
/// error, and the others are read nevertheless, so that one run tells all.
pub fn read_all(
    options: &LoadOptions,
    environment: &dyn Environment,
    diagnostics: &mut Diagnostics,
) -> Vec<SourceFile> {
    read_within(&LIMITS, options, environment, diagnostics)
}

fn read_within(
    limits: &Limits,
    options: &LoadOptions,
    environment: &dyn Environment,
    diagnostics: &mut Diagnostics,
) -> Vec<SourceFile> {
    let mut search = Search::new(limits, diagnostics);
    for path in &options.files {
        search.add_named(path);
    }
    for folder in &options.directories {
        if folder.is_dir() {
            search.add_folders(folder, 0);
        } else {
            search.error(folder, "it is not a folder");
        }
    }
    let named = options.files.is_empty() && options.directories.is_empty();
    if named && options.texts.is_empty() {
        search.add_defaults(environment);
    }
    let paths = search.paths;

    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut files = Vec::new();
    let given = options.texts.iter().enumerate();
    files.extend(given.map(|(order, (name, text))| SourceFile::new(name, order, text.clone())));
    for (order, path) in paths.into_iter().enumerate() {
        let identity = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if !seen.insert(identity) {
            diagnostics.warning_nowhere(format!(
                "{}: the file is named more than once and is read once",
                path.display()
            ));
            continue;
        }
        if seen.len() > limits.files {
            diagnostics.error_nowhere(
                format!("{}: there are more than {} files", path.display(), limits.files),
                Some("put several tables into one file".into()),
            );
            break;
        }
        match read(&path, limits.file_bytes) {
            Ok(text) => {
                bytes += text.len() as u64;
                if bytes > limits.bytes {
                    diagnostics.error_nowhere(
                        format!(
                            "{}: with this file, the files are larger than {} bytes together",
                            path.display(),
                            limits.bytes
                        ),
                        None,
                    );
                    break;
                }
                let mut file = SourceFile::new(&path.to_string_lossy(), order, text);
                if !options.non_strict_env || file.expand(environment, diagnostics) {
                    files.push(file);
                }
            }
            Err(message) => diagnostics.error_nowhere(format!("{}{message}", path.display()), None),
        }
    }
    files
}

/// Collects the paths of files.
struct Search<'a> {
    limits: &'a Limits,
    diagnostics: &'a mut Diagnostics,
    paths: Vec<PathBuf>,
    /// The folders that were searched with all that is in them.
    folders: HashSet<PathBuf>,
    entries: usize,
}

impl<'a> Search<'a> {
    fn new(limits: &'a Limits, diagnostics: &'a mut Diagnostics) -> Self {
        Self { limits, diagnostics, paths: Vec::new(), folders: HashSet::new(), entries: 0 }
    }

    fn error(&mut self, path: &Path, what: impl Display) {
        self.diagnostics.error_nowhere(format!("{}: {what}", path.display()), None);
    }

    fn add_named(&mut self, path: &Path) {
        let text = path.to_string_lossy();
        if text.starts_with("http://") || text.starts_with("https://") {
            self.diagnostics.error_nowhere(
                format!("{text}: configuration is not read from URLs yet"),
                Some("download the file and name its path".into()),
            );
        } else if path.is_dir() {
            self.add_folder(path, None);
        } else {
            self.paths.push(path.to_owned());
        }
    }

    fn add_defaults(&mut self, environment: &dyn Environment) {
        let system = environment.system_folder();
        let mut tried = Vec::new();
        if let Some(path) = environment.var("HEADWATER_CONFIG_PATH").filter(|path| !path.is_empty())
        {
            let path = PathBuf::from(path);
            if path.exists() {
                return self.add_named(&path);
            }
            let message =
                format!("HEADWATER_CONFIG_PATH is {}, which does not exist", path.display());
            self.diagnostics.warning_nowhere(message);
        }
        tried.push("$HEADWATER_CONFIG_PATH".to_owned());
        if let Some(home) = environment.home() {
            for name in ["headwater.toml", "headwater.conf"] {
                let path = home.join(".headwater").join(name);
                if path.is_file() {
                    return self.paths.push(path);
                }
                tried.push(path.display().to_string());
            }
        }
        let main = ["headwater.toml", "headwater.conf"].map(|name| system.join(name));
        self.paths.extend(main.iter().find(|path| path.is_file()).cloned());
        tried.extend(main.iter().map(|path| path.display().to_string()));
        let folder = system.join("headwater.d");
        if folder.is_dir() {
            self.add_folders(&folder, 0);
        }
        tried.push(folder.join("*.toml").display().to_string());
        if self.paths.is_empty() {
            self.diagnostics.error_nowhere(
                format!("there is no configuration; looked for {}", tried.join(", ")),
                Some("name a file or folder with --config".into()),
            );
        }
    }

    /// Adds a folder's files, and those of the folders in it.
    fn add_folders(&mut self, folder: &Path, depth: usize) {
        if depth > self.limits.depth {
            let what = format!("folders are nested more than {} deep", self.limits.depth);
            return self.error(folder, what);
        }
        let place = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        // Links may make a folder a part of itself.
        if self.folders.insert(place) {
            self.add_folder(folder, Some(depth));
        }
    }

    /// Adds a folder's `*.toml` and `*.conf` by name. With a depth, its folders too; hidden files and
    /// folders never, for they are editors' and Kubernetes' own.
    fn add_folder(&mut self, folder: &Path, depth: Option<usize>) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                return self.error(folder, format_args!("the folder cannot be read: {error}"));
            }
        };
        let mut found = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) if entry.file_name().as_encoded_bytes().starts_with(b".") => {}
                Ok(entry) => found.push(entry.path()),
                Err(error) => {
                    return self.error(folder, format_args!("the folder cannot be read: {error}"));
                }
            }
            if self.entries == self.limits.entries {
                let what = format!(
                    "with this folder, more than {} files and folders would be searched",
                    self.limits.entries
                );
                return self.error(folder, what);
            }
            self.entries += 1;
        }
        found.sort();
        for path in found {
            let kind = fs::metadata(&path);
            let is_file = kind.as_ref().is_ok_and(fs::Metadata::is_file);
            if kind.as_ref().is_ok_and(fs::Metadata::is_dir) {
                if let Some(depth) = depth {
                    self.add_folders(&path, depth + 1);
                }
            } else if path.extension().is_some_and(|end| end == "toml" || end == "conf") {
                // Reading a pipe would wait; the reading of a link to nowhere tells what is wrong.
                if is_file || kind.is_err() {
                    self.paths.push(path);
                } else {
                    self.error(&path, "it is neither a file nor a folder");
                }
            }
        }
    }
}

/// The text of a file; an error begins with what stands behind the file's name.
fn read(path: &Path, bytes_max: u64) -> Result<String, String> {
    let file =
        fs::File::open(path).map_err(|error| format!(": the file cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!(": the file cannot be read: {error}"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!(": the file is larger than {bytes_max} bytes"));
    }
    decode(bytes)
}

fn decode(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(": the file is in UTF-16; save it as UTF-8".into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&valid[start..]).chars().count() + 1;
        let byte = error.as_bytes().get(valid.len()).copied().unwrap_or_default();
        format!(":{line}:{column}: the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Folder, Vars};
    use super::*;

    fn names(options: &LoadOptions, environment: &dyn Environment) -> (Vec<String>, Vec<String>) {
        let mut diagnostics = Diagnostics::default();
        let files = read_all(options, environment, &mut diagnostics);
        let short =
            |name: &str| Path::new(name).file_name().unwrap().to_string_lossy().into_owned();
        let names = files.iter().map(|file| short(&file.name)).collect();
        (names, diagnostics.finish().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn places_count_characters() {
        let file = SourceFile::new("f", 0, "\u{feff}a = 'ä'  b\nc\n".into());
        let place = |offset| {
            let place = file.place(offset);
            (place.line, place.column)
        };
        assert!(file.text().starts_with('a'));
        assert_eq!(place(0), (1, 1));
        assert_eq!(place(file.text().find('b').unwrap()), (1, 10));
        assert_eq!(place(6), (1, 6));
        assert_eq!(place(file.text().find('c').unwrap()), (2, 1));
        assert_eq!(place(10_000), (3, 1));
    }

    #[test]
    fn folders_in_order() {
        let folder = Folder::new("folders_in_order");
        for name in ["b.toml", "a.conf", "c.txt", ".hidden.toml", "sub/d.toml", "..data/e.toml"] {
            folder.write(name, "");
        }
        let named = LoadOptions { files: vec![folder.path().into()], ..LoadOptions::default() };
        assert_eq!(names(&named, &Vars(&[])).0, ["a.conf", "b.toml"]);
        let recursive =
            LoadOptions { directories: vec![folder.path().into()], ..LoadOptions::default() };
        assert_eq!(names(&recursive, &Vars(&[])).0, ["a.conf", "b.toml", "d.toml"]);
        let both = LoadOptions {
            files: vec![folder.path().join("b.toml"), folder.path().join("c.txt")],
            directories: vec![folder.path().into()],
            ..LoadOptions::default()
        };
        let (found, said) = names(&both, &Vars(&[]));
        assert_eq!(found, ["b.toml", "c.txt", "a.conf", "d.toml"]);
        assert!(said[0].contains("b.toml: the file is named more than once"), "{said:?}");
    }

    #[test]
    fn defaults_in_order() {
        struct Host(PathBuf, Option<PathBuf>);
        impl Environment for Host {
            fn var(&self, name: &str) -> Option<String> {
                let path = self.1.as_ref().filter(|_| name == "HEADWATER_CONFIG_PATH")?;
                Some(path.to_string_lossy().into_owned())
            }
            fn home(&self) -> Option<PathBuf> {
                Some(self.0.join("home"))
            }
            fn system_folder(&self) -> PathBuf {
                self.0.join("etc")
            }
        }
        let folder = Folder::new("defaults_in_order");
        let options = LoadOptions::default();
        let root = folder.path().to_owned();
        let host = Host(root.clone(), None);
        let (found, said) = names(&options, &host);
        assert!(found.is_empty());
        assert!(
            said[0].contains("there is no configuration; looked for $HEADWATER_CONFIG_PATH"),
            "{said:?}"
        );
        folder.write("etc/headwater.d/x/two.conf", "");
        folder.write("etc/headwater.d/one.toml", "");
        assert_eq!(names(&options, &host).0, ["one.toml", "two.conf"]);
        folder.write("etc/headwater.conf", "");
        assert_eq!(names(&options, &host).0, ["headwater.conf", "one.toml", "two.conf"]);
        folder.write("etc/headwater.toml", "");
        assert_eq!(names(&options, &host).0, ["headwater.toml", "one.toml", "two.conf"]);
        folder.write("home/.headwater/headwater.conf", "");
        assert_eq!(names(&options, &host).0, ["headwater.conf"]);
        folder.write("mine.toml", "");
        let named = Host(root.clone(), Some(root.join("mine.toml")));
        assert_eq!(names(&options, &named).0, ["mine.toml"]);
        let (found, said) = names(&options, &Host(root.clone(), Some(root.join("gone.toml"))));
        assert_eq!(found, ["headwater.conf"]);
        assert!(said[0].contains("gone.toml, which does not exist"), "{said:?}");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let folder = Folder::new("what_cannot_be_read_is_said");
        folder.write_bytes("utf16.toml", b"\xff\xfea\0");
        folder.write_bytes("latin1.toml", b"a = 1\nb = \"\xc3\xa4 gr\xfc\xdfe\"\n");
        let files =
            ["utf16.toml", "latin1.toml", "missing.toml"].map(|name| folder.path().join(name));
        let options = LoadOptions {
            files: files.into_iter().chain(["https://host/x".into()]).collect(),
            directories: vec![folder.path().join("nowhere")],
            ..LoadOptions::default()
        };
        let (_, said) = names(&options, &Vars(&[]));
        let all = said.join("\n");
        for part in [
            "utf16.toml: the file is in UTF-16",
            "latin1.toml:2:10: the byte 0xfc is not UTF-8",
            "missing.toml: the file cannot be read",
            "https://host/x: configuration is not read from URLs yet",
            "nowhere: it is not a folder",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }

    /// What is said of a folder within these limits.
    fn said_within(limits: &Limits, folder: &Path) -> Vec<String> {
        let options = LoadOptions { directories: vec![folder.into()], ..LoadOptions::default() };
        let mut diagnostics = Diagnostics::default();
        read_within(limits, &options, &Vars(&[]), &mut diagnostics);
        diagnostics.finish().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_limit_is_kept_and_said() {
        let folder = Folder::new("each_limit_is_kept_and_said");
        folder.write("a.toml", "# 45678");
        folder.write("b.toml", "# 4567");
        folder.write("one/two/c.conf", "#");
        folder.write("one/two/d.txt", "not read");
        // As much as there is: 14 bytes in 3 files, 6 entries, and 2 folders within folders.
        let exact = || Limits { file_bytes: 7, bytes: 14, files: 3, entries: 6, depth: 2 };
        assert_eq!(said_within(&exact(), folder.path()), [""; 0]);
        let check = |limits: Limits, file: &str, what: &str| {
            let place = folder.path().join(file);
            let expected = format!("error: {}: {what}", place.display());
            assert_eq!(said_within(&limits, folder.path()), [expected], "{file}");
        };
        check(Limits { file_bytes: 6, ..exact() }, "a.toml", "the file is larger than 6 bytes");
        check(
            Limits { bytes: 13, ..exact() },
            "one/two/c.conf",
            "with this file, the files are larger than 13 bytes together",
        );
        check(
            Limits { files: 2, ..exact() },
            "one/two/c.conf",
            "there are more than 2 files\n  help: put several tables into one file",
        );
        check(
            Limits { entries: 5, ..exact() },
            "one/two",
            "with this folder, more than 5 files and folders would be searched",
        );
        check(Limits { depth: 1, ..exact() }, "one/two", "folders are nested more than 1 deep");
    }

    #[test]
    fn a_file_at_the_limit_is_read() {
        let folder = Folder::new("a_file_at_the_limit_is_read");
        let whole = "#".repeat(LIMITS.file_bytes as usize);
        folder.write("a.toml", &whole);
        assert_eq!(said_within(&LIMITS, folder.path()), [""; 0]);
        folder.write("a.toml", &(whole + "#"));
        let said = said_within(&LIMITS, folder.path());
        assert!(said[0].ends_with("a.toml: the file is larger than 16777216 bytes"), "{said:?}");
    }

    #[test]
    fn folders_that_hold_themselves_are_read_once() {
        let folder = Folder::new("folders_that_hold_themselves");
        folder.write("sub/a.toml", "");
        for name in ["x", "y", "sub/z"] {
            std::os::unix::fs::symlink(folder.path(), folder.path().join(name)).unwrap();
        }
        let options =
            LoadOptions { directories: vec![folder.path().into()], ..LoadOptions::default() };
        assert_eq!(names(&options, &Vars(&[])), (vec!["a.toml".to_owned()], vec![]));
    }

    #[test]
    fn sockets_in_folders_are_not_read() {
        let folder = Folder::new("sockets_in_folders");
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("a.toml")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("b.toml")).unwrap();
        let said = said_within(&LIMITS, folder.path());
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].ends_with("a.toml: it is neither a file nor a folder"), "{said:?}");
        assert!(said[1].contains("b.toml: the file cannot be read: "), "{said:?}");
    }
}
