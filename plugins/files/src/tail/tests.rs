use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_plugin_api::abi::instance::ServiceInstance;
use headwater_plugin_api::abi::serve::{self, OpenedSpec};
use headwater_plugin_api::plugin::{Framing, Outcome, Read, Settlement};
use headwater_plugin_api::testkit::{self, Driven, TestHost, TestIntake, context};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::Tail;
use crate::paths::tests::Folder;

/// Long enough for any machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A started tail, and what came of its sources.
struct Rig {
    driven: Driven<ServiceInstance>,
    intake: Arc<TestIntake>,
    /// Messages by path, in order.
    messages: BTreeMap<String, Vec<Vec<u8>>>,
    specs: BTreeMap<u64, Arc<OpenedSpec>>,
    /// Parts that were read and not settled.
    unsettled: Vec<(u64, u64)>,
    ended: Vec<String>,
    errors: Vec<String>,
    settles: bool,
    capacity: usize,
}

/// Starts with the states that another one has saved.
fn start_with(toml: &str, host: Option<&TestHost>) -> Rig {
    let mut driven = testkit::service::<Tail>(toml).unwrap();
    if let Some(host) = host {
        let states = host.state.lock().unwrap().clone();
        *driven.host.state.lock().unwrap() = states;
    }
    let intake = driven.start().unwrap();
    let mut rig = Rig {
        driven,
        intake,
        messages: BTreeMap::new(),
        specs: BTreeMap::new(),
        unsettled: Vec::new(),
        ended: Vec::new(),
        errors: Vec::new(),
        settles: true,
        capacity: 256 * 1024,
    };
    rig.read_all();
    rig
}

fn start(toml: &str) -> Rig {
    start_with(toml, None)
}

/// From the start, unless a position is saved.
fn tail(pattern: &Path, more: &str) -> String {
    format!("files = ['{}']\ninitial_read_offset = 'saved-or-beginning'\n{more}", pattern.display())
}

fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
}

impl Rig {
    /// Reads all sources until they are blocked.
    fn read_all(&mut self) {
        for (number, spec) in self.intake.sources() {
            if spec.descriptor.is_none() {
                self.read(number);
            }
        }
    }

    fn read(&mut self, number: u64) {
        let sources = self.intake.sources();
        let Some((_, spec)) = sources.iter().find(|(n, _)| *n == number) else { return };
        self.specs.insert(number, Arc::clone(spec));
        loop {
            let step = match self.intake.read(number, self.capacity, 64) {
                Ok(step) => step,
                Err(error) => {
                    self.errors.push(error.message().to_owned());
                    return;
                }
            };
            if !step.messages.is_empty() {
                let part = (number, step.token);
                match self.settles {
                    true => self.settle(&[part], Outcome::Delivered),
                    false => self.unsettled.push(part),
                }
                assert_eq!(step.messages.concat(), step.bytes);
                self.messages.entry(spec.name.clone()).or_default().extend(step.messages);
            } else if spec.framing == Framing::Lines {
                self.messages.entry(spec.name.clone()).or_default().push(step.bytes);
            }
            match step.read {
                Read::Some => {}
                Read::Blocked => return,
                Read::End => {
                    self.ended.push(spec.name.clone());
                    return;
                }
            }
        }
    }

    fn settle(&mut self, parts: &[(u64, u64)], outcome: Outcome) {
        let settlements: Vec<Settlement> = parts
            .iter()
            .map(|(source, token)| Settlement { source: *source, token: *token, outcome })
            .collect();
        self.driven.settled(&settlements);
    }

    /// Does what the agent does until something is so. Sources are read only when they are woken.
    fn run(&mut self, until: impl Fn(&Rig) -> bool) {
        loop {
            for number in self.intake.take_woken() {
                self.read(number);
            }
            // What is new is read at once.
            for (number, spec) in self.intake.sources() {
                if spec.descriptor.is_none() && !self.specs.contains_key(&number) {
                    self.read(number);
                }
            }
            if until(self) {
                return;
            }
            self.wait();
        }
    }

