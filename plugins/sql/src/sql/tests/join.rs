//! Joins of two sources.

use super::*;

const ASOF: &str = "CREATE STREAM j AS SELECT a.host, a.v, b.w FROM a ASOF JOIN b
                    MATCH_CONDITION (a.time >= b.time) ON a.host = b.host";
const NEAR: &str = "CREATE STREAM j AS SELECT a.id, a.v, b.w FROM a JOIN b
                    ON a.id = b.id AND b.time BETWEEN a.time AND a.time + INTERVAL '5s'";
const LOOK: &str = "tags = ['host']";

/// The same join, which keeps points without partners.
fn left(query: &str) -> String {
    query.replace(" JOIN b", " LEFT JOIN b").replace("ASOF  LEFT", "ASOF LEFT")
}

/// The rows that a query gives of these points, all in one batch.
fn rows(options: &str, query: &str, lines: &[&str]) -> Vec<String> {
    let mut s = stage(options, query);
    let mut made = s.feed(100, lines);
    made.extend(s.stop(100));
    made
}

#[test]
fn a_point_gets_the_latest_earlier_one_of_its_key() {
    let mut s = stage(LOOK, ASOF);
    s.feed(10, &["b,host=x w=1 1", "b,host=x w=2 5", "b,host=y w=3 6", "b,host=x w=4 9"]);
    assert_eq!(
        s.feed(10, &["a,host=x v=1 8", "a,host=y v=2 5", "a,host=x v=3 9", "a,host=z v=4 9"]),
        ["j,host=x v=1,w=2 8"]
    );
    assert_eq!(s.tick(10), [""; 0]);
    // A partner of the same time may still come for as long as points are under way.
    assert_eq!(s.tick(11), ["j,host=x v=3,w=4 9"]);
    assert_eq!(s.stop(12), [""; 0]);
    s.tick(12);
    assert_eq!(s.metric("points_held"), 0);
}

#[test]
fn a_left_join_keeps_points_without_a_partner() {
    let mut s = stage(LOOK, &left(ASOF));
    s.feed(
        10,
        &["b,host=x w=2 5", "a,host=x v=1 4", "a,host=x v=2 5", "a,host=q v=3 9", "a v=4 9"],
    );
    assert_eq!(s.tick(12), ["j v=4 9", "j,host=q v=3 9"]);
    assert_eq!(s.made, ["j,host=x v=1 4", "j,host=x v=2,w=2 5", "j v=4 9", "j,host=q v=3 9"]);
}

#[test]
fn a_strict_condition_leaves_out_the_same_time() {
    let lines = ["b,host=x w=1 3", "b,host=x w=2 5", "a,host=x v=1 5"];
    assert_eq!(rows(LOOK, ASOF, &lines), ["j,host=x v=1,w=2 5"]);
    for strict in ["a.time > b.time", "b.time < a.time", "b.time - a.time < INTERVAL '0s'"] {
        let query = ASOF.replace("a.time >= b.time", strict);
        assert_eq!(rows(LOOK, &query, &lines), ["j,host=x v=1,w=1 5"], "{strict}");
    }
    let query = ASOF.replace("a.time >= b.time", "a.time - INTERVAL '1s' >= b.time");
    assert_eq!(rows(LOOK, &query, &lines), ["j,host=x v=1,w=1 5"]);
}

#[test]
fn the_age_of_a_partner_is_bounded() {
    let lines = ["b,host=x w=1 0", "a,host=x v=1 30", "a,host=x v=2 31"];
    let limits = [
        ("max_age = '30s'", ""),
        ("", " AND b.time >= a.time - INTERVAL '30s'"),
        ("max_age = '1s'", " AND a.time <= b.time + INTERVAL '30s'"),
        ("", " AND b.time BETWEEN a.time - INTERVAL '30s' AND a.time"),
    ];
    for (options, on) in limits {
        let options = format!("{LOOK}\n{options}");
        let query = format!("{ASOF}{on}");
        assert_eq!(rows(&options, &query, &lines), ["j,host=x v=1,w=1 30"], "{options} {on}");
    }
    let query = format!("{ASOF} AND b.time > a.time - INTERVAL '30s'");
    assert_eq!(rows(LOOK, &query, &lines), [""; 0]);
    // Without a bound in the statement it is the option's: five minutes.
    let lines = ["b,host=x w=1 -300", "a,host=x v=1 0", "a,host=x v=2 1"];
    assert_eq!(rows(LOOK, ASOF, &lines), ["j,host=x v=1,w=1 0"]);
}

