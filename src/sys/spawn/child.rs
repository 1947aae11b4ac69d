//! What the new process does before it becomes its program.
//!
//! Until then any lock of the parent may be held for ever, and its memory may be the parent's. So: no allocation, no
//! lock, no formatting, no destructor that closes, no panic; only system calls on what [`Plan`] holds. It writes to its own
//! stack, to what the plan sets apart for it, and to the error number of the thread that made it, which sleeps meanwhile
//! or is another copy. Calls that the C library would forward to all threads (user, groups, limits), or from which
//! it would leave signals out (the mask), go to the kernel directly.
//!
//! An address in this file points into the caller's [`SpawnSpec`] or into the plan; both outlive the child's use of them.

use super::birth::Birth;
use super::{Identity, SpawnSpec, Step, encode_report, mask};
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, setsid};
use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(any(target_arch = "arm", target_arch = "x86")))]
use libc::{SYS_setgroups, SYS_setresgid, SYS_setresuid};
#[cfg(any(target_arch = "arm", target_arch = "x86"))]
use libc::{
    SYS_setgroups32 as SYS_setgroups, SYS_setresgid32 as SYS_setresgid,
    SYS_setresuid32 as SYS_setresuid,
};

type StepResult = Result<(), (Step, Errno)>;

/// Signals of Linux are 1 to 64.
const SIGNAL_MAX: c_int = 64;
/// Room for ` PID STARTTICKS\n`: two numbers of at most 20 digits.
const TAIL_BYTES: usize = 48;
/// Where descriptors without an end are searched for up to when the kernel cannot close them all at once.
const DESCRIPTORS_MAX: u64 = 1 << 20;
/// The exit status of a process that did not become its program.
const EXIT_NOT_EXECUTED: c_int = 127;

/// Where the outcome is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Report<'a> {
    /// Eight bytes into a pipe.
    Pipe(RawFd),
    /// In memory that the parent sees.
    Memory(&'a Told),
}

/// What a child tells through memory that the parent sees.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// A report (see [`encode_report`]), or 0.
    pub(super) report: AtomicU64,
    /// When it started, in clock ticks since boot, if it knows; else 0.
    pub(super) ticks: AtomicU64,
}

/// A [`SpawnSpec`] in the form in which the kernel takes it.
pub(super) struct Plan<'a> {
    program: &'a CStr,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    directory: Option<&'a CStr>,
    umask: Mode,
    identity: Option<PlannedIdentity<'a>>,
    limits: &'a [(Resource, u64, u64)],
    /// The sources of 0, 1 and 2.
    pub(super) standard: [RawFd; 3],
    /// Negative without one.
    pub(super) journal: RawFd,
    prefix: &'a [u8],
    report: Report<'a>,
    /// The table of descriptors is the parent's until the child takes a copy of the part below this number.
    pub(super) shared_table: Option<c_uint>,
    /// Signals to reset.
    pub(super) changed_signals: &'a [c_int],
    pub(super) birth: Birth,
}

struct PlannedIdentity<'a> {
    identity: &'a Identity,
    /// Room for as many groups as are wanted; a longer list is refused by the kernel.
    present: Vec<libc::gid_t>,
}

impl<'a> Plan<'a> {
    /// Does everything that allocates.
    pub(super) fn new(spec: &SpawnSpec<'a>, report: Report<'a>) -> Self {
        Self {
            program: spec.program,
            argv: pointers(spec.argv),
            envp: pointers(spec.envp),
            directory: spec.directory,
            umask: Mode::from_bits_truncate(spec.umask),
            identity: spec.identity.map(|identity| PlannedIdentity {
                identity,
                present: vec![0; identity.groups.len()],
            }),
            limits: spec.limits,
            standard: [
                spec.stdin.as_raw_fd(),
                spec.stdout.as_raw_fd(),
                spec.stderr.as_raw_fd(),
            ],
            journal: spec.journal.map_or(-1, |journal| journal.file.as_raw_fd()),
            prefix: spec.journal.map_or(&[], |journal| journal.prefix),
            report,
            shared_table: None,
            changed_signals: &[],
            birth: Birth::Unknown,
        }
    }
}

