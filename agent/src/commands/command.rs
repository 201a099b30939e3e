//! The command line as typed, to what is asked for.

use std::ffi::{OsStr, OsString};

use headwater_plugin_api::config::nearest;
use lexopt::Arg;

use super::flags::{self, FLAGS, Options, REFUSED};
use super::sql::Request;
use crate::loader::PluginKind;

/// What is asked for.
#[derive(Debug)]
pub enum Command {
    Run(Options),
    Quickstart(Options),
    Check(Options),
    Create(Options),
    Refused(Options),
    Plugins(Options, Option<PluginKind>),
    Sql(Options, Request),
    Version,
    /// Help about a command, or about all.
    Help(Option<&'static Subcommand>),
}

/// One command.
pub struct Subcommand {
    /// How it is typed: `config check`.
    pub words: &'static [&'static str],
    /// What may follow.
    pub arguments: &'static str,
    /// One line.
    pub summary: &'static str,
    /// The rest of what there is to say.
    pub doc: &'static str,
    /// The flags it takes.
    pub flags: &'static [&'static str],
    make: fn(Options, Vec<String>) -> Result<Command, String>,
}

impl std::fmt::Debug for Subcommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

/// All commands. The first is the one without a word.
pub const SUBCOMMANDS: &[Subcommand] = &[
    Subcommand {
        words: &["run"],
        arguments: "",
        summary: "run the agent; the default",
        doc: "Runs until SIGTERM or SIGINT, then writes out what it has taken in and ends.",
        flags: &[
            "config",
            "config-directory",
            "plugin-directory",
            "test",
            "test-wait",
            "once",
            "debug",
            "quiet",
            "input-filter",
            "processor-filter",
            "aggregator-filter",
            "output-filter",
            "section-filter",
            "pidfile",
            "strict-env-handling",
            "non-strict-env-handling",
        ],
        make: |options, rest| nothing_more(rest).and_then(|()| run(options)),
    },
    Subcommand {
        words: &["quickstart"],
        arguments: "",
        summary: "run a small configuration that is built in",
        doc: "Host metrics and line protocol on tcp://127.0.0.1:8094, averaged over ten seconds by \
              SQL, to the terminal and to headwater-quickstart.influx in the current folder. Ctrl-C \
              ends it.",
        flags: &["plugin-directory", "test", "test-wait", "once", "debug", "quiet"],
        make: |options, rest| {
            nothing_more(rest)?;
            match run(options)? {
                Command::Run(options) => Ok(Command::Quickstart(options)),
                other => Ok(other),
            }
        },
    },
    Subcommand {
        words: &["config", "check"],
        arguments: "",
        summary: "check the configuration and say all that is wrong with it",
        doc: "Reads all files, and lets each plugin check its options; nothing is connected. Each \
              error stands with file, line and column. The exit status is 1 if there is one.",
        flags: &[
            "config",
            "config-directory",
            "plugin-directory",
            "input-filter",
            "processor-filter",
            "aggregator-filter",
            "output-filter",
            "section-filter",
            "strict-env-handling",
            "non-strict-env-handling",
        ],
        make: |options, rest| nothing_more(rest).map(|()| Command::Check(options)),
    },
    Subcommand {
        words: &["config", "create"],
        arguments: "",
        summary: "print a sample configuration",
        doc: "Prints every option of every plugin with its documentation and default. With filters: \
              those plugins alone.",
        flags: &[
            "plugin-directory",
            "input-filter",
            "processor-filter",
            "aggregator-filter",
            "output-filter",
            "section-filter",
        ],
        make: |options, rest| nothing_more(rest).map(|()| Command::Create(options)),
    },
    Subcommand {
        words: &["config", "refused"],
        arguments: "",
        summary: "list the options that are refused, with the reasons",
        doc: "One line for each option that Telegraf knows and this agent refuses: table, key, reason.",
        flags: &["plugin-directory"],
        make: |options, rest| nothing_more(rest).map(|()| Command::Refused(options)),
    },
    Subcommand {
        words: &["plugins"],
        arguments: "[KIND]",
        summary: "list the plugins that can be used, and where they come from",
        doc: "KIND is inputs, parsers, serializers, processors, aggregators or outputs. Libraries that \
              cannot be used are named with the reason.",
        flags: &["config", "config-directory", "plugin-directory"],
        make: |options, rest| {
            let mut words = rest.into_iter();
            let kind = words.next().map(|word| kind_named(&word)).transpose()?;
            nothing_more(words.collect())?;
            Ok(Command::Plugins(options, kind))
        },
    },
    Subcommand {
        words: &["sql"],
        arguments: "STATEMENT [[NAME=]FILE...]",
        summary: "run a statement over files or standard input",
        doc: "Runs the statements, separated by `;`, as the sql processor would, and prints the rows \
              of the last one. Without files, or for `-`, it reads standard input. Several files are \
              read in the order of time, as one stream; the points of NAME=FILE are those of a \
              measurement of that name. The clock is the time of the points: windows close when all \
              files are past them, and now() is as it was then; all close at the end. The exit status \
              is 1 if something did not work, 2 if the command line is wrong, 3 if input was left \
              out (refused lines, points that came too late for their window), 130 after Ctrl-C.",
        flags: &[
            "input",
            "output",
            "all",
            "explain",
            "query-file",
            "name",
            "tags",
            "time",
            "types",
            "follow",
            "table",
            "option",
            "plugin-directory",
        ],
        make: |options, rest| {
            let request = Request::new(&options.sql, rest)?;
            Ok(Command::Sql(options, request))
        },
    },
    Subcommand {
        words: &["version"],
        arguments: "",
        summary: "print the version",
        doc: "",
        flags: &[],
        make: |_, rest| nothing_more(rest).map(|()| Command::Version),
    },
    Subcommand {
        words: &["help"],
        arguments: "[COMMAND]",
        summary: "print help, about a command if one is named",
        doc: "",
        flags: &[],
        make: |_, rest| match rest.is_empty() {
            true => Ok(Command::Help(None)),
            false => {
                let (command, rest) = find(&rest)?;
                nothing_more(rest.to_vec())?;
                Ok(Command::Help(Some(command)))
            }
        },
    },
];

