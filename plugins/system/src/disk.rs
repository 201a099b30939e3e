//! Input `disk`: space of mounted file systems, from mountinfo and statvfs(3).
//!
//! The mount table is parsed again only when it has changed; labels are looked up then. A file
//! system of a server that does not answer holds the call: the agent replaces such an instance.

use std::io;

use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::config;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin};

use crate::reader::{Faults, Reader, Text, quote, words};
use crate::roots::{Roots, Space};
use crate::udev;

config! {
    /// Gathers the space of mounted file systems.
    pub struct DiskConfig {
        /// Mount points, to the letter; empty for all.
        #[alias("mountpoints")]
        pub mount_points: Vec<String> = Vec::new(),
        /// Types of file systems to leave out. `autofs` is always left out, and so is what has no
        /// size, such as `proc`. Often: tmpfs, devtmpfs, devfs, iso9660, overlay, aufs, squashfs.
        pub ignore_fs: Vec<String> = Vec::new(),
        /// File systems mounted with any of these options are left out; `bind` stands for bind mounts.
        pub ignore_mount_opts: Vec<String> = Vec::new(),
    }
}

/// A mounted file system.
struct Mount {
    /// Where it is mounted, for the system call.
    place: Vec<u8>,
    path: String,
    device: String,
    fs: String,
    mode: &'static str,
    label: String,
    /// Why its space was not told last time, so that it is logged once.
    failure: Option<io::ErrorKind>,
}

/// The input.
pub struct Disk {
    config: DiskConfig,
    roots: Roots,
    host: Host,
    reader: Reader,
    labels: Reader,
    table: Vec<u8>,
    mounts: Vec<Mount>,
}

impl Plugin for Disk {
    type Config = DiskConfig;
    const NAME: &'static str = "disk";
    const SUMMARY: &'static str = "Space and inodes of mounted file systems";

    fn new(config: DiskConfig, host: Host) -> Result<Self, Error> {
        Ok(Disk {
            config,
            roots: Roots::from_env(),
            host,
            reader: Reader::default(),
            labels: Reader::default(),
            table: Vec::new(),
            mounts: Vec::new(),
        })
    }
}

impl Input for Disk {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        // The first process sees the host's mounts, from a container too if its /proc is the host's.
        let proc = self.roots.proc.as_str();
        let text = match self.reader.records(&[proc, "1/mountinfo"]) {
            Ok(_) => self.reader.last(),
            Err(_) => self.reader.records(&[proc, "self/mountinfo"])?,
        };
        if text.data != self.table {
            self.mounts.clear();
            self.table.clear();
            let config = &self.config;
            let found = find(&text, config, &self.roots, &mut self.labels, &mut faults);
            self.mounts = found;
            if faults.is_empty() {
                self.table.extend_from_slice(text.data);
            }
        }
        for mount in &mut self.mounts {
            match (self.roots.calls.space)(&mount.place) {
                Ok(space) => {
                    mount.failure = None;
                    emit(cx, out, &mut faults, mount, &space);
                }
                Err(error) => {
                    if mount.failure.replace(error.kind()) != Some(error.kind()) {
                        self.host.debug(&format!("no space is told of {}: {error}", mount.path));
                    }
                }
            }
        }
        faults.result()
    }
}

fn emit(cx: &Context<'_>, out: &mut Gather<'_>, faults: &mut Faults, mount: &Mount, space: &Space) {
    let bytes = |blocks: u64| blocks.saturating_mul(space.block_bytes);
    let (total, free) = (bytes(space.blocks), bytes(space.blocks_available));
    if total == 0 {
        return;
    }
    let used = bytes(space.blocks.saturating_sub(space.blocks_free));
    let inodes_used = space.inodes.saturating_sub(space.inodes_free);
    let percent = |part: u64, whole: f64| match whole {
        0.0 => 0.0,
        whole => part as f64 / whole * 100.0,
    };
    let point = out
        .point("disk")
        .tag("path", &mount.path)
        .tag("device", &mount.device)
        .tag("fstype", &mount.fs)
        .tag("mode", mount.mode)
        .tag("label", &mount.label)
        .metric_kind(metric_kind::GAUGE)
        .field("total", total)
        .field("free", free)
        .field("used", used)
        .field("used_percent", percent(used, used as f64 + free as f64))
        .field("inodes_total", space.inodes)
        .field("inodes_free", space.inodes_free)
        .field("inodes_used", inodes_used)
        .field("inodes_used_percent", percent(inodes_used, space.inodes as f64));
    faults.refused(point.finish(cx.now()));
}

