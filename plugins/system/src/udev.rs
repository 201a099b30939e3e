//! What udev knows of block devices: the files of /run/udev/data.

use crate::reader::{Reader, Text};
use crate::roots::Roots;

/// The file of a block device below `HOST_RUN`.
pub fn file(major: u32, minor: u32) -> String {
    format!("udev/data/b{major}:{minor}")
}

/// A property (`E:KEY=value`).
pub fn property<'a>(text: &Text<'a>, key: &str) -> Option<&'a [u8]> {
    text.lines()
        .find_map(|line| line.strip_prefix(b"E:")?.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
}

/// The links that point to the device, without `/dev/`.
pub fn links<'a>(text: &Text<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    text.lines().filter_map(|line| line.strip_prefix(b"S:"))
}

/// A property as text, if the device has it.
pub fn read_property(
    reader: &mut Reader,
    roots: &Roots,
    (major, minor): (u32, u32),
    key: &str,
) -> Option<String> {
    let text = reader.piece_if_readable(&[&roots.run, &file(major, minor)])?;
    let value = String::from_utf8_lossy(property(&text, key)?).into_owned();
    (!value.is_empty()).then_some(value)
}
