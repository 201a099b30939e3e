//! The file of a table, and the table that was read last.

use std::fs::{self, File, Metadata};
use std::io::{Cursor, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{Builder, JoinHandle};

use headwater_plugin_api::config::{Size, nearest};

use super::data::{Table, Texts};
use super::read::{Format, read};

headwater_plugin_api::choice! {
    /// How a table's file is written.
    pub enum TableFormat {
        /// By the name of the file.
        Auto = "auto",
        /// A line with the columns' names, then a line a row.
        Csv = "csv",
        /// An array of objects, or one object a line.
        Json = "json",
    }
}

headwater_plugin_api::config! {
    /// A table that points are joined to.
    pub struct TableOptions {
        /// The file. It is read again when it changes, or when another one takes its place (a pipe then
        /// only); a bad one is reported, and the table stays as it was.
        pub file: String = String::new(),
        /// How it is written: "csv", "json", or "auto" for what the name's end says.
        pub format: TableFormat = TableFormat::Auto,
        /// What stands between the cells of CSV. Without it a tab for files that end in `.tsv`, else the comma, semicolon,
        /// tab or bar that the header has most of.
        pub separator: Option<char> = None,
        /// The largest file that is read.
        pub max_size: Size = Size::mib(64),
    }
}

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Version {
    /// Of a pipe there is one version only.
    fn of(meta: &Metadata) -> Self {
        let is_file = meta.is_file();
        let (size, changed) = (meta.size(), (meta.mtime(), meta.mtime_nsec()));
        Version {
            device: meta.dev(),
            inode: meta.ino(),
            size: if is_file { size } else { 0 },
            changed: if is_file { changed } else { (0, 0) },
        }
    }

    /// Whether it is the same file with other contents.
    fn is_rewritten(self, last: Option<Version>) -> bool {
        last.is_some_and(|last| {
            last != self && (last.device, last.inode) == (self.device, self.inode)
        })
    }
}

/// What statements need of a table.
#[derive(Debug, Default, Clone)]
struct Needs {
    /// Columns that are named.
    columns: Vec<String>,
    /// The columns of each key.
    keys: Vec<Vec<String>>,
}

/// A table that may change.
#[derive(Debug)]
pub struct TableSource {
    name: String,
    path: PathBuf,
    format: Format,
    max_size: u64,
    needs: Mutex<Needs>,
    table: RwLock<Arc<Table>>,
    /// Another one after the table changed.
    generation: AtomicU64,
    watch: Mutex<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    /// Of the file that was read last.
    read: Option<Version>,
    /// Of the file that was looked at last.
    seen: Option<Version>,
    /// When it was looked at, nanoseconds.
    looked: Option<i64>,
    /// A problem with looking was told.
    told: bool,
    reading: Option<JoinHandle<Result<Table, Failure>>>,
}

/// Why there is no new table.
#[derive(Debug)]
enum Failure {
    /// What is wrong with the file.
    Bad(String),
    /// Somebody wrote into it meanwhile.
    Changed,
}

/// What came of a look at the file.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// A new table.
    Changed(String),
    /// It is bad: the table stays as it was.
    Bad(String),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TableSource {
    /// How often the file is looked at.
    pub const LOOK_NS: i64 = 1_000_000_000;

    /// A table that was not read yet.
    ///
    /// # Errors
    /// What is wrong with the options: the key and the sentence.
    pub fn new(name: &str, options: &TableOptions) -> Result<Self, (String, String)> {
        let wrong = |key: &str, sentence: String| (format!("tables.{name}.{key}"), sentence);
        if options.file.is_empty() {
            return Err(wrong("file", "there is no file; name a CSV or JSON file".to_owned()));
        }
        let path = PathBuf::from(&options.file);
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let is = |known: &str| end.eq_ignore_ascii_case(known);
        let separator = match options.separator {
            None => is("tsv").then_some(b'\t'),
            Some(separator) if separator.is_ascii() && !matches!(separator, '"' | '\n' | '\r') => {
                Some(separator as u8)
            }
            Some(other) => {
                return Err(wrong(
                    "separator",
                    format!("{other:?} cannot stand between cells; expected one ASCII character"),
                ));
            }
        };
        let format = match options.format {
            TableFormat::Csv => Format::Csv(separator),
            TableFormat::Json => Format::Json,
            TableFormat::Auto if is("csv") || is("tsv") => Format::Csv(separator),
            TableFormat::Auto if is("json") || is("ndjson") || is("jsonl") => Format::Json,
            TableFormat::Auto => {
                return Err(wrong(
                    "format",
                    format!(
                        "the name {:?} does not tell it; set \"csv\" or \"json\"",
                        options.file
                    ),
                ));
            }
        };
        let max_size = options.max_size.as_usize() as u64;
        if max_size == 0 || max_size > Texts::MAX as u64 {
            return Err(wrong("max_size", "expected 1B to 4GiB".to_owned()));
        }
        Ok(TableSource {
            name: name.to_owned(),
            path,
            format,
            max_size,
            needs: Mutex::default(),
            table: RwLock::default(),
            generation: AtomicU64::new(0),
            watch: Mutex::default(),
        })
    }

    /// Takes note of what a statement needs.
    pub fn need<'c>(&self, columns: impl IntoIterator<Item = &'c str>, key: &'c [String]) {
        let mut needs = lock(&self.needs);
        for column in columns.into_iter().chain(key.iter().map(String::as_str)) {
            if !needs.columns.iter().any(|known| known == column) {
                needs.columns.push(column.to_owned());
            }
        }
        if !needs.keys.iter().any(|known| known == key) {
            needs.keys.push(key.to_vec());
        }
    }

    /// Whether a statement needs it.
    pub fn is_needed(&self) -> bool {
        !lock(&self.needs).keys.is_empty()
    }

    /// Changes with the table.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The table that was read last.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file for the first time, on this thread.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(&self) -> Result<(), String> {
        let version = self.version()?;
        let changed = || format!("{}: it was written while it was read", self.path.display());
        let table = self.reading().read().map_err(|failure| match failure {
            Failure::Bad(error) => error,
            Failure::Changed => changed(),
        })?;
        self.put(table);
        let mut watch = lock(&self.watch);
        (watch.read, watch.seen) = (Some(version), Some(version));
        Ok(())
    }

    /// Looks at the file if it is time to, and takes what was read meanwhile.
    pub fn look(&self, now: i64) -> Option<News> {
        let mut watch = lock(&self.watch);
        let watch = &mut *watch;
        if let Some(reading) = watch.reading.take_if(|reading| reading.is_finished()) {
            let failed = || Err(Failure::Bad("reading it failed".to_owned()));
            match reading.join().unwrap_or_else(|_| failed()) {
                Ok(table) => {
                    let rows = table.len();
                    self.put(table);
                    let name = &self.name;
                    return Some(News::Changed(format!(
                        "table `{name}` was read again: {rows} rows"
                    )));
                }
                Err(Failure::Bad(error)) => return Some(News::Bad(self.bad(&error))),
                Err(Failure::Changed) => watch.read = None,
            }
        }
        let is_time =
            watch.looked.is_none_or(|last| now < last || now.saturating_sub(last) >= Self::LOOK_NS);
        if watch.reading.is_some() || !is_time {
            return None;
        }
        watch.looked = Some(now);
        let version = match self.version() {
            Ok(version) => version,
            // It may be on its way to its place.
            Err(error) => {
                (watch.read, watch.seen) = (None, None);
                let is_new = !std::mem::replace(&mut watch.told, true);
                return is_new.then(|| News::Bad(self.bad(&error)));
            }
        };
        watch.told = false;
        let is_rewritten = version.is_rewritten(watch.seen.replace(version));
        // Who writes into it may not be ready.
        if watch.read == Some(version) || is_rewritten {
            return None;
        }
        let reading = self.reading();
        match Builder::new().name("sql-table".to_owned()).spawn(move || reading.read()) {
            Ok(thread) => {
                watch.reading = Some(thread);
                watch.read = Some(version);
            }
            Err(error) => {
                return Some(News::Bad(self.bad(&format!("no thread can be started: {error}"))));
            }
        }
        None
    }

    /// Whether a new version is being read.
    pub fn is_reading(&self) -> bool {
        lock(&self.watch).reading.is_some()
    }

    fn bad(&self, error: &str) -> String {
        format!("table `{}` stays as it was: {error}", self.name)
    }

    fn put(&self, table: Table) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn version(&self) -> Result<Version, String> {
        let meta = fs::metadata(&self.path);
        let meta = meta.map_err(|error| format!("{}: {error}", self.path.display()))?;
        Ok(Version::of(&meta))
    }

    fn reading(&self) -> Reading {
        Reading {
            path: self.path.clone(),
            format: self.format,
            max_size: self.max_size,
            needs: lock(&self.needs).clone(),
        }
    }
}

