//! The source that reads one connection.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use headwater_plugin_api::plugin::{self, Context, Error, ReadBuffer, Source};
use rustix::net::RecvFlags;
use rustls::ServerConfig;

use crate::hub::Peer;
use crate::split::{Cut, Splitter};
use crate::tls::TlsStream;

/// What each connection of a listener gets.
#[derive(Clone)]
pub struct Setup {
    /// How messages are cut; `None` for lines, which the agent cuts.
    pub splitter: Option<Splitter>,
    /// Bytes of the longest message, other than lines.
    pub message_max: usize,
    /// Whether the bytes are packed by gzip.
    pub gzip: bool,
    /// TLS, if it is spoken.
    pub tls: Option<Arc<ServerConfig>>,
    /// Probes of a silent TCP connection: `Some(None)` for none.
    pub keep_alive: Option<Option<std::time::Duration>>,
    /// Whether each read takes one packet.
    pub packets: bool,
    /// The addresses that may connect; empty for all.
    pub allowed: Vec<IpAddr>,
    /// The tag that takes the peer's address; empty for none.
    pub peer_tag: String,
    /// What peers without an address are called.
    pub local_name: String,
}

/// The socket of a peer as bytes that never block.
struct Wire {
    peer: Arc<Peer>,
    packets: bool,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let flags = if self.packets { RecvFlags::TRUNC } else { RecvFlags::empty() };
        let (read, size) = rustix::net::recv(&self.peer.fd, buffer, flags)?;
        if size > read {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a packet of {size} bytes came, and {read} is the limit"),
            ));
        }
        Ok(read)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(&self.peer.fd, buffer, rustix::net::SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a peer sends, before it is unpacked.
enum Transport {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>, Arc<Peer>),
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(wire) => wire.read(buffer),
            Transport::Tls(stream, peer) => {
                let result = stream.read(buffer);
                if !stream.is_shaking_hands() {
                    peer.shook_hands();
                }
                result
            }
        }
    }
}

enum Input {
    As(Transport),
    Gzip(Box<MultiGzDecoder<Transport>>),
    /// A decoder reads when it is made, which must not be before the agent waits for the source.
    GzipLater(Option<Transport>),
}

impl Input {
    /// Whether one read gives what the kernel has, so that asking again at once is a waste.
    fn is_direct(&self) -> bool {
        matches!(self, Input::As(Transport::Plain(_)))
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::As(transport) => transport.read(buffer),
            Input::Gzip(decoder) => decoder.read(buffer),
            Input::GzipLater(transport) => match transport.take() {
                None => Ok(0),
                Some(transport) => {
                    *self = Input::Gzip(Box::new(MultiGzDecoder::new(transport)));
                    self.read(buffer)
                }
            },
        }
    }
}

/// What a turn of reading came to.
enum Turn {
    Some,
    Blocked,
    End,
}

/// The source of one connection.
pub struct Connection {
    peer: Arc<Peer>,
    input: Input,
    messages: Option<Messages>,
    message_max: usize,
    packets: bool,
    /// What ended the input, told once what came before it is handed on.
    failure: Option<io::Error>,
}

/// Bytes that wait for their message to be complete.
struct Messages {
    splitter: Splitter,
    data: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes from `start` that hold no delimiter.
    searched: usize,
    ended: bool,
}

impl Connection {
    /// The source of a peer.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(peer: Arc<Peer>, setup: &Setup) -> Result<Connection, Error> {
        let wire = Wire { peer: Arc::clone(&peer), packets: setup.packets };
        let transport = match &setup.tls {
            None => Transport::Plain(wire),
            Some(config) => {
                let stream = TlsStream::new(wire, Arc::clone(config))?;
                Transport::Tls(Box::new(stream), Arc::clone(&peer))
            }
        };
        let input = match setup.gzip {
            false => Input::As(transport),
            true => Input::GzipLater(Some(transport)),
        };
        let messages = setup.splitter.clone().map(|splitter| Messages {
            splitter,
            data: Vec::new(),
            start: 0,
            end: 0,
            searched: 0,
            ended: false,
        });
        Ok(Connection {
            peer,
            input,
            messages,
            message_max: setup.message_max,
            packets: setup.packets,
            failure: None,
        })
    }

    /// Reads into `room` what there is, and tells how much.
    fn fill(&mut self, room: &mut [u8]) -> (usize, Turn) {
        let mut filled = 0;
        let turn = loop {
            if self.failure.is_some() {
                break Turn::End;
            }
            if filled == room.len() {
                break Turn::Some;
            }
            match self.input.read(&mut room[filled..]) {
                Ok(0) => break Turn::End,
                Ok(read) => {
                    filled += read;
                    if self.input.is_direct() {
                        break Turn::Some;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => break Turn::Blocked,
                    // Peers go as they please.
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => break Turn::End,
                    _ => self.failure = Some(error),
                },
            }
        };
        if filled > 0 {
            self.peer.saw_bytes();
        }
        (filled, turn)
    }

    fn read_lines(&mut self, buffer: &mut ReadBuffer<'_>) -> Turn {
        let room = buffer.free();
        let (filled, turn) = self.fill(room);
        if self.peer.counts_messages() && memchr::memrchr(b'\n', &room[..filled]).is_some() {
            self.peer.saw_message();
        }
        buffer.advance(filled);
        turn
    }

    fn read_messages(&mut self, buffer: &mut ReadBuffer<'_>) -> Result<Turn, Error> {
        // Taken out, so that both it and the input can be used.
        let Some(mut messages) = self.messages.take() else { return Ok(Turn::End) };
        let result = self.read_into(&mut messages, buffer);
        self.messages = Some(messages);
        result
    }

    fn read_into(
        &mut self,
        messages: &mut Messages,
        buffer: &mut ReadBuffer<'_>,
    ) -> Result<Turn, Error> {
        let mut was_read = false;
        loop {
            let before = buffer.filled();
            let needed = match messages.hand_on(buffer, self.message_max)? {
                HandOn::Full => return Ok(Turn::Some),
                HandOn::More(needed) => needed,
            };
            if buffer.filled() > before {
                self.peer.saw_message();
            }
            if messages.ended {
                // What a failure cut off is no message.
                let done = self.failure.is_some() || messages.hand_on_rest(buffer)?;
                return Ok(if done { Turn::End } else { Turn::Some });
            }
            if was_read {
                return Ok(Turn::Some);
            }
            // A packet that does not fit is cut off.
            let needed = if self.packets { self.message_max } else { needed };
            let room = messages.room(needed, self.message_max);
            let (filled, turn) = self.fill(room);
            messages.end += filled;
            was_read = true;
            match turn {
                Turn::Some => {}
                Turn::Blocked if filled == 0 => return Ok(Turn::Blocked),
                // What came before is cut first.
                Turn::Blocked => {}
                Turn::End => messages.ended = true,
            }
        }
    }
}