    /// Blocks until a watch or a pipe has something, and lets it tell.
    fn wait(&mut self) {
        let watches = self.intake.watches();
        let sources = self.intake.sources();
        let pipes: Vec<(u64, i32)> =
            sources.iter().filter_map(|(n, spec)| Some((*n, spec.descriptor?))).collect();
        let descriptors = watches.iter().chain(&pipes).map(|(_, fd)| *fd);
        let borrowed = descriptors.map(|fd| serve::borrow_descriptor(fd).unwrap());
        let mut fds: Vec<PollFd<'_>> =
            borrowed.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let count = rustix::event::poll(&mut fds, Some(&patience)).unwrap();
        assert!(count > 0, "nothing happened: {:?}", self.messages);
        for (at, fd) in fds.iter().enumerate() {
            if fd.revents().is_empty() {
                continue;
            }
            match watches.get(at) {
                Some((watch, _)) => assert!(self.intake.ready(*watch)),
                None => self.read(pipes[at - watches.len()].0),
            }
        }
    }

    /// All that came of a path.
    fn text(&self, path: &Path) -> String {
        let messages = self.messages.get(&path.display().to_string());
        String::from_utf8(messages.map_or(Vec::new(), |messages| messages.concat())).unwrap()
    }

    fn run_to(&mut self, path: &Path, text: &str) {
        self.run(|rig| rig.text(path).len() >= text.len());
        assert_eq!(self.text(path), text);
    }

    fn stop(&mut self) {
        self.driven.instance.base.pause(&context(0)).unwrap();
        self.driven.instance.base.stop(&context(0)).unwrap();
    }

    fn logs(&self) -> Vec<String> {
        self.driven.host.logs.lock().unwrap().iter().map(|(_, line)| line.clone()).collect()
    }
}

/// Kept as they are, but moved aside as programs that rotate files do.
fn rotate(path: &Path) {
    std::fs::rename(path, path.with_extension("1")).unwrap();
}

#[test]
fn lines_come_as_they_are_written() {
    let folder = Folder::new("tail-lines");
    let path = folder.write("a.log", "1\n2\n");
    let mut rig = start(&tail(&path, ""));
    assert_eq!(rig.text(&path), "1\n2\n");
    append(&path, "3\n");
    rig.run_to(&path, "1\n2\n3\n");
    append(&path, "4");
    append(&path, "5\n6");
    rig.run_to(&path, "1\n2\n3\n45\n");
    append(&path, "\n");
    rig.run_to(&path, "1\n2\n3\n45\n6\n");
    let (_, spec) = rig.specs.first_key_value().unwrap();
    assert_eq!(spec.tags, [("path".to_owned(), path.display().to_string())]);
    assert!(spec.acknowledged && !spec.lossy && !spec.finite);
    assert_eq!(rig.driven.host.metric("files"), 1);
    assert!(rig.logs().is_empty(), "{:?}", rig.logs());
}

#[test]
fn reading_begins_where_it_should() {
    let folder = Folder::new("tail-begin");
    for (offset, expected) in [
        ("beginning", "old\nnew\n"),
        ("saved-or-beginning", "old\nnew\n"),
        ("end", "new\n"),
        ("saved-or-end", "new\n"),
    ] {
        let path = folder.write("a.log", "old\n");
        let toml = format!(
            "files = ['{}']\ninitial_read_offset = '{offset}'\npath_tag = ''",
            path.display()
        );
        let mut rig = start(&toml);
        append(&path, "new\n");
        rig.run_to(&path, expected);
        let (_, spec) = rig.specs.first_key_value().unwrap();
        assert_eq!(spec.start, if expected.starts_with("old") { 0 } else { 4 });
        assert!(spec.tags.is_empty());
        rig.stop();

        // After a restart a saved position counts, or does not.
        append(&path, "while it was away\n");
        let mut again = start_with(&toml, Some(&rig.driven.host));
        append(&path, "last\n");
        let expected = match offset {
            "beginning" => "old\nnew\nwhile it was away\nlast\n",
            "end" => "last\n",
            _ => "while it was away\nlast\n",
        };
        again.run_to(&path, expected);
    }
}

