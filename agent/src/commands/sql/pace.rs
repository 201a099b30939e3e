//! How far the event time of a file has come.
//!
//! Its latest time would be a bad measure: one point from the year 2093 in the middle of a file would
//! close the windows of all points behind it. So what counts is the earliest time of the points that
//! were read and are still to be worked on, if they are many enough that one alone does not decide;
//! else the earliest of the last ones that were worked on.

/// How many points tell the time, at the least.
pub const POINTS: usize = 64;

/// The event time of one file. Times are nanoseconds since the epoch.
#[derive(Debug, Default)]
pub struct Pace {
    /// The earliest time and the number of points since there were last enough of them.
    earliest: Option<i64>,
    count: usize,
    /// The earliest time of the last points that were enough.
    before: Option<i64>,
    /// It does not go back any more.
    settled: bool,
    reached: Option<i64>,
    latest: Option<i64>,
}

impl Pace {
    /// Takes note of points that are worked on.
    pub fn see(&mut self, first: i64, last: i64, points: usize) {
        self.latest = self.latest.max(Some(last));
        self.earliest = Some(self.earliest.map_or(first, |earliest| earliest.min(first)));
        self.count += points;
        if self.count >= POINTS {
            self.before = self.earliest.take();
            self.count = 0;
        }
        let time = self.before.into_iter().chain(self.earliest).min();
        self.settled |= self.before.is_some();
        // Until there are enough, any point may be the one that is out of place.
        self.reached = if self.settled { self.reached.max(time) } else { time };
    }

    /// Takes note of the earliest of many points that are to come.
    pub fn ahead(&mut self, first: i64) {
        self.reached = if self.settled { self.reached.max(Some(first)) } else { Some(first) };
        self.settled = true;
    }

    /// How far it has come; nothing before the first point.
    pub fn time(&self) -> Option<i64> {
        self.reached
    }

    /// The latest time of all.
    pub fn latest(&self) -> Option<i64> {
        self.latest
    }
}

/// The time by which windows close: how far all files together have come.
#[derive(Debug, Default)]
pub struct Clock {
    now: Option<i64>,
}

impl Clock {
    /// Works it out from the times of the files that have not ended. It stands still while there is a
    /// file without a point.
    pub fn set(&mut self, times: impl Iterator<Item = Option<i64>>) -> Option<i64> {
        let (mut known, mut unknown) = (None, false);
        for time in times {
            match time {
                Some(time) => known = Some(known.map_or(time, |known: i64| known.min(time))),
                None => unknown = true,
            }
        }
        self.now = match (self.now, known) {
            (Some(now), Some(known)) if unknown => Some(now.min(known)),
            (now, known) => known.or(now),
        };
        self.now
    }

    /// All files have ended.
    pub fn end(&mut self, latest: Option<i64>) -> Option<i64> {
        self.now = self.now.max(latest);
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_point_from_afar_moves_nothing() {
        let mut pace = Pace::default();
        assert_eq!(pace.time(), None);
        pace.see(9_000, 9_000, 1);
        pace.see(5, 5, 1);
        assert_eq!(pace.time(), Some(5));
        pace.see(10, 20, POINTS);
        assert_eq!(pace.time(), Some(5));
        pace.see(30, 9_000_000, POINTS);
        assert_eq!(pace.time(), Some(30));
        pace.see(9_000_000, 9_000_000, 1);
        assert_eq!(pace.time(), Some(30));
        pace.see(0, 40, 1);
        assert_eq!(pace.time(), Some(30), "it does not go back");
        assert_eq!(pace.latest(), Some(9_000_000));
    }

    #[test]
    fn many_points_to_come_tell_more_than_the_last_ones() {
        let mut pace = Pace::default();
        pace.see(5, 9_000, 1);
        pace.ahead(3);
        assert_eq!(pace.time(), Some(3));
        pace.ahead(50);
        pace.see(10, 60, POINTS);
        assert_eq!(pace.time(), Some(50));
    }

    #[test]
    fn times_before_the_epoch() {
        let mut pace = Pace::default();
        pace.see(-20, -10, POINTS);
        assert_eq!(pace.time(), Some(-20));
    }

    #[test]
    fn the_slowest_file_sets_the_clock() {
        let mut clock = Clock::default();
        assert_eq!(clock.set([Some(70), None].into_iter()), Some(70));
        assert_eq!(clock.set([Some(90), None].into_iter()), Some(70));
        assert_eq!(clock.set([Some(90), Some(40)].into_iter()), Some(40));
        assert_eq!(clock.set([Some(90), Some(80)].into_iter()), Some(80));
        assert_eq!(clock.set([Some(90)].into_iter()), Some(90));
        assert_eq!(clock.end(Some(95)), Some(95));
        assert_eq!(Clock::default().end(None), None);
    }
}
