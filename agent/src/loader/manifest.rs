//! What is in a library, read from the file without loading it: so that only the libraries are
//! opened that a configuration needs, and no code of a stranger runs to find that out.
//!
//! The text stands in the ELF section `.headwater.plugins`: a line `HWPM1`, then a line
//! `kind name` for each plugin.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::PluginKind;

/// The section that holds the manifest.
pub const SECTION: &str = ".headwater.plugins";

const MAGIC: &str = "HWPM1";

/// Bounds of what is read from a file.
const SECTIONS_MAX: u64 = 4096;
const NAMES_MAX: u64 = 256 << 10;
const TEXT_MAX: u64 = 256 << 10;

const HEAD: usize = 64;
const SECTION_HEAD: usize = 64;
const SHARED_OBJECT: u16 = 3;
/// Section that takes no room in the file.
const NOBITS: u32 = 8;

#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// Why a file has no manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestError {
    /// It is not a shared library of 64-bit little-endian Linux; what it is instead.
    NotALibrary(String),
    /// It is a library for another processor: its ELF machine number.
    OtherMachine(u16),
    /// It is a library without the section: not a plugin.
    NoPlugin,
    /// It has the section, and what stands there is not a manifest.
    Garbled(String),
    /// The file cannot be read.
    Unreadable(String),
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ManifestError::NotALibrary(what) => {
                write!(f, "it is not a shared library of 64-bit Linux: {what}")
            }
            ManifestError::OtherMachine(machine) => write!(
                f,
                "it was built for another processor (ELF machine {machine}, this one is {MACHINE})"
            ),
            ManifestError::NoPlugin => {
                write!(f, "it is a library and not a plugin: it has no section {SECTION}")
            }
            ManifestError::Garbled(what) => write!(f, "its list of plugins is garbled: {what}"),
            ManifestError::Unreadable(what) => write!(f, "it cannot be read: {what}"),
        }
    }
}

impl std::error::Error for ManifestError {}

/// Kind and name of each plugin in a library. Kinds that this version does not know are left out.
///
/// # Errors
/// Why there is no manifest to read.
pub fn read(file: &File) -> Result<Vec<(PluginKind, String)>, ManifestError> {
    parse(&section(file)?)
}

fn parse(text: &[u8]) -> Result<Vec<(PluginKind, String)>, ManifestError> {
    let text = std::str::from_utf8(text)
        .map_err(|error| ManifestError::Garbled(error.to_string()))?
        .trim_end_matches('\0');
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    if first != MAGIC {
        return Err(ManifestError::Garbled(format!("it begins with {first:.16?}, not {MAGIC}")));
    }
    let mut plugins = Vec::new();
    for line in lines {
        let Some((kind, name)) = line.split_once(' ').filter(|(_, name)| !name.is_empty()) else {
            return Err(ManifestError::Garbled(format!("{line:.64?} is not a kind and a name")));
        };
        if let Some(kind) = PluginKind::from_word(kind) {
            plugins.push((kind, name.to_owned()));
        }
    }
    Ok(plugins)
}

