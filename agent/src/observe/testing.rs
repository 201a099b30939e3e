//! What the tests of this room and its neighbours share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::log_file::LineSink;

/// A folder of a test's own, removed with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("headwater-{}-{n}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Names and texts of the files, by name.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
            })
            .collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Keeps the lines of a log.
#[derive(Clone, Default)]
pub struct MemorySink(Arc<Mutex<String>>);

impl MemorySink {
    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    pub fn lines(&self) -> usize {
        self.text().lines().count()
    }
}

impl LineSink for MemorySink {
    fn write_line(&mut self, line: &[u8], _now_ns: i64) -> std::io::Result<Option<String>> {
        self.0.lock().unwrap().push_str(std::str::from_utf8(line).unwrap());
        Ok(None)
    }
}
