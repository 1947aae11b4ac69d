//! From the command to the last of 100 and 1000 programs in RUNNING.
//!
//! Bare loop: `std::process::Command` starts as many programs, each with two pipes for its output.

use crate::harness::{Daemon, Sandbox, wait};
use crate::table::{Table, median};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use taskmaster::wire::{ProcessState, Request, Response};

const ROUNDS: usize = 3;

/// Measures both sizes.
pub fn run(table: &mut Table) {
    for count in [100, 1000] {
        // By turns, so that a machine that is busy with something else is so for both.
        let (ours, bare) = (0..ROUNDS).map(|_| (ours(count), bare(count))).unzip();
        let what = format!("boot of {count} programs");
        table.ratio(&what, median(ours), median(bare), Some(1.5));
    }
}

/// A file with this many copies of a program.
pub fn config(count: usize) -> String {
    format!(
        "[program.web]\ncommand=/bin/sleep 1000\nautostart=true\nstartsecs=0\nnumprocs={count}\n"
    )
}

fn ours(count: usize) -> Duration {
    let begin = Instant::now();
    let daemon = Daemon::builder()
        .arg("--minfds")
        .arg("8192")
        .config(&config(count))
        .start();
    // To ask for one program costs next to nothing; it is the last to be started.
    let mut client = daemon.client();
    let mut last: Vec<_> = (0..count).map(|number| format!("web:{number}")).collect();
    last.sort_unstable();
    let targets = vec![last.pop().unwrap()];
    wait::for_condition("the last program", || {
        let request = Request::Status {
            targets: targets.clone(),
        };
        match client.ask(request).unwrap() {
            Response::Status(reply) => reply.rows[0].state == ProcessState::Running,
            other => panic!("{other:?}"),
        }
    });
    wait::for_condition("all programs", || {
        let rows = daemon.rows();
        rows.len() == count && rows.iter().all(|row| row.state == ProcessState::Running)
    });
    begin.elapsed()
}

fn bare(count: usize) -> Duration {
    let sandbox = Sandbox::new();
    let begin = Instant::now();
    let children: Vec<Child> = (0..count)
        .map(|_| {
            sandbox
                .command("/bin/sleep")
                .arg("1000")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let took = begin.elapsed();
    for mut child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    took
}
