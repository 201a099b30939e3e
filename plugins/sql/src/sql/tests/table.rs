//! Joins with tables.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A file that is removed in the end.
struct File(PathBuf);

impl File {
    fn new(end: &str, text: &str) -> File {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("headwater-table-{}-{number}.{end}", std::process::id());
        let file = File(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    /// Puts another text in its place, at once.
    fn write(&self, text: &str) {
        let beside = self.0.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &self.0).unwrap();
    }

    /// Puts a pipe in its place.
    fn pipe(&self) {
        let beside = self.0.with_extension("pipe");
        let made = std::process::Command::new("mkfifo").arg(&beside).status().unwrap();
        assert!(made.success());
        fs::rename(&beside, &self.0).unwrap();
    }

    fn option(&self, name: &str) -> String {
        format!("tables.{name} = {{ file = '{}' }}", self.0.display())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const HOSTS: &str = "name,dc,rack,weight,up\na,east,7,1.5,true\nb,west,8,2,false\n17,east,,,\n";

fn with(file: &File, options: &str, query: &str) -> Stage {
    stage(&format!("{options}\n{}", file.option("hosts")), query)
}

fn error_of(file: &File, query: &str) -> String {
    refused(&format!("{}\nquery = \"{query}\"", file.option("hosts"))).to_string()
}

#[test]
fn a_table_by_a_wrong_name_is_not_taken_for_a_stream_alone() {
    let file = File::new("csv", HOSTS);
    let error = error_of(&file, "SELECT c.v, h.dc FROM cpu c JOIN host h ON c.host = h.name");
    assert!(error.contains("; or did you mean the table `hosts`?"), "{error}");
}

#[test]
fn points_take_columns_of_their_row() {
    let file = File::new("csv", HOSTS);
    let query = "SELECT c.*, h.dc, h.rack, h.weight * 2 AS w, h.up
                 FROM cpu c JOIN hosts h ON c.host = h.name";
    let mut s = with(&file, "tags = ['dc']", query);
    assert_eq!(
        s.feed(1, &["cpu,host=b v=1 0", "cpu,host=a v=2 0", "cpu,host=z v=3 0", "cpu v=4 0"]),
        [
            "cpu_sql,dc=west,host=b v=1,rack=8i,w=4,up=false 0",
            "cpu_sql,dc=east,host=a v=2,rack=7i,w=3,up=true 0"
        ]
    );
    assert_eq!(s.feed(1, &["cpu,host=17 v=1 0"]), ["cpu_sql,dc=east,host=17 v=1 0"]);
}

#[test]
fn left_keeps_points_without_a_row() {
    let file = File::new("csv", HOSTS);
    let query = "SELECT c.v, coalesce(h.dc, 'nowhere') AS dc FROM cpu c LEFT JOIN hosts h
                 ON c.host = h.name WHERE h.rack IS NULL OR h.rack > 7";
    let mut s = with(&file, "", query);
    let mut rows =
        s.feed(1, &["cpu,host=a v=1 0", "cpu,host=b v=2 0", "cpu,host=z v=3 0", "cpu v=4 0"]);
    rows.sort();
    assert_eq!(
        rows,
        [
            "cpu_sql v=2,dc=\"west\" 0",
            "cpu_sql v=3,dc=\"nowhere\" 0",
            "cpu_sql v=4,dc=\"nowhere\" 0"
        ]
    );
}

#[test]
fn windows_group_by_columns_of_a_table() {
    let file = File::new("csv", HOSTS);
    let query = "CREATE STREAM by_dc AS SELECT h.dc, sum(c.v * h.weight) AS v, count(*) AS n
                 FROM cpu c JOIN hosts h ON c.host = h.name WHERE c.v < 100
                 GROUP BY time('10s'), h.dc, h.up";
    let mut s = with(&file, "", query);
    let points = ["cpu,host=a v=1 0", "cpu,host=b v=2 1", "cpu,host=a v=3 2", "cpu,host=a v=100 2"];
    assert_eq!(s.feed(2, &points), [""; 0]);
    assert_eq!(s.feed(2, &["cpu,host=17 v=9 3"]), [""; 0]);
    assert_eq!(
        s.tick(11),
        ["by_dc,dc=east v=6,n=2i 0", "by_dc,dc=east n=1i 0", "by_dc,dc=west v=4,n=1i 0"]
    );
}

#[test]
fn keys_are_compared_by_value() {
    // A number in the file equals a number, and the text that it is written as.
    let file = File::new("json", r#"[{"id":1,"at":"x","n":1.5},{"id":2,"at":"x","n":2}]"#);
    let query = "SELECT c.v, h.n FROM cpu c JOIN hosts h ON c.id = h.id AND lower(c.at) = h.at";
    let mut s = with(&file, "", query);
    let points = [
        "cpu id=1i,at=\"X\",v=1i 0",
        "cpu id=2,at=\"x\",v=2i 0",
        "cpu id=2u,at=\"y\",v=3i 0",
        "cpu id=\"2\",at=\"x\",v=4i 0",
        "cpu,id=1 at=\"x\",v=5i 0",
        "cpu id=true,at=\"x\",v=6i 0",
    ];
    let mut rows = s.feed(1, &points);
    rows.sort();
    assert_eq!(
        rows,
        [
            "cpu_sql v=1i,n=1.5 0",
            "cpu_sql v=2i,n=2 0",
            "cpu_sql v=4i,n=2 0",
            "cpu_sql v=5i,n=1.5 0"
        ]
    );
}

#[test]
fn over_and_later_statements_read_tables_too() {
    let file = File::new("csv", "name,dc,rack\na,east,7\nb,west,8\n");
    let query = "CREATE STREAM e AS SELECT c.v, h.dc FROM cpu c JOIN hosts h ON c.host = h.name;
                 SELECT e.v, h.rack, sum(e.v) OVER (PARTITION BY h.rack ORDER BY time
                   ROWS 1 PRECEDING) AS s
                 FROM e JOIN hosts h USING (dc)";
    let mut s = with(&file, "", query);
    s.feed(1, &["cpu,host=a v=1 0", "cpu,host=b v=2 0", "cpu,host=a v=3 1"]);
    s.tick(5);
    let rows = s.made.iter().filter(|line| line.starts_with("e_sql"));
    let mut rows: Vec<&str> = rows.map(String::as_str).collect();
    rows.sort_unstable();
    assert_eq!(
        rows,
        ["e_sql v=1,rack=7i,s=1 0", "e_sql v=2,rack=8i,s=2 0", "e_sql v=3,rack=7i,s=4 1"]
    );
    // The dc is no key of the other file.
    let file = File::new("csv", HOSTS);
    let error = error_of(&file, &query.replace('\n', " "));
    assert!(error.contains("rows 1 and 3 have the same dc: east"), "{error}");
}

/// Ticks until the file that changed was read, for better or worse.
fn read_again(s: &mut Stage, now: &mut i64) {
    let counted = |s: &Stage| s.metric("tables_read") + s.metric("tables_bad");
    let before = counted(s);
    while counted(s) == before {
        *now += 1;
        s.tick(*now);
        std::thread::yield_now();
    }
}

#[test]
fn a_table_is_read_again_when_it_changes_and_stays_when_the_new_one_is_bad() {
    let file = File::new("csv", "name,dc\na,east\n");
    let query = "SELECT c.v, h.dc FROM cpu c JOIN hosts h ON c.host = h.name";
    let mut s = with(&file, "", query);
    let mut now = 1;
    s.tick(now);
    let at = |s: &mut Stage, now: i64| s.feed(now, &["cpu,host=a v=1 0", "cpu,host=b v=2 0"]);
    assert_eq!(at(&mut s, now), ["cpu_sql v=1,dc=\"east\" 0"]);
    assert_eq!((s.metric("table_rows"), s.metric("tables_read")), (1, 0));
    file.write("name,dc\na,north\nb,west\n");
    read_again(&mut s, &mut now);
    assert_eq!(at(&mut s, now), ["cpu_sql v=1,dc=\"north\" 0", "cpu_sql v=2,dc=\"west\" 0"]);
    assert_eq!((s.metric("table_rows"), s.metric("tables_read")), (2, 1));
    for (text, sentence) in [
        ("name,dc\na\n", "line 2: 1 cell, and the header names 2"),
        ("name,place\na,x\n", "there is no column `dc`"),
        (
            "name,dc\na,x\na,y\n",
            "rows 1 and 2 have the same name: a; each key may stand there once",
        ),
    ] {
        file.write(text);
        let bad = s.metric("tables_bad");
        read_again(&mut s, &mut now);
        assert_eq!(s.metric("tables_bad"), bad + 1);
        let logs = s.sql.host.logs.lock().unwrap();
        let (level, told) = logs.last().unwrap();
        assert_eq!(*level, Level::Warning);
        assert!(told.contains("stays as it was") && told.contains(sentence), "{told}");
        drop(logs);
        assert_eq!(at(&mut s, now).len(), 2);
    }
    // A file that is gone is told once, and read when it is back.
    fs::remove_file(&file.0).unwrap();
    read_again(&mut s, &mut now);
    let bad = s.metric("tables_bad");
    for _ in 0..10 {
        now += 1;
        s.tick(now);
    }
    assert_eq!(s.metric("tables_bad"), bad);
    file.write("name,dc\nb,south\n");
    read_again(&mut s, &mut now);
    assert_eq!(at(&mut s, now), ["cpu_sql v=2,dc=\"south\" 0"]);
}

#[test]
fn a_reload_under_load_loses_and_repeats_nothing() {
    let text = |version: usize| {
        let rows = (0..20_000).map(|host| format!("h{host},{version}\n"));
        format!("name,version\n{}", rows.collect::<String>())
    };
    let file = File::new("csv", &text(0));
    let query = "SELECT c.v, h.version FROM cpu c JOIN hosts h ON c.host = h.name";
    let mut s = with(&file, "", query);
    let (mut now, mut fed, mut last) = (1, 0, 0);
    for version in 1..4 {
        file.write(&text(version));
        let read = s.metric("tables_read");
        while s.metric("tables_read") == read {
            let host = format!("cpu,host=h{} v={fed}i 0", fed % 20_000);
            let rows = s.feed(now, &[host.as_str()]);
            let (value, version) = rows[0].trim_end_matches(" 0").split_once(",version=").unwrap();
            assert_eq!(value, format!("cpu_sql v={fed}i"));
            let version: usize = version.trim_end_matches('i').parse().unwrap();
            assert!(version >= last, "{version} after {last}");
            last = version;
            fed += 1;
            now += 1;
            s.tick(now);
            s.made.clear();
        }
        assert_eq!(s.metric("tables_read"), version as u64);
    }
}

/// A pipe says when its reader reads, and how long.
#[test]
fn points_pass_while_a_table_is_read() {
    let file = File::new("csv", "name,version\na,0\n");
    let query = "SELECT c.v, h.version FROM cpu c JOIN hosts h ON c.host = h.name";
    let mut s = with(&file, "", query);
    s.tick(1);
    file.pipe();
    s.tick(2);
    // Its other end is there now, or else this would wait.
    let mut pipe = fs::OpenOptions::new().write(true).open(&file.0).unwrap();
    pipe.write_all(b"name,version\n").unwrap();
    for now in 3..1000 {
        let rows = s.feed(now, &["cpu,host=a v=1 0"]);
        assert_eq!(rows, ["cpu_sql v=1,version=0i 0"]);
        s.tick(now);
        assert_eq!((s.metric("tables_read"), s.metric("tables_bad")), (0, 0));
    }
    pipe.write_all(b"a,1\n").unwrap();
    drop(pipe);
    let mut now = 1000;
    while s.metric("tables_read") == 0 {
        s.tick(now);
    }
    assert_eq!(s.feed(now, &["cpu,host=a v=1 0"]), ["cpu_sql v=1,version=1i 0"]);
    // It is not read again, but a file in its place is.
    for _ in 0..10 {
        now += 1;
        s.tick(now);
    }
    file.write("name,version\na,2\n");
    read_again(&mut s, &mut now);
    assert_eq!(s.feed(now, &["cpu,host=a v=1 0"]), ["cpu_sql v=1,version=2i 0"]);
    assert_eq!((s.metric("tables_read"), s.metric("tables_bad")), (2, 0));
}

#[test]
fn who_writes_into_a_table_in_place_is_waited_for() {
    let file = File::new("csv", "name,version\na,0\n");
    let query = "SELECT c.v, h.version FROM cpu c JOIN hosts h ON c.host = h.name";
    let mut s = with(&file, "", query);
    let mut now = 1;
    s.tick(now);
    let mut text = "name,version\n".to_owned();
    for row in 0..20 {
        fs::write(&file.0, &text).unwrap();
        text += &format!("b{row},1\n");
        now += 1;
        s.tick(now);
        assert_eq!(s.feed(now, &["cpu,host=a v=1 0"]), ["cpu_sql v=1,version=0i 0"]);
    }
    fs::write(&file.0, text + "a,1\n").unwrap();
    now += 1;
    s.tick(now);
    read_again(&mut s, &mut now);
    assert_eq!(s.feed(now, &["cpu,host=a v=1 0"]), ["cpu_sql v=1,version=1i 0"]);
    assert_eq!((s.metric("tables_read"), s.metric("tables_bad")), (1, 0));
}

#[test]
fn what_is_no_join_with_a_table_says_why() {
    let file = File::new("csv", HOSTS);
    let on = "FROM cpu c JOIN hosts h ON c.host = h.name";
    for (query, sentence) in [
        ("SELECT * FROM hosts", "`hosts` is a table, of which no points come"),
        (
            "SELECT c.v FROM cpu c JOIN hosts h ON c.v > 1",
            "expected an equality with a column of the table: c.host = h.name",
        ),
        (
            "SELECT c.v FROM cpu c JOIN hosts h ON c.host = upper(h.name)",
            "a column of the table by itself",
        ),
        (
            "SELECT c.v FROM cpu c LEFT JOIN hosts h ON c.host = h.name AND c.v > 1",
            "WHERE takes conditions on the point",
        ),
        ("SELECT c.v FROM cpu c LEFT JOIN hosts h ON c.host = h.name AND h.up", "CASE WHEN"),
        (&format!("SELECT * {on}"), "write c.* for all that the point has"),
        (&format!("SELECT h.* {on}"), "expected c.*"),
        (&format!("SELECT v {on}"), "columns name theirs: c.v or h.v"),
        (&format!("SELECT c.v, h.tag('dc') {on}"), "no tags or fields; write h.x"),
        (
            "SELECT c.v FROM cpu c ASOF JOIN hosts h MATCH_CONDITION (c.time >= h.time) ON c.host = h.name",
            "ASOF has no meaning",
        ),
        (&format!("SELECT c.v, h.colour {on}"), "there is no column `colour`"),
        (&format!("SELECT c.v, h.racks {on}"), "did you mean `rack`?"),
        ("SELECT v FROM cpu", "no statement joins `hosts`"),
    ] {
        let error = error_of(&file, query);
        assert!(error.contains(sentence), "{query}: {error}");
    }
    for (options, sentence) in [
        ("tables.t = { }", "there is no file"),
        ("tables.t = { file = 'x' }", "set \"csv\" or \"json\""),
        ("tables.t = { file = 'x.csv', separator = '\u{e9}' }", "one ASCII character"),
        ("tables.t = { file = '/nowhere/x.csv' }", "/nowhere/x.csv: No such file"),
    ] {
        let query = "query = 'SELECT c.v, t.x FROM c JOIN t ON c.k = t.k'";
        let error = refused(&format!("{options}\n{query}")).to_string();
        assert!(error.contains(sentence), "{options}: {error}");
    }
    let small = format!(
        "tables.hosts = {{ file = '{}', max_size = '10B' }}\nquery = 'SELECT c.v FROM c JOIN hosts h ON c.k = h.name'",
        file.0.display()
    );
    let error = refused(&small).to_string();
    assert!(error.contains("more than 10 bytes; if that is meant, set max_size"), "{error}");
}
