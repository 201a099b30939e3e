//! A clean stop: what was accepted is written.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use headwater_tests::agent::Setup;
use headwater_tests::digest::digest;
use headwater_tests::load::Load;
use rustix::process::Signal;

use crate::{SOCKET_TO_FILE, send};

#[test]
fn everything_accepted_is_written_at_the_stop() {
    let text = Load { points: 100_000, ..Load::default() }.text();
    // So long an interval leaves the writing to the stop.
    let config = SOCKET_TO_FILE
        .replace("50ms", "1h")
        .replace("[agent]", "[agent]\nmetric_batch_size = 1000000\nmetric_buffer_limit = 1000000");
    let mut agent = Setup::new(&config).start();
    send(agent.tcp(), &text);
    let ended = agent.stop();
    assert_eq!(digest(ended.read("out").as_bytes()), digest(&text), "log:\n{}", ended.log);
}

#[test]
fn what_an_open_connection_handed_over_is_read_at_the_stop() {
    // Less than a receive window: all of it is on the agent's side when the write returns.
    let text = Load { points: 300, ..Load::default() }.text();
    let mut agent = Setup::new(SOCKET_TO_FILE).start();
    let mut stream = TcpStream::connect(agent.tcp()).unwrap();
    stream.write_all(&text).unwrap();
    let ended = agent.stop();
    assert_eq!(digest(ended.read("out").as_bytes()), digest(&text), "log:\n{}", ended.log);
    drop(stream);
}

#[test]
fn sigint_stops_as_sigterm_does() {
    let text = Load { points: 1000, ..Load::default() }.text();
    let mut agent = Setup::new(SOCKET_TO_FILE).start();
    send(agent.tcp(), &text);
    agent.signal(Signal::INT);
    let (status, _) = agent.wait();
    assert!(status.success());
    assert_eq!(digest(agent.read("out").as_bytes()), digest(&text));
}

#[test]
fn an_output_that_hangs_does_not_hold_the_stop_up() {
    let config = "[agent]\nomit_hostname = true\nstop_timeout = \"1s\"\nflush_interval = \"20ms\"\n\
        [[inputs.socket_listener]]\nservice_address = \"tcp://127.0.0.1:0\"\n\
        [[outputs.file]]\nfiles = [\"@/pipe\"]\n";
    let setup = Setup::new(config);
    let _reader = crate::blocked::pipe(&setup.folder().join("pipe"));
    let mut agent = setup.start();
    send(agent.tcp(), &Load { points: 5000, ..Load::default() }.text());
    agent.signal(Signal::TERM);
    let (status, _) = agent.wait_for(Duration::from_secs(30));
    assert!(!status.success(), "points were lost, and the status does not tell");
    assert!(agent.log().contains("lost"), "log:\n{}", agent.log());
}
