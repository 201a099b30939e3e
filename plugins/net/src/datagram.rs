//! Datagrams: each is a message. What the kernel drops for want of room is counted.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use headwater_plugin_api::plugin::{
    Context, Counter, Error, ErrorKind, Framing, Host, Intake, Read, ReadBuffer, Source,
};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SocketAddrAny};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::accept::canonical;

/// The longest datagram over UDP.
pub const UDP_MAX: usize = 65_535;

/// How long after a datagram the kernel is asked what it dropped.
const DROPS_DELAY: Duration = Duration::from_secs(1);

/// A socket that takes datagrams.
pub struct Socket {
    /// The socket.
    pub fd: Arc<OwnedFd>,
    /// The longest datagram.
    pub max: usize,
    /// The addresses that may send; empty for all.
    pub allowed: Vec<IpAddr>,
    /// What the kernel drops; `None` where it never does.
    pub drops: Option<Arc<Drops>>,
    /// Its counters and its log.
    pub losses: Losses,
}

/// What is lost besides, and said once.
pub struct Losses {
    host: Host,
    not_allowed: Counter,
    lost: Counter,
    bad: Counter,
    said: bool,
}

impl Losses {
    /// Nothing lost yet.
    pub fn new(host: &Host) -> Losses {
        Losses {
            host: host.clone(),
            not_allowed: host.counter("datagrams_not_allowed"),
            lost: host.counter("datagrams_lost"),
            bad: host.counter("datagrams_bad"),
            said: false,
        }
    }

    /// A datagram that cannot be used. The first is logged, all are counted.
    fn bad(&mut self, why: &str) {
        self.bad.add(1);
        if !std::mem::replace(&mut self.said, true) {
            self.host.warn(&format!("{why}; others are counted in datagrams_bad"));
        }
    }
}

enum Received {
    /// So many bytes from there.
    Datagram(usize, Option<SocketAddr>),
    /// One that was not for us.
    Skipped,
    /// There is none.
    None,
}

impl Socket {
    fn receive(&mut self, room: &mut [u8]) -> Result<Received, Error> {
        let (len, size, from) = match rustix::net::recvfrom(&self.fd, room, RecvFlags::TRUNC) {
            Ok(received) => received,
            Err(Errno::AGAIN) => return Ok(Received::None),
            // An answer of the network to something that was sent.
            Err(Errno::INTR | Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => {
                return Ok(Received::Skipped);
            }
            Err(error) => {
                return Err(Error::failed(format!("datagrams cannot be read: {error}")));
            }
        };
        if let Some(drops) = &self.drops {
            drops.touch();
        }
        let from = from.and_then(|from: SocketAddrAny| SocketAddr::try_from(from).ok());
        let from = from.map(canonical);
        if !self.allowed.is_empty() && !from.is_some_and(|from| self.allowed.contains(&from.ip())) {
            self.losses.not_allowed.add(1);
            return Ok(Received::Skipped);
        }
        if size > len {
            self.losses.bad(&format!(
                "a datagram of {size} bytes was refused, {len} is the limit; raise \
                 read_buffer_size"
            ));
            return Ok(Received::Skipped);
        }
        Ok(if len == 0 { Received::Skipped } else { Received::Datagram(len, from) })
    }
}

/// Reads datagrams into the agent's buffer, many in one turn.
pub struct Datagrams(pub Socket);

impl Source for Datagrams {
    fn read(&mut self, _cx: &Context<'_>, buffer: &mut ReadBuffer<'_>) -> Result<Read, Error> {
        let socket = &mut self.0;
        if let Some(drops) = &socket.drops {
            buffer.add_lost(drops.take());
        }
        loop {
            let max = socket.max;
            let filled = buffer.filled();
            if filled > 0 && (buffer.free_messages() == 0 || buffer.free().len() < max) {
                return Ok(Read::Some);
            }
            let room = buffer.free();
            let len = room.len().min(max);
            match socket.receive(&mut room[..len])? {
                Received::None => return Ok(Read::Blocked),
                Received::Skipped => {}
                Received::Datagram(len, _) => {
                    buffer.advance(len);
                    if !buffer.end_message() {
                        return Err(Error::failed("the agent has no room for messages"));
                    }
                }
            }
        }
    }
}

/// Reads datagrams that must be unpacked, or whose points bear the sender's address, and pushes them
/// one by one.
pub struct Pushed {
    /// The socket.
    pub socket: Socket,
    /// Bytes of an unpacked datagram at most; `None` if they are not packed.
    pub gzip: Option<usize>,
    /// The tag that takes the sender's address; empty for none.
    pub peer_tag: String,
    /// What senders without an address are called.
    pub local_name: String,
    room: Vec<u8>,
    unpacked: Vec<u8>,
}

impl Pushed {
    /// See the fields.
    pub fn new(socket: Socket, gzip: Option<usize>, peer_tag: String, local_name: String) -> Self {
        let room = vec![0; socket.max];
        Pushed { socket, gzip, peer_tag, local_name, room, unpacked: Vec::new() }
    }

