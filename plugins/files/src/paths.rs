//! Files by pattern: `/var/log/*.log`, `/srv/**/metrics.out`.

use std::collections::{BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use headwater_plugin_api::config::Glob;
use headwater_plugin_api::plugin::Error;

/// Directory entries looked at for one pattern; above that the pattern is too wide.
const ENTRIES_MAX: usize = 1_000_000;

/// Folders below folders.
const DEPTH_MAX: usize = 64;

/// A path, or a pattern of paths.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    /// The folder above the first component that has anything special in it.
    root: PathBuf,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// One path, whether it exists or not.
    Plain,
    /// Patterns for whole paths below the root, and how deep they may lie.
    Glob { glob: Glob, depth: usize },
}

impl Pattern {
    /// Reads a pattern: `*` and `?` do not cross `/`, `**` does; `[a-z]`, `[!a-z]` and `[^a-z]`, `{a,b}`;
    /// a backslash takes the meaning away from what follows.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if text.is_empty() || text.contains('\0') {
            return Err(format!("\"{text}\" is no path"));
        }
        if !text.contains(['*', '?', '[', '{', '\\']) {
            let form = Form::Plain;
            return Ok(Pattern { text: text.to_owned(), root: PathBuf::from(text), form });
        }
        let special = text.find(['*', '?', '[', '{', '\\']).unwrap_or(0);
        let root = match text[..special].rfind('/') {
            None => ".",
            Some(0) => "/",
            Some(at) => &text[..at],
        };
        let glob = Glob::with_separators(&negations(text), "/")
            .map_err(|error| format!("\"{text}\" is no pattern: {error}"))?;
        let depth = match text.contains("**") {
            true => DEPTH_MAX,
            // A brace may hold slashes, which makes the bound generous and no more.
            false => text[special..].matches('/').count() + 1,
        };
        Ok(Pattern {
            text: text.to_owned(),
            root: PathBuf::from(root),
            form: Form::Glob { glob, depth: depth.min(DEPTH_MAX) },
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path, if it is but one.
    pub fn as_plain(&self) -> Option<&Path> {
        matches!(self.form, Form::Plain).then_some(&self.root)
    }

    /// The folder in which a single path lies, or below which the pattern matches.
    pub fn folder(&self) -> PathBuf {
        match &self.form {
            Form::Plain => {
                let parent = self.root.parent().filter(|parent| !parent.as_os_str().is_empty());
                parent.unwrap_or(Path::new(".")).to_owned()
            }
            Form::Glob { .. } => self.root.clone(),
        }
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &Path) -> bool {
        match &self.form {
            Form::Plain => self.root == path,
            Form::Glob { glob, .. } => path.to_str().is_some_and(|path| glob.matches(path)),
        }
    }

    /// Adds the files (no folders) that match to `found`, and the folders that were looked into to
    /// `folders`. What cannot be looked into is left out: nothing in it could be read.
    ///
    /// # Errors
    /// The pattern covers more than can be looked at.
    pub fn find(
        &self,
        found: &mut BTreeSet<PathBuf>,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Error> {
        let Form::Glob { glob, depth } = &self.form else {
            if self.root.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
                found.insert(self.root.clone());
            }
            return Ok(());
        };
        let mut walk = Walk { pattern: self, glob, looked_at: 0, above: HashSet::new() };
        walk.folder(&self.root, *depth, found, folders)
    }
}

/// `[^a]` means what `[!a]` means.
fn negations(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        match c {
            '\\' => out.extend(chars.next()),
            '[' if chars.peek() == Some(&'^') => {
                chars.next();
                out.push('!');
            }
            _ => {}
        }
    }
    out
}

