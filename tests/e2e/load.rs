//! Much line protocol through a socket, some of it broken.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;

use headwater_tests::agent::Setup;
use headwater_tests::digest::digest;
use headwater_tests::load::{Load, Random};
use headwater_tests::points;

use crate::{SOCKET_TO_FILE, read_to_end, send};

const MEMORY_MAX: u64 = 64 << 20;

/// Ways to break a line: each makes of a good line one that every parser refuses.
const BREAKS: &[fn(&str) -> String] = &[
    |line| line.replacen(" usage_user=", " usage_user=\"", 1),
    |line| line.replacen(" usage_user=", " usage_user=x", 1),
    |line| line.split(' ').next().unwrap_or_default().to_owned(),
    |line| format!("{line}soon"),
    |line| line.replacen("cpu=", "=", 1),
    |line| line.replacen("i 1", "ii 1", 1),
    |line| line.replacen(",usage_system=", ",usage_system==", 1),
    |line| line.replacen("ctx=", "ctx", 1),
];

struct Made {
    /// All of it.
    text: Vec<u8>,
    /// The good lines alone.
    good: Vec<u8>,
    /// Where each bad line begins, by its number counted from 1.
    bad: BTreeMap<u64, u64>,
}

fn make(bytes: usize) -> Made {
    let load = Load { points: u64::MAX, ..Load::default() };
    let mut lines = load.lines();
    let mut random = Random::new(7);
    let mut made = Made { text: Vec::new(), good: Vec::new(), bad: BTreeMap::new() };
    let mut line = String::new();
    let mut number = 0;
    while made.text.len() < bytes {
        line.clear();
        lines.next_into(&mut line);
        number += 1;
        if random.below(100) > 0 {
            made.text.extend_from_slice(line.as_bytes());
            made.good.extend_from_slice(line.as_bytes());
            continue;
        }
        let break_it = BREAKS[random.below(BREAKS.len() as u64) as usize];
        made.bad.insert(number, made.text.len() as u64);
        made.text.extend_from_slice(break_it(line.trim_end()).as_bytes());
        made.text.push(b'\n');
    }
    made
}

/// Line number and byte of a message such as `...: line 7, byte 99, column 3: ...`.
fn position(message: &str) -> Option<(u64, u64)> {
    let (_, rest) = message.split_once(": line ")?;
    let (line, rest) = rest.split_once(", byte ")?;
    let (byte, _) = rest.split_once(", column ")?;
    Some((line.parse().ok()?, byte.parse().ok()?))
}

#[test]
fn every_good_line_arrives_once_and_every_bad_one_is_shown() {
    let long = std::env::var_os("HEADWATER_LONG").is_some();
    let made = make(if long { 200_000_000 } else { 20_000_000 });
    let config = format!(
        "{SOCKET_TO_FILE}namedrop = [\"internal_*\"]\n\
         [[inputs.internal]]\ninterval = \"200ms\"\n\
         [[outputs.file]]\nfiles = [\"@/internal\"]\nnamepass = [\"internal_gather\"]\n"
    );
    let mut agent = Setup::new(&config).start();
    let mut stream = TcpStream::connect(agent.tcp()).unwrap();
    stream.write_all(&made.text).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    read_to_end(stream);
    let refused = |text: &str| -> Option<u64> {
        let whole = &text[..text.rfind('\n')? + 1];
        let all = points::parse(whole);
        let last = all.iter().rev().find(|point| point.tag("input") == "socket_listener")?;
        Some(last.number("lines_refused") as u64)
    };
    let count = made.bad.len() as u64;
    agent.until("the count of refused lines", |agent| {
        let told = refused(&agent.read("internal"))?;
        assert!(told <= count, "{told} lines were refused and {count} were bad");
        (told == count).then_some(())
    });
    let ended = agent.stop();
    let out = std::fs::read(ended.folder.join("out")).unwrap();
    assert_eq!(digest(&out), digest(&made.good));
    let shown: Vec<(u64, u64)> = ended.log.lines().filter_map(position).collect();
    let expected: Vec<(u64, u64)> = made.bad.into_iter().collect();
    assert_eq!(shown.len(), expected.len(), "bad lines shown");
    for (shown, expected) in shown.iter().zip(&expected) {
        assert_eq!(shown, expected);
    }
    let peak = ended.usage.peak_bytes;
    println!("{} bytes, {count} bad lines, peak {} KiB", made.text.len(), peak >> 10);
    assert!(peak < MEMORY_MAX, "{peak} bytes were resident");
}

#[test]
fn points_of_one_connection_stay_in_order() {
    let text = String::from_utf8(Load { points: 100_000, ..Load::default() }.text()).unwrap();
    // The times rise: they tell the order.
    let times = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.rsplit(' ').next()).map(str::to_owned).collect()
    };
    let sent = times(&text);
    let config = SOCKET_TO_FILE.replace("[agent]", "[agent]\nworkers = 4");
    let mut agent = Setup::new(&config).start();
    send(agent.tcp(), text.as_bytes());
    let last = format!(" {}\n", sent[sent.len() - 1]);
    agent.until("the last line", |agent| agent.read("out").ends_with(&last).then_some(()));
    let found = times(&agent.stop().read("out"));
    assert_eq!(found.len(), sent.len());
    let turned = sent.iter().zip(&found).find(|(sent, found)| sent != found);
    assert_eq!(turned, None);
}

#[test]
fn every_way_to_break_a_line_breaks_it() {
    let mut line = String::new();
    Load::default().lines().next_into(&mut line);
    for (number, break_it) in BREAKS.iter().enumerate() {
        let broken = break_it(line.trim_end());
        let result = influxdb_line_protocol::parse_lines(&broken).next();
        assert!(result.is_some_and(|line| line.is_err()), "{number}: {broken}");
    }
}
