//! Pipes between the daemon and a child, and within the daemon.
//!
//! The daemon's end never blocks, since the daemon has others to serve; the child's end always does, because a program
//! that finds its standard output non-blocking loses bytes without noticing. Both ends are closed by `execve`, so a
//! child keeps only what is put in place for it.
//!
//! A child's end is open for reading and writing, so that the pipe lives as long as the child, whatever becomes of the
//! daemon: a child that writes meanwhile is never killed by SIGPIPE (it waits when the pipe is full), one that reads
//! sees no end of file, and the next daemon opens the very pipe again ([`reopen`]) and goes on at the very byte. The
//! daemon itself holds only its own end, so it still sees when the last writer is gone.
//!
//! Nothing here assumes a capacity: the kernel halves it, and worse, for a user with many pipes.

use super::proc;
use crate::types::Pid;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::pipe2;
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// A pipe that a child writes to: the daemon's read end does not block, the child's end does.
///
/// Returns the daemon's end, then the child's.
pub fn output() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = relay()?;
    Ok((read, for_child(write)?))
}

/// A pipe that a child reads from: the child's end blocks, the daemon's write end does not.
///
/// Returns the child's end, then the daemon's.
pub fn input() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = relay()?;
    Ok((for_child(read)?, write))
}

/// Opens the same pipe for reading and writing: an open file description of its own, which blocks. Where `/proc` is
/// missing, or somebody forbids it, the end stays what it was, but blocks: everything works but what depends on it
/// after the daemon's death.
fn for_child(end: OwnedFd) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", end.as_raw_fd());
    let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
    if let Ok(both_ways) = open(path.as_str(), flags, Mode::empty()) {
        return Ok(both_ways);
    }
    // A new pipe has no other flag that could be lost.
    fcntl(&end, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(end)
}

/// Names a pipe as long as somebody has it open; `None` for what is no pipe.
pub fn identity(end: impl AsFd) -> Option<u64> {
    let stat = fstat(end).ok()?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits());
    (kind == SFlag::S_IFIFO).then_some(stat.st_ino)
}

/// How many bytes wait in a pipe; whoever alone reads from it gets as many without waiting.
pub fn waiting(end: impl AsFd) -> Result<usize, Errno> {
    let mut count: c_int = 0;
    let number = end.as_fd().as_raw_fd();
    // SAFETY: the kernel writes one number, into the local one.
    let asked = unsafe { libc::ioctl(number, libc::FIONREAD, &raw mut count) };
    Errno::result(asked)?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Which end of a pipe is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// That of the daemon for what a child writes.
    Read,
    /// That of the daemon for what a child reads.
    Write,
}

