//! Input `diskio`: traffic of block devices, from /proc/diskstats.
//!
//! What does not change while a device is there (its WWID, its serial number) is read when it
//! appears, and again when its counters go back: it is another one then. What udev knows is read
//! only for options that ask for it, and again when udev has written its file anew.

mod naming;

use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::config;
use headwater_plugin_api::config::GlobSet;
use headwater_plugin_api::plugin::{Capabilities, Context, Error, Gather, Host, Input, Plugin};

use crate::reader::{Faults, Reader, Text, quote, unsigned, words};
use crate::roots::Roots;
use crate::udev;
use naming::{Properties, Template};

config! {
    /// Gathers the traffic of disks, partitions and other block devices.
    pub struct DiskIoConfig {
        /// Devices: names such as `sda1`, links such as `/dev/disk/by-label/data`, or globs over
        /// both. Empty for all.
        pub devices: Vec<String> = Vec::new(),
        /// Properties of udev to add as tags, such as `ID_FS_TYPE`.
        pub device_tags: Vec<String> = Vec::new(),
        /// Names for the tag `name`, with properties of udev as `$ID_FS_LABEL` or
        /// `${DM_VG_NAME}/$DM_LV_NAME`. The first whose properties are all there is taken.
        pub name_templates: Vec<String> = Vec::new(),
        /// Leaves out the tag `serial`.
        pub skip_serial_number: bool = true,
    }
}

/// Numbers of a row of /proc/diskstats that are read: the rest is of discards and flushes.
const COLUMNS: usize = 11;
const READS: usize = 0;
const READS_MERGED: usize = 1;
const SECTORS_READ: usize = 2;
const READ_MS: usize = 3;
const WRITES: usize = 4;
const WRITES_MERGED: usize = 5;
const SECTORS_WRITTEN: usize = 6;
const WRITE_MS: usize = 7;
const IN_PROGRESS: usize = 8;
const IO_MS: usize = 9;
const WEIGHTED_IO_MS: usize = 10;

const COLUMN_NAMES: [&str; COLUMNS] = [
    "reads",
    "merged_reads",
    "sectors read",
    "read_time",
    "writes",
    "merged_writes",
    "sectors written",
    "write_time",
    "iops_in_progress",
    "io_time",
    "weighted_io_time",
];

/// The unit of sectors there, whatever the device's own.
const SECTOR_BYTES: u64 = 512;

/// What is kept of a device from gather to gather.
struct Device {
    name: String,
    numbers: (u32, u32),
    columns: [u64; COLUMNS],
    /// The gather that saw it last.
    seen: u64,
    wwid: String,
    serial: String,
    properties: Properties,
}

/// The input.
pub struct DiskIo {
    config: DiskIoConfig,
    roots: Roots,
    host: Host,
    list: Reader,
    reader: Reader,
    /// Patterns over names and links, if any of the devices is one.
    patterns: Option<GlobSet>,
    templates: Vec<Template>,
    /// Whether an option asks for what udev knows.
    udev: bool,
    devices: Vec<Device>,
    gathers: u64,
    last_ns: Option<i64>,
}

impl Plugin for DiskIo {
    type Config = DiskIoConfig;
    const NAME: &'static str = "diskio";
    const SUMMARY: &'static str = "Traffic of disks, partitions and other block devices";
    const CAPABILITIES: Capabilities = Capabilities::DIFFERENTIAL;

    fn new(config: DiskIoConfig, host: Host) -> Result<Self, Error> {
        let is_pattern = |device: &String| device.contains(['*', '?', '[', '{']);
        let patterns = match config.devices.iter().any(is_pattern) {
            false => None,
            true => Some(
                GlobSet::new(&config.devices)
                    .map_err(|error| Error::config("devices", error.to_string()))?,
            ),
        };
        let templates: Vec<Template> =
            config.name_templates.iter().map(|text| Template::new(text)).collect();
        Ok(DiskIo {
            udev: patterns.is_some() || !templates.is_empty() || !config.device_tags.is_empty(),
            config,
            roots: Roots::from_env(),
            host,
            list: Reader::default(),
            reader: Reader::default(),
            patterns,
            templates,
            devices: Vec::new(),
            gathers: 0,
            last_ns: None,
        })
    }
}

