//! Plugins that do wrong: the agent goes on and says so.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::paths;
use headwater_tests::points;

/// The folder of the libraries that `tests/abi/run --bad` makes.
fn bad() -> &'static Path {
    static BAD: OnceLock<PathBuf> = OnceLock::new();
    BAD.get_or_init(|| {
        let target = paths::build_folder().parent().map(Path::to_path_buf).unwrap_or_default();
        let out = target.join("abi/out/bad");
        let status = Command::new(paths::root().join("tests/abi/run"))
            .arg("--bad")
            .arg(&out)
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .unwrap();
        assert!(status.success(), "tests/abi/run --bad: {status}");
        out
    })
}

fn start(config: &str) -> Agent {
    let config = format!(
        "[agent]\nomit_hostname = true\ncall_timeout = \"2s\"\ninterval = \"50ms\"\nround_interval = false\n\
         flush_interval = \"50ms\"\nplugin_directories = [\"{}\"]\n{config}\n\
         [[outputs.file]]\nfiles = [\"@/out\"]\n",
        bad().display()
    );
    Setup::new(&config).start()
}

/// Waits until a fault is logged and so many points are written that some came after it.
fn goes_on(agent: &mut Agent, words: &str, points: usize) {
    agent.logged(words);
    agent.lines("out", points);
}

/// The numbers `n` of a plugin's points.
fn numbers(text: &str) -> Vec<f64> {
    points::parse(text).iter().map(|point| point.number("n")).collect()
}

#[test]
fn an_input_that_panics_is_restarted() {
    let mut agent = start("[[inputs.abi_bad]]\nfault = \"panic\"\nfrom = 3\nto = 3\n");
    goes_on(&mut agent, "panic", 3);
    let ended = agent.stop();
    let numbers = numbers(&ended.read("out"));
    // The third call of each instance panics: 1, 2, then a new instance counts again from 1.
    assert_eq!(numbers[..3], [1.0, 2.0, 1.0], "{numbers:?}");
    assert!(ended.log.contains("a bad plugin panics in call 3"), "log:\n{}", ended.log);
}

#[test]
fn a_processor_that_panics_costs_the_batch_alone() {
    let mut agent = start(
        "[[inputs.abi_bad]]\nfault = \"panic\"\nfrom = 1000000\n\
         [[processors.abi_bad]]\nfault = \"panic\"\nfrom = 2\nto = 2\n",
    );
    goes_on(&mut agent, "panic", 2);
    let ended = agent.stop();
    let numbers = numbers(&ended.read("out"));
    assert!(numbers.contains(&1.0) && !numbers.contains(&2.0), "{numbers:?}");
}

#[test]
fn an_input_that_hands_over_a_malformed_batch_loses_it() {
    let mut agent = start("[[inputs.abi_bad]]\nfault = \"malformed\"\nfrom = 2\nto = 3\n");
    goes_on(&mut agent, "malformed", 2);
    let ended = agent.stop();
    let numbers = numbers(&ended.read("out"));
    assert_eq!(numbers[..2], [1.0, 4.0], "{numbers:?}");
}

#[test]
fn an_input_that_never_returns_is_replaced_and_others_go_on() {
    let mut agent = start(
        "[[inputs.abi_bad]]\nalias = \"hanging\"\nfault = \"hang\"\nfrom = 2\n\
         [[inputs.abi_bad]]\nalias = \"well\"\nfault = \"hang\"\nfrom = 1000000\nname_override = \"well\"\n",
    );
    agent.logged("has not returned");
    let well = |agent: &Agent| agent.read("out").lines().filter(|l| l.starts_with("well")).count();
    let before = well(&agent);
    assert!(before > 10, "the other input stood still: {before} points");
    agent.until("the other input", |agent| (well(agent) > before).then_some(()));
    // Its first call worked; the new instance's first call works too.
    agent.until("a new instance", |agent| {
        (agent.read("out").lines().filter(|l| l.starts_with("bad")).count() >= 2).then_some(())
    });
    let ended = agent.stop();
    assert!(ended.log.contains("inputs.abi_bad::hanging"), "log:\n{}", ended.log);
}

#[test]
fn libraries_that_cannot_be_used_are_told_and_passed_over() {
    let mut agent = start("[[inputs.abi_bad]]\nfault = \"panic\"\nfrom = 1000000\n");
    agent.lines("out", 3);
    let ended = agent.stop();
    for name in ["libabi_text.so", "libabi_epoch.so", "libabi_layout.so"] {
        let told = ended.log.lines().any(|line| line.contains(name));
        let listed = Command::new(paths::agent())
            .args(["plugins", "--plugin-directory"])
            .arg(bad())
            .output()
            .unwrap();
        let listed = String::from_utf8_lossy(&listed.stderr).into_owned();
        assert!(told || listed.contains(name), "nothing tells of {name}:\n{}\n{listed}", ended.log);
    }
}
