//! Makes processes: a fixed list of steps in the child, then its program.
//!
//! Everything is prepared before the child exists (pointers, groups, limits, the journal's line), so that it allocates
//! nothing and takes no lock; [`child`] holds the steps and their order. How it went is told as the step that failed
//! and its error number, or as nothing, when the program was executed.
//!
//! # Two roads
//! The quick one (`quick`) lends the child our memory and waits until it has executed its program: nothing is copied, and
//! how it went is known at once. But a child that waits for something keeps us waiting, so this road is closed to
//! - a start that may hang ([`SpawnSpec::may_hang`]): a dead network disk must hold up nobody;
//! - a child that becomes another user: that user could stop it while we wait, and kernels before 5.16 let a core dump
//!   of it end everybody who shares its memory.
//!
//! What else it does in that time does not wait for others: it writes one line to the journal, whose file system the
//! daemon itself writes to, and signals are blocked but for KILL and STOP, which only those may send it who may send
//! them to us.
//!
//! The other road is a fork. It tells by a pipe that closes on execution: end of file means that the program was
//! executed, eight bytes hold what failed. The pipe is read through the caller's loop.
//!
//! Invariants, on both: the program starts with an empty signal mask, every signal at its default, a session of its own,
//! the descriptors 0, 1 and 2 and no other; a step that fails is never skipped, save the journal (see [`Journal`]).
//!
//! Not here: which program to run ([`super::lookup`]), pipes for its output, waiting for its end ([`super::reap`]).

mod birth;
mod child;
mod mask;
mod quick;
#[cfg(test)]
mod tests;

use crate::types::Pid;
use birth::BirthClock;
use child::{Plan, Report};
use mask::Blocked;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::Resource;
use nix::unistd::{ForkResult, fork, geteuid, pipe2, read};
use quick::Quick;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

pub(super) use child::start_ticks_in;

/// Everything about a process to be made. Borrowed: nothing is kept after [`Spawner::spawn`] returns.
#[derive(Debug, Clone, Copy)]
pub struct SpawnSpec<'a> {
    /// The file to execute; relative to `directory`. Never searched for along `PATH`.
    pub program: &'a CStr,
    /// The arguments, the program's name first.
    pub argv: &'a [CString],
    /// The environment, each as `NAME=value`.
    pub envp: &'a [CString],
    /// The working directory, entered as the target user; `None` keeps the daemon's.
    pub directory: Option<&'a CStr>,
    /// The file mode creation mask, 0 to 0o777.
    pub umask: u32,
    /// Whom to become; `None` keeps the daemon's user and groups.
    pub identity: Option<&'a Identity>,
    /// Limits to set, as resource, soft and hard: those the daemon was started with, where it changed its own.
    pub limits: &'a [(Resource, u64, u64)],
    /// Becomes descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Becomes descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Becomes descriptor 2; may be the same as `stdout`.
    pub stderr: BorrowedFd<'a>,
    /// Where the child records its birth.
    pub journal: Option<Journal<'a>>,
    /// Whether entering the directory or reading the program may wait for another machine or for another process.
    pub may_hang: bool,
}

/// A user and all groups, looked up beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// All supplementary groups; replaces those of the daemon.
    pub groups: Vec<u32>,
}

/// A file in which every child writes one line, `PREFIX PID STARTTICKS`, before it executes its program.
///
/// The child writes it, not the parent, so that no process exists without its line even when the daemon is killed
/// between the fork and its next instruction. A line that cannot be written (a full disk) does not keep the program
/// from starting: the parent knows the pid and can see that the line is missing.
#[derive(Debug, Clone, Copy)]
pub struct Journal<'a> {
    /// Opened for appending, so that lines of several children never mix.
    pub file: BorrowedFd<'a>,
    /// Start of the line, without a newline.
    pub prefix: &'a [u8],
}

/// A process that was made. Whether it executes its program is told by `status`.
#[derive(Debug)]
pub struct Spawned {
    /// The process: leader of a session and a process group, both with this number.
    pub pid: Pid,
    /// When it started, in clock ticks since boot; 0 where that is not known yet.
    pub ticks: u64,
    /// Whether it has executed its program.
    pub status: Status,
}

/// How the outcome of a start is told.
#[derive(Debug)]
pub enum Status {
    /// It is known.
    Settled(ExecStatus),
    /// Readable when [`exec_status`] has news. Non-blocking.
    Awaited(OwnedFd),
}

/// A step of a start. The child's steps are in the order in which they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Finding the program.
    Lookup,
    /// Making a pipe.
    Pipe,
    /// Making the process.
    Fork,
    /// Starting a session.
    Session,
    /// Putting the descriptors in place.
    Descriptors,
    /// Setting a resource limit.
    Limits,
    /// Setting the supplementary groups.
    Groups,
    /// Setting the group id.
    GroupId,
    /// Setting the user id.
    UserId,
    /// Changing the working directory.
    Directory,
    /// Executing the program.
    Exec,
}

