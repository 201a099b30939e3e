//! `headwater config check`: everything that is wrong, in one run.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use headwater_plugin_api::plugin::Level;

use crate::config::Environment;
use crate::observe::{Logger, Metrics};
use crate::pipeline;
use crate::state::Store;

use super::flags::Options;
use super::version::VERSION;
use super::{print, setup};

/// Says what is wrong with the configuration on `err`, or on `out` that nothing is.
pub fn run(
    options: &Options,
    environment: &dyn Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    let registry = Arc::new(setup::registry(options, environment));
    let (plan, mut diagnostics) = setup::load(&options.load, environment, &registry);
    if let Some(plan) = &plan {
        // The plugins check what their schemas cannot tell: each is made, which does no I/O.
        let logger = Logger::to_standard_error(Level::Error);
        let metrics = Arc::new(Metrics::new(VERSION));
        let store = Arc::new(Store::in_memory());
        diagnostics.extend(pipeline::check(plan, registry.clone(), &logger, metrics, store));
    }
    for warning in registry.warnings() {
        print(err, format_args!("warning: {warning}\n"));
    }
    for diagnostic in &diagnostics {
        print(err, format_args!("{diagnostic}\n"));
    }
    let errors = diagnostics.iter().filter(|found| found.is_error()).count();
    if errors > 0 {
        let plural = if errors == 1 { "" } else { "s" };
        print(err, format_args!("{errors} error{plural}\n"));
        return ExitCode::FAILURE;
    }
    if let Some(plan) = &plan {
        print(
            out,
            format_args!(
                "the configuration is right: {} inputs, {} processors, {} aggregators, {} outputs\n",
                plan.inputs.len(),
                plan.processors.len(),
                plan.aggregators.len(),
                plan.outputs.len()
            ),
        );
    }
    ExitCode::SUCCESS
}
