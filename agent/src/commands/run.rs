//! `headwater run`: reads the configuration, opens log and state, and hands all to the pipeline.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use headwater_plugin_api::plugin::Level;

use crate::config::{AgentConfig, Diagnostic, Environment, LogFormat, Plan};
use crate::loader::Registry;
use crate::observe::{Format, LogOptions, Logger, Metrics, Rotation, Zone, log, panics};
use crate::pipeline::{self, Mode, RunRequest};
use crate::state::{Store, default_folder};

use super::flags::Options;
use super::notify::{self, Notifier};
use super::pidfile::Pidfile;
use super::version::VERSION;
use super::{print, setup};

/// Reads the configuration and runs it.
pub fn run(options: &Options, environment: &dyn Environment, err: &mut dyn Write) -> ExitCode {
    let registry = Arc::new(setup::registry(options, environment));
    let (plan, diagnostics) = setup::load(&options.load, environment, &registry);
    run_plan(options, environment, registry, plan, &diagnostics, err)
}

/// Runs what was read, or says on `err` why not.
pub fn run_plan(
    options: &Options,
    environment: &dyn Environment,
    registry: Arc<Registry>,
    plan: Option<Plan>,
    diagnostics: &[Diagnostic],
    err: &mut dyn Write,
) -> ExitCode {
    let Some(plan) = plan else {
        for diagnostic in diagnostics {
            print(err, format_args!("{diagnostic}\n"));
        }
        return ExitCode::FAILURE;
    };
    match start(options, environment, registry, plan, diagnostics) {
        Ok((request, pidfile)) => {
            let logger = request.logger.clone();
            let code = pipeline::run(request);
            logger.flush();
            drop(pidfile);
            code
        }
        Err(error) => {
            print(err, format_args!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn start(
    options: &Options,
    environment: &dyn Environment,
    registry: Arc<Registry>,
    plan: Plan,
    diagnostics: &[Diagnostic],
) -> Result<(RunRequest, Option<Pidfile>), String> {
    let logger = Logger::open(log_options(options, &plan.agent)?, log::system_clock())?;
    panics::send_to(&logger);
    let log = logger.agent();
    log.info(format_args!("Starting headwater {VERSION}"));
    // One by one: places in files differ in their numbers alone, and none may be lost.
    for diagnostic in diagnostics {
        log.log_each(Level::Warning, diagnostic);
    }
    for warning in registry.warnings() {
        log.log_each(Level::Warning, warning);
    }
    for line in loaded(&plan) {
        log.log_each(Level::Information, line);
    }
    let mode = mode(options);
    let state = open_state(&plan.agent.statefile, environment, mode)?;
    match state.folder() {
        Some(folder) => log.debug(format_args!("state is kept in {}", folder.display())),
        None => log.debug("state ends with the process"),
    }
    let pidfile = options.pidfile.as_deref().map(Pidfile::write).transpose()?;
    let notifier = Notifier::new(environment.var(notify::VARIABLE).as_ref().map(AsRef::as_ref))
        .map_err(|error| format!("{} is not the address of a socket: {error}", notify::VARIABLE))?;
    let metrics = Arc::new(Metrics::new(VERSION));
    let store = Arc::new(state);
    let notifier = Arc::new(notifier);
    let tell = |what: fn(&Notifier) -> io::Result<()>| -> Box<dyn FnOnce() + Send> {
        let (notifier, log) = (notifier.clone(), log.clone());
        Box::new(move || {
            if let Err(error) = what(&notifier) {
                log.warn(format_args!("systemd cannot be told: {error}"));
            }
        })
    };
    let (on_ready, on_stopping) = (tell(Notifier::ready), tell(Notifier::stopping));
    Ok((
        RunRequest { plan, registry, logger, metrics, store, mode, on_ready, on_stopping },
        pidfile,
    ))
}

fn mode(options: &Options) -> Mode {
    let wait = options.test_wait.map_or(Duration::ZERO, Into::into);
    match (options.test, options.once) {
        (true, _) => Mode::Test(wait),
        (false, true) => Mode::Once(wait),
        (false, false) => Mode::Run,
    }
}

/// What the log is to be; the command line goes before `[agent]`.
fn log_options(options: &Options, agent: &AgentConfig) -> Result<LogOptions, String> {
    let level = match () {
        () if options.debug => Level::Debug,
        () if options.quiet => Level::Error,
        () if agent.quiet => Level::Error,
        () if agent.debug => Level::Debug,
        () => Level::Information,
    };
    let format = match agent.logformat {
        LogFormat::Text => Format::Text,
        LogFormat::Structured if agent.structured_log_message_key.is_empty() => {
            Format::structured()
        }
        LogFormat::Structured => {
            Format::Structured { message_key: agent.structured_log_message_key.clone() }
        }
    };
    let file = (!agent.logfile.is_empty()).then(|| PathBuf::from(&agent.logfile));
    let rotation = Rotation {
        interval: agent.logfile_rotation_interval.get(),
        max_size: agent.logfile_rotation_max_size.get(),
        max_archives: agent.logfile_rotation_max_archives,
    };
    let zone = Zone::named(&agent.log_with_timezone)
        .map_err(|error| format!("log_with_timezone in [agent]: {error}"))?;
    Ok(LogOptions { level, format, file, rotation, zone })
}

/// A test must not move what the running agent remembers. Without a folder that the agent may write,
/// state ends with the process, unless a folder was asked for.
fn open_state(statefile: &str, environment: &dyn Environment, mode: Mode) -> Result<Store, String> {
    if matches!(mode, Mode::Test(_)) {
        return Ok(Store::in_memory());
    }
    let variable = environment.var("STATE_DIRECTORY");
    let Some(folder) = default_folder(statefile, variable.as_deref()) else {
        return Ok(Store::in_memory());
    };
    let asked_for = !statefile.is_empty() || variable.is_some();
    if !asked_for && !is_writable(&folder) {
        return Ok(Store::in_memory());
    }
    Store::open(&folder)
}

/// Whether the folder of an installed agent is this user's to write.
fn is_writable(folder: &Path) -> bool {
    let parent = folder.parent().unwrap_or(folder);
    std::fs::create_dir_all(folder).is_ok()
        && std::fs::metadata(parent).is_ok_and(|metadata| !metadata.permissions().readonly())
        && std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .is_ok()
}

/// `Loaded inputs: cpu disk (2x)`, for each kind.
fn loaded(plan: &Plan) -> [String; 4] {
    let names = |kind: &str, names: Vec<&str>| {
        let mut counted: Vec<(&str, usize)> = Vec::new();
        for name in names {
            match counted.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => counted.push((name, 1)),
            }
        }
        let words: Vec<String> = counted
            .into_iter()
            .map(|(name, count)| match count {
                1 => name.to_owned(),
                _ => format!("{name} ({count}x)"),
            })
            .collect();
        format!("Loaded {kind}: {}", words.join(" ")).trim_end().to_owned()
    };
    [
        names("inputs", plan.inputs.iter().map(|plugin| &*plugin.name).collect()),
        names("processors", plan.processors.iter().map(|plugin| &*plugin.name).collect()),
        names("aggregators", plan.aggregators.iter().map(|plugin| &*plugin.name).collect()),
        names("outputs", plan.outputs.iter().map(|plugin| &*plugin.name).collect()),
    ]
}
