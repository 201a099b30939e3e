//! Input `net`: traffic of network interfaces, from /proc/net/dev.

use headwater_plugin_api::batch::layout::metric_kind;
use headwater_plugin_api::config;
use headwater_plugin_api::config::GlobSet;
use headwater_plugin_api::plugin::{Context, Error, Gather, Host, Input, Plugin};

use crate::reader::{Faults, Reader, quote, signed, unsigned, words};
use crate::roots::Roots;

config! {
    /// Gathers the traffic of network interfaces.
    pub struct NetConfig {
        /// Interfaces, as globs, in whatever state. Without any: those that are up and no loopback,
        /// but all if `HOST_PROC` is set.
        pub interfaces: GlobSet = GlobSet::default(),
        /// Counters of protocols are not gathered, as in Telegraf since they went to `nstat`:
        /// `false` brings a warning and no more.
        pub ignore_protocol_stats: bool = true,
    }
}

/// Columns of /proc/net/dev.
const COLUMNS: usize = 16;
const FIELDS: [(usize, &str); 8] = [
    (8, "bytes_sent"),
    (0, "bytes_recv"),
    (9, "packets_sent"),
    (1, "packets_recv"),
    (2, "err_in"),
    (10, "err_out"),
    (3, "drop_in"),
    (11, "drop_out"),
];

/// Bits of /sys/class/net/<interface>/flags.
const UP: u64 = 0x1;
const LOOPBACK: u64 = 0x8;

/// What stands for a speed that the interface does not know.
const SPEED_UNKNOWN: i64 = -1;

/// The input.
pub struct Net {
    config: NetConfig,
    roots: Roots,
    host: Host,
    list: Reader,
    attribute: Reader,
}

impl Plugin for Net {
    type Config = NetConfig;
    const NAME: &'static str = "net";
    const SUMMARY: &'static str = "Traffic of network interfaces";

    fn new(config: NetConfig, host: Host) -> Result<Self, Error> {
        Ok(Net {
            config,
            roots: Roots::from_env(),
            host,
            list: Reader::default(),
            attribute: Reader::default(),
        })
    }

    fn init(&mut self, _cx: &Context<'_>) -> Result<(), Error> {
        if !self.config.ignore_protocol_stats {
            self.host.warn(
                "ignore_protocol_stats = false has no effect: counters of protocols are no part of \
                 this input; remove the line",
            );
        }
        Ok(())
    }
}

impl Input for Net {
    fn gather(&mut self, cx: &Context<'_>, out: &mut Gather<'_>) -> Result<(), Error> {
        let mut faults = Faults::default();
        let text = self.list.records(&[&self.roots.proc, "net/dev"])?;
        // Two lines of headings.
        for line in text.lines().skip(2) {
            // A name may hold a colon itself.
            let Some(colon) = memchr::memrchr(b':', line) else {
                faults.add(text.wrong(format_args!("no colon in the line {}", quote(line))));
                continue;
            };
            let Ok(name) = std::str::from_utf8(line[..colon].trim_ascii()) else {
                faults
                    .add(text.wrong(format_args!("the name {} is no text", quote(&line[..colon]))));
                continue;
            };
            let attributes = [self.roots.sys.as_str(), "class/net", name];
            if !is_wanted(name, &self.config, &self.roots, &mut self.attribute) {
                continue;
            }
            let mut columns = [&b""[..]; COLUMNS];
            columns.iter_mut().zip(words(&line[colon + 1..])).for_each(|(c, word)| *c = word);
            let mut point =
                out.point("net").tag("interface", name).metric_kind(metric_kind::COUNTER);
            for (column, field) in FIELDS {
                match unsigned(columns[column]) {
                    Some(number) => point = point.field(field, number),
                    None => {
                        let what = format_args!("{field} of {name}");
                        faults.add(text.bad(what, columns[column]));
                    }
                }
            }
            let [sys, class, name] = attributes;
            let speed = self.attribute.piece_if_readable(&[sys, class, name, "speed"]);
            let speed = speed.and_then(|text| signed(text.trimmed())).unwrap_or(SPEED_UNKNOWN);
            faults.refused(point.field("speed", speed).finish(cx.now()));
        }
        faults.result()
    }
}

