//! Stands in for the agent: loads libraries by the agent's own loader and drives their plugins
//! through the interface. `abi-driver old|new DIRECTORY` checks the fixture of 1.0 or of 1.1 that
//! lies in the directory, `bad` libraries that must be refused, `c` how a C program reads a batch;
//! `exports` what libraries show to the linker; `header` writes the C header of an interface, `grow`
//! makes 1.1 of the sources of one. Built with feature `v1_1` this is an agent of 1.1.

#[allow(dead_code, unused_imports)]
#[path = "loader/mod.rs"]
mod loader;
mod exports;
mod grown;
mod growth;
#[cfg(not(feature = "v1_1"))]
mod header;
mod host;
mod in_c;
mod old_data;
mod old_stages;
mod refused;

use std::sync::Mutex;

use loader::{Registry, Welcome, directories::Directory};

/// What was heard of panics in libraries.
pub static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: abi-driver old|new|bad|c|header|exports|grow DIRECTORY";
    let (scenario, directory) =
        (arguments.next().expect(usage), arguments.next().expect(usage));
    match scenario.as_str() {
        #[cfg(not(feature = "v1_1"))]
        "header" => print!("{}", header::write(directory.as_ref())),
        "grow" => growth::grow(directory.as_ref()),
        "exports" => exports::check(directory.as_ref()),
        "c" => in_c::check(directory.as_ref()),
        _ => libraries(&scenario, &directory),
    }
}

fn libraries(scenario: &str, directory: &str) {
    let welcome = Welcome {
        memory: Some(&host::MEMORY),
        panic: |message| PANICS.lock().unwrap().push(message.to_owned()),
    };
    let registry = Registry::new(vec![Directory::named(directory)], Vec::new(), welcome);
    let listed = registry.list();
    if scenario != "bad" {
        assert!(registry.warnings().is_empty(), "{:?}", registry.warnings());
        assert!(registry.faults().is_empty(), "{}", registry.faults()[0]);
    }
    match scenario {
        "old" => {
            old_data::check(&registry, &listed);
            old_stages::check(&registry);
            grown::old(&registry);
        }
        "new" => grown::new(&registry),
        "bad" => refused::check(&registry),
        other => panic!("there is no scenario {other}"),
    }
    let (allocated, freed) = host::blocks();
    assert!(allocated > 0, "no batch took its memory from the host");
    assert_eq!(allocated, freed, "blocks of batches that were not given back");
    println!("{scenario}: {} plugins, {allocated} blocks", listed.len());
}
