//! The connections of one listener: how many there may be, and which have been silent for too long.
//!
//! Time is counted in ticks of one timer, eight to the shortest timeout: a read stores a number and
//! asks no clock, and without connections there is no timer.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use headwater_plugin_api::plugin::{Counter, Error, Gauge, Host, Intake};
use rustix::net::Shutdown;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Ticks in the shortest timeout: a connection lives at most an eighth longer than it says.
const TICKS: u32 = 8;

/// What bounds the connections. `None` is no bound.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: Option<usize>,
    /// Time without a complete message.
    pub message: Option<Duration>,
    /// Time without a byte.
    pub idle: Option<Duration>,
    /// Time until a TLS handshake is done.
    pub handshake: Option<Duration>,
}

/// The connections of one listener.
pub struct Hub {
    host: Host,
    max: usize,
    period: Option<Duration>,
    ticks: TickLimits,
    tick: AtomicU32,
    timer: OwnedFd,
    state: Mutex<State>,
    open: Gauge,
    refused: Counter,
    timed_out: Counter,
}

#[derive(Debug, Default, Clone, Copy)]
struct TickLimits {
    message: Option<u32>,
    idle: Option<u32>,
    handshake: Option<u32>,
}

#[derive(Default)]
struct State {
    last: u64,
    peers: BTreeMap<u64, Weak<Peer>>,
    refusing: bool,
}

impl Hub {
    /// A hub without connections.
    ///
    /// # Errors
    /// The system has no timer to give.
    pub fn new(limits: &Limits, host: &Host) -> Result<Hub, Error> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|error| Error::not_connected(format!("cannot make a timer: {error}")))?;
        let shortest = [limits.message, limits.idle, limits.handshake].into_iter().flatten().min();
        let period = shortest.map(|time| (time / TICKS).max(Duration::from_millis(1)));
        let ticks = |time: Option<Duration>| {
            let ticks = time?.as_nanos().div_ceil(period?.as_nanos());
            Some(u32::try_from(ticks).unwrap_or(u32::MAX))
        };
        Ok(Hub {
            host: host.clone(),
            max: limits.connections.unwrap_or(usize::MAX),
            period,
            ticks: TickLimits {
                message: ticks(limits.message),
                idle: ticks(limits.idle),
                handshake: ticks(limits.handshake),
            },
            tick: AtomicU32::new(0),
            timer,
            state: Mutex::default(),
            open: host.gauge("connections"),
            refused: host.counter("connections_refused"),
            timed_out: host.counter("connections_timed_out"),
        })
    }

    /// The timer to watch, if anything has a timeout.
    pub fn timer(&self) -> Option<&OwnedFd> {
        self.period.map(|_| &self.timer)
    }

    /// The agent's services.
    pub fn host(&self) -> &Host {
        &self.host
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in; `None` if there are as many as there may be. Then it was dropped, which
    /// closes it, and it is counted, and logged when that begins.
    pub fn admit(
        self: &Arc<Self>,
        fd: OwnedFd,
        name: String,
        encrypted: bool,
    ) -> Option<Arc<Peer>> {
        let mut state = self.state();
        if state.peers.len() >= self.max {
            self.refused.add(1);
            if !std::mem::replace(&mut state.refusing, true) {
                drop(state);
                self.host.warn(&format!(
                    "{name} was turned away: there are {} connections, as many as max_connections \
                     allows; others are counted in connections_refused",
                    self.max
                ));
            }
            return None;
        }
        state.last += 1;
        let tick = self.tick.load(Ordering::Relaxed);
        let peer = Arc::new(Peer {
            fd,
            name,
            id: state.last,
            hub: Arc::clone(self),
            source: AtomicU64::new(0),
            last_byte: AtomicU32::new(tick),
            last_message: AtomicU32::new(tick),
            shaking_hands: AtomicBool::new(encrypted),
            holds_bytes: AtomicBool::new(false),
            timed_out: AtomicBool::new(false),
        });
        state.peers.insert(peer.id, Arc::downgrade(&peer));
        self.open.set(i64::try_from(state.peers.len()).unwrap_or(i64::MAX));
        if state.peers.len() == 1 {
            self.set_timer(self.period);
        }
        Some(peer)
    }

    fn leave(&self, id: u64) {
        let mut state = self.state();
        state.peers.remove(&id);
        state.refusing = false;
        self.open.set(i64::try_from(state.peers.len()).unwrap_or(i64::MAX));
        if state.peers.is_empty() && self.period.is_some() {
            self.set_timer(Some(Duration::ZERO));
        }
    }

    /// Starts the timer, or stops it with a period of zero.
    fn set_timer(&self, period: Option<Duration>) {
        let Some(period) = period else { return };
        let Ok(time) = Timespec::try_from(period) else { return };
        let spec = Itimerspec { it_interval: time, it_value: time };
        if let Err(error) = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec) {
            self.host.error(&format!("cannot set the timer for timeouts: {error}"));
        }
    }

    fn peers(&self) -> Vec<Arc<Peer>> {
        // Collected, because the last clone of a peer takes the lock when it goes.
        self.state().peers.values().filter_map(Weak::upgrade).collect()
    }

    /// Counts the ticks that have passed and ends the connections that were silent for too long.
    pub fn sweep(&self) {
        let mut expirations = [0; 8];
        let passed = match rustix::io::read(&self.timer, &mut expirations) {
            Ok(8) => u32::try_from(u64::from_ne_bytes(expirations)).unwrap_or(u32::MAX),
            _ => return,
        };
        let now = self.tick.fetch_add(passed, Ordering::Relaxed).wrapping_add(passed);
        for peer in self.peers() {
            peer.expire(now, self.ticks);
        }
    }

    /// Ends all connections, after what was read of them is worked off.
    pub fn close_all(&self, intake: &Intake) {
        for peer in self.peers() {
            match peer.source.load(Ordering::Acquire) {
                0 => peer.shut(),
                source => intake.close(source),
            }
        }
    }
}

