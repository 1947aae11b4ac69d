//! The way to a socket, and whether to trust who serves it.

use super::connection::TalkError;
use crate::wire::{PROTOCOL_VERSION, Refusal};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, getsockopt, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::{Uid, User, geteuid};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Why there is no conversation.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nothing is there.
    #[error("no such file")]
    Missing,
    /// Nobody listens.
    #[error("refused connection")]
    Refused,
    /// The caller may not connect.
    #[error("permission denied: the socket belongs to {owner}")]
    Denied {
        /// User and directory or socket, as far as they can be seen.
        owner: String,
    },
    /// A link, which could lead anywhere.
    #[error("is a symbolic link; name the socket itself")]
    Link,
    /// The path does not fit into a socket address.
    #[error("is too long for the path of a socket")]
    PathTooLong,
    /// Somebody else listens.
    #[error(
        "is served by {server}, which is {}: not trusted; name the socket with -s to trust it",
        caller.as_ref().map_or_else(|| "not root".to_owned(), |caller| format!("neither root nor {caller}"))
    )]
    Untrusted {
        /// Who serves.
        server: String,
        /// Who asks; `None` is root.
        caller: Option<String>,
    },
    /// The daemon speaks another version.
    #[error(
        "the daemon (version {version}) speaks protocol {theirs}, this console (version {}) speaks protocol {PROTOCOL_VERSION}: use the console of the daemon's version",
        env!("CARGO_PKG_VERSION")
    )]
    Protocol {
        /// The daemon's protocol.
        theirs: u32,
        /// The daemon's version.
        version: String,
    },
    /// The daemon does not want to talk.
    #[error("{}", refusal_of_connection(.0))]
    Declined(Refusal),
    /// What comes back is no greeting.
    #[error("is not served by a daemon of this kind: {0}")]
    NoGreeting(String),
    /// It broke off.
    #[error("{0}")]
    Talk(#[from] TalkError),
    /// Something else went wrong.
    #[error("{0}")]
    System(#[from] Errno),
}

/// A daemon to talk to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Server {
    /// Its socket.
    pub socket: PathBuf,
    /// Who may serve there, besides root and the caller.
    pub trust: Trust,
}

/// Who may serve, besides root and the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// Nobody: the path is a default that anybody could have taken first.
    #[default]
    NobodyElse,
    /// The user whom the configuration file makes the daemon become.
    User(u32),
    /// Whoever serves there: the caller named the socket.
    Anybody,
}

impl Server {
    /// The daemon at a socket that the caller named.
    pub fn at(socket: PathBuf) -> Self {
        Self {
            socket,
            trust: Trust::Anybody,
        }
    }
}

/// Connects, and checks who serves. A link could lead anywhere and is not followed.
pub fn connect(server: &Server, patience: Duration) -> Result<UnixStream, ConnectError> {
    let path = server.socket.as_path();
    if path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.file_type().is_symlink())
    {
        return Err(ConnectError::Link);
    }
    let stream = connect_within(path, patience)?;
    let credentials = getsockopt(&stream, sockopt::PeerCredentials)?;
    check_server(Uid::from_raw(credentials.uid()), geteuid(), server.trust)?;
    Ok(stream)
}

fn connect_within(path: &Path, patience: Duration) -> Result<UnixStream, ConnectError> {
    let address = UnixAddr::new(path).map_err(|_| ConnectError::PathTooLong)?;
    let descriptor = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // Bounds the connecting, too: a daemon that accepts nobody holds up no console for ever.
    let seconds = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX).max(1);
    setsockopt(&descriptor, sockopt::SendTimeout, &TimeVal::new(seconds, 0))?;
    loop {
        return match nix::sys::socket::connect(descriptor.as_raw_fd(), &address) {
            Ok(()) => Ok(UnixStream::from(descriptor)),
            Err(Errno::EINTR) => continue,
            Err(Errno::ENOENT | Errno::ENOTDIR) => Err(ConnectError::Missing),
            Err(Errno::ECONNREFUSED) => Err(ConnectError::Refused),
            Err(Errno::EACCES | Errno::EPERM) => Err(ConnectError::Denied {
                owner: owner_of(path),
            }),
            Err(Errno::EAGAIN) => Err(TalkError::TimedOut.into()),
            Err(error) => Err(error.into()),
        };
    }
}