    /// Takes what there is.
    ///
    /// # Errors
    /// The socket is of no use any more.
    pub fn ready(&mut self, cx: &Context<'_>, intake: &Intake) -> Result<(), Error> {
        while !cx.is_cancelled() {
            if let Some(drops) = &self.socket.drops {
                self.socket.losses.lost.add(u64::from(drops.take()));
            }
            let (len, from) = match self.socket.receive(&mut self.room)? {
                Received::None => break,
                Received::Skipped => continue,
                Received::Datagram(len, from) => (len, from),
            };
            let data = match self.gzip {
                None => &self.room[..len],
                Some(max) => match unpack(&self.room[..len], &mut self.unpacked, max) {
                    Ok(()) => &self.unpacked[..],
                    Err(why) => {
                        let from = from.map_or(self.local_name.clone(), |from| from.to_string());
                        self.socket.losses.bad(&format!("a datagram from {from} {why}"));
                        continue;
                    }
                },
            };
            let address = from.map(|from| from.ip().to_string());
            let value = address.as_deref().unwrap_or(&self.local_name);
            let tags = [(self.peer_tag.as_str(), value)];
            let tags = if self.peer_tag.is_empty() { &[][..] } else { &tags };
            match intake.push_bytes(Framing::Whole, data, tags, None, 0) {
                Ok(()) => {}
                Err(error) if *error.kind() == ErrorKind::WouldBlock => {
                    self.socket.losses.lost.add(1);
                }
                Err(error) => self.socket.losses.bad(error.message()),
            }
        }
        Ok(())
    }
}

/// Unpacks a datagram, up to a bound: a few bytes may stand for very many.
fn unpack(data: &[u8], out: &mut Vec<u8>, max: usize) -> Result<(), String> {
    /// What stays reserved between datagrams.
    const KEEP: usize = 1 << 20;
    out.clear();
    out.shrink_to(KEEP);
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = flate2::read::MultiGzDecoder::new(data).take(limit);
    match decoder.read_to_end(out) {
        Err(error) => Err(format!("is not gzip: {error}")),
        Ok(_) if out.len() > max => Err(format!(
            "has more than {max} bytes when it is unpacked; raise max_decompression_size"
        )),
        Ok(_) => Ok(()),
    }
}

/// What the kernel dropped because a socket's buffer was full. It is asked a second after datagrams
/// came, and not at all while none come.
pub struct Drops {
    timer: OwnedFd,
    table: &'static str,
    inode: u64,
    armed: AtomicBool,
    seen: AtomicU64,
    untold: AtomicU64,
}

impl Drops {
    /// Of a UDP socket.
    ///
    /// # Errors
    /// The system has no timer to give.
    pub fn new(socket: &OwnedFd) -> std::io::Result<Drops> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let ipv4 = matches!(
            SocketAddr::try_from(rustix::net::getsockname(socket)?),
            Ok(SocketAddr::V4(_))
        );
        // The tables of the process itself: /proc may be another machine's.
        let table = if ipv4 { "/proc/self/net/udp" } else { "/proc/self/net/udp6" };
        let file = std::fs::File::from(socket.try_clone()?);
        let inode = file.metadata()?.ino();
        Ok(Drops {
            timer,
            table,
            inode,
            armed: AtomicBool::new(false),
            seen: AtomicU64::new(0),
            untold: AtomicU64::new(0),
        })
    }

