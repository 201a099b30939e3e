//! Where the trees of the host stand, and the few system calls that no file replaces.

use std::io;

/// The folders that plugins read, without a slash at the end, and the system calls they make.
#[derive(Debug, Clone)]
pub struct Roots {
    /// `HOST_PROC`, /proc.
    pub proc: String,
    /// Whether `HOST_PROC` is set: the host that is looked at is then not this container.
    pub proc_is_set: bool,
    /// /proc of this process itself, whatever the host.
    pub own_proc: String,
    /// `HOST_SYS`, /sys.
    pub sys: String,
    /// `HOST_ETC`, /etc.
    pub etc: String,
    /// `HOST_VAR`, /var.
    pub var: String,
    /// `HOST_RUN`, /run below `HOST_MOUNT_PREFIX`.
    pub run: String,
    /// `HOST_DEV`, /dev below `HOST_MOUNT_PREFIX`.
    pub dev: String,
    /// `HOST_MOUNT_PREFIX`: where the host's root is mounted; empty if it is the root.
    pub mount_prefix: String,
    /// The system calls.
    pub calls: Calls,
}

/// System calls, so that tests can answer them.
#[derive(Debug, Clone, Copy)]
pub struct Calls {
    /// sysinfo(2).
    pub sysinfo: fn() -> SystemInfo,
    /// statvfs(3) of a path.
    pub space: fn(&[u8]) -> io::Result<Space>,
    /// uname(2).
    pub uname: fn() -> KernelName,
    /// The device number of a node.
    pub device_number: fn(&str) -> io::Result<(u32, u32)>,
}

/// What sysinfo(2) tells.
#[derive(Debug, Clone, Copy)]
pub struct SystemInfo {
    /// Seconds since the system was started.
    pub uptime_s: u64,
    /// Bytes of swap space.
    pub swap_total: u64,
    /// Bytes of swap space that are free.
    pub swap_free: u64,
}

/// What a file system tells of its space.
#[derive(Debug, Clone, Copy)]
pub struct Space {
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Blocks.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks that others than root may use.
    pub blocks_available: u64,
    /// Inodes.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// What uname(2) tells.
#[derive(Debug, Clone)]
pub struct KernelName {
    /// Such as `x86_64`.
    pub machine: String,
    /// Such as `6.1.0-18-amd64`.
    pub release: String,
}

impl Calls {
    /// The real ones.
    pub const REAL: Calls = Calls { sysinfo, space, uname, device_number };
}

fn sysinfo() -> SystemInfo {
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit);
    SystemInfo {
        uptime_s: u64::try_from(info.uptime).unwrap_or(0),
        swap_total: info.totalswap.saturating_mul(unit),
        swap_free: info.freeswap.saturating_mul(unit),
    }
}

fn space(path: &[u8]) -> io::Result<Space> {
    let space = rustix::fs::statvfs(path)?;
    Ok(Space {
        block_bytes: space.f_frsize,
        blocks: space.f_blocks,
        blocks_free: space.f_bfree,
        blocks_available: space.f_bavail,
        inodes: space.f_files,
        inodes_free: space.f_ffree,
    })
}

fn uname() -> KernelName {
    let name = rustix::system::uname();
    KernelName {
        machine: name.machine().to_string_lossy().into_owned(),
        release: name.release().to_string_lossy().into_owned(),
    }
}

fn device_number(path: &str) -> io::Result<(u32, u32)> {
    let node = rustix::fs::stat(path)?;
    Ok((rustix::fs::major(node.st_rdev), rustix::fs::minor(node.st_rdev)))
}

impl Roots {
    /// As the environment says. In tests: the tree that the test has set up.
    pub fn from_env() -> Roots {
        #[cfg(test)]
        if let Some(roots) = crate::frozen::current() {
            return roots;
        }
        Roots::of(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Roots {
        let folder = |name: &str| {
            let value = variable(name)?;
            (!value.is_empty()).then(|| value.trim_end_matches('/').to_owned())
        };
        let mount_prefix = folder("HOST_MOUNT_PREFIX").unwrap_or_default();
        let proc = folder("HOST_PROC");
        Roots {
            proc_is_set: proc.is_some(),
            proc: proc.unwrap_or_else(|| "/proc".into()),
            own_proc: "/proc".into(),
            sys: folder("HOST_SYS").unwrap_or_else(|| "/sys".into()),
            etc: folder("HOST_ETC").unwrap_or_else(|| "/etc".into()),
            var: folder("HOST_VAR").unwrap_or_else(|| "/var".into()),
            run: folder("HOST_RUN").unwrap_or_else(|| format!("{mount_prefix}/run")),
            dev: folder("HOST_DEV").unwrap_or_else(|| format!("{mount_prefix}/dev")),
            mount_prefix,
            calls: Calls::REAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_from_the_environment() {
        let plain = Roots::of(|_| None);
        assert_eq!((plain.proc.as_str(), plain.proc_is_set), ("/proc", false));
        assert_eq!((plain.run.as_str(), plain.dev.as_str()), ("/run", "/dev"));

        let host = Roots::of(|name| match name {
            "HOST_PROC" => Some("/host/proc/".into()),
            "HOST_MOUNT_PREFIX" => Some("/host".into()),
            "HOST_DEV" => Some("/d".into()),
            "HOST_SYS" => Some(String::new()),
            _ => None,
        });
        assert_eq!((host.proc.as_str(), host.proc_is_set), ("/host/proc", true));
        assert_eq!((host.run.as_str(), host.dev.as_str()), ("/host/run", "/d"));
        assert_eq!((host.sys.as_str(), host.own_proc.as_str()), ("/sys", "/proc"));
    }

    #[test]
    fn the_real_calls_answer() {
        let calls = Calls::REAL;
        assert!((calls.sysinfo)().uptime_s > 0);
        assert!((calls.space)(b"/").unwrap().blocks > 0);
        assert!(!(calls.uname)().release.is_empty());
        assert_eq!((calls.device_number)("/dev/null").unwrap(), (1, 3));
        assert!((calls.space)(b"/no such folder").is_err());
    }
}
