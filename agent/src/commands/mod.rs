//! The command line: one file for each command, and the tables that parsing and help come from.

mod check;
mod command;
mod create;
mod flags;
mod help;
mod linked;
pub mod notify;
mod pidfile;
mod plugins;
mod quickstart;
mod refused;
mod run;
pub mod schemas;
mod setup;
mod sql;
mod version;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::{Environment, ProcessEnvironment};

use command::Command;

/// The exit status of a command line that cannot be understood.
const USAGE: u8 = 2;

/// Does what the process's arguments ask for.
pub fn main() -> ExitCode {
    crate::loader::resident::bound_heap();
    let arguments = std::env::args_os().skip(1);
    let (mut out, mut err) = (io::stdout(), io::stderr());
    dispatch(arguments, &ProcessEnvironment, &mut out, &mut err)
}

fn dispatch(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Environment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> ExitCode {
    match command::parse(arguments) {
        Ok(Command::Run(options)) => run::run(&options, environment, err),
        Ok(Command::Quickstart(options)) => quickstart::run(&options, environment, err),
        Ok(Command::Check(options)) => check::run(&options, environment, out, err),
        Ok(Command::Create(options)) => create::run(&options, out, err),
        Ok(Command::Refused(options)) => refused::run(&options, out, err),
        Ok(Command::Plugins(options, kind)) => plugins::run(&options, kind, environment, out, err),
        Ok(Command::Sql(options, request)) => sql::run(&options, &request, out, err),
        Ok(Command::Version) => version::run(out),
        Ok(Command::Help(command)) => {
            print(out, format_args!("{}", help::text(command)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            print(err, format_args!("headwater: {error}\n"));
            ExitCode::from(USAGE)
        }
    }
}

/// Writes for a person. Whoever closed the terminal or the pipe does not want to read on.
fn print(to: &mut dyn Write, words: fmt::Arguments<'_>) {
    let _ = to.write_fmt(words).and_then(|()| to.flush());
}

#[cfg(test)]
mod testing {
    //! What the tests of the commands share.

    use crate::config::Environment;

    /// An environment of these variables alone.
    pub struct Vars(pub Vec<(String, String)>);

    impl Environment for Vars {
        fn var(&self, name: &str) -> Option<String> {
            self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
        }

        fn system_folder(&self) -> std::path::PathBuf {
            "/nowhere".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Vars;
    use super::*;
    use crate::observe::testing::Folder;

    /// Exit status, standard output, standard error.
    fn typed(arguments: &[&str]) -> (String, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let arguments = arguments.iter().map(OsString::from);
        let code = dispatch(arguments, &Vars(Vec::new()), &mut out, &mut err);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (format!("{code:?}"), text(out), text(err))
    }

    fn status(code: u8) -> String {
        format!("{:?}", ExitCode::from(code))
    }

    #[test]
    fn version_and_help_go_to_standard_output() {
        use super::version::VERSION;
        let (code, out, err) = typed(&["version"]);
        assert_eq!((code, err), (status(0), String::new()));
        assert_eq!(out, format!("headwater {VERSION}\n"));
        let (code, out, _) = typed(&["--help"]);
        assert_eq!(code, status(0));
        assert!(out.contains("config check"));
    }

    #[test]
    fn what_cannot_be_understood_goes_to_standard_error() {
        let (code, out, err) = typed(&["--confg"]);
        assert_eq!((code, out.as_str()), (status(USAGE), ""));
        assert_eq!(err, "headwater: there is no flag --confg; did you mean --config?\n");
    }

    #[test]
    fn check_tells_all_errors_of_all_files() {
        let folder = Folder::new("check");
        let path = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let good = path("good.toml", "[agent]\n");
        let (code, out, err) = typed(&["config", "check", "--config", &good]);
        assert_eq!(code, status(0), "{err}");
        assert!(out.contains("0 inputs, 0 processors, 0 aggregators, 0 outputs"), "{out}");
        let one = path("one.toml", "[agent]\n intervall = 1\n quite = true\n");
        let two = path("two.toml", "[[inputs.no_such_thing]]\n");
        let (code, out, err) = typed(&["config", "check", "--config", &one, "--config", &two]);
        assert_eq!((code, out.as_str()), (status(1), ""));
        for expected in
            ["one.toml:2:2: error", "one.toml:3:2: error", "two.toml:1:1: error", "3 errors"]
        {
            assert!(err.contains(expected), "{expected}: {err}");
        }
        let missing = folder.path().join("missing.toml").display().to_string();
        let (code, _, err) = typed(&["config", "check", "--config", &missing]);
        assert_eq!(code, status(1));
        assert!(err.contains("missing.toml"), "{err}");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let code = dispatch(["help".into()], &Vars(Vec::new()), &mut Closed, &mut Closed);
        assert_eq!(format!("{code:?}"), status(0));
    }
}
