//! The orderly stop.

use super::*;

/// At an orderly stop the open windows are emitted, the oldest first, whoever may still feed them.
#[test]
fn the_stop_emits_the_open_windows() {
    over(&ALL, "", |c| {
        c.begin(0, 3);
        c.feed(0, 3, &[-3600]);
        c.feed(4 * S, 2, &[-50]);
        c.live(1, 0);
        c.feed(4 * S, 1, &[20]);
        assert_eq!(c.stop(4 * S), [(-3600, 2), (-50, 2), (0, 2), (20, 2)]);
        c.tick(4 * S);
        assert_eq!((c.open(), c.late()), (0, 0));
    });
}

/// Behind the stop nothing is left: a second one, or a tick, emits nothing.
#[test]
fn the_stop_leaves_nothing() {
    over(&ALL, "late = 'update'\ngrace = '1m'", |c| {
        c.live(1, 0);
        c.tick(12 * S);
        c.live(1, 10);
        assert_eq!(c.stop(15 * S), [(10, 2)]);
        assert_eq!((c.stop(15 * S), c.tick(100 * S)), (vec![], vec![]));
    });
}

/// Other messages stop nothing.
#[test]
fn a_flush_and_a_barrier_emit_nothing_that_is_not_due() {
    over(&ALL, "", |c| {
        c.live(1, 0);
        assert_eq!(c.control(5 * S, Control::Flush), []);
        assert_eq!(c.control(5 * S, Control::Barrier(7)), []);
        c.closes(c.end(0) + S, &[(0, 2)]);
    });
}

/// A statement without a point stops without a row.
#[test]
fn the_stop_of_an_empty_statement_emits_nothing() {
    over(&ALL, "", |c| {
        c.tick(0);
        assert_eq!((c.stop(5 * S), c.s.metric("rows_emitted")), (vec![], 0));
    });
}
