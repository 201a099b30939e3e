//! `headwater quickstart`: the main job, with no file to write first.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::{Diagnostic, Environment, LoadOptions, Plan};
use crate::loader::Registry;

use super::flags::Options;
use super::run::run_plan;
use super::{print, setup};

/// The configuration, the same that stands in the folder `configs`.
pub const TEXT: &str = include_str!("../../../configs/quickstart.toml");

/// What messages call it.
const NAME: &str = "configs/quickstart.toml (built in)";

/// Runs the configuration that is built in.
pub fn run(options: &Options, environment: &dyn Environment, err: &mut dyn Write) -> ExitCode {
    let registry = Arc::new(setup::registry_with(&options.plugin_directories, &[]));
    match load(TEXT, environment, &registry) {
        Ok((plan, diagnostics)) => {
            run_plan(options, environment, registry, plan, &diagnostics, err)
        }
        Err(error) => {
            print(err, format_args!("error: {NAME} cannot be read: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Configuration is read from files; a pipe is one that needs no place.
fn load(
    text: &str,
    environment: &dyn Environment,
    registry: &Registry,
) -> io::Result<(Option<Plan>, Vec<Diagnostic>)> {
    let (reader, mut writer) = io::pipe()?;
    // Shorter than a pipe's buffer by the test below: writing does not wait for the reader.
    writer.write_all(text.as_bytes())?;
    drop(writer);
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let options = LoadOptions { files: vec![PathBuf::from(&path)], ..LoadOptions::default() };
    let (plan, mut diagnostics) = setup::load(&options, environment, registry);
    for diagnostic in &mut diagnostics {
        if let Some(place) = &mut diagnostic.place
            && *place.file == *path
        {
            place.file = NAME.into();
        }
    }
    Ok((plan, diagnostics))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Vars;

    #[test]
    fn fits_a_pipe() {
        assert!(TEXT.len() < 32 * 1024);
        assert!(toml::from_str::<toml::Table>(TEXT).unwrap().contains_key("agent"));
    }

    #[test]
    fn errors_name_the_text_that_is_built_in() {
        let registry = setup::registry_with(&[], &[]);
        let read = |text: &str| load(text, &Vars(Vec::new()), &registry).unwrap();
        let (plan, diagnostics) = read("[agent]\n  interval = '3s'\n");
        assert!(diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(plan.unwrap().agent.interval.to_string(), "3s");
        let (plan, diagnostics) = read("[agent]\n  nothing = 1\n");
        assert!(plan.is_none());
        let line = diagnostics[0].to_string();
        assert!(line.starts_with("configs/quickstart.toml (built in):2:3: error:"), "{line}");
    }
}
