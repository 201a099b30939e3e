//! The registry of plugins by kind and name. Making it reads the list in each library; a library is
//! opened when the first of its plugins is asked for, and then once.

use std::path::PathBuf;
use std::sync::OnceLock;

use headwater_plugin_api::abi::instance;
use headwater_plugin_api::abi::module::{
    AggregatorPlugin, DescriptorRef, InputPlugin, OutputPlugin, ParserPlugin, ProcessorPlugin,
    RootRef, SerializerPlugin, ServicePlugin, describe,
};
use headwater_plugin_api::config::nearest;

use super::access::{self, Identity};
use super::directories::{self, Directory, FAMILY_PREFIX, Origin};
use super::library::{self, Library, Welcome};
use super::{Fault, LoadError, OpenError, PluginKind, manifest, resident};

/// The families of this project. Their batches are not checked again when they stand where only the
/// administrator, or whoever built the agent, puts libraries.
const OWN_FAMILIES: [&str; 9] =
    ["formats", "system", "transform", "aggregate", "sql", "net", "files", "http", "internal"];

/// The most libraries that an error or a warning names.
const NAMED_MAX: usize = 8;

/// Whether libraries can be loaded at all: a program that holds the C library itself cannot.
pub const LOADS_LIBRARIES: bool = !cfg!(target_feature = "crt-static");

/// A plugin, and what its library says about it.
#[derive(Clone, Copy)]
pub struct Loaded<T> {
    /// Its descriptor and functions.
    pub plugin: T,
    /// Whether its batches need no check.
    pub trusted: bool,
}

/// The two kinds of inputs.
#[derive(Clone, Copy)]
pub enum InputKind {
    /// Asked at intervals.
    Gathered(InputPlugin),
    /// Runs by itself.
    Service(ServicePlugin),
}

impl InputKind {
    /// What it is.
    pub fn descriptor(&self) -> DescriptorRef {
        match self {
            InputKind::Gathered(plugin) => plugin.descriptor,
            InputKind::Service(plugin) => plugin.descriptor,
        }
    }
}

/// A plugin as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its kind.
    pub kind: PluginKind,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// Its library; `None` if it is linked in.
    pub library: Option<PathBuf>,
    /// Whether a library of an earlier directory brings one of the same name, which is used.
    pub hidden: bool,
}

/// One library, or one linked family.
struct Entry {
    /// As it was found, for messages; `None` if it is linked in.
    path: Option<PathBuf>,
    /// Where it truly stands.
    place: PathBuf,
    /// The directory in the search path that it was found in.
    directory: usize,
    /// Kind and name of each plugin.
    plugins: Vec<(PluginKind, String)>,
    opened: OnceLock<Result<Library, OpenError>>,
}

impl Entry {
    fn brings(&self, kind: PluginKind, name: &str) -> bool {
        self.plugins.iter().any(|(k, n)| *k == kind && n == name)
    }

    fn label(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| self.place.clone())
    }
}

/// All plugins that can be had.
pub struct Registry {
    directories: Vec<Directory>,
    entries: Vec<Entry>,
    faults: Vec<Fault>,
    warnings: Vec<String>,
    welcome: Welcome,
}

impl Registry {
    /// Looks into the libraries of the directories, see [`directories::search_path`]. `linked` are
    /// the families of a static build; they come before all libraries.
    pub fn new(directories: Vec<Directory>, linked: Vec<RootRef>, welcome: Welcome) -> Registry {
        let mut registry = Registry {
            directories,
            entries: linked.into_iter().map(linked_entry).collect(),
            faults: Vec::new(),
            warnings: Vec::new(),
            welcome,
        };
        if !LOADS_LIBRARIES {
            registry.search_nowhere();
            return registry;
        }
        registry.directories.truncate(directories::DIRECTORIES_MAX);
        let me = Identity::of_process();
        for index in 0..registry.directories.len() {
            registry.search(index, me);
        }
        registry.warn_of_duplicates();
        registry
    }