#[test]
fn all_pairs_within_a_bound() {
    let mut s = stage("", NEAR);
    s.feed(10, &["a id=1i,v=1 0", "a id=2i,v=2 5", "a id=1i,v=3 9", "a id=7i,v=7 9"]);
    s.feed(11, &["b id=1i,w=1 -1", "b id=1i,w=2 5", "b id=1i,w=4 6", "b id=1i,w=3 0"]);
    // The first was answered before its partners came.
    assert_eq!(s.made, [""; 0]);
    assert_eq!(s.metric("points_late"), 2);
    s.feed(14, &["b id=2i,w=5 10", "b id=1i,w=6 14", "b id=1i,w=7 14"]);
    assert_eq!(s.made, ["j id=2i,v=2,w=5 5"]);
    assert_eq!(s.tick(15), [""; 0]);
    assert_eq!(s.tick(16), ["j id=1i,v=3,w=6 9", "j id=1i,v=3,w=7 9"]);
}

#[test]
fn bounds_are_honoured_to_the_nanosecond() {
    let lines =
        ["a id=1i,v=0 10", "b id=1i,w=5 5", "b id=1i,w=7 7", "b id=1i,w=10 10", "b id=1i,w=12 12"];
    let with = |condition: &str| -> String {
        let query = NEAR.split_once(" AND b.time").unwrap().0;
        let rows = rows("", &format!("{query} AND {condition}"), &lines);
        let value =
            |row: &String| row.split("w=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        rows.iter().map(value).collect::<Vec<_>>().join(" ")
    };
    for (condition, expected) in [
        ("b.time BETWEEN a.time - INTERVAL '5s' AND a.time + INTERVAL '2s'", "5 7 10 12"),
        ("b.time > a.time - INTERVAL '5s' AND b.time < a.time + INTERVAL '2s'", "7 10"),
        ("b.time >= a.time - INTERVAL '3s' AND b.time <= a.time", "7 10"),
        ("a.time < b.time + INTERVAL '3s' AND a.time >= b.time", "10"),
        ("a.time BETWEEN b.time - INTERVAL '2s' AND b.time", "10 12"),
        ("b.time - a.time BETWEEN INTERVAL '-3s' AND INTERVAL '1s'", "7 10"),
        ("b.time = a.time", "10"),
        ("b.time = a.time + INTERVAL '2s'", "12"),
        ("b.time BETWEEN a.time - INTERVAL '9s' AND a.time - INTERVAL '3s'", "5 7"),
        ("b.time > a.time AND b.time < a.time + INTERVAL '2s'", ""),
    ] {
        assert_eq!(with(condition), expected, "{condition}");
    }
}

#[test]
fn a_left_join_tells_of_missing_partners_at_the_deadline() {
    let mut s = stage("", &left(NEAR));
    s.feed(10, &["a id=1i,v=1 10", "a id=2i,v=2 10"]);
    s.feed(12, &["b id=2i,w=9 12"]);
    assert_eq!(s.tick(15), [""; 0]);
    assert_eq!(s.tick(16), [""; 0], "a partner of 15 may come until then");
    assert_eq!(s.tick(17), ["j id=1i,v=1 10", "j id=2i,v=2,w=9 10"]);
    // The stop ends the wait.
    s.feed(20, &["a id=3i,v=3 20"]);
    assert_eq!(s.stop(20), ["j id=3i,v=3 20"]);
}

#[test]
fn null_is_no_key_and_numbers_are_equal_whatever_their_kind() {
    let query = "CREATE STREAM j AS SELECT a.v, b.w FROM a JOIN b ON a.k = b.k AND b.time = a.time";
    let lines = [
        "a k=1i,v=1 0",
        "a k=2,v=2 0",
        "a k=\"1\",v=3 0",
        "a v=4 0",
        "a k=0.5,v=5 0",
        "a k=true,v=6 0",
        "b k=1,w=1 0",
        "b k=2u,w=2 0",
        "b w=4 0",
        "b k=0.5,w=5 0",
        "b k=1u,w=6 0",
    ];
    let expected = ["j v=1,w=1 0", "j v=1,w=6 0", "j v=2,w=2 0", "j v=5,w=5 0"];
    let mut made = rows("", query, &lines);
    made.sort();
    assert_eq!(made, expected);
    let kept = rows("", &query.replace(" JOIN", " LEFT JOIN"), &lines);
    assert_eq!(kept.len(), 7, "{kept:?}");
}

#[test]
fn several_keys_expressions_and_using() {
    let lines = [
        "a,h=x,r=EU v=1 0",
        "a,h=x,r=us v=2 0",
        "b,h=x,r=eu w=1 0",
        "b,h=x,r=US w=2 0",
        "b,h=y,r=eu w=3 0",
    ];
    let query = "CREATE STREAM j AS SELECT a.v, b.w FROM a JOIN b ON lower(a.r) = lower(b.r) AND b.h = a.h AND b.time = a.time";
    assert_eq!(rows("", query, &lines), ["j v=1,w=1 0", "j v=2,w=2 0"]);
    let query = "CREATE STREAM j AS SELECT a.v, b.w FROM a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) USING (h)";
    assert_eq!(
        rows("", query, &lines),
        ["j v=1,w=3 0"; 0]
            .iter()
            .chain(&["j v=1,w=2 0", "j v=2,w=2 0"])
            .copied()
            .collect::<Vec<_>>()
    );
    // Without a key all points are of one.
    let query =
        "CREATE STREAM j AS SELECT a.v, b.w FROM a ASOF JOIN b MATCH_CONDITION (a.time >= b.time)";
    assert_eq!(rows("", query, &lines), ["j v=1,w=3 0", "j v=2,w=3 0"]);
}

#[test]
fn conditions_of_one_side_and_of_both() {
    let lines =
        ["a id=1i,v=1 0", "a id=1i,v=5 1", "b id=1i,w=0 1", "b id=1i,w=3 2", "b id=1i,w=9 3"];
    // In ON they say who is a partner, in WHERE which rows there are.
    let on = |kind: &str, on: &str, filter: &str| {
        let query = NEAR.replace(" JOIN b", &format!(" {kind} b"));
        let mut made = rows("", &format!("{query} AND {on} WHERE {filter}"), &lines);
        made.iter_mut().for_each(|row| *row = row.replace("j id=1i,", ""));
        made
    };
    assert_eq!(on("JOIN", "b.w > 1", "a.v < 2"), ["v=1,w=3 0", "v=1,w=9 0"]);
    assert_eq!(on("JOIN", "a.v > b.w", "TRUE"), ["v=1,w=0 0", "v=5,w=0 1", "v=5,w=3 1"]);
    assert_eq!(on("JOIN", "a.v > 1", "b.w > a.v"), ["v=5,w=9 1"]);
    assert_eq!(on("LEFT JOIN", "b.w > 8", "TRUE"), ["v=1,w=9 0", "v=5,w=9 1"]);
    assert_eq!(on("LEFT JOIN", "b.w > 9", "TRUE"), ["v=1 0", "v=5 1"]);
    assert_eq!(on("LEFT JOIN", "a.v > 1 AND b.w = 3", "TRUE"), ["v=1 0", "v=5,w=3 1"]);
    assert_eq!(on("LEFT JOIN", "b.w > 9", "b.w IS NULL AND a.v > 1"), ["v=5 1"]);
    assert_eq!(on("LEFT JOIN", "b.w > 1", "b.w > 5"), ["v=1,w=9 0", "v=5,w=9 1"]);
    // An anti-join.
    assert_eq!(on("LEFT JOIN", "b.w > 9", "b.time IS NULL"), ["v=1 0", "v=5 1"]);
    // The latest partner is the latest, whatever WHERE says about it.
    let query = "CREATE STREAM j AS SELECT a.v, b.w FROM a ASOF JOIN b MATCH_CONDITION (a.time >= b.time) ON a.id = b.id";
    let lines = ["b id=1i,w=5 0", "b id=1i,w=1 1", "a id=1i,v=1 2"];
    assert_eq!(rows("", &format!("{query} WHERE b.w > 2"), &lines), [""; 0]);
    assert_eq!(rows("", &format!("{query} AND b.w > 2"), &lines), ["j v=1,w=5 2"]);
}

#[test]
fn columns_are_called_as_in_their_source() {
    let query = "CREATE STREAM j AS SELECT a.host, a.time AS since, b.time AS until, b.time - a.time AS took,
                 a.measurement AS m, b.measurement AS n, tag('x') IS NULL AS t, upper(b.host)
                 FROM measurements('a*') AS a LEFT JOIN bb b ON a.host = b.host
                 AND b.time BETWEEN a.time AND a.time + INTERVAL '5s'";
    let query = query.replace("tag('x')", "a.tag('x')");
    let made = rows(LOOK, &query, &["a1,host=u,x=1 v=1 0", "a2,host=w v=1 1", "bb,host=u w=1 3"]);
    let at = |second: i64| (T + second) * S;
    let expected = [
        format!(
            "j,host=u since={}i,until={}i,took=3000000000i,m=\"a1\",n=\"bb\",t=false,upper(b.host)=\"U\" 0",
            at(0),
            at(3)
        ),
        format!("j,host=w since={}i,m=\"a2\",t=true 1", at(1)),
    ];
    assert_eq!(made, expected);
    // The time of a row is that of the first source, unless a column says otherwise.
    let query =
        "CREATE STREAM j AS SELECT b.time, a.v FROM a JOIN b ON b.time = a.time + INTERVAL '2s'";
    assert_eq!(rows("", query, &["a v=1 0", "b w=1 2"]), ["j v=1 2"]);
    // A tag stays a tag for those that group by it.
    let query = "CREATE STREAM j AS SELECT count(*) AS n FROM a JOIN b ON a.host = b.host AND b.time = a.time
                 GROUP BY time('10s'), a.host";
    assert_eq!(rows("", query, &["a,host=u v=1 0", "b,host=u w=1 0"]), ["j,host=u n=1i 0"]);
    // Without a name of its own the result is called after the first source.
    let query = "SELECT a.v FROM a JOIN b ON b.time = a.time";
    assert_eq!(rows("", query, &["a v=1 0", "b w=1 0"]), ["a_sql v=1 0"]);
}

#[test]
fn aliases_stand_for_their_source_in_any_statement() {
    let line = ["cpu,host=u idle=5,n=2i 3"];
    for query in [
        "SELECT host, idle FROM cpu WHERE n = 2",
        "SELECT c.host, c.idle FROM cpu c WHERE c.n = 2",
        "SELECT c.host, idle FROM cpu AS c WHERE c.time > TIMESTAMP '2001-01-01' AND c.tag('host') = 'u'",
        "SELECT cpu.host, cpu.idle FROM cpu WHERE cpu.measurement = 'cpu'",
        "SELECT x.host, x.field('idle') AS idle FROM measurements('cp*') x",
    ] {
        assert_eq!(
            rows("tags = ['host']\nname = 'r'", query, &line),
            ["r,host=u idle=5 3"],
            "{query}"
        );
    }
    let query =
        "SELECT c.host, avg(c.idle) FROM cpu c GROUP BY time('10s'), c.host HAVING count(c.n) > 0";
    assert_eq!(rows("", query, &line), ["cpu_sql,host=u avg(idle)=5 0"]);
}

#[test]
fn a_source_is_joined_with_itself() {
    let query = "CREATE STREAM j AS SELECT a.v AS v, b.v AS before, a.v - b.v AS more FROM m a ASOF LEFT JOIN m b
                 MATCH_CONDITION (a.time > b.time) ON a.host = b.host";
    let lines = ["m,host=x v=1 0", "m,host=x v=4 2", "m,host=x v=9 5", "m,host=y v=7 5"];
    let expected = ["j v=1 0", "j v=4,before=1,more=3 2", "j v=9,before=4,more=5 5", "j v=7 5"];
    assert_eq!(rows("", query, &lines), expected);
}

#[test]
fn rows_go_into_windows_and_on_to_later_statements() {
    let mut s = stage(
        "",
        "CREATE STREAM load AS SELECT host, avg(v) AS v FROM cpu GROUP BY time('10s'), host;
         CREATE STREAM both AS SELECT l.host, l.v AS v, m.free AS free FROM load l ASOF LEFT JOIN mem m
           MATCH_CONDITION (l.time >= m.time) ON l.host = m.host;
         CREATE STREAM per_minute AS SELECT count(*) AS n, count(free) AS frees, sum(v) AS v FROM both GROUP BY time('1m');
         CREATE STREAM straight AS SELECT sum(c.v * m.free) AS x FROM cpu c JOIN mem m
           ON c.host = m.host AND m.time BETWEEN c.time - INTERVAL '2s' AND c.time GROUP BY time('1m')",
    );
    for second in 0..75 {
        let (cpu, mem) =
            (format!("cpu,host=a v={second} {second}"), format!("mem,host=a free=2 {second}"));
        s.feed(second, &[&cpu]);
        if second % 20 == 5 {
            s.feed(second, &[&mem]);
        }
        s.tick(second);
    }
    let of = |name: &str, s: &Stage| -> Vec<String> {
        let lines = s.made.iter().filter(|line| line.starts_with(&format!("{name} ")));
        lines.cloned().collect()
    };
    assert_eq!(of("both", &s).len(), 7);
    assert_eq!(of("per_minute", &s), ["per_minute n=6i,frees=5i,v=177 0"]);
    // Each of 5, 25 and 45 seconds with the points of that and the two seconds behind.
    let sum: i64 = [5, 25, 45].iter().map(|at| (at + at + 1 + at + 2) * 2).sum();
    assert_eq!(of("straight", &s), [format!("straight x={sum} 0")]);
    assert_eq!(s.metric("points_late"), 0);
    assert!(!s.made.iter().any(|line| line.contains('\0')));
    // What no other statement may see, none sees.
    let mut all = stage(
        "",
        "CREATE STREAM j AS SELECT a.v FROM a JOIN b ON b.time = a.time; CREATE STREAM c AS SELECT count(*) AS n FROM * GROUP BY time('10s')",
    );
    all.feed(0, &["a v=1 0", "b v=1 0"]);
    all.stop(0);
    assert_eq!(all.made, ["j v=1 0", "c n=3i 0"]);
}

#[test]
fn late_partners_are_counted_and_passed_on() {
    for (late, raw) in [("drop", &[][..]), ("pass", &["j_late,host=x w=9 2"][..])] {
        let mut s = stage(&format!("{LOOK}\nlate = '{late}'"), ASOF);
        s.feed(3, &["b,host=x w=1 1", "a,host=x v=1 3"]);
        assert_eq!(s.tick(5), ["j,host=x v=1,w=1 3"]);
        assert_eq!(s.feed(5, &["b,host=x w=9 2", "a,host=y v=1 5"]), raw);
        assert_eq!(s.metric("points_late"), 1);
        // It serves those that are yet to be answered. One that changes no answer is not late.
        s.feed(5, &["b,host=x w=8 1", "a,host=x v=2 5"]);
        assert_eq!(s.tick(7), ["j,host=x v=2,w=9 5"]);
        assert_eq!(s.metric("points_late"), 1, "{late}");
    }
    let refused = refused(&format!("query = '''{NEAR}'''\nlate = 'update'\ngrace = '1m'"));
    assert!(refused.message().contains("a join cannot take back the rows"), "{refused}");
}

#[test]
fn points_from_the_future_are_refused() {
    let mut s = stage("max_future = '5s'", NEAR);
    s.feed(0, &["a id=1i,v=1 6", "b id=1i,w=1 6"]);
    assert_eq!((s.metric("points_future"), s.stop(0)), (2, vec![]));
}

#[test]
fn a_source_that_lags_is_waited_for() {
    // The partners come from a source that is half a minute behind.
    let mut s = stage(LOOK, &left(ASOF));
    s.feed_from(40, 2, &["b,host=x w=1 10"]);
    s.feed_from(40, 1, &["a,host=x v=1 40", "a,host=y v=2 40"]);
    // No partner of this key ever came from there.
    assert_eq!(s.tick(42), ["j,host=y v=2 40"]);
    s.feed_from(44, 2, &["b,host=x w=2 39"]);
    assert_eq!(s.tick(45), [""; 0]);
    assert_eq!(s.feed_from(46, 2, &["b,host=x w=3 45"]), ["j,host=x v=1,w=2 40"]);
    assert_eq!(s.metric("points_late"), 0);

    // A source that falls silent is not.
    let mut s = stage(LOOK, &left(ASOF));
    s.feed_from(40, 2, &["b,host=x w=1 10"]);
    s.feed_from(40, 1, &["a,host=x v=1 40"]);
    s.ticks(41..45);
    assert_eq!(s.made, [""; 0]);
    assert_eq!(s.tick(45), ["j,host=x v=1,w=1 40"]);

    // The points come late, their partners in time: they are kept for them.
    let mut s = stage(&format!("{LOOK}\nmax_age = '5s'"), &left(ASOF));
    s.feed_from(40, 2, &["a,host=x v=0 10"]);
    for second in 40..44 {
        s.feed_from(second, 1, &[&format!("b,host=x w={second} {second}")]);
        s.feed_from(second + 10, 2, &[&format!("a,host=x v={second} {}", second - 20)]);
    }
    s.feed_from(54, 2, &["a,host=x v=7 43"]);
    s.stop(55);
    assert_eq!(s.made.last().unwrap(), "j,host=x v=7,w=43 43");
}

#[test]
fn windows_behind_a_join_wait_for_a_replay_that_has_no_points_for_a_while() {
    let query = "CREATE STREAM w AS SELECT count(*) AS n FROM a LEFT JOIN b ON b.time = a.time GROUP BY time('10s')";
    let mut s = stage("", query);
    s.feed(9000, &["a v=1 1"]);
    s.feed(9000, &["b v=1 5"]);
    s.tick(9000);
    s.feed(9001, &["a v=1 7", "b v=1 7"]);
    assert_eq!(s.feed(9002, &["b v=1 30"]), ["w n=2i 0"]);
    assert_eq!(s.metric("points_late"), 0);
}

#[test]
fn a_silent_side_stalls_nothing() {
    let mut s = stage("", &left(NEAR));
    for second in 0..20 {
        s.feed(second, &[&format!("a id={second}i,v=1 {second}")]);
        s.tick(second);
    }
    assert_eq!(s.made.len(), 13);
    assert_eq!(s.metric("points_held"), 7);
}

#[test]
fn batches_are_settled_once_when_their_points_are_done_with() {
    let mut s = stage(LOOK, &format!("{ASOF} AND b.time >= a.time - INTERVAL '10s'"));
    let partners = s.feed_watched(1, &["b,host=x w=1 0", "b,host=y w=1 1"]);
    let points = s.feed_watched(1, &["a,host=x v=1 1"]);
    let lonely = s.feed_watched(1, &["a,host=z v=1 1"]);
    let nobody = s.feed_watched(1, &["a v=1 1", "b w=1 1"]);
    let told = |list: &Arc<Mutex<Vec<Outcome>>>| list.lock().unwrap().clone();
    // What no key has is done with at once.
    assert_eq!(told(&nobody), [Outcome::Dropped]);
    assert_eq!((told(&partners), told(&points), told(&lonely)), (vec![], vec![], vec![]));
    s.tick(3);
    assert_eq!(s.made, ["j,host=x v=1,w=1 1"]);
    assert_eq!((told(&points).len(), told(&lonely).len(), told(&partners).len()), (1, 1, 0));
    s.ticks(4..30);
    assert_eq!(told(&partners), [Outcome::Dropped]);
    // The stop settles all.
    let last = s.feed_watched(30, &["a,host=x v=1 30", "b,host=x w=1 30"]);
    s.stop(30);
    assert_eq!(told(&last).len(), 1);
    s.tick(30);
    assert_eq!(s.metric("points_held"), 0);
}

#[test]
fn windows_behind_a_join_hold_its_points_deliveries() {
    let mut s = stage("", &NEAR.replace("a.id, a.v, b.w", "count(*) AS n").add_window());
    let told = s.feed_watched(0, &["a id=1i,v=1 0", "b id=1i,w=1 0"]);
    s.ticks(1..10);
    assert!(told.lock().unwrap().is_empty());
    assert_eq!(s.ticks(10..11), 0);
    assert_eq!(s.ticks(11..12), 1);
    s.ticks(12..400);
    assert_eq!(told.lock().unwrap().len(), 1);
}

trait AddWindow {
    fn add_window(&self) -> String;
}

impl AddWindow for String {
    fn add_window(&self) -> String {
        format!("{self} GROUP BY time('10s')")
    }
}

#[test]
fn points_and_keys_are_bounded() {
    let mut s = stage("max_rows = 3", NEAR);
    s.feed(1, &["b id=1i,w=1 0", "a id=1i,v=1 0", "b id=1i,w=2 1"]);
    // A fourth point: the oldest are answered early, and given up.
    let made = s.feed(1, &["a id=1i,v=2 1"]);
    assert_eq!((made.len(), s.metric("points_overflow"), s.metric("windows_early")), (2, 0, 1));
    s.feed(1, &["a id=1i,v=3 1"]);
    assert_eq!((s.metric("points_overflow"), s.metric("windows_early")), (1, 1));
    assert_eq!(s.stop(1), ["j id=1i,v=2,w=2 1", "j id=1i,v=3,w=2 1"]);

    // A long text counts as several points.
    let mut s = stage("max_rows = 10", "SELECT a.t, b.w FROM a JOIN b ON b.time = a.time");
    let long = format!("a t=\"{}\" 0", "x".repeat(3000));
    s.feed(0, &[&long]);
    s.feed(0, &["a t=\"y\" 0"]);
    assert_eq!(s.metric("windows_early"), 1);

    let mut s = stage(&format!("max_groups = 2\n{LOOK}"), &left(ASOF));
    s.feed(0, &["b,host=x w=1 0", "a,host=y v=1 0", "a,host=z v=1 0"]);
    assert_eq!(s.metric("points_overflow"), 1);
    // A key without points makes room.
    s.ticks(1..3);
    s.feed(3, &["a,host=z v=2 3"]);
    assert_eq!(s.stop(3), ["j,host=z v=2 3"]);
    let mut s = stage(&format!("max_groups = 2\noverflow = 'flush'\n{LOOK}"), &left(ASOF));
    let made = s.feed(0, &["a,host=x v=1 0", "a,host=y v=1 0", "a,host=z v=1 0"]);
    assert_eq!((made.len(), s.metric("points_overflow")), (2, 1));
}

#[test]
fn memory_comes_back() {
    let mut s = stage(&format!("{LOOK}\nmax_age = '5s'"), ASOF);
    s.ticks(0..1);
    let mut held = Vec::new();
    for second in 1..20 {
        for host in 0..500 {
            let key = format!("host={}", host + second * 100);
            s.feed(second, &[&format!("b,{key} w=1 {second}"), &format!("a,{key} v=1 {second}")]);
        }
        s.ticks_at(second);
        held.push(s.metric("state_bytes"));
    }
    assert!(s.metric("points_held") < 8 * 1000, "{}", s.metric("points_held"));
    assert!(held[18] < held[9] * 2, "{held:?}");
    s.ticks(20..80);
    assert_eq!((s.metric("points_held"), s.metric("groups")), (0, 0));
    assert!(s.metric("state_bytes") < 3000, "{}", s.metric("state_bytes"));
    s.feed(80, &["b,host=x w=1 80", "a,host=x v=1 80"]);
    assert_eq!(s.tick(82), ["j,host=x v=1,w=1 80"]);
}

#[test]
fn names_that_no_point_had_are_reported_as_written() {
    let mut s = stage("", "SELECT a.v, b.wrong FROM a JOIN b ON a.id = b.id AND b.time = a.time");
    s.feed(0, &["a id=1i,v=1 0", "b id=1i,wring=1 0"]);
    s.ticks(0..40);
    s.feed(40, &["a id=1i,v=1 40"]);
    let warnings = s.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains(
            "column 13: no point so far has a field or tag `wrong`; did you mean `wring`?"
        ),
        "{warnings:?}"
    );
}
