//! Gives up the daemon's privileges for good, and makes sure that they are gone.
//!
//! Of the whole process, before any thread exists. Children have their own way ([`super::spawn`]).

use nix::errno::Errno;
use nix::unistd::{
    Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid, setuid,
};

/// Why the process is not the user it should be. It must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The supplementary groups could not be set.
    #[error("cannot set the supplementary groups: {}; start the daemon as root or leave out the user", .0.desc())]
    Groups(Errno),
    /// The group could not be set.
    #[error("cannot become group {gid}: {}; start the daemon as root or leave out the user", errno.desc())]
    Group {
        /// The group.
        gid: u32,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The user could not be set.
    #[error("cannot become user {uid}: {}; start the daemon as root or leave out the user", errno.desc())]
    User {
        /// The user.
        uid: u32,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The kernel agreed, but the process is something else, or could become root again.
    #[error(
        "became user {uid} only in part; the daemon does not go on with privileges it should not have"
    )]
    NotGone {
        /// The user.
        uid: u32,
    },
}

/// Whether this is process 1 of its pid namespace: nobody else collects orphans, and its end is everybody's.
pub fn is_init() -> bool {
    std::process::id() == 1
}

/// Becomes a user: supplementary groups, group, user, each verified. `groups` replaces those the process has.
///
/// A process without privileges may name the user it already is, with exactly the groups it already has.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), IdentityError> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let list: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    if let Err(errno) = setgroups(&list)
        && !has_groups(&list)
    {
        return Err(IdentityError::Groups(errno));
    }
    setresgid(group, group, group).map_err(|errno| IdentityError::Group { gid, errno })?;
    setresuid(user, user, user).map_err(|errno| IdentityError::User { uid, errno })?;
    let is_group = getresgid().is_ok_and(|ids| [ids.real, ids.effective, ids.saved] == [group; 3]);
    let is_user = getresuid().is_ok_and(|ids| [ids.real, ids.effective, ids.saved] == [user; 3]);
    let is_rootless = uid == 0 || setuid(Uid::from_raw(0)).is_err();
    if has_groups(&list) && is_group && is_user && is_rootless {
        Ok(())
    } else {
        Err(IdentityError::NotGone { uid })
    }
}

fn has_groups(wanted: &[Gid]) -> bool {
    getgroups().is_ok_and(|present| {
        present.iter().all(|group| wanted.contains(group))
            && wanted.iter().all(|group| present.contains(group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{in_fork, is_root};

    #[test]
    fn the_way_down_is_complete_and_there_is_none_back() {
        if !is_root("the_way_down_is_complete_and_there_is_none_back") {
            return;
        }
        in_fork(|| {
            become_user(65_534, 65_533, &[4, 27]).map_err(|error| error.to_string())?;
            let status = std::fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
            for line in [
                "Uid:\t65534\t65534\t65534\t65534\n",
                "Gid:\t65533\t65533\t65533\t65533\n",
                "Groups:\t4 27 \n",
                "CapEff:\t0000000000000000\n",
                "CapPrm:\t0000000000000000\n",
            ] {
                if !status.contains(line) {
                    return Err(format!("{line:?} is not in {status}"));
                }
            }
            // Without privileges: the same again is fine, anything else is refused.
            for (uid, gid, groups, expected) in [
                (65_534, 65_533, &[27, 4][..], Ok(())),
                (
                    65_534,
                    65_533,
                    &[4],
                    Err(IdentityError::Groups(Errno::EPERM)),
                ),
                (
                    65_534,
                    0,
                    &[4, 27],
                    Err(IdentityError::Group {
                        gid: 0,
                        errno: Errno::EPERM,
                    }),
                ),
                (
                    0,
                    65_533,
                    &[4, 27],
                    Err(IdentityError::User {
                        uid: 0,
                        errno: Errno::EPERM,
                    }),
                ),
            ] {
                let result = become_user(uid, gid, groups);
                if result != expected {
                    return Err(format!("{uid} {gid} {groups:?}: {result:?}"));
                }
            }
            Ok(())
        });
    }
}
