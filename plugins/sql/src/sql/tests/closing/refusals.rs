//! Every point is in a row, or refused and counted by its reason.

use super::*;

fn refused(s: &Stage) -> [u64; 4] {
    ["points_late", "points_future", "points_overflow", "points_no_window"]
        .map(|name| s.metric(name))
}

/// One point for each reason, in one batch with points that are taken, for each form.
#[test]
fn each_reason_has_its_counter() {
    for form in APART {
        let query =
            format!("CREATE STREAM s AS SELECT h, count(*) AS n FROM m GROUP BY {}, h", form.by);
        let mut s = stage("max_groups = 2", &query);
        s.feed(4, &["m,h=a a=1 1", "m,h=a a=1 4"]);
        assert_eq!(
            s.tick(12),
            ["s,h=a n=2i ".to_owned() + if form.length == 10 * S { "0" } else { "1" }]
        );
        s.feed(14, &["m,h=a a=1 14", "m,h=b a=1 13"]);
        assert_eq!(refused(&s), [0; 4]);
        s.feed(
            14,
            &["m,h=a a=1 3", "m,h=b a=1 999", "m,h=c a=1 14", "m,h=a a=1 15", "n,h=z a=1 3"],
        );
        assert_eq!(refused(&s), [1, 1, 1, 0], "{}", form.by);
        assert_eq!(s.stop(15).len(), 2);
    }
}

/// Rows of so many points refuse what lies ahead, and groups beyond the bound; nothing is late.
#[test]
fn rows_refuse_the_future_and_too_many_groups() {
    let mut s = stage("max_groups = 2", "SELECT h, count(*) AS n FROM m GROUP BY rows(2), h");
    s.feed(0, &["m,h=a a=1 0", "m,h=a a=1 -9999", "m,h=b a=1 0", "m,h=b a=1 61"]);
    s.feed(0, &["m,h=c a=1 0", "m,h=d a=1 0"]);
    assert_eq!(refused(&s), [0, 1, 1, 0]);
}

/// Whatever comes, from whomever, with any bound hit: the points that rows count and the refused ones
/// are all.
#[test]
fn points_in_rows_and_refused_ones_are_all() {
    for form in ["time('10s')", "hop('10s', '10s')", "session('6s')", "rows(5)"] {
        for (seed, options) in (1..).zip([
            "",
            "max_groups = 3",
            "max_groups = 3\noverflow = 'flush'",
            "delay = '0s'\nhold = '1s'",
            "delay = '1m'\nmax_future = '1s'",
            "late = 'pass'\nmax_groups = 4\noverflow = 'flush'",
        ]) {
            let query =
                format!("CREATE STREAM s AS SELECT h, count(*) AS n FROM m GROUP BY {form}, h");
            let mut s = stage(options, &query);
            let mut random = Random(seed * 1001);
            let mut fed = 0;
            for step in 0..300 {
                let now = step / 2 + if random.below(40) == 0 { 500 } else { 0 };
                let behind = [0, 0, 5, 100, 3600][random.below(5) as usize];
                let lines: Vec<String> = (0..random.below(30))
                    .map(|_| {
                        let second =
                            now - behind - random.below(12) as i64 + random.below(3) as i64;
                        let second = if random.below(60) == 0 { 1 << 31 } else { second };
                        format!("m,h=h{} a=1 {second}", random.below(6))
                    })
                    .collect();
                if lines.is_empty() {
                    continue;
                }
                fed += lines.len() as u64;
                let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                s.feed_from(now, random.below(4), &lines);
                if random.below(3) == 0 {
                    s.tick(now);
                }
            }
            s.stop(2000);
            let n = |line: &String| line.split("n=").nth(1)?.split('i').next()?.parse::<u64>().ok();
            let rows = s.made.iter().filter(|line| line.starts_with("s,"));
            let counted: u64 = rows.filter_map(n).sum();
            let refused = refused(&s);
            let passed = s.made.iter().filter(|line| line.starts_with("s_late,")).count() as u64;
            assert_eq!(counted + refused.iter().sum::<u64>(), fed, "{form} {options}: {refused:?}");
            assert_eq!(passed, if options.contains("pass") { refused[0] } else { 0 }, "{form}");
            assert!(refused[1] > 0 && (refused[0] > 0 || form == "rows(5)"), "{form} {refused:?}");
        }
    }
}
