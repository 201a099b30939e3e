//! Opens the sockets that an address names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use headwater_plugin_api::plugin::{Error, Host};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use crate::address::{Address, Endpoint, Family};

/// Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 4096;

/// How sockets are set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Bytes that the kernel buffers for the reader.
    pub receive_buffer: Option<usize>,
    /// Mode of a socket in the file system.
    pub mode: Option<u32>,
    /// Whether other processes may listen at the same address.
    pub reuse_port: bool,
    /// The sender whose multicast is wanted.
    pub multicast_source: Option<IpAddr>,
}

/// An open socket that listens or takes datagrams; it never blocks.
pub struct Bound {
    /// The socket.
    pub fd: OwnedFd,
    /// Where it is, as a person reads it.
    pub name: String,
    /// The path, which is removed when this is dropped.
    pub path: Option<BoundPath>,
}

/// A socket in the file system, removed when it is dropped if it is still the same one.
pub struct BoundPath {
    path: PathBuf,
    identity: (u64, u64),
}

impl BoundPath {
    fn new(path: &Path) -> Result<BoundPath, std::io::Error> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(BoundPath { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        // A successor may have put its own socket there.
        let same = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if same {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Opens the socket of an address.
///
/// # Errors
/// Not connected, with the address, the system's words and what helps.
pub fn bind(address: &Address, options: &Options, host: &Host) -> Result<Bound, Error> {
    match address {
        Address::Tcp(endpoint) | Address::Udp(endpoint) => inet(address, endpoint, options, host),
        Address::Unix(path) => unix(address, path, SocketType::STREAM, options, host),
        Address::UnixPacket(path) => unix(address, path, SocketType::SEQPACKET, options, host),
        Address::UnixGram(path) => unix(address, path, SocketType::DGRAM, options, host),
        Address::Vsock(port) => vsock(address, *port).map_err(|error| failure(address, &error)),
    }
}

fn failure(address: &Address, error: &std::io::Error) -> Error {
    let errno = Errno::from_io_error(error);
    let remedy = match errno {
        Some(Errno::ADDRINUSE) => "; another process has it, choose another address or end that",
        Some(Errno::ACCESS | Errno::PERM) => "; the agent's user may not use it, choose another",
        Some(Errno::ADDRNOTAVAIL) => "; this machine does not have that address",
        Some(Errno::NOENT) => "; make the folder first",
        _ => "",
    };
    Error::not_connected(format!("cannot listen on {address}: {error}{remedy}"))
}

fn inet(
    address: &Address,
    endpoint: &Endpoint,
    options: &Options,
    host: &Host,
) -> Result<Bound, Error> {
    let mut last = std::io::Error::from(Errno::ADDRNOTAVAIL);
    for candidate in endpoint.resolve()? {
        match inet_at(address, endpoint, candidate, options, host) {
            Ok(bound) => return Ok(bound),
            // Without IPv6 in the kernel, "every address" means IPv4.
            Err(error) => last = error,
        }
    }
    Err(failure(address, &last))
}

fn inet_at(
    address: &Address,
    endpoint: &Endpoint,
    at: SocketAddr,
    options: &Options,
    host: &Host,
) -> std::io::Result<Bound> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let stream = matches!(address, Address::Tcp(_));
    let kind = if stream { SocketType::STREAM } else { SocketType::DGRAM };
    let fd = rustix::net::socket_with(family, kind, flags(), None)?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, endpoint.family == Family::V6)?;
    }
    // A listener may follow its predecessor at once; several readers of one group may share a port.
    let multicast = at.ip().is_multicast();
    if stream || multicast {
        sockopt::set_socket_reuseaddr(&fd, true)?;
    }
    if options.reuse_port {
        sockopt::set_socket_reuseport(&fd, true)?;
    }
    set_receive_buffer(&fd, options, host);
    rustix::net::bind(&fd, &at)?;
    if multicast && !stream {
        join(&fd, at.ip(), endpoint, options)?;
    }
    if stream {
        rustix::net::listen(&fd, BACKLOG)?;
    }
    let local = rustix::net::getsockname(&fd)?;
    let scheme = if stream { "tcp" } else { "udp" };
    let name = match SocketAddr::try_from(local) {
        Ok(local) => format!("{scheme}://{local}"),
        Err(_) => address.to_string(),
    };
    Ok(Bound { fd, name, path: None })
}

/// Joins the multicast group that was bound to.
fn join(
    fd: &OwnedFd,
    group: IpAddr,
    endpoint: &Endpoint,
    options: &Options,
) -> std::io::Result<()> {
    let index = match &endpoint.interface {
        Some(name) => rustix::net::netdevice::name_to_index(fd, name).map_err(|error| {
            std::io::Error::other(format!("there is no interface {name} ({error})"))
        })?,
        None => 0,
    };
    match (group, options.multicast_source) {
        (IpAddr::V4(group), Some(IpAddr::V4(source))) => {
            let socket = socket2::SockRef::from(fd);
            let interface = interface_address(&endpoint.interface)?;
            socket.join_ssm_v4(&source, &group, &interface)
        }
        (IpAddr::V4(group), None) => Ok(sockopt::set_ip_add_membership_with_ifindex(
            fd,
            &group,
            &Ipv4Addr::UNSPECIFIED,
            index,
        )?),
        (IpAddr::V6(group), None) => Ok(sockopt::set_ipv6_add_membership(fd, &group, index)?),
        (_, Some(source)) => Err(std::io::Error::other(format!(
            "multicast_source {source} and the group {group} must both be IPv4"
        ))),
    }
}

/// Source-specific membership names its interface by an address.
fn interface_address(interface: &Option<String>) -> std::io::Result<Ipv4Addr> {
    match interface {
        None => Ok(Ipv4Addr::UNSPECIFIED),
        Some(name) => Err(std::io::Error::other(format!(
            "multicast_source goes with the interface of the route; leave %{name} out"
        ))),
    }
}

fn flags() -> SocketFlags {
    SocketFlags::CLOEXEC | SocketFlags::NONBLOCK
}

fn set_receive_buffer(fd: impl AsFd, options: &Options, host: &Host) {
    let Some(wanted) = options.receive_buffer else { return };
    let result = sockopt::set_socket_recv_buffer_size(&fd, wanted);
    // The kernel doubles what it grants, for its own bookkeeping.
    let granted = sockopt::socket_recv_buffer_size(&fd).unwrap_or(0) / 2;
    if result.is_err() || granted < wanted {
        host.warn(&format!(
            "the kernel grants a receive buffer of {granted} bytes and not the {wanted} of \
             read_buffer_size; raise net.core.rmem_max with sysctl"
        ));
    }
}

fn unix(
    address: &Address,
    path: &Path,
    kind: SocketType,
    options: &Options,
    host: &Host,
) -> Result<Bound, Error> {
    remove_stale(address, path, kind)?;
    let bound = || -> std::io::Result<Bound> {
        let fd = rustix::net::socket_with(AddressFamily::UNIX, kind, flags(), None)?;
        set_receive_buffer(&fd, options, host);
        rustix::net::bind(&fd, &SocketAddrUnix::new(path)?)?;
        let bound_path = BoundPath::new(path)?;
        if let Some(mode) = options.mode {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        // Nobody gets in before the mode is set.
        if kind != SocketType::DGRAM {
            rustix::net::listen(&fd, BACKLOG)?;
        }
        Ok(Bound { fd, name: address.to_string(), path: Some(bound_path) })
    };
    bound().map_err(|error| failure(address, &error))
}

/// Removes a socket that nobody listens on any more, as a killed process leaves it.
fn remove_stale(address: &Address, path: &Path, kind: SocketType) -> Result<(), Error> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure(address, &error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(Error::not_connected(format!(
            "cannot listen on {address}: there is a file that is no socket; remove it or choose \
             another path"
        )));
    }
    let probe = || -> Result<(), Errno> {
        let fd = rustix::net::socket_with(AddressFamily::UNIX, kind, flags(), None)?;
        rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)
    };
    match probe() {
        // A socket of another type is asked the wrong way, but somebody holds it.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            Err(failure(address, &std::io::Error::from(Errno::ADDRINUSE)))
        }
        Err(_) => std::fs::remove_file(path).map_err(|error| failure(address, &error)),
    }
}

