use super::*;
use crate::batch::BatchBuilder;
use crate::plugin::Outcome;
use crate::testkit;

const S: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * S;
/// Noon of some day.
const T: i64 = 1_700_000_000 * S / (10 * S) * (10 * S);

/// Ten-second windows that hold the seconds of their points, counted from `T`.
struct Stream {
    windows: Windows<Vec<i64>>,
    late: Vec<i64>,
    future: usize,
}

fn stream_with(change: impl FnOnce(&mut Policy)) -> Stream {
    let mut policy = Policy {
        grid: Grid::new(10 * S, 0),
        delay: S,
        idle: 5 * S,
        hold: 600 * S,
        max_future: 60 * S,
        grace: 0,
    };
    change(&mut policy);
    Stream { windows: Windows::new(policy), late: Vec::new(), future: 0 }
}

fn stream() -> Stream {
    stream_with(|_| ())
}

impl Stream {
    /// Points at these seconds arrive at second `now`.
    fn feed(&mut self, now: i64, origin: u64, seconds: &[i64]) {
        let mut builder = BatchBuilder::default();
        for second in seconds {
            builder.point("m").field("f", 1.0).finish(T + second * S).unwrap();
        }
        let mut batch = builder.finish().unwrap();
        batch.set_origin(origin);
        let feed = self.windows.observe(T + now * S, &batch);
        for &second in seconds {
            match self.windows.place(&feed, T + second * S, |_| Vec::new()) {
                Place::Open(slot) => self.windows.content(slot).unwrap().push(second),
                Place::Late => self.late.push(second),
                Place::Future => self.future += 1,
                Place::Full => panic!("full"),
            }
        }
    }

    /// Starts and contents of the windows that close at second `now`.
    fn tick(&mut self, now: i64) -> Vec<(i64, Vec<i64>)> {
        self.windows.set_now(T + now * S);
        self.take(Closing::Due)
    }

    fn take(&mut self, closing: Closing) -> Vec<(i64, Vec<i64>)> {
        let mut out = Vec::new();
        while let Some(ready) = self.windows.ready(closing) {
            let points = self.windows.content(ready.slot).unwrap().clone();
            out.push(((ready.span.start - T) / S, points));
            self.windows.done(ready.slot);
        }
        while self.windows.expire().is_some() {}
        out
    }

    fn next(&self) -> Option<i64> {
        self.windows.next_due().map(|due| (due - T) / S)
    }
}

#[test]
fn event_time_decides_the_window() {
    let mut s = stream();
    s.feed(10, 1, &[3, 9, 10, 0]);
    assert_eq!(s.tick(11), [(0, vec![3, 9, 0])]);
    assert_eq!(s.tick(21), [(10, vec![10])]);
}

#[test]
fn a_window_of_live_sources_closes_once_the_clock_is_past_its_end_and_delay() {
    let mut s = stream();
    s.feed(9, 1, &[9]);
    assert_eq!(s.next(), Some(11));
    assert_eq!(s.tick(10), []);
    s.feed(10, 1, &[9]);
    assert_eq!(s.tick(11), [(0, vec![9, 9])]);
    assert_eq!(s.next(), None);
}

#[test]
fn a_silent_source_stalls_nothing() {
    let mut s = stream();
    s.feed(1, 1, &[1]);
    s.feed(1, 2, &[1]);
    s.feed(9, 1, &[9]);
    assert_eq!(s.tick(11), [(0, vec![1, 1, 9])]);
}

#[test]
fn a_source_an_hour_behind_delays_no_live_window_and_fills_its_own() {
    let mut s = stream();
    s.feed(1, 1, &[1]);
    s.feed(1, 2, &[-3600]);
    s.feed(8, 2, &[-3595]);
    s.feed(9, 1, &[9]);
    // The live window goes in time, the old one waits for its source.
    assert_eq!(s.tick(11), [(0, vec![1, 9])]);
    s.feed(12, 2, &[-3590]);
    assert_eq!(s.tick(12), [], "its end is reached, its delay is not");
    s.feed(12, 2, &[-3589]);
    assert_eq!(s.tick(12), [(-3600, vec![-3600, -3595])]);
}

#[test]
fn a_catching_up_source_holds_until_it_has_ended() {
    let mut s = stream();
    s.feed(0, 2, &[-100]);
    assert_eq!(s.tick(1), []);
    s.windows.control(T + S, Control::End { origin: 2 });
    assert_eq!(s.tick(1), [(-100, vec![-100])]);
}

#[test]
fn or_has_been_silent_for_idle() {
    let mut s = stream();
    s.feed(0, 2, &[-100]);
    assert_eq!(s.tick(4), []);
    assert_eq!(s.next(), Some(5));
    assert_eq!(s.tick(5), [(-100, vec![-100])]);

    let mut s = stream();
    s.feed(0, 2, &[-100]);
    s.windows.control(T, Control::Idle { origin: 2 });
    assert_eq!(s.tick(0), [(-100, vec![-100])], "the source says so itself");
}

