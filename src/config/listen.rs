//! The socket of a `FastCGI` program, as plain data: part of [`super::model`], which names it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// A socket that the daemon listens on for a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenSettings {
    /// Where.
    pub address: ListenAddress,
    /// Connections that may wait; as many as the system allows when that is `None`.
    pub backlog: Option<u32>,
}

/// Where a program is connected to. Shown as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListenAddress {
    /// `tcp://HOST:PORT`.
    Tcp {
        /// A name or an address; every address of the machine when it is empty.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix://PATH`.
    Unix {
        /// Absolute path.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// Whom it is given to; `None` leaves it with the daemon's user.
        owner: Option<Owner>,
    },
}

impl ListenAddress {
    /// Whether both cannot be listened on at the same time. Owner and mode do not matter.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            (Self::Tcp { .. }, Self::Tcp { .. }) => self == other,
            (Self::Unix { .. }, Self::Tcp { .. }) | (Self::Tcp { .. }, Self::Unix { .. }) => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Unix { path, .. } => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Whom a file is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id; `None` leaves the group.
    pub gid: Option<u32>,
}
