//! Stands in for the agent: loads libraries by the agent's own loader and drives their plugins
//! through the interface. `abi-driver old|new DIRECTORY` checks the fixture of 1.0 or of 1.1 that
//! lies in the directory, `abi-driver bad DIRECTORY` libraries that must be refused. Built with
//! feature `v1_1` it is an agent of 1.1.

#[allow(dead_code, unused_imports)]
#[path = "loader/mod.rs"]
mod loader;
mod grown;
mod host;
mod old_data;
mod old_stages;
mod refused;

use std::sync::Mutex;

use headwater_plugin_api::abi::memory::MemoryFunctions;
use loader::{Registry, Welcome, directories::Directory};

/// What was heard of panics in libraries.
pub static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: abi-driver old|new|bad DIRECTORY";
    let (scenario, directory) =
        (arguments.next().expect(usage), arguments.next().expect(usage));
    let memory: &'static MemoryFunctions = &host::MEMORY;
    let welcome = Welcome {
        memory: Some(memory),
        panic: |message| PANICS.lock().unwrap().push(message.to_owned()),
    };
    let registry = Registry::new(vec![Directory::named(directory)], Vec::new(), welcome);
    let listed = registry.list();
    if scenario != "bad" {
        assert!(registry.warnings().is_empty(), "{:?}", registry.warnings());
        assert!(registry.faults().is_empty(), "{}", registry.faults()[0]);
    }
    match scenario.as_str() {
        "old" => {
            old_data::check(&registry, &listed);
            old_stages::check(&registry);
            grown::old(&registry);
        }
        "new" => grown::new(&registry),
        "bad" => refused::check(&registry),
        other => panic!("{other}? {usage}"),
    }
    let (allocated, freed) = host::blocks();
    assert!(allocated > 0, "no batch took its memory from the host");
    assert_eq!(allocated, freed, "blocks of batches that were not given back");
    println!("{scenario}: {} plugins, {allocated} blocks", listed.len());
}
