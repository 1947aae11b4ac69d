//! Signals of the daemon, as readable data instead of interruptions.
//!
//! [`SignalSource::block_and_listen`] is called before anything else happens and before any thread exists, because
//! threads inherit the mask. Afterwards every signal is of one of three kinds:
//! * listened to: blocked, default action, read from the source. A blocked signal is queued even where the caller of the
//!   daemon ignored it (`nohup`) and even in process 1, for which the kernel drops signals without a handler;
//! * faults (SEGV, BUS, FPE, ILL, TRAP, ABRT, SYS): left alone, so that they end the process as they should;
//! * all others: ignored and not blocked, so that they vanish at once instead of filling the kernel's queue.
//!
//! Children are not affected: [`super::spawn`] resets mask and actions. A source reads the signals of the process that
//! reads it, but a poller watches those of the process that registered it: register it after the last fork.

use crate::types::{Pid, Signal};
use nix::errno::Errno;

use nix::sys::signal::Signal::SIGCHLD;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, pthread_sigmask, sigaction,
};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

/// Whether whoever started this process wants a signal to be ignored, as `nohup` does. Only an answer before
/// [`SignalSource::block_and_listen`] tells that; where `/proc` is missing, nobody does.
pub fn is_ignored(signal: Signal) -> bool {
    let bit = u32::try_from(signal.number() - 1).unwrap_or(u32::MAX);
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .and_then(|mask| mask.checked_shr(bit))
        .is_some_and(|mask| mask & 1 == 1)
}

/// Signals that tell of a fault in this process.
const FAULTS: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGSYS,
];

/// Signals whose action cannot be set.
const UNCATCHABLE: [libc::c_int; 2] = [libc::SIGKILL, libc::SIGSTOP];

/// Where listened signals are read. Closed when the program is executed anew; what is pending then stays pending.
#[derive(Debug)]
pub struct SignalSource {
    descriptor: SignalFd,
}

impl SignalSource {
    /// Takes over all signals: those of `listened` will be read from the source, all others do no harm.
    pub fn block_and_listen(listened: &[Signal]) -> Result<Self, Errno> {
        // All at once first: none may act while the actions are set one by one.
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
        for number in (1..=64).filter_map(Signal::from_number).map(Signal::number) {
            if FAULTS.contains(&number) || UNCATCHABLE.contains(&number) {
                continue;
            }
            if number == libc::SIGCHLD {
                listen_to_ends()?;
                continue;
            }
            let is_listened = listened.iter().any(|signal| signal.number() == number);
            let action = if is_listened {
                libc::SIG_DFL
            } else {
                libc::SIG_IGN
            };
            // SAFETY: both actions are the kernel's own; no handler of ours runs.
            if unsafe { libc::signal(number, action) } == libc::SIG_ERR {
                return Err(Errno::last());
            }
        }
        let set = signal_set(listened)?;
        let descriptor =
            SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        set.thread_set_mask()?;
        Ok(Self { descriptor })
    }

    /// All signals that have arrived since the last call, none twice in a row of the same kind. Never blocks.
    pub fn read(&self) -> Vec<Arrived> {
        let mut arrived = Vec::new();
        loop {
            match self.descriptor.read_signal() {
                Ok(Some(info)) => arrived.extend(Arrived::from_kernel(&info)),
                Err(Errno::EINTR) => {}
                Ok(None) | Err(_) => return arrived,
            }
        }
    }
}

/// A signal, and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// Which.
    pub signal: Signal,
    /// The process that sent it; `None` for the kernel itself and for who lives where this process cannot see.
    pub sender: Option<Sender>,
}

/// The sender of a signal, as the kernel names it. By now its number may belong to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// Its process id.
    pub pid: Pid,
    /// Its real user id.
    pub uid: u32,
}

