//! Memory of the supervisor and its helpers, programs excepted: proportional set size with 100 and 1000 programs.

use crate::Run;
use crate::machine::proportional_kib;
use crate::ours;
use crate::peers::{self, Running};
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::fs;

/// Measures it.
pub fn run(run: &mut Run) {
    for (count, limit) in [(100, 4.0), (1000, 6.0)] {
        let (daemon, _) = ours::start(&ours::config(count), count);
        daemon.rest();
        let what = format!("memory with {count} programs");
        let mut row = Row::new(what, "MiB", Aim::AtMost(limit)).with(
            "taskmaster",
            Samples::one(proportional(daemon.process().unsigned_abs())),
        );
        drop(daemon);
        for peer in &run.peers {
            let sandbox = Running::prepare(&**peer, count, "/bin/sleep 1000");
            let running = Running::start(&**peer, sandbox);
            running.wait_up(count);
            let root = running.process.id();
            let all = peers::descendants(root);
            let helpers = all.into_iter().filter(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name != "sleep\n")
            });
            let sum = helpers.chain([root]).map(proportional).sum();
            row = row.with(peer.name(), Samples::one(sum));
            running.end();
        }
        run.table.add(row);
    }
}

/// In MiB.
fn proportional(pid: u32) -> f64 {
    proportional_kib(pid) / 1024.0
}