    /// Says that directories somebody named are of no use here; others go unsaid.
    fn search_nowhere(&mut self) {
        let named = std::mem::take(&mut self.directories);
        let named = named.iter().filter(|directory| directory.origin == Origin::Named);
        let named: Vec<String> = named.map(|d| d.path.display().to_string()).collect();
        if !named.is_empty() {
            self.warnings.push(format!(
                "this is the static build of the agent, which cannot load libraries: {} is not \
                 searched for plugins; use the build that loads libraries, or remove the folder",
                some_of(&named)
            ));
        }
    }

    fn search(&mut self, index: usize, me: Identity) {
        let Directory { path, origin } = self.directories[index].clone();
        let mut libraries: Vec<PathBuf> = match path.read_dir() {
            Ok(entries) => entries
                .flatten()
                .filter(|e| directories::is_library(&e.file_name(), origin == Origin::Program))
                .map(|entry| entry.path())
                .take(directories::LIBRARIES_MAX)
                .collect(),
            Err(error) => {
                if origin == Origin::Named || error.kind() != std::io::ErrorKind::NotFound {
                    let path = path.display();
                    self.warnings.push(format!("plugin directory {path}: {error}"));
                }
                return;
            }
        };
        libraries.sort();
        for library in libraries {
            let found = access::open(&library, me).and_then(|(file, place)| {
                Ok((manifest::read(&file).map_err(OpenError::Manifest)?, place))
            });
            match found {
                Ok((_, place)) if self.entries.iter().any(|entry| entry.place == place) => {}
                Ok((plugins, place)) => self.entries.push(Entry {
                    path: Some(library),
                    place,
                    directory: index,
                    plugins,
                    opened: OnceLock::new(),
                }),
                Err(error) => {
                    let fault = Fault { library, error };
                    self.warnings.push(format!("plugin library {fault}"));
                    self.faults.push(fault);
                }
            }
        }
    }

    fn warn_of_duplicates(&mut self) {
        for (at, later) in self.entries.iter().enumerate() {
            // By the library that is used instead.
            let mut hidden: Vec<(usize, Vec<String>)> = Vec::new();
            for (kind, name) in &later.plugins {
                let used = self.entries[..at].iter().position(|entry| entry.brings(*kind, name));
                let Some(used) = used else { continue };
                let words = format!("{kind} `{name}`");
                match hidden.iter_mut().find(|(entry, _)| *entry == used) {
                    Some((_, names)) => names.push(words),
                    None => hidden.push((used, vec![words])),
                }
            }
            for (used, names) in hidden {
                let used = &self.entries[used];
                if self.is_same_family_elsewhere(used, later) {
                    continue;
                }
                self.warnings.push(format!(
                    "plugin library {} also brings {}; those of {} are used",
                    later.label().display(),
                    some_of(&names),
                    used.label().display(),
                ));
            }
        }
    }

    /// A family of the program that also stands beside it or installed: a build tried out on a
    /// machine that has the package. Nobody needs to be told.
    fn is_same_family_elsewhere(&self, earlier: &Entry, later: &Entry) -> bool {
        let by_default = |entry: &Entry| {
            entry.path.is_some() && self.directories[entry.directory].origin != Origin::Named
        };
        if !by_default(later) {
            return false;
        }
        match (&earlier.path, earlier.opened.get()) {
            (None, Some(Ok(linked))) => {
                let name = format!("{FAMILY_PREFIX}{}.so", linked.family);
                later.place.file_name() == Some(name.as_ref())
            }
            _ => by_default(earlier) && earlier.place.file_name() == later.place.file_name(),
        }
    }

    /// What is wrong with directories and libraries, to be logged once. None of it keeps the agent
    /// from starting.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Libraries that were not looked into, or that were opened and do not fit.
    pub fn faults(&self) -> Vec<Fault> {
        let opened = self.entries.iter().filter_map(|entry| match entry.opened.get() {
            Some(Err(error)) => Some(Fault { library: entry.label(), error: error.clone() }),
            _ => None,
        });
        self.faults.iter().cloned().chain(opened).collect()
    }

