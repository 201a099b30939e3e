//! The file that holds the process's number as long as it runs.

use std::fs;
use std::path::{Path, PathBuf};

/// Removes its file when it is dropped.
#[derive(Debug)]
pub struct Pidfile(PathBuf);

impl Pidfile {
    /// Writes the file. One that a crash has left is replaced.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn write(path: &Path) -> Result<Pidfile, String> {
        let text = format!("{}\n", std::process::id());
        match fs::write(path, text) {
            Ok(()) => Ok(Pidfile(path.to_owned())),
            Err(error) => Err(format!("the pidfile {} cannot be written: {error}", path.display())),
        }
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        // What remains of a file that cannot be removed is replaced at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::Folder;

    #[test]
    fn is_there_while_the_agent_runs() {
        let folder = Folder::new("pidfile");
        let path = folder.path().join("pid");
        fs::write(&path, "999999999999\n").unwrap();
        let pidfile = Pidfile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(pidfile);
        assert!(!path.exists());
        let error = Pidfile::write(&folder.path().join("no/where")).unwrap_err();
        assert!(error.contains("no/where cannot be written"), "{error}");
    }
}