/// Addresses of the texts, ended by a null as the kernel wants it.
fn pointers(texts: &[CString]) -> Vec<*const c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

fn descriptor_limit() -> c_int {
    let hard = getrlimit(Resource::RLIMIT_NOFILE).map_or(RLIM_INFINITY, |(_, hard)| hard);
    c_int::try_from(hard.min(DESCRIPTORS_MAX)).unwrap_or(c_int::MAX)
}

/// The signals that are not at their default in this process.
pub(super) fn changed_signals() -> Vec<c_int> {
    (1..=SIGNAL_MAX)
        .filter(|&number| {
            // As the kernel lays it out everywhere: the handler, or a small number, comes first, or after four bytes of flags.
            let mut action = [0_u64; 8];
            // SAFETY: writes at most the array, which is more than as long as the answer on any architecture.
            let asked = unsafe {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    c_long::from(number),
                    ptr::null::<u64>(),
                    action.as_mut_ptr(),
                    size_of::<u64>(),
                )
            };
            asked == 0 && action != [0; 8]
        })
        .collect()
}

/// The child's whole life up to its program. Called with all signals blocked.
pub(super) fn run(plan: &mut Plan<'_>) -> ! {
    let Err((step, errno)) = become_program(plan);
    let report = encode_report(step, errno);
    match plan.report {
        Report::Memory(told) => told.report.store(report, Ordering::Release),
        Report::Pipe(pipe) => {
            let report = report.to_ne_bytes();
            // SAFETY: writes the bytes of a local array. Whether it succeeds changes nothing: the exit status tells as well.
            unsafe { libc::write(pipe, report.as_ptr().cast(), report.len()) };
        }
    }
    // SAFETY: ends the process at once, without the parent's exit handlers.
    unsafe { libc::_exit(EXIT_NOT_EXECUTED) }
}

fn become_program(plan: &mut Plan<'_>) -> Result<Infallible, (Step, Errno)> {
    if let Some(beyond) = plan.shared_table {
        leave_table(beyond).map_err(|errno| (Step::Fork, errno))?;
    }
    reset_dispositions(plan.changed_signals);
    setsid().map_err(|errno| (Step::Session, errno))?;
    place_descriptors(plan).map_err(|errno| (Step::Descriptors, errno))?;
    write_journal(plan);
    for limit in plan.limits {
        set_limit(limit).map_err(|errno| (Step::Limits, errno))?;
    }
    umask(plan.umask);
    if let Some(planned) = &mut plan.identity {
        become_user(planned)?;
    }
    if let Some(directory) = plan.directory {
        chdir(directory).map_err(|errno| (Step::Directory, errno))?;
    }
    mask::clear();
    // SAFETY: the path is a C string, both vectors end in a null and point to C strings that are still alive.
    unsafe {
        libc::execve(
            plan.program.as_ptr(),
            plan.argv.as_ptr(),
            plan.envp.as_ptr(),
        )
    };
    Err((Step::Exec, Errno::last()))
}

/// Takes a copy of the table of descriptors, of those below `beyond` only.
fn leave_table(beyond: c_uint) -> Result<(), Errno> {
    // SAFETY: closes nothing in the table that is shared, and what it closes in the copy has no owner in this process.
    let left = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            beyond,
            c_uint::MAX,
            libc::CLOSE_RANGE_UNSHARE,
        )
    };
    Errno::result(left).map(drop)
}

/// Sets signals to their defaults, those that the C library hides included.
fn reset_dispositions(changed: &[c_int]) {
    // All zero is "default action, no flags, empty mask" in the kernel's layout on every architecture, and more than
    // as long as any of them.
    let default = [0_u64; 8];
    for &number in changed {
        // SAFETY: reads at most the array, writes nothing.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                c_long::from(number),
                default.as_ptr(),
                ptr::null::<u64>(),
                size_of::<u64>(),
            )
        };
    }
}

