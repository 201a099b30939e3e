//! What system and what machine this is: facts that are read seldom.

use headwater_plugin_api::config::Duration;

use crate::reader::Reader;
use crate::roots::Roots;

/// Facts as fields, in their order.
pub type Facts = Vec<(&'static str, String)>;

/// Facts with the time they were read.
pub struct Identity {
    ttl_ns: i64,
    read_ns: Option<i64>,
    facts: Facts,
}

impl Identity {
    /// Facts that are kept for `ttl`.
    pub fn new(ttl: Duration) -> Self {
        Identity { ttl_ns: ttl.nanos(), read_ns: None, facts: Facts::new() }
    }

    /// Reads the facts if they are wanted and too old, or of a time to come.
    pub fn refresh(&mut self, wanted: bool, now_ns: i64, read: impl FnOnce(&mut Facts)) {
        let fresh = |read_ns: i64| {
            let age = now_ns.saturating_sub(read_ns);
            age >= 0 && age < self.ttl_ns
        };
        if wanted && !self.read_ns.is_some_and(fresh) {
            self.facts.clear();
            read(&mut self.facts);
            self.read_ns = Some(now_ns);
        }
    }

    /// The facts; none if they were never wanted.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}

/// The facts of the group `os`.
pub fn read_os(facts: &mut Facts, reader: &mut Reader, roots: &Roots) {
    let release = reader.piece_if_readable(&[&roots.etc, "os-release"]);
    let release = release.map(|text| String::from_utf8_lossy(text.data).into_owned());
    let entry = |key| os_release_entry(release.as_deref().unwrap_or_default(), key);
    let platform = match entry("ID") {
        "rhel" => "redhat",
        "ol" => "oracle",
        "amzn" => "amazon",
        id => id,
    };
    let family = family(platform).unwrap_or_else(|| {
        entry("ID_LIKE").split_ascii_whitespace().find_map(family).unwrap_or_default()
    });
    let version = detailed_version(platform, family, reader, roots)
        .unwrap_or_else(|| entry("VERSION_ID").to_owned());
    let kernel = (roots.calls.uname)();
    facts.extend([
        ("os", "linux".to_owned()),
        ("arch", kernel.machine),
        ("platform", platform.to_owned()),
        ("platform_family", family.to_owned()),
        ("platform_version", version),
        ("kernel_version", kernel.release),
    ]);
}

/// The value of a key, without its quotes; empty if there is none.
fn os_release_entry<'a>(text: &'a str, key: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches(['"', '\''])
}

fn family(platform: &str) -> Option<&'static str> {
    Some(match platform {
        "debian" | "ubuntu" | "linuxmint" | "raspbian" | "kylin" | "cumulus-linux" => "debian",
        "fedora" => "fedora",
        "redhat" | "rhel" | "centos" | "oracle" | "amazon" | "scientific" | "xenserver"
        | "cloudlinux" | "rocky" | "almalinux" => "rhel",
        "suse"
        | "sles"
        | "sled"
        | "opensuse"
        | "opensuse-leap"
        | "opensuse-tumbleweed"
        | "opensuse-tumbleweed-kubic"
        | "caasp" => "suse",
        "arch" | "manjaro" => "arch",
        "gentoo" => "gentoo",
        "slackware" => "slackware",
        "alpine" => "alpine",
        "exherbo" => "exherbo",
        "coreos" => "coreos",
        "solus" => "solus",
        "neokylin" => "neokylin",
        "anolis" => "anolis",
        _ => return None,
    })
}

/// The version with its last part, which `VERSION_ID` lacks in some families.
fn detailed_version(
    platform: &str,
    family: &str,
    reader: &mut Reader,
    roots: &Roots,
) -> Option<String> {
    let mut read = |file: &str| {
        let text = reader.piece_if_readable(&[&roots.etc, file])?;
        Some(String::from_utf8_lossy(text.trimmed()).into_owned())
    };
    match (platform, family) {
        ("debian" | "raspbian", _) => read("debian_version").filter(|version| !version.is_empty()),
        (_, "rhel" | "fedora") => {
            let text = ["oracle-release", "redhat-release", "system-release"]
                .iter()
                .find_map(|f| read(f))?;
            let (_, version) = text.split_once("release ")?;
            let end = version.find(|c: char| !c.is_ascii_digit() && c != '.');
            let version = &version[..end.unwrap_or(version.len())];
            (!version.is_empty()).then(|| version.to_owned())
        }
        _ => None,
    }
}

