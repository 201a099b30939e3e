//! `--once`, `--test`, `config check`, `plugins`.

use std::process::Command;

use headwater_tests::agent::Setup;
use headwater_tests::paths::{self, Folder};
use headwater_tests::points;

const FILE_TO_FILE: &str = "[agent]\nomit_hostname = true\n\
    [[inputs.file]]\nfiles = [\"@/in\"]\ndata_format = \"influx\"\n\
    [[processors.rename]]\n[[processors.rename.replace]]\nmeasurement = \"a\"\ndest = \"b\"\n\
    [[outputs.file]]\nfiles = [\"@/out\"]\n";

#[test]
fn once_gathers_and_writes_once() {
    let setup = Setup::new(FILE_TO_FILE).args(["--once"]);
    setup.folder().write("in", "a,t=1 f=1 1700000000000000000\na,t=2 f=2 1700000001000000000\n");
    let ended = setup.run();
    assert!(ended.status.success(), "log:\n{}", ended.log);
    assert_eq!(ended.read("out"), "b,t=1 f=1 1700000000000000000\nb,t=2 f=2 1700000001000000000\n");
    assert_eq!(ended.stdout, "");
}

#[test]
fn once_tells_a_failed_gather_by_its_status() {
    let ended = Setup::new(FILE_TO_FILE).args(["--once"]).run();
    assert_eq!(ended.status.code(), Some(1), "there is no file to read. Log:\n{}", ended.log);
    assert!(!ended.log_lines(" E! ").is_empty());
}

#[test]
fn test_prints_and_writes_nothing() {
    let setup = Setup::new(FILE_TO_FILE).args(["--test"]);
    setup.folder().write("in", "a,t=1 f=1,c=2u 1700000000000000000\n");
    let ended = setup.run();
    assert!(ended.status.success(), "log:\n{}", ended.log);
    assert_eq!(ended.stdout, "> b,t=1 c=2u,f=1 1700000000000000000\n");
    assert!(!ended.folder.join("out").exists(), "an output was opened");
}

#[test]
fn test_gathers_the_host() {
    let config = "[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.system]]\n[[outputs.file]]\n";
    let ended = Setup::new(config).args(["--test"]).run();
    let found = points::parse(&ended.stdout);
    for name in ["mem", "system"] {
        let point = found.iter().find(|point| point.name == name);
        assert!(point.is_some_and(|point| !point.tag("host").is_empty()), "no {name} in {found:?}");
    }
}

#[test]
fn check_reports_all_errors_of_all_files() {
    let folder = Folder::new();
    let first = folder.write(
        "first.toml",
        "[agent]\nintervall = \"10s\"\nflush_interval = \"soon\"\n\n[[inputs.cpu]]\npercpuu = true\n",
    );
    let second = folder.write(
        "second.toml",
        "[[inputs.socket_listner]]\nservice_address = \"tcp://:1\"\n\n[[inputs.mem]]\n  interval = 5\n\
         \n[[outputs.file]]\nfiles = \"stdout\"\nnamepas = [\"x\"]\n\n[[processors.rename]]\norder = \"first\"\n",
    );
    let output = Command::new(paths::agent())
        .args(["config", "check", "--config"])
        .arg(&first)
        .arg("--config")
        .arg(&second)
        .output()
        .unwrap();
    // The nearest key stands on a line below, indented.
    let errors = String::from_utf8_lossy(&output.stderr).replace("\n  ", "; ");
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for (file, line, words) in [
        (&first, 2, "interval"),
        (&first, 3, "flush_interval"),
        (&first, 6, "percpu"),
        (&second, 1, "socket_listener"),
        (&second, 8, "files"),
        (&second, 9, "namepass"),
        (&second, 12, "order"),
    ] {
        let place = format!("{}:{line}:", file.display());
        let mut at = errors.lines().filter(|error| error.starts_with(&place));
        assert!(
            at.any(|error| error.contains(words)),
            "no error at {place} with {words}:\n{errors}"
        );
    }
    let count = errors.lines().filter(|line| line.contains(": error: ")).count();
    assert_eq!(count, 7, "{errors}");
}