/// The mounts that are wanted.
fn find(
    text: &Text<'_>,
    config: &DiskConfig,
    roots: &Roots,
    labels: &mut Reader,
    faults: &mut Faults,
) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for line in text.lines() {
        let Some(row) = Row::parse(line) else {
            faults.add(text.wrong(format_args!("no mount in the line {}", quote(line))));
            continue;
        };
        let fs = String::from_utf8_lossy(row.fs);
        let point = unescape(row.point);
        let listed = |list: &[String], word: &[u8]| list.iter().any(|l| l.as_bytes() == word);
        let bind = row.root != b"/" && listed(&config.ignore_mount_opts, b"bind");
        if fs == "autofs"
            || listed(&config.ignore_fs, row.fs)
            || bind
            || row.options().any(|option| listed(&config.ignore_mount_opts, option))
            || (!config.mount_points.is_empty() && !listed(&config.mount_points, &point))
        {
            continue;
        }
        let Some((place, path)) = placed(&point, roots, text) else { continue };
        let device = device(&row, roots);
        let option = |wanted: &[u8]| row.options().any(|option| option == wanted);
        mounts.push(Mount {
            place,
            path,
            label: label(&device, roots, labels).unwrap_or_default(),
            device: device.replace("/dev/", ""),
            fs: fs.into_owned(),
            mode: match () {
                () if option(b"rw") => "rw",
                () if option(b"ro") => "ro",
                () => "unknown",
            },
            failure: None,
        });
    }
    mounts
}

/// A row of mountinfo.
struct Row<'a> {
    numbers: &'a [u8],
    root: &'a [u8],
    point: &'a [u8],
    options: &'a [u8],
    fs: &'a [u8],
    device: &'a [u8],
}

impl<'a> Row<'a> {
    fn parse(line: &'a [u8]) -> Option<Row<'a>> {
        let mut words = words(line);
        let numbers = words.nth(2)?;
        let (root, point, options) = (words.next()?, words.next()?, words.next()?);
        // Behind the options stand any number of tags, then a hyphen.
        words.find(|word| *word == b"-")?;
        let (fs, device) = (words.next()?, words.next().unwrap_or_default());
        Some(Row { numbers, root, point, options, fs, device })
    }

    fn options(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.options.split(|byte| *byte == b',')
    }
}

/// Blanks, line ends and backslashes stand as three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text[at..] {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                at += 4;
            }
            _ => {
                plain.push(text[at]);
                at += 1;
            }
        }
    }
    plain
}

/// Where a mount point of the host is found here, and its path on the host. `None` for one that
/// another row names with the prefix.
fn placed(point: &[u8], roots: &Roots, text: &Text<'_>) -> Option<(Vec<u8>, String)> {
    let prefix = roots.mount_prefix.as_bytes();
    let below = point.strip_prefix(prefix).filter(|p| p.is_empty() || p.starts_with(b"/"));
    let (place, path) = match below {
        Some(path) => (point.to_vec(), path),
        None => {
            let mut place = prefix.to_vec();
            if point != b"/" {
                place.extend_from_slice(point);
            }
            let named = |line| Row::parse(line).is_some_and(|row| unescape(row.point) == place);
            if text.lines().any(named) {
                return None;
            }
            (place, point)
        }
    };
    let path = String::from_utf8_lossy(path);
    let path = if path.starts_with('/') { path.into_owned() } else { format!("/{path}") };
    Some((place, path))
}

