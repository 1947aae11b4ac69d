//! What the daemon costs when nothing happens: wake-ups over 20 seconds, and memory, with 100 programs.

use crate::boot;
use crate::harness::{Daemon, proc};
use crate::table::Table;
use std::time::Duration;

const PROGRAMS: usize = 100;
const SPAN: Duration = Duration::from_secs(20);

/// Measures it.
pub fn run(table: &mut Table) {
    let daemon = Daemon::with(&boot::config(PROGRAMS));
    for number in 0..PROGRAMS {
        daemon.wait_state(&format!("web:{number}"), "RUNNING");
    }
    let before = daemon.rest();
    // The measurement is this pause.
    std::thread::sleep(SPAN);
    let wakeups = proc::wakeups(daemon.process()) - before;
    let count = u32::try_from(wakeups).unwrap_or(u32::MAX);
    table.figure("wake-ups in 20 idle seconds", "", f64::from(count), 0.0);
    let kib = u32::try_from(proc::resident_kib(daemon.process())).unwrap_or(u32::MAX);
    table.figure(
        "resident memory with 100 programs",
        "MiB",
        f64::from(kib) / 1024.0,
        6.0,
    );
}
