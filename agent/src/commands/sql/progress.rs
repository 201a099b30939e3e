//! A bar on the terminal for long input.

use std::io::Write;
use std::time::{Duration, Instant};

/// Smaller input is read before anybody could look.
const BYTES_MIN: u64 = 64 << 20;
const EVERY: Duration = Duration::from_millis(200);
const WIDTH: u64 = 30;
const MEGABYTE: f64 = 1e6;

/// The bar.
pub struct Progress {
    total: u64,
    started: Instant,
    drawn: Option<Instant>,
    /// It stands in the last line of the terminal.
    stands: bool,
}

impl Progress {
    /// A bar for so many bytes; none if the input is small.
    pub fn new(total: u64) -> Option<Progress> {
        let started = Instant::now();
        (total >= BYTES_MIN).then_some(Progress { total, started, drawn: None, stands: false })
    }

    /// Draws it, a few times each second.
    pub fn draw(&mut self, err: &mut dyn Write, read: u64) {
        if self.drawn.unwrap_or(self.started).elapsed() < EVERY {
            return;
        }
        self.drawn = Some(Instant::now());
        self.stands = true;
        let line = line(read, self.total, self.started.elapsed());
        let _ = write!(err, "\r{line}\x1b[K").and_then(|()| err.flush());
    }

    /// Takes it away, before something else is written.
    pub fn clear(&mut self, err: &mut dyn Write) {
        if std::mem::take(&mut self.stands) {
            let _ = write!(err, "\r\x1b[K").and_then(|()| err.flush());
        }
    }
}

fn line(read: u64, total: u64, since: Duration) -> String {
    let (read, total) = (read.min(total), total.max(1));
    let bar = "#".repeat((read * WIDTH / total) as usize);
    let rate = read as f64 / since.as_secs_f64().max(0.001);
    let left = ((total - read) as f64 / rate.max(1.0)).min(359_999.0) as u64;
    format!(
        "{:3} % [{bar:<width$}] {:.0} of {:.0} MB, {:.0} MB/s, {}:{:02} left",
        read * 100 / total,
        read as f64 / MEGABYTE,
        total as f64 / MEGABYTE,
        rate / MEGABYTE,
        left / 60,
        left % 60,
        width = WIDTH as usize,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says() {
        assert_eq!(
            line(50_000_000, 200_000_000, Duration::from_secs(2)),
            " 25 % [#######                       ] 50 of 200 MB, 25 MB/s, 0:06 left"
        );
        assert!(line(0, 0, Duration::ZERO).starts_with("  0 % ["));
        assert!(Progress::new(1000).is_none());
    }

    #[test]
    fn nothing_is_drawn_at_once_and_nothing_cleared() {
        let mut bar = Progress::new(BYTES_MIN).unwrap();
        let mut err = Vec::new();
        bar.draw(&mut err, 1);
        bar.clear(&mut err);
        assert!(err.is_empty());
    }
}