    /// The directories that are searched, in order.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// The names of all plugins of a kind, sorted, without opening a library.
    pub fn names(&self, kind: PluginKind) -> Vec<&str> {
        let all = self.entries.iter().flat_map(|entry| &entry.plugins);
        let mut names: Vec<&str> = all.filter(|(k, _)| *k == kind).map(|(_, n)| &**n).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether there is a plugin of this kind and name, without opening its library.
    pub fn has(&self, kind: PluginKind, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.brings(kind, name))
    }

    /// All plugins, in the order of kinds and names. Opens every library; those that do not fit are
    /// among the [`faults`](Self::faults) afterwards.
    pub fn list(&self) -> Vec<Listed> {
        let mut all: Vec<Listed> = Vec::new();
        for entry in &self.entries {
            let Ok(library) = self.open(entry) else { continue };
            let before = all.len();
            for (kind, descriptor) in library.descriptors() {
                let name = library::name(descriptor);
                let hidden = all[..before].iter().any(|p| p.kind == kind && p.name == name);
                all.push(Listed {
                    kind,
                    name,
                    version: library::version(descriptor),
                    summary: library::summary(descriptor),
                    library: entry.path.clone(),
                    hidden,
                });
            }
        }
        all.sort_by(|a, b| (a.kind, &a.name, a.hidden).cmp(&(b.kind, &b.name, b.hidden)));
        all
    }

    fn open<'a>(&self, entry: &'a Entry) -> Result<&'a Library, OpenError> {
        let opened = entry.opened.get_or_init(|| {
            let library = Library::open(&entry.place, self.welcome)?;
            // The start would be an agent's peak if what starts each library stayed until all are started.
            resident::release_grown_code();
            let has = |kind, wanted: &str| {
                library.descriptors().any(|(k, d)| k == kind && library::name(d) == wanted)
            };
            match entry.plugins.iter().find(|(kind, name)| !has(*kind, name)) {
                Some((kind, name)) => Err(OpenError::Untrue(*kind, name.clone())),
                None => Ok(library),
            }
        });
        opened.as_ref().map_err(Clone::clone)
    }

    /// The first library that brings a plugin.
    fn find(&self, kind: PluginKind, name: &str) -> Result<(&Entry, &Library), LoadError> {
        let Some(entry) = self.entries.iter().find(|entry| entry.brings(kind, name)) else {
            return Err(self.not_found(kind, name));
        };
        let library = self.open(entry).map_err(|error| LoadError::Library {
            kind,
            name: name.to_owned(),
            fault: Fault { library: entry.label(), error },
        })?;
        Ok((entry, library))
    }

    fn not_found(&self, kind: PluginKind, name: &str) -> LoadError {
        let names = self.names(kind);
        let count = |directory: usize| {
            let inside = self.entries.iter().filter(|e| e.path.is_some());
            let inside = inside.filter(|entry| entry.directory == directory);
            inside.flat_map(|e| &e.plugins).filter(|(k, _)| *k == kind).count()
        };
        let linked = self.entries.iter().filter(|e| e.path.is_none()).flat_map(|e| &e.plugins);
        let linked = linked.filter(|(k, _)| *k == kind).count();
        let program = (linked > 0).then(|| ("the program itself".into(), linked));
        let directories = self.directories.iter().enumerate();
        LoadError::NotFound {
            kind,
            name: name.to_owned(),
            nearest: nearest(name, names.iter().copied()).map(ToOwned::to_owned),
            other_kinds: PluginKind::ALL.into_iter().filter(|k| self.has(*k, name)).collect(),
            searched: program
                .into_iter()
                .chain(directories.map(|(index, d)| (d.path.clone(), count(index))))
                .collect(),
            faults: self.faults.iter().take(NAMED_MAX).cloned().collect(),
        }
    }

    fn loaded<T>(&self, entry: &Entry, library: &Library, plugin: T) -> Loaded<T> {
        let own = OWN_FAMILIES.contains(&library.family.as_str());
        let trusted = match entry.path {
            None => true,
            Some(_) => own && self.directories[entry.directory].origin != Origin::Named,
        };
        Loaded { plugin, trusted }
    }

    /// The input of this name.
    ///
    /// # Errors
    /// There is none, or its library is not used.
    pub fn input(&self, name: &str) -> Result<Loaded<InputKind>, LoadError> {
        let (entry, library) = self.find(PluginKind::Input, name)?;
        let gathered = library.inputs.iter().find(|p| library::name(p.descriptor) == name);
        let service = library.services.iter().find(|p| library::name(p.descriptor) == name);
        let plugin = gathered
            .map(|plugin| InputKind::Gathered(*plugin))
            .or_else(|| service.map(|plugin| InputKind::Service(*plugin)));
        match plugin {
            Some(plugin) => Ok(self.loaded(entry, library, plugin)),
            None => Err(self.not_found(PluginKind::Input, name)),
        }
    }

    /// The descriptor of a plugin.
    fn descriptor(&self, kind: PluginKind, name: &str) -> Result<DescriptorRef, LoadError> {
        let (_, library) = self.find(kind, name)?;
        let mut all = library.descriptors();
        match all.find(|(k, descriptor)| *k == kind && library::name(*descriptor) == name) {
            Some((_, descriptor)) => Ok(descriptor),
            None => Err(self.not_found(kind, name)),
        }
    }

    /// The schema of a plugin's options, as TOML.
    ///
    /// # Errors
    /// There is no such plugin, or its library is not used.
    pub fn schema(&self, kind: PluginKind, name: &str) -> Result<String, LoadError> {
        Ok(instance::describe(self.descriptor(kind, name)?, describe::SCHEMA))
    }

    /// A sample configuration of a plugin.
    ///
    /// # Errors
    /// There is no such plugin, or its library is not used.
    pub fn sample(&self, kind: PluginKind, name: &str) -> Result<String, LoadError> {
        Ok(instance::describe(self.descriptor(kind, name)?, describe::SAMPLE))
    }
}

