//! The agent as a process, end to end.
//!
//! `HEADWATER_BIN` names the agent, else the one of this build is used. `HEADWATER_LONG=1` takes the
//! long load. The tests wait for conditions with deadlines, never for a time alone.

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used)]

mod blocked;
mod command_line;
mod configs;
mod crash;
mod datagrams;
mod delivery;
mod load;
mod plugins;
mod recipes;
mod sql;
mod sql_files;
mod stop;
mod tables;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use headwater_tests::wait;

/// Sends bytes through one connection, ends it, and waits until the agent has read to its end.
fn send(to: SocketAddr, data: &[u8]) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(data).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_to_end(stream);
}

/// Waits until the agent has closed its side.
fn read_to_end(mut stream: TcpStream) {
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    // A reset is an end as well.
    let _ = stream.read(&mut [0; 16]);
}

/// A listener and a file.
const SOCKET_TO_FILE: &str = r#"
[agent]
omit_hostname = true
flush_interval = "50ms"
show_bad_lines = "all"

[[inputs.socket_listener]]
service_address = "tcp://127.0.0.1:0"

[[outputs.file]]
files = ["@/out"]
"#;
