//! How many processors there are.
//!
//! /sys/devices/system/cpu/online is read at each gather, /proc/cpuinfo only where it is missing:
//! the kernel asks every processor for its clock to fill that one. Which processors are threads of
//! one core is read again only when other ones are online.

use headwater_plugin_api::plugin::Error;

use crate::reader::{Reader, Text, unsigned};
use crate::roots::Roots;

/// A list of processors that ends above this number is not believed.
const PROCESSORS_MAX: u64 = 1 << 16;

/// Counts processors.
#[derive(Default)]
pub struct Processors {
    online: Vec<u8>,
    logical: usize,
    physical: usize,
}

impl Processors {
    /// Logical processors that are online and cores they belong to; 0 cores if nothing tells.
    ///
    /// # Errors
    /// No file tells how many processors there are, or one that should is malformed.
    pub fn count(&mut self, reader: &mut Reader, roots: &Roots) -> Result<(usize, usize), Error> {
        let Some(text) = reader.piece_if_readable(&[&roots.sys, "devices/system/cpu/online"])
        else {
            return count_by_cpuinfo(reader, roots);
        };
        if self.logical == 0 || self.online != text.data {
            let Some(ranges) = ranges(text.trimmed()) else {
                return Err(Error::failed(text.bad("a list of processors", text.trimmed())));
            };
            self.online.clear();
            self.online.extend_from_slice(text.data);
            self.logical = ranges.iter().map(|(first, last)| (last - first + 1) as usize).sum();
            self.physical = cores(reader, roots, &ranges);
            if self.physical == 0 {
                self.physical = cpuinfo(reader, roots).map_or(0, |(_, cores)| cores);
            }
        }
        Ok((self.logical, self.physical))
    }
}

/// `0-3,6` as its ranges, both ends included.
fn ranges(list: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut ranges = Vec::new();
    for part in list.split(|byte| *byte == b',') {
        let mut ends = part.splitn(2, |byte| *byte == b'-');
        let first = unsigned(ends.next()?)?;
        let last = ends.next().map_or(Some(first), unsigned)?;
        if first > last || last >= PROCESSORS_MAX {
            return None;
        }
        ranges.push((first, last));
    }
    Some(ranges)
}

/// How many distinct groups of threads the processors are in.
fn cores(reader: &mut Reader, roots: &Roots, ranges: &[(u64, u64)]) -> usize {
    for file in ["core_cpus_list", "thread_siblings_list"] {
        let mut groups: Vec<Vec<u8>> = Vec::new();
        for number in ranges.iter().flat_map(|(first, last)| *first..=*last) {
            let cpu = format!("cpu{number}");
            let parts = [&roots.sys, "devices/system/cpu", &cpu, "topology", file];
            if let Some(text) = reader.piece_if_readable(&parts)
                && !groups.iter().any(|group| group == text.trimmed())
            {
                groups.push(text.trimmed().to_vec());
            }
        }
        if !groups.is_empty() {
            return groups.len();
        }
    }
    0
}

fn count_by_cpuinfo(reader: &mut Reader, roots: &Roots) -> Result<(usize, usize), Error> {
    let (mut logical, physical) = cpuinfo(reader, roots).unwrap_or((0, 0));
    if logical == 0 {
        let text = reader.piece(&[&roots.proc, "stat"])?;
        let of_one =
            |line: &&[u8]| line.starts_with(b"cpu") && line.get(3).is_some_and(u8::is_ascii_digit);
        logical = text.lines().filter(of_one).count();
    }
    Ok((logical, physical))
}

/// Processors, and the sum of `cpu cores` over packages.
fn cpuinfo(reader: &mut Reader, roots: &Roots) -> Option<(usize, usize)> {
    let text = reader.records(&[&roots.proc, "cpuinfo"]).ok()?;
    let logical = text
        .lines()
        .filter(|line| line.len() >= 9 && line[..9].eq_ignore_ascii_case(b"processor"))
        .filter(|line| value(line).and_then(unsigned).is_some())
        .count();
    Some((logical, cores_by_package(&text)))
}

fn cores_by_package(text: &Text<'_>) -> usize {
    let mut packages: Vec<(u64, u64)> = Vec::new();
    let (mut package, mut cores) = (None, None);
    // An empty line ends a processor's section; so does the end of the file.
    for line in text.lines().chain([&b""[..]]) {
        if line.starts_with(b"physical id") {
            package = value(line).and_then(unsigned);
        } else if line.starts_with(b"cpu cores") {
            cores = value(line).and_then(unsigned).filter(|cores| *cores < PROCESSORS_MAX);
        } else if line.trim_ascii().is_empty()
            && let (Some(package), Some(cores)) = (package.take(), cores.take())
            && !packages.iter().any(|(known, _)| *known == package)
        {
            packages.push((package, cores));
        }
    }
    packages.iter().map(|(_, cores)| *cores as usize).sum()
}

fn value(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some(line[colon + 1..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::Tree;

    fn count(tree: &Tree) -> Result<(usize, usize), String> {
        let result = Processors::default().count(&mut Reader::default(), &tree.roots);
        result.map_err(|error| error.message().to_owned())
    }

    const CPU: &str = "sys/devices/system/cpu";

    #[test]
    fn threads_of_a_core_are_one_physical_processor() {
        let tree = Tree::of(&[]);
        tree.write(&format!("{CPU}/online"), "0-2,4\n");
        for (cpu, group) in [(0, "0,2"), (1, "1"), (2, "0,2"), (3, "3"), (4, "4")] {
            tree.write(
                &format!("{CPU}/cpu{cpu}/topology/thread_siblings_list"),
                format!("{group}\n"),
            );
        }
        assert_eq!(count(&tree), Ok((4, 3)));
    }

    #[test]
    fn hotplug_is_seen() {
        let tree = Tree::of(&[]);
        tree.write(&format!("{CPU}/online"), "0\n");
        tree.write(&format!("{CPU}/cpu0/topology/core_cpus_list"), "0\n");
        tree.write(&format!("{CPU}/cpu1/topology/core_cpus_list"), "1\n");
        let (mut processors, mut reader) = (Processors::default(), Reader::default());
        assert_eq!(processors.count(&mut reader, &tree.roots).unwrap(), (1, 1));
        tree.write(&format!("{CPU}/online"), "0-1\n");
        assert_eq!(processors.count(&mut reader, &tree.roots).unwrap(), (2, 2));
    }

    #[test]
    fn without_sys_the_sections_of_cpuinfo_count() {
        let section = |cpu: u32, package: u32| {
            format!("processor\t: {cpu}\nphysical id\t: {package}\ncpu cores\t: 2\n\n")
        };
        let info: String = (0..8).map(|cpu| section(cpu, cpu / 4)).collect();
        let tree = Tree::of(&[("proc/cpuinfo", info.trim_end())]);
        assert_eq!(count(&tree), Ok((8, 4)));
        let tree = Tree::of(&[("proc/stat", "cpu 1\ncpu0 1\ncpu1 1\nintr 2\n")]);
        assert_eq!(count(&tree), Ok((2, 0)));
        let tree = Tree::of(&[]);
        assert!(count(&tree).unwrap_err().contains("proc/stat: No such file"));
    }

    #[test]
    fn malformed_lists_are_told() {
        for list in ["", "a", "3-1", "0-", "0-99999999", "1,,2"] {
            let tree = Tree::of(&[]);
            tree.write(&format!("{CPU}/online"), list);
            let error = count(&tree).unwrap_err();
            assert!(error.contains("online: a list of processors is"), "{list}: {error}");
        }
    }
}
