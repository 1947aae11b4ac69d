//! The quick road: a child in our memory, whom we wait for until it has executed its program.
//!
//! The kernel copies neither memory nor descriptors. Of the descriptors the child takes a copy only up to a number
//! below which lies what it needs: a daemon with thousands of pipes would otherwise copy, and the child close, all of
//! them at every start. What it needs is brought there before, into places that are kept for it.
//!
//! Invariants: a child on this road never touches our table of descriptors, only its copy; the places hold nothing of
//! the caller's when [`Quick::spawn`] returns, so that no pipe is kept open by them.

use super::birth::{self, BirthClock};
use super::child::{self, Plan, Report, Told};
use super::mask::Blocked;
use super::{ExecStatus, SpawnError, SpawnSpec, Spawned, Status, Step, decode_report};
use crate::types::Pid;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::wait::waitpid;
use nix::unistd::dup3;
use std::ffi::{c_int, c_uint, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::Ordering;

/// The child's stack; it needs about a tenth.
const STACK_BYTES: usize = 64 * 1024;
/// Room below the stack that faults: more than a page on every machine.
const GUARD_BYTES: usize = 64 * 1024;

/// What is kept from one start to the next.
#[derive(Debug)]
pub(super) struct Quick {
    stack: Stack,
    null: OwnedFd,
    /// For 0, 1, 2 and the journal.
    places: [OwnedFd; 4],
    /// Whether a child may have our table of descriptors until it takes its copy.
    shares_table: bool,
}

/// Why there is no process.
#[derive(Debug)]
pub(super) enum Error {
    /// It cannot be made this way here, but perhaps another way.
    Refused,
    /// The kernel has no room for one.
    Failed(SpawnError),
}

impl Quick {
    pub(super) fn new() -> io::Result<Self> {
        let null = OwnedFd::from(File::options().read(true).write(true).open("/dev/null")?);
        Ok(Self {
            stack: Stack::new()?,
            places: [place(&null)?, place(&null)?, place(&null)?, place(&null)?],
            null,
            shares_table: true,
        })
    }

    /// As [`super::Spawner::spawn`]. The status is settled.
    pub(super) fn spawn(
        &mut self,
        spec: &SpawnSpec<'_>,
        clock: &mut BirthClock,
        changed_signals: &[c_int],
    ) -> Result<Spawned, Error> {
        let told = Told::default();
        let mut plan = Plan::new(spec, Report::Memory(&told));
        plan.changed_signals = changed_signals;
        if self.shares_table {
            self.occupy(spec, &mut plan)
                .map_err(|errno| Error::Failed(Step::Descriptors.failed()(errno)))?;
        }
        let begin = birth::now();
        plan.birth = clock.begin();
        let made = self.clone_with(&mut plan);
        if self.shares_table {
            self.vacate();
        }
        let pid = made.map_err(|errno| {
            if [Errno::EAGAIN, Errno::ENOMEM].contains(&errno) {
                Error::Failed(Step::Fork.failed()(errno))
            } else {
                Error::Refused
            }
        })?;
        let status = match told.report.load(Ordering::Acquire) {
            0 => ExecStatus::Executed,
            report => decode_report(report),
        };
        if matches!(
            status,
            ExecStatus::Failed {
                step: Step::Fork,
                ..
            }
        ) {
            // It got no table of its own, and did nothing else.
            collect(pid);
            self.shares_table = false;
            return self.spawn(spec, clock, changed_signals);
        }
        let ticks = told.ticks.load(Ordering::Acquire);
        clock.compare(begin, ticks);
        Ok(Spawned {
            pid,
            ticks,
            status: Status::Settled(status),
        })
    }

    fn clone_with(&self, plan: &mut Plan<'_>) -> Result<Pid, Errno> {
        let table = if self.shares_table {
            libc::CLONE_FILES
        } else {
            0
        };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD | table;
        let _blocked = Blocked::everything();
        // SAFETY: the stack is large enough and used by nobody else: the call returns when the child has left this memory.
        // Until then the child alone uses the plan, and keeps to async-signal-safe calls.
        let pid =
            unsafe { libc::clone(enter, self.stack.top(), flags, ptr::from_mut(plan).cast()) };
        Pid::new(Errno::result(pid)?).ok_or(Errno::ESRCH)
    }

    /// Brings what the child needs to its places and plans with those.
    fn occupy(&mut self, spec: &SpawnSpec<'_>, plan: &mut Plan<'_>) -> Result<(), Errno> {
        let journal = spec.journal.map(|journal| journal.file);
        let sources = [
            Some(spec.stdin),
            Some(spec.stdout),
            Some(spec.stderr),
            journal,
        ];
        let mut highest = 0;
        for (place, source) in self.places.iter_mut().zip(sources) {
            highest = highest.max(place.as_raw_fd());
            if let Some(source) = source {
                dup3(source, place, OFlag::O_CLOEXEC)?;
            }
        }
        let [stdin, stdout, stderr, log] = &self.places;
        plan.standard = [stdin, stdout, stderr].map(AsRawFd::as_raw_fd);
        if journal.is_some() {
            plan.journal = log.as_raw_fd();
        }
        plan.shared_table = c_uint::try_from(highest + 1).ok();
        Ok(())
    }

    fn vacate(&mut self) {
        for place in &mut self.places {
            let vacated = dup3(&self.null, place, OFlag::O_CLOEXEC);
            debug_assert!(vacated.is_ok(), "both are open");
        }
    }
}

/// The lowest descriptor that is free, above the standard ones.
fn place(null: &OwnedFd) -> io::Result<OwnedFd> {
    let number = fcntl(null, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: it was made a moment ago and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn collect(pid: Pid) {
    let pid = nix::unistd::Pid::from_raw(pid.as_raw());
    while waitpid(pid, None) == Err(Errno::EINTR) {}
}

/// Where the child begins. Its parent's frames are not on this stack, so it must not return.
extern "C" fn enter(plan: *mut c_void) -> c_int {
    // SAFETY: `clone_with` passes a plan that lives until its call returns and that nobody else uses until then.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    child::run(plan)
}

/// Memory for a stack, and below it some that nobody may touch.
#[derive(Debug)]
struct Stack {
    base: *mut c_void,
}

impl Stack {
    fn new() -> io::Result<Self> {
        // SAFETY: asks for new memory wherever there is room.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                GUARD_BYTES + STACK_BYTES,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self { base };
        let upper = base.wrapping_byte_add(GUARD_BYTES);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the upper part of the mapping made above.
        let changed = unsafe { libc::mprotect(upper, STACK_BYTES, access) };
        Errno::result(changed)?;
        Ok(stack)
    }

    /// Stacks grow down on every machine that Rust's standard library runs on with Linux.
    fn top(&self) -> *mut c_void {
        self.base.wrapping_byte_add(GUARD_BYTES + STACK_BYTES)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, which no child uses any more.
        unsafe { libc::munmap(self.base, GUARD_BYTES + STACK_BYTES) };
    }
}