#[test]
fn or_the_window_has_been_held_for_hold() {
    let mut s = stream_with(|p| p.hold = 20 * S);
    for now in 0..20 {
        s.feed(now, 2, &[-100]);
        assert_eq!(s.tick(now), []);
    }
    s.feed(20, 2, &[-100]);
    assert_eq!(s.tick(20).len(), 1);
}

#[test]
fn a_finite_source_is_waited_for_without_that_bound() {
    let mut s = stream_with(|p| p.hold = 20 * S);
    s.windows.control(T, Control::Begin { origin: 2, finite: true });
    for now in 0..200 {
        s.feed(now, 2, &[-100]);
        assert_eq!(s.tick(now), []);
    }
    s.windows.control(T + 200 * S, Control::End { origin: 2 });
    assert_eq!(s.tick(200).len(), 1);
}

#[test]
fn every_catching_up_source_counts() {
    let mut s = stream();
    s.feed(0, 2, &[-100]);
    s.feed(0, 3, &[-200]);
    s.feed(1, 2, &[-50]);
    assert_eq!(s.tick(1), [], "source 3 may still feed the window");
    s.feed(1, 3, &[-89]);
    assert_eq!(s.tick(1), [(-200, vec![-200]), (-100, vec![-100])]);
}

#[test]
fn progress_without_points_counts() {
    let mut s = stream();
    s.feed(0, 2, &[-100]);
    s.windows.control(T, Control::Progress { origin: 2, time_ns: T - 89 * S });
    assert_eq!(s.tick(0), [(-100, vec![-100])]);
}

#[test]
fn a_source_that_has_caught_up_is_live() {
    let mut s = stream();
    s.feed(5, 2, &[-100, 0]);
    s.feed(6, 2, &[6]);
    assert_eq!(s.tick(6), [(-100, vec![-100])]);
    assert_eq!(s.tick(11), [(0, vec![0, 6])]);
}

#[test]
fn a_restart_with_a_replayed_file_fills_its_windows_again() {
    let mut s = stream();
    s.windows.control(T, Control::Begin { origin: 7, finite: true });
    let mut closed = Vec::new();
    for second in 0..100 {
        s.feed(0, 7, &[second - 3600, second - 3600]);
        closed.extend(s.tick(0));
    }
    s.windows.control(T, Control::End { origin: 7 });
    closed.extend(s.tick(0));
    assert_eq!(closed.len(), 10);
    assert!(closed.iter().all(|(_, points)| points.len() == 20), "{closed:?}");
    assert!(s.late.is_empty());
}

#[test]
fn downtime_that_a_buffer_fills_later_opens_its_windows() {
    let mut s = stream();
    s.feed(1, 1, &[1]);
    s.tick(11);
    s.feed(41, 1, &[41]);
    s.tick(51);
    // Nobody was up between 10 and 40; a client sends what it had buffered.
    s.feed(60, 2, &[12]);
    s.feed(60, 2, &[25]);
    s.feed(60, 2, &[5]);
    assert_eq!(s.tick(65), [(10, vec![12]), (20, vec![25])]);
    assert_eq!(s.late, [5], "that window was emitted");
}

#[test]
fn a_point_from_2093_closes_nothing() {
    let mut s = stream();
    let year_2093 = 70 * 365 * 24 * 3600;
    s.feed(1, 1, &[1, year_2093, 61, 62]);
    assert_eq!(s.future, 2);
    assert_eq!(s.tick(10), []);
    assert_eq!(s.tick(11), [(0, vec![1])]);
    // Nor does it make a source that catches up look as if it had.
    s.feed(20, 2, &[-100, year_2093]);
    assert_eq!(s.tick(20), []);
}

#[test]
fn a_clock_that_steps_forward_tears_no_window_apart() {
    let mut s = stream();
    s.feed(1, 1, &[1]);
    // The clock jumps by an hour; the source goes on with the old time for a moment.
    s.feed(3602, 1, &[2]);
    assert_eq!(s.tick(3602), []);
    s.feed(3603, 1, &[3603]);
    assert_eq!(s.tick(3604), [(0, vec![1, 2])]);
    assert!(s.late.is_empty());
}

#[test]
fn a_clock_that_steps_back_holds_nothing_for_ever() {
    let mut s = stream();
    s.feed(0, 2, &[-100]);
    s.windows.set_now(T - HOUR);
    assert_eq!(s.tick(-3600), []);
    assert_eq!(s.tick(-89), [(-100, vec![-100])]);

    let mut s = stream();
    s.feed(0, 2, &[-7200]);
    s.windows.set_now(T - HOUR);
    assert_eq!(s.tick(-3600 + 4), []);
    assert_eq!(s.tick(-3600 + 5), [(-7200, vec![-7200])], "idle counts from the step");
}

#[test]
fn emitted_windows_are_remembered_and_empty_ones_are_not() {
    let mut s = stream();
    s.feed(1, 1, &[1]);
    s.feed(21, 1, &[21]);
    s.tick(31);
    let zero = T / (10 * S);
    let ranges: Vec<_> = s.windows.emitted_ranges().iter().collect();
    assert_eq!(ranges, [(zero, zero), (zero + 2, zero + 2)]);
    s.feed(31, 1, &[5, 15, 25, 31]);
    assert_eq!(s.late, [5, 25]);
    assert_eq!(s.tick(31), [(10, vec![15])]);
}