/// The bytes of the section.
fn section(file: &File) -> Result<Vec<u8>, ManifestError> {
    let length = file.metadata().map_err(|e| ManifestError::Unreadable(e.to_string()))?.len();
    let head = piece(file, length, 0, length.min(HEAD as u64))?;
    check_head(&head)?;
    let table = u64_at(&head, 40);
    let entry = u64::from(u16_at(&head, 58));
    let count = u64::from(u16_at(&head, 60));
    let names = u64::from(u16_at(&head, 62));
    if entry != SECTION_HEAD as u64 || count > SECTIONS_MAX || names >= count {
        return Err(ManifestError::NoPlugin);
    }
    let table = piece(file, length, table, count * entry)?;
    let heads: Vec<&[u8]> = table.chunks_exact(SECTION_HEAD).collect();
    let Some(names) = heads.get(names as usize) else { return Err(ManifestError::NoPlugin) };
    let size = u64_at(names, 32);
    if size > NAMES_MAX {
        return Err(ManifestError::NotALibrary(format!("its section names fill {size} bytes")));
    }
    let names = piece(file, length, u64_at(names, 24), size)?;
    let found = heads.iter().find(|head| {
        let name = names.get(u32_at(head, 0) as usize..).unwrap_or_default();
        name.strip_prefix(SECTION.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    });
    let Some(head) = found else { return Err(ManifestError::NoPlugin) };
    let size = u64_at(head, 32);
    if size > TEXT_MAX || u32_at(head, 4) == NOBITS {
        return Err(ManifestError::Garbled(format!("a list of {size} bytes")));
    }
    piece(file, length, u64_at(head, 24), size)
}

fn check_head(head: &[u8]) -> Result<(), ManifestError> {
    if !head.starts_with(b"\x7fELF") {
        let text = String::from_utf8_lossy(&head[..head.len().min(16)]);
        return Err(ManifestError::NotALibrary(format!("it begins with {text:?}")));
    }
    if head.len() < HEAD {
        return Err(ManifestError::NotALibrary("an ELF file that is cut off".into()));
    }
    if head[4..6] != [2, 1] {
        return Err(ManifestError::NotALibrary("an ELF file of another word size".into()));
    }
    if u16_at(head, 16) != SHARED_OBJECT {
        return Err(ManifestError::NotALibrary("an ELF file that is no shared object".into()));
    }
    match u16_at(head, 18) {
        MACHINE => Ok(()),
        other => Err(ManifestError::OtherMachine(other)),
    }
}

/// Reads a piece that lies inside the file.
fn piece(file: &File, length: u64, offset: u64, size: u64) -> Result<Vec<u8>, ManifestError> {
    if offset.checked_add(size).is_none_or(|end| end > length) {
        return Err(ManifestError::NotALibrary(format!(
            "{size} bytes at {offset} lie outside its {length} bytes"
        )));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, offset)
        .map_err(|error| ManifestError::Unreadable(error.to_string()))?;
    Ok(bytes)
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|b| b.try_into().ok()).unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, at))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A shared object of three sections: none, names, and the one with `name` and `text`.
    pub(in crate::loader) fn library(name: &str, text: &[u8]) -> Vec<u8> {
        let names = format!("\0.shstrtab\0{name}\0").into_bytes();
        let mut file = vec![0; HEAD];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..18].copy_from_slice(&SHARED_OBJECT.to_le_bytes());
        file[18..20].copy_from_slice(&MACHINE.to_le_bytes());
        let names_at = file.len() as u64;
        file.extend_from_slice(&names);
        let text_at = file.len() as u64;
        file.extend_from_slice(text);
        let table_at = file.len() as u64;
        file[40..48].copy_from_slice(&table_at.to_le_bytes());
        file[58..60].copy_from_slice(&(SECTION_HEAD as u16).to_le_bytes());
        file[60..62].copy_from_slice(&3_u16.to_le_bytes());
        file[62..64].copy_from_slice(&1_u16.to_le_bytes());
        file.extend_from_slice(&[0; SECTION_HEAD]);
        for (name, at, size) in [(1_u32, names_at, names.len()), (11, text_at, text.len())] {
            let mut head = [0; SECTION_HEAD];
            head[..4].copy_from_slice(&name.to_le_bytes());
            head[4..8].copy_from_slice(&1_u32.to_le_bytes());
            head[24..32].copy_from_slice(&at.to_le_bytes());
            head[32..40].copy_from_slice(&(size as u64).to_le_bytes());
            file.extend_from_slice(&head);
        }
        file
    }

    fn read_bytes(bytes: &[u8]) -> Result<Vec<(PluginKind, String)>, ManifestError> {
        let folder = crate::loader::tests::Folder::new();
        let path = folder.file("file", bytes);
        read(&File::open(path).unwrap())
    }

    #[test]
    fn reads_kinds_and_names() {
        let text = b"HWPM1\ninput cpu\noutput file\nprocessor regex\n";
        let found = read_bytes(&library(SECTION, text)).unwrap();
        let expected = [
            (PluginKind::Input, "cpu".to_owned()),
            (PluginKind::Output, "file".to_owned()),
            (PluginKind::Processor, "regex".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_kind_of_a_later_version_is_left_out() {
        let found = read_bytes(&library(SECTION, b"HWPM1\nsecretstore vault\ninput cpu\n"));
        assert_eq!(found.unwrap(), [(PluginKind::Input, "cpu".to_owned())]);
    }

    #[test]
    fn tells_what_a_file_is_instead() {
        let check = |bytes: &[u8], expected: &str| {
            let error = read_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "it begins with \"\"");
        check(b"hello", "it begins with \"hello\"");
        check(b"\x7fELF", "cut off");
        check(&[b'#'; 200], "it begins with \"################\"");
        check(&library(".other.plugins", b"HWPM1\n"), "it has no section .headwater.plugins");
        check(&library(".headwater.plugins2", b"HWPM1\n"), "it has no section");
        check(&library(SECTION, b"HWPM2\ninput cpu\n"), "it begins with \"HWPM2\", not HWPM1");
        check(&library(SECTION, b"HWPM1\ninput\n"), "\"input\" is not a kind and a name");
        check(&library(SECTION, b"HWPM1\ninput \xff\n"), "garbled");
        check(&library(SECTION, b""), "garbled");
        let mut other = library(SECTION, b"HWPM1\n");
        other[18] = 3;
        check(&other, "another processor (ELF machine 3");
        let mut other = library(SECTION, b"HWPM1\n");
        other[4] = 1;
        check(&other, "another word size");
        let mut other = library(SECTION, b"HWPM1\n");
        other[16] = 2;
        check(&other, "no shared object");
    }

    #[test]
    fn any_cut_or_flipped_byte_is_refused_or_harmless() {
        let whole = library(SECTION, b"HWPM1\ninput cpu\n");
        let folder = crate::loader::tests::Folder::new();
        let path = folder.file("file", &whole);
        let file = File::options().read(true).write(true).open(path).unwrap();
        let (mut refused, mut kept) = (0, 0);
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xff] {
                file.write_all_at(&[whole[at] ^ flip], at as u64).unwrap();
                match read(&file) {
                    Ok(_) => kept += 1,
                    Err(_) => refused += 1,
                }
            }
            file.write_all_at(&whole[at..=at], at as u64).unwrap();
        }
        assert!(refused > 100 && kept > 100, "{refused} refused, {kept} read");
        for len in (0..whole.len() as u64).rev() {
            file.set_len(len).unwrap();
            assert!(read(&file).is_err(), "cut to {len}");
        }
    }
}
