//! The agent's clock: wall time that tests can own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells the wall time.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// The system's.
    System,
    /// A start, moved on by tokio's clock, which tests pause and advance.
    #[cfg(test)]
    Virtual {
        /// Nanoseconds since the epoch at `origin`.
        start_ns: i64,
        /// When the clock was made.
        origin: tokio::time::Instant,
    },
}

impl Clock {
    /// Nanoseconds since the Unix epoch.
    pub fn now_ns(&self) -> i64 {
        match self {
            Clock::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanoseconds),
            #[cfg(test)]
            Clock::Virtual { start_ns, origin } => {
                start_ns.saturating_add(nanoseconds(origin.elapsed()))
            }
        }
    }

    /// Sleeps until the wall clock shows `time_ns`; at once if that is past. A clock that is set
    /// meanwhile is noticed within a minute.
    pub async fn sleep_until(&self, time_ns: i64) {
        loop {
            let left = time_ns.saturating_sub(self.now_ns());
            if left <= 0 {
                return;
            }
            let nap = Duration::from_nanos(left as u64).min(Duration::from_secs(60));
            tokio::time::sleep(nap).await;
        }
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A duration as nanoseconds; what is longer than 292 years counts as that.
pub fn duration_ns(duration: Duration) -> i64 {
    nanoseconds(duration)
}
