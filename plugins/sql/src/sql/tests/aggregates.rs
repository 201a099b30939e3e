//! Aggregates from end to end: filters, distinct values, sketches, states.

use super::*;

/// The one row of a window of ten seconds that holds these points, without time.
fn one(select: &str, lines: &[&str]) -> String {
    let mut s =
        stage("", &format!("CREATE STREAM w AS SELECT {select} FROM m GROUP BY time('10s')"));
    s.feed(9, lines);
    let made = s.stop(9);
    assert_eq!(made.len(), 1, "{made:?}");
    made[0].trim_start_matches("w ").trim_end_matches(" 0").to_owned()
}

#[test]
fn filters_choose_the_points_of_each_aggregate() {
    let lines = [
        "m,host=a x=1i,code=200i 0",
        "m,host=a x=2i,code=500i 1",
        "m,host=b x=30i,code=503i 2",
        "m,host=b code=200i 3",
        "m,host=c x=7i 4",
    ];
    let check =
        |select: &str, expected: &str| assert_eq!(one(select, &lines), expected, "{select}");
    check("count(*) AS n, count(*) FILTER (WHERE code >= 500) AS errors", "n=5i,errors=2i");
    check("count(x) FILTER (WHERE code = 200) AS n", "n=1i");
    check("sum(x) FILTER (WHERE host = 'a') AS a, sum(x) AS s", "a=3i,s=40i");
    check("avg(x) FILTER (WHERE code > 0 AND x > 1) AS a", "a=16");
    // Where the condition is NULL it does not hold.
    check("count(*) FILTER (WHERE NOT code = 200) AS n", "n=2i");
    check("count(*) FILTER (WHERE code IS NULL) AS n", "n=1i");
    check("max(host) FILTER (WHERE x < 10) AS h, 1 AS one", "h=\"c\",one=1i");
    check("max(x) FILTER (WHERE false) AS x, count(*) FILTER (WHERE false) AS n", "n=0i");
    check("sum(2) FILTER (WHERE host <> 'a') AS s", "s=6i");
    check("median(x) FILTER (WHERE host = 'a') AS m", "m=1.5");
    check("last(x) FILTER (WHERE host IN ('a', 'b')) AS l, any_value(host) AS h", "l=30i,h=\"a\"");
    check("count(*) FILTER (WHERE code >= 500) * 100 / count(code) AS percent", "percent=50i");
    check("count(DISTINCT host) FILTER (WHERE code IS NOT NULL) AS hosts", "hosts=2i");
}

#[test]
fn failures_where_a_filter_does_not_hold_are_none() {
    let query =
        "SELECT sum(10 / x) FILTER (WHERE x <> 0) AS s, count(*) AS n FROM m GROUP BY time('10s')";
    let mut s = stage("", query);
    s.feed(0, &["m x=0i 0", "m x=5i 0"]);
    assert_eq!(s.stop(0), ["m_sql s=2i,n=2i 0"]);
    assert_eq!(s.metric("failures_division_by_zero"), 0);
}

#[test]
fn having_filters_aggregates_with_filters() {
    let mut s = stage(
        "",
        "SELECT host, count(*) AS n FROM m GROUP BY time('10s'), host
         HAVING count(*) FILTER (WHERE bad) > 1",
    );
    s.feed(
        0,
        &[
            "m,host=a bad=true 0",
            "m,host=a bad=false 0",
            "m,host=b bad=true 0",
            "m,host=b bad=true 1",
        ],
    );
    assert_eq!(s.stop(1), ["m_sql,host=b n=2i 0"]);
}

#[test]
fn distinct_values() {
    let lines = [
        "m,host=a x=1i,t=\"p\" 0",
        "m,host=b x=1,t=\"q\" 1",
        "m,host=a x=2i,t=\"p\",on=true 2",
        "m,host=a x=4.5,t=\"\",on=false 3",
        "m,host=c y=1i 4",
    ];
    let check =
        |select: &str, expected: &str| assert_eq!(one(select, &lines), expected, "{select}");
    check(
        "count(DISTINCT x) AS x, count(DISTINCT t) AS t, count(DISTINCT host) AS h",
        "x=3i,t=3i,h=3i",
    );
    check(
        "count(DISTINCT on) AS o, count(DISTINCT zone) AS z, count(DISTINCT time) AS s",
        "o=2i,z=0i,s=5i",
    );
    check("count(DISTINCT x + 1) AS n", "n=3i");
    check("sum(DISTINCT x) AS s, sum(x) AS all, avg(DISTINCT x) AS a", "s=7.5,all=8.5,a=2.5");
    check("min(DISTINCT x) AS lo, max(DISTINCT t) AS hi", "lo=1,hi=\"q\"");
    check("median(DISTINCT x) AS m, median(x) AS all", "m=2,all=1.5");
    check("approx_distinct(DISTINCT host) AS a, approx_distinct(x) AS x", "a=3i,x=3i");
    check("sum(DISTINCT y) AS y", "y=1i");
    check("stddev_pop(DISTINCT y) AS d, spread(DISTINCT x) AS s", "d=0,s=3.5");
}

