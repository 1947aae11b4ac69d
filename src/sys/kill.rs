//! Sends signals. [`Pid`] cannot be 0 or negative, so that nothing here reaches all processes by accident.
//!
//! Only to be called for processes whose leader is not reaped: after that the number may be somebody else's.

use super::proc;
use crate::types::{Pid, Signal};
use nix::errno::Errno;

/// Sends a signal to one process.
pub fn process(pid: Pid, signal: Signal) -> Result<(), Errno> {
    send(pid.as_raw(), signal.number())
}

/// Sends a signal to every member of the process group that `leader` leads or led.
pub fn group(leader: Pid, signal: Signal) -> Result<(), Errno> {
    send(-leader.as_raw(), signal.number())
}

/// Whether a process group still has a member that lives. Ended members that nobody has reaped do not count: where
/// process 1 reaps nobody's orphans, they stay for ever.
pub fn group_exists(leader: Pid) -> bool {
    match send(-leader.as_raw(), 0) {
        Err(Errno::ESRCH) => false,
        // Somebody is there, though perhaps dead.
        Ok(()) => proc::group_lives(leader).unwrap_or(true),
        // Somebody is there who is not ours to signal; `/proc` may hide him from us.
        Err(_) => true,
    }
}

fn send(target: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: takes two numbers.
    Errno::result(unsafe { libc::kill(target, signal) }).map(drop)
}

/// Sends a signal to everything that may be signalled, but this process. Only process 1 has a right to that: all the
/// others are its own. `false` when nobody is left.
pub fn everyone(signal: Signal) -> bool {
    debug_assert!(super::identity::is_init(), "only process 1 may do this");
    super::identity::is_init() && send(-1, signal.number()) != Err(Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::reap;
    use crate::sys::testing::{await_end, fork_child, until};
    use crate::types::ExitStatus;
    use nix::unistd::{pause, setpgid};

    fn sleeper_in_group(group: Option<Pid>) -> Pid {
        let target = group.map_or(0, Pid::as_raw);
        let pid = fork_child(|| {
            loop {
                pause();
            }
        });
        let raw = nix::unistd::Pid::from_raw;
        setpgid(raw(pid.as_raw()), raw(target)).unwrap();
        pid
    }

    #[test]
    fn a_group_exists_as_long_as_a_member_lives() {
        let leader = sleeper_in_group(None);
        let member = sleeper_in_group(Some(leader));
        assert!(group_exists(leader));
        process(leader, Signal::KILL).unwrap();
        await_end(leader);
        assert!(group_exists(leader), "a member is left");
        group(leader, Signal::KILL).unwrap();
        await_end(member);
        assert!(!group_exists(leader), "only ended members are left");
        let killed = ExitStatus::Signaled {
            signal: Signal::KILL,
            core_dumped: false,
        };
        assert_eq!(reap::collect(leader), Some(killed));
        assert_eq!(reap::collect(member), Some(killed));
        until("the group is gone", || !group_exists(leader));
        assert_eq!(group(leader, Signal::KILL), Err(Errno::ESRCH));
    }
}
