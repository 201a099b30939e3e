//! Where to listen: `tcp://host:port`, `udp4://...`, `unix:///path` and the like.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use headwater_plugin_api::plugin::Error;

/// Longer paths do not fit into the kernel's address of a socket.
const PATH_MAX: usize = 107;

const SCHEMES: &str = "tcp://, tcp4://, tcp6://, udp://, udp4://, udp6://, unix://, unixgram://, \
                       unixpacket:// and vsock://";

/// Which versions of IP are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Both, where no host says otherwise.
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// A host and a port as they were written, and the interface for multicast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Which versions of IP are meant.
    pub family: Family,
    /// A name or an address; empty for all addresses of the machine.
    pub host: String,
    /// A number, or a name in /etc/services.
    pub port: String,
    /// The interface behind `%`.
    pub interface: Option<String>,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Connections over TCP.
    Tcp(Endpoint),
    /// Datagrams over UDP.
    Udp(Endpoint),
    /// Connections over a socket in the file system.
    Unix(PathBuf),
    /// The same, in packets.
    UnixPacket(PathBuf),
    /// Datagrams over a socket in the file system.
    UnixGram(PathBuf),
    /// Connections between a virtual machine and its host; the port.
    Vsock(u32),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// A sentence with the address and the remedy.
    pub fn parse(text: &str) -> Result<Address, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!(
                "\"{text}\" is no address to listen on; write for instance \"tcp://:8094\" (known \
                 are {SCHEMES})"
            ));
        };
        let endpoint = |family| Endpoint::parse(text, rest, family);
        Ok(match scheme.to_ascii_lowercase().as_str() {
            "tcp" => Address::Tcp(endpoint(Family::Any)?),
            "tcp4" => Address::Tcp(endpoint(Family::V4)?),
            "tcp6" => Address::Tcp(endpoint(Family::V6)?),
            "udp" => Address::Udp(endpoint(Family::Any)?),
            "udp4" => Address::Udp(endpoint(Family::V4)?),
            "udp6" => Address::Udp(endpoint(Family::V6)?),
            "unix" => Address::Unix(path(text, rest)?),
            "unixpacket" => Address::UnixPacket(path(text, rest)?),
            "unixgram" => Address::UnixGram(path(text, rest)?),
            "vsock" => Address::Vsock(vsock_port(text, rest)?),
            "ip" | "ip4" | "ip6" => {
                return Err(format!(
                    "\"{text}\" asks for raw IP packets, which only privileged processes may read; \
                     let the sender use UDP and write \"udp://:port\""
                ));
            }
            _ => {
                return Err(format!("\"{scheme}\" in \"{text}\" is unknown; known are {SCHEMES}"));
            }
        })
    }

    /// Whether it takes datagrams and not connections.
    pub fn is_datagram(&self) -> bool {
        matches!(self, Address::Udp(_) | Address::UnixGram(_))
    }

    /// The path, if it is one in the file system.
    pub fn path(&self) -> Option<&PathBuf> {
        match self {
            Address::Unix(path) | Address::UnixPacket(path) | Address::UnixGram(path) => Some(path),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(endpoint) => write!(f, "tcp{endpoint}"),
            Address::Udp(endpoint) => write!(f, "udp{endpoint}"),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::UnixPacket(path) => write!(f, "unixpacket://{}", path.display()),
            Address::UnixGram(path) => write!(f, "unixgram://{}", path.display()),
            Address::Vsock(port) => write!(f, "vsock://:{port}"),
        }
    }
}

fn path(text: &str, path: &str) -> Result<PathBuf, String> {
    if path.is_empty() || path.contains('\0') {
        return Err(format!("\"{text}\" lacks a path; write for instance \"unix:///run/hw.sock\""));
    }
    if path.len() > PATH_MAX {
        return Err(format!(
            "the path of \"{text}\" has {} bytes and a socket's at most {PATH_MAX}; use a shorter \
             one",
            path.len()
        ));
    }
    Ok(PathBuf::from(path))
}