#[test]
fn a_column_may_be_called_user() {
    assert_eq!(one("max(user) AS u, count(DISTINCT user) AS n", &["m user=5i 0"]), "u=5i,n=1i");
    let mut s = stage("", "SELECT user FROM m WHERE user > 1");
    assert_eq!(s.feed(0, &["m user=5i 0"]), ["m_sql user=5i 0"]);
}

#[test]
fn distinct_values_by_group_and_window() {
    let mut s =
        stage("", "SELECT host, count(DISTINCT user) AS users FROM m GROUP BY time('10s'), host");
    for second in 0..30 {
        let lines: Vec<String> = (0..40)
            .map(|n| format!("m,host=h{} user={}i {second}", n % 3, n * (second / 10 + 1) % 17))
            .collect();
        s.feed(second, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        s.tick(second);
    }
    s.stop(30);
    assert_eq!(s.made.len(), 9);
    assert!(s.made.iter().all(|line| line.contains("users=1")), "{:?}", s.made);
}

#[test]
fn too_many_distinct_values_are_null_and_counted() {
    let mut s = stage(
        "distinct_bytes = '16KiB'",
        "SELECT host, count(DISTINCT user) AS users, count(*) AS n FROM m GROUP BY time('10s'), host",
    );
    for part in 0..20 {
        let mut lines: Vec<String> =
            (0..100).map(|n| format!("m,host=big user={}i 0", part * 100 + n)).collect();
        lines.push(format!("m,host=small user={}i 0", part % 4));
        s.feed(0, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
    assert_eq!(s.stop(0), ["m_sql,host=big n=2000i 0", "m_sql,host=small users=4i,n=20i 0"]);
    assert_eq!(s.metric("failures_room"), 1);
}

#[test]
fn quantiles_and_medians() {
    let lines: Vec<String> = (1..=1000).map(|n| format!("m x={n}i,y={}.5 5", n % 2)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let row = one(
        "quantile(x, 0) AS q0, quantile(x, 0.5) AS q50, quantile(x, 0.99) AS q99, quantile(x, 1) AS q100,
         median(x) - quantile(x, 0.50) AS none, median(y) AS y, median(z) AS z",
        &lines,
    );
    let value = |name: &str| -> f64 {
        let (_, rest) = row.split_once(&format!("{name}=")).unwrap();
        rest.split(',').next().unwrap().parse().unwrap()
    };
    assert_eq!((value("q0"), value("q100"), value("none")), (1.0, 1000.0, 0.0));
    assert!((value("q50") / 500.5 - 1.0).abs() < 0.01, "{row}");
    assert!((value("q99") / 990.01 - 1.0).abs() < 0.01, "{row}");
    assert!(!row.contains(",z="), "{row}");
    assert_eq!(one("median(x) AS m, median(t) AS t", &["m x=1i,t=\"a\" 0", "m x=4 1"]), "m=2.5");
}

#[test]
fn first_and_last_resolve_equal_times_to_the_greatest_value() {
    for lines in [["m x=1i 3", "m x=9i 3", "m x=5i 3"], ["m x=9i 3", "m x=5i 3", "m x=1i 3"]] {
        assert_eq!(one("first(x) AS f, last(x) AS l, any_value(x) AS a", &lines), "f=9i,l=9i,a=9i");
    }
}

#[test]
fn spreads_of_times_are_lengths() {
    let lines = ["m x=1i 3", "m x=1i 8"];
    assert_eq!(one("spread(time) AS s", &lines), "s=5000000000i");
    assert_eq!(one("spread(DISTINCT time) AS s", &lines), "s=5000000000i");
}

/// Points of one window, the same in each run.
fn load() -> Vec<String> {
    let mut random = Random(12);
    (0..3_000)
        .map(|n| {
            let (host, second) = (random.below(3), random.below(10));
            let x = random.below(100_000) as f64 / 7.0 - 2_000.0;
            let user = random.below(900);
            format!("m,edge=e{},host=h{host} x={x:?},user={user}i,n={}i {second}", n % 10, n % 100)
        })
        .collect()
}

/// Each edge computes states of its points; the centre's merge is what one machine would have.
#[test]
fn states_of_edges_merge_at_the_centre_to_the_whole() {
    let functions = [
        ("count", "n"),
        ("sum", "n"),
        ("sum", "x"),
        ("avg", "x"),
        ("min", "x"),
        ("max", "n"),
        ("first", "x"),
        ("last", "x"),
        ("stddev", "x"),
        ("variance", "n"),
        ("spread", "x"),
        ("any_value", "host"),
        ("median", "x"),
        ("approx_distinct", "user"),
        ("approx_distinct", "host"),
    ];
    let list = |column: &dyn Fn(usize, &str, &str) -> String| {
        let columns = functions.iter().enumerate();
        columns.map(|(at, (f, x))| column(at, f, x)).collect::<Vec<_>>().join(", ")
    };
    let whole = list(&|at, f, x| format!("{f}({x}) AS c{at}"));
    let partial = list(&|at, f, x| format!("partial({f}({x})) AS c{at}"));
    let merge = list(&|at, f, _| format!("merge({f}, c{at}) AS c{at}"));
    let group = "GROUP BY time('10s'), host";
    let lines = load();
    let mut expected = stage(
        "",
        &format!(
            "CREATE STREAM w AS SELECT host, {whole}, quantile(x, 0.9) AS q, count(*) AS rows FROM m {group}"
        ),
    );
    expected.feed(9, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    expected.stop(9);
    // All edges in one stage and the centre behind it, in one chain.
    let mut s = stage(
        "",
        &format!(
            "CREATE STREAM states AS SELECT edge, host, {partial}, partial(quantile(x, 0.5)) AS q,
             partial(count(*)) AS rows FROM m GROUP BY time('10s'), edge, host;
             CREATE STREAM w AS SELECT host, {merge}, merge(quantile, q, 0.9) AS q,
             merge(count, rows) AS rows FROM states {group}"
        ),
    );
    for part in lines.chunks(97) {
        s.feed(9, &part.iter().map(String::as_str).collect::<Vec<_>>());
    }
    s.stop(9);
    let rows: Vec<String> = s.made.iter().filter(|line| line.starts_with("w,")).cloned().collect();
    assert_eq!(s.made.len(), 33);
    assert_eq!(rounded(&rows), rounded(&expected.made));
    assert_eq!(s.metric("failures_state"), 0);
}

#[test]
fn states_of_merged_states() {
    let lines = load();
    let query = "CREATE STREAM a AS SELECT edge, host, partial(quantile(x, 0.5)) AS s FROM m GROUP BY time('10s'), edge, host;
         CREATE STREAM b AS SELECT host, partial(merge(quantile, s, 0.1)) AS s FROM a GROUP BY time('10s'), host;
         CREATE STREAM w AS SELECT merge(quantile, s, 0.25) AS q FROM b GROUP BY time('10s')";
    let mut s = stage("", query);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    s.feed(9, &lines);
    s.stop(9);
    let expected = one("quantile(x, 0.25) AS q", &lines);
    assert_eq!(s.made.last().unwrap(), &format!("w {expected} 0"));
}

#[test]
fn broken_states_are_null_and_counted() {
    let mut s = stage(
        "",
        "SELECT merge(avg, s) AS a, merge(max, s) AS m, merge(median, n) AS q, count(*) AS n
         FROM m GROUP BY time('10s')",
    );
    s.feed(
        0,
        &[
            "m s=\"oQIDAQEAAAAAAAD4PwAAAAAAAAAAAQPeR2h-\" 0",
            "m s=\"oQIDAQEAAAAAAAD4PwAAAAAAAAAAAQPeR2hA\" 0",
            "m s=\"\" 0",
            "m s=\"hello\" 0",
            "m n=5i 0",
        ],
    );
    assert_eq!(s.stop(0), ["m_sql a=-0.25,n=5i 0"]);
    assert_eq!(s.metric("failures_state"), 3 + 4 + 1);
}

#[test]
fn aggregates_depend_on_neither_batches_nor_order() {
    let query = "CREATE STREAM w AS SELECT host, median(x) AS m, quantile(x, 0.99) AS q, approx_distinct(user) AS a,
         count(DISTINCT user) AS c, sum(DISTINCT n) AS s, avg(x) FILTER (WHERE n > 50) AS f,
         any_value(x) AS v, partial(approx_distinct(x)) AS p, partial(max(x)) AS g
         FROM m GROUP BY time('10s'), host";
    let mut lines = load();
    let mut expected = None;
    for size in [3_000, 1_000, 64, 7] {
        let mut random = Random(size);
        for at in (1..lines.len()).rev() {
            lines.swap(at, random.below(at as u64 + 1) as usize);
        }
        let mut s = stage("", query);
        for part in lines.chunks(size as usize) {
            s.feed(9, &part.iter().map(String::as_str).collect::<Vec<_>>());
        }
        s.stop(9);
        let made = rounded(&s.made);
        assert_eq!(made.len(), 3);
        assert_eq!(&made, expected.get_or_insert_with(|| made.clone()), "{size}");
    }
}

#[test]
fn state_is_told_in_bytes_with_what_lies_behind_groups() {
    let query = "SELECT host, median(x) AS m, count(DISTINCT user) AS c, max(t) AS t FROM m GROUP BY time('10s'), host";
    let mut s = stage("", query);
    s.tick(0);
    let text = "x".repeat(50_000);
    let lines = [format!("m,host=a t=\"{text}\" 0"), format!("m,host=b t=\"{text}\" 0")];
    s.feed(0, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    s.tick(0);
    assert!(s.metric("state_bytes") > 100_000, "{}", s.metric("state_bytes"));
    let before = s.metric("state_bytes");
    let lines: Vec<String> = (0..10_000).map(|n| format!("m,host=a x={n}i,user={n}i 0")).collect();
    s.feed(0, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    s.tick(0);
    assert!(s.metric("state_bytes") > before + 200_000, "{}", s.metric("state_bytes"));
}
