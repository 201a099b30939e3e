//! OVER: each point's row, of the points before it.

use super::*;

/// As a processor is fed, one batch after the other; then it is stopped.
fn run(options: &str, query: &str, batches: &[&[&str]]) -> Vec<String> {
    let mut s = stage(options, query);
    let mut made = Vec::new();
    batches.iter().for_each(|lines| made.extend(s.feed(0, lines)));
    made.extend(s.stop(0));
    assert_eq!(s.metric("points_late"), 0);
    made
}

fn fails(query: &str) -> String {
    refused(&format!("query = '''{query}'''")).to_string()
}

#[test]
fn each_point_has_a_row() {
    let made = run(
        "",
        "SELECT host, v, sum(v) OVER (PARTITION BY host) AS total, count(*) OVER (PARTITION BY host ROWS 1 PRECEDING) AS n FROM m",
        &[&["m,host=a v=1i 0", "m,host=b v=10i 0", "m,host=a v=2i 5"], &["m,host=a v=3i 3"]],
    );
    assert_eq!(
        made,
        [
            "m_sql host=\"a\",v=1i,total=1i,n=1i 0",
            "m_sql host=\"b\",v=10i,total=10i,n=1i 0",
            "m_sql host=\"a\",v=3i,total=4i,n=2i 3",
            "m_sql host=\"a\",v=2i,total=6i,n=2i 5",
        ]
    );
}

#[test]
fn expressions_mix_points_and_frames() {
    let made = run(
        "tags = ['level']",
        "CREATE STREAM s AS SELECT v - avg(v) OVER (ROWS 1 PRECEDING) AS away,
           CASE WHEN v > lag(v, 1, 0) OVER () THEN 'up' ELSE 'down' END AS level FROM m WHERE v > 0",
        &[&["m v=4i 0", "m v=2i 1", "m v=0i 2", "m v=8i 3"]],
    );
    assert_eq!(made, ["s,level=up away=0 0", "s,level=down away=-1 1", "s,level=up away=3 3"]);
}

#[test]
fn frames_by_time_hold_all_points_of_one_time() {
    let query = "SELECT v, sum(v) OVER (RANGE INTERVAL '2s' PRECEDING) AS near,
                   sum(v) OVER (RANGE CURRENT ROW) AS now, sum(v) OVER (ROWS UNBOUNDED PRECEDING) AS rows,
                   row_number() OVER () AS n FROM m";
    let made = run("", query, &[&["m v=1i 0", "m v=2i 1", "m v=4i 2", "m v=8i 2", "m v=16i 4"]]);
    assert_eq!(
        made,
        [
            "m_sql v=1i,near=1i,now=1i,rows=1i,n=1i 0",
            "m_sql v=2i,near=3i,now=2i,rows=3i,n=2i 1",
            "m_sql v=4i,near=15i,now=12i,rows=7i,n=3i 2",
            "m_sql v=8i,near=15i,now=12i,rows=15i,n=4i 2",
            "m_sql v=16i,near=28i,now=16i,rows=31i,n=5i 4",
        ]
    );
}

#[test]
fn values_of_other_rows() {
    let query = "SELECT lag(v) OVER w AS a, lag(v, 2, -1) OVER w AS b, first_value(v) OVER w AS c,
                   last_value(v) OVER w AS d, first_value(v) OVER (ROWS 1 PRECEDING) AS e, lag(v, 0) OVER w AS f
                 FROM m WINDOW w AS (ORDER BY time)";
    let made = run("", query, &[&["m v=1i 0", "m x=2i 1", "m v=3i 2", "m v=4i 2"]]);
    assert_eq!(
        made,
        [
            "m_sql b=-1i,c=1i,d=1i,e=1i,f=1i 0",
            "m_sql a=1i,b=-1i,c=1i,e=1i 1",
            "m_sql b=1i,c=1i,d=4i,f=3i 2",
            "m_sql a=3i,c=1i,d=4i,e=3i,f=4i 2",
        ]
    );
}

