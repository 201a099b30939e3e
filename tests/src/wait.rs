//! Waiting for a condition, with a deadline: never for a time alone.

use std::time::{Duration, Instant};

/// How long tests wait for what takes milliseconds on a quiet machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer, or the deadline is past.
pub fn poll<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Asks until there is an answer.
///
/// # Panics
/// With `what` if there is none in time.
pub fn until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    match poll(PATIENCE, ask) {
        Some(answer) => answer,
        None => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits until a condition holds.
///
/// # Panics
/// With `what` if it does not in time.
pub fn holds(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, || condition().then_some(()));
}
