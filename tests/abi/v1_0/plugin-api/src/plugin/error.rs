//! Errors as protocol and sentence: what the agent does next, and what a person reads.

use std::ops::Range;
use std::time::Duration;

/// What the agent does about an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The configuration cannot be honoured: the agent refuses it, pointing at key or span.
    BadConfig {
        /// The key within the plugin's table, dotted for nested ones.
        key: Option<String>,
        /// The span in the configuration text the plugin was given.
        span: Option<Range<usize>>,
    },
    /// There is no connection: the agent connects again, with back-off, then repeats.
    NotConnected,
    /// The agent repeats after this time, or later.
    RetryAfter(Duration),
    /// These rows (batch in the call, row in the batch) were refused for good, all others are done:
    /// the agent takes the refused ones out and does not repeat.
    Partial(Vec<(u32, u32)>),
    /// All of it was refused for good: the agent does not repeat.
    Refused,
    /// The source has ended.
    End,
    /// The instance cannot go on; the agent does not start it again.
    Fatal,
    /// It did not work this time: the agent repeats, with back-off.
    Failed,
    /// The call panicked: the agent drops the instance and starts another, with back-off. Not for
    /// plugins to return.
    Panicked,
    /// There is nothing to read, or no room, just now.
    WouldBlock,
}

/// An error of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error with its sentence, which names the value and the remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into() }
    }

    /// A configuration error at a key of the plugin's table.
    pub fn config(key: &str, message: impl Into<String>) -> Self {
        Error::new(ErrorKind::BadConfig { key: Some(key.to_owned()), span: None }, message)
    }

    /// [`ErrorKind::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Failed, message)
    }

    /// [`ErrorKind::NotConnected`].
    pub fn not_connected(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::NotConnected, message)
    }

    /// [`ErrorKind::Refused`].
    pub fn refused(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Refused, message)
    }

    /// [`ErrorKind::Fatal`].
    pub fn fatal(message: impl Into<String>) -> Self {
        Error::new(ErrorKind::Fatal, message)
    }

    /// [`ErrorKind::WouldBlock`].
    pub fn would_block() -> Self {
        Error::new(ErrorKind::WouldBlock, "")
    }

    /// What the agent does about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// What a person reads.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same error with words in front, such as the name of a file.
    pub fn context(mut self, words: impl std::fmt::Display) -> Self {
        self.message = format!("{words}: {}", self.message);
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            return Error::would_block();
        }
        Error::failed(error.to_string())
    }
}
