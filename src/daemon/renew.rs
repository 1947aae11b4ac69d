//! Reading the file again in a running daemon: what an update needs before the engine gets it, and what it cannot change.
//!
//! The engine plans what becomes of programs. The daemon's own section takes effect only at its next start or `reload`,
//! except for what is part of every program's settings: there the daemon makes ready what those need.

use super::event_loop::Daemon;
use crate::config::model::{Config, DaemonSettings};
use crate::sys::dirs;
use crate::wire;
use std::sync::Arc;

impl Daemon {
    /// Reads the file for an update, and makes ready what its programs are going to need.
    pub(super) fn load_for_update(&self) -> Result<Arc<Config>, Vec<wire::Diagnostic>> {
        let config = self.loader.load_and_log()?;
        let directory = &config.daemon.childlogdir;
        if let Err(errno) = dirs::ensure_log_directory(directory) {
            log::error!(
                "can't create childlogdir {}: {}",
                directory.display(),
                errno.desc()
            );
        }
        if waits_for_reload(&self.started_with, &config.daemon) {
            log::warn!(
                "the daemon's own settings have changed in {}; `reload` makes them take effect",
                self.loader.path().display()
            );
        }
        Ok(config)
    }
}

/// Whether settings differ in anything that an update does not bring about.
fn waits_for_reload(active: &DaemonSettings, read: &DaemonSettings) -> bool {
    let mut updated = active.clone();
    // These are part of the programs' settings.
    updated.umask = read.umask;
    updated.strip_ansi = read.strip_ansi;
    updated.environment.clone_from(&read.environment);
    updated.childlogdir.clone_from(&read.childlogdir);
    updated != *read
}
