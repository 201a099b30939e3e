//! One library: opened once, checked, kept for ever.
#![allow(unsafe_code)]

use std::path::Path;
use std::ptr::NonNull;

use headwater_plugin_api::abi::Bytes;
use headwater_plugin_api::abi::memory::MemoryFunctions;
use headwater_plugin_api::abi::module::{
    AggregatorPlugin, DescriptorRef, InputPlugin, OutputPlugin, ParserPlugin, ProcessorPlugin,
    RootRef, SerializerPlugin, ServicePlugin,
};
use headwater_plugin_api::abi::open;
use libloading::os::unix::{Library as Opened, RTLD_LOCAL, RTLD_NOW};

use super::registry::LOADS_LIBRARIES;
use super::{OpenError, PluginKind};

/// What a library is told when it is opened.
#[derive(Clone, Copy)]
pub struct Welcome {
    /// Where memory of batches comes from; each library's own heap without it.
    pub memory: Option<&'static MemoryFunctions>,
    /// Hears of panics in libraries: message and place.
    pub panic: fn(&str),
}

/// A library whose layout was checked, or a family that is linked in.
pub struct Library {
    /// The name of its family.
    pub family: String,
    pub(super) inputs: &'static [InputPlugin],
    pub(super) services: &'static [ServicePlugin],
    pub(super) parsers: &'static [ParserPlugin],
    pub(super) serializers: &'static [SerializerPlugin],
    pub(super) processors: &'static [ProcessorPlugin],
    pub(super) aggregators: &'static [AggregatorPlugin],
    pub(super) outputs: &'static [OutputPlugin],
}

impl Library {
    /// Loads the library at an absolute path for ever, checks it and welcomes it.
    ///
    /// # Errors
    /// It cannot be loaded or does not fit.
    pub fn open(path: &Path, welcome: Welcome) -> Result<Library, OpenError> {
        if !LOADS_LIBRARIES {
            return Err(OpenError::NotLoaded("this program is linked statically".into()));
        }
        // Resolved at once, so that what is missing shows now; out of sight of other libraries; and
        // never unloaded, since its functions stand in tables and batches.
        let flags = RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE;
        // SAFETY: its initialisers run. That the file is a plugin that nobody else could have
        // written was checked before; it is trusted as the agent itself is.
        let library = unsafe { Opened::open(Some(path), flags) }
            .map_err(|error| OpenError::NotLoaded(system_words(&error)))?;
        let header = {
            // SAFETY: a symbol is taken as an address alone.
            let symbol = unsafe { library.get::<*const u8>(open::ROOT_SYMBOL.as_bytes()) };
            symbol.ok().and_then(|symbol| NonNull::new(symbol.as_raw_ptr().cast::<u8>()))
        };
        std::mem::forget(library);
        // SAFETY: the address is that of the root symbol; the library stays.
        let root = unsafe { open::root(header.ok_or(OpenError::NoRoot)?) };
        let root = root.map_err(OpenError::Root)?;
        open::set_up(root, welcome.memory, welcome.panic);
        Ok(Library::of(root))
    }

    /// A family by its root module: one that was checked, or one that is linked in.
    pub fn of(root: RootRef) -> Library {
        // SAFETY: the functions take nothing, and their lists live for ever.
        unsafe {
            Library {
                family: text(root.family()),
                inputs: root.inputs()().as_slice(),
                services: root.services()().as_slice(),
                parsers: root.parsers()().as_slice(),
                serializers: root.serializers()().as_slice(),
                processors: root.processors()().as_slice(),
                aggregators: root.aggregators()().as_slice(),
                outputs: root.outputs()().as_slice(),
            }
        }
    }

    /// Kind and descriptor of each plugin.
    pub fn descriptors(&self) -> impl Iterator<Item = (PluginKind, DescriptorRef)> + '_ {
        macro_rules! of {
            ($kind:ident, $list:ident) => {
                self.$list.iter().map(|plugin| (PluginKind::$kind, plugin.descriptor))
            };
        }
        of!(Input, inputs)
            .chain(of!(Input, services))
            .chain(of!(Parser, parsers))
            .chain(of!(Serializer, serializers))
            .chain(of!(Processor, processors))
            .chain(of!(Aggregator, aggregators))
            .chain(of!(Output, outputs))
    }
}

/// The plugin's name.
pub fn name(descriptor: DescriptorRef) -> String {
    text(descriptor.name())
}

/// The plugin's version.
pub fn version(descriptor: DescriptorRef) -> String {
    text(descriptor.version())
}

/// The plugin's summary.
pub fn summary(descriptor: DescriptorRef) -> String {
    text(descriptor.summary())
}

fn text(bytes: Bytes) -> String {
    // SAFETY: texts in a root module and its descriptors live for ever.
    unsafe { bytes.to_text() }.into_owned()
}

/// What the dynamic linker said, which stands below what `libloading` says.
fn system_words(error: &libloading::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}