fn check_server(server: Uid, caller: Uid, trust: Trust) -> Result<(), ConnectError> {
    let trusted = match trust {
        Trust::NobodyElse => false,
        Trust::User(named) => server.as_raw() == named,
        Trust::Anybody => true,
    };
    if trusted || server.is_root() || server == caller {
        Ok(())
    } else {
        Err(ConnectError::Untrusted {
            server: user_name(server),
            caller: (!caller.is_root()).then(|| user_name(caller)),
        })
    }
}

fn user_name(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("{} (uid {uid})", user.name),
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

/// Who owns the socket, or else the innermost directory that can be seen on the way to it.
fn owner_of(path: &Path) -> String {
    for part in path.ancestors() {
        if let Ok(metadata) = part.symlink_metadata() {
            let owner = user_name(Uid::from_raw(metadata.uid()));
            return if metadata.file_type().is_socket() {
                owner
            } else {
                format!("{owner}, who owns {}", part.display())
            };
        }
    }
    "somebody else".to_owned()
}

/// A daemon that declines every request of a connection.
fn refusal_of_connection(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Busy => "the daemon has too many clients; try again later".to_owned(),
        Refusal::NotUpgraded(reason) => reason.clone(),
        Refusal::Forbidden => "the daemon does not accept commands from this user".to_owned(),
        Refusal::ShuttingDown => "the daemon is shutting down".to_owned(),
        Refusal::Protocol { supported } => format!(
            "the daemon speaks protocol {supported}, this console (version {}) speaks protocol {PROTOCOL_VERSION}: use the console of the daemon's version",
            env!("CARGO_PKG_VERSION")
        ),
        Refusal::NotUnderstood(reason) => {
            format!("the daemon did not understand the greeting: {reason}")
        }
        Refusal::BadConfig(_)
        | Refusal::NoSuchGroup(_)
        | Refusal::BadSignal(_)
        | Refusal::NoSuchProcess(_)
        | Refusal::Ambiguous(_)
        | Refusal::NoLog(_)
        | Refusal::LogUnreadable { .. }
        | Refusal::TooLarge => "the daemon refused the connection".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_caller_may_serve() {
        let uid = Uid::from_raw;
        for (server, caller, trust, trusted) in [
            (0, 0, Trust::NobodyElse, true),
            (0, 1000, Trust::NobodyElse, true),
            (1000, 1000, Trust::NobodyElse, true),
            (1001, 1000, Trust::NobodyElse, false),
            (1000, 0, Trust::NobodyElse, false),
            (1000, 0, Trust::User(1000), true),
            (1000, 0, Trust::User(1001), false),
            (1000, 0, Trust::Anybody, true),
            (65534, 1000, Trust::NobodyElse, false),
        ] {
            let answer = check_server(uid(server), uid(caller), trust);
            assert_eq!(answer.is_ok(), trusted, "{server} serves {caller}");
            if let Err(error) = answer {
                let expected = if caller == 0 {
                    "which is not root: not trusted"
                } else {
                    "which is neither root nor "
                };
                assert!(error.to_string().contains(expected), "{error}");
            }
        }
    }

    #[test]
    fn the_owner_of_a_closed_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let uid = directory.path().metadata().unwrap().uid();
        let owner = owner_of(&directory.path().join("a/b.sock"));
        assert!(owner.contains(&format!("uid {uid}")), "{owner}");
        assert!(
            owner.ends_with(&format!("who owns {}", directory.path().display())),
            "{owner}"
        );
    }
}
