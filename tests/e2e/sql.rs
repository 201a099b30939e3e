//! `headwater sql`.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use headwater_tests::paths::{self, Folder};
use headwater_tests::wait;
use rustix::process::{Pid, Signal};

use crate::sql_files::gzip;

/// What came of a run.
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

pub fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(paths::agent());
    command.arg("sql").args(arguments).current_dir(folder.path());
    command.env_remove("HEADWATER_PLUGIN_DIRECTORIES");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it with something on standard input.
pub fn fed(folder: &Folder, arguments: &[&str], input: &str) -> Ran {
    let mut child = command(folder, arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A run that fails reads nothing.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).is_ok());
    let ended = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { out: text(ended.stdout), err: text(ended.stderr), code: ended.status.code() }
}

pub fn run(folder: &Folder, arguments: &[&str]) -> Ran {
    fed(folder, arguments, "")
}

/// Runs it, and nothing is wrong.
pub fn rows(folder: &Folder, arguments: &[&str]) -> String {
    let ran = run(folder, arguments);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{arguments:?}");
    ran.out
}

const POINTS: &str = "cpu,host=a usage=10,big=9223372036854775807i 1700000000000000000\n\
    cpu,host=b usage=20.5,note=\"x, \\\"y\\\"\" 1700000001000000000\n\
    mem free=1 1700000002000000000\n\
    cpu,host=a usage=40,up=true,u=18446744073709551615u 1700000059000000000\n\
    cpu,host=a usage=80 1700000061500000000\n";

const PER_MINUTE: &str = "SELECT window_start(), window_end() AS \"end\", host, avg(usage) AS usage, \
    count(*) AS n FROM cpu GROUP BY time('1m'), host";

#[test]
fn every_form_of_rows() {
    let folder = Folder::new();
    folder.write("cpu.influx", POINTS);
    let output = |form| rows(&folder, &[PER_MINUTE, "cpu.influx", "--output", form]);
    assert_eq!(
        output("table"),
        "window_start()        end                   host  usage  n\n\
         2023-11-14T22:13:00Z  2023-11-14T22:14:00Z  a      10.0  1\n\
         2023-11-14T22:13:00Z  2023-11-14T22:14:00Z  b      20.5  1\n\
         2023-11-14T22:14:00Z  2023-11-14T22:15:00Z  a      60.0  2\n"
    );
    assert_eq!(
        output("json"),
        "{\"window_start()\":1699999980000000000,\"end\":1700000040000000000,\"host\":\"a\",\"usage\":10.0,\"n\":1}\n\
         {\"window_start()\":1699999980000000000,\"end\":1700000040000000000,\"host\":\"b\",\"usage\":20.5,\"n\":1}\n\
         {\"window_start()\":1700000040000000000,\"end\":1700000100000000000,\"host\":\"a\",\"usage\":60.0,\"n\":2}\n"
    );
    assert_eq!(
        output("csv"),
        "window_start(),end,host,usage,n\n\
         1699999980000000000,1700000040000000000,a,10.0,1\n\
         1699999980000000000,1700000040000000000,b,20.5,1\n\
         1700000040000000000,1700000100000000000,a,60.0,2\n"
    );
    let influx = "cpu_sql,host=a window_start()=1699999980000000000i,end=1700000040000000000i,usage=10,n=1i 1699999980000000000\n";
    assert_eq!(output("influx").lines().next(), influx.lines().next());
    // Elsewhere than on a terminal.
    assert_eq!(rows(&folder, &[PER_MINUTE, "cpu.influx"]), output("influx"));
}

