//! Who may talk to the daemon.
//!
//! Root and the daemon's own user always; the user that the socket was given to and others only as far as the configured
//! mode of the socket says so. The mode of the file itself does not count: somebody may have loosened it.

use crate::sys::peer::Peer;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The rule for this daemon's socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The daemon's effective user id.
    pub uid: u32,
    /// Owner of the socket, where it was given to another user.
    pub owner: u32,
    /// Group of the socket.
    pub gid: u32,
    /// Mode of the socket, as configured.
    pub mode: u32,
}

impl Access {
    /// The rule for the socket as it is, made with this mode; without a socket nobody connects.
    pub fn to(socket: Option<&Path>, mode: u32) -> io::Result<Self> {
        let uid = nix::unistd::geteuid().as_raw();
        let (owner, gid) = match socket {
            Some(socket) => {
                let metadata = std::fs::metadata(socket)?;
                (metadata.uid(), metadata.gid())
            }
            None => (uid, nix::unistd::getegid().as_raw()),
        };
        Ok(Self {
            uid,
            owner,
            gid,
            mode,
        })
    }

    /// Whether this peer, a member of `groups` too, may send requests.
    pub fn allows(&self, peer: &Peer, groups: &[u32]) -> bool {
        const OWNER_WRITE: u32 = 0o200;
        const GROUP_WRITE: u32 = 0o020;
        const OTHERS_WRITE: u32 = 0o002;
        peer.uid == 0
            || peer.uid == self.uid
            || (self.mode & OWNER_WRITE != 0 && peer.uid == self.owner)
            || self.mode & OTHERS_WRITE != 0
            || (self.mode & GROUP_WRITE != 0
                && (peer.gid == self.gid || groups.contains(&self.gid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_need_a_mode_that_lets_them_in() {
        let peer = |uid, gid, groups: &[u32]| (Peer { uid, gid, pid: 1 }, groups.to_vec());
        let rule = |mode| Access {
            uid: 1000,
            owner: 77,
            gid: 50,
            mode,
        };
        for (mode, (peer, groups), expected) in [
            (0o700, peer(0, 0, &[]), true),
            (0o700, peer(1000, 1000, &[]), true),
            (0o700, peer(1001, 50, &[50]), false),
            (0o770, peer(1001, 50, &[]), true),
            (0o770, peer(1001, 7, &[8, 50]), true),
            (0o770, peer(1001, 7, &[8]), false),
            (0o777, peer(65534, 65534, &[]), true),
            (0o700, peer(77, 7, &[]), true),
            (0o070, peer(77, 7, &[]), false),
        ] {
            assert_eq!(
                rule(mode).allows(&peer, &groups),
                expected,
                "{mode:o} {peer:?}"
            );
        }
    }
}