/// The name of the device that is mounted, behind its links.
fn device(row: &Row<'_>, roots: &Roots) -> String {
    let device = String::from_utf8_lossy(&unescape(row.device)).into_owned();
    let target = match device.as_str() {
        // What the kernel was told as root: /sys knows its name.
        "/dev/root" => {
            let numbers = String::from_utf8_lossy(row.numbers);
            std::fs::read_link(format!("{}/dev/block/{numbers}", roots.sys))
        }
        device if device.starts_with("/dev/mapper/") => {
            std::fs::canonicalize(format!("{}{}", roots.dev, &device["/dev".len()..]))
        }
        _ => return device,
    };
    let name = target.ok().and_then(|target| Some(target.file_name()?.to_str()?.to_owned()));
    name.map_or(device, |name| format!("/dev/{name}"))
}

/// The name of a mapped device, else the label of the file system.
fn label(device: &str, roots: &Roots, reader: &mut Reader) -> Option<String> {
    let name = device.strip_prefix("/dev/")?;
    if let Some(text) = reader.piece_if_readable(&[&roots.sys, "block", name, "dm/name"]) {
        return Some(String::from_utf8_lossy(text.trimmed()).into_owned());
    }
    let numbers = (roots.calls.device_number)(&format!("{}/{name}", roots.dev)).ok()?;
    udev::read_property(reader, roots, numbers, "ID_FS_LABEL")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    const SPACE: &str = "total=4096000000u,free=1024000000u,used=2867200000u,used_percent=73.68421052631578,inodes_total=65536u,inodes_free=49152u,inodes_used=16384u,inodes_used_percent=25 1";
    const EFI: &str = "disk,device=sda2,fstype=vfat,mode=rw,path=/boot/efi total=4096000000u,free=1024000000u,used=2867200000u,used_percent=73.68421052631578,inodes_total=0u,inodes_free=0u,inodes_used=0u,inodes_used_percent=0 1";

    fn points(series: &[&str]) -> Vec<String> {
        let series = series.iter();
        series.map(|s| if *s == EFI { EFI.into() } else { format!("disk,{s} {SPACE}") }).collect()
    }

    #[track_caller]
    fn expect_mounts(tree: &Tree, config: &str, series: &[&str]) {
        let expected = points(series);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        expect(&mut tree.input::<Disk>(config), 1, &expected);
    }

    const ROOT: &str = "device=sda1,fstype=ext4,label=system,mode=rw,path=/";
    const HOME: &str = "device=dm-0,fstype=xfs,label=vg0-home,mode=rw,path=/home";
    const MEDIA: &str = "device=sdb1,fstype=iso9660,mode=ro,path=/media/my\\ disk";
    const TMP: &str = "device=tmpfs,fstype=tmpfs,mode=rw,path=/tmp";
    const BIND: &str = "device=sda1,fstype=ext4,label=system,mode=ro,path=/srv/www";

    #[test]
    fn file_systems_with_a_size() {
        let tree = Tree::case("disk/server");
        expect_mounts(&tree, "", &[ROOT, EFI, HOME, TMP, MEDIA, BIND]);
    }

    #[test]
    fn what_is_left_out() {
        let tree = Tree::case("disk/server");
        expect_mounts(&tree, "ignore_fs = ['tmpfs', 'iso9660', 'xfs']", &[ROOT, EFI, BIND]);
        expect_mounts(&tree, "ignore_mount_opts = ['bind', 'nosuid']", &[ROOT, EFI, HOME, MEDIA]);
        expect_mounts(&tree, "mount_points = ['/', '/media/my disk', '/none']", &[ROOT, MEDIA]);
        expect_mounts(&tree, "mountpoints = ['/home']", &[HOME]);
    }

    #[test]
    fn below_a_prefix() {
        let mut tree = Tree::of(&[(
            "proc/1/mountinfo",
            "1 0 8:3 / / rw - ext4 /dev/sda3 rw\n2 1 8:4 / /data rw - ext4 /dev/sda4 rw\n3 1 8:5 / /hostfs rw - ext4 /dev/sda5 rw\n4 3 8:6 / /hostfs/data rw - ext4 /dev/sda6 rw\n5 1 8:7 / /mnt rw - ext4 /dev/sda7 rw\n",
        )]);
        tree.roots.mount_prefix = "/hostfs".into();
        tree.roots.calls.space = |path| {
            let blocks = match path {
                b"/hostfs" => 1,
                b"/hostfs/data" => 2,
                b"/hostfs/mnt" => 3,
                other => panic!("{}", quote(other)),
            };
            Ok(Space {
                block_bytes: 1,
                blocks,
                blocks_free: 0,
                blocks_available: 0,
                inodes: 0,
                inodes_free: 0,
            })
        };
        let point = |series: &str, total: u64| {
            format!(
                "disk,{series} total={total}u,free=0u,used={total}u,used_percent=100,inodes_total=0u,inodes_free=0u,inodes_used=0u,inodes_used_percent=0 1"
            )
        };
        expect(
            &mut tree.input::<Disk>(""),
            1,
            &[
                &point("device=sda5,fstype=ext4,mode=rw,path=/", 1),
                &point("device=sda6,fstype=ext4,mode=rw,path=/data", 2),
                &point("device=sda7,fstype=ext4,mode=rw,path=/mnt", 3),
            ],
        );
    }

    #[test]
    fn a_changed_table_is_seen() {
        let tree = Tree::of(&[("proc/self/mountinfo", "1 0 8:3 / / rw - ext4 /dev/sda3 rw\n")]);
        let mut input = tree.input::<Disk>("");
        expect(&mut input, 1, &[&points(&["device=sda3,fstype=ext4,mode=rw,path=/"])[0]]);
        expect(&mut input, 1, &[&points(&["device=sda3,fstype=ext4,mode=rw,path=/"])[0]]);
        tree.write(
            "proc/1/mountinfo",
            "1 0 8:3 / / ro - ext4 /dev/sda3 rw\n2 1 8:4 / /gone rw - ext4 /dev/sda4 rw\n",
        );
        expect(&mut input, 1, &[&points(&["device=sda3,fstype=ext4,mode=ro,path=/"])[0]]);
        expect(&mut input, 1, &[&points(&["device=sda3,fstype=ext4,mode=ro,path=/"])[0]]);
        let logs = input.host.logs.lock().unwrap();
        assert_eq!(logs.len(), 1, "{logs:?}");
        assert!(logs[0].1.starts_with("no space is told of /gone: "), "{logs:?}");
    }

    #[test]
    fn a_malformed_row_costs_itself_alone_and_is_told_each_time() {
        let tree = Tree::of(&[(
            "proc/1/mountinfo",
            "1 0 8:3 / / noatime shared:1 master:2 - ext4 /dev/sda3 rw\n2 1 8:4 / /x rw ext4 /dev/sda4\n",
        )]);
        let mut input = tree.input::<Disk>("");
        for _ in 0..2 {
            expect_fault(
                &tree,
                &mut input,
                1,
                &[&points(&["device=sda3,fstype=ext4,mode=unknown,path=/"])[0]],
                "{}/proc/1/mountinfo: no mount in the line \"2 1 8:4 / /x rw ext4 /dev/sda4\"",
            );
        }
        tree.remove("proc/1/mountinfo");
        let error = "{}/proc/self/mountinfo: No such file or directory (os error 2)";
        expect_fault(&tree, &mut input, 1, &[], error);
    }

    #[test]
    fn octal_escapes() {
        for (text, plain) in
            [(r"a\040b\134", r"a b\"), (r"\9\04", r"\9\04"), (r"\400", r"\400"), ("", "")]
        {
            assert_eq!(unescape(text.as_bytes()), plain.as_bytes());
        }
    }
}
