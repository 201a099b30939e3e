//! Windows that overlap.

use super::naive::Point;
use super::*;

const QUERY: &str = "CREATE STREAM s AS SELECT sum(a) AS a FROM m GROUP BY hop('10s', '30s')";

#[test]
fn a_point_counts_in_each_window_that_holds_it() {
    let mut s = stage("", QUERY);
    assert_eq!(s.feed(5, &["m a=1 5"]), [""; 0]);
    // Each window is emitted at its own end.
    assert_eq!(s.tick(10), [""; 0]);
    assert_eq!(s.tick(11), ["s a=1 -20"]);
    s.feed(15, &["m a=10 15"]);
    assert_eq!(s.tick(21), ["s a=11 -10"]);
    s.feed(25, &["m a=100 25"]);
    assert_eq!(s.tick(31), ["s a=111 0"]);
    assert_eq!(s.tick(40), [""; 0]);
    assert_eq!(s.tick(41), ["s a=110 10"]);
    assert_eq!(s.metric("windows_open"), 1);
    assert_eq!(s.tick(51), ["s a=100 20"]);
    assert_eq!(s.tick(61), [""; 0]);
    assert_eq!((s.metric("windows_open"), s.metric("rows_emitted")), (0, 5));
}

#[test]
fn windows_have_columns_and_stamps_and_sizes_that_are_no_multiple() {
    let query = "CREATE STREAM s AS SELECT host, window_start() AS b, window_end() AS e, count(*) AS n, max(a) AS hi FROM m GROUP BY hop('4s', '10s'), host HAVING count(*) > 1";
    for stamp in ["start", "end"] {
        let mut s = stage(&format!("stamp = '{stamp}'"), query);
        s.feed(3, &["m,host=b a=1 0", "m,host=a a=2 1", "m,host=a a=3 2", "m,host=b a=4 3"]);
        // Windows begin every four seconds; the one from -8 to 2 holds a point of each host.
        let rows = |begin: i64| {
            let (from, to) = ((T + begin) * S, (T + begin + 10) * S);
            let stamp = if stamp == "start" { begin } else { begin + 10 };
            [("a", 3), ("b", 4)]
                .map(|(host, hi)| format!("s,host={host} b={from}i,e={to}i,n=2i,hi={hi} {stamp}"))
        };
        assert_eq!(s.stop(3), [rows(-4), rows(0)].concat());
    }
}

#[test]
fn a_late_point_counts_in_the_windows_that_are_open() {
    let mut s = stage("", QUERY);
    s.feed(5, &["m a=1 5"]);
    s.feed(15, &["m a=10 15"]);
    s.tick(21);
    // Two of its windows were emitted; it is late once.
    assert_eq!(s.feed(22, &["m a=1000 4"]), [""; 0]);
    assert_eq!(s.metric("points_late"), 1);
    assert_eq!(s.tick(31), ["s a=1011 0"]);
    assert_eq!(s.tick(41), ["s a=10 10"]);
    // All of its windows were emitted.
    s.feed(42, &["m a=5 4"]);
    assert_eq!((s.metric("points_late"), s.stop(42)), (2, vec![]));
}

#[test]
fn a_late_point_is_sent_on_and_counts_where_it_can() {
    let mut s = stage("late = 'pass'", QUERY);
    s.feed(5, &["m a=1 5"]);
    s.tick(11);
    assert_eq!(s.feed(12, &["m,x=y a=2,b=1i 4", "m a=4 12"]), ["s_late,x=y a=2,b=1i 4"]);
    assert_eq!(s.stop(12), ["s a=7 -10", "s a=7 0", "s a=4 10"]);
    assert_eq!(s.metric("points_late"), 1);
}

#[test]
fn late_points_correct_the_windows_that_were_emitted() {
    let query =
        "CREATE STREAM s AS SELECT host, sum(a) AS a FROM m GROUP BY hop('10s', '30s'), host";
    let mut s = stage("late = 'update'\ngrace = '15s'", query);
    s.feed(5, &["m,host=x a=1 5", "m,host=y a=1 5"]);
    assert_eq!(s.tick(11), ["s,host=x a=1 -20", "s,host=y a=1 -20"]);
    assert_eq!(s.tick(21), ["s,host=x a=1 -10", "s,host=y a=1 -10"]);
    s.feed(22, &["m,host=x a=10 6"]);
    // Two windows are corrected, for one host; the third is open.
    assert_eq!(s.tick(23), ["s,host=x a=11 -20", "s,host=x a=11 -10"]);
    assert_eq!(s.tick(24), [""; 0]);
    // The grace of the first is over, so that it misses the point, which is late; not the second's.
    s.feed(27, &["m,host=y a=100 7"]);
    assert_eq!(s.metric("points_late"), 1);
    assert_eq!(s.tick(28), ["s,host=y a=101 -10"]);
    // The source of late points is catching up; its window waits until it was idle.
    assert_eq!(s.tick(31), [""; 0]);
    assert_eq!(s.tick(32), ["s,host=x a=11 0", "s,host=y a=101 0"]);
    assert_eq!(s.tick(60), [""; 0]);
    assert_eq!(s.metric("windows_open"), 0);
}