#[test]
fn with_grace_late_points_correct_a_window_until_it_is_over() {
    let mut s = stream_with(|p| p.grace = 30 * S);
    s.feed(1, 1, &[1]);
    assert_eq!(s.tick(11), [(0, vec![1])]);
    assert_eq!(s.tick(12), [], "nothing changed");
    s.feed(20, 1, &[2, 20]);
    assert_eq!(s.next(), Some(21));
    assert_eq!(s.tick(21), [(0, vec![1, 2])]);
    s.feed(40, 1, &[3, 40]);
    assert_eq!(s.tick(41), [(0, vec![1, 2, 3]), (20, vec![20])]);
    s.feed(42, 1, &[4, 42]);
    assert_eq!(s.late, [4], "grace counts from the first emission");
    s.tick(51);
    assert_eq!(s.tick(90), []);
    assert!(s.windows.is_empty());
}

#[test]
fn at_the_end_all_windows_are_emitted() {
    let mut s = stream();
    s.feed(1, 1, &[1, 11]);
    s.feed(1, 2, &[-500]);
    assert_eq!(s.take(Closing::All), [(-500, vec![-500]), (0, vec![1]), (10, vec![11])]);
}

#[test]
fn open_windows_are_bounded() {
    let mut s = stream();
    let many: Vec<i64> = (0..1500).map(|i| -10 * i - 1000).collect();
    s.feed(0, 3, &[-20_000]);
    s.feed(0, 2, &many);
    assert_eq!(s.windows.closed_early(), 1501 - Windows::<()>::MAX as u64);
    assert_eq!(s.tick(0).len(), 477, "the oldest close, held or not");
    let feed = s.windows.observe(
        T,
        &BatchBuilder::default().finish().unwrap_or_else(|| {
            let mut builder = BatchBuilder::default();
            builder.point("m").field("f", 1.0).finish(T - HOUR).unwrap();
            builder.finish().unwrap()
        }),
    );
    let placed: Vec<Place> = (0..5000)
        .map(|i| s.windows.place(&feed, T - 90_000 * S - i * 10 * S, |_| vec![]))
        .collect();
    assert!(placed.contains(&Place::Full));
    assert_eq!(s.windows.len(), 2 * Windows::<()>::MAX);
}

#[test]
fn a_window_that_starts_over_takes_its_later_points() {
    let mut s = stream();
    s.feed(1, 1, &[1]);
    let ready = s.windows.ready(Closing::All).unwrap();
    assert_eq!(s.windows.restart(ready.slot), Some(vec![1]));
    s.feed(2, 1, &[2]);
    assert_eq!(s.tick(11), [(0, vec![2])]);
}

#[test]
fn an_exact_source_holds_by_its_progress_alone() {
    let mut s = stream();
    s.windows.sources_mut().set_exact(9);
    s.feed(11, 9, &[0]);
    assert_eq!(s.tick(5000), []);
    s.windows.control(T + 5000 * S, Control::Progress { origin: 9, time_ns: T + 10 * S });
    assert_eq!(s.tick(5000), [(0, vec![0])], "its points come in order: no delay is added");
}

#[test]
fn a_window_ends_where_the_clock_says_for_those_who_read_its_rows() {
    let mut s = stream();
    s.feed(1, 1, &[1]);
    assert_eq!(s.windows.low_watermark(), T - 10 * S + 10 * S);
    s.tick(11);
    assert_eq!(s.windows.low_watermark(), T + 10 * S);
    s.tick(20);
    assert_eq!(s.windows.low_watermark(), T + 10 * S);
    s.tick(21);
    assert_eq!(s.windows.low_watermark(), T + 20 * S);
}

#[test]
fn a_window_that_holds_too_many_handles_closes_early() {
    let mut s = stream();
    let mut builder = BatchBuilder::default();
    builder.point("m").field("f", 1.0).finish(T).unwrap();
    let mut batch = builder.finish().unwrap();
    let (delivery, told) = testkit::delivery();
    batch.set_delivery(delivery);
    for number in 1..=Windows::<()>::MAX_DELIVERIES {
        let feed = s.windows.observe(T, &batch);
        assert!(matches!(s.windows.place(&feed, T, |_| Vec::new()), Place::Open(_)));
        s.windows.hold_delivery(&batch);
        let is_full = s.windows.ready(Closing::Due).is_some();
        assert_eq!(is_full, number == Windows::<()>::MAX_DELIVERIES);
    }
    let ready = s.windows.ready(Closing::Due).unwrap();
    batch.take_delivery().unwrap().settle(Outcome::Delivered);
    assert!(told.lock().unwrap().is_empty());
    s.windows.take_delivery(ready.slot).unwrap().settle(Outcome::Delivered);
    assert_eq!(*told.lock().unwrap(), [Outcome::Delivered]);
    s.windows.done(ready.slot);
    assert_eq!((s.windows.closed_early(), s.windows.len()), (1, 0));
}