    /// What to watch, and to call [`Drops::ask`] for.
    pub fn timer(&self) -> &OwnedFd {
        &self.timer
    }

    fn touch(&self) {
        if self.armed.load(Ordering::Relaxed) || self.armed.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Ok(delay) = Timespec::try_from(DROPS_DELAY) {
            let none = Timespec { tv_sec: 0, tv_nsec: 0 };
            let spec = Itimerspec { it_interval: none, it_value: delay };
            let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec);
        }
    }

    /// Asks the kernel; true if there is something to tell.
    pub fn ask(&self) -> bool {
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        self.armed.store(false, Ordering::Relaxed);
        let Ok(table) = std::fs::read_to_string(self.table) else { return false };
        let Some(dropped) = dropped(&table, self.inode) else { return false };
        let before = self.seen.swap(dropped, Ordering::Relaxed);
        // The kernel counts in 32 bits.
        let more = (dropped as u32).wrapping_sub(before as u32);
        self.untold.fetch_add(u64::from(more), Ordering::Relaxed);
        more > 0
    }

    /// What was not told yet.
    pub fn take(&self) -> u32 {
        if self.untold.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        u32::try_from(self.untold.swap(0, Ordering::Relaxed)).unwrap_or(u32::MAX)
    }
}

/// The drops of a socket in the kernel's table of sockets.
fn dropped(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(9);
        (words.next()?.parse() == Ok(inode)).then(|| words.nth(2)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn drops_are_found_in_the_table() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   \
                     uid  timeout inode ref pointer drops\n  \
                     351: 0100007F:0143 00000000:0000 07 00000000:00000000 00:00000000 00000000     \
                     0        0 17 2 0000000000000000 42\n  \
                     352: 0100007F:0144 00000000:0000 07 00000000:00000000 00:00000000 00000000     \
                     0        0 18 2 0000000000000000 7\n";
        assert_eq!(dropped(table, 17), Some(42));
        assert_eq!(dropped(table, 18), Some(7));
        assert_eq!(dropped(table, 19), None);
        assert_eq!(dropped("", 1), None);
    }

    #[test]
    fn what_the_kernel_drops_is_told() {
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&receiver, 4096).unwrap();
        let fd = OwnedFd::from(receiver);
        let drops = Drops::new(&fd).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        // On the loopback a datagram is delivered, or dropped, before the call returns.
        for _ in 0..100 {
            sender.send_to(&[b'x'; 1000], address).unwrap();
        }
        assert!(drops.ask());
        let told = drops.take();
        assert!((50..100).contains(&told), "{told}");
        assert!(!drops.ask(), "told once");
        assert_eq!(drops.take(), 0);
    }

    #[test]
    fn unpacking_is_bounded() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(&[b'a'; 100_000]).unwrap();
        let packed = packer.finish().unwrap();
        let mut out = Vec::new();
        unpack(&packed, &mut out, 100_000).unwrap();
        assert_eq!(out.len(), 100_000);
        assert!(unpack(&packed, &mut out, 99_999).unwrap_err().contains("max_decompression_size"));
        assert!(out.len() <= 100_000);
        assert!(unpack(b"plain", &mut out, 10).unwrap_err().contains("not gzip"));
        assert!(unpack(&packed[..packed.len() / 2], &mut out, 100_000).is_err());
    }
}