#[test]
fn all_aggregates() {
    let query = "SELECT count(v) OVER w AS count, sum(v) OVER w AS sum, avg(v) OVER w AS avg, min(v) OVER w AS min,
                   max(v) OVER w AS max, first(v) OVER w AS first, last(v) OVER w AS last, spread(v) OVER w AS spread,
                   stddev(v) OVER w AS sd, var_pop(v) OVER w AS vp, median(v) OVER w AS median,
                   quantile(v, 0.25) OVER w AS q, approx_distinct(v) OVER w AS distinct_v, any_value(v) OVER w AS any,
                   sum(v) FILTER (WHERE v > 2) OVER w AS large
                 FROM m WINDOW w AS (RANGE '2s' PRECEDING)";
    let made = run("", query, &[&["m v=1 0", "m v=4 1", "m v=2.5 2", "m v=4 3"]]);
    assert_eq!(
        made[0],
        "m_sql count=1i,sum=1,avg=1,min=1,max=1,first=1,last=1,spread=0,vp=0,median=1,q=1,distinct_v=1i,any=1 0"
    );
    assert_eq!(
        made[2],
        "m_sql count=3i,sum=7.5,avg=2.5,min=1,max=4,first=1,last=2.5,spread=3,sd=1.5,vp=1.5,median=2.5,q=1.75,distinct_v=3i,any=1,large=6.5 2"
    );
    assert!(
        made[3].starts_with(
            "m_sql count=3i,sum=10.5,avg=3.5,min=2.5,max=4,first=4,last=4,spread=1.5,"
        ),
        "{}",
        made[3]
    );
    assert!(made[3].contains("median=4,q=3.25,distinct_v=2i,any=4,large=10.5"), "{}", made[3]);
}

#[test]
fn a_star_takes_the_point_over() {
    let made = run(
        "",
        "SELECT *, lag(v) OVER (PARTITION BY host) AS before FROM measurements('m*')",
        &[&["m1,host=x v=1i,t=\"a\" 1", "m2,host=x v=2i 0"], &["m1,host=x v=3i,ok=true 2"]],
    );
    assert_eq!(
        made,
        [
            "m2_sql,host=x v=2i 0",
            "m1_sql,host=x v=1i,t=\"a\",before=2i 1",
            "m1_sql,host=x v=3i,ok=true,before=1i 2"
        ]
    );
}

#[test]
fn what_other_rows_hold_does_not_show() {
    let made = run(
        "",
        "SELECT v, sum(v) OVER (PARTITION BY host) AS s FROM m",
        &[&[
            "m,host=a v=1i 0",
            "m,host=b v=0.5 0",
            "m,host=c v=7u 0",
            "m,host=a v=2i 1",
            "m,host=b v=1 1",
        ]],
    );
    assert_eq!(
        made,
        [
            "m_sql v=1i,s=1i 0",
            "m_sql v=0.5,s=0.5 0",
            "m_sql v=7u,s=7u 0",
            "m_sql v=2i,s=3i 1",
            "m_sql v=1,s=1.5 1"
        ]
    );
}

#[test]
fn rows_come_when_no_point_may_come_before_them() {
    let mut s = stage("delay = '2s'", "SELECT sum(v) OVER () AS s FROM m");
    assert_eq!(s.feed(10, &["m v=1i 10"]), [""; 0]);
    assert_eq!(s.feed(11, &["m v=2i 9"]), ["m_sql s=2i 9"]);
    assert_eq!(s.tick(11), [""; 0]);
    assert_eq!(s.tick(12), ["m_sql s=3i 10"]);
    assert_eq!(s.metric("rows_emitted"), 2);
}

#[test]
fn disorder_within_the_delay_changes_nothing() {
    let query = "SELECT v, sum(v) OVER (RANGE '3s' PRECEDING) AS s, lag(v) OVER () AS l FROM m";
    let sorted = run("delay = '5s'", query, &[&["m v=1i 0", "m v=2i 1", "m v=3i 2", "m v=4i 6"]]);
    for order in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
        let lines = ["m v=1i 0", "m v=2i 1", "m v=3i 2", "m v=4i 6"];
        let lines: Vec<&str> = order.iter().map(|at| lines[*at]).collect();
        assert_eq!(run("delay = '5s'", query, &[&lines]), sorted);
        let each: Vec<&[&str]> = lines.chunks(1).collect();
        assert_eq!(run("delay = '5s'", query, &each), sorted);
    }
}