/// A file that is to be read, on whatever thread.
struct Reading {
    path: PathBuf,
    format: Format,
    max_size: u64,
    needs: Needs,
}

impl Reading {
    fn read(&self) -> Result<Table, Failure> {
        let bad = |error: String| Failure::Bad(format!("{}: {error}", self.path.display()));
        let failed = |error: std::io::Error| bad(error.to_string());
        let mut file = File::open(&self.path).map_err(failed)?;
        let before = file.metadata().map_err(failed)?;
        let table = match before.is_file() {
            true => self.table(&mut file),
            // It can be read once only.
            false => {
                let mut bytes = Vec::new();
                let most = self.max_size.saturating_add(1);
                file.by_ref().take(most).read_to_end(&mut bytes).map_err(failed)?;
                self.table(Cursor::new(bytes))
            }
        };
        let after = file.metadata().map_err(failed)?;
        match Version::of(&before) == Version::of(&after) {
            true => table.map_err(bad),
            false => Err(Failure::Changed),
        }
    }

    fn table(&self, file: impl Read + Seek) -> Result<Table, String> {
        let keys: Vec<&str> = self.needs.keys.iter().flatten().map(String::as_str).collect();
        let table = read(file, self.max_size, self.format, &keys)?;
        for column in &self.needs.columns {
            if table.column(column).is_none() {
                return Err(missing(&table, column));
            }
        }
        for key in &self.needs.keys {
            let columns: Vec<usize> = key.iter().filter_map(|name| table.column(name)).collect();
            table.index(&columns).map_err(|[first, second]| {
                let text = columns.iter().map(|column| table.text(*column, second));
                format!(
                    "rows {} and {} have the same {}: {}; each key may stand there once",
                    first + 1,
                    second + 1,
                    key.join(", "),
                    text.collect::<Vec<_>>().join(", ")
                )
            })?;
        }
        Ok(table)
    }
}

fn missing(table: &Table, column: &str) -> String {
    let names: Vec<&str> = table.columns().collect();
    match nearest(column, names.iter().copied()) {
        Some(near) => format!("there is no column `{column}`; did you mean `{near}`?"),
        None => {
            let some: Vec<&str> = names.into_iter().take(12).collect();
            format!("there is no column `{column}`; it has {}", some.join(", "))
        }
    }
}