enum HandOn {
    /// There is no room for the next message in this read.
    Full,
    /// All complete messages are handed on; the next needs this many bytes at least.
    More(usize),
}

impl Messages {
    fn hand_on(&mut self, buffer: &mut ReadBuffer<'_>, max: usize) -> Result<HandOn, Error> {
        loop {
            let pending = &self.data[self.start..self.end];
            let too_long = |bytes: usize| {
                Err(Error::failed(format!(
                    "a message has {bytes} bytes or more and may have {max}; raise \
                     read_buffer_size, or see whether splitting_strategy fits"
                )))
            };
            match self.splitter.cut(pending, self.searched) {
                Cut::Bad(what) => {
                    return Err(Error::failed(format!(
                        "{what}; see whether splitting_length_field fits"
                    )));
                }
                Cut::More(needed) if needed > max => return too_long(needed),
                Cut::More(needed) => {
                    self.searched = pending.len();
                    return Ok(HandOn::More(needed));
                }
                Cut::Message { end, .. } if end > max => return too_long(end),
                Cut::Message { start, end, next } => {
                    if !put(buffer, &pending[start..end])? {
                        return Ok(HandOn::Full);
                    }
                    self.start += next;
                    self.searched = 0;
                }
            }
        }
    }

    /// What the stream ends with; false if there is no room for it in this read.
    fn hand_on_rest(&mut self, buffer: &mut ReadBuffer<'_>) -> Result<bool, Error> {
        let rest = &self.data[self.start..self.end];
        if rest.is_empty() {
            return Ok(true);
        }
        if !self.splitter.takes_rest() {
            return Err(Error::failed(format!(
                "the peer went in the middle of a message; its {} bytes are lost",
                rest.len()
            )));
        }
        if !put(buffer, rest)? {
            return Ok(false);
        }
        self.start = self.end;
        Ok(true)
    }

    /// Where to read to: room for what the next message needs, and more.
    fn room(&mut self, needed: usize, max: usize) -> &mut [u8] {
        const LEAST: usize = 4096;
        self.data.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let size = needed.saturating_mul(2).clamp(LEAST, max.max(LEAST) + 1);
        if size > self.data.len() {
            self.data.resize(size, 0);
        }
        &mut self.data[self.end..]
    }
}

/// Puts a message into the buffer; false if there is no room in this read.
fn put(buffer: &mut ReadBuffer<'_>, message: &[u8]) -> Result<bool, Error> {
    if message.is_empty() {
        return Ok(true);
    }
    if buffer.free_messages() == 0 {
        return Ok(false);
    }
    let filled = buffer.filled();
    match buffer.free().get_mut(..message.len()) {
        Some(place) => place.copy_from_slice(message),
        None if filled > 0 => return Ok(false),
        None => {
            return Err(Error::failed(format!(
                "a message has {} bytes, more than the agent reads at once",
                message.len()
            )));
        }
    }
    buffer.advance(message.len());
    buffer.end_message();
    Ok(true)
}

impl Source for Connection {
    fn read(
        &mut self,
        _cx: &Context<'_>,
        buffer: &mut ReadBuffer<'_>,
    ) -> Result<plugin::Read, Error> {
        let turn = match self.messages {
            None => self.read_lines(buffer),
            Some(_) => {
                self.read_messages(buffer).map_err(|error| closed(&self.peer, error.message()))?
            }
        };
        let holds = self.messages.is_some() || !self.input.is_direct();
        self.peer.set_holds_bytes(holds && matches!(turn, Turn::Some));
        match turn {
            Turn::Some => Ok(plugin::Read::Some),
            Turn::Blocked => Ok(plugin::Read::Blocked),
            Turn::End => match self.failure.take() {
                None => Ok(plugin::Read::End),
                // First what came before it.
                Some(error) if buffer.filled() > 0 => {
                    self.failure = Some(error);
                    Ok(plugin::Read::Some)
                }
                Some(error) => Err(closed(&self.peer, &error.to_string())),
            },
        }
    }
}

fn closed(peer: &Peer, why: &str) -> Error {
    Error::failed(format!("the connection from {} is closed: {why}", peer.name))
}
