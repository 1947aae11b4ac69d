//! A handle on a process that is not a child: it can be signalled, and its end noticed, without its number.
//!
//! The handle means the process it was opened for, whoever gets the number afterwards. So a process is proved once: open,
//! then compare the start time. Where the kernel has no handles (before 5.3) nothing can be adopted.

use super::proc;
use super::reap::exit_status_of_wait;
use crate::types::{ExitStatus, Pid, Signal};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Signals the process group that the process leads or led, and nobody else even when its number is used again (6.9).
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
/// `_IOWR(0xFF, 11, struct pidfd_info)`, of 64 bytes; a kernel that spells it otherwise refuses it.
const GET_INFO: libc::Ioctl = 0xc040_ff0b;
/// Asks for how a process ended (6.15).
const INFO_EXIT: u64 = 1 << 3;

/// A process, proved to be the one that was meant.
#[derive(Debug)]
pub struct PidFd {
    pid: Pid,
    start_ticks: u64,
    descriptor: OwnedFd,
}

/// The first 64 bytes of the kernel's `struct pidfd_info`, which every version since 6.13 fills in as far as it can.
#[repr(C)]
#[derive(Debug, Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

impl PidFd {
    /// Opens the process with this pid and start time, if it lives.
    ///
    /// # Errors
    /// `ESRCH` when there is no such process any more, else the kernel's reason why it gives no handle.
    pub fn open(pid: Pid, start_ticks: u64) -> Result<Self, Errno> {
        // SAFETY: takes two numbers.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
        let number = i32::try_from(Errno::result(number)?).map_err(|_| Errno::EBADF)?;
        // SAFETY: the kernel has just made the descriptor, and nobody else knows it. It is closed by `execve`.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        let opened = Self {
            pid,
            start_ticks,
            descriptor,
        };
        // Looked at afterwards: if it is the right one now, it was when the handle was opened.
        if proc::survives(pid, start_ticks) {
            Ok(opened)
        } else {
            Err(Errno::ESRCH)
        }
    }

    /// The handle that an earlier image of this process opened.
    pub fn inherit(pid: Pid, start_ticks: u64, descriptor: OwnedFd) -> Self {
        Self {
            pid,
            start_ticks,
            descriptor,
        }
    }

    /// Its number, while it is not reaped.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// When it started, in clock ticks since boot.
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        self.send(signal.number(), 0)
    }

    /// Sends a signal to every member of the process group that it leads or led.
    pub fn signal_group(&self, signal: Signal) -> Result<(), Errno> {
        match self.send(signal.number(), SIGNAL_PROCESS_GROUP) {
            // An older kernel. Its number, and with it that of its group, is its own while it is there.
            Err(Errno::EINVAL) if self.holds_its_number() => super::kill::group(self.pid, signal),
            Err(Errno::EINVAL) => Err(Errno::ESRCH),
            result => result,
        }
    }

    /// Whether its process group has a member that lives.
    pub fn group_exists(&self) -> bool {
        match self.send(0, SIGNAL_PROCESS_GROUP) {
            Ok(()) => proc::group_lives(self.pid).unwrap_or(true),
            Err(Errno::ESRCH) => false,
            Err(Errno::EINVAL) => {
                self.holds_its_number() && proc::group_lives(self.pid).unwrap_or(false)
            }
            Err(_) => true,
        }
    }

    /// How it ended, as far as the kernel tells; asked when the handle has become readable. It tells us what it tells
    /// its parent while nobody has reaped it, and since 6.15 afterwards as well.
    pub fn exit_status(&self) -> ExitStatus {
        proc::status_of_zombie(self.pid, self.start_ticks)
            .or_else(|| self.exit_info())
            .unwrap_or(ExitStatus::Unknown)
    }

    fn exit_info(&self) -> Option<ExitStatus> {
        let mut info = Info {
            mask: INFO_EXIT,
            ..Info::default()
        };
        let number = self.descriptor.as_raw_fd();
        // SAFETY: the kernel writes at most the size that the request names, into the local record.
        let asked = unsafe { libc::ioctl(number, GET_INFO, &raw mut info) };
        Errno::result(asked).ok()?;
        (info.mask & INFO_EXIT != 0).then(|| exit_status_of_wait(info.exit_code))
    }

    /// Whether it is not reaped, so that its number is its own.
    fn holds_its_number(&self) -> bool {
        proc::start_ticks(self.pid) == Some(self.start_ticks)
    }

    fn send(&self, signal: i32, flags: libc::c_uint) -> Result<(), Errno> {
        let none = std::ptr::null::<libc::siginfo_t>();
        let number = self.descriptor.as_raw_fd();
        // SAFETY: takes numbers and no information about the sender.
        let sent =
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, number, signal, none, flags) };
        Errno::result(sent).map(drop)
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "a test says why it is skipped")]
mod tests {
    use super::*;
    use crate::sys::poller::{Interest, Poller};
    use crate::sys::testing::{await_end, fork_child, until};
    use crate::sys::{kill, reap};
    use std::time::Duration;

