//! Input `system`: load, users, processors, uptime, and what system and machine this is.

mod identity;
mod processors;
mod users;

use headwater_plugin_api::batch::PointBuilder;
use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::config::Duration;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin};
use headwater_plugin_api::{choice, config};

use crate::reader::{Faults, Reader, decimal, words};
use crate::roots::Roots;
use identity::Identity;
use processors::Processors;
use users::Users;

choice! {
    /// What to gather.
    pub enum Group {
        /// Load, users and processors in one point, `uptime` in a second, `uptime_format` in a third.
        Legacy = "legacy",
        /// `n_cpus` and `n_physical_cpus`.
        Cpus = "cpus",
        /// Firmware, board, chassis and product, from /sys/class/dmi/id.
        Dmi = "dmi",
        /// `load1`, `load5` and `load15`.
        Load = "load",
        /// Name and version of system and kernel.
        Os = "os",
        /// `uptime`, in seconds.
        Uptime = "uptime",
        /// `n_users` and `n_unique_users`, if there is a utmp file.
        Users = "users",
    }
}

config! {
    /// Gathers load, users, processors, uptime and identity of the host.
    pub struct SystemConfig {
        /// What to gather. All but `legacy` share one point; `legacy` has its own three.
        pub include: Vec<Group> = vec![Group::Legacy],
        /// How long what `os` tells is kept before it is read again.
        pub os_cache_ttl: Duration = Duration::from_secs(8 * 3600),
        /// How long what `dmi` tells is kept before it is read again.
        pub dmi_cache_ttl: Duration = Duration::from_secs(8 * 3600),
    }
}

/// The input.
pub struct System {
    config: SystemConfig,
    roots: Roots,
    reader: Reader,
    processors: Processors,
    users: Users,
    os: Identity,
    dmi: Identity,
    uptime_text: String,
}

/// What both the single point and the first legacy one have.
#[derive(Clone, Copy, Default)]
struct Counts {
    load: Option<[f64; 3]>,
    processors: Option<(usize, usize)>,
    users: Option<(usize, usize)>,
}

impl Plugin for System {
    type Config = SystemConfig;
    const NAME: &'static str = "system";
    const SUMMARY: &'static str = "Load, users, processors, uptime and identity of the host";

    fn new(mut config: SystemConfig, _host: Host) -> Result<Self, Error> {
        if config.include.is_empty() {
            config.include.push(Group::Legacy);
        }
        Ok(System {
            os: Identity::new(config.os_cache_ttl),
            dmi: Identity::new(config.dmi_cache_ttl),
            config,
            roots: Roots::from_env(),
            reader: Reader::default(),
            processors: Processors::default(),
            users: Users::default(),
            uptime_text: String::new(),
        })
    }
}

impl Input for System {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        let has = |group| self.config.include.contains(&group);
        let legacy = has(Group::Legacy);
        let mut counts = Counts::default();
        if legacy || has(Group::Load) {
            match load(&mut self.reader, &self.roots) {
                Ok(load) => counts.load = Some(load),
                Err(error) => faults.add(error),
            }
        }
        if legacy || has(Group::Cpus) {
            match self.processors.count(&mut self.reader, &self.roots) {
                Ok(processors) => counts.processors = Some(processors),
                Err(error) => faults.add(error),
            }
        }
        if legacy || has(Group::Users) {
            match self.users.count(&mut self.reader, &self.roots) {
                Ok(users) => counts.users = users,
                Err(error) => faults.add(error),
            }
        }
        let uptime = (self.roots.calls.sysinfo)().uptime_s;
        self.os.refresh(has(Group::Os), cx.now(), |facts| {
            identity::read_os(facts, &mut self.reader, &self.roots);
        });
        self.dmi.refresh(has(Group::Dmi), cx.now(), |facts| {
            identity::read_dmi(facts, &mut self.reader, &self.roots);
        });

        let shown = Counts {
            load: counts.load.filter(|_| has(Group::Load)),
            processors: counts.processors.filter(|_| has(Group::Cpus)),
            users: counts.users.filter(|_| has(Group::Users)),
        };
        let mut point = shown.add_to(out.point("system"));
        if has(Group::Uptime) {
            point = point.field("uptime", uptime);
        }
        for (key, value) in self.os.facts().iter().chain(self.dmi.facts()) {
            point = point.field(key, value);
        }
        faults.refused(point.finish(cx.now()));

        if legacy {
            faults.refused(counts.add_to(out.point("system")).finish(cx.now()));
            faults.refused(out.point("system").field("uptime", uptime).finish(cx.now()));
            format_uptime(&mut self.uptime_text, uptime);
            let point = out.point("system").field("uptime_format", &self.uptime_text);
            faults.refused(point.finish(cx.now()));
        }
        faults.result()
    }
}

impl Counts {
    fn add_to<'a>(&self, mut point: PointBuilder<'a>) -> PointBuilder<'a> {
        if let Some([one, five, fifteen]) = self.load {
            point = point.field("load1", one).field("load5", five).field("load15", fifteen);
        }
        if let Some((all, unique)) = self.users {
            point = point.field("n_users", all as i64).field("n_unique_users", unique as i64);
        }
        if let Some((logical, physical)) = self.processors {
            point = point.field("n_cpus", logical as i64).field("n_physical_cpus", physical as i64);
        }
        point.metric_kind(metric_kind::UNTYPED)
    }
}

fn load(reader: &mut Reader, roots: &Roots) -> Result<[f64; 3], Error> {
    let text = reader.piece(&[&roots.proc, "loadavg"])?;
    let mut words = words(text.data);
    let mut loads = [0.0; 3];
    for (load, name) in loads.iter_mut().zip(["load1", "load5", "load15"]) {
        let word = words.next().unwrap_or_default();
        *load = decimal(word).ok_or_else(|| Error::failed(text.bad(name, word)))?;
    }
    Ok(loads)
}

