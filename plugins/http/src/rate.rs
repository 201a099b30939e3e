//! A limit on the bytes that are sent in a window of time.

use std::time::Duration;

use headwater_plugin_api::config::Size;
use headwater_plugin_api::plugin::Error;

/// At most so many bytes in each window. What does not fit into a whole window is sent at once and
/// held against the following ones, so that the average holds and nothing is stuck for ever.
#[derive(Debug)]
pub struct RateLimit {
    bytes: u64,
    window_ns: i64,
    /// The beginning of the window.
    start_ns: i64,
    used: u64,
}

impl RateLimit {
    /// Reads Telegraf's pair of options; `None` if there is no limit.
    ///
    /// # Errors
    /// At the key that is to blame.
    pub fn new(limit: &str, window_ns: i64) -> Result<Option<RateLimit>, Error> {
        if matches!(limit, "" | "unlimited") {
            return Ok(None);
        }
        let size: Size = limit.parse().map_err(|why| Error::config("rate_limit", why))?;
        if size.get() == 0 {
            return Ok(None);
        }
        if window_ns <= 0 {
            let message = "`rate_limit` needs `rate_limit_period`; write for instance rate_limit_period = \"5m\"";
            return Err(Error::config("rate_limit", message));
        }
        Ok(Some(RateLimit { bytes: size.get(), window_ns, start_ns: i64::MIN, used: 0 }))
    }

    /// Takes note of bytes that are sent now, or tells how long to wait with them.
    pub fn admit(&mut self, now_ns: i64, bytes: u64) -> Result<(), Duration> {
        let passed = now_ns.saturating_sub(self.start_ns) / self.window_ns;
        if self.start_ns == i64::MIN || now_ns < self.start_ns {
            (self.start_ns, self.used) = (now_ns, 0);
        } else if passed > 0 {
            self.used = self.used.saturating_sub(self.bytes.saturating_mul(passed as u64));
            self.start_ns = self.start_ns.saturating_add(passed.saturating_mul(self.window_ns));
        }
        if self.used == 0 || self.used.saturating_add(bytes) <= self.bytes {
            self.used = self.used.saturating_add(bytes);
            return Ok(());
        }
        let end = self.start_ns.saturating_add(self.window_ns);
        Err(Duration::from_nanos(end.saturating_sub(now_ns).max(1) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_fill_and_empty() {
        let mut limit = RateLimit::new("100B", 1000).unwrap().unwrap();
        assert_eq!(limit.admit(5000, 60), Ok(()));
        assert_eq!(limit.admit(5100, 40), Ok(()));
        assert_eq!(limit.admit(5200, 1), Err(Duration::from_nanos(800)));
        assert_eq!(limit.admit(6000, 1), Ok(()));
        // Larger than a window: on credit.
        assert_eq!(limit.admit(7000, 250), Ok(()));
        assert_eq!(limit.admit(8000, 10), Err(Duration::from_nanos(1000)));
        assert_eq!(limit.admit(9500, 50), Ok(()));
        assert_eq!(limit.admit(9600, 10), Err(Duration::from_nanos(400)));
        assert_eq!(limit.admit(1_000_000, 100), Ok(()));
        // A clock that was set back begins anew.
        assert_eq!(limit.admit(10, 100), Ok(()));
    }

    #[test]
    fn options() {
        for none in ["", "unlimited", "0"] {
            assert!(RateLimit::new(none, 0).unwrap().is_none());
        }
        assert!(RateLimit::new("5MB", 60_000_000_000).unwrap().is_some());
        assert!(RateLimit::new("5MB", 0).unwrap_err().message().contains("rate_limit_period"));
        assert!(RateLimit::new("fast", 1).unwrap_err().message().contains("not a size"));
    }
}
