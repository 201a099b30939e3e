//! Which files make up the configuration, and what they hold.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostics::{Diagnostics, Place};
use super::variables::{self, Expanded};
use super::{Environment, LoadOptions};

/// Larger files are refused.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// More files than this are refused.
pub const FILES_MAX: usize = 10_000;

/// Folders nested deeper than this below `--config-directory` are refused.
const DEPTH_MAX: usize = 16;

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
    let mut paths = Vec::new();
    for path in &options.files {
        add_named(path, &mut paths, diagnostics);
    }
    for folder in &options.directories {
        if !folder.is_dir() {
            diagnostics.error_nowhere(format!("{}: it is not a folder", folder.display()), None);
            continue;
        }
        add_folder(folder, Some(0), &mut paths, diagnostics);
    }
    let named = options.files.is_empty() && options.directories.is_empty();
    if named && options.texts.is_empty() {
        add_defaults(environment, &mut paths, diagnostics);
    }

    let mut seen = HashSet::new();
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
        if files.len() == FILES_MAX {
            diagnostics.error_nowhere(format!("there are more than {FILES_MAX} files"), None);
            break;
        }
        match read(&path) {
            Ok(text) => {
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

fn add_named(path: &Path, paths: &mut Vec<PathBuf>, diagnostics: &mut Diagnostics) {
    let text = path.to_string_lossy();
    if text.starts_with("http://") || text.starts_with("https://") {
        diagnostics.error_nowhere(
            format!("{text}: configuration is not read from URLs yet"),
            Some("download the file and name its path".into()),
        );
    } else if path.is_dir() {
        add_folder(path, None, paths, diagnostics);
    } else {
        paths.push(path.to_owned());
    }
}

fn add_defaults(
    environment: &dyn Environment,
    paths: &mut Vec<PathBuf>,
    diagnostics: &mut Diagnostics,
) {
    let system = environment.system_folder();
    let mut tried = Vec::new();
    if let Some(path) = environment.var("HEADWATER_CONFIG_PATH").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if path.exists() {
            return add_named(&path, paths, diagnostics);
        }
        let message = format!("HEADWATER_CONFIG_PATH is {}, which does not exist", path.display());
        diagnostics.warning_nowhere(message);
    }
    tried.push("$HEADWATER_CONFIG_PATH".to_owned());
    if let Some(home) = environment.home() {
        for name in ["headwater.toml", "headwater.conf"] {
            let path = home.join(".headwater").join(name);
            if path.is_file() {
                return paths.push(path);
            }
            tried.push(path.display().to_string());
        }
    }
    let main = ["headwater.toml", "headwater.conf"].map(|name| system.join(name));
    paths.extend(main.iter().find(|path| path.is_file()).cloned());
    tried.extend(main.iter().map(|path| path.display().to_string()));
    let folder = system.join("headwater.d");
    if folder.is_dir() {
        add_folder(&folder, Some(0), paths, diagnostics);
    }
    tried.push(folder.join("*.toml").display().to_string());
    if paths.is_empty() {
        diagnostics.error_nowhere(
            format!("there is no configuration; looked for {}", tried.join(", ")),
            Some("name a file or folder with --config".into()),
        );
    }
}

/// Adds a folder's `*.toml` and `*.conf` by name. With a depth, its folders too; hidden files and
/// folders never, for they are editors' and Kubernetes' own.
fn add_folder(
    folder: &Path,
    depth: Option<usize>,
    paths: &mut Vec<PathBuf>,
    diagnostics: &mut Diagnostics,
) {
    if depth.is_some_and(|depth| depth > DEPTH_MAX) {
        let message =
            format!("{}: folders are nested more than {DEPTH_MAX} deep", folder.display());
        return diagnostics.error_nowhere(message, None);
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return diagnostics.error_nowhere(
                format!("{}: the folder cannot be read: {error}", folder.display()),
                None,
            );
        }
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| entry.path())
        .take(FILES_MAX + 1)
        .collect();
    found.sort();
    for path in found {
        if path.is_dir() {
            if let Some(depth) = depth {
                add_folder(&path, Some(depth + 1), paths, diagnostics);
            }
        } else if path.extension().is_some_and(|end| end == "toml" || end == "conf") {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return;
        }
    }
}

/// The text of a file; an error begins with what stands behind the file's name.
fn read(path: &Path) -> Result<String, String> {
    let file =
        fs::File::open(path).map_err(|error| format!(": the file cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!(": the file cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!(": the file is larger than {FILE_BYTES_MAX} bytes"));
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
}
