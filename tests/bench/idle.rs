//! What the daemon costs when nothing happens, with 1000 programs: voluntary switches of all threads, and CPU time.

use crate::Run;
use crate::harness::proc;
use crate::ours;
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::fs;
use std::time::Duration;

const PROGRAMS: usize = 1000;

/// Measures it.
pub fn run(run: &mut Run) {
    let seconds = if run.quick { 10 } else { 60 };
    let (daemon, _) = ours::start(&ours::config(PROGRAMS), PROGRAMS);
    let before = daemon.rest();
    let busy = cpu(daemon.process());
    // The measurement is this pause.
    std::thread::sleep(Duration::from_secs(seconds));
    let busy = cpu(daemon.process()) - busy;
    #[allow(clippy::cast_precision_loss, reason = "a small count")]
    let switches = (proc::wakeups(daemon.process()) - before) as f64;
    run.table.add(
        Row::new(
            format!("voluntary switches in {seconds} idle seconds"),
            "",
            Aim::AtMost(0.0),
        )
        .with("taskmaster", Samples::one(switches)),
    );
    run.table.add(
        Row::new(
            format!("CPU time in {seconds} idle seconds"),
            "ms",
            Aim::AtMost(0.0),
        )
        .with("taskmaster", Samples::one(busy)),
    );
}

/// Milliseconds that all threads have had the processor.
fn cpu(pid: i32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e6
}
