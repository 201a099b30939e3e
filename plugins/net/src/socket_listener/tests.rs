use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_plugin_api::abi::instance::ServiceInstance;
use headwater_plugin_api::abi::serve::{self, OpenedSpec};
use headwater_plugin_api::plugin::{Framing, Read};
use headwater_plugin_api::testkit::{self, Driven, TestIntake, context};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::SocketListener;

mod tls;

/// Long enough for any machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const CAPACITY: usize = 256 * 1024;

/// A started listener, and what came of its sources.
struct Rig {
    driven: Driven<ServiceInstance>,
    intake: Arc<TestIntake>,
    specs: BTreeMap<u64, Arc<OpenedSpec>>,
    bytes: BTreeMap<u64, Vec<u8>>,
    messages: Vec<Vec<u8>>,
    ended: Vec<u64>,
    errors: Vec<String>,
    lost: u32,
    capacity: usize,
    message_room: usize,
}

fn rig(toml: &str) -> Rig {
    let mut driven = testkit::service::<SocketListener>(toml).unwrap();
    let intake = driven.start().unwrap();
    Rig {
        driven,
        intake,
        specs: BTreeMap::new(),
        bytes: BTreeMap::new(),
        messages: Vec::new(),
        ended: Vec::new(),
        errors: Vec::new(),
        lost: 0,
        capacity: CAPACITY,
        message_room: 1024,
    }
}

fn tcp(options: &str) -> Rig {
    rig(&format!("service_address = 'tcp://127.0.0.1:0'\n{options}"))
}

fn refused(toml: &str) -> String {
    match testkit::service::<SocketListener>(toml) {
        Ok(_) => panic!("{toml} was accepted"),
        Err(error) => error.message().to_owned(),
    }
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("hw-listen-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).unwrap();
    path
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(data).unwrap();
    packer.finish().unwrap()
}

/// The descriptors that are readable; blocks until one is, for so long at most.
fn poll(descriptors: &[i32], patience: Duration) -> Vec<usize> {
    let borrowed = descriptors.iter().map(|fd| serve::borrow_descriptor(*fd).unwrap());
    let mut fds: Vec<PollFd<'_>> =
        borrowed.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    let patience = Timespec::try_from(patience).unwrap();
    rustix::event::poll(&mut fds, Some(&patience)).unwrap();
    let ready = fds.iter().enumerate().filter(|(_, fd)| !fd.revents().is_empty());
    ready.map(|(at, _)| at).collect()
}

fn wait(descriptors: &[i32]) -> Vec<usize> {
    let ready = poll(descriptors, PATIENCE);
    assert!(!ready.is_empty(), "nothing happened");
    ready
}

impl Rig {
    /// The address that the log tells.
    fn address(&self) -> String {
        let logs = self.logs();
        let line = logs.iter().find_map(|line| line.strip_prefix("listening on "));
        line.unwrap().split_once("://").unwrap().1.to_owned()
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).unwrap()
    }

    fn logs(&self) -> Vec<String> {
        self.driven.host.logs.lock().unwrap().iter().map(|(_, line)| line.clone()).collect()
    }

    /// Does what the agent does, until something is so.
    fn run(&mut self, until: impl Fn(&Rig) -> bool) {
        while !until(self) {
            let watches = self.intake.watches();
            let sources = self.intake.sources();
            let mut descriptors: Vec<i32> = watches.iter().map(|(_, fd)| *fd).collect();
            descriptors.extend(sources.iter().filter_map(|(_, spec)| spec.descriptor));
            for at in wait(&descriptors) {
                match watches.get(at) {
                    Some((watch, _)) => assert!(self.intake.ready(*watch), "a watch has ended"),
                    None => self.read(sources[at - watches.len()].0),
                }
            }
        }
    }

    /// Reads a source until it is blocked or ended.
    fn read(&mut self, number: u64) {
        let sources = self.intake.sources();
        // It may have been closed by what was ready before it.
        let Some((_, spec)) = sources.iter().find(|(n, _)| *n == number) else { return };
        self.specs.insert(number, Arc::clone(spec));
        loop {
            let step = match self.intake.read(number, self.capacity, self.message_room) {
                Ok(step) => step,
                Err(error) => {
                    self.errors.push(error.message().to_owned());
                    break;
                }
            };
            self.bytes.entry(number).or_default().extend(step.bytes);
            self.messages.extend(step.messages);
            self.lost += step.lost;
            match step.read {
                Read::Some => {}
                Read::Blocked => break,
                Read::End => {
                    self.ended.push(number);
                    break;
                }
            }
        }
    }

    fn all_bytes(&self) -> usize {
        self.bytes.values().map(Vec::len).sum()
    }

    /// The first connection's bytes.
    fn text(&self) -> &[u8] {
        self.bytes.values().next().map_or(&[], |bytes| bytes)
    }

    fn messages(&self) -> Vec<&str> {
        self.messages.iter().map(|message| std::str::from_utf8(message).unwrap()).collect()
    }
}

