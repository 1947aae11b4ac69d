//! The place where consoles find the daemon: the directory, the lock, the socket.
//!
//! The lock comes first, and the directory must be one that nobody else can change. Not here: what becomes of the files
//! while the daemon runs ([`super::runtime_files`]), and who may connect ([`super::access`], [`super::rights`]).

use super::startup::Failure;
use crate::config::model::Config;
use crate::config::schema::{DEFAULT_DIRECTORY, DEFAULT_DIRECTORY_IN_MEMORY};
use crate::sys::dirs::{self, Private};
use crate::sys::socket::{Lock, LockError, Rights};
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Pending connections that the kernel keeps.
pub const BACKLOG: i32 = 1024;

/// Where consoles find the daemon.
#[derive(Debug)]
pub struct Meeting {
    /// Who owns the socket's name.
    pub lock: Lock,
    /// Where they connect.
    pub listener: UnixListener,
}

impl Meeting {
    /// Takes the lock and opens the socket.
    pub fn open(config: &Config) -> Result<Self, Failure> {
        let settings = &config.daemon;
        let default = [DEFAULT_DIRECTORY, DEFAULT_DIRECTORY_IN_MEMORY]
            .map(Path::new)
            .into_iter()
            .find(|default| settings.socket.starts_with(default));
        if let Some(default) = default {
            make_private(default)?;
        }
        if let Some(parent) = settings.socket.parent() {
            dirs::trusted(parent)?;
        }
        let mut lock = Lock::acquire(&settings.socket)?;
        let listener = lock.bind(rights(config), BACKLOG)?;
        Ok(Self { lock, listener })
    }

    /// The same; in a container a daemon without a socket is better than none: there may be no place that can be written.
    pub fn open_if_possible(config: &Config) -> Result<Option<Self>, Failure> {
        match Self::open(config) {
            Ok(meeting) => Ok(Some(meeting)),
            Err(failure @ Failure::Lock(LockError::Held { .. })) => Err(failure),
            Err(failure) => {
                let notice = format!("notice: the console cannot connect: {failure}\n");
                let _told = io::stderr().write_all(notice.as_bytes());
                Ok(None)
            }
        }
    }
}

/// Who may open the socket's file.
pub fn rights(config: &Config) -> Rights {
    let owner = config.daemon.socket_owner;
    Rights {
        mode: file_mode(config),
        owner: owner.map(|owner| (owner.uid, owner.gid)),
    }
}

/// Mode of the socket's file. Where there are roles, everybody may connect, and is asked who he is.
fn file_mode(config: &Config) -> u32 {
    const EVERYBODY_CONNECTS: u32 = 0o666;
    if config.roles.is_empty() {
        config.daemon.socket_mode
    } else {
        config.daemon.socket_mode | EVERYBODY_CONNECTS
    }
}

/// Makes a directory of the defaults, and tightens one of our own that is open to others.
pub fn make_private(default: &Path) -> Result<(), Failure> {
    if matches!(dirs::ensure_private(default)?, Private::Tightened { .. }) {
        let notice = format!(
            "notice: {} was open to others; it is private (0700) now\n",
            default.display()
        );
        let _told = io::stderr().write_all(notice.as_bytes());
    }
    Ok(())
}