#[test]
fn rows_that_know_of_others() {
    let folder = Folder::new();
    folder.write(
        "all.influx",
        "cpu,host=a usage=10 1700000000000000000\n\
         cpu,host=a usage=20 1700000001000000000\n\
         cpu,host=b usage=5 1700000001500000000\n\
         cpu,host=a usage=50 1700000002000000000\n\
         deploy,host=a version=\"1.2\" 1700000000500000000\n",
    );
    let table = |query| rows(&folder, &["--output", "table", query, "all.influx"]);
    assert_eq!(
        table(
            "SELECT host, usage, usage - lag(usage) OVER (PARTITION BY host) AS step, \
             avg(usage) OVER (PARTITION BY host ROWS 1 PRECEDING) AS mean FROM cpu"
        ),
        "host  usage  step  mean\n\
         a      10.0        10.0\n\
         a      20.0  10.0  15.0\n\
         b       5.0         5.0\n\
         a      50.0  30.0  35.0\n"
    );
    assert_eq!(
        table(
            "SELECT c.host, c.usage, d.version FROM cpu c ASOF LEFT JOIN deploy d \
             MATCH_CONDITION (c.time >= d.time) ON c.host = d.host WHERE c.usage > 5"
        ),
        "host  usage  version\n\
         a      10.0\n\
         a      20.0  1.2\n\
         a      50.0  1.2\n"
    );
    let refused = run(&folder, &["SELECT a.x FROM a JOIN b ON a.i = b.i", "all.influx"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("the join has no bound in time"), "{}", refused.err);
}

#[test]
fn the_examples_of_the_readme() {
    let folder = Folder::new();
    folder.write(
        "cpu.influx",
        "cpu,host=edge1 usage_user=3.2,usage_idle=92.5 1700000000000000000\n\
         cpu,host=edge1 usage_user=9.1,usage_idle=80.5 1700000030000000000\n\
         cpu,host=edge2 usage_user=71.5,usage_idle=2 1700000031000000000\n\
         cpu,host=edge1 usage_user=4.5,usage_idle=91 1700000065000000000\n",
    );
    let requests = "{\"ts\":\"2026-11-21T09:00:01Z\",\"path\":\"/\",\"status\":200,\"ms\":12.5}\n\
         {\"ts\":\"2026-11-21T09:00:02Z\",\"path\":\"/api\",\"status\":500,\"ms\":250}\n\
         {\"ts\":\"2026-11-21T09:00:07Z\",\"path\":\"/\",\"status\":200,\"ms\":14}\n";
    let cpu = "time,host,usage\n2026-11-21T09:00:00Z,edge1,12.5\n\
         2026-11-21T09:00:30Z,edge2,71\n2026-11-21T09:01:00Z,edge1,80.5\n";
    folder.write("cpu.csv.gz", gzip(cpu.as_bytes()));
    folder.write(
        "deploys.csv",
        "time,host,version\n2026-11-21T08:59:00Z,edge2,4.0.1\n2026-11-21T09:00:45Z,edge1,4.1.0\n",
    );
    let readme = std::fs::read_to_string(paths::root().join("README.md")).unwrap();
    let (_, text) = readme.split_once("```console\n").unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let mut count = 0;
    for example in text.split("$ headwater sql ").skip(1) {
        let (before, rest) = example.split_once('"').unwrap();
        let (query, rest) = rest.split_once('"').unwrap();
        let (files, expected) = rest.split_once('\n').unwrap();
        let mut arguments: Vec<&str> = before.split_whitespace().collect();
        arguments.push(query);
        let input = match files.trim() {
            "< requests.jsonl" => requests,
            files => {
                arguments.extend(files.split_whitespace());
                ""
            }
        };
        let ran = fed(&folder, &arguments, input);
        assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.code), (expected, "", Some(0)));
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn points_one_by_one_with_all_they_have() {
    let folder = Folder::new();
    folder.write("cpu.influx", POINTS);
    let output = |form| rows(&folder, &["SELECT * FROM cpu", "cpu.influx", "--output", form]);
    assert_eq!(
        output("json"),
        "{\"time\":1700000000000000000,\"host\":\"a\",\"usage\":10.0,\"big\":9223372036854775807}\n\
         {\"time\":1700000001000000000,\"host\":\"b\",\"usage\":20.5,\"note\":\"x, \\\"y\\\"\"}\n\
         {\"time\":1700000059000000000,\"host\":\"a\",\"usage\":40.0,\"up\":true,\"u\":18446744073709551615}\n\
         {\"time\":1700000061500000000,\"host\":\"a\",\"usage\":80.0}\n"
    );
    assert_eq!(
        output("csv"),
        "time,host,usage,big,note,up,u\n\
         1700000000000000000,a,10.0,9223372036854775807,,,\n\
         1700000001000000000,b,20.5,,\"x, \"\"y\"\"\",,\n\
         1700000059000000000,a,40.0,,,true,18446744073709551615\n\
         1700000061500000000,a,80.0,,,,\n"
    );
    let table = output("table");
    assert_eq!(
        table.lines().next().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")),
        Some("time host usage big note up u".to_owned())
    );
    assert!(table.ends_with("2023-11-14T22:14:21.5Z  a      80.0\n"), "{table}");
    assert!(output("influx").contains("u=18446744073709551615u "));
    let query =
        "SELECT time, usage * 2 AS twice, host, note IS NULL AS bare FROM cpu WHERE usage < 30";
    assert_eq!(
        rows(&folder, &[query, "cpu.influx", "--output", "json"]),
        "{\"time\":1700000000000000000,\"twice\":20.0,\"host\":\"a\",\"bare\":true}\n\
         {\"time\":1700000001000000000,\"twice\":41.0,\"host\":\"b\",\"bare\":false}\n"
    );
}

#[test]
fn json_in() {
    let folder = Folder::new();
    let text = "{\"at\":\"2023-11-14T22:13:20.5Z\",\"host\":{\"name\":\"a\"},\"path\":\"/x\",\"ms\":12.5}\n\
                {\"at\":\"2023-11-14T22:13:21Z\",\"host\":{\"name\":\"b\"},\"path\":\"/y\",\"ms\":7}\n\
                {\"at\":\"2023-11-14T23:13:21+01:00\",\"host\":{\"name\":\"a\"},\"path\":\"/x\",\"ms\":9}\n";
    folder.write("requests.jsonl", text);
    let query = "SELECT host_name, path, max(ms) AS ms, last(time) AS at FROM web GROUP BY time('1m'), host_name, path";
    let expected = "{\"host_name\":\"a\",\"path\":\"/x\",\"ms\":12.5,\"at\":1700000001000000000}\n\
                    {\"host_name\":\"b\",\"path\":\"/y\",\"ms\":7.0,\"at\":1700000001000000000}\n";
    let options = ["--name", "web", "--tags", "host_*", "--output", "json"];
    for time in ["at", "at:rfc3339", "at:2006-01-02T15:04:05Z07:00"] {
        let arguments = [&[query, "requests.jsonl", "--time", time], &options[..]].concat();
        assert_eq!(rows(&folder, &arguments), expected, "{time}");
    }
    // An array over many lines, without an ending that tells.
    let array = format!("[\n  {}\n]\n", text.trim_end().replace('\n', ",\n  "));
    folder.write("requests", array);
    let arguments = [&[query, "requests", "--time", "at"], &options[..]].concat();
    assert_eq!(rows(&folder, &arguments), expected);
    folder.write("unix.json", "{\"t\":1700000000123,\"v\":1}");
    let time = |arguments: &[&str]| {
        let arguments =
            [&["SELECT time, v FROM json", "unix.json", "--output", "csv"], arguments].concat();
        rows(&folder, &arguments)
    };
    assert_eq!(time(&["--time", "t"]), "time,v\n1700000000123000000,1.0\n");
    assert_eq!(time(&["--time", "t:us"]), "time,v\n1700000000123000,1.0\n");
    let ran = run(&folder, &["SELECT v FROM json", "unix.json", "--time", "when"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.starts_with("error: unix.json: --time when: the first records have no such key"),
        "{}",
        ran.err
    );
}

#[test]
fn what_a_file_is_taken_for() {
    let folder = Folder::new();
    folder.write("log", "{\"v\":1}\n");
    folder.write("lines.txt", "json v=2\n");
    folder.write("odd.json", "json v=3\n");
    let query = "SELECT v FROM json";
    let output = |file: &str| rows(&folder, &[query, file, "--output", "csv"]);
    assert_eq!(output("log"), "v\n1.0\n");
    assert_eq!(output("lines.txt"), "v\n2.0\n");
    let ran = run(&folder, &[query, "odd.json", "--output", "csv"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "v\n"));
    assert!(ran.err.starts_with("odd.json:1:1: "), "{}", ran.err);
    assert!(
        ran.err.ends_with("odd.json was read as json, by its name; --input says what it is\n"),
        "{}",
        ran.err
    );
    let said = rows(&folder, &[query, "odd.json", "--input", "influx", "--output", "csv"]);
    assert_eq!(said, "v\n3.0\n");
}

/// Points of a host, one every ten seconds over some hours, each with the value 1.
fn hours(host: &str, from_hour: u64, to_hour: u64) -> String {
    let mut text = String::new();
    for second in (from_hour * 3600..to_hour * 3600).step_by(10) {
        let padding = "x".repeat(40);
        writeln!(
            text,
            "m,host={host} v=1i,pad=\"{padding}\" {}000000000",
            1_700_000_000 - 800 + second
        )
        .unwrap();
    }
    text
}

#[test]
fn files_out_of_step_are_read_in_the_order_of_time() {
    let folder = Folder::new();
    // Some chunks each; more windows than can be open; a file that begins when the others have
    // nearly ended, and one that is much shorter in time and as long in bytes.
    folder.write("b.influx", hours("b", 0, 40));
    folder.write("a.influx", hours("a", 0, 48));
    folder.write("c.influx", hours("c", 39, 48));
    folder.write("d.influx", hours("d", 20, 48));
    let query = "SELECT window_start() AS t, sum(v) AS v FROM m GROUP BY time('1m')";
    let files = ["a.influx", "b.influx", "c.influx", "d.influx"];
    let out = rows(&folder, &[&[query, "--output", "csv"], &files[..]].concat());
    let mut expected = String::from("t,v\n");
    for minute in 0..48 * 60 {
        let hour = minute / 60;
        let hosts = 1 + u64::from(hour < 40) + u64::from(hour >= 39) + u64::from(hour >= 20);
        writeln!(expected, "{}000000000,{}", 1_700_000_000 - 800 + minute * 60, hosts * 6).unwrap();
    }
    assert!(
        out == expected,
        "{} lines, expected {}",
        out.lines().count(),
        expected.lines().count()
    );
}

#[test]
fn a_chunk_may_span_more_windows_than_can_be_open() {
    let folder = Folder::new();
    folder.write("a.influx", hours("a", 0, 20));
    folder.write("b.influx", hours("b", 1, 21));
    let query = "SELECT host, sum(v) AS v FROM m GROUP BY time('10s'), host";
    let out = rows(&folder, &[query, "a.influx", "b.influx", "--output", "csv"]);
    let of = |host: &str| out.lines().filter(|line| *line == format!("{host},1")).count();
    assert_eq!((of("a"), of("b"), out.lines().count()), (7200, 7200, 14_401));
}

#[test]
fn a_point_from_afar_closes_nothing_and_is_taken() {
    let folder = Folder::new();
    let text = hours("a", 0, 30);
    let middle = text.match_indices('\n').nth(5000).unwrap().0 + 1;
    let afar = "m,host=a v=5i 3900000000000000000\nm,host=a v=7i -5000000000\n";
    folder.write("a.influx", format!("{}{afar}{}", &text[..middle], &text[middle..]));
    let query = "SELECT window_start() AS t, sum(v) AS v FROM m GROUP BY time('1h')";
    let out = rows(&folder, &[query, "a.influx", "--output", "csv"]);
    let lines: Vec<&str> = out.lines().collect();
    let sum = |line: &str| line.split_once(',').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(lines.len(), 1 + 1 + 30 + 1, "{out}");
    assert!(lines.contains(&"-3600000000000,7"), "{out}");
    assert_eq!(lines.last(), Some(&"3899998800000000000,5"));
    assert_eq!(lines[1..].iter().map(|line| sum(line)).sum::<u64>(), 30 * 360 + 12);
}

#[test]
fn points_that_come_too_late_are_told() {
    let folder = Folder::new();
    let text = format!("{}{}", hours("a", 0, 60), hours("b", 0, 1));
    folder.write("a.influx", text);
    let query = "SELECT count(*) AS n FROM m GROUP BY time('10m')";
    let ran = run(&folder, &[query, "a.influx", "--output", "csv"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(
        ran.err.starts_with("warning: 360 points came after their window was closed"),
        "{}",
        ran.err
    );
    let arguments = [query, "a.influx", "--output", "csv", "--option", "delay=61h"];
    let out = rows(&folder, &arguments);
    assert_eq!(out.lines().filter(|line| *line == "120").count(), 6, "{out}");
}

#[test]
fn standard_input() {
    let folder = Folder::new();
    folder.write("x.influx", "m v=1 1\n");
    let query = "SELECT v FROM m";
    let input = "m v=2 2\nm v=3 3";
    let check = |files: &[&str], expected: &str| {
        let ran = fed(&folder, &[&[query, "--output", "csv"], files].concat(), input);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), expected, ""));
    };
    check(&[], "v\n2.0\n3.0\n");
    check(&["-"], "v\n2.0\n3.0\n");
    check(&["x.influx", "-"], "v\n1.0\n2.0\n3.0\n");
    let ran = fed(&folder, &[query, "--output", "csv"], "");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "v\n"));
}

