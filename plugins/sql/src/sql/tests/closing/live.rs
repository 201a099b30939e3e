//! Windows of live sources.

use super::*;

/// A window closes once the clock is past its end and `delay`: at that very nanosecond.
#[test]
fn the_clock_closes_a_window_at_its_end_and_delay() {
    for (delay, options) in [(0, "delay = '0s'"), (S, ""), (30 * S, "delay = '30s'")] {
        over(&ALL, options, |c| {
            c.live(1, 0);
            c.closes(c.end(0) + delay, &[(0, 2)]);
            assert_eq!((c.tick(3600 * S), c.late()), (vec![], 0));
        });
    }
}

/// Windows are half-open and aligned to the epoch: what comes at the end belongs to the next one, and
/// before 1970 they lie on the same grid.
#[test]
fn windows_are_half_open_and_aligned_to_the_epoch() {
    for (by, size, slide) in
        [("time('7s')", 7, 7), ("hop('7s', '7s')", 7, 7), ("hop('3s', '7s')", 7, 3)]
    {
        let mut s = stage(
            "max_future = '1000000h'",
            &format!("SELECT count(*) AS n, min(a) AS low, max(a) AS high FROM m GROUP BY {by}"),
        );
        let mut builder = BatchBuilder::default();
        for around in [-14, -7, 0, 7, 14] {
            for beside in [-1, 0, 1] {
                let time = around * S + beside;
                builder.point("m").field("a", time).finish(time).unwrap();
            }
        }
        let (first, result) = s.sql.process(0, builder.finish().unwrap());
        result.unwrap();
        let (rest, result) = s.sql.control(0, Control::Stop);
        result.unwrap();
        let mut inside = 0;
        let batches = first.batches.iter().chain(&rest.batches);
        for point in batches.flat_map(|batch| batch.points()) {
            let int = |name: &str| match point.field(name) {
                Some(headwater_plugin_api::batch::Value::I64(value)) => value,
                _ => panic!("no {name}"),
            };
            let start = point.time();
            assert_eq!(start.rem_euclid(slide * S), 0, "{by}");
            assert!(int("low") >= start && int("high") < start + size * S, "{by}: {start}");
            inside += int("n");
        }
        // Each point is in each window that holds it, and no other.
        let windows = |time: i64| {
            let first = (time - size * S).div_euclid(slide * S) + 1;
            time.div_euclid(slide * S) - first + 1
        };
        let wanted: i64 = [-14, -7, 0, 7, 14]
            .iter()
            .flat_map(|around| [-1, 0, 1].map(|beside| windows(around * S + beside)))
            .sum();
        assert_eq!(inside, wanted, "{by}");
    }
}

/// Event time decides the window, not when or in which order points come.
#[test]
fn event_time_decides_the_window() {
    over(&ALL, "delay = '1h'", |c| {
        c.feed(14 * S, 1, &[10, 0, 10]);
        c.feed(25 * S, 1, &[20, 0, -20]);
        c.feed(25 * S, 2, &[10]);
        assert_eq!(c.stop(26 * S), [(-20, 2), (0, 4), (10, 6), (20, 2)]);
    });
}

/// A source is live when its latest points came within `delay` of their event time: with exactly
/// `delay` it is, and nothing waits for it; a nanosecond more and it catches up, and is waited for.
#[test]
fn live_is_who_comes_within_delay() {
    over(&ALL, "delay = '3s'\nidle = '1m'", |c| {
        c.at(7 * S, 1, &[S, 4 * S]);
        c.closes(c.end(0) + 3 * S, &[(0, 2)]);
    });
    over(&ALL, "delay = '3s'\nidle = '1m'", |c| {
        c.at(7 * S + 1, 1, &[S, 4 * S]);
        assert_eq!(c.tick(c.end(0) + 3 * S), []);
        c.closes(67 * S + 1, &[(0, 2)]);
    });
}

/// The latest points decide: a live source that sends something old as well stays live.
#[test]
fn the_latest_point_of_a_batch_tells_whether_its_source_is_live() {
    over(&ALL, "", |c| {
        // Nobody who catches up has fed either.
        assert_eq!(c.feed(4 * S, 1, &[-1000, 0]), [(-1000, 2)]);
        c.closes(c.end(0) + S, &[(0, 2)]);
    });
}

/// A silent source stalls nothing, live as it was, whoever else goes on.
#[test]
fn a_silent_live_source_stalls_nothing() {
    over(&ALL, "", |c| {
        c.live(1, -20);
        c.live(2, -20);
        assert_eq!(c.live(1, 0), [(-20, 4)]);
        c.closes(c.end(0) + S, &[(0, 2)]);
    });
}

/// Nor does one that was catching up when it fell silent, beyond `idle`.
#[test]
fn a_silent_source_that_was_behind_stalls_nothing() {
    over(&ALL, "", |c| {
        c.feed(4 * S, 2, &[-3600]);
        c.live(1, 0);
        // It holds its own window for `idle`, the live one not at all.
        c.closes(9 * S, &[(-3600, 2)]);
        c.closes(c.end(0) + S, &[(0, 2)]);
    });
}

/// A live source's window waits for no one: neither for a source that is behind but has not fed it,
/// nor for a file that was announced.
#[test]
fn who_has_not_fed_a_window_does_not_hold_it() {
    over(&ALL, "", |c| {
        c.begin(0, 3);
        c.feed(3 * S, 2, &[-3600]);
        c.live(1, 0);
        c.feed(8 * S, 2, &[-3600]);
        c.closes(c.end(0) + S, &[(0, 2)]);
    });
}

/// Empty windows emit nothing: neither those without a point, nor those whose points the statement
/// does not read.
#[test]
fn empty_windows_emit_nothing() {
    over(&ALL, "", |c| {
        c.live(1, 0);
        let rows = c.live(1, 100);
        assert_eq!(rows, [(0, 2)]);
        assert_eq!(c.tick(200 * S), [(100, 2)]);
        assert_eq!(c.s.metric("rows_empty"), 0);
    });
    for form in ALL {
        let query = format!("SELECT count(*) AS n FROM m WHERE a > 5 GROUP BY {}", form.by);
        let mut s = stage("", &query);
        s.feed(0, &["m a=1 0", "other a=9 0"]);
        s.tick(0);
        assert_eq!(s.metric("windows_open"), 0, "{}", form.by);
        assert_eq!((s.tick(100), s.stop(100)), (vec![], vec![]), "{}", form.by);
    }
}
