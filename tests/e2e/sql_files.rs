//! What `headwater sql` reads: CSV, compressed files, files as measurements, files that grow.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;

use headwater_tests::paths::Folder;
use headwater_tests::wait;

use crate::sql::{command, fed, interrupt, rows, run};

const CPU: &str = "time,host,usage,cores,note\r\n\
    2026-11-21T09:00:00Z,a,10,4,\r\n\
    2026-11-21T09:00:10Z,b,20.5,7,\"x, \"\"y\"\"\"\r\n\
    2026-11-21T09:00:20Z,a,,4,\"two\r\nlines\"\r\n\
    \r\n\
    2026-11-21T09:01:00Z,a,40,,\r\n";

#[test]
fn csv_in() {
    let folder = Folder::new();
    folder.write("cpu.csv", CPU);
    let query = "SELECT host, usage, cores / 2 AS half, note FROM cpu";
    let expected = "host,usage,half,note\n\
         a,10.0,2,\n\
         b,20.5,3,\"x, \"\"y\"\"\"\n\
         a,,2,\"two\r\nlines\"\n\
         a,40.0,,\n";
    assert_eq!(rows(&folder, &[query, "cpu=cpu.csv", "--output", "csv"]), expected);
    let named = [query, "cpu.csv", "--name", "cpu", "--tags", "ho*", "--output", "csv"];
    assert_eq!(rows(&folder, &named), expected);
    // By its first bytes, and from standard input.
    let ran = fed(&folder, &[query, "cpu=-", "--output", "csv"], CPU);
    assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.code), (expected, "", Some(0)));
    folder.write("cpu.tsv", CPU.replace("\"x, \"\"y\"\"\"", "x").replace(',', "\t"));
    let per_host = "SELECT window_start() AS t, host, count(*) AS n, avg(usage) AS usage FROM cpu \
                    GROUP BY time('1m'), host";
    for file in ["cpu=cpu.csv", "cpu=cpu.tsv"] {
        assert_eq!(
            rows(&folder, &[per_host, file, "--output", "csv"]),
            "t,host,n,usage\n\
             1795251600000000000,a,2,10.0\n\
             1795251600000000000,b,1,20.5\n\
             1795251660000000000,a,1,40.0\n"
        );
    }
}

#[test]
fn csv_out_is_csv_in() {
    let folder = Folder::new();
    folder.write("cpu.csv", CPU);
    let query = "SELECT * FROM csv";
    let out = rows(&folder, &[query, "cpu.csv", "--output", "csv"]);
    folder.write("again", &out);
    assert_eq!(rows(&folder, &[query, "again", "--output", "csv"]), out);
}

#[test]
fn points_are_joined_to_tables() {
    let folder = Folder::new();
    folder.write("cpu.csv", CPU);
    folder.write("hosts.csv", "name,dc\na,eu\n");
    folder.write("hosts.txt", "name;dc\nb;us\n");
    let query = "SELECT c.host, c.cores, h.dc FROM cpu c LEFT JOIN hosts h ON c.host = h.name";
    let with = |tables: &[&str]| run(&folder, &[&[query, "cpu=cpu.csv"], tables].concat());
    let ran = with(&["--output", "csv", "--table", "hosts=hosts.csv"]);
    let expected = "host,cores,dc\na,4,eu\nb,7,\na,4,eu\na,,eu\n";
    assert_eq!((ran.out.as_str(), ran.err.as_str(), ran.code), (expected, "", Some(0)));
    let options = ["hosts=hosts.txt", "hosts.format=csv", "hosts.separator=;"];
    let options: Vec<&str> = options.into_iter().flat_map(|option| ["--table", option]).collect();
    let ran = with(&[&["--output", "csv"], options.as_slice()].concat());
    assert_eq!(ran.out, "host,cores,dc\na,4,\nb,7,us\na,4,\na,,\n", "{}", ran.err);
    let check = |tables: &[&str], code: i32, wanted: &str| {
        let ran = with(tables);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{}", ran.err);
        assert!(ran.err.contains(wanted), "{}", ran.err);
    };
    check(&["--table", "hosts"], 2, "expected NAME=FILE, such as hosts=hosts.csv");
    check(&["--table", "hosts.seperator=;"], 1, "did you mean hosts.separator?");
    check(&["--table", "hosts.x=;"], 1, "there are file, format, separator, max_size");
    check(&["--table", "hosts=none.csv"], 1, "none.csv: No such file or directory");
    check(&["--table", "hosts=hosts.txt"], 1, "--table hosts.format: the name \"hosts.txt\"");
    check(&["--table", "hosts.format=csv"], 1, "--table hosts.file: there is no file");
    check(&["--table", "hosts=cpu.csv"], 1, "there is no column `dc`");
    check(&["--option", "tables=x"], 1, "use --table NAME=FILE");
}