/// Commands of Telegraf that are not there, and what to do instead.
const ABSENT: &[(&[&str], &str)] = &[
    (&["config", "migrate"], "`headwater config check` tells what must change"),
    (&["secrets"], "there are no secret stores yet; use environment variables"),
    (&["service"], "the agent runs under systemd"),
];

/// What the arguments, without the program's name, ask for.
///
/// # Errors
/// A sentence with the argument and what would be right.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options::default();
    let mut given: Vec<&'static str> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut wants_help = false;
    let mut parser = lexopt::Parser::from_args(with_two_dashes(arguments));
    loop {
        if let Some(word) = parser.try_raw_args().and_then(|mut rest| rest.next_if(is_comment)) {
            words.push(word.into_string().map_err(|word| format!("{word:?} is not UTF-8"))?);
            continue;
        }
        let Some(argument) = parser.next().map_err(|error| error.to_string())? else { break };
        match argument {
            Arg::Short('h') | Arg::Long("help") => wants_help = true,
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Long(name) => {
                let flag = flags::flag(name).ok_or_else(|| unknown_flag(name))?;
                let value = match flag.value {
                    None => OsString::new(),
                    Some(what) => parser
                        .value()
                        .map_err(|_| format!("--{} needs a value: {what}", flag.name))?,
                };
                (flag.set)(&mut options, value)
                    .map_err(|error| format!("--{}: {error}", flag.name))?;
                given.push(flag.name);
            }
            Arg::Short(letter) => return Err(format!("there is no flag -{letter}; see --help")),
            Arg::Value(word) => {
                let word = word.into_string().map_err(|word| format!("{word:?} is not UTF-8"))?;
                words.push(word);
            }
        }
    }
    let (command, rest) = match words.first() {
        None => (&SUBCOMMANDS[0], &[][..]),
        Some(_) => find(&words)?,
    };
    if wants_help {
        return Ok(Command::Help((!words.is_empty()).then_some(command)));
    }
    if let Some(flag) = given.iter().find(|flag| !command.flags.contains(flag)) {
        return Err(format!("--{flag} means nothing to `headwater {command:?}`"));
    }
    (command.make)(options, rest.to_vec())
}

/// A statement may begin with a comment, which no flag looks like: `-- what it does` and a line more.
fn is_comment(argument: &OsStr) -> bool {
    let text = argument.to_string_lossy();
    let is_blank = |rest: &str| rest.starts_with(char::is_whitespace) || rest.contains('\n');
    text.strip_prefix("--").is_some_and(is_blank)
}