#[test]
fn check_says_of_what_is_missing_once_what_was_meant() {
    let folder = Folder::new();
    let file = folder.write(
        "missing.toml",
        "[[inputs.socket_listner]]\nservice_address = \"tcp://:1\"\n\
         \n[[inputs.socket_listener]]\nservice_address = \"tcp://:1\"\ndata_format = \"jsonn\"\njson_query = \"x\"\n\
         \n[[inputs.socket_listener]]\nservice_address = \"tcp://:1\"\ntime_source = \"receive_time\"\n\
         \n[[outputs.file]]\nfiles = [\"stdout\"]\ndata_format = \"inflx\"\n",
    );
    let mut command = Command::new(paths::agent());
    let output = command.args(["config", "check", "--config"]).arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).replace("\n  help: ", " | ");
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let found: Vec<&str> = errors.lines().filter(|line| line.contains(": error: ")).collect();
    let expected = [
        ("1:1", "there is no input `socket_listner`", "| did you mean `socket_listener`?"),
        ("6:15", "there is no parser `jsonn`", "| did you mean `json`?"),
        (
            "11:15",
            "`time_source` takes \"metric\", \"collection_start\" or \"collection_end\"",
            "not the string \"receive_time\"",
        ),
        ("15:15", "there is no serializer `inflx`", "| did you mean `influx`?"),
    ];
    assert_eq!(found.len(), expected.len(), "{errors}");
    for (line, (place, message, end)) in found.iter().zip(expected) {
        let start = format!("{}:{place}: error: {message}", file.display());
        assert!(line.starts_with(&start) && line.ends_with(end), "{line}");
        assert!(line.matches("did you mean").count() <= 1, "{line}");
    }
}

#[test]
fn check_finds_nothing_wrong_with_a_good_file() {
    let folder = Folder::new();
    let file = folder.write("good.toml", FILE_TO_FILE.replace('@', "/tmp"));
    let mut command = Command::new(paths::agent());
    let output = command.args(["config", "check", "--config"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_configuration_that_keeps_nothing_says_so() {
    let ended = Setup::new("[[inputs.cpu]]\n").run();
    assert!(!ended.status.success());
    assert!(ended.log.contains("there is no output"), "log:\n{}", ended.log);
    for (selector, words) in [
        (
            "namepass = [\"nothing\"]\n",
            "2 points came in and none reached an output (2 were left out",
        ),
        ("", ""),
    ] {
        let setup = Setup::new(&format!("{FILE_TO_FILE}{selector}")).args(["--once"]);
        setup.folder().write("in", "a f=1 1\na f=2 2\n");
        let ended = setup.run();
        assert_eq!(ended.log.contains("none reached"), !words.is_empty(), "log:\n{}", ended.log);
        assert!(ended.log.contains(words), "log:\n{}", ended.log);
    }
}

#[test]
fn plugins_lists_each_with_its_library() {
    let output = Command::new(paths::agent()).arg("plugins").output().unwrap();
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in [
        "inputs.cpu",
        "inputs.mem",
        "inputs.swap",
        "inputs.disk",
        "inputs.diskio",
        "inputs.net",
        "inputs.system",
        "inputs.processes",
        "inputs.kernel",
        "inputs.internal",
        "inputs.socket_listener",
        "inputs.file",
        "inputs.tail",
        "parsers.influx",
        "parsers.json",
        "serializers.influx",
        "serializers.json",
        "processors.rename",
        "processors.regex",
        "processors.sql",
        "aggregators.basicstats",
        "outputs.file",
        "outputs.influxdb",
        "outputs.influxdb_v2",
    ] {
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.contains(".so")), "no {name} in\n{list}");
    }
}
