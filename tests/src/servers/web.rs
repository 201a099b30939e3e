//! As much of HTTP as asking a test's server takes: one request a connection, the answer whole.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Where a server listens.
#[derive(Debug, Clone)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Place::Unix(path.to_owned())
    }
}

impl From<u16> for Place {
    fn from(port: u16) -> Self {
        Place::Tcp(SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Status and body of the answer to a request.
///
/// # Errors
/// Nobody answers, or not in HTTP.
pub fn ask(place: &Place, method: &str, target: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream: Box<dyn Stream> = match place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            Box::new(stream)
        }
        Place::Unix(path) => Box::new(UnixStream::connect(path)?),
    };
    // Version 1.0: the answer ends with the connection and comes in one piece.
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    parts.ok_or_else(|| io::Error::other(format!("no answer in HTTP: {answer:?}")))
}

/// Text as a part of a query.
pub fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
