//! What a library exports: one symbol, `abi_stable`'s header of the root module.

use abi_stable::prefix_type::PrefixTypeTrait;

pub use abi_stable::library::{CheckTypeLayout, LibHeader, RootModuleResult as RootResult};

use super::host::RawSetup;
use super::module::{INTERFACE, Root, RootRef};
use super::shim::panic_message;
use super::{Address, Bytes};
use crate::plugin::Lists;

/// The root module of a family.
pub fn root(family: &'static str, version: &'static str, lists: Lists) -> RootRef {
    Root {
        family: Bytes::new(family.as_bytes()),
        version: Bytes::new(version.as_bytes()),
        interface: INTERFACE,
        set_up,
        inputs: lists.inputs,
        services: lists.services,
        parsers: lists.parsers,
        serializers: lists.serializers,
        processors: lists.processors,
        aggregators: lists.aggregators,
        outputs: lists.outputs,
    }
    .leak_into_prefix()
}

/// Runs the function that makes the root module.
pub fn call(make: fn() -> RootRef) -> RootResult {
    abi_stable::library::__call_root_module_loader(make)
}

unsafe extern "C" fn set_up(setup: Address) {
    // SAFETY: the agent passes a `RawSetup` whose memory functions live for ever.
    let Some(setup) = (unsafe { setup.cast::<RawSetup>().as_ref() }) else { return };
    // SAFETY: as above.
    if let Some(memory) = unsafe { setup.memory.as_ref() } {
        super::memory::set_host_memory(memory);
    }
    let forward = setup.panic;
    std::panic::set_hook(Box::new(move |info| {
        let message = format!(
            "{} at {}",
            panic_message(info.payload()),
            info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string),
        );
        // SAFETY: the agent's function lives for ever and takes text for the call.
        unsafe { forward(Bytes::new(message.as_bytes())) };
    }));
}

/// Exports `$root` under the name that the agent looks for.
#[doc(hidden)]
#[macro_export]
macro_rules! export_root_symbol {
    ($root:path) => {
        // The name that `abi_stable` looks for; a test compares it with the library's own word.
        #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
        static ROOT: $crate::abi::export::LibHeader = {
            // SAFETY: the constructor gives the root module of this very type.
            unsafe {
                $crate::abi::export::LibHeader::from_constructor::<$crate::abi::module::RootRef>(
                    $root,
                    $crate::abi::export::CheckTypeLayout::Yes,
                )
            }
        };
    };
}
