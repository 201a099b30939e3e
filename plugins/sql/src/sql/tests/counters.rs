//! Counters across windows: what they went up by, with resets, late windows and restarts.

use super::*;

const QUERY: &str =
    "SELECT host, increase(v) AS up, rate(v) AS rate FROM m GROUP BY time('10s'), host";

#[test]
fn windows_go_on_from_the_one_before() {
    let mut s = stage("", QUERY);
    let mut made = s.feed(0, &["m,host=a v=10i 1", "m,host=a v=14i 6", "m,host=b v=1i 6"]);
    // It is reset between 14 and 3.
    made.extend(s.feed(12, &["m,host=a v=3i 12", "m,host=b v=5i 16"]));
    made.extend(s.feed(31, &["m,host=b v=5i 26"]));
    made.extend(s.stop(40));
    assert_eq!(
        made,
        [
            "m_sql,host=a up=4i,rate=0.8 0",
            "m_sql,host=a up=3i,rate=0.5 10",
            "m_sql,host=b up=4i,rate=0.4 10",
            "m_sql,host=b up=0i,rate=0 20",
        ]
    );
}

#[test]
fn each_series_counts_for_itself() {
    let mut s = stage("", "SELECT increase(v) AS up FROM m GROUP BY time('10s')");
    let mut made = s.feed(0, &["m,host=a v=100i 1", "m,host=b v=7i 2", "m,host=a v=101i 3"]);
    made.extend(s.feed(12, &["m,host=b v=9i 12", "m,host=a v=104i 13"]));
    made.extend(s.stop(20));
    assert_eq!(made, ["m_sql up=1i 0", "m_sql up=5i 10"]);
}

#[test]
fn windows_that_overlap_begin_before_their_start() {
    let mut s = stage("", "SELECT increase(v) AS up FROM m GROUP BY hop('10s', '20s')");
    let mut made = Vec::new();
    for (now, value) in [(5, 1), (15, 3), (25, 7), (35, 15), (45, 31)] {
        made.extend(s.feed(now, &[format!("m v={value}i {now}").as_str()]));
    }
    assert_eq!(made, ["m_sql up=2i 0", "m_sql up=6i 10", "m_sql up=12i 20"]);
}

#[test]
fn a_window_that_overtakes_another_goes_on_from_it() {
    for (window, on_time, at_the_end) in [
        ("time('10s')", &["m_sql up=11i 40"][..], &["m_sql up=8i 10"][..]),
        ("hop('10s', '20s')", &["m_sql up=11i 30"], &["m_sql up=8i 0", "m_sql up=8i 10"]),
    ] {
        let mut s = stage("", &format!("SELECT increase(v) AS up FROM m GROUP BY {window}"));
        s.feed(5, &["m v=1i 5"]);
        assert_eq!(s.tick(11), [""; 0]);
        // Another connection brings what was kept, and is not yet through.
        s.feed_from(40, 2, &["m v=4i 15", "m v=9i 18"]);
        s.feed(41, &["m v=20i 40"]);
        for now in [44, 48] {
            assert_eq!(s.feed_from(now, 2, &["m v=9i 19"]), [""; 0], "{window}");
        }
        assert_eq!(s.tick(51), on_time, "{window}");
        assert_eq!(s.control(52, Control::End { origin: 2 }), at_the_end, "{window}");
    }
}
