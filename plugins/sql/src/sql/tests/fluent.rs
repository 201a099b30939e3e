//! Fluent Bit's statements at work.

use super::*;

#[test]
fn a_stream_with_a_tag_is_read_by_its_name_and_by_its_tag() {
    let mut s = stage(
        "",
        "CREATE STREAM hot WITH (tag='alert.hot') AS SELECT host, c FROM STREAM:room WHERE c > 30;
         CREATE STREAM by_name AS SELECT c FROM STREAM:hot;
         CREATE STREAM by_tag AS SELECT host, RECORD_TAG() FROM TAG:'alert.*';
         CREATE STREAM other AS SELECT c FROM TAG:'alert';
         CREATE STREAM measured AS SELECT RECORD_TAG() FROM TAG:'ro*';",
    );
    let mut got =
        s.feed(0, &["room,host=a c=35 0", "room,host=b c=\"36.5\" 0", "room,host=c c=1 0"]);
    got.sort();
    assert_eq!(
        got,
        [
            "by_name c=\"36.5\" 0",
            "by_name c=35 0",
            "by_tag host=\"a\",RECORD_TAG()=\"alert.hot\" 0",
            "by_tag host=\"b\",RECORD_TAG()=\"alert.hot\" 0",
            "hot,tag=alert.hot host=\"a\",c=35 0",
            "hot,tag=alert.hot host=\"b\",c=\"36.5\" 0",
            "measured RECORD_TAG()=\"room\" 0",
            "measured RECORD_TAG()=\"room\" 0",
            "measured RECORD_TAG()=\"room\" 0",
        ]
    );
    s.stop(0);
    assert!(s.warnings().is_empty(), "{:?}", s.warnings());
}

#[test]
fn times_and_clocks() {
    let mut s = stage(
        "",
        "SELECT RECORD_TIME(), UNIX_TIMESTAMP(), NOW() FROM STREAM:m WHERE @record.time() > 1.5;",
    );
    let got = s.feed(61, &["m v=1 2"]);
    let (at, now) = (T + 2, T + 61);
    let clock = crate::time::text(now * S).replace('T', " ").replace('Z', "");
    assert_eq!(
        got,
        [format!("m_sql RECORD_TIME()={at},UNIX_TIMESTAMP()={now}i,NOW()=\"{clock}\" 2")]
    );
}

#[test]
fn hopping_windows_have_the_right_least_and_greatest() {
    let mut s = stage(
        "",
        "CREATE STREAM h AS SELECT MIN(v), MAX(v), COUNT(*) FROM STREAM:m WINDOW HOPPING (6 SECOND, ADVANCE BY 2 SECOND) WHERE v IS NOT NULL;",
    );
    s.feed(5, &["m v=9i 0", "m v=1i 1", "m v=\"5\" 2", "m v=7i 5", "m w=1i 5"]);
    s.stop(5);
    // Among floats, which a text is that says a number, integers are floats.
    assert_eq!(
        s.made,
        [
            "h MIN(v)=1i,MAX(v)=9i,COUNT(*)=2i -4",
            "h MIN(v)=1,MAX(v)=9,COUNT(*)=3i -2",
            "h MIN(v)=1,MAX(v)=9,COUNT(*)=4i 0",
            "h MIN(v)=5,MAX(v)=7,COUNT(*)=2i 2",
            "h MIN(v)=7i,MAX(v)=7i,COUNT(*)=1i 4",
        ]
    );
}

#[test]
fn numbers_have_64_bits_and_keys_stay_texts() {
    let mut s = stage(
        "",
        "SELECT code, SUM(n), MAX(n) FROM STREAM:m WINDOW TUMBLING (1 MINUTE) GROUP BY code;",
    );
    s.feed(
        5,
        &[
            "m code=\"007\",n=9007199254740993i 0",
            "m code=\"007\",n=2i 1",
            "m code=7i,n=18446744073709551615u 1",
        ],
    );
    let mut got = s.stop(5);
    got.sort();
    assert_eq!(
        got,
        [
            "m_sql code=7i,SUM(n)=18446744073709551615u,MAX(n)=18446744073709551615u 0",
            "m_sql,code=007 SUM(n)=9007199254740995u,MAX(n)=9007199254740993u 0",
        ]
    );
}

