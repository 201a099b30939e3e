//! Where libraries are looked for, and in which order.
//!
//! Those of the flag `--plugin-directory` come first, then those of the environment variable
//! `HEADWATER_PLUGIN_DIRECTORIES` (separated by colons), then those of `plugin_directories` in
//! `[agent]`, then the defaults: the program's own directory if families were built beside it, and
//! `/usr/lib/headwater/plugins`. A plugin that stands in several is taken from the first.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The environment variable that names directories.
pub const VARIABLE: &str = "HEADWATER_PLUGIN_DIRECTORIES";

/// Where packages install plugins.
pub const INSTALLED: &str = "/usr/lib/headwater/plugins";

/// How the files of our own families begin. In the program's directory others are not looked at.
pub const FAMILY_PREFIX: &str = "libheadwater_plugin_";

/// The most directories, and the most libraries in one.
pub const DIRECTORIES_MAX: usize = 64;
pub const LIBRARIES_MAX: usize = 4096;

/// Why a directory is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Somebody named it.
    Named,
    /// It holds the program.
    Program,
    /// It is where packages install plugins.
    Installed,
}

/// A directory to search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is, as it was named.
    pub path: PathBuf,
    /// Why it is searched.
    pub origin: Origin,
}

impl Directory {
    /// A directory that somebody named.
    pub fn named(path: impl Into<PathBuf>) -> Directory {
        Directory { path: path.into(), origin: Origin::Named }
    }
}

/// All directories in order, each once. A default one that was also named keeps its earlier place
/// and is still a default one.
pub fn search_path(
    flag: &[PathBuf],
    variable: Option<&OsStr>,
    config: &[PathBuf],
    defaults: Vec<Directory>,
) -> Vec<Directory> {
    let variable = variable.unwrap_or_default().as_bytes();
    let variable = variable.split(|&byte| byte == b':').filter(|part| !part.is_empty());
    let variable = variable.map(|part| PathBuf::from(OsStr::from_bytes(part)));
    let named = flag.iter().cloned().chain(variable).chain(config.iter().cloned());
    let mut all: Vec<(PathBuf, Directory)> = Vec::new();
    for directory in named.map(Directory::named).chain(defaults) {
        let place = directory.path.canonicalize().unwrap_or_else(|_| directory.path.clone());
        match all.iter_mut().find(|(known, _)| *known == place) {
            Some((_, known)) => {
                if directory.origin != Origin::Named {
                    known.origin = directory.origin;
                }
            }
            None => all.push((place, directory)),
        }
    }
    all.into_iter().map(|(_, directory)| directory).collect()
}

/// The defaults for a program that stands at this path.
pub fn defaults(program: Option<&Path>) -> Vec<Directory> {
    let beside = program.and_then(Path::parent).filter(|folder| holds_families(folder));
    let beside = beside.map(|path| Directory { path: path.to_owned(), origin: Origin::Program });
    let installed = Directory { path: INSTALLED.into(), origin: Origin::Installed };
    beside.into_iter().chain([installed]).collect()
}

fn holds_families(folder: &Path) -> bool {
    let Ok(entries) = folder.read_dir() else { return false };
    entries.flatten().any(|entry| is_library(&entry.file_name(), true))
}

/// Whether a file of this name is looked at.
pub fn is_library(name: &OsStr, families_only: bool) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".so") && (!families_only || name.starts_with(FAMILY_PREFIX.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loader::tests::Folder;

    #[test]
    fn named_directories_come_first_in_the_order_of_flag_variable_and_config() {
        let folder = Folder::new();
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| folder.directory(name));
        let variable = format!("{}::{}", b.display(), a.display());
        let defaults = vec![
            Directory { path: c.clone(), origin: Origin::Program },
            Directory { path: d.clone(), origin: Origin::Installed },
        ];
        let found = search_path(
            std::slice::from_ref(&a),
            Some(OsStr::new(&variable)),
            std::slice::from_ref(&d),
            defaults,
        );
        let expected = [
            Directory::named(&a),
            Directory::named(&b),
            Directory { path: d, origin: Origin::Installed },
            Directory { path: c, origin: Origin::Program },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_programs_directory_counts_if_families_stand_there() {
        let folder = Folder::new();
        let program = folder.path().join("headwater");
        let installed = Directory { path: INSTALLED.into(), origin: Origin::Installed };
        folder.file("libother.so", b"");
        folder.file("libheadwater_plugin_x.so.old", b"");
        assert_eq!(defaults(Some(&program)), std::slice::from_ref(&installed));
        folder.file("libheadwater_plugin_x.so", b"");
        let beside = Directory { path: folder.path().to_owned(), origin: Origin::Program };
        assert_eq!(defaults(Some(&program)), [beside, installed]);
    }
}
