//! Listens for points on sockets: TCP with or without TLS, UDP, and sockets in the file system.
//!
//! The plugin owns no thread. Listening sockets, timers and datagram sockets are watched by the
//! agent, each connection is a source, and the agent calls on its own threads when there is something
//! to do. Lines go from the kernel into the agent's buffer without a copy in between.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use headwater_plugin_api::config::{self, Size};
use headwater_plugin_api::plugin::{
    Capabilities, Context, Error, Framing, Host, Intake, Plugin, ServiceInput, SourceSpec,
};

use crate::accept::{self, Acceptor};
use crate::address::Address;
use crate::bind::{self, BoundPath, Options};
use crate::connection::Setup;
use crate::datagram::{Datagrams, Drops, Losses, Pushed, Socket, UDP_MAX};
use crate::hub::{Hub, Limits};
use crate::split::{SplitConfig, Splitter, Strategy};
use crate::tls::TlsServerConfig;

/// The longest message, unless `read_buffer_size` is larger.
const MESSAGE_MAX: usize = 64 * 1024;

/// The largest `read_buffer_size`: as long may a message be that is waited for.
const BUFFER_MAX: u64 = 64 << 20;

/// Peers that begin a TLS handshake must have done it by then.
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);

headwater_plugin_api::choice! {
    /// How the bytes are packed.
    pub enum Encoding {
        /// Not at all.
        Identity = "identity",
        /// By gzip: a connection as one stream, a datagram by itself.
        Gzip = "gzip",
    }
}

headwater_plugin_api::config! {
    /// Listens for points on sockets, in any data format.
    pub struct SocketListenerConfig {
        /// Where to listen: tcp://, tcp4://, tcp6://, udp://, udp4://, udp6:// with host and port (no
        /// host: all addresses of the machine); unix://, unixpacket:// or unixgram:// with a path;
        /// vsock:// with number and port. For multicast, an interface may follow: "%eth0".
        pub service_address: String = String::new(),
        /// The mode of a socket in the file system, in octal such as "660". Empty: as the umask has it.
        pub socket_mode: String = String::new(),
        /// Connections at the same time; more are closed at once and counted. 0: no bound but the
        /// agent's.
        pub max_connections: usize = 0,
        /// A connection without a complete message for so long is closed. 0: never.
        pub read_timeout: config::Duration = config::Duration::ZERO,
        /// A connection without a byte for so long is closed. 0: never.
        pub idle_timeout: config::Duration = config::Duration::ZERO,
        /// What the kernel buffers for a socket; if it is more than 64 KiB, also the longest message
        /// other than lines. 0: as the system has it.
        pub read_buffer_size: Size = Size::bytes(0),
        /// The time between probes of a silent TCP connection; 0: no probes. Unset: as the system has
        /// it.
        pub keep_alive_period: Option<config::Duration> = None,
        /// How the bytes are packed: "identity" or "gzip".
        pub content_encoding: Encoding = Encoding::Identity,
        /// The bytes of a datagram when it is unpacked; larger ones are refused and counted.
        pub max_decompression_size: Size = Size::bytes(500_000_000),
        /// The IP addresses that may send. Empty: all.
        pub allowed_sources: Vec<String> = Vec::new(),
        /// The IPv4 address whose multicast is wanted. Empty: all senders'.
        pub multicast_source: String = String::new(),
        /// Whether other processes may listen at the same address, and share what comes.
        pub so_reuseport: bool = false,
        /// The tag that takes the sender's IP address (of a socket in the file system: its path; of a
        /// virtual machine: its number). Empty: none.
        pub peer_address_tag: String = String::new(),
        #[flatten]
        pub split: SplitConfig = SplitConfig::default(),
        #[flatten]
        pub tls: TlsServerConfig = TlsServerConfig::default(),
    }
    refused {
        "max_parallel_parsers" = "the agent parses on all its `workers`, and keeps the order of each \
                                  connection; remove it",
    }
}

/// The plugin.
pub struct SocketListener {
    config: SocketListenerConfig,
    address: Address,
    options: Options,
    allowed: Vec<IpAddr>,
    splitter: Option<Splitter>,
    host: Host,
    bound: Option<Listening>,
    running: Option<Running>,
}

/// What `connect` opened.
struct Listening {
    fd: Arc<OwnedFd>,
    name: String,
    path: Option<BoundPath>,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// What `start` began.
struct Running {
    intake: Intake,
    hub: Option<Arc<Hub>>,
    /// Watches, and the source of datagrams.
    open: Vec<u64>,
}

impl Plugin for SocketListener {
    type Config = SocketListenerConfig;
    const NAME: &'static str = "socket_listener";
    const SUMMARY: &'static str = "Takes points in any data format from TCP, UDP and Unix sockets.";
    const CAPABILITIES: Capabilities = Capabilities::PARSED;

