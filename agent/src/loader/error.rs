//! What can be wrong with plugins and their libraries, in words that a person can act on.

use std::fmt;
use std::path::PathBuf;

use headwater_plugin_api::abi::open::RootFault;

use super::PluginKind;
use super::manifest::ManifestError;

/// Why a library is not used. The sentence does not name the library: who prints it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// It cannot be found or read: the system's words.
    Missing(String),
    /// It is a directory, a pipe, a device.
    NotAFile,
    /// Others may write it, or the directory it lies in.
    Writable {
        /// What may be written.
        path: PathBuf,
        /// Whether that is a directory.
        directory: bool,
        /// Its permission bits.
        mode: u32,
        /// The group that may write it; `None` if everybody may.
        group: Option<u32>,
        /// The change that `chmod` takes.
        remedy: &'static str,
    },
    /// It is not a library, or not a plugin.
    Manifest(ManifestError),
    /// The system refused to load it: its words.
    NotLoaded(String),
    /// It has a list of plugins but does not export them.
    NoRoot,
    /// It does not fit this agent.
    Root(RootFault),
    /// Its list names a plugin that it does not bring.
    Untrue(PluginKind, String),
}

impl OpenError {
    /// More about the error, of many lines, for the debug log.
    pub fn detail(&self) -> Option<&str> {
        match self {
            OpenError::Root(RootFault::Layout { detail, .. }) => Some(detail),
            _ => None,
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Missing(why) => write!(f, "it cannot be opened: {why}"),
            OpenError::NotAFile => f.write_str("it is not a regular file"),
            OpenError::Writable { path, directory, mode, group, remedy } => {
                let what = if *directory { "its directory" } else { "it" };
                let by = match group {
                    Some(group) => format!("all of group {group}"),
                    None => "everybody".to_owned(),
                };
                let path = path.display();
                write!(
                    f,
                    "{what} may be written by {by} (mode {mode:04o}), who could thus run code as \
                     the agent: `chmod {remedy} {path}`"
                )
            }
            OpenError::Manifest(error) => error.fmt(f),
            OpenError::NotLoaded(why) => write!(f, "the system cannot load it: {why}"),
            OpenError::NoRoot => {
                f.write_str("it is not a plugin: it lists plugins but exports no root module")
            }
            OpenError::Root(fault) => fmt_root(fault, f),
            OpenError::Untrue(kind, name) => {
                write!(f, "it lists {} `{name}` and does not bring it", kind.with_article())
            }
        }
    }
}

fn fmt_root(fault: &RootFault, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match fault {
        RootFault::Shell(what) => write!(
            f,
            "it does not speak the agent's plugin interface: {what}; build it with the \
             headwater-plugin-api that belongs to this agent"
        ),
        RootFault::Epoch(library, agent) => write!(
            f,
            "it was built for plugin interface {library}, this agent speaks {agent}, and the first \
             numbers must be the same: get a build of it for interface {}.x",
            agent.split('.').next().unwrap_or(agent)
        ),
        RootFault::Undescribed => f.write_str(
            "it does not describe its layout, so that it cannot \
             be checked; build it with the `export!` macro of headwater-plugin-api",
        ),
        RootFault::Layout { library, agent, .. } => write!(
            f,
            "it says it was built for plugin interface {library}, as this agent's {agent}, but its \
             tables are laid out differently: rebuild it with an unchanged headwater-plugin-api \
             (the differences are in the debug log)"
        ),
        RootFault::Panicked => f.write_str("it panicked when asked for its plugins"),
    }
}

impl std::error::Error for OpenError {}

/// A library that is not used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The library.
    pub library: PathBuf,
    /// Why.
    pub error: OpenError,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.library.display(), self.error)
    }
}

/// Why a plugin cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadError {
    /// No library brings it.
    NotFound {
        /// What was wanted.
        kind: PluginKind,
        /// Its name.
        name: String,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// Other kinds that have a plugin of this name.
        other_kinds: Vec<PluginKind>,
        /// Where was searched, with how many plugins of this kind stand in each.
        searched: Vec<(PathBuf, usize)>,
        /// Libraries that could not be looked into.
        faults: Vec<Fault>,
    },
    /// The library that brings it is not used.
    Library {
        /// What was wanted.
        kind: PluginKind,
        /// Its name.
        name: String,
        /// The library and why.
        fault: Fault,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Library { kind, name, fault } => {
                write!(f, "the library of {kind} `{name}` is not used: {fault}")
            }
            LoadError::NotFound { kind, name, nearest, other_kinds, searched, faults } => {
                write!(f, "there is no {kind} `{name}`")?;
                if let Some(nearest) = nearest {
                    write!(f, "; did you mean `{nearest}`?")?;
                } else if let Some(other) = other_kinds.first() {
                    write!(f, "; there is {} of that name", other.with_article())?;
                }
                let places: Vec<String> = searched
                    .iter()
                    .map(|(path, count)| format!("{} ({count} {})", path.display(), kind.plural()))
                    .collect();
                match places.is_empty() {
                    true => f.write_str("; no directory of plugins was found")?,
                    false => write!(f, "; searched in {}", places.join(", "))?,
                }
                for fault in faults {
                    write!(f, "; not used: {fault}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for LoadError {}