/// What a file says, it says as points and as a table.
#[test]
fn points_and_tables_are_read_alike() {
    let folder = Folder::new();
    let text = "\u{feff}\r\n k ;n;u;f;b;zip;id;t;\"e \";nan\r\n\
                1; 1;18446744073709551615;.5;true;007;18446744073709551616; a;x;NaN\r\n\
                \r\n\
                2;\"2\";-1;5.;False;1;1;\"\";;1\r\n\
                3;NaN;;1e3;TRUE;+49;2;\"say \"\"x\"\"\r\n;\";;-0\r\n\
                4;;0;NaN;;;;;;";
    folder.write("x.csv", text);
    folder.write("keys.csv", "k\n1\n2\n3\n4\n");
    let columns = ["n", "u", "f", "b", "zip", "id", "t", "\"e \"", "nan"];
    let select = |of: &str| {
        let columns = columns.map(|name| match name.starts_with('"') {
            true => format!("{of}.{name} AS e"),
            false => format!("{of}.{name} AS {name}"),
        });
        columns.join(", ")
    };
    let json = ["--output", "json"];
    let query = format!("SELECT p.k AS k, {} FROM p", select("p"));
    let points = rows(&folder, &[&[&query, "p=x.csv"], &json[..]].concat());
    let query = format!("SELECT p.k AS k, {} FROM p JOIN x ON p.k = x.k", select("x"));
    let table = ["--table", "x=x.csv"];
    let joined = rows(&folder, &[&[&query, "p=keys.csv"], &table[..], &json].concat());
    assert_eq!(points, joined);
    let first = "{\"k\":1,\"n\":1,\"u\":18446744073709551615,\"f\":0.5,\"b\":true,\"zip\":\"007\",\
                 \"id\":\"18446744073709551616\",\"t\":\" a\"";
    assert!(points.starts_with(first), "{points}");
    assert_eq!(points.lines().count(), 4, "{points}");
    // One broken record is left out of points, and refuses a table.
    folder.write("bad.csv", "k,n\n1,2\n2\n3,4\n");
    let ran = run(&folder, &["SELECT k, n FROM csv", "bad.csv", "--output", "csv"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "k,n\n1,2\n3,4\n"), "{}", ran.err);
    let query = "SELECT p.k, x.n FROM p JOIN x ON p.k = x.k";
    let ran = run(&folder, &[query, "p=keys.csv", "--table", "x=bad.csv"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(ran.err.contains("bad.csv: line 3: 1 cell, and the header names 2"), "{}", ran.err);
}

#[test]
fn times_and_types_of_csv() {
    let folder = Folder::new();
    folder.write("x.csv", "when;code;v\n21.11.2026 09:00;007;1\n21.11.2026 09:01;12;2\n");
    let query = "SELECT time, code, v / 2 AS half FROM csv";
    let time = ["--time", "when:02.01.2006 15:04"];
    let with = |more: &[&str]| {
        rows(&folder, &[&[query, "x.csv", "--output", "json"], &time[..], more].concat())
    };
    assert_eq!(
        with(&["--types", "v=float"]),
        "{\"time\":1795251600000000000,\"code\":\"007\",\"half\":0.5}\n\
         {\"time\":1795251660000000000,\"code\":\"12\",\"half\":1.0}\n"
    );
    assert!(with(&[]).ends_with("\"half\":1}\n"));
    let error = |arguments: &[&str]| {
        let ran = run(&folder, &[&[query, "x.csv"], arguments].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        ran.err
    };
    assert!(error(&["--time", "wen"]).starts_with(
        "error: x.csv: --time wen: the header has no such column; did you mean when?"
    ));
    assert!(error(&["--time", "when"]).contains("\"21.11.2026 09:00\" is no time of a known form"));
    assert!(error(&["--types", "w=text"]).contains("--types w: no file of CSV has such a column"));
    folder.write("twice.csv", "a,b,a\n1,2,3\n");
    let ran = run(&folder, &[query, "twice.csv"]);
    assert_eq!(ran.err, "error: twice.csv: columns 1 and 3 are both called \"a\"\n");
}

#[test]
fn records_of_csv_that_are_left_out_are_told_with_their_place() {
    let folder = Folder::new();
    folder.write("bad.csv", "host,v\na,1\nb\n\"c\nd\",2\ne,x\nf,\"g\"h\ni,3\n");
    let ran = run(&folder, &["SELECT host, v FROM csv", "bad.csv", "--output", "csv"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "host,v\na,1\n\"c\nd\",2\ne,x\ni,3\n"));
    assert_eq!(
        ran.err,
        "bad.csv:3:1: 1 cell, and the header names 2: b\n\
         bad.csv:7:6: behind a closing quote, the cell goes on; write quotes within a cell twice: \
         f,\"g\"h\n\
         warning: 2 lines were refused\n\
         bad.csv was read as csv, by its name; --input says what it is\n"
    );
    let typed = ["SELECT v FROM csv", "bad.csv", "--output", "csv", "--types", "v=integer"];
    let ran = run(&folder, &typed);
    assert!(
        ran.err.contains(
            "bad.csv:6:3: v is a column of kind integer, and this is none; --types v=text takes it"
        ),
        "{}",
        ran.err
    );
}

/// A member of gzip that is stored as it is.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    let crc = !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    let len = u16::try_from(data.len()).unwrap();
    let mut out = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(!len).to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&u32::from(len).to_le_bytes());
    out
}

/// A frame of zstd that is stored as it is.
fn zstd(data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    let mut out = b"\x28\xb5\x2f\xfd\xa0".to_vec();
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&(len << 3 | 1).to_le_bytes()[..3]);
    out.extend_from_slice(data);
    out
}