struct Walk<'a> {
    pattern: &'a Pattern,
    glob: &'a Glob,
    looked_at: usize,
    /// The folders above, so that a link to one of them is not followed round and round.
    above: HashSet<(u64, u64)>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        folder: &Path,
        depth: usize,
        found: &mut BTreeSet<PathBuf>,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), Error> {
        let Ok(metadata) = folder.metadata() else { return Ok(()) };
        let identity = (metadata.dev(), metadata.ino());
        if !self.above.insert(identity) {
            return Ok(());
        }
        let Ok(entries) = std::fs::read_dir(folder) else {
            self.above.remove(&identity);
            return Ok(());
        };
        folders.insert(folder.to_owned());
        for entry in entries.flatten() {
            self.looked_at += 1;
            if self.looked_at > ENTRIES_MAX {
                return Err(Error::failed(format!(
                    "\"{}\" covers more than {ENTRIES_MAX} files and folders; write a narrower \
                     pattern",
                    self.pattern.text
                )));
            }
            // A path from the current folder is written without `./`.
            let path = match folder == Path::new(".") && !self.pattern.text.starts_with("./") {
                true => PathBuf::from(entry.file_name()),
                false => entry.path(),
            };
            let Ok(kind) = entry.file_type() else { continue };
            let matches = || path.to_str().is_some_and(|path| self.glob.matches(path));
            if kind.is_file() {
                if matches() {
                    found.insert(path);
                }
            } else if kind.is_dir() || kind.is_symlink() {
                match path.metadata() {
                    Ok(metadata) if metadata.is_dir() && depth > 1 => {
                        self.folder(&path, depth - 1, found, folders)?;
                    }
                    Ok(metadata) if !metadata.is_dir() && matches() => {
                        found.insert(path);
                    }
                    _ => {}
                }
            } else if matches() {
                found.insert(path);
            }
        }
        self.above.remove(&identity);
        Ok(())
    }
}

/// Reads the patterns of an option.
///
/// # Errors
/// None is there, or one is wrong.
pub fn patterns(key: &str, texts: &[String]) -> Result<Vec<Pattern>, Error> {
    if texts.is_empty() {
        return Err(Error::config(key, "no files are named; write paths or patterns"));
    }
    let patterns = texts.iter().map(|text| Pattern::new(text));
    let patterns: Result<Vec<Pattern>, String> = patterns.collect();
    patterns.map_err(|error| Error::config(key, error))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A folder of a test's own, gone at its end.
    pub struct Folder(pub PathBuf);

    impl Folder {
        pub fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("hw-files-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        pub fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
            let path = self.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn found(folder: &Folder, pattern: &str) -> Vec<String> {
        let pattern = Pattern::new(&folder.path(pattern).display().to_string()).unwrap();
        let mut found = BTreeSet::new();
        pattern.find(&mut found, &mut BTreeSet::new()).unwrap();
        assert!(found.iter().all(|path| pattern.matches(path)));
        let short = |path: &PathBuf| path.strip_prefix(&folder.0).unwrap().display().to_string();
        found.iter().map(short).collect()
    }

    #[test]
    fn patterns_find_files() {
        let folder = Folder::new("find");
        for name in
            ["a.log", "b.log", "b.txt", "log1", "log3", "x/c.log", "x/y/d.log", ".hidden.log"]
        {
            folder.write(name, "");
        }
        std::fs::create_dir(folder.path("dir.log")).unwrap();
        std::os::unix::fs::symlink(folder.path("a.log"), folder.path("link.log")).unwrap();
        std::os::unix::fs::symlink(folder.path("gone"), folder.path("dangling.log")).unwrap();
        for (pattern, expected) in [
            ("a.log", &["a.log"][..]),
            ("none.log", &[]),
            ("[ab].log", &["a.log", "b.log"]),
            ("?.{log,txt}", &["a.log", "b.log", "b.txt"]),
            ("*/*.log", &["x/c.log"]),
            ("*/*/*.log", &["x/y/d.log"]),
            ("**.log", &[".hidden.log", "a.log", "b.log", "link.log", "x/c.log", "x/y/d.log"]),
            ("x/**.log", &["x/c.log", "x/y/d.log"]),
            ("x/**/*.log", &["x/y/d.log"]),
            ("log[!1-2]", &["log3"]),
            ("log[^1-2]", &["log3"]),
            ("none/*.log", &[]),
        ] {
            assert_eq!(found(&folder, pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = Folder::new("circle");
        folder.write("x/a.log", "");
        std::os::unix::fs::symlink(&folder.0, folder.path("x/up")).unwrap();
        assert_eq!(found(&folder, "**.log"), ["x/a.log"]);
    }

    #[test]
    fn special_characters_can_be_plain() {
        let folder = Folder::new("plain");
        folder.write("a*b", "");
        folder.write("axb", "");
        assert_eq!(found(&folder, "a\\*b"), ["a*b"]);
        assert!(Pattern::new("").is_err());
        assert!(Pattern::new("a[").unwrap_err().contains("\"a[\""));
    }

    #[test]
    fn folders_to_watch() {
        for (pattern, folder) in [
            ("/var/log/a.log", "/var/log"),
            ("a.log", "."),
            ("/var/log/*.log", "/var/log"),
            ("/var/*/a.log", "/var"),
            ("/var/**.log", "/var"),
            ("/*.log", "/"),
            ("*.log", "."),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(pattern.folder(), PathBuf::from(folder), "{pattern:?}");
        }
    }
}