/// As uptime(1) shows it: `" 1:27"`, `"3 days, 12:05"`.
fn format_uptime(text: &mut String, uptime_s: u64) {
    use std::fmt::Write;
    let (days, hours, minutes) = (uptime_s / 86_400, uptime_s / 3600 % 24, uptime_s / 60 % 60);
    text.clear();
    if days > 0 {
        let plural = if days > 1 { "s" } else { "" };
        let _ = write!(text, "{days} day{plural}, ");
    }
    let _ = write!(text, "{hours:2}:{minutes:02}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    #[test]
    fn legacy_is_three_points() {
        let tree = Tree::case("system/debian");
        expect(
            &mut tree.input::<System>(""),
            5,
            &[
                "system load1=0.32,load5=0.11,load15=1.07,n_users=3i,n_unique_users=2i,n_cpus=4i,n_physical_cpus=2i 5",
                "system uptime=273912u 5",
                "system uptime_format=\"3 days,  4:05\" 5",
            ],
        );
        expect_same(&tree, "include = []", "include = ['legacy']");
    }

    #[track_caller]
    fn expect_same(tree: &Tree, one: &str, other: &str) {
        let points = |config| tree.input::<System>(config).gather(1).0.points();
        assert_eq!(points(one), points(other));
    }

    #[test]
    fn the_other_groups_share_a_point() {
        let tree = Tree::case("system/debian");
        expect(
            &mut tree.input::<System>("include = ['uptime', 'cpus', 'load', 'users', 'load']"),
            5,
            &[
                "system load1=0.32,load5=0.11,load15=1.07,n_users=3i,n_unique_users=2i,n_cpus=4i,n_physical_cpus=2i,uptime=273912u 5",
            ],
        );
        expect(
            &mut tree.input::<System>("include = ['os']"),
            5,
            &[
                "system os=\"linux\",arch=\"x86_64\",platform=\"debian\",platform_family=\"debian\",platform_version=\"12.5\",kernel_version=\"6.1.0-18-amd64\" 5",
            ],
        );
        let (collected, _) = tree.input::<System>("include = ['legacy', 'uptime']").gather(5);
        assert_eq!(collected.points().len(), 4);
        assert_eq!(collected.points()[0], "system uptime=273912u 5");
    }

    #[test]
    fn the_machine() {
        let tree = Tree::case("system/debian");
        expect(
            &mut tree.input::<System>("include = ['dmi']"),
            5,
            &[
                "system bios_vendor=\"Dell Inc.\",bios_version=\"2.18.0\",bios_date=\"04/12/2024\",board_vendor=\"Dell Inc.\",board_product=\"0X3D66\",board_version=\"A00\",board_serial=\"unknown\",board_asset_tag=\"\",chassis_vendor=\"Dell Inc.\",chassis_type_code=\"23\",chassis_type=\"Rack mount chassis\",chassis_version=\"unknown\",chassis_serial=\"unknown\",chassis_asset_tag=\"unknown\",product_vendor=\"Dell Inc.\",product_name=\"PowerEdge R750\",product_family=\"PowerEdge\",product_version=\"unknown\",product_serial=\"unknown\",product_sku=\"SKU=NotProvided;ModelName=PowerEdge R750\",product_uuid=\"unknown\" 5",
            ],
        );
    }

    #[test]
    fn identity_is_kept_for_its_time() {
        let tree = Tree::of(&[("etc/os-release", "ID=alpine\nVERSION_ID=3.19.0\n")]);
        let mut input = tree.input::<System>("include = ['os']\nos_cache_ttl = '10s'");
        let expected = |version: &str, time: i64| {
            format!(
                "system os=\"linux\",arch=\"x86_64\",platform=\"alpine\",platform_family=\"alpine\",platform_version=\"{version}\",kernel_version=\"6.1.0-18-amd64\" {time}"
            )
        };
        expect(&mut input, 0, &[&expected("3.19.0", 0)]);
        tree.write("etc/os-release", "ID=alpine\nVERSION_ID=3.20.0\n");
        expect(&mut input, 9_999_999_999, &[&expected("3.19.0", 9_999_999_999)]);
        expect(&mut input, 10_000_000_000, &[&expected("3.20.0", 10_000_000_000)]);
        // A clock that was set back must not keep old facts for ever.
        tree.write("etc/os-release", "ID=alpine\nVERSION_ID=3.21.0\n");
        expect(&mut input, 5, &[&expected("3.21.0", 5)]);
    }

    #[test]
    fn what_is_missing_costs_itself_alone() {
        let tree = Tree::of(&[
            ("sys/devices/system/cpu/online", "0-1\n"),
            ("proc/loadavg", "0.1 0,2 0.3 1/2 3\n"),
        ]);
        expect_fault(
            &tree,
            &mut tree.input::<System>("include = ['load', 'cpus', 'users', 'uptime']"),
            1,
            &["system n_cpus=2i,n_physical_cpus=0i,uptime=273912u 1"],
            "{}/proc/loadavg: load5 is \"0,2\", which is not a number",
        );
    }

    #[test]
    fn uptimes() {
        let mut text = String::new();
        for (seconds, expected) in [
            (0, " 0:00"),
            (5_220, " 1:27"),
            (86_399, "23:59"),
            (86_400, "1 day,  0:00"),
            (302_700, "3 days, 12:05"),
        ] {
            format_uptime(&mut text, seconds);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn unknown_groups_are_refused() {
        let tree = Tree::of(&[]);
        let error = tree.try_input::<System>("include = ['loads']").err().unwrap();
        assert!(error.message().contains("did you mean `load`?"), "{}", error.message());
    }
}