#[test]
fn compressed_input_is_unpacked() {
    let folder = Folder::new();
    let query = "SELECT v FROM m";
    let expected = "v\n1.0\n2.0\n3.0\n";
    let (one, two) = ("m v=1 1\nm v", "=2 2\nm v=3 3\n");
    let gz = [gzip(one.as_bytes()), gzip(two.as_bytes())].concat();
    let zst = [zstd(one.as_bytes()), zstd(two.as_bytes())].concat();
    folder.write("x.influx.gz", &gz);
    folder.write("x.influx.zst", &zst);
    folder.write("unnamed", &gz);
    folder.write("x.csv.gz", gzip(b"time,v\n1,1.0\n2,2.0\n3,3.0\n"));
    for file in ["x.influx.gz", "x.influx.zst", "unnamed", "m=x.csv.gz"] {
        assert_eq!(rows(&folder, &[query, file, "--output", "csv"]), expected, "{file}");
    }
    for packed in ["x.influx.gz", "x.influx.zst"] {
        let mut child = command(&folder, &[query, "--output", "csv"])
            .stdin(std::fs::File::open(folder.join(packed)).unwrap())
            .spawn()
            .unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(out, expected);
    }
    let check = |name: &str, data: &[u8], out: &str, words: &str| {
        folder.write(name, data);
        let ran = run(&folder, &[query, name, "--output", "csv"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), out), "{name}: {}", ran.err);
        assert!(ran.err.contains(words), "{name}: {}", ran.err);
    };
    // What comes before is kept; the record that is cut in two is not.
    let cut = "cut.gz: the gzip data is cut off; what it holds up to there is read";
    check("cut.gz", &gz[..gz.len() - 14], "v\n1.0\n2.0\n", cut);
    let cut = "cut.zst: the zstd data is cut off; what it holds up to there is read";
    // Of zstd, whole blocks are read.
    check("cut.zst", &zst[..zst.len() - 3], "v\n1.0\n", cut);
    let mut damaged = gz.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    check("bad.gz", &damaged, expected, "bad.gz: the gzip data is damaged");
    check("plain.gz", b"m v=1 1\n", "", "it is not compressed by gzip, as its name says");
    check("x.xz", b"\xfd7zXZ\0...", "", "unpack it: xzcat x.xz | headwater sql");
    let wide = "asks for a window of 268435456 bytes, and the limit is 128 MiB";
    check("wide.zst", b"\x28\xb5\x2f\xfd\0\x90", "", wide);
}

