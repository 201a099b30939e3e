//! Trees of /proc and /sys that stand still, and plugins that look at them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use headwater_plugin_api::abi::instance::InputInstance;
use headwater_plugin_api::plugin::{Error, Input};
use headwater_plugin_api::testkit::{self, Driven};

use crate::roots::{Calls, KernelName, Roots, Space, SystemInfo};

thread_local! {
    static CURRENT: RefCell<Option<Roots>> = const { RefCell::new(None) };
}

/// The roots that plugins made in this thread look at.
pub fn current() -> Option<Roots> {
    CURRENT.with_borrow(Clone::clone)
}

/// A folder that links to the trees of a case one after the other, and is gone at the end.
pub struct Tree {
    folder: PathBuf,
    /// The roots of the plugins that are made with it.
    pub roots: Roots,
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Answers of the system calls in tests.
pub const CALLS: Calls = Calls {
    sysinfo: || SystemInfo { uptime_s: 273_912, swap_total: 4 << 30, swap_free: 3 << 30 },
    space: |path| {
        let missing = path.ends_with(b"/gone");
        if missing {
            return Err(std::io::Error::from_raw_os_error(13));
        }
        let blocks = if path.ends_with(b"/proc") { 0 } else { 1_000_000 };
        Ok(Space {
            block_bytes: 4096,
            blocks,
            blocks_free: 300_000,
            blocks_available: 250_000,
            inodes: if path.ends_with(b"/efi") { 0 } else { 65_536 },
            inodes_free: if path.ends_with(b"/efi") { 0 } else { 49_152 },
        })
    },
    uname: || KernelName { machine: "x86_64".into(), release: "6.1.0-18-amd64".into() },
    device_number: |path| match path.rsplit('/').next() {
        Some("sda1") => Ok((8, 1)),
        Some("dm-0") => Ok((253, 0)),
        _ => Err(std::io::Error::from_raw_os_error(2)),
    },
};

impl Tree {
    fn empty() -> Tree {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("headwater-system-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let below = |name: &str| folder.join("now").join(name).to_str().unwrap().to_owned();
        let roots = Roots {
            proc: below("proc"),
            proc_is_set: false,
            own_proc: below("proc"),
            sys: below("sys"),
            etc: below("etc"),
            var: below("var"),
            run: below("run"),
            dev: below("dev"),
            mount_prefix: String::new(),
            calls: CALLS,
        };
        Tree { folder, roots }
    }

    /// The trees of a case below `testdata`: its folders `0`, `1`, ... are the first gather's, the
    /// second's, ...; a case without them is one tree.
    pub fn case(name: &str) -> Tree {
        let tree = Tree::empty();
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
        assert!(case.is_dir(), "there is no case {}", case.display());
        let first = case.join("0");
        tree.link(if first.is_dir() { &first } else { &case });
        tree
    }

    /// A tree of these files.
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let tree = Tree::empty();
        std::fs::create_dir(tree.folder.join("now")).unwrap();
        files.iter().for_each(|(name, content)| tree.write(name, content));
        tree
    }

    /// A tree in which `name` is `target`.
    pub fn linking(name: &str, target: &Path) -> Tree {
        let tree = Tree::of(&[]);
        tree.relink(name, target);
        tree
    }

    /// Lets `name` be `target`.
    pub fn relink(&self, name: &str, target: &Path) {
        assert!(target.is_dir(), "there is no folder {}", target.display());
        let link = self.folder.join("now").join(name);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(target, link).unwrap();
    }

    fn link(&self, target: &Path) {
        let link = self.folder.join("now");
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(target, link).unwrap();
    }

    /// Goes on to the tree of the case's gather `number`.
    pub fn step(&self, number: usize) {
        let now = std::fs::read_link(self.folder.join("now")).unwrap();
        let next = now.parent().unwrap().join(number.to_string());
        assert!(next.is_dir(), "there is no tree {}", next.display());
        self.link(&next);
    }

    /// Writes a file of a tree made by [`of`](Self::of).
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.folder.join("now").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Removes a file of a tree made by [`of`](Self::of).
    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.join("now").join(name)).unwrap();
    }

    /// The path of a file as errors name it.
    pub fn path(&self, name: &str) -> String {
        self.folder.join("now").join(name).to_str().unwrap().to_owned()
    }

    /// Makes a plugin that looks at this tree.
    pub fn input<P: Input>(&self, config: &str) -> Driven<InputInstance> {
        self.try_input::<P>(config).map_err(|error| error.message().to_owned()).unwrap()
    }

    /// As [`input`](Self::input), for what must fail.
    pub fn try_input<P: Input>(&self, config: &str) -> Result<Driven<InputInstance>, Error> {
        self.with_roots(|| testkit::input::<P>(config))
    }

    /// Makes plugins that look at this tree in another way.
    pub fn with_roots<T>(&self, make: impl FnOnce() -> T) -> T {
        CURRENT.set(Some(self.roots.clone()));
        let made = make();
        CURRENT.set(None);
        made
    }
}

/// Gathers once and expects these points and no error.
#[track_caller]
pub fn expect(input: &mut Driven<InputInstance>, now_ns: i64, expected: &[&str]) {
    let (collected, result) = input.gather(now_ns);
    if let Err(error) = result {
        panic!("{}", error.message());
    }
    assert_eq!(collected.points(), expected);
}

/// Gathers once and expects these points and this error, in which `{}` is the tree's folder.
#[track_caller]
pub fn expect_fault(
    tree: &Tree,
    input: &mut Driven<InputInstance>,
    now_ns: i64,
    expected: &[&str],
    error: &str,
) {
    let (collected, result) = input.gather(now_ns);
    assert_eq!(collected.points(), expected);
    let folder = tree.path("");
    let folder = folder.trim_end_matches('/');
    assert_eq!(result.unwrap_err().message(), error.replace("{}", folder));
}