#[test]
fn historical_data_fills_its_windows_and_live_ones_do_not_wait() {
    let mut s = stage("", "SELECT count(*) AS n FROM m GROUP BY hop('10s', '20s')");
    s.control(0, Control::Begin { origin: 2, finite: true });
    s.feed_from(5, 1, &["m a=1 5"]);
    assert_eq!(s.feed_from(5, 2, &["m a=1 -3600", "m a=1 -3595"]), [""; 0]);
    assert_eq!(
        s.feed_from(8, 2, &["m a=1 -3592", "m a=1 -3579"]),
        ["m_sql n=3i -3610", "m_sql n=3i -3600"]
    );
    assert_eq!(s.tick(11), ["m_sql n=1i -10"]);
    assert_eq!(s.control(12, Control::End { origin: 2 }), ["m_sql n=1i -3590", "m_sql n=1i -3580"]);
    assert_eq!(s.tick(21), ["m_sql n=1i 0"]);
}

#[test]
fn a_later_statement_waits_for_all_windows_of_its_own() {
    for (stamp, expected) in [
        // Windows begin at 0, 10, ..., 50.
        ("start", ["slow n=6i,a=60 0", "slow n=6i,a=60 60"]),
        ("end", ["slow n=6i,a=60 0", "slow n=6i,a=60 60"]),
    ] {
        let mut s = stage(
            &format!("stamp = '{stamp}'"),
            "CREATE STREAM fast AS SELECT count(*) AS a FROM m GROUP BY hop('10s', '20s');
             CREATE STREAM slow AS SELECT count(*) AS n, sum(a)::double / 2 AS a FROM fast GROUP BY time('1m');",
        );
        for second in -60..200 {
            s.feed(second, &[&format!("m a=1 {second}")]);
            s.tick(second);
        }
        let slow: Vec<&String> = s.made.iter().filter(|line| line.starts_with("slow")).collect();
        let expected: Vec<String> = match stamp {
            "start" => expected.map(str::to_owned).to_vec(),
            _ => expected.map(|line| line.replace(" 60", " 120").replace(" 0", " 60")).to_vec(),
        };
        assert!(expected.iter().all(|line| slow.contains(&line)), "{stamp}: {slow:?}");
        assert_eq!(s.metric("points_late"), 0);
    }
}

#[test]
fn groups_are_bounded_in_panes_too() {
    const QUERY: &str = "SELECT host, count(*) AS n FROM m GROUP BY hop('10s', '20s'), host";
    let mut s = stage("max_groups = 2", QUERY);
    s.feed(0, &["m,host=a a=1 0", "m,host=b a=1 0", "m,host=c a=1 0", "m,host=a a=1 0"]);
    assert_eq!(s.metric("points_overflow"), 1);
    s.tick(11);
    // Its groups are still in a window.
    s.feed(12, &["m,host=c a=1 12"]);
    assert_eq!(s.metric("points_overflow"), 2);
    assert_eq!(s.tick(21), ["m_sql,host=a n=2i 0", "m_sql,host=b n=1i 0"]);
    s.feed(22, &["m,host=c a=1 22", "m,host=d a=1 22", "m,host=e a=1 22"]);
    assert_eq!(s.metric("points_overflow"), 3);

    let mut s = stage("max_groups = 2\noverflow = 'flush'", QUERY);
    let got = s.feed(0, &["m,host=a a=1 0", "m,host=b a=1 0", "m,host=c a=1 0", "m,host=a a=1 0"]);
    let rows = |start: i64, list: [(&str, u32); 2]| {
        list.map(|(host, n)| format!("m_sql,host={host} n={n}i {start}"))
    };
    let first = [("a", 1), ("b", 1)];
    assert_eq!(got, [rows(-10, first), rows(0, first)].concat());
    let second = [("a", 1), ("c", 1)];
    assert_eq!(s.stop(11), [rows(-10, second), rows(0, second)].concat());
    assert_eq!((s.metric("points_overflow"), s.metric("windows_early")), (0, 2));
}

