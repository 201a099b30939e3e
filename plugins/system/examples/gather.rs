//! Gathers from this machine: `cargo run --example gather` prints all points once.
//!
//! `gather PLUGIN COUNT` gathers from one plugin COUNT times and prints nothing. Under
//! `valgrind --tool=callgrind` the difference between two counts is the cost of a gather:
//! instructions of this process, without what the kernel does to fill the files.

#![allow(clippy::print_stdout)]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use headwater_plugin_api::abi::instance::InputInstance;
use headwater_plugin_api::plugin::Error;
use headwater_plugin_api::testkit::{self, Driven};
use headwater_system as system;

type Make = fn(&str) -> Result<Driven<InputInstance>, Error>;

const PLUGINS: [(&str, Make); 9] = [
    ("cpu", testkit::input::<system::cpu::Cpu>),
    ("disk", testkit::input::<system::disk::Disk>),
    ("diskio", testkit::input::<system::diskio::DiskIo>),
    ("kernel", testkit::input::<system::kernel::Kernel>),
    ("mem", testkit::input::<system::mem::Mem>),
    ("net", testkit::input::<system::net::Net>),
    ("processes", testkit::input::<system::processes::Processes>),
    ("swap", testkit::input::<system::swap::Swap>),
    ("system", testkit::input::<system::system::System>),
];

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, count] = arguments.as_slice() {
        let count: u64 = count.parse().map_err(|_| Error::failed("COUNT is not a number"))?;
        return repeat(name, count);
    }
    for (name, make) in PLUGINS {
        let mut input = make("")?;
        let _ = input.gather(now_ns() - 10_000_000_000);
        let begin = Instant::now();
        let (collected, result) = input.gather(now_ns());
        let took = begin.elapsed();
        collected.points().iter().for_each(|line| println!("{line}"));
        if let Err(error) = result {
            println!("# {name}: {error}");
        }
        println!("# {name}: {} points in {took:?}", collected.points().len());
    }
    Ok(())
}

fn repeat(name: &str, count: u64) -> Result<(), Error> {
    let plugin = PLUGINS.iter().find(|(plugin, _)| *plugin == name);
    let (_, make) = plugin.ok_or_else(|| Error::failed(format!("there is no plugin {name}")))?;
    let mut input = make("")?;
    for _ in 0..count {
        let _ = input.gather(now_ns());
    }
    Ok(())
}
