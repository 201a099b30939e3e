//! One run of the agent over a load.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use headwater_tests::agent::{Agent, Setup};
use headwater_tests::wait;
use rustix::process::Signal;

use crate::rows::{Done, Row};
use crate::verify::{self, Expected};

/// What a run took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    /// From the first byte sent until all was written.
    pub wall: Duration,
    /// The agent's, from its start to its end.
    pub cpu: Duration,
    pub peak_bytes: u64,
}

/// How long one run may take: valgrind is fifty times slower.
const PATIENCE: Duration = Duration::from_secs(1200);

const END: &[u8] = b"end last=1i 1700000000000000000\n";

/// Sends bytes through one connection and waits until the agent has read them all.
pub fn send(to: SocketAddr, text: &[u8], last: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    for chunk in text.chunks(256 << 10) {
        stream.write_all(chunk)?;
    }
    stream.write_all(last)?;
    stream.shutdown(Shutdown::Write)?;
    // The agent closes its side when it has read ours to the end.
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read(&mut [0; 16]).map(|_| ())
}

/// Runs the agent over a text and checks what came out.
pub fn run(
    program: &Path,
    row: &Row,
    workers: usize,
    text: &[u8],
    expected: Option<&Expected>,
    points: u64,
    under: Option<&[String]>,
) -> Result<(Taken, Agent, String), String> {
    let mut setup = Setup::of(program, &row.config(workers));
    if let Some(arguments) = under {
        setup = setup.under("valgrind", arguments);
    }
    let mut agent = setup.start();
    let address = agent.tcp();
    let out = agent.folder().join("out");
    let begin = Instant::now();
    let last = if row.done == Done::End { END } else { b"" };
    send(address, text, last).map_err(|error| format!("{}: {error}\n{}", row.name, agent.log()))?;
    let last_line = text.strip_suffix(b"\n").and_then(|text| text.rsplit(|b| *b == b' ').next());
    let done = || match row.done {
        Done::Closed => true,
        Done::End => ends_with(&out, END.strip_suffix(b"\n").unwrap_or(END)),
        Done::LastLine => last_line.is_some_and(|last| ends_with(&out, last)),
        Done::Counts => verify::counted(&read(&out)) >= points,
    };
    wait::poll(PATIENCE, || done().then_some(()))
        .ok_or_else(|| format!("{}: the output is not complete\n{}", row.name, agent.log()))?;
    let until_written = begin.elapsed();
    agent.signal(Signal::TERM);
    let (status, usage) = agent.wait_for(PATIENCE);
    let wall = if row.done == Done::Closed { begin.elapsed() } else { until_written };
    if !status.success() {
        return Err(format!("{}: {status}\n{}", row.name, agent.log()));
    }
    let output = if row.to_file {
        std::fs::read(&out).map_err(|error| format!("{}: {error}", out.display()))?
    } else {
        Vec::new()
    };
    let checked = match expected {
        Some(expected) => verify::check(expected, &output)
            .map_err(|error| format!("{}: {error}\n{}", row.name, agent.log()))?,
        None => String::new(),
    };
    Ok((Taken { wall, cpu: usage.cpu, peak_bytes: usage.peak_bytes }, agent, checked))
}

fn read(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).unwrap_or_default()).unwrap_or_default()
}

/// Whether the file's last line ends in these bytes.
fn ends_with(path: &Path, bytes: &[u8]) -> bool {
    let tail = || -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(bytes.len() as u64 + 1)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(tail)
    };
    tail().is_ok_and(|tail| tail.strip_suffix(b"\n").is_some_and(|tail| tail.ends_with(bytes)))
}
