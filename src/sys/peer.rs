//! Who is at the other end of a Unix socket, as the kernel saw it at the moment of the connection.

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::os::fd::AsFd;

/// The process that connected. The pid is for texts only: by now it may be somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let file = File::open("/dev/null").unwrap();
        assert_eq!(credentials(&file), Err(Errno::ENOTSOCK));
    }
}
