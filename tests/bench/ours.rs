//! The daemon with so many copies of `sleep 1000`.

use crate::harness::{Daemon, wait};
use std::time::{Duration, Instant};
use taskmaster::wire::{ProcessState, Request, Response};

/// Between two questions whether all programs run.
const PAUSE: Duration = Duration::from_millis(2);

/// A file with this many copies of a program, each with two rotated logs.
pub fn config(count: usize) -> String {
    format!(
        "[program.web]\ncommand=/bin/sleep 1000\nautostart=true\nstartsecs=0\nautorestart=true\nnumprocs={count}\n"
    )
}

/// The same with logs that each program writes itself, so that the daemon holds one descriptor for each instead of five:
/// as many as there may be programs, there may not be descriptors.
pub fn direct(count: usize) -> String {
    config(count)
        + "redirect_stderr=true\nstdout_direct=true\nstdout_logfile_maxbytes=0\nstdout_logfile_backups=0\n"
}

/// Starts it, and says how long it took until all of them ran.
pub fn start(config: &str, count: usize) -> (Daemon, Duration) {
    let begin = Instant::now();
    let daemon = Daemon::builder()
        .daemon_keys("minfds=1024")
        .config(config)
        .start();
    // To ask for one program costs little, and that only now and then; it is the last to be started.
    let mut client = daemon.client();
    let mut names: Vec<_> = (0..count).map(|number| format!("web:{number}")).collect();
    names.sort_unstable();
    let targets = vec![names.pop().unwrap()];
    wait::every(PAUSE, "the last program", || {
        let request = Request::Status {
            targets: targets.clone(),
        };
        match client.ask(request).unwrap() {
            Response::Status(reply) => (reply.rows[0].state == ProcessState::Running).then_some(()),
            other => panic!("{other:?}"),
        }
    });
    let took = begin.elapsed();
    wait::for_condition("all programs to be known as running", || {
        let rows = daemon.rows();
        rows.len() == count && rows.iter().all(|row| row.state == ProcessState::Running)
    });
    (daemon, took)
}
