//! The output of `--test`: every point as `> ` and its line on standard output.

use std::io::Write;

use headwater_plugin_api::abi::module::OutputPlugin;
use headwater_plugin_api::abi::shim;
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Context, Error, Host, Output, OwnedSerializer, Plugin};

headwater_plugin_api::config! {
    /// No options.
    pub struct TestConfig {}
}

/// Prints points.
pub struct TestOutput {
    serializer: OwnedSerializer,
    lines: Vec<u8>,
}

impl Plugin for TestOutput {
    type Config = TestConfig;
    const NAME: &'static str = "test";
    const SUMMARY: &'static str = "Prints points on standard output";

    fn new(_config: TestConfig, host: Host) -> Result<Self, Error> {
        let options = "influx_sort_fields = true\ninflux_uint_support = true\n";
        Ok(TestOutput { serializer: host.serializer("influx", options)?, lines: Vec::new() })
    }
}

impl Output for TestOutput {
    fn write(&mut self, cx: &Context<'_>, batches: &[Batch]) -> Result<(), Error> {
        for batch in batches {
            self.lines.clear();
            self.serializer.serialize(cx, batch, &mut self.lines)?;
            let mut out = std::io::stdout().lock();
            for line in self.lines.split_inclusive(|byte| *byte == b'\n') {
                out.write_all(b"> ")?;
                out.write_all(line)?;
            }
            out.flush()?;
        }
        Ok(())
    }
}

/// Its function table.
pub fn plugin() -> OutputPlugin {
    shim::output::<TestOutput>(env!("CARGO_PKG_VERSION"))
}