#[test]
fn a_point_is_late_if_a_row_should_have_known_it() {
    let late = |query: &str, time: i64| {
        let mut s = stage("", query);
        s.feed(20, &["m v=1i 10", "m v=1i 20"]);
        s.tick(21);
        let line = format!("m v=1i {time}");
        let made = s.feed(22, &[&line]);
        assert_eq!(made.is_empty(), s.metric("points_late") == 1, "{query} {time}");
        s.metric("points_late") == 1
    };
    let range = "SELECT sum(v) OVER (RANGE '2s' PRECEDING) AS s FROM m";
    for time in [8, 9, 10, 12, 18, 19, 20] {
        assert!(late(range, time), "{time}");
    }
    for time in [-100, 7, 13, 17, 21] {
        assert!(!late(range, time), "{time}");
    }
    for window in ["ROWS 1 PRECEDING", "", "RANGE UNBOUNDED PRECEDING"] {
        let query = format!("SELECT sum(v) OVER ({window}) AS s FROM m");
        for time in [-1000, 10, 15, 20] {
            assert!(late(&query, time), "{window} {time}");
        }
        assert!(!late(&query, 21));
    }
}

#[test]
fn late_points_are_counted_or_passed_on() {
    let mut s = stage("late = 'pass'", "CREATE STREAM o AS SELECT sum(v) OVER () AS s FROM m");
    s.feed(10, &["m,host=a v=1i 5", "m v=0i 9"]);
    assert_eq!(s.feed(10, &["m,host=a v=2i 4", "m v=3i 10"]), ["o_late,host=a v=2i 4"]);
    assert_eq!(s.metric("points_late"), 1);
    assert_eq!(s.stop(10), ["o s=4i 10"]);
    let error = refused("late = 'update'\ngrace = '1m'\nquery = 'SELECT sum(v) OVER () FROM m'");
    assert!(
        error.to_string().contains("change the rows of all points whose frames hold it"),
        "{error}"
    );
}

#[test]
fn history_fills_its_own_rows() {
    let mut s = stage("", "SELECT sum(v) OVER (RANGE '10s' PRECEDING) AS s FROM m");
    s.feed(5000, &["m v=1i 4990", "m v=2i 5000"]);
    assert_eq!(s.tick(5001), ["m_sql s=3i 5000"]);
    // A second source sends what it had kept.
    let old = ["m v=10i 100", "m v=20i 105", "m v=40i 120"];
    assert_eq!(s.feed_from(5002, 2, &old), ["m_sql s=10i 100", "m_sql s=30i 105"]);
    assert_eq!(s.feed(5003, &["m v=4i 5002"]), ["m_sql s=6i 5002"]);
    assert_eq!(s.feed_from(5003, 2, &["m v=80i 125"]), ["m_sql s=40i 120"]);
    assert_eq!(s.tick(5008), ["m_sql s=120i 125"]);
    assert_eq!(s.metric("points_late"), 0);
}

#[test]
fn a_source_that_catches_up_is_waited_for() {
    let options = "hold = '60s'\nidle = '5s'";
    let query = "SELECT host, sum(v) OVER (PARTITION BY host) AS s FROM m";
    let mut s = stage(options, query);
    assert_eq!(s.feed_from(1000, 2, &["m,host=old v=1i 100"]), [""; 0]);
    // What is live is not held up by it, but in the same partition.
    assert_eq!(s.feed(1000, &["m,host=new v=5i 999"]), ["m_sql host=\"new\",s=5i 999"]);
    assert_eq!(s.feed(1002, &["m,host=old v=7i 1001"]), [""; 0]);
    assert_eq!(
        s.feed_from(1003, 2, &["m,host=old v=2i 99", "m,host=old v=3i 102"]),
        ["m_sql host=\"old\",s=2i 99", "m_sql host=\"old\",s=3i 100"]
    );
    assert_eq!(s.tick(1007), [""; 0]);
    assert_eq!(s.tick(1008), ["m_sql host=\"old\",s=6i 102", "m_sql host=\"old\",s=13i 1001"]);
    // A finite source that ends holds nothing up.
    let mut s = stage(options, query);
    s.control(1000, Control::Begin { origin: 2, finite: true });
    s.feed_from(1000, 2, &["m,host=old v=1i 100"]);
    assert_eq!(s.control(1001, Control::End { origin: 2 }), ["m_sql host=\"old\",s=1i 100"]);
}

#[test]
fn a_source_that_catches_up_is_waited_for_so_long() {
    let mut s = stage("hold = '10s'\nidle = '100s'", "SELECT sum(v) OVER () AS s FROM m");
    s.feed_from(1000, 2, &["m v=1i 100"]);
    assert_eq!(s.tick(1009), [""; 0]);
    assert_eq!(s.tick(1010), ["m_sql s=1i 100"]);
}

