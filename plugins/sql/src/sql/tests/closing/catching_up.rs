//! Windows that a catching-up source has fed.

use super::*;

/// What a source an hour behind has fed waits until its event time is past the end and `delay` too:
/// at that very nanosecond.
#[test]
fn its_own_progress_closes_its_windows() {
    over(&ALL, "idle = '1m'", |c| {
        c.feed(0, 2, &[-3600]);
        let ready = c.end(-3600) + S;
        assert_eq!(c.at(S, 2, &[ready - 1]), []);
        assert_eq!(c.at(2 * S, 2, &[ready]), [(-3600, 2)]);
    });
    // The same, told without points.
    over(&ALL, "idle = '1m'", |c| {
        c.feed(0, 2, &[-3600]);
        let ready = c.end(-3600) + S;
        let progress = |time: i64| Control::Progress { origin: 2, time_ns: T * S + time };
        assert_eq!(c.control(S, progress(ready - 1)), []);
        assert_eq!(c.control(S, progress(ready)), [(-3600, 2)]);
    });
}

/// Every source that catches up counts, not only the one that fed the window.
#[test]
fn every_catching_up_source_is_waited_for() {
    over(&ALL, "idle = '1m'", |c| {
        c.feed(0, 2, &[-3600]);
        c.feed(0, 3, &[-7200]);
        c.feed(0, 4, &[-3600]);
        assert_eq!(c.feed(S, 2, &[-3580]), []);
        assert_eq!(c.feed(S, 4, &[-3580]), [], "the third may still feed it");
        assert_eq!(c.feed(S, 3, &[-3500]), [(-7200, 2), (-3600, 4)]);
    });
}

/// Once it has caught up it is live, and holds nothing.
#[test]
fn a_source_that_has_caught_up_holds_nothing() {
    over(&ALL, "idle = '1m'", |c| {
        c.feed(0, 3, &[-7200]);
        c.feed(0, 2, &[-3600]);
        c.control(S, Control::End { origin: 3 });
        assert_eq!(c.live(2, 0), [(-3600, 2)]);
        c.closes(c.end(0) + S, &[(0, 2)]);
    });
}

/// Or it has ended: of itself, or with all others.
#[test]
fn the_end_of_a_source_lets_go() {
    for origin in [2, 0] {
        over(&ALL, "", |c| {
            c.begin(0, 2);
            assert_eq!(c.feed(0, 2, &[-3600, -3500]), [(-3600, 2)]);
            assert_eq!(c.control(2 * S, Control::End { origin: 7 }), [], "another one");
            assert_eq!(c.control(2 * S, Control::End { origin }), [(-3500, 2)]);
        });
    }
}

/// Or it has been silent for `idle`, files as well; any sign of life begins that anew.
#[test]
fn silence_for_idle_lets_go() {
    for finite in [false, true] {
        over(&ALL, "idle = '8s'", |c| {
            if finite {
                c.begin(0, 2);
            }
            c.feed(0, 2, &[-3600]);
            c.control(5 * S, Control::Progress { origin: 2, time_ns: T * S - 7200 * S });
            c.closes(13 * S, &[(-3600, 2)]);
        });
        over(&ALL, "idle = '8s'", |c| {
            if finite {
                c.begin(0, 2);
            }
            c.feed(0, 2, &[-3600]);
            assert_eq!(c.control(S, Control::Idle { origin: 3 }), []);
            assert_eq!(c.control(S, Control::Idle { origin: 2 }), [(-3600, 2)], "it says so");
        });
    }
}

/// Points that the statement does not read are a sign of life, and progress, as well.
#[test]
fn points_of_others_are_progress() {
    over(&ALL, "idle = '8s'", |c| {
        c.feed(0, 2, &[-3600]);
        let other = |time: i64| {
            let mut builder = BatchBuilder::default();
            builder.point("other").field("a", 1.0).finish(T * S + time).unwrap();
            let mut batch = builder.finish().unwrap();
            batch.set_origin(2);
            batch
        };
        let (got, _) = c.s.sql.process(T * S + 5 * S, other(-3600 * S));
        assert!(got.points().is_empty());
        assert_eq!(c.tick(8 * S), [], "silent since 5");
        let (got, _) = c.s.sql.process(T * S + 9 * S, other(-3500 * S));
        assert_eq!(c.rows(&got.batches), [(-3600, 2)]);
    });
}

/// Or the window has been held for `hold`, which counts from when the clock would have closed it.
#[test]
fn a_window_is_held_no_longer_than_hold() {
    over(&ALL, "hold = '20s'", |c| {
        c.feed(0, 2, &[-3600]);
        for now in 1..20 {
            assert_eq!(c.at(now * S, 2, &[-3599 * S]), [], "{now}");
        }
        assert_eq!(c.at(20 * S - 1, 2, &[-3599 * S]), []);
        assert_eq!(c.at(20 * S, 2, &[-3599 * S]), [(-3600, 2 + 21)]);
    });
    // A window of the present that a source has fed which is some seconds behind.
    over(&ALL, "hold = '20s'\nidle = '1m'", |c| {
        c.feed(7 * S, 2, &[0]);
        let (end, ready) = (c.end(0), c.end(0) + S);
        c.tick(ready);
        assert_eq!(c.tick(end + 20 * S), []);
        c.closes(ready + 20 * S, &[(0, 2)]);
    });
}

/// A finite source, such as a file, is waited for without that bound.
#[test]
fn a_finite_source_is_waited_for_longer_than_hold() {
    over(&ALL, "hold = '20s'", |c| {
        c.begin(0, 2);
        c.feed(0, 2, &[-3600]);
        for now in 1..1000 {
            assert_eq!(c.feed(now * S, 2, &[-3600]), [], "{now}");
            if now % 3 == 0 {
                assert_eq!(c.tick(now * S), [], "{now}");
            }
        }
        assert_eq!(c.control(1000 * S, Control::End { origin: 2 }), [(-3600, 2000)]);
    });
}

/// `hold` bounds what others hold even while a file is read that has passed the window.
#[test]
fn a_file_that_is_past_a_window_does_not_lift_the_bound_for_others() {
    over(&ALL, "hold = '20s'", |c| {
        c.begin(0, 2);
        c.feed(0, 2, &[-3600]);
        c.feed(0, 3, &[-3600]);
        for now in 1..20 {
            c.feed(now * S, 2, &[-1000]);
            assert_eq!(c.at(now * S, 3, &[-3599 * S]), [], "{now}");
        }
        let rows = c.at(20 * S, 3, &[-3599 * S]);
        assert_eq!(rows.first(), Some(&(-3600, 4 + 20)));
    });
}

/// A file that begins again after its end is a source as before.
#[test]
fn a_source_may_end_and_begin_again() {
    over(&ALL, "", |c| {
        for (round, base) in [(0, -3600), (10, -3000), (20, -3300)] {
            c.begin(round * S, 2);
            assert_eq!(c.feed(round * S, 2, &[base]), []);
            assert_eq!(c.feed((round + 4) * S, 2, &[base]), []);
            assert_eq!(c.control((round + 8) * S, Control::End { origin: 2 }), [(base, 4)]);
        }
        assert_eq!(c.late(), 0);
    });
}
