//! Ctrl-C as something to wait for, beside the socket, instead of the end of the process.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// While it lives, SIGINT makes [`Interrupts::as_fd`] readable and does nothing else.
///
/// The console has one thread; a signal could end the process through any other.
#[derive(Debug)]
pub enum Interrupts {
    /// The process's own.
    Signals {
        /// Readable when the signal came.
        descriptor: SignalFd,
        /// The mask to go back to.
        before: SigSet,
    },
    /// Readable when a test wants an interrupt.
    Given(OwnedFd),
}

impl Interrupts {
    /// Begins to listen.
    pub fn listen() -> nix::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        let descriptor =
            SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self::Signals { descriptor, before })
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Signals { descriptor, .. } => descriptor.as_fd(),
            Self::Given(descriptor) => descriptor.as_fd(),
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if let Self::Signals { descriptor, before } = self {
            // A signal that has been answered must not arrive when the mask goes back.
            while matches!(descriptor.read_signal(), Ok(Some(_))) {}
            // Fails only for a mask that is none.
            before.thread_set_mask().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    #[test]
    fn a_signal_is_heard_instead_of_ending_the_process() {
        let interrupts = Interrupts::listen().unwrap();
        let heard = || {
            let mut watched = [PollFd::new(interrupts.as_fd(), PollFlags::POLLIN)];
            poll(&mut watched, PollTimeout::ZERO).unwrap()
        };
        assert_eq!(heard(), 0);
        nix::sys::signal::raise(Signal::SIGINT).unwrap();
        assert_eq!(heard(), 1);
        // Unread, it would end the test as soon as the mask goes back.
        drop(interrupts);
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGINT));
    }
}