#[test]
fn files_that_come_later_are_read_from_their_start() {
    let folder = Folder::new("tail-later");
    let old = folder.write("old.log", "old\n");
    let mut rig = start(&format!("files = ['{}']", folder.path("**.log").display()));
    let new = folder.write("new.log", "new\n");
    rig.run_to(&new, "new\n");
    assert_eq!(rig.text(&old), "");
    // In a folder that comes later too.
    let deep = folder.path("x/y/deep.log");
    std::fs::create_dir_all(deep.parent().unwrap()).unwrap();
    append(&deep, "deep\n");
    rig.run_to(&deep, "deep\n");
    // And moved there from elsewhere.
    let other = folder.write("other", "moved\n");
    std::fs::rename(other, folder.path("moved.log")).unwrap();
    rig.run_to(&folder.path("moved.log"), "moved\n");
    folder.write("not.txt", "not\n");
    append(&old, "more\n");
    rig.run_to(&old, "more\n");
    assert_eq!(rig.messages.len(), 4);
}

#[test]
fn a_path_that_is_not_there_yet_is_waited_for() {
    let folder = Folder::new("tail-wait");
    let path = folder.path("a.log");
    for method in ["inotify", "poll"] {
        let mut rig = start(&format!("files = ['{}']\nwatch_method = '{method}'", path.display()));
        assert!(rig.intake.sources().is_empty());
        append(&path, "1\n");
        rig.run_to(&path, "1\n");
        append(&path, "2\n");
        rig.run_to(&path, "1\n2\n");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_renamed_file_is_finished_before_the_next_begins() {
    let folder = Folder::new("tail-rename");
    let path = folder.write("a.log", "1\n");
    let mut rig = start(&tail(&path, ""));
    let mut writer = OpenOptions::new().append(true).open(&path).unwrap();
    rotate(&path);
    // The writer goes on with the file it has, also when the next one is there, still empty.
    writer.write_all(b"2\n").unwrap();
    rig.run_to(&path, "1\n2\n");
    folder.write("a.log", "");
    writer.write_all(b"3\nlast").unwrap();
    rig.run_to(&path, "1\n2\n3\n");
    append(&path, "new\n");
    rig.run_to(&path, "1\n2\n3\nlastnew\n");
    assert!(rig.messages.values().next().unwrap().contains(&b"last".to_vec()));
    append(&path, "more\n");
    rig.run_to(&path, "1\n2\n3\nlastnew\nmore\n");
    assert!(rig.ended.is_empty() && rig.specs.len() == 1, "one source all along");
}

#[test]
fn rotation_at_full_speed_loses_nothing() {
    let folder = Folder::new("tail-speed");
    let path = folder.write("a.log", "");
    let mut rig = start(&tail(&path, ""));
    let mut expected = String::new();
    for round in 0..20 {
        for line in 0..50 {
            let line = format!("{round} {line}\n");
            append(&path, &line);
            expected.push_str(&line);
        }
        // The reader is somewhere in the middle, or has not seen anything yet.
        if round % 3 == 0 {
            rig.run(|rig| !rig.text(&path).is_empty());
        }
        let wanted = expected.clone();
        if round % 2 == 0 {
            std::fs::rename(&path, folder.path(&format!("a.{round}"))).unwrap();
            append(&path, "");
        }
        rig.run_to(&path, &wanted);
    }
}

#[test]
fn a_file_that_was_cut_off_is_read_from_its_start() {
    let folder = Folder::new("tail-truncate");
    let path = folder.write("a.log", "1\n2\nhalf");
    let mut rig = start(&tail(&path, ""));
    OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    append(&path, "3\n");
    rig.run_to(&path, "1\n2\n3\n");
    std::fs::write(&path, "4\n").unwrap();
    append(&path, "55555\n");
    rig.run(|rig| rig.text(&path).ends_with("55555\n"));
    assert!(rig.logs()[0].contains("cut off"), "{:?}", rig.logs());
}

#[test]
fn a_deleted_file_ends_and_comes_again() {
    let folder = Folder::new("tail-delete");
    let path = folder.write("a.log", "1\nlast");
    let mut rig = start(&tail(&path, ""));
    std::fs::remove_file(&path).unwrap();
    rig.run(|rig| rig.ended.len() == 1);
    assert_eq!(rig.text(&path), "1\nlast");
    assert!(rig.intake.sources().is_empty());
    append(&path, "2\n");
    rig.run_to(&path, "1\nlast2\n");
    append(&path, "3\n");
    rig.run_to(&path, "1\nlast2\n3\n");
}

#[test]
fn a_renamed_file_that_matches_is_not_read_again() {
    let folder = Folder::new("tail-match");
    let path = folder.write("a.log", "1\n");
    let mut rig = start(&tail(&folder.path("a.log*"), ""));
    let rotated = folder.path("a.log.1");
    std::fs::rename(&path, &rotated).unwrap();
    append(&path, "2\n");
    rig.run_to(&path, "1\n2\n");
    // A late line of the old file comes under its new name.
    append(&rotated, "late\n");
    append(&path, "3\n");
    rig.run(|rig| rig.text(&rotated) == "late\n" && rig.text(&path) == "1\n2\n3\n");
    rig.stop();

    let mut again = start_with(&tail(&folder.path("a.log*"), ""), Some(&rig.driven.host));
    append(&path, "4\n");
    again.run_to(&path, "4\n");
    assert_eq!(again.text(&rotated), "");
}

#[test]
fn positions_are_those_of_what_was_delivered() {
    let folder = Folder::new("tail-position");
    let path = folder.write("a.log", "1\n");
    let toml = tail(&path, "");
    let mut rig = start(&toml);
    rig.settles = false;
    append(&path, "2\n");
    rig.run_to(&path, "1\n2\n");
    append(&path, "3\n");
    rig.run_to(&path, "1\n2\n3\n");
    let parts = std::mem::take(&mut rig.unsettled);
    assert_eq!(parts.len(), 2);
    // The later one first: nothing may be saved of it.
    rig.settle(&parts[1..], Outcome::Delivered);
    rig.stop();
    let mut again = start_with(&toml, Some(&rig.driven.host));
    again.run_to(&path, "2\n3\n");

    // What settles after pause counts as well.
    let mut rig = start_with(&toml, Some(&rig.driven.host));
    rig.settles = false;
    append(&path, "4\n");
    rig.run_to(&path, "2\n3\n4\n");
    rig.driven.instance.base.pause(&context(0)).unwrap();
    let parts = std::mem::take(&mut rig.unsettled);
    rig.settle(&parts, Outcome::Delivered);
    rig.driven.instance.base.stop(&context(0)).unwrap();
    append(&path, "5\n");
    let mut again = start_with(&toml, Some(&rig.driven.host));
    again.run_to(&path, "5\n");
}

#[test]
fn positions_are_saved_once_in_a_second() {
    let folder = Folder::new("tail-saved");
    let path = folder.write("a.log", "1\n");
    let mut rig = start(&tail(&path, ""));
    rig.settles = false;
    let saved = |rig: &Rig| rig.driven.host.state.lock().unwrap().values().next().cloned();
    let settle_at = |rig: &mut Rig, text: &str, now_ns: i64| {
        append(&path, text);
        rig.run(|rig| !rig.unsettled.is_empty());
        for (source, token) in std::mem::take(&mut rig.unsettled) {
            let settlement = Settlement { source, token, outcome: Outcome::Delivered };
            rig.driven.instance.settled(&context(now_ns), &[settlement]);
        }
    };
    settle_at(&mut rig, "2\n", 5_000_000_000);
    let first = saved(&rig);
    assert!(String::from_utf8_lossy(first.as_ref().unwrap()).contains("\n4 "), "{first:?}");
    settle_at(&mut rig, "3\n", 5_999_999_999);
    assert_eq!(saved(&rig), first);
    settle_at(&mut rig, "4\n", 6_000_000_000);
    assert_ne!(saved(&rig), first);
}

#[test]
fn rotation_while_it_was_away() {
    let folder = Folder::new("tail-away");
    let path = folder.write("a.log", "1\n");
    let toml = tail(&path, "");
    let mut rig = start(&toml);
    rig.stop();
    append(&path, "2\nlast");
    rotate(&path);
    append(&path, "new\n");
    let mut again = start_with(&toml, Some(&rig.driven.host));
    assert_eq!(again.text(&path), "2\nlastnew\n");
    append(&path, "more\n");
    again.run_to(&path, "2\nlastnew\nmore\n");
    again.stop();

    // Cut off and written again.
    std::fs::write(&path, "other text, as long as the other was\n").unwrap();
    let cut = start_with(&toml, Some(&again.driven.host));
    assert_eq!(cut.text(&path), "other text, as long as the other was\n");
}

#[test]
fn rotation_before_delivery_is_read_again_from_both_files() {
    let folder = Folder::new("tail-both");
    let path = folder.write("a.log", "1\n");
    let toml = tail(&path, "");
    let mut rig = start(&toml);
    rig.settles = false;
    append(&path, "2\n");
    rig.run_to(&path, "1\n2\n");
    rotate(&path);
    append(&path, "3\n");
    rig.run_to(&path, "1\n2\n3\n");
    // The agent is killed: what was saved at the rotation must do, whatever the file is called now.
    std::fs::rename(&path, folder.path("a.2")).unwrap();
    append(&path, "4\n");
    let again = start_with(&toml, Some(&rig.driven.host));
    assert_eq!(again.text(&path), "2\n3\n4\n");
}

#[test]
fn reading_waits_for_lines_to_be_delivered() {
    let folder = Folder::new("tail-limit");
    let path = folder.write("a.log", "1\n2\n3\n4\n5\n");
    let mut driven = testkit::service::<Tail>(&tail(&path, "max_undelivered_lines = 2")).unwrap();
    let intake = driven.start().unwrap();
    let source = intake.sources()[0].0;
    let first = intake.read(source, 1000, 10).unwrap();
    assert_eq!(first.bytes, b"1\n2\n");
    assert_eq!(intake.read(source, 1000, 10).unwrap().read, Read::Blocked);
    assert!(intake.take_woken().is_empty());
    let outcome = Outcome::Delivered;
    driven.settled(&[Settlement { source, token: first.token, outcome }]);
    assert_eq!(intake.take_woken(), [source]);
    assert_eq!(intake.read(source, 1000, 10).unwrap().bytes, b"3\n4\n");
}

#[test]
fn lines_that_are_too_long_are_passed_over() {
    let folder = Folder::new("tail-long");
    let long = "x".repeat(1000);
    let path = folder.write("a.log", format!("1\n{long}\n2\n"));
    let mut driven = testkit::service::<Tail>(&tail(&path, "")).unwrap();
    let intake = driven.start().unwrap();
    let source = intake.sources()[0].0;
    let mut text = Vec::new();
    loop {
        let step = intake.read(source, 100, 10).unwrap();
        text.extend(step.bytes);
        if step.read == Read::Blocked {
            break;
        }
    }
    assert_eq!(text, b"1\n2\n");
    assert_eq!(driven.host.metric("lines_too_long"), 1);
    let logs = driven.host.logs.lock().unwrap();
    assert!(logs[0].1.contains("byte 2"), "{logs:?}");
}

#[test]
fn other_encodings_and_colors() {
    let folder = Folder::new("tail-encoding");
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let path = folder.write("a.log", utf16("\u{feff}ä\n€"));
    let mut rig = start(&tail(&path, "character_encoding = 'utf-16le'"));
    assert_eq!(rig.text(&path), "ä\n");
    append(&path, utf16("uro\nlast"));
    rig.run_to(&path, "ä\n€uro\n");
    rig.stop();
    append(&path, utf16(" line\n"));
    let toml = tail(&path, "character_encoding = 'utf-16le'");
    let again = start_with(&toml, Some(&rig.driven.host));
    assert_eq!(again.text(&path), "last line\n");

    let path = folder.write("b.log", b"\x1b[31mred\x1b[0m \xff\n");
    let rig = start(&tail(&path, "character_encoding = 'utf-8'\nfilters = ['ansi_color']"));
    assert_eq!(rig.text(&path), "red \u{fffd}\n");
}

#[test]
fn much_text_goes_through_slowly_too() {
    let folder = Folder::new("tail-much");
    let text: String = (0..40_000).map(|n| format!("line {n} äöü\n")).collect();
    let path = folder.write("a.log", &text);
    for capacity in [80 * 1024, 300 * 1024] {
        let mut driven =
            testkit::service::<Tail>(&tail(&path, "character_encoding = 'utf-8'")).unwrap();
        let intake = driven.start().unwrap();
        let source = intake.sources()[0].0;
        let mut out = Vec::new();
        loop {
            let step = intake.read(source, capacity, 10).unwrap();
            out.extend(step.bytes);
            if step.read == Read::Blocked {
                break;
            }
        }
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

#[test]
fn events_of_several_lines() {
    let folder = Folder::new("tail-multiline");
    let path = folder.write("a.log", "one\n more\ntwo\n more\n");
    let toml =
        tail(&path, "[multiline]\npattern = '^\\s'\npreserve_newline = true\ntimeout = '20ms'");
    let mut rig = start(&toml);
    assert_eq!(rig.text(&path), "one\n more");
    // Nothing follows for a while.
    rig.run_to(&path, "one\n moretwo\n more");
    let messages = rig.messages.values().next().unwrap();
    assert_eq!(messages, &[b"one\n more".to_vec(), b"two\n more".to_vec()]);
    append(&path, "three\nfour\n");
    rig.run(|rig| rig.text(&path).ends_with("three"));
    rig.stop();
    // The event that was waiting is read again.
    append(&path, " more\nfive\n");
    let again = start_with(&toml, Some(&rig.driven.host));
    assert_eq!(again.text(&path), "four\n more");
}

#[test]
fn a_rotated_file_ends_its_event() {
    let folder = Folder::new("tail-event-end");
    let path = folder.write("a.log", "one\n more\n half");
    let mut rig = start(&tail(&path, "[multiline]\npattern = '^\\s'\ntimeout = '1h'"));
    rotate(&path);
    append(&path, "two\nthree\n");
    rig.run(|rig| rig.messages.values().map(Vec::len).sum::<usize>() == 2);
    let messages = rig.messages.values().next().unwrap();
    assert_eq!(messages, &[b"one more half".to_vec(), b"two".to_vec()]);
}

#[test]
fn changes_are_found_by_looking() {
    let folder = Folder::new("tail-poll");
    let path = folder.write("a.log", "1\n");
    let mut rig = start(&tail(&path, "watch_method = 'poll'"));
    assert_eq!(rig.intake.watches().len(), 2, "no inotify");
    append(&path, "2\n");
    rig.run_to(&path, "1\n2\n");
    rotate(&path);
    append(&path, "3\n");
    rig.run_to(&path, "1\n2\n3\n");
}

#[test]
fn pipes_are_read_as_they_are() {
    let folder = Folder::new("tail-pipe");
    let path = folder.path("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut rig = start(&format!("files = ['{}']\npipe = true", path.display()));
    for text in ["1\n", "2\n"] {
        // Each time another writer.
        let before = rig.text(&path);
        append(&path, text);
        rig.run_to(&path, &format!("{before}{text}"));
    }
    assert!(rig.ended.is_empty());
    rig.stop();
    assert!(rig.intake.sources().is_empty());
}

#[test]
fn a_file_that_cannot_be_read_is_tried_again_and_holds_no_other_up() {
    let folder = Folder::new("tail-unreadable");
    let good = folder.write("a.log", "1\n");
    // Its first bytes are no memory of the process.
    let bad = folder.path("b.log");
    std::os::unix::fs::symlink("/proc/self/mem", &bad).unwrap();
    let mut rig = start(&tail(&folder.path("*.log"), "watch_method = 'poll'"));
    assert_eq!(rig.errors.len(), 1);
    assert!(rig.errors[0].contains("b.log"), "{:?}", rig.errors);
    append(&good, "2\n");
    rig.run(|rig| rig.text(&good) == "1\n2\n" && rig.errors.len() >= 2);
}

#[test]
fn options_that_do_not_fit_are_told() {
    let refused = |toml: &str| match testkit::service::<Tail>(toml) {
        Ok(_) => panic!("{toml} was accepted"),
        Err(error) => error.message().to_owned(),
    };
    for (toml, words) in [
        ("", "no files"),
        ("files = ['[']", "\"[\""),
        ("files = ['a']\nfrom_beginning = true", "saved-or-beginning"),
        ("files = ['a']\ninitial_read_offset = 'middle'", "saved-or-end"),
        ("files = ['a']\nwatch_method = 'fanotify'", "poll"),
        ("files = ['a']\nfilters = ['rot13']", "ansi_color"),
        ("files = ['a']\nmultiline = { pattern = '(' }", "\"(\""),
        ("files = ['a*']\npipe = true", "one by one"),
        ("files = ['a']\npipe = true\ncharacter_encoding = 'utf-8'", "as they are"),
    ] {
        let message = refused(toml);
        assert!(message.contains(words), "{toml}: {message}");
    }
}
