//! Makes processes: fork, a fixed list of steps in the child, execute.
//!
//! Everything is prepared before the fork (pointers, groups, limits, the journal's line), so that the child allocates
//! nothing and takes no lock; [`child`] holds the steps and their order. A pipe that closes on execution tells how it
//! went: end of file means that the program was executed, eight bytes name the step that failed and its error number.
//! The pipe is read through the caller's loop, so an execution that hangs (a dead network disk) holds up nobody.
//!
//! Invariants: the program starts with an empty signal mask, every signal at its default, a session of its own, the
//! descriptors 0, 1 and 2 and no other; a step that fails is never skipped, save the journal (see [`Journal`]).
//!
//! Not here: which program to run ([`super::lookup`]), pipes for its output, waiting for its end ([`super::reap`]).
//! The interface keeps to what a child that shares the parent's memory could do as well, so that the fork can give way
//! to a cheaper clone.

mod child;
#[cfg(test)]
mod tests;

use crate::types::Pid;
use child::Plan;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::Resource;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::{ForkResult, fork, pipe2, read};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(super) use child::start_ticks_in;

/// Everything about a process to be made. Borrowed: nothing is kept after [`spawn`] returns.
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
    /// Readable when [`exec_status`] has news. Non-blocking.
    pub status: OwnedFd,
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

/// Makes a process. It is to be reaped by its pid, whatever its status says.
pub fn spawn(spec: &SpawnSpec<'_>) -> Result<Spawned, SpawnError> {
    let pipe_failed = |errno| SpawnError {
        step: Step::Pipe,
        errno,
    };
    let (status, report) = pipe2(OFlag::O_CLOEXEC).map_err(pipe_failed)?;
    fcntl(&status, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(pipe_failed)?;
    let mut plan = Plan::new(spec, report.as_fd());

    let fork_failed = |errno| SpawnError {
        step: Step::Fork,
        errno,
    };
    // No signal may run a handler of this process in the child, nor stop it before its dispositions are reset.
    let mask = SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_SETMASK)
        .map_err(fork_failed)?;
    // SAFETY: the child calls `child::run` and nothing else, which keeps to async-signal-safe calls on `plan`.
    let forked = unsafe { fork() };
    if let Ok(ForkResult::Child) = forked {
        child::run(&mut plan);
    }
    let restored = mask.thread_set_mask();
    debug_assert!(restored.is_ok(), "the mask was valid a moment ago");
    match forked {
        Ok(ForkResult::Parent { child }) => match Pid::new(child.as_raw()) {
            Some(pid) => Ok(Spawned { pid, status }),
            None => Err(fork_failed(Errno::ESRCH)),
        },
        Ok(ForkResult::Child) => Err(fork_failed(Errno::ECHILD)),
        Err(errno) => Err(fork_failed(errno)),
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
        REPORT_BYTES => decode_report(bytes),
        // Eight bytes are written and read at once or not at all.
        _ => ExecStatus::Failed {
            step: Step::Pipe,
            errno: Errno::EPROTO,
        },
    }
}

/// The step in the upper half, the error number in the lower one.
fn encode_report(step: Step, errno: Errno) -> [u8; REPORT_BYTES] {
    let number = u64::from((errno as i32).cast_unsigned());
    (((step as u64) << 32) | number).to_ne_bytes()
}

fn decode_report(bytes: [u8; REPORT_BYTES]) -> ExecStatus {
    let packed = u64::from_ne_bytes(bytes);
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
