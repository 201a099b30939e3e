//! Windows of so many points of a group.

use super::*;

const QUERY: &str = "CREATE STREAM s AS SELECT host, count(*) AS n, sum(a) AS a, last(a) AS l FROM m GROUP BY rows(3), host";

#[test]
fn a_row_comes_with_every_so_many_points_of_a_group() {
    let mut s = stage("", QUERY);
    assert_eq!(s.feed(1, &["m,host=x a=1 0", "m,host=y a=10 0", "m,host=x a=2 1"]), [""; 0]);
    assert_eq!(
        s.feed(3, &["m,host=x a=3 2", "m,host=x a=4 3", "m,host=y a=20 3", "m,host=y a=30 3"]),
        ["s,host=x n=3i,a=6,l=3 0", "s,host=y n=3i,a=60,l=30 0"]
    );
    // Seven points in one batch are two windows and a beginning.
    let lines: Vec<String> = (5..12).map(|at| format!("m,host=z a={at} {at}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(s.feed(11, &lines), ["s,host=z n=3i,a=18,l=7 5", "s,host=z n=3i,a=27,l=10 8"]);
    s.tick(10_000);
    assert_eq!(s.metric("windows_open"), 2);
    // The rest comes at the stop, in the order of the keys.
    assert_eq!(s.stop(10_000), ["s,host=x n=1i,a=4,l=4 3", "s,host=z n=1i,a=11,l=11 11"]);
}

#[test]
fn windows_have_columns_and_stamps() {
    let query = "CREATE STREAM s AS SELECT window_start() AS b, window_end() AS e, sum(a) AS a FROM m GROUP BY rows(2) HAVING sum(a) > 3";
    for (stamp, time) in [("start", 3), ("end", 9)] {
        let mut s = stage(&format!("stamp = '{stamp}'"), query);
        let (b, e) = ((T + 3) * S, (T + 9) * S);
        let made = s.feed(9, &["m a=1 9", "m a=5 3", "m a=1 9", "m a=1 9"]);
        assert_eq!(made, [format!("s b={b}i,e={e}i,a=6 {time}")]);
    }
}

#[test]
fn points_from_the_future_are_refused_and_none_is_late() {
    let mut s = stage("max_future = '5s'", QUERY);
    s.feed(0, &["m,host=x a=1 6", "m,host=x a=1 5", "m,host=x a=1 -86400"]);
    assert_eq!((s.metric("points_future"), s.metric("points_late")), (1, 0));
    assert_eq!(s.feed(0, &["m,host=x a=1 0"]), ["s,host=x n=3i,a=3,l=1 -86400"]);
}

#[test]
fn groups_are_bounded() {
    let mut s = stage("max_groups = 2", QUERY);
    s.feed(0, &["m,host=a a=1 0", "m,host=b a=1 0", "m,host=c a=1 0"]);
    assert_eq!(s.metric("points_overflow"), 1);
    // A group between two windows makes room.
    s.feed(1, &["m,host=a a=1 1", "m,host=a a=1 1"]);
    s.feed(1, &["m,host=c a=1 1", "m,host=d a=1 1"]);
    assert_eq!(s.metric("points_overflow"), 2);
    assert_eq!(s.stop(1), ["s,host=b n=1i,a=1,l=1 0", "s,host=c n=1i,a=1,l=1 1"]);

    let mut s = stage("max_groups = 2\noverflow = 'flush'", QUERY);
    let got = s.feed(0, &["m,host=b a=1 0", "m,host=a a=1 0", "m,host=c a=1 0"]);
    assert_eq!(got, ["s,host=a n=1i,a=1,l=1 0", "s,host=b n=1i,a=1,l=1 0"]);
    assert_eq!((s.metric("points_overflow"), s.metric("windows_early")), (0, 2));
    assert_eq!(s.stop(0), ["s,host=c n=1i,a=1,l=1 0"]);
}

#[test]
fn memory_comes_back() {
    let mut s = stage("", &QUERY.replace("rows(3)", "rows(2)"));
    let mut held = Vec::new();
    for round in 0..8 {
        s.hosts(round, 0..5000);
        s.tick(round);
        held.push(s.metric("state_bytes"));
    }
    assert_eq!(s.metric("rows_emitted"), 20_000);
    assert!(held[7] <= held[2], "{held:?}");
    s.hosts(9, 0..1);
    s.ticks(10..60);
    assert_eq!(s.metric("groups"), 5000, "a window is open");
    s.hosts(61, 0..1);
    s.ticks(62..90);
    assert_eq!(s.metric("groups"), 0);
    assert!(s.metric("state_bytes") < 1000, "{}", s.metric("state_bytes"));
}

#[test]
fn a_batch_is_settled_with_the_last_window_of_its_points() {
    let mut s = stage("", QUERY);
    let first = s.feed_watched(0, &["m,host=x a=1 0", "m,host=x a=1 0", "m,host=y a=1 0"]);
    let second = s.feed_watched(1, &["m,host=x a=1 0", "m,host=x a=1 0"]);
    assert_eq!((first.lock().unwrap().len(), second.lock().unwrap().len()), (0, 0));
    let third = s.feed_watched(2, &["m,host=y a=1 0", "m,host=y a=1 0"]);
    assert_eq!((first.lock().unwrap().len(), third.lock().unwrap().len()), (1, 1));
    assert_eq!(second.lock().unwrap().len(), 0);
    s.stop(3);
    assert_eq!(second.lock().unwrap().len(), 1);
}

#[test]
fn a_later_statement_waits_for_windows_that_took_points_lately() {
    let mut s = stage(
        "hold = '30s'",
        "CREATE STREAM v AS SELECT host, count(*) AS n FROM m GROUP BY rows(4), host;
         CREATE STREAM slow AS SELECT count(*) AS c, sum(n) AS n FROM v GROUP BY time('10s')",
    );
    // One group falls silent in the middle of a window.
    s.feed(0, &["m,host=silent a=1 0"]);
    for second in 0..60 {
        s.feed(second, &[&format!("m,host=x a=1 {second}")]);
        s.tick(second);
        let slow = s.made.iter().filter(|line| line.starts_with("slow")).count();
        assert!(second > 30 || slow == 0, "{second}");
    }
    let slow: Vec<&String> = s.made.iter().filter(|line| line.starts_with("slow")).collect();
    assert_eq!(slow[..2], ["slow c=3i,n=12i 0", "slow c=2i,n=8i 10"]);
    assert_eq!(s.metric("points_late"), 0);
}

/// Any split into batches gives the same rows, as long as each group's points keep their order.
#[test]
fn results_do_not_depend_on_batches() {
    let points = naive::points(700, 5, 13);
    let query =
        format!("CREATE STREAM s AS SELECT {} FROM m GROUP BY rows(7), host", naive::COLUMNS);
    let mut expected = Vec::new();
    for host in 0..4 {
        let own: Vec<&naive::Point> = points.iter().filter(|point| point.host == host).collect();
        for window in own.chunks(7) {
            expected.push(naive::row(window, window[0].second));
        }
    }
    expected.sort();
    for seed in 1..8 {
        let mut random = Random(seed);
        let mut s = stage("", &query);
        let mut rest = &points[..];
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(1 + random.below(60) as usize));
            let lines: Vec<String> = part.iter().map(naive::Point::line).collect();
            s.feed(
                part.last().unwrap().second,
                &lines.iter().map(String::as_str).collect::<Vec<_>>(),
            );
            rest = later;
        }
        s.stop(1000);
        s.made.sort();
        assert_eq!(s.made, expected, "seed {seed}");
    }
}