/// Telegraf's users write `-config` as well as `--config`.
fn with_two_dashes(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut out = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            out.push(argument);
            out.extend(arguments);
            break;
        }
        let (name, has_value) = match argument.to_str().map(|text| text.split_once('=')) {
            Some(Some((name, _))) => (name, true),
            Some(None) => (argument.to_str().unwrap_or_default(), false),
            None => {
                out.push(argument);
                continue;
            }
        };
        let bare = name.trim_start_matches('-');
        let dashes = name.len() - bare.len();
        let flag = flags::flag(bare).map(|flag| flag.value.is_some());
        let refused = || REFUSED.iter().find(|refused| refused.0 == bare).map(|refused| refused.1);
        let known = flag.or_else(refused);
        let takes_next = dashes > 0 && !has_value && known == Some(true);
        let is_word = matches!(bare, "help" | "version");
        if dashes == 1 && (known.is_some() || is_word) {
            let mut longer = OsString::from("-");
            longer.push(&argument);
            out.push(longer);
        } else {
            out.push(argument);
        }
        if takes_next {
            // Whatever it looks like, it is a value.
            out.extend(arguments.next());
        }
    }
    out
}

/// The command that the words begin with, and the words behind it.
fn find(words: &[String]) -> Result<(&'static Subcommand, &[String]), String> {
    let begins = |pattern: &[&str]| {
        pattern.len() <= words.len() && pattern.iter().zip(words).all(|(p, w)| p == w)
    };
    if let Some(command) = SUBCOMMANDS.iter().find(|command| begins(command.words)) {
        return Ok((command, &words[command.words.len()..]));
    }
    if let Some((absent, instead)) = ABSENT.iter().find(|(pattern, _)| begins(pattern)) {
        return Err(format!("there is no command `{}`: {instead}", absent.join(" ")));
    }
    let typed = words.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
    let names: Vec<String> = SUBCOMMANDS.iter().map(|command| command.words.join(" ")).collect();
    let near = nearest(&typed, names.iter().map(String::as_str))
        .or_else(|| nearest(words.first()?, names.iter().map(String::as_str)));
    Err(match near {
        Some(near) => format!("there is no command `{typed}`; did you mean `{near}`?"),
        None => format!("there is no command `{typed}`; the commands are {}", names.join(", ")),
    })
}

fn unknown_flag(name: &str) -> String {
    if let Some((_, _, instead)) = REFUSED.iter().find(|refused| refused.0 == name) {
        return format!("--{name} is not supported: {instead}");
    }
    match nearest(name, FLAGS.iter().map(|flag| flag.name)) {
        Some(near) => format!("there is no flag --{name}; did you mean --{near}?"),
        None => format!("there is no flag --{name}; see --help"),
    }
}

fn nothing_more(rest: Vec<String>) -> Result<(), String> {
    match rest.first() {
        None => Ok(()),
        Some(word) => Err(format!("`{word}` is one word too many; see --help")),
    }
}

fn run(mut options: Options) -> Result<Command, String> {
    if options.test && options.once {
        return Err("--test and --once exclude each other".into());
    }
    // As in Telegraf, a time to wait for service inputs makes no sense without one of the two.
    options.test |= options.test_wait.is_some() && !options.once;
    if options.debug && options.quiet {
        return Err("--debug and --quiet exclude each other".into());
    }
    Ok(Command::Run(options))
}