#[test]
fn lines_over_tcp_go_straight_through() {
    let mut rig = tcp("");
    let mut client = rig.connect();
    client.write_all(b"m a=1\nm a=").unwrap();
    rig.run(|rig| rig.all_bytes() == 10);
    let (_, spec) = rig.specs.first_key_value().unwrap();
    assert_eq!(spec.framing, Framing::Lines);
    assert_eq!(spec.name, client.local_addr().unwrap().to_string());
    assert!(spec.tags.is_empty() && !spec.lossy && !spec.finite && !spec.acknowledged);
    client.write_all(b"2\nlast").unwrap();
    drop(client);
    rig.run(|rig| rig.ended.len() == 1);
    assert_eq!(rig.text(), b"m a=1\nm a=2\nlast");
    assert!(rig.intake.sources().is_empty());
    assert_eq!(rig.driven.host.metric("connections"), 0);
}

#[test]
fn a_source_reads_no_more_than_its_room() {
    let mut rig = tcp("");
    rig.capacity = 7;
    let mut client = rig.connect();
    client.write_all(b"0123456789").unwrap();
    drop(client);
    rig.run(|rig| rig.ended.len() == 1);
    assert_eq!(rig.text(), b"0123456789");
}

#[test]
fn many_connections_are_kept_apart() {
    let mut rig = tcp("");
    let mut clients: Vec<TcpStream> = (0..20).map(|_| rig.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.write_all(format!("m n={at}i\n").as_bytes()).unwrap();
    }
    rig.run(|rig| rig.bytes.len() == 20 && rig.bytes.values().all(|bytes| bytes.ends_with(b"\n")));
    assert_eq!(rig.driven.host.metric("connections"), 20);
    let mut seen: Vec<&[u8]> = rig.bytes.values().map(Vec::as_slice).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 20);
}

