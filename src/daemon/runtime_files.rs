//! The files by which the daemon is found: the socket, its lock, and the record of its processes.
//!
//! Cleaners of temporary directories take such files away from daemons that run for weeks. Without the socket nobody
//! reaches the daemon, without the lock a second one could start, without the record the next one would start every
//! program twice. So their removal is noticed (by the kernel's word, without looking), and they are made again; the
//! signals HUP and USR2 look after them too, for file systems that do not tell.

use super::event_loop::{Daemon, Wake};
use super::journal::Journal;
use crate::sys::poller::Interest;
use crate::sys::socket::{Lock, LockError, Rights};
use crate::sys::watch::Watch;
use nix::errno::Errno;
use nix::sys::stat::Mode;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// See the module's documentation.
#[derive(Debug)]
pub struct RuntimeFiles {
    socket: PathBuf,
    rights: Rights,
    lock: Lock,
    /// Which file the listening socket has.
    file: Option<(u64, u64)>,
    /// None where the kernel cannot watch files, or has no room for one more watcher.
    watch: Option<Watch>,
}

impl RuntimeFiles {
    /// Takes over the lock of the socket that was made with these rights.
    pub fn new(socket: &Path, rights: Rights, lock: Lock) -> Self {
        Self {
            socket: socket.to_owned(),
            rights,
            lock,
            file: identity(socket),
            watch: Watch::new().ok(),
        }
    }

    /// The lock, to be taken along.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// What is readable when a file was meddled with.
    pub fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    /// Begins to watch the files as they are now.
    pub fn watch_all(&self) {
        let Some(watch) = &self.watch else {
            return;
        };
        for path in [
            self.socket.as_path(),
            self.lock.path(),
            &Journal::path_beside(&self.socket),
        ] {
            // One that is missing is made again on the next occasion.
            if let Err(errno) = watch.add(path) {
                log::debug!("can't watch {}: {}", path.display(), errno.desc());
            }
        }
    }

    fn has_socket(&self) -> bool {
        self.file.is_some() && self.file == identity(&self.socket)
    }

    /// Makes the lock and the socket again where they are missing. A socket that was made is to be listened on.
    fn mend(&mut self, backlog: i32) -> Result<Option<UnixListener>, LockError> {
        if self.lock.is_intact() && self.has_socket() {
            return Ok(None);
        }
        if let Some(directory) = self.socket.parent() {
            match nix::unistd::mkdir(directory, Mode::S_IRWXU) {
                // Whatever else is wrong with it shows in the next lines.
                Ok(()) | Err(_) => {}
            }
        }
        if !self.lock.is_intact() {
            self.lock = Lock::acquire(&self.socket)?;
        }
        if self.has_socket() {
            return Ok(None);
        }
        let listener = self.lock.bind(self.rights, backlog)?;
        self.file = identity(&self.socket);
        Ok(Some(listener))
    }

    /// Removes the socket and the lock.
    pub fn remove(self) -> Result<(), LockError> {
        self.lock.remove()
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Daemon {
    /// Makes what is missing again.
    pub(super) fn tend_runtime_files(&mut self) {
        let Some(files) = &mut self.runtime_files else {
            return;
        };
        if let Some(watch) = files.watch() {
            watch.drain();
        }
        match files.mend(super::meeting::BACKLOG) {
            Ok(None) => {}
            Ok(Some(listener)) => {
                log::warn!("the control socket was removed; it is there again");
                if let Err(error) = self.listen_on(listener) {
                    log::error!("can't watch the control socket: {error}");
                }
            }
            Err(error) => log::error!(
                "the control socket or its lock was removed and can't be made again: {error}; \
                 mend that and send HUP"
            ),
        }
        if !self.journal.is_intact() {
            // So that what was decided in this turn is in the new one from its beginning.
            self.put_on_record();
            match self.journal.write_anew() {
                Ok(()) => log::warn!("the record of processes was removed; it is there again"),
                Err(error) => log::error!("can't rewrite the record of processes: {error}"),
            }
        }
        if let Some(files) = &self.runtime_files {
            files.watch_all();
        }
    }

    fn listen_on(&mut self, listener: UnixListener) -> Result<(), Errno> {
        if let Some(old) = &self.listener {
            self.unwatch(old);
        }
        let watched = self
            .poller
            .add(&listener, Wake::Listener.token(), Interest::READABLE);
        self.listener = Some(listener);
        watched.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}