fn set_limit(&(resource, soft, hard): &(Resource, u64, u64)) -> Result<(), Errno> {
    // The kernel's own form: 64 bits on every architecture, all set meaning without limit.
    let wanted = [soft, hard];
    // SAFETY: reads two numbers, writes nothing.
    let set = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0 as c_long,
            resource as c_long,
            wanted.as_ptr(),
            ptr::null::<u64>(),
        )
    };
    Errno::result(set).map(drop)
}

/// Puts the three standard descriptors in place and marks all others to be closed at execution.
fn place_descriptors(plan: &mut Plan<'_>) -> Result<(), Errno> {
    // A source below 3 would be overwritten by an earlier target, so all of them move up first.
    let pipe = match &mut plan.report {
        Report::Pipe(pipe) => Some(pipe),
        Report::Memory(_) => None,
    };
    for source in plan
        .standard
        .iter_mut()
        .chain([&mut plan.journal])
        .chain(pipe)
    {
        if (0..=2).contains(source) {
            // SAFETY: duplicates a descriptor number; the result belongs to this process alone.
            let lifted = unsafe { libc::fcntl(*source, libc::F_DUPFD_CLOEXEC, 3) };
            *source = Errno::result(lifted)?;
        }
    }
    for (target, &source) in (0..).zip(&plan.standard) {
        // SAFETY: the parent's owners of 0, 1 and 2 do not exist in this process.
        let placed = unsafe { libc::dup2(source, target) };
        Errno::result(placed)?;
    }
    // SAFETY: marks descriptors, closes none, so no owner is affected.
    let marked = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3 as c_uint,
            c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if marked == -1 {
        mark_one_by_one(descriptor_limit());
    }
    Ok(())
}