#[test]
fn connections_beyond_the_limit_are_closed_and_counted() {
    let mut rig = tcp("max_connections = 1");
    let first = rig.connect();
    let mut second = rig.connect();
    let mut third = rig.connect();
    rig.run(|rig| rig.driven.host.metric("connections_refused") == 2);
    assert_eq!(second.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(third.read(&mut [0; 8]).unwrap(), 0);
    let complaints = rig.logs().iter().filter(|line| line.contains("max_connections")).count();
    assert_eq!(complaints, 1);

    drop(first);
    rig.run(|rig| rig.ended.len() == 1);
    let mut fourth = rig.connect();
    fourth.write_all(b"m a=1\n").unwrap();
    rig.run(|rig| rig.all_bytes() == 6);
    drop(rig.connect());
    rig.run(|rig| rig.driven.host.metric("connections_refused") == 3);
    let complaints = rig.logs().iter().filter(|line| line.contains("max_connections")).count();
    assert_eq!(complaints, 2, "it was full again");
}

#[test]
fn what_the_agent_has_no_room_for_is_closed() {
    let mut rig = tcp("");
    rig.intake.refuse_sources(true);
    let mut client = rig.connect();
    let listener = rig.intake.watches()[0];
    wait(&[listener.1]);
    rig.intake.ready(listener.0);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(rig.driven.host.metric("connections"), 0);
    rig.intake.refuse_sources(false);
    rig.connect().write_all(b"m a=1\n").unwrap();
    rig.run(|rig| rig.all_bytes() == 6);
}

#[test]
fn silent_connections_are_closed() {
    let mut rig = tcp("idle_timeout = '40ms'");
    let mut client = rig.connect();
    client.write_all(b"m a=1\n").unwrap();
    rig.run(|rig| rig.ended.len() == 1);
    assert_eq!(rig.text(), b"m a=1\n");
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(rig.driven.host.metric("connections_timed_out"), 1);
    assert!(rig.errors.is_empty());
}

#[test]
fn bytes_that_are_no_message_do_not_hold_a_connection_open() {
    let mut rig = tcp("read_timeout = '40ms'");
    let mut client = rig.connect();
    client.write_all(b"m a=1\nm a=").unwrap();
    rig.run(|rig| rig.all_bytes() == 10);
    // A byte at each tick is never silence, and never a message.
    rig.run(|rig| {
        let _ = (&client).write(b"1");
        !rig.ended.is_empty()
    });
    assert_eq!(rig.driven.host.metric("connections_timed_out"), 1);
}

#[test]
fn a_connection_that_nobody_reads_is_not_silent() {
    let mut rig = tcp("idle_timeout = '8ms'");
    let mut client = rig.connect();
    let watches = rig.intake.watches();
    let listener = *watches.last().unwrap();
    wait(&[listener.1]);
    rig.intake.ready(listener.0);
    let (source, spec) = rig.intake.sources()[0].clone();
    client.write_all(b"m a=1\n").unwrap();
    wait(&[spec.descriptor.unwrap()]);
    // The agent is busy elsewhere for many timeouts.
    let timer = watches[0];
    for _ in 0..40 {
        wait(&[timer.1]);
        rig.intake.ready(timer.0);
    }
    assert_eq!(rig.driven.host.metric("connections_timed_out"), 0);
    rig.read(source);
    assert_eq!(rig.text(), b"m a=1\n");
    rig.run(|rig| rig.ended.len() == 1);
}

#[test]
fn nothing_ticks_without_connections() {
    let mut rig = tcp("idle_timeout = '8ms'");
    drop(rig.connect());
    rig.run(|rig| rig.ended.len() == 1);
    let timer = rig.intake.watches()[0].1;
    rig.intake.ready(rig.intake.watches()[0].0);
    let ticks = poll(&[timer], Duration::from_millis(30));
    assert!(ticks.is_empty());
}

#[test]
fn each_strategy_cuts_messages() {
    for (options, sent, expected) in [
        ("splitting_strategy = 'null'", &b"a\0b\n\0\0c"[..], &["a", "b\n", "c"][..]),
        (
            "splitting_strategy = 'delimiter'\nsplitting_delimiter = '0x0d0a'",
            b"a\nb\r\n\r\nc\r",
            &["a\nb", "c\r"],
        ),
        (
            "splitting_strategy = 'delimiter'\nsplitting_delimiter = '--'",
            b"a--b-c--",
            &["a", "b-c"],
        ),
        (
            "splitting_strategy = 'fixed length'\nsplitting_length = 3",
            b"abcdefgh",
            &["abc", "def", "gh"],
        ),
        (
            "splitting_strategy = 'variable length'\n\
             splitting_length_field = {offset = 0, bytes = 2, endianness = 'le', header_length = 3}",
            b"\x02\0!ab\0\0!\x01\0!c",
            &["ab", "c"],
        ),
    ] {
        // Whole, and byte by byte with room for little.
        for (capacity, room, piece) in [(CAPACITY, 1024, 1000), (4, 1, 1)] {
            let mut rig = tcp(options);
            (rig.capacity, rig.message_room) = (capacity, room);
            let mut client = rig.connect();
            for piece in sent.chunks(piece) {
                client.write_all(piece).unwrap();
            }
            drop(client);
            rig.run(|rig| rig.ended.len() + rig.errors.len() == 1);
            assert_eq!(rig.messages(), expected, "{options} {capacity}");
            assert_eq!(rig.errors, Vec::<String>::new());
            let (_, spec) = rig.specs.first_key_value().unwrap();
            assert_eq!(spec.framing, Framing::Messages);
        }
    }
}

#[test]
fn messages_that_are_too_long_close_the_connection() {
    let mut rig = tcp("splitting_strategy = 'null'");
    let mut client = rig.connect();
    let name = client.local_addr().unwrap().to_string();
    client.write_all(b"good\0").unwrap();
    client.write_all(&vec![b'x'; 64 * 1024 + 1]).unwrap();
    rig.run(|rig| rig.errors.len() == 1);
    assert_eq!(rig.messages(), ["good"]);
    assert!(rig.errors[0].contains(&name), "{}", rig.errors[0]);
    assert!(rig.errors[0].contains("65536"), "{}", rig.errors[0]);

    let mut rig = tcp("splitting_strategy = 'null'\nread_buffer_size = '128KiB'");
    let mut client = rig.connect();
    let sender = std::thread::spawn(move || {
        client.write_all(&vec![b'x'; 100 * 1024]).unwrap();
        client.write_all(b"\0").unwrap();
    });
    rig.run(|rig| rig.ended.len() == 1);
    sender.join().unwrap();
    assert_eq!(rig.messages.len(), 1);
    assert_eq!(rig.messages[0].len(), 100 * 1024);
}

#[test]
fn a_claimed_length_is_checked_before_it_is_waited_for() {
    let mut rig = tcp("splitting_strategy = 'variable length'\n\
         splitting_length_field = {bytes = 4, header_length = 4}");
    let mut client = rig.connect();
    client.write_all(&[0xff; 4]).unwrap();
    rig.run(|rig| rig.errors.len() == 1);
    assert!(rig.errors[0].contains("4294967299 bytes"), "{}", rig.errors[0]);

    let mut client = rig.connect();
    client.write_all(b"\0\0\0\x05abc").unwrap();
    drop(client);
    rig.run(|rig| rig.errors.len() == 2);
    assert!(rig.errors[1].contains("middle of a message"), "{}", rig.errors[1]);
}

#[test]
fn packed_streams_are_unpacked() {
    let lines: String = (0..50_000).map(|n| format!("m n={n}i\n")).collect();
    let packed = gzip(lines.as_bytes());
    let mut rig = tcp("content_encoding = 'gzip'");
    rig.capacity = 10_000;
    let mut client = rig.connect();
    let sender = std::thread::spawn(move || {
        for piece in packed.chunks(777) {
            client.write_all(piece).unwrap();
        }
        client.write_all(&gzip(b"second member\n")).unwrap();
    });
    rig.run(|rig| rig.ended.len() == 1);
    sender.join().unwrap();
    assert_eq!(rig.text(), format!("{lines}second member\n").as_bytes());

    let mut client = rig.connect();
    client.write_all(b"this is plain text\n").unwrap();
    rig.run(|rig| rig.errors.len() == 1);
    let name = client.local_addr().unwrap().to_string();
    assert!(rig.errors[0].contains(&name), "{}", rig.errors[0]);
}

#[test]
fn peers_are_tagged_by_their_address() {
    let mut rig = tcp("peer_address_tag = 'source'");
    rig.connect().write_all(b"m a=1\n").unwrap();
    rig.run(|rig| rig.ended.len() == 1);
    let (_, spec) = rig.specs.first_key_value().unwrap();
    assert_eq!(spec.tags, [("source".to_owned(), "127.0.0.1".to_owned())]);
}

#[test]
fn an_ipv4_peer_of_both_versions_shows_as_ipv4() {
    let toml = "service_address = 'tcp://:0'\npeer_address_tag = 'peer'\n\
                allowed_sources = ['127.0.0.1']";
    let mut rig = rig(toml);
    let port = rig.address().rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"m a=1\n").unwrap();
    rig.run(|rig| rig.ended.len() == 1);
    let (_, spec) = rig.specs.first_key_value().unwrap();
    assert_eq!(spec.tags[0].1, "127.0.0.1");
    assert!(spec.name.starts_with("127.0.0.1:"), "{}", spec.name);
}