/// The port of `vsock://cid:port`. The machine listens on its own address, whatever number stands
/// there.
fn vsock_port(text: &str, rest: &str) -> Result<u32, String> {
    let port = rest.rsplit_once(':').and_then(|(cid, port)| {
        (cid.is_empty() || cid.parse::<u32>().is_ok()).then_some(port)?.parse().ok()
    });
    port.ok_or_else(|| {
        format!("\"{text}\" lacks an address and a port; write for instance \"vsock://2:8094\"")
    })
}

impl Endpoint {
    fn parse(text: &str, rest: &str, family: Family) -> Result<Endpoint, String> {
        let bad = |what: &str| {
            format!("\"{text}\" {what}; write for instance \"tcp://:8094\" or \"udp://[::1]:8094\"")
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) =
                    rest.split_once(']').ok_or_else(|| bad("has a bracket without its end"))?;
                let port = rest.strip_prefix(':').ok_or_else(|| bad("lacks a port"))?;
                (host, port)
            }
            None => rest.rsplit_once(':').ok_or_else(|| bad("lacks a port"))?,
        };
        let (host, zone) = cut_interface(host);
        let (port, interface) = cut_interface(port);
        if zone.is_some() && interface.is_some() {
            return Err(bad("names an interface twice"));
        }
        let interface = zone.or(interface);
        if interface == Some("") {
            return Err(bad("names no interface behind %"));
        }
        if port.is_empty() {
            return Err(bad("lacks a port"));
        }
        if port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_err() {
            return Err(bad("has a port above 65535"));
        }
        Ok(Endpoint {
            family,
            host: host.to_owned(),
            port: port.to_owned(),
            interface: interface.map(str::to_owned),
        })
    }

    /// The addresses to try, in order. Names are looked up.
    ///
    /// # Errors
    /// A name or a port is unknown, or the host has no address of the family.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, Error> {
        let port = self.port_number()?;
        let all: Vec<IpAddr> = if self.host.is_empty() {
            match self.family {
                Family::Any => vec![Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()],
                Family::V4 => vec![Ipv4Addr::UNSPECIFIED.into()],
                Family::V6 => vec![Ipv6Addr::UNSPECIFIED.into()],
            }
        } else if let Ok(address) = self.host.parse() {
            vec![address]
        } else {
            let found = (self.host.as_str(), port).to_socket_addrs().map_err(|error| {
                Error::not_connected(format!("there is no address for {}: {error}", self.host))
            })?;
            found.map(|address| address.ip()).collect()
        };
        let fits = |address: &IpAddr| match self.family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        };
        let fitting: Vec<SocketAddr> =
            all.into_iter().filter(fits).map(|address| SocketAddr::new(address, port)).collect();
        if fitting.is_empty() {
            let version = if self.family == Family::V4 { 4 } else { 6 };
            return Err(Error::not_connected(format!(
                "{} has no IPv{version} address; name another host, or write tcp:// or udp:// for \
                 either version",
                self.host
            )));
        }
        Ok(fitting)
    }

    fn port_number(&self) -> Result<u16, Error> {
        if let Ok(port) = self.port.parse() {
            return Ok(port);
        }
        let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
        service_port(&services, &self.port).ok_or_else(|| {
            Error::not_connected(format!(
                "/etc/services does not know a port {}; write the number",
                self.port
            ))
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.family {
            Family::Any => "://",
            Family::V4 => "4://",
            Family::V6 => "6://",
        })?;
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        write!(f, ":{}", self.port)?;
        match &self.interface {
            Some(interface) => write!(f, "%{interface}"),
            None => Ok(()),
        }
    }
}

fn cut_interface(text: &str) -> (&str, Option<&str>) {
    match text.split_once('%') {
        Some((text, interface)) => (text, Some(interface)),
        None => (text, None),
    }
}