    fn sleeper() -> Pid {
        fork_child(|| {
            loop {
                nix::unistd::pause();
            }
        })
    }

    fn open(pid: Pid) -> PidFd {
        PidFd::open(pid, proc::start_ticks(pid).unwrap()).unwrap()
    }

    #[test]
    fn a_process_is_proved_signalled_and_its_end_noticed() {
        let pid = sleeper();
        let ticks = proc::start_ticks(pid).unwrap();
        assert_eq!(PidFd::open(pid, ticks + 1).err(), Some(Errno::ESRCH));
        let handle = open(pid);
        let poller = Poller::new().unwrap();
        poller.add(&handle, 1, Interest::READABLE).unwrap();
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty());
        handle.signal(Signal::TERM).unwrap();
        poller.wait(&mut ready, None).unwrap();
        assert!(ready[0].readable);
        let killed = ExitStatus::Signaled {
            signal: Signal::TERM,
            core_dumped: false,
        };
        assert_eq!(handle.exit_status(), killed, "as a zombie");
        reap::collect(pid).unwrap();
        assert_eq!(handle.signal(Signal::KILL), Err(Errno::ESRCH));
        let later = handle.exit_status();
        assert!([killed, ExitStatus::Unknown].contains(&later), "{later}");
        assert_eq!(PidFd::open(pid, ticks).err(), Some(Errno::ESRCH));
    }

    #[test]
    fn a_group_is_reached_through_the_leader_even_after_its_end() {
        let leader = sleeper();
        let raw = |pid: Pid| nix::unistd::Pid::from_raw(pid.as_raw());
        nix::unistd::setpgid(raw(leader), raw(leader)).unwrap();
        let member = sleeper();
        nix::unistd::setpgid(raw(member), raw(leader)).unwrap();
        let handle = open(leader);
        assert!(handle.group_exists());
        handle.signal(Signal::KILL).unwrap();
        await_end(leader);
        reap::collect(leader).unwrap();
        if handle.send(0, SIGNAL_PROCESS_GROUP) == Err(Errno::EINVAL) {
            eprintln!("skipped: this kernel cannot signal a group by its leader's handle");
            assert_eq!(handle.signal_group(Signal::KILL), Err(Errno::ESRCH));
            kill::process(member, Signal::KILL).unwrap();
        } else {
            assert!(handle.group_exists());
            handle.signal_group(Signal::KILL).unwrap();
        }
        await_end(member);
        reap::collect(member).unwrap();
        until("the group is gone", || !handle.group_exists());
        assert_eq!(handle.signal_group(Signal::KILL), Err(Errno::ESRCH));
    }

    #[test]
    fn the_kernel_tells_how_a_process_ended_that_somebody_else_reaped() {
        let (wait, go) = nix::unistd::pipe().unwrap();
        let pid = fork_child(|| nix::unistd::read(&wait, &mut [0]).map_or(1, |_| 9));
        let handle = open(pid);
        nix::unistd::write(&go, b"x").unwrap();
        await_end(pid);
        reap::collect(pid).unwrap();
        match handle.exit_info() {
            Some(status) => assert_eq!(status, ExitStatus::Code(9)),
            None => eprintln!("skipped: this kernel forgets how a process ended"),
        }
    }
}
