//! Helpers for tests that need processes of their own. Tests run in parallel in one process, so what belongs to the
//! whole process (umask, signals, descriptors, children of others) is only touched in a fork.

use super::reap;
use crate::types::{ExitStatus, Pid};
use nix::fcntl::OFlag;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, fork, geteuid, pipe2, write};
use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
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
            // A test that fails leaves nothing running: the child goes with the thread that made it.
            let code = set_pdeathsig(Signal::SIGKILL).map_or(3, |()| body());
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) }
        }
    }
}

thread_local! {
    /// What the last panic of this thread said, in a fork.
    static PANIC_OF_FORK: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Lets forks keep what their panics say: the harness's own hook would write it into a buffer that nobody reads.
///
/// Before any fork, because a fork cannot set a hook: another thread that panics at that moment, as some tests do on
/// purpose, holds the lock of the hook, and in the fork nobody would ever release it.
fn keep_panics_of_forks() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            let is_fork = PANIC_OF_FORK.with_borrow_mut(|kept| {
                kept.as_mut()
                    .map(|message| *message = info.to_string())
                    .is_some()
            });
            if !is_fork {
                others(info);
            }
        }));
    });
}

/// Runs a test's body in a process of its own. The body says what is wrong as an error, or panics.
///
/// Also for what must really be closed when it is closed: forks of parallel tests hold copies of all descriptors.
pub(super) fn in_fork<E: fmt::Display>(body: impl FnOnce() -> Result<(), E>) {
    keep_panics_of_forks();
    let (read, report) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let pid = fork_child(|| {
        PANIC_OF_FORK.set(Some(String::new()));
        let message = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => return 0,
            Ok(Err(error)) => error.to_string(),
            Err(_) => PANIC_OF_FORK.take().unwrap_or_default(),
        };
        match write(&report, message.as_bytes()) {
            Ok(_) => 1,
            Err(_) => 2,
        }
    });
    drop(report);
    let mut message = String::new();
    File::from(read).read_to_string(&mut message).unwrap();
    let status = await_end(pid);
    assert_eq!(reap::collect(pid), Some(status));
    assert_eq!(status, ExitStatus::Code(0), "{message}");
}

/// As [`in_fork`], for a body that only panics.
pub(super) fn alone(body: impl FnOnce()) {
    in_fork::<String>(|| {
        body();
        Ok(())
    });
}
