//! Windows that last until a group is silent.

use super::naive::Point;
use super::*;

const QUERY: &str = "CREATE STREAM s AS SELECT host, count(*) AS n, sum(a) AS a FROM m GROUP BY session('10s'), host";

#[test]
fn a_session_lasts_until_its_group_is_silent() {
    let mut s = stage("", QUERY);
    s.feed(1, &["m,host=x a=1 0", "m,host=y a=1 1"]);
    s.feed(9, &["m,host=x a=2 9"]);
    assert_eq!(s.tick(12), [""; 0]);
    // A point at most the gap behind the last one still belongs to it.
    assert_eq!(s.feed(13, &["m,host=x a=4 13"]), ["s,host=y n=1i,a=1 1"]);
    s.feed(23, &["m,host=x a=8 23"]);
    assert_eq!(s.tick(34), [""; 0]);
    assert_eq!(s.metric("windows_open"), 1);
    assert_eq!(s.tick(35), ["s,host=x n=4i,a=15 0"]);
    s.feed(40, &["m,host=x a=1 40"]);
    assert_eq!(s.stop(41), ["s,host=x n=1i,a=1 40"]);
}

#[test]
fn windows_have_columns_and_stamps() {
    let query = "CREATE STREAM s AS SELECT window_start() AS b, window_end() AS e, max(a) AS a FROM m GROUP BY session('10s') HAVING count(*) > 1";
    for (stamp, time) in [("start", 3), ("end", 19)] {
        let mut s = stage(&format!("stamp = '{stamp}'"), query);
        s.feed(9, &["m a=1 3", "m a=5 9", "m a=1 30"]);
        let (b, e) = ((T + 3) * S, (T + 19) * S);
        assert_eq!(s.stop(30), [format!("s b={b}i,e={e}i,a=5 {time}")]);
    }
}

#[test]
fn sessions_that_a_point_brings_together_become_one() {
    let mut s = stage("delay = '1m'", QUERY);
    s.feed(20, &["m,host=x a=1 0", "m,host=x a=2 20", "m,host=y a=1 20"]);
    s.tick(20);
    assert_eq!(s.metric("windows_open"), 3);
    s.feed(21, &["m,host=x a=4 10", "m,host=x a=8 -10", "m,host=x a=16 -21"]);
    s.tick(21);
    assert_eq!(s.metric("windows_open"), 3);
    assert_eq!(
        s.stop(21),
        ["s,host=x n=1i,a=16 -21", "s,host=x n=4i,a=15 -10", "s,host=y n=1i,a=1 20"]
    );
}

#[test]
fn rows_come_by_end_and_key() {
    let mut s = stage("", QUERY);
    s.feed(5, &["m,host=c a=1 5", "m,host=b a=1 5", "m,host=d a=1 2", "m,host=a a=1 5"]);
    let hosts: Vec<String> = s.tick(30).iter().map(|line| line[7..8].to_owned()).collect();
    assert_eq!(hosts, ["d", "a", "b", "c"]);
}

#[test]
fn late_points_are_those_of_sessions_that_were_emitted() {
    let mut s = stage("", QUERY);
    s.feed(0, &["m,host=x a=1 0"]);
    s.feed(9, &["m,host=x a=1 9"]);
    assert_eq!(s.tick(21), ["s,host=x n=2i,a=2 0"]);
    // Within the session, and within the gap on both sides.
    s.feed(22, &["m,host=x a=1 5", "m,host=x a=1 19", "m,host=x a=1 -10"]);
    assert_eq!((s.metric("points_late"), s.metric("windows_open")), (3, 0));
    // Another group, and an older session that never was emitted.
    let older = s.feed(22, &["m,host=y a=1 5", "m,host=x a=1 -11", "m,host=x a=2 22"]);
    assert_eq!(older, ["s,host=x n=1i,a=1 -11", "s,host=y n=1i,a=1 5"]);
    // It reaches the open session.
    s.feed(23, &["m,host=x a=4 18"]);
    assert_eq!(s.stop(23), ["s,host=x n=2i,a=6 18"]);
    assert_eq!(s.metric("points_late"), 3);

    let mut s = stage("late = 'pass'", QUERY);
    s.feed(0, &["m,host=x a=1 0"]);
    s.tick(12);
    assert_eq!(s.feed(13, &["m,host=x,z=1 a=2,b=3i 1"]), ["s_late,host=x,z=1 a=2,b=3i 1"]);
}