#[test]
fn groups_that_went_away_are_forgotten() {
    let mut s = stage("", "SELECT host, count(*) AS n FROM m GROUP BY hop('10s', '30s'), host");
    for window in 0..20 {
        let lines: Vec<String> =
            (0..2000).map(|i| format!("m,host={window}-{i} a=1 {}", window * 10)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        s.feed(window * 10, &lines);
        s.ticks(window * 10 + 9..window * 10 + 10);
        assert!(s.metric("groups") <= 14_000, "{}", s.metric("groups"));
    }
    let (made, result) = s.sql.control((T + 200) * S, Control::Stop);
    result.unwrap();
    assert_eq!(s.metric("rows_emitted"), 120_000);
    assert!(made.points().len() >= 6000);
    s.ticks(221..223);
    assert_eq!(s.metric("groups"), 0);
    assert!(s.metric("state_bytes") < 20_000, "{}", s.metric("state_bytes"));
}

#[test]
fn more_windows_than_fit_lose_nothing() {
    let mut s = stage("", "SELECT count(*) AS n FROM m GROUP BY hop('10s', '20s')");
    let lines: Vec<String> = (0..6000).map(|i| format!("m a=1 {}", i * 10 - 1_000_000)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    s.feed(0, &lines);
    s.stop(0);
    let count = |line: &String| line.split("n=").nth(1).unwrap().split('i').next().unwrap() == "2";
    assert_eq!(s.made.len(), 6001);
    assert_eq!(s.made.iter().filter(|line| count(line)).count(), 5999);
    assert_eq!((s.metric("points_no_window"), s.metric("points_late")), (0, 0));
}

#[test]
fn many_rows_come_some_thousand_a_call() {
    let mut s = stage("", "SELECT host, count(*) AS n FROM m GROUP BY hop('10s', '20s'), host");
    s.hosts(1, 0..10_000);
    assert_eq!(s.ticks_at(13), [4096, 4096, 1808]);
    assert_eq!(s.sql.tick((T + 23) * S).0.points().len(), 4096);
    // What a call leaves is emitted at the stop.
    let (made, result) = s.sql.control((T + 23) * S, Control::Stop);
    result.unwrap();
    assert_eq!(made.points().len(), 10_000 - 4096);
}

#[test]
fn a_batch_is_settled_with_the_last_window_of_its_points() {
    let mut s = stage("", QUERY);
    let first = s.feed_watched(5, &["m a=1 5"]);
    let second = s.feed_watched(15, &["m a=1 15"]);
    s.tick(21);
    assert!(first.lock().unwrap().is_empty());
    let late = s.feed_watched(22, &["m a=1 6"]);
    s.tick(31);
    assert_eq!((first.lock().unwrap().len(), late.lock().unwrap().len()), (1, 1));
    assert!(second.lock().unwrap().is_empty());
    s.tick(41);
    assert_eq!(second.lock().unwrap().len(), 1);
}

#[test]
fn a_flush_in_the_middle_of_a_batch_settles_it_with_the_rest() {
    for form in ["hop('10s', '20s')", "time('10s')", "session('10s')", "rows(5)"] {
        let query = format!("SELECT host, count(*) AS n FROM m GROUP BY {form}, host");
        let mut s = stage("max_groups = 2\noverflow = 'flush'", &query);
        let told = s.feed_watched(0, &["m,host=a a=1 0", "m,host=b a=1 0", "m,host=c a=1 0"]);
        assert!(!s.made.is_empty() && told.lock().unwrap().is_empty(), "{form}");
        s.stop(0);
        assert_eq!(told.lock().unwrap().len(), 1, "{form}");
    }
}

#[test]
fn results_depend_on_neither_batches_nor_order() {
    for (slide, size) in [(10, 30), (4, 10), (1, 7), (9, 10)] {
        let query = format!(
            "CREATE STREAM s AS SELECT {} FROM m GROUP BY hop('{slide}s', '{size}s'), host",
            naive::COLUMNS
        );
        let points = naive::points(700, 5, 7);
        let mut expected = Vec::new();
        for host in 0..4 {
            let mut start = -((size / slide + 1) * slide);
            while start <= points.last().unwrap().second {
                let inside =
                    |p: &&Point| p.host == host && (start..start + size).contains(&p.second);
                let inside: Vec<&Point> = points.iter().filter(inside).collect();
                if !inside.is_empty() {
                    expected.push(naive::row(&inside, start));
                }
                start += slide;
            }
        }
        expected.sort();
        assert!(expected.len() > 50);
        for seed in 1..12 {
            let mut s = stage("delay = '4s'", &query);
            naive::run(&mut s, &points, seed, seed % 3 == 0);
            assert_eq!(s.made, expected, "{query}, seed {seed}");
        }
    }
}

#[test]
fn every_aggregate_is_the_sum_of_its_panes() {
    let query = "SELECT host, avg(x) AS a, stddev(x) AS d, spread(x) AS r, quantile(x, 0.9) AS q, approx_distinct(x) AS u, sum(x) FILTER (WHERE x > 20) AS f, max(time) AS t FROM m GROUP BY";
    let points = naive::points(500, 5, 3);
    let mut hop = stage("delay = '4s'", &format!("{query} hop('10s', '30s'), host"));
    naive::run(&mut hop, &points, 5, false);
    let mut all = Vec::new();
    // Three grids of tumbling windows are the same windows.
    for offset in [0, 10, 20] {
        let mut s = stage("delay = '4s'", &format!("{query} time('30s', '{offset}s'), host"));
        naive::run(&mut s, &points, 9, false);
        all.extend(s.made);
    }
    assert_eq!(rounded(&hop.made), rounded(&all));
}