impl Input for DiskIo {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        // Out of the way of what the rows change.
        let mut list = std::mem::take(&mut self.list);
        let result = self.walk(cx, out, &mut list);
        self.list = list;
        result
    }
}

impl DiskIo {
    fn walk(
        &mut self,
        cx: &Context<'_>,
        out: &mut Gather<'_>,
        list: &mut Reader,
    ) -> Result<(), Error> {
        let mut faults = Faults::default();
        let text = list.records(&[&self.roots.proc, "diskstats"])?;
        let wanted = match &self.patterns {
            None => self.config.devices.iter().map(|device| resolve(device, &self.roots)).collect(),
            Some(_) => Vec::new(),
        };
        // Telegraf counts whole milliseconds between gathers.
        let elapsed_ms = self.last_ns.map_or(0, |last| cx.now().saturating_sub(last) / 1_000_000);
        self.gathers += 1;
        let mut place = 0;
        for line in text.lines() {
            let row = match Row::parse(&text, line) {
                Ok(row) => row,
                Err(sentence) => {
                    faults.add(sentence);
                    continue;
                }
            };
            if row.columns == [0; COLUMNS]
                || (!wanted.is_empty() && !wanted.iter().any(|name| name == row.name))
            {
                continue;
            }
            let (at, last) = self.enter(&row, place);
            place = at + 1;
            self.emit(cx, out, &mut faults, at, last, elapsed_ms);
        }
        let gathers = self.gathers;
        self.devices.retain(|device| device.seen == gathers);
        self.last_ns = Some(cx.now());
        faults.result()
    }
}

/// A row of /proc/diskstats.
struct Row<'a> {
    name: &'a str,
    numbers: (u32, u32),
    columns: [u64; COLUMNS],
}

impl<'a> Row<'a> {
    fn parse(text: &Text<'_>, line: &'a [u8]) -> Result<Row<'a>, String> {
        let mut words = words(line);
        let mut number = || u32::try_from(unsigned(words.next()?)?).ok();
        let numbers = number().zip(number());
        let name = words.next().and_then(|name| std::str::from_utf8(name).ok());
        let (Some(numbers), Some(name)) = (numbers, name) else {
            return Err(text.wrong(format_args!("no device in the line {}", quote(line))));
        };
        let mut columns = [0; COLUMNS];
        for (column, what) in columns.iter_mut().zip(COLUMN_NAMES) {
            let word = words.next().unwrap_or_default();
            *column =
                unsigned(word).ok_or_else(|| text.bad(format_args!("{what} of {name}"), word))?;
        }
        Ok(Row { name, numbers, columns })
    }
}

/// The name of a device in the configuration as /proc/diskstats has it, behind its links.
fn resolve(device: &str, roots: &Roots) -> String {
    let path = match device.strip_prefix("/dev/").or(Some(device)) {
        Some(below) if !below.starts_with('/') => format!("{}/{below}", roots.dev),
        _ => device.to_owned(),
    };
    let target = std::fs::canonicalize(&path).ok();
    let name = target.as_deref().unwrap_or(path.as_ref()).file_name();
    name.map_or_else(|| device.to_owned(), |name| name.to_string_lossy().into_owned())
}

impl DiskIo {
    /// Puts a row into the device of its name; tells where that is, and what was counted before.
    fn enter(&mut self, row: &Row<'_>, place: usize) -> (usize, Option<[u64; COLUMNS]>) {
        let is_it = |device: &Device| device.name == row.name && device.numbers == row.numbers;
        let at = match self.devices.get(place) {
            Some(device) if is_it(device) => Some(place),
            _ => self.devices.iter().position(is_it),
        };
        let Some(at) = at else {
            let mut device = Device {
                name: row.name.to_owned(),
                numbers: row.numbers,
                columns: row.columns,
                seen: self.gathers,
                wwid: String::new(),
                serial: String::new(),
                properties: Properties::default(),
            };
            self.identify(&mut device);
            self.devices.push(device);
            return (self.devices.len() - 1, None);
        };
        let device = &mut self.devices[at];
        device.seen = self.gathers;
        let last = std::mem::replace(&mut device.columns, row.columns);
        let went_back = [READS, WRITES, READ_MS, WRITE_MS, IO_MS]
            .iter()
            .any(|column| row.columns[*column] < last[*column]);
        if !went_back {
            return (at, Some(last));
        }
        let mut device = self.devices.swap_remove(at);
        self.identify(&mut device);
        self.devices.push(device);
        let end = self.devices.len() - 1;
        self.devices.swap(at, end);
        (at, None)
    }

