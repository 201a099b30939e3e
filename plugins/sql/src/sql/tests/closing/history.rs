//! Old points: behind live ones, replayed, after downtime; and what is remembered of old windows.

use super::*;

/// A source that is an hour behind delays no live window, and all that it brings is counted in windows
/// of its own, each closed as it goes on.
#[test]
fn an_hour_behind_beside_a_live_source() {
    over(&ALL, "", |c| {
        let (mut live, mut old) = (Vec::new(), Vec::new());
        let mut sort = |rows: Rows| {
            for (base, n) in rows {
                if base < -1800 { old.push((base, n)) } else { live.push((base, n)) }
            }
        };
        for base in (0..1200).step_by(10) {
            // Six times as fast as the clock.
            let batch: Vec<i64> = (0..6).map(|step| base * 6 - 36_000 + step * 10).collect();
            sort(c.live(1, base));
            sort(c.feed((base + 5) * S, 2, &batch));
            let (end, ready) = (c.end(base), c.end(base) + S);
            sort(c.tick(ready - 1));
            let mut now = c.tick(ready);
            now.retain(|(closed, _)| *closed > -1800);
            assert_eq!(now, [(base, 2)], "the live one at {end}");
        }
        sort(c.stop(1300 * S));
        let bases = |from: i64, to: i64| (from..to).step_by(10).map(|base| (base, 2));
        assert!(old.iter().copied().eq(bases(-36_000, -28_800)), "{old:?}");
        assert_eq!((live, c.late()), (vec![], 0));
    });
}

/// A restart with a replayed file: nothing is remembered, all windows are filled again, in whatever
/// pieces the file comes, beside a live source.
#[test]
fn a_replayed_file_fills_its_windows_after_a_restart() {
    let bases: Vec<i64> = (0..100).map(|n| n * 10 - 3600).collect();
    for piece in [1, 7, 100] {
        over(&ALL, "", |c| {
            c.begin(0, 7);
            let mut made = Vec::new();
            for (at, part) in (0..).zip(bases.chunks(piece)) {
                let now = at * S / 20;
                made.extend(c.feed(now, 7, part));
                c.at(now, 1, &[now]);
                made.extend(c.tick(now));
            }
            made.extend(c.control(6 * S, Control::End { origin: 7 }));
            made.retain(|(base, _)| *base < -1000);
            assert!(made.iter().copied().eq(bases.iter().map(|base| (*base, 2))), "{made:?}");
            assert_eq!(c.late(), 0);
        });
    }
}

/// The agent was down; a client sends later what it had buffered: windows that never were emitted open
/// for it, those that were do not.
#[test]
fn downtime_that_a_buffer_fills_later() {
    over(&APART, "", |c| {
        c.live(1, 0);
        assert_eq!(c.live(1, 40), [(0, 2)]);
        assert_eq!(c.tick(c.end(40) + S), [(40, 2)]);
        assert_eq!(c.feed(60 * S, 2, &[20, 0]), [], "the source that fed it is behind");
        assert_eq!(c.feed(60 * S, 2, &[10, 30]), [(10, 2), (20, 2)]);
        assert_eq!((c.tick(65 * S), c.late()), (vec![(30, 2)], 2));
        c.feed(65 * S, 2, &[40, 20]);
        assert_eq!((c.late(), c.stop(65 * S)), (6, vec![]));
    });
}

/// What was emitted is never emitted again as a window of its own, however often it is sent.
#[test]
fn no_window_is_emitted_twice() {
    over(&APART, "", |c| {
        let bases: Vec<i64> = (0..50).map(|n| n * 20 - 3600).collect();
        let mut made = Vec::new();
        for round in 0..4 {
            c.begin(round * 100 * S, round as u64 + 2);
            // In another order each time.
            let mut random = Random(round as u64 + 1);
            let mut order = bases.clone();
            order.sort_by_cached_key(|_| random.below(1000));
            for (at, part) in (0..).zip(order.chunks(8)) {
                made.extend(c.feed((round * 100 + at) * S, round as u64 + 2, part));
            }
            let ended = (round * 100 + 50) * S;
            made.extend(c.control(ended, Control::End { origin: round as u64 + 2 }));
        }
        let late = c.late();
        let fed = c.fed;
        let counted: i64 = made.iter().map(|(_, n)| n).sum();
        assert_eq!(counted as u64 + late, fed);
        made.sort();
        made.dedup_by_key(|(base, _)| *base);
        assert_eq!(made.len(), 50);
        made.extend(c.stop(1000 * S));
        assert_eq!(made.len(), 50);
    });
}

/// The memory of emitted windows is a bounded list of ranges: windows one behind the other are one
/// range, so that any number of them is remembered for good.
#[test]
fn windows_without_gaps_are_remembered_for_good() {
    over(&[TUMBLING, HOP, OVERLAPPING], "", |c| {
        for base in (0..50_000).step_by(10) {
            c.live(1, base);
        }
        c.tick(50_001 * S);
        let before = c.late();
        let first = c.feed(50_002 * S, 2, &[0, 10, 25_000, 49_990]);
        assert_eq!((first, c.late() - before), (vec![], 8));
    });
}

/// With gaps it is bounded by giving up the oldest gap: what lies there counts as emitted from then on,
/// and the memory stays small. No window is emitted twice.
#[test]
fn windows_with_gaps_are_remembered_in_bounded_memory() {
    over(&[TUMBLING, HOP], "", |c| {
        for base in (0..60_000).step_by(20) {
            c.live(1, base);
        }
        c.tick(60_011 * S);
        c.s.tick(60_041);
        assert!(c.s.metric("state_bytes") < 100_000, "{}", c.s.metric("state_bytes"));
        assert_eq!(c.late(), 0);
        // Of 3000 windows 1024 ranges are kept: an old gap is closed, a new one is open.
        c.feed(60_050 * S, 2, &[0, 10, 59_980]);
        assert_eq!(c.late(), 6, "the first, the gap behind it, and the last");
        assert_eq!(c.feed(60_051 * S, 2, &[59_990]), []);
        assert_eq!((c.late(), c.stop(60_052 * S)), (6, vec![(59_990, 2)]));
    });
}

/// Of sessions the last `max_groups` are remembered.
#[test]
fn sessions_are_remembered_in_bounded_number() {
    over(&[SESSION], "max_groups = 100", |c| {
        for base in (0..4000).step_by(20) {
            c.live(1, base);
        }
        c.tick(4000 * S);
        let mut made = c.feed(4100 * S, 2, &[3980, 2020, 20]);
        made.extend(c.stop(4100 * S));
        // A hundred sessions ago it was remembered, two hundred ago it was not.
        assert_eq!((made, c.late()), (vec![(20, 2)], 4));
    });
}
