//! How an interface grows: makes a later version of a copy of today's plugin-api, called 1.1 here, by
//! adding to its sources one of each thing that may be added: a field and a function at the end of a table, a field at the end of
//! a struct with a size, sections of a batch, a capability bit and a host service.

use std::path::Path;

/// An addition: file, the words to find one after the other, what to put behind the last of them.
type Addition = (&'static str, &'static [&'static str], &'static str);

/// Grows the plugin-api in this folder.
pub fn grow(api: &Path) {
    for (file, words, text) in ADDITIONS {
        let path = api.join("src").join(file);
        let mut source = std::fs::read_to_string(&path).unwrap();
        let mut at = 0;
        for word in *words {
            let found = source[at..].find(word);
            let found =
                found.unwrap_or_else(|| panic!("{file}: no {word:?} after {at}: {words:?}"));
            at += found + word.len();
        }
        source.insert_str(at, text);
        std::fs::write(&path, source).unwrap();
    }
    std::fs::write(api.join("src/batch/notes.rs"), NOTES).unwrap();
    replace(&api.join("Cargo.toml"), "\nversion = \"1.", "\n", "version = \"1.900.0\"");
    replace(
        &api.join("src/abi/module.rs"),
        "\npub const INTERFACE: u32 = ",
        ";",
        "pub const INTERFACE: u32 = 0x0001_0384",
    );
}

/// Puts `text` in the place of what begins with `start` and ends before `end`.
fn replace(path: &Path, start: &str, end: &str, text: &str) {
    let mut source = std::fs::read_to_string(path).unwrap();
    let from = source.find(start).unwrap_or_else(|| panic!("{}: no {start:?}", path.display())) + 1;
    let to = from + source[from..].find(end).unwrap();
    source.replace_range(from..to, text);
    std::fs::write(path, source).unwrap();
}

const ADDITIONS: &[Addition] = &[
    // A capability bit.
    (
        "abi/module.rs",
        &["pub mod capability {\n"],
        "    /// Since 1.1: it writes notes into batches.\n    pub const NOTING: u64 = 1 << 60;\n",
    ),
    (
        "plugin/mod.rs",
        &["impl Capabilities {\n"],
        "    /// Writes notes.\n    pub const NOTING: Self = Self(capability::NOTING);\n",
    ),
    // A field of a table.
    (
        "abi/module.rs",
        &["pub struct Descriptor {", "pub lifecycle: LifecycleFunctionsRef,\n"],
        "    /// Since 1.1: the plugin's licence.\n    pub license: Bytes,\n",
    ),
    (
        "abi/shim.rs",
        &["fn descriptor<", "lifecycle: LifecycleFunctions {", ".leak_into_prefix(),\n"],
        "        license: Bytes::new(P::LICENSE.as_bytes()),\n",
    ),
    (
        "plugin/mod.rs",
        &["pub trait Plugin:", "const SUMMARY: &'static str;\n"],
        "    /// Its licence.\n    const LICENSE: &'static str = \"\";\n",
    ),
    // A function of a table.
    (
        "abi/module.rs",
        &["ProcessorFunctions, ProcessorFunctionsRef, {", "pub control:", ") -> u32,\n"],
        FLUSH_FIELD,
    ),
    ("abi/shim.rs", &["pub fn processor<", "{\n"], FLUSH_SHIM),
    (
        "abi/shim.rs",
        &["pub fn processor<", "functions: ProcessorFunctions {", "control: control_or_share::<P>,\n"],
        "            flush: flush::<P>,\n",
    ),
    ("abi/instance.rs", &["stage!(AggregatorInstance);\n"], FLUSH_CALL),
    ("plugin/mod.rs", &["pub trait Processor: Plugin {\n"], FLUSH_TRAIT),
    // A field of a struct with a size.
    (
        "abi/host.rs",
        &["pub struct RawContext {", "pub cancel: *const std::sync::atomic::AtomicU32,\n"],
        TRACE_FIELD,
    ),
    ("plugin/context.rs", &["cancel: Option<&'a AtomicU32>,\n"], "    trace: u64,\n"),
    ("plugin/context.rs", &["Context { now_ns, deadline, cancel, "], "trace: 0, "),
    (
        "plugin/context.rs",
        &["cancel: self.cancel.map_or(std::ptr::null(), std::ptr::from_ref),\n"],
        "            trace: self.trace,\n",
    ),
    ("plugin/context.rs", &["impl<'a> Context<'a> {\n"], TRACE_METHODS),
    (
        "abi/shim.rs",
        &[
            "pub unsafe fn context<",
            "Context::new(raw.now_ns, timeout, unsafe { raw.cancel.as_ref() })",
        ],
        ".with_trace(raw.trace())",
    ),
    // A host service.
    (
        "abi/host.rs",
        &[
            "pub struct HostFunctions {",
            "pub keeps_state: unsafe extern \"C\" fn(data: Address) -> u32,\n",
        ],
        "    /// Since 1.1: hands the name of this machine to the taker.\n    pub host_name: unsafe extern \"C\" fn(data: Address, taker: Taker) -> u32,\n",
    ),
    (
        "abi/serve.rs",
        &["pub trait HostServices: Send + Sync + 'static {\n"],
        "    /// The name of this machine.\n    fn host_name(&self) -> Option<String> {\n        None\n    }\n",
    ),
    ("abi/serve.rs", &["release: host_release,\n"], "            host_name: host_host_name,\n"),
    ("abi/serve.rs", &["type SharedHost = Arc<dyn HostServices>;\n"], HOST_NAME_SERVE),
    (
        "abi/call.rs",
        &["/// The agent's clock.\npub fn now(host: &RawHost) -> i64 {", "\n}\n"],
        HOST_NAME_CALL,
    ),
    (
        "plugin/host.rs",
        &["impl Host {\n"],
        "    /// The name of this machine, from an agent that tells it.\n    pub fn host_name(&self) -> Option<String> {\n        call::host_name(self.raw.as_ref()?)\n    }\n\n",
    ),
    // Sections of a batch.
    (
        "batch/layout.rs",
        &["pub mod section {\n"],
        "    /// Since 1.1: notes, one byte an element; readers may do without.\n    pub const NOTES: u32 = 0x1000;\n    /// Since 1.1: notes that readers must not do without.\n    pub const WARNINGS: u32 = 0x1001;\n",
    ),
    (
        "abi/tables.rs",
        &["section::SELECTION => known.selection = typed(entry)?,\n"],
        "                section::WARNINGS => {}\n",
    ),
    ("batch/mod.rs", &["\nmod map;\n"], "mod notes;\n"),
];

const FLUSH_FIELD: &str = r#"        /// Since 1.1: emits what it holds.
        pub flush: unsafe extern "C" fn(
            instance: Address,
            context: Address,
            sink: RawSink,
            report: Address,
        ) -> u32,
"#;

const FLUSH_SHIM: &str = r#"    unsafe extern "C" fn flush<P: Processor>(
        instance: Address,
        context: Address,
        sink: RawSink,
        report: Address,
    ) -> u32 {
        guarded(report, || {
            let mut sink = Sink { raw: sink, _call: PhantomData };
            // SAFETY: see the module.
            unsafe { boxed::<P>(instance).plugin.flush(&self::context(context), &mut sink) }
        })
    }
