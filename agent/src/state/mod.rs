//! The crash-safe store: what plugins and stages want to find again after a restart.
//!
//! One key is one file, replaced as a whole: written beside it, synced, renamed over it, and the
//! folder synced. After a crash a key has its old value or its new one. A file that is neither
//! (a broken disk, an edit) is put aside and told of; the agent goes on without it. A database
//! would bring transactions over several keys, which nothing here needs.

mod crc32;
mod file;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use headwater_plugin_api::batch::hash::bytes_hash;

use file::Fault;

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 1024;

/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 256 << 20;

/// Keys in a store.
pub const KEYS_MAX: usize = 10_000;

/// Where the installed agent keeps its state.
const SYSTEM_FOLDER: &str = "/var/lib/headwater";

const EXTENSION: &str = ".state";
const LOCK_FILE: &str = "lock";
const TEMPORARY_PREFIX: &str = ".new-";

/// Bytes of a key that are spelled out in its file's name. Longer ones end in their hash.
const SPELLED_BYTES_MAX: usize = 120;

/// The folder of the store. `statefile` is `[agent]`'s option, or "". Without it: the folder that
/// systemd gives (`STATE_DIRECTORY`), else the one of an installed agent if it is there. `None`:
/// nothing outlives the process.
pub fn default_folder(statefile: &str, variable: Option<&str>) -> Option<PathBuf> {
    if !statefile.is_empty() {
        return Some(PathBuf::from(statefile));
    }
    // systemd separates several folders by colons.
    let given = variable.and_then(|list| list.split(':').next()).filter(|one| !one.is_empty());
    let base = given.map(PathBuf::from).or_else(|| {
        let system = PathBuf::from(SYSTEM_FOLDER);
        system.is_dir().then_some(system)
    });
    Some(base?.join("state"))
}

/// What reading a key gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Loaded {
    Found(Vec<u8>),
    Absent,
    /// The file was damaged or cannot be read: a sentence for the log. There is no value.
    Bad(String),
}

/// The store.
pub struct Store {
    /// `None` for a store that lives in memory.
    folder: Option<Folder>,
    inner: Mutex<Inner>,
}

struct Folder {
    path: PathBuf,
    /// Held as long as the store, so that no other agent writes here.
    _lock: File,
}

#[derive(Default)]
struct Inner {
    /// Of a store in memory.
    values: HashMap<String, Vec<u8>>,
    /// Keys in the folder, as far as their number matters.
    files: usize,
    writes: u64,
}