fn vsock(address: &Address, port: u32) -> std::io::Result<Bound> {
    /// Every address of this machine.
    const ANY: u32 = u32::MAX;
    let socket = socket2::Socket::new(socket2::Domain::VSOCK, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::vsock(ANY, port))?;
    socket.listen(BACKLOG)?;
    Ok(Bound { fd: socket.into(), name: address.to_string(), path: None })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use super::*;

    fn open(text: &str, options: &Options) -> Result<Bound, Error> {
        bind(&Address::parse(text).unwrap(), options, &Host::detached())
    }

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("hw-bind-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn a_port_in_use_says_so() {
        let first = open("tcp4://127.0.0.1:0", &Options::default()).unwrap();
        let port = first.name.rsplit_once(':').unwrap().1;
        let error = open(&format!("tcp4://127.0.0.1:{port}"), &Options::default()).err().unwrap();
        assert!(error.message().contains(port), "{error:?}");
        assert!(error.message().contains("another process has it"), "{error:?}");
    }

    #[test]
    fn a_port_is_shared_if_both_say_so() {
        let shared = Options { reuse_port: true, ..Options::default() };
        let first = open("udp4://127.0.0.1:0", &shared).unwrap();
        let port = first.name.rsplit_once(':').unwrap().1;
        open(&format!("udp4://127.0.0.1:{port}"), &shared).unwrap();
        assert!(open(&format!("udp4://127.0.0.1:{port}"), &Options::default()).is_err());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_gone_at_the_end() {
        let folder = folder("stale");
        let path = folder.join("s");
        for scheme in ["unix", "unixgram", "unixpacket"] {
            drop(UnixListener::bind(&path).unwrap());
            assert!(path.exists());
            let options = Options { mode: Some(0o640), ..Options::default() };
            let bound = open(&format!("{scheme}://{}", path.display()), &options).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640, "{scheme}");
            drop(bound);
            assert!(!path.exists(), "{scheme}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_live_socket_and_a_file_are_left_alone() {
        let folder = folder("live");
        let path = folder.join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let text = format!("unix://{}", path.display());
        let error = open(&text, &Options::default()).err().unwrap();
        assert!(error.message().contains("another process has it"), "{error:?}");
        UnixStream::connect(&path).unwrap();
        drop(listener);
        std::fs::remove_file(&path).unwrap();

        let datagrams = UnixDatagram::bind(&path).unwrap();
        assert!(open(&text, &Options::default()).is_err(), "a socket of another type is live too");
        drop(datagrams);
        std::fs::remove_file(&path).unwrap();

        std::fs::write(&path, "precious").unwrap();
        let error = open(&text, &Options::default()).err().unwrap();
        assert!(error.message().contains("no socket"), "{error:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_socket_of_a_successor_stays() {
        let folder = folder("successor");
        let path = folder.join("s");
        let text = format!("unix://{}", path.display());
        let first = open(&text, &Options::default()).unwrap();
        std::fs::rename(&path, folder.join("old")).unwrap();
        let second = open(&text, &Options::default()).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_group_is_joined() {
        match open("udp4://239.255.77.77:0", &Options::default()) {
            Ok(bound) => assert!(bound.name.starts_with("udp://239.255.77.77:")),
            // A machine without a route for multicast.
            Err(error) => assert!(error.message().contains("239.255.77.77"), "{error:?}"),
        }
        let error = open("udp4://239.255.77.77:0%nosuchif0", &Options::default()).err().unwrap();
        assert!(error.message().contains("nosuchif0"), "{error:?}");
    }
}