#[test]
fn late_points_are_known_when_no_session_is_open() {
    let mut s = stage("", QUERY);
    let lines: Vec<String> = (0..3000).map(|host| format!("m,host=h{host} a=1 0")).collect();
    s.feed(1, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let rows: usize = (0..10).map(|_| s.tick(12).len()).sum();
    assert_eq!((rows, s.metric("windows_open")), (3000, 0));
    s.feed(13, &["m,host=h0 a=1 1", "m,host=h1 a=1 13"]);
    s.tick(13);
    assert_eq!((s.metric("points_late"), s.metric("windows_open")), (1, 1));
}

#[test]
fn late_points_correct_sessions_that_were_emitted() {
    let mut s = stage("late = 'update'\ngrace = '20s'", QUERY);
    s.feed(5, &["m,host=x a=1 5", "m,host=y a=1 5"]);
    assert_eq!(s.tick(17), ["s,host=x n=1i,a=1 5", "s,host=y n=1i,a=1 5"]);
    s.feed(18, &["m,host=x a=2 7"]);
    assert_eq!(s.tick(19), ["s,host=x n=2i,a=3 5"]);
    assert_eq!(s.tick(20), [""; 0]);
    // A late point that ties it to an open one makes one session, whose row comes at its end.
    s.feed(25, &["m,host=x a=4 25"]);
    s.feed(26, &["m,host=x a=8 16"]);
    assert_eq!(s.tick(30), [""; 0]);
    assert_eq!(s.tick(37), ["s,host=x n=4i,a=15 5"]);
    // Grace is over.
    s.feed(38, &["m,host=y a=1 6"]);
    assert_eq!(s.metric("points_late"), 1);
    s.tick(70);
    assert_eq!(s.metric("windows_open"), 0);
    s.feed(71, &["m,host=x a=1 6"]);
    assert_eq!(s.metric("points_late"), 2);
}

#[test]
fn a_session_may_grow_while_a_source_is_behind_its_end() {
    let mut s = stage("", QUERY);
    s.control(0, Control::Begin { origin: 2, finite: true });
    s.feed_from(0, 1, &["m,host=live a=1 0"]);
    s.feed_from(0, 2, &["m,host=x a=1 -3600"]);
    for now in 1..4 {
        s.feed_from(now, 2, &[&format!("m,host=x a=1 {}", now * 10 - 3600)]);
        assert_eq!(s.tick(now), [""; 0]);
    }
    // Its own progress closes it, and the live one does not wait.
    s.feed_from(8, 2, &["m,host=z a=1 -3559"]);
    assert_eq!(
        s.feed_from(12, 2, &["m,host=z a=1 -3558"]),
        ["s,host=x n=4i,a=4 -3600", "s,host=live n=1i,a=1 0"]
    );
    assert_eq!(s.control(12, Control::End { origin: 2 }), ["s,host=z n=2i,a=2 -3559"]);
}

#[test]
fn a_source_that_is_not_finite_holds_a_session_for_hold() {
    let mut s = stage("hold = '20s'", QUERY);
    s.feed_from(0, 2, &["m,host=x a=1 -100"]);
    for now in 1..20 {
        s.feed_from(now, 2, &["m,host=y a=1 -100"]);
        assert_eq!(s.tick(now), [""; 0], "{now}");
    }
    assert_eq!(s.feed_from(20, 2, &["m,host=y a=1 -100"]), ["s,host=x n=1i,a=1 -100"]);
}

#[test]
fn groups_and_sessions_are_bounded() {
    let mut s = stage("max_groups = 2", QUERY);
    s.feed(0, &["m,host=a a=1 0", "m,host=b a=1 0", "m,host=c a=1 0", "m,host=a a=1 0"]);
    assert_eq!(s.metric("points_overflow"), 1);
    assert_eq!(s.tick(12), ["s,host=a n=2i,a=2 0", "s,host=b n=1i,a=1 0"]);
    // The groups of closed sessions make room for others, and are remembered all the same.
    s.feed(13, &["m,host=c a=1 13", "m,host=d a=1 13", "m,host=e a=1 13"]);
    assert_eq!(s.metric("points_overflow"), 2);
    s.tick(25);
    s.feed(26, &["m,host=d a=1 14"]);
    assert_eq!((s.metric("points_late"), s.metric("points_overflow")), (1, 2));

    let mut s = stage("max_groups = 2\noverflow = 'flush'", QUERY);
    let got = s.feed(0, &["m,host=a a=1 0", "m,host=b a=1 0", "m,host=c a=1 0", "m,host=a a=1 0"]);
    assert_eq!(got, ["s,host=a n=1i,a=1 0", "s,host=b n=1i,a=1 0"]);
    assert_eq!(s.tick(12), ["s,host=a n=1i,a=1 0", "s,host=c n=1i,a=1 0"]);
    assert_eq!((s.metric("points_overflow"), s.metric("windows_early")), (0, 2));
}

#[test]
fn more_sessions_than_fit_lose_nothing() {
    let mut s = stage("max_groups = 2", QUERY);
    let lines: Vec<String> =
        (0..6000).map(|i| format!("m,host=x a=1 {}", i * 20 - 200_000)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    s.feed(0, &lines);
    s.stop(0);
    assert_eq!(s.made.len(), 6000);
    assert!(s.metric("windows_early") > 4000);
    assert_eq!((s.metric("points_no_window"), s.metric("points_late")), (0, 0));
}

#[test]
fn memory_comes_back() {
    let mut s = stage("", QUERY);
    for round in 0..10 {
        s.hosts(round * 20 + 1, 0..5000);
        assert_eq!(s.ticks(round * 20 + 2..round * 20 + 20), 5000);
    }
    let full = s.metric("state_bytes");
    s.hosts(300, 0..5000);
    s.ticks(300..320);
    assert!(s.metric("state_bytes") <= full + full / 10, "{full} {}", s.metric("state_bytes"));
    s.ticks(321..322);
    assert!(s.metric("state_bytes") < 250_000, "{}", s.metric("state_bytes"));
    assert_eq!(s.metric("groups"), 0);
}

#[test]
fn a_session_that_never_ends_needs_no_more_and_more() {
    let mut s = stage("", QUERY);
    for second in 0..3000 {
        s.feed(second, &[&format!("m,host=x a=1 {second}"), &format!("m,host=y a=1 {second}")]);
    }
    s.tick(3000);
    assert!(s.metric("state_bytes") < 8_000, "{}", s.metric("state_bytes"));
    assert_eq!(s.stop(3000), ["s,host=x n=3000i,a=3000 0", "s,host=y n=3000i,a=3000 0"]);
}

#[test]
fn many_rows_come_some_thousand_a_call() {
    let mut s = stage("", QUERY);
    s.hosts(1, 0..10_000);
    assert_eq!(s.ticks_at(13), [4096, 4096, 1808]);
    assert_eq!(s.ticks_at(14), [0]);
}

#[test]
fn a_batch_is_settled_with_the_last_session_of_its_points() {
    let mut s = stage("", QUERY);
    let both = s.feed_watched(1, &["m,host=x a=1 0", "m,host=y a=1 1"]);
    let one = s.feed_watched(9, &["m,host=x a=1 9"]);
    s.tick(13);
    assert!(both.lock().unwrap().is_empty());
    s.tick(21);
    assert_eq!((both.lock().unwrap().len(), one.lock().unwrap().len()), (1, 1));
    let filtered = s.feed_watched(30, &["other a=1 30"]);
    assert_eq!(filtered.lock().unwrap().len(), 1);
}

#[test]
fn kinds_of_other_sessions_do_not_show() {
    let query = "CREATE STREAM s AS SELECT host, sum(x) AS s, max(x) AS m, last(x) AS l FROM m GROUP BY session('10s'), host";
    let mut s = stage("", query);
    s.feed(0, &["m,host=i x=1i 0", "m,host=f x=1.5 9", "m,host=t x=\"text\" 9"]);
    assert_eq!(s.tick(12), ["s,host=i s=1i,m=1i,l=1i 0"]);
    assert_eq!(s.stop(13), ["s,host=f s=1.5,m=1.5,l=1.5 9", "s,host=t m=\"text\",l=\"text\" 9"]);
}

#[test]
fn a_later_statement_waits_for_sessions() {
    let mut s = stage(
        "",
        "CREATE STREAM v AS SELECT host, count(*) AS n FROM m GROUP BY session('5s'), host;
         CREATE STREAM slow AS SELECT count(*) AS c, sum(n) AS n FROM v GROUP BY time('1m')",
    );
    for second in 0..130 {
        // A session of 8 points each 20 seconds; another one that lasts from 10 to 90.
        if second % 20 < 8 {
            s.feed(second, &[&format!("m,host=x a=1 {second}")]);
        }
        if (10..=90).contains(&second) {
            s.feed(second, &[&format!("m,host=y a=1 {second}")]);
        }
        let slow = s.made.iter().filter(|line| line.starts_with("slow")).count();
        assert!(second > 96 || slow == 0, "{second}: {:?}", s.made);
        s.tick(second);
    }
    let slow: Vec<&String> = s.made.iter().filter(|line| line.starts_with("slow")).collect();
    assert_eq!(slow, ["slow c=4i,n=105i 0", "slow c=3i,n=24i 60"]);
    s.stop(130);
    assert_eq!(s.made.last().unwrap(), "slow c=1i,n=8i 120");
    assert_eq!(s.metric("points_late"), 0);
}

/// The sessions of a host's points, the plain way.
fn naive_sessions(points: &[Point], gap: i64) -> Vec<String> {
    let mut rows = Vec::new();
    for host in 0..4 {
        let mut own: Vec<&Point> = points.iter().filter(|point| point.host == host).collect();
        own.sort_by_key(|point| point.second);
        for session in own.chunk_by(|a, b| b.second - a.second <= gap) {
            rows.push(naive::row(session, session[0].second));
        }
    }
    rows.sort();
    rows
}

#[test]
fn results_depend_on_neither_batches_nor_order() {
    for (gap, delay) in [(1, 4), (3, 4), (7, 4), (2, 60)] {
        let query = format!(
            "CREATE STREAM s AS SELECT {} FROM m GROUP BY session('{gap}s'), host",
            naive::COLUMNS
        );
        let points = naive::points(700, 5, 11);
        let expected = naive_sessions(&points, gap);
        assert!(expected.len() > 20, "{}", expected.len());
        for seed in 1..12 {
            let mut s = stage(&format!("delay = '{delay}s'"), &query);
            naive::run(&mut s, &points, seed, seed % 3 == 0);
            assert_eq!(s.made, expected, "{query}, seed {seed}");
        }
    }
}

#[test]
fn every_aggregate_is_the_sum_of_what_became_one() {
    let query = "SELECT host, avg(x) AS a, stddev(x) AS d, spread(x) AS r, quantile(x, 0.9) AS q, approx_distinct(x) AS u, sum(x) FILTER (WHERE x > 20) AS f, max(time) AS t FROM m GROUP BY session('2s'), host";
    let points = naive::points(500, 5, 3);
    let mut expected = None;
    for seed in 1..6 {
        // Points in no order at all, then in nearly the right one.
        let mut s = stage("delay = '10m'", query);
        if seed < 4 {
            let mut random = Random(seed);
            let mut points = points.clone();
            points.sort_by_cached_key(|_| random.below(1 << 40));
            for part in points.chunks(37) {
                let lines: Vec<String> = part.iter().map(Point::line).collect();
                s.feed(200, &lines.iter().map(String::as_str).collect::<Vec<_>>());
            }
            s.stop(200);
        } else {
            naive::run(&mut s, &points, seed, false);
        }
        let made = rounded(&s.made);
        assert!(made.len() > 20);
        assert_eq!(&made, expected.get_or_insert_with(|| made.clone()), "{seed}");
    }
}
