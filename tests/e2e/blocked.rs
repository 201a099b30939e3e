//! An output that takes nothing: its sources wait, memory stays within its limit, and nothing is lost.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::digest::digest;
use headwater_tests::load::Load;

/// Makes a pipe and opens its end for reading, so that whoever writes can open it too.
pub fn pipe(path: &Path) -> File {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from(0o600)).unwrap();
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    File::options().read(true).custom_flags(nonblocking).open(path).unwrap()
}

/// Reads everything from here on.
pub fn drain(mut pipe: File) -> std::thread::JoinHandle<Vec<u8>> {
    rustix::io::ioctl_fionbio(&pipe, false).unwrap();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        pipe.read_to_end(&mut all).unwrap();
        all
    })
}

/// Waits until a count and the agent's processor time stand still.
pub fn quiet(agent: &mut Agent, count: impl Fn() -> u64) -> u64 {
    let mut last = (u64::MAX, std::time::Duration::MAX);
    let mut same = 0;
    agent.until("a sender that waits", |agent| {
        let now = (count(), agent.cpu());
        same = if now == last { same + 1 } else { 0 };
        last = now;
        // A hundred looks, 5 ms apart.
        (same >= 100).then_some(now.0)
    })
}

#[test]
fn a_blocked_output_stops_the_reader() {
    const LIMIT: u64 = 8 << 20;
    let setup = Setup::new(
        "[agent]\nomit_hostname = true\nmemory_limit = \"8MiB\"\nmetric_buffer_limit = 1000000000\n\
         flush_interval = \"50ms\"\n\
         [[inputs.socket_listener]]\nservice_address = \"tcp://127.0.0.1:0\"\n\
         [[outputs.file]]\nfiles = [\"@/pipe\"]\n",
    );
    let reader = pipe(&setup.folder().join("pipe"));
    let mut agent = setup.start();
    let text = Load { points: 500_000, ..Load::default() }.text();
    let mut stream = TcpStream::connect(agent.tcp()).unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let sender = std::thread::spawn({
        let (text, sent) = (text.clone(), Arc::clone(&sent));
        move || {
            for chunk in text.chunks(16 << 10) {
                stream.write_all(chunk).unwrap();
                sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            }
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            crate::read_to_end(stream);
        }
    });
    let stood_at = quiet(&mut agent, || sent.load(Ordering::Relaxed));
    let waiting = agent.peak();
    println!("the sender waits at {stood_at} of {} bytes, peak {} KiB", text.len(), waiting >> 10);
    // What waits is bounded by the limit; the kernel holds the rest in its socket buffers.
    assert!(stood_at < LIMIT + (16 << 20), "{stood_at} bytes were taken");
    assert!(waiting < LIMIT + (32 << 20), "{waiting} bytes are resident");
    let drained = drain(reader);
    sender.join().unwrap();
    let ended = agent.stop();
    let out = drained.join().unwrap();
    assert_eq!(digest(&out), digest(&text), "log:\n{}", ended.log);
}
