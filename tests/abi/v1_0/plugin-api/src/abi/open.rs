//! The agent's way from a library to its root module: is it a plugin, is it of this epoch, do the
//! layouts fit, and only then the module itself.

use std::sync::OnceLock;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{
    CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::library::{AbiHeaderRef, LibraryError, ROOT_MODULE_LOADER_NAME, RootModule};
use abi_stable::type_layout::TypeLayout;

use super::Bytes;
use super::host::RawSetup;
use super::memory::MemoryFunctions;
use super::module::{INTERFACE, RootRef};

/// The symbol that a library exports.
pub const ROOT_SYMBOL: &str = ROOT_MODULE_LOADER_NAME;

/// The longest description of a mismatch that is kept, in bytes.
const DETAIL_MAX: usize = 64 << 10;

/// Why a library that was opened is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootFault {
    /// It was built with a version of `abi_stable` that lays out its own header differently.
    Shell(String),
    /// It was built for another major version of the interface: its own, and the agent's.
    Epoch(String, String),
    /// It carries no description of its layout.
    Undescribed,
    /// The versions fit and the layouts do not: the interface's version in the library, the
    /// agent's, and a description of many lines.
    Layout {
        /// What the library was built with.
        library: String,
        /// What the agent was built with.
        agent: String,
        /// Of many lines, for those who look for the fault.
        detail: String,
    },
    /// Making its root module panicked.
    Panicked,
}

/// The version of the interface that this side was built with.
pub fn interface_version() -> &'static str {
    <RootRef as RootModule>::VERSION_STRINGS.version.as_str()
}

/// Checks the header of a library and gives its root module.
///
/// # Safety
/// `header` is the address of [`ROOT_SYMBOL`] in a library that is never unloaded.
///
/// # Errors
/// The first check that fails.
pub unsafe fn root(header: std::ptr::NonNull<u8>) -> Result<RootRef, RootFault> {
    // SAFETY: the type is a transparent wrapper of a reference to what stands at the symbol; only
    // the part that never changes is read before it has been found valid.
    let header = unsafe { std::mem::transmute::<std::ptr::NonNull<u8>, AbiHeaderRef>(header) };
    let header = header.upgrade().map_err(|error| RootFault::Shell(shell(error)))?;
    let library = header.version_strings().version.as_str().to_owned();
    let agent = interface_version().to_owned();
    if major(&library) != major(&agent) {
        return Err(RootFault::Epoch(library, agent));
    }
    let layout = header.layout().ok_or(RootFault::Undescribed)?;
    if let Err(detail) = fits(<RootRef as StableAbi>::LAYOUT, layout) {
        return Err(RootFault::Layout { library, agent, detail });
    }
    // SAFETY: the layouts fit: where one side's table is longer, its fields behind the common ones
    // are read through accessors that ask the table itself whether it has them.
    let root = unsafe { header.unchecked_layout::<RootRef>() }.map_err(|_| RootFault::Panicked)?;
    if root.interface() >> 16 != INTERFACE >> 16 {
        let version = root.interface();
        return Err(RootFault::Epoch(format!("{}.{}", version >> 16, version & 0xffff), agent));
    }
    Ok(root)
}

/// Versions of an epoch are linear, so the shorter one of two layouts must be the beginning of the
/// other: the library may be older or newer than the agent, as a whole.
fn fits(agent: &'static TypeLayout, library: &'static TypeLayout) -> Result<(), String> {
    // Each check begins with nothing known: what one library was compared with must not decide
    // about another.
    let check = |interface, implementation| {
        check_layout_compatibility_with_globals(interface, implementation, &CheckingGlobals::new())
    };
    let Err(newer) = check(agent, library) else { return Ok(()) };
    let Err(older) = check(library, agent) else { return Ok(()) };
    let mut detail = format!(
        "as one of the agent's age or newer: {newer}\nas one older than the agent: {older}"
    );
    if detail.len() > DETAIL_MAX {
        detail.truncate(detail.floor_char_boundary(DETAIL_MAX));
        detail.push_str("...");
    }
    Err(detail)
}

fn shell(error: LibraryError) -> String {
    match error {
        LibraryError::InvalidAbiHeader(found)
            if found.magic_string == abi_stable::library::AbiHeader::VALUE.magic_string =>
        {
            format!("it was built with abi_stable 0.{}", found.abi_minor)
        }
        LibraryError::InvalidAbiHeader(_) => "its header is not abi_stable's".to_owned(),
        _ => "its C calls pass values differently".to_owned(),
    }
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

static FORWARD: OnceLock<fn(&str)> = OnceLock::new();

/// Tells a library what it must know before any other call: where memory of batches comes from
/// (its own heap without it), and who hears of panics. The first `panic` given in a process counts.
pub fn set_up(root: RootRef, memory: Option<&'static MemoryFunctions>, panic: fn(&str)) {
    unsafe extern "C" fn forward(message: Bytes) {
        if let Some(forward) = FORWARD.get() {
            // SAFETY: the text lives for the call.
            let message = unsafe { message.to_text() };
            forward(&message);
        }
    }
    FORWARD.get_or_init(|| panic);
    let mut setup = RawSetup {
        size: size_of::<RawSetup>() as u64,
        memory: memory.map_or(std::ptr::null(), std::ptr::from_ref),
        panic: forward,
    };
    // SAFETY: the root module came from `root`; the setup lives for the call, what it points to
    // for ever.
    unsafe { root.set_up()((&raw mut setup).cast()) }
}