/// Files of /sys/class/dmi/id and the fields they become.
const DMI: [(&str, &str); 20] = [
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("bios_date", "bios_date"),
    ("board_vendor", "board_vendor"),
    ("board_name", "board_product"),
    ("board_version", "board_version"),
    ("board_serial", "board_serial"),
    ("board_asset_tag", "board_asset_tag"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_type", "chassis_type_code"),
    ("chassis_version", "chassis_version"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("sys_vendor", "product_vendor"),
    ("product_name", "product_name"),
    ("product_family", "product_family"),
    ("product_version", "product_version"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
];

/// What stands for a fact that root alone may read, or that the firmware does not tell.
const UNKNOWN: &str = "unknown";

/// The facts of the group `dmi`. None without firmware that tells any.
pub fn read_dmi(facts: &mut Facts, reader: &mut Reader, roots: &Roots) {
    let mut any = false;
    for (file, field) in DMI {
        let text = reader.piece_if_readable(&[&roots.sys, "class/dmi/id", file]);
        any |= text.is_some();
        let value = text
            .map_or(UNKNOWN.into(), |text| String::from_utf8_lossy(text.trimmed()).into_owned());
        let chassis = (field == "chassis_type_code").then(|| chassis(&value).to_owned());
        facts.push((field, value));
        if let Some(chassis) = chassis {
            facts.push(("chassis_type", chassis));
        }
    }
    if !any {
        facts.clear();
    }
}

/// The names of chassis in the SMBIOS specification, from type 1 on.
const CHASSIS: [&str; 36] = [
    "Other",
    "Unknown",
    "Desktop",
    "Low profile desktop",
    "Pizza box",
    "Mini tower",
    "Tower",
    "Portable",
    "Laptop",
    "Notebook",
    "Hand held",
    "Docking station",
    "All in one",
    "Sub notebook",
    "Space-saving",
    "Lunch box",
    "Main server chassis",
    "Expansion chassis",
    "SubChassis",
    "Bus Expansion chassis",
    "Peripheral chassis",
    "RAID chassis",
    "Rack mount chassis",
    "Sealed-case PC",
    "Multi-system chassis",
    "Compact PCI",
    "Advanced TCA",
    "Blade",
    "Blade enclosure",
    "Tablet",
    "Convertible",
    "Detachable",
    "IoT gateway",
    "Embedded PC",
    "Mini PC",
    "Stick PC",
];

fn chassis(code: &str) -> &'static str {
    let place = code.parse::<usize>().ok().and_then(|code| code.checked_sub(1));
    place.and_then(|place| CHASSIS.get(place)).copied().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::Tree;

    #[test]
    fn platforms() {
        for (files, expected) in [
            (
                vec![
                    ("etc/os-release", "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\n"),
                    ("etc/debian_version", "bookworm/sid\n"),
                ],
                ["ubuntu", "debian", "22.04"],
            ),
            (
                vec![
                    ("etc/os-release", "ID=\"centos\"\nVERSION_ID=\"8\"\n"),
                    ("etc/redhat-release", "CentOS Linux release 8.5.2111\n"),
                ],
                ["centos", "rhel", "8.5.2111"],
            ),
            (vec![("etc/os-release", "ID=rhel\nVERSION_ID='9.3'\n")], ["redhat", "rhel", "9.3"]),
            (
                vec![("etc/os-release", "ID=pop\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=22.04")],
                ["pop", "debian", "22.04"],
            ),
            (vec![("etc/os-release", "ID=own\n")], ["own", "", ""]),
            (vec![], ["", "", ""]),
        ] {
            let tree = Tree::of(&files);
            let mut facts = Facts::new();
            read_os(&mut facts, &mut Reader::default(), &tree.roots);
            let found: Vec<&str> = facts[2..5].iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn without_firmware_there_are_no_facts() {
        let mut facts = Facts::new();
        read_dmi(&mut facts, &mut Reader::default(), &Tree::of(&[]).roots);
        assert!(facts.is_empty());
    }

    #[test]
    fn chassis_types() {
        assert_eq!(chassis("1"), "Other");
        assert_eq!(chassis("36"), "Stick PC");
        for code in ["0", "37", "", "x"] {
            assert_eq!(chassis(code), UNKNOWN);
        }
    }
}