macro_rules! lookup {
    ($($(#[$doc:meta])* $function:ident, $kind:ident, $plugin:ident, $list:ident;)*) => {
        impl Registry {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// There is none, or its library is not used.
                pub fn $function(&self, name: &str) -> Result<Loaded<$plugin>, LoadError> {
                    let (entry, library) = self.find(PluginKind::$kind, name)?;
                    match library.$list.iter().find(|p| library::name(p.descriptor) == name) {
                        Some(plugin) => Ok(self.loaded(entry, library, *plugin)),
                        None => Err(self.not_found(PluginKind::$kind, name)),
                    }
                }
            )*
        }
    };
}

lookup! {
    /// The parser of this name.
    parser, Parser, ParserPlugin, parsers;
    /// The serializer of this name.
    serializer, Serializer, SerializerPlugin, serializers;
    /// The processor of this name.
    processor, Processor, ProcessorPlugin, processors;
    /// The aggregator of this name.
    aggregator, Aggregator, AggregatorPlugin, aggregators;
    /// The output of this name.
    output, Output, OutputPlugin, outputs;
}

fn linked_entry(root: RootRef) -> Entry {
    let library = Library::of(root);
    let plugins = library.descriptors().map(|(kind, d)| (kind, library::name(d))).collect();
    Entry {
        path: None,
        place: PathBuf::from(format!("family {} (linked in)", library.family)),
        directory: 0,
        plugins,
        opened: OnceLock::from(Ok(library)),
    }
}

fn some_of(names: &[String]) -> String {
    match names.len().checked_sub(NAMED_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", names[..NAMED_MAX].join(", ")),
        _ => names.join(", "),
    }
}
