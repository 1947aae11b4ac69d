//! From the death of a program to its successor in RUNNING.
//!
//! Bare loop: kill, wait, start again with two pipes.

use crate::harness::{Daemon, Sandbox};
use crate::table::{Table, median};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use taskmaster::wire::{Notice, ProcessState, Request, ServerFrame, Topic};

const ROUNDS: usize = 20;

/// A program that has lived this long is started again without a pause.
const LIFE: Duration = Duration::from_millis(150);

/// Measures it.
pub fn run(table: &mut Table) {
    let bare = bare();
    let ours = ours();
    table.ratio("crash to restarted", ours, bare, Some(2.0));
}

fn ours() -> Duration {
    let daemon = Daemon::with(
        "[program.web]\ncommand=/bin/sleep 1000\nautostart=true\nstartsecs=0\nautorestart=true\n",
    );
    daemon.wait_state("web", "RUNNING");
    let mut pid = daemon.pid("web");
    let mut client = daemon.client();
    client
        .send(Request::Subscribe {
            topic: Topic::States,
        })
        .unwrap();
    client.receive().unwrap();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        // Let it live: this is a pause by intent, not a wait for a condition.
        std::thread::sleep(LIFE);
        let begin = Instant::now();
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        pid = loop {
            if let ServerFrame::Notice {
                notice:
                    Notice::State {
                        to: ProcessState::Running,
                        pid: Some(pid),
                        ..
                    },
                ..
            } = client.receive().unwrap()
            {
                break i32::try_from(pid).unwrap();
            }
        };
        times.push(begin.elapsed());
    }
    median(times)
}

fn bare() -> Duration {
    let sandbox = Sandbox::new();
    let spawn = || -> Child {
        sandbox
            .command("/bin/sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut child = spawn();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        std::thread::sleep(LIFE);
        let begin = Instant::now();
        kill(
            Pid::from_raw(i32::try_from(child.id()).unwrap()),
            Signal::SIGKILL,
        )
        .unwrap();
        child.wait().unwrap();
        child = spawn();
        times.push(begin.elapsed());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    median(times)
}