#[test]
fn files_as_measurements() {
    let folder = Folder::new();
    folder.write("x.csv", "ts,host,usage\n100,a,1.5\n110,b,2.5\n120,a,3.5\n130,b,4.5\n140,a,5.5\n");
    folder.write("y.csv", "ts,host,version\n105,b,1.0.0\n115,a,2.0.0\n135,a,2.1.0\n");
    let query = "SELECT a.time, a.host, a.usage, b.version FROM a ASOF LEFT JOIN b \
                 MATCH_CONDITION (a.time >= b.time) ON a.host = b.host";
    let expected = "time,host,usage,version\n\
         100000000000,a,1.5,\n\
         110000000000,b,2.5,1.0.0\n\
         120000000000,a,3.5,2.0.0\n\
         130000000000,b,4.5,1.0.0\n\
         140000000000,a,5.5,2.1.0\n";
    // In whatever order they are named.
    for files in [["a=x.csv", "b=y.csv"], ["b=y.csv", "a=x.csv"]] {
        let arguments = [&[query, "--time", "ts", "--output", "csv"], &files[..]].concat();
        assert_eq!(rows(&folder, &arguments), expected);
    }
    // Points of line protocol are renamed, those of one file without a name are not.
    folder.write("one.influx", "cpu,host=a v=1i 1\ndisk v=2i 2\n");
    folder.write("two.json", "{\"v\":3}");
    folder.write("three.influx", "cpu v=4i 4\n");
    let query = "SELECT measurement, v FROM * WHERE v < 9";
    let files = ["before=one.influx", "after=two.json", "three.influx"];
    let mut out: Vec<String> = rows(&folder, &[&[query, "--output", "csv"], &files[..]].concat())
        .lines()
        .skip(1)
        .map(ToOwned::to_owned)
        .collect();
    out.sort_unstable();
    assert_eq!(out, ["after,3.0", "before,1", "before,2", "cpu,4"]);
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn files_that_grow_are_followed() {
    let folder = Folder::new();
    let path = folder.write("m.csv", "time,v\n1700000000,1\n");
    let other = folder.write("n.influx", "");
    let query = "SELECT v FROM m; SELECT v FROM n; \
                 SELECT sum(v) AS s, count(*) AS n FROM m GROUP BY time('100000d')";
    let files = ["m=m.csv", "n.influx", "--follow", "--all", "--output", "json"];
    let mut child = command(&folder, &[&[query], &files[..]].concat()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut check = |expected: &str| {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    };
    check("{\"stream\":\"m_sql\",\"v\":1}");
    append(&path, "1700000001,2\n1700000002,");
    check("{\"stream\":\"m_sql\",\"v\":2}");
    append(&other, "n v=7i\n");
    check("{\"stream\":\"n_sql\",\"v\":7}");
    append(&path, "3\n");
    check("{\"stream\":\"m_sql\",\"v\":3}");
    // Renamed and made anew, with other columns, and its last line without an end.
    append(&path, "1700000003,4");
    std::fs::rename(&path, folder.join("m.csv.1")).unwrap();
    folder.write("m.csv", "v,time\n5,1700000004\n");
    check("{\"stream\":\"m_sql\",\"v\":4}");
    check("{\"stream\":\"m_sql\",\"v\":5}");
    // Cut off.
    folder.write("m.csv", "time,v\n9,6\n");
    check("{\"stream\":\"m_sql\",\"v\":6}");
    interrupt(&child);
    check("{\"stream\":\"m_sql\",\"s\":21,\"n\":6}");
    check("");
    let status = wait::poll(wait::PATIENCE, || child.try_wait().unwrap()).unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(status.code(), Some(0), "{err}");
    assert_eq!(
        err,
        "m.csv was replaced; it is read from its start\n\
         m.csv was cut off; it is read from its start\n"
    );
}

#[test]
fn windows_over_files_that_grow_close_by_the_clock() {
    let folder = Folder::new();
    // One whose points are old, and that is silent then; one whose points are of now.
    folder.write("old.csv", "time,v\n1700000000,1\n1700000001,2\n");
    folder.write("new.csv", "v\n5\n");
    let check = |file: &str, expected: &str| {
        let query = "SELECT sum(v) AS s FROM csv GROUP BY time('1s')";
        let options = ["--follow", "--output", "csv", "--option", "idle=200ms"];
        let mut child = command(&folder, &[&[query, file], &options[..]].concat()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        for line in expected.lines() {
            assert_eq!(out.next().as_deref(), Some(line), "{file}");
        }
        interrupt(&child);
        assert_eq!(out.next(), None, "{file}");
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{:?}", String::from_utf8(ended.stderr));
    };
    check("old.csv", "s\n1\n2\n");
    check("new.csv", "s\n5\n");
}

#[test]
fn points_of_followed_files_that_come_too_early_are_left_out() {
    let folder = Folder::new();
    // In the year 2093.
    folder.write("x.csv", "time,v\n1700000000,1\n3900000000,2\n1700000000,4\n");
    let query = "SELECT sum(v) AS s FROM csv GROUP BY time('1s')";
    let check = |options: &[&str], expected: &str, code: i32, words: &str| {
        let fixed = [query, "x.csv", "--follow", "--output", "csv", "--option", "idle=200ms"];
        let mut child = command(&folder, &[&fixed[..], options].concat()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // What is not too early closes by the clock.
        assert_eq!([out.next(), out.next()], [Some("s".to_owned()), Some("5".to_owned())]);
        interrupt(&child);
        assert_eq!(out.collect::<Vec<_>>().join(" "), expected);
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{err}");
        assert!(err.contains(words), "{err}");
    };
    check(&[], "", 3, "too far ahead of the clock and are left out");
    check(&["--option", "max_future=50000d"], "2", 0, "");
}

#[test]
fn what_cannot_be_followed() {
    let folder = Folder::new();
    let query = "SELECT v FROM m";
    folder.write("x.gz", gzip(b"m v=1 1\n"));
    folder.write("empty", "");
    let check = |file: &str, words: &str| {
        let ran = run(&folder, &[query, file, "--follow"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
        assert!(ran.err.contains(words), "{}", ran.err);
    };
    check("x.gz", "x.gz: it is compressed, so that nothing can be appended");
    check("empty", "empty: it is empty, so that nothing shows how it is written; say --input");
    // A pipe ends, and with it the run.
    let ran = fed(&folder, &[query, "--follow", "--output", "csv"], "m v=1 1\nm v=2 2\n");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "v\n1.0\n2.0\n", ""));
}