fn is_wanted(name: &str, config: &NetConfig, roots: &Roots, reader: &mut Reader) -> bool {
    if !config.interfaces.is_empty() {
        return config.interfaces.matches(name);
    }
    if roots.proc_is_set {
        return true;
    }
    let flags = reader.piece_if_readable(&[&roots.sys, "class/net", name, "flags"]);
    let flags = flags.and_then(|text| {
        let digits = std::str::from_utf8(text.trimmed()).ok()?.strip_prefix("0x")?;
        u64::from_str_radix(digits, 16).ok()
    });
    // Gone in between, or of another name space.
    flags.is_some_and(|flags| flags & UP != 0 && flags & LOOPBACK == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frozen::{Tree, expect, expect_fault};

    const ETH0: &str = "net,interface=eth0 bytes_sent=328144u,bytes_recv=179321173u,packets_sent=3178u,packets_recv=4964u,err_in=1u,err_out=3u,drop_in=2u,drop_out=4u,speed=1000i 1";
    const LO: &str = "net,interface=lo bytes_sent=3193u,bytes_recv=3193u,packets_sent=29u,packets_recv=29u,err_in=0u,err_out=0u,drop_in=0u,drop_out=0u,speed=-1i 1";
    const DOWN: &str = "net,interface=ifb0 bytes_sent=0u,bytes_recv=0u,packets_sent=0u,packets_recv=0u,err_in=0u,err_out=0u,drop_in=0u,drop_out=0u,speed=-1i 1";

    #[test]
    fn interfaces_that_are_up() {
        let tree = Tree::case("net/server");
        expect(&mut tree.input::<Net>(""), 1, &[ETH0]);
    }

    #[test]
    fn named_interfaces_in_any_state() {
        let tree = Tree::case("net/server");
        let config = "interfaces = ['{lo,ifb*}']\nignore_protocol_stats = true";
        expect(&mut tree.input::<Net>(config), 1, &[LO, DOWN]);
    }

    #[test]
    fn all_interfaces_of_another_host() {
        let mut tree = Tree::case("net/server");
        tree.roots.proc_is_set = true;
        expect(&mut tree.input::<Net>(""), 1, &[LO, DOWN, ETH0]);
    }

    #[test]
    fn protocols_bring_a_warning() {
        let tree = Tree::case("net/server");
        let mut input = tree.input::<Net>("ignore_protocol_stats = false");
        expect(&mut input, 1, &[ETH0]);
        let logs = input.host.logs.lock().unwrap();
        assert!(logs.len() == 1 && logs[0].1.contains("no effect"), "{logs:?}");
    }

    #[test]
    fn what_is_malformed_costs_itself_alone() {
        let tree = Tree::of(&[(
            "proc/net/dev",
            "Inter-|\n face |\nnothing\neth0:1: 1 2 x 4 5 6 7 8 9 10 11 12\nwlan0: 1 2 3 4 5 6 7 8 18446744073709551615\n",
        )]);
        expect_fault(
            &tree,
            &mut tree.input::<Net>("interfaces = ['*']"),
            1,
            &[
                "net,interface=eth0:1 bytes_sent=9u,bytes_recv=1u,packets_sent=10u,packets_recv=2u,err_out=11u,drop_in=4u,drop_out=12u,speed=-1i 1",
                "net,interface=wlan0 bytes_sent=18446744073709551615u,bytes_recv=1u,packets_recv=2u,err_in=3u,drop_in=4u,speed=-1i 1",
            ],
            "{}/proc/net/dev: no colon in the line \"nothing\"; {}/proc/net/dev: err_in of eth0:1 is \"x\", which is not a number; {}/proc/net/dev: packets_sent of wlan0 is \"\", which is not a number; {}/proc/net/dev: err_out of wlan0 is \"\", which is not a number; and 1 more",
        );
    }

    #[test]
    fn no_file() {
        let tree = Tree::of(&[]);
        let error = "{}/proc/net/dev: No such file or directory (os error 2)";
        expect_fault(&tree, &mut tree.input::<Net>(""), 1, &[], error);
        assert!(tree.try_input::<Net>("interfaces = ['[']").is_err());
    }
}