impl Arrived {
    fn from_kernel(info: &siginfo) -> Option<Self> {
        let signal = Signal::from_number(i32::try_from(info.ssi_signo).ok()?)?;
        let by_process = [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL].contains(&info.ssi_code);
        let pid = i32::try_from(info.ssi_pid).ok().and_then(Pid::new);
        Some(Self {
            signal,
            sender: pid.filter(|_| by_process).map(|pid| Sender {
                pid,
                uid: info.ssi_uid,
            }),
        })
    }
}

/// Lets the child signal tell of ends and of nothing else: a child that stops and continues itself in a loop would wake
/// this process each time. Ignored, the signal would make ended children vanish before their status is read.
fn listen_to_ends() -> Result<(), Errno> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::SA_NOCLDSTOP, SigSet::empty());
    // SAFETY: the action is the kernel's own; no handler of ours runs.
    unsafe { sigaction(SIGCHLD, &action) }.map(drop)
}

impl AsFd for SignalSource {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn signal_set(signals: &[Signal]) -> Result<SigSet, Errno> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: initialises the local set.
    Errno::result(unsafe { libc::sigemptyset(set.as_mut_ptr()) })?;
    for signal in signals {
        // SAFETY: the set was initialised above.
        Errno::result(unsafe { libc::sigaddset(set.as_mut_ptr(), signal.number()) })?;
    }
    // SAFETY: the set was initialised above.
    let set = unsafe { set.assume_init() };
    // SAFETY: the set is one that the C library made.
    Ok(unsafe { SigSet::from_sigset_t_unchecked(set) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::kill;
    use crate::sys::reap;
    use crate::sys::testing::{await_end, fork_child, in_fork};
    use crate::types::{ExitStatus, Pid};
    use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::wait::{Id, WaitPidFlag, waitid};

    fn signal(number: i32) -> Signal {
        Signal::from_number(number).unwrap()
    }

    fn listened() -> Vec<Signal> {
        [1, 2, 3, 12, 15, 17, 40].map(signal).to_vec()
    }

    fn kinds(arrived: &[Arrived]) -> Vec<Signal> {
        arrived.iter().map(|arrived| arrived.signal).collect()
    }

    fn own_pid() -> Result<Pid, String> {
        Pid::new(nix::unistd::getpid().as_raw()).ok_or_else(|| "no pid".to_owned())
    }

    fn ignore_all() {
        for number in 1..=64 {
            // SAFETY: no handler of ours runs.
            unsafe { libc::signal(number, libc::SIG_IGN) };
        }
    }

    #[test]
    fn what_the_caller_ignores_is_known() {
        in_fork(|| {
            ignore_all();
            // SAFETY: no handler of ours runs.
            unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
            let ignored = [1, 2, 15, 64].map(|number| is_ignored(signal(number)));
            if ignored == [false, true, true, true] {
                Ok(())
            } else {
                Err(format!("{ignored:?}"))
            }
        });
    }

    #[test]
    fn listened_signals_are_read_and_others_do_no_harm() {
        let listened = listened();
        in_fork(|| {
            ignore_all();
            let source = SignalSource::block_and_listen(&listened).map_err(|e| e.to_string())?;
            if !source.read().is_empty() {
                return Err("a signal that nobody sent".into());
            }
            let pid = own_pid()?;
            let harmless = (1..=64).filter_map(Signal::from_number).filter(|signal| {
                !FAULTS.contains(&signal.number()) && !UNCATCHABLE.contains(&signal.number())
            });
            for signal in harmless {
                kill::process(pid, signal).map_err(|e| format!("{signal}: {e}"))?;
            }
            let mut expected = listened.clone();
            let arrived = source.read();
            let own = Sender {
                pid,
                uid: nix::unistd::getuid().as_raw(),
            };
            if arrived.iter().any(|arrived| arrived.sender != Some(own)) {
                return Err(format!("not sent by {own:?}: {arrived:?}"));
            }
            let mut arrived = kinds(&arrived);
            expected.sort_unstable();
            arrived.sort_unstable();
            if arrived != expected {
                return Err(format!("{arrived:?}"));
            }
            // The read empties it, and what is not listened to does not even wake a poller.
            let mut poll_fd = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
            kill::process(pid, listened[0]).map_err(|e| e.to_string())?;
            let woken = poll(&mut poll_fd, PollTimeout::ZERO).map_err(|e| e.to_string())?;
            let again = kinds(&source.read());
            let empty = poll(&mut poll_fd, PollTimeout::ZERO).map_err(|e| e.to_string())?;
            if (woken, empty) == (1, 0) && again == [listened[0]] {
                Ok(())
            } else {
                Err(format!("{woken} {again:?} {empty}"))
            }
        });
    }

    #[test]
    fn ended_children_are_kept_even_when_the_caller_ignored_them() {
        for listened in [listened(), vec![Signal::TERM]] {
            in_fork(|| {
                ignore_all();
                let source =
                    SignalSource::block_and_listen(&listened).map_err(|e| e.to_string())?;
                let pid = fork_child(|| 7);
                let status = await_end(pid);
                let arrived = kinds(&source.read());
                let told = arrived == [signal(libc::SIGCHLD)];
                if status == ExitStatus::Code(7)
                    && told == listened.contains(&signal(libc::SIGCHLD))
                    && reap::collect(pid) == Some(status)
                {
                    Ok(())
                } else {
                    Err(format!("{status:?} {arrived:?}"))
                }
            });
        }
    }

    #[test]
    fn children_that_stop_and_go_on_are_not_told() {
        let listened = listened();
        in_fork(|| {
            let source = SignalSource::block_and_listen(&listened).map_err(|e| e.to_string())?;
            let pid = fork_child(|| {
                loop {
                    nix::unistd::pause();
                }
            });
            let child = nix::unistd::Pid::from_raw(pid.as_raw());
            let send = |number| kill::process(pid, signal(number)).map_err(|e| e.to_string());
            send(libc::SIGSTOP)?;
            let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WNOWAIT;
            waitid(Id::Pid(child), flags).map_err(|e| e.to_string())?;
            let stopped = source.read();
            send(libc::SIGKILL)?;
            await_end(pid);
            let ended = kinds(&source.read());
            if stopped.is_empty() && ended == [signal(libc::SIGCHLD)] {
                Ok(())
            } else {
                Err(format!("{stopped:?} {ended:?}"))
            }
        });
    }

    #[test]
    fn faults_still_end_the_process() {
        let listened = listened();
        for number in FAULTS {
            let pid = fork_child(|| {
                let source = SignalSource::block_and_listen(&listened);
                // The runtime has a handler of its own for some, which this test is not about.
                // SAFETY: no handler of ours runs.
                unsafe { libc::signal(number, libc::SIG_DFL) };
                let sent = own_pid().map(|pid| kill::process(pid, signal(number)));
                i32::from(source.is_err() || sent.is_err())
            });
            let status = await_end(pid);
            assert_eq!(reap::collect(pid), Some(status));
            assert!(
                matches!(status, ExitStatus::Signaled { signal, .. } if signal.number() == number),
                "{number}: {status}"
            );
        }
    }

    #[test]
    fn the_source_is_closed_on_execution_and_does_not_block() {
        let listened = listened();
        in_fork(|| {
            let source = SignalSource::block_and_listen(&listened).map_err(|e| e.to_string())?;
            let flags = fcntl(&source, FcntlArg::F_GETFD).map_err(|e| e.to_string())?;
            let status = fcntl(&source, FcntlArg::F_GETFL).map_err(|e| e.to_string())?;
            let closes = FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC);
            let returns = OFlag::from_bits_truncate(status).contains(OFlag::O_NONBLOCK);
            if closes && returns {
                Ok(())
            } else {
                Err(format!("{closes} {returns}"))
            }
        });
    }
}
