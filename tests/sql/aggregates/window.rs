//! Windows, as both sides write them. Each form says which windows a row is in; all else of a statement is
//! the same for all forms.

use crate::random::Random;

const SECOND: i64 = 1_000_000_000;

/// A form of window. Times are nanoseconds.
#[derive(Debug, Clone, Copy)]
pub enum Window {
    Tumbling { size: i64, offset: i64 },
}

impl Window {
    pub fn random(random: &mut Random) -> Window {
        let size = *random.pick(&[1, 3, 7, 10, 60, 3600]) * SECOND;
        let offset = match random.below(3) {
            0 => random.within(-9, 9) * SECOND / 2,
            _ => 0,
        };
        Window::Tumbling { size, offset }
    }

    /// What stands in GROUP BY.
    pub fn ours(&self, random: &mut Random) -> String {
        let Window::Tumbling { size, offset } = *self;
        let length = |nanos: i64| match nanos % SECOND {
            0 => format!("'{}s'", nanos / SECOND),
            _ => format!("'{}ms'", nanos / 1_000_000),
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

    /// The rows of a table, each with the start of its window as `w`: once for each window that it is in.
    pub fn theirs(&self, table: &str) -> String {
        let Window::Tumbling { size, offset } = self;
        // Counted from before all rows, where the quotient is not negative.
        format!("SELECT *, {offset} + (time - {offset}) // {size} * {size} AS w FROM {table}")
    }

    /// The end of the window that starts at `w`.
    pub fn end(&self) -> String {
        let Window::Tumbling { size, .. } = self;
        format!("w + {size}")
    }

    /// A length of time after which a window is over for the row that opened it.
    pub fn length(&self) -> i64 {
        let Window::Tumbling { size, .. } = self;
        *size
    }
}
