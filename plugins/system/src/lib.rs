//! Family `system`: what a Linux host tells of itself through /proc and /sys.
//!
//! Every plugin reads its files whole, one after the other, into a buffer that it keeps
//! ([`reader`]), and parses the bytes in place. The crate `sysinfo` is not used: of what Telegraf
//! reports it lacks the ticks by state, most lines of meminfo, merged requests and waiting times,
//! drops, and inodes, so that the same files would be read a second time.
//!
//! Where the trees stand comes from the environment ([`roots`]): `HOST_PROC`, `HOST_SYS`,
//! `HOST_ETC`, `HOST_VAR`, `HOST_RUN`, `HOST_DEV` and `HOST_MOUNT_PREFIX`, as in Telegraf.

pub mod cpu;
pub mod disk;
pub mod diskio;
pub mod internal;
pub mod kernel;
pub mod mem;
pub mod net;
pub mod processes;
pub mod swap;
pub mod system;

pub mod reader;
pub mod roots;
mod udev;

#[cfg(test)]
mod frozen;

headwater_plugin_api::family! {
    name: "system",
    inputs: [
        cpu::Cpu,
        disk::Disk,
        diskio::DiskIo,
        internal::Internal,
        kernel::Kernel,
        mem::Mem,
        net::Net,
        processes::Processes,
        swap::Swap,
        system::System,
    ],
}
