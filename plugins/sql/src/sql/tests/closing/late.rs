//! Points for windows that were emitted.

use super::*;

/// `late = "drop"` counts them, and nothing more.
#[test]
fn drop_counts_late_points() {
    over(&APART, "late = 'drop'", |c| {
        c.live(1, 0);
        assert_eq!(c.tick(11 * S + 1), [(0, 2)]);
        assert_eq!(c.feed(14 * S, 1, &[0, 10]), []);
        assert_eq!((c.late(), c.tick(30 * S), c.stop(30 * S)), (2, vec![(10, 2)], vec![]));
        assert_eq!(c.s.metric("rows_emitted"), 2);
    });
}

/// `"pass"` sends them on raw, once each and at once, under the result's name with `_late` behind it,
/// and counts them.
#[test]
fn pass_sends_late_points_on_as_they_are() {
    for form in APART {
        let query = format!("CREATE STREAM s AS SELECT count(*) AS n FROM m GROUP BY {}", form.by);
        let mut s = stage("late = 'pass'", &query);
        s.feed(4, &["m a=1 1", "m a=1 4"]);
        assert_eq!(s.tick(12).len(), 1);
        let got = s.feed(
            14,
            &["m,h=x a=2,b=3i 1", "m c=\"t\",d=true 2", "m a=1 11", "other a=1 3", "m,h=x a=5 4"],
        );
        let mut late = got.clone();
        late.sort();
        let wanted = ["s_late c=\"t\",d=true 2", "s_late,h=x a=2,b=3i 1", "s_late,h=x a=5 4"];
        assert_eq!(late, wanted, "{}", form.by);
        assert_eq!((s.metric("points_late"), s.stop(14).len()), (3, 1), "{}", form.by);
    }
}

const UPDATE: &str = "late = 'update'\ngrace = '20s'";

/// `"update"` takes them until `grace` is over, counted from the emission, and sends the corrected row:
/// at its last nanosecond it does, behind it it does not.
#[test]
fn update_takes_late_points_until_grace_is_over() {
    over(&APART, UPDATE, |c| {
        c.live(1, 0);
        let emitted = c.end(0) + S;
        assert_eq!(c.tick(emitted), [(0, 2)]);
        assert_eq!(c.feed(emitted + 5 * S, 1, &[0]), []);
        // Points of a batch that follow closely are waited for, for `delay`.
        c.closes(emitted + 6 * S, &[(0, 4)]);
        assert_eq!(c.tick(emitted + 10 * S), [], "nothing changed");
        let mut rows = c.feed(emitted + 20 * S, 1, &[0]);
        rows.extend(c.tick(emitted + 20 * S));
        assert_eq!((rows, c.late()), (vec![(0, 6)], 0), "the last nanosecond");
        assert_eq!(c.feed(emitted + 20 * S + 1, 1, &[0]), []);
        assert_eq!((c.late(), c.tick(emitted + 40 * S)), (2, vec![]));
        assert_eq!(c.open(), 0);
        assert_eq!((c.feed(emitted + 41 * S, 1, &[0]), c.late()), (vec![], 4));
    });
}

/// Points that come while a window is still open are no late ones: one row holds them all.
#[test]
fn update_sends_one_row_if_nothing_is_late() {
    over(&ALL, UPDATE, |c| {
        for base in (0..200).step_by(10) {
            let rows = c.live(1, base);
            assert!(base == 0 || rows == [(base - 10, 2)], "{base}: {rows:?}");
        }
        assert_eq!(c.tick(300 * S), [(190, 2)]);
        assert_eq!((c.stop(300 * S), c.late()), (vec![], 0));
        c.tick(400 * S);
        assert_eq!(c.open(), 0);
    });
}

/// Late points whose correction is not sent yet are in a row by the orderly stop.
#[test]
fn update_sends_what_is_owed_at_the_stop() {
    over(&APART, UPDATE, |c| {
        c.live(1, 0);
        c.live(1, 10);
        c.tick(c.end(10) + S);
        c.feed(24 * S, 1, &[0, 20]);
        assert_eq!(c.stop(24 * S), [(0, 4), (20, 2)]);
        assert_eq!((c.late(), c.stop(25 * S)), (0, vec![]));
    });
}

/// The corrected row is that of all points of the window, for any aggregate: as if none had been late.
#[test]
fn the_corrected_row_is_the_row_of_all_points() {
    let columns = "host, count(*) AS n, sum(x) AS s, min(x) AS lo, max(x) AS hi, first(x) AS f,
                   last(x) AS l, avg(x) AS a, stddev(x) AS d, median(x) AS m, count(DISTINCT x) AS u";
    for by in ["time('10s')", "hop('10s', '10s')", "hop('5s', '10s')", "session('30s')"] {
        let query = format!("CREATE STREAM s AS SELECT {columns} FROM m GROUP BY {by}, host");
        let mut random = Random(77);
        let lines: Vec<String> = (0..300)
            .map(|_| {
                let (host, second) = (random.below(3), random.below(10));
                format!("m,host=h{host} x={}i {second}", random.below(40))
            })
            .collect();
        let mut at_once = stage("", &query);
        at_once.feed(9, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        at_once.stop(9);
        let mut s = stage("late = 'update'\ngrace = '10m'\nidle = '1s'", &query);
        for (at, part) in (0..).zip(lines.chunks(23)) {
            // The first part comes in time, all others when the row was sent.
            let now = if at == 0 { 9 } else { 60 + at * 3 };
            s.feed(now, &part.iter().map(String::as_str).collect::<Vec<_>>());
            s.tick(now + 1);
        }
        s.stop(200);
        // The last row of a series and time counts.
        let mut last = std::collections::BTreeMap::new();
        for line in &s.made {
            let (series, time) =
                (line.split(' ').next().unwrap(), line.rsplit(' ').next().unwrap());
            last.insert((series.to_owned(), time.to_owned()), line.clone());
        }
        let last: Vec<String> = last.into_values().collect();
        assert!(s.made.len() > last.len() * 5, "{by}");
        assert_eq!(rounded(&last), rounded(&at_once.made), "{by}");
        assert_eq!(s.metric("points_late"), 0, "{by}");
    }
}

/// An older window that never was emitted is not late, whatever the policy: it opens.
#[test]
fn an_older_window_that_never_was_emitted_is_not_late() {
    for options in ["late = 'drop'", "late = 'pass'", UPDATE] {
        over(&APART, options, |c| {
            c.live(1, 0);
            assert_eq!(c.live(1, 100), [(0, 2)]);
            assert_eq!(c.tick(c.end(100) + S), [(100, 2)]);
            c.feed(120 * S, 2, &[50, -3600]);
            let made = c.stop(126 * S);
            assert_eq!((made.contains(&(50, 2)), c.late()), (true, 0));
        });
    }
}

/// A late point whose source is behind is as late as any.
#[test]
fn a_replay_of_emitted_windows_is_late() {
    over(&APART, "", |c| {
        for base in (0..100).step_by(10) {
            c.live(1, base);
        }
        assert_eq!(c.tick(111 * S).len(), 1);
        c.begin(112 * S, 7);
        let bases: Vec<i64> = (0..100).step_by(10).collect();
        assert_eq!(c.feed(112 * S, 7, &bases), []);
        assert_eq!((c.control(113 * S, Control::End { origin: 7 }), c.late()), (vec![], 20));
        assert_eq!(c.open(), 0);
    });
}
