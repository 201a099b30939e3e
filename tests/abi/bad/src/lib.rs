//! Plugins that do wrong, for tests of an agent that goes on and says so.
//!
//! Each gathers, or passes on, one good point `bad,plugin=<name> n=<call>i`, and does its wrong on
//! the calls that its options name.

use std::time::Duration;

use headwater_plugin_api::batch::{Batch, BatchBuilder};
use headwater_plugin_api::config;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin, Processor, Sink};

config! {
    /// Options of all of them.
    pub struct Options {
        /// What goes wrong: `panic`, `hang` (never returns), `deaf` (returns after its deadline, whatever it is told),
        /// `malformed` (hands over a batch that contradicts itself).
        pub fault: String = "panic".to_owned(),
        /// The first call that goes wrong, counted from 1 in each instance.
        pub from: i64 = 1,
        /// The last one.
        pub to: i64 = i64::MAX,
        /// With `deaf`: how long the call takes.
        pub takes_ms: i64 = 2000,
    }
}

/// What both plugins do.
struct Fault {
    options: Options,
    calls: i64,
}

impl Fault {
    fn new(options: Options) -> Result<Fault, Error> {
        if !["panic", "hang", "deaf", "malformed"].contains(&options.fault.as_str()) {
            return Err(Error::config("fault", format!("there is no fault `{}`", options.fault)));
        }
        Ok(Fault { options, calls: 0 })
    }

    /// Counts a call; `true` if it is to hand over a malformed batch. May not return.
    fn call(&mut self) -> bool {
        self.calls += 1;
        if self.calls < self.options.from || self.calls > self.options.to {
            return false;
        }
        match self.options.fault.as_str() {
            "panic" => panic!("a bad plugin panics in call {}", self.calls),
            "hang" => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            "deaf" => {
                std::thread::sleep(Duration::from_millis(self.options.takes_ms.max(0) as u64));
                false
            }
            _ => true,
        }
    }
}

/// A batch of one good point.
fn point(name: &str, call: i64, time_ns: i64) -> Result<Option<Batch>, Error> {
    let mut builder = BatchBuilder::default();
    builder.point("bad").tag("plugin", name).field("n", call).finish(time_ns)?;
    Ok(builder.finish())
}

/// Names a series that is not there.
fn spoil(batch: &mut Batch) {
    batch.edit_rows(|rows| rows.iter_mut().for_each(|row| row.series = 0x0fff_ffff));
}

/// An input that does wrong.
pub struct BadInput(Fault);

impl Plugin for BadInput {
    type Config = Options;
    const NAME: &'static str = "abi_bad";
    const SUMMARY: &'static str = "Does wrong when asked.";

    fn new(options: Options, _host: Host) -> Result<Self, Error> {
        Fault::new(options).map(BadInput)
    }
}

impl Input for BadInput {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let malformed = self.0.call();
        if let Some(mut batch) = point("input", self.0.calls, cx.now())? {
            if malformed {
                spoil(&mut batch);
            }
            out.push(batch);
        }
        Ok(())
    }
}

/// A processor that does wrong.
pub struct BadProcessor(Fault);

impl Plugin for BadProcessor {
    type Config = Options;
    const NAME: &'static str = "abi_bad";
    const SUMMARY: &'static str = "Does wrong when asked.";

    fn new(options: Options, _host: Host) -> Result<Self, Error> {
        Fault::new(options).map(BadProcessor)
    }
}

impl Processor for BadProcessor {
    fn process(
        &mut self,
        _cx: &Context<'_>,
        mut batch: Batch,
        out: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if self.0.call() {
            spoil(&mut batch);
        }
        out.push(batch);
        Ok(())
    }
}

headwater_plugin_api::family! {
    name: "abi_bad",
    inputs: [BadInput],
    processors: [BadProcessor],
}

headwater_plugin_api::export!(Family);
