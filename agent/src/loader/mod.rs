//! Finds, verifies and opens libraries of plugins: the registry by kind and name.
//!
//! [`Registry::new`] looks into the libraries of [`directories::search_path`] without loading any;
//! [`Registry::input`] and its like open the library that brings a plugin. What cannot be used is
//! told by [`Registry::warnings`] and by the [`LoadError`] of a plugin that is missing for it.

mod access;
pub mod directories;
mod error;
mod kind;
mod library;
mod manifest;
mod registry;
pub mod resident;

pub use error::{Fault, LoadError, OpenError};
pub use kind::PluginKind;
pub use library::Welcome;
pub use registry::{InputKind, Listed, Loaded, Registry};

#[cfg(test)]
mod tests;
