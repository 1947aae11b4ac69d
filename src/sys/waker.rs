//! A bell that any thread can ring and one poller listens to.
//!
//! However often it is rung before somebody looks, it is one readiness: the queue it announces must be emptied whole.

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// An eventfd. Readable from [`Waker::wake`] until [`Waker::drain`].
#[derive(Debug)]
pub struct Waker {
    event: EventFd,
}

impl Waker {
    /// A silent one.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            event: EventFd::from_value_and_flags(0, flags)?,
        })
    }

    /// Makes it readable. Never blocks and has nothing to report: the only failure is a full counter, and then it is
    /// readable already.
    pub fn wake(&self) {
        while self.event.write(1) == Err(Errno::EINTR) {}
    }

    /// Makes it silent again. Call before looking at what it announces, never after, or a ring in between is lost.
    pub fn drain(&self) {
        while self.event.read() == Err(Errno::EINTR) {}
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poller::{Interest, Poller};
    use std::sync::Arc;
    use std::time::Duration;

    fn rings(poller: &Poller) -> bool {
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        !ready.is_empty()
    }

    #[test]
    fn many_rings_are_one_readiness_until_drained() {
        let waker = Waker::new().unwrap();
        let poller = Poller::new().unwrap();
        poller.add(&waker, 7, Interest::READABLE).unwrap();
        assert!(!rings(&poller));
        waker.drain();
        waker.wake();
        waker.wake();
        assert!(rings(&poller) && rings(&poller));
        waker.drain();
        assert!(!rings(&poller));
    }

    #[test]
    fn a_wait_without_end_is_ended_from_another_thread() {
        let waker = Arc::new(Waker::new().unwrap());
        let poller = Poller::new().unwrap();
        poller.add(&*waker, 7, Interest::READABLE).unwrap();
        let other = Arc::clone(&waker);
        let thread = std::thread::spawn(move || other.wake());
        let mut ready = Vec::new();
        poller.wait(&mut ready, None).unwrap();
        assert_eq!(ready[0].token, 7);
        thread.join().unwrap();
    }
}
