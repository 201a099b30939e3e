//! Sends a load to the agent.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::case::LINES_PER_DATAGRAM;

/// How long the agent may take to read it all.
pub const PATIENCE: Duration = Duration::from_secs(1200);

/// Cuts a text into parts at line ends; later ones may be empty.
fn cuts(text: &[u8], parts: usize) -> Vec<&[u8]> {
    let mut start = 0;
    (1..=parts)
        .map(|part| {
            let wanted = (text.len() * part / parts).max(start);
            let line = text[wanted..].iter().position(|byte| *byte == b'\n');
            let end = match wanted {
                0 => 0,
                at if text[at - 1] == b'\n' => at,
                at => line.map_or(text.len(), |line| at + line + 1),
            };
            let part = &text[start.min(end)..end];
            start = end;
            part
        })
        .collect()
}

/// Through connections at the same time; waits until the agent has read them all. The text is in
/// memory and goes in large writes: the sender shares the cores with the agent.
pub fn tcp(to: SocketAddr, text: &[u8], connections: usize) -> io::Result<()> {
    let send = |text: &[u8]| -> io::Result<()> {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(text)?;
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        read_end(stream)
    };
    std::thread::scope(|scope| {
        let parts = cuts(text, connections).into_iter();
        let senders: Vec<_> = parts.map(|part| scope.spawn(move || send(part))).collect();
        senders.into_iter().try_for_each(|sender| {
            sender.join().unwrap_or_else(|_| Err(io::Error::other("a sender panicked")))
        })
    })
}

/// Through a socket in the file system.
pub fn unix(mut stream: UnixStream, path: &Path) -> io::Result<()> {
    io::copy(&mut File::open(path)?, &mut stream)?;
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    read_end(stream)
}

/// The agent closes its side when it has read ours to the end.
fn read_end(mut stream: impl Read) -> io::Result<()> {
    stream.read(&mut [0; 16]).map(|_| ())
}

/// Datagrams of whole lines, as quick as they can be sent; gives their number. Lines at the end that
/// do not fill one are left out.
pub fn udp(to: SocketAddr, text: &[u8]) -> io::Result<u64> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let (mut sent, mut start, mut lines) = (0, 0, 0);
    for (at, byte) in text.iter().enumerate() {
        if *byte != b'\n' {
            continue;
        }
        lines += 1;
        if lines == LINES_PER_DATAGRAM {
            socket.send_to(&text[start..=at], to)?;
            sent += 1;
            (start, lines) = (at + 1, 0);
        }
    }
    Ok(sent)
}

/// One line, for the kernel to tell with it what it dropped before.
pub fn after(to: SocketAddr) -> io::Result<()> {
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"after n=1i 1\n", to).map(|_| ())
}

/// Writes what a generator makes until it or the time is over; gives the lines.
pub fn stream(
    to: SocketAddr,
    mut lines: headwater_tests::load::Lines<'_>,
    time: Duration,
) -> io::Result<u64> {
    let mut stream = TcpStream::connect(to)?;
    let end = std::time::Instant::now() + time;
    let (mut chunk, mut count) = (String::with_capacity(1 << 18), 0);
    while std::time::Instant::now() < end {
        chunk.clear();
        while chunk.len() < 1 << 17 && lines.next_into(&mut chunk) {
            count += 1;
        }
        if chunk.is_empty() {
            break;
        }
        stream.write_all(chunk.as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    read_end(stream)?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_line_ends() {
        let text: String = (0..100).map(|n| format!("{}\n", "x".repeat(n % 7 + 1))).collect();
        for parts in [1, 2, 8, 300] {
            let cuts = cuts(text.as_bytes(), parts);
            assert_eq!(cuts.len(), parts);
            assert_eq!(cuts.concat(), text.as_bytes());
            assert!(cuts.iter().all(|part| part.is_empty() || part.ends_with(b"\n")));
        }
        assert_eq!(cuts(b"no end", 2).concat(), b"no end");
    }
}
