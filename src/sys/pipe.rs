//! Pipes between the daemon and a child, and within the daemon.
//!
//! The daemon's end never blocks, since the daemon has others to serve; the child's end always does, because a program
//! that finds its standard output non-blocking loses bytes without noticing. Both ends are closed by `execve`, so a
//! child keeps only what is put in place for it.
//!
//! Nothing here assumes a capacity: the kernel halves it, and worse, for a user with many pipes.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use std::io;
use std::os::fd::OwnedFd;

/// A pipe that a child writes to: the daemon's read end does not block, the child's write end does.
///
/// Returns the read end, then the write end.
pub fn output() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    set_nonblocking(&read)?;
    Ok((read, write))
}

/// A pipe that a child reads from: the child's read end blocks, the daemon's write end does not.
///
/// Returns the read end, then the write end.
pub fn input() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    set_nonblocking(&write)?;
    Ok((read, write))
}

/// A pipe between two threads of the daemon: neither end blocks.
///
/// Returns the read end, then the write end.
pub fn relay() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}

/// The flag belongs to one end only: the two ends are open file descriptions of their own.
fn set_nonblocking(fd: &OwnedFd) -> Result<(), Errno> {
    // A new pipe has no other flag that could be lost.
    fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::FdFlag;

    fn nonblocking(fd: &OwnedFd) -> bool {
        OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
    }

    fn closed_by_exec(fd: &OwnedFd) -> bool {
        FdFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFD).unwrap()).contains(FdFlag::FD_CLOEXEC)
    }

    #[test]
    fn only_the_daemons_end_is_non_blocking_and_both_are_closed_by_exec() {
        let (read, write) = output().unwrap();
        assert!(nonblocking(&read) && !nonblocking(&write));
        assert!(closed_by_exec(&read) && closed_by_exec(&write));
        let (read, write) = input().unwrap();
        assert!(!nonblocking(&read) && nonblocking(&write));
        assert!(closed_by_exec(&read) && closed_by_exec(&write));
        let (read, write) = relay().unwrap();
        assert!(nonblocking(&read) && nonblocking(&write));
        assert!(closed_by_exec(&read) && closed_by_exec(&write));
    }

    #[test]
    fn an_empty_output_pipe_and_a_full_input_pipe_say_so_at_once() {
        let (read, _write) = output().unwrap();
        assert_eq!(nix::unistd::read(&read, &mut [0; 8]), Err(Errno::EAGAIN));
        let (_read, write) = input().unwrap();
        let full =
            std::iter::repeat_with(|| nix::unistd::write(&write, &[0; 4096])).find_map(Result::err);
        assert_eq!(full, Some(Errno::EAGAIN));
    }
}