#[test]
fn what_is_ahead_of_the_clock_is_refused() {
    let mut s = stage("", "SELECT sum(v) OVER () AS s FROM m");
    s.feed(0, &["m v=1i 61", "m v=2i 60"]);
    assert_eq!(s.metric("points_future"), 1);
    assert_eq!(s.stop(0), ["m_sql s=2i 60"]);
}

#[test]
fn delivery_settles_once_the_rows_are_out() {
    let mut s = stage("", "SELECT sum(v) OVER () AS s FROM m WHERE v > 0");
    let first = s.feed_watched(10, &["m v=1i 9", "m v=2i 10"]);
    assert_eq!(*first.lock().unwrap(), []);
    let second = s.feed_watched(10, &["m v=4i 10"]);
    let none = s.feed_watched(10, &["m v=-1i 10"]);
    assert_eq!(*none.lock().unwrap(), [Outcome::Dropped]);
    assert_eq!(s.tick(11), ["m_sql s=7i 10", "m_sql s=7i 10"]);
    assert_eq!(first.lock().unwrap().len(), 1);
    assert_eq!(second.lock().unwrap().len(), 1);
}

#[test]
fn chains_read_the_rows() {
    let query = "CREATE STREAM d AS SELECT host, v - lag(v) OVER (PARTITION BY host) AS step FROM m;
                 CREATE STREAM up AS SELECT step FROM d WHERE step > 1;
                 CREATE STREAM w AS SELECT count(step) AS n, sum(step) AS s FROM d GROUP BY time('10s');
                 CREATE STREAM o AS SELECT sum(step) OVER (ROWS 1 PRECEDING) AS two FROM d";
    let mut s = stage("tags = ['host']", query);
    s.feed(0, &["m,host=a v=1i 0", "m,host=a v=2i 3", "m,host=a v=5i 9", "m,host=b v=1i 9"]);
    let made = s.tick(11);
    assert_eq!(
        made,
        [
            "up step=3i 9",
            "d,host=a step=1i 3",
            "d,host=a step=3i 9",
            "w n=2i,s=4i 0",
            "o two=1i 3",
            "o two=4i 9"
        ]
    );
    assert_eq!(s.stop(12), [""; 0]);
    assert_eq!(s.metric("points_late"), 0);
}

