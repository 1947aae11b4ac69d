//! Helpers for tests that need processes of their own. Tests run in parallel in one process, so what belongs to the
//! whole process (umask, signals, descriptors, children of others) is only touched in a fork.

use super::reap;
use crate::types::{ExitStatus, Pid};
use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, fork, geteuid, pipe2, write};
use std::fs::File;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

/// Longest time that any condition may take to come true on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Whether tests that need root can run; says so where they cannot.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
pub(super) fn is_root(test: &str) -> bool {
    let root = geteuid().is_root();
    if !root {
        eprintln!("skipped: {test} needs root");
    }
    root
}

/// Waits for a condition.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < DEADLINE,
            "not within {DEADLINE:?}: {what}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until a child has ended, without collecting it.
pub(super) fn await_end(pid: Pid) -> ExitStatus {
    let mut status = None;
    until("the child ends", || {
        status = reap::peek_at(pid);
        status.is_some()
    });
    status.unwrap()
}

/// Makes a child that calls `body` and exits with its result.
pub(super) fn fork_child(body: impl FnOnce() -> i32) -> Pid {
    // SAFETY: the C library keeps its allocator usable in the child; the body takes no lock of another thread.
    match unsafe { fork() }.unwrap() {
        ForkResult::Parent { child } => Pid::new(child.as_raw()).unwrap(),
        ForkResult::Child => {
            let code = body();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Runs a test's body in a process of its own. The body must not panic: it says what is wrong as an error.
pub(super) fn in_fork(body: impl FnOnce() -> Result<(), String>) {
    let (read, report) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let pid = fork_child(|| match body() {
        Ok(()) => 0,
        Err(message) => match write(&report, message.as_bytes()) {
            Ok(_) => 1,
            Err(_) => 2,
        },
    });
    drop(report);
    let mut message = String::new();
    File::from(read).read_to_string(&mut message).unwrap();
    let status = await_end(pid);
    assert_eq!(reap::collect(pid), Some(status));
    assert_eq!(status, ExitStatus::Code(0), "{message}");
}