/// Opens the daemon's end of the pipe that is called `identity` and that `holder`, or somebody of its process group,
/// still has open, first of all as descriptor `usual`. `None` when none of them has: then nobody ever writes to it, or
/// reads from it, again.
///
/// # Errors
/// When the descriptors of the holder may not be looked at, or the pipe not be opened.
pub fn reopen(holder: Pid, usual: i32, identity: u64, end: End) -> Result<Option<OwnedFd>, Errno> {
    let first = format!("/proc/{holder}/fd/{usual}");
    if let Some(found) = open_if(&first, identity, end)? {
        return Ok(Some(found));
    }
    for member in proc::group_members(holder) {
        let paths = match proc::descriptors(member) {
            Ok(paths) => paths,
            // It has ended just now, or has made itself inaccessible; the leader is who counts.
            Err(_) if member != holder => continue,
            Err(errno) => return Err(errno),
        };
        for path in paths {
            if proc::is_pipe(&path, identity)
                && let Ok(Some(found)) = open_if(&path, identity, end)
            {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn open_if(path: &str, wanted: u64, end: End) -> Result<Option<OwnedFd>, Errno> {
    // Opening anything else than the pipe could have effects, so the name is looked at first.
    if !proc::is_pipe(path, wanted) {
        return proc::may_look(path).map(|()| None);
    }
    let access = match end {
        End::Read => OFlag::O_RDONLY,
        End::Write => OFlag::O_WRONLY,
    };
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    match open(path, flags, Mode::empty()) {
        Ok(opened) if identity(&opened) == Some(wanted) => Ok(Some(opened)),
        // Another file has taken its place since.
        Ok(_) | Err(Errno::ENOENT | Errno::ENXIO) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A pipe between two threads of the daemon: neither end blocks.
///
/// Returns the read end, then the write end.
pub fn relay() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "a test says why it is skipped")]
mod tests {
    use super::*;
    use crate::sys::testing::{await_end, fork_child};
    use crate::sys::{kill, reap};
    use crate::types::Signal;
    use nix::fcntl::FdFlag;
    use nix::unistd::{dup2_stdin, dup2_stdout, read, write};

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

    /// A child that has the pipes as its standard streams and does nothing.
    fn holder(stdin: &OwnedFd, stdout: &OwnedFd) -> Pid {
        fork_child(|| {
            let placed = dup2_stdin(stdin).and_then(|()| dup2_stdout(stdout));
            while placed.is_ok() {
                nix::unistd::pause();
            }
            1
        })
    }

    fn end_of(pid: Pid) {
        kill::process(pid, Signal::KILL).unwrap();
        await_end(pid);
        reap::collect(pid).unwrap();
    }

    #[test]
    fn a_pipe_outlives_the_daemon_and_is_found_again_at_the_very_byte() {
        let (daemon_out, child_out) = output().unwrap();
        let (child_in, daemon_in) = input().unwrap();
        let names = [identity(&daemon_out), identity(&daemon_in)].map(Option::unwrap);
        assert_eq!(identity(&child_out), Some(names[0]));
        assert_eq!(identity(io::stdin().as_fd()), None);
        let child = holder(&child_in, &child_out);
        crate::sys::testing::until("the child has its pipes", || {
            proc::is_pipe(&format!("/proc/{child}/fd/1"), names[0])
        });
        write(&child_out, b"before").unwrap();
        drop((daemon_out, daemon_in, child_in));
        // Whoever holds it both ways writes on without a reader.
        write(&child_out, b" and after").unwrap();
        drop(child_out);
        let out = reopen(child, 1, names[0], End::Read).unwrap().unwrap();
        let mut buffer = [0; 64];
        let count = read(&out, &mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"before and after");
        assert_eq!(read(&out, &mut buffer), Err(Errno::EAGAIN));
        let input = reopen(child, 0, names[1], End::Write).unwrap().unwrap();
        write(&input, b"more").unwrap();
        // Wherever it is, it is found; what is somewhere else is not taken for it.
        assert!(reopen(child, 7, names[0], End::Read).unwrap().is_some());
        assert!(
            reopen(child, 1, names[1] + 1000, End::Read)
                .unwrap()
                .is_none()
        );
        end_of(child);
        assert_eq!(read(&out, &mut buffer), Ok(0), "the last writer is gone");
        let gone = reopen(child, 1, names[0], End::Read);
        assert_eq!(gone.err(), Some(Errno::ENOENT));
    }

    #[test]
    fn pipes_of_a_child_of_another_user_can_be_opened_again_by_root() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root has children of other users");
            return;
        }
        let (daemon_out, child_out) = output().unwrap();
        let name = identity(&daemon_out).unwrap();
        let child = fork_child(|| {
            let nobody = nix::unistd::Uid::from_raw(65_534);
            let changed = dup2_stdout(&child_out).and_then(|()| nix::unistd::setuid(nobody));
            while changed.is_ok() {
                nix::unistd::pause();
            }
            1
        });
        crate::sys::testing::until("the child has become another user", || {
            proc::uid_of(child) == Some(65_534)
        });
        drop((daemon_out, child_out));
        assert!(reopen(child, 1, name, End::Read).unwrap().is_some());
        end_of(child);
    }
}