#[test]
fn rows_of_a_chain() {
    let folder = Folder::new();
    folder.write("cpu.influx", POINTS);
    folder.write(
        "q.sql",
        format!(
            "CREATE STREAM per AS {PER_MINUTE};\nSELECT n * 10 AS ten FROM per WHERE host = 'a';\n"
        ),
    );
    let last = rows(&folder, &["--query-file", "q.sql", "cpu.influx", "--output", "json"]);
    assert_eq!(last, "{\"ten\":10}\n{\"ten\":20}\n");
    let all = rows(&folder, &["--query-file", "q.sql", "cpu.influx", "--output", "json", "--all"]);
    let of = |stream: &str| {
        let start = format!("{{\"stream\":\"{stream}\",");
        all.lines().filter(|line| line.starts_with(&start)).count()
    };
    assert_eq!((of("per"), of("per_sql"), all.lines().count()), (3, 2, 5), "{all}");
    let ran = run(&folder, &["--query-file", "q.sql", "cpu.influx", "--output", "csv", "--all"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("CSV has one header"), "{}", ran.err);
}

#[test]
fn a_chain_waits_over_gaps() {
    let folder = Folder::new();
    // Hours of another measurement lie between those that are read: the first statement has no open
    // window then, and the second one must wait all the same.
    let text: String = (0..4)
        .map(|part| {
            let hours = hours("a", part * 3, part * 3 + 3);
            if part % 2 == 0 { hours } else { hours.replace("m,", "other,") }
        })
        .collect();
    folder.write("a.influx", text);
    let query = "CREATE STREAM per AS SELECT sum(v) AS v FROM m GROUP BY time('1m'); \
                 SELECT sum(v) AS v, count(*) AS n FROM per GROUP BY time('30d')";
    assert_eq!(rows(&folder, &[query, "a.influx", "--output", "csv"]), "v,n\n2160,360\n");
}

#[test]
fn a_statements_error_has_a_caret() {
    let folder = Folder::new();
    let ran = run(&folder, &["SELECT avgg(v) AS a\nFROM cpu GROUP BY time('1m')"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.err,
        "error: line 1, column 8, at `avgg(v)`: there is no function avgg; did you mean avg?\n\
         \x20 SELECT avgg(v) AS a\n\
         \x20        ^^^^^^^\n"
    );
    assert_eq!(ran.out, "");
}

#[test]
fn refused_lines_are_told_with_their_place() {
    let folder = Folder::new();
    let mut text = String::from("m v=1 1\n\n# a comment\nm v=\n");
    (0..20).for_each(|_| text.push_str("nonsense\n"));
    text.push_str("m v=2 2\n");
    folder.write("bad.influx", text);
    let ran = run(&folder, &["SELECT v FROM m", "bad.influx", "--output", "csv"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "v\n1.0\n2.0\n"));
    let lines: Vec<&str> = ran.err.lines().collect();
    assert!(lines[0].starts_with("bad.influx:4:5: "), "{}", ran.err);
    assert!(lines[1].starts_with("bad.influx:5:"), "{}", ran.err);
    assert!(lines[9].starts_with("bad.influx:13:"), "{}", ran.err);
    assert_eq!(lines[10], "warning: 21 lines were refused, of which the first 10 are shown");
}

#[test]
fn what_cannot_run_says_why() {
    let folder = Folder::new();
    folder.write("x.influx", "m v=1 1\n");
    let check = |arguments: &[&str], code: i32, words: &str| {
        let ran = run(&folder, arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
    };
    let query = "SELECT v FROM m";
    check(&[query, "x.influx", "no.influx", "."], 1, "error: no.influx: No such file");
    check(&[query, "x.influx", "no.influx", "."], 1, "error: .: is a directory");
    check(&["--query-file", "no.sql"], 1, "--query-file no.sql: No such file");
    check(&[query, "--option", "dely=1s"], 1, "did you mean `delay`?");
    check(&[query, "--option", "delay=soon"], 1, "\"soon\" is not a duration");
    check(&[query, "--option", "late=update"], 1, "grace");
    check(&[], 2, "expected a statement");
    check(&[query, "--output", "xml"], 2, "write table, influx, json, csv");
    check(&[query, "--option", "delay"], 2, "expected KEY=VALUE");
}

#[test]
fn what_comes_to_nothing_is_told() {
    let folder = Folder::new();
    folder.write("x.influx", "cpu v=1 1\nmem v=1 1\n");
    let check = |arguments: &[&str], words: &str| {
        let ran = run(&folder, arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
        ran.out
    };
    let out = check(
        &["SELECT v FROM cup", "x.influx"],
        "no point is of the measurement `cup`; did you mean `cpu`?\n",
    );
    assert_eq!(out, "");
    let out = check(
        &["SELECT v FROM cpu", "y=x.influx"],
        "no point is of the measurement `cpu`; there were those of y\n",
    );
    assert_eq!(out, "");
    let out = check(
        &["SELECT v FROM cpu", "--name", "x", "--time", "ts", "x.influx"],
        "warning: --name, --time: line protocol says itself",
    );
    assert_eq!(out, "cpu_sql v=1 1\n");
}

#[test]
fn a_mark_of_the_encoding_is_no_part_of_a_name() {
    let folder = Folder::new();
    folder.write("x.influx", "\u{feff}m v=1 1\n\u{feff}m v=2 2\nm v=3 3\n");
    assert_eq!(rows(&folder, &["SELECT v FROM m", "x.influx"]), "m_sql v=1 1\nm_sql v=3 3\n");
    folder.write("y.influx", "\u{feff}m v=x 1\n");
    let ran = run(&folder, &["SELECT v FROM m", "y.influx"]);
    assert!(ran.err.starts_with("y.influx:1:5: "), "{}", ran.err);
}

#[test]
fn a_statement_may_begin_with_a_comment() {
    let folder = Folder::new();
    folder.write("x.influx", "m v=1 1\n");
    let query = "-- what = v\nSELECT v -- all\nFROM m";
    assert_eq!(rows(&folder, &["--output", "influx", query, "x.influx"]), "m_sql v=1 1\n");
    assert_eq!(rows(&folder, &["--", query, "x.influx"]), "m_sql v=1 1\n");
}

#[test]
fn the_plan_is_explained() {
    let folder = Folder::new();
    let query = "SELECT host, avg(usage) AS usage FROM cpu WHERE cpu = 'x' AND field('usage') > 1 \
                 GROUP BY time('1m'), host HAVING count(*) > 1; SELECT * FROM cpu_sql";
    assert_eq!(
        rows(&folder, &[query, "--explain"]),
        "statement 1 of 2: cpu_sql
  reads       cpu
  window      time('1m')
  columns     host, usage
  per series  WHERE cpu = 'x' (per point where cpu is a field)
              GROUP BY host (per point where host is a field)
  per point   WHERE field('usage') > 1
              adds to avg(usage)
              adds to count(*)
  per window  HAVING count(*) > 1
              SELECT host, avg(usage)

statement 2 of 2: cpu_sql_sql
  reads       cpu_sql
  window      none: point by point
  columns     *
  per point   SELECT *
"
    );
}

#[test]
fn nobody_reads_on() {
    let folder = Folder::new();
    folder.write("a.influx", hours("a", 0, 60));
    let mut child = command(&folder, &["SELECT * FROM m", "a.influx"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("m_sql,host=a v=1i"), "{line}");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap()),
        (Some(0), String::new())
    );
}

pub fn interrupt(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::INT).unwrap();
}

#[test]
fn an_interrupt_ends_the_reading_and_prints_what_there_is() {
    let folder = Folder::new();
    let query = "SELECT v FROM m; SELECT sum(v) AS s FROM m GROUP BY time('1m')";
    let mut child = command(&folder, &[query, "--all", "--output", "json"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"m v=1i 1\nm v=2i 2\nm v=").unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"stream\":\"m_sql\",\"v\":1}\n");
    interrupt(&child);
    let rest: Vec<String> = out.lines().map(Result::unwrap).collect();
    assert_eq!(rest, ["{\"stream\":\"m_sql\",\"v\":2}", "{\"stream\":\"m_sql\",\"s\":3}"]);
    let status = wait::poll(wait::PATIENCE, || child.try_wait().unwrap()).unwrap();
    assert_eq!(status.code(), Some(130));
    drop(stdin);
}