fn kind_named(word: &str) -> Result<PluginKind, String> {
    let names = || PluginKind::ALL.into_iter().map(PluginKind::plural);
    PluginKind::ALL
        .into_iter()
        .find(|kind| kind.plural() == word || kind.word() == word)
        .ok_or_else(|| match nearest(OsStr::new(word).to_str().unwrap_or_default(), names()) {
            Some(near) => format!("there is no kind `{word}` of plugins; did you mean `{near}`?"),
            None => format!(
                "there is no kind `{word}` of plugins; the kinds are {}",
                names().collect::<Vec<_>>().join(", ")
            ),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headwater_plugin_api::config::Duration;
    use std::path::PathBuf;

    fn typed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn options(line: &str) -> Options {
        match typed(line).unwrap() {
            Command::Run(options) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn nothing_runs_the_agent() {
        let options = options("");
        assert!(!options.test && !options.once && options.load.files.is_empty());
        assert!(matches!(typed("run"), Ok(Command::Run(_))));
    }

    #[test]
    fn every_flag_of_run() {
        let options = options(
            "--config a.toml --config b --config-directory d --plugin-directory p --once \
             --test-wait 5 --debug --input-filter cpu:mem --output-filter file \
             --aggregator-filter basicstats --processor-filter sql --section-filter agent:inputs \
             --pidfile /run/x.pid --non-strict-env-handling",
        );
        assert_eq!(options.load.files, [PathBuf::from("a.toml"), PathBuf::from("b")]);
        assert_eq!(options.load.directories, [PathBuf::from("d")]);
        assert_eq!(options.plugin_directories, [PathBuf::from("p")]);
        assert!(options.once && options.debug && !options.quiet && !options.test);
        assert_eq!(options.test_wait, Some(Duration::from_secs(5)));
        assert_eq!(options.load.input_filter.unwrap(), ["cpu", "mem"]);
        assert_eq!(options.load.output_filter.unwrap(), ["file"]);
        assert_eq!(options.load.aggregator_filter.unwrap(), ["basicstats"]);
        assert_eq!(options.load.processor_filter.unwrap(), ["sql"]);
        assert_eq!(options.load.section_filter.unwrap(), ["agent", "inputs"]);
        assert_eq!(options.pidfile, Some(PathBuf::from("/run/x.pid")));
        assert!(options.load.non_strict_env);
    }

    #[test]
    fn one_dash_and_equals_signs() {
        let read = options("-config=a.toml -test -test-wait 1m -input-filter=cpu -quiet");
        assert_eq!(read.load.files, [PathBuf::from("a.toml")]);
        assert!(read.test && read.quiet);
        assert_eq!(read.test_wait, Some(Duration::from_secs(60)));
        assert_eq!(options("--config -config").load.files, [PathBuf::from("-config")]);
        assert_eq!(options("-config -config").load.files, [PathBuf::from("-config")]);
        assert!(matches!(typed("-version"), Ok(Command::Version)));
        assert!(matches!(typed("-help"), Ok(Command::Help(None))));
    }

    #[test]
    fn a_time_to_wait_alone_is_a_test() {
        assert!(options("--test-wait 2s").test);
        assert!(!options("--test-wait 2s --once").test);
    }

    #[test]
    fn commands() {
        assert!(matches!(typed("config check --config x"), Ok(Command::Check(_))));
        assert!(matches!(typed("--config x config check"), Ok(Command::Check(_))));
        assert!(matches!(typed("config create --input-filter cpu"), Ok(Command::Create(_))));
        assert!(matches!(typed("plugins"), Ok(Command::Plugins(_, None))));
        let plugins = |word: &str| match typed(&format!("plugins {word}")) {
            Ok(Command::Plugins(_, kind)) => kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(plugins("inputs"), Some(PluginKind::Input));
        assert_eq!(plugins("output"), Some(PluginKind::Output));
        assert!(matches!(typed("version"), Ok(Command::Version)));
        assert!(matches!(typed("-V"), Ok(Command::Version)));
        assert!(matches!(typed("quickstart --test"), Ok(Command::Quickstart(o)) if o.test));
        assert!(matches!(typed("help"), Ok(Command::Help(None))));
        let helped = |line: &str| match typed(line) {
            Ok(Command::Help(Some(command))) => command.words.join(" "),
            other => panic!("{other:?}"),
        };
        assert_eq!(helped("help config check"), "config check");
        assert_eq!(helped("config check --help"), "config check");
        assert_eq!(helped("plugins -h"), "plugins");
    }

    #[test]
    fn errors_name_the_argument_and_the_remedy() {
        let check = |line: &str, expected: &str| {
            let error = typed(line).map(|_| ()).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        };
        check("--confg x", "there is no flag --confg; did you mean --config?");
        check("--config", "--config needs a value: PATH");
        check("--config=", "--config: the path is empty");
        check("--test-wait soon", "--test-wait: \"soon\" is not a duration");
        check("--test --once", "exclude each other");
        check("--debug --quiet", "exclude each other");
        check("--test=yes", "unexpected argument for option '--test': \"yes\"");
        check("-x", "there is no flag -x");
        check("--confg=a b", "there is no flag --confg");
        check("--watch-config notify", "--watch-config is not supported: restart the agent");
        check("-watch-config notify", "--watch-config is not supported");
        check("--sample-config", "use `headwater config create`");
        check("config chek", "did you mean `config check`?");
        check("confg check", "did you mean `config check`?");
        check("config", "there is no command `config`");
        check("config migrate", "there is no command `config migrate`: `headwater config check`");
        check("secrets list", "there is no command `secrets`");
        check("plugins inptus", "did you mean `inputs`?");
        check("plugins inputs cpu", "`cpu` is one word too many");
        check("run fast", "`fast` is one word too many");
        check("config check --once", "--once means nothing to `headwater config check`");
        check("config create --config x", "--config means nothing to");
        check("help nothing", "there is no command `nothing`");
        check("-- --config x", "there is no command `--config x`");
    }

    #[test]
    fn commands_name_flags_that_exist() {
        for command in SUBCOMMANDS {
            for name in command.flags {
                assert!(flags::flag(name).is_some(), "{command:?}: {name}");
            }
        }
        let used = |name| SUBCOMMANDS.iter().any(|command| command.flags.contains(&name));
        assert!(FLAGS.iter().all(|flag| used(flag.name)));
    }
}
