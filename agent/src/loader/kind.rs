//! The kinds of plugins as a configuration tells them apart: gathered and service inputs are one.

use std::fmt;

/// A kind of plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginKind {
    /// Brings points or bytes in.
    Input,
    /// Turns bytes into points.
    Parser,
    /// Turns points into bytes.
    Serializer,
    /// Turns points into points.
    Processor,
    /// Turns points into points for each window of time.
    Aggregator,
    /// Takes points elsewhere.
    Output,
}

impl PluginKind {
    /// All kinds, in the order in which they are listed.
    pub const ALL: [PluginKind; 6] = [
        PluginKind::Input,
        PluginKind::Parser,
        PluginKind::Serializer,
        PluginKind::Processor,
        PluginKind::Aggregator,
        PluginKind::Output,
    ];

    /// The word for one plugin of this kind, as in a library's manifest.
    pub fn word(self) -> &'static str {
        match self {
            PluginKind::Input => "input",
            PluginKind::Parser => "parser",
            PluginKind::Serializer => "serializer",
            PluginKind::Processor => "processor",
            PluginKind::Aggregator => "aggregator",
            PluginKind::Output => "output",
        }
    }

    /// The word for several, as in a configuration.
    pub fn plural(self) -> &'static str {
        match self {
            PluginKind::Input => "inputs",
            PluginKind::Parser => "parsers",
            PluginKind::Serializer => "serializers",
            PluginKind::Processor => "processors",
            PluginKind::Aggregator => "aggregators",
            PluginKind::Output => "outputs",
        }
    }

    /// The kind of this word.
    pub fn from_word(word: &str) -> Option<PluginKind> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// With its article, for sentences: `an input`.
    pub fn with_article(self) -> &'static str {
        match self {
            PluginKind::Input => "an input",
            PluginKind::Parser => "a parser",
            PluginKind::Serializer => "a serializer",
            PluginKind::Processor => "a processor",
            PluginKind::Aggregator => "an aggregator",
            PluginKind::Output => "an output",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
