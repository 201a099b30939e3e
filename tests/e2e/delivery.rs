//! Delivery handles: each settles exactly once, whatever becomes of its points.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::paths::{self, Folder};
use headwater_tests::points;
use rustix::process::Signal;

const TEXTS: u64 = 100;

/// A folder with the fixture's library alone.
fn fixture() -> &'static PathBuf {
    static FIXTURE: OnceLock<(Folder, PathBuf)> = OnceLock::new();
    let (_, path) = FIXTURE.get_or_init(|| {
        paths::build(
            &["-p", "headwater-tests", "--example", "acknowledged"],
            &paths::build_folder(),
        );
        let built = paths::build_folder().join("examples/libacknowledged.so");
        let folder = Folder::new();
        let path = folder.join("libacknowledged.so");
        std::fs::copy(&built, &path).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
        let path = folder.path().to_path_buf();
        (folder, path)
    });
    path
}

fn setup(input: &str, rest: &str) -> Setup {
    let fixture = fixture().display();
    Setup::new(&format!(
        "[agent]\nomit_hostname = true\nflush_interval = \"20ms\"\nplugin_directories = [\"{fixture}\"]\n\
         [[inputs.fixture_acknowledged]]\nsettlements = \"@/settlements\"\ntexts = {TEXTS}\n{input}\n{rest}\n"
    ))
}

const FILE: &str = "[[outputs.file]]\nfiles = [\"@/out\"]\n";

/// Settlements by token.
fn settlements(text: &str) -> BTreeMap<u64, Vec<String>> {
    let mut all: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let (token, outcome) = line.split_once(' ').unwrap();
        all.entry(token.parse().unwrap()).or_default().push(outcome.to_owned());
    }
    all
}

/// Waits until so many settlements were told.
fn settled(agent: &mut Agent, count: u64) {
    agent.lines("settlements", count as usize);
}

/// Each token from 1 on has one settlement, with the outcome that `expected` names.
fn check(text: &str, expected: impl Fn(u64) -> &'static str) {
    let all = settlements(text);
    for token in 1..=TEXTS {
        let found = all.get(&token).cloned().unwrap_or_default();
        assert_eq!(found, [expected(token)], "token {token}");
    }
    assert_eq!(all.len() as u64, TEXTS, "tokens that nobody gave: {all:?}");
}

fn run(input: &str, rest: &str, expected: impl Fn(u64) -> &'static str) -> String {
    let mut agent = setup(input, rest).start();
    settled(&mut agent, TEXTS);
    let ended = agent.stop();
    check(&ended.read("settlements"), expected);
    ended.read("out")
}

#[test]
fn what_is_written_is_delivered() {
    for way in ["push", "messages"] {
        let out = run(&format!("way = \"{way}\""), FILE, |_| "Delivered");
        assert_eq!(points::parse(&out).len() as u64, TEXTS * 10);
    }
}

#[test]
fn a_stream_is_settled_up_to_its_end() {
    let mut agent = setup("way = \"stream\"", FILE).start();
    agent.lines("out", TEXTS as usize * 10);
    let ended = agent.stop();
    let all = settlements(&ended.read("settlements"));
    let length: u64 = ended.read("out").len() as u64;
    assert!(all.values().all(|outcomes| outcomes == &["Delivered"]), "{all:?}");
    // The output's text is as long as the input's: same lines, same writing.
    assert_eq!(all.keys().next_back(), Some(&length));
    assert!(all.len() > 10, "{} handles are too few for a test", all.len());
}

#[test]
fn what_is_filtered_is_dropped() {
    let filter = "[inputs.fixture_acknowledged.tagdrop]\ntoken = [\"*3\"]\n";
    let dropped = |token: u64| if token % 10 == 3 { "Dropped" } else { "Delivered" };
    run(filter, FILE, dropped);
    let filter = format!("{FILE}[outputs.file.tagdrop]\ntoken = [\"*3\"]\n");
    run("", &filter, dropped);
}

#[test]
fn part_of_a_text_may_be_filtered() {
    let filter = format!("{FILE}[outputs.file.tagdrop]\nodd = [\"1\"]\n");
    let out = run("", &filter, |_| "Delivered");
    assert_eq!(points::parse(&out).len() as u64, TEXTS * 5);
}

#[test]
fn parts_settle_together() {
    let out = run("", &format!("[[processors.fixture_split]]\n{FILE}"), |_| "Delivered");
    assert_eq!(points::parse(&out).len() as u64, TEXTS * 10);
}

