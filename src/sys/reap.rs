//! Learns that children have ended, and frees them. The only place that waits.
//!
//! Learning and freeing are two calls: until [`collect`] the pid still belongs to the dead child, so that signals to
//! its process group cannot hit a stranger.

use crate::types::{ExitStatus, Pid, Signal};
use nix::errno::Errno;
use std::mem::MaybeUninit;

/// A child that has ended and is not collected yet; `None` when there is none now. The same one is named again until it
/// is collected. It may be an orphan that was handed to this process.
pub fn peek() -> Option<(Pid, ExitStatus)> {
    wait(libc::P_ALL, 0, libc::WNOWAIT)
}

/// How this child ended, without freeing it; `None` while it lives, or when it is no child of ours.
pub fn peek_at(pid: Pid) -> Option<ExitStatus> {
    let id = libc::id_t::try_from(pid.as_raw()).ok()?;
    wait(libc::P_PID, id, libc::WNOWAIT).map(|(_, status)| status)
}

/// Frees a child that has ended, and with it its pid. `None`, and nothing is freed, while it lives.
pub fn collect(pid: Pid) -> Option<ExitStatus> {
    let id = libc::id_t::try_from(pid.as_raw()).ok()?;
    wait(libc::P_PID, id, 0).map(|(_, status)| status)
}

/// Whether there is a child, ended or not.
pub fn has_children() -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: writes at most one record, into the local one.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    Errno::result(result) != Err(Errno::ECHILD)
}

fn wait(kind: libc::idtype_t, id: libc::id_t, keep: libc::c_int) -> Option<(Pid, ExitStatus)> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: writes at most one record, into the local one.
        let result = unsafe {
            libc::waitid(
                kind,
                id,
                info.as_mut_ptr(),
                libc::WEXITED | libc::WNOHANG | keep,
            )
        };
        match Errno::result(result) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            // No children at all.
            Err(_) => return None,
        }
    }
    // SAFETY: all bytes were zero before the kernel filled some in, and any bytes make a valid record of numbers.
    let info = unsafe { info.assume_init() };
    // SAFETY: the record is that of a wait, or zero.
    let pid = unsafe { info.si_pid() };
    // SAFETY: the record is that of a wait, or zero.
    let status = unsafe { info.si_status() };
    Some((Pid::new(pid)?, exit_status(info.si_code, status)))
}

/// What a status of `wait`, as the kernel keeps it, says.
pub(super) fn exit_status_of_wait(status: libc::c_int) -> ExitStatus {
    const CORE: libc::c_int = 0x80;
    let signal = status & 0x7f;
    match signal {
        0 => exit_status(libc::CLD_EXITED, (status >> 8) & 0xff),
        _ if status & CORE != 0 => exit_status(libc::CLD_DUMPED, signal),
        _ => exit_status(libc::CLD_KILLED, signal),
    }
}

fn exit_status(code: libc::c_int, status: libc::c_int) -> ExitStatus {
    match Signal::from_number(status) {
        Some(signal) if code == libc::CLD_KILLED || code == libc::CLD_DUMPED => {
            ExitStatus::Signaled {
                signal,
                core_dumped: code == libc::CLD_DUMPED,
            }
        }
        // Signals 32 and 33 have no place in our words; like a shell, and never as success.
        None if code != libc::CLD_EXITED => {
            ExitStatus::Code(u8::try_from(128 + (status & 0x7f)).unwrap_or(u8::MAX))
        }
        _ => ExitStatus::Code(u8::try_from(status & 0xff).unwrap_or(u8::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::kill;
    use crate::sys::testing::{await_end, fork_child, in_fork};
    use std::collections::BTreeMap;

    #[test]
    fn exit_codes_and_signals_are_told_apart() {
        for code in [0, 1, 127, 255] {
            let pid = fork_child(|| code);
            assert_eq!(
                await_end(pid),
                ExitStatus::Code(u8::try_from(code).unwrap())
            );
            assert_eq!(
                collect(pid),
                Some(ExitStatus::Code(u8::try_from(code).unwrap()))
            );
            assert_eq!(collect(pid), None, "collected twice");
        }
        // A real-time signal among them: libraries that know only 31 names fail on its status.
        for number in [libc::SIGKILL, libc::SIGTERM, 34, 64] {
            let signal = Signal::from_number(number).unwrap();
            let pid = fork_child(|| {
                loop {
                    nix::unistd::pause();
                }
            });
            assert_eq!(peek_at(pid), None);
            assert_eq!(collect(pid), None, "alive");
            kill::process(pid, signal).unwrap();
            let status = ExitStatus::Signaled {
                signal,
                core_dumped: false,
            };
            assert_eq!(await_end(pid), status);
            assert_eq!(peek_at(pid), Some(status), "not freed by looking");
            assert_eq!(collect(pid), Some(status));
        }
    }

    #[test]
    fn statuses_of_every_kind() {
        let abort = Signal::from_number(libc::SIGABRT).unwrap();
        for (code, status, expected) in [
            (libc::CLD_EXITED, 9, ExitStatus::Code(9)),
            (
                libc::CLD_KILLED,
                9,
                ExitStatus::Signaled {
                    signal: Signal::KILL,
                    core_dumped: false,
                },
            ),
            (
                libc::CLD_DUMPED,
                libc::SIGABRT,
                ExitStatus::Signaled {
                    signal: abort,
                    core_dumped: true,
                },
            ),
            (libc::CLD_KILLED, 32, ExitStatus::Code(160)),
        ] {
            assert_eq!(exit_status(code, status), expected, "{code} {status}");
        }
    }

    #[test]
    fn peek_names_every_ended_child_until_none_is_left() {
        in_fork(|| {
            let mut expected: BTreeMap<_, _> = (0..5_u8)
                .map(|code| (fork_child(|| i32::from(code)), ExitStatus::Code(code)))
                .collect();
            for &pid in expected.keys() {
                await_end(pid);
            }
            while let Some((pid, status)) = peek() {
                if peek() != Some((pid, status)) {
                    return Err("looking twice gives two answers".into());
                }
                if expected.remove(&pid) != Some(status) || collect(pid) != Some(status) {
                    return Err(format!("{pid}: {status}"));
                }
            }
            if expected.is_empty() {
                Ok(())
            } else {
                Err(format!("not named: {expected:?}"))
            }
        });
    }
}