    fn new(config: SocketListenerConfig, host: Host) -> Result<Self, Error> {
        let bad_address = |error| Error::config("service_address", error);
        if config.service_address.is_empty() {
            return Err(bad_address(
                "there is no address to listen on; write for instance \"tcp://:8094\"".to_owned(),
            ));
        }
        let address = Address::parse(&config.service_address).map_err(bad_address)?;
        if config.read_buffer_size.get() > BUFFER_MAX {
            return Err(Error::config(
                "read_buffer_size",
                format!(
                    "{} bytes are more than a socket is given; at most {BUFFER_MAX}",
                    config.read_buffer_size.get()
                ),
            ));
        }
        config.tls.check()?;
        let splitter = config.split.splitter(message_max(&config))?;
        let allowed = addresses("allowed_sources", &config.allowed_sources)?;
        let options = options(&config)?;
        let plugin = SocketListener {
            config,
            address,
            options,
            allowed,
            splitter,
            host,
            bound: None,
            running: None,
        };
        plugin.check()?;
        Ok(plugin)
    }

    fn connect(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        if self.bound.is_some() {
            return Ok(());
        }
        let tls = self.config.tls.server()?;
        let bound = bind::bind(&self.address, &self.options, &self.host)?;
        self.host.info(&format!("listening on {}", bound.name));
        let fd = Arc::new(bound.fd);
        self.bound = Some(Listening { fd, name: bound.name, path: bound.path, tls });
        Ok(())
    }

    fn pause(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        if let Some(running) = self.running.take() {
            for number in running.open {
                running.intake.close(number);
            }
            if let Some(hub) = running.hub {
                hub.close_all(&running.intake);
            }
        }
        Ok(())
    }

    fn stop(&mut self, cx: &Context<'_>) -> Result<(), Error> {
        self.pause(cx)?;
        if let Some(bound) = self.bound.take() {
            drop(bound.path);
        }
        Ok(())
    }
}

impl ServiceInput for SocketListener {
    fn start(&mut self, _cx: &Context<'_>, intake: Intake) -> Result<(), Error> {
        let Some(bound) = &self.bound else {
            return Err(Error::not_connected("the socket is not open"));
        };
        let mut running = Running { intake, hub: None, open: Vec::new() };
        match self.address.is_datagram() {
            true => self.take_datagrams(bound, &mut running)?,
            false => self.take_connections(bound, &mut running)?,
        }
        self.running = Some(running);
        Ok(())
    }
}

impl SocketListener {
    /// Options that do not go together with the address. What would be unsafe is an error; what only
    /// has no effect, as in Telegraf, is said.
    fn check(&self) -> Result<(), Error> {
        let config = &self.config;
        let datagrams = self.address.is_datagram();
        let local = self.address.path().is_some();
        let packets = matches!(self.address, Address::UnixPacket(_));
        if config.tls.is_on() && (datagrams || packets) {
            return Err(Error::config(
                "tls_cert",
                format!(
                    "TLS needs a stream, and {} takes packets; listen on tcp:// or remove the TLS \
                     options",
                    self.address
                ),
            ));
        }
        if !self.allowed.is_empty() && (local || matches!(self.address, Address::Vsock(_))) {
            return Err(Error::config(
                "allowed_sources",
                format!("senders to {} have no IP address; set socket_mode instead", self.address),
            ));
        }
        let idle = [
            (local || config.socket_mode.is_empty(), "socket_mode"),
            (!datagrams || config.max_connections == 0, "max_connections"),
            (!datagrams || config.read_timeout.is_zero(), "read_timeout"),
            (!datagrams || config.idle_timeout.is_zero(), "idle_timeout"),
            (
                !datagrams || config.split.splitting_strategy == Strategy::Newline,
                "splitting_strategy",
            ),
            (
                matches!(self.address, Address::Tcp(_)) || config.keep_alive_period.is_none(),
                "keep_alive_period",
            ),
            (
                matches!(self.address, Address::Udp(_)) || config.multicast_source.is_empty(),
                "multicast_source",
            ),
        ];
        for (_, key) in idle.into_iter().filter(|(fits, _)| !fits) {
            self.host.warn(&format!("{key} has no effect on {}; remove it", self.address));
        }
        Ok(())
    }

