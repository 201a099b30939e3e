//! `headwater quickstart`: the main job, with no file to write first.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::{Diagnostic, Environment, LoadOptions, Plan};
use crate::loader::Registry;

use super::flags::Options;
use super::run::run_plan;
use super::setup;

/// The configuration, the same that stands in the folder `configs`.
pub const TEXT: &str = include_str!("../../../configs/quickstart.toml");

/// What messages call it.
const NAME: &str = "configs/quickstart.toml (built in)";

/// Runs the configuration that is built in.
pub fn run(options: &Options, environment: &dyn Environment, err: &mut dyn Write) -> ExitCode {
    let registry = Arc::new(setup::registry_with(&options.plugin_directories, &[]));
    let (plan, diagnostics) = load(TEXT, environment, &registry);
    run_plan(options, environment, registry, plan, &diagnostics, err)
}

fn load(
    text: &str,
    environment: &dyn Environment,
    registry: &Registry,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let texts = vec![(NAME.to_owned(), text.to_owned())];
    setup::load(&LoadOptions { texts, ..LoadOptions::default() }, environment, registry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Vars;

    #[test]
    fn errors_name_the_text_that_is_built_in() {
        let registry = setup::registry_with(&[], &[]);
        let read = |text: &str| load(text, &Vars(Vec::new()), &registry);
        let (plan, diagnostics) = read("[agent]\n  interval = '3s'\n");
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(plan.unwrap().agent.interval.to_string(), "3s");
        let (plan, diagnostics) = read("[agent]\n  nothing = 1\n");
        assert!(plan.is_none());
        let line = diagnostics[0].to_string();
        assert!(line.starts_with("configs/quickstart.toml (built in):2:3: error:"), "{line}");
    }
}
