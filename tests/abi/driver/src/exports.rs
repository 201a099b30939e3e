//! What a library shows to the dynamic linker: one symbol, the root module, and no need of anything
//! but the C library.

use std::path::Path;

use headwater_plugin_api::abi::open::ROOT_SYMBOL;

const NEEDED: [&str; 5] =
    ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"];

const SYMBOLS: u32 = 11;
const DYNAMIC: u32 = 6;
const DT_NEEDED: u64 = 1;

/// Checks all libraries of a folder.
pub fn check(folder: &Path) {
    let mut libraries: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .collect();
    libraries.sort();
    assert!(!libraries.is_empty(), "there is no library in {}", folder.display());
    for library in libraries {
        let name = library.display();
        let bytes = std::fs::read(&library).unwrap();
        assert_eq!(exported(&bytes), [ROOT_SYMBOL], "{name} exports the root module alone");
        let needed = needed(&bytes);
        let strange: Vec<_> = needed.iter().filter(|n| !NEEDED.contains(&n.as_str())).collect();
        assert!(strange.is_empty(), "{name} needs {strange:?}");
        println!("exports: {name}: {} bytes", bytes.len());
    }
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn text(bytes: &[u8], at: usize) -> String {
    let len = bytes[at..].iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(bytes[at..at + len].to_vec()).unwrap()
}

/// The bytes of the first section of a type, and those of the names that it refers to.
fn section(bytes: &[u8], wanted: u32) -> (&[u8], &[u8]) {
    let (table, count) = (number(bytes, 40, 8) as usize, number(bytes, 60, 2) as usize);
    let head = |index: usize| &bytes[table + index * 64..][..64];
    let content = |head: &[u8]| {
        let (offset, size) = (number(head, 24, 8) as usize, number(head, 32, 8) as usize);
        &bytes[offset..offset + size]
    };
    let found = (0..count).map(head).find(|head| number(head, 4, 4) as u32 == wanted);
    let found = found.expect("a library has this section");
    (content(found), content(head(number(found, 40, 4) as usize)))
}

fn exported(bytes: &[u8]) -> Vec<String> {
    let (symbols, names) = section(bytes, SYMBOLS);
    let defined = symbols.chunks_exact(24).filter(|symbol| {
        let (binding, place) = (symbol[4] >> 4, number(symbol, 6, 2));
        binding != 0 && place != 0
    });
    defined.map(|symbol| text(names, number(symbol, 0, 4) as usize)).collect()
}

fn needed(bytes: &[u8]) -> Vec<String> {
    let (entries, names) = section(bytes, DYNAMIC);
    let needed = entries.chunks_exact(16).filter(|entry| number(entry, 0, 8) == DT_NEEDED);
    needed.map(|entry| text(names, number(entry, 8, 8) as usize)).collect()
}