    fn take_connections(&self, bound: &Listening, running: &mut Running) -> Result<(), Error> {
        let config = &self.config;
        let limits = Limits {
            connections: (config.max_connections > 0).then_some(config.max_connections),
            message: timeout(config.read_timeout),
            idle: timeout(config.idle_timeout),
            handshake: bound.tls.is_some().then_some(HANDSHAKE_MAX),
        };
        let hub = Arc::new(Hub::new(&limits, &self.host)?);
        let tcp = matches!(self.address, Address::Tcp(_));
        let setup = Setup {
            splitter: self.splitter.clone(),
            message_max: message_max(config),
            gzip: config.content_encoding == Encoding::Gzip,
            tls: bound.tls.clone(),
            keep_alive: config.keep_alive_period.filter(|_| tcp).map(timeout),
            packets: matches!(self.address, Address::UnixPacket(_)),
            allowed: self.allowed.clone(),
            peer_tag: config.peer_address_tag.clone(),
            local_name: bound.name.clone(),
        };
        if let Some(timer) = hub.timer() {
            let sweeper = Arc::clone(&hub);
            watch(running, timer.as_raw_fd(), move |_| {
                sweeper.sweep();
                Ok(())
            })?;
        }
        let mut acceptor = Acceptor {
            listener: Arc::clone(&bound.fd),
            hub: Arc::clone(&hub),
            setup,
            reserve: accept::reserve(),
            failing: false,
        };
        let intake = running.intake.clone();
        let listener = bound.fd.as_raw_fd();
        watch(running, listener, move |cx| acceptor.ready(cx, &intake))?;
        running.hub = Some(hub);
        Ok(())
    }

    fn take_datagrams(&self, bound: &Listening, running: &mut Running) -> Result<(), Error> {
        let config = &self.config;
        let udp = matches!(self.address, Address::Udp(_));
        let drops = match udp {
            true => Some(Arc::new(Drops::new(&bound.fd).map_err(|error| {
                Error::not_connected(format!("{} cannot be watched: {error}", bound.name))
            })?)),
            // A sender waits for room.
            false => None,
        };
        let socket = Socket {
            fd: Arc::clone(&bound.fd),
            max: if udp { UDP_MAX } else { message_max(config) },
            allowed: self.allowed.clone(),
            drops: drops.clone(),
            losses: Losses::new(&self.host),
        };
        let gzip = config.content_encoding == Encoding::Gzip;
        let descriptor = bound.fd.as_raw_fd();
        let mut source = None;
        if gzip || !config.peer_address_tag.is_empty() {
            let local = self.address.path().map_or(String::new(), |p| p.display().to_string());
            let max = gzip.then(|| config.max_decompression_size.as_usize());
            let mut pushed = Pushed::new(socket, max, config.peer_address_tag.clone(), local);
            let intake = running.intake.clone();
            watch(running, descriptor, move |cx| pushed.ready(cx, &intake))?;
        } else {
            let spec = SourceSpec {
                name: &bound.name,
                framing: Framing::Messages,
                descriptor: Some(descriptor),
                start: 0,
                tags: &[],
                finite: false,
                acknowledged: false,
                lossy: true,
            };
            source = running.intake.open(&spec, Datagrams(socket));
            let Some(number) = source else {
                return Err(Error::not_connected("the agent has no room for another source"));
            };
            running.open.push(number);
        }
        if let Some(drops) = drops {
            let intake = running.intake.clone();
            let lost = self.host.counter("datagrams_lost");
            let (host, name) = (self.host.clone(), bound.name.clone());
            let timer = drops.timer().as_raw_fd();
            watch(running, timer, move |_| {
                if drops.ask() {
                    match source {
                        // The source tells.
                        Some(source) => intake.wake(source),
                        None => {
                            lost.add(u64::from(drops.take()));
                            host.warn(&format!(
                                "{name}: datagrams were dropped before they could be read; they \
                                 are counted in datagrams_lost. A larger read_buffer_size helps"
                            ));
                        }
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn watch(
    running: &mut Running,
    descriptor: i32,
    ready: impl FnMut(&Context<'_>) -> Result<(), Error> + Send + 'static,
) -> Result<(), Error> {
    let number = running.intake.watch(descriptor, ready);
    let number =
        number.ok_or_else(|| Error::not_connected("the agent has no room for another socket"))?;
    running.open.push(number);
    Ok(())
}

fn timeout(time: config::Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time.get())
}

fn message_max(config: &SocketListenerConfig) -> usize {
    config.read_buffer_size.as_usize().max(MESSAGE_MAX)
}

fn options(config: &SocketListenerConfig) -> Result<Options, Error> {
    let mode = match config.socket_mode.as_str() {
        "" => None,
        text => Some(u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(
            || {
                Error::config(
                    "socket_mode",
                    format!("\"{text}\" is no mode; write it in octal, such as \"660\""),
                )
            },
        )?),
    };
    let source = match config.multicast_source.as_str() {
        "" => None,
        text => addresses("multicast_source", &[text.to_owned()])?.pop(),
    };
    let size = config.read_buffer_size.as_usize();
    Ok(Options {
        receive_buffer: (size > 0).then_some(size),
        mode,
        reuse_port: config.so_reuseport,
        multicast_source: source,
    })
}

fn addresses(key: &str, texts: &[String]) -> Result<Vec<IpAddr>, Error> {
    let addresses = texts.iter().map(|text| match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical()),
        Err(_) => Err(Error::config(
            key,
            format!("\"{text}\" is no IP address; names and networks are not looked up"),
        )),
    });
    addresses.collect()
}

#[cfg(test)]
mod tests;
