//! Tells systemd how far the agent is (`Type=notify`): one datagram to the socket it names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable in which systemd names its socket.
pub const VARIABLE: &str = "NOTIFY_SOCKET";

/// Where to tell it; nowhere if nobody asked.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// For the value of [`VARIABLE`].
    ///
    /// # Errors
    /// It is not the address of a socket.
    pub fn new(address: Option<&OsStr>) -> io::Result<Notifier> {
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return Ok(Notifier(None));
        };
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(address)?,
        };
        Ok(Notifier(Some((UnixDatagram::unbound()?, address))))
    }

    /// Inputs and outputs are started.
    ///
    /// # Errors
    /// Nobody listens. As for all others: nothing to stop for.
    pub fn ready(&self) -> io::Result<()> {
        self.send("READY=1\nSTATUS=running")
    }

    /// The agent writes out what it has, and ends.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1\nSTATUS=writing out")
    }

    fn send(&self, state: &str) -> io::Result<()> {
        if let Some((socket, address)) = &self.0 {
            socket.send_to_addr(state.as_bytes(), address)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::Folder;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let len = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    #[test]
    fn by_path() {
        let folder = Folder::new("notify");
        let path = folder.path().join("socket");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(Some(path.as_os_str())).unwrap();
        notifier.ready().unwrap();
        assert_eq!(received(&systemd), "READY=1\nSTATUS=running");
        notifier.stopping().unwrap();
        assert!(received(&systemd).starts_with("STOPPING=1\n"));
        drop(systemd);
        assert!(notifier.ready().is_err());
    }

    #[test]
    fn by_abstract_name() {
        let name = format!("headwater-test-{}", std::process::id());
        let systemd =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap());
        let systemd = systemd.unwrap();
        let notifier = Notifier::new(Some(OsStr::new(&format!("@{name}")))).unwrap();
        notifier.ready().unwrap();
        assert_eq!(received(&systemd), "READY=1\nSTATUS=running");
    }

    #[test]
    fn by_nobody() {
        Notifier::new(None).unwrap().ready().unwrap();
        Notifier::new(Some(OsStr::new(""))).unwrap().stopping().unwrap();
        let long = "/".repeat(200);
        assert!(Notifier::new(Some(OsStr::new(&long))).is_err());
    }
}
