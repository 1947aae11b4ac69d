//! Who is at the other end of a Unix socket, as the kernel saw it at the moment of the connection.

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd};

/// As many supplementary groups as Linux allows (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

/// The process that connected. The pid is for texts only: by now it may be somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// The process; 0 when it is in a process namespace that cannot be seen from here.
    pub pid: i32,
}

/// Asks the kernel about the peer of a connected stream. Works for both ends: a console asks about its server.
pub fn credentials(stream: &impl AsFd) -> Result<Peer, Errno> {
    let credentials = getsockopt(stream, PeerCredentials)?;
    Ok(Peer {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: credentials.pid(),
    })
}

/// Supplementary groups of the peer of a connected stream; none where the kernel cannot tell.
pub fn groups(stream: &impl AsFd) -> Vec<u32> {
    let mut groups: Vec<u32> = vec![0; GROUPS_MAX];
    let mut bytes =
        libc::socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(libc::socklen_t::MAX);
    // SAFETY: the kernel writes at most `bytes` bytes to `groups`, which has them, and the length to `bytes`.
    let failed = unsafe {
        libc::getsockopt(
            stream.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    } != 0;
    let count = if failed {
        0
    } else {
        bytes as usize / size_of::<u32>()
    };
    groups.truncate(count);
    // They are kept for as long as the connection lasts, and there may be a thousand of those.
    groups.shrink_to_fit();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::{getegid, geteuid, getpid};
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    #[test]
    fn both_ends_are_known() {
        let (one, other) = UnixStream::pair().unwrap();
        let expected = Peer {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            pid: getpid().as_raw(),
        };
        assert_eq!(credentials(&one), Ok(expected));
        assert_eq!(credentials(&other), Ok(expected));
        let own = groups(&one);
        assert!(own.capacity() < own.len() + 64, "{}", own.capacity());
        let file = File::open("/dev/null").unwrap();
        assert_eq!(credentials(&file), Err(Errno::ENOTSOCK));
    }
}