/// For kernels before 5.11, which cannot mark a range.
pub(super) fn mark_one_by_one(limit: c_int) {
    for number in 3..limit {
        // SAFETY: marks a descriptor or fails because there is none of this number.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Appends the line in a single write; nothing depends on its success (see `Journal`).
fn write_journal(plan: &Plan<'_>) {
    if plan.journal < 0 {
        return;
    }
    // SAFETY: takes nothing, cannot fail.
    let pid = unsafe { libc::getpid() };
    let ticks = plan.birth.ticks().unwrap_or_else(own_start_ticks);
    if let Report::Memory(told) = plan.report {
        told.ticks.store(ticks, Ordering::Release);
    }
    let mut tail = [0; TAIL_BYTES];
    let mut length = 0;
    for number in [u64::try_from(pid).unwrap_or(0), ticks] {
        length = push_byte(&mut tail, length, b' ');
        length = push_number(&mut tail, length, number);
    }
    length = push_byte(&mut tail, length, b'\n');
    let parts = [
        libc::iovec {
            iov_base: plan.prefix.as_ptr().cast_mut().cast(),
            iov_len: plan.prefix.len(),
        },
        libc::iovec {
            iov_base: tail.as_mut_ptr().cast(),
            iov_len: length,
        },
    ];
    // SAFETY: reads two pieces of memory, each as long as it says.
    unsafe { libc::writev(plan.journal, parts.as_ptr(), 2) };
}

fn push_byte(buffer: &mut [u8], at: usize, byte: u8) -> usize {
    match buffer.get_mut(at) {
        Some(place) => {
            *place = byte;
            at + 1
        }
        None => at,
    }
}

/// Writes a number in decimal; the formatting machinery may not be used here.
pub(super) fn push_number(buffer: &mut [u8], at: usize, number: u64) -> usize {
    let mut power = 1;
    while number / power >= 10 {
        power *= 10;
    }
    let mut at = at;
    while power > 0 {
        let digit = u8::try_from(number / power % 10).unwrap_or(0);
        at = push_byte(buffer, at, b'0' + digit);
        power /= 10;
    }
    at
}

/// When this process started, in clock ticks since boot; 0 when `/proc` does not tell.
fn own_start_ticks() -> u64 {
    // SAFETY: the path is a C string.
    let file = unsafe {
        libc::open(
            c"/proc/self/stat".as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    };
    if file < 0 {
        return 0;
    }
    let mut buffer = [0_u8; 1024];
    // SAFETY: writes at most the length of the local buffer.
    let count = unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
    // SAFETY: the descriptor was opened above and nobody else knows it.
    unsafe { libc::close(file) };
    usize::try_from(count)
        .ok()
        .and_then(|count| buffer.get(..count))
        .and_then(start_ticks_in)
        .unwrap_or(0)
}

/// Field 22 of a `stat` line. The second field holds a name that may contain anything, so fields count from its end.
pub(in crate::sys) fn start_ticks_in(stat: &[u8]) -> Option<u64> {
    /// Fields from the state (field 3) to the start time (field 22).
    const START_TIME: usize = 19;
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let field = stat
        .get(name_end + 1..)?
        .split(|&byte| byte == b' ')
        .filter(|field| !field.is_empty())
        .nth(START_TIME)?;
    field.iter().try_fold(0_u64, |number, &byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// Groups first, user last, because each needs the privilege that the next one gives up; then looks whether it is true.
fn become_user(planned: &mut PlannedIdentity<'_>) -> StepResult {
    let Identity { uid, gid, groups } = planned.identity;
    // SAFETY: passes the address and length of a list of group ids.
    let set = unsafe { libc::syscall(SYS_setgroups, groups.len(), groups.as_ptr()) };
    if set == -1 {
        let errno = Errno::last();
        // A daemon without privileges may name the user it already is, with exactly the groups it already has.
        if !has_groups(&mut planned.present, groups) {
            return Err((Step::Groups, errno));
        }
    }
    // SAFETY: takes three numbers.
    let set = unsafe { libc::syscall(SYS_setresgid, *gid, *gid, *gid) };
    Errno::result(set).map_err(|errno| (Step::GroupId, errno))?;
    // SAFETY: takes three numbers.
    let set = unsafe { libc::syscall(SYS_setresuid, *uid, *uid, *uid) };
    Errno::result(set).map_err(|errno| (Step::UserId, errno))?;
    verify_user(planned)
}

fn verify_user(planned: &mut PlannedIdentity<'_>) -> StepResult {
    let Identity { uid, gid, groups } = planned.identity;
    if !has_groups(&mut planned.present, groups) {
        return Err((Step::Groups, Errno::EPERM));
    }
    let (mut real, mut effective, mut saved) = (0, 0, 0);
    // SAFETY: writes three local numbers.
    let got = unsafe { libc::getresgid(&raw mut real, &raw mut effective, &raw mut saved) };
    if got == -1 || [real, effective, saved] != [*gid; 3] {
        return Err((Step::GroupId, Errno::EPERM));
    }
    // SAFETY: writes three local numbers.
    let got = unsafe { libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) };
    if got == -1 || [real, effective, saved] != [*uid; 3] {
        return Err((Step::UserId, Errno::EPERM));
    }
    if *uid != 0 {
        // SAFETY: takes three numbers.
        let regained = unsafe { libc::syscall(SYS_setresuid, 0, 0, 0) };
        if regained != -1 {
            return Err((Step::UserId, Errno::EPERM));
        }
    }
    Ok(())
}

/// Whether the process has exactly these supplementary groups, in whatever order. `room` is as long as `wanted`.
fn has_groups(room: &mut [libc::gid_t], wanted: &[u32]) -> bool {
    let Ok(capacity) = c_int::try_from(room.len()) else {
        return false;
    };
    // SAFETY: writes at most `capacity` group ids into the room that has as many.
    let count = unsafe { libc::getgroups(capacity, room.as_mut_ptr()) };
    let Some(present) = usize::try_from(count)
        .ok()
        .and_then(|count| room.get(..count))
    else {
        return false;
    };
    present.iter().all(|group| wanted.contains(group))
        && wanted.iter().all(|group| present.contains(group))
}
