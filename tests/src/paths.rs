//! Where things are: the repository, the agent, folders that vanish.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The conformance data beside the repository, if it is there.
pub fn conformance() -> Option<PathBuf> {
    let path = root().join("../shared/conformance").canonicalize().ok()?;
    path.is_dir().then_some(path)
}

/// The folder that cargo builds this program's profile into, such as `target/debug`.
pub fn build_folder() -> PathBuf {
    let mut path = std::env::current_exe().unwrap_or_default();
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path
}

/// The agent: what `HEADWATER_BIN` names, else the one beside this program, which is built first so
/// that no test runs against yesterday's.
///
/// # Panics
/// If it cannot be built.
pub fn agent() -> &'static Path {
    static AGENT: OnceLock<PathBuf> = OnceLock::new();
    AGENT.get_or_init(|| {
        if let Some(path) = std::env::var_os("HEADWATER_BIN") {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "HEADWATER_BIN: there is no file {}", path.display());
            return path.canonicalize().unwrap_or(path);
        }
        let folder = build_folder();
        build(&["--workspace", "--exclude", "headwater-tests"], &folder);
        folder.join("headwater")
    })
}

/// Runs `cargo build` for the profile of `folder`.
///
/// # Panics
/// If it fails.
pub fn build(what: &[&str], folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.arg("build").arg("--quiet").args(what).current_dir(root()).stdin(Stdio::null());
    let _ = match folder.file_name().and_then(|name| name.to_str()) {
        // What the tests were built with is not built again.
        Some("debug") | None => command.args(["--profile", "test"]),
        Some(profile) => command.args(["--profile", profile]),
    };
    if let Some(target) = folder.parent() {
        command.env("CARGO_TARGET_DIR", target);
    }
    let status = command.status().unwrap_or_else(|error| panic!("cargo build: {error}"));
    assert!(status.success(), "cargo build {}: {status}", what.join(" "));
}

/// A new folder that is removed when this is dropped, unless a test failed in it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    ///
    /// # Panics
    /// If it cannot.
    #[expect(clippy::new_without_default, reason = "a default that writes to the disk surprises")]
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("headwater-tests-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Folder(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in it, with its folders.
    ///
    /// # Panics
    /// If it cannot.
    pub fn write(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        if let Some(parent) = path.parent() {
            let _ = std::fs::create_dir_all(parent);
        }
        std::fs::write(&path, data).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the files of the failed test are in {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