    /// Reads what stays the same while the device is there.
    fn identify(&mut self, device: &mut Device) {
        let wwid = self.reader.piece_if_readable(&[&self.roots.sys, "block", &device.name, "wwid"]);
        device.wwid = wwid.map_or_else(String::new, |text| {
            String::from_utf8_lossy(text.data.strip_suffix(b"\n").unwrap_or(text.data)).into()
        });
        if !self.config.skip_serial_number {
            let serial = serial(&mut self.reader, &self.roots, device.numbers).unwrap_or_default();
            let serial = serial.replace(['\n', '\r'], "");
            let serial = serial.trim();
            device.serial = if serial.is_empty() { "unknown".into() } else { serial.into() };
        }
    }

    fn emit(
        &mut self,
        cx: &Context<'_>,
        out: &mut Gather<'_>,
        faults: &mut Faults,
        at: usize,
        last: Option<[u64; COLUMNS]>,
        elapsed_ms: i64,
    ) {
        let device = &mut self.devices[at];
        if self.udev {
            let wanted = |key: &str| {
                self.config.device_tags.iter().any(|tag| tag == key)
                    || self.templates.iter().any(|template| template.uses(key))
            };
            let found = device.properties.refresh(
                &mut self.reader,
                &self.roots,
                &udev::file(device.numbers.0, device.numbers.1),
                wanted,
            );
            if let Err(sentence) = found {
                self.host.warn(&format!("{}: {sentence}", device.name));
            }
        }
        if let Some(patterns) = &self.patterns
            && !patterns.matches(&device.name)
            && !device.properties.links().any(|link| patterns.matches(link))
        {
            return;
        }
        let named = self.templates.iter().find_map(|template| template.fill(&device.properties));
        let mut point = out
            .point("diskio")
            .tag("name", named.as_deref().unwrap_or(&device.name))
            .tag("wwid", &device.wwid)
            .metric_kind(metric_kind::COUNTER);
        for key in &self.config.device_tags {
            if let Some(value) = device.properties.get(key) {
                point = point.tag(key, value);
            }
        }
        let now = &device.columns;
        let mut point = point
            .tag("serial", &device.serial)
            .field("reads", now[READS])
            .field("writes", now[WRITES])
            .field("read_bytes", now[SECTORS_READ].saturating_mul(SECTOR_BYTES))
            .field("write_bytes", now[SECTORS_WRITTEN].saturating_mul(SECTOR_BYTES))
            .field("read_time", now[READ_MS])
            .field("write_time", now[WRITE_MS])
            .field("io_time", now[IO_MS])
            .field("weighted_io_time", now[WEIGHTED_IO_MS])
            .field("iops_in_progress", now[IN_PROGRESS])
            .field("merged_reads", now[READS_MERGED])
            .field("merged_writes", now[WRITES_MERGED]);
        if let Some(last) = last {
            let since = |column: usize| (now[column] - last[column]) as f64;
            let requests = since(READS) + since(WRITES);
            if requests > 0.0 {
                point = point
                    .field("io_await", (since(READ_MS) + since(WRITE_MS)) / requests)
                    .field("io_svctm", since(IO_MS) / requests);
            }
            if elapsed_ms > 0 {
                point = point.field("io_util", 100.0 * since(IO_MS) / elapsed_ms as f64);
            }
        }
        faults.refused(point.finish(cx.now()));
    }
}