/// Without WINDOW a statement with aggregates counts by the second, however points come.
#[test]
fn without_a_window_the_second_is_one() {
    let query = "SELECT COUNT(*) FROM STREAM:m;";
    let wanted = ["m_sql COUNT(*)=2i 0", "m_sql COUNT(*)=1i 1"];
    let mut s = stage("", query);
    s.feed(1, &["m v=1 0", "m v=1 0", "m v=1 1"]);
    assert_eq!(s.stop(1), wanted);
    let mut s = stage("", query);
    ["m v=1 0", "m v=1 1", "m v=1 0"].iter().for_each(|point| drop(s.feed(1, &[point])));
    assert_eq!(s.stop(1), wanted);
}

/// A file with this text.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, text: &str) -> File {
        let name = format!("headwater-streams-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        File(path)
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_streams_file_is_read() {
    let file = File::new(
        "read",
        "# what we ask for\n[STREAM_TASK]\n    Name hot\n    Exec CREATE STREAM hot AS SELECT host, c FROM STREAM:room WHERE c > 30;\n\n\
         [STREAM_TASK]\n    Name count\n    Exec CREATE STREAM n WITH (tag='n') AS SELECT COUNT(*) FROM STREAM:hot WINDOW TUMBLING (5 SECOND)\n",
    );
    let config = format!("streams_file = {:?}\ndrop_original = true", file.path());
    let sql = testkit::processor::<Sql>(&config).map_err(|error| error.to_string()).unwrap();
    let mut s = Stage { sql, made: Vec::new() };
    assert_eq!(s.feed(1, &["room,host=a c=35 0", "room,host=b c=3 0"]), ["hot host=\"a\",c=35 0"]);
    assert_eq!(s.stop(1), ["n,tag=n COUNT(*)=1i 0"]);
}

#[test]
fn errors_stand_in_the_streams_file() {
    let file = File::new(
        "errors",
        "[STREAM_TASK]\n    Name hot\n    Exec CREATE STREAM hot AS SELECT a FROM STREAM:b LIMIT 5;\n",
    );
    let config = |more: &str| format!("streams_file = {:?}\n{more}", file.path());
    let error = refused(&config("")).to_string();
    let wanted = format!("{}, line 3, column 54, at `LIMIT`", file.path());
    assert!(error.contains(&wanted), "{error}");
    let error = refused(&config("query = 'SELECT a FROM m'")).to_string();
    assert!(error.contains("not in both"), "{error}");
    let gone = "streams_file = '/nowhere/streams.conf'";
    let error = refused(gone).to_string();
    assert!(error.contains("/nowhere/streams.conf cannot be read"), "{error}");
    let file = File::new("section", "[SERVICE]\n");
    let error = refused(&format!("streams_file = {:?}", file.path())).to_string();
    assert!(error.contains("line 1: `[SERVICE]` is no section"), "{error}");
}

const LAST_TWO: &str = "CREATE SNAPSHOT s WITH (tag='t') AS SELECT * FROM STREAM:m LIMIT 2;
    FLUSH SNAPSHOT s AS SELECT * FROM STREAM:alarm WHERE level > 3;";

#[test]
fn a_snapshot_gives_out_its_last_points_once() {
    let mut s = stage("", LAST_TWO);
    assert_eq!(s.feed(0, &["m,host=a v=1 0", "m v=2 1", "m v=3 2", "alarm level=1 2"]), [""; 0]);
    assert_eq!(s.feed(3, &["alarm level=5 3"]), ["s,tag=t v=2 1", "s,tag=t v=3 2"]);
    assert_eq!(s.feed(4, &["alarm level=5 4"]), [""; 0]);
    s.feed(5, &["m,host=a w=\"x\" 5"]);
    assert_eq!(s.feed(6, &["alarm level=5 6"]), ["s,host=a,tag=t w=\"x\" 5"]);
    s.feed(7, &["m v=1 7"]);
    assert_eq!(s.stop(8), [""; 0]);
}

#[test]
fn a_snapshot_gives_out_the_last_seconds() {
    let mut s = stage(
        "",
        "CREATE SNAPSHOT s WITH (seconds='5') AS SELECT * FROM STREAM:m;
         FLUSH SNAPSHOT s AS SELECT * FROM STREAM:m WHERE v = 9;",
    );
    s.feed(0, &["m v=1 0", "m v=2 1", "m v=3 6", "m v=4 900", "m v=5 5"]);
    // The one from the future is refused; the one that asks is one of them.
    assert_eq!(s.feed(7, &["m v=9 6"]), ["s v=2 1", "s v=3 6", "s v=5 5", "s v=9 6"]);
    assert_eq!(s.metric("points_future"), 1);
}

#[test]
fn snapshots_do_not_depend_on_batches() {
    let lines: Vec<String> = (0..400)
        .map(|i| match i % 37 {
            36 => format!("alarm level={} {}", i % 5, i / 4),
            _ => format!("m,host=h{} v={i}i {}", i % 3, i / 4 - i % 7),
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for query in [
        LAST_TWO.replace("LIMIT 2", "LIMIT 50"),
        LAST_TWO.replace("tag='t'", "seconds=6").replace("LIMIT 2", ""),
        LAST_TWO.replace("tag='t'", "seconds=6").replace("LIMIT 2", "LIMIT 11"),
    ] {
        let run = |size: usize| {
            let mut s = stage("", &query);
            lines.chunks(size).for_each(|lines| drop(s.feed(200, lines)));
            s.made
        };
        let whole = run(400);
        assert!(whole.len() > 20, "{}", whole.len());
        for size in [1, 3, 50] {
            assert_eq!(run(size), whole, "{query}");
        }
    }
}

#[test]
fn snapshots_are_bounded() {
    let mut s = stage(
        "max_rows = 100",
        "CREATE SNAPSHOT s WITH (seconds=3600) AS SELECT * FROM STREAM:m; FLUSH SNAPSHOT s AS SELECT * FROM STREAM:alarm;",
    );
    for i in 0..500 {
        s.feed(i, &[&format!("m v={i}i {i}")]);
    }
    let got = s.feed(500, &["alarm v=1 500"]);
    assert_eq!(got.last().unwrap(), "s v=499i 499");
    assert_eq!(got.len() as u64 + s.metric("points_forgotten"), 500);
    assert!((25..=100).contains(&got.len()), "{}", got.len());
}

#[test]
fn the_memory_of_snapshots_is_bounded() {
    const MIB: u64 = 1 << 20;
    for overflow in ["drop", "flush"] {
        let mut s = stage(
            &format!("max_state = '1MiB'\noverflow = '{overflow}'"),
            "CREATE SNAPSHOT s WITH (seconds=3600) AS SELECT * FROM STREAM:m; FLUSH SNAPSHOT s AS SELECT * FROM STREAM:alarm;",
        );
        for now in 0..60 {
            let lines: Vec<String> =
                (0..200).map(|i| format!("m text=\"{:0>500}\" {now}", now * 200 + i)).collect();
            s.feed(now, &lines.iter().map(String::as_str).collect::<Vec<_>>());
            s.tick(now);
            let held = s.metric("state_bytes");
            assert!(held < MIB * 3 / 2, "{overflow} {now}: {held}");
        }
        let got = s.feed(60, &["alarm v=1 60"]);
        assert!(got.len() > 800 && got.last().unwrap().contains("011999\""), "{}", got.len());
        assert_eq!(got.len() as u64 + s.metric("points_forgotten"), 12_000);
        assert!(s.metric("points_held") > 0, "it was so when it was last looked at");
        s.tick(61);
        assert_eq!(s.metric("points_held"), 0);
    }
}

#[test]
fn snapshots_go_on_from_a_checkpoint() {
    let config = format!("drop_original = true\nquery = '''{LAST_TWO}'''");
    let host = std::sync::Arc::new(testkit::TestHost::default());
    host.keeps_state.store(true, std::sync::atomic::Ordering::Relaxed);
    let make = || testkit::processor_on::<Sql>(&host, &config);
    let mut s = Stage { sql: make().map_err(|e| e.to_string()).unwrap(), made: Vec::new() };
    s.feed(0, &["m v=1 0", "m v=2 1", "m v=3 2"]);
    assert_eq!(s.stop(3), [""; 0]);
    drop(s);
    let mut s = Stage { sql: make().map_err(|e| e.to_string()).unwrap(), made: Vec::new() };
    assert_eq!(s.feed(4, &["alarm level=5 4"]), ["s,tag=t v=2 1", "s,tag=t v=3 2"]);
}

#[test]
fn snapshots_that_cannot_be_are_refused() {
    let keep = "CREATE SNAPSHOT s AS SELECT * FROM STREAM:m LIMIT 2;";
    for (query, wanted) in [
        (
            "FLUSH SNAPSHOT s AS SELECT * FROM STREAM:m;",
            "line 1, column 16, at `s`: there is no snapshot `s` yet",
        ),
        ("CREATE SNAPSHOT s AS SELECT * FROM STREAM:m;", "at `s`: a snapshot without a bound"),
        (
            "CREATE SNAPSHOT s AS SELECT a FROM STREAM:m LIMIT 2;",
            "at `a`: a snapshot holds points as they are",
        ),
        (
            "CREATE SNAPSHOT s AS SELECT * FROM STREAM:m LIMIT 0;",
            "at `0`: expected LIMIT and a whole number",
        ),
        ("CREATE SNAPSHOT s AS SELECT * FROM STREAM:m LIMIT 2 LIMIT 3;", "twice"),
        ("CREATE SNAPSHOT s AS SELECT * FROM STREAM:m LIMIT 9999999;", "beyond `max_rows`"),
        (
            "CREATE SNAPSHOT s WITH (seconds='x') AS SELECT * FROM STREAM:m;",
            "at `'x'`: expected a whole number of seconds",
        ),
        (
            "CREATE SNAPSHOT s WITH (size=1) AS SELECT * FROM STREAM:m;",
            "there is no property `size`",
        ),
        (
            "CREATE SNAPSHOT s AS SELECT * FROM STREAM:m GROUP BY a LIMIT 2;",
            "at `a`: a snapshot has no groups",
        ),
        (
            "CREATE SNAPSHOT s AS SELECT * FROM STREAM:m WINDOW TUMBLING (1 SECOND) LIMIT 2;",
            "a snapshot has no groups",
        ),
        ("CREATE SNAPSHOT s AS SELECT * FROM m LIMIT 2;", "at `m`: expected FROM STREAM:name"),
    ] {
        let error = refused(&format!("query = '''{query}'''")).to_string();
        assert!(error.contains(wanted), "{query}\n{error}\n{wanted}");
    }
    for (query, wanted) in [
        ("FLUSH SNAPSHOT s AS SELECT * FROM STREAM:a LIMIT 2;", "LIMIT is not supported"),
        ("FLUSH SNAPSHOT s WITH (tag='t') AS SELECT * FROM STREAM:a;", "stand where it is created"),
        (keep, "there is a snapshot `s` already"),
    ] {
        let error = refused(&format!("query = '''{keep}{query}'''")).to_string();
        assert!(error.contains(wanted), "{query}\n{error}\n{wanted}");
    }
}
