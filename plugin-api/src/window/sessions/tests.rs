use super::*;
use crate::batch::BatchBuilder;
use crate::plugin::Outcome;
use crate::testkit;
use crate::window::{Closing, Grid};

const S: i64 = 1_000_000_000;
const T: i64 = 1_700_000_000 * S;

struct Stream {
    sessions: Sessions,
}

fn stream(grace: i64, max: usize) -> Stream {
    let policy = Policy {
        grid: Grid::new(S, 0),
        delay: S,
        idle: 5 * S,
        hold: 600 * S,
        max_future: 60 * S,
        grace: grace * S,
    };
    Stream { sessions: Sessions::new(policy, 10 * S, max, 100) }
}

impl Stream {
    /// Points of groups at these seconds arrive at second `now`; where each belongs.
    fn feed(&mut self, now: i64, points: &[(u32, i64)]) -> Vec<SessionPlace> {
        let mut builder = BatchBuilder::default();
        for (_, second) in points {
            builder.point("m").field("f", 1.0).finish(T + second * S).unwrap();
        }
        let mut batch = builder.finish().unwrap();
        batch.set_origin(1);
        let feed = self.sessions.observe(T + now * S, &batch);
        let place = |(group, second): &(u32, i64)| {
            self.sessions.place(&feed, *group, || u64::from(*group), T + second * S)
        };
        points.iter().map(place).collect()
    }

    /// Group, first slot, number of further ones, start and end of what closes at second `now`.
    fn tick(&mut self, now: i64) -> Vec<(u32, u32, usize, i64, i64)> {
        self.sessions.set_now(T + now * S);
        let closed = self.sessions.take_due(Closing::Due, usize::MAX, &u64::from);
        self.sessions.expire(&u64::from);
        let seconds = |time: i64| (time - T) / S;
        let row = |c: &ClosedSession| {
            (c.group, c.slot, c.more.len(), seconds(c.span.start), seconds(c.span.end))
        };
        closed.iter().map(row).collect()
    }

    fn next(&self) -> Option<i64> {
        self.sessions.next_due().map(|due| (due - T) / S)
    }
}

#[test]
fn points_within_the_gap_belong_together() {
    use SessionPlace::*;
    let mut s = stream(0, 99);
    let places = s.feed(30, &[(0, 20), (0, 30), (1, 30), (0, 9), (0, 10), (0, 90), (0, 91)]);
    // The one at 9 is a session of its own until the one at 10 comes.
    assert_eq!(places, [Open(0), Open(0), Open(1), Open(2), Open(2), Open(3), Future]);
    assert_eq!(s.sessions.len(), 3);
    assert_eq!(s.tick(41), []);
    assert_eq!(s.next(), Some(41), "a point at its very end would still belong to it");
    let mut closed = s.tick(42);
    closed.sort();
    assert_eq!(closed, [(0, 2, 1, 9, 40), (1, 1, 0, 30, 40)]);
    assert_eq!(
        s.feed(43, &[(0, 40), (0, 41), (1, 19), (1, 20)]),
        [Late, Open(4), Open(5), Open(5)]
    );
}

#[test]
fn a_lasting_session_is_looked_at_no_more_often_than_its_gap() {
    let mut s = stream(0, 99);
    for second in 0..100 {
        s.feed(second, &[(0, second)]);
        assert_eq!(s.tick(second), []);
    }
    assert!(s.sessions.queue.len() == 1 && s.sessions.held.is_empty());
    assert_eq!(s.tick(111), [(0, 0, 0, 0, 109)]);
    assert!(s.sessions.is_empty() && s.sessions.by_time.is_empty());
}

#[test]
fn slots_are_numbered_anew_when_most_are_dead() {
    let mut s = stream(0, 10_000);
    for second in 0..40 {
        let points: Vec<(u32, i64)> = (0..100).map(|group| (group, second * 20)).collect();
        s.feed(second * 20, &points);
        s.tick(second * 20);
    }
    assert_eq!((s.sessions.slots(), s.sessions.len()), (4000, 100));
    let map = s.sessions.compact().unwrap();
    let mut new: Vec<u32> = map[3900..].to_vec();
    new.sort_unstable();
    assert!(new.into_iter().eq(0..100) && map[..3900].iter().all(|slot| *slot == u32::MAX));
    assert_eq!((s.sessions.slots(), s.sessions.compact()), (100, None));
}

