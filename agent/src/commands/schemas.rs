//! The loader's plugins as the configuration asks for them.

use headwater_plugin_api::abi::module::{DescriptorRef, capability};

use crate::config::{self, PluginSchema, Schemas};
use crate::loader::{InputKind, LoadError, PluginKind, Registry};

pub struct RegistrySchemas<'a>(pub &'a Registry);

impl Schemas for RegistrySchemas<'_> {
    fn schema(&self, kind: config::PluginKind, name: &str) -> Result<PluginSchema, String> {
        let read = || -> Result<PluginSchema, LoadError> {
            let kind = loader_kind(kind);
            let service = kind == PluginKind::Input
                && matches!(self.0.input(name)?.plugin, InputKind::Service(_));
            let capabilities = descriptor(self.0, kind, name)?.capabilities();
            let formatted = capability::PARSED | capability::SERIALIZED;
            Ok(PluginSchema {
                text: self.0.schema(kind, name)?,
                takes_format: capabilities & formatted != 0,
                service,
            })
        };
        read().map_err(|mut error| {
            // The configuration gives the nearest name as its help.
            if let LoadError::NotFound { nearest, other_kinds, .. } = &mut error
                && nearest.take().is_some()
            {
                other_kinds.clear();
            }
            error.to_string()
        })
    }

    fn names(&self, kind: config::PluginKind) -> Vec<String> {
        self.0.names(loader_kind(kind)).into_iter().map(ToOwned::to_owned).collect()
    }
}

/// The same kind in the loader's terms.
pub fn loader_kind(kind: config::PluginKind) -> PluginKind {
    match kind {
        config::PluginKind::Input => PluginKind::Input,
        config::PluginKind::Processor => PluginKind::Processor,
        config::PluginKind::Aggregator => PluginKind::Aggregator,
        config::PluginKind::Output => PluginKind::Output,
        config::PluginKind::Parser => PluginKind::Parser,
        config::PluginKind::Serializer => PluginKind::Serializer,
    }
}

/// What a plugin says of itself.
///
/// # Errors
/// There is no such plugin, or its library is not used.
pub fn descriptor(
    registry: &Registry,
    kind: PluginKind,
    name: &str,
) -> Result<DescriptorRef, LoadError> {
    Ok(match kind {
        PluginKind::Input => registry.input(name)?.plugin.descriptor(),
        PluginKind::Parser => registry.parser(name)?.plugin.descriptor,
        PluginKind::Serializer => registry.serializer(name)?.plugin.descriptor,
        PluginKind::Processor => registry.processor(name)?.plugin.descriptor,
        PluginKind::Aggregator => registry.aggregator(name)?.plugin.descriptor,
        PluginKind::Output => registry.output(name)?.plugin.descriptor,
    })
}