/// One connection, from both ends of the listener: the source that reads it and the hub.
pub struct Peer {
    /// The connection.
    pub fd: OwnedFd,
    /// Who is there, as a person reads it.
    pub name: String,
    /// The hub it belongs to.
    pub hub: Arc<Hub>,
    id: u64,
    source: AtomicU64,
    last_byte: AtomicU32,
    last_message: AtomicU32,
    shaking_hands: AtomicBool,
    holds_bytes: AtomicBool,
    timed_out: AtomicBool,
}

impl Peer {
    /// Tells which source reads it.
    pub fn set_source(&self, source: u64) {
        self.source.store(source, Ordering::Release);
    }

    /// Whether anybody wants to know when messages are complete.
    pub fn counts_messages(&self) -> bool {
        self.hub.ticks.message.is_some()
    }

    /// Tells that bytes came.
    pub fn saw_bytes(&self) {
        self.last_byte.store(self.hub.tick.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Tells that a message was complete.
    pub fn saw_message(&self) {
        self.last_message.store(self.hub.tick.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Tells that the TLS handshake is done.
    pub fn shook_hands(&self) {
        if self.shaking_hands.swap(false, Ordering::Relaxed) {
            self.saw_message();
        }
    }

    /// Tells whether bytes wait in the process that the kernel does not know of.
    pub fn set_holds_bytes(&self, holds: bool) {
        self.holds_bytes.store(holds, Ordering::Relaxed);
    }

    fn shut(&self) {
        let _ = rustix::net::shutdown(self.fd.as_fd(), Shutdown::Both);
    }

    fn expire(&self, now: u32, limits: TickLimits) {
        let since = |last: &AtomicU32| now.wrapping_sub(last.load(Ordering::Relaxed));
        let over = |limit: Option<u32>, last| limit.is_some_and(|limit| since(last) > limit);
        // Bytes that nobody has fetched are the agent's delay and not the peer's silence.
        let waits = || {
            self.holds_bytes.load(Ordering::Relaxed)
                || rustix::io::ioctl_fionread(&self.fd).is_ok_and(|bytes| bytes > 0)
        };
        let expired = if self.shaking_hands.load(Ordering::Relaxed) {
            over(limits.handshake, &self.last_message) && !waits()
        } else {
            let is_read = since(&self.last_byte) <= 1;
            over(limits.idle, &self.last_byte) && !waits()
                || over(limits.message, &self.last_message) && (is_read || !waits())
        };
        if expired && !self.timed_out.swap(true, Ordering::Relaxed) {
            self.hub.timed_out.add(1);
            // The source finds the end and goes the way of every closed connection.
            self.shut();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.hub.leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use rustix::event::{PollFd, PollFlags};

    use super::*;

    fn hub(limits: Limits) -> Arc<Hub> {
        Arc::new(Hub::new(&limits, &Host::detached()).unwrap())
    }

    fn peer(hub: &Arc<Hub>, encrypted: bool) -> (Option<Arc<Peer>>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (hub.admit(ours.into(), "peer".to_owned(), encrypted), theirs)
    }

    /// Waits for the timer so many times. False if it does not run.
    fn ticks(hub: &Hub, count: u32) -> bool {
        let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
        for _ in 0..count {
            let mut fds = [PollFd::new(&hub.timer, PollFlags::IN)];
            if rustix::event::poll(&mut fds, Some(&patience)).unwrap() == 0 {
                return false;
            }
            hub.sweep();
        }
        true
    }

    fn is_closed(theirs: &mut UnixStream) -> bool {
        matches!(theirs.read(&mut [0; 1]), Ok(0))
    }

    const SHORT: Option<Duration> = Some(Duration::from_millis(16));

    #[test]
    fn a_handshake_that_is_not_done_in_time_is_ended() {
        let hub = hub(Limits { handshake: SHORT, ..Limits::default() });
        let (slow, mut slow_end) = peer(&hub, true);
        let (quick, mut quick_end) = peer(&hub, true);
        quick.as_ref().unwrap().shook_hands();
        assert!(ticks(&hub, 3 * TICKS));
        assert!(is_closed(&mut slow_end));
        assert!(!is_closed(&mut quick_end), "nothing else has a timeout");
        assert_eq!(hub.timed_out.get(), 1);
        drop((slow, quick));
    }

    #[test]
    fn bytes_keep_a_connection_open_and_messages_do_not_end_it() {
        let hub = hub(Limits { idle: SHORT, message: SHORT, ..Limits::default() });
        let (talks, mut talks_end) = peer(&hub, false);
        let (mumbles, mut mumbles_end) = peer(&hub, false);
        let (talks, mumbles) = (talks.unwrap(), mumbles.unwrap());
        for _ in 0..3 * TICKS {
            talks.saw_bytes();
            talks.saw_message();
            mumbles.saw_bytes();
            assert!(ticks(&hub, 1));
        }
        assert!(!is_closed(&mut talks_end));
        assert!(is_closed(&mut mumbles_end), "bytes and no message");
    }

    #[test]
    fn what_the_process_holds_is_not_silence() {
        let hub = hub(Limits { idle: SHORT, ..Limits::default() });
        let (held, mut held_end) = peer(&hub, false);
        let held = held.unwrap();
        held.set_holds_bytes(true);
        assert!(ticks(&hub, 3 * TICKS));
        assert!(!is_closed(&mut held_end));
        held.set_holds_bytes(false);
        assert!(ticks(&hub, 1));
        assert!(is_closed(&mut held_end));
    }

    #[test]
    fn places_are_given_back() {
        let hub = hub(Limits { connections: Some(2), ..Limits::default() });
        let (first, _first_end) = peer(&hub, false);
        let (_second, _second_end) = peer(&hub, false);
        let (third, mut third_end) = peer(&hub, false);
        assert!(third.is_none() && is_closed(&mut third_end));
        assert_eq!((hub.open.get(), hub.refused.get()), (2, 1));
        drop(first);
        assert!(peer(&hub, false).0.is_some());
        assert!(hub.timer().is_none());
    }

    #[test]
    fn short_times_are_not_cut_shorter() {
        let hub = hub(Limits {
            idle: Some(Duration::from_millis(3)),
            message: Some(Duration::from_millis(10)),
            ..Limits::default()
        });
        assert_eq!(hub.period, Some(Duration::from_millis(1)));
        assert_eq!(
            (hub.ticks.idle, hub.ticks.message, hub.ticks.handshake),
            (Some(3), Some(10), None)
        );
    }
}