"#;

const FLUSH_CALL: &str = r#"
impl ProcessorInstance {
    /// See [`Processor::flush`](crate::plugin::Processor::flush); `None` from an older plugin.
    pub fn flush(&mut self, cx: &Context<'_>, sink: RawSink) -> Option<Result<(), Error>> {
        let flush = self.functions.flush()?;
        let mut context = cx.to_raw();
        // SAFETY: see the module.
        Some(report::call(|report| unsafe {
            flush(self.base.data, (&raw mut context).cast(), sink, report.cast())
        }))
    }
}
"#;

const FLUSH_TRAIT: &str = r#"    /// Emits what it holds.
    fn flush(&mut self, _cx: &Context<'_>, _out: &mut Sink<'_>) -> Result<(), Error> {
        Ok(())
    }

"#;

const TRACE_FIELD: &str = r#"    /// Since 1.1: the number of the trace that this call belongs to, 0 for none.
    pub trace: u64,
}

impl RawContext {
    /// The trace; 0 from an agent that is older.
    pub fn trace(&self) -> u64 {
        match self.size as usize >= std::mem::offset_of!(RawContext, trace) + 8 {
            true => self.trace,
            false => 0,
        }
    }
"#;

const TRACE_METHODS: &str = r#"    /// The same with the trace that the call belongs to.
    pub fn with_trace(mut self, trace: u64) -> Self {
        self.trace = trace;
        self
    }

    /// The trace that the call belongs to, 0 for none.
    pub fn trace(&self) -> u64 {
        self.trace
    }

"#;

const HOST_NAME_SERVE: &str = r#"
unsafe extern "C" fn host_host_name(data: Address, taker: Taker) -> u32 {
    // SAFETY: see the module.
    guarded(|| unsafe {
        match shared::<dyn HostServices>(data).host_name() {
            Some(name) => {
                taker.put(name.as_bytes());
                status::OK
            }
            None => status::FAILED,
        }
    })
}
"#;

const HOST_NAME_CALL: &str = r#"
/// The name of this machine; `None` from an agent that is older.
pub fn host_name(host: &RawHost) -> Option<String> {
    let host_name = host.functions.host_name()?;
    let mut name = Vec::new();
    // SAFETY: see the module.
    let code = unsafe { host_name(host.data, Taker::into(&mut name)) };
    (code == status::OK).then(|| String::from_utf8_lossy(&name).into_owned())
}
"#;

const NOTES: &str = r#"//! Notes: sections that came with 1.1.

use super::Batch;
use super::layout::section;
use crate::abi::tables::{TableSet, carry};

impl Batch {
    /// Writes a note; `must` if who cannot read it must not take the batch.
    pub fn note(&mut self, note: &str, must: bool) {
        let (id, flags) =
            if must { (section::WARNINGS, section::MUST_UNDERSTAND) } else { (section::NOTES, 0) };
        let carried = vec![(id, flags, 1, carry(note.as_bytes()), note.len() as u64)];
        let shared = Some(self.tables.clone());
        self.tables = TableSet { carried, shared, ..TableSet::default() }.freeze();
    }

    /// The note.
    pub fn read_note(&self) -> Option<&str> {
        let entry = self.tables.sections().iter().find(|entry| entry.id == section::NOTES)?;
        std::str::from_utf8(self.tables.section_bytes(entry)).ok()
    }
}
"#;