#[test]
fn the_oldest_close_when_there_is_no_room_and_are_not_remembered() {
    let mut s = stream(0, 16);
    let points: Vec<(u32, i64)> = (0..17).map(|at| (0, at * 100 - 10_000)).collect();
    let places = s.feed(0, &points);
    assert_eq!(places[16], SessionPlace::Full);
    s.sessions.force_oldest();
    let closed = s.sessions.take_due(Closing::Forced, usize::MAX, &u64::from);
    let starts: Vec<i64> = closed.iter().map(|c| (c.span.start - T) / S).collect();
    assert_eq!(starts, [-10_000, -9_900, -9_800]);
    assert_eq!(s.sessions.closed_early(), 3);
    assert!(matches!(s.feed(0, &[(0, -10_001)])[0], SessionPlace::Open(_)));
}

#[test]
fn a_handle_settles_with_the_last_session_of_its_points() {
    let mut s = stream(0, 99);
    let mut builder = BatchBuilder::default();
    for second in [0, 5] {
        builder.point("m").field("f", 1.0).finish(T + second * S).unwrap();
    }
    let mut batch = builder.finish().unwrap();
    let (delivery, told) = testkit::delivery();
    batch.set_delivery(delivery);
    let feed = s.sessions.observe(T + 5 * S, &batch);
    for (group, second) in [(0, 0), (1, 5), (1, 5)] {
        s.sessions.place(&feed, group, || 0, T + second * S);
    }
    s.sessions.hold_delivery(&batch);
    drop(batch.take_delivery());
    for (now, settled) in [(12, 0), (17, 1)] {
        s.sessions.set_now(T + now * S);
        let closed = s.sessions.take_due(Closing::Due, 9, &u64::from);
        assert_eq!(closed.len(), 1);
        for session in closed {
            session.delivery.unwrap().settle(Outcome::Delivered);
        }
        assert_eq!(told.lock().unwrap().len(), settled);
    }
}

#[test]
fn groups_that_are_numbered_anew_keep_their_sessions() {
    let mut s = stream(0, 99);
    s.feed(100, &[(0, 100), (2, 50), (2, 100), (3, 100), (2, 80)]);
    let mut used = vec![false; 4];
    s.sessions.used(&mut used);
    assert_eq!(used, [true, false, true, true]);
    s.sessions.renumber(&[0, u32::MAX, 1, 2]);
    assert_eq!(
        s.feed(100, &[(1, 90), (2, 95), (1, 60)])[..2],
        [SessionPlace::Open(4), SessionPlace::Open(3)]
    );
    // 50 with 60, and 80 with 90 and 100.
    assert_eq!(s.sessions.len(), 4);
}

#[test]
fn the_oldest_close_early_when_all_hold_too_many_handles() {
    let mut s = stream(0, 99);
    s.feed(0, &[(7, -1)]);
    let mut builder = BatchBuilder::default();
    builder.point("m").field("f", 1.0).finish(T).unwrap();
    let mut batch = builder.finish().unwrap();
    let (delivery, told) = testkit::delivery();
    batch.set_delivery(delivery);
    let feed = |s: &mut Stream| {
        let feed = s.sessions.observe(T, &batch);
        s.sessions.place(&feed, 1, || 1, T);
        s.sessions.hold_delivery(&batch);
        s.sessions.closed_early()
    };
    for _ in 0..Sessions::MAX_DELIVERIES {
        assert_eq!(feed(&mut s), 0);
    }
    // The first to go held none.
    for (closed, group) in [(1, 7), (2, 1)] {
        assert_eq!(feed(&mut s), closed);
        assert!(told.lock().unwrap().is_empty());
        for session in s.sessions.take_due(Closing::Due, 9, &u64::from) {
            assert_eq!(session.group, group);
            session.delivery.into_iter().for_each(|d| d.settle(Outcome::Delivered));
        }
    }
    batch.take_delivery().unwrap().settle(Outcome::Delivered);
    assert_eq!(*told.lock().unwrap(), [Outcome::Delivered]);
}