impl Store {
    /// Opens the store, and makes its folder if there is none.
    ///
    /// # Errors
    /// A sentence with the folder and the remedy.
    pub fn open(path: &Path) -> Result<Store, String> {
        let at = |what: &str, error: io::Error| {
            format!(
                "the state folder {} cannot be {what}: {error}; set `statefile` in [agent] to a folder that the agent may write",
                path.display()
            )
        };
        if path.is_file() {
            return Err(format!(
                "the state folder {} is a file; the agent's state is a folder: give `statefile` in [agent] another path",
                path.display()
            ));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(path)
            .map_err(|error| at("made", error))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(path.join(LOCK_FILE))
            .map_err(|error| at("written", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "the state folder {} belongs to another running agent; give each its own `statefile` in [agent]",
                    path.display()
                ));
            }
            Err(TryLockError::Error(error)) => return Err(at("locked", error)),
        }
        let mut files = 0;
        for entry in fs::read_dir(path).map_err(|error| at("read", error))? {
            let entry = entry.map_err(|error| at("read", error))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(TEMPORARY_PREFIX) {
                // Left by a crash before the rename: nobody was told that it is stored.
                let _ = fs::remove_file(entry.path());
            }
            files += usize::from(name.ends_with(EXTENSION));
        }
        let folder = Folder { path: path.to_owned(), _lock: lock };
        let inner = Inner { files, ..Inner::default() };
        Ok(Store { folder: Some(folder), inner: Mutex::new(inner) })
    }

    /// A store that ends with the process.
    pub fn in_memory() -> Store {
        Store { folder: None, inner: Mutex::default() }
    }

    /// Where it is.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(|folder| folder.path.as_path())
    }

    /// Reads a key.
    pub fn load(&self, key: &str) -> Loaded {
        let mut inner = self.lock();
        let Some(folder) = &self.folder else {
            return inner.values.get(key).cloned().map_or(Loaded::Absent, Loaded::Found);
        };
        let path = folder.path.join(file_name(key));
        let limit = (file::HEADER_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX) as u64;
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Loaded::Absent,
            Err(error) => {
                return Loaded::Bad(format!("{} cannot be read: {error}", path.display()));
            }
        }
        let fault = match file::decode(&bytes, key) {
            Ok(value) => return Loaded::Found(value.to_vec()),
            Err(fault) => fault,
        };
        if fault == Fault::OtherKey {
            return Loaded::Absent;
        }
        let aside = path.with_extension("damaged");
        let kept = match fs::rename(&path, &aside) {
            Ok(()) => {
                inner.files = inner.files.saturating_sub(1);
                format!("it was put aside as {}", aside.display())
            }
            Err(error) => format!("it cannot be put aside: {error}"),
        };
        Loaded::Bad(format!("{} is damaged ({fault}); {kept}", path.display()))
    }

    /// Stores a value durably. When it returns, the value is on the disk.
    ///
    /// # Errors
    /// A sentence; the old value is still there.
    pub fn save(&self, key: &str, value: &[u8]) -> Result<(), String> {
        let bound = |what: &str, size: usize, limit: usize| {
            format!("state under {key:.100?}: {what} of {size} is over the limit of {limit}")
        };
        if key.len() > KEY_BYTES_MAX {
            return Err(bound("a key", key.len(), KEY_BYTES_MAX));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(bound("a value", value.len(), VALUE_BYTES_MAX));
        }
        // Writing takes its time, and others may write their own keys meanwhile.
        let mut inner = self.lock();
        let Some(folder) = &self.folder else {
            if inner.values.len() >= KEYS_MAX && !inner.values.contains_key(key) {
                return Err(bound("a number of keys", inner.values.len() + 1, KEYS_MAX));
            }
            inner.values.insert(key.to_owned(), value.to_vec());
            return Ok(());
        };
        let path = folder.path.join(file_name(key));
        let is_new = !path.exists();
        if is_new && inner.files >= KEYS_MAX {
            return Err(bound("a number of keys", inner.files + 1, KEYS_MAX));
        }
        inner.writes += 1;
        let temporary = folder.path.join(format!("{TEMPORARY_PREFIX}{}", inner.writes));
        inner.files += usize::from(is_new);
        drop(inner);
        let written = write_synced(&temporary, &file::header(key, value), key, value)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| File::open(&folder.path)?.sync_all());
        match written {
            Ok(()) => Ok(()),
            Err(error) => {
                let _ = fs::remove_file(&temporary);
                let mut inner = self.lock();
                inner.files = inner.files.saturating_sub(usize::from(is_new));
                Err(format!("state cannot be stored in {}: {error}", path.display()))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_synced(path: &Path, header: &[u8], key: &str, value: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
    file.write_all(header)?;
    file.write_all(key.as_bytes())?;
    file.write_all(value)?;
    file.sync_all()
}

/// A key's file: readable, and another one for each key.
fn file_name(key: &str) -> String {
    let mut name = String::new();
    for byte in key.bytes() {
        if name.len() > SPELLED_BYTES_MAX {
            break;
        }
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(byte as char),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.len() > SPELLED_BYTES_MAX {
        name.push_str(&format!("~{:016x}", bytes_hash(key.as_bytes())));
    }
    name + EXTENSION
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::Folder;

    fn value(text: &str) -> Loaded {
        Loaded::Found(text.as_bytes().to_vec())
    }

    fn store_file(folder: &Folder, key: &str) -> PathBuf {
        folder.path().join(file_name(key))
    }

    #[test]
    fn what_is_saved_is_found_again() {
        let folder = Folder::new("state-again");
        let path = folder.path().join("deep/er");
        {
            let store = Store::open(&path).unwrap();
            assert_eq!(store.load("inputs.tail"), Loaded::Absent);
            store.save("inputs.tail", b"one").unwrap();
            store.save("inputs.tail", b"two").unwrap();
            store.save("", b"").unwrap();
            store.save("../up and /etc/passwd\0", b"three").unwrap();
        }
        let store = Store::open(&path).unwrap();
        assert_eq!(store.load("inputs.tail"), value("two"));
        assert_eq!(store.load(""), value(""));
        assert_eq!(store.load("../up and /etc/passwd\0"), value("three"));
        assert_eq!(store.folder(), Some(path.as_path()));
        let names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
    }

    #[test]
    fn in_memory() {
        let store = Store::in_memory();
        assert_eq!(store.load("a"), Loaded::Absent);
        store.save("a", b"x").unwrap();
        assert_eq!(store.load("a"), value("x"));
        assert_eq!(store.folder(), None);
    }

    #[test]
    fn torn_files_are_put_aside_and_told() {
        let folder = Folder::new("state-torn");
        let store = Store::open(folder.path()).unwrap();
        store.save("k", b"a value").unwrap();
        let path = store_file(&folder, "k");
        let whole = fs::read(&path).unwrap();
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let Loaded::Bad(words) = store.load("k") else { panic!("{len} bytes were read") };
            assert!(words.contains("k.damaged"), "{words}");
            assert_eq!(store.load("k"), Loaded::Absent, "it is told once");
        }
        let mut longer = whole.clone();
        longer.push(0);
        fs::write(&path, &longer).unwrap();
        assert!(matches!(store.load("k"), Loaded::Bad(_)));
        store.save("k", b"anew").unwrap();
        assert_eq!(store.load("k"), value("anew"));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let folder = Folder::new("state-flip");
        let store = Store::open(folder.path()).unwrap();
        store.save("key", b"value").unwrap();
        let path = store_file(&folder, "key");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                fs::write(&path, &damaged).unwrap();
                assert!(matches!(store.load("key"), Loaded::Bad(_)), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_file_of_a_later_version_is_named_as_such() {
        let folder = Folder::new("state-version");
        let store = Store::open(folder.path()).unwrap();
        store.save("key", b"value").unwrap();
        let path = store_file(&folder, "key");
        fs::write(&path, file::tests::with_version(&fs::read(&path).unwrap(), 2)).unwrap();
        let Loaded::Bad(words) = store.load("key") else { panic!("it was read") };
        assert!(words.contains("version 2"), "{words}");
    }

    #[test]
    fn leavings_of_a_crash_are_removed() {
        let folder = Folder::new("state-crash");
        drop(Store::open(folder.path()).unwrap());
        fs::write(folder.path().join(".new-7"), "half").unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.save("k", b"v").unwrap();
        let names: Vec<String> = folder.files().into_iter().map(|file| file.0).collect();
        assert_eq!(names, ["k.state", "lock"]);
    }

    #[test]
    fn two_agents_do_not_share_a_folder() {
        let folder = Folder::new("state-lock");
        let first = Store::open(folder.path()).unwrap();
        let error = Store::open(folder.path()).err().unwrap();
        assert!(error.contains("another running agent"), "{error}");
        drop(first);
        Store::open(folder.path()).unwrap();
    }

    #[test]
    fn a_failed_save_leaves_the_old_value() {
        let folder = Folder::new("state-fail");
        let store = Store::open(folder.path()).unwrap();
        store.save("k", b"old").unwrap();
        let inner = folder.path().join(".new-2");
        fs::create_dir(&inner).unwrap();
        let error = store.save("k", b"new").unwrap_err();
        assert!(error.contains("k.state"), "{error}");
        assert_eq!(store.load("k"), value("old"));
        fs::remove_dir(&inner).unwrap();
        store.save("k", b"new").unwrap();
        assert_eq!(store.load("k"), value("new"));
    }

    #[test]
    fn bounds() {
        let folder = Folder::new("state-bounds");
        let store = Store::open(folder.path()).unwrap();
        let longest = "x".repeat(KEY_BYTES_MAX);
        store.save(&longest, b"v").unwrap();
        assert_eq!(store.load(&longest), value("v"));
        let error = store.save(&(longest + "x"), b"v").unwrap_err();
        assert!(error.contains("a key of 1025 is over the limit of 1024"), "{error}");
        let error = store.save("big", &vec![0; VALUE_BYTES_MAX + 1]).unwrap_err();
        assert!(error.contains("a value of 268435457"), "{error}");
        store.lock().files = KEYS_MAX;
        assert!(store.save("one more", b"v").unwrap_err().contains("a number of keys"));
        let memory = Store::in_memory();
        for n in 0..KEYS_MAX {
            memory.save(&n.to_string(), b"").unwrap();
        }
        memory.save("0", b"again").unwrap();
        assert!(memory.save("one more", b"").unwrap_err().contains("a number of keys"));
    }

    #[test]
    fn names_of_files() {
        let check = |key: &str, name: &str| assert_eq!(file_name(key), name);
        check("inputs.tail::a", "inputs.tail%3a%3aa.state");
        check("..", "%2e..state");
        check("a/b", "a%2fb.state");
        check("", ".state");
        let long = |end: &str| file_name(&format!("{}{end}", "k".repeat(500)));
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() < 160);
        assert!(file_name(&"ü".repeat(500)).len() < 160);
    }

    #[test]
    fn where_the_state_is() {
        let folder = default_folder;
        assert_eq!(folder("/x/y", Some("/var/lib/a")), Some("/x/y".into()));
        assert_eq!(folder("", Some("/var/lib/a:/var/lib/b")), Some("/var/lib/a/state".into()));
        let system = PathBuf::from("/var/lib/headwater");
        let expected = system.is_dir().then(|| system.join("state"));
        assert_eq!(folder("", Some("")), expected);
        assert_eq!(folder("", None), expected);
    }
}