#[test]
fn strangers_are_turned_away() {
    let mut rig = tcp("allowed_sources = ['192.0.2.1']");
    let mut client = rig.connect();
    rig.run(|rig| rig.driven.host.metric("connections_not_allowed") == 1);
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn unix_sockets_carry_streams_and_packets() {
    let folder = folder("unix");
    let path = folder.join("s");
    let address = path.display();
    let mut rig = rig(&format!(
        "service_address = 'unix://{address}'\nsocket_mode = '600'\npeer_address_tag = 'path'"
    ));
    UnixStream::connect(&path).unwrap().write_all(b"m a=1\n").unwrap();
    rig.run(|rig| rig.ended.len() == 1);
    assert_eq!(rig.text(), b"m a=1\n");
    let (_, spec) = rig.specs.first_key_value().unwrap();
    assert_eq!(spec.tags, [("path".to_owned(), address.to_string())]);
    assert!(spec.name.contains(&format!("process {}", std::process::id())), "{}", spec.name);
    rig.driven.instance.base.stop(&context(0)).unwrap();
    assert!(!path.exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn packets_over_a_unix_socket_are_never_cut_off() {
    use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType};
    let folder = folder("packet");
    let path = folder.join("s");
    let mut rig = rig(&format!(
        "service_address = 'unixpacket://{}'\nsplitting_strategy = 'null'",
        path.display()
    ));
    let client = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::connect(&client, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    let long = [&[b'x'; 60_000][..], b"\0"].concat();
    rustix::net::send(&client, &long, SendFlags::empty()).unwrap();
    rustix::net::send(&client, b"a\0b", SendFlags::empty()).unwrap();
    drop(client);
    rig.run(|rig| rig.ended.len() == 1);
    let lengths: Vec<usize> = rig.messages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [60_000, 1, 1]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn datagrams_are_messages() {
    let mut rig = rig("service_address = 'udp://127.0.0.1:0'");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(rig.address()).unwrap();
    for text in ["m a=1\nm a=2\n", "", "m a=3"] {
        client.send(text.as_bytes()).unwrap();
    }
    rig.run(|rig| rig.messages.len() == 2);
    assert_eq!(rig.messages(), ["m a=1\nm a=2\n", "m a=3"]);
    let (_, spec) = rig.specs.first_key_value().unwrap();
    assert!(spec.lossy);
    assert_eq!(spec.framing, Framing::Messages);

    rig.message_room = 2;
    for n in 0..5 {
        client.send(format!("m a={n}").as_bytes()).unwrap();
    }
    rig.run(|rig| rig.messages.len() == 7);
    let longest = vec![b'x'; 65_507];
    client.send(&longest).unwrap();
    rig.run(|rig| rig.messages.len() == 8);
    assert_eq!(rig.messages[7], longest);
}

#[test]
fn dropped_datagrams_are_counted() {
    let mut rig = rig("service_address = 'udp://127.0.0.1:0'\nread_buffer_size = 4096");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(rig.address()).unwrap();
    for _ in 0..100 {
        client.send(&[b'x'; 1000]).unwrap();
    }
    // The kernel is asked a while after the first datagram was read, and the source is woken to tell.
    rig.run(|rig| !rig.messages.is_empty());
    let timer = *rig.intake.watches().last().unwrap();
    wait(&[timer.1]);
    rig.intake.ready(timer.0);
    let woken = rig.intake.take_woken();
    assert_eq!(woken.len(), 1);
    rig.read(woken[0]);
    assert_eq!(rig.lost as usize + rig.messages.len(), 100);
    assert!(rig.lost > 0);
}

#[test]
fn datagrams_over_a_unix_socket() {
    let folder = folder("gram");
    let path = folder.join("s");
    let mut rig = rig(&format!("service_address = 'unixgram://{}'", path.display()));
    let client = UnixDatagram::unbound().unwrap();
    client.send_to(b"m a=1", &path).unwrap();
    rig.run(|rig| rig.messages.len() == 1);
    let long = vec![b'x'; 64 * 1024 + 1];
    client.send_to(&long, &path).unwrap();
    client.send_to(&long[1..], &path).unwrap();
    rig.run(|rig| rig.messages.len() == 2);
    assert_eq!(rig.messages[1].len(), 64 * 1024);
    assert_eq!(rig.driven.host.metric("datagrams_bad"), 1);
    rig.driven.instance.base.stop(&context(0)).unwrap();
    assert!(!path.exists());
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn datagrams_with_their_senders_or_packed_are_pushed() {
    let mut rig = rig("service_address = 'udp://127.0.0.1:0'\npeer_address_tag = 'from'\n\
         content_encoding = 'gzip'\nmax_decompression_size = 1000");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(rig.address()).unwrap();
    client.send(&gzip(b"m a=1\nm a=2\n")).unwrap();
    client.send(b"not packed").unwrap();
    client.send(&gzip(&[b'x'; 1001])).unwrap();
    rig.run(|rig| rig.driven.host.metric("datagrams_bad") == 2);
    let pushed = rig.intake.take_pushed();
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0].data, b"m a=1\nm a=2\n");
    assert_eq!(pushed[0].tags, [("from".to_owned(), "127.0.0.1".to_owned())]);
    assert_eq!(rig.logs().iter().filter(|line| line.contains("datagrams_bad")).count(), 1);

    rig.intake.set_full(true);
    client.send(&gzip(b"m a=3")).unwrap();
    rig.run(|rig| rig.driven.host.metric("datagrams_lost") == 1);
}

#[test]
fn pause_ends_sources_and_watches() {
    let mut rig = tcp("idle_timeout = '1h'");
    let client = rig.connect();
    rig.run(|rig| !rig.intake.sources().is_empty());
    rig.driven.instance.base.pause(&context(0)).unwrap();
    assert!(rig.intake.sources().is_empty() && rig.intake.watches().is_empty());
    assert_eq!(rig.intake.take_closed().len(), 3);
    drop(client);
    rig.driven.instance.base.stop(&context(0)).unwrap();
    rig.driven.instance.base.stop(&context(0)).unwrap();
    assert!(TcpStream::connect(rig.address()).is_err(), "the port is free again");
}

#[test]
fn keep_alive_is_set() {
    // The last column but one of the kernel's table tells which timer runs: 02 is keep-alive.
    let timer_of = |options: &str| {
        let mut rig = tcp(options);
        let client = rig.connect();
        rig.run(|rig| !rig.intake.sources().is_empty());
        let server = client.peer_addr().unwrap().port();
        let peer = client.local_addr().unwrap().port();
        let (local, remote) = (format!(":{server:04X}"), format!(":{peer:04X}"));
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let words = table.lines().find_map(|line| {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            (words[1].ends_with(&local) && words[2].ends_with(&remote)).then_some(words)
        });
        words.unwrap()[5].split(':').next().unwrap().to_owned()
    };
    assert_eq!(timer_of("keep_alive_period = '5m'"), "02");
    assert_eq!(timer_of("keep_alive_period = 0"), "00");
    assert_eq!(timer_of(""), "00");
}

#[test]
fn options_that_do_not_fit_are_told() {
    let udp = "service_address = 'udp://127.0.0.1:0'\n";
    for (toml, words) in [
        ("", "tcp://:8094"),
        ("service_address = 'http://x'", "known are"),
        ("service_address = 'ip4://127.0.0.1'", "udp://"),
        ("service_address = 'tcp://:1'\nmax_parallel_parsers = 3", "workers"),
        ("service_address = 'tcp://:1'\nsocket_mode = '888'", "octal"),
        ("service_address = 'tcp://:1'\nallowed_sources = ['localhost']", "\"localhost\""),
        ("service_address = 'tcp://:1'\ncontent_encoding = 'zstd'", "gzip"),
        ("service_address = 'tcp://:1'\nsplitting_strategy = 'words'", "fixed length"),
        ("service_address = 'tcp://:1'\nread_buffer_size = '1GB'", "67108864"),
        ("service_address = 'unix:///x'\nallowed_sources = ['127.0.0.1']", "socket_mode"),
        (&format!("{udp}tls_cert = 'a'\ntls_key = 'b'"), "stream"),
    ] {
        let message = refused(toml);
        assert!(message.contains(words), "{toml}: {message}");
    }
    let rig = rig(&format!("{udp}max_connections = 3\nread_timeout = '1s'\nsocket_mode = '600'"));
    for key in ["max_connections", "read_timeout", "socket_mode"] {
        assert!(rig.logs().iter().any(|line| line.contains(key)), "{key}");
    }
}
