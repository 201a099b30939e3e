//! Sends a load to the agent.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::case::LINES_PER_DATAGRAM;

/// How long the agent may take to read it all.
pub const PATIENCE: Duration = Duration::from_secs(1200);

/// The bytes of each part of a file that is cut into parts at line ends.
fn cuts(path: &Path, parts: usize) -> io::Result<Vec<(u64, u64)>> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut cuts = Vec::with_capacity(parts);
    let mut start = 0;
    for part in 1..=parts as u64 {
        let mut end = len * part / parts as u64;
        if end < len {
            file.seek(SeekFrom::Start(end))?;
            let mut byte = [0];
            while end < len {
                file.read_exact(&mut byte)?;
                end += 1;
                if byte[0] == b'\n' {
                    break;
                }
            }
        }
        cuts.push((start, end.max(start)));
        start = end.max(start);
    }
    Ok(cuts)
}

/// Through connections at the same time; waits until the agent has read them all.
pub fn tcp(to: SocketAddr, path: &Path, connections: usize) -> io::Result<()> {
    let send = |(start, end): (u64, u64)| -> io::Result<()> {
        let mut stream = TcpStream::connect(to)?;
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(start))?;
        io::copy(&mut file.take(end - start), &mut stream)?;
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        read_end(stream)
    };
    let cuts = cuts(path, connections)?;
    std::thread::scope(|scope| {
        let senders: Vec<_> = cuts.into_iter().map(|cut| scope.spawn(move || send(cut))).collect();
        senders.into_iter().try_for_each(|sender| {
            sender.join().unwrap_or_else(|_| Err(io::Error::other("a sender panicked")))
        })
    })
}

/// Through a socket in the file system.
pub fn unix(to: &Path, path: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(to)?;
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

/// Writes what a generator makes until the time is over; gives the lines.
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
    fn a_file_is_cut_at_line_ends() {
        let path = std::env::temp_dir().join(format!("yardstick-cuts-{}", std::process::id()));
        let text: String = (0..100).map(|n| format!("{}\n", "x".repeat(n % 7 + 1))).collect();
        std::fs::write(&path, &text).unwrap();
        for parts in [1, 2, 8, 300] {
            let cuts = cuts(&path, parts).unwrap();
            assert_eq!(cuts.len(), parts);
            let mut at = 0;
            for (start, end) in cuts {
                assert_eq!(start, at);
                assert!(end == 0 || text.as_bytes()[end as usize - 1] == b'\n');
                at = end;
            }
            assert_eq!(at, text.len() as u64);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
