//! A family: the plugins that one library brings, and how it exports them.

use crate::abi::module::{
    AggregatorPlugins, InputPlugins, OutputPlugins, ParserPlugins, ProcessorPlugins, RootRef,
    SerializerPlugins, ServicePlugins,
};

/// The plugins of one family, as [`family!`](crate::family!) makes it.
pub trait Family {
    /// The family's name.
    const NAME: &'static str;
    /// The family's version.
    const VERSION: &'static str;
    /// Kind and name of each plugin.
    const MANIFEST: &'static [(&'static str, &'static str)];

    /// What the library exports.
    fn root() -> RootRef;
}

/// Kind and name of the plugins in a library, as one text.
pub type Manifest = &'static [(&'static str, &'static str)];

/// Bytes of a manifest's text.
pub const fn manifest_len(manifest: Manifest) -> usize {
    let mut len = 6;
    let mut at = 0;
    while at < manifest.len() {
        len += manifest[at].0.len() + manifest[at].1.len() + 2;
        at += 1;
    }
    len
}

/// A manifest's text: `HWPM1` and a line `kind name` for each plugin. It stands in the section
/// `.headwater.plugins` of a library, so that the agent knows what is in it without loading it.
pub const fn manifest_bytes<const N: usize>(manifest: Manifest) -> [u8; N] {
    let mut out = [b'\n'; N];
    let mut end = copy(&mut out, 0, b"HWPM1") + 1;
    let mut at = 0;
    while at < manifest.len() {
        end = copy(&mut out, end, manifest[at].0.as_bytes());
        out[end] = b' ';
        end = copy(&mut out, end + 1, manifest[at].1.as_bytes()) + 1;
        at += 1;
    }
    out
}

const fn copy<const N: usize>(out: &mut [u8; N], start: usize, text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() {
        out[start + at] = text[at];
        at += 1;
    }
    start + at
}

/// Lists of plugins by kind, each a function: what [`family!`](crate::family!) fills in.
#[doc(hidden)]
pub struct Lists {
    pub inputs: unsafe extern "C" fn() -> InputPlugins,
    pub services: unsafe extern "C" fn() -> ServicePlugins,
    pub parsers: unsafe extern "C" fn() -> ParserPlugins,
    pub serializers: unsafe extern "C" fn() -> SerializerPlugins,
    pub processors: unsafe extern "C" fn() -> ProcessorPlugins,
    pub aggregators: unsafe extern "C" fn() -> AggregatorPlugins,
    pub outputs: unsafe extern "C" fn() -> OutputPlugins,
}

#[doc(hidden)]
pub fn root(name: &'static str, version: &'static str, lists: Lists) -> RootRef {
    crate::abi::export::root(name, version, lists)
}

/// Declares the plugins of a family: a type `Family` that the library and the static build export.
///
/// ```text
/// headwater_plugin_api::family! {
///     name: "weather",
///     inputs: [station::Station],
///     processors: [units::Units],
/// }
/// ```
#[macro_export]
macro_rules! family {
    (
        name: $name:literal
        $(, inputs: [$($input:ty),* $(,)?])?
        $(, services: [$($service:ty),* $(,)?])?
        $(, parsers: [$($parser:ty),* $(,)?])?
        $(, serializers: [$($serializer:ty),* $(,)?])?
        $(, processors: [$($processor:ty),* $(,)?])?
        $(, aggregators: [$($aggregator:ty),* $(,)?])?
        $(, outputs: [$($output:ty),* $(,)?])?
        $(,)?
    ) => {
        /// The plugins of this family.
        pub struct Family;

        const _: () = {
            use $crate::abi::{module, shim};
            use $crate::plugin::Plugin as _;

            const VERSION: &str = env!("CARGO_PKG_VERSION");

            macro_rules! list {
                ($function:ident, $list:ident, $shim:ident, $all:expr) => {
                    extern "C" fn $function() -> module::$list {
                        static LIST: ::std::sync::OnceLock<module::$list> =
                            ::std::sync::OnceLock::new();
                        *LIST.get_or_init(|| module::$list::leak($all))
                    }
                };
            }

            list!(inputs, InputPlugins, input,
                ::std::vec![$($(shim::input::<$input>(VERSION)),*)?]);
            list!(services, ServicePlugins, service,
                ::std::vec![$($(shim::service::<$service>(VERSION)),*)?]);
            list!(parsers, ParserPlugins, parser,
                ::std::vec![$($(shim::parser::<$parser>(VERSION)),*)?]);
            list!(serializers, SerializerPlugins, serializer,
                ::std::vec![$($(shim::serializer::<$serializer>(VERSION)),*)?]);
            list!(processors, ProcessorPlugins, processor,
                ::std::vec![$($(shim::processor::<$processor>(VERSION)),*)?]);
            list!(aggregators, AggregatorPlugins, aggregator,
                ::std::vec![$($(shim::aggregator::<$aggregator>(VERSION)),*)?]);
            list!(outputs, OutputPlugins, output,
                ::std::vec![$($(shim::output::<$output>(VERSION)),*)?]);

            impl $crate::plugin::Family for Family {
                const NAME: &'static str = $name;
                const VERSION: &'static str = VERSION;
                const MANIFEST: &'static [(&'static str, &'static str)] = &[
                    $($(("input", <$input>::NAME),)*)?
                    $($(("input", <$service>::NAME),)*)?
                    $($(("parser", <$parser>::NAME),)*)?
                    $($(("serializer", <$serializer>::NAME),)*)?
                    $($(("processor", <$processor>::NAME),)*)?
                    $($(("aggregator", <$aggregator>::NAME),)*)?
                    $($(("output", <$output>::NAME),)*)?
                ];

                fn root() -> module::RootRef {
                    $crate::plugin::family_root($name, VERSION, $crate::plugin::Lists {
                        inputs,
                        services,
                        parsers,
                        serializers,
                        processors,
                        aggregators,
                        outputs,
                    })
                }
            }
        };
    };
}

/// Exports a family from a library: the whole of a `dylib` crate.
///
/// ```text
/// headwater_plugin_api::export!(headwater_weather::Family);
/// ```
#[macro_export]
macro_rules! export {
    ($family:ty) => {
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::plugin::{Manifest, manifest_bytes, manifest_len};

            const MANIFEST: Manifest = <$family as $crate::plugin::Family>::MANIFEST;

            // A section of data without code: nothing is run or resolved through it.
            #[unsafe(link_section = ".headwater.plugins")]
            #[used]
            static MANIFEST_TEXT: [u8; manifest_len(MANIFEST)] = manifest_bytes(MANIFEST);

            extern "C" fn root() -> $crate::abi::export::RootResult {
                $crate::abi::export::call(|| {
                    // The reference keeps the section in the library.
                    ::std::hint::black_box(&MANIFEST_TEXT);
                    <$family as $crate::plugin::Family>::root()
                })
            }

            $crate::export_root_symbol!(root);
        };
    };
}
