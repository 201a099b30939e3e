//! Points from the future, and clocks that step.

use super::*;

const YEAR_2093: i64 = 70 * 365 * 86_400;

/// A point from the year 2093 closes nothing: no window, no source's catching up; it is refused and
/// counted, alone or among others, and the others count.
#[test]
fn a_point_from_2093_closes_nothing() {
    over(&ALL, "", |c| {
        assert_eq!(c.at(4 * S, 1, &[S, YEAR_2093 * S, 4 * S]), []);
        assert_eq!(c.at(5 * S, 1, &[YEAR_2093 * S]), []);
        assert_eq!(c.at(6 * S, 9, &[i64::MAX - T * S, YEAR_2093 * S]), []);
        c.closes(c.end(0) + S, &[(0, 2)]);
        // A source that is behind does not look as if it had caught up.
        c.feed(20 * S, 2, &[-3600]);
        assert_eq!(c.at(21 * S, 2, &[-3599 * S, YEAR_2093 * S]), []);
        c.closes(26 * S, &[(-3600, 3)]);
        assert_eq!((c.s.metric("points_future"), c.late(), c.open()), (5, 0, 0));
    });
}

/// Nor does a point from before all times, where windows are cut off.
#[test]
fn the_ends_of_time_close_nothing() {
    over(&ALL, "max_future = '2500000h'", |c| {
        c.live(1, 0);
        let least = i64::MIN.wrapping_sub(T * S);
        c.at(5 * S, 2, &[least, least + 1]);
        c.at(5 * S, 3, &[i64::MAX - T * S, i64::MAX - T * S - 1]);
        assert!(c.tick(c.end(0) + S).contains(&(0, 2)));
        c.stop(20 * S);
        c.tick(20 * S);
        let refused = c.s.metric("points_future");
        assert_eq!((c.late(), c.open()), (0, 0));
        assert!(refused <= 2);
    });
}

/// `max_future` is the bound: exactly that far ahead a point is taken, a nanosecond more and it is not.
#[test]
fn points_are_refused_beyond_max_future() {
    over(&ALL, "max_future = '20s'", |c| {
        c.at(4 * S, 1, &[24 * S]);
        assert_eq!(c.s.metric("points_future"), 0);
        c.at(4 * S, 1, &[24 * S + 1]);
        c.at(4 * S, 1, &[S, 24 * S + 1, 24 * S]);
        assert_eq!(c.s.metric("points_future"), 2);
        assert_eq!(c.stop(5 * S), [(0, 1), (20, 2)]);
    });
}

/// A clock that steps forward by an hour closes what is past then, and what goes on behind it comes in
/// time for the window that it had begun.
#[test]
fn a_clock_that_steps_forward() {
    over(&APART, "", |c| {
        c.live(1, 0);
        // The source goes on with the old time: it is behind now, and waited for.
        assert_eq!(c.feed(3602 * S, 1, &[0]), []);
        assert_eq!(c.live(1, 3600), [(0, 4)]);
        c.closes(c.end(3600) + S, &[(3600, 2)]);
        assert_eq!(c.late(), 0);
    });
}

/// A clock that steps back holds nothing for ever: what waited for `idle` or `hold` waits that long
/// from the step on.
#[test]
fn a_clock_that_steps_back_holds_nothing_for_ever() {
    over(&ALL, "idle = '8s'", |c| {
        c.feed(0, 2, &[-7200]);
        assert_eq!(c.tick(-3600 * S), []);
        c.closes(-3592 * S, &[(-7200, 2)]);
    });
    over(&ALL, "idle = '1h'\nhold = '20s'", |c| {
        c.feed(0, 2, &[-7200]);
        assert_eq!(c.tick(S), []);
        assert_eq!(c.tick(-3600 * S), []);
        c.closes(-3580 * S, &[(-7200, 2)]);
    });
}

/// What was emitted before the clock stepped back stays emitted, whatever the clock says.
#[test]
fn what_was_emitted_stays_emitted_when_the_clock_steps_back() {
    over(&APART, "", |c| {
        c.live(1, 0);
        assert_eq!(c.tick(20 * S), [(0, 2)]);
        assert_eq!(c.feed(4 * S, 1, &[0]), []);
        assert_eq!((c.tick(20 * S), c.late()), (vec![], 2));
        // Windows that were not yet emitted go on.
        assert_eq!(c.live(1, 10), []);
        assert_eq!(c.tick(22 * S), [(10, 2)]);
    });
}

/// Back and forth, many times: each point is counted once, in a row or as late, and no window is
/// emitted twice.
#[test]
fn a_clock_that_steps_back_and_forth() {
    for seed in 1..20 {
        over(&APART, "max_future = '3h'", |c| {
            let mut random = Random(seed);
            let mut made = Vec::new();
            let mut now = 0;
            for _ in 0..400 {
                now += match random.below(10) {
                    0 => -(random.below(4000) as i64) * S,
                    1 => random.below(4000) as i64 * S,
                    _ => random.below(4) as i64 * S,
                };
                let base = (now / S + random.below(3000) as i64 - 2000).div_euclid(10) * 10;
                made.extend(match random.below(8) {
                    0..=4 => c.feed(now, random.below(3), &[base]),
                    5 => c.control(now, Control::End { origin: random.below(3) }),
                    _ => {
                        let rows = c.s.sql.tick(T * S + now).0;
                        c.rows(&rows.batches)
                    }
                });
            }
            made.extend(c.stop(now));
            let counted: i64 = made.iter().map(|(_, n)| n).sum();
            assert_eq!(counted as u64 + c.late(), c.fed, "seed {seed}");
            let all = made.len();
            made.sort();
            made.dedup_by_key(|(base, _)| *base);
            assert_eq!(made.len(), all, "seed {seed}");
            c.tick(now);
            assert_eq!(c.open(), 0, "seed {seed}");
            assert!(all > 50, "{all}");
        });
    }
}
