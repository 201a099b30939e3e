//! Windows, as both sides write them. Each form says which windows a row is in; all else of a statement is
//! the same for all forms.

use crate::random::Random;

const SECOND: i64 = 1_000_000_000;

/// A form of window. Times are nanoseconds.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    Tumbling { size: i64, offset: i64 },
    Hop { slide: i64, size: i64 },
    Session { gap: i64 },
    Rows { count: usize },
}

fn length(nanos: i64) -> String {
    match nanos % SECOND {
        0 => format!("'{}s'", nanos / SECOND),
        _ => format!("'{}ms'", nanos / 1_000_000),
    }
}

impl Window {
    pub fn random(random: &mut Random) -> Window {
        match random.below(8) {
            0..=1 => {
                // Sizes that are a multiple of the slide, others, and windows side by side.
                let slide = *random.pick(&[1000, 3000, 7000, 10_000, 2500, 60_000]);
                let size = match random.below(3) {
                    0 => slide * random.within(1, 6),
                    _ => slide + random.within(0, 5) * random.within(0, slide) / 500 * 500,
                };
                Window::Hop { slide: slide * 1_000_000, size: size * 1_000_000 }
            }
            2..=3 => {
                let gap = *random.pick(&[100, 500, 1000, 1500, 4000, 10_000, 60_000]);
                Window::Session { gap: gap * 1_000_000 }
            }
            4 => Window::Rows { count: *random.pick(&[1, 2, 3, 7, 10, 100, 1000]) },
            _ => {
                let size = *random.pick(&[1, 3, 7, 10, 60, 3600]) * SECOND;
                let offset = match random.below(3) {
                    0 => random.within(-9, 9) * SECOND / 2,
                    _ => 0,
                };
                Window::Tumbling { size, offset }
            }
        }
    }

    /// What stands in GROUP BY.
    pub fn ours(&self, random: &mut Random) -> String {
        let (size, offset) = match *self {
            Window::Tumbling { size, offset } => (size, offset),
            Window::Hop { slide, size } => {
                return format!("hop({}, {})", length(slide), length(size));
            }
            Window::Session { gap } => return format!("session({})", length(gap)),
            Window::Rows { count } => return format!("rows({count})"),
        };
        let (size, behind) = match offset {
            0 => (length(size), String::new()),
            _ => (length(size), format!(", {}", length(offset))),
        };
        match random.below(5) {
            0 => format!("tumble({size}{behind})"),
            1 => format!("date_bin({size}, time{behind})"),
            2 => format!("time_bucket({size}, time{behind})"),
            _ => format!("time({size}{behind})"),
        }
    }

    /// The rows of `rows`, a query, once for each window that they are in, with the window's start as `w`,
    /// its end as `e`, and its number as `g` where the start does not tell it from others of its group.
    /// `keys` names the columns that make a group.
    pub fn theirs(&self, rows: &str, keys: &[String]) -> String {
        let groups = |more: &[&str]| {
            let all: Vec<&str> =
                keys.iter().map(String::as_str).chain(more.iter().copied()).collect();
            if all.is_empty() { String::new() } else { format!("PARTITION BY {}", all.join(", ")) }
        };
        match *self {
            // Counted from before all rows, where the quotient is not negative.
            Window::Tumbling { size, offset } => format!(
                "SELECT *, w + {size} AS e, 0 AS g FROM \
                 (SELECT *, {offset} + (time - {offset}) // {size} * {size} AS w FROM ({rows}))"
            ),
            Window::Hop { slide, size } => format!(
                "SELECT *, w + {size} AS e, 0 AS g FROM (SELECT *, {slide} * \
                 unnest(generate_series((time - {size}) // {slide} + 1, time // {slide})) AS w FROM ({rows}))"
            ),
            // A point further behind the one before it than the gap begins a session.
            Window::Session { gap } => format!(
                "SELECT *, min(time) OVER ({own}) AS w, max(time) OVER ({own}) + {gap} AS e FROM \
                 (SELECT *, sum(begins) OVER ({all} ORDER BY time) AS g FROM \
                 (SELECT *, CASE WHEN time - lag(time) OVER ({all} ORDER BY time) <= {gap} THEN 0 ELSE 1 END \
                 AS begins FROM ({rows})))",
                all = groups(&[]),
                own = groups(&["g"]),
            ),
            // Rows were loaded in the order in which they come to us.
            Window::Rows { count } => format!(
                "SELECT *, min(time) OVER ({own}) AS w, max(time) OVER ({own}) AS e FROM \
                 (SELECT *, (row_number() OVER ({all} ORDER BY rowid) - 1) // {count} AS g FROM ({rows}))",
                all = groups(&[]),
                own = groups(&["g"]),
            ),
        }
    }

    /// Whether what is in a window depends on the order in which rows come.
    pub fn heeds_order(&self) -> bool {
        matches!(self, Window::Rows { .. })
    }

    /// Whether further points leave the start of a window where it is.
    pub fn starts_are_fixed(&self) -> bool {
        matches!(self, Window::Tumbling { .. } | Window::Hop { .. })
    }

    /// A length of time after which a window is over for the row that opened it, if no other came.
    pub fn length(&self) -> i64 {
        match self {
            Window::Tumbling { size, .. } | Window::Hop { size, .. } => *size,
            Window::Session { gap } => *gap,
            Window::Rows { .. } => 0,
        }
    }
}
