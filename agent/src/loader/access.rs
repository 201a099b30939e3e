//! Who could change a library: what anybody else may write is not loaded, for it would run with all
//! that the agent may do.
//!
//! Refused are a file, and a file in a directory, that everybody may write, or that a group may
//! write. One group is excepted: that of the agent's own user on files of that user, as where each
//! user has a group of its own and new files are writable for it.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

/// User and group that the agent runs as.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

impl Identity {
    /// That of this process: the owner of its own entry in `/proc`; root's if there is none.
    pub fn of_process() -> Identity {
        std::fs::metadata("/proc/self")
            .map_or(Identity { user: 0, group: 0 }, |m| Identity { user: m.uid(), group: m.gid() })
    }
}

/// Opens a library for reading and gives the path where it truly stands.
///
/// # Errors
/// It is missing, no regular file, or others could write it.
pub fn open(path: &Path, me: Identity) -> Result<(File, PathBuf), OpenError> {
    let place = path.canonicalize().map_err(|error| OpenError::Missing(error.to_string()))?;
    // Asked before opening: opening a pipe would wait.
    let before = place.metadata().map_err(|error| OpenError::Missing(error.to_string()))?;
    if !before.is_file() {
        return Err(OpenError::NotAFile);
    }
    let file = File::open(&place).map_err(|error| OpenError::Missing(error.to_string()))?;
    let about = file.metadata().map_err(|error| OpenError::Missing(error.to_string()))?;
    check(&place, &about, me)?;
    for folder in [place.parent(), path.parent().filter(|p| !p.as_os_str().is_empty())] {
        let Some(folder) = folder else { continue };
        let about = folder.metadata().map_err(|error| OpenError::Missing(error.to_string()))?;
        check(folder, &about, me)?;
    }
    Ok((file, place))
}

fn check(path: &Path, about: &Metadata, me: Identity) -> Result<(), OpenError> {
    let mode = about.permissions().mode() & 0o7777;
    let own = about.uid() == me.user && about.gid() == me.group;
    let remedy = match (mode & OTHERS_WRITE != 0, mode & GROUP_WRITES != 0 && !own) {
        (true, true) => "go-w",
        (true, false) => "o-w",
        (false, true) => "g-w",
        (false, false) => return Ok(()),
    };
    Err(OpenError::Writable {
        path: path.to_owned(),
        directory: about.is_dir(),
        mode,
        group: (mode & OTHERS_WRITE == 0).then_some(about.gid()),
        remedy,
    })
}