impl Step {
    /// All steps; a step's number in the report is its place here.
    const ALL: [Self; 11] = [
        Self::Lookup,
        Self::Pipe,
        Self::Fork,
        Self::Session,
        Self::Descriptors,
        Self::Limits,
        Self::Groups,
        Self::GroupId,
        Self::UserId,
        Self::Directory,
        Self::Exec,
    ];
}

/// Why no process was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot make a process: {step:?}: {}", errno.desc())]
pub struct SpawnError {
    /// What failed: [`Step::Pipe`] or [`Step::Fork`].
    pub step: Step,
    /// The kernel's reason.
    pub errno: Errno,
}

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecStatus {
    /// Its program is not executed yet.
    Pending,
    /// Its program was executed (or the process was killed before that; its exit status then tells).
    Executed,
    /// A step failed; the process ends with status 127.
    Failed {
        /// Which step.
        step: Step,
        /// The kernel's reason.
        errno: Errno,
    },
}

/// Bytes of a failure report: step and error number.
const REPORT_BYTES: usize = 8;

/// What making processes needs every time. To be made when the process has settled what it does with each signal.
#[derive(Debug)]
pub struct Spawner {
    /// Absent where the kernel, or somebody who filters what is asked of it, does not allow for it.
    quick: Option<Quick>,
    clock: BirthClock,
    /// Signals that are ignored or handled here, and that a child has to reset.
    changed_signals: Vec<i32>,
}

impl Spawner {
    /// Opens and maps what the quick road needs.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            quick: Some(Quick::new()?),
            clock: BirthClock::new(),
            changed_signals: child::changed_signals(),
        })
    }

    /// Makes a process. It is to be reaped by its pid, whatever its status says.
    pub fn spawn(&mut self, spec: &SpawnSpec<'_>) -> Result<Spawned, SpawnError> {
        let stays_who_we_are = |identity: &Identity| identity.uid == geteuid().as_raw();
        if !spec.may_hang
            && spec.identity.is_none_or(stays_who_we_are)
            && let Some(quick) = &mut self.quick
        {
            match quick.spawn(spec, &mut self.clock, &self.changed_signals) {
                Err(quick::Error::Refused) => self.quick = None,
                Err(quick::Error::Failed(error)) => return Err(error),
                Ok(spawned) => return Ok(spawned),
            }
        }
        self.fork(spec)
    }

    fn fork(&self, spec: &SpawnSpec<'_>) -> Result<Spawned, SpawnError> {
        let (status, report) = pipe2(OFlag::O_CLOEXEC).map_err(Step::Pipe.failed())?;
        fcntl(&status, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(Step::Pipe.failed())?;
        let mut plan = Plan::new(spec, Report::Pipe(report.as_raw_fd()));
        plan.changed_signals = &self.changed_signals;

        let blocked = Blocked::everything();
        plan.birth = self.clock.begin();
        // SAFETY: the child calls `child::run` and nothing else, which keeps to async-signal-safe calls on `plan`.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            child::run(&mut plan);
        }
        drop(blocked);
        match forked {
            Ok(ForkResult::Parent { child }) => Ok(Spawned {
                pid: Pid::new(child.as_raw()).ok_or_else(|| Step::Fork.failed()(Errno::ESRCH))?,
                ticks: 0,
                status: Status::Awaited(status),
            }),
            Ok(ForkResult::Child) => Err(Step::Fork.failed()(Errno::ECHILD)),
            Err(errno) => Err(Step::Fork.failed()(errno)),
        }
    }
}

impl Step {
    /// Makes an error of the kernel's reason.
    fn failed(self) -> impl Fn(Errno) -> SpawnError {
        move |errno| SpawnError { step: self, errno }
    }
}

/// Reads how far a process has come. Ask again only while the answer is `Pending`.
pub fn exec_status(status: BorrowedFd<'_>) -> ExecStatus {
    let mut bytes = [0; REPORT_BYTES];
    let count = loop {
        match read(status, &mut bytes) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return ExecStatus::Pending,
            Err(errno) => {
                return ExecStatus::Failed {
                    step: Step::Pipe,
                    errno,
                };
            }
            Ok(count) => break count,
        }
    };
    match count {
        0 => ExecStatus::Executed,
        REPORT_BYTES => decode_report(u64::from_ne_bytes(bytes)),
        // Eight bytes are written and read at once or not at all.
        _ => ExecStatus::Failed {
            step: Step::Pipe,
            errno: Errno::EPROTO,
        },
    }
}

/// The step in the upper half, the error number in the lower one. Never 0: no step that a child reports has number 0.
fn encode_report(step: Step, errno: Errno) -> u64 {
    let number = u64::from((errno as i32).cast_unsigned());
    ((step as u64) << 32) | number
}

fn decode_report(packed: u64) -> ExecStatus {
    let number = i32::try_from(packed & u64::from(u32::MAX)).unwrap_or(0);
    let step = usize::try_from(packed >> 32)
        .ok()
        .and_then(|index| Step::ALL.get(index).copied())
        .unwrap_or(Step::Exec);
    ExecStatus::Failed {
        step,
        errno: Errno::from_raw(number),
    }
}