#[test]
fn the_worst_of_two_outputs_counts() {
    let rest = format!("{FILE}[[outputs.fixture_refuses]]\ntokens = [\"7\", \"70\"]\n");
    let mut agent = setup("", &rest).start();
    settled(&mut agent, TEXTS);
    let ended = agent.stop();
    let all = settlements(&ended.read("settlements"));
    assert!(all.values().all(|outcomes| outcomes.len() == 1), "{all:?}");
    for token in [7, 70] {
        assert_eq!(all[&token], ["Lost"]);
    }
    assert_eq!(all.len() as u64, TEXTS);
    assert_eq!(points::parse(&ended.read("out")).len() as u64, TEXTS * 10);
}

#[test]
fn merged_handles_settle_one_by_one() {
    // 7 does not divide 100: the stop gives the last ones.
    let rest =
        format!("[[processors.fixture_split]]\n[[processors.fixture_merge]]\nbatches = 7\n{FILE}");
    let mut agent = setup("", &rest).start();
    settled(&mut agent, TEXTS - 7);
    let ended = agent.stop();
    check(&ended.read("settlements"), |_| "Delivered");
    assert_eq!(points::parse(&ended.read("out")).len() as u64, TEXTS * 10);
}

#[test]
fn a_window_settles_its_points_when_its_rows_are_written() {
    for drop_original in [false, true] {
        let rest = format!(
            "[[processors.sql]]\ndrop_original = {drop_original}\nquery = '''\n\
             CREATE STREAM w AS SELECT count(*) AS n, odd FROM settled GROUP BY time('100ms'), odd\n'''\n{FILE}"
        );
        let mut agent = setup("way = \"messages\"", &rest).start();
        // The source has ended: its windows close.
        settled(&mut agent, TEXTS);
        let written = points::parse(&agent.read("out"));
        let rows: Vec<_> = written.iter().filter(|point| point.name == "w").collect();
        let sum: f64 = rows.iter().map(|row| row.number("n")).sum();
        assert_eq!(sum, (TEXTS * 10) as f64, "settled before its rows were written");
        assert!(rows.len() >= 20, "{} rows", rows.len());
        assert_eq!(written.len() - rows.len(), if drop_original { 0 } else { TEXTS as usize * 10 });
        let ended = agent.stop();
        check(&ended.read("settlements"), |_| "Delivered");
    }
}

#[test]
fn a_panic_aborts_its_batch_alone() {
    let rest = format!("[[processors.fixture_panics]]\ntokens = [\"5\", \"50\"]\n{FILE}");
    let mut agent = setup("way = \"messages\"", &rest).start();
    settled(&mut agent, TEXTS);
    let ended = agent.stop();
    let all = settlements(&ended.read("settlements"));
    assert!(all.values().all(|outcomes| outcomes.len() == 1), "{all:?}");
    assert_eq!(all.len() as u64, TEXTS);
    for token in [5, 50] {
        assert_eq!(all[&token], ["Aborted"]);
    }
    assert_eq!(all[&1], ["Delivered"]);
    assert!(ended.log.contains("a fixture panics"), "log:\n{}", ended.log);
}

#[test]
fn a_stop_settles_what_could_not_be_written() {
    let setup = setup("lines = 100", "[[outputs.file]]\nfiles = [\"@/pipe\"]\n");
    let reader = crate::blocked::pipe(&setup.folder().join("pipe"));
    let mut agent = setup.start();
    // Nobody reads: the pipe is full, and a write waits in it.
    let in_pipe =
        crate::blocked::quiet(&mut agent, || rustix::io::ioctl_fionread(&reader).unwrap());
    assert!(in_pipe > 32_768, "{in_pipe}");
    agent.signal(Signal::TERM);
    agent.wait();
    let all = settlements(&agent.read("settlements"));
    assert!(all.values().all(|outcomes| outcomes.len() == 1), "{all:?}");
    assert!(!all.is_empty() && all.len() as u64 <= TEXTS);
    let count = |outcome: &str| all.values().filter(|o| o[0] == outcome).count();
    println!(
        "{} delivered, {} aborted, {} lost",
        count("Delivered"),
        count("Aborted"),
        count("Lost")
    );
    assert!(count("Aborted") + count("Lost") > 0, "{all:?}");
}