/// Points of several shapes in one batch keep their order.
#[test]
fn points_count_in_the_order_they_come_whatever_fields_they_have() {
    let query =
        "CREATE STREAM s AS SELECT count(*) AS n, sum(a) AS a, sum(b) AS b FROM m GROUP BY rows(2)";
    let mut s = stage("", query);
    assert_eq!(
        s.feed(9, &["m a=1 1", "m,x=y b=2 2", "m a=4 3", "m a=8,b=16 4", "n a=1 5", "m b=32 6"]),
        ["s n=2i,a=1,b=2 1", "s n=2i,a=12,b=16 3"]
    );
    assert_eq!(s.stop(9), ["s n=1i,b=32 6"]);
}

#[test]
fn windows_that_hold_too_many_handles_are_emitted() {
    let mut s = stage("", "CREATE STREAM w AS SELECT count(*) AS n FROM m GROUP BY rows(9000000)");
    let (delivery, told) = testkit::delivery();
    let delivery = delivery.unwrap();
    let feed = |s: &mut Stage| {
        let mut batch = batch(&["m v=1 1"]);
        batch.set_origin(1);
        batch.set_delivery(Some(delivery.clone()));
        let (made, result) = s.sql.process((T + 1) * S, batch);
        result.unwrap();
        made.points().len()
    };
    for _ in 0..1 << 20 {
        assert_eq!(feed(&mut s), 0);
    }
    assert_eq!(feed(&mut s), 1);
    assert_eq!(s.metric("windows_early"), 1);
    assert!(told.lock().unwrap().is_empty());
}
