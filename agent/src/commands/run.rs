//! `headwater run`: reads the configuration, opens log and state, and hands all to the pipeline.

use std::io::{self, Write};
use std::path::PathBuf;
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
    for fault in registry.faults() {
        if let Some(detail) = fault.error.detail() {
            log.debug(format_args!("{}: {detail}", fault.library.display()));
        }
    }
    for line in loaded(&plan) {
        log.log_each(Level::Information, line);
    }
    let mode = mode(options);
    let (state, complaint) = open_state(&plan.agent.statefile, environment, mode)?;
    if let Some(complaint) = complaint {
        log.warn(complaint);
    }
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
/// state ends with the process: an error if a folder was asked for, else a sentence for the log.
fn open_state(
    statefile: &str,
    environment: &dyn Environment,
    mode: Mode,
) -> Result<(Store, Option<String>), String> {
    if matches!(mode, Mode::Test(_)) {
        return Ok((Store::in_memory(), None));
    }
    let variable = environment.var("STATE_DIRECTORY");
    let Some(folder) = default_folder(statefile, variable.as_deref()) else {
        return Ok((Store::in_memory(), None));
    };
    match Store::open(&folder) {
        Ok(store) => Ok((store, None)),
        Err(error) if !statefile.is_empty() || variable.is_some() => Err(error),
        Err(error) => Ok((Store::in_memory(), Some(error))),
    }
}

/// What there is of each kind.
fn loaded(plan: &Plan) -> impl Iterator<Item = String> {
    [
        counted("inputs", plan.inputs.iter().map(|plugin| &*plugin.name)),
        counted("processors", plan.processors.iter().map(|plugin| &*plugin.name)),
        counted("aggregators", plan.aggregators.iter().map(|plugin| &*plugin.name)),
        counted("outputs", plan.outputs.iter().map(|plugin| &*plugin.name)),
    ]
    .into_iter()
    .flatten()
}

/// `Loaded inputs: cpu disk (2x)`
fn counted<'a>(kind: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
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
    (!words.is_empty()).then(|| format!("Loaded {kind}: {}", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::Vars;
    use crate::config::LoadOptions;
    use crate::observe::testing::Folder;

    fn agent(text: &str) -> AgentConfig {
        headwater_plugin_api::config::parse(text).unwrap()
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let check = |debug: bool, quiet: bool, file: &str, expected: Level| {
            let options = Options { debug, quiet, ..Options::default() };
            let read = log_options(&options, &agent(file)).unwrap();
            assert_eq!(read.level, expected, "{debug} {quiet} {file}");
        };
        check(false, false, "", Level::Information);
        check(false, false, "debug = true", Level::Debug);
        check(false, false, "quiet = true", Level::Error);
        check(false, false, "debug = true\nquiet = true", Level::Error);
        check(true, false, "quiet = true", Level::Debug);
        check(false, true, "debug = true", Level::Error);
    }

    #[test]
    fn the_log_as_the_file_says() {
        let read = |text: &str| log_options(&Options::default(), &agent(text));
        let plain = read("").unwrap();
        assert_eq!((plain.format, plain.file, plain.zone), (Format::Text, None, Zone::utc()));
        let all = read(
            "logfile = '/x/y.log'\nlogformat = 'structured'\nstructured_log_message_key = 'm'\n\
             logfile_rotation_interval = '1d'\nlogfile_rotation_max_size = '1MB'\n\
             logfile_rotation_max_archives = -1",
        );
        let all = all.unwrap();
        assert_eq!(all.file, Some(PathBuf::from("/x/y.log")));
        assert_eq!(all.format, Format::Structured { message_key: "m".into() });
        let interval = Duration::from_secs(86_400);
        let expected = Rotation { interval, max_size: 1_000_000, max_archives: -1 };
        assert_eq!(all.rotation, expected);
        let error = read("log_with_timezone = 'Atlantis'").unwrap_err();
        assert!(error.starts_with("log_with_timezone in [agent]: "), "{error}");
    }

    #[test]
    fn modes() {
        let five = Some("5s".parse().unwrap());
        let read =
            |test, once, test_wait| mode(&Options { test, once, test_wait, ..Options::default() });
        assert_eq!(read(false, false, None), Mode::Run);
        assert_eq!(read(false, true, None), Mode::Once(Duration::ZERO));
        assert_eq!(read(true, false, five), Mode::Test(Duration::from_secs(5)));
    }

    #[test]
    fn where_state_goes() {
        let folder = Folder::new("run-state");
        let named = folder.path().join("named");
        let given = folder.path().join("given");
        let vars = Vars(vec![("STATE_DIRECTORY".into(), given.display().to_string())]);
        let text = named.display().to_string();
        let open = |statefile: &str, mode| open_state(statefile, &vars, mode).unwrap().0;
        assert_eq!(open(&text, Mode::Run).folder(), Some(named.as_path()));
        let once = Mode::Once(Duration::ZERO);
        assert_eq!(open("", once).folder(), Some(given.join("state").as_path()));
        assert_eq!(open(&text, Mode::Test(Duration::ZERO)).folder(), None);
        let file = folder.path().join("file");
        std::fs::write(&file, "{}").unwrap();
        let error = open_state(&file.display().to_string(), &vars, Mode::Run).err().unwrap();
        assert!(error.contains("is a file"), "{error}");
    }

    #[test]
    fn without_a_plan_it_says_why() {
        let folder = Folder::new("run-no-plan");
        let path = folder.path().join("a.toml");
        std::fs::write(&path, "[agent]\n  intervall = 1\n").unwrap();
        let load = LoadOptions { files: vec![path], ..LoadOptions::default() };
        let options = Options { load, ..Options::default() };
        let mut err = Vec::new();
        let code = run(&options, &Vars(Vec::new()), &mut err);
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
        let err = String::from_utf8(err).unwrap();
        assert!(err.contains("a.toml:2:3: error: unknown key `intervall`"), "{err}");
        assert!(err.contains("did you mean `interval`?"), "{err}");
    }

    #[test]
    fn what_was_loaded_is_told_by_kind() {
        let told = |names: &[&'static str]| counted("inputs", names.iter().copied());
        assert_eq!(told(&["mem", "cpu", "mem"]).unwrap(), "Loaded inputs: mem (2x) cpu");
        assert_eq!(told(&[]), None);
    }
}
