//! The bare loop: the least that could do the work.
//!
//! `std::process::Command` is a `posix_spawn` that lends the child the parent's memory; each program has two pipes for
//! its output, as the daemon's have, but nobody looks at them, and nothing is written down.

use crate::harness::Sandbox;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Programs that were started this way. Dropping them kills them.
pub struct Bare {
    children: Vec<Child>,
}

/// A program with two pipes.
pub fn with_pipes(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// `sleep 1000`.
pub fn sleeper(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command("/bin/sleep");
    command.arg("1000");
    with_pipes(command)
}

impl Bare {
    /// Starts so many, and says how long that took.
    pub fn start(sandbox: &Sandbox, count: usize) -> (Self, Duration) {
        let begin = Instant::now();
        let children = (0..count).map(|_| sleeper(sandbox)).collect();
        (Self { children }, begin.elapsed())
    }

    /// Ends all of them, and says how long that took.
    pub fn stop(mut self) -> Duration {
        let begin = Instant::now();
        for child in &self.children {
            let pid = i32::try_from(child.id()).unwrap();
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            )
            .unwrap();
        }
        for mut child in self.children.drain(..) {
            child.wait().unwrap();
        }
        begin.elapsed()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