/// The port of a name or an alias in the text of /etc/services.
fn service_port(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (first, port) = (words.next()?, words.next()?);
        let is_it = first == name || words.any(|alias| alias == name);
        is_it.then(|| port.split('/').next()?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let tcp = |family, host: &str, port: &str| {
            Address::Tcp(Endpoint { family, host: host.into(), port: port.into(), interface: None })
        };
        for (text, expected) in [
            ("tcp://:8094", tcp(Family::Any, "", "8094")),
            ("TCP://127.0.0.1:http", tcp(Family::Any, "127.0.0.1", "http")),
            ("tcp4://host.example:1/", tcp(Family::V4, "host.example", "1")),
            ("tcp6://[2001:db8::1]:8094", tcp(Family::V6, "2001:db8::1", "8094")),
            ("unix:///tmp/a.sock", Address::Unix("/tmp/a.sock".into())),
            ("unixgram://relative", Address::UnixGram("relative".into())),
            ("unixpacket:///p", Address::UnixPacket("/p".into())),
            ("vsock://2:8094", Address::Vsock(8094)),
            ("vsock://:1", Address::Vsock(1)),
        ] {
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
        for text in ["udp://239.0.0.1:8094%eth0", "udp://[ff02::1%eth0]:8094"] {
            let Ok(Address::Udp(endpoint)) = Address::parse(text) else { panic!("{text}") };
            assert_eq!(endpoint.interface.as_deref(), Some("eth0"), "{text}");
        }
    }

    #[test]
    fn an_address_shows_as_it_is_written() {
        for text in [
            "tcp://:8094",
            "udp6://[::1]:1",
            "udp4://239.0.0.1:8094%eth0",
            "unix:///a",
            "unixgram:///a",
            "unixpacket:///a",
            "vsock://:7",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_addresses_say_what_is_wrong() {
        for (text, words) in [
            ("", "is no address"),
            (":8094", "is no address"),
            ("http://:80", "\"http\""),
            ("tcp://", "lacks a port"),
            ("tcp://localhost", "lacks a port"),
            ("tcp://localhost:", "lacks a port"),
            ("tcp://[::1", "bracket"),
            ("tcp://[::1]", "lacks a port"),
            ("tcp://:65536", "above 65535"),
            ("udp://[ff02::1%a]:1%b", "twice"),
            ("udp://1.2.3.4:1%", "behind %"),
            ("unix://", "lacks a path"),
            ("vsock://8094", "lacks an address"),
            ("vsock://x:1", "lacks an address"),
            ("ip4://127.0.0.1", "udp://"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let long = format!("unix:///{}", "x".repeat(PATH_MAX));
        assert!(Address::parse(&long).unwrap_err().contains("108 bytes"));
    }

    #[test]
    fn hosts_and_ports_are_resolved() {
        let resolve = |text: &str| match Address::parse(text).unwrap() {
            Address::Tcp(endpoint) => endpoint.resolve(),
            other => panic!("{other}"),
        };
        let texts =
            |text: &str| resolve(text).unwrap().iter().map(|a| a.to_string()).collect::<Vec<_>>();
        assert_eq!(texts("tcp://:1"), ["[::]:1", "0.0.0.0:1"]);
        assert_eq!(texts("tcp4://:1"), ["0.0.0.0:1"]);
        assert_eq!(texts("tcp6://:1"), ["[::]:1"]);
        assert_eq!(texts("tcp://127.0.0.1:1"), ["127.0.0.1:1"]);
        assert!(resolve("tcp6://127.0.0.1:1").unwrap_err().message().contains("IPv6"));
        assert!(resolve("tcp://:no-such-service").unwrap_err().message().contains("number"));
        let services = "# comment\nhttp\t80/tcp\twww # web\nsyslog 514/udp\n";
        assert_eq!(service_port(services, "www"), Some(80));
        assert_eq!(service_port(services, "syslog"), Some(514));
        assert_eq!(service_port(services, "web"), None);
    }
}