/// The serial number as udev has it, else model and serial number of the whole disk.
fn serial(reader: &mut Reader, roots: &Roots, numbers: (u32, u32)) -> Option<String> {
    if let Some(serial) = udev::read_property(reader, roots, numbers, "ID_SERIAL") {
        return Some(serial);
    }
    let disk = format!("dev/block/{}:0/device", numbers.0);
    let mut read = |file: &str| {
        let text = reader.piece_if_readable(&[&roots.sys, &disk, file])?;
        (!text.data.is_empty()).then(|| String::from_utf8_lossy(text.data).into_owned())
    };
    Some(format!("{}_{}", read("model")?, read("serial")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    const SECOND_NS: i64 = 1_000_000_000;
    const SDA: &str = "reads=1000u,writes=500u,read_bytes=10240000u,write_bytes=5120000u,read_time=2500u,write_time=900u,io_time=1200u,weighted_io_time=3400u,iops_in_progress=2u,merged_reads=19u,merged_writes=20u";
    const SDA1: &str = "reads=900u,writes=400u,read_bytes=9216000u,write_bytes=4096000u,read_time=2000u,write_time=800u,io_time=1000u,weighted_io_time=2800u,iops_in_progress=0u,merged_reads=9u,merged_writes=10u";
    const DM: &str = "reads=10u,writes=0u,read_bytes=5120u,write_bytes=0u,read_time=4u,write_time=0u,io_time=4u,weighted_io_time=4u,iops_in_progress=0u,merged_reads=0u,merged_writes=0u";

    #[test]
    fn devices_that_were_used() {
        let tree = Tree::case("diskio/server");
        let mut input = tree.input::<DiskIo>("");
        expect(
            &mut input,
            SECOND_NS,
            &[
                &format!("diskio,name=sda,wwid=naa.5000c500a1b2c3d4 {SDA} 1000000000"),
                &format!("diskio,name=sda1 {SDA1} 1000000000"),
                &format!("diskio,name=dm-0 {DM} 1000000000"),
            ],
        );
        // sda did 100 requests in 250 ms of 10 s, sda1 nothing, dm-0 began anew, sdb appeared.
        tree.step(1);
        expect(
            &mut input,
            11 * SECOND_NS,
            &[
                "diskio,name=sda,wwid=naa.5000c500a1b2c3d4 reads=1080u,writes=520u,read_bytes=10342400u,write_bytes=5171200u,read_time=2750u,write_time=950u,io_time=1450u,weighted_io_time=3700u,iops_in_progress=0u,merged_reads=19u,merged_writes=20u,io_await=3,io_svctm=2.5,io_util=2.5 11000000000",
                &format!("diskio,name=sda1 {SDA1},io_util=0 11000000000"),
                "diskio,name=dm-0 reads=2u,writes=0u,read_bytes=1024u,write_bytes=0u,read_time=1u,write_time=0u,io_time=1u,weighted_io_time=1u,iops_in_progress=0u,merged_reads=0u,merged_writes=0u 11000000000",
                "diskio,name=sdb reads=1u,writes=0u,read_bytes=4096u,write_bytes=0u,read_time=1u,write_time=0u,io_time=1u,weighted_io_time=1u,iops_in_progress=0u,merged_reads=0u,merged_writes=0u 11000000000",
            ],
        );
    }

    #[test]
    fn a_device_that_was_away_has_no_past() {
        let tree = Tree::of(&[("proc/diskstats", "8 0 sda 1 0 0 0 0 0 0 0 0 0 0\n")]);
        let mut input = tree.input::<DiskIo>("");
        let fields = |input: &mut headwater_plugin_api::testkit::Driven<_>, time: i64| {
            let (collected, result): (headwater_plugin_api::testkit::Collected, _) =
                headwater_plugin_api::testkit::Driven::gather(input, time * SECOND_NS);
            result.unwrap();
            collected.points().iter().map(|line| line.matches('=').count() - 1).collect::<Vec<_>>()
        };
        assert_eq!(fields(&mut input, 1), [11]);
        assert_eq!(fields(&mut input, 2), [12]);
        // Without time between two gathers there is no share of it.
        assert_eq!(fields(&mut input, 2), [11]);
        tree.write("proc/diskstats", "8 0 sda 0 0 0 0 0 0 0 0 0 0 0\n");
        assert_eq!(fields(&mut input, 3), [0; 0]);
        tree.write("proc/diskstats", "8 0 sda 9 0 0 0 0 0 0 0 0 0 0\n");
        assert_eq!(fields(&mut input, 4), [11]);
        tree.write("proc/diskstats", "8 16 sda 9 0 0 0 0 0 0 0 0 0 0\n");
        assert_eq!(fields(&mut input, 5), [11]);
    }

    #[track_caller]
    fn expect_series(tree: &Tree, config: &str, series: &[&str]) {
        let (collected, result) = tree.input::<DiskIo>(config).gather(1);
        result.unwrap();
        let points = collected.points();
        let found: Vec<&str> =
            points.iter().filter_map(|line| line.split(" reads=").next()).collect();
        assert_eq!(found, series, "{config}");
    }

    #[test]
    fn chosen_devices() {
        let tree = Tree::case("diskio/server");
        let (sda, sda1) = ("diskio,name=sda,wwid=naa.5000c500a1b2c3d4", "diskio,name=sda1");
        expect_series(&tree, "devices = ['sda1', '/dev/sda', 'sdx']", &[sda, sda1]);
        expect_series(&tree, "devices = ['/dev/disk/by-label/system']", &[sda1]);
        expect_series(&tree, "devices = ['disk/by-label/system']", &[sda1]);
        expect_series(&tree, "devices = ['sd?']", &[sda]);
        expect_series(&tree, "devices = ['disk/by-label/*', 'dm-0']", &[sda1, "diskio,name=dm-0"]);
        expect_series(&tree, "devices = ['none']", &[]);
        let error = tree.try_input::<DiskIo>("devices = ['sd[']").err().unwrap();
        assert!(error.message().contains('['), "{}", error.message());
    }

    #[test]
    fn names_tags_and_serial_numbers() {
        let tree = Tree::case("diskio/server");
        expect_series(
            &tree,
            "device_tags = ['ID_FS_TYPE', 'ID_NONE']\nskip_serial_number = false",
            &[
                "diskio,name=sda,serial=WDC_WD10_WD-1234,wwid=naa.5000c500a1b2c3d4",
                "diskio,ID_FS_TYPE=ext4,name=sda1,serial=WDC\\ WD10\\ \\ \\ \\ _\\ WD-5678",
                "diskio,name=dm-0,serial=unknown",
            ],
        );
        expect_series(
            &tree,
            "name_templates = ['$DM_VG_NAME/${DM_LV_NAME}', 'label:$ID_FS_LABEL', '$DEVLINKS']",
            &[
                "diskio,name=/dev/disk/by-id/ata-WDC,wwid=naa.5000c500a1b2c3d4",
                "diskio,name=label:system",
                "diskio,name=vg0/home",
            ],
        );
    }

    #[test]
    fn what_udev_does_not_know_is_told_once() {
        let tree = Tree::of(&[("proc/diskstats", "8 0 sda 1 0 0 0 0 0 0 0 0 0 0\n")]);
        let mut input = tree.input::<DiskIo>("device_tags = ['ID_FS_TYPE']");
        for _ in 0..3 {
            assert_eq!(input.gather(1).0.points().len(), 1);
        }
        {
            let logs = input.host.logs.lock().unwrap();
            assert_eq!(logs.len(), 1, "{logs:?}");
            assert!(logs[0].1.starts_with("sda: ") && logs[0].1.contains("b8:0"), "{logs:?}");
        }
        tree.write("run/udev/data/b8:0", "E:ID_FS_TYPE=xfs\n");
        assert!(input.gather(1).0.points()[0].starts_with("diskio,ID_FS_TYPE=xfs,name=sda "));
        tree.write("run/udev/data/b8:0", "E:ID_FS_TYPE=btrfs\n");
        assert!(input.gather(1).0.points()[0].starts_with("diskio,ID_FS_TYPE=btrfs,name=sda "));
    }

    #[test]
    fn a_malformed_row_costs_itself_alone() {
        let tree = Tree::of(&[(
            "proc/diskstats",
            "8 0 sda 1 0 0 x 0 0 0 0 0 0 0\n8 1\n8 2 sda2 1 2 3\n8 3 sda3 1 0 0 0 0 0 0 0 0 0 0\n",
        )]);
        expect_fault(
            &tree,
            &mut tree.input::<DiskIo>(""),
            1,
            &[
                "diskio,name=sda3 reads=1u,writes=0u,read_bytes=0u,write_bytes=0u,read_time=0u,write_time=0u,io_time=0u,weighted_io_time=0u,iops_in_progress=0u,merged_reads=0u,merged_writes=0u 1",
            ],
            "{}/proc/diskstats: read_time of sda is \"x\", which is not a number; {}/proc/diskstats: no device in the line \"8 1\"; {}/proc/diskstats: read_time of sda2 is \"\", which is not a number",
        );
        tree.remove("proc/diskstats");
        let error = "{}/proc/diskstats: No such file or directory (os error 2)";
        expect_fault(&tree, &mut tree.input::<DiskIo>(""), 1, &[], error);
    }
}