#[test]
fn a_call_emits_so_many_rows() {
    let mut s = stage("", "SELECT row_number() OVER () AS n FROM m");
    let lines: Vec<String> = (0..10_000).map(|i| format!("m v={i}i {}", i / 1000)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut counts = vec![s.feed(10, &lines).len()];
    for _ in 0..3 {
        let (got, next) = s.sql.tick((T + 10) * S);
        counts.push(s.take(&got.batches).len());
        assert_eq!(next.unwrap() == Some((T + 10) * S), counts.len() < 3, "{counts:?}");
    }
    assert_eq!(counts, [4096, 4096, 1808, 0]);
    assert_eq!(s.made[9_999], "m_sql n=10000i 9");
}

#[test]
fn points_that_wait_are_bounded() {
    let mut s = stage("max_rows = 10\ndelay = '100s'", "SELECT v, sum(v) OVER () AS s FROM m");
    let lines: Vec<String> = (0..15).map(|i| format!("m v={i}i {}", 20 - i)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let made = s.feed(20, &lines);
    assert_eq!(made.len(), 5);
    assert_eq!(made[0], "m_sql v=14i,s=14i 6");
    assert_eq!(s.metric("windows_early"), 5);
    assert_eq!(s.stop(20).len(), 10);
}

#[test]
fn what_is_looked_back_at_is_bounded() {
    let mut s = stage(
        "max_rows = 32",
        "SELECT count(*) OVER (ROWS 100 PRECEDING) AS n, sum(v) OVER (ROWS 50 PRECEDING) AS s FROM m",
    );
    let lines: Vec<String> = (0..40).map(|i| format!("m v=1i {i}")).collect();
    for (second, line) in lines.iter().enumerate() {
        s.feed(second as i64 + 1, &[line]);
    }
    // A sixteenth more is given up than must be.
    assert_eq!(s.made[32], "m_sql n=33i,s=33i 32");
    assert_eq!(s.made[33], "m_sql n=31i,s=31i 33");
    assert_eq!(s.metric("points_forgotten"), 9);
}

#[test]
fn partitions_are_bounded() {
    let query = "SELECT sum(v) OVER (PARTITION BY host) AS s FROM m";
    let lines = ["m,host=a v=1i 0", "m,host=b v=2i 0", "m,host=c v=4i 0", "m,host=a v=8i 0"];
    let mut s = stage("max_groups = 2", query);
    s.feed(0, &lines);
    assert_eq!(s.stop(0), ["m_sql s=9i 0", "m_sql s=9i 0", "m_sql s=2i 0"]);
    assert_eq!(s.metric("points_overflow"), 1);
    let mut s = stage("max_groups = 2\noverflow = 'flush'", query);
    assert_eq!(s.feed(0, &lines), ["m_sql s=1i 0", "m_sql s=2i 0"]);
    assert_eq!(s.metric("windows_early"), 2);
    assert_eq!(s.stop(0), ["m_sql s=8i 0", "m_sql s=4i 0"]);
}

#[test]
fn partitions_whose_rows_nobody_sees_make_room() {
    let query = "SELECT sum(v) OVER (PARTITION BY host RANGE '5s' PRECEDING) AS s FROM m";
    let mut s = stage("max_groups = 2", query);
    s.feed(10, &["m,host=a v=1i 10", "m,host=b v=2i 10"]);
    s.tick(11);
    assert_eq!(s.feed(16, &["m,host=c v=4i 15"]), ["m_sql s=4i 15"]);
    s.tick(17);
    assert_eq!(s.metric("points_overflow"), 0);
    assert_eq!(s.feed(18, &["m,host=d v=4i 17"]), ["m_sql s=4i 17"]);
    // What was late for a forgotten partition still is.
    s.tick(30);
    assert_eq!(s.feed(30, &["m,host=a v=1i 9", "m,host=a v=1i 29"]), ["m_sql s=1i 29"]);
    assert_eq!(s.metric("points_late"), 1);
}

#[test]
fn a_partition_that_comes_again_is_found_again() {
    let mut s =
        stage("", "SELECT host, sum(v) OVER (PARTITION BY host RANGE '2s' PRECEDING) AS s FROM m");
    for round in 0..20 {
        let now = round * 30;
        let a = format!("m,host=a v=1i {now}");
        let b = format!("m,host=b v=2i {now}");
        let lines = [a.as_str(), b.as_str()];
        s.feed(now, &lines[..if round % 3 == 0 { 2 } else { 1 }]);
        for second in [1, 2, 5, 25] {
            s.tick(now + second);
        }
    }
    assert_eq!(s.made.iter().filter(|line| line.contains("host=\"a\",s=1i")).count(), 20);
    assert_eq!(s.made.iter().filter(|line| line.contains("host=\"b\",s=2i")).count(), 7);
    assert_eq!(s.made.len(), 27);
}

#[test]
fn memory_is_given_back() {
    let mut s =
        stage("", "SELECT sum(v) OVER (PARTITION BY host RANGE '5s' PRECEDING) AS s FROM m");
    for second in 0..20 {
        let lines: Vec<String> = (0..500).map(|i| format!("m,host=h{i} v=1i {second}")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        s.feed(second, &lines);
    }
    s.tick(25);
    let held = s.metric("state_bytes");
    assert_eq!(s.metric("groups"), 500);
    s.tick(60);
    s.tick(61);
    assert_eq!(s.metric("groups"), 0);
    assert!(s.metric("state_bytes") * 5 < held, "{} {held}", s.metric("state_bytes"));
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for (query, expected) in [
        (
            "SELECT v FROM m WHERE sum(v) OVER () > 1",
            "line 1, column 23, at `sum(v)`: a window function cannot stand in WHERE; write CREATE STREAM",
        ),
        ("SELECT sum(v) OVER () FROM m GROUP BY time('1s')", "GROUP BY cannot stand beside OVER"),
        (
            "SELECT sum(v) FROM m GROUP BY time('1s') HAVING sum(v) OVER () > 1",
            "a window function cannot stand in HAVING",
        ),
        (
            "SELECT sum(v) FROM m GROUP BY time('1s'), lag(v) OVER ()",
            "a window function cannot stand in GROUP BY",
        ),
        ("SELECT sum(v), lag(v) OVER () FROM m", "an aggregate without OVER cannot stand beside"),
        (
            "SELECT lag(v) FROM m",
            "at `lag(v)`: lag needs a window; write lag(x [, n [, default]]) OVER (PARTITION BY host ORDER BY time)",
        ),
        ("SELECT lead(v) OVER () FROM m", "the form that works is lag(x) OVER"),
        ("SELECT abs(v) OVER () FROM m", "abs works on each point alone; remove OVER"),
        (
            "SELECT count(DISTINCT v) OVER () FROM m",
            "the form that works is approx_distinct(x) OVER (...)",
        ),
        ("SELECT partial(sum(v)) OVER () FROM m", "partial cannot stand before OVER"),
        (
            "SELECT sum(lag(v) OVER ()) OVER () FROM m",
            "a window function cannot stand inside another",
        ),
        ("SELECT lag(v) FILTER (WHERE v > 1) OVER () FROM m", "FILTER belongs to an aggregate"),
        ("SELECT lag(v, -1) OVER () FROM m", "expected a number of rows, 0 to 1000000000"),
        (
            "SELECT sum(v) OVER (ORDER BY v) FROM m",
            "at `v`: points go by their time; the form that works is ORDER BY time",
        ),
        ("SELECT sum(v) OVER (ORDER BY time DESC) FROM m", "the form that works is ORDER BY time"),
        (
            "SELECT sum(v) OVER (ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM m",
            "FOLLOWING is not supported: a row does not wait for later ones; the frames that work are ROWS n PRECEDING",
        ),
        (
            "SELECT sum(v) OVER (ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) FROM m",
            "a frame ends at the CURRENT ROW",
        ),
        (
            "SELECT sum(v) OVER (GROUPS 1 PRECEDING) FROM m",
            "GROUPS is not supported; the frames that work",
        ),
        (
            "SELECT sum(v) OVER (ROWS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES) FROM m",
            "line 1, column 62, at `EXCLUDE`: EXCLUDE is not supported",
        ),
        ("SELECT sum(v) OVER (ROWS '1s' PRECEDING) FROM m", "expected ROWS and a number"),
        ("SELECT sum(v) OVER (RANGE 5 PRECEDING) FROM m", "expected RANGE and a length of time"),
        (
            "SELECT sum(v) OVER (PARTITION BY a), sum(v) OVER () FROM m",
            "this window has no PARTITION BY, another one PARTITION BY a",
        ),
        ("SELECT sum(v) OVER w FROM m", "there is no window w; write WINDOW w AS"),
        (
            "SELECT sum(v) OVER () FROM m WINDOW w AS (PARTITION BY a)",
            "no function uses this window",
        ),
        ("SELECT v FROM m WINDOW w AS (PARTITION BY a)", "no function uses this window"),
        (
            "SELECT sum(v) OVER (w ROWS 1 PRECEDING) FROM m WINDOW w AS ()",
            "a window cannot go on from another one",
        ),
        ("SELECT window_start(), sum(v) OVER () FROM m", "there is no window in"),
        (
            "SELECT lag(v, 1, 'x') OVER () + 1 FROM m WHERE lag(v) OVER () IS NULL",
            "a window function cannot stand in WHERE",
        ),
    ] {
        let error = fails(query);
        assert!(error.contains(expected), "{query}: {error}");
    }
}

#[test]
fn partitions_may_name_their_source() {
    for over in ["(PARTITION BY c.host ORDER BY time ROWS 1 PRECEDING)", "w"] {
        let window = "WINDOW w AS (PARTITION BY c.host ORDER BY time ROWS 1 PRECEDING)";
        let query = format!(
            "SELECT c.v, sum(c.v) OVER {over} AS s FROM m c {}",
            if over == "w" { window } else { "" }
        );
        let mut s = stage("", &query);
        s.feed(1, &["m,host=a v=1 0", "m,host=b v=2 0", "m,host=a v=3 1"]);
        s.tick(5);
        s.made.sort();
        assert_eq!(s.made, ["m_sql v=1,s=1 0", "m_sql v=2,s=2 0", "m_sql v=3,s=4 1"]);
    }
}

#[test]
fn joined_rows_have_windows_too() {
    let query = "CREATE STREAM j AS SELECT a.v, b.w, sum(b.w) OVER (PARTITION BY b.k ORDER BY time
                   ROWS 1 PRECEDING) AS s
                 FROM a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) ON a.k = b.k";
    let mut s = stage("", query);
    s.feed(1, &["b,k=x w=1 0", "b,k=y w=5 0", "a,k=x v=1 1", "a,k=y v=2 1", "b,k=x w=2 2"]);
    s.feed(4, &["a,k=x v=3 3"]);
    (5..20).for_each(|now| s.tick(now).clear());
    s.stop(20);
    s.made.sort();
    assert_eq!(s.made, ["j v=1,w=1,s=1 1", "j v=2,w=5,s=5 1", "j v=3,w=2,s=3 3"]);
}
