//! What benches need of the machine: a place in memory, and how much of it a process takes.

use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where there is room, everything is done in memory: a disk is shared with others, and slow to create files where many
/// have just been removed, as they are after every round.
const MEMORY: &str = "/dev/shm";
const MEMORY_BYTES: u64 = 2 << 30;

/// Runs this bench anew with its sandboxes in memory, where that can be.
pub fn move_into_memory() {
    const VARIABLE: &str = "TASKMASTER_TEST_DIRECTORY";
    let has_room = statvfs(MEMORY).is_ok_and(|found| {
        found.blocks_available() * found.fragment_size() >= MEMORY_BYTES
            && !found.flags().contains(FsFlags::ST_NOEXEC)
    });
    if std::env::var_os(VARIABLE).is_none() && has_room {
        let error = Command::new(std::env::current_exe().unwrap())
            .args(std::env::args_os().skip(1))
            .env(VARIABLE, MEMORY)
            .exec();
        panic!("{error}");
    }
}

/// Proportional set size of a process in KiB; 0 where the kernel does not tell.
pub fn proportional_kib(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib: Option<f64> = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0.0)
}
