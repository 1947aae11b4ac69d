//! Waiting for many descriptors at once: level-triggered epoll.
//!
//! Level-triggered means that what is not dealt with is reported again, so a handler may take a bounded piece of work
//! and leave the rest without losing it; the kernel moves what it reported to the end of its list, so nobody starves.
//! There are no timers here: the caller knows its next deadline and gives the time left.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Most descriptors that one [`Poller::wait`] reports; the others are reported by the next.
const BATCH: usize = 256;

/// What is to be reported about a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(EpollFlags);

impl Interest {
    /// That it can be read.
    pub const READABLE: Self = Self(EpollFlags::EPOLLIN);
    /// That it can be written.
    pub const WRITABLE: Self = Self(EpollFlags::EPOLLOUT);
    /// Either.
    pub const BOTH: Self = Self(EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT));
    /// Nothing, except a hang-up or an error: the kernel reports those of every descriptor it watches.
    pub const NONE: Self = Self(EpollFlags::empty());
}

/// A descriptor that has something to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The number it was added with.
    pub token: u64,
    /// A read would not block. The end of a pipe may show as `hangup` alone: read then, too.
    pub readable: bool,
    /// A write would not block.
    pub writable: bool,
    /// The other side is gone, or the descriptor is in error.
    pub hangup: bool,
}

/// A set of watched descriptors. A descriptor leaves the set by [`Poller::remove`], or when its last copy is closed.
#[derive(Debug)]
pub struct Poller {
    epoll: Epoll,
}

impl Poller {
    /// An empty set, closed by `execve`.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
        })
    }

    /// Watches `fd`. Regular files cannot be watched (`EPERM`): they are always ready.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(interest.0, token))?)
    }

    /// Changes what is reported about `fd`, or its token.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = EpollEvent::new(interest.0, token);
        Ok(self.epoll.modify(fd, &mut event)?)
    }

    /// Watches `fd` no more.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(fd)?)
    }

    /// Waits until something is ready or `timeout` is over, and puts what is ready into `ready`, which is emptied
    /// first. `None` waits without end.
    ///
    /// The timeout is rounded up to whole milliseconds: rounded down, a caller with a deadline would come back just
    /// before it and spin. An interrupting signal goes unnoticed.
    pub fn wait(&self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let mut events = [EpollEvent::empty(); BATCH];
        let deadline = timeout.and_then(|span| Instant::now().checked_add(span));
        let mut left = timeout;
        let count = loop {
            match self.epoll.wait(&mut events, milliseconds(left)) {
                Ok(count) => break count,
                Err(Errno::EINTR) => {
                    left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                }
                Err(errno) => return Err(errno.into()),
            }
        };
        ready.extend(events.iter().take(count).map(|event| {
            let flags = event.events();
            Ready {
                token: event.data(),
                readable: flags.contains(EpollFlags::EPOLLIN),
                writable: flags.contains(EpollFlags::EPOLLOUT),
                hangup: flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR),
            }
        }));
        Ok(())
    }
}

/// `None` waits without end; a span beyond what the kernel can count (24 days) is cut to that.
fn milliseconds(timeout: Option<Duration>) -> EpollTimeout {
    timeout.map_or(EpollTimeout::NONE, |span| {
        let up = span.as_nanos().div_ceil(1_000_000);
        EpollTimeout::try_from(up).unwrap_or(EpollTimeout::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::pipe;
    use nix::unistd::write;

    #[test]
    fn timeouts_are_rounded_up_and_never_become_endless() {
        for (span, expected) in [
            (Some(Duration::ZERO), 0),
            (Some(Duration::from_nanos(1)), 1),
            (Some(Duration::from_micros(999)), 1),
            (Some(Duration::from_millis(1)), 1),
            (Some(Duration::from_micros(1_001)), 2),
            (Some(Duration::from_mins(1)), 60_000),
            (Some(Duration::MAX), i32::MAX),
            (None, -1),
        ] {
            assert_eq!(i32::from(milliseconds(span)), expected, "{span:?}");
        }
    }

    #[test]
    fn a_wait_lasts_at_least_its_timeout() {
        let poller = Poller::new().unwrap();
        let mut ready = vec![Ready {
            token: 1,
            readable: true,
            writable: false,
            hangup: false,
        }];
        for micros in [100, 1_500, 2_900] {
            let span = Duration::from_micros(micros);
            let begin = Instant::now();
            poller.wait(&mut ready, Some(span)).unwrap();
            assert!(begin.elapsed() >= span);
            assert!(ready.is_empty());
        }
    }

    #[test]
    fn what_is_not_read_is_reported_again_and_a_hang_up_is_told_apart() {
        let poller = Poller::new().unwrap();
        let (read, end) = pipe::output().unwrap();
        poller.add(&read, 42, Interest::READABLE).unwrap();
        write(&end, b"x").unwrap();
        let mut ready = Vec::new();
        let expected = Ready {
            token: 42,
            readable: true,
            writable: false,
            hangup: false,
        };
        for _ in 0..2 {
            poller.wait(&mut ready, None).unwrap();
            assert_eq!(ready, [expected]);
        }
        nix::unistd::read(&read, &mut [0; 8]).unwrap();
        drop(end);
        poller.wait(&mut ready, None).unwrap();
        assert!(ready[0].hangup);
    }

    #[test]
    fn interest_can_be_changed_and_withdrawn() {
        let poller = Poller::new().unwrap();
        let (_read, end) = pipe::input().unwrap();
        let mut ready = Vec::new();
        let mut look = || {
            poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
            ready.first().copied()
        };
        poller.add(&end, 1, Interest::NONE).unwrap();
        assert_eq!(look(), None);
        poller.modify(&end, 2, Interest::BOTH).unwrap();
        assert!(look().is_some_and(|ready| ready.token == 2 && ready.writable));
        poller.remove(&end).unwrap();
        assert_eq!(look(), None);
        assert!(poller.remove(&end).is_err());
    }

    #[test]
    fn more_than_one_batch_is_reported_in_turns() {
        let poller = Poller::new().unwrap();
        let pipes: Vec<_> = (0..BATCH as u64 + 10)
            .map(|token| {
                let (read, end) = pipe::output().unwrap();
                poller.add(&read, token, Interest::READABLE).unwrap();
                write(&end, b"x").unwrap();
                (read, end)
            })
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        let mut ready = Vec::new();
        for _ in 0..2 {
            poller.wait(&mut ready, None).unwrap();
            seen.extend(ready.iter().map(|ready| ready.token));
        }
        assert_eq!(seen.len(), pipes.len());
    }
}
