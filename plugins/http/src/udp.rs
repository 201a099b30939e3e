//! Line protocol in datagrams, which nobody confirms.

use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};

use headwater_plugin_api::plugin::Error;

/// A socket to one server.
pub struct Udp {
    socket: UdpSocket,
    name: String,
    /// Bytes of a datagram.
    payload: usize,
}

impl Udp {
    /// Opens a socket. `scheme` says which addresses of the host to take.
    ///
    /// # Errors
    /// The host has no address, or there is no socket.
    pub fn new(
        place: &str,
        scheme: &str,
        local: Option<&str>,
        payload: usize,
    ) -> Result<Udp, Error> {
        let name = format!("{scheme}://{place}");
        let failed =
            |what: &str, why: String| Error::not_connected(format!("{name}: {what}: {why}"));
        let addresses =
            place.to_socket_addrs().map_err(|error| failed("no address", error.to_string()))?;
        let wanted = |address: &SocketAddr| match scheme {
            "udp4" => address.is_ipv4(),
            "udp6" => address.is_ipv6(),
            _ => true,
        };
        let address = addresses
            .into_iter()
            .find(wanted)
            .ok_or_else(|| failed("no address", format!("none is right for {scheme}")))?;
        let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
        let socket = UdpSocket::bind((local.unwrap_or(any), 0))
            .map_err(|error| failed("no socket", error.to_string()))?;
        socket.connect(address).map_err(|error| failed("no route", error.to_string()))?;
        Ok(Udp { socket, name, payload })
    }

    /// Sends whole lines, as many in a datagram as fit. Lines that fit into none are not sent, and
    /// given to `too_long`.
    ///
    /// # Errors
    /// The network's.
    pub fn send(&self, lines: &[u8], mut too_long: impl FnMut(&[u8])) -> Result<(), Error> {
        datagrams(lines, self.payload, |part| match part {
            Part::Datagram(bytes) => self
                .socket
                .send(bytes)
                .map(|_| ())
                .map_err(|error| Error::failed(format!("{}: {error}", self.name))),
            Part::TooLong(line) => {
                too_long(line);
                Ok(())
            }
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Datagram(&'a [u8]),
    TooLong(&'a [u8]),
}

/// Cuts lines into runs of at most `payload` bytes.
fn datagrams(
    lines: &[u8],
    payload: usize,
    mut out: impl FnMut(Part<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // A run of lines that is not out yet.
    let (mut start, mut end) = (0, 0);
    while end < lines.len() {
        let line = &lines[end..end + line_len(&lines[end..])];
        if start < end && end - start + line.len() > payload {
            out(Part::Datagram(&lines[start..end]))?;
            start = end;
        }
        end += line.len();
        if line.len() > payload {
            out(Part::TooLong(line))?;
            start = end;
        }
    }
    if start < end { out(Part::Datagram(&lines[start..end])) } else { Ok(()) }
}

/// Bytes of the first line with its end. Text in quotes may hold line ends; quotes count behind
/// the tags alone.
fn line_len(text: &[u8]) -> usize {
    let (mut in_fields, mut in_quotes, mut escaped) = (false, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' if in_fields => in_quotes = !in_quotes,
            b' ' => in_fields = true,
            b'\n' if !in_quotes => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_packed_whole() {
        let check = |lines: &str, payload: usize, expected: &[&str]| {
            let mut parts = Vec::new();
            datagrams(lines.as_bytes(), payload, |part| {
                parts.push(match part {
                    Part::Datagram(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                    Part::TooLong(line) => format!("!{}", String::from_utf8_lossy(line)),
                });
                Ok(())
            })
            .unwrap();
            assert_eq!(parts, expected, "{lines:?}");
        };
        check("aa\nbb\ncc\n", 6, &["aa\nbb\n", "cc\n"]);
        check("aa\nbb\ncc\n", 8, &["aa\nbb\n", "cc\n"]);
        check("aa\nbb\ncc\n", 9, &["aa\nbb\ncc\n"]);
        check("aa\nbbbbbbb\ncc\n", 6, &["aa\n", "!bbbbbbb\n", "cc\n"]);
        check("aaaaaaa\n", 6, &["!aaaaaaa\n"]);
        check("aa", 6, &["aa"]);
        let text = "m,t=\\ \"x f=\"a\\\"\nb\" 1\nc\n";
        check(text, text.len() - 1, &["m,t=\\ \"x f=\"a\\\"\nb\" 1\n", "c\n"]);
        check("m,t=\"x f=1\nc\n", 11, &["m,t=\"x f=1\n", "c\n"]);
        check("", 6, &[]);
    }

    #[test]
    fn datagrams_arrive() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = server.local_addr().unwrap().to_string();
        let udp = Udp::new(&place, "udp4", Some("127.0.0.1"), 8).unwrap();
        let mut long = 0;
        udp.send(b"a b=1\nc d=2\nlong long=1\n", |_| long += 1).unwrap();
        let mut buffer = [0; 64];
        for expected in ["a b=1\n", "c d=2\n"] {
            let len = server.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], expected.as_bytes());
        }
        assert_eq!(long, 1);
        assert!(Udp::new(&place, "udp6", None, 8).is_err());
    }
}
