//! Programs that end at once, always: how often they are started again, and how long a status takes meanwhile.
//!
//! The daemon starts a program at most once in 80 milliseconds, so of 100 there can be 1250 starts a second; of 300 as
//! many as the machine bears.

use crate::Run;
use crate::harness::Daemon;
use crate::stats::Samples;
use crate::table::{Aim, Row};
use std::time::{Duration, Instant};
use taskmaster::wire::Request;

/// Time from one status to the next.
const PAUSE: Duration = Duration::from_millis(20);

/// Measures it.
pub fn run(run: &mut Run) {
    for (programs, aim) in [(100, 1000.0), (300, 1000.0)] {
        storm(run, programs, aim);
    }
}

fn storm(run: &mut Run, programs: usize, aim: f64) {
    let span = Duration::from_secs(if run.quick { 2 } else { 10 });
    let daemon = Daemon::builder()
        .config(&format!(
            "[program.quick]\ncommand=/bin/true\nautostart=true\nstartsecs=0\nautorestart=true\nnumprocs={programs}\n"
        ))
        .start();
    let mut client = daemon.client();
    let starts = || {
        let log = daemon.sandbox.read("log/taskmaster.log");
        log.matches("spawned: ").count()
    };
    let before = starts();
    let begin = Instant::now();
    let mut times = Vec::new();
    while begin.elapsed() < span {
        let asked = Instant::now();
        client.ask(Request::Status { targets: vec![] }).unwrap();
        times.push(asked.elapsed());
        std::thread::sleep(PAUSE);
    }
    #[allow(clippy::cast_precision_loss, reason = "a count of starts")]
    let rate = (starts() - before) as f64 / begin.elapsed().as_secs_f64();
    let aim = Aim::AtLeast(aim);
    let what = format!("restarts of {programs} that end at once");
    run.table
        .add(Row::new(what, "/s", aim).with("taskmaster", Samples::one(rate)));
    run.table.add(
        Row::new(
            format!("status beside {programs} restarting, 99 %"),
            "ms",
            Aim::AtMost(50.0),
        )
        .with("taskmaster", Samples::milliseconds(times).p99()),
    );
}
