//! How connections are accepted.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use headwater_plugin_api::plugin::{Context, Error, Framing, Intake, SourceSpec};
use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags, sockopt};

use crate::connection::{Connection, Setup};
use crate::hub::Hub;

/// Accepts what waits at a listening socket.
pub struct Acceptor {
    /// The socket.
    pub listener: Arc<OwnedFd>,
    /// Its connections.
    pub hub: Arc<Hub>,
    /// What they get.
    pub setup: Setup,
    /// A descriptor in reserve: given up to accept, and close, what the process has no room for.
    /// Otherwise such a connection would stay in the queue and be told of again and again.
    pub reserve: Option<File>,
    /// Whether the last accept failed, so that a lasting failure is logged once.
    pub failing: bool,
}

impl Acceptor {
    /// Accepts all that wait.
    ///
    /// # Errors
    /// The listening socket is of no use any more.
    pub fn ready(&mut self, cx: &Context<'_>, intake: &Intake) -> Result<(), Error> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while !cx.is_cancelled() {
            match rustix::net::acceptfrom_with(&*self.listener, flags) {
                Ok((fd, peer)) => {
                    self.failing = false;
                    self.admit(fd, peer, intake);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::MFILE | Errno::NFILE) => {
                    self.complain("the process has no descriptors left; raise LimitNOFILE");
                    if self.reserve.take().is_none() {
                        break;
                    }
                    drop(rustix::net::accept_with(&*self.listener, flags));
                    self.reserve = reserve();
                }
                Err(error @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK)) => {
                    return Err(Error::failed(format!(
                        "{} takes no connections any more: {error}",
                        self.setup.local_name
                    )));
                }
                // Of one connection that went away while it waited.
                Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO | Errno::PERM) => {}
                Err(error) => {
                    self.complain(&error.to_string());
                    break;
                }
            }
        }
        Ok(())
    }

    fn complain(&mut self, error: &str) {
        if !std::mem::replace(&mut self.failing, true) {
            let name = &self.setup.local_name;
            self.hub.host().error(&format!("a connection to {name} was lost: {error}"));
        }
    }

    fn admit(&self, fd: OwnedFd, peer: Option<SocketAddrAny>, intake: &Intake) {
        let setup = &self.setup;
        let address = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map(canonical);
        if !setup.allowed.is_empty()
            && !address.is_some_and(|address| setup.allowed.contains(&address.ip()))
        {
            self.hub.host().counter("connections_not_allowed").add(1);
            return;
        }
        let name = match address {
            Some(address) => address.to_string(),
            None => local_peer(&fd, &setup.local_name),
        };
        let tag = match address {
            Some(address) => address.ip().to_string(),
            None => local_tag(&fd, &setup.local_name),
        };
        self.keep_alive(&fd, &name);
        let Some(peer) = self.hub.admit(fd, name, setup.tls.is_some()) else { return };
        let connection = match Connection::new(Arc::clone(&peer), setup) {
            Ok(connection) => connection,
            Err(error) => return self.hub.host().error(error.message()),
        };
        let tags = [(setup.peer_tag.as_str(), tag.as_str())];
        let spec = SourceSpec {
            name: &peer.name,
            framing: if setup.splitter.is_some() { Framing::Messages } else { Framing::Lines },
            descriptor: Some(peer.fd.as_raw_fd()),
            start: 0,
            tags: if setup.peer_tag.is_empty() { &[] } else { &tags },
            finite: false,
            acknowledged: false,
            lossy: false,
        };
        if let Some(source) = intake.open(&spec, connection) {
            peer.set_source(source);
        }
    }

    fn keep_alive(&self, fd: &OwnedFd, name: &str) {
        let Some(period) = self.setup.keep_alive else { return };
        let set = || match period {
            None => sockopt::set_socket_keepalive(fd, false),
            Some(period) => {
                sockopt::set_socket_keepalive(fd, true)?;
                sockopt::set_tcp_keepidle(fd, period)?;
                sockopt::set_tcp_keepintvl(fd, period)
            }
        };
        if let Err(error) = set() {
            self.hub.host().warn(&format!("keep_alive_period has no effect on {name}: {error}"));
        }
    }
}

/// A descriptor to keep in reserve.
pub fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// An IPv4 peer of a socket for both versions as what it is.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A peer on the same machine.
fn local_peer(fd: &OwnedFd, local_name: &str) -> String {
    match sockopt::socket_peercred(fd) {
        Ok(peer) => format!("{local_name} (process {})", peer.pid.as_raw_nonzero()),
        Err(_) => format!("a peer of {local_name}"),
    }
}

/// What tells peers without an IP address apart, as far as anything does: the number of the virtual
/// machine, or the path of the socket.
fn local_tag(fd: &OwnedFd, local_name: &str) -> String {
    let peer = socket2::SockRef::from(fd).peer_addr().ok();
    match peer.and_then(|peer| peer.as_vsock_address()) {
        Some((machine, _)) => machine.to_string(),
        None => local_name.split_once("://").map_or("", |(_, path)| path).to_owned(),
    }
}
