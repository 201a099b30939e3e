//! The closing rule, sentence by sentence: when windows close, who may hold them, what is late.
//!
//! A case runs over several forms of windows, in which the same points make the same windows: each
//! is told by its base, a multiple of ten seconds, and takes points one and four seconds behind it.
//! Side by side it lasts to the next base; a session of these points ends there as well.

mod catching_up;
mod clock;
mod history;
mod late;
mod live;
mod model;
mod refusals;
mod stop;

use super::*;

/// A form of windows.
pub struct Form {
    /// What stands in GROUP BY.
    pub by: &'static str,
    /// The end of a window, nanoseconds behind its base.
    pub length: i64,
}

const TUMBLING: Form = Form { by: "time('10s')", length: 10 * S };
const HOP: Form = Form { by: "hop('10s', '10s')", length: 10 * S };
/// Half of these windows have no base: their rows are not looked at.
const OVERLAPPING: Form = Form { by: "hop('5s', '10s')", length: 10 * S };
/// A point at the very end still belongs to it.
const SESSION: Form = Form { by: "session('6s')", length: 10 * S + 1 };

/// Forms in which a point belongs to one window.
pub const APART: [Form; 3] = [TUMBLING, HOP, SESSION];
/// All forms that time closes.
pub const ALL: [Form; 4] = [TUMBLING, HOP, OVERLAPPING, SESSION];

/// A statement with windows of one form. Times are nanoseconds since `T`, bases seconds.
pub struct Case {
    pub s: Stage,
    length: i64,
    /// Points of which it was told.
    pub fed: u64,
}

/// Bases of windows and how many points they held, in the order of the rows.
pub type Rows = Vec<(i64, i64)>;

/// Runs a case over several forms.
pub fn over(forms: &[Form], options: &str, run: impl Fn(&mut Case)) {
    for form in forms {
        let query = format!("CREATE STREAM s AS SELECT count(*) AS n FROM m GROUP BY {}", form.by);
        let case = Case { s: stage(options, &query), length: form.length, fed: 0 };
        // A case that fails is told with its form.
        let told = Told(form.by);
        let mut case = case;
        run(&mut case);
        std::mem::forget(told);
    }
}

/// Tells the form when a case fails.
struct Told(&'static str);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!("the case failed with {}", self.0);
    }
}

/// Points at these times.
pub fn points(times: &[i64]) -> Batch {
    let mut builder = BatchBuilder::default();
    for time in times {
        builder.point("m").field("a", 1.0).finish((T * S).wrapping_add(*time)).unwrap();
    }
    builder.finish().unwrap()
}

impl Case {
    fn rows(&self, batches: &[Batch]) -> Rows {
        let points = batches.iter().flat_map(|batch| batch.points());
        let rows = points.filter(|point| point.series().name() == "s").map(|point| {
            let Some(headwater_plugin_api::batch::Value::I64(n)) = point.field("n") else {
                panic!("{}", testkit::line(&point))
            };
            (point.time().wrapping_sub(T * S).div_euclid(S), n)
        });
        // A session begins with its first point.
        rows.filter(|(start, _)| start.rem_euclid(10) < 5)
            .map(|(start, n)| (start.div_euclid(10) * 10, n))
            .collect()
    }

    /// The end of the window with that base.
    pub fn end(&self, base: i64) -> i64 {
        base * S + self.length
    }

    /// Points at these times come from a source.
    pub fn at(&mut self, now: i64, origin: u64, times: &[i64]) -> Rows {
        let mut batch = points(times);
        batch.set_origin(origin);
        self.fed += times.len() as u64;
        let (got, result) = self.s.sql.process(T * S + now, batch);
        result.unwrap();
        self.rows(&got.batches)
    }

    /// Two points of each of these windows come from a source.
    pub fn feed(&mut self, now: i64, origin: u64, bases: &[i64]) -> Rows {
        let times: Vec<i64> = bases.iter().flat_map(|b| [(b + 1) * S, (b + 4) * S]).collect();
        self.at(now, origin, &times)
    }

    /// As [`feed`](Self::feed), when the points come about: from a live source.
    pub fn live(&mut self, origin: u64, base: i64) -> Rows {
        self.feed((base + 4) * S, origin, &[base])
    }

    pub fn tick(&mut self, now: i64) -> Rows {
        let (got, next) = self.s.sql.tick(T * S + now);
        assert!(next.unwrap().is_none_or(|next| next > T * S + now));
        self.rows(&got.batches)
    }

    /// Nothing closes right before that time, this does at it. The clock goes there as the statement
    /// itself asks for.
    #[track_caller]
    pub fn closes(&mut self, at: i64, rows: &[(i64, i64)]) {
        assert_eq!(self.tick(at - 1), [], "a nanosecond early");
        let (_, next) = self.s.sql.tick(T * S + at - 1);
        // Never before a millisecond is over.
        let soon = T * S + at - 1 + 1_000_000;
        assert!(next.unwrap().is_some_and(|next| next <= soon), "it is not asked at its time");
        assert_eq!(self.tick(at), rows, "at its time");
    }

    pub fn control(&mut self, now: i64, message: Control) -> Rows {
        let (got, result) = self.s.sql.control(T * S + now, message);
        result.unwrap();
        self.rows(&got.batches)
    }

    pub fn begin(&mut self, now: i64, origin: u64) {
        assert_eq!(self.control(now, Control::Begin { origin, finite: true }), []);
    }

    pub fn stop(&mut self, now: i64) -> Rows {
        self.control(now, Control::Stop)
    }

    pub fn late(&self) -> u64 {
        self.s.metric("points_late")
    }

    pub fn open(&self) -> u64 {
        self.s.metric("windows_open")
    }
}
