use super::*;
use crate::batch::BatchBuilder;
use crate::plugin::Outcome;
use crate::testkit;
use crate::window::{Closing, Grid};

const S: i64 = 1_000_000_000;
const T: i64 = 1_700_000_000 * S / (60 * S) * (60 * S);

/// Windows of so many seconds, whose panes hold the seconds of their points.
fn hops(slide: i64, size: i64, grace: i64) -> Hops<Vec<i64>> {
    let policy = Policy {
        grid: Grid::new(slide * S, 0),
        delay: S,
        idle: 5 * S,
        hold: 600 * S,
        max_future: 60 * S,
        grace: grace * S,
    };
    Hops::new(policy, HopGrid::new(slide * S, size * S))
}

fn batch(seconds: &[i64]) -> Batch {
    let mut builder = BatchBuilder::default();
    for second in seconds {
        builder.point("m").field("f", 1.0).finish(T + second * S).unwrap();
    }
    builder.finish().unwrap()
}

fn feed(hops: &mut Hops<Vec<i64>>, now: i64, seconds: &[i64]) -> Vec<HopPlace> {
    let feed = hops.observe(T + now * S, &batch(seconds));
    let mut place = |second: &i64| {
        let place = hops.place(&feed, T + second * S, Vec::new);
        if let HopPlace::Open(slot) | HopPlace::Late { slot, .. } = place {
            hops.content(slot).unwrap().push(*second);
            hops.mark(slot, &[*second as u32]);
        }
        place
    };
    seconds.iter().map(&mut place).collect()
}

/// Starts and points of the windows that close at second `now`.
fn tick(hops: &mut Hops<Vec<i64>>, now: i64) -> Vec<(i64, Vec<i64>)> {
    hops.set_now(T + now * S);
    let mut out = Vec::new();
    while let Some(ready) = hops.ready(Closing::Due) {
        let points = hops.panes(ready.window).flatten().copied().collect();
        out.push(((ready.span.start - T) / S, points));
        hops.done(ready.window);
    }
    hops.expire(false);
    out
}

#[test]
fn a_pane_is_given_up_with_its_last_window() {
    let mut h = hops(10, 30, 0);
    feed(&mut h, 5, &[1, 5]);
    assert_eq!(tick(&mut h, 11), [(-20, vec![1, 5])]);
    feed(&mut h, 15, &[15]);
    assert_eq!(tick(&mut h, 21), [(-10, vec![1, 5, 15])]);
    assert_eq!(h.take_freed(), None);
    assert_eq!(tick(&mut h, 31), [(0, vec![1, 5, 15])]);
    assert_eq!(h.take_freed(), Some(vec![1, 5]));
    assert_eq!(h.low_watermark(), T + 10 * S);
    assert_eq!(tick(&mut h, 41), [(10, vec![15])]);
    assert!(h.is_empty() && h.slots.is_empty());
    let first = T / (10 * S) - 2;
    assert_eq!(h.emitted_ranges().iter().collect::<Vec<_>>(), [(first, first + 3)]);
}

#[test]
fn places_tell_what_is_late() {
    let mut h = hops(10, 20, 15);
    feed(&mut h, 5, &[5]);
    assert_eq!(tick(&mut h, 11).len(), 1);
    assert!(matches!(feed(&mut h, 12, &[6])[0], HopPlace::Late { missed: false, .. }));
    let number = T / (10 * S) - 1;
    assert_eq!(h.take_changed(number), [6]);
    assert_eq!(tick(&mut h, 13), [(-10, vec![5, 6])]);
    assert!(matches!(feed(&mut h, 28, &[7])[0], HopPlace::Late { missed: true, .. }));
    tick(&mut h, 40);
    tick(&mut h, 60);
    assert!(h.is_empty());
    assert_eq!(feed(&mut h, 61, &[8, 122]), [HopPlace::TooLate, HopPlace::Future]);
}

#[test]
fn open_windows_are_bounded() {
    let mut h = hops(10, 30, 0);
    let many: Vec<i64> = (0..5000).map(|at| -100 * at).collect();
    let places = feed(&mut h, 0, &many);
    assert!(places.contains(&HopPlace::Full));
    assert!(h.len() <= 2 * Hops::<()>::MAX);
    let mut closed = 0;
    while let Some(ready) = h.ready(Closing::Forced) {
        h.done(ready.window);
        closed += 1;
    }
    assert_eq!(closed as u64, h.closed_early());
    assert!(h.len() <= Hops::<()>::MAX && h.forced == 0);
    assert_eq!(h.slots.iter().count(), h.slots.len());
}

#[test]
fn a_handle_settles_with_the_worst_of_its_windows() {
    let mut h = hops(10, 20, 0);
    let mut of = batch(&[5]);
    let (delivery, told) = testkit::delivery();
    of.set_delivery(delivery);
    let feed = h.observe(T + 5 * S, &of);
    h.place(&feed, T + 5 * S, Vec::new);
    h.hold_delivery(&of);
    of.take_delivery().unwrap().settle(Outcome::Delivered);
    for (now, outcome) in [(11, Outcome::Lost), (21, Outcome::Delivered)] {
        assert!(told.lock().unwrap().is_empty());
        h.set_now(T + now * S);
        let ready = h.ready(Closing::Due).unwrap();
        h.take_delivery(ready.window).unwrap().settle(outcome);
        h.done(ready.window);
    }
    assert_eq!(*told.lock().unwrap(), [Outcome::Lost]);
}

#[test]
fn windows_of_a_pane_that_holds_too_many_handles_close_early() {
    let mut h = hops(10, 20, 0);
    let mut of = batch(&[5]);
    let (delivery, told) = testkit::delivery();
    of.set_delivery(delivery);
    for number in 1..=Hops::<()>::MAX_DELIVERIES {
        let feed = h.observe(T + 5 * S, &of);
        h.place(&feed, T + 5 * S, Vec::new);
        h.hold_delivery(&of);
        assert_eq!(h.ready(Closing::Due).is_some(), number == Hops::<()>::MAX_DELIVERIES);
    }
    of.take_delivery().unwrap().settle(Outcome::Delivered);
    assert_eq!(h.closed_early(), 2);
    for _ in 0..2 {
        assert!(told.lock().unwrap().is_empty());
        let ready = h.ready(Closing::Due).unwrap();
        h.take_delivery(ready.window).unwrap().settle(Outcome::Delivered);
        h.done(ready.window);
    }
    assert!(h.is_empty());
    assert_eq!(*told.lock().unwrap(), [Outcome::Delivered]);
}
